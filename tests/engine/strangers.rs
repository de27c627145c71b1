//! What strangers, and the other side with a program of its own, can say.

use earnest::engine::{RelayEvent, Scribe as _, Taken};
use earnest::keys::{Keys, OsDice, Phrase, Secrets, SystemClock};
use earnest::market::*;
use earnest::seal::Hash32;
use earnest::text::Raw;
use proptest::prelude::*;

use crate::pair::*;
use crate::whole::wish;

pub(crate) fn stranger(n: u8) -> Keys {
    let secrets = Secrets { phrase: Phrase::new(&[n; 32]), imported: None };
    Keys::new(&secrets, std::sync::Arc::new(OsDice), std::sync::Arc::new(SystemClock))
}

fn delivery_of(pair: &Pair) -> Delivery {
    match pair.job(Worker).attempt.unwrap().record.unwrap().draft.body {
        Body::Deliver(delivery) => delivery,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_outer_key_is_not_taken_for_the_author() {
    // PROTOCOL.md 11, second: both sides hold K_sign; each body has one role that may say it.
    let mut pair = Pair::new();
    pair.delivered(wish(Mode::Sealed, 1));
    let manifest = pair.job(Worker).attempt.unwrap().record.unwrap().id;
    let delivery = delivery_of(&pair);
    let reason = || Raw::from("x");
    let of_the_worker = [
        Body::Deliver(delivery),
        Body::Bill { manifest, tranche: 0, invoice: "lnbcrt1".into() },
        Body::Settled { manifest, receipt: None },
        Body::Withdraw { reason: reason() },
    ];
    let of_the_requester = [
        Body::Ready { manifest, tranche: 0 },
        Body::Accept { manifest, next: None, x: None, receipt: None },
        Body::Reject { manifest, reason: reason(), next: None },
        Body::Decline { reason: reason() },
    ];
    for (liar, bodies) in [(Requester, of_the_worker), (Worker, of_the_requester)] {
        for body in bodies {
            let before = pair.job(liar.other());
            let kind = body.kind();
            let taken = pair.say(liar, body);
            assert!(matches!(taken, Taken::Refused(_)), "{liar:?} says {kind}: {taken:?}");
            assert_eq!(pair.job(liar.other()), before, "no fact was written for {kind}");
        }
    }
}

#[test]
fn a_chain_takes_no_gap_no_fork_and_no_repeat() {
    let mut pair = Pair::new();
    pair.awarded(Wish::default());
    let note = |text: &str| Body::Note { text: Raw::from(text) };
    let (_, first) = pair.forge(Requester, note("one"), |_| {});
    let (one, _) = pair.forge(Requester, note("one"), |_| {});
    assert_eq!(code(&pair.hear(Worker, &first)), "new");
    assert_eq!(code(&pair.hear(Worker, &first)), "nothing");
    // The same record in another envelope.
    let channel = pair.channel(Requester);
    let event = pair.side(Requester).keys.post(&channel, &one, pair.now()).unwrap();
    assert_eq!(code(&pair.hear(Worker, &relayed(&event.json))), "old");
    // Another record with its number: kept as evidence, once.
    let (_, fork) = pair.forge(Requester, note("two"), |d| {
        d.seq = one.draft.seq;
        d.prev = one.draft.prev;
    });
    let facts = pair.job(Worker).n;
    assert_eq!(code(&pair.hear(Worker, &fork)), "new");
    assert_eq!(pair.job(Worker).n, facts + 1);
    for n in 0..5 {
        let (_, fork) = pair.forge(Requester, note(&format!("fork {n}")), |d| {
            d.seq = one.draft.seq;
            d.prev = one.draft.prev;
        });
        assert_eq!(code(&pair.hear(Worker, &fork)), "old", "one proof of it is enough");
    }
    assert_eq!(pair.job(Worker).n, facts + 1);
    // It does not follow.
    let (_, loose) = pair.forge(Requester, note("three"), |d| d.prev = Some(EventId([5; 32])));
    assert_eq!(code(&pair.hear(Worker, &loose)), "broken-chain");
    // Of another job.
    let reached = pair.job(Worker).theirs.next;
    // Far ahead: waits, and is never more than a few.
    for ahead in 1..200 {
        let (_, early) = pair.forge(Requester, note("later"), |d| d.seq += ahead);
        assert_eq!(code(&pair.hear(Worker, &early)), "nothing");
    }
    assert_eq!(pair.job(Worker).theirs.next, reached);
}

#[test]
fn records_in_any_order_are_heard_in_theirs() {
    let mut pair = Pair::new();
    pair.awarded(Wish::default());
    pair.side_mut(Worker).deaf = true;
    for n in 0..6 {
        pair.ask(Requester, Ask::Note { text: format!("note {n}") }).unwrap();
    }
    pair.quiet();
    let mut notes: Vec<RelayEvent> = pair.events[pair.events.len() - 6..].to_vec();
    notes.reverse();
    for event in notes.iter().chain(&notes) {
        pair.hear(Worker, event);
    }
    assert_eq!(pair.job(Worker).theirs.next, 7);
}

#[test]
fn a_delivery_that_breaks_the_terms_is_refused_before_a_byte_is_fetched() {
    type Bending = fn(&mut Delivery);
    let bends: [(&str, Bending); 5] = [
        ("the last number", |d| d.manifest.delivery = u32::MAX),
        ("too large", |d| {
            d.manifest.total = (1 << 20) + 1;
            d.manifest.blob_len = (1 << 20) + 1;
            d.manifest.n = 65;
        }),
        ("vector", |d| d.vector_size = 1 << 40),
        ("tranches", |d| {
            d.manifest.first.push(1);
            d.manifest.h.push(Hash32::new([8; 32]));
            d.manifest.secrets.push(Hash32::new([8; 32]));
        }),
        ("one hash twice", |d| {
            d.manifest.first.push(1);
            d.manifest.h.push(d.manifest.h[0]);
            d.manifest.secrets.push(Hash32::new([8; 32]));
        }),
    ];
    // A manifest of the right form, from a job of its own.
    let mut donor = Pair::new();
    donor.delivered(wish(Mode::Sealed, 1));
    let sound = delivery_of(&donor);
    for (what, bend) in bends {
        let mut pair = Pair::new();
        pair.awarded(wish(Mode::Sealed, 1));
        let mut delivery = sound.clone();
        bend(&mut delivery);
        assert_eq!(pair.say(Worker, Body::Deliver(delivery)), Taken::New, "{what}");
        let job = pair.job(Requester);
        assert_eq!(job.phase, Phase::Working, "{what}");
        assert!(job.reason.unwrap().contains("Nothing was paid"), "{what}");
        pair.side_mut(Requester).lazy = vec!["fetch", "inspect"];
        pair.effects(Requester);
        assert!(pair.side(Requester).kept.is_empty(), "{what}");
        assert_eq!(pair.job(Requester).ours.last.unwrap().draft.body.kind(), "reject", "{what}");
        // A right one still counts from where it was.
        let mut delivery = sound.clone();
        delivery.manifest.h[0] = Hash32::new([44; 32]);
        if what.contains("number") {
            assert_eq!(pair.say(Worker, Body::Deliver(delivery)), Taken::New);
            assert_eq!(pair.phase(Requester), Phase::Delivered, "{what}");
        }
    }
}

#[test]
fn a_manifest_of_another_job_or_with_other_secrets_is_refused_before_payment() {
    type Bending = fn(&mut Delivery);
    let bends: [(&str, Bending); 5] = [
        ("job", |d| d.manifest.job = Hash32::new([1; 32])),
        ("root", |d| d.manifest.root = Hash32::new([1; 32])),
        ("secret", |d| d.manifest.secrets[0] = Hash32::new([1; 32])),
        ("length", |d| {
            d.manifest.total -= 1;
            d.manifest.blob_len -= 1;
        }),
        ("mode", |d| {
            d.manifest.mode = earnest::seal::Mode::Direct;
            d.manifest.h.clear();
            d.manifest.secrets.clear();
        }),
    ];
    for (what, bend) in bends {
        let mut pair = Pair::new();
        pair.awarded(wish(Mode::Sealed, 1));
        // The requester is told another manifest than the one that the worker's engine made.
        pair.side_mut(Worker).lazy = vec!["publish"];
        pair.deliver("work.bin", 40_000).unwrap();
        pair.quiet();
        let mut delivery = delivery_of(&pair);
        bend(&mut delivery);
        assert_eq!(pair.say(Worker, Body::Deliver(delivery)), Taken::New, "{what}");
        pair.quiet();
        let job = pair.job(Requester);
        assert_eq!(job.phase, Phase::Working, "{what}: {:?}", job.reason);
        assert!(job.reason.is_some() && job.attempt.is_none(), "{what}");
        assert!(pair.nodes.sent.is_empty());
    }
}

#[test]
fn a_hash_seen_before_is_refused_also_after_a_restart() {
    for restart in [false, true] {
        let mut pair = Pair::new();
        pair.delivered(wish(Mode::Sealed, 1));
        let mut delivery = delivery_of(&pair);
        pair.reject().unwrap();
        pair.quiet();
        if restart {
            pair.restart(Requester);
            pair.quiet();
        }
        delivery.manifest.delivery = 1;
        assert_eq!(pair.say(Worker, Body::Deliver(delivery)), Taken::New);
        let job = pair.job(Requester);
        assert_eq!(job.phase, Phase::Working);
        assert!(job.reason.unwrap().contains("seen before"));
    }
}

#[test]
fn one_peer_cannot_fill_a_disk_with_materials() {
    let mut pair = Pair::new();
    pair.awarded(Wish::default());
    pair.side_mut(Worker).lazy = vec!["fetch"];
    for n in 0..100u8 {
        let file = Attachment { blob: Digest([n; 32]), size: 8 << 20, name: Raw::from("a") };
        assert_eq!(pair.say(Requester, Body::Material(file)), Taken::New);
    }
    let huge = Attachment { blob: Digest([200; 32]), size: 1 << 39, name: Raw::from("b") };
    pair.say(Requester, Body::Material(huge));
    pair.effects(Worker);
    pair.effects(Worker);
    let fetches = pair.side(Worker).kept.len();
    assert!((1..=16).contains(&fetches), "{fetches}");
}

#[test]
fn a_listing_replaced_after_the_bid_changes_no_terms() {
    let mut pair = Pair::new();
    let id = pair.bid(Wish::default());
    let gig = pair.job(Worker).gig;
    let mut dearer = gig.clone();
    dearer.at = Time(gig.at.0 + 1);
    dearer.offer.price = sats(1000);
    let event = pair.side(Requester).keys.listing(&dearer).unwrap();
    assert_eq!(code(&pair.hear(Worker, &relayed(&event.json))), "new");
    pair.core_mut(Requester).award(&id).unwrap();
    pair.quiet();
    assert_eq!(pair.phase(Worker), Phase::Working);
    assert_eq!(pair.job(Worker).terms().price, sats(21_000));
    assert!(pair.core(Worker).store().gig_kept(&gig.id));
}

#[test]
fn a_foul_listing_is_not_shown() {
    let mut pair = Pair::new();
    let id = pair.posted(|_| {});
    let gig = pair.core(Requester).posts()[&id].gig().unwrap().clone();
    let keys = stranger(9);
    let signed = |gig: &Gig| keys.listing(gig).map(|e| relayed(&e.json));
    let mine = Gig { author: keys.identity(), ..gig };
    // Too large is not even made; another network and a date in the future are not taken.
    let fat = Gig { content: Raw("x".repeat(17_000)), ..mine.clone() };
    assert!(signed(&fat).is_err());
    let far = Gig { at: pair.now().after(Span::DAY), ..mine.clone() };
    if let Ok(event) = signed(&far) {
        assert!(matches!(pair.hear(Worker, &event), Taken::Refused(_)));
    }
    let elsewhere = Gig { network: Network::Bitcoin, ..mine.clone() };
    let event = signed(&elsewhere).unwrap();
    assert_eq!(code(&pair.hear(Worker, &event)), "wrong-network");
    let mut event = signed(&mine).unwrap();
    event.json = event.json.replace("Clean a list", "Clean a lisp");
    assert!(matches!(pair.hear(Worker, &event), Taken::Refused(_)));
}

/// What a relay sends of a market: versions of listings by three authors, some of them of another network
/// or changed on the way, one of somebody who is muted, in this order.
fn a_market(pair: &mut Pair, picks: &[(u8, u8, u8)]) -> Vec<RelayEvent> {
    let id = pair.posted(|_| {});
    let gig = pair.core(Requester).posts()[&id].gig().unwrap().clone();
    let muted = stranger(12).identity();
    pair.core_mut(Worker).mute(&muted, true).unwrap();
    let listing = |(who, d, version): &(u8, u8, u8)| {
        let keys = stranger(10 + who % 3);
        let at = gig.at.before(Span(u64::from(*version)));
        let network = if *d == 3 { Network::Bitcoin } else { gig.network };
        let (author, d) = (keys.identity(), format!("gig-{d}"));
        let gig = Gig { author, d, at, published_at: at, network, ..gig.clone() };
        let mut event = relayed(&keys.listing(&gig).unwrap().json);
        if *version == 3 {
            event.json = event.json.replace("Clean a list", "Clean a lisp");
        }
        event
    };
    picks.iter().map(listing).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn a_market_is_the_same_in_whatever_pieces_it_comes(
        picks in prop::collection::vec((0u8..3, 0u8..4, 0u8..4), 1..40), cuts in prop::collection::vec(1usize..9, 40)
    ) {
        let [mut one, mut many] = [Pair::new(), Pair::new()];
        let events = a_market(&mut one, &picks);
        prop_assert_eq!(&a_market(&mut many, &picks), &events);
        let alone: Vec<_> = events.iter().map(|e| one.core_mut(Worker).hear(e).unwrap()).collect();
        let (mut together, mut rest) = (Vec::new(), &events[..]);
        for cut in cuts {
            let (now, later) = rest.split_at(cut.min(rest.len()));
            together.extend(many.core_mut(Worker).hear_all(now).into_iter().map(Result::unwrap));
            rest = later;
        }
        prop_assert_eq!(&together, &alone);
        let book = |pair: &Pair| {
            let query = Query { limit: 100, ..Query::everything(Network::Regtest) };
            let gigs = pair.core(Worker).find(&query).unwrap().gigs;
            (gigs, pair.core(Worker).subscriptions().unwrap())
        };
        prop_assert_eq!(book(&one), book(&many));
        // Nothing of it is taken a second time.
        let again = many.core_mut(Worker).hear_all(&events);
        prop_assert!(again.into_iter().all(|taken| taken == Ok(Taken::Nothing)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn no_event_upsets_the_core(kind in prop::sample::select(vec![1059u16, 3920, 30402, 1, 3922]), text in "\\PC{0,200}") {
        thread_local! {
            static PAIR: std::cell::RefCell<Option<Pair>> = const { std::cell::RefCell::new(None) };
        }
        PAIR.with_borrow_mut(|pair| {
            let pair = pair.get_or_insert_with(|| {
                let mut pair = Pair::new();
                pair.awarded(Wish::default());
                pair
            });
            let before = pair.job(Worker);
            let channel = pair.channel(Worker);
            let author = pair.side(Worker).keys.channel_author(&channel);
            let id = EventId(*blake3::hash(text.as_bytes()).as_bytes());
            let to = Some(before.worker.session);
            let event = RelayEvent {
                relay: String::new(), id, kind, author, to, at: Time(0), json: text,
            };
            assert!(!matches!(pair.hear(Worker, &event), Taken::New));
            assert_eq!(pair.job(Worker), before);
        });
    }
}

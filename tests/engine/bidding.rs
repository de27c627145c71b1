//! What strangers can say where two find each other: bids, awards, declines and withdrawals.

use earnest::engine::{CertificateDraft, RelayEvent, Scribe as _, Taken};
use earnest::keys::Keys;
use earnest::market::*;
use earnest::text::Raw;

use crate::pair::*;
use crate::strangers::stranger;

/// An award by these keys.
fn award_by(
    pair: &Pair,
    keys: &Keys,
    certify: impl FnOnce(&mut CertificateDraft),
    bend: impl FnOnce(&mut Award, &mut Draft),
) -> RelayEvent {
    let job = pair.job(Worker);
    let nonce = Nonce([123; 32]);
    let me = pair.me(Requester);
    let mut draft = CertificateDraft {
        role: Role::Requester,
        counterparty: job.worker.identity,
        terms: job.terms().clone(),
        nonce,
        node: me.node,
        endpoint: me.address.endpoint,
        at: pair.now(),
    };
    certify(&mut draft);
    let certificate = keys.certify(&draft).unwrap();
    let mut award = Award {
        bid: job.id,
        certificate: certificate.event,
        relays: me.relays,
        address: me.address,
        inputs: Vec::new(),
        audit: Digest([1; 32]),
        audit_nonce: Nonce([2; 32]),
        lock: None,
    };
    let mut record = Draft {
        job: Some(JobId(job.id.0)),
        seq: 0,
        prev: None,
        seen: Some(job.id),
        at: pair.now(),
        body: Body::Note { text: Raw::from("") },
    };
    bend(&mut award, &mut record);
    record.body = Body::Award(award);
    let record = keys.sign(&nonce, &record).unwrap();
    relayed(&keys.wrap(&nonce, &record, &job.worker.session, 0, pair.now()).unwrap().json)
}

#[test]
fn an_award_that_is_not_the_requesters_for_this_bid_is_refused() {
    let mut pair = Pair::new();
    pair.bid(Wish::default());
    let keys = pair.side(Requester).keys.clone();
    let before = pair.job(Worker);
    let refuse = |pair: &mut Pair, event: RelayEvent, expected: &str| {
        let taken = pair.hear(Worker, &event);
        assert_eq!(code(&taken), expected, "{taken:?}");
        assert_eq!(pair.job(Worker), before);
    };
    let event = award_by(&pair, &stranger(9), |_| {}, |_, _| {});
    refuse(&mut pair, event, "wrong-certificate");
    let event = award_by(&pair, &keys, |c| c.terms.price = sats(1000), |_, _| {});
    refuse(&mut pair, event, "wrong-certificate");
    let event = award_by(&pair, &keys, |c| c.counterparty = stranger(9).identity(), |_, _| {});
    refuse(&mut pair, event, "wrong-certificate");
    // Another bid.
    let other = EventId([66; 32]);
    let event = award_by(
        &pair,
        &keys,
        |_| {},
        |a, d| {
            a.bid = other;
            d.job = Some(JobId(other.0));
        },
    );
    refuse(&mut pair, event, "wrong-job");
    // (A certificate of another key, role or endpoint does not pass the wire: tests/wire/contact.rs.)
    // Not the first of its chain.
    let event = award_by(
        &pair,
        &keys,
        |_| {},
        |_, d| {
            d.seq = 3;
            d.prev = Some(EventId([1; 32]));
        },
    );
    refuse(&mut pair, event, "broken-chain");
    // The right one is taken, a second is not.
    let event = award_by(&pair, &keys, |_| {}, |_, _| {});
    assert_eq!(code(&pair.hear(Worker, &event)), "new");
    let event = award_by(&pair, &keys, |_| {}, |a, _| a.audit = Digest([9; 32]));
    assert!(matches!(pair.hear(Worker, &event), Taken::Refused(_)));
    pair.core_mut(Requester).award(&before.id).unwrap();
    pair.quiet();
    assert_eq!(pair.job(Worker).requester.unwrap().nonce, Nonce([123; 32]));
}

#[test]
fn an_award_after_the_withdrawal_or_the_lapse_is_refused() {
    let mut pair = Pair::new();
    pair.bid(Wish::default());
    let keys = pair.side(Requester).keys.clone();
    let event = award_by(&pair, &keys, |_| {}, |_, _| {});
    pair.ask(Worker, Ask::Withdraw { reason: "Sorry.".into() }).unwrap();
    assert_eq!(code(&pair.hear(Worker, &event)), "wrong-phase");

    let mut pair = Pair::new();
    pair.bid(Wish::default());
    let event = award_by(&pair, &keys, |_| {}, |_, _| {});
    pair.pass(Span::DAY.times(1));
    assert_eq!(code(&pair.hear(Worker, &event)), "bid-lapsed");
    pair.quiet();
    assert_eq!(pair.phase(Worker), Phase::Expired);
}

#[test]
fn a_decline_or_a_withdrawal_with_a_foul_place_in_its_chain_is_refused() {
    let mut pair = Pair::new();
    let id = pair.bid(Wish::default());
    let (requester, worker) = (pair.job(Requester), pair.job(Worker));
    let last = (1u64 << 53) - 1;
    for (seq, prev) in [(last, Some(EventId([1; 32]))), (7, Some(id)), (1, Some(EventId([1; 32])))]
    {
        let draft =
            |body| Draft { job: Some(JobId(id.0)), seq, prev, seen: None, at: Time(START), body };
        let keys = pair.side(Requester).keys.clone();
        let nonce = Nonce([55; 32]);
        let decline = Body::Decline { reason: Raw::from("no") };
        let record = keys.sign(&nonce, &draft(decline)).unwrap();
        let to = worker.worker.session;
        let event = relayed(&keys.wrap(&nonce, &record, &to, 0, pair.now()).unwrap().json);
        assert_eq!(code(&pair.hear(Worker, &event)), "broken-chain");
        assert_eq!(pair.job(Worker), worker);
        let keys = pair.side(Worker).keys.clone();
        let nonce = worker.nonce.unwrap();
        let withdraw = Body::Withdraw { reason: Raw::from("no") };
        let record = keys.sign(&nonce, &draft(withdraw)).unwrap();
        let to = worker.gig.offer.inbox.key;
        let event = relayed(&keys.wrap(&nonce, &record, &to, 0, pair.now()).unwrap().json);
        assert_eq!(code(&pair.hear(Requester, &event)), "broken-chain");
        assert_eq!(pair.job(Requester), requester);
    }
}

/// A bid by these keys on this gig, never through an engine.
fn bid_by(
    pair: &Pair,
    keys: &Keys,
    nonce: u8,
    gig: &Gig,
    pow: u8,
    bend: impl FnOnce(&mut CertificateDraft, &mut Bid),
) -> RelayEvent {
    let me = pair.me(Worker);
    let bidder = Bidder {
        me: keys.identity(),
        network: Network::Regtest,
        now: gig.at,
        open: false,
        least_first: Some(sats(1)),
        receivable: sats(1_000_000),
        expected: Msat::ZERO,
        limits: Limits::NONE,
        open_with: Exposure::default(),
    };
    let (terms, _) = propose(gig, Wish::default(), &bidder).unwrap();
    let mut certify = CertificateDraft {
        role: Role::Worker,
        counterparty: gig.author,
        terms: terms.clone(),
        nonce: Nonce([nonce; 32]),
        node: me.node,
        endpoint: me.address.endpoint,
        at: pair.now(),
    };
    let mut bid = Bid {
        gig: gig.id,
        terms,
        certificate: String::new(),
        relays: me.relays,
        address: me.address,
        valid_until: pair.now().after(Span::HOUR),
        least_first: sats(1),
        message: Raw::from("hi"),
    };
    bend(&mut certify, &mut bid);
    bid.certificate = keys.certify(&certify).unwrap().event;
    let body = Body::Bid(bid);
    let draft = Draft { job: None, seq: 0, prev: None, seen: None, at: pair.now(), body };
    let record = keys.sign(&certify.nonce, &draft).unwrap();
    let to = &gig.offer.inbox.key;
    relayed(&keys.wrap(&certify.nonce, &record, to, pow, pair.now()).unwrap().json)
}

#[test]
fn a_bid_that_may_not_come_in_stays_outside() {
    let mut pair = Pair::new();
    let id = pair.posted(|draft| draft.pow = 6);
    let gig = pair.core(Requester).posts()[&id].gig().unwrap().clone();
    let keys = stranger(9);
    let refuse = |pair: &mut Pair, event: RelayEvent, expected: &str| {
        let taken = pair.hear(Requester, &event);
        assert_eq!(code(&taken), expected, "{taken:?}");
        assert!(pair.core(Requester).jobs().is_empty());
        assert_eq!(code(&pair.hear(Requester, &event)), "nothing", "no work is done twice");
    };
    // Found by luck, a wrap may have six bits: these have fewer.
    let lazy = (0..50).map(|n| bid_by(&pair, &keys, n, &gig, 0, |_, _| {}));
    let lazy = lazy.into_iter().find(|e| e.id.0[0] >= 0b100).unwrap();
    refuse(&mut pair, lazy, "no-proof-of-work");
    let event = bid_by(&pair, &keys, 61, &gig, 6, |_, b| b.gig = EventId([3; 32]));
    refuse(&mut pair, event, "unknown-gig");
    let event = bid_by(&pair, &keys, 62, &gig, 6, |c, _| c.counterparty = keys.identity());
    refuse(&mut pair, event, "wrong-certificate");
    let event = bid_by(&pair, &keys, 63, &gig, 6, |_, b| b.valid_until = Time(START));
    refuse(&mut pair, event, "bid-lapsed");
    let event = bid_by(&pair, &keys, 64, &gig, 6, |c, b| {
        b.terms.max_bytes += 1;
        c.terms = b.terms.clone();
    });
    refuse(&mut pair, event, "terms-differ");
    let event = bid_by(&pair, &keys, 65, &gig, 6, |c, b| {
        b.terms.price = sats(999);
        c.terms = b.terms.clone();
    });
    refuse(&mut pair, event, "price-too-small");
    // A right one comes in; its certificate again, in another bid, does not; nor do a fourth and a fifth.
    let event = bid_by(&pair, &keys, 70, &gig, 6, |_, _| {});
    assert_eq!(code(&pair.hear(Requester, &event)), "new");
    let event = bid_by(&pair, &keys, 70, &gig, 6, |_, b| b.message = Raw::from("again"));
    assert_eq!(code(&pair.hear(Requester, &event)), "certificate-replayed");
    for n in 71..73 {
        let event = bid_by(&pair, &keys, n, &gig, 6, |_, _| {});
        assert_eq!(code(&pair.hear(Requester, &event)), "new");
    }
    let event = bid_by(&pair, &keys, 73, &gig, 6, |_, _| {});
    assert_eq!(code(&pair.hear(Requester, &event)), "too-many-bids");
    // Full.
    let first = *pair.core(Requester).jobs().keys().next().unwrap();
    pair.core_mut(Requester).award(&first).unwrap();
    let event = bid_by(&pair, &stranger(10), 74, &gig, 6, |_, _| {});
    let full = pair.hear(Requester, &event);
    assert!(matches!(code(&full), "gig-full" | "gig-closed"), "{full:?}");
    let second = *pair.core(Requester).jobs().keys().nth(1).unwrap();
    let again = pair.core_mut(Requester).award(&second);
    assert_eq!(refused(again), "gig-full");
}

#[test]
fn a_bid_on_a_closed_or_expired_gig_or_an_old_version_is_judged_by_what_it_answers() {
    let mut pair = Pair::new();
    let id = pair.posted(|_| {});
    let gig = pair.core(Requester).posts()[&id].gig().unwrap().clone();
    let keys = stranger(9);
    let early = bid_by(&pair, &keys, 1, &gig, 0, |_, _| {});
    pair.core_mut(Requester).close(&id).unwrap();
    assert_eq!(code(&pair.hear(Requester, &early)), "gig-closed");

    let mut pair = Pair::new();
    let id = pair.posted(|_| {});
    let gig = pair.core(Requester).posts()[&id].gig().unwrap().clone();
    pair.pass(Span::DAY.times(8));
    let late = bid_by(&pair, &keys, 1, &gig, 0, |_, _| {});
    assert_eq!(code(&pair.hear(Requester, &late)), "gig-expired");
}

//! What is known of people, and what we let them hold of ours: between two real cores.

use earnest::engine::{Scribe as _, Store as _, Taken, Trouble};
use earnest::market::*;
use earnest::wire::{Judgement, RECEIPT, read_receipt_event, verify_proof};

use crate::pair::*;

/// Both of them sign receipts.
fn signing(pair: &mut Pair, who: &[Who]) {
    for who in who {
        pair.core_mut(*who).me_mut().policy.receipts = true;
    }
}

/// One whole job.
fn settled(who: &[Who], wish: Wish) -> Pair {
    let mut pair = Pair::new();
    signing(&mut pair, who);
    pair.delivered(wish);
    pair.accept().unwrap();
    pair.quiet();
    assert_eq!((pair.phase(Requester), pair.phase(Worker)), (Phase::Settled, Phase::Settled));
    pair
}

fn receipts(pair: &Pair) -> Vec<String> {
    let of = |event: &&earnest::engine::RelayEvent| event.kind == RECEIPT;
    pair.events.iter().filter(of).map(|event| event.json.clone()).collect()
}

fn refusal(trouble: Result<impl Sized, Trouble>) -> Refusal {
    match trouble {
        Err(Trouble::Refused(refusal)) => refusal,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("nobody refused"),
    }
}

#[test]
fn a_receipt_is_signed_by_both_and_published_without_another_message() {
    for mode in [Mode::Sealed, Mode::Direct] {
        let wish = Wish { mode: Some(mode), ..Wish::default() };
        let pair = settled(&[Requester, Worker], wish);
        let plain = settled(&[], wish);
        let channel = |pair: &Pair| pair.events.iter().filter(|e| e.kind == 3920).count();
        assert_eq!(channel(&pair), channel(&plain), "{mode:?}: no word more than without");
        let published = receipts(&pair);
        assert!(!published.is_empty(), "{mode:?}");
        for json in &published {
            let CoSigned { receipt, .. } = read_receipt_event(json).unwrap();
            let job = pair.job(Requester);
            assert_eq!(receipt.job, job.job.unwrap());
            assert_eq!(receipt.requester, pair.core(Requester).identity());
            assert_eq!(receipt.worker, pair.core(Worker).identity());
            // 21,000 sat: 2^14 and more.
            assert_eq!((receipt.amount, receipt.at.0 % 86_400), (14, 0));
            let preimage = pair.ledger(Requester)[0].hash.to_string();
            assert!(!json.contains(&preimage), "not even the payment hash is in it");
        }
    }
}

#[test]
fn one_sides_word_is_no_receipt() {
    for who in [&[][..], &[Requester], &[Worker]] {
        let pair = settled(who, Wish::default());
        assert!(receipts(&pair).is_empty(), "{who:?}");
        for side in [Requester, Worker] {
            assert!(pair.job(side).stuck.is_empty());
            assert_eq!(pair.core(side).store().outbox().unwrap(), (0, 0));
        }
    }
}

#[test]
fn a_signature_that_is_none_makes_no_receipt() {
    let mut pair = Pair::new();
    signing(&mut pair, &[Requester, Worker]);
    pair.delivered(Wish::default());
    pair.side_mut(Requester).deaf = true;
    pair.accept().unwrap();
    pair.quiet();
    pair.side_mut(Requester).deaf = false;
    let manifest = pair.job(Worker).attempt.unwrap().record.unwrap().id;
    // The requester lies about it before it is asked for anything.
    pair.quiet();
    let body = Body::Accept { manifest, next: None, x: None, receipt: Some(Signature([7; 64])) };
    if pair.job(Worker).countersigned.is_none() {
        pair.say(Requester, body);
    }
    pair.quiet();
    for json in receipts(&pair) {
        read_receipt_event(&json).unwrap();
    }
}

#[test]
fn a_receipt_tells_others_what_it_is_worth_only_by_whom_they_know() {
    let pair = settled(&[Requester, Worker], Wish::default());
    let (requester, worker) = (pair.core(Requester).identity(), pair.core(Worker).identity());
    let json = receipts(&pair).pop().unwrap();
    // Somebody else takes it: a stranger's receipt with a stranger.
    let mut other = Pair::new();
    let third = other.core_mut(Requester);
    assert!(third.import(&json).unwrap());
    assert!(!third.import(&json).unwrap(), "known already");
    for who in [requester, worker] {
        if who == third.identity() {
            continue;
        }
        let standing = third.standing(&who).unwrap();
        assert_eq!((standing.score, standing.known), (0, 0));
    }
    // Bent, it is none.
    let bent = json.replacen("\\\"amount\\\":14", "\\\"amount\\\":26", 1);
    assert_ne!(bent, json);
    refusal(third.import(&bent));
    refusal(third.import("{\"kind\":3923}"));
    refusal(third.import(""));
}

#[test]
fn what_a_relay_says_of_people_is_taken_only_of_whom_one_looks_at() {
    let pair = settled(&[Requester, Worker], Wish::default());
    let event = pair.events.iter().find(|event| event.kind == RECEIPT).unwrap().clone();
    let worker = pair.core(Worker).identity();
    let mut other = Pair::new();
    let third = other.core_mut(Requester);
    assert_eq!(third.hear(&event).unwrap(), Taken::Nothing);
    third.look_at(&worker);
    assert!(
        third
            .subscriptions()
            .unwrap()
            .iter()
            .any(|s| { s.want == earnest::engine::Want::About(worker) })
    );
    if worker != third.identity() {
        assert_eq!(third.hear(&event).unwrap(), Taken::New);
        assert_eq!(third.hear(&event).unwrap(), Taken::Nothing);
        assert_eq!(third.store().testimonies(&worker).unwrap().len(), 1);
    }
}

#[test]
fn a_stranger_is_not_awarded_more_at_once_than_the_limit() {
    let mut pair = Pair::new();
    pair.core_mut(Requester).me_mut().policy.tranche = sats(10_000);
    let id = pair.bid(Wish::default());
    let why = refusal(pair.core_mut(Requester).award(&id));
    assert_eq!(why.code, "over-limit");
    assert!(
        why.sentence.contains("10,000 sat") && why.sentence.contains("nothing is known"),
        "{why}"
    );
    assert!(why.next.unwrap().contains("limits.tranche_sats"));
    // In parts that are small enough it is.
    let mut pair = Pair::new();
    pair.core_mut(Requester).me_mut().policy.tranche = sats(10_000);
    let id = pair.bid(Wish { tranches: Some(3), ..Wish::default() });
    pair.core_mut(Requester).award(&id).unwrap();
}

/// Another gig, bid on, and awarded if it may be.
fn another(pair: &mut Pair, mode: Mode) -> (BidId, Result<(), Trouble>) {
    let gig = pair.posted(|draft| draft.modes = vec![mode]);
    let id = pair.core_mut(Worker).bid(&gig, Wish::default(), "I can.").unwrap();
    pair.quiet();
    let awarded = pair.core_mut(Requester).award(&id);
    pair.quiet();
    (id, awarded)
}

#[test]
fn one_person_is_awarded_no_more_in_all_its_jobs_than_the_limit() {
    for mode in [Mode::Sealed, Mode::Escrow] {
        let mut pair = Pair::new();
        let policy = &mut pair.core_mut(Requester).me_mut().policy;
        (policy.tranche, policy.escrow) = (sats(50_000), sats(50_000));
        let (first, awarded) = another(&mut pair, mode);
        awarded.unwrap();
        another(&mut pair, mode).1.unwrap();
        let (third, awarded) = another(&mut pair, mode);
        let why = refusal(awarded);
        assert_eq!(why.code, "over-limit", "{mode:?}");
        assert!(why.sentence.contains("42,000 sat are open with this person"), "{why}");
        assert!(why.next.unwrap().contains("to its end first"));
        // A restart forgets nothing of it, and it is no matter of what else is open.
        pair.restart(Requester);
        let policy = &mut pair.core_mut(Requester).me_mut().policy;
        (policy.tranche, policy.escrow) = (sats(50_000), sats(50_000));
        assert_eq!(refusal(pair.core_mut(Requester).award(&third)).code, "over-limit");
        let other = if mode == Mode::Sealed { Mode::Escrow } else { Mode::Sealed };
        another(&mut pair, other).1.unwrap();
        another(&mut pair, Mode::Direct).1.unwrap();
        // One that is over makes room for the next.
        let reason = String::new();
        pair.core_mut(Requester).ask(&first, Ask::Cancel { reason }).unwrap();
        pair.quiet();
        pair.core_mut(Requester).award(&third).unwrap();
    }
}

#[test]
fn many_small_jobs_at_once_are_no_matter() {
    let mut pair = Pair::new();
    for _ in 0..11 {
        another(&mut pair, Mode::Sealed).1.unwrap();
    }
    // The twelfth of 21,000 sat would be more than 250,000 sat in one hand.
    assert_eq!(refusal(another(&mut pair, Mode::Sealed).1).code, "over-limit");
}

/// Somebody is caught in another job.
fn caught_elsewhere(pair: &mut Pair) {
    let (id, awarded) = another(pair, Mode::Sealed);
    awarded.unwrap();
    pair.side_mut(Worker).cheats = Some(0);
    pair.deliver_in(&id, "rubbish.bin", 20_000);
    pair.side_mut(Worker).cheats = None;
    pair.core_mut(Requester).ask(&id, Ask::Accept { max_fee: sats(100) }).unwrap();
    pair.quiet();
    assert_eq!(pair.core(Requester).job(&id).unwrap().phase, Phase::Cheated);
}

/// What the requester's node has sent for jobs in which nobody was caught.
fn sent(pair: &Pair) -> usize {
    pair.nodes.sent.len() - 1
}

#[test]
fn whoever_was_caught_since_the_award_is_paid_for_nothing_unseen() {
    let mut pair = Pair::new();
    let id = pair.delivered(Wish::default());
    caught_elsewhere(&mut pair);
    let accept = Ask::Accept { max_fee: sats(100) };
    let why = refusal(pair.core_mut(Requester).ask(&id, accept.clone()));
    assert_eq!(why.code, "proven-fraud");
    assert!(why.sentence.contains("Nothing was paid") && why.next.unwrap().contains("Cancel"));
    let bot = Actor::bot("labels").unwrap();
    pair.core_mut(Requester).set_budget(Budget {
        per_job: sats(21_000),
        per_person: sats(90_000),
        per_hour: sats(90_000),
        per_day: sats(90_000),
        at_risk: sats(90_000),
        approve_above: sats(21_000),
        ..Budget::default()
    });
    let bots = pair.core_mut(Requester).acting(&bot, |core| core.ask(&id, accept));
    assert_eq!(refusal(bots).code, "proven-fraud");
    assert_eq!(sent(&pair), 0);
    pair.core_mut(Requester).ask(&id, Ask::Cancel { reason: "Caught.".into() }).unwrap();
}

#[test]
fn a_bill_that_comes_after_the_proof_is_not_paid() {
    let mut pair = Pair::new();
    let id = pair.delivered(Wish { tranches: Some(3), ..Wish::default() });
    pair.side_mut(Worker).lazy = vec!["bill"];
    pair.core_mut(Requester).ask(&id, Ask::Accept { max_fee: sats(100) }).unwrap();
    pair.quiet();
    pair.side_mut(Worker).lazy.clear();
    caught_elsewhere(&mut pair);
    pair.wake(Worker);
    pair.quiet();
    let job = pair.core(Requester).job(&id).unwrap();
    assert_eq!((job.phase, sent(&pair)), (Phase::Delivered, 0));
    let why = job.reason.clone().unwrap();
    assert!(why.contains("proof stands") && why.contains("Nothing was paid"), "{why}");
}

#[test]
fn no_money_is_locked_for_whoever_was_caught_since_the_award() {
    // Before it is asked for, and between the word and the worker's invoice.
    for asked in [false, true] {
        let mut pair = Pair::new();
        pair.blocks(1000, &[Requester, Worker]);
        pair.side_mut(Worker).lazy = vec!["bill"];
        let (id, awarded) = another(&mut pair, Mode::Escrow);
        awarded.unwrap();
        if asked {
            pair.core_mut(Requester).fund(&id, sats(100)).unwrap();
            pair.quiet();
        }
        pair.side_mut(Worker).lazy.clear();
        caught_elsewhere(&mut pair);
        pair.wake(Worker);
        pair.quiet();
        pair.blocks(1002, &[Requester, Worker]);
        pair.quiet();
        let why = refusal(pair.core_mut(Requester).fund(&id, sats(100)));
        assert_eq!(why.code, "proven-fraud", "{asked}");
        assert!(why.sentence.contains("No money was locked"));
        let job = pair.core(Requester).job(&id).unwrap();
        assert_eq!((job.phase, sent(&pair)), (Phase::Awarded, 0), "{asked}: {:?}", job.reason);
    }
}

#[test]
fn what_lies_open_is_owed_whoever_did_it() {
    let mut pair = Pair::new();
    pair.blocks(1000, &[Requester, Worker]);
    let (direct, awarded) = another(&mut pair, Mode::Direct);
    awarded.unwrap();
    let (held, awarded) = another(&mut pair, Mode::Escrow);
    awarded.unwrap();
    pair.core_mut(Requester).fund(&held, sats(100)).unwrap();
    pair.quiet();
    for (id, name) in [(direct, "direct.bin"), (held, "held.bin")] {
        pair.deliver_in(&id, name, 20_000);
    }
    caught_elsewhere(&mut pair);
    for id in [direct, held] {
        pair.core_mut(Requester).ask(&id, Ask::Accept { max_fee: sats(100) }).unwrap();
        pair.quiet();
        let job = pair.core(Requester).job(&id).unwrap();
        assert_eq!(job.phase, Phase::Settled, "{:?}", job.reason);
    }
}

#[test]
fn what_was_agreed_is_paid_though_nobody_grew_in_standing() {
    let mut pair = Pair::new();
    let id = pair.delivered(Wish::default());
    // The person trusts strangers with less by now; what it promised it keeps.
    pair.core_mut(Requester).me_mut().policy.tranche = sats(1_000);
    pair.core_mut(Requester).ask(&id, Ask::Accept { max_fee: sats(100) }).unwrap();
    pair.quiet();
    assert_eq!(pair.phase(Requester), Phase::Settled);
}

#[test]
fn a_worker_trusts_a_stranger_with_no_more_in_all_its_bids_than_the_limit() {
    let mut pair = Pair::new();
    pair.core_mut(Worker).me_mut().policy.direct = sats(30_000);
    let (first, second) = (pair.posted(|_| {}), pair.posted(|_| {}));
    let direct = Wish { mode: Some(Mode::Direct), ..Wish::default() };
    let id = pair.core_mut(Worker).bid(&first, direct, "I can.").unwrap();
    let why = refusal(pair.core_mut(Worker).bid(&second, direct, "And this."));
    assert_eq!(why.code, "over-limit");
    assert!(why.sentence.contains("21,000 sat are open with this person"), "{why}");
    let withdraw = Ask::Withdraw { reason: String::new() };
    pair.core_mut(Worker).ask(&id, withdraw).unwrap();
    pair.core_mut(Worker).bid(&second, direct, "This, then.").unwrap();
}

#[test]
fn a_worker_trusts_a_stranger_in_the_open_with_no_more_than_the_limit() {
    let mut pair = Pair::new();
    pair.core_mut(Worker).me_mut().policy.direct = sats(10_000);
    let gig = pair.posted(|_| {});
    let direct = Wish { mode: Some(Mode::Direct), ..Wish::default() };
    let why = refusal(pair.core_mut(Worker).bid(&gig, direct, "I can."));
    assert_eq!(why.code, "over-limit");
    pair.core_mut(Worker).bid(&gig, Wish::default(), "Sealed, then.").unwrap();
}

#[test]
fn whoever_is_convicted_is_awarded_nothing() {
    let mut pair = Pair::new();
    pair.side_mut(Worker).cheats = Some(0);
    pair.delivered(Wish::default());
    pair.accept().unwrap();
    pair.quiet();
    assert_eq!(pair.phase(Requester), Phase::Cheated);
    let worker = pair.core(Worker).identity();
    assert!(pair.core(Requester).standing(&worker).unwrap().convicted);
    pair.side_mut(Worker).cheats = None;
    let id = pair.bid(Wish::default());
    assert_eq!(refusal(pair.core_mut(Requester).award(&id)).code, "proven-fraud");
}

#[test]
fn a_price_in_parts_needs_a_channel_that_it_fits_into() {
    let mut pair = Pair::new();
    pair.core_mut(Worker).me_mut().receivable = sats(20_999);
    let gig = pair.posted(|_| {});
    let parts = Wish { tranches: Some(3), ..Wish::default() };
    let why = refusal(pair.core_mut(Worker).bid(&gig, parts, "I can."));
    assert_eq!(why.code, "no-room-for-parts");
    assert!(why.sentence.contains("20,999 sat"), "{why}");
    assert!(why.next.unwrap().contains("one part"));
    pair.core_mut(Worker).me_mut().receivable = sats(21_000);
    pair.core_mut(Worker).bid(&gig, parts, "Now I can.").unwrap();
}

#[test]
fn a_bid_in_parts_by_somebody_without_a_channel_is_not_let_in() {
    let mut pair = Pair::new();
    pair.core_mut(Worker).me_mut().least_first = Some(sats(8_000));
    let gig = pair.posted(|_| {});
    let parts = Wish { tranches: Some(3), ..Wish::default() };
    let id = pair.core_mut(Worker).bid(&gig, parts, "I can.").unwrap();
    pair.quiet();
    assert!(pair.core(Requester).job(&id).is_none());
}

#[test]
fn two_records_with_one_number_convict_their_author() {
    let mut pair = Pair::new();
    pair.delivered(Wish::default());
    let text = |text: &str| Body::Note { text: earnest::text::Raw(text.into()) };
    let (first, one) = pair.forge(Worker, text("I will be late."), |_| {});
    let (_, two) = pair.forge(Worker, text("I will be early."), |_| {});
    assert_eq!(pair.hear(Requester, &one), Taken::New);
    assert_eq!(pair.hear(Requester, &two), Taken::New);
    pair.quiet();
    let job = pair.job(Requester);
    assert!(job.equivocated);
    let proof = std::fs::read_to_string(job.exposed.expect("a proof lies there")).unwrap();
    let worker = pair.core(Worker).identity();
    let guilty = verify_proof(proof.as_bytes()).unwrap();
    let Judgement::Guilty { against, offence, .. } = guilty else { panic!("{guilty:?}") };
    assert_eq!((against, offence), (worker, Offence::Records));
    // It holds words between the two, and stays with whom they were said to.
    assert!(pair.events.iter().all(|event| event.kind != 3922));
    assert!(pair.core(Requester).standing(&worker).unwrap().convicted);
    // The same record twice convicts nobody, nor does it under another's certificate.
    let certificate = &job.worker.event;
    let same = earnest::wire::pair_proof(certificate, &first.event, &first.event);
    assert!(matches!(verify_proof(same.as_bytes()), Ok(Judgement::Invalid { .. })));
    let ours = &pair.job(Worker).requester.unwrap().event;
    let other = proof.replace(
        &serde_json::to_string(certificate).unwrap(),
        &serde_json::to_string(ours).unwrap(),
    );
    assert_ne!(other, proof);
    assert!(verify_proof(other.as_bytes()).is_err());
}

#[test]
fn two_deliveries_with_one_number_convict_the_worker() {
    let mut pair = Pair::new();
    pair.delivered(Wish::default());
    let stands = pair.job(Worker).attempt.unwrap();
    let mut again = stands.delivery().unwrap().clone();
    again.manifest.root = again.manifest.blob;
    assert_eq!(pair.say(Worker, Body::Deliver(again)), Taken::New);
    pair.quiet();
    let job = pair.job(Requester);
    assert_eq!(job.phase, Phase::Delivered, "the first one stands");
    let proof = std::fs::read(job.exposed.expect("a proof lies there")).unwrap();
    let guilty = verify_proof(&proof).unwrap();
    let Judgement::Guilty { offence, .. } = guilty else { panic!("{guilty:?}") };
    assert_eq!(offence, Offence::Deliveries);
    // The next number for other work is what everybody does.
    let mut pair = Pair::new();
    pair.delivered(Wish::default());
    pair.reject().unwrap();
    pair.quiet();
    pair.deliver("again.bin", 40_000).unwrap();
    pair.quiet();
    assert!(pair.job(Requester).exposed.is_none());
}

#[test]
fn whom_we_follow_is_known_by_our_own_list_and_by_nobody_elses() {
    use nostr::JsonUtil as _;
    let mut pair = Pair::new();
    let worker = pair.core(Worker).identity();
    pair.core_mut(Requester).look_at(&worker);
    let tag = nostr::Tag::parse(["p", &worker.to_string()]).unwrap();
    let list = nostr::EventBuilder::new(nostr::Kind::ContactList, "").tag(tag);
    let stranger = list.sign_with_keys(&nostr::Keys::generate()).unwrap();
    let taken = pair.hear(Requester, &relayed(&stranger.as_json()));
    assert_eq!(taken, Taken::Nothing);
    assert_eq!(pair.core(Requester).standing(&worker).unwrap().distance, None);
    let _ = pair.side(Requester).keys.identity();
}

//! Liars: who may say what, hashes and invoices that are not the ones due, secrets known too early.

use bitcoin::secp256k1::SecretKey;
use earnest::engine::{EscrowView, NodeEvent, Scribe as _, Store as _, Taken};
use earnest::market::*;
use ldk_node::lightning_invoice::Currency;

use crate::course::*;
use crate::pair::*;

fn facts(pair: &Pair, who: Who) -> usize {
    pair.core(who).store().log(&pair.id()).unwrap().len()
}

/// PROTOCOL.md 11: the outer key taken for the author. Both sides hold K_sign.
#[test]
fn nobody_speaks_in_the_other_sides_name_or_in_the_judges() {
    for pair in [awarded(), funded(), delivered()] {
        let mut pair = pair;
        let lock = escrow(&pair, Worker).lock;
        let manifest = EventId([3; 32]);
        let x = pair.side(Requester).keys.escrow_key(&lock.nonce);
        let holding = Body::Holding {
            hash: lock.hash,
            certificate: String::new(),
            address: pair.me(Judge).address,
        };
        let judges = || {
            vec![
                holding.clone(),
                Body::Lodged { record: "{}".into(), height: 1000 },
                Body::Ruling { dispute: manifest, x: None, reason: "so".into() },
                Body::Ruling { dispute: manifest, x: Some(x), reason: "so".into() },
            ]
        };
        let mut workers = judges();
        workers.push(Body::Funded { attempt: 0, deadline: 5000 });
        workers.push(Body::Fund { attempt: 0, invoice: "lnbcrt1".into(), height: 1288 });
        workers.push(Body::Settled { manifest, receipt: None });
        if let Some(record) = pair.job(Worker).attempt.and_then(|work| work.record) {
            workers.push(record.draft.body);
        }
        let mut requesters = judges();
        let next = Lock { attempt: 1, hash: PaymentHash([9; 32]), ..lock };
        requesters.push(Body::Lock(next));
        requesters.push(Body::Accept { manifest, next: None, x: Some(x), receipt: None });
        requesters.push(Body::Reject { manifest, reason: "no".into(), next: None });
        for (liar, bodies) in [(Requester, workers), (Worker, requesters)] {
            let hearer = liar.other();
            for body in bodies {
                let (before, job) = (facts(&pair, hearer), pair.job(hearer));
                let what = body.kind();
                let taken = pair.say(liar, body);
                assert_eq!(code(&taken), "wrong-role", "{what}");
                assert_eq!(facts(&pair, hearer), before, "{what} wrote a fact");
                assert_eq!(pair.job(hearer), job, "{what}");
            }
        }
    }
}

#[test]
fn an_escrow_that_was_not_agreed_on_is_not_awarded() {
    let mut pair = Pair::new();
    pair.blocks(1000, &BOTH);
    pair.awarded(Wish::default());
    // In a sealed job an escrow's words are words.
    let job = pair.job(Worker);
    let lock = Lock { milestone: 0, attempt: 1, hash: PaymentHash([9; 32]), nonce: Nonce([1; 32]) };
    pair.say(Requester, Body::Lock(lock));
    assert_eq!(pair.phase(Worker), job.phase);
    assert_eq!(pair.job(Worker).escrow, None);
    pair.quiet();
    assert!(pair.nodes.invoices.is_empty());
}

#[test]
fn a_hold_invoice_that_is_not_the_one_due_is_not_paid() {
    type Bending = fn(&mut Bend);
    let bends: [(&str, Bending); 11] = [
        ("another amount", |b| b.order.amount = sats(21_001)),
        ("any amount", |b| b.any_amount = true),
        ("another hash", |b| b.order.hash = PaymentHash([9; 32])),
        ("another node", |b| b.node = SecretKey::from_slice(&[99; 32]).unwrap()),
        ("another network", |b| b.currency = Currency::Bitcoin),
        ("expired", |b| b.at = Time(START - 7200)),
        ("another purpose", |b| b.order.description_hash = Digest([1; 32])),
        ("one block too short", |b| b.cltv = u64::from(WINDOW) + 38),
        ("one block too long", |b| b.cltv = u64::from(WINDOW) + 88),
        ("a way that asks for days", |b| b.hint = Some(289)),
        ("almost expired", |b| b.order.expiry_secs = 29),
    ];
    for (what, bend) in bends {
        let (mut pair, order) = unanswered();
        fund(&mut pair).unwrap();
        let invoice = pair.invoice(Worker, &order, bend);
        let fund_body = Body::Fund { attempt: 0, invoice, height: 1000 + WINDOW };
        assert_eq!(pair.say(Worker, fund_body), Taken::New, "{what}");
        assert!(pair.nodes.sent.is_empty(), "{what}");
        assert!(pair.ledger(Requester).is_empty(), "{what}");
        assert_eq!(pair.phase(Requester), Phase::Awarded, "{what}");
        let reason = pair.job(Requester).reason.unwrap();
        assert!(reason.contains("Nothing was paid") || reason.contains("No money"), "{reason}");
    }
    // The edges themselves are good.
    for (cltv, hint) in [(39, None), (87, Some(288))] {
        let (mut pair, order) = unanswered();
        fund(&mut pair).unwrap();
        let invoice = pair.invoice(Worker, &order, |b| {
            (b.cltv, b.hint) = (u64::from(WINDOW) + cltv, hint);
        });
        pair.say(Worker, Body::Fund { attempt: 0, invoice, height: 1000 + WINDOW });
        assert_eq!(pair.phase(Requester), Phase::Funding, "{cltv}");
    }
}

/// The requester waits for a hold invoice that the worker's engine has not made.
fn unanswered() -> (Pair, BillOrder) {
    let mut pair = Pair::new();
    pair.blocks(1000, &BOTH);
    pair.side_mut(Worker).lazy = vec!["bill"];
    let gig = pair.posted(|draft| draft.modes = vec![Mode::Escrow]);
    let id = pair.core_mut(Worker).bid(&gig, Wish::default(), "I can.").unwrap();
    pair.quiet();
    pair.core_mut(Requester).award(&id).unwrap();
    pair.quiet();
    let Effect::Bill { order, .. } = pair.side(Worker).kept[0].1.clone() else { panic!() };
    (pair, order)
}

#[test]
fn a_height_that_is_not_the_chains_is_not_counted_from() {
    for height in [1000 + WINDOW - 7, 1000 + WINDOW + 2, 1, u32::MAX >> 4] {
        let (mut pair, order) = unanswered();
        fund(&mut pair).unwrap();
        let invoice = pair.invoice(Worker, &order, |_| {});
        pair.say(Worker, Body::Fund { attempt: 0, invoice, height });
        assert!(pair.nodes.sent.is_empty(), "{height}");
        assert_eq!(pair.phase(Requester), Phase::Awarded, "{height}");
    }
}

#[test]
fn a_hash_is_never_used_again() {
    // A second lock on a hash that came back.
    let mut pair = awarded();
    pair.nodes.no_route = 1;
    fund(&mut pair).unwrap();
    pair.quiet();
    assert_eq!(phases(&pair), (Phase::Awarded, Phase::Awarded));
    let old = escrow(&pair, Worker).lock;
    let before = facts(&pair, Worker);
    let taken = pair.say(Requester, Body::Lock(Lock { attempt: 1, ..old }));
    assert_eq!(code(&taken), "hash-reused");
    assert_eq!(facts(&pair, Worker), before);
    // The honest way takes a fresh one.
    fund(&mut pair).unwrap();
    pair.quiet();
    assert_eq!(phases(&pair), (Phase::Working, Phase::Working));
    assert_ne!(escrow(&pair, Worker).lock.hash, old.hash);
}

#[test]
fn money_for_a_lock_that_is_used_up_goes_back() {
    let mut pair = awarded();
    pair.side_mut(Requester).lazy = vec!["pay"];
    fund(&mut pair).unwrap();
    pair.quiet();
    let (_, effect) = pair.side(Requester).kept[0].clone();
    let Effect::Pay { order, .. } = effect else { panic!() };
    pair.blocks(1010, &BOTH);
    pair.wake(Requester);
    fund(&mut pair).unwrap();
    pair.quiet();
    assert_eq!(escrow(&pair, Worker).lock.attempt, 1);
    // Now the old invoice is paid as well, by whoever.
    pair.pay(Requester, &PayOrder { tips: None, ..order.clone() }).unwrap();
    pair.quiet();
    assert_eq!(pair.nodes.htlcs[&order.hash].2, Htlc::Failed);
    assert_eq!(phases(&pair), (Phase::Working, Phase::Working), "the one that stands is untouched");
    assert!(escrow(&pair, Worker).is_locked());
}

#[test]
fn a_wrong_secret_claims_nothing_and_changes_nothing() {
    let mut pair = delivered();
    let manifest = pair.job(Worker).attempt.unwrap().record.unwrap().id;
    let x = Some(Preimage::new([7; 32]));
    assert_eq!(
        pair.say(Requester, Body::Accept { manifest, next: None, x, receipt: None }),
        Taken::New
    );
    pair.quiet();
    assert_eq!(pair.phase(Worker), Phase::Delivered);
    assert!(pair.job(Worker).stuck.iter().any(|s| s.contains("does not open")));
    assert!(escrow(&pair, Worker).is_locked());
    // Nor does acceptance without one.
    assert_eq!(
        pair.say(Requester, Body::Accept { manifest, next: None, x: None, receipt: None }),
        Taken::New
    );
    pair.quiet();
    assert_eq!(pair.phase(Worker), Phase::Delivered);
    assert_eq!(pair.nodes.earned, [0, 0]);
}

#[test]
fn a_secret_that_was_taken_on_the_way_still_pays_the_worker() {
    for pair in [funded(), delivered()] {
        let mut pair = pair;
        let lock = escrow(&pair, Requester).lock;
        let x = pair.side(Requester).keys.escrow_key(&lock.nonce);
        // A hop knows the secret (a judge told it) and takes the requester's payment; the worker's own
        // HTLC is still there.
        let paid = NodeEvent::Paid { hash: lock.hash, preimage: x, fee: sats(1) };
        pair.side_mut(Requester).queue.push_back(paid);
        pair.quiet();
        assert_eq!(phases(&pair), (Phase::Settled, Phase::Settled));
        assert!(pair.job(Requester).reason.unwrap().contains("before you released it"));
        assert_eq!(pair.nodes.earned[1], i128::from(sats(21_000).get()));
    }
}

#[test]
fn a_hash_that_says_paid_without_its_secret_proves_nothing() {
    let mut pair = funded();
    let hash = escrow(&pair, Requester).lock.hash;
    let preimage = Preimage::new([7; 32]);
    pair.side_mut(Requester).queue.push_back(NodeEvent::Paid { hash, preimage, fee: sats(1) });
    pair.quiet();
    assert_eq!(phases(&pair), (Phase::Working, Phase::Working));
}

#[test]
fn a_delivery_without_its_keys_or_with_others_is_refused() {
    for bend in [
        |keys: &mut Vec<Preimage>| keys.clear(),
        |keys: &mut Vec<Preimage>| keys[0] = Preimage::new([5; 32]),
    ] {
        let mut donor = delivered();
        let Body::Deliver(mut delivery) =
            donor.job(Worker).attempt.unwrap().record.unwrap().draft.body
        else {
            panic!()
        };
        donor.reject().unwrap();
        donor.quiet();
        bend(&mut delivery.keys);
        delivery.manifest.delivery += 1;
        assert_eq!(donor.say(Worker, Body::Deliver(delivery)), Taken::New);
        assert_eq!(donor.phase(Requester), Phase::Working);
        let last = donor.job(Requester).ours.last.unwrap();
        assert_eq!(last.draft.body.kind(), "reject");
        assert!(escrow(&donor, Requester).is_locked());
    }
}

#[test]
fn a_requester_who_never_releases_pays_nothing_and_gets_the_work() {
    // What an escrow without a judge does not cover, and says so before anybody commits.
    assert!(escrow_risk(Role::Worker).contains("costs you the work"));
    let mut pair = delivered();
    let end = escrow(&pair, Worker).end.unwrap();
    pair.blocks(end, &BOTH);
    pair.quiet();
    assert_refunded(&pair);
}

#[test]
fn the_worst_height_is_shown_before_the_money_is_locked() {
    let mut pair = awarded();
    let shown = EscrowView::of(&pair.job(Requester)).unwrap();
    fund(&mut pair).unwrap();
    pair.quiet();
    let worst = escrow(&pair, Requester).worst_refund(WINDOW).unwrap();
    assert!(shown.back_by(1000).contains(&format!("block {worst}:")), "{}", shown.back_by(1000));
    // A bill that is too old by then is followed by another, which is not here to be read.
    let later = 1007 + longest_hold(WINDOW);
    let words = shown.back_by(1007);
    assert!(words.contains(&format!("block {later} if it is locked now, plus")), "{words}");
}

#[test]
fn the_worst_height_of_a_refund_is_known_before_and_holds() {
    let pair = funded();
    let worst = escrow(&pair, Requester).worst_refund(WINDOW).unwrap();
    let deadline = *pair.nodes.deadlines.values().next().unwrap();
    assert!(worst >= deadline + 39 + 288 - 48, "{worst} {deadline}");
    assert!(worst <= 1006 + WINDOW + 87 + 289);
}

#[test]
fn a_cheat_in_an_escrow_is_remembered_and_trusted_with_nothing_more() {
    let mut pair = funded();
    pair.side_mut(Worker).cheats = Some(0);
    pair.deliver("rubbish.bin", 50_000).unwrap();
    pair.quiet();
    assert_eq!(pair.job(Requester).ours.last.unwrap().draft.body.kind(), "reject");
    let worker = pair.core(Worker).identity();
    let assert_convicted = |pair: &Pair| {
        let core = pair.core(Requester);
        assert!(core.standing(&worker).unwrap().convicted);
        assert!(core.limits(&worker).unwrap().proven);
        assert_eq!(core.people(Some(&worker), 1)[0].cheats, 1);
        assert!(earnest::engine::JobView::of(&pair.job(Requester), pair.now(), None).caught);
    };
    assert_convicted(&pair);
    pair.restart(Requester);
    pair.quiet();
    assert_convicted(&pair);
    // What lies open is owed all the same: it mends the work, is paid for it, and is believed no more.
    pair.side_mut(Worker).cheats = None;
    pair.blocks(pair.nodes.height, &BOTH);
    pair.deliver("work.bin", 50_000).unwrap();
    pair.quiet();
    pair.accept().unwrap();
    pair.quiet();
    assert_paid(&pair);
    assert_convicted(&pair);
    let id = pair.bid(Wish::default());
    assert_eq!(refused(pair.core_mut(Requester).award(&id)), "proven-fraud");
    // The worker's own book says nothing of it, and nothing against the requester.
    let requester = pair.core(Requester).identity();
    assert!(!pair.core(Worker).standing(&requester).unwrap().convicted);
}

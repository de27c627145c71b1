//! Bills, payments and what the node says of them.

use bitcoin::secp256k1::SecretKey;
use earnest::engine::{Fault, NodeEvent, Taken};
use earnest::market::*;
use ldk_node::lightning_invoice::Currency;

use crate::pair::*;
use crate::whole::{assert_settled, wish};

/// The requester has said pay, and the worker's node is in the test's hands.
fn accepted(mode: Mode, tranches: u32) -> (Pair, BillOrder, EventId) {
    let mut pair = Pair::new();
    pair.delivered(wish(mode, tranches));
    pair.side_mut(Worker).lazy = vec!["bill"];
    pair.accept().unwrap();
    pair.quiet();
    let Effect::Bill { order, .. } = pair.side(Worker).kept[0].1.clone() else { panic!() };
    let manifest = pair.job(Worker).attempt.unwrap().record.unwrap().id;
    (pair, order, manifest)
}

#[test]
fn an_invoice_that_is_not_the_one_due_is_not_paid() {
    type Bending = fn(&mut Bend);
    let bends: [(&str, Bending); 9] = [
        ("another amount", |b| b.order.amount = sats(21_001)),
        ("any amount", |b| b.any_amount = true),
        ("another hash", |b| b.order.hash = PaymentHash([9; 32])),
        ("another node", |b| b.node = SecretKey::from_slice(&[99; 32]).unwrap()),
        ("another network", |b| b.currency = Currency::Bitcoin),
        ("expired", |b| b.at = Time(START - 7200)),
        ("another purpose", |b| b.order.description_hash = Digest([1; 32])),
        ("locked for weeks", |b| b.cltv = 1000),
        ("almost expired", |b| b.order.expiry_secs = 29),
    ];
    for mode in [Mode::Sealed, Mode::Direct] {
        for (what, bend) in bends {
            if mode == Mode::Direct && what == "another hash" {
                continue; // Any hash of the worker's own will do: nothing is opened with it.
            }
            let (mut pair, order, manifest) = accepted(mode, 1);
            let invoice = pair.invoice(Worker, &order, bend);
            assert_eq!(pair.say(Worker, Body::Bill { manifest, tranche: 0, invoice }), Taken::New);
            pair.quiet();
            assert_eq!(pair.phase(Requester), Phase::Delivered, "{what}");
            let reason = pair.job(Requester).reason.unwrap();
            assert!(reason.contains("Nothing was paid"), "{what}: {reason}");
            assert!(pair.nodes.sent.is_empty() && pair.ledger(Requester).is_empty(), "{what}");
            // A right one is still possible.
            pair.accept().unwrap();
        }
    }
}

#[test]
fn a_bill_that_is_no_invoice_is_not_paid() {
    let (mut pair, _, manifest) = accepted(Mode::Sealed, 1);
    let invoice = "lnbcrt210u1pj".to_owned();
    assert_eq!(pair.say(Worker, Body::Bill { manifest, tranche: 0, invoice }), Taken::New);
    assert_eq!(pair.phase(Requester), Phase::Delivered);
    assert!(pair.ledger(Requester).is_empty());
}

#[test]
fn a_bill_that_nobody_asked_for_is_not_paid() {
    let (mut pair, order, manifest) = accepted(Mode::Sealed, 2);
    let invoice = pair.invoice(Worker, &order, |_| {});
    let bill = |manifest, tranche| Body::Bill { manifest, tranche, invoice: invoice.clone() };
    // Another tranche, another delivery.
    pair.say(Worker, bill(manifest, 1));
    pair.say(Worker, bill(EventId([3; 32]), 0));
    assert_eq!(pair.phase(Requester), Phase::Accepted);
    // Before accept.
    let mut early = Pair::new();
    early.delivered(wish(Mode::Sealed, 1));
    let manifest = early.job(Worker).attempt.unwrap().record.unwrap().id;
    let order = BillOrder { hash: early.job(Worker).attempt.unwrap().hashes[0], ..order };
    let invoice = early.invoice(Worker, &order, |_| {});
    early.say(Worker, Body::Bill { manifest, tranche: 0, invoice });
    early.quiet();
    assert_eq!(early.phase(Requester), Phase::Delivered);
    assert!(early.nodes.sent.is_empty());
}

#[test]
fn the_same_bill_twice_is_paid_once() {
    let (mut pair, order, manifest) = accepted(Mode::Sealed, 1);
    pair.side_mut(Worker).lazy = vec!["bill", "claim"];
    let invoice = pair.invoice(Worker, &order, |_| {});
    for seq in 0..2 {
        let body = Body::Bill { manifest, tranche: 0, invoice: invoice.clone() };
        assert_eq!(pair.say(Worker, body), Taken::New, "{seq}");
        pair.effects(Requester);
    }
    assert_eq!(pair.nodes.sent.len(), 1);
    assert_eq!(pair.ledger(Requester).len(), 1);
}

#[test]
fn too_little_to_pay_with_is_said_before_anything_moves() {
    let mut pair = Pair::new();
    pair.delivered(wish(Mode::Sealed, 1));
    pair.core_mut(Requester).me_mut().spendable = sats(20_999);
    assert_eq!(refused(pair.accept()), "insufficient-funds");
    assert_eq!(pair.phase(Requester), Phase::Delivered);
    // It is short only when the bill comes.
    pair.core_mut(Requester).me_mut().spendable = sats(21_000);
    pair.accept().unwrap();
    pair.core_mut(Requester).me_mut().spendable = Msat::ZERO;
    pair.quiet();
    assert_eq!(pair.phase(Requester), Phase::Delivered);
    assert!(pair.nodes.sent.is_empty() && pair.ledger(Requester).is_empty());
    pair.core_mut(Requester).me_mut().spendable = sats(50_000);
    pair.accept().unwrap();
    pair.quiet();
    assert_settled(&pair, 1);
}

#[test]
fn no_route_is_said_and_the_next_try_pays_once() {
    let mut pair = Pair::new();
    pair.delivered(wish(Mode::Sealed, 1));
    pair.nodes.no_route = 1;
    pair.accept().unwrap();
    pair.quiet();
    let job = pair.job(Requester);
    assert_eq!(job.phase, Phase::Delivered);
    assert!(job.reason.unwrap().contains("Nothing left your wallet"));
    pair.accept().unwrap();
    pair.quiet();
    assert_settled(&pair, 1);
}

#[test]
fn what_the_node_says_of_strangers_money_touches_no_job() {
    let mut pair = Pair::new();
    pair.delivered(wish(Mode::Sealed, 1));
    let hash = PaymentHash([77; 32]);
    let before = pair.job(Worker);
    let core = pair.core_mut(Worker);
    let claimable = NodeEvent::Claimable { hash, amount: sats(1), deadline: None };
    assert_eq!(core.node(&claimable).unwrap(), Some(hash), "handed back");
    assert_eq!(core.node(&NodeEvent::Received { hash, amount: sats(1) }).unwrap(), None);
    let reason = "no".into();
    assert_eq!(core.node(&NodeEvent::Failed { hash, reason }).unwrap(), None);
    let paid = NodeEvent::Paid { hash, preimage: Preimage::new([1; 32]), fee: Msat::ZERO };
    assert_eq!(core.node(&paid).unwrap(), None);
    assert_eq!(pair.job(Worker), before);
}

#[test]
fn less_than_was_billed_is_sent_back_and_no_key_given() {
    let (mut pair, order, _) = accepted(Mode::Sealed, 1);
    pair.wake(Worker);
    let short = sats(20_999);
    let invoice = pair.nodes.invoices[&order.hash].1.invoice.clone();
    pair.side_mut(Requester).deaf = true;
    let order =
        PayOrder { invoice, hash: order.hash, amount: short, max_fee: Msat::ZERO, tips: None };
    pair.pay(Requester, &order).unwrap();
    pair.quiet();
    assert_eq!(pair.nodes.htlcs[&order.hash].2, Htlc::Failed);
    assert_eq!(pair.nodes.earned, [0, 0]);
    assert_eq!(pair.ledger(Worker)[0].state, "billed");
    // Nothing is lost: the right amount still settles it.
    pair.side_mut(Requester).deaf = false;
    pair.quiet();
    assert_eq!(pair.phase(Worker), Phase::Settled);
}

#[test]
fn a_preimage_that_is_none_proves_nothing() {
    let mut pair = Pair::new();
    pair.delivered(wish(Mode::Sealed, 1));
    pair.side_mut(Worker).lazy = vec!["claim"];
    pair.accept().unwrap();
    pair.quiet();
    assert_eq!(pair.phase(Requester), Phase::Paying);
    let hash = pair.ledger(Requester)[0].hash;
    let before = pair.job(Requester);
    let paid = NodeEvent::Paid { hash, preimage: Preimage::new([1; 32]), fee: Msat::ZERO };
    pair.core_mut(Requester).node(&paid).unwrap();
    assert_eq!(pair.job(Requester), before);
    pair.wake(Worker);
    pair.quiet();
    assert_settled(&pair, 1);
}

#[test]
fn a_claim_that_says_ok_is_not_taken_for_paid() {
    // PROTOCOL.md 11, third: only `Received` settles.
    let mut pair = Pair::new();
    pair.delivered(wish(Mode::Sealed, 1));
    pair.nodes.claims_lost = true;
    pair.accept().unwrap();
    pair.quiet();
    pair.restart(Worker);
    pair.quiet();
    assert_eq!(pair.phase(Worker), Phase::Paying);
    pair.core_mut(Worker).height(1000).unwrap();
    pair.quiet();
    assert_eq!(pair.phase(Worker), Phase::Paying, "it may be on the chain");
    pair.core_mut(Worker).height(1145).unwrap();
    pair.quiet();
    let job = pair.job(Worker);
    assert_eq!(job.phase, Phase::Expired);
    assert_eq!(pair.ledger(Worker)[0].state, "lost");
    assert!(job.ours.last.unwrap().draft.body.kind() != "settled");
    // The requester's node gets its money back, and its engine says so.
    let hash = pair.ledger(Worker)[0].hash;
    pair.fail(&hash);
    pair.quiet();
    assert_eq!(pair.ledger(Requester)[0].state, "failed");
    assert_eq!(pair.nodes.earned, [0, 0]);
}

#[test]
fn a_bill_told_twice_after_the_money_came_does_not_unmake_it() {
    let mut pair = Pair::new();
    pair.delivered(wish(Mode::Sealed, 1));
    pair.accept().unwrap();
    pair.quiet();
    let billed = |(_, effect, _): &&(_, Effect, _)| effect.kind() == "bill";
    let (row, effect, outcome) = pair.side(Worker).ran.iter().find(billed).unwrap().clone();
    pair.core_mut(Worker).done(&row, &effect, Ok(outcome)).unwrap();
    assert_eq!(pair.ledger(Worker)[0].state, "received");
    let never = Err(Fault::Never("no".into()));
    pair.core_mut(Worker).done(&row, &effect, never).unwrap();
    pair.quiet();
    assert_settled(&pair, 1);
}

#[test]
fn one_hash_is_never_paid_for_two_jobs() {
    // A direct job is billed with the hash of a sealed delivery of another job, which is then billed too.
    let mut pair = Pair::new();
    let gig = pair.posted(|draft| draft.slots = 2);
    let sealed = pair.core_mut(Worker).bid(&gig, wish(Mode::Sealed, 1), "One.").unwrap();
    pair.quiet();
    pair.core_mut(Requester).award(&sealed).unwrap();
    pair.quiet();
    let other = pair.posted(|draft| draft.title = "Another".into());
    let direct = pair.core_mut(Worker).bid(&other, wish(Mode::Direct, 1), "Two.").unwrap();
    pair.quiet();
    pair.core_mut(Requester).award(&direct).unwrap();
    pair.quiet();
    for id in [sealed, direct] {
        pair.deliver_in(&id, &format!("{}.bin", id.short()), 20_000);
    }
    pair.side_mut(Worker).lazy = vec!["bill"];
    let max_fee = sats(10);
    for id in [sealed, direct] {
        pair.core_mut(Requester).ask(&id, Ask::Accept { max_fee }).unwrap();
    }
    pair.quiet();
    let orders: Vec<_> =
        pair.side(Worker).kept.iter().map(|(row, e)| (row.log, e.clone())).collect();
    let order = |id| match &orders.iter().find(|(log, _)| *log == id).unwrap().1 {
        Effect::Bill { order, .. } => order.clone(),
        other => panic!("{other:?}"),
    };
    let stolen = BillOrder { hash: order(sealed).hash, ..order(direct) };
    let invoice = pair.invoice(Worker, &stolen, |_| {});
    let manifest =
        pair.core(Worker).job(&direct).unwrap().attempt.clone().unwrap().record.unwrap().id;
    let bill = Body::Bill { manifest, tranche: 0, invoice };
    let event = pair.forge_in(&direct, Worker, bill);
    pair.hear(Requester, &event);
    pair.quiet();
    assert!(pair.nodes.sent.is_empty(), "the hash belongs to the other job");
    assert_eq!(pair.core(Requester).job(&direct).unwrap().phase, Phase::Delivered);
    pair.wake(Worker);
    pair.quiet();
    assert_eq!(pair.core(Requester).job(&sealed).unwrap().phase, Phase::Settled);
}

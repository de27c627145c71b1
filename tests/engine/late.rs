//! What comes late, out of order or for something that is over.

use earnest::engine::{Fault, Taken, Trouble};
use earnest::market::*;
use earnest::text::Raw;

use crate::pair::*;
use crate::whole::{assert_settled, wish};

#[test]
fn the_inspection_of_one_delivery_says_nothing_about_the_next() {
    let mut pair = Pair::new();
    pair.awarded(wish(Mode::Sealed, 1));
    pair.side_mut(Requester).lazy = vec!["inspect"];
    pair.deliver("first.bin", 30_000).unwrap();
    pair.quiet();
    let (row, effect) = pair.side(Requester).kept[0].clone();
    let Ran::Outcome(found) = pair.perform(Requester, &row, &effect) else { panic!() };
    assert_eq!(found, Ok(Outcome::Inspected));
    pair.reject().unwrap();
    pair.quiet();
    pair.deliver("second.bin", 30_000).unwrap();
    pair.quiet();
    let second = pair.job(Requester).attempt.unwrap();
    assert!(second.blob.is_some() && second.vector.is_some() && !second.inspected);
    // The first inspection ends only now.
    pair.core_mut(Requester).done(&row, &effect, found).unwrap();
    assert!(!pair.job(Requester).attempt.unwrap().inspected, "nobody looked at this one");
    assert_eq!(refused(pair.accept()), "not-inspected");
    // Nor does a bad word about the first one refuse the second.
    let (code, sentence) = ("bad".into(), "It is not.".into());
    let bad = Ok(Outcome::Refused { code, sentence });
    pair.core_mut(Requester).done(&row, &effect, bad).unwrap();
    assert_eq!(pair.phase(Requester), Phase::Delivered);
    pair.side_mut(Requester).kept.remove(0);
    pair.wake(Requester);
    pair.accept().unwrap();
    pair.quiet();
    assert_settled(&pair, 1);
}

#[test]
fn a_fetch_that_failed_for_one_delivery_does_not_refuse_the_next() {
    let mut pair = Pair::new();
    pair.awarded(wish(Mode::Sealed, 1));
    pair.side_mut(Requester).lazy = vec!["fetch"];
    pair.deliver("first.bin", 30_000).unwrap();
    pair.quiet();
    let (row, effect) = pair.side(Requester).kept[0].clone();
    pair.reject().unwrap();
    pair.quiet();
    pair.deliver("second.bin", 30_000).unwrap();
    pair.quiet();
    let gone = Err(Fault::Never("gone".into()));
    pair.core_mut(Requester).done(&row, &effect, gone).unwrap();
    assert_eq!(pair.phase(Requester), Phase::Delivered);
    assert!(pair.job(Requester).attempt.is_some());
}

#[test]
fn a_second_delivery_changes_nothing_that_stands() {
    for paid in [false, true] {
        let mut pair = Pair::new();
        pair.delivered(wish(Mode::Sealed, 1));
        pair.side_mut(Requester).lazy = vec!["open"];
        if paid {
            pair.accept().unwrap();
            pair.quiet();
            assert!(pair.job(Requester).attempt.unwrap().tranches[0].key.is_some());
        }
        let before = pair.job(Requester);
        let Body::Deliver(mut delivery) =
            before.attempt.clone().unwrap().record.unwrap().draft.body
        else {
            panic!()
        };
        delivery.manifest.delivery = 1;
        delivery.manifest.h[0] = earnest::seal::Hash32::new([9; 32]);
        assert_eq!(pair.say(Worker, Body::Deliver(delivery)), Taken::New);
        let after = pair.job(Requester);
        assert_eq!(after.phase, before.phase);
        assert_eq!(after.attempt, before.attempt, "the key that was paid for is not forgotten");
        assert_eq!(after.deliveries, before.deliveries);
    }
}

#[test]
fn a_delivery_after_the_end_raises_nothing_from_the_dead() {
    let mut pair = Pair::new();
    pair.awarded(wish(Mode::Sealed, 1));
    pair.side_mut(Worker).deaf = true;
    pair.cancel(Requester).unwrap();
    pair.deliver("late.bin", 30_000).unwrap();
    pair.quiet();
    assert_eq!(pair.phase(Requester), Phase::Cancelled);
    assert!(pair.job(Requester).attempt.is_none());
}

#[test]
fn a_seal_that_ends_after_the_job_delivers_nothing() {
    for lapse in [false, true] {
        let mut pair = Pair::new();
        pair.awarded(wish(Mode::Sealed, 1));
        pair.side_mut(Worker).lazy = vec!["seal"];
        pair.deliver("work.bin", 30_000).unwrap();
        pair.quiet();
        if lapse {
            pair.pass(Span::DAY.times(2));
        } else {
            pair.cancel(Worker).unwrap();
        }
        pair.quiet();
        let (phase, said) = (pair.phase(Worker), pair.job(Worker).ours);
        assert!(phase.is_over());
        pair.wake(Worker);
        pair.quiet();
        assert_eq!(pair.phase(Worker), phase);
        assert_eq!(pair.job(Worker).ours, said, "nothing is delivered into a job that is over");
    }
}

#[test]
fn a_seal_that_failed_costs_no_number_and_a_late_word_of_it_no_delivery() {
    let mut pair = Pair::new();
    pair.awarded(wish(Mode::Sealed, 1));
    pair.side_mut(Worker).lazy = vec!["seal"];
    pair.deliver("first.bin", 30_000).unwrap();
    pair.quiet();
    let (row, effect) = pair.side_mut(Worker).kept.remove(0);
    let failed = || Err(Fault::Never("The file is gone.".into()));
    pair.core_mut(Worker).done(&row, &effect, failed()).unwrap();
    assert!(pair.job(Worker).attempt.is_none());
    pair.side_mut(Worker).lazy.clear();
    pair.deliver("second.bin", 30_000).unwrap();
    pair.quiet();
    assert_eq!(pair.phase(Requester), Phase::Delivered, "{:?}", pair.job(Requester).reason);
    pair.core_mut(Worker).done(&row, &effect, failed()).unwrap();
    assert!(pair.job(Worker).attempt.is_some(), "what is signed is not unsigned");
    pair.accept().unwrap();
    pair.quiet();
    assert_settled(&pair, 1);
}

#[test]
fn a_bill_for_a_rejected_delivery_does_not_stick_to_the_next() {
    let mut pair = Pair::new();
    pair.delivered(wish(Mode::Sealed, 1));
    pair.side_mut(Worker).lazy = vec!["bill"];
    pair.accept().unwrap();
    pair.quiet();
    let (row, effect) = pair.side_mut(Worker).kept.remove(0);
    let Ran::Outcome(billed) = pair.perform(Worker, &row, &effect) else { panic!() };
    pair.reject().unwrap();
    pair.quiet();
    pair.side_mut(Worker).lazy.clear();
    pair.deliver("second.bin", 30_000).unwrap();
    pair.quiet();
    pair.core_mut(Worker).done(&row, &effect, billed).unwrap();
    assert!(pair.job(Worker).attempt.unwrap().tranches[0].invoice.is_none());
    pair.quiet();
    pair.accept().unwrap();
    pair.quiet();
    assert_eq!(pair.phase(Requester), Phase::Settled, "{:?}", pair.job(Requester).reason);
}

#[test]
fn a_rejection_of_another_delivery_changes_nothing() {
    let mut pair = Pair::new();
    pair.delivered(wish(Mode::Sealed, 1));
    let reject = Body::Reject { manifest: EventId([7; 32]), reason: Raw::from("no"), next: None };
    assert_eq!(pair.say(Requester, reject), Taken::New);
    assert_eq!(pair.phase(Worker), Phase::Delivered);
    assert!(pair.job(Worker).attempt.is_some());
}

#[test]
fn a_rejected_delivery_that_is_paid_all_the_same_is_handed_back() {
    let mut pair = Pair::new();
    pair.delivered(wish(Mode::Sealed, 1));
    pair.accept().unwrap();
    // The bill is out; the requester does not hear it, rejects, and its node pays all the same.
    pair.effects(Requester);
    pair.listen(Worker);
    pair.effects(Worker);
    pair.side_mut(Requester).deaf = true;
    pair.effects(Worker);
    let row = pair.ledger(Worker).remove(0);
    assert_eq!(row.state, "billed");
    pair.reject().unwrap();
    pair.quiet();
    assert_eq!(pair.phase(Worker), Phase::Working);
    for restart in [false, true] {
        if restart {
            pair.restart(Worker);
        }
        let order = PayOrder {
            invoice: row.invoice.clone(),
            hash: row.hash,
            amount: row.amount,
            max_fee: Msat::ZERO,
            tips: None,
        };
        pair.pay(Requester, &order).unwrap();
        pair.quiet();
        assert_eq!(pair.nodes.htlcs[&row.hash].2, Htlc::Failed, "no key for money that is not due");
        assert_eq!(pair.nodes.earned, [0, 0]);
    }
}

#[test]
fn nothing_beats_a_payment_on_its_way() {
    // The worker cancels while the payment is in flight; then the requester tries.
    let mut pair = Pair::new();
    pair.delivered(wish(Mode::Sealed, 1));
    pair.side_mut(Worker).lazy = vec!["claim"];
    pair.accept().unwrap();
    pair.side_mut(Worker).deaf = false;
    pair.quiet();
    assert_eq!((pair.phase(Requester), pair.phase(Worker)), (Phase::Paying, Phase::Paying));
    for who in [Requester, Worker] {
        assert_eq!(refused(pair.cancel(who)), "paid");
        let cancel = Body::Cancel { reason: Raw::from("stop") };
        // A hostile program says it all the same.
        assert_eq!(pair.say(who, cancel), Taken::New);
        assert_eq!(pair.phase(who.other()), Phase::Paying);
        let told = pair.core_mut(who.other()).take_notices();
        assert!(
            told.iter().all(|n| n.code != "cancelled"),
            "nobody is told that a paid job is cancelled: {told:?}"
        );
    }
    pair.wake(Worker);
    // The forged words took the place of our own in the chains; the money moves all the same.
    pair.quiet();
    assert_eq!((pair.phase(Requester), pair.phase(Worker)), (Phase::Settled, Phase::Settled));
    assert_eq!(pair.nodes.earned[1], i128::from(sats(21_000).get()));
}

#[test]
fn a_cancel_that_crosses_the_payment_loses() {
    let mut pair = Pair::new();
    pair.delivered(wish(Mode::Sealed, 1));
    pair.accept().unwrap();
    pair.effects(Requester);
    pair.listen(Worker);
    pair.effects(Worker);
    pair.effects(Worker);
    // The bill is out. The worker cancels before it sees the HTLC.
    pair.cancel(Worker).unwrap();
    assert_eq!(pair.phase(Worker), Phase::Cancelled);
    pair.listen(Requester);
    pair.quiet();
    assert_settled(&pair, 1);
}

#[test]
fn a_cancel_while_the_requester_waits_for_the_bill_costs_nothing() {
    for who in [Requester, Worker] {
        let mut pair = Pair::new();
        pair.delivered(wish(Mode::Sealed, 1));
        pair.side_mut(Worker).lazy = vec!["bill"];
        pair.accept().unwrap();
        pair.quiet();
        assert_eq!(pair.phase(Requester), Phase::Accepted);
        pair.cancel(who).unwrap();
        pair.quiet();
        pair.wake(Worker);
        pair.quiet();
        assert_eq!(
            (pair.phase(Requester), pair.phase(Worker)),
            (Phase::Cancelled, Phase::Cancelled)
        );
        assert!(pair.nodes.sent.is_empty());
        assert!(pair.core(Worker).grants().is_empty(), "nothing is served after the end");
    }
}

#[test]
fn nothing_is_served_after_a_deadline_ended_the_job() {
    let mut pair = Pair::new();
    pair.delivered(wish(Mode::Sealed, 1));
    assert!(!pair.core(Worker).grants().is_empty());
    pair.pass(Span::DAY.times(3));
    pair.quiet();
    assert_eq!((pair.phase(Requester), pair.phase(Worker)), (Phase::Expired, Phase::Expired));
    assert!(pair.core(Worker).grants().is_empty());
}

#[test]
fn a_late_ready_is_not_billed() {
    let mut pair = Pair::new();
    pair.delivered(wish(Mode::Sealed, 1));
    let manifest = pair.job(Worker).attempt.unwrap().record.unwrap().id;
    pair.pass(Span::DAY.times(3));
    pair.side_mut(Requester).deaf = true;
    pair.quiet();
    assert_eq!(pair.phase(Worker), Phase::Expired);
    assert_eq!(pair.say(Requester, Body::Ready { manifest, tranche: 0 }), Taken::New);
    pair.quiet();
    assert!(pair.ledger(Worker).is_empty());
}

#[test]
fn a_ready_for_a_tranche_that_is_not_its_turn_is_not_billed() {
    let mut pair = Pair::new();
    pair.delivered(wish(Mode::Sealed, 3));
    let manifest = pair.job(Worker).attempt.unwrap().record.unwrap().id;
    for tranche in [1, 2, 3, 63] {
        assert_eq!(pair.say(Requester, Body::Ready { manifest, tranche }), Taken::New);
    }
    let wrong = Body::Ready { manifest: EventId([8; 32]), tranche: 0 };
    assert_eq!(pair.say(Requester, wrong), Taken::New);
    pair.quiet();
    assert!(pair.ledger(Worker).is_empty());
}

#[test]
fn whoever_never_answers_is_told_five_times_and_no_more() {
    let mut pair = Pair::new();
    pair.awarded(Wish::default());
    pair.side_mut(Worker).deaf = true;
    pair.ask(Requester, Ask::Note { text: "Hello?".into() }).unwrap();
    pair.quiet();
    let mut rounds = 0;
    while let Some(at) = pair.core(Requester).wake_at() {
        let Some(resend) = pair.job(Requester).resend_at() else { break };
        assert!(at <= resend);
        let wait = pair.now().until(resend);
        pair.pass(wait);
        pair.quiet();
        rounds += 1;
        assert!(rounds < 20);
    }
    assert_eq!(rounds, 5);
    // Repeated, they are the same record in another envelope: heard once.
    pair.side_mut(Worker).deaf = false;
    pair.quiet();
    assert_eq!(pair.job(Worker).theirs.next, 2);
}

#[test]
fn a_slot_that_comes_back_takes_a_bid_again() {
    let mut pair = Pair::new();
    let id = pair.awarded(Wish::default());
    assert_eq!(refused(pair.core_mut(Requester).award(&id)), "wrong-phase");
    pair.cancel(Requester).unwrap();
    pair.quiet();
    let post = pair.core(Requester).posts().values().next().unwrap().clone();
    assert_eq!(post.gig().unwrap().status, Status::Open, "a freed slot is on the market again");
    let again = pair.core_mut(Worker).bid(&post.newest, Wish::default(), "Once more.").unwrap();
    pair.quiet();
    pair.core_mut(Requester).award(&again).unwrap();
    pair.quiet();
    assert_eq!(pair.core(Worker).job(&again).unwrap().phase, Phase::Working);
}

#[test]
fn a_withdrawal_on_its_way_beats_the_award_that_crosses_it() {
    let mut pair = Pair::new();
    let id = pair.bid(Wish::default());
    pair.side_mut(Requester).deaf = true;
    pair.ask(Worker, Ask::Withdraw { reason: "Sorry.".into() }).unwrap();
    pair.quiet();
    pair.core_mut(Requester).award(&id).unwrap();
    pair.quiet();
    assert_eq!((pair.phase(Requester), pair.phase(Worker)), (Phase::Working, Phase::Withdrawn));
    pair.side_mut(Requester).deaf = false;
    pair.quiet();
    assert_eq!(pair.phase(Requester), Phase::Withdrawn);
    assert_eq!(pair.core(Requester).reserved(), Msat::ZERO);
}

#[test]
fn an_invoice_that_ran_out_is_asked_for_again_when_it_is_safe() {
    let mut pair = Pair::new();
    pair.delivered(wish(Mode::Sealed, 1));
    pair.nodes.no_route = 1;
    pair.accept().unwrap();
    pair.quiet();
    assert_eq!(pair.phase(Requester), Phase::Delivered);
    assert_eq!(pair.ledger(Requester)[0].state, "failed");
    pair.pass(Span::HOUR.times(2));
    pair.accept().unwrap();
    pair.quiet();
    assert_eq!(pair.phase(Requester), Phase::Accepted, "the worker says how long to wait");
    assert_eq!(refused(pair.accept()), "accepted", "not twice in one breath");
    pair.pass(Span::HOUR.times(3));
    pair.accept().unwrap();
    pair.quiet();
    assert_settled(&pair, 1);
}

#[test]
fn a_text_that_the_wire_would_not_carry_is_refused_in_a_sentence() {
    let mut pair = Pair::new();
    pair.delivered(wish(Mode::Sealed, 1));
    let long = "x".repeat(3000);
    assert_eq!(refused(pair.ask(Requester, Ask::Reject { reason: long.clone() })), "text-too-long");
    assert_eq!(refused(pair.ask(Worker, Ask::Cancel { reason: long })), "text-too-long");
    let quoted = "\u{1}\"".repeat(2000);
    let said = pair.ask(Worker, Ask::Note { text: quoted });
    assert!(matches!(said, Ok(()) | Err(Trouble::Refused(_))), "{said:?}");
}

#[test]
fn a_fault_of_the_transfer_is_not_told_to_a_stranger() {
    let mut pair = Pair::new();
    pair.awarded(wish(Mode::Sealed, 1));
    pair.side_mut(Requester).lazy = vec!["fetch"];
    pair.deliver("work.bin", 30_000).unwrap();
    pair.quiet();
    let (row, effect) = pair.side(Requester).kept[0].clone();
    let why = format!("/home/ada/secret-project/{}", "x".repeat(3000));
    pair.core_mut(Requester).done(&row, &effect, Err(Fault::Never(why))).unwrap();
    pair.quiet();
    let said = pair.job(Requester).ours.last.unwrap().event;
    assert!(said.contains("reject") && !said.contains("ada"), "{said}");
    assert_eq!(pair.phase(Worker), Phase::Working);
}

//! Blocks: every deadline of an escrow is a height, and no held payment dies unnoticed.

use earnest::market::*;

use crate::course::*;
use crate::pair::*;

fn table(pair: &Pair) -> Timetable {
    Timetable { end: escrow(pair, Worker).end.unwrap(), window: WINDOW }
}

#[test]
fn without_a_delivery_in_time_the_workers_node_sends_the_money_back() {
    let mut pair = funded();
    let t = table(&pair);
    pair.blocks(t.deliver() - 1, &BOTH);
    pair.quiet();
    assert_eq!(phases(&pair), (Phase::Working, Phase::Working));
    pair.blocks(t.deliver(), &BOTH);
    pair.quiet();
    assert_refunded(&pair);
    assert_eq!(refused(pair.deliver("late.bin", 1000)), "wrong-phase");
}

#[test]
fn a_rejection_is_mended_until_the_delivery_is_due_and_not_after() {
    let mut pair = delivered();
    let t = table(&pair);
    pair.reject().unwrap();
    pair.quiet();
    pair.blocks(t.deliver(), &BOTH);
    pair.quiet();
    assert_refunded(&pair);
    // Rejected after that, it goes back at once: nobody is there to escalate to.
    let mut pair = delivered();
    pair.blocks(t.deliver() + 1, &BOTH);
    pair.quiet();
    assert_eq!(phases(&pair), (Phase::Delivered, Phase::Delivered));
    pair.reject().unwrap();
    pair.quiet();
    assert_refunded(&pair);
}

#[test]
fn what_nobody_releases_goes_back_before_it_can_take_a_channel_with_it() {
    let mut pair = delivered();
    let t = table(&pair);
    pair.blocks(t.claim() - 1, &BOTH);
    pair.quiet();
    assert_eq!(phases(&pair), (Phase::Delivered, Phase::Delivered));
    assert!(pair.nodes.deadlines.values().all(|at| *at > t.claim()));
    pair.blocks(t.claim(), &BOTH);
    pair.quiet();
    assert_refunded(&pair);
    assert_eq!(refused(pair.accept()), "wrong-phase", "a secret given away now could be stolen");
}

#[test]
fn released_at_the_last_block_it_is_paid() {
    let mut pair = delivered();
    let t = table(&pair);
    pair.blocks(t.claim() - 1, &BOTH);
    pair.accept().unwrap();
    pair.quiet();
    assert_paid(&pair);
}

/// PROTOCOL.md 11: `claim_for_hash` Ok taken for paid.
#[test]
fn a_claim_that_says_ok_after_the_payment_died_is_not_paid() {
    for height_first in [true, false] {
        let mut pair = delivered();
        let deadline = *pair.nodes.deadlines.values().next().unwrap();
        // The worker is away. The chain goes on past the deadline; its node lets the payment go, and
        // tells nobody.
        pair.side_mut(Worker).deaf = true;
        pair.restart(Worker);
        pair.accept().unwrap();
        pair.quiet();
        let to = deadline + 7;
        pair.blocks(to, if height_first { &BOTH } else { &[Requester] });
        pair.quiet();
        pair.side_mut(Worker).deaf = false;
        pair.quiet();
        pair.blocks(to + 1, &BOTH);
        pair.quiet();
        assert_refunded(&pair);
        let claims = pair.side(Worker).ran.iter().filter(|(_, effect, _)| effect.kind() == "claim");
        assert_eq!(claims.count() == 0, height_first, "the claim said Ok, and meant nothing");
    }
}

#[test]
fn a_claim_into_nothing_is_not_settled_by_its_ok() {
    let mut pair = delivered();
    let deadline = *pair.nodes.deadlines.values().next().unwrap();
    pair.nodes.claims_lost = true;
    pair.accept().unwrap();
    pair.quiet();
    assert_eq!(pair.phase(Worker), Phase::Paying, "Ok is not paid");
    pair.blocks(deadline, &BOTH);
    pair.quiet();
    assert_eq!(phases(&pair), (Phase::Refunded, Phase::Paying), "perhaps it is on the chain");
    pair.blocks(deadline + 7, &BOTH);
    pair.quiet();
    assert_refunded(&pair);
    assert_eq!(pair.ledger(Worker)[0].state, "lost");
}

#[test]
fn an_invoice_of_another_hour_is_never_paid_and_a_new_lock_is_made() {
    for ahead in [7, 20] {
        let mut pair = awarded();
        let first = escrow(&pair, Requester).lock.hash;
        pair.blocks(1000 + ahead, &BOTH);
        pair.quiet();
        fund(&mut pair).unwrap();
        pair.quiet();
        assert_eq!(phases(&pair), (Phase::Working, Phase::Working));
        let now = escrow(&pair, Requester);
        assert_eq!(now.lock.attempt, 1);
        assert_ne!(now.lock.hash, first, "no hash twice");
        assert_eq!(now.end, Some(1000 + ahead + WINDOW));
        assert_eq!(pair.nodes.sent.len(), 1);
    }
    // Inside the range the first one is good.
    for ahead in [0, 1, 6] {
        let mut pair = awarded();
        pair.blocks(1000 + ahead, &BOTH);
        fund(&mut pair).unwrap();
        pair.quiet();
        assert_eq!(escrow(&pair, Requester).lock.attempt, 0, "{ahead}");
        let end = escrow(&pair, Worker).end.unwrap();
        assert!(pair.nodes.deadlines.values().all(|at| *at >= end), "never before P");
    }
}

#[test]
fn a_requester_whose_node_is_a_block_behind_waits_for_it_and_pays() {
    let mut pair = Pair::new();
    // The worker's node sees three blocks that the requester's has not seen yet.
    pair.blocks(1003, &[Worker]);
    pair.core_mut(Requester).height(1000).unwrap();
    let gig = pair.posted(|draft| draft.modes = vec![Mode::Escrow]);
    let id = pair.core_mut(Worker).bid(&gig, Wish::default(), "I can.").unwrap();
    pair.quiet();
    pair.core_mut(Requester).award(&id).unwrap();
    pair.quiet();
    fund(&mut pair).unwrap();
    pair.quiet();
    assert_eq!(phases(&pair), (Phase::Awarded, Phase::Awarded));
    assert!(pair.nodes.sent.is_empty());
    pair.blocks(1003, &[Requester]);
    pair.quiet();
    assert_eq!(phases(&pair), (Phase::Working, Phase::Working));
    assert_eq!(escrow(&pair, Worker).lock.attempt, 0, "the same invoice");
}

#[test]
fn a_payment_that_waited_too_long_in_the_outbox_is_not_sent() {
    let mut pair = awarded();
    pair.side_mut(Requester).lazy = vec!["pay"];
    fund(&mut pair).unwrap();
    pair.quiet();
    pair.blocks(1010, &BOTH);
    pair.wake(Requester);
    pair.quiet();
    assert!(pair.nodes.sent.is_empty());
    assert_eq!(phases(&pair), (Phase::Awarded, Phase::Awarded));
    assert!(pair.job(Requester).reason.unwrap().contains("Nothing was paid"));
    // Locked again, with another hash.
    fund(&mut pair).unwrap();
    pair.quiet();
    assert_eq!(phases(&pair), (Phase::Working, Phase::Working));
    assert_eq!(escrow(&pair, Worker).lock.attempt, 1);
}

#[test]
fn no_work_before_the_channel_that_carries_it_is_confirmed() {
    let mut pair = awarded();
    pair.nodes.confirmations = 0;
    fund(&mut pair).unwrap();
    pair.quiet();
    assert_eq!(phases(&pair), (Phase::Funding, Phase::Funding));
    assert_eq!(refused(pair.deliver("early.bin", 1000)), "not-funded");
    pair.nodes.confirmations = 2;
    pair.blocks(1002, &BOTH);
    pair.quiet();
    assert_eq!(phases(&pair), (Phase::Funding, Phase::Funding));
    pair.nodes.confirmations = 3;
    pair.blocks(1003, &BOTH);
    pair.quiet();
    assert_eq!(phases(&pair), (Phase::Working, Phase::Working));
}

#[test]
fn a_channel_that_is_never_confirmed_gives_the_money_back() {
    let mut pair = awarded();
    pair.nodes.confirmations = 0;
    fund(&mut pair).unwrap();
    pair.quiet();
    let t = table(&pair);
    pair.blocks(t.deliver(), &BOTH);
    pair.quiet();
    assert_eq!(pair.phase(Worker), Phase::Refunded);
    assert_eq!(pair.nodes.earned, [0, 0]);
    assert!(!escrow(&pair, Requester).is_locked());
}

#[test]
fn a_payment_with_too_short_a_life_goes_back_and_no_work_begins() {
    let mut pair = awarded();
    pair.side_mut(Requester).lazy = vec!["pay"];
    fund(&mut pair).unwrap();
    pair.quiet();
    // A payer of another make pays two blocks early: the real deadline would come before P.
    let (_, effect) = pair.side(Requester).kept[0].clone();
    let Effect::Pay { order, .. } = effect else { panic!() };
    pair.nodes.height = 998;
    pair.pay(Requester, &PayOrder { tips: None, ..order }).unwrap();
    pair.nodes.height = 1000;
    pair.quiet();
    assert_eq!(pair.phase(Worker), Phase::Awarded, "it can be locked once more");
    assert!(pair.nodes.htlcs.values().all(|(_, _, htlc)| *htlc == Htlc::Failed));
    assert_eq!(escrow(&pair, Worker).funded, None);
    pair.wake(Requester);
    pair.quiet();
    fund(&mut pair).unwrap();
    pair.quiet();
    assert_eq!(phases(&pair), (Phase::Working, Phase::Working));
    assert_eq!(escrow(&pair, Worker).lock.attempt, 1);
}

#[test]
fn the_time_to_lock_the_money_ends() {
    let mut pair = awarded();
    pair.pass(Span::DAY.times(2));
    pair.quiet();
    assert_eq!(phases(&pair), (Phase::Expired, Phase::Expired));
    assert_eq!(refused(fund(&mut pair)), "wrong-phase");
}

#[test]
fn heights_survive_a_restart() {
    let mut pair = funded();
    let t = table(&pair);
    pair.restart(Worker);
    pair.restart(Requester);
    pair.blocks(t.deliver() + 3, &BOTH);
    pair.quiet();
    assert_refunded(&pair);
    // A node that cannot send it back now is asked again with the next block.
    let mut pair = funded();
    pair.side_mut(Worker).lazy = vec!["fail"];
    pair.blocks(t.deliver(), &BOTH);
    pair.quiet();
    assert_eq!(pair.phase(Worker), Phase::Refunding);
    pair.restart(Worker);
    pair.side_mut(Worker).lazy.clear();
    pair.blocks(t.deliver() + 1, &BOTH);
    pair.quiet();
    assert_refunded(&pair);
}

//! A chain that turns on an escrow: blocks that are unmade, and a channel that is closed by force with the
//! money in it.

use earnest::market::*;

use crate::course::*;
use crate::judge;
use crate::pair::*;

fn table(pair: &Pair) -> Timetable {
    Timetable { end: escrow(pair, Worker).end.unwrap(), window: WINDOW }
}

/// Blocks come, or go, to this height; everybody looks, and does what follows.
fn to(pair: &mut Pair, height: u32) {
    pair.blocks(height, &BOTH);
    pair.quiet();
}

/// How often this side's node was told to do this with held money.
fn told(pair: &Pair, who: Who, what: &str) -> usize {
    pair.side(who).ran.iter().filter(|(_, effect, _)| effect.kind() == what).count()
}

/// The money is where it was: locked, at the worker's node, and nobody has it.
fn assert_locked(pair: &Pair, phase: Phase) {
    assert_eq!(phases(pair), (phase, phase));
    assert_eq!(pair.nodes.htlcs.values().filter(|(.., htlc)| *htlc == Htlc::Held).count(), 1);
    assert_eq!(pair.nodes.earned, [0, 0]);
    assert_eq!((told(pair, Worker, "fail"), told(pair, Worker, "claim")), (0, 0));
}

// ---------------------------------------------------------------- heights that fall

#[test]
fn a_height_that_falls_decides_nothing_early_and_loses_no_deadline() {
    let deliver = funded();
    let claim = delivered();
    let marks = [(table(&deliver).deliver(), deliver), (table(&claim).claim(), claim)];
    for (mark, mut pair) in marks {
        let phase = pair.phase(Worker);
        to(&mut pair, mark - 1);
        for depth in [1, 6, 40] {
            to(&mut pair, mark - 1 - depth);
            assert_locked(&pair, phase);
            // Who was away meanwhile is told the height that is.
            pair.restart(Worker);
            pair.restart(Requester);
            to(&mut pair, mark - depth.div_ceil(2));
            to(&mut pair, mark - 1);
            assert_locked(&pair, phase);
        }
        to(&mut pair, mark);
        assert_refunded(&pair);
        // And it is not undone with the block that brought it.
        for height in [mark - 6, mark - 1, mark, mark + 1] {
            to(&mut pair, height);
            assert_refunded(&pair);
            assert_eq!(refused(pair.accept()), "wrong-phase");
            assert_eq!(refused(pair.deliver("late.bin", 1000)), "wrong-phase");
        }
        assert_eq!((told(&pair, Worker, "claim"), pair.nodes.sent.len()), (0, 1));
    }
}

#[test]
fn what_was_decided_at_a_height_is_done_though_the_height_falls() {
    let mut pair = delivered();
    let t = table(&pair);
    pair.side_mut(Worker).lazy = vec!["fail"];
    to(&mut pair, t.claim());
    assert_eq!(phases(&pair), (Phase::Refunding, Phase::Refunding));
    for height in [t.claim() - 10, t.claim() - 1] {
        to(&mut pair, height);
        assert_eq!(phases(&pair), (Phase::Refunding, Phase::Refunding));
        assert_eq!(
            refused(pair.accept()),
            "wrong-phase",
            "a secret that is out cannot be taken back"
        );
    }
    pair.restart(Worker);
    pair.side_mut(Worker).lazy.clear();
    to(&mut pair, t.claim() - 2);
    assert_refunded(&pair);
    assert_eq!(told(&pair, Worker, "claim"), 0);
}

#[test]
fn a_secret_that_was_released_is_used_once_at_whichever_height() {
    let mut pair = delivered();
    let t = table(&pair);
    pair.side_mut(Worker).lazy = vec!["claim"];
    to(&mut pair, t.claim() - 1);
    pair.accept().unwrap();
    pair.quiet();
    for height in [t.deliver() - 1, t.claim() + 3, t.claim() - 3] {
        to(&mut pair, height);
        assert_eq!(phases(&pair), (Phase::Paying, Phase::Paying));
        assert_eq!(told(&pair, Worker, "fail"), 0, "the secret is here: nothing goes back");
    }
    pair.wake(Worker);
    pair.quiet();
    assert_paid(&pair);
    to(&mut pair, t.claim() + 1);
    assert_paid(&pair);
}

#[test]
fn a_claim_is_not_given_up_by_a_height_that_falls_and_rises() {
    let mut pair = delivered();
    let deadline = *pair.nodes.deadlines.values().next().unwrap();
    pair.nodes.claims_lost = true;
    pair.accept().unwrap();
    pair.quiet();
    for height in [deadline + 6, deadline - 3, deadline + 6, deadline + 1] {
        to(&mut pair, height);
        assert_eq!(phases(&pair), (Phase::Refunded, Phase::Paying), "at {height}");
    }
    to(&mut pair, deadline + 7);
    assert_refunded(&pair);
    assert_eq!(pair.ledger(Worker)[0].state, "lost");
}

#[test]
fn money_is_locked_at_the_height_that_is() {
    // The worker's node made its invoice, and then its blocks were unmade.
    let mut pair = awarded();
    to(&mut pair, 990);
    fund(&mut pair).unwrap();
    pair.quiet();
    assert_eq!(phases(&pair), (Phase::Awarded, Phase::Awarded));
    assert!(pair.nodes.sent.is_empty(), "it would be held too short");
    to(&mut pair, 998);
    assert!(pair.nodes.sent.is_empty());
    to(&mut pair, 999);
    assert_eq!(phases(&pair), (Phase::Working, Phase::Working));
    let now = escrow(&pair, Requester);
    assert_eq!((now.lock.attempt, now.end), (0, Some(1000 + WINDOW)), "the same invoice");
    assert!(pair.nodes.deadlines.values().all(|at| *at >= 1000 + WINDOW), "never before P");
    assert_eq!(pair.nodes.sent.len(), 1);

    // On its way to the node when the blocks were unmade: looked at again there.
    let mut pair = awarded();
    pair.side_mut(Requester).lazy = vec!["pay"];
    fund(&mut pair).unwrap();
    pair.quiet();
    to(&mut pair, 990);
    pair.wake(Requester);
    pair.quiet();
    assert!(pair.nodes.sent.is_empty());
    assert_eq!(phases(&pair), (Phase::Awarded, Phase::Awarded));
    assert!(pair.job(Requester).reason.unwrap().contains("Nothing was paid"));
    fund(&mut pair).unwrap();
    pair.quiet();
    assert_eq!(phases(&pair), (Phase::Working, Phase::Working));
    let now = escrow(&pair, Requester);
    assert_eq!((now.lock.attempt, now.end), (1, Some(990 + WINDOW)));
    assert_eq!(pair.nodes.sent.len(), 1);
}

#[test]
fn a_judge_is_called_once_and_rules_once_though_heights_fall() {
    let mut pair = judge::delivered(judge::held());
    let t = table(&pair);
    for height in [t.verdict() - 1, t.verdict() - 8, t.verdict() - 1] {
        judge::to(&mut pair, height);
        assert_eq!(phases(&pair), (Phase::Delivered, Phase::Delivered), "at {height}");
    }
    judge::to(&mut pair, t.verdict());
    let calls = |pair: &Pair| judge::case(pair).exhibits.len();
    let exhibits = calls(&pair);
    for height in [t.verdict() - 5, t.verdict(), t.objection() - 1, t.verdict() - 1] {
        judge::to(&mut pair, height);
        assert_eq!(phases(&pair), (Phase::Disputed, Phase::Disputed), "at {height}");
        assert_eq!(judge::case(&pair).ruling, None, "the other side may still object");
        assert_eq!(calls(&pair), exhibits, "at {height}");
    }
    judge::to(&mut pair, t.objection());
    assert_paid(&pair);
    judge::to(&mut pair, t.objection() - 4);
    judge::to(&mut pair, t.objection() + 1);
    assert_paid(&pair);
    assert_eq!(judge::case(&pair).phase, CasePhase::Ruled);
}

// ---------------------------------------------------------------- channels closed by force

#[test]
fn on_the_chain_a_released_payment_is_claimed_as_in_the_channel() {
    let mut pair = funded();
    pair.nodes.closed = true;
    to(&mut pair, 1010);
    assert_locked(&pair, Phase::Working);
    pair.deliver("work.bin", 50_000).unwrap();
    pair.quiet();
    let t = table(&pair);
    to(&mut pair, t.claim() - 1);
    assert_locked(&pair, Phase::Delivered);
    pair.accept().unwrap();
    pair.quiet();
    assert_paid(&pair);
}

#[test]
fn on_the_chain_money_is_not_back_before_the_chain_says_so() {
    for mut pair in [funded(), delivered()] {
        let t = table(&pair);
        let deadline = *pair.nodes.deadlines.values().next().unwrap();
        let mark = match pair.phase(Worker) {
            Phase::Working => t.deliver(),
            _ => t.claim(),
        };
        pair.nodes.closed = true;
        to(&mut pair, mark);
        assert_eq!(
            pair.phase(Worker),
            Phase::Refunding,
            "it cannot be sent back, and is not claimed"
        );
        for height in [t.claim(), deadline, deadline + 39, deadline + 44, deadline + 20] {
            to(&mut pair, height);
            assert_eq!(phases(&pair), (Phase::Refunding, Phase::Refunding), "at {height}");
            assert!(escrow(&pair, Worker).is_locked() && escrow(&pair, Requester).is_locked());
            assert_eq!(refused(pair.accept()), "wrong-phase");
        }
        pair.restart(Worker);
        pair.restart(Requester);
        to(&mut pair, deadline + 45);
        assert_refunded(&pair);
        assert_eq!(told(&pair, Worker, "claim"), 0);
    }
}

#[test]
fn no_work_begins_in_a_channel_that_closes_before_it_counts() {
    let mut pair = awarded();
    pair.nodes.confirmations = 2;
    fund(&mut pair).unwrap();
    pair.quiet();
    assert_eq!(phases(&pair), (Phase::Funding, Phase::Funding));
    (pair.nodes.closed, pair.nodes.confirmations) = (true, 6);
    to(&mut pair, 1006);
    assert_eq!(phases(&pair), (Phase::Funding, Phase::Funding));
    assert_eq!(refused(pair.deliver("early.bin", 1000)), "not-funded");
    let (t, deadline) = (table(&pair), *pair.nodes.deadlines.values().next().unwrap());
    to(&mut pair, t.deliver());
    assert_eq!(phases(&pair), (Phase::Funding, Phase::Refunding));
    to(&mut pair, deadline + 45);
    assert_eq!(pair.phase(Worker), Phase::Refunded);
    assert_eq!(pair.nodes.earned, [0, 0]);
    assert!(!escrow(&pair, Requester).is_locked() && !escrow(&pair, Worker).is_locked());
}

#[test]
fn a_worker_that_comes_back_too_late_for_the_chain_takes_no_secret_for_money() {
    let mut pair = delivered();
    let t = table(&pair);
    let deadline = *pair.nodes.deadlines.values().next().unwrap();
    pair.nodes.closed = true;
    pair.side_mut(Worker).away = true;
    pair.blocks(t.claim() - 1, &[Requester]);
    pair.accept().unwrap();
    pair.quiet();
    assert_eq!(pair.phase(Requester), Phase::Paying);
    // Its node has let go of it, and on the chain it stands as if it could be had.
    pair.side_mut(Worker).away = false;
    to(&mut pair, deadline + 2);
    assert_eq!(pair.phase(Worker), Phase::Paying, "Ok is not paid");
    to(&mut pair, deadline + 44);
    assert_eq!(pair.phase(Worker), Phase::Paying);
    assert_eq!(pair.nodes.earned, [0, 0]);
    to(&mut pair, deadline + 45);
    assert_refunded(&pair);
    assert_eq!(pair.ledger(Worker)[0].state, "lost");
}

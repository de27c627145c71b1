//! Escrows that go as they should, and the ways in which people stop them.

use earnest::engine::{Store as _, Trouble};
use earnest::market::*;

use crate::pair::*;

pub(crate) const BOTH: [Who; 2] = [Requester, Worker];

/// A job in escrow, awarded: the worker's hold invoice is here and nothing is locked.
pub(crate) fn awarded() -> Pair {
    awarded_in(WINDOW)
}

pub(crate) fn awarded_in(window: u32) -> Pair {
    let mut pair = Pair::new();
    pair.blocks(1000, &BOTH);
    let gig = pair.posted(|draft| {
        draft.modes = vec![Mode::Escrow];
        draft.escrow = Some(EscrowTerms { window, judge: None });
    });
    let id = pair.core_mut(Worker).bid(&gig, Wish::default(), "I can.").unwrap();
    pair.quiet();
    pair.core_mut(Requester).award(&id).unwrap();
    pair.quiet();
    pair
}

pub(crate) fn fund(pair: &mut Pair) -> Result<(), Trouble> {
    let id = pair.id();
    pair.core_mut(Requester).fund(&id, sats(100))
}

/// The money is locked and confirmed; the worker may work.
pub(crate) fn funded() -> Pair {
    let mut pair = awarded();
    fund(&mut pair).unwrap();
    pair.quiet();
    assert_eq!(pair.phase(Requester), Phase::Working);
    assert_eq!(pair.phase(Worker), Phase::Working);
    pair
}

/// The work is open on the requester's disk, and the money still locked.
pub(crate) fn delivered() -> Pair {
    let mut pair = funded();
    pair.deliver("work.bin", 50_000).unwrap();
    pair.quiet();
    assert!(pair.job(Requester).attempt.unwrap().output.is_some());
    pair
}

pub(crate) fn escrow(pair: &Pair, who: Who) -> Escrow {
    pair.job(who).escrow.unwrap()
}

pub(crate) fn phases(pair: &Pair) -> (Phase, Phase) {
    (pair.phase(Requester), pair.phase(Worker))
}

/// Everything is as after one payment, which the worker has.
pub(crate) fn assert_paid(pair: &Pair) {
    let (r, w) = (pair.job(Requester), pair.job(Worker));
    assert_eq!(phases(pair), (Phase::Settled, Phase::Settled), "{:?} {:?}", r.reason, w.reason);
    let price = i128::from(sats(21_000).get());
    assert_eq!(pair.nodes.earned, [-price, price]);
    let states = |who| pair.ledger(who).into_iter().map(|row| row.state).collect::<Vec<_>>();
    assert_eq!(states(Requester).iter().filter(|s| *s == "paid").count(), 1);
    assert_eq!(states(Worker).iter().filter(|s| *s == "received").count(), 1);
    assert_nothing_left(pair);
}

/// Nobody has anything that was the other's, and nothing is held.
pub(crate) fn assert_refunded(pair: &Pair) {
    let (r, w) = (pair.job(Requester), pair.job(Worker));
    assert_eq!(phases(pair), (Phase::Refunded, Phase::Refunded), "{:?} {:?}", r.reason, w.reason);
    assert_eq!(pair.nodes.earned, [0, 0]);
    assert!(pair.nodes.htlcs.values().all(|(_, _, htlc)| *htlc == Htlc::Failed));
    assert!(pair.ledger(Requester).iter().all(|row| row.state == "failed"));
    assert!(pair.ledger(Worker).iter().all(|row| row.state != "received"));
    assert_nothing_left(pair);
}

fn assert_nothing_left(pair: &Pair) {
    for who in BOTH {
        assert_eq!(pair.core(who).store().outbox().unwrap(), (0, 0), "{who:?}");
        assert!(!escrow(pair, who).is_locked(), "{who:?}");
        assert!(pair.job(who).claims().is_empty() && pair.job(who).payments().is_empty());
    }
    assert_eq!(pair.core(Requester).reserved(), Msat::ZERO);
}

#[test]
fn the_money_is_locked_first_then_the_work_then_the_secret() {
    let mut pair = awarded();
    assert_eq!(phases(&pair), (Phase::Awarded, Phase::Awarded));
    assert_eq!(refused(pair.deliver("early.bin", 1000)), "not-funded");
    assert_eq!(refused(pair.accept()), "wrong-phase");
    fund(&mut pair).unwrap();
    pair.quiet();
    assert_eq!(phases(&pair), (Phase::Working, Phase::Working));
    let end = escrow(&pair, Requester).end.unwrap();
    assert_eq!(end, 1000 + WINDOW, "P is the worker's tip and the window");
    assert!(escrow(&pair, Requester).funded.unwrap() >= end);
    assert_eq!(pair.nodes.earned, [0, 0], "locked is not paid");
    pair.deliver("work.bin", 50_000).unwrap();
    pair.quiet();
    // The requester reads the work while the money is still locked.
    let attempt = pair.job(Requester).attempt.unwrap();
    let sent = std::fs::read(pair.job(Worker).attempt.unwrap().source.unwrap()).unwrap();
    assert_eq!(std::fs::read(attempt.output.unwrap()).unwrap(), sent);
    assert_eq!(phases(&pair), (Phase::Delivered, Phase::Delivered));
    assert_eq!(pair.nodes.earned, [0, 0]);
    pair.accept().unwrap();
    pair.quiet();
    assert_paid(&pair);
    assert_eq!(pair.nodes.sent.len(), 1);
}

#[test]
fn everything_told_twice_is_done_once() {
    let mut pair = awarded();
    pair.twice = true;
    fund(&mut pair).unwrap();
    pair.quiet();
    pair.deliver("work.bin", 50_000).unwrap();
    pair.quiet();
    pair.accept().unwrap();
    pair.quiet();
    assert_paid(&pair);
    assert_eq!(pair.nodes.sent.len(), 1);
}

#[test]
fn the_secret_is_drawn_from_the_phrase_and_the_nonce_in_the_record() {
    let pair = delivered();
    let lock = escrow(&pair, Worker).lock;
    use earnest::engine::Scribe as _;
    assert_eq!(pair.side(Requester).keys.escrow_key(&lock.nonce).hash(), lock.hash);
    assert_ne!(pair.side(Worker).keys.escrow_key(&lock.nonce).hash(), lock.hash);
}

#[test]
fn a_rejected_delivery_is_mended_while_the_money_stays_locked() {
    let mut pair = delivered();
    pair.reject().unwrap();
    pair.quiet();
    assert_eq!(phases(&pair), (Phase::Working, Phase::Working));
    assert!(escrow(&pair, Worker).is_locked() && escrow(&pair, Requester).is_locked());
    pair.deliver("better.bin", 40_000).unwrap();
    pair.quiet();
    pair.accept().unwrap();
    assert_eq!(refused(pair.reject()), "released");
    pair.quiet();
    assert_paid(&pair);
}

#[test]
fn before_the_money_is_locked_either_side_stops_it_alone() {
    for who in BOTH {
        let mut pair = awarded();
        pair.cancel(who).unwrap();
        pair.quiet();
        assert_eq!(phases(&pair), (Phase::Cancelled, Phase::Cancelled));
        assert_eq!(refused(fund(&mut pair)), "wrong-phase");
        assert!(pair.nodes.sent.is_empty());
    }
}

#[test]
fn once_it_is_locked_the_worker_alone_sends_it_back() {
    for mut pair in [funded(), delivered()] {
        let stands = pair.phase(Requester);
        pair.cancel(Requester).unwrap();
        pair.quiet();
        assert_eq!(phases(&pair), (stands, stands), "the requester can only ask");
        assert!(escrow(&pair, Worker).asked_back);
        assert_eq!(refused(pair.cancel(Requester)), "asked");
        pair.cancel(Worker).unwrap();
        pair.quiet();
        assert_refunded(&pair);
    }
}

#[test]
fn a_released_secret_is_beaten_by_nothing() {
    let mut pair = delivered();
    pair.side_mut(Worker).lazy = vec!["claim"];
    pair.side_mut(Worker).deaf = true;
    pair.accept().unwrap();
    pair.quiet();
    // The two words cross.
    pair.cancel(Worker).unwrap();
    assert_eq!(pair.phase(Worker), Phase::Refunding);
    pair.side_mut(Worker).deaf = false;
    pair.quiet();
    // The worker had given it back before it heard: that stands, and nobody is paid by it.
    assert_eq!(phases(&pair), (Phase::Refunded, Phase::Refunded));
    assert_eq!(pair.nodes.earned, [0, 0]);

    let mut pair = delivered();
    pair.side_mut(Worker).lazy = vec!["claim"];
    pair.accept().unwrap();
    pair.quiet();
    assert_eq!(refused(pair.cancel(Worker)), "released");
    assert_eq!(refused(pair.cancel(Requester)), "released");
    pair.say(Requester, Body::Cancel { reason: "wait".into() });
    let manifest = pair.job(Worker).attempt.unwrap().record.unwrap().id;
    pair.say(Requester, Body::Reject { manifest, reason: "no".into(), next: None });
    pair.wake(Worker);
    pair.quiet();
    assert_eq!(pair.phase(Worker), Phase::Settled);
    assert_eq!(pair.nodes.earned[1], i128::from(sats(21_000).get()));
}

#[test]
fn a_judge_whom_nobody_knows_cannot_be_named() {
    let mut pair = Pair::new();
    let judge = Some(JudgeTerms { identity: Pubkey([1; 32]), listing: EventId([2; 32]) });
    let mut draft = pair.draft();
    draft.modes = vec![Mode::Escrow];
    draft.escrow = Some(EscrowTerms { window: WINDOW, judge });
    match pair.core_mut(Requester).post(&draft, Vec::new()) {
        Err(Trouble::Refused(why)) => {
            assert_eq!(why.code, "judge-unknown");
            assert!(why.sentence.contains("Nothing was sent"), "{}", why.sentence);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_usual_window_is_meant_where_none_is_named() {
    let mut pair = Pair::new();
    pair.blocks(1000, &BOTH);
    pair.posted(|draft| draft.modes = vec![Mode::Escrow, Mode::Sealed]);
    let gig = pair.core(Requester).posts().values().next().unwrap().gig().unwrap().clone();
    assert_eq!(gig.offer.escrow, Some(EscrowTerms { window: 288, judge: None }));
    // A bid in another mode carries no escrow.
    let wish = Wish { mode: Some(Mode::Sealed), ..Wish::default() };
    pair.core_mut(Worker).bid(&gig.id, wish, "I can.").unwrap();
    pair.quiet();
    assert_eq!(pair.job(Requester).terms().escrow, None);
}

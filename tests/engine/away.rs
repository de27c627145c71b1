//! One side is away while the other goes on, and comes back.

use earnest::engine::Store as _;
use earnest::market::*;

use crate::pair::*;
use crate::whole::{assert_settled, wish};

fn comes_back(pair: &mut Pair, who: Who) {
    pair.side_mut(who).away = false;
    pair.restart(who);
    pair.quiet();
}

#[test]
fn a_worker_who_is_away_at_accept_comes_back_and_is_paid_once() {
    for (mode, tranches) in [(Mode::Sealed, 1), (Mode::Sealed, 3), (Mode::Direct, 1)] {
        let mut pair = Pair::new();
        pair.delivered(wish(mode, tranches));
        pair.side_mut(Worker).away = true;
        pair.accept().unwrap();
        for _ in 0..10 {
            pair.quiet();
            pair.pass(Span::HOUR);
        }
        assert_eq!(pair.phase(Requester), Phase::Accepted);
        assert!(pair.nodes.sent.is_empty() && pair.ledger(Requester).is_empty());
        comes_back(&mut pair, Worker);
        assert_settled(&pair, tranches);
        pair.restart(Worker);
        pair.restart(Requester);
        pair.pass(Span::HOUR);
        pair.quiet();
        assert_settled(&pair, tranches);
    }
}

#[test]
fn a_worker_who_stays_away_is_not_paid_and_nobody_owes_anything() {
    let mut pair = Pair::new();
    pair.delivered(wish(Mode::Sealed, 1));
    pair.side_mut(Worker).away = true;
    pair.accept().unwrap();
    pair.quiet();
    pair.pass(Span::DAY.times(2));
    pair.quiet();
    assert_eq!(pair.phase(Requester), Phase::Expired);
    comes_back(&mut pair, Worker);
    assert_eq!(pair.phase(Worker), Phase::Expired);
    assert!(pair.nodes.sent.is_empty());
    assert_eq!(pair.core(Requester).reserved(), Msat::ZERO);
}

#[test]
fn both_count_from_the_award_however_late_it_came() {
    for (late, taken) in [(Span::MINUTE.times(50), true), (Span::HOUR.times(2), false)] {
        let mut pair = Pair::new();
        let id = pair.bid(wish(Mode::Sealed, 1));
        let awarded = pair.now();
        pair.side_mut(Worker).away = true;
        pair.core_mut(Requester).award(&id).unwrap();
        pair.quiet();
        pair.pass(Span::HOUR.times(20));
        comes_back(&mut pair, Worker);
        let deadline = |pair: &Pair, who| pair.job(who).deadline().unwrap().0;
        assert_eq!(deadline(&pair, Worker), awarded.after(Span::DAY));
        assert_eq!(deadline(&pair, Requester), awarded.after(Span::DAY).after(GRACE));
        // Delivered in the last minute, and heard later: it was said in time.
        pair.pass(Span(4 * 3600 - 60));
        pair.side_mut(Requester).away = true;
        pair.deliver("work.bin", 30_000).unwrap();
        pair.quiet();
        pair.pass(late);
        comes_back(&mut pair, Requester);
        let phase = pair.phase(Requester);
        assert_eq!(phase, if taken { Phase::Delivered } else { Phase::Expired });
        if taken {
            pair.accept().unwrap();
            pair.quiet();
            assert_settled(&pair, 1);
        }
    }
}

#[test]
fn a_worker_is_told_that_it_is_too_late_before_it_seals_anything() {
    let mut pair = Pair::new();
    pair.awarded(wish(Mode::Sealed, 1));
    pair.pass(Span::DAY);
    assert_eq!(refused(pair.deliver("late.bin", 30_000)), "too-late");
    assert_eq!(pair.core(Worker).store().outbox().unwrap(), (0, 0));
}

#[test]
fn what_is_overtaken_while_it_waits_for_its_turn_is_not_run() {
    let mut pair = Pair::new();
    pair.awarded(wish(Mode::Sealed, 1));
    pair.side_mut(Requester).lazy = vec!["fetch"];
    pair.deliver("first.bin", 30_000).unwrap();
    pair.quiet();
    let leased = std::mem::take(&mut pair.side_mut(Requester).kept);
    assert_eq!(leased.len(), 2);
    let turn = |pair: &mut Pair| -> Vec<bool> {
        let core = pair.core_mut(Requester);
        leased.iter().map(|(row, effect)| core.begin_run(row, effect)).collect()
    };
    assert_eq!(turn(&mut pair), [true, true]);
    pair.reject().unwrap();
    pair.quiet();
    assert_eq!(turn(&mut pair), [false, false]);
    assert_eq!(pair.core(Requester).store().outbox().unwrap(), (0, 0), "ended, not forgotten");
}

//! The process of each of the three is killed at every single commit of an escrow that the judge ends, right
//! before it is durable and right after: it ends the same, and the judge never has a coin.

use earnest::market::*;

use crate::course::{assert_paid, assert_refunded, escrow, fund};
use crate::judge::{ALL, listed, with_check};
use crate::pair::*;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Course {
    /// The requester never says anything.
    Silent,
    /// The requester rejects what passes the checks; the worker calls.
    Rejected,
    /// The worker's key opens nothing; it calls all the same.
    Fraud,
}

/// What the people want, looked at anew after every crash.
fn live(pair: &mut Pair, course: Course) {
    pair.blocks(1000, &ALL);
    if course == Course::Fraud {
        pair.side_mut(Worker).cheats = Some(0);
    }
    for _ in 0..80 {
        pair.quiet();
        let height = pair.nodes.height;
        pair.blocks(height, &ALL);
        if pair.core(Judge).posts().is_empty() {
            let mut draft = pair.draft();
            (draft.work, draft.modes) = (Work::Judge, vec![Mode::Direct]);
            draft.tags = vec![DETERMINISTIC.into()];
            let _ = pair.core_mut(Judge).post(&draft, Vec::new());
            pair.restart_if_dead(Judge);
            continue;
        }
        let listing = pair.core(Judge).posts().values().next().unwrap().id;
        let Some(post) = pair.core(Requester).posts().values().next().cloned() else {
            let mut draft = pair.draft();
            let judge = Some(JudgeTerms { identity: pair.core(Judge).identity(), listing });
            draft.modes = vec![Mode::Escrow];
            draft.escrow = Some(EscrowTerms { window: WINDOW, judge });
            with_check(&mut draft);
            let _ = pair.core_mut(Requester).post(&draft, Vec::new());
            pair.restart_if_dead(Requester);
            continue;
        };
        if pair.core(Worker).jobs().is_empty() {
            let _ = pair.core_mut(Worker).bid(&post.id, Wish::default(), "I can.");
            pair.restart_if_dead(Worker);
            continue;
        }
        if pair.core(Requester).jobs().is_empty() {
            continue;
        }
        let (r, w) = (pair.job(Requester), pair.job(Worker));
        let rejected = w.escrow.as_ref().is_some_and(|e| e.hearing.rejection.is_some());
        match (r.phase, w.phase) {
            (Phase::Settled, Phase::Settled) | (Phase::Refunded, Phase::Refunded) => return,
            (Phase::Bid, _) => drop(pair.core_mut(Requester).award(&r.id)),
            (Phase::Awarded, Phase::Awarded) => drop(fund(pair)),
            (_, Phase::Working) if rejected => {
                drop(pair.ask(Worker, Ask::Dispute { reason: "It is good.".into() }));
            }
            (_, Phase::Working) if w.attempt.is_none() => {
                drop(pair.deliver("six.b", 6));
            }
            (Phase::Delivered, _) if course == Course::Rejected => drop(pair.reject()),
            (_, Phase::Delivered | Phase::Disputed) => pair.blocks(height + 9, &ALL),
            _ => pair.blocks(height + 1, &ALL),
        }
        for who in ALL {
            pair.restart_if_dead(who);
        }
    }
    panic!("it never ends: {:?} {:?}", pair.job(Requester), pair.job(Worker));
}

fn assert_ended(pair: &mut Pair, course: Course) {
    // What is said again, and what was asked in vain.
    pair.pass(Span::DAY);
    pair.quiet();
    match course {
        Course::Silent | Course::Rejected => assert_paid(pair),
        Course::Fraud => assert_refunded(pair),
    }
    // Without a word from the judge in time a lock is given up, and another made; never two at a time.
    let (last, before) = pair.nodes.sent.split_last().unwrap();
    for (_, hash, _) in before {
        assert_eq!(pair.nodes.htlcs[hash].2, Htlc::Failed, "the money left twice");
    }
    assert!(before.len() < 2 && before.iter().all(|(_, hash, _)| *hash != last.1));
    assert!(pair.ledger(Judge).is_empty());
    assert_eq!(pair.core(Judge).cases().len(), 1);
    assert!(escrow(pair, Worker).hearing.ruling.is_some());
}

fn killed_everywhere(who: Who, course: Course) {
    let mut whole = Pair::new();
    live(&mut whole, course);
    whole.quiet();
    let commits = whole.side(who).death.lock().unwrap().commits;
    assert_ended(&mut whole, course);
    assert!(commits > 6, "{commits}");
    for at in 1..=commits {
        for before in [true, false] {
            let mut pair = Pair::new();
            {
                let mut death = pair.side(who).death.lock().unwrap();
                (death.at, death.before) = (Some(at), before);
            }
            live(&mut pair, course);
            pair.quiet();
            assert_eq!(pair.restarts, 1, "commit {at}");
            assert_ended(&mut pair, course);
        }
    }
}

#[test]
fn the_judge_is_killed_at_every_commit_of_a_case() {
    for course in [Course::Silent, Course::Rejected, Course::Fraud] {
        killed_everywhere(Judge, course);
    }
}

#[test]
fn the_worker_is_killed_at_every_commit_of_a_case() {
    killed_everywhere(Worker, Course::Silent);
    killed_everywhere(Worker, Course::Fraud);
}

#[test]
fn the_requester_is_killed_at_every_commit_of_a_case() {
    killed_everywhere(Requester, Course::Rejected);
}

#[test]
fn a_judge_that_is_restarted_holds_what_it_held() {
    let mut pair = Pair::new();
    pair.blocks(1000, &ALL);
    let judge = listed(&mut pair, true);
    pair.restart(Judge);
    assert_eq!(pair.core(Judge).identity(), judge.identity);
    let mut held = crate::judge::delivered(crate::judge::held());
    let before = crate::judge::case(&held);
    held.restart(Judge);
    assert_eq!(crate::judge::case(&held), before);
}

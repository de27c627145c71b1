//! The process is killed at every single commit of an escrow, on each side, right before it is durable and
//! right after: it ends the same, nothing is paid twice, nothing is held for ever.

use earnest::market::*;

use crate::course::{BOTH, assert_paid, assert_refunded, fund};
use crate::pair::*;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Course {
    Released,
    NeverDelivered,
    NeverReleased,
    GivenBack,
}

/// What both people want, looked at anew after every crash.
fn live(pair: &mut Pair, course: Course) {
    pair.blocks(1000, &BOTH);
    for _ in 0..60 {
        pair.quiet();
        let height = pair.nodes.height;
        pair.blocks(height, &BOTH);
        let posts: Vec<_> = pair.core(Requester).posts().values().cloned().collect();
        let Some(post) = posts.first() else {
            let mut draft = pair.draft();
            draft.modes = vec![Mode::Escrow];
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
        match (r.phase, w.phase) {
            (Phase::Settled, Phase::Settled) | (Phase::Refunded, Phase::Refunded) => return,
            (Phase::Bid, _) => {
                let _ = pair.core_mut(Requester).award(&r.id);
            }
            (Phase::Awarded, Phase::Awarded) => drop(fund(pair)),
            (_, Phase::Working) if course == Course::GivenBack => drop(pair.cancel(Worker)),
            (_, Phase::Working) if course == Course::NeverDelivered => {
                pair.blocks(height + 36, &BOTH);
            }
            (_, Phase::Working) if w.attempt.is_none() => drop(pair.deliver("work.bin", 20_000)),
            (Phase::Delivered, _) if course == Course::NeverReleased => {
                pair.blocks(height + 36, &BOTH);
            }
            (Phase::Delivered, _) => drop(pair.accept()),
            // A block is what wakes an escrow.
            _ => pair.blocks(height + 1, &BOTH),
        }
        pair.restart_if_dead(Requester);
        pair.restart_if_dead(Worker);
    }
    panic!("it never ends: {:?} {:?}", pair.job(Requester), pair.job(Worker));
}

fn assert_ended(pair: &Pair, course: Course) {
    match course {
        Course::Released => assert_paid(pair),
        _ => assert_refunded(pair),
    }
    assert_eq!(pair.nodes.sent.len(), 1, "the money left once");
}

fn killed_everywhere(who: Who, course: Course) {
    let mut whole = Pair::new();
    live(&mut whole, course);
    whole.quiet();
    assert_ended(&whole, course);
    let commits = whole.side(who).death.lock().unwrap().commits;
    assert!(commits > 8, "{commits}");
    for at in 1..=commits {
        for before in [true, false] {
            let mut pair = Pair::new();
            {
                let mut death = pair.side(who).death.lock().unwrap();
                death.at = Some(at);
                death.before = before;
            }
            live(&mut pair, course);
            pair.quiet();
            assert_eq!(pair.restarts, 1, "commit {at}");
            assert_ended(&pair, course);
        }
    }
}

#[test]
fn the_requester_is_killed_at_every_commit_of_an_escrow() {
    killed_everywhere(Requester, Course::Released);
}

#[test]
fn the_worker_is_killed_at_every_commit_of_an_escrow() {
    killed_everywhere(Worker, Course::Released);
}

#[test]
fn a_refund_survives_a_kill_at_every_commit() {
    for course in [Course::NeverDelivered, Course::NeverReleased, Course::GivenBack] {
        for who in BOTH {
            killed_everywhere(who, course);
        }
    }
}

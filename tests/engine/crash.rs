//! The process is killed at every single commit of a whole job, on each side, right before it is durable
//! and right after: the job ends the same.

use earnest::market::*;

use crate::pair::*;
use crate::whole::{assert_settled, wish};

/// What both people want, looked at anew after every crash, until it is settled.
pub(crate) fn live(pair: &mut Pair, mode: Mode, tranches: u32) {
    live_until(pair, mode, tranches, |r, w| (r.phase, w.phase) == (Phase::Settled, Phase::Settled));
}

/// The same until something else.
pub(crate) fn live_until(
    pair: &mut Pair,
    mode: Mode,
    tranches: u32,
    over: impl Fn(&Job, &Job) -> bool,
) {
    for _ in 0..40 {
        pair.quiet();
        let posts: Vec<_> = pair.core(Requester).posts().values().cloned().collect();
        let Some(post) = posts.first() else {
            let draft = pair.draft();
            let _ = pair.core_mut(Requester).post(&draft, Vec::new());
            pair.restart_if_dead(Requester);
            continue;
        };
        if pair.core(Worker).jobs().is_empty() {
            let _ = pair.core_mut(Worker).bid(&post.id, wish(mode, tranches), "I can.");
            pair.restart_if_dead(Worker);
            continue;
        }
        if pair.core(Requester).jobs().is_empty() {
            continue;
        }
        let (r, w) = (pair.job(Requester), pair.job(Worker));
        if over(&r, &w) {
            return;
        }
        match (r.phase, w.phase) {
            (Phase::Bid, _) => {
                let _ = pair.core_mut(Requester).award(&r.id);
            }
            (_, Phase::Working) if w.attempt.is_none() => {
                let _ = pair.deliver("work.bin", 50_000);
            }
            (Phase::Delivered, _) if r.attempt.as_ref().is_some_and(|a| a.inspected) => {
                let _ = pair.accept();
            }
            _ => {}
        }
        pair.restart_if_dead(Requester);
        pair.restart_if_dead(Worker);
    }
    panic!("it never ends: {:?} {:?}", pair.job(Requester), pair.job(Worker));
}

fn killed_everywhere(who: Who, mode: Mode, tranches: u32) {
    let mut whole = Pair::new();
    live(&mut whole, mode, tranches);
    assert_settled(&whole, tranches);
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
            live(&mut pair, mode, tranches);
            assert_eq!(pair.restarts, 1, "commit {at}");
            assert_settled(&pair, tranches);
        }
    }
}

#[test]
fn the_requester_is_killed_at_every_commit() {
    killed_everywhere(Requester, Mode::Sealed, 2);
}

#[test]
fn the_worker_is_killed_at_every_commit() {
    killed_everywhere(Worker, Mode::Sealed, 2);
}

#[test]
fn a_direct_job_survives_a_kill_at_every_commit() {
    killed_everywhere(Requester, Mode::Direct, 1);
    killed_everywhere(Worker, Mode::Direct, 1);
}

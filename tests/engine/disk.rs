//! A disk that is full for a moment, that loses what was inspected, and that is tidied.

use std::path::Path;

use earnest::engine::{RelayEvent, Store as _, Taken};
use earnest::market::*;

use crate::crash::live;
use crate::pair::*;
use crate::whole::{assert_settled, wish};

fn full_everywhere(who: Who, mode: Mode, tranches: u32) {
    let mut whole = Pair::new();
    live(&mut whole, mode, tranches);
    let commits = whole.side(who).death.lock().unwrap().commits;
    for at in 1..=commits {
        let mut pair = Pair::new();
        pair.side(who).death.lock().unwrap().full_at = Some(at);
        live(&mut pair, mode, tranches);
        assert_eq!(pair.restarts, 0, "commit {at}");
        assert_settled(&pair, tranches);
    }
}

#[test]
fn a_disk_that_is_full_at_any_commit_costs_seconds_and_no_restart() {
    for who in [Requester, Worker] {
        full_everywhere(who, Mode::Sealed, 2);
        full_everywhere(who, Mode::Direct, 1);
    }
}

/// A bit of every byte: some bytes of a vector file are of no account once it was inspected.
fn flip(path: &Path) {
    let bytes: Vec<u8> = std::fs::read(path).unwrap().into_iter().map(|b| b ^ 1).collect();
    std::fs::write(path, bytes).unwrap();
}

fn remove(path: &Path) {
    std::fs::remove_file(path).unwrap();
}

fn cut(path: &Path) {
    let bytes = std::fs::read(path).unwrap();
    std::fs::write(path, &bytes[..bytes.len() / 3]).unwrap();
}

/// Paid, and the opening of the first tranche is in the test's hands.
fn paid(tranches: u32) -> Pair {
    let mut pair = Pair::new();
    pair.delivered(wish(Mode::Sealed, tranches));
    pair.side_mut(Requester).lazy = vec!["open"];
    pair.accept().unwrap();
    pair.quiet();
    assert_eq!(pair.nodes.sent.len(), 1);
    pair
}

#[test]
fn what_this_disk_lost_after_the_inspection_is_fetched_again_and_opened() {
    let harms = [("changed", flip as fn(&Path)), ("removed", remove), ("cut", cut)];
    for (what, harm) in harms {
        for (half, tranches) in [(0, 1), (1, 1), (0, 3), (1, 3)] {
            let mut pair = paid(tranches);
            let work = pair.job(Requester).attempt.unwrap();
            harm(&[work.blob.unwrap(), work.vector.unwrap()][half]);
            pair.side_mut(Worker).away = true;
            pair.wake(Requester);
            pair.quiet();
            let job = pair.job(Requester);
            assert_eq!(job.phase, Phase::Paying, "{what} {half}: {:?}", job.stuck);
            let work = job.attempt.unwrap();
            assert!(work.tranches[0].key.is_some() && work.cheat.is_none());
            assert_eq!((work.damaged, work.blob, work.vector), (1, None, None));
            pair.restart(Requester);
            pair.side_mut(Worker).away = false;
            pair.pass(Span::MINUTE.times(15));
            pair.quiet();
            assert_settled(&pair, tranches);
        }
    }
}

#[test]
fn a_disk_that_loses_everything_always_is_given_up_and_nobody_is_accused() {
    let mut pair = paid(1);
    for round in 0.. {
        let Some(blob) = pair.job(Requester).attempt.unwrap().blob else { panic!() };
        flip(&blob);
        let kept = std::mem::take(&mut pair.side_mut(Requester).kept);
        if kept.is_empty() {
            assert_eq!(round, 9);
            break;
        }
        for (row, effect) in kept {
            pair.run(Requester, &row, &effect);
        }
        pair.quiet();
    }
    let job = pair.job(Requester);
    assert_eq!((job.phase, job.stuck.len()), (Phase::Paying, 1), "{:?}", job.stuck);
    assert!(job.stuck[0].contains("the key that you paid for is kept"), "{:?}", job.stuck);
    assert!(job.attempt.unwrap().cheat.is_none());
    assert_eq!(pair.nodes.sent.len(), 1);
}

#[test]
fn our_own_words_are_known_when_they_come_back_and_are_not_read() {
    let mut pair = Pair::new();
    pair.awarded(wish(Mode::Sealed, 1));
    pair.ask(Requester, Ask::Note { text: "Hello.".into() }).unwrap();
    pair.side_mut(Worker).deaf = true;
    pair.effects(Requester);
    let note = pair.events.last().unwrap().clone();
    let unread = RelayEvent { json: "{}".into(), ..note.clone() };
    assert_eq!(pair.hear(Requester, &unread), Taken::Nothing);
    assert_eq!(code(&pair.hear(Worker, &unread)), "not-an-event", "a stranger's is read first");
}

#[test]
fn what_is_forgotten_in_time_changes_nothing_when_it_comes_again() {
    let mut pair = Pair::new();
    pair.delivered(wish(Mode::Sealed, 1));
    pair.accept().unwrap();
    for _ in 0..6 {
        // Until nobody repeats anything any more.
        pair.quiet();
        pair.pass(Span::DAY);
    }
    let settled = [pair.job(Requester), pair.job(Worker)];
    let events = pair.events.clone();
    let seen = |pair: &Pair, who| {
        let store = pair.core(who).store();
        events.iter().filter(|e| store.seen("relay", &e.id.to_string()).unwrap()).count()
    };
    for who in [Requester, Worker] {
        assert!(seen(&pair, who) > 5);
        pair.core_mut(who).tidy().unwrap();
        assert!(seen(&pair, who) > 5);
    }
    pair.pass(Span::DAY.times(300));
    for who in [Requester, Worker] {
        while seen(&pair, who) > 0 {
            pair.core_mut(who).tidy().unwrap();
        }
        for event in &events {
            let _ = pair.hear(who, event);
        }
    }
    pair.quiet();
    assert_eq!([pair.job(Requester), pair.job(Worker)], settled);
    assert_settled(&pair, 1);
}

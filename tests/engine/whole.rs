//! Whole jobs from the listing to the last satoshi, in every mode, and everything told twice.

use earnest::engine::Store as _;
use earnest::market::*;

use crate::pair::*;

pub(crate) fn wish(mode: Mode, tranches: u32) -> Wish {
    Wish { mode: Some(mode), price: None, tranches: Some(tranches) }
}

/// The job has ended well on both sides, and every satoshi is accounted for.
pub(crate) fn assert_settled(pair: &Pair, tranches: u32) {
    let (r, w) = (pair.job(Requester), pair.job(Worker));
    assert_eq!(
        (r.phase, w.phase),
        (Phase::Settled, Phase::Settled),
        "{:?} {:?}",
        r.reason,
        w.reason
    );
    let price = i128::from(sats(21_000).get());
    assert_eq!(pair.nodes.earned, [-price, price]);
    assert_eq!(pair.nodes.sent.len(), tranches as usize, "each tranche is paid once");
    for (who, state) in [(Requester, "paid"), (Worker, "received")] {
        let ledger = pair.ledger(who);
        assert_eq!(ledger.len(), tranches as usize);
        assert!(ledger.iter().all(|row| row.state == state), "{who:?}: {ledger:?}");
        assert_eq!(ledger.iter().map(|row| row.amount).sum::<Msat>(), sats(21_000));
    }
    let output = r.attempt.as_ref().unwrap().output.clone().unwrap();
    let sent = std::fs::read(w.attempt.unwrap().source.unwrap()).unwrap();
    assert_eq!(std::fs::read(output).unwrap(), sent);
    assert_eq!(pair.core(Requester).reserved(), Msat::ZERO);
    for who in [Requester, Worker] {
        assert_eq!(
            pair.core(who).store().outbox().unwrap(),
            (0, 0),
            "{who:?} has nothing left to do"
        );
        assert!(pair.job(who).stuck.is_empty(), "{:?}", pair.job(who).stuck);
    }
}

#[test]
fn a_job_of_one_tranche_ends_paid_and_opened() {
    let mut pair = Pair::new();
    pair.delivered(wish(Mode::Sealed, 1));
    pair.accept().unwrap();
    pair.quiet();
    assert_settled(&pair, 1);
}

#[test]
fn a_job_of_three_tranches_is_paid_in_three_and_asked_about_once() {
    let mut pair = Pair::new();
    pair.delivered(wish(Mode::Sealed, 3));
    pair.accept().unwrap();
    pair.quiet();
    assert_settled(&pair, 3);
}

#[test]
fn a_direct_job_is_delivered_in_the_open_and_paid_on_acceptance() {
    let mut pair = Pair::new();
    pair.delivered(wish(Mode::Direct, 1));
    let blob = pair.job(Requester).attempt.unwrap().blob.unwrap();
    let sent = std::fs::read(pair.job(Worker).attempt.unwrap().source.unwrap()).unwrap();
    assert_eq!(std::fs::read(blob).unwrap(), sent, "the requester can look before it pays");
    pair.accept().unwrap();
    pair.quiet();
    assert_settled(&pair, 1);
}

#[test]
fn a_proof_of_work_is_made_and_asked_for() {
    let mut pair = Pair::new();
    let gig = pair.posted(|draft| draft.pow = 8);
    pair.core_mut(Worker).bid(&gig, Wish::default(), "I can.").unwrap();
    pair.quiet();
    assert_eq!(pair.phase(Requester), Phase::Bid);
}

#[test]
fn everything_told_twice_changes_nothing() {
    for (mode, tranches) in [(Mode::Sealed, 1), (Mode::Sealed, 3), (Mode::Direct, 1)] {
        let mut pair = Pair::new();
        pair.twice = true;
        pair.delivered(wish(mode, tranches));
        pair.accept().unwrap();
        pair.quiet();
        assert_settled(&pair, tranches);
        again(&mut pair);
        assert_settled(&pair, tranches);
    }
}

/// Every outcome, every event and everything the node said, once more from the beginning.
fn again(pair: &mut Pair) {
    for who in [Requester, Worker] {
        let before = pair.job(who);
        for (row, effect, outcome) in pair.side(who).ran.clone() {
            let _ = pair.core_mut(who).done(&row, &effect, Ok(outcome));
        }
        for event in pair.side(who).said.clone() {
            pair.core_mut(who).node(&event).unwrap();
        }
        for event in pair.events.clone() {
            pair.hear(who, &event);
        }
        let after = pair.job(who);
        assert_eq!(after.phase, before.phase);
        assert_eq!(after.attempt, before.attempt, "{who:?}");
        assert_eq!(after.ours, before.ours, "{who:?} says nothing more");
    }
    pair.quiet();
}

#[test]
fn a_restart_folds_to_the_same_job() {
    let mut pair = Pair::new();
    pair.delivered(wish(Mode::Sealed, 3));
    for who in [Requester, Worker] {
        let before = pair.job(who);
        pair.restart(who);
        assert_eq!(pair.job(who), before);
    }
    pair.accept().unwrap();
    pair.quiet();
    for who in [Requester, Worker] {
        let before = pair.job(who);
        pair.restart(who);
        pair.quiet();
        assert_eq!(pair.job(who), before);
    }
    assert_settled(&pair, 3);
}

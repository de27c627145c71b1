//! A worker that sells a key which does not open what it signed: the requester loses one tranche, has a proof
//! that convicts, and never pays again, wherever its process or the worker's is killed.

use earnest::engine::Store as _;
use earnest::market::*;
use earnest::wire::{Judgement, verify_proof};

use crate::crash::live_until;
use crate::pair::*;

const PROOF: u16 = 3922;

/// A job of so many tranches, of which this one is sealed under another key than the one sold.
pub(crate) fn begun(cheats: u32) -> Pair {
    let mut pair = Pair::new();
    pair.side_mut(Worker).cheats = Some(cheats);
    pair
}

fn convicted(requester: &Job, _: &Job) -> bool {
    requester.attempt.as_ref().is_some_and(|work| work.proof.is_some())
}

/// Paid up to the tranche that does not open and not a satoshi further; and the proof says who.
fn assert_convicted(pair: &Pair, tranches: u32, cheats: u32) {
    let job = pair.job(Requester);
    assert_eq!(job.phase, Phase::Cheated);
    let paid = i128::from(sats(21_000).get()) * i128::from(cheats + 1) / i128::from(tranches);
    assert_eq!(pair.nodes.earned, [-paid, paid]);
    assert_eq!(pair.nodes.sent.len(), cheats as usize + 1, "each of them once");
    let ledger = pair.ledger(Requester);
    assert_eq!(ledger.len(), cheats as usize + 1);
    assert!(ledger.iter().all(|row| row.state == "paid"), "{ledger:?}");

    let work = job.attempt.unwrap();
    let opened: Vec<bool> = work.tranches.iter().map(|t| t.opened).collect();
    let right: Vec<bool> = (0..tranches).map(|t| t < cheats).collect();
    assert_eq!(opened, right);
    let proof = std::fs::read(work.proof.unwrap()).unwrap();
    let published = pair.events.iter().find(|event| event.kind == PROOF).expect("it is published");
    for proof in [proof.as_slice(), published.json.as_bytes()] {
        let Ok(Judgement::Guilty { against, tranche, .. }) = verify_proof(proof) else { panic!() };
        assert_eq!((against, tranche), (pair.core(Worker).identity(), Some(cheats)));
    }
    for who in [Requester, Worker] {
        assert_eq!(pair.core(who).store().outbox().unwrap().1, 0, "nothing is given up");
        assert!(pair.job(who).stuck.is_empty(), "{:?}", pair.job(who).stuck);
    }
}

/// Everything that could make a requester pay again.
fn tempted(pair: &mut Pair, tranches: u32, cheats: u32) {
    let manifest = pair.job(Worker).attempt.unwrap().record.unwrap().id;
    for round in 0..3 {
        for who in [Requester, Worker] {
            pair.restart(who);
            pair.quiet();
        }
        assert_eq!(refused(pair.accept()), "wrong-phase", "round {round}");
        for tranche in cheats..tranches {
            let hash = pair.job(Worker).attempt.unwrap().hashes[tranche as usize];
            let order = BillOrder {
                hash,
                amount: sats(21_000 / u64::from(tranches)),
                description_hash: purpose(Mode::Sealed, &manifest, tranche),
                expiry_secs: 3600,
                again: round > 0,
                hold_blocks: None,
            };
            let invoice = pair.invoice(Worker, &order, |_| {});
            pair.say(Worker, Body::Bill { manifest, tranche, invoice });
            pair.quiet();
        }
        pair.pass(Span::DAY);
        pair.quiet();
    }
}

#[test]
fn a_key_that_opens_nothing_right_costs_one_tranche_and_convicts_its_seller() {
    for (tranches, cheats) in [(1, 0), (3, 0), (3, 1), (3, 2)] {
        let mut pair = begun(cheats);
        live_until(&mut pair, Mode::Sealed, tranches, convicted);
        assert_convicted(&pair, tranches, cheats);
        tempted(&mut pair, tranches, cheats);
        assert_convicted(&pair, tranches, cheats);
        // What a worker was paid, it was paid.
        let worker = pair.job(Worker).phase;
        assert_eq!(worker == Phase::Settled, cheats + 1 == tranches, "{worker:?}");
    }
}

fn killed_everywhere(who: Who, tranches: u32, cheats: u32) {
    let mut whole = begun(cheats);
    live_until(&mut whole, Mode::Sealed, tranches, convicted);
    let commits = whole.side(who).death.lock().unwrap().commits;
    for at in 1..=commits {
        for before in [true, false] {
            let mut pair = begun(cheats);
            {
                let mut death = pair.side(who).death.lock().unwrap();
                (death.at, death.before) = (Some(at), before);
            }
            live_until(&mut pair, Mode::Sealed, tranches, convicted);
            pair.quiet();
            assert_eq!(pair.restarts, 1, "commit {at}");
            assert_convicted(&pair, tranches, cheats);
        }
    }
}

#[test]
fn the_requester_of_a_cheat_is_killed_at_every_commit() {
    killed_everywhere(Requester, 1, 0);
    killed_everywhere(Requester, 3, 1);
}

#[test]
fn a_cheat_is_killed_at_every_commit() {
    killed_everywhere(Worker, 1, 0);
    killed_everywhere(Worker, 3, 1);
}

//! Milestones before a judge: each lock is a case of its own, and nothing that was signed for one speaks in
//! another.

use earnest::engine::{Store as _, Taken};
use earnest::market::*;

use crate::course::{escrow, fund, phases};
use crate::judge::{ALL, listed, to, to_judge};
use crate::pair::*;

/// Two milestones in escrow before the same judge; the first is awarded.
fn two(deterministic: bool, checked: bool) -> Pair {
    two_of(&[Mode::Escrow; 2], deterministic, checked)
}

fn two_of(modes: &[Mode], deterministic: bool, checked: bool) -> Pair {
    let mut pair = Pair::new();
    pair.blocks(1000, &ALL);
    let judge = Some(listed(&mut pair, deterministic));
    let mut milestones = pair.in_milestones(modes).milestones;
    for m in milestones.iter_mut().filter(|m| m.mode == Mode::Escrow) {
        m.escrow = Some(EscrowTerms { window: WINDOW, judge });
    }
    if checked {
        // Only of the second.
        let body = r#"{"kind":"rules","rules":{"bytes":{"max":6,"min":6}},"scope":"whole","v":1}"#;
        milestones[1].quality.checks = vec![earnest::engine::pin(body.as_bytes()).unwrap()];
    }
    let gig = pair.posted(|draft| *draft = draft.clone().in_milestones(milestones));
    let id = pair.core_mut(Worker).bid(&gig, Wish::default(), "I can.").unwrap();
    pair.quiet();
    pair.core_mut(Requester).award(&id).unwrap();
    pair.quiet();
    pair
}

fn locked(pair: &mut Pair) {
    fund(pair).unwrap();
    pair.quiet();
    assert_eq!(phases(pair), (Phase::Working, Phase::Working));
}

/// The first is paid, the money of the second is locked.
fn in_the_second(deterministic: bool, checked: bool) -> (Pair, Record) {
    let mut pair = two(deterministic, checked);
    locked(&mut pair);
    pair.deliver("first.bin", 9_000).unwrap();
    pair.quiet();
    let first = pair.job(Worker).attempt.unwrap().record.unwrap();
    pair.accept().unwrap();
    pair.quiet();
    assert_eq!(phases(&pair), (Phase::Awarded, Phase::Awarded));
    locked(&mut pair);
    (pair, first)
}

/// The case of the lock that stands.
fn case(pair: &Pair) -> Case {
    let id = pair.job(Worker).case().unwrap();
    pair.core(Judge).case(&id).unwrap().clone()
}

fn end(pair: &Pair) -> Timetable {
    Timetable { end: escrow(pair, Worker).end.unwrap(), window: WINDOW }
}

/// What the worker has, in sat.
fn earned(pair: &Pair) -> i128 {
    assert_eq!(pair.nodes.earned[0], -pair.nodes.earned[1]);
    pair.nodes.earned[1] / 1000
}

#[test]
fn each_milestone_is_a_case_of_its_own() {
    let (mut pair, _) = in_the_second(true, true);
    assert_eq!(pair.core(Judge).cases().len(), 2);
    let case = case(&pair);
    assert_eq!((case.lock.milestone, case.lock.attempt), (1, 0));
    assert_eq!(case.terms().unwrap().price, sats(5_000));
    assert_eq!(case.begins.checks.len(), 1, "the checks of the second");
    pair.deliver_text("second.txt", b"1\n2\n3\n");
    pair.accept().unwrap();
    pair.quiet();
    assert_eq!(phases(&pair), (Phase::Settled, Phase::Settled));
    assert_eq!(earned(&pair), 9_000);
    assert!(pair.ledger(Judge).is_empty());
}

#[test]
fn a_ruling_in_the_first_ends_the_job_with_what_it_pays() {
    let mut pair = two(true, false);
    locked(&mut pair);
    pair.deliver("first.bin", 9_000).unwrap();
    pair.quiet();
    let t = end(&pair);
    to(&mut pair, t.verdict());
    assert_eq!(phases(&pair), (Phase::Disputed, Phase::Disputed));
    to(&mut pair, t.objection());
    assert_eq!(phases(&pair), (Phase::Settled, Phase::Settled));
    assert_eq!(earned(&pair), 4_000);
    assert_eq!(pair.core(Requester).reserved(), Msat::ZERO);
}

#[test]
fn a_ruling_in_the_last_pays_it() {
    let (mut pair, _) = in_the_second(true, true);
    pair.deliver_text("second.txt", b"1\n2\n3\n");
    let t = end(&pair);
    to(&mut pair, t.verdict());
    to(&mut pair, t.objection());
    assert_eq!(phases(&pair), (Phase::Settled, Phase::Settled));
    assert_eq!(earned(&pair), 9_000);
}

#[test]
fn the_work_of_the_first_is_none_of_the_second_before_a_judge() {
    for checked in [false, true] {
        let (mut pair, first) = in_the_second(true, checked);
        // The worker shows the judge what it was paid for already, and calls for the money of the second.
        let lodge = Body::Lodge { record: first.event.clone() };
        assert_eq!(to_judge(&mut pair, Worker, lodge), Taken::New);
        let secret = Preimage::new([3; 32]);
        let dispute = Body::Dispute {
            manifest: Some(first.id),
            reason: "It is good.".into(),
            secrets: vec![secret],
        };
        assert_eq!(to_judge(&mut pair, Worker, dispute), Taken::New);
        assert!(case(&pair).disputed().is_none());
        let t = end(&pair);
        to(&mut pair, t.objection());
        let (whose, why) = case(&pair).ruling.unwrap();
        assert_eq!(
            (whose, why.as_str()),
            (Role::Requester, "There is no delivery that the worker signed.")
        );
        pair.quiet();
        assert_eq!(phases(&pair), (Phase::Refunded, Phase::Refunded));
        assert_eq!(earned(&pair), 4_000);
    }
}

/// The worker's word that it stops, overtaken by a payment that was on its way, is no word on the next milestone.
#[test]
fn a_word_of_giving_up_in_the_first_gives_nothing_up_in_the_second() {
    let mut pair = two_of(&[Mode::Sealed, Mode::Escrow], true, true);
    pair.deliver("first.bin", 9_000).unwrap();
    pair.quiet();
    pair.side_mut(Requester).lazy = vec!["pay"];
    pair.accept().unwrap();
    pair.quiet();
    pair.side_mut(Worker).away = true;
    pair.wake(Requester);
    pair.cancel(Worker).unwrap();
    let given_up = pair.job(Worker).ours.last.unwrap();
    pair.side_mut(Worker).away = false;
    pair.quiet();
    assert_eq!((phases(&pair), earned(&pair)), ((Phase::Awarded, Phase::Awarded), 4_000));
    locked(&mut pair);
    pair.deliver_text("second.txt", b"1\n2\n3\n");
    let lodge = Body::Lodge { record: given_up.event };
    assert_eq!(to_judge(&mut pair, Requester, lodge), Taken::New);
    let t = end(&pair);
    to(&mut pair, t.verdict());
    to(&mut pair, t.objection());
    assert_eq!(case(&pair).ruling.unwrap().0, Role::Worker);
    assert_eq!((phases(&pair), earned(&pair)), ((Phase::Settled, Phase::Settled), 9_000));
}

#[test]
fn money_that_was_taken_before_any_work_ends_the_job_on_both_sides() {
    let mut pair = two(true, false);
    locked(&mut pair);
    let (lock, x) = (escrow(&pair, Worker).lock, case(&pair).x);
    pair.claims_by_itself(&lock.hash, &x);
    pair.quiet();
    assert_eq!(phases(&pair), (Phase::Settled, Phase::Settled));
    assert_eq!(earned(&pair), 4_000);
    assert_eq!(pair.core(Requester).reserved(), Msat::ZERO);
    for who in [Requester, Worker] {
        assert_eq!(pair.core(who).store().outbox().unwrap(), (0, 0));
    }
}

#[test]
fn money_that_was_taken_before_it_was_released_carries_the_job_on_where_work_was_delivered() {
    let mut pair = two(true, false);
    locked(&mut pair);
    pair.deliver("first.bin", 9_000).unwrap();
    pair.quiet();
    let (lock, x) = (escrow(&pair, Worker).lock, case(&pair).x);
    let paid = earnest::engine::NodeEvent::Paid { hash: lock.hash, preimage: x, fee: sats(1) };
    pair.side_mut(Requester).queue.push_back(paid);
    pair.quiet();
    assert_eq!((phases(&pair), earned(&pair)), ((Phase::Awarded, Phase::Awarded), 4_000));
    locked(&mut pair);
    // The secret of the first, said once more, is nothing to the second.
    let manifest = pair.job(Worker).past[0].hash.map(|hash| EventId(hash.0)).unwrap();
    pair.say(Requester, Body::Accept { manifest, next: None, x: Some(x), receipt: None });
    pair.quiet();
    assert_eq!((phases(&pair), earned(&pair)), ((Phase::Working, Phase::Working), 4_000));
}

#[test]
fn a_secret_that_is_said_again_while_a_word_is_awaited_changes_nothing() {
    let mut pair = two(true, false);
    locked(&mut pair);
    pair.deliver("first.bin", 9_000).unwrap();
    pair.quiet();
    let manifest = pair.job(Worker).attempt.unwrap().record.unwrap().id;
    let x = case(&pair).x;
    // A liar names something else first: the worker is paid, and has no word on its work yet.
    let accept = |manifest| Body::Accept { manifest, next: None, x: Some(x), receipt: None };
    pair.say(Requester, accept(EventId([7; 32])));
    pair.quiet();
    assert_eq!((pair.phase(Worker), earned(&pair)), (Phase::Reached, 4_000));
    pair.say(Requester, accept(EventId([8; 32])));
    pair.quiet();
    assert_eq!(pair.phase(Worker), Phase::Reached, "it is paid, and not being paid again");
    pair.say(Requester, accept(manifest));
    assert_eq!((pair.phase(Worker), pair.job(Worker).milestone), (Phase::Awarded, 1));
}

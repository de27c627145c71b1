//! An escrow with a judge: who is appointed when, what is called for, what it rules, and what blocks do
//! meanwhile. The judge never has a coin: its node in here would panic if it claimed one.

use earnest::engine::{Channel, Scribe as _, Taken, Trouble};
use earnest::market::*;

use crate::course::{assert_paid, assert_refunded, escrow, fund, phases};
use crate::pair::*;

pub(crate) const ALL: [Who; 3] = [Requester, Worker, Judge];

/// The judge's listing is in everybody's book.
pub(crate) fn listed(pair: &mut Pair, deterministic: bool) -> JudgeTerms {
    let mut draft = pair.draft();
    draft.work = Work::Judge;
    draft.modes = vec![Mode::Direct];
    draft.title = "I judge".into();
    draft.price = sats(100);
    draft.tags = if deterministic { vec![DETERMINISTIC.into()] } else { vec!["by-hand".into()] };
    let listing = pair.core_mut(Judge).post(&draft, Vec::new()).unwrap();
    pair.quiet();
    JudgeTerms { identity: pair.core(Judge).identity(), listing }
}

pub(crate) fn awarded_with(deterministic: bool, change: impl FnOnce(&mut GigDraft)) -> Pair {
    let mut pair = Pair::new();
    pair.blocks(1000, &ALL);
    let judge = listed(&mut pair, deterministic);
    awarded_before(&mut pair, judge, change);
    pair
}

fn awarded_before(pair: &mut Pair, judge: JudgeTerms, change: impl FnOnce(&mut GigDraft)) {
    let gig = pair.posted(|draft| {
        draft.modes = vec![Mode::Escrow];
        draft.escrow = Some(EscrowTerms { window: WINDOW, judge: Some(judge) });
        change(draft);
    });
    let id = pair.core_mut(Worker).bid(&gig, Wish::default(), "I can.").unwrap();
    pair.quiet();
    pair.core_mut(Requester).award(&id).unwrap();
    pair.quiet();
}

/// The judge was away when the gig was published, and relays keep the newest version alone.
pub(crate) fn awarded_unseen() -> Pair {
    let mut pair = Pair::new();
    pair.blocks(1000, &ALL);
    let judge = listed(&mut pair, true);
    pair.side_mut(Judge).deaf = true;
    awarded_before(&mut pair, judge, with_check);
    pair.side_mut(Judge).heard = pair.events.len();
    pair.side_mut(Judge).deaf = false;
    pair
}

/// The money is locked and the judge holds its copy of the secret.
pub(crate) fn held_with(deterministic: bool, change: impl FnOnce(&mut GigDraft)) -> Pair {
    let mut pair = awarded_with(deterministic, change);
    fund(&mut pair).unwrap();
    pair.quiet();
    assert_eq!(phases(&pair), (Phase::Working, Phase::Working));
    pair
}

pub(crate) fn held() -> Pair {
    held_with(true, |_| {})
}

/// Lines of numbers, which the check takes or not.
pub(crate) fn with_check(draft: &mut GigDraft) {
    let body = r#"{"kind":"rules","rules":{"bytes":{"max":6,"min":6}},"scope":"whole","v":1}"#;
    draft.quality.checks = vec![earnest::engine::pin(body.as_bytes()).unwrap()];
}

pub(crate) fn delivered(mut pair: Pair) -> Pair {
    pair.deliver_text("work.txt", b"1\n2\n3\n");
    assert!(pair.job(Requester).attempt.unwrap().output.is_some());
    pair
}

pub(crate) fn case(pair: &Pair) -> Case {
    pair.core(Judge).cases().values().next().unwrap().clone()
}

pub(crate) fn table(pair: &Pair) -> Timetable {
    Timetable { end: escrow(pair, Worker).end.unwrap(), window: WINDOW }
}

pub(crate) fn dispute(pair: &mut Pair, who: Who) -> Result<(), Trouble> {
    pair.ask(who, Ask::Dispute { reason: "It is good.".into() })
}

pub(crate) fn object(pair: &mut Pair, who: Who) -> Result<(), Trouble> {
    pair.ask(who, Ask::Object { reason: "It is not.".into() })
}

/// Blocks come to this height, and everybody's node sees them.
pub(crate) fn to(pair: &mut Pair, height: u32) {
    pair.blocks(height, &ALL);
    pair.quiet();
}

/// A word to the judge that the own program would never say.
pub(crate) fn to_judge(pair: &mut Pair, who: Who, body: Body) -> Taken {
    let (nonce, peer, id) = pair.job(who).judge_channel().unwrap();
    let channel = Channel { nonce, peer, job: JobId(id.0) };
    let chain = pair.core(Judge).case(&id).unwrap().chain_of(pair.job(who).role).clone();
    let prev = chain.last.map(|last| last.id);
    let draft =
        Draft { job: Some(channel.job), seq: chain.next, prev, seen: None, at: pair.now(), body };
    let keys = &pair.side(who).keys;
    let record = keys.sign(&nonce, &draft).unwrap();
    let event = keys.post(&channel, &record, pair.now()).unwrap();
    pair.hear(Judge, &relayed(&event.json))
}

/// The `deliver` record that the worker signed last.
pub(crate) fn manifest(pair: &Pair) -> EventId {
    escrow(pair, Worker).hearing.delivery.unwrap().id
}

fn assert_judge_has_nothing(pair: &Pair) {
    assert!(pair.ledger(Judge).is_empty(), "a judge never receives");
    assert!(pair.side(Judge).said.is_empty());
}

#[test]
fn a_judge_who_was_away_when_the_gig_was_published_is_shown_what_was_asked_for() {
    let mut pair = awarded_unseen();
    fund(&mut pair).unwrap();
    pair.quiet();
    let (case, job) = (case(&pair), pair.job(Requester));
    assert_eq!(case.begins.gig.as_ref(), Some(&job.gig), "the version that was bid on");
    assert!(case.begins.checks[0].body.is_some(), "and with it the check");
    let mut pair = delivered(pair);
    pair.accept().unwrap();
    pair.quiet();
    assert_paid(&pair);
}

#[test]
fn the_judge_gets_its_copy_after_the_money_is_locked_and_nobody_works_before_it_says_so() {
    let mut pair = awarded_with(true, |_| {});
    assert!(pair.core(Judge).cases().is_empty(), "nothing is locked, and the judge knows nothing");
    pair.side_mut(Judge).deaf = true;
    fund(&mut pair).unwrap();
    pair.quiet();
    assert!(escrow(&pair, Worker).funded.is_some());
    assert_eq!(phases(&pair), (Phase::Funding, Phase::Funding));
    assert_eq!(refused(pair.deliver("early.bin", 1000)), "not-held");
    pair.side_mut(Judge).deaf = false;
    pair.quiet();
    assert_eq!(phases(&pair), (Phase::Working, Phase::Working));
    let case = case(&pair);
    assert_eq!(case.lock, escrow(&pair, Worker).lock);
    assert_eq!(case.x.hash(), case.lock.hash);
    assert_eq!(case.end, escrow(&pair, Requester).end.unwrap());
    let judge = escrow(&pair, Worker).hearing.judge.unwrap();
    assert_eq!(judge, escrow(&pair, Requester).hearing.judge.unwrap(), "one word to both");
    assert_eq!(judge.job, pair.job(Worker).job.unwrap());
}

#[test]
fn what_goes_well_needs_no_judge() {
    let mut pair = delivered(held());
    pair.accept().unwrap();
    pair.quiet();
    assert_paid(&pair);
    assert_judge_has_nothing(&pair);
    assert_eq!(case(&pair).phase, CasePhase::Holding);
    let end = table(&pair).end;
    to(&mut pair, end);
    assert_eq!(case(&pair).phase, CasePhase::Closed);
}

#[test]
fn a_requester_who_goes_silent_is_ruled_against() {
    let mut pair = delivered(held());
    let t = table(&pair);
    to(&mut pair, t.verdict() - 1);
    assert_eq!(pair.phase(Worker), Phase::Delivered);
    // Nobody asks: the worker's program calls the judge by itself.
    to(&mut pair, t.verdict());
    assert_eq!(phases(&pair), (Phase::Disputed, Phase::Disputed));
    assert!(matches!(case(&pair).finding, Some(Finding::Opened { .. })), "it looked for itself");
    assert_eq!(case(&pair).ruling, None, "the other side is heard first");
    to(&mut pair, t.objection());
    assert_paid(&pair);
    assert_judge_has_nothing(&pair);
    assert_eq!(case(&pair).phase, CasePhase::Ruled);
}

#[test]
fn a_requester_who_is_gone_for_good_does_not_keep_the_worker_from_its_money() {
    let mut pair = delivered(held());
    let t = table(&pair);
    pair.side_mut(Requester).away = true;
    for height in [t.verdict(), t.objection()] {
        pair.blocks(height, &[Worker, Judge]);
        pair.quiet();
    }
    assert_eq!(pair.phase(Worker), Phase::Settled, "{:?}", case(&pair));
    // It comes back, and its own node has told it that the money is gone.
    pair.side_mut(Requester).away = false;
    to(&mut pair, t.objection() + 1);
    assert_eq!(pair.phase(Requester), Phase::Settled);
    assert_judge_has_nothing(&pair);
}

#[test]
fn a_check_of_the_terms_decides_against_a_rejection() {
    let mut pair = delivered(held_with(true, with_check));
    pair.reject().unwrap();
    pair.quiet();
    assert_eq!(phases(&pair), (Phase::Working, Phase::Working));
    dispute(&mut pair, Worker).unwrap();
    pair.quiet();
    assert_eq!(phases(&pair), (Phase::Disputed, Phase::Disputed));
    assert_eq!(refused(dispute(&mut pair, Worker)), "disputed");
    assert_eq!(refused(object(&mut pair, Worker)), "own-dispute");
    object(&mut pair, Requester).unwrap();
    pair.quiet();
    // Answered, it is ruled at once.
    assert_paid(&pair);
    let (whose, why) = case(&pair).ruling.unwrap();
    assert_eq!(whose, Role::Worker);
    assert!(why.contains("passes every check"), "{why}");
}

#[test]
fn without_a_check_a_rejection_in_time_stands() {
    let mut pair = delivered(held());
    pair.reject().unwrap();
    pair.quiet();
    dispute(&mut pair, Worker).unwrap();
    pair.quiet();
    assert_refunded(&pair);
    assert!(case(&pair).ruling.unwrap().1.contains("no check that says otherwise"));
}

#[test]
fn work_that_fails_a_check_is_not_paid_whoever_is_silent() {
    let mut pair = held_with(true, with_check);
    pair.side_mut(Worker).careless = true;
    pair.deliver_text("work.txt", b"1\n");
    let t = table(&pair);
    to(&mut pair, t.verdict());
    assert_refunded(&pair);
    assert!(case(&pair).ruling.unwrap().1.contains("does not pass a check"));
    assert_judge_has_nothing(&pair);
}

#[test]
fn a_key_that_does_not_open_what_was_signed_wins_nothing() {
    let mut pair = held();
    pair.side_mut(Worker).cheats = Some(0);
    pair.deliver("work.bin", 50_000).unwrap();
    pair.quiet();
    // The requester's program has rejected it, with a proof.
    assert!(escrow(&pair, Worker).hearing.rejection.is_some());
    dispute(&mut pair, Worker).unwrap();
    pair.quiet();
    assert!(matches!(case(&pair).finding, Some(Finding::Mismatch { .. })));
    assert_refunded(&pair);
    assert_judge_has_nothing(&pair);
}

#[test]
fn a_judge_who_does_not_say_in_time_that_it_holds_costs_nobody_anything() {
    let mut pair = awarded_with(true, |_| {});
    pair.side_mut(Judge).away = true;
    fund(&mut pair).unwrap();
    pair.quiet();
    let t = table(&pair);
    pair.blocks(t.holding(), &[Requester, Worker]);
    pair.quiet();
    assert_eq!(phases(&pair), (Phase::Awarded, Phase::Awarded), "it can be locked once more");
    assert_eq!(pair.nodes.earned, [0, 0]);
    let old = escrow(&pair, Worker).lock;
    // The judge is back, and holds the next one: another case.
    pair.side_mut(Judge).away = false;
    pair.blocks(t.holding() + 1, &ALL);
    fund(&mut pair).unwrap();
    pair.quiet();
    assert_eq!(phases(&pair), (Phase::Working, Phase::Working));
    let lock = escrow(&pair, Worker).lock;
    assert_ne!(lock.hash, old.hash);
    let cases: Vec<Lock> = pair.core(Judge).cases().values().map(|case| case.lock).collect();
    assert!(cases.contains(&lock) && !cases.contains(&old), "what came too late is not taken");
}

#[test]
fn a_silent_judge_costs_the_worker_its_work_and_no_more() {
    let mut pair = delivered(held());
    pair.side_mut(Judge).away = true;
    let t = table(&pair);
    for height in [t.verdict(), t.ruling(), t.claim()] {
        pair.blocks(height, &[Requester, Worker]);
        pair.quiet();
    }
    assert_refunded(&pair);
    assert!(judged_risk(Role::Worker).contains("costs you the work"));
}

#[test]
fn a_rejection_that_nobody_takes_to_the_judge_gives_the_money_back() {
    let mut pair = delivered(held());
    pair.reject().unwrap();
    pair.quiet();
    let t = table(&pair);
    to(&mut pair, t.escalate() - 1);
    assert_eq!(pair.phase(Worker), Phase::Working);
    to(&mut pair, t.escalate());
    assert_refunded(&pair);
    assert_eq!(refused(dispute(&mut pair, Worker)), "wrong-phase");
}

#[test]
fn a_rejection_is_mended_while_there_is_time() {
    let mut pair = delivered(held());
    pair.reject().unwrap();
    pair.quiet();
    pair.deliver_text("better.txt", b"1\n2\n3\n4\n");
    pair.accept().unwrap();
    pair.quiet();
    assert_paid(&pair);
}

#[test]
fn what_is_late_is_late() {
    // A rejection after its height is refused here; silence is what the judge sees.
    let mut pair = delivered(held());
    let t = table(&pair);
    pair.side_mut(Worker).deaf = true;
    pair.blocks(t.verdict(), &[Requester, Judge]);
    assert_eq!(refused(pair.reject()), "too-late");
    // A dispute after its height as well.
    let mut pair = delivered(held());
    pair.reject().unwrap();
    pair.quiet();
    pair.side_mut(Worker).lazy = vec!["fail"];
    to(&mut pair, t.escalate());
    assert_eq!(refused(dispute(&mut pair, Worker)), "wrong-phase");
    // An answer after its height.
    let mut pair = delivered(held_with(false, |_| {}));
    to(&mut pair, t.verdict());
    to(&mut pair, t.objection());
    assert_eq!(refused(object(&mut pair, Requester)), "too-late");
    // A ruling after its height.
    let id = case(&pair).id;
    to(&mut pair, t.ruling());
    let ruled = pair.core_mut(Judge).rule(&id, Role::Worker, "Late.".into());
    assert_eq!(refused(ruled), "too-late");
    to(&mut pair, t.claim());
    assert_refunded(&pair);
}

#[test]
fn a_person_judges_by_what_it_sees() {
    for whose in [Role::Worker, Role::Requester] {
        let mut pair = delivered(held_with(false, |_| {}));
        let id = case(&pair).id;
        let early = pair.core_mut(Judge).rule(&id, whose, "Now.".into());
        assert_eq!(refused(early), "nobody-called");
        pair.reject().unwrap();
        pair.quiet();
        dispute(&mut pair, Worker).unwrap();
        pair.quiet();
        object(&mut pair, Requester).unwrap();
        pair.quiet();
        let view = earnest::engine::CaseView::of(&case(&pair), 1000);
        assert_eq!(view.phase, CasePhase::Disputed);
        assert!(view.output.is_some() && view.finding.is_some());
        assert_eq!(view.dispute.as_ref().unwrap().0, Role::Worker);
        assert_eq!(view.objection.as_ref().unwrap().2.as_str(), "It is not.");
        let kinds: Vec<&str> = view.exhibits.iter().map(|e| e.kind.as_str()).collect();
        for kind in ["bid", "award", "fund", "funded", "deliver", "reject"] {
            assert!(kinds.contains(&kind), "{kinds:?}");
        }
        pair.core_mut(Judge).rule(&id, whose, "I have read it.".into()).unwrap();
        let twice = pair.core_mut(Judge).rule(&id, whose, "Again.".into());
        assert_eq!(refused(twice), "case-over");
        pair.quiet();
        match whose {
            Role::Worker => assert_paid(&pair),
            Role::Requester => assert_refunded(&pair),
        }
        assert_judge_has_nothing(&pair);
    }
}

#[test]
fn a_judge_who_promised_to_compute_cannot_rule_otherwise() {
    let mut pair = delivered(held_with(true, with_check));
    pair.reject().unwrap();
    pair.quiet();
    pair.side_mut(Judge).lazy = vec!["examine"];
    dispute(&mut pair, Worker).unwrap();
    pair.quiet();
    let id = case(&pair).id;
    object(&mut pair, Requester).unwrap();
    pair.quiet();
    assert_eq!(case(&pair).ruling, None, "it has not looked yet");
    pair.wake(Judge);
    pair.quiet();
    assert_paid(&pair);
    let after = pair.core_mut(Judge).rule(&id, Role::Requester, "No.".into());
    assert_eq!(refused(after), "case-over");
}

#[test]
fn the_judge_hands_on_what_the_worker_serves_no_more() {
    let mut pair = held_with(false, |_| {});
    // The requester never gets the files, and never says anything.
    pair.side_mut(Requester).lazy = vec!["fetch"];
    pair.deliver_text("work.txt", b"1\n2\n3\n");
    let t = table(&pair);
    to(&mut pair, t.verdict());
    assert!(case(&pair).blob.is_some());
    assert!(pair.job(Requester).attempt.unwrap().blob.is_none());
    // Now the worker is gone; what it delivered is with the judge.
    pair.side_mut(Worker).away = true;
    pair.wake(Requester);
    pair.quiet();
    let work = pair.job(Requester).attempt.unwrap();
    assert_eq!(std::fs::read(work.output.unwrap()).unwrap(), b"1\n2\n3\n");
    // And can be released for, still.
    pair.accept().unwrap();
    pair.side_mut(Worker).away = false;
    pair.quiet();
    // What was asked of the worker is asked no more.
    pair.pass(Span::HOUR);
    pair.quiet();
    assert_paid(&pair);
}

#[test]
fn everything_told_twice_is_done_once() {
    let mut pair = awarded_with(true, with_check);
    pair.twice = true;
    fund(&mut pair).unwrap();
    pair.quiet();
    pair.deliver_text("work.txt", b"1\n2\n3\n");
    pair.reject().unwrap();
    pair.quiet();
    dispute(&mut pair, Worker).unwrap();
    pair.quiet();
    object(&mut pair, Requester).unwrap();
    pair.quiet();
    assert_paid(&pair);
    assert_eq!(pair.core(Judge).cases().len(), 1);
}

#[test]
fn what_the_judge_does_not_answer_is_said_to_it_again() {
    let mut pair = delivered(held());
    let t = table(&pair);
    let (lost_from, judge) = (pair.events.len(), Judge);
    pair.side_mut(judge).deaf = true;
    to(&mut pair, t.verdict());
    // Everything that was said to it is lost.
    pair.events.truncate(lost_from);
    for who in ALL {
        pair.side_mut(who).hears_from(lost_from);
    }
    pair.side_mut(judge).deaf = false;
    pair.quiet();
    assert_eq!(case(&pair).dispute, None);
    pair.pass(Span(21));
    pair.quiet();
    assert!(case(&pair).dispute.is_some());
    to(&mut pair, t.objection());
    assert_paid(&pair);
}

#[test]
fn a_judge_is_told_which_records_it_was_not_shown() {
    let missing = |note: bool| {
        let mut pair = held();
        if note {
            pair.ask(Worker, Ask::Note { text: "I begin.".into() }).unwrap();
            pair.quiet();
        }
        pair.deliver("work.bin", 50_000).unwrap();
        pair.quiet();
        dispute(&mut pair, Worker).unwrap();
        pair.quiet();
        let view = earnest::engine::CaseView::of(&case(&pair), 0);
        view.missing.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(missing(false), [""; 0]);
    let told = missing(true);
    // The worker's bid, `fund`, `funded` and delivery are there; what it said in between is not.
    assert!(
        told.len() == 1 && told[0].starts_with("The worker's records number 3 were"),
        "{told:?}"
    );
}

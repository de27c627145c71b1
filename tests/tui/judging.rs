//! What a judge sees and does: a case on one page, and a ruling by keys.

use earnest::engine::{CaseView, Command, ExhibitView};
use earnest::market::{CasePhase, EventId, JobId, Pubkey, Refusal, Role};

use crate::screens::kept;
use crate::stage::{NOW, Stage, clean, full, sats};

fn case(n: u8, phase: CasePhase) -> CaseView {
    let disputed = phase == CasePhase::Disputed;
    let exhibit = |n: u8, kind: &str, by, height, text: &str| ExhibitView {
        id: EventId([n; 32]),
        kind: kind.into(),
        by,
        dated: NOW,
        height,
        text: clean(text),
    };
    CaseView {
        id: EventId([n; 32]),
        job: JobId([n + 1; 32]),
        phase,
        since: NOW,
        title: clean("Translate a manual"),
        content: clean("Twelve pages, from German.\nKeep the numbering."),
        requester: Pubkey([7; 32]),
        worker: Pubkey([8; 32]),
        price: sats(40_000),
        fee: sats(100),
        deterministic: false,
        height: 1_100,
        deliver_by: 1_060,
        verdict_by: 1_080,
        escalate_by: 1_090,
        object_by: 1_110,
        rule_by: 1_120,
        end: 1_144,
        dispute: disputed
            .then(|| (Role::Worker, 1_085, clean("It was handed over; nobody answers."))),
        objection: None,
        exhibits: vec![
            exhibit(1, "terms", Role::Requester, None, ""),
            exhibit(2, "deliver", Role::Worker, None, "manual.pdf, 48 KiB"),
        ],
        missing: Vec::new(),
        notes: vec![(Role::Worker, clean("Page three is a drawing."))],
        finding: disputed.then(|| clean("It opens, and is what the worker signed.")),
        checks: vec![clean("pages: passed")],
        output: disputed.then(|| "/home/ada/cases/manual.pdf".into()),
        ruling: None,
        for_worker: (!disputed).then(|| Refusal::new("not-called", "Nobody has called you.")),
        for_requester: Some(Refusal::new(
            "too-early",
            "The other side may answer until block 1110.",
        )),
        otherwise: "the money goes back by itself".into(),
        stuck: Vec::new(),
        facts: 9,
    }
}

fn judging(size: (u16, u16)) -> Stage {
    let mut stage = full(size);
    for case in [case(40, CasePhase::Holding), case(50, CasePhase::Disputed)] {
        stage.snapshot.cases.insert(case.id, case.into());
    }
    stage
}

#[test]
fn a_case_is_on_one_page() {
    let _bound = kept().bind_to_scope();
    for size in [(200, 60), (80, 24), (40, 12)] {
        let (width, height) = size;
        let mut stage = judging(size);
        stage.keys("9 enter");
        insta::assert_snapshot!(format!("case_{width}x{height}"), stage.text());
    }
}

#[test]
fn a_judge_rules_by_keys_and_says_why() {
    let mut stage = judging((120, 60));
    // What is called for stands first.
    stage.keys("9 enter").says("nobody answers").says("It opens").says("in 20 blocks");
    // What cannot be ruled says why.
    stage.keys("r").says("The other side may answer until block 1110.");
    assert!(stage.commands().is_empty());
    stage.keys("w").says("Rule for the worker").says("cannot be taken back");
    stage.keys("tab enter").says("Say why");
    assert!(stage.commands().is_empty());
    stage.keys("shift-tab").typed("It is good.").keys("tab enter");
    match stage.commands().as_slice() {
        [Command::Rule { case, whose: Role::Worker, reason }] => {
            assert_eq!((*case, reason.as_str()), (EventId([50; 32]), "It is good."));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_judge_writes_to_both_sides() {
    let mut stage = judging((120, 40));
    stage.keys("9 n").typed("Which page?").keys("tab enter");
    match stage.commands().as_slice() {
        [Command::CaseNote { text, .. }] => assert_eq!(text, "Which page?"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn who_judges_nothing_reads_how_to_begin() {
    let mut stage = full((80, 24));
    stage.silent("9 Cases").keys("9").says("You judge nothing").says("--by-hand");
}

//! The question before money moves, by keys.

use earnest::engine::Command;
use earnest::market::{EventId, Phase, Role};
use earnest::tui::Msg;

use crate::stage::{Stage, full, job, market, sats};

/// A delivery that waits for its payment, of a price that is confirmed with one key.
fn small() -> Stage {
    let mut stage = full((80, 24));
    stage.keys("3");
    stage
}

/// One above the person's own limit.
fn large() -> Stage {
    let mut snapshot = market();
    snapshot.jobs.clear();
    let dear = job(11, Role::Requester, Phase::Delivered, "Label", 250_000);
    snapshot.jobs.insert(dear.id, dear.into());
    let mut stage = Stage::up((80, 24), snapshot, Vec::new());
    stage.keys("3");
    stage
}

fn paid(stage: &mut Stage) -> bool {
    match stage.commands().as_slice() {
        [] => false,
        [Command::Accept { job, max_fee }] => {
            assert_eq!(*job, EventId([11; 32]));
            assert!(*max_fee >= sats(10));
            true
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn it_says_who_what_how_much_and_what_can_go_wrong() {
    small()
        .keys("a")
        .says("you pay 21,000 sat")
        .says("with npub1")
        .says("no job settled with you yet")
        .says("for Label 4,000 street photographs")
        .says("routing fee at most 210 sat")
        .says("all in all at most 21,210 sat")
        .says("you get a proof of fraud, not the money")
        .says("cannot be undone")
        .says("▸[ No ]");
}

#[test]
fn the_answer_is_no_until_somebody_says_otherwise() {
    let mut stage = small();
    stage.keys("a enter");
    assert!(!paid(&mut stage));
    stage.says("Nothing was sent");
    assert!(stage.model.layers.is_empty());
    for no in ["esc", "n", "tab tab enter"] {
        let mut stage = small();
        stage.keys("a").keys(no);
        assert!(!paid(&mut stage), "{no}");
        assert!(stage.model.layers.is_empty(), "{no}");
    }
}

#[test]
fn yes_is_marked_or_pressed() {
    for yes in ["tab enter", "right enter", "y"] {
        let mut stage = small();
        stage.keys("a").keys(yes);
        assert!(paid(&mut stage), "{yes}");
    }
}

#[test]
fn a_key_that_was_on_its_way_answers_nothing() {
    for early in ["enter", "y"] {
        let mut stage = small();
        stage.keys("a");
        stage.at.ms += 399;
        stage.press("tab");
        stage.press(early);
        assert!(!paid(&mut stage), "{early}");
        assert!(!stage.model.layers.is_empty(), "the question still stands");
        stage.at.ms += 1;
        stage.press(early);
        assert!(paid(&mut stage), "{early}");
    }
}

#[test]
fn a_paste_answers_nothing_and_neither_does_an_enter_behind_it() {
    let mut stage = small();
    stage.keys("a tab");
    stage.send(Msg::Paste("y\n21000\n".into()));
    stage.press("enter");
    assert!(!paid(&mut stage));
    assert!(!stage.model.layers.is_empty());
    // On the screen itself a paste presses no key either.
    let mut stage = small();
    stage.send(Msg::Paste("a".into()));
    assert!(stage.model.layers.is_empty());
}

#[test]
fn above_the_limit_the_amount_is_typed() {
    let mut stage = large();
    stage.keys("a").says("Type 250000 and Enter to pay");
    stage.keys("y tab enter");
    assert!(!paid(&mut stage), "no single key pays it");
    stage.says("That is not the amount");
    stage.typed("25000").keys("enter").says("That is not the amount. Nothing was sent.");
    assert!(!paid(&mut stage));
    stage.typed("0").keys("enter");
    assert!(paid(&mut stage));
}

#[test]
fn above_the_limit_an_enter_on_nothing_is_no() {
    let mut stage = large();
    stage.keys("a enter");
    assert!(!paid(&mut stage));
    assert!(stage.model.layers.is_empty());
}

#[test]
fn the_limit_is_the_persons_own() {
    let mut stage = large();
    stage.model.settings.type_above = sats(250_000);
    stage.keys("a y");
    assert!(paid(&mut stage));
    let mut stage = small();
    stage.model.settings.type_above = sats(0);
    stage.keys("a y");
    assert!(!paid(&mut stage));
}

#[test]
fn an_award_promises_and_moves_nothing() {
    let mut stage = full((120, 40));
    stage.keys("3 / F i n d enter w").says("you promise 150,000 sat").says("No money moves now");
    stage.keys("y");
    assert!(matches!(stage.commands().as_slice(), [Command::Award { .. }]));
}

#[test]
fn leaving_while_something_is_on_its_way_is_asked_about_once() {
    use earnest::tui::Do;
    let mut stage = small();
    stage.snapshot.waiting = 2;
    stage.keys("q").says("Leave now?").says("2 waiting to go out");
    assert!(!stage.todo.iter().any(|one| matches!(one, Do::Quit)));
    stage.keys("ctrl-c");
    assert!(stage.todo.iter().any(|one| matches!(one, Do::Quit)));
    let mut calm = small();
    calm.keys("q");
    assert!(calm.todo.iter().any(|one| matches!(one, Do::Quit)));
}

//! Every screen at five sizes, as text and styles.

use earnest::tui::Msg;

use crate::stage::{SIZES, Stage, fed, full};

/// Every width of [`SIZES`].
const ALL: &[u16] = &[200, 120, 80, 40, 20];

/// Name, the keys that lead there, and the widths at which it is kept. All are kept at 80x24.
const SCREENS: [(&str, &str, &[u16]); 19] = [
    ("gigs", "1", &[200, 120, 80, 40]),
    ("gig_open", "1 enter", &[80, 40]),
    ("bid", "1 b", &[80, 40]),
    ("post", "2", ALL),
    ("post_form", "2 n", &[80, 40]),
    ("jobs", "3", &[200, 120, 80, 40, 20]),
    ("job_working", "3 down enter", &[80]),
    ("job_open", "3 enter", &[80, 40]),
    ("accept", "3 a", &[120, 80, 40]),
    ("wallet", "4", &[120, 80, 40]),
    ("payment", "4 | down down enter", &[120, 80]),
    ("channels", "4 v | enter", &[80]),
    ("receive_form", "4 r", &[80]),
    ("people", "5 enter", ALL),
    ("relays", "6 enter", ALL),
    ("inbox", "7", &[120, 80]),
    ("settings", "8", ALL),
    ("help", "?", ALL),
    ("palette", ":", ALL),
];

/// Presses keys; at each `|` what was asked for until then is answered.
fn press(stage: &mut Stage, keys: &str) {
    for part in keys.split('|') {
        stage.keys(part);
        fed(stage);
    }
}

pub(crate) fn kept() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings
}

#[test]
fn every_screen_at_every_size() {
    let _bound = kept().bind_to_scope();
    for size in SIZES {
        let (width, height) = size;
        for (name, keys, _) in SCREENS.iter().filter(|(.., widths)| widths.contains(&width)) {
            let mut stage = full(size);
            press(&mut stage, keys);
            insta::assert_snapshot!(format!("{name}_{width}x{height}"), stage.text());
        }
    }
    for size in [(80, 24), (20, 6)] {
        let (width, height) = size;
        let mut starting = Stage::starting(size);
        insta::assert_snapshot!(format!("starting_{width}x{height}"), starting.text());
    }
    let mut empty = Stage::up((80, 24), crate::stage::nothing(), Vec::new());
    insta::assert_snapshot!("nothing_yet_80x24", empty.text());
}

#[test]
fn what_is_to_be_paid_can_be_scanned_or_copied() {
    let _bound = kept().bind_to_scope();
    let address = earnest::engine::WalletAnswer::Address(
        "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080".into(),
    );
    for (size, name) in [((80, 24), "address_80x24"), ((40, 12), "address_40x12")] {
        let mut stage = full(size);
        stage.keys("4 a");
        stage.answer_wallet(Ok(address.clone()));
        insta::assert_snapshot!(name, stage.text());
    }
}

#[test]
fn looks_follow_meanings() {
    let _bound = kept().bind_to_scope();
    for (theme, keys) in [("terminal", "3"), ("ember", "3 a"), ("contrast", "4"), ("paper", "1")] {
        let mut stage = full((80, 24));
        stage.model.theme = earnest::tui::Theme::named(theme).unwrap();
        stage.keys(keys);
        fed(&mut stage);
        insta::assert_snapshot!(format!("styles_{theme}"), stage.styles());
    }
}

#[test]
fn no_size_breaks_a_screen() {
    for (_, keys, _) in SCREENS {
        let mut stage = full((120, 40));
        press(&mut stage, keys);
        for width in [0, 1, 3, 19, 39, 40, 41, 60, 79, 80, 119, 120, 300] {
            for height in [0, 1, 2, 5, 9, 10, 11, 24, 100] {
                stage.send(Msg::Resize(width, height));
                stage.draw();
            }
        }
    }
}

#[test]
fn the_first_frame_needs_no_engine() {
    let mut stage = Stage::starting((80, 24));
    stage.says("starting: book, node, relays").says("help").says("quit");
    for screen in 1..=8 {
        stage.keys(&screen.to_string());
        stage.draw();
    }
    // Nothing is asked of an engine that is not there.
    assert!(stage.todo.is_empty(), "{:?}", stage.todo);
}

#[test]
fn an_engine_that_cannot_start_says_why() {
    let mut stage = Stage::starting((80, 24));
    stage.send(Msg::Down("earnest could not start: the directory is taken by process 7".into()));
    stage.says("the directory is taken by process 7").says("not running");
    stage.keys("3").says("the directory is taken by process 7").says("earnest doctor");
    stage.keys("4").says("the directory is taken");
}

#[test]
fn too_small_says_what_is_needed_and_what_is_urgent() {
    full((20, 6)).says("need 40x10, have 20x6").says("job 0b0b0b0b is").says("q quits");
}

#[test]
fn without_colour_everything_is_still_told_apart() {
    let mut stage = full((120, 40));
    stage.model.depth = earnest::tui::Depth::None;
    stage.keys("3").draw();
    let plain = ratatui::style::Color::Reset;
    assert!(stage.buffer.content.iter().all(|cell| cell.fg == plain && cell.bg == plain));
    // The selected row by reverse and a marker, what cannot be done in brackets, states in words.
    let reversed =
        |cell: &ratatui::buffer::Cell| cell.modifier.contains(ratatui::style::Modifier::REVERSED);
    assert!(stage.buffer.content.iter().any(reversed));
    stage.says("(w award) Cannot award now").says("delivered").says("▸");
}

#[test]
fn ascii_means_ascii() {
    for (_, keys, _) in SCREENS {
        let mut stage = full((120, 40));
        stage.model.settings.ascii = true;
        // The one title that is not ASCII is a stranger's; it is not ours to spell.
        stage.model.book.gigs.truncate(2);
        press(&mut stage, keys);
        stage.model.book.gigs.truncate(2);
        let text = stage.text();
        let odd: String = text.chars().filter(|c| !c.is_ascii()).collect();
        assert!(odd.is_empty(), "{keys}: {odd:?}\n{text}");
    }
}

#[test]
fn nothing_changes_by_itself_while_nothing_happens() {
    let mut stage = full((80, 24));
    for screen in ["1", "2", "4", "5", "6", "7", "8"] {
        stage.keys(screen);
        assert_eq!(stage.model.wake(&stage.snapshot), None, "screen {screen}");
    }
    // A deadline is words: it changes when its words do.
    stage.keys("3");
    let wake = stage.model.wake(&stage.snapshot).unwrap();
    assert!(wake > stage.at.ms && wake <= stage.at.ms + 61_000);
    // A toast goes away.
    stage.keys("1").press("y");
    assert_eq!(stage.model.wake(&stage.snapshot), Some(stage.at.ms + earnest::tui::TOAST_MS));
}

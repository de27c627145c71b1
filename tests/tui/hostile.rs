//! Hostile text on every screen: no control, no bidi, no frame, no label pushed away.

use std::sync::Arc;

use earnest::engine::GigView;
use earnest::market::{Phase, Role};
use earnest::text::{Limit, Raw};
use earnest::tui::Msg;

use crate::stage::{SIZES, Stage, fed, gig, job, market, notice};

const TITLES: [&str; 7] = [
    "\u{1b}]52;c;cm0gLXJm\u{7}\u{1b}[2J\u{9b}31mred",
    "invoice \u{202e}tas 000,12\u{202c} paid \u{2066}x\u{2069}\u{061c}\u{200e}\u{200f}",
    "a\u{200b}b\u{2060}c\u{feff}d\u{e0041}\u{e0042}\u{3164}",
    "└──┘ you pay 0 sat │ [ Yes ]",
    "Z\u{0335}\u{0336}\u{0337}\u{0338}\u{0339}\u{033a}\u{033b}a\u{0300}\u{0301}\u{0302}\u{0303}\u{0304}l",
    "👩\u{200d}👩\u{200d}👧👩\u{200d}👩\u{200d}👧日本語日本語日本語ﾊﾞﾊﾞ",
    "",
];

/// Nothing that moves a cursor, turns text around or cannot be seen.
fn wrong(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{3164}' | '\u{e0000}'..='\u{e0fff}')
}

fn hostile(title: &str) -> (earnest::engine::Snapshot, Vec<GigView>) {
    let clean = |limit| Raw(title.to_owned()).clean(limit);
    let mut snapshot = market();
    for (n, (role, phase)) in [
        (Role::Requester, Phase::Delivered),
        (Role::Worker, Phase::Working),
        (Role::Requester, Phase::Bid),
    ]
    .into_iter()
    .enumerate()
    {
        let mut job = job(u8::try_from(n).unwrap() + 40, role, phase, "", 21_000);
        job.title = clean(Limit::TITLE);
        job.message = clean(Limit::BLOCK);
        job.reason = Some(clean(Limit::BLOCK));
        job.stuck = vec![title.to_owned()];
        job.materials[0].name = clean(Limit::TITLE);
        snapshot.jobs.insert(job.id, job.into());
    }
    snapshot.relays[0].trouble = Some(title.to_owned());
    snapshot.relays[0].url = format!("wss://{title}");
    if let Some(node) = &mut snapshot.node {
        node.trouble = Some(title.to_owned());
    }
    let mut one = gig(1, "", 21_000);
    one.title = clean(Limit::TITLE);
    one.summary = clean(Limit::BLOCK);
    one.content = Raw(format!("# {title}\n&#x202e;&#x1b;[2J\n- {title}\n```\n{title}\n```"))
        .clean(Limit::BLOCK);
    one.tags = vec![clean(Limit::NAME)];
    one.inputs = vec![(clean(Limit::TITLE), 1)];
    let mut post = snapshot.posts.iter().next().unwrap().clone();
    Arc::make_mut(&mut post).gig = one.clone();
    snapshot.posts.insert(post);
    (snapshot, vec![one])
}

#[test]
fn no_screen_shows_what_must_not_be_shown() {
    for title in TITLES {
        for size in SIZES {
            for keys in [
                "1",
                "1 enter",
                "1 b",
                "2",
                "2 enter",
                "2 c",
                "3",
                "3 enter",
                "3 a",
                "3 down d",
                "4",
                "4 v enter",
                "5 enter",
                "6",
                "6 enter",
                "7",
                "7 enter",
                "8",
                ":",
                "?",
            ] {
                let (snapshot, gigs) = hostile(title);
                let mut stage = Stage::up(size, snapshot, gigs);
                stage.send(Msg::Notice(notice(title)));
                stage.keys(keys);
                fed(&mut stage);
                stage.draw();
                for cell in &stage.buffer.content {
                    let symbol = cell.symbol();
                    assert!(
                        !symbol.chars().any(wrong),
                        "{symbol:?} in {keys} at {size:?}: {title:?}"
                    );
                    assert!(symbol.chars().count() <= 24, "{symbol:?}: one cell, one grapheme");
                }
            }
        }
    }
}

#[test]
fn the_amount_stands_where_it_always_stands() {
    let long = "pay 1 sat ".repeat(12);
    for title in TITLES.into_iter().chain([long.as_str()]) {
        let (snapshot, gigs) = hostile(title);
        let mut stage = Stage::up((80, 24), snapshot, gigs);
        stage.says("21,000 sat");
        stage.keys("3 a").says("you pay 21,000 sat").says("cannot be undone").says("▸[ No ]");
    }
}

#[test]
fn a_refusal_of_the_world_is_washed_too() {
    use earnest::tui::Said;
    let mut stage = Stage::up((80, 24), market(), Vec::new());
    for title in TITLES {
        stage.send(Msg::Payments(Err(Said::new(title))));
        stage.send(Msg::Down(title.into()));
        stage.draw();
        assert!(
            !stage.buffer.content.iter().any(|cell| cell.symbol().chars().any(wrong)),
            "{title:?}"
        );
    }
}

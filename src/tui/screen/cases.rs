//! Cases: what a judge is called to. Everything that both signed on one page, and the two ways to rule.

use std::path::PathBuf;

use crate::engine::{CaseView, Command, Snapshot};
use crate::market::{CasePhase, Role as Side};
use crate::tui::palette::matching;
use crate::tui::part::form::{Form, Purpose};
use crate::tui::part::list::Row;
use crate::tui::part::pane::{Line, Sheet};
use crate::tui::screen::people;
use crate::tui::theme::Role;
use crate::tui::{Key, Model, Screen};

/// What waits for a ruling stands first, the next due before the others; what is over stands last.
fn sorted(snapshot: &Snapshot) -> Vec<&CaseView> {
    let mut cases: Vec<&CaseView> = snapshot.cases.values().map(AsRef::as_ref).collect();
    cases.sort_by_key(|case| {
        (case.phase.is_over(), case.phase != CasePhase::Disputed, case.rule_by, case.id)
    });
    cases
}

/// The case that is selected.
pub(in crate::tui) fn chosen<'a>(model: &Model, snapshot: &'a Snapshot) -> Option<&'a CaseView> {
    match super::selected(model, snapshot) {
        Some(Key::Event(id)) if model.screen == Screen::Cases => {
            snapshot.cases.get(&id).map(AsRef::as_ref)
        }
        _ => None,
    }
}

/// Where the opened work lies.
pub(in crate::tui) fn path(case: &CaseView) -> Option<PathBuf> {
    case.output.clone()
}

pub(super) fn rows(model: &Model, snapshot: &Snapshot) -> Vec<Row> {
    let rows: Vec<Row> = sorted(snapshot)
        .into_iter()
        .map(|case| {
            let mark = match case.phase {
                CasePhase::Disputed => ("!", Role::Warn),
                CasePhase::Holding => ("○", Role::Accent),
                CasePhase::Ruled | CasePhase::Closed => ("✓", Role::Muted),
            };
            let right = match case.phase {
                CasePhase::Disputed => left(case, case.rule_by),
                phase => phase.word().to_owned(),
            };
            let role = if case.phase.is_over() { Role::Muted } else { Role::Text };
            let text = case.title.or("(not in the book)").to_owned();
            Row { key: Key::Event(case.id), mark, text, role, right: Line::of(right, Role::Muted) }
        })
        .collect();
    matching(model.line(Screen::Cases), rows, |row| &row.text)
}

/// How far a height is from here.
fn left(case: &CaseView, at: u32) -> String {
    match at.checked_sub(case.height) {
        Some(0) => "now".to_owned(),
        Some(1) => "in 1 block".to_owned(),
        Some(blocks) => format!("in {blocks} blocks"),
        None => format!("{} blocks ago", case.height - at),
    }
}

fn side(side: Side) -> &'static str {
    match side {
        Side::Requester => "the requester",
        Side::Worker => "the worker",
    }
}

/// A case on one page.
pub(super) fn facts(snapshot: &Snapshot, case: &CaseView, width: u16) -> Sheet {
    let mut sheet = Sheet::new(width);
    sheet.words(case.title.or("(not in the book)"), Role::Title);
    sheet.gap();
    sheet.pair("stands", case.phase.word(), Role::Text);
    sheet.pair("locked", &format!("{}; you never have it", case.price), Role::Money);
    let how = if case.deterministic { "by what can be computed" } else { "by hand" };
    sheet.pair("you rule", how, Role::Text);
    sheet.pair("requester", &people::shown(&case.requester, snapshot), Role::Text);
    sheet.pair("worker", &people::shown(&case.worker, snapshot), Role::Text);
    if let Some((whose, why)) = &case.ruling {
        sheet.pair("ruled", &format!("for {}: {}", side(*whose), why.as_str()), Role::Good);
    } else if !case.phase.is_over() {
        let due = format!("block {}, {}", case.rule_by, left(case, case.rule_by));
        let role = if case.phase == CasePhase::Disputed { Role::Warn } else { Role::Text };
        sheet.pair("rule by", &due, role);
        sheet.pair("else", &case.otherwise, Role::Muted);
    }
    if let Some((by, at, why)) = &case.dispute {
        let said = format!("by {} at block {at}: {}", side(*by), why.as_str());
        sheet.pair("called", &said, Role::Warn);
    }
    match &case.objection {
        Some((by, at, why)) => {
            let said = format!("by {} at block {at}: {}", side(*by), why.as_str());
            sheet.pair("answered", &said, Role::Text);
        }
        None if case.phase == CasePhase::Disputed => {
            let until = format!("not yet; may until block {}", case.object_by);
            sheet.pair("answered", &until, Role::Muted);
        }
        None => {}
    }
    for why in &case.stuck {
        sheet.words(why, Role::Warn);
    }
    if case.finding.is_some() || !case.checks.is_empty() {
        sheet.head("What the files say");
        if let Some(said) = &case.finding {
            sheet.words(said, Role::Text);
        }
        for said in &case.checks {
            sheet.indented("- ", said, Role::Text);
        }
        if let Some(path) = path(case) {
            sheet.pair("opened", &path.display().to_string(), Role::Muted);
        }
    }
    sheet.head("What was due, in blocks");
    for (what, at) in [
        ("delivery", case.deliver_by),
        ("verdict", case.verdict_by),
        ("call", case.escalate_by),
        ("answer", case.object_by),
        ("ruling", case.rule_by),
        ("end", case.end),
    ] {
        sheet.pair(what, &format!("{at}, {}", left(case, at)), Role::Muted);
    }
    sheet.head("Signed by both");
    sheet
        .words("Each by the key that is certified for its side; dates are their own.", Role::Muted);
    for exhibit in &case.exhibits {
        let at = exhibit.height.map_or("at the start".to_owned(), |at| format!("block {at}"));
        let lead = format!("{} ", exhibit.id.short());
        let said = format!("{} of {}, given {at}", exhibit.kind, side(exhibit.by));
        sheet.indented(&lead, &said, Role::Text);
        if !exhibit.text.is_empty() {
            sheet.indented("  | ", &exhibit.text, Role::Muted);
        }
    }
    for gap in &case.missing {
        sheet.words(gap, Role::Warn);
    }
    if !case.notes.is_empty() {
        sheet.head("Notes to you");
        for (by, words) in &case.notes {
            sheet.indented(&format!("{}: ", side(*by)), words, Role::Text);
        }
    }
    if !case.content.is_empty() {
        sheet.head("What was asked for");
        sheet.words(&case.content, Role::Text);
    }
    sheet
}

/// Whether the selected case can be ruled so, and if not, why.
pub(super) fn may_rule(model: &Model, snapshot: &Snapshot, whose: Side) -> Result<(), String> {
    let case = chosen(model, snapshot).ok_or("No case is selected.")?;
    let refusal = match whose {
        Side::Worker => &case.for_worker,
        Side::Requester => &case.for_requester,
    };
    match refusal {
        Some(refusal) => Err(refusal.sentence.to_string()),
        None => Ok(()),
    }
}

/// The form of a ruling.
pub(in crate::tui) fn rule(model: &mut Model, snapshot: &Snapshot, whose: Side) {
    let Some(case) = chosen(model, snapshot) else { return };
    let (title, follows) = match whose {
        Side::Worker => (
            "Rule for the worker",
            format!("Both sides get the secret, and the worker is paid {}.", case.price),
        ),
        Side::Requester => (
            "Rule for the requester",
            format!("The secret stays with you, and {} go back to the requester.", case.price),
        ),
    };
    let form = Form::new(Purpose::Rule(case.id, whose), title, "Rule")
        .intro(follows, Role::Text)
        .intro("It is signed in your name and cannot be taken back.", Role::Warn)
        .text("reason", "for both sides to read; tab leaves it");
    model.layers.push(crate::tui::Layer::Form(Box::new(form)));
}

/// The form of a note to both sides.
pub(in crate::tui) fn note(model: &mut Model, snapshot: &Snapshot) {
    let Some(case) = chosen(model, snapshot) else { return };
    let form = Form::new(Purpose::CaseNote(case.id), "Write to both sides", "Send")
        .text("note", "for both sides to read; tab leaves it");
    model.layers.push(crate::tui::Layer::Form(Box::new(form)));
}

/// What a filled form asks for, and what is said then.
pub(in crate::tui) fn submit(form: &Form) -> Option<Result<(Command, String), String>> {
    let words = form.value(0);
    Some(match form.purpose {
        Purpose::Rule(..) if words.is_empty() => {
            Err("Say why: both sides are to understand it.".into())
        }
        Purpose::Rule(case, whose) => Ok((
            Command::Rule { case, whose, reason: words },
            format!("It is ruled for {}. You moved no money.", side(whose)),
        )),
        Purpose::CaseNote(_) if words.is_empty() => Err("The note is empty.".into()),
        Purpose::CaseNote(case) => {
            Ok((Command::CaseNote { case, text: words }, "The note is on its way to both.".into()))
        }
        _ => return None,
    })
}

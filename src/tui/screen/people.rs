//! People: whom we worked with, by key, and what came of it. Names prove nothing.

use std::collections::BTreeMap;

use crate::engine::{JobView, Snapshot};
use crate::market::{Msat, Phase, Pubkey, Role as Side};
use crate::tui::palette::matching;
use crate::tui::part::list::Row;
use crate::tui::part::pane::{Line, Sheet};
use crate::tui::part::person;
use crate::tui::screen::jobs;
use crate::tui::theme::Role;
use crate::tui::{Key, Model, Screen};

/// What came of working with somebody.
#[derive(Debug, Default, Clone, Copy)]
struct Past {
    open: usize,
    settled: usize,
    ended: usize,
    cheated: usize,
    paid: Msat,
    earned: Msat,
}

fn past<'a>(jobs: impl Iterator<Item = &'a JobView>) -> Past {
    let mut past = Past::default();
    for job in jobs {
        match job.phase {
            Phase::Settled => {
                past.settled += 1;
                let sum = match job.role {
                    Side::Requester => &mut past.paid,
                    Side::Worker => &mut past.earned,
                };
                *sum = [*sum, job.settled_price()].into_iter().sum();
            }
            Phase::Cheated => past.cheated += 1,
            phase if phase.is_over() || phase == Phase::Declined => past.ended += 1,
            _ => past.open += 1,
        }
    }
    past
}

fn with<'a>(who: &Pubkey, snapshot: &'a Snapshot) -> impl Iterator<Item = &'a JobView> {
    let who = *who;
    snapshot.jobs.values().map(AsRef::as_ref).filter(move |job| job.peer == who)
}

/// A key, and what we know of whoever holds it.
pub(super) fn shown(who: &Pubkey, snapshot: &Snapshot) -> String {
    if snapshot.identity == Some(*who) {
        return format!("{} (you)", person::short(who));
    }
    let past = past(with(who, snapshot));
    let known = match (past.settled, past.cheated) {
        (0, 0) => "no job settled with you yet".to_owned(),
        (n, 0) => format!("{n} settled with you"),
        (n, cheated) => format!("{n} settled with you, CHEATED {cheated} times"),
    };
    format!("{} ({known})", person::short(who))
}

fn everybody(snapshot: &Snapshot) -> Vec<(Pubkey, Past)> {
    let mut by: BTreeMap<Pubkey, Vec<&JobView>> = BTreeMap::new();
    for job in snapshot.jobs.values() {
        by.entry(job.peer).or_default().push(job);
    }
    let mut all: Vec<_> = by.into_iter().map(|(who, jobs)| (who, past(jobs.into_iter()))).collect();
    all.sort_by_key(|(who, past)| {
        (std::cmp::Reverse(past.open), std::cmp::Reverse(past.settled), *who)
    });
    all
}

pub(super) fn rows(model: &Model, snapshot: &Snapshot) -> Vec<Row> {
    let rows: Vec<Row> = everybody(snapshot)
        .into_iter()
        .map(|(who, past)| {
            let mark = match past {
                Past { cheated: 1.., .. } => ("!", Role::Bad),
                Past { open: 1.., .. } => ("○", Role::Accent),
                _ => ("✓", Role::Good),
            };
            let right = format!("{} open {} done", past.open, past.settled);
            let right = Line::of(right, Role::Muted);
            Row { key: Key::Person(who), mark, text: person::short(&who), role: Role::Text, right }
        })
        .collect();
    matching(model.line(Screen::People), rows, |row| &row.text)
}

pub(super) fn facts(snapshot: &Snapshot, who: Pubkey, width: u16) -> Sheet {
    let mut sheet = Sheet::new(width);
    let past = past(with(&who, snapshot));
    sheet.words(&person::npub(&who), Role::Title);
    sheet.gap();
    sheet.pair("settled", &past.settled.to_string(), Role::Text);
    sheet.pair("open", &past.open.to_string(), Role::Text);
    sheet.pair("ended else", &past.ended.to_string(), Role::Text);
    let role = if past.cheated > 0 { Role::Bad } else { Role::Text };
    sheet.pair("cheated", &past.cheated.to_string(), role);
    sheet.pair("you paid", &past.paid.to_string(), Role::Money);
    sheet.pair("you earned", &past.earned.to_string(), Role::Money);
    sheet.gap();
    sheet.words("What you saw yourself. Nobody's word about others is counted here.", Role::Muted);
    sheet.head("Jobs");
    for job in jobs::sorted(snapshot, "").into_iter().filter(|job| job.peer == who) {
        let lead = format!("{} {:<10} ", job.id.short(), job.phase.word());
        sheet.indented(&lead, job.title.or("(no title)"), Role::Text);
    }
    sheet
}

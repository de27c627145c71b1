//! People: whom we worked with, by key, and what came of it. Names prove nothing.

use std::collections::BTreeMap;

use crate::engine::{JobView, MuteView, PersonView, Severity, Snapshot};
use crate::market::{Msat, Phase, Pubkey, Role as Side};
use crate::tui::palette::matching;
use crate::tui::part::list::Row;
use crate::tui::part::pane::{Line, Sheet};
use crate::tui::part::person;
use crate::tui::screen::{gigs, jobs, selected};
use crate::tui::theme::Role;
use crate::tui::update::said_to;
use crate::tui::{Do, Key, Model, Said, Screen};

/// After how many milliseconds somebody is read once more: what relays know comes in meanwhile.
const LOOK_MS: u64 = 3_000;

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
        past.cheated += usize::from(job.caught);
        match job.phase {
            Phase::Settled => {
                past.settled += 1;
                let sum = match job.role {
                    Side::Requester => &mut past.paid,
                    Side::Worker => &mut past.earned,
                };
                *sum = [*sum, job.settled_price()].into_iter().sum();
            }
            Phase::Cheated => {}
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

/// What somebody's jobs with us say, in numbers that change when any of it does.
fn facts_with(who: &Pubkey, snapshot: &Snapshot) -> u64 {
    with(who, snapshot).map(|job| job.facts + 1).sum()
}

fn is_muted(model: &Model, who: &Pubkey) -> bool {
    model.circle.muted.as_ref().is_some_and(|muted| muted.contains(who))
}

/// Whose gigs and bids `m` would stop showing.
fn meant(model: &Model, snapshot: &Snapshot) -> Option<Pubkey> {
    match (model.screen, selected(model, snapshot)?) {
        (_, Key::Person(who)) => Some(who),
        (Screen::Gigs, _) => gigs::chosen(model, snapshot).map(|gig| gig.author),
        _ => None,
    }
}

pub(super) fn may_mute(model: &Model, snapshot: &Snapshot) -> Result<(), String> {
    match meant(model, snapshot) {
        None => Err("Nobody is selected. Nothing was changed.".into()),
        Some(who) if snapshot.identity == Some(who) => {
            Err("This key is your own. Nothing was changed.".into())
        }
        Some(_) => Ok(()),
    }
}

pub(in crate::tui) fn mute(model: &Model, snapshot: &Snapshot) -> Vec<Do> {
    let who = meant(model, snapshot);
    who.map(|who| Do::Mute(who, !is_muted(model, &who))).into_iter().collect()
}

/// What the screen shows but was not read yet: who is muted, and the record of whoever is opened.
pub(in crate::tui) fn needs(model: &mut Model, snapshot: &Snapshot) -> Vec<Do> {
    let ms = model.at.ms;
    let due = model.circle.again.take_if(|at| *at <= ms).is_some();
    if model.screen != Screen::People {
        return Vec::new();
    }
    let mut todo = Vec::new();
    if !std::mem::replace(&mut model.circle.asked_muted, true) {
        todo.push(Do::Mutes);
    }
    let Some(Key::Person(who)) = selected(model, snapshot).filter(|_| model.open) else {
        return todo;
    };
    let asked = (who, facts_with(&who, snapshot));
    let before = model.circle.asked.replace(asked);
    if before.is_none_or(|(before, _)| before != who) {
        model.circle.again = Some(ms + LOOK_MS);
    }
    if due || before != Some(asked) {
        todo.push(Do::Person(who));
    }
    todo
}

pub(in crate::tui) fn read(model: &mut Model, answer: Result<Box<PersonView>, Said>) -> Vec<Do> {
    match answer {
        Ok(person) => model.circle.person = Some(person),
        Err(said) => said_to(model, &said),
    }
    Vec::new()
}

pub(in crate::tui) fn muted(
    model: &mut Model,
    said: Option<String>,
    answer: Result<Vec<MuteView>, Said>,
) -> Vec<Do> {
    match answer {
        Ok(all) => model.circle.muted = Some(all.into_iter().map(|mute| mute.key).collect()),
        Err(said) => {
            said_to(model, &said);
            return Vec::new();
        }
    }
    // What the book shows depends on it.
    let Some(said) = said else { return Vec::new() };
    model.say(Severity::Info, said);
    gigs::find(model)
}

pub(super) fn rows(model: &Model, snapshot: &Snapshot) -> Vec<Row> {
    let mut all = everybody(snapshot);
    let strangers = model.circle.muted.iter().flatten();
    let strangers = strangers.filter(|who| with(who, snapshot).next().is_none());
    all.extend(strangers.map(|who| (*who, Past::default())));
    let rows: Vec<Row> = all
        .into_iter()
        .map(|(who, past)| {
            let mark = match past {
                Past { cheated: 1.., .. } => ("!", Role::Bad),
                _ if is_muted(model, &who) => ("-", Role::Muted),
                Past { open: 1.., .. } => ("○", Role::Accent),
                _ => ("✓", Role::Good),
            };
            let muted = if is_muted(model, &who) { "muted " } else { "" };
            let right = format!("{muted}{} open {} done", past.open, past.settled);
            let right = Line::of(right, Role::Muted);
            Row { key: Key::Person(who), mark, text: person::short(&who), role: Role::Text, right }
        })
        .collect();
    matching(model.line(Screen::People), rows, |row| &row.text)
}

pub(super) fn facts(model: &Model, snapshot: &Snapshot, who: Pubkey, width: u16) -> Sheet {
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
    if is_muted(model, &who) {
        sheet.pair("muted", "its gigs and bids are not shown", Role::Warn);
    }
    sheet.gap();
    sheet.words("What you saw yourself. Nobody's word about others is counted here.", Role::Muted);
    worth(&mut sheet, model, who);
    sheet.head("Jobs");
    for job in jobs::sorted(snapshot, "").into_iter().filter(|job| job.peer == who) {
        let lead = format!("{} {:<10} ", job.id.short(), job.phase.word());
        sheet.indented(&lead, job.title.or("(no title)"), Role::Text);
    }
    sheet
}

/// What their record is worth to us, once it was asked for.
fn worth(sheet: &mut Sheet, model: &Model, who: Pubkey) {
    sheet.head("What their record is worth to you");
    let asked = model.circle.asked.is_some_and(|(asked, _)| asked == who);
    let Some(person) = model.circle.person.as_ref().filter(|person| person.key == who) else {
        let words = match asked {
            true => "Reading.",
            false => {
                "Enter reads it, from your jobs and from receipts of people whom you know. Relays are asked for those, and so learn whom you look at."
            }
        };
        return sheet.words(words, Role::Muted);
    };
    if person.equivocations > 0 {
        let times = format!("said two things at once {} times", person.equivocations);
        sheet.pair("warning", &times, Role::Bad);
    }
    if let Some(standing) = &person.standing {
        let role = if standing.convicted { Role::Bad } else { Role::Text };
        sheet.pair("standing", &standing.to_string(), role);
        for reason in &standing.reasons {
            sheet.indented(&format!("{:>14}  ", format!("+{}", reason.points)), &reason.why, role);
        }
    }
    if let Some(limits) = &person.limits {
        sheet.pair("may hold", &limits.to_string(), Role::Text);
    }
}

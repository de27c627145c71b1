//! Jobs, both roles: what happened, what happens next and when, and what happens if nobody does anything.

mod ask;

use std::cmp::Reverse;
use std::path::PathBuf;

use crate::engine::{GigView, JobView, MilestoneStage, Snapshot, milestone_on};
use crate::market::{BidId, Phase, Role as Side, Time, Verb};
use crate::tui::keymap::{Act, Context};
use crate::tui::palette::matching;
use crate::tui::part::list::Row;
use crate::tui::part::pane::{Canvas, Line, Sheet};
use crate::tui::part::{gauge, list};
use crate::tui::screen::{gigs, people};
use crate::tui::theme::Role;
use crate::tui::{Do, Key, Model, Screen};

pub(in crate::tui) use ask::{answered, begin, submit};

/// Whether the next step is ours.
pub(in crate::tui) fn waits_for_us(job: &JobView) -> bool {
    let step = |verb: Verb| matches!(verb, Verb::Award | Verb::Fund | Verb::Accept | Verb::Deliver);
    job.legal.iter().any(|offered| step(offered.verb) && offered.refusal.is_none())
}

/// Jobs whose title, id or phase match a filter: those that wait for us first, then by deadline; what is
/// over comes last, the newest first.
pub(in crate::tui) fn sorted<'a>(snapshot: &'a Snapshot, filter: &str) -> Vec<&'a JobView> {
    let mut jobs: Vec<&JobView> = snapshot.jobs.values().map(AsRef::as_ref).collect();
    jobs.sort_by_key(|job| {
        let soonest = job.deadline.unwrap_or(Time(u64::MAX));
        (job.phase.is_over(), !waits_for_us(job), soonest, Reverse(job.since), job.id)
    });
    let rows: Vec<(String, &JobView)> = jobs
        .into_iter()
        .map(|job| (format!("{} {} {}", job.title, job.phase.word(), job.id.short()), job))
        .collect();
    matching(filter, rows, |(text, _)| text).into_iter().map(|(_, job)| job).collect()
}

/// The most urgent thing about a job, in one line. The stranger's words come last.
pub(in crate::tui) fn urgent(job: &JobView, now: Time) -> String {
    let left = job.deadline.map(|at| format!(", {} left", now.until(at))).unwrap_or_default();
    format!("job {} is {}{left}: {}", job.id.short(), job.phase.word(), job.title.or("(no title)"))
}

pub(super) fn rows(model: &Model, snapshot: &Snapshot) -> Vec<Row> {
    sorted(snapshot, model.line(Screen::Jobs))
        .into_iter()
        .map(|job| {
            let (glyph, role) = mark(job);
            let side = match job.role {
                Side::Requester => "→",
                Side::Worker => "←",
            };
            let right = Line::of(format!("{side} {}  ", job.price), Role::Money)
                .and(job.phase.word(), role);
            let text = job.title.or("(no title)").to_owned();
            let role = if job.phase.is_over() { Role::Muted } else { Role::Text };
            Row { key: Key::Event(job.id), mark: (glyph, mark(job).1), text, role, right }
        })
        .collect()
}

/// Where a job stands, as glyph and meaning.
fn mark(job: &JobView) -> (&'static str, Role) {
    match job.phase {
        Phase::Settled => ("✓", Role::Good),
        Phase::Cheated => ("!", Role::Bad),
        Phase::Declined | Phase::Withdrawn | Phase::Cancelled | Phase::Expired => {
            ("✗", Role::Muted)
        }
        _ if !job.stuck.is_empty() => ("!", Role::Warn),
        _ if waits_for_us(job) => ("▸", Role::Accent),
        _ => ("○", Role::Muted),
    }
}

/// The selected job, while jobs are looked at.
pub(in crate::tui) fn chosen<'a>(model: &Model, snapshot: &'a Snapshot) -> Option<&'a JobView> {
    if model.screen != Screen::Jobs {
        return None;
    }
    let jobs = sorted(snapshot, model.line(Screen::Jobs));
    let key = model.selected.get(&Screen::Jobs);
    jobs.iter().find(|job| key == Some(&Key::Event(job.id))).or(jobs.first()).copied()
}

/// Whether a verb of the selected job can be done: what the market said of it.
pub(super) fn may(model: &Model, snapshot: &Snapshot, verb: Verb) -> Result<(), String> {
    let job = chosen(model, snapshot).ok_or("No job is selected.")?;
    let refusal = match job.legal.iter().find(|offered| offered.verb == verb) {
        Some(offered) => offered.refusal.as_ref(),
        None => return Err(format!("{} is the other side's to do.", verb.word())),
    };
    match refusal {
        None => Ok(()),
        Some(refusal) => Err(match &refusal.next {
            Some(next) => format!("{} {next}", refusal.sentence),
            None => refusal.sentence.clone(),
        }),
    }
}

/// Where the file of a job lies: what was opened, a proof, or an input.
pub(in crate::tui) fn path(job: &JobView) -> Option<PathBuf> {
    let delivery = job.delivery.as_ref();
    delivery
        .and_then(|delivery| delivery.output.clone().or(delivery.proof.clone()))
        .or_else(|| job.materials.iter().find_map(|material| material.path.clone()))
}

/// What is agreed, what happens next, what can be done and why not what cannot.
pub(super) fn facts(model: &Model, snapshot: &Snapshot, job: &JobView, width: u16) -> Sheet {
    let now = model.at.now;
    let mut sheet = Sheet::new(width);
    sheet.words(job.title.or("(no title)"), Role::Title);
    sheet.gap();
    let (glyph, role) = mark(job);
    let side = match job.role {
        Side::Requester => "you pay",
        Side::Worker if job.phase == Phase::Declined => "you asked",
        Side::Worker => "you earn",
    };
    let on = milestone_on(&job.milestones).map(|on| format!(", milestone {on}"));
    let stands = format!("{glyph} {}{}", job.phase.word(), on.unwrap_or_default());
    sheet.pair("stands", &stands, role);
    if let Some(reason) = &job.reason {
        sheet.pair("because", reason, Role::Warn);
    }
    for stuck in &job.stuck {
        sheet.indented("! ", &crate::tui::msg::washed(stuck.as_str()), Role::Warn);
    }
    if let Some((by, verb)) = job.asked.as_ref().filter(|_| !job.phase.is_over()) {
        let said = format!("whether {by} may {}: it is above its limit", verb.word());
        sheet.pair("asks you", &said, Role::Warn);
    }
    sheet.pair(side, &job.price.to_string(), Role::Money);
    sheet.pair("with", &people::shown(&job.peer, snapshot), Role::Text);
    let parts =
        if job.tranches == 1 { String::new() } else { format!(", in {} parts", job.tranches) };
    sheet.pair("settled", &format!("{}{parts}", gigs::mode_words(job.mode)), Role::Text);
    for (n, milestone) in job.milestones.iter().enumerate() {
        let role = if milestone.stage == MilestoneStage::Now { Role::Text } else { Role::Muted };
        sheet.pair(if n == 0 { "milestones" } else { "" }, &milestone.line(n), role);
    }
    if let Some(stake) = &job.stake {
        sheet.pair("at stake", stake, Role::Text);
    }
    sheet.pair("id", &job.id.short(), Role::Muted);
    next(&mut sheet, job, now);
    judge(&mut sheet, job, snapshot);
    // When it is over, what came of it is looked for, and not what might have been done.
    if job.phase.is_over() {
        delivery(&mut sheet, job);
        verbs(&mut sheet, job);
    } else {
        verbs(&mut sheet, job);
        delivery(&mut sheet, job);
    }
    if !job.materials.is_empty() {
        sheet.head("Files");
        for material in &job.materials {
            let ours = material.from == job.role;
            let size = gauge::bytes(material.size);
            let named = format!("{size}  {}", material.name.or("(no name)"));
            sheet.pair(if ours { "from you" } else { "from them" }, &named, Role::Text);
            match &material.path {
                Some(path) => sheet.pair("", &path.display().to_string(), Role::Muted),
                None if !ours => sheet.pair("", "not here yet", Role::Muted),
                None => {}
            }
        }
    }
    if !job.message.is_empty() {
        sheet.head("With the bid");
        sheet.words(&job.message, Role::Text);
    }
    if let Some(gig) = gig(model, snapshot, job) {
        sheet.head("What was asked for");
        gigs::words(&mut sheet, gig);
    }
    sheet
}

/// Who judges, what it holds, and who has called it.
fn judge(sheet: &mut Sheet, job: &JobView, snapshot: &Snapshot) {
    let Some(judge) = job.escrow.as_ref().and_then(|escrow| escrow.judge.as_ref()) else { return };
    let side = |role: &Side| match role {
        Side::Requester => "the requester",
        Side::Worker => "the worker",
    };
    sheet.head("Judge");
    sheet.pair("who", &people::shown(&judge.identity, snapshot), Role::Text);
    let holds = match judge.holds {
        true => ("a copy of the secret, and no money", Role::Text),
        false => ("nothing yet: no work before it does", Role::Warn),
    };
    sheet.pair("holds", holds.0, holds.1);
    let marks = [
        ("call by", judge.escalate_by),
        ("answer by", judge.object_by),
        ("rules by", judge.rule_by),
    ];
    for (what, at) in marks.into_iter().filter(|_| !job.phase.is_over()) {
        if let Some(at) = at {
            sheet.pair(what, &format!("block {at}"), Role::Muted);
        }
    }
    if let Some((by, why)) = &judge.dispute {
        sheet.pair("called", &format!("by {}: {}", side(by), why.as_str()), Role::Warn);
    }
    if let Some((by, why)) = &judge.objection {
        sheet.pair("answered", &format!("by {}: {}", side(by), why.as_str()), Role::Text);
    }
    if let Some(whose) = &judge.ruling {
        sheet.pair("ruled", &format!("for {}", side(whose)), Role::Text);
    }
}

/// The version of the gig that a job is about, where it is known here.
fn gig<'a>(model: &'a Model, snapshot: &'a Snapshot, job: &JobView) -> Option<&'a GigView> {
    let posts = snapshot.posts.iter().map(|post| &post.gig);
    let known = model.book.gigs.iter().chain(posts).find(|gig| gig.id == job.gig);
    known.or_else(|| model.gigs.get(&job.gig).and_then(Option::as_ref))
}

/// Asks for the gig of the selected job, once.
pub(in crate::tui) fn need_gig(model: &mut Model, snapshot: &Snapshot) -> Vec<Do> {
    let Some(job) = chosen(model, snapshot) else { return Vec::new() };
    if gig(model, snapshot, job).is_some() || model.gigs.contains_key(&job.gig) {
        return Vec::new();
    }
    model.gigs.insert(job.gig, None);
    vec![Do::Gig(job.gig)]
}

/// The next deadline as a bar and as text, and what happens if nobody does anything.
fn next(sheet: &mut Sheet, job: &JobView, now: Time) {
    sheet.gap();
    match (job.deadline, &job.otherwise) {
        (Some(until), otherwise) => {
            let wide = sheet.width().saturating_sub(20).min(24);
            sheet.line(gauge::deadline(job.since, until, now, wide));
            if let Some(otherwise) = otherwise {
                sheet.words(&format!("If nobody does anything: {otherwise}."), Role::Text);
            }
        }
        (None, _) if job.phase == Phase::Paying => {
            sheet.words(
                "The payment is in flight. It ends paid or back with you; nothing has to be done.",
                Role::Text,
            );
        }
        (None, _) => sheet.words("Nothing is waited for.", Role::Muted),
    }
}

/// Every verb of our role: its key, or why it cannot be done now.
fn verbs(sheet: &mut Sheet, job: &JobView) {
    sheet.head("What you can do");
    let here = Context::On(Screen::Jobs);
    let (can, cannot): (Vec<_>, Vec<_>) = job.legal.iter().partition(|o| o.refusal.is_none());
    for offered in can.into_iter().chain(cannot) {
        let key = here.key(Act::Verb(offered.verb)).unwrap_or(" ");
        match &offered.refusal {
            None => sheet
                .line(Line::of(format!("{key}  "), Role::Key).and(offered.verb.word(), Role::Text)),
            Some(refusal) => {
                let lead = format!("({key} {}) ", offered.verb.word());
                sheet.indented(&lead, &refusal.sentence, Role::Disabled);
            }
        }
    }
}

fn delivery(sheet: &mut Sheet, job: &JobView) {
    let fetching = job.fetched.filter(|(done, whole)| done < whole);
    if job.delivery.is_none() && fetching.is_none() {
        return;
    }
    sheet.head("Delivery");
    if let Some((done, whole)) = fetching {
        let wide = sheet.width().saturating_sub(26).min(24);
        let words = format!(" {} of {}", gauge::bytes(done), gauge::bytes(whole));
        sheet.line(gauge::bar(done, whole, wide, Role::Accent).and(words, Role::Text));
    }
    let Some(delivery) = &job.delivery else { return };
    if delivery.manifest.is_some() {
        let named = format!("{}  {}", gauge::bytes(delivery.size), delivery.name.or("(no name)"));
        sheet.pair("file", &named, Role::Text);
    } else {
        sheet.words("Being sealed.", Role::Muted);
    }
    if job.role == Side::Requester {
        let (words, role) = match delivery.inspected {
            true => ("yes: it is here, whole, and what was signed", Role::Good),
            false => ("not yet", Role::Muted),
        };
        sheet.pair("checked", words, role);
    }
    if delivery.paid > 0 || delivery.received.get() > 0 {
        sheet.pair("parts paid", &format!("{} of {}", delivery.paid, job.tranches), Role::Text);
    }
    match job.role {
        Side::Requester if delivery.paid > 0 => {
            sheet.pair("routing fees", &delivery.fee.to_string(), Role::Money);
        }
        Side::Worker if delivery.received.get() > 0 => {
            sheet.pair("received", &delivery.received.to_string(), Role::Money);
            sheet.pair("LSP kept", &delivery.lsp_fee.to_string(), Role::Money);
        }
        _ => {}
    }
    if let Some(audit) = &delivery.audit {
        sheet.pair("audit", audit, Role::Text);
    }
    for check in &delivery.checks {
        sheet.pair("check", check, Role::Text);
    }
    if let Some(output) = &delivery.output {
        sheet.pair("lies at", &output.display().to_string(), Role::Text);
    }
    if let Some(proof) = &delivery.proof {
        sheet.pair("fraud proof", &proof.display().to_string(), Role::Bad);
    }
    if !delivery.message.is_empty() {
        sheet.words(&delivery.message, Role::Text);
    }
}

/// What happened, the newest first: nobody scrolls to learn the news.
pub(super) fn timeline(model: &Model, job: BidId, role: Side, width: u16) -> Sheet {
    let mut sheet = Sheet::new(width);
    let Some((_, _, facts)) = model.history.as_ref().filter(|(id, ..)| *id == job) else {
        sheet.words("Reading the history.", Role::Muted);
        return sheet;
    };
    for fact in facts.iter().rev() {
        let ago = gauge::ago(fact.at, model.at.now);
        sheet.pair(&ago, &fact.sentence(role), Role::Text);
        if let Some(file) = &fact.file {
            sheet.pair("", &format!("file: {file}"), Role::Muted);
        }
        if !fact.text.is_empty() {
            sheet.words(&fact.text, Role::Muted);
        }
    }
    sheet
}

pub(super) fn draw_empty(canvas: &mut Canvas<'_>, model: &Model, area: ratatui::layout::Rect) {
    if model.line(Screen::Jobs).is_empty() {
        list::empty(
            canvas,
            area,
            "No jobs yet.",
            "1 browses gigs, b bids on one; 2 then n posts one",
        );
    } else {
        list::empty(canvas, area, "No job matches.", "/ changes the filter");
    }
}

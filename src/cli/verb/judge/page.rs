//! A case on one page: what a judge needs to see, and until when.

use crate::cli::verb::jobs::role;
use crate::cli::{Failure, Out};
use crate::engine::CaseView;

/// Everything on one page.
pub(super) fn page(case: &CaseView, out: &mut Out) -> Result<(), Failure> {
    let left = |at: u32| match at.checked_sub(case.height) {
        Some(blocks) => format!("block {at}, in {blocks}"),
        None => format!("block {at}, {} ago", case.height - at),
    };
    let how = if case.deterministic { "by what can be computed" } else { "by hand" };
    let mut lines = vec![
        ("case", case.id.to_string()),
        ("job", case.job.to_string()),
        ("title", case.title.or("(not in the book)").to_owned()),
        ("stands", case.phase.word().to_owned()),
        ("price", format!("{}, locked at the worker's node; you never have it", case.price)),
        ("requester", crate::app::npub(&case.requester)),
        ("worker", crate::app::npub(&case.worker)),
        ("you rule", how.to_owned()),
        ("delivery", format!("was due at {}", left(case.deliver_by))),
        ("verdict", format!("of the requester: was due at {}", left(case.verdict_by))),
        ("answer", format!("of the other side: by {}", left(case.object_by))),
        ("ruling", format!("by {}; {}", left(case.rule_by), case.otherwise)),
    ];
    if let Some((by, at, why)) = &case.dispute {
        lines.push(("called", format!("by the {} at block {at}: {why}", role(*by))));
    }
    if let Some((by, at, why)) = &case.objection {
        lines.push(("answered", format!("by the {} at block {at}: {why}", role(*by))));
    }
    for (by, text) in &case.notes {
        lines.push(("note", format!("of the {}: {text}", role(*by))));
    }
    lines.extend(case.finding.as_ref().map(|said| ("work", said.to_string())));
    lines.extend(case.checks.iter().map(|said| ("check", said.to_string())));
    lines.extend(case.output.as_ref().map(|path| ("opened", path.display().to_string())));
    if let Some((whose, why)) = &case.ruling {
        lines.push(("ruled", format!("for the {}: {why}", role(*whose))));
    }
    for (name, value) in lines {
        out.line(&format!("{name:<10}{value}"))?;
    }
    out.line("\nsigned, each by the key that is certified for its side:")?;
    for e in &case.exhibits {
        let when = e.height.map_or("at the start".to_owned(), |at| format!("block {at}"));
        out.line(&format!("{:<14}{:<10} {:<8} {}", when, role(e.by), e.kind, e.id.short()))?;
        for line in e.text.lines() {
            out.line(&format!("{:<14}| {line}", ""))?;
        }
    }
    for gap in &case.missing {
        out.line(gap)?;
    }
    if !case.content.is_empty() {
        out.line("\nwhat was asked for:")?;
        out.line(&case.content)?;
    }
    for (whose, refusal) in [("worker", &case.for_worker), ("requester", &case.for_requester)] {
        match refusal {
            None => out.say(&format!(
                "  next: earnest judge rule {} {whose} --reason TEXT",
                case.id.short()
            ))?,
            Some(why) => out.say(&format!("  not for the {whose}: {}", why.sentence))?,
        }
    }
    Ok(())
}

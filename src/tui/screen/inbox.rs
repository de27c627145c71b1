//! Inbox: every notice, also those whose toast is gone.

use crate::engine::Notice;
use crate::market::Money;
use crate::text::Clean;
use crate::tui::palette::matching;
use crate::tui::part::list::Row;
use crate::tui::part::pane::{Line, Sheet};
use crate::tui::part::{gauge, toast};
use crate::tui::theme::Role;
use crate::tui::{Key, Model, Screen};

pub(super) fn rows(model: &Model) -> Vec<Row> {
    // Counted from the oldest, so that a new one moves nothing.
    let all = model.inbox.len();
    let rows: Vec<Row> = model
        .inbox
        .iter()
        .enumerate()
        .map(|(n, (notice, seen))| {
            let role = if *seen { Role::Muted } else { Role::Text };
            let right = Line::of(gauge::ago(notice.at, model.at.now), Role::Muted);
            let text = words(notice).as_str().to_owned();
            Row {
                key: Key::Nth(all - 1 - n),
                mark: toast::mark(notice.severity),
                text,
                role,
                right,
            }
        })
        .collect();
    matching(model.line(Screen::Inbox), rows, |row| &row.text)
}

/// What it says. The verb of the command line that it may name is left out: here it is a key.
pub(in crate::tui) fn words(notice: &Notice) -> Clean {
    let text = notice.text.split(" Next: earnest ").next().unwrap_or_default();
    crate::tui::msg::washed(text)
}

/// The notice of a row.
pub(in crate::tui) fn at(model: &Model, n: usize) -> Option<usize> {
    model.inbox.len().checked_sub(n + 1)
}

pub(super) fn facts(model: &Model, n: usize, width: u16) -> Sheet {
    let mut sheet = Sheet::new(width);
    let Some((notice, _)) = at(model, n).and_then(|at| model.inbox.get(at)) else { return sheet };
    sheet.words(&words(notice), Role::Text);
    sheet.gap();
    let (money, role) = match notice.money {
        Money::Untouched => ("nothing moved", Role::Text),
        Money::Held => ("held: it will end paid or back", Role::Warn),
        Money::Spent => ("it moved", Role::Money),
    };
    sheet.pair("money", money, role);
    sheet.pair("job", &notice.job.short(), Role::Text);
    sheet.pair("when", &gauge::ago(notice.at, model.at.now), Role::Text);
    sheet.gap();
    sheet.words("o opens the job and what can be done there", Role::Muted);
    sheet
}

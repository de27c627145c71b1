//! Inbox: every notice, also those whose toast is gone.

use crate::market::Money;
use crate::tui::palette::matching;
use crate::tui::part::list::Row;
use crate::tui::part::pane::{Line, Sheet};
use crate::tui::part::toast;
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
            let ago = notice.at.until(model.at.now);
            let right = Line::of(format!("{ago} ago"), Role::Muted);
            let text = crate::tui::msg::washed(notice.text.as_str()).as_str().to_owned();
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

/// The notice of a row.
pub(in crate::tui) fn at(model: &Model, n: usize) -> Option<usize> {
    model.inbox.len().checked_sub(n + 1)
}

pub(super) fn facts(model: &Model, n: usize, width: u16) -> Sheet {
    let mut sheet = Sheet::new(width);
    let Some((notice, _)) = at(model, n).and_then(|at| model.inbox.get(at)) else { return sheet };
    sheet.words(&crate::tui::msg::washed(notice.text.as_str()), Role::Text);
    sheet.gap();
    let (money, role) = match notice.money {
        Money::Untouched => ("nothing moved", Role::Text),
        Money::Held => ("held: it will end paid or back", Role::Warn),
        Money::Spent => ("it moved", Role::Money),
    };
    sheet.pair("money", money, role);
    sheet.pair("job", &notice.job.short(), Role::Text);
    sheet.pair("when", &format!("{} ago", notice.at.until(model.at.now)), Role::Text);
    sheet
}

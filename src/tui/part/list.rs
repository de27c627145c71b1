//! A list: rows by key, one of them selected, numbers on the right.

use ratatui::layout::{Position, Rect};

use crate::text::{cells, truncate};
use crate::tui::Key;
use crate::tui::keymap::Act;
use crate::tui::part::pane::{Canvas, Line};
use crate::tui::theme::Role;

/// One row.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// What it is about.
    pub(crate) key: Key,
    /// Before the text: a glyph and its meaning.
    pub(crate) mark: (&'static str, Role),
    /// The text: a stranger's, often. It is cut first.
    pub(crate) text: String,
    /// What it means.
    pub(crate) role: Role,
    /// On the right, of our own making: never cut, but on a narrow list only the last piece stays.
    pub(crate) right: Line,
}

/// Where a key stands among others; the first if it is not there any more.
pub(crate) fn place(keys: &[Key], selected: Option<&Key>) -> usize {
    selected.and_then(|key| keys.iter().position(|k| k == key)).unwrap_or(0)
}

/// Draws the rows around the selected one; how many fit.
pub(crate) fn draw(
    canvas: &mut Canvas<'_>,
    area: Rect,
    rows: &[Row],
    selected: Option<&Key>,
) -> usize {
    let height = usize::from(area.height);
    if rows.is_empty() || height == 0 {
        return height;
    }
    let keys: Vec<Key> = rows.iter().map(|row| row.key).collect();
    let at = place(&keys, selected);
    let from = at.saturating_sub(height / 2).min(rows.len().saturating_sub(height));
    for (n, y) in (from..rows.len()).zip(area.y..area.bottom()) {
        let line = Rect { y, height: 1, ..area };
        one(canvas, line, &rows[n], n == at);
        canvas.hits.push((line, Act::Row(n)));
    }
    height
}

fn one(canvas: &mut Canvas<'_>, line: Rect, row: &Row, selected: bool) {
    let width = usize::from(line.width);
    let mut shown = row.right.clone();
    let wanted = cells(&row.text).min(20) + 4;
    while shown.0.len() > 1 && shown.cells() + wanted > width {
        shown.0.remove(0);
    }
    // A very narrow list keeps the text readable: the detail has the rest.
    let right = if shown.cells() + 12 > width { 0 } else { shown.cells() };
    let room = width.saturating_sub(3 + right + usize::from(right > 0));
    let cursor = if selected { "▸" } else { " " };
    canvas.put(line.x, line.y, 1, cursor, Role::Accent);
    canvas.put(line.x + 1, line.y, 1, row.mark.0, row.mark.1);
    let room16 = u16::try_from(room).unwrap_or(u16::MAX);
    canvas.put(line.x + 3, line.y, room16, &truncate(&row.text, room), row.role);
    if right > 0 {
        let right16 = u16::try_from(right).unwrap_or(line.width);
        let x = line.right() - right16;
        canvas.row(Rect { x, width: right16, ..line }, &shown);
    }
    if selected {
        canvas.select(line);
        if canvas.cursor.is_none() {
            canvas.cursor = Some(Position { x: line.x, y: line.y });
        }
    }
}

/// What an empty list says, and which key to press next.
pub(crate) fn empty(canvas: &mut Canvas<'_>, area: Rect, what: &str, next: &str) {
    let mut sheet = crate::tui::part::pane::Sheet::new(area.width);
    sheet.words(what, Role::Text);
    sheet.gap();
    sheet.words(next, Role::Muted);
    canvas.sheet(area, &sheet, 0);
}

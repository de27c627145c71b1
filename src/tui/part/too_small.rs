//! A terminal too small for a screen: what is needed, the most urgent line, and how to leave.

use crate::engine::Snapshot;
use crate::tui::Model;
use crate::tui::part::pane::{Canvas, Sheet};
use crate::tui::screen::jobs;
use crate::tui::theme::Role;

/// The least width and height of a screen.
pub(crate) const LEAST: (u16, u16) = (40, 10);

/// Draws it.
pub(crate) fn draw(canvas: &mut Canvas<'_>, model: &Model, snapshot: &Snapshot) {
    let area = canvas.buffer.area;
    let mut sheet = Sheet::new(area.width);
    let (width, height) = LEAST;
    sheet.words(&format!("need {width}x{height}, have {}x{}", area.width, area.height), Role::Warn);
    // Above what may be long: how to leave must always be seen.
    sheet.words("q quits", Role::Muted);
    if let Some(job) = jobs::sorted(snapshot, "").into_iter().find(|job| jobs::waits_for_us(job)) {
        sheet.words(&jobs::urgent(job, model.at.now), Role::Accent);
    }
    canvas.sheet(area, &sheet, 0);
}

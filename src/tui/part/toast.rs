//! Toasts: what is said in passing, in the corner that is looked at least.

use ratatui::layout::Rect;

use crate::engine::Severity;
use crate::text::{cells, wrap};
use crate::tui::Model;
use crate::tui::part::pane::Canvas;
use crate::tui::theme::Role;

/// A word, a glyph and a meaning for each severity: never the colour alone.
pub(crate) fn mark(severity: Severity) -> (&'static str, Role) {
    match severity {
        Severity::Info => ("•", Role::Muted),
        Severity::Act => ("▸", Role::Accent),
        Severity::Warn => ("!", Role::Bad),
    }
}

/// Draws them above the footer, the newest lowest.
pub(crate) fn draw(canvas: &mut Canvas<'_>, model: &Model, area: Rect) {
    let width = usize::from(area.width).min(64);
    let mut bottom = area.bottom();
    for toast in model.toasts.iter().rev() {
        let (glyph, role) = mark(toast.severity);
        let mut lines = wrap(&toast.text, width.saturating_sub(4).max(8));
        lines.truncate(4);
        let height = u16::try_from(lines.len()).unwrap_or(1);
        if bottom < area.y + height {
            break;
        }
        bottom -= height;
        let wide = lines.iter().map(|line| cells(line)).max().unwrap_or(0) + 4;
        let wide = u16::try_from(wide).unwrap_or(area.width).min(area.width);
        let place = Rect { x: area.right() - wide, y: bottom, width: wide, height };
        canvas.clear(place);
        for (n, line) in (0u16..).zip(&lines) {
            let lead = if n == 0 { glyph } else { "" };
            canvas.put(place.x + 1, place.y + n, 1, lead, role);
            canvas.put(place.x + 3, place.y + n, wide.saturating_sub(3), line, role);
        }
    }
}

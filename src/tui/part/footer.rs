//! The footer: what can be done here, from the keymap and from what the market allows. On a narrow
//! terminal it drops the least important from the right; `?` has them all.

use ratatui::layout::Rect;

use crate::engine::Snapshot;
use crate::tui::Model;
use crate::tui::keymap::{Act, Bind};
use crate::tui::part::pane::{Canvas, Line};
use crate::tui::screen;
use crate::tui::theme::Role;

/// What the footer shows here: each key with its words, and why not where it cannot be done now.
pub fn offers(model: &Model, snapshot: &Snapshot) -> Vec<(&'static Bind, Result<(), String>)> {
    let mut binds: Vec<_> = model
        .context()
        .binds()
        .filter(|bind| bind.rank.is_some())
        .filter(|bind| screen::concerns(model, snapshot, bind.act))
        .map(|bind| (bind, screen::may(model, snapshot, bind.act)))
        .collect();
    // What can be done stands before what cannot, and how to leave before most of what cannot.
    binds.sort_by_key(|(bind, may)| {
        (bind.rank.unwrap_or(9) + if may.is_err() { 3 } else { 0 }, may.is_err())
    });
    binds
}

/// Draws it.
pub(crate) fn draw(canvas: &mut Canvas<'_>, model: &Model, snapshot: &Snapshot, area: Rect) {
    let mut x = area.x;
    for (bind, may) in offers(model, snapshot) {
        let key = bind.keys.first().copied().unwrap_or_default();
        // In words too: what cannot be done now stands in brackets.
        let line = match may {
            Ok(()) => Line::of(key, Role::Key).and(format!(" {}", bind.words), Role::Text),
            Err(_) => Line::of(format!("({key} {})", bind.words), Role::Disabled),
        };
        let wide = u16::try_from(line.cells()).unwrap_or(u16::MAX);
        if x.saturating_add(wide) > area.right() {
            continue;
        }
        let place = Rect { x, width: wide, height: 1, ..area };
        canvas.row(place, &line);
        if !matches!(bind.act, Act::Open | Act::Back) || model.layers.is_empty() {
            canvas.hits.push((place, bind.act));
        }
        x = x.saturating_add(wide + 2);
    }
}

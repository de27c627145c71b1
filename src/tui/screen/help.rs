//! Help: every key, from the keymap itself, and the few words that explain the house.

use crate::tui::keymap::{Context, KEYMAP};
use crate::tui::part::pane::{Canvas, Line, Sheet};
use crate::tui::theme::Role;
use crate::tui::{Model, Screen};

fn sheet(model: &Model, width: u16) -> Sheet {
    let mut sheet = Sheet::new(width);
    let mut contexts = vec![(Context::On(model.screen), model.screen.word().to_owned())];
    contexts.push((Context::Global, "Everywhere".to_owned()));
    for screen in Screen::ALL.into_iter().filter(|screen| *screen != model.screen) {
        contexts.push((Context::On(screen), screen.word().to_owned()));
    }
    contexts.extend([
        (Context::Search, "While searching".to_owned()),
        (Context::Confirm, "When asked about money".to_owned()),
        (Context::Form, "In a form".to_owned()),
        (Context::Code, "While something is to be scanned".to_owned()),
        (Context::Palette, "In the list of commands".to_owned()),
    ]);
    for (context, title) in contexts {
        let binds: Vec<_> = KEYMAP.iter().filter(|bind| bind.context == context).collect();
        if binds.is_empty() {
            continue;
        }
        sheet.head(&title);
        for bind in binds {
            let keys = bind.keys.join(" ");
            sheet.line(Line::of(format!("{keys:<20}"), Role::Key).and(bind.words, Role::Text));
        }
    }
    how(&mut sheet);
    sheet
}

/// The few words that explain the house.
pub(super) fn how(sheet: &mut Sheet) {
    sheet.head("How a job goes");
    for line in [
        "A requester posts a gig; workers bid; one is awarded.",
        "The worker delivers sealed: the requester can check that it is whole, not read it.",
        "Paying opens it: the key is what the payment buys. Neither side goes first.",
        "If the key does not open what was signed, anybody can check the proof.",
        "(key words) in brackets cannot be done now; pressing the key says why.",
    ] {
        sheet.indented("• ", line, Role::Text);
    }
}

/// Draws it over everything, from line `scroll` on; how far it can be scrolled.
pub(super) fn draw(canvas: &mut Canvas<'_>, model: &Model, scroll: usize) -> usize {
    let all = canvas.buffer.area;
    let inner = canvas.popup(all.width.min(84), all.height, "Help: Esc goes back");
    let body =
        ratatui::layout::Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner };
    let sheet = sheet(model, body.width);
    canvas.sheet(body, &sheet, scroll)
}

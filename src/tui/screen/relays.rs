//! Relays and node: what we are connected to, and what is wrong with it.

use crate::engine::Snapshot;
use crate::tui::msg::washed;
use crate::tui::part::list::Row;
use crate::tui::part::pane::{Line, Sheet};
use crate::tui::part::person;
use crate::tui::screen::gigs;
use crate::tui::theme::Role;
use crate::tui::{Key, Model, Stage};

pub(super) fn rows(snapshot: &Snapshot) -> Vec<Row> {
    let relay = |(n, relay): (usize, &crate::engine::RelayHealth)| {
        let (glyph, word, role) = match (relay.live, relay.connected) {
            (true, _) => ("✓", "live", Role::Good),
            (false, true) => ("○", "catching up", Role::Accent),
            (false, false) => ("✗", "not connected", Role::Bad),
        };
        let right = Line::of(word, role);
        let text = washed(relay.url.as_str()).as_str().to_owned();
        Row { key: Key::Nth(n), mark: (glyph, role), text, role: Role::Text, right }
    };
    snapshot.relays.iter().enumerate().map(relay).collect()
}

pub(super) fn facts(model: &Model, snapshot: &Snapshot, at: Option<Key>, width: u16) -> Sheet {
    let mut sheet = Sheet::new(width);
    if let Some(Key::Nth(n)) = at
        && let Some(relay) = snapshot.relays.get(n)
    {
        sheet.words(&washed(relay.url.as_str()), Role::Title);
        sheet.gap();
        sheet.pair("socket", if relay.connected { "open" } else { "closed" }, Role::Text);
        let live = if relay.live { "yes: nothing stored there is missed" } else { "no" };
        sheet.pair("live", live, Role::Text);
        let heard = relay
            .heard_at
            .map_or_else(|| "never".to_owned(), |at| format!("{} ago", at.until(model.at.now)));
        sheet.pair("last heard", &heard, Role::Text);
        if let Some(trouble) = &relay.trouble {
            // A relay's own words, or a library's about it: a stranger's either way.
            sheet.pair("trouble", &washed(trouble.as_str()), Role::Warn);
        }
    }
    sheet.head("Node");
    match (&snapshot.node, &model.stage) {
        (Some(node), _) => {
            sheet.pair("id", &node.node.to_string(), Role::Text);
            let running = if node.running { "yes" } else { "no block was seen lately" };
            sheet.pair("in step", running, if node.running { Role::Good } else { Role::Warn });
            sheet.pair("height", &node.height.to_string(), Role::Text);
            let channels = format!("{} usable of {}", node.channels_usable, node.channels);
            sheet.pair("channels", &channels, Role::Text);
            if let Some(lsp) = &model.lsp {
                sheet.pair("LSP", &washed(lsp.as_str()), Role::Text);
            }
            if let Some(trouble) = &node.trouble {
                sheet.pair("trouble", &washed(trouble.as_str()), Role::Warn);
            }
        }
        (None, Stage::Down(why)) => sheet.words(why, Role::Bad),
        (None, _) => sheet.words("Starting.", Role::Muted),
    }
    sheet.pair("network", gigs::network(model.network), Role::Text);
    if let Some(identity) = &snapshot.identity {
        sheet.head("You");
        sheet.pair("npub", &person::npub(identity), Role::Text);
    }
    sheet.head("Outbox");
    sheet.pair("on their way", &snapshot.waiting.to_string(), Role::Text);
    let role = if snapshot.parked > 0 { Role::Warn } else { Role::Text };
    sheet.pair("given up", &snapshot.parked.to_string(), role);
    sheet
}

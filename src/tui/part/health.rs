//! The health line: relays, node, what can be received, what waits. Problems get a word, not only a colour.

use ratatui::layout::Rect;

use crate::engine::Snapshot;
use crate::market::Msat;
use crate::tui::keymap::Act;
use crate::tui::part::pane::{Canvas, Line};
use crate::tui::theme::Role;
use crate::tui::{Model, Screen, Stage};

/// Each part of it and where it leads.
fn parts(model: &Model, snapshot: &Snapshot) -> Vec<(Line, Screen)> {
    match &model.stage {
        Stage::Starting => {
            let words = "starting: book, node, relays";
            return vec![(Line::of("○ ", Role::Muted).and(words, Role::Muted), Screen::Relays)];
        }
        Stage::Down(_) => {
            return vec![(Line::of("✗ not running", Role::Bad), Screen::Relays)];
        }
        Stage::Up => {}
    }
    let mut parts = Vec::new();
    let live = snapshot.relays.iter().filter(|relay| relay.live).count();
    let all = snapshot.relays.len();
    let (glyph, role) = match live {
        0 => ("✗", Role::Bad),
        n if n < all => ("!", Role::Warn),
        _ => ("✓", Role::Good),
    };
    let words =
        if live == 0 { "offline: no relay".to_owned() } else { format!("relays {live}/{all}") };
    parts.push((Line::of(glyph, role).and(format!(" {words}"), role), Screen::Relays));
    parts.push((node(snapshot), Screen::Relays));
    if let Some(node) = &snapshot.node {
        let b = &node.balances;
        let words = format!("send {}", b.lightning_spendable.saturating_sub(snapshot.reserved));
        let words = format!("{words} · receive {}", b.lightning_receivable);
        parts.push((Line::of(words, Role::Money), Screen::Wallet));
    }
    let unread = model.unread();
    if unread > 0 {
        parts.push((Line::of(format!("▸ {unread} unread"), Role::Accent), Screen::Inbox));
    }
    if snapshot.waiting > 0 {
        parts.push((
            Line::of(format!("{} on their way", snapshot.waiting), Role::Muted),
            Screen::Relays,
        ));
    }
    if snapshot.parked > 0 {
        parts.push((
            Line::of(format!("! {} given up", snapshot.parked), Role::Warn),
            Screen::Relays,
        ));
    }
    parts
}

fn node(snapshot: &Snapshot) -> Line {
    match &snapshot.node {
        None => Line::of("○ node starting", Role::Muted),
        Some(node) if !node.running => Line::of("! node behind", Role::Warn),
        Some(node) if node.balances.lightning_total == Msat::ZERO && node.channels == 0 => {
            Line::of("✓ node, no channel yet", Role::Good)
        }
        Some(node) => Line::of(format!("✓ node {}", node.height), Role::Good),
    }
}

/// Draws as much of it as fits.
pub(crate) fn draw(canvas: &mut Canvas<'_>, model: &Model, snapshot: &Snapshot, area: Rect) {
    let mut x = area.x;
    if let Some(banner) = model.banner {
        let used = canvas.put(x, area.y, area.width, banner, Role::Warn);
        x += used + 2;
    }
    let mut parts = parts(model, snapshot);
    let room = usize::from(area.right().saturating_sub(x)) + 2;
    let wide = |line: &Line| line.cells() + 2;
    let is_well = |line: &Line| line.is(Role::Good);
    let mut over = parts.iter().map(|(line, _)| wide(line)).sum::<usize>().saturating_sub(room);
    let well: usize = parts.iter().map(|(line, _)| line).filter(|l| is_well(l)).map(wide).sum();
    // Where all else has room without what is well, that is left out, the last of it first.
    while over > 0
        && over <= well
        && let Some(at) = parts.iter().rposition(|(line, _)| is_well(line))
    {
        over = over.saturating_sub(wide(&parts.remove(at).0));
    }
    for (line, leads) in parts {
        let wide = u16::try_from(line.cells()).unwrap_or(u16::MAX);
        if x.saturating_add(wide) > area.right() {
            continue;
        }
        let place = Rect { x, width: wide, height: 1, ..area };
        canvas.row(place, &line);
        canvas.hits.push((place, Act::Go(leads)));
        x = x.saturating_add(wide + 2);
    }
}

//! Wallet: what can be sent, what can be received, what is held, and where every payment went.

use crate::engine::{Direction, LedgerRow, Snapshot};
use crate::market::Msat;
use crate::tui::msg::washed;
use crate::tui::palette::matching;
use crate::tui::part::gauge;
use crate::tui::part::list::Row;
use crate::tui::part::pane::{Line, Sheet};
use crate::tui::theme::Role;
use crate::tui::{Key, Model, Screen, Stage};

/// The n-th payment, counted from the oldest: a new one moves nothing.
pub(in crate::tui) fn at(model: &Model, n: usize) -> Option<&LedgerRow> {
    model.ledger.len().checked_sub(n + 1).and_then(|n| model.ledger.get(n))
}

pub(super) fn rows(model: &Model) -> Vec<Row> {
    let all = model.ledger.len();
    let rows: Vec<Row> = model
        .ledger
        .iter()
        .enumerate()
        .map(|(n, row)| {
            let (arrow, sign) = match row.direction {
                Direction::In => ("←", "+"),
                Direction::Out => ("→", "-"),
            };
            let (word, role) = state(row);
            let ago = row.at.until(model.at.now);
            let right = Line::of(format!("{word}  "), role)
                .and(format!("{sign}{}", row.amount), Role::Money);
            let text = format!("job {}  {ago} ago", row.log.short());
            Row { key: Key::Nth(all - 1 - n), mark: (arrow, role), text, role: Role::Text, right }
        })
        .collect();
    matching(model.line(Screen::Wallet), rows, |row| &row.text)
}

/// A state in a word that people use.
fn state(row: &LedgerRow) -> (&'static str, Role) {
    match row.state.as_str() {
        "intent" => ("about to be paid", Role::Muted),
        "inflight" => ("on its way", Role::Warn),
        "paid" => ("paid", Role::Good),
        "failed" => ("not paid", Role::Muted),
        "billed" => ("billed", Role::Muted),
        "claimable" => ("held", Role::Warn),
        "received" => ("received", Role::Good),
        "lost" => ("lost: it went back", Role::Bad),
        _ => ("unknown", Role::Warn),
    }
}

/// What there is, said honestly: the first lines are what can be used, the rest is why it is not more.
pub(super) fn balances(model: &Model, snapshot: &Snapshot, width: u16) -> Sheet {
    let mut sheet = Sheet::new(width);
    let Some(node) = &snapshot.node else {
        match &model.stage {
            Stage::Down(why) => sheet.words(why, Role::Bad),
            _ => sheet.words(
                "The node is starting. Money is safe; it is only not counted yet.",
                Role::Muted,
            ),
        }
        return sheet;
    };
    let b = &node.balances;
    let free = b.lightning_spendable.saturating_sub(snapshot.reserved);
    sheet.pair("can send", &free.to_string(), Role::Money);
    sheet.pair("can receive", &b.lightning_receivable.to_string(), Role::Money);
    if b.lightning_receivable == Msat::ZERO {
        match node.least_first {
            Some(least) => sheet.indented(
                "  ",
                &format!("The first payment opens a channel: {least} or more."),
                Role::Muted,
            ),
            None => sheet.indented("  ", "No channel, and no LSP to open one.", Role::Warn),
        }
    }
    let whole = b.lightning_spendable.get().saturating_add(b.lightning_receivable.get());
    if whole > 0 {
        let wide = sheet.width().min(30);
        sheet.line(gauge::bar(b.lightning_spendable.get(), whole, wide, Role::Money));
        sheet.words(
            "the full part is yours to send, the empty part is room to receive",
            Role::Muted,
        );
    }
    sheet.head("In channels");
    sheet.pair("yours in all", &b.lightning_total.to_string(), Role::Text);
    sheet.pair("promised", &format!("{} to workers", snapshot.reserved), Role::Text);
    let bound = b.lightning_total.saturating_sub(b.lightning_spendable);
    sheet.pair("kept back", &format!("{bound} as channel reserve and for closing"), Role::Muted);
    sheet.pair("held", &format!("{} waiting for a preimage", b.held_incoming), Role::Text);
    sheet.pair("coming back", &format!("{} from closed channels", b.closing), Role::Text);
    sheet.pair(
        "channels",
        &format!("{} usable of {}", node.channels_usable, node.channels),
        Role::Text,
    );
    sheet.head("On the chain");
    sheet.pair("can spend", &b.onchain_spendable.to_string(), Role::Money);
    sheet.pair("in all", &b.onchain_total.to_string(), Role::Text);
    if let Some(trouble) = &node.trouble {
        sheet.gap();
        sheet.indented("! ", &washed(trouble.as_str()), Role::Warn);
    }
    sheet
}

/// One payment.
pub(super) fn facts(model: &Model, n: usize, width: u16) -> Sheet {
    let mut sheet = Sheet::new(width);
    let Some(row) = at(model, n) else { return sheet };
    let (word, role) = state(row);
    sheet.pair("state", word, role);
    sheet.pair("amount", &row.amount.to_string(), Role::Money);
    let label = match row.direction {
        Direction::In => "LSP kept",
        Direction::Out => "routing fee",
    };
    sheet.pair(label, &row.fee.to_string(), Role::Money);
    sheet.pair("job", &row.log.short(), Role::Text);
    sheet.pair("part", &format!("{}", u64::from(row.tranche) + 1), Role::Text);
    sheet.pair("hash", &row.hash.to_string(), Role::Muted);
    sheet
}

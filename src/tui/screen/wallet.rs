//! Wallet: what can be sent, what can be received, what is held, and where every payment went.

mod hand;

use ratatui::layout::Rect;

use crate::engine::{ChannelInfo, Direction, LedgerRow, Movement, Severity, Snapshot};
use crate::engine::{WalletAnswer, WalletCommand};
use crate::market::{BidId, Msat};
use crate::tui::model::Purse;
use crate::tui::msg::washed;
use crate::tui::palette::matching;
use crate::tui::part::list::Row;
use crate::tui::part::pane::{Canvas, Line, Sheet};
use crate::tui::part::{gauge, list};
use crate::tui::theme::Role;
use crate::tui::{Do, Key, Model, Said, Screen, Stage};

pub(in crate::tui) use hand::{
    ask_coins, close, coins_came, may_ask_coins, open, pay, payable, receive, submit,
};

/// A name too long for a key, as a key.
fn key(id: &str) -> Key {
    Key::Line(blake3::hash(id.as_bytes()).into())
}

/// What can be sent over Lightning and is not promised to workers.
pub(super) fn free(snapshot: &Snapshot) -> Msat {
    let node = snapshot.node.as_ref();
    let has = node.map_or(Msat::ZERO, |node| node.balances.lightning_spendable);
    has.saturating_sub(snapshot.reserved)
}

/// What the wallet does not know yet: asked for again whenever the node or a job has changed.
pub(in crate::tui) fn needs(model: &mut Model, snapshot: &Snapshot) -> Vec<Do> {
    if model.screen != Screen::Wallet {
        return Vec::new();
    }
    let facts = snapshot.jobs.values().map(|job| job.facts).sum();
    let now = (facts, snapshot.node.clone());
    if model.purse.asked.as_ref() == Some(&now) {
        return Vec::new();
    }
    model.purse.asked = Some(now);
    vec![
        Do::Payments,
        Do::Wallet(0, Box::new(WalletCommand::History)),
        Do::Wallet(0, Box::new(WalletCommand::Channels)),
    ]
}

/// What the wallet says.
pub(in crate::tui) fn heard(model: &mut Model, id: u64, answer: Result<WalletAnswer, Said>) {
    let by_hand = model.asked.remove(&id).is_some();
    if by_hand {
        model.purse.asked = None;
    }
    match answer {
        Ok(WalletAnswer::History(rows)) => history(model, rows),
        Ok(WalletAnswer::Channels(channels)) => model.purse.channels = channels,
        Ok(answer) => hand::answered(model, answer),
        Err(said) if by_hand => {
            let next = said.next.as_ref().map(|next| format!(" {next}")).unwrap_or_default();
            model.say(Severity::Warn, format!("{}{next}", said.text));
        }
        Err(said) => model.purse.wrong = Some(said.text),
    }
}

/// Tells what came in since the last look.
fn history(model: &mut Model, rows: Vec<Movement>) {
    let came = |row: &&Movement| row.direction == Direction::In && row.state == "done";
    let old = |row: &&Movement| {
        model.purse.history.iter().any(|known| known.id == row.id && known.state == row.state)
    };
    let new: Vec<Msat> = match model.purse.known {
        true => rows.iter().filter(came).filter(|r| !old(r)).filter_map(|r| r.amount).collect(),
        false => Vec::new(),
    };
    model.purse.history = rows;
    model.purse.known = true;
    model.purse.wrong = None;
    for amount in new {
        model.say(Severity::Info, format!("{amount} came in."));
    }
}

/// Payments instead of channels, or back.
pub(in crate::tui) fn turn(model: &mut Model) {
    let Purse { channels_shown, .. } = &mut model.purse;
    *channels_shown = !*channels_shown;
    model.open = false;
    model.scroll = 0;
    model.selected.remove(&Screen::Wallet);
}

fn chosen(model: &Model, snapshot: &Snapshot) -> Option<Key> {
    (model.screen == Screen::Wallet).then(|| super::selected(model, snapshot)).flatten()
}

/// The selected channel, while channels are listed.
pub(in crate::tui) fn channel<'a>(
    model: &'a Model,
    snapshot: &Snapshot,
) -> Option<&'a ChannelInfo> {
    let at = chosen(model, snapshot).filter(|_| model.purse.channels_shown)?;
    model.purse.channels.iter().find(|channel| key(&channel.id) == at)
}

fn movement<'a>(model: &'a Model, snapshot: &Snapshot) -> Option<&'a Movement> {
    let at = chosen(model, snapshot).filter(|_| !model.purse.channels_shown)?;
    model.purse.history.iter().find(|row| key(&row.id) == at)
}

/// What a job's ledger says of a payment.
fn ledger<'a>(model: &'a Model, row: &Movement) -> Option<&'a LedgerRow> {
    model.ledger.iter().find(|ledger| ledger.hash.to_string() == row.id)
}

/// The job that the selected payment is for.
pub(super) fn job(model: &Model, snapshot: &Snapshot) -> Option<BidId> {
    ledger(model, movement(model, snapshot)?).map(|row| row.log)
}

/// What can be copied of the selected row.
pub(in crate::tui) fn id(model: &Model, snapshot: &Snapshot) -> Option<String> {
    let channel = channel(model, snapshot).map(|channel| channel.peer.to_string());
    channel.or_else(|| movement(model, snapshot).map(|row| row.id.clone()))
}

pub(super) fn rows(model: &Model) -> Vec<Row> {
    let rows = match model.purse.channels_shown {
        true => model.purse.channels.iter().map(channel_row).collect(),
        false => model.purse.history.iter().map(|row| movement_row(model, row)).collect(),
    };
    matching(model.line(Screen::Wallet), rows, |row: &Row| &row.text)
}

fn movement_row(model: &Model, row: &Movement) -> Row {
    let (arrow, sign) = match row.direction {
        Direction::In => ("←", "+"),
        Direction::Out => ("→", "-"),
    };
    let (word, role) = state(row);
    let amount = match row.amount {
        Some(amount) => format!("{sign}{amount}"),
        None => "any amount".to_owned(),
    };
    let (amount, money) = match row.state.as_str() {
        // What did not happen is not counted.
        "failed" => (amount, Role::Muted),
        _ => (amount, Role::Money),
    };
    let right = Line::of(format!("{word}  "), role).and(amount, money);
    let what = match ledger(model, row) {
        Some(ledger) => format!("job {}", ledger.log.short()),
        None => kind(row).to_owned(),
    };
    let text = format!("{what}, {}", gauge::ago(row.at, model.at.now));
    // On a narrow list the word gives way, so the glyph says the same.
    let glyph = match row.state.as_str() {
        "done" => arrow,
        "failed" => "✗",
        _ => "○",
    };
    Row { key: key(&row.id), mark: (glyph, role), text, role: Role::Text, right }
}

fn kind(row: &Movement) -> &'static str {
    match row.kind.as_str() {
        "onchain" => "on the chain",
        "jit" => "invoice, opens a channel",
        "bolt12" => "offer",
        "refund" => "refund",
        "keysend" => "sent unasked",
        _ => "invoice",
    }
}

/// A state in a word that people use.
fn state(row: &Movement) -> (&'static str, Role) {
    match (row.state.as_str(), row.direction) {
        ("done", Direction::In) => ("received", Role::Good),
        ("done", Direction::Out) => ("paid", Role::Good),
        ("failed", Direction::In) => ("not received", Role::Muted),
        ("failed", Direction::Out) => ("not paid", Role::Muted),
        (_, Direction::In) => ("waiting", Role::Muted),
        (_, Direction::Out) => ("on its way", Role::Warn),
    }
}

fn channel_row(channel: &ChannelInfo) -> Row {
    let (glyph, word, role) = match (channel.usable, channel.confirmations) {
        (true, _) => ("✓", "usable", Role::Good),
        (false, None | Some(0)) => ("○", "opening", Role::Accent),
        (false, _) => ("!", "not usable", Role::Warn),
    };
    let peer = channel.peer.to_string();
    let text = format!("with {}", &peer[..12.min(peer.len())]);
    let right = Line::of(format!("{word}  "), role).and(channel.size.to_string(), Role::Money);
    Row { key: key(&channel.id), mark: (glyph, role), text, role: Role::Text, right }
}

/// Why the list is empty, and the next key.
pub(super) fn draw_empty(canvas: &mut Canvas<'_>, model: &Model, area: Rect) {
    let (what, next) = match (&model.purse.wrong, model.purse.channels_shown) {
        (Some(wrong), _) => (wrong.as_str(), "6 shows how the node is doing"),
        (None, true) => (
            "No channel yet.",
            "The first payment to you opens one: r makes an invoice, 1 finds paid work. n opens one with coins",
        ),
        (None, false) if !model.purse.known => ("Asking the node.", ""),
        (None, false) => (
            "No payment yet.",
            "1 browses gigs: paid work needs no bitcoin to begin with. r receives over Lightning, a on the chain",
        ),
    };
    list::empty(canvas, area, what, next);
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
    sheet.pair("can send", &free(snapshot).to_string(), Role::Money);
    if snapshot.reserved > Msat::ZERO {
        sheet.pair("promised", &format!("{} more, to workers", snapshot.reserved), Role::Text);
    }
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
    let bound = b.lightning_total.saturating_sub(b.lightning_spendable);
    let why = match node.channels_usable < node.channels {
        true => "in channels that are not usable now, and as reserve",
        false => "as channel reserve and for closing",
    };
    if bound > Msat::ZERO {
        sheet.pair("kept back", &format!("{bound} {why}"), Role::Muted);
    }
    if b.held_incoming > Msat::ZERO {
        sheet.pair("held", &format!("{} for you, not claimed yet", b.held_incoming), Role::Warn);
    }
    if b.closing > Msat::ZERO {
        sheet.pair("coming back", &format!("{} from closed channels", b.closing), Role::Text);
    }
    sheet.pair(
        "channels",
        &format!("{} usable of {}", node.channels_usable, node.channels),
        Role::Text,
    );
    sheet.head("On the chain");
    sheet.pair("can spend", &b.onchain_spendable.to_string(), Role::Money);
    let pending = b.onchain_total.saturating_sub(b.onchain_spendable);
    if pending > Msat::ZERO {
        let why = "not in a block yet, or kept to close channels with";
        sheet.pair("not yet", &format!("{pending}: {why}"), Role::Muted);
    }
    if model.faucet {
        let next = "c gets play coins from the faucet; n opens a channel with them, to pay from";
        sheet.indented("  ", next, Role::Muted);
    }
    if let Some(trouble) = &node.trouble {
        sheet.gap();
        sheet.indented("! ", &washed(trouble.as_str()), Role::Warn);
    }
    sheet
}

/// The selected payment or channel.
pub(super) fn facts(model: &Model, snapshot: &Snapshot, width: u16) -> Sheet {
    let mut sheet = Sheet::new(width);
    if let Some(channel) = channel(model, snapshot) {
        let (_, role) = channel_row(channel).mark;
        let usable = match (channel.usable, channel.confirmations) {
            (true, _) => "yes".to_owned(),
            (false, None) => "not yet: its funding is not in a block".to_owned(),
            (false, Some(n)) => format!("no: {n} confirmations, or the other side is away"),
        };
        sheet.pair("usable", &usable, role);
        sheet.pair("size", &channel.size.to_string(), Role::Money);
        sheet.pair("can send", &channel.sendable.to_string(), Role::Money);
        sheet.pair("can receive", &channel.receivable.to_string(), Role::Money);
        sheet.pair("kept back", &format!("{} while it is open", channel.reserve), Role::Text);
        sheet.pair("opened by", if channel.ours { "you" } else { "the other side" }, Role::Text);
        sheet.pair("with", &channel.peer.to_string(), Role::Muted);
        return sheet;
    }
    let Some(row) = movement(model, snapshot) else { return sheet };
    let (word, role) = state(row);
    sheet.pair("state", word, role);
    if let Some(amount) = row.amount {
        sheet.pair("amount", &amount.to_string(), Role::Money);
    }
    let label = match row.direction {
        Direction::In => "LSP kept",
        Direction::Out => "fee",
    };
    sheet.pair(label, &row.fee.to_string(), Role::Money);
    sheet.pair("by", kind(row), Role::Text);
    if let Some(ledger) = ledger(model, row) {
        sheet.pair("job", &ledger.log.short(), Role::Text);
        sheet.pair("part", &format!("{}", u64::from(ledger.tranche) + 1), Role::Text);
    }
    sheet.pair("when", &gauge::ago(row.at, model.at.now), Role::Text);
    sheet.pair("id", &washed(row.id.as_str()), Role::Muted);
    sheet
}

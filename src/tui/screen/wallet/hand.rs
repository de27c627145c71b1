//! Paying and receiving by hand: the forms, and the question before money moves.

use crate::engine::Severity;
use crate::engine::{HandPayment, Snapshot, WalletAnswer, WalletCommand};
use crate::market::Msat;
use crate::tui::model::Pending;
use crate::tui::msg::washed;
use crate::tui::part::code::Code;
use crate::tui::part::confirm::Confirm;
use crate::tui::part::form::{Form, Purpose};
use crate::tui::theme::Role;
use crate::tui::{Do, Layer, Model, Said, Then};

/// The form for an invoice of ours.
pub(in crate::tui) fn receive(snapshot: &Snapshot) -> Form {
    let node = snapshot.node.as_ref();
    let room = node.map_or(Msat::ZERO, |node| node.balances.lightning_receivable);
    let form = Form::new(Purpose::Receive, "Receive over Lightning", "Make the invoice");
    let form = match node.and_then(|node| node.least_first) {
        _ if room > Msat::ZERO => form.intro(
            format!("Your channels can receive {room}. More opens another one, for a fee."),
            Role::Muted,
        ),
        Some(least) => form.intro(
            format!(
                "You have no channel that can receive. A payment of {least} or more opens one; \
                 your LSP keeps its fee of it."
            ),
            Role::Warn,
        ),
        None => form.intro(
            "Nothing can be received yet: there is no channel and no LSP to open one.",
            Role::Bad,
        ),
    };
    form.field("amount", "in sats; empty leaves it to the payer", "").field(
        "for what",
        "the payer reads it; may be empty",
        "",
    )
}

/// The form for a payment by hand.
pub(in crate::tui) fn pay(snapshot: &Snapshot) -> Form {
    let free = super::free(snapshot);
    Form::new(Purpose::Pay, "Pay somebody", "Go on")
        .intro(format!("You can send {free} over Lightning. Nothing is paid yet."), Role::Muted)
        .field("to", "paste a Lightning invoice, an offer, or a bitcoin address", "")
        .field("amount", "in sats; empty where the invoice says it", "")
}

/// The form for a channel. Whoever has an LSP begins with it: somebody there can pay on.
pub(in crate::tui) fn open(model: &Model, snapshot: &Snapshot) -> Form {
    let coins = snapshot.node.as_ref().map_or(Msat::ZERO, |n| n.balances.onchain_spendable);
    let form = Form::new(Purpose::OpenChannel, "Open a channel", "Go on").intro(
        format!("You have {coins} on the chain. What you put in can be sent over Lightning."),
        Role::Muted,
    );
    let form = match &model.lsp {
        Some(_) => form.intro("It is with your LSP, unless you name another node.", Role::Muted),
        None => form,
    };
    form.field("with", "id@host:port", model.lsp.clone().unwrap_or_default())
        .field("size", "in sats", "100000")
}

/// Whether there are coins to be had for nothing.
pub(in crate::tui) fn may_ask_coins(model: &Model) -> Result<(), String> {
    match model.faucet {
        true => Ok(()),
        false => Err("There is no faucet here: play coins are for `earnest sandbox`.".into()),
    }
}

/// Asks the faucet.
pub(in crate::tui) fn ask_coins(model: &mut Model) -> Do {
    let id = model.fresh();
    model.say(Severity::Info, "The faucet is asked for play coins.");
    model.asked.insert(id, Pending { done: String::new(), posts: false });
    Do::Coins(id)
}

/// What the faucet said.
pub(in crate::tui) fn coins_came(model: &mut Model, id: u64, answer: Result<Msat, Said>) {
    model.asked.remove(&id);
    match answer {
        Ok(sum) => model.say(
            Severity::Info,
            format!("{sum} are on the chain: yours in a moment, when the node sees the block."),
        ),
        Err(said) => model.say(Severity::Warn, said.text.to_string()),
    }
}

/// What a form leads to: a command at once where nothing moves, else a question.
pub(in crate::tui) fn submit(
    model: &mut Model,
    snapshot: &Snapshot,
    form: &Form,
) -> Result<Option<(WalletCommand, String)>, String> {
    let sum = |text: String| -> Result<Option<Msat>, String> {
        match text.is_empty() {
            true => Ok(None),
            false => text.parse().map(Some).map_err(|why| format!("The amount: {why}.")),
        }
    };
    match form.purpose {
        Purpose::Receive => {
            let amount = sum(form.value(0))?;
            let command = WalletCommand::Receive { amount, description: form.value(1) };
            Ok(Some((command, String::new())))
        }
        Purpose::Pay => {
            let target = Target::read(&form.value(0))?;
            ask_pay(model, snapshot, target, sum(form.value(1))?).map(|()| None)
        }
        _ => {
            let peer = form.value(0);
            if !peer.contains('@') {
                return Err("With whom? Write it as id@host:port.".into());
            }
            let size = sum(form.value(1))?.ok_or("How large? Write its size in sats.")?;
            ask_open(model, snapshot, peer, size);
            Ok(None)
        }
    }
}

/// Whether a text that was pasted on a screen is something to pay.
pub(in crate::tui) fn payable(text: &str) -> bool {
    Target::read(text.trim()).is_ok()
}

/// What is paid, as far as its form tells without reading what only the node can read.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    /// As the node takes it.
    to: String,
    /// What it is called.
    what: &'static str,
    /// What it asks for, where that can be seen.
    named: Option<Msat>,
    /// On the chain, where the fee is the chain's.
    onchain: bool,
}

impl Target {
    fn read(text: &str) -> Result<Self, String> {
        let plain = text.to_ascii_lowercase();
        let bare = plain.strip_prefix("lightning:").unwrap_or(&plain);
        let made = |to: String, what, named, onchain| Ok(Self { to, what, named, onchain });
        if bare.starts_with("lno1") {
            return made(text.to_owned(), "a BOLT 12 offer", None, false);
        }
        if bare.starts_with("ln") {
            return made(text.to_owned(), "a Lightning invoice", invoiced(bare), false);
        }
        if let Some(uri) = plain.strip_prefix("bitcoin:") {
            let query = uri.split_once('?').map_or("", |(_, query)| query);
            let value = |name: &str| {
                query.split('&').filter_map(|pair| pair.split_once('=')).find(|(n, _)| *n == name)
            };
            if let Some((_, invoice)) = value("lightning") {
                return made(text.to_owned(), "a Lightning invoice", invoiced(invoice), false);
            }
            if value("lno").is_some() {
                return made(text.to_owned(), "a BOLT 12 offer", None, false);
            }
            let named = value("amount").and_then(|(_, btc)| coins(btc));
            return made(text.to_owned(), "an address on the chain", named, true);
        }
        let address = plain.starts_with("bc1")
            || plain.starts_with("tb1")
            || plain.starts_with("bcrt1")
            || (text.len() >= 26
                && text.len() <= 35
                && text.bytes().all(|b| b.is_ascii_alphanumeric()));
        if address {
            return made(format!("bitcoin:{text}"), "an address on the chain", None, true);
        }
        Err("That is no invoice, offer or address. Nothing was paid.".into())
    }
}

/// The amount in the first part of a BOLT 11 invoice: `lnbc210u1...` asks for 210 millionths of a bitcoin.
fn invoiced(invoice: &str) -> Option<Msat> {
    let first = &invoice[..invoice.rfind('1')?];
    let digits = first.find(|c: char| c.is_ascii_digit())?;
    let amount = &first[digits..];
    let (number, scale) = match amount.chars().last()? {
        'm' => (&amount[..amount.len() - 1], 100_000_000),
        'u' => (&amount[..amount.len() - 1], 100_000),
        'n' => (&amount[..amount.len() - 1], 100),
        'p' => (&amount[..amount.len() - 1], 0),
        _ => (amount, 100_000_000_000),
    };
    let number: u64 = number.parse().ok()?;
    match scale {
        // Ten of the smallest unit are a millisatoshi.
        0 if number.is_multiple_of(10) => Msat::new(number / 10),
        0 => None,
        scale => number.checked_mul(scale).and_then(Msat::new),
    }
}

/// An amount in bitcoin, as BIP 21 writes it.
fn coins(btc: &str) -> Option<Msat> {
    let (whole, part) = btc.split_once('.').unwrap_or((btc, ""));
    if part.len() > 8 || !part.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    let part: u64 = format!("{part:0<8}").parse().ok()?;
    Msat::sats(whole.checked_mul(100_000_000)?.checked_add(part)?)
}

/// The first and the last of something long.
fn ends(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    match letters.len() {
        0..=40 => text.to_owned(),
        n => {
            let (head, tail) = (&letters[..18], &letters[n - 12..]);
            format!("{}…{}", head.iter().collect::<String>(), tail.iter().collect::<String>())
        }
    }
}

fn ask_pay(
    model: &mut Model,
    snapshot: &Snapshot,
    target: Target,
    typed: Option<Msat>,
) -> Result<(), String> {
    if let (Some(typed), Some(named)) = (typed, target.named)
        && typed != named
    {
        return Err(format!("It asks for {named}, and you wrote {typed}. Leave the amount empty."));
    }
    let amount = target.named.or(typed).ok_or("It names no amount: write how much.")?;
    let max_fee = if target.onchain { Msat::ZERO } else { model.settings.fee_cap(amount) };
    let mut confirm = Confirm::new("Pay this?", "pay", washed(target.what), model.at.ms)
        .amount("you pay", amount, model.settings.type_above)
        .row("to", washed(ends(&target.to)).as_str().to_owned());
    let has = if target.onchain {
        confirm = confirm.row("fee", "the chain's, on top");
        snapshot.node.as_ref().map_or(Msat::ZERO, |node| node.balances.onchain_spendable)
    } else {
        let all = amount.checked_add(max_fee).unwrap_or(Msat::MAX);
        confirm = confirm
            .row("routing fee", format!("at most {max_fee}"))
            .row("all in all", format!("at most {all}"));
        super::free(snapshot)
    };
    if has < amount {
        let missing = amount.saturating_sub(has);
        confirm = confirm.risk(format!(
            "You can send {has} that are not promised to workers: {missing} are missing."
        ));
    }
    let confirm = confirm
        .risk("Nobody holds it for you: this is no job, and whoever has it keeps it.")
        .last("A payment cannot be undone.");
    // The amount goes along, so that the node refuses if what it reads says another one.
    let command = WalletCommand::Pay { to: target.to, amount: Some(amount), max_fee };
    let then = Then::Wallet(Box::new(command), format!("Paying {amount}."));
    model.layers.push(Layer::Confirm(Box::new(confirm), Box::new(then)));
    Ok(())
}

fn ask_open(model: &mut Model, snapshot: &Snapshot, peer: String, size: Msat) {
    let coins = snapshot.node.as_ref().map_or(Msat::ZERO, |n| n.balances.onchain_spendable);
    let mut confirm = Confirm::new("Open this channel?", "open", washed("a channel"), model.at.ms)
        .amount("you put in", size, model.settings.type_above)
        .row("with", washed(ends(&peer)).as_str().to_owned())
        .row("fee", "the chain's, on top")
        .row("usable", "after some blocks");
    if coins < size {
        confirm = confirm.risk(format!("You have {coins} on the chain: that is not enough."));
    }
    let confirm = confirm
        .risk("It stays yours; about 1 % of it is kept back while the channel is open.")
        .last("Closing it again costs another fee of the chain.");
    let command = WalletCommand::OpenChannel { peer, sats: size.whole_sats() };
    let then = Then::Wallet(Box::new(command), "Opening the channel.".into());
    model.layers.push(Layer::Confirm(Box::new(confirm), Box::new(then)));
}

/// The question before the selected channel is closed.
pub(in crate::tui) fn close(model: &mut Model, snapshot: &Snapshot, force: bool) {
    let Some(channel) = super::channel(model, snapshot) else { return };
    let mut confirm =
        Confirm::new("Close this channel?", "close", washed("a channel"), model.at.ms)
            .row("with", ends(&channel.peer.to_string()))
            .row("comes back", format!("about {}, on the chain", channel.sendable))
            .row("fee", "the chain's, out of it");
    confirm = match force {
        true => confirm.risk("Without the other side: your money is locked for some days first."),
        false => confirm.risk("With the other side, which must be there. Without it: f forces it."),
    };
    let confirm =
        confirm.last("A closed channel is not opened again. What it could receive is gone.");
    let command = WalletCommand::CloseChannel { id: channel.id.clone(), force };
    let then = Then::Wallet(Box::new(command), "Closing the channel.".into());
    model.layers.push(Layer::Confirm(Box::new(confirm), Box::new(then)));
}

/// What the wallet said to something done by hand.
pub(in crate::tui) fn answered(model: &mut Model, answer: WalletAnswer) {
    let (severity, said) = match answer {
        WalletAnswer::Invoice { invoice, lsp_fee } => {
            let mut lines = vec!["Whoever pays this pays you. It holds for an hour.".to_owned()];
            if lsp_fee > Msat::ZERO {
                lines.push(format!("It opens a channel: your LSP keeps at most {lsp_fee} of it."));
                lines.push("Keep earnest running until it is paid.".to_owned());
            }
            let code = Code::new("Receive over Lightning", "lightning", invoice, lines);
            return model.layers.insert(0, Layer::Code(Box::new(code)));
        }
        WalletAnswer::Address(address) => {
            let lines = vec![
                "An address of yours on the chain, for one payment.".to_owned(),
                "Coins count once they are in a block.".to_owned(),
            ];
            let code = Code::new("Receive on the chain", "bitcoin", address, lines);
            return model.layers.insert(0, Layer::Code(Box::new(code)));
        }
        WalletAnswer::Sent { txid } => (
            Severity::Info,
            format!("Sent on the chain, in transaction {}. It counts once it is in a block.", ends(&txid)),
        ),
        WalletAnswer::Payment(HandPayment::Paid { fee }) => {
            (Severity::Info, format!("Paid. Routing cost {fee}."))
        }
        WalletAnswer::Payment(HandPayment::InFlight) => (
            Severity::Act,
            "The payment is on its way and ends paid or back with you. The list shows which: do not \
             pay it in another way."
                .to_owned(),
        ),
        WalletAnswer::Payment(HandPayment::Failed { reason }) => (Severity::Warn, reason),
        WalletAnswer::Opened { .. } => {
            (Severity::Info, "The channel is being opened: it counts after some blocks.".to_owned())
        }
        WalletAnswer::Closing => (
            Severity::Info,
            "The channel is being closed: its money comes back on the chain.".to_owned(),
        ),
        WalletAnswer::Balance(_)
        | WalletAnswer::Channels(_)
        | WalletAnswer::History(_)
        | WalletAnswer::Quote(_) => return,
    };
    model.say(severity, said);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_amount_of_an_invoice_is_read() {
        for (invoice, msat) in [
            ("lnbc2500u1pvjluez", Some(250_000_000)),
            ("lnbcrt210u1abc", Some(21_000_000)),
            ("lntb20m1pvjluez", Some(2_000_000_000)),
            ("lnbc1pvjluez", None),
            ("lnbc10n1abc", Some(1_000)),
            ("lnbc9678785340p1pwmna7l", Some(967_878_534)),
            ("lnbc15p1abc", None),
            ("lnbc99999999999999999999u1abc", None),
            ("ln", None),
        ] {
            assert_eq!(invoiced(invoice).map(Msat::get), msat, "{invoice}");
        }
    }

    #[test]
    fn what_people_paste_is_told_apart() {
        for (text, what, named, onchain) in [
            ("LIGHTNING:LNBCRT210U1ABC", "a Lightning invoice", Some(21_000), false),
            ("lno1abc", "a BOLT 12 offer", None, false),
            ("bitcoin:bcrt1qx?amount=0.0021", "an address on the chain", Some(210_000), true),
            ("bitcoin:x?amount=1&lightning=lnbcrt10u1y", "a Lightning invoice", Some(1_000), false),
            ("bcrt1qx", "an address on the chain", None, true),
        ] {
            let read = Target::read(text).unwrap();
            assert_eq!((read.what, read.onchain), (what, onchain), "{text}");
            assert_eq!(read.named.map(Msat::whole_sats), named, "{text}");
        }
        assert!(Target::read("hello").is_err() && Target::read("").is_err());
    }
}

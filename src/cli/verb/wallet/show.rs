//! Looking: balance, channels, history.

use serde::Serialize;

use super::{ask, astray, settled};
use crate::cli::{Column, Exit, Failure, Out};
use crate::engine::{
    ChannelInfo, Direction, Handle, Movement, NodeStatus, WalletAnswer, WalletCommand,
};
use crate::market::{Msat, Time};
use crate::text::Align;

#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Balance<'a> {
    #[serde(flatten)]
    node: &'a NodeStatus,
    promised: Msat,
}

pub(super) async fn balance(handle: &Handle, out: &mut Out) -> Result<Exit, Failure> {
    settled(handle, |node| node.running && super::can_send(node)).await;
    let WalletAnswer::Balance(node) = ask(handle, WalletCommand::Balance).await? else {
        return Err(astray());
    };
    let promised = handle.watch().borrow().reserved;
    out.record(&Balance { node: &node, promised })?;
    let has = &node.balances;
    let rows = [
        ("can send", has.lightning_spendable, "over Lightning, now"),
        ("can receive", has.lightning_receivable, "over Lightning, now"),
        ("in channels", has.lightning_total, "our side, reserve included"),
        ("on chain", has.onchain_spendable, "confirmed, can be spent"),
        (
            "not yet",
            has.onchain_total.saturating_sub(has.onchain_spendable),
            "unconfirmed, or kept to close channels with",
        ),
        ("coming home", has.closing, "of closed channels"),
        ("held", has.held_incoming, "waits for a key: not ours yet"),
        ("promised", promised, "to workers whose jobs you awarded"),
    ];
    for (name, amount, what) in rows {
        // Some are worth a line only when there is something.
        let always = matches!(name, "can send" | "can receive" | "in channels" | "on chain");
        if always || amount > Msat::ZERO {
            out.line(&format!("{name:<12} {:>20}  {what}", amount.to_string()))?;
        }
    }
    if let Some(trouble) = &node.trouble {
        out.say(trouble)?;
    }
    if has.lightning_receivable == Msat::ZERO
        && let Some(least) = node.least_first
    {
        out.say(&format!("The first payment must be {least} or more: it opens a channel."))?;
    }
    Ok(Exit::Done)
}

const CHANNELS: [Column; 6] = [
    Column { name: "channel", align: Align::Left },
    Column { name: "peer", align: Align::Left },
    Column { name: "size", align: Align::Right },
    Column { name: "can send", align: Align::Right },
    Column { name: "can receive", align: Align::Right },
    Column { name: "state", align: Align::Left },
];

pub(super) async fn channels(handle: &Handle, out: &mut Out) -> Result<Exit, Failure> {
    settled(handle, super::can_send).await;
    let channels = list(handle).await?;
    for channel in &channels {
        out.record(channel)?;
    }
    let row = |channel: &ChannelInfo| {
        vec![
            channel.id.chars().take(8).collect(),
            channel.peer.short(),
            channel.size.to_string(),
            channel.sendable.to_string(),
            channel.receivable.to_string(),
            state(channel).to_owned(),
        ]
    };
    let rows: Vec<Vec<String>> = channels.iter().map(row).collect();
    out.table(&CHANNELS, &rows, "No channel. The first payment that comes in opens one.")?;
    Ok(Exit::Done)
}

fn state(channel: &ChannelInfo) -> &'static str {
    match (channel.usable, channel.confirmations) {
        (true, _) => "open",
        (false, Some(n)) if n > 0 => "asleep: opening, closing, or its peer is away",
        (false, _) => "waits for its first block",
    }
}

pub(super) async fn list(handle: &Handle) -> Result<Vec<ChannelInfo>, Failure> {
    match ask(handle, WalletCommand::Channels).await? {
        WalletAnswer::Channels(channels) => Ok(channels),
        _ => Err(astray()),
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct History {
    /// At most so many
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
}

const HISTORY: [Column; 6] = [
    Column { name: "ago", align: Align::Right },
    Column { name: "amount", align: Align::Right },
    Column { name: "fee", align: Align::Right },
    Column { name: "over", align: Align::Left },
    Column { name: "state", align: Align::Left },
    Column { name: "id", align: Align::Left },
];

impl History {
    pub(super) async fn run(&self, handle: &Handle, out: &mut Out) -> Result<Exit, Failure> {
        let WalletAnswer::History(mut all) = ask(handle, WalletCommand::History).await? else {
            return Err(astray());
        };
        all.truncate(usize::from(self.limit));
        for movement in &all {
            out.record(movement)?;
        }
        let now = crate::app::now();
        let rows: Vec<Vec<String>> = all.iter().map(|movement| row(movement, now)).collect();
        out.table(&HISTORY, &rows, "Nothing came in and nothing went out.")?;
        Ok(Exit::Done)
    }
}

fn row(movement: &Movement, now: Time) -> Vec<String> {
    let sign = match movement.direction {
        Direction::In => "+",
        Direction::Out => "-",
    };
    let amount = movement.amount.map_or_else(|| "open".to_owned(), |a| format!("{sign}{a}"));
    vec![
        movement.at.until(now).to_string(),
        amount,
        movement.fee.to_string(),
        movement.kind.clone(),
        movement.state.clone(),
        movement.id.chars().take(12).collect(),
    ]
}

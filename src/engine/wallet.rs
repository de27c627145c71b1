//! The wallet: what a person does with the node by hand, outside of any job.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::engine::{Direction, NodeStatus, Trouble};
use crate::market::{Msat, NodeId, Time};
use crate::text::Clean;

/// What a person asks of the wallet.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WalletCommand {
    /// What there is.
    Balance,
    /// A fresh address on the chain.
    NewAddress,
    /// Send coins on the chain.
    SendOnchain {
        /// To whom; must be an address of this network.
        address: String,
        /// How many satoshis; the chain's fee comes on top.
        sats: u64,
    },
    /// Make an invoice that is claimed by itself when it is paid.
    Receive {
        /// How much; the payer decides when absent.
        amount: Option<Msat>,
        /// What the payer reads.
        description: String,
    },
    /// Read what would be paid. Nothing is sent.
    Quote {
        /// As in [`WalletCommand::Pay`].
        to: String,
        /// How much, where `to` leaves it open.
        amount: Option<Msat>,
        /// The most to pay in routing fees; [`usual_max_fee`] when absent.
        max_fee: Option<Msat>,
    },
    /// Pay over Lightning, or on the chain what names an address only.
    Pay {
        /// A BOLT 11 invoice, a BOLT 12 offer, an address, or a BIP 21 URI with some of them.
        to: String,
        /// How much, where `to` leaves it open.
        amount: Option<Msat>,
        /// The most to pay in routing fees.
        max_fee: Msat,
    },
    /// Every channel.
    Channels,
    /// Open a channel.
    OpenChannel {
        /// `id@host:port`.
        peer: String,
        /// Its size in satoshis.
        sats: u64,
    },
    /// Close a channel.
    CloseChannel {
        /// [`ChannelInfo::id`].
        id: String,
        /// Without the peer's consent: our side is locked for some days.
        force: bool,
    },
    /// What went in and out, the newest first.
    History,
}

impl WalletCommand {
    /// Whether it moves no money and promises none.
    pub fn only_looks(&self) -> bool {
        matches!(self, Self::Balance | Self::Quote { .. } | Self::Channels | Self::History)
    }

    /// As a person would type it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Balance => "balance",
            Self::NewAddress => "address",
            Self::SendOnchain { .. } => "send",
            Self::Receive { .. } => "receive",
            Self::Quote { .. } => "quote",
            Self::Pay { .. } => "pay",
            Self::Channels => "channels",
            Self::OpenChannel { .. } => "open",
            Self::CloseChannel { .. } => "close",
            Self::History => "history",
        }
    }
}

impl std::fmt::Debug for WalletCommand {
    /// Only what is asked: an invoice or an address has no place in a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WalletCommand({}, ..)", self.word())
    }
}

/// What the wallet says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WalletAnswer {
    /// What there is.
    Balance(NodeStatus),
    /// A fresh address.
    Address(String),
    /// Coins were sent on the chain.
    Sent {
        /// The transaction.
        txid: String,
    },
    /// An invoice to hand to a payer.
    Invoice {
        /// BOLT 11.
        invoice: String,
        /// The most an LSP keeps of it for opening a channel.
        lsp_fee: Msat,
    },
    /// What would be paid.
    Quote(PayQuote),
    /// How a payment over Lightning stands.
    Payment(HandPayment),
    /// Every channel.
    Channels(Vec<ChannelInfo>),
    /// A channel is being opened.
    Opened {
        /// [`ChannelInfo::id`].
        id: String,
    },
    /// A channel is being closed.
    Closing,
    /// What went in and out, the newest first.
    History(Vec<Movement>),
}

/// Over what a payment by hand goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PayKind {
    /// A Lightning invoice (BOLT 11): paid once, however often it is asked for.
    Bolt11,
    /// An offer (BOLT 12): paid each time it is asked for.
    Bolt12,
    /// Coins on the chain: sent each time it is asked for.
    Onchain,
}

/// What would be paid, to whom and for what, before it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayQuote {
    /// Over what.
    pub kind: PayKind,
    /// The node that is paid, the key that an offer is signed with, or the address. An offer may name
    /// nobody.
    pub payee: Option<String>,
    /// How much, fees excluded.
    pub amount: Msat,
    /// The most that routing may cost; nothing on the chain, where the fee is the network's.
    pub max_fee: Msat,
    /// What the payee says it is for.
    pub description: Option<Clean>,
    /// After this it cannot be paid any more.
    pub expires_at: Option<Time>,
    /// How an earlier payment of the same invoice stands: if there is one, another is not made.
    pub earlier: Option<HandPayment>,
}

/// The most that routing may cost where nobody says otherwise: one percent, and ten satoshis at least.
pub fn usual_max_fee(amount: Msat) -> Msat {
    amount.ppm(10_000).max(Msat::sats(10).unwrap_or_default())
}

/// How a payment made by hand stands. The preimage is not shown: it stays with the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HandPayment {
    /// It is paid.
    Paid {
        /// What routing cost.
        fee: Msat,
    },
    /// It is on its way and ends paid or back: see the history. It is never sent twice.
    InFlight,
    /// It is not paid, and nothing is in flight.
    Failed {
        /// Why.
        reason: String,
    },
}

/// A channel, as a person needs to see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ChannelInfo {
    /// Names it to [`WalletCommand::CloseChannel`].
    pub id: String,
    /// The other side.
    pub peer: NodeId,
    /// Its size.
    pub size: Msat,
    /// What can be sent over it now.
    pub sendable: Msat,
    /// What can be received over it now.
    pub receivable: Msat,
    /// Of our side, what cannot be spent while it is open (BOLT 2, `channel_reserve_satoshis`).
    pub reserve: Msat,
    /// Whether we opened it, and pay for its commitment transaction.
    pub ours: bool,
    /// Whether payments can pass now: open at both ends and the peer is there.
    pub usable: bool,
    /// Confirmations of its funding; `None` while it has none that we know of.
    pub confirmations: Option<u32>,
}

/// One line of the wallet's history: payments of jobs and payments by hand alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Movement {
    /// The payment hash, the transaction's id, or the node's own name for it.
    pub id: String,
    /// When it last changed.
    pub at: Time,
    /// Which way.
    pub direction: Direction,
    /// `onchain`, `bolt11`, `jit`, `bolt12`, `refund`, `keysend`.
    pub kind: String,
    /// What arrived, or what left without the fee, once that is known.
    pub amount: Option<Msat>,
    /// Of what left: the routing or chain fee on top. Of what arrived: what the LSP kept before.
    pub fee: Msat,
    /// `pending`, `done`, `failed`.
    pub state: String,
}

/// The wallet of the node. A question may be repeated; what moves money is written down before it is
/// done, and a payment of one invoice happens once however often it is asked for.
#[async_trait]
pub trait Wallet: Send + Sync {
    /// Does what is asked. A payment over Lightning is waited for, a bounded time. `promised` is what
    /// awarded workers have not been paid yet ([`Snapshot::reserved`](crate::engine::Snapshot::reserved)):
    /// what would leave less than that to pay them with is refused, code `promised`.
    async fn wallet(
        &self,
        command: &WalletCommand,
        promised: Msat,
    ) -> Result<WalletAnswer, Trouble>;
}

//! The wallet: what a person does with the node by hand, outside of any job.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::engine::{Direction, Fault, NodeStatus};
use crate::market::{Msat, NodeId, Time};

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
    /// Pay over Lightning, or what a `bitcoin:` URI names.
    Pay {
        /// A BOLT 11 invoice, a BOLT 12 offer, or a BIP 21 URI with one of them or an address.
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
    /// As a person would type it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Balance => "balance",
            Self::NewAddress => "address",
            Self::SendOnchain { .. } => "send",
            Self::Receive { .. } => "receive",
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

/// How a payment made by hand stands. The preimage is not shown: it stays with the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Movement {
    /// The payment hash, the transaction's id, or the node's own name for it.
    pub id: String,
    /// When it last changed.
    pub at: Time,
    /// Which way.
    pub direction: Direction,
    /// `onchain`, `bolt11`, `jit`, `bolt12`, `refund`, `keysend`.
    pub kind: String,
    /// How much, once that is known.
    pub amount: Option<Msat>,
    /// Routing or chain fee, or what the LSP kept.
    pub fee: Msat,
    /// `pending`, `done`, `failed`.
    pub state: String,
}

/// The wallet of the node. A question may be repeated; what moves money is written down before it is
/// done, and a payment of one invoice happens once however often it is asked for.
#[async_trait]
pub trait Wallet: Send + Sync {
    /// Does what is asked. A payment over Lightning is waited for, a bounded time.
    async fn wallet(&self, command: &WalletCommand) -> Result<WalletAnswer, Fault>;
}

//! Orders: what effects ask of the node and of the transfer endpoint, and what those answer.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::market::{Address, Digest, EndpointId, Msat, PaymentHash, Preimage};

/// An invoice to make, for a hash of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BillOrder {
    /// SHA-256 of a preimage that is on disk.
    pub hash: PaymentHash,
    /// What the payer pays.
    pub amount: Msat,
    /// SHA-256 that binds the invoice to what it pays for.
    pub description_hash: Digest,
    /// Seconds until it expires.
    pub expiry_secs: u32,
    /// Whether a former invoice for this hash expired at least three hours ago without an HTLC: only
    /// then may it be billed again (PROTOCOL.md 4).
    pub again: bool,
    /// Blocks the held HTLC must last beyond LDK's own margin; `None` for an invoice that is claimed at
    /// once.
    pub hold_blocks: Option<u32>,
}

/// An invoice that was made.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Billed {
    /// BOLT 11.
    pub invoice: String,
    /// What the LSP keeps for opening a channel; zero when existing inbound liquidity is used.
    pub lsp_fee: Msat,
}

impl fmt::Debug for Billed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Billed({} bytes, LSP fee {})", self.invoice.len(), self.lsp_fee)
    }
}

/// An invoice to pay. The market has checked it; the adapter checks again that it parses to this.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayOrder {
    /// BOLT 11.
    pub invoice: String,
    /// The hash in it, the ledger's natural key.
    pub hash: PaymentHash,
    /// The amount in it.
    pub amount: Msat,
    /// The most to pay in routing fees.
    pub max_fee: Msat,
    /// Sent only while the node's tip is in here, both included: an escrow counts from it. A payment
    /// that is on its way already is not stopped by it.
    #[serde(default)]
    pub tips: Option<(u32, u32)>,
}

impl fmt::Debug for PayOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PayOrder({}, {}, fee <= {})", self.hash, self.amount, self.max_fee)
    }
}

/// What the node knows of a payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PaymentState {
    /// The node has never heard of it.
    Unknown,
    /// In flight: may still succeed or fail.
    InFlight,
    /// Done.
    Paid {
        /// The proof.
        preimage: Preimage,
        /// Routing fees.
        fee: Msat,
    },
    /// Not done, and no HTLC is left: may be tried again.
    Failed {
        /// Why.
        reason: String,
    },
}

/// What the node says by itself. It repeats the same one until `Lightning::handled`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeEvent {
    /// A payment to us is held and waits for our preimage.
    Claimable {
        /// Which.
        hash: PaymentHash,
        /// What arrived, after any LSP fee.
        amount: Msat,
        /// The block height after which it is lost.
        deadline: Option<u32>,
    },
    /// A payment to us is ours for good.
    Received {
        /// Which.
        hash: PaymentHash,
        /// What arrived, after any LSP fee.
        amount: Msat,
    },
    /// A payment by us is done.
    Paid {
        /// Which.
        hash: PaymentHash,
        /// The proof.
        preimage: Preimage,
        /// Routing fees.
        fee: Msat,
    },
    /// A payment by us failed, with no HTLC left.
    Failed {
        /// Which.
        hash: PaymentHash,
        /// Why.
        reason: String,
    },
    /// A channel opened, closed or changed; balances moved. In words.
    Channels(String),
}

/// Leave to fetch one blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Plain BLAKE3 of the file.
    pub blob: Digest,
    /// Bytes.
    pub size: u64,
    /// Where it lies; must not change while it is served.
    pub path: PathBuf,
    /// Who may fetch it: the endpoint that the job's certificate binds.
    pub to: EndpointId,
}

/// A blob to fetch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchOrder {
    /// Plain BLAKE3 of the file.
    pub blob: Digest,
    /// Its size, known before: anything else is refused.
    pub size: u64,
    /// From whom.
    pub from: Address,
    /// Where to put it, whole and verified or not at all; a partial lies beside it for resuming.
    pub path: PathBuf,
}

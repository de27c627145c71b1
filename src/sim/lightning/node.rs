//! One node: its channel, what it billed, what it sent, and the events it repeats until they are handled.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bitcoin::hashes::{Hash as _, sha256};
use bitcoin::secp256k1::{PublicKey, SECP256K1, SecretKey};
use ldk_node::lightning_invoice::{Currency, InvoiceBuilder, PaymentSecret};

use super::htlc::Htlc;
use super::{JIT_CAPACITY, JIT_FEE_PPM, JIT_LEAST, LightningNet};
use crate::engine::{Balances, BillOrder, Billed, Fault, NodeEvent, NodeStatus, PayOrder};
use crate::market::{
    FINAL_CLTV, MOST_WINDOW_JIT, Msat, NodeId, PaymentHash, PaymentState, Preimage,
};
use crate::wire;

/// Blocks that an HTLC lives, beyond the final CLTV of its invoice, when it is sent.
const HOPS: u32 = 2;
/// The margin that LDK adds to a hold.
const FAIL_BACK: u64 = 39;
/// A hash is billed again so long after its invoice expired.
const AGAIN: u64 = 3 * 3600;

/// The one channel of a node, with the LSP, in msat.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Channel {
    pub(in super::super) local: u64,
    pub(in super::super) remote: u64,
    /// The height at which it was opened.
    pub(in super::super) since: u32,
}

/// What a node knows of a payment it sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Sent {
    InFlight,
    /// In flight, but the record of it was lost in a crash.
    Forgotten,
    Failed(String),
    Paid {
        preimage: Preimage,
        amount: u64,
        fee: u64,
    },
}

#[derive(Debug, Clone)]
pub(super) struct Bill {
    pub(super) order: BillOrder,
    pub(super) billed: Billed,
    pub(super) lsp_fee: u64,
    pub(super) expires_at: u64,
    pub(super) held: bool,
}

/// A node. It survives its peer's crashes.
#[derive(Debug)]
pub(in super::super) struct Node {
    pub(in super::super) id: NodeId,
    key: SecretKey,
    pub(in super::super) up: bool,
    pub(in super::super) channel: Option<Channel>,
    /// What it has on the chain, of channels that were closed.
    pub(in super::super) coins: u64,
    /// The height at which it opens a channel with them again.
    pub(super) opens_at: Option<u32>,
    pub(in super::super) events: VecDeque<NodeEvent>,
    pub(super) bills: BTreeMap<PaymentHash, Bill>,
    pub(in super::super) sent: BTreeMap<PaymentHash, Sent>,
    pub(in super::super) received: BTreeMap<PaymentHash, u64>,
    pub(super) said: u64,
}

fn msat(n: u64) -> Msat {
    Msat::new(n).unwrap_or(Msat::MAX)
}

impl Node {
    pub(in super::super) fn new(secret: &[u8; 32], channel: Option<Channel>) -> Self {
        let key = SecretKey::from_slice(secret).expect("one scalar in 2^128 is not a key");
        Self {
            id: NodeId(PublicKey::from_secret_key(SECP256K1, &key).serialize()),
            key,
            up: true,
            channel,
            coins: 0,
            opens_at: None,
            events: VecDeque::new(),
            bills: BTreeMap::new(),
            sent: BTreeMap::new(),
            received: BTreeMap::new(),
            said: 0,
        }
    }

    fn invoice(&self, order: &BillOrder, secret: [u8; 32], now: u64) -> Result<String, Fault> {
        let hash = |bytes: &[u8; 32]| sha256::Hash::from_byte_array(*bytes);
        InvoiceBuilder::new(Currency::Regtest)
            .description_hash(hash(&order.description_hash.0))
            .payment_hash(hash(&order.hash.0))
            .payment_secret(PaymentSecret(secret))
            .duration_since_epoch(Duration::from_secs(now))
            .expiry_time(Duration::from_secs(u64::from(order.expiry_secs)))
            .min_final_cltv_expiry_delta(
                order.hold_blocks.map_or(FINAL_CLTV, |blocks| u64::from(blocks) + FAIL_BACK),
            )
            .amount_milli_satoshis(order.amount.get())
            .build_signed(|hash| SECP256K1.sign_ecdsa_recoverable(hash, &self.key))
            .map(|invoice| invoice.to_string())
            .map_err(|e| Fault::Never(e.to_string()))
    }
}

impl LightningNet {
    pub(super) fn status(&self, me: usize) -> NodeStatus {
        let node = &self.nodes[me];
        let channel = node.channel.unwrap_or(Channel { local: 0, remote: 0, since: 0 });
        let least = if node.channel.is_some() { 1000 } else { JIT_LEAST };
        NodeStatus {
            node: node.id,
            running: node.up,
            height: self.height,
            balances: Balances {
                onchain_spendable: msat(node.coins),
                onchain_total: msat(node.coins),
                lightning_total: msat(channel.local),
                lightning_spendable: msat(channel.local),
                lightning_receivable: msat(channel.remote),
                ..Balances::default()
            },
            channels_usable: u32::from(node.channel.is_some()),
            channels: u32::from(node.channel.is_some()),
            least_first: Some(msat(least)),
            trouble: None,
        }
    }

    pub(super) fn bill(&mut self, me: usize, order: &BillOrder) -> Result<Billed, Fault> {
        let now = self.clockwork.now() / 1000;
        let plain = BillOrder { again: false, ..order.clone() };
        if let Some(bill) = self.nodes[me].bills.get(&order.hash) {
            let over = now >= bill.expires_at + AGAIN;
            if !(order.again && over && !bill.held) {
                return if bill.order == plain {
                    Ok(bill.billed.clone())
                } else {
                    Err(Fault::Never("this hash was billed before with other terms".into()))
                };
            }
        }
        let amount = order.amount.get();
        let lsp_fee = match &self.nodes[me].channel {
            Some(channel) if channel.remote >= amount => 0,
            Some(_) => return Err(Fault::Never("nothing can be received".into())),
            None if order.hold_blocks.is_some_and(|blocks| blocks > MOST_WINDOW_JIT) => {
                return Err(Fault::Never("too long a hold for a channel just in time".into()));
            }
            None if !(JIT_LEAST..JIT_CAPACITY).contains(&amount) => {
                return Err(Fault::Never("the LSP opens no channel for this amount".into()));
            }
            None if !self.lsp_up => return Err(Fault::Later("the LSP does not answer".into())),
            None => order.amount.ppm(JIT_FEE_PPM).get(),
        };
        let secret = self.seed.bytes("payment-secret", &[me as u64, now]);
        let text = self.nodes[me].invoice(&plain, secret, now)?;
        let billed = Billed { invoice: text, lsp_fee: msat(lsp_fee) };
        let bill = Bill {
            expires_at: now + u64::from(plain.expiry_secs),
            order: plain,
            billed: billed.clone(),
            lsp_fee,
            held: false,
        };
        self.nodes[me].bills.insert(order.hash, bill);
        Ok(billed)
    }

    fn state(&self, me: usize, hash: &PaymentHash) -> PaymentState {
        match self.nodes[me].sent.get(hash) {
            None | Some(Sent::Forgotten) => PaymentState::Unknown,
            Some(Sent::InFlight) => PaymentState::InFlight,
            Some(Sent::Failed(reason)) => PaymentState::Failed { reason: reason.clone() },
            Some(Sent::Paid { preimage, fee, .. }) => {
                PaymentState::Paid { preimage: *preimage, fee: msat(*fee) }
            }
        }
    }

    pub(super) fn lookup(&self, me: usize, hash: &PaymentHash) -> PaymentState {
        self.state(me, hash)
    }

    /// A crash: of what is in flight, the record may be lost. LDK itself still has it.
    pub(in super::super) fn forget(&mut self, me: usize) {
        let (seed, now, trouble) = (self.seed, self.clockwork.now(), self.trouble);
        self.nodes[me].up = false;
        for (hash, sent) in &mut self.nodes[me].sent {
            let key = [super::word(&hash.0), now];
            if *sent == Sent::InFlight && seed.draw("forget", &key).permille(trouble * 4) {
                *sent = Sent::Forgotten;
            }
        }
    }

    pub(super) fn pay(&mut self, me: usize, order: &PayOrder) -> Result<PaymentState, Fault> {
        let read = wire::decode(&order.invoice).map_err(|e| Fault::Never(e.to_string()))?;
        if read.hash != order.hash || read.amount != Some(order.amount) {
            return Err(Fault::Never("this invoice is not the one that was agreed on".into()));
        }
        match self.nodes[me].sent.get(&order.hash) {
            Some(Sent::Paid { .. } | Sent::InFlight) => return Ok(self.state(me, &order.hash)),
            Some(Sent::Forgotten) => {
                // DuplicatePayment: it is on its way already.
                self.nodes[me].sent.insert(order.hash, Sent::InFlight);
                return Ok(PaymentState::InFlight);
            }
            Some(Sent::Failed(_)) | None => {}
        }
        if order.tips.is_some_and(|(first, last)| !(first..=last).contains(&self.height)) {
            return Err(Fault::Never("blocks came since this invoice was made".into()));
        }
        if read.expires_at.0 <= self.clockwork.now() / 1000 {
            return Err(Fault::Never("this invoice has expired".into()));
        }
        let (amount, fee) = (order.amount.get(), 1000 + order.amount.get() / 1000);
        let to = self.node_of(&read.payee);
        let mut draw = self.seed.draw("route", &[super::word(&order.hash.0), self.clockwork.now()]);
        let (trouble, lsp_up) = (self.trouble, self.lsp_up);
        let channel = self.nodes[me].channel.as_mut();
        let channel = channel.filter(|c| lsp_up && c.local >= amount + fee);
        let (Some(to), Some(channel), false) =
            (to, channel, fee > order.max_fee.get() || draw.permille(trouble))
        else {
            let reason = "No route to the worker's node.".to_owned();
            self.nodes[me].sent.insert(order.hash, Sent::Failed(reason.clone()));
            return Ok(PaymentState::Failed { reason });
        };
        channel.local -= amount + fee;
        self.nodes[me].sent.insert(order.hash, Sent::InFlight);
        let life = u32::try_from(read.min_final_cltv).unwrap_or(u32::MAX / 2) + HOPS;
        let expires = self.height + life;
        self.launch(Htlc { expires, ..Htlc::new(me, to, order.hash, amount, fee) });
        Ok(PaymentState::InFlight)
    }
}

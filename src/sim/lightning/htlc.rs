//! HTLCs: from one node over the LSP to another, held, claimed, failed back or dead of age.

use super::{JIT_CAPACITY, LightningNet};
use crate::engine::{Fault, NodeEvent};
use crate::market::{Holding, Msat, PaymentHash, Preimage};

use super::super::chance::word;
use super::super::clock::What;
use super::node::{Channel, Sent};

/// Blocks before its expiry at which LDK fails a held HTLC back.
const MARGIN: u32 = 39;
/// LDK takes a payment up to two hours past its invoice's expiry.
const LATE: u64 = 2 * 3600;

/// Where an HTLC is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Stage {
    /// Between payer and payee's node.
    Travelling,
    /// At the payee's node, waiting for a preimage.
    Held,
    /// Taken.
    Claimed,
    /// Back with its payer.
    Back,
}

impl Stage {
    pub(in super::super) fn is_over(self) -> bool {
        matches!(self, Self::Claimed | Self::Back)
    }
}

/// One HTLC over two hops.
#[derive(Debug, Clone)]
pub(in super::super) struct Htlc {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) hash: PaymentHash,
    /// What the payer sends, without the routing fee.
    pub(super) amount: u64,
    pub(super) fee: u64,
    /// What the LSP keeps of the last hop.
    pub(super) skim: u64,
    /// Dead after this height.
    pub(super) expires: u32,
    pub(in super::super) stage: Stage,
}

impl Htlc {
    pub(super) fn locked_out(&self) -> u64 {
        if self.stage.is_over() { 0 } else { self.amount + self.fee }
    }
    pub(super) fn locked_in(&self) -> u64 {
        if self.stage == Stage::Held { self.amount - self.skim } else { 0 }
    }
}

impl LightningNet {
    pub(super) fn launch(&mut self, htlc: Htlc) {
        self.next += 1;
        let n = self.next;
        let mut draw = self.seed.draw("hop", &[word(&htlc.hash.0), n]);
        let wait = if draw.permille(self.trouble) {
            // Slow: seconds to hours, sometimes longer than it lives.
            draw.range(30_000, 12 * 3_600_000)
        } else {
            draw.range(80, 700)
        };
        self.htlcs.insert(n, htlc);
        self.clockwork.after(wait, What::Hop(n));
    }

    /// An HTLC takes its next step.
    pub(in super::super) fn hop(&mut self, n: u64) {
        let Some(htlc) = self.htlcs.get(&n).cloned() else { return };
        if htlc.stage != Stage::Travelling {
            return;
        }
        if !self.nodes[htlc.to].up {
            self.clockwork.after(20_000, What::Hop(n));
            return;
        }
        let mut draw = self.seed.draw("arrive", &[word(&htlc.hash.0), n]);
        let now = self.clockwork.now() / 1000;
        let Some(bill) = self.nodes[htlc.to].bills.get(&htlc.hash) else {
            return self.back(n, "The worker's node sent the payment back.");
        };
        let skim = bill.lsp_fee;
        let wrong = bill.order.amount.get() != htlc.amount
            || now > bill.expires_at + LATE
            || self.nodes[htlc.to].received.contains_key(&htlc.hash)
            || self.height + MARGIN + 1 >= htlc.expires;
        if wrong || draw.permille(self.trouble) {
            return self.back(n, "No route could carry the payment.");
        }
        let net = htlc.amount - skim;
        if self.nodes[htlc.to].channel.is_none() {
            self.lsp -= JIT_CAPACITY;
            let since = self.height;
            let fresh = Channel { local: 0, remote: JIT_CAPACITY, since };
            self.nodes[htlc.to].channel = Some(fresh);
        }
        let there = self.nodes[htlc.to].channel.as_mut().filter(|c| c.remote >= net);
        let Some(channel) = there else {
            return self.back(n, "No route could carry the payment.");
        };
        channel.remote -= net;
        let deadline = htlc.expires - MARGIN;
        if let Some(htlc) = self.htlcs.get_mut(&n) {
            htlc.stage = Stage::Held;
            htlc.skim = skim;
        }
        if let Some(bill) = self.nodes[htlc.to].bills.get_mut(&htlc.hash) {
            bill.held = true;
        }
        let amount = Msat::new(net).unwrap_or_default();
        let event = NodeEvent::Claimable { hash: htlc.hash, amount, deadline: Some(deadline) };
        self.say(htlc.to, event);
    }

    /// An HTLC goes back to its payer.
    fn back(&mut self, n: u64, reason: &str) {
        let Some(htlc) = self.htlcs.get_mut(&n).filter(|h| !h.stage.is_over()) else { return };
        let was = std::mem::replace(&mut htlc.stage, Stage::Back);
        let htlc = htlc.clone();
        if let Some(channel) = &mut self.nodes[htlc.from].channel {
            channel.local += htlc.amount + htlc.fee;
        }
        if was == Stage::Held
            && let Some(channel) = &mut self.nodes[htlc.to].channel
        {
            channel.remote += htlc.amount - htlc.skim;
        }
        let reason = reason.to_owned();
        self.nodes[htlc.from].sent.insert(htlc.hash, Sent::Failed(reason.clone()));
        self.say(htlc.from, NodeEvent::Failed { hash: htlc.hash, reason });
    }

    fn held(&self, me: usize, hash: &PaymentHash) -> Option<u64> {
        let mine = |h: &Htlc| h.to == me && h.hash == *hash && h.stage == Stage::Held;
        self.htlcs.iter().find(|(_, h)| mine(h)).map(|(n, _)| *n)
    }

    /// What the channel shows of a payment that waits.
    pub(super) fn holding(&self, me: usize, hash: &PaymentHash) -> Option<Holding> {
        let htlc = self.htlcs.get(&self.held(me, hash)?)?;
        Some(Holding {
            amount: Msat::new(htlc.amount - htlc.skim)?,
            deadline: htlc.expires - MARGIN,
            confirmations: self.height.saturating_sub(self.nodes[me].channel?.since),
        })
    }

    pub(super) fn claim(
        &mut self,
        me: usize,
        hash: &PaymentHash,
        _amount: Msat,
        preimage: &Preimage,
    ) -> Result<(), Fault> {
        if preimage.hash() != *hash {
            return Err(Fault::Never("this preimage does not open that payment".into()));
        }
        if !self.nodes[me].bills.contains_key(hash) {
            return Err(Fault::Never("this node never asked to be paid for that hash".into()));
        }
        // Ok also when the HTLC is gone: that is how ldk-node is.
        let Some(n) = self.held(me, hash) else { return Ok(()) };
        let Some(htlc) = self.htlcs.get_mut(&n) else { return Ok(()) };
        htlc.stage = Stage::Claimed;
        let htlc = htlc.clone();
        let net = htlc.amount - htlc.skim;
        if let Some(channel) = &mut self.nodes[htlc.to].channel {
            channel.local += net;
        }
        if let Some(channel) = &mut self.nodes[htlc.from].channel {
            channel.remote += htlc.amount + htlc.fee;
        }
        self.nodes[htlc.to].received.insert(*hash, net);
        let fee = Msat::new(htlc.fee).unwrap_or_default();
        let sent = Sent::Paid { preimage: *preimage, amount: htlc.amount, fee: htlc.fee };
        self.nodes[htlc.from].sent.insert(*hash, sent);
        let amount = Msat::new(net).unwrap_or_default();
        self.say(htlc.to, NodeEvent::Received { hash: *hash, amount });
        self.say(htlc.from, NodeEvent::Paid { hash: *hash, preimage: *preimage, fee });
        Ok(())
    }

    pub(super) fn fail(&mut self, me: usize, hash: &PaymentHash) -> Result<(), Fault> {
        if self.nodes[me].received.contains_key(hash) {
            return Err(Fault::Never("this payment was received".into()));
        }
        if !self.nodes[me].bills.contains_key(hash) {
            return Err(Fault::Never("this node never asked to be paid for that hash".into()));
        }
        if let Some(n) = self.held(me, hash) {
            self.back(n, "The worker's node sent the payment back.");
        }
        Ok(())
    }

    /// A node says something; now and then twice, as after a restart before its state was written.
    fn say(&mut self, to: usize, event: NodeEvent) {
        let key = [to as u64, self.next, self.nodes[to].said];
        self.nodes[to].said += 1;
        let mut draw = self.seed.draw("say", &key);
        let twice = !matches!(event, NodeEvent::Claimable { .. }) && draw.permille(self.trouble);
        if twice {
            self.nodes[to].events.push_back(event.clone());
        }
        self.nodes[to].events.push_back(event);
        self.clockwork.after(draw.range(10, 400), What::Wake(to));
    }

    /// A block is found: what has lived too long dies, and its payee is not told.
    pub(in super::super) fn block(&mut self) {
        self.height += 1;
        let height = self.height;
        let dead = |h: &Htlc| match h.stage {
            Stage::Travelling => height >= h.expires,
            Stage::Held => height >= h.expires - MARGIN,
            Stage::Claimed | Stage::Back => false,
        };
        let dead: Vec<u64> = self.htlcs.iter().filter(|(_, h)| dead(h)).map(|(n, _)| *n).collect();
        for n in dead {
            self.back(n, "The payment died of age.");
        }
    }
}

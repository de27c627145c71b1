//! HTLCs: from one node over the LSP to another, held, claimed, failed back or dead of age.

use super::{ENOUGH, JIT_CAPACITY, LightningNet};
use crate::engine::{Fault, NodeEvent};
use crate::market::{Holding, Msat, PaymentHash, Preimage};

use super::super::chance::word;
use super::super::clock::What;
use super::node::{Channel, Sent};

/// Blocks before its expiry at which LDK fails a held HTLC back.
const MARGIN: u32 = 39;
/// LDK takes a payment up to two hours past its invoice's expiry.
const LATE: u64 = 2 * 3600;

/// Blocks that the LSP leaves between what it is owed and what it owes: the payer's HTLC lives so much longer.
const DELTA: u32 = 72;
/// Blocks after which what stands on the chain is believed.
const BURIED: u32 = 6;
/// Blocks past its expiry after which the LSP goes on the chain for an HTLC that nobody answers.
const GRACE: u32 = 3;

/// Where an HTLC is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Stage {
    /// Between payer and payee's node.
    Travelling,
    /// At the payee's node, waiting for a preimage.
    Held,
    /// The payee has it; who pays learns the preimage when the LSP does, at this height or later.
    Taken(Preimage, u32),
    /// It is with the payee no more; who pays has it back when the LSP says so, or the chain.
    Gone(&'static str),
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
    /// The payer's channel was closed with it: only the chain gives it back.
    pub(super) closed_out: bool,
    /// The payee's channel was closed with it: only the chain ends it.
    pub(super) closed_in: bool,
    /// Of a held one: the payee's node takes no preimage for it any more.
    pub(super) dropped: bool,
}

impl Htlc {
    pub(super) fn new(from: usize, to: usize, hash: PaymentHash, amount: u64, fee: u64) -> Self {
        let stage = Stage::Travelling;
        let (closed_out, closed_in, dropped) = (false, false, false);
        Self {
            from,
            to,
            hash,
            amount,
            fee,
            skim: 0,
            expires: 0,
            stage,
            closed_out,
            closed_in,
            dropped,
        }
    }
    pub(super) fn locked_out(&self) -> u64 {
        if self.stage.is_over() { 0 } else { self.amount + self.fee }
    }
    pub(super) fn locked_in(&self) -> u64 {
        if self.stage == Stage::Held { self.amount - self.skim } else { 0 }
    }
    fn is_closed(&self) -> bool {
        self.closed_out || self.closed_in
    }
}

const NO_ROUTE: &str = "No route could carry the payment.";
const SENT_BACK: &str = "The worker's node sent the payment back.";
const OF_AGE: &str = "The payment died of age.";

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
        if !self.nodes[htlc.to].up || !self.lsp_up {
            self.clockwork.after(20_000, What::Hop(n));
            return;
        }
        let mut draw = self.seed.draw("arrive", &[word(&htlc.hash.0), n]);
        let now = self.clockwork.now() / 1000;
        let Some(bill) = self.nodes[htlc.to].bills.get(&htlc.hash) else {
            return self.gone(n, SENT_BACK);
        };
        let skim = bill.lsp_fee;
        let wrong = bill.order.amount.get() != htlc.amount
            || now > bill.expires_at + LATE
            || self.nodes[htlc.to].received.contains_key(&htlc.hash)
            // It names a channel that was closed since.
            || skim == 0 && self.nodes[htlc.to].channel.is_none()
            || self.height + MARGIN + 1 >= htlc.expires;
        if wrong || draw.permille(self.trouble) {
            return self.gone(n, NO_ROUTE);
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
            return self.gone(n, NO_ROUTE);
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

    /// An HTLC is with its payee no more, or never was, and goes back.
    fn gone(&mut self, n: u64, reason: &'static str) {
        if let Some(htlc) = self.htlcs.get_mut(&n) {
            htlc.stage = Stage::Gone(reason);
        }
        self.push(n);
    }

    /// Everything that waits for the LSP or for a block moves on as far as it can.
    pub(in super::super) fn push_all(&mut self) {
        let live = self.htlcs.iter().filter(|(_, h)| !h.stage.is_over());
        let live: Vec<u64> = live.map(|(n, _)| *n).collect();
        for n in live {
            self.push(n);
        }
    }

    fn push(&mut self, n: u64) {
        let Some(htlc) = self.htlcs.get(&n).cloned() else { return };
        match htlc.stage {
            Stage::Travelling if self.height >= htlc.expires => self.gone(n, OF_AGE),
            Stage::Held => self.push_held(n, &htlc),
            Stage::Taken(preimage, from) if self.lsp_up && self.height >= from => {
                self.settle(n, &htlc, preimage);
            }
            Stage::Gone(_) if htlc.closed_out && self.height < htlc.expires + DELTA + BURIED => {}
            Stage::Gone(reason) if htlc.closed_out => {
                self.tally.timed_out += 1;
                self.give_back(n, &htlc, reason);
            }
            Stage::Gone(reason) if self.lsp_up => self.give_back(n, &htlc, reason),
            _ => {}
        }
    }

    fn push_held(&mut self, n: u64, htlc: &Htlc) {
        // LDK lets go of what is too old, and tells nobody.
        let old = self.height + MARGIN >= htlc.expires;
        if let Some(htlc) = self.htlcs.get_mut(&n) {
            htlc.dropped |= old;
        }
        let net = htlc.amount - htlc.skim;
        if htlc.closed_in {
            if self.height >= htlc.expires + BURIED {
                self.lsp += net;
                self.tally.timed_out += 1;
                self.gone(n, OF_AGE);
            }
        } else if (old || htlc.dropped) && self.lsp_up && self.nodes[htlc.to].up {
            if let Some(channel) = &mut self.nodes[htlc.to].channel {
                channel.remote += net;
            }
            self.gone(n, if old { OF_AGE } else { SENT_BACK });
        } else if self.lsp_up && self.height >= htlc.expires + GRACE {
            self.close(htlc.to);
        }
    }

    /// The payer's node learns the preimage.
    fn settle(&mut self, n: u64, htlc: &Htlc, preimage: Preimage) {
        if let Some(htlc) = self.htlcs.get_mut(&n) {
            htlc.stage = Stage::Claimed;
        }
        let whole = htlc.amount + htlc.fee;
        match &mut self.nodes[htlc.from].channel {
            Some(channel) if !htlc.closed_out => channel.remote += whole,
            _ => self.lsp += whole,
        }
        self.tally.by_preimage += u64::from(htlc.is_closed());
        let sent = Sent::Paid { preimage, amount: htlc.amount, fee: htlc.fee };
        self.nodes[htlc.from].sent.insert(htlc.hash, sent);
        let fee = Msat::new(htlc.fee).unwrap_or_default();
        self.say(htlc.from, NodeEvent::Paid { hash: htlc.hash, preimage, fee });
    }

    /// The payer's node has its money again.
    fn give_back(&mut self, n: u64, htlc: &Htlc, reason: &'static str) {
        if let Some(htlc) = self.htlcs.get_mut(&n) {
            htlc.stage = Stage::Back;
        }
        let whole = htlc.amount + htlc.fee;
        let node = &mut self.nodes[htlc.from];
        match &mut node.channel {
            Some(channel) if !htlc.closed_out => channel.local += whole,
            _ => node.coins += whole,
        }
        let reason = reason.to_owned();
        node.sent.insert(htlc.hash, Sent::Failed(reason.clone()));
        self.say(htlc.from, NodeEvent::Failed { hash: htlc.hash, reason });
    }

    /// A node's channel is closed by force: both sides have their coins on the chain, and every HTLC in it is
    /// ended there, by preimage or by age. What the chain takes for it is not of this world.
    pub(in super::super) fn close(&mut self, me: usize) {
        let Some(channel) = self.nodes[me].channel.take() else { return };
        self.tally.closed += 1;
        self.nodes[me].coins += channel.local;
        self.lsp += channel.remote;
        let mut draw = self.seed.draw("opened again", &[me as u64, self.clockwork.now()]);
        let wait = u32::try_from(draw.range(6, 30)).unwrap_or(6);
        self.nodes[me].opens_at = Some(self.height + wait);
        for htlc in self.htlcs.values_mut().filter(|h| !h.stage.is_over()) {
            htlc.closed_out |= htlc.from == me;
            htlc.closed_in |= htlc.to == me && htlc.stage == Stage::Held;
            self.tally.closed_held +=
                u64::from(htlc.stage == Stage::Held && (htlc.from == me || htlc.to == me));
        }
    }

    /// Some channel is closed in the middle of something, if this block draws so.
    pub(in super::super) fn break_one(&mut self, permille: u64) {
        let now = self.clockwork.now();
        let waits = |h: &&Htlc| !h.stage.is_over() && !h.is_closed();
        let mut draws = self.htlcs.values().filter(waits).map(|htlc| {
            let mut draw = self.seed.draw("close", &[word(&htlc.hash.0), now]);
            (draw.permille(permille), if draw.permille(500) { htlc.from } else { htlc.to })
        });
        let found = draws.find(|(hit, _)| *hit).map(|(_, me)| me);
        drop(draws);
        if let Some(me) = found {
            self.close(me);
        }
    }

    /// Who has coins enough opens a channel with them again.
    fn open_again(&mut self) {
        let height = self.height;
        for node in &mut self.nodes {
            if node.opens_at.is_some_and(|at| at <= height) && node.channel.is_none() {
                node.opens_at = None;
                if node.coins >= ENOUGH {
                    let local = std::mem::take(&mut node.coins);
                    self.lsp -= ENOUGH;
                    node.channel = Some(Channel { local, remote: ENOUGH, since: height });
                }
            }
        }
    }

    fn held(&self, me: usize, hash: &PaymentHash) -> Option<u64> {
        let mine = |h: &Htlc| h.to == me && h.hash == *hash && h.stage == Stage::Held;
        self.htlcs.iter().find(|(_, h)| mine(h)).map(|(n, _)| *n)
    }

    /// What the channels show of a payment that waits: also of one that nobody can take any more, until it is
    /// gone. A channel that is closed has no confirmations to show.
    pub(super) fn holding(&self, me: usize, hash: &PaymentHash) -> Option<Holding> {
        let htlc = self.htlcs.get(&self.held(me, hash)?)?;
        let since = self.nodes[me].channel.filter(|_| !htlc.closed_in).map(|c| c.since);
        Some(Holding {
            amount: Msat::new(htlc.amount - htlc.skim)?,
            deadline: htlc.expires - MARGIN,
            confirmations: since.map_or(0, |since| self.height.saturating_sub(since)),
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
        let mut draw = self.seed.draw("mined", &[word(&hash.0), n]);
        if draw.permille(self.trouble * 2) {
            // Right now, of all moments.
            let from = self.htlcs.get(&n).map_or(me, |htlc| htlc.from);
            self.close(if draw.permille(500) { me } else { from });
        }
        let mut mined = |closed: bool| {
            if closed { u32::try_from(draw.range(1, 7)).unwrap_or(1) } else { 0 }
        };
        let Some(htlc) = self.htlcs.get_mut(&n).filter(|h| !h.dropped) else { return Ok(()) };
        let from = self.height + mined(htlc.closed_in) + mined(htlc.closed_out);
        htlc.stage = Stage::Taken(*preimage, from);
        let htlc = htlc.clone();
        let net = htlc.amount - htlc.skim;
        let node = &mut self.nodes[me];
        match &mut node.channel {
            Some(channel) if !htlc.closed_in => channel.local += net,
            _ => node.coins += net,
        }
        node.received.insert(*hash, net);
        let amount = Msat::new(net).unwrap_or_default();
        // LDK says so as soon as it has written the preimage down, wherever the HTLC stands.
        self.say(me, NodeEvent::Received { hash: *hash, amount });
        self.push(n);
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
            if let Some(htlc) = self.htlcs.get_mut(&n) {
                htlc.dropped = true;
            }
            self.push(n);
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
        self.tips.push((self.clockwork.now(), self.height));
        self.push_all();
        self.open_again();
    }

    /// The best chain becomes another, for now a shorter one.
    pub(in super::super) fn reorg(&mut self, blocks: u32) {
        self.height -= blocks;
        self.tally.reorgs += 1;
    }

    /// The LSP goes down or comes back. True if it is up now.
    pub(in super::super) fn flip_lsp(&mut self) -> bool {
        self.lsp_up = !self.lsp_up;
        if self.lsp_up {
            self.push_all();
        } else {
            let held = self.htlcs.values().any(|h| h.stage == Stage::Held);
            self.tally.lsp_down_held += u64::from(held);
        }
        self.lsp_up
    }
}

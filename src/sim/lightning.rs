//! A fake Lightning network: nodes around one LSP, HTLCs that hang, fail and die of age, blocks, and
//! every millisatoshi accounted for. It has the manners of ldk-node that cost people money (FACTS.md).

mod htlc;
mod node;

use htlc::Htlc;
pub(super) use node::{Channel, Node, Sent};

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use super::chance::{Seed, word};
use super::clock::{Clockwork, Ms, lock};
use crate::engine::{
    BillOrder, Billed, Fault, Lightning, NodeEvent, NodeStatus, PayOrder, PaymentState,
};
use crate::market::{Holding, Msat, NodeId, PaymentHash, Preimage};

/// What the LSP opens for a just-in-time channel, and what it takes for it.
const JIT_CAPACITY: u64 = 200_000_000;
const JIT_LEAST: u64 = 5_000_000;
const JIT_FEE_PPM: u64 = 10_000;
/// With so much on the chain somebody opens a channel of its own again, and the LSP puts as much into it.
const ENOUGH: u64 = 100_000_000;
/// The height at which every world begins.
const START: u32 = 800_000;
/// Blocks that the best chain loses at most: what counts as confirmed is deeper.
pub(super) const DEEPEST: u32 = 3;

/// What befell channels and the chain, to be counted.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    /// Channels closed by force.
    pub(super) closed: u64,
    /// HTLCs that were held when their channel was closed.
    pub(super) closed_held: u64,
    /// HTLCs of closed channels that ended by preimage.
    pub(super) by_preimage: u64,
    /// Closed channels' HTLCs, each side of them, that the chain gave back by age.
    pub(super) timed_out: u64,
    /// Times the LSP went down while something was held.
    pub(super) lsp_down_held: u64,
    /// Times the best chain got shorter.
    pub(super) reorgs: u64,
}

/// The whole network.
#[derive(Debug)]
pub(super) struct LightningNet {
    pub(super) seed: Seed,
    pub(super) clockwork: Arc<Clockwork>,
    pub(super) height: u32,
    pub(super) nodes: Vec<Node>,
    pub(super) htlcs: BTreeMap<u64, Htlc>,
    /// Coins of the LSP that are in no channel.
    pub(super) lsp: u64,
    /// Whether the LSP runs.
    pub(super) lsp_up: bool,
    /// Every height as it was reached.
    pub(super) tips: Vec<(Ms, u32)>,
    pub(super) tally: Tally,
    /// Of a thousand calls or hops, so many go wrong.
    pub(super) trouble: u64,
    next: u64,
    supply: u64,
}

impl LightningNet {
    pub(super) fn new(
        seed: Seed,
        clockwork: Arc<Clockwork>,
        nodes: Vec<Node>,
        trouble: u64,
    ) -> Self {
        let mut net = Self {
            seed,
            clockwork,
            height: START,
            nodes,
            htlcs: BTreeMap::new(),
            lsp: 100_000_000_000,
            lsp_up: true,
            tips: vec![(0, START)],
            tally: Tally::default(),
            trouble,
            next: 0,
            supply: 0,
        };
        net.supply = net.total();
        net
    }

    /// Every millisatoshi there is, wherever it is.
    fn total(&self) -> u64 {
        let channels = self.nodes.iter().filter_map(|n| n.channel.as_ref());
        let channels: u64 = channels.map(|c| c.local + c.remote).sum();
        let flying: u64 = self.htlcs.values().map(|h| h.locked_out() + h.locked_in()).sum();
        let coins: u64 = self.nodes.iter().map(|n| n.coins).sum();
        channels + flying + coins + self.lsp
    }

    /// No millisatoshi made or lost.
    pub(super) fn check(&self) -> Result<(), String> {
        let total = self.total();
        if total == self.supply {
            return Ok(());
        }
        Err(format!("{} msat became {total}", self.supply))
    }

    /// Whether nothing is on its way.
    pub(super) fn is_quiet(&self) -> bool {
        self.htlcs.values().all(|h| h.stage.is_over())
    }

    /// The highest that anybody can have known by then.
    pub(super) fn highest(&self, by: Ms) -> u32 {
        let known = self.tips.iter().take_while(|(at, _)| *at <= by);
        known.map(|(_, height)| *height).max().unwrap_or(0)
    }

    fn node_of(&self, id: &NodeId) -> Option<usize> {
        self.nodes.iter().position(|n| n.id == *id)
    }
}

/// One peer's port to its node.
#[derive(Debug)]
pub(super) struct PeerNode {
    pub(super) net: Arc<Mutex<LightningNet>>,
    pub(super) me: usize,
    pub(super) id: NodeId,
}

impl PeerNode {
    /// Sometimes the node does not answer, and nothing happened.
    fn mood(&self, what: &str, hash: &PaymentHash) -> Result<(), Fault> {
        let net = lock(&self.net);
        let key = [word(&hash.0), net.clockwork.now()];
        if net.seed.draw(what, &key).permille(net.trouble) {
            return Err(Fault::Later("the node is busy".into()));
        }
        Ok(())
    }
}

#[async_trait]
impl Lightning for PeerNode {
    fn node(&self) -> NodeId {
        self.id
    }
    async fn status(&self) -> Result<NodeStatus, Fault> {
        Ok(lock(&self.net).status(self.me))
    }
    async fn bill(&self, order: &BillOrder) -> Result<Billed, Fault> {
        self.mood("bill", &order.hash)?;
        lock(&self.net).bill(self.me, order)
    }
    async fn pay(&self, order: &PayOrder) -> Result<PaymentState, Fault> {
        self.mood("pay", &order.hash)?;
        let answer = lock(&self.net).pay(self.me, order)?;
        // The disk could not be written: it may be on its way, and nobody says.
        self.mood("paid", &order.hash)?;
        Ok(answer)
    }
    async fn lookup(&self, hash: &PaymentHash) -> Result<PaymentState, Fault> {
        self.mood("lookup", hash)?;
        Ok(lock(&self.net).lookup(self.me, hash))
    }
    async fn claim(
        &self,
        hash: &PaymentHash,
        amount: Msat,
        preimage: &Preimage,
    ) -> Result<(), Fault> {
        self.mood("claim", hash)?;
        lock(&self.net).claim(self.me, hash, amount, preimage)
    }
    async fn fail(&self, hash: &PaymentHash) -> Result<(), Fault> {
        self.mood("fail", hash)?;
        lock(&self.net).fail(self.me, hash)
    }
    async fn holding(&self, hash: &PaymentHash) -> Result<Option<Holding>, Fault> {
        self.mood("holding", hash)?;
        Ok(lock(&self.net).holding(self.me, hash))
    }
    async fn next(&self) -> NodeEvent {
        std::future::poll_fn(|_| match lock(&self.net).nodes[self.me].events.front() {
            Some(event) => std::task::Poll::Ready(event.clone()),
            // The clockwork wakes the peer when something happens.
            None => std::task::Poll::Pending,
        })
        .await
    }
    async fn handled(&self) -> Result<(), Fault> {
        lock(&self.net).nodes[self.me].events.pop_front();
        Ok(())
    }
}

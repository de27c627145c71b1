//! Money over Lightning, on real nodes, a real LSP and a chain that checks everything.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "lightning/closed.rs"]
mod closed;
#[path = "lightning/held.rs"]
mod held;
#[path = "lightning/paid.rs"]
mod paid;
#[path = "lightning/provider.rs"]
mod provider;
#[path = "lightning/reorg.rs"]
mod reorg;
#[path = "lightning/wallet.rs"]
mod wallet;

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bitcoin::{Address, Amount, Network as Bitcoin};
use earnest::engine::{BillOrder, Fault, Lightning, NodeEvent, PayOrder, PaymentState};
use earnest::lightning::{Chain, Holdings, Lsp as LspSettings, Node, NodeConfig, Peer};
use earnest::market::{Digest, FINAL_CLTV, Holding, Msat, Network, PaymentHash, Preimage};
use earnest::sandbox::control::Setup;
use earnest::sandbox::{ChainControl, Lsp, LspConfig, lsp};
use earnest::wire;
use tempfile::TempDir;
use tokio::runtime::Handle;
use zeroize::Zeroizing;

const PATIENCE: Duration = Duration::from_secs(40);

fn sats(n: u64) -> Msat {
    Msat::sats(n).unwrap()
}

/// Waits for something to become true; fails after [`PATIENCE`].
async fn until<F: Future<Output = bool>>(what: &str, mut ask: impl FnMut() -> F) {
    let asked = async {
        while !ask().await {
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_| panic!("never: {what}"));
}

struct World {
    chain: ChainControl,
    lsp: Lsp,
    dir: TempDir,
}

impl World {
    /// A chain and an LSP with so many sats.
    async fn new(lsp_sats: u64) -> Self {
        let chain = ChainControl::start(Setup::default().from_env()).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let lsp = provider(&chain, &dir).await;
        let world = Self { chain, lsp, dir };
        world.fund(world.lsp.node(), lsp_sats).await;
        world
    }

    async fn fund(&self, node: &Node, amount: u64) {
        let address: Address<_> = node.new_address().await.unwrap().parse().unwrap();
        let address = address.require_network(Bitcoin::Regtest).unwrap();
        self.chain.fund(&address, Amount::from_sat(amount)).await.unwrap();
        self.chain.mine(1).await.unwrap();
        until("the coins are seen", || async {
            node.sync().await.unwrap();
            node.status().await.unwrap().balances.onchain_spendable >= sats(amount)
        })
        .await;
    }

    fn config(&self, seed: u8) -> NodeConfig {
        let at = self.chain.endpoint();
        NodeConfig {
            seed: Zeroizing::new([seed; 64]),
            dir: self.path(seed),
            payer: Some(self.payer(seed)),
            network: Network::Regtest,
            chain: Chain::Bitcoind {
                host: at.host.clone(),
                port: at.port,
                user: at.user.clone(),
                password: at.password.clone(),
            },
            lsp: Some(LspSettings { peer: self.lsp.peer().clone(), token: None }),
            listen: None,
            alias: None,
            lsp_fee_cap_ppm: 50_000,
            max_lsp_fee: sats(500),
            runtime: Handle::current(),
        }
    }

    fn path(&self, seed: u8) -> PathBuf {
        self.dir.path().join(format!("node-{seed}"))
    }

    /// Where a wallet elsewhere would keep what it was asked to pay.
    fn payer(&self, seed: u8) -> PathBuf {
        self.dir.path().join(format!("payer-{seed}"))
    }

    async fn worker(&self, seed: u8) -> Arc<Node> {
        Node::start(self.config(seed)).await.unwrap()
    }

    /// A node with an ordinary channel of this size to the LSP.
    async fn requester(&self, seed: u8, channel: u64) -> Arc<Node> {
        let node = Node::start(self.config(seed)).await.unwrap();
        self.fund(&node, channel + 50_000).await;
        node.open_channel(self.lsp.peer(), channel).await.unwrap();
        until("the funding transaction waits", || async {
            !self.chain.client().waiting().await.unwrap().is_empty()
        })
        .await;
        self.mine(6, &[&node]).await;
        until("the channel is open", || async {
            node.channels().await.unwrap().iter().all(|c| c.usable)
                && self.lsp.channels().await.unwrap().iter().all(|c| c.usable)
        })
        .await;
        node
    }

    /// The same provider, in another process.
    async fn start_lsp(&mut self) {
        self.lsp = provider(&self.chain, &self.dir).await;
    }

    async fn mine(&self, blocks: u32, nodes: &[&Node]) {
        let height = self.chain.mine(blocks).await.unwrap();
        for node in nodes.iter().copied().chain([self.lsp.node()]) {
            until("the node has seen the blocks", || async {
                node.sync().await.unwrap();
                node.height() >= height
            })
            .await;
        }
    }

    /// Stops all; then nothing may be left running.
    async fn end(self, nodes: &[&Node]) {
        for node in nodes {
            node.stop().await.unwrap();
        }
        self.lsp.stop().await.unwrap();
    }
}

async fn provider(chain: &ChainControl, dir: &TempDir) -> Lsp {
    let config = LspConfig {
        seed: Zeroizing::new([1; 64]),
        dir: dir.path().join("lsp"),
        chain: chain.endpoint().clone(),
        runtime: Handle::current(),
        fee_ppm: lsp::FEE_PPM,
    };
    Lsp::start(config).await.unwrap()
}

fn secret(n: u8) -> (Preimage, PaymentHash) {
    let preimage = Preimage::new([n; 32]);
    (preimage, preimage.hash())
}

fn order(hash: PaymentHash, amount: Msat, hold_blocks: Option<u32>) -> BillOrder {
    BillOrder {
        hash,
        amount,
        description_hash: Digest([9; 32]),
        expiry_secs: 3600,
        again: false,
        hold_blocks,
    }
}

fn payment(invoice: &str, hash: PaymentHash, amount: Msat) -> PayOrder {
    PayOrder { invoice: invoice.to_owned(), hash, amount, max_fee: sats(100), tips: None }
}

/// The next event that is not about channels, committed.
async fn event(node: &Node) -> NodeEvent {
    let found = async {
        loop {
            let event = node.next().await;
            assert_eq!(node.next().await, event, "the same one until it is handled");
            node.handled().await.unwrap();
            if !matches!(event, NodeEvent::Channels(_)) {
                return event;
            }
        }
    };
    tokio::time::timeout(PATIENCE, found).await.expect("no event came")
}

async fn claimable(node: &Node, hash: PaymentHash) -> (Msat, u32) {
    match event(node).await {
        NodeEvent::Claimable { hash: which, amount, deadline } if which == hash => {
            (amount, deadline.expect("LDK gives a deadline"))
        }
        other => panic!("expected the held payment, got {other:?}"),
    }
}

fn never(fault: Fault) -> String {
    match fault {
        Fault::Never(why) => why,
        Fault::Later(why) => panic!("expected Never, got Later: {why}"),
    }
}

fn later(fault: Fault) -> String {
    match fault {
        Fault::Later(why) => why,
        Fault::Never(why) => panic!("expected Later, got Never: {why}"),
    }
}

/// Waits until nothing of ours is in flight: the peer has acknowledged that the HTLC is gone.
async fn settled(node: &Node) -> Holdings {
    until("nothing is in flight", || async { !node.holdings().await.unwrap().moving }).await;
    node.holdings().await.unwrap()
}

/// Both ends of every channel have between them what the channel has.
async fn sums(world: &World, nodes: &[&Node]) {
    let mut last = (0, 0);
    let found = tokio::time::timeout(PATIENCE, async {
        loop {
            let mut held = world.lsp.holdings().await.unwrap();
            for node in nodes {
                let more = node.holdings().await.unwrap();
                held = Holdings {
                    onchain: Msat::ZERO,
                    channels: held.channels.checked_add(more.channels).unwrap(),
                    held: held.held.checked_add(more.held).unwrap(),
                    moving: false,
                };
            }
            let size: Msat = world.lsp.channels().await.unwrap().iter().map(|c| c.size).sum();
            last = (held.channels.get() + held.held.get(), size.get());
            if last.0 == last.1 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    });
    if found.await.is_err() {
        panic!("the sides of all channels sum to {} msat and their sizes to {}", last.0, last.1);
    }
}

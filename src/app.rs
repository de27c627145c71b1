//! The real thing, assembled: keys, store, relays, node and transfer behind one handle.
//!
//! The rule: only this room and `sandbox` name more than one adapter. Whoever holds an [`App`] owns the
//! data directory until [`App::stop`].

mod book;
mod checkup;
mod keyring;
mod port;
mod setup;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;

use crate::engine::{
    self, Clock, Core, Handle, Lightning as _, Me, Ports, Scribe as _, Transfer as _,
};
use crate::files::JobFiles;
use crate::keys::OsDice;
use crate::lightning::{self, Node, Remote};
use crate::market::{Budget, Msat, Network, Policy};
use crate::nostr::{Pool, PoolConfig};
use crate::store::Database;
use crate::transfer::{Bind, Endpoint, EndpointConfig, RelayChoice};

pub use book::{Book, Judgement, Preview, Rejected, holdings, is_owned, preview, verify_proof};
pub use checkup::{
    Check, Health, check_liquidity, check_machine, check_network, liquidity_unknown, not_set_up,
};
pub use keyring::*;
pub use setup::from_config;

/// What an [`App`] is made of.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Everything of one network lives here.
    pub dir: PathBuf,
    /// Which chain the money is on.
    pub network: Network,
    /// Relays that are read and written.
    pub relays: Vec<String>,
    /// Where blocks come from.
    pub chain: lightning::Chain,
    /// Who opens the first channel to us.
    pub lsp: Option<lightning::Lsp>,
    /// Where the node listens for peers; `None` only dials out.
    pub listen: Option<std::net::SocketAddr>,
    /// The most an LSP may keep, in parts per million.
    pub lsp_fee_cap_ppm: u64,
    /// Where the endpoint listens.
    pub bind: Bind,
    /// Which iroh relay helps.
    pub relay: RelayChoice,
    /// What we let others hold of ours, and whether our identity signs receipts.
    pub policy: Policy,
    /// A wallet elsewhere that pays instead of the node.
    pub payer: Option<lightning::WalletUri>,
    /// What binds bots and agents.
    pub budget: Budget,
    /// What this process is, for whoever finds the directory taken.
    pub what: &'static str,
}

/// A running earnest.
pub struct App {
    handle: Handle,
    keys: Arc<Keys>,
    node: Arc<Node>,
    pool: Arc<Pool>,
    endpoint: Arc<Endpoint>,
    task: tokio::task::JoinHandle<()>,
}

impl App {
    /// Takes the directory, starts every part and then the engine. Must run on a multi-thread runtime.
    pub async fn open(setup: Setup, keys: Arc<Keys>) -> anyhow::Result<Self> {
        Self::open_with(setup, keys, |ports| ports).await
    }

    /// Like [`App::open`], with the ports changed before the engine gets them: the sandbox's stories break
    /// one thing at a time.
    pub async fn open_with(
        setup: Setup,
        keys: Arc<Keys>,
        change: impl FnOnce(Ports) -> Ports,
    ) -> anyhow::Result<Self> {
        // The store first: its lock says who owns the directory.
        let store = Database::open(&setup.dir, setup.what)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let node = Node::start(lightning::NodeConfig {
            seed: keys.lightning_seed(),
            dir: setup.dir.join(NODE),
            payer: Some(setup.dir.join(PAYER)),
            network: setup.network,
            chain: setup.chain,
            lsp: setup.lsp,
            listen: setup.listen,
            alias: None,
            lsp_fee_cap_ppm: setup.lsp_fee_cap_ppm,
            max_lsp_fee: MOST_LSP_FEE,
            runtime: tokio::runtime::Handle::current(),
        })
        .await
        .context("The Lightning node did not start")?;
        let mut endpoint = EndpointConfig::new(*keys.endpoint_secret());
        endpoint.bind = setup.bind;
        endpoint.relay = setup.relay;
        let endpoint = port::bind(&setup.dir, endpoint).await?;
        let pool = PoolConfig::new(setup.relays.clone(), Arc::clone(&clock));
        let pool = Pool::start(PoolConfig { scribe: Some(keys.clone()), ..pool });
        let files = JobFiles::new(&setup.dir)?;
        let status = node.status().await.ok();
        let mut spendable = status.as_ref().map_or(Msat::ZERO, |s| s.balances.lightning_spendable);
        let lightning: Arc<dyn engine::Lightning> = match setup.payer {
            None => node.clone(),
            Some(uri) => {
                // What that one has, it says when it is asked.
                spendable = Msat::ZERO;
                let dir = setup.dir.join(PAYER);
                let home = setup.dir.join(NODE);
                Arc::new(Remote::start(node.clone(), &home, uri, &dir, || SystemClock.now()).await?)
            }
        };
        let ports = change(Ports {
            scribe: keys.clone(),
            relays: pool.clone(),
            lightning,
            transfer: endpoint.clone(),
            files: Arc::new(files),
            clock: clock.clone(),
            dice: Arc::new(OsDice),
        });
        let me = Me {
            node: node.node(),
            address: endpoint.address(),
            relays: setup.relays,
            network: setup.network,
            spendable,
            least_first: status.as_ref().and_then(|s| s.least_first),
            receivable: status.as_ref().map_or(Msat::ZERO, |s| s.balances.lightning_receivable),
            policy: setup.policy,
        };
        let mut core = Core::open(store, keys.clone(), clock, Arc::new(OsDice), me)?;
        core.set_budget(setup.budget);
        let (handle, task) = engine::start(core, ports);
        let handle = handle.with_wallet(node.clone());
        Ok(Self { handle, keys, node, pool, endpoint, task })
    }

    /// How everybody speaks to it.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }
    /// The node, for the wallet's verbs.
    pub fn node(&self) -> &Arc<Node> {
        &self.node
    }
    /// The endpoint.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }
    /// Our identity, as people write it.
    pub fn npub(&self) -> String {
        crate::keys::npub(&self.keys.identity())
    }

    /// Stops everything in order: no new effect, then endpoint and relays, the node last and gracefully.
    /// Whatever was not done goes on at the next start.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.handle.stop().await;
        let _ = (&mut self.task).await;
        self.endpoint.close().await;
        self.pool.close();
        self.node.stop().await.context("The Lightning node did not stop well")
    }
}

impl Drop for App {
    /// Whoever is interrupted drops it without a stop. Its task keeps the node, and would until the runtime
    /// ends, when LDK can write nothing any more and panics.
    fn drop(&mut self) {
        if let Err(why) = self.node.halt() {
            tracing::error!(%why, "the Lightning node did not stop");
        }
    }
}

/// The node's own folder.
const NODE: &str = "node";
/// The folder of whoever pays instead of the node.
const PAYER: &str = "wallet";

/// What an LSP may keep of a small first payment whatever the parts per million say.
pub const MOST_LSP_FEE: Msat = match Msat::sats(3_000) {
    Some(fee) => fee,
    None => Msat::ZERO,
};

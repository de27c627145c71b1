//! The node: started under a lock, stopped with grace, and every call to it off the async workers.

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use ldk_node::config::Config;
use ldk_node::{Builder, NodeError};
use tokio::runtime::{Handle, RuntimeFlavor};
use zeroize::Zeroizing;

use super::bill::Terms;
use super::channels::Peer;
use super::events::Given;
use super::hashes::Hashes;
use super::invoice::Signer;
use super::journal::Journal;
use super::lock::Lock;
use crate::engine::Fault;
use crate::market::{Msat, Network, NodeId};

/// Coins on the chain that one anchor channel should have behind it, to pay for its closing when fees
/// are high. What ldk-node reserves by default.
pub(super) const ANCHOR_RESERVE_SATS: u64 = 25_000;

/// Where the node learns of blocks.
#[derive(Clone, PartialEq, Eq)]
pub enum Chain {
    /// Bitcoin Core's RPC, or the sandbox's.
    Bitcoind {
        /// Host.
        host: String,
        /// Port.
        port: u16,
        /// RPC user.
        user: String,
        /// RPC password.
        password: String,
    },
    /// An Esplora server.
    Esplora {
        /// Its base URL.
        url: String,
    },
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bitcoind { host, port, .. } => write!(f, "Bitcoind({host}:{port}, ..)"),
            Self::Esplora { .. } => f.write_str("Esplora(..)"),
        }
    }
}

/// A liquidity provider (LSPS2, bLIP-52): opens a channel to us when a first payment arrives.
#[derive(Clone, PartialEq, Eq)]
pub struct Lsp {
    /// Its id and where it listens.
    pub peer: Peer,
    /// What it may ask of its clients to show.
    pub token: Option<String>,
}

impl fmt::Debug for Lsp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lsp({})", self.peer)
    }
}

/// What a node is started with.
pub struct NodeConfig {
    /// BIP-39 seed. Everything the node owns follows from it.
    pub seed: Zeroizing<[u8; 64]>,
    /// The node's own directory; created if it is not there.
    pub dir: PathBuf,
    /// Where a wallet that pays instead keeps its record, or kept it: what that one may have paid, the node
    /// does not pay.
    pub payer: Option<PathBuf>,
    /// Which chain the money is on.
    pub network: Network,
    /// Where it learns of blocks.
    pub chain: Chain,
    /// Who opens the first channel; `None` receives over channels opened by hand only.
    pub lsp: Option<Lsp>,
    /// Where it listens for peers; `None` only dials out.
    pub listen: Option<SocketAddr>,
    /// What it calls itself to peers; at most 32 bytes.
    pub alias: Option<String>,
    /// The most an LSP may keep of a payment, in parts per million...
    pub lsp_fee_cap_ppm: u64,
    /// ...or this much, whichever is more.
    pub max_lsp_fee: Msat,
    /// Where it runs. Must be a multi-thread runtime: ldk-node blocks in place.
    pub runtime: Handle,
}

impl fmt::Debug for NodeConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeConfig")
            .field("dir", &self.dir)
            .field("network", &self.network)
            .field("chain", &self.chain)
            .field("lsp", &self.lsp)
            .field("listen", &self.listen)
            .finish_non_exhaustive()
    }
}

/// An embedded Lightning node. One process owns it; [`Node::stop`] it before the end.
pub struct Node {
    pub(super) inner: Arc<Inner>,
    runtime: Handle,
    /// While it is here, peers are kept in touch with.
    watch: Mutex<Option<Sender<Infallible>>>,
    /// One consumer of events at a time.
    pub(super) consumer: tokio::sync::Mutex<()>,
}

pub(super) struct Inner {
    pub(super) ldk: Ldk,
    pub(super) id: NodeId,
    pub(super) network: Network,
    pub(super) hashes: Hashes,
    pub(super) payer: Option<PathBuf>,
    pub(super) journal: Arc<Journal>,
    pub(super) signer: Signer,
    pub(super) lsp: Option<Lsp>,
    pub(super) lsp_fee_cap_ppm: u64,
    pub(super) max_lsp_fee: Msat,
    pub(super) anchor_reserve_sats: u64,
    /// Seconds since 1970 when this process started the node.
    pub(super) started: u64,
    pub(super) terms: Mutex<Option<Terms>>,
    pub(super) trouble: Mutex<Option<String>>,
    pub(super) given: Mutex<Given>,
    /// One request to the LSP at a time: what the journal hears belongs to it.
    pub(super) lsp_call: Mutex<()>,
    /// A lock a hash, sixteen for all: two calls to pay one invoice are one after the other.
    pub(super) paying: [Mutex<()>; 16],
    /// One payment by hand at a time is judged and sent; taken before any of `paying`.
    pub(super) by_hand_turn: Mutex<()>,
    stopped: AtomicBool,
    lock: Mutex<Option<Lock>>,
}

impl Node {
    /// Locks the directory, then builds and starts the node, and begins to keep in touch with the LSP.
    ///
    /// # Errors
    /// A sentence for a person: the directory is in use (by which process), the chain source does not
    /// answer, the address to listen on is taken, the store cannot be read.
    pub async fn start(config: NodeConfig) -> anyhow::Result<Arc<Self>> {
        Self::start_as(config, |_, _| {}).await
    }

    /// [`Node::start`] with further settings of ldk-node's own.
    pub(crate) async fn start_as(
        config: NodeConfig,
        also: impl Fn(&mut Config, &mut Option<ldk_node::liquidity::LSPS2ServiceConfig>)
        + Send
        + 'static,
    ) -> anyhow::Result<Arc<Self>> {
        let runtime = config.runtime.clone();
        if runtime.runtime_flavor() != RuntimeFlavor::MultiThread {
            bail!("the Lightning node needs a runtime with several threads");
        }
        let inner = runtime.spawn_blocking(move || build(&config, &also)).await??;
        let node = Arc::new(Self {
            inner: Arc::new(inner),
            runtime,
            watch: Mutex::new(None),
            consumer: tokio::sync::Mutex::new(()),
        });
        let (watch, watched) = channel();
        let (inner, runtime) = (node.inner.clone(), node.runtime.clone());
        // A thread of its own: a call of ldk-node that waits for a peer while everything ends may never come
        // back, and whoever ends a runtime waits for its threads.
        std::thread::Builder::new().name("earnest-dial".into()).spawn(move || {
            let _inside = runtime.enter();
            keep_in_touch(&inner, &watched);
        })?;
        *node.watch.lock().unwrap_or_else(PoisonError::into_inner) = Some(watch);
        Ok(node)
    }

    /// Stops the node and frees its directory. Waits until LDK has written everything; further calls
    /// are nothing.
    ///
    /// # Errors
    /// `Later` if LDK could not be stopped; the directory stays locked then.
    pub async fn stop(&self) -> Result<(), Fault> {
        self.let_go();
        let inner = self.inner.clone();
        match self.runtime.spawn_blocking(move || inner.halt()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(why)) => Err(Fault::Later(format!("The Lightning node did not stop: {why}."))),
            Err(why) => Err(Fault::Later(format!("The Lightning node did not stop: {why}."))),
        }
    }

    /// [`Node::stop`] for a `Drop`, where nothing can be awaited.
    pub(crate) fn halt(&self) -> anyhow::Result<()> {
        self.let_go();
        self.inner.halt()
    }

    /// Dials nobody any more.
    fn let_go(&self) {
        *self.watch.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The best block height the node knows.
    pub fn height(&self) -> u32 {
        self.inner.ldk.status().current_best_block.height
    }

    /// Runs a call to ldk-node where it may block.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        run: impl FnOnce(&Inner) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        if self.inner.stopped.load(Ordering::SeqCst) {
            return Err(Fault::Later("The Lightning node is stopped. No money moved.".to_owned()));
        }
        let inner = self.inner.clone();
        match self.runtime.spawn_blocking(move || run(&inner)).await {
            Ok(result) => result,
            Err(why) => Err(Fault::Later(format!(
                "The Lightning node broke off in the middle of a call ({why}). Ask again: a \
                 payment is never made twice."
            ))),
        }
    }
}

impl Inner {
    fn halt(&self) -> anyhow::Result<()> {
        if self.stopped.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        self.ldk.stop()?;
        *self.lock.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }
}

/// ldk-node's node, which cannot take the process down by being dropped: its own `Drop` stops it, and that
/// panics where the runtime ends already, or where a first stop panicked.
pub(super) struct Ldk(Arc<ldk_node::Node>);

impl Ldk {
    /// Stops it; nothing if it is stopped.
    fn stop(&self) -> anyhow::Result<()> {
        match catch_unwind(AssertUnwindSafe(|| self.0.stop())) {
            Ok(Ok(()) | Err(NodeError::NotRunning)) => Ok(()),
            Ok(Err(why)) => Err(why.into()),
            Err(_) => Err(anyhow!("it broke off; what it had written is good")),
        }
    }
}

impl Deref for Ldk {
    type Target = ldk_node::Node;

    fn deref(&self) -> &ldk_node::Node {
        &self.0
    }
}

impl Drop for Ldk {
    /// What does not stop is never dropped: the end of the process is near, and takes it along.
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::mem::forget(Arc::clone(&self.0));
        } else if let Err(why) = self.stop() {
            tracing::error!(%why, "the Lightning node did not stop");
            std::mem::forget(Arc::clone(&self.0));
        }
    }
}

impl Drop for Node {
    /// Stops what was forgotten. Left to ldk-node's own `Drop`, that would happen when the last of its
    /// tasks ends, which may be while the runtime goes down and can wait for nothing any more.
    fn drop(&mut self) {
        if !self.inner.stopped.load(Ordering::SeqCst) {
            let node = self.inner.id.short();
            tracing::error!(%node, "the Lightning node was dropped without being stopped");
        }
        if let Err(why) = self.halt() {
            tracing::error!(%why, "and it did not stop");
        }
    }
}

/// Seconds since 1970.
#[expect(clippy::disallowed_methods, reason = "invoices expire by the clock of the machine")]
pub(super) fn unix_now() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

pub(super) fn on_chain(network: Network) -> bitcoin::Network {
    match network {
        Network::Bitcoin => bitcoin::Network::Bitcoin,
        Network::Signet => bitcoin::Network::Signet,
        Network::Testnet => bitcoin::Network::Testnet,
        Network::Regtest => bitcoin::Network::Regtest,
    }
}

type Also = dyn Fn(&mut Config, &mut Option<ldk_node::liquidity::LSPS2ServiceConfig>);

fn build(config: &NodeConfig, also: &Also) -> anyhow::Result<Inner> {
    private_dir(&config.dir)?;
    let lock = Lock::take(&config.dir)?;
    let journal = Arc::new(Journal::open(&config.dir)?);
    let hashes = Hashes::open(&config.dir)?;

    // A worker without a coin must be able to accept its first channel, so nothing is reserved until
    // there is something to reserve for the channels there are and the next one.
    let mut ldk = assemble(config, also, 0, &journal)?;
    let mut anchor_reserve_sats = 0;
    let channels = ldk.list_channels().len() as u64;
    if ldk.list_balances().total_onchain_balance_sats >= ANCHOR_RESERVE_SATS * (channels + 1) {
        drop(ldk);
        anchor_reserve_sats = ANCHOR_RESERVE_SATS;
        ldk = assemble(config, also, anchor_reserve_sats, &journal)?;
    }
    ldk.start().map_err(|why| cannot_start(config, why))?;

    let id = NodeId(ldk.node_id().serialize());
    Ok(Inner {
        id,
        network: config.network,
        hashes,
        payer: config.payer.clone(),
        journal,
        signer: Signer::new(&config.seed, on_chain(config.network))?,
        lsp: config.lsp.clone(),
        lsp_fee_cap_ppm: config.lsp_fee_cap_ppm,
        max_lsp_fee: config.max_lsp_fee,
        anchor_reserve_sats,
        started: unix_now(),
        terms: Mutex::default(),
        trouble: Mutex::default(),
        given: Mutex::default(),
        lsp_call: Mutex::default(),
        paying: Default::default(),
        by_hand_turn: Mutex::default(),
        stopped: AtomicBool::new(false),
        lock: Mutex::new(Some(lock)),
        ldk: Ldk(Arc::new(ldk)),
    })
}

fn assemble(
    config: &NodeConfig,
    also: &Also,
    reserve_sats: u64,
    journal: &Arc<Journal>,
) -> anyhow::Result<ldk_node::Node> {
    let mut settings = Config {
        network: on_chain(config.network),
        storage_dir_path: config
            .dir
            .to_str()
            .ok_or_else(|| anyhow!("the path {} is not UTF-8", config.dir.display()))?
            .to_owned(),
        ..Config::default()
    };
    if let Some(listen) = config.listen {
        settings.listening_addresses = Some(vec![listen.into()]);
    }
    if let Some(lsp) = &config.lsp {
        settings.trusted_peers_0conf.push(lsp.peer.key()?);
    }
    if let Some(anchors) = settings.anchor_channels_config.as_mut() {
        anchors.per_channel_reserve_sats = reserve_sats;
    }
    let mut serve = None;
    also(&mut settings, &mut serve);

    let mut builder = Builder::from_config(settings);
    builder.set_runtime(config.runtime.clone());
    builder.set_custom_logger(journal.clone());
    builder.set_entropy_seed_bytes(*config.seed);
    if let Some(alias) = &config.alias {
        builder
            .set_node_alias(alias.clone())
            .map_err(|_| anyhow!("the node's name `{alias}` is longer than 32 bytes"))?;
    }
    match &config.chain {
        Chain::Bitcoind { host, port, user, password } => {
            builder.set_chain_source_bitcoind_rpc(
                host.clone(),
                *port,
                user.clone(),
                password.clone(),
            );
        }
        Chain::Esplora { url } => {
            builder.set_chain_source_esplora(url.clone(), None);
        }
    }
    if let Some(lsp) = &config.lsp {
        builder.set_liquidity_source_lsps2(
            lsp.peer.key()?,
            lsp.peer.socket_address()?,
            lsp.token.clone(),
        );
    }
    if let Some(serve) = serve {
        builder.set_liquidity_provider_lsps2(serve);
    }
    builder.build().map_err(|why| {
        anyhow!(
            "the Lightning node in {} cannot be opened: {why}. Nothing was changed; see node.log \
             there.",
            config.dir.display()
        )
    })
}

fn cannot_start(config: &NodeConfig, why: NodeError) -> anyhow::Error {
    match why {
        NodeError::InvalidSocketAddress => match config.listen {
            Some(at) => anyhow!("the Lightning node cannot listen on {at}: is it in use?"),
            None => anyhow!("the Lightning node cannot listen"),
        },
        NodeError::FeerateEstimationUpdateFailed | NodeError::FeerateEstimationUpdateTimeout => {
            anyhow!(
                "the Lightning node did not start: {:?} gives no fee estimates. No money was \
                 touched; check that it runs and is synced.",
                config.chain
            )
        }
        why => anyhow!("the Lightning node did not start: {why}. No money was touched."),
    }
}

fn private_dir(dir: &Path) -> anyhow::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir).with_context(|| format!("cannot create {}", dir.display()))
}

/// Dials every peer that we know until it answers, again whenever it is gone (ldk-node itself tries once
/// a minute), and asks the LSP for its terms when they may have changed. Ends when the node lets go.
fn keep_in_touch(inner: &Inner, watched: &Receiver<Infallible>) {
    const CALM: Duration = Duration::from_secs(1);
    const WORST: Duration = Duration::from_secs(30);
    let mut wait = CALM;
    loop {
        let all_well = inner.redial() & inner.greet_lsp();
        wait = if all_well { CALM } else { (wait * 2).min(WORST) };
        match watched.recv_timeout(wait) {
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

//! The sandbox's LSP: a node that opens channels just in time (LSPS2), and the hub that everybody else
//! has a channel with.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use ldk_node::liquidity::LSPS2ServiceConfig;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use super::client::{Client, Endpoint, HttpClient};
use crate::engine::{Fault, Lightning, NodeStatus};
use crate::lightning::{Chain, ChannelInfo, Holdings, Node, NodeConfig, Peer};
use crate::market::{Msat, Network, NodeEvent};

/// What it keeps of the payment that opens a channel, in parts per million.
pub const FEE_PPM: u32 = 10_000;

/// How much larger than its first payment a channel is made, in parts per million: four times. LDK makes
/// it exactly proportional, so at two times a second job of the same price would no longer fit in beside
/// reserve and commitment fee, and would cost another channel.
pub const OVER_PROVISIONING_PPM: u32 = 3_000_000;

/// The least first payment: 5,000 sat. Its channel has 19,800 sat, of which the LSP must keep 1,000 in
/// reserve and about 1,300 for commitment fee, anchors and LDK's buffer. From about 3,000 sat on down
/// the first HTLC itself no longer fits (ldk-node#913), and the payer's money hangs.
pub const LEAST_FIRST_PAYMENT_MSAT: u64 = 5_000_000;

/// The most: a hundredth of a bitcoin.
pub const MOST_FIRST_PAYMENT_MSAT: u64 = 1_000_000_000;

/// A call to the chain may take so long.
const CALL: Duration = Duration::from_secs(10);

/// A free port may be taken between finding and using it.
const PORT_TRIES: u32 = 5;

/// How to start one.
#[derive(Debug)]
pub struct LspConfig {
    /// Its BIP-39 seed.
    pub seed: Zeroizing<[u8; 64]>,
    /// Its own directory. It keeps its port there: its clients remember it.
    pub dir: PathBuf,
    /// The sandbox's chain.
    pub chain: Endpoint,
    /// Where it runs; multi-thread.
    pub runtime: Handle,
    /// What it keeps of a first payment, in parts per million; [`FEE_PPM`] unless a story says
    /// otherwise.
    pub fee_ppm: u32,
}

/// A running LSP. [`Lsp::stop`] it before the end.
pub struct Lsp {
    node: Arc<Node>,
    peer: Peer,
    events: JoinHandle<()>,
}

impl Lsp {
    /// Starts it on a free port of this machine, the same one as the last time if it can be had.
    ///
    /// # Errors
    /// The chain does not answer, no port is free, the directory is in use.
    pub async fn start(config: LspConfig) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&config.dir)
            .with_context(|| format!("cannot create {}", config.dir.display()))?;
        let kept = config.dir.join("port");
        let mut last: Option<u16> =
            std::fs::read_to_string(&kept).ok().and_then(|port| port.trim().parse().ok());
        let mut failed = anyhow!("no port was tried");
        for _ in 0..PORT_TRIES {
            let port = match last.take() {
                Some(port) => port,
                None => free_port()?,
            };
            let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            match start_node(&config, listen).await {
                Ok(node) => {
                    std::fs::write(&kept, port.to_string())
                        .with_context(|| format!("cannot write {}", kept.display()))?;
                    let peer = Peer { id: node.node(), address: listen.to_string() };
                    let chain = Client::Http(HttpClient::new(config.chain.clone(), CALL)?);
                    let events = config.runtime.spawn(drain(Arc::clone(&node), chain));
                    return Ok(Self { node, peer, events });
                }
                Err(why) => failed = why,
            }
        }
        Err(failed)
    }

    /// Its id and where it listens.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// The node itself, for its wallet's verbs.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// An address of its wallet: have the faucet pay to it, then mine, then [`Lsp::sync`]. It needs four
    /// times what its clients are to receive, and 25,000 sat in reserve for each of them.
    pub async fn new_address(&self) -> Result<String, Fault> {
        self.node.new_address().await
    }

    /// Opens an ordinary channel to a node that listens; returns its id. Others open theirs to
    /// [`Lsp::peer`], and it accepts.
    pub async fn open_channel(&self, to: &Peer, sats: u64) -> Result<String, Fault> {
        self.node.open_channel(to, sats).await
    }

    /// Its channels.
    pub async fn channels(&self) -> Result<Vec<ChannelInfo>, Fault> {
        self.node.channels().await
    }

    /// Learns of new blocks now.
    pub async fn sync(&self) -> Result<(), Fault> {
        self.node.sync().await
    }

    /// What it has, for the account.
    pub async fn holdings(&self) -> Result<Holdings, Fault> {
        self.node.holdings().await
    }

    /// At a glance.
    pub async fn status(&self) -> Result<NodeStatus, Fault> {
        self.node.status().await
    }

    /// Stops it and frees its directory.
    pub async fn stop(&self) -> Result<(), Fault> {
        self.events.abort();
        self.node.stop().await
    }
}

impl Drop for Lsp {
    fn drop(&mut self) {
        self.events.abort();
        // Its task keeps the node alive for a while yet; it is stopped now, if nobody did.
        if let Err(why) = self.node.halt() {
            tracing::error!(%why, "the LSP did not stop");
        }
    }
}

async fn start_node(config: &LspConfig, listen: SocketAddr) -> anyhow::Result<Arc<Node>> {
    let service = LSPS2ServiceConfig {
        require_token: None,
        advertise_service: false,
        channel_opening_fee_ppm: config.fee_ppm,
        channel_over_provisioning_ppm: OVER_PROVISIONING_PPM,
        min_channel_opening_fee_msat: 0,
        min_channel_lifetime: 4_320,
        max_client_to_self_delay: 1_024,
        min_payment_size_msat: LEAST_FIRST_PAYMENT_MSAT,
        max_payment_size_msat: MOST_FIRST_PAYMENT_MSAT,
        // The funding transaction is published at once: a payment may be held for days on a channel,
        // and one that exists only by the LSP's word holds nothing.
        client_trusts_lsp: false,
    };
    let node = NodeConfig {
        seed: config.seed.clone(),
        dir: config.dir.clone(),
        payer: None,
        network: Network::Regtest,
        chain: Chain::Bitcoind {
            host: config.chain.host.clone(),
            port: config.chain.port,
            user: config.chain.user.clone(),
            password: config.chain.password.clone(),
        },
        lsp: None,
        listen: Some(listen),
        alias: Some("sandbox-lsp".to_owned()),
        lsp_fee_cap_ppm: 0,
        max_lsp_fee: Msat::ZERO,
        runtime: config.runtime.clone(),
    };
    Node::start_as(node, move |_, serve| *serve = Some(service.clone())).await
}

/// Nobody waits for what an LSP's node says; the queue must not grow.
async fn drain(node: Arc<Node>, chain: Client) {
    loop {
        let event = node.next().await;
        tracing::debug!(?event, "lsp");
        if matches!(event, NodeEvent::Channels(_))
            && let Err(why) = see_funding(&node, &chain).await
        {
            tracing::warn!(%why, "the LSP cannot look at the chain");
        }
        if let Err(fault) = node.handled().await {
            tracing::warn!(%fault, "the LSP cannot take an event off its queue");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

/// ldk-node's wallet learns of a funding transaction of its own only by looking at the chain, every two
/// seconds. Of two channels opened in between, the second would spend the coin of the first: it would never
/// confirm, and could be used all the same (zero confirmations). So it looks as soon as there is something
/// to see: the event comes before the transaction has been sent.
async fn see_funding(node: &Node, chain: &Client) -> anyhow::Result<()> {
    const TRIES: u32 = 200;
    for _ in 0..TRIES {
        let mut sent = true;
        for txid in node.unconfirmed().await? {
            sent &= chain.transaction(&txid).await?.is_some();
        }
        if sent {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(node.sync().await?)
}

fn free_port() -> anyhow::Result<u16> {
    let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port is free")?;
    Ok(probe.local_addr()?.port())
}

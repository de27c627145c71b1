//! The endpoint: our key, our sockets, both sides of the protocol.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use iroh::endpoint::{QuicTransportConfig, VarInt, presets};
use iroh::{RelayMode, RelayUrl, SecretKey, TransportAddr, Watcher};
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use super::gate::Gate;
use super::{fetch, serve};
use crate::engine::{Fault, FetchOrder, Grant, Transfer};
use crate::market::{Address, Digest, EndpointId};
use crate::transfer::LARGEST;

/// The protocol's name in the TLS handshake.
pub const ALPN: &[u8] = b"earnest/blob/1";

/// Direct addresses in an [`Address`], at most.
const MOST_DIRECT: usize = 8;

/// Bytes sent and not acknowledged, a connection: a little more than what a fetch asks for at once.
const SEND_WINDOW: u64 = 8 << 20;

/// Which relay helps through NATs. A relay sees both endpoint ids and ciphertext.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum RelayChoice {
    /// None: direct addresses only.
    #[default]
    Disabled,
    /// The public relays of n0, iroh's makers.
    Default,
    /// This one.
    Url(String),
}

/// Where to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bind {
    /// Every interface, IPv4 and IPv6; port 0 takes a free one.
    Any(u16),
    /// One address; port 0 takes a free one.
    At(SocketAddr),
}

/// What peers may take of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Handshakes under way; from half of it on, addresses are validated first (QUIC Retry).
    pub handshakes: usize,
    /// Connections of all peers. Each may hold 8 MiB that wait for acknowledgement.
    pub connections: usize,
    /// Connections of one peer.
    pub connections_per_endpoint: usize,
    /// Streams of all peers that read a file.
    pub streams: usize,
    /// Streams of one connection; a fetch opens nine.
    pub streams_per_connection: u32,
    /// How long a handshake may take.
    pub handshake: Duration,
    /// How long a peer may take to say what it wants, once asked.
    pub request: Duration,
    /// How long a connection may take nothing on any stream.
    pub stall: Duration,
    /// How long a connection without a stream stays open.
    pub idle: Duration,
    /// The slowest peer that is served to the end, bytes a second; ten minutes are always given.
    pub least_rate: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshakes: 64,
            connections: 32,
            connections_per_endpoint: 4,
            streams: 160,
            streams_per_connection: 12,
            handshake: Duration::from_secs(10),
            request: Duration::from_secs(30),
            stall: Duration::from_secs(30),
            idle: Duration::from_secs(30),
            least_rate: 4 * 1024,
        }
    }
}

impl Limits {
    /// How long sending `size` bytes may take in all.
    pub(super) fn total(&self, size: u64) -> Duration {
        Duration::from_secs(600 + size / self.least_rate.max(1))
    }
}

/// How long a fetch waits before it gives up for now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patience {
    /// For the connection.
    pub connect: Duration,
    /// For the answer to a request.
    pub answer: Duration,
    /// For the next 16 KiB.
    pub stall: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            answer: Duration::from_secs(30),
            stall: Duration::from_secs(30),
        }
    }
}

/// How to make an [`Endpoint`].
#[derive(Clone)]
pub struct EndpointConfig {
    /// The Ed25519 seed of our endpoint id.
    pub secret: Zeroizing<[u8; 32]>,
    /// None by default.
    pub relay: RelayChoice,
    /// A free port on every interface by default.
    pub bind: Bind,
    /// As a holder.
    pub limits: Limits,
    /// As one who fetches.
    pub patience: Patience,
}

impl EndpointConfig {
    /// The defaults with this key.
    pub fn new(secret: [u8; 32]) -> Self {
        Self {
            secret: Zeroizing::new(secret),
            relay: RelayChoice::default(),
            bind: Bind::Any(0),
            limits: Limits::default(),
            patience: Patience::default(),
        }
    }
}

impl fmt::Debug for EndpointConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointConfig")
            .field("relay", &self.relay)
            .field("bind", &self.bind)
            .field("limits", &self.limits)
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}

/// The transfer endpoint. Dropping it cuts every transfer; [`Endpoint::close`] says goodbye first.
pub struct Endpoint {
    pub(super) iroh: iroh::Endpoint,
    pub(super) patience: Patience,
    /// Paths that are being fetched to.
    pub(super) places: Arc<Mutex<BTreeSet<PathBuf>>>,
    /// Whether we use relays at all, and so may use the one that a peer names.
    pub(super) relays: bool,
    gate: Arc<Gate>,
    relay: Option<RelayUrl>,
    accepting: JoinHandle<()>,
}

impl Endpoint {
    /// Where it listens; the same for IPv4 and IPv6 where both could have it.
    pub fn port(&self) -> Option<u16> {
        self.iroh.bound_sockets().first().map(std::net::SocketAddr::port)
    }

    /// Opens the sockets and begins to serve. Contacts nobody, unless a relay is configured.
    ///
    /// # Errors
    /// If the port is taken or the relay's URL is none.
    pub async fn bind(config: EndpointConfig) -> anyhow::Result<Arc<Self>> {
        let relay = match &config.relay {
            RelayChoice::Url(url) => Some(
                url.parse::<RelayUrl>().with_context(|| format!("{url:?} is not a relay's URL"))?,
            ),
            RelayChoice::Disabled | RelayChoice::Default => None,
        };
        let mode = match (&config.relay, &relay) {
            (RelayChoice::Default, _) => RelayMode::Default,
            (_, Some(url)) => RelayMode::custom([url.clone()]),
            (_, None) => RelayMode::Disabled,
        };
        // What peers send us is 43 bytes a stream, so that is all they may keep us holding.
        let serving = QuicTransportConfig::builder()
            .max_concurrent_bidi_streams(VarInt::from_u32(config.limits.streams_per_connection))
            .max_concurrent_uni_streams(VarInt::from_u32(0))
            .datagram_receive_buffer_size(None)
            .stream_receive_window(VarInt::from_u32(4 << 10))
            .receive_window(VarInt::from_u32(64 << 10))
            .send_window(SEND_WINDOW)
            .build();
        let builder = iroh::Endpoint::builder(presets::Minimal)
            .secret_key(SecretKey::from_bytes(&config.secret))
            .alpns(vec![ALPN.to_vec()])
            .relay_mode(mode)
            .transport_config(serving)
            .clear_ip_transports();
        let builder = match config.bind {
            Bind::At(address) => builder.bind_addr(address)?,
            Bind::Any(port) => builder
                .bind_addr(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))?
                .bind_addr_with_opts(
                    SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)),
                    // Many a machine has no IPv6.
                    iroh::endpoint::BindOpts::default().set_is_required(false),
                )?,
        };
        let iroh = builder.bind().await.with_context(|| {
            format!("Cannot open the transfer endpoint at {:?}: is the port taken?", config.bind)
        })?;
        let mut addresses = iroh.watch_addr();
        let _ = tokio::time::timeout(Duration::from_secs(3), async {
            while addresses.get().is_empty() && addresses.updated().await.is_ok() {}
        })
        .await;
        let gate = Gate::new(config.limits);
        #[expect(clippy::disallowed_methods, reason = "the accepting task; its handle is kept")]
        let accepting = tokio::spawn(serve::accept(iroh.clone(), gate.clone()));
        Ok(Arc::new(Self {
            iroh,
            patience: config.patience,
            places: Arc::default(),
            relays: config.relay != RelayChoice::Disabled,
            gate,
            relay,
            accepting,
        }))
    }

    /// Our endpoint id.
    pub fn id(&self) -> EndpointId {
        EndpointId(*self.iroh.id().as_bytes())
    }

    /// Closes every connection and the sockets. What was being fetched keeps its partial.
    pub async fn close(&self) {
        self.iroh.close().await;
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({})", self.id().short())
    }
}

#[async_trait]
impl Transfer for Endpoint {
    fn address(&self) -> Address {
        let here = self.iroh.addr();
        let mut direct: Vec<SocketAddr> = here.ip_addrs().copied().collect();
        if direct.is_empty() {
            direct = self.iroh.bound_sockets();
            direct.retain(|address| !address.ip().is_unspecified());
        }
        // Those that strangers can reach first: only eight are told.
        direct.sort_by_key(|address| (address.ip().is_loopback(), address.is_ipv6()));
        direct.truncate(MOST_DIRECT);
        let relay = self.relay.clone().or_else(|| here.relay_urls().next().cloned());
        Address {
            endpoint: self.id(),
            direct: direct.iter().map(SocketAddr::to_string).collect(),
            relay: relay.map(|url| url.to_string()),
        }
    }

    async fn serve(&self, grant: &Grant) -> Result<(), Fault> {
        if grant.size > LARGEST {
            return Err(Fault::Never(format!(
                "{} is larger than 256 GiB, which is the most that is transferred. Split it.",
                grant.path.display()
            )));
        }
        self.gate.grant(grant).await
    }

    async fn revoke(&self, blob: &Digest, to: &EndpointId) -> Result<(), Fault> {
        self.gate.revoke(blob, to);
        Ok(())
    }

    async fn fetch(
        &self,
        order: &FetchOrder,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<(), Fault> {
        fetch::fetch(self, order, progress).await
    }
}

/// The address in iroh's words.
///
/// # Errors
/// `Never` if it names no endpoint, or no way to reach it.
pub(super) fn reach(address: &Address, relays: bool) -> Result<iroh::EndpointAddr, Fault> {
    let id = iroh::EndpointId::from_bytes(address.endpoint.as_bytes())
        .map_err(|_| Fault::Never("The address of the other side names no endpoint.".into()))?;
    let direct = address.direct.iter().take(MOST_DIRECT).filter_map(|text| {
        let at: SocketAddr = text.parse().ok()?;
        let real = at.port() != 0 && !at.ip().is_unspecified() && !at.ip().is_multicast();
        real.then_some(TransportAddr::Ip(at))
    });
    let relay = address.relay.iter().filter(|_| relays);
    let relay = relay.filter_map(|url| url.parse().ok().map(TransportAddr::Relay));
    let reach = iroh::EndpointAddr::from_parts(id, direct.chain(relay));
    if reach.is_empty() {
        return Err(Fault::Never(
            "The other side gave no address that it can be reached at. No money moved.".into(),
        ));
    }
    Ok(reach)
}

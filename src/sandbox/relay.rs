//! A real relay: nostr-relay-builder behind a front that also answers NIP-11, keeps what earnest needs
//! and refuses the rest. The sandbox and the tests run it, and so does who wants a relay of their own.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use nostr_lmdb::NostrLMDB;
use nostr_relay_builder::builder::{PolicyResult, RateLimit, WritePolicy};
use nostr_relay_builder::{LocalRelay, RelayBuilder};
use nostr_sdk::util::BoxedFuture;
use nostr_sdk::{Event, JsonUtil};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::engine::Clock;
use crate::market::{Span, Time};

/// What earnest publishes, and what its users' other clients need beside it: profile, deletion, gift
/// wraps, job channels, fraud proofs, certificates' receipts, reports, labels, relay lists, listings.
pub const KINDS: [u16; 13] =
    [0, 3, 5, 1059, 3920, 3922, 3923, 1984, 1985, 10002, 10050, 30402, 30403];

/// How a relay is run.
#[derive(Clone)]
pub struct RelayConfig {
    /// Where its events are kept (LMDB); in memory when `None`.
    pub dir: Option<PathBuf>,
    /// The address it listens on.
    pub ip: IpAddr,
    /// Its port; 0 for any that is free.
    pub port: u16,
    /// The kinds it takes; every kind when empty.
    pub kinds: BTreeSet<u16>,
    /// Bytes of an event's JSON.
    pub max_event: usize,
    /// Tags of an event.
    pub max_tags: usize,
    /// How far ahead an event may be dated.
    pub max_skew: Span,
    /// Events in one answer.
    pub max_limit: usize,
    /// Events a minute from one connection. The library's default of 60 is fewer than one busy job.
    pub events_per_minute: u32,
    /// Leading zero bits it wants of every event (NIP-13).
    pub min_pow: u8,
    /// Whether reading takes authentication (NIP-42), by any key.
    pub auth_to_read: bool,
    /// Whether its limits are published (NIP-11).
    pub publish_limits: bool,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

impl RelayConfig {
    /// The defaults: on loopback, any port, in memory, a gig relay's kinds and limits.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            dir: None,
            ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 0,
            kinds: KINDS.into(),
            max_event: 64 * 1024,
            max_tags: 500,
            max_skew: Span::MINUTE.times(15),
            max_limit: 500,
            events_per_minute: 100_000,
            min_pow: 0,
            auth_to_read: false,
            publish_limits: true,
            clock,
        }
    }
}

impl fmt::Debug for RelayConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelayConfig")
            .field("dir", &self.dir)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

/// What the relay takes.
struct Policy(RelayConfig);

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Policy")
    }
}

impl Policy {
    fn refusal(&self, event: &Event) -> Option<String> {
        let Self(config) = self;
        if !config.kinds.is_empty() && !config.kinds.contains(&event.kind.as_u16()) {
            return Some(format!("this relay does not take kind {}", event.kind.as_u16()));
        }
        if event.tags.len() > config.max_tags {
            return Some(format!("more than {} tags", config.max_tags));
        }
        if event.as_json().len() > config.max_event {
            return Some(format!("larger than {} bytes", config.max_event));
        }
        if Time(event.created_at.as_secs()) > config.clock.now().after(config.max_skew) {
            return Some(format!("dated more than {} ahead", config.max_skew));
        }
        None
    }
}

impl WritePolicy for Policy {
    fn admit_event<'a>(
        &'a self,
        event: &'a Event,
        _from: &'a SocketAddr,
    ) -> BoxedFuture<'a, PolicyResult> {
        Box::pin(
            async move { self.refusal(event).map_or(PolicyResult::Accept, PolicyResult::Reject) },
        )
    }
}

/// A running relay; stops when dropped.
pub struct Relay {
    address: SocketAddr,
    task: AbortHandle,
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Relay({})", self.url())
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Relay {
    /// Opens the database, binds the port and begins to serve. Errors if either cannot be had.
    #[expect(
        clippy::disallowed_methods,
        reason = "the relay's one task; its handle lives in Relay"
    )]
    pub async fn start(config: RelayConfig) -> anyhow::Result<Self> {
        let mut builder = RelayBuilder::default()
            .rate_limit(RateLimit { max_reqs: 200, notes_per_minute: config.events_per_minute })
            .max_filter_limit(config.max_limit)
            .default_filter_limit(config.max_limit)
            .min_pow(config.min_pow)
            .write_policy(Policy(config.clone()));
        if config.auth_to_read {
            use nostr_relay_builder::builder::{RelayBuilderNip42, RelayBuilderNip42Mode};
            builder = builder.nip42(RelayBuilderNip42 { mode: RelayBuilderNip42Mode::Read });
        }
        if let Some(dir) = &config.dir {
            std::fs::create_dir_all(dir).with_context(|| {
                format!("the relay's directory {} cannot be made", dir.display())
            })?;
            let database = NostrLMDB::open(dir).with_context(|| {
                format!("the relay's database in {} cannot be opened", dir.display())
            })?;
            builder = builder.database(database);
        }
        let listener = TcpListener::bind((config.ip, config.port))
            .await
            .with_context(|| format!("port {} for the relay is taken", config.port))?;
        let address = listener.local_addr()?;
        let limits: Option<Arc<str>> = config.publish_limits.then(|| document(&config).into());
        let task = tokio::spawn(serve(listener, LocalRelay::new(builder), limits)).abort_handle();
        Ok(Self { address, task })
    }

    /// Where it is, as `ws://`.
    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// The port it got.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Cuts every connection and stops. What is in a directory stays.
    pub fn stop(self) {
        drop(self);
    }
}

/// The information document (NIP-11).
fn document(config: &RelayConfig) -> String {
    json!({
        "name": "earnest gig relay",
        "description": "Listings, first contacts and job channels of earnest; nothing else is kept.",
        "software": "https://crates.io/crates/earnest",
        "version": env!("CARGO_PKG_VERSION"),
        "supported_nips": [1, 9, 11, 40, 42, 70, 77],
        "limitation": {
            "max_message_length": config.max_event + 1024,
            "max_event_tags": config.max_tags,
            "max_limit": config.max_limit,
            "default_limit": config.max_limit,
            "max_subscriptions": 200,
            "min_pow_difficulty": config.min_pow,
            "auth_required": config.auth_to_read,
            "restricted_writes": !config.kinds.is_empty(),
            "created_at_upper_limit": config.max_skew.0,
        }
    })
    .to_string()
}

/// Accepts connections until aborted; with it end all connections.
async fn serve(listener: TcpListener, relay: LocalRelay, limits: Option<Arc<str>>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, from)) => {
                    let (relay, limits) = (relay.clone(), limits.clone());
                    connections.spawn(async move {
                        if let Err(why) = answer(stream, from, relay, limits).await {
                            tracing::debug!(%from, %why, "relay connection ended");
                        }
                    });
                }
                // Out of file descriptors, most likely: some connection must end first.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Reads the request and either upgrades to a WebSocket or serves the information document.
async fn answer(
    mut stream: TcpStream,
    from: SocketAddr,
    relay: LocalRelay,
    limits: Option<Arc<str>>,
) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let head = tokio::time::timeout(Duration::from_secs(5), head(&mut stream)).await??;
    let field = |name: &str| {
        let fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
        fields.filter(|(n, _)| n.trim().eq_ignore_ascii_case(name)).map(|(_, v)| v.trim()).next()
    };
    if let Some(key) = field("sec-websocket-key") {
        let accept = derive_accept_key(key.as_bytes());
        let switch = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        stream.write_all(switch.as_bytes()).await?;
        return relay.take_connection(stream, from).await.map_err(|e| anyhow::anyhow!("{e}"));
    }
    let (status, kind, body) = match limits {
        Some(limits) => ("200 OK", "application/nostr+json", limits.to_string()),
        None => ("404 Not Found", "text/plain", "a Nostr relay; connect by WebSocket\n".to_owned()),
    };
    let reply = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
         Access-Control-Allow-Origin: *\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(reply.as_bytes()).await?;
    stream.shutdown().await?;
    Ok(())
}

/// The request's head, 8 KiB at most.
async fn head(stream: &mut TcpStream) -> anyhow::Result<String> {
    let mut head = Vec::with_capacity(512);
    while !head.ends_with(b"\r\n\r\n") {
        anyhow::ensure!(head.len() < 8 * 1024, "a request head of more than 8 KiB");
        // A client says nothing more before it is answered, so nothing after the head is lost; byte by
        // byte makes that true of any client.
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8(head)?)
}

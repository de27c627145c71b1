//! The door of the relay: who may come in, and what every connection shares.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use nostr::Event;
use nostr_lmdb::NostrLMDB;
use nostr_relay_builder::builder::RateLimit;
use nostr_relay_builder::prelude::{MemoryDatabase, MemoryDatabaseOptions, NostrDatabase};
use nostr_relay_builder::{LocalRelay, RelayBuilder};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::document::document;
use super::keeper::Keeper;
use super::rates::{Rates, neighbourhood};
use super::reading::Wraps;
use super::rules::{KindRule, Rules};
use super::session::{Session, told_to_stop};
use super::settings::Info;
use crate::engine::Clock;
use crate::market::{Span, Time};

/// What earnest publishes, and what its users' other clients need beside it: profile, deletion, gift
/// wraps, job channels, fraud proofs, certificates' receipts, reports, labels, relay lists, listings.
pub const KINDS: [u16; 13] =
    [0, 3, 5, 1059, 3920, 3922, 3923, 1984, 1985, 10002, 10050, 30402, 30403];

/// Events that are kept where there is no directory.
const IN_MEMORY: usize = 75_000;
/// How long a client may take to say what it wants.
const HEAD: Duration = Duration::from_secs(5);
/// How long connections may take to end when the relay stops.
const STOP: Duration = Duration::from_secs(5);

/// How a relay is run.
#[derive(Clone)]
pub struct RelayConfig {
    /// Where its events are kept (LMDB); in memory when `None`.
    pub dir: Option<PathBuf>,
    /// The most bytes of that.
    pub max_disk: usize,
    /// The address it listens on.
    pub ip: IpAddr,
    /// Its port; 0 for any that is free.
    pub port: u16,
    /// How it calls itself; logins must name it. Any name will do when `None`.
    pub url: Option<String>,
    /// What it says of itself (NIP-11).
    pub info: Info,
    /// The kinds it takes; every kind when empty.
    pub kinds: BTreeSet<u16>,
    /// What is special about some of them.
    pub by_kind: BTreeMap<u16, KindRule>,
    /// Bytes of one message.
    pub max_message: usize,
    /// Bytes of an event's JSON.
    pub max_event: usize,
    /// Tags of an event.
    pub max_tags: usize,
    /// How far ahead an event may be dated.
    pub max_skew: Span,
    /// Events in one answer.
    pub max_limit: usize,
    /// Filters of one question.
    pub max_filters: usize,
    /// Questions of one connection that stand at once.
    pub max_subscriptions: usize,
    /// Characters of a question's name.
    pub max_id: usize,
    /// Events a minute from one connection; 0 is no limit.
    pub events_per_minute: u32,
    /// Events a minute from one address (of IPv6, its first 64 bits); 0 is no limit.
    pub address_events_per_minute: u32,
    /// Questions a minute from one connection; 0 is no limit.
    pub questions_per_minute: u32,
    /// Connections at once.
    pub connections: usize,
    /// Connections at once from one address.
    pub connections_per_address: u32,
    /// The header in which a proxy in front names the client.
    pub client_header: Option<String>,
    /// Who is believed in that header.
    pub proxies: Vec<IpAddr>,
    /// Leading zero bits it wants of every event (NIP-13).
    pub min_pow: u8,
    /// Whether reading takes authentication (NIP-42), by any key.
    pub auth_to_read: bool,
    /// To whom gift wraps are served.
    pub wraps: Wraps,
    /// Whether other relays may reconcile with it (NIP-77).
    pub sync: bool,
    /// Whether its limits are published (NIP-11).
    pub publish_limits: bool,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

impl RelayConfig {
    /// The defaults: on loopback, any port, in memory, a gig relay's kinds and sizes, and no rate that a
    /// test could reach.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            dir: None,
            max_disk: 32 << 30,
            ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 0,
            url: None,
            info: Info::default(),
            kinds: KINDS.into(),
            by_kind: BTreeMap::new(),
            max_message: 128 * 1024,
            max_event: 64 * 1024,
            max_tags: 500,
            max_skew: Span::MINUTE.times(15),
            max_limit: 500,
            max_filters: 20,
            max_subscriptions: 200,
            max_id: 64,
            events_per_minute: 100_000,
            address_events_per_minute: 0,
            questions_per_minute: 0,
            connections: 10_000,
            connections_per_address: 10_000,
            client_header: None,
            proxies: Vec::new(),
            min_pow: 0,
            auth_to_read: false,
            wraps: Wraps::Recipient,
            sync: true,
            publish_limits: true,
            clock,
        }
    }

    /// What decides whether an event is kept.
    pub fn rules(&self) -> Rules {
        Rules {
            kinds: self.kinds.clone(),
            by_kind: self.by_kind.clone(),
            max_event: self.max_event,
            max_tags: self.max_tags,
            max_skew: self.max_skew,
            min_pow: self.min_pow,
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

/// What every connection shares.
pub(super) struct Front {
    pub(super) config: RelayConfig,
    pub(super) rules: Rules,
    pub(super) keeper: Keeper,
    pub(super) relay: LocalRelay,
    addresses: Mutex<Rates>,
    authors: Mutex<BTreeMap<u16, Rates>>,
    connected: Mutex<BTreeMap<String, u32>>,
    document: Option<String>,
}

impl Front {
    /// Whether a client is asked who it is before it asks anything: it can then ask for its gift wraps at
    /// once. Where reading takes a login, it is asked when it reads.
    pub(super) fn greets(&self) -> bool {
        self.config.wraps == Wraps::Recipient
    }

    /// Counts an event of an address, and whether it is one too many.
    pub(super) fn is_busy(&self, neighbourhood: &str, now: Time) -> bool {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner).over(neighbourhood, now)
    }

    /// Counts an event of its author, and whether it is one too many of its kind.
    pub(super) fn has_published_enough(&self, event: &Event, now: Time) -> bool {
        let kind = event.kind.as_u16();
        let most = self.rules.of(kind).a_day_by_author;
        let mut authors = self.authors.lock().unwrap_or_else(PoisonError::into_inner);
        let rates = authors.entry(kind).or_insert_with(|| Rates::new(most, Span::DAY));
        rates.over(&event.pubkey.to_hex(), now)
    }

    /// Lets one more connection of an address in, if there is room.
    fn enter(self: &Arc<Self>, neighbourhood: String) -> Option<Ticket> {
        let mut connected = self.connected.lock().unwrap_or_else(PoisonError::into_inner);
        let all: u32 = connected.values().sum();
        let here = connected.get(&neighbourhood).copied().unwrap_or(0);
        let full = all as usize >= self.config.connections;
        if full || here >= self.config.connections_per_address {
            return None;
        }
        connected.insert(neighbourhood.clone(), here + 1);
        Some(Ticket { front: self.clone(), neighbourhood })
    }
}

/// A connection that counts for its address until it is dropped.
struct Ticket {
    front: Arc<Front>,
    neighbourhood: String,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut connected = self.front.connected.lock().unwrap_or_else(PoisonError::into_inner);
        match connected.get_mut(&self.neighbourhood) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                connected.remove(&self.neighbourhood);
            }
        }
    }
}

/// A running relay; cut off when dropped.
pub struct Relay {
    database: Arc<dyn NostrDatabase>,
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: Option<JoinHandle<()>>,
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Relay({})", self.url())
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

impl Relay {
    /// Opens the database, binds the port and begins to serve. Errors if either cannot be had.
    #[expect(clippy::disallowed_methods, reason = "the relay's one task; Relay keeps its handle")]
    pub async fn start(config: RelayConfig) -> anyhow::Result<Self> {
        let database: Arc<dyn NostrDatabase> = match &config.dir {
            None => Arc::new(MemoryDatabase::with_opts(MemoryDatabaseOptions {
                events: true,
                max_events: Some(IN_MEMORY),
            })),
            Some(dir) => {
                std::fs::create_dir_all(dir).with_context(|| {
                    format!("the relay's directory {} cannot be made", dir.display())
                })?;
                let opened = NostrLMDB::builder(dir).map_size(config.max_disk).build();
                Arc::new(opened.with_context(|| {
                    format!("the relay's database in {} cannot be opened", dir.display())
                })?)
            }
        };
        // Rates and logins are the front's; the library's are set so high that they are never met.
        let builder = RelayBuilder::default()
            .rate_limit(RateLimit {
                max_reqs: config.max_subscriptions.saturating_add(1),
                notes_per_minute: u32::MAX,
            })
            .max_subid_length(config.max_id)
            .max_filter_limit(config.max_limit)
            .default_filter_limit(config.max_limit)
            .database(database.clone());
        let listener = TcpListener::bind((config.ip, config.port)).await.with_context(|| {
            format!("the relay cannot listen on {}", SocketAddr::from((config.ip, config.port)))
        })?;
        let address = listener.local_addr()?;
        let front = Arc::new(Front {
            rules: config.rules(),
            keeper: Keeper::new(config.rules(), config.clock.clone()),
            relay: LocalRelay::new(builder),
            addresses: Mutex::new(Rates::new(config.address_events_per_minute, Span::MINUTE)),
            authors: Mutex::default(),
            connected: Mutex::default(),
            document: config.publish_limits.then(|| document(&config)),
            config,
        });
        let (stop, stopped) = watch::channel(false);
        let task = Some(tokio::spawn(accept(listener, front, database.clone(), stopped)));
        Ok(Self { address, database, stop, task })
    }

    /// Where it is, as `ws://`.
    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// The port it got.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// How many events of a kind it keeps, whoever may read them.
    pub async fn count(&self, kind: u16) -> anyhow::Result<u64> {
        Ok(self.database.count(nostr::Filter::new().kind(kind.into())).await? as u64)
    }

    /// Cuts every connection and stops. What is in a directory stays.
    pub fn stop(self) {
        drop(self);
    }

    /// Takes no more connections, tells those that are there, and ends when they have. What was answered
    /// with OK is on the disk.
    pub async fn close(mut self) {
        let _ = self.stop.send(true);
        if let Some(task) = self.task.take() {
            let _ = task.await;
        }
    }
}

/// Runs a relay until `stop` ends; `on_ready` is told where it is.
///
/// # Errors
/// The database or the port cannot be had.
pub async fn serve(
    config: RelayConfig,
    on_ready: impl FnOnce(&Relay),
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    // Whoever listens for the end listens before anything is opened.
    let mut stop = std::pin::pin!(stop);
    let relay = tokio::select! {
        biased;
        () = &mut stop => return Ok(()),
        relay = Relay::start(config) => relay?,
    };
    on_ready(&relay);
    stop.await;
    relay.close().await;
    Ok(())
}

/// Accepts connections until told to stop, or aborted; with it end all connections.
async fn accept(
    listener: TcpListener,
    front: Arc<Front>,
    database: Arc<dyn NostrDatabase>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut keeping = JoinSet::new();
    let keeper = front.clone();
    keeping.spawn(async move { keeper.keeper.run(database).await });
    let mut connections = JoinSet::new();
    let told = stopped.clone();
    loop {
        tokio::select! {
            biased;
            () = told_to_stop(&mut stopped) => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, from)) => {
                    let (front, stopped) = (front.clone(), told.clone());
                    connections.spawn(async move {
                        if let Err(why) = answer(stream, from, front, stopped).await {
                            tracing::debug!(%from, %why, "a connection came to nothing");
                        }
                    });
                }
                // Out of file descriptors, most likely: some connection must end first.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            },
        }
    }
    drop(listener);
    let end = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(STOP, end).await;
    connections.shutdown().await;
    keeping.shutdown().await;
}

/// Reads the request and either upgrades to a WebSocket or serves the information document.
async fn answer(
    mut stream: TcpStream,
    from: SocketAddr,
    front: Arc<Front>,
    stopped: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let head = tokio::time::timeout(HEAD, head(&mut stream)).await??;
    let field = |name: &str| {
        let fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
        fields.filter(|(n, _)| n.trim().eq_ignore_ascii_case(name)).map(|(_, v)| v.trim()).next()
    };
    let Some(key) = field("sec-websocket-key") else {
        return plain(stream, front.document.as_deref()).await;
    };
    let named = front.config.client_header.as_deref().and_then(field);
    let whose = neighbourhood(client(from.ip(), named, &front.config.proxies));
    let Some(ticket) = front.enter(whose.clone()) else {
        let reply = "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\nRetry-After: 60\r\n\
                     Connection: close\r\n\r\n";
        return Ok(stream.write_all(reply.as_bytes()).await?);
    };
    let accept = derive_accept_key(key.as_bytes());
    let switch = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    stream.write_all(switch.as_bytes()).await?;
    Session::new(front, whose).run(stream, from, stopped).await;
    drop(ticket);
    Ok(())
}

/// Who the client is. What a proxy adds stands last in its header; what stands before it, anybody could
/// have written.
fn client(from: IpAddr, named: Option<&str>, proxies: &[IpAddr]) -> IpAddr {
    let from = from.to_canonical();
    if !proxies.contains(&from) {
        return from;
    }
    let last = named.and_then(|named| named.rsplit(',').next()).map(str::trim);
    last.and_then(|last| last.parse().ok()).unwrap_or(from)
}

async fn plain(mut stream: TcpStream, document: Option<&str>) -> anyhow::Result<()> {
    let (status, kind, body) = match document {
        Some(document) => ("200 OK", "application/nostr+json", document),
        None => ("404 Not Found", "text/plain", "a Nostr relay; connect by WebSocket\n"),
    };
    let reply = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
         Access-Control-Allow-Origin: *\r\nAccess-Control-Allow-Headers: *\r\n\
         Access-Control-Allow-Methods: GET, OPTIONS\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(reply.as_bytes()).await?;
    Ok(stream.shutdown().await?)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_proxy_is_believed_and_only_its_own_word() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let proxies = [ip("127.0.0.1")];
        for (from, named, is) in [
            ("127.0.0.1", Some("192.0.2.7"), "192.0.2.7"),
            ("127.0.0.1", Some("10.0.0.1, 192.0.2.7"), "192.0.2.7"),
            ("::ffff:127.0.0.1", Some("192.0.2.7"), "192.0.2.7"),
            ("127.0.0.1", Some("nonsense"), "127.0.0.1"),
            ("127.0.0.1", None, "127.0.0.1"),
            ("192.0.2.9", Some("10.0.0.1"), "192.0.2.9"),
        ] {
            assert_eq!(client(ip(from), named, &proxies), ip(is), "{from} {named:?}");
        }
    }
}

//! One relay: a task that connects, keeps its session going, and comes back after every end with a
//! growing wait. It shares nothing with the tasks of other relays that it could hold up.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_wsocket::ConnectionMode;
use nostr_relay_pool::transport::websocket::WebSocketTransport;
use nostr_sdk::{Keys, RelayUrl, Url};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::backoff;
use super::inbox::{Refused, Seen, Wanted};
use super::limits::{self, Limits};
use super::pool::Timeouts;
use super::publish::{Answer, quote};
use super::questions::{Pace, Questions};
use super::session::Session;
use super::transport::Capped;
use crate::engine::{Clock, RelayEvent, RelayHealth, Scribe};
use crate::market::{EventId, Time};

/// What one relay has done since the start. Counts only grow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Sockets opened.
    pub connections: u64,
    /// `CLOSED` messages that took a question or a page from us.
    pub closed: u64,
    /// Times an answer was due and did not come.
    pub silences: u64,
    /// Events let go because the engine was behind; they are asked for again.
    pub lagged: u64,
    /// Events handed on.
    pub handed_on: u64,
    /// Events refused, by the code of [`Refused`].
    pub refused: BTreeMap<&'static str, u64>,
}

/// What a relay looks like from outside.
#[derive(Debug, Default)]
pub(super) struct Vitals {
    pub(super) connected: bool,
    pub(super) live: bool,
    pub(super) trouble: Option<String>,
    pub(super) heard_at: Option<Time>,
    /// When it last took an event, and how long that took.
    pub(super) took: Option<(Time, Duration)>,
    /// Its limits, as they were read last.
    pub(super) limits: Option<Arc<Limits>>,
    /// Which set of wants `live` speaks of.
    pub(super) version: u64,
    pub(super) tally: Tally,
}

/// An event to publish. The frame is the whole `EVENT` message.
pub(super) struct Job {
    pub(super) id: EventId,
    pub(super) frame: Arc<str>,
    pub(super) reply: oneshot::Sender<Answer>,
}

/// An event on its way to the engine, with its share of the relay's room in the queue.
pub(super) struct Item {
    pub(super) event: RelayEvent,
    pub(super) _room: tokio::sync::OwnedSemaphorePermit,
}

/// What all relay tasks share.
pub(super) struct Shared {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) scribe: Option<Arc<dyn Scribe>>,
    pub(super) timeouts: Timeouts,
    pub(super) page: usize,
    pub(super) rate: u32,
    pub(super) room: u32,
    pub(super) proxy: Option<std::net::SocketAddr>,
    pub(super) out: mpsc::UnboundedSender<Item>,
    pub(super) seen: Mutex<Seen>,
}

/// What one relay's task works on.
pub(super) struct Post {
    pub(super) url: RelayUrl,
    pub(super) shared: Arc<Shared>,
    pub(super) vitals: Mutex<Vitals>,
    /// KiB of events that may wait for the engine from this relay.
    pub(super) room: Arc<Semaphore>,
    /// Who we are to a relay that lets nobody read unknown (NIP-42): nobody.
    pub(super) keys: Keys,
    limits: tokio::sync::Mutex<Option<Known>>,
    private: bool,
}

/// A relay's limits as they were read, and when.
type Known = (Instant, Option<Arc<Limits>>);

/// How long limits hold, and how long it holds that there are none to be had.
const LIMITS_HOLD: Duration = Duration::from_secs(3600);
const NO_LIMITS_HOLD: Duration = Duration::from_secs(300);

impl Post {
    /// Works on the vitals. No lock is ever held across an await.
    pub(super) fn vitals<T>(&self, work: impl FnOnce(&mut Vitals) -> T) -> T {
        work(&mut self.vitals.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Something went wrong: it shows until the relay works again.
    pub(super) fn trouble(&self, what: impl Into<String>) {
        let what = what.into();
        tracing::debug!(relay = %self.url, trouble = %what, "relay");
        self.vitals(|v| v.trouble = Some(what));
    }

    /// An event was refused.
    pub(super) fn refused(&self, why: Refused) {
        self.vitals(|v| *v.tally.refused.entry(why.code()).or_default() += 1);
    }

    /// The relay's limits, fetched at most once an hour. Behind a proxy nothing is fetched.
    pub(super) async fn limits(&self) -> Option<Arc<Limits>> {
        if self.shared.proxy.is_some() {
            return None;
        }
        // Held across the fetch, which is short: whoever comes meanwhile wants the same.
        let mut known = self.limits.lock().await;
        if let Some((at, limits)) = &*known {
            let hold = if limits.is_some() { LIMITS_HOLD } else { NO_LIMITS_HOLD };
            if at.elapsed() < hold {
                return limits.clone();
            }
        }
        let limits = limits::fetch(&self.url, self.private, self.shared.timeouts.nip11).await;
        let limits = limits.map(Arc::new);
        *known = Some((Instant::now(), limits.clone()));
        self.vitals(|v| v.limits.clone_from(&limits));
        limits
    }
}

/// A running relay task; stops when dropped.
pub(super) struct Relay {
    pub(super) post: Arc<Post>,
    wanted: watch::Sender<(u64, Wanted)>,
    pub(super) jobs: mpsc::Sender<Job>,
    task: AbortHandle,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Relay {
    #[expect(clippy::disallowed_methods, reason = "one task a relay; its handle lives in the pool")]
    pub(super) fn start(url: RelayUrl, shared: Arc<Shared>, private: bool) -> Self {
        let post = Arc::new(Post {
            url,
            vitals: Mutex::default(),
            room: Arc::new(Semaphore::new(shared.room as usize)),
            keys: Keys::generate(),
            limits: tokio::sync::Mutex::default(),
            private,
            shared,
        });
        let (wanted, watched) = watch::channel((0, Wanted::new()));
        let (jobs, queue) = mpsc::channel(256);
        let task = tokio::spawn(run(post.clone(), watched, queue)).abort_handle();
        Self { post, wanted, jobs, task }
    }

    /// Replaces what it is asked.
    pub(super) fn watch(&self, new: Wanted) {
        self.wanted.send_if_modified(|(version, wanted)| {
            let changed = *wanted != new;
            *version += u64::from(changed);
            *wanted = new;
            changed
        });
    }

    /// How it does.
    pub(super) fn health(&self) -> RelayHealth {
        let version = self.wanted.borrow().0;
        self.post.vitals(|v| RelayHealth {
            url: self.post.url.to_string(),
            connected: v.connected,
            live: v.connected && v.live && v.version == version,
            trouble: v.trouble.clone(),
            heard_at: v.heard_at,
            took_at: v.took.map(|(at, _)| at),
            latency_ms: v.took.map(|(_, took)| u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
            limits: v.limits.as_deref().map(Limits::shown),
        })
    }
}

/// Connects, holds the session, and waits, for ever.
async fn run(
    post: Arc<Post>,
    mut wanted: watch::Receiver<(u64, Wanted)>,
    mut jobs: mpsc::Receiver<Job>,
) {
    let timeouts = post.shared.timeouts;
    let pace = Pace {
        eose: timeouts.eose,
        backoff: timeouts.backoff,
        idle: timeouts.idle,
        sweep: timeouts.sweep,
        page: post.shared.page,
    };
    let mut questions = Questions::new(pace, Instant::now());
    let mode = post.shared.proxy.map_or(ConnectionMode::Direct, ConnectionMode::Proxy);
    let transport = Capped { private: post.private };
    let url: Url = post.url.clone().into();
    let mut failures = 0u32;
    loop {
        let opened = transport.connect(&url, &mode, timeouts.connect);
        // The library's proxy transport has no limit of its own for reaching the proxy.
        match tokio::time::timeout(timeouts.connect + Duration::from_secs(1), opened).await {
            Ok(Ok((sink, stream))) => {
                post.vitals(|v| {
                    (v.connected, v.live) = (true, false);
                    v.tally.connections += 1;
                });
                let session = Session::new(&post, sink, stream, &mut questions);
                let (end, worked) = session.run(&mut wanted, &mut jobs).await;
                post.vitals(|v| (v.connected, v.live) = (false, false));
                post.trouble(end);
                failures = if worked { 1 } else { failures.saturating_add(1) };
            }
            Ok(Err(why)) => {
                failures = failures.saturating_add(1);
                post.trouble(format!("could not connect: {}", quote(&why.to_string())));
            }
            Err(_) => {
                failures = failures.saturating_add(1);
                post.trouble("could not connect: it did not answer in time");
            }
        }
        tokio::time::sleep(backoff::wait(timeouts.backoff, failures)).await;
    }
}

//! The port: which relays there are, what each is asked, and what each answered.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use nostr_sdk::{ClientMessage, Event, JsonUtil, RelayUrl};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::inbox::{Asked, MAX_EVENT_BYTES, Seen, Wanted};
use super::publish::{Answer, Answers};
use super::relay::{Item, Job, Relay, Shared, Tally};
use super::transport;
use crate::engine::{
    Clock, Fault, Published, RelayEvent, RelayHealth, Relays, Scribe, Subscription, Want, WireEvent,
};
use crate::market::EventId;

/// The most relays that are connected at once. Strangers name relays, and must not make us connect to
/// the whole world; our own come first.
const MOST_RELAYS: usize = 64;
/// How long a relay that is only published to is kept.
const LINGER: Duration = Duration::from_secs(60);

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// To open a socket.
    pub connect: Duration,
    /// From a question to the end of what is stored; counted anew with every event that comes.
    pub eose: Duration,
    /// From an event to its `OK`, connecting included.
    pub publish: Duration,
    /// To read a relay's limits (NIP-11).
    pub nip11: Duration,
    /// How long a relay may say nothing before it is asked something.
    pub idle: Duration,
    /// The first wait after a failure; it doubles, up to 256 times as long.
    pub backoff: Duration,
    /// How often everything recent is read again, for what a relay forgot to send.
    pub sweep: Duration,
    /// How long a full queue is waited for before events are let go and asked for again.
    pub patience: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            eose: Duration::from_secs(10),
            publish: Duration::from_secs(20),
            nip11: Duration::from_secs(3),
            idle: Duration::from_secs(45),
            backoff: Duration::from_secs(1),
            sweep: Duration::from_secs(600),
            patience: Duration::from_secs(2),
        }
    }
}

/// What a pool needs to start.
#[derive(Clone)]
pub struct PoolConfig {
    /// Our own relays: used where nothing else is said, always connected, and trusted to be where they
    /// say, also inside our own network.
    pub relays: Vec<String>,
    /// A SOCKS5 proxy for all relays. NIP-11 is not read through it.
    pub proxy: Option<SocketAddr>,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// Events asked for in one page of a back-fill.
    pub page: usize,
    /// Events a second that are looked at from one relay.
    pub rate: u32,
    /// KiB of events that may wait for the engine from one relay.
    pub room: u32,
    /// Verified ids that are remembered, at least.
    pub remembered: usize,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Who answers relays that serve what is addressed to a key to nobody else; without it they are not
    /// answered.
    pub scribe: Option<Arc<dyn Scribe>>,
}

impl PoolConfig {
    /// The defaults with these relays and this clock.
    pub fn new(relays: Vec<String>, clock: Arc<dyn Clock>) -> Self {
        Self {
            relays,
            proxy: None,
            timeouts: Timeouts::default(),
            page: 500,
            rate: 5_000,
            room: 4 * 1024,
            remembered: 65_536,
            clock,
            scribe: None,
        }
    }
}

impl std::fmt::Debug for PoolConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PoolConfig")
            .field("relays", &self.relays)
            .field("timeouts", &self.timeouts)
            .finish_non_exhaustive()
    }
}

/// The relays, as the engine sees them.
pub struct Pool {
    own: Vec<RelayUrl>,
    /// Whether relays inside our own network are acceptable from anyone: only when ours are there too.
    private: bool,
    shared: Arc<Shared>,
    inner: Mutex<Inner>,
    events: tokio::sync::Mutex<mpsc::UnboundedReceiver<Item>>,
}

#[derive(Default)]
struct Inner {
    relays: BTreeMap<RelayUrl, Relay>,
    /// Addresses in the configuration that are none.
    wrong: Vec<String>,
    used: BTreeMap<RelayUrl, Instant>,
    asked: BTreeSet<RelayUrl>,
    serials: BTreeMap<Want, u64>,
    next_serial: u64,
    answers: Answers,
    closed: bool,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("own", &self.own).finish_non_exhaustive()
    }
}

impl Pool {
    /// Starts one task for each of our relays. Must be called within a tokio runtime. An address that is
    /// none shows in [`Relays::health`].
    pub fn start(config: PoolConfig) -> Arc<Self> {
        let (own, wrong): (Vec<_>, Vec<_>) = config
            .relays
            .iter()
            .map(|url| (url, RelayUrl::parse(url)))
            .partition(|(_, r)| r.is_ok());
        let mut own: Vec<RelayUrl> = own.into_iter().filter_map(|(_, r)| r.ok()).collect();
        let mut once = BTreeSet::new();
        own.retain(|url| once.insert(url.clone()));
        let (out, events) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            clock: config.clock,
            scribe: config.scribe,
            timeouts: config.timeouts,
            page: config.page.max(1),
            rate: config.rate.max(1),
            room: config.room.max(1),
            proxy: config.proxy,
            out,
            seen: Mutex::new(Seen::new(config.remembered)),
        });
        let pool = Arc::new(Self {
            private: own.iter().any(transport::is_near),
            own,
            shared,
            inner: Mutex::new(Inner {
                wrong: wrong.into_iter().map(|(url, _)| url.clone()).collect(),
                ..Inner::default()
            }),
            events: tokio::sync::Mutex::new(events),
        });
        let mut inner = pool.inner();
        for url in &pool.own {
            pool.relay(&mut inner, url);
        }
        drop(inner);
        pool
    }

    /// Ends every task and connection. Nothing comes afterwards.
    pub fn close(&self) {
        let mut inner = self.inner();
        inner.closed = true;
        inner.relays.clear();
    }

    /// What each relay has done since the start, for `doctor` and for tests.
    pub fn tally(&self) -> BTreeMap<String, Tally> {
        let inner = self.inner();
        let tally =
            |(url, r): (&RelayUrl, &Relay)| (url.to_string(), r.post.vitals(|v| v.tally.clone()));
        inner.relays.iter().map(tally).collect()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The relay's task, started if need be. `None` when there are too many already.
    fn relay<'a>(&self, inner: &'a mut Inner, url: &RelayUrl) -> Option<&'a Relay> {
        if inner.closed {
            return None;
        }
        let own = self.own.contains(url);
        if !inner.relays.contains_key(url) {
            if !own && inner.relays.len() >= MOST_RELAYS {
                self.prune(inner);
                if inner.relays.len() >= MOST_RELAYS {
                    return None;
                }
            }
            let relay = Relay::start(url.clone(), self.shared.clone(), own || self.private);
            inner.relays.insert(url.clone(), relay);
        }
        inner.relays.get(url)
    }

    /// Lets go of relays that nothing needs.
    fn prune(&self, inner: &mut Inner) {
        let now = Instant::now();
        inner.used.retain(|_, at| now < *at + LINGER);
        let Inner { relays, used, asked, .. } = inner;
        relays.retain(|url, _| {
            self.own.contains(url) || asked.contains(url) || used.contains_key(url)
        });
    }

    /// One try at one relay.
    async fn publish_to(&self, url: &RelayUrl, event: &Event, frame: &Arc<str>) -> Answer {
        let id = EventId(event.id.to_bytes());
        let (post, jobs) = {
            let mut inner = self.inner();
            if let Some(answer) = inner.answers.get(&id, url) {
                return answer;
            }
            if inner.closed {
                return Answer::Later("the relays are closed".into());
            }
            inner.used.insert(url.clone(), Instant::now());
            match self.relay(&mut inner, url) {
                Some(relay) => (relay.post.clone(), relay.jobs.clone()),
                None => return Answer::Later("too many relays are in use already".into()),
            }
        };
        if let Some(limits) = post.limits().await {
            let now = self.shared.clock.now();
            if let Some(why) = limits.refusal(event, frame.len(), now) {
                return Answer::Never(why);
            }
        }
        let (reply, answer) = oneshot::channel();
        let job = Job { id, frame: frame.clone(), reply };
        let Ok(()) = jobs.try_send(job) else {
            return Answer::Later("too much waits for this relay already".into());
        };
        let answer = match tokio::time::timeout(self.shared.timeouts.publish, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => {
                let trouble = post.vitals(|v| v.trouble.clone());
                Answer::Later(trouble.unwrap_or_else(|| "the relay did not answer".into()))
            }
        };
        self.inner().answers.keep(id, url, &answer);
        answer
    }
}

#[async_trait]
impl Relays for Pool {
    async fn watch(&self, subscriptions: Vec<Subscription>) {
        let mut inner = self.inner();
        let mut by_relay: BTreeMap<RelayUrl, Wanted> = BTreeMap::new();
        let wants: BTreeSet<&Want> = subscriptions.iter().map(|s| &s.want).collect();
        inner.serials.retain(|want, _| wants.contains(want));
        for Subscription { want, relays, since, reader } in &subscriptions {
            let next = inner.next_serial;
            let serial = *inner.serials.entry(want.clone()).or_insert(next);
            inner.next_serial += u64::from(serial == next);
            let named: Vec<RelayUrl> =
                relays.iter().filter_map(|url| RelayUrl::parse(url).ok()).collect();
            let at = if relays.is_empty() { &self.own } else { &named };
            for url in at {
                let asked = by_relay.entry(url.clone()).or_default();
                let asked = asked.entry(want.clone()).or_insert(Asked {
                    since: *since,
                    serial,
                    reader: *reader,
                });
                asked.since = asked.since.min(*since);
            }
        }
        inner.asked = by_relay.keys().cloned().collect();
        self.prune(&mut inner);
        for url in by_relay.keys() {
            self.relay(&mut inner, url);
        }
        for (url, relay) in &inner.relays {
            let wanted = by_relay.remove(url).unwrap_or_default();
            relay.watch(wanted);
        }
    }

    async fn next(&self) -> RelayEvent {
        match self.events.lock().await.recv().await {
            Some(item) => item.event,
            // Not while `shared` holds a sender; and there is nothing to say then.
            None => std::future::pending().await,
        }
    }

    async fn publish(&self, event: &WireEvent, relays: &[String]) -> Result<Published, Fault> {
        let wrong = |why: &str| Fault::Never(format!("{why}; nothing was published"));
        if event.json.len() > MAX_EVENT_BYTES {
            return Err(wrong("the event is larger than 128 KiB, which no relay takes"));
        }
        let parsed = Event::from_json(&event.json).map_err(|_| wrong("this is no Nostr event"))?;
        if parsed.id.to_bytes() != event.id.0 || parsed.verify().is_err() {
            return Err(wrong("the event's id or signature is wrong"));
        }
        let frame: Arc<str> = ClientMessage::event(parsed.clone()).as_json().into();
        let own = self.own.iter().map(ToString::to_string).collect::<Vec<_>>();
        let targets = if relays.is_empty() { &own } else { relays };
        let targets: BTreeSet<&String> = targets.iter().collect();
        if targets.is_empty() {
            return Err(Fault::Later("no relay is configured; nothing was published".into()));
        }
        let tries = targets.into_iter().map(|named| async {
            let answer = match RelayUrl::parse(named) {
                Ok(url) => self.publish_to(&url, &parsed, &frame).await,
                Err(_) => Answer::Never("this is no relay's address".into()),
            };
            (named.clone(), answer)
        });
        let (mut published, mut reasons) =
            (Published { accepted: vec![], refused: vec![], silent: vec![] }, vec![]);
        for (named, answer) in join_all(tries).await {
            match answer {
                Answer::Accepted => published.accepted.push(named),
                Answer::Never(why) => {
                    reasons.push(format!("{named}: {why}"));
                    published.refused.push((named, why));
                }
                Answer::Later(why) => {
                    reasons.push(format!("{named}: {why}"));
                    published.silent.push(named);
                }
            }
        }
        if !published.accepted.is_empty() {
            return Ok(published);
        }
        let reasons = reasons.join("; ");
        Err(if published.silent.is_empty() {
            Fault::Never(format!("every relay refused the event for good ({reasons})"))
        } else {
            Fault::Later(format!("no relay has taken the event yet ({reasons})"))
        })
    }

    async fn health(&self) -> Vec<RelayHealth> {
        let mut inner = self.inner();
        self.prune(&mut inner);
        let wrong = inner.wrong.iter().map(|url| RelayHealth {
            url: url.clone(),
            trouble: Some("this is no relay's address".into()),
            ..RelayHealth::default()
        });
        inner.relays.values().map(Relay::health).chain(wrong).collect()
    }
}

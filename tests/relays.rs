//! Relays as they are: they drop, delay, repeat, close, fall silent, die, come back and lie. Whatever they do,
//! every event arrives and nothing else does.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "relays/asked.rs"]
mod asked;
#[path = "relays/failing.rs"]
mod failing;
#[path = "relays/lies.rs"]
mod lies;
#[path = "relays/pages.rs"]
mod pages;
#[path = "relays/publishing.rs"]
mod publishing;
#[path = "relays/speed.rs"]
mod speed;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use earnest::engine::{Clock, Fault, RelayEvent, Relays, Subscription, Want, WireEvent};
use earnest::market::{EventId, Network, Pubkey, Span, Time};
use earnest::nostr::{Pool, PoolConfig, Tally, Timeouts};
use earnest::sandbox::{Faults, FlakyRelay, Relay, RelayConfig};
use futures::{SinkExt, StreamExt};
use nostr::{Event, EventBuilder, JsonUtil, Keys, Kind, Tag, Timestamp};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

/// Longer than anything here should take on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

struct Wall;
impl Clock for Wall {
    #[expect(clippy::disallowed_methods, reason = "the clock of these tests is the real one")]
    fn now(&self) -> Time {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Time(since.unwrap().as_secs())
    }
}

fn now() -> Time {
    Wall.now()
}

/// As the defaults, but far more impatient.
fn quick() -> Timeouts {
    Timeouts {
        connect: Duration::from_secs(2),
        eose: Duration::from_millis(500),
        publish: Duration::from_secs(3),
        nip11: Duration::from_secs(1),
        idle: Duration::from_millis(300),
        backoff: Duration::from_millis(10),
        sweep: Duration::from_millis(400),
        patience: Duration::from_millis(20),
    }
}

fn config(relays: &[&str]) -> PoolConfig {
    let relays = relays.iter().map(ToString::to_string).collect();
    PoolConfig { timeouts: quick(), ..PoolConfig::new(relays, Arc::new(Wall)) }
}

fn settings() -> RelayConfig {
    RelayConfig::new(Arc::new(Wall))
}

async fn honest() -> Relay {
    Relay::start(settings()).await.unwrap()
}

fn pubkey(keys: &Keys) -> Pubkey {
    Pubkey(keys.public_key().to_bytes())
}

fn id(event: &Event) -> EventId {
    EventId(event.id.to_bytes())
}

fn made(keys: &Keys, kind: u16, at: Time, content: String, tags: Vec<Tag>) -> Event {
    EventBuilder::new(Kind::Custom(kind), content)
        .tags(tags)
        .custom_created_at(Timestamp::from_secs(at.0))
        .allow_self_tagging()
        .sign_with_keys(keys)
        .unwrap()
}

/// `n` records of one job's channel, one a second, the last one now.
fn records(keys: &Keys, n: u64) -> Vec<Event> {
    let begin = now().before(Span(n));
    (0..n).map(|i| made(keys, 3920, begin.after(Span(i)), format!("record {i}"), vec![])).collect()
}

fn channel(keys: &Keys, relays: &[&str]) -> Subscription {
    Subscription {
        want: Want::Channel(pubkey(keys)),
        relays: relays.iter().map(ToString::to_string).collect(),
        since: now().before(Span::DAY),
        reader: None,
    }
}

fn wire(event: &Event) -> WireEvent {
    WireEvent { id: id(event), json: event.as_json() }
}

/// Puts events straight into a relay, without any of the code under test.
async fn fill(url: &str, events: &[Event]) {
    let (socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    let (mut tx, mut rx) = socket.split();
    for batch in events.chunks(200) {
        for event in batch {
            tx.feed(Message::text(format!("[\"EVENT\",{}]", event.as_json()))).await.unwrap();
        }
        tx.flush().await.unwrap();
        let mut due = batch.len();
        while due > 0 {
            let answer = rx.next().await.unwrap().unwrap().into_text().unwrap();
            if answer.as_str().starts_with("[\"AUTH\"") {
                continue;
            }
            due -= 1;
            assert!(answer.as_str().contains(",true,"), "{answer}");
        }
    }
}

/// Takes events until all of these have come. Nothing else may come, and nothing that was changed.
async fn all_arrive(pool: &Pool, expected: &[Event]) -> Vec<RelayEvent> {
    let all: BTreeMap<EventId, String> = expected.iter().map(|e| (id(e), e.as_json())).collect();
    let mut missing: BTreeSet<EventId> = all.keys().copied().collect();
    let mut came = Vec::new();
    let taking = async {
        while !missing.is_empty() {
            let event = pool.next().await;
            assert_eq!(all.get(&event.id), Some(&event.json), "something else came");
            missing.remove(&event.id);
            came.push(event);
        }
    };
    if tokio::time::timeout(DEADLINE, taking).await.is_err() {
        panic!("{} of {} never came; {:#?}", missing.len(), expected.len(), pool.tally());
    }
    came
}

/// Waits until it is so.
async fn until<F: Future<Output = bool>>(what: &str, mut so: impl FnMut() -> F) {
    let waiting = async {
        while !so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(DEADLINE, waiting).await.is_ok(), "never: {what}");
}

async fn until_live(pool: &Pool) {
    until("live", || async { pool.health().await.iter().all(|h| h.live) }).await;
}

fn tally(pool: &Pool, url: &str) -> Tally {
    pool.tally().get(url).cloned().unwrap_or_default()
}

async fn until_tally(pool: &Pool, url: &str, what: &str, so: impl Fn(&Tally) -> bool) {
    until(what, || async { so(&tally(pool, url)) }).await;
}

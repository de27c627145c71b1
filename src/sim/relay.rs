//! Fake relays: they store, drop, delay, reorder, repeat, censor and lie, go down and come back.
//!
//! The guarantee of the port is kept: a question stays asked, so what a relay stores and shows comes in
//! the end. What a relay said it took and threw away is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use super::chance::{Draw, Seed, word};
use super::clock::{Clockwork, Ms, What, lock};
use crate::engine::{
    Fault, Published, RelayEvent, RelayHealth, Relays, Subscription, Want, WireEvent,
};
use crate::market::{EventId, Pubkey, Time};

/// By what an event is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Listings,
    Wraps(Pubkey),
    Channel(Pubkey),
}

#[derive(Debug, Default)]
struct Relay {
    url: String,
    up: bool,
    /// Of a thousand events, so many are said to be taken and thrown away.
    lies: u64,
    /// Of a thousand deliveries, so many break the connection instead.
    drops: u64,
    /// Of a thousand authors and receivers, so many are never shown.
    censors: u64,
    events: Vec<Arc<RelayEvent>>,
    ids: BTreeSet<EventId>,
    index: BTreeMap<Key, Vec<usize>>,
}

/// What one peer's adapter holds in memory: gone when it crashes.
#[derive(Debug, Default)]
struct Session {
    /// Questions by relay.
    asked: BTreeMap<(usize, Key), Time>,
    /// What each relay gave already.
    given: BTreeSet<(usize, EventId)>,
    /// On its way.
    coming: BTreeMap<(Ms, u64), Arc<RelayEvent>>,
    seq: u64,
}

/// All relays of a world.
#[derive(Debug)]
pub(super) struct RelayNet {
    seed: Seed,
    clockwork: Arc<Clockwork>,
    relays: Vec<Relay>,
    sessions: Vec<Session>,
    calm: bool,
}

/// How bad the relays are: each out of a thousand.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manners {
    pub(super) lies: u64,
    pub(super) drops: u64,
    pub(super) censors: u64,
}

impl RelayNet {
    pub(super) fn new(
        seed: Seed,
        clockwork: Arc<Clockwork>,
        relays: usize,
        peers: usize,
        manners: Manners,
    ) -> Self {
        let relay = |i| Relay {
            url: format!("wss://relay{i}.sim"),
            up: true,
            // One relay of each world is honest, or nothing could be promised at all.
            lies: if i == 0 { 0 } else { manners.lies },
            drops: manners.drops,
            censors: if i == 0 { 0 } else { manners.censors },
            ..Relay::default()
        };
        Self {
            seed,
            clockwork,
            relays: (0..relays).map(relay).collect(),
            sessions: (0..peers).map(|_| Session::default()).collect(),
            calm: false,
        }
    }

    pub(super) fn urls(&self) -> Vec<String> {
        self.relays.iter().map(|r| r.url.clone()).collect()
    }

    /// A relay goes down or comes back. True if it is up now.
    pub(super) fn flip(&mut self, relay: usize) -> bool {
        let up = !self.relays[relay].up || self.calm;
        self.relays[relay].up = up;
        if up {
            for peer in 0..self.sessions.len() {
                self.reconnect(peer, relay, 0);
            }
        }
        up
    }

    /// From here on every relay works and shows everything it has.
    pub(super) fn calm(&mut self) {
        self.calm = true;
        for relay in 0..self.relays.len() {
            let r = &mut self.relays[relay];
            (r.up, r.lies, r.drops, r.censors) = (true, 0, 0, 0);
            for peer in 0..self.sessions.len() {
                self.reconnect(peer, relay, 0);
            }
        }
    }

    /// Whether an event is on its way to this peer: one that a restart would have told again, later.
    pub(super) fn is_telling(&self, peer: usize) -> bool {
        !self.sessions[peer].coming.is_empty()
    }

    /// The peer's process is gone, and its connections with it.
    pub(super) fn disconnect(&mut self, peer: usize) {
        self.sessions[peer] = Session::default();
    }

    /// Everything that any relay ever stored.
    pub(super) fn everything(&self) -> Vec<Arc<RelayEvent>> {
        let mut all = BTreeMap::new();
        for event in self.relays.iter().flat_map(|r| &r.events) {
            all.insert(event.id, event.clone());
        }
        all.into_values().collect()
    }

    fn draw(&self, what: &str, event: &RelayEvent, key: &[u64]) -> Draw {
        let mut all = vec![word(&event.id.0)];
        all.extend_from_slice(key);
        self.seed.draw(what, &all)
    }

    /// A standing question is asked again from the beginning.
    fn reconnect(&mut self, peer: usize, relay: usize, wait: Ms) {
        let asked: Vec<_> = self.sessions[peer]
            .asked
            .iter()
            .filter(|((r, _), _)| *r == relay)
            .map(|((_, key), since)| (*key, *since))
            .collect();
        for (key, since) in asked {
            self.back_fill(peer, relay, key, since, wait);
        }
    }

    fn back_fill(&mut self, peer: usize, relay: usize, key: Key, since: Time, wait: Ms) {
        if !self.relays[relay].up {
            return;
        }
        let stored: Vec<_> = self.relays[relay]
            .index
            .get(&key)
            .into_iter()
            .flatten()
            .map(|i| self.relays[relay].events[*i].clone())
            .filter(|event| event.at >= since)
            .collect();
        for event in stored {
            self.give(peer, relay, &event, wait);
        }
    }

    /// One relay shows one event to one peer, perhaps.
    fn give(&mut self, peer: usize, relay: usize, event: &Arc<RelayEvent>, wait: Ms) {
        let session = &self.sessions[peer];
        let again = session.given.contains(&(relay, event.id));
        let mut draw = self.draw("give", event, &[peer as u64, relay as u64, u64::from(again)]);
        let r = &self.relays[relay];
        let hidden = self.seed.draw("censor", &[relay as u64, word(&event.author.0)]);
        let hidden_to =
            event.to.map(|to| self.seed.draw("censor", &[relay as u64, word(&to.0), 1]));
        let hides = |draw: Option<Draw>| draw.is_some_and(|mut d| d.permille(r.censors));
        if hides(Some(hidden)) || hides(hidden_to) || again && !draw.permille(20) {
            return;
        }
        if !again && draw.permille(r.drops) {
            // The connection breaks: everything is asked for again when it stands.
            let wait = draw.range(5_000, 300_000);
            let mut copy = (**event).clone();
            copy.relay.clone_from(&r.url);
            self.send(peer, relay, copy, wait);
            return;
        }
        let slow = if draw.permille(50) { 60_000 } else { 1_500 };
        let lag = wait + draw.range(20, slow);
        let mut copy = (**event).clone();
        copy.relay.clone_from(&r.url);
        if draw.permille(r.drops) {
            self.send(peer, relay, copy.clone(), lag + draw.range(1, 30_000));
        }
        self.send(peer, relay, copy, lag);
    }

    fn send(&mut self, peer: usize, relay: usize, event: RelayEvent, lag: Ms) {
        let at = self.clockwork.now() + lag;
        let session = &mut self.sessions[peer];
        session.given.insert((relay, event.id));
        session.seq += 1;
        session.coming.insert((at, session.seq), Arc::new(event));
        self.clockwork.at(at, What::Wake(peer));
    }

    fn watch(&mut self, peer: usize, subscriptions: &[Subscription]) {
        let mut asked = BTreeMap::new();
        for subscription in subscriptions {
            let key = match &subscription.want {
                Want::Listings(_) => Key::Listings,
                Want::Wraps(key) => Key::Wraps(*key),
                Want::Channel(key) => Key::Channel(*key),
                // Nobody looks at anybody here.
                Want::About(_) | Want::Follows(_) => continue,
            };
            for relay in 0..self.relays.len() {
                let there = subscription.relays.contains(&self.relays[relay].url);
                if there || subscription.relays.is_empty() {
                    asked.insert((relay, key), subscription.since);
                }
            }
        }
        let before = std::mem::replace(&mut self.sessions[peer].asked, asked.clone());
        for ((relay, key), since) in asked {
            if !before.contains_key(&(relay, key)) {
                self.back_fill(peer, relay, key, since, 0);
            }
        }
    }

    /// What arrived by now.
    fn next(&mut self, peer: usize) -> Option<RelayEvent> {
        let now = self.clockwork.now();
        let entry = self.sessions[peer].coming.first_entry().filter(|e| e.key().0 <= now)?;
        Some((*entry.remove()).clone())
    }

    /// Publishes, as anybody can: also what nobody's core said.
    pub(super) fn publish(
        &mut self,
        by: usize,
        event: &WireEvent,
        urls: &[String],
    ) -> Result<Published, Fault> {
        let parsed = Arc::new(parse(&event.json)?);
        let mut out = Published { accepted: Vec::new(), refused: Vec::new(), silent: Vec::new() };
        let now = self.clockwork.now();
        for i in 0..self.relays.len() {
            let url = self.relays[i].url.clone();
            if !urls.is_empty() && !urls.contains(&url) {
                continue;
            }
            let mut draw = self.draw("publish", &parsed, &[i as u64]);
            let unlucky = self.seed.draw("slow", &[i as u64, by as u64, now]).permille(20);
            if !self.relays[i].up || unlucky && !self.calm {
                out.silent.push(url);
            } else if draw.permille(self.relays[i].lies) {
                if draw.permille(200) {
                    out.refused.push((url, "blocked: not here".into()));
                } else {
                    out.accepted.push(url);
                }
            } else {
                out.accepted.push(url);
                self.store(i, &parsed);
            }
        }
        if !out.accepted.is_empty() {
            return Ok(out);
        }
        if out.silent.is_empty() {
            return Err(Fault::Never("every relay refused it".into()));
        }
        Err(Fault::Later("no relay answered".into()))
    }

    fn store(&mut self, relay: usize, event: &Arc<RelayEvent>) {
        let r = &mut self.relays[relay];
        if !r.ids.insert(event.id) {
            return;
        }
        let key = match (event.kind, event.to) {
            (30402, _) => Key::Listings,
            (1059, Some(to)) => Key::Wraps(to),
            (3920, _) => Key::Channel(event.author),
            _ => return,
        };
        let place = r.events.len();
        r.events.push(event.clone());
        r.index.entry(key).or_default().push(place);
        for peer in 0..self.sessions.len() {
            let since = self.sessions[peer].asked.get(&(relay, key));
            if since.is_some_and(|since| event.at >= *since) {
                self.give(peer, relay, event, 0);
            }
        }
    }

    fn health(&self) -> Vec<RelayHealth> {
        let health = |r: &Relay| RelayHealth {
            url: r.url.clone(),
            connected: r.up,
            live: r.up,
            trouble: (!r.up).then(|| "down".to_owned()),
            ..RelayHealth::default()
        };
        self.relays.iter().map(health).collect()
    }
}

fn parse(json: &str) -> Result<RelayEvent, Fault> {
    #[derive(serde::Deserialize)]
    struct Event {
        id: EventId,
        pubkey: Pubkey,
        kind: u16,
        created_at: u64,
        tags: Vec<Vec<String>>,
    }
    let event: Event = serde_json::from_str(json).map_err(|e| Fault::Never(e.to_string()))?;
    let mut to = event.tags.iter().filter(|t| t.first().is_some_and(|name| name == "p"));
    let to = match (to.next(), to.next()) {
        (Some(tag), None) => tag.get(1).and_then(|key| key.parse().ok()),
        _ => None,
    };
    Ok(RelayEvent {
        relay: String::new(),
        id: event.id,
        kind: event.kind,
        author: event.pubkey,
        to,
        at: Time(event.created_at),
        json: json.to_owned(),
    })
}

/// One peer's port to them.
#[derive(Debug)]
pub(super) struct PeerRelays {
    pub(super) net: Arc<Mutex<RelayNet>>,
    pub(super) me: usize,
}

#[async_trait]
impl Relays for PeerRelays {
    async fn watch(&self, subscriptions: Vec<Subscription>) {
        lock(&self.net).watch(self.me, &subscriptions);
    }
    async fn next(&self) -> RelayEvent {
        std::future::poll_fn(|_| match lock(&self.net).next(self.me) {
            Some(event) => std::task::Poll::Ready(event),
            // The clockwork wakes the peer when something arrives.
            None => std::task::Poll::Pending,
        })
        .await
    }
    async fn publish(&self, event: &WireEvent, relays: &[String]) -> Result<Published, Fault> {
        lock(&self.net).publish(self.me, event, relays)
    }
    async fn health(&self) -> Vec<RelayHealth> {
        lock(&self.net).health()
    }
}

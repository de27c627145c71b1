//! One client: everything between it and the relay behind goes through here, both ways.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt as _, StreamExt as _};
use nostr::{
    ClientMessage, Event, Filter, JsonUtil as _, Kind, PublicKey, RelayMessage, RelayUrl,
    SubscriptionId, Tag,
};
use serde_json::{Value, json};
use tokio::io::DuplexStream;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::front::Front;
use super::rates::Rates;
use super::reading::{self, May};
use super::rules::Refused;
use crate::market::{Span, Time};

/// A client that says nothing for so long, not even a pong, is gone.
const IDLE: Duration = Duration::from_secs(180);
/// How often it is pinged.
const PING: Duration = Duration::from_secs(50);
/// A client must take a message in this time.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes between the front and the relay behind.
const PIPE: usize = 256 * 1024;
/// Messages that are none, of one connection.
const MOST_GARBAGE: u32 = 20;
/// Keys that one connection may log in with.
const MOST_KEYS: usize = 1_000;
/// Reconciliations (NIP-77) that one connection may have open.
const MOST_SYNCS: usize = 4;
/// Seconds by which the date of a login may be off (NIP-42 says about ten minutes).
const LOGIN_SKEW: u64 = 600;

type Outer = WebSocketStream<TcpStream>;
type Inner = WebSocketStream<DuplexStream>;

/// One client's connection.
pub(super) struct Session {
    front: Arc<Front>,
    /// Whose address it is, for the count of events.
    neighbourhood: String,
    challenge: String,
    state: Mutex<State>,
}

struct State {
    known: BTreeSet<PublicKey>,
    open: BTreeSet<String>,
    syncs: BTreeSet<String>,
    events: Rates,
    questions: Rates,
    garbage: u32,
}

/// What becomes of a client's message.
enum Heard {
    /// It goes on to the relay behind.
    Forward(String),
    /// It is answered here.
    Say(Vec<String>),
    /// There is no point in going on.
    Leave,
}

impl Session {
    pub(super) fn new(front: Arc<Front>, neighbourhood: String) -> Self {
        let config = &front.config;
        let state = State {
            known: BTreeSet::new(),
            open: BTreeSet::new(),
            syncs: BTreeSet::new(),
            events: Rates::new(config.events_per_minute, Span::MINUTE),
            questions: Rates::new(config.questions_per_minute, Span::MINUTE),
            garbage: 0,
        };
        Self { neighbourhood, challenge: challenge(), state: Mutex::new(state), front }
    }

    /// Runs until either side goes, the client is too slow or says nothing, or the relay stops.
    pub(super) async fn run(
        &self,
        stream: TcpStream,
        from: SocketAddr,
        mut stopped: watch::Receiver<bool>,
    ) {
        let most = self.front.config.max_message;
        let limits =
            WebSocketConfig::default().max_message_size(Some(most)).max_frame_size(Some(most));
        let outer = WebSocketStream::from_raw_socket(stream, Role::Server, Some(limits)).await;
        let (near, far) = tokio::io::duplex(PIPE);
        let inner = WebSocketStream::from_raw_socket(near, Role::Client, None).await;
        let (to_client, from_client) = outer.split();
        let (to_relay, from_relay) = inner.split();
        let (replies, said) = mpsc::channel(16);
        let why = tokio::select! {
            _ = self.front.relay.take_connection(far, from) => "the relay behind ended",
            why = self.up(from_client, to_relay, replies) => why,
            why = self.down(from_relay, to_client, said, &mut stopped) => why,
        };
        tracing::debug!(%from, why, "a connection ended");
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From the client to the relay behind.
    async fn up(
        &self,
        mut from: SplitStream<Outer>,
        mut to: SplitSink<Inner, Message>,
        replies: mpsc::Sender<String>,
    ) -> &'static str {
        if self.front.greets() {
            let _ = replies.send(json!(["AUTH", self.challenge]).to_string()).await;
        }
        loop {
            let message = match timeout(IDLE, from.next()).await {
                Err(_) => return "it said nothing",
                Ok(None | Some(Ok(Message::Close(_)))) => return "it left",
                Ok(Some(Err(_))) => return "it broke, or sent too much at once",
                Ok(Some(Ok(message))) => message,
            };
            let heard = match message {
                Message::Text(text) => self.hear(&text),
                Message::Binary(_) => self.garbage("this is no text"),
                _ => continue,
            };
            match heard {
                Heard::Forward(text) => {
                    if to.send(Message::text(text)).await.is_err() {
                        return "the relay behind went";
                    }
                }
                Heard::Say(all) => {
                    for said in all {
                        if replies.send(said).await.is_err() {
                            return "it does not listen";
                        }
                    }
                }
                Heard::Leave => return "it sends garbage",
            }
        }
    }

    /// From the relay behind, and from here, to the client.
    async fn down(
        &self,
        mut from: SplitStream<Inner>,
        mut to: SplitSink<Outer, Message>,
        mut said: mpsc::Receiver<String>,
        stopped: &mut watch::Receiver<bool>,
    ) -> &'static str {
        let mut ping = tokio::time::interval(PING);
        ping.reset();
        loop {
            let message = tokio::select! {
                () = told_to_stop(stopped) => {
                    let _ = timeout(Duration::from_secs(2), to.close()).await;
                    return "the relay stops";
                }
                Some(said) = said.recv() => Message::text(said),
                _ = ping.tick() => Message::Ping(Vec::new().into()),
                message = from.next() => match message {
                    Some(Ok(Message::Text(text))) if self.may_pass(&text) => Message::Text(text),
                    Some(Ok(_)) => continue,
                    Some(Err(_)) | None => return "the relay behind went",
                },
            };
            match timeout(PATIENCE, to.send(message)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return "it is gone",
                Err(_) => return "it takes nothing",
            }
        }
    }

    /// Whether what the relay behind says is for this client.
    fn may_pass(&self, text: &str) -> bool {
        match RelayMessage::from_json(text) {
            Ok(RelayMessage::Event { event, .. }) => {
                let known = &self.state().known;
                !self.front.keeper.has_ended(&event)
                    && reading::may_read(&event, self.front.config.wraps, known)
            }
            Ok(RelayMessage::Closed { subscription_id, .. }) => {
                self.state().open.remove(subscription_id.as_str());
                true
            }
            // It wants logins of its own for events that the front does not let through.
            Ok(RelayMessage::Auth { .. }) => false,
            _ => true,
        }
    }

    fn hear(&self, text: &str) -> Heard {
        let Ok(message) = ClientMessage::from_json(text) else {
            return self.garbage("this is no message of NIP-01");
        };
        match message {
            ClientMessage::Event(event) => match self.publish(&event) {
                Ok(()) => Heard::Forward(text.to_owned()),
                Err(why) => say(json!(["OK", event.id.to_hex(), false, why.to_string()])),
            },
            ClientMessage::Req { subscription_id, filters } => {
                let filters = filters.into_iter().map(Cow::into_owned).collect();
                self.question(subscription_id.into_owned(), filters)
            }
            ClientMessage::Count { subscription_id, filter } => {
                let id = subscription_id.into_owned();
                match self.admit(vec![filter.into_owned()]) {
                    Ok(mut filters) => Heard::Forward(match filters.pop() {
                        Some(filter) => ClientMessage::count(id, filter).as_json(),
                        None => return Heard::Say(Vec::new()),
                    }),
                    Err(why) => self.closed(&id, &why),
                }
            }
            ClientMessage::Close(id) => {
                self.state().open.remove(id.as_str());
                Heard::Forward(text.to_owned())
            }
            ClientMessage::Auth(event) => {
                let (done, why) = match self.log_in(&event) {
                    Ok(()) => (true, String::new()),
                    Err(why) => (false, why.to_string()),
                };
                say(json!(["OK", event.id.to_hex(), done, why]))
            }
            ClientMessage::NegOpen { subscription_id, filter, initial_message, .. } => {
                self.sync(&subscription_id, filter.into_owned(), &initial_message)
            }
            ClientMessage::NegMsg { .. } => match self.count_question() {
                Ok(()) => Heard::Forward(text.to_owned()),
                Err(why) => say(json!(["NOTICE", why.to_string()])),
            },
            ClientMessage::NegClose { subscription_id } => {
                self.state().syncs.remove(subscription_id.as_str());
                Heard::Forward(text.to_owned())
            }
        }
    }

    fn garbage(&self, why: &str) -> Heard {
        let mut state = self.state();
        state.garbage += 1;
        if state.garbage > MOST_GARBAGE {
            return Heard::Leave;
        }
        say(json!(["NOTICE", format!("invalid: {why}")]))
    }

    fn publish(&self, event: &Event) -> Result<(), Refused> {
        let now = self.front.config.clock.now();
        if self.state().events.over("", now) || self.front.is_busy(&self.neighbourhood, now) {
            return refuse("rate-limited", "too many events in this minute");
        }
        self.front.rules.judge(event, event.as_json().len(), now)?;
        self.count_author(event, now)?;
        self.front.keeper.remember(event);
        Ok(())
    }

    /// Counts an event for its author, if its kind is counted. Whose it is must be certain: anybody could
    /// use up another's share otherwise.
    fn count_author(&self, event: &Event, now: Time) -> Result<(), Refused> {
        if self.front.rules.of(event.kind.as_u16()).a_day_by_author == 0 {
            return Ok(());
        }
        if event.verify().is_err() {
            return refuse("invalid", "id or signature are wrong");
        }
        match self.front.has_published_enough(event, now) {
            true => refuse("rate-limited", "too many of this kind by this author today"),
            false => Ok(()),
        }
    }

    fn count_question(&self) -> Result<(), Refused> {
        match self.state().questions.over("", self.front.config.clock.now()) {
            true => refuse("rate-limited", "too many questions in this minute"),
            false => Ok(()),
        }
    }

    /// A question's filters as they may be asked.
    fn admit(&self, mut filters: Vec<Filter>) -> Result<Vec<Filter>, Refused> {
        self.count_question()?;
        let config = &self.front.config;
        if filters.is_empty() || filters.len() > config.max_filters {
            return refuse("invalid", format!("from 1 to {} filters", config.max_filters));
        }
        let state = self.state();
        if config.auth_to_read && state.known.is_empty() {
            return refuse("auth-required", "log in with any key to read here");
        }
        for filter in &mut filters {
            match reading::admit(filter, config.wraps, &config.kinds, &state.known) {
                May::Ask => {}
                May::LogIn => {
                    return refuse("auth-required", "gift wraps are served to their recipient");
                }
                May::Not => {
                    return refuse("restricted", "gift wraps are served to their recipient alone");
                }
            }
        }
        Ok(filters)
    }

    fn question(&self, id: SubscriptionId, filters: Vec<Filter>) -> Heard {
        if id.as_str().is_empty() || id.as_str().chars().count() > self.front.config.max_id {
            let why = Refused { prefix: "invalid", why: "this is no name of a question".into() };
            return self.closed(&id, &why);
        }
        match self.admit(filters) {
            Err(why) => self.closed(&id, &why),
            Ok(filters) => {
                let mut state = self.state();
                let new = !state.open.contains(id.as_str());
                if new && state.open.len() >= self.front.config.max_subscriptions {
                    drop(state);
                    let why = Refused { prefix: "blocked", why: "too many open questions".into() };
                    return self.closed(&id, &why);
                }
                state.open.insert(id.as_str().to_owned());
                drop(state);
                Heard::Forward(ClientMessage::req(id, filters).as_json())
            }
        }
    }

    fn sync(&self, id: &SubscriptionId, filter: Filter, initial: &str) -> Heard {
        let failed = |why: &dyn Display| say(json!(["NEG-ERR", id.as_str(), why.to_string()]));
        if !self.front.config.sync {
            return failed(&"blocked: this relay does not reconcile");
        }
        match self.admit(vec![filter]) {
            Err(why) => failed(&why),
            Ok(filters) => {
                let mut state = self.state();
                if !state.syncs.contains(id.as_str()) && state.syncs.len() >= MOST_SYNCS {
                    return failed(&"blocked: too many reconciliations at once");
                }
                state.syncs.insert(id.as_str().to_owned());
                let asked: Value = filters
                    .first()
                    .and_then(|filter| serde_json::from_str(&filter.as_json()).ok())
                    .unwrap_or_default();
                Heard::Forward(json!(["NEG-OPEN", id.as_str(), asked, initial]).to_string())
            }
        }
    }

    fn closed(&self, id: &SubscriptionId, why: &Refused) -> Heard {
        let closed = json!(["CLOSED", id.as_str(), why.to_string()]).to_string();
        // The library's clients read the challenge that came last.
        let again =
            (why.prefix == "auth-required").then(|| json!(["AUTH", self.challenge]).to_string());
        Heard::Say(again.into_iter().chain([closed]).collect())
    }

    /// A login (NIP-42). One connection may log in with several keys.
    fn log_in(&self, event: &Event) -> Result<(), Refused> {
        let tag = |name: &str| {
            let mut tags = event.tags.iter().map(Tag::as_slice).filter(|tag| tag[0] == name);
            tags.next().and_then(|tag| tag.get(1)).cloned().unwrap_or_default()
        };
        let now = self.front.config.clock.now().0;
        let said = match () {
            () if event.kind != Kind::Authentication => "this is no login",
            () if tag("challenge") != self.challenge => "this answers another challenge",
            () if event.created_at.as_secs().abs_diff(now) > LOGIN_SKEW => "this is dated wrongly",
            () if !self.is_here(&tag("relay")) => "this is for another relay",
            () if event.verify().is_err() => "id or signature are wrong",
            () => {
                let mut state = self.state();
                if state.known.len() >= MOST_KEYS {
                    return refuse(
                        "blocked",
                        format!("at most {MOST_KEYS} keys of one connection"),
                    );
                }
                state.known.insert(event.pubkey);
                return Ok(());
            }
        };
        refuse("invalid", said)
    }

    /// Whether a login names this relay; where it does not know its own address, any will do.
    fn is_here(&self, url: &str) -> bool {
        let Some(own) = &self.front.config.url else { return true };
        let host = |url: &str| {
            let url = RelayUrl::parse(url).ok()?;
            url::Url::parse(url.as_str()).ok()?.host_str().map(str::to_owned)
        };
        host(own).is_none_or(|own| host(url) == Some(own))
    }
}

pub(super) async fn told_to_stop(stopped: &mut watch::Receiver<bool>) {
    // What has no sender any more stops too.
    let _ = stopped.wait_for(|stop| *stop).await;
}

fn refuse<T>(prefix: &'static str, why: impl Into<String>) -> Result<T, Refused> {
    super::rules::refused(prefix, why)
}

fn say(message: Value) -> Heard {
    Heard::Say(vec![message.to_string()])
}

#[expect(clippy::disallowed_methods, reason = "a login answers a number that nobody could know")]
fn challenge() -> String {
    hex::encode(rand::random::<[u8; 16]>())
}

//! The relay for operators, as a client sees it: what it takes, what it shows to whom, what it forgets.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "relay/plugin.rs"]
mod plugin;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use earnest::engine::Clock;
use earnest::market::{Span, Time};
use earnest::relay::{KindRule, Policy, Relay, RelayConfig, Rules, Settings, Wall, Wraps};
use futures::{SinkExt as _, StreamExt as _};
use nostr::{Event, EventBuilder, JsonUtil as _, Keys, Kind, Tag, Timestamp};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// Longer than anything here should take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn now() -> Time {
    Wall.now()
}

/// A clock that can be put on.
struct Ahead(AtomicU64);
impl Clock for Ahead {
    fn now(&self) -> Time {
        Wall.now().after(Span(self.0.load(Ordering::SeqCst)))
    }
}

fn settings() -> RelayConfig {
    RelayConfig::new(Arc::new(Wall))
}

fn made(keys: &Keys, kind: u16, content: &str, tags: &[&[&str]]) -> Event {
    made_at(keys, kind, content, tags, now())
}

fn made_at(keys: &Keys, kind: u16, content: &str, tags: &[&[&str]], at: Time) -> Event {
    let tags = tags.iter().map(|tag| Tag::parse(tag.iter().copied()).unwrap());
    EventBuilder::new(Kind::from(kind), content)
        .tags(tags)
        .custom_created_at(Timestamp::from_secs(at.0))
        .allow_self_tagging()
        .sign_with_keys(keys)
        .unwrap()
}

fn in_days(days: u64) -> String {
    now().after(Span::DAY.times(days)).0.to_string()
}

/// A client that says and hears plain messages.
struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Client {
    async fn to(url: &str) -> Self {
        Self(tokio_tungstenite::connect_async(url).await.unwrap().0)
    }

    async fn say(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    /// The next message; `None` once the connection has ended.
    async fn hear(&mut self) -> Option<Value> {
        let heard = async {
            loop {
                match self.0.next().await {
                    Some(Ok(Message::Text(text))) => {
                        return Some(serde_json::from_str(text.as_str()).unwrap());
                    }
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    _ => return None,
                }
            }
        };
        tokio::time::timeout(PATIENCE, heard).await.expect("the relay says nothing")
    }

    async fn publish(&mut self, event: &Event) -> Result<(), String> {
        self.say(json!(["EVENT", serde_json::from_str::<Value>(&event.as_json()).unwrap()])).await;
        self.ok(&event.id.to_hex()).await
    }

    async fn ok(&mut self, id: &str) -> Result<(), String> {
        loop {
            let heard = self.hear().await.ok_or("the connection ended")?;
            if heard[0] == "OK" && heard[1] == id {
                let why = heard[3].as_str().unwrap().to_owned();
                return if heard[2] == true { Ok(()) } else { Err(why) };
            }
        }
    }

    /// Ids of what is stored and fits, or why it is not told.
    async fn ask(&mut self, filter: Value) -> Result<BTreeSet<String>, String> {
        self.say(json!(["REQ", "q", filter])).await;
        let mut ids = BTreeSet::new();
        loop {
            let heard = self.hear().await.ok_or("the connection ended")?;
            match heard[0].as_str().unwrap() {
                "EVENT" => {
                    ids.insert(heard[2]["id"].as_str().unwrap().to_owned());
                }
                "EOSE" => {
                    self.say(json!(["CLOSE", "q"])).await;
                    return Ok(ids);
                }
                "CLOSED" => return Err(heard[2].as_str().unwrap().to_owned()),
                _ => {}
            }
        }
    }

    /// Logs in with a key, answering the challenge that comes first.
    async fn log_in(&mut self, keys: &Keys, challenge: &str, relay: &str) -> Result<(), String> {
        let tags: [&[&str]; 2] = [&["relay", relay], &["challenge", challenge]];
        let event = made(keys, 22_242, "", &tags);
        self.say(json!(["AUTH", serde_json::from_str::<Value>(&event.as_json()).unwrap()])).await;
        self.ok(&event.id.to_hex()).await
    }

    async fn challenge(&mut self) -> String {
        loop {
            let heard = self.hear().await.expect("a challenge");
            if heard[0] == "AUTH" {
                return heard[1].as_str().unwrap().to_owned();
            }
        }
    }
}

fn ids(events: &[&Event]) -> BTreeSet<String> {
    events.iter().map(|event| event.id.to_hex()).collect()
}

fn begins(answer: Result<impl std::fmt::Debug, String>, prefix: &str) {
    match answer {
        Err(why) if why.starts_with(prefix) => {}
        other => panic!("expected `{prefix}`, got {other:?}"),
    }
}

/// As an operator's file has it, but in memory and on a free port.
fn operated() -> RelayConfig {
    RelayConfig { dir: None, port: 0, ..Settings::default().config(Arc::new(Wall)) }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_takes_what_the_market_needs_and_nothing_else() {
    let relay = Relay::start(operated()).await.unwrap();
    let mut client = Client::to(&relay.url()).await;
    let keys = Keys::generate();
    let day = in_days(1);
    let listing = made(&keys, 30_402, "cats", &[&["d", "a"], &["expiration", &day]]);
    client.publish(&listing).await.unwrap();
    client.publish(&made(&keys, 3_920, "record", &[])).await.unwrap();
    client
        .publish(&made(&keys, 1_059, "wrap", &[&["p", &keys.public_key().to_hex()]]))
        .await
        .unwrap();
    client.publish(&made(&keys, 0, "{}", &[])).await.unwrap();

    let (past, far) = (now().before(Span(10)).0.to_string(), in_days(107));
    let many: Vec<Vec<String>> = (0..2_001).map(|n| vec!["t".into(), n.to_string()]).collect();
    let many: Vec<Vec<&str>> =
        many.iter().map(|t| t.iter().map(String::as_str).collect()).collect();
    let many: Vec<&[&str]> = many.iter().map(Vec::as_slice).collect();
    let ahead = made_at(&keys, 3_920, "", &[], now().after(Span::HOUR));
    for (event, why) in [
        (made(&keys, 1, "a note", &[]), "blocked: this relay does not take kind 1"),
        (made(&keys, 3_920, &"x".repeat(66_000), &[]), "invalid: 66"),
        (made(&keys, 3, "", &many), "invalid: "),
        (ahead, "invalid: dated more than 15 min ahead"),
        (made(&keys, 30_402, "", &[&["d", "b"]]), "invalid: kind 30402 needs an expiration"),
        (
            made(&keys, 30_402, "", &[&["d", "b"], &["expiration", &past]]),
            "invalid: it has expired",
        ),
        (
            made(&keys, 30_402, "", &[&["d", "b"], &["expiration", &far]]),
            "invalid: it expires more",
        ),
        (made(&keys, 3_920, "", &[&["expiration", "soon"]]), "invalid: its expiration"),
        (made(&keys, 0, "", &[&["-"]]), "blocked: protected"),
    ] {
        begins(client.publish(&event).await, why);
    }
    // Dated back is no fault: wraps are, on purpose.
    let old = made_at(&keys, 1_059, "", &[], now().before(Span::DAY.times(3)));
    client.publish(&old).await.unwrap();
    // Another's signature, another's id.
    let mut forged = serde_json::from_str::<Value>(&listing.as_json()).unwrap();
    forged["content"] = "dogs".into();
    client.say(json!(["EVENT", forged])).await;
    begins(client.ok(&listing.id.to_hex()).await, "invalid:");
    assert_eq!(client.ask(json!({"kinds": [30402]})).await, Ok(ids(&[&listing])));

    // What is none is said so, and in the end not listened to any more.
    for garbage in ["[]", "hello", "[\"EVENT\",{}]"] {
        client.0.send(Message::text(garbage)).await.unwrap();
        let heard = client.hear().await.unwrap();
        assert_eq!(
            (heard[0].as_str(), heard[1].as_str().unwrap().get(..8)),
            (Some("NOTICE"), Some("invalid:"))
        );
    }
    let mut flood = Client::to(&relay.url()).await;
    for _ in 0..30 {
        let _ = flood.0.send(Message::text("x")).await;
    }
    while flood.hear().await.is_some() {}
    // One message must not fill the memory.
    let mut large = Client::to(&relay.url()).await;
    large.challenge().await;
    let _ = large.0.send(Message::text("x".repeat(1 << 20))).await;
    assert_eq!(large.hear().await, None);
    assert_eq!(client.ask(json!({"kinds": [30402]})).await, Ok(ids(&[&listing])));
}

#[tokio::test(flavor = "multi_thread")]
async fn deletions_and_newer_versions_are_honoured() {
    let relay = Relay::start(operated()).await.unwrap();
    let mut client = Client::to(&relay.url()).await;
    let (keys, other) = (Keys::generate(), Keys::generate());
    let day = in_days(1);
    let tags: [&[&str]; 2] = [&["d", "a"], &["expiration", &day]];
    let first = made_at(&keys, 30_402, "one", &tags, now().before(Span(10)));
    let second = made_at(&keys, 30_402, "two", &tags, now().before(Span(5)));
    let note = made(&keys, 3_920, "", &[]);
    for event in [&first, &second, &note] {
        client.publish(event).await.unwrap();
    }
    assert_eq!(client.ask(json!({"kinds": [30402]})).await, Ok(ids(&[&second])));
    // Another's deletion deletes nothing; one's own does, for good.
    let _ = client.publish(&made(&other, 5, "", &[&["e", &note.id.to_hex()]])).await;
    assert_eq!(client.ask(json!({"kinds": [3920]})).await, Ok(ids(&[&note])));
    client.publish(&made(&keys, 5, "", &[&["e", &note.id.to_hex()]])).await.unwrap();
    assert_eq!(client.ask(json!({"kinds": [3920]})).await, Ok(BTreeSet::new()));
    begins(client.publish(&note).await, "blocked:");
}

#[tokio::test(flavor = "multi_thread")]
async fn work_is_asked_of_gift_wraps() {
    let rule = KindRule { pow: 8, ..KindRule::default() };
    let config = RelayConfig { by_kind: BTreeMap::from([(1_059, rule)]), ..settings() };
    let relay = Relay::start(config).await.unwrap();
    let mut client = Client::to(&relay.url()).await;
    let keys = Keys::generate();
    let wrap = |done: bool| {
        let found = (0..100_000).map(|n| made(&keys, 1_059, &n.to_string(), &[]));
        found.into_iter().find(|event| event.check_pow(8) == done).unwrap()
    };
    begins(client.publish(&wrap(false)).await, "pow: 8 bits are needed for kind 1059");
    client.publish(&wrap(true)).await.unwrap();
    client.publish(&made(&keys, 3_920, "", &[])).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gift_wrap_is_for_its_recipient_alone() {
    let url = Some("wss://gigs.example.org".to_owned());
    let config = RelayConfig { wraps: Wraps::Recipient, url, ..settings() };
    let relay = Relay::start(config).await.unwrap();
    let (sender, recipient, stranger) = (Keys::generate(), Keys::generate(), Keys::generate());
    let to = recipient.public_key().to_hex();
    let wrap = made(&sender, 1_059, "for you", &[&["p", &to]]);
    let listing = made(&sender, 30_402, "", &[&["d", "a"], &["p", &to]]);

    let mut nobody = Client::to(&relay.url()).await;
    nobody.challenge().await;
    let mut other = Client::to(&relay.url()).await;
    let challenge = other.challenge().await;
    let here = "wss://gigs.example.org/";
    begins(other.log_in(&stranger, "another", here).await, "invalid: this answers another");
    begins(other.log_in(&stranger, &challenge, "wss://else.example").await, "invalid: this is for");
    other.log_in(&stranger, &challenge, here).await.unwrap();
    let mut own = Client::to(&relay.url()).await;
    let challenge = own.challenge().await;
    own.log_in(&recipient, &challenge, here).await.unwrap();

    // One who waits, and one who waits for everything.
    own.say(json!(["REQ", "live", {"kinds": [1059], "#p": [to]}])).await;
    assert_eq!(own.hear().await.unwrap()[0], "EOSE");
    other.say(json!(["REQ", "all", {}])).await;
    assert_eq!(other.hear().await.unwrap()[0], "EOSE");
    for event in [&wrap, &listing] {
        nobody.publish(event).await.unwrap();
    }
    assert_eq!(own.hear().await.unwrap()[2]["id"], wrap.id.to_hex());
    assert_eq!(other.hear().await.unwrap()[2]["id"], listing.id.to_hex(), "never the wrap");
    other.say(json!(["CLOSE", "all"])).await;

    // Asked for by kind, by recipient, by id, by author, by nothing: only its recipient gets it.
    let (wrap_id, author) = (wrap.id.to_hex(), sender.public_key().to_hex());
    for (filter, anonymous, known) in [
        (json!({"kinds": [1059], "#p": [to]}), "auth-required:", "restricted:"),
        (json!({"kinds": [1059]}), "auth-required:", "restricted:"),
        (json!({"kinds": [1059, 0], "authors": [author]}), "auth-required:", "restricted:"),
        (json!({"ids": [wrap_id]}), "", ""),
        (json!({"authors": [author]}), "", ""),
        (json!({"#p": [to]}), "", ""),
        (json!({}), "", ""),
    ] {
        for (client, why) in [(&mut nobody, anonymous), (&mut other, known)] {
            match client.ask(filter.clone()).await {
                Ok(found) => assert!(why.is_empty() && !found.contains(&wrap_id), "{filter}"),
                said => begins(said, why),
            }
        }
    }
    assert_eq!(own.ask(json!({"kinds": [1059], "#p": [to]})).await, Ok(ids(&[&wrap])));
    assert_eq!(own.ask(json!({"#p": [to]})).await, Ok(ids(&[&wrap, &listing])));
    // Neither counted nor reconciled.
    other.say(json!(["COUNT", "c", {"kinds": [1059]}])).await;
    assert_eq!(other.hear().await.unwrap()[0], "CLOSED");
    other.say(json!(["NEG-OPEN", "n", {"kinds": [1059]}, "6100000200"])).await;
    assert_eq!(other.hear().await.unwrap()[0], "NEG-ERR");
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_are_slowed_by_connection_by_address_and_by_author() {
    let config = RelayConfig { events_per_minute: 5, ..settings() };
    let relay = Relay::start(config).await.unwrap();
    let keys = Keys::generate();
    let channel = |n: u64| made(&keys, 3_920, &n.to_string(), &[]);
    // A minute may turn in the middle, once.
    let refused = async |client: &mut Client, from: u64| {
        let mut refused = 0;
        for n in from..from + 12 {
            match client.publish(&channel(n)).await {
                Ok(()) => {}
                said => {
                    begins(said, "rate-limited:");
                    refused += 1;
                }
            }
        }
        refused
    };
    let mut one = Client::to(&relay.url()).await;
    assert!((2..=7).contains(&refused(&mut one, 0).await));
    let mut two = Client::to(&relay.url()).await;
    assert!(two.publish(&channel(100)).await.is_ok(), "another connection has a share of its own");

    let config = RelayConfig { address_events_per_minute: 5, ..settings() };
    let relay = Relay::start(config).await.unwrap();
    let (mut one, mut two) = (Client::to(&relay.url()).await, Client::to(&relay.url()).await);
    let all = refused(&mut one, 200).await + refused(&mut two, 300).await;
    assert!(all >= 14, "24 from one address, 5 a minute: {all}");

    let rule = KindRule { a_day_by_author: 2, ..KindRule::default() };
    let config = RelayConfig { by_kind: BTreeMap::from([(30_402, rule)]), ..settings() };
    let relay = Relay::start(config).await.unwrap();
    let mut client = Client::to(&relay.url()).await;
    let listing = |keys: &Keys, d: &str| made(keys, 30_402, "", &[&["d", d]]);
    // What is not signed by the author does not use up the author's share.
    let mut forged = serde_json::from_str::<Value>(&listing(&keys, "x").as_json()).unwrap();
    forged["sig"] = "00".repeat(64).into();
    for _ in 0..3 {
        client.say(json!(["EVENT", forged])).await;
        begins(client.ok(forged["id"].as_str().unwrap()).await, "invalid:");
    }
    for d in ["a", "b"] {
        client.publish(&listing(&keys, d)).await.unwrap();
    }
    begins(client.publish(&listing(&keys, "c")).await, "rate-limited:");
    client.publish(&listing(&Keys::generate(), "a")).await.unwrap();

    // Questions, and connections.
    let config = RelayConfig { questions_per_minute: 3, connections_per_address: 2, ..settings() };
    let relay = Relay::start(config).await.unwrap();
    let mut client = Client::to(&relay.url()).await;
    let mut said = Vec::new();
    for _ in 0..8 {
        said.push(client.ask(json!({"kinds": [0]})).await);
    }
    begins(said.into_iter().find(Result::is_err).unwrap(), "rate-limited:");
    let _second = Client::to(&relay.url()).await;
    assert!(
        tokio_tungstenite::connect_async(relay.url()).await.is_err(),
        "a third is one too many"
    );
    drop(client);
    let again = async {
        while tokio_tungstenite::connect_async(relay.url()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, again).await.expect("who leaves makes room");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_is_served_no_more_and_leaves_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(Ahead(AtomicU64::new(0)));
    let rule = KindRule { keep: Span::DAY, ..KindRule::default() };
    let config = || RelayConfig {
        dir: Some(dir.path().to_owned()),
        by_kind: BTreeMap::from([(3_920, rule.clone())]),
        ..RelayConfig::new(clock.clone())
    };
    let relay = Relay::start(config()).await.unwrap();
    let keys = Keys::generate();
    let hour = now().after(Span::HOUR).0.to_string();
    let brief = made(&keys, 30_402, "", &[&["d", "a"], &["expiration", &hour]]);
    let kept = made(&keys, 3_920, "", &[]);
    let good = made(&keys, 3_922, "", &[]);
    let mut client = Client::to(&relay.url()).await;
    for event in [&brief, &kept, &good] {
        client.publish(event).await.unwrap();
    }
    assert_eq!(client.ask(json!({})).await, Ok(ids(&[&brief, &kept, &good])));
    clock.0.store(2 * 3_600, Ordering::SeqCst);
    assert_eq!(client.ask(json!({})).await, Ok(ids(&[&kept, &good])), "at once");
    clock.0.store(2 * 86_400, Ordering::SeqCst);
    assert_eq!(client.ask(json!({})).await, Ok(ids(&[&good])));
    relay.close().await;
    // Another that would serve it: it is gone, also what ended while nobody ran.
    let lenient = || RelayConfig { by_kind: BTreeMap::new(), ..config() };
    let gone = async {
        loop {
            let relay = reopened(config()).await;
            tokio::time::sleep(Duration::from_secs(6)).await;
            relay.close().await;
            clock.0.store(0, Ordering::SeqCst);
            let relay = reopened(lenient()).await;
            let left = Client::to(&relay.url()).await.ask(json!({})).await;
            relay.close().await;
            clock.0.store(2 * 86_400, Ordering::SeqCst);
            if left == Ok(ids(&[&good])) {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("it never leaves the disk");
}

/// The last tasks of one that closed may hold the database a moment longer.
async fn reopened(config: RelayConfig) -> Relay {
    let opened = async {
        loop {
            match Relay::start(config.clone()).await {
                Ok(relay) => return relay,
                Err(why) => tracing::debug!("{why:#}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, opened).await.expect("it never opens again")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_what_was_answered_with_ok() {
    let dir = tempfile::tempdir().unwrap();
    let config = || RelayConfig { dir: Some(dir.path().to_owned()), ..settings() };
    let relay = Relay::start(config()).await.unwrap();
    let keys = Keys::generate();
    let events: Vec<Event> = (0..50).map(|n| made(&keys, 3_920, &n.to_string(), &[])).collect();
    let mut client = Client::to(&relay.url()).await;
    for event in &events {
        client.publish(event).await.unwrap();
    }
    relay.close().await;
    assert_eq!(client.hear().await, None, "those who are there are told");
    let relay = reopened(config()).await;
    let mut client = Client::to(&relay.url()).await;
    let all: Vec<&Event> = events.iter().collect();
    assert_eq!(client.ask(json!({"kinds": [3920]})).await, Ok(ids(&all)));
}

async fn information(relay: &Relay) -> Value {
    let at = relay.url().replace("ws://", "http://");
    let asked = reqwest::Client::new().get(at).header("accept", "application/nostr+json");
    let answer = asked.send().await.unwrap();
    assert_eq!(answer.headers()["access-control-allow-origin"], "*");
    answer.json().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_information_document_says_the_truth() {
    let relay = Relay::start(RelayConfig { max_limit: 3, ..operated() }).await.unwrap();
    let said = information(&relay).await;
    let limits = &said["limitation"];
    assert_eq!(said["name"], "earnest gig relay");
    assert_eq!(said["supported_nips"], json!([1, 9, 11, 13, 40, 42, 59, 77]));
    assert_eq!(
        (&limits["restricted_writes"], &limits["auth_required"]),
        (&true.into(), &false.into())
    );
    let keys = Keys::generate();
    let mut client = Client::to(&relay.url()).await;
    // A message of exactly the length that is said is taken, and one of more content is not.
    let content = usize::try_from(limits["max_content_length"].as_u64().unwrap()).unwrap();
    let empty = made(&keys, 3_920, "", &[]).as_json().len();
    client.publish(&made(&keys, 3_920, &"x".repeat(content - empty), &[])).await.unwrap();
    begins(
        client.publish(&made(&keys, 3_920, &"x".repeat(content - empty + 1), &[])).await,
        "invalid:",
    );
    let ahead = limits["created_at_upper_limit"].as_u64().unwrap();
    let at = |seconds: u64| made_at(&keys, 3_920, "", &[], now().after(Span(seconds)));
    client.publish(&at(ahead - 30)).await.unwrap();
    begins(client.publish(&at(ahead + 30)).await, "invalid:");
    for n in 0..5 {
        client.publish(&made(&keys, 3_920, &n.to_string(), &[])).await.unwrap();
    }
    let found = client.ask(json!({"kinds": [3920], "limit": 100})).await.unwrap();
    assert_eq!(found.len() as u64, limits["max_limit"].as_u64().unwrap());
    let name = "n".repeat(usize::try_from(limits["max_subid_length"].as_u64().unwrap()).unwrap());
    client.say(json!(["REQ", name, {"kinds": [9]}])).await;
    assert_eq!(client.hear().await.unwrap()[0], "EOSE");
    client.say(json!(["REQ", format!("{name}n"), {"kinds": [9]}])).await;
    assert_eq!(client.hear().await.unwrap()[0], "CLOSED");
    let most = limits["max_subscriptions"].as_u64().unwrap();
    let mut closed = None;
    for n in 0..most {
        client.say(json!(["REQ", n.to_string(), {"kinds": [9]}])).await;
        let heard = client.hear().await.unwrap();
        if heard[0] == "CLOSED" {
            closed = closed.or(Some(n));
        }
    }
    assert_eq!(closed, Some(most - 1), "one stands already");

    let gated = RelayConfig { wraps: Wraps::Recipient, sync: false, min_pow: 1, ..operated() };
    let said = information(&Relay::start(gated).await.unwrap()).await;
    assert_eq!(said["supported_nips"], json!([1, 9, 11, 13, 40, 42, 59]));
    assert_eq!(said["limitation"]["min_pow_difficulty"], 1);
}

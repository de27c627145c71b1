//! Relays as they are: they drop, delay, repeat, close, fall silent, die, come back and lie. Whatever they do,
//! every event arrives and nothing else does.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

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
        for _ in batch {
            let answer = rx.next().await.unwrap().unwrap().into_text().unwrap();
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

// ---------------------------------------------------------------- they fail

async fn every_event_arrives_despite(faults: Faults) {
    let relay = honest().await;
    let flaky = FlakyRelay::start(&relay.url()).await.unwrap();
    let keys = Keys::generate();
    let events = records(&keys, 60);
    let (stored, live) = events.split_at(30);
    fill(&relay.url(), stored).await;
    flaky.set(faults);
    let pool = Pool::start(config(&[&flaky.url()]));
    pool.watch(vec![channel(&keys, &[])]).await;
    all_arrive(&pool, stored).await;
    fill(&relay.url(), live).await;
    all_arrive(&pool, live).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_drops_events() {
    every_event_arrives_despite(Faults { drop_every: Some(3), ..Faults::default() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_is_slow() {
    let delay = Duration::from_millis(10);
    every_event_arrives_despite(Faults { delay, ..Faults::default() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_says_everything_twice() {
    every_event_arrives_despite(Faults { duplicate: true, ..Faults::default() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_mixes_up_the_order() {
    every_event_arrives_despite(Faults { reorder: true, ..Faults::default() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_talks_rubbish_between() {
    every_event_arrives_despite(Faults { garbage: true, ..Faults::default() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_changes_what_events_say() {
    every_event_arrives_despite(Faults { alter_every: Some(3), ..Faults::default() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_closes_subscriptions_is_asked_again() {
    let relay = honest().await;
    let flaky = FlakyRelay::start(&relay.url()).await.unwrap();
    let keys = Keys::generate();
    let events = records(&keys, 3);
    let pool = Pool::start(config(&[&flaky.url()]));
    pool.watch(vec![channel(&keys, &[])]).await;
    until_live(&pool).await;
    for (n, why) in ["error: restarting", "rate-limited: slow down", "no prefix"].iter().enumerate()
    {
        flaky.close(why);
        until_tally(&pool, &flaky.url(), "closed", |t| t.closed > n as u64).await;
        fill(&relay.url(), &events[n..=n]).await;
        all_arrive(&pool, &events[n..=n]).await;
        until_live(&pool).await;
    }
    assert_eq!(tally(&pool, &flaky.url()).connections, 1, "CLOSED is no reason to hang up");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_falls_silent_is_noticed_and_comes_back() {
    let relay = honest().await;
    let flaky = FlakyRelay::start(&relay.url()).await.unwrap();
    let keys = Keys::generate();
    let events = records(&keys, 2);
    let pool = Pool::start(config(&[&flaky.url()]));
    pool.watch(vec![channel(&keys, &[])]).await;
    until_live(&pool).await;
    flaky.set(Faults { silent: true, ..Faults::default() });
    fill(&relay.url(), &events).await;
    until_tally(&pool, &flaky.url(), "noticed", |t| t.silences > 0 && t.connections > 1).await;
    until("it shows", || async {
        let health = pool.health().await;
        !health[0].live && health[0].trouble.is_some()
    })
    .await;
    flaky.set(Faults::default());
    all_arrive(&pool, &events).await;
    until_live(&pool).await;
    until("no trouble", || async { pool.health().await[0].trouble.is_none() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_never_says_that_this_is_all() {
    let relay = honest().await;
    let flaky = FlakyRelay::start(&relay.url()).await.unwrap();
    flaky.set(Faults { no_eose: true, ..Faults::default() });
    let keys = Keys::generate();
    let pool = Pool::start(config(&[&flaky.url()]));
    pool.watch(vec![channel(&keys, &[])]).await;
    until_tally(&pool, &flaky.url(), "connected anew", |t| t.connections > 1).await;
    assert!(!pool.health().await[0].live);
    let events = records(&keys, 5);
    fill(&relay.url(), &events).await;
    flaky.set(Faults::default());
    all_arrive(&pool, &events).await;
    until_live(&pool).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_dies_and_comes_back() {
    let relay = honest().await;
    let flaky = FlakyRelay::start(&relay.url()).await.unwrap();
    let keys = Keys::generate();
    let events = records(&keys, 20);
    let pool = Pool::start(config(&[&flaky.url()]));
    pool.watch(vec![channel(&keys, &[])]).await;
    until_live(&pool).await;
    flaky.set(Faults { dead: true, ..Faults::default() });
    flaky.cut();
    until("down", || async { !pool.health().await[0].connected }).await;
    fill(&relay.url(), &events).await;
    flaky.set(Faults::default());
    all_arrive(&pool, &events).await;
    until_live(&pool).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_is_restarted_with_its_database() {
    let dir = tempfile::tempdir().unwrap();
    let start =
        |port| Relay::start(RelayConfig { dir: Some(dir.path().to_owned()), port, ..settings() });
    let relay = start(0).await.unwrap();
    let (url, port) = (relay.url(), relay.port());
    let keys = Keys::generate();
    let events = records(&keys, 10);
    fill(&url, &events).await;
    relay.stop();
    let pool = Pool::start(config(&[&url]));
    pool.watch(vec![channel(&keys, &[])]).await;
    until("trouble", || async { pool.health().await[0].trouble.is_some() }).await;
    // Its last connections may hold port and database a moment longer.
    let begun = tokio::time::Instant::now();
    let _again = loop {
        match start(port).await {
            Ok(relay) => break relay,
            Err(why) => assert!(begun.elapsed() < DEADLINE, "{why:#}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    all_arrive(&pool, &events).await;
}

// ---------------------------------------------------------------- more than one page

async fn everything_is_read_after_an_absence(publish_limits: bool) {
    let relay = Relay::start(RelayConfig { max_limit: 100, publish_limits, ..settings() });
    let relay = relay.await.unwrap();
    let keys = Keys::generate();
    let begin = now().before(Span::HOUR);
    // Four in the same second, so that pages break within a second.
    let events: Vec<Event> = (0..1_200)
        .map(|i| made(&keys, 3920, begin.after(Span(i / 4)), format!("record {i}"), vec![]))
        .collect();
    fill(&relay.url(), &events).await;
    let pool = Pool::start(config(&[&relay.url()]));
    pool.watch(vec![channel(&keys, &[])]).await;
    let came = all_arrive(&pool, &events).await;
    assert_eq!(came.len(), events.len(), "each once, from one relay that repeats nothing");
    until_live(&pool).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absence_of_many_pages_from_a_relay_that_says_its_limit() {
    everything_is_read_after_an_absence(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absence_of_many_pages_from_a_relay_that_cuts_without_saying() {
    everything_is_read_after_an_absence(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_hundred_jobs_at_once() {
    let relay = honest().await;
    let keys: Vec<Keys> = (0..300).map(|_| Keys::generate()).collect();
    let events: Vec<Event> = keys.iter().flat_map(|keys| records(keys, 2)).collect();
    fill(&relay.url(), &events).await;
    let flaky = FlakyRelay::start(&relay.url()).await.unwrap();
    let slow = Timeouts { idle: DEADLINE, sweep: DEADLINE, ..quick() };
    let pool = Pool::start(PoolConfig { timeouts: slow, ..config(&[&flaky.url()]) });
    pool.watch(keys.iter().map(|keys| channel(keys, &[])).collect()).await;
    all_arrive(&pool, &events).await;
    until_live(&pool).await;
    assert!(flaky.questions() < 40, "{} questions for 300 jobs", flaky.questions());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_falls_behind_loses_nothing() {
    let relay = honest().await;
    let keys = Keys::generate();
    let events = records(&keys, 400);
    fill(&relay.url(), &events).await;
    let pool = Pool::start(PoolConfig { room: 64, ..config(&[&relay.url()]) });
    pool.watch(vec![channel(&keys, &[])]).await;
    until_tally(&pool, &relay.url(), "behind", |t| t.lagged > 0).await;
    until("it shows", || async {
        let health = pool.health().await;
        !health[0].live && health[0].trouble.is_some()
    })
    .await;
    // What is published goes out although the queue is full.
    let mine = records(&Keys::generate(), 1);
    assert!(pool.publish(&wire(&mine[0]), &[]).await.is_ok());
    all_arrive(&pool, &events).await;
    until_live(&pool).await;
}

// ---------------------------------------------------------------- they lie

fn frame(event: &Value) -> String {
    json!(["EVENT", "c0", event]).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_asked_for_or_is_forged_is_not_handed_on() {
    let relay = honest().await;
    let flaky = FlakyRelay::start(&relay.url()).await.unwrap();
    let keys = Keys::generate();
    let pool = Pool::start(config(&[&flaky.url()]));
    pool.watch(vec![channel(&keys, &[])]).await;
    until_live(&pool).await;
    let good = records(&keys, 1).remove(0);
    let value = |event: &Event| serde_json::to_value(event).unwrap();

    let mut wrong_signature = value(&good);
    wrong_signature["sig"] = json!("ab".repeat(64));
    let mut wrong_id = value(&good);
    wrong_id["content"] = json!("another record");
    let mut other_id = value(&good);
    other_id["id"] = json!("00".repeat(32));
    let stranger = value(&records(&Keys::generate(), 1)[0]);
    let note = value(&made(&keys, 1, now(), "a note".into(), vec![]));
    let deletion = value(&made(&keys, 5, now(), String::new(), vec![Tag::event(good.id)]));
    let large = value(&made(&keys, 3920, now(), "x".repeat(65 * 1024), vec![]));
    let huge = value(&made(&keys, 3920, now(), "x".repeat(130 * 1024), vec![]));
    let ahead = value(&made(&keys, 3920, now().after(Span(20 * 60)), "later".into(), vec![]));
    let long_ago =
        value(&made(&keys, 3920, now().before(Span::DAY.times(9)), "old".into(), vec![]));
    let bad = [
        ("bad-signature", wrong_signature),
        ("wrong-id", wrong_id),
        ("wrong-id", other_id),
        ("unasked", stranger),
        ("unasked", note),
        ("unasked", deletion),
        ("unasked", long_ago),
        ("too-large", large),
        ("too-large", huge),
        ("future-dated", ahead),
        ("garbage", json!({"kind": 3920})),
    ];
    let mut expected: BTreeMap<&str, u64> = BTreeMap::new();
    for (why, event) in &bad {
        flaky.say(&frame(event));
        *expected.entry(why).or_default() += 1;
    }
    until("refused", || async { tally(&pool, &flaky.url()).refused == expected }).await;
    // The forged copies came first and must not hide the real one.
    flaky.say(&frame(&value(&good)));
    all_arrive(&pool, std::slice::from_ref(&good)).await;
    assert_eq!(tally(&pool, &flaky.url()).handed_on, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_too_large_to_read_ends_the_connection_and_no_more() {
    let relay = honest().await;
    let flaky = FlakyRelay::start(&relay.url()).await.unwrap();
    let keys = Keys::generate();
    let events = records(&keys, 1);
    let pool = Pool::start(config(&[&flaky.url()]));
    pool.watch(vec![channel(&keys, &[])]).await;
    until_live(&pool).await;
    flaky.say(&"x".repeat(1024 * 1024));
    until_tally(&pool, &flaky.url(), "connected anew", |t| t.connections > 1).await;
    fill(&relay.url(), &events).await;
    all_arrive(&pool, &events).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_only_sends_rubbish_is_left_alone() {
    let relay = honest().await;
    let flaky = FlakyRelay::start(&relay.url()).await.unwrap();
    let keys = Keys::generate();
    let pool = Pool::start(config(&[&flaky.url()]));
    pool.watch(vec![channel(&keys, &[])]).await;
    until_live(&pool).await;
    let stranger = frame(&serde_json::to_value(&records(&Keys::generate(), 1)[0]).unwrap());
    until("hung up", || async {
        flaky.say(&stranger);
        tally(&pool, &flaky.url()).connections > 1
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_relays_with_the_same_event_hand_it_on_once() {
    let (a, b) = (honest().await, honest().await);
    let keys = Keys::generate();
    let events = records(&keys, 50);
    fill(&a.url(), &events).await;
    fill(&b.url(), &events).await;
    let pool = Pool::start(config(&[&a.url(), &b.url()]));
    pool.watch(vec![channel(&keys, &[])]).await;
    all_arrive(&pool, &events).await;
    until_live(&pool).await;
    let handed: u64 = pool.tally().values().map(|t| t.handed_on).sum();
    assert_eq!(handed, 50);
}

// ---------------------------------------------------------------- what is asked

#[tokio::test(flavor = "multi_thread")]
async fn listings_and_wraps_come_by_their_tags() {
    let relay = honest().await;
    let (author, us, them) = (Keys::generate(), Keys::generate(), Keys::generate());
    let tag = |name: &str, value: &str| Tag::parse([name, value]).unwrap();
    let listing = |d: &str, y: &str, n: &str| {
        let tags = vec![tag("d", d), tag("y", y), tag("n", n)];
        made(&author, 30402, now(), "work".into(), tags)
    };
    let wrap = |to: &Keys| {
        let tags = vec![Tag::public_key(to.public_key())];
        made(&Keys::generate(), 1059, now().before(Span::HOUR), "sealed".into(), tags)
    };
    let ours = [listing("a", "earnest", "regtest"), wrap(&us)];
    let others = [listing("b", "earnest", "bitcoin"), listing("c", "shop", "regtest"), wrap(&them)];
    fill(&relay.url(), &others).await;
    fill(&relay.url(), &ours).await;
    let pool = Pool::start(config(&[&relay.url()]));
    let since = now().before(Span::DAY);
    pool.watch(vec![
        Subscription { want: Want::Listings(Network::Regtest), relays: vec![], since },
        Subscription { want: Want::Wraps(pubkey(&us)), relays: vec![], since },
    ])
    .await;
    let came = all_arrive(&pool, &ours).await;
    for event in came {
        assert_eq!(event.to, (event.kind == 1059).then(|| pubkey(&us)));
        assert_eq!(event.relay, relay.url());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn relays_are_added_on_demand_and_dropped_when_nothing_needs_them() {
    let (own, theirs) = (honest().await, honest().await);
    let (first, second) = (Keys::generate(), Keys::generate());
    let (events, more) = (records(&first, 3), records(&second, 3));
    fill(&theirs.url(), &events).await;
    fill(&own.url(), &more).await;
    let pool = Pool::start(config(&[&own.url()]));
    pool.watch(vec![channel(&first, &[&theirs.url()])]).await;
    all_arrive(&pool, &events).await;
    assert_eq!(pool.health().await.len(), 2);
    pool.watch(vec![channel(&second, &[])]).await;
    all_arrive(&pool, &more).await;
    let health = pool.health().await;
    assert_eq!(health.len(), 1, "{health:?}");
    assert_eq!(health[0].url, own.url());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_that_is_asked_anew_is_told_all_again() {
    let relay = honest().await;
    let keys = Keys::generate();
    let events = records(&keys, 3);
    fill(&relay.url(), &events).await;
    let pool = Pool::start(config(&[&relay.url()]));
    for _ in 0..2 {
        pool.watch(vec![channel(&keys, &[])]).await;
        all_arrive(&pool, &events).await;
        pool.watch(vec![]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_wants_to_know_who_reads_is_shown_nobody() {
    let relay = Relay::start(RelayConfig { auth_to_read: true, ..settings() }).await.unwrap();
    let keys = Keys::generate();
    let events = records(&keys, 3);
    fill(&relay.url(), &events).await;
    let pool = Pool::start(config(&[&relay.url()]));
    pool.watch(vec![channel(&keys, &[])]).await;
    all_arrive(&pool, &events).await;
    until_live(&pool).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_serves_wraps_only_to_their_recipient_says_so_in_health() {
    let relay = honest().await;
    let flaky = FlakyRelay::start(&relay.url()).await.unwrap();
    let keys = Keys::generate();
    let pool = Pool::start(config(&[&flaky.url()]));
    pool.watch(vec![channel(&keys, &[])]).await;
    until_live(&pool).await;
    flaky.close("restricted: not your messages");
    until("it shows", || async {
        let trouble = pool.health().await[0].trouble.clone();
        trouble.is_some_and(|t| t.contains("recipient"))
    })
    .await;
}

// ---------------------------------------------------------------- publishing

#[tokio::test(flavor = "multi_thread")]
async fn one_relay_of_two_is_enough_and_the_dead_one_shows() {
    let alive = honest().await;
    let dead = honest().await;
    let dead_url = dead.url();
    dead.stop();
    let keys = Keys::generate();
    let events = records(&keys, 2);
    let pool = Pool::start(config(&[&alive.url(), &dead_url]));
    pool.watch(vec![channel(&keys, &[])]).await;
    let published = pool.publish(&wire(&events[0]), &[]).await.unwrap();
    assert_eq!(published.accepted, [alive.url()]);
    assert_eq!(published.silent, std::slice::from_ref(&dead_url));
    assert!(published.refused.is_empty());
    all_arrive(&pool, &events[..1]).await;
    for health in pool.health().await {
        assert_eq!(health.connected, health.url == alive.url(), "{health:?}");
        assert_eq!(health.trouble.is_some(), health.url == dead_url, "{health:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_asks_only_the_relays_that_are_missing() {
    let relay = honest().await;
    let good = FlakyRelay::start(&relay.url()).await.unwrap();
    let busy = FlakyRelay::start(&relay.url()).await.unwrap();
    let strict = FlakyRelay::start(&relay.url()).await.unwrap();
    busy.set(Faults { refuse: Some("rate-limited: slow down".into()), ..Faults::default() });
    strict.set(Faults { refuse: Some("blocked: not here".into()), ..Faults::default() });
    let event = wire(&records(&Keys::generate(), 1)[0]);
    let relays = [good.url(), busy.url(), strict.url()];
    let pool = Pool::start(config(&[&good.url()]));
    let published = pool.publish(&event, &relays).await.unwrap();
    assert_eq!(published.accepted, [good.url()]);
    assert_eq!(published.silent, [busy.url()]);
    assert_eq!(published.refused.len(), 1);
    assert!(published.refused[0].1.contains("blocked: not here"), "{published:?}");
    busy.set(Faults::default());
    let published = pool.publish(&event, &relays).await.unwrap();
    let accepted: BTreeSet<String> = published.accepted.iter().cloned().collect();
    assert_eq!(accepted, BTreeSet::from([good.url(), busy.url()]));
    assert_eq!(published.refused.len(), 1);
    assert_eq!((good.taken(), busy.taken(), strict.taken()), (1, 2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_claims_to_have_it_costs_nothing_where_another_has_it() {
    let (relay, other) = (honest().await, honest().await);
    let liar = FlakyRelay::start(&relay.url()).await.unwrap();
    liar.set(Faults { claim_ok: true, ..Faults::default() });
    let keys = Keys::generate();
    let events = records(&keys, 1);
    let us = Pool::start(config(&[&liar.url(), &other.url()]));
    let published = us.publish(&wire(&events[0]), &[]).await.unwrap();
    assert_eq!(published.accepted.len(), 2, "an OK is a claim");
    let them = Pool::start(config(&[&liar.url(), &other.url()]));
    them.watch(vec![channel(&keys, &[])]).await;
    let came = all_arrive(&them, &events).await;
    assert_eq!(came[0].relay, other.url());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_takes_events_and_never_answers_is_connected_anew() {
    let relay = honest().await;
    let flaky = FlakyRelay::start(&relay.url()).await.unwrap();
    let pool = Pool::start(PoolConfig {
        timeouts: Timeouts { publish: Duration::from_millis(300), ..quick() },
        ..config(&[&flaky.url()])
    });
    let events = records(&Keys::generate(), 2);
    assert!(pool.publish(&wire(&events[0]), &[]).await.is_ok());
    flaky.set(Faults { silent: true, ..Faults::default() });
    let answer = pool.publish(&wire(&events[1]), &[]).await;
    assert!(matches!(answer, Err(Fault::Later(_))), "{answer:?}");
    until_tally(&pool, &flaky.url(), "connected anew", |t| t.connections > 1).await;
    flaky.set(Faults::default());
    until("published", || async { pool.publish(&wire(&events[1]), &[]).await.is_ok() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_close_nothing_is_connected() {
    let relay = honest().await;
    let flaky = FlakyRelay::start(&relay.url()).await.unwrap();
    let keys = Keys::generate();
    let pool = Pool::start(config(&[&flaky.url()]));
    pool.watch(vec![channel(&keys, &[])]).await;
    until_live(&pool).await;
    pool.close();
    pool.watch(vec![channel(&keys, &[])]).await;
    assert!(pool.health().await.is_empty());
    let event = wire(&records(&keys, 1)[0]);
    assert!(matches!(pool.publish(&event, &[]).await, Err(Fault::Later(_))));
    assert_eq!(flaky.connections(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_everywhere_for_good_is_never_and_for_now_is_later() {
    let relay = honest().await;
    let flaky = FlakyRelay::start(&relay.url()).await.unwrap();
    let pool = Pool::start(config(&[&flaky.url()]));
    let keys = Keys::generate();
    for (why, good) in [
        ("blocked: go away", true),
        ("pow: 28 bits needed", true),
        ("restricted: members only", true),
        ("rate-limited: slow down", false),
        ("error: disk full", false),
        ("", false),
    ] {
        flaky.set(Faults { refuse: Some(why.into()), ..Faults::default() });
        let event = made(&keys, 3920, now(), why.into(), vec![]);
        let answer = pool.publish(&wire(&event), &[]).await;
        match (answer, good) {
            (Err(Fault::Never(said)), true) => assert!(said.contains(why), "{said}"),
            (Err(Fault::Later(said)), false) => assert!(said.contains(why), "{said}"),
            (other, _) => panic!("{why}: {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_hangs_holds_up_no_other() {
    let relay = honest().await;
    let hung = FlakyRelay::start(&relay.url()).await.unwrap();
    hung.set(Faults { silent: true, ..Faults::default() });
    let keys = Keys::generate();
    let events = records(&keys, 3);
    let slow = Timeouts { eose: DEADLINE, publish: DEADLINE, ..quick() };
    let pool = Pool::start(PoolConfig { timeouts: slow, ..config(&[&relay.url(), &hung.url()]) });
    pool.watch(vec![channel(&keys, &[])]).await;
    // The answer of the hung one is waited for; what the other one has arrives meanwhile.
    let event = wire(&events[0]);
    let publishing = pool.publish(&event, &[]);
    let taking = async {
        all_arrive(&pool, &events[..1]).await;
        hung.set(Faults::default());
        hung.cut();
    };
    let (published, ()) = tokio::join!(publishing, taking);
    assert!(published.unwrap().accepted.contains(&relay.url()));
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_that_a_relay_publishes_are_obeyed_before_it_is_asked() {
    let config_of = |f: fn(RelayConfig) -> RelayConfig| Relay::start(f(settings()));
    let keys = Keys::generate();
    let small = config_of(|c| RelayConfig { max_event: 2048, ..c }).await.unwrap();
    let work = config_of(|c| RelayConfig { min_pow: 40, ..c }).await.unwrap();
    let large = made(&keys, 3920, now(), "x".repeat(4000), vec![]);
    for (relay, words) in [(&small, "takes at most"), (&work, "bits of proof of work")] {
        let pool = Pool::start(config(&[&relay.url()]));
        match pool.publish(&wire(&large), &[]).await {
            Err(Fault::Never(said)) => assert!(said.contains(words), "{said}"),
            other => panic!("{other:?}"),
        }
        assert!(tally(&pool, &relay.url()).refused.is_empty());
    }
    let pool = Pool::start(config(&[&small.url()]));
    assert!(pool.publish(&wire(&records(&keys, 1)[0]), &[]).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_signed_event_is_not_published() {
    let relay = honest().await;
    let flaky = FlakyRelay::start(&relay.url()).await.unwrap();
    let pool = Pool::start(config(&[&flaky.url()]));
    let event = records(&Keys::generate(), 1).remove(0);
    let changed = event.as_json().replace("record", "tecord");
    for json in ["", "{}", &changed, &"x".repeat(200 * 1024)] {
        let wire = WireEvent { id: id(&event), json: json.to_owned() };
        assert!(matches!(pool.publish(&wire, &[]).await, Err(Fault::Never(_))));
    }
    assert_eq!(flaky.taken(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_cannot_send_us_into_our_own_network() {
    let relay = honest().await;
    let flaky = FlakyRelay::start(&relay.url()).await.unwrap();
    let event = wire(&records(&Keys::generate(), 1)[0]);
    let short = Timeouts { publish: Duration::from_millis(300), ..quick() };
    // Our own relays are out in the world, the stranger's is at 127.0.0.1.
    let pool = Pool::start(PoolConfig { timeouts: short, ..config(&["wss://relay.invalid"]) });
    let answer = pool.publish(&event, &[flaky.url()]).await;
    assert!(matches!(answer, Err(Fault::Later(_))), "{answer:?}");
    assert_eq!(flaky.connections(), 0);
    let answer = pool.publish(&event, &["http://relay.example".into()]).await;
    assert!(matches!(answer, Err(Fault::Never(_))), "{answer:?}");
}

// ---------------------------------------------------------------- how fast

/// EARNEST_MEASURE=20000 asks for the figure of the notes; the default keeps the suite short.
#[tokio::test(flavor = "multi_thread")]
async fn verified_events_are_handed_on_by_the_thousand() {
    let n = std::env::var("EARNEST_MEASURE").ok().and_then(|n| n.parse().ok()).unwrap_or(2_000);
    let relay = Relay::start(RelayConfig { events_per_minute: 10_000_000, ..settings() });
    let relay = relay.await.unwrap();
    let keys = Keys::generate();
    let events = records(&keys, n);
    fill(&relay.url(), &events).await;
    let timeouts = Timeouts { sweep: DEADLINE, eose: Duration::from_secs(10), ..quick() };
    let rate = u32::MAX;
    let pool = Pool::start(PoolConfig { timeouts, rate, ..config(&[&relay.url()]) });
    let begun = tokio::time::Instant::now();
    pool.watch(vec![Subscription {
        since: now().before(Span::DAY.times(2)),
        ..channel(&keys, &[])
    }])
    .await;
    all_arrive(&pool, &events).await;
    let took = begun.elapsed();
    let rate = n as f64 / took.as_secs_f64();
    writeln!(std::io::stderr(), "{n} events in {took:.2?}: {rate:.0}/s").unwrap();
    assert!(rate > 200.0, "{rate:.0} events/s");
}

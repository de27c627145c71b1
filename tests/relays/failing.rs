//! Relays that fail: they drop, delay, repeat, close, fall silent, die and come back.

use futures::future::join_all;

use crate::*;

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
async fn a_connection_that_breaks_in_the_middle_of_a_message_is_made_anew() {
    let relay = honest().await;
    let flaky = FlakyRelay::start(&relay.url()).await.unwrap();
    let keys = Keys::generate();
    let pool = Pool::start(PoolConfig {
        timeouts: Timeouts { publish: Duration::from_millis(500), ..quick() },
        ..config(&[&flaky.url()])
    });
    pool.watch(vec![channel(&keys, &[])]).await;
    until_live(&pool).await;
    flaky.set(Faults { deaf: true, ..Faults::default() });
    // More than all the buffers between the two take.
    let other = Keys::generate();
    let large: Vec<WireEvent> = (0..400)
        .map(|n| made(&other, 3920, now(), format!("{n}{}", "x".repeat(60_000)), vec![]))
        .map(|event| wire(&event))
        .collect();
    let answers = join_all(large.iter().map(|event| pool.publish(event, &[]))).await;
    let unread = answers.iter().filter(|a| matches!(a, Err(Fault::Later(_)))).count();
    assert!(unread >= 399, "it was already waiting for one: {unread}, {:?}", answers[0]);
    assert_eq!(flaky.connections(), 1, "it still waits to be read");
    flaky.cut();
    flaky.set(Faults::default());
    until_tally(&pool, &flaky.url(), "connected anew", |t| t.connections > 1).await;
    let events = records(&keys, 1);
    pool.publish(&wire(&events[0]), &[]).await.unwrap();
    all_arrive(&pool, &events).await;
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

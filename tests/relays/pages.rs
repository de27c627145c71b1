//! More than one page, and more than one can take.

use crate::*;

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

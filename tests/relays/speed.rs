//! How fast verified events come through.

use crate::*;

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
        reader: None,
        ..channel(&keys, &[])
    }])
    .await;
    all_arrive(&pool, &events).await;
    let took = begun.elapsed();
    let rate = n as f64 / took.as_secs_f64();
    writeln!(std::io::stderr(), "{n} events in {took:.2?}: {rate:.0}/s").unwrap();
    assert!(rate > 200.0, "{rate:.0} events/s");
}

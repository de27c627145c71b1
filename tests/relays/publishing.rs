//! Publishing: who takes it, who refuses it, and who only says so.

use crate::*;

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

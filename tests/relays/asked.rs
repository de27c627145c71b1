//! What is asked, of whom, and who is told nothing.

use earnest::engine::{Scribe as _, WrapKey};
use earnest::keys::{OsDice, Phrase, Secrets};
use earnest::market::Nonce;
use earnest::relay::Wraps;

use crate::*;

#[tokio::test(flavor = "multi_thread")]
async fn listings_and_wraps_come_by_their_tags() {
    let open = RelayConfig { wraps: Wraps::Anyone, ..settings() };
    let relay = Relay::start(open).await.unwrap();
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
        Subscription {
            want: Want::Listings(Network::Regtest),
            relays: vec![],
            since,
            reader: None,
        },
        Subscription { want: Want::Wraps(pubkey(&us)), relays: vec![], since, reader: None },
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

/// A person's keys, and the inboxes of two of its listings.
fn person() -> (Arc<earnest::keys::Keys>, [WrapKey; 2], [Pubkey; 2]) {
    let secrets = Secrets { phrase: Phrase::new(&[7; 32]), imported: None };
    let keys = earnest::keys::Keys::new(&secrets, Arc::new(OsDice), Arc::new(Wall));
    let nonces = [Nonce([1; 32]), Nonce([2; 32])];
    let inboxes = nonces.map(|nonce| keys.inbox(&nonce));
    (Arc::new(keys), nonces.map(WrapKey::Inbox), inboxes)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_serves_wraps_to_their_recipient_is_shown_each_inbox() {
    let relay = Relay::start(RelayConfig { wraps: Wraps::Recipient, ..settings() }).await.unwrap();
    let (scribe, readers, inboxes) = person();
    let wrap = |to: &Pubkey| {
        let tags = vec![Tag::parse(["p", &to.to_string()]).unwrap()];
        made(&Keys::generate(), 1059, now().before(Span::HOUR), "sealed".into(), tags)
    };
    let wraps = inboxes.map(|to| wrap(&to));
    fill(&relay.url(), &wraps).await;
    let ask = |n: usize| Subscription {
        want: Want::Wraps(inboxes[n]),
        relays: vec![],
        since: now().before(Span::DAY),
        reader: Some(readers[n]),
    };
    let pool = Pool::start(PoolConfig { scribe: Some(scribe), ..config(&[&relay.url()]) });
    pool.watch(vec![ask(0)]).await;
    all_arrive(&pool, &wraps[..1]).await;
    until_live(&pool).await;
    // Another listing, while the connection stands.
    pool.watch(vec![ask(0), ask(1)]).await;
    all_arrive(&pool, &wraps[1..]).await;
    until_live(&pool).await;
    let later = inboxes.map(|to| wrap(&to));
    fill(&relay.url(), &later).await;
    all_arrive(&pool, &later).await;

    // Somebody who asks for another's is told nothing, and says so.
    let nosy = Pool::start(config(&[&relay.url()]));
    nosy.watch(vec![Subscription { reader: None, ..ask(0) }]).await;
    until("it shows", || async {
        let trouble = nosy.health().await[0].trouble.clone();
        trouble.is_some_and(|t| t.contains("recipient"))
    })
    .await;
    assert!(tokio::time::timeout(Duration::from_millis(200), nosy.next()).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_shown_as_many_keys_as_one_connection_may_goes_on_with_another() {
    let relay = Relay::start(RelayConfig { wraps: Wraps::Recipient, ..settings() }).await.unwrap();
    let (scribe, ..) = person();
    let session = |n: u32| {
        let nonce = Nonce(*blake3::hash(&n.to_le_bytes()).as_bytes());
        (WrapKey::Session(nonce), scribe.session(&nonce))
    };
    let ask = |n: u32| {
        let (reader, key) = session(n);
        let since = now().before(Span::DAY);
        Subscription { want: Want::Wraps(key), relays: vec![], since, reader: Some(reader) }
    };
    let wrap = |n: u32| {
        let tags = vec![Tag::parse(["p", &session(n).1.to_string()]).unwrap()];
        made(&Keys::generate(), 1059, now().before(Span::HOUR), "sealed".into(), tags)
    };
    let wraps = [wrap(0), wrap(699), wrap(700), wrap(1_399)];
    fill(&relay.url(), &wraps).await;
    let scribe = Some(scribe.clone() as Arc<_>);
    let pool = Pool::start(PoolConfig { scribe, ..config(&[&relay.url()]) });
    // A worker's bids: each has a key of its own, and those of before are done with.
    pool.watch((0..700).map(ask).collect()).await;
    all_arrive(&pool, &wraps[..2]).await;
    pool.watch((700..1_400).map(ask).collect()).await;
    all_arrive(&pool, &wraps[2..]).await;
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

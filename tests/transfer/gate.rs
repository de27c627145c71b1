//! Who gets in, who is shown out, and what either learns.

use std::sync::Arc;
use std::time::Duration;

use earnest::engine::{Grant, Transfer};
use earnest::market::EndpointId;
use earnest::transfer::{ALPN, Endpoint, EndpointConfig, Limits};
use iroh::endpoint::{ConnectionError, VarInt, presets};
use iroh::{RelayMode, SecretKey};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::holding::{
    DEADLINE, Holding, assert_later, config, endpoint, fetch, fetch_telling, sentence,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_gets_nothing_and_learns_nothing() {
    let (worker, requester) = (endpoint(1).await, endpoint(2).await);
    let (stranger, other) = (endpoint(3).await, endpoint(4).await);
    let secret = Holding::new(1000);
    let theirs = Holding::new(2000);
    worker.serve(&secret.grant(&requester)).await.unwrap();
    worker.serve(&theirs.grant(&other)).await.unwrap();

    let exists = fetch(&stranger, &secret.order(worker.address())).await;
    let absent = fetch(&stranger, &Holding::new(3000).order(worker.address())).await;
    // A customer of the worker asks for another customer's blob, and for one that is not there.
    let not_its_own = fetch(&other, &secret.order(worker.address())).await;
    let not_there = fetch(&other, &Holding::new(4000).order(worker.address())).await;
    for answer in [&exists, &absent, &not_its_own, &not_there] {
        assert_later(answer, "does not serve this file to us");
        assert_eq!(sentence(answer), sentence(&exists));
    }
    assert!(!secret.fetched().exists());
    assert_eq!(secret.partial_len(), 0);
    fetch(&other, &theirs.order(worker.address())).await.unwrap();
    fetch(&requester, &secret.order(worker.address())).await.unwrap();
}

fn raw_config() -> iroh::endpoint::Builder {
    iroh::Endpoint::builder(presets::Minimal)
        .relay_mode(RelayMode::Disabled)
        .secret_key(SecretKey::from_bytes(&[9; 32]))
        .clear_ip_transports()
        .bind_addr("127.0.0.1:0")
        .unwrap()
}

fn raw_address(of: &Endpoint) -> iroh::EndpointAddr {
    let address = of.address();
    iroh::EndpointAddr::from_parts(
        iroh::EndpointId::from_bytes(address.endpoint.as_bytes()).unwrap(),
        address.direct.iter().map(|at| iroh::TransportAddr::Ip(at.parse().unwrap())),
    )
}

fn closed_with(error: &ConnectionError) -> Option<VarInt> {
    match error {
        ConnectionError::ApplicationClosed(close) => Some(close.error_code),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_shown_out_at_the_door_and_a_crowd_has_to_wait() {
    let limits = Limits { connections_per_endpoint: 2, ..Limits::default() };
    let worker = Endpoint::bind(EndpointConfig { limits, ..config(1) }).await.unwrap();
    let raw = raw_config().bind().await.unwrap();

    let stranger = raw.connect(raw_address(&worker), ALPN).await.unwrap();
    let closed = timeout(DEADLINE, stranger.closed()).await.unwrap();
    assert_eq!(closed_with(&closed), Some(VarInt::from_u32(1)), "not for you");

    let holding = Holding::new(10);
    let to = EndpointId(*raw.id().as_bytes());
    let grant = Grant { to, ..holding.grant(&worker) };
    worker.serve(&grant).await.unwrap();
    let mut open = Vec::new();
    for _ in 0..2 {
        let connection = raw.connect(raw_address(&worker), ALPN).await.unwrap();
        // Answered, so counted.
        let (mut send, mut recv) = connection.open_bi().await.unwrap();
        let mut request = [0; 43];
        request[1..33].copy_from_slice(&grant.blob.0);
        send.write_all(&request).await.unwrap();
        let answer = timeout(DEADLINE, recv.read_to_end(100)).await.unwrap().unwrap();
        assert_eq!(answer.len(), 1 + 8 + 32);
        open.push(connection);
    }
    let third = raw.connect(raw_address(&worker), ALPN).await.unwrap();
    let closed = timeout(DEADLINE, third.closed()).await.unwrap();
    assert_eq!(closed_with(&closed), Some(VarInt::from_u32(3)), "busy");
    raw.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowded_door_asks_for_a_return_address_and_still_opens() {
    let limits = Limits { handshakes: 1, ..Limits::default() };
    let worker = Endpoint::bind(EndpointConfig { limits, ..config(1) }).await.unwrap();
    let requester = endpoint(2).await;
    let holding = Holding::new(1000);
    worker.serve(&holding.grant(&requester)).await.unwrap();
    fetch(&requester, &holding.order(worker.address())).await.unwrap();
    holding.assert_fetched();
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_and_dawdling_are_cut_off() {
    let limits = Limits {
        request: Duration::from_secs(1),
        stall: Duration::from_secs(1),
        idle: Duration::from_secs(1),
        ..Limits::default()
    };
    let worker = Endpoint::bind(EndpointConfig { limits, ..config(1) }).await.unwrap();
    // It reads nothing unless asked to, and QUIC may keep 1.25 MB for it.
    let raw = raw_config().bind().await.unwrap();
    let holding = Holding::new(20 << 20);
    let to = EndpointId(*raw.id().as_bytes());
    let grant = Grant { to, ..holding.grant(&worker) };
    worker.serve(&grant).await.unwrap();
    let connection = raw.connect(raw_address(&worker), ALPN).await.unwrap();
    let mut request = [0; 43];
    request[0] = 1;
    request[1..33].copy_from_slice(&grant.blob.0);
    request[41] = 1;

    let mut nonsense = Vec::new();
    for (at, value) in [(0, 2), (41, 0), (41, 9), (42, 1), (40, 1)] {
        let mut wrong = request;
        wrong[at] = value;
        nonsense.push((wrong.to_vec(), 1));
    }
    nonsense.push((vec![0; 5], 3));
    nonsense.push((request.to_vec(), 3));
    for (request, code) in nonsense {
        let (mut send, mut recv) = connection.open_bi().await.unwrap();
        send.write_all(&request).await.unwrap();
        let reset = timeout(DEADLINE, recv.received_reset()).await.unwrap().unwrap();
        assert_eq!(reset, Some(VarInt::from_u32(code)), "{request:?}");
    }
    let closed = timeout(DEADLINE, connection.closed()).await.unwrap();
    assert_eq!(closed_with(&closed), Some(VarInt::from_u32(0)), "idle");
    raw.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_revoked_is_served_no_more_even_in_the_middle() {
    let (worker, requester) = (endpoint(1).await, endpoint(2).await);
    let holding = Holding::new(64 << 20);
    let grant = holding.grant(&requester);
    worker.serve(&grant).await.unwrap();
    let order = holding.order(worker.address());
    let mut tasks = JoinSet::new();
    let begun = Arc::new(tokio::sync::Notify::new());
    {
        let (worker, begun) = (worker.clone(), begun.clone());
        tasks.spawn(async move {
            begun.notified().await;
            worker.revoke(&grant.blob, &grant.to).await.unwrap();
        });
    }
    let tell = |held| {
        if held > 0 {
            begun.notify_one();
        }
    };
    let cut = fetch_telling(&requester, &order, tell).await;
    assert_later(&cut, "does not serve this file to us");
    tasks.join_next().await;
    assert!(!holding.fetched().exists());
    assert_eq!(fetch(&requester, &order).await, cut, "and the next time at once");
    worker.serve(&holding.grant(&requester)).await.unwrap();
    fetch(&requester, &order).await.unwrap();
    holding.assert_fetched();
}

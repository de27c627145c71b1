//! Listings from a relay: verified, read, in the book and searchable, beside signature checks alone.

use std::sync::Arc;
use std::thread;

use earnest::engine::{Clock as _, Core, Me, Relays as _};
use earnest::keys::{Keys, OsDice, Phrase, Secrets, SystemClock};
use earnest::market::{
    Address, Deadlines, EndpointId, Gig, Inbox, Mode, Msat, Network, NodeId, Offer, Policy,
    Quality, Query, Side, Span, Status, Work,
};
use earnest::nostr::{Pool, PoolConfig};
use earnest::sandbox::{Relay, RelayConfig};
use earnest::store::Database;
use earnest::text::Raw;
use earnest::wire::{SigningKey, Stage, publish};
use futures::{FutureExt as _, SinkExt as _, StreamExt as _};
use nostr_sdk::{Event, JsonUtil as _};
use tokio_tungstenite::tungstenite::Message;

use crate::{Row, Samples, runtime, timed};

const EVENTS: usize = 30_000;
const AUTHORS: usize = 300;
const ROUNDS: usize = 5;
const THREADS: usize = 2;

pub(crate) fn measure(tell: &mut dyn FnMut(Row)) {
    let events = listings();
    let runtime = runtime();
    let relay = runtime.block_on(async {
        let mut config = RelayConfig::new(Arc::new(SystemClock));
        config.events_per_minute = 10_000_000;
        let relay = Relay::start(config).await.unwrap();
        hand_over(&relay.url(), &events).await;
        relay
    });
    let (mut ours, mut floor) = (Samples::default(), Samples::default());
    for _ in 0..ROUNDS {
        floor.millis(timed(|| check_signatures(&events)).1);
        ours.millis(runtime.block_on(index(&relay.url())));
    }
    relay.stop();
    let rate = |took: &Samples| EVENTS as f64 / took.median() * 1000.0;
    let (own, bare) = (rate(&ours), rate(&floor));
    let slowest = EVENTS as f64 / ours.quantile(0.95) * 1000.0;
    tell(Row {
        name: "listings from a relay, verified and searchable",
        value: own,
        unit: "/s",
        rival: Some("reading and signature checks alone, two cores"),
        rival_value: Some(bare),
        ratio: Some(bare / own),
        n: ROUNDS,
        p95: slowest,
    });
}

/// From the first question to the relay until the last listing can be found.
async fn index(url: &str) -> std::time::Duration {
    let dir = tempfile::tempdir().unwrap();
    let secrets = Secrets { phrase: Phrase::new(&[7; 32]), imported: None };
    let keys = Arc::new(Keys::new(&secrets, Arc::new(OsDice), Arc::new(SystemClock)));
    let store = Database::open(dir.path(), "the bench").unwrap();
    let address = Address { endpoint: EndpointId([1; 32]), direct: vec![], relay: None };
    let me = Me {
        node: NodeId([2; 33]),
        address,
        relays: vec![url.to_owned()],
        network: Network::Regtest,
        spendable: Msat::ZERO,
        least_first: None,
        receivable: Msat::ZERO,
        policy: Policy::default(),
    };
    let mut core = Core::open(store, keys, Arc::new(SystemClock), Arc::new(OsDice), me).unwrap();
    // The quota for strangers is what a relay may cost us a second; it is not what is measured here.
    let config = PoolConfig::new(vec![url.to_owned()], Arc::new(SystemClock));
    let begun = std::time::Instant::now();
    let pool = Pool::start(PoolConfig { rate: u32::MAX, ..config });
    pool.watch(core.subscriptions().unwrap()).await;
    let mut taken = 0;
    while taken < EVENTS {
        let mut events = vec![pool.next().await];
        // As the runner does.
        while events.len() < 64
            && let Some(event) = pool.next().now_or_never()
        {
            events.push(event);
        }
        let heard = core.hear_all(&events);
        taken += heard.into_iter().map(Result::unwrap).count();
    }
    let mut query = Query::parse("listing", Network::Regtest, |_| None).unwrap();
    query.limit = 1;
    assert_eq!(core.find(&query).unwrap().gigs.len(), 1);
    let took = begun.elapsed();
    pool.close();
    took
}

fn check_signatures(events: &[String]) {
    thread::scope(|scope| {
        for part in events.chunks(events.len().div_ceil(THREADS)) {
            scope.spawn(move || {
                for json in part {
                    Event::from_json(json).unwrap().verify().unwrap();
                }
            });
        }
    });
}

fn listings() -> Vec<String> {
    let now = SystemClock.now();
    (0..EVENTS)
        .map(|n| {
            let secret = *blake3::hash(&(n % AUTHORS).to_le_bytes()).as_bytes();
            let key = SigningKey::new(&secret).unwrap();
            let at = now.before(Span(n as u64 / 10));
            let gig = Gig {
                id: earnest::market::EventId([0; 32]),
                author: key.pubkey(),
                d: format!("gig-{n}"),
                at,
                published_at: at,
                title: Raw(format!("Listing {n}")),
                summary: Raw::from("One CSV in, the same list out: sorted, no duplicates."),
                content: Raw::from("Sort by name, drop duplicates, trim every field."),
                tags: vec!["csv".into(), "cleaning".into()],
                side: Side::Request,
                status: Status::Open,
                network: Network::Regtest,
                expires_at: now.after(Span::DAY),
                offer: Offer {
                    milestones: Vec::new(),
                    quality: Quality::default(),
                    v: 1,
                    work: Work::File,
                    modes: vec![Mode::Sealed],
                    slots: 1,
                    price: Msat::sats(1_000 + n as u64).unwrap(),
                    max_bytes: 1 << 20,
                    deadlines: Deadlines { deliver: Span::DAY, pay: Span::DAY },
                    escrow: None,
                    pow: 8,
                    inbox: Inbox { key: key.pubkey(), relays: vec!["wss://relay.example".into()] },
                    inputs: vec![],
                },
            };
            publish(&key, &gig, Stage::Published).unwrap().1
        })
        .collect()
}

async fn hand_over(url: &str, events: &[String]) {
    let (socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    let (mut tx, mut rx) = socket.split();
    for batch in events.chunks(200) {
        for event in batch {
            tx.feed(Message::text(format!("[\"EVENT\",{event}]"))).await.unwrap();
        }
        tx.flush().await.unwrap();
        let mut taken = 0;
        while taken < batch.len() {
            let answer = rx.next().await.unwrap().unwrap().into_text().unwrap();
            // It asks everybody who they are; a listing is taken from anybody.
            if !answer.as_str().starts_with("[\"AUTH\"") {
                assert!(answer.as_str().contains(",true,"), "{answer}");
                taken += 1;
            }
        }
    }
}

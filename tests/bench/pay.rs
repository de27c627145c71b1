//! From a person's "accept" to the key, beside a bare ldk-node payment over the same provider; a first
//! payment that opens its channel; and the claim of a payment that is held.

use std::sync::Arc;
use std::time::{Duration, Instant};

use earnest::engine::{BillOrder, Command, JobView, Lightning as _, NodeEvent, PayOrder, Snapshot};
use earnest::lightning::{Chain, Lsp, Node, NodeConfig, Peer};
use earnest::market::{
    BidId, Deadlines, Digest, EventId, GigDraft, Mode, Msat, Network, NodeId, Phase, Preimage,
    Quality, Query, Span, Time, Wish, Work,
};
use earnest::sandbox::world::{Party, World, WorldSetup, now, sats};
use ldk_node::lightning_invoice::{Bolt11InvoiceDescription, Description};
use zeroize::Zeroizing;

use crate::{Row, Samples, runtime};

const JOBS: u32 = 30;
const FIRST_JOBS: usize = 5;
const CLAIMS: u8 = 30;
const PARTS: u32 = 16;
const PARTED: usize = 4;
const PRICE_SATS: u64 = 1_000;
/// The first job opens a channel four times this: room for all that follow.
const FIRST_SATS: u64 = 60_000;
const PATIENCE: Duration = Duration::from_secs(120);

const WORKERS: [&str; FIRST_JOBS] = ["ada", "grace", "hedy", "radia", "joan"];

pub(crate) fn measure(tell: &mut dyn FnMut(Row)) {
    runtime().block_on(async {
        let mut world = World::start(WorldSetup::default()).await.unwrap();
        let requester = world.party("requester", None, |ports| ports).await.unwrap();
        world.open_channel(&requester, 4_000_000).await.unwrap();

        let mut first = Samples::default();
        let mut workers = Vec::new();
        for name in WORKERS {
            let worker = world.party(name, None, |ports| ports).await.unwrap();
            let jobs = delivered(&requester, &worker, 1, FIRST_SATS).await;
            first.millis(accept(&requester, &worker, jobs[0], 1).await);
            workers.push(worker);
        }
        let worker = workers.remove(0);
        for other in workers {
            other.app.stop().await.unwrap();
        }

        let bare = Bare::start(&mut world).await;
        let jobs = delivered(&requester, &worker, JOBS, PRICE_SATS).await;
        let (mut ours, mut theirs) = (Samples::default(), Samples::default());
        for job in jobs {
            theirs.millis(bare.pay().await);
            ours.millis(accept(&requester, &worker, job, 1).await);
        }
        let name = "accept to paid, on channels that are there";
        tell(ours.against(name, "ms", "a bare ldk-node payment, same two hops", &theirs));
        tell(first.row("accept to paid, a first job: its channel opens", "ms"));
        let (mut parts, mut bares) = (Samples::default(), Samples::default());
        for _ in 0..PARTED {
            let wish = Wish { tranches: Some(PARTS), ..Wish::default() };
            let price = PRICE_SATS * u64::from(PARTS);
            let job = delivered_as(&requester, &worker, 1, price, wish).await[0];
            bares.millis(bare.pay().await);
            let took = accept(&requester, &worker, job, PARTS).await;
            parts.millis(took / PARTS);
        }
        let name = "a tranche paid and opened, of a job of 16";
        let row = parts.against(name, "ms", "a bare ldk-node payment, same two hops", &bares);
        tell(Row { n: PARTED * PARTS as usize, ..row });
        bare.stop();

        requester.app.stop().await.unwrap();
        worker.app.stop().await.unwrap();
        world.stop().await.unwrap();
        tell(claims().await.row("claim of a held payment, until the payer has the key", "ms"));
    });
}

fn view(snapshot: &Snapshot, job: BidId) -> Option<&JobView> {
    snapshot.jobs.get(&job).map(|view| &**view)
}

/// So many jobs between two people, each delivered, inspected and waiting for "accept".
async fn delivered(requester: &Party, worker: &Party, jobs: u32, price: u64) -> Vec<BidId> {
    delivered_as(requester, worker, jobs, price, Wish::default()).await
}

async fn delivered_as(
    requester: &Party,
    worker: &Party,
    jobs: u32,
    price: u64,
    wish: Wish,
) -> Vec<BidId> {
    let file = worker.dir.join("work.txt");
    // A tranche is a chunk at least.
    let lines = wish.tranches.map_or(500, |parts| parts as usize * 1_000);
    std::fs::write(&file, "Here is the work.\n".repeat(lines)).unwrap();
    worker
        .wait("the LSP's terms", PATIENCE, |s| s.node.as_ref()?.least_first.map(|_| ()))
        .await
        .unwrap();
    let mut made = Vec::new();
    for n in 0..jobs {
        let gig = post(requester, worker, n, price).await;
        let bid = Command::Bid { gig, wish, message: "Now.".into() };
        let job = worker.app.handle().ask(bid).await.unwrap().log;
        requester.wait("the bid", PATIENCE, |s| view(s, job).map(|_| ())).await.unwrap();
        requester.app.handle().ask(Command::Award { job }).await.unwrap();
        worker
            .wait("the award", PATIENCE, |s| {
                view(s, job).filter(|v| v.phase == Phase::Working).map(|_| ())
            })
            .await
            .unwrap();
        let deliver = Command::Deliver { job, file: file.clone(), message: String::new() };
        worker.app.handle().ask(deliver).await.unwrap();
        made.push(job);
    }
    for job in &made {
        requester
            .wait("a sound delivery", PATIENCE, |s| {
                view(s, *job)?.delivery.as_ref().filter(|d| d.inspected).map(|_| ())
            })
            .await
            .unwrap();
    }
    made
}

async fn post(requester: &Party, worker: &Party, n: u32, price: u64) -> EventId {
    let word = format!("measured{}x{n}x{price}x{}", worker.name, now());
    let draft = GigDraft {
        milestones: Vec::new(),
        quality: Quality::default(),
        title: format!("A {word} gig"),
        summary: String::new(),
        content: "Deliver one file.".into(),
        tags: vec![],
        work: Work::File,
        modes: vec![Mode::Sealed],
        slots: 1,
        price: sats(price).unwrap(),
        max_bytes: 1 << 20,
        deadlines: Deadlines { deliver: Span::DAY, pay: Span::DAY },
        escrow: None,
        pow: 0,
        expires_at: Time(now()).after(Span::DAY),
    };
    requester.app.handle().ask(Command::Post { draft, inputs: vec![], key: None }).await.unwrap();
    let query = Query::parse(&word, Network::Regtest, |_| None).unwrap();
    let found = async {
        loop {
            let page = worker.app.handle().find(query.clone()).await.unwrap();
            if let Some(gig) = page.gigs.first() {
                return gig.id;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, found).await.expect("the gig is found")
}

/// From the command until the requester's snapshot shows so many payments; then both sides are let finish.
async fn accept(requester: &Party, worker: &Party, job: BidId, tranches: u32) -> Duration {
    let begun = Instant::now();
    let max_fee = sats(100).unwrap();
    requester.app.handle().ask(Command::Accept { job, max_fee }).await.unwrap();
    requester
        .wait("the payment", PATIENCE, |s| {
            view(s, job)?.delivery.as_ref().filter(|d| d.paid >= tranches).map(|_| ())
        })
        .await
        .unwrap();
    let took = begun.elapsed();
    for party in [requester, worker] {
        party
            .wait("the end", PATIENCE, |s| {
                view(s, job).filter(|v| v.phase == Phase::Settled).map(|_| ())
            })
            .await
            .unwrap();
    }
    took
}

/// Two nodes with nothing around them.
struct Bare {
    payer: ldk_node::Node,
    payee: ldk_node::Node,
}

impl Bare {
    async fn start(world: &mut World) -> Self {
        let payer = bare_node(world, "bare-payer", None);
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let payee = bare_node(world, "bare-payee", Some(port.to_string()));
        let lsp = world.lsp().new_address().await.unwrap();
        world.fund(&lsp, 5_000_000).await.unwrap();
        let own = payer.onchain_payment().new_address().unwrap().to_string();
        world.fund(&own, 1_500_000).await.unwrap();
        world.mine(1, &[]).await.unwrap();
        payer.sync_wallets().unwrap();
        let peer = world.lsp().peer().clone();
        let id = peer.id.to_string().parse().unwrap();
        payer.open_channel(id, peer.address.parse().unwrap(), 1_000_000, None, None).unwrap();
        let to = Peer { id: NodeId(payee.node_id().serialize()), address: port.to_string() };
        world.lsp().open_channel(&to, 1_000_000).await.unwrap();
        let bare = Self { payer, payee };
        let ready = async {
            loop {
                world.mine(1, &[]).await.unwrap();
                bare.payer.sync_wallets().unwrap();
                bare.payee.sync_wallets().unwrap();
                let usable = |node: &ldk_node::Node| {
                    let channels = node.list_channels();
                    !channels.is_empty() && channels.iter().all(|c| c.is_usable)
                };
                if usable(&bare.payer) && usable(&bare.payee) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(PATIENCE, ready).await.expect("the bare channels open");
        bare
    }

    /// From `send` until its event says that it is paid.
    async fn pay(&self) -> Duration {
        let description = Description::new("bare".into()).unwrap();
        let description = Bolt11InvoiceDescription::Direct(description);
        let invoice =
            self.payee.bolt11_payment().receive(PRICE_SATS * 1000, &description, 3600).unwrap();
        let begun = Instant::now();
        let id = self.payer.bolt11_payment().send(&invoice, None).unwrap();
        let took = loop {
            let event = self.payer.next_event_async().await;
            self.payer.event_handled().unwrap();
            match event {
                ldk_node::Event::PaymentSuccessful { payment_id, .. } if payment_id == Some(id) => {
                    break begun.elapsed();
                }
                ldk_node::Event::PaymentFailed { reason, .. } => panic!("{reason:?}"),
                _ => {}
            }
        };
        while let Some(_event) = self.payee.next_event() {
            self.payee.event_handled().unwrap();
        }
        took
    }

    fn stop(self) {
        self.payer.stop().unwrap();
        self.payee.stop().unwrap();
    }
}

fn bare_node(world: &World, name: &str, listen: Option<String>) -> ldk_node::Node {
    let at = world.chain().endpoint().clone();
    let mut builder = ldk_node::Builder::new();
    builder.set_network(ldk_node::bitcoin::Network::Regtest);
    builder.set_entropy_seed_bytes([if listen.is_some() { 98 } else { 97 }; 64]);
    builder.set_storage_dir_path(world.dir().join(name).to_string_lossy().into_owned());
    builder.set_chain_source_bitcoind_rpc(at.host, at.port, at.user, at.password);
    if let Some(listen) = listen {
        builder.set_listening_addresses(vec![listen.parse().unwrap()]).unwrap();
    }
    let node = builder.build().unwrap();
    node.start().unwrap();
    node
}

/// A payment is held at the worker's node and then claimed: how fast an escrow is released.
async fn claims() -> Samples {
    let mut world = World::start(WorldSetup::default()).await.unwrap();
    let lsp = world.lsp().new_address().await.unwrap();
    world.fund(&lsp, 20_000_000).await.unwrap();
    let (payer, payee) = (node(&world, "payer", 1).await, node(&world, "payee", 2).await);
    let own = payer.new_address().await.unwrap();
    world.fund(&own, 1_500_000).await.unwrap();
    world.mine(1, &[]).await.unwrap();
    payer.sync().await.unwrap();
    payer.open_channel(world.lsp().peer(), 1_000_000).await.unwrap();
    let ready = async {
        loop {
            world.mine(1, &[]).await.unwrap();
            payer.sync().await.unwrap();
            payee.sync().await.unwrap();
            let open = payer.channels().await.unwrap().iter().any(|c| c.usable);
            if open && payee.status().await.unwrap().least_first.is_some() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(PATIENCE, ready).await.expect("the channel opens");
    let mut took = Samples::default();
    for n in 0..=CLAIMS {
        // The first one opens the payee's channel and is not counted.
        let price = if n == 0 { FIRST_SATS * 2 } else { PRICE_SATS };
        let claimed = claim(&payer, &payee, Preimage::new([n + 1; 32]), sats(price).unwrap()).await;
        if n > 0 {
            took.millis(claimed);
        }
    }
    payer.stop().await.unwrap();
    payee.stop().await.unwrap();
    world.stop().await.unwrap();
    took
}

async fn claim(payer: &Node, payee: &Node, preimage: Preimage, amount: Msat) -> Duration {
    let hash = preimage.hash();
    let bill = BillOrder {
        hash,
        amount,
        description_hash: Digest([9; 32]),
        expiry_secs: 3600,
        again: false,
        hold_blocks: Some(144),
    };
    let billed = payee.bill(&bill).await.unwrap();
    let pay =
        PayOrder { invoice: billed.invoice, hash, amount, max_fee: sats(100).unwrap(), tips: None };
    payer.pay(&pay).await.unwrap();
    let held = loop {
        if let NodeEvent::Claimable { amount, .. } = event(payee).await {
            break amount;
        }
    };
    let begun = Instant::now();
    payee.claim(&hash, held, &preimage).await.unwrap();
    while !matches!(event(payer).await, NodeEvent::Paid { .. }) {}
    let took = begun.elapsed();
    while !matches!(event(payee).await, NodeEvent::Received { .. }) {}
    took
}

async fn event(node: &Node) -> NodeEvent {
    let event = tokio::time::timeout(PATIENCE, node.next()).await.expect("an event comes");
    node.handled().await.unwrap();
    event
}

async fn node(world: &World, name: &str, seed: u8) -> Arc<Node> {
    let at = world.chain().endpoint().clone();
    let lsp = Lsp { peer: world.lsp().peer().clone(), token: None };
    Node::start(NodeConfig {
        seed: Zeroizing::new([seed; 64]),
        dir: world.dir().join(name),
        payer: None,
        network: Network::Regtest,
        chain: Chain::Bitcoind {
            host: at.host,
            port: at.port,
            user: at.user,
            password: at.password,
        },
        lsp: Some(lsp),
        listen: None,
        alias: None,
        lsp_fee_cap_ppm: 50_000,
        max_lsp_fee: sats(3_000).unwrap(),
        runtime: tokio::runtime::Handle::current(),
    })
    .await
    .unwrap()
}

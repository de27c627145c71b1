//! Money over Lightning, on real nodes, a real LSP and a chain that checks everything.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bitcoin::{Address, Amount, Network as Bitcoin};
use earnest::engine::{BillOrder, Fault, Lightning, NodeEvent, PayOrder, PaymentState};
use earnest::lightning::{Chain, Holdings, Lsp as LspSettings, Node, NodeConfig, Peer};
use earnest::market::{Digest, Msat, Network, PaymentHash, Preimage};
use earnest::sandbox::control::Setup;
use earnest::sandbox::{ChainControl, Lsp, LspConfig, lsp};
use earnest::wire;
use tempfile::TempDir;
use tokio::runtime::Handle;
use zeroize::Zeroizing;

const PATIENCE: Duration = Duration::from_secs(40);

fn sats(n: u64) -> Msat {
    Msat::sats(n).unwrap()
}

/// Waits for something to become true; fails after [`PATIENCE`].
async fn until<F: Future<Output = bool>>(what: &str, mut ask: impl FnMut() -> F) {
    let asked = async {
        while !ask().await {
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_| panic!("never: {what}"));
}

struct World {
    chain: ChainControl,
    lsp: Lsp,
    dir: TempDir,
}

impl World {
    /// A chain and an LSP with so many sats.
    async fn new(lsp_sats: u64) -> Self {
        let chain = ChainControl::start(Setup::default().from_env()).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let lsp = Lsp::start(LspConfig {
            seed: Zeroizing::new([1; 64]),
            dir: dir.path().join("lsp"),
            chain: chain.endpoint().clone(),
            runtime: Handle::current(),
            fee_ppm: lsp::FEE_PPM,
        })
        .await
        .unwrap();
        let world = Self { chain, lsp, dir };
        world.fund(world.lsp.node(), lsp_sats).await;
        world
    }

    async fn fund(&self, node: &Node, amount: u64) {
        let address: Address<_> = node.new_address().await.unwrap().parse().unwrap();
        let address = address.require_network(Bitcoin::Regtest).unwrap();
        self.chain.fund(&address, Amount::from_sat(amount)).await.unwrap();
        self.chain.mine(1).await.unwrap();
        until("the coins are seen", || async {
            node.sync().await.unwrap();
            node.status().await.unwrap().balances.onchain_spendable >= sats(amount)
        })
        .await;
    }

    fn config(&self, seed: u8) -> NodeConfig {
        let at = self.chain.endpoint();
        NodeConfig {
            seed: Zeroizing::new([seed; 64]),
            dir: self.path(seed),
            network: Network::Regtest,
            chain: Chain::Bitcoind {
                host: at.host.clone(),
                port: at.port,
                user: at.user.clone(),
                password: at.password.clone(),
            },
            lsp: Some(LspSettings { peer: self.lsp.peer().clone(), token: None }),
            listen: None,
            alias: None,
            lsp_fee_cap_ppm: 50_000,
            max_lsp_fee: sats(500),
            runtime: Handle::current(),
        }
    }

    fn path(&self, seed: u8) -> PathBuf {
        self.dir.path().join(format!("node-{seed}"))
    }

    async fn worker(&self, seed: u8) -> Arc<Node> {
        Node::start(self.config(seed)).await.unwrap()
    }

    /// A node with an ordinary channel of this size to the LSP.
    async fn requester(&self, seed: u8, channel: u64) -> Arc<Node> {
        let node = Node::start(self.config(seed)).await.unwrap();
        self.fund(&node, channel + 50_000).await;
        node.open_channel(self.lsp.peer(), channel).await.unwrap();
        until("the funding transaction waits", || async {
            !self.chain.client().waiting().await.unwrap().is_empty()
        })
        .await;
        self.mine(6, &[&node]).await;
        until("the channel is open", || async {
            node.channels().await.unwrap().iter().all(|c| c.usable)
                && self.lsp.channels().await.unwrap().iter().all(|c| c.usable)
        })
        .await;
        node
    }

    async fn mine(&self, blocks: u32, nodes: &[&Node]) {
        let height = self.chain.mine(blocks).await.unwrap();
        for node in nodes.iter().copied().chain([self.lsp.node()]) {
            until("the node has seen the blocks", || async {
                node.sync().await.unwrap();
                node.height() >= height
            })
            .await;
        }
    }

    /// Stops all; then nothing may be left running.
    async fn end(self, nodes: &[&Node]) {
        for node in nodes {
            node.stop().await.unwrap();
        }
        self.lsp.stop().await.unwrap();
    }
}

fn secret(n: u8) -> (Preimage, PaymentHash) {
    let preimage = Preimage::new([n; 32]);
    (preimage, preimage.hash())
}

fn order(hash: PaymentHash, amount: Msat, hold_blocks: Option<u32>) -> BillOrder {
    BillOrder {
        hash,
        amount,
        description_hash: Digest([9; 32]),
        expiry_secs: 3600,
        again: false,
        hold_blocks,
    }
}

fn payment(invoice: &str, hash: PaymentHash, amount: Msat) -> PayOrder {
    PayOrder { invoice: invoice.to_owned(), hash, amount, max_fee: sats(100), tips: None }
}

/// The next event that is not about channels, committed.
async fn event(node: &Node) -> NodeEvent {
    let found = async {
        loop {
            let event = node.next().await;
            assert_eq!(node.next().await, event, "the same one until it is handled");
            node.handled().await.unwrap();
            if !matches!(event, NodeEvent::Channels(_)) {
                return event;
            }
        }
    };
    tokio::time::timeout(PATIENCE, found).await.expect("no event came")
}

async fn claimable(node: &Node, hash: PaymentHash) -> (Msat, u32) {
    match event(node).await {
        NodeEvent::Claimable { hash: which, amount, deadline } if which == hash => {
            (amount, deadline.expect("LDK gives a deadline"))
        }
        other => panic!("expected the held payment, got {other:?}"),
    }
}

fn never(fault: Fault) -> String {
    match fault {
        Fault::Never(why) => why,
        Fault::Later(why) => panic!("expected Never, got Later: {why}"),
    }
}

fn later(fault: Fault) -> String {
    match fault {
        Fault::Later(why) => why,
        Fault::Never(why) => panic!("expected Later, got Never: {why}"),
    }
}

/// Waits until nothing of ours is in flight: the peer has acknowledged that the HTLC is gone.
async fn settled(node: &Node) -> Holdings {
    until("nothing is in flight", || async { !node.holdings().await.unwrap().moving }).await;
    node.holdings().await.unwrap()
}

/// Both ends of every channel have between them what the channel has.
async fn sums(world: &World, nodes: &[&Node]) {
    let mut last = (0, 0);
    let found = tokio::time::timeout(PATIENCE, async {
        loop {
            let mut held = world.lsp.holdings().await.unwrap();
            for node in nodes {
                let more = node.holdings().await.unwrap();
                held = Holdings {
                    onchain: Msat::ZERO,
                    channels: held.channels.checked_add(more.channels).unwrap(),
                    held: held.held.checked_add(more.held).unwrap(),
                    moving: false,
                };
            }
            let size: Msat = world.lsp.channels().await.unwrap().iter().map(|c| c.size).sum();
            last = (held.channels.get() + held.held.get(), size.get());
            if last.0 == last.1 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    });
    if found.await.is_err() {
        panic!("the sides of all channels sum to {} msat and their sizes to {}", last.0, last.1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_with_nothing_is_paid_and_paid_again() {
    let world = World::new(10_000_000).await;
    let requester = world.requester(2, 2_000_000).await;
    let worker = world.worker(3).await;
    assert_eq!(worker.holdings().await.unwrap().total(), Msat::ZERO);

    // What the LSP wants is known before any job.
    until("the LSP's terms are known", || async {
        worker.status().await.unwrap().least_first == Some(sats(5_000))
    })
    .await;
    let price = Msat::new(20_000_001).unwrap();
    let fee = Msat::new(200_001).unwrap();
    assert_eq!(worker.opening_fee(price).await.unwrap(), fee);

    // Too little for the LSP; a fee above the cap. Each names the figures, and no hash is used up.
    let (preimage, hash) = secret(11);
    let why = never(worker.bill(&order(hash, sats(4_999), None)).await.unwrap_err());
    assert!(why.contains("5,000 sat is the smallest price"), "{why}");
    let why = never(worker.bill(&order(hash, sats(1_000_001), None)).await.unwrap_err());
    assert!(why.contains("1,000,000 sat"), "{why}");

    // First job: held for a day at the worker's own node, over a channel that did not exist.
    let first = order(hash, price, Some(144));
    let billed = worker.bill(&first).await.unwrap();
    assert_eq!(billed.lsp_fee, fee);
    let read = wire::decode(&billed.invoice).unwrap();
    assert_eq!(read.payee, worker.node());
    assert_eq!((read.hash, read.amount), (hash, Some(price)));
    assert_eq!(read.description_hash, Some(first.description_hash));
    assert_eq!(read.min_final_cltv, 144 + 39);

    // The same order gets the same bytes; another for the same hash is refused.
    assert_eq!(worker.bill(&first).await.unwrap(), billed);
    never(worker.bill(&order(hash, sats(30_000), Some(144))).await.unwrap_err());

    let before = requester.holdings().await.unwrap();
    let pay = payment(&billed.invoice, hash, price);
    assert_eq!(requester.lookup(&hash).await, Ok(PaymentState::Unknown));
    assert_eq!(requester.pay(&pay).await, Ok(PaymentState::InFlight));
    let (amount, deadline) = claimable(&worker, hash).await;
    assert_eq!(amount, price.checked_sub(fee).unwrap());
    assert!(deadline - worker.height() >= 144, "{deadline} at {}", worker.height());
    until("the held payment shows", || async {
        worker.status().await.unwrap().balances.held_incoming == amount
    })
    .await;
    sums(&world, &[&requester, &worker]).await;
    assert_eq!(requester.holdings().await.unwrap().held, price);
    assert_eq!(worker.holdings().await.unwrap().total(), Msat::ZERO, "held is not had");

    // It lasts: a hundred blocks later it is still there, and is claimed.
    world.mine(100, &[&requester, &worker]).await;
    worker.claim(&hash, amount, &preimage).await.unwrap();
    assert_eq!(event(&worker).await, NodeEvent::Received { hash, amount });
    assert_eq!(
        event(&requester).await,
        NodeEvent::Paid { hash, preimage, fee: Msat::ZERO },
        "the preimage is the receipt"
    );
    assert_eq!(
        requester.pay(&pay).await,
        Ok(PaymentState::Paid { preimage, fee: Msat::ZERO }),
        "and asking again pays nothing"
    );
    sums(&world, &[&requester, &worker]).await;
    let after = settled(&requester).await;
    assert_eq!(before.total().checked_sub(after.total()), Some(price), "exactly the price left");
    assert_eq!(settled(&worker).await.total(), amount, "exactly the rest arrived");
    let status = worker.status().await.unwrap();
    assert_eq!(status.balances.lightning_total, amount);
    assert!(status.balances.lightning_spendable < amount, "the reserve cannot be spent");
    assert_eq!((status.channels, status.channels_usable), (1, 1));
    assert_eq!(status.least_first, Some(sats(1)));

    // Second job: over the channel that is there, without a fee; and with odd millisatoshis.
    let (preimage, hash) = secret(12);
    let price = Msat::new(19_999_777).unwrap();
    let billed = worker.bill(&order(hash, price, None)).await.unwrap();
    assert_eq!(billed.lsp_fee, Msat::ZERO);
    requester.pay(&payment(&billed.invoice, hash, price)).await.unwrap();
    let (got, _) = claimable(&worker, hash).await;
    assert_eq!(got, price);
    worker.claim(&hash, got, &preimage).await.unwrap();
    assert_eq!(event(&worker).await, NodeEvent::Received { hash, amount: price });
    assert!(matches!(event(&requester).await, NodeEvent::Paid { .. }));
    never(worker.fail(&hash).await.unwrap_err());

    // Third: sent back by the worker. Nothing is paid, and the same hash cannot be billed anew.
    let (_, hash) = secret(13);
    let before = settled(&requester).await.total();
    let billed = worker.bill(&order(hash, sats(6_000), None)).await.unwrap();
    let pay = payment(&billed.invoice, hash, sats(6_000));
    requester.pay(&pay).await.unwrap();
    claimable(&worker, hash).await;
    worker.fail(&hash).await.unwrap();
    let NodeEvent::Failed { hash: which, reason } = event(&requester).await else {
        panic!("expected the payment to fail")
    };
    assert_eq!(which, hash);
    assert!(reason.contains("Your money is yours again"), "{reason}");
    assert_eq!(requester.lookup(&hash).await, Ok(PaymentState::Failed { reason }));
    assert_eq!(settled(&requester).await.total(), before);
    never(
        worker
            .bill(&BillOrder { again: true, ..order(hash, sats(7_000), None) })
            .await
            .unwrap_err(),
    );
    sums(&world, &[&requester, &worker]).await;

    // What a log may hold: no invoice, no preimage.
    let log = std::fs::read_to_string(world.path(3).join("node.log")).unwrap();
    assert!(log.contains("invoice created"), "the log is written at all");
    assert!(!log.contains(&billed.invoice) && !log.contains(&hex::encode([11; 32])));
    world.end(&[&requester, &worker]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_claim_says_ok_and_is_not_paid() {
    let world = World::new(10_000_000).await;
    let requester = world.requester(2, 2_000_000).await;
    let worker = world.worker(3).await;
    let (preimage, hash) = secret(21);
    let before = requester.holdings().await.unwrap().total();
    let billed = worker.bill(&order(hash, sats(20_000), Some(20))).await.unwrap();
    requester.pay(&payment(&billed.invoice, hash, sats(20_000))).await.unwrap();
    let (amount, deadline) = claimable(&worker, hash).await;

    // The worker is away when the deadline passes.
    world.mine(deadline - worker.height(), &[&requester, &worker]).await;
    let NodeEvent::Failed { hash: which, .. } = event(&requester).await else {
        panic!("expected the payment to come back")
    };
    assert_eq!(which, hash);
    worker.claim(&hash, amount, &preimage).await.unwrap();
    world.mine(1, &[&requester, &worker]).await;
    let nothing = tokio::time::timeout(Duration::from_secs(1), event(&worker)).await;
    assert!(nothing.is_err(), "Ok was not paid: {nothing:?}");
    assert_eq!(settled(&worker).await.total(), Msat::ZERO);
    assert_eq!(settled(&requester).await.total(), before);
    sums(&world, &[&requester, &worker]).await;
    world.end(&[&requester, &worker]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_between_claimable_and_claim_loses_nothing() {
    let world = World::new(10_000_000).await;
    let requester = world.requester(2, 2_000_000).await;
    let worker = world.worker(3).await;
    let (preimage, hash) = secret(31);
    let billed = worker.bill(&order(hash, sats(20_000), Some(144))).await.unwrap();
    let pay = payment(&billed.invoice, hash, sats(20_000));
    requester.pay(&pay).await.unwrap();
    let (amount, _) = claimable(&worker, hash).await;
    worker.stop().await.unwrap();
    worker.stop().await.expect("stopping twice is nothing");
    later(worker.status().await.unwrap_err());

    // The payer restarts too, its event unread, and asks again.
    requester.stop().await.unwrap();
    let requester = world.worker(2).await;
    assert_eq!(requester.lookup(&hash).await, Ok(PaymentState::InFlight));
    assert_eq!(requester.pay(&pay).await, Ok(PaymentState::InFlight));

    let worker = world.worker(3).await;
    let again = worker.bill(&order(hash, sats(20_000), Some(144))).await.unwrap();
    assert_eq!(again, billed, "the record outlives the process");
    worker.claim(&hash, amount, &preimage).await.unwrap();
    assert_eq!(event(&worker).await, NodeEvent::Received { hash, amount });
    until("the payer sees the preimage", || async {
        requester.lookup(&hash).await == Ok(PaymentState::Paid { preimage, fee: Msat::ZERO })
    })
    .await;

    // Paid, the event never handled, killed, asked again: still once.
    requester.stop().await.unwrap();
    let requester = world.worker(2).await;
    let paid = PaymentState::Paid { preimage, fee: Msat::ZERO };
    assert_eq!(requester.pay(&pay).await, Ok(paid));
    assert_eq!(event(&requester).await, NodeEvent::Paid { hash, preimage, fee: Msat::ZERO });
    assert_eq!(settled(&worker).await.total(), amount);
    let before = settled(&requester).await.total();
    sums(&world, &[&requester, &worker]).await;

    // Too small for an output of its own, so no channel shows it; both restart in the middle. LDK is
    // asked, and knows; the worker is told again what it had not committed.
    let (preimage, hash) = secret(32);
    let dust = Msat::new(300_001).unwrap();
    let billed = worker.bill(&order(hash, dust, Some(20))).await.unwrap();
    let pay = payment(&billed.invoice, hash, dust);
    requester.pay(&pay).await.unwrap();
    let told = tokio::time::timeout(PATIENCE, async {
        loop {
            match worker.next().await {
                NodeEvent::Channels(_) => worker.handled().await.unwrap(),
                other => return other,
            }
        }
    });
    let told = told.await.expect("no event came");
    sums(&world, &[&requester, &worker]).await;
    worker.stop().await.unwrap();
    requester.stop().await.unwrap();
    let (worker, requester) = (world.worker(3).await, world.worker(2).await);
    until("LDK is asked and knows", || async {
        match requester.pay(&pay).await {
            Ok(state) => state == PaymentState::InFlight || panic!("in flight, not {state:?}"),
            Err(fault) => later(fault).is_empty(),
        }
    })
    .await;
    assert_eq!(requester.pay(&pay).await, Ok(PaymentState::InFlight));
    assert_eq!(event(&worker).await, told);
    worker.claim(&hash, dust, &preimage).await.unwrap();
    assert_eq!(event(&worker).await, NodeEvent::Received { hash, amount: dust });
    assert_eq!(event(&requester).await, NodeEvent::Paid { hash, preimage, fee: Msat::ZERO });
    assert_eq!(requester.lookup(&hash).await, Ok(PaymentState::Paid { preimage, fee: Msat::ZERO }));
    assert_eq!(before.checked_sub(settled(&requester).await.total()), Some(dust));
    assert_eq!(settled(&worker).await.total(), amount.checked_add(dust).unwrap());
    sums(&world, &[&requester, &worker]).await;
    world.end(&[&requester, &worker]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_that_the_record_lost_is_not_made_twice() {
    let world = World::new(10_000_000).await;
    let requester = world.requester(2, 2_000_000).await;
    let worker = world.worker(3).await;
    let (preimage, hash) = secret(41);
    let before = requester.holdings().await.unwrap().total();
    let billed = worker.bill(&order(hash, sats(20_000), Some(144))).await.unwrap();
    let pay = payment(&billed.invoice, hash, sats(20_000));
    requester.pay(&pay).await.unwrap();
    let (amount, _) = claimable(&worker, hash).await;
    requester.stop().await.unwrap();

    // What a kill between `send` and its record leaves behind (ldk-node#966).
    let dir = world.path(2);
    let at = world.chain.endpoint().clone();
    tokio::task::spawn_blocking(move || {
        let mut builder = ldk_node::Builder::new();
        builder.set_network(Bitcoin::Regtest);
        builder.set_storage_dir_path(dir.to_str().unwrap().to_owned());
        builder.set_entropy_seed_bytes([2; 64]);
        builder.set_chain_source_bitcoind_rpc(at.host, at.port, at.user, at.password);
        let ldk = builder.build().unwrap();
        let id = ldk_node::lightning::ln::channelmanager::PaymentId(hash.0);
        ldk.remove_payment(&id).unwrap();
        assert!(ldk.payment(&id).is_none());
    })
    .await
    .unwrap();

    let requester = world.worker(2).await;
    assert_eq!(requester.lookup(&hash).await, Ok(PaymentState::InFlight), "the channel knows");
    until("LDK is asked and knows", || async {
        requester.pay(&pay).await == Ok(PaymentState::InFlight)
    })
    .await;
    worker.claim(&hash, amount, &preimage).await.unwrap();
    let paid = NodeEvent::Paid { hash, preimage, fee: Msat::ZERO };
    assert_eq!(event(&requester).await, paid);
    let paid = Ok(PaymentState::Paid { preimage, fee: Msat::ZERO });
    assert_eq!(requester.lookup(&hash).await, paid, "though ldk-node has no record of it");
    assert_eq!(requester.pay(&pay).await, paid);
    assert_eq!(event(&worker).await, NodeEvent::Received { hash, amount });
    let after = settled(&requester).await.total();
    assert_eq!(before.checked_sub(after), Some(sats(20_000)));
    sums(&world, &[&requester, &worker]).await;
    world.end(&[&requester, &worker]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payer_is_told_why_not_and_pays_once() {
    let world = World::new(10_000_000).await;
    let requester = world.requester(2, 100_000).await;
    let worker = world.worker(3).await;
    let before = requester.holdings().await.unwrap();

    // Short of liquidity.
    let (_, hash) = secret(51);
    let dear = worker.bill(&order(hash, sats(150_000), None)).await.unwrap();
    let Ok(PaymentState::Failed { reason }) =
        requester.pay(&payment(&dear.invoice, hash, sats(150_000))).await
    else {
        panic!("expected a refusal")
    };
    assert!(reason.contains("can send") && reason.contains("150,000 sat"), "{reason}");
    assert_eq!(requester.lookup(&hash).await, Ok(PaymentState::Failed { reason }));

    // No channel at all: no route.
    let penniless = world.worker(4).await;
    let Ok(PaymentState::Failed { reason }) =
        penniless.pay(&payment(&dear.invoice, hash, sats(150_000))).await
    else {
        panic!("expected a refusal")
    };
    assert!(reason.contains("No channel can be used"), "{reason}");

    // Not what was agreed, our own, not an invoice, another network, expired.
    let (preimage, hash) = secret(52);
    let billed = worker.bill(&order(hash, sats(20_000), None)).await.unwrap();
    let right = payment(&billed.invoice, hash, sats(20_000));
    let wrong = PayOrder { amount: sats(19_999), ..right.clone() };
    assert!(never(requester.pay(&wrong).await.unwrap_err()).contains("not the one"));
    let wrong = PayOrder { hash: secret(53).1, ..right.clone() };
    assert!(never(requester.pay(&wrong).await.unwrap_err()).contains("not the one"));
    assert!(never(worker.pay(&right).await.unwrap_err()).contains("our own"));
    let wrong = PayOrder { invoice: billed.invoice.replace("lnbcrt", "lnbc"), ..right.clone() };
    assert!(never(requester.pay(&wrong).await.unwrap_err()).contains("not a valid"));
    let foreign = "lnbc20m1pvjluezsp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygspp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqhp58yjmdan79s6qqdhdzgynm4zwqd5d7xmw5fk98klysy043l2ahrqs9qrsgq7ea976txfraylvgzuxs8kgcw23ezlrszfnh8r6qtfpr6cxga50aj6txm9rxrydzd06dfeawfk6swupvz4erwnyutnjq7x39ymw6j38gp7ynn44";
    let read = wire::decode(foreign).unwrap();
    let other = payment(foreign, read.hash, read.amount.unwrap());
    assert!(never(requester.pay(&other).await.unwrap_err()).contains("is for Bitcoin"));
    let (_, brief) = secret(54);
    let billed = worker
        .bill(&BillOrder { expiry_secs: 1, ..order(brief, sats(20_000), None) })
        .await
        .unwrap();
    let expired = payment(&billed.invoice, brief, sats(20_000));
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    assert!(never(requester.pay(&expired).await.unwrap_err()).contains("expired"));
    assert_eq!(requester.holdings().await.unwrap(), before, "nothing left the wallet");

    // Twice at the same moment and once more: one payment.
    let (one, two) = tokio::join!(requester.pay(&right), requester.pay(&right));
    assert_eq!((one, two), (Ok(PaymentState::InFlight), Ok(PaymentState::InFlight)));
    let (amount, _) = claimable(&worker, hash).await;
    assert_eq!(requester.pay(&right).await, Ok(PaymentState::InFlight));
    // Who was paid for a hash cannot pay for it: LDK would lose one of the two.
    never(worker.claim(&hash, amount, &secret(55).0).await.unwrap_err());
    never(worker.claim(&secret(56).1, amount, &secret(56).0).await.unwrap_err());
    never(worker.fail(&secret(56).1).await.unwrap_err());
    worker.claim(&hash, amount, &preimage).await.unwrap();
    assert_eq!(event(&worker).await, NodeEvent::Received { hash, amount });
    assert!(matches!(event(&requester).await, NodeEvent::Paid { .. }));
    assert!(matches!(requester.pay(&right).await, Ok(PaymentState::Paid { .. })));
    never(requester.bill(&order(hash, sats(20_000), None)).await.unwrap_err());
    let after = settled(&requester).await.total();
    assert_eq!(before.total().checked_sub(after), Some(sats(20_000)));
    sums(&world, &[&requester, &worker]).await;
    world.end(&[&requester, &worker, &penniless]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_lsp_that_is_down_or_dear_is_named() {
    let world = World::new(1_000_000).await;
    let (_, hash) = secret(61);

    let mut config = world.config(3);
    config.lsp_fee_cap_ppm = 9_999;
    config.max_lsp_fee = Msat::ZERO;
    let miser = Node::start(config).await.unwrap();
    let why = never(miser.bill(&order(hash, sats(10_000), None)).await.unwrap_err());
    assert!(why.contains("asks 100 sat") && why.contains("99.990 sat"), "{why}");

    let mut config = world.config(4);
    config.lsp = None;
    let alone = Node::start(config).await.unwrap();
    let why = never(alone.bill(&order(hash, sats(10_000), None)).await.unwrap_err());
    assert!(why.contains("no LSP is configured"), "{why}");
    assert_eq!(alone.status().await.unwrap().least_first, None);

    // Down: said at once, and mended by itself when it is back.
    let worker = world.worker(5).await;
    world.lsp.stop().await.unwrap();
    let bill = order(hash, sats(10_000), None);
    let asked = tokio::time::timeout(Duration::from_secs(12), worker.bill(&bill)).await;
    let why = later(asked.expect("billing hangs").unwrap_err());
    assert!(why.contains("LSP") && why.contains("No money moved"), "{why}");
    until("the trouble is shown", || async {
        worker.status().await.unwrap().trouble.is_some_and(|t| t.contains("LSP"))
    })
    .await;
    let lsp = Lsp::start(LspConfig {
        seed: Zeroizing::new([1; 64]),
        dir: world.dir.path().join("lsp"),
        chain: world.chain.endpoint().clone(),
        runtime: Handle::current(),
        fee_ppm: lsp::FEE_PPM,
    })
    .await
    .unwrap();
    assert_eq!(lsp.peer(), world.lsp.peer(), "its clients find it where it was");
    worker.bill(&bill).await.unwrap();
    until("the trouble is over", || async { worker.status().await.unwrap().trouble.is_none() })
        .await;
    lsp.stop().await.unwrap();
    world.end(&[&miser, &alone, &worker]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_lsp_without_coins_costs_time_and_no_money() {
    let world = World::new(10_000).await;
    let requester = world.requester(2, 200_000).await;
    let worker = world.worker(3).await;
    let before = requester.holdings().await.unwrap().total();
    let (_, hash) = secret(71);
    let billed = worker.bill(&order(hash, sats(50_000), None)).await.unwrap();
    requester.pay(&payment(&billed.invoice, hash, sats(50_000))).await.unwrap();
    until("it hangs at the LSP", || async {
        let log = std::fs::read_to_string(world.dir.path().join("lsp/node.log")).unwrap();
        log.contains("Unable to create channel due to insufficient funds")
    })
    .await;
    assert_eq!(requester.holdings().await.unwrap().held, sats(50_000));
    // The LSP sends back what it cannot forward 39 blocks before it would expire there: of the 44 that
    // the invoice asked for, ten blocks are more than enough.
    world.mine(10, &[&requester, &worker]).await;
    until("it comes back", || async {
        requester.lookup(&hash).await != Ok(PaymentState::InFlight)
    })
    .await;
    let NodeEvent::Failed { hash: which, .. } = event(&requester).await else {
        panic!("expected the payment to come back")
    };
    assert_eq!(which, hash);
    assert_eq!(settled(&requester).await.total(), before);
    assert_eq!(worker.holdings().await.unwrap().total(), Msat::ZERO);
    sums(&world, &[&requester]).await;
    world.end(&[&requester, &worker]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_directory_has_one_owner_and_coins_go_out_and_home() {
    let world = World::new(1_000_000).await;
    let node = world.requester(2, 100_000).await;
    let refused = Node::start(world.config(2)).await.err().expect("two on one directory");
    let why = refused.to_string();
    assert!(why.contains(&format!("process {}", std::process::id())), "{why}");
    assert!(why.contains("already running"), "{why}");

    // The wallet's verbs: coins out, a channel closed, its coins home.
    let bad = never(node.send_onchain("not an address", 1_000).await.unwrap_err());
    assert!(bad.contains("No money moved"), "{bad}");
    never(node.send_onchain(&node.new_address().await.unwrap(), 10_000_000).await.unwrap_err());
    never(node.open_channel(world.lsp.peer(), 10_000_000).await.unwrap_err());
    never(node.close_channel("nothing", false).await.unwrap_err());
    let both = [node.holdings().await.unwrap(), world.lsp.holdings().await.unwrap()];
    let before: u64 = both.iter().map(|h| h.total().get()).sum();
    let to = world.lsp.new_address().await.unwrap();
    node.send_onchain(&to, 10_000).await.unwrap();
    let channels = node.channels().await.unwrap();
    let [channel] = channels.as_slice() else { panic!("one channel, not {channels:?}") };
    assert_eq!((channel.size, channel.ours), (sats(100_000), true));
    assert!(channel.confirmations >= Some(6));
    node.close_channel(&channel.id, false).await.unwrap();
    until("the closing transaction waits", || async {
        world.chain.client().waiting().await.unwrap().len() == 2
    })
    .await;
    let blocks = world.chain.height().await.unwrap();
    world.mine(6, &[&node]).await;
    let fees = world.chain.total_fees_msat(blocks).await.unwrap();
    assert!(fees > 0);
    let peer: Peer = world.lsp.peer().to_string().parse().unwrap();
    assert_eq!(&peer, world.lsp.peer());
    until("all is home and accounted for", || async {
        node.sync().await.unwrap();
        world.lsp.sync().await.unwrap();
        let (a, b) = (node.holdings().await.unwrap(), world.lsp.holdings().await.unwrap());
        let none = a.channels == Msat::ZERO && b.channels == Msat::ZERO;
        none && a.total().get() + b.total().get() + fees == before
    })
    .await;
    node.stop().await.unwrap();
    let again = world.worker(2).await;
    world.end(&[&again]).await;
}

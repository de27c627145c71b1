//! Channels that are closed by force while a payment is held in them: the chain settles it, and every
//! satoshi of it is found again.

use bitcoin::{OutPoint, Transaction};

use crate::*;

const ANCHOR: Amount = Amount::from_sat(330);

/// What three parties had at a height, to be found again: with them, with miners, or in anchors that were
/// not worth anybody's fee.
pub(crate) struct Account {
    had: u64,
    since: u32,
}

impl Account {
    pub(crate) async fn open(world: &World, nodes: &[&Node]) -> Self {
        let since = world.chain.height().await.unwrap();
        Self { had: total(world, nodes).await.0, since }
    }

    /// The commitments that were published and confirmed since then, oldest first.
    pub(crate) async fn commitments(&self, world: &World) -> Vec<Transaction> {
        let (client, mut found) = (world.chain.client(), Vec::new());
        for height in self.since + 1..=client.height().await.unwrap() {
            let hash = client.hash_at(height).await.unwrap();
            found.extend(client.block(&hash).await.unwrap().txdata.into_iter().filter(anchored));
        }
        found
    }

    /// Blocks are found until all coins are home; then they are what they were.
    pub(crate) async fn settle(&self, world: &World, nodes: &[&Node]) {
        // A delay of a day on everything that whoever closed has in it.
        world.mine(144, nodes).await;
        let commitments = self.commitments(world).await;
        let mut last = (0, 0);
        let found = async {
            loop {
                let (now, out) = total(world, nodes).await;
                let fees = world.chain.total_fees_msat(self.since).await.unwrap();
                let mut anchors = 0;
                for tx in &commitments {
                    let unspent = world.chain.unspent_of(&tx.compute_txid()).await.unwrap();
                    let each = unspent.into_iter().map(|(_, out)| out.value);
                    anchors += each.filter(|sats| *sats == ANCHOR).sum::<Amount>().to_sat() * 1000;
                }
                last = (now + fees + anchors, out);
                if last == (self.had, 0) {
                    return;
                }
                world.mine(1, nodes).await;
            }
        };
        if tokio::time::timeout(PATIENCE, found).await.is_err() {
            let had = self.had;
            panic!("had {had} msat, now found {} of which {} are not home", last.0, last.1);
        }
    }
}

fn anchored(tx: &Transaction) -> bool {
    tx.output.iter().any(|out| out.value == ANCHOR)
}

/// Closes a channel of this node by force: its own side's commitment waits then.
async fn close(world: &World, node: &Node, channel: &str) -> Transaction {
    let before = world.chain.client().waiting().await.unwrap();
    node.close_channel(channel, true).await.unwrap();
    let published = async {
        loop {
            for txid in world.chain.client().waiting().await.unwrap() {
                let tx = world.chain.transaction(&txid).await.unwrap();
                if anchored(&tx) && !before.contains(&txid) {
                    return tx;
                }
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    };
    tokio::time::timeout(PATIENCE, published).await.expect("no commitment was published")
}

/// Whether what a commitment holds of this amount is taken out of it, by a transaction that may still wait.
async fn is_taken(world: &World, commitment: &Transaction, amount: Msat) -> bool {
    let sats = Amount::from_sat(amount.get() / 1000);
    let at = commitment.output.iter().position(|out| out.value == sats).expect("it is in there");
    let point = OutPoint::new(commitment.compute_txid(), u32::try_from(at).unwrap());
    world.chain.spender_of(&point).await.unwrap().is_some()
}

/// Waits until it is.
pub(crate) async fn taken(world: &World, commitment: &Transaction, amount: Msat, what: &str) {
    until(what, || is_taken(world, commitment, amount)).await;
}

/// What all have together, and how much of it lies in channels that are closed.
async fn total(world: &World, nodes: &[&Node]) -> (u64, u64) {
    let (mut all, mut closing) = (0, 0);
    for node in nodes.iter().copied().chain([world.lsp.node()]) {
        all += node.holdings().await.unwrap().total().get();
        closing += node.status().await.unwrap().balances.closing.get();
    }
    (all, closing)
}

async fn channel_of(node: &Node) -> String {
    let channels = node.channels().await.unwrap();
    let [channel] = channels.as_slice() else { panic!("one channel, not {channels:?}") };
    channel.id.clone()
}

/// The node says nothing that has to do with money.
pub(crate) async fn silent(node: &Node) {
    while let Ok(said) = tokio::time::timeout(Duration::from_millis(200), node.next()).await {
        assert!(matches!(said, NodeEvent::Channels(_)), "{said:?}");
        node.handled().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closed_by_force_at_both_ends_a_held_payment_is_paid_by_its_secret_on_the_chain() {
    let world = World::new(10_000_000).await;
    let requester = world.requester(2, 2_000_000).await;
    let worker = world.worker(3).await;
    let coins = sats(50_000);
    world.fund(&worker, 50_000).await;
    let nodes = [&*requester, &*worker];
    let account = Account::open(&world, &nodes).await;
    let before = requester.holdings().await.unwrap().total();

    let (preimage, hash) = secret(81);
    let price = sats(200_000);
    let billed = worker.bill(&order(hash, price, Some(144))).await.unwrap();
    let pay = payment(&billed.invoice, hash, price);
    requester.pay(&pay).await.unwrap();
    let (amount, deadline) = claimable(&worker, hash).await;
    world.mine(3, &nodes).await;
    let held = Holding { amount, deadline, confirmations: 3 };
    assert_eq!(worker.holding(&hash).await.unwrap(), Some(held));

    // Both fall out with the LSP in between. The payment is on the chain now, as it was in the channels.
    let workers = close(&world, &worker, &channel_of(&worker).await).await;
    let requesters = close(&world, &requester, &channel_of(&requester).await).await;
    world.mine(7, &nodes).await;
    let held = Holding { confirmations: 0, ..held };
    assert_eq!(worker.holding(&hash).await.unwrap(), Some(held), "no work on such a channel");
    assert_eq!(requester.lookup(&hash).await, Ok(PaymentState::InFlight));
    assert_eq!(requester.pay(&pay).await, Ok(PaymentState::InFlight), "never twice");
    silent(&worker).await;
    silent(&requester).await;

    // The worker's claim shows the secret to the chain; the LSP takes its own by it, and so it comes to the
    // requester, whom nobody told anything.
    worker.claim(&hash, amount, &preimage).await.unwrap();
    assert_eq!(event(&worker).await, NodeEvent::Received { hash, amount });
    taken(&world, &workers, amount, "the worker's claim").await;
    silent(&requester).await;
    world.mine(1, &nodes).await;
    taken(&world, &requesters, price, "the LSP's claim").await;
    world.mine(1, &nodes).await;
    assert_eq!(event(&requester).await, NodeEvent::Paid { hash, preimage, fee: Msat::ZERO });
    let paid = PaymentState::Paid { preimage, fee: Msat::ZERO };
    assert_eq!(requester.lookup(&hash).await, Ok(paid.clone()));
    assert_eq!(requester.pay(&pay).await, Ok(paid), "and asking again pays nothing");

    account.settle(&world, &nodes).await;
    silent(&worker).await;
    silent(&requester).await;
    // Closing by force costs some fees, and no more.
    let fees = sats(3_000);
    let got = worker.holdings().await.unwrap().total().checked_sub(coins).unwrap();
    assert!((amount.checked_sub(fees).unwrap()..=amount).contains(&got), "{got}");
    let gone = before.checked_sub(requester.holdings().await.unwrap().total()).unwrap();
    assert!((price..=price.checked_add(fees).unwrap()).contains(&gone), "{gone}");
    world.end(&nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closed_by_its_peer_a_worker_without_coins_is_paid_on_the_chain_all_the_same() {
    let world = World::new(10_000_000).await;
    let requester = world.requester(2, 2_000_000).await;
    let worker = world.worker(3).await;
    let nodes = [&*requester, &*worker];
    let account = Account::open(&world, &nodes).await;
    let before = requester.holdings().await.unwrap().total();

    let (preimage, hash) = secret(82);
    let price = sats(100_000);
    let billed = worker.bill(&order(hash, price, Some(144))).await.unwrap();
    requester.pay(&payment(&billed.invoice, hash, price)).await.unwrap();
    let (amount, deadline) = claimable(&worker, hash).await;
    world.mine(3, &nodes).await;
    let channels = world.lsp.channels().await.unwrap();
    let theirs = channels.iter().find(|channel| channel.peer == worker.node()).unwrap();
    let commitment = close(&world, world.lsp.node(), &theirs.id).await;
    world.mine(1, &nodes).await;
    let held = Holding { amount, deadline, confirmations: 0 };
    assert_eq!(worker.holding(&hash).await.unwrap(), Some(held));

    // Restarted in between: the HTLC and what is known of it outlive the channel and the process.
    worker.stop().await.unwrap();
    let worker = world.worker(3).await;
    let nodes = [&*requester, &*worker];
    assert_eq!(worker.holding(&hash).await.unwrap(), Some(held));
    worker.claim(&hash, amount, &preimage).await.unwrap();
    assert_eq!(event(&worker).await, NodeEvent::Received { hash, amount });
    taken(&world, &commitment, amount, "the claim, which pays for itself").await;
    world.mine(1, &nodes).await;
    assert_eq!(event(&requester).await, NodeEvent::Paid { hash, preimage, fee: Msat::ZERO });
    assert_eq!(before.checked_sub(settled(&requester).await.total()), Some(price));

    account.settle(&world, &nodes).await;
    let got = worker.holdings().await.unwrap();
    assert!((amount.checked_sub(sats(2_000)).unwrap()..=amount).contains(&got.onchain), "{got:?}");
    world.end(&nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_without_coins_that_closes_by_force_is_told_that_its_claim_needs_some() {
    let world = World::new(10_000_000).await;
    let requester = world.requester(2, 2_000_000).await;
    let worker = world.worker(3).await;
    let nodes = [&*requester, &*worker];
    let before = requester.holdings().await.unwrap().total();
    let (preimage, hash) = secret(84);
    let price = sats(100_000);
    let billed = worker.bill(&order(hash, price, Some(144))).await.unwrap();
    requester.pay(&payment(&billed.invoice, hash, price)).await.unwrap();
    let (amount, deadline) = claimable(&worker, hash).await;
    world.mine(3, &nodes).await;
    let commitment = close(&world, &worker, &channel_of(&worker).await).await;
    world.mine(1, &nodes).await;
    assert_eq!(worker.status().await.unwrap().trouble, None, "nothing is claimed yet");

    // What it claims from its own commitment cannot pay a miner, and there is nobody else who could.
    worker.claim(&hash, amount, &preimage).await.unwrap();
    assert_eq!(event(&worker).await, NodeEvent::Received { hash, amount });
    let by = format!("before block {}", deadline + 39);
    until("it is told", || async {
        worker.status().await.unwrap().trouble.is_some_and(|trouble| {
            trouble.contains("99,000 sat") && trouble.contains(&by) && trouble.contains("no coins")
        })
    })
    .await;
    world.mine(6, &nodes).await;
    assert!(!is_taken(&world, &commitment, amount).await);
    silent(&requester).await;

    // Some thousand satoshis mend it; LDK tries again by itself, every few blocks.
    world.fund(&worker, 5_000).await;
    assert_eq!(worker.status().await.unwrap().trouble, None);
    until("the claim", || async {
        world.mine(1, &nodes).await;
        is_taken(&world, &commitment, amount).await
    })
    .await;
    world.mine(1, &nodes).await;
    assert_eq!(event(&requester).await, NodeEvent::Paid { hash, preimage, fee: Msat::ZERO });
    assert_eq!(before.checked_sub(settled(&requester).await.total()), Some(price));
    world.mine(144, &nodes).await;
    until("all is home", || async {
        world.mine(1, &nodes).await;
        worker.status().await.unwrap().balances.closing == Msat::ZERO
    })
    .await;
    let got = worker.holdings().await.unwrap().onchain.checked_sub(sats(5_000)).unwrap();
    assert!((amount.checked_sub(sats(3_000)).unwrap()..=amount).contains(&got), "{got}");
    world.end(&nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closed_by_force_at_both_ends_a_held_payment_that_nobody_claims_comes_back_by_age() {
    let world = World::new(10_000_000).await;
    let requester = world.requester(2, 2_000_000).await;
    let worker = world.worker(3).await;
    let nodes = [&*requester, &*worker];
    let account = Account::open(&world, &nodes).await;
    let before = requester.holdings().await.unwrap().total();

    let (preimage, hash) = secret(83);
    let price = sats(200_000);
    let billed = worker.bill(&order(hash, price, Some(20))).await.unwrap();
    let pay = payment(&billed.invoice, hash, price);
    requester.pay(&pay).await.unwrap();
    let (amount, deadline) = claimable(&worker, hash).await;
    world.mine(1, &nodes).await;
    let workers = close(&world, &worker, &channel_of(&worker).await).await;
    let requesters = close(&world, &requester, &channel_of(&requester).await).await;
    world.mine(1, &nodes).await;
    let held = Some(Holding { amount, deadline, confirmations: 0 });

    // The deadline passes. It is not gone before the chain says so, and nobody says that it is.
    world.mine(deadline + 1 - worker.height(), &nodes).await;
    assert_eq!(worker.holding(&hash).await.unwrap(), held);
    assert_eq!(requester.pay(&pay).await, Ok(PaymentState::InFlight));
    // Sent back, says the worker's node, and cannot: the channel is closed.
    worker.fail(&hash).await.unwrap();
    assert_eq!(worker.holding(&hash).await.unwrap(), held, "it hangs until it expires");
    silent(&worker).await;
    silent(&requester).await;

    // It expires at the worker's end first; the LSP takes its own back, and waits for six blocks.
    let expiry = deadline + 39;
    world.mine(expiry - worker.height(), &nodes).await;
    taken(&world, &workers, amount, "the LSP takes it back").await;
    world.mine(5, &nodes).await;
    assert_eq!(worker.holding(&hash).await.unwrap(), held, "a block may still be unmade");
    world.mine(1, &nodes).await;
    assert_eq!(worker.holding(&hash).await.unwrap(), None);
    assert_eq!(
        requester.lookup(&hash).await,
        Ok(PaymentState::InFlight),
        "its own has not expired"
    );

    // Then at the requester's.
    let hint = u32::try_from(wire::decode(&billed.invoice).unwrap().hint_cltv).unwrap();
    world.mine(expiry + hint + 1 - requester.height(), &nodes).await;
    taken(&world, &requesters, price, "the requester takes it back").await;
    world.mine(5, &nodes).await;
    assert_eq!(requester.lookup(&hash).await, Ok(PaymentState::InFlight));
    world.mine(1, &nodes).await;
    let NodeEvent::Failed { hash: which, reason } = event(&requester).await else {
        panic!("expected the payment to come back")
    };
    assert_eq!(which, hash);
    assert!(reason.contains("Nothing was paid"), "{reason}");
    assert_eq!(requester.lookup(&hash).await, Ok(PaymentState::Failed { reason }));

    // Too late, and for nothing.
    let _ = worker.claim(&hash, amount, &preimage).await;
    account.settle(&world, &nodes).await;
    silent(&worker).await;
    silent(&requester).await;
    assert_eq!(worker.holdings().await.unwrap().total(), Msat::ZERO, "nothing was paid");
    let gone = before.checked_sub(requester.holdings().await.unwrap().total()).unwrap();
    assert!(gone <= sats(3_000), "fees of the chain, not {gone}");
    world.end(&nodes).await;
}

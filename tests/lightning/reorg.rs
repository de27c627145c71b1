//! Blocks that are unmade while a payment is held.

use serde_json::json;

use crate::closed::{Account, silent, taken};
use crate::*;

/// The last `depth` blocks are declared invalid: the chain is shorter than it was.
async fn unmake(world: &World, depth: u32) {
    let height = world.chain.height().await.unwrap();
    let first = world.chain.client().hash_at(height + 1 - depth).await.unwrap();
    world.chain.client().call("invalidateblock", json!([first])).await.unwrap();
    assert_eq!(world.chain.height().await.unwrap(), height - depth);
}

/// All look at the chain, however short it is.
async fn look(world: &World, nodes: &[&Node]) {
    for node in nodes.iter().copied().chain([world.lsp.node()]) {
        node.sync().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_height_that_falls_and_rises_decides_nothing_early_and_nothing_late() {
    let world = World::new(10_000_000).await;
    let requester = world.requester(2, 2_000_000).await;
    let worker = world.worker(3).await;
    let nodes = [&*requester, &*worker];
    let before = requester.holdings().await.unwrap().total();

    // Just before the deadline four blocks are unmade, and others take their place one by one.
    let (preimage, hash) = secret(91);
    let billed = worker.bill(&order(hash, sats(20_000), Some(20))).await.unwrap();
    let pay = payment(&billed.invoice, hash, sats(20_000));
    requester.pay(&pay).await.unwrap();
    let (amount, deadline) = claimable(&worker, hash).await;
    world.mine(deadline - 2 - worker.height(), &nodes).await;
    unmake(&world, 4).await;
    for made in 0..=4 {
        world.chain.mine(made.min(1)).await.unwrap();
        look(&world, &nodes).await;
        let held = worker.holding(&hash).await.unwrap().expect("it is held");
        assert_eq!((held.amount, held.deadline), (amount, deadline));
        assert_eq!(requester.pay(&pay).await, Ok(PaymentState::InFlight));
        silent(&worker).await;
        silent(&requester).await;
    }
    // Of two branches with the same work a node keeps its own: the next block decides, and the last one
    // before the deadline is as good as it ever was.
    world.mine(1, &nodes).await;
    assert_eq!(worker.height(), deadline - 1);
    worker.claim(&hash, amount, &preimage).await.unwrap();
    assert_eq!(event(&worker).await, NodeEvent::Received { hash, amount });
    assert_eq!(event(&requester).await, NodeEvent::Paid { hash, preimage, fee: Msat::ZERO });
    assert_eq!(settled(&worker).await.total(), amount);
    assert_eq!(before.checked_sub(settled(&requester).await.total()), Some(sats(20_000)));
    sums(&world, &nodes).await;

    // What nobody claims goes back at its deadline on the branch that is, not on the one that was.
    let (_, hash) = secret(92);
    let billed = worker.bill(&order(hash, sats(5_000), Some(20))).await.unwrap();
    let pay = payment(&billed.invoice, hash, sats(5_000));
    requester.pay(&pay).await.unwrap();
    let (_, deadline) = claimable(&worker, hash).await;
    world.mine(deadline - 1 - worker.height(), &nodes).await;
    unmake(&world, 3).await;
    look(&world, &nodes).await;
    world.chain.mine(3).await.unwrap();
    look(&world, &nodes).await;
    assert!(worker.holding(&hash).await.unwrap().is_some());
    assert_eq!(requester.pay(&pay).await, Ok(PaymentState::InFlight));
    silent(&requester).await;
    world.mine(1, &nodes).await;
    assert_eq!(worker.height(), deadline);
    let NodeEvent::Failed { hash: which, .. } = event(&requester).await else {
        panic!("expected the payment to come back")
    };
    assert_eq!(which, hash);
    assert_eq!(worker.holding(&hash).await.unwrap(), None);
    assert_eq!(settled(&worker).await.total(), amount);
    assert_eq!(before.checked_sub(settled(&requester).await.total()), Some(sats(20_000)));
    sums(&world, &nodes).await;
    world.end(&nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocks_unmade_under_the_channel_itself_cost_a_held_payment_nothing() {
    let world = World::new(10_000_000).await;
    let requester = world.requester(2, 2_000_000).await;
    let worker = world.worker(3).await;
    world.fund(&worker, 50_000).await;
    let nodes = [&*requester, &*worker];
    let account = Account::open(&world, &nodes).await;
    let before = requester.holdings().await.unwrap().total();
    let (preimage, hash) = secret(93);
    let price = sats(200_000);
    let billed = worker.bill(&order(hash, price, Some(144))).await.unwrap();
    let pay = payment(&billed.invoice, hash, price);
    requester.pay(&pay).await.unwrap();
    let (amount, deadline) = claimable(&worker, hash).await;
    world.mine(3, &nodes).await;
    let held = Holding { amount, deadline, confirmations: 3 };
    assert_eq!(worker.holding(&hash).await.unwrap(), Some(held));

    // The transaction that opened it waits again. LDK keeps no channel that was confirmed and is not: both
    // ends close it, and what was held in it goes on on the chain.
    world.chain.reorg(3).await.unwrap();
    look(&world, &nodes).await;
    let held = Some(Holding { confirmations: 0, ..held });
    until("no channel is left between them", || async {
        let theirs = world.lsp.channels().await.unwrap();
        worker.channels().await.unwrap().is_empty()
            && theirs.iter().all(|channel| channel.peer != worker.node())
    })
    .await;
    assert_eq!(worker.holding(&hash).await.unwrap(), held);
    assert_eq!(requester.pay(&pay).await, Ok(PaymentState::InFlight));
    // Which of the two commitments the chain takes is the miners' choice.
    until("a commitment waits upon what opened the channel", || async {
        world.chain.client().waiting().await.unwrap().len() >= 2
    })
    .await;
    world.mine(2, &nodes).await;
    let closed = account.commitments(&world).await;
    let [commitment] = closed.as_slice() else { panic!("one commitment, not {closed:?}") };
    assert_eq!(worker.holding(&hash).await.unwrap(), held);
    silent(&worker).await;
    silent(&requester).await;

    worker.claim(&hash, amount, &preimage).await.unwrap();
    assert_eq!(event(&worker).await, NodeEvent::Received { hash, amount });
    taken(&world, commitment, amount, "the worker's claim").await;
    world.mine(1, &nodes).await;
    assert_eq!(event(&requester).await, NodeEvent::Paid { hash, preimage, fee: Msat::ZERO });
    assert_eq!(before.checked_sub(settled(&requester).await.total()), Some(price));
    account.settle(&world, &nodes).await;
    let got = worker.holdings().await.unwrap().total().checked_sub(sats(50_000)).unwrap();
    assert!((amount.checked_sub(sats(3_000)).unwrap()..=amount).contains(&got), "{got}");
    world.end(&nodes).await;
}

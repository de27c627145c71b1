//! An LSP that is down, dear or without coins.

use crate::closed::silent;
use crate::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_lsp_that_is_down_or_dear_is_named() {
    let mut world = World::new(1_000_000).await;
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
    let before = world.lsp.peer().clone();
    world.start_lsp().await;
    assert_eq!(world.lsp.peer(), &before, "its clients find it where it was");
    worker.bill(&bill).await.unwrap();
    until("the trouble is over", || async { worker.status().await.unwrap().trouble.is_none() })
        .await;
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
    // The LSP sends back what it cannot forward 39 blocks before it would expire there: of the 54 that
    // the invoice asked for, and the three of the route, twenty blocks are enough.
    world.mine(20, &[&requester, &worker]).await;
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
async fn an_lsp_that_restarts_during_a_hold_takes_nothing_along() {
    let mut world = World::new(10_000_000).await;
    let requester = world.requester(2, 2_000_000).await;
    let worker = world.worker(3).await;
    let before = requester.holdings().await.unwrap().total();

    // Over a channel that opened just in time. The LSP is another process when the secret comes.
    let (preimage, hash) = secret(63);
    let billed = worker.bill(&order(hash, sats(20_000), Some(144))).await.unwrap();
    let pay = payment(&billed.invoice, hash, sats(20_000));
    requester.pay(&pay).await.unwrap();
    let (first, deadline) = claimable(&worker, hash).await;
    world.mine(3, &[&requester, &worker]).await;
    world.lsp.stop().await.unwrap();
    assert_eq!(requester.pay(&pay).await, Ok(PaymentState::InFlight), "the LSP is away");
    world.start_lsp().await;
    assert_eq!(requester.pay(&pay).await, Ok(PaymentState::InFlight));
    let held = worker.holding(&hash).await.unwrap();
    assert_eq!(held, Some(Holding { amount: first, deadline, confirmations: 3 }));
    worker.claim(&hash, first, &preimage).await.unwrap();
    assert_eq!(event(&worker).await, NodeEvent::Received { hash, amount: first });
    assert_eq!(event(&requester).await, NodeEvent::Paid { hash, preimage, fee: Msat::ZERO });
    assert_eq!(before.checked_sub(settled(&requester).await.total()), Some(sats(20_000)));
    assert_eq!(settled(&worker).await.total(), first);
    sums(&world, &[&requester, &worker]).await;

    // Over the channel that is there; the secret comes while the LSP is away.
    let (preimage, hash) = secret(64);
    let price = sats(10_000);
    let billed = worker.bill(&order(hash, price, Some(144))).await.unwrap();
    assert_eq!(billed.lsp_fee, Msat::ZERO, "no other channel");
    let pay = payment(&billed.invoice, hash, price);
    requester.pay(&pay).await.unwrap();
    let (amount, _) = claimable(&worker, hash).await;
    world.lsp.stop().await.unwrap();
    worker.claim(&hash, amount, &preimage).await.unwrap();
    assert_eq!(event(&worker).await, NodeEvent::Received { hash, amount });
    assert_eq!(requester.lookup(&hash).await, Ok(PaymentState::InFlight), "nobody told it");
    world.start_lsp().await;
    assert_eq!(event(&requester).await, NodeEvent::Paid { hash, preimage, fee: Msat::ZERO });
    let paid = PaymentState::Paid { preimage, fee: Msat::ZERO };
    assert_eq!(requester.pay(&pay).await, Ok(paid), "and asking again pays nothing");
    let after = settled(&requester).await.total();
    assert_eq!(before.checked_sub(after), Some(sats(30_000)), "each is paid once");
    silent(&requester).await;
    silent(&worker).await;
    assert_eq!(settled(&worker).await.total(), first.checked_add(amount).unwrap());
    sums(&world, &[&requester, &worker]).await;
    world.end(&[&requester, &worker]).await;
}

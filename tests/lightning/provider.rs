//! An LSP that is down, dear or without coins.

use crate::*;

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

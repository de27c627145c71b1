//! Held payments, late claims and restarts in between.

use crate::*;

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

//! A worker with nothing is paid; whoever pays is told why not, and pays once.

use bitcoin::bip32::Xpriv;
use bitcoin::secp256k1::Secp256k1;
use ldk_node::lightning::sign::KeysManager;
use ldk_node::lightning_invoice::{Bolt11Invoice, InvoiceBuilder};

use crate::*;

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
    assert_eq!(
        wire::decode(&billed.invoice).unwrap().min_final_cltv,
        FINAL_CLTV,
        "a payer that is a few blocks behind can pay it"
    );
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

/// PROTOCOL.md 6.3: LDK would add a random offset of 40 to 432 blocks, and with it delay a refund.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn money_is_locked_no_longer_than_the_invoice_and_the_way_to_it_ask_for() {
    let world = World::new(10_000_000).await;
    let requester = world.requester(2, 2_000_000).await;
    let worker = world.worker(3).await;
    // Just in time, and over the channel that is there from then on.
    for (n, window, price) in [(57, 144, 20_000), (58, 288, 5_000), (59, 20, 5_000)] {
        let ((preimage, hash), price) = (secret(n), sats(price));
        let billed = worker.bill(&order(hash, price, Some(window))).await.unwrap();
        requester.pay(&payment(&billed.invoice, hash, price)).await.unwrap();
        let (amount, deadline) = claimable(&worker, hash).await;
        let held = deadline - requester.height();
        assert!((window..=window + 2).contains(&held), "{held} blocks, not {window}");
        worker.claim(&hash, amount, &preimage).await.unwrap();
        assert_eq!(event(&worker).await, NodeEvent::Received { hash, amount });
        assert!(matches!(event(&requester).await, NodeEvent::Paid { .. }));
        settled(&requester).await;
    }
    // More than any route carries: refused before anything leaves, whoever signed that it is needed.
    let before = requester.holdings().await.unwrap();
    let (_, hash) = secret(60);
    let billed = worker.bill(&order(hash, sats(5_000), Some(1_500))).await.unwrap();
    let far = lengthened(&billed.invoice, 1_801, 3);
    let why = never(requester.pay(&payment(&far, hash, sats(5_000))).await.unwrap_err());
    assert!(why.contains("1873 blocks") && why.contains("Nothing was paid"), "{why}");
    assert!(matches!(requester.lookup(&hash).await, Ok(PaymentState::Failed { .. })));
    assert_eq!(requester.holdings().await.unwrap(), before, "nothing left the wallet");
    world.end(&[&requester, &worker]).await;
}

/// The same invoice with another final CLTV, signed by the node of this seed.
fn lengthened(invoice: &str, min_final_cltv: u64, seed: u8) -> String {
    let invoice: Bolt11Invoice = invoice.parse().unwrap();
    let master = Xpriv::new_master(Bitcoin::Regtest, &[seed; 64]).unwrap();
    let keys = KeysManager::new(&master.private_key.secret_bytes(), 0, 0, true);
    let key = keys.get_node_secret_key();
    let mut builder = InvoiceBuilder::new(invoice.currency())
        .invoice_description_ref(invoice.description())
        .payment_hash(*invoice.payment_hash())
        .payment_secret(*invoice.payment_secret())
        .amount_milli_satoshis(invoice.amount_milli_satoshis().unwrap())
        .duration_since_epoch(invoice.duration_since_epoch())
        .min_final_cltv_expiry_delta(min_final_cltv)
        .basic_mpp();
    for hint in invoice.route_hints() {
        builder = builder.private_route(hint);
    }
    let signed =
        builder.build_signed(|hash| Secp256k1::new().sign_ecdsa_recoverable(hash, &key)).unwrap();
    assert_eq!(signed.get_payee_pub_key(), invoice.get_payee_pub_key());
    signed.to_string()
}

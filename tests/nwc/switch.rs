//! Another payer than the one that began it: whoever began a payment ends it.

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use earnest::lightning::{Chain, Node, NodeConfig};
use earnest::market::{Network, PaymentHash};
use earnest::sandbox::control::Setup;
use earnest::sandbox::{ChainControl, WalletService};
use zeroize::Zeroizing;

use super::*;

/// A real node without a channel, which knows where the remote wallet's record lies.
async fn node(chain: &ChainControl, dir: PathBuf, payer: PathBuf) -> Arc<Node> {
    let at = chain.endpoint();
    Node::start(NodeConfig {
        seed: Zeroizing::new([5; 64]),
        dir,
        payer: Some(payer),
        network: Network::Regtest,
        chain: Chain::Bitcoind {
            host: at.host.clone(),
            port: at.port,
            user: at.user.clone(),
            password: at.password.clone(),
        },
        lsp: None,
        listen: None,
        alias: None,
        lsp_fee_cap_ppm: 50_000,
        max_lsp_fee: Msat::sats(500).unwrap(),
        runtime: tokio::runtime::Handle::current(),
    })
    .await
    .unwrap()
}

/// What a kill between the intent and the end of a payment leaves in a record.
fn leave_intent(dir: &Path, hash: &PaymentHash) {
    let db = rusqlite::Connection::open(dir.join("hashes.sqlite")).unwrap();
    let row = "INSERT INTO payment VALUES (?1, 'intent', 0, NULL, NULL)";
    assert_eq!(db.execute(row, [hash.as_bytes()]).unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_node_began_the_wallet_is_not_asked_to_pay() {
    let world = World::new().await;
    let own = Arc::new(Till::new());
    let remote =
        over(own.clone(), Path::new("/nowhere"), world.wallet.uri(), world.dir.path()).await;
    for n in [1, 2] {
        world.till.knows(key(n));
    }
    own.began(key(1).hash(), paid(1));
    assert_eq!(remote.pay(&order(key(1), 5_000)).await, Ok(paid(1)));
    own.knows(key(2));
    own.began(key(2).hash(), PaymentState::InFlight);
    assert_eq!(remote.pay(&order(key(2), 5_000)).await, Ok(paid(2)), "the node ends it");
    // An escrow, too, which no remote wallet would take.
    own.knows(key(4));
    own.began(key(4).hash(), PaymentState::InFlight);
    let escrow = PayOrder { tips: Some((1, 10)), ..order(key(4), 5_000) };
    assert_eq!(remote.pay(&escrow).await, Ok(paid(4)));
    assert_eq!((world.asked(), world.till.sends(), own.sends()), (0, 0, 2));

    // Also what failed here and was paid by the node since, without a remote wallet.
    let failed = remote.pay(&order(key(3), 5_000)).await.unwrap();
    assert!(matches!(failed, PaymentState::Failed { .. }), "{failed:?}");
    own.began(key(3).hash(), paid(3));
    assert_eq!(remote.lookup(&key(3).hash()).await, Ok(paid(3)));
    assert_eq!(remote.pay(&order(key(3), 5_000)).await, Ok(paid(3)));
    assert_eq!(world.asked(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_wallet_is_not_asked_while_the_first_may_have_paid() {
    let world = World::new().await;
    world.till.knows(key(1));
    world.wallet.mood().silent.store(true, Ordering::SeqCst);
    world.in_doubt(&order(key(1), 5_000)).await;
    let other = WalletService::start(world.till.clone(), &world.relay.url()).await.unwrap();
    *other.mood().word.lock().unwrap() = Some("failed");
    let remote = connect(other.uri(), world.dir.path()).await;
    let why = later(remote.pay(&order(key(1), 5_000)).await);
    assert!(why.contains("Another remote wallet") && why.contains("wallet.nwc"), "{why}");
    assert_eq!(remote.lookup(&key(1).hash()).await, Ok(PaymentState::InFlight));
    assert_eq!((other.mood().asked_to_pay.load(Ordering::SeqCst), world.till.sends()), (0, 0));
    // A proof is a proof, whoever has it.
    world.till.began(key(1).hash(), paid(1));
    assert_eq!(remote.pay(&order(key(1), 5_000)).await, Ok(paid(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_does_not_pay_what_a_wallet_may_have_paid_and_the_reverse() {
    let world = World::new().await;
    let chain = ChainControl::start(Setup::default().from_env()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("node");
    // The wallet was asked, and then taken out of the configuration.
    world.till.knows(key(1));
    world.till.shut(true);
    world.in_doubt(&order(key(1), 5_000)).await;
    let own = node(&chain, home.clone(), world.dir.path().to_owned()).await;
    let why = later(own.pay(&order(key(1), 5_000)).await);
    assert!(why.contains("may have paid") && why.contains("wallet.nwc"), "{why}");
    assert_eq!(own.lookup(&key(1).hash()).await, Ok(PaymentState::InFlight));
    // What is not in doubt, the node pays by itself: it has no channel.
    let failed = own.pay(&order(key(2), 5_000)).await.unwrap();
    assert!(matches!(failed, PaymentState::Failed { .. }), "{failed:?}");

    // Put back, the wallet is asked what came of it; then the node knows, too.
    world.till.shut(false);
    until("the wallet has paid", || world.till.sends() == 1).await;
    let remote = over(own.clone(), &home, world.wallet.uri(), world.dir.path()).await;
    assert_eq!(remote.pay(&order(key(1), 5_000)).await, Ok(paid(1)));
    assert_eq!(own.lookup(&key(1).hash()).await, Ok(paid(1)));
    assert_eq!(own.pay(&order(key(1), 5_000)).await, Ok(paid(1)));

    // The node was killed before it knew what came of its own payment; then a wallet is configured.
    leave_intent(&home, &key(3).hash());
    world.till.knows(key(3));
    assert_eq!(remote.lookup(&key(3).hash()).await, Ok(PaymentState::InFlight));
    let why = later(remote.pay(&order(key(3), 5_000)).await);
    assert!(why.contains("may still be on its way"), "{why}");
    assert_eq!((world.asked(), world.till.sends()), (1, 1));
    own.stop().await.unwrap();
    chain.stop().await.unwrap();
}

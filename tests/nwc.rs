//! A wallet elsewhere that pays (NIP-47): over a real relay, once, whatever is lost on the way.

#![expect(clippy::unwrap_used, reason = "a test that unwraps wrongly fails")]

#[path = "nwc/switch.rs"]
mod switch;
#[path = "nwc/till.rs"]
mod till;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use earnest::engine::{Fault, Lightning, NodeEvent, PayOrder, PaymentState};
use earnest::lightning::{Remote, WalletUri};
use earnest::market::{Msat, Preimage};
use earnest::sandbox::{Relay, RelayConfig, WalletService};
use till::{Till, order};

const PATIENCE: Duration = Duration::from_secs(40);

/// A relay, a wallet on it, and what it pays from.
struct World {
    till: Arc<Till>,
    wallet: WalletService,
    relay: Relay,
    dir: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let clock = Arc::new(earnest::keys::SystemClock);
        let config = RelayConfig { kinds: Default::default(), ..RelayConfig::new(clock) };
        let relay = Relay::start(config).await.unwrap();
        let till = Arc::new(Till::new());
        let wallet = WalletService::start(till.clone(), &relay.url()).await.unwrap();
        Self { till, wallet, relay, dir: tempfile::tempdir().unwrap() }
    }

    /// Starts to pay through it; again on the same directory is what comes after a crash.
    async fn remote(&self) -> Remote {
        connect(self.wallet.uri(), self.dir.path()).await
    }

    /// Asks it to pay and is killed before it has said anything.
    async fn in_doubt(&self, order: &PayOrder) {
        let (remote, asked) = (self.remote().await, self.asked());
        tokio::select! {
            state = remote.pay(order) => panic!("{state:?}"),
            () = until("the wallet is asked", || self.asked() > asked) => {}
        }
    }

    fn asked(&self) -> usize {
        self.wallet.mood().asked_to_pay.load(Ordering::SeqCst)
    }
}

async fn connect(uri: &str, dir: &Path) -> Remote {
    over(Arc::new(Till::new()), Path::new("/nowhere"), uri, dir).await
}

/// With this node of our own, which lives in `home`.
async fn over(node: Arc<dyn Lightning>, home: &Path, uri: &str, dir: &Path) -> Remote {
    let uri = WalletUri::read(uri).unwrap();
    Remote::start(node, home, uri, dir, earnest::app::now).await.unwrap()
}

/// Waits for something to become true.
async fn until(what: &str, is: impl Fn() -> bool) {
    let waiting = async {
        while !is() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

fn key(n: u8) -> Preimage {
    Preimage::new([n; 32])
}

fn later(state: Result<PaymentState, Fault>) -> String {
    match state {
        Err(Fault::Later(why)) => why,
        other => panic!("{other:?}"),
    }
}

fn paid(n: u8) -> PaymentState {
    PaymentState::Paid { preimage: key(n), fee: Msat::new(7).unwrap() }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_pays_once_and_the_proof_is_the_key() {
    let world = World::new().await;
    let remote = world.remote().await;
    world.till.knows(key(1));
    let status = remote.status().await.unwrap();
    assert_eq!(status.balances.lightning_spendable, Msat::sats(1_000_000).unwrap());
    for _ in 0..2 {
        assert_eq!(remote.pay(&order(key(1), 5_000)).await, Ok(paid(1)));
    }
    assert_eq!(remote.lookup(&key(1).hash()).await, Ok(paid(1)));
    assert_eq!((world.asked(), world.till.sends()), (1, 1));

    // Another invoice for it, or an amount that was not agreed on, is not sent anywhere.
    let mut dearer = order(key(2), 5_000);
    dearer.amount = Msat::sats(6_000).unwrap();
    assert!(matches!(remote.pay(&dearer).await, Err(Fault::Never(_))));
    let mut held = order(key(3), 5_000);
    held.tips = Some((1, 10));
    assert!(matches!(remote.pay(&held).await, Err(Fault::Never(why)) if why.contains("escrow")));
    assert_eq!(world.asked(), 1);

    // The wallet's no is final once it says that nothing is on its way.
    let failed = remote.pay(&order(key(4), 5_000)).await.unwrap();
    assert!(matches!(failed, PaymentState::Failed { .. }), "{failed:?}");
    world.till.knows(key(4));
    assert_eq!(remote.pay(&order(key(4), 5_000)).await, Ok(paid(4)), "and may be tried again");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_lost_is_looked_up_and_nothing_is_asked_twice() {
    let world = World::new().await;
    world.till.knows(key(1));
    world.wallet.mood().loses_answers.store(true, Ordering::SeqCst);
    assert_eq!(world.remote().await.pay(&order(key(1), 5_000)).await, Ok(paid(1)));
    assert_eq!((world.asked(), world.till.sends()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_it_is_looked_up_before_anything_is_asked() {
    let world = World::new().await;
    world.till.knows(key(1));
    world.wallet.mood().loses_answers.store(true, Ordering::SeqCst);
    {
        let remote = world.remote().await;
        let order = order(key(1), 5_000);
        let cut = tokio::time::timeout(Duration::from_secs(3), remote.pay(&order)).await;
        assert!(cut.is_err(), "killed while it waited");
    }
    let remote = world.remote().await;
    assert_eq!(remote.lookup(&key(1).hash()).await, Ok(paid(1)));
    assert_eq!(remote.pay(&order(key(1), 5_000)).await, Ok(paid(1)));
    assert_eq!((world.asked(), world.till.sends()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_wallet_leaves_it_in_doubt_and_is_not_asked_again() {
    let world = World::new().await;
    world.till.knows(key(1));
    world.wallet.mood().silent.store(true, Ordering::SeqCst);
    let why = later(world.remote().await.pay(&order(key(1), 5_000)).await);
    assert!(why.contains("may have paid") && why.contains("never paid twice"), "{why}");
    world.wallet.mood().silent.store(false, Ordering::SeqCst);
    // It may still begin the request that it has not heard of: that ends only with the request.
    let remote = world.remote().await;
    later(remote.pay(&order(key(1), 5_000)).await);
    assert_eq!(remote.lookup(&key(1).hash()).await, Ok(PaymentState::InFlight));
    assert_eq!((world.asked(), world.till.sends()), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_of_something_else_is_a_fault_that_says_so() {
    let world = World::new().await;
    world.till.knows(key(1));
    world.wallet.mood().wrong_proof.store(true, Ordering::SeqCst);
    let remote = world.remote().await;
    for _ in 0..2 {
        let why = later(remote.pay(&order(key(1), 5_000)).await);
        assert!(why.contains("does not belong to this payment"), "{why}");
    }
    assert_eq!((world.asked(), world.till.sends()), (1, 1), "and is not paid again");
    world.wallet.mood().wrong_proof.store(false, Ordering::SeqCst);
    assert_eq!(remote.pay(&order(key(1), 5_000)).await, Ok(paid(1)), "once it tells the truth");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_comes_late_is_told_as_an_event() {
    let world = World::new().await;
    world.till.knows(key(1));
    world.till.takes(Duration::from_secs(2));
    let remote = world.remote().await;
    let order = order(key(1), 5_000);
    let cut = tokio::time::timeout(Duration::from_millis(1_500), remote.pay(&order)).await;
    assert!(cut.is_err(), "nobody waits any more");
    let told = tokio::time::timeout(Duration::from_secs(20), remote.next()).await.unwrap();
    let event =
        NodeEvent::Paid { hash: key(1).hash(), preimage: key(1), fee: Msat::new(7).unwrap() };
    assert_eq!(told, event);
    assert_eq!(remote.next().await, event, "until it is handled");
    remote.handled().await.unwrap();
    assert_eq!(remote.lookup(&key(1).hash()).await, Ok(paid(1)));
    assert_eq!(world.asked(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invoice_that_expired_is_no_payment_that_failed() {
    let world = World::new().await;
    world.till.knows(key(1));
    world.till.shut(true);
    world.in_doubt(&order(key(1), 5_000)).await;
    *world.wallet.mood().word.lock().unwrap() = Some("expired");
    let remote = world.remote().await;
    assert_eq!(remote.lookup(&key(1).hash()).await, Ok(PaymentState::InFlight));
    later(remote.pay(&order(key(1), 5_000)).await);
    world.till.shut(false);
    let proof = tokio::time::timeout(PATIENCE, remote.next()).await.unwrap();
    let fee = Msat::new(7).unwrap();
    assert_eq!(proof, NodeEvent::Paid { hash: key(1).hash(), preimage: key(1), fee });
    assert_eq!((world.asked(), world.till.sends()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_kept_though_the_wallet_said_that_it_failed() {
    let world = World::new().await;
    world.till.knows(key(1));
    world.till.shut(true);
    world.in_doubt(&order(key(1), 5_000)).await;
    *world.wallet.mood().word.lock().unwrap() = Some("failed");
    let remote = world.remote().await;
    let said = remote.lookup(&key(1).hash()).await;
    assert!(matches!(said, Ok(PaymentState::Failed { .. })), "{said:?}");
    world.till.shut(false);
    let proof = tokio::time::timeout(PATIENCE, remote.next()).await.unwrap();
    let fee = Msat::new(7).unwrap();
    assert_eq!(proof, NodeEvent::Paid { hash: key(1).hash(), preimage: key(1), fee });
    remote.handled().await.unwrap();
    assert_eq!(remote.lookup(&key(1).hash()).await, Ok(paid(1)));
    assert_eq!(remote.pay(&order(key(1), 5_000)).await, Ok(paid(1)));
    assert_eq!((world.asked(), world.till.sends()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_relay_nothing_leaves_and_nothing_is_in_doubt() {
    let world = World::new().await;
    let real = world.wallet.uri();
    let (before, rest) = real.split_once("relay=").unwrap();
    let rest = rest.split_once('&').map_or("", |(_, rest)| rest);
    let nowhere = format!("{before}{rest}&relay=ws%3A%2F%2F127.0.0.1%3A1");
    let remote = connect(&nowhere, world.dir.path()).await;
    let why = later(remote.pay(&order(key(1), 5_000)).await);
    assert!(why.contains("Nothing was asked of it, and nothing was paid"), "{why}");
    drop(remote);
    // With the right address it is paid at once: no request is anywhere that could be begun.
    world.till.knows(key(1));
    assert_eq!(world.remote().await.pay(&order(key(1), 5_000)).await, Ok(paid(1)));
}

#[test]
fn its_secret_is_shown_to_nobody() {
    let key = "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";
    let secret = "11".repeat(32);
    let text =
        format!("nostr+walletconnect://{key}?relay=ws%3A%2F%2F127.0.0.1%3A1&secret={secret}");
    let uri = WalletUri::read(&text).unwrap();
    assert!(!format!("{uri:?}").contains("11"), "{uri:?}");
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("config.toml"), format!("[wallet]\nnwc = \"{text}\"\n"))
        .unwrap();
    let run = |args: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_earnest"));
        command.args(args).arg("--data-dir").arg(dir.path()).env_clear().env("HOME", dir.path());
        let ended = command.output().unwrap();
        let said = [ended.stdout, ended.stderr].concat();
        String::from_utf8(said).unwrap()
    };
    let shown = run(&["config"]);
    assert!(shown.contains("wallet.nwc") && shown.contains("***"), "{shown}");
    for args in [&["config", "--json"][..], &["doctor"], &["gigs", "--offline"]] {
        assert!(!run(args).contains(&secret), "{args:?}");
    }
    let flag = run(&["config", "--set", &format!("wallet.nwc={text}")]);
    assert!(flag.contains("is a secret") && !flag.contains(&secret), "{flag}");
    std::fs::write(dir.path().join("config.toml"), format!("[wallet]\nnwc = \"nwc:{secret}\"\n"))
        .unwrap();
    let wrong = run(&["config"]);
    assert!(wrong.contains("wallet.nwc") && !wrong.contains(&secret), "{wrong}");
    if let Ok(log) = std::fs::read_to_string(dir.path().join("earnest.log")) {
        assert!(!log.contains(&secret));
    }
}

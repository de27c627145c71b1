//! The wallet by hand, on real nodes: receiving, paying once, coins, channels, and what is promised.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bitcoin::hashes::{Hash as _, sha256};
use bitcoin::secp256k1::{Secp256k1, SecretKey};
use earnest::engine::*;
use earnest::market::Msat;
use earnest::sandbox::world::{Party, World, WorldSetup};
use ldk_node::lightning_invoice::{Currency, InvoiceBuilder, PaymentSecret};
use tokio::sync::{Mutex, broadcast, watch};

const PATIENCE: Duration = Duration::from_secs(60);

fn sats(n: u64) -> Msat {
    Msat::sats(n).unwrap()
}

/// Waits for something to become true; fails after [`PATIENCE`].
async fn until<F: Future<Output = bool>>(what: &str, mut ask: impl FnMut() -> F) {
    let asked = async {
        while !ask().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_| panic!("never: {what}"));
}

async fn ask(party: &Party, command: WalletCommand) -> Result<WalletAnswer, Trouble> {
    party.app.handle().wallet(command).await
}

fn quoting(to: &str, amount: Option<Msat>) -> WalletCommand {
    WalletCommand::Quote { to: to.to_owned(), amount, max_fee: None }
}

async fn quote(party: &Party, to: &str, amount: Option<Msat>) -> PayQuote {
    match ask(party, quoting(to, amount)).await {
        Ok(WalletAnswer::Quote(quote)) => quote,
        other => panic!("expected a quote, got {other:?}"),
    }
}

async fn pay(party: &Party, to: &str, amount: Option<Msat>) -> Result<HandPayment, Trouble> {
    let to = to.to_owned();
    match ask(party, WalletCommand::Pay { to, amount, max_fee: sats(100) }).await? {
        WalletAnswer::Payment(payment) => Ok(payment),
        other => panic!("expected a payment, got {other:?}"),
    }
}

async fn receive(party: &Party, amount: Option<Msat>, what: &str) -> (String, Msat) {
    let description = what.to_owned();
    match ask(party, WalletCommand::Receive { amount, description }).await {
        Ok(WalletAnswer::Invoice { invoice, lsp_fee }) => (invoice, lsp_fee),
        other => panic!("expected an invoice, got {other:?}"),
    }
}

async fn balances(party: &Party) -> Balances {
    match ask(party, WalletCommand::Balance).await {
        Ok(WalletAnswer::Balance(node)) => node.balances,
        other => panic!("expected a balance, got {other:?}"),
    }
}

async fn history(party: &Party) -> Vec<Movement> {
    match ask(party, WalletCommand::History).await {
        Ok(WalletAnswer::History(all)) => all,
        other => panic!("expected a history, got {other:?}"),
    }
}

/// What the history says came in, less what it says went out, in msat.
async fn booked(party: &Party, is: impl Fn(&Movement) -> bool) -> i128 {
    let all = history(party).await;
    let done = all.iter().filter(|m| is(m) && m.state != "failed");
    done.map(|m| {
        // An invoice that nobody paid has moved nothing.
        let open = m.state == "pending" && m.kind != "onchain";
        let amount = if open { 0 } else { i128::from(m.amount.unwrap_or_default().get()) };
        match m.direction {
            Direction::In => amount,
            Direction::Out => -amount - i128::from(m.fee.get()),
        }
    })
    .sum()
}

fn refused(answer: Result<impl std::fmt::Debug, Trouble>) -> (String, String) {
    match answer {
        Err(Trouble::Refused(refusal)) => (refusal.code, refusal.sentence),
        Err(trouble) => ("fault".to_owned(), trouble.to_string()),
        Ok(answer) => panic!("expected a refusal, got {answer:?}"),
    }
}

/// An invoice that nobody stands behind.
fn invoice_of(currency: Currency, msat: u64, made_at: u64) -> String {
    let key = SecretKey::from_slice(&[77; 32]).unwrap();
    let invoice = InvoiceBuilder::new(currency)
        .description("old".to_owned())
        .payment_hash(sha256::Hash::hash(&[77; 32]))
        .payment_secret(PaymentSecret([9; 32]))
        .duration_since_epoch(Duration::from_secs(made_at))
        .min_final_cltv_expiry_delta(80)
        .amount_milli_satoshis(msat)
        .build_signed(|hash| Secp256k1::new().sign_ecdsa_recoverable(hash, &key));
    invoice.unwrap().to_string()
}

async fn world_of_two() -> (World, Party, Party) {
    let mut world = World::start(WorldSetup::default()).await.unwrap();
    let requester = world.party("requester", None, |ports| ports).await.unwrap();
    let worker = world.party("worker", None, |ports| ports).await.unwrap();
    world.open_channel(&requester, 500_000).await.unwrap();
    until("the LSP's terms are known", || async {
        worker.app.handle().watch().borrow().node.as_ref().is_some_and(|n| n.least_first.is_some())
    })
    .await;
    (world, requester, worker)
}

async fn end(world: World, parties: [Party; 2]) {
    for party in parties {
        party.app.stop().await.unwrap();
    }
    world.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invoices_are_paid_once_and_the_history_adds_up() {
    let (world, requester, worker) = world_of_two().await;

    // Nothing yet, so a channel opens with the first payment; for an unknown amount it cannot.
    let nothing = WalletCommand::Receive { amount: None, description: String::new() };
    assert!(refused(ask(&worker, nothing).await).1.contains("say how much"));
    let (invoice, lsp_fee) = receive(&worker, Some(sats(20_000)), "for\u{202e} cats").await;
    assert_eq!(lsp_fee, sats(200));

    let quoted = quote(&requester, &format!("LIGHTNING:{invoice}"), None).await;
    assert_eq!((quoted.kind, quoted.amount), (PayKind::Bolt11, sats(20_000)));
    assert_eq!(quoted.max_fee, sats(200), "one percent");
    assert_eq!(quoted.payee, Some(worker.app.node().node().to_string()));
    assert_eq!(quoted.description.unwrap().as_str(), "for cats", "cleaned");
    assert_eq!(quoted.earlier, None);
    let before = balances(&requester).await.lightning_total;

    // Refused for the amount, its own, and not anything at all: nothing leaves.
    for (party, to, amount, why) in [
        (&requester, &*invoice, Some(sats(19_999)), "asks for 20,000 sat"),
        (&worker, &*invoice, None, "our own"),
        (&requester, "hello", None, "not a Lightning invoice"),
        (&requester, &*invoice.replace("lnbcrt", "lnbc"), None, "not a valid Lightning invoice"),
        (&requester, &*invoice_of(Currency::Regtest, 1_000, 1_700_000_000), None, "expired"),
        (&requester, &*invoice_of(Currency::Bitcoin, 1_000, 1_900_000_000), None, "for Bitcoin"),
        (&requester, &*format!("bitcoin:?amount=0.1&lightning={invoice}"), None, "asks for"),
    ] {
        for answer in
            [refused(ask(party, quoting(to, amount)).await), refused(pay(party, to, amount).await)]
        {
            assert!(answer.1.contains(why), "{answer:?}");
            let safe = answer.1.contains("No money moved") || answer.1.contains("Nothing was paid");
            assert!(safe, "{answer:?}");
        }
    }
    assert_eq!(balances(&requester).await.lightning_total, before);

    // Paid, and paid again: once.
    let paid = pay(&requester, &invoice, None).await.unwrap();
    assert_eq!(paid, HandPayment::Paid { fee: Msat::ZERO });
    world.still(&[&requester, &worker]).await.unwrap();
    let after = balances(&requester).await.lightning_total;
    assert_eq!(before.checked_sub(after), Some(sats(20_000)));
    assert_eq!(balances(&worker).await.lightning_total, sats(19_800));
    assert_eq!(quote(&requester, &invoice, None).await.earlier, Some(paid.clone()));
    let (one, two) = tokio::join!(pay(&requester, &invoice, None), pay(&requester, &invoice, None));
    assert_eq!((one.unwrap(), two.unwrap()), (paid.clone(), paid));
    assert_eq!(balances(&requester).await.lightning_total, after);

    // Over the channel that is there, for an amount that the payer names; twice at the same moment.
    let (open, lsp_fee) = receive(&worker, None, "a tip").await;
    assert_eq!(lsp_fee, Msat::ZERO);
    assert!(refused(ask(&requester, quoting(&open, None)).await).1.contains("say how much"));
    let amount = Msat::new(3_000_001);
    let (one, two) = tokio::join!(pay(&requester, &open, amount), pay(&requester, &open, amount));
    for paid in [one, two] {
        assert!(matches!(paid, Ok(HandPayment::Paid { .. } | HandPayment::InFlight)), "{paid:?}");
    }
    until("it is paid", || async { quote(&requester, &open, amount).await.earlier.is_some() })
        .await;
    world.still(&[&requester, &worker]).await.unwrap();

    // More than there is, and more than routes may cost.
    let (dear, _) = receive(&worker, Some(sats(900_000)), "dear").await;
    let (code, said) = refused(ask(&requester, quoting(&dear, None)).await);
    assert_eq!(code, "no-funds", "{said}");

    // What the history says is what there is.
    let lightning = |m: &Movement| m.kind != "onchain";
    assert_eq!(booked(&worker, lightning).await, i128::from(19_800_000 + 3_000_001));
    assert_eq!(
        booked(&worker, lightning).await,
        i128::from(balances(&worker).await.lightning_total.get())
    );
    let mine = 500_000_000 + booked(&requester, lightning).await;
    assert_eq!(mine, i128::from(balances(&requester).await.lightning_total.get()));
    let mut all = history(&worker).await.into_iter();
    let first = all.find(|m| m.kind == "jit" && m.state == "done").unwrap();
    assert_eq!((first.amount, first.fee), (Some(sats(19_800)), sats(200)));
    assert_eq!(first.direction, Direction::In);
    end(world, [requester, worker]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn coins_go_out_and_channels_open_and_close() {
    let (mut world, requester, worker) = world_of_two().await;
    let WalletAnswer::Address(home) = ask(&worker, WalletCommand::NewAddress).await.unwrap() else {
        panic!("expected an address")
    };
    // By a URI, by the bare address, and by the verb for it.
    let uri = format!("bitcoin:{home}?amount=0.0001&label=a%20tip");
    let quoted = quote(&requester, &uri, None).await;
    assert_eq!((quoted.kind, quoted.amount), (PayKind::Onchain, sats(10_000)));
    assert_eq!(quoted.payee.as_deref(), Some(&*home));
    let main = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4";
    for (to, amount, why) in [
        (main, Some(sats(1_000)), "not an address on Regtest"),
        (&*home, None, "say how much"),
        (&*home, Msat::new(1_500_500), "whole satoshis"),
        (&*uri, Some(sats(1)), "asks for 10,000 sat"),
    ] {
        let said = refused(ask(&requester, quoting(to, amount)).await).1;
        assert!(said.contains(why) && said.contains("No money moved"), "{said}");
    }
    let (code, said) = refused(ask(&requester, quoting(&home, Some(sats(10_000_000)))).await);
    assert_eq!(code, "no-funds", "{said}");
    world.fund(&home, 200_000).await.unwrap();
    world.mine(1, &[&requester, &worker]).await.unwrap();
    let before = balances(&worker).await.onchain_total;
    let to = WalletCommand::Pay { to: uri, amount: None, max_fee: Msat::ZERO };
    assert!(matches!(ask(&requester, to).await, Ok(WalletAnswer::Sent { .. })));
    let send = WalletCommand::SendOnchain { address: home.clone(), sats: 5_000 };
    let Ok(WalletAnswer::Sent { txid }) = ask(&requester, send).await else {
        panic!("expected a transaction")
    };
    world.mine(6, &[&requester, &worker]).await.unwrap();
    until("the coins arrive", || async {
        balances(&worker).await.onchain_total == before.checked_add(sats(15_000)).unwrap()
    })
    .await;
    assert!(history(&requester).await.iter().any(|m| m.id == txid && m.state == "done"));
    for party in [&requester, &worker] {
        let onchain = |m: &Movement| m.kind == "onchain";
        let has = i128::from(balances(party).await.onchain_total.get());
        assert_eq!(booked(party, onchain).await, has, "{}", party.name);
    }

    // A channel of the worker's own, opened by hand, used, and closed again.
    let open = |peer: &str, sats| WalletCommand::OpenChannel { peer: peer.to_owned(), sats };
    let lsp = world.lsp().peer().to_string();
    let said = refused(ask(&worker, open("nobody", 100_000)).await).1;
    assert!(said.contains("id@host:port") && said.contains("No money moved"), "{said}");
    let said = refused(ask(&worker, open(&lsp, 10_000_000)).await).1;
    assert!(said.contains("not enough confirmed coins"), "{said}");
    let Ok(WalletAnswer::Opened { id }) = ask(&worker, open(&lsp, 100_000)).await else {
        panic!("expected a channel")
    };
    until("the funding transaction waits", || async {
        !world.chain().client().waiting().await.unwrap().is_empty()
    })
    .await;
    world.mine(6, &[&requester, &worker]).await.unwrap();
    let channels = || async {
        match ask(&worker, WalletCommand::Channels).await {
            Ok(WalletAnswer::Channels(channels)) => channels,
            other => panic!("expected channels, got {other:?}"),
        }
    };
    until("the channel is open", || async { channels().await.iter().all(|c| c.usable) }).await;
    let [channel] = &channels().await[..] else { panic!("expected one channel") };
    assert_eq!((&channel.id, channel.size, channel.ours), (&id, sats(100_000), true));
    // The requester's own channel can take nothing yet, so the LSP opens another.
    let (invoice, lsp_fee) = receive(&requester, Some(sats(10_000)), "back").await;
    assert_eq!(lsp_fee, sats(100));
    assert!(matches!(pay(&worker, &invoice, None).await, Ok(HandPayment::Paid { .. })));
    world.still(&[&requester, &worker]).await.unwrap();
    until("that channel's funding waits", || async {
        !world.chain().client().waiting().await.unwrap().is_empty()
    })
    .await;
    world.mine(1, &[&requester, &worker]).await.unwrap();

    let close = |id: &str| WalletCommand::CloseChannel { id: id.to_owned(), force: false };
    assert!(refused(ask(&worker, close("0")).await).1.contains("Nothing was closed"));
    assert_eq!(ask(&worker, close(&id)).await, Ok(WalletAnswer::Closing));
    until("the closing transaction waits", || async {
        !world.chain().client().waiting().await.unwrap().is_empty()
    })
    .await;
    world.mine(6, &[&requester, &worker]).await.unwrap();
    until("all is home", || async {
        let has = balances(&worker).await;
        has.closing == Msat::ZERO
            && has.lightning_total == Msat::ZERO
            && channels().await.is_empty()
    })
    .await;
    let all = booked(&worker, |m| m.kind == "onchain").await;
    assert_eq!(all, i128::from(balances(&worker).await.onchain_total.get()));
    end(world, [requester, worker]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_promised_to_workers_stays() {
    let (world, requester, worker) = world_of_two().await;
    let node = requester.app.node();
    let (invoice, _) = receive(&worker, Some(sats(20_000)), "").await;
    let has = balances(&requester).await;
    let can = has.lightning_spendable;
    // The dearest route is taken into account, to the satoshi.
    let costs = sats(20_100);
    let just = can.checked_sub(costs).unwrap();
    let over = just.checked_add(Msat::new(1).unwrap()).unwrap();
    let pay = WalletCommand::Pay { to: invoice.clone(), amount: None, max_fee: sats(100) };
    let ask = WalletCommand::Quote { to: invoice, amount: None, max_fee: Some(sats(100)) };
    for command in [&ask, &pay] {
        let (code, said) = refused(node.wallet(command, over).await);
        assert_eq!(code, "promised");
        assert!(said.contains("promised") && said.ends_with("No money moved."), "{said}");
    }
    assert_eq!(balances(&requester).await, has);
    assert!(node.wallet(&ask, just).await.is_ok());

    // Coins count once Lightning cannot cover it, and a channel that is needed stays open.
    let WalletAnswer::Address(home) = self::ask(&worker, WalletCommand::NewAddress).await.unwrap()
    else {
        panic!("expected an address")
    };
    let send = WalletCommand::SendOnchain { address: home, sats: 10_000 };
    let both = can.checked_add(has.onchain_spendable).unwrap();
    assert_eq!(refused(node.wallet(&send, both).await).0, "promised");
    let Ok(WalletAnswer::Channels(channels)) = node.wallet(&WalletCommand::Channels, both).await
    else {
        panic!("expected channels")
    };
    for force in [false, true] {
        let close = WalletCommand::CloseChannel { id: channels[0].id.clone(), force };
        assert_eq!(refused(node.wallet(&close, sats(1)).await).0, "promised");
    }
    assert_eq!(balances(&requester).await, has);

    // What is paid already may be asked for again, whatever is promised meanwhile.
    let paid = node.wallet(&pay, just).await.unwrap();
    assert_eq!(paid, WalletAnswer::Payment(HandPayment::Paid { fee: Msat::ZERO }));
    assert_eq!(node.wallet(&pay, can).await.unwrap(), paid);
    assert_eq!(refused(node.wallet(&send, both).await).0, "promised");
    assert!(matches!(node.wallet(&send, Msat::ZERO).await, Ok(WalletAnswer::Sent { .. })));
    end(world, [requester, worker]).await;
}

/// A payee that makes offers: a bare node with a channel from the LSP.
struct Offering(Arc<ldk_node::Node>);

impl Offering {
    async fn start(world: &World) -> Self {
        let at = world.chain().endpoint().clone();
        let dir = world.dir().join("offering");
        let peer = world.lsp().peer().clone();
        let made = tokio::task::spawn_blocking(move || {
            let key = bitcoin::secp256k1::PublicKey::from_slice(peer.id.as_bytes()).unwrap();
            let mut config = ldk_node::config::Config {
                network: bitcoin::Network::Regtest,
                storage_dir_path: dir.to_str().unwrap().to_owned(),
                ..Default::default()
            };
            config.trusted_peers_0conf.push(key);
            config.anchor_channels_config.as_mut().unwrap().per_channel_reserve_sats = 0;
            let mut builder = ldk_node::Builder::from_config(config);
            builder.set_entropy_seed_bytes([9; 64]);
            builder.set_chain_source_bitcoind_rpc(at.host, at.port, at.user, at.password);
            builder.set_liquidity_source_lsps2(key, peer.address.parse().unwrap(), None);
            let node = builder.build().unwrap();
            node.start().unwrap();
            node.connect(key, peer.address.parse().unwrap(), true).unwrap();
            node
        });
        Self(Arc::new(made.await.unwrap()))
    }

    async fn call<T: Send + 'static>(
        &self,
        run: impl FnOnce(&ldk_node::Node) -> T + Send + 'static,
    ) -> T {
        let node = self.0.clone();
        tokio::task::spawn_blocking(move || run(&node)).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offer_is_paid_each_time() {
    use ldk_node::lightning_invoice::{Bolt11InvoiceDescription, Description};
    let (world, requester, worker) = world_of_two().await;
    let payee = Offering::start(&world).await;
    let invoice = payee.call(|node| {
        let what = Bolt11InvoiceDescription::Direct(Description::new("x".to_owned()).unwrap());
        let made = node.bolt11_payment().receive_via_jit_channel(50_000_000, &what, 3600, None);
        made.unwrap().to_string()
    });
    let invoice = invoice.await;
    assert!(matches!(pay(&requester, &invoice, None).await, Ok(HandPayment::Paid { .. })));
    world.still(&[&requester]).await.unwrap();
    let offer = payee.call(|node| {
        let offers = node.bolt12_payment();
        until_some(|| offers.receive(5_000_000, "socks", None, None).ok()).to_string()
    });
    let offer = offer.await;

    let quoted = quote(&requester, &offer, None).await;
    assert_eq!((quoted.kind, quoted.amount), (PayKind::Bolt12, sats(5_000)));
    assert_eq!(quoted.description.unwrap().as_str(), "socks");
    assert!(refused(pay(&requester, &offer, Some(sats(1))).await).1.contains("asks for"));
    assert!(refused(pay(&requester, "lno1qqqq", None).await).1.contains("not a valid offer"));
    let before = balances(&requester).await.lightning_total;
    // An offer is no invoice: each time is another payment.
    for _ in 0..2 {
        let paid = pay(&requester, &format!("bitcoin:?lno={offer}"), None).await.unwrap();
        assert!(matches!(paid, HandPayment::Paid { .. }), "{paid:?}");
    }
    world.still(&[&requester]).await.unwrap();
    let after = balances(&requester).await.lightning_total;
    let fees: Msat =
        history(&requester).await.iter().filter(|m| m.kind == "bolt12").map(|m| m.fee).sum();
    assert_eq!(before.checked_sub(after), sats(10_000).checked_add(fees));
    payee.call(|node| node.stop().unwrap()).await;
    end(world, [requester, worker]).await;
}

/// Tries again until there is something: of a channel that has just opened, its node knows little.
fn until_some<T>(mut make: impl FnMut() -> Option<T>) -> T {
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(made) = make() {
            return made;
        }
        assert!(tokio::time::Instant::now() < end, "never made");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// An engine that has promised something, and says nothing else.
struct Promising(watch::Receiver<Arc<Snapshot>>, broadcast::Sender<Notice>);

#[async_trait]
impl Line for Promising {
    async fn call(&self, _: Call) -> Result<Answer, Trouble> {
        Err(Fault::Never("Not asked.".into()).into())
    }
    fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.0.clone()
    }
    fn notices(&self) -> broadcast::Receiver<Notice> {
        self.1.subscribe()
    }
}

/// A wallet that remembers what it was told to keep.
struct Keeping(Mutex<Vec<Msat>>);

#[async_trait]
impl Wallet for Keeping {
    async fn wallet(&self, _: &WalletCommand, promised: Msat) -> Result<WalletAnswer, Trouble> {
        self.0.lock().await.push(promised);
        Ok(WalletAnswer::Closing)
    }
}

#[tokio::test]
async fn the_wallet_is_told_what_the_engine_has_promised() {
    let (shown, watch) = watch::channel(Arc::new(Snapshot::default()));
    let wallet = Arc::new(Keeping(Mutex::default()));
    let line = Arc::new(Promising(watch, broadcast::channel(1).0));
    let handle = Handle::new(line).with_wallet(wallet.clone());
    handle.wallet(WalletCommand::Balance).await.unwrap();
    shown.send_replace(Arc::new(Snapshot { reserved: sats(7), ..Snapshot::default() }));
    handle.wallet(WalletCommand::Balance).await.unwrap();
    assert_eq!(*wallet.0.lock().await, [Msat::ZERO, sats(7)]);
}

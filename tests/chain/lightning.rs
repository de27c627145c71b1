//! Lightning nodes on the chain: scripts, anchors and locks as they are really used.

use std::time::Duration;

use bitcoin::{Address, OutPoint};
use earnest::sandbox::{ChainControl, Endpoint};
use ldk_node::lightning_invoice::{Bolt11InvoiceDescription, Description};
use ldk_node::{Builder, Event, Node, PendingSweepBalance, UserChannelId};

use crate::chain;
use crate::wallet::SATS;

struct Party {
    node: Node,
    _dir: tempfile::TempDir,
}

fn party(n: u8, at: &Endpoint) -> Party {
    let dir = tempfile::tempdir().unwrap();
    let port = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap().port()
    };
    let config = ldk_node::config::Config {
        network: bitcoin::Network::Regtest,
        storage_dir_path: dir.path().to_str().unwrap().to_owned(),
        listening_addresses: Some(vec![format!("127.0.0.1:{port}").parse().unwrap()]),
        ..Default::default()
    };
    let mut builder = Builder::from_config(config);
    builder.set_entropy_seed_bytes([n; 64]);
    builder.set_chain_source_bitcoind_rpc(
        at.host.clone(),
        at.port,
        at.user.clone(),
        at.password.clone(),
    );
    let node = builder.build().unwrap();
    node.start().unwrap();
    Party { node, _dir: dir }
}

impl Party {
    fn sync(&self) {
        tokio::task::block_in_place(|| self.node.sync_wallets().unwrap());
    }

    fn onchain(&self) -> u64 {
        self.node.list_balances().total_onchain_balance_sats
    }

    async fn event(&self, want: &str) -> Event {
        loop {
            let event = tokio::time::timeout(Duration::from_secs(60), self.node.next_event_async())
                .await
                .unwrap_or_else(|_| panic!("no {want} in a minute"));
            self.node.event_handled().unwrap();
            if format!("{event:?}").starts_with(want) {
                return event;
            }
        }
    }

    /// Nothing of this party is in a channel or on its way out of one.
    fn settled(&self) -> bool {
        let b = self.node.list_balances();
        let swept = |s: &PendingSweepBalance| {
            matches!(s, PendingSweepBalance::AwaitingThresholdConfirmations { .. })
        };
        b.lightning_balances.is_empty()
            && b.pending_balances_from_channel_closures.iter().all(swept)
    }
}

/// Polls until `done`, a minute at most; no step depends on how long it took.
async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while !done().await {
        assert!(tokio::time::Instant::now() < deadline, "not within a minute: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn mine(control: &ChainControl, count: u32, parties: &[&Party]) {
    control.mine(count).await.unwrap();
    parties.iter().for_each(|p| p.sync());
}

async fn something_waits(control: &ChainControl, what: &str) {
    until(what, async || !control.client().waiting().await.unwrap().is_empty()).await;
}

async fn open(control: &ChainControl, a: &Party, b: &Party) -> (UserChannelId, OutPoint) {
    let address = b.node.listening_addresses().unwrap()[0].clone();
    let (id, push) = (b.node.node_id(), Some(100_000_000));
    let channel = tokio::task::block_in_place(|| {
        a.node.open_channel(id, address, 500_000, push, None).unwrap()
    });
    let Event::ChannelPending { funding_txo, .. } = a.event("ChannelPending").await else {
        unreachable!()
    };
    until("the funding waits", async || {
        control.client().waiting().await.unwrap().contains(&funding_txo.txid)
    })
    .await;
    mine(control, 6, &[a, b]).await;
    a.event("ChannelReady").await;
    b.event("ChannelReady").await;
    (channel, funding_txo)
}

async fn pay(from: &Party, to: &Party, msat: u64) {
    let text = Bolt11InvoiceDescription::Direct(Description::new("labels".into()).unwrap());
    let invoice = to.node.bolt11_payment().receive(msat, &text, 3_600).unwrap();
    from.node.bolt11_payment().send(&invoice, None).unwrap();
    from.event("PaymentSuccessful").await;
    to.event("PaymentReceived").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn lightning_nodes_open_pay_and_close_in_both_ways_and_every_satoshi_is_accounted_for() {
    let control = chain().await;
    let (a, b) = (party(1, control.endpoint()), party(2, control.endpoint()));
    let both = [&a, &b];
    let addresses = both.map(|p| {
        let address = p.node.onchain_payment().new_address().unwrap().to_string();
        address.parse::<Address<_>>().unwrap().assume_checked()
    });
    let start = control.height().await.unwrap();
    let payments = [(addresses[0].clone(), SATS(2_000_000)), (addresses[1].clone(), SATS(200_000))];
    let gift = control.fund_all(&payments).await.unwrap();
    mine(&control, 1, &both).await;
    assert_eq!((a.onchain(), b.onchain()), (2_000_000, 200_000));
    let gift_fee = control.fee_of(&gift).await.unwrap().to_sat();
    // What the two hold, plus what they paid to miners, is what they were given.
    let check = async |stage: &str, left: u64| {
        let held = a.onchain() + b.onchain();
        let fees = control.total_fees_msat(start).await.unwrap() / 1_000 - gift_fee;
        assert_eq!(held + fees + left, 2_200_000, "{stage}: {held} held, {fees} fees, {left} left");
    };
    check("funded", 0).await;

    let (channel, _) = open(&control, &a, &b).await;
    pay(&a, &b, 50_000_000).await;
    tokio::task::block_in_place(|| a.node.close_channel(&channel, b.node.node_id()).unwrap());
    a.event("ChannelClosed").await;
    b.event("ChannelClosed").await;
    something_waits(&control, "the closing transaction waits").await;
    mine(&control, 6, &both).await;
    until("the close is settled", async || {
        both.iter().for_each(|p| p.sync());
        both.iter().all(|p| p.settled())
    })
    .await;
    assert_eq!(b.onchain(), 350_000, "the push and the payment, on chain");
    check("closed together", 0).await;

    let (channel, funding) = open(&control, &a, &b).await;
    pay(&b, &a, 20_000_000).await;
    let closed_at = control.height().await.unwrap();
    tokio::task::block_in_place(|| {
        a.node.force_close_channel(&channel, b.node.node_id(), None).unwrap();
    });
    a.event("ChannelClosed").await;
    b.event("ChannelClosed").await;
    something_waits(&control, "the commitment waits").await;
    mine(&control, 7, &both).await;
    assert!(!a.settled(), "the closer's own coins are locked (CSV)");
    let mut rounds = 0;
    while !both.iter().all(|p| p.settled()) {
        rounds += 1;
        assert!(rounds < 400, "{:?} {:?}", a.node.list_balances(), b.node.list_balances());
        mine(&control, 1, &both).await;
        tokio::time::sleep(Duration::from_millis(20)).await; // the sweep is broadcast by a task
    }
    let waited = control.height().await.unwrap() - closed_at;
    assert!(waited > 100, "the closer waited {waited} blocks");
    until("the sweeps are confirmed", async || {
        mine(&control, 1, &both).await;
        control.client().waiting().await.unwrap().is_empty()
    })
    .await;
    // Two anchors of 330 sats (BOLT 3) that nobody needed stay in the commitment, and nothing else.
    let commitment = control.spender_of(&funding).await.unwrap().unwrap();
    let left = control.unspent_of(&commitment).await.unwrap();
    assert_eq!(left.iter().map(|(_, o)| o.value.to_sat()).collect::<Vec<_>>(), [330, 330]);
    check("closed by force", 660).await;
    for p in both {
        tokio::task::block_in_place(|| p.node.stop().unwrap());
    }
}

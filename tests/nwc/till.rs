//! What a wallet service pays from: a node that knows some preimages, counts, and takes its time.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use earnest::engine::{
    Balances, BillOrder, Billed, Fault, Lightning, NodeEvent, NodeStatus, PayOrder, PaymentState,
};
use earnest::market::{Holding, Msat, NodeId, PaymentHash, Preimage};
use ldk_node::bitcoin::hashes::{Hash as _, sha256};
use ldk_node::bitcoin::secp256k1::{SECP256K1, SecretKey};
use ldk_node::lightning_invoice::{Currency, InvoiceBuilder, PaymentSecret};
use tokio::sync::watch;

pub(crate) struct Till {
    knows: Mutex<BTreeMap<PaymentHash, Preimage>>,
    paid: Mutex<BTreeMap<PaymentHash, PaymentState>>,
    sends: AtomicUsize,
    takes: AtomicU64,
    shut: watch::Sender<bool>,
}

impl Till {
    pub(crate) fn new() -> Self {
        Self {
            knows: Mutex::default(),
            paid: Mutex::default(),
            sends: AtomicUsize::new(0),
            takes: AtomicU64::new(0),
            shut: watch::Sender::new(false),
        }
    }

    /// Can pay for this from now on.
    pub(crate) fn knows(&self, key: Preimage) {
        self.knows.lock().unwrap().insert(key.hash(), key);
    }

    /// How long a payment takes.
    pub(crate) fn takes(&self, span: Duration) {
        self.takes.store(span.as_millis() as u64, Ordering::SeqCst);
    }

    /// What it begins to pay waits until it is open again.
    pub(crate) fn shut(&self, shut: bool) {
        self.shut.send_replace(shut);
    }

    /// Has this on its way, or has paid it, already.
    pub(crate) fn began(&self, hash: PaymentHash, state: PaymentState) {
        self.paid.lock().unwrap().insert(hash, state);
    }

    /// How often money left.
    pub(crate) fn sends(&self) -> usize {
        self.sends.load(Ordering::SeqCst)
    }
}

/// An order over an invoice of somebody else's for the hash of this key.
pub(crate) fn order(key: Preimage, sats: u64) -> PayOrder {
    let amount = Msat::sats(sats).unwrap();
    let now = earnest::app::now().0;
    let secret = SecretKey::from_slice(&[9; 32]).unwrap();
    let invoice = InvoiceBuilder::new(Currency::Regtest)
        .description("work".into())
        .payment_hash(sha256::Hash::from_byte_array(key.hash().0))
        .payment_secret(PaymentSecret([8; 32]))
        .duration_since_epoch(Duration::from_secs(now))
        .expiry_time(Duration::from_secs(3_600))
        .min_final_cltv_expiry_delta(42)
        .amount_milli_satoshis(amount.get())
        .build_signed(|hash| SECP256K1.sign_ecdsa_recoverable(hash, &secret))
        .unwrap();
    let max_fee = Msat::sats(50).unwrap();
    PayOrder { invoice: invoice.to_string(), hash: key.hash(), amount, max_fee, tips: None }
}

#[async_trait]
impl Lightning for Till {
    fn node(&self) -> NodeId {
        NodeId([2; 33])
    }
    async fn status(&self) -> Result<NodeStatus, Fault> {
        Ok(NodeStatus {
            node: self.node(),
            running: true,
            height: 1,
            balances: Balances {
                lightning_spendable: Msat::sats(1_000_000).unwrap(),
                ..Balances::default()
            },
            channels_usable: 1,
            channels: 1,
            least_first: None,
            trouble: None,
        })
    }
    async fn pay(&self, order: &PayOrder) -> Result<PaymentState, Fault> {
        let known = self.knows.lock().unwrap().get(&order.hash).copied();
        let Some(preimage) = known else {
            let failed = PaymentState::Failed { reason: "no route".into() };
            self.paid.lock().unwrap().insert(order.hash, failed.clone());
            return Ok(failed);
        };
        tokio::time::sleep(Duration::from_millis(self.takes.load(Ordering::SeqCst))).await;
        self.shut.subscribe().wait_for(|shut| !shut).await.unwrap();
        self.sends.fetch_add(1, Ordering::SeqCst);
        let paid = PaymentState::Paid { preimage, fee: Msat::new(7).unwrap() };
        self.paid.lock().unwrap().insert(order.hash, paid.clone());
        Ok(paid)
    }
    async fn lookup(&self, hash: &PaymentHash) -> Result<PaymentState, Fault> {
        Ok(self.paid.lock().unwrap().get(hash).cloned().unwrap_or(PaymentState::Unknown))
    }
    async fn bill(&self, _: &BillOrder) -> Result<Billed, Fault> {
        Err(Fault::Never("not here".into()))
    }
    async fn claim(&self, _: &PaymentHash, _: Msat, _: &Preimage) -> Result<(), Fault> {
        Err(Fault::Never("not here".into()))
    }
    async fn fail(&self, _: &PaymentHash) -> Result<(), Fault> {
        Err(Fault::Never("not here".into()))
    }
    async fn holding(&self, _: &PaymentHash) -> Result<Option<Holding>, Fault> {
        Ok(None)
    }
    async fn next(&self) -> NodeEvent {
        std::future::pending().await
    }
    async fn handled(&self) -> Result<(), Fault> {
        Ok(())
    }
}

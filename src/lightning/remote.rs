//! A wallet elsewhere that pays (NIP-47): for whoever's volume outgrows the embedded node, which goes on to
//! receive and to hold.
//!
//! The rule: the intent to pay a hash is on disk before the wallet is asked; what the wallet's answer leaves
//! open is looked up by that hash before anything is asked again; a payment that may be on its way is never
//! called failed, and who began it ends it: the node asks this record, and here the node is asked. The preimage is the key that was bought, so it must hash to what was paid for.

mod wallet;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use async_trait::async_trait;
use nwc::nostr::nips::nip47::{
    ErrorCode, LookupInvoiceRequest, PayInvoiceRequest, Request, TransactionState,
};
use tokio::sync::mpsc;

use super::hashes::{Hashes, Sent};
use crate::engine::{
    BillOrder, Billed, Fault, Lightning, NodeEvent, NodeStatus, PayOrder, PaymentState,
};
use crate::market::{Holding, Msat, NodeId, PaymentHash, Preimage, Time};
use crate::wire;
use wallet::{NoAnswer, REQUEST_LIVES, Said, Wallet};

pub use wallet::WalletUri;

/// How long a payment is waited for; what takes longer is looked up.
const PAYS: Duration = Duration::from_secs(12);
/// How long any other answer is waited for.
const ANSWERS: Duration = Duration::from_secs(8);
/// A balance that is not older is not asked for again.
const BALANCE_LASTS: Duration = Duration::from_secs(5);
/// A wallet's clock may be behind ours by so much.
const CLOCKS: Duration = Duration::from_secs(60);

/// The embedded node, with another wallet that pays.
pub struct Remote {
    node: Arc<dyn Lightning>,
    wallet: Wallet,
    hashes: Hashes,
    /// Where the node keeps what it ever promised or did.
    home: PathBuf,
    /// One payment at a time for each hash; few enough that they may share.
    turns: [tokio::sync::Mutex<()>; 16],
    said: tokio::sync::Mutex<mpsc::UnboundedReceiver<Said>>,
    /// An event of the wallet's that was given out and not handled.
    given: Mutex<Option<NodeEvent>>,
    balance: Mutex<Balance>,
    started: Instant,
    /// When each payment was asked for in this life.
    asked: Mutex<BTreeMap<PaymentHash, Instant>>,
    now: fn() -> Time,
}

#[derive(Default)]
struct Balance {
    known: Option<Msat>,
    at: Option<Instant>,
    silent: bool,
}

/// What the wallet knows of a payment.
enum Known {
    Paid {
        preimage: String,
        fee: Msat,
    },
    Pending,
    Failed,
    /// It has never heard of it.
    Not,
    /// It does not say.
    Silent,
}

#[expect(clippy::disallowed_methods, reason = "how long ago something was asked")]
fn instant() -> Instant {
    Instant::now()
}

fn later(why: &str) -> Fault {
    Fault::Later(why.to_owned())
}

fn never(why: &str) -> Fault {
    Fault::Never(format!("{why} Nothing was paid."))
}

fn in_doubt() -> Fault {
    later(
        "The remote wallet was asked to pay this and has not said what came of it. It may have paid: it is \
         looked up by its hash until the wallet answers, and never paid twice.",
    )
}

fn another() -> Fault {
    later(
        "Another remote wallet was asked to pay this and has not said what came of it. It may have paid, so it \
         is not paid again: put its address back (wallet.nwc) and start earnest, which then asks it.",
    )
}

fn not_the_key() -> Fault {
    later(
        "The remote wallet says that it paid and gave a proof that does not belong to this payment. Nothing \
         can be opened with it, and nothing is paid again: look into the wallet, and ask whoever runs it.",
    )
}

impl Remote {
    /// Begins to speak to a wallet. `dir` keeps what was asked of it, `home` is the node's own folder. Answers
    /// at once: a wallet that is away is waited for when it is needed.
    ///
    /// # Errors
    /// The record cannot be opened.
    pub async fn start(
        node: Arc<dyn Lightning>,
        home: &Path,
        uri: WalletUri,
        dir: &Path,
        now: fn() -> Time,
    ) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let hashes = Hashes::open(dir)?;
        let (tell, said) = mpsc::unbounded_channel();
        let wallet = Wallet::connect(uri, tell).await.context("The remote wallet's relays")?;
        Ok(Self {
            node,
            wallet,
            hashes,
            home: home.to_owned(),
            turns: Default::default(),
            said: tokio::sync::Mutex::new(said),
            given: Mutex::new(None),
            balance: Mutex::default(),
            started: instant(),
            asked: Mutex::default(),
            now,
        })
    }

    /// Pays once, however often it is asked for.
    async fn pay_once(&self, order: &PayOrder) -> Result<PaymentState, Fault> {
        let read = wire::decode(&order.invoice).map_err(|why| never(&format!("{why}.")))?;
        if read.hash != order.hash || read.amount != Some(order.amount) {
            return Err(never("This invoice is not the one that was agreed on."));
        }
        if read.payee == self.node.node() {
            return Err(never("This invoice is our own."));
        }
        let turn = usize::from(order.hash.0[0]) % self.turns.len();
        let _turn = self.turns[turn].lock().await;
        match self.hashes.sent(&order.hash)? {
            Some(Sent::Paid { preimage, fee }) => return Ok(PaymentState::Paid { preimage, fee }),
            // Asked before, in this life or another.
            Some(Sent::Intent) => return self.resolve(&order.hash).await,
            Some(Sent::Failed { .. }) | None => {}
        }
        // Before there was a remote wallet, or by a person's hand.
        match self.at_node(&order.hash).await? {
            state @ PaymentState::Paid { .. } => return Ok(state),
            PaymentState::InFlight => return self.node.pay(order).await,
            PaymentState::Failed { .. } | PaymentState::Unknown => {}
        }
        if order.tips.is_some() {
            return Err(never(
                "A remote wallet cannot say for how long it locks money, so it is not used for an escrow: take \
                 wallet.nwc out of the configuration for that.",
            ));
        }
        if read.expires_at <= (self.now)() {
            return Err(never("This invoice has expired. Ask for a new one."));
        }
        self.hashes.intend_by(&order.hash, Some(&self.wallet.name()))?;
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).insert(order.hash, instant());
        let request = Request::pay_invoice(PayInvoiceRequest::new(order.invoice.clone()));
        match self.wallet.ask(request, PAYS).await {
            Ok(response) => match response.to_pay_invoice() {
                Ok(paid) => {
                    let fee = msat(paid.fees_paid.unwrap_or(0));
                    if fee > order.max_fee {
                        tracing::warn!(
                            hash = %order.hash, %fee, allowed = %order.max_fee,
                            "the remote wallet paid more for routing than was allowed: NIP-47 has no limit to give it"
                        );
                    }
                    self.paid(&order.hash, &paid.preimage, fee)
                }
                Err(_) => Err(in_doubt()),
            },
            Err(NoAnswer::NotSent) => {
                // No relay has it, so no wallet will ever read it.
                self.hashes.failed(&order.hash, UNSENT)?;
                Err(later(UNSENT))
            }
            Err(NoAnswer::Refused(code)) => match certain(code) {
                Some(reason) => {
                    self.hashes.failed(&order.hash, reason)?;
                    Ok(PaymentState::Failed { reason: reason.to_owned() })
                }
                // Failed, says the wallet; some say so of what only took long.
                None => self.resolve(&order.hash).await,
            },
            Err(NoAnswer::Silence | NoAnswer::Unreadable) => self.resolve(&order.hash).await,
        }
    }

    /// What the node has done about it. What it intended is perhaps on its way, though nothing shows it.
    async fn at_node(&self, hash: &PaymentHash) -> Result<PaymentState, Fault> {
        match self.node.lookup(hash).await? {
            PaymentState::Unknown
                if Hashes::sent_elsewhere(&self.home, hash)? == Some(Sent::Intent) =>
            {
                Ok(PaymentState::InFlight)
            }
            state => Ok(state),
        }
    }

    /// What became of a payment that was asked for: by the wallet's word, found by its hash.
    async fn resolve(&self, hash: &PaymentHash) -> Result<PaymentState, Fault> {
        let asked_of = self.hashes.asked_of(hash)?;
        match self.known(hash).await {
            Known::Paid { preimage, fee } => self.paid(hash, &preimage, fee),
            // That this wallet knows of nothing says nothing of the other.
            _ if asked_of.is_some_and(|name| name != self.wallet.name()) => Err(another()),
            Known::Pending | Known::Silent => Err(in_doubt()),
            Known::Failed => {
                self.failed(hash, "The remote wallet could not pay it. Nothing was paid.")
            }
            // A request that is still on its way may be begun by a wallet that has not heard of it yet. One
            // of an earlier life is at least as old as this one.
            Known::Not if self.asked_at(hash).elapsed() < REQUEST_LIVES + CLOCKS => Err(in_doubt()),
            Known::Not => {
                self.failed(hash, "The remote wallet never took the payment. Nothing was paid.")
            }
        }
    }

    fn asked_at(&self, hash: &PaymentHash) -> Instant {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.get(hash).copied().unwrap_or(self.started)
    }

    fn failed(&self, hash: &PaymentHash, reason: &str) -> Result<PaymentState, Fault> {
        self.hashes.failed(hash, reason)?;
        Ok(PaymentState::Failed { reason: reason.to_owned() })
    }

    /// A proof, if it is one.
    fn paid(&self, hash: &PaymentHash, preimage: &str, fee: Msat) -> Result<PaymentState, Fault> {
        let Some(preimage) = key(preimage).filter(|key| key.hash() == *hash) else {
            return Err(not_the_key());
        };
        self.hashes.paid(hash, &preimage, fee)?;
        Ok(PaymentState::Paid { preimage, fee })
    }

    async fn known(&self, hash: &PaymentHash) -> Known {
        let of = LookupInvoiceRequest { payment_hash: Some(hash.to_string()), invoice: None };
        let found = match self.wallet.ask(Request::lookup_invoice(of), ANSWERS).await {
            Ok(response) => response.to_lookup_invoice(),
            Err(NoAnswer::Refused(ErrorCode::NotFound)) => return Known::Not,
            Err(_) => return Known::Silent,
        };
        let Ok(found) = found else { return Known::Silent };
        let done = found.settled_at.is_some() || found.state == Some(TransactionState::Settled);
        match (found.preimage, found.state) {
            (Some(preimage), _) if done && !preimage.is_empty() => {
                Known::Paid { preimage, fee: msat(found.fees_paid) }
            }
            (_, Some(TransactionState::Failed)) => Known::Failed,
            // `Expired` is said of invoices (NIP-47): a payment for one may still be on its way.
            _ => Known::Pending,
        }
    }

    /// What the wallet says by itself, if it is the proof of a payment that it was asked for. Also of one that
    /// it called failed: the key is here, and so the money is gone.
    fn heard(&self, said: Said) -> Option<NodeEvent> {
        let Said::Paid { preimage, fee } = said;
        let preimage = key(&preimage)?;
        let (hash, fee) = (preimage.hash(), msat(fee));
        let Ok(Some(Sent::Intent | Sent::Failed { .. })) = self.hashes.sent(&hash) else {
            return None;
        };
        // Not written is not said: it is looked up again.
        self.hashes.paid(&hash, &preimage, fee).ok()?;
        Some(NodeEvent::Paid { hash, preimage, fee })
    }

    /// What the wallet can pay with, as it said last.
    async fn spendable(&self) -> (Option<Msat>, bool) {
        {
            let balance = self.balance.lock().unwrap_or_else(PoisonError::into_inner);
            if balance.at.is_some_and(|at| at.elapsed() < BALANCE_LASTS) {
                return (balance.known, balance.silent);
            }
        }
        let answer = self.wallet.ask(Request::get_balance(), ANSWERS).await;
        let said = answer.ok().and_then(|response| response.to_get_balance().ok());
        let mut balance = self.balance.lock().unwrap_or_else(PoisonError::into_inner);
        balance.silent = said.is_none();
        balance.at = Some(instant());
        if let Some(said) = said {
            balance.known = Some(msat(said.balance));
        }
        (balance.known, balance.silent)
    }
}

const UNSENT: &str =
    "No relay of the remote wallet can be reached. Nothing was asked of it, and nothing was paid.";

/// Why a refusal of this code means that nothing was paid; `None` where it does not.
fn certain(code: ErrorCode) -> Option<&'static str> {
    match code {
        ErrorCode::InsufficientBalance => {
            Some("The remote wallet has not enough to pay this. Nothing was paid.")
        }
        ErrorCode::QuotaExceeded => {
            Some("The remote wallet's limit for this connection is reached. Nothing was paid.")
        }
        ErrorCode::Restricted | ErrorCode::Unauthorized => {
            Some("The remote wallet does not let this connection pay. Nothing was paid.")
        }
        ErrorCode::NotImplemented => {
            Some("The remote wallet cannot pay invoices. Nothing was paid.")
        }
        ErrorCode::RateLimited => Some("The remote wallet was asked too often. Nothing was paid."),
        ErrorCode::PaymentFailed | ErrorCode::NotFound | ErrorCode::Internal | ErrorCode::Other => {
            None
        }
    }
}

fn key(text: &str) -> Option<Preimage> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    Some(Preimage::new(bytes))
}

fn msat(n: u64) -> Msat {
    Msat::new(n).unwrap_or(Msat::MAX)
}

#[async_trait]
impl Lightning for Remote {
    fn node(&self) -> NodeId {
        self.node.node()
    }

    async fn status(&self) -> Result<NodeStatus, Fault> {
        let mut status = self.node.status().await?;
        let (spendable, silent) = self.spendable().await;
        status.balances.lightning_spendable = spendable.unwrap_or_default();
        if silent {
            status.trouble =
                Some("The remote wallet does not answer: nothing can be paid now.".into());
        }
        Ok(status)
    }

    async fn bill(&self, order: &BillOrder) -> Result<Billed, Fault> {
        self.node.bill(order).await
    }

    async fn pay(&self, order: &PayOrder) -> Result<PaymentState, Fault> {
        let state = self.pay_once(order).await;
        // Whatever came of it, there may be less now.
        self.balance.lock().unwrap_or_else(PoisonError::into_inner).at = None;
        state
    }

    async fn lookup(&self, hash: &PaymentHash) -> Result<PaymentState, Fault> {
        match self.hashes.sent(hash)? {
            Some(Sent::Paid { preimage, fee }) => Ok(PaymentState::Paid { preimage, fee }),
            // Perhaps the node has paid it since, or is about to.
            Some(Sent::Failed { reason }) => Ok(match self.at_node(hash).await? {
                PaymentState::Unknown => PaymentState::Failed { reason },
                state => state,
            }),
            Some(Sent::Intent) => match self.resolve(hash).await {
                // Whoever asks is told when it ends, and the outbox asks again by itself.
                Err(Fault::Later(_)) => Ok(PaymentState::InFlight),
                other => other,
            },
            // Perhaps of the days before there was a remote wallet.
            None => self.at_node(hash).await,
        }
    }

    async fn claim(
        &self,
        hash: &PaymentHash,
        amount: Msat,
        preimage: &Preimage,
    ) -> Result<(), Fault> {
        self.node.claim(hash, amount, preimage).await
    }

    async fn fail(&self, hash: &PaymentHash) -> Result<(), Fault> {
        self.node.fail(hash).await
    }

    async fn holding(&self, hash: &PaymentHash) -> Result<Option<Holding>, Fault> {
        self.node.holding(hash).await
    }

    async fn next(&self) -> NodeEvent {
        let again = || self.given.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(event) = again() {
            return event;
        }
        let mut said = self.said.lock().await;
        loop {
            tokio::select! {
                Some(heard) = said.recv() => if let Some(event) = self.heard(heard) {
                    let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
                    *given = Some(event.clone());
                    return event;
                },
                event = self.node.next() => return event,
            }
        }
    }

    async fn handled(&self) -> Result<(), Fault> {
        let ours = self.given.lock().unwrap_or_else(PoisonError::into_inner).take();
        match ours {
            Some(_) => Ok(()),
            None => self.node.handled().await,
        }
    }
}

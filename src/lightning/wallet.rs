//! The wallet by hand: paying, receiving and looking, outside of any job.

mod promise;
mod target;

use std::str::FromStr as _;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bitcoin::constants::ChainHash;
use ldk_node::lightning::ln::channelmanager::PaymentId;
use ldk_node::lightning::offers::offer::Offer;
use ldk_node::lightning::routing::router::RouteParametersConfig;
use ldk_node::lightning_invoice::{
    Bolt11Invoice, Bolt11InvoiceDescription, Bolt11InvoiceDescriptionRef, Description,
};
use ldk_node::payment::{PaymentDetails, PaymentDirection, PaymentKind, PaymentStatus};
use ldk_node::{LightningBalance, NodeError};

use self::promise::Leaving;
use self::target::{Target, one_amount};
use super::bill::JIT_EXPIRY_SECS;
use super::channels::{Peer, later, msat, name};
use super::node::{Inner, Node, on_chain, unix_now};
use crate::engine::{
    Direction, Fault, HandPayment, Movement, PayKind, PayOrder, PayQuote, PaymentState, Trouble,
    Wallet, WalletAnswer, WalletCommand, usual_max_fee,
};
use crate::market::{Invoice, Msat, PaymentHash, Refusal, Time};
use crate::text::{Clean, Limit, Raw};
use crate::wire;

/// How long a payment is waited for before it is said to be on its way.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(100);
/// How long the chain source may take to show what was just sent to it.
const SEEN: Duration = Duration::from_secs(10);
/// Lines of history that are shown.
const LINES: usize = 1_000;

#[async_trait]
impl Wallet for Node {
    async fn wallet(
        &self,
        command: &WalletCommand,
        promised: Msat,
    ) -> Result<WalletAnswer, Trouble> {
        Ok(match command.clone() {
            WalletCommand::Balance => {
                WalletAnswer::Balance(self.call(|inner| Ok(inner.status())).await?)
            }
            WalletCommand::NewAddress => WalletAnswer::Address(self.new_address().await?),
            WalletCommand::SendOnchain { address, sats } => {
                let sent = self.call(move |inner| Ok(inner.send_by_hand(&address, sats, promised)));
                let txid = sent.await??;
                self.until_seen(&txid).await;
                WalletAnswer::Sent { txid }
            }
            WalletCommand::Receive { amount, description } => {
                let made = self.call(move |inner| inner.receive(amount, description)).await?;
                WalletAnswer::Invoice { invoice: made.0, lsp_fee: made.1 }
            }
            WalletCommand::Quote { to, amount, max_fee } => {
                let quoted =
                    self.call(move |inner| Ok(inner.quote(&to, amount, max_fee, promised))).await?;
                WalletAnswer::Quote(quoted?)
            }
            WalletCommand::Pay { to, amount, max_fee } => {
                self.pay_by_hand(&to, amount, max_fee, promised).await?
            }
            WalletCommand::Channels => WalletAnswer::Channels(self.channels().await?),
            WalletCommand::OpenChannel { peer, sats } => {
                let peer: Peer = peer.parse().map_err(|why| never(&format!("{why}.")))?;
                let id = self.open_channel(&peer, sats).await?;
                self.until_funded(&id).await?;
                WalletAnswer::Opened { id }
            }
            WalletCommand::CloseChannel { id, force } => {
                let closed = self.call(move |inner| {
                    let _turn = inner.by_hand_turn();
                    Ok(inner.close(&id, force, |channel| {
                        Ok(inner.keep_promise(Leaving::Channel(channel.sendable), promised)??)
                    }))
                });
                closed.await??;
                WalletAnswer::Closing
            }
            WalletCommand::History => {
                WalletAnswer::History(self.call(|inner| Ok(inner.movements())).await?)
            }
        })
    }
}

fn never(why: &str) -> Fault {
    Fault::Never(format!("{why} No money moved."))
}

impl Node {
    async fn pay_by_hand(
        &self,
        to: &str,
        amount: Option<Msat>,
        max_fee: Msat,
        promised: Msat,
    ) -> Result<WalletAnswer, Trouble> {
        let (target, named) = Target::read(to)?;
        match target {
            Target::Coins { address, .. } => {
                let sats = whole_sats(one_amount(amount, named)?)?;
                let sent = self.call(move |inner| Ok(inner.send_by_hand(&address, sats, promised)));
                let txid = sent.await??;
                self.until_seen(&txid).await;
                Ok(WalletAnswer::Sent { txid })
            }
            Target::Invoice(invoice) => {
                let read = wire::decode(&invoice).map_err(|why| never(&format!("{why}.")))?;
                let amount = one_amount(amount.or(named), read.amount)?;
                one_amount(Some(amount), named)?;
                let hash = read.hash;
                let order = PayOrder { hash, amount, invoice, max_fee, tips: None };
                let sent = self.call(move |inner| Ok(inner.pay_invoice(&order, &read, promised)));
                let state = self.wait(sent.await??, move |inner| inner.lookup(&hash)).await?;
                Ok(WalletAnswer::Payment(by_hand(state)))
            }
            Target::Offer(offer) => {
                let sent = self.call(move |inner| {
                    let read = inner.read_offer(&offer, amount, named);
                    Ok(read.and_then(|(read, amount)| {
                        inner.pay_offer(&offer, &read, amount, max_fee, promised)
                    }))
                });
                let id = sent.await??;
                let state =
                    self.wait(PaymentState::InFlight, move |inner| Ok(inner.state_of(&id))).await?;
                Ok(WalletAnswer::Payment(by_hand(state)))
            }
        }
    }

    /// Waits a bounded time until the chain source shows a transaction of ours: before that it may not
    /// have left this machine, and whoever asked may stop the node next.
    async fn until_seen(&self, txid: &str) {
        let seen = async {
            loop {
                let _ = self.sync().await;
                let id = txid.to_owned();
                if self.call(move |inner| Ok(inner.has_onchain(&id))).await.unwrap_or(true) {
                    return;
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        if tokio::time::timeout(SEEN, seen).await.is_err() {
            tracing::warn!(txid, "the chain source does not show a transaction of ours yet");
        }
    }

    /// Waits a bounded time until both sides have signed a channel that is being opened: one that is left
    /// before is forgotten.
    async fn until_funded(&self, id: &str) -> Result<(), Fault> {
        let funded = async {
            loop {
                let of = id.to_owned();
                match self.call(move |inner| Ok(inner.funding(&of))).await? {
                    Some(Some(txid)) => return Ok(txid),
                    Some(None) => tokio::time::sleep(LOOK).await,
                    None => {
                        return Err(never(
                            "The peer did not take the channel: it may want another size, or not \
                             know us.",
                        ));
                    }
                }
            }
        };
        match tokio::time::timeout(PATIENCE, funded).await {
            Ok(txid) => {
                self.until_seen(&txid?).await;
                Ok(())
            }
            Err(_) => Err(Fault::Later(
                "The peer has not answered yet. The channel opens when it does, or is forgotten; the \
                 coins stay yours. Look at the channels before you ask again."
                    .to_owned(),
            )),
        }
    }

    /// Waits a bounded time for a payment to end.
    async fn wait(
        &self,
        mut state: PaymentState,
        look: impl Fn(&Inner) -> Result<PaymentState, Fault> + Clone + Send + 'static,
    ) -> Result<PaymentState, Fault> {
        let mut waited = Duration::ZERO;
        while matches!(state, PaymentState::InFlight | PaymentState::Unknown) && waited < PATIENCE {
            tokio::time::sleep(LOOK).await;
            waited += LOOK;
            let look = look.clone();
            // It was sent: a question that fails is no answer about it.
            state = self.call(move |inner| look(inner)).await.unwrap_or(PaymentState::InFlight);
        }
        Ok(state)
    }
}

/// The dearest that it can become.
fn leaving(amount: Msat, max_fee: Msat) -> Leaving {
    Leaving::Lightning(amount.checked_add(max_fee).unwrap_or(Msat::MAX))
}

fn whole_sats(amount: Msat) -> Result<u64, Fault> {
    match amount.get() % 1000 {
        0 => Ok(amount.get() / 1000),
        _ => Err(never("On the chain only whole satoshis can be paid.")),
    }
}

/// A stranger's words, if there are any.
fn shown(text: &str) -> Option<Clean> {
    let clean = Raw::from(text).clean(Limit::TITLE);
    (!clean.as_str().is_empty()).then_some(clean)
}

fn by_hand(state: PaymentState) -> HandPayment {
    match state {
        PaymentState::Paid { fee, .. } => HandPayment::Paid { fee },
        PaymentState::Failed { reason } => HandPayment::Failed { reason },
        PaymentState::InFlight | PaymentState::Unknown => HandPayment::InFlight,
    }
}

impl Inner {
    /// Does something that has no hash to tell it from the same thing done twice: written down before it
    /// is begun, so that after a crash in the middle the next that is the same is refused, once.
    pub(super) fn by_hand<T>(
        &self,
        what: &str,
        run: impl FnOnce() -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        // One at a time: a line that stands is one that was cut off.
        let _turn = self.paying[0].lock().unwrap_or_else(PoisonError::into_inner);
        if !self.hashes.begin_by_hand(what)? {
            return Err(Fault::Later(format!(
                "The last time, earnest was cut off in the middle of this ({what}): it may have been \
                 done. Look at the history and at the channels; if it is not there, ask again. \
                 Nothing new was sent."
            )));
        }
        let done = run();
        if let Err(fault) = self.hashes.end_by_hand(what) {
            tracing::warn!(%fault, "what was done by hand will be asked about once more");
        }
        done
    }

    /// Whoever holds it judges and sends alone: two that are judged at once could both be let through.
    fn by_hand_turn(&self) -> MutexGuard<'_, ()> {
        self.by_hand_turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send_by_hand(&self, address: &str, sats: u64, promised: Msat) -> Result<String, Trouble> {
        let address = self.address(address)?;
        let amount = Msat::sats(sats).filter(|amount| *amount > Msat::ZERO);
        let amount = amount.ok_or_else(|| never("This is no amount that can be sent."))?;
        let _turn = self.by_hand_turn();
        self.keep_promise(Leaving::Coins(amount), promised)??;
        Ok(self.send_coins(&address, sats)?)
    }

    fn pay_invoice(
        &self,
        order: &PayOrder,
        read: &Invoice,
        promised: Msat,
    ) -> Result<PaymentState, Trouble> {
        let _turn = self.by_hand_turn();
        // Of what was paid, or is on its way, nothing more leaves.
        if !self.is_underway(&order.hash)? {
            self.keep_promise(leaving(order.amount, order.max_fee), promised)??;
            self.hashes.pay_by_hand(&order.hash)?;
        }
        Ok(self.pay_once(order, read)?)
    }

    fn is_underway(&self, hash: &PaymentHash) -> Result<bool, Fault> {
        let state = self.lookup(hash)?;
        Ok(matches!(state, PaymentState::Paid { .. } | PaymentState::InFlight))
    }

    /// An offer that can be paid with this amount.
    fn read_offer(
        &self,
        offer: &str,
        amount: Option<Msat>,
        named: Option<Msat>,
    ) -> Result<(Offer, Msat), Trouble> {
        use ldk_node::lightning::offers::offer::Amount;
        let read = Offer::from_str(offer).map_err(|_| never("This is not a valid offer."))?;
        let asks = match read.amount() {
            Some(Amount::Bitcoin { amount_msats }) => {
                let asks = Msat::new(amount_msats);
                Some(asks.ok_or_else(|| never("This offer asks for more than there is."))?)
            }
            Some(Amount::Currency { .. }) => {
                return Err(never("This offer asks for a currency that is not bitcoin.").into());
            }
            None => None,
        };
        if !read.supports_chain(ChainHash::using_genesis_block_const(on_chain(self.network))) {
            let why = format!("This offer is not for {:?}, where this node is.", self.network);
            return Err(never(&why).into());
        }
        if read.absolute_expiry().is_some_and(|at| at.as_secs() <= unix_now()) {
            return Err(never("This offer has expired. Ask for a new one.").into());
        }
        if read.expects_quantity() {
            return Err(
                never("This offer is for a number of things, which is not known here.").into()
            );
        }
        let amount = one_amount(amount.or(named), asks)?;
        one_amount(Some(amount), named)?;
        Ok((read, amount))
    }

    fn pay_offer(
        &self,
        offer: &str,
        read: &Offer,
        amount: Msat,
        max_fee: Msat,
        promised: Msat,
    ) -> Result<PaymentId, Trouble> {
        let parameters = RouteParametersConfig {
            max_total_routing_fee_msat: Some(max_fee.get()),
            ..RouteParametersConfig::default()
        };
        let _turn = self.by_hand_turn();
        self.keep_promise(leaving(amount, max_fee), promised)??;
        // An offer may be paid as often as one likes, so only what we write down ourselves tells a
        // payment from the same one again.
        let what = format!("pay {amount} for offer {}", blake3::hash(offer.as_bytes()));
        let sent = self.by_hand(&what, || {
            let payments = self.ldk.bolt12_payment();
            let sent = payments.send_using_amount(read, amount.get(), None, None, Some(parameters));
            sent.map_err(|why| {
                match why {
                NodeError::PersistenceFailed => Fault::Later(
                    "The payment may be on its way, and the disk could not be written. Look at the \
                     history before you pay again; make room on the disk."
                        .to_owned(),
                ),
                why => later("Nothing was paid", why),
            }
            })
        });
        Ok(sent?)
    }

    /// What would be paid, and whether it could be. Sends nothing.
    fn quote(
        &self,
        to: &str,
        amount: Option<Msat>,
        max_fee: Option<Msat>,
        promised: Msat,
    ) -> Result<PayQuote, Trouble> {
        let (target, named) = Target::read(to)?;
        let quote = match target {
            Target::Coins { address, .. } => {
                let address = self.address(&address)?;
                let amount = one_amount(amount, named)?;
                whole_sats(amount)?;
                PayQuote {
                    kind: PayKind::Onchain,
                    payee: Some(address.to_string()),
                    amount,
                    max_fee: Msat::ZERO,
                    description: None,
                    expires_at: None,
                    earlier: None,
                }
            }
            Target::Invoice(invoice) => self.quote_invoice(&invoice, amount, named)?,
            Target::Offer(offer) => {
                let (read, amount) = self.read_offer(&offer, amount, named)?;
                let expires_at = read.absolute_expiry().map(|at| Time(at.as_secs()));
                PayQuote {
                    kind: PayKind::Bolt12,
                    payee: read.issuer_signing_pubkey().map(|key| key.to_string()),
                    amount,
                    max_fee: usual_max_fee(amount),
                    description: read.description().and_then(|text| shown(text.0)),
                    expires_at,
                    earlier: None,
                }
            }
        };
        let max_fee = if quote.kind == PayKind::Onchain { None } else { max_fee };
        let quote = PayQuote { max_fee: max_fee.unwrap_or(quote.max_fee), ..quote };
        if quote.earlier.is_none() {
            self.afford(&quote)?;
            let leaving = match quote.kind {
                PayKind::Onchain => Leaving::Coins(quote.amount),
                _ => leaving(quote.amount, quote.max_fee),
            };
            self.keep_promise(leaving, promised)??;
        }
        Ok(quote)
    }

    fn quote_invoice(
        &self,
        invoice: &str,
        amount: Option<Msat>,
        named: Option<Msat>,
    ) -> Result<PayQuote, Trouble> {
        let read = wire::decode(invoice).map_err(|why| never(&format!("{why}.")))?;
        let amount = one_amount(amount.or(named), read.amount)?;
        one_amount(Some(amount), named)?;
        self.may_pay(&read)?;
        let earlier = match self.lookup(&read.hash)? {
            state @ (PaymentState::Paid { .. } | PaymentState::InFlight) => Some(by_hand(state)),
            PaymentState::Failed { .. } | PaymentState::Unknown => None,
        };
        if earlier.is_none() && read.expires_at.0 <= unix_now() {
            return Err(never("This invoice has expired. Ask for a new one.").into());
        }
        let parsed: Option<Bolt11Invoice> = invoice.parse().ok();
        let description = parsed.and_then(|parsed| match parsed.description() {
            Bolt11InvoiceDescriptionRef::Direct(text) => shown(&text.as_inner().0),
            Bolt11InvoiceDescriptionRef::Hash(_) => None,
        });
        Ok(PayQuote {
            kind: PayKind::Bolt11,
            payee: Some(read.payee.to_string()),
            amount,
            max_fee: usual_max_fee(amount),
            description,
            expires_at: Some(read.expires_at),
            earlier,
        })
    }

    /// Whether there is as much as that. A route may still not be found.
    fn afford(&self, quote: &PayQuote) -> Result<(), Refusal> {
        let refused = |said: String| Refusal::new("no-funds", format!("{said} No money moved."));
        let amount = quote.amount;
        if quote.kind == PayKind::Onchain {
            let coins = self.ldk.list_balances().spendable_onchain_balance_sats;
            let coins = Msat::sats(coins).unwrap_or(Msat::MAX);
            let said =
                format!("The wallet has {coins} on the chain, and this is {amount} and the fee.");
            return if coins > amount { Ok(()) } else { Err(refused(said)) };
        }
        let spendable = self.spendable();
        let said =
            format!("The wallet can send {spendable} over Lightning now, and this is {amount}.");
        if spendable >= amount { Ok(()) } else { Err(refused(said)) }
    }

    /// What became of a payment that has no hash of its own yet.
    fn state_of(&self, id: &PaymentId) -> PaymentState {
        match self.ldk.payment(id) {
            Some(paid) if paid.status == PaymentStatus::Succeeded => match preimage(&paid.kind) {
                Some(preimage) => {
                    PaymentState::Paid { preimage, fee: msat(paid.fee_paid_msat.unwrap_or(0)) }
                }
                None => PaymentState::InFlight,
            },
            Some(failed) if failed.status == PaymentStatus::Failed => PaymentState::Failed {
                reason: "The payment did not go through. Nothing was paid.".to_owned(),
            },
            _ => PaymentState::InFlight,
        }
    }

    fn receive(&self, amount: Option<Msat>, description: String) -> Result<(String, Msat), Fault> {
        let description = Description::new(description)
            .map_err(|_| never("A description in an invoice has at most 639 bytes."))?;
        let description = Bolt11InvoiceDescription::Direct(description);
        let payments = self.ldk.bolt11_payment();
        let (largest, all) = self.receivable();
        let made = |invoice: Result<_, NodeError>| {
            invoice.map_err(|why| later("No invoice could be made", why))
        };
        let (invoice, fee) = match amount {
            Some(Msat::ZERO) => return Err(never("An invoice for nothing is not made.")),
            None if all == Msat::ZERO => {
                return Err(never(
                    "No channel can receive now, and a channel is opened only for an amount that is \
                     known: say how much.",
                ));
            }
            None => {
                let invoice = payments.receive_variable_amount(&description, JIT_EXPIRY_SECS);
                (made(invoice)?, Msat::ZERO)
            }
            Some(amount) if largest >= amount => {
                let invoice = payments.receive(amount.get(), &description, JIT_EXPIRY_SECS);
                (made(invoice)?, Msat::ZERO)
            }
            Some(amount) => self.just_in_time(amount, all, |cap| {
                let cap = Some(cap.get());
                payments.receive_via_jit_channel(amount.get(), &description, JIT_EXPIRY_SECS, cap)
            })?,
        };
        Ok((invoice.to_string(), fee))
    }

    fn has_onchain(&self, txid: &str) -> bool {
        let is = |payment: &&PaymentDetails| matches!(&payment.kind, PaymentKind::Onchain { txid: of, .. } if of.to_string() == txid);
        !self.ldk.list_payments_with_filter(is).is_empty()
    }

    /// The funding transaction of a channel of ours, once it is signed by both; `None` where there is no
    /// such channel any more.
    fn funding(&self, id: &str) -> Option<Option<String>> {
        let channel = self.ldk.list_channels().into_iter().find(|c| name(c) == id)?;
        let balances = self.ldk.list_balances().lightning_balances;
        let watched = balances.iter().any(|balance| {
            matches!(balance, LightningBalance::ClaimableOnChannelClose { channel_id, .. }
                if channel_id.0 == channel.channel_id.0)
        });
        Some(channel.funding_txo.filter(|_| watched).map(|at| at.txid.to_string()))
    }

    fn movements(&self) -> Vec<Movement> {
        let mut all: Vec<Movement> = self.ldk.list_payments().iter().map(movement).collect();
        all.sort_by(|a, b| (b.at, &b.id).cmp(&(a.at, &a.id)));
        all.truncate(LINES);
        all
    }
}

fn preimage(kind: &PaymentKind) -> Option<crate::market::Preimage> {
    match kind {
        PaymentKind::Bolt12Offer { preimage, .. } => {
            preimage.map(|p| crate::market::Preimage::new(p.0))
        }
        _ => None,
    }
}

fn movement(payment: &PaymentDetails) -> Movement {
    use PaymentKind as K;
    let arrived = payment.direction == PaymentDirection::Inbound;
    // What arrives on the chain was paid for by who sent it.
    let mut fee = if arrived { 0 } else { payment.fee_paid_msat.unwrap_or(0) };
    let own = || PaymentHash(payment.id.0).to_string();
    let hash = |hash: &Option<ldk_node::lightning_types::payment::PaymentHash>| {
        hash.map_or_else(own, |hash| PaymentHash(hash.0).to_string())
    };
    let (kind, id) = match &payment.kind {
        K::Onchain { txid, .. } => ("onchain", txid.to_string()),
        K::Bolt11 { hash: of, .. } => ("bolt11", hash(&Some(*of))),
        K::Bolt11Jit { hash: of, counterparty_skimmed_fee_msat: kept, .. } => {
            fee += kept.unwrap_or(0);
            ("jit", hash(&Some(*of)))
        }
        K::Bolt12Offer { hash: of, .. } => ("bolt12", hash(of)),
        K::Bolt12Refund { hash: of, .. } => ("refund", hash(of)),
        K::Spontaneous { hash: of, .. } => ("keysend", hash(&Some(*of))),
    };
    Movement {
        id,
        at: Time(payment.latest_update_timestamp),
        direction: if arrived { Direction::In } else { Direction::Out },
        kind: kind.to_owned(),
        amount: payment.amount_msat.map(msat),
        fee: msat(fee),
        state: match payment.status {
            PaymentStatus::Pending => "pending",
            PaymentStatus::Succeeded => "done",
            PaymentStatus::Failed => "failed",
        }
        .to_owned(),
    }
}

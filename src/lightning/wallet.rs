//! The wallet by hand: paying, receiving and looking, outside of any job.

use std::str::FromStr as _;
use std::sync::PoisonError;
use std::time::Duration;

use async_trait::async_trait;
use ldk_node::NodeError;
use ldk_node::lightning::ln::channelmanager::PaymentId;
use ldk_node::lightning::offers::offer::Offer;
use ldk_node::lightning::routing::router::RouteParametersConfig;
use ldk_node::lightning_invoice::{Bolt11InvoiceDescription, Description};
use ldk_node::payment::{PaymentDetails, PaymentDirection, PaymentKind, PaymentStatus};

use super::bill::JIT_EXPIRY_SECS;
use super::channels::{Peer, later, msat};
use super::node::{Inner, Node};
use crate::engine::{
    Direction, Fault, HandPayment, Movement, PayOrder, PaymentState, Wallet, WalletAnswer,
    WalletCommand,
};
use crate::market::{Msat, PaymentHash, Time};
use crate::wire;

/// How long a payment is waited for before it is said to be on its way.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(100);
/// Lines of history that are shown.
const LINES: usize = 1_000;

#[async_trait]
impl Wallet for Node {
    async fn wallet(&self, command: &WalletCommand) -> Result<WalletAnswer, Fault> {
        Ok(match command.clone() {
            WalletCommand::Balance => {
                WalletAnswer::Balance(self.call(|inner| Ok(inner.status())).await?)
            }
            WalletCommand::NewAddress => WalletAnswer::Address(self.new_address().await?),
            WalletCommand::SendOnchain { address, sats } => {
                WalletAnswer::Sent { txid: self.send_onchain(&address, sats).await? }
            }
            WalletCommand::Receive { amount, description } => {
                let made = self.call(move |inner| inner.receive(amount, description)).await?;
                WalletAnswer::Invoice { invoice: made.0, lsp_fee: made.1 }
            }
            WalletCommand::Pay { to, amount, max_fee } => {
                self.pay_by_hand(Target::read(&to)?, amount, max_fee).await?
            }
            WalletCommand::Channels => WalletAnswer::Channels(self.channels().await?),
            WalletCommand::OpenChannel { peer, sats } => {
                let peer: Peer = peer.parse().map_err(|why| never(&format!("{why}.")))?;
                WalletAnswer::Opened { id: self.open_channel(&peer, sats).await? }
            }
            WalletCommand::CloseChannel { id, force } => {
                self.close_channel(&id, force).await?;
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

/// What a person wants to pay.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    Invoice(String),
    Offer(String),
    Coins { address: String, sats: Option<u64> },
}

impl Target {
    /// Reads an invoice, an offer or a BIP 21 URI. Of a URI with several, the invoice is taken, since it
    /// can be paid only once; then the offer; then the address.
    fn read(text: &str) -> Result<Self, Fault> {
        let text = text.trim();
        let plain = text.to_ascii_lowercase();
        let after = |scheme: &str| plain.starts_with(scheme).then(|| &text[scheme.len()..]);
        if let Some(uri) = after("bitcoin:") {
            return Self::read_uri(uri);
        }
        let bare = after("lightning:").unwrap_or(text);
        let plain = bare.to_ascii_lowercase();
        if plain.starts_with("lno1") {
            return Ok(Self::Offer(bare.to_owned()));
        }
        if plain.starts_with("ln") {
            return Ok(Self::Invoice(bare.to_owned()));
        }
        Err(never("This is not a Lightning invoice, an offer or a bitcoin: address."))
    }

    fn read_uri(uri: &str) -> Result<Self, Fault> {
        let (address, query) = uri.split_once('?').unwrap_or((uri, ""));
        let (mut sats, mut invoice, mut offer) = (None, None, None);
        for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match key.to_ascii_lowercase().as_str() {
                "amount" => {
                    let read = bitcoin::Amount::from_str_in(&value, bitcoin::Denomination::Bitcoin);
                    let read =
                        read.map_err(|_| never("The amount in this address is no amount."))?;
                    sats = Some(read.to_sat());
                }
                "lightning" => invoice = Some(value.into_owned()),
                "lno" => offer = Some(value.into_owned()),
                // BIP 21: what must be understood and is not makes the whole of it invalid.
                other if other.starts_with("req-") => {
                    return Err(never("This address asks for something that is not known here."));
                }
                _ => {}
            }
        }
        match (invoice, offer) {
            (Some(invoice), _) => Ok(Self::Invoice(invoice)),
            (None, Some(offer)) => Ok(Self::Offer(offer)),
            (None, None) if !address.is_empty() => {
                Ok(Self::Coins { address: address.to_owned(), sats })
            }
            (None, None) => Err(never("This bitcoin: address names nobody.")),
        }
    }
}

/// What is asked for, or what the other side asks: both at once only if they agree.
fn one_amount(asked: Option<Msat>, named: Option<Msat>) -> Result<Msat, Fault> {
    match (asked, named) {
        (Some(asked), Some(named)) if asked != named => Err(never(&format!(
            "You would pay {asked}, and what you pay asks for {named}. Leave the amount out."
        ))),
        (None, None) => Err(never("What you pay names no amount: say how much.")),
        (asked, named) => Ok(named.or(asked).unwrap_or_default()),
    }
}

impl Node {
    async fn pay_by_hand(
        &self,
        target: Target,
        amount: Option<Msat>,
        max_fee: Msat,
    ) -> Result<WalletAnswer, Fault> {
        match target {
            Target::Coins { address, sats } => {
                let named = sats.and_then(Msat::sats);
                let amount = one_amount(amount, named)?;
                if amount.get() % 1000 != 0 {
                    return Err(never("On the chain only whole satoshis can be paid."));
                }
                let txid = self.send_onchain(&address, amount.get() / 1000).await?;
                Ok(WalletAnswer::Sent { txid })
            }
            Target::Invoice(invoice) => {
                let read = wire::decode(&invoice).map_err(|why| never(&format!("{why}.")))?;
                let amount = one_amount(amount, read.amount)?;
                let hash = read.hash;
                let order = PayOrder { hash, amount, invoice, max_fee, tips: None };
                let sent = self.call(move |inner| inner.pay_once(&order, &read)).await?;
                let state = self.wait(sent, move |inner| inner.lookup(&hash)).await?;
                Ok(WalletAnswer::Payment(by_hand(state)))
            }
            Target::Offer(offer) => {
                let id = self.call(move |inner| inner.pay_offer(&offer, amount, max_fee)).await?;
                let sent = PaymentState::InFlight;
                let state = self.wait(sent, move |inner| Ok(inner.state_of(&id))).await?;
                Ok(WalletAnswer::Payment(by_hand(state)))
            }
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

    fn pay_offer(
        &self,
        offer: &str,
        amount: Option<Msat>,
        max_fee: Msat,
    ) -> Result<PaymentId, Fault> {
        use ldk_node::lightning::offers::offer::Amount;
        let read = Offer::from_str(offer).map_err(|_| never("This is not a valid offer."))?;
        let named = match read.amount() {
            Some(Amount::Bitcoin { amount_msats }) => Some(msat(amount_msats)),
            Some(Amount::Currency { .. }) => {
                return Err(never("This offer asks for a currency that is not bitcoin."));
            }
            None => None,
        };
        let amount = one_amount(amount, named)?;
        let parameters = RouteParametersConfig {
            max_total_routing_fee_msat: Some(max_fee.get()),
            ..RouteParametersConfig::default()
        };
        // An offer may be paid as often as one likes, so only what we write down ourselves tells a
        // payment from the same one again.
        self.by_hand(&format!("pay {amount} for offer {}", blake3::hash(offer.as_bytes())), || {
            let payments = self.ldk.bolt12_payment();
            let sent =
                payments.send_using_amount(&read, amount.get(), None, None, Some(parameters));
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
        })
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
    let mut fee = payment.fee_paid_msat.unwrap_or(0);
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
        direction: match payment.direction {
            PaymentDirection::Inbound => Direction::In,
            PaymentDirection::Outbound => Direction::Out,
        },
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_paid_is_read_as_people_paste_it() {
        let invoice = |text: &str| Target::Invoice(text.to_owned());
        let coins = |sats| Target::Coins { address: "bcrt1qx".to_owned(), sats };
        for (text, target) in [
            (" lnbcrt1abc\n", invoice("lnbcrt1abc")),
            ("LIGHTNING:LNBCRT1ABC", invoice("LNBCRT1ABC")),
            ("lno1xyz", Target::Offer("lno1xyz".to_owned())),
            ("bitcoin:bcrt1qx", coins(None)),
            ("BITCOIN:bcrt1qx?amount=0.00001&label=a%20b", coins(Some(1_000))),
            ("bitcoin:bcrt1qx?amount=1&lno=lno1x&lightning=lnbcrt1y", invoice("lnbcrt1y")),
            ("bitcoin:?LNO=lno1x", Target::Offer("lno1x".to_owned())),
        ] {
            assert_eq!(Target::read(text).unwrap(), target, "{text}");
        }
        for text in ["", "hello", "bitcoin:", "bitcoin:x?amount=much", "bitcoin:x?req-new=1", "é"]
        {
            assert!(Target::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_amount_is_said_once_or_twice_the_same() {
        let (one, two) = (Msat::sats(1), Msat::sats(2));
        assert_eq!(one_amount(one, None).ok(), one);
        assert_eq!(one_amount(None, two).ok(), two);
        assert_eq!(one_amount(two, two).ok(), two);
        assert!(one_amount(one, two).is_err());
        assert!(one_amount(None, None).is_err());
    }
}

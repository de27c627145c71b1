//! A wallet service (NIP-47) on a node of its own: what a person's bigger wallet is to earnest, on a real relay.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use nostr_sdk::nips::{nip04, nip44};
use nostr_sdk::{
    Client, Event, EventBuilder, Filter, JsonUtil as _, Keys, Kind, RelayPoolNotification, Tag,
    TagKind, Timestamp,
};
use nwc::nostr::nips::nip47::{NostrWalletConnectURI, Request, RequestParams};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::engine::{Lightning, PaymentState};
use crate::market::{Msat, PayOrder, PaymentHash, Preimage};

/// Notifications, encrypted by NIP-44.
const NOTIFICATION: Kind = Kind::Custom(23_197);
/// How long a payment may take.
const PAYS: Duration = Duration::from_secs(60);

/// What the wallet does wrong, and what it did.
#[derive(Debug, Default)]
pub struct WalletMood {
    /// It pays nothing that it is asked to pay, and says nothing.
    pub silent: AtomicBool,
    /// It pays, and neither its answer nor its notification arrives.
    pub loses_answers: AtomicBool,
    /// It pays, and gives a proof of something else.
    pub wrong_proof: AtomicBool,
    /// The word that it has for a payment that is not done: `failed`, `expired`. The truth where there is none.
    pub word: Mutex<Option<&'static str>>,
    /// Payments that it was asked for.
    pub asked_to_pay: AtomicUsize,
    /// Payments that it answered with a proof.
    pub answered: AtomicUsize,
    /// Questions about payments that it answered.
    pub looked_up: AtomicUsize,
}

/// A running service. It ends when it is dropped.
pub struct WalletService {
    uri: String,
    mood: Arc<WalletMood>,
    _tasks: JoinSet<()>,
}

impl WalletService {
    /// Serves one client from this node, on this relay.
    ///
    /// # Errors
    /// The relay cannot be reached.
    pub async fn start(node: Arc<dyn Lightning>, relay: &str) -> anyhow::Result<Self> {
        let (wallet, client) = (Keys::generate(), Keys::generate());
        let relays = vec![relay.parse().context("not a relay")?];
        let secret = client.secret_key().clone();
        let uri = NostrWalletConnectURI::new(wallet.public_key(), relays, secret, None).to_string();
        let mood = Arc::new(WalletMood::default());
        let line = Client::default();
        line.add_relay(relay).await?;
        line.connect().await;
        line.wait_for_connection(Duration::from_secs(5)).await;
        let info = EventBuilder::new(
            Kind::WalletConnectInfo,
            "pay_invoice lookup_invoice get_balance get_info notifications",
        )
        .tag(Tag::custom(TagKind::custom("encryption"), ["nip44_v2 nip04"]))
        .tag(Tag::custom(TagKind::custom("notifications"), ["payment_sent"]));
        line.send_event(&info.sign_with_keys(&wallet)?).await?;
        let mut notifications = line.notifications();
        let wanted = Filter::new()
            .kind(Kind::WalletConnectRequest)
            .author(client.public_key())
            .pubkey(wallet.public_key());
        line.subscribe(wanted, None).await?;
        let desk = Arc::new(Desk { node, wallet, line, mood: mood.clone() });
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut calls = JoinSet::new();
            while let Ok(notification) = notifications.recv().await {
                if let RelayPoolNotification::Event { event, .. } = notification {
                    let desk = desk.clone();
                    calls.spawn(async move { desk.serve(&event).await });
                }
                while calls.try_join_next().is_some() {}
            }
        });
        Ok(Self { uri, mood, _tasks: tasks })
    }

    /// What a client connects with. It holds a secret.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// What it does wrong, and what it did.
    pub fn mood(&self) -> &WalletMood {
        &self.mood
    }
}

struct Desk {
    node: Arc<dyn Lightning>,
    wallet: Keys,
    line: Client,
    mood: Arc<WalletMood>,
}

type Answer = Result<Value, (&'static str, &'static str)>;

impl Desk {
    async fn serve(&self, event: &Event) {
        let ends = event.tags.expiration().copied();
        if event.verify().is_err() || ends.is_some_and(|at| at <= Timestamp::now()) {
            return;
        }
        let (secret, from) = (self.wallet.secret_key(), &event.pubkey);
        let modern = !event.content.contains("?iv=");
        let text = match modern {
            true => nip44::decrypt(secret, from, &event.content).ok(),
            false => nip04::decrypt(secret, from, &event.content).ok(),
        };
        let Some(request) = text.and_then(|text| Request::from_json(text).ok()) else { return };
        let method = request.method.to_string();
        let Some(answer) = self.answer(event, request.params).await else { return };
        let said = match answer {
            Ok(result) => json!({"result_type": method, "error": null, "result": result}),
            Err((code, message)) => json!({
                "result_type": method, "error": {"code": code, "message": message}, "result": null,
            }),
        };
        self.say(event, modern, Kind::WalletConnectResponse, &said).await;
    }

    /// What is answered; `None` is silence.
    async fn answer(&self, event: &Event, params: RequestParams) -> Option<Answer> {
        Some(match params {
            RequestParams::GetInfo => Ok(json!({
                "alias": "sandbox", "network": "regtest",
                "methods": ["pay_invoice", "lookup_invoice", "get_balance", "get_info"],
            })),
            RequestParams::GetBalance => match self.node.status().await {
                Ok(status) => Ok(json!({"balance": status.balances.lightning_spendable.get()})),
                Err(_) => Err(("INTERNAL", "The node does not answer.")),
            },
            RequestParams::LookupInvoice(which) => {
                let hash = which.payment_hash.and_then(|hash| hash.parse::<PaymentHash>().ok());
                let Some(hash) = hash else { return Some(Err(("OTHER", "Name a payment hash."))) };
                self.mood.looked_up.fetch_add(1, Ordering::SeqCst);
                self.look_up(&hash).await
            }
            RequestParams::PayInvoice(which) => {
                self.mood.asked_to_pay.fetch_add(1, Ordering::SeqCst);
                if self.mood.silent.load(Ordering::SeqCst) {
                    return None;
                }
                let paid = self.pay(&which.invoice).await;
                if self.mood.loses_answers.load(Ordering::SeqCst) {
                    return None;
                }
                if let Ok(result) = &paid {
                    self.mood.answered.fetch_add(1, Ordering::SeqCst);
                    self.tell(event, &which.invoice, result).await;
                }
                paid
            }
            _ => Err(("NOT_IMPLEMENTED", "Not here.")),
        })
    }

    async fn pay(&self, invoice: &str) -> Answer {
        let read = crate::wire::decode(invoice).map_err(|_| ("OTHER", "That is no invoice."))?;
        let amount = read.amount.ok_or(("OTHER", "The invoice names no amount."))?;
        let (hash, max_fee) =
            (read.hash, amount.ppm(10_000).max(Msat::sats(10).unwrap_or_default()));
        let order = PayOrder { invoice: invoice.to_owned(), hash, amount, max_fee, tips: None };
        let failed = ("PAYMENT_FAILED", "The payment did not go through.");
        let waiting = async {
            let mut state = self.node.pay(&order).await.map_err(|_| failed)?;
            loop {
                match state {
                    PaymentState::Paid { preimage, fee } => return Ok((preimage, fee)),
                    PaymentState::Failed { .. } => return Err(failed),
                    PaymentState::InFlight | PaymentState::Unknown => {}
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
                state = self.node.lookup(&hash).await.map_err(|_| failed)?;
            }
        };
        let (preimage, fee) = tokio::time::timeout(PAYS, waiting).await.map_err(|_| failed)??;
        Ok(json!({"preimage": self.proof(&preimage), "fees_paid": fee.get()}))
    }

    /// The proof; of something else where the wallet lies.
    fn proof(&self, preimage: &Preimage) -> String {
        match self.mood.wrong_proof.load(Ordering::SeqCst) {
            true => "00".repeat(32),
            false => hex::encode(preimage.expose()),
        }
    }

    async fn look_up(&self, hash: &PaymentHash) -> Answer {
        let now = Timestamp::now().as_secs();
        let told = |state: &str, preimage: Option<String>, fee: u64| {
            json!({
                "type": "outgoing", "state": state, "payment_hash": hash.to_string(), "amount": 0,
                "fees_paid": fee, "created_at": now, "preimage": preimage,
                "settled_at": preimage.as_ref().map(|_| now),
            })
        };
        let word = *self.mood.word.lock().unwrap_or_else(PoisonError::into_inner);
        match (self.node.lookup(hash).await, word) {
            (Ok(PaymentState::Paid { preimage, fee }), _) => {
                Ok(told("settled", Some(self.proof(&preimage)), fee.get()))
            }
            (Ok(_), Some(word)) => Ok(told(word, None, 0)),
            (Ok(PaymentState::InFlight), None) => Ok(told("pending", None, 0)),
            (Ok(PaymentState::Failed { .. }), None) => Ok(told("failed", None, 0)),
            (Ok(PaymentState::Unknown), None) => Err(("NOT_FOUND", "Never heard of it.")),
            (Err(_), _) => Err(("INTERNAL", "The node does not answer.")),
        }
    }

    /// Tells of a payment by itself, as wallets do.
    async fn tell(&self, event: &Event, invoice: &str, result: &Value) {
        let Ok(read) = crate::wire::decode(invoice) else { return };
        let now = Timestamp::now().as_secs();
        let said = json!({"notification_type": "payment_sent", "notification": {
            "type": "outgoing", "state": "settled", "invoice": invoice, "preimage": result["preimage"],
            "payment_hash": read.hash.to_string(), "amount": read.amount.unwrap_or_default().get(),
            "fees_paid": result["fees_paid"], "created_at": now, "settled_at": now,
        }});
        self.say(event, true, NOTIFICATION, &said).await;
    }

    async fn say(&self, to: &Event, modern: bool, kind: Kind, said: &Value) {
        let secret = self.wallet.secret_key();
        let content = match modern {
            true => nip44::encrypt(secret, &to.pubkey, said.to_string(), nip44::Version::V2).ok(),
            false => nip04::encrypt(secret, &to.pubkey, said.to_string()).ok(),
        };
        let Some(content) = content else { return };
        let event = EventBuilder::new(kind, content)
            .tags([Tag::public_key(to.pubkey), Tag::event(to.id)])
            .sign_with_keys(&self.wallet);
        if let Ok(event) = event
            && let Err(why) = self.line.send_event(&event).await
        {
            tracing::warn!(%why, "the wallet's answer was not sent");
        }
    }
}

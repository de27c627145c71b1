//! The client of a wallet service (NIP-47, Nostr Wallet Connect): one request, one answer, over relays that
//! keep neither.
//!
//! Requests say when they end (NIP-40), so that a wallet that was away does not pay what was given up since.
//! What the wallet says is taken only if it signed it; what it says after nobody waits any more is told too:
//! it may be the proof of a payment.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nostr_sdk::nips::nip04;
use nostr_sdk::nips::nip44;
use nostr_sdk::{
    Client, ClientOptions, Event, EventBuilder, EventId, Filter, JsonUtil as _, Keys, Kind,
    RelayPoolNotification, Tag, TagKind, Timestamp,
};
use nwc::nostr::nips::nip47::{
    ErrorCode, NostrWalletConnectURI, Notification, NotificationResult, Request, Response,
};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

/// A request that was not begun by then is not begun any more.
pub(super) const REQUEST_LIVES: Duration = Duration::from_secs(60);
/// A notification, encrypted by NIP-44.
const NOTIFICATION_44: Kind = Kind::Custom(23_197);
/// How long the relays may take until they can be asked.
const CONNECTS: Duration = Duration::from_secs(5);
/// The longest answer: of a transaction with its invoice and what a wallet adds to it.
const MAX_ANSWER: usize = 64 * 1024;

/// The address of a wallet and the secret to ask it with. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct WalletUri(NostrWalletConnectURI);

impl WalletUri {
    /// Reads `nostr+walletconnect://...`.
    pub fn read(text: &str) -> Option<Self> {
        NostrWalletConnectURI::parse(text.trim()).ok().map(Self)
    }
}

impl fmt::Debug for WalletUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WalletUri(..)")
    }
}

/// Why there is no answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// No relay took it: the wallet cannot have heard of it.
    NotSent,
    /// It was sent, and nothing came.
    Silence,
    /// The wallet says no, with this code.
    Refused(ErrorCode),
    /// What it says cannot be read.
    Unreadable,
}

/// What the wallet says of a payment by itself.
#[derive(Debug)]
pub(super) enum Said {
    /// Somebody's payment is done: the proof and the fee.
    Paid { preimage: String, fee: u64 },
}

type Waiting = Arc<Mutex<BTreeMap<EventId, oneshot::Sender<Option<Response>>>>>;

/// A connection to a wallet service, kept up.
pub(super) struct Wallet {
    uri: WalletUri,
    client: Client,
    waiting: Waiting,
    /// Whether the wallet reads NIP-44.
    modern: tokio::sync::OnceCell<bool>,
    _reader: JoinSet<()>,
}

impl Wallet {
    /// Begins to connect. What the wallet says when nobody waits for it goes to `said`.
    pub(super) async fn connect(
        uri: WalletUri,
        said: mpsc::UnboundedSender<Said>,
    ) -> anyhow::Result<Self> {
        let client = Client::builder().opts(ClientOptions::new()).build();
        for relay in &uri.0.relays {
            client.add_relay(relay.clone()).await?;
        }
        client.connect().await;
        let me = Keys::new(uri.0.secret.clone()).public_key();
        let kinds = [Kind::WalletConnectResponse, Kind::WalletConnectNotification, NOTIFICATION_44];
        let filter = Filter::new().kinds(kinds).author(uri.0.public_key).pubkey(me);
        // Before the first request, so that no answer is missed; asked again at every reconnection.
        let mut notifications = client.notifications();
        client.subscribe(filter.since(Timestamp::now() - 10u64), None).await?;
        let waiting = Waiting::default();
        let mut reader = JoinSet::new();
        let (open, answers) = (uri.clone(), waiting.clone());
        reader.spawn(async move {
            loop {
                match notifications.recv().await {
                    Ok(RelayPoolNotification::Event { event, .. }) => {
                        hear(&open, &event, &answers, &said);
                    }
                    Ok(RelayPoolNotification::Shutdown)
                    | Err(tokio::sync::broadcast::error::RecvError::Closed) => return,
                    // What was missed is asked for again by whoever waits for it.
                    Ok(_) | Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => {}
                }
            }
        });
        let modern = tokio::sync::OnceCell::new();
        Ok(Self { uri, client, waiting, modern, _reader: reader })
    }

    /// Which wallet it is, for a record; no secret.
    pub(super) fn name(&self) -> String {
        self.uri.0.public_key.to_hex()
    }

    /// Whether it reads NIP-44, by what it publishes of itself; one that publishes nothing reads NIP-04.
    async fn is_modern(&self) -> bool {
        let ask = async {
            let filter =
                Filter::new().kind(Kind::WalletConnectInfo).author(self.uri.0.public_key).limit(1);
            let events = self.client.fetch_events(filter, CONNECTS).await.map_err(drop)?;
            let info = events.first().ok_or(())?;
            let tag = info.tags.find(TagKind::custom("encryption"));
            Ok::<_, ()>(
                tag.and_then(|tag| tag.content()).is_some_and(|all| all.contains("nip44_v2")),
            )
        };
        // Not known yet is asked again the next time.
        self.modern.get_or_try_init(|| ask).await.copied().unwrap_or(false)
    }

    /// One request and its answer.
    pub(super) async fn ask(
        &self,
        request: Request,
        patience: Duration,
    ) -> Result<Response, NoAnswer> {
        let event = self.sealed(&request).await.ok_or(NoAnswer::NotSent)?;
        let (answer, wait) = oneshot::channel();
        self.waiting().insert(event.id, answer);
        let _ticket = Ticket(&self.waiting, event.id);
        self.client.wait_for_connection(CONNECTS).await;
        if !self.client.relays().await.values().any(|relay| relay.is_connected()) {
            return Err(NoAnswer::NotSent);
        }
        // From here on a relay may have passed it on, whatever it answers.
        if let Err(why) = self.client.send_event(&event).await {
            tracing::debug!(%why, "the wallet's relays did not say that they took a request");
        }
        match tokio::time::timeout(patience, wait).await {
            Ok(Ok(Some(response))) => match response.error {
                Some(error) => Err(NoAnswer::Refused(error.code)),
                None => Ok(response),
            },
            Ok(Ok(None)) => Err(NoAnswer::Unreadable),
            Ok(Err(_)) | Err(_) => Err(NoAnswer::Silence),
        }
    }

    async fn sealed(&self, request: &Request) -> Option<Event> {
        let (secret, to) = (&self.uri.0.secret, &self.uri.0.public_key);
        let modern = self.is_modern().await;
        let text = request.as_json();
        let content = match modern {
            true => nip44::encrypt(secret, to, text, nip44::Version::V2).ok()?,
            false => nip04::encrypt(secret, to, text).ok()?,
        };
        let ends = Timestamp::now() + REQUEST_LIVES;
        let mut event = EventBuilder::new(Kind::WalletConnectRequest, content)
            .tag(Tag::public_key(*to))
            .tag(Tag::expiration(ends));
        if modern {
            event = event.tag(Tag::custom(TagKind::custom("encryption"), ["nip44_v2"]));
        }
        event.sign_with_keys(&Keys::new(secret.clone())).ok()
    }

    fn waiting(
        &self,
    ) -> std::sync::MutexGuard<'_, BTreeMap<EventId, oneshot::Sender<Option<Response>>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets a request that nobody waits for any more.
struct Ticket<'a>(&'a Waiting, EventId);

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

/// One event of the wallet's.
fn hear(uri: &WalletUri, event: &Event, waiting: &Waiting, said: &mpsc::UnboundedSender<Said>) {
    // A relay sends whatever it likes under our question.
    if event.pubkey != uri.0.public_key
        || event.content.len() > MAX_ANSWER
        || event.verify().is_err()
    {
        return;
    }
    let Some(text) = opened(uri, &event.content) else { return };
    if event.kind == Kind::WalletConnectResponse {
        let response = Response::from_json(&text).ok();
        let of = event.tags.event_ids().next();
        let waiter =
            of.and_then(|id| waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(id));
        match (waiter, response) {
            // Whoever waits may have stopped at this very moment.
            (Some(waiter), response) => {
                if let Err(Some(late)) = waiter.send(response) {
                    proof(late, said);
                }
            }
            (None, Some(late)) => proof(late, said),
            (None, None) => {}
        }
        return;
    }
    let Ok(notification) = Notification::from_json(&text) else { return };
    if let NotificationResult::PaymentSent(payment) = notification.notification {
        let _ = said.send(Said::Paid { preimage: payment.preimage, fee: payment.fees_paid });
    }
}

/// An answer that came too late may still be the proof of a payment.
fn proof(response: Response, said: &mpsc::UnboundedSender<Said>) {
    if let Ok(paid) = response.to_pay_invoice() {
        let fee = paid.fees_paid.unwrap_or(0);
        let _ = said.send(Said::Paid { preimage: paid.preimage, fee });
    }
}

/// Decrypted, however the wallet encrypts.
fn opened(uri: &WalletUri, content: &str) -> Option<String> {
    let (secret, from) = (&uri.0.secret, &uri.0.public_key);
    match content.contains("?iv=") {
        true => nip04::decrypt(secret, from, content).ok(),
        false => nip44::decrypt(secret, from, content).ok(),
    }
}

//! A relay that lies and fails: a WebSocket proxy in front of an honest one, which drops, delays,
//! repeats, reorders, alters, closes, cuts and falls silent when told to.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio::task::{AbortHandle, JoinSet};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// What is wrong with the relay at the moment. By default nothing is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults {
    /// Connections are cut before they are opened.
    pub dead: bool,
    /// Connections open and take everything, and nothing ever comes back.
    pub silent: bool,
    /// Nothing more is read, so that a client's buffers fill until it waits in the middle of a message.
    pub deaf: bool,
    /// Every how many-th event on its way to the client is lost.
    pub drop_every: Option<u64>,
    /// How long everything to the client takes.
    pub delay: Duration,
    /// Every event comes twice.
    pub duplicate: bool,
    /// Events of one answer come in pairs the wrong way round.
    pub reorder: bool,
    /// Every how many-th event has a word of its content changed.
    pub alter_every: Option<u64>,
    /// Before every message comes one that is none.
    pub garbage: bool,
    /// The end of what is stored is never told.
    pub no_eose: bool,
    /// Events from the client are answered with OK and thrown away.
    pub claim_ok: bool,
    /// Events from the client are refused with these words.
    pub refuse: Option<String>,
}

/// To every open connection.
#[derive(Debug, Clone)]
enum Order {
    Cut,
    Close(String),
    Say(String),
}

struct Shared {
    upstream: String,
    faults: Mutex<Faults>,
    orders: broadcast::Sender<Order>,
    connections: AtomicU64,
    questions: AtomicU64,
    events: AtomicU64,
    taken: AtomicU64,
}

/// The relay that lies; gone when dropped.
pub struct FlakyRelay {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: AbortHandle,
}

impl fmt::Debug for FlakyRelay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FlakyRelay({})", self.url())
    }
}

impl Drop for FlakyRelay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl FlakyRelay {
    /// Stands in front of the relay at `upstream` (`ws://`), honest until told otherwise.
    #[expect(clippy::disallowed_methods, reason = "the proxy's one task; its handle lives here")]
    pub async fn start(upstream: &str) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            upstream: upstream.to_owned(),
            faults: Mutex::default(),
            orders: broadcast::channel(64).0,
            connections: AtomicU64::new(0),
            questions: AtomicU64::new(0),
            events: AtomicU64::new(0),
            taken: AtomicU64::new(0),
        });
        let task = tokio::spawn(serve(listener, shared.clone())).abort_handle();
        Ok(Self { address, shared, task })
    }

    /// Where it is, as `ws://`.
    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// From now on this is wrong with it, on open connections too.
    pub fn set(&self, faults: Faults) {
        *self.shared.faults.lock().unwrap_or_else(PoisonError::into_inner) = faults;
    }

    /// Cuts every open connection.
    pub fn cut(&self) {
        let _ = self.shared.orders.send(Order::Cut);
    }

    /// Closes every standing subscription with these words.
    pub fn close(&self, why: &str) {
        let _ = self.shared.orders.send(Order::Close(why.to_owned()));
    }

    /// Says this, whatever it is, to every client.
    pub fn say(&self, text: &str) {
        let _ = self.shared.orders.send(Order::Say(text.to_owned()));
    }

    /// Connections that were opened so far.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// `REQ` messages that came so far.
    pub fn questions(&self) -> u64 {
        self.shared.questions.load(Ordering::SeqCst)
    }

    /// `EVENT` messages that clients sent so far.
    pub fn taken(&self) -> u64 {
        self.shared.taken.load(Ordering::SeqCst)
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((stream, _)) = listener.accept() => {
                let shared = shared.clone();
                connections.spawn(async move {
                    let _ = Connection::run(stream, shared).await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

type Server = WebSocketStream<TcpStream>;
type Client = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// One client and its connection to the honest relay.
struct Connection {
    shared: Arc<Shared>,
    client: Server,
    upstream: Client,
    standing: BTreeSet<String>,
    /// An event held back to come after the next.
    held: Option<String>,
}

impl Connection {
    async fn run(stream: TcpStream, shared: Arc<Shared>) -> anyhow::Result<()> {
        let mut orders = shared.orders.subscribe();
        if shared.faults().dead {
            return Ok(());
        }
        let client = tokio_tungstenite::accept_async(stream).await?;
        let (upstream, _) = tokio_tungstenite::connect_async(shared.upstream.as_str()).await?;
        shared.connections.fetch_add(1, Ordering::SeqCst);
        let mut this = Self { shared, client, upstream, standing: BTreeSet::new(), held: None };
        loop {
            let deaf = this.shared.faults().deaf;
            tokio::select! {
                message = this.client.next(), if !deaf => match message {
                    Some(Ok(Message::Text(text))) => this.take_from_client(text.as_str()).await?,
                    Some(Ok(_)) => {}
                    _ => return Ok(()),
                },
                message = this.upstream.next() => match message {
                    Some(Ok(Message::Text(text))) => this.take_from_relay(text.as_str()).await?,
                    Some(Ok(_)) => {}
                    _ => return Ok(()),
                },
                order = orders.recv() => match order? {
                    Order::Cut => return Ok(()),
                    Order::Close(why) => this.close(&why).await?,
                    Order::Say(text) => this.client.send(Message::text(text)).await?,
                },
            }
        }
    }

    async fn close(&mut self, why: &str) -> anyhow::Result<()> {
        for id in std::mem::take(&mut self.standing) {
            self.upstream.send(Message::text(json!(["CLOSE", id]).to_string())).await?;
            self.client.send(Message::text(json!(["CLOSED", id, why]).to_string())).await?;
        }
        Ok(())
    }

    async fn take_from_client(&mut self, text: &str) -> anyhow::Result<()> {
        let faults = self.shared.faults();
        let message: Value = serde_json::from_str(text)?;
        let id = message.get(1).and_then(Value::as_str).unwrap_or_default().to_owned();
        match message.get(0).and_then(Value::as_str) {
            Some("REQ") => {
                self.shared.questions.fetch_add(1, Ordering::SeqCst);
                self.standing.insert(id);
            }
            Some("CLOSE") => {
                self.standing.remove(&id);
            }
            Some("EVENT") => {
                self.shared.taken.fetch_add(1, Ordering::SeqCst);
                let id = &message[1]["id"];
                let answer = match (&faults.refuse, faults.claim_ok) {
                    (Some(why), _) => Some(json!(["OK", id, false, why])),
                    (None, true) => Some(json!(["OK", id, true, ""])),
                    (None, false) => None,
                };
                if let Some(answer) = answer {
                    if !faults.silent {
                        self.client.send(Message::text(answer.to_string())).await?;
                    }
                    return Ok(());
                }
            }
            _ => {}
        }
        Ok(self.upstream.send(Message::text(text)).await?)
    }

    async fn take_from_relay(&mut self, text: &str) -> anyhow::Result<()> {
        let faults = self.shared.faults();
        if faults.silent {
            return Ok(());
        }
        if !faults.delay.is_zero() {
            tokio::time::sleep(faults.delay).await;
        }
        if faults.garbage {
            self.client.send(Message::text("[\"EVENT\", \u{0}")).await?;
        }
        let is = |what: &str| text.starts_with(&format!("[\"{what}\""));
        if is("EOSE") && faults.no_eose {
            return Ok(());
        }
        if !is("EVENT") {
            if let Some(held) = self.held.take() {
                self.client.send(Message::text(held)).await?;
            }
            return Ok(self.client.send(Message::text(text)).await?);
        }
        let n = self.shared.events.fetch_add(1, Ordering::SeqCst) + 1;
        let nth = |every: Option<u64>| every.is_some_and(|every| n.is_multiple_of(every.max(1)));
        if nth(faults.drop_every) {
            return Ok(());
        }
        let text = if nth(faults.alter_every) { altered(text)? } else { text.to_owned() };
        if faults.reorder && self.held.is_none() {
            self.held = Some(text);
            return Ok(());
        }
        let copies = if faults.duplicate { 2 } else { 1 };
        for _ in 0..copies {
            self.client.send(Message::text(text.clone())).await?;
        }
        if let Some(held) = self.held.take() {
            self.client.send(Message::text(held)).await?;
        }
        Ok(())
    }
}

impl Shared {
    fn faults(&self) -> Faults {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The same event with other content under the same id and signature.
fn altered(text: &str) -> anyhow::Result<String> {
    let mut message: Value = serde_json::from_str(text)?;
    if let Some(content) = message.get_mut(2).and_then(|event| event.get_mut("content")) {
        *content = json!(format!("{}!", content.as_str().unwrap_or_default()));
    }
    Ok(message.to_string())
}

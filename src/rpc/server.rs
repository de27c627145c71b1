//! The owner's end of the socket.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, broadcast, mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, timeout};

use crate::engine::{Call, Fault, Handle, Snapshot, Trouble};
use crate::market::Actor;
use crate::rpc::change;
use crate::rpc::frame::{
    Asked, Do, Good, Head, MOST_ASKED, Read, Said, Stream, VERSION, read_line, refused,
};
use crate::rpc::place::Place;

/// Connections at once; one more is told so and closed.
pub const CONNECTIONS: usize = 128;
/// Questions of one connection that are being answered; the next is not read before one is.
const IN_FLIGHT: usize = 8;
/// Questions that one connection may ask at once, and how many more a second. A flood is answered with
/// refusals that cost nothing, so that it does not take the engine from everybody else.
const BURST: u32 = 512;
const A_SECOND: u32 = 256;
/// A connection without a stream that says nothing for so long is closed.
const IDLE: Duration = Duration::from_secs(300);
/// One line must be taken in this time.
const PATIENCE: Duration = Duration::from_secs(30);
/// What is being answered when the owner stops is waited for so long.
const STOP_WAITS: Duration = Duration::from_secs(5);
/// Snapshots follow each other no faster.
const BREATH: Duration = Duration::from_millis(50);

/// Serves a handle on the socket of a directory until it is stopped or dropped.
#[derive(Debug)]
pub struct Server {
    place: Place,
    path: PathBuf,
    stop: watch::Sender<bool>,
    task: Option<JoinHandle<()>>,
}

impl Server {
    /// Begins to serve. Only whoever holds the lock of the directory may: a socket that is there is
    /// taken to be a dead owner's.
    pub fn start(place: Place, handle: Handle) -> io::Result<Self> {
        let (listener, path, uid) = place.listen()?;
        let (stop, stopped) = watch::channel(false);
        #[expect(
            clippy::disallowed_methods,
            reason = "the one task that accepts; `stop` waits for it"
        )]
        let task = tokio::spawn(accept(listener, uid, handle, stopped));
        Ok(Self { place, path, stop, task: Some(task) })
    }

    /// Where it listens.
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// Takes no more questions, finishes those that were taken, tells everybody and takes the socket
    /// away. Call it while the lock of the directory is held.
    pub async fn stop(mut self) {
        let _ = self.stop.send(true);
        if let Some(task) = self.task.take() {
            let _ = task.await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
        self.place.clear(&self.path);
    }
}

async fn accept(
    listener: UnixListener,
    uid: u32,
    handle: Handle,
    mut stopped: watch::Receiver<bool>,
) {
    let mut all = JoinSet::new();
    loop {
        let stream = tokio::select! {
            biased;
            _ = stopped.wait_for(|stop| *stop) => break,
            Some(_) = all.join_next(), if !all.is_empty() => continue,
            stream = listener.accept() => stream,
        };
        match stream {
            Ok((stream, _)) => {
                let said = match stream.peer_cred().map(|peer| peer.uid()) {
                    Ok(who) if who == uid && all.len() < CONNECTIONS => None,
                    Ok(who) if who == uid => Some(refused(
                        "too-many-connections",
                        format!("This earnest talks to {CONNECTIONS} programs at most."),
                    )),
                    _ => Some(refused("not-yours", "This earnest is another user's.")),
                };
                match said {
                    None => {
                        all.spawn(Connection::new(handle.clone(), stopped.clone()).serve(stream));
                    }
                    Some(trouble) => turn_away(stream, trouble),
                }
            }
            Err(why) => {
                // Out of file descriptors, for example: those that are there go on.
                tracing::warn!(%why, "a connection to the socket could not be taken");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    let end = async { while all.join_next().await.is_some() {} };
    let _ = timeout(STOP_WAITS + STOP_WAITS, end).await;
}

/// One line that fits into any socket's buffer, and gone: nobody is waited for.
fn turn_away(stream: UnixStream, trouble: Trouble) {
    use std::io::Write as _;
    // Of its runtime a stream this young does not know yet that it can be written to.
    if let Ok(mut stream) = stream.into_std() {
        let _ = stream.write(Said::new(None, Err(trouble)).line().as_bytes());
    }
}

/// One client.
struct Connection {
    handle: Handle,
    stopped: watch::Receiver<bool>,
    /// Answers, in the order in which they came about. It holds one line: who does not read is not
    /// answered, and who is not answered is not read.
    lines: mpsc::Sender<String>,
    written: Option<mpsc::Receiver<String>>,
    running: JoinSet<()>,
    streams: BTreeSet<Stream>,
    slots: Arc<Semaphore>,
    budget: Budget,
    /// The automated actor that this client has once said it is: it is nobody else from then on.
    actor: Option<Actor>,
}

impl Connection {
    fn new(handle: Handle, stopped: watch::Receiver<bool>) -> Self {
        let (lines, written) = mpsc::channel(1);
        Self {
            handle,
            stopped,
            lines,
            written: Some(written),
            running: JoinSet::new(),
            streams: BTreeSet::new(),
            slots: Arc::new(Semaphore::new(IN_FLIGHT)),
            budget: Budget::full(),
            actor: None,
        }
    }

    async fn serve(mut self, stream: UnixStream) {
        let (from, to) = stream.into_split();
        let Some(written) = self.written.take() else { return };
        let mut writer = JoinSet::new();
        writer.spawn(write(to, written));
        let mut stopped = self.stopped.clone();
        let last = tokio::select! {
            last = self.read(BufReader::new(from)) => last,
            _ = stopped.wait_for(|stop| *stop) => Some(ended()),
            // Nobody takes answers any more.
            _ = writer.join_next() => None,
        };
        self.end(last, writer).await;
    }

    /// Reads and starts to answer until there is a reason to end; the reason, where it can be said.
    async fn read(&mut self, mut from: BufReader<OwnedReadHalf>) -> Option<Trouble> {
        let mut line = Vec::new();
        loop {
            while self.running.try_join_next().is_some() {}
            // What a client takes its time for is bounded only while it waits for nothing from us.
            let idle = self.streams.is_empty() && self.running.is_empty();
            let read = read_line(&mut from, &mut line, MOST_ASKED);
            let read = match idle {
                true => match timeout(IDLE, read).await {
                    Ok(read) => read,
                    Err(_) => return Some(refused("idle", "Nothing was asked for five minutes.")),
                },
                false => read.await,
            };
            match read {
                Ok(Read::Line) => {}
                Ok(Read::End) | Err(_) => return None,
                Ok(Read::TooLong) => {
                    let said = format!("A line has at most {MOST_ASKED} bytes.");
                    return Some(refused("too-long", said));
                }
            }
            let Ok(Head { v, id }) = serde_json::from_slice(&line) else {
                let said = "That is not a line of earnest's: {\"v\":1,\"id\":1,\"do\":\"payments\"} is one.";
                return Some(refused("garbage", said));
            };
            if v != VERSION {
                let said = format!(
                    "This earnest speaks version {VERSION} of its socket and you speak {v}. Start both \
                     from one program."
                );
                self.say(Some(id), Err(refused("unknown-version", said))).await;
                return None;
            }
            match serde_json::from_slice::<Asked>(&line) {
                Ok(asked) => self.take(id, asked.r#do).await,
                Err(_) => {
                    let said = "This earnest knows no such question.";
                    self.say(Some(id), Err(refused("unknown-question", said))).await;
                }
            }
        }
    }

    async fn take(&mut self, id: u64, what: Do) {
        let lines = self.lines.clone();
        match what {
            Do::Stream(stream) if !self.streams.insert(stream) => {
                let said = "It is being told on this connection already.";
                self.say(Some(id), Err(refused("twice", said))).await;
            }
            Do::Stream(Stream::Watch) => {
                self.running.spawn(watch_for(self.handle.watch(), id, lines));
            }
            Do::Stream(Stream::Notices) => {
                self.running.spawn(tell(self.handle.notices(), id, lines));
            }
            Do::Call(_) if !self.budget.spend() => {
                let said =
                    format!("More than {A_SECOND} questions a second: this one is not heard.");
                self.say(Some(id), Err(refused("flood", said))).await;
            }
            Do::Call(call) => {
                let call = match self.signed(call) {
                    Ok(call) => call,
                    Err(trouble) => return self.say(Some(id), Err(trouble)).await,
                };
                let Ok(slot) = self.slots.clone().acquire_owned().await else { return };
                let handle = self.handle.clone();
                // To its end, whether somebody still waits for the answer or not: half a command is worse
                // than one whose asker is gone.
                self.running.spawn(async move {
                    let answer = handle.call(call).await.map(Good::Answer);
                    let _ = lines.send(Said::new(Some(id), answer).line()).await;
                    drop(slot);
                });
            }
        }
    }

    /// In whose name it is asked. Local programs of the same user are trusted to name themselves; whoever
    /// has said that it is a bot or an agent stays that one for as long as it is connected.
    fn signed(&mut self, call: Call) -> Result<Call, Trouble> {
        match (&self.actor, call) {
            (None, Call::As { by, call }) => {
                self.actor = Some(by.clone());
                Ok(Call::As { by, call })
            }
            (None, call) => Ok(call),
            (Some(actor), Call::As { by, .. }) if *actor != by => {
                Err(refused("another-name", format!("This connection is {actor}'s.")))
            }
            (Some(_), call @ Call::As { .. }) => Ok(call),
            (Some(actor), call) => Ok(Call::As { by: actor.clone(), call: Box::new(call) }),
        }
    }

    async fn say(&self, id: Option<u64>, said: Result<Good, Trouble>) {
        let _ = self.lines.send(Said::new(id, said).line()).await;
    }

    /// Lets what runs come to its end, says the last line, closes.
    async fn end(self, last: Option<Trouble>, mut writer: JoinSet<()>) {
        let Self { lines, mut running, slots, streams, .. } = self;
        let all = u32::try_from(IN_FLIGHT).unwrap_or(1);
        // The streams never end by themselves; every question gives its slot back.
        let _ = timeout(STOP_WAITS, slots.acquire_many(all)).await;
        if !streams.is_empty() && slots.available_permits() == IN_FLIGHT {
            running.abort_all();
        }
        if let Some(trouble) = last {
            let _ = lines.send_timeout(Said::new(None, Err(trouble)).line(), STOP_WAITS).await;
        }
        drop(lines);
        if slots.available_permits() == IN_FLIGHT {
            running.abort_all();
        } else {
            // A long one, a copy of a great file or a payment: it goes on without us.
            running.detach_all();
        }
        let _ = timeout(STOP_WAITS, writer.join_next()).await;
    }
}

/// Said to everybody when the owner stops.
fn ended() -> Trouble {
    Fault::Later(
        "The earnest that owns this directory has stopped. What it was asked before was done or is \
         written down; no money is lost. Start it again to go on."
            .to_owned(),
    )
    .into()
}

async fn write(mut to: OwnedWriteHalf, mut lines: mpsc::Receiver<String>) {
    while let Some(line) = lines.recv().await {
        match timeout(PATIENCE, to.write_all(line.as_bytes())).await {
            Ok(Ok(())) => {}
            // Gone, or it does not read: the memory is worth more than its patience.
            _ => return,
        }
    }
    let _ = to.shutdown().await;
}

/// The snapshot whenever it changes; what changes while the client is slow comes as one.
async fn watch_for(
    mut snapshot: watch::Receiver<Arc<Snapshot>>,
    id: u64,
    lines: mpsc::Sender<String>,
) {
    let mut told = Arc::new(Snapshot::default());
    loop {
        let now = snapshot.borrow_and_update().clone();
        for part in change::between(&told, &now) {
            let line = Said::new(Some(id), Ok(Good::Change(Box::new(part)))).line();
            if lines.send(line).await.is_err() {
                return;
            }
        }
        told = now;
        tokio::time::sleep(BREATH).await;
        if snapshot.changed().await.is_err() {
            let _ = lines.send(Said::new(None, Err(ended())).line()).await;
            return;
        }
    }
}

async fn tell(
    mut notices: broadcast::Receiver<crate::engine::Notice>,
    id: u64,
    lines: mpsc::Sender<String>,
) {
    loop {
        let good = match notices.recv().await {
            Ok(notice) => Good::Notice(notice),
            Err(broadcast::error::RecvError::Lagged(missed)) => Good::Missed(missed),
            Err(broadcast::error::RecvError::Closed) => return,
        };
        if lines.send(Said::new(Some(id), Ok(good)).line()).await.is_err() {
            return;
        }
    }
}

/// How many questions may be asked now.
struct Budget {
    left: u32,
    filled: Instant,
}

impl Budget {
    fn full() -> Self {
        Self { left: BURST, filled: Instant::now() }
    }

    fn spend(&mut self) -> bool {
        let now = Instant::now();
        let earned = now.duration_since(self.filled).as_millis() * u128::from(A_SECOND) / 1000;
        if earned > 0 {
            let earned = u32::try_from(earned).unwrap_or(u32::MAX);
            self.left = self.left.saturating_add(earned).min(BURST);
            self.filled = now;
        }
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }
}

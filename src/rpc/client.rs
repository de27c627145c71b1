//! A guest's end of the socket: a line to an engine in another process.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::engine::{Answer, Call, Fault, Handle, Line, Notice, Snapshot, Trouble};
use crate::rpc::frame::{
    Asked, Do, Good, MOST_ASKED, MOST_SAID, Read, Said, Stream, VERSION, line, read_line,
};
use crate::rpc::place::{NotReached, Place};

/// How long the owner may take for the first snapshot.
const FIRST: Duration = Duration::from_secs(10);
/// Notices that a slow front end may be behind.
const NOTICES: usize = 256;
/// The streams' ids; calls begin after them.
const WATCH: u64 = 1;
const NOTICE: u64 = 2;

/// Connects to the owner of a directory. The handle has a snapshot already; when the owner ends, its
/// `watch` closes and every call says so.
///
/// # Errors
/// [`NotReached::Nobody`] when nobody owns it or is ready yet.
pub async fn connect(dir: &Path) -> Result<Handle, NotReached> {
    let place = Place::new(dir);
    let (from, to) = place.dial().await?.into_split();
    let (lines, asked) = mpsc::channel(16);
    let (shown, mut snapshot) = watch::channel(Arc::new(Snapshot::default()));
    let (notices, _) = broadcast::channel(NOTICES);
    let shared = Arc::new(Shared {
        waiting: Mutex::default(),
        end: Mutex::default(),
        notices: Mutex::new(Some(notices)),
    });
    let mut tasks = JoinSet::new();
    tasks.spawn(write(to, asked));
    tasks.spawn(read(from, shown, shared.clone()));
    for (id, stream) in [(WATCH, Stream::Watch), (NOTICE, Stream::Notices)] {
        let asked = Asked { v: VERSION, id, r#do: Do::Stream(stream) };
        let asked = line(&asked).map_err(|why| unusable(&place, &why.to_string()))?;
        let _ = lines.send(asked).await;
    }
    match tokio::time::timeout(FIRST, snapshot.changed()).await {
        Ok(Ok(())) => {}
        // It closed on us, and perhaps said why.
        Ok(Err(_)) => return Err(unusable(&place, &shared.ended().to_string())),
        Err(_) => return Err(unusable(&place, "it does not answer. No money moved")),
    }
    let next = AtomicU64::new(NOTICE + 1);
    Ok(Handle::new(Arc::new(Remote { lines, next, shared, snapshot, _tasks: tasks })))
}

fn unusable(place: &Place, why: &str) -> NotReached {
    NotReached::Unusable { dir: place.dir(), why: why.to_owned() }
}

/// The line. When the last handle goes, the tasks and the connection go with it.
struct Remote {
    lines: mpsc::Sender<String>,
    next: AtomicU64,
    shared: Arc<Shared>,
    snapshot: watch::Receiver<Arc<Snapshot>>,
    _tasks: JoinSet<()>,
}

struct Shared {
    waiting: Mutex<Waiting>,
    /// Why the connection ended, once it has.
    end: Mutex<Option<Trouble>>,
    notices: Mutex<Option<broadcast::Sender<Notice>>>,
}

/// Who waits for an answer; `closed` when none will come.
#[derive(Default)]
struct Waiting {
    closed: bool,
    by_id: BTreeMap<u64, oneshot::Sender<Result<Answer, Trouble>>>,
}

impl Shared {
    /// Why nothing can be asked any more.
    fn ended(&self) -> Trouble {
        let end = self.end.lock().unwrap_or_else(PoisonError::into_inner).clone();
        end.unwrap_or_else(|| {
            Fault::Later(
                "The earnest that owns this directory is gone. Nothing was done; start it again to \
                 go on."
                    .to_owned(),
            )
            .into()
        })
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets a call whose caller does not wait any more.
struct Ticket<'a>(&'a Shared, u64);

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.0.waiting().by_id.remove(&self.1);
    }
}

#[async_trait]
impl Line for Remote {
    async fn call(&self, call: Call) -> Result<Answer, Trouble> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let never = |why: &str| Trouble::from(Fault::Never(format!("{why} Nothing was done.")));
        let asked = line(&Asked { v: VERSION, id, r#do: Do::Call(call) })
            .map_err(|_| never("A path that is not UTF-8 cannot be sent to the owner."))?;
        if asked.len() > MOST_ASKED {
            return Err(never("That is longer than the owner of this directory reads."));
        }
        let (answer, wait) = oneshot::channel();
        {
            let mut waiting = self.shared.waiting();
            if waiting.closed {
                return Err(self.shared.ended());
            }
            waiting.by_id.insert(id, answer);
        }
        let _ticket = Ticket(&self.shared, id);
        if self.lines.send(asked).await.is_err() {
            return Err(self.shared.ended());
        }
        wait.await.unwrap_or_else(|_| {
            Err(Fault::Later(
                "The earnest that owns this directory ended before it answered. What was asked may \
                 have been done: look before you ask again. No payment is made twice for one \
                 invoice."
                    .to_owned(),
            )
            .into())
        })
    }

    fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshot.clone()
    }

    fn notices(&self) -> broadcast::Receiver<Notice> {
        let notices = self.shared.notices.lock().unwrap_or_else(PoisonError::into_inner);
        match &*notices {
            Some(notices) => notices.subscribe(),
            // Closed from the start: there is nobody to tell any.
            None => broadcast::channel(1).1,
        }
    }
}

async fn write(mut to: OwnedWriteHalf, mut lines: mpsc::Receiver<String>) {
    while let Some(line) = lines.recv().await {
        if to.write_all(line.as_bytes()).await.is_err() {
            // The reader sees the end too, and says it.
            return;
        }
    }
}

async fn read(from: OwnedReadHalf, shown: watch::Sender<Arc<Snapshot>>, shared: Arc<Shared>) {
    let mut from = BufReader::new(from);
    let mut bytes = Vec::new();
    let mut building = Snapshot::default();
    let end = loop {
        match read_line(&mut from, &mut bytes, MOST_SAID).await {
            Ok(Read::Line) => {}
            Ok(Read::End | Read::TooLong) | Err(_) => break None,
        }
        let Ok(said) = serde_json::from_slice::<Said>(&bytes) else {
            let why = "The earnest that owns this directory says what this one does not understand. \
                       Start both from one program.";
            break Some(Fault::Never(why.to_owned()).into());
        };
        match (said.id, said.ok, said.err) {
            (None, _, Some(trouble)) => break Some(trouble),
            (Some(WATCH | NOTICE), _, Some(trouble)) => break Some(trouble),
            (Some(WATCH), Some(Good::Change(change)), _) => {
                let more = change.more;
                change.apply(&mut building);
                if !more {
                    shown.send_replace(Arc::new(building.clone()));
                }
            }
            (Some(NOTICE), Some(Good::Notice(notice)), _) => {
                let notices = shared.notices.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(notices) = &*notices {
                    let _ = notices.send(notice);
                }
            }
            (Some(NOTICE), Some(Good::Missed(missed)), _) => {
                tracing::warn!(missed, "notices were told faster than they were read");
            }
            (Some(id), ok, err) => {
                let answer = match (ok, err) {
                    (Some(Good::Answer(answer)), None) => Ok(answer),
                    (_, Some(trouble)) => Err(trouble),
                    _ => continue,
                };
                if let Some(wait) = shared.waiting().by_id.remove(&id) {
                    let _ = wait.send(answer);
                }
            }
            (None, ..) => {}
        }
    };
    *shared.end.lock().unwrap_or_else(PoisonError::into_inner) = end;
    let mut waiting = shared.waiting();
    waiting.closed = true;
    waiting.by_id.clear();
    drop(waiting);
    shared.notices.lock().unwrap_or_else(PoisonError::into_inner).take();
    // `shown` goes last: whoever sees it closed can read why.
}

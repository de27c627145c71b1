//! Whoever starts first owns: the way in for every front end.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use tokio::time::Instant;

use crate::app::{App, Keys, Setup, is_owned};
use crate::engine::{Handle, JobView, Snapshot};
use crate::market::{EventId, Msat, Phase, Role};
use crate::rpc::client::connect;
use crate::rpc::notify::Notifier;
use crate::rpc::place::{NotReached, Place};
use crate::rpc::server::Server;

/// How long somebody who holds the lock may take to answer on the socket: it may just be starting, or
/// stopping.
const PATIENCE: Duration = Duration::from_secs(20);
const AGAIN: Duration = Duration::from_millis(100);

/// What an owner owns: an [`App`], or something that stands for one.
#[async_trait]
pub trait Part: Send + Sync + 'static {
    /// How everybody speaks to it.
    fn handle(&self) -> &Handle;
    /// Stops it in order and gives the lock of the directory back.
    async fn stop(self: Box<Self>) -> anyhow::Result<()>;
}

#[async_trait]
impl Part for App {
    fn handle(&self) -> &Handle {
        App::handle(self)
    }
    async fn stop(self: Box<Self>) -> anyhow::Result<()> {
        App::stop(*self).await
    }
}

/// The way in: as the owner, or as a guest of the owner.
pub enum Door {
    /// This process owns the directory and serves everybody else.
    Owner(Owning),
    /// Another one does. Dropping the handle changes nothing.
    Guest(Handle),
}

impl Door {
    /// The same handle, whoever owns.
    pub fn handle(&self) -> &Handle {
        match self {
            Self::Owner(owning) => owning.handle(),
            Self::Guest(handle) => handle,
        }
    }

    /// Leaves: an owner stops everything in order, a guest just goes.
    ///
    /// # Errors
    /// What did not stop well. Nothing is lost by it.
    pub async fn leave(self) -> anyhow::Result<()> {
        match self {
            Self::Owner(owning) => owning.stop().await,
            Self::Guest(_) => Ok(()),
        }
    }

    /// What a person should hear before this process ends: that it owns, and what then waits for the next
    /// start. `None` for a guest, and for an owner with nothing at stake.
    pub fn before_leaving(&self) -> Option<String> {
        match self {
            Self::Owner(owning) => owning.before_leaving(),
            Self::Guest(_) => None,
        }
    }
}

/// An owner: what it owns and the socket it is served on.
pub struct Owning {
    part: Box<dyn Part>,
    server: Server,
}

impl Owning {
    /// How everybody speaks to it.
    pub fn handle(&self) -> &Handle {
        self.part.handle()
    }

    /// See [`Door::before_leaving`].
    pub fn before_leaving(&self) -> Option<String> {
        at_stake(&self.handle().watch().borrow())
    }

    /// Guests first, so that nobody asks what cannot be done any more; then the engine and all behind it.
    /// The lock goes last.
    ///
    /// # Errors
    /// What did not stop well. Nothing is lost by it.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.server.stop().await;
        self.part.stop().await
    }
}

/// What needs a running earnest: payments on their way or held for us, words that are not out yet, and
/// files that somebody can fetch only here.
fn at_stake(snapshot: &Snapshot) -> Option<String> {
    let what = [moving(snapshot), unsaid(snapshot), unfetched(snapshot)];
    let what: Vec<String> = what.into_iter().flatten().collect();
    let (last, others) = what.split_last()?;
    let comma = if others.is_empty() { "" } else { ", and " };
    Some(format!(
        "This program is the one that runs your node, and {}{comma}{last}. Nothing is lost if you quit \
         and start again within hours; `earnest run` keeps it running without a screen.",
        others.join(", ")
    ))
}

/// Words on their way to relays.
fn unsaid(snapshot: &Snapshot) -> Option<String> {
    let jobs = snapshot.jobs.values().flat_map(|job| &job.pending);
    let talk = jobs.chain(snapshot.posts.iter().flat_map(|post| &post.pending));
    match talk.filter(|effect| effect.is_talk()).count() {
        0 => None,
        1 => Some("one message is not sent yet".to_owned()),
        n => Some(format!("{n} messages are not sent yet")),
    }
}

/// Files that travel only while we run.
fn unfetched(snapshot: &Snapshot) -> Option<String> {
    let open = |job: &&JobView| !job.phase.is_over();
    let jobs = || snapshot.jobs.values().map(|job| &**job).filter(open);
    let serves = |job: &&JobView| match job.role {
        Role::Worker => job.phase == Phase::Delivered,
        Role::Requester => {
            job.phase == Phase::Working && job.materials.iter().any(|m| m.from == job.role)
        }
    };
    let fetches = |job: &&JobView| {
        let delivery = job.delivery.as_ref().is_some_and(|d| d.manifest.is_some() && !d.inspected);
        job.role == Role::Requester && delivery
            || job.materials.iter().any(|m| m.from != job.role && m.path.is_none())
    };
    match (jobs().filter(serves).count(), jobs().filter(fetches).count()) {
        (0, 0) => None,
        (0, n) => Some(format!("files of {n} of your jobs are still being fetched")),
        (n, _) => Some(format!("the files of {n} of your jobs can be fetched only while it runs")),
    }
}

/// Money that needs a running node: payments on their way, and payments held for us.
fn moving(snapshot: &Snapshot) -> Option<String> {
    let moving = |phase| matches!(phase, Phase::Accepted | Phase::Paying);
    let jobs = snapshot.jobs.values().filter(|job| moving(job.phase)).count();
    let held = snapshot.node.as_ref().map_or(Msat::ZERO, |node| node.balances.held_incoming);
    Some(match (jobs, held) {
        (0, Msat::ZERO) => return None,
        (0, held) => format!("{held} are held for you and not claimed yet"),
        (n, Msat::ZERO) => format!("{n} of your jobs are being paid"),
        (n, held) => {
            format!("{n} of your jobs are being paid and {held} are held and not claimed yet")
        }
    })
}

/// Owns the directory of `setup` if nobody does, else becomes a guest of whoever does.
///
/// # Errors
/// The app does not start, or an owner is there that cannot be talked to.
pub async fn open(setup: Setup, keys: Arc<Keys>) -> anyhow::Result<Door> {
    let dir = setup.dir.clone();
    first(&dir, || App::open(setup.clone(), keys.clone())).await
}

/// Like [`open`], with anything that takes the lock of the directory, or fails with an error for which
/// [`is_owned`] holds.
///
/// # Errors
/// As [`open`].
pub async fn first<P: Part, F: Future<Output = anyhow::Result<P>>>(
    dir: &Path,
    mut own: impl FnMut() -> F,
) -> anyhow::Result<Door> {
    let begun = Instant::now();
    loop {
        match connect(dir).await {
            Ok(handle) => return Ok(Door::Guest(handle)),
            Err(NotReached::Nobody(_)) => {}
            // It may be going down at this very moment: then the lock is free soon.
            Err(NotReached::Unusable { .. }) if begun.elapsed() < PATIENCE => {}
            Err(why) => return Err(why.into()),
        }
        match own().await {
            Ok(part) => return self::own(dir, part).await.map(Door::Owner),
            Err(why) if is_owned(&why) && begun.elapsed() < PATIENCE => {}
            Err(why) if is_owned(&why) => {
                return Err(why.context("The owner of the directory does not answer on its socket"));
            }
            Err(why) => return Err(why),
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Serves what already has the lock of the directory to everybody else.
///
/// # Errors
/// The socket cannot be made; the part is stopped then.
pub async fn own<P: Part>(dir: &Path, part: P) -> anyhow::Result<Owning> {
    match Server::start(Place::new(dir), part.handle().clone()) {
        Ok(server) => Ok(Owning { part: Box::new(part), server }),
        Err(why) => {
            let stopped = Box::new(part).stop().await;
            let sentence = "The socket for other programs cannot be made. No money was touched";
            stopped.and(Err(why.into())).context(sentence)
        }
    }
}

/// Another earnest owns the directory, and answers for it.
#[derive(Debug, thiserror::Error)]
#[error(
    "An earnest runs in {0} already, and every other command finds it. There is nothing to do."
)]
struct Taken(String);

/// Whether something does not run because another process owns the data directory.
pub fn is_taken(why: &anyhow::Error) -> bool {
    is_owned(why) || why.chain().any(|cause| cause.is::<Taken>())
}

/// `earnest run`: owns the directory without a screen until `stop` resolves or somebody asks the engine
/// to stop, and tells systemd how it is doing.
///
/// # Errors
/// It does not start, somebody else owns the directory, or it did not stop well.
pub async fn run(
    setup: Setup,
    keys: Arc<Keys>,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let dir = setup.dir.display().to_string();
    let notifier = Notifier::from_env();
    let mut stop = std::pin::pin!(stop);
    let door = tokio::select! {
        door = open(setup, keys) => door?,
        // An opening that is cut short leaves nothing that the next one does not put right.
        () = &mut stop => return Ok(()),
    };
    match door {
        Door::Owner(owning) => keep(owning, &notifier, stop).await,
        Door::Guest(_) => Err(Taken(dir).into()),
    }
}

/// Keeps an owner running until it is told to stop.
pub async fn keep(
    owning: Owning,
    notifier: &Notifier,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    notifier.say("READY=1\nSTATUS=Running.");
    let mut watch = owning.handle().watch();
    let ended = async { while watch.changed().await.is_ok() {} };
    tokio::select! {
        () = stop => {}
        () = ended => tracing::info!("the engine was asked to stop"),
        () = beat(owning.handle(), notifier) => {}
    }
    notifier.say("STOPPING=1");
    owning.stop().await
}

/// Tells the watchdog that the engine answers; stays silent when it does not.
async fn beat(handle: &Handle, notifier: &Notifier) {
    let Some(each) = notifier.beat() else { return std::future::pending().await };
    loop {
        match handle.gig(EventId([0; 32])).await {
            Ok(_) => notifier.say("WATCHDOG=1"),
            Err(fault) => tracing::warn!(%fault, "the engine does not answer"),
        }
        tokio::time::sleep(each).await;
    }
}

//! A person: looks at its snapshot, thinks for a moment, and does one thing after another.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::Rng as _;
use rand::rngs::StdRng;
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;

use crate::engine::{Command, Handle, Receipt, Snapshot, Trouble};
use crate::market::{BidId, EventId, Pubkey, Role};
use crate::sandbox::market::{Happening, Pace, What};
use crate::sandbox::people::notebook::chance;
use crate::sandbox::people::{Character, Notebook};
use crate::sandbox::world::{Party, now};
use crate::text::Clean;

/// Between two looks at the snapshot, however fast it changes.
const BREATH: Duration = Duration::from_millis(250);
/// Without news it is looked at all the same.
const BEAT: Duration = Duration::from_millis(1_000);

/// What everybody is up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sandbox) enum Mood {
    /// Open for business.
    Open,
    /// What was begun is finished; nothing new is begun.
    Resting,
    /// Going home now.
    Leaving,
}

/// Tells what happens, in names instead of keys.
#[derive(Debug, Clone)]
pub(in crate::sandbox) struct Teller {
    newcomer: Option<Pubkey>,
    names: Arc<Mutex<BTreeMap<Pubkey, &'static str>>>,
    out: broadcast::Sender<Happening>,
}

impl Teller {
    pub(in crate::sandbox) fn new(newcomer: Option<Pubkey>) -> Self {
        let (out, _) = broadcast::channel(1_024);
        Self { newcomer, names: Arc::default(), out }
    }

    pub(in crate::sandbox) fn listen(&self) -> broadcast::Receiver<Happening> {
        self.out.subscribe()
    }

    /// From now on this key has this name.
    pub(in crate::sandbox) fn introduce(&self, key: Pubkey, name: &'static str) {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).insert(key, name);
    }

    /// The name of a resident.
    pub(super) fn name(&self, key: &Pubkey) -> Option<&'static str> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).get(key).copied()
    }

    /// Whether it is a resident's.
    pub(in crate::sandbox) fn knows(&self, key: &Pubkey) -> bool {
        self.name(key).is_some()
    }

    /// What people call this key.
    pub(super) fn called(&self, key: &Pubkey) -> &'static str {
        let guest = if self.newcomer == Some(*key) { "you" } else { "a guest" };
        self.name(key).unwrap_or(guest)
    }

    pub(in crate::sandbox) fn tell(&self, happening: Happening) {
        tracing::info!(what = ?happening.what, "{}", happening.text);
        // Nobody may be listening.
        let _ = self.out.send(happening);
    }
}

/// Somebody who lives in the market.
pub(in crate::sandbox) struct Person {
    pub(super) character: &'static Character,
    pub(super) party: Arc<Party>,
    pub(super) desk: PathBuf,
    pub(super) notebook: Notebook,
    pub(super) chance: StdRng,
    pub(super) pace: Pace,
    pub(super) teller: Teller,
    /// Jobs in which what is sealed will not open.
    pub(super) cheats: Arc<Mutex<BTreeSet<BidId>>>,
    /// Sealed deliveries so far.
    pub(super) sealed: u32,
    /// Direct deliveries so far.
    pub(super) direct: u32,
    /// Deliveries, or rejections of ours, by job.
    pub(super) tries: BTreeMap<BidId, u32>,
    /// Gigs that were bid on, by author and name.
    pub(super) answered: BTreeSet<(Pubkey, String)>,
    pub(super) next_look: Instant,
    pub(super) next_post: Instant,
    due: BTreeMap<(EventId, &'static str), Instant>,
    finished: BTreeSet<BidId>,
}

impl Person {
    /// Moves in: `seed` is the market's.
    pub(in crate::sandbox) fn new(
        character: &'static Character,
        party: Arc<Party>,
        seed: u64,
        pace: Pace,
        teller: Teller,
        cheats: Arc<Mutex<BTreeSet<BidId>>>,
    ) -> anyhow::Result<Self> {
        let desk = party.dir.join("desk");
        let notebook = Notebook::open(&desk, seed, character.id)?;
        let begun = Instant::now();
        Ok(Self {
            character,
            party,
            desk,
            notebook,
            chance: chance(seed, character.id, u64::MAX),
            pace,
            teller,
            cheats,
            sealed: 0,
            direct: 0,
            tries: BTreeMap::new(),
            answered: BTreeSet::new(),
            next_look: begun,
            next_post: begun,
            due: BTreeMap::new(),
            finished: BTreeSet::new(),
        })
    }

    /// Lives until it is told to leave.
    pub(in crate::sandbox) async fn live(mut self, mut mood: watch::Receiver<Mood>) {
        let mut watch = self.handle().watch();
        if let Ok(snapshot) = watch.wait_for(|snapshot| snapshot.identity.is_some()).await {
            // What was over before was told before.
            let over = snapshot.jobs.values().filter(|view| view.phase.is_over());
            self.finished = over.map(|view| view.id).collect();
        }
        loop {
            let now = *mood.borrow_and_update();
            if now == Mood::Leaving {
                return;
            }
            let snapshot = watch.borrow_and_update().clone();
            self.turn(&snapshot, now == Mood::Open).await;
            let news = async {
                tokio::time::sleep(BREATH).await;
                watch.changed().await
            };
            tokio::select! {
                changed = mood.changed() => if changed.is_err() { return },
                changed = news => if changed.is_err() { return },
                () = tokio::time::sleep(BEAT) => {}
            }
        }
    }

    pub(super) fn handle(&self) -> Handle {
        self.party.app.handle().clone()
    }

    async fn turn(&mut self, snapshot: &Snapshot, open: bool) {
        for view in snapshot.jobs.values() {
            if self.finished.contains(&view.id) {
                continue;
            }
            match view.role {
                Role::Requester => self.as_requester(snapshot, view, open).await,
                Role::Worker => self.as_worker(view, open).await,
            }
        }
        self.close_old_gigs(snapshot).await;
        if open {
            self.think_of_a_gig(snapshot).await;
            self.look_for_work(snapshot).await;
        }
    }

    /// Whether it has thought about something for about this long. The first question begins the thought;
    /// one that has ended may be asked again.
    pub(super) fn thought(&mut self, about: EventId, what: &'static str, secs: f64) -> bool {
        let span = secs * self.pace.haste() * self.chance.random_range(0.6..1.4);
        let due = self
            .due
            .entry((about, what))
            .or_insert_with(|| Instant::now() + Duration::from_secs_f64(span));
        Instant::now() >= *due
    }

    /// The next time it thinks anew.
    pub(super) fn forget(&mut self, about: EventId, what: &'static str) {
        self.due.remove(&(about, what));
    }

    /// Nothing more to be done with this one.
    pub(super) fn finish(&mut self, job: BidId) {
        self.due.retain(|(about, _), _| *about != job);
        self.tries.remove(&job);
        self.finished.insert(job);
    }

    /// Asks; a refusal is written to the log, since the next snapshot shows what is.
    pub(super) async fn ask(&self, command: Command) -> Result<Receipt, Trouble> {
        let word = format!("{command:?}");
        let word = word.split([' ', '(']).next().unwrap_or_default().to_owned();
        let done = self.handle().ask(command).await;
        if let Err(trouble) = &done {
            tracing::debug!(who = self.character.id, %trouble, word, "was not done");
        }
        done
    }

    /// Tells of something that concerns a gig.
    pub(super) fn tell(
        &self,
        what: What,
        with: Option<&Pubkey>,
        title: &Clean,
        sats: u64,
        text: String,
    ) {
        self.teller.tell(Happening {
            at: now(),
            what,
            who: self.character.name.to_owned(),
            with: with.map(|key| self.teller.called(key).to_owned()),
            gig: Some(title.clone()),
            sats: Some(sats),
            proof: None,
            text,
        });
    }
}

//! Homes: peers at whose screens somebody else sits than the world's own people, a bot for example. Whoever
//! lives there sees what eyes see, asks by a line as every front end does, and is told nothing of the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt as _;
use tokio::sync::{broadcast, watch};

use super::brittle::Brittle;
use super::chance::Draw;
use super::clock::{GENESIS, PeerClock, What, lock};
use super::disk::Disks;
use super::peer::{Broken, Peer};
use super::world::{AFTER, HOUR, World};
use crate::engine::{
    Answer, Call, Clock, Command, Core, Dice, Fault, Files, GigView, Line, Notice, Ready, Receipt,
    Snapshot, Store as _, Trouble, Views, obey,
};
use crate::market::{Actor, BidId, Budget, EventId, Job, Post, Pubkey, Time};
use crate::seal::Cut;

/// Somebody who lives at a peer, its machine's crashes and all.
pub trait Resident {
    /// One look at the screen, and what follows from it.
    fn look(&mut self, place: &Place);
}

/// Whoever must see everything that is asked at a peer.
pub trait Witness: Send + Sync {
    /// This was asked and answered just now.
    fn saw(&self, asked: &Asked<'_>);
}

/// Who lives where.
pub struct Resides {
    /// At which peer.
    pub peer: usize,
    /// What its automation may spend.
    pub budget: Budget,
    /// Who.
    pub resident: Box<dyn Resident>,
    /// And who watches them.
    pub witness: Arc<dyn Witness>,
}

/// What a resident has before it.
pub struct Place {
    /// Which peer this is.
    pub peer: usize,
    /// Which start of its machine: what was in memory in another one is gone.
    pub epoch: u64,
    /// What is shown; now and then what was shown at the look before.
    pub shown: Arc<Snapshot>,
    /// The way to the engine, for as long as this look takes.
    pub line: Arc<dyn Line>,
    /// The wall clock: it jumps.
    pub clock: Arc<dyn Clock>,
    /// A steady clock, since the world began.
    pub passed: Duration,
    /// Nothing goes wrong by itself any more.
    pub calm: bool,
    disks: Arc<Mutex<Disks>>,
}

impl Place {
    /// Puts a file on this peer's disk.
    pub fn write(&self, name: &str, bytes: Vec<u8>) -> PathBuf {
        let path = PathBuf::from(format!("/sim/{}/home/{name}", self.peer));
        lock(&self.disks).write(self.peer, path.clone(), bytes);
        path
    }
}

/// A command, its answer, and how things stand after it.
pub struct Asked<'a> {
    /// At which peer.
    pub peer: usize,
    /// In whose name; `None` for a person.
    pub by: Option<&'a Actor>,
    /// What.
    pub command: &'a Command,
    /// What came of it.
    pub answer: &'a Result<Receipt, Trouble>,
    /// Whether automation was stopped when it was asked.
    pub halted: bool,
    /// By the peer's own clock.
    pub now: Time,
    /// Whose engine it is.
    pub identity: Pubkey,
    /// Every job there.
    pub jobs: &'a BTreeMap<BidId, Job>,
    /// Every gig of its own.
    pub posts: &'a BTreeMap<EventId, Post>,
}

/// A peer's resident, and what stands on the desk.
pub(super) struct Home {
    budget: Budget,
    resident: Box<dyn Resident>,
    desk: Arc<Desk>,
    views: Views,
    epoch: u64,
}

impl Home {
    /// What automation may spend here.
    pub(super) fn budget(&self) -> Budget {
        self.budget.clone()
    }
}

/// The line to an engine that is lent to it for one look at a time.
struct Desk {
    peer: usize,
    core: Mutex<Option<Core<Brittle>>>,
    files: Arc<dyn Files>,
    dice: Arc<dyn Dice>,
    clock: Arc<PeerClock>,
    witness: Arc<dyn Witness>,
    shown: watch::Sender<Arc<Snapshot>>,
    notices: broadcast::Sender<Notice>,
}

impl Desk {
    fn lent<T>(&self, act: impl FnOnce(&mut Core<Brittle>) -> T) -> Result<T, Fault> {
        let away = || Fault::Later("The engine is away. Nothing was done.".into());
        lock(&self.core).as_mut().map(act).ok_or_else(away)
    }

    fn obey(
        &self,
        core: &mut Core<Brittle>,
        by: Option<&Actor>,
        command: &Command,
        ready: Ready,
    ) -> Result<Receipt, Trouble> {
        let halted = core.halted().is_some();
        let answer = obey(core, by, ready);
        self.witness.saw(&Asked {
            peer: self.peer,
            by,
            command,
            answer: &answer,
            halted,
            now: self.clock.now(),
            identity: core.identity(),
            jobs: core.jobs(),
            posts: core.posts(),
        });
        answer
    }
}

#[async_trait]
impl Line for Desk {
    async fn call(&self, call: Call) -> Result<Answer, Trouble> {
        let (by, call) = call.parts();
        if by.is_some() {
            call.is_for_automation()?;
        }
        Ok(match call {
            Call::Do(command) => {
                let folder = EventId(self.dice.nonce().0);
                let cut = |job: &Job| job.terms().quality.cut == Some(Cut::Files);
                let by_files =
                    |job: &BidId| self.lent(|core| core.job(job).map(cut)).ok().flatten();
                let ready =
                    Ready::prepare((*command).clone(), &*self.files, folder, by_files).await?;
                let done = self.lent(|core| self.obey(core, by.as_ref(), &command, ready));
                Answer::Done(done??)
            }
            Call::Find(query) => Answer::Page(self.lent(|core| core.find(&query))??),
            Call::Gig(id) => {
                let gig = self.lent(|core| core.store().gig(&id))??;
                Answer::Gig(gig.map(|(gig, _)| Box::new(GigView::of(&gig))))
            }
            Call::Budget => Answer::Budget(Box::new(self.lent(|core| core.budget())?)),
            Call::Switch(why) => {
                let budget = self.lent(|core| core.switch(why).map(|()| core.budget()));
                Answer::Budget(Box::new(budget??))
            }
            _ => return Err(Fault::Never("Nobody asks this in a simulated world.".into()).into()),
        })
    }
    fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.shown.subscribe()
    }
    fn notices(&self) -> broadcast::Receiver<Notice> {
        self.notices.subscribe()
    }
}

impl World {
    /// From now on somebody else lives at this peer.
    pub(super) fn move_in(&mut self, resides: Resides) {
        let Resides { peer: n, budget, resident, witness } = resides;
        let peer = &mut self.peers[n];
        let desk = Arc::new(Desk {
            peer: n,
            core: Mutex::new(None),
            files: peer.ports.files.clone(),
            dice: peer.ports.dice.clone(),
            clock: peer.clock.clone(),
            witness,
            shown: watch::channel(Arc::default()).0,
            notices: broadcast::channel(1).0,
        });
        peer.home = Some(Home { budget, resident, desk, views: Views::default(), epoch: 0 });
    }

    /// One look of whoever lives at this peer.
    pub(super) fn live(&mut self, n: usize) -> Result<(), Broken> {
        let mut draw = self.draw("live", &[n as u64]);
        let hour = (self.clockwork.now() - GENESIS * 1000) / HOUR;
        // In the last day they rest, so that machines may.
        if hour < self.plan.hours + AFTER - 24 {
            let late = hour > self.plan.hours;
            let wait = if late { draw.range(200_000, 900_000) } else { draw.range(5_000, 90_000) };
            self.clockwork.after(wait, What::Act(n));
        }
        self.jump(n, &mut draw);
        let old = self.chaos("old", n, 0, 150);
        let (calm, disks) = (self.calm, self.disks.clone());
        let peer = &mut self.peers[n];
        let Some(mut home) = peer.home.take() else { return Ok(()) };
        if let Some(snapshot) = home.see(peer)
            && !old
        {
            home.desk.shown.send_replace(Arc::new(snapshot));
        }
        let Some(core) = peer.core.take() else {
            peer.home = Some(home);
            return Ok(());
        };
        *lock(&home.desk.core) = Some(core);
        let shown = home.desk.shown.borrow().clone();
        let place = Place {
            peer: n,
            epoch: peer.epoch,
            shown,
            line: home.desk.clone(),
            clock: peer.clock.clone(),
            passed: Duration::from_millis(peer.clockwork.now() - GENESIS * 1000),
            calm,
            disks,
        };
        home.resident.look(&place);
        peer.core = lock(&home.desk.core).take();
        peer.home = Some(home);
        self.after(n, false)
    }

    /// Now and then somebody sets the clock, by minutes or by hours, and back.
    fn jump(&self, n: usize, draw: &mut Draw) {
        let clock = &self.peers[n].clock;
        let ahead = if self.chaos("jump", n, 0, 8) {
            let most = if draw.permille(300) { 7_200 } else { 600 };
            Some(i64::try_from(draw.range(0, 2 * most)).unwrap_or(0) - most as i64)
        } else {
            let back = self.calm || self.chaos("back", n, 0, 8);
            (back && clock.ahead().abs() > 60).then_some(0)
        };
        if let Some(ahead) = ahead {
            clock.skew.store(ahead, std::sync::atomic::Ordering::Relaxed);
        }
    }
}

impl Home {
    /// What the runner would show now; nothing while the machine is down.
    fn see(&mut self, peer: &mut Peer) -> Option<Snapshot> {
        let core = peer.core.as_ref()?;
        let mut logs = std::mem::take(&mut peer.unseen);
        if self.epoch != peer.epoch {
            (self.epoch, self.views) = (peer.epoch, Views::default());
            logs = core.jobs().keys().chain(core.posts().keys()).copied().collect::<BTreeSet<_>>();
        }
        let now = peer.clock.now();
        self.views.renew(core, &logs, now, &BTreeMap::new());
        let (waiting, parked) = core.store().outbox().unwrap_or_default();
        let node = peer.ports.lightning.status().now_or_never();
        Some(Snapshot {
            at: now,
            identity: Some(core.identity()),
            node: node.and_then(Result::ok),
            reserved: core.reserved(),
            halted: core.halted().cloned(),
            relays: Vec::new(),
            jobs: self.views.jobs.clone(),
            cases: BTreeMap::new(),
            posts: self.views.posts.clone(),
            waiting,
            parked,
        })
    }
}

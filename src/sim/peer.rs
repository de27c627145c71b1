//! One peer: the real core on the real store with real keys, and around it what the runner does, turned
//! by the clockwork instead of by tokio.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use futures::FutureExt as _;

use super::brittle::{Brittle, Fuse};
use super::clock::{Clockwork, Ms, PeerClock, What};
use super::home::Home;
use crate::engine::{
    Core, Done, EffectRow, Fault, Me, NodeEvent, OpenClaim, Ports, Progress, RelayEvent, Replays,
    Subscription, Want, Workbench,
};
use crate::market::{
    Actor, BidId, Budget, Digest, Effect, EndpointId, EventId, Grant, Job, Lane, Mode, Msat, Post,
    Span, Time,
};
use crate::store::Ram;

/// As the runner's.
const LEASE: Span = Span::DAY;
const AT_ONCE: usize = 64;

pub(super) type LaneKey = (EventId, Lane);

/// A peer. What stands before `core` survives a crash.
pub(super) struct Peer {
    pub(super) n: usize,
    pub(super) clockwork: Arc<Clockwork>,
    pub(super) clock: Arc<PeerClock>,
    pub(super) ports: Ports,
    pub(super) ram: Ram,
    pub(super) fuse: Arc<Fuse>,
    pub(super) me: Me,
    /// Which start of the machine this is.
    pub(super) epoch: u64,
    /// The jobs as they were when the machine went down, if that was at a whole commit.
    pub(super) before: Option<(BTreeMap<BidId, Job>, BTreeMap<EventId, Post>)>,
    pub(super) core: Option<Core<Brittle>>,
    /// What was added up job by job was not what all jobs add up to.
    odd: bool,
    lanes: BTreeMap<LaneKey, VecDeque<(EffectRow, Effect)>>,
    busy: BTreeMap<u64, (EffectRow, Effect)>,
    pub(super) told: BTreeMap<u64, Result<Done, Fault>>,
    watched: BTreeSet<(Want, Vec<String>)>,
    granted: BTreeMap<(Digest, EndpointId), Grant>,
    runs: u64,
    height: u32,
    wake: Option<Ms>,
    pub(super) notices: u64,
    pub(super) replays: u64,
    /// Logs that changed since they were looked at.
    pub(super) unseen: BTreeSet<EventId>,
    /// Whoever lives here instead of the usual person.
    pub(super) home: Option<Home>,
}

/// Something that must never happen, in words.
pub(super) type Broken = String;

/// The budget of every bot of this world: small enough to say no now and then.
pub(super) fn pocket_money() -> Budget {
    let sats = |n| Msat::sats(n).unwrap_or_default();
    Budget {
        per_job: sats(15_000),
        per_person: sats(30_000),
        per_hour: sats(22_000),
        per_day: sats(45_000),
        at_risk: sats(22_000),
        fee_ppm: 20_000,
        fee_base: sats(100),
        modes: vec![Mode::Sealed, Mode::Escrow],
        checks: Vec::new(),
        approve_above: sats(12_000),
    }
}

impl Peer {
    pub(super) fn new(
        n: usize,
        clockwork: Arc<Clockwork>,
        clock: Arc<PeerClock>,
        ports: Ports,
        me: Me,
    ) -> Self {
        Self {
            n,
            clockwork,
            clock,
            ports,
            ram: Ram::default(),
            fuse: Arc::default(),
            me,
            epoch: 0,
            before: None,
            core: None,
            odd: false,
            lanes: BTreeMap::new(),
            busy: BTreeMap::new(),
            told: BTreeMap::new(),
            watched: BTreeSet::new(),
            granted: BTreeMap::new(),
            runs: 0,
            height: 0,
            wake: None,
            notices: 0,
            replays: 0,
            unseen: BTreeSet::new(),
            home: None,
        }
    }

    /// Folds the store and asks the node what the runner asks it at start.
    pub(super) fn start(&mut self) -> Result<(), Broken> {
        if self.odd {
            return Err("the sums were not those of the jobs".into());
        }
        self.fuse.renew();
        self.epoch += 1;
        let db = self.ram.open().map_err(|e| e.to_string())?;
        let store = Brittle { db, fuse: self.fuse.clone() };
        let ports = &self.ports;
        let (clock, dice) = (ports.clock.clone(), ports.dice.clone());
        let core = Core::open(store, ports.scribe.clone(), clock, dice, self.me.clone());
        let mut core = core.map_err(|e| format!("the store does not open again: {e}"))?;
        if let Some((jobs, posts)) = self.before.take() {
            self.replays += 1;
            same(&jobs, core.jobs()).map_err(|why| format!("a restart changed {why}"))?;
            // A slot that got free right before the crash is offered again at the start.
            let kept = |(id, was): (&EventId, &Post)| {
                let is = core.posts().get(id).map(|post| &post.versions);
                is.is_some_and(|is| was.versions.iter().all(|(v, gig)| is.get(v) == Some(gig)))
            };
            if core.posts().len() != posts.len() || !posts.iter().all(kept) {
                return Err("a restart changed a gig".into());
            }
        }
        core.set_budget(self.home.as_ref().map_or_else(pocket_money, Home::budget));
        core.take_changed();
        let Replays { claims, payments } = core.replays();
        for claim in claims {
            let Some(key) = core.claim_key(&claim) else { continue };
            let OpenClaim { hash, amount, .. } = claim;
            // A claim that fails is asked for again at the next block.
            let _ = self.ports.lightning.claim(&hash, amount, &key).now_or_never();
        }
        for hash in payments {
            if let Some(Ok(state)) = self.ports.lightning.lookup(&hash).now_or_never() {
                let _ = core.payment(&hash, &state);
            }
        }
        self.core = Some(core);
        self.height = 0;
        self.settle(true);
        Ok(())
    }

    /// A bot that asks as this requester does, and is bound by [`pocket_money`]; `None` for a person.
    pub(super) fn bot(&self) -> Option<Actor> {
        Actor::bot("sim").ok().filter(|_| self.home.is_none() && self.n.is_multiple_of(3))
    }

    /// What a crash leaves: the store. `whole` if memory and store agree.
    pub(super) fn stop(&mut self) {
        let Some(core) = self.core.take() else { return };
        self.odd |= !core.adds_up();
        let torn = self.fuse.blown() == Some(true);
        self.before = (!torn).then(|| (core.jobs().clone(), core.posts().clone()));
        drop(core.into_store());
        self.lanes.clear();
        self.busy.clear();
        self.told.clear();
        self.watched.clear();
        self.granted.clear();
        self.wake = None;
    }

    /// Whether nothing runs here.
    pub(super) fn is_at_rest(&self) -> bool {
        self.core.is_some() && self.busy.is_empty() && self.lanes.values().all(VecDeque::is_empty)
    }

    /// The next event of a relay that has arrived.
    pub(super) fn heard(&self) -> Option<RelayEvent> {
        if self.core.as_ref().is_none_or(Core::is_behind) {
            return None;
        }
        self.ports.relays.next().now_or_never()
    }

    /// The event at the head of the node's queue.
    pub(super) fn node_event(&self) -> Option<NodeEvent> {
        self.ports.lightning.next().now_or_never()
    }

    /// What the node says goes into the core; then, unless the machine dies first, it is handled.
    pub(super) fn take_node_event(&mut self, event: &NodeEvent, dies: bool) -> Result<(), Fault> {
        let Some(core) = &mut self.core else { return Ok(()) };
        let stray = core.node(event)?;
        if dies {
            return Err(Fault::Later("the machine is dead".into()));
        }
        if let Some(hash) = stray {
            let _ = self.ports.lightning.fail(&hash).now_or_never();
        }
        let _ = self.ports.lightning.handled().now_or_never();
        Ok(())
    }

    /// Time, money and blocks, as the runner looks at them.
    pub(super) fn look(&mut self) -> Result<(), Fault> {
        let Some(core) = &mut self.core else { return Ok(()) };
        if let Some(Ok(status)) = self.ports.lightning.status().now_or_never() {
            let me = core.me_mut();
            me.spendable = status.balances.lightning_spendable;
            me.least_first = status.least_first;
            if status.height != self.height {
                self.height = status.height;
                core.height(status.height)?;
            }
        }
        let now = self.ports.clock.now();
        if core.wake_at().is_some_and(|at| at <= now) {
            core.tick()?;
        }
        core.tidy()
    }

    /// Everything that follows from the state as it is now.
    pub(super) fn settle(&mut self, fresh: bool) {
        let Some(core) = &mut self.core else { return };
        let changed = core.take_changed();
        self.notices += core.take_notices().len() as u64;
        self.unseen.extend(&changed.logs);
        if !changed.is_empty() || fresh || self.watched.is_empty() {
            self.grant();
            self.watch();
        }
        self.launch();
        self.nap();
    }

    fn grant(&mut self) {
        let Some(core) = &self.core else { return };
        let wanted: BTreeMap<_, _> =
            core.grants().into_iter().map(|g| ((g.blob, g.to), g)).collect();
        for (blob, to) in self.granted.keys().filter(|key| !wanted.contains_key(key)) {
            let _ = self.ports.transfer.revoke(blob, to).now_or_never();
        }
        for (key, grant) in &wanted {
            if self.granted.get(key) != Some(grant) {
                let _ = self.ports.transfer.serve(grant).now_or_never();
            }
        }
        self.granted = wanted;
    }

    fn watch(&mut self) {
        let Some(Ok(wanted)) = self.core.as_ref().map(Core::subscriptions) else { return };
        let same = |s: &Subscription| (s.want.clone(), s.relays.clone());
        let keys: BTreeSet<_> = wanted.iter().map(same).collect();
        if keys != self.watched {
            self.watched = keys;
            let _ = self.ports.relays.watch(wanted).now_or_never();
        }
    }

    fn launch(&mut self) {
        let Some(core) = &mut self.core else { return };
        let held: usize = self.lanes.values().map(VecDeque::len).sum::<usize>() + self.busy.len();
        if held < AT_ONCE
            && let Ok(rows) = core.lease(LEASE, AT_ONCE - held)
        {
            for (row, effect) in rows {
                let key = (row.log, effect.lane());
                self.lanes.entry(key).or_default().push_back((row, effect));
            }
        }
        let busy: BTreeSet<LaneKey> =
            self.busy.values().map(|(row, effect)| (row.log, effect.lane())).collect();
        let free: Vec<LaneKey> =
            self.lanes.keys().filter(|key| !busy.contains(key)).copied().collect();
        for key in free {
            let Some(queue) = self.lanes.get_mut(&key) else { continue };
            let mut next = queue.pop_front();
            while next.as_ref().is_some_and(|(row, effect)| !core.begin_run(row, effect)) {
                next = queue.pop_front();
            }
            let Some(next) = next else {
                self.lanes.remove(&key);
                continue;
            };
            self.runs += 1;
            self.clockwork.after(1, What::Run(self.n, self.epoch, self.runs));
            self.busy.insert(self.runs, next);
        }
    }

    /// What a run is to do, with the job as it is when the run begins.
    pub(super) fn work(&self, run: u64) -> Option<(EffectRow, Effect, Workbench)> {
        let (row, effect) = self.busy.get(&run)?.clone();
        let core = self.core.as_ref()?;
        let (job, case) = (core.job(&row.log).cloned(), core.case(&row.log).cloned());
        let progress = Progress::default();
        let work = Workbench { ports: self.ports.clone(), job, case, progress };
        Some((row, effect, work))
    }

    /// The outcome of a run comes in.
    pub(super) fn tell(&mut self, run: u64) -> Result<(), Fault> {
        let (Some((row, effect)), Some(done)) = (self.busy.remove(&run), self.told.remove(&run))
        else {
            return Ok(());
        };
        let Some(core) = &mut self.core else { return Ok(()) };
        match done {
            Ok(Done::Wrapped(next)) => core.wrapped(&row, &next),
            Ok(Done::Outcome(outcome)) => core.done(&row, &effect, Ok(*outcome)),
            Err(fault) => core.done(&row, &effect, Err(fault)),
        }
    }

    fn ms(&self, at: Time) -> Ms {
        at.0.saturating_add_signed(-self.clock.ahead()).saturating_mul(1000)
    }

    /// Sleeps until time alone changes something.
    fn nap(&mut self) {
        let Some(core) = &self.core else { return };
        let due = core.next_due().ok().flatten();
        let next = [due, core.wake_at()].into_iter().flatten().min();
        let Some(next) = next else { return };
        let at = self.ms(next).max(self.clockwork.now() + 200);
        let now = self.clockwork.now();
        if self.wake.is_none_or(|wake| wake <= now || wake > at) {
            self.wake = Some(at);
            self.clockwork.at(at, What::Wake(self.n));
        }
    }
}

/// Whether two foldings are equal; else which job differs and how.
pub(super) fn same(a: &BTreeMap<BidId, Job>, b: &BTreeMap<BidId, Job>) -> Result<(), Broken> {
    if a == b {
        return Ok(());
    }
    let odd = a.iter().find(|(id, job)| b.get(id) != Some(job));
    let odd = odd.map(|(id, job)| (id, job, b.get(id)));
    Err(match odd {
        Some((id, job, other)) => {
            let phase = other.map(|j| (j.phase, j.n));
            format!("job {}: {:?} {} against {phase:?}", id.short(), job.phase, job.n)
        }
        None => format!("{} jobs into {}", a.len(), b.len()),
    })
}

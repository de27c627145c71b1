//! The runner: the loop around the core. It waits for people, relays, node and time, and runs effects.

mod reach;
mod show;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt as _;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::Instant;

use crate::engine::effect::{Done, Workbench, perform};
use crate::engine::local::{Local, Request};
use crate::engine::{
    Clock, Core, Dice, EffectRow, FactView, Fault, Files, Handle, Lightning, MOST_LINES,
    MOST_PEOPLE, NodeEvent, NodeStatus, RelayEvent, RelayHealth, Relays, Scribe, Snapshot, Store,
    Subscription, Transfer, Trouble, Views, obey,
};
use crate::market::{BidId, Effect, EventId, Fact, Job, Lane, Span, Time};

use reach::Reach;

/// The adapters that the runner drives.
#[derive(Clone)]
pub struct Ports {
    /// Keys and wire.
    pub scribe: Arc<dyn Scribe>,
    /// The relays.
    pub relays: Arc<dyn Relays>,
    /// The node.
    pub lightning: Arc<dyn Lightning>,
    /// The endpoint.
    pub transfer: Arc<dyn Transfer>,
    /// The disk.
    pub files: Arc<dyn Files>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The dice.
    pub dice: Arc<dyn Dice>,
}

/// Effects leased at once; the rest stay in the store.
const AT_ONCE: usize = 64;
/// Events of relays in one go: some ten milliseconds, so that nobody waits long behind them.
const MOST_HEARD: usize = 64;
/// One process owns the store, so a lease ends with the process; this only bounds a forgotten one.
const LEASE: Span = Span::DAY;
/// How often the node and the relays are looked at.
const LOOK: Duration = Duration::from_secs(2);
/// How often everything that is granted and asked is arranged anew, whatever changed.
const ARRANGE: Span = Span(10);
/// How long a stop waits for what runs.
const STOP_WAITS: Duration = Duration::from_secs(5);

/// Bytes fetched so far and in all, by job.
pub type Progress = Arc<Mutex<BTreeMap<EventId, (u64, u64)>>>;

/// Starts the loop on the current runtime.
pub fn start<S: Store + 'static>(
    core: Core<S>,
    ports: Ports,
) -> (Handle, tokio::task::JoinHandle<()>) {
    let (requests, inbox) = mpsc::channel(64);
    let (shown, snapshot) = watch::channel(Arc::new(Snapshot::default()));
    let (notices, _) = broadcast::channel(256);
    let dice = ports.dice.clone();
    let handle = Handle::new(Arc::new(Local {
        requests,
        snapshot,
        notices: notices.clone(),
        files: ports.files.clone(),
        fresh: Arc::new(move || dice.nonce()),
    }));
    let (told, outcomes) = mpsc::channel(64);
    let runner = Runner {
        core,
        ports,
        told,
        lanes: BTreeMap::new(),
        busy: BTreeSet::new(),
        watched: BTreeSet::new(),
        reach: Reach::default(),
        views: Views::default(),
        arrange_at: Time(0),
        show_again: Instant::now(),
        unshown: false,
        progress: Progress::default(),
        node: None,
        health: Vec::new(),
        shown,
        notices,
        looking: false,
    };
    #[expect(clippy::disallowed_methods, reason = "the runner is the engine's one task")]
    let task = tokio::spawn(runner.run(inbox, outcomes));
    (handle, task)
}

/// What tasks tell the loop.
enum Told {
    Done(Box<(EffectRow, Effect)>, Result<Done, Fault>),
    Looked(Option<NodeStatus>, Vec<RelayHealth>),
}

type LaneKey = (EventId, Lane);

struct Runner<S> {
    core: Core<S>,
    ports: Ports,
    told: mpsc::Sender<Told>,
    lanes: BTreeMap<LaneKey, VecDeque<(EffectRow, Effect)>>,
    busy: BTreeSet<LaneKey>,
    watched: BTreeSet<Subscription>,
    reach: Reach,
    views: Views,
    /// When all that is granted and asked is arranged anew, whatever changed.
    arrange_at: Time,
    /// When a snapshot may be made again, and whether one waits for that.
    show_again: Instant,
    unshown: bool,
    progress: Progress,
    node: Option<NodeStatus>,
    health: Vec<RelayHealth>,
    shown: watch::Sender<Arc<Snapshot>>,
    notices: broadcast::Sender<crate::engine::Notice>,
    looking: bool,
}

impl<S: Store + 'static> Runner<S> {
    async fn run(mut self, mut inbox: mpsc::Receiver<Request>, mut outcomes: mpsc::Receiver<Told>) {
        self.replay().await;
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (relays, node) = (self.ports.relays.clone(), self.ports.lightning.clone());
        let stopped = loop {
            self.settle().await;
            let sleep = tokio::time::sleep(self.nap());
            tokio::select! {
                biased;
                request = inbox.recv() => match request {
                    Some(Request::Stop(answer)) => break Some(answer),
                    Some(request) => self.request(request),
                    None => break None,
                },
                Some(told) = outcomes.recv() => self.told(told),
                event = node.next() => self.node_event(event).await,
                event = relays.next(), if !self.core.is_behind() => {
                    self.heard(event, &*relays);
                }
                _ = look.tick() => self.look(),
                () = sleep => {}
            }
        };
        let wait = async {
            while !self.busy.is_empty() {
                match outcomes.recv().await {
                    Some(told) => self.told(told),
                    None => break,
                }
            }
        };
        let _ = tokio::time::timeout(STOP_WAITS, wait).await;
        if let Some(answer) = stopped {
            let _ = answer.send(());
        }
    }

    /// What the node must be asked again after a restart.
    async fn replay(&mut self) {
        let crate::engine::Replays { claims, payments } = self.core.replays();
        for claim in claims {
            let Some(key) = self.core.claim_key(&claim) else { continue };
            let crate::engine::OpenClaim { job, hash, amount, .. } = claim;
            if let Err(fault) = self.ports.lightning.claim(&hash, amount, &key).await {
                tracing::warn!(%fault, job = %job.short(), "a claim will be asked for again");
            }
        }
        for hash in payments {
            match self.ports.lightning.lookup(&hash).await {
                Ok(state) => self.say("a payment looked up", |core| core.payment(&hash, &state)),
                Err(fault) => tracing::warn!(%fault, "a payment will be looked up again"),
            }
        }
    }

    fn say(&mut self, what: &str, act: impl FnOnce(&mut Core<S>) -> Result<(), Fault>) {
        if let Err(fault) = act(&mut self.core) {
            tracing::error!(%fault, what, "could not be committed; it will come again");
        }
    }

    /// Until time alone changes something; a minute at most, since clocks jump.
    fn nap(&self) -> Duration {
        let now = self.ports.clock.now();
        let due = self.core.next_due().ok().flatten();
        let wake = self.core.wake_at();
        let next = match (due, wake) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let span = next.map_or(60, |at: Time| now.until(at).0.clamp(0, 60));
        // A due effect whose lane is full would spin the loop.
        let nap = Duration::from_secs(span).max(Duration::from_millis(200));
        let shown_in = self.show_again.saturating_duration_since(Instant::now());
        if self.unshown { nap.min(shown_in) } else { nap }
    }

    /// Everything that follows from the state as it is now.
    async fn settle(&mut self) {
        let now = self.ports.clock.now();
        if self.core.wake_at().is_some_and(|at| at <= now) {
            self.say("a deadline", Core::tick);
        }
        self.arrange(now).await;
        self.launch();
        for notice in self.core.take_notices() {
            tracing::info!(code = notice.code, job = %notice.job.short(), "{}", notice.text);
            let _ = self.notices.send(notice);
        }
        self.show();
    }

    /// Leases what is due and starts what its lane is free for.
    fn launch(&mut self) {
        let held: usize = self.lanes.values().map(VecDeque::len).sum::<usize>() + self.busy.len();
        if held < AT_ONCE {
            match self.core.lease(LEASE, AT_ONCE - held) {
                Ok(rows) => {
                    for (row, effect) in rows {
                        let key = (row.log, effect.lane());
                        self.lanes.entry(key).or_default().push_back((row, effect));
                    }
                }
                Err(fault) => tracing::error!(%fault, "the outbox cannot be read"),
            }
        }
        let free: Vec<LaneKey> =
            self.lanes.keys().filter(|key| !self.busy.contains(key)).copied().collect();
        for key in free {
            let Some(queue) = self.lanes.get_mut(&key) else { continue };
            let mut next = queue.pop_front();
            while next.as_ref().is_some_and(|(row, effect)| !self.core.begin_run(row, effect)) {
                next = queue.pop_front();
            }
            let Some((row, effect)) = next else {
                self.lanes.remove(&key);
                continue;
            };
            self.busy.insert(key);
            let work = Workbench {
                ports: self.ports.clone(),
                job: self.core.job(&row.log).cloned(),
                case: self.core.case(&row.log).cloned(),
                progress: self.progress.clone(),
            };
            let told = self.told.clone();
            #[expect(clippy::disallowed_methods, reason = "an effect; its end comes back as Told")]
            tokio::spawn(async move {
                let done = perform(&work, &row.log, &effect).await;
                let _ = told.send(Told::Done(Box::new((row, effect)), done)).await;
            });
        }
    }

    fn told(&mut self, told: Told) {
        match told {
            Told::Done(ran, done) => {
                let (row, effect) = *ran;
                self.busy.remove(&(row.log, effect.lane()));
                if let Err(fault) = &done {
                    tracing::debug!(%fault, effect = effect.kind(), tries = row.tries, "an effect failed");
                }
                self.say("an outcome", |core| match done {
                    Ok(Done::Wrapped(next)) => core.wrapped(&row, &next),
                    Ok(Done::Outcome(outcome)) => core.done(&row, &effect, Ok(*outcome)),
                    Err(fault) => core.done(&row, &effect, Err(fault)),
                });
            }
            Told::Looked(node, health) => {
                self.looking = false;
                self.health = health;
                if let Some(node) = node {
                    let me = self.core.me_mut();
                    me.spendable = node.balances.lightning_spendable;
                    me.least_first = node.least_first;
                    me.receivable = node.balances.lightning_receivable;
                    let height = self.node.as_ref().map_or(0, |n| n.height);
                    let moved = node.height != height;
                    let height = node.height;
                    self.node = Some(node);
                    if moved {
                        self.say("a block", |core| core.height(height));
                    }
                }
            }
        }
    }

    async fn node_event(&mut self, event: NodeEvent) {
        match self.core.node(&event) {
            Ok(stray) => {
                if let Some(hash) = stray
                    && let Err(fault) = self.ports.lightning.fail(&hash).await
                {
                    tracing::warn!(%fault, "a payment that is nobody's could not be sent back");
                }
                // Committed first, handled second: a crash between them brings the event again.
                if let Err(fault) = self.ports.lightning.handled().await {
                    tracing::error!(%fault, "the node's event comes again");
                }
                self.look();
            }
            Err(fault) => {
                tracing::error!(%fault, "the node's event could not be committed; it comes again");
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        }
    }

    /// An event of a relay, and what else waits behind it: a market's listings are taken in together.
    fn heard(&mut self, event: RelayEvent, relays: &dyn Relays) {
        let mut events = vec![event];
        while events.len() < MOST_HEARD
            && let Some(event) = relays.next().now_or_never()
        {
            events.push(event);
        }
        for (event, heard) in events.iter().zip(self.core.hear_all(&events)) {
            match heard {
                Ok(crate::engine::Taken::Refused(why)) => {
                    tracing::debug!(event = %event.id.short(), code = why.code, "not taken");
                }
                Ok(_) => {}
                Err(fault) => {
                    tracing::error!(%fault, "an event could not be committed; it is told again");
                }
            }
        }
    }

    /// Looks at node and relays in a task of its own: both may take seconds.
    fn look(&mut self) {
        self.say("what is forgotten", Core::tidy);
        if self.looking {
            return;
        }
        self.looking = true;
        let (ports, told) = (self.ports.clone(), self.told.clone());
        #[expect(clippy::disallowed_methods, reason = "one look at a time; its end comes as Told")]
        tokio::spawn(async move {
            let node = ports.lightning.status().await;
            if let Err(fault) = &node {
                tracing::warn!(%fault, "the node does not say how it is");
            }
            let health = ports.relays.health().await;
            let _ = told.send(Told::Looked(node.ok(), health)).await;
        });
    }

    fn request(&mut self, request: Request) {
        match request {
            Request::Do(by, ready, answer) => {
                let _ = answer.send(obey(&mut self.core, by.as_ref(), *ready));
            }
            Request::Preview(draft, inputs, answer) => {
                let _ = answer.send(self.core.preview(&draft, &inputs));
            }
            Request::Find(query, answer) => {
                let _ = answer.send(self.core.find(&query));
            }
            Request::Gig(id, answer) => {
                let gig = self.core.store().gig(&id).map(|found| found.map(|(gig, _)| gig));
                let _ = answer.send(gig);
            }
            Request::History(id, answer) => {
                let _ = answer.send(self.history(&id));
            }
            Request::Import(json, answer) => {
                let _ = answer.send(self.core.import(&json));
            }
            Request::People(who, answer) => {
                if let Some(who) = &who {
                    self.core.look_at(who);
                }
                let _ = answer.send(self.core.people(who.as_ref(), MOST_PEOPLE));
            }
            Request::Mute(who, mute, answer) => {
                let _ = answer.send(self.core.mute(&who, mute).map(|()| self.core.mutes()));
            }
            Request::Mutes(answer) => {
                let _ = answer.send(self.core.mutes());
            }
            Request::Told(after, limit, answer) => {
                let limit = usize::try_from(limit.min(500)).unwrap_or(500);
                let _ = answer.send(self.core.told(after, limit));
            }
            Request::Budget(answer) => {
                let _ = answer.send(self.core.budget());
            }
            Request::Switch(why, answer) => {
                let _ = answer.send(self.core.switch(why).map(|()| self.core.budget()));
            }
            Request::Payments(answer) => {
                let _ = answer.send(self.core.store().payments());
            }
            Request::Stop(answer) => {
                let _ = answer.send(());
            }
        }
    }

    fn history(&self, id: &BidId) -> Result<Vec<FactView>, Trouble> {
        let Some(job) = self.core.job(id) else {
            return Err(Trouble::NotFound { what: "job".into(), id: id.to_string() });
        };
        let rows = self.core.store().log(id)?;
        let newest = rows.len().saturating_sub(MOST_LINES);
        let mut folded: Option<Job> = None;
        let view = |(place, row): (usize, crate::engine::FactRow)| {
            let fact: Fact = serde_json::from_str(&row.body).ok()?;
            let mut view = FactView::of(row.n, row.at, job.role, &fact);
            if job.milestones() > 1 {
                // Which one a line is about is told by the lines before it.
                view.milestone = folded.as_ref().map(|job| job.milestone);
                match &mut folded {
                    Some(job) => job.apply(&fact, row.at),
                    None => folded = Job::begin(&fact, row.at),
                }
            }
            (place >= newest).then_some(view)
        };
        Ok(rows.into_iter().enumerate().filter_map(view).collect())
    }
}

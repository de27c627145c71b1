//! A stage: an owner on a real socket with jobs that two real cores lived through, under ids that can be
//! typed. What is asked is decided by the market itself; what then becomes of it was lived through before.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use earnest::engine::{
    Answer, Balances, BudgetView, Call, Command, FactView, Fault, JobView, Line, MuteView,
    NodeStatus, Notice, PersonView, Receipt, RelayHealth, RelayLimits, Snapshot, Store as _,
    Trouble,
};
use earnest::market::*;
use earnest::rpc::{Place, Server};
use tokio::sync::{broadcast, watch};

use crate::pair::{Pair, Requester, Who, Worker, sats};

/// One job on the stage, its history, and what it becomes by what is done with it.
struct Part {
    job: Job,
    history: Vec<FactView>,
    after: BTreeMap<Verb, Job>,
}

struct Stage {
    now: Time,
    parts: BTreeMap<BidId, Part>,
    /// What has become of jobs so far.
    becoming: Mutex<BTreeMap<BidId, Job>>,
    muted: Mutex<Vec<MuteView>>,
    /// What can be bid on, and what becomes of that.
    gigs: Vec<Gig>,
    bid: Option<Job>,
    shown: watch::Sender<Arc<Snapshot>>,
    notices: broadcast::Sender<Notice>,
}

/// An id that begins so.
fn id(beginning: &str) -> BidId {
    format!("{beginning:0<64}").parse().unwrap()
}

/// A job as it stands now, moved to the present and begun a little over an hour ago, so that no line of
/// a transcript changes for most of a minute.
fn part(pair: &Pair, who: Who, beginning: &str, now: Time) -> Part {
    let mut job = pair.job(who);
    let rows = pair.core(who).store().log(&job.id).unwrap();
    let fact = |row: earnest::engine::FactRow| {
        let fact = serde_json::from_str(&row.body).unwrap();
        FactView::of(row.n, now.before(Span(3600 + 2)), job.role, &fact)
    };
    let history = rows.into_iter().map(fact).collect();
    job.id = id(beginning);
    job.job = job.job.map(|_| JobId(job.id.0));
    let then = now.before(Span(3600 + 1));
    (job.since, job.began, job.said_at) = (then, then, then);
    job.bid.valid_until = then.after(Span::DAY);
    job.awarded_at = job.awarded_at.map(|_| then);
    job.begun_at = job.begun_at.map(|_| then);
    job.heard_at = job.heard_at.map(|_| then);
    if let Some(work) = &mut job.attempt {
        work.at = then;
        let here = |path: &mut Option<std::path::PathBuf>| {
            *path = path.take().map(|path| Path::new("jobs").join(path.file_name().unwrap()));
        };
        here(&mut work.output);
        here(&mut work.source);
    }
    for material in &mut job.materials {
        let name = material.path.as_ref().and_then(|path| path.file_name());
        material.path = name.map(|name| Path::new("jobs").join(name));
    }
    Part { job, history, after: BTreeMap::new() }
}

/// A job in escrow whose money waits to be locked.
fn to_lock(now: Time) -> Part {
    let mut pair = Pair::new();
    pair.blocks(1000, &[Requester, Worker]);
    let gig = pair.posted(|draft| draft.modes = vec![Mode::Escrow, Mode::Sealed]);
    let bid = pair.core_mut(Worker).bid(&gig, Wish::default(), "I can.").unwrap();
    pair.quiet();
    pair.core_mut(Requester).award(&bid).unwrap();
    pair.quiet();
    part(&pair, Requester, "e5c0e001", now)
}

/// A bid that a bot wanted to take and that is above what it may decide alone.
fn to_approve(now: Time) -> Part {
    let much = sats(1_000_000);
    let limits = Budget {
        per_job: much,
        per_person: much,
        per_hour: much,
        per_day: much,
        at_risk: much,
        ..Budget::default()
    };
    let mut pair = Pair::new();
    pair.bid(Wish { mode: Some(Mode::Sealed), price: None, tranches: Some(1) });
    let (bid, bot) = (pair.id(), Actor::bot("labels").unwrap());
    let core = pair.core_mut(Requester);
    core.set_budget(limits);
    let no = core.acting(&bot, |core| core.award(&bid)).unwrap_err();
    assert!(matches!(no, Trouble::Refused(no) if no.code == "needs-approval"));
    let mut asks = part(&pair, Requester, "d0e50001", now);
    pair.core_mut(Requester).ask(&bid, Ask::Approve).unwrap();
    asks.after.insert(Verb::Approve, part(&pair, Requester, "d0e50001", now).job);
    asks
}

impl Stage {
    /// With a gig to bid on, money to lock, and a bot that asks for a person's word.
    fn with_more(now: Time) -> Self {
        let mut stage = Self::new(now);
        let asks = to_approve(now);
        let view = Arc::new(JobView::of(&asks.job, now, None));
        stage.shown.send_modify(|shown| {
            Arc::make_mut(shown).jobs.insert(asks.job.id, view);
        });
        stage.parts.insert(asks.job.id, asks);
        let held = to_lock(now);
        stage.gigs = vec![Gig { id: id("5a1e0001"), ..held.job.gig.clone() }];
        let mut pair = Pair::new();
        pair.bid(Wish { mode: Some(Mode::Sealed), price: None, tranches: Some(1) });
        stage.bid = Some(part(&pair, Worker, "b1d00001", now).job);
        let view = Arc::new(JobView::of(&held.job, now, None));
        stage.shown.send_modify(|shown| {
            Arc::make_mut(shown).jobs.insert(held.job.id, view);
        });
        stage.parts.insert(held.job.id, held);
        stage
    }

    fn new(now: Time) -> Self {
        let wish = Wish { mode: Some(Mode::Sealed), price: None, tranches: Some(1) };
        let mut parts = Vec::new();
        let mut pair = Pair::new();
        pair.bid(wish);
        let (mut one, mut two) =
            (part(&pair, Requester, "7f3a1b2c", now), part(&pair, Requester, "7f3a9d00", now));
        let no = Ask::Decline { reason: "Somebody was faster.".into(), nonce: Nonce([7; 32]) };
        pair.ask(Requester, no).unwrap();
        two.after.insert(Verb::Decline, part(&pair, Requester, "7f3a9d00", now).job);
        let mut pair = Pair::new();
        pair.awarded(wish);
        one.after.insert(Verb::Award, part(&pair, Requester, "7f3a1b2c", now).job);
        parts.extend([one, two]);
        parts.push(part(&pair, Worker, "5eed0b01", now));
        let mut pair = Pair::new();
        pair.delivered(wish);
        let mut delivered = part(&pair, Requester, "c0ffee11", now);
        pair.accept().unwrap();
        pair.quiet();
        let paid = part(&pair, Requester, "c0ffee11", now);
        // Transcripts run beside each other: this one is never paid.
        let (id, history) = (id("bead0042"), Vec::new());
        let job = Job { id, job: Some(JobId(id.0)), ..delivered.job.clone() };
        parts.push(Part { job, history, after: BTreeMap::new() });
        delivered.after.insert(Verb::Accept, paid.job);
        delivered.history = paid.history;
        parts.push(delivered);
        parts.push(part(&pair, Worker, "dea1e500", now));
        let parts: BTreeMap<_, _> = parts.into_iter().map(|part| (part.job.id, part)).collect();
        let view = |part: &Part| (part.job.id, Arc::new(JobView::of(&part.job, now, None)));
        let relay = RelayHealth {
            url: "wss://relay.example".into(),
            connected: true,
            live: true,
            heard_at: Some(now.before(Span(3600 + 1))),
            took_at: Some(now.before(Span(7200 + 1))),
            latency_ms: Some(31),
            limits: Some(RelayLimits { max_message: Some(131_072), ..RelayLimits::default() }),
            trouble: None,
        };
        let away = RelayHealth {
            url: "wss://away.example".into(),
            trouble: Some("could not connect: it did not answer in time".into()),
            ..RelayHealth::default()
        };
        let snapshot = Snapshot {
            at: now,
            identity: Some(Pubkey([2; 32])),
            node: Some(NodeStatus {
                node: NodeId([2; 33]),
                running: true,
                height: 800_000,
                balances: Balances { lightning_spendable: sats(1_000_000), ..Balances::default() },
                channels_usable: 1,
                channels: 1,
                least_first: Some(sats(1)),
                trouble: None,
            }),
            relays: vec![relay, away],
            jobs: parts.values().map(view).collect(),
            ..Snapshot::default()
        };
        let (shown, _) = watch::channel(Arc::new(snapshot));
        let notices = broadcast::channel(8).0;
        let (becoming, muted) = (Mutex::default(), Mutex::default());
        let (gigs, bid) = (Vec::new(), None);
        Self { now, parts, becoming, muted, gigs, bid, shown, notices }
    }

    fn part(&self, id: &BidId) -> Result<&Part, Trouble> {
        let none = || Trouble::NotFound { what: "job".into(), id: id.to_string() };
        self.parts.get(id).ok_or_else(none)
    }

    fn allowed(&self, by: &Actor, command: &Command) -> Result<(), Trouble> {
        let (job, ask) = match command {
            Command::Accept { job, max_fee } => (job, Ask::Accept { max_fee: *max_fee }),
            Command::Approve { job } => (job, Ask::Approve),
            _ => return Ok(()),
        };
        let (budget, spent) = (Budget::default(), Spent::default());
        allow(&self.part(job)?.job, by, &ask, &budget, || spent, self.now)?;
        Ok(())
    }

    fn asked(&self, command: Command) -> Result<Receipt, Trouble> {
        let nonce = Nonce([7; 32]);
        let (job, ask) = match command {
            Command::Award { job } => {
                may(&self.part(&job)?.job, Verb::Award, self.now)?;
                return self.becomes(&job, Verb::Award);
            }
            Command::Bid { .. } => {
                let Some(bid) = &self.bid else {
                    return Err(Fault::Never("That is not played here.".into()).into());
                };
                let view = Arc::new(JobView::of(bid, self.now, None));
                self.shown.send_modify(|shown| {
                    Arc::make_mut(shown).jobs.insert(bid.id, view);
                });
                return Ok(Receipt { log: bid.id, facts: bid.n });
            }
            Command::Decline { job, reason } => (job, Ask::Decline { reason, nonce }),
            Command::Withdraw { job, reason } => (job, Ask::Withdraw { reason }),
            Command::Deliver { job, message, .. } => {
                let (source, name) = ("work.txt".into(), "work.txt".into());
                (job, Ask::Deliver { source, size: 4, name, message, nonce })
            }
            Command::Accept { job, max_fee } => (job, Ask::Accept { max_fee }),
            Command::Reject { job, reason } => (job, Ask::Reject { reason }),
            Command::Cancel { job, reason } => (job, Ask::Cancel { reason }),
            Command::Note { job, text } => (job, Ask::Note { text }),
            Command::Rate { job, stars, comment } => (job, Ask::Rate { stars, comment }),
            Command::Approve { job } => (job, Ask::Approve),
            _ => return Err(Fault::Never("That is not played here.".into()).into()),
        };
        let part = self.part(&job)?;
        let world = World {
            now: self.now,
            spendable: sats(1_000_000),
            slots_left: 1,
            hash_known: false,
            height: 0,
            limits: Limits::NONE,
            open: Exposure::default(),
        };
        let verb = match &ask {
            Ask::Accept { .. } => Verb::Accept,
            Ask::Decline { .. } => Verb::Decline,
            Ask::Approve => Verb::Approve,
            _ => Verb::Note,
        };
        let now = self.becoming.lock().unwrap().get(&job).cloned();
        let _ = step(now.as_ref().unwrap_or(&part.job), &Input::Ask(ask), &world)?;
        self.becomes(&job, verb)
    }

    fn becomes(&self, id: &BidId, verb: Verb) -> Result<Receipt, Trouble> {
        if let Some(after) = self.part(id)?.after.get(&verb) {
            self.becoming.lock().unwrap().insert(*id, after.clone());
            let facts = after.n;
            let view = Arc::new(JobView::of(after, self.now, None));
            self.shown.send_modify(|shown| {
                let mut now = Snapshot::clone(shown);
                now.jobs.insert(*id, view);
                *shown = Arc::new(now);
            });
            return Ok(Receipt { log: *id, facts });
        }
        Ok(Receipt { log: *id, facts: 1 })
    }
}

#[async_trait]
impl Line for Stage {
    async fn call(&self, call: Call) -> Result<Answer, Trouble> {
        Ok(match call {
            // As the engine does: first what a bot may ask at all.
            Call::As { by, call } => {
                if let Call::Do(command) = &*call {
                    self.allowed(&by, command)?;
                }
                return self.call(*call).await;
            }
            Call::Budget => Answer::Budget(Box::new(BudgetView {
                budget: Budget::default(),
                at_risk: Msat::ZERO,
                hour: Msat::ZERO,
                day: Msat::ZERO,
                halted: None,
                waiting: vec![],
            })),
            Call::Do(command) => Answer::Done(self.asked(*command)?),
            Call::History(id) => Answer::History(self.part(&id)?.history.clone()),
            Call::Payments => Answer::Payments(Vec::new()),
            Call::Gig(_) => Answer::Gig(None),
            Call::Find(_) => {
                Answer::Page(Page { gigs: self.gigs.clone(), next: None, at: self.now })
            }
            Call::People(who) => {
                let mut all: BTreeMap<Pubkey, PersonView> = BTreeMap::new();
                for job in self.parts.values().map(|part| &part.job) {
                    let peer = job.peer();
                    all.entry(peer).or_insert_with(|| PersonView::of(peer)).count(job);
                }
                all.retain(|key, _| who.is_none_or(|who| who == *key));
                Answer::People(all.into_values().collect())
            }
            Call::Mute { who, mute } => {
                let mut muted = self.muted.lock().unwrap();
                muted.retain(|known| known.key != who);
                if mute {
                    muted.push(MuteView { key: who, at: self.now.before(Span(3600 + 1)) });
                }
                Answer::Mutes(muted.clone())
            }
            Call::Mutes => Answer::Mutes(self.muted.lock().unwrap().clone()),
            _ => return Err(Fault::Never("That is not played here.".into()).into()),
        })
    }
    fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.shown.subscribe()
    }
    fn notices(&self) -> broadcast::Receiver<Notice> {
        self.notices.subscribe()
    }
}

/// Plays while `work` runs.
pub(crate) fn play(dir: &Path, work: impl FnOnce()) {
    stand(dir, Stage::new, work);
}

/// The same with a gig to bid on, and money to lock.
pub(crate) fn play_more(dir: &Path, work: impl FnOnce()) {
    stand(dir, Stage::with_more, work);
}

fn stand(dir: &Path, stage: impl FnOnce(Time) -> Stage, work: impl FnOnce()) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    std::fs::create_dir_all(dir).unwrap();
    let stage = stage(earnest::app::now());
    let server = runtime.block_on(async {
        Server::start(Place::new(dir), earnest::engine::Handle::new(Arc::new(stage))).unwrap()
    });
    work();
    runtime.block_on(server.stop());
}

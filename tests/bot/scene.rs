//! What a bot sees and asks, by hand: gigs, jobs, a budget, and an engine that answers what it is told to.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use earnest::bot::{Policy, *};
use earnest::engine::{Command, *};
use earnest::market::*;
use earnest::text::{Clean, Limit, Raw};
use tokio::sync::{broadcast, watch};

use crate::template;

pub(crate) const NOW: Time = Time(1_000_000);

pub(crate) fn sats(n: u64) -> Msat {
    Msat::sats(n).unwrap()
}

pub(crate) fn me() -> Actor {
    Actor::bot("labels").unwrap()
}

fn clean(text: &str) -> Clean {
    Raw(text.into()).clean(Limit::TITLE)
}

/// A policy for 1,000 sat an item: with its routing 1,020 by the usual budget.
pub(crate) fn asking() -> Asking {
    let mut template = template(&[Mode::Sealed], 5);
    template.draft.price = sats(1_000);
    Asking {
        template,
        queue: None,
        attach: false,
        choose: Choose::First,
        wait: Duration::ZERO,
        at_once: 8,
        per_worker: 4,
        tries: 3,
        accept: Accept::Checks,
        total: None,
    }
}

pub(crate) fn working(command: &str) -> Working {
    Working {
        query: Query::parse("#labels", Network::Regtest, |_| None).unwrap(),
        line: "#labels".into(),
        price: Price::Share(100),
        at_once: 2,
        message: String::new(),
        command: ["sh", "-c", command].map(str::to_owned).to_vec(),
        stdin: Stdin::Job,
        limits: crate::limits(),
        tries: 2,
        look: Duration::from_millis(100),
        patience: Duration::from_secs(600),
    }
}

pub(crate) fn policy(requester: Option<Asking>, worker: Option<Working>) -> Policy {
    let (hooks, places) = (Vec::new(), Places::default());
    Policy { actor: me(), beside: PathBuf::from("/"), requester, worker, hooks, places }
}

/// Items `1` to `n`.
pub(crate) fn queue(n: usize) -> Queue {
    let text: String = (1..=n).map(|n| format!("{{\"id\":\"{n}\"}}\n")).collect();
    Queue::read(&text, Path::new("/")).unwrap()
}

/// Our gig of this number under this key.
pub(crate) fn post(n: u8, key: &str) -> PostView {
    PostView {
        id: EventId([n; 32]),
        gig: GigView {
            milestones: Vec::new(),
            id: EventId([n; 32]),
            listing: Digest([n; 32]),
            author: Pubkey([200; 32]),
            title: clean("Label it"),
            summary: Clean::default(),
            content: Clean::default(),
            tags: Vec::new(),
            side: Side::Request,
            status: Status::Open,
            work: Work::File,
            modes: vec![Mode::Sealed],
            network: Network::Regtest,
            price: sats(1_000),
            slots: 1,
            max_bytes: 1 << 20,
            deliver_secs: 86_400,
            pay_secs: 86_400,
            pow: 0,
            published_at: NOW,
            expires_at: NOW.after(Span::DAY),
            inputs: Vec::new(),
            quality: Vec::new(),
            escrow: None,
            judge: None,
            asks: Digest([n; 32]),
        },
        bids: 0,
        awarded: 0,
        by: Some(me()),
        key: Some(key.into()),
        pending: Vec::new(),
        facts: 1,
    }
}

fn legal(role: Role, phase: Phase) -> Vec<Offered> {
    let open: &[Verb] = match (role, phase) {
        (Role::Requester, Phase::Bid) => &[Verb::Award, Verb::Decline],
        (Role::Requester, Phase::Delivered) => &[Verb::Accept, Verb::Reject, Verb::Cancel],
        (Role::Worker, Phase::Working) => &[Verb::Deliver, Verb::Cancel],
        (Role::Worker, Phase::Bid) => &[Verb::Withdraw],
        _ => &[],
    };
    open.iter().map(|verb| Offered { verb: *verb, refusal: None }).collect()
}

/// The job `n` with this person, on our gig `on` or, as a worker, on theirs.
pub(crate) fn job(n: u8, on: u8, peer: u8, role: Role, phase: Phase) -> JobView {
    let delivered = matches!(phase, Phase::Delivered | Phase::Accepted | Phase::Settled);
    JobView {
        milestones: Vec::new(),
        id: EventId([n; 32]),
        job: (phase != Phase::Bid).then_some(JobId([n; 32])),
        role,
        phase,
        since: NOW,
        caught: role == Role::Requester && phase == Phase::Cheated,
        title: clean("Label it"),
        gig: EventId([on; 32]),
        listing: Digest([on; 32]),
        peer: Pubkey([peer; 32]),
        price: sats(1_000),
        mode: Mode::Sealed,
        tranches: 1,
        by_files: false,
        largest_loss: sats(1_000),
        stake: None,
        message: Clean::default(),
        deadline: None,
        otherwise: None,
        reason: None,
        legal: legal(role, phase),
        answers: Vec::new(),
        materials: Vec::new(),
        delivery: delivered.then(|| DeliveryView {
            number: 0,
            manifest: Some(EventId([9; 32])),
            name: clean("labels.csv"),
            message: Clean::default(),
            size: 100,
            inspected: true,
            paid: u32::from(phase == Phase::Settled),
            fee: Msat::ZERO,
            received: Msat::ZERO,
            lsp_fee: Msat::ZERO,
            output: None,
            source: None,
            digest: None,
            proof: None,
            audit: None,
            checks: Vec::new(),
            verdict: None,
        }),
        fetched: None,
        stuck: Vec::new(),
        by: Some(me()),
        asked: None,
        escrow: None,
        heard_at: None,
        unheard: 0,
        pending: Vec::new(),
        facts: 4,
    }
}

/// A job of ours as a requester.
pub(crate) fn hired(n: u8, on: u8, peer: u8, phase: Phase) -> JobView {
    job(n, on, peer, Role::Requester, phase)
}

/// What is seen: a node with a million sats, these gigs and these jobs.
pub(crate) fn sees(posts: Vec<PostView>, jobs: Vec<JobView>) -> Snapshot {
    let balances = Balances { lightning_spendable: sats(1_000_000), ..Balances::default() };
    Snapshot {
        at: NOW,
        identity: Some(Pubkey([200; 32])),
        node: Some(NodeStatus {
            node: NodeId([2; 33]),
            running: true,
            height: 1,
            balances,
            channels_usable: 1,
            channels: 1,
            least_first: Some(sats(1)),
            trouble: None,
        }),
        jobs: jobs.into_iter().map(|job| (job.id, Arc::new(job))).collect(),
        posts: posts.into_iter().map(Arc::new).collect(),
        ..Snapshot::default()
    }
}

/// A budget that is in nobody's way, but for these limits.
pub(crate) fn budget(change: impl FnOnce(&mut Budget)) -> BudgetView {
    let much = sats(1_000_000);
    let mut budget = Budget {
        per_person: much,
        per_hour: much,
        per_day: much,
        at_risk: much,
        ..Budget::default()
    };
    change(&mut budget);
    BudgetView {
        budget,
        at_risk: Msat::ZERO,
        hour: Msat::ZERO,
        day: Msat::ZERO,
        halted: None,
        waiting: Vec::new(),
    }
}

type Answering = dyn Fn(&Stage, &Command) -> Result<Receipt, Trouble> + Send + Sync;

/// An engine that shows what it is told to show, and writes down what it is asked.
pub(crate) struct Stage {
    pub(crate) did: Mutex<Vec<Command>>,
    pub(crate) looks: AtomicUsize,
    pub(crate) shown: watch::Sender<Arc<Snapshot>>,
    pub(crate) told: Mutex<Vec<ToldNotice>>,
    pub(crate) notices: broadcast::Sender<Notice>,
    budget: BudgetView,
    answers: Box<Answering>,
}

impl Stage {
    pub(crate) fn new(
        shown: Snapshot,
        answers: impl Fn(&Self, &Command) -> Result<Receipt, Trouble> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            did: Mutex::default(),
            looks: AtomicUsize::new(0),
            shown: watch::channel(Arc::new(shown)).0,
            told: Mutex::default(),
            notices: broadcast::channel(16).0,
            budget: budget(|_| {}),
            answers: Box::new(answers),
        })
    }

    pub(crate) fn handle(self: &Arc<Self>) -> Handle {
        Handle::new(self.clone())
    }

    pub(crate) fn show(&self, snapshot: Snapshot) {
        self.shown.send_replace(Arc::new(snapshot));
    }

    /// The commands of this kind so far.
    pub(crate) fn count(&self, is: impl Fn(&Command) -> bool) -> usize {
        self.did.lock().unwrap().iter().filter(|command| is(command)).count()
    }
}

#[async_trait]
impl Line for Stage {
    async fn call(&self, call: Call) -> Result<Answer, Trouble> {
        let (_, call) = call.parts();
        Ok(match call {
            Call::Do(command) => {
                self.did.lock().unwrap().push((*command).clone());
                Answer::Done((self.answers)(self, &command)?)
            }
            Call::Budget => {
                self.looks.fetch_add(1, Ordering::SeqCst);
                Answer::Budget(Box::new(self.budget.clone()))
            }
            Call::Find(_) => Answer::Page(Page { gigs: Vec::new(), next: None, at: NOW }),
            Call::Gig(_) => Answer::Gig(None),
            Call::Told { after, limit } => {
                let told = self.told.lock().unwrap();
                let newest = told.last().map_or(0, |told| told.seq);
                let Some(after) = after else { return Ok(Answer::Told(vec![], newest)) };
                let next: Vec<_> = told
                    .iter()
                    .filter(|told| told.seq > after)
                    .take(limit as usize)
                    .cloned()
                    .collect();
                let upto = next.last().map_or(after, |told| told.seq);
                Answer::Told(next, upto)
            }
            other => panic!("{other:?}"),
        })
    }
    fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.shown.subscribe()
    }
    fn notices(&self) -> broadcast::Receiver<Notice> {
        self.notices.subscribe()
    }
}

/// The clock of all this.
pub(crate) struct Still;

impl Clock for Still {
    fn now(&self) -> Time {
        NOW
    }
}

pub(crate) fn options(home: &Path) -> Options {
    Options {
        home: home.to_owned(),
        out: None,
        dry: false,
        once: false,
        resume: false,
        clock: Arc::new(Still),
        feed: None,
    }
}

/// Waits until something is so; says so if it is not in time.
pub(crate) async fn until(what: &str, mut is: impl FnMut() -> bool) {
    let so = async {
        while !is() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), so).await.unwrap_or_else(|_| panic!("{what}"));
}

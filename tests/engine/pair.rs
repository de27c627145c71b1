//! Two people, and a judge whom most tests do not call: each a real core, real keys, a real store in memory and real files. What lies between
//! them (relay, node, transfer) is done by hand, one event at a time, so that a test can bend it.

#[path = "pair/between.rs"]
mod between;
#[path = "pair/crook.rs"]
mod crook;
#[path = "pair/frail.rs"]
mod frail;
#[path = "pair/people.rs"]
mod people;
#[path = "pair/words.rs"]
mod words;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

pub(crate) use between::*;
use crook::Crook;
use earnest::engine::*;
use earnest::files::JobFiles;
use earnest::keys::{Keys, Phrase, Secrets};
use earnest::market::*;
use earnest::store::Database;
pub(crate) use frail::*;

pub(crate) const START: u64 = 1_790_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    Requester,
    Worker,
    Judge,
}
pub(crate) use Who::{Judge, Requester, Worker};

impl Who {
    pub(crate) fn other(self) -> Self {
        match self {
            Requester => Worker,
            Worker => Requester,
            Judge => Judge,
        }
    }
    pub(crate) fn at(self) -> usize {
        self as usize
    }
}

/// A clock that the test moves.
pub(crate) struct Hands(AtomicU64);

impl Clock for Hands {
    fn now(&self) -> Time {
        Time(self.0.load(Ordering::SeqCst))
    }
}

/// Dice that count.
pub(crate) struct Counting(AtomicU64);

impl Dice for Counting {
    fn nonce(&self) -> Nonce {
        let n = self.0.fetch_add(1, Ordering::SeqCst);
        Nonce(*blake3::hash(&n.to_le_bytes()).as_bytes())
    }
}

pub(crate) struct Side {
    core: Option<Core<Frail>>,
    pub(crate) keys: Arc<Keys>,
    pub(crate) endpoint: EndpointId,
    pub(crate) files: JobFiles,
    /// Seals this tranche under a key that is not the one that will be sold.
    pub(crate) cheats: Option<u32>,
    /// Seals without looking whether the work passes its checks.
    pub(crate) careless: bool,
    /// Opens samples with keys that open nothing.
    pub(crate) misopens: bool,
    /// Its machine is off.
    pub(crate) away: bool,
    pub(crate) heard: usize,
    pub(crate) queue: VecDeque<NodeEvent>,
    pub(crate) death: Arc<Mutex<Death>>,
    /// Hears nothing for now.
    pub(crate) deaf: bool,
    /// Runs no effect of these kinds for now.
    pub(crate) lazy: Vec<&'static str>,
    /// What was leased and not run.
    pub(crate) kept: Vec<(EffectRow, Effect)>,
    /// Everything that was run, with what came of it.
    pub(crate) ran: Vec<(EffectRow, Effect, Outcome)>,
    /// Everything that the node said.
    pub(crate) said: Vec<NodeEvent>,
    /// What its screen shows.
    pub(crate) shown: Views,
}

impl Side {
    /// Has heard no more than this many events.
    pub(crate) fn hears_from(&mut self, heard: usize) {
        self.heard = self.heard.min(heard);
    }
}

/// The two of them, and the judge.
pub(crate) struct Pair {
    pub(crate) clock: Arc<Hands>,
    dice: Arc<Counting>,
    pub(crate) dir: tempfile::TempDir,
    rt: tokio::runtime::Runtime,
    pub(crate) events: Vec<RelayEvent>,
    pub(crate) nodes: Nodes,
    pub(crate) sides: [Side; 3],
    pub(crate) restarts: u32,
    /// Everything is told twice: outcomes, events, what the node says.
    pub(crate) twice: bool,
    /// Among very many jobs: nothing is looked at that a program would not look at.
    pub(crate) lean: bool,
}

pub(crate) enum Ran {
    Wrapped(Effect),
    Outcome(Result<Outcome, Fault>),
}

pub(crate) fn sats(n: u64) -> Msat {
    Msat::sats(n).unwrap()
}

impl Pair {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(Hands(AtomicU64::new(START)));
        let dice = Arc::new(Counting(AtomicU64::new(0)));
        let rt = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let side = |who: Who| {
            let n = 40 + who as u8;
            let secrets = Secrets { phrase: Phrase::new(&[n; 32]), imported: None };
            let keys = Arc::new(Keys::new(&secrets, dice.clone(), clock.clone()));
            Side {
                core: None,
                keys,
                endpoint: EndpointId(*blake3::hash(&[n]).as_bytes()),
                files: JobFiles::new(&dir.path().join(format!("{who:?}"))).unwrap(),
                cheats: None,
                careless: false,
                misopens: false,
                away: false,
                heard: 0,
                queue: VecDeque::new(),
                death: Arc::default(),
                deaf: false,
                lazy: Vec::new(),
                kept: Vec::new(),
                ran: Vec::new(),
                said: Vec::new(),
                shown: Views::default(),
            }
        };
        let sides = [side(Requester), side(Worker), side(Judge)];
        let mut pair = Self {
            clock,
            dice,
            dir,
            rt,
            events: Vec::new(),
            nodes: Nodes { height: 1000, confirmations: 6, ..Nodes::default() },
            sides,
            restarts: 0,
            twice: false,
            lean: false,
        };
        for who in [Requester, Worker, Judge] {
            let store = Frail(Database::memory().unwrap(), pair.side(who).death.clone());
            pair.open(who, store);
        }
        pair
    }

    /// Stops somebody's engine, writes this into its store, and starts it again.
    pub(crate) fn inherits(&mut self, who: Who, commits: impl Iterator<Item = Commit>) {
        let mut store = self.side_mut(who).core.take().unwrap().into_store();
        for commit in commits {
            store.commit(&commit).unwrap();
        }
        self.side_mut(who).shown = Views::default();
        self.open(who, store);
    }

    fn open(&mut self, who: Who, store: Frail) {
        let me = self.me(who);
        let keys = self.side(who).keys.clone();
        let core = Core::open(store, keys, self.clock.clone(), self.dice.clone(), me).unwrap();
        self.sides[who.at()].core = Some(core);
    }

    pub(crate) fn me(&self, who: Who) -> Me {
        Me {
            node: node_id(who),
            address: Address {
                endpoint: self.side(who).endpoint,
                direct: vec!["127.0.0.1:9000".into()],
                relay: None,
            },
            relays: vec!["wss://relay.example".into()],
            network: Network::Regtest,
            spendable: sats(10_000_000),
            least_first: Some(sats(1)),
            receivable: sats(10_000_000),
            policy: Policy::default(),
        }
    }

    pub(crate) fn side(&self, who: Who) -> &Side {
        &self.sides[who.at()]
    }
    pub(crate) fn side_mut(&mut self, who: Who) -> &mut Side {
        &mut self.sides[who.at()]
    }
    pub(crate) fn core(&self, who: Who) -> &Core<Frail> {
        self.side(who).core.as_ref().unwrap()
    }
    pub(crate) fn core_mut(&mut self, who: Who) -> &mut Core<Frail> {
        self.side_mut(who).core.as_mut().unwrap()
    }
    pub(crate) fn now(&self) -> Time {
        self.clock.now()
    }
    pub(crate) fn pass(&mut self, span: Span) {
        self.clock.0.fetch_add(span.0, Ordering::SeqCst);
    }
    pub(crate) fn back(&mut self, span: Span) {
        self.clock.0.fetch_sub(span.0, Ordering::SeqCst);
    }
    pub(crate) fn id(&self) -> BidId {
        *self.core(Worker).jobs().keys().next().unwrap()
    }
    pub(crate) fn job(&self, who: Who) -> Job {
        self.core(who).jobs().values().next().unwrap().clone()
    }
    pub(crate) fn phase(&self, who: Who) -> Phase {
        self.job(who).phase
    }
    pub(crate) fn ledger(&self, who: Who) -> Vec<LedgerRow> {
        self.core(who).store().payments().unwrap()
    }

    /// The process is killed and started again; `true` if it had to be.
    pub(crate) fn restart_if_dead(&mut self, who: Who) -> bool {
        let dead = self.side(who).death.lock().unwrap().dead;
        if dead {
            self.restart(who);
        }
        dead
    }

    /// Everything in memory is gone; relays and node tell everything again.
    pub(crate) fn restart(&mut self, who: Who) {
        self.restarts += 1;
        let store = self.side_mut(who).core.take().unwrap().into_store();
        self.side_mut(who).shown = Views::default();
        *self.side(who).death.lock().unwrap() = Death::default();
        self.side_mut(who).heard = 0;
        self.side_mut(who).kept.clear();
        self.open(who, store);
        let Replays { claims, payments } = self.core(who).replays();
        for claim in claims {
            let key = self.core(who).claim_key(&claim).unwrap();
            self.claim(who, &claim.hash, &key);
        }
        for hash in payments {
            let state = self.nodes.lookup(&hash);
            let _ = self.core_mut(who).payment(&hash, &state);
        }
    }

    // ------------------------------------------------------------ the nodes

    /// A BOLT 11 invoice signed by this side's node.
    pub(crate) fn invoice(
        &self,
        who: Who,
        order: &BillOrder,
        bend: impl FnOnce(&mut Bend),
    ) -> String {
        self.nodes.invoice(who, order, self.now(), bend)
    }

    /// Puts a payment on its way, whatever any engine thinks of it.
    pub(crate) fn pay(&mut self, who: Who, order: &PayOrder) -> Result<PaymentState, Fault> {
        let state = self.nodes.pay(who, order);
        self.told_by_nodes();
        state
    }

    fn claim(&mut self, who: Who, hash: &PaymentHash, key: &Preimage) {
        self.nodes.claim(who, hash, key);
        self.told_by_nodes();
    }

    /// The payee's node claims with a secret that its engine was never told.
    pub(crate) fn claims_by_itself(&mut self, hash: &PaymentHash, key: &Preimage) {
        self.claim(Worker, hash, key);
    }

    pub(crate) fn fail(&mut self, hash: &PaymentHash) {
        self.nodes.fail(hash);
        self.told_by_nodes();
    }

    /// Blocks are found, or unmade, up to this height; these people's nodes see the last of them.
    pub(crate) fn blocks(&mut self, to: u32, seen_by: &[Who]) {
        self.nodes.height = to;
        self.nodes.age();
        self.told_by_nodes();
        for who in seen_by {
            let _ = self.core_mut(*who).height(to);
            self.restart_if_dead(*who);
        }
    }

    fn told_by_nodes(&mut self) {
        for (who, event) in std::mem::take(&mut self.nodes.said) {
            self.side_mut(who).queue.push_back(event);
        }
    }

    // ------------------------------------------------------------ effects

    /// Runs one effect as the runner does; what lies between the two is lent to it meanwhile.
    pub(crate) fn perform(&mut self, who: Who, row: &EffectRow, effect: &Effect) -> Ran {
        let grants = |core: &Core<Frail>| match self.lean {
            true => core.grants_of(&row.log),
            false => core.grants(),
        };
        let grants = self
            .sides
            .iter()
            .filter(|side| !side.away)
            .filter_map(|side| Some((side.endpoint, grants(side.core.as_ref()?))))
            .flat_map(|(of, grants)| grants.into_iter().map(move |grant| (of, grant)))
            .collect();
        let lent = Lent {
            nodes: std::mem::take(&mut self.nodes),
            events: std::mem::take(&mut self.events),
            grants,
        };
        let lent = Arc::new(Mutex::new(lent));
        let port = Arc::new(Port { who, me: self.me(who), now: self.now(), lent: lent.clone() });
        let side = self.side(who);
        let work = Workbench {
            ports: Ports {
                scribe: side.keys.clone(),
                relays: port.clone(),
                lightning: port.clone(),
                transfer: port,
                files: Arc::new(Crook {
                    files: side.files.clone(),
                    cheats: side.cheats,
                    careless: side.careless,
                    misopens: side.misopens,
                }),
                clock: self.clock.clone(),
                dice: self.dice.clone(),
            },
            job: self.core(who).job(&row.log).cloned(),
            case: self.core(who).case(&row.log).cloned(),
            progress: Progress::default(),
        };
        let done = self.rt.block_on(perform(&work, &row.log, effect));
        drop(work);
        let mut lent = lent.lock().unwrap();
        (self.nodes, self.events) =
            (std::mem::take(&mut lent.nodes), std::mem::take(&mut lent.events));
        self.told_by_nodes();
        match done {
            Ok(Done::Wrapped(next)) => Ran::Wrapped(next),
            Ok(Done::Outcome(outcome)) => Ran::Outcome(Ok(*outcome)),
            Err(fault) => Ran::Outcome(Err(fault)),
        }
    }

    /// Runs one leased effect and tells the core.
    pub(crate) fn run(&mut self, who: Who, row: &EffectRow, effect: &Effect) {
        match self.perform(who, row, effect) {
            Ran::Wrapped(next) => {
                let _ = self.core_mut(who).wrapped(row, &next);
            }
            Ran::Outcome(outcome) => {
                for _ in 0..=usize::from(self.twice && outcome.is_ok()) {
                    let _ = self.core_mut(who).done(row, effect, outcome.clone());
                }
                if let (false, Ok(outcome)) = (self.lean, outcome) {
                    self.side_mut(who).ran.push((row.clone(), effect.clone(), outcome));
                }
            }
        }
    }

    /// Leases what is due and runs it; what this side is too lazy for is kept.
    pub(crate) fn effects(&mut self, who: Who) -> bool {
        let Ok(leased) = self.core_mut(who).lease(Span::DAY, 64) else { return false };
        let mut any = false;
        for (row, effect) in leased {
            if self.side(who).lazy.contains(&effect.kind()) {
                self.side_mut(who).kept.push((row, effect));
                continue;
            }
            any = true;
            if self.core_mut(who).begin_run(&row, &effect) {
                self.run(who, &row, &effect);
            }
            if self.restart_if_dead(who) {
                break;
            }
        }
        any
    }

    /// Runs what was kept.
    pub(crate) fn wake(&mut self, who: Who) {
        self.side_mut(who).lazy.clear();
        for (row, effect) in std::mem::take(&mut self.side_mut(who).kept) {
            self.run(who, &row, &effect);
        }
    }

    pub(crate) fn listen(&mut self, who: Who) -> bool {
        let mut any = false;
        while !self.side(who).deaf && self.side(who).heard < self.events.len() {
            let event = self.events[self.side(who).heard].clone();
            any = true;
            let mut heard = self.core_mut(who).hear(&event).is_ok();
            if self.twice {
                heard &= self.core_mut(who).hear(&event).is_ok();
            }
            // What a full disk did not take is the core's to remember.
            if !self.restart_if_dead(who) && (heard || self.core(who).is_behind()) {
                self.side_mut(who).heard += 1;
            }
        }
        any
    }

    pub(crate) fn node_events(&mut self, who: Who) -> bool {
        let mut any = false;
        while let Some(event) = self.side(who).queue.front().cloned() {
            any = true;
            let mut told = self.core_mut(who).node(&event);
            if self.twice && told.is_ok() {
                told = self.core_mut(who).node(&event);
            }
            if self.restart_if_dead(who) {
                continue;
            }
            let Ok(stray) = told else { continue };
            if let Some(stray) = stray {
                self.fail(&stray);
            }
            if !self.lean {
                self.side_mut(who).said.push(event);
            }
            self.side_mut(who).queue.pop_front();
        }
        any
    }

    /// Until nothing happens by itself any more.
    pub(crate) fn quiet(&mut self) {
        for _ in 0..400 {
            let mut any = false;
            for who in [Requester, Worker, Judge] {
                if self.side(who).away {
                    continue;
                }
                let _ = self.core_mut(who).tick();
                any |= self.restart_if_dead(who);
                any |= self.effects(who);
                any |= self.listen(who);
                any |= self.node_events(who);
            }
            if any {
                continue;
            }
            if !self.sides.iter().any(|side| side.core.as_ref().is_some_and(Core::is_behind)) {
                return self.look();
            }
            self.pass(Span(5));
        }
        panic!("it never becomes quiet");
    }

    /// Everybody looks at the screen, where what did not change is not drawn again: it shows what is.
    fn look(&mut self) {
        if self.lean {
            return;
        }
        let (now, none) = (self.now(), BTreeMap::new());
        for side in &mut self.sides {
            let Some(core) = side.core.as_mut() else { continue };
            let changed = core.take_changed().logs;
            side.shown.renew(core, &changed, now, &none);
            let mut anew = Views::default();
            let logs = core.jobs().keys().chain(core.cases().keys()).chain(core.posts().keys());
            anew.renew(core, &logs.copied().collect(), now, &none);
            let Views { jobs, cases, posts, .. } = &side.shown;
            assert_eq!((jobs, posts), (&anew.jobs, &anew.posts));
            // Nor is anything added up anew, or looked through for whom to listen to.
            assert!(core.adds_up(), "the sums are not those of the jobs");
            let asked: BTreeSet<_> = core.subscriptions().unwrap().into_iter().collect();
            for log in core.jobs().keys().chain(core.posts().keys()) {
                let wants = core.wants_of(log);
                assert!(wants.iter().all(|want| asked.contains(want)), "{wants:?} is not asked");
            }
            // The height moves on when a case is over, and nothing hangs on it.
            let open = |case: &&Arc<CaseView>| !case.phase.is_over();
            let of = |views: &BTreeMap<_, Arc<CaseView>>| -> Vec<_> {
                views.values().filter(open).cloned().collect()
            };
            assert_eq!(of(cases), of(&anew.cases));
        }
    }
}

/// A job in these milestones, awarded.
pub(crate) fn in_parts(modes: &[Mode]) -> Pair {
    in_parts_with(modes, |_| {})
}

/// The same, with the milestones changed.
pub(crate) fn in_parts_with(modes: &[Mode], change: impl FnOnce(&mut Vec<Milestone>)) -> Pair {
    let mut pair = Pair::new();
    pair.blocks(1000, &[Requester, Worker, Judge]);
    let mut milestones = pair.in_milestones(modes).milestones;
    change(&mut milestones);
    let gig = pair.posted(|draft| *draft = draft.clone().in_milestones(milestones));
    let id = pair.core_mut(Worker).bid(&gig, Wish::default(), "I can.").unwrap();
    pair.quiet();
    pair.core_mut(Requester).award(&id).unwrap();
    pair.quiet();
    pair
}

/// An event as a relay hands it on.
pub(crate) fn relayed(json: &str) -> RelayEvent {
    let event: serde_json::Value = serde_json::from_str(json).unwrap();
    let text = |name: &str| event[name].as_str().unwrap().to_owned();
    let mut to = event["tags"].as_array().unwrap().iter().filter(|t| t[0] == "p");
    let to = to.next().and_then(|t| t[1].as_str().unwrap().parse().ok());
    RelayEvent {
        relay: "wss://relay.example".into(),
        id: text("id").parse().unwrap(),
        kind: u16::try_from(event["kind"].as_u64().unwrap()).unwrap(),
        author: text("pubkey").parse().unwrap(),
        to,
        at: Time(event["created_at"].as_u64().unwrap()),
        json: json.to_owned(),
    }
}

pub(crate) fn code(taken: &Taken) -> &str {
    match taken {
        Taken::New => "new",
        Taken::Nothing => "nothing",
        Taken::Refused(why) => &why.code,
    }
}

pub(crate) fn refused(trouble: Result<(), Trouble>) -> String {
    match trouble {
        Ok(()) => "done".into(),
        Err(Trouble::Refused(why)) => why.code,
        Err(other) => panic!("{other}"),
    }
}

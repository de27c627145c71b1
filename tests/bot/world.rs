//! Two requester's bots on one engine, and bots that work for them, through simulated days: machines die at
//! any commit, relays lose and repeat, clocks are set, somebody pulls the switch, workers cheat and vanish, a
//! model asks for what is not its to have. `EARNEST_SEED=n` plays exactly that world.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use earnest::bot::{Policy, *};
use earnest::engine::{Command, *};
use earnest::market::{Job, *};
use earnest::sim::{Asked, Place, Plan, Report, Resident, Resides, Witness, play_with};
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;

use crate::scene::{asking, policy, sats, working};

const OWNER: usize = 0;
const ITEMS: usize = 5;
/// A line that the budget never lets through.
const TOO_DEAR: u64 = 16_000;
const ABOVE: u64 = 6_000;
/// What one of the two bots may spend in all, whatever the budget has left.
const TOTAL: u64 = 24_000;

/// What is broken on purpose, so that a property must speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Broken {
    /// Nothing.
    No,
    /// Money is promised in a person's name, and no book says so.
    Unbound,
    /// The switch is not looked at.
    Switchless,
    /// What is paid and open is forgotten, at every start of the bot.
    Forgetful,
    /// A model's asks come in a person's name.
    Trusting,
    /// The bots look for half an hour, and never again.
    Asleep,
    /// Everybody is taken for oneself.
    Mirror,
}

// ---------------------------------------------------------------- the book

/// Who asks at the owner's now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mover {
    Person,
    Bot,
    Model,
}

/// All that is written down of a world, and what of it must never happen.
struct Book {
    broken: Broken,
    mover: Mover,
    wrong: BTreeMap<&'static str, String>,
    approved: BTreeSet<BidId>,
    /// How each line ended, in which run of its bot.
    ends: BTreeMap<(usize, String), (&'static str, u64)>,
    /// Whether each bot was done when it looked last, and what it gave up.
    done: BTreeMap<usize, (bool, BTreeMap<String, String>)>,
    /// The last that it said, for whoever wants to know why it is not.
    told: BTreeMap<usize, VecDeque<String>>,
    shown: Arc<Snapshot>,
    collected: u64,
    halts: u64,
    runs: u64,
    refused: BTreeMap<String, u64>,
    asked: u64,
    caught: u64,
}

impl Book {
    fn new(broken: Broken) -> Self {
        Self {
            broken,
            mover: Mover::Person,
            wrong: BTreeMap::new(),
            approved: BTreeSet::new(),
            ends: BTreeMap::new(),
            done: BTreeMap::new(),
            told: BTreeMap::new(),
            shown: Arc::default(),
            collected: 0,
            halts: 0,
            runs: 0,
            refused: BTreeMap::new(),
            asked: 0,
            caught: 0,
        }
    }

    fn wrong(&mut self, property: &'static str, why: String) {
        self.wrong.entry(property).or_insert(why);
    }

    /// A bot says what it did with a line of its queue.
    fn said(&mut self, bot: usize, run: u64, event: &Event) {
        let told = self.told.entry(bot).or_default();
        told.push_back(format!("{run} {:?} {}: {}", event.item, event.what, event.why));
        if told.len() > 12 {
            told.pop_front();
        }
        let (Some(item), "collect" | "give-up") = (&event.item, event.what) else { return };
        let key = (bot, item.clone());
        match self.ends.get(&key) {
            Some((what, once)) if *once == run || *what == "collect" && event.what != "collect" => {
                let why = format!("{item} of bot {bot}: {what}, and then {}", event.what);
                self.wrong("a line ends once", why);
            }
            Some(_) => {}
            None => self.collected += u64::from(event.what == "collect"),
        }
        self.ends.insert(key, (event.what, run));
    }

    /// Every gig and job as it was shown last.
    fn stands(&self) -> String {
        let post = |post: &Arc<PostView>| {
            let (gig, until) = (&post.gig, post.gig.expires_at.0);
            format!("{:?} {:?} {} until {until}\n", post.key, gig.status, gig.price)
        };
        let job = |job: &Arc<JobView>| {
            let key = self.shown.posts.iter().find(|post| post.gig.listing == job.listing);
            let key = key.and_then(|post| post.key.clone());
            let (id, peer) = (job.id.short(), job.peer.short());
            format!("{key:?} {id} {:?} by {peer} {:?} {:?}\n", job.phase, job.asked, job.stuck)
        };
        let posts: String = self.shown.posts.iter().map(post).collect();
        let jobs: String = self.shown.jobs.values().map(job).collect();
        format!("{posts}{jobs}at {} halted {:?}", self.shown.at.0, self.shown.halted)
    }

    fn saw(&mut self, asked: &Asked<'_>) {
        let own = |job: &Job| match self.broken {
            Broken::Mirror => true,
            _ => job.peer() == asked.identity,
        };
        if let Some(job) = asked.jobs.values().find(|job| own(job)) {
            let id = job.id.short();
            self.wrong("nobody works for himself", format!("peer {}, job {id}", asked.peer));
        }
        if asked.peer != OWNER {
            return;
        }
        if self.mover == Mover::Person {
            // A machine that died of it may have written it down before.
            let refused = matches!(asked.answer, Err(Trouble::Refused(_)));
            if let (Command::Approve { job }, false) = (asked.command, refused) {
                self.approved.insert(*job);
            }
            return;
        }
        self.asked += 1;
        if let Err(why) = asked.answer {
            let code = match why {
                Trouble::Refused(why) => why.code.clone(),
                other => other.to_string(),
            };
            *self.refused.entry(code).or_default() += 1;
            return;
        }
        let what = format!("{:?} did {:?} at {:?}", self.mover, asked.command, asked.now);
        if asked.halted {
            self.wrong("nothing is begun while the switch is pulled", what.clone());
        }
        if self.mover == Mover::Model {
            self.wrong("a model gets nothing that is not its to have", what.clone());
        }
        if let Command::Award { job } | Command::Fund { job, .. } | Command::Accept { job, .. } =
            asked.command
        {
            self.limits(asked, &asked.jobs[job], &what);
        }
        self.lines(asked);
    }

    /// What is promised and paid, added up by hand.
    fn limits(&mut self, asked: &Asked<'_>, now: &Job, what: &str) {
        let limits = budget();
        let jobs = || asked.jobs.values().filter(|job| job.awarded_at.is_some());
        let (mut open, mut hour, mut day, mut person) = (0, 0, 0, 0);
        let mut by_bot = [0; 2];
        for job in jobs() {
            let (promised, since) = (promised(job), |span| asked.now.before(span));
            let paid = |from: Time| -> u64 {
                let near = job.charge.paid.iter().filter(|(at, _)| *at >= from);
                near.map(|(_, amount)| amount.get()).sum()
            };
            open += promised;
            hour += paid(since(Span::HOUR));
            day += paid(since(Span::DAY));
            if job.peer() == now.peer() {
                person += promised + paid(since(Span::DAY));
            }
            if let Some((bot, _)) = line_of(asked, job) {
                by_bot[bot] += promised + paid(Time(0));
            }
            let most = dearest(job);
            if paid(Time(0)) > most {
                let id = job.id.short();
                self.wrong("the budget holds", format!("{id} cost more than {most} msat"));
            }
        }
        for (name, sum, most) in [
            ("at risk", open, limits.at_risk),
            ("an hour", open + hour, limits.per_hour),
            ("a day", open + day, limits.per_day),
            ("one person", person, limits.per_person),
            ("one job", now.agreed().price.get(), limits.per_job),
            ("the total of the first bot", by_bot[0], sats(TOTAL)),
        ] {
            if sum > most.get() {
                self.wrong("the budget holds", format!("{name}: {sum} msat by {what}"));
            }
        }
        if now.agreed().price > limits.approve_above && !self.approved.contains(&now.id) {
            self.wrong("what is dear waits for a person", what.to_owned());
        }
    }

    /// How the lines of the queues stand.
    fn lines(&mut self, asked: &Asked<'_>) {
        let mut keys = BTreeSet::new();
        for post in asked.posts.values() {
            if let (Some(by), Some(key)) = (&post.by, &post.key)
                && !keys.insert((by, key))
            {
                self.wrong("a line has one job", format!("{key} of {by} is published twice"));
            }
        }
        let mut paid = BTreeMap::<_, u32>::new();
        let mut active = BTreeMap::<_, u32>::new();
        for job in asked.jobs.values().filter(|job| job.awarded_at.is_some()) {
            let Some(line) = line_of(asked, job) else { continue };
            let whole = job.paid() >= job.agreed().price && job.phase != Phase::Cheated;
            *paid.entry(line.clone()).or_default() += u32::from(whole);
            *active.entry(line).or_default() += u32::from(!job.phase.is_over());
        }
        self.caught = asked.jobs.values().filter(|job| job.phase == Phase::Cheated).count() as u64;
        for (what, counts) in [("is paid", paid), ("is under way", active)] {
            if let Some((line, n)) = counts.into_iter().find(|(_, n)| *n > 1) {
                self.wrong("a line has one job", format!("{line:?} {what} {n} times"));
            }
        }
    }
}

/// Which line of which bot a job is for.
fn line_of(asked: &Asked<'_>, job: &Job) -> Option<(usize, String)> {
    let post = asked.posts.values().find(|post| post.gig().is_some_and(|g| g.d == job.gig.d))?;
    let bot = if post.by == Some(actor("one")) { 0 } else { 1 };
    let key = post.key.as_deref()?;
    Some((bot, key.split('#').next()?.to_owned()))
}

/// The most that a job may cost: its price, and 2 % and 100 sat for routing each part.
fn dearest(job: &Job) -> u64 {
    let price = job.agreed().price.get();
    price + price / 50 + 100_000 * u64::from(job.agreed().tranches.max(1))
}

/// What may still be lost by it.
fn promised(job: &Job) -> u64 {
    if job.phase.is_over() && job.payments().is_empty() {
        return 0;
    }
    let paid: u64 = job.charge.paid.iter().map(|(_, amount)| amount.get()).sum();
    dearest(job).saturating_sub(paid)
}

struct Eye(Arc<Mutex<Book>>);

impl Witness for Eye {
    fn saw(&self, asked: &Asked<'_>) {
        self.0.lock().unwrap().saw(asked);
    }
}

// ---------------------------------------------------------------- the line, bent

/// The way to the engine as a broken earnest would have it.
struct Bent {
    line: Arc<dyn Line>,
    broken: Broken,
    book: Arc<Mutex<Book>>,
}

#[async_trait]
impl Line for Bent {
    async fn call(&self, call: Call) -> Result<Answer, Trouble> {
        let mover = self.book.lock().unwrap().mover;
        let (by, call) = call.parts();
        let money = matches!(
            &call,
            Call::Do(command) if matches!(
                **command,
                Command::Award { .. } | Command::Fund { .. } | Command::Accept { .. }
            )
        );
        let bare = match self.broken {
            Broken::Unbound => money,
            Broken::Switchless => mover == Mover::Bot,
            Broken::Trusting => mover == Mover::Model,
            _ => false,
        };
        // Who budgets nothing has never spent anything.
        if let (Broken::Unbound, Call::Budget) = (self.broken, &call) {
            let Answer::Budget(mut view) = self.line.call(call).await? else { unreachable!() };
            (view.at_risk, view.hour, view.day) = Default::default();
            return Ok(Answer::Budget(view));
        }
        let call = match by.filter(|_| !bare) {
            Some(by) => Call::As { by, call: Box::new(call) },
            None => call,
        };
        self.line.call(call).await
    }
    fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.line.watch()
    }
    fn notices(&self) -> broadcast::Receiver<Notice> {
        self.line.notices()
    }
}

// ---------------------------------------------------------------- the owner

fn actor(name: &str) -> Actor {
    Actor::bot(name).unwrap()
}

fn budget() -> Budget {
    Budget {
        per_job: sats(15_000),
        per_person: sats(30_000),
        per_hour: sats(18_000),
        per_day: sats(45_000),
        at_risk: sats(18_000),
        fee_ppm: 20_000,
        fee_base: sats(100),
        modes: vec![Mode::Sealed, Mode::Escrow],
        checks: Vec::new(),
        approve_above: sats(ABOVE),
    }
}

struct Clockface(Arc<dyn Clock>);

impl Clock for Clockface {
    fn now(&self) -> Time {
        self.0.now()
    }
}

/// One requester's bot, and what of it survives a crash: its policy and its queue.
struct Boss {
    policy: Policy,
    queue: String,
    bot: Option<Bot<'static>>,
}

/// The owner's machine: two bots, a person who is there now and then, and a model.
struct Owner {
    began: Instant,
    epoch: u64,
    bosses: [Boss; 2],
    book: Arc<Mutex<Book>>,
    broken: Broken,
    runtime: tokio::runtime::Runtime,
    seed: u64,
    looks: u64,
    /// What a bot that forgets does not know any more.
    forgotten: BTreeSet<BidId>,
}

/// Chance, from the seed of the world and the number of the look.
fn chance(seed: u64, what: &str, n: u64, permille: u64) -> bool {
    draw(seed, what, n) % 1_000 < permille
}

fn draw(seed: u64, what: &str, n: u64) -> u64 {
    let hash = blake3::hash(format!("{seed} {what} {n}").as_bytes());
    u64::from_le_bytes(hash.as_bytes()[..8].try_into().unwrap())
}

impl Owner {
    fn new(seed: u64, broken: Broken, book: Arc<Mutex<Book>>) -> Self {
        let boss = |name: &str, mode: Mode| {
            let tries = if broken == Broken::Forgetful && name == "one" { 1 } else { 4 };
            let plain = asking();
            let mut template = plain.template;
            template.draft.quality = Quality::default();
            template.draft.modes = vec![mode];
            template.draft.escrow = (mode == Mode::Escrow).then(EscrowTerms::default);
            template.draft.tags = vec!["labels".into()];
            template.draft.max_bytes = 64 << 10;
            template.draft.deadlines =
                Deadlines { deliver: Span::HOUR.times(3), pay: Span::HOUR.times(2) };
            template.life = Span::HOUR.times(6);
            let asking = Asking {
                template,
                queue: Some("queue.jsonl".into()),
                accept: Accept::Inspected,
                wait: Duration::from_secs(60),
                at_once: 4,
                per_worker: 2,
                tries,
                total: (name == "one").then(|| sats(TOTAL)),
                ..asking()
            };
            let line = |n: usize| {
                let price = match n {
                    1 => TOO_DEAR,
                    2 => ABOVE + 1_000,
                    n => 2_000 + draw(seed, name, n as u64) % 3_000,
                };
                format!("{{\"id\":\"{name}{n}\",\"price\":{price}}}\n")
            };
            let policy = Policy { actor: actor(name), ..policy(Some(asking), None) };
            Boss { policy, queue: (1..=ITEMS).map(line).collect(), bot: None }
        };
        Self {
            began: Instant::now(),
            epoch: 0,
            bosses: [boss("one", Mode::Sealed), boss("two", Mode::Escrow)],
            book,
            broken,
            runtime: tokio::runtime::Builder::new_current_thread().build().unwrap(),
            seed,
            looks: 0,
            forgotten: BTreeSet::new(),
        }
    }

    fn chance(&self, what: &str, permille: u64) -> bool {
        chance(self.seed, what, self.looks, permille)
    }

    fn moves(&self, mover: Mover) {
        self.book.lock().unwrap().mover = mover;
    }

    /// A person looks: says yes or no to what is asked, pulls the switch and lets it go.
    fn person(&self, handle: &Handle, place: &Place) {
        self.moves(Mover::Person);
        for job in place.shown.jobs.values().filter(|job| job.asked.is_some()) {
            if !self.chance("person", 100) || !job.legal.iter().any(|o| o.verb == Verb::Approve) {
                continue;
            }
            let command = match job.id.0[2] % 10 {
                0..7 => Command::Approve { job: job.id },
                _ => Command::Decline { job: job.id, reason: "no".into() },
            };
            let _ = self.runtime.block_on(handle.ask(command));
        }
        let halted = place.shown.halted.is_some();
        if !halted && !place.calm && self.chance("halt", 15) {
            self.book.lock().unwrap().halts += 1;
            let _ = self.runtime.block_on(handle.halt("stop"));
        }
        if halted && (place.calm || self.chance("resume", 100)) {
            let _ = self.runtime.block_on(handle.resume());
        }
    }

    /// A model asks for what it was talked into.
    fn model(&self, handle: &Handle, place: &Place) {
        self.moves(Mover::Model);
        let agent = handle.acting_as(&Actor::agent("model").unwrap());
        let ask = |command: Command| self.runtime.block_on(agent.ask(command));
        for job in place.shown.jobs.values() {
            if job.asked.is_some() {
                let _ = ask(Command::Approve { job: job.id });
            }
            if matches!(job.phase, Phase::Delivered | Phase::Awarded) && job.mode == Mode::Sealed {
                let _ = ask(Command::Accept { job: job.id, max_fee: sats(1_000_000) });
            }
        }
        for post in &place.shown.posts {
            let wish = Wish::default();
            let _ = ask(Command::Bid { gig: post.gig.id, wish, message: "mine".into() });
        }
        if place.shown.halted.is_some() && self.runtime.block_on(agent.resume()).is_ok() {
            let why = "it was let go".to_owned();
            let mut book = self.book.lock().unwrap();
            book.wrong("a model gets nothing that is not its to have", why);
        }
    }

    /// What a bot is shown.
    fn shown(&self, place: &Place) -> Arc<Snapshot> {
        let mut shown = (*place.shown).clone();
        match self.broken {
            Broken::Switchless => shown.halted = None,
            Broken::Forgetful => {
                for id in &self.forgotten {
                    shown.jobs.remove(id);
                }
            }
            _ => return place.shown.clone(),
        }
        Arc::new(shown)
    }
}

impl Resident for Owner {
    fn look(&mut self, place: &Place) {
        self.looks += 1;
        let line = Bent { line: place.line.clone(), broken: self.broken, book: self.book.clone() };
        let handle = Handle::new(Arc::new(line));
        let reborn = self.epoch != place.epoch;
        self.epoch = place.epoch;
        if place.shown.identity.is_none() {
            return;
        }
        self.person(&handle, place);
        if self.chance("model", 50) {
            self.model(&handle, place);
        }
        self.moves(Mover::Bot);
        let at = self.began + place.passed;
        if self.broken == Broken::Asleep && place.passed > Duration::from_secs(1_800) {
            return;
        }
        // Once it is calm nobody stops them: who began a moment ago is not done.
        let ends = match self.broken {
            Broken::Forgetful => 30,
            _ if place.calm => 0,
            _ => 4,
        };
        for n in 0..2 {
            let killed = reborn || self.chance(if n == 0 { "kill-0" } else { "kill-1" }, ends);
            if killed || self.bosses[n].bot.is_none() {
                let jobs = place.shown.jobs.values();
                let settled = jobs.filter(|job| job.phase == Phase::Settled).map(|job| job.id);
                self.forgotten.extend(settled);
                let bot = begin(&self.bosses[n], n, &handle, place, &self.book);
                self.bosses[n].bot = Some(bot);
            }
            let shown = self.shown(place);
            let boss = &mut self.bosses[n];
            let Some(bot) = &mut boss.bot else { continue };
            self.runtime.block_on(bot.look(&shown, at));
            let done = (bot.is_done(), bot.tally(&shown).given_up);
            let mut book = self.book.lock().unwrap();
            book.done.insert(n, done);
            book.shown = shown;
        }
    }
}

/// A bot starts, again or for the first time.
fn begin(
    boss: &Boss,
    n: usize,
    handle: &Handle,
    place: &Place,
    book: &Arc<Mutex<Book>>,
) -> Bot<'static> {
    let options = Options {
        home: PathBuf::from("/nowhere"),
        out: None,
        dry: false,
        once: false,
        resume: true,
        clock: Arc::new(Clockface(place.clock.clone())),
        feed: None,
    };
    let run = {
        let mut book = book.lock().unwrap();
        book.runs += 1;
        book.runs
    };
    let queue = Queue::read(&boss.queue, Path::new("/")).unwrap();
    let (handle, book) = (handle.acting_as(&boss.policy.actor), book.clone());
    let tell = Box::new(move |event: Event| book.lock().unwrap().said(n, run, &event));
    Bot::new(handle, boss.policy.clone(), options, Some(queue), tell).unwrap()
}

// ---------------------------------------------------------------- the workers

/// A worker's bot; its command writes sixteen bytes at a time and never fails.
struct Hand {
    began: Instant,
    epoch: u64,
    worker: Worker,
    runtime: tokio::runtime::Runtime,
}

impl Hand {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            epoch: 0,
            worker: Self::fresh(),
            runtime: tokio::runtime::Builder::new_current_thread().build().unwrap(),
        }
    }

    fn fresh() -> Worker {
        let patience = Duration::from_secs(4 * 3_600);
        Worker::new(Working { at_once: 4, patience, ..working("true") }, actor("hand"))
    }

    fn does(&mut self, handle: &Handle, place: &Place, intent: &Intent) {
        let Some(id) = intent.log else { return };
        let command = match intent.deed.clone() {
            // One in twelve takes a job and is never heard of again.
            Deed::Work if id.0[0] < 20 => return,
            Deed::Work => {
                let tries = self.worker.tried(id);
                let mut bytes = vec![0; 320];
                blake3::Hasher::new()
                    .update(&id.0)
                    .update(&[tries as u8])
                    .finalize_xof()
                    .fill(&mut bytes);
                let file = place.write(&format!("{}-{tries}", id.short()), bytes);
                self.worker.made(id, file);
                return;
            }
            Deed::Deliver(file) => Command::Deliver { job: id, file, message: String::new() },
            Deed::Withdraw(why) => Command::Withdraw { job: id, reason: why.into() },
            Deed::Cancel(why) => Command::Cancel { job: id, reason: why.into() },
            Deed::Bid(wish) => Command::Bid { gig: id, wish, message: String::new() },
            other => panic!("{other:?}"),
        };
        let answer = self.runtime.block_on(handle.ask(command));
        if let (Deed::Deliver(_), Ok(_)) = (&intent.deed, answer) {
            self.worker.handed(&id);
        }
    }
}

impl Resident for Hand {
    fn look(&mut self, place: &Place) {
        if self.epoch != place.epoch {
            (self.epoch, self.worker) = (place.epoch, Self::fresh());
        }
        if place.shown.identity.is_none() {
            return;
        }
        let handle = Handle::new(place.line.clone()).acting_as(&actor("hand"));
        let at = self.began + place.passed;
        for intent in self.worker.jobs(&place.shown, &BTreeSet::new(), at) {
            self.does(&handle, place, &intent);
        }
        let query = self.worker.policy().query.clone();
        let Ok(page) = self.runtime.block_on(handle.find(query)) else { return };
        for intent in self.worker.bids(&place.shown, &page.gigs, |_| false) {
            self.does(&handle, place, &intent);
        }
    }
}

// ---------------------------------------------------------------- worlds

/// Plays a world of bots; what must never happen and did.
fn plays(plan: &Plan, broken: Broken) -> (Result<Report, String>, Book) {
    let book = Arc::new(Mutex::new(Book::new(broken)));
    let witness: Arc<dyn Witness> = Arc::new(Eye(book.clone()));
    let resides = |peer: usize| {
        let resident: Box<dyn Resident> = match peer {
            OWNER => Box::new(Owner::new(plan.seed, broken, book.clone())),
            _ => Box::new(Hand::new()),
        };
        Resides { peer, budget: budget(), resident, witness: witness.clone() }
    };
    let report = play_with(plan, (0..plan.peers).map(resides).collect());
    drop(witness);
    let book = Arc::into_inner(book).unwrap().into_inner().unwrap();
    (report, book)
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

fn plan(seed: u64) -> Plan {
    Plan { hours: 6, peers: 4, ..Plan::new(seed) }
}

/// Plays them all, as many at once as there are cores; in their order.
fn all<T: Send>(of: &[(Plan, Broken)], then: impl Fn(&Plan, Broken) -> T + Sync) -> Vec<T> {
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZeroUsize::get);
    let (next, done) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while let n = next.fetch_add(1, Ordering::Relaxed)
                    && let Some((plan, broken)) = of.get(n)
                {
                    let played = then(plan, *broken);
                    done.lock().unwrap().insert(n, played);
                }
            });
        }
    });
    done.into_inner().unwrap().into_values().collect()
}

/// Whatever happens, the limits hold, each line has one job and one end, and once it is calm everything that
/// the budget allows is done.
#[test]
#[expect(clippy::disallowed_macros, reason = "what the worlds were like is worth a line")]
fn two_bots_on_one_engine_keep_to_what_they_may() {
    let one = number("EARNEST_SEED");
    let first = one.unwrap_or(0);
    let worlds = number("EARNEST_SEEDS").unwrap_or(if one.is_some() { 1 } else { 4 });
    let seeds: Vec<_> = (first..first + worlds).map(|seed| (plan(seed), Broken::No)).collect();
    let played = all(&seeds, |plan, broken| {
        let (report, book) = plays(plan, broken);
        let why = format!("EARNEST_SEED={}", plan.seed);
        let report = report.unwrap_or_else(|broken| panic!("{broken}"));
        assert!(book.wrong.is_empty(), "{why}: {:#?}", book.wrong);
        assert_eq!(book.done.len(), 2, "{why}");
        for (bot, (done, given_up)) in &book.done {
            assert!(done, "{why}: bot {bot} is not done: {:#?}\n{}", book.told[bot], book.stands());
            for (item, reason) in given_up {
                let dear = item.ends_with('1') && reason.contains("budget-job");
                let tried = ["led to nothing", "total is spent", "its gig was closed"];
                let tried = tried.iter().any(|why| reason.contains(why));
                assert!(dear || tried, "{why}: {item} was given up: {reason}");
            }
        }
        (report, book)
    });
    let sum = |of: fn(&Book) -> u64| played.iter().map(|(_, book)| of(book)).sum::<u64>();
    let crashes: u64 = played.iter().map(|(report, _)| report.crashes).sum();
    let mut refusals = BTreeMap::<&str, u64>::new();
    for (code, n) in played.iter().flat_map(|(_, book)| &book.refused) {
        *refusals.entry(code).or_default() += n;
    }
    let gave_up = played.iter().flat_map(|(_, book)| book.done.values());
    let gave_up: usize = gave_up.map(|(_, given_up)| given_up.len()).sum();
    let told = format!(
        "{} worlds: {} lines done, {gave_up} given up, {} asks, {} runs, {} halts, {} caught, \
         {crashes} crashes; refused: {refusals:?}",
        played.len(),
        sum(|book| book.collected),
        sum(|book| book.asked),
        sum(|book| book.runs),
        sum(|book| book.halts),
        sum(|book| book.caught),
    );
    eprintln!("{told}");
    if one.is_some() {
        return;
    }
    // They live in a world where things are done, and where things go wrong.
    let lines = played.len() as u64 * 2 * (ITEMS as u64 - 1);
    assert!(sum(|book| book.collected) * 2 > lines, "{told}");
    assert!(sum(|book| book.halts) > 0 && crashes > 0, "{told}");
    let refused = |code: &str| played.iter().any(|(_, book)| book.refused.contains_key(code));
    for code in ["bot-stopped", "budget-job", "needs-approval"] {
        assert!(refused(code), "nobody was refused {code}: {told}");
    }
}

/// Every property speaks when what it guards is broken: in the first world, or in one of the next.
#[test]
fn each_property_of_bots_can_fail() {
    const NOT_DONE: &str = "what may be done is done";
    let ways: [(Broken, &[&str]); 6] = [
        (Broken::Unbound, &["the budget holds", "what is dear waits for a person"]),
        (Broken::Switchless, &["nothing is begun while the switch is pulled"]),
        (Broken::Forgetful, &["a line ends once", "a line has one job"]),
        (Broken::Trusting, &["a model gets nothing that is not its to have"]),
        (Broken::Mirror, &["nobody works for himself"]),
        (Broken::Asleep, &[NOT_DONE]),
    ];
    let worlds = ways.map(|(broken, _)| (plan(1), broken));
    all(&worlds, |first, broken| {
        let (_, properties) = ways.iter().find(|(of, _)| *of == broken).unwrap();
        let mut spoke = BTreeSet::new();
        for seed in first.seed..first.seed + 8 {
            let (_, book) = plays(&plan(seed), broken);
            spoke.extend(book.wrong.into_keys());
            spoke.extend(book.done.values().any(|(done, _)| !done).then_some(NOT_DONE));
            if properties.iter().all(|property| spoke.contains(property)) {
                return;
            }
        }
        panic!("{broken:?} breaks {spoke:?}, not {properties:?}");
    });
}

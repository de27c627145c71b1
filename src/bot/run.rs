//! The loop: look, think, do. What one look leads to is asked of the engine at once; commands and hooks run
//! beside it.

mod answers;
mod deeds;
mod lines;
mod plan;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::bot::{
    Asker, Deed, Event, Feed, Hooks, Intent, Policy, Queue, Results, Scratch, Short, Tally, Worker,
};
use crate::engine::{Clock, Command, Handle, Snapshot};
use crate::market::{BidId, EventId, Role};

use deeds::Finished;

/// How a bot is run.
pub struct Options {
    /// A folder of its own: scratch folders, the place of its hooks, its lock.
    pub home: PathBuf,
    /// Where results go.
    pub out: Option<PathBuf>,
    /// Say what would be done and do nothing.
    pub dry: bool,
    /// One look, then the end.
    pub once: bool,
    /// Go on with what an earlier run has begun.
    pub resume: bool,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// The lines of a queue that is read as it comes.
    pub feed: Option<Feed>,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// What came of it.
    pub tally: Tally,
    /// What is wrong with the queue, if it was left unread for that.
    pub queue: Option<String>,
}

/// Between two looks, however fast things change.
const BREATH: Duration = Duration::from_millis(20);
/// Without news it looks all the same.
const BEAT: Duration = Duration::from_millis(500);
/// What was asked is asked again after this, and then after twice as long, up to [`LONGEST`].
const AGAIN: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(60);
/// A log that was written and is in no view for so long is hidden, not late.
const HIDDEN: Duration = Duration::from_secs(60);
/// The most looks at the book in one go: fifty gigs each.
const MOST_PAGES: usize = 4;

/// Runs a policy until its queue is done, or for ever where it has none; ends when the engine does.
///
/// # Errors
/// Why it cannot begin: another bot of this name runs, the budget contradicts the policy, the queue is wrong
/// or was begun before, a folder cannot be used. Nothing was done then.
pub async fn run(
    handle: &Handle,
    policy: Policy,
    options: Options,
    tell: &mut (dyn FnMut(Event) + Send),
) -> Result<Ran, String> {
    let handle = handle.acting_as(&policy.actor);
    let _lock = lock(&options, &policy)?;
    let budget = handle.budget().await.map_err(|why| why.to_string())?;
    policy.against(&budget.budget).map_err(|why| why.to_string())?;
    let queue = queue_of(&policy, &options)?;
    let mut bot = Bot::new(handle.clone(), policy, options, queue, Box::new(tell))?;
    let mut watch = handle.watch();
    let up = watch.wait_for(|now| now.identity.is_some()).await;
    let first = up.map_err(|_| "the engine has ended".to_owned())?.clone();
    bot.begin(&first)?;
    let (hooks, mut of_hooks) = bot.hooks().await?;
    if bot.options.once {
        // One look at all of it.
        bot.read_whole_feed().await;
    }
    loop {
        let now = watch.borrow_and_update().clone();
        if bot.options.dry {
            bot.plan(&now).await;
        }
        bot.look(&now, Instant::now()).await;
        if bot.options.once || bot.is_done() {
            break;
        }
        let news = async {
            tokio::time::sleep(BREATH).await;
            watch.changed().await
        };
        let feed = async {
            match bot.options.feed.as_mut() {
                Some(feed) => feed.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = news => if changed.is_err() { break },
            lines = feed => bot.take(lines),
            Some(event) = of_hooks.recv() => bot.say(event),
            Some(done) = bot.tasks.join_next(), if !bot.tasks.is_empty() => {
                if let Ok(done) = done {
                    bot.finished(done);
                }
            }
            () = tokio::time::sleep(BEAT) => {}
        }
    }
    let last = watch.borrow().clone();
    // What happened last is told, too: that it is paid and open is what most hooks wait for.
    if let Some(hooks) = hooks {
        hooks.finish().await;
        while let Ok(event) = of_hooks.try_recv() {
            bot.say(event);
        }
    }
    Ok(Ran { tally: bot.tally(&last), queue: bot.queue_is_wrong })
}

/// Two bots of one name would do everything twice.
fn lock(options: &Options, policy: &Policy) -> Result<std::fs::File, String> {
    let home = &options.home;
    let failed = |why: std::io::Error| format!("{} cannot be used: {why}", home.display());
    std::fs::create_dir_all(home).map_err(failed)?;
    let file = std::fs::File::create(home.join("lock")).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(format!(
            "{} runs already. Stop it first, or give this policy another name",
            policy.actor
        )),
        Err(std::fs::TryLockError::Error(why)) => Err(failed(why)),
    }
}

/// What is tried again: of which log, which item, and what.
type What = (Option<EventId>, Option<usize>, &'static str);

/// What becomes of an intent.
enum Attended {
    /// It needs no engine, or is not for now.
    Done,
    /// The engine is asked.
    Asks(Box<Asks>),
}

/// What the engine is asked, what that is meant for, and what is told of it.
struct Asks {
    command: Command,
    intent: Intent,
    event: Event,
}

/// A bot between two looks. [`run`] puts a loop around it; whoever has a clock of his own turns it by hand.
pub struct Bot<'a> {
    handle: Handle,
    policy: Policy,
    options: Options,
    asker: Option<Asker>,
    worker: Option<Worker>,
    results: Option<Results>,
    tasks: JoinSet<Finished>,
    running: BTreeSet<BidId>,
    /// Where work lies that is done and not handed over yet.
    made: BTreeMap<BidId, Scratch>,
    /// Logs that we have changed and that no look has shown so since: how many facts they have, and since
    /// when that is known.
    unseen: BTreeMap<EventId, (u64, Instant)>,
    /// What there is too little of, and when that was found last.
    short: BTreeMap<Short, Instant>,
    /// What was asked, how often, and when it may be asked again.
    again: BTreeMap<What, (u32, Instant)>,
    /// What was told once is not told again.
    told: BTreeSet<(Option<EventId>, Option<usize>, String)>,
    /// Ids of this bot's gigs before this run.
    before: BTreeSet<String>,
    next_look: Option<Instant>,
    /// A dry run has said what all of it costs.
    planned: bool,
    queue_is_wrong: Option<String>,
    tell: Teller<'a>,
}

/// Who is told what it does.
pub type Teller<'a> = Box<dyn FnMut(Event) + Send + 'a>;

impl<'a> Bot<'a> {
    /// One that has not looked yet, in the hands that `handle` is in. Without a queue it asks for nothing.
    ///
    /// # Errors
    /// The folder of the results cannot be used.
    pub fn new(
        handle: Handle,
        policy: Policy,
        options: Options,
        queue: Option<Queue>,
        tell: Teller<'a>,
    ) -> Result<Self, String> {
        let asking = policy.requester.clone().zip(queue);
        let asker = asking.map(|(asking, queue)| Asker::new(asking, policy.actor.clone(), queue));
        let worker = policy.worker.clone().map(|w| Worker::new(w, policy.actor.clone()));
        let results = match &options.out {
            Some(out) if !options.dry => {
                let opened = Results::open(out);
                Some(opened.map_err(|why| format!("{} cannot be used: {why}", out.display()))?)
            }
            _ => None,
        };
        Ok(Self {
            handle,
            policy,
            options,
            asker,
            worker,
            results,
            tasks: JoinSet::new(),
            running: BTreeSet::new(),
            made: BTreeMap::new(),
            unseen: BTreeMap::new(),
            short: BTreeMap::new(),
            again: BTreeMap::new(),
            told: BTreeSet::new(),
            before: BTreeSet::new(),
            next_look: None,
            planned: false,
            queue_is_wrong: None,
            tell,
        })
    }

    /// Hooks, if there are any, and what they have to say.
    async fn hooks(&mut self) -> Result<(Option<Hooks>, UnboundedReceiver<Event>), String> {
        let (tell, told) = unbounded_channel();
        let (policy, home) = (&self.policy, &self.options.home);
        if self.options.dry || policy.hooks.is_empty() {
            return Ok((None, told));
        }
        let (handle, hooks) = (self.handle.clone(), policy.hooks.clone());
        let hooks = Hooks::start(handle, hooks, &policy.beside, home, tell).await?;
        Ok((Some(hooks), told))
    }

    /// Whether nothing is left to do, now and later.
    pub fn is_done(&self) -> bool {
        let asked = self.asker.as_ref().is_some_and(Asker::is_done);
        asked && self.worker.is_none() && self.tasks.is_empty()
    }

    /// Looks once and does what follows from it; `at` is a steady clock's word.
    pub async fn look(&mut self, now: &Arc<Snapshot>, at: Instant) {
        self.tell_of_cheats(now);
        // What was done a moment ago is not in every look: planned from an older one, it would be done twice.
        if !self.has_seen(now, at) {
            return;
        }
        if let Some(why) = &now.halted {
            let why = if why.is_empty() { "somebody pulled the switch" } else { why };
            let event =
                Event::new("stopped", format!("{why}: nothing is begun until earnest bot start"));
            return self.once(event);
        }
        self.told.retain(|(_, _, what)| what != "stopped");
        if self.asker.is_some() {
            let budget = match self.handle.budget().await {
                Ok(budget) => budget,
                Err(why) => return self.once(Event::new("waits", why.to_string())),
            };
            let wall = self.options.clock.now();
            let intents = match &mut self.asker {
                Some(asker) => asker.intents(now, &budget, wall, at),
                None => Vec::new(),
            };
            self.attend_all(now, intents, at).await;
        }
        self.work(now, at).await;
    }

    /// Whether this look shows all that we have done.
    fn has_seen(&mut self, now: &Snapshot, at: Instant) -> bool {
        let shown = |log: &EventId| {
            let job = now.jobs.get(log).map(|job| job.facts);
            job.or_else(|| now.posts.get(log).map(|post| post.facts))
        };
        self.unseen.retain(|log, (facts, since)| match shown(log) {
            Some(shown) => shown < *facts,
            None => at.duration_since(*since) < HIDDEN,
        });
        self.unseen.is_empty()
    }

    async fn work(&mut self, now: &Arc<Snapshot>, at: Instant) {
        let Some(worker) = &mut self.worker else { return };
        let jobs = worker.jobs(now, &self.running, at);
        self.clear_up();
        self.attend_all(now, jobs, at).await;
        if !self.unseen.is_empty() || self.next_look.is_some_and(|next| at < next) {
            return;
        }
        let Some(worker) = &self.worker else { return };
        self.next_look = Some(at + worker.policy().look);
        let mut query = worker.policy().query.clone();
        for _ in 0..MOST_PAGES {
            let page = match self.handle.find(query.clone()).await {
                Ok(page) => page,
                Err(why) => return self.once(Event::new("waits", why.to_string())),
            };
            let Some(worker) = &self.worker else { return };
            let waits = |gig: &EventId| self.is_waiting(&(Some(*gig), None, BID), at);
            let bids = worker.bids(now, &page.gigs, waits);
            self.attend_all(now, bids, at).await;
            if !self.unseen.is_empty() {
                // How much room is left is in the next look.
                self.next_look = None;
                return;
            }
            match page.next {
                Some(next) => query.after = Some(next),
                None => return,
            }
        }
    }

    /// Takes away what was made for jobs that do not take it any more.
    fn clear_up(&mut self) {
        let Some(worker) = &self.worker else { return };
        let over: Vec<BidId> = self.made.keys().filter(|job| !worker.holds(job)).copied().collect();
        for scratch in over.iter().filter_map(|job| self.made.remove(job)) {
            scratch.remove();
        }
    }

    /// Does them, but for what was done a moment ago: the engine is asked everything at once, and answers in
    /// order.
    async fn attend_all(&mut self, now: &Arc<Snapshot>, intents: Vec<Intent>, at: Instant) {
        let mut asked = Vec::with_capacity(intents.len());
        for intent in intents {
            asked.push(self.attend(now, intent, at));
        }
        let asking = asked.into_iter().filter_map(|attended| {
            let Attended::Asks(asks) = attended else { return None };
            let handle = self.handle.clone();
            let Asks { command, intent, event } = *asks;
            Some(async move { (handle.ask(command).await, intent, event) })
        });
        for (answer, intent, event) in futures::future::join_all(asking).await {
            self.answered(answer, intent, event, at);
        }
    }

    /// Whether it was asked a moment ago.
    fn is_waiting(&self, what: &What, at: Instant) -> bool {
        self.again.get(what).is_some_and(|(_, next)| at < *next)
    }

    /// Does it, unless it was done a moment ago.
    fn attend(&mut self, now: &Arc<Snapshot>, intent: Intent, at: Instant) -> Attended {
        let item =
            intent.item.and_then(|n| Some(self.asker.as_ref()?.queue.items().get(n)?.id.clone()));
        let event = Event {
            item,
            log: intent.log,
            amount: intent.amount,
            dry: self.options.dry,
            ..Event::new(intent.deed.word(), intent.why.clone())
        };
        if let Deed::Wait(of, until) = intent.deed {
            self.waits(of, Event { until, dry: false, ..event }, at);
            return Attended::Done;
        }
        if self.options.dry {
            self.once(event);
            return Attended::Done;
        }
        let key = (intent.log, intent.item, intent.deed.word());
        if self.is_waiting(&key, at) {
            return Attended::Done;
        }
        let tries = self.again.get(&key).map_or(0, |(tries, _)| *tries);
        let wait = (AGAIN * (1 << tries.min(8))).min(LONGEST);
        self.again.insert(key, (tries + 1, at + wait));
        self.act(now, intent, event)
    }

    /// Says what there is too little of: once, unless there was enough for a while.
    fn waits(&mut self, of: Short, event: Event, at: Instant) {
        let before = self.short.insert(of, at);
        if before.is_some_and(|before| at.duration_since(before) < LONGEST) {
            return;
        }
        let why = match event.until {
            Some(until) => {
                let left = self.options.clock.now().until(until);
                format!("{}: it goes on in {left} at the latest", event.why)
            }
            None => event.why.clone(),
        };
        self.say(Event { why, ..event });
    }

    fn say(&mut self, event: Event) {
        tracing::info!(what = event.what, item = event.item, "{}", event.why);
        (self.tell)(event);
    }

    /// Says it unless it was said.
    fn once(&mut self, event: Event) {
        let item = event.item.as_ref().and_then(|id| Some(self.asker.as_ref()?.queue.find(id)?.0));
        let what = if event.dry || event.what == "stopped" {
            event.what.to_owned()
        } else {
            format!("{} {}", event.what, event.why)
        };
        if self.told.insert((event.log, item, what)) {
            self.say(event);
        }
    }

    fn tell_of_cheats(&mut self, now: &Snapshot) {
        let Some(asker) = &mut self.asker else { return };
        asker.look(now);
        for (id, price) in asker.caught().clone() {
            let why = "the worker was caught: what it sold is not what it signed, or fails a check";
            self.once(Event::new("caught", why).log(id).amount(price));
        }
    }

    /// What came of it all so far.
    pub fn tally(&self, now: &Snapshot) -> Tally {
        let mut tally = self.asker.as_ref().map(|asker| asker.tally(now)).unwrap_or_default();
        let ours = now
            .jobs
            .values()
            .filter(|job| job.role == Role::Worker && job.by.as_ref() == Some(&self.policy.actor));
        for delivery in ours.filter_map(|job| job.delivery.as_ref()) {
            tally.earned_jobs += u64::from(delivery.received.get() > 0);
            tally.earned = tally.earned.checked_add(delivery.received).unwrap_or(tally.earned);
        }
        tally
    }
}

/// What is to be done for others to do, if anything is.
fn queue_of(policy: &Policy, options: &Options) -> Result<Option<Queue>, String> {
    let Some(asking) = &policy.requester else { return Ok(None) };
    let Some(path) = &asking.queue else { return single().map(Some) };
    if options.feed.is_some() {
        return Ok(Some(Queue::default()));
    }
    let path = policy.beside.join(path);
    let text = std::fs::read_to_string(&path)
        .map_err(|why| format!("{} cannot be read: {why}", path.display()))?;
    let queue = Queue::read(&text, &policy.beside);
    queue.map(Some).map_err(|why| format!("{}, {why}", path.display()))
}

/// The one item of a policy without a queue.
fn single() -> Result<Queue, String> {
    let mut queue = Queue::read("{\"id\":\"gig\"}", std::path::Path::new(""))?;
    queue.closed = true;
    Ok(queue)
}

/// The word of a bid.
const BID: &str = "bid";

/// Whether a deed is worth a line when it is done.
fn is_loud(deed: &Deed) -> bool {
    !matches!(deed, Deed::Decline(_) | Deed::Verify(_) | Deed::Work)
}

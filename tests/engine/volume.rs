//! A requester's bot with very many jobs behind it, and a worker who does one more: the real core, its views
//! and the bot's own thinking, with nothing else of the program around them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use earnest::bot::{Accept, Asker, Asking, Choose, Deed, Intent, Queue, Template};
use earnest::engine::*;
use earnest::market::*;

use super::pair::*;

/// Bids on each gig that came to nothing, each of somebody else.
const DECLINED: usize = 3;
/// Items that are still to be done.
const LEFT: usize = 64;
/// Logs in one commit of what is inherited.
const IN_ONE: usize = 64;

pub(crate) fn bot() -> Actor {
    Actor::bot("labels").unwrap()
}

pub(crate) fn budget() -> Budget {
    let much = sats(1_000_000_000);
    Budget {
        per_person: much,
        per_hour: much,
        per_day: much,
        at_risk: much,
        fee_base: sats(10),
        ..Budget::default()
    }
}

/// What was told to the store of one gig, from its first word to its payment.
struct Told {
    post: Vec<FactRow>,
    declined: Vec<FactRow>,
    settled: Vec<FactRow>,
    /// Words that are the same in all: who the two are.
    fixed: Vec<String>,
    worker: String,
    /// The name of the listing, which is shorter than all other ids.
    d: String,
}

/// Every id in a text under another name.
fn renamed(text: &str, mut name: impl FnMut(&str) -> Option<String>) -> String {
    let is_hex = |b: &u8| b.is_ascii_digit() || (b'a'..=b'f').contains(b);
    let (bytes, mut out, mut at) = (text.as_bytes(), String::with_capacity(text.len()), 0);
    while at < bytes.len() {
        let hex = bytes[at..].iter().take_while(|b| is_hex(b)).count();
        let len = match hex {
            0 => bytes[at..].iter().take_while(|b| !is_hex(b)).count(),
            len => len,
        };
        let word = &text[at..at + len];
        let new = if hex == 0 { None } else { name(word) };
        out.push_str(new.as_deref().unwrap_or(word));
        at += len;
    }
    out
}

fn other(word: &str, salt: &str) -> String {
    let name = blake3::hash(format!("{salt} {word}").as_bytes()).to_hex();
    name[..word.len().min(64)].to_owned()
}

impl Told {
    /// The `k`-th gig like it, with all that came of it.
    fn again(&self, k: usize) -> Vec<FactRow> {
        let gig: String = self.post.iter().map(|row| row.body.as_str()).collect();
        let mut rows = Vec::new();
        let mut tell = |log: &[FactRow], salt: &str, person: Option<&str>| {
            let name = |word: &str| match word {
                word if word == self.worker => person.map(str::to_owned),
                word if self.fixed.iter().any(|fixed| fixed == word) => None,
                word if word == self.d => Some(other(word, &k.to_string())),
                word if word.len() != 64 => None,
                // What the gig says is the same for everybody who bid on it.
                word if gig.contains(word) => Some(other(word, &k.to_string())),
                word => Some(other(word, salt)),
            };
            let key = format!("\"key\":\"{k}\"");
            rows.extend(log.iter().map(|row| FactRow {
                log: renamed(&row.log.to_string(), name).parse().unwrap(),
                body: renamed(&row.body, name).replace("\"key\":\"seed\"", &key),
                ..row.clone()
            }));
        };
        tell(&self.post, &k.to_string(), None);
        for who in 0..DECLINED {
            let person = other(&self.worker, &format!("person {who}"));
            tell(&self.declined, &format!("{k} {who}"), Some(&person));
        }
        tell(&self.settled, &format!("{k} settled"), None);
        rows
    }
}

/// The scene.
pub(crate) struct Volume {
    pub(crate) pair: Pair,
    asker: Asker,
    shown: Arc<Snapshot>,
    at: tokio::time::Instant,
}

impl Volume {
    /// With so many jobs behind it, each with bids that came to nothing.
    pub(crate) fn behind(jobs: usize) -> Self {
        let mut pair = Pair::new();
        pair.lean = true;
        pair.core_mut(Requester).set_budget(budget());
        let draft = GigDraft { modes: vec![Mode::Sealed], price: sats(1_000), ..pair.draft() };
        let told = tell_one(&mut pair, &draft);
        // The one that all others are copies of is none of them.
        let mut commits = (1..=jobs).collect::<Vec<_>>();
        let commits = commits.chunks_mut(IN_ONE).map(|some| Commit {
            facts: some.iter().flat_map(|k| told.again(*k)).collect(),
            ..Commit::default()
        });
        pair.inherits(Requester, commits);
        pair.core_mut(Requester).set_budget(budget());
        let lines: String = (1..=jobs + LEFT).map(|n| format!("{{\"id\":\"{n}\"}}\n")).collect();
        let asking = Asking {
            template: Template { draft, life: Span::HOUR, inputs: Vec::new() },
            queue: None,
            attach: false,
            choose: Choose::First,
            wait: Duration::ZERO,
            at_once: 1,
            per_worker: 1,
            tries: 3,
            accept: Accept::Inspected,
            total: None,
        };
        let queue = Queue::read(&lines, Path::new("/")).unwrap();
        let asker = Asker::new(asking, bot(), queue);
        let at = tokio::time::Instant::now();
        let mut volume = Self { pair, asker, shown: Arc::default(), at };
        volume.look();
        for intent in volume.think() {
            if let (Deed::Collect(_), Some(item)) = (&intent.deed, intent.item) {
                volume.asker.finish(item);
            }
        }
        volume
    }

    /// What the program does after whatever has changed: views, a snapshot, questions to relays.
    pub(crate) fn look(&mut self) {
        let now = self.pair.now();
        let side = self.pair.side_mut(Requester);
        let mut shown = std::mem::take(&mut side.shown);
        let core = self.pair.core_mut(Requester);
        let changed = core.take_changed();
        if !changed.is_empty() {
            core.subscriptions().unwrap();
        }
        shown.renew(core, &changed.logs, now, &BTreeMap::new());
        let balances = Balances { lightning_spendable: sats(10_000_000), ..Balances::default() };
        self.shown = Arc::new(Snapshot {
            at: now,
            identity: Some(core.identity()),
            node: Some(NodeStatus {
                node: core.me().node,
                running: true,
                height: 1,
                balances,
                channels_usable: 1,
                channels: 1,
                least_first: Some(sats(1)),
                trouble: None,
            }),
            reserved: core.reserved(),
            jobs: shown.jobs.clone(),
            posts: shown.posts.clone(),
            ..Snapshot::default()
        });
        self.pair.side_mut(Requester).shown = shown;
    }

    /// What the bot does when it is woken.
    pub(crate) fn think(&mut self) -> Vec<Intent> {
        let now = self.pair.now();
        let budget = self.pair.core(Requester).budget();
        self.asker.intents(&self.shown, &budget, now, self.at)
    }

    /// One item more, published, done and paid. How many times the bot looked.
    pub(crate) fn one_more(&mut self) -> usize {
        for looks in 1..50 {
            self.pair.quiet();
            self.sweep();
            self.look();
            for intent in self.think() {
                if let Deed::Collect(_) = intent.deed {
                    self.asker.finish(intent.item.unwrap());
                    return looks;
                }
                self.does(&intent);
            }
        }
        panic!("it is never done: {:?}", self.think());
    }

    fn does(&mut self, intent: &Intent) {
        let pair = &mut self.pair;
        let by = bot();
        match &intent.deed {
            Deed::Post(key) => {
                let item = &self.asker.queue.items()[intent.item.unwrap()];
                let (draft, _) = self.asker.draft(item, pair.now());
                let core = pair.core_mut(Requester);
                let post =
                    |core: &mut Core<Frail>| core.post_once(&draft, vec![], Some(key.clone()));
                let gig = core.acting(&by, post).unwrap();
                pair.quiet();
                pair.core_mut(Worker).bid(&gig, Wish::default(), "I can.").unwrap();
            }
            Deed::Award => {
                let id = intent.log.unwrap();
                pair.core_mut(Requester).acting(&by, |core| core.award(&id)).unwrap();
                pair.quiet();
                pair.deliver_to(&id, "work.bin", 2_000).unwrap();
            }
            Deed::Accept(max_fee) => {
                let ask = Ask::Accept { max_fee: *max_fee };
                let id = intent.log.unwrap();
                pair.core_mut(Requester).acting(&by, |core| core.ask(&id, ask)).unwrap();
            }
            other => panic!("{other:?}"),
        }
    }

    /// Relays and nodes forget what everybody has heard.
    fn sweep(&mut self) {
        let pair = &mut self.pair;
        let heard = [Requester, Worker, Judge].map(|who| pair.side(who).heard);
        if heard.iter().all(|heard| *heard == pair.events.len()) {
            pair.events.clear();
            for who in [Requester, Worker, Judge] {
                pair.side_mut(who).heard = 0;
            }
        }
    }

    /// Items that are still to be done.
    pub(crate) fn left(&self) -> usize {
        let items = self.asker.queue.items().len();
        (0..items).filter(|item| !self.asker.is_over(*item)).count()
    }

    /// How long each of these takes, one after the other, and how many looks were taken.
    pub(crate) fn times(&mut self, jobs: usize) -> Vec<Duration> {
        let mut took = Vec::new();
        for _ in 0..jobs {
            let began = Instant::now();
            self.one_more();
            took.push(began.elapsed());
        }
        took
    }
}

/// A gig of the bot, a bid that is declined, and one that is awarded, done and paid.
fn tell_one(pair: &mut Pair, draft: &GigDraft) -> Told {
    let by = bot();
    let key = Some("seed".to_owned());
    let core = pair.core_mut(Requester);
    let gig = core.acting(&by, |core| core.post_once(draft, vec![], key)).unwrap();
    pair.quiet();
    let bid = |pair: &mut Pair| {
        let id = pair.core_mut(Worker).bid(&gig, Wish::default(), "I can.").unwrap();
        pair.quiet();
        id
    };
    let declined = bid(pair);
    let nonce = pair.core(Requester).nonce();
    let ask = Ask::Decline { reason: "Somebody else was chosen for this one.".into(), nonce };
    pair.core_mut(Requester).acting(&by, |core| core.ask(&declined, ask)).unwrap();
    pair.quiet();
    let id = bid(pair);
    pair.core_mut(Requester).acting(&by, |core| core.award(&id)).unwrap();
    pair.quiet();
    pair.deliver_in(&id, "seed.bin", 2_000);
    let ask = Ask::Accept { max_fee: sats(20) };
    pair.core_mut(Requester).acting(&by, |core| core.ask(&id, ask)).unwrap();
    pair.quiet();
    let core = pair.core(Requester);
    assert_eq!(core.job(&id).unwrap().phase, Phase::Settled);
    let post = core.post_by(&gig).unwrap();
    let d = post.gig().unwrap().d.clone();
    let log = |id: &EventId| core.store().log(id).unwrap();
    let worker = pair.core(Worker).identity().to_string();
    Told {
        post: log(&post.id),
        declined: log(&declined),
        settled: log(&id),
        fixed: vec![core.identity().to_string(), worker.clone()],
        worker,
        d,
    }
}

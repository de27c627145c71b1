//! The people: they look at the screen now and then and do what their mood tells them.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use futures::FutureExt as _;

use super::chance::{Draw, Seed, word};
use super::clock::lock;
use super::disk::{Disks, ITEM};
use super::mood::{Asker, Doer, Honesty, asker, doer, honesty};
use super::peer::Peer;
use super::relay::RelayNet;
use crate::engine::{Channel, Core, Store, Trouble};
use crate::market::{
    Actor, Ask, Attempt, Body, Case, CasePhase, Checked, DETERMINISTIC, Deadlines, Digest, Draft,
    EscrowTerms, GigDraft, Job, JudgeTerms, Lock, Milestone, Mode, Msat, Network, Phase, Pinned,
    Post, Preimage, Quality, Query, Role, Side, Sort, Span, Verb, WINDOW, Wish, Work, may,
};
use crate::text::Raw;
use crate::verify::{Check, Encoding, Kind, Range, Rules, Scope};

/// What people need of the world.
pub(super) struct Stage {
    pub(super) seed: Seed,
    pub(super) relays: Arc<Mutex<RelayNet>>,
    pub(super) disks: Arc<Mutex<Disks>>,
    /// No new gigs and bids any more.
    pub(super) closing: bool,
}

impl Stage {
    fn draw(&self, what: &str, peer: &Peer, key: u64) -> Draw {
        self.seed.draw(what, &[peer.n as u64, key, peer.clockwork.now()])
    }

    /// One look at the screen.
    pub(super) fn act(&self, peer: &mut Peer, gigs: usize) {
        self.judge(peer);
        if !self.closing {
            self.post(peer, gigs);
            self.bid(peer);
        }
        let Some(core) = &peer.core else { return };
        let ids: Vec<_> = core.jobs().keys().copied().collect();
        for id in ids {
            let Some(job) = peer.core.as_ref().and_then(|core| core.job(&id)).cloned() else {
                continue;
            };
            if peer.fuse.blown().is_some() {
                return;
            }
            // Nobody answers at once.
            if self.draw("look", peer, word(&id.0)).permille(300) {
                continue;
            }
            match job.role {
                Role::Requester => self.ask(peer, &job),
                Role::Worker => self.work(peer, &job),
            }
        }
    }

    fn post(&self, peer: &mut Peer, gigs: usize) {
        let mut draw = self.draw("post", peer, 0);
        let Some(core) = &mut peer.core else { return };
        let own = core.posts().values().filter_map(Post::gig);
        if own.filter(|gig| gig.offer.work != Work::Judge).count() >= gigs || draw.permille(500) {
            return;
        }
        let modes = match draw.range(0, 10) {
            0 => vec![Mode::Direct],
            1..3 => vec![Mode::Direct, Mode::Sealed],
            3..6 => vec![Mode::Escrow],
            _ => vec![Mode::Sealed],
        };
        let escrow = modes.contains(&Mode::Escrow);
        let judge = a_judge(core, draw.next());
        let mut parts = self.seed.draw("parts", &[peer.n as u64, core.posts().len() as u64]);
        let draft = GigDraft {
            milestones: Vec::new(),
            quality: quality(&mut parts),
            title: format!("Gig {} of {}", core.posts().len(), peer.n),
            summary: String::new(),
            content: "Sixteen bytes an item, please.".into(),
            tags: vec!["sim".into()],
            work: Work::File,
            modes,
            slots: u32::try_from(draw.range(1, 4)).unwrap_or(1),
            price: Msat::sats(draw.range(2_000, 20_000)).unwrap_or_default(),
            max_bytes: 64 * 1024,
            deadlines: Deadlines {
                deliver: Span(draw.range(3_600, 8 * 3_600)),
                pay: Span(draw.range(1_800, 6 * 3_600)),
            },
            escrow: Some(EscrowTerms {
                window: u32::try_from(draw.range(144, 289)).unwrap_or(WINDOW),
                judge: judge.filter(|_| draw.permille(700)),
            })
            .filter(|_| escrow),
            pow: u8::try_from(draw.range(0, 4)).unwrap_or(0),
            expires_at: core_time(peer).after(Span(draw.range(3 * 3_600, 10 * 3_600))),
        };
        let draft = if parts.permille(250) {
            let n = parts.range(2, 4);
            draft.in_milestones((0..n).map(|_| milestone(&mut parts, judge)).collect())
        } else {
            draft
        };
        let mut inputs = Vec::new();
        if draw.permille(200) {
            let path = PathBuf::from(format!("/sim/{}/home/input-{}", peer.n, draw.next()));
            lock(&self.disks).write(peer.n, path.clone(), path.to_string_lossy().as_bytes().into());
            let log = crate::market::EventId([0; 32]);
            if let Some(Ok(input)) = peer.ports.files.adopt(&log, &path, 1 << 20).now_or_never() {
                inputs.push(input);
            }
        }
        if let Some(core) = &mut peer.core {
            let _ = core.post(&draft, inputs);
        }
    }

    /// Some judge: one by a program, one by hand, one who is rarely there.
    fn judge(&self, peer: &mut Peer) {
        let nature = self.seed.draw("judge", &[peer.n as u64]).range(0, 4);
        let now = core_time(peer);
        let mut draw = self.draw("ruling", peer, 1);
        let Some(core) = &mut peer.core else { return };
        let listed = |post: &Post| post.gig().is_some_and(|gig| gig.offer.work == Work::Judge);
        if nature < 3 && !self.closing && !core.posts().values().any(listed) {
            let tags = if nature < 2 { DETERMINISTIC } else { "by-hand" };
            let draft = GigDraft {
                milestones: Vec::new(),
                quality: Quality::default(),
                title: format!("Judge {}", peer.n),
                summary: String::new(),
                content: "I rule.".into(),
                tags: vec![tags.into()],
                work: Work::Judge,
                modes: vec![Mode::Direct],
                slots: 1,
                price: Msat::sats(10).unwrap_or_default(),
                max_bytes: 1,
                deadlines: Deadlines { deliver: Span::DAY, pay: Span::DAY },
                escrow: None,
                pow: 0,
                expires_at: now.after(Span::DAY.times(2)),
            };
            let _ = core.post(&draft, Vec::new());
        }
        let open = |case: &&Case| case.phase == CasePhase::Disputed && !case.is_deterministic();
        let ids: Vec<_> = core.cases().values().filter(open).map(|case| case.id).collect();
        for id in ids {
            // By hand, and so late, or never.
            if draw.permille(60) {
                let whose = if draw.permille(500) { Role::Worker } else { Role::Requester };
                let _ = core.rule(&id, whose, "so".into());
            }
        }
    }

    fn bid(&self, peer: &mut Peer) {
        let Some(core) = &mut peer.core else { return };
        let query = Query {
            words: Vec::new(),
            tags: Vec::new(),
            price_min: None,
            price_max: None,
            mode: None,
            work: Some(Work::File),
            author: None,
            side: Some(Side::Request),
            network: Network::Regtest,
            all: false,
            sort: Sort::Newest,
            after: None,
            limit: 50,
        };
        let Ok(page) = core.find(&query) else { return };
        for gig in page.gigs {
            let mut draw = self.seed.draw("bid", &[peer.n as u64, word(gig.d.as_bytes())]);
            if draw.permille(600) {
                continue;
            }
            let Some(core) = &mut peer.core else { return };
            // Once each.
            if core.jobs().values().any(|job| job.gig.d == gig.d) {
                continue;
            }
            let sealed = gig.offer.modes.first() == Some(&Mode::Sealed);
            let least = gig.offer.milestones.iter().map(|m| m.price).min();
            let least = least.unwrap_or(gig.offer.price);
            let most = (least.whole_sats() / 1000).clamp(1, 4);
            let tranches = if sealed && draw.permille(400) { draw.range(1, most + 1) } else { 1 };
            let wish = Wish { tranches: u32::try_from(tranches).ok(), ..Wish::default() };
            let _ = core.bid(&gig.id, wish, "I would.");
        }
    }

    fn ask(&self, peer: &mut Peer, job: &Job) {
        let mood = asker(self.seed, &job.id);
        let mut draw = self.draw("ask", peer, word(&job.id.0));
        let now = core_time(peer);
        let can = |verb| may(job, verb, now).is_ok();
        let reason = || "not so".to_owned();
        let bot = peer.bot();
        let Some(core) = &mut peer.core else { return };
        let first = job.deliveries <= 1;
        let done: Result<(), Trouble> = match (mood, job.phase) {
            (Asker::Declines, Phase::Bid) => {
                let nonce = core.nonce();
                core.ask(&job.id, Ask::Decline { reason: reason(), nonce })
            }
            (_, Phase::Bid) if can(Verb::Award) => asked(core, &bot, |core| core.award(&job.id)),
            // Some lock the money and are never seen again.
            (Asker::Vanishes, Phase::Awarded) if can(Verb::Fund) && first_word(job) => {
                core.fund(&job.id, Msat::sats(200).unwrap_or_default())
            }
            (Asker::Vanishes, _) => Ok(()),
            // What a check refuses nobody who can send it back pays for.
            (_, Phase::Delivered) if failed(job) && can(Verb::Reject) => {
                core.ask(&job.id, Ask::Reject { reason: reason() })
            }
            (_, Phase::Delivered) if failed(job) || is_unchecked(job) => Ok(()),
            // Who sees no answer asks again.
            (Asker::Good | Asker::Picky, Phase::Delivered)
                if unanswered(job) && draw.permille(500) =>
            {
                core.ask(&job.id, Ask::Audit)
            }
            (Asker::Cancels, _) if can(Verb::Cancel) && draw.permille(200) => {
                core.ask(&job.id, Ask::Cancel { reason: reason() })
            }
            (Asker::Hasty | Asker::Picky, Phase::Delivered)
                if first && can(Verb::Reject) && (mood == Asker::Hasty || can(Verb::Accept)) =>
            {
                core.ask(&job.id, Ask::Reject { reason: reason() })
            }
            (Asker::Fickle, Phase::Accepted) if first && can(Verb::Reject) => {
                core.ask(&job.id, Ask::Reject { reason: reason() })
            }
            (Asker::Hostile, Phase::Delivered | Phase::Paying | Phase::Funding)
                if draw.permille(500) =>
            {
                self.forge(peer, job, &mut draw);
                Ok(())
            }
            (Asker::Good | Asker::Picky, Phase::Disputed)
                if can(Verb::Object) && draw.permille(300) =>
            {
                core.ask(&job.id, Ask::Object { reason: reason() })
            }
            // Who has read the work and means no harm pays, sooner or later; some forget.
            (Asker::Good, Phase::Delivered) if job.judge().is_some() && forgetful(job) => Ok(()),
            (_, Phase::Awarded) if can(Verb::Fund) => {
                let max_fee = fee(&bot);
                asked(core, &bot, |core| core.fund(&job.id, max_fee))
            }
            (_, Phase::Delivered) if can(Verb::Accept) => {
                let max_fee = fee(&bot);
                asked(core, &bot, |core| core.ask(&job.id, Ask::Accept { max_fee }))
            }
            (_, phase) if phase.is_over() => self.chat(peer, job, &mut draw),
            _ => Ok(()),
        };
        // What the market refuses, people learn from; what failed comes again.
        drop(done);
    }

    fn work(&self, peer: &mut Peer, job: &Job) {
        let mood = doer(self.seed, &job.id);
        let mut draw = self.draw("work", peer, word(&job.id.0));
        let now = core_time(peer);
        let can = |verb| may(job, verb, now).is_ok();
        let Some(core) = &mut peer.core else { return };
        let done: Result<(), Trouble> = match (mood, job.phase) {
            (Doer::Withdraws, Phase::Bid) => {
                core.ask(&job.id, Ask::Withdraw { reason: "busy".into() })
            }
            (Doer::Vanishes, _) => Ok(()),
            (Doer::Cancels, _) if can(Verb::Cancel) && draw.permille(150) => {
                core.ask(&job.id, Ask::Cancel { reason: "busy".into() })
            }
            (Doer::Hostile, Phase::Delivered | Phase::Paying) if draw.permille(500) => {
                self.forge(peer, job, &mut draw);
                Ok(())
            }
            (_, Phase::Working) if can(Verb::Dispute) && draw.permille(300) => {
                core.ask(&job.id, Ask::Dispute { reason: "it is good".into() })
            }
            (_, Phase::Working) if can(Verb::Deliver) => {
                self.deliver(peer, job, &mut draw);
                Ok(())
            }
            (_, phase) if phase.is_over() => self.chat(peer, job, &mut draw),
            _ => Ok(()),
        };
        drop(done);
    }

    fn chat(&self, peer: &mut Peer, job: &Job, draw: &mut Draw) -> Result<(), Trouble> {
        let now = core_time(peer);
        let Some(core) = &mut peer.core else { return Ok(()) };
        if job.ours.next < 12 && draw.permille(20) && may(job, Verb::Rate, now).is_ok() {
            return core.ask(&job.id, Ask::Rate { stars: 4, comment: "fine".into() });
        }
        Ok(())
    }

    fn deliver(&self, peer: &mut Peer, job: &Job, draw: &mut Draw) {
        let items = draw.range(12, 40);
        let mut bytes = vec![0; (items * u64::from(ITEM)) as usize];
        blake3::Hasher::new()
            .update(&draw.next().to_le_bytes())
            .update(&job.id.0)
            .finalize_xof()
            .fill(&mut bytes);
        bytes.iter_mut().for_each(|byte| *byte = b"0123456789abcdef"[usize::from(*byte % 16)]);
        let nature = honesty(self.seed, &job.id, job.deliveries);
        // Whoever is told by its own program mends it, sooner or later.
        if nature.is_bad_work() && (nature == Honesty::Sloppy || draw.permille(500)) {
            // A record or more of it is not what the checks ask for.
            let items = bytes.chunks_mut(ITEM as usize);
            let (worst, few) = (draw.range(0, items.len() as u64), draw.permille(500));
            for (_, item) in (0..).zip(items).filter(|(i, _)| *i == worst || !few && i % 2 == 0) {
                item[0] = 0xff;
            }
        }
        let path = PathBuf::from(format!("/sim/{}/home/work-{}", peer.n, draw.next()));
        lock(&self.disks).write(peer.n, path.clone(), bytes);
        let most = job.terms().max_bytes;
        let Some(Ok((file, source))) = peer.ports.files.adopt(&job.id, &path, most).now_or_never()
        else {
            return;
        };
        let Some(core) = &mut peer.core else { return };
        let nonce = core.nonce();
        let (size, name) = (file.size, file.name.0);
        let deliver = Ask::Deliver { source, size, name, message: "here".into(), nonce };
        let _ = core.ask(&job.id, deliver);
    }

    /// Both sides hold K_sign: this one signs records that its core never decided.
    fn forge(&self, peer: &mut Peer, job: &Job, draw: &mut Draw) {
        let Some((nonce, theirs, j)) = job.channel() else { return };
        let Some(work) = job.attempt.as_ref() else { return };
        let Some(delivery) = work.delivery() else { return };
        let Some(manifest) = work.record.as_ref().map(|r| r.id) else { return };
        let again = |fresh: bool| {
            let mut other = delivery.clone();
            other.manifest.delivery += u32::from(fresh);
            if fresh {
                for (t, h) in (0..).zip(&mut other.manifest.h) {
                    *h = crate::seal::Hash32::new(self.seed.bytes("forged", &[word(&job.id.0), t]));
                }
            }
            Body::Deliver(other)
        };
        let locked = job.escrow.as_ref().map(|escrow| escrow.lock);
        let body = match draw.range(0, if locked.is_some() { 12 } else { 8 }) {
            8 => Body::Funded { attempt: 0, deadline: u32::MAX >> 4 },
            9 => Body::Lodged { record: String::new(), height: 800_001 },
            10 => Body::Accept {
                manifest,
                next: None,
                x: Some(Preimage::new([9; 32])),
                receipt: None,
            },
            11 => match locked {
                Some(lock) => Body::Lock(Lock { attempt: lock.attempt + 1, ..lock }),
                None => Body::Note { text: Raw("no lock".into()) },
            },
            0 => Body::Settled { manifest, receipt: None },
            1 => Body::Accept { manifest, next: None, x: None, receipt: None },
            2 => Body::Ready { manifest, tranche: 0 },
            3 => Body::Reject { manifest, reason: Raw("forged".into()), next: None },
            4 => Body::Note { text: Raw("one of two".into()) },
            5 => again(false),
            _ => again(true),
        };
        let ahead = u64::from(draw.permille(200));
        let back = u64::from(draw.permille(200)).min(job.ours.next.saturating_sub(1));
        let record = Draft {
            job: Some(j),
            seq: job.ours.next + ahead - back,
            prev: job.ours.last.as_ref().map(|r| r.id),
            seen: job.theirs.last.as_ref().map(|r| r.id),
            at: core_time(peer),
            body,
        };
        let scribe = &peer.ports.scribe;
        let channel = Channel { nonce, peer: theirs, job: j };
        let event = scribe
            .sign(&nonce, &record)
            .and_then(|record| scribe.post(&channel, &record, core_time(peer)));
        if let Ok(event) = event {
            let _ = lock(&self.relays).publish(peer.n, &event, &job.relays);
        }
    }
}

/// A judge of somebody else's, if the book has one.
fn a_judge<S: Store>(core: &Core<S>, which: u64) -> Option<JudgeTerms> {
    let query = Query {
        work: Some(Work::Judge),
        side: Some(Side::Service),
        ..Query::everything(Network::Regtest)
    };
    let mut found = core.find(&query).ok()?.gigs;
    found.retain(|gig| gig.author != core.identity());
    let count = u64::try_from(found.len()).ok().filter(|count| *count > 0)?;
    let gig = found.get(usize::try_from(which % count).ok()?)?;
    Some(JudgeTerms { identity: gig.author, listing: gig.id })
}

/// What a check found in what was delivered.
fn failed(job: &Job) -> bool {
    job.attempt.as_ref().is_some_and(|work| work.review.results.iter().any(Checked::failed))
}

/// In escrow who releases has heard the checks before.
fn is_unchecked(job: &Job) -> bool {
    let unheard = |work: &Attempt| work.review.checked.is_empty();
    job.escrow.is_some() && job.has_checks() && job.attempt.as_ref().is_some_and(unheard)
}

/// An audit that the worker has not answered yet.
fn unanswered(job: &Job) -> bool {
    let review = job.attempt.as_ref().map(|work| &work.review);
    review.is_some_and(|review| review.asked.is_some() && review.keys.is_none())
}

/// What a delivery is held against: nothing, mostly; records that may be seen unpaid, a check that looks at each
/// record and can be proven, one that looks at the whole and cannot.
fn quality(draw: &mut Draw) -> Quality {
    let audit = if draw.permille(350) { draw.range(1, 5) } else { 0 };
    let scope = match draw.range(0, 10) {
        0..3 => Scope::Chunk,
        3 => Scope::Whole,
        _ => return Quality { audit, ..Quality::default() },
    };
    let bytes = Some(Range { min: Some(1), max: None });
    let rules = Rules { bytes, encoding: Some(Encoding::Ascii), ..Rules::default() };
    let body = Check { scope, kind: Kind::Rules(Box::new(rules)) }.to_json();
    let hash = Digest(*blake3::hash(&body).as_bytes());
    let body = String::from_utf8(body).ok();
    Quality { audit, checks: vec![Pinned { body, hash }], cut: None }
}

/// A quarter of all jobs.
fn forgetful(job: &Job) -> bool {
    job.id.0[1] < 64
}

/// Asks as a bot or as a person.
fn asked<S: Store>(
    core: &mut Core<S>,
    bot: &Option<Actor>,
    act: impl FnOnce(&mut Core<S>) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    match bot {
        Some(bot) => core.acting(bot, act),
        None => act(core),
    }
}

/// A bot asks for no more than its budget has.
fn fee(bot: &Option<Actor>) -> Msat {
    Msat::sats(if bot.is_some() { 100 } else { 200 }).unwrap_or_default()
}

/// Half of all jobs.
fn first_word(job: &Job) -> bool {
    job.id.0[0] < 128
}

fn core_time(peer: &Peer) -> crate::market::Time {
    peer.ports.clock.now()
}

/// A part of a gig, in whatever mode.
fn milestone(draw: &mut Draw, judge: Option<JudgeTerms>) -> Milestone {
    let mode = match draw.range(0, 5) {
        0 => Mode::Direct,
        1..3 => Mode::Escrow,
        _ => Mode::Sealed,
    };
    let window = u32::try_from(draw.range(144, 289)).unwrap_or(WINDOW);
    let judge = judge.filter(|_| draw.permille(700));
    Milestone {
        title: "A part".into(),
        price: Msat::sats(draw.range(2_000, 8_000)).unwrap_or_default(),
        mode,
        deadlines: Deadlines {
            deliver: Span(draw.range(3_600, 8 * 3_600)),
            pay: Span(draw.range(1_800, 6 * 3_600)),
        },
        tranches: 1,
        quality: quality(draw),
        escrow: (mode == Mode::Escrow).then_some(EscrowTerms { window, judge }),
    }
}

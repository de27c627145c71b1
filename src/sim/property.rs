//! What must hold, whatever happened.

use std::collections::{BTreeMap, BTreeSet};

use super::Report;
use super::clock::lock;
use super::disk::REFUSED_BY_CHECK;
use super::lightning::Sent;
use super::mood::{Honesty, honesty};
use super::peer::{Broken, Peer, pocket_money, same};
use super::world::World;
use crate::engine::{Direction, LedgerRow, Store as _};
use crate::market::{
    Attempt, BidId, Checked, Fact, Job, Mode, Msat, Offence, Phase, Pubkey, Role, Span, Time,
    Timetable, WINDOW, refuted,
};
use crate::wire::{self, Judgement};

fn broken<T>(peer: &Peer, what: &str, id: &BidId) -> Result<T, Broken> {
    let rows = peer.core.as_ref().and_then(|core| core.store().log(id).ok()).unwrap_or_default();
    let told = rows.iter().filter_map(|row| serde_json::from_str(&row.body).ok());
    let told: Vec<String> = told.map(|fact| word_of(&fact)).collect();
    Err(format!("peer {}, job {}: {what}; {}", peer.n, id.short(), told.join(" ")))
}

/// A fact in a word, for who reads what went wrong.
fn word_of(fact: &Fact) -> String {
    match fact {
        Fact::Heard { record } => format!("<{}", record.draft.body.kind()),
        Fact::Said { record } => format!(">{}", record.draft.body.kind()),
        Fact::FromJudge { record, .. } => format!("<judge:{}", record.draft.body.kind()),
        Fact::ToJudge { record } => format!(">judge:{}", record.draft.body.kind()),
        Fact::Stuck { effect, why } => format!("stuck({effect}: {why})"),
        Fact::Refused { code, .. } => format!("refused({code})"),
        fact => fact.kind().to_owned(),
    }
}

/// Everything, once time has run out.
pub(super) fn at_the_end(world: &mut World) -> Result<(), Broken> {
    let trace = trace(world)?;
    if !lock(&world.lightning).is_quiet() {
        return Err("a payment is on its way for ever".into());
    }
    for peer in 0..world.peers.len() {
        every_job_ended(world, peer)?;
        let mut told = std::mem::take(&mut world.report);
        the_log_says_it_once(world, peer, &mut told)?;
        world.report = told;
        the_ledger_is_the_node(world, peer)?;
        the_budget_held(world, peer)?;
    }
    whoever_paid_has_it(world)?;
    what_was_heard_changes_nothing(world)?;
    a_restart_changes_nothing(world)?;
    count(world);
    world.report.trace = trace;
    Ok(())
}

/// What was paid for fails a check, and there is nothing to show: no one record does, or it was never sealed.
fn is_beyond_proof(job: &Job, work: &Attempt) -> bool {
    let results = &work.review.results;
    let nothing = job.terms().mode == Mode::Direct || refuted(results).is_none();
    work.cheat.is_none() && results.iter().any(Checked::failed) && nothing
}

fn every_job_ended(world: &World, n: usize) -> Result<(), Broken> {
    let peer = &world.peers[n];
    let Some(core) = &peer.core else { return Err(format!("peer {n} is down at the end")) };
    for job in core.jobs().values() {
        if !job.phase.is_over() {
            return broken(peer, &format!("{:?} for ever", job.phase), &job.id);
        }
        if job.escrow.as_ref().is_some_and(|escrow| escrow.is_locked()) {
            return broken(peer, "it is over, and a payment died unnoticed", &job.id);
        }
        if job.escrow.as_ref().is_some_and(|e| e.x.is_some() && e.hearing.ruling == Some(false)) {
            return broken(peer, "ruled for the requester, and paid", &job.id);
        }
        // What a check says of more than one record is no proof: a proof shows one.
        let proven = |work: &Attempt| work.proof.is_some() || is_beyond_proof(job, work);
        if job.phase == Phase::Cheated && !job.attempt.as_ref().is_some_and(proven) {
            return broken(peer, "cheated, and no proof was made", &job.id);
        }
    }
    for case in core.cases().values() {
        if !case.phase.is_over() {
            return broken(peer, &format!("a case is {:?} for ever", case.phase), &case.id);
        }
        // A hash is held by one judge of one case, and a judge is paid by none.
        if core.store().payment(&case.lock.hash).map_err(|e| e.to_string())?.is_some() {
            return broken(peer, "a judge has a payment of its own case", &case.id);
        }
    }
    let (waiting, parked) = core.store().outbox().map_err(|e| e.to_string())?;
    if waiting != 0 || parked != 0 {
        let due = core.next_due().map_err(|e| e.to_string())?;
        let what = format!(
            "{waiting} effects wait for ever (the next until {due:?}), {parked} are parked"
        );
        let waits = |id: &BidId| core.store().pending(id, 1).is_ok_and(|rows| !rows.is_empty());
        let Some(id) = core.jobs().keys().copied().find(waits) else {
            return Err(format!("peer {n}: {what}"));
        };
        let rows = core.store().pending(&id, 8).map_err(|e| e.to_string())?;
        let phase = core.job(&id).map(|job| job.phase);
        return broken(peer, &format!("{what}: {rows:?}, {phase:?}"), &id);
    }
    Ok(())
}

/// Whatever a bot asked, and however often its machine died.
fn the_budget_held(world: &World, n: usize) -> Result<(), Broken> {
    let peer = &world.peers[n];
    let Some(core) = peer.core.as_ref().filter(|_| peer.bot().is_some()) else { return Ok(()) };
    let limits = pocket_money();
    let mut paid: Vec<(Time, Msat, Pubkey)> = Vec::new();
    for job in core.jobs().values().filter(|job| job.charge.by.is_some()) {
        let whole = job.agreed();
        let modes: Vec<_> = whole.parts().map(|part| part.mode).collect();
        if whole.price > limits.approve_above || modes.iter().any(|m| !limits.modes.contains(m)) {
            let what = format!("a bot promised {} in modes {modes:?}", whole.price);
            return broken(peer, &what, &job.id);
        }
        let mut folded: Option<Job> = None;
        for row in core.store().log(&job.id).map_err(|e| e.to_string())? {
            let fact: Fact = serde_json::from_str(&row.body).map_err(|e| e.to_string())?;
            let terms = folded.as_ref().unwrap_or(job).terms().clone();
            match &mut folded {
                Some(job) => job.apply(&fact, row.at),
                None => folded = Job::begin(&fact, row.at),
            }
            let Fact::Paid { tranche, fee, .. } = fact else { continue };
            let part = match terms.mode {
                Mode::Escrow => terms.price,
                _ => terms.price.tranche(tranche, terms.tranches).unwrap_or(terms.price),
            };
            paid.push((row.at, part.checked_add(fee).unwrap_or(Msat::MAX), job.peer()));
        }
    }
    for (at, _, who) in &paid {
        let sum = |span: Span, of: Option<&Pubkey>| -> Msat {
            let near = |(t, _, to): &&(Time, Msat, Pubkey)| {
                t <= at && t.after(span) > *at && of.is_none_or(|of| of == to)
            };
            paid.iter().filter(near).map(|(_, amount, _)| *amount).sum()
        };
        let over = sum(Span::HOUR, None) > limits.per_hour
            || sum(Span::DAY, None) > limits.per_day
            || sum(Span::DAY, Some(who)) > limits.per_person;
        if over {
            return Err(format!("peer {n}: a bot paid more than its budget: {paid:?}"));
        }
    }
    Ok(())
}

/// Nobody both paid and refunded, nothing paid, opened or received twice.
fn the_log_says_it_once(world: &World, n: usize, told: &mut Report) -> Result<(), Broken> {
    let peer = &world.peers[n];
    let Some(core) = &peer.core else { return Ok(()) };
    let net = lock(&world.lightning);
    for (id, rows) in core.store().logs().map_err(|e| e.to_string())? {
        let mut once: BTreeMap<(&str, u32, u32, u32), u32> = BTreeMap::new();
        let mut delivery = 0;
        let mut held = BTreeSet::new();
        let mut job: Option<Job> = None;
        let mut said_no = false;
        for row in rows {
            let fact: Fact = serde_json::from_str(&row.body).map_err(|e| e.to_string())?;
            // Money may come in with the last word that the next milestone waited for.
            let milestone = job.as_ref().map_or(0, |job| job.milestone);
            if let Some(job) = &job {
                let known = row.at.0.saturating_add_signed(1 - peer.clock.ahead()) * 1000;
                told.on_height +=
                    nothing_ends_before_its_height(peer, job, &fact, net.highest(known))?;
            }
            said_no |= reviewed(&fact, told);
            what_is_over_stays_over(peer, &mut job, &fact, row.at)?;
            let (what, t) = match &fact {
                Fact::Sealing { .. } => {
                    delivery += 1;
                    continue;
                }
                Fact::Heard { record } if record.draft.body.kind() == "deliver" => {
                    delivery += 1;
                    continue;
                }
                Fact::Paid { tranche, .. } => ("paid", *tranche),
                Fact::PayFailed { tranche, .. } => ("failed", *tranche),
                Fact::Received { tranche, .. } => ("received", *tranche),
                Fact::Lost { tranche, .. } => ("lost", *tranche),
                // A lock is used once, whatever was delivered meanwhile.
                Fact::Held { hash, .. } if held.insert(*hash) => continue,
                Fact::Held { attempt, .. } => {
                    return broken(peer, &format!("lock {attempt} held twice"), &id);
                }
                Fact::Opened { tranche, .. } => ("opened", *tranche),
                Fact::Cheated { tranche, .. } => ("cheated", *tranche),
                _ => continue,
            };
            let times = once.entry((what, milestone, delivery, t)).or_default();
            *times += 1;
            if *times > 1 && what != "failed" {
                return broken(peer, &format!("tranche {t} {what} twice"), &id);
            }
            if what == "failed" && once.contains_key(&("paid", milestone, delivery, t)) {
                return broken(peer, &format!("tranche {t} paid and refunded"), &id);
            }
        }
        let settled = job.is_some_and(|job| job.phase == Phase::Settled);
        told.repaired += u64::from(said_no && settled);
    }
    Ok(())
}

/// Nothing but money wakes a job that is over, and no word takes the place of what is being paid.
fn what_is_over_stays_over(
    peer: &Peer,
    job: &mut Option<Job>,
    fact: &Fact,
    at: Time,
) -> Result<(), Broken> {
    let Some(job) = job else {
        *job = Job::begin(fact, at);
        return Ok(());
    };
    let (was, moved) = (job.phase, job.money_moved());
    let hashes = job.attempt.as_ref().map(|w| w.hashes.clone());
    let (milestone, paid) = (job.milestone, job.paid().max(job.received()));
    job.apply(fact, at);
    // One milestone after the other, each paid before the next, and never more than was agreed.
    if job.milestone != milestone {
        let next =
            job.milestone == milestone + 1 && job.past.len() as u64 == u64::from(job.milestone);
        if !next || was != Phase::Reached && job.phase.is_over() {
            return broken(peer, "a milestone was skipped", &job.id);
        }
        return Ok(());
    }
    if job.paid().max(job.received()) < paid || job.paid() > job.agreed().price {
        return broken(peer, "money was forgotten, or more was paid than agreed", &job.id);
    }
    let money = matches!(
        fact,
        Fact::Claiming { .. }
            | Fact::Received { .. }
            | Fact::Lost { .. }
            | Fact::Paid { .. }
            | Fact::Opened { .. }
            | Fact::Cheated { .. }
            | Fact::Returned { .. }
    );
    if was.is_over() && job.phase != was && !money {
        let what = format!("{was:?} became {:?} by `{}`", job.phase, fact.kind());
        return broken(peer, &what, &job.id);
    }
    if moved && !money && hashes != job.attempt.as_ref().map(|w| w.hashes.clone()) {
        return broken(peer, &format!("`{}` replaced what is being paid", fact.kind()), &job.id);
    }
    Ok(())
}

/// One of the heights of a timetable.
type OfTimetable = fn(Timetable) -> u32;

/// Words of the market that say that a height has come, and which one of the timetable it is.
const BY_HEIGHT: [(&str, OfTimetable); 4] = [
    ("nobody released the money in time", Timetable::claim),
    ("the time to release the money has passed", Timetable::claim),
    ("there was no delivery in time", Timetable::deliver),
    // With a judge the channel has to stand by the time that it holds.
    ("the channel was not confirmed in time", Timetable::holding),
];

/// Whatever the chain did, nobody can have gone by a height that it never had until then. 1 if somebody went by one.
fn nothing_ends_before_its_height(
    peer: &Peer,
    job: &Job,
    fact: &Fact,
    highest: u32,
) -> Result<u64, Broken> {
    let Some(escrow) = &job.escrow else { return Ok(0) };
    let window = job.terms().escrow.as_ref().map_or(WINDOW, |terms| terms.window);
    let due = match fact {
        Fact::Returning { why, .. } => {
            let said = BY_HEIGHT.iter().find(|(words, _)| why.starts_with(words));
            said.zip(escrow.timetable(window)).map(|((_, mark), t)| mark(t))
        }
        Fact::Lost { .. } => escrow.held.map(|(_, deadline)| deadline),
        _ => None,
    };
    match due {
        Some(due) if highest < due => {
            let what = format!("`{}` when block {highest} was the highest, not {due}", fact.kind());
            broken(peer, &what, &job.id)
        }
        due => Ok(u64::from(due.is_some())),
    }
}

/// Counts what audits and checks said; true where they said no.
fn reviewed(fact: &Fact, told: &mut Report) -> bool {
    let one = match fact {
        Fact::Audited { audited, .. } if audited.sampled > 0 => &mut told.audits,
        Fact::Refused { code, .. } if code == "audit-failed" => &mut told.audits_failed,
        Fact::Checked { results, .. } if results.iter().any(Checked::failed) => &mut told.fails,
        Fact::Checked { results, .. } if !results.iter().any(Checked::unsure) => &mut told.passes,
        Fact::SealFailed { why } if why == REFUSED_BY_CHECK => &mut told.own_fails,
        _ => return false,
    };
    *one += 1;
    !matches!(fact, Fact::Audited { .. })
        && !matches!(fact, Fact::Checked { results, .. } if !results.iter().any(Checked::failed))
}

/// The ledger agrees with the node, line by line and both ways.
fn the_ledger_is_the_node(world: &World, n: usize) -> Result<(), Broken> {
    let peer = &world.peers[n];
    let Some(core) = &peer.core else { return Ok(()) };
    let rows = core.store().payments().map_err(|e| e.to_string())?;
    let net = lock(&world.lightning);
    let node = &net.nodes[n];
    let find = |direction, hash| {
        rows.iter().find(|r: &&LedgerRow| r.hash == hash && r.direction == direction)
    };
    for row in &rows {
        let agrees = match (row.direction, node.sent.get(&row.hash)) {
            (Direction::Out, Some(Sent::Paid { amount, fee, .. })) => {
                row.state == "paid" && row.amount.get() == *amount && row.fee.get() == *fee
            }
            (Direction::Out, _) => row.state != "paid",
            (Direction::In, _) => match node.received.get(&row.hash) {
                Some(amount) => {
                    row.state == "received" && row.amount.get() == amount + row.fee.get()
                }
                None => row.state != "received",
            },
        };
        if !agrees {
            let what = format!("the ledger says {} of {}, the node else", row.state, row.amount);
            return broken(peer, &what, &row.log);
        }
    }
    for (hash, sent) in &node.sent {
        if matches!(sent, Sent::Paid { .. }) && find(Direction::Out, *hash).is_none() {
            return Err(format!("peer {n} paid {} and has no line of it", hash.short()));
        }
    }
    for hash in node.received.keys() {
        if find(Direction::In, *hash).is_none() {
            return Err(format!("peer {n} received {} and has no line of it", hash.short()));
        }
    }
    Ok(())
}

/// A requester who paid holds the key, and what it opens is what was sealed, or a proof of the contrary.
fn whoever_paid_has_it(world: &World) -> Result<(), Broken> {
    for peer in &world.peers {
        let Some(core) = &peer.core else { continue };
        let rows = core.store().payments().map_err(|e| e.to_string())?;
        let paid = |r: &&LedgerRow| r.direction == Direction::Out && r.state == "paid";
        for job in core.jobs().values().filter(|job| job.role == Role::Requester) {
            let work = job.attempt.as_ref();
            let keys = match &job.escrow {
                Some(escrow) => usize::from(escrow.x.is_some()),
                None => work.map_or(0, |w| w.tranches.iter().filter(|t| t.key.is_some()).count()),
            };
            let before = job.agreed().parts().take(job.past.len()).map(|part| part.tranches);
            let keys = keys + before.map(|n| n as usize).sum::<usize>();
            if rows.iter().filter(paid).filter(|r| r.log == job.id).count() != keys {
                return broken(peer, "paid, and the key is not here", &job.id);
            }
            if let Some(work) = work
                && work.money_moved()
                && (!work.inspected
                    || honesty(world.seed, &job.id, work.number) == Honesty::Garbage)
            {
                return broken(peer, "paid for what was never inspected", &job.id);
            }
            if let Some((_, worker)) = other_side(world, job)
                && worker.received() > job.paid()
            {
                return broken(peer, "the worker has more than was paid", &job.id);
            }
            if let (Some(escrow), Some((_, worker))) = (&job.escrow, other_side(world, job))
                && worker.milestone == job.milestone
                && worker.escrow.as_ref().is_some_and(|w| w.received.is_some())
                    != escrow.x.is_some()
            {
                return broken(peer, "one side is paid and the other refunded", &job.id);
            }
            match job.phase {
                Phase::Settled => settled_is_what_was_made(world, peer, job)?,
                Phase::Cheated => the_cheat_is_guilty(world, peer, job)?,
                _ => {}
            }
        }
    }
    Ok(())
}

fn other_side<'a>(world: &'a World, job: &Job) -> Option<(usize, &'a Job)> {
    world.peers.iter().find_map(|p| {
        let other = p.core.as_ref()?.job(&job.id).filter(|other| other.role != job.role)?;
        Some((p.n, other))
    })
}

fn settled_is_what_was_made(world: &World, peer: &Peer, job: &Job) -> Result<(), Broken> {
    let id = &job.id;
    let Some((n, worker)) = other_side(world, job) else {
        return broken(peer, "settled with nobody", id);
    };
    let ruled = job.escrow.as_ref().is_some_and(|e| e.hearing.ruling == Some(true));
    if ruled && !is_deterministic(world, job) {
        // A person who judges at random may well pay for garbage: that is said before funding.
        return Ok(());
    }
    let disks = lock(&world.disks);
    for past in &job.past {
        if past.output.as_ref().and_then(|path| disks.read(peer.n, path)).is_none() {
            return broken(peer, "a milestone is paid, and its plaintext is not here", id);
        }
    }
    if job.attempt.as_ref().is_none_or(|work| work.record.is_none()) && !job.past.is_empty() {
        // It ended between two.
        return Ok(());
    }
    if worker.milestone > job.milestone {
        return ahead(peer, job, worker);
    }
    let got = job.attempt.as_ref().and_then(|w| disks.read(peer.n, w.output.as_ref()?));
    let made = worker.attempt.as_ref().and_then(|w| disks.read(n, w.source.as_ref()?));
    if got.is_none() {
        return broken(peer, "settled, and no plaintext is here", id);
    }
    if got != made {
        return broken(peer, "settled, and the plaintext is not what was sealed", id);
    }
    if job.has_checks() && !got.is_some_and(|text| text.is_ascii()) {
        return broken(peer, "settled, and no check of the terms passes it", id);
    }
    let paid = job.attempt.as_ref().map_or(0, |w| w.tranches.len());
    let received = match &worker.escrow {
        Some(escrow) => usize::from(escrow.received.is_some()),
        None => worker
            .attempt
            .as_ref()
            .map_or(0, |w| w.tranches.iter().filter(|t| t.received.is_some()).count()),
    };
    if paid != received || worker.phase != Phase::Settled {
        return broken(peer, "settled here, and the worker was not paid", id);
    }
    Ok(())
}

/// Who was paid had begun the next when it ended between the two: who paid never heard that it arrived, and
/// stopped after its time, or one of them called it off before it heard the other's last word. The two words cross
/// on their way, and each side may end with a reason of its own. That is a milestone paid, one more begun and not a
/// coin of it moved.
fn ahead(peer: &Peer, job: &Job, worker: &Job) -> Result<(), Broken> {
    let past = worker.past.last();
    let same = past.is_some_and(|past| past.hash.is_some() && past.hash == job.paid_hash());
    let stopped = job.reason.is_some();
    let unheard = job.words.settled.is_none();
    let one = worker.milestone == job.milestone + 1 && (unheard || stopped);
    let came: Msat = worker.past.iter().map(|past| past.received).sum();
    if same && one && worker.received() == came {
        return Ok(());
    }
    broken(peer, "the worker is ahead of whoever pays", &job.id)
}

/// Whether the judge of this job rules by what can be computed.
fn is_deterministic(world: &World, job: &Job) -> bool {
    let judged = |peer: &Peer| Some(peer.core.as_ref()?.case(&job.case()?)?.is_deterministic());
    world.peers.iter().find_map(judged).unwrap_or(false)
}

fn the_cheat_is_guilty(world: &World, peer: &Peer, job: &Job) -> Result<(), Broken> {
    let Some(work) = &job.attempt else { return broken(peer, "cheated by no delivery", &job.id) };
    let nature = honesty(world.seed, &job.id, work.number);
    let (right, offence) = match work.cheat {
        Some(_) => (nature == Honesty::Cheat, Offence::Key),
        None => (nature.is_bad_work() && job.has_checks(), Offence::Check),
    };
    if !right || job.terms().mode == Mode::Escrow {
        return broken(peer, "an honest worker was convicted", &job.id);
    }
    if is_beyond_proof(job, work) {
        return Ok(());
    }
    let bytes = work.proof.as_ref().and_then(|path| lock(&world.disks).read(peer.n, path));
    let Some(bytes) = bytes else { return broken(peer, "the proof is not on disk", &job.id) };
    match wire::verify_proof(&bytes).map_err(|e| e.to_string())? {
        Judgement::Guilty { against, offence: of, .. }
            if against == job.worker.identity && of == offence =>
        {
            Ok(())
        }
        other => broken(peer, &format!("the proof says {other:?}"), &job.id),
    }
}

/// Every event there ever was, to everybody, again and in another order.
fn what_was_heard_changes_nothing(world: &mut World) -> Result<(), Broken> {
    let mut all = lock(&world.relays).everything();
    let (seed, key) = (world.seed, |id: &crate::market::EventId| super::chance::word(&id.0));
    all.sort_by_key(|event| seed.draw("again", &[key(&event.id)]).next());
    for peer in &mut world.peers {
        // A fuse lit on the last day and not yet burnt would kill the machine here.
        peer.fuse.renew();
        let Some(core) = &mut peer.core else { continue };
        let jobs = core.jobs().clone();
        for event in &all {
            core.hear(event).map_err(|e| e.to_string())?;
        }
        // Somebody may hear for the first time what a relay had thrown away; such jobs may move.
        let strange = |job: &&Job| jobs.get(&job.id).is_some_and(|was| was.n != job.n);
        let moved: Vec<BidId> = core.jobs().values().filter(strange).map(|job| job.id).collect();
        for id in moved {
            let (Some(was), Some(is)) = (jobs.get(&id), core.job(&id)) else { continue };
            if was.phase != is.phase {
                let what = format!("{:?} became {:?} by an old event", was.phase, is.phase);
                return Err(format!("peer {}, job {}: {what}", peer.n, id.short()));
            }
        }
    }
    Ok(())
}

fn a_restart_changes_nothing(world: &mut World) -> Result<(), Broken> {
    for peer in &mut world.peers {
        peer.stop();
        let before = peer.before.clone();
        peer.start()?;
        if let (Some((jobs, _)), Some(core)) = (before, &peer.core) {
            same(&jobs, core.jobs())?;
        }
    }
    Ok(())
}

/// A hash over every fact and every ledger line of everybody.
fn trace(world: &World) -> Result<[u8; 32], Broken> {
    let mut hasher = blake3::Hasher::new();
    for peer in &world.peers {
        let Some(core) = &peer.core else { continue };
        for (id, rows) in core.store().logs().map_err(|e| e.to_string())? {
            hasher.update(&id.0);
            for row in rows {
                hasher.update(&row.n.to_le_bytes()).update(&row.at.0.to_le_bytes());
                hasher.update(row.body.as_bytes());
            }
        }
        for row in core.store().payments().map_err(|e| e.to_string())? {
            hasher.update(format!("{row:?}").as_bytes());
        }
    }
    Ok(hasher.finalize().into())
}

fn count(world: &mut World) {
    let tally = lock(&world.lightning).tally;
    world.report.closed = tally.closed;
    world.report.closed_held = tally.closed_held;
    world.report.by_preimage = tally.by_preimage;
    world.report.timed_out = tally.timed_out;
    world.report.lsp_down_held = tally.lsp_down_held;
    world.report.reorgs = tally.reorgs;
    for peer in &world.peers {
        let Some(core) = &peer.core else { continue };
        world.report.notices += peer.notices;
        world.report.replays += peer.replays;
        for case in core.cases().values() {
            let end = match &case.ruling {
                Some((Role::Worker, _)) => "judged for the worker",
                Some((Role::Requester, _)) => "judged for the requester",
                None if case.dispute.is_some() => "never judged",
                None => "never called",
            };
            *world.report.cases.entry(end).or_default() += 1;
        }
        for job in core.jobs().values().filter(|job| job.role == Role::Requester) {
            world.report.bids += 1;
            world.report.jobs += u64::from(job.job.is_some());
            *world.report.ends.entry(job.phase.word()).or_default() += 1;
            let by_check = |work: &Attempt| work.cheat.is_none() && work.proof.is_some();
            let by_check = job.attempt.as_ref().is_some_and(by_check);
            world.report.check_proofs += u64::from(job.phase == Phase::Cheated && by_check);
            world.report.damaged += u64::from(job.attempt.as_ref().map_or(0, |w| w.damaged));
        }
    }
}

//! What one relay is asked, and how far its answers have been read. No socket and no clock: the session
//! says what came and when, and is told what to send.
//!
//! Wants of one class share a standing question (`authors` and `#p` take many values, and relays allow
//! few subscriptions). Once a question stands, what is stored is read by pages, newest first, under ids
//! of their own: nothing that is published between two pages can be missed, because the question
//! already stands.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use nostr_sdk::{Alphabet, ClientMessage, Filter, Kind, PublicKey, SingleLetterTag};
use nostr_sdk::{SubscriptionId, Timestamp};
use tokio::time::Instant;

use super::backoff;
use super::inbox::{CHANNEL, LISTING, WRAP, Wanted};
use crate::engine::Want;
use crate::market::{Span, Time};
use crate::wire::{FOLLOWS, PROOF, RECEIPT, network_name};

/// How many keys one question names.
const KEYS: usize = 100;

/// Spans of time that govern asking.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// How long a relay may take to the end of what is stored, counted anew with every event.
    pub(super) eose: Duration,
    /// The first wait after a question was closed.
    pub(super) backoff: Duration,
    /// How long a relay may say nothing before it is asked something.
    pub(super) idle: Duration,
    /// How often everything recent is read again, for what a relay forgot to send.
    pub(super) sweep: Duration,
    /// Events asked for in one page.
    pub(super) page: usize,
}

/// Where a standing question is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// To be asked, not before then.
    Due(Instant),
    /// Asked; an answer is due by then.
    Asked(Instant),
    /// The relay has said that it stands.
    Stands,
}

/// A standing question.
#[derive(Debug)]
struct Question {
    wants: BTreeSet<Want>,
    since: Time,
    state: State,
    failures: u32,
}

/// A page of what is stored.
#[derive(Debug)]
struct Page {
    id: String,
    wants: BTreeSet<Want>,
    from: Time,
    until: Option<Time>,
    got: usize,
    oldest: Option<Time>,
    began: Time,
    deadline: Instant,
}

/// How far one want has been read here.
#[derive(Debug, Clone, Copy, Default)]
struct Read {
    /// From when on the engine wants it now; later than what was first asked once it has read some.
    from: Time,
    /// Everything stored before then was read once.
    to: Option<Time>,
    /// There is something to read: never read, reconnected, swept, or fell behind.
    due: bool,
}

/// What a message from the relay did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Did {
    /// Nothing that matters.
    Nothing,
    /// A question that had failed stands again.
    Restored,
    /// A question or a page is to be asked again.
    Lost,
}

/// Everything one relay is asked.
#[derive(Debug)]
pub(super) struct Questions {
    pace: Pace,
    wanted: Wanted,
    read: BTreeMap<Want, Read>,
    asked: BTreeMap<String, Question>,
    page: Option<Page>,
    page_not_before: Option<Instant>,
    page_failures: u32,
    pages: u64,
    silences: u32,
    quiet_since: Instant,
    sweep_at: Instant,
    turn: usize,
    /// NIP-11's `max_limit`, when the relay publishes one.
    cap: Option<usize>,
}

impl Questions {
    pub(super) fn new(pace: Pace, now: Instant) -> Self {
        Self {
            pace,
            wanted: Wanted::new(),
            read: BTreeMap::new(),
            asked: BTreeMap::new(),
            page: None,
            page_not_before: None,
            page_failures: 0,
            pages: 0,
            silences: 0,
            quiet_since: now,
            sweep_at: now + backoff::jitter(pace.sweep),
            turn: 0,
            cap: None,
        }
    }

    /// What is wanted, for the inbox.
    pub(super) fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    /// The relay cuts answers at this many events.
    pub(super) fn cap(&mut self, cap: Option<usize>) {
        self.cap = cap;
    }

    /// Replaces what is wanted. What stands and is still wanted is left standing. Answers with what to
    /// close.
    pub(super) fn replace(
        &mut self,
        mut wanted: Wanted,
        now: Instant,
    ) -> Vec<ClientMessage<'static>> {
        for (want, new) in &mut wanted {
            match (self.wanted.get(want), self.read.get_mut(want)) {
                (Some(old), Some(read)) if old.serial == new.serial && old.since <= new.since => {
                    read.from = new.since;
                    // It stands from there, and what comes over it is wanted.
                    new.since = old.since;
                }
                _ => {
                    let read = Read { from: new.since, to: None, due: true };
                    self.read.insert(want.clone(), read);
                }
            }
        }
        self.read.retain(|want, _| wanted.contains_key(want));
        self.wanted = wanted;

        let mut old = std::mem::take(&mut self.asked);
        for (id, wants) in grouped(&self.wanted, &old) {
            let since = wants.iter().filter_map(|w| self.wanted.get(w)).map(|a| a.since).min();
            let since = since.unwrap_or_default();
            let standing = old.remove(&id).filter(|q| q.wants == wants && q.since <= since);
            let fresh = Question { wants, since, state: State::Due(now), failures: 0 };
            self.asked.insert(id, standing.unwrap_or(fresh));
        }
        let mut close: Vec<_> = old.into_keys().map(|id| close(&id)).collect();
        if self.page.as_ref().is_some_and(|p| !p.wants.iter().all(|w| self.read.contains_key(w)))
            && let Some(page) = self.page.take()
        {
            close.push(self::close(&page.id));
        }
        close
    }

    /// The socket is new: nothing stands, and what may have been missed is to be read.
    pub(super) fn connected(&mut self, now: Instant) {
        for question in self.asked.values_mut() {
            question.state = State::Due(now);
            question.failures = 0;
        }
        self.read.values_mut().for_each(|r| r.due = true);
        (self.page, self.page_not_before) = (None, None);
        (self.page_failures, self.silences) = (0, 0);
        self.quiet_since = now;
    }

    /// What to send now. Pages are asked for only while there is `room` for their events.
    pub(super) fn due(
        &mut self,
        now: Instant,
        wall: Time,
        room: bool,
    ) -> Vec<ClientMessage<'static>> {
        let mut send = Vec::new();
        if now >= self.sweep_at {
            self.sweep_at = now + backoff::jitter(self.pace.sweep);
            self.read.values_mut().for_each(|r| r.due = true);
        }
        if now >= self.quiet_since + self.pace.idle {
            self.quiet_since = now;
            // Asking one of the standing questions anew proves that the relay still answers, and mends
            // it should the relay have lost it.
            self.turn = self.turn.wrapping_add(1);
            let standing = self.asked.values_mut().filter(|q| q.state == State::Stands);
            let standing: Vec<_> = standing.collect();
            let n = standing.len().max(1);
            if let Some(question) = standing.into_iter().nth(self.turn % n) {
                question.state = State::Due(now);
            }
        }
        for (id, question) in &mut self.asked {
            if matches!(question.state, State::Due(at) if at <= now) {
                question.state = State::Asked(now + self.pace.eose);
                // One stored event is enough to learn that it stands; the pages bring the rest.
                let filter = filter(&question.wants).since(stamp(question.since)).limit(1);
                send.push(req(id, filter));
            }
        }
        if self.page.is_none() && room && self.page_not_before.is_none_or(|at| at <= now) {
            self.begin_page(wall, now);
            send.extend(self.page.as_ref().map(|page| self.page_req(page)));
        }
        send
    }

    fn begin_page(&mut self, wall: Time, now: Instant) {
        let due = |q: &Question| -> BTreeSet<Want> {
            let due = |w: &&Want| self.read.get(*w).is_some_and(|r| r.due);
            q.wants.iter().filter(due).cloned().collect()
        };
        let standing = self.asked.values().filter(|q| q.state == State::Stands);
        let Some(wants) = standing.map(due).find(|wants| !wants.is_empty()) else { return };
        let from = wants.iter().map(|w| self.from(w)).min().unwrap_or_default();
        for want in &wants {
            if let Some(read) = self.read.get_mut(want) {
                read.due = false;
            }
        }
        self.pages += 1;
        self.page = Some(Page {
            id: format!("p{}", self.pages),
            wants,
            from,
            until: None,
            got: 0,
            oldest: None,
            began: wall,
            deadline: now + self.pace.eose,
        });
    }

    /// From when on a want is read. Gift wraps carry random times up to two days old and may be
    /// published late; a job's channel is read whole, because money hangs on every record in it.
    fn from(&self, want: &Want) -> Time {
        let Read { from, to, .. } = self.read.get(want).copied().unwrap_or_default();
        match (want, to) {
            (Want::Listings(_), Some(to)) => from.max(to.before(Span::HOUR.times(2))),
            (Want::Wraps(_), Some(to)) => from.max(to.before(Span::DAY.times(7))),
            (Want::Channel(_) | Want::About(_) | Want::Follows(_), _) | (_, None) => from,
        }
    }

    fn page_req(&self, page: &Page) -> ClientMessage<'static> {
        let filter = filter(&page.wants).since(stamp(page.from)).limit(self.pace.page);
        req(&page.id, page.until.map_or(filter.clone(), |until| filter.until(stamp(until))))
    }

    /// Anything at all came.
    pub(super) fn heard(&mut self, now: Instant) {
        self.quiet_since = now;
    }

    /// An event came under this subscription id; `met` if it was wanted.
    pub(super) fn event(&mut self, id: &str, at: Time, met: bool, now: Instant) {
        if let Some(page) = self.page.as_mut().filter(|p| p.id == id) {
            page.deadline = now + self.pace.eose;
            if met && at >= page.from && page.until.is_none_or(|until| at <= until) {
                page.got += 1;
                page.oldest = Some(page.oldest.map_or(at, |oldest| oldest.min(at)));
            }
        }
    }

    /// An event had to be let go because the engine is behind: its want is read again.
    pub(super) fn behind(&mut self, want: &Want) {
        if let Some(read) = self.read.get_mut(want) {
            read.due = true;
        }
    }

    /// The relay says that this is all it has. Answers with what to send at once. Without `room` the next
    /// page is not asked for; the back-fill begins again when there is some.
    pub(super) fn eose(
        &mut self,
        id: &str,
        room: bool,
        now: Instant,
    ) -> (Did, Vec<ClientMessage<'static>>) {
        if let Some(question) = self.asked.get_mut(id) {
            let failed = question.failures > 0;
            if matches!(question.state, State::Asked(_)) {
                (question.state, question.failures, self.silences) = (State::Stands, 0, 0);
                return (if failed { Did::Restored } else { Did::Nothing }, Vec::new());
            }
        }
        let Some(mut page) = self.page.take_if(|p| p.id == id) else {
            return (Did::Nothing, Vec::new());
        };
        (self.silences, self.page_failures) = (0, 0);
        let mut send = vec![close(&page.id)];
        let next = self.goes_on(&page);
        if next.is_some() && !room {
            self.page = Some(page);
            self.give_up_page(now);
        } else if let Some(until) = next {
            self.pages += 1;
            page.id = format!("p{}", self.pages);
            (page.until, page.got, page.oldest) = (Some(until), 0, None);
            page.deadline = now + self.pace.eose;
            send.push(self.page_req(&page));
            self.page = Some(page);
        } else {
            for want in &page.wants {
                // What fell out meanwhile may be older than anything that is read again later.
                if let Some(read) = self.read.get_mut(want).filter(|r| !r.due) {
                    read.to = Some(page.began);
                }
            }
        }
        (Did::Nothing, send)
    }

    /// Up to when the next page goes, or `None` when all was read. For listings, a relay that says how many
    /// events it gives at most is believed that fewer are the last; everything else is asked for until
    /// nothing comes, because relays also cut where they do not say so.
    fn goes_on(&self, page: &Page) -> Option<Time> {
        let oldest = page.oldest?;
        let listings = page.wants.iter().all(|w| matches!(w, Want::Listings(_)));
        let full = self.cap.filter(|_| listings).map(|cap| cap.min(self.pace.page));
        if full.is_some_and(|full| page.got < full) {
            return None;
        }
        // `until` includes its second: go back into it once, then past it.
        let until = if page.until == Some(oldest) { oldest.before(Span(1)) } else { oldest };
        (until >= page.from && until != Time(0)).then_some(until)
    }

    /// What is asked under a subscription id.
    pub(super) fn wants(&self, id: &str) -> impl Iterator<Item = &Want> {
        let page = self.page.as_ref().filter(|page| page.id == id).map(|page| &page.wants);
        self.asked.get(id).map(|question| &question.wants).or(page).into_iter().flatten()
    }

    /// The relay closed a subscription. `long` if it makes no sense to ask again soon.
    pub(super) fn closed(&mut self, id: &str, long: bool, now: Instant) -> Did {
        let least = if long { 8 } else { 1 };
        if let Some(question) = self.asked.get_mut(id) {
            question.failures = question.failures.saturating_add(1).max(least);
            question.state = State::Due(now + backoff::wait(self.pace.backoff, question.failures));
            // What was published meanwhile is only stored.
            for want in &question.wants {
                if let Some(read) = self.read.get_mut(want) {
                    read.due = true;
                }
            }
            return Did::Lost;
        }
        if self.page.as_ref().is_some_and(|p| p.id == id) {
            self.page_failures = self.page_failures.saturating_add(1).max(least);
            self.give_up_page(now + backoff::wait(self.pace.backoff, self.page_failures));
            return Did::Lost;
        }
        Did::Nothing
    }

    fn give_up_page(&mut self, not_before: Instant) {
        if let Some(page) = self.page.take() {
            for want in &page.wants {
                if let Some(read) = self.read.get_mut(want) {
                    read.due = true;
                }
            }
            self.page_not_before = Some(not_before);
        }
    }

    /// We may ask again at once (we have just authenticated).
    pub(super) fn retry(&mut self, now: Instant) {
        for question in self.asked.values_mut() {
            if matches!(question.state, State::Due(_)) {
                question.state = State::Due(now);
            }
        }
        self.page_not_before = None;
    }

    /// How many times in a row the relay owed an answer and gave none; what it owed is asked again.
    pub(super) fn silent(&mut self, now: Instant) -> u32 {
        let mut silent = false;
        for question in self.asked.values_mut() {
            if matches!(question.state, State::Asked(deadline) if deadline <= now) {
                question.failures = question.failures.saturating_add(1);
                question.state = State::Due(now);
                silent = true;
            }
        }
        if self.page.as_ref().is_some_and(|p| p.deadline <= now) {
            self.give_up_page(now);
            silent = true;
        }
        if silent {
            self.silences += 1;
            return self.silences;
        }
        0
    }

    /// Whether everything stands and was read.
    pub(super) fn live(&self) -> bool {
        self.page.is_none()
            && self.asked.values().all(|q| match q.state {
                State::Stands => true,
                // asked anew while it stands
                State::Asked(_) => q.failures == 0 && self.all_read(&q.wants),
                State::Due(_) => false,
            })
            && self.read.values().all(|r| r.to.is_some() && !r.due)
    }

    fn all_read(&self, wants: &BTreeSet<Want>) -> bool {
        wants.iter().all(|w| self.read.get(w).is_some_and(|r| r.to.is_some()))
    }

    /// When to look again though nothing came.
    pub(super) fn next(&self) -> Instant {
        let questions = self.asked.values().filter_map(|q| match q.state {
            State::Due(at) | State::Asked(at) => Some(at),
            State::Stands => None,
        });
        let page = self.page.as_ref().map(|p| p.deadline);
        let wait = self.page_not_before.filter(|_| self.page.is_none());
        let wait = wait.filter(|_| self.read.values().any(|r| r.due));
        let idle = Some(self.quiet_since + self.pace.idle);
        let all = questions.chain(page).chain(wait).chain(idle).chain([self.sweep_at]);
        all.min().unwrap_or(self.sweep_at)
    }

    /// Whether anything is asked here at all.
    pub(super) fn is_empty(&self) -> bool {
        self.asked.is_empty()
    }
}

/// The class of a want: wants of one class share a question.
fn class(want: &Want) -> char {
    match want {
        Want::Listings(_) => 'l',
        Want::Wraps(_) => 'w',
        Want::Channel(_) => 'c',
        Want::About(_) => 'a',
        Want::Follows(_) => 'f',
    }
}

/// Wants by class, at most [`KEYS`] to a question; a question's id is its class and number. Each stays where it
/// stands, and a new one goes where there is room: a key more changes one question, not all after it.
fn grouped(
    wanted: &Wanted,
    standing: &BTreeMap<String, Question>,
) -> BTreeMap<String, BTreeSet<Want>> {
    let mut groups: BTreeMap<String, BTreeSet<Want>> = BTreeMap::new();
    let mut placed = BTreeSet::new();
    for (id, question) in standing {
        for want in question.wants.iter().filter(|want| wanted.contains_key(*want)) {
            placed.insert(want);
            groups.entry(id.clone()).or_default().insert(want.clone());
        }
    }
    let mut first = BTreeMap::<char, usize>::new();
    for want in wanted.keys().filter(|want| !placed.contains(want)) {
        let class = class(want);
        let n = first.entry(class).or_default();
        while groups.get(&format!("{class}{n}")).is_some_and(|group| group.len() >= KEYS) {
            *n += 1;
        }
        groups.entry(format!("{class}{n}")).or_default().insert(want.clone());
    }
    groups
}

/// The filter of wants of one class.
fn filter(wants: &BTreeSet<Want>) -> Filter {
    let (mut filter, mut authors, mut to, mut chains) =
        (Filter::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut about, mut lists) = (Vec::new(), Vec::new());
    for want in wants {
        match want {
            Want::Listings(network) => chains.push(network_name(*network).to_owned()),
            Want::Wraps(key) => to.push(key.to_string()),
            Want::Channel(key) => authors.push(PublicKey::from_byte_array(key.0)),
            Want::About(key) => about.push(key.to_string()),
            Want::Follows(key) => lists.push(PublicKey::from_byte_array(key.0)),
        }
    }
    let letter = SingleLetterTag::lowercase;
    if !chains.is_empty() {
        filter = filter
            .kind(Kind::Custom(LISTING))
            .custom_tag(letter(Alphabet::Y), "earnest")
            .custom_tags(letter(Alphabet::N), chains);
    }
    if !to.is_empty() {
        filter = filter.kind(Kind::Custom(WRAP)).custom_tags(letter(Alphabet::P), to);
    }
    if !authors.is_empty() {
        filter = filter.kind(Kind::Custom(CHANNEL)).authors(authors);
    }
    if !about.is_empty() {
        let kinds = [Kind::Custom(PROOF), Kind::Custom(RECEIPT)];
        filter = filter.kinds(kinds).custom_tags(letter(Alphabet::P), about);
    }
    if !lists.is_empty() {
        filter = filter.kind(Kind::Custom(FOLLOWS)).authors(lists);
    }
    filter
}

fn req(id: &str, filter: Filter) -> ClientMessage<'static> {
    ClientMessage::req(SubscriptionId::new(id), filter)
}

fn close(id: &str) -> ClientMessage<'static> {
    ClientMessage::close(SubscriptionId::new(id))
}

fn stamp(time: Time) -> Timestamp {
    Timestamp::from_secs(time.0)
}

#[cfg(test)]
mod tests;

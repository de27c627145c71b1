//! What is promised, on its way, spent and come to light, added up job by job: a job that changes takes what it
//! was out of the sums and puts what it is in, so that one more among ten thousand costs what one among ten does.

use super::*;
use crate::market::{Past, Spent};

/// A sum that gives back exactly what was put in, however large it was meanwhile.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sum(u128);

impl Sum {
    fn add(&mut self, amount: Msat) {
        self.0 += u128::from(amount.get());
    }
    fn take(&mut self, amount: Msat) {
        self.0 = self.0.saturating_sub(u128::from(amount.get()));
    }
    /// At most what there can be.
    fn get(self) -> Msat {
        u64::try_from(self.0).ok().and_then(Msat::new).unwrap_or(Msat::MAX)
    }
    fn but(mut self, amount: Msat) -> Self {
        self.take(amount);
        self
    }
}

/// Payments by their second, minute and hour: what was paid since some moment is read from a hundred or so of
/// them, however many there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Paid {
    seconds: BTreeMap<u64, Sum>,
    minutes: BTreeMap<u64, Sum>,
    hours: BTreeMap<u64, Sum>,
}

impl Paid {
    fn change(&mut self, at: Time, change: impl Fn(&mut Sum)) {
        let places = [
            (&mut self.seconds, at.0),
            (&mut self.minutes, at.0 / 60),
            (&mut self.hours, at.0 / 3_600),
        ];
        for (sums, at) in places {
            let sum = sums.entry(at).or_default();
            change(sum);
            if *sum == Sum::default() {
                sums.remove(&at);
            }
        }
    }

    /// What lies in the future was paid before the clock was set back: it counts.
    fn since(&self, from: Time) -> Sum {
        let minute = from.0.div_ceil(60);
        let hour = minute.div_ceil(60);
        let seconds = self.seconds.range(from.0..minute.saturating_mul(60).max(from.0));
        let minutes = self.minutes.range(minute..hour.saturating_mul(60).max(minute));
        let parts = seconds.chain(minutes).chain(self.hours.range(hour..));
        Sum(parts.map(|(_, sum)| sum.0).sum())
    }
}

/// What one job adds to the sums.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Share {
    in_flight: Msat,
    expected: Msat,
    reserved: Msat,
    exposure: Exposure,
    /// When it settled, and over how many sats.
    settled: Option<(Time, u64)>,
    caught: u32,
    /// What automation still promises for it, and what it has paid; nothing where a person promised it.
    promised: Msat,
    paid: Vec<(Time, Msat)>,
    /// It waits for a person's word.
    asked: bool,
}

impl Share {
    fn of(job: &Job) -> Self {
        let awarded = job.job.is_some();
        let over = job.phase.is_over();
        let charged = job.charge.by.is_some();
        let settled = awarded && job.phase == Phase::Settled;
        Self {
            in_flight: in_flight(job),
            expected: expected(job),
            reserved: reserved(job),
            exposure: Exposure::of(std::iter::once(job)),
            settled: settled.then(|| (job.since, job.worth().whole_sats())),
            caught: if awarded { caught(job) } else { 0 },
            promised: if charged { job.promised() } else { Msat::ZERO },
            paid: if charged { job.charge.paid.clone() } else { Vec::new() },
            asked: job.charge.asked.is_some() && !over,
        }
    }

    fn paid_since(&self, from: Time) -> Msat {
        self.paid.iter().filter(|(at, _)| *at >= from).map(|(_, amount)| *amount).sum()
    }
}

/// What it has accepted to pay and the node does not show as spent yet.
fn in_flight(job: &Job) -> Msat {
    let accepted = match &job.escrow {
        Some(escrow) => escrow.wanted.is_some() && job.phase == Phase::Awarded,
        None => job.phase == Phase::Accepted,
    };
    if job.role != Role::Requester || !accepted {
        return Msat::ZERO;
    }
    if job.escrow.is_some() {
        return job.terms().price;
    }
    let next = job.attempt.as_ref().map(crate::market::Attempt::next_unpaid);
    next.and_then(|t| job.terms().price.tranche(t, job.terms().tranches)).unwrap_or_default()
}

/// What a job or bid of ours as a worker may still bring.
fn expected(job: &Job) -> Msat {
    let waits = !job.phase.is_over() && job.phase != Phase::Declined;
    match job.role == Role::Worker && waits {
        true => job.agreed().price.saturating_sub(job.received()),
        false => Msat::ZERO,
    }
}

/// What is promised and not paid: awarded jobs of ours as a requester. What is locked in escrow the node itself
/// does not show as ours to spend any more.
fn reserved(job: &Job) -> Msat {
    if job.role != Role::Requester || job.job.is_none() || job.phase.is_over() {
        return Msat::ZERO;
    }
    let locked = match &job.escrow {
        Some(escrow) if escrow.is_locked() => job.terms().price,
        _ => Msat::ZERO,
    };
    job.agreed().price.saturating_sub(job.paid()).saturating_sub(locked)
}

/// How often they were caught in this job.
fn caught(job: &Job) -> u32 {
    u32::from(job.caught()) + u32::from(job.exposed.is_some())
}

/// What there is with one person.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Person {
    tranche: Sum,
    direct: Sum,
    escrow: Sum,
    promised: Sum,
    paid: Paid,
    /// When jobs settled, and how many in that moment.
    settled: BTreeMap<Time, u32>,
    jobs: u32,
    sats: u128,
    caught: u32,
}

impl Person {
    fn add(&mut self, share: &Share) {
        self.tranche.add(share.exposure.tranche);
        self.direct.add(share.exposure.direct);
        self.escrow.add(share.exposure.escrow);
        self.promised.add(share.promised);
        for (at, amount) in &share.paid {
            self.paid.change(*at, |sum| sum.add(*amount));
        }
        if let Some((at, sats)) = share.settled {
            *self.settled.entry(at).or_default() += 1;
            self.jobs += 1;
            self.sats += u128::from(sats);
        }
        self.caught += share.caught;
    }

    fn take(&mut self, share: &Share) {
        self.tranche.take(share.exposure.tranche);
        self.direct.take(share.exposure.direct);
        self.escrow.take(share.exposure.escrow);
        self.promised.take(share.promised);
        for (at, amount) in &share.paid {
            self.paid.change(*at, |sum| sum.take(*amount));
        }
        if let Some((at, sats)) = share.settled {
            if let Some(many) = self.settled.get_mut(&at) {
                *many = many.saturating_sub(1);
                if *many == 0 {
                    self.settled.remove(&at);
                }
            }
            self.jobs = self.jobs.saturating_sub(1);
            self.sats = self.sats.saturating_sub(u128::from(sats));
        }
        self.caught = self.caught.saturating_sub(share.caught);
    }

    fn past(&self) -> Past {
        Past {
            settled: self.jobs,
            sats: u64::try_from(self.sats).unwrap_or(u64::MAX),
            first: self.settled.keys().next().copied().unwrap_or_default(),
            last: self.settled.keys().next_back().copied().unwrap_or_default(),
            caught: self.caught,
        }
    }
}

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sums {
    in_flight: Sum,
    expected: Sum,
    reserved: Sum,
    promised: Sum,
    paid: Paid,
    people: BTreeMap<Pubkey, Person>,
    /// Jobs that wait for a person's word.
    asked: BTreeSet<BidId>,
}

impl Sums {
    /// A job is new, or other than it was.
    pub(super) fn change(&mut self, was: Option<&Job>, is: &Job) {
        let old = was.map(Share::of);
        let new = Share::of(is);
        if old.as_ref() == Some(&new) {
            return;
        }
        let old = old.unwrap_or_default();
        let sums = [
            (&mut self.in_flight, old.in_flight, new.in_flight),
            (&mut self.expected, old.expected, new.expected),
            (&mut self.reserved, old.reserved, new.reserved),
            (&mut self.promised, old.promised, new.promised),
        ];
        for (sum, old, new) in sums {
            sum.take(old);
            sum.add(new);
        }
        for (at, amount) in &old.paid {
            self.paid.change(*at, |sum| sum.take(*amount));
        }
        for (at, amount) in &new.paid {
            self.paid.change(*at, |sum| sum.add(*amount));
        }
        match new.asked {
            true => self.asked.insert(is.id),
            false => self.asked.remove(&is.id),
        };
        // With whom it is never changes.
        let person = self.people.entry(is.peer()).or_default();
        person.take(&old);
        person.add(&new);
        if *person == Person::default() {
            self.people.remove(&is.peer());
        }
    }

    pub(super) fn asked(&self) -> impl Iterator<Item = &BidId> {
        self.asked.iter()
    }

    /// Whether they are those of these jobs.
    fn are_of<'a>(&self, jobs: impl Iterator<Item = &'a Job>) -> bool {
        let mut all = Self::default();
        jobs.for_each(|job| all.change(None, job));
        all == *self
    }
}

impl<S: Store> Core<S> {
    /// What other jobs have accepted to pay and the node does not show as spent yet.
    pub(super) fn in_flight(&self, except: &Job) -> Msat {
        self.sums.in_flight.but(in_flight(except)).get()
    }

    /// What jobs and bids of ours as a worker may still bring.
    pub(super) fn expected(&self) -> Msat {
        self.sums.expected.get()
    }

    /// What is promised and not paid: awarded jobs of ours as a requester.
    pub fn reserved(&self) -> Msat {
        self.sums.reserved.get()
    }

    /// What automation has promised and paid, as [`Spent::of`] would add it up.
    pub fn spent(&self, except: Option<&BidId>, person: Option<&Pubkey>) -> Spent {
        let now = self.clock.now();
        let (hour, day) = (now.before(Span::HOUR), now.before(Span::DAY));
        let except = except.and_then(|id| self.jobs.get(id));
        let own = except.map(Share::of).unwrap_or_default();
        let with = person.and_then(|who| self.sums.people.get(who));
        let its = except.filter(|job| person == Some(&job.peer())).map(|_| &own);
        let with = with.map_or(Sum::default(), |with| {
            let all = Sum(with.promised.0 + with.paid.since(day).0);
            its.map_or(all, |own| all.but(own.promised).but(own.paid_since(day)))
        });
        Spent {
            at_risk: self.sums.promised.but(own.promised).get(),
            hour: self.sums.paid.since(hour).but(own.paid_since(hour)).get(),
            day: self.sums.paid.since(day).but(own.paid_since(day)).get(),
            person: with.get(),
        }
    }

    /// What our own jobs with this person say.
    pub(super) fn past(&self, who: &Pubkey) -> Option<Past> {
        self.sums.people.get(who).map(Person::past)
    }

    /// What this person holds of ours by what is open with it.
    pub(super) fn open_with(&self, who: &Pubkey) -> Exposure {
        let with = self.sums.people.get(who);
        with.map_or_else(Exposure::default, |with| Exposure {
            tranche: with.tranche.get(),
            direct: with.direct.get(),
            escrow: with.escrow.get(),
        })
    }

    /// Whether what is added up is what adding everything up anew would give.
    pub fn adds_up(&self) -> bool {
        self.sums.are_of(self.jobs.values())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_paid_since_is_what_a_list_says(
            paid in prop::collection::vec((0..20_000u64, 1..1_000u64), 0..60),
            taken in 0..60usize,
            from in 0..20_000u64,
        ) {
            let mut sums = Paid::default();
            let amount = |n: &u64| Msat::new(*n).unwrap();
            for (at, n) in &paid {
                sums.change(Time(*at), |sum| sum.add(amount(n)));
            }
            let left = &paid[taken.min(paid.len())..];
            for (at, n) in &paid[..taken.min(paid.len())] {
                sums.change(Time(*at), |sum| sum.take(amount(n)));
            }
            for from in [from, from / 60 * 60, from / 3_600 * 3_600, 0] {
                let by_list: u64 = left.iter().filter(|(at, _)| *at >= from).map(|(_, n)| n).sum();
                prop_assert_eq!(sums.since(Time(from)).get(), amount(&by_list));
            }
            let most = left.iter().map(|(at, _)| at).collect::<BTreeSet<_>>().len();
            prop_assert_eq!(sums.seconds.len(), most, "what is taken out leaves nothing");
            prop_assert_eq!(sums.since(Time(u64::MAX)), Sum::default());
        }
    }
}

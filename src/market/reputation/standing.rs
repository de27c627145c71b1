//! What somebody's record is worth to us: points, each with its reason.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::market::{Offence, Pubkey, Span, Testimony, Time};

/// What our own jobs with somebody say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Past {
    /// Jobs that settled.
    pub settled: u32,
    /// Sats of those.
    pub sats: u64,
    /// When the first settled.
    pub first: Time,
    /// When the last settled.
    pub last: Time,
    /// Jobs in which they were caught.
    pub caught: u32,
}

/// Some of the points, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Points {
    /// How many.
    pub points: u32,
    /// What for, in words.
    pub why: String,
}

/// Somebody's standing with us: from 0, of whom nothing is known, to 100.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Standing {
    /// The sum, or 0 where a proof stands against them.
    pub score: u32,
    /// What it is made of.
    pub reasons: Vec<Points>,
    /// Others that have a receipt with them.
    pub counterparties: u32,
    /// How many of those we know ourselves: only theirs count.
    pub known: u32,
    /// Sats of the receipts that count and of our own jobs, at least.
    pub sats: u64,
    /// Since when there is something that counts.
    pub since: Option<Time>,
    /// What is proven against them.
    pub proofs: Vec<Offence>,
    /// Something is proven, or we caught them ourselves: nothing else counts.
    pub convicted: bool,
    /// 1 where we follow them; absent where we do not, or do not know.
    pub distance: Option<u8>,
}

impl std::fmt::Display for Standing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.convicted {
            true => f.write_str("0 of 100: convicted"),
            false => write!(f, "{} of 100", self.score),
        }
    }
}

/// The most for our own jobs with them.
const MOST_OWN: u64 = 40;
/// The most for all others together.
const MOST_OTHERS: u64 = 40;
/// The most for one of them.
const MOST_OTHER: u64 = 10;
/// The most for age.
const MOST_AGE: u64 = 10;
/// After so many days age says no more.
const OLD: u64 = 90;
/// For whom we follow.
const FOLLOWED: u64 = 10;
/// With so many sats something is worth half of what it can be worth.
const HALF_SATS: u64 = 100_000;
/// After so many days it is worth half of what it was.
const HALF_LIFE: u64 = 180;
/// What the word of whom we merely follow weighs, in thousandths.
const FOLLOWED_WEIGHT: u64 = 500;
/// Points are summed in thousandths.
const MILLI: u64 = 1000;

/// Of a thousand, what so many sats are worth: more and more, and never all.
fn worth(sats: u64) -> u64 {
    let sats = sats.min(1 << 40);
    sats * MILLI / (sats + HALF_SATS)
}

/// Of a thousand, what is left of something so old: half after each half-life, on a line in between.
fn decay(at: Time, now: Time) -> u64 {
    let days = at.until(now).0 / Span::DAY.0;
    let (halves, rest) = (days / HALF_LIFE, days % HALF_LIFE);
    if halves >= 10 {
        return 0;
    }
    let whole = MILLI >> halves;
    whole - whole * rest / (2 * HALF_LIFE)
}

/// What the word of this person weighs with us, in thousandths: our own jobs with them, or that we follow them.
/// Strangers weigh nothing.
fn weight(past: Option<&Past>, followed: bool) -> u64 {
    let own = past.filter(|past| past.caught == 0).map_or(0, |past| worth(past.sats));
    match past {
        Some(past) if past.caught > 0 => 0,
        _ if followed => own.max(FOLLOWED_WEIGHT),
        _ => own,
    }
}

/// The standing of `who`, from our own jobs with everybody, whom we follow, and what was said about `who`.
pub fn standing(
    who: &Pubkey,
    me: &Pubkey,
    own: impl Fn(&Pubkey) -> Option<Past>,
    follows: &BTreeSet<Pubkey>,
    said: &[Testimony],
    now: Time,
) -> Standing {
    let mut of = Standing::default();
    let past = own(who).unwrap_or_default();
    let mut milli = 0;
    let mut add = |points: u64, why: String, reasons: &mut Vec<Points>| {
        milli += points;
        let points = u32::try_from(points / MILLI).unwrap_or(u32::MAX);
        reasons.push(Points { points, why });
    };
    if past.settled > 0 {
        let points = MOST_OWN * worth(past.sats) * decay(past.last, now) / MILLI;
        let why = format!("{} jobs settled with you, over {} sat", past.settled, past.sats);
        add(points, why, &mut of.reasons);
        of.sats = past.sats;
        of.since = Some(past.first);
    }
    let mut by: BTreeMap<Pubkey, (u64, Time, Time)> = BTreeMap::new();
    for testimony in said {
        match testimony {
            Testimony::Proof { against, offence, .. } if against == who => of.proofs.push(*offence),
            Testimony::Receipt { receipt } => {
                let Some(other) = testimony.counterparty(who).filter(|other| other != me) else {
                    continue;
                };
                // Nobody's date is believed to lie ahead.
                let at = receipt.at.min(now);
                let seen = by.entry(other).or_insert((0, at, at));
                seen.0 += 1u64 << receipt.amount.min(40);
                (seen.1, seen.2) = (seen.1.min(at), seen.2.max(at));
            }
            Testimony::Proof { .. } => {}
        }
    }
    of.counterparties = u32::try_from(by.len()).unwrap_or(u32::MAX);
    let mut others = 0;
    for (other, (sats, first, last)) in by {
        let weight = weight(own(&other).as_ref(), follows.contains(&other));
        if weight == 0 {
            continue;
        }
        of.known += 1;
        of.sats = of.sats.saturating_add(sats);
        of.since = Some(of.since.map_or(first, |since| since.min(first)));
        others += MOST_OTHER * worth(sats) * weight / MILLI * decay(last, now) / MILLI;
    }
    if of.known > 0 {
        let why = format!("receipts with {} whom you know yourself", of.known);
        add(others.min(MOST_OTHERS * MILLI), why, &mut of.reasons);
    }
    if let Some(since) = of.since {
        let days = since.until(now).0 / Span::DAY.0;
        let points = MOST_AGE * MILLI * days.min(OLD) / OLD;
        add(points, format!("{days} days since the first job that counts"), &mut of.reasons);
    }
    if follows.contains(who) {
        of.distance = Some(1);
        add(FOLLOWED * MILLI, "you follow them".into(), &mut of.reasons);
    }
    let strangers = of.counterparties - of.known;
    if strangers > 0 {
        let why = format!(
            "receipts with {strangers} of whom you know nothing: anybody can make them, they count for nothing"
        );
        add(0, why, &mut of.reasons);
    }
    let proven = of.proofs.len();
    if past.caught > 0 || proven > 0 {
        let why = match (past.caught, of.proofs.first()) {
            (_, Some(offence)) => format!("{proven} proofs against them: it {}", offence.words()),
            (caught, None) => format!("caught in {caught} jobs with you"),
        };
        of.reasons.insert(0, Points { points: 0, why: format!("{why}. Nothing else counts") });
        return Standing { score: 0, convicted: true, ..of };
    }
    of.score = u32::try_from(milli / MILLI).unwrap_or(u32::MAX).min(100);
    of
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::{Digest, Ended, JobId, JobReceipt};

    const NOW: Time = Time(20_000 * 86_400);

    fn key(n: u16) -> Pubkey {
        let mut bytes = [7; 32];
        bytes[..2].copy_from_slice(&n.to_le_bytes());
        Pubkey(bytes)
    }

    fn receipt(worker: u16, requester: u16, amount: u8, days_ago: u64) -> Testimony {
        let mut job = [0; 32];
        job[..2].copy_from_slice(&worker.to_le_bytes());
        job[2..4].copy_from_slice(&requester.to_le_bytes());
        let receipt = JobReceipt {
            amount,
            at: Time(NOW.0 - days_ago * 86_400),
            job: JobId(job),
            outcome: Ended::Paid,
            payment: Digest([1; 32]),
            requester: key(requester),
            tags: vec!["labels".into()],
            terms: Digest([2; 32]),
            v: 1,
            worker: key(worker),
        };
        Testimony::Receipt { receipt }
    }

    fn past(sats: u64, days_ago: u64) -> Past {
        let at = Time(NOW.0 - days_ago * 86_400);
        Past { settled: 1, sats, first: at, last: at, caught: 0 }
    }

    const ME: u16 = 0;
    const WHO: u16 = 1;
    const FRIEND: u16 = 2;

    fn score(own: &[(u16, Past)], follows: &[u16], said: &[Testimony]) -> Standing {
        let own: BTreeMap<_, _> = own.iter().map(|(n, past)| (key(*n), *past)).collect();
        let own = |who: &Pubkey| own.get(who).copied();
        let follows = follows.iter().map(|n| key(*n)).collect();
        standing(&key(WHO), &key(ME), own, &follows, said, NOW)
    }

    #[test]
    fn a_thousand_receipts_of_ones_own_making_are_worth_nothing() {
        let sybils: Vec<_> = (100..1100).map(|n| receipt(WHO, n, 26, 1)).collect();
        let of = score(&[], &[], &sybils);
        assert_eq!((of.score, of.counterparties, of.known), (0, 1000, 0));
        // Nor do they add to what is really known, nor do sybils who vouch for each other.
        let ring = (100..1100).map(|n| receipt(n, n + 1, 26, 1));
        let honest = [receipt(WHO, FRIEND, 16, 10)];
        let own = [(FRIEND, past(200_000, 20))];
        let real = score(&own, &[], &honest);
        let all: Vec<_> = honest.iter().cloned().chain(sybils).chain(ring).collect();
        let padded = score(&own, &[], &all);
        assert!(real.score > 0);
        assert_eq!(padded.score, real.score);
        assert_eq!((padded.sats, padded.since), (real.sats, real.since));
    }

    #[test]
    fn own_jobs_count_more_than_anybodys_word_and_follows_a_little() {
        let own = score(&[(WHO, past(1_000_000, 1))], &[], &[]).score;
        let told =
            score(&[(FRIEND, past(1_000_000, 1))], &[], &[receipt(WHO, FRIEND, 20, 1)]).score;
        let followed = score(&[], &[WHO], &[]);
        assert!(own > 30 && told < own && told > 5, "{own} {told}");
        assert_eq!((followed.score, followed.distance), (10, Some(1)));
    }

    #[test]
    fn many_who_are_known_count_more_than_one_and_never_more_than_forty() {
        let friends: Vec<_> = (10..40).map(|n| (n, past(10_000_000, 1))).collect();
        let of = |n: u16| {
            let said: Vec<_> = (10..10 + n).map(|f| receipt(WHO, f, 24, 0)).collect();
            score(&friends, &[], &said).score
        };
        assert!(of(1) < of(3) && of(3) < of(6));
        assert!(of(30) <= 40);
        // The same one again and again is worth no more than one.
        let again = vec![receipt(WHO, 10, 26, 0); 50];
        assert!(score(&friends, &[], &again).score <= 10);
    }

    #[test]
    fn what_is_old_fades_and_what_lasts_counts() {
        let at = |days| score(&[(WHO, past(1_000_000, days))], &[], &[]).reasons[0].points;
        assert!(at(0) > at(180) && at(180) > at(400));
        assert_eq!(at(5000), 0);
        assert_eq!(decay(NOW, NOW), 1000);
        assert_eq!(decay(Time(NOW.0 - 180 * 86_400), NOW), 500);
        assert_eq!(decay(Time(NOW.0 + 86_400), NOW), 1000);
    }

    #[test]
    fn one_proof_outweighs_everything() {
        let proof =
            Testimony::Proof { against: key(WHO), job: JobId([9; 32]), offence: Offence::Key };
        let of = score(&[(WHO, past(10_000_000, 1))], &[WHO], std::slice::from_ref(&proof));
        assert_eq!((of.score, of.proofs), (0, vec![Offence::Key]));
        assert!(of.reasons[0].why.contains("does not open"), "{:?}", of.reasons);
        // Against somebody else it says nothing of them; and whom we caught does not vouch.
        let other =
            Testimony::Proof { against: key(9), job: JobId([9; 32]), offence: Offence::Key };
        assert!(score(&[(WHO, past(10_000_000, 1))], &[], &[other]).score > 0);
        let crook = Past { caught: 1, ..past(10_000_000, 1) };
        assert_eq!(score(&[(FRIEND, crook)], &[FRIEND], &[receipt(WHO, FRIEND, 26, 1)]).score, 0);
        assert_eq!(score(&[(WHO, crook)], &[], &[]).score, 0);
    }
}

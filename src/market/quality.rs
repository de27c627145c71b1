//! Quality: what a delivery is held against, agreed before the work: how it falls into records, how many
//! of them may be seen before payment, and the checks that it must pass.

use serde::{Deserialize, Serialize};

use crate::market::{Digest, Job, Mode, Msat, Phase, Refusal, Role, Terms, escrow_risk};
use crate::seal::{self, Bound, Cut};

/// The most random records that terms may ask for, and the most chunks that one answer opens: their keys
/// have to fit one record.
pub const MOST_AUDITED: u64 = 512;
/// The most checks of one gig.
pub const MOST_CHECKS: usize = 8;
/// The longest body of a check that stands in a listing; a longer one is an input file.
pub const LONGEST_INLINE_CHECK: usize = 8 * 1024;

/// What a delivery is held against. In an offer with the bodies of its checks, in a bid without.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quality {
    /// Random records that the requester may see before it pays, at most; never more than a tenth.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub audit: u64,
    /// The checks, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Pinned>,
    /// How the delivery falls into records; full chunks or lines, as the worker has it, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<Cut>,
}

/// A check, by hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pinned {
    /// Its canonical body. Absent in a bid, and where the body is an input file of this very hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Plain BLAKE3 of the body.
    pub hash: Digest,
}

/// So many records that a sample of them is as one of any number: what is said where the number is not
/// known yet.
const LARGE: u64 = 1 << 26;

fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl Quality {
    /// Whether nothing beyond the manifest is asked.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// The same without bodies: what a bid says.
    pub fn bare(&self) -> Self {
        let checks = self.checks.iter().map(|c| Pinned { body: None, hash: c.hash }).collect();
        Self { checks, ..self.clone() }
    }

    /// What is asked for, in words, for whoever decides whether to bid.
    pub fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        if self.audit > 0 {
            let bound = percent(seal::confidence(self.audit, LARGE));
            words.push(format!(
                "up to {} random records, never over a tenth, are seen before payment: if all are right, {bound}",
                self.audit
            ));
        }
        match self.checks.len() {
            0 => {}
            1 => words.push("1 check by machine, before sealing and after opening".into()),
            n => words.push(format!("{n} checks by machine, before sealing and after opening")),
        }
        words
    }

    /// Whether it can be kept. Says nothing of what the checks are: who runs them reads them.
    ///
    /// # Errors
    /// A limit is passed, a check is there twice, or a body is not of its hash.
    pub fn check(&self) -> Result<(), Refusal> {
        let no = |sentence: &str| Err(Refusal::new("bad-quality", sentence));
        if self.audit > MOST_AUDITED {
            return no("More records are to be seen unpaid than one answer can open.");
        }
        let twice = |i: usize| self.checks[..i].iter().any(|c| c.hash == self.checks[i].hash);
        if self.checks.len() > MOST_CHECKS || (1..self.checks.len()).any(twice) {
            return no("There are more than eight checks, or one is there twice.");
        }
        let fits = |c: &Pinned| {
            c.body.as_ref().is_none_or(|body| {
                let hash = Digest(*blake3::hash(body.as_bytes()).as_bytes());
                body.len() <= LONGEST_INLINE_CHECK && hash == c.hash
            })
        };
        if !self.checks.iter().all(fits) {
            return no("A check is too long for a listing, or is not the one that its hash names.");
        }
        Ok(())
    }
}

/// The most that a requester can lose to a worker who signs its own conviction: the largest tranche, in
/// mode sealed, since the next is paid only when the last was opened and checked.
pub fn largest_loss(terms: &Terms) -> Msat {
    let parts = (0..terms.tranches).filter_map(|t| terms.price.tranche(t, terms.tranches));
    parts.max().unwrap_or(terms.price)
}

/// What somebody on this side can lose, and what an audit says of it: for a person, before it agrees.
/// `None` once nothing can be lost any more.
pub fn at_stake(job: &Job) -> Option<String> {
    let terms = job.terms();
    if job.phase.is_over() || job.phase == Phase::Declined {
        return None;
    }
    let audited = job.attempt.as_ref().and_then(|work| work.review.audited);
    let seen = audited.filter(|seen| seen.sampled > 0).map(|seen| format!("{}; ", seen.share()));
    Some(match (terms.mode, job.role) {
        (Mode::Sealed, Role::Requester) => {
            format!("{}you can lose {}", seen.unwrap_or_default(), largest_loss(terms))
        }
        (Mode::Sealed, Role::Worker) => {
            "you can lose your labour, not your work: it stays sealed until it is paid".into()
        }
        (Mode::Direct, Role::Requester) => "nothing: you see the work before you pay".into(),
        (Mode::Direct, Role::Worker) => {
            format!("you can lose {}: the work is out before it is paid", terms.price)
        }
        (Mode::Escrow, role) => escrow_risk(role).into(),
    })
}

/// A share of all, rounded up to a tenth of a hundredth: never better than it is.
fn percent(bound: Bound) -> String {
    let tenths = bound.bad.saturating_mul(1000).div_ceil(bound.of.max(1));
    let rest = if tenths.is_multiple_of(10) { String::new() } else { format!(".{}", tenths % 10) };
    format!("at most {}{rest} % bad, 95 % sure", tenths / 10)
}

/// What an audit told: so many records of so many were seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audited {
    /// Records of the delivery.
    pub records: u64,
    /// Records that were opened, at random.
    pub sampled: u64,
}

impl Audited {
    /// At most so many records are bad, with 95 % confidence, none of the opened ones being so.
    pub fn bound(&self) -> Bound {
        seal::confidence(self.sampled, self.records)
    }

    /// The bound as a share, for a person.
    pub fn share(&self) -> String {
        percent(self.bound())
    }

    /// For a person.
    pub fn sentence(&self) -> String {
        if self.sampled == 0 {
            return format!(
                "The delivery has {} records, too few or too large for any to be opened unpaid: the audit says nothing.",
                self.records
            );
        }
        let bound = self.bound();
        format!(
            "{} of {} records were opened and are right: with 95 % confidence at most {} of them are wrong. It does not show that the key opens the rest; only paying does.",
            self.sampled, bound.of, bound.bad
        )
    }
}

/// One verdict of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// Which.
    pub check: Digest,
    /// What it says.
    pub verdict: CheckVerdict,
    /// The chunk of the record that it says it of; `None` for more than one chunk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chunk: Option<u64>,
}

/// What a check says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "lowercase")]
pub enum CheckVerdict {
    /// It is what was asked.
    Pass,
    /// It is not.
    Fail {
        /// Why and where; may hold words of a stranger's check.
        reason: String,
    },
    /// It cannot say: this proves nothing.
    None {
        /// Why.
        reason: String,
    },
}

impl Checked {
    /// Whether it says no.
    pub fn failed(&self) -> bool {
        matches!(self.verdict, CheckVerdict::Fail { .. })
    }
    /// Whether it cannot say.
    pub fn unsure(&self) -> bool {
        matches!(self.verdict, CheckVerdict::None { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// C(n, k), exactly.
    fn choose(n: u128, k: u128) -> u128 {
        (0..k).fold(1, |c, i| c * (n - i) / (i + 1))
    }

    #[test]
    fn the_bound_is_exactly_hypergeometric() {
        for (records, sampled) in [(10, 1), (20, 4), (60, 6), (100, 10), (110, 11)] {
            let seen = Audited { records, sampled };
            let (n, m) = (u128::from(records), u128::from(sampled));
            // All `m` are good though `b` of `n` are bad: C(n - b, m) / C(n, m), over 1 in 20.
            let unseen = |b: u128| choose(n - b, m) * 20 > choose(n, m);
            let most = (0..=n - m).rev().find(|b| unseen(*b));
            assert_eq!(Some(u128::from(seen.bound().bad)), most, "{seen:?}");
        }
    }

    #[test]
    fn a_share_is_never_said_to_be_better_than_it_is() {
        let words = |records, sampled| Audited { records, sampled }.share();
        assert_eq!(words(100, 10), "at most 24 % bad, 95 % sure");
        assert_eq!(words(1000, 59), "at most 4.8 % bad, 95 % sure");
        // 4 of 10,000 are 0.04 %.
        assert_eq!(words(10_000, 5_000), "at most 0.1 % bad, 95 % sure");
        let asked = Quality { audit: 59, ..Quality::default() }.words();
        assert!(asked[0].ends_with("if all are right, at most 5 % bad, 95 % sure"), "{asked:?}");
    }

    #[test]
    fn an_audit_of_nothing_says_so() {
        let nothing = Audited { records: 7, sampled: 0 };
        assert_eq!(nothing.bound().share(), 1.0);
        assert!(nothing.sentence().contains("says nothing"));
        assert!(Audited { records: 100, sampled: 10 }.sentence().contains("at most 24 of"));
    }

    #[test]
    fn a_check_in_a_listing_is_the_one_that_its_hash_names() {
        let body = "{}".to_owned();
        let hash = Digest(*blake3::hash(body.as_bytes()).as_bytes());
        let pinned = Pinned { body: Some(body), hash };
        let one = Quality { checks: vec![pinned.clone()], ..Quality::default() };
        assert!(one.check().is_ok());
        assert_eq!(one.bare().checks[0].body, None);
        let twice = Quality { checks: vec![pinned.clone(), pinned.clone()], ..one.clone() };
        let other = Pinned { hash: Digest([7; 32]), ..pinned.clone() };
        let wrong = Quality { checks: vec![other], ..one.clone() };
        let greedy = Quality { audit: MOST_AUDITED + 1, ..one };
        assert!([twice, wrong, greedy].iter().all(|quality| quality.check().is_err()));
    }
}

//! Milestones: a job in several parts, one after the other, each with a price, a mode, checks and deadlines
//! of its own. After any of them both sides are free to stop.

use serde::{Deserialize, Serialize};

use crate::market::{
    Deadlines, EscrowTerms, Gig, GigDraft, JudgeTerms, LEAST_PRICE, LONGEST_PHASE, MOST_TRANCHES,
    Mode, Msat, Offer, Pinned, Quality, Refusal, Terms,
};
use crate::text::Raw;

/// The fewest milestones: one alone is a gig like any other.
pub const LEAST_MILESTONES: usize = 2;
/// The most milestones of one job.
pub const MOST_MILESTONES: usize = 16;
/// Bytes of a milestone's title.
pub const LONGEST_MILESTONE_TITLE: usize = 160;

/// One part of a job. In an offer with the bodies of its checks and in one tranche; in a bid as it will be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Milestone {
    /// One line.
    pub title: Raw,
    /// What it pays, in msat.
    pub price: Msat,
    /// How the money moves.
    pub mode: Mode,
    /// How long its phases may take.
    pub deadlines: Deadlines,
    /// In how many equal tranches.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub tranches: u32,
    /// What its delivery is held against.
    #[serde(default, skip_serializing_if = "Quality::is_none")]
    pub quality: Quality,
    /// The escrow; there exactly in that mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escrow: Option<EscrowTerms>,
}

fn one() -> u32 {
    1
}

fn is_one(n: &u32) -> bool {
    *n == 1
}

fn no(code: &str, sentence: String) -> Refusal {
    Refusal::new(code, sentence)
}

impl Milestone {
    /// The same as a bid says it: in so many tranches where it is sealed, and without the bodies of checks.
    pub fn bare(&self, tranches: u32) -> Self {
        let tranches = if self.mode == Mode::Sealed { tranches } else { 1 };
        Self { tranches, quality: self.quality.bare(), ..self.clone() }
    }

    fn check(&self) -> Result<(), Refusal> {
        let title = &self.title.0;
        if title.trim().is_empty() || title.lines().count() > 1 {
            return Err(no("bad-milestone", "A milestone has no title of one line.".into()));
        }
        if title.len() > LONGEST_MILESTONE_TITLE {
            let sentence = format!("A milestone's title is over {LONGEST_MILESTONE_TITLE} bytes.");
            return Err(no("bad-milestone", sentence));
        }
        if self.price < LEAST_PRICE {
            let sentence = format!("A milestone pays less than {LEAST_PRICE}.");
            return Err(no("price-too-small", sentence));
        }
        let parts = self.tranches;
        let possible = (1..=MOST_TRANCHES).contains(&parts)
            && (parts == 1 || self.mode == Mode::Sealed)
            && self.price.tranche(0, parts).is_some_and(|part| part >= LEAST_PRICE);
        if !possible {
            return Err(no("bad-tranches", format!("{parts} tranches are not possible here.")));
        }
        let Deadlines { deliver, pay } = self.deadlines;
        if [deliver, pay].iter().any(|span| span.0 == 0 || *span > LONGEST_PHASE) {
            let sentence = "A deadline of a milestone is nothing or over 90 days.";
            return Err(no("bad-deadlines", sentence.into()));
        }
        match (&self.escrow, self.mode) {
            (Some(terms), Mode::Escrow) => terms.check()?,
            (None, Mode::Sealed | Mode::Direct) => {}
            _ => {
                let sentence = "A milestone has an escrow exactly in that mode.";
                return Err(no("no-escrow", sentence.into()));
            }
        }
        self.quality.check()
    }
}

/// Whether these can be the milestones of one job.
///
/// # Errors
/// The first limit that is passed.
pub fn check_milestones(milestones: &[Milestone]) -> Result<(), Refusal> {
    if milestones.is_empty() {
        return Ok(());
    }
    if !(LEAST_MILESTONES..=MOST_MILESTONES).contains(&milestones.len()) {
        let n = milestones.len();
        let sentence = format!("{n} milestones are not {LEAST_MILESTONES} to {MOST_MILESTONES}.");
        return Err(no("bad-milestones", sentence));
    }
    if total(milestones).is_none() {
        return Err(no("bad-price", "The milestones together pay more than there is.".into()));
    }
    milestones.iter().try_for_each(Milestone::check)
}

/// What all of them pay together.
fn total(milestones: &[Milestone]) -> Option<Msat> {
    milestones.iter().try_fold(Msat::ZERO, |sum, m| sum.checked_add(m.price))
}

/// Their modes, each once, in the order in which they come.
fn modes(milestones: &[Milestone]) -> Vec<Mode> {
    let mut modes = Vec::new();
    for m in milestones {
        if !modes.contains(&m.mode) {
            modes.push(m.mode);
        }
    }
    modes
}

/// The first escrow among them.
fn escrow(milestones: &[Milestone]) -> Option<EscrowTerms> {
    milestones.iter().find_map(|m| m.escrow.clone())
}

fn differs() -> Refusal {
    let sentence = "What stands beside the milestones is not what follows from them.";
    Refusal::new("milestones-differ", sentence)
}

impl GigDraft {
    /// The same gig in these milestones: price, modes, deadlines and escrow follow from them.
    #[must_use]
    pub fn in_milestones(self, milestones: Vec<Milestone>) -> Self {
        let Some(first) = milestones.first() else { return Self { milestones, ..self } };
        Self {
            price: total(&milestones).unwrap_or(Msat::MAX),
            modes: modes(&milestones),
            deadlines: first.deadlines,
            escrow: escrow(&milestones),
            quality: Quality::default(),
            milestones,
            ..self
        }
    }

    /// Adds a check: to a milestone, or where there are none to every delivery.
    pub fn pin(&mut self, milestone: Option<usize>, check: Pinned) {
        let quality = match milestone {
            Some(n) => self.milestones.get_mut(n).map(|m| &mut m.quality),
            None => Some(&mut self.quality),
        };
        if let Some(quality) = quality {
            quality.checks.push(check);
        }
    }

    /// Every escrow of it is before this judge.
    pub fn before(&mut self, judge: JudgeTerms) {
        for m in self.milestones.iter_mut().filter(|m| m.mode == Mode::Escrow) {
            m.escrow.get_or_insert_default().judge = Some(judge);
        }
        match escrow(&self.milestones) {
            Some(first) => self.escrow = Some(first),
            None => self.escrow.get_or_insert_default().judge = Some(judge),
        }
    }

    pub(super) fn check_milestones(&self) -> Result<(), Refusal> {
        check_milestones(&self.milestones)?;
        let whole = self.milestones.iter().all(|m| m.tranches == 1);
        match *self == self.clone().in_milestones(self.milestones.clone()) && whole {
            true => Ok(()),
            false => Err(differs()),
        }
    }
}

impl Offer {
    /// Whether the milestones can be kept, and what stands beside them follows from them: nothing is said
    /// twice in two ways (!).
    ///
    /// # Errors
    /// What does not.
    pub fn check_milestones(&self) -> Result<(), Refusal> {
        let Some(first) = self.milestones.first() else { return Ok(()) };
        check_milestones(&self.milestones)?;
        let follows = Some(self.price) == total(&self.milestones)
            && self.modes == modes(&self.milestones)
            && self.deadlines == first.deadlines
            && self.escrow == escrow(&self.milestones)
            && self.quality.is_none()
            && self.milestones.iter().all(|m| m.tranches == 1);
        if follows { Ok(()) } else { Err(differs()) }
    }

    /// Every check of it, with its body where it stands here.
    pub fn checks(&self) -> impl Iterator<Item = &Pinned> {
        let parts = self.milestones.iter().map(|m| &m.quality);
        std::iter::once(&self.quality).chain(parts).flat_map(|quality| &quality.checks)
    }
}

impl Gig {
    /// Whom it would be judged by, wherever it names a judge.
    pub fn judges(&self) -> impl Iterator<Item = crate::market::JudgeTerms> + '_ {
        let parts = self.offer.milestones.iter().filter_map(|m| m.escrow.as_ref());
        self.offer.escrow.iter().chain(parts).filter_map(|escrow| escrow.judge)
    }
}

impl Terms {
    /// How many parts they are done in: the milestones, or one.
    pub fn count(&self) -> u32 {
        u32::try_from(self.milestones.len()).unwrap_or(u32::MAX).max(1)
    }

    /// What holds while milestone `n` is on: terms like any others, without milestones. Those of a job
    /// without milestones hold for its only part, 0.
    pub fn part(&self, n: u32) -> Option<Self> {
        if self.milestones.is_empty() {
            return (n == 0).then(|| self.clone());
        }
        let m = self.milestones.get(usize::try_from(n).ok()?)?;
        Some(Self {
            mode: m.mode,
            price: m.price,
            tranches: m.tranches,
            deadlines: m.deadlines,
            quality: m.quality.clone(),
            escrow: m.escrow.clone(),
            milestones: Vec::new(),
            ..self.clone()
        })
    }

    /// Every part, in order.
    pub fn parts(&self) -> impl Iterator<Item = Self> + '_ {
        (0..self.count()).filter_map(|n| self.part(n))
    }

    /// The same in these milestones: what stands beside them is the first one's, and the price of all.
    #[must_use]
    pub fn in_milestones(self, milestones: Vec<Milestone>) -> Self {
        let Some(first) = milestones.first() else { return Self { milestones, ..self } };
        Self {
            mode: first.mode,
            price: total(&milestones).unwrap_or(Msat::MAX),
            tranches: first.tranches,
            deadlines: first.deadlines,
            quality: Quality::default(),
            escrow: first.escrow.clone(),
            milestones,
            ..self
        }
    }

    /// Whether the milestones can be kept, and what stands beside them is the first one's (!).
    ///
    /// # Errors
    /// What does not.
    pub fn check_milestones(&self) -> Result<(), Refusal> {
        check_milestones(&self.milestones)?;
        match *self == self.clone().in_milestones(self.milestones.clone()) {
            true => Ok(()),
            false => Err(differs()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::{Network, Span, Work};

    fn sats(n: u64) -> Msat {
        Msat::sats(n).unwrap()
    }

    fn milestone(price: Msat, mode: Mode) -> Milestone {
        Milestone {
            title: Raw("a part".into()),
            price,
            mode,
            deadlines: Deadlines { deliver: Span::DAY, pay: Span::HOUR },
            tranches: 1,
            quality: Quality::default(),
            escrow: (mode == Mode::Escrow).then(EscrowTerms::default),
        }
    }

    fn terms(milestones: Vec<Milestone>) -> Terms {
        let terms = Terms {
            v: 1,
            work: Work::File,
            mode: Mode::Direct,
            price: sats(1),
            tranches: 1,
            max_bytes: 1024,
            deadlines: Deadlines { deliver: Span(1), pay: Span(1) },
            quality: Quality::default(),
            network: Network::Regtest,
            escrow: None,
            milestones: Vec::new(),
        };
        terms.in_milestones(milestones)
    }

    fn three() -> Vec<Milestone> {
        vec![
            milestone(sats(4_000), Mode::Sealed).bare(3),
            milestone(sats(5_000), Mode::Escrow),
            milestone(sats(6_000), Mode::Sealed),
        ]
    }

    #[test]
    fn the_parts_pay_the_price_and_hold_one_at_a_time() {
        let terms = terms(three());
        assert_eq!(terms.check_milestones(), Ok(()));
        assert_eq!((terms.count(), terms.price), (3, sats(15_000)));
        let parts: Vec<Terms> = terms.parts().collect();
        let sum: Msat = parts.iter().map(|part| part.price).sum();
        assert_eq!(sum, terms.price);
        assert_eq!(
            (parts[0].tranches, parts[1].mode, parts[2].escrow.clone()),
            (3, Mode::Escrow, None)
        );
        assert!(parts.iter().all(|part| part.milestones.is_empty() && part.count() == 1));
        assert_eq!(terms.part(3), None);
        // Of a job without milestones there is one part, and it is the whole.
        assert_eq!((parts[0].part(0).as_ref(), parts[0].part(1)), (Some(&parts[0]), None));
    }

    #[test]
    fn what_cannot_be_kept_is_refused() {
        let code = |change: fn(&mut Vec<Milestone>)| {
            let mut milestones = three();
            change(&mut milestones);
            check_milestones(&milestones).unwrap_err().code
        };
        assert_eq!(code(|m| m.truncate(1)), "bad-milestones");
        assert_eq!(code(|m| *m = vec![m[2].clone(); 17]), "bad-milestones");
        assert_eq!(code(|m| m[0].price = Msat::MAX), "bad-price");
        assert_eq!(code(|m| m[1].price = Msat::ZERO), "price-too-small");
        assert_eq!(code(|m| m[1].price = sats(999)), "price-too-small");
        assert_eq!(code(|m| m[0].tranches = 5), "bad-tranches");
        assert_eq!(code(|m| m[0].tranches = 0), "bad-tranches");
        assert_eq!(code(|m| m[1].tranches = 2), "bad-tranches");
        assert_eq!(code(|m| m[2].title.0 = " ".into()), "bad-milestone");
        assert_eq!(code(|m| m[2].title.0 = "x".repeat(161)), "bad-milestone");
        assert_eq!(code(|m| m[2].deadlines.pay = Span(0)), "bad-deadlines");
        assert_eq!(code(|m| m[1].escrow = None), "no-escrow");
        assert_eq!(code(|m| m[2].escrow = Some(EscrowTerms::default())), "no-escrow");
        assert_eq!(
            code(|m| m[1].escrow = Some(EscrowTerms { window: 1, judge: None })),
            "bad-window"
        );
        assert_eq!(code(|m| m[0].quality.audit = u64::MAX), "bad-quality");
    }

    #[test]
    fn nothing_is_said_twice_in_two_ways() {
        let code = |change: fn(&mut Terms)| {
            let mut terms = terms(three());
            change(&mut terms);
            terms.check_milestones().unwrap_err().code
        };
        assert_eq!(code(|t| t.price = sats(14_999)), "milestones-differ");
        assert_eq!(code(|t| t.mode = Mode::Direct), "milestones-differ");
        assert_eq!(code(|t| t.tranches = 1), "milestones-differ");
        assert_eq!(code(|t| t.deadlines.deliver = Span(7)), "milestones-differ");
        assert_eq!(code(|t| t.quality.audit = 1), "milestones-differ");
        assert_eq!(code(|t| t.escrow = Some(EscrowTerms::default())), "milestones-differ");
    }
}

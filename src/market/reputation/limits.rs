//! How much of ours somebody may hold: for a stranger what we say, for others more, by their standing.

use serde::{Deserialize, Serialize};

use crate::market::{Job, Mode, Msat, Phase, Refusal, Role, Standing, Terms, largest_loss};

/// What we set ourselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// The most that one part of a sealed price may be with somebody of whom nothing is known.
    pub tranche: Msat,
    /// The most that is delivered in the open to such a one.
    pub direct: Msat,
    /// The most that is locked with such a one, on either side.
    pub escrow: Msat,
    /// Whether our identity signs receipts of settled jobs, and they are published.
    pub receipts: bool,
}

const fn sats(sats: u64) -> Msat {
    match Msat::sats(sats) {
        Some(amount) => amount,
        None => Msat::ZERO,
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            tranche: sats(250_000),
            direct: sats(250_000),
            escrow: sats(1_000_000),
            receipts: false,
        }
    }
}

/// With a score of 100 a limit is so many times that of a stranger.
const MOST_TIMES: u64 = 20;

impl Policy {
    /// What somebody of this standing may hold.
    pub fn limits(&self, of: &Standing) -> Limits {
        let proven = of.convicted;
        let score = of.score.min(100);
        // From once to MOST_TIMES as much, in a straight line, in parts per million.
        let ppm = 1_000_000 + u64::from(score) * (MOST_TIMES - 1) * 10_000;
        let times = |base: Msat| if proven { Msat::ZERO } else { base.ppm(ppm) };
        Limits {
            tranche: times(self.tranche),
            direct: times(self.direct),
            escrow: times(self.escrow),
            score,
            proven,
        }
    }
}

/// How much of ours one person may hold, in all jobs with it together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Limits {
    /// One part of each sealed price: what we lose to keys that open nothing.
    pub tranche: Msat,
    /// Prices that are paid only after the work is out.
    pub direct: Msat,
    /// What is locked in escrows.
    pub escrow: Msat,
    /// From 0 to 100.
    pub score: u32,
    /// Something is proven against them.
    pub proven: bool,
}

impl std::fmt::Display for Limits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { tranche, direct, escrow, .. } = self;
        match self.proven {
            true => f.write_str("nothing of yours"),
            false => {
                write!(f, "one sealed part {tranche}, in the open {direct}, in escrow {escrow}")
            }
        }
    }
}

impl Limits {
    /// No limit at all.
    pub const NONE: Self = Self {
        tranche: Msat::MAX,
        direct: Msat::MAX,
        escrow: Msat::MAX,
        score: 100,
        proven: false,
    };

    /// Whether we let this person work for us on these terms, beside what is open with it.
    ///
    /// # Errors
    /// `over-limit` or `proven-fraud`: the limit, and why it is that.
    pub fn lets_pay(&self, terms: &Terms, open: &Exposure) -> Result<(), Refusal> {
        self.unproven("Nothing was sent.", "Award another bid.")?;
        terms.parts().try_for_each(|part| self.lets_pay_part(&part, open))
    }

    /// Whether money may go to this person for what is agreed already. Only a proof stops it: what was within
    /// the limits when it was agreed is paid, whatever became of their standing since. `safe` says what did not
    /// happen.
    ///
    /// # Errors
    /// `proven-fraud`.
    pub fn lets_go_on(&self, safe: &str) -> Result<(), Refusal> {
        self.unproven(safe, "Cancel the job, or let it end by itself.")
    }

    fn unproven(&self, safe: &str, next: &str) -> Result<(), Refusal> {
        if !self.proven {
            return Ok(());
        }
        let sentence =
            format!("A proof stands against this person, or it cheated you before. {safe}");
        Err(Refusal::new("proven-fraud", sentence)
            .next(format!("{next} `earnest people KEY` shows what is proven.")))
    }

    fn lets_pay_part(&self, terms: &Terms, open: &Exposure) -> Result<(), Refusal> {
        match terms.mode {
            Mode::Sealed => {
                let sums = [largest_loss(terms), open.tranche, self.tranche];
                let next = "Ask for a bid in more parts, or raise limits.tranche_sats.";
                self.within(sums, "One part of this price is", next)
            }
            Mode::Escrow => {
                let next = "Award a cheaper bid, or raise limits.escrow_sats.";
                self.within([terms.price, open.escrow, self.escrow], "This would lock", next)
            }
            // It is seen before it is paid.
            Mode::Direct => Ok(()),
        }
    }

    /// Whether we work for this person on these terms, beside what is open with it.
    ///
    /// # Errors
    /// As [`Limits::lets_pay`].
    pub fn lets_work(&self, terms: &Terms, open: &Exposure) -> Result<(), Refusal> {
        terms.parts().try_for_each(|part| self.lets_work_part(&part, open))
    }

    fn lets_work_part(&self, terms: &Terms, open: &Exposure) -> Result<(), Refusal> {
        match terms.mode {
            // Nothing is out before it is paid.
            Mode::Sealed => Ok(()),
            Mode::Direct => {
                let next = "Bid sealed, where the gig allows it, or raise limits.direct_sats.";
                let what = "In the open you would trust them with";
                self.within([terms.price, open.direct, self.direct], what, next)
            }
            Mode::Escrow => {
                let next = "Bid less, or raise limits.escrow_sats.";
                self.within([terms.price, open.escrow, self.escrow], "This would lock", next)
            }
        }
    }

    fn within(
        &self,
        [amount, open, limit]: [Msat; 3],
        what: &str,
        next: &str,
    ) -> Result<(), Refusal> {
        if amount.checked_add(open).is_some_and(|sum| sum <= limit) {
            return Ok(());
        }
        let why = match (self.proven, self.score) {
            (true, _) => "a proof stands against this person".to_owned(),
            (false, 0) => "nothing is known of this person".to_owned(),
            (false, score) => format!("its standing with you is {score} of 100"),
        };
        let (beside, next) = match open {
            Msat::ZERO => (String::new(), next.to_owned()),
            open => (
                format!(", {open} are open with this person already"),
                format!("Bring a job with this person to its end first. {next}"),
            ),
        };
        let sentence = format!(
            "{what} {amount}{beside}, and the limit here is {limit}: {why}. Nothing was sent."
        );
        Err(Refusal::new("over-limit", sentence).next(next))
    }
}

/// What one person holds of ours by what is open with it, or comes to hold when it goes on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Exposure {
    /// One part of each sealed price.
    pub tranche: Msat,
    /// Prices of work that is handed over in the open.
    pub direct: Msat,
    /// What is locked.
    pub escrow: Msat,
}

impl Exposure {
    /// Of these jobs together.
    pub fn of<'a>(jobs: impl Iterator<Item = &'a Job>) -> Self {
        jobs.map(Self::of_job).fold(Self::default(), |sum, one| Self {
            tranche: [sum.tranche, one.tranche].into_iter().sum(),
            direct: [sum.direct, one.direct].into_iter().sum(),
            escrow: [sum.escrow, one.escrow].into_iter().sum(),
        })
    }

    /// Of a job by the largest of what is left of it: its milestones, and the parts of a price, come one after
    /// the other.
    fn of_job(job: &Job) -> Self {
        let mut most = Self::default();
        let bound = match job.role {
            Role::Requester => {
                job.job.is_some() && (!job.phase.is_over() || !job.payments().is_empty())
            }
            // A bid binds whoever made it for as long as it can be awarded.
            Role::Worker => !job.phase.is_over() && job.phase != Phase::Declined,
        };
        if !bound {
            return most;
        }
        for part in (job.milestone..job.milestones()).filter_map(|n| job.agreed().part(n)) {
            match (part.mode, job.role) {
                (Mode::Sealed, Role::Requester) => {
                    most.tranche = most.tranche.max(largest_loss(&part));
                }
                (Mode::Direct, Role::Worker) => most.direct = most.direct.max(part.price),
                (Mode::Escrow, _) => most.escrow = most.escrow.max(part.price),
                (Mode::Sealed, Role::Worker) | (Mode::Direct, Role::Requester) => {}
            }
        }
        most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(score: u32) -> Limits {
        Policy::default().limits(&Standing { score, ..Standing::default() })
    }

    #[test]
    fn a_limit_grows_with_standing_and_ends_with_a_proof() {
        assert_eq!(with(0).tranche, Policy::default().tranche);
        assert!(with(50).tranche > with(10).tranche);
        assert_eq!(with(100).tranche, sats(5_000_000));
        let proven = Standing { convicted: true, ..Standing::default() };
        let limits = Policy::default().limits(&proven);
        assert_eq!((limits.tranche, limits.direct, limits.proven), (Msat::ZERO, Msat::ZERO, true));
    }
}

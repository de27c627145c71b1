//! How much of ours somebody may hold: for a stranger what we say, for others more, by their standing.

use serde::{Deserialize, Serialize};

use crate::market::{Mode, Msat, Refusal, Standing, Terms, largest_loss};

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

/// How much of ours one person may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Limits {
    /// One part of a sealed price: what we lose to a key that opens nothing.
    pub tranche: Msat,
    /// A price that is paid only after the work is out.
    pub direct: Msat,
    /// What is locked in an escrow.
    pub escrow: Msat,
    /// From 0 to 100.
    pub score: u32,
    /// Something is proven against them.
    pub proven: bool,
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

    /// Whether we let this person work for us on these terms.
    ///
    /// # Errors
    /// `over-limit` or `proven-fraud`: the limit, and why it is that.
    pub fn lets_pay(&self, terms: &Terms) -> Result<(), Refusal> {
        if self.proven {
            let sentence =
                "A proof stands against this person, or it cheated you before. Nothing was sent.";
            return Err(Refusal::new("proven-fraud", sentence)
                .next("Award another bid. `earnest people KEY` shows what is proven."));
        }
        terms.parts().try_for_each(|part| self.lets_pay_part(&part))
    }

    fn lets_pay_part(&self, terms: &Terms) -> Result<(), Refusal> {
        match terms.mode {
            Mode::Sealed => {
                let part = largest_loss(terms);
                let next = "Ask for a bid in more parts, or raise limits.tranche_sats.";
                self.within(part, self.tranche, "One part of this price is", next)
            }
            Mode::Escrow => {
                let next = "Award a cheaper bid, or raise limits.escrow_sats.";
                self.within(terms.price, self.escrow, "This would lock", next)
            }
            // It is seen before it is paid.
            Mode::Direct => Ok(()),
        }
    }

    /// Whether we work for this person on these terms.
    ///
    /// # Errors
    /// As [`Limits::lets_pay`].
    pub fn lets_work(&self, terms: &Terms) -> Result<(), Refusal> {
        terms.parts().try_for_each(|part| self.lets_work_part(&part))
    }

    fn lets_work_part(&self, terms: &Terms) -> Result<(), Refusal> {
        match terms.mode {
            // Nothing is out before it is paid.
            Mode::Sealed => Ok(()),
            Mode::Direct => {
                let next = "Bid sealed, where the gig allows it, or raise limits.direct_sats.";
                self.within(terms.price, self.direct, "In the open you would trust them with", next)
            }
            Mode::Escrow => {
                let next = "Bid less, or raise limits.escrow_sats.";
                self.within(terms.price, self.escrow, "This would lock", next)
            }
        }
    }

    fn within(&self, amount: Msat, limit: Msat, what: &str, next: &str) -> Result<(), Refusal> {
        if amount <= limit {
            return Ok(());
        }
        let why = match (self.proven, self.score) {
            (true, _) => "a proof stands against this person".to_owned(),
            (false, 0) => "nothing is known of this person".to_owned(),
            (false, score) => format!("its standing with you is {score} of 100"),
        };
        let sentence =
            format!("{what} {amount}, and the limit here is {limit}: {why}. Nothing was sent.");
        Err(Refusal::new("over-limit", sentence).next(next))
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

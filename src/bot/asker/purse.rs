//! What may still be promised: what the node can send and has not promised, the budget, and the policy's own
//! total.

use super::add;
use super::book::Book;
use super::standing::Standing;
use crate::engine::{BudgetView, JobView, Snapshot};
use crate::market::{Budget, LEAST_PRICE, MOST_TRANCHES, Mode, Msat, Phase, Span, Time};

/// What there is too little of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Short {
    /// What the policy lets all of it cost.
    Total,
    /// What automation may promise at once.
    AtRisk,
    /// What an hour may cost.
    Hour,
    /// What a day may cost.
    Day,
    /// What the node can send.
    Node,
}

impl Short {
    /// What is waited for, and what would end it.
    pub fn why(self) -> &'static str {
        match self {
            Self::Total => {
                "the policy's total has no room beside the jobs that are open: it goes on when one ends for less"
            }
            Self::AtRisk => {
                "automation may promise no more at once (bot.at_risk_sats): it goes on when an open job is over"
            }
            Self::Hour => "automation may spend no more in this hour (bot.per_hour_sats)",
            Self::Day => "automation may spend no more in this day (bot.per_day_sats)",
            Self::Node => {
                "the node cannot send more beside what is promised: it goes on when a job is over or a channel has more"
            }
        }
    }
}

/// Something that cannot be promised now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lack {
    pub(super) of: Short,
    /// What is needed.
    pub(super) cost: Msat,
    /// How much of it is missing.
    missing: Msat,
}

impl Lack {
    /// When there is room at the latest, if nothing more is promised; `None` where that is not for time to say.
    pub(super) fn until(&self, book: &Book, now: Time) -> Option<Time> {
        let span = match self.of {
            Short::Hour => Span::HOUR,
            Short::Day => Span::DAY,
            Short::Total | Short::AtRisk | Short::Node => return None,
        };
        // A job stands where it does since its payment, or later: no room is promised too early.
        let mut freed = Msat::ZERO;
        let enough = book.paid_within(span, now).find(|(_, amount)| {
            freed = add(freed, *amount);
            freed >= self.missing
        });
        enough.map(|(at, _)| at.after(span))
    }
}

/// What is left of each limit.
pub(super) struct Purse<'a> {
    budget: &'a Budget,
    rooms: [(Short, Msat); 5],
    /// What open gigs will cost once they are awarded.
    offered: Msat,
}

impl<'a> Purse<'a> {
    pub(super) fn of(
        snapshot: &Snapshot,
        view: &'a BudgetView,
        total: Option<Msat>,
        standing: &Standing<'_>,
    ) -> Self {
        let have = snapshot.node.as_ref().map_or(Msat::ZERO, |n| n.balances.lightning_spendable);
        // A twentieth stays for fees and for what is on its way.
        let free = have.saturating_sub(snapshot.reserved).saturating_sub(have.ppm(50_000));
        let b = &view.budget;
        let used = |paid: Msat| add(view.at_risk, paid);
        Self {
            budget: b,
            rooms: [
                (Short::Total, total.map_or(Msat::MAX, |t| t.saturating_sub(standing.spent))),
                (Short::AtRisk, b.at_risk.saturating_sub(view.at_risk)),
                (Short::Hour, b.per_hour.saturating_sub(used(view.hour))),
                (Short::Day, b.per_day.saturating_sub(used(view.day))),
                (Short::Node, free),
            ],
            offered: standing.offered,
        }
    }

    /// Whether the total would not pay this, whatever else is over.
    pub(super) fn total_is_spent(&self, price: Msat) -> bool {
        let total = self.rooms.iter().find(|(of, _)| *of == Short::Total);
        total.is_some_and(|(_, left)| *left < rest(self.budget, price, 1, 0))
    }

    /// One more gig, if there is room for it beside those that are open.
    pub(super) fn offer(&mut self, price: Msat) -> Result<(), Lack> {
        let offered = add(self.offered, rest(self.budget, price, 1, 0));
        self.fits(offered)?;
        self.offered = offered;
        Ok(())
    }

    /// Sets aside what a job may cost. Gigs that are only open wait.
    pub(super) fn promise(&mut self, price: Msat, tranches: u32) -> Result<(), Lack> {
        let cost = rest(self.budget, price, tranches, 0);
        self.fits(cost)?;
        for (_, left) in &mut self.rooms {
            *left = left.saturating_sub(cost);
        }
        Ok(())
    }

    fn fits(&self, cost: Msat) -> Result<(), Lack> {
        match self.rooms.iter().find(|(_, left)| *left < cost) {
            None => Ok(()),
            Some((of, left)) => Err(Lack { of: *of, cost, missing: cost.saturating_sub(*left) }),
        }
    }
}

/// What the tranches that are not paid may cost, each with the most for routing it.
pub(in super::super) fn rest(budget: &Budget, price: Msat, tranches: u32, paid: u32) -> Msat {
    let all = tranches.max(1);
    let parts = (paid..all).filter_map(|t| price.tranche(t, all));
    parts.map(|part| add(part, budget.most_fee(part))).sum()
}

/// The most that one job of this price can cost: a worker may ask for it in as many parts as there can be.
pub(super) fn dearest(budget: &Budget, price: Msat, modes: &[Mode]) -> Msat {
    let parts = match modes.contains(&Mode::Sealed) {
        true => u32::try_from(price.get() / LEAST_PRICE.get()).unwrap_or(MOST_TRANCHES),
        false => 1,
    };
    rest(budget, price, parts.clamp(1, MOST_TRANCHES), 0)
}

/// What a job has cost so far, routing included.
pub(super) fn spent(job: &JobView) -> Msat {
    if let Some(escrow) = &job.escrow {
        let paid = job.phase == Phase::Settled;
        return if paid { add(job.price, escrow.fee) } else { Msat::ZERO };
    }
    let Some(delivery) = &job.delivery else { return Msat::ZERO };
    let parts = (0..delivery.paid).filter_map(|t| job.price.tranche(t, job.tranches));
    add(parts.sum(), delivery.fee)
}

/// What a job may still cost, routing included.
pub(super) fn owed(budget: &Budget, job: &JobView) -> Msat {
    match &job.escrow {
        Some(_) if job.phase == Phase::Settled => Msat::ZERO,
        // What is locked may be taken, whatever else is over.
        Some(escrow) if is_active(job) || escrow.locked => rest(budget, job.price, 1, 0),
        None if is_active(job) => {
            let paid = job.delivery.as_ref().map_or(0, |delivery| delivery.paid);
            rest(budget, job.price, job.tranches, paid)
        }
        _ => Msat::ZERO,
    }
}

/// Whether it is awarded and not over.
pub(super) fn is_active(job: &JobView) -> bool {
    !job.phase.is_over() && !matches!(job.phase, Phase::Bid | Phase::Declined)
}

//! What is promised, on its way or to come, added up over the jobs that may still do something.

use super::*;

impl<S: Store> Core<S> {
    /// What other jobs have accepted to pay and the node does not show as spent yet.
    pub(super) fn in_flight(&self, except: &Job) -> Msat {
        let accepted = self.live().filter(|job| {
            let accepted = match &job.escrow {
                Some(escrow) => escrow.wanted.is_some() && job.phase == Phase::Awarded,
                None => job.phase == Phase::Accepted,
            };
            job.id != except.id && job.role == Role::Requester && accepted
        });
        accepted
            .filter_map(|job| {
                if job.escrow.is_some() {
                    return Some(job.terms().price);
                }
                let t = job.attempt.as_ref()?.next_unpaid();
                job.terms().price.tranche(t, job.terms().tranches)
            })
            .sum()
    }

    /// What jobs and bids of ours as a worker may still bring.
    pub(super) fn expected(&self) -> Msat {
        let open = self.live().filter(|job| {
            let waits = !job.phase.is_over() && job.phase != Phase::Declined;
            job.role == Role::Worker && waits
        });
        open.map(|job| job.agreed().price.saturating_sub(job.received())).sum()
    }

    /// What is promised and not paid: awarded jobs of ours as a requester.
    pub fn reserved(&self) -> Msat {
        let open = self
            .live()
            .filter(|job| job.role == Role::Requester && job.job.is_some() && !job.phase.is_over());
        // What is locked in escrow the node itself does not show as ours to spend any more.
        let locked = |job: &Job| match &job.escrow {
            Some(escrow) if escrow.is_locked() => job.terms().price,
            _ => Msat::ZERO,
        };
        let promised =
            |job: &Job| job.agreed().price.saturating_sub(job.paid()).saturating_sub(locked(job));
        open.map(promised).sum()
    }
}

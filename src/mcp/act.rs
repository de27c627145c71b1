//! Tools that act on a job, each one verb of the market.

use serde_json::json;

use crate::engine::{Command, JobView};
use crate::market::{Mode, Msat, Verb};
use crate::mcp::ask::{Award, Because, Note, OfGig, OfJob, Pay, Rate};
use crate::mcp::desk::{self, Desk, Done, No};
use crate::mcp::quote::amount;

impl Desk {
    /// Gives the job to a bidder.
    pub(super) async fn award_job(&self, ask: Award) -> Done {
        let job = self.may(&ask.job, Verb::Award)?;
        let most = amount(ask.max_price_sats)?;
        if job.price > most {
            let said = format!(
                "This bid asks {}, which is more than the {most} that you mean to pay.",
                job.price
            );
            return Err(No::new("over-max-price", said));
        }
        let would =
            format!("Award the job to this bidder, promising {}. No money moves now.", job.price);
        self.act(would, Command::Award { job: job.id }).await
    }

    /// Says no to a bid.
    pub(super) async fn decline_bid(&self, ask: Because) -> Done {
        let job = self.may(&ask.job, Verb::Decline)?;
        let command = Command::Decline { job: job.id, reason: ask.reason };
        self.act("Decline this bid.".into(), command).await
    }

    /// Locks the money of a job in escrow.
    pub(super) async fn fund_escrow(&self, ask: Pay) -> Done {
        let job = self.may(&ask.job, Verb::Fund)?;
        let max_fee = self.within(&job, job.price, 1, ask.max_total_sats).await?;
        let would =
            format!("Lock {} at the worker's node, and at most {max_fee} for routing.", job.price);
        self.act(would, Command::Fund { job: job.id, max_fee }).await
    }

    /// Pays for a delivery; in escrow, releases what is locked.
    pub(super) async fn approve_and_pay(&self, ask: Pay) -> Done {
        let job = self.may(&ask.job, Verb::Accept)?;
        if job.mode == Mode::Escrow {
            self.within(&job, job.price, 0, ask.max_total_sats).await?;
            let would = format!("Release {}, which are locked for this job.", job.price);
            return self.act(would, Command::Accept { job: job.id, max_fee: Msat::ZERO }).await;
        }
        let paid = job.delivery.as_ref().map_or(0, |delivery| delivery.paid);
        let parts = paid..job.tranches;
        let count = u32::try_from(parts.len()).unwrap_or(u32::MAX);
        let left: Msat = parts.filter_map(|t| job.price.tranche(t, job.tranches)).sum();
        let max_fee = self.within(&job, left, count, ask.max_total_sats).await?;
        let would = format!("Pay {left}, and at most {max_fee} for routing each of {count} parts.");
        self.act(would, Command::Accept { job: job.id, max_fee }).await
    }

    /// The most for routing one part, so that all stays within what the caller said.
    async fn within(&self, job: &JobView, left: Msat, parts: u32, most: u64) -> Result<Msat, No> {
        let most = amount(most)?;
        let Some(spare) = most.checked_sub(left) else {
            let said = format!(
                "{left} are to be paid for this job, which is more than the {most} that you allow."
            );
            return Err(No::new("over-max-total", said));
        };
        let each =
            spare.get().checked_div(u64::from(parts)).and_then(Msat::new).unwrap_or_default();
        let part = job.price.tranche(0, job.tranches).unwrap_or(job.price);
        let budget = self.handle.budget().await?.budget;
        Ok(self.options.routing(part).min(budget.most_fee(part)).min(each))
    }

    /// Sends a delivery back.
    pub(super) async fn reject_delivery(&self, ask: Because) -> Done {
        let job = self.may(&ask.job, Verb::Reject)?;
        if ask.reason.trim().is_empty() {
            let said = "Say what is missing, so that the worker can mend it.";
            return Err(No::new("no-reason", said));
        }
        let command = Command::Reject { job: job.id, reason: ask.reason };
        self.act("Send the delivery back. Nothing is paid.".into(), command).await
    }

    /// What there is against a worker who cheated.
    pub(super) async fn dispute(&self, ask: OfJob) -> Done {
        let job = self.job(&ask.job)?;
        let Some(proof) = job.delivery.as_ref().and_then(|d| d.proof.as_ref()) else {
            let said = "There is no proof of fraud in this job: every key that was paid opened what was \
                        signed. What is merely bad is sent back before it is paid.";
            return Err(No::new("no-proof", said).next("reject_delivery").next("rate_job"));
        };
        Ok(json!({
            "job": job.id,
            "proof": proof,
            "note": "The proof is published under your identity by itself. Anybody can judge it: earnest verify-proof FILE.",
        }))
    }

    /// Stops a job.
    pub(super) async fn cancel_job(&self, ask: Because) -> Done {
        let job = self.may(&ask.job, Verb::Cancel)?;
        let command = Command::Cancel { job: job.id, reason: ask.reason };
        self.act("Cancel this job.".into(), command).await
    }

    /// Says something.
    pub(super) async fn send_note(&self, ask: Note) -> Done {
        let job = self.may(&ask.job, Verb::Note)?;
        let command = Command::Note { job: job.id, text: ask.text };
        self.act("Send this note, signed by you.".into(), command).await
    }

    /// Stars.
    pub(super) async fn rate_job(&self, ask: Rate) -> Done {
        let job = self.may(&ask.job, Verb::Rate)?;
        if !(1..=5).contains(&ask.stars) {
            return Err(No::new("bad-stars", "Stars are from 1 to 5."));
        }
        let command = Command::Rate { job: job.id, stars: ask.stars, comment: ask.comment };
        self.act(format!("Give {} of 5 stars.", ask.stars), command).await
    }

    /// Takes no more bids.
    pub(super) async fn close_gig(&self, ask: OfGig) -> Done {
        let post = self.gig(&ask.gig)?;
        let command = Command::Close { gig: post.gig.id };
        if self.options.dry_run {
            return Ok(desk::dry("Take no more bids on this gig.".into()));
        }
        self.handle.ask(command).await?;
        Ok(json!({"dry_run": false, "gig": post.id, "done": "No more bids are taken."}))
    }
}

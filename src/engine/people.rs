//! People for eyes: what our own jobs say about each. Never what anybody says about themselves.

use serde::{Deserialize, Serialize};

use crate::market::{Job, Limits, Msat, Phase, Pubkey, Role, Standing, Time};

/// The most people in one answer.
pub const MOST_PEOPLE: usize = 500;
/// The most that can be muted.
pub const MOST_MUTED: usize = 10_000;

/// Somebody we had to do with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PersonView {
    /// Their identity.
    pub key: Pubkey,
    /// Since when their gigs and bids are not shown, if they are not.
    pub muted: Option<Time>,
    /// Bids between us that were never awarded.
    pub bids: u32,
    /// Jobs that they did for us.
    pub worked: u32,
    /// Jobs that we did for them.
    pub gave: u32,
    /// Jobs of either kind that are not over.
    pub open: u32,
    /// Jobs of either kind that ended paid and opened.
    pub settled: u32,
    /// Jobs in which we caught them: a key that did not open what they had signed, or paid work that failed a check.
    pub cheats: u32,
    /// Jobs in which they signed two records with one number.
    pub equivocations: u32,
    /// What we paid them, without routing fees.
    pub paid: Msat,
    /// What came from them.
    pub received: Msat,
    /// When they last said anything to us, by our clock.
    pub heard_at: Option<Time>,
    /// What their record is worth to us; there where one person is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standing: Option<Standing>,
    /// How much of ours they may hold; likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
}

/// Somebody whose gigs and bids are not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MuteView {
    /// Their identity.
    pub key: Pubkey,
    /// Since when.
    pub at: Time,
}

impl PersonView {
    /// Somebody of whom nothing is known.
    pub fn of(key: Pubkey) -> Self {
        Self {
            key,
            muted: None,
            bids: 0,
            worked: 0,
            gave: 0,
            open: 0,
            settled: 0,
            cheats: 0,
            equivocations: 0,
            paid: Msat::ZERO,
            received: Msat::ZERO,
            heard_at: None,
            standing: None,
            limits: None,
        }
    }

    /// Adds what one job with them says.
    pub fn count(&mut self, job: &Job) {
        self.heard_at = self.heard_at.max(job.heard_at);
        if job.job.is_none() {
            self.bids += 1;
            return;
        }
        match job.role {
            Role::Requester => self.worked += 1,
            Role::Worker => self.gave += 1,
        }
        self.open += u32::from(!job.phase.is_over());
        self.settled += u32::from(job.phase == Phase::Settled);
        self.cheats += u32::from(job.caught());
        self.equivocations += u32::from(job.equivocated);
        self.paid = [self.paid, job.paid()].into_iter().sum();
        self.received = [self.received, job.received()].into_iter().sum();
    }
}

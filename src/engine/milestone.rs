//! The milestones of a gig or a job, for eyes.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::engine::JobView;
use crate::market::{Digest, Job, Milestone, Mode, Msat, Phase};
use crate::text::{Clean, Limit};

/// Where a milestone stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MilestoneStage {
    /// It comes later, or is only offered.
    Next,
    /// It is on.
    Now,
    /// It is paid.
    Paid,
    /// The job ended before it was paid.
    Left,
}

impl MilestoneStage {
    /// One word for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Now => "now",
            Self::Paid => "paid",
            Self::Left => "left",
        }
    }
}

/// One milestone, for eyes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct MilestoneView {
    /// One line.
    pub title: Clean,
    /// What it pays.
    pub price: Msat,
    /// How.
    pub mode: Mode,
    /// In how many parts.
    pub tranches: u32,
    /// Seconds from its beginning to a delivery.
    pub deliver_secs: u64,
    /// Seconds from a delivery to its payment; in escrow, from its beginning to the lock.
    pub pay_secs: u64,
    /// Blocks that its escrow lasts; absent where it is none.
    pub window: Option<u32>,
    /// What its delivery is held against, in words.
    pub quality: Vec<String>,
    /// Where it stands.
    pub stage: MilestoneStage,
    /// Where its plaintext lies here, once it is paid.
    pub output: Option<PathBuf>,
    /// BLAKE3 of that.
    pub digest: Option<Digest>,
    /// Requester: routing fees paid for it.
    pub fee: Msat,
    /// Worker: what came in for it.
    pub received: Msat,
    /// Worker: what the LSP kept of it.
    pub lsp_fee: Msat,
}

impl MilestoneView {
    /// As a gig offers it.
    pub fn offered(m: &Milestone) -> Self {
        Self {
            title: m.title.clean(Limit::TITLE),
            price: m.price,
            mode: m.mode,
            tranches: m.tranches,
            deliver_secs: m.deadlines.deliver.0,
            pay_secs: m.deadlines.pay.0,
            window: m.escrow.as_ref().map(|escrow| escrow.window),
            quality: m.quality.words(),
            stage: MilestoneStage::Next,
            output: None,
            digest: None,
            fee: Msat::ZERO,
            received: Msat::ZERO,
            lsp_fee: Msat::ZERO,
        }
    }

    /// All of a job.
    pub fn all(job: &Job) -> Vec<Self> {
        let now = usize::try_from(job.milestone).unwrap_or(usize::MAX);
        let done = job.done(job.since);
        let view = |(n, m): (usize, &Milestone)| {
            let offered = Self::offered(m);
            let paid = matches!(job.phase, Phase::Reached | Phase::Settled);
            let last = done.as_ref().filter(|_| n == now && paid);
            if let Some(past) = job.past.get(n).or(last) {
                return Self {
                    stage: MilestoneStage::Paid,
                    output: past.output.clone(),
                    digest: past.digest,
                    fee: past.fee,
                    received: past.received,
                    lsp_fee: past.lsp_fee,
                    ..offered
                };
            }
            let stage = match job.phase.is_over() {
                true => MilestoneStage::Left,
                false if n == now && job.job.is_some() => MilestoneStage::Now,
                false => MilestoneStage::Next,
            };
            // In escrow the work is read before it is paid.
            let output = job.attempt.as_ref().and_then(|work| work.output.clone());
            Self { stage, output: output.filter(|_| n == now), ..offered }
        };
        job.agreed().milestones.iter().enumerate().map(view).collect()
    }

    /// The line of one in a list: number, title, price, mode and where it stands.
    pub fn line(&self, n: usize) -> String {
        let title = self.title.or("(no title)");
        let parts = match self.tranches {
            1 => String::new(),
            parts => format!(" in {parts} parts"),
        };
        let window =
            self.window.map(|blocks| format!(", held {blocks} blocks")).unwrap_or_default();
        let stage = match self.stage {
            MilestoneStage::Next => "",
            MilestoneStage::Now => " [now]",
            MilestoneStage::Paid => " [paid]",
            MilestoneStage::Left => " [left]",
        };
        format!("{}. {title}: {}, {}{parts}{window}{stage}", n + 1, self.price, self.mode.word())
    }
}

impl JobView {
    /// What the job pays in all.
    pub fn whole(&self) -> Msat {
        match self.milestones.is_empty() {
            true => self.price,
            false => self.milestones.iter().map(|m| m.price).sum(),
        }
    }

    /// What of it is paid, of a job that is settled.
    pub fn settled_price(&self) -> Msat {
        let paid = |m: &&MilestoneView| m.stage == MilestoneStage::Paid;
        match self.milestones.is_empty() {
            true => self.price,
            false => self.milestones.iter().filter(paid).map(|m| m.price).sum(),
        }
    }
}

/// Which milestone is on, for a person: "2 of 3"; `None` where there are none, or none is on.
pub fn milestone_on(milestones: &[MilestoneView]) -> Option<String> {
    let now = milestones.iter().position(|m| m.stage == MilestoneStage::Now)?;
    Some(format!("{} of {}", now + 1, milestones.len()))
}

//! Stories: one whole course of events on the real parts, step by step, that asserts by asking the parts.
//! Demo, documentation and acceptance test at once.

mod agent;
mod audit;
mod bots;
mod cheat;
mod check;
mod course;
mod crash;
mod crash_bot;
mod crook;
mod escrow;
mod first_job;
mod harvest;
mod judge;
mod load;
mod milestones;
mod nwc;
mod sabotage;
mod tranches;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context as _;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::market::{Deadlines, GigDraft, Mode, Msat, Quality, Span, Time, Work};
use crate::sandbox::Fronts;
use crate::sandbox::world::{Purse, now, sats};

pub(super) use sabotage::Sabotage;

/// A story that can be played.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Story {
    /// What it is called.
    pub name: &'static str,
    /// What it shows.
    pub about: &'static str,
    /// Ways to break it: name, and what is broken.
    pub breaks: &'static [(&'static str, &'static str)],
}

/// Every story.
pub fn list() -> Vec<Story> {
    vec![
        first_job::STORY,
        tranches::STORY,
        audit::STORY,
        cheat::STORY,
        check::STORY,
        escrow::STORY,
        escrow::TIMEOUT,
        judge::STORY,
        judge::FRAUD,
        milestones::STORY,
        crash::STORY,
        agent::STORY,
        nwc::STORY,
        bots::REQUESTER,
        bots::WORKER,
        crash_bot::STORY,
    ]
}

/// How a story is played.
#[derive(Debug, Clone, Default)]
pub struct Play {
    /// Which.
    pub name: String,
    /// Where; a temporary folder when absent.
    pub dir: Option<PathBuf>,
    /// The deliverable; generated when absent.
    pub file: Option<PathBuf>,
    /// What the job pays, in sats.
    pub price: Option<u64>,
    /// A relay started elsewhere.
    pub relay: Option<String>,
    /// Keys follow from it; random when absent.
    pub seed: Option<u64>,
    /// How many jobs, in a story of many.
    pub jobs: Option<u32>,
    /// What to break.
    pub break_way: Option<String>,
    /// The program that parties run as processes of their own; this one when absent.
    pub exe: Option<PathBuf>,
}

/// One step that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct StepTaken {
    /// What happened, in words.
    pub step: String,
    /// Milliseconds it took.
    pub ms: u64,
}

/// One thing that a story claims.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Assert {
    /// What is claimed.
    pub name: String,
    /// What had to be seen.
    pub want: Value,
    /// What was seen.
    pub saw: Value,
    /// Whether they are the same.
    pub ok: bool,
}

/// One party, before and after.
#[derive(Debug, Clone, Default, Serialize, schemars::JsonSchema)]
pub struct PartySummary {
    /// Its identity; empty for a party that has none.
    pub npub: String,
    /// Its node.
    pub node_id: String,
    /// Its process.
    pub pid: u32,
    /// Its data directory.
    pub data_dir: PathBuf,
    /// What it began with.
    pub before_msat: Purse,
    /// What it ended with.
    pub after_msat: Purse,
}

/// One payment.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct PaymentSummary {
    /// SHA-256 of the preimage.
    pub hash: String,
    /// The preimage: shown in summaries of the sandbox and nowhere else.
    pub preimage: Option<String>,
    /// What the payer paid, without routing fees.
    pub amount_msat: u64,
    /// Who paid.
    pub from: String,
    /// Who was paid.
    pub to: String,
    /// Settlement mode.
    pub mode: String,
    /// How it ended.
    pub state: String,
}

/// One file that was handed over.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct FileSummary {
    /// As its owner had it.
    pub sent: PathBuf,
    /// As the other side has it.
    pub received: PathBuf,
    /// SHA-256 of what was received.
    pub sha256: String,
    /// Bytes of what was received.
    pub bytes: u64,
}

/// Fees of a whole story.
#[derive(Debug, Clone, Default, Serialize, schemars::JsonSchema)]
pub struct Fees {
    /// Kept by the LSP for opening channels.
    pub lsp: u64,
    /// Paid for routing.
    pub routing: u64,
    /// Paid to miners.
    pub onchain: u64,
}

/// The last line of a story.
#[derive(Debug, Clone, Default, Serialize, schemars::JsonSchema)]
pub struct Summary {
    /// Whether every claim held.
    pub ok: bool,
    /// Which story.
    pub story: String,
    /// Every claim.
    pub asserts: Vec<Assert>,
    /// Every party, the LSP too.
    pub parties: BTreeMap<String, PartySummary>,
    /// All fees.
    pub fees_msat: Fees,
    /// What the faucet gave.
    pub faucet_msat: u64,
    /// After, less before, plus on-chain fees, less the faucet: nothing, or money was made or lost.
    pub diff_msat: i128,
    /// Every payment.
    pub payments: Vec<PaymentSummary>,
    /// Every file.
    pub files: Vec<FileSummary>,
    /// What the relay keeps.
    pub events_by_kind: BTreeMap<String, u64>,
    /// What was broken on purpose.
    pub breaks: Vec<String>,
    /// Milliseconds in all.
    pub total_ms: u64,
    /// What this story alone tells.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A story as it is told: steps out, claims kept.
pub(super) struct Teller<'a> {
    began: Instant,
    last: Instant,
    on_step: &'a mut (dyn FnMut(StepTaken) + Send),
    /// What is told at the end.
    pub(super) summary: Summary,
}

impl<'a> Teller<'a> {
    #[expect(clippy::disallowed_methods, reason = "a story measures itself")]
    fn new(story: &str, on_step: &'a mut (dyn FnMut(StepTaken) + Send)) -> Self {
        let now = Instant::now();
        let summary = Summary { story: story.into(), ..Summary::default() };
        Self { began: now, last: now, on_step, summary }
    }

    /// Something happened.
    #[expect(clippy::disallowed_methods, reason = "a story measures itself")]
    pub(super) fn step(&mut self, what: impl Into<String>) {
        let now = Instant::now();
        let ms = millis(now - self.last);
        self.last = now;
        (self.on_step)(StepTaken { step: what.into(), ms });
    }

    /// A claim: what was seen must be what is wanted.
    pub(super) fn claim(&mut self, name: &str, want: impl Serialize, saw: impl Serialize) {
        let want = serde_json::to_value(want).unwrap_or(Value::Null);
        let saw = serde_json::to_value(saw).unwrap_or(Value::Null);
        let ok = want == saw;
        self.summary.asserts.push(Assert { name: name.into(), want, saw, ok });
    }

    /// A key that only this story has.
    pub(super) fn tell(&mut self, key: &str, value: impl Serialize) {
        let value = serde_json::to_value(value).unwrap_or(Value::Null);
        self.summary.extra.insert(key.into(), value);
    }

    #[expect(clippy::disallowed_methods, reason = "a story measures itself")]
    fn end(mut self) -> Summary {
        self.summary.total_ms = millis(Instant::now() - self.began);
        let held = self.summary.asserts.iter().all(|a| a.ok);
        self.summary.ok = held && !self.summary.asserts.is_empty();
        self.summary
    }
}

/// A gig as most stories post it: one file, sealed, one slot, a day for everything. What a story is about is
/// said over it.
pub(super) fn gig(title: &str, price: Msat) -> GigDraft {
    GigDraft {
        title: title.into(),
        summary: String::new(),
        content: String::new(),
        tags: Vec::new(),
        work: Work::File,
        modes: vec![Mode::Sealed],
        slots: 1,
        price,
        max_bytes: 8 << 30,
        deadlines: Deadlines { deliver: Span::DAY, pay: Span::DAY },
        escrow: None,
        quality: Quality::default(),
        milestones: Vec::new(),
        pow: 8,
        expires_at: Time(now()).after(Span::DAY),
    }
}

/// What a judge says of itself, for a fee of 100 sat.
pub(super) fn judging(title: &str) -> anyhow::Result<GigDraft> {
    let (work, modes) = (Work::Judge, vec![Mode::Direct]);
    Ok(GigDraft { work, modes, max_bytes: 1, ..gig(title, sats(100)?) })
}

pub(super) fn millis(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Plays a story. The summary says whether it held; an error is a sandbox that could not be made.
pub async fn play(
    play: Play,
    on_step: &mut (dyn FnMut(StepTaken) + Send),
) -> anyhow::Result<Summary> {
    play_with(play, None, on_step).await
}

/// The same, with the front ends that some stories are told through: those of the program that plays it.
pub async fn play_with(
    play: Play,
    fronts: Option<&dyn Fronts>,
    on_step: &mut (dyn FnMut(StepTaken) + Send),
) -> anyhow::Result<Summary> {
    let Some(story) = list().into_iter().find(|s| s.name == play.name) else {
        let names: Vec<_> = list().iter().map(|s| s.name).collect();
        anyhow::bail!("there is no story `{}`; there are: {}", play.name, names.join(", "));
    };
    if let Some(way) = &play.break_way
        && !story.breaks.iter().any(|(name, _)| name == way)
    {
        let ways: Vec<_> = story.breaks.iter().map(|(name, _)| *name).collect();
        anyhow::bail!("`{}` cannot be broken by `{way}`; only by: {}", story.name, ways.join(", "));
    }
    let mut teller = Teller::new(story.name, on_step);
    teller.summary.breaks.extend(play.break_way.clone());
    match story.name {
        "crash" => crash::tell(&play, &mut teller).await?,
        "escrow" => escrow::tell(&play, &mut teller, escrow::End::Released).await?,
        "escrow-timeout" => escrow::tell(&play, &mut teller, escrow::End::TimedOut).await?,
        "bot-requester" => bots::requester(&play, &mut teller).await?,
        "bot-worker" => bots::worker(&play, &mut teller).await?,
        "crash-bot" => crash_bot::tell(&play, &mut teller).await?,
        "tranches" => tranches::tell(&play, &mut teller).await?,
        "audit" => audit::tell(&play, &mut teller).await?,
        "cheat" => cheat::tell(&play, &mut teller).await?,
        "check" => check::tell(&play, &mut teller).await?,
        "milestones" => milestones::tell(&play, &mut teller).await?,
        "escrow-judge" => judge::tell(&play, &mut teller, judge::End::Released).await?,
        "escrow-fraud" => judge::tell(&play, &mut teller, judge::End::Refused).await?,
        "agent" => {
            let fronts = fronts
                .context("this story is told through front ends: play it with the program")?;
            agent::tell(&play, fronts, &mut teller).await?;
        }
        "nwc" => nwc::tell(&play, &mut teller).await?,
        _ => first_job::tell(&play, &mut teller).await?,
    }
    Ok(teller.end())
}

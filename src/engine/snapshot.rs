//! The snapshot: what eyes may see. Text from strangers is clean here; nothing secret is.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::engine::{
    CaseView, EscrowView, MilestoneView, NodeStatus, PendingRow, Posts, RelayHealth, Shelf,
};
use crate::market::{
    Actor, Attempt, BidId, CaseId, CheckVerdict, Checked, Digest, EventId, Gig, Job, JobId,
    JudgeTerms, Mode, Msat, Network, Phase, Post, Pubkey, Refusal, Role, Side, Status, Time, Verb,
    Work, at_stake, largest_loss, legal, risk_of,
};
use crate::seal::Cut;
use crate::text::{Clean, Limit};
use crate::verify::{Choices, LONGEST_ANSWER};

/// Everything a front end draws from, but the book.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// When it was taken.
    pub at: Time,
    /// Our identity.
    pub identity: Option<Pubkey>,
    /// The node; `None` until it has started.
    pub node: Option<NodeStatus>,
    /// What is promised to workers and not paid yet.
    pub reserved: Msat,
    /// Why automation is stopped, while it is.
    #[serde(default)]
    pub halted: Option<String>,
    /// Each relay.
    pub relays: Vec<RelayHealth>,
    /// Each job.
    pub jobs: Shelf<JobView>,
    /// Each case that we judge.
    #[serde(default)]
    pub cases: BTreeMap<CaseId, Arc<CaseView>>,
    /// Each gig of ours.
    pub posts: Posts,
    /// Effects that wait.
    pub waiting: u64,
    /// Effects that were given up.
    pub parked: u64,
}

/// A job, for eyes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct JobView {
    /// The name of its log.
    pub id: BidId,
    /// J, once awarded.
    pub job: Option<JobId>,
    /// Our side.
    pub role: Role,
    /// Where it stands.
    pub phase: Phase,
    /// Since when.
    pub since: Time,
    /// Requester: the worker was caught in it. In escrow the phase does not say so: the money comes back.
    #[serde(default)]
    pub caught: bool,
    /// The gig's title.
    pub title: Clean,
    /// The listing version.
    pub gig: EventId,
    /// The listing, across its versions: [`Gig::listing`].
    pub listing: Digest,
    /// The other side's identity.
    pub peer: Pubkey,
    /// When the other side last said anything in it.
    pub heard_at: Option<Time>,
    /// What is paid: while one of several milestones is on, for that one.
    pub price: Msat,
    /// How.
    pub mode: Mode,
    /// In how many parts.
    pub tranches: u32,
    /// Whether a folder is handed over, file by file: the terms cut it so.
    #[serde(default)]
    pub by_files: bool,
    /// The most that a requester can lose to a worker who signs its own conviction.
    #[serde(default)]
    pub largest_loss: Msat,
    /// What we can lose by it as it stands, in words.
    #[serde(default)]
    pub stake: Option<String>,
    /// The parts that it is done in, in order; none where it is one.
    #[serde(default)]
    pub milestones: Vec<MilestoneView>,
    /// What the worker said with the bid.
    pub message: Clean,
    /// When the phase ends by itself.
    pub deadline: Option<Time>,
    /// What happens then.
    pub otherwise: Option<Cow<'static, str>>,
    /// Why it stands there, if there is a reason.
    pub reason: Option<Clean>,
    /// What can be done, and why not what cannot.
    pub legal: Vec<Offered>,
    /// Where the terms ask for one answer of several: those there are.
    #[serde(default)]
    pub answers: Vec<Clean>,
    /// Files other than the delivery.
    pub materials: Vec<MaterialView>,
    /// The delivery that stands.
    pub delivery: Option<DeliveryView>,
    /// The escrow, once awarded.
    #[serde(default)]
    pub escrow: Option<EscrowView>,
    /// Bytes fetched of what is being fetched.
    pub fetched: Option<(u64, u64)>,
    /// What a person should look at.
    pub stuck: Vec<String>,
    /// The automated actor that made the bid, as a worker, or promised the money; `None` for a person.
    #[serde(default)]
    pub by: Option<Actor>,
    /// Who waits for a person's word, and to do what.
    #[serde(default)]
    pub asked: Option<(Actor, Verb)>,
    /// Records of ours that the other side has not shown to have seen.
    pub unheard: u32,
    /// What is begun and not done, oldest first; at most [`MOST_PENDING`].
    pub pending: Vec<PendingView>,
    /// How many facts.
    pub facts: u64,
}

/// The most lines of [`JobView::pending`] and [`PostView::pending`].
pub const MOST_PENDING: usize = 16;

/// An effect that is not done, for eyes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PendingView {
    /// Its kind.
    pub kind: String,
    /// How often it was tried.
    pub tries: u32,
    /// Why it did not work the last time.
    pub why: Option<Clean>,
    /// Given up: it is never run again.
    pub parked: bool,
}

impl PendingView {
    /// Cleans a row of the outbox.
    pub fn of(row: PendingRow) -> Self {
        let PendingRow { kind, tries, why, parked } = row;
        Self { kind, tries, why: why.map(|why| crate::text::Raw(why).clean(WHY)), parked }
    }
    /// Whether it is words on their way to a relay.
    pub fn is_talk(&self) -> bool {
        !self.parked && matches!(self.kind.as_str(), "first" | "publish")
    }
}

/// One verb and whether it can be done now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Offered {
    /// The verb.
    pub verb: Verb,
    /// Why not, when not.
    pub refusal: Option<Refusal>,
}

/// A file, for eyes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct MaterialView {
    /// What it is.
    pub blob: Digest,
    /// Bytes.
    pub size: u64,
    /// Whose.
    pub from: Role,
    /// What its owner calls it.
    pub name: Clean,
    /// Where it lies here.
    pub path: Option<PathBuf>,
}

/// A delivery, for eyes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct DeliveryView {
    /// From 0.
    pub number: u32,
    /// D, once signed.
    pub manifest: Option<EventId>,
    /// What the worker calls it.
    pub name: Clean,
    /// Worker: our own copy of the file.
    pub source: Option<PathBuf>,
    /// What the worker says with it.
    pub message: Clean,
    /// Bytes of the deliverable.
    pub size: u64,
    /// Whether everything but the keys is here and is what was signed.
    pub inspected: bool,
    /// Tranches paid or received.
    pub paid: u32,
    /// Routing fees paid.
    pub fee: Msat,
    /// What came in.
    pub received: Msat,
    /// What the LSP kept.
    pub lsp_fee: Msat,
    /// Where the plaintext lies: once it is paid and opened, and in mode direct as soon as it is here and
    /// inspected, for whoever decides whether to pay reads it first.
    pub output: Option<PathBuf>,
    /// BLAKE3 of the plaintext.
    pub digest: Option<Digest>,
    /// Where the fraud proof lies.
    pub proof: Option<PathBuf>,
    /// What the audit is or was, in words; `None` where none was asked for.
    #[serde(default)]
    pub audit: Option<Clean>,
    /// What the checks of the terms said, of the sample and of what was opened.
    #[serde(default)]
    pub checks: Vec<Clean>,
    /// The same in one word; `None` while they have not spoken of all that they can be asked about now.
    #[serde(default)]
    pub verdict: Option<Verdict>,
}

/// What all checks of a delivery say together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It is what was asked.
    Pass,
    /// It is not.
    Fail,
    /// They cannot tell, which proves nothing.
    Unsure,
}

impl Verdict {
    fn of(job: &Job, attempt: &Attempt) -> Option<Self> {
        let review = &attempt.review;
        if review.results.iter().any(Checked::failed) {
            return Some(Self::Fail);
        }
        let opened = attempt.tranches.iter().all(|t| t.opened);
        let whole = !job.terms().quality.checks.is_empty() && opened && !review.checked.is_empty();
        let sample = job.terms().quality.audit > 0 && review.audited.is_some();
        match review.results.iter().any(Checked::unsure) {
            _ if !whole && !sample => None,
            true => Some(Self::Unsure),
            false => Some(Self::Pass),
        }
    }
}

/// A gig of ours, for eyes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PostView {
    /// Its log.
    pub id: EventId,
    /// The newest version.
    pub gig: GigView,
    /// Bids that wait for an answer.
    pub bids: u32,
    /// Jobs awarded.
    pub awarded: u32,
    /// The automated actor that published it; `None` for a person.
    #[serde(default)]
    pub by: Option<Actor>,
    /// What makes it one gig however often it is asked for.
    #[serde(default)]
    pub key: Option<String>,
    /// What is begun and not done, oldest first; at most [`MOST_PENDING`].
    pub pending: Vec<PendingView>,
    /// How many facts.
    pub facts: u64,
}

/// A gig, for eyes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct GigView {
    /// This version.
    pub id: EventId,
    /// The listing, across its versions: [`Gig::listing`].
    pub listing: Digest,
    /// Who.
    pub author: Pubkey,
    /// One line.
    pub title: Clean,
    /// A few lines.
    pub summary: Clean,
    /// Markdown.
    pub content: Clean,
    /// Hashtags.
    pub tags: Vec<Clean>,
    /// Wanted or offered.
    pub side: Side,
    /// By its author's word.
    pub status: Status,
    /// What is asked for.
    pub work: Work,
    /// How it may be settled.
    pub modes: Vec<Mode>,
    /// Which chain.
    pub network: Network,
    /// One slot.
    pub price: Msat,
    /// How many.
    pub slots: u32,
    /// The parts that it is done in, in order; none where it is one.
    #[serde(default)]
    pub milestones: Vec<MilestoneView>,
    /// The largest deliverable, in bytes.
    pub max_bytes: u64,
    /// Seconds from award to delivery.
    pub deliver_secs: u64,
    /// Blocks that an escrow lasts, and what it does not cover for a worker; absent where none is
    /// offered.
    #[serde(default)]
    pub escrow: Option<(u32, Cow<'static, str>)>,
    /// Who would judge it, and by which listing.
    #[serde(default)]
    pub judge: Option<JudgeTerms>,
    /// Seconds from delivery to payment.
    pub pay_secs: u64,
    /// Proof of work asked of a bid.
    pub pow: u8,
    /// First published.
    pub published_at: Time,
    /// No bids after this.
    pub expires_at: Time,
    /// Input files: name and bytes.
    pub inputs: Vec<(Clean, u64)>,
    /// What a delivery is held against, in words.
    #[serde(default)]
    pub quality: Vec<String>,
    /// What it asks, as one digest: [`Gig::asks`].
    #[serde(default = "Gig::unsaid")]
    pub asks: Digest,
}

const LINE: Limit = Limit::TITLE;
const BLOCK: Limit = Limit::BLOCK;
const WHY: Limit = Limit::one_line(400);
const ANSWER: Limit = Limit::one_line(LONGEST_ANSWER);

impl GigView {
    /// What a bid that asks more than the gig pays must know; `None` for one that does not.
    pub fn asks_more(&self, price: Msat) -> Option<String> {
        let more = price.checked_sub(self.price).filter(|more| *more > Msat::ZERO)?;
        Some(format!(
            "It asks {more} more than the gig pays: the requester need not agree to that."
        ))
    }

    /// Cleans a gig.
    pub fn of(gig: &Gig) -> Self {
        let tag = |t: &String| crate::text::Raw(t.clone()).clean(Limit::NAME);
        Self {
            id: gig.id,
            listing: gig.listing(),
            author: gig.author,
            title: gig.title.clean(LINE),
            summary: gig.summary.clean(BLOCK),
            content: gig.content.clean(BLOCK),
            tags: gig.tags.iter().map(tag).collect(),
            side: gig.side,
            status: gig.status,
            work: gig.offer.work,
            modes: gig.offer.modes.clone(),
            network: gig.network,
            price: gig.offer.price,
            slots: gig.offer.slots,
            milestones: gig.offer.milestones.iter().map(MilestoneView::offered).collect(),
            max_bytes: gig.offer.max_bytes,
            deliver_secs: gig.offer.deadlines.deliver.0,
            escrow: gig
                .offer
                .escrow
                .as_ref()
                .map(|terms| (terms.window, risk_of(terms, Role::Worker).into())),
            judge: gig.offer.escrow.as_ref().and_then(|terms| terms.judge),
            pay_secs: gig.offer.deadlines.pay.0,
            pow: gig.offer.pow,
            published_at: gig.published_at,
            expires_at: gig.expires_at,
            inputs: gig.offer.inputs.iter().map(|i| (i.name.clean(LINE), i.size)).collect(),
            quality: gig.offer.quality.words(),
            asks: gig.asks(),
        }
    }
}

impl PostView {
    /// Cleans a gig of ours, with what came of these bids on it.
    pub fn of<'a>(post: &Post, bids: impl Iterator<Item = &'a Job>) -> Option<Self> {
        let gig = post.gig()?;
        let (mut open, mut awarded) = (0, 0);
        for bid in bids {
            open += u32::from(bid.phase == Phase::Bid);
            awarded += u32::from(bid.job.is_some());
        }
        Some(Self {
            id: post.id,
            gig: GigView::of(gig),
            bids: open,
            awarded,
            by: post.by.clone(),
            key: post.key.clone(),
            pending: Vec::new(),
            facts: post.n,
        })
    }
}

impl JobView {
    /// Cleans a job.
    pub fn of(job: &Job, now: Time, fetched: Option<(u64, u64)>) -> Self {
        let deadline = job.deadline();
        let offered =
            |(verb, may): (Verb, Result<(), Refusal>)| Offered { verb, refusal: may.err() };
        let raw = |text: &String| crate::text::Raw(text.clone()).clean(BLOCK);
        Self {
            id: job.id,
            job: job.job,
            role: job.role,
            phase: job.phase,
            since: job.since,
            caught: job.caught(),
            title: job.gig.title.clean(LINE),
            gig: job.gig.id,
            listing: job.gig.listing(),
            peer: job.peer(),
            heard_at: job.heard_at,
            price: match job.job.is_some() && !job.phase.is_over() {
                true => job.terms().price,
                false => job.agreed().price,
            },
            milestones: MilestoneView::all(job),
            mode: job.terms().mode,
            tranches: job.terms().tranches,
            by_files: job.terms().quality.cut == Some(Cut::Files),
            largest_loss: largest_loss(job.terms()),
            stake: at_stake(job),
            message: job.bid.message.clean(BLOCK),
            deadline: deadline.map(|(at, _)| at),
            otherwise: deadline.map(|(_, what)| what.into()),
            reason: job.reason.as_ref().map(raw),
            legal: legal(job, now).into_iter().map(offered).collect(),
            answers: answers(job),
            materials: job
                .materials
                .iter()
                .map(|m| MaterialView {
                    blob: m.file.blob,
                    size: m.file.size,
                    from: m.from,
                    name: m.file.name.clean(LINE),
                    path: m.path.clone(),
                })
                .collect(),
            delivery: job.attempt.as_ref().map(|attempt| {
                let signed = attempt.delivery();
                let paid = |t: &&crate::market::Tranche| t.key.is_some() || t.received.is_some();
                DeliveryView {
                    number: attempt.number,
                    manifest: attempt.record.as_ref().map(|r| r.id),
                    name: signed.map_or_else(Clean::default, |d| d.name.clean(LINE)),
                    source: attempt.source.clone(),
                    message: signed.map_or_else(Clean::default, |d| d.message.clean(BLOCK)),
                    size: signed.map_or(0, |d| d.manifest.total),
                    inspected: attempt.inspected,
                    paid: u32::try_from(attempt.tranches.iter().filter(paid).count())
                        .unwrap_or(u32::MAX),
                    fee: attempt.tranches.iter().map(|t| t.fee).sum(),
                    received: attempt.tranches.iter().filter_map(|t| t.received).sum(),
                    lsp_fee: attempt
                        .tranches
                        .iter()
                        .filter(|t| t.received.is_some())
                        .map(|t| t.lsp_fee)
                        .sum(),
                    output: attempt.output.clone().or_else(|| readable(job, attempt)),
                    digest: attempt.digest,
                    proof: attempt.proof.clone(),
                    audit: audit_words(attempt),
                    checks: attempt.review.results.iter().map(check_words).collect(),
                    verdict: Verdict::of(job, attempt),
                }
            }),
            escrow: EscrowView::of(job),
            fetched,
            stuck: job.stuck.clone(),
            by: job.charge.by.clone(),
            asked: job.charge.asked.clone(),
            unheard: u32::try_from(job.unacknowledged.len()).unwrap_or(u32::MAX),
            pending: Vec::new(),
            facts: job.n,
        }
    }
}

/// The answers that the checks of a gig leave a worker to choose from. None where one cannot be shown as it
/// is: what a person picks must be, byte for byte, what the check takes.
fn answers(job: &Job) -> Vec<Clean> {
    let asked = |hash| job.terms().quality.checks.iter().any(|check| check.hash == hash);
    let checks = job.gig.offer.checks().filter(|check| asked(check.hash));
    let bodies = checks.filter_map(|check| check.body.as_ref());
    let Some(choices) = bodies.map(|body| body.as_bytes()).find_map(Choices::of) else {
        return Vec::new();
    };
    let shown = |answer: &String| {
        let clean = crate::text::Raw(answer.clone()).clean(ANSWER);
        (clean.as_str() == answer).then_some(clean)
    };
    choices.answers().iter().map(shown).collect::<Option<_>>().unwrap_or_default()
}

/// How the audit stands.
fn audit_words(attempt: &Attempt) -> Option<Clean> {
    attempt.review.asked?;
    let said = match attempt.review.audited {
        Some(audited) => audited.sentence(),
        None if attempt.review.keys.is_some() => "The sample is opened.".into(),
        None => "The sample is asked for.".into(),
    };
    Some(crate::text::Raw(said).clean(BLOCK))
}

/// What one check said; its reason may hold words of a stranger's check.
pub(super) fn check_words(result: &Checked) -> Clean {
    let check = result.check.short();
    let said = match &result.verdict {
        CheckVerdict::Pass => format!("{check}: pass"),
        CheckVerdict::Fail { reason } => format!("{check}: fail: {reason}"),
        CheckVerdict::None { reason } => format!("{check}: no verdict: {reason}"),
    };
    crate::text::Raw(said).clean(LINE)
}

/// What is delivered in the open can be read before it is paid.
fn readable(job: &Job, attempt: &Attempt) -> Option<PathBuf> {
    let open = job.role == Role::Requester && job.terms().mode == Mode::Direct;
    attempt.blob.clone().filter(|_| open && attempt.inspected)
}

//! Cases and judges for eyes: what a judge sees of a case, and what a side sees of its judge.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::engine::snapshot::check_words;
use crate::market::{
    Body, Case, CaseId, CasePhase, EventId, Finding, Job, JobId, Msat, Pubkey, Refusal, Role, Time,
    may_rule,
};
use crate::text::{Clean, Limit, Raw};

/// The judge of an escrow, for a side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct JudgeView {
    /// Who.
    pub identity: Pubkey,
    /// The listing that says its fee and its rules.
    pub listing: EventId,
    /// The case, once the lock is known.
    pub case: Option<CaseId>,
    /// Whether it holds the secret.
    pub holds: bool,
    /// It must hold by here, or the money goes back.
    pub hold_by: Option<u32>,
    /// Accept or reject by here.
    pub verdict_by: Option<u32>,
    /// It must be called by here.
    pub escalate_by: Option<u32>,
    /// The other side answers by here.
    pub object_by: Option<u32>,
    /// It rules by here.
    pub rule_by: Option<u32>,
    /// Who called it, and why.
    pub dispute: Option<(Role, Clean)>,
    /// Who answered, and what.
    pub objection: Option<(Role, Clean)>,
    /// For whom it ruled.
    pub ruling: Option<Role>,
    /// What we said that it has not answered.
    pub unanswered: u32,
}

fn words(text: &str) -> Clean {
    Raw(text.to_owned()).clean(Limit::BLOCK)
}

impl JudgeView {
    /// The judge of a job in escrow, if it has one.
    pub fn of(job: &Job) -> Option<Self> {
        let (judge, escrow) = (job.judge()?, job.escrow.as_ref()?);
        let t = escrow.timetable(job.terms().escrow.as_ref()?.window);
        let hearing = &escrow.hearing;
        let plea = |plea: &Option<crate::market::Plea>| {
            plea.as_ref().map(|plea| (plea.by, words(&plea.reason)))
        };
        let whose = |worker| if worker { Role::Worker } else { Role::Requester };
        Some(Self {
            identity: judge.identity,
            listing: judge.listing,
            case: job.case(),
            holds: hearing.judge.is_some(),
            hold_by: t.map(|t| t.holding()),
            verdict_by: t.map(|t| t.verdict()),
            escalate_by: t.map(|t| t.escalate()),
            object_by: t.map(|t| t.objection()),
            rule_by: t.map(|t| t.ruling()),
            dispute: plea(&hearing.dispute),
            objection: plea(&hearing.objection),
            ruling: hearing.ruling.map(whose),
            unanswered: u32::try_from(hearing.unanswered.len()).unwrap_or(u32::MAX),
        })
    }
}

/// One signed record of a case, for eyes. Its signature and its author were verified before it was kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ExhibitView {
    /// Its id.
    pub id: EventId,
    /// What kind of record.
    pub kind: String,
    /// Who wrote it, by its certified key.
    pub by: Role,
    /// By its author's clock, which proves nothing.
    pub dated: Time,
    /// The judge's tip when it was given to it; absent for what the case began with.
    pub height: Option<u32>,
    /// The words in it.
    pub text: Clean,
}

/// A case, for the judge's eyes: everything on one page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct CaseView {
    /// Its log.
    pub id: CaseId,
    /// J.
    pub job: JobId,
    /// Where it stands.
    pub phase: CasePhase,
    /// Since when.
    pub since: Time,
    /// The gig's title, if the gig is in the book.
    pub title: Clean,
    /// What the gig asks for.
    pub content: Clean,
    /// The requester's identity.
    pub requester: Pubkey,
    /// The worker's identity.
    pub worker: Pubkey,
    /// What is locked. The judge never has it.
    pub price: Msat,
    /// Our fee, by our listing.
    pub fee: Msat,
    /// Whether we rule by what can be computed and by nothing else.
    pub deterministic: bool,
    /// Our tip; of a case that is over, what it was when the case last changed.
    pub height: u32,
    /// A delivery was due here.
    pub deliver_by: u32,
    /// Acceptance or rejection was due here.
    pub verdict_by: u32,
    /// We had to be called by here.
    pub escalate_by: u32,
    /// The other side answers by here.
    pub object_by: u32,
    /// We rule by here.
    pub rule_by: u32,
    /// P.
    pub end: u32,
    /// Who called us, at which height, and why.
    pub dispute: Option<(Role, u32, Clean)>,
    /// Who answered, at which height, and what.
    pub objection: Option<(Role, u32, Clean)>,
    /// What both signed in the job, oldest first.
    pub exhibits: Vec<ExhibitView>,
    /// Which records of each side we were not shown, by their numbers; nothing where there are no gaps.
    #[serde(default)]
    pub missing: Vec<Clean>,
    /// Words to us.
    pub notes: Vec<(Role, Clean)>,
    /// What the files say, in words; absent while they are not looked at.
    pub finding: Option<Clean>,
    /// What each check of the terms says.
    pub checks: Vec<Clean>,
    /// Where the opened work lies.
    pub output: Option<PathBuf>,
    /// For whom we ruled, and why.
    pub ruling: Option<(Role, Clean)>,
    /// Why we cannot rule for the worker now, if we cannot.
    pub for_worker: Option<Refusal>,
    /// Why we cannot rule for the requester now, if we cannot.
    pub for_requester: Option<Refusal>,
    /// What happens if we do nothing.
    pub otherwise: Cow<'static, str>,
    /// What a person should look at.
    pub stuck: Vec<String>,
    /// How many facts.
    pub facts: u64,
}

impl CaseView {
    /// Cleans a case.
    pub fn of(case: &Case, height: u32) -> Self {
        let t = case.timetable();
        let gig = case.begins.gig.as_ref();
        let plea = |of: &Option<(crate::market::Record, Role, u32)>| {
            let (record, by, at) = of.as_ref()?;
            let (Body::Dispute { reason, .. } | Body::Objection { reason, .. }) =
                &record.draft.body
            else {
                return None;
            };
            Some((*by, *at, words(&reason.0)))
        };
        let (finding, results, output) = match &case.finding {
            None => (None, Vec::new(), None),
            Some(Finding::Unfit { sentence, .. }) => {
                (Some(format!("It is not what was signed: {sentence}")), Vec::new(), None)
            }
            Some(Finding::Mismatch { chunk }) => {
                let said =
                    format!("The key does not open chunk {chunk} to what the worker signed.");
                (Some(said), Vec::new(), None)
            }
            Some(Finding::Opened { path, results }) => {
                let said = "It opens, and every chunk is what the worker signed.".to_owned();
                (Some(said), results.clone(), Some(path.clone()))
            }
        };
        Self {
            id: case.id,
            job: case.job,
            phase: case.phase,
            since: case.since,
            title: gig.map_or_else(Clean::default, |gig| gig.title.clean(Limit::TITLE)),
            content: gig.map_or_else(Clean::default, |gig| gig.content.clean(Limit::BLOCK)),
            requester: case.begins.requester.identity,
            worker: case.begins.worker.identity,
            price: case.terms().map_or(Msat::ZERO, |terms| terms.price),
            fee: case.begins.listing.offer.price,
            deterministic: case.is_deterministic(),
            height,
            deliver_by: t.deliver(),
            verdict_by: t.verdict(),
            escalate_by: t.escalate(),
            object_by: t.objection(),
            rule_by: t.ruling(),
            end: case.end,
            dispute: plea(&case.dispute),
            objection: plea(&case.objection),
            exhibits: case
                .exhibits
                .iter()
                .map(|e| ExhibitView {
                    id: e.record.id,
                    kind: e.record.draft.body.kind().to_owned(),
                    by: e.by,
                    dated: e.record.draft.at,
                    height: e.height,
                    text: said_in(&e.record.draft.body),
                })
                .collect(),
            missing: [Role::Requester, Role::Worker]
                .into_iter()
                .filter_map(|side| missing(case, side))
                .collect(),
            notes: case.notes.iter().map(|(by, text)| (*by, words(text))).collect(),
            finding: finding.map(|said| words(&said)),
            checks: results.iter().map(check_words).collect(),
            output,
            ruling: case.ruling.as_ref().map(|(whose, why)| (*whose, words(why))),
            for_worker: may_rule(case, Role::Worker, height).err(),
            for_requester: may_rule(case, Role::Requester, height).err(),
            otherwise: "without a ruling the money goes back to the requester".into(),
            stuck: case.stuck.clone(),
            facts: case.n,
        }
    }
}

/// Records are numbered without gaps, so a judge knows that some were not brought to it, and not what is in them. Of
/// what came after the last that it was shown it knows nothing.
fn missing(case: &Case, side: Role) -> Option<Clean> {
    let shown = case.exhibits.iter().filter(|exhibit| exhibit.by == side);
    let shown: BTreeSet<u64> = shown.map(|exhibit| exhibit.record.draft.seq).collect();
    let (mut gaps, mut next) = (Vec::new(), 0);
    for seq in shown {
        match seq.checked_sub(next) {
            None | Some(0) => {}
            Some(1) => gaps.push(next.to_string()),
            Some(_) => gaps.push(format!("{next} to {}", seq - 1)),
        }
        next = seq.saturating_add(1);
    }
    (!gaps.is_empty()).then(|| {
        let gaps = gaps.join(", ");
        words(&format!(
            "The {side}'s records number {gaps} were not shown to you: what they say you cannot know. Either side may bring them.",
            side = match side {
                Role::Requester => "requester",
                Role::Worker => "worker",
            }
        ))
    })
}

/// The words in a record of a job.
fn said_in(body: &Body) -> Clean {
    match body {
        Body::Bid(bid) => bid.message.clean(Limit::BLOCK),
        Body::Deliver(delivery) => delivery.message.clean(Limit::BLOCK),
        Body::Reject { reason, .. } | Body::Cancel { reason } => reason.clean(Limit::BLOCK),
        Body::Note { text } => text.clean(Limit::BLOCK),
        Body::Fund { height, .. } => words(&format!("P is {height}")),
        Body::Funded { deadline, .. } => words(&format!("held until {deadline}")),
        _ => Clean::default(),
    }
}

//! A case: what a judge holds of one lock of one job, the fold of a log of its own. The judge keeps a copy of
//! x and has never a coin; all it can do is give x to both sides, or not.

mod admit;
mod fold;
mod rule;
mod step;

pub use admit::{Appointing, admit_case};
pub use rule::{Opinion, opinion};
pub use step::{CaseInput, CaseSay, CaseStep, CaseWorld, case_step, may_rule};

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::market::{
    Address, Attachment, Body, CaseId, Certificate, Chain, DETERMINISTIC, Delivery, Effect,
    EventId, Fact, Finding, Gig, Grant, JobId, Lock, Nonce, Pinned, Preimage, Pubkey, Purpose,
    Record, Role, Span, Terms, Time, Timetable, case_id,
};

/// What begins a case, everything in it verified.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CaseBegins {
    /// The requester's `appoint`.
    pub record: Record,
    /// The signed bid.
    pub bid: Record,
    /// The signed award.
    pub award: Record,
    /// The signed record that holds the lock, where it is not the award.
    pub lock: Option<Record>,
    /// The worker's signed `fund`.
    pub fund: Record,
    /// The worker's signed `funded`.
    pub funded: Record,
    /// The worker's certificate.
    pub worker: Certificate,
    /// The requester's.
    pub requester: Certificate,
    /// The version of our listing that the two agreed on.
    pub listing: Gig,
    /// The gig, if it is in the book.
    pub gig: Option<Gig>,
    /// The checks of the terms, with the bodies that are known.
    pub checks: Vec<Pinned>,
    /// What our session key is derived from.
    pub nonce: Nonce,
}

/// Where a case stands.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum CasePhase {
    /// The secret is held, and nobody has called.
    Holding,
    /// One side has called.
    Disputed,
    /// It is ruled on. The end.
    Ruled,
    /// Its time is over, without a ruling. The end.
    Closed,
}

impl CasePhase {
    /// Whether nothing more is expected of anybody.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Ruled | Self::Closed)
    }
    /// One word for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Holding => "holding",
            Self::Disputed => "disputed",
            Self::Ruled => "ruled",
            Self::Closed => "closed",
        }
    }
}

/// A signed record of the job that one side brought, and when.
#[derive(Debug, Clone, PartialEq)]
pub struct Exhibit {
    /// It.
    pub record: Record,
    /// Who wrote it: verified by its certificate.
    pub by: Role,
    /// Our tip when it came; `None` for what the case began with.
    pub height: Option<u32>,
}

/// A case.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// The log, and the `j` of every record in it.
    pub id: CaseId,
    /// How it began.
    pub begins: Box<CaseBegins>,
    /// J.
    pub job: JobId,
    /// The lock whose secret is held.
    pub lock: Lock,
    /// What holds for its milestone.
    pub terms: Option<Terms>,
    /// P.
    pub end: u32,
    /// x.
    pub x: Preimage,
    /// What we said, to both.
    pub ours: Chain,
    /// Everything we said, oldest first: what may be said again.
    pub said: Vec<Record>,
    /// When we last said or repeated something, and how often it was repeated.
    pub said_at: Time,
    /// How often what we said last was repeated.
    pub resent: u32,
    /// What the requester and the worker said in the case.
    pub theirs: [Chain; 2],
    /// Records of the job.
    pub exhibits: Vec<Exhibit>,
    /// The dispute that is ruled on: the record, by whom, at which of our tips.
    pub dispute: Option<(Record, Role, u32)>,
    /// The answer to it.
    pub objection: Option<(Record, Role, u32)>,
    /// Words to us, with their author; also those of a dispute that is not ruled on.
    pub notes: Vec<(Role, String)>,
    /// The ciphertext here.
    pub blob: Option<PathBuf>,
    /// The vector file here.
    pub vector: Option<PathBuf>,
    /// What the files say.
    pub finding: Option<Finding>,
    /// For whom it was ruled, and why.
    pub ruling: Option<(Role, String)>,
    /// Where it stands.
    pub phase: CasePhase,
    /// Since when.
    pub since: Time,
    /// When it began.
    pub began: Time,
    /// What a person should look at.
    pub stuck: Vec<String>,
    /// How many facts.
    pub n: u64,
}

/// How long after what we said last it is said again: once each, then no more.
const RESEND: [Span; 4] = [Span(30), Span(300), Span(3600), Span(6 * 3600)];

impl Case {
    /// Begins a case with the first fact of its log; `None` unless it is one.
    pub fn begin(fact: &Fact, at: Time) -> Option<Self> {
        let Fact::Appointed(begins) = fact else { return None };
        let Body::Appoint { x, .. } = &begins.record.draft.body else { return None };
        let lock = match &begins.lock {
            Some(record) => *record.draft.body.lock()?,
            None => *begins.award.draft.body.lock()?,
        };
        let Body::Fund { height, .. } = &begins.fund.draft.body else { return None };
        let Body::Bid(bid) = &begins.bid.draft.body else { return None };
        let job = crate::market::job_id(&begins.bid.id, &begins.award.id);
        let first = Chain { next: 1, last: Some(begins.record.clone()) };
        let given = |record: &Record, by| Exhibit { record: record.clone(), by, height: None };
        let mut exhibits =
            vec![given(&begins.bid, Role::Worker), given(&begins.award, Role::Requester)];
        exhibits.extend(begins.lock.iter().map(|lock| given(lock, Role::Requester)));
        exhibits.push(given(&begins.fund, Role::Worker));
        exhibits.push(given(&begins.funded, Role::Worker));
        Some(Self {
            id: case_id(&job, &lock.hash),
            job,
            lock,
            terms: bid.terms.part(lock.milestone),
            end: *height,
            x: *x,
            ours: Chain::default(),
            said: Vec::new(),
            said_at: at,
            resent: 0,
            theirs: [first, Chain::default()],
            exhibits,
            dispute: None,
            objection: None,
            notes: Vec::new(),
            blob: None,
            vector: None,
            finding: None,
            ruling: None,
            phase: CasePhase::Holding,
            since: at,
            began: at,
            stuck: Vec::new(),
            n: 1,
            begins: begins.clone(),
        })
    }

    /// What the two agreed on for the milestone whose money is locked.
    pub fn terms(&self) -> Option<&Terms> {
        self.terms.as_ref()
    }
    /// The heights of the case.
    pub fn timetable(&self) -> Timetable {
        let window = self.terms().and_then(|terms| terms.escrow.as_ref()).map(|terms| terms.window);
        Timetable { end: self.end, window: window.unwrap_or(crate::market::WINDOW) }
    }
    /// Whether we rule by what can be computed and by nothing else: our listing says so.
    pub fn is_deterministic(&self) -> bool {
        self.begins.listing.tags.iter().any(|tag| tag == DETERMINISTIC)
    }
    /// Who speaks with this session key.
    pub fn role_of(&self, session: &Pubkey) -> Option<Role> {
        match session {
            s if *s == self.begins.requester.session => Some(Role::Requester),
            s if *s == self.begins.worker.session => Some(Role::Worker),
            _ => None,
        }
    }
    /// The session key of a side.
    pub fn session(&self, role: Role) -> Pubkey {
        match role {
            Role::Requester => self.begins.requester.session,
            Role::Worker => self.begins.worker.session,
        }
    }
    /// The relays where the case is heard: those of the job's channel.
    pub fn relays(&self) -> &[String] {
        match &self.begins.award.draft.body {
            Body::Award(award) => &award.relays,
            _ => &[],
        }
    }
    /// Where the worker's endpoint is.
    pub fn worker_address(&self) -> Option<&Address> {
        match &self.begins.bid.draft.body {
            Body::Bid(bid) => Some(&bid.address),
            _ => None,
        }
    }
    /// What a side said in the case.
    pub fn chain_of(&self, role: Role) -> &Chain {
        match role {
            Role::Requester => &self.theirs[0],
            Role::Worker => &self.theirs[1],
        }
    }

    /// The delivery that the dispute is about, if it was brought: with whom and when.
    pub fn disputed(&self) -> Option<(&Exhibit, &Delivery)> {
        let (record, _, _) = self.dispute.as_ref()?;
        let Body::Dispute { manifest: Some(manifest), .. } = &record.draft.body else {
            return None;
        };
        self.delivery(manifest)
    }
    fn delivery(&self, manifest: &EventId) -> Option<(&Exhibit, &Delivery)> {
        let exhibit = self
            .exhibits
            .iter()
            .find(|e| e.record.id == *manifest && e.by == Role::Worker && self.is_of_lock(e))?;
        match &exhibit.record.draft.body {
            Body::Deliver(delivery) => Some((exhibit, delivery)),
            _ => None,
        }
    }
    /// Whether the worker signed this after it had said that the money is locked: what is older is of an earlier
    /// milestone, and nothing to this case (!).
    pub(super) fn is_of_lock(&self, exhibit: &Exhibit) -> bool {
        exhibit.record.draft.seq > self.begins.funded.draft.seq
    }
    /// S_t as the worker's dispute gave them. The requester's opens nothing, because wrong ones would show the
    /// work to be unfit (!).
    pub fn secrets(&self) -> &[Preimage] {
        match self.dispute.as_ref().map(|(record, by, _)| (&record.draft.body, by)) {
            Some((Body::Dispute { secrets, .. }, Role::Worker)) => secrets,
            _ => &[],
        }
    }

    /// What the requester may fetch from us: so that nobody can say it never came.
    pub fn grants(&self) -> Vec<Grant> {
        let (Some((_, delivery)), Some(blob), Some(vector)) =
            (self.disputed(), &self.blob, &self.vector)
        else {
            return Vec::new();
        };
        if self.phase == CasePhase::Closed {
            return Vec::new();
        }
        let (m, to) = (&delivery.manifest, self.begins.requester.endpoint);
        let grant = |blob: &[u8; 32], size, path: &PathBuf| Grant {
            blob: crate::market::Digest(*blob),
            size,
            path: path.clone(),
            to,
        };
        vec![
            grant(m.blob.as_bytes(), m.blob_len, blob),
            grant(m.vector.as_bytes(), delivery.vector_size, vector),
        ]
    }

    /// What fetches the delivery that the dispute is about.
    pub(crate) fn halves(&self) -> Vec<Effect> {
        let (Some((_, delivery)), Some(from)) = (self.disputed(), self.worker_address()) else {
            return Vec::new();
        };
        let m = &delivery.manifest;
        let fetch = |hash: &[u8; 32], size, purpose| Effect::Fetch {
            file: Attachment {
                blob: crate::market::Digest(*hash),
                size,
                name: crate::text::Raw::default(),
            },
            from: from.clone(),
            purpose,
        };
        vec![
            fetch(m.vector.as_bytes(), delivery.vector_size, Purpose::Vector),
            fetch(m.blob.as_bytes(), m.blob_len, Purpose::Blob),
        ]
    }

    /// Whether the case still wants an effect.
    pub fn wants(&self, effect: &Effect) -> bool {
        match effect {
            Effect::First { .. } => !self.phase.is_over(),
            Effect::Fetch { purpose, .. } => {
                let here = match purpose {
                    Purpose::Blob => &self.blob,
                    _ => &self.vector,
                };
                here.is_none() && self.finding.is_none() && !self.phase.is_over()
            }
            Effect::Examine => self.finding.is_none() && !self.phase.is_over(),
            Effect::Publish { .. } => true,
            _ => false,
        }
    }

    /// When what we said last is said again: until both sides have spoken after it, or it is over for a day.
    pub fn wake_at(&self) -> Option<Time> {
        if self.phase == CasePhase::Closed || self.said.is_empty() {
            return None;
        }
        let wait = RESEND.get(usize::try_from(self.resent).ok()?)?;
        Some(self.said_at.after(*wait))
    }
}

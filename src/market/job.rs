//! A job: the fold of its facts, and what follows from it (phase, next deadline, channel, grants).

mod escrow;
mod fold;
mod hearing;
mod milestone;
mod review;

pub use escrow::Escrow;
pub use hearing::{Hearing, Plea};
pub use milestone::{Reached, Words};
pub(crate) use review::refuted;
pub use review::{AUDIT_WAIT, Review, Seed, next_audit_nonce};

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::market::{
    Address, Attachment, Bid, BidId, Body, Certificate, Charge, Deadlines, Delivery, Digest,
    EventId, Fact, Gig, Grant, Invoice, JobId, Msat, Nonce, PaymentHash, Preimage, Pubkey, Record,
    Role, Signature, Span, Terms, Time,
};

/// Where a job stands. What may happen in each is in [`crate::market::step`].
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// A bid waits for an answer.
    Bid,
    /// Awarded, or another milestone has begun, in escrow: the money is not locked yet, so nobody works.
    Awarded,
    /// In escrow: the money is on its way to the worker's node, or held there and not yet confirmed.
    Funding,
    /// Awarded, and in escrow the money is locked: the worker works.
    Working,
    /// A delivery is signed: the requester fetches, inspects and decides.
    Delivered,
    /// In escrow: the judge was called.
    Disputed,
    /// The requester said pay: the worker bills.
    Accepted,
    /// A payment is in flight, in escrow released: it ends by the node's word and by nothing else.
    Paying,
    /// In escrow: the worker's node sends the money back. It ends by the node's word.
    Refunding,
    /// A milestone is paid and another follows: it begins when the other side has said the same.
    Reached,
    /// Everything is paid and everything opened. The end.
    Settled,
    /// The requester said no. An award can still come.
    Declined,
    /// The worker took the bid back. The end.
    Withdrawn,
    /// One side stopped it. The end, but for money that is on its way.
    Cancelled,
    /// A deadline passed. The end, but for money that is on its way.
    Expired,
    /// In escrow: the requester has the money back. The end.
    Refunded,
    /// A paid key did not open what was signed; the proof is made. The end.
    Cheated,
}

impl Phase {
    /// Whether nothing more is expected of anybody.
    pub fn is_over(self) -> bool {
        use Phase::{Cancelled, Cheated, Expired, Refunded, Settled, Withdrawn};
        matches!(self, Settled | Withdrawn | Cancelled | Expired | Refunded | Cheated)
    }

    /// One word for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Bid => "bid",
            Self::Awarded => "awarded",
            Self::Funding => "funding",
            Self::Working => "working",
            Self::Delivered => "delivered",
            Self::Disputed => "disputed",
            Self::Accepted => "accepted",
            Self::Paying => "paying",
            Self::Refunding => "refunding",
            Self::Refunded => "refunded",
            Self::Reached => "reached",
            Self::Settled => "settled",
            Self::Declined => "declined",
            Self::Withdrawn => "withdrawn",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Cheated => "cheated",
        }
    }
}

/// One author's chain of records, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Chain {
    /// The next sequence number.
    pub next: u64,
    /// The newest record.
    pub last: Option<Record>,
}

/// One tranche of the delivery that stands.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tranche {
    /// Worker: the invoice made. Requester: the invoice being paid or paid.
    pub invoice: Option<Invoice>,
    /// Worker: what the LSP keeps of it.
    pub lsp_fee: Msat,
    /// Requester: the most to pay in routing fees, once it is being paid.
    pub paying: Option<Msat>,
    /// Requester: the key, once paid.
    pub key: Option<Preimage>,
    /// Requester: it opened, and every chunk is right.
    pub opened: bool,
    /// Worker: held and being claimed: how much.
    pub claiming: Option<Msat>,
    /// Worker: the height after which the held payment is lost.
    pub deadline: Option<u32>,
    /// Worker: ours: how much.
    pub received: Option<Msat>,
    /// Routing fees paid.
    pub fee: Msat,
}

/// A delivery, from the first byte sealed to the last tranche opened.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// From 0; each try counts.
    pub number: u32,
    /// Worker: what the tranche keys are derived from, before the manifest says it.
    pub nonce: Option<Nonce>,
    /// Worker: the file.
    pub source: Option<PathBuf>,
    /// Worker: what it is called.
    pub name: String,
    /// Worker: words with it.
    pub message: String,
    /// The signed `deliver` record; its id is D.
    pub record: Option<Record>,
    /// When it was signed or heard, by our clock.
    pub at: Time,
    /// The ciphertext here (the plaintext in mode direct).
    pub blob: Option<PathBuf>,
    /// The vector file here.
    pub vector: Option<PathBuf>,
    /// Worker: hash and size of both files, as sealed.
    pub sizes: Option<[(Digest, u64); 2]>,
    /// Worker: h_t as sealed.
    pub hashes: Vec<PaymentHash>,
    /// Requester: everything that can be checked without the keys was.
    pub inspected: bool,
    /// Requester: how often it was lost here after that.
    pub damaged: u32,
    /// Its audit and its checks.
    pub review: Review,
    /// One each.
    pub tranches: Vec<Tranche>,
    /// Requester: the most to pay in routing fees, for each tranche.
    pub max_fee: Msat,
    /// Requester: where the plaintext lies.
    pub output: Option<PathBuf>,
    /// Requester: BLAKE3 of the plaintext.
    pub digest: Option<Digest>,
    /// Requester: the chunk and tranche that do not open.
    pub cheat: Option<(u32, u64)>,
    /// Requester: where the proof lies.
    pub proof: Option<PathBuf>,
}

impl Attempt {
    fn begin(number: u32, at: Time) -> Self {
        Self {
            number,
            nonce: None,
            source: None,
            name: String::new(),
            message: String::new(),
            record: None,
            at,
            blob: None,
            vector: None,
            sizes: None,
            hashes: Vec::new(),
            inspected: false,
            damaged: 0,
            review: Review::default(),
            tranches: Vec::new(),
            max_fee: Msat::ZERO,
            output: None,
            digest: None,
            cheat: None,
            proof: None,
        }
    }
    /// The body of the signed record.
    pub fn delivery(&self) -> Option<&Delivery> {
        match &self.record.as_ref()?.draft.body {
            Body::Deliver(delivery) => Some(delivery),
            _ => None,
        }
    }
    /// Whether it is the one of this `deliver` record.
    pub fn is(&self, manifest: &EventId) -> bool {
        self.record.as_ref().is_some_and(|record| record.id == *manifest)
    }
    /// Whether this file is one of its two.
    pub fn names(&self, blob: &Digest) -> bool {
        self.delivery().is_some_and(|d| {
            [d.manifest.blob, d.manifest.vector].iter().any(|hash| *hash.as_bytes() == blob.0)
        })
    }
    /// Whether this file of it is still to be fetched.
    pub fn awaits(&self, blob: &Digest) -> bool {
        let Some(m) = self.delivery().map(|d| &d.manifest) else { return false };
        let lacks = |hash: &[u8; 32], path: &Option<PathBuf>| *hash == blob.0 && path.is_none();
        self.names(blob) && !self.inspected
            || lacks(m.blob.as_bytes(), &self.blob)
            || lacks(m.vector.as_bytes(), &self.vector)
    }
    /// The tranche that is paid and not opened: there is at most one.
    pub fn unopened(&self) -> Option<u32> {
        let unopened = |t: &Tranche| t.key.is_some() && !t.opened;
        let t = self.tranches.iter().position(unopened).filter(|_| self.cheat.is_none())?;
        u32::try_from(t).ok()
    }
    /// The first tranche that is not paid; all of them are when it equals their number.
    pub fn next_unpaid(&self) -> u32 {
        let unpaid = |t: &Tranche| t.key.is_none() && t.received.is_none();
        let count = self.tranches.len();
        u32::try_from(self.tranches.iter().position(unpaid).unwrap_or(count)).unwrap_or(u32::MAX)
    }
    /// The tranche that this hash pays.
    pub fn tranche_of(&self, hash: &PaymentHash) -> Option<u32> {
        self.hashes.iter().position(|h| h == hash).and_then(|t| u32::try_from(t).ok())
    }
    /// Whether a payment is in flight or done.
    pub fn money_moved(&self) -> bool {
        self.tranches.iter().any(|t| {
            t.paying.is_some() || t.key.is_some() || t.claiming.is_some() || t.received.is_some()
        })
    }
}

/// A file of the other side's, or ours for them.
#[derive(Debug, Clone, PartialEq)]
pub struct Material {
    /// What it is.
    pub file: Attachment,
    /// Whose.
    pub from: Role,
    /// Where it lies here, once it does.
    pub path: Option<PathBuf>,
}

/// A job: everything that one log says.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// The log: the bid's id.
    pub id: BidId,
    /// Which side we are on.
    pub role: Role,
    /// The listing version that the bid answers.
    pub gig: Gig,
    /// The bid.
    pub bid: Bid,
    /// The milestone that is on, from 0.
    pub milestone: u32,
    /// The terms that hold while it is: see [`Job::terms`].
    pub current: Terms,
    /// The milestones that are paid and taken, in order.
    pub past: Vec<Reached>,
    /// What the two have said of the one that is on.
    pub words: Words,
    /// When it began: the award's date, or that of the later of the two words on the one before.
    pub begun_at: Option<Time>,
    /// The signed bid, as JSON: evidence.
    pub bid_event: String,
    /// The signed award, as JSON, once awarded.
    pub award_event: String,
    /// The worker's certificate.
    pub worker: Certificate,
    /// The requester's certificate, once awarded.
    pub requester: Option<Certificate>,
    /// Where the requester's endpoint is, once awarded.
    pub requester_address: Option<Address>,
    /// The channel's relays, once awarded.
    pub relays: Vec<String>,
    /// What our session key is derived from.
    pub nonce: Option<Nonce>,
    /// J, once awarded.
    pub job: Option<JobId>,
    /// What we said.
    pub ours: Chain,
    /// What they said.
    pub theirs: Chain,
    /// What we said that they have not shown to have seen, oldest first.
    pub unacknowledged: Vec<Record>,
    /// When we last said or repeated something, and how often it was repeated.
    pub said_at: Time,
    /// How often what we said last was repeated.
    pub resent: u32,
    /// Files other than the delivery.
    pub materials: Vec<Material>,
    /// The delivery that stands.
    pub attempt: Option<Attempt>,
    /// The escrow, once awarded; there exactly in that mode.
    pub escrow: Option<Escrow>,
    /// How many deliveries there were, refused ones included.
    pub deliveries: u32,
    /// Payment hashes of deliveries that stand no more: none of them is ever used again.
    pub former: Vec<PaymentHash>,
    /// The seed of the next audit, once awarded.
    pub seed: Option<Seed>,
    /// They signed two records with one number. The first proof of it is kept.
    pub equivocated: bool,
    /// Where the proof lies that they signed two things that cannot both stand.
    pub exposed: Option<PathBuf>,
    /// Requester: a key of theirs did not open what they had signed. It outlasts the delivery: in escrow that one
    /// is rejected, and the phase says nothing of it.
    pub cheated: bool,
    /// The last delivery that stands no more, as it was signed.
    pub rejected: Option<Record>,
    /// Our identity's signature on the receipt, if we gave it.
    pub signed: Option<Signature>,
    /// Theirs, as it came.
    pub countersigned: Option<Signature>,
    /// Where it stands.
    pub phase: Phase,
    /// When it came to stand there.
    pub since: Time,
    /// When the bid was made or heard.
    pub began: Time,
    /// When it was awarded: by the award's own date, however late it arrived here, so that both sides
    /// count from one moment.
    pub awarded_at: Option<Time>,
    /// When the other side last said anything in it, by our clock.
    pub heard_at: Option<Time>,
    /// Why the last delivery was refused, or why it ended.
    pub reason: Option<String>,
    /// Things a person should look at.
    pub stuck: Vec<String>,
    /// What automation was charged for it.
    pub charge: Charge,
    /// How many facts.
    pub n: u64,
}

/// How long after a silence what was said is said again: once each, then no more.
const RESEND: [Span; 5] = [Span(20), Span(120), Span(600), Span(3600), Span(6 * 3600)];
/// Whoever waits for the other side waits this much longer than the other side has: the requester for a
/// delivery, the worker for a payment. What was said in time may still be on its way.
pub const GRACE: Span = Span::HOUR;

impl Job {
    /// Begins a job with the first fact of its log; `None` unless it is a bid.
    pub fn begin(fact: &Fact, at: Time) -> Option<Self> {
        let Fact::Bid { role, record, certificate, gig, nonce, by } = fact else { return None };
        let Body::Bid(bid) = &record.draft.body else { return None };
        let first = Chain { next: 1, last: Some(record.clone()) };
        let (ours, theirs) = match role {
            Role::Worker => (first, Chain::default()),
            Role::Requester => (Chain::default(), first),
        };
        Some(Self {
            id: record.id,
            role: *role,
            gig: (**gig).clone(),
            bid: bid.clone(),
            milestone: 0,
            current: bid.terms.part(0)?,
            past: Vec::new(),
            words: Words::default(),
            begun_at: None,
            bid_event: record.event.clone(),
            award_event: String::new(),
            worker: certificate.clone(),
            requester: None,
            requester_address: None,
            relays: Vec::new(),
            nonce: *nonce,
            job: None,
            ours,
            theirs,
            unacknowledged: Vec::new(),
            said_at: at,
            resent: 0,
            materials: Vec::new(),
            attempt: None,
            escrow: None,
            deliveries: 0,
            former: Vec::new(),
            seed: None,
            equivocated: false,
            exposed: None,
            cheated: false,
            rejected: None,
            signed: None,
            countersigned: None,
            phase: Phase::Bid,
            since: at,
            began: at,
            awarded_at: None,
            heard_at: (*role == Role::Requester).then_some(at),
            reason: None,
            stuck: Vec::new(),
            charge: Charge { by: by.clone(), ..Charge::default() },
            n: 1,
        })
    }

    /// What holds now: the terms of the milestone that is on; all of them where there are none.
    pub fn terms(&self) -> &Terms {
        &self.current
    }
    /// Deadlines of what holds now.
    pub fn deadlines(&self) -> Deadlines {
        self.current.deadlines
    }
    /// The other side's identity.
    pub fn peer(&self) -> Pubkey {
        match self.role {
            Role::Requester => self.worker.identity,
            Role::Worker => self.gig.author,
        }
    }
    /// The other side's certificate, once it is known.
    pub fn peer_certificate(&self) -> Option<&Certificate> {
        match self.role {
            Role::Requester => Some(&self.worker),
            Role::Worker => self.requester.as_ref(),
        }
    }
    /// Whether we caught the worker in it: a key that opens something else, or paid work that fails its checks.
    pub fn caught(&self) -> bool {
        self.role == Role::Requester && (self.cheated || self.phase == Phase::Cheated)
    }
    /// Where the other side's endpoint is, once it is known.
    pub fn peer_address(&self) -> Option<&Address> {
        match self.role {
            Role::Requester => Some(&self.bid.address),
            Role::Worker => self.requester_address.as_ref(),
        }
    }
    /// The private channel, once awarded: our nonce, their session key, J.
    pub fn channel(&self) -> Option<(Nonce, Pubkey, JobId)> {
        Some((self.nonce?, self.peer_certificate()?.session, self.job?))
    }

    /// What the other side may fetch from us now, and nothing else. Derived from state, so that a restart
    /// serves what was served before.
    pub fn grants(&self) -> Vec<Grant> {
        let Some(to) = self.peer_certificate().map(|c| c.endpoint) else { return Vec::new() };
        let mut grants = Vec::new();
        // Who was paid for some of it goes on serving it: the requester's disk may lose it.
        let sold = |work: &Attempt| work.tranches.iter().any(|t| t.received.is_some());
        let ended = matches!(
            self.phase,
            Phase::Withdrawn | Phase::Cancelled | Phase::Expired | Phase::Refunded
        );
        if self.job.is_none() || ended && !self.attempt.as_ref().is_some_and(sold) {
            return grants;
        }
        for m in self.materials.iter().filter(|m| m.from == self.role) {
            if let Some(path) = &m.path {
                grants.push(Grant { blob: m.file.blob, size: m.file.size, path: path.clone(), to });
            }
        }
        if let (Role::Worker, Some(work)) = (self.role, &self.attempt)
            && let (Some(blob), Some(vector), Some([b, v])) = (&work.blob, &work.vector, work.sizes)
            && work.record.is_some()
        {
            grants.push(Grant { blob: b.0, size: b.1, path: blob.clone(), to });
            grants.push(Grant { blob: v.0, size: v.1, path: vector.clone(), to });
        }
        grants.extend(self.grants_to_judge());
        grants
    }

    /// Claims that were begun and not yet confirmed: asked for again at every start (lightning.md 2.4).
    pub fn claims(&self) -> Vec<(u32, PaymentHash, Msat)> {
        if let Some(escrow) = &self.escrow {
            return escrow.claim().into_iter().collect();
        }
        let Some(work) = &self.attempt else { return Vec::new() };
        let open = |(t, (hash, tranche)): (usize, (&PaymentHash, &Tranche))| {
            let amount = tranche.claiming.filter(|_| tranche.received.is_none())?;
            Some((u32::try_from(t).ok()?, *hash, amount))
        };
        work.hashes.iter().zip(&work.tranches).enumerate().filter_map(open).collect()
    }
    /// Payments that were begun and have not ended: asked about at every start.
    pub fn payments(&self) -> Vec<(u32, PaymentHash)> {
        if let Some(escrow) = &self.escrow {
            let open = escrow.paying.then_some((escrow.lock.attempt, escrow.lock.hash));
            return open.into_iter().collect();
        }
        let Some(work) = &self.attempt else { return Vec::new() };
        let open = |(t, (hash, tranche)): (usize, (&PaymentHash, &Tranche))| {
            let flying = tranche.paying.is_some() && tranche.key.is_none();
            flying.then_some((u32::try_from(t).ok()?, *hash))
        };
        work.hashes.iter().zip(&work.tranches).enumerate().filter_map(open).collect()
    }

    /// When the phase ends if nobody does anything, and what happens then. `None` where only the node's
    /// word ends it, or nothing does.
    pub fn deadline(&self) -> Option<(Time, &'static str)> {
        let d = self.deadlines();
        if self.phase == Phase::Reached {
            let what =
                "the other side has not gone on: the job ends with the milestones that are paid";
            return Some((self.since.after(d.pay).after(GRACE), what));
        }
        if self.escrow.is_some() {
            return self.escrow_deadline(GRACE);
        }
        match self.phase {
            Phase::Bid | Phase::Declined => {
                Some((self.bid.valid_until, "the bid lapses; nobody owes anything"))
            }
            Phase::Working => {
                let end = self.begun_at?.after(d.deliver);
                let what = "the job expires without a delivery; nothing is paid";
                match self.role {
                    Role::Worker => Some((end, what)),
                    Role::Requester => Some((end.after(GRACE), what)),
                }
            }
            Phase::Delivered | Phase::Accepted => {
                let end = self.attempt.as_ref()?.at.after(d.pay);
                match self.role {
                    Role::Requester => {
                        Some((end, "the job expires unpaid; the delivery stays sealed"))
                    }
                    Role::Worker => Some((
                        end.after(GRACE),
                        "the job expires unpaid; the work stays yours, still sealed",
                    )),
                }
            }
            _ => None,
        }
    }

    /// When what we said last is said again, unless it is acknowledged before.
    pub fn resend_at(&self) -> Option<Time> {
        if self.job.is_none() || self.unacknowledged.is_empty() {
            return None;
        }
        let wait = RESEND.get(usize::try_from(self.resent).ok()?)?;
        Some(self.said_at.after(*wait))
    }

    /// When what the judge has not answered is said again.
    pub fn resend_to_judge_at(&self) -> Option<Time> {
        if self.phase.is_over() {
            return None;
        }
        self.escrow.as_ref()?.hearing.resend_at()
    }

    /// The next moment at which time alone changes something. Deadlines are read from state, never
    /// scheduled: a crash loses none.
    pub fn wake_at(&self) -> Option<Time> {
        let deadline = self.deadline().map(|(at, _)| at);
        let to_judge = self.resend_to_judge_at();
        [deadline, self.resend_at(), to_judge].into_iter().flatten().min()
    }
}

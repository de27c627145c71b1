//! The receipt that both sides of a settled job sign with their identities, and what else speaks of people.

use serde::{Deserialize, Serialize};

use crate::market::{
    Digest, Job, JobId, PaymentHash, Pubkey, Reached, Refusal, Role, Signature, Span, Time,
};

/// The version of a receipt.
const VERSION: u32 = 1;
/// The largest bucket: one bitcoin, the highest price, has 2^26 sat and more.
pub const MOST_BUCKET: u8 = 26;
/// Tags of a listing, and so of a receipt.
const MOST_TAGS: usize = 16;
/// Bytes of a tag.
const LONGEST_TAG: usize = 48;

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ended {
    /// The work was paid for, all of it, and opened.
    Paid,
}

/// What both sides say of a job that ended well. Each computes it alone, from what both have signed; so it needs no
/// word between them but the two signatures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobReceipt {
    /// What was paid: at least 2^amount sat and less than twice that.
    pub amount: u8,
    /// The day of the delivery: whole days since 1970, in seconds.
    pub at: Time,
    /// J.
    pub job: JobId,
    /// How it ended.
    pub outcome: Ended,
    /// The last payment hash, salted with what only the two know: it can be shown to be this one, and nobody who
    /// routed the payment can tell.
    pub payment: Digest,
    /// Who paid.
    pub requester: Pubkey,
    /// The listing's hashtags.
    pub tags: Vec<String>,
    /// The terms hash.
    pub terms: Digest,
    /// The version: 1.
    pub v: u32,
    /// Who worked.
    pub worker: Pubkey,
}

/// A receipt with both signatures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CoSigned {
    /// What is said.
    pub receipt: JobReceipt,
    /// By the requester's identity.
    pub requester: Signature,
    /// By the worker's identity.
    pub worker: Signature,
}

/// What a proof proves.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Offence {
    /// A paid key does not open what the worker signed.
    Key,
    /// What the worker signed does not pass a check that it signed with it.
    Check,
    /// Two manifests with one delivery number.
    Deliveries,
    /// Two records with one sequence number.
    Records,
}

impl Offence {
    /// For a person, after "it".
    pub fn words(self) -> &'static str {
        match self {
            Self::Key => "signed a delivery that its own paid key does not open",
            Self::Check => "signed a delivery that does not pass a check which it signed with it",
            Self::Deliveries => "signed two deliveries with one number",
            Self::Records => "signed two records with one number",
        }
    }
}

/// What is known of people from elsewhere, every signature in it checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "lowercase")]
pub enum Testimony {
    /// Two say that a job between them ended well.
    Receipt {
        /// What they say.
        receipt: JobReceipt,
    },
    /// Somebody's own signatures convict it.
    Proof {
        /// Whom.
        against: Pubkey,
        /// In which job.
        job: JobId,
        /// Of what.
        offence: Offence,
    },
}

impl Testimony {
    /// Whom it is about.
    pub fn about(&self) -> Vec<Pubkey> {
        match self {
            Self::Receipt { receipt } => vec![receipt.requester, receipt.worker],
            Self::Proof { against, .. } => vec![*against],
        }
    }

    /// Its natural key: a job has one receipt, and one proof of each kind against each side.
    pub fn name(&self) -> Digest {
        let mut hasher = blake3::Hasher::new_derive_key("earnest/v1/testimony-name");
        match self {
            Self::Receipt { receipt } => {
                hasher.update(receipt.job.as_bytes());
            }
            Self::Proof { against, job, offence } => {
                hasher.update(job.as_bytes());
                hasher.update(against.as_bytes());
                hasher.update(&[*offence as u8]);
            }
        }
        Digest(*hasher.finalize().as_bytes())
    }

    /// The other side of a receipt.
    pub fn counterparty(&self, who: &Pubkey) -> Option<Pubkey> {
        match self {
            Self::Receipt { receipt } if receipt.requester == *who => Some(receipt.worker),
            Self::Receipt { receipt } if receipt.worker == *who => Some(receipt.requester),
            _ => None,
        }
    }
}

impl JobReceipt {
    /// Whether it keeps to its form. Says nothing about who signed it.
    ///
    /// # Errors
    /// `bad-receipt`, with what is wrong.
    pub fn check(&self) -> Result<(), Refusal> {
        let no = |what: &str| Err(Refusal::new("bad-receipt", format!("The receipt {what}.")));
        let plain = |tag: &String| {
            let word = |c: char| c.is_alphanumeric() && !c.is_uppercase() || c == '-' || c == '_';
            !tag.is_empty() && tag.len() <= LONGEST_TAG && tag.chars().all(word)
        };
        if self.v != VERSION {
            return no("has a version that this program does not read");
        }
        if self.requester == self.worker {
            return no("is of somebody with itself");
        }
        if self.amount > MOST_BUCKET || !self.at.0.is_multiple_of(Span::DAY.0) {
            return no("names no amount or no day that can be");
        }
        if self.tags.len() > MOST_TAGS || !self.tags.iter().all(plain) {
            return no("has tags that no listing has");
        }
        Ok(())
    }
}

impl Job {
    /// The hash of the last payment, once it is known.
    pub fn paid_hash(&self) -> Option<PaymentHash> {
        match (self.closed(), &self.escrow) {
            (Some(past), _) => past.hash,
            (None, Some(escrow)) => Some(escrow.lock.hash),
            (None, None) => self.attempt.as_ref()?.hashes.last().copied(),
        }
    }

    /// The milestone that was paid last, while nothing is delivered in the next.
    fn closed(&self) -> Option<&Reached> {
        let delivered = self.attempt.as_ref().is_some_and(|work| work.record.is_some());
        self.past.last().filter(|_| !delivered)
    }

    /// What there is to sign of this job as far as it is paid with this delivery, `payment` being its salted payment hash. `None` while there is no delivery,
    /// where it has no plausible date, or where one side is both.
    pub fn receipt(&self, payment: Digest, now: Time) -> Option<JobReceipt> {
        let delivered = match self.closed() {
            Some(past) => past.delivered,
            None => self.attempt.as_ref()?.record.as_ref()?.draft.at,
        };
        if delivered > now.after(Span::DAY) || delivered < self.began.before(Span::DAY) {
            return None;
        }
        let receipt = JobReceipt {
            amount: u8::try_from(self.worth().whole_sats().max(1).ilog2()).ok()?,
            at: Time(delivered.0 - delivered.0 % Span::DAY.0),
            job: self.job?,
            outcome: Ended::Paid,
            payment,
            requester: self.gig.author,
            tags: self.gig.tags.clone(),
            terms: self.worker.terms,
            v: VERSION,
            worker: self.worker.identity,
        };
        receipt.check().is_ok().then_some(receipt)
    }

    /// Both signatures on its receipt, once both are here: requester's and worker's. Nobody has looked yet whether
    /// the other side's is one.
    pub fn signatures(&self) -> Option<(Signature, Signature)> {
        let [ours, theirs] = match self.closed() {
            Some(past) => past.signed,
            None => [self.signed, self.countersigned],
        };
        let (ours, theirs) = (ours?, theirs?);
        Some(match self.role {
            Role::Requester => (ours, theirs),
            Role::Worker => (theirs, ours),
        })
    }
}

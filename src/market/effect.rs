//! Effects: what a step asks the world to do. Data; run at least once by the outbox; safe to repeat.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::market::{
    Address, Attachment, BillOrder, Digest, EventId, Job, Msat, Nonce, PayOrder, PaymentHash,
    Phase, Preimage, Pubkey, Record, Span, Time,
};

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "snake_case")]
pub enum Effect {
    /// Wrap a first contact, with proof of work, then publish it.
    First {
        /// Signed.
        record: Box<Record>,
        /// What its author's session key is derived from.
        nonce: Nonce,
        /// To this inbox or session key.
        to: Pubkey,
        /// There.
        relays: Vec<String>,
        /// Leading zero bits asked for.
        pow: u8,
    },
    /// Publish a signed event.
    Publish {
        /// The JSON form of NIP-01.
        event: String,
        /// Its id, in hex.
        id: EventId,
        /// There; the configured relays when empty.
        relays: Vec<String>,
    },
    /// Fetch a file from the other side.
    Fetch {
        /// What, and how large it is.
        file: Attachment,
        /// From whom.
        from: Address,
        /// What it is for.
        purpose: Purpose,
    },
    /// Seal a delivery.
    Seal {
        /// Which.
        number: u32,
        /// The file.
        source: PathBuf,
    },
    /// Recompute everything that can be checked without the keys.
    Inspect {
        /// Of this `deliver` record: an inspection may outlast the delivery that it is of.
        manifest: EventId,
    },
    /// Worker: the keys of the sample that this seed draws.
    Reveal {
        /// Of this `deliver` record.
        manifest: EventId,
        /// s_R.
        seed: Preimage,
    },
    /// Requester: open the sample with the worker's keys, and run the checks on it.
    Audit {
        /// Of this `deliver` record.
        manifest: EventId,
    },
    /// Requester: run the checks of the terms on an opened tranche.
    Check {
        /// Which.
        tranche: u32,
    },
    /// Decrypt a tranche and check every chunk.
    Open {
        /// Which.
        tranche: u32,
    },
    /// Judge: open the delivery with the keys that were handed over, and run the checks of the terms.
    Examine,
    /// Make the fraud proof.
    Prove {
        /// Of this tranche.
        tranche: u32,
        /// Of this chunk.
        chunk: u64,
        /// That it does not pass this check; absent, that it does not open.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        check: Option<Digest>,
    },
    /// Make the proof that the other side signed two things that cannot both stand. It is kept, and not published:
    /// the two hold words between the two of us.
    Expose {
        /// What it signed first, a signed event.
        before: String,
        /// What it signed then.
        record: String,
    },
    /// Publish the receipt that both have signed.
    Attest,
    /// Publish the fraud proof.
    Accuse {
        /// Where it lies.
        path: PathBuf,
    },
    /// Make an invoice.
    Bill {
        /// For this tranche.
        tranche: u32,
        /// What it says.
        order: BillOrder,
    },
    /// Pay.
    Pay {
        /// This tranche.
        tranche: u32,
        /// What is paid.
        order: PayOrder,
    },
    /// Claim a held payment.
    Claim {
        /// For this tranche.
        tranche: u32,
        /// Which.
        hash: PaymentHash,
        /// How much is held.
        amount: Msat,
    },
    /// Fail a held payment back.
    Fail {
        /// Which.
        hash: PaymentHash,
    },
    /// See what the node's channels hold for a hash.
    Look {
        /// Which.
        hash: PaymentHash,
    },
}

/// What a fetched file is for: decides where it is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// A file to work on, or for the other side to read.
    Input,
    /// The ciphertext of a delivery (the plaintext in mode direct).
    Blob,
    /// The vector file of a delivery.
    Vector,
}

/// How long after the end of a job work that was paid for is still fetched: a judge may rule while it is on its
/// way, and who has not served it by then does not mean to.
const STILL_FETCHED: Span = Span::DAY.times(3);

impl Effect {
    /// Its name, as in JSON.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::First { .. } => "first",
            Self::Publish { .. } => "publish",
            Self::Fetch { .. } => "fetch",
            Self::Seal { .. } => "seal",
            Self::Inspect { .. } => "inspect",
            Self::Reveal { .. } => "reveal",
            Self::Audit { .. } => "audit",
            Self::Check { .. } => "check",
            Self::Open { .. } => "open",
            Self::Examine => "examine",
            Self::Prove { .. } => "prove",
            Self::Expose { .. } => "expose",
            Self::Attest => "attest",
            Self::Accuse { .. } => "accuse",
            Self::Bill { .. } => "bill",
            Self::Pay { .. } => "pay",
            Self::Claim { .. } => "claim",
            Self::Fail { .. } => "fail",
            Self::Look { .. } => "look",
        }
    }

    /// The blob of a fetch.
    pub fn blob(&self) -> Option<Digest> {
        match self {
            Self::Fetch { file, .. } => Some(file.blob),
            _ => None,
        }
    }
}

/// Effects of one lane of one job run one after the other; lanes run beside each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// What is said.
    Talk,
    /// What is done with files.
    Files,
    /// What is done with money.
    Money,
}

impl Effect {
    /// Its lane.
    pub fn lane(&self) -> Lane {
        match self {
            Self::First { .. } | Self::Publish { .. } | Self::Accuse { .. } | Self::Attest => {
                Lane::Talk
            }
            Self::Fetch { .. }
            | Self::Seal { .. }
            | Self::Inspect { .. }
            | Self::Reveal { .. }
            | Self::Audit { .. }
            | Self::Check { .. }
            | Self::Open { .. }
            | Self::Prove { .. }
            | Self::Examine
            | Self::Expose { .. } => Lane::Files,
            Self::Bill { .. }
            | Self::Pay { .. }
            | Self::Claim { .. }
            | Self::Fail { .. }
            | Self::Look { .. } => Lane::Money,
        }
    }

    /// Whether the job still wants it: an effect that has been overtaken is dropped, not run.
    pub fn is_wanted(&self, job: &Job, now: Time) -> bool {
        if let Some(wanted) = job.escrow.as_ref().and_then(|e| e.wants(job, self)) {
            return wanted;
        }
        let attempt = job.attempt.as_ref();
        let owed = job.is_owed_work() && now < job.since.after(STILL_FETCHED);
        let over = job.phase.is_over() && !owed;
        let slot = |t: u32| attempt?.tranches.get(usize::try_from(t).ok()?);
        match self {
            Self::Pay { tranche, order } => {
                slot(*tranche).is_some_and(|t| t.paying.is_some() && t.key.is_none())
                    && attempt.is_some_and(|a| a.tranche_of(&order.hash) == Some(*tranche))
            }
            Self::Bill { tranche, order } => {
                slot(*tranche).is_some_and(|t| t.received.is_none())
                    && attempt.is_some_and(|a| a.tranche_of(&order.hash) == Some(*tranche))
                    && !job.phase.is_over()
            }
            Self::Claim { tranche, hash, .. } => {
                slot(*tranche).is_some_and(|t| t.received.is_none())
                    && attempt.is_some_and(|a| a.tranche_of(hash) == Some(*tranche))
            }
            Self::Fetch { purpose: Purpose::Input, .. } => !job.phase.is_over(),
            Self::Fetch { file, .. } => attempt.is_some_and(|a| a.awaits(&file.blob)) && !over,
            Self::Inspect { manifest } => {
                attempt.is_some_and(|a| !a.inspected && a.is(manifest)) && !over
            }
            Self::Seal { number, .. } => {
                attempt.is_some_and(|a| a.number == *number && a.record.is_none())
                    && !job.phase.is_over()
            }
            Self::Open { tranche } => slot(*tranche).is_some_and(|t| t.key.is_some() && !t.opened),
            Self::Reveal { manifest, seed } => job.may_be_audited_with(manifest, seed),
            Self::Audit { manifest } => {
                attempt.is_some_and(|a| a.is(manifest) && a.review.audited.is_none())
                    && !job.phase.is_over()
            }
            Self::Check { tranche } => attempt.is_some_and(|a| !a.review.checked.contains(tranche)),
            Self::Prove { .. } => attempt.is_some_and(|a| a.proof.is_none()),
            Self::Expose { .. } => job.exposed.is_none(),
            Self::Attest => job.phase == Phase::Settled && job.signatures().is_some(),
            // A judge's: see `Case::wants`.
            Self::Examine => false,
            Self::First { .. }
            | Self::Publish { .. }
            | Self::Accuse { .. }
            | Self::Fail { .. }
            | Self::Look { .. } => true,
        }
    }
}

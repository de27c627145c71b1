//! Judging a proof from its bytes alone: what anybody does who was handed one.

use super::certificate::read_certificate;
use super::limits::OUTER_BYTES;
use super::pair::judge_pair;
use super::proof::read_proof_event;
use super::record::read_record;
use super::rejected::{Code, Rejected};
use crate::market::{Body, EventId, JobId, Offence, Pubkey, Role};
use crate::seal::{
    CheckProof, FraudProof, Hash32, Looked, MAX_CHECK_PROOF_JSON, Signed, Verdict, verify,
    verify_check,
};
use crate::verify::{self, Checker, Scope};

/// What a proof proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// Somebody's own signatures convict it.
    Guilty {
        /// Whom.
        against: Pubkey,
        /// In which job.
        job: JobId,
        /// Of what.
        offence: Offence,
        /// The record that it signed; of two, the second.
        record: EventId,
        /// In which tranche, where it is about one.
        tranche: Option<u32>,
    },
    /// Nothing. Says nothing against anybody, and nothing for anybody.
    Invalid {
        /// Stable.
        code: &'static str,
        /// For a person.
        reason: String,
    },
}

impl Judgement {
    fn invalid(flaw: &crate::seal::Flaw) -> Self {
        Self::Invalid { code: flaw.code(), reason: flaw.to_string() }
    }
}

/// Judges a proof: its JSON, or the event (kind 3922) that published it. Needs no network, no clock and no keys.
/// Who published an event does not matter and is not looked at beyond its signature.
///
/// # Errors
/// [`Rejected`] where the bytes are no proof at all; that says nothing about anybody, like
/// [`Judgement::Invalid`].
pub fn verify_proof(bytes: &[u8]) -> Result<Judgement, Rejected> {
    let limit = OUTER_BYTES.max(MAX_CHECK_PROOF_JSON);
    if bytes.len() > limit {
        return Err(Rejected::too_large("the proof", bytes.len(), limit));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| not_a_proof())?.trim();
    let shape = Shape::of(text);
    let inner = if shape.is_event() { Some(read_proof_event(text)?.1) } else { None };
    let json = inner.as_deref().unwrap_or(text);
    let shape = if inner.is_some() { Shape::of(json) } else { shape };
    match shape.named() {
        Some("check") => by_check(json),
        Some("pair") => by_pair(json),
        _ => by_key(json),
    }
}

fn by_key(json: &str) -> Result<Judgement, Rejected> {
    let proof = FraudProof::from_json(json.as_bytes()).map_err(|_| not_a_proof())?;
    Ok(match verify(&proof, vouched) {
        Verdict::Guilty { identity, job, d, t } => Judgement::Guilty {
            against: Pubkey(*identity.as_bytes()),
            job: JobId(*job.as_bytes()),
            offence: Offence::Key,
            record: EventId(*d.as_bytes()),
            tranche: Some(t),
        },
        Verdict::Invalid(flaw) => Judgement::invalid(&flaw),
    })
}

fn by_check(json: &str) -> Result<Judgement, Rejected> {
    let proof = CheckProof::from_json(json.as_bytes()).map_err(|_| not_a_proof())?;
    Ok(match verify_check(&proof, vouched, look) {
        Ok(signed) => Judgement::Guilty {
            against: Pubkey(*signed.identity.as_bytes()),
            job: JobId(*signed.job.as_bytes()),
            offence: Offence::Check,
            record: EventId(*signed.d.as_bytes()),
            tranche: signed.manifest.tranche_of(proof.i),
        },
        Err(flaw) => Judgement::invalid(&flaw),
    })
}

/// What the check says of one record. One that looks at files or at the whole says something of a chunk only where
/// that is the whole.
fn look(body: &str, record: &[u8], whole: bool) -> Looked {
    let Ok(checker) = Checker::from_json(body.as_bytes()) else { return Looked::Nothing };
    if checker.scope() != Scope::Chunk && !whole {
        return Looked::Nothing;
    }
    match checker.look(record) {
        verify::Verdict::Pass => Looked::Passes,
        verify::Verdict::Fail { .. } => Looked::Fails,
        verify::Verdict::None { .. } => Looked::Nothing,
    }
}

fn by_pair(json: &str) -> Result<Judgement, Rejected> {
    let found = judge_pair(json)?;
    let guilty = found.and_then(|(certificate, offence, record)| {
        Some(Judgement::Guilty {
            against: certificate.identity,
            job: record.draft.job?,
            offence,
            record: record.id,
            tranche: None,
        })
    });
    Ok(guilty.unwrap_or_else(|| Judgement::Invalid {
        code: "proof.no_conflict",
        reason: "the two records can both stand".to_owned(),
    }))
}

/// What the two signed texts vouch for: a worker's certificate, and a delivery signed by the session key
/// that it certifies. The session key is of one job, so the record's job is the certificate's.
fn vouched(certificate: &str, record: &str) -> Result<Signed, Rejected> {
    let certificate = read_certificate(certificate)?;
    if certificate.role != Role::Worker {
        let sentence = "the certificate is not a worker's";
        return Err(Rejected::new(Code::WrongCertificate, sentence));
    }
    let record = read_record(record)?;
    if record.author != certificate.session {
        let sentence = "the record is not signed by the session key of the certificate";
        return Err(Rejected::new(Code::WrongAuthor, sentence));
    }
    let Some(job) = record.draft.job else {
        return Err(Rejected::new(Code::WrongJob, "the record is of no job"));
    };
    let Body::Deliver(delivery) = record.draft.body else {
        return Err(Rejected::new(Code::UnknownBody, "the record is no delivery"));
    };
    Ok(Signed {
        identity: Hash32::new(certificate.identity.0),
        session: Hash32::new(certificate.session.0),
        job: Hash32::new(job.0),
        d: Hash32::new(record.id.0),
        manifest: delivery.manifest,
    })
}

/// What tells events and proofs apart: the kind of an event is a number, that of a proof a word.
#[derive(Default, serde::Deserialize)]
struct Shape {
    kind: Option<serde_json::Value>,
}

impl Shape {
    fn of(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }
    fn is_event(&self) -> bool {
        self.kind.as_ref().is_some_and(serde_json::Value::is_number)
    }
    fn named(&self) -> Option<&str> {
        self.kind.as_ref()?.as_str()
    }
}

fn not_a_proof() -> Rejected {
    Rejected::new(Code::BadField, "this is not a proof of a version that this program reads")
}

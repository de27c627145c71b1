//! Judging a fraud proof from its bytes alone: what anybody does who was handed one.

use super::certificate::read_certificate;
use super::limits::OUTER_BYTES;
use super::proof::read_proof_event;
use super::record::read_record;
use super::rejected::{Code, Rejected};
use crate::market::{Body, Role};
use crate::seal::{FraudProof, Hash32, MAX_PROOF_JSON, Signed, Verdict, verify};

/// Judges a fraud proof: its JSON, or the event (kind 3922) that published it. Needs no network, no
/// clock and no keys. Who published an event does not matter and is not looked at beyond its signature.
///
/// # Errors
/// [`Rejected`] where the bytes are no proof at all; that says nothing about anybody, like
/// [`Verdict::Invalid`].
pub fn verify_proof(bytes: &[u8]) -> Result<Verdict, Rejected> {
    let limit = OUTER_BYTES.max(MAX_PROOF_JSON);
    if bytes.len() > limit {
        return Err(Rejected::too_large("the fraud proof", bytes.len(), limit));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| not_a_proof())?.trim();
    let inner = if is_event(text) { Some(read_proof_event(text)?.1) } else { None };
    let json = inner.as_deref().unwrap_or(text);
    let proof = FraudProof::from_json(json.as_bytes()).map_err(|_| not_a_proof())?;
    Ok(verify(&proof, vouched))
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

/// Whether a text is meant to be an event: a proof has no kind, and an event has no ciphertext.
fn is_event(text: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Shape {
        kind: Option<serde::de::IgnoredAny>,
    }
    serde_json::from_str::<Shape>(text).is_ok_and(|shape| shape.kind.is_some())
}

fn not_a_proof() -> Rejected {
    Rejected::new(Code::BadField, "this is not a fraud proof of a version that this program reads")
}

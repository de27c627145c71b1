//! The receipt (kind 3923): what both sides of a settled job sign with their identities, and the event that
//! publishes it.

use super::canonical::{read_canonical, to_canonical};
use super::event::{self, SigningKey};
use super::limits::RECEIPT_BYTES;
use super::proof::{PROOF, read_proof_event};
use super::rejected::{Code, Rejected};
use super::verdict::{Judgement, verify_proof};
use crate::market::{
    CoSigned, Digest, EventId, JobReceipt, PaymentHash, Pubkey, Signature, Testimony,
};

/// The kind of a receipt.
pub const RECEIPT: u16 = 3923;

/// The payment hash as a receipt names it: salted with S, the secret that the two sides share, so that nobody who
/// routed the payment knows it again.
pub fn salted(shared: &[u8; 32], hash: &PaymentHash) -> Digest {
    let mut input = [0; 64];
    input[..32].copy_from_slice(shared);
    input[32..].copy_from_slice(hash.as_bytes());
    Digest(blake3::derive_key("earnest/v1/receipt-payment", &input))
}

/// What one side signs: an event of its own, never published by itself, whose id is the message.
fn half(signer: &Pubkey, receipt: &JobReceipt) -> Result<nostr::UnsignedEvent, Rejected> {
    receipt.check().map_err(|why| Rejected::new(Code::BadField, why.sentence))?;
    let tags = vec![event::tag("v", ["1"])];
    Ok(event::unsigned(*signer, receipt.at, RECEIPT, tags, to_canonical(receipt)?))
}

/// One side's signature on a receipt. The same words give the same signature.
pub fn cosign(identity: &SigningKey, receipt: &JobReceipt) -> Result<Signature, Rejected> {
    let signed = identity.sign(half(&identity.pubkey(), receipt)?)?;
    Ok(Signature(signed.sig.serialize()))
}

fn is_signed(signer: &Pubkey, receipt: &JobReceipt, by: &Signature) -> Result<bool, Rejected> {
    let draft = half(signer, receipt)?;
    let Ok(signature) = nostr::secp256k1::schnorr::Signature::from_slice(&by.0) else {
        return Ok(false);
    };
    Ok(draft.add_signature(signature).is_ok_and(|event| event.verify().is_ok()))
}

/// Whether both have signed it.
fn check(signed: &CoSigned) -> Result<(), Rejected> {
    let CoSigned { receipt, requester, worker } = signed;
    for (signer, by) in [(&receipt.requester, requester), (&receipt.worker, worker)] {
        if !is_signed(signer, receipt, by)? {
            let sentence = "the receipt is not signed by both sides";
            return Err(Rejected::new(Code::BadSignature, sentence));
        }
    }
    Ok(())
}

/// The event that publishes a receipt. Whoever signs it says nothing by that: what counts are the two signatures
/// inside. The same receipt and publisher give the same event.
pub fn receipt_event(
    publisher: &SigningKey,
    signed: &CoSigned,
) -> Result<(EventId, String), Rejected> {
    check(signed)?;
    let receipt = &signed.receipt;
    let tags = vec![
        event::tag("v", ["1"]),
        event::tag("y", [super::CLIENT]),
        event::tag("p", [&receipt.requester.to_string()]),
        event::tag("p", [&receipt.worker.to_string()]),
    ];
    let content = to_canonical(signed)?;
    let draft = event::unsigned(publisher.pubkey(), receipt.at, RECEIPT, tags, content);
    let signed = publisher.sign(draft)?;
    let json = event::to_json(&signed)?;
    read_receipt_event(&json)?;
    Ok((event::id(&signed), json))
}

/// Reads such an event: size, signature, form, and both signatures inside.
pub fn read_receipt_event(json: &str) -> Result<CoSigned, Rejected> {
    let event = event::read(json, RECEIPT_BYTES, RECEIPT, "the receipt")?;
    if event::one(&event, "v")? != "1" {
        let sentence = "the receipt has a version that this program does not speak";
        return Err(Rejected::new(Code::UnknownVersion, sentence));
    }
    let signed: CoSigned = read_canonical(&event.content, RECEIPT_BYTES, "the receipt")?;
    check(&signed)?;
    Ok(signed)
}

/// What somebody hands us about people: a receipt or a proof, as an event, or a proof by itself. Everything in it is
/// verified.
///
/// # Errors
/// It is neither, or proves nothing.
pub fn read_testimony(json: &str) -> Result<Testimony, Rejected> {
    #[derive(serde::Deserialize)]
    struct Head {
        kind: Option<serde_json::Value>,
    }
    let head = serde_json::from_str::<Head>(json).ok().and_then(|head| head.kind);
    if head.as_ref().and_then(serde_json::Value::as_u64) == Some(u64::from(RECEIPT)) {
        return Ok(Testimony::Receipt { receipt: read_receipt_event(json)?.receipt });
    }
    if head.as_ref().and_then(serde_json::Value::as_u64) == Some(u64::from(PROOF)) {
        // Its signature and its size; what is in it is judged below.
        read_proof_event(json)?;
    }
    match verify_proof(json.as_bytes())? {
        Judgement::Guilty { against, job, offence, .. } => {
            Ok(Testimony::Proof { against, job, offence })
        }
        Judgement::Invalid { reason, .. } => {
            Err(Rejected::new(Code::BadField, format!("the proof proves nothing: {reason}")))
        }
    }
}

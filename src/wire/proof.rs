//! The fraud proof as an event (kind 3922): published, findable, checkable by anyone.

use super::event::{self, SigningKey};
use super::limits::{OUTER_BYTES, PROOF_BYTES};
use super::rejected::{Code, Rejected};
use crate::market::{EventId, Pubkey, Time};

/// The kind of a fraud proof.
pub const PROOF: u16 = 3922;

/// Signs the event that carries a proof, with the accuser's identity. What the proof shows is in its
/// content alone: the signature only says who published it, and the tag where to look for it.
pub fn proof_event(
    identity: &SigningKey,
    proof: &str,
    against: &Pubkey,
    now: Time,
) -> Result<(EventId, String), Rejected> {
    if proof.len() > PROOF_BYTES {
        return Err(Rejected::too_large("the fraud proof", proof.len(), PROOF_BYTES));
    }
    let tags = vec![
        event::tag("v", ["1"]),
        event::tag("y", [super::CLIENT]),
        event::tag("p", [&against.to_string()]),
    ];
    let draft = event::unsigned(identity.pubkey(), now, PROOF, tags, proof.to_owned());
    let json = event::to_json(&identity.sign(draft)?)?;
    read_proof_event(&json)?;
    let event = event::read(&json, OUTER_BYTES, PROOF, "the fraud proof")?;
    Ok((event::id(&event), json))
}

/// Reads such an event: who published it, and the proof to check with [`crate::seal`].
pub fn read_proof_event(json: &str) -> Result<(Pubkey, String), Rejected> {
    let event = event::read(json, OUTER_BYTES, PROOF, "the fraud proof")?;
    if event::one(&event, "v")? != "1" {
        let sentence = "the fraud proof has a version that this program does not speak";
        return Err(Rejected::new(Code::UnknownVersion, sentence));
    }
    if event.content.len() > PROOF_BYTES {
        return Err(Rejected::too_large("the fraud proof", event.content.len(), PROOF_BYTES));
    }
    Ok((event::author(&event), event.content))
}

//! The two hashes that tie a job together.

use crate::market::{Digest, EventId, JobId, Terms};

use super::canonical::to_canonical;
use super::rejected::Rejected;

/// J: `BLAKE3-derive-key("earnest/v1/job", bid id || award id)` (PROTOCOL.md 3). An award counts only for
/// one bid, so neither side can move a record from one job to another.
pub fn job_id(bid: &EventId, award: &EventId) -> JobId {
    let mut hasher = blake3::Hasher::new_derive_key("earnest/v1/job");
    hasher.update(&bid.0);
    hasher.update(&award.0);
    JobId(hasher.finalize().into())
}

/// `BLAKE3-derive-key("earnest/v1/terms", canonical JSON of the terms)`: what both certificates name.
/// An error only for terms with a number of 2^53 or above, which no limit lets through.
pub fn terms_hash(terms: &Terms) -> Result<Digest, Rejected> {
    let json = to_canonical(terms)?;
    Ok(Digest(blake3::derive_key("earnest/v1/terms", json.as_bytes())))
}

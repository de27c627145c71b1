//! The two hashes that tie a job together.

use crate::market::{Digest, EventId, JobId, Terms};

use super::canonical::to_canonical;

/// J: `BLAKE3-derive-key("earnest/v1/job", bid id || award id)` (PROTOCOL.md 3). An award counts only for
/// one bid, so neither side can move a record from one job to another.
pub fn job_id(bid: &EventId, award: &EventId) -> JobId {
    let mut hasher = blake3::Hasher::new_derive_key("earnest/v1/job");
    hasher.update(&bid.0);
    hasher.update(&award.0);
    JobId(hasher.finalize().into())
}

/// `BLAKE3-derive-key("earnest/v1/terms", canonical JSON of the terms)`: what both certificates name.
/// Terms that have no canonical form (a number of 2^53 or above) are refused by every limit of the wire;
/// their hash is that of nothing at all, which no certificate can be for.
pub fn terms_hash(terms: &Terms) -> Digest {
    let json = to_canonical(terms).unwrap_or_default();
    Digest(blake3::derive_key("earnest/v1/terms", json.as_bytes()))
}

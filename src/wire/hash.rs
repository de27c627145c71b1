//! The hash of the terms, which both certificates name.

use crate::market::{Digest, Terms};

use super::canonical::to_canonical;

/// `BLAKE3-derive-key("earnest/v1/terms", canonical JSON of the terms)`: what both certificates name.
/// Terms that have no canonical form (a number of 2^53 or above) are refused by every limit of the wire;
/// their hash is that of nothing at all, which no certificate can be for.
pub fn terms_hash(terms: &Terms) -> Digest {
    let json = to_canonical(terms).unwrap_or_default();
    Digest(blake3::derive_key("earnest/v1/terms", json.as_bytes()))
}

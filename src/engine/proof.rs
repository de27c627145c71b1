//! Orders for proofs: what a signature is to convict its author of.

use crate::engine::SealedAt;
use crate::market::{EventId, Preimage};

/// A proof to make: the certificate of whom it convicts, and what shows it.
#[derive(Debug, Clone)]
pub struct ProofOrder {
    /// The log whose folder it is put into.
    pub log: EventId,
    /// The signed certificate event.
    pub certificate: String,
    /// The record that was signed.
    pub record: String,
    /// What is wrong with it.
    pub shows: Shows,
}

/// What a proof shows.
#[derive(Debug, Clone)]
pub enum Shows {
    /// The paid key of tranche `t` does not open this chunk.
    Key {
        /// The delivery.
        at: Box<SealedAt>,
        /// Which tranche.
        t: u32,
        /// K_t.
        key: Preimage,
        /// Which chunk.
        chunk: u64,
    },
    /// The chunk, a whole record, does not pass this check.
    Check {
        /// The delivery.
        at: Box<SealedAt>,
        /// Which tranche.
        t: u32,
        /// K_t.
        key: Preimage,
        /// Which chunk.
        chunk: u64,
        /// The body of the check.
        check: String,
    },
    /// Another record that cannot stand beside it.
    Pair {
        /// Signed before it.
        before: String,
    },
}

//! Sealed deliverables and fraud proofs: what makes a Lightning preimage open exactly the work that
//! was signed, or convict.
//!
//! Pure: it computes over readers and writers it is given, with secrets and hashes it is given, and
//! knows no clock, dice, network, event or node. Byte layouts, test vectors and the reasons are in
//! `wire/PROTOCOL.md`, "Sealed deliveries" and on.
//!
//! The worker calls [`seal`]; the requester [`agree`], [`inspect`], perhaps [`sample`] and
//! [`check_openings`], pays, then [`open`], and if that names a chunk, [`prove`]; anyone calls
//! [`verify`].

mod audit;
mod batch;
mod chunk;
mod cut;
mod digest;
mod inspect;
mod key;
mod manifest;
mod opening;
mod proof;
mod refuted;
mod sealing;
mod tranche;
mod tree;
mod vector;
#[cfg(test)]
mod vectors;

pub use audit::{
    AuditError, Bound, Budget, MAX_OPENED, Opening, Request, Sampled, budget, check_openings,
    confidence, draw, openings, sample,
};
pub use chunk::MAX_CHUNK;
pub use cut::Cut;
pub use digest::Hash32;
pub use inspect::{Expected, InspectError, Inspected, Refused, Tranche, agree, inspect};
pub use key::{AuditSeed, ChannelSecret, ChunkKey, TrancheKey, TrancheKeys, TrancheSecret};
pub use manifest::{
    BadManifest, MAX_CHECKS, MAX_CHUNKS, MAX_MANIFEST_JSON, MAX_TOTAL, Manifest, Mode, VERSION,
};
pub use opening::{OpenError, Opened, open};
pub use proof::{
    BadProof, Flaw, FraudProof, MAX_PROOF_JSON, ProveError, Signed, Verdict, prove, verify,
};
pub use refuted::{Boundary, CheckProof, Looked, MAX_CHECK_PROOF_JSON, refute, verify_check};
pub use sealing::{Plan, SealError, Sealed, seal};
pub use tranche::{Coinciding, MAX_TRANCHES, amounts};
pub use vector::{ENTRY, Entry, VectorError};

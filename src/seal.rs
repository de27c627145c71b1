//! Sealed deliverables and fraud proofs. Pure.

use serde::{Deserialize, Serialize};

/// What a worker commits to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {}

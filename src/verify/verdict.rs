//! What a check says of some bytes.

use serde::{Deserialize, Serialize};

/// What a check says. The texts hold our own words, numbers and names from the check: whoever shows them
/// cleans them first, as the check may be a stranger's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "verdict", rename_all = "lowercase")]
pub enum Verdict {
    /// The bytes are what the check asks for.
    Pass,
    /// They are not.
    Fail {
        /// What is wrong.
        reason: String,
        /// Where: a line, a byte, a place in a document; empty when it is the whole.
        place: String,
    },
    /// The check cannot say. This is no evidence for or against anybody.
    None {
        /// Why it cannot.
        reason: String,
    },
}

impl Verdict {
    /// A failure of the whole.
    pub(super) fn fail(reason: impl Into<String>) -> Self {
        Self::Fail { reason: reason.into(), place: String::new() }
    }

    /// A failure somewhere.
    pub(super) fn fail_at(place: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Fail { reason: reason.into(), place: place.into() }
    }

    /// No verdict.
    pub(super) fn none(reason: impl Into<String>) -> Self {
        Self::None { reason: reason.into() }
    }

    /// Whether it is [`Verdict::Fail`].
    pub fn is_fail(&self) -> bool {
        matches!(self, Self::Fail { .. })
    }
}

//! Why bytes were not taken: a stable code and a sentence that never quotes a stranger.

use std::fmt;

/// Stable names of what can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Code {
    /// More bytes than the kind allows.
    TooLarge,
    /// Not a Nostr event, or its id is not the hash of it.
    NotAnEvent,
    /// An event of another kind.
    WrongKind,
    /// The signature is not its author's.
    BadSignature,
    /// Less proof of work than was asked for, or none committed.
    NoProofOfWork,
    /// Encrypted for somebody else, or broken.
    Undecryptable,
    /// Not canonical JSON.
    NotCanonical,
    /// A version that this program does not speak.
    UnknownVersion,
    /// A kind of body that this program does not speak.
    UnknownBody,
    /// A tag that is missing, repeated, unknown where none may be, or of a wrong form.
    BadTag,
    /// A field that is missing, unknown or of a wrong form.
    BadField,
    /// A value outside its limit.
    OutOfLimits,
    /// Dated in the future.
    FutureDated,
    /// Signed by somebody who may not say this.
    WrongAuthor,
    /// It belongs to another job.
    WrongJob,
    /// The certificate is for other terms, another side or another key.
    WrongCertificate,
}

impl Code {
    /// The stable form: kebab-case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too-large",
            Self::NotAnEvent => "not-an-event",
            Self::WrongKind => "wrong-kind",
            Self::BadSignature => "bad-signature",
            Self::NoProofOfWork => "no-proof-of-work",
            Self::Undecryptable => "undecryptable",
            Self::NotCanonical => "not-canonical",
            Self::UnknownVersion => "unknown-version",
            Self::UnknownBody => "unknown-body",
            Self::BadTag => "bad-tag",
            Self::BadField => "bad-field",
            Self::OutOfLimits => "out-of-limits",
            Self::FutureDated => "future-dated",
            Self::WrongAuthor => "wrong-author",
            Self::WrongJob => "wrong-job",
            Self::WrongCertificate => "wrong-certificate",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why bytes were not taken, or not made. The sentence holds our own words and numbers only: what a
/// stranger wrote never reaches a log through it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{sentence}")]
pub struct Rejected {
    /// Stable.
    pub code: Code,
    /// For a person.
    pub sentence: String,
}

impl Rejected {
    pub(crate) fn new(code: Code, sentence: impl Into<String>) -> Self {
        Self { code, sentence: sentence.into() }
    }

    pub(crate) fn too_large(what: &str, bytes: usize, limit: usize) -> Self {
        Self::new(Code::TooLarge, format!("{what} has {bytes} bytes; at most {limit} are taken"))
    }

    pub(crate) fn tag(name: &str, wrong: &str) -> Self {
        Self::new(Code::BadTag, format!("the tag `{name}` {wrong}"))
    }

    pub(crate) fn limit(sentence: impl Into<String>) -> Self {
        Self::new(Code::OutOfLimits, sentence)
    }
}

//! The judge of an escrow: what it signs, how a case is named, and what may be said to it (PROTOCOL.md 6.4).
//!
//! A judge holds a copy of x and never a coin. What passes between a side and the judge is a chain of its
//! own: a case, one for every lock.

use serde::{Deserialize, Serialize};

use crate::market::{
    Digest, EndpointId, EventId, Gig, Inbox, JobId, JudgeTerms, Network, Nonce, PaymentHash,
    Pubkey, Record, Refusal, Role, Side, Status, Time, Work,
};

/// The name of a case: of the judge's log, and the `j` of what is said in it.
pub type CaseId = EventId;

/// `H("earnest/v1/case", J | H)`: BLAKE3 in key-derivation mode. A lock that follows on another is another
/// case, so that no chain goes on from one to the next.
pub fn case_id(job: &JobId, hash: &PaymentHash) -> CaseId {
    let mut hasher = blake3::Hasher::new_derive_key("earnest/v1/case");
    hasher.update(job.as_bytes());
    hasher.update(hash.as_bytes());
    EventId(hasher.finalize().into())
}

/// A judge's identity's word that a session key judges one job (kind 3924, role `judge`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JudgeCertificate {
    /// The identity that signed it.
    pub identity: Pubkey,
    /// The session key that it certifies.
    pub session: Pubkey,
    /// The requester's identity.
    pub requester: Pubkey,
    /// The worker's identity.
    pub worker: Pubkey,
    /// J.
    pub job: JobId,
    /// Hash of the canonical terms.
    pub terms: Digest,
    /// What the session key was derived from.
    pub nonce: Nonce,
    /// The endpoint that serves and fetches evidence.
    pub endpoint: EndpointId,
    /// Which chain.
    pub network: Network,
    /// The signed event itself, as JSON: evidence.
    pub event: String,
}

/// What a requester knows of the judge's listing: where a case is brought, and at what price in work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JudgeDoor {
    /// Where it reads.
    pub inbox: Inbox,
    /// Leading zero bits asked of a first contact.
    pub pow: u8,
}

/// The hashtag of a listing whose judge rules by what a program can compute, and by nothing else.
pub const DETERMINISTIC: &str = "deterministic";
/// Open cases of one requester that a judge takes.
pub const MOST_CASES: usize = 32;
/// Records that a judge takes from one side in one case.
pub const MOST_BROUGHT: usize = 24;
/// The most bytes of a signed record that is handed to a judge, written as a text within a text, as it
/// travels.
pub const LODGED_BYTES: usize = 22 * 1024;

/// How long a text is once it is written into a text, that into another, and so on: so many times.
pub fn nested(text: &str, times: u32) -> usize {
    let times = times.clamp(1, 8);
    let deep = 1usize << times;
    let escaped = |c: char| match c {
        '"' | '\\' => deep,
        '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => deep / 2 + 1,
        c if c < ' ' => deep / 2 + 5,
        c => c.len_utf8(),
    };
    text.chars().map(escaped).sum()
}

/// Bytes of an appointment that are left for the records that the two will sign: a lock, an invoice, a height.
const PAPERS: usize = 7 * 1024;
/// The most that an appointment may be, which travels within a first contact.
const APPOINTMENT: usize = 26 * 1024;

/// Whether these signed events (a bid, its award, a listing) fit into an appointment together.
pub fn fit_an_appointment<'a>(events: impl IntoIterator<Item = &'a str>) -> bool {
    events.into_iter().map(|event| nested(event, 3)).sum::<usize>() + PAPERS <= APPOINTMENT
}

/// Whether a signed record can be handed to a judge, and by the judge to the other side.
pub fn can_be_lodged(record: &Record) -> bool {
    nested(&record.event, 2) <= LODGED_BYTES
}

/// Whether this listing is the one of a judge that can be named now.
pub fn check_judge(
    listing: &Gig,
    judge: &JudgeTerms,
    network: Network,
    now: Time,
) -> Result<(), Refusal> {
    let no = |code: &str, sentence: &str| Err(Refusal::new(code, sentence));
    if listing.offer.work != Work::Judge || listing.side != Side::Service {
        return no("not-a-judge", "The listing that the escrow names is not one of a judge.");
    }
    if listing.author != judge.identity {
        return no("wrong-judge", "The listing that the escrow names is of another judge.");
    }
    if listing.network != network {
        return no("wrong-network", "The judge works on another network.");
    }
    if listing.status == Status::Closed || now >= listing.expires_at {
        return no("judge-closed", "The judge takes no more cases.");
    }
    Ok(())
}

/// What is said of a judge whose listing is not in the book.
pub fn judge_unknown() -> Refusal {
    let sentence = "The judge's listing is not here, so nobody can say what it would do.";
    Refusal::new("judge-unknown", sentence)
        .next("Wait until the relays have shown it, or name another: earnest judge list")
}

/// Whether a judge is nobody of the job.
pub fn check_apart(judge: Option<&JudgeTerms>, parties: [&Pubkey; 2]) -> Result<(), Refusal> {
    match judge {
        Some(judge) if parties.contains(&&judge.identity) => {
            let sentence = "The judge that the escrow names is one of the two sides.";
            Err(Refusal::new("judge-is-party", sentence))
        }
        _ => Ok(()),
    }
}

/// What a judge found when it opened and checked the delivery again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "finding", rename_all = "snake_case")]
pub enum Finding {
    /// The files could not be had, or are not what was signed: there is nothing to rule for.
    Unfit {
        /// Stable.
        code: String,
        /// For a person.
        sentence: String,
    },
    /// The key does not open what the worker signed.
    Mismatch {
        /// The first chunk that shows it.
        chunk: u64,
    },
    /// Every chunk is what was signed; this is what the checks of the terms say.
    Opened {
        /// Where the plaintext lies.
        path: std::path::PathBuf,
        /// One or more a check.
        results: Vec<crate::market::Checked>,
    },
}

/// What an escrow with this judge does not cover, for the side that is to commit.
pub fn judged_risk(role: Role) -> &'static str {
    match role {
        Role::Worker => {
            "The money is locked before you work, and a judge holds a copy of the secret: if the requester \
             goes silent, it can rule for you. A judge who is silent, or in league with the requester, \
             costs you the work; call it in time."
        }
        Role::Requester => {
            "You see the work before you release the money, and a judge can release it for you: if you say \
             nothing in time, or it finds the work good. A judge in league with the worker costs you the \
             price. It never has the money itself."
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_text_within_texts_is_as_long_as_it_is_counted(text in ".{0,80}", times in 1u32..5) {
            let mut written = text.clone();
            for _ in 0..times {
                let json = serde_json::to_string(&written).unwrap_or_default();
                written = json[1..json.len() - 1].to_owned();
            }
            prop_assert_eq!(nested(&text, times), written.len());
        }
    }

    #[test]
    fn a_case_is_of_one_lock_of_one_job() {
        let (job, hash) = (JobId([1; 32]), PaymentHash([2; 32]));
        let case = case_id(&job, &hash);
        assert_ne!(case, case_id(&JobId([3; 32]), &hash));
        assert_ne!(case, case_id(&job, &PaymentHash([3; 32])));
        assert_ne!(case.0, job.0);
    }
}

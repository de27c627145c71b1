//! Escrow: the requester's money is held at the worker's own node, for a window of blocks (PROTOCOL.md 6).
//!
//! What is agreed, what a lock is, and the timetable. Heights are counted from P, the height that the
//! worker's `fund` names; nothing in here is counted by anybody's clock.

use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use crate::market::{Digest, EventId, JobId, Msat, Nonce, PaymentHash, Pubkey, Refusal, Role};

/// Blocks that a hold lasts unless the gig says otherwise: two days.
pub const WINDOW: u32 = 288;
/// The shortest: a day. Below it the timetable has no room for people.
pub const LEAST_WINDOW: u32 = 144;
/// The longest, over a channel that stands on the chain: five days.
pub const MOST_WINDOW: u32 = 720;
/// The longest over a channel that opens just in time: if the opening fails, the payer's money hangs as
/// long.
pub const MOST_WINDOW_JIT: u32 = 288;
/// Confirmations of the channel that carries the payment before it counts as locked (!).
pub const CONFIRMATIONS: u32 = 3;
/// Tries to lock the money, each with a secret of its own.
pub const MOST_LOCKS: u32 = 16;

/// What is agreed about an escrow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EscrowTerms {
    /// Blocks that the hold lasts, from the worker's tip when it makes the invoice.
    pub window: u32,
    /// Who rules if the two do not agree; nobody when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judge: Option<JudgeTerms>,
}

impl Default for EscrowTerms {
    fn default() -> Self {
        Self { window: WINDOW, judge: None }
    }
}

/// A judge that both sides agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JudgeTerms {
    /// Who.
    pub identity: Pubkey,
    /// The listing that says its fee and its rules.
    pub listing: EventId,
}

impl EscrowTerms {
    /// Whether this program can keep them.
    pub fn check(&self) -> Result<(), Refusal> {
        if !(LEAST_WINDOW..=MOST_WINDOW).contains(&self.window) {
            let sentence = format!(
                "An escrow of {} blocks is not possible: it lasts {LEAST_WINDOW} to {MOST_WINDOW}.",
                self.window
            );
            return Err(Refusal::new("bad-window", sentence).next("Split longer work into gigs."));
        }
        Ok(())
    }
}

/// One try to lock the money: H = SHA-256(x), x drawn by the requester from the nonce. The first stands in
/// the award; each later one has a fresh x, because a hash that came back is never used again (!).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// Of which milestone, from 0.
    pub milestone: u32,
    /// From 0, rising by one.
    pub attempt: u32,
    /// H.
    pub hash: PaymentHash,
    /// What x is derived from, so that phrase and transcript restore it.
    pub nonce: Nonce,
}

/// What an escrow does not cover, for the side that is to commit.
pub fn risk_of(terms: &EscrowTerms, role: Role) -> &'static str {
    match terms.judge {
        Some(_) => crate::market::judged_risk(role),
        None => escrow_risk(role),
    }
}

/// What an escrow without a judge does not cover, for the side that is to commit.
pub fn escrow_risk(role: Role) -> &'static str {
    match role {
        Role::Worker => {
            "The money is locked before you work, so the requester has it. But nobody judges: only the \
             requester can release it, and one who never does costs you the work, not the money."
        }
        Role::Requester => {
            "You see the work before you release the money. But it stays locked until the worker sends \
             it back or the time is over, also if nothing is delivered."
        }
    }
}

/// The `description_hash` of a hold invoice: `SHA-256(tag | J | milestone | attempt)`, the numbers `u32`
/// little-endian.
pub fn hold_purpose(job: &JobId, lock: &Lock) -> Digest {
    let mut hasher = sha2::Sha256::new();
    hasher.update(b"earnest/v1/escrow");
    hasher.update(job.as_bytes());
    hasher.update(lock.milestone.to_le_bytes());
    hasher.update(lock.attempt.to_le_bytes());
    Digest(hasher.finalize().into())
}

/// The final CLTV that a hold invoice may ask for: the window and LDK's 39 blocks, and 48 more at most.
pub fn final_cltv(window: u32) -> std::ops::RangeInclusive<u64> {
    u64::from(window) + 39..=u64::from(window) + 87
}

/// Blocks that a payer of ours adds for the route at most, and one for the block that is being found.
pub(super) const ROUTE: u32 = 289;

/// Blocks from the lock until the money is back at the latest if nothing happens: the window, what a hold invoice
/// may ask beyond it, and the route. What the invoice's own hints add is known when it is here.
pub fn longest_hold(window: u32) -> u32 {
    u32::try_from(*final_cltv(window).end()).unwrap_or(u32::MAX).saturating_add(ROUTE)
}

/// The tips at which the requester may pay, so that the real deadline is never before P: it begins to
/// count at the payer's tip (!).
pub fn payable_at(p: u32, window: u32) -> (u32, u32) {
    let tip = p.saturating_sub(window);
    (tip.saturating_sub(1), tip.saturating_add(6))
}

/// What the node sees of an incoming payment that waits for its secret. From its channels, never from
/// anybody's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    /// How much, rounded down to whole satoshis where the channels say no more.
    pub amount: Msat,
    /// The height from which it goes back.
    pub deadline: u32,
    /// Confirmations of the channel that carries it; of the youngest where there are several.
    pub confirmations: u32,
}

/// Heights that both sides and the judge act by, all counted from P.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timetable {
    /// P.
    pub end: u32,
    /// The window of the terms.
    pub window: u32,
}

/// Blocks before P at which the ruling and the claim are due: what a chain needs does not scale.
const RULING: u32 = 36;
const CLAIM: u32 = 12;

impl Timetable {
    /// Blocks before P, from those of a window of 288: what lies before the ruling is scaled.
    fn before(self, blocks: u32) -> u32 {
        let scaled = u64::from(blocks - RULING) * u64::from(self.window.saturating_sub(RULING))
            / u64::from(WINDOW - RULING);
        u32::try_from(scaled).unwrap_or(u32::MAX).saturating_add(RULING)
    }
    fn at(self, blocks: u32) -> u32 {
        self.end.saturating_sub(blocks)
    }
    /// With a judge: `holding` by now, or the money goes back.
    pub fn holding(self) -> u32 {
        self.at(self.before(252))
    }
    /// A delivery by now, or the money goes back.
    pub fn deliver(self) -> u32 {
        self.at(self.before(180))
    }
    /// `accept` or `reject` by now.
    pub fn verdict(self) -> u32 {
        self.at(self.before(108))
    }
    /// With a judge: a dispute by now.
    pub fn escalate(self) -> u32 {
        self.at(self.before(84))
    }
    /// With a judge: an objection by now.
    pub fn objection(self) -> u32 {
        self.at(self.before(48))
    }
    /// With a judge: a ruling by now.
    pub fn ruling(self) -> u32 {
        self.at(RULING)
    }
    /// The secret by now, or the worker's node sends the money back: a payment left to die of age may
    /// take a channel with it.
    pub fn claim(self) -> u32 {
        self.at(CLAIM)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn marks(t: Timetable) -> [u32; 7] {
        [t.holding(), t.deliver(), t.verdict(), t.escalate(), t.objection(), t.ruling(), t.claim()]
    }

    #[test]
    fn a_window_of_288_is_the_timetable_of_the_protocol() {
        let t = Timetable { end: 1000, window: 288 };
        assert_eq!(marks(t), [252, 180, 108, 84, 48, 36, 12].map(|before| 1000 - before));
    }

    proptest! {
        #[test]
        fn each_mark_comes_after_the_one_before_with_room_between(
            end in 10_000u32..2_000_000, window in LEAST_WINDOW..=MOST_WINDOW,
        ) {
            let t = Timetable { end, window };
            let marks = marks(t);
            prop_assert!(end - window < marks[0], "{marks:?}");
            for pair in marks.windows(2) {
                prop_assert!(pair[0] + 5 <= pair[1], "{marks:?}");
            }
            prop_assert_eq!(t.ruling(), end - 36);
            prop_assert_eq!(t.claim(), end - 12);
            // All heights count from P and from nothing else.
            let later = Timetable { end: end + 7, window };
            prop_assert_eq!(super::tests::marks(later), marks.map(|mark| mark + 7));
        }

        #[test]
        fn a_longer_window_leaves_more_time(window in LEAST_WINDOW..MOST_WINDOW) {
            let (short, long) =
                (Timetable { end: 10_000, window }, Timetable { end: 10_000, window: window + 1 });
            // From the lock to the mark, and from the mark to the end.
            for (a, b) in marks(short).into_iter().zip(marks(long)) {
                prop_assert!(b <= a);
                prop_assert!(b - (10_000 - window - 1) >= a - (10_000 - window));
            }
        }

        #[test]
        fn paid_at_any_tip_that_is_allowed_the_real_deadline_is_not_before_p(
            p in 10_000u32..2_000_000, window in LEAST_WINDOW..=MOST_WINDOW, late in 0u32..8,
            cltv in 0u64..49,
        ) {
            let (first, last) = payable_at(p, window);
            let tip = (first + late).min(last);
            let cltv = (*final_cltv(window).start() + cltv).min(*final_cltv(window).end());
            // LDK: the HTLC expires at tip + 1 + final CLTV, and goes back 39 blocks before.
            let deadline = u64::from(tip) + 1 + cltv - 39;
            prop_assert!(deadline >= u64::from(p));
            prop_assert!(deadline <= u64::from(p) + 7 + 48);
        }
    }

    #[test]
    fn only_what_can_be_kept_is_agreed_to() {
        let code = |terms: EscrowTerms| terms.check().map_err(|why| why.code);
        assert_eq!(code(EscrowTerms::default()), Ok(()));
        for window in [0, LEAST_WINDOW - 1, MOST_WINDOW + 1, u32::MAX] {
            assert_eq!(code(EscrowTerms { window, judge: None }), Err("bad-window".into()));
        }
        let judge = Some(JudgeTerms { identity: Pubkey([1; 32]), listing: EventId([2; 32]) });
        assert_eq!(code(EscrowTerms { window: WINDOW, judge }), Ok(()));
    }

    #[test]
    fn a_hold_invoice_is_for_one_try_of_one_job() {
        let lock =
            Lock { milestone: 0, attempt: 0, hash: PaymentHash([1; 32]), nonce: Nonce([2; 32]) };
        let here = hold_purpose(&JobId([3; 32]), &lock);
        assert_ne!(here, hold_purpose(&JobId([4; 32]), &lock));
        assert_ne!(here, hold_purpose(&JobId([3; 32]), &Lock { attempt: 1, ..lock }));
        assert_ne!(here, hold_purpose(&JobId([3; 32]), &Lock { milestone: 1, ..lock }));
    }
}

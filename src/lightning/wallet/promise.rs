//! What is promised to workers stays in the wallet: what would leave too little of it is refused.

use ldk_node::LightningBalance;
use ldk_node::payment::{PaymentDirection, PaymentKind};

use super::super::channels::msat;
use super::super::node::Inner;
use super::super::pay::payment_id;
use crate::engine::Fault;
use crate::market::{Msat, PaymentHash, Refusal};

/// What would leave the wallet by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaving {
    /// Over Lightning, the dearest route included.
    Lightning(Msat),
    /// Coins on the chain, without the chain's fee.
    Coins(Msat),
    /// What can be sent over a channel that would be closed.
    Channel(Msat),
}

/// What there is to keep a promise with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Have {
    /// Can be sent over Lightning now.
    lightning: Msat,
    /// Confirmed coins.
    coins: Msat,
    /// Of what is promised, already locked in HTLCs to workers.
    held: Msat,
}

impl Have {
    /// Whether what is promised can still be kept when this has left. Workers are paid over Lightning;
    /// coins on the chain count for what Lightning cannot cover, as a channel can be opened with them.
    fn without(self, leaving: Leaving, promised: Msat) -> Result<(), Refusal> {
        let due = promised.saturating_sub(self.held);
        let (amount, there, wanted, place) = match leaving {
            Leaving::Lightning(amount) | Leaving::Channel(amount) => {
                (amount, self.lightning, due, "over Lightning")
            }
            Leaving::Coins(amount) => {
                (amount, self.coins, due.saturating_sub(self.lightning), "on the chain")
            }
        };
        let left = there.saturating_sub(amount);
        if left >= wanted || amount == Msat::ZERO {
            return Ok(());
        }
        Err(Refusal::new(
            "promised",
            format!(
                "You have promised {due} to workers whose jobs you awarded, and this would leave \
                 {left} {place} to pay them with. No money moved."
            ),
        )
        .next("Pay or cancel those jobs first, or send less: earnest wallet balance shows both"))
    }
}

impl Inner {
    /// Refuses what would break a promise. Whoever goes on to send holds `by_hand_turn` meanwhile.
    pub(super) fn keep_promise(
        &self,
        leaving: Leaving,
        promised: Msat,
    ) -> Result<Result<(), Refusal>, Fault> {
        if promised == Msat::ZERO {
            return Ok(Ok(()));
        }
        let balances = self.ldk.list_balances();
        let have = Have {
            lightning: self.spendable(),
            coins: Msat::sats(balances.spendable_onchain_balance_sats).unwrap_or(Msat::MAX),
            held: self.held_for_workers(&balances.lightning_balances)?,
        };
        Ok(have.without(leaving, promised))
    }

    /// HTLCs in flight that pay jobs: invoices that were not paid by hand. One that is too small to show
    /// in a channel is not counted, which errs on the side of the promise.
    fn held_for_workers(&self, balances: &[LightningBalance]) -> Result<Msat, Fault> {
        let mut held = 0;
        for balance in balances {
            let LightningBalance::MaybeTimeoutClaimableHTLC {
                payment_hash,
                amount_satoshis,
                outbound_payment: true,
                ..
            } = balance
            else {
                continue;
            };
            let hash = PaymentHash(payment_hash.0);
            let invoice = self.ldk.payment(&payment_id(&hash)).is_some_and(|paid| {
                paid.direction == PaymentDirection::Outbound
                    && matches!(paid.kind, PaymentKind::Bolt11 { .. })
            });
            if invoice && !self.hashes.is_by_hand(&hash)? {
                held += amount_satoshis * 1000;
            }
        }
        Ok(msat(held))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sats(n: u64) -> Msat {
        Msat::sats(n).unwrap()
    }

    #[test]
    fn what_is_promised_stays() {
        let have = Have { lightning: sats(100), coins: sats(50), held: Msat::ZERO };
        let may = |leaving, promised| have.without(leaving, sats(promised)).is_ok();
        use Leaving::{Channel, Coins, Lightning};
        for (leaving, promised, allowed) in [
            (Lightning(sats(100)), 0, true),
            (Lightning(sats(60)), 40, true),
            (Lightning(sats(61)), 40, false),
            // Coins are not Lightning until a channel is open.
            (Lightning(sats(61)), 140, false),
            (Coins(sats(50)), 100, true),
            (Coins(sats(50)), 101, false),
            (Coins(sats(20)), 130, true),
            (Coins(sats(21)), 130, false),
            (Channel(sats(60)), 40, true),
            (Channel(sats(100)), 1, false),
            // More is promised than there is: a channel that carries nothing may go.
            (Channel(Msat::ZERO), 200, true),
        ] {
            assert_eq!(may(leaving, promised), allowed, "{leaving:?} of {promised}");
        }
        // What is on its way to a worker is promised and no longer there: it is counted once.
        let paying = Have { held: sats(40), ..have };
        assert!(paying.without(Lightning(sats(100)), sats(40)).is_ok());
        assert!(paying.without(Lightning(sats(100)), sats(41)).is_err());
    }

    #[test]
    fn the_reason_names_the_figures() {
        let have = Have { lightning: sats(10_000), ..Have::default() };
        let refusal = have.without(Leaving::Lightning(sats(6_000)), sats(5_000)).unwrap_err();
        assert_eq!(refusal.code, "promised");
        assert!(refusal.sentence.contains("promised 5,000 sat"), "{}", refusal.sentence);
        assert!(
            refusal.sentence.contains("leave 4,000 sat over Lightning"),
            "{}",
            refusal.sentence
        );
        assert!(refusal.sentence.ends_with("No money moved."));
    }
}

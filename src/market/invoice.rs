//! Invoices: a decoded BOLT 11 invoice and what must hold before it is paid (PROTOCOL.md 4).

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use crate::market::{
    Digest, EventId, Mode, Msat, Network, NodeId, PaymentHash, Refusal, Span, Time,
};

/// A BOLT 11 invoice, decoded, its signature checked.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invoice {
    /// The text that is paid.
    pub text: String,
    /// Who is paid: recovered from the signature.
    pub payee: NodeId,
    /// For which preimage.
    pub hash: PaymentHash,
    /// How much; `None` in an invoice for any amount.
    pub amount: Option<Msat>,
    /// On which chain.
    pub network: Network,
    /// After this, no more.
    pub expires_at: Time,
    /// What it is for.
    pub description_hash: Option<Digest>,
    /// Blocks the last HTLC must live.
    pub min_final_cltv: u64,
    /// Blocks that the longest of its route hints adds.
    #[serde(default)]
    pub hint_cltv: u64,
}

impl fmt::Debug for Invoice {
    /// Not the text: whoever reads a log could pay it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invoice")
            .field("hash", &self.hash)
            .field("amount", &self.amount)
            .field("payee", &self.payee)
            .field("network", &self.network)
            .field("expires_at", &self.expires_at)
            .field("min_final_cltv", &self.min_final_cltv)
            .finish_non_exhaustive()
    }
}

/// What an invoice must say to be paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// The node in the worker's certificate.
    pub payee: NodeId,
    /// h_t of the manifest.
    pub hash: PaymentHash,
    /// The tranche's part of the price.
    pub amount: Msat,
    /// The network of the terms.
    pub network: Network,
    /// [`purpose`] of the delivery and tranche.
    pub description_hash: Digest,
}

/// An invoice must be good for at least this much longer, or the payment may outlive it.
pub const LEAST_LEFT: Span = Span(30);
/// LDK accepts a payment up to two hours past expiry; one more for clocks (PROTOCOL.md 4).
pub const BILL_AGAIN_AFTER: Span = Span(3 * 3600);
/// How long an invoice for a tranche can be paid.
pub const BILL_EXPIRY: Span = Span::HOUR;
/// The final CLTV that we ask of a payment that is claimed at once, in blocks. LDK's own 42 is refused by
/// the payee's node when the payer's is three blocks behind, and blocks come in bursts.
pub const FINAL_CLTV: u64 = 54;
/// The most that we pay. More would let the payee lock the payer's money for long.
const MOST_FINAL_CLTV: u64 = 72;
/// The most that the hints may ask for, in blocks: two hops of the longest delta in use. Whoever signs them
/// may own the nodes that they name, and lock the money there as well as at the end (!).
const MOST_HINT_CLTV: u64 = 288;

/// The `description_hash` of an invoice: `SHA-256(tag || D || t as u32 little-endian)`, so that the
/// payee's node signs what the money is for. D is the id of the `deliver` record.
pub fn purpose(mode: Mode, delivery: &EventId, tranche: u32) -> Digest {
    let tag: &[u8] = match mode {
        Mode::Sealed => b"earnest/v1/sealed",
        Mode::Direct => b"earnest/v1/direct",
        Mode::Escrow => b"earnest/v1/escrow",
    };
    let mut hasher = sha2::Sha256::new();
    hasher.update(tag);
    hasher.update(delivery.as_bytes());
    hasher.update(tranche.to_le_bytes());
    Digest(hasher.finalize().into())
}

impl Invoice {
    /// Whether this invoice asks for exactly what is due, and can still be paid.
    pub fn check(&self, due: &Due, now: Time) -> Result<(), Refusal> {
        self.check_held(due, 0..=MOST_FINAL_CLTV, now)
    }

    /// The same, for an invoice whose last HTLC must live so many blocks.
    pub fn check_held(
        &self,
        due: &Due,
        blocks: std::ops::RangeInclusive<u64>,
        now: Time,
    ) -> Result<(), Refusal> {
        let no = |code: &str, what: String| {
            Err(Refusal::new(code, format!("The invoice {what}. Nothing was paid."))
                .next("Ask the worker for a right one; if it comes wrong again, cancel the job."))
        };
        if self.network != due.network {
            return no("invoice-network", "is for another network".into());
        }
        if self.payee != due.payee {
            return no("invoice-payee", "pays another node than the worker certified".into());
        }
        if self.hash != due.hash {
            return no("invoice-hash", "is not for the key that opens this delivery".into());
        }
        if self.amount != Some(due.amount) {
            let asked = self.amount.map_or("any amount".into(), |a| a.to_string());
            return no("invoice-amount", format!("asks for {asked}, not for {}", due.amount));
        }
        if self.description_hash != Some(due.description_hash) {
            return no("invoice-purpose", "does not say that it is for this delivery".into());
        }
        if !blocks.contains(&self.min_final_cltv) {
            let asked = self.min_final_cltv;
            let (least, most) = blocks.into_inner();
            let what = match asked > most {
                true => format!("could lock the money for {asked} blocks, and {most} are the most"),
                false => format!("locks the money for {asked} blocks, and {least} are needed"),
            };
            return no("invoice-lock", what);
        }
        if self.hint_cltv > MOST_HINT_CLTV {
            let asked = self.hint_cltv;
            let what = format!(
                "could lock the money for {asked} blocks on its way, and {MOST_HINT_CLTV} are the most"
            );
            return no("invoice-lock", what);
        }
        if now.after(LEAST_LEFT) >= self.expires_at {
            return no("invoice-expired", "has expired".into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due() -> Due {
        Due {
            payee: NodeId([2; 33]),
            hash: PaymentHash([1; 32]),
            amount: Msat::sats(21_000).unwrap(),
            network: Network::Regtest,
            description_hash: purpose(Mode::Sealed, &EventId([3; 32]), 0),
        }
    }

    fn right() -> Invoice {
        Invoice {
            text: "lnbcrt1".into(),
            payee: NodeId([2; 33]),
            hash: PaymentHash([1; 32]),
            amount: Msat::sats(21_000),
            network: Network::Regtest,
            expires_at: Time(4600),
            description_hash: Some(purpose(Mode::Sealed, &EventId([3; 32]), 0)),
            min_final_cltv: 44,
            hint_cltv: 0,
        }
    }

    #[test]
    fn only_the_invoice_that_is_due_is_paid() {
        let code = |i: &Invoice, at| i.check(&due(), Time(at)).map_err(|r| r.code);
        assert_eq!(code(&right(), 1000), Ok(()));
        let wrong = |name: &str, change: &dyn Fn(&mut Invoice)| {
            let mut invoice = right();
            change(&mut invoice);
            assert_eq!(code(&invoice, 1000), Err(name.to_string()));
        };
        wrong("invoice-network", &|i| i.network = Network::Bitcoin);
        wrong("invoice-payee", &|i| i.payee = NodeId([3; 33]));
        wrong("invoice-hash", &|i| i.hash = PaymentHash([9; 32]));
        wrong("invoice-amount", &|i| i.amount = Msat::sats(21_001));
        wrong("invoice-amount", &|i| i.amount = None);
        wrong("invoice-purpose", &|i| i.description_hash = None);
        wrong("invoice-purpose", &|i| {
            i.description_hash = Some(purpose(Mode::Sealed, &EventId([3; 32]), 1));
        });
        wrong("invoice-purpose", &|i| {
            i.description_hash = Some(purpose(Mode::Direct, &EventId([3; 32]), 0));
        });
        wrong("invoice-lock", &|i| i.min_final_cltv = 900);
        wrong("invoice-lock", &|i| i.hint_cltv = 289);
        assert_eq!(code(&right(), 4590), Err("invoice-expired".to_string()));
        assert_eq!(code(&right(), 9999), Err("invoice-expired".to_string()));
    }
}

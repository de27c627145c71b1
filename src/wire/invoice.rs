//! Invoices: BOLT 11 text to what the market needs to know of it.

use std::str::FromStr;

use bitcoin::hashes::Hash as _;
use ldk_node::lightning_invoice::{Bolt11Invoice, Bolt11InvoiceDescriptionRef, Currency};

use crate::market::{Digest, Invoice, Msat, Network, NodeId, PaymentHash, Time};

/// The longest invoice that is looked at, in bytes. One with a description hash and a few route hints
/// is under a thousand.
pub const MAX_INVOICE: usize = super::limits::INVOICE_BYTES;

/// Why a text is not an invoice that we take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAnInvoice {
    /// Longer than [`MAX_INVOICE`].
    #[error("an invoice of {0} bytes is longer than any real one; at most {MAX_INVOICE} are read")]
    TooLong(usize),
    /// Not BOLT 11, or its checksum or signature is wrong.
    #[error("this is not a valid Lightning invoice: {0}")]
    Form(String),
    /// A chain that is none of ours.
    #[error("this invoice is for a test network that earnest does not know")]
    Network,
    /// More than 21 million bitcoin.
    #[error("this invoice asks for more bitcoin than there will ever be")]
    Amount,
}

/// Reads a BOLT 11 invoice and checks checksum, signature and the rules that BOLT 11 makes for fields.
/// Whether it has expired and is the one expected is for the caller to judge.
///
/// # Errors
/// [`NotAnInvoice`], with a sentence for a person.
pub fn decode(text: &str) -> Result<Invoice, NotAnInvoice> {
    if text.len() > MAX_INVOICE {
        return Err(NotAnInvoice::TooLong(text.len()));
    }
    let parsed =
        Bolt11Invoice::from_str(text).map_err(|why| NotAnInvoice::Form(why.to_string()))?;
    let network = match parsed.currency() {
        Currency::Bitcoin => Network::Bitcoin,
        Currency::BitcoinTestnet => Network::Testnet,
        Currency::Signet => Network::Signet,
        Currency::Regtest => Network::Regtest,
        Currency::Simnet => return Err(NotAnInvoice::Network),
    };
    let amount = match parsed.amount_milli_satoshis() {
        None => None,
        Some(msat) => Some(Msat::new(msat).ok_or(NotAnInvoice::Amount)?),
    };
    let description_hash = match parsed.description() {
        Bolt11InvoiceDescriptionRef::Hash(sha) => Some(Digest(sha.0.to_byte_array())),
        Bolt11InvoiceDescriptionRef::Direct(_) => None,
    };
    let hints = parsed.route_hints();
    let hints = hints
        .iter()
        .map(|hint| hint.0.iter().map(|hop| u64::from(hop.cltv_expiry_delta)).sum::<u64>());
    let hint_cltv = hints.max().unwrap_or(0);
    let expires_at = parsed.expires_at().map_or(u64::MAX, |at| at.as_secs());
    Ok(Invoice {
        text: text.to_owned(),
        payee: NodeId(parsed.get_payee_pub_key().serialize()),
        hash: PaymentHash(parsed.payment_hash().to_byte_array()),
        amount,
        network,
        expires_at: Time(expires_at),
        description_hash,
        min_final_cltv: parsed.min_final_cltv_expiry_delta(),
        hint_cltv,
    })
}

#[cfg(test)]
mod tests {
    use bitcoin::hashes::{Hash as _, sha256};
    use bitcoin::secp256k1::{PublicKey, Secp256k1, SecretKey};
    use ldk_node::lightning_invoice::{InvoiceBuilder, PaymentSecret};
    use proptest::prelude::*;

    use super::*;

    fn signed(currency: Currency, msat: Option<u64>, at: u64, cltv: u64, key: [u8; 32]) -> String {
        let key = SecretKey::from_slice(&key).unwrap();
        let mut builder = InvoiceBuilder::new(currency)
            .description_hash(sha256::Hash::hash(b"what it pays for"))
            .payment_hash(sha256::Hash::hash(&[7; 32]))
            .payment_secret(PaymentSecret([9; 32]))
            .duration_since_epoch(std::time::Duration::from_secs(at))
            .expiry_time(std::time::Duration::from_secs(3600))
            .min_final_cltv_expiry_delta(cltv);
        if let Some(msat) = msat {
            builder = builder.amount_milli_satoshis(msat);
        }
        builder
            .build_signed(|hash| Secp256k1::new().sign_ecdsa_recoverable(hash, &key))
            .unwrap()
            .to_string()
    }

    proptest! {
        #[test]
        fn what_was_signed_is_what_is_read(
            // BOLT 11 counts tenths of a millisatoshi: the builder takes no more than fit 64 bits.
            msat in 1..=u64::MAX / 10, at in 1u64..4_000_000_000, cltv in 9u64..2000,
            which in 0usize..4,
        ) {
            let (currency, network) = [
                (Currency::Bitcoin, Network::Bitcoin),
                (Currency::Signet, Network::Signet),
                (Currency::BitcoinTestnet, Network::Testnet),
                (Currency::Regtest, Network::Regtest),
            ][which].clone();
            let text = signed(currency, Some(msat), at, cltv, [5; 32]);
            let read = decode(&text).unwrap();
            let payee = PublicKey::from_secret_key(
                &Secp256k1::new(), &SecretKey::from_slice(&[5; 32]).unwrap());
            prop_assert_eq!(read, Invoice {
                text,
                payee: NodeId(payee.serialize()),
                hash: PaymentHash(sha256::Hash::hash(&[7; 32]).to_byte_array()),
                amount: Msat::new(msat),
                network,
                expires_at: Time(at + 3600),
                description_hash: Some(Digest(
                    sha256::Hash::hash(b"what it pays for").to_byte_array())),
                min_final_cltv: cltv,
                hint_cltv: 0,
            });
        }

        #[test]
        fn one_changed_letter_is_refused(place in 0usize..200, to in "[a-z0-9]") {
            let text = signed(Currency::Regtest, Some(1000), 1_700_000_000, 42, [5; 32]);
            let place = place % text.len();
            let mut bad = text.clone();
            bad.replace_range(place..=place, &to);
            if bad != text {
                prop_assert!(decode(&bad).is_err());
            }
        }

        #[test]
        fn any_text_is_survived(text in "\\PC{0,300}") {
            let _ = decode(&text);
            let _ = decode(&format!("lnbcrt{text}"));
        }
    }

    #[test]
    fn what_is_too_long_or_elsewhere_is_refused() {
        let long = "lnbc1".repeat(MAX_INVOICE);
        assert_eq!(decode(&long), Err(NotAnInvoice::TooLong(long.len())));
        let simnet = signed(Currency::Simnet, Some(1000), 1_700_000_000, 42, [5; 32]);
        assert_eq!(decode(&simnet), Err(NotAnInvoice::Network));
        assert!(matches!(decode(""), Err(NotAnInvoice::Form(_))));
    }

    #[test]
    fn an_amount_may_be_left_to_the_payer() {
        let open = signed(Currency::Regtest, None, 1_700_000_000, 42, [5; 32]);
        assert_eq!(decode(&open).unwrap().amount, None);
    }
}

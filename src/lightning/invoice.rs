//! Making an invoice our own: the one that ldk-node made, again, with the final CLTV that we want.
//!
//! ldk-node 0.7.1 gives a held payment about four blocks and has no setting for it. The payment secret
//! in the invoice binds amount and expiry and at most a *minimum* of final CLTV (LDK
//! `ln/inbound_payment.rs`), so the same invoice with a larger one, signed by the same node key, is as
//! good to LDK as its own.

use std::time::Duration;

use anyhow::{anyhow, ensure};
use bitcoin::bip32::Xpriv;
use bitcoin::secp256k1::{Secp256k1, SecretKey};
use ldk_node::lightning::sign::KeysManager;
use ldk_node::lightning_invoice::{Bolt11Invoice, InvoiceBuilder};

/// LDK fails a held HTLC back this many blocks before it expires (`HTLC_FAIL_BACK_BUFFER`).
pub(super) const FAIL_BACK: u64 = 39;

/// Signs invoices with the node's key.
pub(super) struct Signer {
    key: SecretKey,
}

impl Signer {
    /// Derives the node key as ldk-node does: BIP-32 master of the seed, its key bytes into LDK's keys
    /// manager.
    pub(super) fn new(seed: &[u8; 64], network: bitcoin::Network) -> anyhow::Result<Self> {
        let master = Xpriv::new_master(network, seed)?;
        let keys = KeysManager::new(&master.private_key.secret_bytes(), 0, 0, true);
        Ok(Self { key: keys.get_node_secret_key() })
    }

    /// The same invoice with this final CLTV delta, or its own if that is larger.
    pub(super) fn lengthen(
        &self,
        invoice: &Bolt11Invoice,
        min_final_cltv: u64,
    ) -> anyhow::Result<Bolt11Invoice> {
        let amount = invoice.amount_milli_satoshis().ok_or_else(|| anyhow!("it has no amount"))?;
        let seconds = Duration::from_secs(invoice.duration_since_epoch().as_secs());
        let mut builder = InvoiceBuilder::new(invoice.currency())
            .invoice_description_ref(invoice.description())
            .payment_hash(*invoice.payment_hash())
            .payment_secret(*invoice.payment_secret())
            .amount_milli_satoshis(amount)
            .duration_since_epoch(seconds)
            .expiry_time(invoice.expiry_time())
            .min_final_cltv_expiry_delta(min_final_cltv.max(invoice.min_final_cltv_expiry_delta()))
            .basic_mpp();
        for hint in invoice.route_hints() {
            builder = builder.private_route(hint);
        }
        let signed = builder
            .build_signed(|hash| Secp256k1::new().sign_ecdsa_recoverable(hash, &self.key))
            .map_err(|why| anyhow!("{why:?}"))?;
        ensure!(
            signed.get_payee_pub_key() == invoice.get_payee_pub_key(),
            "our signature is not that of the node"
        );
        Ok(signed)
    }
}

impl Drop for Signer {
    fn drop(&mut self) {
        self.key.non_secure_erase();
    }
}

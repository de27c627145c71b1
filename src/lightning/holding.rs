//! What the channels hold for a hash: the only witness of a payment that waits for its preimage.

use ldk_node::LightningBalance;

use super::channels::msat;
use super::invoice::FAIL_BACK;
use super::node::Inner;
use crate::market::{Holding, PaymentHash};

impl Inner {
    /// The incoming payment of this hash that waits for its preimage, over all channels that carry parts
    /// of it. One of dust does not show.
    pub(super) fn holding(&self, hash: &PaymentHash) -> Option<Holding> {
        let balances = self.ldk.list_balances().lightning_balances;
        let parts: Vec<_> = balances
            .iter()
            .filter_map(|balance| match balance {
                LightningBalance::MaybePreimageClaimableHTLC {
                    channel_id,
                    amount_satoshis,
                    expiry_height,
                    payment_hash,
                    ..
                } if payment_hash.0 == hash.0 => {
                    Some((*channel_id, *amount_satoshis, *expiry_height))
                }
                _ => None,
            })
            .collect();
        let expiry = parts.iter().map(|(_, _, expiry)| *expiry).min()?;
        let channels = self.ldk.list_channels();
        let confirmations = |id| {
            let channel = channels.iter().find(|c| c.channel_id == id);
            // A channel that is closing stands on the chain, and shows no more here.
            channel.map_or(0, |c| c.confirmations.unwrap_or(0))
        };
        let amount = parts.iter().map(|(_, sats, _)| sats.saturating_mul(1000)).sum();
        Some(Holding {
            amount: msat(amount),
            deadline: expiry.saturating_sub(u32::try_from(FAIL_BACK).unwrap_or(0)),
            confirmations: parts.iter().map(|(id, ..)| confirmations(*id)).min().unwrap_or(0),
        })
    }
}

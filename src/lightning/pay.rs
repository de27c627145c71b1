//! Paying: once, whatever crashes.

use std::sync::PoisonError;

use ldk_node::lightning::ln::channelmanager::PaymentId;
use ldk_node::lightning::routing::router::RouteParametersConfig;
use ldk_node::lightning_invoice::Bolt11Invoice;
use ldk_node::payment::{PaymentDetails, PaymentDirection, PaymentKind, PaymentStatus};
use ldk_node::{LightningBalance, NodeError};

use super::channels::msat;
use super::hashes::{Hashes, Sent};
use super::node::{Inner, unix_now};
use crate::engine::{Fault, PayOrder, PaymentState};
use crate::market::{Invoice, Msat, PaymentHash, Preimage};
use crate::wire;

/// Every LDK hop refuses an HTLC that expires later than this many blocks from now
/// (`CLTV_FAR_FAR_AWAY`); a day is left for heights that differ.
const FARTHEST: u64 = 2_016 - 144;

/// Blocks beyond what the invoice itself asks for: first none, so that LDK's random shadow offset does
/// not delay a refund; then room for one more hop, then for two or three (PROTOCOL.md 5.7).
const MARGINS: [u64; 3] = [1, 144, 288];

/// What the whole route may ask for, try by try, where the invoice and its hints ask for so much.
fn limits(least: u64) -> [u32; 3] {
    MARGINS
        .map(|margin| u32::try_from(least.saturating_add(margin).min(FARTHEST)).unwrap_or(u32::MAX))
}

/// Below this, one path.
const SINGLE_PATH_MSAT: u64 = 10_000_000;

fn never(why: &str) -> Fault {
    Fault::Never(format!("{why} Nothing was paid."))
}

pub(super) fn payment_id(hash: &PaymentHash) -> PaymentId {
    PaymentId(hash.0)
}

impl Inner {
    /// Pays what a job agreed on: an invoice of exactly this amount.
    pub(super) fn pay(&self, order: &PayOrder) -> Result<PaymentState, Fault> {
        let read = wire::decode(&order.invoice).map_err(|why| never(&format!("{why}.")))?;
        if read.amount.is_none() {
            return Err(never("This invoice is not the one that was agreed on."));
        }
        self.pay_once(order, &read)
    }

    /// Pays an invoice, this amount where it leaves that open: once, however often it is asked for.
    pub(super) fn pay_once(&self, order: &PayOrder, read: &Invoice) -> Result<PaymentState, Fault> {
        if read.hash != order.hash || read.amount.is_some_and(|amount| amount != order.amount) {
            return Err(never("This invoice is not the one that was agreed on."));
        }
        self.may_pay(read)?;
        let stripe = usize::from(order.hash.0[0]) % self.paying.len();
        let _turn = self.paying[stripe].lock().unwrap_or_else(PoisonError::into_inner);

        let id = payment_id(&order.hash);
        let details = self.ldk.payment(&id);
        if details.as_ref().is_some_and(|p| p.direction == PaymentDirection::Inbound) {
            return Err(never("This node itself asked to be paid for this hash."));
        }
        match self.state(&order.hash, details.as_ref())? {
            state @ PaymentState::Paid { .. } => return Ok(state),
            _ if self.elsewhere(&order.hash)? == Some(Sent::Intent) => {
                return Err(doubt_elsewhere());
            }
            PaymentState::InFlight if !self.may_be_lost(details.as_ref(), &order.hash) => {
                return Ok(PaymentState::InFlight);
            }
            _ => {}
        }
        let invoice: Bolt11Invoice =
            order.invoice.parse().map_err(|_| never("This is not a valid Lightning invoice."))?;

        // LDK looks for a route before it looks for the same payment in flight, so to be told of no route
        // proves nothing where an earlier try may still be under way.
        let pending = details.as_ref().is_some_and(|p| p.status == PaymentStatus::Pending);
        let doubt = pending || self.hashes.sent(&order.hash)? == Some(Sent::Intent);
        let tip = self.ldk.status().current_best_block.height;
        let elsewhere = order.tips.is_some_and(|(first, last)| !(first..=last).contains(&tip));
        if read.expires_at.0 <= unix_now() || elsewhere {
            // An HTLC of this size shows in its channel; a smaller one need not.
            const SHOWS: u64 = 1_000_000;
            let shown = order.amount.get() >= SHOWS
                && !self.in_a_channel(&order.hash)
                && self.ldk.list_channels().iter().all(|c| c.is_usable);
            return Err(if doubt && !shown {
                in_doubt()
            } else if elsewhere {
                never(
                    "Blocks came since the invoice was made, so that it would hold the payment too long or too short. Ask for a new one.",
                )
            } else {
                never("This invoice has expired. Ask for a new one.")
            });
        }
        self.hashes.intend(&order.hash)?;
        if pending {
            // A record of a payment that LDK may never have written down. LDK itself refuses the same
            // payment while it has it; only the record stands in the way of asking it.
            self.ldk
                .remove_payment(&id)
                .map_err(|why| Fault::Later(format!("{why} Nothing new was paid.")))?;
        }
        self.send(&invoice, order, read.min_final_cltv, doubt)
    }

    /// Of our network, and not our own.
    pub(super) fn may_pay(&self, read: &Invoice) -> Result<(), Fault> {
        if read.network != self.network {
            return Err(never(&format!(
                "This invoice is for {:?}, and this node is on {:?}.",
                read.network, self.network
            )));
        }
        if read.payee == self.id {
            return Err(never("This invoice is our own."));
        }
        Ok(())
    }

    fn send(
        &self,
        invoice: &Bolt11Invoice,
        order: &PayOrder,
        min_final_cltv: u64,
        doubt: bool,
    ) -> Result<PaymentState, Fault> {
        let hints = invoice
            .route_hints()
            .into_iter()
            .map(|hint| hint.0.iter().map(|hop| u64::from(hop.cltv_expiry_delta)).sum::<u64>());
        let least = min_final_cltv.saturating_add(hints.max().unwrap_or(0));
        if least.saturating_add(MARGINS[0]) > FARTHEST {
            if !doubt {
                self.hashes.failed(&order.hash, "It would be held too long. Nothing was paid.")?;
            }
            return Err(Fault::Never(format!(
                "This invoice wants the payment to be held for {least} blocks, and none can be \
                 held for more than {FARTHEST}. Nothing was paid."
            )));
        }
        for limit in limits(least) {
            let parameters = RouteParametersConfig {
                max_total_routing_fee_msat: Some(order.max_fee.get()),
                max_total_cltv_expiry_delta: limit,
                max_path_count: if order.amount.get() < SINGLE_PATH_MSAT { 1 } else { 10 },
                ..RouteParametersConfig::default()
            };
            let payments = self.ldk.bolt11_payment();
            let sent = match invoice.amount_milli_satoshis() {
                Some(_) => payments.send(invoice, Some(parameters)),
                None => payments.send_using_amount(invoice, order.amount.get(), Some(parameters)),
            };
            match sent {
                // Already in flight, says LDK, whatever the records say.
                Ok(_) | Err(NodeError::DuplicatePayment) => return Ok(PaymentState::InFlight),
                // No route within this limit: nothing left the wallet.
                Err(NodeError::PaymentSendingFailed) => {}
                Err(NodeError::NotRunning) => {
                    return Err(Fault::Later(
                        "The Lightning node is stopped. Nothing was paid.".to_owned(),
                    ));
                }
                Err(NodeError::PersistenceFailed) => {
                    return Err(Fault::Later(
                        "The payment may be on its way, and the disk could not be written. It is \
                         never sent twice; make room on the disk."
                            .to_owned(),
                    ));
                }
                Err(why) if doubt => {
                    return Err(Fault::Later(format!("{why} An earlier try may be on its way.")));
                }
                Err(why) => {
                    self.hashes.failed(&order.hash, &why.to_string())?;
                    return Err(Fault::Never(format!("{why} Nothing was paid.")));
                }
            }
        }
        if doubt {
            return Err(in_doubt());
        }
        let reason = self.why_no_route(order);
        self.hashes.failed(&order.hash, &reason)?;
        Ok(PaymentState::Failed { reason })
    }

    fn why_no_route(&self, order: &PayOrder) -> String {
        let spendable = self.spendable();
        let usable = self.ldk.list_channels().iter().any(|c| c.is_usable);
        if !usable {
            "No channel can be used now: the wallet has none, or its peers are away. Nothing was \
             paid."
                .to_owned()
        } else if spendable < order.amount {
            format!(
                "The wallet can send {spendable} over Lightning now, and this is {}. Nothing was \
                 paid.",
                order.amount
            )
        } else {
            format!(
                "No route to the payee's node for {} with a fee of at most {}. Nothing was paid.",
                order.amount, order.max_fee
            )
        }
    }

    pub(super) fn spendable(&self) -> Msat {
        let channels = self.ldk.list_channels();
        channels.iter().filter(|c| c.is_usable).map(|c| msat(c.next_outbound_htlc_limit_msat)).sum()
    }

    pub(super) fn lookup(&self, hash: &PaymentHash) -> Result<PaymentState, Fault> {
        let details = self.ldk.payment(&payment_id(hash));
        self.state(hash, details.filter(|p| p.direction == PaymentDirection::Outbound).as_ref())
    }

    /// What another payer of ours has done about it, now or before it was taken out of the configuration.
    fn elsewhere(&self, hash: &PaymentHash) -> Result<Option<Sent>, Fault> {
        match &self.payer {
            Some(dir) => Hashes::sent_elsewhere(dir, hash),
            None => Ok(None),
        }
    }

    /// What became of a payment: from ldk-node's record, from ours where that one has a gap, and from
    /// the channels themselves.
    fn state(
        &self,
        hash: &PaymentHash,
        details: Option<&PaymentDetails>,
    ) -> Result<PaymentState, Fault> {
        let ours = self.hashes.sent(hash)?;
        if let Some(Sent::Paid { preimage, fee }) = ours {
            return Ok(PaymentState::Paid { preimage, fee });
        }
        match self.elsewhere(hash)? {
            Some(Sent::Paid { preimage, fee }) => return Ok(PaymentState::Paid { preimage, fee }),
            Some(Sent::Intent) => return Ok(PaymentState::InFlight),
            Some(Sent::Failed { .. }) | None => {}
        }
        if let Some(details) = details {
            match details.status {
                PaymentStatus::Succeeded => {
                    if let Some(preimage) = preimage_of(details) {
                        let fee = msat(details.fee_paid_msat.unwrap_or(0));
                        return Ok(PaymentState::Paid { preimage, fee });
                    }
                }
                PaymentStatus::Pending => return Ok(PaymentState::InFlight),
                // Tried again since, perhaps: then only the channels and LDK know.
                PaymentStatus::Failed if ours == Some(Sent::Intent) => {}
                PaymentStatus::Failed => {
                    let reason = match ours {
                        Some(Sent::Failed { reason }) => reason,
                        _ => "The payment did not go through. Nothing was paid.".to_owned(),
                    };
                    return Ok(PaymentState::Failed { reason });
                }
            }
        }
        Ok(match ours {
            Some(Sent::Failed { reason }) => PaymentState::Failed { reason },
            Some(_) if self.in_a_channel(hash) => PaymentState::InFlight,
            // Intended, and no trace of it: paying again asks LDK, which knows.
            _ => PaymentState::Unknown,
        })
    }

    /// A record in flight from before this process started, of which no channel shows an HTLC: it may
    /// be on its way (too small to show), or LDK may have been killed before it wrote it down.
    fn may_be_lost(&self, details: Option<&PaymentDetails>, hash: &PaymentHash) -> bool {
        details.is_some_and(|p| p.latest_update_timestamp < self.started)
            && !self.in_a_channel(hash)
    }

    fn in_a_channel(&self, hash: &PaymentHash) -> bool {
        self.ldk.list_balances().lightning_balances.iter().any(|balance| {
            matches!(balance, LightningBalance::MaybeTimeoutClaimableHTLC {
                payment_hash, outbound_payment: true, ..
            } if payment_hash.0 == hash.0)
        })
    }
}

fn in_doubt() -> Fault {
    Fault::Later(
        "An earlier try to pay this invoice may still be on its way, and the node cannot tell \
         before its channels are up again. It is never paid twice; ask again."
            .to_owned(),
    )
}

fn doubt_elsewhere() -> Fault {
    Fault::Later(
        "The remote wallet that paid before was asked to pay this and has not said what came of it. It may \
         have paid, so it is not paid again: put its address back (wallet.nwc) and start earnest, which then \
         asks it."
            .to_owned(),
    )
}

pub(super) fn preimage_of(details: &PaymentDetails) -> Option<Preimage> {
    match &details.kind {
        PaymentKind::Bolt11 { preimage, .. } | PaymentKind::Bolt11Jit { preimage, .. } => {
            preimage.map(|p| Preimage::new(p.0))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_try_locks_money_for_longer_than_was_said() {
        // PROTOCOL.md 6.3: 1 block, then 144, then 288 over what the invoice and its hints ask for.
        assert_eq!(limits(399), [400, 543, 687]);
        assert_eq!(
            limits(FARTHEST - 200).map(u64::from),
            [FARTHEST - 199, FARTHEST - 56, FARTHEST]
        );
        assert_eq!(limits(u64::MAX).map(u64::from), [FARTHEST; 3]);
    }
}

//! Events: what ldk-node says, in the market's words, the same one until it is committed.

use std::sync::PoisonError;

use ldk_node::Event;
use ldk_node::lightning::events::PaymentFailureReason;
use ldk_node::payment::PaymentStatus;

use super::channels::msat;
use super::node::{Inner, Node};
use super::pay::{payment_id, preimage_of};
use crate::engine::{Fault, NodeEvent};
use crate::market::{PaymentHash, Preimage};

/// Whether the event at the head of ldk-node's queue was given out: only then may it be taken off.
#[derive(Debug, Default)]
pub(super) struct Given(bool);

impl Node {
    pub(super) async fn next_event(&self) -> NodeEvent {
        let _alone = self.consumer.lock().await;
        loop {
            // Waits without holding anything; what is there stays there.
            let _ = self.inner.ldk.next_event_async().await;
            match self.call(|inner| inner.give()).await {
                Ok(Some(event)) => return event,
                Ok(None) => {}
                Err(fault) => {
                    // The disk is full, or the node is stopping: the event waits, and so do we.
                    tracing::warn!(%fault, "a Lightning event cannot be read now");
                    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                }
            }
        }
    }

    pub(super) async fn event_handled(&self) -> Result<(), Fault> {
        self.call(|inner| {
            let mut given = inner.given.lock().unwrap_or_else(PoisonError::into_inner);
            if given.0 {
                inner.take_off()?;
                given.0 = false;
            }
            Ok(())
        })
        .await
    }
}

impl Inner {
    /// The event at the head, in our words; those that mean nothing to the market are taken off.
    fn give(&self) -> Result<Option<NodeEvent>, Fault> {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(event) = self.ldk.next_event() {
            if let Some(said) = self.say(&event)? {
                given.0 = true;
                return Ok(Some(said));
            }
            self.take_off()?;
        }
        Ok(None)
    }

    fn take_off(&self) -> Result<(), Fault> {
        self.ldk.event_handled().map_err(|why| {
            Fault::Later(format!("The node cannot write that an event was handled: {why}."))
        })
    }

    /// Writes down what must not be forgotten, then says it.
    fn say(&self, event: &Event) -> Result<Option<NodeEvent>, Fault> {
        Ok(match event {
            Event::PaymentClaimable {
                payment_hash, claimable_amount_msat, claim_deadline, ..
            } => {
                let hash = PaymentHash(payment_hash.0);
                self.hashes.held(&hash)?;
                Some(NodeEvent::Claimable {
                    hash,
                    amount: msat(*claimable_amount_msat),
                    deadline: *claim_deadline,
                })
            }
            Event::PaymentReceived { payment_hash, amount_msat, .. } => Some(NodeEvent::Received {
                hash: PaymentHash(payment_hash.0),
                amount: msat(*amount_msat),
            }),
            Event::PaymentSuccessful { payment_hash, payment_preimage, fee_paid_msat, .. } => {
                let hash = PaymentHash(payment_hash.0);
                let stored = || self.ldk.payment(&payment_id(&hash)).as_ref().and_then(preimage_of);
                let preimage = payment_preimage.map(|p| Preimage::new(p.0)).or_else(stored);
                let Some(preimage) = preimage else {
                    tracing::error!(%hash, "LDK says paid and gives no proof: left to lookup");
                    return Ok(None);
                };
                let fee = msat(fee_paid_msat.unwrap_or(0));
                self.hashes.paid(&hash, &preimage, fee)?;
                Some(NodeEvent::Paid { hash, preimage, fee })
            }
            Event::PaymentFailed { payment_id: id, payment_hash, reason } => {
                // Of a BOLT 11 payment the id is the hash.
                let hash = payment_hash.map(|h| h.0).or(id.map(|id| id.0)).map(PaymentHash);
                let Some(hash) = hash else {
                    tracing::warn!("LDK says that a payment failed and not which");
                    return Ok(None);
                };
                let now = self.ldk.payment(&payment_id(&hash)).map(|p| p.status);
                if matches!(now, Some(PaymentStatus::Pending | PaymentStatus::Succeeded)) {
                    // An earlier try's end, told after the payment was sent again.
                    return Ok(None);
                }
                let reason = why(*reason).to_owned();
                self.hashes.failed(&hash, &reason)?;
                Some(NodeEvent::Failed { hash, reason })
            }
            Event::ChannelPending { counterparty_node_id, .. } => {
                let peer = counterparty_node_id.to_string();
                Some(NodeEvent::Channels(format!(
                    "A channel with {} is being opened and waits for confirmations.",
                    short(&peer)
                )))
            }
            Event::ChannelReady { counterparty_node_id, .. } => Some(NodeEvent::Channels(format!(
                "A channel with {} is open.",
                counterparty_node_id.map_or("a peer".into(), |id| short(&id.to_string()))
            ))),
            Event::ChannelClosed { counterparty_node_id, reason, .. } => {
                let peer =
                    counterparty_node_id.map_or("a peer".into(), |id| short(&id.to_string()));
                // The reason may quote the peer.
                let reason = reason.as_ref().map_or(String::new(), |r| {
                    let text: String = r.to_string().chars().take(200).collect();
                    format!(": {}", super::journal::without_secrets(&text))
                });
                Some(NodeEvent::Channels(format!("The channel with {peer} was closed{reason}")))
            }
            // We never splice, and a forward is not a job.
            Event::PaymentForwarded { .. }
            | Event::SplicePending { .. }
            | Event::SpliceFailed { .. } => None,
        })
    }
}

fn short(id: &str) -> String {
    id.chars().take(8).collect()
}

fn why(reason: Option<PaymentFailureReason>) -> &'static str {
    use PaymentFailureReason as R;
    match reason {
        Some(R::RecipientRejected) => {
            "The payee's node sent the payment back. Your money is yours again."
        }
        Some(R::PaymentExpired) => "The invoice expired on the way. Nothing was paid.",
        Some(R::RouteNotFound) => "No route could carry the payment. Nothing was paid.",
        // Perhaps after days, of age, or from the chain.
        Some(R::RetriesExhausted) => {
            "The payment came back before the payee had taken it. Nothing was paid."
        }
        _ => "The payment did not go through. Nothing was paid.",
    }
}

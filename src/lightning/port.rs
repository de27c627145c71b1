//! The port itself: the engine's calls, each handed to the room's own noun.

use async_trait::async_trait;
use ldk_node::NodeError;
use ldk_node::lightning_types::payment::{PaymentHash as LdkHash, PaymentPreimage};
use ldk_node::payment::{PaymentDirection, PaymentStatus};

use super::channels::later;
use super::node::Node;
use super::pay::payment_id;
use crate::engine::{
    BillOrder, Billed, Fault, Lightning, NodeEvent, NodeStatus, PayOrder, PaymentState,
};
use crate::market::{Holding, Msat, NodeId, PaymentHash, Preimage};

#[async_trait]
impl Lightning for Node {
    fn node(&self) -> NodeId {
        self.inner.id
    }

    async fn status(&self) -> Result<NodeStatus, Fault> {
        self.call(|inner| Ok(inner.status())).await
    }

    async fn bill(&self, order: &BillOrder) -> Result<Billed, Fault> {
        let order = order.clone();
        self.call(move |inner| inner.bill(&order)).await
    }

    async fn pay(&self, order: &PayOrder) -> Result<PaymentState, Fault> {
        let order = order.clone();
        self.call(move |inner| inner.pay(&order)).await
    }

    async fn lookup(&self, hash: &PaymentHash) -> Result<PaymentState, Fault> {
        let hash = *hash;
        self.call(move |inner| inner.lookup(&hash)).await
    }

    async fn claim(
        &self,
        hash: &PaymentHash,
        amount: Msat,
        preimage: &Preimage,
    ) -> Result<(), Fault> {
        let (hash, preimage) = (*hash, *preimage);
        self.call(move |inner| {
            let claimed = inner.ldk.bolt11_payment().claim_for_hash(
                LdkHash(hash.0),
                amount.get(),
                PaymentPreimage(*preimage.expose()),
            );
            claimed.map_err(|why| match why {
                NodeError::InvalidPaymentPreimage => {
                    Fault::Never("This preimage does not open that payment.".to_owned())
                }
                NodeError::InvalidAmount => Fault::Never(
                    "Less arrived than the invoice asked for; it is not claimed.".to_owned(),
                ),
                NodeError::InvalidPaymentHash => {
                    Fault::Never("This node never asked to be paid for that hash.".to_owned())
                }
                why => later("The payment is not claimed yet", why),
            })
        })
        .await
    }

    async fn fail(&self, hash: &PaymentHash) -> Result<(), Fault> {
        let hash = *hash;
        self.call(move |inner| {
            // ldk-node writes `Failed` over whatever stood there, and would take the payment again.
            let known = inner.ldk.payment(&payment_id(&hash));
            match known.map(|p| (p.direction, p.status)) {
                Some((PaymentDirection::Inbound, PaymentStatus::Succeeded)) => {
                    return Err(Fault::Never(
                        "This payment was received; it cannot be sent back.".to_owned(),
                    ));
                }
                Some((PaymentDirection::Inbound, _)) => {}
                _ => {
                    return Err(Fault::Never(
                        "This node never asked to be paid for that hash.".to_owned(),
                    ));
                }
            }
            let failed = inner.ldk.bolt11_payment().fail_for_hash(LdkHash(hash.0));
            failed.map_err(|why| later("The payment is not sent back yet", why))
        })
        .await
    }

    async fn holding(&self, hash: &PaymentHash) -> Result<Option<Holding>, Fault> {
        let hash = *hash;
        self.call(move |inner| Ok(inner.holding(&hash))).await
    }

    async fn next(&self) -> NodeEvent {
        self.next_event().await
    }

    async fn handled(&self) -> Result<(), Fault> {
        self.event_handled().await
    }
}

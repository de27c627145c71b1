//! Halting: a party that stops dead at one named call of one of its ports, so that it can be killed there.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;

use crate::engine::{
    BillOrder, Billed, Fault, FetchOrder, Grant, Lightning, NodeEvent, NodeStatus, PayOrder, Ports,
    Published, RelayEvent, RelayHealth, Relays, Subscription, Transfer, WireEvent,
};
use crate::market::{
    Address, Digest, EndpointId, Holding, Msat, NodeId, PaymentHash, PaymentState, Preimage,
};

/// A call of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// An event goes to relays.
    Publish,
    /// A file is fetched.
    Fetch,
    /// An invoice is made.
    Bill,
    /// A payment is sent.
    Pay,
    /// A held payment is claimed.
    Claim,
    /// A held payment is sent back.
    Fail,
    /// The node is told that its event was kept.
    Handled,
}

const CALLS: [(Call, &str); 7] = [
    (Call::Publish, "publish"),
    (Call::Fetch, "fetch"),
    (Call::Bill, "bill"),
    (Call::Pay, "pay"),
    (Call::Claim, "claim"),
    (Call::Fail, "fail"),
    (Call::Handled, "handled"),
];

/// Where a party halts: the how-manieth call of its kind in this process, before it is made or after it
/// was, and before anybody learns what came of it. Written `pay:1:after`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// Which call.
    pub call: Call,
    /// Which one of them, from 1.
    pub nth: u32,
    /// Whether it is made first.
    pub after: bool,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = CALLS.iter().find(|(call, _)| *call == self.call).map_or("", |(_, name)| name);
        let side = if self.after { "after" } else { "before" };
        write!(f, "{name}:{}:{side}", self.nth)
    }
}

impl FromStr for Point {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(':').collect();
        let point = match parts[..] {
            [name, nth, side @ ("before" | "after")] => {
                let call = CALLS.iter().find(|(_, known)| *known == name);
                let nth = nth.parse().ok().filter(|nth| *nth > 0);
                call.zip(nth).map(|((call, _), nth)| Self {
                    call: *call,
                    nth,
                    after: side == "after",
                })
            }
            _ => None,
        };
        point.ok_or_else(|| format!("`{text}` is no point like pay:1:after"))
    }
}

/// What all ports of a party that halts share.
#[derive(Clone)]
pub(super) struct Halt(Arc<Shared>);

struct Shared {
    point: Point,
    made: AtomicU32,
    on_halt: Box<dyn Fn() + Send + Sync>,
}

impl Halt {
    pub(super) fn new(point: Point, on_halt: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(Shared { point, made: AtomicU32::new(0), on_halt: Box::new(on_halt) }))
    }

    /// These ports, halting.
    pub(super) fn over(self, ports: Ports) -> Ports {
        Ports {
            relays: Arc::new(Halting(ports.relays.clone(), self.clone())),
            lightning: Arc::new(Halting(ports.lightning.clone(), self.clone())),
            transfer: Arc::new(Halting(ports.transfer.clone(), self)),
            ..ports
        }
    }

    /// Makes a call, or gets no further than to the point.
    async fn at<T>(&self, call: Call, made: impl Future<Output = T>) -> T {
        let Shared { point, made: count, on_halt } = &*self.0;
        if point.call != call || count.fetch_add(1, Ordering::SeqCst) + 1 != point.nth {
            return made.await;
        }
        if point.after {
            let _ = made.await;
        }
        on_halt();
        std::future::pending().await
    }
}

/// A port that halts.
struct Halting<P: ?Sized>(Arc<P>, Halt);

#[async_trait]
impl Relays for Halting<dyn Relays> {
    async fn watch(&self, subscriptions: Vec<Subscription>) {
        self.0.watch(subscriptions).await;
    }
    async fn next(&self) -> RelayEvent {
        self.0.next().await
    }
    async fn publish(&self, event: &WireEvent, relays: &[String]) -> Result<Published, Fault> {
        self.1.at(Call::Publish, self.0.publish(event, relays)).await
    }
    async fn health(&self) -> Vec<RelayHealth> {
        self.0.health().await
    }
}

#[async_trait]
impl Transfer for Halting<dyn Transfer> {
    fn address(&self) -> Address {
        self.0.address()
    }
    async fn serve(&self, grant: &Grant) -> Result<(), Fault> {
        self.0.serve(grant).await
    }
    async fn revoke(&self, blob: &Digest, to: &EndpointId) -> Result<(), Fault> {
        self.0.revoke(blob, to).await
    }
    async fn fetch(
        &self,
        order: &FetchOrder,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<(), Fault> {
        self.1.at(Call::Fetch, self.0.fetch(order, progress)).await
    }
}

#[async_trait]
impl Lightning for Halting<dyn Lightning> {
    fn node(&self) -> NodeId {
        self.0.node()
    }
    async fn status(&self) -> Result<NodeStatus, Fault> {
        self.0.status().await
    }
    async fn bill(&self, order: &BillOrder) -> Result<Billed, Fault> {
        self.1.at(Call::Bill, self.0.bill(order)).await
    }
    async fn pay(&self, order: &PayOrder) -> Result<PaymentState, Fault> {
        self.1.at(Call::Pay, self.0.pay(order)).await
    }
    async fn lookup(&self, hash: &PaymentHash) -> Result<PaymentState, Fault> {
        self.0.lookup(hash).await
    }
    async fn claim(
        &self,
        hash: &PaymentHash,
        amount: Msat,
        preimage: &Preimage,
    ) -> Result<(), Fault> {
        self.1.at(Call::Claim, self.0.claim(hash, amount, preimage)).await
    }
    async fn fail(&self, hash: &PaymentHash) -> Result<(), Fault> {
        self.1.at(Call::Fail, self.0.fail(hash)).await
    }
    async fn holding(&self, hash: &PaymentHash) -> Result<Option<Holding>, Fault> {
        self.0.holding(hash).await
    }
    async fn next(&self) -> NodeEvent {
        self.0.next().await
    }
    async fn handled(&self) -> Result<(), Fault> {
        self.1.at(Call::Handled, self.0.handled()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_written_as_it_is_read() {
        for text in ["publish:2:before", "pay:1:after", "handled:3:before"] {
            assert_eq!(text.parse::<Point>().unwrap().to_string(), text);
        }
        for wrong in ["", "pay", "pay:0:after", "pay:1:during", "lie:1:after", "pay:x:after"] {
            assert!(wrong.parse::<Point>().is_err(), "{wrong}");
        }
    }
}

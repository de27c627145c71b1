//! What lies between the two: a relay, their nodes and the wire, each a port that keeps to its contract.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bitcoin::hashes::{Hash as _, sha256};
use bitcoin::secp256k1::{PublicKey, Secp256k1, SecretKey};
use earnest::engine::*;
use earnest::market::*;
use ldk_node::lightning_invoice::{Currency, InvoiceBuilder, PaymentSecret};
use ldk_node::lightning_types::routing::{RouteHint, RouteHintHop, RoutingFees};

use super::{Who, relayed, sats};

/// One held or ended payment between the two nodes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Htlc {
    Held,
    Paid(Preimage),
    Failed,
}

/// Both nodes.
#[derive(Default)]
pub(crate) struct Nodes {
    pub(crate) invoices: BTreeMap<PaymentHash, (Who, Billed, Msat)>,
    pub(crate) htlcs: BTreeMap<PaymentHash, (Who, Msat, Htlc)>,
    /// Every HTLC that ever left, in order.
    pub(crate) sent: Vec<(Who, PaymentHash, Msat)>,
    /// Msat earned (or, below zero, spent) by each.
    pub(crate) earned: [i128; 2],
    /// How many of the next payments find no route.
    pub(crate) no_route: u32,
    /// The payee's node shrugs: Ok to every claim, and nothing comes of it.
    pub(crate) claims_lost: bool,
    /// What the payee's LSP keeps of every payment.
    pub(crate) skim: Msat,
    /// The chain's tip.
    pub(crate) height: u32,
    /// Heights from which held payments go back by themselves, and nobody is told at the payee's.
    pub(crate) deadlines: BTreeMap<PaymentHash, u32>,
    /// Confirmations of the payee's channel.
    pub(crate) confirmations: u32,
    /// The payee's channel was closed by force: what is held in it stands on the chain, and only a secret
    /// in time or its age takes it from there.
    pub(crate) closed: bool,
    /// What they say, to whom, until it is handed on.
    pub(super) said: Vec<(Who, NodeEvent)>,
}

/// What an invoice says, to be bent.
pub(crate) struct Bend {
    pub(crate) currency: Currency,
    pub(crate) node: SecretKey,
    pub(crate) cltv: u64,
    /// Blocks that the way to the payee asks for, by the payee's own word.
    pub(crate) hint: Option<u16>,
    pub(crate) at: Time,
    pub(crate) order: BillOrder,
    pub(crate) any_amount: bool,
}

/// Blocks from the deadline of a held payment until it expires (LDK).
const EXPIRES: u32 = 39;
/// Blocks after which LDK takes what the chain says for final.
const BURIED: u32 = 6;

fn secret(who: Who) -> SecretKey {
    SecretKey::from_slice(&[40 + who as u8; 32]).unwrap()
}

pub(super) fn node_id(who: Who) -> NodeId {
    NodeId(PublicKey::from_secret_key(&Secp256k1::new(), &secret(who)).serialize())
}

fn later(why: &str) -> Fault {
    Fault::Later(why.into())
}

impl Nodes {
    pub(super) fn invoice(
        &self,
        who: Who,
        order: &BillOrder,
        now: Time,
        bend: impl FnOnce(&mut Bend),
    ) -> String {
        let mut bent = Bend {
            currency: Currency::Regtest,
            node: secret(who),
            cltv: order.hold_blocks.map_or(44, |blocks| u64::from(blocks) + 39),
            hint: None,
            at: now,
            order: order.clone(),
            any_amount: false,
        };
        bend(&mut bent);
        let builder = InvoiceBuilder::new(bent.currency.clone())
            .description_hash(sha256::Hash::from_byte_array(bent.order.description_hash.0))
            .payment_hash(sha256::Hash::from_byte_array(bent.order.hash.0))
            .payment_secret(PaymentSecret([9; 32]))
            .duration_since_epoch(std::time::Duration::from_secs(bent.at.0))
            .expiry_time(std::time::Duration::from_secs(u64::from(bent.order.expiry_secs)))
            .min_final_cltv_expiry_delta(bent.cltv);
        let builder = match bent.hint {
            None => builder,
            Some(delta) => builder.private_route(RouteHint(vec![RouteHintHop {
                src_node_id: PublicKey::from_secret_key(&Secp256k1::new(), &secret(who.other())),
                short_channel_id: 1,
                fees: RoutingFees { base_msat: 0, proportional_millionths: 0 },
                cltv_expiry_delta: delta,
                htlc_minimum_msat: None,
                htlc_maximum_msat: None,
            }])),
        };
        let builder = if bent.any_amount {
            builder
        } else {
            builder.amount_milli_satoshis(bent.order.amount.get())
        };
        builder
            .build_signed(|hash| Secp256k1::new().sign_ecdsa_recoverable(hash, &bent.node))
            .unwrap()
            .to_string()
    }

    fn bill(&mut self, who: Who, order: &BillOrder, now: Time) -> Billed {
        if let Some((_, billed, _)) = self.invoices.get(&order.hash)
            && !order.again
        {
            return billed.clone();
        }
        let invoice = self.invoice(who, order, now, |_| {});
        let billed = Billed { invoice, lsp_fee: self.skim };
        self.invoices.insert(order.hash, (who, billed.clone(), order.amount));
        billed
    }

    pub(super) fn lookup(&self, hash: &PaymentHash) -> PaymentState {
        match self.htlcs.get(hash) {
            None => PaymentState::Unknown,
            Some((_, _, Htlc::Held)) => PaymentState::InFlight,
            Some((_, _, Htlc::Paid(preimage))) => {
                PaymentState::Paid { preimage: *preimage, fee: sats(1) }
            }
            Some((_, _, Htlc::Failed)) => PaymentState::Failed { reason: "It came back.".into() },
        }
    }

    pub(super) fn pay(&mut self, who: Who, order: &PayOrder) -> Result<PaymentState, Fault> {
        match self.lookup(&order.hash) {
            PaymentState::Unknown | PaymentState::Failed { .. } => {}
            state => return Ok(state),
        }
        let tip = self.height;
        if order.tips.is_some_and(|(first, last)| !(first..=last).contains(&tip)) {
            return Err(Fault::Never("The invoice is too old. Nothing was paid.".into()));
        }
        if self.no_route > 0 {
            self.no_route -= 1;
            return Ok(PaymentState::Failed { reason: "No route was found.".into() });
        }
        self.sent.push((who, order.hash, order.amount));
        self.htlcs.insert(order.hash, (who, order.amount, Htlc::Held));
        // An ordinary invoice is claimed at once, so that its age is nobody's matter.
        let cltv = earnest::wire::decode(&order.invoice).ok().map(|read| read.min_final_cltv);
        let cltv = cltv.and_then(|cltv| u32::try_from(cltv).ok());
        let held = cltv.filter(|cltv| *cltv > 48).map(|cltv| tip + 1 + cltv - 39);
        if let Some(deadline) = held {
            self.deadlines.insert(order.hash, deadline);
        }
        let amount = order.amount.saturating_sub(self.skim);
        let (hash, deadline) = (order.hash, Some(held.unwrap_or(1000)));
        let event = NodeEvent::Claimable { hash, amount, deadline };
        self.said.push((who.other(), event));
        Ok(PaymentState::InFlight)
    }

    pub(super) fn claim(&mut self, who: Who, hash: &PaymentHash, key: &Preimage) {
        // A node lets go of it at the deadline, also where the chain would wait longer.
        let late = self.deadlines.get(hash).is_some_and(|at| self.height >= *at);
        if self.claims_lost || self.closed && late {
            return;
        }
        let Some((payer, amount, htlc)) = self.htlcs.get_mut(hash) else { return };
        if *htlc != Htlc::Held || key.hash() != *hash {
            return;
        }
        *htlc = Htlc::Paid(*key);
        let (payer, amount) = (*payer, *amount);
        self.earned[who.at()] += i128::from(amount.get());
        self.earned[payer.at()] -= i128::from(amount.get());
        let (hash, preimage, amount) = (*hash, *key, amount.saturating_sub(self.skim));
        self.said.push((who, NodeEvent::Received { hash, amount }));
        self.said.push((payer, NodeEvent::Paid { hash, preimage, fee: sats(1) }));
    }

    /// What the payee's channels show.
    pub(super) fn holding(&self, hash: &PaymentHash) -> Option<Holding> {
        let (_, amount, htlc) = self.htlcs.get(hash)?;
        (*htlc == Htlc::Held).then_some(Holding {
            amount: amount.saturating_sub(self.skim),
            deadline: self.deadlines.get(hash).copied().unwrap_or(1000),
            confirmations: if self.closed { 0 } else { self.confirmations },
        })
    }

    /// The payee's node sends it back, where there is a channel to do so.
    pub(super) fn fail(&mut self, hash: &PaymentHash) {
        if !self.closed {
            self.gone(hash);
        }
    }

    /// Blocks went by. A node sends back what reaches its deadline; what stands on the chain stays until it
    /// expires and that is six blocks deep.
    pub(super) fn age(&mut self) {
        let grace = if self.closed { EXPIRES + BURIED } else { 0 };
        let dead = |(hash, at): (&PaymentHash, &u32)| (*at + grace <= self.height).then_some(*hash);
        let dead: Vec<_> = self.deadlines.iter().filter_map(dead).collect();
        for hash in dead {
            self.gone(&hash);
        }
    }

    fn gone(&mut self, hash: &PaymentHash) {
        let Some((payer, _, htlc)) = self.htlcs.get_mut(hash) else { return };
        if *htlc == Htlc::Held {
            *htlc = Htlc::Failed;
            let (payer, reason) = (*payer, "The payee sent it back.".into());
            self.said.push((payer, NodeEvent::Failed { hash: *hash, reason }));
        }
    }
}

/// Everything that one running effect may change.
pub(super) struct Lent {
    pub(super) nodes: Nodes,
    pub(super) events: Vec<RelayEvent>,
    /// What everybody serves, and from which endpoint.
    pub(super) grants: Vec<(EndpointId, Grant)>,
}

/// One side's end of it.
pub(super) struct Port {
    pub(super) who: Who,
    pub(super) me: Me,
    pub(super) now: Time,
    pub(super) lent: Arc<Mutex<Lent>>,
}

#[async_trait]
impl Relays for Port {
    async fn watch(&self, _: Vec<Subscription>) {}
    async fn next(&self) -> RelayEvent {
        pending().await
    }
    async fn publish(&self, event: &WireEvent, relays: &[String]) -> Result<Published, Fault> {
        self.lent.lock().unwrap().events.push(relayed(&event.json));
        Ok(Published { accepted: relays.to_vec(), refused: Vec::new(), silent: Vec::new() })
    }
    async fn health(&self) -> Vec<RelayHealth> {
        Vec::new()
    }
}

#[async_trait]
impl Lightning for Port {
    fn node(&self) -> NodeId {
        self.me.node
    }
    async fn status(&self) -> Result<NodeStatus, Fault> {
        // Its height is told to the core block by block, by the test.
        Ok(NodeStatus {
            node: self.me.node,
            running: true,
            height: 0,
            balances: Balances::default(),
            channels_usable: 1,
            channels: 1,
            least_first: self.me.least_first,
            trouble: None,
        })
    }
    async fn bill(&self, order: &BillOrder) -> Result<Billed, Fault> {
        Ok(self.lent.lock().unwrap().nodes.bill(self.who, order, self.now))
    }
    async fn pay(&self, order: &PayOrder) -> Result<PaymentState, Fault> {
        self.lent.lock().unwrap().nodes.pay(self.who, order)
    }
    async fn lookup(&self, hash: &PaymentHash) -> Result<PaymentState, Fault> {
        Ok(self.lent.lock().unwrap().nodes.lookup(hash))
    }
    async fn claim(&self, hash: &PaymentHash, _: Msat, key: &Preimage) -> Result<(), Fault> {
        self.lent.lock().unwrap().nodes.claim(self.who, hash, key);
        Ok(())
    }
    async fn fail(&self, hash: &PaymentHash) -> Result<(), Fault> {
        self.lent.lock().unwrap().nodes.fail(hash);
        Ok(())
    }
    async fn holding(&self, hash: &PaymentHash) -> Result<Option<Holding>, Fault> {
        Ok(self.lent.lock().unwrap().nodes.holding(hash))
    }
    async fn next(&self) -> NodeEvent {
        pending().await
    }
    async fn handled(&self) -> Result<(), Fault> {
        Ok(())
    }
}

#[async_trait]
impl Transfer for Port {
    fn address(&self) -> Address {
        self.me.address.clone()
    }
    async fn serve(&self, _: &Grant) -> Result<(), Fault> {
        Ok(())
    }
    async fn revoke(&self, _: &Digest, _: &EndpointId) -> Result<(), Fault> {
        Ok(())
    }
    async fn fetch(
        &self,
        order: &FetchOrder,
        _: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<(), Fault> {
        let lent = self.lent.lock().unwrap();
        let mine = |(of, g): &&(EndpointId, Grant)| {
            *of == order.from.endpoint && g.blob == order.blob && g.to == self.me.address.endpoint
        };
        let (_, grant) = lent.grants.iter().find(mine).ok_or_else(|| later("not served"))?;
        std::fs::create_dir_all(order.path.parent().unwrap()).unwrap();
        std::fs::copy(&grant.path, &order.path).map(|_| ()).map_err(|e| later(&e.to_string()))
    }
}

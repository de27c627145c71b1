//! Billing: a hold invoice over the inbound liquidity there is, else through a channel that the LSP
//! opens when it is paid.

use std::sync::PoisonError;
use std::time::Duration;

use bitcoin::hashes::{Hash as _, sha256};
use ldk_node::NodeError;
use ldk_node::lightning_invoice::{Bolt11Invoice, Bolt11InvoiceDescription, Description, Sha256};
use ldk_node::lightning_types::payment::PaymentHash as LdkHash;
use ldk_node::payment::{PaymentDirection, PaymentKind};

use super::channels::{later, msat};
use super::hashes::Standing;
use super::invoice::FAIL_BACK;
use super::node::{ANCHOR_RESERVE_SATS, Inner, Lsp, Node, unix_now};
use super::pay::payment_id;
use crate::engine::{BillOrder, Billed, Fault};
use crate::market::{FINAL_CLTV, MOST_WINDOW_JIT, Msat, NodeId, PaymentHash, Time};
use crate::wire;

/// The longest hold we bill for, in blocks: with a payer's margin it stays below the 2,016 blocks after
/// which every LDK hop refuses an HTLC.
const LONGEST_HOLD: u32 = 1_500;

/// An LSP keeps its offer for a day (LSPS2 `valid_until` in ldk-node); an invoice that outlived it would
/// be paid into nothing.
pub(super) const JIT_EXPIRY_SECS: u32 = 23 * 3600;

/// What an LSP last said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Terms {
    /// The least first payment it opens a channel for.
    pub(super) least: Msat,
    /// When it said so, in seconds since 1970.
    pub(super) at: u64,
}

impl Node {
    /// What the LSP would keep of a first payment of this amount, asked now. Buys nothing.
    ///
    /// # Errors
    /// `Never` if there is no LSP or it does not open a channel for this amount; `Later` if it cannot be
    /// asked.
    pub async fn opening_fee(&self, amount: Msat) -> Result<Msat, Fault> {
        self.call(move |inner| inner.opening_fee(amount)).await
    }
}

impl Inner {
    pub(super) fn bill(&self, order: &BillOrder) -> Result<Billed, Fault> {
        if order.amount == Msat::ZERO {
            return Err(Fault::Never("An invoice for nothing is not made.".to_owned()));
        }
        if order.hold_blocks.is_some_and(|blocks| blocks > LONGEST_HOLD) {
            return Err(Fault::Never(format!(
                "A payment cannot be held for more than {LONGEST_HOLD} blocks: no route would \
                 carry it. Split the job into milestones."
            )));
        }
        let known = self.ldk.payment(&payment_id(&order.hash));
        if known.as_ref().is_some_and(|p| p.direction == PaymentDirection::Outbound) {
            return Err(Fault::Never(
                "This node has paid, or tried to pay, an invoice with this very hash; it cannot \
                 also be paid by it. No money moved."
                    .to_owned(),
            ));
        }
        match self.hashes.ask_bill(order, Time(unix_now()))? {
            Standing::Answered(billed) => return Ok(billed),
            Standing::Free if known.is_some() => {
                self.hashes.forget_bill(&order.hash)?;
                return Err(Fault::Never(
                    "The node has an invoice for this hash that its own record knows nothing of, \
                     so it is not billed again."
                        .to_owned(),
                ));
            }
            Standing::Free | Standing::Unfinished => {}
        }
        let made = self.make(order);
        if made.is_err() && self.ldk.payment(&payment_id(&order.hash)).is_none() {
            self.hashes.forget_bill(&order.hash)?;
        }
        let (billed, expires_at) = made?;
        self.hashes.answer_bill(&order.hash, &billed, expires_at)?;
        Ok(billed)
    }

    fn make(&self, order: &BillOrder) -> Result<(Billed, Time), Fault> {
        let sha = sha256::Hash::from_byte_array(order.description_hash.0);
        let description = Bolt11InvoiceDescription::Hash(Sha256(sha));
        let (largest, all) = self.receivable();
        // One channel must be able to take it: LDK keeps no score of the private hops of an invoice, so a
        // payer never learns to split a payment between two of them.
        let (invoice, lsp_fee) = if largest >= order.amount {
            let made = self.ldk.bolt11_payment().receive_for_hash(
                order.amount.get(),
                &description,
                order.expiry_secs,
                LdkHash(order.hash.0),
            );
            (made.map_err(|why| later("No invoice could be made", why))?, Msat::ZERO)
        } else {
            if order.hold_blocks.is_some_and(|blocks| blocks > MOST_WINDOW_JIT) {
                return Err(Fault::Never(format!(
                    "No channel of the node can receive {}, and through one that opens just in time a \
                     payment is held for {MOST_WINDOW_JIT} blocks at most. No money moved.",
                    order.amount
                )));
            }
            self.just_in_time(order.amount, all, |cap| {
                self.ldk.bolt11_payment().receive_via_jit_channel_for_hash(
                    order.amount.get(),
                    &description,
                    order.expiry_secs.min(JIT_EXPIRY_SECS),
                    Some(cap.get()),
                    LdkHash(order.hash.0),
                )
            })?
        };
        let blocks = order.hold_blocks.map_or(FINAL_CLTV, |blocks| u64::from(blocks) + FAIL_BACK);
        let invoice = self
            .signer
            .lengthen(&invoice, blocks)
            .map_err(|why| Fault::Never(format!("The invoice cannot be signed: {why}.")))?;
        let text = invoice.to_string();
        let read = wire::decode(&text).map_err(|why| Fault::Never(why.to_string()))?;
        let right = read.payee == self.id
            && read.hash == order.hash
            && read.amount == Some(order.amount)
            && read.network == self.network
            && read.description_hash == Some(order.description_hash);
        if !right {
            return Err(Fault::Never(
                "The invoice that was made is not the one that was asked for; it was not handed \
                 out. This is a bug."
                    .to_owned(),
            ));
        }
        Ok((Billed { invoice: text, lsp_fee }, read.expires_at))
    }

    /// An invoice for this amount that makes the LSP open a channel, and what it keeps; `make` is told
    /// the most that it may keep.
    pub(super) fn just_in_time(
        &self,
        amount: Msat,
        over_channels: Msat,
        make: impl FnOnce(Msat) -> Result<Bolt11Invoice, NodeError>,
    ) -> Result<(Bolt11Invoice, Msat), Fault> {
        let lsp = self.lsp(over_channels)?;
        self.no_second_channel(lsp, amount)?;
        let spendable = self.ldk.list_balances().spendable_onchain_balance_sats;
        if self.anchor_reserve_sats > spendable {
            return Err(Fault::Later(format!(
                "To accept one more channel the node needs {ANCHOR_RESERVE_SATS} sat of confirmed \
                 coins beyond those reserved for its channels, and has {spendable}. Add coins, or \
                 restart earnest to go on without that reserve."
            )));
        }
        let cap = amount.ppm(self.lsp_fee_cap_ppm).max(self.max_lsp_fee);
        let _turn = self.lsp_call.lock().unwrap_or_else(PoisonError::into_inner);
        self.journal.listen();
        let made = make(cap);
        match made {
            Ok(invoice) => {
                // ldk-node keeps the fee agreed on, to hold the LSP to it.
                let hash = PaymentHash(invoice.payment_hash().to_byte_array());
                let kept = match self.ldk.payment(&payment_id(&hash)).map(|p| p.kind) {
                    Some(PaymentKind::Bolt11Jit { lsp_fee_limits, .. }) => {
                        lsp_fee_limits.max_total_opening_fee_msat
                    }
                    _ => None,
                };
                let fee = kept.ok_or_else(|| {
                    Fault::Later("The node does not know what the LSP will keep.".to_owned())
                })?;
                Ok((invoice, msat(fee)))
            }
            Err(why) => Err(self.lsp_fault(amount, cap, why)),
        }
    }

    fn lsp(&self, over_channels: Msat) -> Result<&Lsp, Fault> {
        self.lsp.as_ref().ok_or_else(|| {
            Fault::Never(format!(
                "The node's channels can receive {over_channels} now, and no LSP is configured \
                 that would open another. Configure one, or have a channel opened to you."
            ))
        })
    }

    /// A channel from the LSP that is only asleep must not be doubled: each one costs a fee.
    fn no_second_channel(&self, lsp: &Lsp, amount: Msat) -> Result<(), Fault> {
        const PATIENCE: Duration = Duration::from_secs(5);
        const STEP: Duration = Duration::from_millis(50);
        let mut waited = Duration::ZERO;
        loop {
            let asleep = self.ldk.list_channels().into_iter().any(|c| {
                c.counterparty_node_id.serialize() == *lsp.peer.id.as_bytes()
                    && !c.is_usable
                    && c.inbound_capacity_msat >= amount.get()
            });
            if !asleep {
                return Ok(());
            }
            if waited >= PATIENCE {
                return Err(Fault::Later(
                    "The LSP that has a channel with you is not connected now. No money moved; \
                     the node keeps dialling."
                        .to_owned(),
                ));
            }
            std::thread::sleep(STEP);
            waited += STEP;
        }
    }

    fn lsp_fault(&self, amount: Msat, cap: Msat, why: NodeError) -> Fault {
        let heard = self.journal.heard();
        match (why, heard.limits, heard.fee) {
            (NodeError::LiquidityFeeTooHigh, _, Some(fee)) => Fault::Never(format!(
                "The LSP asks {} of {amount} to open a channel, and you allow {cap}. No money \
                 moved. Allow more, or ask a higher price.",
                msat(fee)
            )),
            (NodeError::LiquidityFeeTooHigh, ..) => Fault::Never(format!(
                "The LSP asks more than the {cap} that you allow to open a channel for {amount}. \
                 No money moved."
            )),
            (_, Some((least, _)), _) if amount.get() < least => Fault::Never(format!(
                "The LSP opens a channel only for a first payment of {} or more, and this is \
                 {amount}. No money moved: {} is the smallest price that works.",
                msat(least),
                whole(msat(least))
            )),
            (_, Some((_, most)), _) => Fault::Never(format!(
                "The LSP opens a channel for a first payment of at most {}, and this is {amount}. \
                 No money moved.",
                msat(most)
            )),
            (NodeError::ConnectionFailed | NodeError::InvalidSocketAddress, ..) => Fault::Later(
                "The LSP that would open a channel for this payment cannot be reached. No money \
                 moved; the node keeps dialling."
                    .to_owned(),
            ),
            _ => Fault::Later(
                "The LSP that would open a channel for this payment did not answer. No money \
                 moved; try again in a while."
                    .to_owned(),
            ),
        }
    }

    fn opening_fee(&self, amount: Msat) -> Result<Msat, Fault> {
        self.lsp(self.receivable().1)?;
        let _turn = self.lsp_call.lock().unwrap_or_else(PoisonError::into_inner);
        self.ask_terms(amount)
    }

    /// Asks the LSP what it would keep of `amount`, with a limit of nothing, so that nothing is bought.
    /// An LSP that opens channels for free sells us one here; that is its loss.
    fn ask_terms(&self, amount: Msat) -> Result<Msat, Fault> {
        self.journal.listen();
        let description = Bolt11InvoiceDescription::Direct(Description::empty());
        let asked = self.ldk.bolt11_payment().receive_via_jit_channel(
            amount.get(),
            &description,
            60,
            Some(0),
        );
        match (asked, self.journal.heard().fee) {
            (Ok(_), _) => Ok(Msat::ZERO),
            (Err(NodeError::LiquidityFeeTooHigh), Some(fee)) => Ok(msat(fee)),
            (Err(why), _) => Err(self.lsp_fault(amount, Msat::ZERO, why)),
        }
    }

    /// Makes sure that the LSP is connected and its terms are known. True if so.
    pub(super) fn greet_lsp(&self) -> bool {
        const STALE: u64 = 3600;
        let Some(lsp) = &self.lsp else { return true };
        let there = || {
            let peers = self.ldk.list_peers();
            peers.iter().any(|p| p.is_connected && NodeId(p.node_id.serialize()) == lsp.peer.id)
        };
        if !there() {
            let dialled = lsp
                .peer
                .key()
                .and_then(|key| Ok((key, lsp.peer.socket_address()?)))
                .map(|(key, address)| self.ldk.connect(key, address, true));
            if !matches!(dialled, Ok(Ok(()))) {
                self.say_trouble(Some(
                    "The LSP cannot be reached: first payments cannot be received.".to_owned(),
                ));
                return false;
            }
        }
        let known = *self.terms.lock().unwrap_or_else(PoisonError::into_inner);
        let now = unix_now();
        if known.is_some_and(|terms| now.saturating_sub(terms.at) < STALE) {
            self.say_trouble(None);
            return true;
        }
        let turn = self.lsp_call.lock().unwrap_or_else(PoisonError::into_inner);
        let probe = msat(1);
        let fee = self.ask_terms(probe);
        let limits = self.journal.heard().limits;
        drop(turn);
        let least = match (limits, fee) {
            (Some((least, _)), _) => msat(least),
            // It takes a single millisatoshi: then its least fee is what a payment must exceed.
            (None, Ok(fee)) => fee.checked_add(probe).unwrap_or(fee),
            (None, Err(_)) => {
                self.say_trouble(Some(
                    "The LSP does not answer: first payments cannot be received.".to_owned(),
                ));
                return false;
            }
        };
        let terms = Terms { least: whole(least), at: now };
        *self.terms.lock().unwrap_or_else(PoisonError::into_inner) = Some(terms);
        self.say_trouble(None);
        true
    }

    fn say_trouble(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }
}

/// Rounded up to a whole satoshi: prices are in satoshis.
fn whole(amount: Msat) -> Msat {
    Msat::sats(amount.get().div_ceil(1000)).unwrap_or(amount)
}

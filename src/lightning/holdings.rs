//! What the node has: to a person honestly, to an accountant exactly.

use std::collections::BTreeMap;

use ldk_node::lightning::chain::channelmonitor::BalanceSource;
use ldk_node::{BalanceDetails, ChannelDetails, LightningBalance, PendingSweepBalance};
use serde::{Deserialize, Serialize};

use super::channels::msat;
use super::node::{Inner, Node, unix_now};
use crate::engine::{Balances, Fault, NodeStatus};
use crate::market::Msat;

/// The funder of an anchor channel stands for two anchor outputs (BOLT 3).
const ANCHORS_MSAT: u64 = 2 * 330 * 1000;

/// Without news from the chain for this long, in seconds, the node is not said to run.
const DEAF: u64 = 180;

/// A party's money, so that all parties' holdings sum to what was put in, less on-chain fees. Exact to
/// the millisatoshi while no payment is being added or removed and the node is synced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holdings {
    /// All coins of the wallet on the chain, unconfirmed ones too.
    pub onchain: Msat,
    /// Our own side of our channels: with the reserve and, where we opened the channel, with the
    /// commitment fee and the anchors that we stand for. Outputs of closed channels that have not yet
    /// come home count here too.
    pub channels: Msat,
    /// HTLCs that we offered and that are in flight: ours again if nothing happens.
    pub held: Msat,
    /// Whether any HTLC is in flight or being removed, either way. A payment is *received* a moment
    /// before both sides have signed it into their balances: who compares two accounts waits for this to
    /// be false at both.
    pub moving: bool,
}

impl Holdings {
    /// All of it.
    pub fn total(&self) -> Msat {
        [self.onchain, self.channels, self.held].into_iter().sum()
    }
}

impl Node {
    /// What this node has at this moment, for an exact account.
    pub async fn holdings(&self) -> Result<Holdings, Fault> {
        self.call(|inner| {
            let channels = inner.ldk.list_channels();
            Ok(account(&channels, &inner.ldk.list_balances()))
        })
        .await
    }
}

/// What a channel's monitor says of it: HTLCs in flight in msat, and our side in whole sats.
#[derive(Default)]
struct Flight {
    open: bool,
    out: u64,
    inbound: u64,
    claiming: u64,
    side_sats: u64,
}

impl Flight {
    fn moving(&self) -> bool {
        self.out + self.inbound + self.claiming > 0
    }
}

fn flights(balances: &BalanceDetails) -> BTreeMap<[u8; 32], Flight> {
    let mut flights: BTreeMap<[u8; 32], Flight> = BTreeMap::new();
    for balance in &balances.lightning_balances {
        use LightningBalance as B;
        match balance {
            B::ClaimableOnChannelClose {
                channel_id,
                amount_satoshis,
                transaction_fee_satoshis,
                outbound_payment_htlc_rounded_msat,
                outbound_forwarded_htlc_rounded_msat,
                inbound_claiming_htlc_rounded_msat,
                inbound_htlc_rounded_msat,
                ..
            } => {
                let flight = flights.entry(channel_id.0).or_default();
                flight.open = true;
                flight.out +=
                    outbound_payment_htlc_rounded_msat + outbound_forwarded_htlc_rounded_msat;
                flight.inbound += inbound_htlc_rounded_msat;
                flight.claiming += inbound_claiming_htlc_rounded_msat;
                flight.side_sats += amount_satoshis + transaction_fee_satoshis;
            }
            B::MaybeTimeoutClaimableHTLC { channel_id, amount_satoshis, .. } => {
                flights.entry(channel_id.0).or_default().out += amount_satoshis * 1000;
            }
            B::MaybePreimageClaimableHTLC { channel_id, amount_satoshis, .. } => {
                flights.entry(channel_id.0).or_default().inbound += amount_satoshis * 1000;
            }
            B::ClaimableAwaitingConfirmations { channel_id, amount_satoshis, source, .. } => {
                // A channel closed by consent pays straight into the wallet, which has seen it.
                if !matches!(source, BalanceSource::CoopClose) {
                    flights.entry(channel_id.0).or_default().side_sats += amount_satoshis;
                }
            }
            B::ContentiousClaimable { channel_id, amount_satoshis, .. }
            | B::CounterpartyRevokedOutputClaimable { channel_id, amount_satoshis, .. } => {
                flights.entry(channel_id.0).or_default().side_sats += amount_satoshis;
            }
        }
    }
    flights
}

fn account(channels: &[ChannelDetails], balances: &BalanceDetails) -> Holdings {
    let mut flights = flights(balances);
    let (mut own, mut held, mut in_motion) = (0u64, 0u64, false);
    for channel in channels.iter().filter(|c| c.funding_txo.is_some()) {
        let flight = flights.remove(&channel.channel_id.0).unwrap_or_default();
        own += own_side(channel, &flight);
        held += flight.out;
        in_motion |= moving(channel, &flight);
    }
    // Monitors without a channel: closed, and not all of it home.
    for flight in flights.into_values() {
        own += flight.side_sats * 1000;
        held += flight.out;
        in_motion |= flight.moving();
    }
    // What is being swept is in the wallet as soon as its transaction is out.
    for sweep in &balances.pending_balances_from_channel_closures {
        if let PendingSweepBalance::PendingBroadcast { amount_satoshis, .. } = sweep {
            own += amount_satoshis * 1000;
        }
    }
    Holdings {
        onchain: Msat::sats(balances.total_onchain_balance_sats).unwrap_or(Msat::MAX),
        channels: msat(own),
        held: msat(held),
        moving: in_motion,
    }
}

/// Our side of an open channel, HTLCs in flight excluded, in msat.
///
/// LDK gives capacities, not sides: side less reserve, and for the funder less anchors, never below
/// zero. Ours or, where ours is cut off at zero, the peer's gives the side back without loss: both
/// cannot lie below their reserves, since together they have the whole channel.
fn own_side(channel: &ChannelDetails, flight: &Flight) -> u64 {
    let size = channel.channel_value_sats * 1000;
    match sides(channel) {
        (Some(ours), _) => ours,
        (None, Some(theirs)) => {
            size.saturating_sub(theirs + flight.out + flight.inbound + flight.claiming)
        }
        (None, None) => {
            flight.side_sats * 1000 + if channel.is_outbound { ANCHORS_MSAT } else { 0 }
        }
    }
}

/// Both sides from their capacities, HTLCs in flight excluded; `None` where LDK's figure is cut off.
fn sides(channel: &ChannelDetails) -> (Option<u64>, Option<u64>) {
    let (our_anchors, their_anchors) =
        if channel.is_outbound { (ANCHORS_MSAT, 0) } else { (0, ANCHORS_MSAT) };
    let our_reserve = channel.unspendable_punishment_reserve.unwrap_or(0) * 1000;
    let their_reserve = channel.counterparty_unspendable_punishment_reserve * 1000;
    let side = |capacity: u64, rest: u64| (capacity > 0).then(|| capacity + rest);
    (
        side(channel.outbound_capacity_msat, our_reserve + our_anchors),
        side(channel.inbound_capacity_msat, their_reserve + their_anchors),
    )
}

/// Whether an HTLC is in flight in this channel. One that is being claimed stands in no list, but it is
/// missing between the two sides.
fn moving(channel: &ChannelDetails, flight: &Flight) -> bool {
    let gap = match sides(channel) {
        (Some(ours), Some(theirs)) => ours + theirs != channel.channel_value_sats * 1000,
        _ => false,
    };
    gap || flight.moving()
}

/// What is claimed from a closed channel while the wallet has no coin to pay a miner with. From a
/// commitment of our own such a claim cannot pay for itself, and what is not claimed in time is the peer's;
/// from the peer's it can, and this is over with the next block.
fn short_of_coins(balances: &BalanceDetails) -> Option<String> {
    if balances.total_onchain_balance_sats > 0 {
        return None;
    }
    let claims = balances.lightning_balances.iter().filter_map(|balance| match balance {
        LightningBalance::ContentiousClaimable { amount_satoshis, timeout_height, .. } => {
            Some((*amount_satoshis, *timeout_height))
        }
        _ => None,
    });
    let (sats, by) = claims.reduce(|(a, by), (b, at)| (a.saturating_add(b), by.min(at)))?;
    let amount = Msat::sats(sats).unwrap_or(Msat::MAX);
    Some(format!(
        "A channel was closed, and {amount} that were paid to you in it must be claimed on the chain before \
         block {by}. The wallet has no coins for the fee: send some thousand satoshis to an address of its own."
    ))
}

impl Inner {
    pub(super) fn status(&self) -> NodeStatus {
        let ldk = self.ldk.status();
        let channels = self.ldk.list_channels();
        let balances = self.ldk.list_balances();
        let flights = flights(&balances);
        let account = account(&channels, &balances);

        let open: u64 = channels
            .iter()
            .filter(|c| c.funding_txo.is_some())
            .map(|c| own_side(c, flights.get(&c.channel_id.0).unwrap_or(&Flight::default())))
            .sum();
        let closing = account.channels.saturating_sub(msat(open));
        let held_incoming = flights.values().map(|f| f.inbound).sum();
        let (_, receivable) = self.receivable();
        let terms = *self.terms.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let least_first = match receivable {
            Msat::ZERO => terms.map(|terms| terms.least),
            _ => Msat::sats(1),
        };
        let heard = ldk.latest_lightning_wallet_sync_timestamp.unwrap_or(0);
        let deaf = unix_now().saturating_sub(heard) > DEAF;
        let trouble = if deaf {
            Some("The chain source has given no news for some minutes.".to_owned())
        } else {
            let of_peers =
                || self.trouble.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
            short_of_coins(&balances).or_else(of_peers)
        };
        let sats = |n| Msat::sats(n).unwrap_or(Msat::MAX);
        NodeStatus {
            node: self.id,
            running: ldk.is_running && !deaf,
            height: ldk.current_best_block.height,
            balances: Balances {
                onchain_spendable: sats(balances.spendable_onchain_balance_sats),
                onchain_total: sats(balances.total_onchain_balance_sats),
                lightning_total: msat(open),
                lightning_spendable: self.spendable(),
                lightning_receivable: receivable,
                held_incoming: msat(held_incoming),
                closing,
            },
            channels_usable: count(channels.iter().filter(|c| c.is_usable).count()),
            channels: count(channels.len()),
            least_first,
            trouble,
        }
    }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

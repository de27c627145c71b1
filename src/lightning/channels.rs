//! Channels and coins: the wallet's verbs, and what a channel can carry.

use std::fmt;
use std::str::FromStr;

use bitcoin::Address;
use bitcoin::secp256k1::PublicKey;
use ldk_node::lightning::ln::msgs::SocketAddress;
use ldk_node::{ChannelDetails, NodeError, UserChannelId};
use serde::{Deserialize, Serialize};

use super::node::{Inner, Node, on_chain};
use crate::engine::{ChannelInfo, Fault, Trouble};
use crate::market::{Msat, NodeId};

/// A node and where it listens: `id@host:port`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Its id.
    pub id: NodeId,
    /// `host:port`.
    pub address: String,
}

impl Peer {
    pub(super) fn key(&self) -> anyhow::Result<PublicKey> {
        PublicKey::from_slice(self.id.as_bytes())
            .map_err(|_| anyhow::anyhow!("{} is not a Lightning node id", self.id))
    }
    pub(super) fn socket_address(&self) -> anyhow::Result<SocketAddress> {
        SocketAddress::from_str(&self.address)
            .map_err(|_| anyhow::anyhow!("`{}` is not host:port", self.address))
    }
    fn both(&self) -> Result<(PublicKey, SocketAddress), Fault> {
        let both = self.key().and_then(|key| Ok((key, self.socket_address()?)));
        both.map_err(|why| Fault::Never(format!("{why}. No money moved.")))
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.id, self.address)
    }
}

impl FromStr for Peer {
    type Err = anyhow::Error;
    /// `id@host:port`.
    fn from_str(text: &str) -> anyhow::Result<Self> {
        let wrong = || anyhow::anyhow!("a Lightning peer is written id@host:port");
        let (id, address) = text.split_once('@').ok_or_else(wrong)?;
        let peer = Self { id: id.parse().map_err(|_| wrong())?, address: address.to_owned() };
        peer.key()?;
        peer.socket_address()?;
        Ok(peer)
    }
}

impl Node {
    /// A fresh address of our own wallet on the chain.
    pub async fn new_address(&self) -> Result<String, Fault> {
        self.call(|inner| {
            let address = inner.ldk.onchain_payment().new_address();
            address.map(|a| a.to_string()).map_err(|why| later("No address could be made", why))
        })
        .await
    }

    /// Sends coins on the chain; returns the transaction's id. Not safe to repeat: each call sends, but
    /// after a crash in the middle of one the next that is the same is refused once.
    pub async fn send_onchain(&self, address: &str, sats: u64) -> Result<String, Fault> {
        let address = address.to_owned();
        self.call(move |inner| inner.send_coins(&inner.address(&address)?, sats)).await
    }

    /// Connects to a peer and remembers it.
    pub async fn connect(&self, peer: &Peer) -> Result<(), Fault> {
        let (key, address) = peer.both()?;
        self.call(move |inner| {
            let met = inner.ldk.connect(key, address, true);
            met.map_err(|why| later("The peer cannot be reached", why))
        })
        .await
    }

    /// Opens an unannounced channel of this size; returns its id. It can be used after the
    /// confirmations that the peer asks for. Not safe to repeat: each call opens one, but after a crash
    /// in the middle of one the next that is the same is refused once.
    pub async fn open_channel(&self, peer: &Peer, sats: u64) -> Result<String, Fault> {
        let (key, address) = peer.both()?;
        self.call(move |inner| {
            inner.by_hand(&format!("open a channel of {sats} sat with {key}"), || {
                let opened = inner.ldk.open_channel(key, address, sats, None, None);
                let id = opened.map_err(|why| coins("No channel was opened", why))?;
                Ok(format!("{:032x}", id.0))
            })
        })
        .await
    }

    /// Closes a channel: with the peer's consent, or by force, which locks our side for some days.
    pub async fn close_channel(&self, id: &str, force: bool) -> Result<(), Fault> {
        let id = id.to_owned();
        let closed = self.call(move |inner| Ok(inner.close(&id, force, |_| Ok(())))).await?;
        closed.map_err(|trouble| match trouble {
            Trouble::Failed(fault) => fault,
            other => Fault::Never(other.to_string()),
        })
    }

    /// Every channel, pending ones too.
    pub async fn channels(&self) -> Result<Vec<ChannelInfo>, Fault> {
        self.call(|inner| Ok(inner.ldk.list_channels().iter().map(info).collect())).await
    }

    /// The funding transactions of channels that no block has yet.
    pub(crate) async fn unconfirmed(&self) -> Result<Vec<bitcoin::Txid>, Fault> {
        self.call(|inner| {
            let channels = inner.ldk.list_channels();
            let fresh = channels.iter().filter(|c| c.confirmations.unwrap_or(0) == 0);
            Ok(fresh.filter_map(|c| c.funding_txo).map(|funding| funding.txid).collect())
        })
        .await
    }

    /// Asks the chain source for news now instead of at its next poll.
    pub async fn sync(&self) -> Result<(), Fault> {
        self.call(|inner| {
            let synced = inner.ldk.sync_wallets();
            synced.map_err(|why| later("The chain source did not answer", why))
        })
        .await
    }
}

impl Inner {
    /// An address of our network.
    pub(super) fn address(&self, text: &str) -> Result<Address, Fault> {
        let unchecked = text.parse::<Address<_>>();
        let address = unchecked.ok().and_then(|a| a.require_network(on_chain(self.network)).ok());
        address.ok_or_else(|| {
            Fault::Never(format!("This is not an address on {:?}. No money moved.", self.network))
        })
    }

    pub(super) fn send_coins(&self, address: &Address, sats: u64) -> Result<String, Fault> {
        self.by_hand(&format!("send {sats} sat to {address}"), || {
            let sent = self.ldk.onchain_payment().send_to_address(address, sats, None);
            sent.map(|txid| txid.to_string()).map_err(|why| coins("Nothing was sent", why))
        })
    }

    /// Closes a channel that `may` be closed: with the peer's consent, or by force.
    pub(super) fn close(
        &self,
        id: &str,
        force: bool,
        may: impl FnOnce(&ChannelInfo) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        let channel = self.ldk.list_channels().into_iter().find(|c| name(c) == id);
        let channel = channel.ok_or_else(|| {
            Fault::Never(format!("There is no channel {id}. Nothing was closed."))
        })?;
        may(&info(&channel))?;
        let (user, peer) = (UserChannelId(channel.user_channel_id.0), channel.counterparty_node_id);
        let closed = if force {
            self.ldk.force_close_channel(&user, peer, None)
        } else {
            self.ldk.close_channel(&user, peer)
        };
        Ok(closed.map_err(|why| later("The channel stays open", why))?)
    }

    /// The most that one usable channel can receive now, and all together.
    pub(super) fn receivable(&self) -> (Msat, Msat) {
        let each = self.ldk.list_channels();
        let each: Vec<Msat> = each.iter().filter(|c| c.is_usable).map(receivable).collect();
        (each.iter().copied().max().unwrap_or_default(), each.into_iter().sum())
    }
}

impl Inner {
    /// Dials the peers that are known and not connected. True if all of them answered.
    pub(super) fn redial(&self) -> bool {
        let away = self.ldk.list_peers().into_iter().filter(|p| p.is_persisted && !p.is_connected);
        // Each is dialled, whatever became of the one before.
        away.filter(|p| self.ldk.connect(p.node_id, p.address.clone(), true).is_err()).count() == 0
    }
}

fn info(channel: &ChannelDetails) -> ChannelInfo {
    let usable = channel.is_usable;
    ChannelInfo {
        id: name(channel),
        peer: NodeId(channel.counterparty_node_id.serialize()),
        size: Msat::sats(channel.channel_value_sats).unwrap_or_default(),
        sendable: msat(if usable { channel.next_outbound_htlc_limit_msat } else { 0 }),
        receivable: if usable { receivable(channel) } else { Msat::ZERO },
        reserve: Msat::sats(channel.unspendable_punishment_reserve.unwrap_or(0))
            .unwrap_or_default(),
        ours: channel.is_outbound,
        usable,
        confirmations: channel.confirmations,
    }
}

/// What the peer can really send us over this channel. LDK's inbound capacity forgets two things: a
/// funding peer pays for the commitment transaction, and keeps a buffer for two more HTLCs; and we
/// allow only so much in flight.
fn receivable(channel: &ChannelDetails) -> Msat {
    // Weights of an anchor commitment transaction and of one HTLC output (BOLT 3, appendix A).
    const COMMITMENT: u64 = 1124;
    const HTLC: u64 = 172;
    let weight = COMMITMENT + 4 * HTLC;
    let fee_msat = match channel.is_outbound {
        true => 0,
        false => weight * u64::from(channel.feerate_sat_per_1000_weight),
    };
    let free = channel.inbound_capacity_msat.saturating_sub(fee_msat);
    msat(free.min(channel.inbound_htlc_maximum_msat.unwrap_or(free)))
}

pub(super) fn name(channel: &ChannelDetails) -> String {
    format!("{:032x}", channel.user_channel_id.0)
}

pub(super) fn msat(n: u64) -> Msat {
    Msat::new(n).unwrap_or(Msat::MAX)
}

pub(super) fn later(what: &str, why: NodeError) -> Fault {
    Fault::Later(format!("{what}: {}. No money moved.", words(why)))
}

fn coins(what: &str, why: NodeError) -> Fault {
    match why {
        NodeError::InsufficientFunds => Fault::Never(format!(
            "{what}: there are not enough confirmed coins on the chain, fees and reserve for \
             channels included. No money moved."
        )),
        why => later(what, why),
    }
}

fn words(why: NodeError) -> String {
    let words = why.to_string();
    words.strip_suffix('.').unwrap_or(&words).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_has_one_spelling() {
        let text =
            "02eec7245d6b7d2ccb30380bfbe2a3648cd7a942653f5aa340edcea1f283686619@127.0.0.1:9735";
        assert_eq!(text.parse::<Peer>().unwrap().to_string(), text);
        for bad in ["", "@", "02ee@127.0.0.1:1", &text[..66], &text[..70]] {
            assert!(bad.parse::<Peer>().is_err(), "{bad}");
        }
        let no_point = format!("{}@127.0.0.1:9735", "07".repeat(33));
        assert!(no_point.parse::<Peer>().is_err());
    }
}

//! What a price means for whoever earns it: said before anything is signed, not after the work.

use crate::engine::NodeStatus;
use crate::market::Msat;

/// Of our side of a channel so much cannot be spent, or a hundredth of the channel where that is more (BOLT 2,
/// `channel_reserve_satoshis`).
const LEAST_RESERVE: Msat = match Msat::sats(1_000) {
    Some(reserve) => reserve,
    None => Msat::ZERO,
};

/// What a worker would get of a price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Net {
    /// The price.
    pub price: Msat,
    /// Whether the payment opens a channel.
    pub opens: bool,
    /// The most that the LSP may keep of it: it names its fee when it is asked for a bill, and a higher one is
    /// refused. Nothing where a channel is there.
    pub lsp_fee: Msat,
    /// The least that is left.
    pub least: Msat,
    /// The most of that which can be spent at once.
    pub spendable: Msat,
}

/// Why a price cannot be received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoNet {
    /// There is no channel for it and no LSP to open one.
    Unreachable,
    /// It is less than the least that can be received.
    TooSmall(Msat),
}

impl NodeStatus {
    /// What these payments, one after the other, would bring; `cap` is what the LSP may keep of each: parts per
    /// million, or this much where that is more.
    ///
    /// # Errors
    /// The first of them could not be received.
    pub fn nets(&self, parts: &[Msat], cap: (u64, Msat)) -> Result<Net, NoNet> {
        let price: Msat = parts.iter().copied().sum();
        let balances = &self.balances;
        let smallest = parts.iter().copied().min().unwrap_or(price);
        let opens = balances.lightning_receivable < price;
        match self.least_first {
            _ if !opens => {}
            None => return Err(NoNet::Unreachable),
            Some(least) if smallest < least => return Err(NoNet::TooSmall(least)),
            Some(_) => {}
        }
        let (ppm, floor) = cap;
        let fee = |part: &Msat| part.ppm(ppm).max(floor).min(*part);
        let lsp_fee = if opens { parts.iter().map(fee).sum() } else { Msat::ZERO };
        let least = price.saturating_sub(lsp_fee);
        // A new channel has a reserve of its own. In one that something can be sent from it is filled.
        let reserve = match opens {
            true => LEAST_RESERVE,
            false if balances.lightning_spendable > Msat::ZERO => Msat::ZERO,
            false => LEAST_RESERVE.saturating_sub(balances.lightning_total),
        };
        Ok(Net { price, opens, lsp_fee, least, spendable: least.saturating_sub(reserve) })
    }
}

impl Net {
    /// What comes in.
    pub fn words(&self) -> String {
        match self.opens {
            true => format!(
                "at least {}: the payment opens a channel, for which your LSP keeps at most {}",
                self.least, self.lsp_fee
            ),
            false => format!("{}: it comes over a channel you have", self.price),
        }
    }

    /// What of it can be spent at once.
    pub fn at_once(&self) -> String {
        if self.spendable == self.least {
            return "All of it can be spent at once.".into();
        }
        let rest = self.least.saturating_sub(self.spendable);
        format!(
            "Of that you can spend {} at once at most: {rest}, or a hundredth of the channel where that is \
             more, stays in it as its reserve while it is open.",
            self.spendable
        )
    }
}

impl NoNet {
    /// Why nothing comes in.
    pub fn words(&self) -> String {
        match self {
            Self::Unreachable => {
                "nothing can be received: there is no channel for it and no LSP to open one".into()
            }
            Self::TooSmall(least) => {
                format!("too small: the least that can be received now is {least}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Balances;
    use crate::market::NodeId;

    fn sats(n: u64) -> Msat {
        Msat::sats(n).unwrap()
    }

    fn node(receivable: u64, spendable: u64, total: u64, least: Option<u64>) -> NodeStatus {
        NodeStatus {
            node: NodeId([2; 33]),
            running: true,
            height: 1,
            balances: Balances {
                lightning_receivable: sats(receivable),
                lightning_spendable: sats(spendable),
                lightning_total: sats(total),
                ..Balances::default()
            },
            channels_usable: 1,
            channels: 1,
            least_first: least.map(sats),
            trouble: None,
        }
    }

    const CAP: (u64, Msat) = (
        50_000,
        match Msat::sats(3_000) {
            Some(floor) => floor,
            None => Msat::ZERO,
        },
    );

    #[test]
    fn a_first_payment_pays_for_its_channel_and_fills_its_reserve() {
        let net = node(0, 0, 0, Some(5_000)).nets(&[sats(21_000)], CAP).unwrap();
        assert_eq!(
            (net.lsp_fee, net.least, net.spendable),
            (sats(3_000), sats(18_000), sats(17_000))
        );
        assert!(net.words().contains("at least 18,000 sat") && net.words().contains("3,000 sat"));
        assert!(net.at_once().contains("17,000 sat at once"), "{}", net.at_once());
        let large = node(0, 0, 0, Some(5_000)).nets(&[sats(200_000)], CAP).unwrap();
        assert_eq!(large.lsp_fee, sats(10_000));
        // Each milestone may need a channel.
        let parts = node(0, 0, 0, Some(5_000)).nets(&[sats(6_000), sats(9_000)], CAP).unwrap();
        assert_eq!((parts.price, parts.lsp_fee), (sats(15_000), sats(6_000)));
        // An LSP may keep all of a payment that is as small as its fee, and nothing is spent then.
        let all = node(0, 0, 0, Some(1_000)).nets(&[sats(2_000)], CAP).unwrap();
        assert_eq!((all.least, all.spendable), (Msat::ZERO, Msat::ZERO));
    }

    #[test]
    fn a_channel_that_is_there_takes_nothing_but_what_its_reserve_lacks() {
        let full = node(50_000, 7_000, 8_000, Some(1)).nets(&[sats(21_000)], CAP).unwrap();
        assert_eq!((full.least, full.spendable), (sats(21_000), sats(21_000)));
        assert_eq!(full.at_once(), "All of it can be spent at once.");
        let empty = node(50_000, 0, 400, Some(1)).nets(&[sats(21_000)], CAP).unwrap();
        assert_eq!((empty.least, empty.spendable), (sats(21_000), sats(20_400)));
    }

    #[test]
    fn what_cannot_be_received_is_said() {
        let none = node(0, 0, 0, None).nets(&[sats(21_000)], CAP);
        assert_eq!(none, Err(NoNet::Unreachable));
        let small = node(0, 0, 0, Some(5_000)).nets(&[sats(21_000), sats(4_000)], CAP);
        assert_eq!(small, Err(NoNet::TooSmall(sats(5_000))));
    }
}

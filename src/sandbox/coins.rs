//! The set of unspent outputs, and what is needed to take a block back out of it.

use std::collections::BTreeMap;

use bitcoin::{Amount, Block, OutPoint, Transaction, TxOut};

use super::rules::{self, Reject, Spot};

/// An unspent output and what the rules ask about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coin {
    /// The output itself.
    pub out: TxOut,
    /// Height of the block that made it; for an unconfirmed one, the height of the next block.
    pub height: u32,
    /// It is a miner's reward, which must mature.
    pub coinbase: bool,
}

/// How to take one block back: the coins it spent and the outputs it made.
#[derive(Debug, Default)]
pub struct Undo {
    spent: Vec<(OutPoint, Coin)>,
    made: Vec<OutPoint>,
}

/// The unspent outputs of one branch of the chain.
#[derive(Debug, Default)]
pub struct Coins(BTreeMap<OutPoint, Coin>);

impl Coins {
    /// The coin at `point`, if it is unspent.
    pub fn get(&self, point: &OutPoint) -> Option<&Coin> {
        self.0.get(point)
    }

    /// How many there are, and what they are worth together.
    pub fn total(&self) -> (usize, Amount) {
        (self.0.len(), self.0.values().map(|c| c.out.value).sum())
    }

    /// Puts a block on top, checking everything its inputs decide. Gives the undo record and the
    /// fee of each transaction (zero for the coinbase). On a refusal nothing has changed.
    pub fn connect(
        &mut self,
        block: &Block,
        spot: &Spot<'_>,
    ) -> Result<(Undo, Vec<Amount>), Reject> {
        let mut undo = Undo::default();
        match self.try_connect(block, spot, &mut undo) {
            Ok(fees) => Ok((undo, fees)),
            Err(reject) => {
                self.disconnect(undo);
                Err(reject)
            }
        }
    }

    /// Takes the topmost block back out.
    pub fn disconnect(&mut self, undo: Undo) {
        // A coin made and spent within the block is in both lists: restore first, then remove.
        self.0.extend(undo.spent);
        for point in undo.made {
            self.0.remove(&point);
        }
    }

    fn try_connect(
        &mut self,
        block: &Block,
        spot: &Spot<'_>,
        undo: &mut Undo,
    ) -> Result<Vec<Amount>, Reject> {
        let mut fees = vec![Amount::ZERO];
        let mut sigops = 0;
        let (coinbase, rest) =
            block.txdata.split_first().ok_or_else(|| Reject::rule("bad-blk-length"))?;
        rules::add_sigops(&mut sigops, rules::sigop_cost(coinbase, &[]))?;
        self.make(coinbase, spot.height, undo)?;
        for tx in rest {
            let coins: Vec<Coin> = tx
                .input
                .iter()
                .map(|i| self.0.get(&i.previous_output).cloned().ok_or_else(Reject::missing))
                .collect::<Result<_, _>>()?;
            let fee = rules::check_inputs(tx, &coins, spot)?;
            if !rules::sequence_locks_met(tx, &coins, spot) {
                return Err(Reject::rule("bad-txns-nonfinal"));
            }
            rules::add_sigops(&mut sigops, rules::sigop_cost(tx, &coins))?;
            rules::check_scripts(tx, &coins)?;
            for (input, coin) in tx.input.iter().zip(coins) {
                self.0.remove(&input.previous_output);
                undo.spent.push((input.previous_output, coin));
            }
            self.make(tx, spot.height, undo)?;
            fees.push(fee);
        }
        let reward: Amount = coinbase.output.iter().map(|o| o.value).sum();
        let most =
            fees.iter().try_fold(rules::subsidy(spot.height), |sum, fee| sum.checked_add(*fee));
        if most.is_none_or(|most| reward > most) {
            return Err(Reject::rule("bad-cb-amount"));
        }
        Ok(fees)
    }

    fn make(&mut self, tx: &Transaction, height: u32, undo: &mut Undo) -> Result<(), Reject> {
        let txid = tx.compute_txid();
        for (vout, out) in tx.output.iter().enumerate() {
            if rules::is_unspendable(&out.script_pubkey) {
                continue;
            }
            let point = OutPoint::new(txid, vout as u32);
            if self.0.contains_key(&point) {
                return Err(Reject::rule("bad-txns-BIP30"));
            }
            self.0.insert(point, Coin { out: out.clone(), height, coinbase: tx.is_coinbase() });
            undo.made.push(point);
        }
        Ok(())
    }
}

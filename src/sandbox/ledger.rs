//! What a chain says happened, read block by block over RPC: who can spend what, and every fee.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{Amount, BlockHash, OutPoint, Script, Transaction, TxOut, Txid};

use super::client::{Client, Fault};

/// An output of a followed transaction that nobody has spent.
#[derive(Debug, Clone)]
pub struct Held {
    /// Where it is.
    pub point: OutPoint,
    /// What it is.
    pub out: TxOut,
    /// The block that confirms it; absent while it waits.
    pub height: Option<u32>,
    /// It is a miner's reward.
    pub coinbase: bool,
}

/// The followed chain: every transaction of the best branch, and those that wait.
#[derive(Debug, Default)]
pub struct Ledger {
    blocks: Vec<(BlockHash, Vec<Txid>)>,
    confirmed: BTreeMap<Txid, (u32, Transaction)>,
    waiting: BTreeMap<Txid, Transaction>,
}

impl Ledger {
    /// Catches up with the chain, unwinding blocks that are no longer on the best branch.
    ///
    /// # Errors
    /// The chain does not answer, or keeps changing faster than it can be read.
    pub async fn refresh(&mut self, client: &Client) -> Result<(), Fault> {
        const TRIES: usize = 8;
        for _ in 0..TRIES {
            if self.follow(client).await? {
                return self.read_waiting(client).await;
            }
        }
        Err(Fault::Malformed("getblockhash".into()))
    }

    /// A waiting or confirmed transaction, as of the last refresh.
    pub fn transaction(&self, txid: &Txid) -> Option<&Transaction> {
        self.waiting.get(txid).or_else(|| self.confirmed.get(txid).map(|(_, tx)| tx))
    }

    /// The height that confirms a transaction.
    pub fn height_of(&self, txid: &Txid) -> Option<u32> {
        self.confirmed.get(txid).map(|(height, _)| *height)
    }

    /// What a transaction pays to a miner; nothing for a coinbase or an unknown one.
    pub fn fee_of(&self, txid: &Txid) -> Option<Amount> {
        let tx = self.transaction(txid)?;
        if tx.is_coinbase() {
            return None;
        }
        let mut total = Amount::ZERO;
        for input in &tx.input {
            let point = input.previous_output;
            let out = self.transaction(&point.txid)?.output.get(point.vout as usize)?;
            total = total.checked_add(out.value)?;
        }
        let paid = tx.output.iter().try_fold(Amount::ZERO, |sum, o| sum.checked_add(o.value))?;
        total.checked_sub(paid)
    }

    /// The fees of every transaction confirmed above `since` or waiting.
    pub fn fees_since(&self, since: u32) -> Amount {
        let confirmed = self.confirmed.iter().filter(|(_, (h, _))| *h > since).map(|(id, _)| id);
        confirmed.chain(self.waiting.keys()).filter_map(|id| self.fee_of(id)).sum()
    }

    /// Who spends this output, confirmed or waiting.
    pub fn spender(&self, point: &OutPoint) -> Option<Txid> {
        let confirmed = self.confirmed.iter().map(|(id, (_, tx))| (id, tx));
        confirmed
            .chain(self.waiting.iter())
            .find(|(_, tx)| tx.input.iter().any(|i| i.previous_output == *point))
            .map(|(id, _)| *id)
    }

    /// The outputs of a transaction that nobody has spent: after a force close, among them, the
    /// anchors that no one found worth claiming.
    pub fn unspent_of(&self, txid: &Txid) -> Option<Vec<(OutPoint, TxOut)>> {
        let outputs = self.transaction(txid)?.output.iter().enumerate();
        let all = outputs.map(|(vout, out)| (OutPoint::new(*txid, vout as u32), out.clone()));
        Some(all.filter(|(point, _)| self.spender(point).is_none()).collect())
    }

    /// Height of the last block read.
    pub fn height(&self) -> u32 {
        self.blocks.len().saturating_sub(1) as u32
    }

    /// The unspent outputs to `script`.
    pub fn held(&self, script: &Script) -> Vec<Held> {
        let confirmed = self.confirmed.iter().map(|(id, (h, tx))| (id, Some(*h), tx));
        let all = confirmed.chain(self.waiting.iter().map(|(id, tx)| (id, None, tx)));
        let spent: BTreeSet<OutPoint> =
            all.clone().flat_map(|(_, _, tx)| tx.input.iter().map(|i| i.previous_output)).collect();
        let mut held = Vec::new();
        for (txid, height, tx) in all {
            for (vout, out) in tx.output.iter().enumerate() {
                let point = OutPoint::new(*txid, vout as u32);
                if *out.script_pubkey == *script && !spent.contains(&point) {
                    held.push(Held { point, out: out.clone(), height, coinbase: tx.is_coinbase() });
                }
            }
        }
        held
    }

    /// Reads blocks up to the tip; false when the chain changed meanwhile.
    async fn follow(&mut self, client: &Client) -> Result<bool, Fault> {
        let tip = client.height().await?;
        while let Some((hash, _)) = self.blocks.last() {
            let height = self.height();
            if height <= tip && client.hash_at(height).await? == *hash {
                break;
            }
            if let Some((_, txids)) = self.blocks.pop() {
                for txid in txids {
                    self.confirmed.remove(&txid);
                }
            }
        }
        for height in self.blocks.len() as u32..=tip {
            let hash = client.hash_at(height).await?;
            let block = client.block(&hash).await?;
            let parent = self.blocks.last().map(|(hash, _)| *hash);
            if parent.is_some_and(|p| p != block.header.prev_blockhash) {
                return Ok(false);
            }
            let mut txids = Vec::with_capacity(block.txdata.len());
            for tx in block.txdata {
                let txid = tx.compute_txid();
                txids.push(txid);
                self.confirmed.insert(txid, (height, tx));
            }
            self.blocks.push((hash, txids));
        }
        Ok(true)
    }

    async fn read_waiting(&mut self, client: &Client) -> Result<(), Fault> {
        let ids: BTreeSet<Txid> = client.waiting().await?.into_iter().collect();
        self.waiting.retain(|id, _| ids.contains(id));
        for id in ids {
            if !self.waiting.contains_key(&id)
                && let Some(tx) = client.transaction(&id).await?
                && !self.confirmed.contains_key(&id)
            {
                self.waiting.insert(id, tx);
            }
        }
        Ok(())
    }
}

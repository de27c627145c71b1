//! Every block that is known, the branch with the most work, and how to move from one to another:
//! the part of the chain that a lock guards.

use std::collections::BTreeMap;
use std::sync::Arc;

use bitcoin::{
    Amount, Block, BlockHash, Network, ScriptBuf, Transaction, Txid, Weight, Work, constants,
};

use super::chain::ChainError;
use super::clock::Clock;
use super::coins::{Coins, Undo};
use super::journal::{Journal, JournalError, Record};
use super::mempool::{Admission, Entry, Mempool};
use super::miner::{self, Template};
use super::rules::{self, Reject, Spot};

/// A known block.
pub(super) struct Node {
    pub(super) block: Arc<Block>,
    pub(super) height: u32,
    pub(super) work: Work,
    pub(super) invalid: bool,
    pub(super) order: u64,
}

/// A block of the best branch.
pub(super) struct Active {
    pub(super) hash: BlockHash,
    pub(super) undo: Undo,
    pub(super) fees: Vec<Amount>,
}

/// Everything the chain knows; one lock is around it.
pub(super) struct Tree {
    pub(super) nodes: BTreeMap<BlockHash, Node>,
    pub(super) active: Vec<Active>,
    pub(super) coins: Coins,
    pub(super) confirmed: BTreeMap<Txid, (u32, u32)>,
    pub(super) mempool: Mempool,
    pub(super) journal: Option<Journal>,
    pub(super) clock: Clock,
    pub(super) mock_time: Option<u64>,
    pub(super) closed: bool,
}

impl Tree {
    pub(super) fn genesis(clock: Clock) -> Self {
        let block = Arc::new(constants::genesis_block(Network::Regtest));
        let hash = block.block_hash();
        let node = Node { work: miner::block_work(), block, height: 0, invalid: false, order: 0 };
        Self {
            nodes: BTreeMap::from([(hash, node)]),
            // As in Core, the genesis coinbase is not a coin.
            active: vec![Active { hash, undo: Undo::default(), fees: vec![Amount::ZERO] }],
            coins: Coins::default(),
            confirmed: BTreeMap::new(),
            mempool: Mempool::default(),
            journal: None,
            clock,
            mock_time: None,
            closed: false,
        }
    }

    pub(super) fn replay(&mut self, records: Vec<Record>) -> Result<(), ChainError> {
        let mut waiting = Vec::new();
        for record in records {
            match record {
                Record::Block(block) => match self.submit(block, false) {
                    Ok(_) => {}
                    Err(ChainError::Refused(reject)) => {
                        return Err(ChainError::InvalidHistory(reject));
                    }
                    Err(other) => return Err(other),
                },
                Record::Transaction(time, tx) => waiting.push((tx, time)),
                Record::Invalidated(hash) => self.invalidate(&hash)?,
                Record::Reconsidered(hash) => self.reconsider(&hash)?,
            }
        }
        waiting.retain(|(tx, _)| !self.confirmed.contains_key(&tx.compute_txid()));
        self.refill(waiting, true);
        Ok(())
    }

    pub(super) fn height(&self) -> u32 {
        (self.active.len() - 1) as u32
    }

    pub(super) fn tip(&self) -> BlockHash {
        self.active[self.active.len() - 1].hash
    }

    pub(super) fn tip_work(&self) -> Work {
        self.nodes[&self.tip()].work
    }

    pub(super) fn now(&self) -> u64 {
        self.mock_time.unwrap_or_else(|| self.clock.now())
    }

    /// The median of a block's time and the ten before it, on the block's own branch (BIP 113).
    pub(super) fn median_time(&self, hash: BlockHash) -> u32 {
        let mut times = Vec::with_capacity(11);
        let mut at = hash;
        while let Some(node) = self.nodes.get(&at) {
            times.push(node.block.header.time);
            if times.len() == 11 {
                break;
            }
            at = node.block.header.prev_blockhash;
        }
        times.sort_unstable();
        times.get(times.len() / 2).copied().unwrap_or(0)
    }

    pub(super) fn check(
        &self,
        tx: &Transaction,
        time: u64,
        relay: bool,
    ) -> Result<Admission, Reject> {
        let at =
            |height: u32| self.active.get(height as usize).map_or(0, |a| self.median_time(a.hash));
        let spot = Spot {
            height: self.height() + 1,
            median_time: self.median_time(self.tip()),
            median_time_at: &at,
        };
        self.mempool.check(tx, &self.coins, &spot, time, relay)
    }

    pub(super) fn assemble(
        &self,
        reward_to: ScriptBuf,
        exactly: Option<Vec<Transaction>>,
    ) -> Result<Block, ChainError> {
        // Room for the header, the coinbase and the commitment.
        let mut room = Weight::MAX_BLOCK.to_wu() - 4_000;
        let mut fees = Amount::ZERO;
        let mut transactions = Vec::new();
        if let Some(list) = exactly {
            // What a miner leaves unclaimed is lost, which no rule forbids.
            for tx in &list {
                fees += self.mempool.get(&tx.compute_txid()).map_or(Amount::ZERO, |e| e.fee);
            }
            transactions = list;
        } else {
            for Entry { tx, fee, .. } in self.mempool.in_order() {
                // Arrival order puts parents first; stopping at the first that does not fit keeps it.
                let weight = tx.weight().to_wu();
                if weight > room {
                    break;
                }
                room -= weight;
                fees += *fee;
                transactions.push(tx.clone());
            }
        }
        let previous = self.tip();
        let floor = self.median_time(previous).saturating_add(1);
        let now = u32::try_from(self.now()).unwrap_or(u32::MAX);
        Ok(miner::mine(Template {
            previous,
            height: self.height() + 1,
            time: now.max(floor),
            reward_to,
            transactions,
            fees,
            extra_nonce: self.nodes.len() as u64,
        }))
    }

    pub(super) fn submit(&mut self, block: Block, live: bool) -> Result<BlockHash, ChainError> {
        self.still_open()?;
        let hash = block.block_hash();
        if let Some(known) = self.nodes.get(&hash) {
            let reason = if known.invalid { "duplicate-invalid" } else { "duplicate" };
            return Err(Reject::rule(reason).into());
        }
        let Some(parent) = self.nodes.get(&block.header.prev_blockhash) else {
            return Err(Reject::rule("prev-blk-not-found").into());
        };
        if parent.invalid {
            return Err(Reject::rule("bad-prevblk").into());
        }
        let height = parent.height + 1;
        // The work the rules ask for, not what the header claims: that is checked below.
        let work = parent.work + miner::block_work();
        let unused = |_: u32| 0;
        let spot = Spot {
            height,
            median_time: self.median_time(block.header.prev_blockhash),
            median_time_at: &unused,
        };
        rules::check_block(&block, &spot, live.then(|| self.now()))?;
        let order = self.nodes.len() as u64;
        let block = Arc::new(block);
        self.nodes
            .insert(hash, Node { block: Arc::clone(&block), height, work, invalid: false, order });
        if work > self.tip_work()
            && let Err(reject) = self.activate(hash)
        {
            return Err(reject.into());
        }
        if live && self.journal.is_some() {
            self.write(&Record::Block(Block::clone(&block)))?;
        }
        Ok(hash)
    }

    /// Makes the branch that ends in `hash` the best one, or leaves everything as it was and marks
    /// the block that broke a rule, and all on it, invalid.
    fn activate(&mut self, hash: BlockHash) -> Result<(), Reject> {
        let mut path = Vec::new();
        let mut at = hash;
        while !self.is_active(&at) {
            path.push(at);
            at = self.nodes[&at].block.header.prev_blockhash;
        }
        let fork = self.nodes[&at].height;
        let left: Vec<BlockHash> =
            self.active[fork as usize + 1..].iter().map(|a| a.hash).collect();
        let displaced = self.disconnect_to(fork);
        for next in path.iter().rev() {
            if let Err(reject) = self.connect(*next) {
                tracing::debug!(block = %next, %reject, "a branch broke a rule");
                self.mark_invalid(next);
                self.disconnect_to(fork);
                for back in left {
                    self.connect(back)?;
                }
                return Err(reject);
            }
        }
        if displaced.is_empty() {
            let fresh: Vec<Arc<Block>> =
                path.iter().rev().map(|h| Arc::clone(&self.nodes[h].block)).collect();
            for block in fresh {
                self.mempool.confirmed(block.txdata.iter().skip(1));
            }
        } else {
            // Locks and coins may all have changed: everything is checked again, oldest first.
            let now = self.now();
            let mut again: Vec<_> = displaced.into_iter().map(|tx| (tx, now)).collect();
            again.extend(self.mempool.drain());
            self.refill(again, false);
        }
        Ok(())
    }

    fn refill(&mut self, transactions: Vec<(Transaction, u64)>, relay: bool) {
        for (tx, time) in transactions {
            match self.check(&tx, time, relay) {
                Ok(admission) => self.mempool.admit(admission),
                Err(reject) => {
                    tracing::debug!(txid = %tx.compute_txid(), %reject, "left the mempool");
                }
            }
        }
    }

    fn connect(&mut self, hash: BlockHash) -> Result<(), Reject> {
        let block = Arc::clone(&self.nodes[&hash].block);
        let height = self.height() + 1;
        let mut coins = std::mem::take(&mut self.coins);
        let at =
            |height: u32| self.active.get(height as usize).map_or(0, |a| self.median_time(a.hash));
        let spot = Spot { height, median_time: self.median_time(self.tip()), median_time_at: &at };
        let result = coins.connect(&block, &spot);
        self.coins = coins;
        let (undo, fees) = result?;
        for (at, tx) in block.txdata.iter().enumerate() {
            self.confirmed.insert(tx.compute_txid(), (height, at as u32));
        }
        self.active.push(Active { hash, undo, fees });
        Ok(())
    }

    /// Takes blocks off the best branch down to `height`; gives their transactions, oldest first.
    fn disconnect_to(&mut self, height: u32) -> Vec<Transaction> {
        let mut blocks = Vec::new();
        while self.height() > height
            && let Some(top) = self.active.pop()
        {
            self.coins.disconnect(top.undo);
            let block = Arc::clone(&self.nodes[&top.hash].block);
            for tx in &block.txdata {
                self.confirmed.remove(&tx.compute_txid());
            }
            blocks.push(block);
        }
        blocks.iter().rev().flat_map(|b| b.txdata.iter().skip(1).cloned()).collect()
    }

    fn is_active(&self, hash: &BlockHash) -> bool {
        let height = self.nodes.get(hash).map(|n| n.height as usize);
        height.and_then(|h| self.active.get(h)).is_some_and(|a| a.hash == *hash)
    }

    fn descends(&self, from: &BlockHash, ancestor: &BlockHash) -> bool {
        let Some(floor) = self.nodes.get(ancestor).map(|n| n.height) else { return false };
        let mut at = *from;
        while let Some(node) = self.nodes.get(&at)
            && node.height > floor
        {
            at = node.block.header.prev_blockhash;
        }
        at == *ancestor
    }

    fn mark_invalid(&mut self, hash: &BlockHash) {
        let branch: Vec<BlockHash> =
            self.nodes.keys().filter(|h| self.descends(h, hash)).copied().collect();
        for hash in branch {
            if let Some(node) = self.nodes.get_mut(&hash) {
                node.invalid = true;
            }
        }
    }

    pub(super) fn invalidate(&mut self, hash: &BlockHash) -> Result<(), ChainError> {
        let height = self.nodes.get(hash).ok_or(ChainError::UnknownBlock)?.height;
        if height == 0 {
            return Err(Reject::rule("bad-genesis").into());
        }
        let was_active = self.is_active(hash);
        self.mark_invalid(hash);
        if was_active {
            let mut again: Vec<_> = {
                let now = self.now();
                self.disconnect_to(height - 1).into_iter().map(|tx| (tx, now)).collect()
            };
            again.extend(self.mempool.drain());
            self.refill(again, false);
        }
        self.choose_best();
        Ok(())
    }

    pub(super) fn reconsider(&mut self, hash: &BlockHash) -> Result<(), ChainError> {
        if !self.nodes.contains_key(hash) {
            return Err(ChainError::UnknownBlock);
        }
        let branch: Vec<BlockHash> = self
            .nodes
            .keys()
            .filter(|h| self.descends(h, hash) || self.descends(hash, h))
            .copied()
            .collect();
        for hash in branch {
            if let Some(node) = self.nodes.get_mut(&hash) {
                node.invalid = false;
            }
        }
        self.choose_best();
        Ok(())
    }

    /// Moves to the valid block with the most work; of equals, the one seen first.
    fn choose_best(&mut self) {
        loop {
            let best = self
                .nodes
                .iter()
                .filter(|(_, n)| !n.invalid && n.work > self.tip_work())
                .max_by_key(|(_, n)| (n.work, std::cmp::Reverse(n.order)))
                .map(|(hash, _)| *hash);
            match best {
                // A refusal marks the branch invalid, so the next round cannot pick it again.
                Some(hash) => {
                    if self.activate(hash).is_ok() {
                        return;
                    }
                }
                None => return,
            }
        }
    }

    pub(super) fn write(&mut self, record: &Record) -> Result<(), ChainError> {
        self.still_open()?;
        match &mut self.journal {
            Some(journal) => Ok(journal.append(record)?),
            None => Ok(()),
        }
    }

    fn still_open(&self) -> Result<(), ChainError> {
        if self.closed { Err(JournalError::Closed.into()) } else { Ok(()) }
    }

    pub(super) fn sync(&mut self) -> Result<(), ChainError> {
        match &mut self.journal {
            Some(journal) => Ok(journal.sync()?),
            None => Ok(()),
        }
    }
}

//! A regtest chain in the process: every block it knows, the branch with the most work, the coins
//! of that branch and the mempool on top, kept in one file.
//!
//! Genuine in every part that a node can see: headers with work, merkle roots, witness commitments,
//! scripts run by Core's engine, locks, maturity, and reorganisations that give transactions back.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bitcoin::{
    Amount, Block, BlockHash, Network, OutPoint, ScriptBuf, Transaction, TxOut, Txid, Weight, Work,
    constants,
};

use super::coins::{Coin, Coins, Undo};
use super::journal::{Journal, JournalError, Record};
use super::mempool::{Admission, Entry, Mempool};
use super::miner::{self, Template};
use super::rules::{self, Reject, Spot};

/// Where the time comes from, in seconds since 1970.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> u64 + Send + Sync>);

impl Clock {
    /// The machine's own clock.
    pub fn system() -> Self {
        Self(Arc::new(|| {
            #[expect(clippy::disallowed_methods, reason = "the sandbox's clock adapter")]
            let now = std::time::SystemTime::now();
            now.duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs())
        }))
    }

    /// A clock of the caller's.
    pub fn new(now: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The time now, in seconds.
    pub fn now(&self) -> u64 {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now())
    }
}

/// Why the chain did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// A rule of Bitcoin forbids it; nothing changed.
    #[error("{0}")]
    Refused(#[from] Reject),
    /// There is no such block.
    #[error("Block not found")]
    UnknownBlock,
    /// The file cannot be read or written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The file holds a block that the rules refuse.
    #[error("the sandbox chain's file holds an invalid block ({0}); delete the sandbox folder")]
    InvalidHistory(Reject),
}

/// A block the chain knows, and where it stands.
#[derive(Debug, Clone)]
pub struct KnownBlock {
    /// The block.
    pub block: Arc<Block>,
    /// Its height.
    pub height: u32,
    /// All work up to and with it.
    pub work: Work,
    /// Blocks on top of it plus one; -1 when it is not on the best branch.
    pub confirmations: i64,
    /// The median time past at this block.
    pub median_time: u32,
    /// The next block of the best branch.
    pub next: Option<BlockHash>,
}

/// A transaction and where it stands.
#[derive(Debug, Clone)]
pub struct KnownTransaction {
    /// The transaction.
    pub tx: Transaction,
    /// What it pays to a miner (zero for a coinbase).
    pub fee: Amount,
    /// The block that confirms it; absent while it waits.
    pub block: Option<(BlockHash, u32)>,
}

/// A shared handle; every call is short and may come from any thread or task.
#[derive(Clone)]
pub struct Chain(Arc<Mutex<State>>);

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (height, hash) = self.tip();
        f.debug_struct("Chain").field("height", &height).field("tip", &hash).finish()
    }
}

struct Node {
    block: Arc<Block>,
    height: u32,
    work: Work,
    invalid: bool,
    order: u64,
}

struct Active {
    hash: BlockHash,
    undo: Undo,
    fees: Vec<Amount>,
}

struct State {
    nodes: BTreeMap<BlockHash, Node>,
    active: Vec<Active>,
    coins: Coins,
    confirmed: BTreeMap<Txid, (u32, u32)>,
    mempool: Mempool,
    journal: Option<Journal>,
    clock: Clock,
    mock_time: Option<u64>,
}

impl Chain {
    /// A chain that holds the regtest genesis block alone and forgets everything when dropped.
    pub fn in_memory(clock: Clock) -> Self {
        Self(Arc::new(Mutex::new(State::genesis(clock))))
    }

    /// Opens or makes the chain kept in `dir`, checking every block again.
    ///
    /// # Errors
    /// The file is in use, unreadable, damaged in its middle, or holds a block the rules refuse.
    pub fn open(dir: &Path, clock: Clock) -> Result<Self, ChainError> {
        let (journal, records) = Journal::open(dir)?;
        let mut state = State::genesis(clock);
        state.replay(records)?;
        state.journal = Some(journal);
        Ok(Self(Arc::new(Mutex::new(state))))
    }

    /// Height and hash of the best block.
    pub fn tip(&self) -> (u32, BlockHash) {
        let s = self.lock();
        (s.height(), s.tip())
    }

    /// Work of the best branch and its median time past.
    pub fn tip_work(&self) -> (Work, u32) {
        let s = self.lock();
        (s.tip_work(), s.median_time(s.tip()))
    }

    /// Hash of the best branch's block at `height`.
    pub fn hash_at(&self, height: u32) -> Option<BlockHash> {
        self.lock().active.get(height as usize).map(|a| a.hash)
    }

    /// Any block the chain knows, on the best branch or beside it.
    pub fn block(&self, hash: &BlockHash) -> Option<KnownBlock> {
        let s = self.lock();
        let node = s.nodes.get(hash)?;
        let at = node.height as usize;
        let on_best = s.active.get(at).is_some_and(|a| a.hash == *hash);
        Some(KnownBlock {
            block: Arc::clone(&node.block),
            height: node.height,
            work: node.work,
            confirmations: if on_best { (s.active.len() - at) as i64 } else { -1 },
            median_time: s.median_time(*hash),
            next: s.active.get(at + 1).filter(|_| on_best).map(|a| a.hash),
        })
    }

    /// The fees of a best-branch block's transactions, in its order.
    pub fn fees(&self, hash: &BlockHash) -> Option<Vec<Amount>> {
        self.lock().active.iter().rev().find(|a| a.hash == *hash).map(|a| a.fees.clone())
    }

    /// A waiting or confirmed transaction.
    pub fn transaction(&self, txid: &Txid) -> Option<KnownTransaction> {
        let s = self.lock();
        if let Some(entry) = s.mempool.get(txid) {
            return Some(KnownTransaction { tx: entry.tx.clone(), fee: entry.fee, block: None });
        }
        let (height, at) = *s.confirmed.get(txid)?;
        let active = s.active.get(height as usize)?;
        let tx = s.nodes.get(&active.hash)?.block.txdata.get(at as usize)?.clone();
        let fee = active.fees.get(at as usize).copied().unwrap_or(Amount::ZERO);
        Some(KnownTransaction { tx, fee, block: Some((active.hash, height)) })
    }

    /// An unspent output. With `with_mempool`, waiting transactions spend and make outputs too.
    pub fn unspent(&self, point: &OutPoint, with_mempool: bool) -> Option<Coin> {
        let s = self.lock();
        if with_mempool && s.mempool.spender(point).is_some() {
            return None;
        }
        let waiting = || -> Option<Coin> {
            let out: TxOut = s.mempool.output(point)?.clone();
            Some(Coin { out, height: s.height() + 1, coinbase: false })
        };
        s.coins.get(point).cloned().or_else(|| if with_mempool { waiting() } else { None })
    }

    /// Runs a question against the mempool.
    pub fn with_mempool<T>(&self, ask: impl FnOnce(&Mempool) -> T) -> T {
        ask(&self.lock().mempool)
    }

    /// Offers a transaction to the mempool.
    ///
    /// # Errors
    /// The reject reason Core would give.
    pub fn accept(&self, tx: &Transaction) -> Result<Txid, ChainError> {
        let mut s = self.lock();
        let time = s.now();
        let admission = s.check(tx, time, true)?;
        s.write(&Record::Transaction(time, tx.clone()))?;
        s.mempool.admit(admission);
        Ok(tx.compute_txid())
    }

    /// Says what `accept` would say and changes nothing: fee and virtual size.
    ///
    /// # Errors
    /// The reject reason Core would give.
    pub fn test_accept(&self, tx: &Transaction) -> Result<(Amount, u64), Reject> {
        let s = self.lock();
        s.check(tx, s.now(), true).map(|a| (a.fee(), a.vsize()))
    }

    /// Mines one block of everything that waits and fits, paying the reward to `reward_to`.
    ///
    /// # Errors
    /// The disk, or a block time too far ahead of the clock.
    pub fn mine(&self, reward_to: &ScriptBuf) -> Result<BlockHash, ChainError> {
        let mut s = self.lock();
        let block = s.assemble(reward_to.clone(), None)?;
        s.submit(block, true)
    }

    /// Mines one block of exactly these transactions, which need not wait in the mempool.
    ///
    /// # Errors
    /// A transaction is invalid there, or the disk.
    pub fn mine_exactly(
        &self,
        reward_to: &ScriptBuf,
        transactions: Vec<Transaction>,
    ) -> Result<BlockHash, ChainError> {
        let mut s = self.lock();
        let block = s.assemble(reward_to.clone(), Some(transactions))?;
        s.submit(block, true)
    }

    /// Offers a block. It may lengthen the best branch, stand beside it, or outweigh it: then the
    /// transactions of the blocks it displaces go back to the mempool.
    ///
    /// # Errors
    /// The reject reason Core would give (`duplicate`, `prev-blk-not-found`, `high-hash`, ...).
    pub fn submit_block(&self, block: Block) -> Result<BlockHash, ChainError> {
        let mut s = self.lock();
        let hash = s.submit(block, true)?;
        s.sync()?;
        Ok(hash)
    }

    /// Waits until all that was mined is on the disk.
    ///
    /// # Errors
    /// The disk.
    pub fn sync(&self) -> Result<(), ChainError> {
        self.lock().sync()
    }

    /// Declares a block and everything on it invalid; the best of the rest becomes the chain.
    ///
    /// # Errors
    /// There is no such block, it is the genesis block, or the disk.
    pub fn invalidate(&self, hash: &BlockHash) -> Result<(), ChainError> {
        let mut s = self.lock();
        s.invalidate(hash)?;
        s.write(&Record::Invalidated(*hash))?;
        s.sync()
    }

    /// Takes `invalidate` back, for the block, what stands on it and what it stands on.
    ///
    /// # Errors
    /// There is no such block, or the disk.
    pub fn reconsider(&self, hash: &BlockHash) -> Result<(), ChainError> {
        let mut s = self.lock();
        s.reconsider(hash)?;
        s.write(&Record::Reconsidered(*hash))?;
        s.sync()
    }

    /// Stops the clock at `time` seconds, or lets it run again.
    pub fn set_mock_time(&self, time: Option<u64>) {
        self.lock().mock_time = time;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn genesis(clock: Clock) -> Self {
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
        }
    }

    fn replay(&mut self, records: Vec<Record>) -> Result<(), ChainError> {
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

    fn height(&self) -> u32 {
        (self.active.len() - 1) as u32
    }

    fn tip(&self) -> BlockHash {
        self.active[self.active.len() - 1].hash
    }

    fn tip_work(&self) -> Work {
        self.nodes[&self.tip()].work
    }

    fn now(&self) -> u64 {
        self.mock_time.unwrap_or_else(|| self.clock.now())
    }

    /// The median of a block's time and the ten before it, on the block's own branch (BIP 113).
    fn median_time(&self, hash: BlockHash) -> u32 {
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

    fn check(&self, tx: &Transaction, time: u64, relay: bool) -> Result<Admission, Reject> {
        let at =
            |height: u32| self.active.get(height as usize).map_or(0, |a| self.median_time(a.hash));
        let spot = Spot {
            height: self.height() + 1,
            median_time: self.median_time(self.tip()),
            median_time_at: &at,
        };
        self.mempool.check(tx, &self.coins, &spot, time, relay)
    }

    fn assemble(
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

    fn submit(&mut self, block: Block, live: bool) -> Result<BlockHash, ChainError> {
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

    fn invalidate(&mut self, hash: &BlockHash) -> Result<(), ChainError> {
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

    fn reconsider(&mut self, hash: &BlockHash) -> Result<(), ChainError> {
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

    fn write(&mut self, record: &Record) -> Result<(), ChainError> {
        match &mut self.journal {
            Some(journal) => Ok(journal.append(record)?),
            None => Ok(()),
        }
    }

    fn sync(&mut self) -> Result<(), ChainError> {
        match &mut self.journal {
            Some(journal) => Ok(journal.sync()?),
            None => Ok(()),
        }
    }
}

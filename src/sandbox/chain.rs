//! A regtest chain in the process: every block it knows, the branch with the most work, the coins
//! of that branch and the mempool on top, kept in one file.
//!
//! Genuine in every part that a node can see: headers with work, merkle roots, witness commitments,
//! scripts run by Core's engine, locks, maturity, and reorganisations that give transactions back.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bitcoin::{Amount, Block, BlockHash, OutPoint, ScriptBuf, Transaction, TxOut, Txid, Work};

use super::clock::Clock;
use super::coins::Coin;
use super::journal::{Journal, JournalError, Record};
use super::mempool::Mempool;
use super::rules::Reject;
use super::tree::Tree;

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
pub struct Chain(Arc<Mutex<Tree>>);

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (height, hash) = self.tip();
        f.debug_struct("Chain").field("height", &height).field("tip", &hash).finish()
    }
}

impl Chain {
    /// A chain that holds the regtest genesis block alone and forgets everything when dropped.
    pub fn in_memory(clock: Clock) -> Self {
        Self(Arc::new(Mutex::new(Tree::genesis(clock))))
    }

    /// Opens or makes the chain kept in `dir`, checking every block again.
    ///
    /// # Errors
    /// The file is in use, unreadable, damaged in its middle, or holds a block the rules refuse.
    pub fn open(dir: &Path, clock: Clock) -> Result<Self, ChainError> {
        let (journal, records) = Journal::open(dir)?;
        let mut state = Tree::genesis(clock);
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

    /// Lets go of the file and takes nothing more, whoever else still holds a handle.
    pub fn close(&self) {
        let mut s = self.lock();
        s.closed = true;
        s.journal = None;
    }

    fn lock(&self) -> MutexGuard<'_, Tree> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! Transactions that are valid on top of the tip and wait for a block: Core's policy where it
//! matters to a wallet (minimum fee, dust, standard scripts, full replacement by fee, chain limits).

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{Amount, OutPoint, Transaction, Txid};

use super::coins::{Coin, Coins};
use super::rules::{self, Reject, RejectKind, Spot};

/// The lowest fee rate that is taken, and the least by which a replacement must pay for its own
/// relay, in satoshis per 1,000 virtual bytes.
pub const MIN_FEE_RATE: u64 = 1_000;
/// Longest line of unconfirmed ancestors or descendants, the transaction itself included.
const CHAIN_LIMIT: usize = 25;
/// Most transactions one replacement may throw out (BIP 125, rule 5).
const MAX_REPLACED: usize = 100;
/// Sum of virtual sizes that are held.
const MAX_POOL_VSIZE: u64 = 50_000_000;

/// A waiting transaction and what is known of it.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The transaction.
    pub tx: Transaction,
    /// What it pays to a miner.
    pub fee: Amount,
    /// Its virtual size in bytes.
    pub vsize: u64,
    /// When it came, in seconds.
    pub time: u64,
    /// The height of the tip when it came.
    pub height: u32,
    order: u64,
}

/// The pool.
#[derive(Debug, Default)]
pub struct Mempool {
    entries: BTreeMap<Txid, Entry>,
    spent_by: BTreeMap<OutPoint, Txid>,
    next_order: u64,
    vsize: u64,
}

/// A transaction that passed every check, and whom it would throw out.
#[derive(Debug)]
pub struct Admission {
    entry: Entry,
    replaces: BTreeSet<Txid>,
}

impl Admission {
    /// The fee it pays.
    pub fn fee(&self) -> Amount {
        self.entry.fee
    }

    /// Its virtual size in bytes.
    pub fn vsize(&self) -> u64 {
        self.entry.vsize
    }
}

impl Mempool {
    /// The entry of a waiting transaction.
    pub fn get(&self, txid: &Txid) -> Option<&Entry> {
        self.entries.get(txid)
    }

    /// Every waiting transaction, parents before children.
    pub fn in_order(&self) -> Vec<&Entry> {
        let mut all: Vec<&Entry> = self.entries.values().collect();
        all.sort_by_key(|e| e.order);
        all
    }

    /// Ids of all that wait.
    pub fn txids(&self) -> impl Iterator<Item = Txid> + '_ {
        self.entries.keys().copied()
    }

    /// How many wait, and the sum of their virtual sizes.
    pub fn size(&self) -> (usize, u64) {
        (self.entries.len(), self.vsize)
    }

    /// Who spends this output here.
    pub fn spender(&self, point: &OutPoint) -> Option<Txid> {
        self.spent_by.get(point).copied()
    }

    /// The output of a waiting transaction.
    pub fn output(&self, point: &OutPoint) -> Option<&bitcoin::TxOut> {
        self.entries.get(&point.txid)?.tx.output.get(point.vout as usize)
    }

    /// Checks a transaction against everything above, in Core's order. `relay` holds the policy of
    /// strangers' transactions; without it only consensus decides (transactions of a block that was
    /// taken back).
    pub fn check(
        &self,
        tx: &Transaction,
        coins: &Coins,
        spot: &Spot<'_>,
        time: u64,
        relay: bool,
    ) -> Result<Admission, Reject> {
        rules::check_transaction(tx)?;
        if tx.is_coinbase() {
            return Err(Reject::rule("coinbase"));
        }
        if relay {
            check_standard(tx)?;
        }
        if !rules::is_final(tx, spot) {
            return Err(Reject::rule("non-final"));
        }
        let txid = tx.compute_txid();
        if self.entries.contains_key(&txid) {
            return Err(Reject::rule("txn-already-in-mempool"));
        }
        let found = self.find_coins(tx, coins, spot)?;
        if !rules::sequence_locks_met(tx, &found, spot) {
            return Err(Reject::rule("non-BIP68-final"));
        }
        let fee = rules::check_inputs(tx, &found, spot)?;
        let vsize = tx.vsize() as u64;
        if relay && fee.to_sat() < fee_at(MIN_FEE_RATE, vsize) {
            return Err(Reject::because(
                "min relay fee not met",
                format!("{} < {}", fee.to_sat(), fee_at(MIN_FEE_RATE, vsize)),
            ));
        }
        let entry = Entry {
            tx: tx.clone(),
            fee,
            vsize,
            time,
            height: spot.height.saturating_sub(1),
            order: self.next_order,
        };
        let replaces = self.check_conflicts(&entry)?;
        if relay {
            self.check_chain(&txid, tx)?;
        }
        if self.vsize + vsize > MAX_POOL_VSIZE {
            return Err(Reject::rule("mempool full"));
        }
        rules::check_scripts(tx, &found)?;
        Ok(Admission { entry, replaces })
    }

    /// Takes in what passed `check`, throwing out what it replaces.
    pub fn admit(&mut self, admission: Admission) {
        for gone in admission.replaces {
            self.remove(&gone);
        }
        let entry = admission.entry;
        let txid = entry.tx.compute_txid();
        for input in &entry.tx.input {
            self.spent_by.insert(input.previous_output, txid);
        }
        self.vsize += entry.vsize;
        self.next_order += 1;
        self.entries.insert(txid, entry);
    }

    /// A block was put on top: what it confirms leaves, and so does what it made impossible, with
    /// everything that stands on it.
    pub fn confirmed<'a>(&mut self, transactions: impl IntoIterator<Item = &'a Transaction>) {
        for tx in transactions {
            self.remove(&tx.compute_txid());
            for input in &tx.input {
                if let Some(loser) = self.spender(&input.previous_output) {
                    for gone in self.with_descendants(&loser) {
                        self.remove(&gone);
                    }
                }
            }
        }
    }

    /// Empties the pool, giving its transactions with the times they came, parents first.
    pub fn drain(&mut self) -> Vec<(Transaction, u64)> {
        let all = self.in_order().into_iter().map(|e| (e.tx.clone(), e.time)).collect();
        *self = Self { next_order: self.next_order, ..Self::default() };
        all
    }

    /// The unconfirmed transactions that this one spends from, nearest and farther.
    pub fn ancestors(&self, tx: &Transaction) -> BTreeSet<Txid> {
        let mut found = BTreeSet::new();
        let mut look = vec![tx];
        while let Some(tx) = look.pop() {
            for input in &tx.input {
                let parent = input.previous_output.txid;
                if let Some(entry) = self.entries.get(&parent)
                    && found.insert(parent)
                {
                    look.push(&entry.tx);
                }
            }
        }
        found
    }

    /// A waiting transaction and everything that spends from it.
    pub fn with_descendants(&self, txid: &Txid) -> BTreeSet<Txid> {
        let mut found = BTreeSet::new();
        let mut look = vec![*txid];
        while let Some(txid) = look.pop() {
            let Some(entry) = self.entries.get(&txid) else { continue };
            if found.insert(txid) {
                let outputs = (0..entry.tx.output.len() as u32).map(|v| OutPoint::new(txid, v));
                look.extend(outputs.filter_map(|p| self.spender(&p)));
            }
        }
        found
    }

    fn find_coins(
        &self,
        tx: &Transaction,
        coins: &Coins,
        spot: &Spot<'_>,
    ) -> Result<Vec<Coin>, Reject> {
        let txid = tx.compute_txid();
        let confirmed =
            (0..tx.output.len() as u32).any(|v| coins.get(&OutPoint::new(txid, v)).is_some());
        if confirmed {
            return Err(Reject {
                kind: RejectKind::AlreadyConfirmed,
                reason: "Transaction outputs already in utxo set",
                detail: String::new(),
            });
        }
        tx.input
            .iter()
            .map(|input| {
                let point = &input.previous_output;
                let unconfirmed = || {
                    let out = self.output(point)?.clone();
                    Some(Coin { out, height: spot.height, coinbase: false })
                };
                coins.get(point).cloned().or_else(unconfirmed).ok_or_else(Reject::missing)
            })
            .collect()
    }

    /// Replacement by fee without opt-in, as Core has it since version 28: rules 3, 4 and 5 of
    /// BIP 125, and a higher fee rate than each transaction directly replaced.
    fn check_conflicts(&self, new: &Entry) -> Result<BTreeSet<Txid>, Reject> {
        let direct: BTreeSet<Txid> =
            new.tx.input.iter().filter_map(|i| self.spender(&i.previous_output)).collect();
        if direct.is_empty() {
            return Ok(direct);
        }
        let all: BTreeSet<Txid> = direct.iter().flat_map(|t| self.with_descendants(t)).collect();
        if self.ancestors(&new.tx).intersection(&all).next().is_some() {
            return Err(Reject::rule("bad-txns-spends-conflicting-tx"));
        }
        if all.len() > MAX_REPLACED {
            return Err(Reject::rule("too many potential replacements"));
        }
        let refuse = |why: String| Err(Reject::because("insufficient fee", why));
        for old in direct.iter().filter_map(|t| self.entries.get(t)) {
            let (ours, theirs) = (new.fee.to_sat() * old.vsize, old.fee.to_sat() * new.vsize);
            if ours <= theirs {
                return refuse("rejecting replacement: its fee rate is not higher".into());
            }
        }
        let replaced: u64 =
            all.iter().filter_map(|t| self.entries.get(t)).map(|e| e.fee.to_sat()).sum();
        let Some(more) = new.fee.to_sat().checked_sub(replaced) else {
            return refuse(format!(
                "rejecting replacement: less fees than conflicting txs; {} < {replaced}",
                new.fee.to_sat()
            ));
        };
        if more < fee_at(MIN_FEE_RATE, new.vsize) {
            return refuse(format!(
                "rejecting replacement: not enough additional fees to relay; {more} < {}",
                fee_at(MIN_FEE_RATE, new.vsize)
            ));
        }
        Ok(all)
    }

    fn check_chain(&self, txid: &Txid, tx: &Transaction) -> Result<(), Reject> {
        let ancestors = self.ancestors(tx);
        let too_long = ancestors.len() + 1 > CHAIN_LIMIT
            || ancestors.iter().any(|a| self.with_descendants(a).len() + 1 > CHAIN_LIMIT);
        if too_long {
            return Err(Reject::because("too-long-mempool-chain", txid.to_string()));
        }
        Ok(())
    }

    fn remove(&mut self, txid: &Txid) {
        if let Some(entry) = self.entries.remove(txid) {
            self.vsize -= entry.vsize;
            for input in &entry.tx.input {
                self.spent_by.remove(&input.previous_output);
            }
        }
    }
}

/// What `rate` (satoshis per 1,000 virtual bytes) asks of `vsize` bytes, rounded up.
pub fn fee_at(rate: u64, vsize: u64) -> u64 {
    (rate * vsize).div_ceil(1_000)
}

/// Core's relay policy for the shape of a transaction.
fn check_standard(tx: &Transaction) -> Result<(), Reject> {
    if !(1..=3).contains(&tx.version.0) {
        return Err(Reject::rule("version"));
    }
    if tx.base_size() < 65 {
        return Err(Reject::rule("tx-size-small"));
    }
    if tx.weight().to_wu() > 400_000 {
        return Err(Reject::rule("tx-size"));
    }
    for input in &tx.input {
        if input.script_sig.len() > 1_650 {
            return Err(Reject::rule("scriptsig-size"));
        }
        if !input.script_sig.is_push_only() {
            return Err(Reject::rule("scriptsig-not-pushonly"));
        }
    }
    for out in &tx.output {
        let script = &out.script_pubkey;
        let standard = script.is_witness_program()
            || script.is_p2pkh()
            || script.is_p2sh()
            || script.is_p2pk()
            || script.is_multisig()
            || script.is_op_return();
        if !standard {
            return Err(Reject::rule("scriptpubkey"));
        }
        if !script.is_op_return() && out.value < script.minimal_non_dust() {
            return Err(Reject::rule("dust"));
        }
    }
    Ok(())
}

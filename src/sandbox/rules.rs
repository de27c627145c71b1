//! What makes a transaction or a block valid on regtest: Core's consensus rules, each with the
//! reject reason Core gives, so that a wallet's log reads the same here and there.
//!
//! Scripts are run by Core's own engine (`bitcoinconsensus`), which covers CLTV (BIP 65), CSV
//! (BIP 112), segwit (BIP 141) and taproot (BIP 341). Everything around the scripts is here: value,
//! coinbase maturity, `nLockTime` against median time past (BIP 113), relative locks (BIP 68).
//! Every soft fork is active from height 1, as `bitcoind -regtest` has it.

use std::collections::BTreeSet;
use std::fmt;

use bitcoin::consensus::encode::serialize;
use bitcoin::{
    Amount, Block, CompactTarget, OutPoint, Script, Target, Transaction, TxOut, Weight, script,
};

use super::coins::Coin;

/// The proof of work of every regtest block, in compact form: about two hashes a block.
pub const BITS: u32 = 0x207f_ffff;
/// Blocks that must be on top of a coinbase before it is spent, its own included in the count.
pub const COINBASE_MATURITY: u32 = 100;
/// Blocks between halvings of the subsidy on regtest.
pub const HALVING_INTERVAL: u32 = 150;
/// How far ahead of the clock a block's time may be, in seconds.
pub const MAX_FUTURE: u64 = 2 * 60 * 60;
/// The block-wide limit of signature operations, weighted (BIP 141).
const MAX_SIGOPS_COST: usize = 80_000;

const FLAGS: u32 = bitcoinconsensus::VERIFY_ALL_PRE_TAPROOT | bitcoinconsensus::VERIFY_TAPROOT;

/// Where a refusal belongs, which decides the RPC error code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RejectKind {
    /// An input is unknown or spent: RPC -25.
    MissingInputs,
    /// The caller's own limit was passed (`maxfeerate`): RPC -25.
    CallerLimit,
    /// It is in the chain already: RPC -27.
    AlreadyConfirmed,
    /// Against consensus or policy: RPC -26.
    Rule,
}

/// A refusal in Core's words: a stable reason, and sometimes a detail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// Which kind of refusal it is.
    pub kind: RejectKind,
    /// Core's reject reason, such as `bad-txns-in-belowout`.
    pub reason: &'static str,
    /// What exactly was wrong; empty when the reason says it all.
    pub detail: String,
}

impl Reject {
    /// A broken rule.
    pub fn rule(reason: &'static str) -> Self {
        Self { kind: RejectKind::Rule, reason, detail: String::new() }
    }

    /// A broken rule, with the figures.
    pub fn because(reason: &'static str, detail: impl Into<String>) -> Self {
        Self { kind: RejectKind::Rule, reason, detail: detail.into() }
    }

    /// An input that nobody can spend: unknown, or spent before.
    pub fn missing() -> Self {
        Self {
            kind: RejectKind::MissingInputs,
            reason: "bad-txns-inputs-missingorspent",
            detail: String::new(),
        }
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason)?;
        if !self.detail.is_empty() {
            write!(f, ", {}", self.detail)?;
        }
        Ok(())
    }
}

impl std::error::Error for Reject {}

/// The place in the chain where a transaction would be confirmed.
#[derive(Clone, Copy)]
pub struct Spot<'a> {
    /// Height of the block that would confirm it.
    pub height: u32,
    /// Median time past of the block before, in seconds.
    pub median_time: u32,
    /// Median time past of the block at a height of this branch.
    pub median_time_at: &'a dyn Fn(u32) -> u32,
}

impl fmt::Debug for Spot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spot")
            .field("height", &self.height)
            .field("median_time", &self.median_time)
            .finish_non_exhaustive()
    }
}

/// What a miner may pay itself at `height`, before fees.
pub fn subsidy(height: u32) -> Amount {
    let halvings = height / HALVING_INTERVAL;
    Amount::from_sat((50 * 100_000_000_u64).checked_shr(halvings).unwrap_or(0))
}

/// Everything that can be said about a transaction without looking at the chain.
pub fn check_transaction(tx: &Transaction) -> Result<(), Reject> {
    if tx.input.is_empty() {
        return Err(Reject::rule("bad-txns-vin-empty"));
    }
    if tx.output.is_empty() {
        return Err(Reject::rule("bad-txns-vout-empty"));
    }
    if Weight::from_wu(tx.base_size() as u64 * 4) > Weight::MAX_BLOCK {
        return Err(Reject::rule("bad-txns-oversize"));
    }
    let mut total = Amount::ZERO;
    for out in &tx.output {
        if out.value > Amount::MAX_MONEY {
            return Err(Reject::rule("bad-txns-vout-toolarge"));
        }
        total = total
            .checked_add(out.value)
            .filter(|t| *t <= Amount::MAX_MONEY)
            .ok_or_else(|| Reject::rule("bad-txns-txouttotal-toolarge"))?;
    }
    let mut seen = BTreeSet::new();
    if !tx.input.iter().all(|i| seen.insert(i.previous_output)) {
        return Err(Reject::rule("bad-txns-inputs-duplicate"));
    }
    if tx.is_coinbase() {
        if !(2..=100).contains(&tx.input[0].script_sig.len()) {
            return Err(Reject::rule("bad-cb-length"));
        }
    } else if tx.input.iter().any(|i| i.previous_output.is_null()) {
        return Err(Reject::rule("bad-txns-prevout-null"));
    }
    Ok(())
}

/// `nLockTime`: the transaction may be in the block at `spot` (BIP 113).
pub fn is_final(tx: &Transaction, spot: &Spot<'_>) -> bool {
    let lock = tx.lock_time.to_consensus_u32();
    let reached =
        if tx.lock_time.is_block_height() { lock < spot.height } else { lock < spot.median_time };
    lock == 0 || reached || tx.input.iter().all(|i| i.sequence.is_final())
}

/// Relative locks by height and by time (BIP 68) of a transaction whose `coins` are in input order.
pub fn sequence_locks_met(tx: &Transaction, coins: &[Coin], spot: &Spot<'_>) -> bool {
    const DISABLED: u32 = 1 << 31;
    const BY_TIME: u32 = 1 << 22;
    const MASK: u32 = 0xffff;
    if (tx.version.0 as u32) < 2 {
        return true;
    }
    tx.input.iter().zip(coins).all(|(input, coin)| {
        let sequence = input.sequence.to_consensus_u32();
        if sequence & DISABLED != 0 {
            return true;
        }
        let value = sequence & MASK;
        if sequence & BY_TIME == 0 {
            return u64::from(coin.height) + u64::from(value) <= u64::from(spot.height);
        }
        let born = if coin.height >= spot.height {
            spot.median_time // an unconfirmed parent would share the block
        } else {
            (spot.median_time_at)(coin.height.saturating_sub(1))
        };
        u64::from(born) + (u64::from(value) << 9) <= u64::from(spot.median_time)
    })
}

/// Maturity, value and locks of a transaction that spends `coins` (input order); gives its fee.
/// Scripts are checked apart, last, because they cost the most.
pub fn check_inputs(tx: &Transaction, coins: &[Coin], spot: &Spot<'_>) -> Result<Amount, Reject> {
    let mut total = Amount::ZERO;
    for coin in coins {
        let age = spot.height.saturating_sub(coin.height);
        if coin.coinbase && age < COINBASE_MATURITY {
            return Err(Reject::because(
                "bad-txns-premature-spend-of-coinbase",
                format!("tried to spend coinbase at depth {age}"),
            ));
        }
        total = total
            .checked_add(coin.out.value)
            .filter(|t| *t <= Amount::MAX_MONEY)
            .ok_or_else(|| Reject::rule("bad-txns-inputvalues-outofrange"))?;
    }
    let paid: Amount = tx.output.iter().map(|o| o.value).sum();
    total.checked_sub(paid).ok_or_else(|| {
        Reject::because(
            "bad-txns-in-belowout",
            format!("value in ({}) < value out ({})", btc(total), btc(paid)),
        )
    })
}

/// Runs every input's script by Core's own engine.
pub fn check_scripts(tx: &Transaction, coins: &[Coin]) -> Result<(), Reject> {
    let raw = serialize(tx);
    let spent: Vec<bitcoinconsensus::Utxo> = coins
        .iter()
        .map(|c| bitcoinconsensus::Utxo {
            script_pubkey: c.out.script_pubkey.as_bytes().as_ptr(),
            script_pubkey_len: c.out.script_pubkey.len() as u32,
            value: c.out.value.to_sat() as i64,
        })
        .collect();
    for (index, coin) in coins.iter().enumerate() {
        bitcoinconsensus::verify_with_flags(
            coin.out.script_pubkey.as_bytes(),
            coin.out.value.to_sat(),
            &raw,
            Some(&spent),
            index,
            FLAGS,
        )
        .map_err(|_| {
            Reject::because(
                "mandatory-script-verify-flag-failed",
                format!("input {index} of {}", tx.compute_txid()),
            )
        })?;
    }
    Ok(())
}

/// The weighted signature operations of a transaction that spends `coins` (input order).
pub fn sigop_cost(tx: &Transaction, coins: &[Coin]) -> usize {
    tx.total_sigop_cost(|point: &OutPoint| -> Option<TxOut> {
        let at = tx.input.iter().position(|i| i.previous_output == *point)?;
        coins.get(at).map(|c| c.out.clone())
    })
}

/// Adds a transaction's signature operations to a block's and holds the limit.
pub fn add_sigops(so_far: &mut usize, cost: usize) -> Result<(), Reject> {
    *so_far = so_far.saturating_add(cost);
    if *so_far > MAX_SIGOPS_COST {
        return Err(Reject::rule("bad-blk-sigops"));
    }
    Ok(())
}

/// Everything about a block but its inputs: work, time, size, merkle root, witness commitment,
/// coinbase height (BIP 34), finality. `now` is absent when an old block is read back.
pub fn check_block(block: &Block, spot: &Spot<'_>, now: Option<u64>) -> Result<(), Reject> {
    let header = &block.header;
    let target = Target::from_compact(CompactTarget::from_consensus(BITS));
    if header.bits.to_consensus() != BITS {
        return Err(Reject::rule("bad-diffbits"));
    }
    header.validate_pow(target).map_err(|_| Reject::rule("high-hash"))?;
    if header.version.to_consensus() < 4 {
        return Err(Reject::rule("bad-version"));
    }
    if header.time <= spot.median_time {
        return Err(Reject::rule("time-too-old"));
    }
    if now.is_some_and(|now| u64::from(header.time) > now + MAX_FUTURE) {
        return Err(Reject::rule("time-too-new"));
    }
    if block.weight() > Weight::MAX_BLOCK {
        return Err(Reject::rule("bad-blk-weight"));
    }
    if !block.check_merkle_root() {
        return Err(Reject::rule("bad-txnmrklroot"));
    }
    let mut ids = BTreeSet::new();
    if !block.txdata.iter().all(|tx| ids.insert(tx.compute_txid())) {
        return Err(Reject::rule("bad-txns-duplicate"));
    }
    let Some((coinbase, rest)) = block.txdata.split_first() else {
        return Err(Reject::rule("bad-blk-length"));
    };
    if !coinbase.is_coinbase() {
        return Err(Reject::rule("bad-cb-missing"));
    }
    if rest.iter().any(Transaction::is_coinbase) {
        return Err(Reject::rule("bad-cb-multiple"));
    }
    let height = script::Builder::new().push_int(i64::from(spot.height)).into_script();
    if !coinbase.input[0].script_sig.as_bytes().starts_with(height.as_bytes()) {
        return Err(Reject::rule("bad-cb-height"));
    }
    // A commitment without its nonce is a block whose witnesses were stripped on the way: the hash
    // is the honest block's, so it must be refused before the hash is remembered.
    let committed = coinbase
        .output
        .iter()
        .any(|o| o.script_pubkey.as_bytes().starts_with(&[0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed]));
    let nonce = &coinbase.input[0].witness;
    if committed && (nonce.len() != 1 || nonce.nth(0).is_none_or(|n| n.len() != 32)) {
        return Err(Reject::rule("bad-witness-nonce-size"));
    }
    if !block.check_witness_commitment() {
        return Err(Reject::rule("bad-witness-merkle-match"));
    }
    for tx in &block.txdata {
        check_transaction(tx)?;
        if !is_final(tx, spot) {
            return Err(Reject::rule("bad-txns-nonfinal"));
        }
    }
    Ok(())
}

/// An output that no transaction can ever spend, and that the set of coins therefore leaves out.
pub fn is_unspendable(script: &Script) -> bool {
    script.is_op_return() || script.len() > 10_000
}

/// An amount as Core prints it: bitcoin with eight decimals.
pub fn btc(amount: Amount) -> String {
    format!("{}.{:08}", amount.to_sat() / 100_000_000, amount.to_sat() % 100_000_000)
}

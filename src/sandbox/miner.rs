//! Assembles a block and finds its proof of work.

use bitcoin::absolute::LockTime;
use bitcoin::block::{Header, Version};
use bitcoin::hashes::Hash;
use bitcoin::{
    Amount, Block, BlockHash, CompactTarget, OutPoint, ScriptBuf, Sequence, Target, Transaction,
    TxIn, TxMerkleNode, TxOut, Witness, WitnessMerkleNode, Work, script, transaction,
};

use super::rules;

/// What a block is to be built from.
#[derive(Debug)]
pub struct Template {
    /// The block it stands on.
    pub previous: BlockHash,
    /// Its height.
    pub height: u32,
    /// Its time, in seconds; above the median time past.
    pub time: u32,
    /// Who gets the subsidy and the fees.
    pub reward_to: ScriptBuf,
    /// The transactions, parents first.
    pub transactions: Vec<Transaction>,
    /// The sum of their fees.
    pub fees: Amount,
    /// Makes two blocks of the same content differ.
    pub extra_nonce: u64,
}

/// A complete, valid block: BIP 34 height, witness commitment (BIP 141), merkle root, work.
pub fn mine(template: Template) -> Block {
    let reserved = [0_u8; 32];
    let script_sig = script::Builder::new()
        .push_int(i64::from(template.height))
        .push_slice(template.extra_nonce.to_le_bytes())
        .into_script();
    let coinbase = Transaction {
        version: transaction::Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint::null(),
            script_sig,
            sequence: Sequence::MAX,
            witness: Witness::from_slice(&[reserved]),
        }],
        output: vec![TxOut {
            value: rules::subsidy(template.height) + template.fees,
            script_pubkey: template.reward_to,
        }],
    };
    let mut txdata = Vec::with_capacity(template.transactions.len() + 1);
    txdata.push(coinbase);
    txdata.extend(template.transactions);
    let mut block = Block {
        header: Header {
            version: Version::from_consensus(0x2000_0000),
            prev_blockhash: template.previous,
            merkle_root: TxMerkleNode::all_zeros(),
            time: template.time,
            bits: CompactTarget::from_consensus(rules::BITS),
            nonce: 0,
        },
        txdata,
    };
    let root = block.witness_root().unwrap_or(WitnessMerkleNode::all_zeros());
    let commitment = Block::compute_witness_commitment(&root, &reserved);
    let mut script = vec![0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed];
    script.extend_from_slice(commitment.as_ref());
    block.txdata[0]
        .output
        .push(TxOut { value: Amount::ZERO, script_pubkey: ScriptBuf::from_bytes(script) });
    block.header.merkle_root = block.compute_merkle_root().unwrap_or(TxMerkleNode::all_zeros());
    solve(&mut block.header);
    block
}

/// Counts the nonce up until the header meets the regtest target: two tries on average.
pub fn solve(header: &mut Header) {
    let target = Target::from_compact(CompactTarget::from_consensus(rules::BITS));
    while !target.is_met_by(header.block_hash()) {
        header.nonce = header.nonce.wrapping_add(1);
    }
}

/// The work of one regtest block.
pub fn block_work() -> Work {
    Target::from_compact(CompactTarget::from_consensus(rules::BITS)).to_work()
}

//! A wallet with one key, for transactions that are good or bad in exactly one way.

use bitcoin::absolute::LockTime;
use bitcoin::hashes::Hash;
use bitcoin::key::{CompressedPublicKey, Secp256k1};
use bitcoin::opcodes::all::{OP_CHECKSIG, OP_CSV, OP_DROP};
use bitcoin::secp256k1::{Message, SecretKey};
use bitcoin::sighash::{EcdsaSighashType, SighashCache};
use bitcoin::{
    Address, Amount, KnownHrp, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness,
    script, transaction,
};

pub(crate) const SATS: fn(u64) -> Amount = Amount::from_sat;

pub(crate) struct Wallet {
    secret: SecretKey,
}

#[derive(Clone)]
pub(crate) struct Owned {
    pub(crate) point: OutPoint,
    pub(crate) out: TxOut,
}

impl Wallet {
    pub(crate) fn new(n: u8) -> Self {
        Self { secret: SecretKey::from_slice(&[n; 32]).unwrap() }
    }

    pub(crate) fn public(&self) -> CompressedPublicKey {
        CompressedPublicKey(self.secret.public_key(&Secp256k1::new()))
    }

    pub(crate) fn address(&self) -> Address {
        Address::p2wpkh(&self.public(), KnownHrp::Regtest)
    }

    /// Pay to this key, but only after `blocks` confirmations (BIP 112).
    pub(crate) fn delayed(&self, blocks: u16) -> ScriptBuf {
        script::Builder::new()
            .push_int(i64::from(blocks))
            .push_opcode(OP_CSV)
            .push_opcode(OP_DROP)
            .push_key(&self.public().into())
            .push_opcode(OP_CHECKSIG)
            .into_script()
    }

    /// A transaction that spends `coin` to this wallet, leaving `fee`, with its own sequence.
    pub(crate) fn spend(
        &self,
        coin: &Owned,
        fee: u64,
        sequence: Sequence,
        lock: LockTime,
    ) -> Transaction {
        let value = coin.out.value - SATS(fee);
        let out = TxOut { value, script_pubkey: self.address().script_pubkey() };
        self.sign(coin, unsigned(coin.point, out, sequence, lock))
    }

    pub(crate) fn pay(&self, coin: &Owned, fee: u64) -> Transaction {
        self.spend(coin, fee, Sequence::MAX, LockTime::ZERO)
    }

    pub(crate) fn sign(&self, coin: &Owned, mut tx: Transaction) -> Transaction {
        let (script, value) = (&coin.out.script_pubkey, coin.out.value);
        let hash = SighashCache::new(&tx)
            .p2wpkh_signature_hash(0, script, value, EcdsaSighashType::All)
            .unwrap();
        let signature = self.ecdsa(hash.to_byte_array());
        tx.input[0].witness = Witness::p2wpkh(&signature, &self.public().0);
        tx
    }

    pub(crate) fn sign_script(
        &self,
        coin: &Owned,
        script: &ScriptBuf,
        mut tx: Transaction,
    ) -> Transaction {
        let hash = SighashCache::new(&tx)
            .p2wsh_signature_hash(0, script, coin.out.value, EcdsaSighashType::All)
            .unwrap();
        let signature = self.ecdsa(hash.to_byte_array());
        tx.input[0].witness = Witness::from_slice(&[&signature.to_vec()[..], script.as_bytes()]);
        tx
    }

    pub(crate) fn ecdsa(&self, hash: [u8; 32]) -> bitcoin::ecdsa::Signature {
        let secp = Secp256k1::new();
        let signature = secp.sign_ecdsa(&Message::from_digest(hash), &self.secret);
        bitcoin::ecdsa::Signature::sighash_all(signature)
    }
}

pub(crate) fn unsigned(
    point: OutPoint,
    out: TxOut,
    sequence: Sequence,
    lock: LockTime,
) -> Transaction {
    Transaction {
        version: transaction::Version::TWO,
        lock_time: lock,
        input: vec![TxIn {
            previous_output: point,
            script_sig: ScriptBuf::new(),
            sequence,
            witness: Witness::new(),
        }],
        output: vec![out],
    }
}

/// The output of a transaction that pays `script`.
pub(crate) fn owned(tx: &Transaction, script: &ScriptBuf) -> Owned {
    let vout = tx.output.iter().position(|o| o.script_pubkey == *script).unwrap();
    Owned { point: OutPoint::new(tx.compute_txid(), vout as u32), out: tx.output[vout].clone() }
}

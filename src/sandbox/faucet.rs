//! The only source of coins in a sandbox: it mines to a key of its own and pays with ordinary,
//! signed taproot transactions, on the inner chain and on a real `bitcoind` alike.

use std::fmt;
use std::fs;
use std::io::Write;
use std::path::Path;

use bitcoin::absolute::LockTime;
use bitcoin::hashes::{Hash, HashEngine, sha256};
use bitcoin::key::{Keypair, TapTweak};
use bitcoin::secp256k1::{Message, Secp256k1};
use bitcoin::sighash::{Prevouts, SighashCache, TapSighashType};
use bitcoin::{
    Address, Amount, KnownHrp, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness,
    transaction,
};
use serde_json::json;
use zeroize::Zeroizing;

use super::client::{Client, Fault};
use super::ledger::{Held, Ledger};
use super::mempool::fee_at;
use super::rules::COINBASE_MATURITY;

/// What the faucet pays to miners, satoshis per 1,000 virtual bytes.
const FEE_RATE: u64 = 2_000;
/// Virtual bytes of a transaction without inputs and outputs, of a taproot key spend, of a taproot
/// output; each rounded up.
const OVERHEAD: u64 = 11;
const INPUT: u64 = 58;
const OUTPUT: u64 = 43;

/// The faucet's secret.
#[derive(Clone)]
pub struct FaucetKey(Keypair);

impl FaucetKey {
    /// The key that belongs to a seed.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let secp = Secp256k1::new();
        let mut counter = 0_u32;
        loop {
            let mut engine = sha256::Hash::engine();
            engine.input(b"earnest sandbox faucet");
            engine.input(seed);
            engine.input(&counter.to_le_bytes());
            let secret = Zeroizing::new(sha256::Hash::from_engine(engine).to_byte_array());
            // One hash in 2^128 is not a key.
            if let Ok(pair) = Keypair::from_seckey_slice(&secp, &*secret) {
                return Self(pair);
            }
            counter += 1;
        }
    }

    /// A fresh key.
    pub fn random() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "the sandbox's dice: a throwaway regtest key"
        )]
        let seed = Zeroizing::new(rand::random::<[u8; 32]>());
        Self::from_seed(&seed)
    }

    /// The key kept in `dir`, made when there is none.
    ///
    /// # Errors
    /// The file cannot be read or written, or is not a key.
    pub fn open(dir: &Path) -> Result<Self, Fault> {
        let path = dir.join("faucet.key");
        let fail = |e: &dyn fmt::Display| Fault::Setup(format!("{}: {e}", path.display()));
        fs::create_dir_all(dir).map_err(|e| fail(&e))?;
        match fs::read_to_string(&path).map(Zeroizing::new) {
            Ok(text) => {
                let secret = hex::decode(text.trim()).map(Zeroizing::new).map_err(|e| fail(&e))?;
                let pair = Keypair::from_seckey_slice(&Secp256k1::new(), &secret);
                pair.map(Self).map_err(|e| fail(&e))
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let key = Self::random();
                let text = Zeroizing::new(hex::encode(key.0.secret_bytes()));
                write_private(&path, text.as_bytes()).map_err(|e| fail(&e))?;
                Ok(key)
            }
            Err(e) => Err(fail(&e)),
        }
    }

    /// Where the rewards go.
    pub fn address(&self) -> Address {
        let (key, _) = self.0.x_only_public_key();
        Address::p2tr(&Secp256k1::new(), key, None, KnownHrp::Regtest)
    }
}

impl fmt::Debug for FaucetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FaucetKey({})", self.address())
    }
}

impl Drop for FaucetKey {
    fn drop(&mut self) {
        self.0.non_secure_erase();
    }
}

/// Writes a file that only its owner may read.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// The faucet and its view of the chain.
#[derive(Debug)]
pub struct Faucet {
    key: FaucetKey,
    script: ScriptBuf,
    client: Client,
    ledger: Ledger,
}

impl Faucet {
    /// A faucet on this chain.
    pub fn new(key: FaucetKey, client: Client) -> Self {
        let script = key.address().script_pubkey();
        Self { key, script, client, ledger: Ledger::default() }
    }

    /// Where the rewards go.
    pub fn address(&self) -> Address {
        self.key.address()
    }

    /// The chain as the faucet sees it now.
    ///
    /// # Errors
    /// The chain does not answer.
    pub async fn ledger(&mut self) -> Result<&Ledger, Fault> {
        self.ledger.refresh(&self.client).await?;
        Ok(&self.ledger)
    }

    /// Mines `count` blocks of what waits to the faucet's own key.
    ///
    /// # Errors
    /// The chain refused or does not answer.
    pub async fn mine(&self, count: u32) -> Result<(), Fault> {
        // A real node mines a regtest block in a few milliseconds: keep every call within its time.
        let mut left = count;
        while left > 0 {
            let now = left.min(500);
            self.client.call("generatetoaddress", json!([now, self.address().to_string()])).await?;
            left -= now;
        }
        Ok(())
    }

    /// Pays every address in one transaction, which then waits for a block.
    ///
    /// # Errors
    /// Too little is mature, an amount is dust, or the chain refused; no coin has moved then.
    pub async fn pay(&mut self, payments: &[(Address, Amount)]) -> Result<Txid, Fault> {
        self.ledger.refresh(&self.client).await?;
        let mut outputs = Vec::with_capacity(payments.len() + 1);
        let mut target = Amount::ZERO;
        for (address, amount) in payments {
            let script_pubkey = address.script_pubkey();
            if *amount < script_pubkey.minimal_non_dust() {
                return Err(Fault::Dust(*amount));
            }
            target = target.checked_add(*amount).unwrap_or(Amount::MAX_MONEY);
            outputs.push(TxOut { value: *amount, script_pubkey });
        }
        let sizes: u64 = outputs.iter().map(|o| o.size() as u64).sum();
        let fee = |inputs: usize| {
            Amount::from_sat(fee_at(FEE_RATE, OVERHEAD + sizes + OUTPUT + INPUT * inputs as u64))
        };
        let mut chosen: Vec<Held> = Vec::new();
        let mut total = Amount::ZERO;
        for coin in self.spendable() {
            if total >= target + fee(chosen.len()) {
                break;
            }
            total += coin.out.value;
            chosen.push(coin);
        }
        let need = target + fee(chosen.len());
        let Some(change) = total.checked_sub(need).filter(|_| !chosen.is_empty()) else {
            return Err(Fault::Dry { have: total, need });
        };
        if change >= self.script.minimal_non_dust() {
            outputs.push(TxOut { value: change, script_pubkey: self.script.clone() });
        }
        let tx = self.sign(outputs, &chosen)?;
        self.client.broadcast(&tx).await
    }

    /// What may be spent in the next block: confirmed before waiting, large before small.
    fn spendable(&self) -> Vec<Held> {
        let next = self.ledger.height() + 1;
        let mut coins = self.ledger.held(&self.script);
        coins.retain(|c| {
            !c.coinbase || c.height.is_some_and(|h| next.saturating_sub(h) >= COINBASE_MATURITY)
        });
        coins.sort_by_key(|c| (c.height.is_none(), std::cmp::Reverse(c.out.value), c.point));
        coins
    }

    fn sign(&self, output: Vec<TxOut>, coins: &[Held]) -> Result<Transaction, Fault> {
        let input = coins
            .iter()
            .map(|c| TxIn {
                previous_output: c.point,
                script_sig: ScriptBuf::new(),
                sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
                witness: Witness::new(),
            })
            .collect();
        let mut tx = Transaction {
            version: transaction::Version::TWO,
            lock_time: LockTime::ZERO,
            input,
            output,
        };
        let secp = Secp256k1::new();
        let pair = self.key.0.tap_tweak(&secp, None).to_keypair();
        let spent: Vec<&TxOut> = coins.iter().map(|c| &c.out).collect();
        let mut cache = SighashCache::new(&tx);
        let mut witnesses = Vec::with_capacity(coins.len());
        for index in 0..coins.len() {
            let hash = cache
                .taproot_key_spend_signature_hash(
                    index,
                    &Prevouts::All(&spent),
                    TapSighashType::Default,
                )
                .map_err(|e| Fault::Setup(e.to_string()))?;
            let message = Message::from_digest(hash.to_byte_array());
            let signature = secp.sign_schnorr_no_aux_rand(&message, &pair);
            witnesses.push(Witness::from_slice(&[signature.as_ref()]));
        }
        for (input, witness) in tx.input.iter_mut().zip(witnesses) {
            input.witness = witness;
        }
        Ok(tx)
    }
}

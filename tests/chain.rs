//! The sandbox chain, used as a node and a person at a shell use it: over RPC. With `BITCOIND_EXE`
//! set, everything that is not about the chain's own file runs against that real node as well.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use bitcoin::absolute::LockTime;
use bitcoin::consensus::encode::{deserialize_hex, serialize_hex};
use bitcoin::hashes::Hash;
use bitcoin::key::{CompressedPublicKey, Secp256k1};
use bitcoin::opcodes::all::{OP_CHECKSIG, OP_CSV, OP_DROP};
use bitcoin::secp256k1::{Message, SecretKey};
use bitcoin::sighash::{EcdsaSighashType, SighashCache};
use bitcoin::{
    Address, Amount, Block, KnownHrp, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut,
    Txid, Witness, script, transaction,
};
use earnest::sandbox::control::Setup;
use earnest::sandbox::{ChainControl, Endpoint, Fault, miner};
use ldk_node::lightning_invoice::{Bolt11InvoiceDescription, Description};
use ldk_node::{Builder, Event, Node, PendingSweepBalance};
use serde_json::{Value, json};

const SATS: fn(u64) -> Amount = Amount::from_sat;

// ---------------------------------------------------------------- a person at a shell

/// What `bitcoin-cli` is: one call, one answer or one error code with a sentence.
#[derive(Clone)]
struct Shell {
    http: reqwest::Client,
    at: Endpoint,
}

impl Shell {
    fn new(control: &ChainControl) -> Self {
        Self { http: reqwest::Client::new(), at: control.endpoint().clone() }
    }

    async fn raw(&self, password: &str, body: impl Into<reqwest::Body>) -> (u16, String) {
        let url = format!("http://{}:{}/", self.at.host, self.at.port);
        let request = self.http.post(url).basic_auth(&self.at.user, Some(password)).body(body);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    async fn call(&self, method: &str, params: Value) -> Result<Value, (i64, String)> {
        let body = json!({"method": method, "params": params, "id": 7}).to_string();
        let (_, text) = self.raw(&self.at.password, body).await;
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["id"], 7);
        match &value["error"] {
            Value::Null => Ok(value["result"].clone()),
            e => Err((e["code"].as_i64().unwrap(), e["message"].as_str().unwrap().to_owned())),
        }
    }

    async fn ask(&self, method: &str, params: Value) -> Value {
        self.call(method, params).await.unwrap_or_else(|e| panic!("{method}: {e:?}"))
    }

    async fn send(&self, tx: &Transaction) -> Result<Value, (i64, String)> {
        self.call("sendrawtransaction", json!([serialize_hex(tx)])).await
    }

    /// The transaction is refused with this code, for this reason.
    async fn refuses(&self, tx: &Transaction, code: i64, reason: &str) {
        let (got, message) = self.send(tx).await.expect_err(reason);
        assert!(got == code && message.contains(reason), "{got} {message}, not {code} {reason}");
    }

    async fn waiting(&self) -> BTreeSet<Txid> {
        serde_json::from_value(self.ask("getrawmempool", json!([])).await).unwrap()
    }
}

// ---------------------------------------------------------------- a wallet with one key

struct Wallet {
    secret: SecretKey,
}

#[derive(Clone)]
struct Owned {
    point: OutPoint,
    out: TxOut,
}

impl Wallet {
    fn new(n: u8) -> Self {
        Self { secret: SecretKey::from_slice(&[n; 32]).unwrap() }
    }

    fn public(&self) -> CompressedPublicKey {
        CompressedPublicKey(self.secret.public_key(&Secp256k1::new()))
    }

    fn address(&self) -> Address {
        Address::p2wpkh(&self.public(), KnownHrp::Regtest)
    }

    /// Pay to this key, but only after `blocks` confirmations (BIP 112).
    fn delayed(&self, blocks: u16) -> ScriptBuf {
        script::Builder::new()
            .push_int(i64::from(blocks))
            .push_opcode(OP_CSV)
            .push_opcode(OP_DROP)
            .push_key(&self.public().into())
            .push_opcode(OP_CHECKSIG)
            .into_script()
    }

    /// A transaction that spends `coin` to this wallet, leaving `fee`, with its own sequence.
    fn spend(&self, coin: &Owned, fee: u64, sequence: Sequence, lock: LockTime) -> Transaction {
        let value = coin.out.value - SATS(fee);
        let out = TxOut { value, script_pubkey: self.address().script_pubkey() };
        self.sign(coin, unsigned(coin.point, out, sequence, lock))
    }

    fn pay(&self, coin: &Owned, fee: u64) -> Transaction {
        self.spend(coin, fee, Sequence::MAX, LockTime::ZERO)
    }

    fn sign(&self, coin: &Owned, mut tx: Transaction) -> Transaction {
        let (script, value) = (&coin.out.script_pubkey, coin.out.value);
        let hash = SighashCache::new(&tx)
            .p2wpkh_signature_hash(0, script, value, EcdsaSighashType::All)
            .unwrap();
        let signature = self.ecdsa(hash.to_byte_array());
        tx.input[0].witness = Witness::p2wpkh(&signature, &self.public().0);
        tx
    }

    fn sign_script(&self, coin: &Owned, script: &ScriptBuf, mut tx: Transaction) -> Transaction {
        let hash = SighashCache::new(&tx)
            .p2wsh_signature_hash(0, script, coin.out.value, EcdsaSighashType::All)
            .unwrap();
        let signature = self.ecdsa(hash.to_byte_array());
        tx.input[0].witness = Witness::from_slice(&[&signature.to_vec()[..], script.as_bytes()]);
        tx
    }

    fn ecdsa(&self, hash: [u8; 32]) -> bitcoin::ecdsa::Signature {
        let secp = Secp256k1::new();
        let signature = secp.sign_ecdsa(&Message::from_digest(hash), &self.secret);
        bitcoin::ecdsa::Signature::sighash_all(signature)
    }
}

fn unsigned(point: OutPoint, out: TxOut, sequence: Sequence, lock: LockTime) -> Transaction {
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
fn owned(tx: &Transaction, script: &ScriptBuf) -> Owned {
    let vout = tx.output.iter().position(|o| o.script_pubkey == *script).unwrap();
    Owned { point: OutPoint::new(tx.compute_txid(), vout as u32), out: tx.output[vout].clone() }
}

async fn chain() -> ChainControl {
    ChainControl::start(Setup::default().from_env()).await.unwrap()
}

/// A confirmed coin of `sats` that belongs to the wallet.
async fn coin_for(control: &ChainControl, wallet: &Wallet, sats: u64) -> Owned {
    let txid = control.fund(&wallet.address(), SATS(sats)).await.unwrap();
    control.mine(1).await.unwrap();
    let tx = control.transaction(&txid).await.unwrap();
    owned(&tx, &wallet.address().script_pubkey())
}

// ---------------------------------------------------------------- what the chain refuses

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_by_another_key_is_refused() {
    let (control, me, thief) = (chain().await, Wallet::new(1), Wallet::new(2));
    let shell = Shell::new(&control);
    let coin = coin_for(&control, &me, 100_000).await;
    let honest = me.pay(&coin, 1_000);
    let mut forged = honest.clone();
    // The thief's signature beside the owner's key, then beside the thief's own.
    let hash = [7; 32];
    forged.input[0].witness = Witness::p2wpkh(&thief.ecdsa(hash), &me.public().0);
    shell.refuses(&forged, -26, "script-verify-flag").await;
    forged.input[0].witness = Witness::p2wpkh(&thief.ecdsa(hash), &thief.public().0);
    shell.refuses(&forged, -26, "script-verify-flag").await;
    // The owner's signature over another amount.
    let mut altered = honest.clone();
    altered.output[0].value -= SATS(1);
    shell.refuses(&altered, -26, "script-verify-flag").await;
    shell.send(&honest).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coin_is_spent_once() {
    let (control, me) = (chain().await, Wallet::new(1));
    let shell = Shell::new(&control);
    let coin = coin_for(&control, &me, 100_000).await;
    shell.send(&me.pay(&coin, 1_000)).await.unwrap();
    control.mine(1).await.unwrap();
    shell.refuses(&me.pay(&coin, 5_000), -25, "bad-txns-inputs-missingorspent").await;
    // The same one again is not a double spend, and is told apart.
    shell.refuses(&me.pay(&coin, 1_000), -27, "already in").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reward_matures_for_a_hundred_blocks() {
    let (control, me) = (chain().await, Wallet::new(1));
    let shell = Shell::new(&control);
    let to = me.address().to_string();
    let hashes = shell.ask("generatetoaddress", json!([1, to])).await;
    let raw = shell.ask("getblock", json!([hashes[0], 0])).await;
    let block: Block = deserialize_hex(raw.as_str().unwrap()).unwrap();
    let coin = owned(&block.txdata[0], &me.address().script_pubkey());
    let spend = me.pay(&coin, 1_000);
    shell.refuses(&spend, -26, "bad-txns-premature-spend-of-coinbase").await;
    control.mine(98).await.unwrap();
    shell.refuses(&spend, -26, "bad-txns-premature-spend-of-coinbase").await;
    control.mine(1).await.unwrap();
    shell.send(&spend).await.unwrap();
    control.mine(1).await.unwrap();
    assert_eq!(control.confirmations(&spend.compute_txid()).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relative_lock_holds_until_its_last_block() {
    let (control, me) = (chain().await, Wallet::new(1));
    let shell = Shell::new(&control);
    let script = me.delayed(10);
    let to = Address::p2wsh(&script, bitcoin::Network::Regtest);
    let txid = control.fund(&to, SATS(100_000)).await.unwrap();
    let coin = owned(&control.transaction(&txid).await.unwrap(), &to.script_pubkey());
    control.mine(1).await.unwrap();
    let out = TxOut { value: SATS(99_000), script_pubkey: me.address().script_pubkey() };
    let spend = |sequence| {
        let tx = unsigned(coin.point, out.clone(), sequence, LockTime::ZERO);
        me.sign_script(&coin, &script, tx)
    };
    // Claiming a shorter wait, or none, fails the script (BIP 112)...
    shell.refuses(&spend(Sequence::from_height(0)), -26, "script-verify-flag").await;
    shell.refuses(&spend(Sequence::MAX), -26, "script-verify-flag").await;
    // ...and the honest claim has to wait (BIP 68): the spending block may be the tenth above it.
    let honest = spend(Sequence::from_height(10));
    shell.refuses(&honest, -26, "non-BIP68-final").await;
    control.mine(8).await.unwrap();
    shell.refuses(&honest, -26, "non-BIP68-final").await;
    control.mine(1).await.unwrap();
    shell.send(&honest).await.unwrap();
    control.mine(1).await.unwrap();
    assert_eq!(control.confirmations(&honest.compute_txid()).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relative_lock_by_time_follows_the_median_time() {
    let (control, me) = (chain().await, Wallet::new(1));
    let shell = Shell::new(&control);
    let coin = coin_for(&control, &me, 100_000).await;
    let lock = Sequence::from_512_second_intervals(2);
    let tx = me.spend(&coin, 1_000, lock, LockTime::ZERO);
    shell.refuses(&tx, -26, "non-BIP68-final").await;
    let info = shell.ask("getblockchaininfo", json!([])).await;
    let later = info["mediantime"].as_u64().unwrap() + 2_000;
    shell.ask("setmocktime", json!([later])).await;
    control.mine(1).await.unwrap();
    shell.refuses(&tx, -26, "non-BIP68-final").await; // one late block does not move the median
    control.mine(6).await.unwrap();
    shell.send(&tx).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absolute_lock_is_not_final_before_its_time() {
    let (control, me) = (chain().await, Wallet::new(1));
    let shell = Shell::new(&control);
    let coin = coin_for(&control, &me, 100_000).await;
    let height = control.height().await.unwrap();
    let lock = LockTime::from_height(height + 3).unwrap();
    let by_height = me.spend(&coin, 1_000, Sequence::ZERO, lock);
    control.mine(2).await.unwrap();
    shell.refuses(&by_height, -26, "non-final").await;
    control.mine(1).await.unwrap();
    shell.send(&by_height).await.unwrap();

    let coin = coin_for(&control, &me, 100_000).await;
    let info = shell.ask("getblockchaininfo", json!([])).await;
    let later = info["mediantime"].as_u64().unwrap() + 3_000;
    let lock = LockTime::from_time(later as u32).unwrap();
    let by_time = me.spend(&coin, 1_000, Sequence::ZERO, lock);
    shell.ask("setmocktime", json!([later + 1])).await;
    control.mine(1).await.unwrap();
    // The block is later than the lock, the median of eleven is not (BIP 113).
    shell.refuses(&by_time, -26, "non-final").await;
    control.mine(6).await.unwrap();
    shell.send(&by_time).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn value_is_not_made_from_nothing() {
    let (control, me) = (chain().await, Wallet::new(1));
    let shell = Shell::new(&control);
    let coin = coin_for(&control, &me, 100_000).await;
    let out = TxOut { value: SATS(100_001), script_pubkey: me.address().script_pubkey() };
    let tx = me.sign(&coin, unsigned(coin.point, out, Sequence::MAX, LockTime::ZERO));
    shell.refuses(&tx, -26, "bad-txns-in-belowout").await;
    shell.refuses(&me.pay(&coin, 0), -26, "min relay fee not met").await;
    // Nor by a miner: a reward of one satoshi too much.
    let made = shell.ask("generateblock", json!([me.address().to_string(), []])).await;
    let raw = shell.ask("getblock", json!([made["hash"], 0])).await;
    let mut block: Block = deserialize_hex(raw.as_str().unwrap()).unwrap();
    let tip = control.tip().await.unwrap();
    shell.ask("invalidateblock", json!([tip.1])).await;
    block.txdata[0].output[0].value += SATS(1);
    block.header.merkle_root = block.compute_merkle_root().unwrap();
    miner::solve(&mut block.header);
    assert_eq!(shell.ask("submitblock", json!([serialize_hex(&block)])).await, "bad-cb-amount");
    assert_eq!(control.height().await.unwrap(), tip.0 - 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_is_not_well_formed_is_refused() {
    let (control, me) = (chain().await, Wallet::new(1));
    let shell = Shell::new(&control);
    let coin = coin_for(&control, &me, 100_000).await;
    let tip = control.tip().await.unwrap();
    let to = me.address().to_string();
    let spend = serialize_hex(&me.pay(&coin, 1_000));
    let made = shell.ask("generateblock", json!([to, [spend]])).await;
    let raw = shell.ask("getblock", json!([made["hash"], 0])).await;
    shell.ask("invalidateblock", json!([made["hash"]])).await;
    assert_eq!(control.tip().await.unwrap(), tip);
    let good: Block = deserialize_hex(raw.as_str().unwrap()).unwrap();
    let submit = |mut block: Block| {
        // A new time, so that it is another block than the one taken back.
        block.header.time += 1;
        miner::solve(&mut block.header);
        let shell = shell.clone();
        async move { shell.ask("submitblock", json!([serialize_hex(&block)])).await }
    };
    let with = |change: &dyn Fn(&mut Block)| {
        let mut block = good.clone();
        change(&mut block);
        submit(block)
    };
    assert_eq!(with(&|b| b.header.time = 1).await, "time-too-old");
    assert_eq!(with(&|b| b.header.time += 3 * 3_600).await, "time-too-new");
    assert_eq!(with(&|b| b.header.merkle_root = Hash::all_zeros()).await, "bad-txnmrklroot");
    assert_eq!(with(&|b| b.header.prev_blockhash = Hash::all_zeros()).await, "prev-blk-not-found");
    // Witnesses are outside the block's hash: stripping them must not outlaw the honest block.
    let stripped = |b: &mut Block| b.txdata[1].input[0].witness = Witness::new();
    assert_eq!(with(&stripped).await, "bad-witness-merkle-match");
    let bare =
        |b: &mut Block| b.txdata.iter_mut().for_each(|t| t.input[0].witness = Witness::new());
    assert_eq!(with(&bare).await, "bad-witness-nonce-size");
    assert_eq!(control.tip().await.unwrap(), tip);
    assert_eq!(submit(good).await, Value::Null);
    assert_eq!(control.height().await.unwrap(), tip.0 + 1);
}

// ---------------------------------------------------------------- the mempool

#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_pays_more_or_is_refused() {
    let (control, me) = (chain().await, Wallet::new(1));
    let shell = Shell::new(&control);
    let coin = coin_for(&control, &me, 100_000).await;
    let first = me.pay(&coin, 1_000);
    shell.send(&first).await.unwrap();
    let child = me.pay(&owned(&first, &me.address().script_pubkey()), 1_000);
    shell.send(&child).await.unwrap();
    assert_eq!(shell.waiting().await, [&first, &child].map(|t| t.compute_txid()).into());
    // Less than the first, less than both together, and the same plus too little for its relay.
    shell.refuses(&me.pay(&coin, 900), -26, "insufficient fee").await;
    shell.refuses(&me.pay(&coin, 1_999), -26, "insufficient fee").await;
    shell.refuses(&me.pay(&coin, 2_001), -26, "insufficient fee").await;
    let better = me.pay(&coin, 5_000);
    shell.send(&better).await.unwrap();
    // The child went with its parent.
    assert_eq!(shell.waiting().await, [better.compute_txid()].into());
    let gone = shell.call("getmempoolentry", json!([first.compute_txid()])).await;
    assert_eq!(gone.unwrap_err().0, -5);
    control.mine(1).await.unwrap();
    assert!(shell.waiting().await.is_empty());
    assert_eq!(control.fee_of(&better.compute_txid()).await.unwrap(), SATS(5_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_waits_with_its_parent_and_a_conflicting_block_evicts_both() {
    let (control, me) = (chain().await, Wallet::new(1));
    let shell = Shell::new(&control);
    let coin = coin_for(&control, &me, 100_000).await;
    let parent = me.pay(&coin, 1_000);
    let child = me.pay(&owned(&parent, &me.address().script_pubkey()), 1_000);
    shell.refuses(&child, -25, "bad-txns-inputs-missingorspent").await;
    shell.send(&parent).await.unwrap();
    shell.send(&child).await.unwrap();
    shell.send(&child).await.unwrap(); // saying it twice does no harm
    let entry = shell.ask("getmempoolentry", json!([child.compute_txid()])).await;
    assert_eq!(entry["ancestorcount"], 2);
    assert_eq!(entry["depends"], json!([parent.compute_txid()]));
    assert!(entry["time"].is_u64() && entry["height"].is_u64());
    let spent = json!([coin.point.txid, coin.point.vout]);
    assert_eq!(shell.ask("gettxout", spent).await, Value::Null);
    let confirmed = json!([coin.point.txid, coin.point.vout, false]);
    assert_eq!(shell.ask("gettxout", confirmed).await["value"], 0.001);
    // A miner confirms another spend of the same coin.
    let other = serialize_hex(&me.pay(&coin, 700));
    shell.ask("generateblock", json!([me.address().to_string(), [other]])).await;
    assert!(shell.waiting().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reorganisation_gives_the_transactions_back() {
    let (control, me) = (chain().await, Wallet::new(1));
    let shell = Shell::new(&control);
    let coin = coin_for(&control, &me, 100_000).await;
    control.mine(3).await.unwrap();
    let before = control.tip().await.unwrap();
    let parent = me.pay(&coin, 1_000);
    let child = me.pay(&owned(&parent, &me.address().script_pubkey()), 1_000);
    shell.send(&parent).await.unwrap();
    control.mine(1).await.unwrap();
    shell.send(&child).await.unwrap();
    control.mine(1).await.unwrap();
    let ids: BTreeSet<Txid> = [&parent, &child].map(|t| t.compute_txid()).into();
    let old = control.tip().await.unwrap();

    let height = control.reorg(2).await.unwrap();
    assert_eq!(height, old.0 + 1);
    assert_eq!(control.client().hash_at(before.0).await.unwrap(), before.1);
    assert_eq!(shell.waiting().await, ids);
    assert_eq!(shell.ask("getblockheader", json!([old.1])).await["confirmations"], -1);
    for id in &ids {
        assert_eq!(control.confirmations(id).await.unwrap(), 0);
    }
    control.mine(1).await.unwrap();
    for id in &ids {
        assert_eq!(control.confirmations(id).await.unwrap(), 1);
    }
    // The faucet still knows which of its rewards count.
    control.fund(&me.address(), SATS(50_000)).await.unwrap();
    assert!(matches!(control.reorg(0).await, Err(Fault::Setup(_))));
    assert!(matches!(control.reorg(50).await, Err(Fault::Setup(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_branch_with_more_work_wins_and_a_foul_one_changes_nothing() {
    let (control, me) = (chain().await, Wallet::new(1));
    let shell = Shell::new(&control);
    let to = me.address().to_string();
    let base = control.tip().await.unwrap();
    // Two blocks that somebody else mined, taken out and put aside.
    let mut branch = Vec::new();
    for _ in 0..2 {
        let made = shell.ask("generateblock", json!([to, []])).await;
        let raw = shell.ask("getblock", json!([made["hash"], 0])).await;
        branch.push(deserialize_hex::<Block>(raw.as_str().unwrap()).unwrap());
    }
    let first = json!([branch[0].block_hash()]);
    shell.ask("invalidateblock", first.clone()).await;
    let coin = coin_for(&control, &me, 100_000).await;
    let ours = control.tip().await.unwrap();
    assert_eq!(ours.0, base.0 + 1);
    // A heavier branch whose last block pays its miner too much: not followed.
    let mut foul = branch[0].clone();
    foul.header.time += 1;
    miner::solve(&mut foul.header);
    assert!(shell.ask("submitblock", json!([serialize_hex(&foul)])).await != "duplicate");
    assert_eq!(control.tip().await.unwrap(), ours, "of equal work the first seen stays");
    let mut top = branch[1].clone();
    top.header.prev_blockhash = foul.block_hash();
    top.txdata[0].output[0].value += SATS(1);
    top.header.merkle_root = top.compute_merkle_root().unwrap();
    miner::solve(&mut top.header);
    assert_eq!(shell.ask("submitblock", json!([serialize_hex(&top)])).await, "bad-cb-amount");
    assert_eq!(control.tip().await.unwrap(), ours);
    assert_eq!(control.confirmations(&coin.point.txid).await.unwrap(), 1);
    // The honest heavier one: followed, and our payment waits again.
    shell.ask("reconsiderblock", first).await;
    assert_eq!(control.tip().await.unwrap(), (base.0 + 2, branch[1].block_hash()));
    assert_eq!(shell.waiting().await, [coin.point.txid].into());
}

// ---------------------------------------------------------------- the faucet and the accounts

#[tokio::test(flavor = "multi_thread")]
async fn the_faucet_pays_many_in_one_block_and_every_fee_is_known() {
    let (control, me) = (chain().await, Wallet::new(1));
    let shell = Shell::new(&control);
    let since = control.height().await.unwrap();
    assert_eq!(control.total_fees_msat(since).await.unwrap(), 0);
    let mut ids = BTreeSet::new();
    for n in 0..20 {
        let txid = control.fund(&me.address(), SATS(10_000 + n)).await.unwrap();
        assert!(ids.insert(txid), "every payment is its own");
    }
    assert_eq!(shell.waiting().await, ids);
    let waiting = control.total_fees_msat(since).await.unwrap();
    control.mine(1).await.unwrap();
    assert!(shell.waiting().await.is_empty());
    let mut sum = 0;
    for id in &ids {
        let fee = control.fee_of(id).await.unwrap().to_sat();
        assert!((100..2_000).contains(&fee), "{fee} sat for one payment");
        sum += fee * 1_000;
    }
    assert_eq!(control.total_fees_msat(since).await.unwrap(), sum);
    assert_eq!(waiting, sum);
    assert_eq!(control.total_fees_msat(since + 1).await.unwrap(), 0);
    // What cannot be paid is said, and no coin moves.
    let dust = control.fund(&me.address(), SATS(100)).await.unwrap_err();
    assert!(matches!(dust, Fault::Dust(_)), "{dust}");
    let much = control.fund(&me.address(), Amount::MAX_MONEY).await.unwrap_err();
    assert!(matches!(much, Fault::Dry { .. }), "{much}");
    assert!(shell.waiting().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shell_of_the_inner_chain_has_sendtoaddress() {
    let control = ChainControl::start(Setup::default()).await.unwrap();
    let (shell, me) = (Shell::new(&control), Wallet::new(1));
    let to = me.address().to_string();
    let txid = shell.ask("sendtoaddress", json!([to, 0.001])).await;
    let raw = shell.ask("getrawtransaction", json!([txid, true])).await;
    let paid = raw["vout"].as_array().unwrap().iter().find(|o| o["scriptPubKey"]["address"] == to);
    assert_eq!(paid.unwrap()["value"], 0.001);
    let (code, _) = shell.call("sendtoaddress", json!([to, 20_000_000])).await.unwrap_err();
    assert_eq!(code, -6);
    let (code, _) = shell.call("sendtoaddress", json!(["bc1qnonsense", 1])).await.unwrap_err();
    assert_eq!(code, -5);
    let (code, _) = shell.call("sendtoaddress", json!([to, -1])).await.unwrap_err();
    assert_eq!(code, -3);
}

// ---------------------------------------------------------------- the file

async fn kept(dir: &Path) -> Result<ChainControl, Fault> {
    ChainControl::start(Setup { dir: Some(dir.to_owned()), ..Setup::default() }).await
}

/// Opens the chain again once the last of its tasks has let go of the file.
async fn reopened(dir: &Path) -> ChainControl {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    loop {
        match kept(dir).await {
            Ok(control) => return control,
            Err(e) if tokio::time::Instant::now() > deadline => panic!("{e}"),
            Err(e) => assert!(e.to_string().contains("in use"), "{e}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_the_chain_the_mempool_and_the_credentials() {
    let (dir, me) = (tempfile::tempdir().unwrap(), Wallet::new(1));
    let control = kept(dir.path()).await.unwrap();
    let busy = kept(dir.path()).await.err().unwrap();
    assert!(busy.to_string().contains("in use"), "{busy}");
    coin_for(&control, &me, 100_000).await;
    control.mine(2).await.unwrap();
    control.reorg(1).await.unwrap();
    let waits = control.fund(&me.address(), SATS(70_000)).await.unwrap();
    let (tip, password) = (control.tip().await.unwrap(), control.endpoint().password.clone());
    control.stop().await.unwrap();

    let control = reopened(dir.path()).await;
    assert_eq!(control.tip().await.unwrap(), tip);
    assert_eq!(control.endpoint().password, password);
    assert_eq!(Shell::new(&control).waiting().await, [waits].into());
    control.mine(1).await.unwrap();
    assert_eq!(control.confirmations(&waits).await.unwrap(), 1);
    control.fund(&me.address(), SATS(30_000)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_tail_is_cut_off_and_other_damage_refuses_to_open() {
    let dir = tempfile::tempdir().unwrap();
    let control = kept(dir.path()).await.unwrap();
    let whole = control.tip().await.unwrap();
    control.mine(1).await.unwrap();
    control.stop().await.unwrap();
    let file = dir.path().join("chain.dat");
    let bytes = std::fs::read(&file).unwrap();
    for lost in [1, 50, 200] {
        reopened(dir.path()).await.stop().await.unwrap();
        std::fs::write(&file, &bytes[..bytes.len() - lost]).unwrap();
        let control = reopened(dir.path()).await;
        assert_eq!(control.tip().await.unwrap(), whole, "the half-written block is gone");
        control.mine(1).await.unwrap();
        let tip = control.tip().await.unwrap();
        control.stop().await.unwrap();
        let again = reopened(dir.path()).await;
        assert_eq!(again.tip().await.unwrap(), tip, "and the file is good again");
        again.stop().await.unwrap();
    }
    reopened(dir.path()).await.stop().await.unwrap();
    let mut damaged = bytes.clone();
    damaged[bytes.len() / 2] ^= 1;
    std::fs::write(&file, &damaged).unwrap();
    let refusal = kept(dir.path()).await.err().unwrap().to_string();
    assert!(refusal.contains("damaged") && refusal.contains("delete"), "{refusal}");
    assert_eq!(std::fs::read(&file).unwrap(), damaged, "and nothing was thrown away");
}

// ---------------------------------------------------------------- strangers at the port

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_401() {
    let control = chain().await;
    let shell = Shell::new(&control);
    let body = json!({"method": "getblockcount", "params": [], "id": 1}).to_string();
    assert_eq!(shell.raw("wrong", body.clone()).await.0, 401);
    let url = format!("http://{}:{}/", shell.at.host, shell.at.port);
    assert_eq!(shell.http.post(url).body(body).send().await.unwrap().status(), 401);
    assert!(control.height().await.is_ok());
    assert!(!format!("{control:?}").contains(&shell.at.password), "no password in a Debug text");
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_gets_an_error_and_never_a_panic() {
    let control = ChainControl::start(Setup::default()).await.unwrap();
    let shell = Shell::new(&control);
    let (password, tip) = (shell.at.password.clone(), control.tip().await.unwrap());
    for body in ["", "{", "null", "7", "\"x\"", "{}", "[1]", "\u{0}", "{\"method\":7}", "[[[["] {
        let (_, text) = shell.raw(&password, body).await;
        let value: Value = serde_json::from_str(&text).unwrap();
        let error = if value.is_array() { &value[0]["error"] } else { &value["error"] };
        assert!(error["code"].is_i64(), "{body:?}: {text}");
    }
    let (status, text) = shell.raw(&password, vec![b'['; 9_000_000]).await;
    assert!(status == 413 && text.contains("-32600"), "{status} {text}");
    let deep = "[".repeat(100_000);
    assert!(shell.raw(&password, deep).await.1.contains("-32700"));

    let long = "f".repeat(100_000);
    let wrong =
        [json!(null), json!(-1), json!(1e300), json!("zz"), json!(long), json!([]), json!({})];
    let methods = "getblockhash getblockheader getblock getrawtransaction gettxout getmempoolentry \
        estimatesmartfee sendrawtransaction testmempoolaccept generatetoaddress generateblock \
        submitblock invalidateblock reconsiderblock setmocktime sendtoaddress";
    for method in methods.split_whitespace() {
        for bad in &wrong {
            for params in [json!([bad]), json!([bad, bad]), bad.clone()] {
                let error = shell.call(method, params).await.unwrap_err();
                let known = [-1, -3, -5, -8, -22, -26].contains(&error.0);
                assert!(known, "{method}: {error:?}");
            }
        }
    }
    let code = |e: Result<Value, (i64, String)>| e.unwrap_err().0;
    assert_eq!(code(shell.call("frobnicate", json!([])).await), -32601);
    assert_eq!(code(shell.call("getblockhash", json!([9_999])).await), -8);
    assert_eq!(code(shell.call("getblock", json!(["00".repeat(32)])).await), -5);
    assert_eq!(code(shell.call("getrawtransaction", json!(["11".repeat(32)])).await), -5);
    assert_eq!(code(shell.call("sendrawtransaction", json!(["0200"])).await), -22);
    assert_eq!(code(shell.call("generatetoaddress", json!([u64::MAX, "x"])).await), -8);
    let genesis = control.client().hash_at(0).await.unwrap();
    assert_eq!(code(shell.call("invalidateblock", json!([genesis])).await), -26);
    assert_eq!(control.tip().await.unwrap(), tip, "and the chain stands as before");
}

// ---------------------------------------------------------------- Lightning nodes

struct Party {
    node: Node,
    _dir: tempfile::TempDir,
}

fn party(n: u8, at: &Endpoint) -> Party {
    let dir = tempfile::tempdir().unwrap();
    let port = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap().port()
    };
    let config = ldk_node::config::Config {
        network: bitcoin::Network::Regtest,
        storage_dir_path: dir.path().to_str().unwrap().to_owned(),
        listening_addresses: Some(vec![format!("127.0.0.1:{port}").parse().unwrap()]),
        ..Default::default()
    };
    let mut builder = Builder::from_config(config);
    builder.set_entropy_seed_bytes([n; 64]);
    builder.set_chain_source_bitcoind_rpc(
        at.host.clone(),
        at.port,
        at.user.clone(),
        at.password.clone(),
    );
    let node = builder.build().unwrap();
    node.start().unwrap();
    Party { node, _dir: dir }
}

impl Party {
    fn sync(&self) {
        tokio::task::block_in_place(|| self.node.sync_wallets().unwrap());
    }

    fn onchain(&self) -> u64 {
        self.node.list_balances().total_onchain_balance_sats
    }

    async fn event(&self, want: &str) -> Event {
        loop {
            let event = tokio::time::timeout(Duration::from_secs(60), self.node.next_event_async())
                .await
                .unwrap_or_else(|_| panic!("no {want} in a minute"));
            self.node.event_handled().unwrap();
            if format!("{event:?}").starts_with(want) {
                return event;
            }
        }
    }

    /// Nothing of this party is in a channel or on its way out of one.
    fn settled(&self) -> bool {
        let b = self.node.list_balances();
        let swept = |s: &PendingSweepBalance| {
            matches!(s, PendingSweepBalance::AwaitingThresholdConfirmations { .. })
        };
        b.lightning_balances.is_empty()
            && b.pending_balances_from_channel_closures.iter().all(swept)
    }
}

/// Polls until `done`, a minute at most; no step depends on how long it took.
async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while !done().await {
        assert!(tokio::time::Instant::now() < deadline, "not within a minute: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn mine(control: &ChainControl, count: u32, parties: &[&Party]) {
    control.mine(count).await.unwrap();
    parties.iter().for_each(|p| p.sync());
}

async fn something_waits(control: &ChainControl, what: &str) {
    until(what, async || !control.client().waiting().await.unwrap().is_empty()).await;
}

async fn open(control: &ChainControl, a: &Party, b: &Party) -> ldk_node::UserChannelId {
    let address = b.node.listening_addresses().unwrap()[0].clone();
    let (id, push) = (b.node.node_id(), Some(100_000_000));
    let channel = tokio::task::block_in_place(|| {
        a.node.open_channel(id, address, 500_000, push, None).unwrap()
    });
    let Event::ChannelPending { funding_txo, .. } = a.event("ChannelPending").await else {
        unreachable!()
    };
    until("the funding waits", async || {
        control.client().waiting().await.unwrap().contains(&funding_txo.txid)
    })
    .await;
    mine(control, 6, &[a, b]).await;
    a.event("ChannelReady").await;
    b.event("ChannelReady").await;
    channel
}

async fn pay(from: &Party, to: &Party, msat: u64) {
    let text = Bolt11InvoiceDescription::Direct(Description::new("labels".into()).unwrap());
    let invoice = to.node.bolt11_payment().receive(msat, &text, 3_600).unwrap();
    from.node.bolt11_payment().send(&invoice, None).unwrap();
    from.event("PaymentSuccessful").await;
    to.event("PaymentReceived").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn lightning_nodes_open_pay_and_close_in_both_ways_and_every_satoshi_is_accounted_for() {
    let control = chain().await;
    let (a, b) = (party(1, control.endpoint()), party(2, control.endpoint()));
    let both = [&a, &b];
    let addresses = both.map(|p| {
        let address = p.node.onchain_payment().new_address().unwrap().to_string();
        address.parse::<Address<_>>().unwrap().assume_checked()
    });
    let start = control.height().await.unwrap();
    let payments = [(addresses[0].clone(), SATS(2_000_000)), (addresses[1].clone(), SATS(200_000))];
    let gift = control.fund_all(&payments).await.unwrap();
    mine(&control, 1, &both).await;
    assert_eq!((a.onchain(), b.onchain()), (2_000_000, 200_000));
    let gift_fee = control.fee_of(&gift).await.unwrap().to_sat();
    // What the two hold, plus what they paid to miners, is what they were given.
    let check = async |stage: &str| {
        let held = a.onchain() + b.onchain();
        let fees = control.total_fees_msat(start).await.unwrap() / 1_000 - gift_fee;
        assert_eq!(held + fees, 2_200_000, "{stage}: {held} held, {fees} in fees");
    };
    check("funded").await;

    let channel = open(&control, &a, &b).await;
    pay(&a, &b, 50_000_000).await;
    tokio::task::block_in_place(|| a.node.close_channel(&channel, b.node.node_id()).unwrap());
    a.event("ChannelClosed").await;
    b.event("ChannelClosed").await;
    something_waits(&control, "the closing transaction waits").await;
    mine(&control, 6, &both).await;
    until("the close is settled", async || {
        both.iter().for_each(|p| p.sync());
        both.iter().all(|p| p.settled())
    })
    .await;
    assert_eq!(b.onchain(), 350_000, "the push and the payment, on chain");
    check("closed together").await;

    let channel = open(&control, &a, &b).await;
    pay(&b, &a, 20_000_000).await;
    let closed_at = control.height().await.unwrap();
    tokio::task::block_in_place(|| {
        a.node.force_close_channel(&channel, b.node.node_id(), None).unwrap();
    });
    a.event("ChannelClosed").await;
    b.event("ChannelClosed").await;
    something_waits(&control, "the commitment waits").await;
    mine(&control, 7, &both).await;
    assert!(!a.settled(), "the closer's own coins are locked (CSV)");
    let mut rounds = 0;
    while !both.iter().all(|p| p.settled()) {
        rounds += 1;
        assert!(rounds < 400, "{:?} {:?}", a.node.list_balances(), b.node.list_balances());
        mine(&control, 1, &both).await;
        tokio::time::sleep(Duration::from_millis(20)).await; // the sweep is broadcast by a task
    }
    let waited = control.height().await.unwrap() - closed_at;
    assert!(waited > 100, "the closer waited {waited} blocks");
    until("the sweeps are confirmed", async || {
        mine(&control, 1, &both).await;
        control.client().waiting().await.unwrap().is_empty()
    })
    .await;
    check("closed by force").await;
    for p in both {
        tokio::task::block_in_place(|| p.node.stop().unwrap());
    }
}

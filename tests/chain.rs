//! The sandbox chain, used as a node and a person at a shell use it: over RPC. With `BITCOIND_EXE`
//! set, everything that is not about the chain's own file runs against that real node as well.

#![expect(clippy::unwrap_used, reason = "a test says what it needs by failing without it")]

#[path = "chain/lightning.rs"]
mod lightning;
#[path = "chain/shell.rs"]
mod shell;
#[path = "chain/wallet.rs"]
mod wallet;

use std::collections::BTreeSet;
use std::path::Path;

use bitcoin::absolute::LockTime;
use bitcoin::consensus::encode::{deserialize_hex, serialize_hex};
use bitcoin::hashes::Hash;
use bitcoin::{Address, Amount, Block, Sequence, TxOut, Txid, Witness};
use earnest::sandbox::control::Setup;
use earnest::sandbox::{ChainControl, FaucetKey, Fault, miner};
use serde_json::{Value, json};

use crate::shell::Shell;
use crate::wallet::{Owned, SATS, Wallet, owned, unsigned};

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
    let beside = shell.ask("submitblock", json!([serialize_hex(&foul)])).await;
    assert_eq!(beside, "inconclusive");
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

#[tokio::test(flavor = "multi_thread")]
async fn another_process_drives_the_same_chain_over_http() {
    let dir = tempfile::tempdir().unwrap();
    let owner = kept(dir.path()).await.unwrap();
    let key = FaucetKey::open(dir.path()).unwrap();
    let other = ChainControl::attach(owner.endpoint().clone(), key).unwrap();
    let me = Wallet::new(1);
    let txid = other.fund(&me.address(), SATS(100_000)).await.unwrap();
    other.mine(2).await.unwrap();
    assert_eq!(owner.confirmations(&txid).await.unwrap(), 2);
    assert_eq!(owner.fee_of(&txid).await.unwrap(), other.fee_of(&txid).await.unwrap());
    other.reorg(2).await.unwrap();
    assert_eq!(owner.confirmations(&txid).await.unwrap(), 0);
    assert_eq!(owner.tip().await.unwrap(), other.tip().await.unwrap());
    let unknown = Txid::all_zeros();
    assert!(matches!(other.fee_of(&unknown).await, Err(Fault::UnknownTransaction(_))));
    assert!(matches!(other.transaction(&unknown).await, Err(Fault::UnknownTransaction(_))));
    drop(owner);
    let gone = other.height().await.unwrap_err();
    assert!(matches!(gone, Fault::Unreachable { .. }), "{gone}");
    assert!(!gone.to_string().contains(&other.endpoint().password));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_node_that_cannot_run_is_a_sentence() {
    for (exe, says) in [("/nowhere/bitcoind", "/nowhere/bitcoind"), ("/bin/false", "ended at once")]
    {
        let setup = Setup { bitcoind: Some(exe.into()), ..Setup::default() };
        let fault = ChainControl::start(setup).await.unwrap_err().to_string();
        assert!(fault.contains(says), "{fault}");
    }
}

// ---------------------------------------------------------------- the file

async fn kept(dir: &Path) -> Result<ChainControl, Fault> {
    ChainControl::start(Setup { dir: Some(dir.to_owned()), ..Setup::default() }).await
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
    let late = control.chain().unwrap().clone();
    drop(control);
    assert!(
        late.mine(&me.address().script_pubkey()).is_err(),
        "a stopped chain takes nothing more"
    );

    let control = kept(dir.path()).await.unwrap();
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
        std::fs::write(&file, &bytes[..bytes.len() - lost]).unwrap();
        let control = kept(dir.path()).await.unwrap();
        assert_eq!(control.tip().await.unwrap(), whole, "the half-written block is gone");
        control.mine(1).await.unwrap();
        let tip = control.tip().await.unwrap();
        control.stop().await.unwrap();
        let again = kept(dir.path()).await.unwrap();
        assert_eq!(again.tip().await.unwrap(), tip, "and the file is good again");
        again.stop().await.unwrap();
    }
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

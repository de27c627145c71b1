//! Bitcoin Core's RPC methods on the sandbox chain: names, parameters, answers and error codes.

use std::fmt;

use bitcoin::consensus::encode::{deserialize_hex, serialize_hex};
use bitcoin::{
    Address, Amount, Block, BlockHash, Network, OutPoint, ScriptBuf, Transaction, Txid, Work,
};
use serde_json::{Value, json};

use super::chain::{Chain, ChainError, KnownBlock};
use super::mempool::{self, Entry, Mempool};
use super::rules::{self, Reject, RejectKind};

/// Most blocks one call mines.
const MAX_BLOCKS_A_CALL: u64 = 10_000;
/// Core's default for `maxfeerate`, satoshis per 1,000 virtual bytes.
const MAX_FEE_RATE: u64 = 10_000_000;

/// An RPC error: Core's code and a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RpcError {
    /// Core's `RPCErrorCode`.
    pub code: i32,
    /// What happened.
    pub message: String,
}

impl RpcError {
    /// An error with this code.
    pub fn new(code: i32, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    fn absent(message: &str) -> Self {
        Self::new(-5, message)
    }

    /// A parameter of the wrong form.
    pub fn parameter(message: impl Into<String>) -> Self {
        Self::new(-8, message)
    }
}

impl fmt::Display for RpcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (code {})", self.message, self.code)
    }
}

impl std::error::Error for RpcError {}

impl From<Reject> for RpcError {
    fn from(reject: Reject) -> Self {
        let code = match reject.kind {
            RejectKind::MissingInputs | RejectKind::CallerLimit => -25,
            RejectKind::AlreadyConfirmed => -27,
            RejectKind::Rule => -26,
        };
        Self::new(code, reject.to_string())
    }
}

impl From<ChainError> for RpcError {
    fn from(error: ChainError) -> Self {
        match error {
            ChainError::Refused(reject) => reject.into(),
            ChainError::UnknownBlock => Self::absent("Block not found"),
            // Core's code for a database error.
            other => Self::new(-20, other.to_string()),
        }
    }
}

/// Runs one method. Blocks for as long as it takes to mine what was asked, otherwise shortly.
///
/// # Errors
/// Core's code for what went wrong; -32601 for a method that does not exist here.
pub fn run(chain: &Chain, method: &str, params: &Value) -> Result<Value, RpcError> {
    let p = Params::new(params)?;
    match method {
        "getblockchaininfo" => Ok(blockchain_info(chain)),
        "getblockcount" => Ok(json!(chain.tip().0)),
        "getbestblockhash" => Ok(json!(chain.tip().1)),
        "getblockhash" => {
            let height = p.number(0, "height")?;
            let hash = u32::try_from(height).ok().and_then(|h| chain.hash_at(h));
            hash.map(|h| json!(h)).ok_or_else(|| RpcError::parameter("Block height out of range"))
        }
        "getblockheader" => {
            let block = known(chain, &p)?;
            match p.flag(1, true)? {
                true => Ok(header(&block)),
                false => Ok(json!(serialize_hex(&block.block.header))),
            }
        }
        "getblock" => get_block(chain, &p),
        "getrawtransaction" => raw_transaction(chain, &p),
        "gettxout" => {
            let point = OutPoint::new(p.txid(0)?, p.u32(1, "n")?);
            Ok(unspent(chain, &point, p.flag(2, true)?))
        }
        "getmempoolinfo" => Ok(mempool_info(chain)),
        "getrawmempool" => {
            let verbose = p.flag(0, false)?;
            Ok(chain.with_mempool(|m| match verbose {
                false => json!(m.txids().collect::<Vec<_>>()),
                true => m.in_order().iter().map(|e| (id(e), mempool_entry(m, e))).collect(),
            }))
        }
        "getmempoolentry" => {
            let txid = p.txid(0)?;
            chain
                .with_mempool(|m| m.get(&txid).map(|e| mempool_entry(m, e)))
                .ok_or_else(|| RpcError::absent("Transaction not in mempool"))
        }
        "estimatesmartfee" => {
            let blocks = p.number(0, "conf_target")?;
            if !(1..=1008).contains(&blocks) {
                return Err(RpcError::parameter("Invalid conf_target, must be between 1 and 1008"));
            }
            Ok(json!({"feerate": coin(mempool::MIN_FEE_RATE), "blocks": blocks}))
        }
        "sendrawtransaction" => send(chain, &p),
        "testmempoolaccept" => test_accept(chain, &p),
        "generatetoaddress" => generate(chain, &p),
        "generateblock" => generate_exactly(chain, &p),
        "submitblock" => submit_block(chain, &p),
        "invalidateblock" => {
            chain.invalidate(&p.block_hash(0)?).map(|()| Value::Null).map_err(Into::into)
        }
        "reconsiderblock" => {
            chain.reconsider(&p.block_hash(0)?).map(|()| Value::Null).map_err(Into::into)
        }
        "setmocktime" => {
            let time = p.number(0, "timestamp")?;
            chain.set_mock_time((time != 0).then_some(time));
            Ok(Value::Null)
        }
        other => Err(RpcError::new(-32601, format!("Method not found: {}", clip(other)))),
    }
}

fn blockchain_info(chain: &Chain) -> Value {
    let (height, hash) = chain.tip();
    let (work, median_time) = chain.tip_work();
    let time = chain.block(&hash).map_or(0, |b| b.block.header.time);
    json!({
        "chain": "regtest", "blocks": height, "headers": height, "bestblockhash": hash,
        "bits": format!("{:08x}", rules::BITS), "difficulty": 4.656_542_373_906_925e-10,
        "time": time, "mediantime": median_time, "verificationprogress": 1,
        "initialblockdownload": false, "chainwork": work_hex(work), "pruned": false, "warnings": [],
    })
}

fn header(known: &KnownBlock) -> Value {
    let h = &known.block.header;
    let mut value = json!({
        "hash": h.block_hash(), "confirmations": known.confirmations, "height": known.height,
        "version": h.version.to_consensus(), "versionHex": format!("{:08x}", h.version.to_consensus()),
        "merkleroot": h.merkle_root, "time": h.time, "mediantime": known.median_time,
        "nonce": h.nonce, "bits": format!("{:08x}", h.bits.to_consensus()),
        "difficulty": 4.656_542_373_906_925e-10, "chainwork": work_hex(known.work),
        "nTx": known.block.txdata.len(),
    });
    if known.height > 0 {
        value["previousblockhash"] = json!(h.prev_blockhash);
    }
    if let Some(next) = known.next {
        value["nextblockhash"] = json!(next);
    }
    value
}

fn get_block(chain: &Chain, p: &Params<'_>) -> Result<Value, RpcError> {
    let known = known(chain, p)?;
    let verbosity = match p.get(1) {
        None => 1,
        Some(Value::Bool(b)) => u64::from(*b),
        Some(_) => p.number(1, "verbosity")?,
    };
    if verbosity == 0 {
        return Ok(json!(serialize_hex(&*known.block)));
    }
    let mut value = header(&known);
    value["size"] = json!(known.block.total_size());
    value["weight"] = json!(known.block.weight().to_wu());
    value["tx"] = if verbosity == 1 {
        known.block.txdata.iter().map(|tx| json!(tx.compute_txid())).collect()
    } else {
        let fees = chain.fees(&known.block.block_hash()).unwrap_or_default();
        let one = |(at, tx): (usize, &Transaction)| {
            let mut value = decoded(tx);
            if let Some(fee) = fees.get(at).filter(|_| at > 0) {
                value["fee"] = coin(fee.to_sat());
            }
            value
        };
        known.block.txdata.iter().enumerate().map(one).collect()
    };
    Ok(value)
}

fn raw_transaction(chain: &Chain, p: &Params<'_>) -> Result<Value, RpcError> {
    let found = chain.transaction(&p.txid(0)?).ok_or_else(|| {
        RpcError::absent(
            "No such mempool or blockchain transaction. Use gettransaction for wallet transactions.",
        )
    })?;
    let verbose = match p.get(1) {
        Some(Value::Number(_)) => p.number(1, "verbosity")? > 0,
        _ => p.flag(1, false)?,
    };
    if !verbose {
        return Ok(json!(serialize_hex(&found.tx)));
    }
    let mut value = decoded(&found.tx);
    value["fee"] = coin(found.fee.to_sat());
    if let Some((hash, height)) = found.block {
        let tip = chain.tip().0;
        value["blockhash"] = json!(hash);
        value["confirmations"] = json!(tip.saturating_sub(height) + 1);
        if let Some(known) = chain.block(&hash) {
            value["blocktime"] = json!(known.block.header.time);
            value["time"] = json!(known.block.header.time);
        }
    }
    Ok(value)
}

fn decoded(tx: &Transaction) -> Value {
    let input = |i: &bitcoin::TxIn| {
        let witness: Vec<String> = i.witness.iter().map(hex::encode).collect();
        if tx.is_coinbase() {
            return json!({"coinbase": hex::encode(i.script_sig.as_bytes()),
                "txinwitness": witness, "sequence": i.sequence.0});
        }
        json!({"txid": i.previous_output.txid, "vout": i.previous_output.vout,
            "scriptSig": {"hex": hex::encode(i.script_sig.as_bytes())},
            "txinwitness": witness, "sequence": i.sequence.0})
    };
    let output = |(n, o): (usize, &bitcoin::TxOut)| json!({"value": coin(o.value.to_sat()), "n": n, "scriptPubKey": script(&o.script_pubkey)});
    json!({
        "txid": tx.compute_txid(), "hash": tx.compute_wtxid(), "version": tx.version.0,
        "size": tx.total_size(), "vsize": tx.vsize(), "weight": tx.weight().to_wu(),
        "locktime": tx.lock_time.to_consensus_u32(),
        "vin": tx.input.iter().map(input).collect::<Vec<_>>(),
        "vout": tx.output.iter().enumerate().map(output).collect::<Vec<_>>(),
        "hex": serialize_hex(tx),
    })
}

fn script(script: &ScriptBuf) -> Value {
    let mut value = json!({"hex": hex::encode(script.as_bytes())});
    if let Ok(address) = Address::from_script(script, Network::Regtest) {
        value["address"] = json!(address.to_string());
    }
    value
}

fn unspent(chain: &Chain, point: &OutPoint, with_mempool: bool) -> Value {
    let Some(found) = chain.unspent(point, with_mempool) else { return Value::Null };
    let (height, hash) = chain.tip();
    json!({
        "bestblock": hash, "confirmations": (height + 1).saturating_sub(found.height),
        "value": coin(found.out.value.to_sat()), "scriptPubKey": script(&found.out.script_pubkey),
        "coinbase": found.coinbase,
    })
}

fn mempool_info(chain: &Chain) -> Value {
    let (count, vsize) = chain.with_mempool(Mempool::size);
    let fees: u64 = chain.with_mempool(|m| m.in_order().iter().map(|e| e.fee.to_sat()).sum());
    json!({
        "loaded": true, "size": count, "bytes": vsize, "usage": vsize, "total_fee": coin(fees),
        "maxmempool": 300_000_000, "mempoolminfee": coin(mempool::MIN_FEE_RATE),
        "minrelaytxfee": coin(mempool::MIN_FEE_RATE),
        "incrementalrelayfee": coin(mempool::MIN_FEE_RATE), "unbroadcastcount": 0, "fullrbf": true,
    })
}

fn id(entry: &Entry) -> String {
    entry.tx.compute_txid().to_string()
}

fn mempool_entry(pool: &Mempool, entry: &Entry) -> Value {
    let sum = |ids: &mut dyn Iterator<Item = Txid>| {
        ids.filter_map(|t| pool.get(&t)).fold((0_u64, 0_u64, 0_u64), |(n, size, fee), e| {
            (n + 1, size + e.vsize, fee + e.fee.to_sat())
        })
    };
    let txid = entry.tx.compute_txid();
    let ancestors = pool.ancestors(&entry.tx);
    let up = sum(&mut ancestors.into_iter().chain([txid]));
    let down = sum(&mut pool.with_descendants(&txid).into_iter());
    let inputs = entry.tx.input.iter().map(|i| i.previous_output.txid);
    let depends: Vec<Txid> = inputs.filter(|t| pool.get(t).is_some()).collect();
    let spent_by: Vec<Txid> = (0..entry.tx.output.len() as u32)
        .filter_map(|v| pool.spender(&OutPoint::new(txid, v)))
        .collect();
    let fee = entry.fee.to_sat();
    json!({
        "vsize": entry.vsize, "weight": entry.tx.weight().to_wu(), "time": entry.time,
        "height": entry.height, "descendantcount": down.0, "descendantsize": down.1,
        "ancestorcount": up.0, "ancestorsize": up.1, "wtxid": entry.tx.compute_wtxid(),
        "fees": {"base": coin(fee), "modified": coin(fee), "ancestor": coin(up.2),
            "descendant": coin(down.2)},
        "depends": depends, "spentby": spent_by, "bip125-replaceable": true, "unbroadcast": false,
    })
}

fn send(chain: &Chain, p: &Params<'_>) -> Result<Value, RpcError> {
    let tx = p.transaction(0)?;
    let txid = tx.compute_txid();
    if chain.with_mempool(|m| m.get(&txid).is_some()) {
        return Ok(json!(txid));
    }
    check_fee_limit(chain.test_accept(&tx), p.get(1))?;
    chain.accept(&tx)?;
    Ok(json!(txid))
}

/// The caller's own limit: 0.1 BTC per 1,000 virtual bytes unless said otherwise, 0 for none.
fn check_fee_limit(
    tested: Result<(Amount, u64), Reject>,
    limit: Option<&Value>,
) -> Result<(Amount, u64), Reject> {
    let (fee, vsize) = tested?;
    let limit = limit
        .and_then(Value::as_f64)
        .map_or(Some(MAX_FEE_RATE), |rate| Amount::from_btc(rate).ok().map(Amount::to_sat));
    if limit.is_some_and(|rate| rate > 0 && fee.to_sat() > mempool::fee_at(rate, vsize)) {
        return Err(Reject {
            kind: RejectKind::CallerLimit,
            reason: "Fee exceeds maximum configured by user (e.g. -maxtxfee, maxfeerate)",
            detail: String::new(),
        });
    }
    Ok((fee, vsize))
}

fn test_accept(chain: &Chain, p: &Params<'_>) -> Result<Value, RpcError> {
    let list = p.array(0, "rawtxs")?;
    if list.is_empty() || list.len() > 25 {
        return Err(RpcError::parameter("Array must contain between 1 and 25 transactions."));
    }
    let mut out = Vec::with_capacity(list.len());
    for item in list {
        let tx = decode_tx(item)?;
        let mut value = json!({"txid": tx.compute_txid(), "wtxid": tx.compute_wtxid()});
        match check_fee_limit(chain.test_accept(&tx), p.get(1)) {
            Ok((fee, vsize)) => {
                value["allowed"] = json!(true);
                value["vsize"] = json!(vsize);
                value["fees"] = json!({"base": coin(fee.to_sat())});
            }
            Err(reject) => {
                value["allowed"] = json!(false);
                value["reject-reason"] = json!(reject.reason);
                value["reject-details"] = json!(reject.to_string());
            }
        }
        out.push(value);
    }
    Ok(json!(out))
}

fn generate(chain: &Chain, p: &Params<'_>) -> Result<Value, RpcError> {
    let count = p.number(0, "nblocks")?;
    if count > MAX_BLOCKS_A_CALL {
        return Err(RpcError::parameter(format!("at most {MAX_BLOCKS_A_CALL} blocks a call")));
    }
    let to = p.address(1)?.script_pubkey();
    let mut hashes = Vec::new();
    for _ in 0..count {
        hashes.push(chain.mine(&to)?);
    }
    chain.sync()?;
    Ok(json!(hashes))
}

fn generate_exactly(chain: &Chain, p: &Params<'_>) -> Result<Value, RpcError> {
    let to = p.address(0)?.script_pubkey();
    let mut transactions = Vec::new();
    for item in p.array(1, "transactions")? {
        let text = item.as_str().unwrap_or_default();
        transactions.push(match text.parse::<Txid>() {
            Ok(txid) => chain
                .with_mempool(|m| m.get(&txid).map(|e| e.tx.clone()))
                .ok_or_else(|| RpcError::absent("Transaction not in mempool"))?,
            Err(_) => decode_tx(item)?,
        });
    }
    let hash = chain.mine_exactly(&to, transactions)?;
    chain.sync()?;
    Ok(json!({"hash": hash}))
}

fn submit_block(chain: &Chain, p: &Params<'_>) -> Result<Value, RpcError> {
    let block: Block = deserialize_hex(p.text(0, "hexdata")?)
        .map_err(|_| RpcError::new(-22, "Block decode failed"))?;
    match chain.submit_block(block) {
        // Core answers with null, or with the reason as a plain string (BIP 22); a block beside
        // the best branch has not been looked into.
        Ok(hash) if chain.block(&hash).is_some_and(|b| b.confirmations > 0) => Ok(Value::Null),
        Ok(_) => Ok(json!("inconclusive")),
        Err(ChainError::Refused(reject)) => Ok(json!(reject.reason)),
        Err(other) => Err(other.into()),
    }
}

fn known(chain: &Chain, p: &Params<'_>) -> Result<KnownBlock, RpcError> {
    chain.block(&p.block_hash(0)?).ok_or_else(|| RpcError::absent("Block not found"))
}

fn work_hex(work: Work) -> String {
    hex::encode(work.to_be_bytes())
}

/// Satoshis as a JSON number in bitcoin, with Core's eight decimals.
fn coin(sats: u64) -> Value {
    json!(Amount::from_sat(sats).to_btc())
}

fn decode_tx(value: &Value) -> Result<Transaction, RpcError> {
    let text = value.as_str().unwrap_or_default();
    deserialize_hex(text).map_err(|_| {
        RpcError::new(-22, "TX decode failed. Make sure the tx has at least one input.")
    })
}

fn clip(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(64).collect()
}

/// Positional parameters.
#[derive(Debug)]
pub struct Params<'a>(&'a [Value]);

impl<'a> Params<'a> {
    /// Takes an array, or nothing at all.
    ///
    /// # Errors
    /// Anything else: -8.
    pub fn new(value: &'a Value) -> Result<Self, RpcError> {
        match value {
            Value::Array(list) => Ok(Self(list)),
            Value::Null => Ok(Self(&[])),
            Value::Object(map) if map.is_empty() => Ok(Self(&[])),
            _ => Err(RpcError::parameter("params must be an array")),
        }
    }

    /// The parameter at `index`, unless it is missing or null.
    pub fn get(&self, index: usize) -> Option<&'a Value> {
        self.0.get(index).filter(|v| !v.is_null())
    }

    fn need(&self, index: usize, name: &str) -> Result<&'a Value, RpcError> {
        self.get(index).ok_or_else(|| RpcError::new(-1, format!("missing parameter {name}")))
    }

    fn text(&self, index: usize, name: &str) -> Result<&'a str, RpcError> {
        let text = self.need(index, name)?.as_str();
        text.ok_or_else(|| RpcError::new(-3, format!("{name} must be a string")))
    }

    fn number(&self, index: usize, name: &str) -> Result<u64, RpcError> {
        let value = self.need(index, name)?;
        match (value.as_u64(), value.is_number()) {
            (Some(n), _) => Ok(n),
            (None, true) => Err(RpcError::parameter(format!("{name} out of range"))),
            (None, false) => Err(RpcError::new(-3, format!("{name} must be a number"))),
        }
    }

    fn u32(&self, index: usize, name: &str) -> Result<u32, RpcError> {
        u32::try_from(self.number(index, name)?)
            .map_err(|_| RpcError::parameter(format!("{name} out of range")))
    }

    fn flag(&self, index: usize, default: bool) -> Result<bool, RpcError> {
        match self.get(index) {
            None => Ok(default),
            Some(value) => value
                .as_bool()
                .ok_or_else(|| RpcError::new(-3, format!("parameter {index} must be a bool"))),
        }
    }

    fn array(&self, index: usize, name: &str) -> Result<&'a [Value], RpcError> {
        let list = self.need(index, name)?.as_array();
        list.map(Vec::as_slice).ok_or_else(|| RpcError::new(-3, format!("{name} must be an array")))
    }

    fn txid(&self, index: usize) -> Result<Txid, RpcError> {
        self.text(index, "txid")?
            .parse()
            .map_err(|_| RpcError::parameter("txid must be 64 hexadecimal characters"))
    }

    fn block_hash(&self, index: usize) -> Result<BlockHash, RpcError> {
        self.text(index, "blockhash")?
            .parse()
            .map_err(|_| RpcError::parameter("blockhash must be 64 hexadecimal characters"))
    }

    fn transaction(&self, index: usize) -> Result<Transaction, RpcError> {
        self.text(index, "hexstring")?;
        decode_tx(self.need(index, "hexstring")?)
    }

    /// A regtest address.
    ///
    /// # Errors
    /// -5, as Core has it.
    pub fn address(&self, index: usize) -> Result<Address, RpcError> {
        self.text(index, "address")?
            .parse::<Address<_>>()
            .ok()
            .and_then(|a| a.require_network(Network::Regtest).ok())
            .ok_or_else(|| RpcError::absent("Error: Invalid address"))
    }

    /// An amount in bitcoin, as a number or a string.
    ///
    /// # Errors
    /// -3, as Core has it.
    pub fn amount(&self, index: usize) -> Result<Amount, RpcError> {
        let value = self.need(index, "amount")?;
        let amount = match value {
            Value::String(text) => Amount::from_str_in(text, bitcoin::Denomination::Bitcoin).ok(),
            other => other.as_f64().and_then(|n| Amount::from_btc(n).ok()),
        };
        amount
            .filter(|a| *a > Amount::ZERO && *a <= Amount::MAX_MONEY)
            .ok_or_else(|| RpcError::new(-3, "Invalid amount"))
    }
}

//! One way to ask a chain: the sandbox's own in the process, or any `bitcoind` over HTTP.

use std::fmt;
use std::time::Duration;

use bitcoin::consensus::encode::deserialize_hex;
use bitcoin::{Amount, Block, BlockHash, Transaction, Txid};
use serde_json::{Value, json};

use super::chain::{Chain, ChainError};
use super::methods::{self, RpcError};

/// Where a chain's RPC is and who may call it: what `set_chain_source_bitcoind_rpc` asks for.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Endpoint {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// User name.
    pub user: String,
    /// Password.
    pub password: String,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({}@{}:{})", self.user, self.host, self.port)
    }
}

/// Why the chain could not be driven.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The chain answered no.
    #[error("the chain refused: {0}")]
    Refused(#[from] RpcError),
    /// Nobody answered, or not in time.
    #[error("the chain at {at} does not answer: {why}")]
    Unreachable {
        /// Host and port.
        at: String,
        /// What the connection said.
        why: String,
    },
    /// It answered something that is not what Bitcoin Core answers.
    #[error("the chain's answer to {0} makes no sense")]
    Malformed(String),
    /// The chain's own file.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The faucet has too little that is mature and confirmed.
    #[error("the faucet has {have} to give now and {need} was asked; mine some blocks first")]
    Dry {
        /// What it could spend now.
        have: Amount,
        /// What was asked, with the fee.
        need: Amount,
    },
    /// A payment that nobody would relay.
    #[error("{0} is too little to pay: it would be dust")]
    Dust(Amount),
    /// A transaction that the chain does not know.
    #[error("no transaction {0} is confirmed or waiting")]
    UnknownTransaction(Txid),
    /// The sandbox could not be set up.
    #[error("the sandbox chain could not start: {0}")]
    Setup(String),
}

/// A caller of RPC methods.
#[derive(Debug, Clone)]
pub enum Client {
    /// The chain in this process; no socket between.
    Inner(Chain),
    /// Any Bitcoin Core compatible RPC.
    Http(HttpClient),
}

/// JSON-RPC over HTTP with Basic authentication.
#[derive(Debug, Clone)]
pub struct HttpClient {
    http: reqwest::Client,
    endpoint: Endpoint,
}

impl HttpClient {
    /// A client that gives up on a call after `deadline`.
    ///
    /// # Errors
    /// The HTTP client cannot be made on this machine.
    pub fn new(endpoint: Endpoint, deadline: Duration) -> Result<Self, Fault> {
        let http = reqwest::Client::builder()
            .timeout(deadline)
            .no_proxy()
            .build()
            .map_err(|e| Fault::Setup(e.to_string()))?;
        Ok(Self { http, endpoint })
    }

    async fn call(&self, method: &str, params: Value) -> Result<Value, Fault> {
        let at = format!("{}:{}", self.endpoint.host, self.endpoint.port);
        let fail = |e: reqwest::Error| Fault::Unreachable {
            at: at.clone(),
            why: e.without_url().to_string(),
        };
        let answer = self
            .http
            .post(format!("http://{at}/"))
            .basic_auth(&self.endpoint.user, Some(&self.endpoint.password))
            .json(&json!({"jsonrpc": "1.0", "id": "earnest", "method": method, "params": params}))
            .send()
            .await
            .map_err(fail)?;
        let status = answer.status();
        let body = answer.bytes().await.map_err(fail)?;
        let Ok(mut value) = serde_json::from_slice::<Value>(&body) else {
            return Err(Fault::Unreachable { at, why: format!("HTTP {status}") });
        };
        match value.get("error").filter(|e| !e.is_null()) {
            Some(error) => Err(RpcError::new(
                error["code"].as_i64().and_then(|c| i32::try_from(c).ok()).unwrap_or(-1),
                error["message"].as_str().unwrap_or("no reason given"),
            )
            .into()),
            None => match value.get_mut("result") {
                Some(result) => Ok(result.take()),
                None => Err(Fault::Malformed(method.to_owned())),
            },
        }
    }
}

impl Client {
    /// Calls one method with an array of parameters.
    ///
    /// # Errors
    /// The RPC error, or nobody answered.
    pub async fn call(&self, method: &str, params: Value) -> Result<Value, Fault> {
        match self {
            Self::Http(http) => http.call(method, params).await,
            Self::Inner(chain) => {
                let (chain, method) = (chain.clone(), method.to_owned());
                // Mining many blocks takes long enough to hold up a worker thread.
                tokio::task::spawn_blocking(move || methods::run(&chain, &method, &params))
                    .await
                    .map_err(|e| Fault::Setup(e.to_string()))?
                    .map_err(Into::into)
            }
        }
    }

    /// Height of the best block.
    ///
    /// # Errors
    /// As `call`.
    pub async fn height(&self) -> Result<u32, Fault> {
        let value = self.call("getblockcount", json!([])).await?;
        value.as_u64().and_then(|h| u32::try_from(h).ok()).ok_or_else(|| malformed("getblockcount"))
    }

    /// Hash of the best branch's block at `height`.
    ///
    /// # Errors
    /// As `call`; -8 above the tip.
    pub async fn hash_at(&self, height: u32) -> Result<BlockHash, Fault> {
        parse(self.call("getblockhash", json!([height])).await?, "getblockhash")
    }

    /// A whole block.
    ///
    /// # Errors
    /// As `call`; -5 for an unknown one.
    pub async fn block(&self, hash: &BlockHash) -> Result<Block, Fault> {
        let value = self.call("getblock", json!([hash, 0])).await?;
        decode(&value, "getblock")
    }

    /// Ids of the transactions that wait.
    ///
    /// # Errors
    /// As `call`.
    pub async fn waiting(&self) -> Result<Vec<Txid>, Fault> {
        let value = self.call("getrawmempool", json!([false])).await?;
        serde_json::from_value(value).map_err(|_| malformed("getrawmempool"))
    }

    /// A waiting or confirmed transaction, if there is one.
    ///
    /// # Errors
    /// As `call`.
    pub async fn transaction(&self, txid: &Txid) -> Result<Option<Transaction>, Fault> {
        match self.call("getrawtransaction", json!([txid])).await {
            Ok(value) => decode(&value, "getrawtransaction").map(Some),
            Err(Fault::Refused(RpcError { code: -5, .. })) => Ok(None),
            Err(other) => Err(other),
        }
    }

    /// Offers a transaction to the mempool.
    ///
    /// # Errors
    /// As `call`; the reject reason is in the message.
    pub async fn broadcast(&self, tx: &Transaction) -> Result<Txid, Fault> {
        let raw = bitcoin::consensus::encode::serialize_hex(tx);
        parse(self.call("sendrawtransaction", json!([raw])).await?, "sendrawtransaction")
    }
}

fn malformed(method: &str) -> Fault {
    Fault::Malformed(method.to_owned())
}

fn parse<T: std::str::FromStr>(value: Value, method: &str) -> Result<T, Fault> {
    value.as_str().and_then(|t| t.parse().ok()).ok_or_else(|| malformed(method))
}

fn decode<T: bitcoin::consensus::Decodable>(value: &Value, method: &str) -> Result<T, Fault> {
    value.as_str().and_then(|t| deserialize_hex(t).ok()).ok_or_else(|| malformed(method))
}

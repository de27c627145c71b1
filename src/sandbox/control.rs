//! Who drives the chain of a sandbox: mines, funds, reorganises and answers for every fee. The same
//! calls whether the chain is the inner one or a real `bitcoind`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bitcoin::hashes::Hash;
use bitcoin::{
    Address, Amount, BlockHash, Network, OutPoint, ScriptBuf, Transaction, TxOut, Txid, WScriptHash,
};
use serde_json::json;
use tokio::sync::Mutex;

use super::bitcoind::Bitcoind;
use super::chain::Chain;
use super::client::{Client, Endpoint, Fault, HttpClient};
use super::clock::Clock;
use super::faucet::{Faucet, FaucetKey};
use super::rpc::{self, RpcServer};

/// Blocks mined to the faucet when a chain is new: a dozen rewards are mature then, so that as many
/// payments fit into the first block without standing on each other.
pub const FIRST_BLOCKS: u32 = 112;
/// Deepest reorganisation that may be asked for; deeper ones would unmake the faucet.
pub const MAX_REORG: u32 = 10;
/// The environment variable that names a real node's executable.
pub const BITCOIND_EXE: &str = "BITCOIND_EXE";

/// How to set a chain up.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// Where it is kept; without it, it is gone with the process.
    pub dir: Option<PathBuf>,
    /// The RPC port; 0 takes a free one.
    pub port: u16,
    /// Fixes the faucet's key; without it the key is random, or the one kept in `dir`.
    pub seed: Option<[u8; 32]>,
    /// A real node's executable to use instead of the inner chain.
    pub bitcoind: Option<PathBuf>,
}

impl Setup {
    /// The same, with the real node that the environment names, if it names one.
    pub fn from_env(mut self) -> Self {
        self.bitcoind = std::env::var_os(BITCOIND_EXE).filter(|v| !v.is_empty()).map(PathBuf::from);
        self
    }
}

/// How long one call to another process's chain may take.
const REMOTE_CALL: Duration = Duration::from_secs(60);

#[derive(Debug)]
enum Part {
    Inner { chain: Chain, server: RpcServer },
    Real { node: Bitcoind, _temporary: Option<tempfile::TempDir> },
    Remote(Endpoint),
}

/// The chain of one sandbox. Share it behind an `Arc`; every call may be made from any task.
#[derive(Debug)]
pub struct ChainControl {
    part: Part,
    client: Client,
    faucet: Arc<Mutex<Faucet>>,
}

impl ChainControl {
    /// Opens or makes the chain; a new one gets its first blocks.
    ///
    /// # Errors
    /// The folder is in use or damaged, the port is taken, or the real node does not start.
    pub async fn start(setup: Setup) -> Result<Self, Fault> {
        let key = match (&setup.seed, &setup.dir) {
            (Some(seed), _) => FaucetKey::from_seed(seed),
            (None, Some(dir)) => FaucetKey::open(dir)?,
            (None, None) => FaucetKey::random(),
        };
        let control = match &setup.bitcoind {
            Some(exe) => Self::real(exe, &setup, key).await?,
            None => Self::inner(&setup, key).await?,
        };
        let height = control.height().await?;
        control.mine(FIRST_BLOCKS.saturating_sub(height)).await?;
        Ok(control)
    }

    /// Drives a chain that another process runs, with that sandbox's faucet key: what
    /// `sandbox mine` and `sandbox fund` do.
    ///
    /// # Errors
    /// The HTTP client cannot be made on this machine.
    pub fn attach(endpoint: Endpoint, key: FaucetKey) -> Result<Self, Fault> {
        let client = Client::Http(HttpClient::new(endpoint.clone(), REMOTE_CALL)?);
        let faucet = Arc::new(Mutex::new(Faucet::new(key, client.clone())));
        Ok(Self { part: Part::Remote(endpoint), client, faucet })
    }

    async fn inner(setup: &Setup, key: FaucetKey) -> Result<Self, Fault> {
        let (chain, password) = match &setup.dir {
            Some(dir) => {
                let path = dir.clone();
                let chain =
                    tokio::task::spawn_blocking(move || Chain::open(&path, Clock::system()))
                        .await
                        .map_err(|e| Fault::Setup(e.to_string()))??;
                (chain, rpc::open_password(dir)?)
            }
            None => (Chain::in_memory(Clock::system()), rpc::random_password()),
        };
        let client = Client::Inner(chain.clone());
        let faucet = Arc::new(Mutex::new(Faucet::new(key, client.clone())));
        let server =
            RpcServer::start(chain.clone(), Arc::clone(&faucet), setup.port, password).await?;
        Ok(Self { part: Part::Inner { chain, server }, client, faucet })
    }

    async fn real(exe: &Path, setup: &Setup, key: FaucetKey) -> Result<Self, Fault> {
        let (dir, temporary) = match &setup.dir {
            Some(dir) => (dir.join("bitcoind"), None),
            None => {
                let made = tempfile::tempdir().map_err(|e| Fault::Setup(e.to_string()))?;
                (made.path().to_owned(), Some(made))
            }
        };
        let node = Bitcoind::start(exe, &dir, setup.port).await?;
        let client = node.client().clone();
        let faucet = Arc::new(Mutex::new(Faucet::new(key, client.clone())));
        Ok(Self { part: Part::Real { node, _temporary: temporary }, client, faucet })
    }

    /// Where nodes reach the chain.
    pub fn endpoint(&self) -> &Endpoint {
        match &self.part {
            Part::Inner { server, .. } => server.endpoint(),
            Part::Real { node, .. } => node.endpoint(),
            Part::Remote(endpoint) => endpoint,
        }
    }

    /// A caller of any RPC method.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The chain in the process, when it is not a real node's.
    pub fn chain(&self) -> Option<&Chain> {
        match &self.part {
            Part::Inner { chain, .. } => Some(chain),
            Part::Real { .. } | Part::Remote(_) => None,
        }
    }

    /// Height of the best block.
    ///
    /// # Errors
    /// The chain does not answer.
    pub async fn height(&self) -> Result<u32, Fault> {
        self.client.height().await
    }

    /// Height and hash of the best block.
    ///
    /// # Errors
    /// The chain does not answer.
    pub async fn tip(&self) -> Result<(u32, BlockHash), Fault> {
        let height = self.client.height().await?;
        Ok((height, self.client.hash_at(height).await?))
    }

    /// Mines `count` blocks of what waits; the rewards go to the faucet. Gives the new height.
    ///
    /// # Errors
    /// The chain does not answer or cannot write.
    pub async fn mine(&self, count: u32) -> Result<u32, Fault> {
        self.faucet.lock().await.mine(count).await?;
        self.height().await
    }

    /// Pays an address from the faucet; the payment waits for the next block.
    ///
    /// # Errors
    /// As `Faucet::pay`.
    pub async fn fund(&self, address: &Address, amount: Amount) -> Result<Txid, Fault> {
        self.fund_all(&[(address.clone(), amount)]).await
    }

    /// Pays several addresses in one transaction.
    ///
    /// # Errors
    /// As `Faucet::pay`.
    pub async fn fund_all(&self, payments: &[(Address, Amount)]) -> Result<Txid, Fault> {
        self.faucet.lock().await.pay(payments).await
    }

    /// Replaces the last `depth` blocks by `depth + 1` empty ones: what they confirmed waits again.
    /// Gives the new height.
    ///
    /// # Errors
    /// Deeper than `MAX_REORG` or than the chain, or the chain does not answer.
    pub async fn reorg(&self, depth: u32) -> Result<u32, Fault> {
        let height = self.height().await?;
        if depth == 0 || depth > MAX_REORG || depth >= height {
            return Err(Fault::Setup(format!("a reorganisation of {depth} blocks at {height}")));
        }
        let first = self.client.hash_at(height - depth + 1).await?;
        self.client.call("invalidateblock", json!([first])).await?;
        // An address nobody owns, another each time: two blocks must never be alike.
        let script = ScriptBuf::new_p2wsh(&WScriptHash::from_byte_array(first.to_byte_array()));
        let nobody = Address::from_script(&script, Network::Regtest)
            .map_err(|e| Fault::Setup(e.to_string()))?;
        for _ in 0..=depth {
            self.client.call("generateblock", json!([nobody.to_string(), []])).await?;
        }
        // The old branch is only lighter now, not forbidden.
        self.client.call("reconsiderblock", json!([first])).await?;
        self.height().await
    }

    /// A waiting or confirmed transaction.
    ///
    /// # Errors
    /// There is none, or the chain does not answer.
    pub async fn transaction(&self, txid: &Txid) -> Result<Transaction, Fault> {
        self.client.transaction(txid).await?.ok_or(Fault::UnknownTransaction(*txid))
    }

    /// How many blocks confirm a transaction; 0 while it waits.
    ///
    /// # Errors
    /// There is none, or the chain does not answer.
    pub async fn confirmations(&self, txid: &Txid) -> Result<u32, Fault> {
        let mut faucet = self.faucet.lock().await;
        let ledger = faucet.ledger().await?;
        ledger.transaction(txid).ok_or(Fault::UnknownTransaction(*txid))?;
        Ok(ledger.height_of(txid).map_or(0, |h| ledger.height() - h + 1))
    }

    /// What a transaction pays to a miner.
    ///
    /// # Errors
    /// There is no such transaction, it is a coinbase, or the chain does not answer.
    pub async fn fee_of(&self, txid: &Txid) -> Result<Amount, Fault> {
        let mut faucet = self.faucet.lock().await;
        faucet.ledger().await?.fee_of(txid).ok_or(Fault::UnknownTransaction(*txid))
    }

    /// The on-chain fees of everybody, in millisatoshis: of every transaction confirmed above
    /// height `since` or waiting now. The faucet's own payments are in it.
    ///
    /// # Errors
    /// The chain does not answer.
    pub async fn total_fees_msat(&self, since: u32) -> Result<u64, Fault> {
        let mut faucet = self.faucet.lock().await;
        Ok(faucet.ledger().await?.fees_since(since).to_sat() * 1_000)
    }

    /// Who spends an output, confirmed or waiting: for a channel's funding output, its close.
    ///
    /// # Errors
    /// The chain does not answer.
    pub async fn spender_of(&self, point: &OutPoint) -> Result<Option<Txid>, Fault> {
        let mut faucet = self.faucet.lock().await;
        Ok(faucet.ledger().await?.spender(point))
    }

    /// The outputs of a transaction that nobody has spent. Accounts need it after a force close:
    /// the two anchors of 330 sats belong to somebody's balance no longer and are no fee either.
    ///
    /// # Errors
    /// There is no such transaction, or the chain does not answer.
    pub async fn unspent_of(&self, txid: &Txid) -> Result<Vec<(OutPoint, TxOut)>, Fault> {
        let mut faucet = self.faucet.lock().await;
        faucet.ledger().await?.unspent_of(txid).ok_or(Fault::UnknownTransaction(*txid))
    }

    /// Stops in order: the inner chain closes its file, a real node is asked and waited for, a
    /// chain of another process runs on.
    ///
    /// # Errors
    /// The real node does not stop.
    pub async fn stop(self) -> Result<(), Fault> {
        match self.part {
            Part::Inner { .. } | Part::Remote(_) => Ok(()),
            Part::Real { node, .. } => node.stop().await,
        }
    }
}

//! Configuration: defaults, then file, then environment, then flags; each value knows where it came
//! from.
//!
//! The rule: a mistake is refused with its place (file, line, column, or the name of the variable or
//! flag) before anything is started, and a secret is shown to nobody.

mod error;
mod file;
mod key;
mod load;
mod secret;
mod value;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use bitcoin::secp256k1::PublicKey;
use url::Url;

pub use crate::market::{Budget, Network, Policy};
pub use error::{Error, Place};
pub use key::{KEYS, Key};
pub use load::Folders;
pub use secret::{Password, Secret};

/// Where a value came from; a later one wins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nobody said anything.
    Default,
    /// The configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// The line of the value, from 1.
        line: usize,
    },
    /// An environment variable.
    Env {
        /// Its name, `EARNEST_...`.
        name: String,
    },
    /// A flag of the command.
    Flag,
}

/// Everything that can be set, validated.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where keys, the store, the node and logs live.
    pub data_dir: PathBuf,
    /// Which chain the money is on.
    pub network: Network,
    /// Relays that are read and written, without duplicates.
    pub relays: Vec<Url>,
    /// Where blocks and fees come from; `None` only on regtest, where the sandbox is the chain.
    pub chain: Option<Chain>,
    /// Who opens just-in-time channels to us.
    pub lsp: Option<Lsp>,
    /// The address of a wallet elsewhere that pays (NIP-47), with its secret.
    pub payer: Option<Secret>,
    /// How bytes travel.
    pub iroh: Iroh,
    /// The most that is paid for a payment or a channel.
    pub fees: Fees,
    /// What is refused whatever a stranger offers.
    pub limits: Limits,
    /// What others may hold of ours, and what is said of jobs to the world.
    pub policy: Policy,
    /// What binds bots and agents.
    pub bot: Budget,
    /// What AI agents may do.
    pub mcp: Mcp,
    /// What is written about a run, and where.
    pub log: Log,
    shown: BTreeMap<&'static str, (String, Source)>,
}

/// A source of blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chain {
    /// A Bitcoin Core node by RPC.
    Bitcoind {
        /// Host name or address.
        host: String,
        /// RPC port.
        port: u16,
        /// RPC user; a cookie file names its own.
        user: String,
        /// RPC password.
        password: Password,
    },
    /// An Esplora server.
    Esplora {
        /// Base address of the API, without a slash at the end.
        url: Url,
    },
}

/// A Lightning service provider (bLIP-52, LSPS2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lsp {
    /// Its node.
    pub node_id: PublicKey,
    /// `host:port`.
    pub address: String,
    /// What it gave us to be let in.
    pub token: Option<Secret>,
}

impl Lsp {
    /// As people write it: `id@host:port`.
    pub fn peer(&self) -> String {
        format!("{}@{}", self.node_id, self.address)
    }
}

/// Which iroh relay helps two peers that cannot reach each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IrohRelay {
    /// None: direct connections only.
    Disabled,
    /// Those that n0 runs for everybody.
    Default,
    /// One's own.
    Url(Url),
}

/// How bytes travel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Iroh {
    /// The relay.
    pub relay: IrohRelay,
    /// Local address to listen on; port 0 takes a free one.
    pub bind: SocketAddr,
}

/// The most that is paid to others for moving money.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fees {
    /// Routing, in millionths of the amount.
    pub routing_ppm_max: u32,
    /// Routing, in sats on top of that.
    pub routing_base_max_sats: u64,
    /// A just-in-time channel, in millionths of the payment that opens it.
    pub lsp_ppm_max: u32,
}

/// What is refused whatever a stranger offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Highest price of a job, sats.
    pub max_price_sats: u64,
    /// Largest deliverable that is fetched or served, bytes.
    pub max_deliverable_bytes: u64,
    /// Largest input or attachment that is fetched, bytes.
    pub max_input_bytes: u64,
}

/// What AI agents may do, within the budget of all automation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mcp {
    /// They only say what they would do.
    pub dry_run: bool,
}

/// What is written about a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// `off`, `error`, `warn`, `info`, `debug` or `trace`.
    pub level: String,
    /// The file, as stdout belongs to the data and the screen.
    pub file: PathBuf,
}

impl Config {
    /// Where everything of this network lives: two networks never share a wallet.
    pub fn network_dir(&self) -> PathBuf {
        self.data_dir.join(value::network_name(self.network))
    }

    /// Where the value of `key` came from; `None` if there is no such key.
    pub fn source(&self, key: &str) -> Option<&Source> {
        self.shown.get(key).map(|(_, source)| source)
    }

    /// Every key in the order of [`KEYS`], its value as it would be written (secrets masked, empty if
    /// not set) and where it came from.
    pub fn explain(&self) -> Vec<(&'static str, String, Source)> {
        let row = |key: &Key| {
            let (value, source) = self.shown.get(key.name).cloned()?;
            Some((key.name, value, source))
        };
        KEYS.iter().filter_map(row).collect()
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Env { name } => write!(f, "${name}"),
            Self::Flag => f.write_str("flag"),
        }
    }
}

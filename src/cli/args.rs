//! The clap tree: the flags that every verb takes, and the verbs.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use super::session::Session;
use super::verb::{config, doctor, gigs, help, init, post, run, sandbox, show, verify_proof};
use super::{Exit, Failure, Out};

/// A market for gigs without a middleman: found over Nostr, delivered peer-to-peer, paid over Lightning.
#[derive(Debug, Parser)]
#[command(
    name = "earnest",
    version,
    disable_help_subcommand = true,
    after_help = "Without a command it opens its screen, on a terminal.\n`earnest help exit-codes` and `earnest help config` say more."
)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) globals: Globals,
    #[command(subcommand)]
    pub(super) verb: Option<Verb>,
}

/// Flags that stand before or after any verb.
#[derive(Debug, clap::Args)]
pub(super) struct Globals {
    /// Write JSON, one object a line
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// Never ask; fail where an answer is needed
    #[arg(long, global = true)]
    pub(super) no_input: bool,
    /// Where keys, store, node and logs live
    #[arg(long, global = true, value_name = "DIR", help_heading = CONFIG)]
    pub(super) data_dir: Option<PathBuf>,
    /// bitcoin, signet, testnet or regtest
    #[arg(long, global = true, value_name = "NAME", help_heading = CONFIG)]
    pub(super) network: Option<String>,
    /// A relay to read and write; repeat for more
    #[arg(long, global = true, value_name = "URL", help_heading = CONFIG)]
    pub(super) relay: Vec<String>,
    /// Blocks from this Esplora server
    #[arg(long, global = true, value_name = "URL", help_heading = CONFIG)]
    pub(super) chain_url: Option<String>,
    /// Blocks from bitcoind at this host
    #[arg(long, global = true, value_name = "HOST", help_heading = CONFIG)]
    pub(super) chain_host: Option<String>,
    /// Port of bitcoind's RPC
    #[arg(long, global = true, value_name = "PORT", help_heading = CONFIG)]
    pub(super) chain_port: Option<String>,
    /// User of bitcoind's RPC
    #[arg(long, global = true, value_name = "USER", help_heading = CONFIG)]
    pub(super) chain_user: Option<String>,
    /// File with the password of bitcoind's RPC, or its .cookie file
    #[arg(long, global = true, value_name = "FILE", help_heading = CONFIG)]
    pub(super) chain_password_file: Option<String>,
    /// Who opens the first channel: NODE_ID@HOST:PORT
    #[arg(long, global = true, value_name = "NODE", help_heading = CONFIG)]
    pub(super) lsp: Option<String>,
    /// Any other setting of `earnest help config`
    #[arg(long, global = true, value_name = "KEY=VALUE", value_parser = setting, help_heading = CONFIG)]
    pub(super) set: Vec<(String, String)>,
    /// File with the passphrase of the keys, readable by you alone
    #[arg(long, global = true, value_name = "FILE", help_heading = CONFIG)]
    pub(super) passphrase_file: Option<PathBuf>,
}

const CONFIG: &str = "Configuration";

fn setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

impl Globals {
    /// The flags as settings of the configuration.
    pub(super) fn settings(&self) -> Vec<(&str, String)> {
        let dir = self.data_dir.as_ref().map(|dir| dir.to_string_lossy().into_owned());
        let relays = (!self.relay.is_empty()).then(|| self.relay.join(","));
        let named = [
            ("data_dir", dir),
            ("network", self.network.clone()),
            ("relays", relays),
            ("chain.url", self.chain_url.clone()),
            ("chain.host", self.chain_host.clone()),
            ("chain.port", self.chain_port.clone()),
            ("chain.user", self.chain_user.clone()),
            ("chain.password_file", self.chain_password_file.clone()),
            ("lsp.node", self.lsp.clone()),
        ];
        let set = self.set.iter().map(|(key, value)| (key.as_str(), value.clone()));
        set.chain(named.into_iter().filter_map(|(key, value)| Some((key, value?)))).collect()
    }
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Make keys, or restore them
    Init(init::Init),
    /// Publish a gig
    Post(post::Post),
    /// Look for gigs
    Gigs(gigs::Gigs),
    /// Show one gig
    Show(show::Show),
    /// Keep jobs going without a screen
    Run(run::Run),
    /// Judge a fraud proof, offline
    VerifyProof(verify_proof::VerifyProof),
    /// Look whether everything works
    Doctor(doctor::Doctor),
    /// Show each setting and where it comes from
    Config(config::ShowConfig),
    /// Try everything on real parts without real money
    Sandbox(sandbox::Sandbox),
    /// Explain a verb or a topic
    Help(help::Help),
}

impl Verb {
    pub(super) fn run(&self, session: &Session, out: &mut Out) -> Result<Exit, Failure> {
        match self {
            Self::Init(verb) => verb.run(session, out),
            Self::Post(verb) => verb.run(session, out),
            Self::Gigs(verb) => verb.run(session, out),
            Self::Show(verb) => verb.run(session, out),
            Self::Run(verb) => verb.run(session, out),
            Self::VerifyProof(verb) => verb.run(session, out),
            Self::Doctor(verb) => verb.run(session, out),
            Self::Config(verb) => verb.run(session, out),
            Self::Sandbox(verb) => verb.run(session, out),
            Self::Help(verb) => verb.run(session, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_tree_is_sound() {
        super::Args::command().debug_assert();
    }
}

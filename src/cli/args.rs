//! The clap tree: the flags that every verb takes, and the verbs.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use super::session::Session;
use super::verb::{
    accept, approve, award, bid, bot, cancel, close, decline, deliver, dispute, files, fund, job,
    jobs, judge, mcp, mute, note, object, people, rate, reject, relays, watch, withdraw,
};
use super::verb::{
    check, config, doctor, gigs, help, init, post, run, sandbox, show, verify_proof,
};
use super::verb::{completions, man, relay, relay_policy, schema, wallet};
use super::{Exit, Failure, Out};

/// A market for gigs without a middleman: found over Nostr, delivered peer-to-peer, paid over Lightning.
#[derive(Debug, Parser)]
#[command(
    name = "earnest",
    version,
    disable_help_subcommand = true,
    after_help = "Without a command it opens its screen, on a terminal.\n`earnest help` with exit-codes, config, phases or json says more."
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
    /// Offer to do a gig
    Bid(bid::Bid),
    /// Take a bid back
    Withdraw(withdraw::Withdraw),
    /// Give the job to a bidder
    Award(award::Award),
    /// Say no to a bid
    Decline(decline::Decline),
    /// Show jobs and bids, on either side
    Jobs(jobs::Jobs),
    /// Show one job whole
    Job(job::Job),
    /// Write to the other side of a job
    Note(note::Note),
    /// Show or copy out the files of a job
    Files(files::Files),
    /// Hand the work over
    Deliver(deliver::Deliver),
    /// Lock the money of a job in escrow
    Fund(fund::Fund),
    /// Pay for what was delivered
    Accept(accept::Accept),
    /// Let a bot or an agent do what it may not decide alone
    Approve(approve::Approve),
    /// Send a delivery back
    Reject(reject::Reject),
    /// Call the judge of a job in escrow
    Dispute(dispute::Dispute),
    /// Answer what the other side says to the judge
    Object(object::Object),
    /// Stop a job that nothing was paid for
    Cancel(cancel::Cancel),
    /// Take no more bids on a gig of yours
    Close(close::Close),
    /// Give the other side stars
    Rate(rate::Rate),
    /// Show whom you had to do with
    People(people::People),
    /// Do not show somebody's gigs and bids
    Mute(mute::Mute),
    /// Show how each relay is doing
    Relays(relays::Relays),
    /// Tell what happens, as it happens
    Watch(watch::Watch),
    /// Look at what bots and agents may do, and stop them
    Bot(bot::Bot),
    /// Keep jobs going without a screen
    Run(run::Run),
    /// Judge escrows, by a program or by hand
    Judge(judge::Judge),
    /// Serve an AI agent over MCP
    Mcp(mcp::Mcp),
    /// Judge a fraud proof, offline
    VerifyProof(verify_proof::VerifyProof),
    /// Run a check on a file, or name one
    Check(check::CheckVerb),
    /// Look whether everything works
    Doctor(doctor::Doctor),
    /// Show each setting and where it comes from
    Config(config::ShowConfig),
    /// Try everything on real parts without real money
    Sandbox(sandbox::Sandbox),
    // The wallet, what operators run, and what shells and man read.
    /// Look at the wallet, receive, pay, open and close channels
    Wallet(wallet::Wallet),
    /// Run a relay for gigs
    Relay(relay::Relay),
    /// Judge events for strfry
    RelayPolicy(relay_policy::RelayPolicy),
    /// Print completions for a shell
    Completions(completions::Completions),
    /// Print the JSON Schema of what a verb prints
    Schema(schema::Schema),
    /// Print the manual page
    Man(man::Man),
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
            Self::Bid(verb) => verb.run(session, out),
            Self::Withdraw(verb) => verb.run(session, out),
            Self::Award(verb) => verb.run(session, out),
            Self::Decline(verb) => verb.run(session, out),
            Self::Jobs(verb) => verb.run(session, out),
            Self::Job(verb) => verb.run(session, out),
            Self::Note(verb) => verb.run(session, out),
            Self::Files(verb) => verb.run(session, out),
            Self::Deliver(verb) => verb.run(session, out),
            Self::Accept(verb) => verb.run(session, out),
            Self::Approve(verb) => verb.run(session, out),
            Self::Bot(verb) => verb.run(session, out),
            Self::Fund(verb) => verb.run(session, out),
            Self::Reject(verb) => verb.run(session, out),
            Self::Dispute(verb) => verb.run(session, out),
            Self::Object(verb) => verb.run(session, out),
            Self::Judge(verb) => verb.run(session, out),
            Self::Cancel(verb) => verb.run(session, out),
            Self::Close(verb) => verb.run(session, out),
            Self::Rate(verb) => verb.run(session, out),
            Self::People(verb) => verb.run(session, out),
            Self::Mute(verb) => verb.run(session, out),
            Self::Relays(verb) => verb.run(session, out),
            Self::Watch(verb) => verb.run(session, out),
            Self::Run(verb) => verb.run(session, out),
            Self::Mcp(verb) => verb.run(session, out),
            Self::VerifyProof(verb) => verb.run(session, out),
            Self::Check(verb) => verb.run(session, out),
            Self::Doctor(verb) => verb.run(session, out),
            Self::Config(verb) => verb.run(session, out),
            Self::Sandbox(verb) => verb.run(session, out),
            Self::Wallet(verb) => verb.run(session, out),
            Self::Relay(verb) => verb.run(session, out),
            Self::RelayPolicy(verb) => verb.run(session, out),
            Self::Completions(verb) => verb.run(session, out),
            Self::Schema(verb) => verb.run(session, out),
            Self::Man(verb) => verb.run(session, out),
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

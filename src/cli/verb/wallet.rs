//! `earnest wallet`: the node's money by hand, outside of any job.
//!
//! The rule: nothing leaves without a yes that has seen amount, fee and destination, and every sentence
//! says whether money moved.

mod amount;
mod receive;
mod send;
mod show;

use std::time::Duration;

pub(in crate::cli) use receive::{Address, Invoice};
pub(in crate::cli) use send::{Closing, Opening, Paid, Sent};
pub(in crate::cli) use show::Balance;

use crate::cli::session::{Session, wait_until};
use crate::cli::{Exit, Failure, Out};
use crate::engine::{Handle, NodeStatus, Trouble, WalletAnswer, WalletCommand};

/// Look at the wallet, receive, pay, open and close channels.
///
/// Amounts are satoshis: 1500, 1,500 or 1500sat; 1500msat are millisatoshis. What is promised to workers
/// whose jobs you awarded is kept: what would leave less is refused.
#[derive(Debug, clap::Args)]
pub(crate) struct Wallet {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show what there is, and what of it is promised
    Balance,
    /// Make an invoice, or an address with --onchain
    Receive(receive::Receive),
    /// Send coins on the chain
    Send(send::Send),
    /// Pay an invoice, an offer, an address or a bitcoin: URI
    Pay(send::Pay),
    /// List the channels
    Channels,
    /// Open a channel
    Open(send::Open),
    /// Close a channel
    Close(send::Close),
    /// List what came in and went out, the newest first
    History(show::History),
}

impl Wallet {
    pub(crate) fn run(&self, session: &Session, out: &mut Out) -> Result<Exit, Failure> {
        // Before anything is opened: what cannot be asked is not begun.
        match &self.action {
            Action::Send(send::Send { yes, .. })
            | Action::Pay(send::Pay { yes, .. })
            | Action::Open(send::Open { yes, .. })
            | Action::Close(send::Close { yes, .. }) => may_confirm(*yes, session)?,
            _ => {}
        }
        session.with_engine(out, "earnest wallet", async |handle, out| match &self.action {
            Action::Balance => show::balance(handle, out).await,
            Action::Receive(receive) => receive.run(handle, out).await,
            Action::Send(send) => send.run(handle, out).await,
            Action::Pay(pay) => pay.run(handle, out).await,
            Action::Channels => show::channels(handle, out).await,
            Action::Open(open) => open.run(handle, out).await,
            Action::Close(close) => close.run(handle, out).await,
            Action::History(history) => history.run(handle, out).await,
        })
    }
}

fn may_confirm(yes: bool, session: &Session) -> Result<(), Failure> {
    if yes || session.may_ask() {
        return Ok(());
    }
    let said = "This moves money, and there is no terminal to ask on. No money moved.";
    Err(Failure::new(Exit::Usage, "needs-yes", said).next("Say --yes if you are sure"))
}

/// How long a node that was just started may take to find its peers again.
const PEERS_COME: Duration = Duration::from_secs(15);

/// Waits a little for a node that was just started, until `is` holds of it.
async fn settled(handle: &Handle, is: impl Fn(&NodeStatus) -> bool) {
    wait_until(handle, PEERS_COME, |shown| shown.node.as_ref().is_some_and(&is)).await;
}

/// Whether payments can go out, or never will.
fn can_send(node: &NodeStatus) -> bool {
    node.channels_usable > 0 || node.channels == 0
}

/// Asks the wallet; what it refuses for want of money has a status of its own.
async fn ask(handle: &Handle, command: WalletCommand) -> Result<WalletAnswer, Failure> {
    handle.wallet(command).await.map_err(|trouble| {
        let funds = matches!(&trouble, Trouble::Refused(refusal) if refusal.code == "no-funds");
        let failure = Failure::from(trouble);
        match funds {
            true => {
                let failure = Failure { exit: Exit::Funds, ..failure };
                failure.next("earnest wallet receive AMOUNT").next("earnest wallet balance")
            }
            false => failure,
        }
    })
}

/// An answer to another question: two programs that do not fit each other.
fn astray() -> Failure {
    let said = "The wallet answered another question. Look at the history before you ask again.";
    Failure::new(Exit::Failed, "astray", said).next("earnest wallet history")
}

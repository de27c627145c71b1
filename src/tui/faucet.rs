//! The faucet of a sandbox, as the screen of the wallet asks it: play money, and nothing else.

use tokio::sync::{mpsc, oneshot};

use crate::engine::{Handle, WalletAnswer, WalletCommand};
use crate::market::Msat;
use crate::tui::Said;

/// What is given at once: enough for a channel of the size that the form proposes, its fee on the chain, and
/// what the node keeps to close it with.
const SATS: u64 = 200_000;

/// Coins that somebody wants. Whoever keeps the faucet answers when they are in a block.
#[derive(Debug)]
pub struct Wanted {
    /// Where to.
    pub address: String,
    /// How many.
    pub sats: u64,
    /// Whether they were given, and if not, why, for a person.
    pub given: oneshot::Sender<Result<(), String>>,
}

/// The way to a faucet. Who has none is in the world, where coins cost something.
pub type Faucet = mpsc::Sender<Wanted>;

/// Has coins sent to a fresh address of ours; how many.
pub(super) async fn coins(handle: &Handle, faucet: Option<Faucet>) -> Result<Msat, Said> {
    let dry = || Said::new("The faucet does not answer: the sandbox is closing.");
    let faucet = faucet.ok_or_else(dry)?;
    let address = match handle.wallet(WalletCommand::NewAddress).await {
        Ok(WalletAnswer::Address(address)) => address,
        Ok(_) => return Err(Said::new("The node named no address. No coin was sent.")),
        Err(why) => return Err(why.into()),
    };
    let (given, answered) = oneshot::channel();
    faucet.send(Wanted { address, sats: SATS, given }).await.map_err(|_| dry())?;
    answered.await.map_err(|_| dry())?.map_err(Said::new)?;
    Ok(Msat::sats(SATS).unwrap_or(Msat::ZERO))
}

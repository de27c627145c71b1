//! Invoices and addresses to be paid to.

use serde::Serialize;

use super::{amount, ask, astray, settled};
use crate::cli::{Exit, Failure, Out};
use crate::engine::{Handle, WalletAnswer, WalletCommand};
use crate::market::Msat;

#[derive(Debug, clap::Args)]
pub(super) struct Receive {
    /// How much; the payer decides if left out
    #[arg(value_parser = amount::amount)]
    amount: Option<Msat>,
    /// What the payer reads
    #[arg(long, value_name = "TEXT", default_value = "")]
    description: String,
    /// An address of the chain instead of an invoice
    #[arg(long, conflicts_with_all = ["amount", "description"])]
    onchain: bool,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Invoice<'a> {
    invoice: &'a str,
    amount: Option<Msat>,
    lsp_fee: Msat,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Address<'a> {
    address: &'a str,
}

impl Receive {
    pub(super) async fn run(&self, handle: &Handle, out: &mut Out) -> Result<Exit, Failure> {
        if self.onchain {
            let WalletAnswer::Address(address) = ask(handle, WalletCommand::NewAddress).await?
            else {
                return Err(astray());
            };
            out.record(&Address { address: &address })?;
            out.line(&address)?;
            out.say("A fresh address. What arrives counts after its confirmations.")?;
            return Ok(Exit::Done);
        }
        // A channel that is only asleep is better than one that costs a fee.
        settled(handle, |node| {
            node.channels_usable > 0 || (node.channels == 0 && node.least_first.is_some())
        })
        .await;
        let description = self.description.clone();
        let command = WalletCommand::Receive { amount: self.amount, description };
        let WalletAnswer::Invoice { invoice, lsp_fee } = ask(handle, command).await? else {
            return Err(astray());
        };
        out.record(&Invoice { invoice: &invoice, amount: self.amount, lsp_fee })?;
        out.line(&invoice)?;
        if lsp_fee > Msat::ZERO {
            let rest = self.amount.unwrap_or_default().saturating_sub(lsp_fee);
            out.say(&format!(
                "This opens your first channel: the LSP keeps {lsp_fee} of it, and {rest} arrive."
            ))?;
        }
        out.say("It is paid while earnest runs: keep it open, or start earnest run.")?;
        Ok(Exit::Done)
    }
}

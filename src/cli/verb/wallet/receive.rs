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
    /// A bitcoin: URI (BIP 21) with an invoice and an address: for whoever pays over Lightning or on the chain
    #[arg(long, conflicts_with = "onchain")]
    uri: bool,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Invoice<'a> {
    invoice: &'a str,
    amount: Option<Msat>,
    lsp_fee: Msat,
    /// With --uri: the same, and a fresh address for who does not pay over Lightning.
    #[serde(skip_serializing_if = "Option::is_none")]
    uri: Option<String>,
}

/// A BIP 21 URI that asks for so much. An amount of the chain has no thousandths: it is rounded up.
fn uri(address: &str, amount: Option<Msat>, invoice: &str) -> String {
    let amount = amount.map_or(String::new(), |amount| {
        let sats = bitcoin::Amount::from_sat(amount.get().div_ceil(1000));
        format!("amount={}&", sats.to_string_in(bitcoin::Denomination::Bitcoin))
    });
    format!("bitcoin:{address}?{amount}lightning={invoice}")
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
        let mut shown = Invoice { invoice: &invoice, amount: self.amount, lsp_fee, uri: None };
        if self.uri {
            let WalletAnswer::Address(address) = ask(handle, WalletCommand::NewAddress).await?
            else {
                return Err(astray());
            };
            shown.uri = Some(uri(&address, self.amount, &invoice));
        }
        out.record(&shown)?;
        out.line(shown.uri.as_deref().unwrap_or(&invoice))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_asks_for_bitcoin_and_not_less_than_the_invoice() {
        let asks = |msat: u64| uri("bcrt1q", Msat::new(msat), "lnbc1");
        assert_eq!(asks(20_000_000), "bitcoin:bcrt1q?amount=0.0002&lightning=lnbc1");
        assert_eq!(asks(1_001), "bitcoin:bcrt1q?amount=0.00000002&lightning=lnbc1");
        assert_eq!(uri("bcrt1q", None, "lnbc1"), "bitcoin:bcrt1q?lightning=lnbc1");
    }
}

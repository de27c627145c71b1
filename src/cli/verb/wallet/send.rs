//! What moves money: coins, payments, channels. Each is shown and asked for before it is done.

use std::path::Path;

use serde::Serialize;

use super::{amount, ask, astray, can_send, settled, show};
use crate::cli::session::{ask_line, read_bytes};
use crate::cli::{Exit, Failure, Money, Out};
use crate::engine::{
    ChannelInfo, HandPayment, Handle, PayKind, PayQuote, WalletAnswer, WalletCommand,
};
use crate::market::Msat;

/// The longest text that is read from stdin as something to pay.
const LONGEST: u64 = 16 * 1024;

#[derive(Debug, clap::Args)]
pub(super) struct Send {
    /// To whom; an address of this network
    address: String,
    /// How much; the chain's fee comes on top
    #[arg(value_parser = amount::sats)]
    amount: u64,
    /// Send without asking
    #[arg(long)]
    pub(super) yes: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Pay {
    /// An invoice (BOLT 11), an offer (BOLT 12), an address or a bitcoin: URI; - reads it from stdin
    #[arg(value_name = "WHAT")]
    to: String,
    /// How much, where WHAT leaves it open
    #[arg(value_parser = amount::amount)]
    amount: Option<Msat>,
    /// The most to pay for routing; one percent and at least 10 sat if left out
    #[arg(long, value_name = "AMOUNT", value_parser = amount::fee)]
    max_fee: Option<Msat>,
    /// Pay without asking
    #[arg(long)]
    pub(super) yes: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Open {
    /// With whom: NODE_ID@HOST:PORT
    peer: String,
    /// Its size; all of it is yours, and a little is reserve
    #[arg(value_parser = amount::sats)]
    amount: u64,
    /// Open without asking
    #[arg(long)]
    pub(super) yes: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Close {
    /// Its id, or the beginning of it that no other has
    channel: String,
    /// Without the peer's consent: your side is locked for some days
    #[arg(long)]
    force: bool,
    /// Close without asking
    #[arg(long)]
    pub(super) yes: bool,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Sent<'a> {
    sent: bool,
    txid: &'a str,
    address: &'a str,
    amount: Msat,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Paid<'a> {
    paid: bool,
    /// Whether it was paid before this command.
    earlier: bool,
    kind: PayKind,
    payee: Option<&'a str>,
    amount: Msat,
    fee: Msat,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Opening<'a> {
    opening: &'a str,
    peer: &'a str,
    amount: Msat,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Closing<'a> {
    closing: &'a str,
    force: bool,
}

impl Send {
    pub(super) async fn run(&self, handle: &Handle, out: &mut Out) -> Result<Exit, Failure> {
        let amount = Msat::sats(self.amount).unwrap_or(Msat::MAX);
        let to = self.address.clone();
        let quote = quote(handle, to, Some(amount), None).await?;
        if quote.kind != PayKind::Onchain {
            let said = "This is no address of the chain. No money moved.";
            return Err(Failure::new(Exit::Usage, "no-address", said)
                .next("earnest wallet pay WHAT, for an invoice or an offer"));
        }
        confirm(&question(&quote), self.yes)?;
        send(handle, &quote, out).await
    }
}

/// Coins that were confirmed by a person, on their way.
async fn send(handle: &Handle, quote: &PayQuote, out: &mut Out) -> Result<Exit, Failure> {
    let address = quote.payee.clone().unwrap_or_default();
    let sats = quote.amount.whole_sats();
    let command = WalletCommand::SendOnchain { address: address.clone(), sats };
    let WalletAnswer::Sent { txid } = ask(handle, command).await? else { return Err(astray()) };
    out.record(&Sent { sent: true, txid: &txid, address: &address, amount: quote.amount })?;
    out.line(&txid)?;
    out.say(&format!(
        "Sent {} to {address}, and the chain's fee. It confirms with the next blocks.",
        quote.amount
    ))?;
    Ok(Exit::Done)
}

impl Pay {
    pub(super) async fn run(&self, handle: &Handle, out: &mut Out) -> Result<Exit, Failure> {
        let to = self.what()?;
        settled(handle, can_send).await;
        let quote = quote(handle, to.clone(), self.amount, self.max_fee).await?;
        match &quote.earlier {
            Some(HandPayment::Paid { fee }) => {
                told(&quote, *fee, true, out)?;
                out.say("It was paid before. Nothing was paid now.")?;
                return Ok(Exit::Done);
            }
            Some(_) => return Err(in_flight(quote.kind)),
            None => confirm(&question(&quote), self.yes)?,
        }
        if quote.kind == PayKind::Onchain {
            return send(handle, &quote, out).await;
        }
        out.say(&format!("Paying {} ...", quote.amount))?;
        let (amount, max_fee) = (Some(quote.amount), quote.max_fee);
        let command = WalletCommand::Pay { to, amount, max_fee };
        let WalletAnswer::Payment(payment) = ask(handle, command).await? else {
            return Err(astray());
        };
        match payment {
            HandPayment::Paid { fee } => {
                told(&quote, fee, false, out)?;
                out.say(&format!("Paid {}, and {fee} for routing.", quote.amount))?;
                Ok(Exit::Done)
            }
            HandPayment::InFlight => Err(in_flight(quote.kind)),
            HandPayment::Failed { reason } => {
                Err(Failure::new(Exit::Failed, "not-paid", reason).next("earnest wallet channels"))
            }
        }
    }

    fn what(&self) -> Result<String, Failure> {
        if self.to != "-" {
            return Ok(self.to.clone());
        }
        let bytes = read_bytes(Path::new("-"), LONGEST)?;
        let text = std::str::from_utf8(&bytes).map(|text| text.trim().to_owned());
        text.map_err(|_| Failure::new(Exit::Usage, "not-text", "That is not text. No money moved."))
    }
}

impl Open {
    pub(super) async fn run(&self, handle: &Handle, out: &mut Out) -> Result<Exit, Failure> {
        let amount = Msat::sats(self.amount).unwrap_or(Msat::MAX);
        let question = format!(
            "Open a channel of {amount} with {}? The coins stay yours; the chain's fee comes on top.",
            self.peer
        );
        confirm(&question, self.yes)?;
        let command = WalletCommand::OpenChannel { peer: self.peer.clone(), sats: self.amount };
        let WalletAnswer::Opened { id } = ask(handle, command).await? else {
            return Err(astray());
        };
        out.record(&Opening { opening: &id, peer: &self.peer, amount })?;
        out.line(&id)?;
        out.say(
            "The channel is being opened: its coins are in it and stay yours. It can be used after its \
             confirmations, while earnest runs: earnest wallet channels",
        )?;
        Ok(Exit::Done)
    }
}

impl Close {
    pub(super) async fn run(&self, handle: &Handle, out: &mut Out) -> Result<Exit, Failure> {
        settled(handle, can_send).await;
        let channel = self.find(show::list(handle).await?)?;
        let how = match self.force {
            true => "by force: your side is locked for some days, and comes home by itself",
            false => "with the peer's consent: your side comes home after its confirmations",
        };
        let question = format!(
            "Close the channel {} of {} with {}, {how}. The chain's fee is paid from it.",
            channel.id,
            channel.size,
            channel.peer.short()
        );
        confirm(&question, self.yes)?;
        let command = WalletCommand::CloseChannel { id: channel.id.clone(), force: self.force };
        let WalletAnswer::Closing = ask(handle, command).await? else { return Err(astray()) };
        out.record(&Closing { closing: &channel.id, force: self.force })?;
        out.line(&channel.id)?;
        out.say("The channel is being closed. Your side of it is on its way home.")?;
        Ok(Exit::Done)
    }

    fn find(&self, channels: Vec<ChannelInfo>) -> Result<ChannelInfo, Failure> {
        let wanted = self.channel.to_ascii_lowercase();
        let mut fits = channels.into_iter().filter(|c| c.id.starts_with(&wanted));
        let failed = |exit, code, said: String| {
            Err(Failure::new(exit, code, said).next("earnest wallet channels"))
        };
        match (fits.next(), fits.next()) {
            (Some(one), None) if !wanted.is_empty() => Ok(one),
            (None, _) => failed(
                Exit::NotFound,
                "no-channel",
                format!("There is no channel {}. Nothing was closed.", self.channel),
            ),
            _ => failed(
                Exit::Usage,
                "ambiguous",
                format!("More than one channel begins with {}. Nothing was closed.", self.channel),
            ),
        }
    }
}

async fn quote(
    handle: &Handle,
    to: String,
    amount: Option<Msat>,
    max_fee: Option<Msat>,
) -> Result<PayQuote, Failure> {
    match ask(handle, WalletCommand::Quote { to, amount, max_fee }).await? {
        WalletAnswer::Quote(quote) => Ok(quote),
        _ => Err(astray()),
    }
}

/// Amount, fee and destination, in one sentence.
fn question(quote: &PayQuote) -> String {
    let PayQuote { kind, amount, max_fee, .. } = quote;
    let payee = quote.payee.as_deref().unwrap_or("whoever made the offer");
    let mut said = match kind {
        PayKind::Onchain => format!("Send {amount} to {payee}, and the chain's fee on top"),
        PayKind::Bolt11 | PayKind::Bolt12 => {
            format!("Pay {amount} and at most {max_fee} of fees to {payee}")
        }
    };
    if let Some(words) = &quote.description {
        said.push_str(&format!(", who says it is for: {}", words.as_str()));
    }
    said.push_str(match kind {
        PayKind::Bolt11 => ".",
        PayKind::Bolt12 | PayKind::Onchain => ". Asked for again it is paid again.",
    });
    said
}

fn told(quote: &PayQuote, fee: Msat, earlier: bool, out: &mut Out) -> Result<(), Failure> {
    let PayQuote { kind, amount, payee, .. } = quote;
    let (kind, amount, payee) = (*kind, *amount, payee.as_deref());
    Ok(out.record(&Paid { paid: true, earlier, kind, payee, amount, fee })?)
}

fn in_flight(kind: PayKind) -> Failure {
    let (exit, said) = match kind {
        PayKind::Bolt11 => (
            Exit::Offline,
            "The payment is on its way and has not come to an end yet. Asked for again it is not sent \
             twice.",
        ),
        PayKind::Bolt12 | PayKind::Onchain => (
            Exit::Failed,
            "The payment is on its way and has not come to an end yet. Do not pay the offer again \
             before it has: that would be a second payment.",
        ),
    };
    Failure::new(exit, "in-flight", said).money(Money::Held).next("earnest wallet history")
}

/// Asks a person, unless the yes was said already. Anything but yes is no.
fn confirm(question: &str, yes: bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    // A stranger's words are in it.
    let clean = crate::text::Raw::from(question).clean(crate::text::Limit::one_line(2_000));
    let answer = ask_line(&format!("{} [y/N] ", clean.as_str()))?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::new(Exit::Interrupted, "not-confirmed", "Not done, as you said.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{Limit, Raw};

    #[test]
    fn the_question_names_amount_fee_and_destination() {
        let sats = |n| Msat::sats(n).unwrap();
        let quote = PayQuote {
            kind: PayKind::Bolt11,
            payee: Some("02ab".into()),
            amount: sats(21_000),
            max_fee: sats(210),
            description: Some(Raw::from("cats").clean(Limit::TITLE)),
            expires_at: None,
            earlier: None,
        };
        assert_eq!(
            question(&quote),
            "Pay 21,000 sat and at most 210 sat of fees to 02ab, who says it is for: cats."
        );
        let offer = PayQuote { kind: PayKind::Bolt12, payee: None, description: None, ..quote };
        assert_eq!(
            question(&offer),
            "Pay 21,000 sat and at most 210 sat of fees to whoever made the offer. Asked for again it is \
             paid again."
        );
        let coins = PayQuote { kind: PayKind::Onchain, payee: Some("bc1q".into()), ..offer };
        assert_eq!(
            question(&coins),
            "Send 21,000 sat to bc1q, and the chain's fee on top. Asked for again it is paid again."
        );
    }
}

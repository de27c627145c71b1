//! `earnest bid`: offers to do a gig.

use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;

use crate::cli::complete;
use crate::cli::deed::{Told, finish, is_sent, until};
use crate::cli::session::{Session, wait_until};
use crate::cli::verb::gigs;
use crate::cli::{Exit, Failure, Out, name};
use crate::config::Fees;
use crate::engine::{Command, GigView, Handle, Net, Receipt, Snapshot, Trouble};
use crate::market::{self, EventId, Msat, Wish};

/// Offer to do a gig.
///
/// Signs the complete terms and sends them to the requester alone. Costs nothing but a moment of proof
/// of work. Says first what you would net, what your LSP may keep of it and what you could spend at once.
#[derive(Debug, clap::Args)]
pub(crate) struct Bid {
    /// The gig, or the beginning of its id
    #[arg(add = complete::gigs())]
    gig: String,
    /// What you ask for it; the gig's price if left out
    #[arg(long, value_name = "SATS", allow_hyphen_values = true)]
    price: Option<Msat>,
    /// How it is handed over and paid; the gig's first if left out
    #[arg(long, value_name = "MODE")]
    mode: Option<Mode>,
    /// In how many parts it is paid, sealed only; one if left out
    #[arg(long, value_name = "COUNT")]
    tranches: Option<u32>,
    /// Words for the requester; repeat for more lines
    #[arg(long, value_name = "TEXT")]
    message: Vec<String>,
    /// Seconds to wait for relays; 0 does not wait
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    wait: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Mode {
    /// Encrypted: the payment is the key
    Sealed,
    /// In the open, paid on acceptance
    Direct,
    /// Locked at your node before the work, released by the requester or a judge
    Escrow,
}

/// A node that just started hears from its LSP in this time.
const TERMS_COME: Duration = Duration::from_secs(10);

impl Bid {
    pub(crate) fn run(&self, session: &Session, out: &mut Out) -> Result<Exit, Failure> {
        const LIST: &str = "earnest gigs";
        let config = session.config()?;
        let id = name::beginning(&self.gig, LIST)?;
        let mode = self.mode.map(|mode| match mode {
            Mode::Sealed => market::Mode::Sealed,
            Mode::Direct => market::Mode::Direct,
            Mode::Escrow => market::Mode::Escrow,
        });
        let wish = Wish { mode, price: self.price, tranches: self.tranches };
        let patience = Duration::from_secs(self.wait);
        session.with_jobs(out, "earnest bid", async |handle, out| {
            let found = name::gig(handle, &config, &id, patience, out).await?;
            let gig = found.only("gig", &id, LIST)?;
            let net = self.net(handle, &config.fees, &gig).await;
            if !out.is_json() {
                self.say_net(net.as_ref(), &gig, mode, out)?;
            }
            let receipt = self.ask(handle, gig.id, wish).await?;
            let (now, sent) = until(handle, receipt, patience, is_sent).await?;
            let told = Told {
                amount: Some(now.whole()),
                lsp_fee_most: net.map(|net| net.lsp_fee),
                net_least: net.map(|net| net.least),
                spendable_most: net.map(|net| net.spendable),
                ..Told::named("bid", &now, "sent")
            };
            let more = gig.asks_more(now.price).map(|more| format!(" {more}")).unwrap_or_default();
            let done = format!(
                "Bid {} is with the requester: {}, {}, on \"{}\".{more} No money moved. The answer comes \
                 while earnest runs, within {}.",
                now.id.short(),
                now.price,
                gigs::mode(now.mode),
                now.title.or("(no title)"),
                now.deadline.map(|at| crate::app::now().until(at)).unwrap_or_default(),
            );
            finish(told, &now, (sent, 0, patience), &done, out)
        })
    }

    /// What it would bring, once the node knows. What cannot be received the market refuses, and says why.
    async fn net(&self, handle: &Handle, fees: &Fees, gig: &GigView) -> Option<Net> {
        wait_until(handle, TERMS_COME.min(Duration::from_secs(self.wait)), knows_terms).await;
        let parts = match gig.milestones.is_empty() {
            true => vec![self.price.unwrap_or(gig.price)],
            false => gig.milestones.iter().map(|part| part.price).collect(),
        };
        let cap = (u64::from(fees.lsp_ppm_max), crate::app::MOST_LSP_FEE);
        handle.watch().borrow().node.as_ref()?.nets(&parts, cap).ok()
    }

    /// Says it before anything is signed.
    fn say_net(
        &self,
        net: Option<&Net>,
        gig: &GigView,
        mode: Option<market::Mode>,
        out: &mut Out,
    ) -> Result<(), Failure> {
        if let Some(net) = net {
            out.say(&format!("You ask {}. You net {}.", net.price, net.words()))?;
            out.say(&net.at_once())?;
        }
        let mode = mode.or(gig.modes.first().copied());
        let locks = gig.modes.contains(&market::Mode::Escrow)
            && (!gig.milestones.is_empty() || mode == Some(market::Mode::Escrow));
        if let Some((_, risk)) = gig.escrow.as_ref().filter(|_| locks) {
            out.say(risk)?;
        }
        Ok(())
    }

    /// Asks, once more where the market had not heard yet of what the node knows by now.
    async fn ask(&self, handle: &Handle, gig: EventId, wish: Wish) -> Result<Receipt, Failure> {
        let message = self.message.join("\n");
        let bid = || Command::Bid { gig, wish, message: message.clone() };
        match handle.ask(bid()).await {
            Err(Trouble::Refused(why)) if why.code == "no-inbound" => {
                let knows = knows_terms(&handle.watch().borrow().clone());
                if !knows {
                    return Err(Trouble::Refused(why).into());
                }
                Ok(handle.ask(bid()).await?)
            }
            other => Ok(other?),
        }
    }
}

/// Whether the node has heard what it can receive.
fn knows_terms(now: &Arc<Snapshot>) -> bool {
    now.node.as_ref().is_some_and(|node| node.least_first.is_some())
}

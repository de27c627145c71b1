//! `earnest show`: one gig, whole.

use std::time::Duration;

use super::gigs::mode;
use crate::app::Book;
use crate::cli::complete;
use crate::cli::name::{self, Found, Search};
use crate::cli::session::{Session, not_started};
use crate::cli::{Exit, Failure, Out};
use crate::engine::GigView;
use crate::market::{EventId, Mode, Status, Time, longest_hold};

/// Show one gig.
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// Its id, or the beginning of it
    #[arg(add = complete::gigs())]
    id: String,
    /// Ask no relay: only what is on this machine
    #[arg(long)]
    offline: bool,
    /// Seconds to wait for relays, where the gig is not known yet
    #[arg(long, value_name = "SECONDS", default_value_t = 8)]
    wait: u64,
}

impl Show {
    pub(crate) fn run(&self, session: &Session, out: &mut Out) -> Result<Exit, Failure> {
        let config = session.config()?;
        let id = name::beginning(&self.id, "earnest gigs")?;
        let found = if self.offline {
            let book = Book::open(&config, "earnest show").map_err(|why| not_started(&why))?;
            match id.parse::<EventId>() {
                Ok(id) => book.gig(&id)?.map_or(Found::None, |gig| Found::One(Box::new(gig))),
                Err(_) => {
                    let mut search = Search::new(&config, &id);
                    while let Some(query) = search.next_window() {
                        search.take(book.find(&query, crate::app::now())?);
                    }
                    search.end()
                }
            }
        } else {
            let patience = Duration::from_secs(self.wait);
            session.with_engine(out, "earnest show", async |handle, out| {
                name::gig(handle, &config, &id, patience, out).await
            })?
        };
        let gig = found.only("gig", &id, "earnest gigs --all")?;
        show(&gig, crate::app::now(), out)?;
        Ok(Exit::Done)
    }
}

fn show(gig: &GigView, now: Time, out: &mut Out) -> Result<(), Failure> {
    out.record(gig)?;
    let modes = gig.modes.iter().map(|m| mode(*m)).collect::<Vec<_>>().join(", ");
    let status = match gig.status {
        _ if now >= gig.expires_at => "closed: it has expired".to_owned(),
        Status::Open => format!("open, closes in {}", now.until(gig.expires_at)),
        Status::Reserved => "every slot is awarded".to_owned(),
        Status::Closed => "closed".to_owned(),
    };
    let span = |secs: u64| crate::market::Span(secs).to_string();
    let mut lines = vec![
        ("gig", gig.id.to_string()),
        ("by", crate::app::npub(&gig.author)),
        ("title", gig.title.or("(no title)").to_owned()),
        ("status", status),
        ("price", format!("{} for each of {}", gig.price, gig.slots)),
        ("settled", modes),
        (
            "deliver",
            format!(
                "within {} of the award, at most {} bytes",
                span(gig.deliver_secs),
                gig.max_bytes
            ),
        ),
        ("paid", format!("within {} of the delivery", span(gig.pay_secs))),
    ];
    for (n, milestone) in gig.milestones.iter().enumerate() {
        lines.push((if n == 0 { "milestones" } else { "" }, milestone.line(n)));
        lines.extend(milestone.quality.iter().map(|asked| ("", format!("   {asked}"))));
    }
    if let Some((window, risk)) = &gig.escrow {
        let longest = longest_hold(*window);
        lines.push((
            "escrow",
            format!("held for {window} blocks, at the worst back after {longest}. {risk}"),
        ));
    }
    for asked in &gig.quality {
        lines.push(("quality", asked.clone()));
    }
    if gig.modes.contains(&Mode::Sealed) {
        let parts = "sealed: a cheat gets one part of the price at most, and is convicted by its own signature; bid in parts (--tranches) to make it small";
        lines.push(("at stake", parts.to_owned()));
    }
    if let Some(judge) = &gig.judge {
        let listing = judge.listing.short();
        let who = crate::app::npub(&judge.identity);
        lines.push((
            "judge",
            format!("{who}, by the rules of listing {listing}: earnest show {listing}"),
        ));
    }
    if !gig.tags.is_empty() {
        lines
            .push(("tags", gig.tags.iter().map(|t| format!("#{t}")).collect::<Vec<_>>().join(" ")));
    }
    for (name, size) in &gig.inputs {
        lines.push(("input", format!("{size} bytes: {name}")));
    }
    for (name, value) in lines {
        out.line(&format!("{name:<9}{value}"))?;
    }
    for text in [&gig.summary, &gig.content] {
        if !text.is_empty() {
            out.line("")?;
            out.line(text)?;
        }
    }
    Ok(())
}

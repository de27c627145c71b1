//! `earnest gigs`: a window on the book.

use std::time::Duration;

use serde::Serialize;

use crate::app::Book;
use crate::cli::session::{Session, has_heard, not_started, sentence, wait_until};
use crate::cli::{Column, Exit, Failure, Out};
use crate::engine::{GigView, Handle};
use crate::market::{Mode, Page, Query, Time};
use crate::text::{Align, truncate};

/// Look for gigs.
///
/// A query is words and parts in any order: label images price<50k price>=1000 #rust tag:ai
/// from:npub1... mode:sealed work:file side:request sort:price all "two words"
#[derive(Debug, clap::Args)]
pub(crate) struct Gigs {
    /// What to look for; everything if left out
    query: Vec<String>,
    /// At most so many, up to 500
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=500))]
    limit: u16,
    /// Go on after this mark, which the window before ended with
    #[arg(long, value_name = "MARK")]
    after: Option<String>,
    /// Also gigs that take no more bids
    #[arg(long)]
    all: bool,
    /// Ask no relay: only what is on this machine
    #[arg(long)]
    offline: bool,
    /// Seconds to wait for relays
    #[arg(long, value_name = "SECONDS", default_value_t = 8)]
    wait: u64,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Next<'a> {
    next: &'a str,
}

const COLUMNS: [Column; 6] = [
    Column { name: "gig", align: Align::Left },
    Column { name: "price", align: Align::Right },
    Column { name: "slots", align: Align::Right },
    Column { name: "mode", align: Align::Left },
    Column { name: "closes in", align: Align::Right },
    Column { name: "title", align: Align::Left },
];

impl Gigs {
    pub(crate) fn run(&self, session: &Session, out: &mut Out) -> Result<Exit, Failure> {
        let config = session.config()?;
        let line = self.query.join(" ");
        let mut query =
            Query::parse(&line, config.network, crate::app::read_npub).map_err(|why| {
                Failure::new(Exit::Usage, "bad-query", sentence(&why.to_string()))
                    .next("earnest help gigs")
            })?;
        query.limit = usize::from(self.limit);
        query.after.clone_from(&self.after);
        query.all |= self.all;
        let page = if self.offline {
            let book = Book::open(&config, "earnest gigs").map_err(|why| not_started(&why))?;
            book.find(&query, crate::app::now())?
        } else {
            let patience = Duration::from_secs(self.wait);
            session.with_engine(out, "earnest gigs", async |handle, out| {
                wait_for_relays(handle, patience, out).await?;
                Ok(handle.find(query).await?)
            })?
        };
        show(&page, out)?;
        Ok(Exit::Done)
    }
}

/// Waits until every relay that is reachable has said all it has, and says so if none is.
pub(in crate::cli) async fn wait_for_relays(
    handle: &Handle,
    patience: Duration,
    out: &mut Out,
) -> Result<(), Failure> {
    wait_until(handle, patience, has_heard).await;
    let shown = handle.watch().borrow().clone();
    if !shown.relays.iter().any(|r| r.live) {
        out.say("No relay has answered: this is what is known from before. See: earnest doctor")?;
    }
    Ok(())
}

fn show(page: &Page, out: &mut Out) -> Result<(), Failure> {
    let gigs: Vec<GigView> = page.gigs.iter().map(GigView::of).collect();
    for gig in &gigs {
        out.record(gig)?;
    }
    let rows: Vec<Vec<String>> = gigs.iter().map(|gig| row(gig, page.at)).collect();
    out.table(&COLUMNS, &rows, "No gig fits. Look for less, or post one: earnest post")?;
    if let Some(next) = &page.next {
        out.record(&Next { next })?;
        if !out.is_json() {
            out.say(&format!("There are more: earnest gigs ... --after {next}"))?;
        }
    }
    Ok(())
}

fn row(gig: &GigView, now: Time) -> Vec<String> {
    let closes = match now.until(gig.expires_at).0 {
        0 => "closed".to_owned(),
        _ => now.until(gig.expires_at).to_string(),
    };
    vec![
        gig.id.short(),
        gig.price.to_string(),
        gig.slots.to_string(),
        gig.modes.iter().map(|m| mode(*m)).collect::<Vec<_>>().join(","),
        closes,
        truncate(gig.title.or("(no title)"), 60).into_owned(),
    ]
}

pub(super) fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Sealed => "sealed",
        Mode::Direct => "direct",
        Mode::Escrow => "escrow",
    }
}

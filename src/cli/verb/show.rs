//! `earnest show`: one gig, whole.

use std::time::Duration;

use super::gigs::{mode, wait_for_relays};
use crate::app::Book;
use crate::cli::session::{Session, not_started};
use crate::cli::{Exit, Failure, Out};
use crate::config::Config;
use crate::engine::{Fault, GigView};
use crate::market::{EventId, Page, Query, Sort, Status, Time};

/// Show one gig.
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// Its id, or the beginning of it
    id: String,
    /// Ask no relay: only what is on this machine
    #[arg(long)]
    offline: bool,
    /// Seconds to wait for relays, where the gig is not known yet
    #[arg(long, value_name = "SECONDS", default_value_t = 8)]
    wait: u64,
}

/// The shortest beginning of an id that is looked for.
const SHORTEST: usize = 4;
/// Windows of 500 that are looked through for a beginning.
const WINDOWS: usize = 100;

/// What the beginning of an id found.
enum Found {
    One(Box<GigView>),
    None,
    Many(EventId, EventId),
}

impl Show {
    pub(crate) fn run(&self, session: &Session, out: &mut Out) -> Result<Exit, Failure> {
        let config = session.config()?;
        let id = self.id.to_lowercase();
        if id.len() < SHORTEST || id.len() > 64 || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
            let said = format!("An id is 64 hex digits, or at least the first {SHORTEST} of them.");
            return Err(Failure::new(Exit::Usage, "bad-id", said).next("earnest gigs"));
        }
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
                let known = look(handle, &config, &id).await?;
                if !matches!(known, Found::None) {
                    return Ok(known);
                }
                wait_for_relays(handle, patience, out).await?;
                Ok(look(handle, &config, &id).await?)
            })?
        };
        match found {
            Found::One(gig) => show(&gig, crate::app::now(), out)?,
            Found::None => {
                let said = format!("No gig here has an id that begins with {id}.");
                return Err(
                    Failure::new(Exit::NotFound, "not-found", said).next("earnest gigs --all")
                );
            }
            Found::Many(a, b) => {
                let said = format!("More than one gig begins with {id}: {a} and {b}, for example.");
                return Err(
                    Failure::new(Exit::NotFound, "ambiguous", said).next("Give more of the id")
                );
            }
        }
        Ok(Exit::Done)
    }
}

async fn look(handle: &crate::engine::Handle, config: &Config, id: &str) -> Result<Found, Fault> {
    if let Ok(id) = id.parse::<EventId>() {
        let gig = handle.gig(id).await?;
        return Ok(gig.map_or(Found::None, |gig| Found::One(Box::new(gig))));
    }
    let mut search = Search::new(config, id);
    while let Some(query) = search.next_window() {
        search.take(handle.find(query).await?);
    }
    Ok(search.end())
}

/// The walk through the book for a beginning, newest first.
struct Search<'a> {
    query: Query,
    beginning: &'a str,
    windows: usize,
    over: bool,
    found: Vec<GigView>,
}

impl<'a> Search<'a> {
    fn new(config: &Config, beginning: &'a str) -> Self {
        let mut query = Query::everything(config.network);
        query.all = true;
        query.limit = 500;
        query.sort = Sort::Newest;
        Self { query, beginning, windows: 0, over: false, found: Vec::new() }
    }

    fn next_window(&mut self) -> Option<Query> {
        self.windows += 1;
        let more = !self.over && self.found.len() < 2 && self.windows <= WINDOWS;
        more.then(|| self.query.clone())
    }

    fn take(&mut self, page: Page) {
        let fits = page.gigs.iter().filter(|gig| gig.id.to_string().starts_with(self.beginning));
        self.found.extend(fits.take(2).map(GigView::of));
        self.over = page.next.is_none();
        self.query.after = page.next;
    }

    fn end(self) -> Found {
        let mut found = self.found.into_iter();
        match (found.next(), found.next()) {
            (Some(a), Some(b)) => Found::Many(a.id, b.id),
            (Some(gig), None) => Found::One(Box::new(gig)),
            _ => Found::None,
        }
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
    if let Some((window, risk)) = &gig.escrow {
        lines.push(("escrow", format!("held for {window} blocks. {risk}")));
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

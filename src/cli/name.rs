//! What a person calls things: jobs and gigs by the beginning of their ids, people by their keys.

use std::sync::Arc;
use std::time::Duration;

use super::verb::gigs::wait_for_relays;
use super::{Exit, Failure, Out};
use crate::config::Config;
use crate::engine::{Fault, GigView, Handle, JobView, PostView, Snapshot};
use crate::market::{EventId, Page, Pubkey, Query, Sort};

/// The shortest beginning of an id that is looked for.
const SHORTEST: usize = 4;
/// Windows of 500 that are looked through for a beginning.
const WINDOWS: usize = 100;

/// What the beginning of an id found.
pub(super) enum Found<T> {
    One(T),
    None,
    Many(EventId, EventId),
}

impl<T> Found<T> {
    pub(super) fn of(found: impl IntoIterator<Item = (EventId, T)>) -> Self {
        let mut found = found.into_iter();
        match (found.next(), found.next()) {
            (Some((a, _)), Some((b, _))) => Self::Many(a, b),
            (Some((_, one)), None) => Self::One(one),
            _ => Self::None,
        }
    }

    /// The one, or why there is none. `what` is a gig or a job, `list` the command that shows them.
    pub(super) fn only(self, what: &str, beginning: &str, list: &str) -> Result<T, Failure> {
        match self {
            Self::One(one) => Ok(one),
            Self::None => {
                let said = format!("No {what} here has an id that begins with {beginning}.");
                Err(Failure::new(Exit::NotFound, "not-found", said).next(list))
            }
            Self::Many(a, b) => {
                let said = format!(
                    "More than one {what} begins with {beginning}: {a} and {b}, for example."
                );
                Err(Failure::new(Exit::NotFound, "ambiguous", said).next("Give more of the id"))
            }
        }
    }
}

/// The beginning of an id, in its one spelling. `list` is the command that shows ids.
pub(super) fn beginning(text: &str, list: &str) -> Result<String, Failure> {
    let id = text.to_lowercase();
    if id.len() < SHORTEST || id.len() > 64 || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
        let said = format!("An id is 64 hex digits, or at least the first {SHORTEST} of them.");
        return Err(Failure::new(Exit::Usage, "bad-id", said).next(list));
    }
    Ok(id)
}

/// The job whose id, or whose bid's id, begins so.
pub(super) fn job(now: &Snapshot, text: &str) -> Result<Arc<JobView>, Failure> {
    const LIST: &str = "earnest jobs all";
    let id = beginning(text, LIST)?;
    let fits = |job: &&Arc<JobView>| {
        let awarded = job.job.is_some_and(|job| job.to_string().starts_with(&id));
        awarded || job.id.to_string().starts_with(&id)
    };
    let found = now.jobs.values().filter(fits).map(|job| (job.id, job.clone()));
    Found::of(found).only("job", &id, LIST)
}

/// The gig of ours one of whose ids begins so.
pub(super) fn post(now: &Snapshot, text: &str) -> Result<PostView, Failure> {
    const LIST: &str = "earnest gigs --all";
    let id = beginning(text, LIST)?;
    let fits = |post: &&PostView| {
        [post.id, post.gig.id].iter().any(|known| known.to_string().starts_with(&id))
    };
    let found =
        now.posts.iter().map(|post| &**post).filter(fits).map(|post| (post.id, post.clone()));
    Found::of(found).only("gig of yours", &id, LIST)
}

/// The gig in the book whose id begins so; relays are waited for where it is not known yet.
pub(super) async fn gig(
    handle: &Handle,
    config: &Config,
    id: &str,
    patience: Duration,
    out: &mut Out,
) -> Result<Found<Box<GigView>>, Failure> {
    let known = look(handle, config, id).await?;
    if !matches!(known, Found::None) {
        return Ok(known);
    }
    wait_for_relays(handle, patience, out).await?;
    Ok(look(handle, config, id).await?)
}

async fn look(handle: &Handle, config: &Config, id: &str) -> Result<Found<Box<GigView>>, Fault> {
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
pub(super) struct Search<'a> {
    query: Query,
    beginning: &'a str,
    windows: usize,
    over: bool,
    found: Vec<GigView>,
}

impl<'a> Search<'a> {
    pub(super) fn new(config: &Config, beginning: &'a str) -> Self {
        let mut query = Query::everything(config.network);
        query.all = true;
        query.limit = 500;
        query.sort = Sort::Newest;
        Self { query, beginning, windows: 0, over: false, found: Vec::new() }
    }

    pub(super) fn next_window(&mut self) -> Option<Query> {
        self.windows += 1;
        let more = !self.over && self.found.len() < 2 && self.windows <= WINDOWS;
        more.then(|| self.query.clone())
    }

    pub(super) fn take(&mut self, page: Page) {
        let fits = page.gigs.iter().filter(|gig| gig.id.to_string().starts_with(self.beginning));
        self.found.extend(fits.take(2).map(GigView::of));
        self.over = page.next.is_none();
        self.query.after = page.next;
    }

    pub(super) fn end(self) -> Found<Box<GigView>> {
        Found::of(self.found.into_iter().map(|gig| (gig.id, Box::new(gig))))
    }
}

/// Somebody's key: npub1... or 64 hex digits.
pub(super) fn person(text: &str) -> Result<Pubkey, Failure> {
    text.to_lowercase().parse().ok().or_else(|| crate::app::read_npub(text)).ok_or_else(|| {
        let said = "That is not a public key: write npub1... or 64 hex digits.";
        Failure::new(Exit::Usage, "bad-key", said).next("earnest people")
    })
}

/// A key as people tell it apart at a glance: the beginning and the end of its npub.
pub(super) fn short(key: &Pubkey) -> String {
    let npub = crate::app::npub(key);
    let end = npub.len().saturating_sub(4);
    format!("{}..{}", npub.get(..12).unwrap_or_default(), npub.get(end..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(ids: &[u8]) -> Result<u8, Failure> {
        let found = ids.iter().map(|id| (EventId([*id; 32]), *id));
        Found::of(found).only("job", "7f3a", "earnest jobs")
    }

    #[test]
    fn one_is_found_and_two_are_ambiguous() {
        assert_eq!(found(&[7]).unwrap(), 7);
        let none = found(&[]).unwrap_err();
        assert_eq!((&*none.code, none.exit), ("not-found", Exit::NotFound));
        let many = found(&[7, 8]).unwrap_err();
        assert_eq!((&*many.code, many.exit), ("ambiguous", Exit::NotFound));
        assert!(many.message.contains(&"07".repeat(32)), "{}", many.message);
    }

    #[test]
    fn a_beginning_has_one_spelling() {
        assert_eq!(beginning("7F3A", "").unwrap(), "7f3a");
        for wrong in ["", "7f3", "7f3g", "npub1xyz", &"a".repeat(65)] {
            assert_eq!(beginning(wrong, "").unwrap_err().exit, Exit::Usage, "{wrong}");
        }
    }

    #[test]
    fn a_key_is_npub_or_hex() {
        let hex = "d41b22899549e1f3d335a31002cfd382174006e166d3e658e3a5eecdb6463573";
        let key = person(hex).unwrap();
        assert_eq!(person(&crate::app::npub(&key)).unwrap(), key);
        assert_eq!(&*person("alice").unwrap_err().code, "bad-key");
        assert!(short(&key).starts_with("npub1") && short(&key).len() == 18);
    }
}

//! What changed since somebody last looked: so that one more job costs the same among ten thousand.

use std::collections::BTreeSet;

use crate::engine::{Core, Store};
use crate::market::EventId;

/// What changed since it was last taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changed {
    /// Logs whose views may be other than they were: jobs, cases, gigs of ours.
    pub logs: BTreeSet<EventId>,
    /// Something that belongs to no log.
    pub whole: bool,
}

impl Changed {
    /// Whether nothing did.
    pub fn is_empty(&self) -> bool {
        self.logs.is_empty() && !self.whole
    }
}

impl<S: Store> Core<S> {
    /// What changed since this was last called.
    pub fn take_changed(&mut self) -> Changed {
        std::mem::take(&mut self.changed)
    }

    /// The same, and it stays.
    pub fn changed(&self) -> &Changed {
        &self.changed
    }

    /// The views of this log may have changed though its facts have not.
    pub(super) fn touch(&mut self, id: &EventId) {
        let known = self.jobs.contains_key(id) || self.cases.contains_key(id);
        if known || self.posts.contains_key(id) {
            self.changed.logs.insert(*id);
        }
    }
}

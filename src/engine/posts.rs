//! Maps of views that many hold at once: another of one costs nothing, and what differs between two that were
//! one is found without looking at all of them.

use std::sync::Arc;

use imbl::OrdMap;
use imbl::ordmap::DiffItem;
use imbl::shared_ptr::DefaultSharedPtr;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::engine::PostView;
use crate::market::EventId;

/// Views by the name of their log.
pub type Shelf<V> = OrdMap<EventId, Arc<V>>;

/// One that is not as it was: what it is called, what it was and what it is.
pub type Differs<'a, V> = (EventId, Option<&'a Arc<V>>, Option<&'a Arc<V>>);

/// What is new, other than it was, or no more. Costs what has changed, if the one was made of the other.
pub fn differences<'a, V: PartialEq>(
    was: &'a Shelf<V>,
    is: &'a Shelf<V>,
) -> impl Iterator<Item = Differs<'a, V>> {
    was.diff(is).map(|item| match item {
        DiffItem::Add(id, is) => (*id, None, Some(is)),
        DiffItem::Update { old: (id, was), new: (_, is) } => (*id, Some(was), Some(is)),
        DiffItem::Remove(id, was) => (*id, Some(was), None),
    })
}

type Iter<'a> = imbl::ordmap::Values<'a, EventId, Arc<PostView>, DefaultSharedPtr>;

/// Gigs of ours, each once.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Posts(Shelf<PostView>);

impl Posts {
    /// By the names of their logs.
    pub fn shelf(&self) -> &Shelf<PostView> {
        &self.0
    }
    /// One of them.
    pub fn get(&self, id: &EventId) -> Option<&Arc<PostView>> {
        self.0.get(id)
    }
    /// All of them.
    pub fn iter(&self) -> Iter<'_> {
        self.0.values()
    }
    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// One more, or one that is other than it was.
    pub fn insert(&mut self, post: Arc<PostView>) {
        self.0.insert(post.id, post);
    }
    /// One less.
    pub fn remove(&mut self, id: &EventId) {
        self.0.remove(id);
    }
}

impl FromIterator<Arc<PostView>> for Posts {
    fn from_iter<I: IntoIterator<Item = Arc<PostView>>>(posts: I) -> Self {
        Self(posts.into_iter().map(|post| (post.id, post)).collect())
    }
}

impl<'a> IntoIterator for &'a Posts {
    type Item = &'a Arc<PostView>;
    type IntoIter = Iter<'a>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Serialize for Posts {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Posts {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Vec::<Arc<PostView>>::deserialize(from)?.into_iter().collect())
    }
}

//! Which events are kept: the rules, judged one event at a time. No clock, no count, no memory.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use nostr::{Event, Tag};

use crate::market::{Span, Time};

/// What one kind may be. A zero is no limit of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KindRule {
    /// Bytes of the event's JSON.
    pub max_bytes: usize,
    /// Whether it must say when it ends (NIP-40).
    pub needs_expiration: bool,
    /// How long it is kept: an `expiration` further ahead is refused, and what has none is forgotten then.
    pub keep: Span,
    /// Leading zero bits of its id (NIP-13).
    pub pow: u8,
    /// How many one author may publish in a day.
    pub a_day_by_author: u32,
}

/// The rules for every event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// The kinds that are taken; every kind when empty.
    pub kinds: BTreeSet<u16>,
    /// What is special about some of them.
    pub by_kind: BTreeMap<u16, KindRule>,
    /// Bytes of any event's JSON.
    pub max_event: usize,
    /// Tags of any event.
    pub max_tags: usize,
    /// How far ahead any event may be dated. There is no limit backwards: wraps are dated back on purpose
    /// (NIP-59), and channels are published again from their first record.
    pub max_skew: Span,
    /// Leading zero bits of any event's id.
    pub min_pow: u8,
}

/// Why an event is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The machine-readable prefix (NIP-01).
    pub prefix: &'static str,
    /// For a person.
    pub why: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.prefix, self.why)
    }
}

pub(super) fn refused<T>(prefix: &'static str, why: impl Into<String>) -> Result<T, Refused> {
    Err(Refused { prefix, why: why.into() })
}

impl Rules {
    /// The rule of a kind.
    pub fn of(&self, kind: u16) -> KindRule {
        self.by_kind.get(&kind).cloned().unwrap_or_default()
    }

    /// Judges what an event of `size` bytes says of itself. Its id and signature are for others to check.
    ///
    /// # Errors
    /// The reason, with a prefix of NIP-01.
    pub fn judge(&self, event: &Event, size: usize, now: Time) -> Result<(), Refused> {
        let kind = event.kind.as_u16();
        if !self.kinds.is_empty() && !self.kinds.contains(&kind) {
            return refused("blocked", format!("this relay does not take kind {kind}"));
        }
        let rule = self.of(kind);
        let most = match rule.max_bytes {
            0 => self.max_event,
            most => most.min(self.max_event),
        };
        if size > most {
            return refused(
                "invalid",
                format!("{size} bytes are more than the {most} of kind {kind}"),
            );
        }
        if event.tags.len() > self.max_tags {
            return refused("invalid", format!("more than {} tags", self.max_tags));
        }
        if Time(event.created_at.as_secs()) > now.after(self.max_skew) {
            return refused("invalid", format!("dated more than {} ahead", self.max_skew));
        }
        if event.is_protected() {
            return refused("blocked", "protected events (NIP-70) are not taken");
        }
        self.judge_end(event, &rule, now)?;
        let pow = rule.pow.max(self.min_pow);
        if !event.id.check_pow(pow) {
            return refused("pow", format!("{pow} bits are needed for kind {kind}"));
        }
        Ok(())
    }

    fn judge_end(&self, event: &Event, rule: &KindRule, now: Time) -> Result<(), Refused> {
        let kind = event.kind.as_u16();
        let end = match expiration(event) {
            Ok(Some(end)) => end,
            Ok(None) if rule.needs_expiration => {
                return refused("invalid", format!("kind {kind} needs an expiration"));
            }
            Ok(None) => return Ok(()),
            Err(()) => return refused("invalid", "its expiration is no moment"),
        };
        if end <= now {
            return refused("invalid", "it has expired");
        }
        let from = now.max(Time(event.created_at.as_secs()));
        if rule.keep > Span(0) && end > from.after(rule.keep) {
            return refused(
                "invalid",
                format!(
                    "it expires more than {} ahead, which is longer than it is kept",
                    rule.keep
                ),
            );
        }
        Ok(())
    }

    /// When an event that is kept is to be forgotten; `None` for never.
    pub fn end_of(&self, event: &Event) -> Option<Time> {
        let rule = self.of(event.kind.as_u16());
        let own = expiration(event).ok().flatten();
        let ours = || Time(event.created_at.as_secs()).after(rule.keep);
        own.or_else(|| (rule.keep > Span(0)).then(ours))
    }
}

/// The moment in the first `expiration` tag (NIP-40), if there is one and it is a moment.
fn expiration(event: &Event) -> Result<Option<Time>, ()> {
    let mut tags = event.tags.iter().map(Tag::as_slice).filter(|tag| tag[0] == "expiration");
    let Some(tag) = tags.next() else { return Ok(None) };
    let text = tag.get(1).map(String::as_str).unwrap_or_default();
    let digits = !text.is_empty() && text.len() < 16 && text.bytes().all(|b| b.is_ascii_digit());
    match text.parse() {
        Ok(end) if digits => Ok(Some(Time(end))),
        _ => Err(()),
    }
}

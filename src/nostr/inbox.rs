//! What a relay sent, looked at from the outside in: size, kind, was it asked for, time, id, signature,
//! and only then memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use nostr_sdk::{Alphabet, Event, JsonUtil, SingleLetterTag};

use crate::engine::{RelayEvent, Want, WrapKey};
use crate::market::{EventId, Pubkey, Span, Time};
use crate::wire::{FOLLOWS, PROOF, RECEIPT, network_name};

/// No event is larger than this as JSON, whatever its kind: 128 KiB.
pub const MAX_EVENT_BYTES: usize = 128 * 1024;
/// A gift wrap or a channel event is at most this large as JSON (what strfry takes): 64 KiB.
pub const MAX_PRIVATE_BYTES: usize = 64 * 1024;
/// A listing's content is at most this large (PROTOCOL.md 2): 16 KiB. Its JSON is at most 64 KiB.
pub const MAX_LISTING_CONTENT: usize = 16 * 1024;
/// How far ahead of our clock an event may be dated: 15 minutes.
pub const MAX_SKEW: Span = Span(15 * 60);

/// The kind of a listing (NIP-99).
pub(super) const LISTING: u16 = 30402;
/// The kind of a gift wrap (NIP-59).
pub(super) const WRAP: u16 = 1059;
/// The kind of a channel's outer event (PROTOCOL.md 3).
pub(super) const CHANNEL: u16 = 3920;

/// Why an event was not handed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refused {
    /// Larger than its kind may be.
    TooLarge,
    /// Not JSON of NIP-01's shape, or no relay message at all.
    Garbage,
    /// No standing subscription wants it.
    Unasked,
    /// Dated more than [`MAX_SKEW`] ahead.
    Future,
    /// Its id is not the hash of what it says.
    WrongId,
    /// Its signature is not its author's.
    BadSignature,
}

impl Refused {
    /// Stable, kebab-case.
    pub fn code(self) -> &'static str {
        match self {
            Self::TooLarge => "too-large",
            Self::Garbage => "garbage",
            Self::Unasked => "unasked",
            Self::Future => "future-dated",
            Self::WrongId => "wrong-id",
            Self::BadSignature => "bad-signature",
        }
    }
}

/// One subscription as a relay task sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asked {
    /// From when on.
    pub(super) since: Time,
    /// Which standing of this want it is: a want that is given up and asked anew is told all again.
    pub(super) serial: u64,
    /// Whose it is to read, for a relay that asks.
    pub(super) reader: Option<WrapKey>,
}

/// Everything one relay is asked for.
pub(super) type Wanted = BTreeMap<Want, Asked>;

/// Takes an event apart: `frame` is the size of the whole relay message. Answers with the event and the
/// wants it meets. Cheap checks come first; the signature is checked here, whatever was seen before.
pub(super) fn admit(
    event: &Event,
    frame: usize,
    wanted: &Wanted,
    now: Time,
) -> Result<Vec<(Want, Asked)>, Refused> {
    // A message is its event and at most a hundred bytes of envelope.
    let size = frame.saturating_sub(100);
    let kind = event.kind.as_u16();
    let limit = match kind {
        LISTING | WRAP | CHANNEL | PROOF | RECEIPT | FOLLOWS => MAX_PRIVATE_BYTES,
        _ => return Err(Refused::Unasked),
    };
    if size > limit || (kind == LISTING && event.content.len() > MAX_LISTING_CONTENT) {
        return Err(Refused::TooLarge);
    }
    let at = Time(event.created_at.as_secs());
    let met: Vec<(Want, Asked)> = meets(event, wanted).filter(|(_, a)| at >= a.since).collect();
    if met.is_empty() {
        return Err(Refused::Unasked);
    }
    if at > now.after(MAX_SKEW) {
        return Err(Refused::Future);
    }
    Ok(met)
}

/// Recomputes the id and checks the signature.
pub(super) fn verify(event: &Event) -> Result<(), Refused> {
    if !event.verify_id() {
        return Err(Refused::WrongId);
    }
    if !event.verify_signature() {
        return Err(Refused::BadSignature);
    }
    Ok(())
}

/// The wants that an event meets, whenever it was made.
fn meets<'a>(event: &'a Event, wanted: &'a Wanted) -> impl Iterator<Item = (Want, Asked)> + 'a {
    let found = |want: Want| wanted.get(&want).map(|asked| (want, *asked));
    let keys: Vec<Want> = match event.kind.as_u16() {
        CHANNEL => vec![Want::Channel(Pubkey(event.pubkey.to_bytes()))],
        WRAP => tags(event, Alphabet::P).filter_map(|p| p.parse().ok()).map(Want::Wraps).collect(),
        PROOF | RECEIPT => {
            tags(event, Alphabet::P).filter_map(|p| p.parse().ok()).map(Want::About).collect()
        }
        FOLLOWS => vec![Want::Follows(Pubkey(event.pubkey.to_bytes()))],
        LISTING if tags(event, Alphabet::Y).any(|y| y == "earnest") => wanted
            .keys()
            .filter(|w| matches!(w, Want::Listings(n) if tags(event, Alphabet::N).any(|t| t == network_name(*n))))
            .cloned()
            .collect(),
        _ => Vec::new(),
    };
    keys.into_iter().filter_map(found)
}

fn tags(event: &Event, letter: Alphabet) -> impl Iterator<Item = &str> {
    let letter = SingleLetterTag::lowercase(letter).as_char();
    event.tags.iter().filter_map(move |tag| match tag.as_slice() {
        [name, value, ..] if name.len() == 1 && name.starts_with(letter) => Some(value.as_str()),
        _ => None,
    })
}

/// The form the engine takes. The event has been verified.
pub(super) fn hand_on(relay: &str, event: &Event) -> RelayEvent {
    let mut to = tags(event, Alphabet::P);
    let to = match (to.next(), to.next()) {
        (Some(one), None) => one.parse().ok(),
        _ => None,
    };
    RelayEvent {
        relay: relay.to_owned(),
        id: EventId(event.id.to_bytes()),
        kind: event.kind.as_u16(),
        author: Pubkey(event.pubkey.to_bytes()),
        to,
        at: Time(event.created_at.as_secs()),
        json: event.as_json(),
    }
}

/// Ids that were verified and handed on, so that a second relay's copy costs a look-up. Written only
/// after the signature held: a forged copy that comes first must not hide the real one. Holds the last
/// `size` to twice `size` of them.
#[derive(Debug)]
pub(super) struct Seen {
    size: usize,
    young: BTreeSet<(u64, [u8; 32])>,
    old: BTreeSet<(u64, [u8; 32])>,
}

impl Seen {
    pub(super) fn new(size: usize) -> Self {
        Self { size: size.max(1), young: BTreeSet::new(), old: BTreeSet::new() }
    }
    /// Whether this standing of a want was given this event.
    pub(super) fn has(&self, serial: u64, id: [u8; 32]) -> bool {
        self.young.contains(&(serial, id)) || self.old.contains(&(serial, id))
    }
    /// It was handed on.
    fn remember(&mut self, serial: u64, id: [u8; 32]) {
        if self.young.len() >= self.size {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert((serial, id));
    }
    /// It was not handed on after all.
    fn forget(&mut self, serial: u64, id: [u8; 32]) {
        self.young.remove(&(serial, id));
        self.old.remove(&(serial, id));
    }
}

/// The right to hand one verified event on: one relay's task has it at a time. Given back when dropped
/// without [`Claim::keep`], so that an event whose task ended half-way is not taken for seen.
pub(super) struct Claim<'a> {
    seen: &'a Mutex<Seen>,
    serials: Vec<u64>,
    id: [u8; 32],
}

impl<'a> Claim<'a> {
    /// `None` if all of these were given the event already.
    pub(super) fn take(seen: &'a Mutex<Seen>, serials: Vec<u64>, id: [u8; 32]) -> Option<Self> {
        let mut open = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let serials: Vec<u64> = serials.into_iter().filter(|s| !open.has(*s, id)).collect();
        if serials.is_empty() {
            return None;
        }
        serials.iter().for_each(|serial| open.remember(*serial, id));
        Some(Self { seen, serials, id })
    }
    /// It was handed on.
    pub(super) fn keep(mut self) {
        self.serials.clear();
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if self.serials.is_empty() {
            return;
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        self.serials.iter().for_each(|serial| seen.forget(*serial, self.id));
    }
}

#[cfg(test)]
mod tests {
    use nostr_sdk::{EventBuilder, Keys, Kind, Tag};

    use super::*;

    fn channel(keys: &Keys, at: u64) -> Event {
        EventBuilder::new(Kind::Custom(CHANNEL), "x")
            .custom_created_at(nostr_sdk::Timestamp::from_secs(at))
            .sign_with_keys(keys)
            .unwrap()
    }

    fn wanted(want: Want) -> Wanted {
        [(want, Asked { since: Time(1000), serial: 0, reader: None })].into()
    }

    #[test]
    fn only_what_was_asked_for_is_taken() {
        let (ours, other) = (Keys::generate(), Keys::generate());
        let wanted = wanted(Want::Channel(Pubkey(ours.public_key().to_bytes())));
        let now = Time(2000);
        assert!(admit(&channel(&ours, 1500), 400, &wanted, now).is_ok());
        assert_eq!(admit(&channel(&other, 1500), 400, &wanted, now), Err(Refused::Unasked));
        assert_eq!(admit(&channel(&ours, 999), 400, &wanted, now), Err(Refused::Unasked));
        assert_eq!(admit(&channel(&ours, 2901), 400, &wanted, now), Err(Refused::Future));
        assert!(admit(&channel(&ours, 2900), 400, &wanted, now).is_ok());
        let big = MAX_PRIVATE_BYTES + 101;
        assert_eq!(admit(&channel(&ours, 1500), big, &wanted, now), Err(Refused::TooLarge));
    }

    #[test]
    fn a_wrap_for_someone_else_is_not_ours() {
        let (us, them) = (Keys::generate(), Keys::generate());
        let wanted = wanted(Want::Wraps(Pubkey(us.public_key().to_bytes())));
        let wrap = |to: &Keys| {
            EventBuilder::new(Kind::GiftWrap, "x")
                .tag(Tag::public_key(to.public_key()))
                .custom_created_at(nostr_sdk::Timestamp::from_secs(1500))
                .sign_with_keys(&Keys::generate())
                .unwrap()
        };
        assert!(admit(&wrap(&us), 400, &wanted, Time(2000)).is_ok());
        assert_eq!(admit(&wrap(&them), 400, &wanted, Time(2000)), Err(Refused::Unasked));
    }

    #[test]
    fn a_changed_word_or_signature_is_noticed() {
        let keys = Keys::generate();
        let good = channel(&keys, 1);
        assert_eq!(verify(&good), Ok(()));
        let mut changed = good.clone();
        changed.content = "y".into();
        assert_eq!(verify(&changed), Err(Refused::WrongId));
        let mut forged = good;
        forged.sig = channel(&keys, 2).sig;
        assert_eq!(verify(&forged), Err(Refused::BadSignature));
    }

    #[test]
    fn an_event_is_handed_on_by_one_and_again_if_that_one_failed() {
        let seen = Mutex::new(Seen::new(10));
        let first = Claim::take(&seen, vec![1, 2], [7; 32]).unwrap();
        assert!(Claim::take(&seen, vec![1], [7; 32]).is_none());
        drop(first);
        Claim::take(&seen, vec![1], [7; 32]).unwrap().keep();
        assert!(Claim::take(&seen, vec![1], [7; 32]).is_none());
        assert!(Claim::take(&seen, vec![1, 2], [7; 32]).is_some(), "another want has not had it");
    }

    #[test]
    fn memory_is_bounded() {
        let mut seen = Seen::new(10);
        for n in 0..100u8 {
            seen.remember(1, [n; 32]);
        }
        assert!(seen.has(1, [99; 32]) && seen.has(1, [90; 32]) && !seen.has(1, [0; 32]));
        assert!(!seen.has(2, [99; 32]), "a want that is asked anew is told all again");
        assert!(seen.young.len() + seen.old.len() <= 20);
    }
}

//! The contact list (kind 3, NIP-02): whom somebody follows, written by whatever program they use.

use nostr::Tag;

use super::event;
use super::limits::OUTER_BYTES;
use super::rejected::Rejected;
use crate::market::Pubkey;

/// The kind of a contact list.
pub const FOLLOWS: u16 = 3;

/// Whom its author follows, each once; what is no key is passed over, as other programs write it.
pub fn read_follows(json: &str) -> Result<Vec<Pubkey>, Rejected> {
    let event = event::read(json, OUTER_BYTES, FOLLOWS, "the contact list")?;
    let named = event.tags.iter().map(Tag::as_slice).filter(|tag| tag[0] == "p");
    let keys = named.filter_map(|tag| tag.get(1)?.parse().ok());
    let all: std::collections::BTreeSet<Pubkey> = keys.collect();
    Ok(all.into_iter().collect())
}

//! Who may read what: gift wraps, and everything where reading takes a login (NIP-42).

use std::collections::BTreeSet;

use nostr::filter::{Alphabet, SingleLetterTag};
use nostr::{Event, Filter, Kind, PublicKey, Tag};
use serde::{Deserialize, Serialize};

/// To whom gift wraps (kind 1059) are served.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Wraps {
    /// To anyone.
    Anyone,
    /// To whoever has logged in with the key in their `p` tag, and to nobody else (NIP-59). earnest logs in
    /// with the inbox keys that it reads, each of which stands for one listing or one bid.
    #[default]
    Recipient,
}

const P: SingleLetterTag = SingleLetterTag::lowercase(Alphabet::P);

/// What must happen before a question is asked.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum May {
    /// It may be asked, as it now stands.
    Ask,
    /// By whom is not known yet.
    LogIn,
    /// Not by those who have logged in.
    Not,
}

/// Judges a filter, and takes gift wraps out of one that does not name them. `kinds` are all that the
/// relay has, if that is known.
pub(super) fn admit(
    filter: &mut Filter,
    wraps: Wraps,
    kinds: &BTreeSet<u16>,
    known: &BTreeSet<PublicKey>,
) -> May {
    if wraps == Wraps::Anyone {
        return May::Ask;
    }
    let recipients = filter.generic_tags.get(&P);
    let own = recipients.is_some_and(|recipients| {
        let known: BTreeSet<String> = known.iter().map(PublicKey::to_hex).collect();
        !recipients.is_empty() && recipients.iter().all(|of| known.contains(of))
    });
    match &filter.kinds {
        _ if own => May::Ask,
        Some(asked) if asked.contains(&Kind::GiftWrap) => {
            if known.is_empty() {
                May::LogIn
            } else {
                May::Not
            }
        }
        Some(_) => May::Ask,
        None => {
            if !kinds.is_empty() {
                let other = kinds.iter().copied().map(Kind::from);
                filter.kinds = Some(other.filter(|kind| *kind != Kind::GiftWrap).collect());
            }
            May::Ask
        }
    }
}

/// Whether an event may be read by those who have logged in: the second lock, on the way out.
pub(super) fn may_read(event: &Event, wraps: Wraps, known: &BTreeSet<PublicKey>) -> bool {
    if wraps == Wraps::Anyone || event.kind != Kind::GiftWrap {
        return true;
    }
    let mut recipients = event.tags.iter().map(Tag::as_slice).filter(|tag| tag[0] == "p");
    recipients.any(|tag| {
        let of = tag.get(1).and_then(|hex| PublicKey::from_hex(hex).ok());
        of.is_some_and(|of| known.contains(&of))
    })
}

#[cfg(test)]
mod tests {
    use nostr::Keys;

    use super::*;

    #[test]
    fn a_gift_wrap_is_asked_for_by_its_recipient_alone() {
        let (own, other) = (Keys::generate().public_key(), Keys::generate().public_key());
        let (nobody, me) = (BTreeSet::new(), BTreeSet::from([own]));
        let kinds = BTreeSet::from([0, 1059, 30402]);
        let wrap = || Filter::new().kind(Kind::GiftWrap);
        let ask = |mut filter: Filter, known: &BTreeSet<PublicKey>| {
            let may = admit(&mut filter, Wraps::Recipient, &kinds, known);
            (may, filter)
        };
        assert_eq!(ask(wrap().pubkey(own), &nobody).0, May::LogIn);
        assert_eq!(ask(wrap().pubkey(own), &me).0, May::Ask);
        assert_eq!(ask(wrap().pubkey(other), &me).0, May::Not);
        assert_eq!(ask(wrap().pubkeys([own, other]), &me).0, May::Not);
        assert_eq!(ask(wrap(), &me).0, May::Not);
        assert_eq!(ask(wrap().kind(Kind::Metadata), &me).0, May::Not);
        // A question that names no kind gets every kind but that.
        for known in [&nobody, &me] {
            let (may, filter) = ask(Filter::new(), known);
            let asked = filter.kinds.unwrap();
            assert_eq!((may, asked.contains(&Kind::GiftWrap), asked.len()), (May::Ask, false, 2));
        }
        assert_eq!(ask(Filter::new().pubkey(own), &me).1.kinds, None);
        assert_eq!(ask(Filter::new().kind(Kind::Metadata), &nobody).0, May::Ask);
        let mut any = wrap();
        assert_eq!(admit(&mut any, Wraps::Anyone, &kinds, &nobody), May::Ask);
    }
}

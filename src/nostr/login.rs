//! Logging in to one relay (NIP-42): with which keys, and how far it is. One connection may show several.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::WrapKey;
use crate::market::EventId;

/// Logins of one connection that are tried: what relays take of one, and more.
const MOST: usize = 1_000;

/// Who a relay is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reader {
    /// A key that is nobody's: for relays that only want to see one.
    Nobody,
    /// The key that what we read is addressed to.
    Key(WrapKey),
}

/// What an answer to a login leaves to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answered {
    /// Other logins.
    Some,
    /// None.
    All,
}

/// The logins of one connection.
#[derive(Debug, Default)]
pub(super) struct Logins {
    challenge: Option<String>,
    wanted: BTreeSet<Reader>,
    pending: BTreeMap<EventId, Reader>,
    /// What the relay said of each: yes, or no.
    done: BTreeMap<Reader, bool>,
}

impl Logins {
    /// The relay's challenge: `true` if it is another than before. Logins answer one challenge; with a new
    /// one they begin anew.
    pub(super) fn challenged(&mut self, challenge: String) -> bool {
        if self.challenge.as_ref() == Some(&challenge) {
            return false;
        }
        self.challenge = Some(challenge);
        self.wanted.extend(self.done.keys());
        self.wanted.extend(self.pending.values());
        self.done.clear();
        self.pending.clear();
        true
    }

    /// These are needed: `true` if there is one among them that was not tried.
    pub(super) fn want(&mut self, readers: BTreeSet<Reader>) -> bool {
        let before = self.wanted.len() + self.pending.len();
        for reader in readers {
            let all = self.wanted.len() + self.pending.len() + self.done.len();
            let pending = self.pending.values().any(|sent| *sent == reader);
            if all < MOST && !pending && !self.done.contains_key(&reader) {
                self.wanted.insert(reader);
            }
        }
        // One that is on its way is waited for.
        self.wanted.len() + self.pending.len() > before || before > 0
    }

    /// Whether no room is left for one of these, and another connection would have it: what was shown here
    /// cannot be taken back, and of that no more than `needed` is needed.
    pub(super) fn are_spent(&self, readers: &BTreeSet<Reader>, needed: usize) -> bool {
        let new = readers.iter().any(|reader| {
            let pending = self.pending.values().any(|sent| sent == reader);
            !pending && !self.wanted.contains(reader) && !self.done.contains_key(reader)
        });
        new && needed < MOST && self.wanted.len() + self.pending.len() + self.done.len() >= MOST
    }

    /// What to sign now, and the challenge that it answers.
    pub(super) fn due(&mut self) -> Option<(String, BTreeSet<Reader>)> {
        let challenge = self.challenge.clone().filter(|_| !self.wanted.is_empty())?;
        Some((challenge, std::mem::take(&mut self.wanted)))
    }

    /// It was signed and sent.
    pub(super) fn sent(&mut self, id: EventId, reader: Reader) {
        self.pending.insert(id, reader);
    }

    /// The relay answered an event; `None` if it was no login.
    pub(super) fn answered(&mut self, id: EventId, accepted: bool) -> Option<Answered> {
        let reader = self.pending.remove(&id)?;
        self.done.insert(reader, accepted);
        Some(if self.pending.is_empty() { Answered::All } else { Answered::Some })
    }

    /// Whether what needed a login to be written may be sent again.
    pub(super) fn writes(&self) -> bool {
        self.pending.is_empty() && self.done.get(&Reader::Nobody) == Some(&true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::Nonce;

    #[test]
    fn each_key_is_tried_once_and_again_for_another_challenge() {
        let key = |n| Reader::Key(WrapKey::Inbox(Nonce([n; 32])));
        let mut logins = Logins::default();
        assert!(logins.want([key(1), key(2)].into()));
        assert_eq!(logins.due(), None, "there is nothing to answer yet");
        assert!(logins.challenged("a".into()));
        let (challenge, readers) = logins.due().unwrap();
        assert_eq!((challenge.as_str(), readers.len()), ("a", 2));
        logins.sent(EventId([1; 32]), key(1));
        logins.sent(EventId([2; 32]), key(2));
        assert!(logins.want([key(1)].into()), "it is waited for");
        assert_eq!(logins.due(), None);
        assert_eq!(logins.answered(EventId([9; 32]), true), None);
        assert_eq!(logins.answered(EventId([1; 32]), true), Some(Answered::Some));
        assert_eq!(logins.answered(EventId([2; 32]), false), Some(Answered::All));
        assert!(!logins.want([key(1), key(2)].into()), "both were tried");
        assert!(!logins.challenged("a".into()), "the same challenge again asks for nothing");
        assert!(logins.want([key(3)].into()));
        assert_eq!(logins.due().unwrap().1, [key(3)].into());
        assert!(logins.challenged("b".into()));
        assert_eq!(logins.due().unwrap().1, [key(1), key(2)].into());
    }

    #[test]
    fn nobody_has_endless_keys() {
        let key = |n: u32| {
            Reader::Key(WrapKey::Session(Nonce(std::array::from_fn(|i| {
                n.to_be_bytes().get(i).copied().unwrap_or(0)
            }))))
        };
        let mut logins = Logins::default();
        assert!(logins.want((0..5_000).map(key).collect()));
        logins.challenged("a".into());
        assert_eq!(logins.due().unwrap().1.len(), MOST);
    }
}

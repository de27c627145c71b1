//! What a relay answered to an event, and the memory of answers that stand.

use std::collections::{BTreeMap, VecDeque};

use nostr_sdk::RelayUrl;

use crate::market::EventId;

/// Answers are remembered for this many events.
const REMEMBERED: usize = 4096;

/// What one relay said to one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// It has it.
    Accepted,
    /// It will never take it, and why.
    Never(String),
    /// It may take it later, and why not now.
    Later(String),
}

/// Reads a relay's `OK` (NIP-01 and NIP-42 prefixes). A reason without a known prefix may pass.
pub(super) fn read(accepted: bool, reason: &str) -> Answer {
    let prefix = reason.split_once(':').map_or("", |(prefix, _)| prefix.trim());
    match prefix {
        _ if accepted => Answer::Accepted,
        "duplicate" => Answer::Accepted,
        "blocked" | "invalid" | "pow" | "restricted" | "mute" | "unsupported" => {
            Answer::Never(format!("the relay refused it: {}", quote(reason)))
        }
        _ if reason.is_empty() => Answer::Later("the relay refused it and did not say why".into()),
        _ => Answer::Later(format!("the relay did not take it now: {}", quote(reason))),
    }
}

/// A stranger's words, fit for a log and a terminal: printable ASCII, 160 characters at most.
pub(super) fn quote(reason: &str) -> String {
    let mut words: String = reason
        .chars()
        .take(160)
        .map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' })
        .collect();
    if reason.chars().nth(160).is_some() {
        words.push_str("...");
    }
    words
}

/// Answers that stand, by event: a retry asks only the relays that are missing.
#[derive(Debug, Default)]
pub(super) struct Answers {
    by_event: BTreeMap<EventId, BTreeMap<RelayUrl, Answer>>,
    order: VecDeque<EventId>,
}

impl Answers {
    /// What this relay said for good, if it did.
    pub(super) fn get(&self, event: &EventId, relay: &RelayUrl) -> Option<Answer> {
        self.by_event.get(event)?.get(relay).cloned()
    }

    /// Keeps an answer that stands; a `Later` does not.
    pub(super) fn keep(&mut self, event: EventId, relay: &RelayUrl, answer: &Answer) {
        if matches!(answer, Answer::Later(_)) {
            return;
        }
        if !self.by_event.contains_key(&event) {
            self.order.push_back(event);
            if self.order.len() > REMEMBERED
                && let Some(oldest) = self.order.pop_front()
            {
                self.by_event.remove(&oldest);
            }
        }
        self.by_event.entry(event).or_default().insert(relay.clone(), answer.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_decide() {
        assert_eq!(read(true, ""), Answer::Accepted);
        assert_eq!(read(false, "duplicate: have it"), Answer::Accepted);
        for never in
            ["blocked: no", "invalid: id", "pow: 28 bits needed", "restricted: x", "mute: x"]
        {
            assert!(matches!(read(false, never), Answer::Never(_)), "{never}");
        }
        for later in ["rate-limited: slow down", "error: disk", "auth-required: log in", "", "no"] {
            assert!(matches!(read(false, later), Answer::Later(_)), "{later}");
        }
        let Answer::Never(why) = read(false, "pow: 28 bits needed") else { panic!() };
        assert!(why.contains("28 bits"), "{why}");
    }

    #[test]
    fn a_relay_cannot_write_into_the_terminal() {
        assert_eq!(quote("blocked: \u{1b}[2J\u{202e}x"), "blocked: ?[2J?x");
        assert!(quote(&"x".repeat(1000)).len() < 200);
    }

    #[test]
    fn memory_is_bounded() {
        let relay = RelayUrl::parse("ws://a.example").unwrap();
        let mut answers = Answers::default();
        for n in 0..=REMEMBERED {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&(n as u64).to_le_bytes());
            answers.keep(EventId(id), &relay, &Answer::Accepted);
        }
        assert_eq!(answers.get(&EventId([0; 32]), &relay), None);
        assert_eq!(answers.by_event.len(), REMEMBERED);
        assert_eq!(answers.order.len(), REMEMBERED);
    }
}

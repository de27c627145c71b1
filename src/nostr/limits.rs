//! What a relay says it takes (NIP-11), read before anything is published to it.

use std::time::Duration;

use nostr_sdk::{Event, RelayUrl, Url};
use serde_json::Value;

use super::transport;
use crate::engine::RelayLimits;
use crate::market::Time;

/// The largest information document that is read.
const MAX_DOCUMENT: usize = 64 * 1024;

/// A relay's limits. What it does not state is not limited.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a whole message.
    pub max_message_length: Option<u64>,
    /// Unicode characters of an event's content.
    pub max_content_length: Option<u64>,
    /// Tags of an event.
    pub max_event_tags: Option<u64>,
    /// Leading zero bits of an event's id (NIP-13).
    pub min_pow_difficulty: Option<u64>,
    /// Seconds that `created_at` may lie behind.
    pub created_at_lower_limit: Option<u64>,
    /// Seconds that `created_at` may lie ahead.
    pub created_at_upper_limit: Option<u64>,
    /// Only those who paid may do anything.
    pub payment_required: bool,
    /// Most events in one answer.
    pub max_limit: Option<u64>,
}

impl Limits {
    /// Reads the document. Lenient field by field: one that is malformed states nothing, for a relay with a
    /// typo is still a relay.
    pub fn read(document: &[u8]) -> Option<Self> {
        let document: Value = serde_json::from_slice(document).ok()?;
        let all = document.as_object()?.get("limitation");
        // Zero is how some relays write "none".
        let number = |name: &str| all?.get(name)?.as_u64().filter(|n| *n > 0);
        Some(Self {
            max_message_length: number("max_message_length"),
            max_content_length: number("max_content_length"),
            max_event_tags: number("max_event_tags"),
            min_pow_difficulty: number("min_pow_difficulty"),
            created_at_lower_limit: number("created_at_lower_limit"),
            created_at_upper_limit: number("created_at_upper_limit"),
            payment_required: all
                .and_then(|l| l.get("payment_required"))
                .and_then(Value::as_bool)
                .unwrap_or(false),
            max_limit: number("max_limit"),
        })
    }

    /// For eyes.
    pub(super) fn shown(&self) -> RelayLimits {
        RelayLimits {
            max_message: self.max_message_length,
            max_content: self.max_content_length,
            max_tags: self.max_event_tags,
            min_pow: self.min_pow_difficulty,
            max_answer: self.max_limit,
            payment_required: self.payment_required,
        }
    }

    /// Why this relay would refuse this event, if it would. `message` is the length of the whole message in
    /// bytes.
    ///
    /// `restricted_writes` alone is no reason: a relay that takes only some kinds sets it (a gig
    /// relay does), and whether ours is among them only its answer tells.
    pub fn refusal(&self, event: &Event, message: usize, now: Time) -> Option<String> {
        let over = |limit: Option<u64>, is: usize| limit.filter(|limit| is as u64 > *limit);
        if self.payment_required {
            return Some("this relay takes events only from those who pay it".into());
        }
        if let Some(limit) = over(self.max_message_length, message) {
            return Some(format!("this relay takes at most {limit} bytes and this is {message}"));
        }
        let content = event.content.chars().count();
        if let Some(limit) = over(self.max_content_length, content) {
            return Some(format!(
                "this relay takes at most {limit} characters of content and this is {content}"
            ));
        }
        let tags = event.tags.len();
        if let Some(limit) = over(self.max_event_tags, tags) {
            return Some(format!("this relay takes at most {limit} tags and this has {tags}"));
        }
        let bits = leading_zeros(event.id.as_bytes());
        if let Some(needed) = self.min_pow_difficulty.filter(|needed| u64::from(bits) < *needed) {
            return Some(format!(
                "this relay wants {needed} bits of proof of work and this has {bits}"
            ));
        }
        let at = event.created_at.as_secs();
        if self.created_at_lower_limit.is_some_and(|limit| at < now.0.saturating_sub(limit)) {
            return Some("this relay takes nothing that is dated so far back".into());
        }
        if self.created_at_upper_limit.is_some_and(|limit| at > now.0.saturating_add(limit)) {
            return Some("this relay takes nothing that is dated so far ahead".into());
        }
        None
    }
}

fn leading_zeros(id: &[u8; 32]) -> u32 {
    let whole = id.iter().take_while(|b| **b == 0).count();
    whole as u32 * 8 + id.get(whole).map_or(0, |b| b.leading_zeros())
}

/// Fetches a relay's limits. `None` when it publishes none or does not answer in time: then nothing is
/// known to be limited.
pub(super) async fn fetch(relay: &RelayUrl, private: bool, limit: Duration) -> Option<Limits> {
    tokio::time::timeout(limit, get(relay, private)).await.ok().flatten()
}

async fn get(relay: &RelayUrl, private: bool) -> Option<Limits> {
    let mut url: Url = relay.clone().into();
    // ws -> http, wss -> https: a URL cannot leave its class by `set_scheme`, these two may.
    let scheme = if url.scheme() == "wss" { "https" } else { "http" };
    url.set_scheme(scheme).ok()?;
    let addresses = transport::resolve(&url, private).await.ok()?;
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .resolve_to_addrs(url.host_str()?, &addresses)
        .build()
        .ok()?;
    let asked = client.get(url).header("Accept", "application/nostr+json");
    let mut answer = asked.send().await.ok()?.error_for_status().ok()?;
    let mut document = Vec::new();
    while let Some(chunk) = answer.chunk().await.ok()? {
        document.extend_from_slice(&chunk);
        if document.len() > MAX_DOCUMENT {
            return None;
        }
    }
    Limits::read(&document)
}

#[cfg(test)]
mod tests {
    use nostr_sdk::{EventBuilder, Keys, Kind, Tag, Timestamp};

    use super::*;

    fn event() -> Event {
        EventBuilder::new(Kind::Custom(30402), "four")
            .tags([Tag::identifier("a"), Tag::hashtag("b")])
            .custom_created_at(Timestamp::from_secs(1000))
            .sign_with_keys(&Keys::generate())
            .unwrap()
    }

    #[test]
    fn every_stated_limit_is_obeyed() {
        let (event, now) = (event(), Time(1000));
        let ask = |json: &str| {
            let document = format!(r#"{{"name":"x","limitation":{{{json}}}}}"#);
            Limits::read(document.as_bytes()).unwrap().refusal(&event, 500, now)
        };
        for refused in [
            r#""max_message_length":499"#,
            r#""max_content_length":3"#,
            r#""max_event_tags":1"#,
            r#""min_pow_difficulty":60"#,
            r#""payment_required":true"#,
        ] {
            assert!(ask(refused).is_some(), "{refused}");
        }
        for taken in [
            "",
            r#""max_message_length":500"#,
            r#""max_content_length":4"#,
            r#""max_event_tags":2"#,
            r#""min_pow_difficulty":0"#,
            r#""payment_required":false,"restricted_writes":true"#,
            r#""max_message_length":"many""#,
            r#""max_message_length":-1"#,
        ] {
            assert_eq!(ask(taken), None, "{taken}");
        }
        let dated = Limits::read(
            br#"{"limitation":{"created_at_lower_limit":100,"created_at_upper_limit":10}}"#,
        )
        .unwrap();
        assert!(dated.refusal(&event, 500, Time(1101)).is_some());
        assert!(dated.refusal(&event, 500, Time(1100)).is_none());
        assert!(dated.refusal(&event, 500, Time(989)).is_some());
    }

    #[test]
    fn a_document_that_is_none_limits_nothing() {
        for document in ["", "[]", "<html>", "7"] {
            assert_eq!(Limits::read(document.as_bytes()), None);
        }
        assert_eq!(Limits::read(b"{}"), Some(Limits::default()));
    }

    #[test]
    fn bits_are_counted_across_bytes() {
        let mut id = [0u8; 32];
        id[2] = 0x10;
        assert_eq!(leading_zeros(&id), 19);
        assert_eq!(leading_zeros(&[0; 32]), 256);
    }
}

//! The same rules for strfry: its write-policy plugin, one JSON object a line in and one out.
//!
//! strfry has checked form, id, signature and its own sizes before it asks.

use std::collections::BTreeMap;
use std::net::IpAddr;

use nostr::{Event, JsonUtil as _};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::rates::{Rates, neighbourhood};
use super::rules::{Refused, Rules};
use super::settings::Settings;
use crate::market::{Span, Time};

/// The longest line that is read: an event of strfry's largest and its envelope.
const LONGEST: usize = 1 << 20;

/// Sources that strfry brings in by itself: other relays, whose addresses are no one person's.
const OWN: [&str; 4] = ["Import", "Stream", "Sync", "Stored"];

/// What strfry asks.
#[derive(Deserialize)]
struct Asked {
    r#type: String,
    event: Option<Value>,
    #[serde(default, rename = "sourceType")]
    source_type: String,
    #[serde(default, rename = "sourceInfo")]
    source_info: String,
}

/// What strfry is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Of the event that was asked about.
    pub id: String,
    /// `accept` or `reject`.
    pub action: &'static str,
    /// Why, for whoever sent it.
    pub msg: String,
}

/// Judges line by line. Its counts begin anew with it, when strfry starts it anew.
pub struct Policy {
    rules: Rules,
    addresses: Rates,
    authors: BTreeMap<u16, Rates>,
}

impl Policy {
    /// With the rules of these settings.
    pub fn new(settings: &Settings) -> Self {
        let by_address = settings.limits.events_a_minute_by_address;
        Self {
            rules: settings.rules(),
            addresses: Rates::new(by_address, Span::MINUTE),
            authors: BTreeMap::new(),
        }
    }

    /// The verdict on one line of strfry's.
    ///
    /// # Errors
    /// A sentence for strfry's log, where there is no event that a verdict could be about.
    pub fn judge(&mut self, line: &str, now: Time) -> Result<Verdict, String> {
        if line.len() > LONGEST {
            return Err(format!("a line of {} bytes is not read", line.len()));
        }
        let asked: Asked =
            serde_json::from_str(line).map_err(|why| format!("this is no request: {why}"))?;
        if asked.r#type != "new" {
            let said: String = asked.r#type.chars().take(40).collect();
            return Err(format!("there is no request of type {said:?}"));
        }
        let value = asked.event.as_ref().ok_or("this request has no event")?;
        if let Ok(event) = Event::from_json(value.to_string()) {
            let judged = self.judge_event(&event, &asked, now);
            return Ok(verdict_on(event.id.to_hex(), judged));
        }
        // An answer there must be, wherever it can be told about what: strfry waits for one.
        let id = value["id"].as_str().unwrap_or_default();
        if id.len() != 64 || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err("this event has no id".to_owned());
        }
        let why = Refused { prefix: "invalid", why: "this is no event".to_owned() };
        Ok(verdict_on(id.to_owned(), Err(why)))
    }

    fn judge_event(&mut self, event: &Event, asked: &Asked, now: Time) -> Result<(), Refused> {
        let from_outside = !OWN.contains(&asked.source_type.as_str());
        let kind = event.kind.as_u16();
        if from_outside && self.addresses.over(&whose(&asked.source_info), now) {
            return super::rules::refused("rate-limited", "too many events in this minute");
        }
        self.rules.judge(event, event.as_json().len(), now)?;
        let most = self.rules.of(kind).a_day_by_author;
        let authors = self.authors.entry(kind).or_insert_with(|| Rates::new(most, Span::DAY));
        if from_outside && authors.over(&event.pubkey.to_hex(), now) {
            return super::rules::refused(
                "rate-limited",
                "too many of this kind by this author today",
            );
        }
        Ok(())
    }
}

/// Whom an event counts for: by address, or by whatever strfry says instead of one.
fn whose(source: &str) -> String {
    match source.parse::<IpAddr>() {
        Ok(address) => neighbourhood(address),
        Err(_) => source.chars().take(64).collect(),
    }
}

fn verdict_on(id: String, judged: Result<(), Refused>) -> Verdict {
    match judged {
        Ok(()) => Verdict { id, action: "accept", msg: String::new() },
        Err(why) => Verdict { id, action: "reject", msg: why.to_string() },
    }
}

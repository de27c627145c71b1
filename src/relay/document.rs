//! The information document (NIP-11): the limits that hold, and no others.

use serde_json::{Map, Value, json};

use super::front::RelayConfig;
use super::reading::Wraps;

/// What an event's envelope may take beside it.
const ENVELOPE: usize = 1024;

pub(super) fn document(config: &RelayConfig) -> String {
    let mut nips = vec![1, 9, 11, 13, 40];
    if config.auth_to_read || config.wraps == Wraps::Recipient {
        nips.extend([42, 59]);
    }
    if config.sync {
        nips.push(77);
    }
    let mut all = Map::new();
    let info = &config.info;
    let texts = [
        ("name", &info.name),
        ("description", &info.description),
        ("pubkey", &info.pubkey),
        ("contact", &info.contact),
        ("terms_of_service", &info.terms_of_service),
    ];
    for (name, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
        all.insert(name.to_owned(), Value::from(text.as_str()));
    }
    all.insert("software".into(), "https://crates.io/crates/earnest".into());
    all.insert("version".into(), env!("CARGO_PKG_VERSION").into());
    all.insert("supported_nips".into(), json!(nips));
    all.insert(
        "limitation".into(),
        json!({
            "max_message_length": config.max_message.min(config.max_event + ENVELOPE),
            "max_content_length": config.max_event,
            "max_event_tags": config.max_tags,
            "max_limit": config.max_limit,
            "default_limit": config.max_limit,
            "max_subscriptions": config.max_subscriptions,
            "max_subid_length": config.max_id,
            "min_pow_difficulty": config.min_pow,
            "auth_required": config.auth_to_read,
            "payment_required": false,
            "restricted_writes": !config.kinds.is_empty(),
            "created_at_upper_limit": config.max_skew.0,
        }),
    );
    Value::Object(all).to_string()
}

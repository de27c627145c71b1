//! strfry's plugin: the same rules, asked a line at a time.

use crate::*;

fn asked(event: &Event, from: &str) -> String {
    let event: Value = serde_json::from_str(&event.as_json()).unwrap();
    let asked = json!({"type": "new", "event": event, "receivedAt": now().0, "sourceType": "IP4", "sourceInfo": from});
    asked.to_string()
}

#[test]
fn the_plugin_judges_as_the_relay_does() {
    let mut policy = Policy::new(&Settings::default());
    let keys = Keys::generate();
    let (day, far) = (in_days(1), in_days(107));
    let listing = |d: &str, end: &str| made(&keys, 30_402, "", &[&["d", d], &["expiration", end]]);
    for (event, why) in [
        (listing("a", &day), ""),
        (made(&keys, 3_920, "", &[]), ""),
        (made(&keys, 1, "", &[]), "blocked: this relay does not take kind 1"),
        (made(&keys, 30_402, "", &[&["d", "a"]]), "invalid: kind 30402 needs an expiration"),
        (listing("b", &far), "invalid: it expires more than"),
    ] {
        let verdict = policy.judge(&asked(&event, "192.0.2.1"), now()).unwrap();
        let action = if why.is_empty() { "accept" } else { "reject" };
        assert_eq!((verdict.id, verdict.action), (event.id.to_hex(), action));
        assert!(verdict.msg.starts_with(why) && verdict.msg.is_empty() == why.is_empty());
    }
    let file = "[[kinds]]\nkinds = [1059]\npow = 40\n";
    let mut strict = Policy::new(&Settings::read(file).unwrap());
    let wrap = made(&keys, 1_059, "", &[]);
    let verdict = strict.judge(&asked(&wrap, "192.0.2.1"), now()).unwrap();
    assert_eq!(verdict.msg, "pow: 40 bits are needed for kind 1059");
}

#[test]
fn the_plugin_counts_strangers_and_not_other_relays() {
    let mut settings = Settings::default();
    settings.limits.events_a_minute_by_address = 3;
    let mut policy = Policy::new(&settings);
    let keys = Keys::generate();
    let at = Time(now().0 / 60 * 60);
    let mut judge = |from: &str, kind: &str| {
        let event = made(&keys, 3_920, "", &[]);
        let line = asked(&event, from).replace("\"IP4\"", &format!("{kind:?}"));
        policy.judge(&line, at).unwrap().action
    };
    let actions: Vec<_> = (0..5).map(|_| judge("192.0.2.1", "IP4")).collect();
    assert_eq!(actions, ["accept", "accept", "accept", "reject", "reject"]);
    assert_eq!(judge("192.0.2.2", "IP4"), "accept");
    // Of IPv6 one customer has a whole network.
    let six: Vec<_> = (1..5).map(|n| judge(&format!("2001:db8::{n}"), "IP6")).collect();
    assert_eq!(six, ["accept", "accept", "accept", "reject"]);
    assert!((0..10).all(|_| judge("wss://relay.example", "Stream") == "accept"));

    settings.kinds[0].a_day_by_author = 2;
    let mut policy = Policy::new(&settings);
    let day = in_days(1);
    let listing = |d: &str| made(&keys, 30_402, "", &[&["d", d], &["expiration", &day]]);
    let mut judge = |d: &str| policy.judge(&asked(&listing(d), d), now()).unwrap();
    assert_eq!((judge("a").action, judge("b").action), ("accept", "accept"));
    assert!(judge("c").msg.starts_with("rate-limited: too many of this kind"));
}

#[test]
fn garbage_gets_no_verdict_or_a_refusal_and_the_plugin_goes_on() {
    let mut policy = Policy::new(&Settings::default());
    let id = "ab".repeat(32);
    let bad = format!("{{\"type\":\"new\",\"event\":{{\"id\":\"{id}\",\"kind\":\"x\"}}}}");
    let verdict = policy.judge(&bad, now()).unwrap();
    assert_eq!((verdict.id, verdict.action), (id, "reject"));
    for line in [
        "",
        "x",
        "[]",
        "{}",
        "{\"type\":\"old\"}",
        "{\"type\":\"new\"}",
        "{\"type\":\"new\",\"event\":{}}",
        "{\"type\":\"new\",\"event\":{\"id\":\"\\u001b[2J\"}}",
        "{\"type\":\"new\",\"event\":[1]}",
        &"[".repeat(2_000_000),
    ] {
        assert!(policy.judge(line, now()).is_err(), "{}", line.len());
    }
    let fine = made(&Keys::generate(), 3_920, "", &[]);
    assert_eq!(policy.judge(&asked(&fine, "192.0.2.1"), now()).unwrap().action, "accept");
}

#[test]
fn what_is_shipped_for_other_relays_says_the_same() {
    let read = |name: &str| {
        let at = Path::new(env!("CARGO_MANIFEST_DIR")).join("relay-config").join(name);
        std::fs::read_to_string(at).unwrap()
    };
    let rules: Rules = Settings::default().rules();
    let theirs: toml::Table = read("nostr-rs-relay.toml").parse().unwrap();
    let kinds = theirs["limits"]["event_kind_allowlist"].as_array().unwrap();
    let kinds: BTreeSet<u16> =
        kinds.iter().map(|kind| u16::try_from(kind.as_integer().unwrap()).unwrap()).collect();
    assert_eq!(kinds, rules.kinds);
    let number = |text: i64| u64::try_from(text).unwrap();
    let size = theirs["limits"]["max_event_bytes"].as_integer().map(number);
    assert_eq!(size, Some(rules.max_event as u64));
    let ahead = theirs["options"]["reject_future_seconds"].as_integer().map(number);
    assert_eq!(ahead, Some(rules.max_skew.0));

    let strfry = read("strfry.conf");
    let value = |name: &str| {
        let lines = strfry.lines().map(str::trim).filter(|line| !line.starts_with('#'));
        let mut values = lines.filter_map(|line| line.split_once('='));
        let found = values.find(|(key, _)| key.trim() == name).unwrap_or_else(|| panic!("{name}"));
        found.1.trim().trim_matches('"').to_owned()
    };
    let limits = Settings::default().limits;
    for (name, ours) in [
        ("maxEventSize", limits.max_event as u64),
        ("rejectEventsNewerThanSeconds", limits.ahead_seconds),
        ("maxNumTags", limits.max_tags as u64),
        ("maxWebsocketPayloadSize", limits.max_message as u64),
        ("maxFilterLimit", limits.max_limit as u64),
        ("maxSubsPerConnection", limits.max_subscriptions as u64),
    ] {
        assert_eq!(value(name), ours.to_string(), "{name}");
    }
    assert!(value("plugin").contains("earnest relay-policy --config "), "{}", value("plugin"));
}

//! The operator's file: every setting of a relay, in TOML.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::front::RelayConfig;
use super::reading::Wraps;
use super::rules::{KindRule, Rules};
use crate::engine::Clock;
use crate::market::Span;

/// The file that is shipped: what holds without a file, every line explained.
pub const DEFAULT: &str = include_str!("../../relay-config/earnest-relay.toml");

/// Why a file is not one.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// It is not TOML, or says what a relay does not know.
    #[error("{0}")]
    Form(String),
    /// It asks for what cannot be.
    #[error("`{0}` {1}")]
    Value(&'static str, String),
}

/// What an operator sets. What is left out is as in [`DEFAULT`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Where it listens, and to how many.
    pub listen: Listen,
    /// Where events are kept.
    pub storage: Storage,
    /// What it says of itself (NIP-11).
    pub info: Info,
    /// What holds for every event and every connection.
    pub limits: Limits,
    /// Who may read.
    pub reading: Reading,
    /// The kinds that are taken, and the rules of each. A kind stands in one table only.
    pub kinds: Vec<Kinds>,
}

/// Where it listens, and to how many.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Listen {
    /// `ip:port`.
    pub address: SocketAddr,
    /// The address that people type; empty where it is not known.
    pub url: String,
    /// The header in which a proxy names the client; empty for none.
    pub client_header: String,
    /// Who is believed in it.
    pub proxies: Vec<IpAddr>,
    /// Connections at once.
    pub connections: usize,
    /// Connections at once from one address.
    pub connections_per_address: u32,
}

/// Where events are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Storage {
    /// The directory of the database.
    pub dir: PathBuf,
    /// The most that it may grow to, in MiB.
    pub max_mib: usize,
}

/// What it says of itself. Empty texts are not said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Info {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Its operator's identity, in hex.
    pub pubkey: String,
    /// Where to write to.
    pub contact: String,
    /// Where its terms are.
    pub terms_of_service: String,
}

/// What holds for every event and every connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Bytes of a message.
    pub max_message: usize,
    /// Bytes of an event.
    pub max_event: usize,
    /// Tags of an event.
    pub max_tags: usize,
    /// Seconds by which an event may be dated ahead.
    pub ahead_seconds: u64,
    /// Leading zero bits of every event.
    pub min_pow: u8,
    /// Events a minute, of one connection.
    pub events_a_minute: u32,
    /// Events a minute, of one address.
    pub events_a_minute_by_address: u32,
    /// Questions a minute, of one connection.
    pub questions_a_minute: u32,
    /// Questions that stand at once, of one connection.
    pub max_subscriptions: usize,
    /// Filters of one question.
    pub max_filters: usize,
    /// Events in one answer.
    pub max_limit: usize,
}

/// Who may read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Reading {
    /// Whether reading takes a login, by any key (NIP-42).
    pub login: bool,
    /// To whom gift wraps are served.
    pub gift_wraps: Wraps,
    /// Whether other relays may reconcile (NIP-77).
    pub sync: bool,
}

/// Some kinds and their rules. A zero is no limit of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Kinds {
    /// Which.
    pub kinds: BTreeSet<u16>,
    /// Bytes of an event.
    #[serde(default)]
    pub max_bytes: usize,
    /// Whether each must say when it ends.
    #[serde(default)]
    pub needs_expiration: bool,
    /// Days for which one is kept at most.
    #[serde(default)]
    pub keep_days: u64,
    /// Leading zero bits.
    #[serde(default)]
    pub pow: u8,
    /// How many of one author in a day.
    #[serde(default)]
    pub a_day_by_author: u32,
}

impl Default for Listen {
    fn default() -> Self {
        let loopback = [IpAddr::from([127, 0, 0, 1]), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])];
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 7777)),
            url: String::new(),
            client_header: String::new(),
            proxies: loopback.into(),
            connections: 1_000,
            connections_per_address: 20,
        }
    }
}

impl Default for Storage {
    fn default() -> Self {
        Self { dir: "earnest-relay".into(), max_mib: 32_768 }
    }
}

impl Default for Info {
    fn default() -> Self {
        Self {
            name: "earnest gig relay".into(),
            description:
                "Listings, first contacts and job channels of earnest; nothing else is kept.".into(),
            pubkey: String::new(),
            contact: String::new(),
            terms_of_service: String::new(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_message: 131_072,
            max_event: 65_536,
            max_tags: 2_000,
            ahead_seconds: 900,
            min_pow: 0,
            events_a_minute: 600,
            events_a_minute_by_address: 1_200,
            questions_a_minute: 600,
            max_subscriptions: 64,
            max_filters: 20,
            max_limit: 500,
        }
    }
}

impl Default for Reading {
    fn default() -> Self {
        Self { login: false, gift_wraps: Wraps::Recipient, sync: true }
    }
}

impl Default for Settings {
    fn default() -> Self {
        let all =
            |kinds: &[u16]| Kinds { kinds: kinds.iter().copied().collect(), ..Kinds::default() };
        Self {
            listen: Listen::default(),
            storage: Storage::default(),
            info: Info::default(),
            limits: Limits::default(),
            reading: Reading::default(),
            kinds: vec![
                Kinds {
                    needs_expiration: true,
                    keep_days: 105,
                    a_day_by_author: 100,
                    ..all(&[30_402, 30_403])
                },
                Kinds { keep_days: 61, ..all(&[1_059]) },
                Kinds { keep_days: 211, ..all(&[3_920]) },
                all(&[3_922, 3_923]),
                all(&[0, 3, 5, 1_984, 1_985, 10_002, 10_050]),
            ],
        }
    }
}

impl Settings {
    /// Reads a file.
    ///
    /// # Errors
    /// The first mistake: with its line where it is one of form, with its setting where it is one of
    /// value.
    pub fn read(text: &str) -> Result<Self, SettingsError> {
        let settings: Self = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |at| text[..at.start].matches('\n').count() + 1);
            SettingsError::Form(format!("line {line}: {}", error.message().trim_end()))
        })?;
        settings.check()?;
        Ok(settings)
    }

    /// The settings as a file without words.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).unwrap_or_default()
    }

    fn check(&self) -> Result<(), SettingsError> {
        let wrong = |name, why: &str| Err(SettingsError::Value(name, why.to_owned()));
        let limits = &self.limits;
        let least = [
            ("limits.max_event", limits.max_event, 1_024),
            ("limits.max_tags", limits.max_tags, 1),
            ("limits.max_subscriptions", limits.max_subscriptions, 1),
            ("limits.max_filters", limits.max_filters, 1),
            ("limits.max_limit", limits.max_limit, 1),
            ("listen.connections", self.listen.connections, 1),
            ("listen.connections_per_address", self.listen.connections_per_address as usize, 1),
            ("storage.max_mib", self.storage.max_mib, 16),
        ];
        for (name, value, least) in least {
            if value < least {
                return wrong(name, &format!("is {value}, and at least {least} are needed"));
            }
        }
        if limits.max_message < limits.max_event + 1_024 {
            return wrong("limits.max_message", "is too small for an event and its envelope");
        }
        // A page of LMDB divides every size of it.
        if self.storage.max_mib.checked_mul(1 << 20).is_none() {
            return wrong("storage.max_mib", "is more than this machine can address");
        }
        let url = &self.listen.url;
        let scheme = ["ws://", "wss://"].iter().any(|scheme| url.starts_with(scheme));
        if !url.is_empty() && !scheme {
            return wrong("listen.url", "begins with wss:// or ws://");
        }
        let pubkey = &self.info.pubkey;
        let hex = pubkey.len() == 64 && pubkey.bytes().all(|b| b.is_ascii_hexdigit());
        if !pubkey.is_empty() && !hex {
            return wrong("info.pubkey", "is a public key in 64 hex digits");
        }
        let mut seen = BTreeSet::new();
        for kinds in &self.kinds {
            if kinds.kinds.is_empty() {
                return wrong("kinds", "has a table that names no kind");
            }
            if let Some(twice) = kinds.kinds.iter().find(|kind| !seen.insert(**kind)) {
                return wrong("kinds", &format!("names kind {twice} in two tables"));
            }
            if kinds.pow > 64 {
                return wrong("kinds.pow", "is more than anybody can do");
            }
        }
        if seen.is_empty() {
            return wrong("kinds", "is empty, so that nothing would be taken");
        }
        Ok(())
    }

    /// What decides whether an event is kept.
    pub fn rules(&self) -> Rules {
        let limits = &self.limits;
        Rules {
            kinds: self.kinds.iter().flat_map(|table| table.kinds.iter().copied()).collect(),
            by_kind: self.by_kind(),
            max_event: limits.max_event,
            max_tags: limits.max_tags,
            max_skew: Span(limits.ahead_seconds),
            min_pow: limits.min_pow,
        }
    }

    fn by_kind(&self) -> BTreeMap<u16, KindRule> {
        let rule = |table: &Kinds| KindRule {
            max_bytes: table.max_bytes,
            needs_expiration: table.needs_expiration,
            keep: Span(table.keep_days.saturating_mul(86_400)),
            pow: table.pow,
            a_day_by_author: table.a_day_by_author,
        };
        let all = self.kinds.iter().map(|table| (table, rule(table)));
        all.flat_map(|(table, rule)| table.kinds.iter().map(move |kind| (*kind, rule.clone())))
            .collect()
    }

    /// A relay that is run so.
    pub fn config(&self, clock: Arc<dyn Clock>) -> RelayConfig {
        let (listen, limits, rules) = (&self.listen, &self.limits, self.rules());
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        RelayConfig {
            dir: Some(self.storage.dir.clone()),
            max_disk: self.storage.max_mib << 20,
            ip: listen.address.ip(),
            port: listen.address.port(),
            url: some(&listen.url),
            info: self.info.clone(),
            kinds: rules.kinds,
            by_kind: rules.by_kind,
            max_message: limits.max_message,
            max_event: limits.max_event,
            max_tags: limits.max_tags,
            max_skew: rules.max_skew,
            max_limit: limits.max_limit,
            max_filters: limits.max_filters,
            max_subscriptions: limits.max_subscriptions,
            events_per_minute: limits.events_a_minute,
            address_events_per_minute: limits.events_a_minute_by_address,
            questions_per_minute: limits.questions_a_minute,
            connections: listen.connections,
            connections_per_address: listen.connections_per_address,
            client_header: some(&listen.client_header),
            proxies: listen.proxies.clone(),
            min_pow: limits.min_pow,
            auth_to_read: self.reading.login,
            wraps: self.reading.gift_wraps,
            sync: self.reading.sync,
            publish_limits: true,
            ..RelayConfig::new(clock)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_file_is_the_default_and_names_every_setting() {
        assert_eq!(Settings::read(DEFAULT).unwrap(), Settings::default());
        let shipped: toml::Table = DEFAULT.parse().unwrap();
        let all: toml::Table = Settings::default().to_toml().parse().unwrap();
        for (name, table) in &all {
            let toml::Value::Table(table) = table else { continue };
            for key in table.keys() {
                let there =
                    shipped[name].as_table().is_some_and(|shipped| shipped.contains_key(key));
                assert!(there, "{name}.{key} is not in the shipped file");
            }
        }
        // Every line that sets something is explained above it.
        let lines: Vec<&str> = DEFAULT.lines().collect();
        let mut explained = false;
        for line in lines {
            match line.trim() {
                "" => explained = false,
                line if line.starts_with('#') => explained = true,
                line if line.starts_with('[') => assert!(explained, "not explained: {line}"),
                line => assert!(explained, "not explained: {line}"),
            }
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let settings = Settings {
            limits: Limits { min_pow: 9, ..Limits::default() },
            reading: Reading { gift_wraps: Wraps::Recipient, ..Reading::default() },
            ..Settings::default()
        };
        assert_eq!(Settings::read(&settings.to_toml()).unwrap(), settings);
        assert_eq!(Settings::read("").unwrap(), Settings::default());
    }

    #[test]
    fn mistakes_are_named() {
        for (text, why) in [
            ("[limits]\n\nmax_evnt = 5\n", "line 3: unknown field `max_evnt`"),
            ("[limits]\nmax_event = -1\n", "line 2"),
            ("[limits]\nmax_event = 5\n", "`limits.max_event` is 5"),
            ("[limits]\nmax_message = 65536\n", "`limits.max_message` is too small"),
            ("[listen]\naddress = \"here\"\n", "line 2"),
            ("[listen]\nurl = \"https://x\"\n", "`listen.url` begins with"),
            ("[info]\npubkey = \"npub1x\"\n", "`info.pubkey` is a public key"),
            ("[[kinds]]\nkinds = [1, 2]\n[[kinds]]\nkinds = [2]\n", "names kind 2 in two tables"),
            ("[[kinds]]\nkinds = []\n", "names no kind"),
            ("kinds = []\n", "is empty"),
            ("[reading]\ngift_wraps = \"friends\"\n", "line 2"),
            ("not toml", "line 1"),
        ] {
            let said = Settings::read(text).unwrap_err().to_string();
            assert!(said.contains(why), "{text}: {said}");
        }
    }
}

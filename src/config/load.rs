//! Precedence: which of the given values holds, and what holds where none was given.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use url::Url;

use super::key::{Key, nearest};
use super::{
    Budget, Chain, Config, Error, Fees, Iroh, IrohRelay, KEYS, Limits, Log, Lsp, Mcp, Network,
    Password, Place, Policy, Secret, Source, file, value,
};
use crate::market::{CHECK_WORDS, Mode, Msat};

/// More relays than this only cost bandwidth and tell more people what you read.
const MAX_RELAYS: usize = 32;
const MAX_SATS: u64 = 21_000_000 * 100_000_000;
const MILLION: u64 = 1_000_000;
const MIB: u64 = 1 << 20;
const TIB: u64 = 1 << 40;
/// Well-known public relays that take any author.
const RELAYS: &[&str] = &["wss://relay.damus.io", "wss://nos.lol", "wss://relay.primal.net"];
const FILE: &str = "config.toml";

/// Where the system keeps a program's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folders {
    /// Holds `config.toml`.
    pub config: PathBuf,
    /// Holds everything else.
    pub data: PathBuf,
    /// What `~` stands for.
    pub home: PathBuf,
}

impl Folders {
    /// Those of this system and user (XDG, Known Folders, Library).
    ///
    /// # Errors
    /// There is no home directory.
    pub fn of_user() -> Result<Self, Error> {
        let dirs = directories::ProjectDirs::from("", "", "earnest").ok_or(Error::NoHome)?;
        let base = directories::BaseDirs::new().ok_or(Error::NoHome)?;
        Ok(Self {
            config: dirs.config_dir().to_owned(),
            data: dirs.data_dir().to_owned(),
            home: base.home_dir().to_owned(),
        })
    }
}

/// A value as it was written.
pub(super) enum Given {
    /// One text or number.
    One(String),
    /// A list.
    Many(Vec<String>),
}

/// A given value and its place.
pub(super) struct Setting {
    pub(super) key: &'static str,
    pub(super) given: Given,
    pub(super) place: Place,
}

impl Config {
    /// Reads everything: `flags` are (key, value) pairs of [`KEYS`], `env` answers for a variable.
    ///
    /// With a data directory from a flag or the environment the file is `config.toml` in it, else the
    /// one in the configuration folder; `folders` is asked for only where it is needed, so a system
    /// without a home works with `--data-dir`. A file that is not there is no mistake.
    ///
    /// # Errors
    /// The first mistake, with its place.
    pub fn load(
        flags: &[(&str, String)],
        env: impl Fn(&str) -> Option<String>,
        folders: Option<&Folders>,
    ) -> Result<Self, Error> {
        let mut above = Vec::new();
        for key in KEYS {
            if let Some(text) = env(&key.env()) {
                let place = Place { source: Source::Env { name: key.env() }, column: None };
                above.push(Setting { key: key.name, given: Given::One(text), place });
            }
        }
        for (name, text) in flags {
            let place = Place { source: Source::Flag, column: None };
            let Some(key) = Key::named(name) else {
                let key = (*name).to_owned();
                return Err(Error::Unknown { place, key, suggestion: nearest(name) });
            };
            if key.secret {
                let why = "is a secret, and every user of this machine can read a flag; put it into \
                           the file";
                return Err(Error::Invalid { place, key: key.name, why: why.to_owned() });
            }
            above.push(Setting { key: key.name, given: Given::One(text.clone()), place });
        }
        let home = folders.map(|f| f.home.clone());
        let named_dir = above.iter().rfind(|s| s.key == "data_dir").map(|s| &s.given);
        let path = match (named_dir, folders) {
            (Some(Given::One(dir)), _) => expand(dir, home.as_deref(), None).join(FILE),
            (_, Some(folders)) => folders.config.join(FILE),
            _ => return Err(Error::NoHome),
        };
        let mut given = BTreeMap::new();
        for setting in file::read(&path)?.into_iter().chain(above) {
            given.insert(setting.key, setting);
        }
        Draft { given, shown: BTreeMap::new(), home }.finish(folders)
    }

    /// [`Config::load`] for this process; an empty variable counts as not set.
    ///
    /// # Errors
    /// The first mistake, with its place.
    pub fn of_process(flags: &[(&str, String)]) -> Result<Self, Error> {
        let env = |name: &str| {
            let value = std::env::var_os(name).filter(|v| !v.is_empty())?;
            Some(value.to_string_lossy().into_owned())
        };
        Self::load(flags, env, Folders::of_user().ok().as_ref())
    }
}

/// `~` is the home, and a relative path in a file starts at the file.
fn expand(text: &str, home: Option<&Path>, beside: Option<&Path>) -> PathBuf {
    let path = match (text.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => home.join(rest),
        _ if text == "~" => home.map_or_else(|| PathBuf::from(text), Path::to_owned),
        _ => PathBuf::from(text),
    };
    beside.map_or(path.clone(), |dir| dir.join(&path))
}

struct Draft {
    given: BTreeMap<&'static str, Setting>,
    shown: BTreeMap<&'static str, (String, Source)>,
    home: Option<PathBuf>,
}

impl Draft {
    fn finish(mut self, folders: Option<&Folders>) -> Result<Config, Error> {
        let data_dir = match self.path("data_dir")? {
            Some(dir) => dir,
            None => folders.ok_or(Error::NoHome)?.data.clone(),
        };
        self.show("data_dir", data_dir.display());
        let network = self.one("network", value::network)?.unwrap_or(Network::Signet);
        self.show("network", value::network_name(network));
        let relays = self.relays(network)?;
        let chain = self.chain(network)?;
        let lsp = self.lsp()?;
        let payer = self.one("wallet.nwc", value::wallet)?.map(Secret::from);
        self.show("wallet.nwc", if payer.is_some() { "***" } else { "" });
        let relay = self.one("iroh.relay", value::iroh_relay)?.unwrap_or(IrohRelay::Disabled);
        match &relay {
            IrohRelay::Disabled => self.show("iroh.relay", "disabled"),
            IrohRelay::Default => self.show("iroh.relay", "default"),
            IrohRelay::Url(url) => self.show("iroh.relay", url),
        }
        let bind = self.one("iroh.bind", |text| {
            text.parse().map_err(|_| "is an address and a port, like 0.0.0.0:0".to_owned())
        })?;
        let bind = bind.unwrap_or_else(|| ([0, 0, 0, 0], 0).into());
        self.show("iroh.bind", bind);
        let ppm = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        let fees = Fees {
            routing_ppm_max: ppm(self.number("fees.routing_ppm_max", 10_000, 0, MILLION)?),
            routing_base_max_sats: self.number("fees.routing_base_max_sats", 50, 0, MILLION)?,
            lsp_ppm_max: ppm(self.number("fees.lsp_ppm_max", 50_000, 0, MILLION)?),
        };
        let limits = Limits {
            max_price_sats: self.number("limits.max_price_sats", MILLION, 1, MAX_SATS)?,
            max_deliverable_bytes: self.number(
                "limits.max_deliverable_bytes",
                4_096 * MIB,
                1,
                TIB,
            )?,
            max_input_bytes: self.number("limits.max_input_bytes", 8 * MIB, 1, TIB)?,
        };
        let policy = self.policy()?;
        let bot = self.budget()?;
        let dry_run = self.one("mcp.dry_run", value::yes)?.unwrap_or(true);
        self.show("mcp.dry_run", dry_run);
        let level = self.one("log.level", value::level)?.unwrap_or_else(|| "info".to_owned());
        self.show("log.level", &level);
        let file = self.path("log.file")?.unwrap_or_else(|| data_dir.join("earnest.log"));
        self.show("log.file", file.display());
        let log = Log { level, file };
        let shown = self.shown;
        Ok(Config {
            data_dir,
            network,
            relays,
            chain,
            lsp,
            payer,
            iroh: Iroh { relay, bind },
            fees,
            limits,
            policy,
            bot,
            mcp: Mcp { dry_run },
            log,
            shown,
        })
    }

    fn policy(&mut self) -> Result<Policy, Error> {
        let or = Policy::default();
        let mut most = |key, or: Msat| -> Result<Msat, Error> {
            let sats = self.number(key, or.whole_sats(), 0, MAX_SATS)?;
            Ok(Msat::sats(sats).unwrap_or(Msat::MAX))
        };
        let (tranche, direct, escrow) = (
            most("limits.tranche_sats", or.tranche)?,
            most("limits.direct_sats", or.direct)?,
            most("limits.escrow_sats", or.escrow)?,
        );
        let receipts = self.one("reputation.receipts", |text| match text {
            "yes" | "true" => Ok(true),
            "no" | "false" => Ok(false),
            _ => Err(format!("is yes or no, not `{text}`")),
        })?;
        let receipts = receipts.unwrap_or(or.receipts);
        self.show("reputation.receipts", if receipts { "yes" } else { "no" });
        Ok(Policy { tranche, direct, escrow, receipts })
    }

    fn relays(&mut self, network: Network) -> Result<Vec<Url>, Error> {
        let texts: Vec<String> = match self.words("relays") {
            Some(texts) => texts,
            None if network == Network::Regtest => Vec::new(),
            None => RELAYS.iter().map(|&r| r.to_owned()).collect(),
        };
        let mut relays: Vec<Url> = Vec::new();
        for text in texts {
            let url = value::relay(&text).map_err(|why| self.wrong("relays", why))?;
            if !relays.contains(&url) {
                relays.push(url);
            }
        }
        if relays.len() > MAX_RELAYS {
            return Err(self.wrong("relays", format!("has more than {MAX_RELAYS} addresses")));
        }
        self.show("relays", relays.iter().map(Url::as_str).collect::<Vec<_>>().join(", "));
        Ok(relays)
    }

    fn budget(&mut self) -> Result<Budget, Error> {
        let usual = Budget::default();
        let sats = |n: u64| Msat::sats(n).unwrap_or(Msat::MAX);
        let whole = |amount: Msat| amount.whole_sats();
        let mut money = |key, usual: Msat| Ok(sats(self.number(key, whole(usual), 0, MAX_SATS)?));
        let per_job = money("bot.per_job_sats", usual.per_job)?;
        let budget = Budget {
            per_job,
            per_person: money("bot.per_person_sats", usual.per_person)?,
            per_hour: money("bot.per_hour_sats", usual.per_hour)?,
            per_day: money("bot.per_day_sats", usual.per_day)?,
            at_risk: money("bot.at_risk_sats", usual.at_risk)?,
            fee_base: money("bot.fee_base_max_sats", usual.fee_base)?,
            // Nobody is asked unless somebody says so: the highest price binds before.
            approve_above: money("bot.approve_above_sats", per_job)?,
            fee_ppm: u32::try_from(self.number(
                "bot.fee_ppm_max",
                u64::from(usual.fee_ppm),
                0,
                MILLION,
            )?)
            .unwrap_or(u32::MAX),
            modes: self.modes(usual.modes)?,
            checks: self.checks()?,
        };
        budget.check().map_err(|(name, why)| {
            let key = match name {
                "per_person" => "bot.per_person_sats",
                "per_hour" => "bot.per_hour_sats",
                "per_day" => "bot.per_day_sats",
                "at_risk" => "bot.at_risk_sats",
                _ => "bot.modes",
            };
            self.wrong(key, why)
        })?;
        Ok(budget)
    }

    /// What a setting lists.
    fn words(&self, key: &str) -> Option<Vec<String>> {
        Some(match &self.given.get(key)?.given {
            Given::Many(list) => list.clone(),
            Given::One(text) => {
                text.split([',', ' ']).filter(|t| !t.is_empty()).map(str::to_owned).collect()
            }
        })
    }

    fn checks(&mut self) -> Result<Vec<String>, Error> {
        let words = self.words("bot.checks").unwrap_or_default();
        if let Some(word) = words.iter().find(|word| !CHECK_WORDS.contains(&word.as_str())) {
            let why = format!("is some of {}, not `{word}`", CHECK_WORDS.join(", "));
            return Err(self.wrong("bot.checks", why));
        }
        self.show("bot.checks", words.join(", "));
        Ok(words)
    }

    fn modes(&mut self, usual: Vec<Mode>) -> Result<Vec<Mode>, Error> {
        let usual = || usual.iter().map(|mode| mode.word().to_owned()).collect();
        let words: Vec<String> = self.words("bot.modes").unwrap_or_else(usual);
        let mode = |word: &String| {
            let all = [Mode::Sealed, Mode::Direct, Mode::Escrow];
            let found = all.into_iter().find(|mode| mode.word() == word);
            found.ok_or_else(|| {
                self.wrong(
                    "bot.modes",
                    format!("is some of sealed, direct and escrow, not `{word}`"),
                )
            })
        };
        let modes = words.iter().map(mode).collect::<Result<Vec<_>, _>>()?;
        self.show("bot.modes", words.join(", "));
        Ok(modes)
    }

    fn chain(&mut self, network: Network) -> Result<Option<Chain>, Error> {
        const CORE: [&str; 5] =
            ["chain.host", "chain.port", "chain.user", "chain.password", "chain.password_file"];
        let core = CORE.into_iter().find(|key| self.given.contains_key(key));
        let kind = self.one("chain.kind", |text| match text {
            "esplora" => Ok(false),
            "bitcoind" => Ok(true),
            _ => Err(format!("is esplora or bitcoind, not `{text}`")),
        })?;
        let url = self.one("chain.url", value::esplora)?;
        let host = self.one("chain.host", value::host_name)?.unwrap_or("127.0.0.1".to_owned());
        let port = self.one("chain.port", value::port_number)?.unwrap_or(match network {
            Network::Bitcoin => 8_332,
            Network::Testnet => 18_332,
            Network::Signet => 38_332,
            Network::Regtest => 18_443,
        });
        let user = self.one("chain.user", value::word)?.unwrap_or_default();
        let given = self.one("chain.password", value::word)?.map(Secret::from);
        let file = self.path("chain.password_file")?;
        let is_core = match (kind, core) {
            (Some(kind), _) => kind,
            (None, Some(key)) if url.is_some() => {
                let why =
                    "belongs to bitcoind, and chain.url to esplora; say which with chain.kind";
                return Err(self.wrong(key, why.to_owned()));
            }
            (None, core) => core.is_some(),
        };
        let chain = if is_core {
            let password = match (given, &file) {
                (Some(_), Some(_)) => {
                    let why = "and chain.password_file are both given; keep the file";
                    return Err(self.wrong("chain.password", why.to_owned()));
                }
                (Some(secret), None) => Password::Given(secret),
                (None, Some(path)) => Password::File(path.clone()),
                (None, None) => {
                    let key = core.unwrap_or("chain.kind");
                    let why = "asks for bitcoind, which needs chain.password_file (its .cookie file \
                               will do) or chain.password";
                    return Err(self.wrong(key, why.to_owned()));
                }
            };
            if user.is_empty() && matches!(password, Password::Given(_)) {
                let why = "needs chain.user beside it".to_owned();
                return Err(self.wrong("chain.password", why));
            }
            Some(Chain::Bitcoind { host, port, user, password })
        } else {
            let default = match network {
                Network::Bitcoin => Some("https://blockstream.info/api"),
                Network::Signet => Some("https://mempool.space/signet/api"),
                Network::Testnet => Some("https://blockstream.info/testnet/api"),
                Network::Regtest => None,
            };
            match (url, default) {
                (Some(url), _) => Some(Chain::Esplora { url }),
                (None, Some(text)) => {
                    let url = value::esplora(text).map_err(|why| self.wrong("chain.url", why))?;
                    Some(Chain::Esplora { url })
                }
                (None, None) if kind.is_some() => {
                    let why = "is esplora, and regtest has none of its own: set chain.url";
                    return Err(self.wrong("chain.kind", why.to_owned()));
                }
                (None, None) => None,
            }
        };
        self.show_chain(chain.as_ref());
        Ok(chain)
    }

    fn show_chain(&mut self, chain: Option<&Chain>) {
        for key in KEYS.iter().filter(|key| key.name.starts_with("chain.")) {
            self.show(key.name, "");
        }
        match chain {
            Some(Chain::Esplora { url }) => {
                self.show("chain.kind", "esplora");
                self.show("chain.url", url);
            }
            Some(Chain::Bitcoind { host, port, user, password }) => {
                self.show("chain.kind", "bitcoind");
                self.show("chain.host", host);
                self.show("chain.port", port);
                self.show("chain.user", user);
                match password {
                    Password::Given(_) => self.show("chain.password", "***"),
                    Password::File(path) => self.show("chain.password_file", path.display()),
                }
            }
            None => {}
        }
    }

    fn lsp(&mut self) -> Result<Option<Lsp>, Error> {
        let node = self.one("lsp.node", value::lsp_node)?;
        let token = self.one("lsp.token", value::word)?.map(Secret::from);
        match &node {
            Some((id, at)) => self.show("lsp.node", format!("{id}@{at}")),
            None => self.show("lsp.node", ""),
        }
        self.show("lsp.token", if token.is_some() { "***" } else { "" });
        if token.is_some() && node.is_none() {
            return Err(self.wrong("lsp.token", "needs lsp.node beside it".to_owned()));
        }
        Ok(node.map(|(node_id, address)| Lsp { node_id, address, token }))
    }

    /// The value of `key` through `parse`, if one was given.
    fn one<T>(
        &self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, Error> {
        match self.given.get(key).map(|s| &s.given) {
            None => Ok(None),
            Some(Given::Many(_)) => Err(self.wrong(key, "is one value, not a list".to_owned())),
            Some(Given::One(text)) => parse(text).map(Some).map_err(|why| self.wrong(key, why)),
        }
    }

    fn number(&mut self, key: &'static str, or: u64, least: u64, most: u64) -> Result<u64, Error> {
        let number = self.one(key, |text| value::whole(text, least, most))?.unwrap_or(or);
        self.show(key, number);
        Ok(number)
    }

    fn path(&self, key: &'static str) -> Result<Option<PathBuf>, Error> {
        let beside = match self.given.get(key).map(|s| &s.place.source) {
            Some(Source::File { path, .. }) => path.parent(),
            _ => None,
        };
        self.one(key, |text| match text {
            "" => Err("is empty; name a path".to_owned()),
            // What a variable that is no text was turned into: another directory than was meant.
            text if text.contains('\u{fffd}') => Err("is not valid UTF-8".to_owned()),
            text if text.starts_with('~') && self.home.is_none() => {
                Err("starts with ~, and there is no home directory".to_owned())
            }
            text => Ok(expand(text, self.home.as_deref(), beside)),
        })
    }

    fn source(&self, key: &str) -> Source {
        self.given.get(key).map_or(Source::Default, |s| s.place.source.clone())
    }

    fn show(&mut self, key: &'static str, value: impl std::fmt::Display) {
        let source = self.source(key);
        self.shown.insert(key, (value.to_string(), source));
    }

    fn wrong(&self, key: &'static str, why: String) -> Error {
        let place = match self.given.get(key) {
            Some(setting) => setting.place.clone(),
            None => Place { source: Source::Default, column: None },
        };
        Error::Invalid { place, key, why }
    }
}

#[cfg(test)]
mod tests;

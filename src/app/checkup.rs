//! A checkup: is everything there that a job needs? It looks and changes nothing.

use std::net::ToSocketAddrs as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use super::{Setup, keyring};
use crate::config::Config;
use crate::engine::{Clock, NodeStatus, RelayHealth, Relays as _};
use crate::keys::SystemClock;
use crate::lightning::Chain;
use crate::market::{Msat, Time};
use crate::nostr::{Pool, PoolConfig};

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// As it should be.
    Ok,
    /// Some things will not work.
    Warn,
    /// Nothing will.
    Fail,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Check {
    /// What was looked at; stable.
    pub name: &'static str,
    /// How it came out.
    pub health: Health,
    /// What was found.
    pub found: String,
    /// What to do about it, if there is anything.
    pub remedy: Option<String>,
}

/// How long any of them is waited for.
const PATIENCE: Duration = Duration::from_secs(8);
/// Free disk below which nothing can be relied on, and below which a few deliveries fill it.
const LEAST_DISK: u64 = 64 << 20;
const GOOD_DISK: u64 = 1 << 30;
/// Relays refuse what is dated further ahead; Bitcoin takes two hours.
const MOST_SKEW: u64 = 15 * 60;
/// When this was written: a clock before that is not set.
const WRITTEN: Time = Time(1_760_000_000);
/// Bytes of an answer that are read.
const MOST_ANSWER: usize = 64 * 1024;

impl Check {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, health: Health::Ok, found: found.into(), remedy: None }
    }
    fn warn(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        let remedy = Some(remedy.into());
        Self { name, health: Health::Warn, found: found.into(), remedy }
    }
    fn fail(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { health: Health::Fail, ..Self::warn(name, found, remedy) }
    }
}

/// What can be seen without a network: configuration, directory, disk, keys.
pub fn check_machine(config: &Config) -> Vec<Check> {
    let given: Vec<String> = config
        .explain()
        .into_iter()
        .filter(|(_, _, source)| *source != crate::config::Source::Default)
        .map(|(key, _, source)| format!("{key} ({source})"))
        .collect();
    let found = if given.is_empty() { "all defaults".into() } else { given.join(", ") };
    vec![
        Check::ok("config", found),
        directory(&config.data_dir),
        disk(&config.data_dir),
        keys(config),
    ]
}

fn directory(dir: &Path) -> Check {
    let at = dir.display();
    match std::fs::metadata(dir) {
        Ok(about) if !about.is_dir() => Check::fail(
            "data-dir",
            format!("{at} is not a directory"),
            "Name another with --data-dir DIR.",
        ),
        Ok(about) if about.permissions().mode() & 0o077 != 0 => Check::warn(
            "data-dir",
            format!(
                "{at} can be entered by others (mode {:03o})",
                about.permissions().mode() & 0o777
            ),
            format!("Run: chmod 700 {at}"),
        ),
        Ok(_) => Check::ok("data-dir", format!("{at}, private")),
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => {
            Check::fail("data-dir", format!("{at} is not there yet"), "Run: earnest init")
        }
        Err(why) => Check::fail(
            "data-dir",
            format!("{at} cannot be read: {why}"),
            "Make it yours, or name another with --data-dir DIR.",
        ),
    }
}

fn disk(dir: &Path) -> Check {
    let there = dir.ancestors().find(|d| d.exists()).unwrap_or(Path::new("."));
    match fs4::available_space(there) {
        Ok(free) => {
            let found = format!("{} MiB free", free >> 20);
            let remedy = "Free some disk: a full one stops deliveries and delays the node.";
            match free {
                free if free < LEAST_DISK => Check::fail("disk", found, remedy),
                free if free < GOOD_DISK => Check::warn("disk", found, remedy),
                _ => Check::ok("disk", found),
            }
        }
        Err(why) => {
            Check::warn("disk", format!("free space is unknown: {why}"), "Look with: df -h")
        }
    }
}

fn keys(config: &Config) -> Check {
    let path = keyring::vault_path(config);
    let at = path.display();
    let vault = keyring::vault(config);
    let mode = std::fs::metadata(&path).map_or(0, |about| about.permissions().mode() & 0o777);
    match vault.is_locked() {
        Ok(true) if mode & 0o077 != 0 => Check::warn(
            "keys",
            format!("{at}, encrypted, but others can read it (mode {mode:03o})"),
            format!("Run: chmod 600 {at}"),
        ),
        Ok(true) => Check::ok("keys", format!("{at}, encrypted")),
        Ok(false) if mode & 0o077 != 0 => Check::fail(
            "keys",
            format!("{at} is not encrypted and others can read it (mode {mode:03o})"),
            format!("If nobody read it, run: chmod 600 {at}. Else move your money to new keys."),
        ),
        Ok(false) => Check::ok("keys", format!("{at}, not encrypted, for you alone")),
        Err(keyring::VaultError::Missing(_)) => {
            Check::fail("keys", "there are no keys yet", "Run: earnest init")
        }
        Err(why) => Check::fail(
            "keys",
            why.to_string(),
            "Put a copy of the file back, or restore from the recovery phrase in another --data-dir.",
        ),
    }
}

/// What can be seen with a network, all at once: clock, blocks, relays, LSP.
pub async fn check_network(setup: &Setup) -> Vec<Check> {
    let ((chain, date), relays, lsp) =
        tokio::join!(blocks(&setup.chain), relays(&setup.relays), lsp(setup));
    let mut all = vec![clock(date), chain];
    all.extend(relays);
    all.push(lsp);
    all
}

/// The clock against the date that the source of blocks puts on its answer.
fn clock(date: Option<Time>) -> Check {
    let now = SystemClock.now();
    let remedy =
        "Set the clock, for example by turning on NTP: relays refuse events dated wrongly.";
    if now < WRITTEN {
        return Check::fail("clock", "the clock is years behind", remedy);
    }
    let Some(date) = date else {
        let remedy = "Nothing to do if the clock is right.";
        return Check::warn("clock", "nobody could be asked for the time", remedy);
    };
    let (off, way) = match date.0.cmp(&now.0) {
        std::cmp::Ordering::Greater => (now.until(date), "behind"),
        _ => (date.until(now), "ahead"),
    };
    match off.0 {
        0..=60 => Check::ok("clock", "right to the minute"),
        61..=MOST_SKEW => Check::warn("clock", format!("{off} {way}"), remedy),
        _ => Check::fail("clock", format!("{off} {way}"), remedy),
    }
}

async fn blocks(chain: &Chain) -> (Check, Option<Time>) {
    let (what, asked) = match chain {
        Chain::Esplora { url } => (url.clone(), esplora(url).await),
        Chain::Bitcoind { host, port, user, password } => {
            (format!("bitcoind at {host}:{port}"), bitcoind(host, *port, user, password).await)
        }
    };
    match asked {
        Ok((height, date)) => (Check::ok("chain", format!("{what}, height {height}")), date),
        Err(why) => {
            let remedy = "Start it, or name another: --chain-url URL (Esplora) or --chain-host HOST \
                          (bitcoind). Without blocks no money moves.";
            (Check::fail("chain", format!("{what} does not say its height: {why}"), remedy), None)
        }
    }
}

fn client() -> Result<reqwest::Client, String> {
    let builder = reqwest::Client::builder().timeout(PATIENCE);
    builder.build().map_err(|_| "no HTTP client can be made on this machine".to_owned())
}

async fn esplora(url: &str) -> Result<(u64, Option<Time>), String> {
    let request = client()?.get(format!("{url}/blocks/tip/height"));
    let (text, date) = answer(request).await?;
    let height = text.trim().parse().map_err(|_| "its answer is no height".to_owned())?;
    Ok((height, date))
}

async fn bitcoind(
    host: &str,
    port: u16,
    user: &str,
    password: &str,
) -> Result<(u64, Option<Time>), String> {
    let host = if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    let ask = json!({"jsonrpc": "1.0", "id": "doctor", "method": "getblockcount", "params": []});
    let request = client()?
        .post(format!("http://{host}:{port}/"))
        .basic_auth(user, Some(password))
        .json(&ask);
    let (text, date) = answer(request).await?;
    let value: Value =
        serde_json::from_str(&text).map_err(|_| "its answer is no JSON".to_owned())?;
    let height = value["result"].as_u64().ok_or("its answer is no height")?;
    Ok((height, date))
}

/// The text of an answer and the date on it. What went wrong is said in our own words: an address may
/// hold a secret, and what a server says is a stranger's text.
async fn answer(request: reqwest::RequestBuilder) -> Result<(String, Option<Time>), String> {
    let went_wrong = |why: reqwest::Error| {
        let said = if why.is_timeout() {
            "no answer in time"
        } else if why.is_connect() {
            "no connection"
        } else {
            "the answer broke off"
        };
        said.to_owned()
    };
    let mut answer = request.send().await.map_err(went_wrong)?;
    if answer.status() == 401 || answer.status() == 403 {
        return Err("user or password are wrong".to_owned());
    }
    if !answer.status().is_success() {
        return Err(format!("it answers with HTTP {}", answer.status().as_u16()));
    }
    let date = answer.headers().get("date").and_then(|d| d.to_str().ok()).and_then(http_date);
    let mut bytes = Vec::new();
    while let Some(more) = answer.chunk().await.map_err(went_wrong)? {
        if bytes.len() + more.len() > MOST_ANSWER {
            return Err("the answer is too long".to_owned());
        }
        bytes.extend_from_slice(&more);
    }
    Ok((String::from_utf8_lossy(&bytes).into_owned(), date))
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, 5.6.7).
fn http_date(text: &str) -> Option<Time> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let mut words = text.split_once(", ")?.1.split(' ');
    let day: u64 = words.next()?.parse().ok()?;
    let month = words.next()?;
    let month = MONTHS.as_bytes().chunks(3).position(|m| m == month.as_bytes())? as u64;
    let year: u64 = words.next()?.parse().ok().filter(|y| (1970..10_000).contains(y))?;
    let mut clock = words.next()?.split(':').map(|n| n.parse::<u64>().ok());
    let (h, m, s) = (clock.next()??, clock.next()??, clock.next()??);
    // Days since 1970-01-01 of a Gregorian date, the year beginning in March.
    let (y, m0) = if month < 2 { (year - 1, month + 10) } else { (year, month - 2) };
    let days =
        (y * 365 + y / 4 - y / 100 + y / 400 + (m0 * 153 + 2) / 5 + day).checked_sub(719_469)?;
    Some(Time(days * 86_400 + h * 3600 + m * 60 + s))
}

async fn relays(urls: &[String]) -> Vec<Check> {
    if urls.is_empty() {
        let remedy =
            "Name one with --relay URL, or in the configuration file as relays = [\"wss://...\"].";
        return vec![Check::fail("relay", "no relay is configured", remedy)];
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let pool = Pool::start(PoolConfig::new(urls.to_vec(), clock));
    let settled = |r: &RelayHealth| r.connected || r.trouble.is_some();
    let looked = async {
        loop {
            let health = pool.health().await;
            if health.iter().all(settled) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    // Whoever has said nothing by then is silent; that is the finding.
    let _ = tokio::time::timeout(PATIENCE, looked).await;
    let health = pool.health().await;
    pool.close();
    let any = health.iter().any(|r| r.connected);
    let check = |relay: RelayHealth| {
        if relay.connected {
            return Check::ok("relay", format!("{} is connected", relay.url));
        }
        let why = relay.trouble.unwrap_or_else(|| "no answer in time".into());
        let found = format!("{} is not reachable: {why}", relay.url);
        if any {
            Check::warn("relay", found, "Nothing to do while another relay is reachable.")
        } else {
            Check::fail("relay", found, "Look at the network, or name another with --relay URL.")
        }
    };
    health.into_iter().map(check).collect()
}

async fn lsp(setup: &Setup) -> Check {
    let Some(lsp) = &setup.lsp else {
        let remedy = "Set lsp.node to be paid on a first job without a channel of your own.";
        return Check::warn("lsp", "none is configured", remedy);
    };
    let at = lsp.peer.address.clone();
    let remedy =
        "Without it a first payment cannot arrive. Ask its operator, or set another lsp.node.";
    let named = at.clone();
    let resolved = tokio::task::spawn_blocking(move || named.to_socket_addrs());
    let connected = async {
        let addresses = resolved.await.ok()?.ok()?;
        for address in addresses {
            if tokio::net::TcpStream::connect(address).await.is_ok() {
                return Some(());
            }
        }
        None
    };
    match tokio::time::timeout(PATIENCE, connected).await {
        Ok(Some(())) => Check::ok("lsp", format!("{at} answers")),
        _ => Check::fail("lsp", format!("{at} does not answer"), remedy),
    }
}

/// What the node can send and receive.
pub fn check_liquidity(status: &NodeStatus) -> Check {
    let b = &status.balances;
    let found = format!(
        "can send {}, can receive {}, on the chain {}",
        b.lightning_spendable, b.lightning_receivable, b.onchain_spendable
    );
    match status.least_first {
        None if b.lightning_receivable == Msat::ZERO => Check::warn(
            "liquidity",
            format!("{found}; nothing can be received"),
            "To be paid, set lsp.node or open a channel.",
        ),
        Some(least) if b.lightning_receivable == Msat::ZERO => {
            Check::ok("liquidity", format!("{found}; the first payment must be at least {least}"))
        }
        _ => Check::ok("liquidity", found),
    }
}

/// That nothing can be started as it is configured, and why.
pub fn not_set_up(why: &anyhow::Error) -> Check {
    Check::fail("chain", format!("{why:#}"), "Set it right; earnest config shows what is set.")
}

/// That the node was not looked at, and why.
pub fn liquidity_unknown(why: &str) -> Check {
    let remedy =
        "Run doctor with --passphrase-file, and while no other earnest uses this directory.";
    Check::warn("liquidity", format!("not looked at: {why}"), remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_answers_are_read() {
        assert_eq!(http_date("Thu, 01 Jan 1970 00:00:00 GMT"), Some(Time(0)));
        assert_eq!(http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Time(784_111_777)));
        assert_eq!(http_date("Thu, 29 Feb 2024 23:59:59 GMT"), Some(Time(1_709_251_199)));
        assert_eq!(http_date("Fri, 01 Mar 2024 00:00:00 GMT"), Some(Time(1_709_251_200)));
        for wrong in ["", "yesterday", "Sun, 06 Nov", "Sun, 06 ovD 1994 08:49:37 GMT", "Sun, x"] {
            assert_eq!(http_date(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_wrong_clock_is_seen() {
        let now = SystemClock.now();
        assert_eq!(clock(Some(now)).health, Health::Ok);
        assert_eq!(clock(Some(Time(now.0 + 300))).health, Health::Warn);
        assert_eq!(clock(Some(Time(now.0 - 3600))).health, Health::Fail);
        assert_eq!(clock(None).health, Health::Warn);
    }
}

//! The settings by name, and the nearest name to a wrong one.

/// One setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its name; a dot separates the table from the key in the file.
    pub name: &'static str,
    /// What it sets, for `help` and for the template of a file.
    pub about: &'static str,
    /// Its value is shown to nobody and taken from no flag.
    pub secret: bool,
}

/// Every setting there is.
pub const KEYS: &[Key] = &[
    open("data_dir", "where keys, store, node and logs live"),
    open("network", "bitcoin, signet, testnet or regtest"),
    open("relays", "Nostr relays, ws:// or wss://"),
    open("chain.kind", "esplora or bitcoind; seen from the other keys if left out"),
    open("chain.url", "esplora: address of the API"),
    open("chain.host", "bitcoind: host"),
    open("chain.port", "bitcoind: RPC port"),
    open("chain.user", "bitcoind: RPC user"),
    secret("chain.password", "bitcoind: RPC password; password_file is safer"),
    open("chain.password_file", "bitcoind: file that holds the password, or the .cookie file"),
    open("lsp.node", "who opens just-in-time channels: node_id@host:port"),
    secret("lsp.token", "what the LSP asks for, if it does"),
    secret("wallet.nwc", "a wallet elsewhere that pays: its nostr+walletconnect://... address"),
    open("iroh.relay", "disabled, default, or the address of your own"),
    open("iroh.bind", "local address for transfers; port 0 takes a free one"),
    open("fees.routing_ppm_max", "most for routing, millionths of the amount"),
    open("fees.routing_base_max_sats", "most for routing, sats on top"),
    open("fees.lsp_ppm_max", "most for a just-in-time channel, millionths of the payment"),
    open("limits.max_price_sats", "highest price of a job, sats"),
    open("limits.max_deliverable_bytes", "largest deliverable, bytes"),
    open("limits.max_input_bytes", "largest input or attachment, bytes"),
    open("limits.tranche_sats", "largest parts of sealed prices with one stranger together, sats"),
    open("limits.direct_sats", "most that is delivered in the open to one stranger, sats"),
    open("limits.escrow_sats", "most that is locked with one stranger, sats"),
    open(
        "reputation.receipts",
        "yes: your identity co-signs and publishes who did which job for whom, once paid",
    ),
    open("bot.per_job_sats", "bots and agents: highest price of a job, sats"),
    open(
        "bot.per_person_sats",
        "bots and agents: most for one person in a day, fees included, sats",
    ),
    open("bot.per_hour_sats", "bots and agents: most in an hour, open promises included, sats"),
    open("bot.per_day_sats", "bots and agents: most in a day, open promises included, sats"),
    open("bot.at_risk_sats", "bots and agents: most promised and not over, sats"),
    open("bot.fee_ppm_max", "bots and agents: most for routing, millionths of the amount"),
    open("bot.fee_base_max_sats", "bots and agents: most for routing, sats on top"),
    open("bot.modes", "bots and agents: settlement modes they may use"),
    open(
        "bot.checks",
        "bots and agents: kinds of checks they may rely on, any if none is named; required: only with one",
    ),
    open("bot.approve_above_sats", "bots and agents: above this a person is asked, sats"),
    open("mcp.dry_run", "true: agents only say what they would do; false: they act, within bot.*"),
    open("log.level", "off, error, warn, info, debug or trace"),
    open("log.file", "log file"),
];

const fn open(name: &'static str, about: &'static str) -> Key {
    Key { name, about, secret: false }
}

const fn secret(name: &'static str, about: &'static str) -> Key {
    Key { name, about, secret: true }
}

impl Key {
    /// The setting called `name`.
    pub fn named(name: &str) -> Option<&'static Self> {
        KEYS.iter().find(|key| key.name == name)
    }

    /// The environment variable that sets it: `EARNEST_CHAIN_URL` for `chain.url`.
    pub fn env(&self) -> String {
        format!("EARNEST_{}", self.name.replace('.', "_").to_ascii_uppercase())
    }
}

/// The setting that `wrong` was probably meant to be: close in spelling, or right but for its table.
pub(super) fn nearest(wrong: &str) -> Option<&'static str> {
    let wrong = wrong.to_ascii_lowercase().replace('-', "_");
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let near = |key: &&Key| distance(&wrong, key.name) <= 1 + wrong.chars().count() / 5;
    KEYS.iter()
        .filter(near)
        .min_by_key(|key| distance(&wrong, key.name))
        .or_else(|| KEYS.iter().find(|key| last(key.name) == last(&wrong)))
        .map(|key| key.name)
}

/// Levenshtein distance, for names; a name far longer than any key costs nothing.
fn distance(a: &str, b: &str) -> usize {
    if a.len() > 64 {
        return usize::MAX;
    }
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let swap = corner + usize::from(x != *y);
            corner = row[j + 1];
            row[j + 1] = swap.min(corner + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_key() {
        for (wrong, meant) in [
            ("netwrok", Some("network")),
            ("Network", Some("network")),
            ("data-dir", Some("data_dir")),
            ("relay", Some("relays")),
            ("chain.uri", Some("chain.url")),
            ("max_price_sats", Some("limits.max_price_sats")),
            ("logs.level", Some("log.level")),
            ("favourite_colour", None),
            (&"x".repeat(10_000), None),
        ] {
            assert_eq!(nearest(wrong), meant, "{wrong}");
        }
    }
}

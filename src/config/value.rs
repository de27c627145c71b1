//! One value from its text, and the sentence that says what it may be.

use std::str::FromStr;

use bitcoin::secp256k1::PublicKey;
use url::Url;

use super::{IrohRelay, Network};

type Parsed<T> = Result<T, String>;

pub(super) fn network_name(network: Network) -> &'static str {
    match network {
        Network::Bitcoin => "bitcoin",
        Network::Signet => "signet",
        Network::Testnet => "testnet",
        Network::Regtest => "regtest",
    }
}

pub(super) fn network(text: &str) -> Parsed<Network> {
    [Network::Bitcoin, Network::Signet, Network::Testnet, Network::Regtest]
        .into_iter()
        .find(|n| network_name(*n) == text)
        .ok_or_else(|| format!("is bitcoin, signet, testnet or regtest, not `{text}`"))
}

pub(super) fn relay(text: &str) -> Parsed<Url> {
    address(text, &["wss", "ws"])
}

pub(super) fn esplora(text: &str) -> Parsed<Url> {
    address(text.trim_end_matches('/'), &["https", "http"])
}

pub(super) fn iroh_relay(text: &str) -> Parsed<IrohRelay> {
    match text {
        "disabled" => Ok(IrohRelay::Disabled),
        "default" => Ok(IrohRelay::Default),
        url => match address(url, &["https", "http"]) {
            Ok(url) => Ok(IrohRelay::Url(url)),
            Err(why) => Err(format!("is disabled, default or an address; this {why}")),
        },
    }
}

/// An address of one of `schemes`. A password in it would end up in logs, so it is refused unseen.
fn address(text: &str, schemes: &[&str]) -> Parsed<Url> {
    let want = schemes.join(":// or ");
    let url = Url::parse(text).map_err(|why| format!("needs an address {want}://HOST: {why}"))?;
    if !schemes.contains(&url.scheme()) || url.host_str().is_none_or(str::is_empty) {
        return Err(format!("needs an address {want}://HOST"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("has a user or password in the address, which logs would show".to_owned());
    }
    Ok(url)
}

/// `node_id@host:port`.
pub(super) fn lsp_node(text: &str) -> Parsed<(PublicKey, String)> {
    let form = "is node_id@host:port";
    let (id, at) = text.split_once('@').ok_or_else(|| format!("{form}; there is no @"))?;
    let id = PublicKey::from_str(id)
        .map_err(|_| format!("{form}; the node id is no public key of 66 hex digits"))?;
    let (host, port) = at.rsplit_once(':').ok_or_else(|| format!("{form}; there is no port"))?;
    host_name(host).map_err(|_| format!("{form}; `{host}` is no host"))?;
    port_number(port).map_err(|_| format!("{form}; `{port}` is no port"))?;
    Ok((id, at.to_owned()))
}

pub(super) fn host_name(text: &str) -> Parsed<String> {
    match url::Host::parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("is a host name or an address, without a port".to_owned()),
    }
}

pub(super) fn port_number(text: &str) -> Parsed<u16> {
    text.parse().ok().filter(|p| *p != 0).ok_or_else(|| "is a port from 1 to 65535".to_owned())
}

/// A whole number from `least` to `most`; underscores may group its digits.
pub(super) fn whole(text: &str, least: u64, most: u64) -> Parsed<u64> {
    let digits = text.replace('_', "");
    digits
        .parse()
        .ok()
        .filter(|n| (least..=most).contains(n))
        .ok_or_else(|| format!("is a whole number from {least} to {most}"))
}

/// An address of Nostr Wallet Connect (NIP-47). Never repeats what it refuses: there is a secret in it.
pub(super) fn wallet(text: &str) -> Parsed<String> {
    let form = "is the address that a wallet gives you for Nostr Wallet Connect: \
                nostr+walletconnect://KEY?relay=wss://...&secret=...";
    let url = Url::parse(text.trim()).ok().filter(|url| url.scheme() == "nostr+walletconnect");
    let url = url.ok_or(form)?;
    let has = |name: &str| url.query_pairs().any(|(key, value)| key == name && !value.is_empty());
    if !has("relay") || !has("secret") {
        return Err(form.to_owned());
    }
    Ok(text.trim().to_owned())
}

pub(super) fn yes(text: &str) -> Parsed<bool> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(format!("is true or false, not `{text}`")),
    }
}

pub(super) fn level(text: &str) -> Parsed<String> {
    match text {
        "off" | "error" | "warn" | "info" | "debug" | "trace" => Ok(text.to_owned()),
        _ => Err(format!("is off, error, warn, info, debug or trace, not `{text}`")),
    }
}

/// A user name, token or password: printable and not empty. Never repeats what it refuses.
pub(super) fn word(text: &str) -> Parsed<String> {
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err("is empty or holds a control character".to_owned());
    }
    Ok(text.to_owned())
}

//! From a configuration to what an app is made of.

use anyhow::Context as _;

use crate::app::Setup;
use crate::config::{self, Config};
use crate::lightning::{self, Peer};
use crate::market::NodeId;
use crate::transfer::{Bind, RelayChoice};

/// What the configuration says to assemble.
pub fn from_config(config: &Config, what: &'static str) -> anyhow::Result<Setup> {
    let chain = match &config.chain {
        Some(config::Chain::Bitcoind { host, port, user, password }) => {
            let (user, password) = password
                .read(user)
                .context("The password of bitcoind cannot be read. Nothing was started")?;
            lightning::Chain::Bitcoind {
                host: host.clone(),
                port: *port,
                user,
                password: password.expose().to_owned(),
            }
        }
        Some(config::Chain::Esplora { url }) => {
            lightning::Chain::Esplora { url: url.as_str().trim_end_matches('/').to_owned() }
        }
        None => anyhow::bail!(
            "No source of blocks is configured for regtest. Set `chain`, for example to what `earnest sandbox --serve --json` prints."
        ),
    };
    let lsp = config.lsp.as_ref().map(|lsp| lightning::Lsp {
        peer: Peer { id: NodeId(lsp.node_id.serialize()), address: lsp.address.clone() },
        token: lsp.token.as_ref().map(|t| t.expose().to_owned()),
    });
    Ok(Setup {
        dir: config.network_dir(),
        network: config.network,
        relays: config.relays.iter().map(|r| r.as_str().trim_end_matches('/').to_owned()).collect(),
        chain,
        lsp,
        listen: None,
        lsp_fee_cap_ppm: u64::from(config.fees.lsp_ppm_max),
        bind: Bind::At(config.iroh.bind),
        relay: match &config.iroh.relay {
            config::IrohRelay::Disabled => RelayChoice::Disabled,
            config::IrohRelay::Default => RelayChoice::Default,
            config::IrohRelay::Url(url) => RelayChoice::Url(url.as_str().to_owned()),
        },
        policy: config.policy,
        payer: match &config.payer {
            Some(secret) => Some(lightning::WalletUri::read(secret.expose()).context(
                "wallet.nwc is not an address of Nostr Wallet Connect: copy it anew from your wallet",
            )?),
            None => None,
        },
        budget: config.bot.clone(),
        what,
    })
}

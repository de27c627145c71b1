//! `sandbox --serve`: chain, relay and LSP alone, so that any earnest joins as an ordinary peer.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::sandbox::world::{World, WorldSetup};
use crate::sandbox::{ChainControl, Endpoint, FaucetKey};

/// Where everything of a served sandbox is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Served {
    /// `ws://`.
    pub relay: String,
    /// Bitcoin Core's RPC.
    pub bitcoind: Endpoint,
    /// `id@host:port`.
    pub lsp: String,
    /// The file that `mine` and `fund` read: this structure, as JSON.
    pub control: PathBuf,
}

/// What the LSP of a served sandbox begins with, in sats.
const LSP_SATS: u64 = 100_000_000;

fn control(dir: &Path) -> PathBuf {
    dir.join("sandbox.json")
}

/// Serves until `stop` ends.
pub async fn serve(
    dir: PathBuf,
    on_ready: impl FnOnce(&Served),
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let setup = WorldSetup { dir: Some(dir.clone()), ..WorldSetup::default() };
    let mut world = World::start(setup).await?;
    if world.lsp_purse().await?.onchain < LSP_SATS * 500 {
        let address = world.lsp().new_address().await?;
        world.fund(&address, LSP_SATS).await?;
        world.mine(1, &[]).await?;
    }
    let path = control(&dir);
    let served = Served {
        relay: world.relay_url().to_owned(),
        bitcoind: world.chain().endpoint().clone(),
        lsp: world.lsp().peer().to_string(),
        control: path.clone(),
    };
    write_private(&path, &serde_json::to_vec(&served)?)
        .with_context(|| format!("{} cannot be written", path.display()))?;
    on_ready(&served);
    stop.await;
    let _ = std::fs::remove_file(&path);
    world.stop().await
}

#[cfg(unix)]
fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600).open(path)?.write_all(bytes)
}

#[cfg(not(unix))]
fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    std::fs::write(path, bytes)
}

fn attach(dir: &Path) -> anyhow::Result<ChainControl> {
    let path = control(dir);
    let text = std::fs::read(&path).with_context(|| {
        format!(
            "No sandbox is served in {}. Start one: earnest sandbox --serve --dir {}",
            dir.display(),
            dir.display()
        )
    })?;
    let served: Served =
        serde_json::from_slice(&text).with_context(|| format!("{} is damaged", path.display()))?;
    let key = FaucetKey::open(&dir.join("chain"))?;
    Ok(ChainControl::attach(served.bitcoind, key)?)
}

/// Mines on a served sandbox; returns the new height.
pub async fn mine(dir: &Path, blocks: u32) -> anyhow::Result<u32> {
    Ok(attach(dir)?.mine(blocks).await?)
}

/// Pays coins from the faucet of a served sandbox; returns the transaction's id. It confirms with the next
/// block.
pub async fn fund(dir: &Path, address: &str, sats: u64) -> anyhow::Result<String> {
    let address: bitcoin::Address<bitcoin::address::NetworkUnchecked> =
        address.parse().context("that is not a bitcoin address")?;
    let address = address
        .require_network(bitcoin::Network::Regtest)
        .context("that address is not on regtest")?;
    let txid = attach(dir)?.fund(&address, bitcoin::Amount::from_sat(sats)).await?;
    Ok(txid.to_string())
}

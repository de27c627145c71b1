//! `sandbox --serve`: chain, relay and LSP, so that any earnest joins as an ordinary peer.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::engine::Dice as _;
use crate::keys::OsDice;
use crate::sandbox::world::{World, WorldSetup};
use crate::sandbox::{ChainControl, Endpoint, FaucetKey};

/// Where everything of a served sandbox is.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
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

/// A world that is served.
pub(super) struct Open {
    pub(super) world: World,
    pub(super) served: Served,
    /// What all keys follow from.
    pub(super) seed: u64,
}

/// Starts a world in a folder, or goes on with the one there is, and says where everything is.
pub(super) async fn open_world(
    dir: &Path,
    seed: Option<u64>,
    relay: Option<String>,
) -> anyhow::Result<Open> {
    std::fs::create_dir_all(dir).with_context(|| format!("{} cannot be made", dir.display()))?;
    let seed = kept_seed(dir, seed)?;
    let setup = WorldSetup { dir: Some(dir.to_owned()), seed: Some(seed), relay };
    let mut world = World::start(setup).await?;
    if world.lsp_purse().await?.onchain < LSP_SATS * 500 {
        let address = world.lsp().new_address().await?;
        world.fund(&address, LSP_SATS).await?;
        world.mine(1, &[]).await?;
    }
    let path = control(dir);
    let served = Served {
        relay: world.relay_url().to_owned(),
        bitcoind: world.chain().endpoint().clone(),
        lsp: world.lsp().peer().to_string(),
        control: path.clone(),
    };
    write_private(&path, &serde_json::to_vec(&served)?)
        .with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(Open { world, served, seed })
}

/// The seed of a folder: whoever lived there before has the same keys again.
fn kept_seed(dir: &Path, wanted: Option<u64>) -> anyhow::Result<u64> {
    let path = dir.join("seed");
    match (std::fs::read_to_string(&path), wanted) {
        (Ok(text), wanted) => {
            let kept: u64 =
                text.trim().parse().with_context(|| format!("{} is damaged", path.display()))?;
            match wanted {
                Some(wanted) if wanted != kept => anyhow::bail!(
                    "{} holds a sandbox of seed {kept}. Name another folder for seed {wanted}",
                    dir.display()
                ),
                _ => Ok(kept),
            }
        }
        (Err(why), wanted) if why.kind() == std::io::ErrorKind::NotFound => {
            let drawn = || {
                let [a, b, c, d, e, f, g, h, ..] = OsDice.nonce().0;
                u64::from_le_bytes([a, b, c, d, e, f, g, h])
            };
            let seed = wanted.unwrap_or_else(drawn);
            write_private(&path, seed.to_string().as_bytes())
                .with_context(|| format!("{} cannot be written", path.display()))?;
            Ok(seed)
        }
        (Err(why), _) => Err(why).with_context(|| format!("{} cannot be read", path.display())),
    }
}

/// Serves until `stop` ends. Keys follow from `seed`, drawn once for a folder when absent.
pub async fn serve(
    dir: PathBuf,
    seed: Option<u64>,
    on_ready: impl FnOnce(&Served),
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let Open { world, served, .. } = open_world(&dir, seed, None).await?;
    on_ready(&served);
    stop.await;
    let _ = std::fs::remove_file(&served.control);
    world.stop().await
}

#[cfg(unix)]
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600).open(path)?.write_all(bytes)
}

#[cfg(not(unix))]
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
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

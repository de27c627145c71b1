//! The world of a story: a chain, a relay, an LSP, and parties that are ordinary earnests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use bitcoin::Amount;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::app::App;
use crate::engine::{Clock as _, Dice as _, Ports, Snapshot};
use crate::keys::{Keys, OsDice, Phrase, Secrets, SystemClock};
use crate::lightning::{Holdings, Node, WalletUri};
use crate::market::{Budget, Msat};
use crate::sandbox::control::Setup;
use crate::sandbox::ground::Ground;
use crate::sandbox::lsp::{FEE_PPM, Lsp, LspConfig};
use crate::sandbox::{ChainControl, Relay, RelayConfig};

/// What a party has, in msat.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Purse {
    /// Coins on the chain.
    pub onchain: u64,
    /// Its own side of its channels, with the reserve, commitment fee and anchors it stands for.
    pub channels: u64,
    /// HTLCs in flight that come back to it if nothing happens.
    pub held: u64,
}

impl Purse {
    pub(super) fn of(holdings: Holdings) -> Self {
        Self {
            onchain: holdings.onchain.get(),
            channels: holdings.channels.get(),
            held: holdings.held.get(),
        }
    }
    /// All of it.
    pub fn total(&self) -> u64 {
        self.onchain + self.channels + self.held
    }
}

/// A party: an ordinary earnest with a name.
pub struct Party {
    /// What the story calls it.
    pub name: &'static str,
    /// Its own data directory.
    pub dir: PathBuf,
    /// It.
    pub app: App,
}

impl Party {
    /// Waits until the snapshot shows something.
    pub async fn wait<T>(
        &self,
        what: &str,
        patience: Duration,
        mut look: impl FnMut(&Snapshot) -> Option<T>,
    ) -> anyhow::Result<T> {
        let mut watch = self.app.handle().watch();
        let seen = async {
            loop {
                if let Some(found) = look(&watch.borrow_and_update().clone()) {
                    return Ok(found);
                }
                if watch.changed().await.is_err() {
                    return Err(anyhow!("{}'s engine stopped while waiting for {what}", self.name));
                }
            }
        };
        match tokio::time::timeout(patience, seen).await {
            Ok(found) => found,
            Err(_) => bail!("{} waited {}s in vain for {what}", self.name, patience.as_secs()),
        }
    }

    /// What it has.
    pub async fn purse(&self) -> anyhow::Result<Purse> {
        Ok(Purse::of(self.app.node().holdings().await?))
    }
}

/// How a world is made.
#[derive(Debug, Clone, Default)]
pub struct WorldSetup {
    /// Where it lies; a temporary folder when absent.
    pub dir: Option<PathBuf>,
    /// A relay started elsewhere.
    pub relay: Option<String>,
    /// Keys of all parties follow from it; random when absent.
    pub seed: Option<u64>,
}

/// Chain, relay and LSP.
pub struct World {
    dir: PathBuf,
    temporary: Option<tempfile::TempDir>,
    chain: ChainControl,
    relay: Option<Relay>,
    url: String,
    lsp: Lsp,
    lsp_stopped: bool,
    seed: u64,
    began_at: u32,
    faucet: u64,
    faucet_fees: u64,
}

impl World {
    /// Starts chain, relay and LSP. The LSP has no coins yet.
    pub async fn start(setup: WorldSetup) -> anyhow::Result<Self> {
        let (dir, temporary) = match setup.dir {
            Some(dir) => (dir, None),
            None => {
                let made = tempfile::Builder::new().prefix("earnest-sandbox-").tempdir()?;
                (made.path().to_owned(), Some(made))
            }
        };
        std::fs::create_dir_all(&dir)
            .with_context(|| format!("The sandbox cannot be made in {}", dir.display()))?;
        let chain = ChainControl::start(
            Setup { dir: Some(dir.join("chain")), ..Setup::default() }.from_env(),
        )
        .await
        .context("The chain did not start")?;
        let (relay, url) = match setup.relay {
            Some(url) => (None, url),
            None => {
                let mut config = RelayConfig::new(Arc::new(SystemClock));
                config.dir = Some(dir.join("relay"));
                let relay = on_its_port(config, &dir.join("relay.port")).await;
                let relay = relay.context("The relay did not start")?;
                let url = relay.url();
                (Some(relay), url)
            }
        };
        // Drawn once: a party that comes back is the same one.
        let random = || OsDice.nonce().0.iter().take(8).fold(0, |n, b| n << 8 | u64::from(*b));
        let seed = setup.seed.unwrap_or_else(random);
        let lsp = Lsp::start(LspConfig {
            seed: node_seed(seed, "lsp"),
            dir: dir.join("lsp"),
            chain: chain.endpoint().clone(),
            runtime: tokio::runtime::Handle::current(),
            fee_ppm: FEE_PPM,
        })
        .await
        .context("The LSP did not start")?;
        let began_at = chain.height().await?;
        Ok(Self {
            dir,
            temporary,
            chain,
            relay,
            url,
            lsp,
            lsp_stopped: false,
            seed,
            began_at,
            faucet: 0,
            faucet_fees: 0,
        })
    }

    /// Where everything lies.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
    /// The chain.
    pub fn chain(&self) -> &ChainControl {
        &self.chain
    }
    /// The LSP.
    pub fn lsp(&self) -> &Lsp {
        &self.lsp
    }
    /// The relay's address.
    pub fn relay_url(&self) -> &str {
        &self.url
    }
    /// What a party must know of it.
    pub(super) fn ground(&self) -> Ground {
        Ground {
            dir: self.dir.clone(),
            relay: self.url.clone(),
            chain: self.chain.endpoint().clone(),
            lsp: self.lsp.peer().to_string(),
            seed: self.seed,
        }
    }

    /// Starts a party on this world's relay (or on `relay`), with its ports changed by `change`.
    pub async fn party(
        &self,
        name: &'static str,
        relay: Option<String>,
        change: impl FnOnce(Ports) -> Ports,
    ) -> anyhow::Result<Party> {
        self.party_with(name, relay, None, change).await
    }

    /// Starts a party that pays through a wallet elsewhere (NIP-47).
    pub async fn party_paid_by(&self, name: &'static str, wallet: &str) -> anyhow::Result<Party> {
        let payer = WalletUri::read(wallet).context("no address of a wallet")?;
        self.party_with(name, None, Some(payer), |ports| ports).await
    }

    async fn party_with(
        &self,
        name: &'static str,
        relay: Option<String>,
        payer: Option<WalletUri>,
        change: impl FnOnce(Ports) -> Ports,
    ) -> anyhow::Result<Party> {
        let own = self.ground();
        let ground = Ground { relay: relay.unwrap_or_else(|| own.relay.clone()), ..own };
        let app = ground.party_with(name, payer, change).await?;
        Ok(Party { name, dir: self.dir.join(name), app })
    }

    /// How many events of each kind the relay keeps; of one that was started elsewhere, how many it shows.
    pub async fn events_by_kind(&self) -> anyhow::Result<BTreeMap<String, u64>> {
        let Some(relay) = &self.relay else { return shown_by_kind(&self.url).await };
        let mut kinds = BTreeMap::new();
        for kind in KINDS {
            kinds.insert(kind.to_string(), relay.count(kind).await?);
        }
        Ok(kinds)
    }

    /// A party in a folder of this name below the world's, whose bots have this budget.
    pub(super) async fn party_bound(
        &self,
        name: &'static str,
        folder: &str,
        budget: Budget,
        change: impl FnOnce(Ports) -> Ports,
    ) -> anyhow::Result<Party> {
        let app = self.ground().party_bound(folder, budget, change).await?;
        Ok(Party { name, dir: self.dir.join(folder), app })
    }

    /// The keys of a party, for a process of its own.
    pub(super) fn keys_of(&self, folder: &str) -> Secrets {
        secrets(self.seed, folder)
    }

    /// Pays coins to an address, on the books of the faucet.
    pub async fn fund(&mut self, address: &str, sats: u64) -> anyhow::Result<()> {
        let txid = self.fund_unbooked(address, sats).await?;
        self.faucet += sats * 1000;
        self.faucet_fees += self.chain.fee_of(&txid).await?.to_sat() * 1000;
        Ok(())
    }

    /// Pays coins and writes nothing down: a story broken on purpose must not balance.
    pub async fn fund_unbooked(&self, address: &str, sats: u64) -> anyhow::Result<bitcoin::Txid> {
        let address: bitcoin::Address<bitcoin::address::NetworkUnchecked> = address.parse()?;
        let address = address.require_network(bitcoin::Network::Regtest)?;
        Ok(self.chain.fund(&address, Amount::from_sat(sats)).await?)
    }

    /// Mines, and has every node learn of it now.
    pub async fn mine(&self, blocks: u32, parties: &[&Party]) -> anyhow::Result<()> {
        self.chain.mine(blocks).await?;
        self.sync(parties).await
    }

    /// Has every node see all the blocks there are now.
    pub async fn sync(&self, parties: &[&Party]) -> anyhow::Result<()> {
        let tip = self.chain.client().height().await?;
        let mut nodes: Vec<&Node> = parties.iter().map(|party| &**party.app.node()).collect();
        nodes.extend((!self.lsp_stopped).then(|| self.lsp.node()));
        for node in nodes {
            let seen = async {
                // A look that had begun before the newest block is answered without it.
                loop {
                    node.sync().await?;
                    if node.height() >= tip {
                        return anyhow::Ok(());
                    }
                }
            };
            let patience = Duration::from_secs(60);
            tokio::time::timeout(patience, seen)
                .await
                .context("a node does not see new blocks")??;
        }
        Ok(())
    }

    /// Gives the LSP coins and a party a channel to it.
    pub async fn open_channel(&mut self, party: &Party, sats: u64) -> anyhow::Result<()> {
        let (lsp, own) = (self.lsp.new_address().await?, party.app.node().new_address().await?);
        self.fund(&lsp, LSP_COINS.max(sats * 2)).await?;
        // The channel, the anchor's reserve and the fee of the funding transaction.
        self.fund(&own, sats + 50_000).await?;
        self.mine(1, &[party]).await?;
        party.app.node().open_channel(self.lsp.peer(), sats).await?;
        // The funding transaction must be in the mempool before it can be mined.
        let waiting = async {
            while self.chain.client().waiting().await?.is_empty() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(Duration::from_secs(30), waiting)
            .await
            .context("no funding transaction came into the mempool")??;
        self.mine(6, &[party]).await?;
        party
            .wait("a usable channel", Duration::from_secs(60), |s| {
                s.node.as_ref().filter(|n| n.channels_usable > 0).map(|_| ())
            })
            .await
    }

    /// Waits until no channel of anybody's is between two states: a payment is told a moment before both
    /// ends have signed the balances that follow from it. Gives up quietly; the account then shows it.
    pub async fn still(&self, parties: &[&Party]) -> anyhow::Result<()> {
        let quiet = async {
            loop {
                let mut moving = self.lsp.holdings().await.is_ok_and(|holdings| holdings.moving);
                for party in parties {
                    moving |= party.app.node().holdings().await?.moving;
                }
                if !moving {
                    return anyhow::Ok(());
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), quiet).await.unwrap_or(Ok(()))
    }

    /// Takes the LSP away.
    pub async fn stop_lsp(&mut self) -> anyhow::Result<()> {
        self.lsp_stopped = true;
        Ok(self.lsp.stop().await?)
    }

    /// What the LSP has.
    pub async fn lsp_purse(&self) -> anyhow::Result<Purse> {
        Ok(Purse::of(self.lsp.holdings().await?))
    }

    /// Booked payments of the faucet, and on-chain fees of everybody but the faucet, in msat.
    pub async fn books(&self) -> anyhow::Result<(u64, u64)> {
        let all = self.chain.total_fees_msat(self.began_at).await?;
        Ok((self.faucet, all.saturating_sub(self.faucet_fees)))
    }

    /// Stops everything in order.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.lsp.stop().await?;
        if let Some(relay) = self.relay {
            relay.stop();
        }
        self.chain.stop().await?;
        drop(self.temporary);
        Ok(())
    }
}

/// Starts a relay on the port it had the last time, if that can be had: listings and jobs name it.
async fn on_its_port(config: RelayConfig, kept: &Path) -> anyhow::Result<Relay> {
    let last = std::fs::read_to_string(kept).ok().and_then(|text| text.trim().parse().ok());
    if let Some(port) = last
        && let Ok(relay) = Relay::start(RelayConfig { port, ..config.clone() }).await
    {
        return Ok(relay);
    }
    let relay = Relay::start(config).await?;
    std::fs::write(kept, relay.port().to_string())
        .with_context(|| format!("{} cannot be written", kept.display()))?;
    Ok(relay)
}

/// What the LSP begins with: channels four times as large as first payments, and a reserve for each.
const LSP_COINS: u64 = 20_000_000;

/// The keys of one party.
pub(super) fn secrets(seed: u64, name: &str) -> Secrets {
    let mut hasher = blake3::Hasher::new_derive_key("earnest/v1/sandbox-party");
    hasher.update(&seed.to_le_bytes());
    hasher.update(name.as_bytes());
    Secrets { phrase: Phrase::new(&hasher.finalize().into()), imported: None }
}

fn node_seed(seed: u64, name: &str) -> Zeroizing<[u8; 64]> {
    let secrets = secrets(seed, name);
    Keys::new(&secrets, Arc::new(OsDice), Arc::new(SystemClock)).lightning_seed()
}

/// Kinds of events that a story counts.
const KINDS: [u16; 5] = [1059, 3920, 3922, 3923, 30402];

/// How many events of each kind a relay shows to anybody: asked of the relay itself. Gift wraps are missing
/// where they are shown to their recipient alone.
async fn shown_by_kind(url: &str) -> anyhow::Result<BTreeMap<String, u64>> {
    let client = nostr_sdk::Client::default();
    client.add_relay(url).await?;
    client.connect().await;
    let mut kinds = BTreeMap::new();
    for kind in KINDS {
        let filter = nostr_sdk::Filter::new().kind(nostr_sdk::Kind::from(kind)).limit(500);
        let events = client.fetch_events(filter, Duration::from_secs(5)).await?.len() as u64;
        if kind != 1059 || events > 0 {
            kinds.insert(kind.to_string(), events);
        }
    }
    client.shutdown().await;
    Ok(kinds)
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemClock.now().0
}

/// Amounts of a story, whole sats.
pub fn sats(sats: u64) -> anyhow::Result<Msat> {
    Msat::sats(sats).ok_or_else(|| anyhow!("{sats} sat is more than there will ever be"))
}

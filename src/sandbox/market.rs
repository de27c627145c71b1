//! The living market: chain, relay, LSP, people who work for each other, and a place for a newcomer.
//!
//! The rule: whatever happens in it goes over the real parts. The town only opens the doors, gives
//! everybody a first channel from the faucet, and mines; what people do is their own affair.

mod happening;
mod newcomer;
mod pace;
mod town;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;

use crate::engine::Handle;
use crate::sandbox::people::Mood;
use crate::sandbox::serve::{Served, open_world};
use crate::sandbox::world::Purse;

pub use happening::{Happening, What};
pub use newcomer::Newcomer;
pub use pace::Pace;

use town::Town;

/// How a market is made.
#[derive(Debug, Clone)]
pub struct MarketSetup {
    /// Where everything lies. A folder that holds a market goes on with it.
    pub dir: PathBuf,
    /// Keys, gigs and tempers follow from it; drawn once for a folder when absent.
    pub seed: Option<u64>,
    /// A relay started elsewhere.
    pub relay: Option<String>,
    /// How lively it is.
    pub pace: Pace,
}

/// Where everything of a market is.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct Places {
    /// Chain, relay and LSP.
    #[serde(flatten)]
    pub served: Served,
    /// The newcomer.
    pub newcomer: Newcomer,
}

/// Somebody who lives there.
#[derive(Clone)]
pub struct Resident {
    /// What people call it.
    pub name: &'static str,
    /// Its identity, as people write it.
    pub npub: String,
    /// How it is spoken to.
    pub handle: Handle,
    /// Its node.
    pub node: Arc<crate::lightning::Node>,
}

/// Everybody's money at one moment, in msat.
#[derive(Debug, Clone, Serialize)]
pub struct Account {
    /// Each resident, by name, and the LSP.
    pub parties: BTreeMap<String, Purse>,
    /// What the faucet gave since the market was opened.
    pub faucet_msat: u64,
    /// What went to miners since then.
    pub onchain_fees_msat: u64,
}

impl Account {
    /// All that is there, plus what miners got, less what the faucet gave: nothing, or money was made or
    /// lost. `others` is what guests have. Meaningful in a market whose folder was new.
    pub fn diff(&self, others: u64) -> i128 {
        let all: u64 = self.parties.values().map(Purse::total).sum();
        i128::from(all) + i128::from(others) + i128::from(self.onchain_fees_msat)
            - i128::from(self.faucet_msat)
    }
}

/// A living market. [`Market::stop`] it before the end.
pub struct Market {
    places: Places,
    town: Arc<Town>,
    mood: watch::Sender<Mood>,
    life: JoinHandle<()>,
}

impl Market {
    /// Opens it. Chain, relay, LSP and the newcomer's place are there when this returns; people come one
    /// after the other from then on.
    ///
    /// # Errors
    /// The folder is in use or damaged, or a part does not start.
    pub async fn start(setup: MarketSetup) -> anyhow::Result<Self> {
        let dir = std::path::absolute(&setup.dir)?;
        let open = open_world(&dir, setup.seed, setup.relay).await?;
        let newcomer = Newcomer::settle(&dir.join("newcomer"), &open.served)?;
        let places = Places { served: open.served, newcomer };
        let (mood, moods) = watch::channel(Mood::Open);
        let newcomer = &places.newcomer.npub;
        let town = Arc::new(Town::new(open.world, newcomer, open.seed, setup.pace, moods));
        #[expect(clippy::disallowed_methods, reason = "the town's one task; `stop` waits for it")]
        let life = tokio::spawn(Arc::clone(&town).live());
        Ok(Self { places, town, mood, life })
    }

    /// Where everything is.
    pub fn places(&self) -> &Places {
        &self.places
    }

    /// What happens from now on; a listener that is too slow misses some.
    pub fn happenings(&self) -> broadcast::Receiver<Happening> {
        self.town.listen()
    }

    /// Everybody who has come so far.
    pub async fn residents(&self) -> Vec<Resident> {
        self.town.residents().await
    }

    /// Has people begin nothing new and waits, for as long as `patience`, until what was begun between
    /// them is done. Answers whether it is.
    pub async fn rest(&self, patience: Duration) -> bool {
        self.mood.send_replace(Mood::Resting);
        self.town.is_quiet(patience).await
    }

    /// Has people begin new things again.
    pub fn wake(&self) {
        self.mood.send_replace(Mood::Open);
    }

    /// Pays coins from the faucet to an address, in a block at once.
    ///
    /// # Errors
    /// The chain does not take it; no coin has moved then.
    pub async fn fund(&self, address: &str, sats: u64) -> anyhow::Result<()> {
        self.town.fund(address, sats).await
    }

    /// Everybody's money. Exact while nothing moves: [`Market::rest`] before.
    ///
    /// # Errors
    /// A node or the chain does not answer.
    pub async fn account(&self) -> anyhow::Result<Account> {
        self.town.account().await
    }

    /// Everybody goes home, then LSP, relay and chain stop. What was begun goes on at the next start in
    /// the same folder.
    ///
    /// # Errors
    /// What did not stop well.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.mood.send_replace(Mood::Leaving);
        let _ = self.life.await;
        let _ = std::fs::remove_file(&self.places.served.control);
        match Arc::into_inner(self.town) {
            Some(town) => town.close().await,
            None => anyhow::bail!("somebody still holds on to the market"),
        }
    }
}

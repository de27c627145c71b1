//! What can be done with the store and the keys alone: no relay, no node, no endpoint.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use crate::config::Config;
use crate::engine::{
    Core, Dice as _, Fault, Files as _, GigView, MOST_INPUT, Me, Store as _, Trouble,
};
use crate::files::JobFiles;
use crate::keys::{Keys, OsDice, SystemClock};
use crate::lightning;
use crate::market::{
    Address, EndpointId, EventId, GigDraft, Msat, NodeId, Page, Query, Refusal, Time,
};
use crate::store::{Database, NotOpen};
use crate::wire;

pub use crate::wire::{Judgement, Preview, Rejected, verify_proof};

/// How long an LSP is waited for.
const TERMS_COME: Duration = Duration::from_secs(15);

/// The book as it lies on disk: the gigs heard so far.
#[derive(Debug)]
pub struct Book(Database);

impl Book {
    /// Opens the book of a network and owns its directory as long as it lives. `what` names this process
    /// to whoever comes second.
    ///
    /// # Errors
    /// Another process owns it (see [`is_owned`]), or the disk says no.
    pub fn open(config: &Config, what: &'static str) -> anyhow::Result<Self> {
        Ok(Self(Database::open(&config.network_dir(), what)?))
    }

    /// A window on it.
    ///
    /// # Errors
    /// The disk says no.
    pub fn find(&self, query: &Query, now: Time) -> Result<Page, Fault> {
        self.0.find(query, now)
    }

    /// One gig, for eyes.
    ///
    /// # Errors
    /// The disk says no.
    pub fn gig(&self, id: &EventId) -> Result<Option<GigView>, Fault> {
        Ok(self.0.gig(id)?.map(|(gig, _)| GigView::of(&gig)))
    }
}

/// Whether something does not open because another process owns the data directory.
pub fn is_owned(error: &anyhow::Error) -> bool {
    let owned = |cause: &(dyn std::error::Error + 'static)| {
        matches!(cause.downcast_ref(), Some(NotOpen::Owned { .. }))
    };
    error.chain().any(owned)
}

/// Exactly what strangers will see of a draft, by the code that would publish it. Needs no network and
/// changes nothing on disk: inputs are copied to a temporary folder, and the store is in memory.
///
/// # Errors
/// [`Trouble`] inside if the market or a file refuses; else a bug.
pub async fn preview(
    config: &Config,
    keys: Arc<Keys>,
    draft: &GigDraft,
    inputs: &[std::path::PathBuf],
) -> anyhow::Result<Result<Preview, Trouble>> {
    let folder = tempfile::tempdir().context("No temporary folder could be made")?;
    let files = JobFiles::new(folder.path())?;
    let mut attachments = Vec::new();
    for input in inputs {
        match files.adopt(&EventId(OsDice.nonce().0), input, MOST_INPUT).await {
            Ok((file, _)) => attachments.push(file),
            Err(fault) => return Ok(Err(fault.into())),
        }
    }
    let relays = config.relays.iter().map(|r| r.as_str().trim_end_matches('/').to_owned());
    // A listing names neither node nor endpoint.
    let me = Me {
        node: NodeId([2; 33]),
        address: Address { endpoint: EndpointId([0; 32]), direct: Vec::new(), relay: None },
        relays: relays.collect(),
        network: config.network,
        spendable: Msat::ZERO,
        least_first: None,
        receivable: Msat::ZERO,
        policy: config.policy,
    };
    let clock = Arc::new(SystemClock);
    let core = Core::open(Database::memory()?, keys, clock, Arc::new(OsDice), me)?;
    Ok(core.preview(draft, &attachments).and_then(|gig| {
        wire::preview(&gig).map_err(|why| {
            let sentence = format!("{}. Nothing was published.", capital(&why.sentence));
            Refusal::new(why.code.as_str(), sentence).into()
        })
    }))
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| c.to_uppercase().chain(chars).collect())
}

/// The liquidity of the node, by starting it alone: nothing is sent, bid or published meanwhile.
///
/// # Errors
/// Another process owns the directory, or the node does not start.
pub async fn holdings(
    setup: super::Setup,
    keys: &Keys,
) -> anyhow::Result<crate::engine::NodeStatus> {
    use crate::engine::Lightning as _;
    let has_lsp = setup.lsp.is_some();
    let _owner = crate::store::Owner::take(&setup.dir, setup.what)?;
    let node = lightning::Node::start(lightning::NodeConfig {
        seed: keys.lightning_seed(),
        dir: setup.dir.join("node"),
        payer: None,
        network: setup.network,
        chain: setup.chain,
        lsp: setup.lsp,
        listen: None,
        alias: None,
        lsp_fee_cap_ppm: setup.lsp_fee_cap_ppm,
        max_lsp_fee: super::MOST_LSP_FEE,
        runtime: tokio::runtime::Handle::current(),
    })
    .await?;
    // The LSP tells its terms a moment after the start.
    let told = async {
        loop {
            let status = node.status().await?;
            if status.least_first.is_some() || !has_lsp {
                return Ok::<_, Fault>(status);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let status = match tokio::time::timeout(TERMS_COME, told).await {
        Ok(status) => status,
        Err(_) => node.status().await,
    };
    node.stop().await?;
    Ok(status?)
}

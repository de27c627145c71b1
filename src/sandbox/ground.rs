//! The ground that a party stands on: where chain, relay and LSP are. A party that is a process of its own
//! reads it from a file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::app::{App, Setup};
use crate::engine::Ports;
use crate::keys::{Keys, OsDice, SystemClock};
use crate::lightning;
use crate::market::{Budget, Msat, Network, Policy};
use crate::rpc::Notifier;
use crate::sandbox::Endpoint;
use crate::sandbox::halt::{Halt, Point};
use crate::sandbox::serve::write_private;
use crate::sandbox::world::secrets;
use crate::transfer::{Bind, RelayChoice};

/// Where everything of a world is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Ground {
    /// The folder of the world; a party lives in one below it.
    pub(super) dir: PathBuf,
    /// Its relay, as `ws://`.
    pub(super) relay: String,
    /// Bitcoin Core's RPC.
    pub(super) chain: Endpoint,
    /// `id@host:port`.
    pub(super) lsp: String,
    /// What all keys follow from.
    pub(super) seed: u64,
}

impl Ground {
    /// What a party is made of.
    fn setup(&self, name: &str) -> anyhow::Result<(Setup, Arc<Keys>)> {
        let endpoint = self.chain.clone();
        let setup = Setup {
            dir: self.dir.join(name),
            network: Network::Regtest,
            relays: vec![self.relay.clone()],
            chain: lightning::Chain::Bitcoind {
                host: endpoint.host,
                port: endpoint.port,
                user: endpoint.user,
                password: endpoint.password,
            },
            lsp: Some(lightning::Lsp { peer: self.lsp.parse()?, token: None }),
            listen: None,
            lsp_fee_cap_ppm: 50_000,
            bind: Bind::At(([127, 0, 0, 1], 0).into()),
            relay: RelayChoice::Disabled,
            // A story says what it pays, and nobody here has a record to lose: receipts are signed.
            policy: Policy {
                tranche: Msat::MAX,
                direct: Msat::MAX,
                escrow: Msat::MAX,
                receipts: true,
            },
            payer: None,
            budget: Budget::default(),
            what: "a party of the sandbox",
        };
        let secrets = secrets(self.seed, name);
        Ok((setup, Arc::new(Keys::new(&secrets, Arc::new(OsDice), Arc::new(SystemClock)))))
    }

    /// Starts a party here, with its ports changed by `change`.
    pub(super) async fn party(
        &self,
        name: &str,
        change: impl FnOnce(Ports) -> Ports,
    ) -> anyhow::Result<App> {
        self.party_with(name, None, change).await
    }

    /// The same; where a wallet is named, that one pays.
    pub(super) async fn party_with(
        &self,
        name: &str,
        payer: Option<lightning::WalletUri>,
        change: impl FnOnce(Ports) -> Ports,
    ) -> anyhow::Result<App> {
        let (setup, keys) = self.setup(name)?;
        let setup = Setup { payer, ..setup };
        App::open_with(setup, keys, change).await.with_context(|| format!("{name} did not start"))
    }

    /// Writes it where only we read it: it has a password.
    pub(super) fn write(&self, path: &Path) -> anyhow::Result<()> {
        write_private(path, &serde_json::to_vec(self)?)
            .with_context(|| format!("{} cannot be written", path.display()))
    }
}

/// A party as a process of its own, on the ground that a file tells, until `stop`. Where it is to halt at a
/// point, `on_halt` is told when it has got there; it does nothing more then and waits to be killed.
///
/// # Errors
/// The file is none, or the party does not start or stop.
pub async fn be_party(
    ground: &Path,
    name: &str,
    point: Option<Point>,
    on_halt: impl Fn() + Send + Sync + 'static,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let text =
        std::fs::read(ground).with_context(|| format!("{} cannot be read", ground.display()))?;
    let ground: Ground = serde_json::from_slice(&text)
        .with_context(|| format!("{} is damaged", ground.display()))?;
    let dir = ground.dir.join(name);
    let halt = point.map(|point| Halt::new(point, on_halt));
    let change = move |ports: Ports| match halt {
        Some(halt) => halt.over(ports),
        None => ports,
    };
    let app = ground.party(name, change).await?;
    let owning = crate::rpc::own(&dir, app).await?;
    crate::rpc::keep(owning, &Notifier::from_env(), stop).await
}

//! An engine on real keys, files and store, with nobody out there.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use earnest::engine::*;
use earnest::files::JobFiles;
use earnest::keys::{Keys, OsDice, Phrase, Secrets, SystemClock};
use earnest::market::*;
use earnest::rpc::Part;
use earnest::store::Database;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// Nobody: no relay, no channel, no peer.
struct Nobody;

fn alone<T>() -> Result<T, Fault> {
    Err(Fault::Later("Nobody is there.".into()))
}

#[async_trait]
impl Relays for Nobody {
    async fn watch(&self, _: Vec<Subscription>) {}
    async fn next(&self) -> RelayEvent {
        std::future::pending().await
    }
    async fn publish(&self, _: &WireEvent, _: &[String]) -> Result<Published, Fault> {
        alone()
    }
    async fn health(&self) -> Vec<RelayHealth> {
        Vec::new()
    }
}

#[async_trait]
impl Lightning for Nobody {
    fn node(&self) -> NodeId {
        NodeId([2; 33])
    }
    async fn status(&self) -> Result<NodeStatus, Fault> {
        alone()
    }
    async fn bill(&self, _: &BillOrder) -> Result<Billed, Fault> {
        alone()
    }
    async fn pay(&self, _: &PayOrder) -> Result<PaymentState, Fault> {
        alone()
    }
    async fn lookup(&self, _: &PaymentHash) -> Result<PaymentState, Fault> {
        alone()
    }
    async fn claim(&self, _: &PaymentHash, _: Msat, _: &Preimage) -> Result<(), Fault> {
        alone()
    }
    async fn fail(&self, _: &PaymentHash) -> Result<(), Fault> {
        alone()
    }
    async fn holding(&self, _: &PaymentHash) -> Result<Option<Holding>, Fault> {
        alone()
    }
    async fn next(&self) -> NodeEvent {
        std::future::pending().await
    }
    async fn handled(&self) -> Result<(), Fault> {
        Ok(())
    }
}

fn address() -> Address {
    Address { endpoint: EndpointId([3; 32]), direct: Vec::new(), relay: None }
}

#[async_trait]
impl Transfer for Nobody {
    fn address(&self) -> Address {
        address()
    }
    async fn serve(&self, _: &Grant) -> Result<(), Fault> {
        Ok(())
    }
    async fn revoke(&self, _: &Digest, _: &EndpointId) -> Result<(), Fault> {
        Ok(())
    }
    async fn fetch(&self, _: &FetchOrder, _: &(dyn Fn(u64) + Send + Sync)) -> Result<(), Fault> {
        alone()
    }
}

/// A wallet that sends when it is let, and whose history is a megabyte.
pub(crate) struct Purse {
    pub begun: AtomicUsize,
    pub sent: AtomicUsize,
    pub told: AtomicUsize,
    pub gate: Semaphore,
}

#[async_trait]
impl Wallet for Purse {
    async fn wallet(&self, command: &WalletCommand, _: Msat) -> Result<WalletAnswer, Trouble> {
        match command {
            WalletCommand::SendOnchain { .. } => {
                self.begun.fetch_add(1, Ordering::SeqCst);
                self.gate.acquire().await.unwrap().forget();
                self.sent.fetch_add(1, Ordering::SeqCst);
                Ok(WalletAnswer::Sent { txid: "ab".repeat(32) })
            }
            WalletCommand::NewAddress => {
                self.told.fetch_add(1, Ordering::SeqCst);
                Ok(WalletAnswer::Address("b".repeat(1 << 20)))
            }
            _ => Err(Fault::Never("Not in this purse.".into()).into()),
        }
    }
}

/// What an `App` is, without the world.
pub(crate) struct Small {
    handle: Handle,
    task: JoinHandle<()>,
    pub purse: Arc<Purse>,
}

impl Small {
    /// Takes the lock of the directory as the real one does.
    pub(crate) async fn open(dir: &Path) -> anyhow::Result<Self> {
        let store = Database::open(dir, "earnest test")?;
        let (clock, dice) = (Arc::new(SystemClock), Arc::new(OsDice));
        let secrets = Secrets { phrase: Phrase::new(&[7; 32]), imported: None };
        let keys = Arc::new(Keys::new(&secrets, dice.clone(), clock.clone()));
        let nobody = Arc::new(Nobody);
        let ports = Ports {
            scribe: keys.clone(),
            relays: nobody.clone(),
            lightning: nobody.clone(),
            transfer: nobody,
            files: Arc::new(JobFiles::new(dir)?),
            clock: clock.clone(),
            dice: dice.clone(),
        };
        let me = Me {
            node: NodeId([2; 33]),
            address: address(),
            relays: vec!["wss://relay.example".into()],
            network: Network::Regtest,
            spendable: Msat::ZERO,
            least_first: None,
            receivable: Msat::ZERO,
            policy: Policy::default(),
        };
        let core = Core::open(store, keys, clock, dice, me)?;
        let (handle, task) = earnest::engine::start(core, ports);
        let purse = Arc::new(Purse {
            begun: AtomicUsize::new(0),
            sent: AtomicUsize::new(0),
            told: AtomicUsize::new(0),
            gate: Semaphore::new(0),
        });
        Ok(Self { handle: handle.with_wallet(purse.clone()), task, purse })
    }
}

#[async_trait]
impl Part for Small {
    fn handle(&self) -> &Handle {
        &self.handle
    }
    async fn stop(self: Box<Self>) -> anyhow::Result<()> {
        self.handle.stop().await;
        Ok(self.task.await?)
    }
}

/// A gig as a person writes one.
pub(crate) fn draft(title: &str) -> GigDraft {
    GigDraft {
        milestones: Vec::new(),
        quality: Quality::default(),
        title: title.into(),
        summary: String::new(),
        content: "What is wanted, line by line.\n\n- one\n- two".into(),
        tags: vec!["rust".into()],
        work: Work::File,
        modes: vec![Mode::Sealed],
        slots: 1,
        price: Msat::sats(5_000).unwrap(),
        max_bytes: 1 << 20,
        deadlines: Deadlines { deliver: Span::DAY, pay: Span::DAY },
        escrow: None,
        pow: 0,
        expires_at: SystemClock.now().after(Span::DAY),
    }
}

//! What stories of sealed jobs share: two parties, a gig from its listing to its end, and the account.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use serde_json::Value;

use crate::engine::{Command, JobView, Lightning as _, PaymentState, Ports};
use crate::market::{BidId, GigDraft, Msat, PaymentHash, Phase, Pubkey, Quality, Wish};
use crate::sandbox::story::first_job::{account, sha256_file, sha256_hex, view};
use crate::sandbox::story::{FileSummary, PaymentSummary, Play, Teller, gig};
use crate::sandbox::world::{Party, Purse, World, WorldSetup};

/// What a gig of a story asks for.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// One line.
    pub(super) title: &'static str,
    /// What it pays.
    pub(super) price: Msat,
    /// In how many parts.
    pub(super) tranches: u32,
    /// What a delivery is held against.
    pub(super) quality: Quality,
}

/// A requester and a worker on a world of their own.
pub(super) struct Course {
    pub(super) world: World,
    pub(super) requester: Party,
    pub(super) worker: Party,
    /// What is broken on purpose.
    pub(super) way: Option<String>,
    /// What was handed over.
    pub(super) files: Vec<FileSummary>,
    before: [Purse; 3],
    lsp_fee: Msat,
    routing_fee: Msat,
}

impl Course {
    /// Starts the world and both parties, the worker's ports changed by `change`.
    pub(super) async fn start(
        play: &Play,
        teller: &mut Teller<'_>,
        change: impl FnOnce(Ports) -> Ports,
    ) -> anyhow::Result<Self> {
        let setup =
            WorldSetup { dir: play.dir.clone(), relay: play.relay.clone(), seed: play.seed };
        let world = World::start(setup).await?;
        teller.step("a chain, a relay and an LSP are up");
        let requester = world.party("requester", None, |ports| ports).await?;
        let worker = world.party("worker", None, change).await?;
        teller.step("a requester and a worker have started, each with a node of its own");
        let before = [requester.purse().await?, worker.purse().await?, world.lsp_purse().await?];
        Ok(Self {
            world,
            requester,
            worker,
            way: play.break_way.clone(),
            files: Vec::new(),
            before,
            lsp_fee: Msat::ZERO,
            routing_fee: Msat::ZERO,
        })
    }

    /// Whether this is what is broken.
    pub(super) fn is_broken_by(&self, way: &str) -> bool {
        self.way.as_deref() == Some(way)
    }

    /// How long anything may take.
    pub(super) fn patience(&self) -> Duration {
        Duration::from_secs(if self.way.is_some() { 12 } else { 60 })
    }

    /// Gives the requester coins and a channel that is good for `price` and more.
    pub(super) async fn requester_can_pay(
        &mut self,
        price: Msat,
        teller: &mut Teller<'_>,
    ) -> anyhow::Result<()> {
        let channel = (price.whole_sats() * 6).max(1_000_000);
        self.world.open_channel(&self.requester, channel).await?;
        teller.step("the requester has coins from the faucet and a channel to the LSP");
        Ok(())
    }

    /// A first job, at once and in one part, of which nothing is told but that it opens the worker's channel.
    pub(super) async fn worker_can_be_paid(
        &mut self,
        price: Msat,
        teller: &mut Teller<'_>,
    ) -> anyhow::Result<BidId> {
        let quality = Quality::default();
        let asked = Asked { title: "Say hello", price, tranches: 1, quality };
        let job = self.award(&asked).await?;
        let file = self.write("hello.txt", b"hello\n")?;
        self.deliver(job, &file).await?;
        self.accept(job).await?;
        self.settled(job).await?;
        teller.step("a first job has opened a channel to the worker");
        Ok(job)
    }

    /// A file of the worker's.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> anyhow::Result<PathBuf> {
        let path = self.world.dir().join(name);
        std::fs::write(&path, bytes).with_context(|| format!("{name} cannot be written"))?;
        Ok(path)
    }

    /// From the listing to the award.
    pub(super) async fn award(&self, asked: &Asked) -> anyhow::Result<BidId> {
        let wish = Wish { tranches: Some(asked.tranches), ..Wish::default() };
        self.agree(self.draft(asked), wish).await
    }

    /// A gig of a story.
    pub(super) fn draft(&self, asked: &Asked) -> GigDraft {
        GigDraft {
            quality: asked.quality.clone(),
            summary: "A gig of a story.".into(),
            content: "What is delivered is held against the terms by machine.".into(),
            tags: vec!["story".into()],
            ..gig(asked.title, asked.price)
        }
    }

    /// A gig is posted, found, bid on and awarded.
    pub(super) async fn agree(&self, draft: GigDraft, wish: Wish) -> anyhow::Result<BidId> {
        let post = Command::Post { draft, inputs: Vec::new(), key: None };
        let gig = self.requester.app.handle().ask(post).await?.log;
        let heard = async {
            while self.worker.app.handle().gig(gig).await?.is_none() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            anyhow::Ok(())
        };
        let heard = tokio::time::timeout(self.patience(), heard).await;
        heard.map_err(|_| anyhow!("the worker looked for the gig in vain"))??;
        self.worker
            .wait("the LSP's terms", self.patience(), |s| s.node.as_ref()?.least_first.map(|_| ()))
            .await?;
        let bid = Command::Bid { gig, wish, message: "I can do that now.".into() };
        let job = self.worker.app.handle().ask(bid).await?.log;
        self.requester.wait("the bid", self.patience(), |s| view(s, job).map(|_| ())).await?;
        self.requester.app.handle().ask(Command::Award { job }).await?;
        self.worker
            .wait("the award", self.patience(), |s| {
                view(s, job).filter(|v| v.phase == Phase::Working).map(|_| ())
            })
            .await?;
        Ok(job)
    }

    /// From the file to a delivery that the requester holds, all of it checked but the keys.
    pub(super) async fn deliver(&self, job: BidId, file: &Path) -> anyhow::Result<()> {
        self.hand_over(job, file).await?;
        self.requester
            .wait("a sound delivery", self.patience_for(file), |s| {
                view(s, job)?.delivery.as_ref().filter(|d| d.inspected).map(|_| ())
            })
            .await
    }

    /// The worker seals and signs.
    pub(super) async fn hand_over(&self, job: BidId, file: &Path) -> anyhow::Result<()> {
        let deliver =
            Command::Deliver { job, file: file.to_owned(), message: "Here it is.".into() };
        self.worker.app.handle().ask(deliver).await?;
        self.worker
            .wait("the sealed delivery", self.patience_for(file), |s| {
                view(s, job)?.delivery.as_ref()?.manifest.map(|_| ())
            })
            .await
    }

    /// Sealing, sending and inspecting take longer for a large file.
    fn patience_for(&self, file: &Path) -> Duration {
        let size = std::fs::metadata(file).map_or(0, |meta| meta.len());
        self.patience() + Duration::from_secs(size >> 23)
    }

    /// The requester says pay.
    pub(super) async fn accept(&self, job: BidId) -> anyhow::Result<()> {
        let shown = self.requester.app.handle().watch().borrow().clone();
        let price = view(&shown, job).map_or(Msat::ZERO, |v| v.price);
        let max_fee = price.ppm(10_000).max(Msat::sats(10).unwrap_or_default());
        self.requester.app.handle().ask(Command::Accept { job, max_fee }).await?;
        Ok(())
    }

    /// Waits for the end on both sides; where the opened file lies.
    pub(super) async fn settled(&mut self, job: BidId) -> anyhow::Result<PathBuf> {
        let patience = self.patience() * 2;
        let over = |v: &&JobView| v.phase == Phase::Settled;
        let (output, fee) = self
            .requester
            .wait("the opened file", patience, |s| {
                let delivery = view(s, job).filter(over)?.delivery.as_ref()?;
                Some((delivery.output.clone()?, delivery.fee))
            })
            .await?;
        let kept = self
            .worker
            .wait("its money", patience, |s| {
                Some(view(s, job).filter(over)?.delivery.as_ref()?.lsp_fee)
            })
            .await?;
        self.routing_fee = [self.routing_fee, fee].into_iter().sum();
        self.lsp_fee = [self.lsp_fee, kept].into_iter().sum();
        Ok(output)
    }

    /// What an LSP kept of a payment.
    pub(super) fn pays_lsp(&mut self, fee: Msat) {
        self.lsp_fee = [self.lsp_fee, fee].into_iter().sum();
    }

    /// What the worker had when it began, in msat.
    pub(super) fn began_with(&self) -> u64 {
        self.before[1].total()
    }

    /// A payment of a job that did not settle has fees too.
    pub(super) fn pays_routing(&mut self, fee: Msat) {
        self.routing_fee = [self.routing_fee, fee].into_iter().sum();
    }

    /// Compares what was sent with what arrived.
    pub(super) async fn handed(
        &mut self,
        sent: &Path,
        received: PathBuf,
        teller: &mut Teller<'_>,
    ) -> anyhow::Result<()> {
        let wanted = sha256_file(sent).await?;
        let sha256 = sha256_file(&received).await?;
        teller.claim("the work arrived as it was sent", &wanted, &sha256);
        let bytes = tokio::fs::metadata(&received).await?.len();
        self.files.push(FileSummary { sent: sent.to_owned(), received, sha256, bytes });
        Ok(())
    }

    /// The payments of one job as the requester's own node tells them, in their order.
    pub(super) async fn payments(&self, job: BidId) -> anyhow::Result<Vec<PaymentSummary>> {
        let mut all = Vec::new();
        for line in self.requester.app.handle().payments().await? {
            if line.log == job {
                all.push(self.payment(&PaymentHash(line.hash.0), line.amount).await?);
            }
        }
        Ok(all)
    }

    async fn payment(&self, hash: &PaymentHash, amount: Msat) -> anyhow::Result<PaymentSummary> {
        let (preimage, state) = match self.requester.app.node().lookup(hash).await? {
            PaymentState::Paid { preimage, .. } => (Some(hex::encode(preimage.expose())), "paid"),
            PaymentState::InFlight => (None, "inflight"),
            PaymentState::Failed { .. } => (None, "failed"),
            PaymentState::Unknown => (None, "unknown"),
        };
        Ok(PaymentSummary {
            hash: hash.to_string(),
            preimage,
            amount_msat: amount.get(),
            from: "requester".into(),
            to: "worker".into(),
            mode: "sealed".into(),
            state: state.into(),
        })
    }

    /// What the requester's own record says about a job, in its order: kind and tranche of each line.
    pub(super) async fn history(&self, job: BidId) -> anyhow::Result<Vec<(String, Option<u32>)>> {
        let lines = self.requester.app.handle().history(job).await?;
        Ok(lines.into_iter().map(|line| (line.kind, line.tranche)).collect())
    }

    /// The worker's identity.
    pub(super) fn worker_key(&self) -> anyhow::Result<Pubkey> {
        let shown = self.worker.app.handle().watch().borrow().clone();
        shown.identity.context("the worker has no identity")
    }

    /// An event of a kind that the relay keeps, asked of the relay itself: the first in which `find` finds
    /// something.
    pub(super) async fn event<T>(
        &self,
        kind: u16,
        mut find: impl FnMut(&str) -> Option<T>,
    ) -> anyhow::Result<T> {
        let client = nostr_sdk::Client::default();
        client.add_relay(self.world.relay_url()).await?;
        client.connect().await;
        let filter = nostr_sdk::Filter::new().kind(nostr_sdk::Kind::from(kind)).limit(100);
        let asking = async {
            loop {
                let events = client.fetch_events(filter.clone(), Duration::from_secs(5)).await?;
                let mut all = events.iter().map(nostr_sdk::JsonUtil::as_json);
                if let Some(found) = all.find_map(|json| find(&json)) {
                    return anyhow::Ok(found);
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let events = tokio::time::timeout(self.patience(), asking).await;
        client.shutdown().await;
        events.map_err(|_| anyhow!("the relay keeps no such event of kind {kind}"))?
    }

    /// The end of a story that has nothing to read afterwards.
    pub(super) async fn end(self, teller: &mut Teller<'_>) -> anyhow::Result<()> {
        self.halt(teller).await?.end(teller).await
    }

    /// Adds everything up, asks for what every story claims, and stops both parties: their databases can be
    /// read after that.
    pub(super) async fn halt(mut self, teller: &mut Teller<'_>) -> anyhow::Result<Halted> {
        let parties = [&self.requester, &self.worker];
        self.world.still(&parties).await?;
        self.world.mine(6, &parties).await?;
        self.world.still(&parties).await?;
        let fees = (self.lsp_fee, self.routing_fee);
        account(teller, &self.world, &parties, self.before, fees).await?;
        let mut fit = true;
        for line in self.requester.app.handle().payments().await? {
            let payment = self.payment(&PaymentHash(line.hash.0), line.amount).await?;
            let key = payment.preimage.as_ref();
            fit &= key.is_none_or(|x| sha256_hex(x) == payment.hash);
            teller.summary.payments.push(payment);
        }
        teller.claim("every preimage that was bought hashes to its payment hash", true, fit);
        let diff = teller.summary.diff_msat;
        teller.claim("every satoshi is accounted for", 0, i64::try_from(diff).unwrap_or(i64::MAX));
        teller.summary.files.append(&mut self.files);
        self.requester.app.stop().await?;
        self.worker.app.stop().await?;
        let (requester, worker) = (self.requester.dir, self.worker.dir);
        Ok(Halted { world: self.world, requester, worker })
    }
}

/// Both parties have stopped; what they wrote lies there.
pub(super) struct Halted {
    world: World,
    /// The requester's data directory.
    pub(super) requester: PathBuf,
    /// The worker's.
    pub(super) worker: PathBuf,
}

impl Halted {
    /// A file of a job on the requester's disk: whichever sealed file has that hash.
    pub(super) fn sealed(&self, job: BidId, hash: &str) -> anyhow::Result<Vec<u8>> {
        let folder = self.requester.join("jobs").join(job.to_string()).join("sealed");
        for entry in std::fs::read_dir(folder)? {
            let bytes = std::fs::read(entry?.path())?;
            if blake3::hash(&bytes).to_hex().as_str() == hash {
                return Ok(bytes);
            }
        }
        anyhow::bail!("the requester has no file of that hash")
    }

    /// Stops the world.
    pub(super) async fn end(self, teller: &mut Teller<'_>) -> anyhow::Result<()> {
        self.world.stop().await?;
        teller.step("everything has stopped in order");
        Ok(())
    }
}

/// The facts of a job as they lie in the database of a party that has stopped, oldest first.
pub(super) fn facts(dir: &Path, job: BidId) -> anyhow::Result<Vec<Value>> {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let database = rusqlite::Connection::open_with_flags(dir.join("store.sqlite"), flags)?;
    let mut asked = database.prepare("SELECT body FROM fact WHERE log = ?1 ORDER BY n")?;
    let rows = asked.query_map([job.0], |row| row.get::<_, String>(0))?;
    rows.map(|row| Ok(serde_json::from_str(&row?)?)).collect()
}

/// The records of one kind among facts: each whole, with its id, author and draft.
pub(super) fn records<'a>(facts: &'a [Value], kind: &str) -> Vec<&'a Value> {
    let of = |fact: &'a Value| {
        fact.get("record").filter(|record| record["draft"]["body"]["type"] == kind)
    };
    facts.iter().filter_map(of).collect()
}

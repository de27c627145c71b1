//! `first-job`: a worker who owns nothing finds a gig, does it, hands it over sealed and is paid through
//! a channel that opens just in time.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use sha2::Digest as _;

use crate::engine::{Command, JobView, Lightning as _, PaymentState, Ports, Snapshot};
use crate::market::{
    BidId, GigDraft, Mode, Msat, Network, PaymentHash, Phase, Query, Sort, Wish, Work,
};
use crate::sandbox::FlakyRelay;
use crate::sandbox::flaky::Faults;
use crate::sandbox::story::{
    FileSummary, PartySummary, PaymentSummary, Play, Sabotage, Story, Teller, gig, millis,
};
use crate::sandbox::world::{Party, Purse, World, WorldSetup, sats};

/// What it shows.
pub(super) const STORY: Story = Story {
    name: "first-job",
    about: "a worker with no bitcoin and no channel finds a gig, delivers it sealed and is paid in the same second as the requester gets the key",
    breaks: &[
        ("wrong-byte", "one byte of the ciphertext that the worker serves is not what it signed"),
        ("lsp-down", "the LSP goes away before the requester accepts"),
        ("lying-relay", "the relay says OK to every event and keeps none"),
        ("no-money", "the requester has no channel to pay from"),
        ("stray-coins", "the worker gets coins that are on nobody's books"),
        ("swapped-file", "the received file is changed on the requester's disk"),
    ],
};

const PRICE_SATS: u64 = 21_000;

/// Plays it. Claims are kept even where a step fails: what did not happen is then seen as missing.
pub(super) async fn tell(play: &Play, teller: &mut Teller<'_>) -> anyhow::Result<()> {
    let way = play.break_way.as_deref();
    let setup = WorldSetup { dir: play.dir.clone(), relay: play.relay.clone(), seed: play.seed };
    let mut world = World::start(setup).await?;
    teller.step("a chain, a relay and an LSP are up");
    // In front of the relay, but only when it is to lie.
    let liar = match way {
        Some("lying-relay") => {
            let liar = FlakyRelay::start(world.relay_url()).await?;
            liar.set(Faults { claim_ok: true, ..Faults::default() });
            Some(liar)
        }
        _ => None,
    };
    let relay = liar.as_ref().map(FlakyRelay::url);
    let requester = world.party("requester", relay.clone(), |ports| ports).await?;
    let saboteur = way == Some("wrong-byte");
    let change = move |ports: Ports| match saboteur {
        true => Ports { files: Arc::new(Sabotage(ports.files.clone())), ..ports },
        false => ports,
    };
    let worker = world.party("worker", relay, change).await?;
    teller.step("a requester and a worker have started, each with a node of its own");

    let before = [requester.purse().await?, worker.purse().await?, world.lsp_purse().await?];
    let channels_before = worker.app.node().channels().await?.len();
    let price = sats(play.price.unwrap_or(PRICE_SATS))?;
    let mut course = Course { way, price, seen: Seen::default() };
    if let Err(why) = course.run(&mut world, &requester, &worker, play, teller).await {
        // The course was cut short. That is a claim that did not hold, with its reason.
        teller.claim("the job runs to its end", "settled", format!("{why:#}"));
    } else {
        teller.claim("the job runs to its end", "settled", "settled");
    }
    let seen = course.seen;
    let parties = [&requester, &worker];
    world.still(&parties).await?;
    world.mine(6, &parties).await?;
    let fees = (seen.lsp_fee, seen.routing_fee);
    account(teller, &world, &parties, before, fees).await?;

    teller.claim("the worker began with no channel", 0, channels_before);
    teller.claim("the worker began with no bitcoin", 0, before[1].total());
    let paid = seen.payment.as_ref();
    teller.claim("the requester's node paid, once", 1, seen.times_paid);
    let key_fits = paid.and_then(|p| p.preimage.as_ref().map(|x| sha256_hex(x) == p.hash));
    teller.claim("the preimage that was bought hashes to the payment hash", Some(true), key_fits);
    let lsp_fee = seen.lsp_fee.get();
    let after = worker.purse().await?;
    teller.claim(
        "the worker has the price less the LSP's fee",
        price.get() - lsp_fee.min(price.get()),
        after.channels,
    );
    let cut = price.ppm(u64::from(crate::sandbox::lsp::FEE_PPM));
    teller.claim("the LSP kept what it said", cut.get(), lsp_fee);
    for file in &seen.files {
        let sent = sha256_file(&file.sent).await.unwrap_or_default();
        let name = file.sent.file_name().unwrap_or_default().to_string_lossy().into_owned();
        teller.claim(&format!("{name} arrived as it was sent"), sent, &file.sha256);
    }
    teller.claim("an input and a deliverable were handed over", 2, seen.files.len());
    let listed = teller.summary.events_by_kind.get("30402").copied().unwrap_or_default();
    teller.claim("the relay keeps the listing", true, listed >= 1);
    // A relay that was started elsewhere may keep them for their recipients.
    if let Some(wraps) = teller.summary.events_by_kind.get("1059").copied() {
        teller.claim("bid and award went as gift wraps", true, wraps >= 2);
    }
    let diff = teller.summary.diff_msat;
    teller.claim("every satoshi is accounted for", 0, i64::try_from(diff).unwrap_or(i64::MAX));

    teller.tell("worker_sats_before", before[1].total() / 1000);
    let status = worker.app.node().status().await?;
    teller.tell("worker_sats_after", status.balances.lightning_total.whole_sats());
    teller.tell("worker_spendable_sats", status.balances.lightning_spendable.whole_sats());
    teller.tell("price_sats", price.whole_sats());
    teller.tell("lsp_fee_sats", seen.lsp_fee.whole_sats());
    teller.tell("accept_to_paid_ms", seen.accept_to_paid_ms);
    teller.summary.files = seen.files;
    teller.summary.payments.extend(seen.payment);

    requester.app.stop().await?;
    worker.app.stop().await?;
    drop(liar);
    world.stop().await?;
    teller.step("everything has stopped in order");
    Ok(())
}

/// What was seen on the way.
#[derive(Default)]
struct Seen {
    files: Vec<FileSummary>,
    payment: Option<PaymentSummary>,
    times_paid: usize,
    lsp_fee: Msat,
    routing_fee: Msat,
    accept_to_paid_ms: Option<u64>,
}

struct Course<'a> {
    way: Option<&'a str>,
    price: Msat,
    seen: Seen,
}

impl Course<'_> {
    fn patience(&self) -> Duration {
        Duration::from_secs(if self.way.is_some() { 12 } else { 60 })
    }

    async fn run(
        &mut self,
        world: &mut World,
        requester: &Party,
        worker: &Party,
        play: &Play,
        teller: &mut Teller<'_>,
    ) -> anyhow::Result<()> {
        if self.way != Some("no-money") {
            // Room for the price, the reserve and a second job.
            let channel = (self.price.whole_sats() * 4).max(1_000_000);
            world.open_channel(requester, channel).await?;
            teller.step("the requester has coins from the faucet and a channel to the LSP");
        }
        if self.way == Some("stray-coins") {
            let address = worker.app.node().new_address().await?;
            world.fund_unbooked(&address, 1_000).await?;
        }
        let input = world.dir().join("people.csv");
        std::fs::write(&input, people_csv()).context("the input cannot be written")?;
        let job = self.make_a_job(requester, worker, &input, teller).await?;
        let work = match &play.file {
            Some(file) => file.clone(),
            None => self.work(worker, job, world.dir()).await?,
        };
        teller.step("the worker has the input, whole, and has done the work");
        self.deliver(requester, worker, job, &work, teller).await?;
        if self.way == Some("lsp-down") {
            world.stop_lsp().await?;
        }
        self.settle(requester, worker, job, &work, teller).await
    }

    /// The worker can be paid once its LSP has told its terms.
    async fn receivable(&self, worker: &Party) -> anyhow::Result<()> {
        worker
            .wait("the LSP's terms", self.patience(), |s| s.node.as_ref()?.least_first.map(|_| ()))
            .await
    }

    /// From the listing to the award.
    async fn make_a_job(
        &self,
        requester: &Party,
        worker: &Party,
        input: &Path,
        teller: &mut Teller<'_>,
    ) -> anyhow::Result<BidId> {
        let draft = GigDraft {
            summary: "One CSV in, the same list out: sorted, no duplicates, no blanks.".into(),
            content: "Sort by name, drop duplicates, trim every field. Deliver one CSV.".into(),
            tags: vec!["csv".into(), "cleaning".into()],
            modes: vec![Mode::Sealed, Mode::Direct],
            ..gig("Clean a list of people", self.price)
        };
        let inputs = vec![input.to_owned()];
        requester.app.handle().ask(Command::Post { draft, inputs, key: None }).await?;
        teller.step("the requester has posted a gig");
        let gig = self.find(worker).await?;
        teller.step("the worker has found it on the relay");
        self.receivable(worker).await?;
        let message = "I can do that now.".to_owned();
        let wish = Wish::default();
        let bid = worker.app.handle().ask(Command::Bid { gig, wish, message }).await?.log;
        requester.wait("the bid", self.patience(), |s| view(s, bid).map(|_| ())).await?;
        teller.step("the bid has come, with its proof of work");
        requester.app.handle().ask(Command::Award { job: bid }).await?;
        worker
            .wait("the award", self.patience(), |s| {
                view(s, bid).filter(|v| v.phase == Phase::Working).map(|_| ())
            })
            .await?;
        teller.step("the job is awarded");
        Ok(bid)
    }

    async fn find(&self, worker: &Party) -> anyhow::Result<crate::market::EventId> {
        let query = Query {
            words: vec!["clean".into(), "list".into()],
            tags: vec!["csv".into()],
            price_min: Some(self.price),
            price_max: None,
            mode: Some(Mode::Sealed),
            work: Some(Work::File),
            author: None,
            side: None,
            network: Network::Regtest,
            all: false,
            sort: Sort::Newest,
            after: None,
            limit: 10,
        };
        let looking = async {
            loop {
                let page = worker.app.handle().find(query.clone()).await?;
                if let Some(gig) = page.gigs.first() {
                    return anyhow::Ok(gig.id);
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(self.patience(), looking)
            .await
            .map_err(|_| anyhow!("the worker looked for the gig in vain"))?
    }

    /// The worker's own small program: sorted, trimmed, no duplicates.
    async fn work(&mut self, worker: &Party, job: BidId, dir: &Path) -> anyhow::Result<PathBuf> {
        let input = worker
            .wait("the input", self.patience(), |s| view(s, job)?.materials.first()?.path.clone())
            .await?;
        let text = tokio::fs::read_to_string(&input).await.context("the input cannot be read")?;
        let (head, rows) = text.split_once('\n').unwrap_or((&text, ""));
        let trim = |row: &str| row.split(',').map(str::trim).collect::<Vec<_>>().join(",");
        let rows: std::collections::BTreeSet<String> =
            rows.lines().map(trim).filter(|row| row.split(',').all(|f| !f.is_empty())).collect();
        let rows = rows.into_iter().collect::<Vec<_>>().join("\n");
        let file = dir.join("people-clean.csv");
        tokio::fs::write(&file, format!("{head}\n{rows}\n")).await?;
        self.seen.files.push(FileSummary {
            sent: dir.join("people.csv"),
            sha256: sha256_file(&input).await?,
            bytes: tokio::fs::metadata(&input).await?.len(),
            received: input,
        });
        Ok(file)
    }

    /// From the sealed file to a delivery that the requester has inspected.
    async fn deliver(
        &mut self,
        requester: &Party,
        worker: &Party,
        job: BidId,
        file: &Path,
        teller: &mut Teller<'_>,
    ) -> anyhow::Result<()> {
        if self.seen.files.is_empty() {
            // The deliverable was given from outside; the input still has to arrive.
            let received = worker
                .wait("the input", self.patience(), |s| {
                    view(s, job)?.materials.first()?.path.clone()
                })
                .await?;
            self.seen.files.push(FileSummary {
                sent: requester.dir.with_file_name("people.csv"),
                sha256: sha256_file(&received).await?,
                bytes: tokio::fs::metadata(&received).await?.len(),
                received,
            });
        }
        let size = tokio::fs::metadata(file).await.context("the deliverable cannot be read")?.len();
        // Sealing, sending and inspecting take longer for a large file.
        let patience = self.patience() + Duration::from_secs(size >> 23);
        let message = "Sorted and cleaned.".to_owned();
        let deliver = Command::Deliver { job, file: file.to_owned(), message };
        worker.app.handle().ask(deliver).await?;
        worker
            .wait("the sealed delivery", patience, |s| {
                view(s, job)?.delivery.as_ref()?.manifest.map(|_| ())
            })
            .await?;
        teller.step("the delivery is sealed and signed");
        requester
            .wait("a sound delivery", patience, |s| {
                view(s, job)?.delivery.as_ref().filter(|d| d.inspected).map(|_| ())
            })
            .await?;
        teller.step("the requester holds all the ciphertext, checked, and no key");
        Ok(())
    }

    /// From accept to the end on both sides.
    async fn settle(
        &mut self,
        requester: &Party,
        worker: &Party,
        job: BidId,
        file: &Path,
        teller: &mut Teller<'_>,
    ) -> anyhow::Result<()> {
        let size = tokio::fs::metadata(file).await?.len();
        let patience = self.patience() + Duration::from_secs(size >> 23);
        #[expect(clippy::disallowed_methods, reason = "a story measures itself")]
        let accepted = Instant::now();
        let max_fee = self.price.ppm(10_000);
        requester.app.handle().ask(Command::Accept { job, max_fee }).await?;
        let paid = requester
            .wait("the payment", self.patience(), |s| {
                view(s, job)?.delivery.as_ref().filter(|d| d.paid > 0).map(|d| d.fee)
            })
            .await?;
        #[expect(clippy::disallowed_methods, reason = "a story measures itself")]
        let took = Instant::now() - accepted;
        self.seen.accept_to_paid_ms = Some(millis(took));
        self.seen.routing_fee = paid;
        teller.step("the requester has paid, and the preimage is the key");
        let output = requester
            .wait("the opened file", patience, |s| {
                let view = view(s, job)?;
                let done = view.phase == Phase::Settled;
                view.delivery.as_ref().filter(|_| done)?.output.clone()
            })
            .await?;
        teller.step("the file is open, and every chunk is what was signed");
        let (received, lsp_fee) = worker
            .wait("its money", self.patience(), |s| {
                let view = view(s, job).filter(|v| v.phase == Phase::Settled)?;
                view.delivery.as_ref().map(|d| (d.received, d.lsp_fee))
            })
            .await?;
        self.seen.lsp_fee = lsp_fee;
        teller.step(format!("the worker has {received}, its first"));
        if self.way == Some("swapped-file") {
            tokio::fs::write(&output, b"something else").await?;
        }
        self.seen.files.push(FileSummary {
            sent: file.to_owned(),
            sha256: sha256_file(&output).await?,
            bytes: tokio::fs::metadata(&output).await?.len(),
            received: output,
        });
        self.ask_the_nodes(requester).await
    }

    /// The payment as the requester's own node tells it.
    async fn ask_the_nodes(&mut self, requester: &Party) -> anyhow::Result<()> {
        let lines = requester.app.handle().payments().await?;
        self.seen.times_paid = 0;
        for line in lines {
            let hash = PaymentHash(line.hash.0);
            let (preimage, state) = match requester.app.node().lookup(&hash).await? {
                PaymentState::Paid { preimage, .. } => {
                    self.seen.times_paid += 1;
                    (Some(hex::encode(preimage.expose())), "paid")
                }
                PaymentState::InFlight => (None, "inflight"),
                PaymentState::Failed { .. } => (None, "failed"),
                PaymentState::Unknown => (None, "unknown"),
            };
            self.seen.payment = Some(PaymentSummary {
                hash: hash.to_string(),
                preimage,
                amount_msat: line.amount.get(),
                from: "requester".into(),
                to: "worker".into(),
                mode: "sealed".into(),
                state: state.into(),
            });
        }
        Ok(())
    }
}

pub(super) fn view(snapshot: &Snapshot, job: BidId) -> Option<&JobView> {
    snapshot.jobs.get(&job).map(|v| &**v)
}

/// Adds everything up. `before` is in the order of the parties, and the LSP's last.
pub(super) async fn account<const N: usize>(
    teller: &mut Teller<'_>,
    world: &World,
    parties: &[&Party],
    before: [Purse; N],
    (lsp_fee, routing_fee): (Msat, Msat),
) -> anyhow::Result<()> {
    let summary = &mut teller.summary;
    let mut after_all = 0i128;
    for (party, before) in parties.iter().zip(before) {
        let after = party.purse().await?;
        after_all += i128::from(after.total()) - i128::from(before.total());
        summary.parties.insert(
            party.name.into(),
            PartySummary {
                npub: party.app.npub(),
                node_id: party.app.node().node().to_string(),
                pid: std::process::id(),
                data_dir: party.dir.clone(),
                before_msat: before,
                after_msat: after,
            },
        );
    }
    // An LSP that was stopped on purpose has no say any more.
    let lsp = world.lsp_purse().await.unwrap_or(before[N - 1]);
    after_all += i128::from(lsp.total()) - i128::from(before[N - 1].total());
    summary.parties.insert(
        "lsp".into(),
        PartySummary {
            npub: String::new(),
            node_id: world.lsp().peer().id.to_string(),
            pid: std::process::id(),
            data_dir: world.dir().join("lsp"),
            before_msat: before[N - 1],
            after_msat: lsp,
        },
    );
    let (faucet, onchain) = world.books().await?;
    summary.faucet_msat = faucet;
    summary.fees_msat.onchain = onchain;
    summary.fees_msat.lsp = lsp_fee.get();
    summary.fees_msat.routing = routing_fee.get();
    summary.diff_msat = after_all + i128::from(onchain) - i128::from(faucet);
    summary.events_by_kind = world.events_by_kind().await.unwrap_or_default();
    Ok(())
}

fn people_csv() -> String {
    let names = ["Ada", "Grace", "Hedy", "Radia", "Annie", "Katherine", "Joan", "Mary"];
    let mut text = String::from("name,year\n");
    for i in 0..400u32 {
        let name = names[i as usize % names.len()];
        text.push_str(&format!(" {name} {},{}  \n", i % 90, 1900 + i % 90));
    }
    text.push_str(",\n,1999\n");
    text
}

pub(super) fn sha256_hex(preimage_hex: &String) -> String {
    hex::decode(preimage_hex).map(|x| hex::encode(sha2::Sha256::digest(x))).unwrap_or_default()
}

pub(super) async fn sha256_file(path: &Path) -> anyhow::Result<String> {
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || {
        let mut file = std::fs::File::open(&path)?;
        let mut hasher = sha2::Sha256::new();
        std::io::copy(&mut file, &mut hasher)?;
        Ok(hex::encode(hasher.finalize()))
    })
    .await?
}

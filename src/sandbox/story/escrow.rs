//! `escrow` and `escrow-timeout`: the requester's money is locked at the worker's own node before the work.
//! In one it is released and claimed; in the other the worker vanishes and it goes back by age.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};

use crate::engine::{Command, EscrowView, Lightning as _, PaymentState, Ports, Snapshot};
use crate::market::{
    BidId, EscrowTerms, EventId, GigDraft, LEAST_WINDOW, Mode, Msat, Network, PaymentHash, Phase,
    Query, Sort, WINDOW, Wish, Work, final_cltv,
};
use crate::sandbox::story::first_job::{account, sha256_file, sha256_hex, view};
use crate::sandbox::story::{FileSummary, PaymentSummary, Play, Sabotage, Story, Teller, gig};
use crate::sandbox::world::{Party, World, WorldSetup, sats};

/// Released and claimed.
pub(super) const STORY: Story = Story {
    name: "escrow",
    about: "the money is locked at the worker's own node before the work; the requester reads the work and then releases it",
    breaks: &[
        (
            "unconfirmed",
            "no block comes after the money is locked, so the channel is never confirmed",
        ),
        ("wrong-byte", "one byte of the ciphertext that the worker serves is not what it signed"),
        ("lsp-down", "the LSP goes away before the requester releases the money"),
    ],
};

/// Back by age.
pub(super) const TIMEOUT: Story = Story {
    name: "escrow-timeout",
    about: "the worker vanishes with the money locked at its node; it goes back to the requester when its time is over, and the worker's own record says so",
    breaks: &[
        ("half-the-blocks", "only half of the blocks come"),
        ("stays-away", "the worker's node never comes back"),
    ],
};

/// How it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The requester releases, the worker claims.
    Released,
    /// The worker is gone until the time is over.
    TimedOut,
}

const PRICE_SATS: u64 = 21_000;

/// Plays one of them. Claims are kept even where a step fails: what did not happen is then seen as missing.
pub(super) async fn tell(play: &Play, teller: &mut Teller<'_>, end: End) -> anyhow::Result<()> {
    let way = play.break_way.as_deref();
    let setup = WorldSetup { dir: play.dir.clone(), relay: play.relay.clone(), seed: play.seed };
    let mut world = World::start(setup).await?;
    teller.step("a chain, a relay and an LSP are up");
    let requester = world.party("requester", None, |ports| ports).await?;
    let saboteur = way == Some("wrong-byte");
    let change = move |ports: Ports| match saboteur {
        true => Ports { files: Arc::new(Sabotage(ports.files.clone())), ..ports },
        false => ports,
    };
    let worker = world.party("worker", None, change).await?;
    teller.step("a requester and a worker have started, each with a node of its own");
    let before = [requester.purse().await?, worker.purse().await?, world.lsp_purse().await?];

    let price = sats(play.price.unwrap_or(PRICE_SATS))?;
    let window = if end == End::TimedOut { LEAST_WINDOW } else { WINDOW };
    let mut course = Course { way, price, window, seen: Seen::default() };
    let mut worker = Some(worker);
    let ran = course.run(&mut world, &requester, &mut worker, play, teller, end).await;
    let went = ran.map_or_else(|why| format!("{why:#}"), |()| "to its end".into());
    teller.claim("the job goes to its end", "to its end", went);
    let worker = match worker {
        Some(worker) => worker,
        None => world.party("worker", None, |ports| ports).await?,
    };
    let seen = course.seen;
    let parties = [&requester, &worker];
    world.still(&parties).await?;
    world.mine(6, &parties).await?;
    world.still(&parties).await?;
    account(teller, &world, &parties, before, (seen.lsp_fee, seen.routing_fee)).await?;

    let wanted = match end {
        End::Released => "claim",
        End::TimedOut => "timeout",
    };
    teller.claim("how the money moved in the end", Some(wanted), seen.resolved_by);
    teller.claim("the worker began with no bitcoin", 0, before[1].total());
    teller.claim("the channels held the money before any work", Some(true), seen.held);
    teller.claim("the real deadline is not before P", Some(true), seen.on_time);
    teller.claim("the channel had three confirmations before any work", Some(true), seen.confirmed);
    let range = final_cltv(window);
    let asked = seen.final_cltv.map(|asked| range.contains(&asked));
    teller.claim(
        "the invoice asks for the window and no more than 48 blocks over",
        Some(true),
        asked,
    );
    let after = worker.purse().await?;
    let lsp_fee = seen.lsp_fee.get();
    match end {
        End::Released => {
            teller.claim(
                "the work was read while the money was locked",
                Some(true),
                seen.read_first,
            );
            teller.claim("the requester's node paid, once", 1, seen.times_paid);
            let paid = seen.payment.as_ref();
            let fits = paid.and_then(|p| p.preimage.as_ref().map(|x| sha256_hex(x) == p.hash));
            teller.claim(
                "the secret that was released hashes to the payment hash",
                Some(true),
                fits,
            );
            let net = price.get() - lsp_fee.min(price.get());
            teller.claim("the worker has the price less the LSP's fee", net, after.channels);
            for file in &seen.files {
                let sent = sha256_file(&file.sent).await.unwrap_or_default();
                teller.claim("the work arrived as it was sent", sent, &file.sha256);
            }
            teller.claim("one file was handed over", 1, seen.files.len());
        }
        End::TimedOut => {
            teller.claim("the requester's node paid nothing", 0, seen.times_paid);
            teller.claim("the worker has nothing", 0, after.channels);
            let routing = seen.routing_fee.get();
            teller.claim("and the requester no fee to bear", 0, routing + lsp_fee);
        }
    }
    let diff = teller.summary.diff_msat;
    teller.claim("every satoshi is accounted for", 0, i64::try_from(diff).unwrap_or(i64::MAX));

    teller.tell("window_blocks", window);
    teller.tell("funded_height", seen.funded_height);
    teller.tell("claim_deadline", seen.claim_deadline);
    teller.tell("resolved_by", seen.resolved_by);
    // There is no judge, and no judge ever receives.
    teller.tell("judge_received_msat", 0);
    teller.tell("invoice", seen.invoice);
    teller.summary.files = seen.files;
    teller.summary.payments.extend(seen.payment);

    requester.app.stop().await?;
    worker.app.stop().await?;
    world.stop().await?;
    teller.step("everything has stopped in order");
    Ok(())
}

/// What was seen on the way.
#[derive(Default)]
struct Seen {
    held: Option<bool>,
    on_time: Option<bool>,
    confirmed: Option<bool>,
    read_first: Option<bool>,
    final_cltv: Option<u64>,
    funded_height: Option<u32>,
    claim_deadline: Option<u32>,
    resolved_by: Option<&'static str>,
    invoice: Option<String>,
    files: Vec<FileSummary>,
    payment: Option<PaymentSummary>,
    times_paid: usize,
    lsp_fee: Msat,
    routing_fee: Msat,
}

struct Course<'a> {
    way: Option<&'a str>,
    price: Msat,
    window: u32,
    seen: Seen,
}

impl Course<'_> {
    fn patience(&self) -> Duration {
        Duration::from_secs(if self.way.is_some() { 15 } else { 90 })
    }

    async fn run(
        &mut self,
        world: &mut World,
        requester: &Party,
        worker: &mut Option<Party>,
        play: &Play,
        teller: &mut Teller<'_>,
        end: End,
    ) -> anyhow::Result<()> {
        let there = worker.as_ref().ok_or_else(|| anyhow!("there is no worker"))?;
        world.open_channel(requester, (self.price.whole_sats() * 4).max(1_000_000)).await?;
        // Both count blocks from here: neither may be many behind.
        world.sync(&[requester, there]).await?;
        teller.step("the requester has coins from the faucet and a channel to the LSP");
        let job = self.award(requester, there, teller).await?;
        let hash = self.lock(world, requester, there, job, teller).await?;
        match end {
            End::Released => {
                let work = match &play.file {
                    Some(file) => file.clone(),
                    None => self.work(world.dir()).await?,
                };
                self.deliver(requester, there, job, hash, &work, teller).await?;
                if self.way == Some("lsp-down") {
                    world.stop_lsp().await?;
                }
                self.release(requester, there, job, teller).await?;
            }
            End::TimedOut => {
                if let Some(gone) = worker.take() {
                    gone.app.stop().await?;
                }
                teller.step("the worker has vanished, with the money locked at its node");
                self.wait_for_age(world, requester, worker, job, teller).await?;
            }
        }
        self.ask_the_node(requester).await
    }

    /// From the listing to the award.
    async fn award(
        &self,
        requester: &Party,
        worker: &Party,
        teller: &mut Teller<'_>,
    ) -> anyhow::Result<BidId> {
        let draft = GigDraft {
            summary: "A text whose worth is seen by reading it.".into(),
            content: "One page on why rivers bend. The money is locked before you begin.".into(),
            tags: vec!["writing".into()],
            modes: vec![Mode::Escrow],
            escrow: Some(EscrowTerms { window: self.window, judge: None }),
            ..gig("Write a short text about rivers", self.price)
        };
        requester.app.handle().ask(Command::Post { draft, inputs: Vec::new(), key: None }).await?;
        let gig = self.find(worker).await?;
        worker
            .wait("the LSP's terms", self.patience(), |s| s.node.as_ref()?.least_first.map(|_| ()))
            .await?;
        let message = "Gladly, once the money is locked.".to_owned();
        let bid = Command::Bid { gig, wish: Wish::default(), message };
        let job = worker.app.handle().ask(bid).await?.log;
        requester.wait("the bid", self.patience(), |s| view(s, job).map(|_| ())).await?;
        requester.app.handle().ask(Command::Award { job }).await?;
        teller.step("a gig in escrow is posted, bid on and awarded");
        Ok(job)
    }

    async fn find(&self, worker: &Party) -> anyhow::Result<EventId> {
        let query = Query {
            words: vec!["rivers".into()],
            tags: Vec::new(),
            price_min: None,
            price_max: None,
            mode: Some(Mode::Escrow),
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
        let found = tokio::time::timeout(self.patience(), looking).await;
        found.map_err(|_| anyhow!("the worker looked for the gig in vain"))?
    }

    /// From the worker's hold invoice to money that is locked and confirmed.
    async fn lock(
        &mut self,
        world: &World,
        requester: &Party,
        worker: &Party,
        job: BidId,
        teller: &mut Teller<'_>,
    ) -> anyhow::Result<PaymentHash> {
        requester
            .wait("the hold invoice", self.patience(), |s| escrow(s, job)?.end.map(|_| ()))
            .await?;
        teller.step("the worker's node has made a hold invoice, re-signed for the window");
        let max_fee = self.price.ppm(10_000);
        requester.app.handle().ask(Command::Fund { job, max_fee }).await?;
        let held = worker
            .wait("the held payment", self.patience(), |s| {
                view(s, job).filter(|v| v.phase == Phase::Funding).map(|_| ())
            })
            .await;
        held.with_context(|| why_not(requester, job))?;
        teller.step("the payment is held at the worker's node, over a channel that opened for it");
        if self.way != Some("unconfirmed") {
            world.mine(3, &[requester, worker]).await?;
        }
        let at = |s: &Snapshot| view(s, job).filter(|v| v.phase == Phase::Working).map(|_| ());
        worker.wait("three confirmations", self.patience(), at).await?;
        requester.wait("the worker's word that it is locked", self.patience(), at).await?;
        let seen =
            requester.wait("the escrow", self.patience(), |s| escrow(s, job).cloned()).await?;
        // The parts say so, not the records.
        let holding = worker.app.node().holding(&seen.hash).await?;
        let end = seen.end.unwrap_or(u32::MAX);
        self.seen.held = Some(holding.is_some());
        self.seen.on_time = holding.map(|h| h.deadline >= end);
        self.seen.confirmed = holding.map(|h| h.confirmations >= 3);
        self.seen.claim_deadline = holding.map(|h| h.deadline);
        self.seen.funded_height = Some(worker.app.node().status().await?.height);
        let row =
            requester.app.handle().payments().await?.into_iter().find(|r| r.hash == seen.hash);
        let text = row.map(|row| row.invoice).context("the payment is not in the ledger")?;
        let invoice: ldk_node::lightning_invoice::Bolt11Invoice =
            text.parse().map_err(|_| anyhow!("the hold invoice does not parse"))?;
        self.seen.final_cltv = Some(invoice.min_final_cltv_expiry_delta());
        self.seen.invoice = Some(text);
        teller.step("the channel is confirmed: the money is locked, and the worker may work");
        Ok(seen.hash)
    }

    /// The worker's own small program.
    async fn work(&self, dir: &Path) -> anyhow::Result<PathBuf> {
        let mut text = String::from("Why rivers bend\n\n");
        for line in 1..=400 {
            text.push_str(&format!("{line}. The outer bank is worn and the inner one grows.\n"));
        }
        let file = dir.join("rivers.txt");
        tokio::fs::write(&file, text).await?;
        Ok(file)
    }

    /// The work, with its key, while the money stays where it is.
    async fn deliver(
        &mut self,
        requester: &Party,
        worker: &Party,
        job: BidId,
        hash: PaymentHash,
        file: &Path,
        teller: &mut Teller<'_>,
    ) -> anyhow::Result<()> {
        let size = tokio::fs::metadata(file).await.context("the deliverable cannot be read")?.len();
        let patience = self.patience() + Duration::from_secs(size >> 23);
        let message = "One page.".to_owned();
        let deliver = Command::Deliver { job, file: file.to_owned(), message };
        worker.app.handle().ask(deliver).await?;
        let output = requester
            .wait("the opened work", patience, |s| view(s, job)?.delivery.as_ref()?.output.clone())
            .await?;
        let unpaid = requester.app.node().lookup(&hash).await? == PaymentState::InFlight;
        let held = worker.app.node().holding(&hash).await?.is_some();
        self.seen.read_first = Some(unpaid && held);
        self.seen.files.push(FileSummary {
            sent: file.to_owned(),
            sha256: sha256_file(&output).await?,
            bytes: tokio::fs::metadata(&output).await?.len(),
            received: output,
        });
        teller.step("the requester has read the work; the money is still locked");
        Ok(())
    }

    /// From accept to the end on both sides.
    async fn release(
        &mut self,
        requester: &Party,
        worker: &Party,
        job: BidId,
        teller: &mut Teller<'_>,
    ) -> anyhow::Result<()> {
        let max_fee = Msat::ZERO;
        requester.app.handle().ask(Command::Accept { job, max_fee }).await?;
        let settled = |s: &Snapshot| {
            view(s, job).filter(|v| v.phase == Phase::Settled)?;
            escrow(s, job).cloned()
        };
        let theirs = worker.wait("its money", self.patience(), settled).await?;
        let ours = requester.wait("the end", self.patience(), settled).await?;
        self.seen.lsp_fee = theirs.lsp_fee;
        self.seen.routing_fee = ours.fee;
        self.seen.resolved_by = Some("claim");
        teller.step("the secret is released, and the worker has claimed what it held");
        Ok(())
    }

    /// Nobody answers until the payment is too old; then the worker's node comes back and lets it go.
    async fn wait_for_age(
        &mut self,
        world: &World,
        requester: &Party,
        worker: &mut Option<Party>,
        job: BidId,
        teller: &mut Teller<'_>,
    ) -> anyhow::Result<()> {
        let deadline = self.seen.claim_deadline.context("nothing was held")?;
        let height = world.chain().height().await?;
        let mut blocks = deadline.saturating_sub(height) + 2;
        if self.way == Some("half-the-blocks") {
            blocks /= 2;
        }
        world.mine(blocks, &[requester]).await?;
        teller.step(format!("{blocks} blocks have come"));
        if self.way != Some("stays-away") {
            let back = &*worker.insert(world.party("worker", None, |ports| ports).await?);
            back.wait("its channel to be up", self.patience(), |s| {
                s.node.as_ref().filter(|n| n.channels_usable > 0).map(|_| ())
            })
            .await?;
            world.still(&[requester, back]).await?;
            // A block is what an escrow wakes by.
            world.mine(1, &[requester, back]).await?;
            teller.step("the worker's node has come back, and let the payment go");
            back.wait("the worker's record to say so", self.patience(), |s| {
                view(s, job).filter(|v| v.phase == Phase::Refunded).map(|_| ())
            })
            .await?;
        }
        requester
            .wait("its money back", self.patience(), |s| {
                view(s, job).filter(|v| v.phase == Phase::Refunded).map(|_| ())
            })
            .await?;
        // Whether the node let it go by itself or, while it read the blocks that it had missed, sent it back by
        // the timetable: nothing came before the real deadline of the payment.
        let over = world.chain().height().await? >= deadline;
        self.seen.resolved_by = Some(if over { "timeout" } else { "fail_back" });
        teller.step("the requester has its money back");
        Ok(())
    }

    /// The payment as the requester's own node tells it.
    async fn ask_the_node(&mut self, requester: &Party) -> anyhow::Result<()> {
        self.seen.times_paid = 0;
        for line in requester.app.handle().payments().await? {
            let (preimage, state) = match requester.app.node().lookup(&line.hash).await? {
                PaymentState::Paid { preimage, .. } => {
                    self.seen.times_paid += 1;
                    (Some(hex::encode(preimage.expose())), "paid")
                }
                PaymentState::InFlight => (None, "inflight"),
                PaymentState::Failed { .. } => (None, "failed"),
                PaymentState::Unknown => (None, "unknown"),
            };
            self.seen.payment = Some(PaymentSummary {
                hash: line.hash.to_string(),
                preimage,
                amount_msat: line.amount.get(),
                from: "requester".into(),
                to: "worker".into(),
                mode: "escrow".into(),
                state: state.into(),
            });
        }
        Ok(())
    }
}

/// What the requester's own screen says of it.
fn why_not(party: &Party, job: BidId) -> String {
    let shown = party.app.handle().watch().borrow().clone();
    let reason = view(&shown, job).and_then(|v| v.reason.as_ref().map(ToString::to_string));
    format!("{} says: {}", party.name, reason.unwrap_or_else(|| "nothing".into()))
}

fn escrow(snapshot: &Snapshot, job: BidId) -> Option<&EscrowView> {
    view(snapshot, job)?.escrow.as_ref()
}

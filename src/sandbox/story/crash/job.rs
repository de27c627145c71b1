//! One job, in which somebody is killed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::time::Instant;

use super::process::Process;
use super::{Cast, Course, IMPATIENCE, Kill, LOOK, PATIENCE, Told, Who};
use crate::engine::{Command, JobView, Snapshot};
use crate::market::{
    CasePhase, EscrowTerms, GigDraft, JudgeTerms, LEAST_WINDOW, Mode, Msat, Network, Phase, Query,
    Role, Wish,
};
use crate::sandbox::Point;
use crate::sandbox::story::first_job::sha256_file;
use crate::sandbox::story::{FileSummary, gig};
use crate::sandbox::world::World;

/// LDK writes its channels (monitors) at once and what it knows of them (the manager) a moment later, in the
/// background. Killed between the two it closes the channel at its next start: no money is lost, but the
/// chain's fees are, and hours. That is LDK's to mend; here it is given the moment: until its store has been
/// left alone for so long, which on a busy machine comes later.
const WRITTEN: Duration = Duration::from_millis(600);
/// It is not waited for longer than this.
const MOST_WRITTEN: Duration = Duration::from_secs(10);

/// How often a block comes while an escrow waits for one.
const BLOCK: Duration = Duration::from_secs(1);

/// One job.
pub(super) struct Job<'a> {
    pub(super) title: String,
    pub(super) course: Course,
    pub(super) who: Who,
    pub(super) point: Point,
    pub(super) price: Msat,
    pub(super) file: PathBuf,
    pub(super) judge: JudgeTerms,
    /// It is broken here: what is lost when somebody is killed.
    pub(super) lost: Option<&'a str>,
}

impl Job<'_> {
    /// Does whatever comes next on every side, and kills whoever has got to its point, until both sides
    /// see the end that the course has.
    pub(super) async fn run(
        &self,
        world: &World,
        cast: &mut Cast,
        told: &mut Told,
    ) -> anyhow::Result<()> {
        let patience = if self.lost.is_some() { IMPATIENCE } else { PATIENCE };
        let begun = Instant::now();
        let mut mined = begun;
        let mut alive = true;
        loop {
            if alive && cast.of(self.who).has_halted().await {
                alive = false;
                self.kill(cast.of(self.who), told).await?;
            }
            self.post(&cast.requester).await;
            self.bid(&cast.worker).await;
            let requester = self.turn(&cast.requester).await;
            let worker = self.turn(&cast.worker).await;
            self.judge(&cast.judge).await;
            let sides = [&requester, &worker];
            let all = |phase| sides.iter().all(|v| v.as_ref().is_some_and(|v| v.phase == phase));
            if !alive && all(self.course.end()) {
                if let (Some(requester), Some(worker)) = (&requester, &worker) {
                    self.keep(requester, worker, told).await?;
                }
                return Ok(());
            }
            // An escrow looks at its channels by blocks.
            let waits = |phase| matches!(phase, Phase::Funding | Phase::Refunding);
            if sides.iter().any(|v| v.as_ref().is_some_and(|v| waits(v.phase)))
                && mined.elapsed() > BLOCK
            {
                world.mine(1, &[]).await?;
                mined = Instant::now();
            }
            if begun.elapsed() > patience {
                let phase =
                    |view: Option<JobView>| view.map_or("unknown", |view| view.phase.word());
                bail!(
                    "{} is {} for the requester and {} for the worker after {} s{}",
                    self.title,
                    phase(requester),
                    phase(worker),
                    patience.as_secs(),
                    if alive { ", and nobody has got to the point" } else { "" },
                );
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Kills, and starts again.
    async fn kill(&self, process: &mut Process, told: &mut Told) -> anyhow::Result<()> {
        written(&process.dir.join("node/ldk_node_data.sqlite")).await;
        let pid = process.kill().await?;
        let (party, point) = (self.who.word(), self.point.to_string());
        told.kills.push(Kill { party, pid, signal: "SIGKILL", point });
        match self.lost {
            Some("forgets") => forget(&process.dir)?,
            Some(_) => return Ok(()),
            None => {}
        }
        process.start(None).await
    }

    /// Posts the gig, once.
    async fn post(&self, asks: &Process) {
        let Some(snapshot) = asks.snapshot() else { return };
        let posted = snapshot.posts.iter().any(|post| *post.gig.title == *self.title);
        if snapshot.identity.is_none() || posted {
            return;
        }
        let mode = self.course.mode();
        let escrow = EscrowTerms { window: LEAST_WINDOW, judge: Some(self.judge) };
        let draft = GigDraft {
            content: "Somebody will be killed meanwhile.".into(),
            tags: vec!["crash".into()],
            modes: vec![mode],
            escrow: (mode == Mode::Escrow).then_some(escrow),
            quality: self.course.quality(),
            pow: 0,
            ..gig(&self.title, self.price)
        };
        asks.ask(Command::Post { draft, inputs: Vec::new(), key: None }).await;
    }

    /// Bids, once, as soon as the gig is in the book.
    async fn bid(&self, does: &Process) {
        let Some(running) = &does.running else { return };
        let Some(snapshot) = does.snapshot() else { return };
        let ready = snapshot.node.as_ref().is_some_and(|node| node.least_first.is_some());
        if !ready || self.view(&snapshot).is_some() {
            return;
        }
        let query = Query { tags: vec!["crash".into()], ..Query::everything(Network::Regtest) };
        let found = tokio::time::timeout(Duration::from_secs(5), running.handle.find(query));
        let Ok(Ok(page)) = found.await else { return };
        let gig = page.gigs.into_iter().find(|gig| gig.title.as_received() == self.title);
        if let Some(gig) = gig {
            let wish = Wish { mode: Some(self.course.mode()), ..Wish::default() };
            does.ask(Command::Bid { gig: gig.id, wish, message: "At your risk.".into() }).await;
        }
    }

    fn view(&self, snapshot: &Snapshot) -> Option<JobView> {
        let own = |view: &&Arc<JobView>| *view.title == *self.title;
        snapshot.jobs.values().find(own).map(|view| (**view).clone())
    }

    /// What comes next on this side, by what it sees; answers with what it sees.
    async fn turn(&self, process: &Process) -> Option<JobView> {
        let snapshot = process.snapshot()?;
        let view = self.view(&snapshot)?;
        let (job, reason) = (view.id, String::from("So that somebody is killed."));
        let max_fee = self.price.ppm(10_000);
        let idle = view.pending.is_empty();
        let billed = view.escrow.as_ref().is_some_and(|e| e.end.is_some() && !e.locked);
        let inspected = view.delivery.as_ref().is_some_and(|d| d.inspected);
        let opened = view.delivery.as_ref().is_some_and(|d| d.output.is_some());
        // Until the judge has lodged it, it is said.
        let judge = view.escrow.as_ref().and_then(|e| e.judge.as_ref());
        let unanswered = judge.is_some_and(|j| j.objection.is_none() && j.unanswered == 0);
        let command = match (view.role, view.phase, self.course) {
            (Role::Requester, Phase::Bid, _) => Command::Award { job },
            (Role::Requester, Phase::Awarded, _) if billed => Command::Fund { job, max_fee },
            (Role::Requester, Phase::Delivered, Course::Ruled) if opened => {
                Command::Reject { job, reason }
            }
            (Role::Requester, Phase::Delivered, Course::Escrow) if opened => {
                Command::Accept { job, max_fee }
            }
            (
                Role::Requester,
                Phase::Delivered,
                Course::Sealed | Course::Audited | Course::Direct,
            ) if inspected => Command::Accept { job, max_fee },
            (Role::Worker, Phase::Delivered, Course::Granted) => Command::Dispute { job, reason },
            (Role::Worker, Phase::Working, Course::GivenBack) => Command::Cancel { job, reason },
            (Role::Worker, Phase::Working, Course::Ruled) if view.reason.is_some() => {
                Command::Dispute { job, reason }
            }
            (Role::Requester, Phase::Disputed, _) if unanswered => Command::Object { job, reason },
            (Role::Worker, Phase::Working, _) if idle => {
                Command::Deliver { job, file: self.file.clone(), message: String::new() }
            }
            _ => return Some(view),
        };
        process.ask(command).await;
        Some(view)
    }

    /// The judge decides as the course has it, whatever it sees: it is a story. It hears the other side first.
    async fn judge(&self, judge: &Process) {
        let Some(snapshot) = judge.snapshot() else { return };
        let called = snapshot.cases.values().find(|case| {
            *case.title == *self.title
                && case.phase == CasePhase::Disputed
                && case.objection.is_some()
                && case.finding.is_some()
        });
        if let Some(case) = called {
            let reason = "So that somebody is killed.".into();
            let whose = match self.course {
                Course::Granted => Role::Worker,
                _ => Role::Requester,
            };
            judge.ask(Command::Rule { case: case.id, whose, reason }).await;
        }
    }

    async fn keep(
        &self,
        requester: &JobView,
        worker: &JobView,
        told: &mut Told,
    ) -> anyhow::Result<()> {
        if self.course.end() != Phase::Settled {
            return Ok(());
        }
        let paid = requester.delivery.as_ref().context("nothing was delivered")?;
        let received = worker.delivery.as_ref().context("nothing was delivered")?;
        told.settled += 1;
        let held = |view: &JobView| view.escrow.as_ref().map(|e| (e.fee, e.lsp_fee));
        let routing = held(requester).map_or(paid.fee, |(fee, _)| fee);
        let lsp_fee = held(worker).map_or(received.lsp_fee, |(_, lsp_fee)| lsp_fee);
        told.routing = [told.routing, routing].into_iter().sum();
        told.lsp_fee = [told.lsp_fee, lsp_fee].into_iter().sum();
        let output = paid.output.clone().context("nothing was opened")?;
        told.files.push(FileSummary {
            sent: self.file.clone(),
            sha256: sha256_file(&output).await?,
            bytes: tokio::fs::metadata(&output).await?.len(),
            received: output,
        });
        Ok(())
    }
}

/// Loses everything that the party itself wrote down; its node keeps what it has.
fn forget(dir: &Path) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.contains(".db") || name.contains(".sqlite") {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Waits until a node's store is left alone.
async fn written(store: &Path) {
    let stamp = || std::fs::metadata(store).and_then(|about| about.modified()).ok();
    let (begun, mut last, mut since) = (Instant::now(), stamp(), Instant::now());
    while since.elapsed() < WRITTEN && begun.elapsed() < MOST_WRITTEN {
        tokio::time::sleep(Duration::from_millis(25)).await;
        let now = stamp();
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
}

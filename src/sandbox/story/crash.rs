//! `crash`: requester and worker are processes of their own, and one of them is killed at every point at
//! which it had just said or done something to the world, or was just about to. Nothing is lost and nothing
//! happens twice.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use serde::Serialize;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command as Program};
use tokio::time::Instant;

use crate::engine::{Command, Handle, JobView, Snapshot};
use crate::market::{
    Deadlines, GigDraft, Mode, Msat, Network, Phase, Quality, Query, Role, Span, Time, Wish, Work,
};
use crate::sandbox::Point;
use crate::sandbox::story::first_job::{account, sha256_file};
use crate::sandbox::story::{FileSummary, Play, Story, Teller};
use crate::sandbox::world::{World, WorldSetup, now, sats};

/// What it shows.
pub(super) const STORY: Story = Story {
    name: "crash",
    about: "requester and worker are processes that are killed in the middle of everything, at named calls of their ports; every job ends, every satoshi is accounted for, nothing is paid twice",
    breaks: &[
        ("stays-dead", "the worker is killed when it has shown its key, and is not started again"),
        ("forgets", "the worker's own records are lost when it is killed before it claims"),
    ],
};

const PRICE_SATS: u64 = 20_000;
/// How long one job may take, with a kill in it.
const PATIENCE: Duration = Duration::from_secs(90);
/// The same where it is broken, and will never end.
const IMPATIENCE: Duration = Duration::from_secs(20);
/// LDK writes its channels (monitors) at once and what it knows of them (the manager) a moment later, in the
/// background. Killed between the two it closes the channel at its next start: no money is lost, but the
/// chain's fees are, and hours. That is LDK's to mend; here it is given the moment.
const WRITTEN: Duration = Duration::from_millis(400);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// Who is killed, and where: one job each.
const KILLS: [(Role, &str); 14] = [
    (Role::Requester, "publish:1:before"),
    (Role::Requester, "publish:2:after"),
    (Role::Requester, "fetch:1:before"),
    (Role::Requester, "fetch:1:after"),
    (Role::Requester, "pay:1:before"),
    (Role::Requester, "pay:1:after"),
    (Role::Requester, "handled:1:before"),
    (Role::Worker, "publish:1:before"),
    (Role::Worker, "publish:1:after"),
    (Role::Worker, "bill:1:before"),
    (Role::Worker, "bill:1:after"),
    (Role::Worker, "claim:1:before"),
    (Role::Worker, "claim:1:after"),
    (Role::Worker, "handled:2:before"),
];

/// One kill, as it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Kill {
    party: &'static str,
    pid: u32,
    signal: &'static str,
    point: String,
}

/// A party that is a process.
struct Process {
    name: &'static str,
    dir: PathBuf,
    exe: PathBuf,
    ground: PathBuf,
    running: Option<Running>,
}

struct Running {
    child: Child,
    told: Lines<BufReader<ChildStdout>>,
    handle: Handle,
    pid: u32,
}

impl Process {
    async fn start(&mut self, point: Option<&str>) -> anyhow::Result<()> {
        let mut program = Program::new(&self.exe);
        program.args(["sandbox", "party", self.name, "--ground"]).arg(&self.ground);
        if let Some(point) = point {
            program.args(["--halt-at", point]);
        }
        program.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = program.kill_on_drop(true).spawn().with_context(|| {
            format!("{} does not start as a process of its own", self.exe.display())
        })?;
        let pid = child.id().unwrap_or_default();
        let out = child.stdout.take().context("its stdout is not ours")?;
        let begun = Instant::now();
        let handle = loop {
            match crate::rpc::connect(&self.dir).await {
                Ok(handle) => break handle,
                Err(why) if begun.elapsed() > PATIENCE => return Err(why.into()),
                Err(_) => tokio::time::sleep(LOOK).await,
            }
            if let Some(status) = child.try_wait()? {
                bail!("{} ended by itself: {status}", self.name);
            }
        };
        self.running = Some(Running { child, told: BufReader::new(out).lines(), handle, pid });
        Ok(())
    }

    /// Ends it as a service manager does.
    async fn stop(&mut self) -> anyhow::Result<()> {
        let Some(mut running) = self.running.take() else { return Ok(()) };
        let pid = rustix::process::Pid::from_raw(i32::try_from(running.pid)?).context("no pid")?;
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        let ended = tokio::time::timeout(PATIENCE, running.child.wait());
        let status = ended.await.with_context(|| format!("{} does not stop", self.name))??;
        anyhow::ensure!(status.success(), "{} did not stop well: {status}", self.name);
        Ok(())
    }

    fn snapshot(&self) -> Option<std::sync::Arc<Snapshot>> {
        self.running.as_ref().map(|r| r.handle.watch().borrow().clone())
    }

    /// Asks; whoever is killed meanwhile is asked again by whoever looks next.
    async fn ask(&self, command: Command) {
        if let Some(running) = &self.running {
            let asked = tokio::time::timeout(Duration::from_secs(5), running.handle.ask(command));
            if let Ok(Err(why)) = asked.await {
                tracing::debug!(who = self.name, %why, "was not done");
            }
        }
    }

    /// Whether it has got to its point.
    async fn has_halted(&mut self) -> bool {
        let Some(running) = &mut self.running else { return false };
        let line = tokio::time::timeout(Duration::from_millis(1), running.told.next_line());
        matches!(line.await, Ok(Ok(Some(line))) if line.contains("halted"))
    }

    /// SIGKILL: no chance to say goodbye.
    async fn kill(&mut self) -> anyhow::Result<u32> {
        let mut running = self.running.take().context("nobody runs")?;
        running.child.kill().await?;
        Ok(running.pid)
    }
}

/// Plays it.
pub(super) async fn tell(play: &Play, teller: &mut Teller<'_>) -> anyhow::Result<()> {
    let exe = match &play.exe {
        Some(exe) => exe.clone(),
        None => std::env::current_exe().context("where this program is, is not known")?,
    };
    let setup = WorldSetup { dir: play.dir.clone(), relay: play.relay.clone(), seed: play.seed };
    let mut world = World::start(setup).await?;
    teller.step("a chain, a relay and an LSP are up");
    let price = sats(play.price.unwrap_or(PRICE_SATS))?;

    // Each is looked into before and after, when nothing of it runs elsewhere.
    let requester = world.party("requester", None, |ports| ports).await?;
    let worker = world.party("worker", None, |ports| ports).await?;
    let before = [requester.purse().await?, worker.purse().await?, world.lsp_purse().await?];
    let jobs = KILLS.len() as u64;
    let channel = (price.whole_sats() * 2 * jobs).max(1_000_000);
    world.open_channel(&requester, channel).await?;
    requester.app.stop().await?;
    worker.app.stop().await?;
    teller.step("the requester has a channel to the LSP, the worker has nothing");

    let ground = world.dir().join("ground.json");
    world.ground().write(&ground)?;
    let process = |name: &'static str| Process {
        name,
        dir: world.dir().join(name),
        exe: exe.clone(),
        ground: ground.clone(),
        running: None,
    };
    let (mut asks, mut does) = (process("requester"), process("worker"));
    asks.start(None).await?;
    does.start(None).await?;
    teller.step("both run as processes of their own");

    let mut told = Told::default();
    let done = kills(play, price, &mut asks, &mut does, &world, &mut told, teller).await;
    let why = done.as_ref().err().map(|why| format!("{why:#}"));
    teller.claim("every job ends as if nobody had been killed", None::<String>, why);
    for process in [&mut asks, &mut does] {
        if let Err(why) = process.stop().await {
            teller.claim("a party stops in order", None::<String>, Some(format!("{why:#}")));
        }
    }

    let requester = world.party("requester", None, |ports| ports).await?;
    let worker = world.party("worker", None, |ports| ports).await?;
    let parties = [&requester, &worker];
    world.still(&parties).await?;
    world.mine(6, &parties).await?;
    account(teller, &world, &parties, before, (told.lsp_fee, told.routing)).await?;
    let rows = requester.app.handle().payments().await?;
    let paid = rows.iter().filter(|row| row.state == "paid").count();
    teller.claim("each job was paid once", told.settled, paid);
    let worker_has = worker.purse().await?.channels;
    let worth = price.get() * told.settled as u64 - told.lsp_fee.get();
    teller.claim("the worker has the prices less the LSP's fee", worth, worker_has);
    let diff = teller.summary.diff_msat;
    teller.claim("every satoshi is accounted for", 0, i64::try_from(diff).unwrap_or(i64::MAX));
    teller.claim("everybody was killed where it was said", KILLS.len(), told.kills.len());
    for file in &told.files {
        let sent = sha256_file(&file.sent).await.unwrap_or_default();
        teller.claim("a deliverable arrived as it was sent", sent, &file.sha256);
    }
    teller.tell("kills", &told.kills);
    teller.summary.files = told.files;
    requester.app.stop().await?;
    worker.app.stop().await?;
    world.stop().await?;
    teller.step("everything has stopped in order");
    Ok(())
}

/// What happened.
#[derive(Default)]
struct Told {
    kills: Vec<Kill>,
    files: Vec<FileSummary>,
    settled: usize,
    lsp_fee: Msat,
    routing: Msat,
}

/// One job for every kill.
async fn kills(
    play: &Play,
    price: Msat,
    asks: &mut Process,
    does: &mut Process,
    world: &World,
    told: &mut Told,
    teller: &mut Teller<'_>,
) -> anyhow::Result<()> {
    for (n, (role, point)) in KILLS.iter().enumerate() {
        let point: Point = point.parse().map_err(|why: String| anyhow!(why))?;
        let victim = if *role == Role::Requester { &mut *asks } else { &mut *does };
        victim.stop().await?;
        victim.start(Some(&point.to_string())).await?;
        let job = Job {
            title: format!("Job {} of {}", n + 1, KILLS.len()),
            // Every third one in the open.
            mode: if n % 3 == 2 { Mode::Direct } else { Mode::Sealed },
            price,
            file: world.dir().join(format!("work-{n}.txt")),
            way: play.break_way.as_deref(),
        };
        std::fs::write(&job.file, format!("the work of job {n}\n").repeat(2_000))?;
        job.run(*role, point, asks, does, told).await?;
        teller.step(format!(
            "{}: the {} was killed at {point}, and it is settled",
            job.title,
            word(*role)
        ));
    }
    Ok(())
}

fn word(role: Role) -> &'static str {
    match role {
        Role::Requester => "requester",
        _ => "worker",
    }
}

struct Job<'a> {
    title: String,
    mode: Mode,
    price: Msat,
    file: PathBuf,
    way: Option<&'a str>,
}

impl Job<'_> {
    /// Does whatever comes next on either side, and kills whoever has got to its point, until both sides
    /// have settled.
    async fn run(
        &self,
        victim: Role,
        point: Point,
        asks: &mut Process,
        does: &mut Process,
        told: &mut Told,
    ) -> anyhow::Result<()> {
        let patience = if self.way.is_some() { IMPATIENCE } else { PATIENCE };
        let begun = Instant::now();
        let mut alive = true;
        loop {
            if alive {
                let process = if victim == Role::Requester { &mut *asks } else { &mut *does };
                if process.has_halted().await {
                    alive = false;
                    tokio::time::sleep(WRITTEN).await;
                    let pid = process.kill().await?;
                    let party = word(victim);
                    let point = point.to_string();
                    let broken = (self.way, &*point);
                    told.kills.push(Kill { party, pid, signal: "SIGKILL", point: point.clone() });
                    if broken == (Some("forgets"), "claim:1:before") {
                        forget(&process.dir)?;
                    }
                    if broken != (Some("stays-dead"), "claim:1:after") {
                        process.start(None).await?;
                    }
                }
            }
            self.post(asks).await;
            self.bid(does).await;
            let requester = self.turn(asks).await;
            let worker = self.turn(does).await;
            if let (Some(requester), Some(worker)) = (&requester, &worker)
                && requester.phase == Phase::Settled
                && worker.phase == Phase::Settled
                && !alive
            {
                self.keep(requester, worker, told).await?;
                return Ok(());
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

    /// Posts the gig, once.
    async fn post(&self, asks: &Process) {
        let Some(snapshot) = asks.snapshot() else { return };
        let posted = snapshot.posts.iter().any(|post| *post.gig.title == *self.title);
        if snapshot.identity.is_none() || posted {
            return;
        }
        let draft = GigDraft {
            milestones: Vec::new(),
            quality: Quality::default(),
            title: self.title.clone(),
            summary: String::new(),
            content: "Somebody will be killed meanwhile.".into(),
            tags: vec!["crash".into()],
            work: Work::File,
            modes: vec![self.mode],
            slots: 1,
            price: self.price,
            max_bytes: 1 << 20,
            deadlines: Deadlines { deliver: Span::DAY, pay: Span::DAY },
            escrow: None,
            pow: 0,
            expires_at: Time(now()).after(Span::DAY),
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
            let wish = Wish { mode: Some(self.mode), ..Wish::default() };
            does.ask(Command::Bid { gig: gig.id, wish, message: "At your risk.".into() }).await;
        }
    }

    fn view(&self, snapshot: &Snapshot) -> Option<JobView> {
        let own = |view: &&std::sync::Arc<JobView>| *view.title == *self.title;
        snapshot.jobs.values().find(own).map(|view| (**view).clone())
    }

    /// What comes next on this side, by what it sees; answers with what it sees.
    async fn turn(&self, process: &Process) -> Option<JobView> {
        let snapshot = process.snapshot()?;
        let view = self.view(&snapshot)?;
        let idle = view.pending.is_empty();
        let inspected = view.delivery.as_ref().is_some_and(|d| d.inspected);
        let command = match (view.role, view.phase) {
            (Role::Requester, Phase::Bid) => Command::Award { job: view.id },
            (Role::Requester, Phase::Delivered) if inspected => {
                Command::Accept { job: view.id, max_fee: self.price.ppm(10_000) }
            }
            (Role::Worker, Phase::Working) if idle => {
                Command::Deliver { job: view.id, file: self.file.clone(), message: String::new() }
            }
            _ => return Some(view),
        };
        process.ask(command).await;
        Some(view)
    }

    async fn keep(
        &self,
        requester: &JobView,
        worker: &JobView,
        told: &mut Told,
    ) -> anyhow::Result<()> {
        let paid = requester.delivery.as_ref().context("nothing was delivered")?;
        let received = worker.delivery.as_ref().context("nothing was delivered")?;
        told.settled += 1;
        told.routing = [told.routing, paid.fee].into_iter().sum();
        told.lsp_fee = [told.lsp_fee, received.lsp_fee].into_iter().sum();
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

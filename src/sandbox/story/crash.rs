//! `crash`: requester, worker and judge are processes of their own, and one of them is killed at every point
//! at which it had just said or done something to the world, or was just about to. Nothing is lost and
//! nothing happens twice.

mod job;
mod process;

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use serde::Serialize;
use tokio::time::Instant;

use self::job::Job;
use self::process::Process;
use crate::engine::Command;
use crate::market::{GigDraft, JudgeTerms, Mode, Msat, Phase, Quality};
use crate::sandbox::Point;
use crate::sandbox::story::first_job::{account, sha256_file};
use crate::sandbox::story::{FileSummary, Play, Story, Teller, judging};
use crate::sandbox::world::{World, WorldSetup, sats};
use crate::seal::Cut;

/// What it shows.
pub(super) const STORY: Story = Story {
    name: "crash",
    about: "requester, worker and judge are processes that are killed in the middle of everything, at named calls of their ports, in every mode; every job ends, every satoshi is accounted for, nothing is paid twice",
    breaks: &[
        ("stays-dead", "the worker is killed when it has shown its key, and is not started again"),
        ("forgets", "the worker's own records are lost when it is killed before it claims"),
        (
            "judge-stays-dead",
            "the judge is killed before it says that it holds the secret, and is not started again",
        ),
    ],
};

const PRICE_SATS: u64 = 20_000;
/// How long one job may take, with a kill in it.
const PATIENCE: Duration = Duration::from_secs(90);
/// The same where it is broken, and will never end.
const IMPATIENCE: Duration = Duration::from_secs(20);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Requester,
    Worker,
    Judge,
}

impl Who {
    fn word(self) -> &'static str {
        match self {
            Self::Requester => "requester",
            Self::Worker => "worker",
            Self::Judge => "judge",
        }
    }
}

/// What becomes of a job, but for the kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Course {
    /// Sealed, and paid.
    Sealed,
    /// Sealed, a sample seen before it is paid.
    Audited,
    /// In the open, and paid.
    Direct,
    /// Locked before a judge, delivered, released.
    Escrow,
    /// Locked before a judge, and the worker gives it back.
    GivenBack,
    /// Locked before a judge, delivered and rejected; the judge gives it back.
    Ruled,
    /// Locked before a judge and delivered; the requester says nothing, and the judge pays the worker.
    Granted,
}

impl Course {
    fn mode(self) -> Mode {
        match self {
            Self::Sealed | Self::Audited => Mode::Sealed,
            Self::Direct => Mode::Direct,
            Self::Escrow | Self::GivenBack | Self::Ruled | Self::Granted => Mode::Escrow,
        }
    }

    fn end(self) -> Phase {
        match self {
            Self::GivenBack | Self::Ruled => Phase::Refunded,
            _ => Phase::Settled,
        }
    }

    /// What is asked beyond the file.
    fn quality(self) -> Quality {
        match self {
            Self::Audited => Quality { audit: 20, cut: Some(Cut::Lines), ..Quality::default() },
            _ => Quality::default(),
        }
    }
}

/// What is done, who is killed, and where: one job each.
const KILLS: [(Course, Who, &str); 36] = [
    (Course::Sealed, Who::Requester, "publish:1:before"),
    (Course::Sealed, Who::Requester, "publish:2:after"),
    (Course::Direct, Who::Requester, "fetch:1:before"),
    (Course::Sealed, Who::Requester, "fetch:1:after"),
    (Course::Sealed, Who::Requester, "pay:1:before"),
    (Course::Direct, Who::Requester, "pay:1:after"),
    (Course::Sealed, Who::Requester, "handled:1:before"),
    (Course::Sealed, Who::Worker, "publish:1:before"),
    (Course::Direct, Who::Worker, "publish:1:after"),
    (Course::Sealed, Who::Worker, "bill:1:before"),
    (Course::Sealed, Who::Worker, "bill:1:after"),
    (Course::Direct, Who::Worker, "claim:1:before"),
    (Course::Sealed, Who::Worker, "claim:1:after"),
    (Course::Sealed, Who::Worker, "handled:2:before"),
    (Course::Escrow, Who::Requester, "publish:2:after"),
    (Course::Escrow, Who::Requester, "pay:1:before"),
    (Course::Escrow, Who::Requester, "pay:1:after"),
    (Course::Escrow, Who::Requester, "publish:3:before"),
    (Course::Escrow, Who::Requester, "fetch:1:after"),
    (Course::Escrow, Who::Requester, "handled:1:before"),
    (Course::Escrow, Who::Worker, "bill:1:after"),
    (Course::Escrow, Who::Worker, "handled:1:before"),
    (Course::Escrow, Who::Worker, "publish:3:after"),
    (Course::Escrow, Who::Worker, "claim:1:before"),
    (Course::Escrow, Who::Worker, "claim:1:after"),
    (Course::Escrow, Who::Judge, "publish:1:before"),
    (Course::Escrow, Who::Judge, "publish:1:after"),
    (Course::GivenBack, Who::Worker, "fail:1:before"),
    (Course::GivenBack, Who::Worker, "fail:1:after"),
    (Course::Ruled, Who::Judge, "fetch:1:after"),
    (Course::Ruled, Who::Judge, "publish:2:before"),
    (Course::Ruled, Who::Requester, "publish:4:after"),
    (Course::Audited, Who::Requester, "publish:3:after"),
    (Course::Audited, Who::Worker, "publish:3:before"),
    (Course::Granted, Who::Judge, "publish:2:after"),
    (Course::Granted, Who::Worker, "claim:1:after"),
];

/// Where somebody is killed for good, or loses what it wrote down.
fn broken(way: &str) -> Option<(Who, &'static str)> {
    match way {
        "stays-dead" => Some((Who::Worker, "claim:1:after")),
        "forgets" => Some((Who::Worker, "claim:1:before")),
        "judge-stays-dead" => Some((Who::Judge, "publish:1:before")),
        _ => None,
    }
}

/// One kill, as it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Kill {
    party: &'static str,
    pid: u32,
    signal: &'static str,
    point: String,
}

/// Everybody.
struct Cast {
    requester: Process,
    worker: Process,
    judge: Process,
}

impl Cast {
    fn of(&mut self, who: Who) -> &mut Process {
        match who {
            Who::Requester => &mut self.requester,
            Who::Worker => &mut self.worker,
            Who::Judge => &mut self.judge,
        }
    }
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
    // Broken, it is the one job that it is broken in.
    let broken = play.break_way.as_deref().and_then(broken);
    let mut kills = KILLS.to_vec();
    if let Some(at) = broken {
        kills.retain(|(_, who, point)| (*who, *point) == at);
        kills.truncate(1);
    }

    // Each is looked into before and after, when nothing of it runs elsewhere.
    let requester = world.party("requester", None, |ports| ports).await?;
    let worker = world.party("worker", None, |ports| ports).await?;
    let judge = world.party("judge", None, |ports| ports).await?;
    let before = [
        requester.purse().await?,
        worker.purse().await?,
        judge.purse().await?,
        world.lsp_purse().await?,
    ];
    let channel = (price.whole_sats() * 2 * kills.len() as u64).max(1_000_000);
    world.open_channel(&requester, channel).await?;
    requester.app.stop().await?;
    worker.app.stop().await?;
    judge.app.stop().await?;
    teller.step("the requester has a channel to the LSP, the worker and the judge have nothing");

    let ground = world.dir().join("ground.json");
    world.ground().write(&ground)?;
    let process = |name| Process::new(name, &world, &exe, &ground);
    let mut cast = Cast {
        requester: process("requester"),
        worker: process("worker"),
        judge: process("judge"),
    };
    for who in [Who::Requester, Who::Worker, Who::Judge] {
        cast.of(who).start(None).await?;
    }
    teller.step("each runs as a process of its own");

    let mut told = Told::default();
    let done = all(play, &kills, price, &mut cast, &world, &mut told, teller).await;
    let why = done.as_ref().err().map(|why| format!("{why:#}"));
    teller.claim("every job ends as if nobody had been killed", None::<String>, why);
    for who in [Who::Requester, Who::Worker, Who::Judge] {
        if let Err(why) = cast.of(who).stop().await {
            teller.claim("a party stops in order", None::<String>, Some(format!("{why:#}")));
        }
    }

    let requester = world.party("requester", None, |ports| ports).await?;
    let worker = world.party("worker", None, |ports| ports).await?;
    let judge = world.party("judge", None, |ports| ports).await?;
    let parties = [&requester, &worker, &judge];
    world.still(&parties).await?;
    world.mine(6, &parties).await?;
    account(teller, &world, &parties, before, (told.lsp_fee, told.routing)).await?;
    let rows = requester.app.handle().payments().await?;
    let paid = rows.iter().filter(|row| row.state == "paid").count();
    teller.claim(
        "each job was paid once, or not at all where it was given back",
        told.settled,
        paid,
    );
    let worker_has = worker.purse().await?.channels;
    let worth = price.get() * told.settled as u64 - told.lsp_fee.get();
    teller.claim("the worker has the prices less the LSP's fee", worth, worker_has);
    let judge_has = judge.purse().await?.total();
    teller.claim("the judge has never had a coin", 0, judge_has);
    let diff = teller.summary.diff_msat;
    teller.claim("every satoshi is accounted for", 0, i64::try_from(diff).unwrap_or(i64::MAX));
    teller.claim("everybody was killed where it was said", kills.len(), told.kills.len());
    for file in &told.files {
        let sent = sha256_file(&file.sent).await.unwrap_or_default();
        teller.claim("a deliverable arrived as it was sent", sent, &file.sha256);
    }
    teller.tell("kills", &told.kills);
    teller.summary.files = told.files;
    requester.app.stop().await?;
    worker.app.stop().await?;
    judge.app.stop().await?;
    world.stop().await?;
    teller.step("everything has stopped in order");
    Ok(())
}

/// One job for every kill.
async fn all(
    play: &Play,
    kills: &[(Course, Who, &'static str)],
    price: Msat,
    cast: &mut Cast,
    world: &World,
    told: &mut Told,
    teller: &mut Teller<'_>,
) -> anyhow::Result<()> {
    let judge = appoint(&cast.judge).await?;
    for (n, (course, who, point)) in kills.iter().enumerate() {
        let point: Point = point.parse().map_err(|why: String| anyhow!(why))?;
        let victim = cast.of(*who);
        victim.stop().await?;
        victim.start(Some(&point.to_string())).await?;
        let job = Job {
            title: format!("Job {} of {}", n + 1, kills.len()),
            course: *course,
            who: *who,
            point,
            price,
            file: world.dir().join(format!("work-{n}.txt")),
            judge,
            lost: play.break_way.as_deref(),
        };
        // A tenth of it is a sample only where it has a few records.
        let lines = if *course == Course::Audited { 20_000 } else { 2_000 };
        std::fs::write(&job.file, format!("the work of job {n}\n").repeat(lines))?;
        job.run(world, cast, told).await?;
        let how = if course.end() == Phase::Settled { "paid" } else { "given back" };
        teller.step(format!(
            "{}: the {} was killed at {point}, and it is {how}",
            job.title,
            who.word()
        ));
    }
    Ok(())
}

/// The judge says what it does.
async fn appoint(judge: &Process) -> anyhow::Result<JudgeTerms> {
    let draft = GigDraft {
        content: "Whatever happens to me meanwhile.".into(),
        tags: vec!["reading".into()],
        pow: 0,
        ..judging("I judge escrows, by reading")?
    };
    let handle = &judge.running.as_ref().context("the judge does not run")?.handle;
    let begun = Instant::now();
    let identity = loop {
        if let Some(identity) = handle.watch().borrow().identity {
            break identity;
        }
        anyhow::ensure!(begun.elapsed() < PATIENCE, "the judge has no name");
        tokio::time::sleep(LOOK).await;
    };
    let post = Command::Post { draft, inputs: Vec::new(), key: None };
    Ok(JudgeTerms { identity, listing: handle.ask(post).await?.log })
}

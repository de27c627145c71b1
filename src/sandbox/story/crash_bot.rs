//! `crash-bot`: the process that runs a requester's bot and its engine is killed without a word, more than
//! once, and goes on where it was.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use serde::Serialize;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::bots::{self, PRICE_SATS, budget, first_payment, queue, start_workers};
use super::harvest::{Books, payments, results};
use crate::keys::{Lock, OsDice, Vault};
use crate::sandbox::story::{Play, Story, Teller};
use crate::sandbox::world::{World, WorldSetup, sats};

/// What it shows.
pub(super) const STORY: Story = Story {
    name: "crash-bot",
    about: "a requester's bot is killed with SIGKILL in the middle of its queue, twice, started again and finishes: nothing is posted, paid or listed twice",
    breaks: &[
        ("not-restarted", "nobody starts it again after the first kill"),
        ("torn-result", "what the last run wrote down is written down once more"),
    ],
};

/// As a process of its own has it: one folder a network.
const FOLDER: &str = "requester/regtest";

/// LDK writes its channels at once and its manager a moment later; a process that is killed in between loses
/// its channels (they are closed on the chain: no coin is lost, but a day of waiting). So one job is done at a
/// time, bids are waited for so long, and the kill comes when one of them is taken: in the middle of a job, and
/// so long after the last payment.
const WRITTEN: Duration = Duration::from_millis(400);

/// One kill.
#[derive(Debug, Serialize)]
struct Kill {
    party: &'static str,
    pid: u32,
    signal: i32,
    point: String,
}

/// Plays it.
pub(super) async fn tell(play: &Play, teller: &mut Teller<'_>) -> anyhow::Result<()> {
    let way = play.break_way.as_deref();
    let jobs = play.jobs.unwrap_or(12);
    let program = match &play.exe {
        Some(exe) => exe.clone(),
        None => std::env::current_exe().context("where this program is, is not known")?,
    };
    let setup = WorldSetup { dir: play.dir.clone(), relay: play.relay.clone(), seed: play.seed };
    let mut world = World::start(setup).await?;
    teller.step("a chain, a relay and an LSP are up");
    // The folder of a process of its own, as it has it on this network.
    let home = world.dir().join("requester");
    let limits = budget(jobs)?;
    let requester = world.party_bound("requester", FOLDER, limits.clone(), |ports| ports).await?;
    let mut workers = Vec::new();
    for name in ["ada", "grace"] {
        workers.push(world.party(name, None, |ports| ports).await?);
    }
    let books = Books::open(&world, &requester, &workers).await?;
    world.open_channel(&requester, 2_000_000).await?;
    let mut lsp_fee = crate::market::Msat::ZERO;
    for worker in &workers {
        let fee = first_payment(&requester, worker).await?;
        lsp_fee = lsp_fee.checked_add(fee).unwrap_or(lsp_fee);
        // Two channels in the same moment would spend the same coin of the LSP (ldk-node's wallet forgets
        // what it spent until it sees it on the chain).
        world.mine(1, &[&requester, worker]).await?;
    }
    world.still(&[&requester]).await?;
    requester.app.stop().await?;
    teller.step("a requester and two workers have channels; the requester's process has ended");

    let vault = Vault::at(&home.join("keys.json"));
    vault.create(&world.keys_of(FOLDER), &Lock::Plain, &OsDice)?;
    write_policy(world.dir(), jobs)?;
    let bots = start_workers(&workers, &["tr", "a-z", "A-Z"], jobs)?;
    let out = world.dir().join("results");
    let mut kills = Vec::new();
    let points = [jobs / 4, jobs / 2].map(|n| n.max(1));
    let mut ended = "killed".to_owned();
    for (run, after) in points.into_iter().map(Some).chain([None]).enumerate() {
        if run > 0 && way == Some("not-restarted") {
            break;
        }
        let mut child = command(&program, &world, &home, &out, jobs)?.spawn()?;
        let pid = child.id().context("the bot has no process")?;
        let said = child.stdout.take().context("the bot has no stdout")?;
        let watched = watch(said, &out, after);
        let watched = tokio::time::timeout(Duration::from_secs(60 + 20 * u64::from(jobs)), watched);
        let point = watched.await.unwrap_or_else(|_| "it took too long".to_owned());
        if after.is_some() {
            // SIGKILL: nothing in it hears of this.
            child.start_kill()?;
            child.wait().await?;
            teller.step(format!("killed process {pid}: {point}"));
            kills.push(Kill { party: "requester", pid, signal: 9, point });
        } else {
            let status = child.wait().await?;
            ended = if status.success() { "done".into() } else { format!("{status}: {point}") };
            teller.step(format!("the last run has ended: {status}"));
        }
    }
    drop(bots);
    teller.claim("the queue is done in the end", "done", ended);
    if way == Some("torn-result") {
        let list = out.join("results.jsonl");
        let text = std::fs::read_to_string(&list)?;
        let last = text.lines().last().unwrap_or_default();
        std::fs::write(&list, format!("{text}{last}\n"))?;
    }

    let requester = world.party_bound("requester", FOLDER, limits, |ports| ports).await?;
    let handle = requester.app.handle();
    let mut watch = handle.watch();
    let shown = watch.wait_for(|now| now.identity.is_some()).await?.clone();
    let keys: std::collections::BTreeSet<_> = shown.posts.iter().map(|p| p.key.clone()).collect();
    teller.claim(
        "each item has one gig",
        (jobs as usize, jobs as usize),
        (shown.posts.len(), keys.len()),
    );
    let paid = payments(teller, &requester, &Default::default()).await?;
    teller.claim("the node paid each job once", jobs as usize, paid.len());
    let sum: u64 = paid.values().map(|amount| amount.get()).sum();
    let price = sats(PRICE_SATS)?;
    teller.claim("it paid the price each time", price.get() * u64::from(jobs), sum);
    results(teller, &out, jobs).await?;
    teller.claim("it was killed twice", 2, kills.len());
    teller.tell("kills", kills);
    books.close(teller, &mut world, &requester, &workers, lsp_fee).await?;
    requester.app.stop().await?;
    for worker in workers {
        worker.app.stop().await?;
    }
    world.stop().await?;
    teller.step("everything has stopped in order");
    Ok(())
}

/// Follows a run until it has taken a bid while so many results are there, or to its end.
async fn watch(said: tokio::process::ChildStdout, out: &Path, after: Option<u32>) -> String {
    let mut lines = BufReader::new(said).lines();
    let mut last = String::new();
    while let Ok(Some(line)) = lines.next_line().await {
        last = line;
        let list = std::fs::read_to_string(out.join("results.jsonl")).unwrap_or_default();
        let there = u32::try_from(list.lines().count()).unwrap_or(u32::MAX);
        let said: serde_json::Value = serde_json::from_str(&last).unwrap_or_default();
        if said["what"] == "award" && after.is_some_and(|after| there >= after) {
            return format!("{there} results are there, and it had just said {last}");
        }
    }
    last
}

fn command(
    program: &Path,
    world: &World,
    home: &Path,
    out: &Path,
    jobs: u32,
) -> anyhow::Result<tokio::process::Command> {
    let chain = world.chain().endpoint();
    let secret = world.dir().join("chain.password");
    std::fs::write(&secret, &chain.password)?;
    let limits = budget(jobs)?;
    let lsp = world.lsp().peer();
    let mut command = tokio::process::Command::new(program);
    command.arg("--data-dir").arg(home).args(["--network", "regtest", "--json", "--no-input"]);
    command.args(["--relay", world.relay_url()]);
    command.args(["--chain-host", &chain.host, "--chain-port", &chain.port.to_string()]);
    command.args(["--chain-user", &chain.user]).arg("--chain-password-file").arg(&secret);
    command.args(["--lsp", &format!("{}@{}", lsp.id, lsp.address)]);
    for (key, value) in [
        ("bot.per_job_sats", limits.per_job),
        ("bot.per_person_sats", limits.per_person),
        ("bot.per_hour_sats", limits.per_hour),
        ("bot.per_day_sats", limits.per_day),
        ("bot.at_risk_sats", limits.at_risk),
    ] {
        command.args(["--set", &format!("{key}={}", value.whole_sats())]);
    }
    let policy: PathBuf = world.dir().join("upper.toml");
    command.arg("bot").arg(policy).arg("--resume").arg("--out").arg(out);
    let log = std::fs::File::create(home.join("stderr"))?;
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
    Ok(command)
}

/// The same requester as the other stories', as a person would write it.
fn write_policy(dir: &Path, jobs: u32) -> anyhow::Result<()> {
    let asking = bots::asking(&dir.join("queue.jsonl"), jobs)?;
    let draft = &asking.template.draft;
    let check = draft.quality.checks.first().and_then(|check| check.body.clone());
    std::fs::write(dir.join("queue.jsonl"), queue(jobs))?;
    std::fs::write(dir.join("check.json"), check.ok_or_else(|| anyhow!("there is no check"))?)?;
    let gig = format!(
        "title = '{}'\nsummary = '{}'\ncontent = '{}'\ntags = ['upper-case']\nprice = '{PRICE_SATS}sat'\n\
         deliver = '1h'\npay = '1h'\nexpires = '6h'\nmax_bytes = '64KiB'\npow = 4\nchecks = ['check.json']\n",
        draft.title, draft.summary, draft.content
    );
    std::fs::write(dir.join("gig.toml"), gig)?;
    let policy = format!(
        "name = 'upper'\n[requester]\ngig = 'gig.toml'\nqueue = 'queue.jsonl'\nattach = true\n\
         choose = 'trusted'\nwait = '{}ms'\nat_once = 1\nper_worker = 1\n",
        WRITTEN.as_millis()
    );
    std::fs::write(dir.join("upper.toml"), policy)?;
    Ok(())
}

//! `bot-requester` and `bot-worker`: both sides of the market by policy alone.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use tokio::task::JoinSet;

use super::harvest::{Books, first_file, payments, results, stop};
use super::load::Load;
use crate::bot::{
    Accept, Asking, Choose, Limits, Options, Places, Policy, Price, Ran, Stdin, Tally, Template,
    Working, run,
};
use crate::engine::{
    Lightning as _, PayOrder, PaymentState, Ports, WalletAnswer, WalletCommand, pin,
};
use crate::keys::SystemClock;
use crate::market::{
    Actor, Budget, Deadlines, GigDraft, Msat, Network, PaymentHash, Quality, Query, Span,
};
use crate::sandbox::people::Cheat;
use crate::sandbox::story::{Play, Story, Teller, gig, millis};
use crate::sandbox::world::{Party, World, WorldSetup, sats};

/// A requester's bot and four workers, one of whom cheats.
pub(super) const REQUESTER: Story = Story {
    name: "bot-requester",
    about: "a bot gets a queue of jobs done by four workers' bots, one of whom cheats: every result is paid once, the cheat is caught and its slot is done again, the budget holds",
    breaks: &[
        ("tight-budget", "the budget lets automation promise three jobs and no more"),
        ("stopped", "a person pulls the kill switch when it has begun"),
        ("swapped-result", "one result is changed after it was put away"),
        ("stray-coins", "a worker gets coins that are on nobody's books"),
    ],
};

/// A worker's bot and three requesters.
pub(super) const WORKER: Story = Story {
    name: "bot-worker",
    about: "a worker's bot finds, bids on, does and hands over the jobs of three requesters, and is paid for each",
    breaks: &[
        ("bad-command", "the command that does the work ends with an error"),
        ("stray-coins", "the worker gets coins that are on nobody's books"),
    ],
};

pub(super) const PRICE_SATS: u64 = 1_000;
/// What opens a worker's channel before the jobs, by hand: four times this is its size.
const FIRST_SATS: u64 = 100_000;
const FUNDS_SATS: u64 = 3_000_000;
const HONEST: [&str; 3] = ["ada", "grace", "hedy"];
const CHEAT: &str = "rufus";
const BARE_PAYMENTS: usize = 48;
const BARE_AT_ONCE: usize = 8;

/// The line of one item, and what its result must be.
pub(super) fn item(n: u32) -> (String, String) {
    let line = format!("{{\"id\":\"item-{n}\",\"text\":\"line number {n}, in small letters\"}}");
    let done = line.to_uppercase();
    (line, done)
}

pub(super) fn queue(jobs: u32) -> String {
    (1..=jobs).map(|n| item(n).0 + "\n").collect()
}

/// What a requester's bot asks for: upper case, and a check that says so.
pub(super) fn asking(queue: &Path, jobs: u32) -> anyhow::Result<Asking> {
    let schema = r#"{"type":"object","required":["ID","TEXT"],"properties":{"TEXT":{"type":"string","pattern":"^[^a-z]*$"}}}"#;
    let check = serde_json::json!({"v": 1, "kind": "schema", "scope": "whole", "unit": "whole", "schema": schema});
    let check = pin(check.to_string().as_bytes()).map_err(|why| anyhow!("{why}"))?;
    let draft = GigDraft {
        quality: Quality { checks: vec![check], ..Quality::default() },
        summary: "One line of JSON in, the same in upper case out.".into(),
        content: "Deliver item.json in upper case.".into(),
        tags: vec!["upper-case".into()],
        max_bytes: 64 << 10,
        deadlines: Deadlines { deliver: Span::HOUR, pay: Span::HOUR },
        pow: 4,
        ..gig("Upper case for {{id}}", sats(PRICE_SATS)?)
    };
    Ok(Asking {
        template: Template { draft, life: Span::HOUR.times(6), inputs: Vec::new() },
        queue: Some(queue.to_owned()),
        attach: true,
        choose: Choose::Trusted,
        wait: Duration::from_millis(300),
        at_once: jobs.clamp(1, 32),
        per_worker: 12,
        tries: 3,
        accept: Accept::Checks,
        total: None,
    })
}

pub(super) fn worker_policy(command: &[&str], jobs: u32) -> anyhow::Result<Policy> {
    let line = "#upper-case".to_owned();
    Ok(Policy {
        actor: Actor::bot("upper")?,
        beside: PathBuf::from("/"),
        requester: None,
        worker: Some(Working {
            query: Query::parse(&line, Network::Regtest, |_| None)?,
            line,
            price: Price::Share(100),
            at_once: jobs.clamp(4, 32),
            message: "A program does it at once.".into(),
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            stdin: Stdin::Input,
            limits: Limits { time: Duration::from_secs(20), memory: 1 << 30, disk: 64 << 20 },
            tries: 2,
            look: Duration::from_millis(250),
            patience: Duration::from_secs(120),
        }),
        hooks: Vec::new(),
        places: Places::default(),
    })
}

pub(super) fn options(dir: &Path, out: Option<PathBuf>) -> Options {
    Options {
        home: dir.join("bot"),
        out,
        dry: false,
        once: false,
        resume: false,
        clock: Arc::new(SystemClock),
        feed: None,
    }
}

/// Enough for so many jobs, and no more.
pub(super) fn budget(jobs: u32) -> anyhow::Result<Budget> {
    let price = sats(PRICE_SATS)?;
    let each = price.get() + price.ppm(10_000).get() + 10_000;
    // Three slots may be sold twice.
    let all = Msat::new(each * u64::from(jobs + 3)).unwrap_or(Msat::MAX);
    Ok(Budget {
        per_job: price,
        per_person: all,
        per_hour: all,
        per_day: all,
        at_risk: all,
        approve_above: price,
        ..Budget::default()
    })
}

/// Starts workers' bots; they live as long as the set.
pub(super) fn start_workers(
    workers: &[Party],
    command: &[&str],
    jobs: u32,
) -> anyhow::Result<JoinSet<()>> {
    let mut bots = JoinSet::new();
    for party in workers {
        let policy = worker_policy(command, jobs)?;
        let (handle, options) = (party.app.handle().clone(), options(&party.dir, None));
        bots.spawn(async move {
            if let Err(why) = run(&handle, policy, options, &mut |_| {}).await {
                tracing::error!(why, "a worker's bot ended");
            }
        });
    }
    Ok(bots)
}

/// A first payment by hand, that opens a worker's channel. What the LSP kept.
pub(super) async fn first_payment(from: &Party, to: &Party) -> anyhow::Result<Msat> {
    first_payment_of(from, to, FIRST_SATS).await
}

async fn first_payment_of(from: &Party, to: &Party, first: u64) -> anyhow::Result<Msat> {
    to.wait("the LSP's terms", Duration::from_secs(60), |s| {
        s.node.as_ref()?.least_first.map(|_| ())
    })
    .await?;
    let (invoice, lsp_fee) = invoice(to, sats(first)?).await?;
    pay(from, &invoice).await?;
    to.wait("room to be paid through", Duration::from_secs(60), |s| {
        let room = s.node.as_ref()?.balances.lightning_receivable;
        (room.whole_sats() > first).then_some(())
    })
    .await?;
    Ok(lsp_fee)
}

async fn invoice(to: &Party, amount: Msat) -> anyhow::Result<(String, Msat)> {
    let receive = WalletCommand::Receive { amount: Some(amount), description: "story".into() };
    match to.app.handle().wallet(receive).await? {
        WalletAnswer::Invoice { invoice, lsp_fee } => Ok((invoice, lsp_fee)),
        other => Err(anyhow!("the wallet answered {other:?}")),
    }
}

/// Pays by the node alone: no market in it.
async fn pay(from: &Party, invoice: &str) -> anyhow::Result<()> {
    let read = crate::wire::decode(invoice).map_err(|why| anyhow!("{why:?}"))?;
    let amount = read.amount.context("the invoice names no amount")?;
    let order = PayOrder {
        invoice: invoice.to_owned(),
        hash: read.hash,
        amount,
        max_fee: amount.ppm(50_000),
        tips: None,
    };
    let node = from.app.node();
    node.pay(&order).await?;
    let paid = async {
        loop {
            match node.lookup(&read.hash).await? {
                PaymentState::Paid { .. } => return anyhow::Ok(()),
                PaymentState::Failed { reason } => return Err(anyhow!("not paid: {reason}")),
                _ => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), paid).await.context("a payment hangs")?
}

/// Payments a second between the same nodes without any market, a window at a time.
async fn bare(from: &Party, to: &[Party]) -> anyhow::Result<f64> {
    let mut invoices = Vec::new();
    for n in 0..BARE_PAYMENTS {
        invoices.push(invoice(&to[n % to.len()], sats(PRICE_SATS)?).await?.0);
    }
    #[expect(clippy::disallowed_methods, reason = "a story measures itself")]
    let began = Instant::now();
    let lanes = (0..BARE_AT_ONCE).map(|lane| {
        let mine: Vec<&String> = invoices.iter().skip(lane).step_by(BARE_AT_ONCE).collect();
        async move {
            for invoice in mine {
                pay(from, invoice).await?;
            }
            anyhow::Ok(())
        }
    });
    futures::future::try_join_all(lanes).await?;
    Ok(BARE_PAYMENTS as f64 / began.elapsed().as_secs_f64())
}

/// `bot-requester`.
pub(super) async fn requester(play: &Play, teller: &mut Teller<'_>) -> anyhow::Result<()> {
    let way = play.break_way.as_deref();
    let jobs = play.jobs.unwrap_or(50);
    let setup = WorldSetup { dir: play.dir.clone(), relay: play.relay.clone(), seed: play.seed };
    let mut world = World::start(setup).await?;
    teller.step("a chain, a relay and an LSP are up");
    let limits = budget(if way == Some("tight-budget") { 0 } else { jobs })?;
    let requester =
        world.party_bound("requester", "requester", limits.clone(), |ports| ports).await?;
    let mut workers = Vec::new();
    for name in HONEST {
        workers.push(world.party(name, None, |ports| ports).await?);
    }
    let crook =
        |ports: Ports| Ports { files: Arc::new(Cheat::always(ports.files.clone())), ..ports };
    workers.push(world.party(CHEAT, None, crook).await?);
    teller.step("a requester and four workers have started; what one of them seals does not open");
    let books = Books::open(&world, &requester, &workers).await?;
    // Any two of the workers can be paid for all of them, by channels of four times their first payment.
    let first = FIRST_SATS.max(u64::from(jobs) * PRICE_SATS / 6);
    let funds = FUNDS_SATS.max(u64::from(jobs) * PRICE_SATS * 5 / 4 + 5 * first);
    world.open_channel(&requester, funds).await?;
    let mut lsp_fee = Msat::ZERO;
    for worker in &workers {
        let fee = first_payment_of(&requester, worker, first).await?;
        lsp_fee = lsp_fee.checked_add(fee).unwrap_or(lsp_fee);
        // Two channels in the same moment would spend the same coin of the LSP (ldk-node's wallet forgets
        // what it spent until it sees it on the chain).
        world.mine(1, &[&requester, worker]).await?;
    }
    teller.step("everybody has a channel, from a first payment by hand");
    let bare_per_s = bare(&requester, &workers[..HONEST.len()]).await?;
    teller.step(format!("{BARE_PAYMENTS} bare payments, {bare_per_s:.1} a second"));
    if way == Some("stray-coins") {
        let address = workers[0].app.node().new_address().await?;
        world.fund_unbooked(&address, 1_000).await?;
    }

    let (list, out) = (world.dir().join("queue.jsonl"), world.dir().join("results"));
    tokio::fs::write(&list, queue(jobs)).await?;
    let policy = Policy {
        actor: Actor::bot("upper")?,
        beside: world.dir().to_owned(),
        requester: Some(asking(&list, jobs)?),
        worker: None,
        hooks: Vec::new(),
        places: Places::default(),
    };
    let before: BTreeSet<PaymentHash> = BTreeSet::new();
    let bots = start_workers(&workers, &["tr", "a-z", "A-Z"], jobs)?;
    #[expect(clippy::disallowed_methods, reason = "a story measures itself")]
    let began = Instant::now();
    let patience = Duration::from_secs(match way {
        Some("tight-budget" | "stopped") => 12,
        _ => 60 + 10 * u64::from(jobs),
    });
    let handle = requester.app.handle().clone();
    let brake = requester.app.handle().clone();
    let mut load = Load::new(&requester.dir, jobs);
    let (has_begun, begun) = tokio::sync::watch::channel(false);
    let mut on_event = |event: crate::bot::Event| {
        if event.what == "post" {
            has_begun.send_replace(true);
        }
        if event.what == "collect" {
            load.one();
        }
        tracing::info!(what = event.what, "{}", event.why);
    };
    let running = run(&handle, policy, options(&requester.dir, Some(out.clone())), &mut on_event);
    let ran = async {
        if way == Some("stopped") {
            // By what the bot did and not by the clock: a fast machine is done in three seconds.
            let mut begun = begun;
            let stop = async {
                let _ = begun.wait_for(|begun| *begun).await;
                let _ = brake.halt("the story says so").await;
                std::future::pending::<()>().await;
            };
            return tokio::select! { ran = running => ran, () = stop => Err("stopped".into()) };
        }
        running.await
    };
    let ran = tokio::time::timeout(patience, ran).await;
    let took = began.elapsed();
    drop(bots);
    let tally = match &ran {
        Ok(Ok(Ran { tally, .. })) => tally.clone(),
        _ => Tally::default(),
    };
    let ended = match ran {
        Ok(Ok(_)) => "done".to_owned(),
        Ok(Err(why)) => why,
        Err(_) => format!("not done in {} s", patience.as_secs()),
    };
    teller.claim("the queue is done", "done", ended);
    teller.step(format!("{} of {jobs} results in {} ms", tally.accepted, millis(took)));

    let paid = payments(teller, &requester, &before).await?;
    let price = sats(PRICE_SATS)?;
    let whole = paid.len();
    teller.claim("every item has one paid result", u64::from(jobs), tally.accepted);
    teller.claim("the cheat was caught, once", 1, tally.caught);
    teller.claim("its slot was published again", 1, tally.reposted);
    teller.claim("the node paid each job once, and the cheat once", jobs as usize + 1, whole);
    let sum: u64 = paid.values().map(|amount| amount.get()).sum();
    teller.claim("it paid the price each time", price.get() * (u64::from(jobs) + 1), sum);
    let loss = price.get() * tally.caught;
    teller.claim("no more was lost than one tranche", true, loss <= price.get());
    if way == Some("swapped-result") {
        let file = first_file(&out)?;
        tokio::fs::write(file, "something else").await?;
    }
    results(teller, &out, jobs).await?;
    let view = requester.app.handle().budget().await?;
    teller.claim(
        "the budget held",
        true,
        view.day <= limits.per_day && tally.spent <= limits.per_day,
    );
    teller.claim("the engine counts what the bot says", tally.spent, view.day);
    teller.claim("nothing is promised any more", Msat::ZERO, view.at_risk);

    let cheat = &workers[HONEST.len()];
    let proofs = requester
        .app
        .handle()
        .watch()
        .borrow()
        .jobs
        .values()
        .filter(|job| job.delivery.as_ref().is_some_and(|d| d.proof.is_some()))
        .count();
    teller.claim("there is a proof against the cheat", 1, proofs);
    teller.tell("cheat", cheat.app.npub());
    books.close(teller, &mut world, &requester, &workers, lsp_fee).await?;
    teller.tell("posted", tally.posted);
    teller.tell("accepted", tally.accepted);
    teller.tell("caught", tally.caught);
    teller.tell("reposted", tally.reposted);
    teller.tell("spent_msat", tally.spent.get());
    teller.tell("budget_msat", limits.per_day.get());
    teller.tell("jobs_per_s", tally.accepted as f64 / took.as_secs_f64());
    teller.tell("bare_payments_per_s", bare_per_s);
    load.tell(teller);
    stop(world, requester, workers).await?;
    teller.step("everything has stopped in order");
    Ok(())
}

/// `bot-worker`.
pub(super) async fn worker(play: &Play, teller: &mut Teller<'_>) -> anyhow::Result<()> {
    let way = play.break_way.as_deref();
    let jobs = play.jobs.unwrap_or(3);
    let setup = WorldSetup { dir: play.dir.clone(), relay: play.relay.clone(), seed: play.seed };
    let mut world = World::start(setup).await?;
    teller.step("a chain, a relay and an LSP are up");
    let worker = world.party("worker", None, |ports| ports).await?;
    let mut requesters = Vec::new();
    for name in HONEST {
        requesters.push(world.party_bound(name, name, budget(jobs)?, |ports| ports).await?);
    }
    teller.step("a worker and three requesters have started");
    let books = Books::open(&world, &worker, &requesters).await?;
    for requester in &requesters {
        world.open_channel(requester, 1_000_000).await?;
    }
    // Who is blocks behind when it pays is refused.
    let parties: Vec<&Party> = requesters.iter().chain([&worker]).collect();
    world.sync(&parties).await?;
    let lsp_fee = first_payment(&requesters[0], &worker).await?;
    teller.step("everybody has a channel");
    if way == Some("stray-coins") {
        let address = worker.app.node().new_address().await?;
        world.fund_unbooked(&address, 1_000).await?;
    }
    let good: &[&str] = &["tr", "a-z", "A-Z"];
    let command = if way == Some("bad-command") { &["false"] } else { good };
    let before = worker.app.node().status().await?.balances.lightning_total;
    let workers = [worker];
    let bots = start_workers(&workers, command, jobs * 3)?;
    let mut asked = JoinSet::new();
    let list = world.dir().join("queue.jsonl");
    tokio::fs::write(&list, queue(jobs)).await?;
    for requester in &requesters {
        let policy = Policy {
            actor: Actor::bot("upper")?,
            beside: world.dir().to_owned(),
            requester: Some(asking(&list, jobs)?),
            worker: None,
            hooks: Vec::new(),
            places: Places::default(),
        };
        let options = options(&requester.dir, Some(requester.dir.join("results")));
        let handle = requester.app.handle().clone();
        asked.spawn(async move { run(&handle, policy, options, &mut |_| {}).await });
    }
    let patience = Duration::from_secs(if way == Some("bad-command") {
        12
    } else {
        60 + 30 * u64::from(jobs)
    });
    let all = async {
        let mut accepted = 0;
        while let Some(ran) = asked.join_next().await {
            accepted += ran.map_err(|why| why.to_string())??.tally.accepted;
        }
        Ok::<u64, String>(accepted)
    };
    let accepted = match tokio::time::timeout(patience, all).await {
        Ok(Ok(accepted)) => accepted,
        _ => 0,
    };
    drop(asked);
    let [worker] = workers;
    let total = u64::from(jobs) * 3;
    teller.claim("every job of three requesters is done", total, accepted);
    let earned = worker
        .wait("its last payment", Duration::from_secs(20), |s| {
            let received: Vec<Msat> = s
                .jobs
                .values()
                .filter_map(|job| {
                    job.delivery.as_ref().map(|d| d.received).filter(|amount| amount.get() > 0)
                })
                .collect();
            (received.len() as u64 >= total).then(|| received.into_iter().sum::<Msat>())
        })
        .await
        .unwrap_or_default();
    drop(bots);
    teller.step(format!("the worker's bot has earned {earned}"));
    let price = sats(PRICE_SATS)?;
    teller.claim("it earned the price of each", price.get() * total, earned.get());
    world.still(&[&worker]).await?;
    let after = worker.app.node().status().await?.balances.lightning_total;
    teller.claim(
        "its node has that much more",
        price.get() * total,
        after.saturating_sub(before).get(),
    );
    for requester in &requesters {
        results(teller, &requester.dir.join("results"), jobs).await?;
        let paid = payments(teller, requester, &BTreeSet::new()).await?;
        teller.claim(&format!("{} paid each job once", requester.name), jobs as usize, paid.len());
    }
    teller.tell("accepted", accepted);
    teller.tell("earned_msat", earned.get());
    books.close(teller, &mut world, &worker, &requesters, lsp_fee).await?;
    stop(world, worker, requesters).await?;
    teller.step("everything has stopped in order");
    Ok(())
}

//! `milestones`: one gig in three parts, each with a price, a mode and deadlines of its own: sealed, then locked in
//! escrow, then sealed with a check. Each is paid before the next begins.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use serde_json::json;

use crate::engine::{Command, JobView, Lightning as _, MilestoneStage, Ports, Snapshot, pin};
use crate::market::{
    BidId, Deadlines, EscrowTerms, Milestone, Mode, Msat, Phase, Pinned, Quality, Span, WINDOW,
    Wish,
};
use crate::sandbox::story::course::{Asked, Course, facts, records};
use crate::sandbox::story::first_job::view;
use crate::sandbox::story::{Play, Sabotage, Story, Teller};
use crate::sandbox::world::sats;
use crate::text::Raw;
use crate::verify::{Check, Encoding, Kind, Range, Rules, Scope};
use crate::wire::read_receipt_event;

/// What it shows.
pub(super) const STORY: Story = Story {
    name: "milestones",
    about: "one gig in three milestones: the first sealed, the second locked in escrow, the third sealed and held against a check; each is paid before the next begins",
    breaks: &[
        ("wrong-byte", "one byte of the ciphertext that the worker serves is not what it signed"),
        ("stops", "the worker stops after the first milestone"),
        ("unconfirmed", "no block comes after the money of the second is locked"),
        ("no-check", "the third milestone pins no check"),
    ],
};

const PRICE_SATS: u64 = 60_000;
const LINES: u64 = 40;

/// Plays it.
pub(super) async fn tell(play: &Play, teller: &mut Teller<'_>) -> anyhow::Result<()> {
    let saboteur = play.break_way.as_deref() == Some("wrong-byte");
    let change = move |ports: Ports| match saboteur {
        true => Ports { files: Arc::new(Sabotage(ports.files.clone())), ..ports },
        false => ports,
    };
    let mut course = Course::start(play, teller, change).await?;
    let price = sats(play.price.unwrap_or(PRICE_SATS))?;
    let milestones = milestones(price, !course.is_broken_by("no-check"))?;
    let mut seen = Seen::default();
    let ran = run(&mut course, &milestones, play, teller, &mut seen).await;
    if let Some(job) = seen.job {
        look(&mut course, job, &mut seen).await?;
    }
    let went = ran.map_or_else(|why| format!("{why:#}"), |()| "settled".into());
    teller.claim("the job runs to its end", "settled", went);

    let prices: Vec<u64> = milestones.iter().map(|m| m.price.get()).collect();
    teller.claim("each milestone was paid, once and at its price", &prices, &seen.amounts);
    teller.claim("together they are the price", price.get(), seen.amounts.iter().sum::<u64>());
    teller.claim("each payment has a hash of its own", prices.len(), seen.hashes.len());
    let order: Vec<String> =
        (1..=3).flat_map(|m| [format!("paying {m}"), format!("paid {m}")]).collect();
    teller.claim("none was on its way before the one before it was paid", &order, &seen.order);
    teller.claim(
        "the money of the second was locked at the worker's node before any work on it",
        Some(true),
        seen.held,
    );
    teller.claim(
        "and the requester read the work before it released it",
        Some(true),
        seen.read_first,
    );
    teller.claim(
        "the worker's own program refuses a third that fails its check",
        Some(true),
        seen.refused,
    );
    teller.claim("both sides signed one receipt over the whole", Some(true), seen.receipt);
    let began = course.began_with();
    teller.claim("the worker began with no bitcoin", 0, began);
    let halted = course.halt(teller).await?;
    for (payment, m) in teller.summary.payments.iter_mut().zip(&milestones) {
        payment.mode = m.mode.word().into();
    }
    let mut numbers = None;
    let mut locks = None;
    if let Some(job) = seen.job {
        let facts = facts(&halted.requester, job)?;
        let body = |record: &&serde_json::Value| record["draft"]["body"].clone();
        let of = |kind| records(&facts, kind).iter().map(body).collect::<Vec<_>>();
        numbers = Some(
            of("deliver").iter().map(|b| b["manifest"]["delivery"].clone()).collect::<Vec<_>>(),
        );
        locks = Some(
            of("lock").iter().map(|b| json!([b["milestone"], b["attempt"]])).collect::<Vec<_>>(),
        );
    }
    teller.claim("deliveries are numbered through the whole job", Some([0, 1, 2]), numbers);
    teller.claim("the lock names its milestone", Some([[1, 0]]), locks);
    let told = milestones.iter().zip(&seen.hashes_in_order);
    let told = told.map(|(m, hash)| {
        json!({"title": m.title.clean(crate::text::Limit::TITLE), "price_msat": m.price.get(),
               "mode": m.mode, "hash": hash})
    });
    teller.tell("milestones", told.collect::<Vec<_>>());
    halted.end(teller).await
}

/// What was seen on the way.
#[derive(Default)]
struct Seen {
    job: Option<BidId>,
    amounts: Vec<u64>,
    hashes: BTreeSet<String>,
    hashes_in_order: Vec<String>,
    order: Vec<String>,
    held: Option<bool>,
    read_first: Option<bool>,
    refused: Option<bool>,
    receipt: Option<bool>,
}

/// Seven, eight and five twentieths of the price.
fn milestones(price: Msat, checked: bool) -> anyhow::Result<Vec<Milestone>> {
    let whole = price.whole_sats();
    let (first, last) = (whole * 7 / 20, whole / 4);
    let part = |title: &str, price: u64, mode| -> anyhow::Result<Milestone> {
        Ok(Milestone {
            title: Raw(title.into()),
            price: sats(price)?,
            mode,
            deadlines: Deadlines { deliver: Span::DAY, pay: Span::DAY },
            tranches: 1,
            quality: Quality::default(),
            escrow: (mode == Mode::Escrow).then_some(EscrowTerms { window: WINDOW, judge: None }),
        })
    };
    let mut all = vec![
        part("An outline", first, Mode::Sealed)?,
        part("The text", whole - first - last, Mode::Escrow)?,
        part("A list of sources", last, Mode::Sealed)?,
    ];
    if checked {
        all[2].quality.checks = vec![forty_lines()?];
    }
    Ok(all)
}

/// Says yes of forty lines of text.
fn forty_lines() -> anyhow::Result<Pinned> {
    let rows = Range { min: Some(LINES), max: Some(LINES) };
    let rules = Rules { encoding: Some(Encoding::Utf8), rows: Some(rows), ..Rules::default() };
    let check = Check { scope: Scope::Whole, kind: Kind::Rules(Box::new(rules)) };
    pin(&check.to_json()).map_err(|why| anyhow::anyhow!(why))
}

async fn run(
    course: &mut Course,
    milestones: &[Milestone],
    play: &Play,
    teller: &mut Teller<'_>,
    seen: &mut Seen,
) -> anyhow::Result<()> {
    let price: Msat = milestones.iter().map(|m| m.price).sum();
    course.requester_can_pay(price, teller).await?;
    let asked = Asked {
        title: "Write about rivers, in three steps",
        price,
        tranches: 1,
        quality: Quality::default(),
    };
    let draft = course.draft(&asked).in_milestones(milestones.to_vec());
    let job = course.agree(draft, Wish::default()).await?;
    seen.job = Some(job);
    teller
        .step(format!("a gig in three milestones, {price} in all, is posted, bid on and awarded"));

    let outline = course.write("outline.txt", &lines("An outline", 20))?;
    course.deliver(job, &outline).await?;
    course.accept(job).await?;
    let output = goes_on(course, job, 0, Phase::Awarded).await?;
    course.handed(&outline, output, teller).await?;
    teller.step("the first is paid, over a channel that opened for it, and the second begins");

    if course.is_broken_by("stops") {
        let stop = Command::Cancel { job, reason: "No time.".into() };
        course.worker.app.handle().ask(stop).await?;
    }
    lock(course, job, milestones[1].price, seen).await?;
    teller.step("the money of the second is locked and confirmed; the worker works");
    let text = match &play.file {
        Some(file) => file.clone(),
        None => course.write("rivers.txt", &lines("Why rivers bend", 400))?,
    };
    course.deliver(job, &text).await?;
    let opened = |s: &Snapshot| view(s, job)?.delivery.as_ref()?.output.clone();
    course.requester.wait("the opened work", course.patience(), opened).await?;
    let hash = escrow_hash(course, job)?;
    seen.read_first = Some(course.worker.app.node().holding(&hash).await?.is_some());
    teller.step("the requester has read the work; the money is still locked");
    course.accept(job).await?;
    let output = goes_on(course, job, 1, Phase::Working).await?;
    course.handed(&text, output, teller).await?;
    teller.step("the money of the second is released and claimed, and the third begins");

    let short = course.write("short.txt", &lines("Sources", LINES - 1))?;
    let message = "Some are missing.".to_owned();
    course.worker.app.handle().ask(Command::Deliver { job, file: short, message }).await?;
    let refused = |s: &Snapshot| {
        let view = view(s, job)?;
        let sealed = view.delivery.as_ref().is_some_and(|d| d.manifest.is_some());
        (sealed || view.reason.is_some()).then_some(!sealed)
    };
    let patience = course.patience();
    seen.refused = Some(course.worker.wait("its own program's word", patience, refused).await?);
    anyhow::ensure!(seen.refused == Some(true), "work that is too short was delivered");
    teller.step("the worker's own program refuses a third that fails its check");
    let sources = course.write("sources.txt", &lines("Sources", LINES))?;
    course.deliver(job, &sources).await?;
    course.accept(job).await?;
    let settled = |s: &Snapshot| {
        let view = view(s, job).filter(|v| v.phase == Phase::Settled)?;
        view.delivery.as_ref().and_then(|d| d.output.clone())
    };
    let output = course.requester.wait("the end", patience * 2, settled).await?;
    let done = |s: &Snapshot| view(s, job).filter(|v| v.phase == Phase::Settled).map(|_| ());
    course.worker.wait("its money", patience * 2, done).await?;
    course.handed(&sources, output, teller).await?;
    teller.step("the third passes its check and is paid: that was the last");

    let shown = course.requester.app.handle().watch().borrow().clone();
    let j = view(&shown, job).and_then(|view| view.job);
    let signed = course
        .event(3923, |json| {
            read_receipt_event(json).ok().filter(|signed| Some(signed.receipt.job) == j)
        })
        .await?;
    let amount = u64::from(signed.receipt.amount);
    seen.receipt = Some(amount == u64::from(price.whole_sats().max(1).ilog2()));
    Ok(())
}

/// Waits until both sides are in the milestone after this one; where its work lies.
async fn goes_on(
    course: &mut Course,
    job: BidId,
    n: usize,
    phase: Phase,
) -> anyhow::Result<PathBuf> {
    let patience = course.patience() * 2;
    let next = |v: &&JobView| {
        v.phase == phase && v.milestones.get(n + 1).is_some_and(|m| m.stage == MilestoneStage::Now)
    };
    let output = course
        .requester
        .wait("the next milestone", patience, |s| {
            view(s, job).filter(next)?.milestones.get(n)?.output.clone()
        })
        .await?;
    course
        .worker
        .wait("the next milestone", patience, |s| view(s, job).filter(next).map(|_| ()))
        .await?;
    Ok(output)
}

fn escrow_hash(course: &Course, job: BidId) -> anyhow::Result<crate::market::PaymentHash> {
    let shown = course.worker.app.handle().watch().borrow().clone();
    let escrow = view(&shown, job).and_then(|view| view.escrow.as_ref().map(|e| e.hash));
    escrow.context("there is no escrow")
}

/// From the lock to money that is held at the worker's node and confirmed.
async fn lock(course: &Course, job: BidId, price: Msat, seen: &mut Seen) -> anyhow::Result<()> {
    let patience = course.patience();
    let parties = [&course.requester, &course.worker];
    // Both count blocks from here: neither may be many behind.
    course.world.sync(&parties).await?;
    let fund = Command::Fund { job, max_fee: price.ppm(10_000) };
    course.requester.app.handle().ask(fund).await?;
    let at = |s: &Snapshot, phase| view(s, job).filter(|v| v.phase == phase).map(|_| ());
    course.worker.wait("the held payment", patience, |s| at(s, Phase::Funding)).await?;
    if !course.is_broken_by("unconfirmed") {
        course.world.mine(3, &parties).await?;
    }
    course.worker.wait("three confirmations", patience, |s| at(s, Phase::Working)).await?;
    course.requester.wait("the worker's word", patience, |s| at(s, Phase::Working)).await?;
    let hash = escrow_hash(course, job)?;
    seen.held = Some(course.worker.app.node().holding(&hash).await?.is_some());
    Ok(())
}

/// What was paid, in which order and at which cost, as the nodes and the records have it.
async fn look(course: &mut Course, job: BidId, seen: &mut Seen) -> anyhow::Result<()> {
    for payment in course.payments(job).await?.iter().filter(|p| p.state == "paid") {
        seen.amounts.push(payment.amount_msat);
        seen.hashes.insert(payment.hash.clone());
        seen.hashes_in_order.push(payment.hash.clone());
    }
    let lines = course.requester.app.handle().history(job).await?.into_iter();
    let lines = lines.filter(|line| ["paying", "paid"].contains(&line.kind.as_str()));
    seen.order = lines
        .map(|line| format!("{} {}", line.kind, line.milestone.unwrap_or_default() + 1))
        .collect();
    let of = |party: &crate::sandbox::world::Party, fee: fn(&JobView) -> Msat| {
        let shown = party.app.handle().watch().borrow().clone();
        view(&shown, job).map_or(Msat::ZERO, fee)
    };
    let routing = of(&course.requester, |v| v.milestones.iter().map(|m| m.fee).sum());
    let kept = of(&course.worker, |v| v.milestones.iter().map(|m| m.lsp_fee).sum());
    course.pays_routing(routing);
    course.pays_lsp(kept);
    Ok(())
}

fn lines(what: &str, count: u64) -> Vec<u8> {
    let line = |n| format!("{n}. {what}: the outer bank is worn and the inner one grows.\n");
    (1..=count).map(line).collect::<String>().into_bytes()
}

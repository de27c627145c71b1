//! `tranches`: a price in equal parts over a channel that is there. Each part is a key and a payment of its
//! own, opened and checked whole before the next is paid.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;

use crate::engine::Ports;
use crate::market::{BidId, Msat, Quality};
use crate::sandbox::story::course::{Asked, Course, Halted, facts, records};
use crate::sandbox::story::crook::{Crook, Trick};
use crate::sandbox::story::{Play, Story, Teller};
use crate::sandbox::world::sats;
use crate::seal::{Cut, ENTRY};
use crate::wire::read_receipt_event;

/// What it shows.
pub(super) const STORY: Story = Story {
    name: "tranches",
    about: "the price is paid in four equal parts over an existing channel, each opened and checked before the next; the work is cut by lines",
    breaks: &[
        ("wrong-byte", "one byte of the ciphertext that the worker serves is not what it signed"),
        ("late-cheat", "the third key does not open what was signed"),
        ("no-channel", "the worker has no channel that the price could come over"),
    ],
};

const PRICE_SATS: u64 = 10_000;
const FIRST_SATS: u64 = 21_000;
const TRANCHES: u32 = 4;

/// Plays it.
pub(super) async fn tell(play: &Play, teller: &mut Teller<'_>) -> anyhow::Result<()> {
    let way = play.break_way.clone();
    let change = move |ports: Ports| match way.as_deref() {
        Some("wrong-byte") => {
            // The first job is small, and must go well.
            Ports { files: Arc::new(Crook::new(ports.files.clone(), Trick::WrongByte)), ..ports }
        }
        Some("late-cheat") => {
            Ports { files: Arc::new(Crook::new(ports.files.clone(), Trick::WrongKey(2))), ..ports }
        }
        _ => ports,
    };
    let mut course = Course::start(play, teller, change).await?;
    let price = sats(play.price.unwrap_or(PRICE_SATS))?;
    let mut seen = Seen::default();
    let ran = run(&mut course, price, play, teller, &mut seen).await;
    let went = ran.map_or_else(|why| format!("{why:#}"), |()| "settled".into());
    teller.claim("the job runs to its end", "settled", went);

    let parts: Vec<u64> =
        (0..TRANCHES).filter_map(|t| price.tranche(t, TRANCHES)).map(Msat::get).collect();
    teller.claim("every part was paid, once and in equal amounts", &parts, &seen.amounts);
    teller.claim("every part has a key of its own", parts.len(), seen.keys);
    let mut wanted = Vec::new();
    for t in 0..TRANCHES {
        wanted.extend([format!("paying {t}"), format!("paid {t}"), format!("opened {t}")]);
    }
    teller.claim("each part was opened before the next was paid", &wanted, &seen.order);
    teller.claim("both sides signed the receipt that the relay keeps", Some(true), seen.receipt);
    teller.claim("no channel was opened for it", Some((1, 1)), seen.channels);
    teller.claim(
        "the largest loss that was shown is one part",
        parts.iter().max(),
        seen.shown_loss.as_ref(),
    );
    let halted = course.halt(teller).await?;
    if let Some((job, output)) = seen.settled.clone()
        && let Err(why) = map(&halted, job, &output, &mut seen)
    {
        teller.step(format!("{why:#}"));
    }
    teller.claim(
        "each part begins where PROTOCOL.md 5.4 says",
        seen.wanted_first.as_ref(),
        seen.first.as_ref(),
    );
    teller.claim(
        "there are as many parts as agreed",
        parts.len(),
        seen.first.as_ref().map_or(0, Vec::len),
    );
    teller.claim("and every part is whole lines", true, seen.whole_lines);
    let largest = parts.iter().max().copied().unwrap_or_default();
    teller.tell("largest_tranche_msat", largest);
    teller.tell("tranches", TRANCHES);
    halted.end(teller).await
}

/// What was seen on the way.
#[derive(Default)]
struct Seen {
    amounts: Vec<u64>,
    keys: usize,
    order: Vec<String>,
    channels: Option<(usize, usize)>,
    first: Option<Vec<u64>>,
    wanted_first: Option<Vec<u64>>,
    whole_lines: bool,
    shown_loss: Option<u64>,
    settled: Option<(BidId, PathBuf)>,
    receipt: Option<bool>,
}

async fn run(
    course: &mut Course,
    price: Msat,
    play: &Play,
    teller: &mut Teller<'_>,
    seen: &mut Seen,
) -> anyhow::Result<()> {
    course.requester_can_pay(price, teller).await?;
    if !course.is_broken_by("no-channel") {
        // Its channel is four times as large: the price fits in, beside what must stay in it.
        course.worker_can_be_paid(price.max(sats(FIRST_SATS)?), teller).await?;
    }
    let before = course.worker.app.node().channels().await?.len();
    let quality = Quality { cut: Some(Cut::Lines), ..Quality::default() };
    let title = "Number the lines of a long text";
    let job = course.award(&Asked { title, price, tranches: TRANCHES, quality }).await?;
    teller.step(format!("a job over {price} in {TRANCHES} parts is awarded"));
    let shown = course.requester.app.handle().watch().borrow().clone();
    seen.shown_loss = shown.jobs.get(&job).map(|view| view.largest_loss.get());
    let work = match &play.file {
        Some(file) => file.clone(),
        None => course.write("numbered.txt", &text())?,
    };
    course.deliver(job, &work).await?;
    teller.step("the requester holds all the ciphertext, checked, and no key");
    course.accept(job).await?;
    let output = course.settled(job).await;
    look(course, job, seen).await?;
    let output = output?;
    teller.step("every part is paid, opened and checked");
    let j = shown.jobs.get(&job).and_then(|view| view.job);
    let signed = course
        .event(3923, |json| {
            read_receipt_event(json).ok().filter(|signed| Some(signed.receipt.job) == j)
        })
        .await?;
    let worker = course.worker_key()?;
    seen.receipt = Some(
        signed.receipt.worker == worker
            && u64::from(signed.receipt.amount) == u64::from(price.whole_sats().max(1).ilog2()),
    );
    seen.channels = Some((before, course.worker.app.node().channels().await?.len()));
    seen.settled = Some((job, output.clone()));
    course.handed(&work, output, teller).await
}

/// What was paid, and in which order.
async fn look(course: &Course, job: BidId, seen: &mut Seen) -> anyhow::Result<()> {
    let payments = course.payments(job).await?;
    let paid: Vec<_> = payments.iter().filter(|p| p.state == "paid").collect();
    seen.amounts = paid.iter().map(|p| p.amount_msat).collect();
    let keys: std::collections::BTreeSet<_> =
        paid.iter().filter_map(|p| p.preimage.as_ref()).collect();
    seen.keys = keys.len();
    let kinds = ["paying", "paid", "opened"];
    let lines = course.history(job).await?.into_iter();
    seen.order = lines
        .filter(|(kind, _)| kinds.contains(&kind.as_str()))
        .map(|(kind, t)| format!("{kind} {}", t.unwrap_or(u32::MAX)))
        .collect();
    Ok(())
}

/// The map from chunks to parts, as signed and as it must be, and where the parts begin in the file.
fn map(halted: &Halted, job: BidId, output: &Path, seen: &mut Seen) -> anyhow::Result<()> {
    let facts = facts(&halted.requester, job)?;
    let deliver = *records(&facts, "deliver").last().context("no delivery is on record")?;
    let manifest = &deliver["draft"]["body"]["manifest"];
    let signed = manifest["first"].as_array().context("the manifest has no map")?;
    seen.first = Some(signed.iter().filter_map(serde_json::Value::as_u64).collect());
    let vector = manifest["vector"].as_str().unwrap_or_default();
    let vector = halted.sealed(job, vector)?;
    let mut starts = vec![0u64];
    for entry in vector.as_chunks::<ENTRY>().0 {
        let len = u32::from_le_bytes([entry[0], entry[1], entry[2], entry[3]]);
        starts.push(starts.last().copied().unwrap_or_default() + u64::from(len));
    }
    let total = starts.pop().unwrap_or_default();
    let begin = |t: u64| {
        let byte = (t * total).div_ceil(u64::from(TRANCHES));
        starts.iter().position(|start| *start >= byte).map(|i| i as u64)
    };
    seen.wanted_first = (0..u64::from(TRANCHES)).map(begin).collect();
    let text = std::fs::read(output)?;
    let line = |i: &u64| {
        let at = usize::try_from(*i).ok().and_then(|i| starts.get(i).copied());
        let at = at.and_then(|at| usize::try_from(at).ok()).unwrap_or(usize::MAX);
        at == 0 || at.checked_sub(1).and_then(|before| text.get(before)) == Some(&b'\n')
    };
    seen.whole_lines = seen.first.as_ref().is_some_and(|first| first.iter().all(line));
    Ok(())
}

/// Half a megabyte of lines, none as long as another.
fn text() -> Vec<u8> {
    let mut text = String::new();
    for n in 0..8_000u32 {
        text.push_str(&format!("{n}: {}\n", "river ".repeat(n as usize % 19)));
    }
    text.into_bytes()
}

//! `check`: the terms pin what counts, by hash. Work that a check refuses is refused by machine: by the worker's own
//! program, before payment, and after the first part is opened.

use std::sync::Arc;

use anyhow::Context as _;

use crate::engine::{Ports, pin};
use crate::market::{BidId, Msat, Offence, Phase, Pinned, Quality};
use crate::sandbox::story::course::{Asked, Course};
use crate::sandbox::story::crook::{Crook, Mind, Trick};
use crate::sandbox::story::first_job::view;
use crate::sandbox::story::{Play, Story, Teller};
use crate::sandbox::world::sats;
use crate::seal::Cut;
use crate::verify::{
    Check, Column, Encoding, Format, Integers, Kind, Predicate, Range, Rules, Scope, Unit,
};
use crate::wire::{Judgement, verify_proof};

/// What it shows.
pub(super) const STORY: Story = Story {
    name: "check",
    about: "a JSON Schema, rules and a WASM predicate are pinned by the terms; bad work is refused by machine before payment and after opening, and is repaired",
    breaks: &[
        ("no-checks", "the gig pins no check"),
        ("starved", "the WASM predicate has too little fuel to say anything"),
        ("good-work", "the work is good from the beginning"),
    ],
};

const PRICE_SATS: u64 = 10_000;
const FIRST_SATS: u64 = 21_000;
const TRANCHES: u32 = 2;
/// Bytes of a record.
const ITEM: usize = 64;
const ITEMS: u32 = 600;
const WANTED: u64 = 20;

/// Plays it.
pub(super) async fn tell(play: &Play, teller: &mut Teller<'_>) -> anyhow::Result<()> {
    let mind = Mind::default();
    let with = mind.clone();
    let change = move |ports: Ports| Ports {
        files: Arc::new(Crook::with(ports.files.clone(), with)),
        ..ports
    };
    let mut course = Course::start(play, teller, change).await?;
    let price = sats(play.price.unwrap_or(PRICE_SATS))?;
    let mut seen = Seen::default();
    let ran = run(&mut course, &mind, price, play, teller, &mut seen).await;
    let went = ran.map_or_else(|why| format!("{why:#}"), |()| "settled".into());
    teller.claim("the work is refused, repaired and settled", "settled", went);

    teller.claim("the worker's own program refuses to seal it", Some(true), seen.own_program);
    teller.claim("the requester's refuses it by the sample", Some(true), seen.by_sample);
    teller.claim("and nothing was paid for it", Some(0), seen.paid_for_bad);
    teller.claim("the repaired work was paid in full", Some(price.get()), seen.paid_for_good);
    teller.claim("every check passed it", Some(3), seen.passes);
    teller.claim("what only opening shows is refused after one part", Some(1), seen.parts_paid);
    let worker = course.worker.app.npub();
    teller.claim("and what the worker signed convicts it", Some(worker), seen.convicts);
    teller.tell("proof", seen.proof);
    teller.tell("largest_tranche_msat", price.tranche(0, TRANCHES).map(Msat::get));
    teller.tell("tranches", TRANCHES);
    teller.tell("checks", seen.checks);
    course.end(teller).await
}

/// What was seen on the way.
#[derive(Default)]
struct Seen {
    own_program: Option<bool>,
    by_sample: Option<bool>,
    paid_for_bad: Option<usize>,
    paid_for_good: Option<u64>,
    passes: Option<usize>,
    parts_paid: Option<usize>,
    convicts: Option<String>,
    proof: Option<std::path::PathBuf>,
    checks: Vec<String>,
}

async fn run(
    course: &mut Course,
    mind: &Mind,
    price: Msat,
    play: &Play,
    teller: &mut Teller<'_>,
    seen: &mut Seen,
) -> anyhow::Result<()> {
    course.requester_can_pay(price, teller).await?;
    course.worker_can_be_paid(price.max(sats(FIRST_SATS)?), teller).await?;
    let checks = match course.is_broken_by("no-checks") {
        true => Vec::new(),
        false => checks(if course.is_broken_by("starved") { 1 } else { 100_000 })?,
    };
    seen.checks = checks.iter().map(|check| check.hash.to_string()).collect();
    let cut = Some(Cut::Items { len: u32::try_from(ITEM)? });
    let quality = Quality { audit: WANTED, checks, cut };
    let title = "Label six hundred photographs";
    let asked = Asked { title, price, tranches: TRANCHES, quality: quality.clone() };
    let job = course.award(&asked).await?;
    teller.step("a job is awarded whose terms pin a schema, rules and a WASM predicate");

    let good_work = course.is_broken_by("good-work");
    let bad = |what| if good_work { Bad::Nothing } else { what };
    let half = course.write("half.jsonl", &labels(bad(Bad::Unsure)))?;
    let deliver = crate::engine::Command::Deliver {
        job,
        file: half.clone(),
        message: "Some are not clear.".into(),
    };
    course.worker.app.handle().ask(deliver).await?;
    let refused = course
        .worker
        .wait("its own program's refusal", course.patience(), |s| {
            let view = view(s, job).filter(|v| v.delivery.is_none())?;
            view.reason.as_ref().map(ToString::to_string)
        })
        .await?;
    seen.own_program = Some(refused.contains("does not pass a check"));
    teller.step("the worker's own program does not seal work that a check refuses");

    mind.set(Some(Trick::SkipChecks));
    course.hand_over(job, &half).await?;
    let refused = course
        .requester
        .wait("the machine's refusal", course.patience(), |s| {
            let view = view(s, job).filter(|v| v.phase == Phase::Working)?;
            view.reason.as_ref().map(ToString::to_string)
        })
        .await?;
    seen.by_sample = Some(refused.contains("does not pass a check"));
    seen.paid_for_bad = Some(course.payments(job).await?.len());
    course
        .worker
        .wait("the rejection", course.patience(), |s| {
            view(s, job).filter(|v| v.phase == Phase::Working).map(|_| ())
        })
        .await?;
    teller.step("a program that skips its checks is caught by the sample, before any payment");

    let good = match &play.file {
        Some(file) => file.clone(),
        None => course.write("good.jsonl", &labels(Bad::Nothing))?,
    };
    accepted(course, job, &good, teller, seen).await?;
    after_opening(course, price, quality, bad(Bad::Number), teller, seen).await
}

/// The repaired work, to its end.
async fn accepted(
    course: &mut Course,
    job: BidId,
    good: &std::path::Path,
    teller: &mut Teller<'_>,
    seen: &mut Seen,
) -> anyhow::Result<()> {
    course.deliver(job, good).await?;
    course
        .requester
        .wait("the second sample", course.patience(), |s| {
            let words = view(s, job)?.delivery.as_ref()?.audit.as_ref()?.to_string();
            words.contains("confidence").then_some(())
        })
        .await?;
    course.accept(job).await?;
    let output = course.settled(job).await?;
    let paid = course.payments(job).await?;
    seen.paid_for_good =
        Some(paid.iter().filter(|p| p.state == "paid").map(|p| p.amount_msat).sum());
    let shown = course.requester.app.handle().watch().borrow().clone();
    let checks = view(&shown, job).and_then(|v| v.delivery.as_ref().map(|d| d.checks.clone()));
    let passes = checks.unwrap_or_default();
    let by_hash: std::collections::BTreeSet<String> =
        passes.iter().map(ToString::to_string).filter(|said| said.ends_with(": pass")).collect();
    seen.passes = Some(by_hash.len());
    teller.step("the worker repairs it: sampled, paid, opened and checked");
    course.handed(good, output, teller).await
}

/// One bad record and no sample: only opening shows it.
async fn after_opening(
    course: &mut Course,
    price: Msat,
    quality: Quality,
    bad: Bad,
    teller: &mut Teller<'_>,
    seen: &mut Seen,
) -> anyhow::Result<()> {
    let title = "Label six hundred more";
    let quality = Quality { audit: 0, ..quality };
    let job = course.award(&Asked { title, price, tranches: TRANCHES, quality }).await?;
    let file = course.write("one-bad.jsonl", &labels(bad))?;
    course.deliver(job, &file).await?;
    course.accept(job).await?;
    let (fee, proof) = course
        .requester
        .wait("the proof", course.patience(), |s| {
            let view = view(s, job).filter(|v| v.phase == Phase::Cheated)?;
            let delivery = view.delivery.as_ref()?;
            Some((delivery.fee, delivery.proof.clone()?))
        })
        .await?;
    course.pays_routing(fee);
    let judged = verify_proof(&std::fs::read(&proof)?);
    seen.convicts = match judged {
        Ok(Judgement::Guilty { against, offence: Offence::Check, .. }) => {
            Some(crate::app::npub(&against))
        }
        _ => None,
    };
    seen.proof = Some(proof);
    let paid = course.payments(job).await?;
    seen.parts_paid = Some(paid.iter().filter(|p| p.state == "paid").count());
    teller.step("what no sample was drawn of is refused when the first part is open; the second is not paid");
    Ok(())
}

/// What is wrong with some of the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bad {
    Nothing,
    /// Every other label is a question mark: only the predicate sees it.
    Unsure,
    /// One label in the first half is a number.
    Number,
}

fn labels(bad: Bad) -> Vec<u8> {
    let words = ["cat", "dog", "owl", "fox"];
    let mut text = Vec::new();
    for n in 0..ITEMS {
        let label = match bad {
            Bad::Unsure if n % 2 == 1 => "\"?\"".to_owned(),
            Bad::Number if n == 10 => "7".to_owned(),
            _ => format!("\"{}\"", words[(n * n) as usize % 4]),
        };
        let label = format!("{{\"photo\":{n},\"is\":{label}}}");
        text.extend(format!("{label:<width$}\n", width = ITEM - 1).into_bytes());
    }
    text
}

/// A schema for every record, rules for the whole, and a predicate for every record.
fn checks(fuel: u64) -> anyhow::Result<Vec<Pinned>> {
    let schema = r#"{"type":"object","required":["photo","is"],"properties":{"photo":{"type":"integer"},"is":{"type":"string"}}}"#;
    let rows = Range { min: Some(u64::from(ITEMS)), max: Some(u64::from(ITEMS)) };
    let photo = Column {
        name: "photo".into(),
        integer: Some(Integers { min: Some(0), max: None }),
        unique: true,
        ..Column::default()
    };
    let rules = Rules {
        format: Some(Format::Jsonl),
        encoding: Some(Encoding::Utf8),
        rows: Some(rows),
        columns: vec![photo],
        ..Rules::default()
    };
    let predicate = Predicate { module: NO_QUESTION_MARKS.to_vec(), fuel, pages: 4 };
    let all = [
        Check {
            scope: Scope::Chunk,
            kind: Kind::Schema { schema: schema.into(), unit: Unit::Whole },
        },
        Check { scope: Scope::Whole, kind: Kind::Rules(Box::new(rules)) },
        Check { scope: Scope::Chunk, kind: Kind::Wasm(predicate) },
    ];
    all.iter()
        .map(|check| pin(&check.to_json()).map_err(|why| anyhow::anyhow!(why)))
        .collect::<anyhow::Result<_>>()
        .context("a check of the story is none")
}

/// Says 1 of bytes with a question mark in them. As text:
///
/// ```wat
/// (module
///   (memory (export "memory") 2)
///   (global $found (mut i32) (i32.const 0))
///   (func (export "input") (result i32) (i32.const 1024))
///   (func (export "feed") (param $len i32) (local $i i32) (local $b i32)
///     (block $done (loop $next
///       (br_if $done (i32.ge_u (local.get $i) (local.get $len)))
///       (if (i32.eq (i32.load8_u (i32.add (local.get $i) (i32.const 1024))) (i32.const 63))
///         (then (global.set $found (i32.const 1))))
///       (local.set $i (i32.add (local.get $i) (i32.const 1)))
///       (br $next))))
///   (func (export "end") (result i32) (global.get $found)))
/// ```
#[rustfmt::skip]
const NO_QUESTION_MARKS: &[u8] = &[
    // version 1
    0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00,
    // two types
    0x01, 0x09, 0x02, 0x60, 0x00, 0x01, 0x7f, 0x60, 0x01, 0x7f, 0x00,
    // three functions
    0x03, 0x04, 0x03, 0x00, 0x01, 0x00,
    // two pages of memory
    0x05, 0x03, 0x01, 0x00, 0x02,
    // what was found
    0x06, 0x06, 0x01, 0x7f, 0x01, 0x41, 0x00, 0x0b,
    // memory, input, feed and end, by name
    0x07, 0x1f, 0x04, 0x06, 0x6d, 0x65, 0x6d, 0x6f, 0x72, 0x79, 0x02, 0x00, 0x05, 0x69, 0x6e, 0x70,
    0x75, 0x74, 0x00, 0x00, 0x04, 0x66, 0x65, 0x65, 0x64, 0x00, 0x01, 0x03, 0x65, 0x6e, 0x64, 0x00,
    0x02,
    // the code
    0x0a, 0x3a, 0x03, 0x05, 0x00, 0x41, 0x80, 0x08, 0x0b, 0x2d, 0x01, 0x02, 0x7f, 0x02, 0x40, 0x03,
    0x40, 0x20, 0x01, 0x20, 0x00, 0x4f, 0x0d, 0x01, 0x20, 0x01, 0x41, 0x80, 0x08, 0x6a, 0x2d, 0x00,
    0x00, 0x41, 0x3f, 0x46, 0x04, 0x40, 0x41, 0x01, 0x24, 0x00, 0x0b, 0x20, 0x01, 0x41, 0x01, 0x6a,
    0x21, 0x01, 0x0c, 0x00, 0x0b, 0x0b, 0x0b, 0x04, 0x00, 0x23, 0x00, 0x0b,
];

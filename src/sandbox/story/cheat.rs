//! `cheat`: a worker sells a key that does not open what it signed. It gets one part of the price, and a proof
//! against its name that anybody can check.

use std::sync::Arc;

use anyhow::Context as _;

use crate::engine::Ports;
use crate::market::{Msat, Phase, Quality};
use crate::sandbox::story::course::{Asked, Course};
use crate::sandbox::story::crook::{Crook, Trick};
use crate::sandbox::story::first_job::view;
use crate::sandbox::story::{Play, Story, Teller};
use crate::sandbox::world::sats;
use crate::seal::Cut;
use crate::wire::{Judgement, verify_proof};

/// What it shows.
pub(super) const STORY: Story = Story {
    name: "cheat",
    about: "a worker sells a key that does not open what it signed: one part of the price is lost, the proof is published, and nothing more is paid",
    breaks: &[
        ("honest-worker", "the worker does not cheat"),
        ("edited-proof", "one byte of the proof is changed before anybody judges it"),
        ("all-at-once", "the price is agreed in one part, and is more than is said to be at stake"),
    ],
};

const PRICE_SATS: u64 = 10_000;
const FIRST_SATS: u64 = 21_000;
const TRANCHES: u32 = 4;

/// Plays it.
pub(super) async fn tell(play: &Play, teller: &mut Teller<'_>) -> anyhow::Result<()> {
    let honest = play.break_way.as_deref() == Some("honest-worker");
    let change = move |ports: Ports| match honest {
        true => ports,
        false => {
            Ports { files: Arc::new(Crook::new(ports.files.clone(), Trick::WrongKey(0))), ..ports }
        }
    };
    let mut course = Course::start(play, teller, change).await?;
    let price = sats(play.price.unwrap_or(PRICE_SATS))?;
    let largest = (0..TRANCHES).filter_map(|t| price.tranche(t, TRANCHES)).max().unwrap_or(price);
    let mut seen = Seen::default();
    let ran = run(&mut course, price, play, teller, &mut seen).await;
    let went = ran.map_or_else(|why| format!("{why:#}"), |()| "proven".into());
    teller.claim("the fraud is noticed and proven", "proven", went);

    teller.claim("one payment was made and no second", 1, seen.payments);
    let within = seen.loss.map(|loss| loss <= largest.get());
    teller.claim("the requester lost at most one part", Some(true), within);
    let fees = seen.fee;
    let left = seen.purse.map(|(before, after)| before.saturating_sub(after));
    teller.claim("its purse says the same", seen.loss.map(|loss| loss + fees), left);
    teller.claim("the proof says guilty", Some("guilty"), seen.verdict);
    let worker = course.worker.app.npub();
    teller.claim("of the worker, and of nobody else", Some(&worker), seen.accused.as_ref());
    teller.claim(
        "the same program that is handed the event says guilty",
        Some("guilty"),
        seen.published,
    );
    teller.claim("the requester's own record of people says so", Some(1), seen.remembered);
    teller.claim("and it trusts the worker with nothing more", Some(0), seen.limit);
    teller.tell("proof", &seen.proof);
    teller.tell("largest_tranche_msat", largest.get());
    teller.tell("requester_loss_msat", seen.loss);
    course.end(teller).await
}

/// What was seen on the way.
#[derive(Default)]
struct Seen {
    payments: usize,
    loss: Option<u64>,
    fee: u64,
    purse: Option<(u64, u64)>,
    proof: Option<std::path::PathBuf>,
    verdict: Option<&'static str>,
    accused: Option<String>,
    published: Option<&'static str>,
    remembered: Option<u32>,
    limit: Option<u64>,
}

async fn run(
    course: &mut Course,
    price: Msat,
    play: &Play,
    teller: &mut Teller<'_>,
    seen: &mut Seen,
) -> anyhow::Result<()> {
    course.requester_can_pay(price, teller).await?;
    course.worker_can_be_paid(price.max(sats(FIRST_SATS)?), teller).await?;
    let parties = [&course.requester, &course.worker];
    course.world.still(&parties).await?;
    let before = course.requester.purse().await?.total();
    let tranches = if course.is_broken_by("all-at-once") { 1 } else { TRANCHES };
    let quality = Quality { cut: Some(Cut::Bytes), ..Quality::default() };
    let title = "Draw a map of the river";
    let job = course.award(&Asked { title, price, tranches, quality }).await?;
    let work = match &play.file {
        Some(file) => file.clone(),
        None => course.write("map.bin", &map())?,
    };
    course.deliver(job, &work).await?;
    teller.step("everything that can be looked at before paying is sound");
    course.accept(job).await?;
    let cheated = course
        .requester
        .wait("the proof", course.patience(), |s| {
            let view = view(s, job).filter(|v| v.phase == Phase::Cheated)?;
            let delivery = view.delivery.as_ref()?;
            Some((delivery.proof.clone()?, delivery.fee))
        })
        .await;
    course.world.still(&[&course.requester, &course.worker]).await?;
    let paid: Vec<_> =
        course.payments(job).await?.into_iter().filter(|p| p.state == "paid").collect();
    seen.payments = paid.len();
    seen.loss = Some(paid.iter().map(|p| p.amount_msat).sum());
    seen.purse = Some((before, course.requester.purse().await?.total()));
    let (path, fee) = cheated?;
    seen.fee = fee.get();
    course.pays_routing(fee);
    teller.step("one part was paid, its key opens nothing, and the proof is made");

    let mut proof = tokio::fs::read(&path).await.context("the proof cannot be read")?;
    if course.is_broken_by("edited-proof") {
        let key = proof.windows(7).position(|w| w == b"\"key\":\"").context("no key in it")? + 7;
        proof[key] = if proof[key] == b'0' { b'1' } else { b'0' };
    }
    (seen.verdict, seen.accused) = judged(&proof);
    seen.proof = Some(path);
    seen.published = Some(course.event(3922, |json| judged(json.as_bytes()).0).await?);
    let who = course.worker_key()?;
    let people = course.requester.app.handle().people(Some(who)).await?;
    seen.remembered = people.first().map(|person| person.cheats);
    seen.limit = people.first().and_then(|person| Some(person.limits?.tranche.get()));
    teller.step("anybody who has the proof, or the event on the relay, finds the worker guilty");
    Ok(())
}

/// What the proof says, and of whom.
fn judged(proof: &[u8]) -> (Option<&'static str>, Option<String>) {
    match verify_proof(proof) {
        Ok(Judgement::Guilty { against, .. }) => (Some("guilty"), Some(crate::app::npub(&against))),
        _ => (Some("invalid"), None),
    }
}

/// Bytes of no pattern.
fn map() -> Vec<u8> {
    (0..200_000u64).map(|n| u8::try_from((n * n / 7 + n) % 251).unwrap_or_default()).collect()
}

//! `escrow-judge` and `escrow-fraud`: an escrow with a judge, who holds a copy of the secret and never a coin.
//! In one the requester goes silent after the delivery and the judge's ruling lets the worker claim; in the
//! other the worker's key opens nothing, and it calls the judge all the same.

mod course;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, anyhow};

use crate::engine::{CaseView, Command, EscrowView, Lightning as _, PaymentState, Ports, Snapshot};
use crate::market::{
    BidId, CasePhase, DETERMINISTIC, EscrowTerms, EventId, GigDraft, JudgeTerms, LEAST_WINDOW,
    Mode, Msat, PaymentHash, Phase, Role, Wish,
};
use crate::sandbox::people::Cheat;
use crate::sandbox::story::first_job::{account, sha256_file, view};
use crate::sandbox::story::{
    FileSummary, PaymentSummary, Play, Sabotage, Story, Teller, gig, judging,
};
use crate::sandbox::world::{Party, World, WorldSetup, sats};

/// The judge rules for the worker.
pub(super) const STORY: Story = Story {
    name: "escrow-judge",
    about: "the requester goes silent after the delivery; the judge looks for itself and gives the worker the secret, and has never a coin",
    breaks: &[
        ("judge-away", "the judge goes away once it holds the secret"),
        ("wrong-byte", "one byte of the ciphertext that the worker serves is not what it signed"),
    ],
};

/// The judge rules for the requester.
pub(super) const FRAUD: Story = Story {
    name: "escrow-fraud",
    about: "the worker's key does not open what it signed, and it calls the judge all the same; the judge sees it, and the requester has its money back",
    breaks: &[
        ("honest", "the worker's key opens what it signed"),
        ("judge-away", "the judge goes away once it holds the secret"),
    ],
};

/// How it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The requester is silent, the judge releases.
    Released,
    /// The worker is a cheat, the judge does not.
    Refused,
}

const PRICE_SATS: u64 = 21_000;

/// What was seen on the way.
#[derive(Default)]
struct Seen {
    held: Option<bool>,
    secret_after_lock: Option<bool>,
    no_work_before: Option<bool>,
    funded_height: Option<u32>,
    claim_deadline: Option<u32>,
    resolved_by: Option<&'static str>,
    invoice: Option<String>,
    ruled_for: Option<&'static str>,
    finding: Option<String>,
    proof: Option<bool>,
    judge_read: Option<bool>,
    files: Vec<FileSummary>,
    payment: Option<PaymentSummary>,
    times_paid: usize,
    lsp_fee: Msat,
    routing_fee: Msat,
}

struct Course<'a> {
    way: Option<&'a str>,
    price: Msat,
    end: End,
    seen: Seen,
}

/// Plays one of them. Claims are kept even where a step fails: what did not happen is then seen as missing.
pub(super) async fn tell(play: &Play, teller: &mut Teller<'_>, end: End) -> anyhow::Result<()> {
    let way = play.break_way.as_deref();
    let setup = WorldSetup { dir: play.dir.clone(), relay: play.relay.clone(), seed: play.seed };
    let mut world = World::start(setup).await?;
    teller.step("a chain, a relay and an LSP are up");
    let requester = world.party("requester", None, |ports| ports).await?;
    let chosen: Arc<Mutex<BTreeSet<BidId>>> = Arc::default();
    let (saboteur, cheat) = (way == Some("wrong-byte"), chosen.clone());
    let worker = world
        .party("worker", None, move |ports: Ports| match saboteur {
            true => Ports { files: Arc::new(Sabotage(ports.files.clone())), ..ports },
            false => Ports { files: Arc::new(Cheat::new(ports.files.clone(), cheat)), ..ports },
        })
        .await?;
    let judge = world.party("judge", None, |ports| ports).await?;
    teller.step("a requester, a worker and a judge have started, each with a node of its own");
    let before = [
        requester.purse().await?,
        worker.purse().await?,
        judge.purse().await?,
        world.lsp_purse().await?,
    ];

    let price = sats(play.price.unwrap_or(PRICE_SATS))?;
    let mut course = Course { way, price, end, seen: Seen::default() };
    let mut requester = Some(requester);
    let mut judge = Some(judge);
    let ran =
        course.run(&mut world, (&mut requester, &worker, &mut judge), &chosen, play, teller).await;
    let went = ran.map_or_else(|why| format!("{why:#}"), |()| "to its end".into());
    teller.claim("the job goes to its end", "to its end", went);
    let requester = match requester {
        Some(party) => party,
        None => world.party("requester", None, |ports| ports).await?,
    };
    let judge = match judge {
        Some(party) => party,
        None => world.party("judge", None, |ports| ports).await?,
    };
    let seen = course.seen;
    let parties = [&requester, &worker, &judge];
    world.still(&parties).await?;
    world.mine(6, &parties).await?;
    world.still(&parties).await?;
    account(teller, &world, &parties, before, (seen.lsp_fee, seen.routing_fee)).await?;

    let wanted = if end == End::Released { "claim" } else { "fail_back" };
    teller.claim("how the money moved in the end", Some(wanted), seen.resolved_by);
    teller.claim("the worker began with no bitcoin", 0, before[1].total());
    teller.claim("the channels held the money before any work", Some(true), seen.held);
    teller.claim(
        "the judge had no case before the money was locked",
        Some(true),
        seen.secret_after_lock,
    );
    teller.claim("no work before the judge's word", Some(true), seen.no_work_before);
    let whose = if end == End::Released { "worker" } else { "requester" };
    teller.claim("for whom the judge ruled", Some(whose), seen.ruled_for);
    let after = worker.purse().await?;
    match end {
        End::Released => {
            teller.claim("the judge has opened the work itself", Some(true), seen.judge_read);
            teller.claim("the requester's node paid, once", 1, seen.times_paid);
            let net = price.get() - seen.lsp_fee.get().min(price.get());
            teller.claim("the worker has the price less the LSP's fee", net, after.channels);
            for file in &seen.files {
                let sent = sha256_file(&file.sent).await.unwrap_or_default();
                teller.claim("the work arrived as it was sent", sent, &file.sha256);
            }
            teller.claim("one file was handed over", 1, seen.files.len());
        }
        End::Refused => {
            let said = seen.finding.clone().unwrap_or_default();
            teller.claim(
                "the judge saw that the key opens nothing",
                true,
                said.contains("does not open"),
            );
            teller.claim(
                "the requester's proof convicts the worker, offline",
                Some(true),
                seen.proof,
            );
            teller.claim("the requester's node paid nothing", 0, seen.times_paid);
            teller.claim("the worker has nothing", 0, after.channels);
        }
    }
    let received = judge.purse().await?.total().saturating_sub(before[2].total());
    let lines = judge.app.handle().payments().await?.len();
    teller.claim("the judge's node received nothing", 0, received);
    teller.claim("and the judge's ledger is empty", 0, lines);
    let diff = teller.summary.diff_msat;
    teller.claim("every satoshi is accounted for", 0, i64::try_from(diff).unwrap_or(i64::MAX));

    teller.tell("window_blocks", LEAST_WINDOW);
    teller.tell("funded_height", seen.funded_height);
    teller.tell("claim_deadline", seen.claim_deadline);
    teller.tell("resolved_by", seen.resolved_by);
    teller.tell("judge_received_msat", received);
    teller.tell("invoice", seen.invoice);
    teller.summary.files = seen.files;
    teller.summary.payments.extend(seen.payment);

    requester.app.stop().await?;
    worker.app.stop().await?;
    judge.app.stop().await?;
    world.stop().await?;
    teller.step("everything has stopped in order");
    Ok(())
}

//! The engine through thousands of seeded jobs among liars, crashes and lossy relays (src/sim.rs).
//!
//! `EARNEST_SEED=n` plays exactly that world and nothing else; `EARNEST_SEEDS=n` plays so many worlds
//! instead of the default, from the first or from `EARNEST_SEED` on. 600 are ten thousand jobs.
#![expect(clippy::disallowed_macros, reason = "a seed that fails must be seen where it failed")]
#![expect(clippy::unwrap_used, reason = "a test that unwraps wrongly fails")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use earnest::sim::{Plan, Report, play};

/// Some four hundred jobs, on two cores about a minute: signatures, seals and the store are real.
const WORLDS: u64 = 24;

/// How often something happened in a world.
type OfReport = fn(&Report) -> u64;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

#[test]
#[expect(clippy::disallowed_methods, reason = "it says how fast it was")]
fn whatever_happens_no_money_is_lost_and_every_job_ends() {
    let began = Instant::now();
    let one = number("EARNEST_SEED");
    let first = one.unwrap_or(0);
    let usual = if one.is_some() { 1 } else { WORLDS };
    let worlds = number("EARNEST_SEEDS").unwrap_or(usual);
    let threads = std::thread::available_parallelism().map_or(2, std::num::NonZeroUsize::get);
    let next = AtomicU64::new(first);
    let reports = Mutex::new(Vec::<Report>::new());
    let broken = Mutex::new(Vec::<String>::new());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + worlds {
                        break;
                    }
                    match play(&Plan::new(seed)) {
                        Ok(report) => {
                            reports.lock().unwrap_or_else(PoisonError::into_inner).push(report);
                        }
                        Err(why) => {
                            eprintln!("{why}");
                            broken.lock().unwrap_or_else(PoisonError::into_inner).push(why);
                        }
                    }
                }
            });
        }
    });
    let reports = reports.into_inner().unwrap();
    let sum = |of: fn(&Report) -> u64| reports.iter().map(of).sum::<u64>();
    let mut ends = std::collections::BTreeMap::<&str, u64>::new();
    for (end, n) in reports.iter().flat_map(|r| &r.ends) {
        *ends.entry(end).or_default() += n;
    }
    let mut cases = std::collections::BTreeMap::<&str, u64>::new();
    for (end, n) in reports.iter().flat_map(|r| &r.cases) {
        *cases.entry(end).or_default() += n;
    }
    let secs = began.elapsed().as_secs_f64();
    let (jobs, steps) = (sum(|r| r.jobs), sum(|r| r.steps));
    eprintln!(
        "{} worlds, {} bids, {jobs} jobs, {steps} steps, {} crashes, {} replays compared, {} commits on a full disk, {} deliveries lost, {secs:.1} s: {:.1} jobs/s, {:.0} steps/s; {ends:?}; cases {cases:?}",
        reports.len(),
        sum(|r| r.bids),
        sum(|r| r.crashes),
        sum(|r| r.replays),
        sum(|r| r.full),
        sum(|r| r.damaged),
        jobs as f64 / secs,
        steps as f64 / secs,
    );
    let happened: [(&str, OfReport); 14] = [
        ("channels closed by force", |r| r.closed),
        ("HTLCs held then", |r| r.closed_held),
        ("settled on the chain by preimage", |r| r.by_preimage),
        ("settled on the chain by time-out", |r| r.timed_out),
        ("LSP down during a hold", |r| r.lsp_down_held),
        ("reorgs", |r| r.reorgs),
        ("payments that went back at their height", |r| r.on_height),
        ("audits", |r| r.audits),
        ("refused by an audit", |r| r.audits_failed),
        ("passed by checks", |r| r.passes),
        ("failed by checks", |r| r.fails),
        ("failed by the worker's own checks", |r| r.own_fails),
        ("settled after a repair", |r| r.repaired),
        ("proofs by a check", |r| r.check_proofs),
    ];
    let happened = happened.map(|(what, of)| (what, sum(of)));
    eprintln!("{happened:?}");
    if worlds >= WORLDS {
        for (what, n) in happened {
            assert!(n > 0, "{what}: never, so nothing was shown of it");
        }
        assert!(cases.contains_key("judged for the worker"), "{cases:?}");
        assert!(cases.contains_key("judged for the requester"), "{cases:?}");
    }
    let mut broken = broken.into_inner().unwrap();
    broken.sort();
    assert!(broken.is_empty(), "{} of {worlds} worlds broke:\n{}", broken.len(), broken.join("\n"));
}

#[test]
fn one_seed_is_one_world() {
    let plan = Plan { hours: 5, gigs: 2, ..Plan::new(11) };
    assert_eq!(play(&plan).unwrap(), play(&plan).unwrap());
    assert_ne!(play(&plan).unwrap().trace, play(&Plan { seed: 12, ..plan }).unwrap().trace);
}

#[test]
fn a_restart_at_rest_changes_nothing() {
    for seed in 20..22 {
        let plan = Plan { hours: 5, gigs: 2, chaos: false, ..Plan::new(seed) };
        let through = play(&plan).unwrap();
        let again = play(&Plan { restarts: vec![0, 3, 1, 2], ..plan }).unwrap();
        assert_eq!(again.restarts, 4);
        assert_eq!((through.ends, through.jobs), (again.ends, again.jobs), "seed {seed}");
        assert_eq!(through.trace, again.trace, "seed {seed}");
    }
}

//! What a worker's bot does next, for what it sees.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use earnest::bot::*;
use earnest::engine::{JobView, Snapshot};
use earnest::market::*;
use earnest::text::Raw;
use tokio::time::Instant;

use crate::scene::{NOW, job, me, sats, sees, working};

fn hires(n: u8, phase: Phase) -> JobView {
    job(n, n, 60, Role::Worker, phase)
}

fn gig(n: u8) -> Gig {
    let draft = crate::template(&[Mode::Sealed], 5).draft;
    Gig {
        id: EventId([n; 32]),
        author: Pubkey([60; 32]),
        d: n.to_string(),
        at: NOW,
        published_at: NOW,
        title: Raw(draft.title),
        summary: Raw(draft.summary),
        content: Raw(draft.content),
        tags: vec!["labels".into()],
        side: Side::Request,
        status: Status::Open,
        network: Network::Regtest,
        expires_at: NOW.after(Span::DAY),
        offer: Offer {
            v: 1,
            work: draft.work,
            modes: draft.modes,
            slots: 1,
            price: draft.price,
            max_bytes: draft.max_bytes,
            deadlines: draft.deadlines,
            escrow: None,
            pow: 0,
            inbox: Inbox { key: Pubkey([61; 32]), relays: Vec::new() },
            quality: Quality::default(),
            milestones: Vec::new(),
            inputs: Vec::new(),
        },
    }
}

fn does(worker: &mut Worker, seen: &Snapshot, at: Instant) -> Vec<&'static str> {
    let intents = worker.jobs(seen, &BTreeSet::new(), at);
    intents.iter().map(|intent| intent.deed.word()).collect()
}

fn bids(worker: &Worker, seen: &Snapshot, waits: &[u8]) -> Vec<u8> {
    let gigs = [gig(1), gig(2), gig(3), gig(4)];
    let intents = worker.bids(seen, &gigs, |gig| waits.contains(&gig.0[0]));
    intents.iter().filter_map(|intent| Some(intent.log?.0[0])).collect()
}

#[test]
fn a_bid_that_nobody_answers_is_taken_back() {
    let policy = Working { patience: Duration::from_secs(60), ..working("true") };
    let mut worker = Worker::new(policy, me());
    let (seen, began) = (sees(vec![], vec![hires(11, Phase::Bid)]), Instant::now());
    for (seconds, does_it) in [(0, &[][..]), (60, &[]), (61, &["withdraw"])] {
        let said = does(&mut worker, &seen, began + Duration::from_secs(seconds));
        assert_eq!(said, does_it, "{seconds}");
    }
}

#[test]
fn the_command_is_run_so_often_and_then_the_job_is_given_back() {
    let mut worker = Worker::new(working("true"), me());
    let (seen, at) = (sees(vec![], vec![hires(11, Phase::Working)]), Instant::now());
    let id = EventId([11; 32]);
    assert_eq!(does(&mut worker, &seen, at), ["work"]);
    assert_eq!(worker.tried(id), 1);
    assert_eq!(does(&mut worker, &seen, at), ["work"]);
    assert_eq!(worker.tried(id), 2);
    assert_eq!(does(&mut worker, &seen, at), ["cancel"]);
}

#[test]
fn work_that_is_done_is_handed_over_and_not_done_again() {
    let mut worker = Worker::new(working("true"), me());
    let (seen, at) = (sees(vec![], vec![hires(11, Phase::Working)]), Instant::now());
    let id = EventId([11; 32]);
    worker.tried(id);
    worker.made(id, PathBuf::from("/there/out/x"));
    for _ in 0..5 {
        assert_eq!(does(&mut worker, &seen, at), ["deliver"]);
    }
    // It cannot be handed over as it is: the second try is still there.
    worker.handed(&id);
    assert_eq!(does(&mut worker, &seen, at), ["work"]);
    // A job that takes nothing any more needs nothing.
    worker.made(id, PathBuf::from("/there/out/x"));
    let over = sees(vec![], vec![hires(11, Phase::Expired)]);
    assert!(does(&mut worker, &over, at).is_empty());
    assert!(!worker.holds(&id));
}

#[test]
fn a_gig_that_waits_or_refuses_takes_nobodys_room() {
    let mut worker = Worker::new(working("true"), me());
    let empty = sees(vec![], vec![]);
    assert_eq!(bids(&worker, &empty, &[]), [1, 2]);
    assert_eq!(bids(&worker, &empty, &[1]), [2, 3]);
    worker.refused(EventId([2; 32]));
    assert_eq!(bids(&worker, &empty, &[1]), [3, 4]);
    assert_eq!(bids(&worker, &empty, &[]), [1, 3], "what waited is asked again");
    let busy = sees(vec![], vec![hires(11, Phase::Working)]);
    assert_eq!(bids(&worker, &busy, &[]), [1]);
    let mut nothing = sees(vec![], vec![]);
    nothing.node.as_mut().unwrap().least_first = None;
    assert!(bids(&worker, &nothing, &[]).is_empty(), "it could not be paid");
}

#[test]
fn what_is_asked_for_a_gig() {
    let mut gig = gig(1);
    gig.offer.inputs =
        vec![Attachment { blob: Digest([1; 32]), size: 2_049, name: Raw("x".into()) }];
    for (price, asks) in [
        (Price::Share(100), Some(2_000)),
        (Price::Share(60), Some(1_200)),
        // Nobody works for less than what is safe to be paid.
        (Price::Share(1), Some(1_000)),
        (Price::Fixed(sats(1_500)), Some(1_500)),
        (Price::Fixed(sats(2_001)), None),
        // Three begun KiB.
        (Price::PerKib(sats(500)), Some(1_500)),
        (Price::PerKib(sats(700)), None),
    ] {
        let worker = Worker::new(Working { price, ..working("true") }, me());
        assert_eq!(worker.price(&gig), asks.map(sats), "{price:?}");
    }
}

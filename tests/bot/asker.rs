//! What a requester's bot does next, for what it sees: no engine, no clock, no money.

use std::path::PathBuf;
use std::time::Duration;

use earnest::bot::*;
use earnest::engine::{BudgetView, JobView, Snapshot, Verdict};
use earnest::market::*;
use proptest::prelude::*;
use tokio::time::Instant;

use crate::scene::{NOW, asking, budget, hired, me, post, queue, sats, sees};

fn asker(policy: Asking, items: usize) -> Asker {
    Asker::new(policy, me(), queue(items))
}

/// What it does about what it sees, each as `word subject`.
fn does(asker: &mut Asker, seen: &Snapshot, budget: &BudgetView) -> Vec<String> {
    let word = |intent: Intent| {
        let about = match (&intent.deed, intent.item, intent.log) {
            (Deed::Post(key), ..) => key.clone(),
            (Deed::Wait(of, _), ..) => format!("{of:?}"),
            (_, _, Some(log)) => log.0[0].to_string(),
            (_, Some(item), _) => format!("item {}", item + 1),
            _ => String::new(),
        };
        format!("{} {about}", intent.deed.word())
    };
    let intents = asker.intents(seen, budget, NOW, Instant::now());
    intents.into_iter().map(word).collect()
}

fn free() -> BudgetView {
    budget(|_| {})
}

fn delivered(n: u8, on: u8, change: impl FnOnce(&mut JobView)) -> JobView {
    let mut job = hired(n, on, 50, Phase::Delivered);
    change(&mut job);
    job
}

proptest! {
    #[test]
    fn what_it_has_in_mind_is_what_it_would_find_looking_for_the_first_time(
        changes in proptest::collection::vec((1u8..9, 1u8..7, 50u8..53, 0usize..9, any::<bool>()), 1..40),
    ) {
        const PHASES: [Phase; 9] = [
            Phase::Bid,
            Phase::Declined,
            Phase::Working,
            Phase::Delivered,
            Phase::Accepted,
            Phase::Settled,
            Phase::Cheated,
            Phase::Expired,
            Phase::Paying,
        ];
        let policy = || Asking { tries: 2, at_once: 4, total: Some(sats(5_000)), ..asking() };
        let mut old = asker(policy(), 6);
        let mut seen = sees(vec![], vec![]);
        for (n, on, peer, phase, other) in changes {
            // The first three items, the second try of two of them, and a line that is not read again.
            let key = ["1", "2", "3", "1#2", "2#2", "gone"][usize::from(on) - 1];
            let mut gig = post(on, key);
            if other {
                gig.gig.status = Status::Reserved;
            }
            match (n, other) {
                (8, true) => seen.posts.remove(&gig.id),
                _ => seen.posts.insert(gig.into()),
            }
            let job = hired(n + 100, on, peer, PHASES[phase]);
            match (phase, other) {
                (7, true) => drop(seen.jobs.remove(&job.id)),
                _ => drop(seen.jobs.insert(job.id, job.into())),
            }
            let mut fresh = asker(policy(), 6);
            (0..6).filter(|item| old.is_over(*item)).for_each(|item| fresh.give_up(item, "it is over"));
            prop_assert_eq!(does(&mut old, &seen, &free()), does(&mut fresh, &seen, &free()));
            if other && phase == 5 {
                old.finish(usize::from(on) % 3);
            }
        }
    }
}

#[test]
fn the_total_counts_the_routing_of_what_is_promised() {
    // One job is under way: with its routing it may cost 1,020 sat, and so may the next.
    let seen = || sees(vec![post(1, "1")], vec![hired(11, 1, 50, Phase::Working)]);
    for (total, does_it) in [(2_039, "waits Total"), (2_040, "post 2")] {
        let policy = Asking { total: Some(sats(total)), ..asking() };
        assert_eq!(does(&mut asker(policy, 2), &seen(), &free()), [does_it], "{total}");
    }
    // In four parts, one of them paid for 3 sat of routing: 1,003 and three times 1,020.
    let mut parts = hired(11, 1, 50, Phase::Delivered);
    (parts.price, parts.tranches, parts.legal) = (sats(4_000), 4, Vec::new());
    if let Some(delivery) = &mut parts.delivery {
        (delivery.paid, delivery.fee) = (1, sats(3));
    }
    let seen = sees(vec![post(1, "1")], vec![parts]);
    for (total, does_it) in [(1_003 + 4 * 1_020 - 1, "waits Total"), (1_003 + 4 * 1_020, "post 2")]
    {
        let policy = Asking { total: Some(sats(total)), ..asking() };
        assert_eq!(does(&mut asker(policy, 2), &seen, &free()), [does_it], "{total}");
    }
}

#[test]
fn jobs_of_lines_that_are_not_read_again_count() {
    let seen = sees(
        vec![post(1, "gone"), post(2, "gone-too")],
        vec![hired(11, 1, 50, Phase::Settled), hired(12, 2, 50, Phase::Working)],
    );
    // 1,000 sat are paid, and 1,020 are promised.
    for (total, does_it) in [(3_039, "waits Total"), (3_040, "post 1")] {
        let policy = Asking { total: Some(sats(total)), ..asking() };
        assert_eq!(does(&mut asker(policy, 1), &seen, &free()), [does_it], "{total}");
    }
    // And take their place among those that are open at once.
    let one = Asking { at_once: 1, ..asking() };
    assert!(does(&mut asker(one, 1), &seen, &free()).is_empty());
    // Somebody else's gigs do not.
    let mut other = post(2, "gone-too");
    other.by = Some(Actor::bot("other").unwrap());
    let seen = sees(vec![other], vec![hired(12, 2, 50, Phase::Working)]);
    let one = Asking { at_once: 1, total: Some(sats(1_020)), ..asking() };
    assert_eq!(does(&mut asker(one, 1), &seen, &free()), ["post 1"]);
}

#[test]
fn a_total_that_pays_nothing_more_ends_the_queue() {
    let seen = sees(vec![post(1, "1")], vec![hired(11, 1, 50, Phase::Settled)]);
    let mut asker = asker(Asking { total: Some(sats(1_500)), ..asking() }, 3);
    asker.finish(0);
    assert_eq!(does(&mut asker, &seen, &free()), ["give-up item 2", "give-up item 3"]);
    assert!(asker.is_done());
    let tally = asker.tally(&seen);
    assert_eq!((tally.failed, tally.given_up["3"].as_str()), (2, "the policy's total is spent"));
}

#[test]
fn what_is_given_up_leaves_its_place() {
    let mut asker = asker(Asking { at_once: 1, ..asking() }, 2);
    assert_eq!(does(&mut asker, &sees(vec![], vec![]), &free()), ["post 1"]);
    asker.give_up(0, "its input is not there");
    assert_eq!(does(&mut asker, &sees(vec![], vec![]), &free()), ["post 2"]);
    asker.give_up(1, "nor is this one's");
    assert!(asker.is_done());
    assert_eq!(asker.tally(&sees(vec![], vec![])).given_up["1"], "its input is not there");
}

#[test]
fn what_it_waits_for_is_said_and_until_when() {
    let waits = |seen: &Snapshot, view: &BudgetView| {
        let mut asker = asker(asking(), 3);
        let intents = asker.intents(seen, view, NOW, Instant::now());
        let waits = intents.into_iter().filter_map(|intent| match intent.deed {
            Deed::Wait(of, until) => Some((of, until, intent.amount)),
            _ => None,
        });
        waits.collect::<Vec<_>>()
    };
    let empty = sees(vec![], vec![]);
    let cost = Some(sats(1_020));
    assert_eq!(waits(&empty, &free()), []);
    let tight = budget(|b| b.at_risk = sats(1_000));
    assert_eq!(waits(&empty, &tight), [(Short::AtRisk, None, cost)]);
    let mut poor = sees(vec![], vec![]);
    poor.reserved = sats(1_000_000);
    assert_eq!(waits(&poor, &free()), [(Short::Node, None, cost)]);
    // What was paid 40 and 20 minutes ago leaves the hour one after the other: the second makes room.
    let paid = |n, minutes| {
        let since = NOW.before(Span::MINUTE.times(minutes));
        JobView { since, ..hired(n, 99, 50, Phase::Settled) }
    };
    let seen = sees(vec![], vec![paid(11, 40), paid(12, 20)]);
    let mut view = budget(|b| b.per_hour = sats(2_000));
    view.hour = sats(2_000);
    let until = NOW.after(Span::MINUTE.times(40));
    assert_eq!(waits(&seen, &view), [(Short::Hour, Some(until), cost)]);
    // An award that does not fit waits as well.
    let seen = sees(vec![post(1, "1")], vec![hired(11, 1, 50, Phase::Bid)]);
    let mut one = asker(asking(), 1);
    assert_eq!(does(&mut one, &seen, &tight), ["waits AtRisk"]);
}

#[test]
fn an_item_is_tried_so_often_and_no_more() {
    let policy = || Asking { tries: 2, ..asking() };
    let caught = |n, on| hired(n, on, n, Phase::Cheated);
    let once = sees(vec![post(1, "1")], vec![caught(11, 1)]);
    assert_eq!(does(&mut asker(policy(), 1), &once, &free()), ["post 1#2"]);
    let twice = sees(vec![post(1, "1"), post(2, "1#2")], vec![caught(11, 1), caught(12, 2)]);
    let mut worn = asker(policy(), 1);
    assert_eq!(does(&mut worn, &twice, &free()), ["close 2", "give-up item 1"]);
    assert!(worn.is_done());
    assert!(worn.tally(&twice).given_up["1"].contains("2 gigs and 2 jobs"));
    // A gig that nobody wanted is published again, and a person who closes it ends it.
    let mut old = post(1, "1");
    old.gig.expires_at = NOW;
    assert_eq!(does(&mut asker(policy(), 1), &sees(vec![old], vec![]), &free()), ["post 1#2"]);
    let mut closed = post(1, "1");
    closed.gig.status = Status::Closed;
    let seen = sees(vec![closed], vec![]);
    assert_eq!(does(&mut asker(policy(), 1), &seen, &free()), ["give-up item 1"]);
}

#[test]
fn a_stranger_has_one_job_and_whoever_did_well_has_more() {
    let bids = || {
        vec![
            hired(11, 1, 50, Phase::Bid),
            hired(12, 2, 50, Phase::Bid),
            hired(13, 3, 50, Phase::Bid),
        ]
    };
    let posts = || vec![post(1, "1"), post(2, "2"), post(3, "3")];
    let policy = || Asking { per_worker: 2, ..asking() };
    let stranger = sees(posts(), bids());
    assert_eq!(does(&mut asker(policy(), 3), &stranger, &free()), ["award 11"]);
    let known = bids().into_iter().chain([hired(14, 99, 50, Phase::Settled)]).collect();
    let known = sees(posts(), known);
    assert_eq!(does(&mut asker(policy(), 3), &known, &free()), ["award 11", "award 12"]);
    // Whoever was caught gets none.
    let cheat = bids().into_iter().chain([hired(14, 99, 50, Phase::Cheated)]).collect();
    let said = does(&mut asker(policy(), 3), &sees(posts(), cheat), &free());
    assert_eq!(said, ["decline 11", "decline 12", "decline 13"]);
    // Nor does anybody where enough is under way.
    let one = Asking { at_once: 1, ..policy() };
    let busy = vec![hired(11, 1, 51, Phase::Working), hired(12, 2, 50, Phase::Bid)];
    assert!(does(&mut asker(one, 2), &sees(posts(), busy), &free()).is_empty());
}

#[test]
fn whoever_has_enough_to_do_holds_nobody_up() {
    let policy = || Asking { choose: Choose::Cheapest, per_worker: 1, ..asking() };
    let bid = |n, peer, price| JobView { price: sats(price), ..hired(n, 2, peer, Phase::Bid) };
    // The best bidder has one job already: the next best gets this one.
    let busy = hired(11, 1, 50, Phase::Working);
    let jobs = vec![busy.clone(), bid(12, 50, 800), bid(13, 51, 900)];
    let seen = sees(vec![post(1, "1"), post(2, "2")], jobs);
    assert_eq!(does(&mut asker(policy(), 2), &seen, &free()), ["award 13"]);
    // Alone, it is waited for.
    let alone = sees(vec![post(1, "1"), post(2, "2")], vec![busy, bid(12, 50, 800)]);
    assert!(does(&mut asker(policy(), 2), &alone, &free()).is_empty());
    // And so with whoever may get no more for now by the budget, until that is asked anew.
    let seen = sees(vec![post(2, "1")], vec![bid(12, 50, 800), bid(13, 51, 900)]);
    let (mut one, began) = (asker(policy(), 1), Instant::now());
    let minute = Duration::from_secs(60);
    one.set_aside(EventId([12; 32]), began + minute);
    for (at, taken) in [(began, 13), (began + minute, 12)] {
        let said = one.intents(&seen, &free(), NOW, at);
        let logs: Vec<_> = said.iter().map(|intent| (intent.deed.word(), intent.log)).collect();
        assert_eq!(logs, [("award", Some(EventId([taken; 32])))]);
    }
}

#[test]
fn whose_bid_is_taken() {
    let bid = |n, peer, price, minutes| {
        let since = NOW.before(Span::MINUTE.times(minutes));
        JobView { price: sats(price), since, ..hired(n, 1, peer, Phase::Bid) }
    };
    let bids = || vec![bid(11, 51, 1_000, 9), bid(12, 52, 900, 5), bid(13, 53, 950, 1)];
    for (choose, taken) in
        [(Choose::First, "award 11"), (Choose::Cheapest, "award 12"), (Choose::Trusted, "award 13")]
    {
        let did = hired(14, 99, 53, Phase::Settled);
        let seen = sees(vec![post(1, "1")], bids().into_iter().chain([did]).collect());
        let mut one = asker(Asking { choose, ..asking() }, 1);
        assert_eq!(does(&mut one, &seen, &free()), [taken], "{choose:?}");
    }
    // Others are waited for, from the first bid on.
    let slow = Asking { wait: Duration::from_secs(30), ..asking() };
    let (mut one, seen) = (asker(slow, 1), sees(vec![post(1, "1")], bids()));
    let (began, free) = (Instant::now(), free());
    assert!(one.intents(&seen, &free, NOW, began).is_empty());
    assert!(one.intents(&seen, &free, NOW, began + Duration::from_secs(29)).is_empty());
    assert_eq!(one.intents(&seen, &free, NOW, began + Duration::from_secs(30)).len(), 1);
    // Above the price nobody is.
    let dear = sees(vec![post(1, "1")], vec![bid(11, 51, 1_001, 9)]);
    assert_eq!(does(&mut asker(asking(), 1), &dear, &free), ["decline 11"]);
}

#[test]
fn what_the_checks_say_decides() {
    for (verdict, number, does_it) in [
        (None, 0, "accept 11"),
        (Some(Verdict::Pass), 0, "accept 11"),
        (Some(Verdict::Fail), 0, "reject 11"),
        (Some(Verdict::Fail), 2, "cancel 11"),
        (Some(Verdict::Unsure), 0, "leave 11"),
    ] {
        let job = delivered(11, 1, |job| {
            let delivery = job.delivery.as_mut().unwrap();
            (delivery.verdict, delivery.number) = (verdict, number);
        });
        let seen = sees(vec![post(1, "1")], vec![job]);
        assert_eq!(does(&mut asker(asking(), 1), &seen, &free()), [does_it], "{verdict:?}");
    }
}

#[test]
fn whoever_is_convicted_meanwhile_loses_the_job() {
    let mut asker = asker(asking(), 1);
    let seen = sees(vec![post(1, "1")], vec![delivered(11, 1, |_| {})]);
    assert_eq!(does(&mut asker, &seen, &free()), ["accept 11"]);
    asker.convict(EventId([11; 32]));
    assert_eq!(does(&mut asker, &seen, &free()), ["cancel 11"]);
}

#[test]
fn whoever_does_not_open_the_sample_is_not_paid() {
    let asked = |may_accept: bool, number| {
        delivered(11, 1, |job| {
            let delivery = job.delivery.as_mut().unwrap();
            delivery.audit = Some(job.title.clone());
            delivery.number = number;
            job.legal.retain(|offered| may_accept || offered.verb != Verb::Accept);
        })
    };
    for accept in [Accept::Checks, Accept::Inspected] {
        let policy = || Asking { accept: accept.clone(), ..asking() };
        let does =
            |job| does(&mut asker(policy(), 1), &sees(vec![post(1, "1")], vec![job]), &free());
        // It may still answer.
        assert!(does(asked(false, 0)).is_empty());
        // It had its time: a person could pay now, and a bot does not.
        assert_eq!(does(asked(true, 0)), ["reject 11"]);
        assert_eq!(does(asked(true, 2)), ["cancel 11"]);
        // It answered.
        let mut job = asked(true, 0);
        job.delivery.as_mut().unwrap().verdict = Some(Verdict::Pass);
        assert_eq!(does(job), ["accept 11"]);
        // A person accepted it: what becomes of it is a person's.
        let job = JobView { phase: Phase::Accepted, ..asked(true, 0) };
        assert_eq!(does(job), ["leave 11"]);
    }
}

#[test]
fn a_command_decides_about_what_can_be_read() {
    let accept = Accept::Command(vec!["true".into()], crate::limits());
    let policy = || Asking { accept: accept.clone(), ..asking() };
    let job = |inspected, verdict| {
        delivered(11, 1, |job| {
            job.mode = Mode::Direct;
            let delivery = job.delivery.as_mut().unwrap();
            (delivery.inspected, delivery.verdict) = (inspected, verdict);
            delivery.output = Some(PathBuf::from("/there/labels.csv"));
        })
    };
    let seen = |job| sees(vec![post(1, "1")], vec![job]);
    let does = |job, said: Option<Verdict>| {
        let mut one = asker(policy(), 1);
        if let Some(said) = said {
            one.verified(&job, said);
        }
        does(&mut one, &seen(job), &free())
    };
    assert!(does(job(false, None), None).is_empty(), "it is not here yet");
    assert_eq!(does(job(true, None), None), ["verify 11"]);
    assert_eq!(does(job(true, None), Some(Verdict::Pass)), ["accept 11"]);
    assert_eq!(does(job(true, None), Some(Verdict::Fail)), ["reject 11"]);
    assert_eq!(does(job(true, None), Some(Verdict::Unsure)), ["leave 11"]);
    // What a check refuses is not asked of the command.
    assert_eq!(does(job(true, Some(Verdict::Fail)), Some(Verdict::Pass)), ["reject 11"]);
}

#[test]
fn the_most_that_all_of_it_can_cost() {
    let most = |policy, seen: &Snapshot| asker(policy, 3).most(seen, &free().budget, NOW);
    let empty = sees(vec![], vec![]);
    assert_eq!(most(asking(), &empty), (3, sats(3 * 1_020), sats(9 * 1_020)));
    let total = Some(sats(5_000));
    assert_eq!(most(Asking { total, ..asking() }, &empty), (3, sats(3_060), sats(5_000)));
    // A worker may ask for it in parts, each with its routing.
    let mut parts = asking();
    parts.template.draft.price = sats(2_000);
    assert_eq!(most(parts, &empty).1, sats(3 * 2 * 1_020));
    // What is paid and open costs nothing more; what was paid is of the total.
    let mut paid = hired(11, 1, 50, Phase::Settled);
    paid.delivery.as_mut().unwrap().fee = sats(5);
    let seen = sees(vec![post(1, "1")], vec![paid]);
    assert_eq!(most(Asking { total, ..asking() }, &seen), (2, sats(2_040), sats(3_995)));
}

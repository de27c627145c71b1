//! Jobs in several milestones: each is paid once and in its turn, either side may stop between two, and what was
//! said of one is nothing to the next.

use std::collections::BTreeSet;

use earnest::engine::{MilestoneStage, NodeEvent, Store as _, Taken};
use earnest::market::*;
use earnest::text::Raw;
use earnest::wire::{RECEIPT, read_receipt_event};

use crate::pair::*;

const BOTH: [Who; 2] = [Requester, Worker];
const THREE: [Mode; 3] = [Mode::Sealed, Mode::Escrow, Mode::Sealed];

/// From its beginning to its end, whatever its mode.
fn play(pair: &mut Pair) {
    work(pair);
    pair.accept().unwrap();
    pair.quiet();
}

/// Up to a delivery that the requester can take.
fn work(pair: &mut Pair) {
    let n = pair.job(Requester).milestone;
    if pair.phase(Requester) == Phase::Awarded {
        fund(pair);
    }
    assert_eq!((pair.phase(Requester), pair.phase(Worker)), (Phase::Working, Phase::Working));
    pair.deliver(&format!("part-{n}.bin"), 50_000).unwrap();
    pair.quiet();
    assert!(pair.job(Requester).attempt.unwrap().inspected);
}

fn fund(pair: &mut Pair) {
    let id = pair.id();
    pair.core_mut(Requester).fund(&id, sats(100)).unwrap();
    pair.quiet();
    // A node that has just started learns the height from its first block.
    pair.blocks(pair.nodes.height, &BOTH);
    pair.quiet();
}

/// What the worker has, in sat; nothing was made or lost.
fn earned(pair: &Pair) -> i128 {
    assert_eq!(pair.nodes.earned[0], -pair.nodes.earned[1]);
    pair.nodes.earned[1] / 1000
}

/// Every payment that left was under a hash of its own, and every paid line of both ledgers is of one.
fn assert_once(pair: &Pair) {
    let hashes: BTreeSet<_> = pair.nodes.sent.iter().map(|(_, hash, _)| *hash).collect();
    assert_eq!(hashes.len(), pair.nodes.sent.len(), "no hash was paid twice");
    let paid: BTreeSet<_> = pair
        .nodes
        .htlcs
        .iter()
        .filter_map(|(hash, (_, _, htlc))| matches!(htlc, Htlc::Paid(_)).then_some(*hash))
        .collect();
    for (who, state) in [(Requester, "paid"), (Worker, "received")] {
        let rows = pair.ledger(who).into_iter().filter(|row| row.state == state);
        assert_eq!(rows.map(|row| row.hash).collect::<BTreeSet<_>>(), paid, "{who:?}");
    }
}

fn assert_settled(pair: &Pair) {
    for who in BOTH {
        let job = pair.job(who);
        assert_eq!(job.phase, Phase::Settled, "{who:?}: {:?}", job.reason);
        assert!(job.claims().is_empty() && job.payments().is_empty());
        assert_eq!(pair.core(who).store().outbox().unwrap(), (0, 0), "{who:?}");
    }
    assert_eq!(pair.core(Requester).reserved(), Msat::ZERO);
    assert_once(pair);
}

#[test]
fn three_milestones_are_paid_one_after_the_other() {
    let mut pair = in_parts(&THREE);
    let reserved = |pair: &Pair| pair.core(Requester).reserved();
    assert_eq!(reserved(&pair), sats(15_000), "all that is promised");
    play(&mut pair);
    assert_eq!((earned(&pair), reserved(&pair)), (4_000, sats(11_000)));
    assert_eq!((pair.phase(Requester), pair.phase(Worker)), (Phase::Awarded, Phase::Awarded));
    // Nobody works before the money of the second is locked, and nothing of it is locked yet.
    assert_eq!(refused(pair.deliver("early.bin", 1000)), "not-funded");
    work(&mut pair);
    let lock = pair.job(Worker).escrow.unwrap().lock;
    assert_eq!((lock.milestone, lock.attempt), (1, 0));
    assert_eq!(earned(&pair), 4_000, "locked is not paid");
    assert_eq!(reserved(&pair), sats(6_000), "what is locked is no more ours to promise");
    pair.accept().unwrap();
    pair.quiet();
    assert_eq!((earned(&pair), reserved(&pair)), (9_000, sats(6_000)));
    play(&mut pair);
    assert_settled(&pair);
    assert_eq!(earned(&pair), 15_000);
    let amounts: Vec<_> =
        pair.nodes.sent.iter().map(|(_, _, amount)| amount.whole_sats()).collect();
    assert_eq!(amounts, [4_000, 5_000, 6_000]);
    for who in BOTH {
        let job = pair.job(who);
        assert_eq!((job.milestone, job.past.len(), job.deliveries), (2, 2, 3));
        assert_eq!(job.attempt.unwrap().number, 2, "delivery numbers go on");
    }
    assert_eq!(pair.job(Requester).paid(), sats(15_000));
    assert_eq!(pair.job(Worker).received(), sats(15_000));
    // What was bought is there, all of it.
    let views = earnest::engine::JobView::of(&pair.job(Requester), pair.now(), None).milestones;
    assert!(views.iter().all(|m| m.stage == MilestoneStage::Paid));
    for (n, view) in views.iter().enumerate() {
        let sent = std::fs::read(pair.dir.path().join(format!("part-{n}.bin"))).unwrap();
        assert_eq!(std::fs::read(view.output.as_ref().unwrap()).unwrap(), sent, "{n}");
    }
}

#[test]
fn what_the_lsp_kept_of_each_stands_in_the_ledger() {
    let mut pair = in_parts(&THREE);
    pair.nodes.skim = sats(40);
    for _ in 0..THREE.len() {
        play(&mut pair);
    }
    let lines: Vec<_> = pair.ledger(Worker).into_iter().map(|row| (row.amount, row.fee)).collect();
    assert_eq!(lines, [4_000, 5_000, 6_000].map(|price| (sats(price), sats(40))));
    assert_eq!(pair.job(Worker).received(), sats(15_000 - 3 * 40));
}

#[test]
fn everything_told_twice_is_done_once() {
    let mut pair = in_parts(&THREE);
    pair.twice = true;
    for _ in 0..3 {
        play(&mut pair);
    }
    assert_settled(&pair);
    assert_eq!(earned(&pair), 15_000);
}

#[test]
fn a_restart_after_each_step_changes_nothing() {
    let mut pair = in_parts(&THREE);
    let restart = |pair: &mut Pair| {
        for who in BOTH {
            let before = pair.job(who);
            pair.restart(who);
            assert_eq!(pair.job(who), before, "{who:?}");
        }
        pair.quiet();
    };
    for _ in 0..3 {
        restart(&mut pair);
        work(&mut pair);
        restart(&mut pair);
        pair.accept().unwrap();
        pair.quiet();
    }
    restart(&mut pair);
    assert_settled(&pair);
    assert_eq!(earned(&pair), 15_000);
}

/// What both people want, looked at anew after every crash.
fn live(pair: &mut Pair) {
    for _ in 0..60 {
        pair.blocks(pair.nodes.height, &BOTH);
        pair.quiet();
        let (r, w) = (pair.job(Requester), pair.job(Worker));
        if (r.phase, w.phase) == (Phase::Settled, Phase::Settled) {
            return;
        }
        let inspected = |job: &Job| job.attempt.as_ref().is_some_and(|work| work.inspected);
        match (r.phase, w.phase) {
            (Phase::Awarded, _) => {
                let id = pair.id();
                let _ = pair.core_mut(Requester).fund(&id, sats(100));
            }
            (_, Phase::Working) if w.attempt.is_none() => {
                let _ = pair.deliver(&format!("part-{}.bin", w.milestone), 20_000);
            }
            (Phase::Delivered, _) if inspected(&r) => drop(pair.accept()),
            _ => {}
        }
        for who in BOTH {
            pair.restart_if_dead(who);
        }
    }
    panic!("it never ends: {:?} {:?}", pair.phase(Requester), pair.phase(Worker));
}

fn killed_everywhere(who: Who) {
    let mut whole = in_parts(&THREE);
    let from = whole.side(who).death.lock().unwrap().commits;
    live(&mut whole);
    assert_settled(&whole);
    let to = whole.side(who).death.lock().unwrap().commits;
    assert!(to - from > 20, "{from} to {to}");
    for at in from + 1..=to {
        for before in [true, false] {
            let mut pair = in_parts(&THREE);
            {
                let mut death = pair.side(who).death.lock().unwrap();
                (death.at, death.before) = (Some(at), before);
            }
            live(&mut pair);
            assert_eq!(pair.restarts, 1, "commit {at}");
            assert_settled(&pair);
            assert_eq!(earned(&pair), 15_000, "commit {at}");
        }
    }
}

#[test]
fn the_requester_is_killed_at_every_commit() {
    killed_everywhere(Requester);
}

#[test]
fn the_worker_is_killed_at_every_commit() {
    killed_everywhere(Worker);
}

#[test]
fn either_side_may_stop_between_two_and_what_is_paid_stays_paid() {
    for modes in [THREE, [Mode::Sealed; 3]] {
        for who in BOTH {
            let mut pair = in_parts(&modes);
            play(&mut pair);
            pair.cancel(who).unwrap();
            pair.quiet();
            assert_settled(&pair);
            assert_eq!(earned(&pair), 4_000);
            for side in BOTH {
                let why = pair.job(side).reason.unwrap();
                assert_eq!(why, "1 of 3 milestones are paid: Stop.", "{side:?}");
            }
            assert_eq!(refused(pair.deliver("late.bin", 1000)), "wrong-phase");
            assert_eq!(refused(pair.cancel(who)), "wrong-phase");
        }
    }
}

#[test]
fn inside_one_the_rules_of_a_job_hold() {
    // A delivery is made: who stops now leaves it undone.
    let mut pair = in_parts(&[Mode::Sealed; 2]);
    play(&mut pair);
    work(&mut pair);
    pair.cancel(Requester).unwrap();
    pair.quiet();
    assert_eq!((pair.phase(Requester), pair.phase(Worker)), (Phase::Cancelled, Phase::Cancelled));
    assert_eq!(earned(&pair), 4_000);
    // So does a delivery that was refused.
    let mut pair = in_parts(&[Mode::Sealed; 2]);
    play(&mut pair);
    work(&mut pair);
    pair.reject().unwrap();
    pair.quiet();
    pair.cancel(Worker).unwrap();
    pair.quiet();
    assert_eq!((pair.phase(Requester), pair.phase(Worker)), (Phase::Cancelled, Phase::Cancelled));
    // In the first nothing is paid, and to stop it is to cancel it.
    let mut pair = in_parts(&[Mode::Sealed; 2]);
    pair.cancel(Requester).unwrap();
    pair.quiet();
    assert_eq!((pair.phase(Requester), pair.phase(Worker)), (Phase::Cancelled, Phase::Cancelled));
    assert_once(&pair);
}

#[test]
fn a_rejected_delivery_is_made_again_under_another_number() {
    let mut pair = in_parts(&THREE);
    play(&mut pair);
    work(&mut pair);
    pair.reject().unwrap();
    pair.quiet();
    assert_eq!((pair.phase(Requester), pair.phase(Worker)), (Phase::Working, Phase::Working));
    play(&mut pair);
    assert_eq!(pair.job(Requester).past.len(), 2);
    play(&mut pair);
    assert_settled(&pair);
    assert_eq!(pair.job(Worker).deliveries, 4);
    assert_eq!(earned(&pair), 15_000);
}

#[test]
fn an_escrow_that_goes_back_ends_the_job_with_what_was_paid() {
    let mut pair = in_parts(&THREE);
    play(&mut pair);
    work(&mut pair);
    pair.reject().unwrap();
    pair.quiet();
    pair.cancel(Worker).unwrap();
    pair.quiet();
    assert_eq!((pair.phase(Requester), pair.phase(Worker)), (Phase::Refunded, Phase::Refunded));
    assert_eq!((earned(&pair), pair.core(Requester).reserved()), (4_000, Msat::ZERO));
    assert_once(&pair);
    // And so does one of which nothing is delivered: by height.
    let mut pair = in_parts(&THREE);
    play(&mut pair);
    fund(&mut pair);
    let end = pair.job(Worker).escrow.unwrap().end.unwrap();
    pair.blocks(end - 180, &BOTH);
    pair.quiet();
    assert_eq!((pair.phase(Requester), pair.phase(Worker)), (Phase::Refunded, Phase::Refunded));
    assert_eq!(earned(&pair), 4_000);
}

#[test]
fn the_deadline_of_each_begins_when_the_one_before_is_done() {
    let mut pair = in_parts(&[Mode::Sealed; 2]);
    pair.pass(Span::HOUR.times(20));
    play(&mut pair);
    let begun = pair.job(Worker).begun_at.unwrap();
    assert_eq!(pair.job(Requester).begun_at, Some(begun), "both count from one moment");
    assert_eq!(pair.job(Worker).deadline().unwrap().0, begun.after(Span::DAY));
    // A day after the award is nothing to the second; a day after its own beginning ends it.
    pair.pass(Span::HOUR.times(20));
    pair.quiet();
    assert_eq!(pair.phase(Worker), Phase::Working);
    pair.pass(Span::HOUR.times(6));
    pair.quiet();
    assert_eq!((pair.phase(Requester), pair.phase(Worker)), (Phase::Expired, Phase::Expired));
    assert_eq!(earned(&pair), 4_000);
}

#[test]
fn who_never_hears_the_others_word_ends_with_what_is_paid() {
    for deaf in BOTH {
        let mut pair = in_parts(&[Mode::Sealed; 2]);
        work(&mut pair);
        // The bill, the `ready` and the payment pass; then one of them hears nothing more.
        pair.side_mut(Requester).lazy = vec!["open"];
        pair.accept().unwrap();
        pair.quiet();
        pair.side_mut(deaf).deaf = true;
        pair.wake(Requester);
        pair.quiet();
        let waits = pair.job(deaf);
        if deaf == Worker {
            assert_eq!(waits.phase, Phase::Reached);
        }
        assert_eq!(
            refused(pair.deliver("early.bin", 1000)),
            if deaf == Worker { "wrong-phase" } else { "done" }
        );
        pair.pass(Span::DAY.times(3));
        pair.quiet();
        assert!(pair.phase(deaf).is_over(), "{deaf:?}: {:?}", pair.phase(deaf));
        assert_eq!(earned(&pair), 4_000);
    }
}

/// Two milestones, of which the second may take a month.
fn patient() -> Pair {
    in_parts_with(&[Mode::Sealed; 2], |parts| parts[1].deadlines.deliver = Span::DAY.times(30))
}

fn assert_first_is_paid(pair: &Pair) {
    assert_settled(pair);
    assert_eq!(earned(pair), 4_000);
    for who in BOTH {
        let why = pair.job(who).reason.unwrap();
        assert!(why.starts_with("1 of 2 milestones are paid"), "{who:?}: {why}");
    }
    assert_eq!(pair.core(Worker).store().outbox().unwrap(), (0, 0));
}

#[test]
fn who_gives_up_waiting_tells_the_other_who_went_on_to_the_next() {
    for (deaf, lazy) in [(Requester, "pay"), (Worker, "open")] {
        let mut pair = patient();
        work(&mut pair);
        pair.side_mut(Requester).lazy = vec![lazy];
        pair.accept().unwrap();
        pair.quiet();
        pair.side_mut(deaf).deaf = true;
        pair.wake(Requester);
        pair.quiet();
        let other = deaf.other();
        assert_eq!((pair.phase(deaf), pair.phase(other)), (Phase::Reached, Phase::Working));
        assert_eq!(pair.job(other).milestone, 1, "it works, or waits for work, of the second");
        pair.pass(Span::DAY.times(2));
        pair.quiet();
        pair.side_mut(deaf).deaf = false;
        pair.quiet();
        assert_first_is_paid(&pair);
        assert_eq!(refused(pair.deliver("late.bin", 1000)), "wrong-phase");
    }
}

#[test]
fn money_that_comes_after_the_requester_gave_up_waiting_begins_no_other_milestone() {
    let mut pair = patient();
    work(&mut pair);
    pair.side_mut(Worker).lazy = vec!["claim"];
    pair.accept().unwrap();
    pair.quiet();
    // The worker's node takes the money and does not say so yet.
    pair.wake(Worker);
    let late = std::mem::take(&mut pair.side_mut(Worker).queue);
    pair.quiet();
    assert_eq!((pair.phase(Requester), pair.phase(Worker)), (Phase::Reached, Phase::Paying));
    pair.pass(Span::DAY.times(2));
    pair.quiet();
    assert_eq!((pair.phase(Requester), pair.phase(Worker)), (Phase::Settled, Phase::Paying));
    pair.side_mut(Worker).queue = late;
    pair.quiet();
    assert_first_is_paid(&pair);
}

#[test]
fn a_word_on_an_earlier_milestone_is_nothing_to_a_later_one() {
    let mut pair = in_parts(&THREE);
    let first = {
        work(&mut pair);
        let manifest = pair.job(Worker).attempt.unwrap().record.unwrap().id;
        pair.accept().unwrap();
        pair.quiet();
        manifest
    };
    work(&mut pair);
    let lock = pair.job(Worker).escrow.unwrap().lock;
    let nobody = Preimage::new([9; 32]);
    // Every event of before, told again: known, all of them.
    let before: [Job; 2] = [pair.job(Requester), pair.job(Worker)];
    for event in pair.events.clone() {
        for who in BOTH {
            assert!(!matches!(pair.core_mut(who).hear(&event), Ok(Taken::New)));
        }
    }
    assert_eq!([pair.job(Requester), pair.job(Worker)], before);
    // Said anew, in order and validly signed, of what is done with.
    let state = |pair: &Pair| {
        BOTH.map(|who| {
            let job = pair.job(who);
            let attempt = job.attempt.map(|work| work.record.unwrap().id);
            let lock = job.escrow.as_ref().map(|escrow| (escrow.lock, escrow.is_locked()));
            (job.phase, job.milestone, attempt, lock, job.words, job.past.len())
        })
    };
    let stands = state(&pair);
    let reason = Raw::from("x");
    let other = PaymentHash([7; 32]);
    for body in [
        Body::Accept { manifest: first, next: None, x: Some(nobody), receipt: None },
        Body::Accept { manifest: first, next: None, x: None, receipt: None },
        Body::Ready { manifest: first, tranche: 0 },
        Body::Reject { manifest: first, reason: reason.clone(), next: None },
        Body::Lock(Lock { milestone: 0, attempt: 1, hash: other, nonce: Nonce([1; 32]) }),
        Body::Lock(Lock { milestone: 2, attempt: 1, hash: other, nonce: Nonce([1; 32]) }),
    ] {
        pair.say(Requester, body);
        pair.quiet();
    }
    for body in [
        Body::Settled { manifest: first, receipt: None },
        Body::Bill { manifest: first, tranche: 0, invoice: "lnbcrt1".into() },
        Body::Open { manifest: first, keys: String::new() },
        Body::Fund { attempt: 0, height: 5000, invoice: "lnbcrt1".into() },
        Body::Funded { attempt: 0, deadline: 5000 },
    ] {
        pair.say(Worker, body);
        pair.quiet();
    }
    assert_eq!(state(&pair), stands);
    // The node says again what it said of the first: nothing is claimed, and nothing settles by it.
    let (_, old, amount) = pair.nodes.sent[0];
    let again = NodeEvent::Received { hash: old, amount };
    pair.core_mut(Worker).node(&again).unwrap();
    let Htlc::Paid(preimage) = pair.nodes.htlcs[&old].2.clone() else { panic!("it is paid") };
    pair.core_mut(Requester).node(&NodeEvent::Paid { hash: old, preimage, fee: sats(1) }).unwrap();
    pair.core_mut(Requester).node(&NodeEvent::Failed { hash: old, reason: "x".into() }).unwrap();
    pair.quiet();
    assert_eq!(state(&pair), stands);
    assert_eq!(earned(&pair), 4_000);
    // A second payment for the hash of the first is not kept.
    let failed = |pair: &Pair| {
        pair.side(Worker)
            .ran
            .iter()
            .filter(|(_, effect, _)| matches!(effect, Effect::Fail { hash } if *hash == old))
            .count()
    };
    let claimable = NodeEvent::Claimable { hash: old, amount, deadline: Some(2000) };
    pair.core_mut(Worker).node(&claimable).unwrap();
    pair.quiet();
    assert_eq!(failed(&pair), 1);
    // The word on the first releases nothing.
    assert_eq!(pair.job(Worker).escrow.unwrap().lock, lock);
    assert!(pair.job(Worker).escrow.unwrap().x.is_none());
}

#[test]
fn a_lie_that_it_is_paid_or_taken_moves_nothing() {
    let mut pair = in_parts(&[Mode::Sealed; 2]);
    work(&mut pair);
    let manifest = pair.job(Worker).attempt.unwrap().record.unwrap().id;
    pair.say(Requester, Body::Accept { manifest, next: None, x: None, receipt: None });
    pair.say(Worker, Body::Settled { manifest, receipt: None });
    pair.quiet();
    for who in BOTH {
        assert_eq!((pair.job(who).milestone, pair.phase(who)), (0, Phase::Delivered), "{who:?}");
    }
    assert_eq!(earned(&pair), 0);
}

#[test]
fn what_the_second_is_audited_with_is_committed_to_before_it() {
    let mut pair = in_parts_with(&[Mode::Sealed; 3], |milestones| {
        milestones.iter_mut().for_each(|m| m.quality.audit = 2);
    });
    let mut seeds = BTreeSet::new();
    for _ in 0..3 {
        let seed = pair.job(Worker).seed.unwrap();
        assert!(!seed.revealed && seeds.insert(seed.hash.0), "a seed of its own");
        assert_eq!(pair.job(Requester).seed, Some(seed));
        let n = pair.job(Worker).milestone;
        pair.deliver(&format!("part-{n}.bin"), 40 * 16_384).unwrap();
        pair.quiet();
        assert_eq!(pair.job(Requester).attempt.unwrap().review.audited.unwrap().sampled, 2);
        pair.accept().unwrap();
        pair.quiet();
    }
    assert_settled(&pair);
}

#[test]
fn one_receipt_says_what_was_paid_when_it_ends() {
    let receipts = |pair: &Pair| {
        let of = |event: &&earnest::engine::RelayEvent| event.kind == RECEIPT;
        let read =
            |event: &earnest::engine::RelayEvent| read_receipt_event(&event.json).unwrap().receipt;
        pair.events.iter().filter(of).map(read).collect::<Vec<_>>()
    };
    let signing = |modes: &[Mode]| {
        let mut pair = in_parts(modes);
        for who in BOTH {
            pair.core_mut(who).me_mut().policy.receipts = true;
        }
        pair
    };
    let mut pair = signing(&THREE);
    for n in 0..3 {
        assert_eq!(receipts(&pair), [], "none before the end: {n}");
        play(&mut pair);
    }
    assert!(!receipts(&pair).is_empty());
    // 15,000 sat: 2^13 and more.
    assert!(receipts(&pair).iter().all(|receipt| receipt.amount == 13));
    for who in BOTH {
        let mut pair = signing(&THREE);
        play(&mut pair);
        pair.cancel(who).unwrap();
        pair.quiet();
        // 4,000 sat: 2^11 and more.
        let said = receipts(&pair);
        assert!(!said.is_empty() && said.iter().all(|receipt| receipt.amount == 11), "{said:?}");
    }
}

#[test]
fn a_bid_has_the_milestones_of_the_gig_and_no_others() {
    let mut pair = Pair::new();
    let draft = pair.in_milestones(&THREE);
    let gig = pair.posted(|own| *own = draft);
    let bid = |pair: &mut Pair, wish| match pair.core_mut(Worker).bid(&gig, wish, "I can.") {
        Err(earnest::engine::Trouble::Refused(why)) => why.code,
        other => format!("{other:?}"),
    };
    let price = Wish { price: Some(sats(14_000)), ..Wish::default() };
    let mode = Wish { mode: Some(Mode::Escrow), ..Wish::default() };
    let parts = Wish { tranches: Some(5), ..Wish::default() };
    assert_eq!(bid(&mut pair, price), "terms-differ");
    assert_eq!(bid(&mut pair, mode), "terms-differ");
    assert_eq!(bid(&mut pair, parts), "bad-tranches", "four parts of the first at most");
    pair.core_mut(Worker).me_mut().least_first = Some(sats(4_500));
    assert_eq!(bid(&mut pair, Wish::default()), "below-least-first");
    pair.core_mut(Worker).me_mut().least_first = Some(sats(1));
    let parts = Wish { tranches: Some(2), ..Wish::default() };
    let id = pair.core_mut(Worker).bid(&gig, parts, "I can.").unwrap();
    pair.quiet();
    pair.core_mut(Requester).award(&id).unwrap();
    pair.quiet();
    for _ in 0..3 {
        play(&mut pair);
    }
    assert_settled(&pair);
    let amounts: Vec<_> =
        pair.nodes.sent.iter().map(|(_, _, amount)| amount.whole_sats()).collect();
    assert_eq!(amounts, [2_000, 2_000, 5_000, 3_000, 3_000]);
}

#[test]
fn limits_hold_for_each_milestone() {
    let mut pair = Pair::new();
    let draft = pair.in_milestones(&[Mode::Sealed, Mode::Escrow]);
    let gig = pair.posted(|own| *own = draft);
    pair.core_mut(Worker).me_mut().policy.escrow = sats(4_999);
    let no = pair.core_mut(Worker).bid(&gig, Wish::default(), "I can.");
    assert!(matches!(no, Err(earnest::engine::Trouble::Refused(why)) if why.code == "over-limit"));
    pair.core_mut(Worker).me_mut().policy.escrow = sats(5_000);
    let id = pair.core_mut(Worker).bid(&gig, Wish::default(), "I can.").unwrap();
    pair.quiet();
    pair.core_mut(Requester).me_mut().policy.escrow = sats(4_999);
    assert_eq!(refused(pair.core_mut(Requester).award(&id)), "over-limit");
    pair.core_mut(Requester).me_mut().policy.escrow = sats(5_000);
    pair.core_mut(Requester).award(&id).unwrap();
}

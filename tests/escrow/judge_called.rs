//! Who calls the judge, and when: a requester who calls first, and a worker who is late with everything.

use earnest::engine::{Scribe as _, Store as _, Taken};
use earnest::market::*;
use earnest::seal::{ChannelSecret, Hash32};

use crate::course::{assert_paid, assert_refunded, escrow, phases};
use crate::judge::*;
use crate::pair::*;

/// A requester whose program says to the judge what ours never would. Its own is off from now on.
fn calls_first(pair: &mut Pair, manifest: Option<EventId>, secrets: Vec<Preimage>) {
    pair.side_mut(Requester).away = true;
    let body = Body::Dispute { manifest, reason: "It is bad.".into(), secrets };
    assert_eq!(to_judge(pair, Requester, body), Taken::New);
    pair.quiet();
}

/// Blocks that the requester's program does not see.
fn on(pair: &mut Pair, height: u32) {
    pair.blocks(height, &[Worker, Judge]);
    pair.quiet();
}

/// S_0 of the worker's first delivery: what opens it.
fn opens(pair: &Pair) -> Preimage {
    let channel = pair.channel(Worker);
    let shared = pair.side(Worker).keys.shared_secret(&channel);
    let secret = ChannelSecret::new(shared.0).tranche(&Hash32::new(channel.job.0), 0, 0);
    Preimage::new(*secret.expose())
}

/// The worker's call, whatever its own program thinks of the hour.
fn worker_calls(pair: &mut Pair, manifest: EventId) {
    let (manifest, secrets) = (Some(manifest), vec![opens(pair)]);
    let body = Body::Dispute { manifest, reason: "It is good.".into(), secrets };
    assert_eq!(to_judge(pair, Worker, body), Taken::New);
    pair.quiet();
    // Its program serves the files once it has heard of the call.
    pair.pass(Span::HOUR);
    pair.quiet();
}

fn assert_worker_is_paid(pair: &Pair) {
    assert_eq!(pair.phase(Worker), Phase::Settled, "{:?}", case(pair));
    assert_eq!(pair.nodes.earned[1], i128::from(sats(21_000).get()));
}

/// What a requester can bring that opens nothing, about work that is good.
fn empty_calls(pair: &Pair) -> Vec<(Option<EventId>, Vec<Preimage>)> {
    let wrong = || vec![Preimage::new([9; 32])];
    let real = Some(manifest(pair));
    vec![
        (None, Vec::new()),
        (None, wrong()),
        (Some(EventId([7; 32])), wrong()),
        (real, Vec::new()),
        (real, wrong()),
        (real, vec![opens(pair)]),
    ]
}

#[test]
fn a_requester_who_calls_first_wins_nothing_by_it() {
    for n in 0..6 {
        let mut pair = delivered(held_with(true, with_check));
        let (manifest, secrets) = empty_calls(&pair).swap_remove(n);
        calls_first(&mut pair, manifest, secrets);
        assert_eq!((case(&pair).ruling, case(&pair).finding), (None, None), "{n}");
        let t = table(&pair);
        on(&mut pair, t.verdict() - 1);
        assert!(escrow(&pair, Worker).is_locked(), "{n}");
        // Nobody asks: the worker's program calls all the same, with what opens the work.
        on(&mut pair, t.verdict());
        assert!(matches!(case(&pair).finding, Some(Finding::Opened { .. })), "{n}");
        assert_eq!(case(&pair).ruling, None, "the requester is heard first");
        on(&mut pair, t.objection());
        assert_worker_is_paid(&pair);
    }
}

#[test]
fn a_worker_answers_a_requester_who_called_first_by_showing_its_work() {
    for answers in [dispute, object] {
        let mut pair = delivered(held_with(true, with_check));
        let manifest = manifest(&pair);
        calls_first(&mut pair, Some(manifest), vec![Preimage::new([9; 32])]);
        assert_eq!(pair.phase(Worker), Phase::Disputed);
        answers(&mut pair, Worker).unwrap();
        assert_eq!(refused(dispute(&mut pair, Worker)), "disputed");
        pair.quiet();
        let (_, by, _) = case(&pair).dispute.unwrap();
        assert_eq!(by, Role::Worker);
        assert!(matches!(case(&pair).finding, Some(Finding::Opened { .. })));
        let plea = escrow(&pair, Worker).hearing.dispute.unwrap();
        assert_eq!(plea.by, Role::Worker, "both sides see it as the judge does");
        // Nobody calls twice, and what the requester says now replaces nothing.
        assert_eq!(refused(dispute(&mut pair, Worker)), "disputed");
        calls_first(&mut pair, Some(manifest), Vec::new());
        assert_eq!(case(&pair).dispute.unwrap().1, Role::Worker);
        let t = table(&pair);
        on(&mut pair, t.objection());
        assert_worker_is_paid(&pair);
    }
}

#[test]
fn a_call_before_there_is_work_ends_no_work() {
    for deterministic in [true, false] {
        let mut pair = held_with(deterministic, |_| {});
        let id = case(&pair).id;
        calls_first(&mut pair, None, Vec::new());
        assert_eq!((pair.phase(Worker), case(&pair).ruling), (Phase::Working, None));
        let ruled = pair.core_mut(Judge).rule(&id, Role::Requester, "So.".into());
        assert_eq!(refused(ruled), "nobody-called");
        assert_eq!(case(&pair).notes, [(Role::Requester, "It is bad.".to_owned())]);
        pair.deliver_text("work.txt", b"1\n2\n3\n");
        assert_eq!(pair.phase(Worker), Phase::Delivered);
        let t = table(&pair);
        on(&mut pair, t.verdict());
        assert_eq!(case(&pair).dispute.unwrap().1, Role::Worker);
        if !deterministic {
            pair.core_mut(Judge).rule(&id, Role::Worker, "I have read it.".into()).unwrap();
        }
        on(&mut pair, t.objection());
        assert_worker_is_paid(&pair);
    }
}

#[test]
fn a_person_who_judges_sees_the_work_whoever_called_first() {
    let mut pair = delivered(held_with(false, |_| {}));
    let id = case(&pair).id;
    let manifest = manifest(&pair);
    calls_first(&mut pair, Some(manifest), vec![Preimage::new([9; 32])]);
    assert_eq!((case(&pair).dispute.unwrap().1, case(&pair).finding), (Role::Requester, None));
    dispute(&mut pair, Worker).unwrap();
    pair.quiet();
    let view = earnest::engine::CaseView::of(&case(&pair), 1000);
    assert!(view.output.is_some());
    assert_eq!(view.dispute.unwrap().0, Role::Worker);
    let (by, words) = &view.notes[0];
    assert_eq!((*by, words.as_str()), (Role::Requester, "It is bad."), "nothing said is lost");
    pair.core_mut(Judge).rule(&id, Role::Worker, "I have read it.".into()).unwrap();
    pair.quiet();
    assert_worker_is_paid(&pair);
}

#[test]
fn a_call_of_each_at_once_is_the_workers() {
    let mut pair = delivered(held_with(false, |_| {}));
    let (id, manifest) = (case(&pair).id, manifest(&pair));
    // The worker has called, and the requester's call is heard before it.
    pair.side_mut(Judge).deaf = true;
    dispute(&mut pair, Worker).unwrap();
    pair.quiet();
    calls_first(&mut pair, Some(manifest), Vec::new());
    pair.side_mut(Judge).deaf = false;
    pair.quiet();
    assert_eq!(case(&pair).dispute.unwrap().1, Role::Worker);
    assert_eq!(escrow(&pair, Worker).hearing.dispute.unwrap().by, Role::Worker);
    pair.core_mut(Judge).rule(&id, Role::Worker, "I have read it.".into()).unwrap();
    pair.quiet();
    assert_worker_is_paid(&pair);
}

/// A requester who means no harm may call, and a person may rule on it.
#[test]
fn a_person_rules_where_the_requester_calls() {
    for whose in [Role::Worker, Role::Requester] {
        for rejected in [false, true] {
            let mut pair = delivered(held_with(false, |_| {}));
            let id = case(&pair).id;
            if rejected {
                pair.reject().unwrap();
                pair.quiet();
            }
            dispute(&mut pair, Requester).unwrap();
            pair.quiet();
            assert_eq!(phases(&pair), (Phase::Disputed, Phase::Disputed));
            assert_eq!(refused(dispute(&mut pair, Requester)), "disputed");
            assert_eq!(refused(object(&mut pair, Requester)), "own-dispute");
            pair.core_mut(Judge).rule(&id, whose, "I know them both.".into()).unwrap();
            pair.quiet();
            match whose {
                Role::Worker => assert_paid(&pair),
                Role::Requester => assert_refunded(&pair),
            }
        }
    }
}

#[test]
fn where_the_requester_alone_has_called_the_money_comes_back_by_height() {
    let mut pair = delivered(held_with(true, with_check));
    pair.reject().unwrap();
    pair.quiet();
    dispute(&mut pair, Requester).unwrap();
    pair.quiet();
    let t = table(&pair);
    to(&mut pair, t.ruling());
    assert_eq!(case(&pair).ruling, None);
    to(&mut pair, t.claim());
    assert_refunded(&pair);
}

#[test]
fn a_call_while_better_work_is_sealed_opens_the_work_that_it_names() {
    let mut pair = delivered(held_with(true, with_check));
    pair.reject().unwrap();
    pair.quiet();
    pair.side_mut(Worker).lazy = vec!["seal"];
    pair.deliver_text("better.txt", b"4\n5\n6\n");
    dispute(&mut pair, Worker).unwrap();
    pair.quiet();
    assert!(matches!(case(&pair).finding, Some(Finding::Opened { .. })), "{:?}", case(&pair));
    pair.wake(Worker);
    pair.quiet();
    object(&mut pair, Requester).unwrap();
    pair.quiet();
    assert_paid(&pair);
}

/// The requester's machine is busy with the delivery when the judge rules for the worker.
fn ruled_while_busy(slow: &'static str) -> Pair {
    let mut pair = held_with(true, with_check);
    pair.side_mut(Requester).lazy = vec![slow];
    pair.deliver_text("work.txt", b"1\n2\n3\n");
    dispute(&mut pair, Worker).unwrap();
    pair.quiet();
    object(&mut pair, Requester).unwrap();
    pair.quiet();
    assert_eq!(phases(&pair), (Phase::Settled, Phase::Settled));
    assert_eq!(pair.job(Requester).attempt.unwrap().output, None, "{slow}");
    pair
}

/// Whoever paid has what it paid for.
fn assert_opened(pair: &mut Pair, what: &str) {
    pair.wake(Requester);
    pair.quiet();
    let output = pair.job(Requester).attempt.unwrap().output;
    let output = output.unwrap_or_else(|| panic!("{what}: paid, and never opened"));
    assert_eq!(std::fs::read(output).unwrap(), b"1\n2\n3\n", "{what}");
    assert_paid(pair);
}

#[test]
fn what_a_ruling_pays_for_is_opened_though_it_was_not_yet() {
    for slow in ["fetch", "inspect", "open"] {
        let mut pair = ruled_while_busy(slow);
        assert_opened(&mut pair, slow);
    }
}

#[test]
fn work_that_nobody_serves_is_not_fetched_for_ever() {
    let mut pair = ruled_while_busy("fetch");
    let waits = |pair: &Pair| pair.core(Requester).store().outbox().unwrap().0;
    assert!(waits(&pair) > 0, "it is owed, and asked for");
    pair.pass(Span::DAY.times(3));
    pair.quiet();
    assert_eq!(waits(&pair), 0);
    assert_eq!(pair.job(Requester).attempt.unwrap().output, None);
}

#[test]
fn what_the_disk_lost_of_work_in_escrow_is_fetched_again_and_opened() {
    let mut pair = ruled_while_busy("open");
    std::fs::remove_file(pair.job(Requester).attempt.unwrap().blob.unwrap()).unwrap();
    assert_opened(&mut pair, "lost");
    assert_eq!(pair.job(Requester).attempt.unwrap().damaged, 1);
}

// ---------------------------------------------------------------- late

/// A worker whose node looks at no height delivers after the height at which it had to send the money back.
fn late() -> Pair {
    let mut pair = held_with(true, with_check);
    let t = table(&pair);
    pair.blocks(t.deliver() + 1, &[Requester, Judge]);
    delivered(pair)
}

/// The judge is given a word of the requester's, whoever gives it.
fn lodged_last_word(pair: &mut Pair) {
    let record = pair.job(Requester).ours.last.unwrap().event;
    assert_eq!(to_judge(pair, Requester, Body::Lodge { record }), Taken::New);
}

#[test]
fn a_late_delivery_wins_nothing_by_a_requester_who_is_polite() {
    for word in ["nothing", "a note", "asking for the money", "after a rejection"] {
        let mut pair = late();
        match word {
            "a note" => pair.ask(Requester, Ask::Note { text: "Thank you.".into() }).unwrap(),
            "asking for the money" => pair.cancel(Requester).unwrap(),
            "after a rejection" => {
                pair.reject().unwrap();
                pair.quiet();
                pair.ask(Requester, Ask::Note { text: "It is too late.".into() }).unwrap();
            }
            _ => {}
        }
        pair.quiet();
        if word != "nothing" {
            let seen = pair.job(Requester).ours.last.unwrap().draft.seen;
            assert_eq!(seen, Some(manifest(&pair)), "{word} shows that it came");
            lodged_last_word(&mut pair);
        }
        let work = manifest(&pair);
        worker_calls(&mut pair, work);
        let t = table(&pair);
        pair.blocks(t.objection(), &[Judge]);
        pair.quiet();
        let (whose, why) = case(&pair).ruling.unwrap();
        assert_eq!(whose, Role::Requester, "{word}");
        assert!(why.contains("in time"), "{word}: {why}");
        assert_refunded(&pair);
    }
}

#[test]
fn who_accepts_late_work_cannot_call_it_late() {
    let mut pair = late();
    // With a secret that opens nothing: the worker needs the judge.
    let accept = Body::Accept {
        manifest: manifest(&pair),
        next: None,
        x: Some(Preimage::new([9; 32])),
        receipt: None,
    };
    assert_eq!(pair.say(Requester, accept), Taken::New);
    assert!(escrow(&pair, Worker).is_locked());
    dispute(&mut pair, Worker).unwrap();
    pair.quiet();
    let t = table(&pair);
    pair.blocks(t.objection(), &[Judge]);
    pair.quiet();
    assert_worker_is_paid(&pair);
}

#[test]
fn a_worker_who_calls_too_late_wins_nothing() {
    for (late, whose) in [(0, Role::Worker), (1, Role::Requester)] {
        let mut pair = delivered(held_with(true, with_check));
        let t = table(&pair);
        pair.blocks(t.escalate() + late, &[Requester, Judge]);
        let work = manifest(&pair);
        worker_calls(&mut pair, work);
        pair.blocks(t.objection(), &[Judge]);
        pair.quiet();
        let (ruled, why) = case(&pair).ruling.unwrap();
        assert_eq!((ruled, why.contains("called too late")), (whose, late > 0), "{why}");
        match whose {
            Role::Worker => assert_paid(&pair),
            Role::Requester => assert_refunded(&pair),
        }
    }
}

/// A rejection that came too late is not made good by a worker who answers in the job's own channel.
#[test]
fn a_late_rejection_is_silence_whatever_the_worker_says_after_it() {
    let mut pair = delivered(held());
    let (t, manifest) = (table(&pair), manifest(&pair));
    to(&mut pair, t.verdict());
    let reject = Body::Reject { manifest, reason: "No.".into(), next: None };
    let (rejection, event) = pair.forge(Requester, reject, |_| {});
    assert_eq!(pair.hear(Worker, &event), Taken::New);
    pair.ask(Worker, Ask::Note { text: "That is late.".into() }).unwrap();
    let note = pair.job(Worker).ours.last.unwrap();
    assert_eq!(note.draft.seen, Some(rejection.id));
    to(&mut pair, t.verdict() + 1);
    for record in [rejection.event, note.event] {
        assert_eq!(to_judge(&mut pair, Requester, Body::Lodge { record }), Taken::New);
    }
    to(&mut pair, t.objection());
    assert_paid(&pair);
}

// ---------------------------------------------------------------- work that the requester never holds

/// The worker's delivery once more, in another place of its chain: signed, lodged, and never to be looked at by
/// the requester.
fn another(pair: &Pair, seq: u64, prev: Option<EventId>) -> Record {
    let delivery = escrow(pair, Worker).hearing.delivery.unwrap();
    let Body::Deliver(mut again) = delivery.draft.body.clone() else { panic!() };
    again.message = "Once more.".into();
    let draft = Draft { seq, prev, body: Body::Deliver(again), ..delivery.draft };
    let nonce = pair.job(Worker).nonce.unwrap();
    pair.side(Worker).keys.sign(&nonce, &draft).unwrap()
}

#[test]
fn work_that_the_requester_cannot_take_is_rejected_before_it_is_too_late() {
    for (place, answers) in
        [("after", false), ("after", true), ("instead", false), ("with a gap", false)]
    {
        let mut pair = delivered(held());
        let first = escrow(&pair, Worker).hearing.delivery.unwrap();
        let other = match place {
            // While the first stands, and so there is no room for it.
            "after" => another(&pair, first.draft.seq + 1, Some(first.id)),
            "instead" => another(&pair, first.draft.seq, first.draft.prev),
            _ => another(&pair, first.draft.seq + 2, Some(EventId([7; 32]))),
        };
        let record = other.event.clone();
        assert_eq!(to_judge(&mut pair, Worker, Body::Lodge { record }), Taken::New);
        worker_calls(&mut pair, other.id);
        assert!(matches!(case(&pair).finding, Some(Finding::Opened { .. })), "{place}");
        if answers {
            object(&mut pair, Requester).unwrap();
            pair.quiet();
        }
        let t = table(&pair);
        to(&mut pair, t.verdict() - 5);
        to(&mut pair, t.objection());
        assert_refunded(&pair);
        assert!(case(&pair).ruling.unwrap().1.contains("rejected in time"), "{place}");
    }
}

/// A judge takes so many records of a side and no more: what the worker does not lodge costs the requester none.
#[test]
fn a_worker_who_delivers_without_end_does_not_silence_the_requester() {
    let mut pair = delivered(held());
    for n in 0..30 {
        pair.reject().unwrap();
        pair.quiet();
        pair.side_mut(Judge).deaf = true;
        pair.deliver_text(&format!("{n}.txt"), format!("{n}\n").as_bytes());
        // Of all of them the judge hears of the last.
        pair.side_mut(Judge).heard = pair.events.len();
        pair.side_mut(Judge).deaf = false;
    }
    let work = escrow(&pair, Worker).hearing.delivery.unwrap();
    let (id, record) = (work.id, work.event);
    assert_eq!(to_judge(&mut pair, Worker, Body::Lodge { record }), Taken::New);
    pair.quiet();
    pair.reject().unwrap();
    pair.quiet();
    let rejected = |e: &Exhibit| matches!(&e.record.draft.body, Body::Reject { manifest, .. } if *manifest == id);
    assert!(case(&pair).exhibits.iter().any(rejected));
}

#[test]
fn who_signed_that_the_money_goes_back_wins_nothing_by_keeping_it() {
    let mut pair = delivered(held_with(true, with_check));
    pair.side_mut(Worker).lazy = vec!["fail"];
    pair.cancel(Worker).unwrap();
    let record = pair.job(Worker).ours.last.unwrap().event;
    pair.quiet();
    assert_eq!(pair.phase(Requester), Phase::Refunding);
    assert_eq!(to_judge(&mut pair, Requester, Body::Lodge { record }), Taken::New);
    let work = manifest(&pair);
    worker_calls(&mut pair, work);
    let (whose, why) = case(&pair).ruling.unwrap();
    assert_eq!(whose, Role::Requester);
    assert!(why.contains("sends the money back"), "{why}");
    pair.wake(Worker);
    pair.quiet();
    assert_refunded(&pair);
}

#[test]
fn work_that_cannot_be_had_is_not_paid() {
    let mut pair = delivered(held_with(true, with_check));
    pair.side_mut(Judge).lazy = vec!["fetch"];
    dispute(&mut pair, Worker).unwrap();
    pair.quiet();
    assert_eq!(case(&pair).finding, None);
    let (row, effect) = pair.side_mut(Judge).kept.remove(0);
    let gone = Outcome::Failed { why: "nobody serves it".into() };
    pair.core_mut(Judge).done(&row, &effect, Ok(gone)).unwrap();
    pair.quiet();
    let Some(Finding::Unfit { code, .. }) = case(&pair).finding else { panic!() };
    assert_eq!(code, "not-fetched");
    assert!(case(&pair).ruling.unwrap().1.contains("cannot be had"));
    assert_refunded(&pair);
}

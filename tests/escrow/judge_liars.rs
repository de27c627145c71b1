//! Liars where there is a judge: who may say what, certificates and secrets that are not the ones due, and
//! what two of the three can do together.

use earnest::engine::{Channel, NodeEvent, RelayEvent, Scribe as _, Store as _, Taken};
use earnest::market::*;
use proptest::prelude::*;

use crate::course::{assert_paid, assert_refunded, escrow, fund, phases};
use crate::judge::*;
use crate::pair::*;

fn facts(pair: &Pair, who: Who) -> usize {
    let logs = pair.core(who).store().logs().unwrap();
    logs.iter().map(|(_, rows)| rows.len()).sum()
}

/// A record of the case, signed by whoever has this session, in the channel of `sealed_by` with the other end.
fn in_case(
    pair: &Pair,
    signer: (Who, Nonce),
    channel: (Who, Channel),
    body: Body,
    (seq, prev): (u64, Option<EventId>),
) -> RelayEvent {
    let draft = Draft { job: Some(channel.1.job), seq, prev, seen: None, at: pair.now(), body };
    let record = pair.side(signer.0).keys.sign(&signer.1, &draft).unwrap();
    let event = pair.side(channel.0).keys.post(&channel.1, &record, pair.now()).unwrap();
    relayed(&event.json)
}

fn with_judge(pair: &Pair, who: Who) -> (Who, Channel) {
    let (nonce, peer, case) = pair.job(who).judge_channel().unwrap();
    (who, Channel { nonce, peer, job: JobId(case.0) })
}

fn place(chain: &Chain) -> (u64, Option<EventId>) {
    (chain.next, chain.last.as_ref().map(|last| last.id))
}

/// The outer key taken for the author, once more: each side holds the key of its own channel with the judge,
/// and could post there in the judge's name.
#[test]
fn nobody_speaks_in_the_judges_name() {
    let mut pair = delivered(held());
    let lock = escrow(&pair, Worker).lock;
    let x = pair.side(Requester).keys.escrow_key(&lock.nonce);
    let manifest = EventId([3; 32]);
    for (liar, hearer) in [(Worker, Worker), (Requester, Requester)] {
        let channel = with_judge(&pair, hearer);
        let nonce = pair.job(liar).nonce.unwrap();
        for body in [
            Body::Ruling { dispute: manifest, x: Some(x), reason: "so".into() },
            Body::Ruling { dispute: manifest, x: None, reason: "so".into() },
            Body::Lodged { record: pair.job(Worker).bid_event, height: 1000 },
        ] {
            let at = place(&escrow(&pair, hearer).hearing.theirs);
            let event = in_case(&pair, (liar, nonce), channel, body, at);
            let before = facts(&pair, hearer);
            // To itself it is its own words coming back.
            let taken = pair.hear(hearer, &event);
            assert_ne!(taken, Taken::New);
            assert_eq!(facts(&pair, hearer), before);
        }
    }
    // The judge's program takes nothing that only a judge may say, nor what only the other channel says.
    for (liar, body) in [
        (Worker, Body::Ruling { dispute: manifest, x: None, reason: "so".into() }),
        (Requester, Body::Lodged { record: pair.job(Worker).bid_event, height: 1 }),
        (Worker, Body::Cancel { reason: "no".into() }),
        (Requester, Body::Accept { manifest, next: None, x: Some(x), receipt: None }),
        (Worker, Body::Settled { manifest, receipt: None }),
    ] {
        let role = if liar == Worker { Role::Worker } else { Role::Requester };
        let at = place(case(&pair).chain_of(role));
        let nonce = pair.job(liar).nonce.unwrap();
        let event = in_case(&pair, (liar, nonce), with_judge(&pair, liar), body, at);
        let before = facts(&pair, Judge);
        assert_eq!(code(&pair.hear(Judge, &event)), "wrong-role");
        assert_eq!(facts(&pair, Judge), before);
    }
    assert_eq!(phases(&pair), (Phase::Delivered, Phase::Delivered));
}

#[test]
fn in_the_jobs_own_channel_the_judges_words_are_refused() {
    let mut pair = delivered(held());
    let lock = escrow(&pair, Worker).lock;
    let x = pair.side(Requester).keys.escrow_key(&lock.nonce);
    let dispute = EventId([3; 32]);
    let holding = Body::Holding {
        hash: lock.hash,
        certificate: escrow(&pair, Worker).hearing.judge.unwrap().event,
        address: pair.me(Judge).address,
    };
    for body in [
        holding,
        Body::Lodged { record: pair.job(Worker).bid_event, height: 1000 },
        Body::Ruling { dispute, x: Some(x), reason: "so".into() },
        Body::Ruling { dispute, x: None, reason: "so".into() },
    ] {
        for liar in [Requester, Worker] {
            let before = facts(&pair, liar.other());
            assert_eq!(code(&pair.say(liar, body.clone())), "wrong-role");
            assert_eq!(facts(&pair, liar.other()), before);
        }
    }
}

/// A `holding` that somebody made, wrapped to the worker.
fn forged_holding(
    pair: &Pair,
    by: Who,
    bend: impl FnOnce(&mut earnest::engine::JudgeDraft, &mut PaymentHash),
) -> RelayEvent {
    let job = pair.job(Worker);
    let mut hash = escrow(pair, Worker).lock.hash;
    let nonce = pair.core(by).nonce();
    let mut draft = earnest::engine::JudgeDraft {
        requester: job.requester.as_ref().unwrap().identity,
        worker: job.worker.identity,
        job: job.job.unwrap(),
        terms: job.worker.terms,
        nonce,
        endpoint: pair.side(by).endpoint,
        network: Network::Regtest,
        at: pair.now(),
    };
    bend(&mut draft, &mut hash);
    let keys = &pair.side(by).keys;
    let certificate = keys.certify_judge(&draft).unwrap().event;
    let address = Address { endpoint: draft.endpoint, ..pair.me(by).address };
    let record = Draft {
        job: Some(JobId(job.case().unwrap().0)),
        seq: 0,
        prev: None,
        seen: None,
        at: pair.now(),
        body: Body::Holding { hash, certificate, address },
    };
    let record = keys.sign(&nonce, &record).unwrap();
    let wrap = keys.wrap(&nonce, &record, &job.worker.session, 0, pair.now()).unwrap();
    relayed(&wrap.json)
}

/// Locked, and the judge has not been heard.
fn unheard() -> Pair {
    let mut pair = awarded_with(true, |_| {});
    pair.side_mut(Judge).deaf = true;
    fund(&mut pair).unwrap();
    pair.quiet();
    assert!(escrow(&pair, Worker).funded.is_some());
    pair
}

#[test]
fn only_the_judge_that_was_agreed_on_holds() {
    type Bend = fn(&mut earnest::engine::JudgeDraft, &mut PaymentHash);
    let cases: [(&str, Who, Bend); 7] = [
        ("wrong-judge", Requester, |_, _| {}),
        ("wrong-judge", Worker, |_, _| {}),
        ("wrong-certificate", Judge, |d, _| d.job = JobId([9; 32])),
        ("wrong-certificate", Judge, |d, _| d.terms = Digest([9; 32])),
        ("wrong-certificate", Judge, |d, _| (d.requester, d.worker) = (d.worker, d.requester)),
        ("wrong-certificate", Judge, |d, _| d.network = Network::Bitcoin),
        ("wrong-lock", Judge, |_, hash| *hash = PaymentHash([9; 32])),
    ];
    for (why, by, bend) in cases {
        let mut pair = unheard();
        let event = forged_holding(&pair, by, bend);
        let before = facts(&pair, Worker);
        assert_eq!(code(&pair.hear(Worker, &event)), why);
        assert_eq!(facts(&pair, Worker), before, "{why}");
        assert_eq!(pair.phase(Worker), Phase::Funding, "{why}");
    }
    // The very same, unbent, is the judge's.
    let mut pair = unheard();
    let event = forged_holding(&pair, Judge, |_, _| {});
    assert_eq!(code(&pair.hear(Worker, &event)), "new");
    assert_eq!(pair.phase(Worker), Phase::Working);
    // And another key of the same judge is not believed after it.
    let second = forged_holding(&pair, Judge, |_, _| {});
    assert_eq!(code(&pair.hear(Worker, &second)), "judge-holds");
    // Nor another judge.
    let stranger = forged_holding(&pair, Requester, |_, _| {});
    assert_eq!(code(&pair.hear(Worker, &stranger)), "wrong-judge");
}

#[test]
fn a_second_judges_ruling_is_nobodys() {
    let mut pair = delivered(held_with(false, |_| {}));
    let t = table(&pair);
    to(&mut pair, t.verdict());
    let dispute = escrow(&pair, Worker).hearing.dispute.unwrap().id;
    let x = case(&pair).x;
    let (_, channel) = with_judge(&pair, Worker);
    let at = place(&escrow(&pair, Worker).hearing.theirs);
    // Another judge shows its certificate: the one that holds the secret stays the only one.
    let second = forged_holding(&pair, Requester, |_, _| {});
    assert_ne!(pair.hear(Worker, &second), Taken::New);
    // The judge's own ruling on another dispute is words.
    let judges = case(&pair).begins.nonce;
    let body = Body::Ruling { dispute: EventId([5; 32]), x: Some(x), reason: "Else.".into() };
    let event = in_case(&pair, (Judge, judges), (Worker, channel), body, at);
    assert_eq!(code(&pair.hear(Worker, &event)), "new");
    assert_eq!(pair.phase(Worker), Phase::Disputed);
    // A ruling with a secret that opens nothing claims nothing.
    let body = Body::Ruling { dispute, x: Some(Preimage::new([7; 32])), reason: "So.".into() };
    let at = place(&escrow(&pair, Worker).hearing.theirs);
    let event = in_case(&pair, (Judge, judges), (Worker, channel), body, at);
    assert_eq!(code(&pair.hear(Worker, &event)), "new");
    pair.quiet();
    assert_eq!(pair.phase(Worker), Phase::Disputed);
    assert_eq!(pair.nodes.earned, [0, 0]);
    to(&mut pair, t.claim());
    assert_refunded(&pair);
}

#[test]
fn two_words_of_the_judge_with_one_number_are_kept_as_evidence() {
    let mut pair = delivered(held_with(false, |_| {}));
    let judges = case(&pair).begins.nonce;
    let (_, channel) = with_judge(&pair, Worker);
    let last = escrow(&pair, Worker).hearing.theirs.last.unwrap().draft;
    let body = Body::Note { text: "Something else.".into() };
    let event = in_case(&pair, (Judge, judges), (Worker, channel), body, (last.seq, last.prev));
    assert_eq!(code(&pair.hear(Worker, &event)), "new");
    let job = pair.job(Worker);
    assert!(job.stuck.iter().any(|s| s.contains("the judge signed two")), "{:?}", job.stuck);
    assert!(!job.equivocated, "it says nothing of the other side");
}

/// An appointment that somebody made by hand.
fn appointed(pair: &mut Pair, bend: impl FnOnce(&mut Body, &mut Draft)) -> Taken {
    let job = pair.job(Requester);
    let lock = escrow(pair, Requester).lock;
    let keys = pair.side(Requester).keys.clone();
    let papers = escrow(pair, Requester).papers;
    let mut body = Body::Appoint {
        bid: job.bid_event.clone(),
        award: job.award_event.clone(),
        lock: None,
        fund: papers[0].clone().unwrap(),
        funded: papers[1].clone().unwrap(),
        listing: None,
        x: keys.escrow_key(&lock.nonce),
    };
    let case = job.case().unwrap();
    let at = pair.now();
    let blank = Body::Note { text: "-".into() };
    let mut draft =
        Draft { job: Some(JobId(case.0)), seq: 0, prev: None, seen: None, at, body: blank };
    bend(&mut body, &mut draft);
    draft.body = body;
    let nonce = job.nonce.unwrap();
    let record = keys.sign(&nonce, &draft).unwrap();
    let post = pair.core(Judge).posts().values().next().unwrap().gig().unwrap().clone();
    let wrap = keys.wrap(&nonce, &record, &post.offer.inbox.key, 0, pair.now()).unwrap();
    pair.hear(Judge, &relayed(&wrap.json))
}

/// The worker's word once more, bent: the two may lie to a judge together.
fn resigned(pair: &Pair, event: &str, bend: impl FnOnce(&mut Body)) -> String {
    let keys = &pair.side(Worker).keys;
    let mut draft = keys.read_record(event).unwrap().draft;
    bend(&mut draft.body);
    keys.sign(&pair.job(Worker).nonce.unwrap(), &draft).unwrap().event
}

#[test]
fn the_judge_takes_no_case_that_is_not_one() {
    type Bend = fn(&mut Body, &mut Draft);
    let bends: [(&str, Bend); 5] = [
        ("wrong-secret", |body, _| {
            let Body::Appoint { x, .. } = body else { panic!() };
            *x = Preimage::new([7; 32]);
        }),
        ("wrong-job", |_, draft| draft.job = Some(JobId([7; 32]))),
        ("wrong-body", |body, _| {
            let Body::Appoint { fund, funded, .. } = body else { panic!() };
            std::mem::swap(fund, funded);
        }),
        ("wrong-body", |body, _| {
            let Body::Appoint { bid, award, .. } = body else { panic!() };
            std::mem::swap(bid, award);
        }),
        ("not-an-event", |body, _| {
            let Body::Appoint { award, .. } = body else { panic!() };
            "{}".clone_into(award);
        }),
    ];
    for (why, bend) in bends {
        let mut pair = unheard();
        assert_eq!(code(&appointed(&mut pair, bend)), why);
        assert!(pair.core(Judge).cases().is_empty(), "{why}");
    }
    // A listing that was not bid on, by the requester or by anybody.
    for who in [Requester, Judge] {
        let mut pair = unheard();
        let mut gig = pair.job(Requester).gig;
        gig.title.0.push('!');
        let other = pair.side(who).keys.listing(&gig).unwrap().json;
        let bend = |body: &mut Body, _: &mut Draft| {
            let Body::Appoint { listing, .. } = body else { panic!() };
            *listing = Some(other);
        };
        assert_eq!(code(&appointed(&mut pair, bend)), "wrong-listing");
        assert!(pair.core(Judge).cases().is_empty());
    }
    let mut pair = unheard();
    assert_eq!(code(&appointed(&mut pair, |_, _| {})), "new");
    assert_eq!(pair.core(Judge).cases().len(), 1);
    // Too late, a height before it must hold.
    let mut pair = unheard();
    let t = table(&pair);
    pair.blocks(t.holding(), &[Judge]);
    assert_eq!(code(&appointed(&mut pair, |_, _| {})), "too-late");
    // A height that cannot be: the two could have a case stand for years.
    for (late, why) in [(1, "wrong-height"), (0, "new")] {
        let mut pair = unheard();
        let end = 1000 + WINDOW + 144 + late;
        let papers = escrow(&pair, Worker).papers.map(Option::unwrap);
        let said = [
            resigned(&pair, &papers[0], |body| {
                let Body::Fund { height, .. } = body else { panic!() };
                *height = end;
            }),
            resigned(&pair, &papers[1], |body| {
                let Body::Funded { deadline, .. } = body else { panic!() };
                *deadline = end;
            }),
        ];
        let bend = |body: &mut Body, _: &mut Draft| {
            let Body::Appoint { fund, funded, .. } = body else { panic!() };
            [*fund, *funded] = said;
        };
        assert_eq!(code(&appointed(&mut pair, bend)), why);
    }
    // A judge that has closed its listing.
    let mut pair = unheard();
    let post = *pair.core(Judge).posts().keys().next().unwrap();
    pair.core_mut(Judge).close(&post).unwrap();
    assert_eq!(code(&appointed(&mut pair, |_, _| {})), "judge-closed");
    assert!(pair.core(Judge).cases().is_empty());
    // A program that would have to run a check that it has never seen.
    let mut pair = awarded_unseen();
    pair.side_mut(Judge).deaf = true;
    fund(&mut pair).unwrap();
    pair.quiet();
    assert_eq!(code(&appointed(&mut pair, |_, _| {})), "no-check");
    assert!(pair.core(Judge).cases().is_empty());
    // And never twice: the hash is known, whatever record says so.
    let mut pair = held();
    let later = |_: &mut Body, draft: &mut Draft| draft.at = draft.at.after(Span(1));
    assert_eq!(code(&appointed(&mut pair, later)), "hash-reused");
    assert_eq!(pair.core(Judge).cases().len(), 1);
}

#[test]
fn one_requester_has_no_more_cases_open_than_a_judge_can_look_at() {
    let pair = held();
    let case = case(&pair);
    let door = |open| Appointing {
        me: pair.core(Judge).identity(),
        network: Network::Regtest,
        now: pair.now(),
        height: 1000,
        hash_known: false,
        open,
        newest: Status::Open,
        terms: pair.job(Worker).worker.terms,
    };
    assert_eq!(admit_case(&case.begins, &door(MOST_CASES - 1)), Ok(()));
    let full = admit_case(&case.begins, &door(MOST_CASES));
    assert_eq!(full.unwrap_err().code, "too-many-cases");
}

#[test]
fn nobody_talks_a_judge_to_death() {
    let mut pair = held_with(false, |_| {});
    for who in [Worker, Requester] {
        let words = || Body::Note { text: "And another thing.".into() };
        // The requester's appointment is the first of its own.
        let first = usize::from(who == Requester);
        for _ in first..MOST_BROUGHT {
            assert_eq!(to_judge(&mut pair, who, words()), Taken::New);
        }
        let before = facts(&pair, Judge);
        assert_eq!(code(&to_judge(&mut pair, who, words())), "too-many-records");
        assert_eq!(facts(&pair, Judge), before);
    }
}

#[test]
fn nobody_judges_its_own_job() {
    let mut pair = Pair::new();
    pair.blocks(1000, &ALL);
    let mut listing = pair.draft();
    (listing.work, listing.modes) = (Work::Judge, vec![Mode::Direct]);
    for who in [Requester, Worker] {
        let listing = pair.core_mut(who).post(&listing, Vec::new()).unwrap();
        pair.quiet();
        let judge = Some(JudgeTerms { identity: pair.core(who).identity(), listing });
        let mut draft = pair.draft();
        draft.modes = vec![Mode::Escrow];
        draft.escrow = Some(EscrowTerms { window: WINDOW, judge });
        let posted = pair.core_mut(Requester).post(&draft, Vec::new());
        let why = match (who, posted) {
            (Requester, posted) => refused(posted.map(|_| ())),
            (_, posted) => {
                pair.quiet();
                let gig = posted.unwrap();
                refused(pair.core_mut(Worker).bid(&gig, Wish::default(), "Me.").map(|_| ()))
            }
        };
        assert_eq!(why, "judge-is-party");
    }
    // A listing that is no judge's.
    let gig = pair.posted(|_| {});
    let judge = Some(JudgeTerms { identity: pair.core(Requester).identity(), listing: gig });
    let mut draft = pair.draft();
    draft.modes = vec![Mode::Escrow];
    draft.escrow = Some(EscrowTerms { window: WINDOW, judge });
    assert_eq!(refused(pair.core_mut(Judge).post(&draft, Vec::new()).map(|_| ())), "not-a-judge");
}

/// A judge in league with the worker takes the milestone, and can take nothing else.
#[test]
fn a_judge_in_league_with_the_worker_pays_it_without_work() {
    assert!(judged_risk(Role::Requester).contains("costs you the price"));
    let mut pair = held();
    let (lock, x) = (escrow(&pair, Worker).lock, case(&pair).x);
    pair.claims_by_itself(&lock.hash, &x);
    pair.quiet();
    assert_eq!(phases(&pair), (Phase::Settled, Phase::Settled));
    assert!(pair.job(Requester).reason.unwrap().contains("before you released it"));
}

/// A judge in league with a hop lets it claim the requester's payment early: the worker is paid all the same,
/// because the requester sends it the secret (!).
#[test]
fn a_judge_in_league_with_a_hop_robs_nobody_of_the_two() {
    let mut pair = delivered(held());
    let (lock, x) = (escrow(&pair, Worker).lock, case(&pair).x);
    let paid = NodeEvent::Paid { hash: lock.hash, preimage: x, fee: sats(1) };
    pair.side_mut(Requester).queue.push_back(paid);
    pair.quiet();
    assert_eq!(phases(&pair), (Phase::Settled, Phase::Settled));
    assert_eq!(pair.nodes.earned[1], i128::from(sats(21_000).get()));
}

/// A worker who keeps the rejection to itself: the requester has lodged it.
#[test]
fn a_rejection_cannot_be_hidden_from_the_judge() {
    let mut pair = delivered(held());
    pair.side_mut(Worker).deaf = true;
    pair.reject().unwrap();
    pair.quiet();
    let t = table(&pair);
    // The worker never hears of it, and calls the judge for silence.
    pair.side_mut(Worker).lazy = vec![];
    pair.blocks(t.verdict(), &ALL);
    pair.quiet();
    assert!(case(&pair).dispute.is_some());
    pair.side_mut(Worker).deaf = false;
    pair.quiet();
    assert_refunded(&pair);
    assert!(case(&pair).ruling.unwrap().1.contains("rejected in time"));
}

/// A requester who says late that it was not good is taken for one who said nothing.
#[test]
fn a_late_rejection_is_silence() {
    let mut pair = delivered(held());
    let t = table(&pair);
    let manifest = pair.job(Worker).attempt.unwrap().record.unwrap().id;
    to(&mut pair, t.verdict());
    assert_eq!(pair.phase(Worker), Phase::Disputed);
    // Its own program would not sign it any more; another would.
    pair.say(Requester, Body::Reject { manifest, reason: "No.".into(), next: None });
    pair.quiet();
    to(&mut pair, t.objection());
    assert_paid(&pair);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Whatever is done in whatever order at whatever heights: the money ends with exactly one of the two, the
    /// judge never has it, and both say the same of it.
    #[test]
    fn in_any_order_at_any_height_it_ends_with_one_of_the_two(
        moves in prop::collection::vec((0u8..12, 1u32..40), 1..14),
        deterministic in any::<bool>(), checked in any::<bool>(), away in 0u8..4,
    ) {
        let mut pair = awarded_with(deterministic, |draft| if checked { with_check(draft) });
        pair.side_mut(Judge).away = away == 0;
        fund(&mut pair).unwrap();
        pair.quiet();
        for (what, blocks) in moves {
            let _ = match what {
                0 | 1 => pair.deliver(&format!("work-{blocks}.bin"), 2_000),
                2 => pair.accept(),
                3 | 4 => pair.reject(),
                5 => dispute(&mut pair, Worker),
                6 => dispute(&mut pair, Requester),
                7 => object(&mut pair, Requester),
                8 => object(&mut pair, Worker),
                9 => {
                    let ids: Vec<_> = pair.core(Judge).cases().keys().copied().collect();
                    let whose = if blocks % 2 == 0 { Role::Worker } else { Role::Requester };
                    ids.iter().try_for_each(|id| pair.core_mut(Judge).rule(id, whose, "So.".into()))
                }
                10 => pair.cancel(Requester),
                _ => fund(&mut pair),
            };
            pair.quiet();
            let height = pair.nodes.height + blocks;
            to(&mut pair, height);
        }
        for blocks in [40, 60, 60, 60, 60, 60, 60] {
            let height = pair.nodes.height + blocks;
            to(&mut pair, height);
        }
        pair.pass(Span::DAY.times(3));
        pair.quiet();
        let price = i128::from(sats(21_000).get());
        let (requester, worker) = phases(&pair);
        prop_assert!(requester.is_over() && worker.is_over(), "{requester:?} {worker:?}");
        let paid = requester == Phase::Settled;
        prop_assert_eq!(paid, worker == Phase::Settled);
        prop_assert_eq!(pair.nodes.earned, if paid { [-price, price] } else { [0, 0] });
        prop_assert!(!escrow(&pair, Requester).is_locked() && !escrow(&pair, Worker).is_locked());
        prop_assert!(pair.ledger(Judge).is_empty());
        prop_assert!(pair.core(Judge).cases().values().all(|case| case.phase.is_over()));
        prop_assert_eq!(pair.core(Judge).store().outbox().unwrap().1, 0);
    }
}

//! Every phase against every kind of input: no panic, nothing changed out of place, and what is offered
//! is what is done.

use earnest::engine::NodeEvent;
use earnest::market::*;
use earnest::text::Raw;

use crate::pair::*;

fn wish(mode: Mode) -> Wish {
    Wish { mode: Some(mode), price: None, tranches: Some(1) }
}

/// The phases of an escrow, up to the end and back.
fn in_escrow(all: &mut Vec<(Job, Time)>) {
    let both = [Requester, Worker];
    let awarded = || {
        let mut pair = Pair::new();
        pair.blocks(1000, &both);
        let gig = pair.posted(|draft| draft.modes = vec![Mode::Escrow]);
        let id = pair.core_mut(Worker).bid(&gig, Wish::default(), "I can.").unwrap();
        pair.quiet();
        (pair, id)
    };
    let mut keep = |pair: &Pair| {
        for who in both {
            all.push((pair.job(who), pair.now()));
        }
    };
    let (mut pair, id) = awarded();
    keep(&pair);
    pair.core_mut(Requester).award(&id).unwrap();
    pair.quiet();
    keep(&pair);
    pair.nodes.confirmations = 0;
    pair.core_mut(Requester).fund(&id, sats(100)).unwrap();
    pair.quiet();
    keep(&pair);
    pair.nodes.confirmations = 3;
    pair.blocks(1001, &both);
    pair.quiet();
    keep(&pair);
    pair.side_mut(Requester).lazy = vec!["open"];
    pair.deliver("work.bin", 20_000).unwrap();
    pair.quiet();
    keep(&pair);
    pair.wake(Requester);
    pair.quiet();
    keep(&pair);
    pair.side_mut(Worker).lazy = vec!["claim"];
    pair.accept().unwrap();
    pair.quiet();
    keep(&pair);
    pair.wake(Worker);
    pair.quiet();
    keep(&pair);

    let (mut pair, id) = awarded();
    pair.core_mut(Requester).award(&id).unwrap();
    pair.quiet();
    pair.core_mut(Requester).fund(&id, sats(100)).unwrap();
    pair.quiet();
    pair.side_mut(Worker).lazy = vec!["fail"];
    pair.cancel(Worker).unwrap();
    pair.quiet();
    keep(&pair);
    pair.wake(Worker);
    pair.quiet();
    keep(&pair);
}

/// Milestones, up to the end: after the first, waiting for the other's word, in the second and at the end.
fn in_milestones(all: &mut Vec<(Job, Time)>) {
    let mut pair = in_parts(&[Mode::Sealed, Mode::Escrow]);
    pair.blocks(1000, &[Requester, Worker]);
    let mut keep = |pair: &Pair| {
        for who in [Requester, Worker] {
            all.push((pair.job(who), pair.now()));
        }
    };
    keep(&pair);
    pair.deliver("first.bin", 20_000).unwrap();
    pair.quiet();
    for side in [Requester, Worker] {
        pair.side_mut(side).deaf = true;
    }
    keep(&pair);
    for side in [Requester, Worker] {
        pair.side_mut(side).deaf = false;
    }
    pair.side_mut(Requester).lazy = vec!["open"];
    pair.accept().unwrap();
    pair.quiet();
    keep(&pair);
    pair.side_mut(Requester).deaf = true;
    pair.wake(Requester);
    keep(&pair);
    pair.side_mut(Requester).deaf = false;
    pair.quiet();
    keep(&pair);
    let id = pair.id();
    pair.core_mut(Requester).fund(&id, sats(100)).unwrap();
    pair.quiet();
    keep(&pair);
    pair.deliver("second.bin", 20_000).unwrap();
    pair.quiet();
    pair.accept().unwrap();
    pair.quiet();
    keep(&pair);
}

/// An escrow before a judge, from its word to a dispute.
fn before_a_judge(all: &mut Vec<(Job, Time)>) {
    let everybody = [Requester, Worker, Judge];
    let mut pair = Pair::new();
    pair.blocks(1000, &everybody);
    let mut listing = pair.draft();
    (listing.work, listing.modes) = (Work::Judge, vec![Mode::Direct]);
    let listing = pair.core_mut(Judge).post(&listing, Vec::new()).unwrap();
    pair.quiet();
    let judge = Some(JudgeTerms { identity: pair.core(Judge).identity(), listing });
    let gig = pair.posted(|draft| {
        draft.modes = vec![Mode::Escrow];
        draft.escrow = Some(EscrowTerms { window: WINDOW, judge });
    });
    let id = pair.core_mut(Worker).bid(&gig, Wish::default(), "I can.").unwrap();
    pair.quiet();
    pair.core_mut(Requester).award(&id).unwrap();
    pair.quiet();
    pair.side_mut(Judge).deaf = true;
    pair.core_mut(Requester).fund(&id, sats(100)).unwrap();
    pair.quiet();
    let mut keep = |pair: &Pair| {
        for who in [Requester, Worker] {
            all.push((pair.job(who), pair.now()));
        }
    };
    keep(&pair);
    pair.side_mut(Judge).deaf = false;
    pair.quiet();
    keep(&pair);
    pair.deliver("work.bin", 20_000).unwrap();
    pair.quiet();
    keep(&pair);
    pair.reject().unwrap();
    pair.quiet();
    keep(&pair);
    pair.ask(Worker, Ask::Dispute { reason: "It is good.".into() }).unwrap();
    pair.quiet();
    keep(&pair);
    pair.ask(Requester, Ask::Object { reason: "It is not.".into() }).unwrap();
    pair.quiet();
    keep(&pair);
}

/// A job in every phase that each side comes through, with when it stood there.
pub(crate) fn stages() -> Vec<(Job, Time)> {
    let mut all = Vec::new();
    let keep = |pair: &Pair, all: &mut Vec<(Job, Time)>| {
        for who in [Requester, Worker] {
            all.push((pair.job(who), pair.now()));
        }
    };
    for mode in [Mode::Sealed, Mode::Direct] {
        let mut pair = Pair::new();
        let id = pair.bid(wish(mode));
        keep(&pair, &mut all);
        // A bot that may decide nothing alone has asked for a person's word.
        let bot = Actor::bot("table").unwrap();
        let most = sats(100_000);
        let all_of_it = Budget {
            per_job: most,
            per_person: most,
            per_hour: most,
            per_day: most,
            at_risk: most,
            approve_above: Msat::ZERO,
            ..Budget::default()
        };
        pair.core_mut(Requester).set_budget(all_of_it);
        assert!(pair.core_mut(Requester).acting(&bot, |core| core.award(&id)).is_err());
        keep(&pair, &mut all);
        pair.core_mut(Requester).award(&id).unwrap();
        pair.quiet();
        keep(&pair, &mut all);
        pair.side_mut(Worker).lazy = vec!["seal"];
        pair.side_mut(Requester).lazy = vec!["inspect"];
        pair.deliver("work.bin", 20_000).unwrap();
        pair.quiet();
        keep(&pair, &mut all);
        pair.wake(Worker);
        pair.quiet();
        keep(&pair, &mut all);
        pair.wake(Requester);
        pair.quiet();
        keep(&pair, &mut all);
        pair.side_mut(Worker).lazy = vec!["bill", "claim"];
        pair.accept().unwrap();
        pair.quiet();
        keep(&pair, &mut all);
        pair.wake(Worker);
        pair.side_mut(Worker).lazy = vec!["claim"];
        pair.side_mut(Requester).lazy = vec!["open"];
        pair.quiet();
        keep(&pair, &mut all);
        pair.wake(Worker);
        pair.quiet();
        keep(&pair, &mut all);
        pair.wake(Requester);
        pair.quiet();
        keep(&pair, &mut all);
    }
    in_escrow(&mut all);
    before_a_judge(&mut all);
    in_milestones(&mut all);
    let ended = |end: &dyn Fn(&mut Pair), all: &mut Vec<(Job, Time)>| {
        let mut pair = Pair::new();
        end(&mut pair);
        pair.quiet();
        for who in [Requester, Worker] {
            all.push((pair.job(who), pair.now()));
        }
    };
    ended(
        &|pair| {
            pair.awarded(Wish::default());
            pair.cancel(Worker).unwrap();
        },
        &mut all,
    );
    ended(
        &|pair| {
            pair.delivered(wish(Mode::Sealed));
            pair.pass(Span::DAY.times(3));
        },
        &mut all,
    );
    ended(
        &|pair| {
            pair.bid(Wish::default());
            pair.ask(Worker, Ask::Withdraw { reason: String::new() }).unwrap();
        },
        &mut all,
    );
    ended(
        &|pair| {
            pair.bid(Wish::default());
            let nonce = Nonce([1; 32]);
            pair.ask(Requester, Ask::Decline { reason: String::new(), nonce }).unwrap();
        },
        &mut all,
    );
    let mut pair = Pair::new();
    pair.delivered(wish(Mode::Sealed));
    pair.side_mut(Requester).lazy = vec!["open"];
    pair.accept().unwrap();
    pair.quiet();
    let (row, effect) = pair.side_mut(Requester).kept.remove(0);
    let wrong = Ok(Outcome::Mismatch { chunk: 0 });
    pair.core_mut(Requester).done(&row, &effect, wrong).unwrap();
    all.push((pair.job(Requester), pair.now()));
    all
}

fn world(now: Time) -> World {
    World {
        now,
        spendable: sats(1_000_000),
        slots_left: 1,
        hash_known: false,
        height: 100,
        limits: Limits::NONE,
        open: Exposure::default(),
    }
}

/// One ask for each verb.
fn ask(verb: Verb, job: &Job) -> Ask {
    let nonce = Nonce([7; 32]);
    let reason = String::new();
    match verb {
        Verb::Award => Ask::Award(Box::new(AwardParts {
            nonce,
            certificate: job.worker.clone(),
            relays: vec!["wss://relay.example".into()],
            address: job.bid.address.clone(),
            inputs: Vec::new(),
            audit: Digest([1; 32]),
            audit_nonce: nonce,
            lock: (job.terms().mode == Mode::Escrow).then_some(Lock {
                milestone: 0,
                attempt: 0,
                hash: PaymentHash([76; 32]),
                nonce,
            }),
        })),
        Verb::Decline => Ask::Decline { reason, nonce },
        Verb::Withdraw => Ask::Withdraw { reason },
        Verb::Deliver => Ask::Deliver {
            source: "/tmp/x".into(),
            size: 1,
            name: "x".into(),
            message: reason,
            nonce,
        },
        Verb::Fund => {
            Ask::Fund { max_fee: sats(1), nonce, hash: PaymentHash([77; 32]), judge: None }
        }
        Verb::Dispute => Ask::Dispute { reason },
        Verb::Object => Ask::Object { reason },
        Verb::Accept => Ask::Accept { max_fee: sats(1) },
        Verb::Reject => Ask::Reject { reason },
        Verb::Cancel => Ask::Cancel { reason },
        Verb::Note => Ask::Note { text: reason },
        Verb::Rate => Ask::Rate { stars: 5, comment: reason },
        Verb::Approve => Ask::Approve,
    }
}

const VERBS: [Verb; 13] = [
    Verb::Approve,
    Verb::Dispute,
    Verb::Object,
    Verb::Award,
    Verb::Fund,
    Verb::Decline,
    Verb::Withdraw,
    Verb::Deliver,
    Verb::Accept,
    Verb::Reject,
    Verb::Cancel,
    Verb::Note,
    Verb::Rate,
];

#[test]
fn every_phase_is_reached() {
    let mut phases: Vec<Phase> = stages().iter().map(|(job, _)| job.phase).collect();
    phases.sort();
    phases.dedup();
    use Phase::*;
    let all = [
        Bid, Awarded, Funding, Working, Delivered, Disputed, Accepted, Paying, Refunding, Reached,
        Settled, Declined, Withdrawn, Cancelled, Expired, Refunded, Cheated,
    ];
    assert_eq!(phases, all);
}

#[test]
fn what_is_offered_is_done_and_what_is_not_is_refused_for_the_same_reason() {
    for (job, at) in stages() {
        for now in [at, at.after(Span::MINUTE.times(30)), at.after(Span::DAY.times(30))] {
            for verb in VERBS {
                let said = step(&job, &Input::Ask(ask(verb, &job)), &world(now));
                match may(&job, verb, now) {
                    Ok(()) => assert!(said.is_ok(), "{verb:?} in {:?}: {said:?}", job.phase),
                    Err(why) => assert_eq!(said, Err(why), "{verb:?} in {:?}", job.phase),
                }
            }
            let offered: Vec<Verb> = legal(&job, now).into_iter().map(|(verb, _)| verb).collect();
            let known = |verb: &Verb| match verb {
                Verb::Fund => job.terms().mode == Mode::Escrow,
                Verb::Approve => job.charge.asked.is_some(),
                Verb::Dispute | Verb::Object => job.judge().is_some(),
                _ => true,
            };
            let known: Vec<Verb> = Verb::of(job.role).iter().copied().filter(known).collect();
            assert_eq!(offered, known);
        }
    }
}

/// Every input that a stranger, a node or an effect can bring, for this job.
pub(crate) fn inputs(job: &Job, stages: &[(Job, Time)]) -> Vec<Input> {
    let mut all = vec![Input::Tick, Input::Height(0), Input::Height(u32::MAX)];
    let hashes = job.attempt.iter().flat_map(|a| a.hashes.clone());
    for hash in hashes.chain([PaymentHash([9; 32])]) {
        let amount = sats(21_000);
        all.extend(
            [
                NodeEvent::Claimable { hash, amount, deadline: Some(u32::MAX) },
                NodeEvent::Claimable { hash, amount: Msat::ZERO, deadline: None },
                NodeEvent::Received { hash, amount },
                NodeEvent::Paid { hash, preimage: Preimage::new([3; 32]), fee: Msat::ZERO },
                NodeEvent::Failed { hash, reason: "no".into() },
                NodeEvent::Channels("one".into()),
            ]
            .map(Input::Node),
        );
    }
    let peer = job.peer_certificate().map_or(Pubkey([1; 32]), |c| c.session);
    let manifest = job.attempt.as_ref().and_then(|a| a.record.as_ref()).map(|r| r.id);
    let reason = || Raw::from("x");
    let mut bodies = vec![
        Body::Decline { reason: reason() },
        Body::Withdraw { reason: reason() },
        Body::Cancel { reason: reason() },
        Body::Rate { stars: 1, comment: reason() },
        Body::Note { text: reason() },
        Body::Bid(job.bid.clone()),
    ];
    for attempt in [0, 1, u32::MAX] {
        let lock =
            Lock { milestone: 0, attempt, hash: PaymentHash([8; 32]), nonce: Nonce([1; 32]) };
        bodies.push(Body::Lock(lock));
        bodies.push(Body::Fund { attempt, invoice: "lnbcrt1".into(), height: u32::MAX });
        bodies.push(Body::Funded { attempt, deadline: u32::MAX });
    }
    bodies.push(Body::Lodged { record: "{}".into(), height: 1 });
    bodies.push(Body::Lodge { record: "{}".into() });
    for manifest in [manifest.unwrap_or(EventId([4; 32])), EventId([5; 32])] {
        bodies.push(Body::Accept { manifest, next: None, x: None, receipt: None });
        bodies.push(Body::Accept {
            manifest,
            next: None,
            x: Some(Preimage::new([3; 32])),
            receipt: None,
        });
        bodies.push(Body::Settled { manifest, receipt: None });
        bodies.push(Body::Audit { manifest, seed: Preimage::new([3; 32]) });
        bodies.push(Body::Open { manifest, keys: "x".into() });
        bodies.push(Body::Reject { manifest, reason: reason(), next: None });
        for tranche in [0, 1, u32::MAX] {
            bodies.push(Body::Ready { manifest, tranche });
            bodies.push(Body::Bill { manifest, tranche, invoice: "lnbcrt1".into() });
        }
    }
    for (other, _) in stages {
        if let Some(record) = other.attempt.as_ref().and_then(|a| a.record.as_ref()) {
            bodies.push(record.draft.body.clone());
            if let Body::Deliver(mut delivery) = record.draft.body.clone() {
                delivery.manifest.delivery = u32::MAX;
                bodies.push(Body::Deliver(delivery));
            }
            break;
        }
    }
    for (i, body) in bodies.into_iter().enumerate() {
        for (seq, prev) in [
            (job.theirs.next, job.theirs.last.as_ref().map(|r| r.id)),
            (0, None),
            (u64::MAX, None),
            (job.theirs.next, Some(EventId([8; 32]))),
        ] {
            for author in [peer, job.worker.session, Pubkey([2; 32])] {
                let id = EventId(*blake3::hash(&[i as u8, seq as u8, author.0[0]]).as_bytes());
                let draft = Draft {
                    job: job.job,
                    seq,
                    prev,
                    seen: None,
                    at: Time(START),
                    body: body.clone(),
                };
                let record = Box::new(Record { id, author, draft, event: String::new() });
                all.push(Input::Heard { record, certificate: None, invoice: None });
            }
        }
    }
    all.extend(outcomes(job));
    all
}

fn outcomes(job: &Job) -> Vec<Input> {
    let order = BillOrder {
        hash: PaymentHash([9; 32]),
        amount: sats(21_000),
        description_hash: Digest([1; 32]),
        expiry_secs: 3600,
        again: false,
        hold_blocks: None,
    };
    let pay = |hash| PayOrder {
        invoice: "x".into(),
        hash,
        amount: sats(1),
        max_fee: sats(1),
        tips: None,
    };
    let own = job.attempt.as_ref().and_then(|a| a.hashes.first().copied());
    let hash = own.unwrap_or(PaymentHash([9; 32]));
    let failed = || Outcome::Failed { why: "no".into() };
    let opened = Outcome::Opened { path: "/x".into(), digest: None };
    let refused = Outcome::Refused { code: "bad".into(), sentence: "Bad.".into() };
    let manifest = EventId([6; 32]);
    let pairs = vec![
        (Effect::Seal { number: 77, source: "/x".into() }, failed()),
        (Effect::Inspect { manifest }, Outcome::Inspected),
        (Effect::Inspect { manifest }, refused),
        (Effect::Audit { manifest }, failed()),
        (Effect::Check { tranche: u32::MAX }, failed()),
        (Effect::Open { tranche: u32::MAX }, opened),
        (Effect::Open { tranche: u32::MAX }, Outcome::Mismatch { chunk: u64::MAX }),
        (
            Effect::Prove { tranche: u32::MAX, chunk: 0, check: None },
            Outcome::Proven { path: "/x".into() },
        ),
        (
            Effect::Prove { tranche: 0, chunk: 0, check: Some(Digest([1; 32])) },
            Outcome::Proven { path: "/x".into() },
        ),
        (Effect::Bill { tranche: u32::MAX, order: order.clone() }, failed()),
        (
            Effect::Pay { tranche: 0, order: pay(PaymentHash([9; 32])) },
            Outcome::Payment {
                hash: PaymentHash([9; 32]),
                state: PaymentState::Failed { reason: "no".into() },
            },
        ),
        (
            Effect::Pay { tranche: 0, order: pay(hash) },
            Outcome::Payment { hash, state: PaymentState::InFlight },
        ),
    ];
    pairs
        .into_iter()
        .map(|(effect, outcome)| Input::Done {
            effect: Box::new(effect),
            outcome: Box::new(outcome),
        })
        .collect()
}

#[test]
fn no_input_in_any_phase_panics_or_moves_what_stands() {
    let stages = stages();
    for (job, at) in &stages {
        for input in inputs(job, &stages) {
            let Ok(step) = step(job, &input, &world(*at)) else { continue };
            let mut after = job.clone();
            for fact in &step.facts {
                after.apply(fact, *at);
            }
            let paid = |job: &Job| -> Vec<Option<Preimage>> {
                job.attempt.iter().flat_map(|a| a.tranches.iter().map(|t| t.key)).collect()
            };
            if paid(job).iter().any(Option::is_some) {
                assert_eq!(paid(&after), paid(job), "a paid key stays: {input:?}");
            }
            if job.phase == Phase::Settled {
                assert_eq!(after.phase, Phase::Settled, "{input:?}");
            }
            let fed = matches!(&input, Input::Done { .. });
            if fed {
                // None of these outcomes is of anything that stands.
                assert_eq!(after.phase, job.phase, "{input:?}");
                assert_eq!(after.attempt, job.attempt, "{input:?}");
                assert!(step.says.is_empty(), "{input:?}");
            }
        }
    }
}

//! Budgets: whatever a bot, a hook or a model asks, in whatever order, the limits hold.

use earnest::engine::{Store as _, Trouble};
use earnest::market::*;
use proptest::prelude::*;

use crate::pair::*;

fn bot() -> Actor {
    Actor::bot("labels").unwrap()
}

fn budget() -> Budget {
    Budget {
        per_job: sats(21_000),
        per_person: sats(150_000),
        per_hour: sats(60_000),
        per_day: sats(150_000),
        at_risk: sats(50_000),
        fee_ppm: 10_000,
        fee_base: sats(10),
        modes: vec![Mode::Sealed],
        checks: Vec::new(),
        approve_above: sats(21_000),
    }
}

fn bounded(change: impl FnOnce(&mut Budget)) -> Pair {
    let mut pair = Pair::new();
    let mut budget = budget();
    change(&mut budget);
    budget.check().unwrap();
    pair.core_mut(Requester).set_budget(budget);
    pair
}

/// As the bot: a gig, bid on by the worker.
fn bid_for(pair: &mut Pair, price: Msat, tranches: u32) -> BidId {
    let draft = GigDraft { price, modes: vec![Mode::Sealed], ..pair.draft() };
    let gig = pair.core_mut(Requester).acting(&bot(), |core| core.post(&draft, vec![])).unwrap();
    pair.quiet();
    let wish = Wish { mode: None, price: None, tranches: Some(tranches) };
    let id = pair.core_mut(Worker).bid(&gig, wish, "I can.").unwrap();
    pair.quiet();
    id
}

fn award(pair: &mut Pair, id: &BidId) -> String {
    let said = refused(pair.core_mut(Requester).acting(&bot(), |core| core.award(id)));
    pair.quiet();
    said
}

fn accept(pair: &mut Pair, id: &BidId, max_fee: Msat) -> String {
    let ask = Ask::Accept { max_fee };
    let said = refused(pair.core_mut(Requester).acting(&bot(), |core| core.ask(id, ask)));
    pair.quiet();
    said
}

#[test]
fn a_bot_pays_within_its_budget_and_the_log_says_so() {
    let mut pair = bounded(|_| {});
    let id = bid_for(&mut pair, sats(20_000), 2);
    assert_eq!(award(&mut pair, &id), "done");
    pair.deliver_in(&id, "a", 50_000);
    assert_eq!(accept(&mut pair, &id, sats(500)), "budget-fee");
    assert_eq!(accept(&mut pair, &id, sats(110)), "done");
    assert_eq!(pair.core(Requester).job(&id).unwrap().phase, Phase::Settled);
    let rows = pair.core(Requester).store().log(&id).unwrap();
    let charged = rows.iter().filter(|row| row.kind == "automated").count();
    assert_eq!(charged, 2, "the award and the acceptance");
    let spent = pair.core(Requester).budget();
    assert_eq!((spent.at_risk, spent.hour), (Msat::ZERO, sats(20_002)));
    // A restart forgets nothing, and what is over for an hour is over.
    pair.restart(Requester);
    assert_eq!(pair.core(Requester).budget().hour, sats(20_002));
    pair.pass(Span(3601));
    assert_eq!(pair.core(Requester).budget().hour, Msat::ZERO);
    assert_eq!(pair.core(Requester).budget().day, sats(20_002));
}

#[test]
fn promises_count_until_their_job_is_over() {
    let mut pair = bounded(|_| {});
    let ids: Vec<BidId> = (0..3).map(|_| bid_for(&mut pair, sats(20_000), 1)).collect();
    assert_eq!(award(&mut pair, &ids[0]), "done");
    assert_eq!(award(&mut pair, &ids[1]), "done");
    assert_eq!(award(&mut pair, &ids[2]), "budget-risk");
    // A person is not bound, and what a person promises is not charged to the bot.
    let reason = "no".to_owned();
    pair.core_mut(Requester).ask(&ids[1], Ask::Cancel { reason }).unwrap();
    pair.quiet();
    assert_eq!(award(&mut pair, &ids[2]), "done");
    let more = bid_for(&mut pair, sats(20_000), 1);
    assert_eq!(award(&mut pair, &more), "budget-risk");
    pair.core_mut(Requester).award(&more).unwrap();
}

#[test]
fn a_job_above_what_it_may_decide_alone_waits_for_a_person() {
    let mut pair = bounded(|b| b.approve_above = sats(10_000));
    let id = bid_for(&mut pair, sats(20_000), 1);
    assert_eq!(award(&mut pair, &id), "needs-approval");
    assert_eq!(award(&mut pair, &id), "needs-approval");
    let asked = |pair: &Pair| pair.core(Requester).job(&id).unwrap().charge.asked.clone();
    assert_eq!(asked(&pair), Some((bot(), Verb::Award)));
    let rows = pair.core(Requester).store().log(&id).unwrap();
    assert_eq!(rows.iter().filter(|row| row.kind == "approval_asked").count(), 1, "asked once");
    // It cannot give itself leave.
    let own = pair.core_mut(Requester).acting(&bot(), |core| core.ask(&id, Ask::Approve));
    assert_eq!(refused(own), "person-only");
    pair.restart(Requester);
    pair.core_mut(Requester).set_budget(Budget { approve_above: sats(10_000), ..budget() });
    pair.core_mut(Requester).ask(&id, Ask::Approve).unwrap();
    assert_eq!(award(&mut pair, &id), "done");
    assert_eq!(asked(&pair), None);
    pair.deliver_in(&id, "a", 5_000);
    assert_eq!(accept(&mut pair, &id, sats(1)), "done");
    // Where nobody asked there is nothing to approve.
    let other = bid_for(&mut pair, sats(5_000), 1);
    assert_eq!(refused(pair.core_mut(Requester).ask(&other, Ask::Approve)), "not-asked");
}

#[test]
fn the_switch_stops_every_bot_and_no_person_and_outlives_a_restart() {
    let mut pair = bounded(|_| {});
    let id = bid_for(&mut pair, sats(20_000), 1);
    pair.core_mut(Requester).switch(Some("it went mad".into())).unwrap();
    pair.core_mut(Requester).switch(Some("again".into())).unwrap();
    assert_eq!(award(&mut pair, &id), "bot-stopped");
    let draft = pair.draft();
    let post = pair.core_mut(Requester).acting(&bot(), |core| core.post(&draft, vec![]));
    assert_eq!(refused(post.map(drop)), "bot-stopped");
    pair.restart(Requester);
    pair.core_mut(Requester).set_budget(budget());
    assert_eq!(pair.core(Requester).halted().map(String::as_str), Some("it went mad"));
    assert_eq!(award(&mut pair, &id), "bot-stopped");
    pair.core_mut(Requester).award(&id).unwrap();
    pair.quiet();
    pair.deliver_in(&id, "a", 5_000);
    pair.core_mut(Requester).switch(None).unwrap();
    assert_eq!(accept(&mut pair, &id, sats(1)), "done");
    pair.restart(Requester);
    assert_eq!(pair.core(Requester).halted(), None);
}

#[test]
fn a_post_with_a_key_is_one_post() {
    let mut pair = bounded(|_| {});
    let draft = GigDraft { price: sats(5_000), modes: vec![Mode::Sealed], ..pair.draft() };
    let mut post = |by: Option<&Actor>, key: &str| {
        let core = pair.core_mut(Requester);
        match by {
            Some(by) => core.acting(by, |core| core.post_once(&draft, vec![], Some(key.into()))),
            None => core.post_once(&draft, vec![], Some(key.into())),
        }
    };
    let first = post(Some(&bot()), "line-1").unwrap();
    assert_eq!(post(Some(&bot()), "line-1").unwrap(), first);
    assert_ne!(post(Some(&bot()), "line-2").unwrap(), first);
    let other = Actor::agent("labels").unwrap();
    assert_ne!(post(Some(&other), "line-1").unwrap(), first, "another actor's key is another key");
    assert_ne!(post(None, "line-1").unwrap(), first);
    assert!(matches!(post(None, ""), Err(Trouble::Refused(why)) if why.code == "bad-key"));
    pair.restart(Requester);
    let core = pair.core_mut(Requester);
    let again = core.acting(&bot(), |core| core.post_once(&draft, vec![], Some("line-1".into())));
    assert_eq!(again.unwrap(), first);
}

#[test]
fn modes_and_prices_out_of_bounds_are_not_even_published() {
    let mut pair = bounded(|_| {});
    for (draft, code) in [
        (GigDraft { modes: vec![Mode::Sealed, Mode::Direct], ..pair.draft() }, "budget-mode"),
        (GigDraft { modes: vec![Mode::Sealed], price: sats(21_001), ..pair.draft() }, "budget-job"),
    ] {
        let post = pair.core_mut(Requester).acting(&bot(), |core| core.post(&draft, vec![]));
        assert_eq!(refused(post.map(drop)), code);
    }
    assert!(pair.core(Requester).posts().is_empty());
}

#[test]
fn automation_relies_on_the_checks_that_a_person_allows() {
    let pin = |body: &str| earnest::engine::pin(body.as_bytes()).unwrap();
    let schema = pin(r#"{"v":1,"kind":"schema","scope":"whole","unit":"whole","schema":"{}"}"#);
    let hash =
        pin(&format!(r#"{{"v":1,"kind":"hash","scope":"whole","hash":"{}"}}"#, "ab".repeat(32)));
    let gig = |pair: &Pair, checks: Vec<Pinned>| GigDraft {
        modes: vec![Mode::Sealed],
        quality: Quality { checks, ..Quality::default() },
        ..pair.draft()
    };
    let post = |pair: &mut Pair, draft: &GigDraft| {
        refused(pair.core_mut(Requester).acting(&bot(), |core| core.post(draft, vec![])).map(drop))
    };
    for (allowed, given, code) in [
        (&[][..], vec![], "done"),
        (&[], vec![hash.clone()], "done"),
        (&["required"], vec![hash.clone()], "done"),
        (&["required"], vec![], "budget-check"),
        (&["schema"], vec![], "done"),
        (&["schema"], vec![schema.clone()], "done"),
        (&["schema"], vec![schema.clone(), hash.clone()], "budget-check"),
        (&["schema", "required"], vec![], "budget-check"),
        // Of one whose body is a file beside the gig, the kind is not known.
        (&["schema"], vec![Pinned { body: None, ..schema.clone() }], "budget-check"),
    ] {
        let mut pair =
            bounded(|budget| budget.checks = allowed.iter().map(ToString::to_string).collect());
        let draft = gig(&pair, given);
        assert_eq!(post(&mut pair, &draft), code, "{allowed:?}");
    }

    // A person's gig is a person's to publish; what a bot does with it is bound.
    let mut pair = bounded(|budget| budget.checks = vec!["required".into()]);
    let draft = gig(&pair, vec![]);
    assert_eq!(post(&mut pair, &draft), "budget-check");
    let open = pair.core_mut(Requester).post(&draft, vec![]).unwrap();
    pair.quiet();
    let wish = Wish { mode: None, price: None, tranches: None };
    let id = pair.core_mut(Worker).bid(&open, wish, "I can.").unwrap();
    pair.quiet();
    assert_eq!(award(&mut pair, &id), "budget-check");
    pair.core_mut(Requester).award(&id).unwrap();
    pair.quiet();
    pair.deliver("work.bin", 20_000).unwrap();
    pair.quiet();
    assert_eq!(accept(&mut pair, &id, sats(220)), "budget-check");
    let ask = Ask::Accept { max_fee: sats(220) };
    pair.core_mut(Requester).ask(&id, ask).unwrap();
}

#[derive(Debug, Clone)]
enum Op {
    Gig { sats: u64, tranches: u32 },
    Award(usize),
    Deliver(usize),
    Accept { job: usize, fee: u64 },
    Cancel(usize),
    Approve(usize),
    Later(u64),
    Earlier(u64),
    Restart,
    Switch(bool),
}

fn op() -> impl Strategy<Value = Op> {
    let job = 0usize..12;
    prop_oneof![
        3 => (1_000u64..30_000, 1u32..4).prop_map(|(sats, tranches)| Op::Gig { sats, tranches }),
        6 => job.clone().prop_map(Op::Award),
        5 => job.clone().prop_map(Op::Deliver),
        6 => (job.clone(), 0u64..400).prop_map(|(job, fee)| Op::Accept { job, fee }),
        1 => job.clone().prop_map(Op::Cancel),
        1 => job.prop_map(Op::Approve),
        2 => (1u64..50).prop_map(|n| Op::Later(n * 600)),
        1 => (1u64..20).prop_map(|n| Op::Earlier(n * 600)),
        1 => Just(Op::Restart),
        1 => any::<bool>().prop_map(Op::Switch),
    ]
}

/// What the node was seen to pay, and when; and what the limits say of it.
struct Watch {
    limits: Budget,
    seen: Vec<(u64, Msat)>,
}

impl Watch {
    fn look(&mut self, pair: &Pair) {
        let now = pair.now().0;
        for (who, _, amount) in &pair.nodes.sent[self.seen.len()..] {
            assert_eq!(*who, Requester);
            // The nodes of this world take one sat for routing.
            self.seen.push((now, amount.checked_add(sats(1)).unwrap()));
        }
        for (at, _) in &self.seen {
            let within = |span: u64| -> Msat {
                let near = |(t, _): &&(u64, Msat)| *t <= *at && t + span > at + 60;
                self.seen.iter().filter(near).map(|(_, amount)| *amount).sum()
            };
            assert!(within(3_600) <= self.limits.per_hour, "an hour: {:?}", self.seen);
            assert!(within(86_400) <= self.limits.per_day, "a day: {:?}", self.seen);
            assert!(within(86_400) <= self.limits.per_person, "a person: {:?}", self.seen);
        }
        let open = pair.core(Requester).jobs().values().filter(|job| {
            job.job.is_some() && (!job.phase.is_over() || !job.payments().is_empty())
        });
        let mut at_risk = Msat::ZERO;
        for job in open {
            assert!(job.terms().price <= self.limits.per_job);
            assert!(job.charge.approved || job.terms().price <= self.limits.approve_above);
            let paid: Msat = job.charge.paid.iter().map(|(_, amount)| *amount).sum();
            at_risk = at_risk.checked_add(job.terms().price.saturating_sub(paid)).unwrap();
        }
        assert!(at_risk <= self.limits.at_risk, "{at_risk} at risk");
        // What is kept added up is what adding up all jobs gives, whoever asks and whichever is left out.
        let (core, person) = (pair.core(Requester), pair.core(Worker).identity());
        for except in core.jobs().keys().map(Some).chain([None]) {
            for who in [Some(&person), Some(&core.identity()), None] {
                let all = Spent::of(core.jobs().values(), except, who, pair.now());
                assert_eq!(core.spent(except, who), all);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]
    #[test]
    fn whatever_automation_asks_the_budget_holds(ops in proptest::collection::vec(op(), 1..60)) {
        let limits = Budget { approve_above: sats(15_000), ..budget() };
        let mut pair = Pair::new();
        pair.core_mut(Requester).set_budget(limits.clone());
        let mut watch = Watch { limits: limits.clone(), seen: Vec::new() };
        let mut jobs: Vec<BidId> = Vec::new();
        for (n, op) in ops.into_iter().enumerate() {
            let pick = |i: usize| jobs.get(i % jobs.len().max(1)).copied();
            match op {
                Op::Gig { sats: price, tranches } => {
                    // The gig may be a person's: what the bot then does with it is bound all the same.
                    let mut draft = pair.draft();
                    draft.price = sats(price);
                    let gig = pair.core_mut(Requester).post(&draft, vec![]).unwrap();
                    pair.quiet();
                    let wish = Wish { mode: None, price: None, tranches: Some(tranches) };
                    if let Ok(id) = pair.core_mut(Worker).bid(&gig, wish, "") {
                        jobs.push(id);
                    }
                }
                Op::Award(i) => if let Some(id) = pick(i) {
                    let _ = pair.core_mut(Requester).acting(&bot(), |core| core.award(&id));
                },
                Op::Deliver(i) => if let Some(id) = pick(i) {
                    let _ = pair.deliver_to(&id, &format!("w{n}"), 2_000);
                },
                Op::Accept { job, fee } => if let Some(id) = pick(job) {
                    let ask = Ask::Accept { max_fee: sats(fee) };
                    let _ = pair.core_mut(Requester).acting(&bot(), |core| core.ask(&id, ask));
                },
                Op::Cancel(i) => if let Some(id) = pick(i) {
                    let ask = Ask::Cancel { reason: String::new() };
                    let _ = pair.core_mut(Requester).acting(&bot(), |core| core.ask(&id, ask));
                },
                Op::Approve(i) => if let Some(id) = pick(i) {
                    let _ = pair.core_mut(Requester).ask(&id, Ask::Approve);
                },
                Op::Later(secs) => pair.pass(Span(secs)),
                Op::Earlier(secs) => pair.back(Span(secs)),
                Op::Restart => {
                    pair.restart(Requester);
                    pair.core_mut(Requester).set_budget(limits.clone());
                }
                Op::Switch(halt) => {
                    pair.core_mut(Requester).switch(halt.then(String::new)).unwrap();
                }
            }
            pair.quiet();
            watch.look(&pair);
        }
    }
}

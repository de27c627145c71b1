//! Random lives of a job: whatever is said, claimed and crossed, money is never moved twice and the log
//! folds to the job.

use earnest::engine::Store as _;
use earnest::market::*;
use earnest::text::Raw;
use proptest::prelude::*;

use crate::pair::*;

#[derive(Debug, Clone, Copy)]
enum Turn {
    Deliver,
    Accept,
    Reject(bool),
    Cancel(bool),
    Note(bool),
    Deaf(bool),
    Lazy(bool, &'static str),
    Wake(bool),
    Pass(u64),
    NoRoute,
    Restart(bool),
    Forge(bool, u8),
    Height(u32),
    Fund,
    Quiet,
}

/// What happens to a job in several milestones: more of what carries it on.
fn turn_of_milestones() -> impl Strategy<Value = Turn> {
    prop_oneof![
        2 => turn(),
        2 => Just(Turn::Deliver),
        2 => Just(Turn::Accept),
        2 => Just(Turn::Fund),
        4 => Just(Turn::Quiet),
    ]
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        3 => Just(Turn::Deliver),
        4 => Just(Turn::Accept),
        1 => any::<bool>().prop_map(Turn::Reject),
        1 => any::<bool>().prop_map(Turn::Cancel),
        1 => any::<bool>().prop_map(Turn::Note),
        1 => any::<bool>().prop_map(Turn::Deaf),
        2 => (any::<bool>(), prop::sample::select(vec![
            "seal", "inspect", "fetch", "bill", "pay", "claim", "open", "publish"
        ])).prop_map(|(who, kind)| Turn::Lazy(who, kind)),
        2 => any::<bool>().prop_map(Turn::Wake),
        1 => (0u64..20_000).prop_map(Turn::Pass),
        1 => Just(Turn::NoRoute),
        1 => any::<bool>().prop_map(Turn::Restart),
        2 => (any::<bool>(), any::<u8>()).prop_map(|(who, n)| Turn::Forge(who, n)),
        1 => (0u32..1300).prop_map(Turn::Height),
        6 => Just(Turn::Quiet),
    ]
}

fn who(requester: bool) -> Who {
    if requester { Requester } else { Worker }
}

fn forged(pair: &Pair, who: Who, n: u8) -> Body {
    let attempt = pair.job(who).attempt;
    let manifest = attempt.and_then(|a| a.record).map_or(EventId([n; 32]), |r| r.id);
    let reason = Raw::from("x");
    match n % 8 {
        0 => Body::Cancel { reason },
        1 => Body::Reject { manifest, reason, next: None },
        2 => Body::Ready { manifest, tranche: u32::from(n % 3) },
        3 => Body::Settled { manifest, receipt: None },
        4 => Body::Accept { manifest, next: None, x: None, receipt: None },
        5 => Body::Bill { manifest, tranche: 0, invoice: "lnbcrt1".into() },
        6 => Body::Withdraw { reason },
        _ => Body::Note { text: reason },
    }
}

fn play(pair: &mut Pair, turn: Turn) {
    match turn {
        Turn::Deliver => drop(pair.deliver("work.bin", 20_000)),
        Turn::Accept => drop(pair.accept()),
        Turn::Reject(_) => drop(pair.reject()),
        Turn::Cancel(r) => drop(pair.cancel(who(r))),
        Turn::Note(r) => drop(pair.ask(who(r), Ask::Note { text: "hm".into() })),
        Turn::Deaf(r) => {
            let side = pair.side_mut(who(r));
            side.deaf = !side.deaf;
        }
        Turn::Lazy(r, kind) => pair.side_mut(who(r)).lazy = vec![kind],
        Turn::Wake(r) => pair.wake(who(r)),
        Turn::Pass(secs) => pair.pass(Span(secs)),
        Turn::NoRoute => pair.nodes.no_route = 1,
        Turn::Restart(r) => pair.restart(who(r)),
        Turn::Forge(r, n) => {
            let body = forged(pair, who(r), n);
            pair.say(who(r), body);
        }
        Turn::Height(height) => pair.core_mut(Worker).height(height).unwrap(),
        Turn::Fund => {
            let id = pair.id();
            drop(pair.core_mut(Requester).fund(&id, sats(100)));
        }
        Turn::Quiet => {
            pair.blocks(pair.nodes.height, &[Requester, Worker]);
            pair.quiet();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn money_moves_once_and_forward(tranches in 1u32..3, turns in prop::collection::vec(turn(), 1..40)) {
        let mut pair = Pair::new();
        pair.awarded(Wish { mode: None, price: None, tranches: Some(tranches) });
        let mut moved = [false; 2];
        for turn in turns {
            play(&mut pair, turn);
            // No hash is paid twice, and nothing is made or lost.
            for (hash, (_, _, htlc)) in &pair.nodes.htlcs {
                if matches!(htlc, Htlc::Paid(_)) {
                    let last = pair.nodes.sent.iter().rev().filter(|(_, h, _)| h == hash).count();
                    prop_assert!(last >= 1);
                }
            }
            prop_assert_eq!(pair.nodes.earned[0], -pair.nodes.earned[1]);
            prop_assert!(pair.nodes.earned[1] <= i128::from(sats(21_000).get()));
            for (i, side) in [Requester, Worker].into_iter().enumerate() {
                let job = pair.job(side);
                // A paid or received tranche stays so.
                let ended = job.attempt.iter().flat_map(|a| &a.tranches)
                    .any(|t| t.key.is_some() || t.received.is_some());
                prop_assert!(ended || !moved[i], "{:?} forgot its money after {:?}", side, turn);
                moved[i] = ended;
                // The log folds to the job.
                let rows = pair.core(side).store().log(&job.id).unwrap();
                let mut facts = rows.iter().map(|row| {
                    (row.at, serde_json::from_str::<Fact>(&row.body).unwrap())
                });
                let (at, first) = facts.next().unwrap();
                let mut folded = Job::begin(&first, at).unwrap();
                for (at, fact) in facts {
                    folded.apply(&fact, at);
                }
                prop_assert_eq!(&folded, &job);
            }
        }
        // In the end every ledger agrees with the nodes.
        pair.side_mut(Requester).deaf = false;
        pair.side_mut(Worker).deaf = false;
        pair.wake(Requester);
        pair.wake(Worker);
        pair.quiet();
        for row in pair.ledger(Requester) {
            let paid = matches!(pair.nodes.htlcs.get(&row.hash), Some((_, _, Htlc::Paid(_))));
            prop_assert_eq!(row.state == "paid", paid, "{}", row.state);
        }
        for row in pair.ledger(Worker) {
            let paid = matches!(pair.nodes.htlcs.get(&row.hash), Some((_, _, Htlc::Paid(_))));
            prop_assert_eq!(row.state == "received", paid, "{}", row.state);
        }
    }
}

/// The log folds to the job.
fn folds(pair: &Pair, side: Who) -> bool {
    let job = pair.job(side);
    let rows = pair.core(side).store().log(&job.id).unwrap();
    let mut facts =
        rows.iter().map(|row| (row.at, serde_json::from_str::<Fact>(&row.body).unwrap()));
    let (at, first) = facts.next().unwrap();
    let mut folded = Job::begin(&first, at).unwrap();
    for (at, fact) in facts {
        folded.apply(&fact, at);
    }
    folded == job
}

const MODES: [Mode; 3] = [Mode::Sealed, Mode::Escrow, Mode::Direct];

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn no_milestone_is_paid_twice_and_all_together_never_more_than_the_price(
        modes in prop::collection::vec(prop::sample::select(MODES.to_vec()), 2..5),
        turns in prop::collection::vec(turn_of_milestones(), 1..80),
    ) {
        let mut pair = in_parts(&modes);
        let prices: Vec<Msat> = pair.job(Requester).agreed().parts().map(|part| part.price).collect();
        let price: Msat = prices.iter().copied().sum();
        let mut least = [0; 2];
        for turn in turns {
            play(&mut pair, turn);
            prop_assert_eq!(pair.nodes.earned[0], -pair.nodes.earned[1]);
            prop_assert!(pair.nodes.earned[1] <= i128::from(price.get()));
            // What is paid is a run of milestones from the first: none is skipped, none is paid twice.
            let paid = |(_, amount, htlc): &(Who, Msat, Htlc)| match htlc {
                Htlc::Paid(_) => Some(*amount),
                _ => None,
            };
            let mut amounts: Vec<Msat> = pair.nodes.htlcs.values().filter_map(paid).collect();
            amounts.sort();
            prop_assert_eq!(&amounts[..], &prices[..amounts.len()], "{:?}", turn);
            // Nothing is on its way for a milestone whose turn has not come.
            let sent = pair.nodes.htlcs.values().filter(|(_, _, htlc)| *htlc == Htlc::Held).count();
            prop_assert!(sent <= 1, "{} payments at once", sent);
            for (i, side) in [Requester, Worker].into_iter().enumerate() {
                let job = pair.job(side);
                prop_assert!(job.past.len() as u32 == job.milestone && job.milestone < job.milestones());
                prop_assert!(job.past.len() >= least[i], "{:?} forgot a milestone", side);
                least[i] = job.past.len();
                prop_assert!(job.paid() <= price && job.received() <= price);
                prop_assert!(folds(&pair, side));
            }
        }
        // In the end every ledger agrees with the nodes.
        for side in [Requester, Worker] {
            pair.side_mut(side).deaf = false;
            pair.wake(side);
        }
        pair.blocks(pair.nodes.height, &[Requester, Worker]);
        pair.quiet();
        for (side, state) in [(Requester, "paid"), (Worker, "received")] {
            for row in pair.ledger(side) {
                let paid = matches!(pair.nodes.htlcs.get(&row.hash), Some((_, _, Htlc::Paid(_))));
                prop_assert_eq!(row.state == state, paid, "{:?} {}", side, row.state);
            }
        }
        let earned = u64::try_from(pair.nodes.earned[1]).unwrap();
        prop_assert_eq!(pair.job(Requester).paid().get(), earned);
        prop_assert_eq!(pair.job(Worker).received().get(), earned);
    }
}

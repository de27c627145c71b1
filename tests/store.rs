//! The store: what a user's jobs, money and book can rely on, whatever happens to the process.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "a test that cannot go on fails"
)]

#[path = "store/book.rs"]
mod book;
#[path = "store/crash.rs"]
mod crash;
#[path = "store/rows.rs"]
mod rows;

use earnest::engine::{Commit, Committed, Direction, EffectEnd, Fault, Mark, Store};
use earnest::market::{EventId, Span, Time};
use earnest::store::{Database, FORGET_MARK_AFTER, NotOpen, Ram, VERSION};

use rows::{effect, fact, gig, id, ledger};

fn mark(key: &str) -> Mark {
    Mark { source: "relay".into(), key: key.into(), at: Time(7) }
}

fn never(result: Result<Committed, Fault>) -> String {
    match result {
        Err(Fault::Never(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_same_input_twice_is_written_once() {
    let mut store = Database::memory().unwrap();
    let commit = Commit {
        mark: Some(mark("event 1")),
        facts: vec![fact(id(1), 0), fact(id(1), 1)],
        effects: vec![effect(id(1), 1, 0)],
        cursor: Some(("listings".into(), Time(7))),
        ..Commit::default()
    };
    assert_eq!(store.commit(&commit), Ok(Committed::New));
    assert_eq!(store.commit(&commit), Ok(Committed::Seen));
    assert_eq!(store.log(&id(1)).unwrap(), commit.facts);
    assert_eq!(store.outbox(), Ok((1, 0)));
    assert_eq!(store.cursor("listings"), Ok(Some(Time(7))));
    assert_eq!(store.cursor("else"), Ok(None));
    assert_eq!(store.seen("relay", "event 1"), Ok(true));
    assert_eq!(store.seen("node", "event 1"), Ok(false));
}

#[test]
fn an_event_of_ours_is_known_before_it_comes_back() {
    let mut store = Database::memory().unwrap();
    let echoes = vec![mark("ours"), mark("ours"), mark("ours too")];
    let commit = Commit { mark: Some(mark("theirs")), echoes, ..Commit::default() };
    assert_eq!(store.commit(&commit), Ok(Committed::New));
    for key in ["theirs", "ours", "ours too"] {
        let again = Commit { mark: Some(mark(key)), ..Commit::default() };
        assert_eq!(store.commit(&again), Ok(Committed::Seen));
    }
}

#[test]
fn a_mark_is_forgotten_once_nobody_asks_so_far_back() {
    let mut store = Database::memory().unwrap();
    let begin = Time(1_790_000_000);
    for n in 0..1200 {
        let seen = Mark { at: begin.after(Span(n)), ..mark(&n.to_string()) };
        store.commit(&Commit { mark: Some(seen), ..Commit::default() }).unwrap();
    }
    let mut prune = |at| {
        let mut pieces = 0;
        while store.prune(at).unwrap() > 0 {
            pieces += 1;
        }
        (pieces, (0..1200).filter(|n| store.seen("relay", &n.to_string()).unwrap()).count())
    };
    assert_eq!(prune(begin.after(FORGET_MARK_AFTER)), (0, 1200));
    assert_eq!(prune(begin.after(FORGET_MARK_AFTER).after(Span(1100))), (3, 100));
    assert_eq!(prune(begin.after(FORGET_MARK_AFTER).after(Span(2000))), (1, 0));
}

#[test]
fn a_log_has_no_gaps_and_a_failed_commit_leaves_nothing() {
    let mut store = Database::memory().unwrap();
    store.commit(&Commit { facts: vec![fact(id(1), 0)], ..Commit::default() }).unwrap();
    for n in [0, 2, 9] {
        let why = never(store.commit(&Commit {
            mark: Some(mark(&format!("event {n}"))),
            effects: vec![effect(id(1), n, 0)],
            facts: vec![fact(id(2), 0), fact(id(1), n)],
            ..Commit::default()
        }));
        assert!(why.contains("must be the next of its log"), "{why}");
        assert_eq!(store.seen("relay", &format!("event {n}")), Ok(false));
        assert_eq!(store.log(&id(2)).unwrap(), []);
        assert_eq!(store.outbox(), Ok((0, 0)));
    }
    let mut broken = fact(id(1), 1);
    broken.body = "{not json".into();
    never(store.commit(&Commit { facts: vec![broken], ..Commit::default() }));
    // The store works on after every refusal.
    store.commit(&Commit { facts: vec![fact(id(1), 1)], ..Commit::default() }).unwrap();
    assert_eq!(store.log(&id(1)).unwrap().len(), 2);
}

#[test]
fn logs_come_whole_in_the_order_they_began() {
    let mut store = Database::memory().unwrap();
    for (log, n) in [(9, 0), (3, 0), (9, 1), (3, 1), (9, 2)] {
        store.commit(&Commit { facts: vec![fact(id(log), n)], ..Commit::default() }).unwrap();
    }
    let logs = store.logs().unwrap();
    let shape: Vec<(EventId, usize)> = logs.iter().map(|(log, rows)| (*log, rows.len())).collect();
    assert_eq!(shape, [(id(9), 3), (id(3), 2)]);
}

#[test]
fn effects_are_leased_in_order_and_come_back_when_the_lease_runs_out() {
    let mut store = Database::memory().unwrap();
    let rows: Vec<_> = (0..5).map(|n| effect(id(1), n, 10 * n)).collect();
    store.commit(&Commit { effects: rows.clone(), ..Commit::default() }).unwrap();
    assert_eq!(store.next_due(), Ok(Some(Time(0))));
    assert_eq!(store.lease(Time(20), Time(60), 2).unwrap(), rows[..2]);
    assert_eq!(store.lease(Time(20), Time(60), 9).unwrap(), rows[2..3]);
    assert_eq!(store.lease(Time(20), Time(60), 9).unwrap(), []);
    assert_eq!(store.next_due(), Ok(Some(Time(30))));
    // The owner died: the lease runs out.
    assert_eq!(store.lease(Time(60), Time(90), 9).unwrap(), rows);
    // Or the owner starts again and says so.
    store.release_leases();
    assert_eq!(store.lease(Time(5), Time(90), 9).unwrap(), rows[..1]);

    let ends = vec![
        (rows[0].id, EffectEnd::Done),
        (rows[1].id, EffectEnd::Retry { not_before: Time(500), why: "relay silent".into() }),
        (rows[2].id, EffectEnd::Replace { kind: "publish".into(), body: "{}".into() }),
        (rows[3].id, EffectEnd::Park { why: "refused for good".into() }),
    ];
    store.commit(&Commit { ends: ends.clone(), ..Commit::default() }).unwrap();
    assert_eq!(store.outbox(), Ok((3, 1)));
    let due = store.lease(Time(100), Time(200), 9).unwrap();
    assert_eq!(due.iter().map(|row| row.id).collect::<Vec<_>>(), [rows[2].id, rows[4].id]);
    assert_eq!((due[0].kind.as_str(), due[0].body.as_str(), due[0].tries), ("publish", "{}", 0));
    store
        .commit(&Commit { ends: vec![(rows[2].id, EffectEnd::Done)], ..Commit::default() })
        .unwrap();
    let retried = store.lease(Time(500), Time(600), 9).unwrap();
    assert_eq!((retried[0].id, retried[0].tries), (rows[1].id, 1));
    // What another runner ended already stays ended.
    store.commit(&Commit { ends: vec![ends[0].clone()], ..Commit::default() }).unwrap();
    assert_eq!(store.outbox(), Ok((2, 1)));
}

#[test]
fn a_payment_hash_belongs_to_one_purpose_for_ever() {
    let mut store = Database::memory().unwrap();
    let row = ledger(1, Direction::Out);
    let put = |row: &_| Commit { ledger: vec![Clone::clone(row)], ..Commit::default() };
    store.commit(&put(&row)).unwrap();
    store.commit(&put(&row)).unwrap();
    for change in [
        |r: &mut earnest::engine::LedgerRow| r.log = id(99),
        |r: &mut earnest::engine::LedgerRow| r.direction = Direction::In,
        |r: &mut earnest::engine::LedgerRow| r.tranche += 1,
        |r: &mut earnest::engine::LedgerRow| r.amount = earnest::market::Msat::sats(1).unwrap(),
    ] {
        let mut other = row.clone();
        change(&mut other);
        let why = never(store.commit(&Commit { facts: vec![fact(id(5), 0)], ..put(&other) }));
        assert!(why.contains("already belongs to job"), "{why}");
        assert!(!why.contains(&row.invoice), "no invoice in an error");
        assert_eq!(store.log(&id(5)).unwrap(), []);
        assert_eq!(store.payment(&row.hash), Ok(Some(row.clone())));
    }
}

#[test]
fn a_dead_invoice_is_billed_again_and_a_live_one_is_not() {
    let mut store = Database::memory().unwrap();
    let row = ledger(1, Direction::In);
    let again = earnest::engine::LedgerRow { invoice: "lnbcrt2".into(), ..row.clone() };
    let moves = |state: &str| Commit {
        moves: vec![(row.hash, state.into(), earnest::market::Msat::ZERO)],
        ..Commit::default()
    };
    store.commit(&Commit { ledger: vec![row.clone()], ..Commit::default() }).unwrap();
    for live in ["inflight", "paid", "claimable", "received"] {
        store.commit(&moves(live)).unwrap();
        let why = never(store.commit(&Commit { ledger: vec![again.clone()], ..Commit::default() }));
        assert!(why.contains("may be moving"), "{why}");
    }
    store.commit(&moves("failed")).unwrap();
    store.commit(&Commit { ledger: vec![again.clone()], ..Commit::default() }).unwrap();
    assert_eq!(store.payments(), Ok(vec![again]));
    never(store.commit(&moves("eaten")));
    let unknown = vec![(ledger(9, Direction::In).hash, "paid".into(), earnest::market::Msat::ZERO)];
    let why = never(store.commit(&Commit { moves: unknown, ..Commit::default() }));
    assert!(why.contains("not in the ledger"), "{why}");
}

#[test]
fn memory_survives_a_crash_as_a_disk_does() {
    let ram = Ram::default();
    let mut first = ram.open().unwrap();
    first.commit(&Commit { facts: vec![fact(id(1), 0)], ..Commit::default() }).unwrap();
    assert!(matches!(ram.open(), Err(NotOpen::MemoryInUse)));
    drop(first);
    let mut second = ram.open().unwrap();
    assert_eq!(second.log(&id(1)).unwrap().len(), 1);
    second.commit(&Commit { facts: vec![fact(id(1), 1)], ..Commit::default() }).unwrap();
}

#[test]
fn every_released_schema_opens_and_reads() {
    let fixture = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(format!("tests/fixtures/store-v{VERSION}.sqlite"));
    let muted = earnest::market::Pubkey([9; 32]);
    let (job, offence) = (earnest::market::JobId([8; 32]), earnest::market::Offence::Key);
    let proof = earnest::market::Testimony::Proof { against: muted, job, offence };
    let job = Commit {
        mark: Some(mark("event 1")),
        facts: vec![fact(id(1), 0), fact(id(1), 1)],
        effects: vec![effect(id(1), 1, 30)],
        ledger: vec![ledger(1, Direction::Out)],
        gigs: vec![(gig(1, "v1"), "{\"kind\":30402}".into())],
        keep: vec![gig(1, "v1").id],
        cursor: Some(("listings".into(), Time(7))),
        mutes: vec![(muted, Some(Time(5)))],
        testimonies: vec![proof.clone()],
        follows: Some(vec![muted]),
        ..Commit::default()
    };
    let dir = tempfile::tempdir().unwrap();
    // A new schema's fixture is written once, by hand, and never again.
    if std::env::var("EARNEST_WRITE_FIXTURE").is_ok() {
        Database::open(dir.path(), "fixture").unwrap().commit(&job).unwrap();
        std::fs::copy(dir.path().join("store.sqlite"), &fixture).unwrap();
    }
    for version in 1..=VERSION {
        let file = fixture.with_file_name(format!("store-v{version}.sqlite"));
        std::fs::copy(&file, dir.path().join("store.sqlite")).unwrap();
        let mut store = Database::open(dir.path(), "test").unwrap();
        assert_eq!(store.logs().unwrap(), [(id(1), job.facts.clone())]);
        assert_eq!(store.payments().unwrap(), job.ledger);
        assert_eq!(store.gig(&job.keep[0]).unwrap().as_ref(), job.gigs.first());
        assert_eq!(store.cursor("listings"), Ok(Some(Time(7))));
        assert_eq!(store.lease(Time(30), Time(60), 9).unwrap(), job.effects);
        // The first two versions knew nobody who is muted.
        let mutes = if version < 3 { vec![] } else { vec![(muted, Time(5))] };
        assert_eq!(store.mutes().unwrap(), mutes);
        // And the first three nothing of what is said of people.
        let said = if version < 4 { vec![] } else { vec![proof.clone()] };
        assert_eq!(store.testimonies(&muted).unwrap(), said);
        assert_eq!(store.follows().unwrap().len(), said.len());
        assert_eq!(store.commit(&job), Ok(Committed::Seen));
    }
}

#[test]
fn the_muted_are_not_in_the_book_and_come_back() {
    let mut store = Database::memory().unwrap();
    let (one, mut two) = (gig(1, "v1"), gig(2, "v1"));
    two.author = earnest::market::Pubkey([9; 32]);
    let gigs = vec![(one.clone(), "{}".into()), (two.clone(), "{}".into())];
    store.commit(&Commit { gigs, ..Commit::default() }).unwrap();
    let shown = |store: &Database, sort| {
        let mut query = earnest::market::Query::everything(one.network);
        (query.all, query.sort) = (true, sort);
        let page = store.find(&query, Time(0)).unwrap();
        page.gigs.iter().map(|gig| gig.id).collect::<std::collections::BTreeSet<_>>()
    };
    let both = [one.id, two.id].into();
    use earnest::market::Sort::{Closing, Newest, Price};
    for (since, wanted) in [
        (None, &both),
        (Some(Time(3)), &[one.id].into()),
        // Once more changes nothing, not even since when.
        (Some(Time(8)), &[one.id].into()),
        (None, &both),
    ] {
        let mutes = vec![(two.author, since)];
        store.commit(&Commit { mutes, ..Commit::default() }).unwrap();
        for sort in [Newest, Price, Closing] {
            assert_eq!(shown(&store, sort), *wanted, "{since:?} {sort:?}");
        }
        let known = since.map(|_| (two.author, Time(3)));
        assert_eq!(store.mutes().unwrap(), known.into_iter().collect::<Vec<_>>());
    }
    // What a job answers is still there.
    assert!(store.gig(&two.id).unwrap().is_some());
}

#[test]
fn what_of_one_log_is_not_done_can_be_looked_at() {
    let mut store = Database::memory().unwrap();
    let rows: Vec<_> = (0..4).map(|n| effect(id(1), n, 0)).collect();
    store.commit(&Commit { effects: rows.clone(), ..Commit::default() }).unwrap();
    store.commit(&Commit { effects: vec![effect(id(2), 9, 0)], ..Commit::default() }).unwrap();
    let ends = vec![
        (rows[0].id, EffectEnd::Done),
        (rows[1].id, EffectEnd::Retry { not_before: Time(500), why: "relay silent".into() }),
        (rows[2].id, EffectEnd::Park { why: "refused for good".into() }),
    ];
    store.commit(&Commit { ends, ..Commit::default() }).unwrap();
    let pending = store.pending(&id(1), 9).unwrap();
    let shape: Vec<_> = pending.iter().map(|p| (p.tries, p.why.as_deref(), p.parked)).collect();
    let wanted =
        [(1, Some("relay silent"), false), (1, Some("refused for good"), true), (0, None, false)];
    assert_eq!(shape, wanted);
    assert_eq!(store.pending(&id(1), 1).unwrap().len(), 1);
    assert_eq!(store.pending(&id(3), 9).unwrap(), []);
}

#[test]
fn a_commit_takes_microseconds_in_memory_and_one_flush_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let memory = Database::memory().unwrap();
    let disk = Database::open(dir.path(), "test").unwrap();
    for (name, mut store, commits) in [("memory", memory, 5000), ("disk", disk, 300)] {
        let begin = std::time::Instant::now();
        for n in 0..commits {
            let commit = Commit {
                mark: Some(mark(&format!("event {n}"))),
                facts: vec![fact(id(1), 2 * n), fact(id(1), 2 * n + 1)],
                effects: vec![effect(id(1), n, 0)],
                ..Commit::default()
            };
            assert_eq!(store.commit(&commit), Ok(Committed::New));
        }
        let each = begin.elapsed() / u32::try_from(commits).unwrap();
        println!("{name}: a commit of a mark, two facts and an effect takes {each:?}");
        // Generous: the machine may be busy.
        assert!(name == "disk" || each < std::time::Duration::from_millis(2), "{each:?}");
    }
}

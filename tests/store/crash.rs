//! One owner, the disk's modes, kill -9, a full disk and a damaged file.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use earnest::engine::{Commit, Fault, Store};
use earnest::store::{Database, NotOpen};

use crate::rows::{effect, fact, id};

/// Runs one test of this file in another process, on `dir`.
fn other_process(test: &str, dir: &Path) -> std::process::Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env("EARNEST_TEST_DIR", dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// What the other process does; by itself it is nothing.
#[test]
fn writer() {
    let Some(dir) = std::env::var_os("EARNEST_TEST_DIR") else { return };
    let mut store = Database::open(Path::new(&dir), "earnest writer").unwrap();
    let from = store.log(&id(1)).unwrap().len() as u64;
    for n in from.. {
        let facts = vec![fact(id(1), n), fact(id(2), n)];
        let effects = vec![effect(id(1), n, 0)];
        store.commit(&Commit { facts, effects, ..Commit::default() }).unwrap();
        // Libtest prints to stdout as well; a word of ours tells the lines apart.
        say(n);
    }
}

fn say(n: u64) {
    use std::io::Write as _;
    let mut out = std::io::stdout();
    // Whoever killed us reads no more.
    let _ = writeln!(out, "committed {n}").and_then(|()| out.flush());
}

#[test]
fn kill_9_loses_no_commit_that_was_acknowledged_and_halves_none() {
    let dir = tempfile::tempdir().unwrap();
    let mut last = None;
    for round in 1..=3u64 {
        let mut child = other_process("crash::writer", dir.path());
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut heard = 0;
        while heard < 20 * round {
            let line = lines.next().expect("the writer ended by itself").unwrap();
            // The first line shares its line with what libtest prints before it.
            if let Some((_, n)) = line.split_once("committed ") {
                last = Some(n.parse::<u64>().unwrap());
                heard += 1;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let store = Database::open(dir.path(), "test").unwrap();
        let (one, two) = (store.log(&id(1)).unwrap(), store.log(&id(2)).unwrap());
        assert!(one.len() as u64 > last.unwrap(), "{} facts, {last:?} acknowledged", one.len());
        assert_eq!(one.len(), two.len());
        assert_eq!(store.outbox().unwrap().0, one.len() as u64);
    }
}

#[test]
fn a_second_process_is_refused_in_a_sentence_that_names_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = other_process("crash::writer", dir.path());
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("committed ")));
    let refused = Database::open(dir.path(), "earnest cli").unwrap_err();
    let NotOpen::Owned { what, pid, .. } = &refused else { panic!("{refused}") };
    assert_eq!((what.as_str(), *pid), ("earnest writer", Some(child.id())));
    let said = refused.to_string();
    assert!(said.contains("in use by `earnest writer`"), "{said}");
    assert!(said.contains(&child.id().to_string()), "{said}");
    child.kill().unwrap();
    child.wait().unwrap();
    Database::open(dir.path(), "earnest cli").unwrap();
}

#[test]
fn the_lock_goes_with_the_value() {
    let dir = tempfile::tempdir().unwrap();
    let store = Database::open(dir.path(), "one").unwrap();
    assert!(matches!(Database::open(dir.path(), "two"), Err(NotOpen::Owned { .. })));
    drop(store);
    Database::open(dir.path(), "two").unwrap();
}

#[cfg(unix)]
#[test]
fn nobody_else_reads_the_files() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut store = Database::open(&data, "test").unwrap();
    store.commit(&Commit { facts: vec![fact(id(1), 0)], ..Commit::default() }).unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&data), 0o700);
    let files: Vec<_> = std::fs::read_dir(&data).unwrap().map(|f| f.unwrap().path()).collect();
    assert!(files.len() >= 3, "{files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[test]
fn what_is_not_ours_is_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("store.sqlite");
    let other = rusqlite::Connection::open(&file).unwrap();
    other.execute_batch("CREATE TABLE theirs (a)").unwrap();
    drop(other);
    let refused = Database::open(dir.path(), "test").unwrap_err();
    assert!(matches!(refused, NotOpen::Foreign), "{refused}");

    std::fs::write(&file, vec![b'x'; 8192]).unwrap();
    let refused = Database::open(dir.path(), "test").unwrap_err().to_string();
    assert!(refused.contains("cannot open the database"), "{refused}");
}

#[test]
fn a_newer_database_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    drop(Database::open(dir.path(), "test").unwrap());
    let raw = rusqlite::Connection::open(dir.path().join("store.sqlite")).unwrap();
    raw.pragma_update(None, "user_version", 99).unwrap();
    drop(raw);
    let refused = Database::open(dir.path(), "test").unwrap_err();
    assert!(matches!(refused, NotOpen::Newer { found: 99, .. }), "{refused}");
}

#[test]
fn facts_and_payments_refuse_whoever_changes_them_behind_our_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Database::open(dir.path(), "test").unwrap();
    let ledger = vec![crate::rows::ledger(1, earnest::engine::Direction::Out)];
    let facts = vec![fact(id(1), 0)];
    store.commit(&Commit { facts, ledger, ..Commit::default() }).unwrap();
    drop(store);
    let raw = rusqlite::Connection::open(dir.path().join("store.sqlite")).unwrap();
    for sql in [
        "UPDATE fact SET body = '{}'",
        "DELETE FROM fact",
        "INSERT OR REPLACE INTO fact SELECT * FROM fact",
        "INSERT INTO fact (log, n, at, kind, v, body) SELECT log, 2, at, kind, v, body FROM fact",
        "UPDATE ledger SET amount = 1",
        "DELETE FROM ledger",
    ] {
        assert!(raw.execute_batch(sql).is_err(), "{sql}");
    }
}

#[test]
fn a_full_disk_is_a_sentence_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Database::open(dir.path(), "test").unwrap();
    store.limit_bytes(1 << 20).unwrap();
    let mut n = 0;
    let why = loop {
        let mut row = fact(id(1), n);
        row.body = format!("\"{}\"", "x".repeat(10_000));
        match store.commit(&Commit { facts: vec![row], ..Commit::default() }) {
            Ok(_) => n += 1,
            Err(Fault::Later(why)) => break why,
            Err(fault) => panic!("{fault:?}"),
        }
    };
    assert!(why.contains("disk is full") && why.contains("no money moved"), "{why}");
    assert!(n > 10);
    assert_eq!(store.log(&id(1)).unwrap().len() as u64, n);
    // With room again the same commit goes through.
    store.limit_bytes(64 << 20).unwrap();
    store.commit(&Commit { facts: vec![fact(id(1), n)], ..Commit::default() }).unwrap();
}

#[test]
fn a_damaged_database_is_a_sentence_and_never_a_panic() {
    use std::os::unix::fs::FileExt as _;
    let dir = tempfile::tempdir().unwrap();
    let mut store = Database::open(dir.path(), "test").unwrap();
    for n in 0..500 {
        store.commit(&Commit { facts: vec![fact(id(1), n)], ..Commit::default() }).unwrap();
    }
    drop(store);
    let path = dir.path().join("store.sqlite");
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    let pages = path.metadata().unwrap().len() / 4096;
    for page in 1..pages {
        file.write_at(&[0xff; 64], page * 4096).unwrap();
    }
    let said = match Database::open(dir.path(), "test") {
        Err(refused) => refused.to_string(),
        Ok(store) => match store.logs() {
            Err(Fault::Never(why)) => why,
            other => panic!("{other:?}"),
        },
    };
    assert!(said.contains("Coins and channels are kept by the node"), "{said}");
}

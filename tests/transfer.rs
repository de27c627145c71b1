//! Files go from their holder to the one endpoint they are for, whole and right or not at all.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "transfer/gate.rs"]
mod gate;
#[path = "transfer/holding.rs"]
mod holding;
#[path = "transfer/liar.rs"]
mod liar;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use earnest::engine::{FetchOrder, Grant, Transfer};
use earnest::market::Address;
use earnest::transfer::{Endpoint, EndpointConfig, LARGEST};
use holding::{
    Holding, assert_later, assert_never, blob, endpoint, fetch, fetch_telling, hasty, sentence,
};
use liar::{End, GROUP, Liar, Script};
use proptest::prelude::*;
use tokio::task::JoinSet;

#[tokio::test(flavor = "multi_thread")]
async fn a_deliverable_arrives_whole_with_progress() {
    let (worker, requester) = (endpoint(1).await, endpoint(2).await);
    for len in [0, 1, GROUP - 1, GROUP, GROUP + 1, 2 * GROUP, 30 * GROUP + 12_345] {
        let holding = Holding::new(len);
        worker.serve(&holding.grant(&requester)).await.unwrap();
        let order = holding.order(worker.address());
        let told = Mutex::new(Vec::new());
        let tell = |held| told.lock().unwrap().push(held);
        fetch_telling(&requester, &order, tell).await.unwrap();
        holding.assert_fetched();
        let told = told.into_inner().unwrap();
        assert_eq!(told.first(), Some(&0), "{len} bytes");
        assert_eq!(told.last(), Some(&(len as u64)));
        assert!(told.is_sorted());

        // Again, with nobody to ask.
        let nobody = Address { direct: vec![], ..order.from.clone() };
        fetch(&requester, &FetchOrder { from: nobody, ..order }).await.unwrap();
    }
    worker.close().await;
    requester.close().await;
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn what_arrives_is_nobody_elses_to_read() {
    use std::os::unix::fs::PermissionsExt;
    let (worker, requester) = (endpoint(1).await, endpoint(2).await);
    let holding = Holding::new(100);
    worker.serve(&holding.grant(&requester)).await.unwrap();
    fetch(&requester, &holding.order(worker.address())).await.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&holding.fetched()), 0o600);
    assert_eq!(mode(holding.fetched().parent().unwrap()), 0o700);
    assert_eq!(mode(&holding.folder.path().join("in")), 0o700);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_cut_at_any_byte_goes_on_from_there() {
    let mut tasks = JoinSet::new();
    let requester = endpoint(2).await;
    let edge = GROUP as u64;
    for len in [70_000, 3 * GROUP + 5000] {
        let holding = Holding::new(len);
        let liar = Liar::bind(Script::honest(&holding.content), &mut tasks).await;
        let order = holding.order(liar.address());
        let mut cuts: Vec<u64> =
            vec![0, 1, 1023, 1024, 65_536, edge - 1, edge, edge + 1, 2 * edge + 77, 3 * edge];
        cuts.extend((0..12).map(|i| (i * 7_919_777 + 13) % len as u64));
        cuts.push(len as u64 - 1);
        cuts.retain(|cut| *cut < len as u64);
        for (i, cut) in cuts.into_iter().enumerate() {
            let end = [End::Finish, End::Reset, End::Hangup][i % 3];
            liar.now(Script { cut, end, ..Script::honest(&holding.content) });
            let result = fetch(&requester, &order).await;
            assert_later(&result, "The transfer was cut at");
            let held = holding.partial_len();
            assert!(held <= cut, "cut at {cut}, holds {held}");
            assert!(end != End::Finish || held == cut, "cut at {cut}, holds only {held}");
            let kept = fs::read(holding.partial()).unwrap_or_default();
            assert!(kept == holding.content[..held as usize]);

            liar.now(Script::honest(&holding.content));
            fetch(&requester, &order).await.unwrap();
            holding.assert_fetched();
            let starts = liar.seen().starts.lock().unwrap().clone();
            assert!(starts.iter().all(|start| *start == held), "{starts:?}, held {held}");
            assert_eq!(liar.seen().bytes_sent.load(Ordering::SeqCst), len as u64 - held);
            fs::remove_file(holding.fetched()).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_again_and_again_it_still_arrives() {
    let mut tasks = JoinSet::new();
    let requester = endpoint(2).await;
    let holding = Holding::new(2 * GROUP + 99);
    let liar = Liar::bind(Script::honest(&holding.content), &mut tasks).await;
    let order = holding.order(liar.address());
    let mut sent = 0;
    for cut in (1..holding.content.len() as u64).step_by(39_989) {
        liar.now(Script { cut, ..Script::honest(&holding.content) });
        assert_later(&fetch(&requester, &order).await, "cut at");
        sent += liar.seen().bytes_sent.load(Ordering::SeqCst);
        assert_eq!(sent, cut, "no byte came twice");
    }
    liar.now(Script::honest(&holding.content));
    fetch(&requester, &order).await.unwrap();
    holding.assert_fetched();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_byte_is_found_and_nothing_of_it_stays() {
    let mut tasks = JoinSet::new();
    let requester = endpoint(2).await;
    for len in [1, 5000, 3 * GROUP + 5000] {
        let holding = Holding::new(len);
        let liar = Liar::bind(Script::honest(&holding.content), &mut tasks).await;
        let order = holding.order(liar.address());
        for at in [0, len / 3, len / 2, len - 1] {
            let mut script = Script::honest(&holding.content);
            script.sent[at] ^= 1;
            liar.now(script);
            let result = fetch(&requester, &order).await;
            assert_never(&result, "wrong bytes");
            assert!(sentence(&result).contains("no money moved"));
            assert!(!holding.partial().exists() && !holding.fetched().exists());
        }
        // The whole description may be of another file, too.
        let mut script = Script::honest(&holding.content);
        script.described[len / 2] ^= 1;
        liar.now(script);
        assert_never(&fetch(&requester, &order).await, "not the one that was promised");
        assert!(!holding.partial().exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lie_about_the_size_stores_nothing() {
    let mut tasks = JoinSet::new();
    let requester = endpoint(2).await;
    let holding = Holding::new(GROUP + 5);
    let liar = Liar::bind(Script::honest(&holding.content), &mut tasks).await;
    let order = holding.order(liar.address());
    for size in [0, GROUP as u64 + 4, GROUP as u64 + 6, u64::MAX] {
        liar.now(Script { size, ..Script::honest(&holding.content) });
        assert_never(&fetch(&requester, &order).await, "were promised");
        assert!(!holding.partial().exists());
    }
    // More than it said: the rest is not even read.
    liar.now(Script { extra: 3 * GROUP, ..Script::honest(&holding.content) });
    fetch(&requester, &order).await.unwrap();
    holding.assert_fetched();

    // Orders that cannot be.
    let wrong = FetchOrder { path: holding.folder.path().join("x"), ..order.clone() };
    let empty = FetchOrder { size: 0, ..wrong.clone() };
    assert_never(&fetch(&requester, &empty).await, "empty file");
    let huge = FetchOrder { size: LARGEST + 1, ..wrong.clone() };
    assert_never(&fetch(&requester, &huge).await, "the most that is transferred");
    let nowhere = Address { direct: vec!["0.0.0.0:1".into(), "x".into()], ..order.from.clone() };
    assert_never(
        &fetch(&requester, &FetchOrder { from: nowhere, ..wrong.clone() }).await,
        "no address",
    );
    assert_never(
        &fetch(&requester, &FetchOrder { from: requester.address(), ..wrong }).await,
        "our own endpoint",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_stalls_is_left_and_what_came_is_kept() {
    let mut tasks = JoinSet::new();
    let requester = Endpoint::bind(hasty(2)).await.unwrap();
    let holding = Holding::new(2 * GROUP);
    let liar = Liar::bind(Script::honest(&holding.content), &mut tasks).await;
    let order = holding.order(liar.address());
    let cut = GROUP as u64 + 1000;
    liar.now(Script { cut, end: End::Stall, ..Script::honest(&holding.content) });
    assert_later(&fetch(&requester, &order).await, "it stalled");
    assert_eq!(holding.partial_len(), cut);
    liar.now(Script { mute: true, ..Script::honest(&holding.content) });
    assert_later(&fetch(&requester, &order).await, "did not answer in time");
    assert_eq!(holding.partial_len(), cut);
    liar.now(Script::honest(&holding.content));
    fetch(&requester, &order).await.unwrap();
    holding.assert_fetched();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partial_that_rotted_is_mended() {
    let (worker, requester) = (endpoint(1).await, endpoint(2).await);
    let holding = Holding::new(4 * GROUP + 17);
    worker.serve(&holding.grant(&requester)).await.unwrap();
    let order = holding.order(worker.address());
    fs::create_dir_all(holding.partial().parent().unwrap()).unwrap();
    // Wrong in a whole group, in the unfinished one, in a full-length file, in one that is too long.
    for (len, wrong) in [
        (3 * GROUP, GROUP + 5),
        (3 * GROUP + 900, 3 * GROUP + 5),
        (4 * GROUP + 17, 4 * GROUP),
        (4 * GROUP + 17, 0),
        (5 * GROUP, 2),
    ] {
        let mut rotten = holding.content.clone();
        rotten.resize(len, 1);
        rotten[wrong] ^= 1;
        fs::write(holding.partial(), rotten).unwrap();
        fetch(&requester, &order).await.unwrap();
        holding.assert_fetched();
        fs::remove_file(holding.fetched()).unwrap();
    }
    // Whole and right needs nobody; something else under the name is replaced; a folder is not.
    fs::write(holding.partial(), &holding.content).unwrap();
    let nobody =
        FetchOrder { from: Address { direct: vec![], ..order.from.clone() }, ..order.clone() };
    fetch(&requester, &nobody).await.unwrap();
    holding.assert_fetched();
    fs::write(holding.fetched(), b"something else").unwrap();
    fetch(&requester, &order).await.unwrap();
    holding.assert_fetched();
    let folder = FetchOrder { path: holding.folder.path().join("in"), ..order };
    assert_never(&fetch(&requester, &folder).await, "is in the way");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_path_is_fetched_to_once_at_a_time() {
    let (worker, requester) = (endpoint(1).await, endpoint(2).await);
    let holding = Holding::new(16 << 20);
    worker.serve(&holding.grant(&requester)).await.unwrap();
    let order = holding.order(worker.address());
    let (first, second) =
        tokio::join!(fetch(&requester, &order), async { fetch(&requester, &order).await });
    first.unwrap();
    assert_later(&second, "already being fetched");
    holding.assert_fetched();
    // Two paths at once are two fetches.
    let other = FetchOrder { path: holding.folder.path().join("b"), ..order.clone() };
    let third = FetchOrder { path: holding.folder.path().join("c"), ..order };
    let (b, c) = tokio::join!(fetch(&requester, &other), fetch(&requester, &third));
    b.unwrap();
    c.unwrap();
    assert!(fs::read(&third.path).unwrap() == holding.content);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changed_is_not_served() {
    let (worker, requester) = (endpoint(1).await, endpoint(2).await);
    let holding = Holding::new(3 * GROUP);
    worker.serve(&holding.grant(&requester)).await.unwrap();
    let order = holding.order(worker.address());
    let mut longer = holding.content.clone();
    longer.push(0);
    fs::write(holding.held(), longer).unwrap();
    assert_later(&fetch(&requester, &order).await, "has changed or gone");
    fs::remove_file(holding.held()).unwrap();
    assert_later(&fetch(&requester, &order).await, "has changed or gone");
    assert!(!holding.fetched().exists());

    // The same length and the same times, but one byte: the holder notices before it is sent.
    fs::write(holding.held(), &holding.content).unwrap();
    worker.serve(&holding.grant(&requester)).await.unwrap();
    let modified = fs::metadata(holding.held()).unwrap().modified().unwrap();
    let mut changed = holding.content.clone();
    changed[2 * GROUP + 1] ^= 1;
    fs::write(holding.held(), changed).unwrap();
    fs::File::options().write(true).open(holding.held()).unwrap().set_modified(modified).unwrap();
    assert_later(&fetch(&requester, &order).await, "has changed or gone");

    fs::write(holding.held(), &holding.content).unwrap();
    worker.serve(&holding.grant(&requester)).await.unwrap();
    fetch(&requester, &order).await.unwrap();
    holding.assert_fetched();
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_restart_and_it_goes_on() {
    let holding = Holding::new(64 << 20);
    let (worker, requester) = (endpoint(1).await, endpoint(2).await);
    worker.serve(&holding.grant(&requester)).await.unwrap();
    let order = holding.order(worker.address());
    let begun = Arc::new(tokio::sync::Notify::new());
    let mut tasks = JoinSet::new();
    {
        let (worker, begun) = (worker.clone(), begun.clone());
        tasks.spawn(async move {
            begun.notified().await;
            worker.close().await;
        });
    }
    let once = AtomicBool::new(false);
    let tell = |held| {
        if held > 1 << 20 && !once.swap(true, Ordering::SeqCst) {
            begun.notify_one();
        }
    };
    assert_later(&fetch_telling(&requester, &order, tell).await, "cut at");
    tasks.join_next().await;
    requester.close().await;
    assert_later(&fetch(&requester, &order).await, "cannot be reached");
    let held = holding.partial_len();
    assert!(held > 1 << 20, "{held}");
    drop((worker, requester));

    let (worker, requester) = (endpoint(1).await, endpoint(2).await);
    assert_eq!(worker.id(), order.from.endpoint, "the same key");
    let order = FetchOrder { from: worker.address(), ..order };
    assert_later(&fetch(&requester, &order).await, "does not serve this file to us, or not yet");
    worker.serve(&holding.grant(&requester)).await.unwrap();
    let first = AtomicU64::new(u64::MAX);
    let tell = |held| {
        first.fetch_min(held, Ordering::SeqCst);
    };
    fetch_telling(&requester, &order, tell).await.unwrap();
    assert_eq!(first.load(Ordering::SeqCst), held);
    holding.assert_fetched();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_moved_is_found_where_it_is_now() {
    let requester = endpoint(2).await;
    for len in [1000, 2000, 3000] {
        let worker = endpoint(1).await;
        let holding = Holding::new(len);
        worker.serve(&holding.grant(&requester)).await.unwrap();
        fetch(&requester, &holding.order(worker.address())).await.unwrap();
        holding.assert_fetched();
        worker.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_every_interface_at_most_eight_addresses_are_told() {
    let any = Endpoint::bind(EndpointConfig::new([5; 32])).await.unwrap();
    let address = any.address();
    assert!((1..=8).contains(&address.direct.len()), "{address:?}");
    for direct in &address.direct {
        let at: std::net::SocketAddr = direct.parse().unwrap();
        assert!(!at.ip().is_unspecified() && at.port() != 0);
    }
    assert_eq!(address.relay, None);
    let shown = format!("{:?} {:?}", EndpointConfig::new([5; 32]), any);
    assert!(!shown.contains("secret") && !shown.contains("5, 5"), "{shown}");
    any.close().await;
}

/// A file-size limit stands for a full disk: it needs no root and no file system of its own.
#[cfg(unix)]
#[test]
fn a_full_disk_is_said_and_what_fitted_is_kept() {
    let child = "EARNEST_TEST_FULL_DISK";
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let run = |folder: PathBuf| async move {
        let (worker, requester) = (endpoint(1).await, endpoint(2).await);
        let content = fs::read(folder.join("held")).unwrap();
        let (blob, size) = (blob(&content), content.len() as u64);
        let grant = Grant { blob, size, path: folder.join("held"), to: requester.id() };
        worker.serve(&grant).await.unwrap();
        let path = folder.join("fetched");
        fetch(&requester, &FetchOrder { blob, size, from: worker.address(), path }).await
    };
    if let Some(folder) = std::env::var_os(child) {
        let full = runtime.block_on(run(folder.into()));
        assert_later(&full, "No room on the disk");
        assert_later(&full, "No money moved");
        return;
    }
    let holding = Holding::new(4 << 20);
    // 2,048 blocks of 512 or 1,024 bytes. An ignored SIGXFSZ makes write fail instead of killing.
    let status = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 2048; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "a_full_disk_is_said_and_what_fitted_is_kept", "--nocapture"])
        .env(child, holding.folder.path())
        .output()
        .unwrap();
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
    let partial = holding.folder.path().join("fetched.partial");
    let kept = fs::read(&partial).unwrap();
    assert!((1 << 20..=2 << 20).contains(&kept.len()), "{}", kept.len());
    assert!(kept == holding.content[..kept.len()]);
    runtime.block_on(run(holding.folder.path().into())).unwrap();
    assert!(fs::read(holding.folder.path().join("fetched")).unwrap() == holding.content);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn any_file_arrives_from_any_beginning(len in 0usize..900_000, held in any::<prop::sample::Index>()) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let (worker, requester) = (endpoint(1).await, endpoint(2).await);
            let holding = Holding::new(len);
            worker.serve(&holding.grant(&requester)).await.unwrap();
            fs::create_dir_all(holding.partial().parent().unwrap()).unwrap();
            fs::write(holding.partial(), &holding.content[..held.index(len + 1)]).unwrap();
            fetch(&requester, &holding.order(worker.address())).await.unwrap();
            holding.assert_fetched();
        });
    }
}

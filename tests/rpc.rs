//! One owner, many fronts: what a user sees who starts earnest twice, and what a bad client cannot do.

#![expect(clippy::unwrap_used, reason = "a test that unwraps wrongly fails")]
#![expect(clippy::disallowed_methods, reason = "a bad client runs beside the good ones")]

#[path = "rpc/fake.rs"]
mod fake;

use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use earnest::engine::{Command, Fault, Handle, Snapshot, Trouble, WalletAnswer, WalletCommand};
use earnest::market::{Actor, EventId, GigDraft, Msat, Network, Query};
use earnest::rpc::{CONNECTIONS, Door, MOST_ASKED, Notifier, Owning, Place, connect, first, keep};
use fake::{Purse, Small, draft};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(60);

/// The first to come, and its purse.
async fn owner(dir: &Path) -> (Owning, Arc<Purse>) {
    let kept = Arc::new(Mutex::new(None));
    let door = first(dir, || {
        let kept = kept.clone();
        async move {
            let small = Small::open(dir).await?;
            *kept.lock().unwrap() = Some(small.purse.clone());
            anyhow::Ok(small)
        }
    });
    match door.await.unwrap() {
        Door::Owner(owning) => (owning, kept.lock().unwrap().take().unwrap()),
        Door::Guest(_) => panic!("nobody was there before"),
    }
}

async fn guest(dir: &Path) -> Handle {
    match first(dir, || Small::open(dir)).await.unwrap() {
        Door::Guest(handle) => handle,
        Door::Owner(_) => panic!("it has an owner"),
    }
}

/// Waits until a snapshot is as wanted.
async fn seen(handle: &Handle, wanted: impl FnMut(&Arc<Snapshot>) -> bool) -> Arc<Snapshot> {
    let mut watch = handle.watch();
    let found = timeout(PATIENCE, watch.wait_for(wanted)).await.expect("in time");
    found.expect("the engine runs").clone()
}

/// Waits until something that is counted elsewhere is so.
async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let wait = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// A client that keeps to no rule.
struct Stranger {
    lines: Lines<BufReader<OwnedReadHalf>>,
    to: OwnedWriteHalf,
}

impl Stranger {
    async fn at(dir: &Path) -> Self {
        let stream = UnixStream::connect(Place::new(dir).path()).await.unwrap();
        let (from, to) = stream.into_split();
        Self { lines: BufReader::new(from).lines(), to }
    }
    async fn send(&mut self, bytes: &[u8]) {
        // It may be shown the door in the middle of it.
        let _ = self.to.write_all(bytes).await;
    }
    /// The next line; `None` when the door is closed.
    async fn hear(&mut self) -> Option<Value> {
        let line = timeout(PATIENCE, self.lines.next_line()).await.expect("an answer or an end");
        line.ok().flatten().map(|line| serde_json::from_str(&line).unwrap())
    }
}

fn code(said: &Value) -> &str {
    said["err"]["refused"]["code"].as_str().unwrap_or("none")
}

fn send(sats: u64) -> WalletCommand {
    WalletCommand::SendOnchain { address: "bcrt1q".into(), sats }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_starts_first_owns_and_the_second_sees_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let (owning, purse) = owner(dir.path()).await;
    let guest = guest(dir.path()).await;

    let mine = seen(owning.handle(), |s| s.identity.is_some()).await;
    let theirs = seen(&guest, |s| s.identity.is_some()).await;
    assert_eq!(mine.identity, theirs.identity);

    // The guest posts: both see it, and the book answers both.
    let posted = guest
        .ask(Command::Post { draft: draft("Label images"), inputs: vec![], key: None })
        .await
        .unwrap();
    let mine = owning.handle().watch();
    // Publishing it is tried again and again meanwhile: both see that too.
    let same = |s: &Arc<Snapshot>| s.posts.len() == 1 && s.posts == mine.borrow().posts;
    let theirs = seen(&guest, same).await;
    let post = theirs.posts.get(&posted.log).unwrap();
    assert_eq!(post.gig.title.as_str(), "Label images");
    let query = Query::everything(Network::Regtest);
    let found = guest.find(query.clone()).await.unwrap();
    assert_eq!(found.gigs, owning.handle().find(query).await.unwrap().gigs);
    assert_eq!(
        guest.gig(posted.log).await.unwrap(),
        owning.handle().gig(posted.log).await.unwrap()
    );
    assert_eq!(guest.payments().await.unwrap(), vec![]);
    let preview = guest.preview(draft("Not yet"), vec![]).await.unwrap();
    assert_eq!(preview.title.as_received(), "Not yet");

    let somebody = earnest::market::Pubkey([7; 32]);
    let muted = guest.mute(somebody, true).await.unwrap();
    assert_eq!((muted.len(), muted[0].key), (1, somebody));
    assert_eq!(owning.handle().mutes().await.unwrap(), muted);
    assert_eq!(guest.mute(somebody, false).await.unwrap(), vec![]);
    assert_eq!(guest.people(None).await.unwrap(), vec![]);

    // A refusal and a thing that is not there arrive as what they are.
    let empty = guest.ask(Command::Post { draft: draft(""), inputs: vec![], key: None }).await;
    assert!(matches!(empty, Err(Trouble::Refused(r)) if r.code == "no-title"));
    let unknown = EventId([9; 32]);
    let here = owning.handle().history(unknown).await.unwrap_err();
    assert_eq!(guest.history(unknown).await.unwrap_err(), here);
    assert!(matches!(here, Trouble::NotFound { .. }));

    // The wallet is the owner's.
    purse.gate.add_permits(1);
    assert!(matches!(guest.wallet(send(5)).await, Ok(WalletAnswer::Sent { .. })));
    assert_eq!(purse.sent.load(Ordering::SeqCst), 1);

    // A guest that leaves changes nothing.
    drop(guest);
    assert!(owning.handle().payments().await.is_ok());
    owning.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_leaves_as_the_owner_hears_what_still_needs_it() {
    let dir = tempfile::tempdir().unwrap();
    let (owning, _) = owner(dir.path()).await;
    seen(owning.handle(), |s| s.identity.is_some()).await;
    assert_eq!(owning.before_leaving(), None);
    let post = Command::Post { draft: draft("Label images"), inputs: vec![], key: None };
    owning.handle().ask(post).await.unwrap();
    // Nobody takes it: it is tried again for as long as somebody runs.
    let why = |s: &Arc<Snapshot>| {
        let pending = s.posts.iter().flat_map(|post| &post.pending);
        pending.filter_map(|effect| effect.why.as_ref()).any(|why| why.contains("Nobody is there."))
    };
    seen(owning.handle(), why).await;
    let said = owning.before_leaving().unwrap();
    assert!(said.contains("one message is not sent yet"), "{said}");
    assert!(said.contains("`earnest run`"), "{said}");
    owning.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_killed_in_the_middle_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (owning, purse) = owner(dir.path()).await;
    let mut dying = Stranger::at(dir.path()).await;
    let ask = r#"{"v":1,"id":1,"do":{"wallet":{"send_onchain":{"address":"bcrt1q","sats":5}}}}"#;
    dying.send(format!("{ask}\n").as_bytes()).await;
    until("the send has begun", || purse.begun.load(Ordering::SeqCst) == 1).await;
    // The next question is cut off in the middle of its line.
    dying.send(&ask.as_bytes()[..40]).await;
    drop(dying);
    let guest = guest(dir.path()).await;
    assert!(guest.payments().await.is_ok());
    purse.gate.add_permits(5);
    until("the send is done", || purse.sent.load(Ordering::SeqCst) == 1).await;
    assert!(guest.payments().await.is_ok());
    assert_eq!(purse.begun.load(Ordering::SeqCst), 1, "half a line is no question");
    owning.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_is_refused_and_takes_nothing_from_others() {
    let dir = tempfile::tempdir().unwrap();
    let (owning, _) = owner(dir.path()).await;
    let other = guest(dir.path()).await;
    const MANY: usize = 10_000;
    let Stranger { mut lines, mut to } = Stranger::at(dir.path()).await;
    let flood = tokio::spawn(async move {
        for id in 0..MANY {
            let line = format!("{{\"v\":1,\"id\":{id},\"do\":\"payments\"}}\n");
            to.write_all(line.as_bytes()).await.unwrap();
        }
        to
    });
    let (mut answered, mut refused) = (0, 0);
    for n in 0..MANY {
        let line = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().unwrap();
        let said: Value = serde_json::from_str(&line).unwrap();
        match code(&said) {
            "flood" => refused += 1,
            _ => answered += 1,
        }
        if n == MANY / 2 {
            assert!(timeout(PATIENCE, other.payments()).await.unwrap().is_ok());
        }
    }
    drop(flood.await.unwrap());
    assert!(answered >= 512, "{answered} answered");
    assert!(refused > 0, "{answered} answered, none refused");
    owning.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_shown_the_door_with_one_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let (owning, purse) = owner(dir.path()).await;
    let long = vec![b'x'; 10 << 20];
    let deep = format!("{{\"v\":1,\"id\":1,\"do\":{}\n", "[".repeat(100_000));
    let pay = "{\"do\":{\"wallet\":{\"send_onchain\":{\"address\":\"b\",\"sats\":1}}}}\n";
    let cases: [(&[u8], &str); 12] = [
        (b"\x00\xff\xfe\x80 garbage\n", "garbage"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "garbage"),
        (b"\n", "garbage"),
        (b"{}\n", "garbage"),
        (b"{\"v\":1,\"id\":-1,\"do\":\"payments\"}\n", "garbage"),
        (b"{\"v\":99999999999,\"id\":1}\n", "garbage"),
        (pay.as_bytes(), "garbage"),
        (deep.as_bytes(), "garbage"),
        (&long, "too-long"),
        (&long[..MOST_ASKED + 1], "too-long"),
        (b"{\"v\":2,\"id\":1,\"do\":\"payments\"}\n", "unknown-version"),
        (b"{\"v\":0,\"id\":1,\"do\":\"payments\"}\n", "unknown-version"),
    ];
    for (bytes, why) in cases {
        let mut stranger = Stranger::at(dir.path()).await;
        stranger.send(bytes).await;
        let what = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]);
        // A line that is still being written when the door closes may take the sentence with it.
        if let Some(said) = stranger.hear().await {
            assert_eq!(code(&said), why, "{what}");
            assert!(
                said["err"]["refused"]["sentence"].as_str().unwrap().contains("Nothing was done")
            );
        } else {
            assert_eq!(why, "too-long", "{what}");
        }
        assert_eq!(stranger.hear().await, None, "{what}");
    }
    // A question that is not known is answered, and the next is heard.
    let mut newer = Stranger::at(dir.path()).await;
    newer
        .send(b"{\"v\":1,\"id\":7,\"do\":\"fly\"}\n{\"v\":1,\"id\":8,\"do\":\"payments\"}\n")
        .await;
    let said = newer.hear().await.unwrap();
    assert_eq!((code(&said), &said["id"]), ("unknown-question", &Value::from(7)));
    assert_eq!(newer.hear().await.unwrap()["ok"]["answer"]["payments"], Value::Array(vec![]));
    assert_eq!(purse.begun.load(Ordering::SeqCst), 0);
    owning.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let (owning, purse) = owner(dir.path()).await;
    let mut slow = Stranger::at(dir.path()).await;
    slow.send(b"{\"v\":1,\"id\":1,\"do\":\"watch\"}\n").await;
    // Each answer is a megabyte: all of them would be five hundred.
    for id in 0..500 {
        let line = format!("{{\"v\":1,\"id\":{id},\"do\":{{\"wallet\":\"new_address\"}}}}\n");
        if timeout(Duration::from_secs(2), slow.to.write_all(line.as_bytes())).await.is_err() {
            break;
        }
    }
    until("it is being answered", || purse.told.load(Ordering::SeqCst) > 0).await;
    let other = guest(dir.path()).await;
    for n in 0..20 {
        let title = format!("Gig {n}");
        other.ask(Command::Post { draft: draft(&title), inputs: vec![], key: None }).await.unwrap();
    }
    seen(&other, |s| s.posts.len() == 20).await;
    let told = purse.told.load(Ordering::SeqCst);
    assert!(told <= 16, "{told} answers were made for a client that reads none");
    owning.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_clients_are_told_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let (owning, _) = owner(dir.path()).await;
    let mut guests = Vec::new();
    for _ in 0..50 {
        guests.push(connect(dir.path()).await.unwrap());
    }
    let asked = guests.iter().take(10).enumerate().map(|(n, guest)| {
        guest.ask(Command::Post { draft: draft(&format!("Gig {n}")), inputs: vec![], key: None })
    });
    for posted in futures::future::join_all(asked).await {
        posted.unwrap();
    }
    seen(owning.handle(), |s| s.posts.len() == 10).await;
    // Publishing them is tried again and again meanwhile: everybody sees that too.
    let mine = owning.handle().watch();
    for guest in &guests {
        seen(guest, |s| s.posts == mine.borrow().posts).await;
    }
    owning.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_too_many_is_told_so_and_the_rest_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let (owning, _) = owner(dir.path()).await;
    let other = guest(dir.path()).await;
    let mut all = Vec::new();
    for _ in 1..CONNECTIONS {
        all.push(Stranger::at(dir.path()).await);
    }
    let mut late = Stranger::at(dir.path()).await;
    assert_eq!(code(&late.hear().await.unwrap()), "too-many-connections");
    assert_eq!(late.hear().await, None);
    assert!(other.payments().await.is_ok());
    all.clear();
    // Their places are free again.
    let again = async {
        while connect(dir.path()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, again).await.unwrap();
    owning.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_is_told_when_the_owner_goes_and_the_next_owns() {
    let dir = tempfile::tempdir().unwrap();
    let (owning, _) = owner(dir.path()).await;
    let guest = guest(dir.path()).await;
    let mut watch = guest.watch();
    let mut notices = guest.notices();
    owning.stop().await.unwrap();
    let closed = async { while watch.changed().await.is_ok() {} };
    timeout(PATIENCE, closed).await.expect("the guest is told");
    match guest.wallet(send(1)).await {
        Err(Trouble::Failed(Fault::Later(said))) => {
            assert!(said.contains("stopped") && said.contains("no money is lost"), "{said}");
        }
        other => panic!("{other:?}"),
    }
    assert!(timeout(PATIENCE, notices.recv()).await.unwrap().is_err());
    assert!(timeout(PATIENCE, guest.notices().recv()).await.unwrap().is_err());
    assert!(!Place::new(dir.path()).path().exists(), "the socket is taken away");
    let (next, _) = owner(dir.path()).await;
    next.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_is_its_owners_alone_and_a_dead_ones_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("regtest");
    std::fs::create_dir_all(&home).unwrap();
    let socket = home.join("owner.sock");
    // What a process leaves that was killed.
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    assert!(socket.exists());
    assert!(connect(&home).await.is_err());
    let (owning, _) = owner(&home).await;
    let found = std::fs::symlink_metadata(&socket).unwrap();
    assert!(found.file_type().is_socket());
    assert_eq!(found.permissions().mode() & 0o777, 0o600);
    assert!(guest(&home).await.payments().await.is_ok());
    owning.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_too_long_for_a_socket_leads_to_a_short_one() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("a-data-directory-with-a-long-name".repeat(5));
    assert!(connect(&home).await.is_err());
    let (owning, _) = owner(&home).await;
    let path = Place::new(&home).path();
    assert!(!path.starts_with(&home) && path.as_os_str().len() < 100, "{}", path.display());
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let around = path.parent().unwrap().to_owned();
    assert_eq!(std::fs::metadata(&around).unwrap().permissions().mode() & 0o777, 0o700);
    assert!(guest(&home).await.payments().await.is_ok());
    owning.stop().await.unwrap();
    assert!(!around.exists(), "nothing is left behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_headless_owner_tells_systemd_and_ends_when_a_guest_asks() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join("notify");
    let manager = tokio::net::UnixDatagram::bind(&at).unwrap();
    let (owning, _) = owner(dir.path()).await;
    let guest = guest(dir.path()).await;
    let notifier = Notifier::new(Some(at.into()), Some(Duration::from_secs(30)));
    let running =
        tokio::spawn(async move { keep(owning, &notifier, std::future::pending()).await });
    let hear = async || {
        let mut said = [0; 256];
        let n = timeout(PATIENCE, manager.recv(&mut said)).await.unwrap().unwrap();
        String::from_utf8_lossy(&said[..n]).into_owned()
    };
    assert!(hear().await.starts_with("READY=1"));
    assert_eq!(hear().await, "WATCHDOG=1");
    guest.stop().await;
    assert_eq!(hear().await, "STOPPING=1");
    timeout(PATIENCE, running).await.unwrap().unwrap().unwrap();
    let (next, _) = owner(dir.path()).await;
    next.stop().await.unwrap();
}

/// Only what a person may do: asked over the socket by somebody who said that it is a bot.
#[tokio::test(flavor = "multi_thread")]
async fn a_bot_on_the_socket_stays_a_bot() {
    let dir = tempfile::tempdir().unwrap();
    let (owning, purse) = owner(dir.path()).await;
    let person = guest(dir.path()).await;
    let bot = guest(dir.path()).await.acting_as(&Actor::bot("labels").unwrap());
    let refused = |trouble: Trouble| match trouble {
        Trouble::Refused(why) => why.code,
        other => other.to_string(),
    };
    purse.gate.add_permits(1);
    assert_eq!(refused(bot.wallet(send(5)).await.unwrap_err()), "person-only");
    assert_eq!(
        refused(bot.mute(earnest::market::Pubkey([7; 32]), true).await.unwrap_err()),
        "person-only"
    );
    let dear = Command::Post {
        draft: GigDraft { price: Msat::sats(5_001).unwrap(), ..draft("Dear") },
        inputs: vec![],
        key: None,
    };
    assert_eq!(refused(bot.ask(dear.clone()).await.unwrap_err()), "budget-job");
    // Another name over the first, or none, is still the bot.
    let other = bot.acting_as(&Actor::agent("model").unwrap());
    assert_eq!(other.actor(), Some(&Actor::bot("labels").unwrap()));
    assert!(bot.budget().await.is_ok());
    assert!(bot.halt("I see something odd").await.unwrap().halted.is_some());
    assert_eq!(refused(bot.resume().await.unwrap_err()), "person-only");
    let cheap = Command::Post { draft: draft("Cheap"), inputs: vec![], key: Some("1".into()) };
    assert_eq!(refused(bot.ask(cheap.clone()).await.unwrap_err()), "bot-stopped");
    seen(&person, |s| s.halted.is_some()).await;
    assert!(person.resume().await.unwrap().halted.is_none());
    let first = bot.ask(cheap.clone()).await.unwrap().log;
    assert_eq!(bot.ask(cheap).await.unwrap().log, first);
    let now = seen(&person, |s| s.posts.len() == 1).await;
    let post = now.posts.iter().next().unwrap();
    assert_eq!(post.by, Some(Actor::bot("labels").unwrap()));
    assert_eq!(post.key.as_deref(), Some("1"));
    person.ask(dear).await.unwrap();

    // A program that says once that it is a bot does not get out of it by leaving the name away.
    let mut stranger = Stranger::at(dir.path()).await;
    for (n, (asked, said)) in [
        (r#"{"as":{"by":"bot:odd","call":"budget"}}"#, "none"),
        (r#"{"as":{"by":"bot:other","call":"budget"}}"#, "another-name"),
        (r#"{"switch":null}"#, "person-only"),
        (
            r#"{"as":{"by":"bot:odd","call":{"as":{"by":"bot:odd","call":"budget"}}}}"#,
            "person-only",
        ),
        (r#"{"as":{"by":"A Person","call":"budget"}}"#, "unknown-question"),
        (r#""stop""#, "person-only"),
    ]
    .into_iter()
    .enumerate()
    {
        stranger.send(format!("{{\"v\":1,\"id\":{n},\"do\":{asked}}}\n").as_bytes()).await;
        let heard = stranger.hear().await.unwrap();
        assert_eq!(code(&heard), said, "{asked}: {heard}");
    }
    assert_eq!(purse.sent.load(Ordering::SeqCst), 0);
    owning.stop().await.unwrap();
}

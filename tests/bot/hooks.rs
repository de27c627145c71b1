//! Hooks that hang, flood and die: each is told of everything all the same, and no other waits for it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use earnest::bot::*;
use earnest::engine::{Notice, Severity, ToldNotice};
use earnest::market::*;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::scene::{Stage, sees, until};

pub(crate) fn notice(seq: u64, code: &str) -> ToldNotice {
    let notice = Notice {
        at: Time(seq),
        severity: Severity::Info,
        code: code.into(),
        job: EventId([seq as u8; 32]),
        text: format!("Notice {seq}."),
        money: Money::Untouched,
    };
    ToldNotice { seq, id: format!("job:{seq}"), notice }
}

pub(crate) fn hook(on: &str, text: &str) -> Hook {
    let words = ["sh", "-c", text].map(str::to_owned).to_vec();
    Hook { on: vec![on.into()], tell: Tell::Run(words), time: Duration::from_secs(5) }
}

/// The ids that a hook wrote down.
pub(crate) fn ids(list: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(list).unwrap_or_default();
    let id = |line: &str| {
        let said: serde_json::Value = serde_json::from_str(line).unwrap();
        said["id"].as_str().unwrap().to_owned()
    };
    text.lines().map(id).collect()
}

struct Room {
    dir: tempfile::TempDir,
    stage: Arc<Stage>,
}

impl Room {
    fn new() -> Self {
        let stage = Stage::new(sees(vec![], vec![]), |_, command| panic!("{command:?}"));
        Self { dir: tempfile::tempdir().unwrap(), stage }
    }
    fn list(&self) -> PathBuf {
        self.dir.path().join("list")
    }
    async fn start(&self, hooks: &[Hook]) -> (Hooks, UnboundedReceiver<Event>) {
        let (say, said) = unbounded_channel();
        let (home, beside) = (self.dir.path().join("home"), Path::new("/"));
        let hooks = Hooks::start(self.stage.handle(), hooks.to_vec(), beside, &home, say).await;
        (hooks.unwrap(), said)
    }
    fn happens(&self, seq: u64, code: &str) {
        let told = notice(seq, code);
        self.stage.told.lock().unwrap().push(told.clone());
        let _ = self.stage.notices.send(told.notice);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_is_told_in_order_from_where_it_was_whatever_others_do() {
    let room = Room::new();
    room.happens(3, "paid");
    let list = room.list();
    let writes = format!("cat >> {}", list.display());
    let slow = Hook { time: Duration::from_secs(2), ..hook("paid", "sleep 1000") };
    let hooks = [
        slow,
        hook("*", "yes"),
        hook("*", "kill -9 $$"),
        hook("*", &writes),
        hook("cheated", &format!("echo never >> {}", list.display())),
    ];
    let (running, _) = room.start(&hooks).await;
    room.happens(4, "paid");
    room.happens(9, "bid");
    running.finish().await;
    assert_eq!(ids(&list), ["job:4", "job:9"], "what was before is not told");
    let (running, _) = room.start(&hooks).await;
    running.finish().await;
    assert_eq!(ids(&list).len(), 2, "what was told is not told again");
    // Killed before it was written down: told again, with the same id.
    for entry in std::fs::read_dir(room.dir.path().join("home/hooks")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|it| it == "at") {
            std::fs::write(path, "4\n").unwrap();
        }
    }
    let (running, _) = room.start(&hooks).await;
    running.finish().await;
    assert_eq!(ids(&list), ["job:4", "job:9", "job:9"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_hangs_holds_no_other() {
    let room = Room::new();
    let hangs = Hook { time: Duration::from_secs(1_000), ..hook("*", "sleep 1000") };
    let writes = hook("*", &format!("cat >> {}", room.list().display()));
    let (_running, _said) = room.start(&[hangs, writes]).await;
    room.happens(1, "paid");
    until("the second hook is told", || ids(&room.list()) == ["job:1"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_fails_is_told_again_until_it_takes_it() {
    let room = Room::new();
    let tries = room.dir.path().join("tries");
    // It says no four times.
    let text = format!(
        "echo >> {0}; test $(wc -l < {0}) -gt 4 && cat >> {1}",
        tries.display(),
        room.list().display()
    );
    let (running, mut said) = room.start(&[hook("*", &text)]).await;
    room.happens(1, "paid");
    room.happens(2, "settled");
    until("it takes both", || ids(&room.list()) == ["job:1", "job:2"]).await;
    running.finish().await;
    assert_eq!(ids(&room.list()), ["job:1", "job:2"]);
    // A person hears of it once, not each time.
    let event = said.try_recv().unwrap();
    assert_eq!(event.what, "hook-failed");
    assert!(event.why.contains("job:1"), "{}", event.why);
    assert!(said.try_recv().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn how_far_a_hook_was_told_is_never_guessed() {
    let room = Room::new();
    let hooks = [hook("*", "cat")];
    let (running, _) = room.start(&hooks).await;
    running.finish().await;
    let home = room.dir.path().join("home");
    let entry = std::fs::read_dir(home.join("hooks")).unwrap().next().unwrap().unwrap();
    std::fs::write(entry.path(), "far").unwrap();
    let (say, _) = unbounded_channel();
    let started = Hooks::start(room.stage.handle(), hooks.to_vec(), Path::new("/"), &home, say);
    let why = started.await.err().unwrap();
    assert!(why.contains("does not say how far a hook was told"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_posted_on_this_machine() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let room = Room::new();
    let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://localhost:{}/told?by=earnest", server.local_addr().unwrap().port());
    let url = url::Url::parse(&url).unwrap();
    assert!(is_loopback(&url));
    let hook = Hook { on: vec!["*".into()], tell: Tell::Url(url), time: Duration::from_secs(5) };
    let (running, _said) = room.start(&[hook]).await;
    room.happens(1, "paid");
    let mut heard = Vec::new();
    for answer in ["HTTP/1.1 500 No\r\n\r\n", "HTTP/1.1 204 Yes\r\n\r\n"] {
        let (mut stream, _) = server.accept().await.unwrap();
        let mut bytes = vec![0; 4096];
        let mut n = 0;
        while !String::from_utf8_lossy(&bytes[..n]).contains("job:1") {
            n += stream.read(&mut bytes[n..]).await.unwrap();
        }
        heard.push(String::from_utf8_lossy(&bytes[..n]).into_owned());
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
    running.finish().await;
    assert!(heard[1].starts_with("POST /told?by=earnest HTTP/1.1\r\n"), "{}", heard[1]);
    assert_eq!(heard[0], heard[1], "the same again after a failure");
}

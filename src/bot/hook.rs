//! Hooks: a person's own programs, told of what happens. At least once for each notice, in order, with the
//! notice's id; what a hook does with it changes nothing here.
//!
//! Each hook has its own pace: how far it was told is kept in one small file, written after a notice was
//! told, so a bot that is killed tells the last one again. One that fails is told again, later and later, and
//! of nothing else before that; no other hook waits for it.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;
use tokio::task::JoinSet;
use url::{Host, Url};

use crate::bot::{Command, Event, Hook, Job, Limits, Scratch, Tell, run_command};
use crate::engine::{Handle, ToldNotice};

/// Notices read at once.
const WINDOW: u32 = 64;
/// They are looked for this often, whether one was heard of or not.
const BEAT: Duration = Duration::from_secs(5);
/// A hook that failed is told again after this, and then after twice as long, up to [`LONGEST`].
const AGAIN: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(60);
/// What a hook may use beside its time.
const MEMORY: u64 = 1 << 30;
const DISK: u64 = 64 << 20;

/// Whether a webhook may be sent there: this machine and nobody else's.
pub fn is_loopback(url: &Url) -> bool {
    let host = match url.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(ip)) => IpAddr::V4(ip).is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip).is_loopback(),
        None => false,
    };
    host && url.scheme() == "http" && url.username().is_empty() && url.password().is_none()
}

/// The hooks of one bot, while they are told.
pub struct Hooks {
    handle: Handle,
    tasks: JoinSet<()>,
    /// Up to where they are told before the end, once it has come.
    end: watch::Sender<Option<u64>>,
}

impl Hooks {
    /// They are told of what happens from now on, or from where the last run in this home stopped. What does
    /// not work goes to `say`.
    ///
    /// # Errors
    /// What the engine or the disk says. Nobody is told anything then.
    pub async fn start(
        handle: Handle,
        hooks: Vec<Hook>,
        beside: &Path,
        home: &Path,
        say: UnboundedSender<Event>,
    ) -> Result<Self, String> {
        let (_, newest) = handle.told(None, 0).await.map_err(|why| why.to_string())?;
        let home = home.join("hooks");
        std::fs::create_dir_all(&home).map_err(|why| format!("{}: {why}", home.display()))?;
        let (end, ended) = watch::channel(None);
        let mut tasks = JoinSet::new();
        let mut same: BTreeMap<String, u32> = BTreeMap::new();
        let mut ears = Vec::new();
        for hook in hooks {
            // By what is told, so that a policy's lines can be moved; twice the same are two.
            let name = name(&hook.tell);
            let nth = same.entry(name.clone()).or_default();
            *nth += 1;
            let ear = Ear {
                handle: handle.clone(),
                hook,
                beside: beside.to_owned(),
                folder: home.join(format!("{name}-{nth}")),
                say: say.clone(),
                end: ended.clone(),
            };
            if ear.at()?.is_none() {
                ear.keep(newest)?;
            }
            ears.push(ear);
        }
        for ear in ears {
            tasks.spawn(ear.run());
        }
        Ok(Self { handle, tasks, end })
    }

    /// Waits until each was told of all that has happened so far. Whoever fails now is told at the next
    /// start: nobody is waited for longer than its time.
    pub async fn finish(mut self) {
        let Ok((_, newest)) = self.handle.told(None, 0).await else { return };
        self.end.send_replace(Some(newest));
        while self.tasks.join_next().await.is_some() {}
    }
}

/// What a hook is called on the disk.
fn name(tell: &Tell) -> String {
    let words = match tell {
        Tell::Run(words) => format!("run\0{}", words.join("\0")),
        Tell::Url(url) => format!("url\0{url}"),
    };
    hex::encode(&blake3::hash(words.as_bytes()).as_bytes()[..8])
}

/// One hook, and how far it was told.
struct Ear {
    handle: Handle,
    hook: Hook,
    /// Where relative programs are looked for.
    beside: PathBuf,
    /// Its scratch folder; beside it lies how far it was told.
    folder: PathBuf,
    say: UnboundedSender<Event>,
    end: watch::Receiver<Option<u64>>,
}

/// Why a hook was not told, and of what if it was its own doing.
struct Untold {
    notice: Option<Box<ToldNotice>>,
    why: String,
}

impl From<String> for Untold {
    fn from(why: String) -> Self {
        Self { notice: None, why }
    }
}

impl Ear {
    fn cursor(&self) -> PathBuf {
        self.folder.with_extension("at")
    }

    fn at(&self) -> Result<Option<u64>, String> {
        let path = self.cursor();
        match std::fs::read_to_string(&path) {
            Ok(text) => text.trim().parse().map(Some).map_err(|_| {
                format!(
                    "{} does not say how far a hook was told: take it away, and the hook is told from now on",
                    path.display()
                )
            }),
            Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(why) => Err(format!("{}: {why}", path.display())),
        }
    }

    fn keep(&self, at: u64) -> Result<(), String> {
        let cursor = self.cursor();
        let part = cursor.with_extension("part");
        let kept = std::fs::write(&part, format!("{at}\n"))
            .and_then(|()| std::fs::File::open(&part)?.sync_all())
            .and_then(|()| std::fs::rename(&part, &cursor));
        kept.map_err(|why| format!("{}: {why}", cursor.display()))
    }

    /// Tells until the end; ends too when the engine does.
    async fn run(mut self) {
        let mut heard = self.handle.notices();
        let mut wait = AGAIN;
        let mut blamed: Option<u64> = None;
        loop {
            let end = *self.end.borrow_and_update();
            let untold = match self.tell_on(end).await {
                Ok(true) => {
                    wait = AGAIN;
                    continue;
                }
                Ok(false) => None,
                Err(untold) => Some(untold),
            };
            if let Some(Untold { notice, why }) = &untold {
                tracing::warn!(why, "a hook will be told later");
                let seq = notice.as_ref().map(|notice| notice.seq);
                if let Some(notice) = notice.as_ref().filter(|_| blamed != seq) {
                    self.blame(notice, why);
                    blamed = seq;
                }
            }
            if end.is_some() {
                return;
            }
            let pause = if untold.is_some() { wait } else { BEAT };
            wait = if untold.is_some() { (wait * 2).min(LONGEST) } else { AGAIN };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = self.end.changed() => {}
                said = heard.recv(), if untold.is_none() => {
                    if matches!(said, Err(RecvError::Closed)) {
                        return;
                    }
                }
            }
        }
    }

    fn blame(&self, told: &ToldNotice, why: &str) {
        let whom = match &self.hook.tell {
            Tell::Run(words) => words.join(" "),
            Tell::Url(url) => url.to_string(),
        };
        let why = format!(
            "`{whom}` was not told of {}: {why}. It is told again until it takes it, and of nothing else before",
            told.id
        );
        // Who does not listen any more does not miss it: the next run says it.
        let _ = self.say.send(Event::new("hook-failed", why).log(told.notice.job));
    }

    /// Tells what has come since, a window of it and not beyond `end`; whether there may be more.
    async fn tell_on(&self, end: Option<u64>) -> Result<bool, Untold> {
        let at = self.at()?.unwrap_or_default();
        if end.is_some_and(|end| at >= end) {
            return Ok(false);
        }
        let told = self.handle.told(Some(at), WINDOW).await;
        let (told, upto) = told.map_err(|why| why.to_string())?;
        for notice in told {
            let wanted = self.hook.on.iter().any(|code| code == "*" || *code == notice.notice.code);
            if !wanted {
                continue;
            }
            if let Some(why) = self.tell(&notice).await {
                return Err(Untold { notice: Some(Box::new(notice)), why });
            }
            self.keep(notice.seq)?;
        }
        if upto > at {
            self.keep(upto)?;
        }
        Ok(upto > at)
    }

    /// Tells one; why that did not work, if it did not.
    async fn tell(&self, told: &ToldNotice) -> Option<String> {
        match &self.hook.tell {
            Tell::Run(words) => self.exec(words, told).await,
            Tell::Url(url) => match tokio::time::timeout(self.hook.time, post(url, told)).await {
                Ok(Ok(())) => None,
                Ok(Err(why)) => Some(why.to_string()),
                Err(_) => Some("it did not answer in its time".into()),
            },
        }
    }

    async fn exec(&self, words: &[String], told: &ToldNotice) -> Option<String> {
        let scratch = match Scratch::fresh(&self.folder) {
            Ok(scratch) => scratch,
            Err(why) => return Some(format!("{}: {why}", self.folder.display())),
        };
        let command = Command {
            words: words.to_vec(),
            beside: self.beside.clone(),
            limits: Limits { time: self.hook.time, memory: MEMORY, disk: DISK },
        };
        let ended = run_command(&command, &scratch, Job::Json(json!(told))).await;
        scratch.remove();
        ended.failure()
    }
}

/// One POST, to this machine: HTTP/1.1, answered with any 2xx.
async fn post(url: &Url, told: &ToldNotice) -> io::Result<()> {
    if !is_loopback(url) {
        return Err(io::Error::other("a webhook goes to this machine only"));
    }
    let host = url.host_str().unwrap_or("localhost");
    let port = url.port_or_known_default().unwrap_or(80);
    let name = host.trim_start_matches('[').trim_end_matches(']');
    // `localhost` is not looked up: what it is elsewhere is nobody's business.
    let name = if name.eq_ignore_ascii_case("localhost") { "127.0.0.1" } else { name };
    let mut stream = tokio::net::TcpStream::connect((name, port)).await?;
    let body = serde_json::to_string(told)?;
    let path = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await?;
    match &answer {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', _, b' ', b'2', ..] => Ok(()),
        _ => Err(io::Error::other(format!("it answered {}", String::from_utf8_lossy(&answer)))),
    }
}

//! Hooks: a person's own programs, told of what happens. At least once for each notice, in order, with the
//! notice's id; what a hook does with it changes nothing here.
//!
//! How far they were told is kept in one small file, written after a notice was told: a bot that is killed
//! tells the last one again.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use url::{Host, Url};

use crate::bot::{Command, Hook, Job, Limits, Scratch, Tell, run_command};
use crate::engine::{Handle, ToldNotice};

/// Notices read at once.
const WINDOW: u32 = 64;
/// They are looked for this often, whether one was heard of or not.
const BEAT: Duration = Duration::from_secs(5);
/// A hook that fails is tried so often; then it has had its chance.
const TRIES: u32 = 3;
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

/// The hooks of one bot.
pub struct Hooks {
    handle: Handle,
    hooks: Vec<Hook>,
    /// Where relative programs are looked for.
    beside: PathBuf,
    home: PathBuf,
}

impl Hooks {
    /// They will be told of what happens from now on, or from where the last run in this home stopped.
    pub fn new(handle: Handle, hooks: Vec<Hook>, beside: &Path, home: &Path) -> Self {
        Self { handle, hooks, beside: beside.to_owned(), home: home.to_owned() }
    }

    fn cursor(&self) -> PathBuf {
        self.home.join("hooks.at")
    }

    fn at(&self) -> Option<u64> {
        std::fs::read_to_string(self.cursor()).ok()?.trim().parse().ok()
    }

    fn keep(&self, at: u64) -> io::Result<()> {
        let part = self.cursor().with_extension("part");
        std::fs::write(&part, format!("{at}\n"))?;
        std::fs::File::open(&part)?.sync_all()?;
        std::fs::rename(part, self.cursor())
    }

    /// Tells for ever; ends when the engine does.
    pub async fn run(self) {
        if self.hooks.is_empty() {
            return;
        }
        let mut heard = self.handle.notices();
        loop {
            match self.tell_on().await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(why) => tracing::warn!(%why, "hooks will be told later"),
            }
            tokio::select! {
                said = heard.recv() => {
                    if matches!(said, Err(tokio::sync::broadcast::error::RecvError::Closed)) {
                        return;
                    }
                }
                () = tokio::time::sleep(BEAT) => {}
            }
        }
    }

    /// Tells what has come since, a window of it; whether there may be more.
    ///
    /// # Errors
    /// What the engine or the disk said.
    pub async fn tell_on(&self) -> Result<bool, String> {
        let at = self.at();
        let (told, upto) = self.handle.told(at, WINDOW).await.map_err(|why| why.to_string())?;
        for notice in &told {
            for (n, hook) in self.hooks.iter().enumerate() {
                let wanted = hook.on.iter().any(|code| code == "*" || *code == notice.notice.code);
                if wanted {
                    self.tell(n, hook, notice).await;
                }
            }
            self.keep(notice.seq).map_err(|why| why.to_string())?;
        }
        if at != Some(upto) {
            self.keep(upto).map_err(|why| why.to_string())?;
        }
        Ok(at.is_some_and(|at| upto > at))
    }

    async fn tell(&self, n: usize, hook: &Hook, told: &ToldNotice) {
        for attempt in 0..TRIES {
            let ended = match &hook.tell {
                Tell::Run(words) => self.exec(n, words, hook.time, told).await,
                Tell::Url(url) => {
                    let posted = post(url, told);
                    match tokio::time::timeout(hook.time, posted).await {
                        Ok(Ok(())) => None,
                        Ok(Err(why)) => Some(why.to_string()),
                        Err(_) => Some("it did not answer in its time".into()),
                    }
                }
            };
            let Some(why) = ended else { return };
            tracing::warn!(hook = n, notice = told.id, attempt, why, "a hook failed");
            if attempt + 1 < TRIES {
                tokio::time::sleep(Duration::from_millis(200 << attempt)).await;
            }
        }
    }

    async fn exec(
        &self,
        n: usize,
        words: &[String],
        time: Duration,
        told: &ToldNotice,
    ) -> Option<String> {
        let folder = self.home.join("hooks").join(n.to_string());
        let scratch = match Scratch::fresh(&folder) {
            Ok(scratch) => scratch,
            Err(why) => return Some(format!("{}: {why}", folder.display())),
        };
        let command = Command {
            words: words.to_vec(),
            beside: self.beside.clone(),
            limits: Limits { time, memory: MEMORY, disk: DISK },
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

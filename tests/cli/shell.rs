//! A shell for the binary: a home of its own, a served sandbox, and what came of a command.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

const EARNEST: &str = env!("CARGO_BIN_EXE_earnest");

/// What came of a command.
pub(crate) struct Ended {
    pub(crate) line: String,
    pub(crate) status: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

pub(crate) fn signal(which: &str, child: &Child) {
    let pid = child.id().to_string();
    assert!(Command::new("kill").args([which, &pid]).status().unwrap().success());
}

impl Ended {
    pub(crate) fn of(line: &str, child: Child) -> Self {
        let ended = child.wait_with_output().unwrap();
        Self {
            line: line.to_owned(),
            status: ended.status.code().unwrap_or(-1),
            out: String::from_utf8(ended.stdout).unwrap(),
            err: String::from_utf8(ended.stderr).unwrap(),
        }
    }

    pub(crate) fn all(&self) -> String {
        format!("{}{}", self.out, self.err)
    }

    /// What it wrote to stdout, having succeeded.
    pub(crate) fn ok(&self) -> String {
        assert_eq!(self.status, 0, "{}: {}", self.line, self.all());
        self.out.clone()
    }

    /// Its one record, having succeeded.
    pub(crate) fn done(&self) -> Value {
        record(&self.line, &self.ok())
    }

    /// Why it failed, with this status.
    pub(crate) fn failed(&self, status: i32) -> Value {
        assert_eq!(self.status, status, "{}: {}", self.line, self.all());
        record(&self.line, self.err.lines().last().unwrap_or_default())
    }
}

fn record(line: &str, text: &str) -> Value {
    assert_eq!(text.trim().lines().count(), 1, "{line}: one record, not: {text}");
    let value: Value = serde_json::from_str(text).unwrap();
    assert_eq!(value["v"], 1);
    value
}

/// A person's machine.
pub(crate) struct Home(tempfile::TempDir);

impl Home {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn with_keys() -> Self {
        let home = Self::new();
        home.run("init --plain --no-input").ok();
        home
    }

    pub(crate) fn dir(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir().join("data")
    }

    pub(crate) fn file(&self, name: &str, text: &str) {
        fs::write(self.dir().join(name), text).unwrap();
    }

    /// A file for its owner alone.
    pub(crate) fn secret(&self, name: &str, text: &str) {
        let path = self.dir().join(name);
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create(true).mode(0o600).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    /// A command line, split at spaces, in this home and with nothing else of this machine.
    pub(crate) fn command(&self, line: &str) -> Command {
        let mut command = Command::new(EARNEST);
        command
            .args(line.split_whitespace())
            .arg("--data-dir")
            .arg(self.data())
            .current_dir(self.dir())
            .env_clear()
            .env("HOME", self.dir())
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, line: &str) -> Ended {
        self.feed(line, "")
    }

    pub(crate) fn feed(&self, line: &str, stdin: &str) -> Ended {
        let mut command = self.command(line);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A command that never reads has closed its end: that is its right.
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        Ended::of(line, child)
    }

    /// Runs a command and presses Ctrl-C when it has made `sign`.
    pub(crate) fn interrupt(&self, line: &str, sign: &str) -> Ended {
        let sign = self.dir().join(sign);
        let _ = fs::remove_dir_all(&sign);
        let mut command = self.command(line);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        while !sign.exists() {
            assert!(child.try_wait().unwrap().is_none(), "{line}: it ended too early");
            std::thread::sleep(Duration::from_millis(10));
        }
        signal("-INT", &child);
        Ended::of(line, child)
    }

    /// The flags that make this home a part of a served sandbox.
    pub(crate) fn join(&self, world: &Served) -> String {
        let node = &world.at["bitcoind"];
        self.secret("password", node["password"].as_str().unwrap());
        format!(
            "--network regtest --relay {} --chain-host {} --chain-port {} --chain-user {} \
             --chain-password-file {} --lsp {}",
            world.at["relay"].as_str().unwrap(),
            node["host"].as_str().unwrap(),
            node["port"],
            node["user"].as_str().unwrap(),
            self.dir().join("password").display(),
            world.at["lsp"].as_str().unwrap(),
        )
    }
}

/// `earnest run`, until it is dropped.
pub(crate) struct Running(Child);

impl Running {
    /// Starts to own the data of a home, and waits until others can join.
    pub(crate) fn start(home: &Home, joined: &str) -> Self {
        let mut command = home.command(&format!("run {joined}"));
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let running = Self(child);
        // Whoever asks next joins, or waits for it by itself.
        let mark = home.data().join("regtest/node");
        while !mark.exists() {
            std::thread::sleep(Duration::from_millis(10));
        }
        running
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        signal("-TERM", &self.0);
        let _ = self.0.wait();
    }
}

/// `earnest sandbox --serve`.
pub(crate) struct Served {
    child: Child,
    home: Home,
    pub(crate) at: Value,
}

impl Served {
    pub(crate) fn start() -> Self {
        let home = Home::new();
        let mut command = home.command("sandbox --serve --json --dir world");
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let at = record("sandbox --serve", &line);
        Self { child, home, at }
    }

    /// `earnest sandbox mine|fund ...` on this sandbox.
    pub(crate) fn act(&self, line: &str) -> Ended {
        self.home.run(&format!("sandbox {line} --dir world --json"))
    }

    /// Pays coins to an address, in a block of their own.
    pub(crate) fn fund(&self, address: &str, sats: u64) {
        self.home.run(&format!("sandbox fund {address} {sats} --dir world")).ok();
        self.mine(1);
    }

    pub(crate) fn mine(&self, blocks: u32) {
        self.home.run(&format!("sandbox mine {blocks} --dir world")).ok();
    }

    /// Ends it as a service manager does; it must end well.
    pub(crate) fn end(mut self) {
        signal("-TERM", &self.child);
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

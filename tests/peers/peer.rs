//! A person with an earnest: verbs, an owner that can be started and killed, and a wallet to be asked.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use earnest::engine::{NodeStatus, WalletAnswer, WalletCommand};
use serde_json::Value;

use crate::shell::{Ended, Home, Served, signal};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until something is so.
#[expect(clippy::disallowed_methods, reason = "a deadline for what real processes do")]
pub(crate) fn until(what: &str, mut so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !so() {
        assert!(begin.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A field that is text.
pub(crate) fn text(record: &Value, field: &str) -> String {
    let text = record[field].as_str();
    text.unwrap_or_else(|| panic!("no text `{field}` in {record}")).to_owned()
}

/// Whether one of the records has this field so.
pub(crate) fn has(records: &[Value], field: &str, value: &str) -> bool {
    records.iter().any(|record| record[field] == value)
}

pub(crate) struct Peer {
    pub(crate) home: Home,
    pub(crate) npub: String,
    name: &'static str,
    flags: Vec<String>,
    owner: Option<Child>,
}

impl Peer {
    pub(crate) fn new(name: &'static str, world: &Served) -> Self {
        let home = Home::new();
        let made = home.run("init --plain --no-input --json").done();
        let flags = home.join(world).split_whitespace().map(str::to_owned).collect();
        Self { home, npub: text(&made, "npub"), name, flags, owner: None }
    }

    /// `earnest run`, until it serves.
    pub(crate) fn start(&mut self) {
        let mut command = self.home.command("run");
        command.args(&self.flags).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let dir = self.home.data().join("regtest");
        let name = self.name;
        until("the owner serves", || {
            assert!(child.try_wait().unwrap().is_none(), "{name}'s owner ended");
            runtime().block_on(earnest::rpc::connect(&dir)).is_ok()
        });
        self.owner = Some(child);
    }

    /// SIGKILL: no chance to say goodbye.
    pub(crate) fn kill(&mut self) {
        let mut owner = self.owner.take().unwrap();
        owner.kill().unwrap();
        owner.wait().unwrap();
    }

    /// Stops the owner as a service manager does; it must end well.
    pub(crate) fn end(mut self) {
        let mut owner = self.owner.take().unwrap();
        signal("-TERM", &owner);
        assert_eq!(owner.wait().unwrap().code(), Some(0), "{}", self.name);
    }

    pub(crate) fn verb(&self, args: &[&str]) -> Ended {
        let mut command = self.home.command("");
        command.args(args).args(&self.flags).args(["--json", "--no-input"]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        Ended::of(&format!("{}: {}", self.name, args.join(" ")), child)
    }

    /// The same as a person reads it.
    pub(crate) fn told(&self, args: &[&str]) -> Ended {
        let mut command = self.home.command("");
        command.args(args).args(&self.flags).arg("--no-input");
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        Ended::of(&format!("{}: {}", self.name, args.join(" ")), child)
    }

    /// The flags that make it a part of the sandbox.
    pub(crate) fn flags(&self) -> String {
        self.flags.join(" ")
    }

    /// The records of a verb that succeeds.
    pub(crate) fn rows(&self, args: &[&str]) -> Vec<Value> {
        let out = self.verb(args).ok();
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn job(&self, id: &str) -> Value {
        self.verb(&["job", &id[..8]]).done()
    }

    /// Every word in a job's history.
    pub(crate) fn said(&self, id: &str) -> String {
        self.job(id)["history"].as_array().unwrap().iter().map(|fact| text(fact, "text")).collect()
    }

    /// What came in for a job, in msat.
    pub(crate) fn received(&self, id: &str) -> u64 {
        text(&self.job(id)["job"]["delivery"], "received").parse().unwrap()
    }

    /// What routing cost for a job, in msat.
    pub(crate) fn routing(&self, id: &str) -> u64 {
        text(&self.job(id)["job"]["delivery"], "fee").parse().unwrap()
    }

    /// `earnest watch --json`, beside everything else.
    pub(crate) fn watch(&self) -> Watching {
        let mut command = self.home.command("watch --json");
        command.args(&self.flags).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let read = || out.lines().map(|l| serde_json::from_str(&l.unwrap()).unwrap()).collect();
        Watching(child, Some(std::thread::spawn(read)))
    }

    fn wallet(&self, command: WalletCommand) -> WalletAnswer {
        let dir = self.home.data().join("regtest");
        runtime().block_on(async {
            let handle = earnest::rpc::connect(&dir).await.unwrap();
            handle.wallet(command).await.unwrap()
        })
    }

    fn node(&self) -> NodeStatus {
        match self.wallet(WalletCommand::Balance) {
            WalletAnswer::Balance(node) => node,
            other => panic!("{other:?}"),
        }
    }

    /// What is in channels, in msat.
    pub(crate) fn balance(&self) -> u64 {
        self.node().balances.lightning_total.get()
    }

    /// Coins from the faucet, and a channel to the LSP made of them.
    pub(crate) fn fund(&self, world: &Served, sats: u64) {
        let WalletAnswer::Address(address) = self.wallet(WalletCommand::NewAddress) else {
            panic!("no address")
        };
        world.act(&format!("fund {address} {}", 2 * sats)).done();
        world.act("mine 1").done();
        until("the coins are there", || {
            self.node().balances.onchain_spendable.whole_sats() >= 2 * sats - 100_000
        });
        let peer = world.at["lsp"].as_str().unwrap().to_owned();
        self.wallet(WalletCommand::OpenChannel { peer, sats });
        let mut mined = 0;
        until("the channel is open", || {
            if mined < 12 {
                world.act("mine 1").done();
                mined += 1;
            }
            self.node().channels_usable == 1
        });
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Some(mut owner) = self.owner.take() {
            let _ = owner.kill();
            let _ = owner.wait();
        }
    }
}

pub(crate) struct Watching(Child, Option<JoinHandle<Vec<Value>>>);

impl Watching {
    /// Ctrl-C, and what was told until then; it must end well.
    pub(crate) fn end(mut self) -> Vec<Value> {
        signal("-INT", &self.0);
        let told = self.1.take().unwrap().join().unwrap();
        assert_eq!(self.0.wait().unwrap().code(), Some(0));
        told
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
}

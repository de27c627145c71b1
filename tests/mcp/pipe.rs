//! What comes in on stdin that no client of the protocol would send, and ends that come without a word.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::shell::{Home, Served, signal};

struct Piped {
    child: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
}

impl Piped {
    fn start(home: &Home, world: &Served) -> Self {
        let mut command = home.command("mcp");
        command.args(home.join(world).split_whitespace());
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let (to, from) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, to, from }
    }

    fn write(&mut self, bytes: &[u8]) {
        let to = self.to.as_mut().unwrap();
        to.write_all(bytes).unwrap();
        to.flush().unwrap();
    }

    fn say(&mut self, message: &Value) {
        self.write(format!("{message}\n").as_bytes());
    }

    /// The answer to this request; everything before it is passed over.
    fn answer(&mut self, id: u64) -> Value {
        loop {
            let mut line = String::new();
            assert_ne!(self.from.read_line(&mut line).unwrap(), 0, "it ended");
            let said: Value = serde_json::from_str(&line).unwrap();
            if said["id"] == id {
                return said;
            }
        }
    }

    fn begin(&mut self) {
        self.say(&json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
            "protocolVersion": "2025-06-18", "capabilities": {},
            "clientInfo": {"name": "test", "version": "0"},
        }}));
        let said = self.answer(1);
        assert_eq!(said["result"]["serverInfo"]["name"], "earnest");
        assert!(said["result"]["instructions"].as_str().unwrap().contains("untrusted"));
        self.say(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    }

    #[expect(clippy::disallowed_methods, reason = "a deadline for what a real process does")]
    fn ended(&mut self) -> Option<i32> {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(begin.elapsed() < Duration::from_secs(60), "it does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn garbage_is_passed_over_and_a_client_that_goes_is_no_error() {
    let world = Served::start();
    let home = Home::with_keys();

    // ------------------------------------------------ garbage before, between and after
    let mut agent = Piped::start(&home, &world);
    agent.begin();
    for garbage in [
        &b"\n\n{]\n"[..],
        b"\xff\xfe\x00\n",
        b"[[[[[[[[[[[[[[[[\n",
        b"{\"jsonrpc\":\"2.0\",\"id\":7}\n",
        b"{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"tools/call\"}\n",
        b"{\"jsonrpc\":\"2.0\",\"method\":\"no/such\"}\n",
    ] {
        agent.write(garbage);
    }
    agent.write(&vec![b'x'; 3 << 20]);
    agent.write(b"\n");
    let call = |id: u64, tool: &str, given: Value| {
        json!({"jsonrpc": "2.0", "id": id, "method": "tools/call",
               "params": {"name": tool, "arguments": given}})
    };
    agent.say(&call(2, "balance", json!({})));
    assert_eq!(agent.answer(2)["result"]["isError"], false);
    agent.say(&call(3, "no_such_tool", json!({})));
    assert!(agent.answer(3)["error"].is_object());
    for (n, given) in
        [json!({}), json!({"job": 5}), json!({"job": "zz"}), json!({"job": "abcd", "x": 1})]
            .into_iter()
            .enumerate()
    {
        agent.say(&call(10 + n as u64, "approve_and_pay", given));
        assert_eq!(agent.answer(10 + n as u64)["result"]["isError"], true);
    }
    agent.say(&json!({"jsonrpc": "2.0", "id": 20, "method": "resources/read",
                      "params": {"uri": "file:///etc/passwd"}}));
    assert!(agent.answer(20)["error"].is_object());

    // ------------------------------------------------ many calls at once are all answered
    for id in 100..400 {
        agent.say(&call(id, "find_gigs", json!({})));
    }
    let mut open: std::collections::BTreeSet<u64> = (100..400).collect();
    while !open.is_empty() {
        let mut line = String::new();
        assert_ne!(agent.from.read_line(&mut line).unwrap(), 0);
        let said: Value = serde_json::from_str(&line).unwrap();
        open.remove(&said["id"].as_u64().unwrap_or_default());
    }

    // ------------------------------------------------ it goes without a word
    drop(agent.to.take());
    assert_eq!(agent.ended(), Some(0));

    // ------------------------------------------------ or before it began, or deaf, or half-way in a line
    let mut silent = Piped::start(&home, &world);
    drop(silent.to.take());
    assert_eq!(silent.ended(), Some(0));
    let mut half = Piped::start(&home, &world);
    half.begin();
    half.write(b"{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"tools/ca");
    drop(half.to.take());
    assert_eq!(half.ended(), Some(0));
    let mut rest = String::new();
    half.from.read_to_string(&mut rest).unwrap();
    assert!(!rest.contains("\"id\":9"));

    // ------------------------------------------------ a signal ends it while nobody says anything
    let mut idle = Piped::start(&home, &world);
    idle.begin();
    signal("-TERM", &idle.child);
    assert_eq!(idle.ended(), Some(130));
}

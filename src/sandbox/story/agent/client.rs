//! The agent's program: a client of MCP, as small as one can be. JSON-RPC, one message a line.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, Lines};
use tokio::io::{ReadHalf, WriteHalf};

/// How long an answer may take: no tool waits for the world.
const PATIENCE: Duration = Duration::from_secs(20);

/// A client.
pub(super) struct Client {
    lines: Lines<BufReader<ReadHalf<DuplexStream>>>,
    to: WriteHalf<DuplexStream>,
    next: u64,
    /// Resources that were told to have changed.
    changed: VecDeque<String>,
}

impl Client {
    /// Begins as the protocol says.
    pub(super) async fn begin(stream: DuplexStream) -> anyhow::Result<Self> {
        let (from, to) = tokio::io::split(stream);
        let lines = BufReader::new(from).lines();
        let mut client = Self { lines, to, next: 0, changed: VecDeque::new() };
        let hello = json!({
            "protocolVersion": "2025-06-18", "capabilities": {},
            "clientInfo": {"name": "the agent of the story", "version": "1"},
        });
        client.ask("initialize", hello).await?;
        client.say(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await?;
        Ok(client)
    }

    async fn say(&mut self, message: &Value) -> anyhow::Result<()> {
        self.to.write_all(format!("{message}\n").as_bytes()).await.context("the server is gone")
    }

    async fn hear(&mut self) -> anyhow::Result<Value> {
        let line = self.lines.next_line().await?.context("the server has ended")?;
        let said: Value = serde_json::from_str(&line)?;
        if said["method"] == "notifications/resources/updated"
            && let Some(uri) = said["params"]["uri"].as_str()
        {
            self.changed.push_back(uri.to_owned());
        }
        Ok(said)
    }

    /// One request and its answer.
    pub(super) async fn ask(&mut self, method: &str, params: Value) -> anyhow::Result<Value> {
        self.next += 1;
        let id = self.next;
        self.say(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})).await?;
        let answer = async {
            loop {
                let said = self.hear().await?;
                if said["id"] == id {
                    return anyhow::Ok(said);
                }
            }
        };
        let said = tokio::time::timeout(PATIENCE, answer).await.context("no answer in time")??;
        match said.get("result") {
            Some(result) => Ok(result.clone()),
            None => bail!("{method} was answered with {}", said["error"]),
        }
    }

    /// What a tool answers.
    pub(super) async fn tool(&mut self, name: &str, given: Value) -> anyhow::Result<Value> {
        let result = self.ask("tools/call", json!({"name": name, "arguments": given})).await?;
        let value = result["structuredContent"].clone();
        if result["isError"] == true {
            bail!("{name} was refused: {value}");
        }
        Ok(value)
    }

    /// Asks to be told when this changes.
    pub(super) async fn follow(&mut self, uri: &str) -> anyhow::Result<()> {
        self.ask("resources/subscribe", json!({"uri": uri})).await.map(drop)
    }

    /// Waits to be told that something changed; then asks `tool` until what it says is so.
    pub(super) async fn until(
        &mut self,
        what: &str,
        patience: Duration,
        (tool, given): (&str, Value),
        is: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Value> {
        let mut last = Value::Null;
        let waiting = async {
            loop {
                self.changed.clear();
                last = self.tool(tool, given.clone()).await?;
                if is(&last) {
                    return anyhow::Ok(());
                }
                while self.changed.is_empty() {
                    self.hear().await?;
                }
            }
        };
        match tokio::time::timeout(patience, waiting).await {
            Ok(Ok(())) => Ok(last),
            Ok(Err(why)) => Err(why.context(format!("the agent waited for {what}"))),
            Err(_) => bail!("the agent waited {}s in vain for {what}", patience.as_secs()),
        }
    }
}

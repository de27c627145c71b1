//! A real `bitcoind` in regtest, started for one sandbox and stopped with it.

use std::fmt;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use super::client::{Client, Endpoint, Fault, HttpClient};
use super::rpc::random_password;

/// How long a node may take to answer its first call, or to stop.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long one call may take: mining some hundred blocks is the longest.
const CALL: Duration = Duration::from_secs(60);

/// The running process.
pub struct Bitcoind {
    child: Child,
    endpoint: Endpoint,
    client: Client,
}

impl fmt::Debug for Bitcoind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bitcoind")
            .field("pid", &self.child.id())
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

impl Bitcoind {
    /// Starts `exe` on the data directory `dir` and waits until its RPC answers. With `port` 0 a
    /// free port is chosen.
    ///
    /// # Errors
    /// It cannot be started, ends at once, or does not answer within a minute.
    pub async fn start(exe: &Path, dir: &Path, port: u16) -> Result<Self, Fault> {
        let fail = |what: &str, e: &dyn fmt::Display| Fault::Setup(format!("{what}: {e}"));
        fs::create_dir_all(dir).map_err(|e| fail("the data directory", &e))?;
        let port = if port == 0 { free_port().map_err(|e| fail("a free port", &e))? } else { port };
        let endpoint = Endpoint {
            host: Ipv4Addr::LOCALHOST.to_string(),
            port,
            user: "earnest".into(),
            password: random_password(),
        };
        let child = Command::new(exe)
            .arg("-regtest")
            .arg(format!("-datadir={}", dir.display()))
            .arg("-server")
            .arg(format!("-rpcport={port}"))
            .arg(format!("-rpcuser={}", endpoint.user))
            // A throwaway password of a throwaway regtest node: it guards no money.
            .arg(format!("-rpcpassword={}", endpoint.password))
            .args(["-listen=0", "-dnsseed=0", "-fallbackfee=0.00002"])
            .args(["-printtoconsole=0", "-rpcworkqueue=256"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| fail(&exe.display().to_string(), &e))?;
        let client = Client::Http(HttpClient::new(endpoint.clone(), CALL)?);
        let mut node = Self { child, endpoint, client };
        let deadline = Instant::now() + PATIENCE;
        loop {
            match node.client.height().await {
                Ok(_) => return Ok(node),
                Err(error) => {
                    if let Ok(Some(status)) = node.child.try_wait() {
                        return Err(fail("bitcoind ended at once; see its debug.log", &status));
                    }
                    if Instant::now() > deadline {
                        return Err(error);
                    }
                }
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Where to call, and with which credentials.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// A caller of this node.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Asks the node to stop and waits until it has written everything.
    ///
    /// # Errors
    /// It does not stop within a minute; dropping it then ends it by force.
    pub async fn stop(mut self) -> Result<(), Fault> {
        self.client.call("stop", json!([])).await?;
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Ok(Some(_)) = self.child.try_wait() {
                return Ok(());
            }
            sleep(Duration::from_millis(50)).await;
        }
        Err(Fault::Setup("bitcoind does not stop".into()))
    }
}

impl Drop for Bitcoind {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            // Core's databases survive this; `stop` is the polite way.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn free_port() -> std::io::Result<u16> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr().map(|a| a.port())
}

//! `earnest mcp`: serves AI agents.

use std::io::{IsTerminal as _, Read as _};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::mpsc;

use crate::cli::session::Session;
use crate::cli::{Exit, Failure, Out};
use crate::market::Msat;
use crate::mcp::Options;

/// Serve an AI agent over the Model Context Protocol, on stdin and stdout.
///
/// Started by the agent's program, not by hand. It only says what it would do until mcp.dry_run is set to
/// false; what it may spend is set with the keys bot.*. Works through `earnest run` where one runs.
#[derive(Debug, clap::Args)]
pub(crate) struct Mcp {}

impl Mcp {
    pub(crate) fn run(&self, session: &Session, out: &mut Out) -> Result<Exit, Failure> {
        if std::io::stdin().is_terminal() {
            let said =
                "This speaks to the program of an AI agent on stdin and stdout, not to a person.";
            return Err(Failure::new(Exit::Usage, "no-agent", said)
                .next("Name it to your agent's program as a server: earnest mcp")
                .next("earnest help mcp"));
        }
        let config = session.config()?;
        let base = Msat::sats(config.fees.routing_base_max_sats).unwrap_or(Msat::MAX);
        let options = Options {
            network: config.network,
            dry_run: config.mcp.dry_run,
            routing: (u64::from(config.fees.routing_ppm_max), base),
            max_price: Msat::sats(config.limits.max_price_sats).unwrap_or(Msat::MAX),
            npub: crate::app::npub,
            read_npub: crate::app::read_npub,
        };
        session.with_engine(out, "earnest mcp", async |handle, _| {
            let served =
                crate::mcp::serve(handle.clone(), options, stdin(), tokio::io::stdout()).await;
            let said = |why: anyhow::Error| Failure::new(Exit::Failed, "mcp", format!("{why:#}"));
            served.map(|()| Exit::Done).map_err(said)
        })
    }
}

/// Stdin, read on a thread that nobody waits for: a read cannot be cut short, and the process must end
/// when it is told to.
fn stdin() -> impl AsyncRead + Send + Unpin + 'static {
    const CHUNK: usize = 8 * 1024;
    let (send, chunks) = mpsc::channel(4);
    std::thread::spawn(move || {
        let mut buffer = [0; CHUNK];
        while let Ok(n @ 1..) = std::io::stdin().lock().read(&mut buffer) {
            if send.blocking_send(buffer[..n].to_vec()).is_err() {
                return;
            }
        }
    });
    Chunks { chunks, rest: Vec::new() }
}

struct Chunks {
    chunks: mpsc::Receiver<Vec<u8>>,
    rest: Vec<u8>,
}

impl AsyncRead for Chunks {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if self.rest.is_empty() {
            match ready!(self.chunks.poll_recv(context)) {
                Some(chunk) => self.rest = chunk,
                None => return Poll::Ready(Ok(())),
            }
        }
        let n = self.rest.len().min(to.remaining());
        to.put_slice(&self.rest[..n]);
        self.rest.drain(..n);
        Poll::Ready(Ok(()))
    }
}

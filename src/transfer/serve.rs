//! The serving side: one task a connection, one a stream, and a reader that proves what it sends.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use iroh::endpoint::{Connection, Incoming, IncomingAddr, RecvStream, SendStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::endpoint::Limits;
use super::gate::{Gate, Pass, Proved, Shut};
use super::request::{Answer, Lane, Request, Want};
use crate::market::EndpointId;

/// Groups that are read ahead of the network, a lane.
const AHEAD: usize = 2;

/// Accepts until the endpoint is closed.
pub(super) async fn accept(endpoint: iroh::Endpoint, gate: Arc<Gate>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            incoming = endpoint.accept() => {
                let Some(incoming) = incoming else { break };
                let Some((place, crowded)) = gate.handshake() else {
                    incoming.refuse();
                    continue;
                };
                // A forged source address cannot answer a retry, so it cannot hold a place.
                let direct = matches!(incoming.remote_addr(), IncomingAddr::Ip(_));
                if crowded && direct && !incoming.remote_addr_validated() {
                    if let Err(spent) = incoming.retry() {
                        spent.into_incoming().refuse();
                    }
                    continue;
                }
                let gate = gate.clone();
                connections.spawn(async move {
                    if let Some((connection, pass)) = shake_hands(incoming, &gate).await {
                        drop(place);
                        serve_connection(connection, pass, gate).await;
                    }
                });
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {},
        }
    }
    // The endpoint has closed every connection: what is left only has to notice.
    while connections.join_next().await.is_some() {}
}

async fn shake_hands(incoming: Incoming, gate: &Arc<Gate>) -> Option<(Connection, Pass)> {
    let patience = gate.limits().handshake;
    let connection = timeout(patience, incoming.accept().ok()?).await.ok()?.ok()?;
    match gate.admit(EndpointId(*connection.remote_id().as_bytes())) {
        Ok(pass) => Some((connection, pass)),
        Err(shut) => {
            let answer = match shut {
                Shut::NotForYou => Answer::NotForYou,
                Shut::Busy => Answer::Busy,
            };
            connection.close(answer.code(), b"");
            None
        }
    }
}

async fn serve_connection(connection: Connection, pass: Pass, gate: Arc<Gate>) {
    let mut streams = JoinSet::new();
    let pulse = Arc::new(Pulse(Mutex::new(Instant::now())));
    loop {
        tokio::select! {
            stream = connection.accept_bi() => {
                let Ok((send, recv)) = stream else { break };
                streams.spawn(serve_stream(gate.clone(), pass.peer, pulse.clone(), send, recv));
            },
            Some(_) = streams.join_next(), if !streams.is_empty() => {},
            () = sleep(gate.limits().idle), if streams.is_empty() => break,
        }
    }
    connection.close(Answer::Here.code(), b"");
}

/// A stream that cannot go on is reset with the reason.
async fn serve_stream(
    gate: Arc<Gate>,
    peer: EndpointId,
    pulse: Arc<Pulse>,
    mut send: SendStream,
    mut recv: RecvStream,
) {
    if let Err(answer) = answer(&gate, peer, &pulse, &mut send, &mut recv).await {
        // Either may have been closed by the peer, which is just as well.
        let _ = send.reset(answer.code());
        let _ = recv.stop(answer.code());
    }
}

async fn answer(
    gate: &Gate,
    peer: EndpointId,
    pulse: &Pulse,
    send: &mut SendStream,
    recv: &mut RecvStream,
) -> Result<(), Answer> {
    let limits = gate.limits();
    let mut request = [0; Request::BYTES];
    timeout(limits.request, recv.read_exact(&mut request)).await.busy()?.busy()?;
    let Request { blob, want } = Request::of_bytes(&request).ok_or(Answer::NotForYou)?;

    // Asked before anything is opened, and answered alike for a blob that is not there and for one that is
    // somebody else's.
    let Some((file, mut standing)) = gate.find(peer, blob) else {
        return say(limits, send, &[Answer::NotForYou as u8], true).await;
    };
    let Some(_place) = gate.stream() else {
        return say(limits, send, &[Answer::Busy as u8], true).await;
    };
    let cut = file.outline.cut;
    let opened = {
        let file = file.clone();
        tokio::task::spawn_blocking(move || file.open()).await.busy()?
    };
    let Ok(opened) = opened else {
        return say(limits, send, &[Answer::Gone as u8], true).await;
    };
    let (start, lane) = match want {
        Want::Outline => {
            let mut answer = vec![Answer::Here as u8];
            answer.extend(cut.size.to_le_bytes());
            answer.extend(file.outline.to_bytes());
            return say(limits, send, &answer, true).await;
        }
        Want::Bytes { start, lane } if start <= cut.size => (start, lane),
        Want::Bytes { .. } => return Err(Answer::NotForYou),
    };
    let deadline = Instant::now() + limits.total(cut.size);
    say(limits, send, &[Answer::Here as u8], false).await?;
    tokio::select! {
        sent = timeout_at(deadline, send_lane(limits, file, opened, start, lane, pulse, send)) => sent.busy()??,
        () = revoked(&mut standing) => return Err(Answer::NotForYou),
    }
    // Wait until it has all arrived, so that dropping the stream cuts nothing off.
    send.finish().busy()?;
    let _ = timeout(limits.stall, send.stopped()).await;
    Ok(())
}

async fn say(
    limits: &Limits,
    send: &mut SendStream,
    bytes: &[u8],
    last: bool,
) -> Result<(), Answer> {
    timeout(limits.stall, send.write_all(bytes)).await.busy()?.busy()?;
    if last {
        send.finish().busy()?;
        let _ = timeout(limits.stall, send.stopped()).await;
    }
    Ok(())
}

/// Returns when the grant is struck out.
async fn revoked(standing: &mut watch::Receiver<()>) {
    while standing.changed().await.is_ok() {}
}

async fn send_lane(
    limits: &Limits,
    file: Arc<Proved>,
    opened: File,
    start: u64,
    lane: Lane,
    pulse: &Pulse,
    send: &mut SendStream,
) -> Result<(), Answer> {
    let (tx, mut rx) = mpsc::channel(AHEAD);
    let reader = tokio::task::spawn_blocking(move || read_lane(&file, opened, start, lane, &tx));
    while let Some(bytes) = rx.recv().await {
        pulse.write(limits.stall, send, &bytes).await?;
    }
    reader.await.busy()?.map_err(|_| Answer::Gone)
}

/// When a connection last took anything, on whichever stream: a lane that waits for its turn on a slow link
/// has not stalled.
struct Pulse(Mutex<Instant>);

impl Pulse {
    fn beat(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn quiet(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    async fn write(
        &self,
        stall: Duration,
        send: &mut SendStream,
        mut bytes: &[u8],
    ) -> Result<(), Answer> {
        while !bytes.is_empty() {
            match timeout(stall, send.write(bytes)).await {
                Ok(written) => {
                    bytes = bytes.get(written.busy()?..).unwrap_or_default();
                    self.beat();
                }
                Err(_) if self.quiet() < stall => {}
                Err(_) => return Err(Answer::Busy),
            }
        }
        Ok(())
    }
}

/// Reads group by group and hands on only what still is what was proved: a worker whose disk rots is not to
/// look like a cheat.
fn read_lane(
    file: &Proved,
    mut opened: File,
    start: u64,
    lane: Lane,
    to: &mpsc::Sender<Vec<u8>>,
) -> io::Result<()> {
    let cut = file.outline.cut;
    for (index, from, end) in lane.pieces(cut, start) {
        let begin = index * cut.group;
        let mut bytes = vec![0; (end - begin) as usize];
        opened.seek(SeekFrom::Start(begin))?;
        opened.read_exact(&mut bytes)?;
        if !file.outline.holds(index, &bytes) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the file has changed"));
        }
        bytes.drain(..(from - begin) as usize);
        if to.blocking_send(bytes).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Whatever else goes wrong on a stream ends it with [`Answer::Busy`]: come again later.
trait OrBusy<T> {
    fn busy(self) -> Result<T, Answer>;
}

impl<T, E> OrBusy<T> for Result<T, E> {
    fn busy(self) -> Result<T, Answer> {
        self.map_err(|_| Answer::Busy)
    }
}

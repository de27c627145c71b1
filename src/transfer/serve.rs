//! The serving side: one task a connection, one a stream, and a reader that proves what it sends.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::time::Duration;

use iroh::endpoint::{Connection, Incoming, IncomingAddr, RecvStream, SendStream, VarInt};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::endpoint::{Answer, Limits};
use super::gate::{Gate, Pass, Proved, Shut};
use crate::market::{Digest, EndpointId};

/// Groups that are read ahead of the network.
const AHEAD: usize = 3;

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
    loop {
        tokio::select! {
            stream = connection.accept_bi() => {
                let Ok((send, recv)) = stream else { break };
                streams.spawn(serve_stream(gate.clone(), pass.peer, send, recv));
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
    mut send: SendStream,
    mut recv: RecvStream,
) {
    if let Err(answer) = answer(&gate, peer, &mut send, &mut recv).await {
        // Either may have been closed by the peer, which is just as well.
        let _ = send.reset(answer.code());
        let _ = recv.stop(answer.code());
    }
}

async fn answer(
    gate: &Gate,
    peer: EndpointId,
    send: &mut SendStream,
    recv: &mut RecvStream,
) -> Result<(), Answer> {
    let limits = gate.limits();
    let mut blob = [0; 32];
    timeout(limits.request, recv.read_exact(&mut blob)).await.busy()?.busy()?;

    // Asked before anything is opened, and answered alike for a blob that is not there and for one that is
    // somebody else's.
    let Some((file, mut standing)) = gate.find(peer, Digest(blob)) else {
        return say(limits, send, &[Answer::NotForYou as u8], true).await;
    };
    let Some(_place) = gate.stream() else {
        return say(limits, send, &[Answer::Busy as u8], true).await;
    };
    let opened = {
        let file = file.clone();
        tokio::task::spawn_blocking(move || file.open()).await.busy()?
    };
    let Ok(opened) = opened else {
        return say(limits, send, &[Answer::Gone as u8], true).await;
    };
    let size = file.outline.cut.size;
    let deadline = Instant::now() + limits.total(size);
    let mut head = vec![Answer::Here as u8];
    head.extend(size.to_le_bytes());
    head.extend(file.outline.to_bytes());
    say(limits, send, &head, false).await?;

    let mut start = [0; 8];
    timeout(limits.request, recv.read_exact(&mut start)).await.busy()?.busy()?;
    let start = u64::from_le_bytes(start);
    if start > size {
        return Err(Answer::NotForYou);
    }
    tokio::select! {
        sent = timeout_at(deadline, send_from(limits, file, opened, start, send)) => sent.busy()??,
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

async fn send_from(
    limits: &Limits,
    file: Arc<Proved>,
    opened: File,
    start: u64,
    send: &mut SendStream,
) -> Result<(), Answer> {
    let (tx, mut rx) = mpsc::channel(AHEAD);
    let reader = tokio::task::spawn_blocking(move || read_from(&file, opened, start, &tx));
    while let Some(bytes) = rx.recv().await {
        write(limits.stall, send, bytes).await?;
    }
    reader.await.busy()?.map_err(|_| Answer::Gone)
}

async fn write(stall: Duration, send: &mut SendStream, bytes: Vec<u8>) -> Result<(), Answer> {
    timeout(stall, send.write_chunk(bytes.into())).await.busy()?.busy()
}

/// Reads group by group and hands on only what still is what was proved: a worker whose disk rots is not to
/// look like a cheat.
fn read_from(
    file: &Proved,
    mut opened: File,
    start: u64,
    to: &mpsc::Sender<Vec<u8>>,
) -> io::Result<()> {
    let cut = file.outline.cut;
    let mut at = start;
    opened.seek(SeekFrom::Start(cut.group_at(at).1))?;
    while at < cut.size {
        let (index, begin, end) = cut.group_at(at);
        let mut bytes = vec![0; (end - begin) as usize];
        opened.read_exact(&mut bytes)?;
        if !file.outline.holds(index, &bytes) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the file has changed"));
        }
        bytes.drain(..(at - begin) as usize);
        if to.blocking_send(bytes).is_err() {
            return Ok(());
        }
        at = end;
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

impl Answer {
    /// As a QUIC application error code.
    pub(super) fn code(self) -> VarInt {
        VarInt::from_u32(self as u32)
    }
}

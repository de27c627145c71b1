//! The fetching side: asks, proves, hands to the disk.

use std::sync::Arc;
use std::time::Duration;

use iroh::endpoint::{
    ConnectOptions, Connection, ConnectionError, QuicTransportConfig, ReadError, ReadExactError,
    RecvStream, SendStream, VarInt,
};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use super::endpoint::{ALPN, Answer, Endpoint, Patience, WINDOW, reach};
use super::outline::{Cut, LARGEST, Outline, VALUE};
use super::partial::{Found, Partial, Place, Trouble};
use crate::engine::{Fault, FetchOrder};

/// Groups that wait for the disk.
const BEHIND: usize = 4;
/// A peer that does not bring this much in [`Patience::stall`] stalls.
const PULSE: usize = 64 * 1024;
/// Between two calls of `progress`.
const BEAT: Duration = Duration::from_millis(50);

/// Tells the caller how far it is, not more often than anyone can see.
struct Teller<'a> {
    progress: &'a (dyn Fn(u64) + Send + Sync),
    last: Instant,
}

impl<'a> Teller<'a> {
    fn start(progress: &'a (dyn Fn(u64) + Send + Sync), held: u64) -> Self {
        progress(held);
        Self { progress, last: Instant::now() }
    }

    fn at(&mut self, held: u64) {
        let now = Instant::now();
        if now - self.last >= BEAT {
            self.last = now;
            (self.progress)(held);
        }
    }
}

/// How one try on one stream ended short of the whole.
enum Stop {
    Fault(Fault),
    /// The kept tail was wrong and is gone: ask again from there.
    Again,
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

pub(super) async fn fetch(
    endpoint: &Endpoint,
    order: &FetchOrder,
    progress: &(dyn Fn(u64) + Send + Sync),
) -> Result<(), Fault> {
    if order.size > LARGEST {
        return Err(Fault::Never(format!(
            "A file of {} bytes is over 1 TiB, the most that is transferred. Nothing was fetched, no \
             money moved.",
            order.size
        )));
    }
    let place = Place::take(&endpoint.places, &order.path)?;
    let asked = order.clone();
    let mut partial = match blocking(move || Partial::open(&asked, place)).await?? {
        Found::Whole => {
            progress(order.size);
            return Ok(());
        }
        Found::Part(partial) => partial,
    };
    let mut teller = Teller::start(progress, partial.held());
    if !partial.is_whole(&order.blob) {
        if order.size == 0 {
            partial.discard();
            return Err(Fault::Never(
                "The order says an empty file, but its hash is not that of one. Nothing was fetched, \
                 no money moved."
                    .into(),
            ));
        }
        let connection = connect(endpoint, order).await?;
        loop {
            let (back, end) =
                download(&connection, order, &endpoint.patience, partial, &mut teller).await;
            match (back, end) {
                (Some(whole), Ok(())) => {
                    partial = whole;
                    break;
                }
                (Some(part), Err(Stop::Again)) => partial = part,
                (part, Err(Stop::Fault(fault))) => {
                    connection.close(Answer::Here.code(), b"");
                    if let (Some(part), Fault::Never(_)) = (part, &fault) {
                        blocking(move || part.discard()).await?;
                    }
                    return Err(fault);
                }
                (None, _) => return Err(interrupted()),
            }
        }
        connection.close(Answer::Here.code(), b"");
    }
    blocking(move || partial.finish()).await??;
    progress(order.size);
    Ok(())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Fault> {
    tokio::task::spawn_blocking(work).await.map_err(|_| interrupted())
}

fn interrupted() -> Fault {
    Fault::Later("The fetch was interrupted; what arrived is kept. No money moved.".into())
}

async fn connect(endpoint: &Endpoint, order: &FetchOrder) -> Result<Connection, Fault> {
    if order.from.endpoint == endpoint.id() {
        return Err(Fault::Never(
            "The order names our own endpoint as the holder, which has nothing to fetch from itself."
                .into(),
        ));
    }
    let window = VarInt::from_u32(WINDOW);
    let config = QuicTransportConfig::builder()
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .stream_receive_window(window)
        .receive_window(window)
        .build();
    let options = ConnectOptions::new().with_transport_config(config);
    let reach = reach(&order.from, endpoint.relays)?;
    let unreached = |why: String| {
        Fault::Later(format!(
            "The other side cannot be reached ({why}). It may be offline; what arrived before is kept \
             and it is tried again. No money moved."
        ))
    };
    timeout(endpoint.patience.connect, async {
        let connecting = endpoint
            .iroh
            .connect_with_opts(reach, ALPN, options)
            .await
            .map_err(|error| unreached(error.to_string()))?;
        connecting.await.map_err(|error| unreached(error.to_string()))
    })
    .await
    .map_err(|_| unreached("no answer in time".into()))?
}

async fn download(
    connection: &Connection,
    order: &FetchOrder,
    patience: &Patience,
    mut partial: Partial,
    teller: &mut Teller<'_>,
) -> (Option<Partial>, Result<(), Stop>) {
    let (recv, outline) = match open(connection, order, patience, &mut partial).await {
        Ok(open) => open,
        Err(fault) => return (Some(partial), Err(fault.into())),
    };
    let (cut, start) = (outline.cut, partial.held());
    let (tx, rx) = mpsc::channel(BEHIND);
    let outline = Arc::new(outline);
    let writer = tokio::task::spawn_blocking(move || partial.write(&outline, rx));
    let received = receive(recv, cut, start, patience, tx, teller).await;
    let Ok((partial, written)) = writer.await else {
        return (None, Err(interrupted().into()));
    };
    let end = match written {
        Err(Trouble::Disk(fault)) => Err(fault.into()),
        Err(Trouble::WrongTail) => Err(Stop::Again),
        Err(Trouble::Wrong(at)) => Err(Fault::Never(format!(
            "The other side sent wrong bytes after byte {at} of {}: they are not the file that was \
             promised. What arrived was deleted, no money moved.",
            order.size
        ))
        .into()),
        Ok(()) => received.map_err(|why| cut_short(&why, partial.held(), order.size).into()),
    };
    (Some(partial), end)
}

/// Asks for the blob, checks size and outline, and asks for the bytes that are missing.
async fn open(
    connection: &Connection,
    order: &FetchOrder,
    patience: &Patience,
    partial: &mut Partial,
) -> Result<(RecvStream, Outline), Fault> {
    let held = partial.held();
    let late = |_| cut_short("it did not answer in time", held, order.size);
    let (mut send, mut recv) = timeout(patience.answer, connection.open_bi())
        .await
        .map_err(late)?
        .map_err(|error| refused(&error, held, order.size))?;
    // With nothing held there is nothing to compare first: one round trip less.
    let mut request = order.blob.0.to_vec();
    if held == 0 {
        request.extend(0u64.to_le_bytes());
    }
    say(&mut send, &request, patience, held, order.size).await?;

    let mut status = [0; 1];
    hear(&mut recv, &mut status, patience, held, order.size).await?;
    match status[0] {
        0 => {}
        2 => return Err(gone()),
        3 => return Err(busy()),
        _ => return Err(not_for_us()),
    }
    let mut size = [0; 8];
    hear(&mut recv, &mut size, patience, held, order.size).await?;
    let size = u64::from_le_bytes(size);
    if size != order.size {
        return Err(Fault::Never(format!(
            "The other side offers {size} bytes where {} were promised. Nothing was kept, no money \
             moved.",
            order.size
        )));
    }
    let cut = Cut::of(size);
    let mut values = vec![0; cut.outline_bytes()];
    for piece in values.chunks_mut(PULSE) {
        hear(&mut recv, piece, patience, held, order.size).await?;
    }
    let values = values.as_chunks::<VALUE>().0.to_vec();
    let outline = Outline::proved(cut, values, &order.blob).ok_or_else(|| {
        Fault::Never(
            "The other side described a file that is not the one that was promised. Nothing was kept, \
             no money moved."
                .into(),
        )
    })?;
    if held > 0 {
        partial.agree(&outline)?;
        say(&mut send, &partial.held().to_le_bytes(), patience, held, order.size).await?;
    }
    // A peer that has already gone shows on the receiving side.
    let _ = send.finish();
    Ok((recv, outline))
}

async fn say(
    send: &mut SendStream,
    bytes: &[u8],
    patience: &Patience,
    held: u64,
    size: u64,
) -> Result<(), Fault> {
    match timeout(patience.answer, send.write_all(bytes)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(cut_short(&error.to_string(), held, size)),
        Err(_) => Err(cut_short("it did not listen in time", held, size)),
    }
}

async fn hear(
    recv: &mut RecvStream,
    into: &mut [u8],
    patience: &Patience,
    held: u64,
    size: u64,
) -> Result<(), Fault> {
    match timeout(patience.answer, recv.read_exact(into)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(ReadExactError::ReadError(ReadError::Reset(code)))) => {
            Err(of_code(code).unwrap_or_else(|| cut_short("it broke off", held, size)))
        }
        Ok(Err(ReadExactError::ReadError(ReadError::ConnectionLost(error)))) => {
            Err(refused(&error, held, size))
        }
        Ok(Err(error)) => Err(cut_short(&error.to_string(), held, size)),
        Err(_) => Err(cut_short("it did not answer in time", held, size)),
    }
}

/// Reads to the end of the file and not a byte further. An error says in words why it ended early; what
/// came before has gone to the disk.
async fn receive(
    mut recv: RecvStream,
    cut: Cut,
    start: u64,
    patience: &Patience,
    to: mpsc::Sender<Vec<u8>>,
    teller: &mut Teller<'_>,
) -> Result<(), String> {
    let mut at = start;
    let mut pulse = 0;
    let mut deadline = Instant::now() + patience.stall;
    while at < cut.size {
        let (_, _, end) = cut.group_at(at);
        let mut block = vec![0; (end - at) as usize];
        let mut filled = 0;
        let why = loop {
            if filled == block.len() {
                break None;
            }
            match timeout_at(deadline, recv.read(&mut block[filled..])).await {
                Ok(Ok(Some(read))) => {
                    filled += read;
                    pulse += read;
                    if pulse >= PULSE {
                        pulse = 0;
                        deadline = Instant::now() + patience.stall;
                    }
                    teller.at(at + filled as u64);
                }
                Ok(Ok(None)) => break Some("it ended too early".to_owned()),
                Ok(Err(ReadError::Reset(code))) => {
                    break Some(match of_code(code) {
                        Some(fault) => fault.to_string(),
                        None => "it broke off".to_owned(),
                    });
                }
                Ok(Err(error)) => break Some(error.to_string()),
                Err(_) => break Some("it stalled".to_owned()),
            }
        };
        block.truncate(filled);
        at += filled as u64;
        // The writer is gone only if it has something worse to say.
        let gone = filled > 0 && to.send(block).await.is_err();
        if let Some(why) = why {
            return Err(why);
        }
        if gone {
            return Ok(());
        }
        // Waiting for our own disk is not the peer's fault.
        deadline = deadline.max(Instant::now() + patience.stall / 2);
    }
    Ok(())
}

fn cut_short(why: &str, held: u64, size: u64) -> Fault {
    Fault::Later(format!(
        "The transfer was cut at {held} of {size} bytes: {why}. What arrived is kept and the next try goes \
         on there. No money moved."
    ))
}

fn refused(error: &ConnectionError, held: u64, size: u64) -> Fault {
    match error {
        ConnectionError::ApplicationClosed(close) => {
            of_code(close.error_code).unwrap_or_else(|| cut_short("it hung up", held, size))
        }
        error => cut_short(&error.to_string(), held, size),
    }
}

fn of_code(code: VarInt) -> Option<Fault> {
    [(Answer::NotForYou, not_for_us as fn() -> Fault), (Answer::Gone, gone), (Answer::Busy, busy)]
        .into_iter()
        .find_map(|(answer, fault)| (answer.code() == code).then(fault))
}

fn not_for_us() -> Fault {
    Fault::Later(
        "The other side does not serve this file to us, or not yet. It is asked again. No money moved."
            .into(),
    )
}

fn gone() -> Fault {
    Fault::Later(
        "The file has changed or gone on the other side, which must restore it. No money moved."
            .into(),
    )
}

fn busy() -> Fault {
    Fault::Later("The other side is busy. It is asked again. No money moved.".into())
}

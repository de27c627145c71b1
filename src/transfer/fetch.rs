//! The fetching side: asks, proves, hands to the disk.

use std::time::Duration;

use iroh::endpoint::{ConnectOptions, Connection, QuicTransportConfig, RecvStream, VarInt};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use super::ask::Talk;
use super::endpoint::{ALPN, Endpoint, Patience, reach};
use super::outline::{Cut, LARGEST, Outline};
use super::partial::{Found, Partial, Place, Trouble};
use super::request::{Answer, Lane, MOST_LANES, Want};
use crate::engine::{Fault, FetchOrder};

/// What a lane may bring before it is read. QUIC's reassembly here gives the connection up when a stream holds
/// over 1,024 unread packets, lost ones or not (quinn issue 2809), so a lane is narrow and the lanes are many.
const LANE_WINDOW: u32 = 896 << 10;
/// Groups that wait for the disk.
const BEHIND: usize = 4;
/// A peer that does not bring this much in [`Patience::stall`] stalls.
const PULSE: usize = 16 * 1024;
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
            "A file of {} bytes is over 256 GiB, the most that is transferred. Nothing was fetched, no \
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
    let all_lanes = LANE_WINDOW * (u32::from(MOST_LANES) + 1);
    let config = QuicTransportConfig::builder()
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .stream_receive_window(VarInt::from_u32(LANE_WINDOW))
        .receive_window(VarInt::from_u32(all_lanes))
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
    let mut talk = Talk { connection, order, patience: patience.answer, held: partial.held() };
    let (outline, lanes) = match open(&mut talk, &mut partial).await {
        Ok(open) => open,
        Err(fault) => return (Some(partial), Err(fault.into())),
    };
    let (tx, rx) = mpsc::channel(BEHIND);
    let writer = tokio::task::spawn_blocking(move || partial.write(&outline, rx));
    let received = receive(&mut talk, lanes, patience.stall, tx, teller).await;
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
        Ok(()) => received.map_err(Stop::Fault),
    };
    (Some(partial), end)
}

/// Gets the outline, drops what is held against it, and opens the lanes from there.
async fn open(
    talk: &mut Talk<'_>,
    partial: &mut Partial,
) -> Result<(Outline, Vec<RecvStream>), Fault> {
    let mut description = talk.ask(Want::Outline).await?;
    // With nothing held there is nothing to compare first: one round trip less.
    let early = if talk.held == 0 { Some(open_lanes(talk).await?) } else { None };
    let outline = talk.outline(&mut description).await?;
    let mut lanes = match early {
        Some(lanes) => lanes,
        None => {
            partial.agree(&outline)?;
            talk.held = partial.held();
            open_lanes(talk).await?
        }
    };
    for lane in &mut lanes {
        talk.status(lane).await?;
    }
    Ok((outline, lanes))
}

async fn open_lanes(talk: &Talk<'_>) -> Result<Vec<RecvStream>, Fault> {
    let cut = Cut::of(talk.order.size);
    let missing = cut.groups() - talk.held / cut.group;
    let of = missing.clamp(1, MOST_LANES.into()) as u8;
    let mut lanes = Vec::new();
    for index in 0..of {
        let want = Want::Bytes { start: talk.held, lane: Lane { of, index } };
        lanes.push(talk.ask(want).await?);
    }
    Ok(lanes)
}

/// Reads the lanes in the order of the file, to its end and not a byte further. What came before an error
/// has gone to the disk.
async fn receive(
    talk: &mut Talk<'_>,
    mut lanes: Vec<RecvStream>,
    stall: Duration,
    to: mpsc::Sender<Vec<u8>>,
    teller: &mut Teller<'_>,
) -> Result<(), Fault> {
    let cut = Cut::of(talk.order.size);
    let of = lanes.len() as u8;
    while talk.held < cut.size {
        let (group, _, end) = cut.group_at(talk.held);
        let lane = &mut lanes[usize::from(Lane::of_group(of, group))];
        let mut block = vec![0; (end - talk.held) as usize];
        let mut filled = 0;
        let mut pulse = 0;
        let mut deadline = Instant::now() + stall;
        let mut trouble = None;
        while filled < block.len() && trouble.is_none() {
            match timeout_at(deadline, lane.read(&mut block[filled..])).await {
                Ok(Ok(Some(read))) => {
                    filled += read;
                    pulse += read;
                    if pulse >= PULSE {
                        pulse = 0;
                        deadline = Instant::now() + stall;
                    }
                    teller.at(talk.held + filled as u64);
                }
                Ok(Ok(None)) => trouble = Some(Err("it ended too early")),
                Ok(Err(error)) => trouble = Some(Ok(error)),
                Err(_) => trouble = Some(Err("it stalled")),
            }
        }
        block.truncate(filled);
        talk.held += filled as u64;
        // The writer is gone only if it has something worse to say.
        let gone = filled > 0 && to.send(block).await.is_err();
        match trouble {
            Some(Ok(error)) => return Err(talk.unread(&error)),
            Some(Err(why)) => return Err(talk.cut_short(why)),
            None if gone => return Ok(()),
            None => {}
        }
    }
    Ok(())
}

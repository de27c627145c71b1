//! The words of the fetching side: what it asks, and what an answer, or none, means to a person.

use std::time::Duration;

use iroh::endpoint::{
    Connection, ConnectionError, ReadError, ReadExactError, RecvStream, VarInt, WriteError,
};
use tokio::time::timeout;

use super::outline::{Cut, Outline, VALUE};
use super::request::{Answer, Request, Want};
use crate::engine::{Fault, FetchOrder};

/// One connection to a holder, and what is known when it fails.
pub(super) struct Talk<'a> {
    pub(super) connection: &'a Connection,
    pub(super) order: &'a FetchOrder,
    /// How long an answer may take.
    pub(super) patience: Duration,
    /// Bytes held.
    pub(super) held: u64,
}

impl Talk<'_> {
    /// Opens a stream and asks.
    pub(super) async fn ask(&self, want: Want) -> Result<RecvStream, Fault> {
        let asked = timeout(self.patience, async {
            let (mut send, recv) = self.connection.open_bi().await?;
            send.write_all(&Request { blob: self.order.blob, want }.to_bytes()).await?;
            // Cannot fail: nothing else finishes it.
            let _ = send.finish();
            Ok::<_, WriteError>(recv)
        });
        match asked.await {
            Ok(Ok(recv)) => Ok(recv),
            Ok(Err(WriteError::ConnectionLost(error))) => Err(self.lost(&error)),
            Ok(Err(WriteError::Stopped(code))) => Err(self.broken_off(code)),
            Ok(Err(error)) => Err(self.cut_short(&error.to_string())),
            Err(_) => Err(self.cut_short("it did not listen in time")),
        }
    }

    /// The status that every answer begins with.
    pub(super) async fn status(&self, recv: &mut RecvStream) -> Result<(), Fault> {
        let mut status = [0; 1];
        self.hear(recv, &mut status).await?;
        match Answer::of(status[0].into()) {
            Some(Answer::Here) => Ok(()),
            Some(answer) => Err(sentence(answer)),
            None => Err(self.cut_short("it said something unknown")),
        }
    }

    /// Size and outline, both checked.
    pub(super) async fn outline(&self, recv: &mut RecvStream) -> Result<Outline, Fault> {
        self.status(recv).await?;
        let mut size = [0; 8];
        self.hear(recv, &mut size).await?;
        let size = u64::from_le_bytes(size);
        if size != self.order.size {
            return Err(Fault::Never(format!(
                "The other side offers {size} bytes where {} were promised. Nothing was kept, no money \
                 moved.",
                self.order.size
            )));
        }
        let cut = Cut::of(size);
        let mut values = vec![0; cut.outline_bytes()];
        for piece in values.chunks_mut(64 << 10) {
            self.hear(recv, piece).await?;
        }
        let values = values.as_chunks::<VALUE>().0.to_vec();
        Outline::proved(cut, values, &self.order.blob).ok_or_else(|| {
            Fault::Never(
                "The other side described a file that is not the one that was promised. Nothing was \
                 kept, no money moved."
                    .into(),
            )
        })
    }

    async fn hear(&self, recv: &mut RecvStream, into: &mut [u8]) -> Result<(), Fault> {
        match timeout(self.patience, recv.read_exact(into)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(ReadExactError::ReadError(error))) => Err(self.unread(&error)),
            Ok(Err(ReadExactError::FinishedEarly(_))) => {
                Err(self.cut_short("it ended in the middle of a sentence"))
            }
            Err(_) => Err(self.cut_short("it did not answer in time")),
        }
    }

    /// What a read that failed means.
    pub(super) fn unread(&self, error: &ReadError) -> Fault {
        match error {
            ReadError::Reset(code) => self.broken_off(*code),
            ReadError::ConnectionLost(error) => self.lost(error),
            error => self.cut_short(&error.to_string()),
        }
    }

    fn lost(&self, error: &ConnectionError) -> Fault {
        match error {
            ConnectionError::ApplicationClosed(close) => self.broken_off(close.error_code),
            error => self.cut_short(&error.to_string()),
        }
    }

    fn broken_off(&self, code: VarInt) -> Fault {
        match Answer::of(code.into_inner()) {
            None | Some(Answer::Here) => self.cut_short("it hung up"),
            Some(answer) => sentence(answer),
        }
    }

    /// It ended early: later, from where it was.
    pub(super) fn cut_short(&self, why: &str) -> Fault {
        Fault::Later(format!(
            "The transfer was cut at {} of {} bytes: {why}. What arrived is kept and the next try goes on \
             there. No money moved.",
            self.held, self.order.size
        ))
    }
}

fn sentence(answer: Answer) -> Fault {
    Fault::Later(
        match answer {
            Answer::Here | Answer::Busy => "The other side is busy. It is asked again; what arrived is kept.",
            Answer::NotForYou => {
                "The other side does not serve this file to us, or not yet. It is asked again."
            },
            Answer::Gone => {
                "The file has changed or gone on the other side, which must restore it. It is asked again."
            },
        }
        .to_owned()
            + " No money moved.",
    )
}

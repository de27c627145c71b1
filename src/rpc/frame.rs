//! One line each way: its form, its version, its size.

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _};

use crate::engine::{Answer, Call, Fault, Notice, Trouble};
use crate::market::Refusal;
use crate::rpc::change::Change;

/// The version of the form. Another is refused with a sentence.
pub const VERSION: u32 = 1;
/// The most bytes of one line to the owner: a gig's draft is far below.
pub const MOST_ASKED: usize = 1 << 20;
/// The most bytes of one line from the owner: 500 gigs of 16 KiB, every character escaped, are below.
pub const MOST_SAID: usize = 64 << 20;

/// What is read of every line before anything else.
#[derive(Debug, Deserialize)]
pub(super) struct Head {
    pub(super) v: u32,
    pub(super) id: u64,
}

/// A line to the owner.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Asked {
    pub(super) v: u32,
    pub(super) id: u64,
    pub(super) r#do: Do,
}

/// What is asked: a stream, or one answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Do {
    Stream(Stream),
    Call(Call),
}

/// What goes on until the connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stream {
    Watch,
    Notices,
}

/// A line from the owner: `ok` or `err`, never both.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Said {
    pub(super) v: u32,
    /// Of what was asked; `None` says it of the connection, and is its last line.
    pub(super) id: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ok: Option<Good>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) err: Option<Trouble>,
}

/// What is said.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Good {
    Answer(Answer),
    Change(Box<Change>),
    Notice(Notice),
    /// So many notices were told while the other side did not read.
    Missed(u64),
}

impl Said {
    pub(super) fn new(id: Option<u64>, said: Result<Good, Trouble>) -> Self {
        let (ok, err) = match said {
            Ok(good) => (Some(good), None),
            Err(trouble) => (None, Some(trouble)),
        };
        Self { v: VERSION, id, ok, err }
    }

    /// The line, its end included. What is too long to be said is said to be so.
    pub(super) fn line(&self) -> String {
        match line(self) {
            Ok(line) if line.len() <= MOST_SAID => line,
            Ok(_) => self.instead("The answer is too long for one line. Ask for less at a time."),
            Err(_) => self.instead("The answer holds a path that is not UTF-8 and cannot be said."),
        }
    }

    fn instead(&self, why: &str) -> String {
        let fault = Fault::Never(why.to_owned());
        let said = Self::new(self.id, Err(fault.into()));
        line(&said).unwrap_or_else(|_| "{}\n".to_owned())
    }
}

/// One object, one line.
pub(super) fn line<T: Serialize>(value: &T) -> Result<String, serde_json::Error> {
    let mut line = serde_json::to_string(value)?;
    line.push('\n');
    Ok(line)
}

/// Refused by the socket itself: nothing was done.
pub(super) fn refused(code: &str, sentence: impl Into<String>) -> Trouble {
    Refusal::new(code, format!("{} Nothing was done.", sentence.into())).into()
}

/// What reading a line comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// It stands in the buffer, without its end.
    Line,
    /// The other side has closed, perhaps in the middle of a line.
    End,
    /// Longer than is read.
    TooLong,
}

/// Reads one line of at most `most` bytes into `line`. Not safe to drop half-way: what was read is lost.
pub(super) async fn read_line<R: AsyncBufRead + Unpin>(
    from: &mut R,
    line: &mut Vec<u8>,
    most: usize,
) -> std::io::Result<Read> {
    line.clear();
    loop {
        let seen = from.fill_buf().await?;
        if seen.is_empty() {
            return Ok(Read::End);
        }
        let (part, ended) = match seen.iter().position(|b| *b == b'\n') {
            Some(end) => (end, true),
            None => (seen.len(), false),
        };
        if line.len() + part > most {
            return Ok(Read::TooLong);
        }
        line.extend_from_slice(&seen[..part]);
        from.consume(part + usize::from(ended));
        if ended {
            return Ok(Read::Line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::EventId;

    #[test]
    fn a_question_has_one_spelling() {
        let history = Do::Call(Call::History(EventId([0xab; 32])));
        for (asked, json) in [
            (Do::Stream(Stream::Watch), r#""watch""#.to_owned()),
            (Do::Call(Call::Payments), r#""payments""#.to_owned()),
            (history, format!(r#"{{"history":"{}"}}"#, EventId([0xab; 32]))),
        ] {
            let line = line(&Asked { v: VERSION, id: 7, r#do: asked }).unwrap();
            assert_eq!(line, format!("{{\"v\":1,\"id\":7,\"do\":{json}}}\n"));
            let back: Asked = serde_json::from_str(&line).unwrap();
            assert_eq!(super::line(&back).unwrap(), line);
        }
    }

    #[tokio::test]
    async fn a_line_is_bounded_before_it_is_kept() {
        let mut bytes: &[u8] = b"one\n\nthree and more\nhalf";
        let mut line = Vec::new();
        assert_eq!(read_line(&mut bytes, &mut line, 5).await.unwrap(), Read::Line);
        assert_eq!(line, b"one");
        assert_eq!(read_line(&mut bytes, &mut line, 5).await.unwrap(), Read::Line);
        assert_eq!(line, b"");
        assert_eq!(read_line(&mut bytes, &mut line, 5).await.unwrap(), Read::TooLong);
        let mut half: &[u8] = b"half";
        assert_eq!(read_line(&mut half, &mut line, 5).await.unwrap(), Read::End);
    }
}

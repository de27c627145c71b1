//! One append-only file that holds a chain: blocks in the order they were accepted, transactions
//! that came into the mempool, and what was taken back by hand.
//!
//! A record is `length u32 LE | kind u8 | checksum [u8; 4] | payload`, the checksum being the start
//! of the double SHA-256 of kind and payload. A record cut short by a crash is cut off at the next
//! start; damage anywhere else refuses to open, because a node that has seen a block must find it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use bitcoin::consensus::encode::{deserialize, serialize};
use bitcoin::hashes::{Hash, sha256d};
use bitcoin::{Block, BlockHash, Transaction};

const MAGIC: &[u8] = b"earnest regtest 1\n";
const HEAD: usize = 9;
/// No record is larger than a block of the greatest weight.
const MAX_RECORD: usize = 4_000_100;

/// One thing that happened to the chain.
#[derive(Debug)]
pub enum Record {
    /// A block was accepted.
    Block(Block),
    /// A transaction came into the mempool at this time (seconds).
    Transaction(u64, Transaction),
    /// A block was declared invalid by hand.
    Invalidated(BlockHash),
    /// That was taken back.
    Reconsidered(BlockHash),
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The disk said no.
    #[error("the sandbox chain's file {path} cannot be used: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process has it open.
    #[error("the sandbox chain in {0} is in use by another process; stop that one first")]
    Busy(PathBuf),
    /// The middle of the file is damaged.
    #[error(
        "the sandbox chain's file {path} is damaged at byte {offset}; delete the whole sandbox \
         folder (its nodes depend on this chain; no real money is in it) and start again"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the damage begins.
        offset: u64,
    },
    /// An earlier write failed, so what is on disk is behind what was said.
    #[error("the sandbox chain stopped writing after a disk error; restart the sandbox")]
    Stopped,
    /// Whoever ran the chain is gone, and this handle outlived it.
    #[error("the sandbox chain is closed")]
    Closed,
}

/// The open file, locked against a second process.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
    stopped: bool,
}

impl Journal {
    /// Opens or makes `dir/chain.dat` and reads what it holds.
    pub fn open(dir: &Path) -> Result<(Self, Vec<Record>), JournalError> {
        let path = dir.join("chain.dat");
        let fail = |source| JournalError::Io { path: path.clone(), source };
        fs::create_dir_all(dir).map_err(fail)?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(fail)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(JournalError::Busy(dir.to_owned())),
            Err(TryLockError::Error(e)) => return Err(fail(e)),
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(fail)?;
        if bytes.len() < MAGIC.len() && MAGIC.starts_with(&bytes) {
            file.set_len(0).map_err(fail)?;
            file.rewind().map_err(fail)?;
            file.write_all(MAGIC).map_err(fail)?;
            bytes = MAGIC.to_vec();
        } else if !bytes.starts_with(MAGIC) {
            return Err(JournalError::Damaged { path, offset: 0 });
        }
        let mut records = Vec::new();
        let mut at = MAGIC.len();
        while at < bytes.len() {
            match read_record(&bytes[at..]) {
                Ok((record, used)) => {
                    records.push(record);
                    at += used;
                }
                Err(Tear::End) => {
                    tracing::warn!(
                        file = %path.display(), at, lost = bytes.len() - at,
                        "the last record was not written whole and is cut off"
                    );
                    break;
                }
                Err(Tear::Middle) => {
                    return Err(JournalError::Damaged { path, offset: at as u64 });
                }
            }
        }
        file.set_len(at as u64).map_err(fail)?;
        file.seek(SeekFrom::Start(at as u64)).map_err(fail)?;
        Ok((Self { file, path, stopped: false }, records))
    }

    /// Appends one record. After a failure every later call fails too: a hole would be worse.
    pub fn append(&mut self, record: &Record) -> Result<(), JournalError> {
        if self.stopped {
            return Err(JournalError::Stopped);
        }
        let (kind, payload) = match record {
            Record::Block(block) => (1, serialize(block)),
            Record::Transaction(time, tx) => {
                let mut payload = time.to_le_bytes().to_vec();
                payload.extend(serialize(tx));
                (2, payload)
            }
            Record::Invalidated(hash) => (3, serialize(hash)),
            Record::Reconsidered(hash) => (4, serialize(hash)),
        };
        let mut out = Vec::with_capacity(HEAD + payload.len());
        out.extend((payload.len() as u32).to_le_bytes());
        out.push(kind);
        out.extend(checksum(kind, &payload));
        out.extend(payload);
        self.guard(|file| file.write_all(&out))
    }

    /// Waits until everything appended is on the disk.
    pub fn sync(&mut self) -> Result<(), JournalError> {
        self.guard(|file| file.sync_data())
    }

    fn guard(&mut self, io: impl FnOnce(&mut File) -> io::Result<()>) -> Result<(), JournalError> {
        io(&mut self.file).map_err(|source| {
            self.stopped = true;
            JournalError::Io { path: self.path.clone(), source }
        })
    }
}

enum Tear {
    /// The record runs past the end, or is the last one and half written.
    End,
    /// Something follows it, so this is damage and not a crash.
    Middle,
}

fn read_record(bytes: &[u8]) -> Result<(Record, usize), Tear> {
    let Some((head, rest)) = bytes.split_first_chunk::<HEAD>() else {
        return Err(Tear::End);
    };
    let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
    if length > MAX_RECORD {
        return Err(Tear::Middle);
    }
    let kind = head[4];
    let Some(payload) = rest.get(..length) else {
        return Err(Tear::End);
    };
    let tear = || if rest.len() == length { Tear::End } else { Tear::Middle };
    if head[5..9] != checksum(kind, payload) {
        return Err(tear());
    }
    let record = match kind {
        1 => deserialize(payload).ok().map(Record::Block),
        2 => payload.split_first_chunk::<8>().and_then(|(time, tx)| {
            Some(Record::Transaction(u64::from_le_bytes(*time), deserialize(tx).ok()?))
        }),
        3 => deserialize(payload).ok().map(Record::Invalidated),
        4 => deserialize(payload).ok().map(Record::Reconsidered),
        _ => None,
    };
    record.map(|r| (r, HEAD + length)).ok_or(Tear::Middle)
}

fn checksum(kind: u8, payload: &[u8]) -> [u8; 4] {
    let mut engine = sha256d::Hash::engine();
    bitcoin::hashes::HashEngine::input(&mut engine, &[kind]);
    bitcoin::hashes::HashEngine::input(&mut engine, payload);
    let hash = sha256d::Hash::from_engine(engine).to_byte_array();
    [hash[0], hash[1], hash[2], hash[3]]
}

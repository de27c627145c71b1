//! A deliverable larger than memory: sealed, inspected, audited, opened and proved in the same few
//! MiB, without a disk.
//!
//! `EARNEST_SEAL_GIB=4 cargo test --test seal_memory -- --nocapture` runs it at 4 GiB and prints how
//! long each part took beside the floor, BLAKE3 and ChaCha20 alone on the same threads. Without it
//! the stream is 64 MiB and nothing is timed.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that unwraps wrongly fails")]
#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]

use std::{
    fs,
    io::{self, Cursor, Read, Seek, SeekFrom, Write},
    num::NonZeroUsize,
    thread,
    time::Instant,
};

use chacha20::{
    ChaCha20,
    cipher::{KeyIvInit, StreamCipher},
};
use earnest::seal::{
    AuditSeed, ChannelSecret, Cut, Expected, Hash32, MAX_CHUNK, Manifest, Mode, Plan, Request,
    Sampled, TrancheKey, TrancheKeys, inspect, open, openings, prove, sample, seal,
};

const MIB: u64 = 1 << 20;

/// The deliverable: one block over and over, so that making it costs a copy.
struct Text {
    block: Vec<u8>,
    at: u64,
    total: u64,
}

impl Text {
    fn new(total: u64) -> Self {
        let mut block = vec![0; MIB as usize + 13];
        blake3::Hasher::new().finalize_xof().fill(&mut block);
        Self { block, at: 0, total }
    }
}

impl Read for Text {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let from = &self.block[(self.at % self.block.len() as u64) as usize..];
        let len = room.len().min(from.len()).min((self.total - self.at) as usize);
        room[..len].copy_from_slice(&from[..len]);
        self.at += len as u64;
        Ok(len)
    }
}

/// The blob, made anew wherever it is read, by the worker's own openings.
struct Blob<'a> {
    text: Text,
    manifest: &'a Manifest,
    keys: &'a [TrancheKeys],
    chunk: Vec<u8>,
    at: usize,
}

impl<'a> Blob<'a> {
    fn new(manifest: &'a Manifest, keys: &'a [TrancheKeys]) -> Self {
        Self { text: Text::new(manifest.total), manifest, keys, chunk: vec![], at: 0 }
    }
}

impl Read for Blob<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        if self.at == self.chunk.len() {
            let i = self.text.at / MAX_CHUNK as u64;
            let end = (self.text.at + MAX_CHUNK as u64).min(self.text.total);
            self.chunk.resize((end - self.text.at) as usize, 0);
            self.text.read_exact(&mut self.chunk)?;
            self.at = 0;
            if !self.chunk.is_empty() {
                let one = Sampled { record: i, chunks: i..i + 1, bytes: 0..0, gold: false };
                let opening = openings(self.manifest, &[one], self.keys).unwrap().remove(0);
                encrypt(opening.key.expose(), &mut self.chunk);
            }
        }
        let len = room.len().min(self.chunk.len() - self.at);
        room[..len].copy_from_slice(&self.chunk[self.at..self.at + len]);
        self.at += len;
        Ok(len)
    }
}

impl Seek for Blob<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let SeekFrom::Start(at) = to else { unreachable!("seal seeks from the start") };
        self.text.at = at / MAX_CHUNK as u64 * MAX_CHUNK as u64;
        (self.chunk, self.at) = (vec![], 0);
        let inside = at - self.text.at;
        io::copy(&mut self.by_ref().take(inside), &mut io::sink())?;
        Ok(at)
    }
}

/// Takes the opened text and compares it with what was sealed.
struct Same(Text, Vec<u8>);

impl Write for Same {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.1.resize(text.len(), 0);
        self.0.read_exact(&mut self.1)?;
        assert!(self.1 == text, "what was opened is not what was sealed");
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn encrypt(key: &[u8; 32], bytes: &mut [u8]) {
    ChaCha20::new(key.into(), &[0; 12].into()).apply_keystream(bytes);
}

/// The most memory this process ever held, in bytes: allocations, stacks and all.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[expect(clippy::disallowed_macros, reason = "a measurement is printed")]
fn timed<T>(what: &str, gib: Option<u64>, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let done = work();
    if let Some(gib) = gib {
        let seconds = start.elapsed().as_secs_f64();
        let rate = (gib << 30) as f64 / seconds / 1e9;
        println!("{what:8} {seconds:6.2} s  {rate:5.2} GB/s  peak {} MiB", peak() / MIB);
    }
    done
}

/// BLAKE3 once and ChaCha20 once over as many bytes, chunk by chunk, and nothing else.
fn floor(total: u64, workers: u64) {
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let mut chunk = vec![0; MAX_CHUNK];
                for i in 0..total / workers / MAX_CHUNK as u64 {
                    encrypt(&[i as u8; 32], &mut chunk);
                    std::hint::black_box(blake3::hash(&chunk));
                }
            });
        }
    });
}

#[test]
fn a_long_deliverable_takes_no_more_memory_than_a_short_one() {
    let gib: Option<u64> = std::env::var("EARNEST_SEAL_GIB").ok().map(|gib| gib.parse().unwrap());
    let total = gib.map_or(64 * MIB, |gib| gib << 30) + 5;
    let workers = NonZeroUsize::new(2).unwrap();
    let job = Hash32::new([1; 32]);
    let channel = ChannelSecret::new([2; 32]);
    let keys: Vec<TrancheKeys> = (0..3)
        .map(|t| TrancheKeys {
            key: TrancheKey::new([10 + t as u8; 32]),
            secret: channel.tranche(&job, 0, t),
        })
        .collect();
    let secrets: Vec<_> = keys.iter().map(|keys| keys.secret.clone()).collect();
    // 37 bytes a chunk, kept here by the test and not by the room.
    let mut vector = vec![0; (total.div_ceil(MAX_CHUNK as u64) * 37) as usize];

    if let Some(gib) = gib {
        timed("floor", Some(gib), || floor(total, 2));
    }
    let start = peak();
    let within = |what: &str| {
        let grown = (peak() - start) / MIB;
        assert!(grown < 64, "{what} took {grown} MiB");
    };

    let plan = Plan {
        job,
        delivery: 0,
        total,
        cut: Cut::Bytes,
        starts: &[],
        mode: Mode::Sealed,
        checks: vec![],
        nonce: job,
        workers,
    };
    let sealed = timed("seal", gib, || {
        seal(Text::new(total), &plan, &keys, &mut io::sink(), &mut &mut vector[..]).unwrap()
    });
    within("sealing");
    let manifest = &sealed.manifest;
    assert_eq!(manifest.vector_len(), vector.len() as u64);

    let expected = Expected {
        job,
        delivery: 0,
        mode: Mode::Sealed,
        cut: Some(Cut::Bytes),
        chunks: None,
        secrets: &secrets,
        price_msat: 3_000_000,
        least_tranche_msat: 1_000_000,
        checks: &[],
        max_total: total,
        max_chunks: manifest.n,
        seen: &|_| false,
    };
    let inspected = timed("inspect", gib, || {
        inspect(Blob::new(manifest, &keys), Cursor::new(&vector), manifest, &expected, workers)
    });
    assert_eq!(inspected.unwrap().records, manifest.n);
    within("inspecting");

    let seed = AuditSeed::new([3; 32]);
    let request = Request { d: job, seed: Some(&seed), wanted: 60, gold: &[], gold_is_paid: false };
    let drawn = timed("audit", gib, || sample(manifest, Cursor::new(&vector), &request).unwrap());
    assert_eq!(drawn.len(), 60);
    within("the audit");

    let mut same = Same(Text::new(total), vec![]);
    timed("open", gib, || {
        for (t, keys_of) in (0..).zip(&keys) {
            let blob = Blob::new(manifest, &keys);
            let vector = Cursor::new(&vector);
            open(manifest, t, Some(keys_of), blob, vector, &mut same, workers).unwrap();
        }
    });
    assert_eq!(same.0.at, total);
    within("opening");

    let i = manifest.n / 2;
    let keys_of = &keys[manifest.tranche_of(i).unwrap() as usize];
    let proof = timed("prove", gib, || {
        let blob = Blob::new(manifest, &keys);
        prove("", "", manifest, keys_of, i, blob, Cursor::new(&vector)).unwrap()
    });
    assert_eq!(proof.ciphertext.len(), MAX_CHUNK);
    within("proving");
}

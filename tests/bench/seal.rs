//! Sealing and opening a file, on disk, beside BLAKE3 and ChaCha20 alone over as many bytes.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read as _, Write as _};
use std::num::NonZeroUsize;
use std::path::Path;
use std::thread;

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit as _, StreamCipher as _};
use earnest::seal::{
    ChannelSecret, Cut, Hash32, MAX_CHUNK, Mode, Plan, TrancheKey, TrancheKeys, open, seal,
};

use crate::{Row, Samples, timed};

const BYTES: u64 = 512 << 20;
const ROUNDS: usize = 5;
const WORKERS: usize = 2;

pub(crate) fn measure(tell: &mut dyn FnMut(Row)) {
    let dir = tempfile::tempdir().unwrap();
    let plain = dir.path().join("plain");
    write_random(&plain, BYTES);
    let workers = NonZeroUsize::new(WORKERS).unwrap();
    let job = Hash32::new([1; 32]);
    let secret = ChannelSecret::new([2; 32]).tranche(&job, 0, 0);
    let keys = [TrancheKeys { key: TrancheKey::new([3; 32]), secret }];
    let plan = Plan {
        job,
        delivery: 0,
        total: BYTES,
        cut: Cut::Bytes,
        starts: &[],
        mode: Mode::Sealed,
        checks: vec![],
        nonce: job,
        workers,
    };
    let (mut floor, mut sealing, mut opening) =
        (Samples::default(), Samples::default(), Samples::default());
    let (blob, vector, out) =
        (dir.path().join("blob"), dir.path().join("vector"), dir.path().join("out"));
    for _ in 0..ROUNDS {
        floor.millis(timed(|| bare(&plain, &dir.path().join("floor"))).1);
        let (sealed, took) = timed(|| {
            let mut blob = BufWriter::with_capacity(1 << 20, File::create(&blob).unwrap());
            let mut vector = BufWriter::new(File::create(&vector).unwrap());
            let text = BufReader::with_capacity(1 << 20, File::open(&plain).unwrap());
            let sealed = seal(text, &plan, &keys, &mut blob, &mut vector).unwrap();
            blob.flush().unwrap();
            vector.flush().unwrap();
            sealed
        });
        sealing.millis(took);
        let (opened, took) = timed(|| {
            let blob = BufReader::with_capacity(1 << 20, File::open(&blob).unwrap());
            let vector = BufReader::new(File::open(&vector).unwrap());
            let mut out = BufWriter::with_capacity(1 << 20, File::create(&out).unwrap());
            let opened = open(&sealed.manifest, 0, Some(&keys[0]), blob, vector, &mut out, workers);
            out.flush().unwrap();
            opened
        });
        opened.unwrap();
        opening.millis(took);
    }
    let rival = "BLAKE3 + ChaCha20 alone, file to file";
    tell(sealing.against("seal a file of 512 MiB", "ms", rival, &floor));
    tell(opening.against("open it again, every chunk checked", "ms", rival, &floor));
}

/// Reads, encrypts, hashes once and writes, in pieces of the same size on the same threads, and nothing
/// else: what any sealing must at least do.
fn bare(from: &Path, to: &Path) {
    let mut from = File::open(from).unwrap();
    let mut to = File::create(to).unwrap();
    let mut block = vec![0; 4 << 20];
    loop {
        let mut filled = 0;
        while filled < block.len() {
            match from.read(&mut block[filled..]).unwrap() {
                0 => break,
                n => filled += n,
            }
        }
        if filled == 0 {
            return;
        }
        let half = filled.div_ceil(WORKERS).next_multiple_of(MAX_CHUNK);
        thread::scope(|scope| {
            for part in block[..filled].chunks_mut(half) {
                scope.spawn(|| {
                    for (i, chunk) in part.chunks_mut(MAX_CHUNK).enumerate() {
                        ChaCha20::new(&[i as u8; 32].into(), &[0; 12].into())
                            .apply_keystream(chunk);
                        std::hint::black_box(blake3::hash(chunk));
                    }
                });
            }
        });
        to.write_all(&block[..filled]).unwrap();
    }
}

/// Bytes that nothing can compress.
pub(crate) fn write_random(path: &Path, bytes: u64) {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path).unwrap());
    let mut source = blake3::Hasher::new().update(b"bench").finalize_xof();
    let mut block = vec![0; 1 << 20];
    let mut left = bytes;
    while left > 0 {
        source.fill(&mut block);
        let n = left.min(block.len() as u64) as usize;
        file.write_all(&block[..n]).unwrap();
        left -= n as u64;
    }
    file.flush().unwrap();
}

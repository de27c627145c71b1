//! Delivering: the worker's half, one pass over the deliverable.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read as _, Seek as _, SeekFrom};
use std::num::NonZeroUsize;
use std::path::Path;

use super::bundle::List;
use super::fault::{NOTHING_PAID, disk};
use super::place::{Folder, half, put};
use super::{hash, tranche_keys};
use crate::engine::{Fault, SealOrder, SealedFiles};
use crate::market::{CheckVerdict, Checked, Mode};
use crate::seal::{self, Cut, Plan, SealError};

/// Bytes written at a time.
const BUFFER: usize = 1 << 18;

/// See [`crate::engine::Files::seal`]. Sealed twice with the same keys, the result is the same.
pub(super) fn seal_file(
    folder: &Folder,
    order: &SealOrder,
    workers: NonZeroUsize,
) -> Result<SealedFiles, Fault> {
    let terms = &order.terms;
    let source = File::open(&order.source).map_err(|why| disk(&order.source, why, NOTHING_PAID))?;
    let total = source.metadata().map_err(|why| disk(&order.source, why, NOTHING_PAID))?.len();
    if total > terms.terms.max_bytes {
        return Err(Fault::Never(format!(
            "The deliverable has {total} bytes and the terms allow {}. Nothing was sent or paid.",
            terms.terms.max_bytes
        )));
    }
    let mode = seal_mode(terms.terms.mode);
    let keys = match mode {
        seal::Mode::Sealed => {
            (0..).zip(&order.keys).map(|(t, key)| tranche_keys(terms, t, key)).collect()
        }
        // The key of a direct delivery only makes the invoice ours: it opens nothing.
        seal::Mode::Direct => Vec::new(),
    };
    if mode == seal::Mode::Sealed && u32::try_from(keys.len()) != Ok(terms.terms.tranches) {
        return Err(Fault::Never(format!(
            "The terms have {} tranches and {} keys were made. Nothing was sent or paid.",
            terms.terms.tranches,
            keys.len()
        )));
    }
    let cut = match terms.terms.quality.cut {
        Some(cut) => cut,
        None => cut_of(&source).map_err(|why| disk(&order.source, why, NOTHING_PAID))?,
    };
    let starts = match cut {
        Cut::Files => starts_of(&source, total, &order.source)?,
        _ => Vec::new(),
    };
    let pinned = &terms.terms.quality.checks;
    let plan = Plan {
        job: hash(terms.job.0),
        delivery: terms.delivery,
        total,
        cut,
        starts: &starts,
        mode,
        checks: pinned.iter().map(|c| hash(c.hash.0)).collect(),
        nonce: hash(order.nonce.0),
        workers,
    };
    let dir = folder.sealed();
    let failed = |why| disk(&dir, why, NOTHING_PAID);
    let (blob, vector) = (half(&dir).map_err(failed)?, half(&dir).map_err(failed)?);
    let sealed = seal::seal(
        &source,
        &plan,
        &keys,
        &mut BufWriter::with_capacity(BUFFER, blob.as_file()),
        &mut BufWriter::with_capacity(BUFFER, vector.as_file()),
    )
    .map_err(|error| match error {
        SealError::Fault(why) => failed(why),
        error => Fault::Never(format!("{}. Nothing was paid.", sentence(&error.to_string()))),
    })?;
    let manifest = sealed.manifest;
    if !order.checks.is_empty() {
        let (chunks, vector) = (0..manifest.n, vector.path());
        let results =
            super::check::run_files(&order.source, vector, &manifest, chunks, true, &order.checks)?;
        if let Some(CheckVerdict::Fail { reason }) =
            results.into_iter().find(Checked::failed).map(|result| result.verdict)
        {
            return Err(Fault::Never(format!(
                "The file does not pass a check of the terms: {reason}. Nothing was sent or paid."
            )));
        }
    }
    let blob_path = dir.join(format!("{}.blob", manifest.blob));
    let vector_path = dir.join(format!("{}.vector", manifest.vector));
    put(blob, &blob_path).map_err(failed)?;
    put(vector, &vector_path).map_err(failed)?;
    let vector_size = manifest.vector_len();
    Ok(SealedFiles { manifest, blob: blob_path, vector: vector_path, vector_size })
}

/// Bytes of a file that are looked at to see whether it is text.
const LOOKED_AT: usize = 64 * 1024;

/// How a file falls into records where the terms leave it open: text into lines, anything else into full
/// chunks.
fn cut_of(mut source: &File) -> std::io::Result<Cut> {
    let mut head = Vec::new();
    source.take(LOOKED_AT as u64).read_to_end(&mut head)?;
    source.seek(SeekFrom::Start(0))?;
    let text = match std::str::from_utf8(&head) {
        Ok(text) => Some(text),
        // A character may be cut in two at the end of what was read.
        Err(why) if why.error_len().is_none() && head.len() == LOOKED_AT => Some(""),
        Err(_) => None,
    };
    let lines = text.is_some() && !head.contains(&0) && head.contains(&b'\n');
    Ok(if lines { Cut::Lines } else { Cut::Bytes })
}

/// Where the files of a folder start in the one file that was made of it.
fn starts_of(mut source: &File, total: u64, path: &Path) -> Result<Vec<u64>, Fault> {
    let failed = |why| disk(path, why, NOTHING_PAID);
    let list = List::read(&mut BufReader::new(source)).map_err(failed)?;
    source.seek(SeekFrom::Start(0)).map_err(failed)?;
    let whole = list.filter(|list| list.total() == Some(total));
    whole.and_then(|list| list.starts()).ok_or_else(|| {
        let said = "The terms ask for a folder, file by file: hand over the folder itself. Nothing was sent or paid.";
        Fault::Never(said.into())
    })
}

/// The market's word for a mode in the seal's.
pub(super) fn seal_mode(mode: Mode) -> seal::Mode {
    match mode {
        // In escrow the keys travel with the delivery.
        Mode::Sealed | Mode::Escrow => seal::Mode::Sealed,
        Mode::Direct => seal::Mode::Direct,
    }
}

/// The first letter large.
pub(super) fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

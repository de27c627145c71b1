//! The files port: each job's folder on disk, and the work done on what lies there.
//!
//! The rule: a file that is promised to anybody is a copy that nobody changes; what is written is
//! written beside and renamed when it is whole; nothing is ever overwritten. Heavy work runs on the
//! blocking threads, in memory that does not grow with the file.

mod adopt;
mod bundle;
mod check;
mod deliver;
mod fault;
mod place;
mod proof;
mod receive;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use async_trait::async_trait;

use crate::engine::{
    Fault, Files, Inspection, OpenedTranche, ProofOrder, SealOrder, SealTerms, SealedAt,
    SealedFiles,
};
use crate::market::{Attachment, Audited, Checked, EventId, Pinned, Preimage, Purpose};
use crate::seal::{ChannelSecret, Hash32, TrancheKey, TrancheKeys, TrancheSecret};
use crate::text::Raw;

pub(crate) use check::{Asked, run as run_checks};
use place::Folder;

/// The folders of all jobs, `<data>/jobs/<bid id in hex>/`:
///
/// ```text
/// ours/     copies of what we hand over: inputs, deliverables
/// inputs/   what the other side handed over to work on
/// sealed/   ciphertext and vector files, of either side, and what is being opened
/// out/      what was paid for and opened, under its own name; a folder where the terms cut by files
/// fraud-proof-0.json
/// ```
#[derive(Debug, Clone)]
pub struct JobFiles {
    jobs: PathBuf,
    workers: NonZeroUsize,
}

/// Threads that one piece of sealing or opening may use: disks are rarely faster than four.
const WORKERS: usize = 4;

impl JobFiles {
    /// The folders below the data directory, and what a crash left half-written in them removed. Only
    /// the owner of the data directory may do this.
    ///
    /// # Errors
    /// [`Fault::Later`] with what the system said.
    pub fn new(data: &Path) -> Result<Self, Fault> {
        let jobs = data.join("jobs");
        place::make_dir(&jobs).map_err(|why| fault::disk(&jobs, why, fault::NOTHING_PAID))?;
        place::sweep(&jobs);
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let workers = NonZeroUsize::new(cores.min(WORKERS)).unwrap_or(NonZeroUsize::MIN);
        Ok(Self { jobs, workers })
    }

    /// The folder of a job: its log's id in hex.
    pub fn folder(&self, log: &EventId) -> PathBuf {
        self.jobs.join(log.to_string())
    }

    fn of(&self, log: &EventId) -> Folder {
        Folder(self.folder(log))
    }
}

/// Runs work on a blocking thread. It runs to its end even if nobody waits any more.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(_) => {
            Err(Fault::Never("Work on a file stopped by a bug; nothing was paid by it.".into()))
        }
    }
}

/// What opens tranche `t`: its key, and the secret that both sides derive.
pub(crate) fn tranche_keys(terms: &SealTerms, t: u32, key: &Preimage) -> TrancheKeys {
    TrancheKeys { key: TrancheKey::new(*key.expose()), secret: tranche_secret(terms, t) }
}

/// S_t: as both sides derive it, or as one of them gave it to us as its judge.
pub(crate) fn tranche_secret(terms: &SealTerms, t: u32) -> TrancheSecret {
    let given = usize::try_from(t).ok().and_then(|t| terms.given.get(t));
    match given {
        Some(secret) => TrancheSecret::new(secret.0),
        None => ChannelSecret::new(terms.shared.0).tranche(&hash(terms.job.0), terms.delivery, t),
    }
}

fn hash(bytes: [u8; 32]) -> Hash32 {
    Hash32::new(bytes)
}

#[async_trait]
impl Files for JobFiles {
    async fn adopt(
        &self,
        log: &EventId,
        source: &Path,
        most: u64,
    ) -> Result<(Attachment, PathBuf), Fault> {
        let (folder, source) = (self.of(log), source.to_owned());
        blocking(move || adopt::adopt(&folder, &source, most)).await
    }

    async fn adopt_folder(
        &self,
        log: &EventId,
        source: &Path,
        most: u64,
    ) -> Result<(Attachment, PathBuf), Fault> {
        let (folder, source) = (self.of(log), source.to_owned());
        blocking(move || adopt::adopt_folder(&folder, &source, most)).await
    }

    fn place(&self, log: &EventId, purpose: Purpose, file: &Attachment) -> PathBuf {
        self.of(log).place(purpose, file)
    }

    async fn seal(&self, order: &SealOrder) -> Result<SealedFiles, Fault> {
        let (folder, order, workers) = (self.of(&order.terms.log), order.clone(), self.workers);
        blocking(move || deliver::seal_file(&folder, &order, workers)).await
    }

    async fn inspect(&self, at: &SealedAt) -> Result<Inspection, Fault> {
        let (at, workers) = (at.clone(), self.workers);
        blocking(move || receive::inspect_files(&at, workers)).await
    }

    async fn open(
        &self,
        at: &SealedAt,
        t: u32,
        key: &Preimage,
        name: &Raw,
    ) -> Result<OpenedTranche, Fault> {
        let (folder, at, key) = (self.of(&at.terms.log), at.clone(), *key);
        let (name, workers) = (name.clone(), self.workers);
        blocking(move || receive::open_tranche(&folder, &at, t, &key, &name, workers)).await
    }

    async fn reveal(
        &self,
        at: &SealedAt,
        manifest: &EventId,
        seed: &Preimage,
        keys: &[Preimage],
    ) -> Result<String, Fault> {
        let (at, manifest, seed, keys) = (at.clone(), *manifest, *seed, keys.to_vec());
        blocking(move || check::reveal(&at, &manifest, &seed, &keys)).await
    }

    async fn audit(
        &self,
        at: &SealedAt,
        manifest: &EventId,
        seed: &Preimage,
        answer: &str,
        checks: &[Pinned],
    ) -> Result<(Audited, Option<String>, Vec<Checked>), Fault> {
        let (at, manifest, seed) = (at.clone(), *manifest, *seed);
        let (answer, checks) = (answer.to_owned(), checks.to_vec());
        blocking(move || check::audit(&at, &manifest, &seed, &answer, &checks)).await
    }

    async fn check(
        &self,
        at: &SealedAt,
        t: u32,
        output: &Path,
        checks: &[Pinned],
    ) -> Result<Vec<Checked>, Fault> {
        let (at, output, checks) = (at.clone(), output.to_owned(), checks.to_vec());
        blocking(move || {
            let chunks = at.manifest.chunks_of(t).unwrap_or(0..0);
            let last = t + 1 == at.manifest.tranches();
            if last && let Some(failed) = check::no_folder(&output, &at.manifest, &checks)? {
                return Ok(failed);
            }
            check::run_files(&output, &at.vector, &at.manifest, chunks, last, &checks)
        })
        .await
    }

    async fn prove(&self, order: &ProofOrder) -> Result<PathBuf, Fault> {
        let (folder, order) = (self.of(&order.log), order.clone());
        blocking(move || proof::make(&folder, &order)).await
    }
}

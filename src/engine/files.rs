//! The port to the files of jobs: what is sealed, inspected, opened, proved and checked on disk.

use std::path::PathBuf;

use async_trait::async_trait;

use crate::engine::{Fault, ProofOrder, SharedSecret};
use crate::market::{
    Attachment, Audited, Checked, Digest, EventId, Finding, JobId, Nonce, Pinned, Preimage,
    Purpose, Terms,
};
use crate::seal::Manifest;
use crate::text::Raw;

/// Everything the seal needs that is secret or agreed, gathered for one job's delivery.
#[derive(Debug, Clone)]
pub struct SealTerms {
    /// The log whose folder is used.
    pub log: EventId,
    /// J.
    pub job: JobId,
    /// Number of the delivery, from 0.
    pub delivery: u32,
    /// Mode, price, tranches and the largest size.
    pub terms: Terms,
    /// What both sides share, from which every S_t follows.
    pub shared: SharedSecret,
    /// S_t themselves, one a tranche, where a side gave them to us as its judge; else empty.
    pub given: Vec<SharedSecret>,
}

/// A file to seal.
#[derive(Debug, Clone)]
pub struct SealOrder {
    /// For which job.
    pub terms: SealTerms,
    /// The file: a copy of our own that nobody changes.
    pub source: PathBuf,
    /// What the tranche keys are derived from; stands in the manifest.
    pub nonce: Nonce,
    /// K_t, one a tranche.
    pub keys: Vec<Preimage>,
    /// The checks of the terms, that the file must pass before anything is sealed.
    pub checks: Vec<Pinned>,
}

/// A sealed delivery on disk.
#[derive(Debug, Clone)]
pub struct SealedFiles {
    /// What is committed to.
    pub manifest: Manifest,
    /// The ciphertext (the plaintext in mode direct).
    pub blob: PathBuf,
    /// The vector file.
    pub vector: PathBuf,
    /// Bytes of the vector file.
    pub vector_size: u64,
}

/// A delivery of the other side's on disk.
#[derive(Debug, Clone)]
pub struct SealedAt {
    /// For which job.
    pub terms: SealTerms,
    /// What was signed.
    pub manifest: Manifest,
    /// The ciphertext (the plaintext in mode direct).
    pub blob: PathBuf,
    /// The vector file.
    pub vector: PathBuf,
}

/// What an inspection found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inspection {
    /// Everything that can be checked without the keys is as signed and agreed.
    Sound,
    /// It is not: nothing may be paid.
    Refused {
        /// Stable.
        code: String,
        /// For a person.
        sentence: String,
    },
}

/// What opening a tranche found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenedTranche {
    /// Every chunk is what was committed to.
    Right {
        /// The plaintext so far; complete and under its own name after the last tranche.
        path: PathBuf,
        /// BLAKE3 of the whole plaintext, after the last tranche.
        digest: Option<Digest>,
    },
    /// The first chunk that is not.
    Wrong {
        /// Its index.
        chunk: u64,
    },
    /// What lies here is not what was inspected: this disk lost or changed it, which says nothing about the
    /// worker. It is fetched again.
    Damaged,
}

/// The files of jobs: copies nobody changes, sealing, inspecting, opening, proving. Constant memory,
/// never on the engine's loop. A full disk is `Later`.
#[async_trait]
pub trait Files: Send + Sync {
    /// A stable copy of a person's file in the folder of this log (`inputs/` or `out/`), with its hash
    /// and size: a file that changes while it is served would be a lie. `Never` for a folder, a special
    /// file, or more than `most` bytes.
    async fn adopt(
        &self,
        log: &EventId,
        source: &std::path::Path,
        most: u64,
    ) -> Result<(Attachment, PathBuf), Fault>;
    /// The same of a folder whose files are handed over one by one (cut `files`), or of a file in place of one:
    /// one file with a list before it. `Never` for a folder that holds a link, or anything but files.
    async fn adopt_folder(
        &self,
        _log: &EventId,
        source: &std::path::Path,
        _most: u64,
    ) -> Result<(Attachment, PathBuf), Fault> {
        let name = source.display();
        Err(Fault::Never(format!(
            "No folder is handed over from here: `{name}`. Nothing was sent."
        )))
    }
    /// Where a file of the other side's is to be put: a name of our own making from theirs.
    fn place(&self, log: &EventId, purpose: Purpose, file: &Attachment) -> PathBuf;
    /// Seals (mode sealed) or only commits to (mode direct) a file.
    async fn seal(&self, order: &SealOrder) -> Result<SealedFiles, Fault>;
    /// Recomputes everything that can be checked without the keys (PROTOCOL.md 5.5).
    async fn inspect(&self, at: &SealedAt) -> Result<Inspection, Fault>;
    /// Opens tranche `t` with its key; after the last, the plaintext lies under a safe name made from
    /// `name`, beside what is there already: a folder where it is cut by files. A folder that lies about itself
    /// stays one file, `.names-refused`.
    async fn open(
        &self,
        at: &SealedAt,
        t: u32,
        key: &Preimage,
        name: &Raw,
    ) -> Result<OpenedTranche, Fault>;
    /// Makes a proof: JSON on disk.
    async fn prove(&self, order: &ProofOrder) -> Result<PathBuf, Fault>;
    /// Worker: the keys of the sample that this seed draws from the delivery D = `manifest`: base64 of 32
    /// bytes each. `keys` are all K_t.
    async fn reveal(
        &self,
        at: &SealedAt,
        manifest: &EventId,
        seed: &Preimage,
        keys: &[Preimage],
    ) -> Result<String, Fault>;
    /// Requester: opens the sample with the worker's `answer` and runs the checks of scope `chunk` on its
    /// records. How much was seen; why the answer is wrong, if it is; what the checks said.
    async fn audit(
        &self,
        at: &SealedAt,
        manifest: &EventId,
        seed: &Preimage,
        answer: &str,
        checks: &[Pinned],
    ) -> Result<(Audited, Option<String>, Vec<Checked>), Fault>;
    /// Runs the checks on what tranche `t` completed: those of scope `chunk` on every record that ends in
    /// it, the others on the whole, after the last.
    async fn check(
        &self,
        at: &SealedAt,
        t: u32,
        output: &std::path::Path,
        checks: &[Pinned],
    ) -> Result<Vec<Checked>, Fault>;
    /// Judge: everything that can be seen of a delivery whose key is given: inspected, opened and checked.
    async fn examine(
        &self,
        at: &SealedAt,
        key: &Preimage,
        name: &Raw,
        checks: &[Pinned],
    ) -> Result<Finding, Fault> {
        if let Inspection::Refused { code, sentence } = self.inspect(at).await? {
            return Ok(Finding::Unfit { code, sentence });
        }
        match self.open(at, 0, key, name).await? {
            OpenedTranche::Right { path, .. } => {
                let results = match checks.is_empty() {
                    true => Vec::new(),
                    false => self.check(at, 0, &path, checks).await?,
                };
                Ok(Finding::Opened { path, results })
            }
            OpenedTranche::Wrong { chunk } => Ok(Finding::Mismatch { chunk }),
            OpenedTranche::Damaged => {
                Err(Fault::Later("The files of the case are not whole on this disk.".into()))
            }
        }
    }
    /// The text of a proof that [`Files::prove`] made.
    async fn proof(&self, path: &std::path::Path) -> Result<String, Fault> {
        let read = tokio::fs::read_to_string(path).await;
        read.map_err(|e| Fault::Later(format!("the proof cannot be read: {e}")))
    }
}

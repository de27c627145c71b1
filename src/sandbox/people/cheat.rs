//! A cheat's disk: what it seals is under another key than the one that is sold.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use crate::engine::{
    Fault, Files, Inspection, OpenedTranche, ProofOrder, SealOrder, SealedAt, SealedFiles,
};
use crate::market::{
    Attachment, Audited, BidId, Checked, EventId, Mode, Pinned, Preimage, Purpose,
};
use crate::seal::Hash32;
use crate::text::Raw;

/// Files of somebody who sells keys that do not open what was signed. Everything that can be looked at
/// before paying is sound: the hole that only a payment shows, and a proof after it (PROTOCOL.md 5).
pub(in crate::sandbox) struct Cheat {
    files: Arc<dyn Files>,
    /// In which jobs; in all of them where there is no choice.
    chosen: Option<Arc<Mutex<BTreeSet<BidId>>>>,
}

impl Cheat {
    /// In front of honest files; cheats in the jobs that are put into `chosen`.
    pub(in crate::sandbox) fn new(
        files: Arc<dyn Files>,
        chosen: Arc<Mutex<BTreeSet<BidId>>>,
    ) -> Self {
        Self { files, chosen: Some(chosen) }
    }

    /// In front of honest files; cheats always.
    pub(in crate::sandbox) fn always(files: Arc<dyn Files>) -> Self {
        Self { files, chosen: None }
    }

    fn is_chosen(&self, job: &BidId) -> bool {
        self.chosen.as_ref().is_none_or(|chosen| {
            chosen.lock().unwrap_or_else(PoisonError::into_inner).contains(job)
        })
    }
}

#[async_trait]
impl Files for Cheat {
    async fn adopt(
        &self,
        log: &EventId,
        source: &Path,
        most: u64,
    ) -> Result<(Attachment, PathBuf), Fault> {
        self.files.adopt(log, source, most).await
    }
    fn place(&self, log: &EventId, purpose: Purpose, file: &Attachment) -> PathBuf {
        self.files.place(log, purpose, file)
    }
    async fn seal(&self, order: &SealOrder) -> Result<SealedFiles, Fault> {
        let cheat = order.terms.terms.mode != Mode::Direct && self.is_chosen(&order.terms.log);
        if !cheat {
            return self.files.seal(order).await;
        }
        let other = |key: &Preimage| {
            Preimage::new(blake3::derive_key("earnest/v1/sandbox-cheat", key.expose()))
        };
        let keys = order.keys.iter().map(other).collect();
        let mut sealed = self.files.seal(&SealOrder { keys, ..order.clone() }).await?;
        // The keys that are sold, over what other keys have locked.
        sealed.manifest.h = order.keys.iter().map(|key| Hash32::new(key.hash().0)).collect();
        Ok(sealed)
    }
    async fn inspect(&self, at: &SealedAt) -> Result<Inspection, Fault> {
        self.files.inspect(at).await
    }
    async fn open(
        &self,
        at: &SealedAt,
        t: u32,
        key: &Preimage,
        name: &Raw,
    ) -> Result<OpenedTranche, Fault> {
        self.files.open(at, t, key, name).await
    }
    async fn reveal(
        &self,
        at: &SealedAt,
        manifest: &EventId,
        seed: &Preimage,
        keys: &[Preimage],
    ) -> Result<String, Fault> {
        self.files.reveal(at, manifest, seed, keys).await
    }
    async fn audit(
        &self,
        at: &SealedAt,
        manifest: &EventId,
        seed: &Preimage,
        answer: &str,
        checks: &[Pinned],
    ) -> Result<(Audited, Option<String>, Vec<Checked>), Fault> {
        self.files.audit(at, manifest, seed, answer, checks).await
    }
    async fn check(
        &self,
        at: &SealedAt,
        t: u32,
        output: &Path,
        checks: &[Pinned],
    ) -> Result<Vec<Checked>, Fault> {
        self.files.check(at, t, output, checks).await
    }
    async fn prove(&self, order: &ProofOrder) -> Result<PathBuf, Fault> {
        self.files.prove(order).await
    }
}

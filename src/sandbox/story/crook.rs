//! A worker's disk with a trick: what a story must see through.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use crate::engine::{
    Fault, Files, Inspection, OpenedTranche, ProofOrder, SealOrder, SealedAt, SealedFiles,
};
use crate::market::{Attachment, Audited, Checked, EventId, Pinned, Preimage, Purpose};
use crate::seal::Hash32;
use crate::text::Raw;

/// What is done to deliveries that are worth it: a first job of one chunk goes well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sandbox) enum Trick {
    /// One byte of what is served is not what was signed.
    WrongByte,
    /// The key that is sold for this tranche opens nothing.
    WrongKey(u32),
    /// What the checks say before sealing is not heard.
    SkipChecks,
    /// The keys of the sample are not those of the records that were drawn.
    WrongSample,
    /// The sample is never opened.
    NoSample,
}

/// What its owner has in mind now: a story changes it on the way.
#[derive(Debug, Clone, Default)]
pub(in crate::sandbox) struct Mind(Arc<Mutex<Option<Trick>>>);

impl Mind {
    /// From now on.
    pub(in crate::sandbox) fn set(&self, trick: Option<Trick>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = trick;
    }

    fn trick(&self) -> Option<Trick> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Files with a trick.
pub(in crate::sandbox) struct Crook {
    files: Arc<dyn Files>,
    mind: Mind,
}

impl Crook {
    pub(in crate::sandbox) fn new(files: Arc<dyn Files>, trick: Trick) -> Self {
        let mind = Mind::default();
        mind.set(Some(trick));
        Self { files, mind }
    }

    /// With a mind that may change.
    pub(in crate::sandbox) fn with(files: Arc<dyn Files>, mind: Mind) -> Self {
        Self { files, mind }
    }
}

/// A key that opens nothing of what another has locked.
fn other(key: &Preimage) -> Preimage {
    Preimage::new(blake3::derive_key("earnest/v1/sandbox-crook", key.expose()))
}

#[async_trait]
impl Files for Crook {
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
        let broken = |e: std::io::Error| Fault::Later(e.to_string());
        let worth_it = tokio::fs::metadata(&order.source).await.map_err(broken)?.len() > 100;
        match self.mind.trick() {
            Some(Trick::WrongByte) if worth_it => {
                let sealed = self.files.seal(order).await?;
                let mut bytes = tokio::fs::read(&sealed.blob).await.map_err(broken)?;
                if let Some(byte) = bytes.last_mut() {
                    *byte ^= 1;
                }
                tokio::fs::write(&sealed.blob, bytes).await.map_err(broken)?;
                Ok(sealed)
            }
            Some(Trick::WrongKey(t)) if worth_it => {
                let index = usize::try_from(t).unwrap_or(usize::MAX);
                let mut keys = order.keys.clone();
                let Some(sold) = keys.get(index).copied() else {
                    return self.files.seal(order).await;
                };
                keys[index] = other(&sold);
                let mut sealed = self.files.seal(&SealOrder { keys, ..order.clone() }).await?;
                sealed.manifest.h[index] = Hash32::new(sold.hash().0);
                Ok(sealed)
            }
            Some(Trick::SkipChecks) => {
                self.files.seal(&SealOrder { checks: Vec::new(), ..order.clone() }).await
            }
            _ => self.files.seal(order).await,
        }
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
        match self.mind.trick() {
            Some(Trick::NoSample) => Err(Fault::Never("nobody is to see it".into())),
            Some(Trick::WrongSample) => {
                let keys: Vec<_> = keys.iter().map(other).collect();
                self.files.reveal(at, manifest, seed, &keys).await
            }
            _ => self.files.reveal(at, manifest, seed, keys).await,
        }
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

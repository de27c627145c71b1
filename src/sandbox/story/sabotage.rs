//! Sabotage: one thing broken on purpose, to show that the story would notice.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;

use crate::engine::{
    Fault, Files, Inspection, OpenedTranche, ProofOrder, SealOrder, SealedAt, SealedFiles,
};
use crate::market::{Attachment, Audited, Checked, EventId, Pinned, Preimage, Purpose};
use crate::text::Raw;

/// A worker's disk that breaks one byte of what it has just sealed and signed.
pub(in crate::sandbox) struct Sabotage(pub(in crate::sandbox) Arc<dyn Files>);

#[async_trait]
impl Files for Sabotage {
    async fn adopt(
        &self,
        log: &EventId,
        source: &Path,
        most: u64,
    ) -> Result<(Attachment, PathBuf), Fault> {
        self.0.adopt(log, source, most).await
    }
    fn place(&self, log: &EventId, purpose: Purpose, file: &Attachment) -> PathBuf {
        self.0.place(log, purpose, file)
    }
    async fn seal(&self, order: &SealOrder) -> Result<SealedFiles, Fault> {
        let sealed = self.0.seal(order).await?;
        let broken = |e: std::io::Error| Fault::Later(e.to_string());
        let mut bytes = tokio::fs::read(&sealed.blob).await.map_err(broken)?;
        if let Some(byte) = bytes.last_mut() {
            *byte ^= 1;
        }
        tokio::fs::write(&sealed.blob, bytes).await.map_err(broken)?;
        Ok(sealed)
    }
    async fn inspect(&self, at: &SealedAt) -> Result<Inspection, Fault> {
        self.0.inspect(at).await
    }
    async fn open(
        &self,
        at: &SealedAt,
        t: u32,
        key: &Preimage,
        name: &Raw,
    ) -> Result<OpenedTranche, Fault> {
        self.0.open(at, t, key, name).await
    }
    async fn reveal(
        &self,
        at: &SealedAt,
        manifest: &EventId,
        seed: &Preimage,
        keys: &[Preimage],
    ) -> Result<String, Fault> {
        self.0.reveal(at, manifest, seed, keys).await
    }
    async fn audit(
        &self,
        at: &SealedAt,
        manifest: &EventId,
        seed: &Preimage,
        answer: &str,
        checks: &[Pinned],
    ) -> Result<(Audited, Option<String>, Vec<Checked>), Fault> {
        self.0.audit(at, manifest, seed, answer, checks).await
    }
    async fn check(
        &self,
        at: &SealedAt,
        t: u32,
        output: &Path,
        checks: &[Pinned],
    ) -> Result<Vec<Checked>, Fault> {
        self.0.check(at, t, output, checks).await
    }
    async fn prove(&self, order: &ProofOrder) -> Result<PathBuf, Fault> {
        self.0.prove(order).await
    }
}

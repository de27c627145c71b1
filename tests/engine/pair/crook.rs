//! The real files of one side, whose owner may seal a tranche under a key that it does not sell.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use earnest::engine::*;
use earnest::files::JobFiles;
use earnest::market::*;
use earnest::seal::Hash32;
use earnest::text::Raw;

pub(super) struct Crook {
    pub(super) files: JobFiles,
    pub(super) cheats: Option<u32>,
    pub(super) careless: bool,
    pub(super) misopens: bool,
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
        let checks = if self.careless { Vec::new() } else { order.checks.clone() };
        let order = &SealOrder { checks, ..order.clone() };
        let Some(t) = self.cheats.map(|t| t as usize) else {
            return self.files.seal(order).await;
        };
        let mut other = order.clone();
        other.keys[t] = Preimage::new([66; 32]);
        let mut sealed = self.files.seal(&other).await?;
        // The hash that is signed is of the key that is sold; nothing shows the difference before it is.
        sealed.manifest.h[t] = Hash32::new(order.keys[t].hash().0);
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
        let other = [Preimage::new([66; 32])];
        let keys = if self.misopens { &other[..] } else { keys };
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

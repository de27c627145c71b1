//! Fake disks and the wire between them: the real seal over buffers in memory, cut transfers, slow and
//! lying holders.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use super::chance::{Seed, word};
use super::clock::{Clockwork, lock};
use super::mood::{Honesty, honesty};
use crate::engine::{
    Fault, FetchOrder, Files, Grant, Inspection, OpenedTranche, ProofOrder, SealOrder, SealTerms,
    SealedAt, SealedFiles, Shows, Transfer,
};
use crate::files::{Asked, run_checks, tranche_keys, tranche_secret};
use crate::market::{
    Address, Attachment, Audited, Checked, Digest, EndpointId, EventId, LEAST_PRICE, Mode, Pinned,
    Preimage, Purpose,
};
use crate::seal::{
    self, AuditError, Cut, Expected, Hash32, InspectError, OpenError, Plan, TrancheKey,
    TrancheKeys, TrancheSecret,
};
use crate::text::Raw;
use crate::wire;

const ONE: NonZeroUsize = NonZeroUsize::MIN;
/// Every deliverable is made of items this long, each a chunk: small work in several tranches.
pub(super) const ITEM: u32 = 16;

/// Why a program does not sign for work that fails a check.
pub(super) const REFUSED_BY_CHECK: &str = "The file does not pass a check of the terms.";

/// All disks of a world, and what is served from them.
#[derive(Debug)]
pub(super) struct Disks {
    seed: Seed,
    clockwork: Arc<Clockwork>,
    files: Vec<BTreeMap<PathBuf, Arc<Vec<u8>>>>,
    /// Holder's endpoint, blob, receiver's endpoint: gone with the holder's process.
    served: BTreeMap<(EndpointId, Digest, EndpointId), PathBuf>,
    up: BTreeSet<EndpointId>,
    endpoints: Vec<EndpointId>,
    /// Of a thousand fetches, so many are cut.
    pub(super) trouble: u64,
}

impl Disks {
    pub(super) fn new(
        seed: Seed,
        clockwork: Arc<Clockwork>,
        endpoints: Vec<EndpointId>,
        trouble: u64,
    ) -> Self {
        Self {
            seed,
            clockwork,
            files: endpoints.iter().map(|_| BTreeMap::new()).collect(),
            served: BTreeMap::new(),
            up: endpoints.iter().copied().collect(),
            endpoints,
            trouble,
        }
    }
    pub(super) fn read(&self, peer: usize, path: &Path) -> Option<Arc<Vec<u8>>> {
        self.files[peer].get(path).cloned()
    }
    pub(super) fn write(&mut self, peer: usize, path: PathBuf, bytes: Vec<u8>) {
        self.files[peer].insert(path, Arc::new(bytes));
    }
    /// The peer's process is gone, and what it served with it.
    pub(super) fn down(&mut self, peer: usize) {
        let endpoint = self.endpoints[peer];
        self.up.remove(&endpoint);
        self.served.retain(|(holder, _, _), _| *holder != endpoint);
    }
    pub(super) fn back(&mut self, peer: usize) {
        self.up.insert(self.endpoints[peer]);
    }

    /// Sometimes a disk loses a file, or a bit of it.
    fn lose(&mut self, me: usize, blob: &Path, vector: &Path) {
        let named =
            |path: &Path| word(&blake3::hash(path.as_os_str().as_encoded_bytes()).as_bytes()[..]);
        let key = [me as u64, named(blob), self.clockwork.now()];
        let mut draw = self.seed.draw("lose", &key);
        if !draw.permille(self.trouble) {
            return;
        }
        let path = if draw.permille(500) { blob } else { vector };
        match self.files[me].get_mut(path) {
            Some(bytes) if draw.permille(700) && !bytes.is_empty() => {
                let bytes = Arc::make_mut(bytes);
                let at = draw.next() as usize % bytes.len();
                bytes[at] ^= 1;
            }
            _ => drop(self.files[me].remove(path)),
        }
    }

    fn fetch(&mut self, me: usize, order: &FetchOrder) -> Result<(), Fault> {
        let later = |why: &str| Err(Fault::Later(why.to_owned()));
        if !self.up.contains(&order.from.endpoint) {
            return later("the other side is away");
        }
        let to = self.endpoints[me];
        let Some(path) = self.served.get(&(order.from.endpoint, order.blob, to)) else {
            return later("the other side does not serve it");
        };
        let key = [word(&order.blob.0), self.clockwork.now()];
        if self.seed.draw("cut", &key).permille(self.trouble) {
            return later("the transfer was cut");
        }
        let holder = self.endpoints.iter().position(|e| *e == order.from.endpoint);
        let bytes = holder.and_then(|holder| self.files[holder].get(path)).cloned();
        let Some(bytes) = bytes else { return later("the other side lost it") };
        // What the real endpoint verifies while it fetches.
        if bytes.len() as u64 != order.size || *blake3::hash(&bytes).as_bytes() != order.blob.0 {
            return Err(Fault::Never("the other side sends something else".into()));
        }
        self.files[me].insert(order.path.clone(), bytes);
        Ok(())
    }
}

/// One peer's disk and endpoint.
#[derive(Debug)]
pub(super) struct PeerDisk {
    pub(super) disks: Arc<Mutex<Disks>>,
    pub(super) me: usize,
    pub(super) address: Address,
    pub(super) seed: Seed,
}

fn secrets(terms: &SealTerms) -> Vec<TrancheSecret> {
    let count = if terms.terms.mode == Mode::Direct { 0 } else { terms.terms.tranches };
    (0..count).map(|t| tranche_secret(terms, t)).collect()
}

fn mode(terms: &SealTerms) -> seal::Mode {
    match terms.terms.mode {
        Mode::Sealed | Mode::Escrow => seal::Mode::Sealed,
        Mode::Direct => seal::Mode::Direct,
    }
}

fn keys_of(at: &SealedAt, t: u32, key: &Preimage) -> Option<TrancheKeys> {
    let sealed = at.manifest.mode == seal::Mode::Sealed;
    sealed.then(|| tranche_keys(&at.terms, t, key))
}

/// What the checks of the terms are called in what is signed.
fn pinned(terms: &SealTerms) -> Vec<Hash32> {
    terms.terms.quality.checks.iter().map(|check| Hash32::new(check.hash.0)).collect()
}

/// What there is from this byte on.
fn rest(bytes: &[u8], at: u64) -> &[u8] {
    usize::try_from(at).ok().and_then(|at| bytes.get(at..)).unwrap_or_default()
}

fn no_audit(why: AuditError) -> Fault {
    Fault::Never(why.to_string())
}

impl PeerDisk {
    fn read(&self, path: &Path) -> Result<Cursor<Vec<u8>>, Fault> {
        let bytes = lock(&self.disks).read(self.me, path);
        let bytes = bytes.ok_or_else(|| Fault::Never(format!("no file {}", path.display())))?;
        Ok(Cursor::new(bytes.to_vec()))
    }
    fn folder(&self, log: &EventId) -> PathBuf {
        PathBuf::from(format!("/sim/{}/{}", self.me, log.short()))
    }
    fn put(&self, path: &Path, bytes: Vec<u8>) {
        lock(&self.disks).write(self.me, path.to_path_buf(), bytes);
    }
}

#[async_trait]
impl Files for PeerDisk {
    async fn adopt(
        &self,
        log: &EventId,
        source: &Path,
        most: u64,
    ) -> Result<(Attachment, PathBuf), Fault> {
        let bytes = self.read(source)?.into_inner();
        if bytes.len() as u64 > most {
            return Err(Fault::Never("the file is too large".into()));
        }
        let blob = Digest(*blake3::hash(&bytes).as_bytes());
        let path = self.folder(log).join("out").join(blob.short());
        let name = source.file_name().map(|n| n.to_string_lossy().into_owned());
        let file =
            Attachment { blob, size: bytes.len() as u64, name: Raw(name.unwrap_or_default()) };
        self.put(&path, bytes);
        Ok((file, path))
    }

    fn place(&self, log: &EventId, purpose: Purpose, file: &Attachment) -> PathBuf {
        self.folder(log).join(format!("{purpose:?}")).join(file.blob.short())
    }

    async fn seal(&self, order: &SealOrder) -> Result<SealedFiles, Fault> {
        let text = self.read(&order.source)?.into_inner();
        let honesty = honesty(self.seed, &order.terms.log, order.terms.delivery);
        if honesty == Honesty::Clumsy {
            return Err(Fault::Never("the file cannot be cut so".into()));
        }
        let plan = Plan {
            job: Hash32::new(order.terms.job.0),
            delivery: order.terms.delivery,
            total: text.len() as u64,
            cut: Cut::Items { len: ITEM },
            starts: &[],
            mode: mode(&order.terms),
            checks: pinned(&order.terms),
            nonce: Hash32::new(order.nonce.0),
            workers: ONE,
        };
        let pairs = order.keys.iter().zip(secrets(&order.terms));
        let right: Vec<TrancheKeys> = pairs
            .map(|(key, secret)| TrancheKeys { key: TrancheKey::new(*key.expose()), secret })
            .collect();
        let mut used = right.clone();
        if honesty == Honesty::Cheat
            && let Some(last) = used.last_mut()
        {
            // Sealed under a key that nobody is ever told.
            last.key = TrancheKey::new(self.seed.bytes("cheat", &[word(&order.terms.log.0)]));
        }
        let (mut blob, mut vector) = (Vec::new(), Vec::new());
        let sealed = seal::seal(&text[..], &plan, &used, &mut blob, &mut vector);
        let mut manifest = sealed.map_err(|e| Fault::Never(e.to_string()))?.manifest;
        if manifest.mode == seal::Mode::Sealed {
            manifest.h = right.iter().map(|keys| keys.key.hash()).collect();
        }
        if honesty == Honesty::Garbage {
            manifest.root = Hash32::new([7; 32]);
        }
        // A program that was changed asks nothing of the work before it signs for it.
        if !order.checks.is_empty() && honesty != Honesty::Sloppy {
            let (file, vector) = (|at| Ok(rest(&text, at)), Cursor::new(&vector));
            let found = run_checks(file, vector, &manifest, 0..manifest.n, true, &order.checks);
            if found.map_err(|e| Fault::Never(e.to_string()))?.iter().any(Checked::failed) {
                return Err(Fault::Never(REFUSED_BY_CHECK.into()));
            }
        }
        let folder = self.folder(&order.terms.log).join(format!("out-{}", order.terms.delivery));
        let (blob_path, vector_path) = (folder.join("blob"), folder.join("vector"));
        let lie = u64::from(honesty == Honesty::Missized);
        let vector_size = vector.len() as u64 - lie;
        self.put(&blob_path, blob);
        self.put(&vector_path, vector);
        Ok(SealedFiles { manifest, blob: blob_path, vector: vector_path, vector_size })
    }

    async fn inspect(&self, at: &SealedAt) -> Result<Inspection, Fault> {
        let terms = &at.terms.terms;
        let expected = Expected {
            job: Hash32::new(at.terms.job.0),
            delivery: at.terms.delivery,
            mode: mode(&at.terms),
            cut: terms.quality.cut,
            chunks: None,
            secrets: &secrets(&at.terms),
            price_msat: terms.price.get(),
            least_tranche_msat: LEAST_PRICE.get(),
            checks: &pinned(&at.terms),
            max_total: terms.max_bytes,
            max_chunks: 1 << 20,
            seen: &|_| false,
        };
        let (blob, vector) = (self.read(&at.blob)?, self.read(&at.vector)?);
        match seal::inspect(blob, vector, &at.manifest, &expected, ONE) {
            Ok(_) => Ok(Inspection::Sound),
            Err(InspectError::Refused(why)) => {
                Ok(Inspection::Refused { code: why.code().to_owned(), sentence: why.to_string() })
            }
            Err(why) => Err(Fault::Later(why.to_string())),
        }
    }

    async fn open(
        &self,
        at: &SealedAt,
        t: u32,
        key: &Preimage,
        _name: &Raw,
    ) -> Result<OpenedTranche, Fault> {
        let keys = keys_of(at, t, key);
        lock(&self.disks).lose(self.me, &at.blob, &at.vector);
        let (Ok(blob), Ok(vector)) = (self.read(&at.blob), self.read(&at.vector)) else {
            return Ok(OpenedTranche::Damaged);
        };
        let there = |file: &Cursor<Vec<u8>>| Hash32::new(*blake3::hash(file.get_ref()).as_bytes());
        let damaged = there(&blob) != at.manifest.blob || there(&vector) != at.manifest.vector;
        let mut text = Vec::new();
        match seal::open(&at.manifest, t, keys.as_ref(), blob, vector, &mut text, ONE) {
            Ok(_) => {}
            Err(_) if damaged => return Ok(OpenedTranche::Damaged),
            Err(OpenError::Mismatch { i, .. }) => return Ok(OpenedTranche::Wrong { chunk: i }),
            Err(why) => return Err(Fault::Never(why.to_string())),
        }
        let folder = self.folder(&at.terms.log).join(format!("in-{}", at.terms.delivery));
        self.put(&folder.join(t.to_string()), text);
        let tranches = at.manifest.tranches();
        let mut whole = Vec::new();
        for t in 0..=t {
            whole.extend(self.read(&folder.join(t.to_string()))?.into_inner());
        }
        let digest = (t + 1 == tranches).then(|| Digest(*blake3::hash(&whole).as_bytes()));
        let path = folder.join("whole");
        self.put(&path, whole);
        Ok(OpenedTranche::Right { path, digest })
    }

    async fn reveal(
        &self,
        at: &SealedAt,
        manifest: &EventId,
        seed: &Preimage,
        keys: &[Preimage],
    ) -> Result<String, Fault> {
        let log = &at.terms.log;
        if honesty(self.seed, log, at.terms.delivery) == Honesty::Cheat
            && self.seed.draw("mute", &[word(&log.0)]).permille(500)
        {
            return Err(Fault::Never("it would show that the key is another".into()));
        }
        let keys = (0..).zip(keys).map(|(t, key)| tranche_keys(&at.terms, t, key));
        let wanted = at.terms.terms.quality.audit;
        let asked = Asked { manifest: &at.manifest, d: manifest, seed, wanted };
        asked.answer(self.read(&at.vector)?, &keys.collect::<Vec<_>>()).map_err(no_audit)
    }
    async fn audit(
        &self,
        at: &SealedAt,
        manifest: &EventId,
        seed: &Preimage,
        answer: &str,
        checks: &[Pinned],
    ) -> Result<(Audited, Option<String>, Vec<Checked>), Fault> {
        let wanted = at.terms.terms.quality.audit;
        let asked = Asked { manifest: &at.manifest, d: manifest, seed, wanted };
        let (blob, vector) = (self.read(&at.blob)?, self.read(&at.vector)?);
        asked.look(blob, vector, answer, checks).map_err(no_audit)
    }
    async fn check(
        &self,
        at: &SealedAt,
        t: u32,
        output: &Path,
        checks: &[Pinned],
    ) -> Result<Vec<Checked>, Fault> {
        let (file, vector) = (self.read(output)?, self.read(&at.vector)?);
        let chunks = at.manifest.chunks_of(t).unwrap_or(0..0);
        let last = t + 1 == at.manifest.tranches();
        let file = |at| Ok(rest(file.get_ref(), at));
        run_checks(file, vector, &at.manifest, chunks, last, checks)
            .map_err(|e| Fault::Later(e.to_string()))
    }
    async fn prove(&self, order: &ProofOrder) -> Result<PathBuf, Fault> {
        let (certificate, record) = (&order.certificate, &order.record);
        let (name, json) = match &order.shows {
            Shows::Key { at, t, key, chunk } => {
                let keys = keys_of(at, *t, key);
                let keys = keys.ok_or_else(|| Fault::Never("no such tranche".into()))?;
                let (blob, vector) = (self.read(&at.blob)?, self.read(&at.vector)?);
                let m = &at.manifest;
                let proof = seal::prove(certificate, record, m, &keys, *chunk, blob, vector)
                    .map_err(|e| Fault::Never(e.to_string()))?;
                ("proof.json", proof.to_json())
            }
            Shows::Check { at, t, key, chunk, check } => {
                let keys = keys_of(at, *t, key);
                let keys = keys.ok_or_else(|| Fault::Never("no such tranche".into()))?;
                let (blob, vector) = (self.read(&at.blob)?, self.read(&at.vector)?);
                let m = &at.manifest;
                let proof =
                    seal::refute(certificate, record, check, m, &keys, *chunk, blob, vector)
                        .map_err(|e| Fault::Never(e.to_string()))?;
                ("check-proof.json", proof.to_json())
            }
            Shows::Pair { before } => {
                ("pair-proof.json", wire::pair_proof(certificate, before, record).into_bytes())
            }
        };
        let path = self.folder(&order.log).join(name);
        self.put(&path, json);
        Ok(path)
    }

    async fn proof(&self, path: &Path) -> Result<String, Fault> {
        String::from_utf8(self.read(path)?.into_inner()).map_err(|e| Fault::Never(e.to_string()))
    }
}

#[async_trait]
impl Transfer for PeerDisk {
    fn address(&self) -> Address {
        self.address.clone()
    }
    async fn serve(&self, grant: &Grant) -> Result<(), Fault> {
        let key = (self.address.endpoint, grant.blob, grant.to);
        lock(&self.disks).served.insert(key, grant.path.clone());
        Ok(())
    }
    async fn revoke(&self, blob: &Digest, to: &EndpointId) -> Result<(), Fault> {
        lock(&self.disks).served.remove(&(self.address.endpoint, *blob, *to));
        Ok(())
    }
    async fn fetch(
        &self,
        order: &FetchOrder,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<(), Fault> {
        lock(&self.disks).fetch(self.me, order)?;
        progress(order.size);
        Ok(())
    }
}

//! Running one effect through the ports. Nothing is decided here: an effect becomes an outcome.

use crate::engine::run::{Ports, Progress};
use crate::engine::{
    Channel, Fault, FetchOrder, Inspection, OpenedTranche, ProofOrder, Scribe, SealOrder,
    SealTerms, SealedAt, SharedSecret, Shows, WireEvent,
};
use crate::market::{
    Attempt, Case, CoSigned, Effect, EventId, Finding, Job, JobReceipt, Mode, Nonce, Outcome,
    Pinned, Preimage, Time,
};

/// What running an effect needs: the ports and the job as it was when the effect was started.
pub struct Workbench {
    /// The adapters.
    pub ports: Ports,
    /// The job, if the effect is of one.
    pub job: Option<Job>,
    /// The case, if the effect is of one.
    pub case: Option<Case>,
    /// Told how far a fetch is.
    pub progress: Progress,
}

/// What came of it.
pub enum Done {
    /// A first contact is wrapped: its bytes are kept before they are published.
    Wrapped(Effect),
    /// Anything else.
    Outcome(Box<Outcome>),
}

fn gone(what: &str) -> Fault {
    Fault::Never(format!("the job has no {what} any more"))
}

impl Workbench {
    fn job(&self) -> Result<&Job, Fault> {
        self.job.as_ref().ok_or_else(|| gone("log"))
    }
    fn attempt(&self) -> Result<&Attempt, Fault> {
        self.job()?.attempt.as_ref().ok_or_else(|| gone("delivery"))
    }
    fn seal_terms(&self, delivery: u32) -> Result<SealTerms, Fault> {
        let job = self.job()?;
        let (nonce, peer, j) = job.channel().ok_or_else(|| gone("channel"))?;
        let shared = self.ports.scribe.shared_secret(&Channel { nonce, peer, job: j });
        let terms = job.terms().clone();
        Ok(SealTerms { log: job.id, job: j, delivery, terms, shared, given: Vec::new() })
    }
    /// Judge: the delivery of the case, opened with what the dispute brought.
    async fn examine(&self) -> Result<Finding, Fault> {
        let case = self.case.as_ref().ok_or_else(|| gone("case"))?;
        let (_, delivery) = case.disputed().ok_or_else(|| gone("delivery"))?;
        let terms = case.terms().ok_or_else(|| gone("terms"))?;
        let given = case.secrets().iter().map(|secret| SharedSecret(*secret.expose())).collect();
        let key = delivery.keys.first().ok_or_else(|| gone("key"))?;
        let at = SealedAt {
            terms: SealTerms {
                log: case.id,
                job: case.job,
                delivery: delivery.manifest.delivery,
                terms: terms.clone(),
                shared: SharedSecret([0; 32]),
                given,
            },
            manifest: delivery.manifest.clone(),
            blob: case.blob.clone().ok_or_else(|| gone("sealed file"))?,
            vector: case.vector.clone().ok_or_else(|| gone("vector file"))?,
        };
        self.ports.files.examine(&at, key, &delivery.name, &case.begins.checks).await
    }
    fn sealed_at(&self) -> Result<SealedAt, Fault> {
        let attempt = self.attempt()?;
        let manifest = &attempt.delivery().ok_or_else(|| gone("delivery"))?.manifest;
        Ok(SealedAt {
            terms: self.seal_terms(attempt.number)?,
            manifest: manifest.clone(),
            blob: attempt.blob.clone().ok_or_else(|| gone("sealed file"))?,
            vector: attempt.vector.clone().ok_or_else(|| gone("vector file"))?,
        })
    }
    fn paid_key(&self, tranche: u32) -> Result<Preimage, Fault> {
        let index = usize::try_from(tranche).unwrap_or(usize::MAX);
        let slot = self.attempt()?.tranches.get(index);
        let given = || self.attempt().ok()?.delivery()?.keys.get(index).copied();
        slot.and_then(|t| t.key).or_else(given).ok_or_else(|| gone("key"))
    }
    /// The checks of the terms with their bodies: from the listing, or from the input file of that hash.
    async fn checks(&self) -> Result<Vec<Pinned>, Fault> {
        let job = self.job()?;
        let mut checks = Vec::new();
        for pinned in &job.terms().quality.checks {
            let listed = job.gig.offer.checks().find(|c| c.hash == pinned.hash);
            let mut body = listed.and_then(|c| c.body.clone());
            let file = job.materials.iter().find(|m| m.file.blob == pinned.hash);
            if let (None, Some(path)) = (&body, file.and_then(|m| m.path.as_ref())) {
                let read = tokio::fs::read_to_string(path).await;
                body = Some(read.map_err(|why| {
                    Fault::Later(format!("A check of the terms cannot be read: {why}."))
                })?);
            }
            checks.push(Pinned { body, hash: pinned.hash });
        }
        Ok(checks)
    }
    fn keys(&self, nonce: &Nonce, count: u32) -> Vec<Preimage> {
        (0..count).map(|t| self.ports.scribe.tranche_key(nonce, t)).collect()
    }
}

/// What claims a held payment: the tranche's key, drawn again; in escrow, what the requester released.
pub fn claim_key(job: &Job, tranche: u32, scribe: &dyn Scribe) -> Option<Preimage> {
    match &job.escrow {
        Some(escrow) => escrow.x,
        None => Some(scribe.tranche_key(&job.attempt.as_ref()?.nonce?, tranche)),
    }
}

/// What there is to sign of a job that settled; both sides compute the same.
pub(super) fn receipt_of(job: &Job, scribe: &dyn Scribe, now: Time) -> Option<JobReceipt> {
    let (nonce, peer, j) = job.channel()?;
    let payment = scribe.salted(&Channel { nonce, peer, job: j }, &job.paid_hash()?);
    job.receipt(payment, now)
}

fn outcome(outcome: Outcome) -> Result<Done, Fault> {
    Ok(Done::Outcome(Box::new(outcome)))
}

/// Runs one effect. The runner and the simulator both call this, so that what is simulated is what runs.
pub async fn perform(work: &Workbench, log: &EventId, effect: &Effect) -> Result<Done, Fault> {
    let ports = &work.ports;
    match effect {
        Effect::First { record, nonce, to, relays, pow } => {
            let (scribe, record) = (ports.scribe.clone(), record.clone());
            let (nonce, to, pow) = (*nonce, *to, *pow);
            let now = ports.clock.now();
            // Proof of work takes seconds.
            let wrapped =
                tokio::task::spawn_blocking(move || scribe.wrap(&nonce, &record, &to, pow, now));
            let event = wrapped.await.map_err(|e| Fault::Later(e.to_string()))??;
            let relays = relays.clone();
            Ok(Done::Wrapped(Effect::Publish { event: event.json, id: event.id, relays }))
        }
        Effect::Publish { event, id, relays } => {
            ports.relays.publish(&WireEvent { id: *id, json: event.clone() }, relays).await?;
            outcome(Outcome::Done)
        }
        Effect::Fetch { file, from, purpose } => {
            let path = ports.files.place(log, *purpose, file);
            let order = FetchOrder {
                blob: file.blob,
                size: file.size,
                from: from.clone(),
                path: path.clone(),
            };
            let (progress, log, size) = (work.progress.clone(), *log, file.size);
            let seen = move |held: u64| {
                if let Ok(mut all) = progress.lock() {
                    all.insert(log, (held, size));
                }
            };
            let fetched = ports.transfer.fetch(&order, &seen).await;
            if let Ok(mut all) = work.progress.lock() {
                all.remove(&log);
            }
            fetched?;
            outcome(Outcome::Fetched { blob: file.blob, path })
        }
        Effect::Seal { number, source } => {
            let attempt = work.attempt()?;
            let nonce = attempt.nonce.ok_or_else(|| gone("nonce"))?;
            let terms = work.seal_terms(*number)?;
            let keys = work.keys(&nonce, terms.terms.tranches);
            let hashes = keys.iter().map(Preimage::hash).collect();
            // In escrow the money is locked already, and the keys are handed over.
            let given = match terms.terms.mode {
                Mode::Escrow => keys.clone(),
                Mode::Sealed | Mode::Direct => Vec::new(),
            };
            let checks = work.checks().await?;
            let order = SealOrder { terms, source: source.clone(), nonce, keys, checks };
            let sealed = ports.files.seal(&order).await?;
            outcome(Outcome::Sealed {
                manifest: Box::new(sealed.manifest),
                hashes,
                blob: sealed.blob,
                vector: sealed.vector,
                vector_size: sealed.vector_size,
                keys: given,
            })
        }
        Effect::Inspect { .. } => match ports.files.inspect(&work.sealed_at()?).await? {
            Inspection::Sound => outcome(Outcome::Inspected),
            Inspection::Refused { code, sentence } => outcome(Outcome::Refused { code, sentence }),
        },
        Effect::Reveal { manifest, seed } => {
            let at = work.sealed_at()?;
            let nonce = work.attempt()?.nonce.ok_or_else(|| gone("nonce"))?;
            let keys = work.keys(&nonce, at.terms.terms.tranches);
            let keys = ports.files.reveal(&at, manifest, seed, &keys).await?;
            outcome(Outcome::Revealed { keys })
        }
        Effect::Audit { manifest } => {
            let at = work.sealed_at()?;
            let answer =
                work.attempt()?.review.keys.clone().ok_or_else(|| gone("opened sample"))?;
            let nonce = work.job()?.seed.ok_or_else(|| gone("audit seed"))?.nonce;
            let seed = ports.scribe.audit_seed(&nonce);
            let checks = work.checks().await?;
            let (audited, wrong, results) =
                ports.files.audit(&at, manifest, &seed, &answer, &checks).await?;
            outcome(Outcome::Audited { audited, wrong, results })
        }
        Effect::Check { tranche } => {
            let at = work.sealed_at()?;
            let output = work.attempt()?.output.clone().ok_or_else(|| gone("opened file"))?;
            let checks = work.checks().await?;
            let results = ports.files.check(&at, *tranche, &output, &checks).await?;
            outcome(Outcome::Checked { results })
        }
        Effect::Open { tranche } => {
            let at = work.sealed_at()?;
            let key = work.paid_key(*tranche)?;
            let name = work.attempt()?.delivery().map(|d| d.name.clone()).unwrap_or_default();
            match ports.files.open(&at, *tranche, &key, &name).await? {
                OpenedTranche::Right { path, digest } => outcome(Outcome::Opened { path, digest }),
                OpenedTranche::Wrong { chunk } => outcome(Outcome::Mismatch { chunk }),
                OpenedTranche::Damaged => outcome(Outcome::Damaged),
            }
        }
        Effect::Examine => outcome(Outcome::Examined { finding: work.examine().await? }),
        Effect::Prove { tranche, chunk, check } => {
            let (at, chunk, key) = (Box::new(work.sealed_at()?), *chunk, work.paid_key(*tranche)?);
            let t = *tranche;
            let shows = match check {
                None => Shows::Key { at, t, key, chunk },
                Some(hash) => {
                    let checks = work.checks().await?;
                    let found = checks.into_iter().find(|pinned| pinned.hash == *hash);
                    let check = found.and_then(|pinned| pinned.body);
                    Shows::Check { at, t, key, chunk, check: check.ok_or_else(|| gone("check"))? }
                }
            };
            let record = work.attempt()?.record.as_ref().ok_or_else(|| gone("delivery"))?;
            let order = ProofOrder {
                log: *log,
                certificate: work.job()?.worker.event.clone(),
                record: record.event.clone(),
                shows,
            };
            outcome(Outcome::Proven { path: ports.files.prove(&order).await? })
        }
        Effect::Expose { before, record } => {
            let peer = work.job()?.peer_certificate().ok_or_else(|| gone("certificate"))?;
            let order = ProofOrder {
                log: *log,
                certificate: peer.event.clone(),
                record: record.clone(),
                shows: Shows::Pair { before: before.clone() },
            };
            outcome(Outcome::Proven { path: ports.files.prove(&order).await? })
        }
        Effect::Accuse { path } => {
            let proof = ports.files.proof(path).await?;
            let against = work.job()?.worker.identity;
            let event = ports.scribe.proof_event(&proof, &against, ports.clock.now())?;
            ports.relays.publish(&event, &[]).await?;
            outcome(Outcome::Done)
        }
        Effect::Attest => {
            let job = work.job()?;
            let (requester, worker) = job.signatures().ok_or_else(|| gone("receipt"))?;
            let receipt = receipt_of(job, &*ports.scribe, ports.clock.now());
            let receipt = receipt.ok_or_else(|| gone("receipt"))?;
            let event = ports.scribe.receipt_event(&CoSigned { receipt, requester, worker })?;
            ports.relays.publish(&event, &[]).await?;
            outcome(Outcome::Done)
        }
        Effect::Bill { order, .. } => {
            let billed = ports.lightning.bill(order).await?;
            let invoice = ports.scribe.read_invoice(&billed.invoice);
            let invoice = invoice.map_err(|why| Fault::Never(why.sentence))?;
            // What is counted from is the node's own tip now, not what was last seen of it.
            let height = match order.hold_blocks {
                Some(_) => ports.lightning.status().await?.height,
                None => 0,
            };
            outcome(Outcome::Billed { billed, invoice, height })
        }
        Effect::Pay { order, .. } => {
            let state = ports.lightning.pay(order).await?;
            outcome(Outcome::Payment { hash: order.hash, state })
        }
        Effect::Claim { tranche, hash, amount } => {
            let key = claim_key(work.job()?, *tranche, &*ports.scribe);
            let key = key.ok_or_else(|| gone("secret"))?;
            ports.lightning.claim(hash, *amount, &key).await?;
            outcome(Outcome::Done)
        }
        Effect::Fail { hash } => {
            ports.lightning.fail(hash).await?;
            outcome(Outcome::Done)
        }
        Effect::Look { hash } => {
            let holding = ports.lightning.holding(hash).await?;
            outcome(Outcome::Looked { hash: *hash, holding })
        }
    }
}

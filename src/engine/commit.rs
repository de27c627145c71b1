//! One input, one step, one commit: facts, what is said (signed and sealed once, as bytes) and effects go
//! into the store together, or nothing does.

mod case;

use crate::engine::effect::receipt_of;
use crate::engine::{
    Channel, Commit, Direction, EffectRow, FactRow, Fault, LedgerRow, Mark, Scribe, Store,
};
use crate::market::{
    AwardParts, Body, Case, Digest, Draft, Effect, EventId, FACT_VERSION, Fact, Job, JobId,
    NextSeed, Nonce, PaymentHash, Post, Record, SWITCH_LOG, Say, Step, Switch, Time, job_id,
    next_audit_nonce,
};
use crate::text::Raw;

/// A log's next lines, gathered before they are committed.
pub(super) struct Writer<'a> {
    scribe: &'a dyn Scribe,
    now: Time,
    log: EventId,
    n: u64,
    commit: Commit,
    facts: Vec<Fact>,
    receipts: bool,
}

impl<'a> Writer<'a> {
    pub(super) fn new(scribe: &'a dyn Scribe, now: Time, log: EventId, n: u64) -> Self {
        let (commit, facts) = (Commit::default(), Vec::new());
        Self { scribe, now, log, n, commit, facts, receipts: false }
    }

    /// Whether our identity signs receipts of what settles.
    pub(super) fn with_receipts(self, receipts: bool) -> Self {
        Self { receipts, ..self }
    }

    pub(super) fn fact(&mut self, fact: Fact) -> Result<(), Fault> {
        let body = serde_json::to_string(&fact).map_err(|e| never("writing a fact", &e))?;
        self.commit.facts.push(FactRow {
            log: self.log,
            n: self.n,
            at: self.now,
            kind: fact.kind().into(),
            v: FACT_VERSION,
            body,
        });
        self.n += 1;
        self.facts.push(fact);
        Ok(())
    }

    pub(super) fn effect(&mut self, effect: &Effect) -> Result<(), Fault> {
        let body = serde_json::to_string(effect).map_err(|e| never("writing an effect", &e))?;
        if let Effect::Publish { id, .. } = effect {
            // We signed it: when it comes back there is nothing in it to verify or to open.
            self.commit.echoes.push(Mark::relay(id, self.now));
        }
        let index = self.commit.effects.len() as u64;
        let mut hasher = blake3::Hasher::new_derive_key("earnest/v1/effect");
        hasher.update(self.log.as_bytes());
        hasher.update(&self.n.to_le_bytes());
        hasher.update(&index.to_le_bytes());
        // A step without a fact, twice in one state, must not make one effect of two.
        hasher.update(&self.now.0.to_le_bytes());
        hasher.update(body.as_bytes());
        self.commit.effects.push(EffectRow {
            id: Digest(hasher.finalize().into()),
            log: self.log,
            kind: effect.kind().into(),
            body,
            not_before: self.now,
            tries: 0,
        });
        Ok(())
    }

    /// Writes a whole step into the job, which is folded as it goes: what is said second follows in its
    /// chain on what is said first.
    pub(super) fn step(&mut self, job: &mut Job, step: Step) -> Result<(), Fault> {
        for fact in step.facts {
            job.apply(&fact, self.now);
            self.fact(fact)?;
        }
        for say in step.says {
            self.say(job, say)?;
        }
        let from = job.unacknowledged.len().saturating_sub(step.repeats);
        let repeats =
            if step.repeats == 0 { Vec::new() } else { job.unacknowledged[from..].to_vec() };
        for record in &repeats {
            let effect = self.carry(job, record, nonce_of(job)?)?;
            self.effect(&effect)?;
        }
        let pleas = job.escrow.as_ref().map(|e| e.hearing.unanswered.clone()).unwrap_or_default();
        for record in pleas.iter().filter(|_| step.pleads) {
            let effect = self.carry_to_judge(job, record)?;
            self.effect(&effect)?;
        }
        for effect in step.effects {
            self.effect(&effect)?;
        }
        Ok(())
    }

    fn say(&mut self, job: &mut Job, say: Say) -> Result<(), Fault> {
        if let Say::Lodge = say {
            return self.lodge(job);
        }
        if let Some(body) = self.plea(job, &say)? {
            return self.plead(job, body);
        }
        let seen = job.theirs.last.as_ref().map(|r| r.id);
        let (nonce, draft) = match &say {
            Say::Audit { manifest, nonce } => {
                let seed = self.scribe.audit_seed(nonce);
                let body = Body::Audit { manifest: *manifest, seed };
                (nonce_of(job)?, self.draft(job, job.job, body, seen))
            }
            Say::Release { manifest, nonce } => {
                let x = Some(self.scribe.escrow_key(nonce));
                let body = Body::Accept { manifest: *manifest, next: None, x, receipt: None };
                let body = self.with_receipt(job, body);
                (nonce_of(job)?, self.draft(job, job.job, body, seen))
            }
            // Said to the judge, above.
            Say::Appoint { .. } | Say::Plead(_) | Say::Lodge | Say::Dispute { .. } => return Ok(()),
            Say::Post(body) => {
                let body = self.with_next_seed(job, (**body).clone());
                let body = self.with_receipt(job, body);
                (nonce_of(job)?, self.draft(job, job.job, body, seen))
            }
            Say::Award(parts) => {
                let body = Body::Award(award(job, parts));
                (parts.nonce, self.draft(job, Some(JobId(job.id.0)), body, seen))
            }
            Say::Decline { reason, nonce } => {
                let body = Body::Decline { reason: Raw(reason.clone()) };
                (*nonce, self.draft(job, Some(JobId(job.id.0)), body, seen))
            }
            Say::Withdraw { reason } => {
                let body = Body::Withdraw { reason: Raw(reason.clone()) };
                (nonce_of(job)?, self.draft(job, Some(JobId(job.id.0)), body, seen))
            }
        };
        let record = self.scribe.sign(&nonce, &draft)?;
        let fact = match say {
            Say::Award(parts) => Fact::Awarded {
                job: job_id(&job.id, &record.id),
                record: record.clone(),
                certificate: parts.certificate,
                nonce: Some(parts.nonce),
                paths: parts.inputs.into_iter().map(|(_, path)| path).collect(),
            },
            _ => Fact::Said { record: record.clone() },
        };
        job.apply(&fact, self.now);
        self.fact(fact)?;
        let effect = self.carry(job, &record, nonce)?;
        self.effect(&effect)
    }

    /// A rejection after an audit, or the word on a milestone, carries what commits to the next one: once s_R is revealed, any other
    /// delivery needs a new a_R recorded before it (PROTOCOL.md 5.6).
    fn with_next_seed(&self, job: &Job, mut body: Body) -> Body {
        let said = match &mut body {
            Body::Reject { manifest, next, .. } => Some((manifest, next)),
            Body::Accept { manifest, next, .. } if job.has_more() => Some((manifest, next)),
            _ => None,
        };
        if let (Some((manifest, next)), Some(seed)) = (said, job.seed)
            && seed.revealed
        {
            let nonce = next_audit_nonce(&seed.nonce, manifest);
            let audit = Digest(self.scribe.audit_seed(&nonce).hash().0);
            *next = Some(NextSeed { audit, audit_nonce: nonce });
        }
        body
    }

    /// What ends a job brings our signature on its receipt, if we give one.
    fn with_receipt(&self, job: &Job, mut body: Body) -> Body {
        if let Body::Accept { receipt, .. } | Body::Settled { receipt, .. } = &mut body
            && self.receipts
        {
            let said = receipt_of(job, self.scribe, self.now);
            *receipt = said.and_then(|said| self.scribe.cosign(&said).ok());
        }
        body
    }

    fn draft(&self, job: &Job, id: Option<JobId>, body: Body, seen: Option<EventId>) -> Draft {
        let prev = job.ours.last.as_ref().map(|r| r.id);
        Draft { job: id, seq: job.ours.next, prev, seen, at: self.now, body }
    }

    /// How a record of ours travels.
    fn carry(&self, job: &Job, record: &Record, nonce: Nonce) -> Result<Effect, Fault> {
        let first = |to, relays: &Vec<String>, pow| Effect::First {
            record: Box::new(record.clone()),
            nonce,
            to,
            relays: relays.clone(),
            pow,
        };
        Ok(match &record.draft.body {
            Body::Bid(_) | Body::Withdraw { .. } => {
                let inbox = &job.gig.offer.inbox;
                first(inbox.key, &inbox.relays, job.gig.offer.pow)
            }
            Body::Award(_) | Body::Decline { .. } => first(job.worker.session, &job.bid.relays, 0),
            _ => {
                let (nonce, peer, id) = job
                    .channel()
                    .ok_or_else(|| Fault::Never("the job has no channel yet".into()))?;
                let channel = Channel { nonce, peer, job: id };
                let event = self.scribe.post(&channel, record, self.now)?;
                Effect::Publish { event: event.json, id: event.id, relays: job.relays.clone() }
            }
        })
    }

    /// The commit, with the ledger lines that its facts imply.
    pub(super) fn finish(
        mut self,
        store: &dyn Store,
        job: &Job,
    ) -> Result<(Commit, Vec<Fact>), Fault> {
        for fact in &self.facts {
            ledger(&mut self.commit, store, job, fact, self.now)?;
        }
        Ok((self.commit, self.facts))
    }

    /// The commit of a gig of ours: no money in it.
    pub(super) fn finish_post(self) -> (Commit, Vec<Fact>) {
        (self.commit, self.facts)
    }
}

/// What a fact means for the payment ledger.
fn ledger(
    commit: &mut Commit,
    store: &dyn Store,
    job: &Job,
    fact: &Fact,
    now: Time,
) -> Result<(), Fault> {
    let mut line = |hash: PaymentHash,
                    direction,
                    tranche,
                    invoice: &crate::market::Invoice,
                    state: &str,
                    fee| {
        let stands = store.payment(&hash)?;
        if stands.is_some_and(|row| row.log == job.id && row.direction == direction) {
            commit.moves.push((hash, state.into(), fee));
            return Ok(());
        }
        commit.ledger.push(LedgerRow {
            hash,
            log: job.id,
            direction,
            tranche,
            amount: invoice.amount.unwrap_or_default(),
            invoice: invoice.text.clone(),
            state: state.into(),
            fee,
            at: now,
        });
        Ok(())
    };
    match fact {
        Fact::Billed { tranche, invoice, lsp_fee } => {
            line(invoice.hash, Direction::In, *tranche, invoice, "billed", *lsp_fee)?;
        }
        Fact::Paying { tranche, invoice, .. } => {
            let none = crate::market::Msat::ZERO;
            line(invoice.hash, Direction::Out, *tranche, invoice, "intent", none)?;
        }
        Fact::Paid { hash, fee, .. } => commit.moves.push((*hash, "paid".into(), *fee)),
        Fact::PayFailed { tranche, .. } => {
            let delivered = || {
                let hashes = &job.attempt.as_ref()?.hashes;
                hashes.get(usize::try_from(*tranche).ok()?).copied()
            };
            let hash = match &job.escrow {
                Some(escrow) => Some(escrow.lock.hash),
                None => delivered(),
            };
            let ours = |row: LedgerRow| row.log == job.id && row.state != "paid";
            if let Some(hash) = hash
                && store.payment(&hash)?.is_some_and(ours)
            {
                commit.moves.push((hash, "failed".into(), crate::market::Msat::ZERO));
            }
        }
        Fact::Received { hash, amount, .. } => {
            // By the line itself: the job may be in its next milestone already.
            let billed = store.payment(hash)?.map_or(*amount, |row| row.amount);
            commit.moves.push((*hash, "received".into(), billed.saturating_sub(*amount)));
        }
        Fact::Claiming { tranche, hash, .. } => {
            let fee = match &job.escrow {
                Some(escrow) => Some(escrow.lsp_fee),
                None => job.attempt.as_ref().and_then(|a| {
                    a.tranches.get(usize::try_from(*tranche).ok()?).map(|t| t.lsp_fee)
                }),
            };
            commit.moves.push((*hash, "claimable".into(), fee.unwrap_or_default()));
        }
        Fact::Held { hash, .. } => {
            let fee = job.escrow.as_ref().map(|escrow| escrow.lsp_fee).unwrap_or_default();
            commit.moves.push((*hash, "claimable".into(), fee));
        }
        Fact::Returned { hash } => {
            commit.moves.push((*hash, "failed".into(), crate::market::Msat::ZERO));
        }
        Fact::Lost { hash, .. } => {
            commit.moves.push((*hash, "lost".into(), crate::market::Msat::ZERO));
        }
        _ => {}
    }
    Ok(())
}

fn award(job: &Job, parts: &AwardParts) -> crate::market::Award {
    crate::market::Award {
        bid: job.id,
        certificate: parts.certificate.event.clone(),
        relays: parts.relays.clone(),
        address: parts.address.clone(),
        inputs: parts.inputs.iter().map(|(file, _)| file.clone()).collect(),
        audit: parts.audit,
        audit_nonce: parts.audit_nonce,
        lock: parts.lock,
    }
}

fn nonce_of(job: &Job) -> Result<Nonce, Fault> {
    job.nonce.ok_or_else(|| Fault::Never("the job has no session key yet".into()))
}

pub(super) fn never(what: &str, why: &dyn std::fmt::Display) -> Fault {
    Fault::Never(format!("{what}: {why}"))
}

/// A job, a case or a gig of ours, folded from its log.
pub(super) enum Folded {
    Case(Box<Case>),
    Job(Box<Job>),
    Post(Box<Post>),
    Switch(Switch),
}

/// Folds a log. A fact that this version does not know is refused, never guessed at: ignoring it could
/// reach a state that is not so.
pub(super) fn fold(log: &EventId, rows: &[FactRow]) -> Result<Folded, anyhow::Error> {
    let mut folded: Option<Folded> = None;
    for row in rows {
        if row.v != FACT_VERSION {
            anyhow::bail!(
                "log {log}: fact {} has version {}, this program knows {FACT_VERSION}. Nothing was changed. Use a newer earnest.",
                row.n,
                row.v
            );
        }
        let fact: Fact = serde_json::from_str(&row.body).map_err(|why| {
            anyhow::anyhow!(
                "log {log}: fact {} ({}) cannot be read: {why}. Nothing was changed. Use the earnest that wrote it.",
                row.n,
                row.kind
            )
        })?;
        match &mut folded {
            None => {
                let job = Job::begin(&fact, row.at).map(|j| Folded::Job(Box::new(j)));
                if *log == SWITCH_LOG {
                    folded = Some(Folded::Switch(Switch::default()));
                    if let Some(Folded::Switch(switch)) = &mut folded {
                        switch.apply(&fact);
                    }
                    continue;
                }
                let post = || Post::begin(&fact).map(|p| Folded::Post(Box::new(p)));
                let case = || Case::begin(&fact, row.at).map(|c| Folded::Case(Box::new(c)));
                folded = job.or_else(post).or_else(case);
                if folded.is_none() {
                    anyhow::bail!("log {log} begins with `{}`. Nothing was changed.", row.kind);
                }
            }
            Some(Folded::Case(case)) => case.apply(&fact, row.at),
            Some(Folded::Job(job)) => job.apply(&fact, row.at),
            Some(Folded::Post(post)) => post.apply(&fact),
            Some(Folded::Switch(switch)) => switch.apply(&fact),
        }
    }
    folded.ok_or_else(|| anyhow::anyhow!("log {log} is empty"))
}

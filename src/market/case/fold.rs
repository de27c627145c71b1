//! The fold of a case: what each fact changes. Total: a fact that was committed is always taken.

use crate::market::case::{Case, CasePhase, Exhibit};
use crate::market::{Body, Chain, EventId, Fact, Purpose, Record, Role, Time};

impl Case {
    fn enter(&mut self, phase: CasePhase, at: Time) {
        if self.phase != phase {
            (self.phase, self.since) = (phase, at);
        }
    }

    /// Folds one more fact.
    pub fn apply(&mut self, fact: &Fact, at: Time) {
        self.n += 1;
        match fact {
            Fact::Said { record } => {
                self.ours = Chain { next: record.draft.seq + 1, last: Some(record.clone()) };
                self.said.push(record.clone());
                (self.said_at, self.resent) = (at, 0);
                match &record.draft.body {
                    Body::Lodged { height, .. } => self.stamp(*height),
                    Body::Ruling { x, reason, .. } => {
                        let whose = if x.is_some() { Role::Worker } else { Role::Requester };
                        self.ruling = Some((whose, reason.0.clone()));
                        self.enter(CasePhase::Ruled, at);
                    }
                    _ => {}
                }
            }
            Fact::Brought { record, inner } => self.brought(record, inner.as_deref(), at),
            Fact::Fetched { blob, path } => {
                let named = self.disputed().map(|(_, d)| {
                    (*d.manifest.blob.as_bytes() == blob.0, *d.manifest.vector.as_bytes() == blob.0)
                });
                match named {
                    Some((true, _)) => self.blob = Some(path.clone()),
                    Some((_, true)) => self.vector = Some(path.clone()),
                    _ => {}
                }
            }
            Fact::Examined(finding) => self.finding = Some(finding.clone()),
            Fact::Resent => {
                self.resent += 1;
                self.said_at = at;
            }
            Fact::Stuck { effect, why } => self.stuck.push(format!("{effect}: {why}")),
            Fact::Equivocation { .. } => {
                self.stuck.push("a side signed two records with one number".into());
            }
            Fact::Lapsed { .. } => self.enter(CasePhase::Closed, at),
            _ => {}
        }
    }

    fn brought(&mut self, record: &Record, inner: Option<&Record>, at: Time) {
        let Some(role) = self.role_of(&record.author) else { return };
        let chain = Chain { next: record.draft.seq + 1, last: Some(record.clone()) };
        match role {
            Role::Requester => self.theirs[0] = chain,
            Role::Worker => self.theirs[1] = chain,
        }
        match (&record.draft.body, inner) {
            (Body::Lodge { .. }, Some(inner)) => {
                let known = self.exhibits.iter().any(|e| e.record.id == inner.id);
                if let Some(by) = self.role_of(&inner.author).filter(|_| !known) {
                    self.exhibits.push(Exhibit { record: inner.clone(), by, height: None });
                }
            }
            (Body::Dispute { manifest, .. }, _) => self.called(record, *manifest, role, at),
            (Body::Objection { dispute, .. }, _) => {
                let about = self
                    .dispute
                    .as_ref()
                    .is_some_and(|(plea, by, _)| plea.id == *dispute && *by != role);
                if about && self.objection.is_none() {
                    self.objection = Some((record.clone(), role, 0));
                }
            }
            (Body::Note { text }, _) => self.notes.push((role, text.0.clone())),
            _ => {}
        }
    }

    /// The worker's first call is the one that is ruled on. The requester's counts until there is one, and only
    /// where it names a delivery that was lodged before: it blocks nothing, and replaces nothing (!).
    fn called(&mut self, record: &Record, manifest: Option<EventId>, role: Role, at: Time) {
        let counts = match (&self.dispute, role) {
            _ if self.phase.is_over() => false,
            (None, Role::Worker) | (Some((_, Role::Requester, _)), Role::Worker) => true,
            (None, Role::Requester) => manifest.is_some_and(|m| self.delivery(&m).is_some()),
            _ => false,
        };
        if !counts {
            return self.keep_words(record, role);
        }
        let before = [self.dispute.replace((record.clone(), role, 0)), self.objection.take()];
        for (record, by, _) in before.into_iter().flatten() {
            self.keep_words(&record, by);
        }
        self.enter(CasePhase::Disputed, at);
    }

    /// What is not ruled on is still read.
    fn keep_words(&mut self, record: &Record, by: Role) {
        if let Body::Dispute { reason, .. } | Body::Objection { reason, .. } = &record.draft.body {
            self.notes.push((by, reason.0.clone()));
        }
    }

    /// What came last was given to us at this height.
    fn stamp(&mut self, height: u32) {
        let Some(Body::Lodged { record, .. }) = self.said.last().map(|said| &said.draft.body)
        else {
            return;
        };
        let record = record.clone();
        self.stamped(&record, height);
    }

    /// This record was given to us at this height.
    pub(super) fn stamped(&mut self, record: &str, height: u32) {
        let is = |of: &Record| of.event == *record;
        for exhibit in self.exhibits.iter_mut().filter(|e| is(&e.record)) {
            exhibit.height = exhibit.height.or(Some(height));
        }
        for (_, _, at) in
            [&mut self.dispute, &mut self.objection].into_iter().flatten().filter(|(r, ..)| is(r))
        {
            *at = height;
        }
    }

    /// Whether a file of this purpose is the one that was missing.
    pub(super) fn completes(&self, purpose: Purpose) -> bool {
        match purpose {
            Purpose::Blob => self.blob.is_none() && self.vector.is_some(),
            _ => self.vector.is_none() && self.blob.is_some(),
        }
    }
}

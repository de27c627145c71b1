//! `earnest watch`: what happens, as it happens.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use tokio::sync::broadcast::error::RecvError;

use super::jobs::{otherwise, role};
use crate::cli::session::Session;
use crate::cli::{Exit, Failure, Out};
use crate::engine::{FactView, Handle, JobView, Notice, Severity, Shelf, differences};
use crate::market::BidId;

/// Tell what happens, as it happens, until it is interrupted.
///
/// Notices, and jobs whenever they come to stand elsewhere. With --json one object a line: first every job
/// as it stands, then what changes, each line that its history grows by among it.
#[derive(Debug, clap::Args)]
pub(crate) struct Watch {}

/// One thing that happened, for programs.
#[derive(Serialize, schemars::JsonSchema)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(in crate::cli) enum Event<'a> {
    /// A job is new or other than it was.
    Job { job: &'a JobView },
    /// A line was added to the history of this job.
    Fact { job: &'a BidId, fact: &'a FactView },
    /// Something worth telling.
    Notice { notice: &'a Notice },
    /// So many notices were told faster than they were read.
    Missed { count: u64 },
}

impl Watch {
    pub(crate) fn run(&self, session: &Session, out: &mut Out) -> Result<Exit, Failure> {
        let watched = session.with_jobs(out, "earnest watch", async |handle, out| {
            let (mut snapshot, mut notices) = (handle.watch(), handle.notices());
            let mut told = Jobs::new();
            let now = Arc::clone(&snapshot.borrow_and_update());
            jobs(&mut told, &now.jobs, true, out)?;
            let mut lines: Lines = now.jobs.iter().map(|(id, job)| (*id, job.facts)).collect();
            if !out.is_json() {
                out.say("Watching. Ctrl-C ends it.")?;
            }
            loop {
                tokio::select! {
                    notice = notices.recv() => match notice {
                        Ok(notice) => tell(&notice, out)?,
                        Err(RecvError::Lagged(count)) => out.record(&Event::Missed { count })?,
                        Err(RecvError::Closed) => return Err(ended()),
                    },
                    changed = snapshot.changed() => {
                        if changed.is_err() {
                            return Err(ended());
                        }
                        let now = Arc::clone(&snapshot.borrow_and_update());
                        jobs(&mut told, &now.jobs, false, out)?;
                        if out.is_json() {
                            facts(&mut lines, &now.jobs, handle, out).await?;
                        }
                    }
                }
            }
        });
        match watched {
            // Asked to end is how watching ends.
            Err(failure) if failure.exit == Exit::Interrupted => Ok(Exit::Done),
            other => other,
        }
    }
}

fn ended() -> Failure {
    let said = "The earnest that was watched has ended. What was begun is kept.";
    Failure::new(Exit::Offline, "ended", said).next("earnest run")
}

type Jobs = Shelf<JobView>;

/// Tells which jobs are other than they were told. People hear only of another phase; the first sight of
/// all of them is for programs.
fn jobs(told: &mut Jobs, now: &Jobs, first: bool, out: &mut Out) -> Result<(), Failure> {
    let was = std::mem::replace(told, now.clone());
    for (id, was, job) in differences(&was, now) {
        let Some(job) = job else { continue };
        out.record(&Event::Job { job })?;
        if !first && was.is_none_or(|was| was.phase != job.phase) {
            let left = otherwise(job, crate::app::now()).map(|o| format!("; {o}"));
            out.line(&format!(
                "{}  {} as {}{}",
                id.short(),
                job.phase.word(),
                role(job.role),
                left.unwrap_or_default()
            ))?;
        }
    }
    Ok(())
}

/// How many lines of each job's history were told.
type Lines = BTreeMap<BidId, u64>;

/// Tells by which lines each history has grown.
async fn facts(
    told: &mut Lines,
    now: &Jobs,
    handle: &Handle,
    out: &mut Out,
) -> Result<(), Failure> {
    told.retain(|id, _| now.contains_key(id));
    for (id, job) in now {
        let told = told.entry(*id).or_default();
        if job.facts <= *told {
            continue;
        }
        // What cannot be read now is told when the job grows again.
        let Ok(history) = handle.history(*id).await else { continue };
        for fact in history.iter().filter(|fact| fact.n >= *told) {
            out.record(&Event::Fact { job: id, fact })?;
        }
        *told = history.last().map_or(*told, |fact| fact.n + 1);
    }
    Ok(())
}

fn tell(notice: &Notice, out: &mut Out) -> Result<(), Failure> {
    out.record(&Event::Notice { notice })?;
    let mark = match notice.severity {
        Severity::Info => "  ",
        Severity::Act => "> ",
        Severity::Warn => "! ",
    };
    Ok(out.line(&format!("{mark}{}", notice.text))?)
}

//! `earnest people`: whom you had to do with.

use serde::Serialize;

use super::jobs::role;
use crate::cli::complete;
use crate::cli::session::Session;
use crate::cli::{Column, Exit, Failure, Out, name};
use crate::engine::{PersonView, Snapshot};
use crate::market::{BidId, Pubkey, Time};
use crate::text::Align;

/// Show whom you had to do with, and what came of it: from your own jobs alone.
#[derive(Debug, clap::Args)]
pub(crate) struct People {
    /// One person: npub1... or 64 hex digits
    #[arg(add = complete::people())]
    key: Option<String>,
}

/// A person, for programs.
#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Shown<'a> {
    npub: String,
    #[serde(flatten)]
    person: &'a PersonView,
    #[serde(skip_serializing_if = "Option::is_none")]
    jobs: Option<Vec<BidId>>,
}

const COLUMNS: [Column; 8] = [
    Column { name: "who", align: Align::Left },
    Column { name: "jobs", align: Align::Right },
    Column { name: "open", align: Align::Right },
    Column { name: "settled", align: Align::Right },
    Column { name: "paid", align: Align::Right },
    Column { name: "received", align: Align::Right },
    Column { name: "heard", align: Align::Right },
    Column { name: "", align: Align::Left },
];

impl People {
    pub(crate) fn run(&self, session: &Session, out: &mut Out) -> Result<Exit, Failure> {
        let who = self.key.as_deref().map(name::person).transpose()?;
        session.with_jobs(out, "earnest people", async |handle, out| {
            let people = handle.people(who).await?;
            let at = crate::app::now();
            if who.is_some() {
                let now = handle.watch().borrow().clone();
                return people.iter().try_fold(Exit::Done, |done, person| {
                    one(person, &now, at, out).map(|()| done)
                });
            }
            let mut rows = Vec::new();
            for person in &people {
                let npub = crate::app::npub(&person.key);
                out.record(&Shown { npub, person, jobs: None })?;
                rows.push(row(person, at));
            }
            out.table(&COLUMNS, &rows, "You have not had to do with anybody yet.")?;
            Ok(Exit::Done)
        })
    }
}

fn ago(at: Option<Time>, now: Time) -> String {
    at.map_or("never".to_owned(), |at| format!("{} ago", at.until(now)))
}

fn flags(person: &PersonView) -> String {
    let mut flags = Vec::new();
    if person.cheats > 0 {
        flags.push(format!("CHEATED {} times", person.cheats));
    }
    if person.equivocations > 0 {
        flags.push(format!("said two things at once {} times", person.equivocations));
    }
    if person.muted.is_some() {
        flags.push("muted".to_owned());
    }
    flags.join(", ")
}

fn row(person: &PersonView, now: Time) -> Vec<String> {
    vec![
        name::short(&person.key),
        (person.worked + person.gave).to_string(),
        person.open.to_string(),
        person.settled.to_string(),
        person.paid.to_string(),
        person.received.to_string(),
        ago(person.heard_at, now),
        flags(person),
    ]
}

fn one(person: &PersonView, now: &Snapshot, at: Time, out: &mut Out) -> Result<(), Failure> {
    let with =
        |key: &Pubkey| now.jobs.values().filter(move |job| job.peer == *key).collect::<Vec<_>>();
    let jobs = with(&person.key);
    let npub = crate::app::npub(&person.key);
    let ids = Some(jobs.iter().map(|job| job.id).collect());
    out.record(&Shown { npub: npub.clone(), person, jobs: ids })?;
    for (name, value) in [
        ("who", npub),
        ("key", person.key.to_string()),
        ("heard", ago(person.heard_at, at)),
        ("bids", format!("{} that came to nothing", person.bids)),
        ("worked", format!("{} jobs for you; you paid {}", person.worked, person.paid)),
        ("gave", format!("{} jobs to you; you received {}", person.gave, person.received)),
        ("ended", format!("{} settled, {} open", person.settled, person.open)),
        ("muted", person.muted.map_or("no".to_owned(), |since| format!("for {}", since.until(at)))),
        ("warning", flags(&PersonView { muted: None, ..person.clone() })),
    ] {
        if !value.is_empty() {
            out.line(&format!("{name:<9}{value}"))?;
        }
    }
    for job in jobs {
        out.line(&format!(
            "job      {} as {}, {}, {}: {}",
            job.id.short(),
            role(job.role),
            job.phase.word(),
            job.price,
            job.title.or("(no title)")
        ))?;
    }
    Ok(())
}

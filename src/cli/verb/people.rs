//! `earnest people`: whom you had to do with.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use super::jobs::role;
use crate::cli::complete;
use crate::cli::session::{Session, read_bytes};
use crate::cli::{Column, Exit, Failure, Out, name};
use crate::engine::{PersonView, Snapshot, Trouble};
use crate::market::{BidId, Pubkey, Time};
use crate::text::Align;

/// Show whom you had to do with, and what came of it.
///
/// With a key: what that person's record is worth to you and why, and how much of yours they may hold. It is
/// computed here, from your own jobs, from whom you follow, and from receipts of people whom you know; relays are
/// asked for those, and so learn whom you look at.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct People {
    /// One person: npub1... or 64 hex digits
    #[arg(add = complete::people())]
    key: Option<String>,
    /// Seconds to wait for what relays know of one person; 0 does not wait
    #[arg(long, value_name = "SECONDS", default_value_t = 3)]
    wait: u64,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Take receipts and proofs that somebody gave you: a proof, or one event a line
    Import {
        /// The file, or - for stdin
        file: PathBuf,
    },
}

/// What an import did.
#[derive(Default, Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Imported {
    taken: u64,
    known: u64,
    refused: u64,
}

/// The longest file of events.
const LONGEST: u64 = 64 << 20;
/// How often it is looked whether relays have said something.
const LOOK: Duration = Duration::from_millis(300);

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
        if let Some(Action::Import { file }) = &self.action {
            return import(file, session, out);
        }
        let who = self.key.as_deref().map(name::person).transpose()?;
        session.with_jobs(out, "earnest people", async |handle, out| {
            let mut people = handle.people(who).await?;
            if who.is_some() {
                let (first, looks) = (people.clone(), self.wait * 1000 / LOOK.as_millis() as u64);
                for _ in 0..looks {
                    tokio::time::sleep(LOOK).await;
                    people = handle.people(who).await?;
                    if people != first {
                        break;
                    }
                }
            }
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
        ("standing", person.standing.as_ref().map_or(String::new(), ToString::to_string)),
        ("limits", person.limits.as_ref().map_or(String::new(), ToString::to_string)),
    ] {
        if !value.is_empty() {
            out.line(&format!("{name:<9}{value}"))?;
        }
    }
    for reason in person.standing.iter().flat_map(|standing| &standing.reasons) {
        out.line(&format!("{:>12}  {}", format!("+{}", reason.points), reason.why))?;
    }
    for job in jobs {
        out.line(&format!(
            "job      {} as {}, {}, {}: {}",
            job.id.short(),
            role(job.role),
            job.phase.word(),
            job.whole(),
            job.title.or("(no title)")
        ))?;
    }
    Ok(())
}

fn import(file: &Path, session: &Session, out: &mut Out) -> Result<Exit, Failure> {
    let bytes = read_bytes(file, LONGEST)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    session.with_engine(out, "earnest people import", async |handle, out| {
        let mut done = Imported::default();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            match handle.import(line.to_owned()).await {
                Ok(true) => done.taken += 1,
                Ok(false) => done.known += 1,
                Err(Trouble::Refused(why)) => {
                    done.refused += 1;
                    out.line(&format!("not taken: {}", why.sentence))?;
                }
                Err(other) => return Err(other.into()),
            }
        }
        out.record(&done)?;
        let Imported { taken, known, refused } = done;
        out.line(&format!(
            "{taken} taken, {known} known already, {refused} refused. Every signature was checked; no money moved."
        ))?;
        Ok(if refused > 0 && taken + known == 0 { Exit::Failed } else { Exit::Done })
    })
}

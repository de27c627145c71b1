//! `earnest jobs`: every job, on either side.

use clap::ValueEnum;

use crate::cli::session::Session;
use crate::cli::{Column, Exit, Failure, Out, name};
use crate::engine::JobView;
use crate::market::{Phase, Role, Time};
use crate::text::{Align, truncate};

/// Show jobs and bids, on either side: where each stands, what happens next by itself, what you can do.
///
/// Several filters must all hold; without one, what is not over is shown.
#[derive(Debug, clap::Args)]
pub(crate) struct Jobs {
    /// Which
    filter: Vec<Filter>,
    /// Only with this person: npub1... or 64 hex digits
    #[arg(long, value_name = "KEY")]
    with: Option<String>,
}

/// Which jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Filter {
    /// What is not over
    Open,
    /// What is over
    Over,
    /// Everything
    All,
    /// What waits for you
    Mine,
    /// Where you pay
    Requester,
    /// Where you work
    Worker,
    /// Bids that wait for an answer
    Bid,
    /// Awarded, not delivered
    Working,
    /// Delivered, not accepted
    Delivered,
    /// The judge was called
    Disputed,
    /// Accepted, not paid
    Accepted,
    /// Being paid
    Paying,
    /// Paid and opened
    Settled,
    /// Bids that got a no
    Declined,
    /// Bids that were taken back
    Withdrawn,
    /// Stopped
    Cancelled,
    /// A deadline passed
    Expired,
    /// A paid key did not open
    Cheated,
}

impl Filter {
    fn takes(self, job: &JobView) -> bool {
        match self {
            Self::Open => !job.phase.is_over() && job.phase != Phase::Declined,
            Self::Over => job.phase.is_over() || job.phase == Phase::Declined,
            Self::All => true,
            Self::Mine => is_mine(job),
            Self::Requester => job.role == Role::Requester,
            Self::Worker => job.role == Role::Worker,
            Self::Bid => job.phase == Phase::Bid,
            Self::Working => job.phase == Phase::Working,
            Self::Delivered => job.phase == Phase::Delivered,
            Self::Disputed => job.phase == Phase::Disputed,
            Self::Accepted => job.phase == Phase::Accepted,
            Self::Paying => job.phase == Phase::Paying,
            Self::Settled => job.phase == Phase::Settled,
            Self::Declined => job.phase == Phase::Declined,
            Self::Withdrawn => job.phase == Phase::Withdrawn,
            Self::Cancelled => job.phase == Phase::Cancelled,
            Self::Expired => job.phase == Phase::Expired,
            Self::Cheated => job.phase == Phase::Cheated,
        }
    }

    /// Whether it says whether jobs that are over are wanted.
    fn is_of_time(self) -> bool {
        !matches!(self, Self::Requester | Self::Worker)
    }
}

/// Whether the other side waits for us.
fn is_mine(job: &JobView) -> bool {
    match job.role {
        Role::Requester => matches!(job.phase, Phase::Bid | Phase::Delivered),
        Role::Worker => job.phase == Phase::Working,
    }
}

const COLUMNS: [Column; 7] = [
    Column { name: "job", align: Align::Left },
    Column { name: "you are", align: Align::Left },
    Column { name: "stands", align: Align::Left },
    Column { name: "price", align: Align::Right },
    Column { name: "title", align: Align::Left },
    Column { name: "you can", align: Align::Left },
    Column { name: "if nobody acts", align: Align::Left },
];

impl Jobs {
    pub(crate) fn run(&self, session: &Session, out: &mut Out) -> Result<Exit, Failure> {
        let with = self.with.as_deref().map(name::person).transpose()?;
        let mut filters = self.filter.clone();
        if with.is_none() && !filters.iter().any(|filter| filter.is_of_time()) {
            filters.push(Filter::Open);
        }
        session.with_jobs(out, "earnest jobs", async |handle, out| {
            let now = handle.watch().borrow().clone();
            let mut jobs: Vec<&JobView> = now.jobs.values().map(|job| &**job).collect();
            jobs.retain(|job| {
                filters.iter().all(|filter| filter.takes(job))
                    && with.is_none_or(|with| job.peer == with)
            });
            // What ends first stands first; what is over stands last, the newest first.
            jobs.sort_by_key(|job| {
                (job.deadline.is_none(), job.deadline, std::cmp::Reverse(job.since), job.id)
            });
            let at = crate::app::now();
            let mut rows = Vec::new();
            for job in jobs {
                out.record(job)?;
                rows.push(row(job, at));
            }
            let none = match self.filter.is_empty() {
                true => "No job is open. Look for one: earnest gigs. All of them: earnest jobs all",
                false => "No job fits. All of them: earnest jobs all",
            };
            out.table(&COLUMNS, &rows, none)?;
            Ok(Exit::Done)
        })
    }
}

fn row(job: &JobView, now: Time) -> Vec<String> {
    let can = job.legal.iter().filter(|offered| offered.refusal.is_none());
    let can: Vec<&str> = can.map(|offered| offered.verb.word()).collect();
    vec![
        job.id.short(),
        role(job.role).to_owned(),
        job.phase.word().to_owned(),
        job.price.to_string(),
        truncate(job.title.or("(no title)"), 40).into_owned(),
        can.join(", "),
        otherwise(job, now).unwrap_or_default(),
    ]
}

pub(in crate::cli) fn role(role: Role) -> &'static str {
    match role {
        Role::Requester => "requester",
        Role::Worker => "worker",
    }
}

/// When the phase ends by itself, and how.
pub(super) fn otherwise(job: &JobView, now: Time) -> Option<String> {
    let (at, what) = (job.deadline?, job.otherwise.as_deref()?);
    Some(format!("in {}: {what}", now.until(at)))
}

//! The desk that every tool works at: the engine, what the person allowed, and how a no is told.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};

use crate::engine::{Command, Fault, Handle, JobView, PostView, Receipt, Snapshot, Trouble};
use crate::market::{self, BidId, Msat, Network, Pubkey, Refusal, Role, Verb};
use crate::mcp::table;
use crate::mcp::view;
use crate::text::{Limit, Raw};

/// What the person who owns the money set.
#[derive(Debug, Clone)]
pub struct Options {
    /// Which chain the money is on.
    pub network: Network,
    /// Say what would be done, and do nothing.
    pub dry_run: bool,
    /// The most for routing: parts per million of a payment, and an amount on top.
    pub routing: (u64, Msat),
    /// The highest price of a job.
    pub max_price: Msat,
    /// A key as people write it.
    pub npub: fn(&Pubkey) -> String,
    /// A key that somebody wrote so.
    pub read_npub: fn(&str) -> Option<Pubkey>,
}

impl Options {
    /// The most that routing one payment may cost.
    pub(super) fn routing(&self, amount: Msat) -> Msat {
        [amount.ppm(self.routing.0), self.routing.1].into_iter().sum()
    }
}

/// Where the money is that a no is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Money {
    Untouched,
    Held,
    Spent,
}

/// Why a tool did not do what was asked.
#[derive(Debug, Clone, Serialize)]
pub(super) struct No {
    /// Stable, kebab-case.
    pub(super) code: Cow<'static, str>,
    /// What happened, in our own words.
    pub(super) message: String,
    /// Where the money is.
    pub(super) money: Money,
    /// What the world said, which may be a stranger's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) detail: Option<Value>,
    /// What to do next.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) next: Vec<String>,
    /// Whether the same call may work later.
    pub(super) retry: bool,
}

/// What a tool answers.
pub(super) type Done = Result<Value, No>;

impl No {
    pub(super) fn new(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        let (code, message) = (code.into(), message.into());
        Self {
            code,
            message,
            money: Money::Untouched,
            detail: None,
            next: Vec::new(),
            retry: false,
        }
    }

    #[must_use]
    pub(super) fn next(mut self, next: impl Into<String>) -> Self {
        self.next.push(next.into());
        self
    }
}

impl From<Refusal> for No {
    fn from(refusal: Refusal) -> Self {
        let money = match refusal.money {
            market::Money::Untouched => Money::Untouched,
            market::Money::Held => Money::Held,
            market::Money::Spent => Money::Spent,
        };
        let no = Self { money, ..Self::new(refusal.code, refusal.sentence) };
        refusal.next.into_iter().fold(no, Self::next)
    }
}

impl From<Fault> for No {
    fn from(fault: Fault) -> Self {
        let (code, message, why, retry) = match fault {
            Fault::Later(why) => ("later", "It did not work now. Nothing is lost.", why, true),
            Fault::Never(why) => ("never", "It cannot be done.", why, false),
        };
        let detail = Some(view::words(&Raw(why).clean(Limit::one_line(600))));
        Self { detail, retry, ..Self::new(code, message) }
    }
}

impl From<Trouble> for No {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Refused(refusal) => refusal.into(),
            Trouble::Failed(fault) => fault.into(),
            Trouble::NotFound { .. } => Self::new("not-found", "There is no such thing here."),
        }
    }
}

/// The desk.
pub(super) struct Desk {
    pub(super) handle: Handle,
    pub(super) options: Options,
}

impl Desk {
    /// What eyes may see now.
    pub(super) fn now(&self) -> Arc<Snapshot> {
        self.handle.watch().borrow().clone()
    }

    /// The job, or the bid, of this id or of one that begins so.
    pub(super) fn job(&self, text: &str) -> Result<Arc<JobView>, No> {
        let id = beginning(text)?;
        let now = self.now();
        let fits = |job: &&Arc<JobView>| {
            let awarded = job.job.is_some_and(|job| job.to_string().starts_with(&id));
            awarded || job.id.to_string().starts_with(&id)
        };
        only(now.jobs.values().filter(fits).cloned(), "job or bid")
    }

    /// The gig of ours of this id, or of one that begins so.
    pub(super) fn gig(&self, text: &str) -> Result<PostView, No> {
        let id = beginning(text)?;
        let now = self.now();
        let fits = |post: &&PostView| {
            [post.id, post.gig.id].iter().any(|known| known.to_string().starts_with(&id))
        };
        only(now.posts.iter().map(|post| &**post).filter(fits).cloned(), "gig of yours")
    }

    /// Somebody's key.
    pub(super) fn person(&self, text: &str) -> Result<Pubkey, No> {
        let hex = text.to_lowercase().parse().ok();
        hex.or_else(|| (self.options.read_npub)(text)).ok_or_else(|| {
            No::new("bad-key", "That is not a public key: write npub1... or 64 hex digits.")
        })
    }

    /// The job, if we are its requester and the market allows this verb now.
    pub(super) fn may(&self, text: &str, verb: Verb) -> Result<Arc<JobView>, No> {
        let job = self.job(text)?;
        if job.role != Role::Requester && Verb::of(Role::Requester).contains(&verb) {
            let both = Verb::of(Role::Worker).contains(&verb);
            if !both {
                let said = "You are the worker in this job: nobody pays or judges its own work.";
                return Err(No::new("not-your-role", said));
            }
        }
        match job.legal.iter().find(|offered| offered.verb == verb) {
            Some(offered) => match &offered.refusal {
                None => Ok(job),
                Some(why) => Err(allowed(&job).fold(No::from(why.clone()), No::next)),
            },
            None => {
                let said = format!("This job does not know `{}`.", verb.word());
                Err(allowed(&job).fold(No::new("not-legal", said), No::next))
            }
        }
    }

    /// Does it, or says what would be done.
    pub(super) async fn act(&self, would: String, command: Command) -> Done {
        if self.options.dry_run {
            return Ok(dry(would));
        }
        let receipt = self.handle.ask(command).await?;
        Ok(done(would, receipt, &receipt.log))
    }
}

/// Nothing was done, and why.
pub(super) fn dry(would: String) -> Value {
    json!({
        "dry_run": true,
        "would": would,
        "note": "Nothing was done. The person who owns the money turns this on in the configuration: mcp.dry_run = false.",
    })
}

/// It is committed; what follows runs by itself.
pub(super) fn done(what: String, receipt: Receipt, job: &BidId) -> Value {
    json!({
        "dry_run": false,
        "done": what,
        "id": receipt.log,
        "resource": format!("{}{job}", view::JOB),
        "note": "Committed. What follows runs by itself: subscribe to the resource, or ask job_status.",
    })
}

/// The tools that the market allows on a job.
fn allowed(job: &JobView) -> impl Iterator<Item = String> {
    job.legal
        .iter()
        .filter(|offered| offered.refusal.is_none())
        .filter_map(|offered| table::tool_of(offered.verb).map(str::to_owned))
}

fn beginning(text: &str) -> Result<String, No> {
    let id = text.to_lowercase();
    if id.len() < 4 || id.len() > 64 || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(No::new("bad-id", "An id is 64 hex digits, or at least the first 4 of them."));
    }
    Ok(id)
}

fn only<T>(found: impl Iterator<Item = T>, what: &str) -> Result<T, No> {
    let mut found = found;
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => {
            let said = format!("No {what} here has an id that begins so.");
            Err(No::new("not-found", said).next("list_jobs"))
        }
        (Some(_), Some(_)) => Err(No::new(
            "ambiguous",
            format!("More than one {what} begins so: give more of the id."),
        )),
    }
}

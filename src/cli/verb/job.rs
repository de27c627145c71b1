//! `earnest job`: one job, whole.

use serde::Serialize;

use super::jobs::{otherwise, role};
use crate::cli::complete;
use crate::cli::session::Session;
use crate::cli::{Exit, Failure, Out, name};
use crate::engine::{Direction, FactView, Handle, JobView, LedgerRow, milestone_on};
use crate::market::{Mode, Msat, PaymentHash, Role, Time};

/// Show one job whole: timeline, words, files, delivery, payments, and what can be done.
#[derive(Debug, clap::Args)]
pub(crate) struct Job {
    /// The job, or the beginning of its id
    #[arg(add = complete::jobs())]
    job: String,
}

/// A payment of the job, without its invoice.
#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Payment {
    hash: PaymentHash,
    direction: Direction,
    tranche: u32,
    amount: Msat,
    fee: Msat,
    state: String,
    at: Time,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Whole<'a> {
    job: &'a JobView,
    history: &'a [FactView],
    payments: &'a [Payment],
}

impl Job {
    pub(crate) fn run(&self, session: &Session, out: &mut Out) -> Result<Exit, Failure> {
        session.with_jobs(out, "earnest job", async |handle, out| {
            let now = handle.watch().borrow().clone();
            let job = name::job(&now, &self.job)?;
            let history = handle.history(job.id).await?;
            let payments = payments(handle, &job).await?;
            out.record(&Whole { job: &job, history: &history, payments: &payments })?;
            if !out.is_json() {
                show(&job, &history, &payments, crate::app::now(), out)?;
            }
            Ok(Exit::Done)
        })
    }
}

async fn payments(handle: &Handle, job: &JobView) -> Result<Vec<Payment>, Failure> {
    let rows = handle.payments().await?;
    let of = |row: LedgerRow| {
        let LedgerRow { hash, direction, tranche, amount, fee, state, at, log, .. } = row;
        (log == job.id).then_some(Payment { hash, direction, tranche, amount, fee, state, at })
    };
    Ok(rows.into_iter().filter_map(of).collect())
}

fn show(
    job: &JobView,
    history: &[FactView],
    payments: &[Payment],
    now: Time,
    out: &mut Out,
) -> Result<(), Failure> {
    for (name, value) in head(job, now) {
        out.line(&format!("{name:<10}{value}"))?;
    }
    for payment in payments {
        let way = match payment.direction {
            Direction::In => "to you",
            Direction::Out => "from you",
        };
        out.line(&format!(
            "payment   {} {way}, {}, fee {} ({})",
            payment.amount,
            payment.state,
            payment.fee,
            payment.hash.short()
        ))?;
    }
    for offered in &job.legal {
        match &offered.refusal {
            None => out.line(&format!("can       {}", offered.verb.word()))?,
            Some(why) => {
                out.line(&format!("cannot    {}: {}", offered.verb.word(), why.sentence))?;
            }
        }
    }
    out.line("")?;
    for fact in history {
        let ago = fact.at.until(now);
        out.line(&format!("{:>14}  {}", format!("{ago} ago"), fact.sentence(job.role)))?;
        let file = fact.file.as_ref().map(|file| format!("file: {file}"));
        let words = fact.text.lines().map(str::to_owned);
        for line in words.chain(file) {
            out.line(&format!("{:>14}  | {line}", ""))?;
        }
    }
    Ok(())
}

fn head(job: &JobView, now: Time) -> Vec<(&'static str, String)> {
    let mode = match job.mode {
        Mode::Sealed => "sealed",
        Mode::Direct => "direct",
        Mode::Escrow => "escrow",
    };
    let parts =
        if job.tranches == 1 { "at once".into() } else { format!("in {} parts", job.tranches) };
    let on = milestone_on(&job.milestones).map(|on| format!(", milestone {on}"));
    let on = on.unwrap_or_default();
    let mut head = vec![
        ("job", job.id.to_string()),
        ("title", job.title.or("(no title)").to_owned()),
        ("gig", job.gig.to_string()),
        ("you are", format!("the {}", role(job.role))),
        (role(job.role.other()), crate::app::npub(&job.peer)),
        ("stands", format!("{}{on}, for {}", job.phase.word(), job.since.until(now))),
        ("price", format!("{}, {mode}, {parts}", job.price)),
    ];
    let mut add = |name, value: Option<String>| head.extend(value.map(|value| (name, value)));
    for (n, milestone) in job.milestones.iter().enumerate() {
        add(if n == 0 { "milestones" } else { "" }, Some(milestone.line(n)));
        let open = milestone.output.as_ref();
        add("", open.map(|path| format!("   open: {}", path.display())));
    }
    add("at stake", job.stake.clone());
    add("why", job.reason.as_ref().map(|why| why.to_string()));
    add("else", otherwise(job, now));
    add("heard", job.heard_at.map(|at| format!("{} ago", at.until(now))));
    if job.unheard > 0 && job.job.is_some() && !job.phase.is_over() {
        add("unheard", Some(format!("{} of your messages are not answered yet", job.unheard)));
    }
    if let Some(escrow) = &job.escrow {
        add("escrow", escrow.otherwise.as_ref().map(|(at, what)| format!("at block {at}: {what}")));
        if let Some(judge) = &escrow.judge {
            let holds = if judge.holds { "holds the secret" } else { "has not spoken yet" };
            add("judge", Some(format!("{}: {holds}", crate::app::npub(&judge.identity))));
            let said = |what: &str, plea: &Option<(Role, crate::text::Clean)>| {
                plea.as_ref().map(|(by, why)| format!("{what} by the {}: {why}", role(*by)))
            };
            add("judge", said("called", &judge.dispute));
            add("judge", said("answered", &judge.objection));
            add("judge", judge.ruling.map(|whose| format!("ruled for the {}", role(whose))));
        }
    }
    for effect in &job.pending {
        let why = effect.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        let state = if effect.parked { "given up" } else { "goes on" };
        add(
            "pending",
            Some(format!("{}, tried {} times, {state}{why}", effect.kind, effect.tries)),
        );
    }
    if let Some((by, verb)) = job.asked.as_ref().filter(|_| !job.phase.is_over()) {
        let id = job.id.short();
        let said = format!("whether {by} may {}: earnest approve {id}", verb.word());
        add("asks you", Some(said));
    }
    for stuck in &job.stuck {
        add("stuck", Some(stuck.clone()));
    }
    for m in &job.materials {
        let whose = if m.from == job.role { "yours" } else { "theirs" };
        let at = m.path.as_ref().map_or("not here yet".to_owned(), |p| p.display().to_string());
        add("input", Some(format!("{}, {} bytes, {whose}: {at}", m.name.or("(no name)"), m.size)));
    }
    if let Some((held, all)) = job.fetched {
        add("fetching", Some(format!("{held} of {all} bytes")));
    }
    if let Some(d) = job.delivery.as_ref().filter(|d| d.manifest.is_some()) {
        let state = match (job.role, d.inspected, &d.output) {
            (Role::Worker, ..) => "signed and announced".to_owned(),
            (_, _, Some(path)) => format!("open: {}", path.display()),
            (_, true, None) => "checked, opens when it is paid".to_owned(),
            (_, false, None) => "being fetched and checked".to_owned(),
        };
        add("delivery", Some(format!("{}, {} bytes, {state}", d.name.or("(no name)"), d.size)));
        let paid = (d.paid > 0).then(|| format!("{} of {} parts", d.paid, job.tranches));
        add("paid", paid);
        add("audit", d.audit.as_ref().map(ToString::to_string));
        for check in &d.checks {
            add("check", Some(check.to_string()));
        }
        add("proof", d.proof.as_ref().map(|path| path.display().to_string()));
    }
    head
}

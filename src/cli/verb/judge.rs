//! `earnest judge`: judging escrows, by a program or by hand.

mod page;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::gigs::wait_for_relays;
use super::jobs::role;
use crate::cli::session::{Session, interrupted, read_bytes, runtime, wait_until};
use crate::cli::{Column, Exit, Failure, Out, log, name};
use crate::engine::{CaseView, Command, GigView, Handle, Snapshot, WalletAnswer, WalletCommand};
use crate::market::{
    CaseId, CasePhase, DETERMINISTIC, Deadlines, EventId, GigDraft, Mode, Msat, Quality, Query,
    Role, Side, Span, Status, Work,
};
use crate::text::{Align, truncate};

/// Judge escrows: hold a copy of a secret, and never a coin.
///
/// Without a subcommand it publishes your listing, if you have none that stands, and judges headless by what
/// can be computed: who delivers in time what opens and passes the checks of the terms is paid. Other verbs
/// find this process and work through it.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Judge {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    listing: Listing,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Publish your listing and run nothing
    Open(Open),
    /// Show the judges that are listed
    List(List),
    /// Show your cases
    Cases(Cases),
    /// Show one case on one page: what both signed, what the files say, until when you rule
    Show(Show),
    /// Rule for the worker, who is then paid, or for the requester, who has the money back
    Rule(Rule),
    /// Write to both sides of a case
    Note(Note),
    /// Send both sides of a case an ordinary invoice for your fee
    Bill(Bill),
}

/// What a listing of yours says.
#[derive(Debug, clap::Args)]
struct Listing {
    /// Your fee, by an ordinary invoice
    #[arg(long, value_name = "SATS", default_value = "100sat")]
    fee: Msat,
    /// A file with your rules, in Markdown; the usual ones if left out
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// For how many days it takes cases
    #[arg(long, value_name = "DAYS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=90))]
    days: u64,
}

#[derive(Debug, clap::Args)]
struct Open {
    #[command(flatten)]
    listing: Listing,
    /// You rule yourself, by reading; nothing is ruled by a program
    #[arg(long)]
    by_hand: bool,
}

#[derive(Debug, clap::Args)]
struct List {
    /// Seconds to wait for relays
    #[arg(long, value_name = "SECONDS", default_value_t = 8)]
    wait: u64,
}

#[derive(Debug, clap::Args)]
struct Cases {
    /// Also those that are over
    #[arg(long)]
    all: bool,
}

#[derive(Debug, clap::Args)]
struct Show {
    /// The case, or the beginning of its id
    case: String,
}

#[derive(Debug, clap::Args)]
struct Rule {
    /// The case, or the beginning of its id
    case: String,
    /// For whom
    whose: Whose,
    /// Why, for both sides to read
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Seconds to wait until it is at a relay; 0 does not wait
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    wait: u64,
}

#[derive(Debug, clap::Args)]
struct Note {
    /// The case, or the beginning of its id
    case: String,
    /// The words
    text: String,
}

#[derive(Debug, clap::Args)]
struct Bill {
    /// The case, or the beginning of its id
    case: String,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Whose {
    /// The work is what was asked for
    Worker,
    /// It is not
    Requester,
}

/// The usual rules of a judge that is a program.
const RULES: &str = "I am a program, and rule by what anybody can compute again.

- I hold a copy of the secret once the money is locked, and never the money.
- Called, I fetch the delivery from the worker, open it with the key that came with it, and run the checks of
  the terms: hash, JSON Schema, rules, WASM.
- The money goes back if the delivery is late, cannot be had, does not open, or fails a check; if the call is
  late; and if it was rejected in time and the terms have no checks.
- I say nothing if a check gives no verdict: then the money goes back by itself.
- Else the worker is paid, once the other side has answered or its time to answer is over.
";

#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Ready {
    listing: EventId,
    judges: bool,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Ruled {
    did: &'static str,
    case: CaseId,
    whose: Role,
    outcome: &'static str,
    phase: CasePhase,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Sent<'a> {
    did: &'static str,
    case: CaseId,
    #[serde(skip_serializing_if = "Option::is_none")]
    invoice: Option<&'a str>,
}

impl Judge {
    pub(crate) fn run(&self, session: &Session, out: &mut Out) -> Result<Exit, Failure> {
        match &self.verb {
            None => self.judge(session, out),
            Some(Verb::Open(verb)) => {
                let listing = publish(session, &verb.listing, verb.by_hand, out)?;
                out.record(&Ready { listing, judges: false })?;
                out.line(&listing.to_string())?;
                out.say("Listed. Cases come in while earnest runs: earnest run")?;
                Ok(Exit::Done)
            }
            Some(Verb::List(verb)) => verb.run(session, out),
            Some(Verb::Cases(verb)) => verb.run(session, out),
            Some(Verb::Show(verb)) => verb.run(session, out),
            Some(Verb::Rule(verb)) => verb.run(session, out),
            Some(Verb::Note(verb)) => verb.run(session, out),
            Some(Verb::Bill(verb)) => verb.run(session, out),
        }
    }

    /// Publishes what it does, then does it until it is told to stop.
    fn judge(&self, session: &Session, out: &mut Out) -> Result<Exit, Failure> {
        session.only_a_person("Judging")?;
        let listing = publish(session, &self.listing, false, out)?;
        let config = session.config()?;
        let keys = session.keys(&config, out)?;
        log::start(&config)?;
        let setup = crate::app::from_config(&config, "earnest judge").map_err(|why| {
            Failure::new(Exit::Usage, "config", format!("{why:#}")).next("earnest config")
        })?;
        out.record(&Ready { listing, judges: true })?;
        out.line(&listing.to_string())?;
        out.say("Judging. Stop it with Ctrl-C; what was begun goes on at the next start.")?;
        let ended = runtime()?.block_on(crate::rpc::run(setup, keys, async {
            interrupted().await;
        }));
        match ended {
            Ok(()) => Ok(Exit::Done),
            Err(why) if crate::rpc::is_taken(&why) => {
                let said = format!("{why:#} It judges there: this listing is deterministic.");
                Err(Failure::new(Exit::Locked, "locked", said).next("earnest judge cases"))
            }
            Err(why) => {
                Err(Failure::new(Exit::Failed, "not-run", format!("{why:#}"))
                    .next("earnest doctor"))
            }
        }
    }
}

/// The listing of ours that stands, or a new one.
fn publish(
    session: &Session,
    listing: &Listing,
    by_hand: bool,
    out: &mut Out,
) -> Result<EventId, Failure> {
    let config = session.config()?;
    if config.relays.is_empty() {
        let said = "No relay is configured, so nobody could appoint you. Nothing was published.";
        return Err(Failure::new(Exit::Usage, "no-relay", said).next("Give --relay URL"));
    }
    let content = match &listing.rules {
        Some(file) => {
            let bytes = read_bytes(file, crate::market::LONGEST_DRAFT)?;
            let text = String::from_utf8(bytes.to_vec());
            text.map_err(|_| Failure::new(Exit::Usage, "bad-rules", "The rules are not text."))?
        }
        None if by_hand => "I read what was asked for and what was delivered, and rule.".to_owned(),
        None => RULES.to_owned(),
    };
    let (title, kinds): (&str, &[&str]) = match by_hand {
        true => ("I judge escrows, by reading", &[]),
        false => (
            "I judge escrows, by what can be computed",
            &[DETERMINISTIC, "hash", "schema", "rules", "wasm"],
        ),
    };
    let draft = GigDraft {
        milestones: Vec::new(),
        title: title.into(),
        summary: "Holds a copy of the secret, and never a coin.".into(),
        content,
        tags: kinds.iter().map(|kind| (*kind).to_owned()).collect(),
        work: Work::Judge,
        modes: vec![Mode::Direct],
        slots: 1,
        price: listing.fee,
        max_bytes: 1,
        deadlines: Deadlines { deliver: Span::DAY, pay: Span::DAY },
        escrow: None,
        quality: Quality::default(),
        pow: 12,
        expires_at: crate::app::now().after(Span::DAY.times(listing.days)),
    };
    session.with_engine(out, "earnest judge", async |handle, out| {
        let now = handle.watch().borrow().clone();
        let stands = now.posts.iter().find(|post| {
            let deterministic = post.gig.tags.iter().any(|tag| tag.as_str() == DETERMINISTIC);
            post.gig.work == Work::Judge
                && post.gig.status == Status::Open
                && crate::app::now() < post.gig.expires_at
                && deterministic != by_hand
        });
        if let Some(post) = stands {
            out.say(
                "Your listing stands already. To say something else, close it first: earnest close",
            )?;
            return Ok(post.gig.id);
        }
        let id = handle.ask(Command::Post { draft, inputs: Vec::new(), key: None }).await?.log;
        let sent = wait_until(handle, Duration::from_secs(30), |now| {
            now.posts.iter().any(|post| post.id == id && post.pending.is_empty())
        })
        .await;
        if !sent {
            out.say("No relay has taken the listing yet. It goes out while earnest runs.")?;
        }
        Ok(id)
    })
}

impl List {
    fn run(&self, session: &Session, out: &mut Out) -> Result<Exit, Failure> {
        let config = session.config()?;
        let query = Query {
            work: Some(Work::Judge),
            side: Some(Side::Service),
            ..Query::everything(config.network)
        };
        let patience = Duration::from_secs(self.wait);
        let page = session.with_engine(out, "earnest judge", async |handle, out| {
            wait_for_relays(handle, patience, out).await?;
            Ok(handle.find(query).await?)
        })?;
        let left = |name| Column { name, align: Align::Left };
        let columns = [left("listing"), left("judge"), left("fee"), left("how"), left("title")];
        let mut rows = Vec::new();
        for gig in page.gigs.iter().map(GigView::of) {
            out.record(&gig)?;
            let deterministic = gig.tags.iter().any(|tag| tag.as_str() == DETERMINISTIC);
            rows.push(vec![
                gig.id.short(),
                name::short(&gig.author),
                gig.price.to_string(),
                if deterministic { "by program" } else { "by hand" }.to_owned(),
                truncate(gig.title.or("(no title)"), 50).into_owned(),
            ]);
        }
        out.table(&columns, &rows, "No judge is listed. Be one: earnest judge")?;
        if !rows.is_empty() {
            out.say("Its rules: earnest show LISTING. Before it: judge = \"LISTING\" in a gig.")?;
        }
        Ok(Exit::Done)
    }
}

impl Cases {
    fn run(&self, session: &Session, out: &mut Out) -> Result<Exit, Failure> {
        session.with_jobs(out, "earnest judge", async |handle, out| {
            let now = handle.watch().borrow().clone();
            let mut cases: Vec<&CaseView> = now.cases.values().map(|case| &**case).collect();
            cases.retain(|case| self.all || !case.phase.is_over());
            // What waits for a ruling stands first, the next due before the others.
            cases.sort_by_key(|case| (case.phase != CasePhase::Disputed, case.rule_by, case.id));
            let left = |name| Column { name, align: Align::Left };
            let columns = [
                left("case"),
                left("stands"),
                left("price"),
                left("called by"),
                left("rule by block"),
                left("title"),
            ];
            let mut rows = Vec::new();
            for case in cases {
                out.record(case)?;
                let by = case.dispute.as_ref().map_or("", |(by, ..)| role(*by));
                rows.push(vec![
                    case.id.short(),
                    case.phase.word().to_owned(),
                    case.price.to_string(),
                    by.to_owned(),
                    case.rule_by.to_string(),
                    truncate(case.title.or("(not in the book)"), 40).into_owned(),
                ]);
            }
            out.table(&columns, &rows, "No case is open. All of them: earnest judge cases --all")?;
            Ok(Exit::Done)
        })
    }
}

/// The case whose id begins so.
fn case(now: &Snapshot, text: &str) -> Result<Arc<CaseView>, Failure> {
    const LIST: &str = "earnest judge cases --all";
    let id = name::beginning(text, LIST)?;
    let fits = |case: &&Arc<CaseView>| {
        case.id.to_string().starts_with(&id) || case.job.to_string().starts_with(&id)
    };
    let found = now.cases.values().filter(fits).map(|case| (case.id, case.clone()));
    name::Found::of(found).only("case", &id, LIST)
}

impl Show {
    fn run(&self, session: &Session, out: &mut Out) -> Result<Exit, Failure> {
        session.with_jobs(out, "earnest judge", async |handle, out| {
            let case = case(&handle.watch().borrow().clone(), &self.case)?;
            out.record(&*case)?;
            page::page(&case, out)?;
            Ok(Exit::Done)
        })
    }
}

impl Rule {
    fn run(&self, session: &Session, out: &mut Out) -> Result<Exit, Failure> {
        let whose = match self.whose {
            Whose::Worker => Role::Worker,
            Whose::Requester => Role::Requester,
        };
        session.with_jobs(out, "earnest judge", async |handle, out| {
            let case = case(&handle.watch().borrow().clone(), &self.case)?;
            let reason = self.reason.clone();
            let receipt = handle.ask(Command::Rule { case: case.id, whose, reason }).await?;
            let ruled = |now: &Arc<Snapshot>| {
                now.cases.get(&case.id).is_some_and(|case| case.facts >= receipt.facts)
            };
            wait_until(handle, Duration::from_secs(5), ruled).await;
            let sent = wait_until(handle, Duration::from_secs(self.wait), |now| now.waiting == 0);
            let sent = self.wait > 0 && sent.await;
            let outcome = if sent { "sent" } else { "committed" };
            let phase = CasePhase::Ruled;
            out.record(&Ruled { did: "rule", case: case.id, whose, outcome, phase })?;
            out.line(&format!(
                "Case {} is ruled for the {}{}. You moved no money.",
                case.id.short(),
                role(whose),
                if sent {
                    ", and both sides can read it"
                } else {
                    "; it goes out while earnest runs"
                },
            ))?;
            Ok(Exit::Done)
        })
    }
}

impl Note {
    fn run(&self, session: &Session, out: &mut Out) -> Result<Exit, Failure> {
        session.with_jobs(out, "earnest judge", async |handle, out| {
            let case = case(&handle.watch().borrow().clone(), &self.case)?;
            handle.ask(Command::CaseNote { case: case.id, text: self.text.clone() }).await?;
            out.record(&Sent { did: "note", case: case.id, invoice: None })?;
            out.line(&format!("Both sides of case {} are told.", case.id.short()))?;
            Ok(Exit::Done)
        })
    }
}

impl Bill {
    fn run(&self, session: &Session, out: &mut Out) -> Result<Exit, Failure> {
        session.with_jobs(out, "earnest judge", async |handle, out| {
            let case = case(&handle.watch().borrow().clone(), &self.case)?;
            let invoice = fee(handle, &case).await?;
            let text = format!("My fee for case {} is {}: {invoice}", case.id.short(), case.fee);
            handle.ask(Command::CaseNote { case: case.id, text }).await?;
            out.record(&Sent { did: "bill", case: case.id, invoice: Some(&invoice) })?;
            out.line(&invoice)?;
            out.say("Both sides have it. Whoever pays it pays an ordinary invoice, and rules nothing by it.")?;
            Ok(Exit::Done)
        })
    }
}

/// An ordinary invoice of this node.
async fn fee(handle: &Handle, case: &CaseView) -> Result<String, Failure> {
    let description = format!("earnest: my fee for case {}", case.id.short());
    let command = WalletCommand::Receive { amount: Some(case.fee), description };
    match handle.wallet(command).await? {
        WalletAnswer::Invoice { invoice, .. } => Ok(invoice),
        _ => Err(Failure::new(Exit::Failed, "no-invoice", "The node made no invoice.")),
    }
}

//! `earnest bot`: runs a policy, says what one would do; what automation may spend, and its brake.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::bot::{Event, Feed, Options, Policy, Template};
use crate::cli::session::Session;
use crate::cli::{Exit, Failure, Out, draft};
use crate::config::Config;
use crate::engine::BudgetView;
use crate::market::{Msat, Span};

/// Run a bot by a policy: as a requester, as a worker, or only to be told of what happens.
///
/// `earnest help bot` shows policies. What bots and agents may spend are settings (`earnest help config`,
/// bot.*) that no policy can pass; `earnest bot stop` stops them all.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Bot {
    /// The policy: TOML
    policy: Option<PathBuf>,
    /// Say for each event what would be done and why, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Look once instead of going on
    #[arg(long, requires = "dry_run")]
    once: bool,
    /// Go on with what an earlier run of this policy has begun
    #[arg(long)]
    resume: bool,
    /// Put results into this folder: files, and results.jsonl with one line each
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(subcommand)]
    act: Option<Act>,
}

#[derive(Debug, clap::Subcommand)]
enum Act {
    /// Say in plain words what a policy does
    Explain {
        /// The policy: TOML
        policy: PathBuf,
    },
    /// Show the limits, and what is spent of them
    Budget,
    /// Stop all bots and agents at once
    Stop {
        /// Why, for whoever looks later
        #[arg(default_value = "")]
        why: String,
    },
    /// Let bots and agents go on
    Start,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Shown<'a> {
    #[serde(flatten)]
    view: &'a BudgetView,
    left: Msat,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Explained {
    name: String,
    sentences: Vec<String>,
}

impl Bot {
    pub(crate) fn run(&self, session: &Session, out: &mut Out) -> Result<Exit, Failure> {
        match (&self.act, &self.policy) {
            (Some(Act::Explain { policy }), _) => explain(policy, session, out),
            (Some(act), _) => look(act, session, out),
            (None, Some(policy)) => self.go(policy, session, out),
            (None, None) => {
                let said = "Name a policy, or say explain, budget, stop or start.";
                Err(Failure::new(Exit::Usage, "usage", said).next("earnest help bot"))
            }
        }
    }

    fn go(&self, path: &Path, session: &Session, out: &mut Out) -> Result<Exit, Failure> {
        let config = session.config()?;
        let policy = read(path, &config)?;
        if let Err(why) = policy.against(&config.bot) {
            return Err(unusable(path, &why.to_string()));
        }
        let queue = policy.requester.as_ref().and_then(|asking| asking.queue.clone());
        let from_stdin = queue.as_ref().is_some_and(|queue| queue.as_os_str() == "-");
        let home = config.network_dir().join("bot").join(name(&policy));
        let json = out.is_json();
        let bar = match std::io::stderr().is_terminal() && !json && !self.dry_run {
            true => bar(),
            false => ProgressBar::hidden(),
        };
        if !self.dry_run && !json {
            out.say(&format!("{} runs. Stop it with Ctrl-C; --resume goes on.", policy.actor))?;
        }
        let ran = session.with_jobs(out, "earnest bot", async |handle, out| {
            let feed = from_stdin.then(|| {
                Feed::start(tokio::io::BufReader::new(tokio::io::stdin()), policy.beside.clone())
            });
            let options = Options {
                home,
                out: self.out.clone(),
                dry: self.dry_run,
                once: self.once,
                resume: self.resume,
                clock: Arc::new(crate::app::SystemClock),
                feed,
            };
            let mut unread: Option<Failure> = None;
            let mut on_event = |event: Event| {
                let said = say(&event, &bar, out);
                unread = unread.take().or(said.err());
            };
            let ran = crate::bot::run(handle, policy.clone(), options, &mut on_event).await;
            match unread {
                Some(failure) => Err(failure),
                None => ran.map_err(|why| unusable(path, &why)),
            }
        })?;
        bar.finish_and_clear();
        out.record(&ran.tally)?;
        if !json && !self.dry_run {
            let t = &ran.tally;
            if t.items > 0 {
                out.line(&format!(
                    "{} of {} items done for {}; {} gigs, {} of them again; {} workers caught; {} items given up.",
                    t.accepted, t.items, t.spent, t.posted, t.reposted, t.caught, t.failed
                ))?;
            }
            if t.earned_jobs > 0 {
                out.line(&format!("{} jobs paid {}.", t.earned_jobs, t.earned))?;
            }
        }
        match ran.queue {
            Some(why) => Err(Failure::new(Exit::Usage, "bad-queue", why)),
            None if ran.tally.failed > 0 => Ok(Exit::Failed),
            None => Ok(Exit::Done),
        }
    }
}

fn name(policy: &Policy) -> String {
    let actor = policy.actor.to_string();
    actor.split_once(':').map_or(actor.clone(), |(_, name)| name.to_owned())
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} done  {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}

/// One line an event, on the terminal above the bar. The bar is told before it is suspended: within, it
/// would wait for itself.
fn say(event: &Event, bar: &ProgressBar, out: &mut Out) -> Result<(), Failure> {
    match event.what {
        "post" => bar.inc_length(1),
        "collect" => bar.inc(1),
        _ => {}
    }
    let quiet = !bar.is_hidden() && matches!(event.what, "post" | "award" | "accept" | "collect");
    if quiet {
        bar.set_message(event.why.clone());
    }
    bar.suspend(|| {
        out.record(event)?;
        if out.is_json() || quiet {
            return Ok(());
        }
        let would = if event.dry { "would " } else { "" };
        let about = match (&event.item, &event.log) {
            (Some(item), Some(log)) => format!(" {item} ({})", log.short()),
            (Some(item), None) => format!(" {item}"),
            (None, Some(log)) => format!(" {}", log.short()),
            (None, None) => String::new(),
        };
        let amount = event.amount.map(|amount| format!(" for {amount}")).unwrap_or_default();
        Ok(out.line(&format!("{would}{}{about}{amount}: {}", event.what, event.why))?)
    })
}

fn unusable(path: &Path, why: &str) -> Failure {
    let said = format!("{}: {why}. Nothing was done.", path.display());
    Failure::new(Exit::Usage, "bad-policy", said).next("earnest help bot")
}

/// Reads a policy and the gig that it names.
fn read(path: &Path, config: &Config) -> Result<Policy, Failure> {
    let failed = |why: std::io::Error| unusable(path, &format!("it cannot be read: {why}"));
    let text = std::fs::read_to_string(path).map_err(failed)?;
    let full = std::path::absolute(path).map_err(failed)?;
    let beside = full.parent().unwrap_or(Path::new("/")).to_owned();
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let gig = |gig: &Path| template(&beside.join(gig));
    Policy::read(&text, &stem, &beside, config.network, gig).map_err(|mistake| {
        let place = mistake.place.map(|(line, column)| format!(":{line}:{column}"));
        let said = format!(
            "{}{}: {}. Nothing was done.",
            path.display(),
            place.unwrap_or_default(),
            mistake.why
        );
        Failure::new(Exit::Usage, "bad-policy", said).next("earnest help bot")
    })
}

fn template(path: &Path) -> Result<Template, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|why| format!("{} cannot be read: {why}", path.display()))?;
    let beside = path.parent().unwrap_or(Path::new("/"));
    let now = crate::app::now();
    let written =
        draft::read(&text, &path.display().to_string(), beside, now).map_err(|failure| {
            failure.message.trim_end_matches(". Nothing was published.").to_owned()
        })?;
    let life = Span(now.until(written.draft.expires_at).0);
    Ok(Template { draft: written.draft, life, inputs: written.inputs })
}

fn explain(path: &Path, session: &Session, out: &mut Out) -> Result<Exit, Failure> {
    let config = session.config()?;
    let policy = read(path, &config)?;
    let mut sentences = crate::bot::explain(&policy, &config.bot);
    if let Err(why) = policy.against(&config.bot) {
        sentences.push(format!("It cannot run as it is: {why}."));
    }
    for sentence in &sentences {
        out.line(sentence)?;
    }
    out.record(&Explained { name: policy.actor.to_string(), sentences })?;
    Ok(Exit::Done)
}

fn look(act: &Act, session: &Session, out: &mut Out) -> Result<Exit, Failure> {
    session.with_engine(out, "earnest bot", async |handle, out| {
        let view = match act {
            Act::Stop { why } => handle.halt(why).await?,
            Act::Start => handle.resume().await?,
            Act::Budget | Act::Explain { .. } => handle.budget().await?,
        };
        out.record(&Shown { view: &view, left: view.left() })?;
        if out.is_json() {
            return Ok(Exit::Done);
        }
        match (act, &view.halted) {
            (Act::Start, _) => out.line("Bots and agents may go on.")?,
            (_, Some(why)) if why.is_empty() => out.line("Bots and agents are stopped.")?,
            (_, Some(why)) => out.line(&format!("Bots and agents are stopped: {why}"))?,
            _ => {}
        }
        for (name, value) in rows(&view) {
            out.line(&format!("{name:<22}{value}"))?;
        }
        for job in &view.waiting {
            out.line(&format!("{:<22}{}", "waits for your word", job.short()))?;
            out.say(&format!("  next: earnest approve {}", job.short()))?;
        }
        Ok(Exit::Done)
    })
}

fn rows(view: &BudgetView) -> Vec<(&'static str, String)> {
    let b = &view.budget;
    let modes: Vec<&str> = b.modes.iter().map(|mode| mode.word()).collect();
    vec![
        ("one job", format!("at most {}", b.per_job)),
        ("alone up to", b.approve_above.to_string()),
        ("promised, not over", format!("{} of {}", view.at_risk, b.at_risk)),
        ("paid in an hour", format!("{} of {}, less what is promised", view.hour, b.per_hour)),
        ("paid in a day", format!("{} of {}, less what is promised", view.day, b.per_day)),
        ("one person in a day", format!("at most {}", b.per_person)),
        ("routing", format!("at most {} ppm and {}", b.fee_ppm, b.fee_base)),
        ("modes", modes.join(", ")),
        ("checks", if b.checks.is_empty() { "any or none".into() } else { b.checks.join(", ") }),
        ("left now", view.left().to_string()),
    ]
}

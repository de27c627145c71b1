//! `earnest sandbox`: everything on real parts, on a local chain, without real money.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::cli::session::{Session, interrupted, runtime};
use crate::cli::{Column, Exit, Failure, Out, log};
use crate::sandbox::{Play, StepTaken, Story, Summary};
use crate::text::Align;

/// Try everything on real parts without real money.
///
/// A chain, a relay and a Lightning service provider of its own, all on this machine.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Sandbox {
    /// List the stories, and the ways each can be broken
    #[arg(long, conflicts_with_all = ["script", "serve"])]
    list: bool,
    /// Play this story; exits 0 only if every assertion in it held
    #[arg(long, value_name = "NAME", conflicts_with = "serve")]
    script: Option<String>,
    /// Run chain, relay and LSP alone, for any earnest to join, until SIGTERM
    #[arg(long)]
    serve: bool,
    /// Where everything is kept; a temporary folder if left out
    #[arg(long, value_name = "DIR", global = true)]
    dir: Option<PathBuf>,
    /// The deliverable; generated if left out
    #[arg(long, value_name = "PATH", requires = "script")]
    file: Option<PathBuf>,
    /// What the job pays, in sats
    #[arg(long, value_name = "SATS", requires = "script")]
    price: Option<u64>,
    /// Makes keys that are the same every time
    #[arg(long, value_name = "N", requires = "script")]
    seed: Option<u64>,
    /// Sabotage one thing that the story guards
    #[arg(long = "break", value_name = "WAY", requires = "script")]
    break_way: Option<String>,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Mine blocks on a served sandbox
    Mine {
        /// How many
        blocks: u32,
    },
    /// Pay coins to an address on a served sandbox; they confirm with the next block
    Fund {
        /// A regtest address
        address: String,
        /// How much
        sats: u64,
    },
}

#[derive(Serialize)]
struct Mined {
    height: u32,
}

#[derive(Serialize)]
struct Funded<'a> {
    txid: &'a str,
}

impl Sandbox {
    pub(crate) fn run(&self, session: &Session, out: &mut Out) -> Result<Exit, Failure> {
        if let Some(action) = &self.action {
            return self.act(action, out);
        }
        if self.list {
            list(out)?;
            return Ok(Exit::Done);
        }
        if self.script.is_none() && !self.serve {
            let said = "Say what to do in the sandbox.";
            return Err(Failure::new(Exit::Usage, "usage", said)
                .next("earnest sandbox --list")
                .next("earnest sandbox --script NAME")
                .next("earnest sandbox --serve --dir DIR"));
        }
        if let Some(dir) = &self.dir {
            log::to_file(&dir.join("earnest.log"), "info")?;
        }
        match &self.script {
            Some(name) => self.play(name, session, out),
            None => self.serve(out),
        }
    }

    fn play(&self, name: &str, session: &Session, out: &mut Out) -> Result<Exit, Failure> {
        let play = Play {
            name: name.to_owned(),
            dir: self.dir.clone(),
            file: self.file.clone(),
            price: self.price,
            relay: session.globals.relay.first().cloned(),
            seed: self.seed,
            break_way: self.break_way.clone(),
        };
        self.check(&play)?;
        // A reader that goes away does not end a story half-way.
        let mut unread = None;
        let mut on_step = |step: StepTaken| {
            let told = out
                .record(&step)
                .and_then(|()| out.line(&format!("{:>7} ms  {}", step.ms, step.step)));
            unread = unread.take().or(told.err());
        };
        let summary = runtime()?.block_on(async {
            tokio::select! {
                summary = crate::sandbox::play(play, &mut on_step) => summary.map_err(|why| broken(&why)),
                failure = interrupted() => Err(failure),
            }
        })?;
        if let Some(error) = unread {
            return Err(error.into());
        }
        out.record(&summary)?;
        tell(&summary, out)?;
        Ok(if summary.ok { Exit::Done } else { Exit::Failed })
    }

    fn check(&self, play: &Play) -> Result<(), Failure> {
        let stories = crate::sandbox::list();
        let Some(story) = stories.iter().find(|story| story.name == play.name) else {
            let names = stories.iter().map(|s| s.name).collect::<Vec<_>>().join(", ");
            let said = format!("There is no story `{}`; there are: {names}.", play.name);
            return Err(Failure::new(Exit::Usage, "no-story", said).next("earnest sandbox --list"));
        };
        match &play.break_way {
            Some(way) if !story.breaks.iter().any(|(name, _)| name == way) => {
                let ways = story.breaks.iter().map(|b| b.0).collect::<Vec<_>>().join(", ");
                let said =
                    format!("`{}` cannot be broken by `{way}`; only by: {ways}.", story.name);
                Err(Failure::new(Exit::Usage, "no-break", said).next("earnest sandbox --list"))
            }
            _ => Ok(()),
        }
    }

    fn serve(&self, out: &mut Out) -> Result<Exit, Failure> {
        let temporary = match &self.dir {
            Some(_) => None,
            None => Some(tempfile::tempdir()?),
        };
        let dir = self.dir.clone().or(temporary.as_ref().map(|t| t.path().to_owned()));
        let dir = dir.unwrap_or_default();
        let mut told = Ok(());
        let at = dir.clone();
        let on_ready = |served: &crate::sandbox::Served| told = ready(served, &at, out);
        let stop = async {
            // Asked to end is how serving ends.
            interrupted().await;
        };
        runtime()?
            .block_on(crate::sandbox::serve(dir, on_ready, stop))
            .map_err(|why| broken(&why))?;
        told.map(|()| Exit::Done)
    }

    fn act(&self, action: &Action, out: &mut Out) -> Result<Exit, Failure> {
        let Some(dir) = &self.dir else {
            let said = "Which sandbox? Name the folder it is served in.";
            return Err(Failure::new(Exit::Usage, "usage", said).next("Give --dir DIR"));
        };
        let runtime = runtime()?;
        match action {
            Action::Mine { blocks } => {
                let height = runtime
                    .block_on(crate::sandbox::mine(dir, *blocks))
                    .map_err(|why| broken(&why))?;
                out.record(&Mined { height })?;
                out.line(&height.to_string())?;
            }
            Action::Fund { address, sats } => {
                let txid = runtime.block_on(crate::sandbox::fund(dir, address, *sats));
                let txid = txid.map_err(|why| broken(&why))?;
                out.record(&Funded { txid: &txid })?;
                out.line(&txid)?;
                out.say(&format!("Next: earnest sandbox mine 1 --dir {}", dir.display()))?;
            }
        }
        Ok(Exit::Done)
    }
}

fn broken(why: &anyhow::Error) -> Failure {
    Failure::new(Exit::Failed, "sandbox", format!("{why:#}"))
}

fn ready(served: &crate::sandbox::Served, dir: &Path, out: &mut Out) -> Result<(), Failure> {
    out.record(served)?;
    let rows = [
        ("relay", served.relay.clone()),
        ("bitcoind", format!("{}:{}", served.bitcoind.host, served.bitcoind.port)),
        ("lsp", served.lsp.clone()),
        ("control", served.control.display().to_string()),
    ];
    for (name, value) in rows {
        out.line(&format!("{name:<9} {value}"))?;
    }
    let at = dir.display();
    Ok(out.say(&format!("Serving. Next: earnest sandbox mine 1 --dir {at}. Ctrl-C ends it."))?)
}

fn list(out: &mut Out) -> Result<(), Failure> {
    let left = |name| Column { name, align: Align::Left };
    let mut rows = Vec::new();
    for story in crate::sandbox::list() {
        out.record(&told_of(&story))?;
        let ways = story.breaks.iter().map(|b| b.0).collect::<Vec<_>>().join(", ");
        rows.push(vec![story.name.to_owned(), story.about.to_owned(), ways]);
    }
    out.table(
        &[left("story"), left("what it shows"), left("can be broken by")],
        &rows,
        "No story.",
    )?;
    Ok(())
}

#[derive(Serialize)]
struct Told {
    name: &'static str,
    about: &'static str,
    breaks: Vec<Way>,
}

#[derive(Serialize)]
struct Way {
    name: &'static str,
    about: &'static str,
}

fn told_of(story: &Story) -> Told {
    let breaks = story.breaks.iter().map(|&(name, about)| Way { name, about }).collect();
    Told { name: story.name, about: story.about, breaks }
}

fn tell(summary: &Summary, out: &mut Out) -> Result<(), Failure> {
    for claim in &summary.asserts {
        match claim.ok {
            true => out.line(&format!("     held  {}", claim.name))?,
            false => out.line(&format!(
                "   FAILED  {}: wanted {}, saw {}",
                claim.name, claim.want, claim.saw
            ))?,
        }
    }
    let held = summary.asserts.iter().filter(|claim| claim.ok).count();
    let all = summary.asserts.len();
    out.line(&format!("{held} of {all} claims held, in {} ms.", summary.total_ms))?;
    Ok(())
}

//! `earnest sandbox`: everything on real parts, on a local chain, without real money.

mod fronts;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc::Receiver;

use crate::cli::session::{Session, interrupted, runtime};
use crate::cli::{Column, Exit, Failure, Out, log};
use crate::sandbox::{Market, MarketSetup, Pace, Places, Play, Point, StepTaken, Story, Summary};
use crate::text::Align;
use crate::tui::{Ended, Wanted};

/// Try everything on real parts without real money.
///
/// A chain, a relay and a Lightning service provider of its own, all on this machine, and people who post gigs,
/// bid, work and pay. You come with nothing; what happens is told line by line until Ctrl-C.
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
    /// With --serve: people, too, and a place for a newcomer
    #[arg(long, requires = "serve")]
    people: bool,
    /// About so many seconds between two gigs of the people
    #[arg(long, value_name = "SECONDS", conflicts_with = "script", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pace: Option<u64>,
    /// Where everything is kept; a temporary folder if left out
    #[arg(long, value_name = "DIR", global = true)]
    dir: Option<PathBuf>,
    /// The deliverable; generated if left out
    #[arg(long, value_name = "PATH", requires = "script")]
    file: Option<PathBuf>,
    /// What the job pays, in sats
    #[arg(long, value_name = "SATS", requires = "script")]
    price: Option<u64>,
    /// Makes keys, gigs and tempers that are the same every time
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// How many jobs, in a story of many
    #[arg(long, value_name = "N", requires = "script", value_parser = clap::value_parser!(u32).range(2..=1000))]
    jobs: Option<u32>,
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
    /// Be a party of a story, as a process of its own
    #[command(hide = true)]
    Party {
        /// Which one
        name: String,
        /// Where the story says where everything is
        #[arg(long, value_name = "FILE")]
        ground: PathBuf,
        /// Stop dead there, and say so
        #[arg(long, value_name = "POINT")]
        halt_at: Option<Point>,
    },
}

#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Mined {
    height: u32,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Funded<'a> {
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
        if let Some(dir) = &self.dir {
            log::to_file(&dir.join("earnest.log"), "info")?;
        }
        match &self.script {
            Some(name) => self.play(name, session, out),
            None if self.serve && !self.people => self.serve(out),
            None => self.live(session, out),
        }
    }

    /// The living market.
    fn live(&self, session: &Session, out: &mut Out) -> Result<Exit, Failure> {
        let temporary = match &self.dir {
            Some(_) => None,
            None => Some(tempfile::Builder::new().prefix("earnest-sandbox-").tempdir()?),
        };
        let dir = self.dir.clone().or(temporary.as_ref().map(|t| t.path().to_owned()));
        let pace = self.pace.map(|secs| Pace::of(Duration::from_secs(secs))).unwrap_or_default();
        let setup = MarketSetup {
            dir: dir.unwrap_or_default(),
            seed: self.seed,
            relay: session.globals.relay.first().cloned(),
            pace,
        };
        runtime()?.block_on(async {
            let mut stop = pin!(interrupted());
            let market = tokio::select! {
                biased;
                // An opening that is cut short leaves nothing that the next one does not put right.
                failure = &mut stop => return Err(failure),
                market = Market::start(setup) => market.map_err(|why| broken(&why))?,
            };
            let told = match self.serve {
                true => {
                    let told = settled(market.places(), out);
                    stop.await;
                    told
                }
                // The screen hears signals itself, and has the terminal to put back.
                false if session.may_show() => visit(&market, out).await,
                false => {
                    let told = welcome(market.places(), temporary.is_some(), out);
                    tokio::select! {
                        told = stream(&market, told, out) => told,
                        _ = stop => Ok(()),
                    }
                }
            };
            let stopped = market.stop().await.map_err(|why| broken(&why));
            told.and(stopped).map(|()| Exit::Done)
        })
    }

    fn play(&self, name: &str, session: &Session, out: &mut Out) -> Result<Exit, Failure> {
        // It outlives the runtime: a story that is interrupted has nodes that still write.
        let temporary = match self.dir {
            Some(_) => None,
            None => Some(tempfile::Builder::new().prefix("earnest-sandbox-").tempdir()?),
        };
        let play = Play {
            name: name.to_owned(),
            dir: temporary.as_ref().map(|made| made.path().to_owned()).or(self.dir.clone()),
            file: self.file.clone(),
            price: self.price,
            relay: session.globals.relay.first().cloned(),
            seed: self.seed,
            jobs: self.jobs,
            break_way: self.break_way.clone(),
            exe: None,
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
                summary = crate::sandbox::play_with(play, Some(&fronts::Ours), &mut on_step) => summary.map_err(|why| broken(&why)),
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
            .block_on(crate::sandbox::serve(dir, self.seed, on_ready, stop))
            .map_err(|why| broken(&why))?;
        told.map(|()| Exit::Done)
    }

    fn act(&self, action: &Action, out: &mut Out) -> Result<Exit, Failure> {
        if let Action::Party { name, ground, halt_at } = action {
            // Whoever waits for it reads its stdout, and kills it then.
            let on_halt = || drop(std::io::stdout().write_all(b"halted\n"));
            let stop = async {
                interrupted().await;
            };
            let party = crate::sandbox::be_party(ground, name, *halt_at, on_halt, stop);
            runtime()?.block_on(party).map_err(|why| broken(&why))?;
            return Ok(Exit::Done);
        }
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
            Action::Party { .. } => {}
        }
        Ok(Exit::Done)
    }
}

/// The screen, as the newcomer.
async fn visit(market: &Market, out: &mut Out) -> Result<(), Failure> {
    let Places { newcomer, .. } = market.places();
    let config = newcomer.config().map_err(|why| broken(&why))?;
    let keys = newcomer.keys().map_err(|why| broken(&why))?;
    let setup = crate::app::from_config(&config, "earnest sandbox").map_err(|why| broken(&why))?;
    let (faucet, wanted) = tokio::sync::mpsc::channel(1);
    let options = crate::tui::Options {
        network: config.network,
        settings: Some(newcomer.data_dir.join("screen.toml")),
        themes: Some(newcomer.data_dir.join("themes")),
        banner: Some("sandbox: play money"),
        lsp_fee_cap: (u64::from(config.fees.lsp_ppm_max), crate::app::MOST_LSP_FEE),
        lsp: config.lsp.as_ref().map(crate::config::Lsp::peer),
        faucet: Some(faucet),
    };
    let ended = tokio::select! {
        ended = crate::tui::run(crate::rpc::open(setup, keys), options) => ended,
        ended = pour(market, wanted) => ended,
    };
    if let Some(door) = ended.door {
        out.say("Closing the market.")?;
        door.leave().await.map_err(|why| broken(&why))?;
    }
    ended.why.map_err(|why| broken(&why))
}

/// Gives play money for as long as anybody looks; it never ends by itself.
async fn pour(market: &Market, mut wanted: Receiver<Wanted>) -> Ended {
    while let Some(Wanted { address, sats, given }) = wanted.recv().await {
        let poured = market.fund(&address, sats).await;
        let said = poured.map_err(|why| format!("The faucet gave nothing: {why:#}"));
        // Whoever asked may have left.
        let _ = given.send(said);
    }
    std::future::pending().await
}

/// One line for everything that happens, until nobody reads any more.
async fn stream(market: &Market, told: Result<(), Failure>, out: &mut Out) -> Result<(), Failure> {
    told?;
    let mut happenings = market.happenings();
    loop {
        match happenings.recv().await {
            Ok(happening) => {
                out.record(&happening)?;
                out.line(&format!("{}.", happening.text.trim_end_matches('.')))?;
            }
            Err(RecvError::Lagged(missed)) => out.say(&format!("({missed} lines were missed.)"))?,
            Err(RecvError::Closed) => return Ok(()),
        }
    }
}

/// What programs read first.
fn settled(places: &Places, out: &mut Out) -> Result<(), Failure> {
    out.record(places)?;
    let Places { served, newcomer } = places;
    for (name, value) in [
        ("relay", served.relay.clone()),
        ("bitcoind", format!("{}:{}", served.bitcoind.host, served.bitcoind.port)),
        ("lsp", served.lsp.clone()),
        ("control", served.control.display().to_string()),
        ("newcomer", newcomer.data_dir.display().to_string()),
    ] {
        out.line(&format!("{name:<9} {value}"))?;
    }
    Ok(out.say("Serving, with people. Ctrl-C ends it.")?)
}

/// What a newcomer reads first.
fn welcome(places: &Places, temporary: bool, out: &mut Out) -> Result<(), Failure> {
    let Places { newcomer, served } = places;
    let at = newcomer.data_dir.display();
    let dir = served.control.parent().unwrap_or(Path::new("."));
    out.say(&format!(
        "A market of your own, without real money. You are {} and own nothing yet; your keys lie in {at}, \
         not encrypted.\nIn another shell: earnest gigs --data-dir {at}\nCoins for a wallet: earnest \
         sandbox fund ADDRESS SATS --dir {}\nCtrl-C ends it{}.",
        newcomer.npub,
        dir.display(),
        if temporary { " and removes all of it; with --dir DIR it is kept" } else { "" }
    ))?;
    Ok(())
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

#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Told {
    name: &'static str,
    about: &'static str,
    breaks: Vec<Way>,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Way {
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

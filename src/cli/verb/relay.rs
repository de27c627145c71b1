//! `earnest relay`: a relay for operators, until it is told to stop.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use crate::cli::session::{Session, interrupted, read_bytes, runtime};
use crate::cli::{Exit, Failure, Out, log};
use crate::relay::{DEFAULT, Settings, Wall};
use crate::rpc::Notifier;

/// The longest file of settings.
const LONGEST: u64 = 1 << 20;

/// Run a relay for gigs.
///
/// Listings, first contacts and job channels are kept on disk for as long as they stand, everything else
/// is refused. Needs no keys and no wallet. `earnest relay --print-config` is a file to begin with.
#[derive(Debug, clap::Args)]
pub(crate) struct Relay {
    /// The file with its settings; the defaults if left out
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print the settings that the file comes to, or a file to begin with; run nothing
    #[arg(long)]
    print_config: bool,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Ready<'a> {
    relay: &'a str,
    dir: &'a Path,
}

impl Relay {
    pub(crate) fn run(&self, _: &Session, out: &mut Out) -> Result<Exit, Failure> {
        let settings = match &self.config {
            Some(file) => settings(file)?,
            None => Settings::default(),
        };
        if self.print_config {
            out.record(&settings)?;
            match &self.config {
                Some(_) => out.line(settings.to_toml().trim_end())?,
                None => out.line(DEFAULT.trim_end())?,
            }
            return Ok(Exit::Done);
        }
        log::to_file(&settings.storage.dir.join("relay.log"), "info")?;
        let config = settings.config(Arc::new(Wall));
        let manager = Notifier::from_env();
        let mut told = Ok(());
        let on_ready = |relay: &crate::relay::Relay| {
            let url = relay.url();
            manager.say("READY=1");
            told = out
                .record(&Ready { relay: &url, dir: &settings.storage.dir })
                .and_then(|()| out.line(&url))
                .and_then(|()| {
                    out.say("The relay runs. Stop it with Ctrl-C; what it took is kept.")
                });
        };
        let stop = async {
            let beat = async {
                let Some(beat) = manager.beat() else { return std::future::pending().await };
                loop {
                    manager.say("WATCHDOG=1");
                    tokio::time::sleep(beat).await;
                }
            };
            tokio::select! {
                // Asked to end is how a relay ends.
                _ = interrupted() => {}
                () = beat => {}
            }
            manager.say("STOPPING=1");
        };
        runtime()?
            .block_on(crate::relay::serve(config, on_ready, stop))
            .map_err(|why| Failure::new(Exit::Failed, "not-run", format!("{why:#}.")))?;
        Ok(told.map(|()| Exit::Done)?)
    }
}

/// Reads a file of settings.
pub(super) fn settings(file: &Path) -> Result<Settings, Failure> {
    let bytes = read_bytes(file, LONGEST)?;
    let at = file.display();
    let wrong = |why: &str| {
        Failure::new(Exit::Usage, "bad-config", format!("{at}: {why}."))
            .next("earnest relay --print-config shows every setting")
    };
    let text = std::str::from_utf8(&bytes).map_err(|_| wrong("this is not text"))?;
    Settings::read(text).map_err(|error| wrong(&error.to_string()))
}

//! `earnest run`: owns the engine without a screen, so that jobs go on; every other verb joins it.

use crate::cli::session::{Session, interrupted, runtime};
use crate::cli::{Exit, Failure, Out, log};

/// Keep jobs going without a screen, until it is told to stop.
///
/// Other verbs find this process and work through it. Tells systemd when it is ready.
#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// Print a systemd user unit for this program instead of running
    #[arg(long)]
    print_unit: bool,
}

impl Run {
    pub(crate) fn run(&self, session: &Session, out: &mut Out) -> Result<Exit, Failure> {
        if self.print_unit {
            let program = std::env::current_exe()?;
            out.line(crate::rpc::unit(&program).trim_end())?;
            return Ok(Exit::Done);
        }
        session.only_a_person("Running earnest")?;
        let config = session.config()?;
        let keys = session.keys(&config, out)?;
        log::start(&config)?;
        let setup = crate::app::from_config(&config, "earnest run").map_err(|why| {
            Failure::new(Exit::Usage, "config", format!("{why:#}")).next("earnest config")
        })?;
        out.say("Running. Stop it with Ctrl-C; what was begun goes on at the next start.")?;
        let ended = runtime()?.block_on(crate::rpc::run(setup, keys, async {
            interrupted().await;
        }));
        match ended {
            Ok(()) => Ok(Exit::Done),
            Err(why) if crate::rpc::is_taken(&why) => {
                Err(Failure::new(Exit::Locked, "locked", format!("{why:#}")))
            }
            Err(why) => {
                Err(Failure::new(Exit::Failed, "not-run", format!("{why:#}"))
                    .next("earnest doctor"))
            }
        }
    }
}

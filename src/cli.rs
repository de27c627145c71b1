//! The command line: one clap tree, one file a verb. Data on stdout, talk on stderr, and the exit status
//! tells what happened.
//!
//! The rule: a verb never requires a prompt, never prints a secret that was not asked for, and says of
//! every failure whether money moved and what to do next.

mod args;
mod complete;
mod deed;
mod draft;
mod failure;
mod log;
mod name;
mod out;
mod schema;
mod session;
mod verb;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser as _};

use args::Args;
use session::Session;

pub use failure::{Exit, Failure, Money};
pub use out::{Column, Out};

/// Runs the command of this process and answers what it exits with.
pub fn main() -> ExitCode {
    // Asked by a shell, it completes and ends here.
    complete::of_shell();
    let given: Vec<_> = std::env::args_os().collect();
    let json = given.iter().take_while(|a| *a != "--").any(|a| a == "--json");
    match Args::try_parse_from(given) {
        Ok(args) => {
            let mut out = Out::of_process(args.globals.json);
            let session = Session::new(args.globals);
            let ended = match args.verb {
                Some(verb) => verb.run(&session, &mut out),
                None if session.may_show() => session.screen(&mut out),
                None => return no_command(json),
            };
            match ended {
                Ok(exit) => exit.into(),
                Err(failure) => out.fail(&failure),
            }
        }
        Err(error) => not_a_command(&error, json),
    }
}

/// Nothing was asked, and there is no terminal to open a screen on.
fn no_command(json: bool) -> ExitCode {
    let mut out = Out::of_process(json);
    if json {
        let failure = Failure::new(Exit::Usage, "usage", "Say what to do.").next("earnest --help");
        return out.fail(&failure);
    }
    let help = Args::command().render_help().to_string();
    // There is no third stream on which to say that the second is closed.
    drop(out.say(help.trim_end()));
    Exit::Usage.into()
}

/// Help and version are answers; anything else is a mistake, said in the form that was asked for.
fn not_a_command(error: &clap::Error, json: bool) -> ExitCode {
    let said = error.render().to_string();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let mut out = Out::of_process(false);
            match out.line(said.trim_end()) {
                Ok(()) => Exit::Done.into(),
                Err(error) => out.fail(&error.into()),
            }
        }
        _ => {
            let said = said.trim().strip_prefix("error: ").unwrap_or(said.trim());
            Out::of_process(json).fail(&Failure::new(Exit::Usage, "usage", said))
        }
    }
}

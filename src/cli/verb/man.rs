//! `earnest man`: the manual, made from the very tree that reads the command line.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory as _};
use clap_mangen::Man as Page;
use serde::Serialize;

use crate::cli::args::Args;
use crate::cli::session::Session;
use crate::cli::verb::help::EXIT_CODES;
use crate::cli::{Exit, Failure, Out};

/// Print the manual page, or write one for each verb.
///
/// earnest man | man -l -    shows it; earnest man --out DIR writes earnest.1, earnest-post.1 and so on.
#[derive(Debug, clap::Args)]
pub(crate) struct Man {
    /// Write a page for each verb into this directory
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Written<'a> {
    page: &'a Path,
}

impl Man {
    pub(crate) fn run(&self, _: &Session, out: &mut Out) -> Result<Exit, Failure> {
        let mut root = Args::command();
        root.build();
        let Some(dir) = &self.out else {
            print(&String::from_utf8_lossy(&whole(root)?))?;
            return Ok(Exit::Done);
        };
        let failed = |at: &Path, why: io::Error| {
            Failure::new(Exit::Failed, "io", format!("{} cannot be written: {why}.", at.display()))
        };
        std::fs::create_dir_all(dir).map_err(|why| failed(dir, why))?;
        for (name, command) in pages(root, "") {
            let at = dir.join(format!("{name}.1"));
            let text = if name == "earnest" { whole(command)? } else { page(command)? };
            std::fs::write(&at, text).map_err(|why| failed(&at, why))?;
            out.record(&Written { page: &at })?;
            out.line(&at.display().to_string())?;
        }
        Ok(Exit::Done)
    }
}

/// Every command with its whole name: earnest, earnest-wallet, earnest-wallet-pay.
fn pages(command: Command, before: &str) -> Vec<(String, Command)> {
    let name = match before {
        "" => command.get_name().to_owned(),
        before => format!("{before}-{}", command.get_name()),
    };
    let below: Vec<Command> =
        command.get_subcommands().filter(|below| is_ours(below, before)).cloned().collect();
    let mut all = vec![(name.clone(), command)];
    all.extend(below.into_iter().flat_map(|below| pages(below, &name)));
    all
}

/// Not the `help` that clap puts below every verb that has verbs.
fn is_ours(below: &Command, before: &str) -> bool {
    before.is_empty() || below.get_name() != "help"
}

/// The page of the program itself, which also says what its exit status means.
fn whole(command: Command) -> io::Result<Vec<u8>> {
    let mut text = page(command)?;
    writeln!(text, ".SH \"EXIT STATUS\"")?;
    for (exit, meaning) in EXIT_CODES {
        writeln!(text, ".TP\n\\fB{}\\fR\n{meaning}", exit.status())?;
    }
    Ok(text)
}

fn page(command: Command) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    Page::new(command).render(&mut text)?;
    Ok(text)
}

/// For a program to read: byte for byte, to a reader that may have gone.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    Ok(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())?)
}

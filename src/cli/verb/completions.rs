//! `earnest completions`: what a shell needs to finish a command.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::cli::args::Args;
use crate::cli::session::Session;
use crate::cli::{Exit, Failure, Out};

/// Print completions for a shell.
///
/// bash: earnest completions bash > ~/.local/share/bash-completion/completions/earnest
/// zsh: earnest completions zsh > "${fpath[1]}/_earnest"
/// fish: earnest completions fish > ~/.config/fish/completions/earnest.fish
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Completions {
    /// Which shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(&self, _: &Session, _: &mut Out) -> Result<Exit, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Args::command(), "earnest", &mut script);
        // A script is for a shell, whoever asked for it.
        let script = String::from_utf8_lossy(&script);
        super::man::print(&script)?;
        Ok(Exit::Done)
    }
}

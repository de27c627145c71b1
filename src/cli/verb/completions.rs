//! `earnest completions`: what a shell needs to finish a command.

use clap_complete::Shell;
use clap_complete::env::Shells;

use crate::cli::session::Session;
use crate::cli::{Exit, Failure, Out, complete};

/// Print completions for a shell.
///
/// bash: earnest completions bash > ~/.local/share/bash-completion/completions/earnest
/// zsh: earnest completions zsh > "${fpath[1]}/_earnest"
/// fish: earnest completions fish > ~/.config/fish/completions/earnest.fish
///
/// The shell then asks earnest itself: ids of jobs and gigs and people are completed, too, while
/// one runs.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Completions {
    /// Which shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(&self, _: &Session, _: &mut Out) -> Result<Exit, Failure> {
        let name = self.shell.to_string();
        let unknown = || Failure::new(Exit::Usage, "no-shell", "That shell is not known.");
        let builtins = Shells::builtins();
        let shell = builtins.completer(&name).ok_or_else(unknown)?;
        let mut script = Vec::new();
        shell.write_registration(complete::VAR, "earnest", "earnest", "earnest", &mut script)?;
        // A script is for a shell, whoever asked for it.
        super::man::print(&String::from_utf8_lossy(&script))?;
        Ok(Exit::Done)
    }
}

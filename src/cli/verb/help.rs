//! `earnest help`: a verb, or a topic.

use clap::CommandFactory as _;

use crate::cli::args::Args;
use crate::cli::session::Session;
use crate::cli::{Column, Exit, Failure, Out};
use crate::config::KEYS;
use crate::market::DRAFT_TEMPLATE as TEMPLATE;
use crate::text::Align;

/// Explain a verb or a topic.
///
/// Topics: exit-codes, config.
#[derive(Debug, clap::Args)]
pub(crate) struct Help {
    /// A verb, or exit-codes, or config
    topic: Vec<String>,
}

const EXIT_CODES: &[(Exit, &str)] = &[
    (Exit::Done, "done"),
    (Exit::Failed, "failed"),
    (Exit::Usage, "the command or the configuration is wrong"),
    (Exit::Refused, "the market refuses; the code on stderr says why"),
    (Exit::NotFound, "there is no such thing"),
    (Exit::Funds, "needs funds or liquidity"),
    (Exit::Offline, "offline or out of time; safe to do again"),
    (Exit::Locked, "another process owns the data"),
    (Exit::Interrupted, "interrupted"),
];

impl Help {
    pub(crate) fn run(&self, session: &Session, out: &mut Out) -> Result<Exit, Failure> {
        match self.topic.first().map(String::as_str) {
            Some("exit-codes") => exit_codes(out)?,
            Some("config") => settings(out)?,
            // Help is for people, whoever asked for it.
            _ => self.verb(session, &mut Out::of_process(false))?,
        }
        Ok(Exit::Done)
    }

    fn verb(&self, _: &Session, out: &mut Out) -> Result<(), Failure> {
        let mut root = Args::command();
        root.build();
        let mut command = &mut root;
        for name in &self.topic {
            let known: Vec<String> =
                command.get_subcommands().map(|c| c.get_name().to_owned()).collect();
            let unknown = || {
                let said = format!("There is no help about `{name}`.");
                let topics =
                    format!("There is help about {}, exit-codes, config", known.join(", "));
                Failure::new(Exit::Usage, "no-topic", said).next(topics)
            };
            command = command.find_subcommand_mut(name).ok_or_else(unknown)?;
        }
        let text = command.render_long_help().to_string();
        out.line(text.trim_end())?;
        if self.topic == ["post"] {
            out.line("\nA gig is written like this:\n")?;
            out.line(TEMPLATE.trim_end())?;
        }
        Ok(())
    }
}

fn exit_codes(out: &mut Out) -> Result<(), Failure> {
    let columns = [
        Column { name: "status", align: Align::Right },
        Column { name: "meaning", align: Align::Left },
    ];
    let mut rows = Vec::new();
    for (exit, meaning) in EXIT_CODES {
        let status = exit.status();
        out.record(&serde_json::json!({"status": status, "meaning": meaning}))?;
        rows.push(vec![status.to_string(), (*meaning).to_owned()]);
    }
    Ok(out.table(&columns, &rows, "")?)
}

fn settings(out: &mut Out) -> Result<(), Failure> {
    let left = |name| Column { name, align: Align::Left };
    let mut rows = Vec::new();
    for key in KEYS {
        out.record(&serde_json::json!({"key": key.name, "env": key.env(), "about": key.about}))?;
        rows.push(vec![key.name.to_owned(), key.env(), key.about.to_owned()]);
    }
    out.table(&[left("setting"), left("environment"), left("what it sets")], &rows, "")?;
    let said = "In config.toml, in the environment, or with --set KEY=VALUE; the last wins.";
    Ok(out.say(said)?)
}

//! `earnest help`: a verb, or a topic.

use clap::CommandFactory as _;
use serde::Serialize;

use crate::cli::args::Args;
use crate::cli::session::Session;
use crate::cli::{Column, Exit, Failure, Out};
use crate::config::KEYS;
use crate::market::{DRAFT_TEMPLATE as TEMPLATE, Phase};
use crate::text::Align;

/// Explain a verb or a topic.
///
/// Topics: exit-codes, config, phases, json.
#[derive(Debug, clap::Args)]
pub(crate) struct Help {
    /// A verb, or exit-codes, config, phases or json
    topic: Vec<String>,
}

/// What each exit status means: stable across versions.
pub(super) const EXIT_CODES: &[(Exit, &str)] = &[
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

/// Where a job can stand, what it means and who acts next.
const PHASES: &[(Phase, &str, &str)] = &[
    (Phase::Bid, "a bid waits for an answer", "requester: award, decline; worker: withdraw"),
    (Phase::Working, "awarded: the worker works", "worker: deliver"),
    (Phase::Delivered, "a delivery is here or on its way", "requester: accept, reject"),
    (Phase::Disputed, "in escrow: the judge was called", "the other side: object; the judge rules"),
    (Phase::Accepted, "the worker's node is asked for the bill", "nobody: it goes on by itself"),
    (Phase::Paying, "a payment is on its way; only the node ends it", "nobody"),
    (Phase::Reached, "a milestone is paid; the next begins by itself", "either may: cancel"),
    (Phase::Settled, "paid and opened; the end", "both: rate"),
    (Phase::Declined, "the requester said no; an award can still come", "nobody"),
    (Phase::Withdrawn, "the worker took the bid back; the end", "nobody"),
    (Phase::Cancelled, "one side stopped it; the end", "both: rate"),
    (Phase::Expired, "a deadline passed; the end", "both: rate"),
    (Phase::Cheated, "a paid key did not open what was signed; the end", "both: rate"),
];

/// What a program that reads our JSON must know.
const JSON: &str = "\
Every record is one line on stdout, an object with \"v\":1 first. A failure is one line on stderr:

  {\"v\":1,\"code\":...,\"message\":...,\"money\":...,\"next\":[...]}

  code     stable; what the market refuses has the market's code (wrong-phase, not-your-role, ...)
  message  for people; may change
  money    untouched, held (in an HTLC: it ends paid or back) or spent
  next     commands or actions that come next, best first

A verb on a job ends in one record as soon as it is committed, whatever comes of it then:

  {\"v\":1,\"did\":...,\"job\":...,\"outcome\":...,\"phase\":...,\"money\":...,\"next\":[...]}

  outcome  sent, announced, paid: what the verb waits for has come
           committed: --wait 0 did not wait for it
           not-yet-sent, not-yet-sealed, not-yet-paid: it goes on while earnest runs (status 6)
           relays-refuse, not-sealed, not-paid, cheated: it will not (status 1)
  amount, fee, file where there are any

Amounts are millisatoshis as decimal text, times are seconds since 1970, ids and keys are lower-case hex.
What strangers wrote is cleaned of everything that could steer a terminal. Fields may be added.
`earnest schema VERB` prints the JSON Schema of what a verb prints.";

/// An exit status.
#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Status {
    meaning: &'static str,
    status: u8,
}

/// Where a job can stand.
#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Stand {
    meaning: &'static str,
    next: &'static str,
    phase: &'static str,
}

/// A topic that is one text.
#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Topic {
    text: &'static str,
    topic: &'static str,
}

/// A setting.
#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Setting {
    about: &'static str,
    env: String,
    key: &'static str,
}

impl Help {
    pub(crate) fn run(&self, session: &Session, out: &mut Out) -> Result<Exit, Failure> {
        match self.topic.first().map(String::as_str) {
            Some("exit-codes") => exit_codes(out)?,
            Some("config") => settings(out)?,
            Some("phases") => phases(out)?,
            Some("json") => json(out)?,
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
                let topics = format!(
                    "There is help about {}, exit-codes, config, phases, json",
                    known.join(", ")
                );
                Failure::new(Exit::Usage, "no-topic", said).next(topics)
            };
            command = command.find_subcommand_mut(name).ok_or_else(unknown)?;
        }
        let text = command.render_long_help().to_string();
        out.line(text.trim_end())?;
        if self.topic == ["bot"] {
            out.line("\nA policy is written like this:\n")?;
            out.line(crate::bot::EXAMPLE.trim_end())?;
        }
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
        out.record(&Status { status, meaning })?;
        rows.push(vec![status.to_string(), (*meaning).to_owned()]);
    }
    Ok(out.table(&columns, &rows, "")?)
}

fn phases(out: &mut Out) -> Result<(), Failure> {
    let left = |name| Column { name, align: Align::Left };
    let mut rows = Vec::new();
    for (phase, meaning, next) in PHASES {
        let phase = phase.word();
        out.record(&Stand { phase, meaning, next })?;
        rows.push(vec![phase.to_owned(), (*meaning).to_owned(), (*next).to_owned()]);
    }
    Ok(out.table(&[left("stands"), left("what it means"), left("who acts next")], &rows, "")?)
}

fn json(out: &mut Out) -> Result<(), Failure> {
    out.record(&Topic { topic: "json", text: JSON })?;
    Ok(out.line(JSON)?)
}

fn settings(out: &mut Out) -> Result<(), Failure> {
    let left = |name| Column { name, align: Align::Left };
    let mut rows = Vec::new();
    for key in KEYS {
        out.record(&Setting { key: key.name, env: key.env(), about: key.about })?;
        rows.push(vec![key.name.to_owned(), key.env(), key.about.to_owned()]);
    }
    out.table(&[left("setting"), left("environment"), left("what it sets")], &rows, "")?;
    let said = "In config.toml, in the environment, or with --set KEY=VALUE; the last wins.";
    Ok(out.say(said)?)
}

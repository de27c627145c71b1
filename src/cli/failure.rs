//! How a verb ends: an exit status, and for people and programs the same words about it.

use std::borrow::Cow;
use std::io::{self, ErrorKind};
use std::process::ExitCode;

use serde::Serialize;

use crate::config;

/// How a verb ended, for the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: done.
    Done,
    /// 1: failed.
    Failed,
    /// 2: the command or the configuration is wrong.
    Usage,
    /// 3: the market refuses; the code says why.
    Refused,
    /// 4: there is no such thing.
    NotFound,
    /// 5: needs funds or liquidity.
    Funds,
    /// 6: offline or out of time; safe to do again.
    Offline,
    /// 7: another process owns the data.
    Locked,
    /// 130: interrupted.
    Interrupted,
}

impl Exit {
    /// The status that the shell sees.
    pub fn status(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Refused => 3,
            Self::NotFound => 4,
            Self::Funds => 5,
            Self::Offline => 6,
            Self::Locked => 7,
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.status().into()
    }
}

/// What happened to the money that a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Money {
    /// Nothing moved.
    Untouched,
    /// Locked in an HTLC: it ends paid or back.
    Held,
    /// Paid.
    Spent,
}

/// Why a verb did not do what was asked: what happened, is the money safe, what now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Stable, kebab-case: for programs.
    pub code: Cow<'static, str>,
    /// What happened: for people.
    pub message: String,
    /// Where the money is.
    pub money: Money,
    /// Commands or actions that come next, best first.
    pub next: Vec<String>,
    /// What the shell sees.
    pub exit: Exit,
}

impl Failure {
    /// A failure with the money untouched and nothing to suggest.
    pub fn new(exit: Exit, code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        let (code, message) = (code.into(), message.into());
        Self { code, message, money: Money::Untouched, next: Vec::new(), exit }
    }

    /// With money somewhere else than where it was.
    #[must_use]
    pub fn money(mut self, money: Money) -> Self {
        self.money = money;
        self
    }

    /// With one more thing to do next.
    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next.push(next.into());
        self
    }

    /// Nothing to say, and nobody to hear it.
    pub(super) fn is_reader_gone(&self) -> bool {
        self.code == READER_GONE
    }

    /// What to say about the money; nothing where nobody would wonder.
    pub(super) fn about_money(&self) -> Option<&'static str> {
        match (self.money, self.exit) {
            (Money::Held, _) => Some("Money is locked: it will end paid or come back by itself."),
            (Money::Spent, _) => Some("Money was paid."),
            (_, Exit::Refused | Exit::Funds | Exit::Offline | Exit::Interrupted) => {
                Some("No money moved.")
            }
            _ => None,
        }
    }
}

/// The code of the failure that is none: the reader has gone (`| head`).
const READER_GONE: &str = "reader-gone";

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::BrokenPipe => Self::new(Exit::Done, READER_GONE, ""),
            _ => Self::new(Exit::Failed, "io", error.to_string()),
        }
    }
}

impl From<config::Error> for Failure {
    fn from(error: config::Error) -> Self {
        Self::new(Exit::Usage, "config", error.to_string())
    }
}

//! Refusals: the market says no. Normal, expected, and written for the person who reads it.

use serde::{Deserialize, Serialize};

/// What happened to the money that a message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Money {
    /// Nothing moved.
    Untouched,
    /// It is locked in an HTLC: it will end paid or back.
    Held,
    /// It was paid.
    Spent,
}

/// Why something is not done.
#[derive(
    Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error, schemars::JsonSchema,
)]
#[error("{sentence}")]
pub struct Refusal {
    /// Stable, kebab-case: for programs.
    pub code: String,
    /// What happened and whether the money is safe: for people.
    pub sentence: String,
    /// What to do next, if there is anything.
    pub next: Option<String>,
    /// Where the money is.
    pub money: Money,
}

impl Refusal {
    /// A refusal with the money untouched and nothing to suggest.
    pub fn new(code: &str, sentence: impl Into<String>) -> Self {
        Self { code: code.into(), sentence: sentence.into(), next: None, money: Money::Untouched }
    }
    /// With a next step.
    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }
    /// With money somewhere else than where it was.
    #[must_use]
    pub fn money(mut self, money: Money) -> Self {
        self.money = money;
        self
    }
}

//! Bots: both sides of the market without a person, by a policy that a person wrote.
//!
//! The rule: a bot acts through its handle alone, in its own name, and does only what `legal` offers it; every
//! limit of money is the engine's ([`crate::market::Budget`]) and none is kept here. What it has done and what
//! is left to do is read from the engine each time: a bot that is killed goes on where it was. Nothing is ever
//! decided by the words of a stranger: only verdicts, prices and counts are looked at.

mod asker;
mod command;
mod event;
mod example;
mod explain;
mod hook;
mod policy;
mod queue;
mod results;
mod run;
mod schema;
mod worker;

pub use asker::{Asker, Deed, Intent, Short};
pub use command::{Command, Ended, Job, Limits, Scratch, command_actor, run_command};
pub use event::{Event, Tally};
pub use example::EXAMPLE;
pub use explain::explain;
pub use hook::{Hooks, is_loopback};
pub use policy::{
    Accept, Asking, Choose, Hook, Mistake, Places, Policy, Price, Stdin, Tell, Template, Working,
};
pub use queue::{Feed, Item, Queue, read_item};
pub use results::Results;
pub use run::{Bot, Options, Ran, Teller, run};
pub use schema::policy_schema;
pub use worker::Worker;

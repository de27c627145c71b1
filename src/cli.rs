//! The command line: one clap tree, one file a verb.

mod failure;
mod out;

pub use failure::{Exit, Failure, Money};
pub use out::{Column, Out};

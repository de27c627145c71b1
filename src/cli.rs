//! The command line: one clap tree, one file a verb.

pub mod out;

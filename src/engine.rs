//! The one loop: input, step, one commit, outbox.

mod ports;

pub use ports::*;

//! The one loop: input, step, one commit, outbox.

mod ports;
mod rows;

pub use ports::*;
pub use rows::*;

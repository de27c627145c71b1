//! Untrusted text in, printable text out.
//!
//! The rule: what a stranger sent is [`Raw`] and cannot be shown; what can be shown is [`Clean`] and
//! comes out of cleaning only. The room is pure and is the leaf of the house: it uses no other room.

mod clean;
mod filename;
mod lookalike;
mod scan;
mod width;

pub use clean::{Clean, Limit, Lines, Raw, Removed};
pub use filename::{FileName, MAX_FILE_NAME_BYTES, file_name};
pub use lookalike::{looks_like, mixes_scripts, skeleton};
pub use width::{Align, cells, pad, truncate, wrap};

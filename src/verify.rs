//! Is the work what was asked: checks that anybody can run again and that come out the same.
//!
//! A [`Check`] is canonical JSON, pinned by the hash of its bytes, of one of four kinds: exact hash, JSON
//! Schema, declared rules, WASM predicate. Compiled into a [`Checker`] it looks at streams of bytes and
//! says [`Verdict::Pass`], [`Verdict::Fail`] or [`Verdict::None`]. `None` proves nothing, for anybody: a
//! trap, exhausted fuel, more than a check may look at.
//!
//! Pure: bytes in, verdict out, in bounded memory and bounded work whatever the bytes are, of the check
//! or of the delivery: either may come from a stranger. The same check on the same bytes gives the same
//! verdict on every machine, however the bytes are cut into reads.

mod check;
mod choice;
mod lines;
mod rules;
mod run;
mod schema;
mod verdict;
mod wasm;

pub use check::{BadCheck, Check, CheckHash, Kind, MAX_CHECK, Scope, Unit, VERSION, hash_of};
pub use choice::{Choices, LONGEST_ANSWER, MOST_ANSWERS};
pub use rules::{Column, Encoding, Format, Integers, Range, Rules};
pub use run::{Checker, Run};
pub use schema::MAX_DOCUMENT;
pub use verdict::Verdict;
pub use wasm::{ABI, BLOCK, MAX_FUEL, MAX_MODULE, MAX_PAGES, Predicate};

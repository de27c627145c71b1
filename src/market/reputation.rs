//! Reputation (PROTOCOL.md 9): receipts of jobs, what they and our own jobs are worth to us, and how much of ours
//! somebody may hold. Computed here, from what we saw and whom we know; what strangers say of each other is worth
//! nothing, however often they say it.

mod limits;
mod receipt;
mod standing;

pub use limits::{Exposure, Limits, Policy};
pub use receipt::{CoSigned, Ended, JobReceipt, MOST_BUCKET, Offence, Testimony};
pub use standing::{Past, Points, Standing, standing};

//! What strangers' programs say to each other: domain to bytes and back, limits, versions.

mod invoice;

pub use invoice::*;

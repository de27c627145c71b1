//! What two strangers' programs say to each other, and how each refuses what the other must not say.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so")]

#[path = "wire/certificate.rs"]
mod certificate;
#[path = "wire/channel.rs"]
mod channel;
#[path = "wire/contact.rs"]
mod contact;
#[path = "wire/hostile.rs"]
mod hostile;
#[path = "wire/listing.rs"]
mod listing;
#[path = "wire/milestone.rs"]
mod milestone;
#[path = "wire/record.rs"]
mod record;
#[path = "wire/sample.rs"]
mod sample;
#[path = "wire/vectors.rs"]
mod vectors;

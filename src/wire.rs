//! What strangers' programs say to each other: domain to bytes and back, limits, versions. Pure: keys,
//! time and chance are arguments.
//!
//! Everything read here comes from a stranger. The order is always the same: size, proof of work,
//! signature, decryption, form, limits; the first that fails is the answer, and nothing is remembered
//! before the last has passed.
#![doc = include_str!("wire/PROTOCOL.md")]

mod body;
mod canonical;
mod certificate;
mod chance;
mod channel;
mod event;
mod follows;
mod hash;
mod invoice;
pub mod limits;
mod listing;
mod login;
mod pair;
mod pow;
mod proof;
mod receipt;
mod record;
mod rejected;
mod verdict;
mod wrap;

pub use canonical::{canonical, parse, to_canonical};
pub use certificate::{
    CERTIFICATE, Certifying, Judging, certify, certify_judge, read_certificate,
    read_judge_certificate,
};
pub use chance::Chance;
pub use channel::{CHANNEL, ChannelKeys, open_post, post};
pub use event::{SigningKey, is_point};
pub use follows::{FOLLOWS, read_follows};
pub use hash::terms_hash;
pub use invoice::{MAX_INVOICE, NotAnInvoice, decode};
pub use listing::{
    CLIENT, DRAFT, LISTING, Preview, Stage, network_name, preview, publish, read_listing,
};
pub use login::log_in;
pub use pair::pair_proof;
pub use pow::{bits, mine};
pub use proof::{PROOF, proof_event, read_proof_event};
pub use receipt::{RECEIPT, cosign, read_receipt_event, read_testimony, receipt_event, salted};
pub use record::{RECORD, read_record, sign_record};
pub use rejected::{Code, Rejected};
pub use verdict::{Judgement, verify_proof};
pub use wrap::{Opened, WRAP, Wrapping, open_wrap, wrap};

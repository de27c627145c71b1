//! Every limit on what a stranger can send, in one place, each with its reason.
//!
//! What we write obeys the same limits as what we read: an honest peer never makes what another
//! refuses.

use crate::market::Span;

/// A whole listing event, in bytes: hundreds fit a page of the book, and a relay's 64 KiB is far away.
pub const LISTING_BYTES: usize = 16 * 1024;
/// A gift wrap or channel event, in bytes: strfry's default `maxEventSize`.
pub const OUTER_BYTES: usize = 64 * 1024;
/// A rumor, and so a signed record, in bytes: two layers of NIP-44 padding and base64 round a larger
/// one would pass [`OUTER_BYTES`].
pub const RUMOR_BYTES: usize = 28 * 1024;
/// A certificate event, in bytes: it is made of fixed-width fields, and travels escaped inside a bid.
pub const CERTIFICATE_BYTES: usize = 2 * 1024;
/// A fraud proof, in bytes: a 16 KiB chunk in base64, certificate, manifest and path, with room to be
/// escaped inside an event of [`OUTER_BYTES`].
pub const PROOF_BYTES: usize = 48 * 1024;
/// A receipt of a job, the event.
pub const RECEIPT_BYTES: usize = 8 * 1024;
/// Nesting of canonical JSON. Our deepest structure needs six.
pub const DEPTH: usize = 16;
/// Integers stay below this: a reader that keeps numbers as doubles must see what we wrote.
pub const INTEGER: u64 = 1 << 53;

/// Tags of one listing event: ours and those that other classifieds clients add.
pub const LISTING_TAGS: usize = 64;
/// The `d` tag, in bytes.
pub const D_BYTES: usize = 64;
/// A title, in bytes: one line on a wide terminal.
pub const TITLE_BYTES: usize = 160;
/// A summary, in bytes: a few lines.
pub const SUMMARY_BYTES: usize = 1024;
/// Hashtags of one listing.
pub const HASHTAGS: usize = 16;
/// One hashtag, in bytes.
pub const HASHTAG_BYTES: usize = 48;
/// Slots of one listing: more is another listing.
pub const SLOTS: u32 = 10_000;
/// Settlement modes of one listing: each at most once, and three exist.
pub const MODES: usize = 3;
/// The window of an escrow, in blocks.
pub const WINDOW: std::ops::RangeInclusive<u32> =
    crate::market::LEAST_WINDOW..=crate::market::MOST_WINDOW;
/// Milestones of one job. Each has a title of a line, pays at least what is safe on the chain, and together they
/// pay a price: see `market::check_milestones`.
pub const MILESTONES: u32 = crate::market::MOST_MILESTONES as u32;
/// Tries to lock the money of one milestone.
pub const LOCKS: u32 = crate::market::MOST_LOCKS;
/// Heights are below this: a later one is a time in a lock (BIP 65), and no height of a chain.
pub const BLOCKS: u32 = 500_000_000;
/// Input files named in a listing or an award.
pub const INPUTS: usize = 16;
/// One of them, in bytes: samples and instructions, fetched before anyone is bound to anything.
pub const INPUT_BYTES: u64 = 8 * 1024 * 1024;
/// How long a listing may take bids: nobody's plans are older, and a relay must be able to forget.
pub const LISTING_LIFE: Span = Span::DAY.times(90);
/// How long after that a relay should keep it: bids in flight name it. With [`LISTING_LIFE`] a relay of
/// this market needs to allow an `expiration` 104 days ahead.
pub const LISTING_KEPT: Span = Span::DAY.times(14);
/// How far ahead of our clock a listing may be dated: clocks differ; a date in the future would win
/// over every honest newer version.
pub const FUTURE: Span = Span::MINUTE.times(15);

/// The lowest price, in msat: less than a satoshi is below what a channel can settle.
pub const PRICE_MIN: u64 = 1_000;
/// The highest price, in msat: one bitcoin. More would not fit the largest default channel many times
/// over, and is a typing mistake.
pub const PRICE_MAX: u64 = 100_000_000_000;
/// Tranches of one price.
pub const TRANCHES: u32 = 64;
/// The least that a tranche pays, in msat, where there is more than one (PROTOCOL.md 5.7): below it the
/// dust limit takes the atomicity away.
pub const TRANCHE_MIN: u64 = 1_000_000;
/// The largest deliverable or material, in bytes: a manifest's tree holds 2^26 chunks of 16 KiB.
pub const BLOB_BYTES: u64 = 1 << 40;
/// The shortest deadline: none is not a deadline. What is sensible is for the people to say; a sandbox
/// plays a job in seconds.
pub const DEADLINE_MIN: Span = Span(1);
/// The longest deadline: channel events must outlive the job.
pub const DEADLINE_MAX: Span = Span::DAY.times(90);
/// The most proof of work that may be asked of a first contact: 24 bits of a 5 KiB event are minutes
/// on two cores.
pub const POW: u8 = 24;

/// Relays of an inbox, a reply or a channel: at least one.
pub const RELAYS_MIN: usize = 1;
/// At most three (as NIP-17 has it): every one costs both sides a connection.
pub const RELAYS_MAX: usize = 3;
/// One URL, in bytes.
pub const URL_BYTES: usize = 256;
/// Direct addresses of an endpoint.
pub const ADDRESSES: usize = 8;

/// A reason, in bytes.
pub const REASON_BYTES: usize = 2 * 1024;
/// A message with a bid or a delivery, or a comment with a rating, in bytes.
pub const MESSAGE_BYTES: usize = 4 * 1024;
/// A note, in bytes: escaped twice it still fits a rumor.
pub const NOTE_BYTES: usize = 6 * 1024;
/// A file's name, in bytes: the longest that a file system takes.
pub const NAME_BYTES: usize = 255;
/// A BOLT 11 invoice, in bytes: four route hints need a fifth of it.
pub const INVOICE_BYTES: usize = 4 * 1024;
/// How long after its posting a relay should keep a channel event: the longest deadlines and a month.
pub const CHANNEL_KEPT: Span = Span::DAY.times(210);
/// How long after its making a relay should keep a first contact.
pub const WRAP_KEPT: Span = Span::DAY.times(60);
/// How far back the date of a seal or a wrap may be moved (NIP-59).
pub const WRAP_TWEAK: Span = Span::DAY.times(2);

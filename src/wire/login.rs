//! A login (NIP-42): the answer to a relay's challenge, by which it knows who reads.

use super::event::{self, SigningKey};
use super::rejected::{Code, Rejected};
use crate::market::{EventId, Time};

/// The kind of a login.
const LOGIN: u16 = 22_242;
/// A challenge or an address that is longer is none: bytes.
const LONGEST: usize = 1_024;

/// Signs the answer to a challenge. It says who asks, to this relay, now, and is worth nothing elsewhere.
///
/// # Errors
/// A challenge or an address of more than 1,024 bytes.
pub fn log_in(
    reader: &SigningKey,
    challenge: &str,
    relay: &str,
    now: Time,
) -> Result<(EventId, String), Rejected> {
    if challenge.len() > LONGEST || relay.len() > LONGEST {
        let sentence = "the relay's challenge is longer than 1,024 bytes";
        return Err(Rejected::new(Code::TooLarge, sentence));
    }
    let tags = vec![event::tag("relay", [relay]), event::tag("challenge", [challenge])];
    let draft = event::unsigned(reader.pubkey(), now, LOGIN, tags, String::new());
    let event = reader.sign(draft)?;
    Ok((event::id(&event), event::to_json(&event)?))
}

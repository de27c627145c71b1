//! One Nostr event (NIP-01): making, reading and verifying it.

use std::fmt;

use bitcoin::secp256k1::{self, Keypair, Message, XOnlyPublicKey};
use nostr::{
    Event, JsonUtil, Kind, PublicKey, SECP256K1, SecretKey, Tag, Timestamp, UnsignedEvent,
};

use super::limits::INTEGER;
use super::rejected::{Code, Rejected};
use crate::market::{EventId, Pubkey, Time};

/// A secret key that signs: an identity, a session key, K_sign. Erased when dropped, never shown.
pub struct SigningKey(Keypair);

impl SigningKey {
    /// From a secret scalar. `None` for zero and for values at or above the order of the curve: about
    /// one in 2^128, so whoever derives keys tries the next.
    pub fn new(secret: &[u8; 32]) -> Option<Self> {
        let mut scalar = secp256k1::SecretKey::from_slice(secret).ok()?;
        let key = Self(Keypair::from_secret_key(SECP256K1, &scalar));
        scalar.non_secure_erase();
        Some(key)
    }

    /// The x-only public key (BIP-340).
    pub fn pubkey(&self) -> Pubkey {
        Pubkey(self.0.x_only_public_key().0.serialize())
    }

    /// The secret scalar, for ECDH; erases itself.
    pub(crate) fn secret(&self) -> SecretKey {
        SecretKey::from(self.0.secret_key())
    }

    /// Signs an event. The nonce of the signature follows from key and message (BIP-340 with no
    /// auxiliary randomness), so signing the same draft again gives the same bytes; the result is
    /// verified, which is what BIP-340 asks for against faults.
    pub(crate) fn sign(&self, event: UnsignedEvent) -> Result<Event, Rejected> {
        let mut event = event;
        let message = Message::from_digest(event.id().to_bytes());
        let signature = SECP256K1.sign_schnorr_no_aux_rand(&message, &self.0);
        let wrong = || Rejected::new(Code::BadSignature, "the event is not this key's to sign");
        event.add_signature(signature).map_err(|_| wrong())
    }
}

impl Drop for SigningKey {
    fn drop(&mut self) {
        self.0.non_secure_erase();
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({:?})", self.pubkey())
    }
}

/// Whether a public key is a point on the curve: not every 32 bytes are, and nothing can be encrypted
/// to one that is not.
pub fn is_point(key: &Pubkey) -> bool {
    XOnlyPublicKey::from_slice(&key.0).is_ok()
}

/// An event before its signature.
pub(crate) fn unsigned(
    author: Pubkey,
    at: Time,
    kind: u16,
    tags: Vec<Tag>,
    content: String,
) -> UnsignedEvent {
    let (author, at) = (PublicKey::from_byte_array(author.0), Timestamp::from(at.0));
    UnsignedEvent::new(author, at, Kind::from(kind), tags, content)
}

/// A tag from its parts. Never empty: the name comes first.
pub(crate) fn tag<const N: usize>(name: &str, values: [&str; N]) -> Tag {
    let values: Vec<&str> = values.into_iter().collect();
    Tag::custom(nostr::TagKind::from(name), values)
}

/// Reads one event of one kind: size first, then shape, kind and id. The signature is not looked at.
pub(crate) fn read_unverified(
    json: &str,
    limit: usize,
    kind: u16,
    what: &str,
) -> Result<Event, Rejected> {
    if json.len() > limit {
        return Err(Rejected::too_large(what, json.len(), limit));
    }
    let event = Event::from_json(json)
        .map_err(|_| Rejected::new(Code::NotAnEvent, format!("{what} is not a Nostr event")))?;
    if event.kind.as_u16() != kind {
        let sentence = format!("{what} is of kind {}, not {kind}", event.kind.as_u16());
        return Err(Rejected::new(Code::WrongKind, sentence));
    }
    if event.created_at.as_secs() >= INTEGER {
        return Err(Rejected::new(Code::NotAnEvent, format!("{what} has no possible date")));
    }
    if !event.verify_id() {
        let sentence = format!("{what} does not have the id that its content has");
        return Err(Rejected::new(Code::NotAnEvent, sentence));
    }
    Ok(event)
}

/// Checks the signature over the id.
pub(crate) fn verify_signature(event: &Event, what: &str) -> Result<(), Rejected> {
    if event.verify_signature() {
        return Ok(());
    }
    Err(Rejected::new(Code::BadSignature, format!("{what} is not signed by its author")))
}

/// Reads and verifies one event of one kind.
pub(crate) fn read(json: &str, limit: usize, kind: u16, what: &str) -> Result<Event, Rejected> {
    let event = read_unverified(json, limit, kind, what)?;
    verify_signature(&event, what)?;
    Ok(event)
}

/// The JSON form, one spelling: lower-case hex, NIP-01's fields and no others.
pub(crate) fn to_json(event: &Event) -> Result<String, Rejected> {
    event.try_as_json().map_err(|_| Rejected::new(Code::NotAnEvent, "the event has no JSON form"))
}

/// The event's id in the market's words.
pub(crate) fn id(event: &Event) -> EventId {
    EventId(event.id.to_bytes())
}

/// Who signed it, in the market's words.
pub(crate) fn author(event: &Event) -> Pubkey {
    Pubkey(event.pubkey.to_bytes())
}

/// The date on it, in the market's words.
pub(crate) fn at(event: &Event) -> Time {
    Time(event.created_at.as_secs())
}

/// The one value of the one tag of this name. Refuses a tag that is missing, there twice, or has
/// another number of values.
pub(crate) fn one<'a>(event: &'a Event, name: &str) -> Result<&'a str, Rejected> {
    maybe(event, name)?.ok_or_else(|| Rejected::tag(name, "is missing"))
}

/// The one value of a tag that may be absent.
pub(crate) fn maybe<'a>(event: &'a Event, name: &str) -> Result<Option<&'a str>, Rejected> {
    let mut found = event.tags.iter().map(Tag::as_slice).filter(|t| t[0] == name);
    let Some(first) = found.next() else { return Ok(None) };
    if found.next().is_some() {
        return Err(Rejected::tag(name, "is there twice"));
    }
    match first {
        [_, value] => Ok(Some(value)),
        _ => Err(Rejected::tag(name, "does not have exactly one value")),
    }
}

/// A decimal number below 2^53 with one spelling.
pub(crate) fn number(text: &str, name: &str) -> Result<u64, Rejected> {
    let digits = !text.is_empty() && text.len() <= 16 && text.bytes().all(|b| b.is_ascii_digit());
    let plain = digits && (text == "0" || !text.starts_with('0'));
    let read = if plain { text.parse().ok().filter(|n| *n < INTEGER) } else { None };
    read.ok_or_else(|| Rejected::tag(name, "is not a number below 2^53"))
}

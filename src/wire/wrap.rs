//! First contact: NIP-59 gift wraps with proof of work, holding a *signed* record.

use nostr::nips::nip44::v2::ConversationKey;
use nostr::{JsonUtil as _, PublicKey, UnsignedEvent};

use super::certificate::{read_certificate, read_judge_certificate};
use super::chance::Chance;
use super::channel::{decrypt, encrypt};
use super::event::{self, SigningKey};
use super::hash::terms_hash;
use super::limits::{OUTER_BYTES, RUMOR_BYTES, WRAP_KEPT, WRAP_TWEAK};
use super::pow;
use super::record::{RECORD, read_record};
use super::rejected::{Code, Rejected};
use crate::market::{
    Address, Body, Certificate, Digest, EventId, JudgeCertificate, Pubkey, Record, Role, Span, Time,
};

/// The kind of a gift wrap (NIP-59).
pub const WRAP: u16 = 1059;
/// The kind of a seal (NIP-59).
const SEAL: u16 = 13;

/// To whom a first contact goes, and how dear it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wrapping {
    /// A listing's inbox key, or a bidder's session key.
    pub to: Pubkey,
    /// Leading zero bits asked for; at most [`super::limits::POW`].
    pub pow: u8,
    /// Now; seal and wrap are dated up to two days earlier.
    pub now: Time,
}

/// What a first contact turned out to be, everything in it verified.
#[derive(Debug, Clone, PartialEq)]
pub struct Opened {
    /// The signed record: a bid, an award, a decline, a withdraw, an appointment or a judge's `holding`.
    pub record: Record,
    /// The certificate inside a bid or an award.
    pub certificate: Option<Certificate>,
    /// The certificate inside a judge's first word.
    pub judge: Option<JudgeCertificate>,
    /// The canonical hash of a bid's terms.
    pub terms: Option<Digest>,
}

/// Wraps a signed record for `to`. The seal is signed by the record's own session key, the wrap by a key
/// that nobody keeps. `fresh` are 32 random bytes; the same ones give the same wrap.
pub fn wrap(
    session: &SigningKey,
    record: &Record,
    wrapping: &Wrapping,
    fresh: &[u8; 32],
) -> Result<(EventId, String), Rejected> {
    if record.author != session.pubkey() {
        let sentence = "the record is signed by another session key than the one that seals it";
        return Err(Rejected::new(Code::WrongAuthor, sentence));
    }
    // What a reader would refuse is not sent.
    first_contact(read_record(&record.event)?)?;
    let secret = session.secret();
    let mut chance = Chance::hedged(fresh, secret.as_secret_bytes(), record.event.as_bytes());
    let to = PublicKey::from_byte_array(wrapping.to.0);
    let no_point = |_| Rejected::limit("the receiver's key is not a public key");

    let rumor = rumor(record);
    let rumor = rumor
        .try_as_json()
        .map_err(|_| Rejected::new(Code::NotAnEvent, "the rumor has no JSON form"))?;
    if rumor.len() > RUMOR_BYTES {
        return Err(Rejected::too_large("the first contact", rumor.len(), RUMOR_BYTES));
    }
    let key = ConversationKey::derive(&secret, &to).map_err(no_point)?;
    let content = encrypt(&key, rumor.as_bytes(), Chance::new(&chance.bytes32()))?;
    let at = earlier(wrapping.now, &mut chance);
    let seal = session.sign(event::unsigned(session.pubkey(), at, SEAL, vec![], content))?;

    let once = (0..u8::MAX)
        .find_map(|_| SigningKey::new(&chance.bytes32()))
        .ok_or_else(|| Rejected::limit("the random source gives no key"))?;
    let key = ConversationKey::derive(&once.secret(), &to).map_err(no_point)?;
    let seal = event::to_json(&seal)?;
    let content = encrypt(&key, seal.as_bytes(), Chance::new(&chance.bytes32()))?;
    let at = earlier(wrapping.now, &mut chance);
    let expiration = at.after(WRAP_KEPT).0.to_string();
    let tags = vec![
        event::tag("p", [wrapping.to.to_string().as_str()]),
        event::tag("expiration", [expiration.as_str()]),
    ];
    let draft = event::unsigned(once.pubkey(), at, WRAP, tags, content);
    let event = once.sign(pow::mine(draft, wrapping.pow)?)?;
    let json = event::to_json(&event)?;
    if json.len() > OUTER_BYTES {
        return Err(Rejected::too_large("the gift wrap", json.len(), OUTER_BYTES));
    }
    Ok((event::id(&event), json))
}

/// Opens a gift wrap addressed to one of our keys. In order: size, id, proof of work, signature,
/// decryption, the seal's signature, decryption, that seal, rumor and record have one author, the
/// record, the certificate in it.
pub fn open_wrap(to: &SigningKey, json: &str, asked: u8) -> Result<Opened, Rejected> {
    let outer = event::read_unverified(json, OUTER_BYTES, WRAP, "the gift wrap")?;
    pow::check(&outer, asked)?;
    event::verify_signature(&outer, "the gift wrap")?;
    if event::one(&outer, "p")? != to.pubkey().to_string() {
        return Err(Rejected::tag("p", "is not the key that this is opened with"));
    }
    let secret = to.secret();
    let key = |author: &PublicKey, what: &str| {
        ConversationKey::derive(&secret, author).map_err(|_| {
            let sentence = format!("{what} comes from something that is not a public key");
            Rejected::new(Code::Undecryptable, sentence)
        })
    };
    let seal = decrypt(&key(&outer.pubkey, "the gift wrap")?, &outer.content, "the gift wrap")?;
    let seal = event::read(&seal, OUTER_BYTES, SEAL, "the seal")?;
    if !seal.tags.is_empty() {
        return Err(Rejected::new(Code::BadTag, "the seal has tags, which NIP-59 forbids"));
    }
    let inner = decrypt(&key(&seal.pubkey, "the seal")?, &seal.content, "the seal")?;
    if inner.len() > RUMOR_BYTES {
        return Err(Rejected::too_large("the first contact", inner.len(), RUMOR_BYTES));
    }
    let inner = UnsignedEvent::from_json(&inner)
        .map_err(|_| Rejected::new(Code::NotAnEvent, "the rumor is not a Nostr event"))?;
    if inner.kind.as_u16() != RECORD {
        return Err(Rejected::new(Code::WrongKind, "the rumor is not a record"));
    }
    let record = read_record(&inner.content)?;
    if inner.pubkey != seal.pubkey || record.author.0 != seal.pubkey.to_bytes() {
        let sentence = "seal, rumor and record are not of one author";
        return Err(Rejected::new(Code::WrongAuthor, sentence));
    }
    if inner != rumor(&record) {
        return Err(Rejected::new(Code::BadField, "the rumor is not the one of its record"));
    }
    first_contact(record)
}

/// The rumor of a record: the only one there is.
fn rumor(record: &Record) -> UnsignedEvent {
    let content = record.event.clone();
    let mut rumor = event::unsigned(record.author, record.draft.at, RECORD, vec![], content);
    rumor.ensure_id();
    rumor
}

/// Checks that a record may begin a conversation, and the certificate that comes with it.
fn first_contact(record: Record) -> Result<Opened, Rejected> {
    let mut judge = None;
    let (certificate, terms) = match &record.draft.body {
        Body::Bid(bid) => {
            let terms = terms_hash(&bid.terms);
            let certificate = certified(&record, &bid.certificate, Role::Worker, &bid.address)?;
            if certificate.terms != terms || certificate.network != bid.terms.network {
                let sentence = "the bid's certificate is for other terms than the bid";
                return Err(Rejected::new(Code::WrongCertificate, sentence));
            }
            (Some(certificate), Some(terms))
        }
        Body::Award(award) => {
            let certificate =
                certified(&record, &award.certificate, Role::Requester, &award.address)?;
            (Some(certificate), None)
        }
        Body::Holding { certificate, address, .. } => {
            judge = Some(seated(&record, certificate, address)?);
            (None, None)
        }
        Body::Decline { .. } | Body::Withdraw { .. } | Body::Appoint { .. } => (None, None),
        _ => {
            let sentence = "only a bid, an award, a decline, a withdrawal, an appointment or a judge's \
                            first word can be a first contact";
            return Err(Rejected::new(Code::WrongKind, sentence));
        }
    };
    Ok(Opened { record, certificate, judge, terms })
}

fn seated(
    record: &Record,
    certificate: &str,
    address: &Address,
) -> Result<JudgeCertificate, Rejected> {
    let certificate = read_judge_certificate(certificate)?;
    if certificate.session != record.author || certificate.endpoint != address.endpoint {
        let sentence = "the judge's certificate is for another key, or binds another endpoint";
        return Err(Rejected::new(Code::WrongCertificate, sentence));
    }
    Ok(certificate)
}

fn certified(
    record: &Record,
    certificate: &str,
    role: Role,
    address: &Address,
) -> Result<Certificate, Rejected> {
    let wrong = |sentence: &str| Err(Rejected::new(Code::WrongCertificate, sentence));
    let certificate = read_certificate(certificate)?;
    if certificate.session != record.author {
        return wrong("the certificate is for another key than the one that signed the record");
    }
    if certificate.role != role {
        return wrong("the certificate is for the other side of a job");
    }
    if certificate.endpoint != address.endpoint {
        return wrong("the certificate binds another endpoint than the one to be reached");
    }
    Ok(certificate)
}

/// Up to two days before now (NIP-59), so that the date says nothing.
fn earlier(now: Time, chance: &mut Chance) -> Time {
    use bitcoin::secp256k1::rand::RngCore as _;
    now.before(Span(chance.next_u64() % WRAP_TWEAK.0))
}

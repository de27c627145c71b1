//! The job's private channel (kind 3920): outer events signed by a key that only the two sides have.

use std::fmt;

use bitcoin::secp256k1::{self, Parity, XOnlyPublicKey, ecdh};
use hkdf::Hkdf;
use nostr::base64::Engine as _;
use nostr::base64::engine::general_purpose::STANDARD;
use nostr::nips::nip44::v2::{ConversationKey, decrypt_to_bytes, encrypt_to_bytes_with_rng};
use sha2::Sha256;
use zeroize::{Zeroize as _, Zeroizing};

use super::chance::Chance;
use super::event::{self, SigningKey};
use super::limits::{CHANNEL_KEPT, OUTER_BYTES};
use super::record::read_record;
use super::rejected::{Code, Rejected};
use crate::market::{EventId, JobId, Pubkey, Record, Time};

/// The kind of a channel event: regular, so relays keep it.
pub const CHANNEL: u16 = 3920;

/// What both sides of one job derive without a word: K_sign, K_conv and S (PROTOCOL.md 3).
pub struct ChannelKeys {
    sign: SigningKey,
    conversation: Zeroizing<[u8; 32]>,
    shared: Zeroizing<[u8; 32]>,
    parties: [Pubkey; 2],
    job: JobId,
}

impl ChannelKeys {
    /// From our session key, theirs and J: HKDF-SHA256 with salt J over Z, the x coordinate of the ECDH
    /// point, under three labels. Both sides get the same.
    pub fn derive(ours: &SigningKey, theirs: &Pubkey, job: &JobId) -> Result<Self, Rejected> {
        let wrong = || Rejected::limit("the other side's session key is not a public key");
        let point = XOnlyPublicKey::from_slice(&theirs.0).map_err(|_| wrong())?;
        // Either point with this x coordinate gives the same Z: that is why only x counts.
        let point = secp256k1::PublicKey::from_x_only_public_key(point, Parity::Even);
        let secret = ours.secret();
        let mut both = ecdh::shared_secret_point(&point, &secret);
        let kdf = Hkdf::<Sha256>::new(Some(&job.0), &both[..32]);
        both.zeroize();
        let expand = |label: &str, counter: &[u8]| {
            let mut out = Zeroizing::new([0; 32]);
            kdf.expand_multi_info(&[label.as_bytes(), counter], &mut *out)
                .expect("HKDF-SHA256 gives up to 8,160 bytes");
            out
        };
        // One scalar in 2^128 is not a key; both sides then take the next.
        let sign = (0..=u8::MAX)
            .find_map(|i| SigningKey::new(&expand("earnest/v1/channel/sign", &[i])))
            .ok_or_else(wrong)?;
        Ok(Self {
            sign,
            conversation: expand("earnest/v1/channel/conversation", &[]),
            shared: expand("earnest/v1/channel/shared", &[]),
            parties: [ours.pubkey(), *theirs],
            job: *job,
        })
    }

    /// The author that the outer events carry: pub(K_sign).
    pub fn author(&self) -> Pubkey {
        self.sign.pubkey()
    }

    /// S, from which every S_t follows.
    pub fn shared(&self) -> &[u8; 32] {
        &self.shared
    }
}

impl fmt::Debug for ChannelKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChannelKeys({:?})", self.job)
    }
}

/// Encrypts a record of this job into an outer event. `fresh` are 32 random bytes.
pub fn post(
    keys: &ChannelKeys,
    record: &Record,
    now: Time,
    fresh: &[u8; 32],
) -> Result<(EventId, String), Rejected> {
    belongs(keys, record)?;
    let plain = record.event.as_bytes();
    let chance = Chance::hedged(fresh, &*keys.conversation, plain);
    let content = encrypt(&ConversationKey::new(*keys.conversation), plain, chance)?;
    let expiration = now.after(CHANNEL_KEPT).0.to_string();
    let tags = vec![event::tag("expiration", [expiration.as_str()])];
    let event = keys.sign.sign(event::unsigned(keys.author(), now, CHANNEL, tags, content))?;
    let json = event::to_json(&event)?;
    if json.len() > OUTER_BYTES {
        return Err(Rejected::too_large("the channel event", json.len(), OUTER_BYTES));
    }
    Ok((event::id(&event), json))
}

/// Opens an outer event of this channel and verifies the record inside: signed by one of the two
/// session keys, in this job. Who of the two may say it is the market's to judge: both hold K_sign.
pub fn open_post(keys: &ChannelKeys, json: &str) -> Result<Record, Rejected> {
    let event = event::read(json, OUTER_BYTES, CHANNEL, "the channel event")?;
    if event::author(&event) != keys.author() {
        return Err(Rejected::new(Code::WrongJob, "the event is of another channel"));
    }
    let key = ConversationKey::new(*keys.conversation);
    let record = read_record(&decrypt(&key, &event.content, "the channel event")?)?;
    belongs(keys, &record)?;
    Ok(record)
}

fn belongs(keys: &ChannelKeys, record: &Record) -> Result<(), Rejected> {
    if !keys.parties.contains(&record.author) {
        let sentence = "the record is signed by neither side of this job";
        return Err(Rejected::new(Code::WrongAuthor, sentence));
    }
    if record.draft.job != Some(keys.job) {
        return Err(Rejected::new(Code::WrongJob, "the record is of another job"));
    }
    Ok(())
}

/// NIP-44 v2, base64.
pub(crate) fn encrypt(
    key: &ConversationKey,
    plain: &[u8],
    mut chance: Chance,
) -> Result<String, Rejected> {
    let bytes = encrypt_to_bytes_with_rng(&mut chance, key, plain)
        .map_err(|_| Rejected::too_large("what is to be encrypted", plain.len(), OUTER_BYTES))?;
    Ok(STANDARD.encode(bytes))
}

/// NIP-44 v2, base64. The size was checked before.
pub(crate) fn decrypt(key: &ConversationKey, text: &str, what: &str) -> Result<String, Rejected> {
    let wrong = || {
        let sentence = format!("{what} is not encrypted for this key, or it is damaged");
        Rejected::new(Code::Undecryptable, sentence)
    };
    let bytes = STANDARD.decode(text).map_err(|_| wrong())?;
    if bytes.first() != Some(&2) {
        let sentence = format!("{what} is encrypted in a version that this program does not speak");
        return Err(Rejected::new(Code::UnknownVersion, sentence));
    }
    let plain = decrypt_to_bytes(key, &bytes).map_err(|_| wrong())?;
    String::from_utf8(plain).map_err(|_| wrong())
}

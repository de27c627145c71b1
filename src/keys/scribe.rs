//! The scribe: it holds the keys and does with them what the engine asks.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::derive::Seed;
use super::ring::Ring;
use super::vault::Secrets;
use crate::engine::{
    CertificateDraft, Channel, Clock, Dice, Fault, FirstContact, JudgeDraft, Scribe, SharedSecret,
    Unreadable, WireEvent, WrapKey,
};
use crate::market::{
    Certificate, CoSigned, Digest, Draft, EventId, Gig, Invoice, JobId, JobReceipt,
    JudgeCertificate, Nonce, PaymentHash, Preimage, Pubkey, Record, Signature, Terms, Testimony,
    Time,
};
use crate::wire::{
    self, Certifying, ChannelKeys, Judging, NotAnInvoice, Rejected, SigningKey, Stage, Wrapping,
};

/// All keys of one user, in memory. Erased when dropped, never shown.
///
/// The identity signs certificates, listings and published proofs, and nothing else: everything within
/// a job is signed by its session key.
pub struct Keys {
    seed: Seed,
    identity: SigningKey,
    imported: bool,
    sessions: Ring<Nonce, SigningKey>,
    inboxes: Ring<Nonce, SigningKey>,
    channels: Ring<(Nonce, Pubkey, JobId), ChannelKeys>,
    dice: Arc<dyn Dice>,
    clock: Arc<dyn Clock>,
}

/// Jobs whose keys are at hand at least; the keys of any other are derived again in a tenth of a
/// millisecond.
const AT_HAND: usize = 512;
/// The same of listings.
const INBOXES: usize = 64;

impl Keys {
    /// Derives the seed and the identity from what a vault keeps. Takes milliseconds (PBKDF2).
    pub fn new(secrets: &Secrets, dice: Arc<dyn Dice>, clock: Arc<dyn Clock>) -> Self {
        let seed = secrets.phrase.seed();
        let identity = match &secrets.imported {
            Some(imported) => imported.key(),
            None => seed.identity().expect("BIP-32 fails for one seed in 2^127"),
        };
        let imported = secrets.imported.is_some();
        Self {
            seed,
            identity,
            imported,
            sessions: Ring::new(AT_HAND),
            inboxes: Ring::new(INBOXES),
            channels: Ring::new(AT_HAND),
            dice,
            clock,
        }
    }

    /// The seed that the Lightning node takes: BIP-39, 64 bytes, empty passphrase.
    pub fn lightning_seed(&self) -> Zeroizing<[u8; 64]> {
        self.seed.lightning()
    }

    /// The Ed25519 secret of the iroh endpoint.
    pub fn endpoint_secret(&self) -> Zeroizing<[u8; 32]> {
        self.seed.endpoint()
    }

    /// Whether the identity was imported: then the phrase alone does not restore it.
    pub fn is_imported(&self) -> bool {
        self.imported
    }

    fn session_key(&self, nonce: &Nonce) -> Arc<SigningKey> {
        let Ok(key) = self.sessions.get(*nonce, || Ok::<_, Infallible>(self.seed.session(nonce)));
        key
    }

    fn inbox_key(&self, nonce: &Nonce) -> Arc<SigningKey> {
        let Ok(key) = self.inboxes.get(*nonce, || Ok::<_, Infallible>(self.seed.inbox(nonce)));
        key
    }

    fn wrap_key(&self, of: &WrapKey) -> Arc<SigningKey> {
        match of {
            WrapKey::Inbox(nonce) => self.inbox_key(nonce),
            WrapKey::Session(nonce) => self.session_key(nonce),
        }
    }

    fn channel(&self, channel: &Channel) -> Result<Arc<ChannelKeys>, Rejected> {
        let Channel { nonce, peer, job } = channel;
        let derive = || ChannelKeys::derive(&self.session_key(nonce), peer, job);
        self.channels.get((*nonce, *peer, *job), derive)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.identity.pubkey())
    }
}

impl Scribe for Keys {
    fn identity(&self) -> Pubkey {
        self.identity.pubkey()
    }

    fn session(&self, nonce: &Nonce) -> Pubkey {
        self.session_key(nonce).pubkey()
    }

    fn inbox(&self, nonce: &Nonce) -> Pubkey {
        self.inbox_key(nonce).pubkey()
    }

    fn terms_hash(&self, terms: &Terms) -> Digest {
        wire::terms_hash(terms)
    }

    fn certify(&self, draft: &CertificateDraft) -> Result<Certificate, Fault> {
        let what = Certifying {
            session: self.session(&draft.nonce),
            role: draft.role,
            counterparty: draft.counterparty,
            terms: wire::terms_hash(&draft.terms),
            nonce: draft.nonce,
            node: draft.node,
            endpoint: draft.endpoint,
            network: draft.terms.network,
            at: draft.at,
        };
        wire::certify(&self.identity, &what).map_err(never)
    }

    fn certify_judge(&self, draft: &JudgeDraft) -> Result<JudgeCertificate, Fault> {
        let what = Judging {
            session: self.session(&draft.nonce),
            requester: draft.requester,
            worker: draft.worker,
            job: draft.job,
            terms: draft.terms,
            nonce: draft.nonce,
            endpoint: draft.endpoint,
            network: draft.network,
            at: draft.at,
        };
        wire::certify_judge(&self.identity, &what).map_err(never)
    }

    fn read_record(&self, event: &str) -> Result<Record, Unreadable> {
        wire::read_record(event).map_err(unreadable)
    }

    fn read_certificate(&self, event: &str) -> Result<Certificate, Unreadable> {
        wire::read_certificate(event).map_err(unreadable)
    }

    fn sign(&self, nonce: &Nonce, draft: &Draft) -> Result<Record, Fault> {
        wire::sign_record(&self.session_key(nonce), draft).map_err(never)
    }

    fn listing(&self, gig: &Gig) -> Result<WireEvent, Fault> {
        wire::publish(&self.identity, gig, Stage::Published).map(wire_event).map_err(never)
    }

    fn wrap(
        &self,
        nonce: &Nonce,
        record: &Record,
        to: &Pubkey,
        pow: u8,
        now: Time,
    ) -> Result<WireEvent, Fault> {
        let wrapping = Wrapping { to: *to, pow, now };
        let fresh = self.dice.nonce().0;
        wire::wrap(&self.session_key(nonce), record, &wrapping, &fresh)
            .map(wire_event)
            .map_err(never)
    }

    fn post(&self, channel: &Channel, record: &Record, now: Time) -> Result<WireEvent, Fault> {
        let fresh = self.dice.nonce().0;
        self.channel(channel)
            .and_then(|keys| wire::post(&keys, record, now, &fresh))
            .map(wire_event)
            .map_err(never)
    }

    fn channel_author(&self, channel: &Channel) -> Pubkey {
        // A peer that is no point was refused with its certificate; nobody is the author then.
        self.channel(channel).map_or(Pubkey([0; 32]), |keys| keys.author())
    }

    fn read_listing(&self, event: &str) -> Result<Gig, Unreadable> {
        wire::read_listing(event, self.clock.now()).map_err(unreadable)
    }

    fn log_in(&self, reader: &WrapKey, challenge: &str, relay: &str) -> Result<WireEvent, Fault> {
        wire::log_in(&self.wrap_key(reader), challenge, relay, self.clock.now())
            .map(wire_event)
            .map_err(never)
    }

    fn open_wrap(&self, to: &WrapKey, event: &str, pow: u8) -> Result<FirstContact, Unreadable> {
        let key = self.wrap_key(to);
        let opened = wire::open_wrap(&key, event, pow).map_err(unreadable)?;
        let wire::Opened { record, certificate, judge, terms } = opened;
        Ok(FirstContact { record, certificate, judge, terms })
    }

    fn open_post(&self, channel: &Channel, event: &str) -> Result<Record, Unreadable> {
        self.channel(channel).and_then(|keys| wire::open_post(&keys, event)).map_err(unreadable)
    }

    fn read_invoice(&self, text: &str) -> Result<Invoice, Unreadable> {
        // The parser's own words may quote the invoice, which may quote anything.
        wire::decode(text).map_err(|why| match why {
            NotAnInvoice::Form(_) => unreadable_invoice("this is not a valid Lightning invoice"),
            NotAnInvoice::TooLong(_) | NotAnInvoice::Network | NotAnInvoice::Amount => {
                unreadable_invoice(&why.to_string())
            }
        })
    }

    fn tranche_key(&self, nonce: &Nonce, tranche: u32) -> Preimage {
        Preimage::new(*self.seed.tranche(nonce, tranche))
    }

    fn shared_secret(&self, channel: &Channel) -> SharedSecret {
        // As above. Zeros would be a secret that everybody has; this is one that nobody else has.
        let alone = || *self.seed.alone(&channel.nonce);
        SharedSecret(self.channel(channel).map_or_else(|_| alone(), |keys| *keys.shared()))
    }

    fn escrow_key(&self, nonce: &Nonce) -> Preimage {
        Preimage::new(*self.seed.escrow(nonce))
    }

    fn audit_seed(&self, nonce: &Nonce) -> Preimage {
        Preimage::new(*self.seed.audit(nonce))
    }

    fn proof_event(&self, proof: &str, against: &Pubkey, now: Time) -> Result<WireEvent, Fault> {
        wire::proof_event(&self.identity, proof, against, now).map(wire_event).map_err(never)
    }

    fn salted(&self, channel: &Channel, hash: &PaymentHash) -> Digest {
        wire::salted(&self.shared_secret(channel).0, hash)
    }

    fn cosign(&self, receipt: &JobReceipt) -> Result<Signature, Fault> {
        wire::cosign(&self.identity, receipt).map_err(never)
    }

    fn receipt_event(&self, signed: &CoSigned) -> Result<WireEvent, Fault> {
        wire::receipt_event(&self.identity, signed).map(wire_event).map_err(never)
    }

    fn read_testimony(&self, json: &str) -> Result<Testimony, Unreadable> {
        wire::read_testimony(json).map_err(unreadable)
    }

    fn read_follows(&self, json: &str) -> Result<Vec<Pubkey>, Unreadable> {
        wire::read_follows(json).map_err(unreadable)
    }
}

fn wire_event((id, json): (EventId, String)) -> WireEvent {
    WireEvent { id, json }
}

/// Keys and limits do not change by waiting.
fn never(rejected: Rejected) -> Fault {
    Fault::Never(rejected.sentence)
}

fn unreadable_invoice(sentence: &str) -> Unreadable {
    Unreadable { code: "bad-invoice".to_owned(), sentence: sentence.to_owned() }
}

fn unreadable(rejected: Rejected) -> Unreadable {
    Unreadable { code: rejected.code.as_str().to_owned(), sentence: rejected.sentence }
}

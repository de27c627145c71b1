//! One phrase, a vault and a scribe, as the person and the engine use them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so")]

#[path = "keys/vault.rs"]
mod vault;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use earnest::engine::{
    CertificateDraft, Channel, Clock, Dice, Fault, Scribe, SharedSecret, WrapKey,
};
use earnest::keys::{
    BackupCheck, CREDENTIAL, Cost, ImportError, Imported, Keys, Lock, OsDice, Passphrase,
    PassphraseError, Phrase, PhraseError, Secrets, Vault, VaultError, find, npub,
};
use earnest::market::*;
use earnest::text::Raw;

const NOW: Time = Time(1_790_000_000);

/// NIP-06's second test vector.
const WORDS: &str = "what bleak badge arrange retreat wolf trade produce cricket blur garlic valid \
                     proud rude strong choose busy staff weather area salt hollow arm fade";
const NSEC: &str = "nsec10allq0gjx7fddtzef0ax00mdps9t2kmtrldkyjfs8l5xruwvh2dq0lhhkp";
const NSEC_HEX: &str = "7f7ff03d123792d6ac594bfa67bf6d0c0ab55b6b1fdb6249303fe861f1ccba9a";
/// The test vector of NIP-49: passphrase `nostr`.
const NCRYPTSEC: &str = "ncryptsec1qgg9947rlpvqu76pj5ecreduf9jxhselq2nae2kghhvd5g7dgjtcxfqtd67p9\
                         m0w57lspw8gsq6yphnm8623nsl8xn9j4jdzz84zm3frztj3z7s35vpzmqf6ksu8r89qk5\
                         z2zxfmu5gv8th8wclt0h4p";
const NCRYPTSEC_KEY: &str = "3501454135014541350145413501453fefb02227e449e57cf4d3a3ce05378683";

struct Still;

impl Clock for Still {
    fn now(&self) -> Time {
        NOW
    }
}

/// Dice that count.
#[derive(Default)]
struct Counting(std::sync::atomic::AtomicU64);

impl Dice for Counting {
    fn nonce(&self) -> Nonce {
        let n = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let mut bytes = [0x33; 32];
        bytes[..8].copy_from_slice(&n.to_le_bytes());
        Nonce(bytes)
    }
}

fn secrets() -> Secrets {
    Secrets { phrase: Phrase::parse(WORDS).unwrap(), imported: None }
}

fn keys(entropy: u8) -> Keys {
    let secrets = Secrets { phrase: Phrase::new(&[entropy; 32]), imported: None };
    Keys::new(&secrets, Arc::new(Counting::default()), Arc::new(Still))
}

fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(text).unwrap()
}

fn locked(text: &str) -> Lock {
    Lock::Passphrase(passphrase(text), Cost::LEAST)
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

// ---------------------------------------------------------------- identities

#[test]
fn an_identity_comes_from_the_phrase_or_from_elsewhere() {
    let own = Keys::new(&secrets(), Arc::new(OsDice), Arc::new(Still));
    let nip06 = "d41b22899549e1f3d335a31002cfd382174006e166d3e658e3a5eecdb6463573";
    assert_eq!(own.identity().to_string(), nip06);
    assert_eq!(
        npub(&own.identity()),
        "npub16sdj9zv4f8sl85e45vgq9n7nsgt5qphpvmf7vk8r5hhvmdjxx4es8rq74h"
    );

    let imported = Some(Imported::read(&format!(" {NSEC}\n"), None).unwrap());
    let with = Keys::new(&Secrets { imported, ..secrets() }, Arc::new(OsDice), Arc::new(Still));
    let key = "17162c921dc4d2518f9a101db33695df1afb56ab82f5ff3e5da6eec3ca5cd917";
    assert_eq!(with.identity().to_string(), key);
    // Everything else still follows from the phrase.
    assert_eq!(with.session(&Nonce([1; 32])), own.session(&Nonce([1; 32])));
    assert_eq!(*with.lightning_seed(), *own.lightning_seed());
    assert_eq!(*with.endpoint_secret(), *own.endpoint_secret());
    let seed = bip39::Mnemonic::parse(WORDS).unwrap().to_seed("");
    assert_eq!(*own.lightning_seed(), seed, "any BIP-84 wallet restores the coins");
}

#[test]
fn an_encrypted_identity_is_imported_with_its_passphrase() {
    assert!(Imported::is_encrypted(NCRYPTSEC) && !Imported::is_encrypted(NSEC));
    let imported = Imported::read(NCRYPTSEC, Some(&passphrase("nostr"))).unwrap();
    let secrets = Secrets { imported: Some(imported), ..secrets() };
    let keys = Keys::new(&secrets, Arc::new(OsDice), Arc::new(Still));
    let expected = nostr::Keys::parse(NCRYPTSEC_KEY).unwrap().public_key();
    assert_eq!(keys.identity().0, expected.to_bytes());

    let refused = |text: &str, pass: Option<&str>| {
        Imported::read(text, pass.map(passphrase).as_ref()).unwrap_err()
    };
    assert_eq!(refused(NCRYPTSEC, None), ImportError::NeedsPassphrase);
    assert_eq!(refused(NCRYPTSEC, Some("wrong")), ImportError::WrongPassphrase);
    assert_eq!(refused("ncryptsec1qqqq", Some("nostr")), ImportError::Form);
    assert_eq!(refused(&NSEC[..60], None), ImportError::Form);
    assert_eq!(refused(NSEC_HEX, None), ImportError::Form);
    assert_eq!(refused(&npub(&keys.identity()), None), ImportError::Form);
    assert_eq!(refused("", None), ImportError::Form);
}

// ---------------------------------------------------------------- the scribe

fn terms() -> Terms {
    Terms {
        milestones: Vec::new(),
        quality: Quality::default(),
        v: 1,
        work: Work::File,
        mode: Mode::Sealed,
        price: Msat::sats(21_000).unwrap(),
        tranches: 1,
        max_bytes: 1000,
        deadlines: Deadlines { deliver: Span::DAY, pay: Span::HOUR },
        escrow: None,
        network: Network::Regtest,
    }
}

fn certificate_draft(role: Role, counterparty: Pubkey, nonce: Nonce) -> CertificateDraft {
    let node = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";
    CertificateDraft {
        role,
        counterparty,
        terms: terms(),
        nonce,
        node: node.parse().unwrap(),
        endpoint: EndpointId([4; 32]),
        at: NOW,
    }
}

fn gig(inbox: Pubkey) -> Gig {
    Gig {
        id: EventId([0; 32]),
        author: Pubkey([0; 32]),
        d: "one".into(),
        at: NOW,
        published_at: NOW,
        title: Raw("Write a haiku".into()),
        summary: Raw(String::new()),
        content: Raw(String::new()),
        tags: vec![],
        side: Side::Request,
        status: Status::Open,
        network: Network::Regtest,
        expires_at: NOW.after(Span::DAY),
        offer: Offer {
            milestones: Vec::new(),
            quality: Quality::default(),
            v: 1,
            work: Work::File,
            modes: vec![Mode::Sealed],
            slots: 1,
            price: terms().price,
            max_bytes: 1000,
            deadlines: terms().deadlines,
            escrow: None,
            pow: 5,
            inbox: Inbox { key: inbox, relays: vec!["wss://a.example".into()] },
            inputs: vec![],
        },
    }
}

fn address() -> Address {
    Address { endpoint: EndpointId([4; 32]), direct: vec![], relay: None }
}

/// From a listing to a word in the channel, with nothing but what travels between the two.
#[test]
fn two_scribes_make_a_deal() {
    let (worker, requester) = (keys(1), keys(2));
    let (inbox, w, r) = (Nonce([1; 32]), Nonce([2; 32]), Nonce([3; 32]));

    let listing = requester.listing(&gig(requester.inbox(&inbox))).unwrap();
    let gig = worker.read_listing(&listing.json).unwrap();
    assert_eq!((gig.id, gig.author), (listing.id, requester.identity()));

    let draft = certificate_draft(Role::Worker, gig.author, w);
    let certificate = worker.certify(&draft).unwrap();
    let body = Body::Bid(Bid {
        gig: gig.id,
        terms: terms(),
        certificate: certificate.event.clone(),
        relays: vec!["wss://w.example".into()],
        address: address(),
        valid_until: NOW.after(Span::HOUR),
        least_first: Msat::sats(1).unwrap(),
        message: Raw("me".into()),
    });
    let bid = Draft { job: None, seq: 0, prev: None, seen: None, at: NOW, body };
    let bid = worker.sign(&w, &bid).unwrap();
    let wrapped = worker.wrap(&w, &bid, &gig.offer.inbox.key, gig.offer.pow, NOW).unwrap();

    let heard = requester.open_wrap(&WrapKey::Inbox(inbox), &wrapped.json, 5).unwrap();
    assert_eq!(heard.record, bid);
    assert_eq!(heard.terms, Some(requester.terms_hash(&terms())));
    let theirs = heard.certificate.unwrap();
    assert_eq!((theirs.identity, theirs.session), (worker.identity(), worker.session(&w)));
    assert_eq!(requester.read_certificate(&certificate.event).unwrap(), theirs);

    let draft = certificate_draft(Role::Requester, worker.identity(), r);
    let body = Body::Award(Award {
        bid: bid.id,
        certificate: requester.certify(&draft).unwrap().event,
        relays: vec!["wss://c.example".into()],
        address: address(),
        inputs: vec![],
        audit: Digest(requester.audit_seed(&r).hash().0),
        audit_nonce: r,
        lock: None,
    });
    let job = Some(JobId(bid.id.0));
    let award = Draft { job, seq: 0, prev: None, seen: Some(bid.id), at: NOW, body };
    let award = requester.sign(&r, &award).unwrap();
    let wrapped = requester.wrap(&r, &award, &theirs.session, 0, NOW).unwrap();
    let heard = worker.open_wrap(&WrapKey::Session(w), &wrapped.json, 0).unwrap();
    assert_eq!(heard.record, award);

    let job = earnest::market::job_id(&bid.id, &award.id);
    let ours = Channel { nonce: w, peer: requester.session(&r), job };
    let back = Channel { nonce: r, peer: worker.session(&w), job };
    assert_eq!(worker.channel_author(&ours), requester.channel_author(&back));
    assert_eq!(worker.shared_secret(&ours), requester.shared_secret(&back));
    let body = Body::Note { text: Raw("hello".into()) };
    let note =
        Draft { job: Some(job), seq: 1, prev: Some(bid.id), seen: Some(award.id), at: NOW, body };
    let note = worker.sign(&w, &note).unwrap();
    let (first, second) =
        (worker.post(&ours, &note, NOW).unwrap(), worker.post(&ours, &note, NOW).unwrap());
    assert_ne!(first.json, second.json, "fresh chance each time");
    assert_eq!(requester.open_post(&back, &first.json).unwrap(), note);
    assert_eq!(requester.open_post(&back, &second.json).unwrap(), note);

    // And what it will not do.
    let refused = requester.open_wrap(&WrapKey::Session(w), &wrapped.json, 0).unwrap_err();
    assert_eq!(refused.code, "bad-tag");
    let refused = worker.open_wrap(&WrapKey::Session(w), &wrapped.json, 20).unwrap_err();
    assert_eq!(refused.code, "no-proof-of-work");
    let over = Gig { content: Raw("x".repeat(20_000)), ..gig.clone() };
    assert!(matches!(requester.listing(&over), Err(Fault::Never(s)) if s.contains("16384")));
    let future = Gig { at: NOW.after(Span::HOUR), ..gig };
    let future = requester.listing(&future).unwrap();
    assert_eq!(worker.read_listing(&future.json).unwrap_err().code, "future-dated");
    let nobody = Channel { peer: Pubkey([0xff; 32]), ..ours };
    assert!(matches!(worker.post(&nobody, &note, NOW), Err(Fault::Never(_))));
    assert_ne!(worker.shared_secret(&nobody), SharedSecret([0; 32]));
    let proof = worker.proof_event("{\"proof\":1}", &worker.identity(), NOW).unwrap();
    let (by, content) = earnest::wire::read_proof_event(&proof.json).unwrap();
    assert_eq!((by, content.as_str()), (worker.identity(), "{\"proof\":1}"));
}

#[test]
fn the_phrase_and_the_transcript_restore_every_key() {
    let (a, b) = (keys(7), keys(7));
    let n = Nonce([9; 32]);
    assert_eq!(a.session(&n), b.session(&n));
    assert_eq!(a.inbox(&n), b.inbox(&n));
    assert_eq!(a.tranche_key(&n, 3), b.tranche_key(&n, 3));
    assert_eq!(a.audit_seed(&n), b.audit_seed(&n));
    assert_ne!(a.tranche_key(&n, 3), a.tranche_key(&n, 4));
    assert_ne!(a.tranche_key(&n, 3), keys(8).tranche_key(&n, 3));
}

// ---------------------------------------------------------------- secrets stay secret

/// Everything public of this room is formatted in every way there is, with known secrets inside.
#[test]
fn no_secret_is_ever_shown() {
    let dir = tempfile::tempdir().unwrap();
    let pass = "tr0ub4dor-and-three";
    let imported = Imported::read(NSEC, None).unwrap();
    let phrase = Phrase::parse(WORDS).unwrap();
    let secrets = Secrets { phrase: phrase.clone(), imported: Some(imported.clone()) };
    let keys = Keys::new(&secrets, Arc::new(OsDice), Arc::new(Still));
    let n = Nonce([1; 32]);
    let channel = Channel { nonce: n, peer: keys.session(&Nonce([2; 32])), job: JobId([3; 32]) };
    let path = dir.path().join("keys");
    let vault = Vault::at(&path);
    let lock = Lock::Passphrase(passphrase(pass), Cost::LEAST);
    vault.create(&secrets, &lock, &OsDice).unwrap();
    let opened = vault.open(Some(&passphrase(pass))).unwrap();
    let signing = earnest::wire::SigningKey::new(&hex32(NSEC_HEX)).unwrap();
    let derived = earnest::wire::ChannelKeys::derive(&signing, &channel.peer, &channel.job);
    let shared = *derived.as_ref().unwrap().shared();

    let mut shown = vec![
        format!("{phrase:?} {phrase:#?}"),
        format!("{imported:?} {imported:#?}"),
        format!("{secrets:?} {secrets:#?} {opened:?} {opened:#?} {lock:?} {lock:#?}"),
        format!("{:?} {:#?}", passphrase(pass), passphrase(pass)),
        format!("{keys:?} {keys:#?} {vault:?} {signing:?} {signing:#?} {derived:?} {derived:#?}"),
        format!("{:?} {:?}", keys.tranche_key(&n, 0), keys.audit_seed(&n)),
        format!("{:?} {:?}", keys.shared_secret(&channel), earnest::wire::Chance::new(&shared)),
        format!("{:?}", BackupCheck::new(&n)),
    ];
    let mut errors: Vec<Box<dyn std::error::Error>> = vec![];
    let typo = WORDS.replace("bleak", "bleakk");
    let swapped = WORDS.replace("what bleak", "bleak what");
    errors.push(Box::new(Phrase::parse(&typo).unwrap_err()));
    errors.push(Box::new(Phrase::parse(&swapped).unwrap_err()));
    errors.push(Box::new(Phrase::parse("what bleak").unwrap_err()));
    errors.push(Box::new(Imported::read(&NSEC[..62], None).unwrap_err()));
    errors.push(Box::new(Imported::read(NSEC_HEX, None).unwrap_err()));
    errors.push(Box::new(Imported::read(NCRYPTSEC, Some(&passphrase(pass))).unwrap_err()));
    errors.push(Box::new(vault.open(Some(&passphrase("wrong-one"))).unwrap_err()));
    errors.push(Box::new(vault.create(&secrets, &Lock::Plain, &OsDice).unwrap_err()));
    // A plain vault with a flaw after the secrets: the parser must not quote what it has read.
    let plain = Vault::at(&dir.path().join("plain"));
    plain.create(&secrets, &Lock::Plain, &OsDice).unwrap();
    let text = std::fs::read_to_string(dir.path().join("plain")).unwrap();
    for broken in
        [text.replace('}', ""), text.replace("sealed", "saeled"), text.replace("7f7f", "7g7f")]
    {
        std::fs::write(dir.path().join("plain"), broken).unwrap();
        errors.push(Box::new(plain.open(None).unwrap_err()));
    }
    let file = dir.path().join("pass");
    std::fs::write(&file, format!("{pass}{}", "x".repeat(5000))).unwrap();
    set_mode(&file, 0o600);
    errors.push(Box::new(find(Some(&file), None).unwrap_err()));
    let note = Draft {
        job: Some(channel.job),
        seq: 1,
        prev: None,
        seen: None,
        at: NOW,
        body: Body::Note { text: Raw(pass.into()) },
    };
    errors.push(Box::new(keys.sign(&n, &note).unwrap_err()));
    for error in errors {
        shown.push(format!("{error} {error:?} {error:#?}"));
    }

    let entropy = bip39::Mnemonic::parse(WORDS).unwrap().to_entropy();
    let mut secret: Vec<Vec<u8>> = vec![
        entropy,
        hex::decode(NSEC_HEX).unwrap(),
        keys.lightning_seed().to_vec(),
        keys.endpoint_secret().to_vec(),
        keys.tranche_key(&n, 0).expose().to_vec(),
        keys.audit_seed(&n).expose().to_vec(),
        keys.shared_secret(&channel).0.to_vec(),
        shared.to_vec(),
    ];
    secret.push(pass.as_bytes().to_vec());
    let mut needles: Vec<String> = vec![pass.into(), "wrong-one".into(), NSEC[5..20].into()];
    needles.extend(WORDS.split_whitespace().filter(|w| w.len() > 4).map(str::to_owned));
    for bytes in &secret {
        let start = &bytes[..8];
        needles.push(hex::encode(start));
        needles.push(format!("{start:?}").trim_matches(['[', ']']).to_owned());
    }
    // Words that our own sentences use.
    let ours = ["change", "strong"];
    for text in &shown {
        let lower = text.to_lowercase();
        let tokens: Vec<&str> = lower.split(|c: char| !c.is_alphanumeric()).collect();
        for needle in needles.iter().filter(|n| !ours.contains(&n.as_str())) {
            let word = WORDS.split_whitespace().any(|w| w == needle);
            let found =
                if word { tokens.contains(&needle.as_str()) } else { lower.contains(needle) };
            assert!(!found, "`{needle}` in {text}");
        }
    }
}

fn hex32(text: &str) -> [u8; 32] {
    hex::decode(text).unwrap().try_into().unwrap()
}

#[test]
fn a_typing_error_names_a_place_in_the_error_and_the_word_to_the_person() {
    let typo = WORDS.replace("bleak", "bleakk");
    let error = Phrase::parse(&typo).unwrap_err();
    assert_eq!(error, PhraseError::Unknown(2));
    assert!(error.to_string().contains("word 2"));
    let advice = error.advice(&typo);
    assert!(advice.contains("`bleakk`") && advice.contains("did you mean bleak"), "{}", *advice);
}

// ---------------------------------------------------------------- test vectors

#[test]
fn the_vectors_of_every_key() {
    let all: serde_json::Value = serde_json::from_str(include_str!("vectors/wire.json")).unwrap();
    let text = |name: &str| all["keys"][name].as_str().unwrap().to_owned();
    let phrase = Phrase::parse(&text("phrase")).unwrap();
    let keys = Keys::new(&Secrets { phrase, imported: None }, Arc::new(OsDice), Arc::new(Still));
    let nonce = Nonce(hex32(&text("nonce")));
    let t = u32::try_from(all["keys"]["tranche"].as_u64().unwrap()).unwrap();
    assert_eq!(hex::encode(*keys.lightning_seed()), text("seed"));
    assert_eq!(keys.identity().to_string(), text("identity"));
    assert_eq!(keys.session(&nonce).to_string(), text("session"));
    assert_eq!(keys.inbox(&nonce).to_string(), text("inbox"));
    assert_eq!(hex::encode(keys.tranche_key(&nonce, t).expose()), text("k_t"));
    assert_eq!(keys.tranche_key(&nonce, t).hash().to_string(), text("h_t"));
    assert_eq!(hex::encode(keys.audit_seed(&nonce).expose()), text("s_r"));
    assert_eq!(keys.audit_seed(&nonce).hash().to_string(), text("a_r"));
    let escrow = |name: &str| all["escrow"][name].as_str().unwrap().to_owned();
    let x = keys.escrow_key(&Nonce(hex32(&escrow("nonce"))));
    assert_eq!(hex::encode(x.expose()), escrow("x"));
    assert_eq!(x.hash().to_string(), escrow("hash"));
    assert_eq!(hex::encode(*keys.endpoint_secret()), text("endpoint_secret"));
}

#[test]
fn an_invoice_that_is_none_is_refused_without_quoting_it() {
    for text in ["", "lnbc1evil\u{202e}\u{1b}[2J", "lnbcrt1qqqqevil", &"lnbc1".repeat(2000)] {
        let refused = keys(1).read_invoice(text).unwrap_err();
        assert_eq!(refused.code, "bad-invoice");
        let said = format!("{refused} {refused:?}");
        assert!(!said.contains("evil") && !said.contains('\u{1b}'), "{said}");
    }
}

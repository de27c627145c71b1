//! One phrase, a vault and a scribe, as the person and the engine use them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so")]

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

// ---------------------------------------------------------------- the vault

#[test]
fn what_goes_into_a_vault_comes_out() {
    let dir = tempfile::tempdir().unwrap();
    let imported = Some(Imported::read(NSEC, None).unwrap());
    for (n, imported) in [None, imported].into_iter().enumerate() {
        for (lock, open) in [(locked("correct horse"), Some("correct horse")), (Lock::Plain, None)]
        {
            let path = dir.path().join(format!("{n}-{}", open.is_some()));
            let vault = Vault::at(&path);
            let secrets = Secrets { imported: imported.clone(), ..secrets() };
            vault.create(&secrets, &lock, &OsDice).unwrap();
            assert_eq!(mode(&path), 0o600);
            assert_eq!(vault.is_locked().unwrap(), open.is_some());
            let opened = vault.open(open.map(passphrase).as_ref()).unwrap();
            assert_eq!(opened.warning, None);
            assert_eq!(opened.secrets.phrase.words().join(" "), WORDS);
            assert_eq!(opened.secrets.imported.is_some(), imported.is_some());
            let a = Keys::new(&secrets, Arc::new(OsDice), Arc::new(Still));
            let b = Keys::new(&opened.secrets, Arc::new(OsDice), Arc::new(Still));
            assert_eq!(a.identity(), b.identity());
            assert_eq!(b.is_imported(), imported.is_some());
        }
    }
}

#[test]
fn a_locked_vault_shows_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    Vault::at(&a).create(&secrets(), &locked("x y"), &OsDice).unwrap();
    let imported = Some(Imported::read(NSEC, None).unwrap());
    let with = Secrets { imported, ..secrets() };
    Vault::at(&b).create(&with, &locked("x y"), &OsDice).unwrap();
    let (a, b) = (std::fs::read_to_string(a).unwrap(), std::fs::read_to_string(b).unwrap());
    for text in [&a, &b] {
        assert!(!text.contains(NSEC_HEX) && !text.contains("bleak"));
        let entropy = bip39::Mnemonic::parse(WORDS).unwrap().to_entropy();
        assert!(!text.contains(&hex::encode(entropy)));
    }
    assert_eq!(a.len(), b.len(), "the size says whether an identity was imported");
    assert_ne!(a, b);
}

#[test]
fn a_wrong_passphrase_says_so_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys");
    let vault = Vault::at(&path);
    vault.create(&secrets(), &locked("right one"), &OsDice).unwrap();
    let before = std::fs::read(&path).unwrap();
    let wrong = passphrase("wrong one");
    let refused = vault.open(Some(&wrong)).unwrap_err();
    assert_eq!(refused, VaultError::WrongPassphrase(path.clone()));
    let said = refused.to_string();
    assert!(said.contains("wrong passphrase") && said.contains("nothing was changed"), "{said}");
    let refused = vault.replace(Some(&wrong), &secrets(), &Lock::Plain, &OsDice).unwrap_err();
    assert_eq!(refused, VaultError::WrongPassphrase(path.clone()));
    assert_eq!(vault.open(None).unwrap_err(), VaultError::NeedsPassphrase(path.clone()));
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn keys_are_never_overwritten_by_new_ones() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys");
    let vault = Vault::at(&path);
    vault.create(&secrets(), &locked("a"), &OsDice).unwrap();
    let before = std::fs::read(&path).unwrap();
    let refused = vault.create(&secrets(), &Lock::Plain, &OsDice).unwrap_err();
    assert_eq!(refused, VaultError::Exists(path.clone()));
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_passphrase_can_be_changed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys");
    let vault = Vault::at(&path);
    vault.create(&secrets(), &locked("old"), &OsDice).unwrap();
    vault.replace(Some(&passphrase("old")), &secrets(), &locked("new"), &OsDice).unwrap();
    assert!(vault.open(Some(&passphrase("old"))).is_err());
    assert_eq!(vault.open(Some(&passphrase("new"))).unwrap().secrets.phrase.words().len(), 24);
    assert_eq!(mode(&path), 0o600);
}

#[test]
fn two_keyboards_type_one_passphrase() {
    let dir = tempfile::tempdir().unwrap();
    let vault = Vault::at(&dir.path().join("keys"));
    vault.create(&secrets(), &locked("pa\u{ff53}sp\u{e9}"), &OsDice).unwrap();
    assert!(vault.open(Some(&passphrase("passpe\u{301}"))).is_ok());
}

#[test]
fn a_file_that_others_can_read_is_refused_or_warned_of() {
    let dir = tempfile::tempdir().unwrap();
    let (plain, sealed) = (dir.path().join("plain"), dir.path().join("sealed"));
    Vault::at(&plain).create(&secrets(), &Lock::Plain, &OsDice).unwrap();
    Vault::at(&sealed).create(&secrets(), &locked("a"), &OsDice).unwrap();
    set_mode(&plain, 0o640);
    set_mode(&sealed, 0o644);
    let refused = Vault::at(&plain).open(None).unwrap_err();
    assert_eq!(refused, VaultError::OpenToOthers { path: plain, mode: 0o640 });
    assert!(refused.to_string().contains("chmod 600"));
    let opened = Vault::at(&sealed).open(Some(&passphrase("a"))).unwrap();
    assert!(opened.warning.unwrap().contains("chmod 600"));
}

#[test]
fn a_damaged_vault_is_not_guessed_at() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys");
    let vault = Vault::at(&path);
    assert_eq!(vault.open(None).unwrap_err(), VaultError::Missing(path.clone()));
    vault.create(&secrets(), &locked("a"), &OsDice).unwrap();
    let whole = std::fs::read_to_string(&path).unwrap();
    let with = |text: &str| {
        std::fs::write(&path, text).unwrap();
        vault.open(Some(&passphrase("a"))).unwrap_err()
    };
    let damaged = VaultError::Damaged(path.clone());
    for cut in 0..whole.len() - 1 {
        assert_eq!(with(&whole[..cut]), damaged, "cut at {cut}");
    }
    let newer = VaultError::UnknownVersion { path: path.clone(), v: 2 };
    assert_eq!(with(&whole.replace("\"v\": 1", "\"v\": 2")), newer);
    assert_eq!(with("{\"earnest\":\"keys\",\"v\":2,\"shape\":\"unheard of\"}"), newer);
    assert_eq!(with(&whole.replace("keys", "cake")), damaged);
    // A work factor that would eat all memory, or none.
    assert_eq!(with(&whole.replace("\"log_n\": 10", "\"log_n\": 63")), damaged);
    assert_eq!(with(&whole.replace("\"log_n\": 10", "\"log_n\": 1")), damaged);
    let wrong = VaultError::WrongPassphrase(path.clone());
    assert_eq!(with(&whole.replace("\"log_n\": 10", "\"log_n\": 11")), wrong);
    assert_eq!(with(&"x".repeat(1 << 20)), damaged);
    std::fs::write(&path, [0xff, 0xfe]).unwrap();
    assert_eq!(vault.open(None).unwrap_err(), damaged);
    std::fs::write(&path, &whole).unwrap();
    assert!(vault.open(Some(&passphrase("a"))).is_ok());
}

#[test]
fn a_passphrase_is_found_where_it_was_put() {
    let dir = tempfile::tempdir().unwrap();
    let vault = Vault::at(&dir.path().join("keys"));
    vault.create(&secrets(), &locked("from a file"), &OsDice).unwrap();
    let file = dir.path().join("pass");
    std::fs::write(&file, "from a file\n").unwrap();
    set_mode(&file, 0o600);
    let found = find(Some(&file), None).unwrap();
    assert!(vault.open(found.as_ref()).is_ok());
    // systemd: LoadCredential=earnest-passphrase:...
    let credentials = dir.path().join("credentials");
    std::fs::create_dir(&credentials).unwrap();
    assert!(find(None, Some(&credentials)).unwrap().is_none());
    std::fs::write(credentials.join(CREDENTIAL), "from a file").unwrap();
    set_mode(&credentials.join(CREDENTIAL), 0o440);
    let found = find(None, Some(&credentials)).unwrap();
    assert!(vault.open(found.as_ref()).is_ok());
    assert!(find(None, None).unwrap().is_none());
    // What must not be used.
    set_mode(&file, 0o644);
    let refused = find(Some(&file), None).unwrap_err();
    assert_eq!(refused, PassphraseError::OpenToOthers { path: file.clone(), mode: 0o644 });
    set_mode(&file, 0o600);
    std::fs::write(&file, " \n").unwrap();
    assert_eq!(find(Some(&file), None).unwrap_err(), PassphraseError::Empty);
    std::fs::write(&file, "x".repeat(5000)).unwrap();
    assert_eq!(find(Some(&file), None).unwrap_err(), PassphraseError::Form(file.clone()));
    let missing = dir.path().join("missing");
    assert!(matches!(find(Some(&missing), None), Err(PassphraseError::Io { .. })));
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
        v: 1,
        work: Work::File,
        mode: Mode::Sealed,
        price: Msat::sats(21_000).unwrap(),
        tranches: 1,
        max_bytes: 1000,
        deadlines: Deadlines { deliver: Span::DAY, pay: Span::HOUR },
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
            v: 1,
            work: Work::File,
            modes: vec![Mode::Sealed],
            slots: 1,
            price: terms().price,
            max_bytes: 1000,
            deadlines: terms().deadlines,
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
    let proof = worker.proof_event("{\"proof\":1}", NOW).unwrap();
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
    assert_eq!(hex::encode(*keys.endpoint_secret()), text("endpoint_secret"));
}

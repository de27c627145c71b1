//! One deal's worth of honest things, and the tools to bend them.

use earnest::market::*;
use earnest::seal::Manifest;
use earnest::text::Raw;
use earnest::wire::{self, Certifying, ChannelKeys, Rejected, SigningKey, Wrapping};
use nostr::{EventBuilder, JsonUtil, Kind, Tag, Timestamp};
use serde_json::json;

/// The tags of an event.
pub(super) type Tags = Vec<Vec<String>>;
/// Something done to the tags, content and date of an event.
pub(super) type Change<'a> = &'a dyn Fn(&mut Tags, &mut String, &mut Time);

pub(super) const NOW: Time = Time(1_790_000_000);

pub(super) fn key(n: u8) -> SigningKey {
    SigningKey::new(&[n; 32]).unwrap()
}

/// The same key as the library that other Nostr clients are made of holds it.
pub(super) fn nostr_keys(n: u8) -> nostr::Keys {
    nostr::Keys::new(nostr::SecretKey::from_slice(&[n; 32]).unwrap())
}

pub(super) fn raw(text: &str) -> Raw {
    Raw(text.to_owned())
}

pub(super) fn node() -> NodeId {
    // The generator point of secp256k1.
    "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798".parse().unwrap()
}

pub(super) fn gig() -> Gig {
    Gig {
        id: EventId([0; 32]),
        author: Pubkey([0; 32]),
        d: "translate-2".into(),
        at: NOW,
        published_at: Time(NOW.0 - 60),
        title: raw("Translate 300 sentences"),
        summary: raw("From Finnish to English.\nOne file."),
        content: raw(
            "# What\nPlease *translate*. \"Quotes\" and \\ and \u{202e}tricks stay raw here.",
        ),
        tags: vec!["translation".into(), "käännös".into()],
        side: Side::Request,
        status: Status::Open,
        network: Network::Regtest,
        expires_at: NOW.after(Span::DAY.times(7)),
        offer: Offer {
            milestones: Vec::new(),
            quality: Quality::default(),
            v: 1,
            work: Work::File,
            modes: vec![Mode::Sealed, Mode::Direct],
            slots: 2,
            price: Msat::new(21_000_500).unwrap(),
            max_bytes: 1 << 20,
            deadlines: Deadlines { deliver: Span::DAY, pay: Span::HOUR },
            escrow: None,
            pow: 8,
            inbox: Inbox {
                key: key(9).pubkey(),
                relays: vec!["wss://relay.example".into(), "ws://127.0.0.1:7777/x".into()],
            },
            inputs: vec![attachment("sentences.txt")],
        },
    }
}

pub(super) fn attachment(name: &str) -> Attachment {
    Attachment { blob: Digest([5; 32]), size: 4096, name: raw(name) }
}

pub(super) fn terms() -> Terms {
    Terms {
        milestones: Vec::new(),
        quality: Quality::default(),
        v: 1,
        work: Work::File,
        mode: Mode::Sealed,
        price: Msat::sats(21_000).unwrap(),
        tranches: 3,
        max_bytes: 1 << 20,
        deadlines: Deadlines { deliver: Span::DAY, pay: Span::HOUR },
        escrow: None,
        network: Network::Regtest,
    }
}

pub(super) fn address() -> Address {
    Address {
        endpoint: EndpointId([4; 32]),
        direct: vec!["192.0.2.7:4433".into(), "[2001:db8::1]:4433".into()],
        relay: Some("https://relay.iroh.example/".into()),
    }
}

/// The worker's identity is key 1, its session key 2; the requester's 3 and 4.
pub(super) fn certifying(role: Role) -> Certifying {
    let (session, counterparty) = match role {
        Role::Worker => (key(2).pubkey(), key(3).pubkey()),
        Role::Requester => (key(4).pubkey(), key(1).pubkey()),
    };
    Certifying {
        session,
        role,
        counterparty,
        terms: wire::terms_hash(&terms()),
        nonce: Nonce([6; 32]),
        node: node(),
        endpoint: EndpointId([4; 32]),
        network: Network::Regtest,
        at: NOW,
    }
}

pub(super) fn bid_with(certificate: String) -> Draft {
    let body = Body::Bid(Bid {
        gig: EventId([8; 32]),
        terms: terms(),
        certificate,
        relays: vec!["wss://reply.example".into()],
        address: address(),
        valid_until: NOW.after(Span::HOUR),
        least_first: Msat::sats(1).unwrap(),
        message: raw("I \"would\" do it.\n\u{1b}[31mred"),
    });
    Draft { job: None, seq: 0, prev: None, seen: None, at: NOW, body }
}

pub(super) fn bid() -> Record {
    let certificate = wire::certify(&key(1), &certifying(Role::Worker)).unwrap();
    wire::sign_record(&key(2), &bid_with(certificate.event)).unwrap()
}

pub(super) fn award_with(bid: &Record, certificate: String) -> Draft {
    let body = Body::Award(Award {
        bid: bid.id,
        certificate,
        relays: vec!["wss://channel.example".into()],
        address: address(),
        inputs: vec![attachment("a"), attachment("b")],
        audit: Digest([7; 32]),
        audit_nonce: Nonce([8; 32]),
        lock: None,
    });
    let job = Some(JobId(bid.id.0));
    Draft { job, seq: 0, prev: None, seen: Some(bid.id), at: NOW, body }
}

pub(super) fn award(bid: &Record) -> Record {
    let certificate = wire::certify(&key(3), &certifying(Role::Requester)).unwrap();
    wire::sign_record(&key(4), &award_with(bid, certificate.event)).unwrap()
}

pub(super) fn job() -> JobId {
    let bid = bid();
    earnest::market::job_id(&bid.id, &award(&bid).id)
}

pub(super) fn manifest() -> Manifest {
    let hash = |n: u8| hex::encode([n; 32]);
    let whole = json!({
        "blob": hash(1), "blob_len": 40_000, "checks": [hash(2)], "cut": "bytes", "delivery": 0,
        "first": [0, 1, 2], "h": [hash(3), hash(4), hash(5)], "job": hash(6), "mode": "sealed",
        "n": 3, "nonce": hash(7), "root": hash(8), "secrets": [hash(9), hash(10), hash(11)],
        "total": 40_000, "v": 1, "vector": hash(12),
    });
    serde_json::from_value(whole).unwrap()
}

pub(super) fn lock() -> Lock {
    Lock { milestone: 0, attempt: 1, hash: PaymentHash([1; 32]), nonce: Nonce([2; 32]) }
}

/// Every kind of body that may travel in a channel.
pub(super) fn bodies() -> Vec<Body> {
    let manifest_id = EventId([3; 32]);
    vec![
        Body::Decline { reason: raw("no") },
        Body::Withdraw { reason: raw("") },
        Body::Material(attachment("../../etc/passwd")),
        Body::Deliver(Delivery {
            manifest: manifest(),
            name: raw("out.txt"),
            vector_size: 120,
            message: raw("done"),
            keys: Vec::new(),
        }),
        Body::Ready { manifest: manifest_id, tranche: 2 },
        Body::Bill { manifest: manifest_id, tranche: 0, invoice: "lnbcrt210u1pj".into() },
        Body::Accept { manifest: manifest_id, next: None, x: None, receipt: None },
        Body::Reject { manifest: manifest_id, reason: raw("not Finnish"), next: None },
        Body::Reject {
            manifest: manifest_id,
            reason: raw("wrong keys"),
            next: Some(NextSeed { audit: Digest([1; 32]), audit_nonce: Nonce([2; 32]) }),
        },
        Body::Audit { manifest: manifest_id, seed: Preimage::new([9; 32]) },
        // 512 keys of 32 bytes: the most that one answer opens.
        Body::Open { manifest: manifest_id, keys: format!("{}AA==", "A".repeat(21_844)) },
        Body::Open { manifest: manifest_id, keys: String::new() },
        Body::Accept {
            manifest: manifest_id,
            next: None,
            x: Some(Preimage::new([9; 32])),
            receipt: None,
        },
        Body::Lock(lock()),
        Body::Fund { attempt: 3, invoice: "lnbcrt210u1pj".into(), height: 900_288 },
        Body::Funded { attempt: 3, deadline: 900_290 },
        Body::Appoint {
            bid: "{}".into(),
            award: "{}".into(),
            lock: Some("{}".into()),
            fund: "{}".into(),
            funded: "{}".into(),
            listing: Some("{}".into()),
            x: Preimage::new([9; 32]),
        },
        Body::Holding {
            hash: PaymentHash([1; 32]),
            certificate: "{}".into(),
            address: Address { endpoint: EndpointId([4; 32]), direct: Vec::new(), relay: None },
        },
        Body::Lodge { record: "{}".into() },
        Body::Lodged { record: "{}".into(), height: 900_100 },
        Body::Dispute {
            manifest: Some(manifest_id),
            reason: raw("not what was asked"),
            secrets: vec![Preimage::new([8; 32])],
        },
        Body::Dispute { manifest: None, reason: raw("no word"), secrets: Vec::new() },
        Body::Objection { dispute: manifest_id, reason: raw("it is") },
        Body::Ruling { dispute: manifest_id, x: None, reason: raw("it is not") },
        Body::Ruling { dispute: manifest_id, x: Some(Preimage::new([9; 32])), reason: raw("so") },
        Body::Cancel { reason: raw("sorry") },
        Body::Settled { manifest: manifest_id, receipt: None },
        Body::Rate { stars: 5, comment: raw("good") },
        Body::Note { text: raw("hello \u{1F980}") },
    ]
}

pub(super) fn channel_draft(body: Body) -> Draft {
    let (prev, seen) = (Some(EventId([1; 32])), Some(EventId([2; 32])));
    Draft { job: Some(job()), seq: 1, prev, seen, at: NOW, body }
}

/// Signs something that our own encoder would refuse to make.
pub(super) fn forge(n: u8, kind: u16, tags: Vec<Vec<String>>, content: &str, at: Time) -> String {
    let tags: Vec<Tag> = tags.into_iter().map(|t| Tag::parse(t).unwrap()).collect();
    let event = EventBuilder::new(Kind::from(kind), content)
        .tags(tags)
        .custom_created_at(Timestamp::from(at.0))
        .allow_self_tagging()
        .sign_with_keys(&nostr_keys(n))
        .unwrap();
    event.as_json()
}

/// An event taken apart, changed, and signed again.
pub(super) fn reforged(
    n: u8,
    json: &str,
    change: impl FnOnce(&mut Tags, &mut String, &mut Time),
) -> String {
    let event = nostr::Event::from_json(json).unwrap();
    let mut tags = event.tags.iter().map(|t| t.as_slice().to_vec()).collect();
    let (mut content, mut at) = (event.content.clone(), Time(event.created_at.as_secs()));
    change(&mut tags, &mut content, &mut at);
    forge(n, event.kind.as_u16(), tags, &content, at)
}

pub(super) fn set_tag(tags: &mut [Vec<String>], name: &str, value: &str) {
    tags.iter_mut().find(|t| t[0] == name).unwrap()[1] = value.to_owned();
}

/// Every single changed byte is refused or reads the same (hex in capitals, say).
pub(super) fn no_byte_matters<T: PartialEq + std::fmt::Debug>(
    json: &str,
    step: usize,
    read: impl Fn(&str) -> Result<T, Rejected>,
) {
    let right = read(json).unwrap();
    for at in (0..json.len()).step_by(step) {
        for bit in [0x01, 0x02, 0x10, 0x20, 0x80] {
            let mut bytes = json.as_bytes().to_vec();
            bytes[at] ^= bit;
            let Ok(text) = String::from_utf8(bytes) else { continue };
            if let Ok(other) = read(&text) {
                assert_eq!(other, right, "byte {at}: {text}");
            }
        }
    }
}

pub(super) fn wrapping(to: u8, pow: u8) -> Wrapping {
    Wrapping { to: key(to).pubkey(), pow, now: NOW }
}

/// The worker's end of the channel and the requester's.
pub(super) fn both_sides() -> (ChannelKeys, ChannelKeys) {
    let worker = ChannelKeys::derive(&key(2), &key(4).pubkey(), &job()).unwrap();
    let requester = ChannelKeys::derive(&key(4), &key(2).pubkey(), &job()).unwrap();
    (worker, requester)
}

//! What two strangers' programs say to each other, and how each refuses what the other must not say.

use earnest::market::*;
use earnest::seal::Manifest;
use earnest::text::Raw;
use earnest::wire::{self, Certifying, ChannelKeys, Code, Rejected, SigningKey, Stage, Wrapping};
use nostr::{EventBuilder, JsonUtil, Kind, PublicKey, Tag, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};

const NOW: Time = Time(1_790_000_000);

fn key(n: u8) -> SigningKey {
    SigningKey::new(&[n; 32]).unwrap()
}

/// The same key as the library that other Nostr clients are made of holds it.
fn nostr_keys(n: u8) -> nostr::Keys {
    nostr::Keys::new(nostr::SecretKey::from_slice(&[n; 32]).unwrap())
}

fn raw(text: &str) -> Raw {
    Raw(text.to_owned())
}

fn node() -> NodeId {
    // The generator point of secp256k1.
    "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798".parse().unwrap()
}

fn gig() -> Gig {
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
            v: 1,
            work: Work::File,
            modes: vec![Mode::Sealed, Mode::Direct],
            slots: 2,
            price: Msat::new(21_000_500).unwrap(),
            max_bytes: 1 << 20,
            deadlines: Deadlines { deliver: Span::DAY, pay: Span::HOUR },
            pow: 8,
            inbox: Inbox {
                key: key(9).pubkey(),
                relays: vec!["wss://relay.example".into(), "ws://127.0.0.1:7777/x".into()],
            },
            inputs: vec![attachment("sentences.txt")],
        },
    }
}

fn attachment(name: &str) -> Attachment {
    Attachment { blob: Digest([5; 32]), size: 4096, name: raw(name) }
}

fn terms() -> Terms {
    Terms {
        v: 1,
        work: Work::File,
        mode: Mode::Sealed,
        price: Msat::sats(21_000).unwrap(),
        tranches: 3,
        max_bytes: 1 << 20,
        deadlines: Deadlines { deliver: Span::DAY, pay: Span::HOUR },
        network: Network::Regtest,
    }
}

fn address() -> Address {
    Address {
        endpoint: EndpointId([4; 32]),
        direct: vec!["192.0.2.7:4433".into(), "[2001:db8::1]:4433".into()],
        relay: Some("https://relay.iroh.example/".into()),
    }
}

/// The worker's identity is key 1, its session key 2; the requester's 3 and 4.
fn certifying(role: Role) -> Certifying {
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

fn bid_with(certificate: String) -> Draft {
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

fn bid() -> Record {
    let certificate = wire::certify(&key(1), &certifying(Role::Worker)).unwrap();
    wire::sign_record(&key(2), &bid_with(certificate.event)).unwrap()
}

fn award_with(bid: &Record, certificate: String) -> Draft {
    let body = Body::Award(Award {
        bid: bid.id,
        certificate,
        relays: vec!["wss://channel.example".into()],
        address: address(),
        inputs: vec![attachment("a"), attachment("b")],
        audit: Digest([7; 32]),
        audit_nonce: Nonce([8; 32]),
    });
    let job = Some(JobId(bid.id.0));
    Draft { job, seq: 0, prev: None, seen: Some(bid.id), at: NOW, body }
}

fn award(bid: &Record) -> Record {
    let certificate = wire::certify(&key(3), &certifying(Role::Requester)).unwrap();
    wire::sign_record(&key(4), &award_with(bid, certificate.event)).unwrap()
}

fn job() -> JobId {
    let bid = bid();
    wire::job_id(&bid.id, &award(&bid).id)
}

fn manifest() -> Manifest {
    let hash = |n: u8| hex::encode([n; 32]);
    let whole = json!({
        "blob": hash(1), "blob_len": 40_000, "checks": [hash(2)], "cut": "bytes", "delivery": 0,
        "first": [0, 1, 2], "h": [hash(3), hash(4), hash(5)], "job": hash(6), "mode": "sealed",
        "n": 3, "nonce": hash(7), "root": hash(8), "secrets": [hash(9), hash(10), hash(11)],
        "total": 40_000, "v": 1, "vector": hash(12),
    });
    // Its form is the seal's to say; the wire carries whatever serde makes of it.
    serde_json::from_value(whole).or_else(|_| serde_json::from_value(json!({}))).unwrap()
}

/// Every kind of body that may travel in a channel.
fn bodies() -> Vec<Body> {
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
        }),
        Body::Ready { manifest: manifest_id, tranche: 2 },
        Body::Bill { manifest: manifest_id, tranche: 0, invoice: "lnbcrt210u1pj".into() },
        Body::Accept { manifest: manifest_id },
        Body::Reject { manifest: manifest_id, reason: raw("not Finnish") },
        Body::Cancel { reason: raw("sorry") },
        Body::Settled { manifest: manifest_id },
        Body::Rate { stars: 5, comment: raw("good") },
        Body::Note { text: raw("hello \u{1F980}") },
    ]
}

fn channel_draft(body: Body) -> Draft {
    let (prev, seen) = (Some(EventId([1; 32])), Some(EventId([2; 32])));
    Draft { job: Some(job()), seq: 1, prev, seen, at: NOW, body }
}

/// Signs something that our own encoder would refuse to make.
fn forge(n: u8, kind: u16, tags: Vec<Vec<String>>, content: &str, at: Time) -> String {
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
fn reforged(
    n: u8,
    json: &str,
    change: impl FnOnce(&mut Vec<Vec<String>>, &mut String, &mut Time),
) -> String {
    let event = nostr::Event::from_json(json).unwrap();
    let mut tags = event.tags.iter().map(|t| t.as_slice().to_vec()).collect();
    let (mut content, mut at) = (event.content.clone(), Time(event.created_at.as_secs()));
    change(&mut tags, &mut content, &mut at);
    forge(n, event.kind.as_u16(), tags, &content, at)
}

fn set_tag(tags: &mut [Vec<String>], name: &str, value: &str) {
    tags.iter_mut().find(|t| t[0] == name).unwrap()[1] = value.to_owned();
}

/// Every single changed byte is refused or reads the same (hex in capitals, say).
fn no_byte_matters<T: PartialEq + std::fmt::Debug>(
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

// ---------------------------------------------------------------- listings

#[test]
fn a_gig_is_published_and_read_back() {
    for status in [Status::Open, Status::Reserved, Status::Closed] {
        let gig = Gig { status, ..gig() };
        let (id, json) = wire::publish(&key(1), &gig, Stage::Published).unwrap();
        let read = wire::read_listing(&json, NOW).unwrap();
        assert_eq!(read, Gig { id, author: key(1).pubkey(), ..gig });
    }
}

#[test]
fn any_classifieds_client_can_show_a_gig() {
    let (_, json) = wire::publish(&key(1), &gig(), Stage::Published).unwrap();
    let event = nostr::Event::from_json(&json).unwrap();
    event.verify().unwrap();
    assert_eq!(event.kind, Kind::from(30402));
    let tags: Vec<Vec<String>> = event.tags.iter().map(|t| t.as_slice().to_vec()).collect();
    let has = |tag: &[&str]| tags.iter().any(|t| t == tag);
    for tag in [
        ["d", "translate-2"].as_slice(),
        &["title", "Translate 300 sentences"],
        &["published_at", "1789999940"],
        &["price", "21000.5", "SAT"],
        &["status", "active"],
        &["s", "open"],
        &["n", "regtest"],
        &["y", "earnest"],
        &["L", "earnest"],
        &["l", "request", "earnest"],
        &["l", "file", "earnest"],
        &["t", "translation"],
        &["expires_at", "1790604800"],
        &["expiration", "1791814400"],
    ] {
        assert!(has(tag), "{tag:?} is not in {tags:?}");
    }
}

#[test]
fn a_preview_is_what_strangers_see() {
    let seen = wire::preview(&gig()).unwrap();
    let (_, json) = wire::publish(&key(1), &gig(), Stage::Published).unwrap();
    let event = nostr::Event::from_json(&json).unwrap();
    let tags: Vec<Vec<String>> = event.tags.iter().map(|t| t.as_slice().to_vec()).collect();
    assert_eq!((seen.tags, seen.content.0), (tags, event.content));
    assert_eq!(seen.bytes, json.len());
}

#[test]
fn a_draft_is_not_on_the_market() {
    let (_, json) = wire::publish(&key(1), &gig(), Stage::Draft).unwrap();
    assert_eq!(wire::read_listing(&json, NOW).unwrap_err().code, Code::WrongKind);
}

#[test]
fn a_gig_that_no_reader_would_take_is_not_published() {
    let try_with = |change: fn(&mut Gig)| {
        let mut gig = gig();
        change(&mut gig);
        wire::publish(&key(1), &gig, Stage::Published).unwrap_err().code
    };
    assert_eq!(try_with(|g| g.content = Raw("x".repeat(17_000))), Code::TooLarge);
    assert_eq!(try_with(|g| g.title = raw("  ")), Code::OutOfLimits);
    assert_eq!(try_with(|g| g.title = Raw("x".repeat(161))), Code::OutOfLimits);
    assert_eq!(try_with(|g| g.d = "a b".into()), Code::BadTag);
    assert_eq!(try_with(|g| g.d = String::new()), Code::BadTag);
    assert_eq!(try_with(|g| g.tags = vec!["Loud".into()]), Code::BadTag);
    assert_eq!(try_with(|g| g.tags = vec!["a".into(), "a".into()]), Code::BadTag);
    assert_eq!(try_with(|g| g.tags = vec!["\u{202e}a".into()]), Code::BadTag);
    assert_eq!(try_with(|g| g.published_at = Time(NOW.0 + 1)), Code::BadTag);
    assert_eq!(try_with(|g| g.expires_at = g.published_at), Code::BadTag);
    assert_eq!(try_with(|g| g.expires_at = NOW.after(Span::DAY.times(91))), Code::BadTag);
    assert_eq!(try_with(|g| g.offer.v = 2), Code::UnknownVersion);
    assert_eq!(try_with(|g| g.offer.modes.clear()), Code::OutOfLimits);
    assert_eq!(try_with(|g| g.offer.modes = vec![Mode::Sealed; 2]), Code::OutOfLimits);
    assert_eq!(try_with(|g| g.offer.slots = 0), Code::OutOfLimits);
    assert_eq!(try_with(|g| g.offer.price = Msat::new(999).unwrap()), Code::OutOfLimits);
    assert_eq!(try_with(|g| g.offer.price = Msat::MAX), Code::OutOfLimits);
    assert_eq!(try_with(|g| g.offer.max_bytes = 0), Code::OutOfLimits);
    assert_eq!(try_with(|g| g.offer.deadlines.pay = Span(0)), Code::OutOfLimits);
    assert_eq!(try_with(|g| g.offer.deadlines.deliver = Span::DAY.times(91)), Code::OutOfLimits);
    assert_eq!(try_with(|g| g.offer.pow = 25), Code::OutOfLimits);
    assert_eq!(try_with(|g| g.offer.inbox.key = Pubkey([0xff; 32])), Code::OutOfLimits);
    assert_eq!(try_with(|g| g.offer.inbox.relays.clear()), Code::OutOfLimits);
    assert_eq!(try_with(|g| g.offer.inbox.relays = vec!["wss://a.b".into(); 2]), Code::OutOfLimits);
    let many =
        |g: &mut Gig| g.offer.inbox.relays = (0..4).map(|i| format!("wss://{i}.b")).collect();
    assert_eq!(try_with(many), Code::OutOfLimits);
    for relay in ["http://a.b", "wss://", "wss://u:p@a.b", "not a url", "file:///etc/passwd", ""] {
        let mut gig = gig();
        gig.offer.inbox.relays = vec![relay.into()];
        let refused = wire::publish(&key(1), &gig, Stage::Published).unwrap_err();
        assert_eq!(refused.code, Code::OutOfLimits, "{relay}");
    }
    assert_eq!(try_with(|g| g.offer.inputs[0].size = (8 << 20) + 1), Code::OutOfLimits);
    assert_eq!(try_with(|g| g.offer.inputs = vec![attachment("x"); 17]), Code::OutOfLimits);
    assert_eq!(try_with(|g| g.offer.deadlines.pay = Span(u64::MAX)), Code::NotCanonical);
}

#[test]
fn a_strangers_listing_is_read_strictly() {
    let (_, honest) = wire::publish(&key(1), &gig(), Stage::Published).unwrap();
    let read = |change: &dyn Fn(&mut Vec<Vec<String>>, &mut String, &mut Time)| {
        let json = reforged(1, &honest, |t, c, a| change(t, c, a));
        wire::read_listing(&json, NOW)
    };
    let code = |change: &dyn Fn(&mut Vec<Vec<String>>, &mut String, &mut Time)| {
        read(change).unwrap_err().code
    };
    read(&|_, _, _| {}).unwrap();
    // What other clients add does no harm.
    read(&|t, _, _| t.push(vec!["image".into(), "https://x.example/i.png".into()])).unwrap();
    read(&|t, _, _| t.push(vec!["l".into(), "anything".into(), "org.other".into()])).unwrap();
    read(&|t, _, _| t.retain(|t| t[0] != "status")).unwrap();
    // Marked sold elsewhere: closed, whatever `s` says.
    let sold = read(&|t, _, _| set_tag(t, "status", "sold")).unwrap();
    assert_eq!(sold.status, Status::Closed);
    // Each of these would let a listing say two things, or nothing.
    for name in ["d", "title", "summary", "published_at", "price", "s", "n", "y", "L", "terms"] {
        assert_eq!(code(&|t, _, _| t.retain(|t| t[0] != name)), Code::BadTag, "no {name}");
    }
    for name in ["d", "title", "price", "s", "n", "y", "terms", "expires_at", "expiration"] {
        let twice = |t: &mut Vec<Vec<String>>, _: &mut String, _: &mut Time| {
            let again = t.iter().find(|t| t[0] == name).unwrap().clone();
            t.push(again);
        };
        assert_eq!(code(&twice), Code::BadTag, "{name} twice");
    }
    assert_eq!(code(&|t, _, _| set_tag(t, "price", "1")), Code::BadTag);
    assert_eq!(code(&|t, _, _| set_tag(t, "y", "other")), Code::BadTag);
    assert_eq!(code(&|t, _, _| set_tag(t, "n", "dogecoin")), Code::BadTag);
    assert_eq!(code(&|t, _, _| set_tag(t, "s", "maybe")), Code::BadTag);
    assert_eq!(code(&|t, _, _| set_tag(t, "status", "maybe")), Code::BadTag);
    assert_eq!(code(&|t, _, _| set_tag(t, "expires_at", "01790604800")), Code::BadTag);
    assert_eq!(code(&|t, _, _| set_tag(t, "expires_at", "-1")), Code::BadTag);
    assert_eq!(code(&|t, _, _| set_tag(t, "expiration", "1790000001")), Code::BadTag);
    assert_eq!(code(&|t, _, _| set_tag(t, "l", "judge")), Code::BadTag);
    assert_eq!(
        code(&|t, _, _| t.extend((0..64).map(|i| vec![format!("x{i}")]))),
        Code::OutOfLimits
    );
    let terms = |change: fn(&str) -> String| {
        code(&move |t: &mut Vec<Vec<String>>, _: &mut String, _: &mut Time| {
            let tag = t.iter_mut().find(|t| t[0] == "terms").unwrap();
            tag[1] = change(&tag[1]);
        })
    };
    assert_eq!(terms(|s| s.replacen(':', ": ", 1)), Code::NotCanonical);
    assert_eq!(terms(|s| s.replacen("\"v\":1", "\"v\":2", 1)), Code::UnknownVersion);
    assert_eq!(terms(|s| s.replacen("\"v\":1", "\"v\":1,\"v\":1", 1)), Code::NotCanonical);
    assert_eq!(terms(|s| s.replacen("\"v\":1", "\"v\":1,\"w\":1", 1)), Code::BadField);
    assert_eq!(terms(|s| s.replacen("\"slots\":2", "\"slots\":2.0", 1)), Code::NotCanonical);
    assert_eq!(terms(|s| s.replacen("\"slots\":2", "\"slots\":-2", 1)), Code::BadField);
    assert_eq!(terms(|s| s.replacen("sealed", "trustme", 1)), Code::BadField);
    assert_eq!(terms(|_| "[".repeat(5000)), Code::NotCanonical);
    assert_eq!(terms(|_| String::new()), Code::NotCanonical);
}

#[test]
fn a_listing_from_the_future_waits() {
    let mut late = gig();
    late.at = NOW.after(Span::MINUTE.times(16));
    let (_, json) = wire::publish(&key(1), &late, Stage::Published).unwrap();
    assert_eq!(wire::read_listing(&json, NOW).unwrap_err().code, Code::FutureDated);
    assert!(wire::read_listing(&json, NOW.after(Span::MINUTE)).is_ok());
}

#[test]
fn no_byte_of_a_listing_can_be_changed() {
    let (_, json) = wire::publish(&key(1), &gig(), Stage::Published).unwrap();
    no_byte_matters(&json, 3, |text| wire::read_listing(text, NOW));
}

// ---------------------------------------------------------------- certificates

#[test]
fn a_certificate_says_what_was_certified() {
    let what = certifying(Role::Worker);
    let certificate = wire::certify(&key(1), &what).unwrap();
    assert_eq!(certificate.identity, key(1).pubkey());
    assert_eq!(certificate.session, what.session);
    assert_eq!(certificate.terms, wire::terms_hash(&terms()));
    assert_eq!(wire::read_certificate(&certificate.event).unwrap(), certificate);
    assert_eq!(wire::certify(&key(1), &what).unwrap(), certificate, "signing again");
    no_byte_matters(&certificate.event, 1, wire::read_certificate);
}

#[test]
fn a_certificate_that_says_more_or_less_is_refused() {
    let honest = wire::certify(&key(1), &certifying(Role::Worker)).unwrap().event;
    let code = |change: &dyn Fn(&mut Vec<Vec<String>>, &mut String)| {
        let json = reforged(1, &honest, |t, c, _| change(t, c));
        wire::read_certificate(&json).unwrap_err().code
    };
    assert_eq!(code(&|t, _| t.push(vec!["extra".into()])), Code::BadField);
    assert_eq!(code(&|t, _| t.swap(2, 3)), Code::BadField);
    assert_eq!(code(&|_, c| c.push('!')), Code::BadField);
    assert_eq!(code(&|t, _| set_tag(t, "v", "2")), Code::UnknownVersion);
    assert_eq!(code(&|t, _| set_tag(t, "role", "judge")), Code::BadTag);
    assert_eq!(code(&|t, _| set_tag(t, "network", "moon")), Code::BadTag);
    assert_eq!(code(&|t, _| set_tag(t, "session", &"ff".repeat(32))), Code::BadTag);
    assert_eq!(code(&|t, _| set_tag(t, "node", &"05".repeat(33))), Code::BadTag);
    assert_eq!(code(&|t, _| set_tag(t, "terms", &"AB".repeat(32))), Code::BadTag);
    assert_eq!(code(&|t, _| set_tag(t, "nonce", "00")), Code::BadTag);
    assert_eq!(code(&|t, _| t.retain(|t| t[0] != "endpoint")), Code::BadTag);
    assert_eq!(code(&|_, c| *c = "x".repeat(3000)), Code::TooLarge);
}

// ---------------------------------------------------------------- records

#[test]
fn every_body_survives_the_wire() {
    let bid = bid();
    let mut drafts = vec![bid.draft.clone(), award(&bid).draft];
    drafts.extend(bodies().into_iter().map(channel_draft));
    for draft in drafts {
        let record = wire::sign_record(&key(2), &draft).unwrap();
        assert_eq!(record.draft, draft);
        assert_eq!(record.author, key(2).pubkey());
        assert_eq!(wire::read_record(&record.event).unwrap(), record);
        assert_eq!(wire::sign_record(&key(2), &draft).unwrap(), record, "signing again");
        let name = serde_json::to_value(&draft.body).unwrap()["type"].clone();
        assert_eq!(name, Value::from(draft.body.kind()));
    }
}

#[test]
fn no_byte_of_a_record_can_be_changed() {
    let bid = bid();
    no_byte_matters(&award(&bid).event, 2, wire::read_record);
    let note = wire::sign_record(&key(2), &channel_draft(Body::Note { text: raw("hi") })).unwrap();
    no_byte_matters(&note.event, 1, wire::read_record);
}

#[test]
fn a_record_that_this_version_does_not_know_is_refused() {
    let note = channel_draft(Body::Note { text: raw("hi") });
    let honest = wire::sign_record(&key(2), &note).unwrap().event;
    let code = |change: &dyn Fn(&mut Vec<Vec<String>>, &mut String, &mut Time)| {
        let json = reforged(2, &honest, |t, c, a| change(t, c, a));
        wire::read_record(&json).unwrap_err().code
    };
    let body = |text: &'static str| code(&move |_, c, _| *c = text.to_owned());
    assert_eq!(body("{\"text\":\"hi\",\"type\":\"bribe\"}"), Code::UnknownBody);
    assert_eq!(body("{\"text\":\"hi\"}"), Code::UnknownBody);
    assert_eq!(body("\"note\""), Code::UnknownBody);
    assert_eq!(body("{\"type\":\"note\"}"), Code::BadField);
    assert_eq!(body("{\"text\":\"hi\",\"type\":\"note\",\"urgent\":true}"), Code::BadField);
    assert_eq!(body("{\"type\":\"note\",\"text\":\"hi\"}"), Code::NotCanonical);
    assert_eq!(body("{\"text\":\"h\\u0069\",\"type\":\"note\"}"), Code::NotCanonical);
    assert_eq!(body("{\"text\":\"a\",\"text\":\"hi\",\"type\":\"note\"}"), Code::NotCanonical);
    assert_eq!(body("not json"), Code::NotCanonical);
    assert_eq!(code(&|t, _, _| set_tag(t, "v", "2")), Code::UnknownVersion);
    assert_eq!(code(&|t, _, _| t.push(vec!["critical".into(), "1".into()])), Code::BadTag);
    assert_eq!(code(&|t, _, _| t.swap(0, 1)), Code::BadTag);
    assert_eq!(code(&|t, _, _| set_tag(t, "seq", "01")), Code::BadTag);
    assert_eq!(code(&|t, _, _| set_tag(t, "seq", "9007199254740992")), Code::BadTag);
    assert_eq!(code(&|t, _, _| set_tag(t, "seq", "0")), Code::BadTag);
    assert_eq!(code(&|t, _, _| set_tag(t, "j", &"00".repeat(32))), Code::BadTag);
    assert_eq!(code(&|t, _, _| t.retain(|t| t[0] != "prev")), Code::BadTag);
    assert_eq!(code(&|_, _, a| *a = Time(1 << 53)), Code::NotAnEvent);
    assert_eq!(code(&|_, c, _| *c = "x".repeat(30_000)), Code::TooLarge);
}

#[test]
fn what_no_reader_would_take_is_not_signed() {
    let code = |draft: &Draft| wire::sign_record(&key(2), draft).unwrap_err().code;
    let limit = |body: Body| assert_eq!(code(&channel_draft(body)), Code::OutOfLimits);
    let long = || Raw("x".repeat(7000));
    let manifest = EventId([3; 32]);
    limit(Body::Note { text: long() });
    limit(Body::Cancel { reason: long() });
    limit(Body::Rate { stars: 0, comment: raw("") });
    limit(Body::Rate { stars: 6, comment: raw("") });
    limit(Body::Rate { stars: 1, comment: long() });
    limit(Body::Ready { manifest, tranche: 64 });
    limit(Body::Bill { manifest, tranche: 0, invoice: "x".repeat(5000) });
    limit(Body::Bill { manifest, tranche: 0, invoice: "ln bc".into() });
    limit(Body::Bill { manifest, tranche: 0, invoice: String::new() });
    limit(Body::Material(Attachment { size: 0, ..attachment("x") }));
    limit(Body::Material(Attachment { size: (1 << 40) + 1, ..attachment("x") }));
    limit(Body::Material(attachment(&"x".repeat(256))));
    // Control characters are escaped three deep: the size of the event is what counts.
    let escaped = Body::Note { text: Raw("\u{1}".repeat(6000)) };
    assert_eq!(code(&channel_draft(escaped)), Code::TooLarge);

    let bid_draft = |change: fn(&mut Bid)| {
        let mut draft = bid().draft;
        if let Body::Bid(bid) = &mut draft.body {
            change(bid);
        }
        code(&draft)
    };
    assert_eq!(bid_draft(|b| b.terms.v = 0), Code::UnknownVersion);
    assert_eq!(bid_draft(|b| b.terms.tranches = 0), Code::OutOfLimits);
    assert_eq!(bid_draft(|b| b.terms.tranches = 65), Code::OutOfLimits);
    assert_eq!(bid_draft(|b| b.terms.tranches = 22), Code::OutOfLimits);
    assert_eq!(bid_draft(|b| b.terms.price = Msat::ZERO), Code::OutOfLimits);
    assert_eq!(bid_draft(|b| b.relays.clear()), Code::OutOfLimits);
    assert_eq!(bid_draft(|b| b.message = Raw("x".repeat(5000))), Code::OutOfLimits);
    let nine = |b: &mut Bid| b.address.direct = (1..10).map(|i| format!("192.0.2.{i}:1")).collect();
    assert_eq!(bid_draft(nine), Code::OutOfLimits);
    for direct in ["example.com:80", "192.0.2.1", "0.0.0.0:80", "192.0.2.1:0", ""] {
        let mut draft = bid().draft;
        if let Body::Bid(bid) = &mut draft.body {
            bid.address.direct = vec![direct.into()];
        }
        assert_eq!(code(&draft), Code::OutOfLimits, "{direct}");
    }
    // A chain has one beginning, and only a bid begins a job.
    let note = || channel_draft(Body::Note { text: raw("") });
    assert_eq!(code(&Draft { seq: 0, ..note() }), Code::BadTag);
    assert_eq!(code(&Draft { prev: None, ..note() }), Code::BadTag);
    assert_eq!(code(&Draft { job: None, ..note() }), Code::BadTag);
    assert_eq!(code(&Draft { job: Some(JobId([0; 32])), ..note() }), Code::BadTag);
    assert_eq!(code(&Draft { job: Some(job()), ..bid().draft }), Code::BadTag);
    assert_eq!(code(&Draft { job: Some(job()), ..award(&bid()).draft }), Code::BadTag);
    assert_eq!(code(&Draft { seq: 1 << 53, ..note() }), Code::BadTag);
}

#[test]
fn j_and_the_terms_hash_change_with_everything_in_them() {
    let (a, b) = (EventId([1; 32]), EventId([2; 32]));
    assert_ne!(wire::job_id(&a, &b), wire::job_id(&b, &a));
    let right = wire::terms_hash(&terms());
    for change in [
        |t: &mut Terms| t.price = Msat::sats(20_999).unwrap(),
        |t: &mut Terms| t.tranches = 2,
        |t: &mut Terms| t.network = Network::Bitcoin,
        |t: &mut Terms| t.deadlines.pay = Span(1),
        |t: &mut Terms| t.mode = Mode::Direct,
    ] {
        let mut terms = terms();
        change(&mut terms);
        assert_ne!(wire::terms_hash(&terms), right);
    }
}

// ---------------------------------------------------------------- first contact

fn wrapping(to: u8, pow: u8) -> Wrapping {
    Wrapping { to: key(to).pubkey(), pow, now: NOW }
}

#[test]
fn a_bid_and_its_award_find_each_other() {
    let bid = bid();
    let (_, json) = wire::wrap(&key(2), &bid, &wrapping(9, 8), &[1; 32]).unwrap();
    let opened = wire::open_wrap(&key(9), &json, 8).unwrap();
    assert_eq!(opened.record, bid);
    assert_eq!(opened.terms, Some(wire::terms_hash(&terms())));
    let certificate = opened.certificate.unwrap();
    assert_eq!((certificate.identity, certificate.role), (key(1).pubkey(), Role::Worker));

    let award = award(&bid);
    let (_, json) = wire::wrap(&key(4), &award, &wrapping(2, 0), &[2; 32]).unwrap();
    let opened = wire::open_wrap(&key(2), &json, 0).unwrap();
    assert_eq!(opened.record, award);
    assert_eq!(opened.terms, None);
    assert_eq!(opened.certificate.unwrap().identity, key(3).pubkey());
}

#[test]
fn a_wrap_tells_a_relay_nothing() {
    let (id, json) = wire::wrap(&key(2), &bid(), &wrapping(9, 8), &[1; 32]).unwrap();
    let event = nostr::Event::from_json(&json).unwrap();
    event.verify().unwrap();
    assert!(wire::bits(&id) >= 8);
    assert_eq!(event.kind, Kind::GiftWrap);
    for n in 1..10 {
        assert_ne!(event.pubkey.to_bytes(), key(n).pubkey().0, "signed by a key of somebody");
    }
    let at = Time(event.created_at.as_secs());
    assert!(at <= NOW && at.until(NOW) <= Span::DAY.times(2), "dated {at:?}");
    assert!(json.len() < 20_000, "{} bytes", json.len());
    // Chance decides all of it, and nothing but chance.
    assert_eq!(wire::wrap(&key(2), &bid(), &wrapping(9, 8), &[1; 32]).unwrap().1, json);
    assert_ne!(wire::wrap(&key(2), &bid(), &wrapping(9, 8), &[2; 32]).unwrap().1, json);
}

#[test]
fn other_nostr_software_opens_our_wraps() {
    let bid = bid();
    let (_, json) = wire::wrap(&key(2), &bid, &wrapping(9, 4), &[1; 32]).unwrap();
    let event = nostr::Event::from_json(&json).unwrap();
    let keys = nostr_keys(9);
    let rumor = now_or_never(nostr::nips::nip59::extract_rumor(&keys, &event)).unwrap();
    assert_eq!(rumor.sender.to_bytes(), key(2).pubkey().0);
    assert_eq!(rumor.rumor.content, bid.event);
}

/// Drives a future that never waits.
fn now_or_never<F: std::future::Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut context) {
        std::task::Poll::Ready(out) => out,
        std::task::Poll::Pending => panic!("it waits"),
    }
}

#[test]
fn work_is_proven_before_anything_is_opened() {
    let bid = bid();
    let (_, json) = wire::wrap(&key(2), &bid, &wrapping(9, 6), &[1; 32]).unwrap();
    let refused = wire::open_wrap(&key(9), &json, 20).unwrap_err();
    assert_eq!(refused.code, Code::NoProofOfWork);
    // A lucky id does not count: the target is committed to.
    let (mut fresh, mut lucky) = ([0; 32], None);
    for n in 0..200 {
        fresh[0] = n;
        let (id, json) = wire::wrap(&key(2), &bid, &wrapping(9, 0), &fresh).unwrap();
        if wire::bits(&id) >= 3 {
            lucky = Some(json);
            break;
        }
    }
    let refused = wire::open_wrap(&key(9), &lucky.unwrap(), 3).unwrap_err();
    assert_eq!(refused.code, Code::NoProofOfWork);
    let refused = wire::wrap(&key(2), &bid, &wrapping(9, 25), &[1; 32]).unwrap_err();
    assert_eq!(refused.code, Code::OutOfLimits);
}

#[test]
fn a_wrap_for_somebody_else_stays_shut() {
    let (_, json) = wire::wrap(&key(2), &bid(), &wrapping(9, 0), &[1; 32]).unwrap();
    assert_eq!(wire::open_wrap(&key(8), &json, 0).unwrap_err().code, Code::BadTag);
    let nobody = Wrapping { to: Pubkey([0xff; 32]), pow: 0, now: NOW };
    let refused = wire::wrap(&key(2), &bid(), &nobody, &[1; 32]).unwrap_err();
    assert_eq!(refused.code, Code::OutOfLimits);
}

#[test]
fn no_byte_of_a_wrap_can_be_changed() {
    let (_, json) = wire::wrap(&key(2), &bid(), &wrapping(9, 2), &[1; 32]).unwrap();
    no_byte_matters(&json, 7, |text| wire::open_wrap(&key(9), text, 2));
}

/// A wrap put together by hand: each layer signed by whom the test says.
fn wrap_by_hand(seal: u8, rumor: nostr::UnsignedEvent, seal_tags: Vec<Tag>) -> String {
    use nostr::nips::nip44;
    let to = PublicKey::from_byte_array(key(9).pubkey().0);
    let encrypt = |n: u8, text: String| {
        let secret = nostr_keys(n).secret_key().clone();
        nip44::encrypt(&secret, &to, text, nip44::Version::V2).unwrap()
    };
    let sealed = EventBuilder::new(Kind::Seal, encrypt(seal, rumor.as_json()))
        .tags(seal_tags)
        .sign_with_keys(&nostr_keys(seal))
        .unwrap();
    EventBuilder::new(Kind::GiftWrap, encrypt(99, sealed.as_json()))
        .tag(Tag::public_key(to))
        .sign_with_keys(&nostr_keys(99))
        .unwrap()
        .as_json()
}

fn rumor_of(n: u8, content: &str, at: Time) -> nostr::UnsignedEvent {
    let mut rumor = EventBuilder::new(Kind::from(wire::RECORD), content)
        .custom_created_at(Timestamp::from(at.0))
        .build(nostr_keys(n).public_key());
    rumor.ensure_id();
    rumor
}

#[test]
fn seal_rumor_and_record_are_of_one_author() {
    let bid = bid();
    let open = |json: &str| wire::open_wrap(&key(9), json, 0);
    let honest = wrap_by_hand(2, rumor_of(2, &bid.event, NOW), vec![]);
    assert_eq!(open(&honest).unwrap().record, bid);
    // Somebody seals another's bid as their own, or passes it on.
    let stolen = wrap_by_hand(7, rumor_of(7, &bid.event, NOW), vec![]);
    assert_eq!(open(&stolen).unwrap_err().code, Code::WrongAuthor);
    let passed_on = wrap_by_hand(7, rumor_of(2, &bid.event, NOW), vec![]);
    assert_eq!(open(&passed_on).unwrap_err().code, Code::WrongAuthor);
    let redated = wrap_by_hand(2, rumor_of(2, &bid.event, Time(NOW.0 + 1)), vec![]);
    assert_eq!(open(&redated).unwrap_err().code, Code::BadField);
    let tagged = vec![Tag::parse(["x", "y"]).unwrap()];
    let tagged = wrap_by_hand(2, rumor_of(2, &bid.event, NOW), tagged);
    assert_eq!(open(&tagged).unwrap_err().code, Code::BadTag);
    let chat = wrap_by_hand(2, rumor_of(2, "hello", NOW), vec![]);
    assert_eq!(open(&chat).unwrap_err().code, Code::NotAnEvent);
    let note = channel_draft(Body::Note { text: raw("hi") });
    let note = wire::sign_record(&key(2), &note).unwrap();
    let note = wrap_by_hand(2, rumor_of(2, &note.event, NOW), vec![]);
    assert_eq!(open(&note).unwrap_err().code, Code::WrongKind);
    let huge = wrap_by_hand(2, rumor_of(2, &"x".repeat(29_000), NOW), vec![]);
    assert_eq!(open(&huge).unwrap_err().code, Code::TooLarge);
}

#[test]
fn nobody_grafts_one_identity_onto_anothers_job() {
    let certified = |identity: u8, change: fn(&mut Certifying)| {
        let mut what = certifying(Role::Worker);
        change(&mut what);
        let certificate = wire::certify(&key(identity), &what).unwrap();
        let record = wire::sign_record(&key(2), &bid_with(certificate.event)).unwrap();
        // Our own encoder refuses it as well.
        let refused = wire::wrap(&key(2), &record, &wrapping(9, 0), &[1; 32]);
        let json = wrap_by_hand(2, rumor_of(2, &record.event, NOW), vec![]);
        let opened = wire::open_wrap(&key(9), &json, 0);
        assert_eq!(refused.is_ok(), opened.is_ok());
        opened.map_err(|e| e.code)
    };
    assert!(certified(1, |_| {}).is_ok());
    assert_eq!(certified(1, |c| c.session = key(7).pubkey()).unwrap_err(), Code::WrongCertificate);
    assert_eq!(certified(1, |c| c.role = Role::Requester).unwrap_err(), Code::WrongCertificate);
    assert_eq!(certified(1, |c| c.terms = Digest([1; 32])).unwrap_err(), Code::WrongCertificate);
    assert_eq!(certified(1, |c| c.network = Network::Bitcoin).unwrap_err(), Code::WrongCertificate);
    assert_eq!(
        certified(1, |c| c.endpoint = EndpointId([1; 32])).unwrap_err(),
        Code::WrongCertificate
    );
    let refused = wire::wrap(&key(7), &bid(), &wrapping(9, 0), &[1; 32]).unwrap_err();
    assert_eq!(refused.code, Code::WrongAuthor);
}

// ---------------------------------------------------------------- the channel

fn both_sides() -> (ChannelKeys, ChannelKeys) {
    let worker = ChannelKeys::derive(&key(2), &key(4).pubkey(), &job()).unwrap();
    let requester = ChannelKeys::derive(&key(4), &key(2).pubkey(), &job()).unwrap();
    (worker, requester)
}

#[test]
fn both_sides_derive_the_same_channel_and_nobody_else_does() {
    let (worker, requester) = both_sides();
    assert_eq!(worker.author(), requester.author());
    assert_eq!(worker.shared(), requester.shared());
    let other_job = ChannelKeys::derive(&key(2), &key(4).pubkey(), &JobId([1; 32])).unwrap();
    let other_key = ChannelKeys::derive(&key(5), &key(4).pubkey(), &job()).unwrap();
    for other in [&other_job, &other_key] {
        assert_ne!(other.author(), worker.author());
        assert_ne!(other.shared(), worker.shared());
    }
    let nobody = ChannelKeys::derive(&key(2), &Pubkey([0xff; 32]), &job());
    assert_eq!(nobody.unwrap_err().code, Code::OutOfLimits);
}

#[test]
fn what_one_posts_the_other_reads() {
    let (worker, requester) = both_sides();
    for body in bodies() {
        let record = wire::sign_record(&key(2), &channel_draft(body)).unwrap();
        let (_, json) = wire::post(&worker, &record, NOW, &[3; 32]).unwrap();
        assert_eq!(wire::open_post(&requester, &json).unwrap(), record);
        assert_eq!(wire::open_post(&worker, &json).unwrap(), record, "one's own echo");
        let event = nostr::Event::from_json(&json).unwrap();
        event.verify().unwrap();
        assert_eq!(event.pubkey.to_bytes(), worker.author().0);
        assert_eq!(event.tags.len(), 1);
        assert!(event.tags.expiration().is_some());
    }
}

#[test]
fn the_outer_key_is_not_taken_for_the_author() {
    let (worker, requester) = both_sides();
    // The requester says the worker's words: the record names its true author, so the market sees.
    let settled = channel_draft(Body::Settled { manifest: EventId([3; 32]) });
    let record = wire::sign_record(&key(4), &settled).unwrap();
    let (_, json) = wire::post(&requester, &record, NOW, &[3; 32]).unwrap();
    assert_eq!(wire::open_post(&worker, &json).unwrap().author, key(4).pubkey());
    // A third party's record does not pass at all.
    let stranger = wire::sign_record(&key(5), &settled).unwrap();
    let refused = wire::post(&requester, &stranger, NOW, &[3; 32]).unwrap_err();
    assert_eq!(refused.code, Code::WrongAuthor);
    // Nor does one of another job, or a record whose signature is not its author's.
    let elsewhere = Draft { job: Some(JobId([1; 32])), ..settled.clone() };
    let elsewhere = wire::sign_record(&key(4), &elsewhere).unwrap();
    let refused = wire::post(&requester, &elsewhere, NOW, &[3; 32]).unwrap_err();
    assert_eq!(refused.code, Code::WrongJob);
    let mut forged: Value = serde_json::from_str(&record.event).unwrap();
    forged["pubkey"] = Value::from(key(2).pubkey().to_string());
    let lie = Record { event: forged.to_string(), ..record };
    let (_, json) = wire::post(&requester, &lie, NOW, &[3; 32]).unwrap();
    assert_eq!(wire::open_post(&worker, &json).unwrap_err().code, Code::NotAnEvent);
}

#[test]
fn no_byte_of_a_channel_event_can_be_changed() {
    let (worker, requester) = both_sides();
    let record = wire::sign_record(&key(2), &channel_draft(Body::Note { text: raw("x") })).unwrap();
    let (_, json) = wire::post(&worker, &record, NOW, &[3; 32]).unwrap();
    no_byte_matters(&json, 3, |text| wire::open_post(&requester, text));
}

#[test]
fn another_channels_events_are_not_read() {
    let (worker, _) = both_sides();
    let other = ChannelKeys::derive(&key(2), &key(4).pubkey(), &JobId([1; 32])).unwrap();
    let record = wire::sign_record(&key(2), &channel_draft(Body::Note { text: raw("x") })).unwrap();
    let (_, json) = wire::post(&worker, &record, NOW, &[3; 32]).unwrap();
    assert_eq!(wire::open_post(&other, &json).unwrap_err().code, Code::WrongJob);
}

// ---------------------------------------------------------------- proofs

#[test]
fn a_proof_is_published_whole() {
    let proof = "{\"chunk\":\"".to_owned() + &"ab".repeat(11_000) + "\"}";
    let (_, json) = wire::proof_event(&key(1), &proof, NOW).unwrap();
    assert_eq!(wire::read_proof_event(&json).unwrap(), (key(1).pubkey(), proof));
    let refused = wire::proof_event(&key(1), &"x".repeat(50_000), NOW).unwrap_err();
    assert_eq!(refused.code, Code::TooLarge);
}

// ---------------------------------------------------------------- whatever comes

/// Every decoder, on anything.
fn read_with_everything(text: &str) {
    let (worker, _) = both_sides();
    let _ = wire::read_listing(text, NOW);
    let _ = wire::read_certificate(text);
    let _ = wire::read_record(text);
    let _ = wire::open_wrap(&key(9), text, 0);
    let _ = wire::open_wrap(&key(9), text, 255);
    let _ = wire::open_post(&worker, text);
    let _ = wire::read_proof_event(text);
}

#[test]
fn size_is_looked_at_first() {
    let huge = "[".repeat(10_000_000);
    let (worker, _) = both_sides();
    assert_eq!(wire::read_listing(&huge, NOW).unwrap_err().code, Code::TooLarge);
    assert_eq!(wire::read_certificate(&huge).unwrap_err().code, Code::TooLarge);
    assert_eq!(wire::read_record(&huge).unwrap_err().code, Code::TooLarge);
    assert_eq!(wire::open_wrap(&key(9), &huge, 0).unwrap_err().code, Code::TooLarge);
    assert_eq!(wire::open_post(&worker, &huge).unwrap_err().code, Code::TooLarge);
    assert_eq!(wire::read_proof_event(&huge).unwrap_err().code, Code::TooLarge);
}

#[test]
fn a_refusal_never_quotes_a_stranger() {
    let evil = "evil\u{202e}\u{1b}[2J";
    let note = channel_draft(Body::Note { text: raw("hi") });
    let record = wire::sign_record(&key(2), &note).unwrap().event;
    let (_, listing) = wire::publish(&key(1), &gig(), Stage::Published).unwrap();
    let mut said = vec![];
    for at in 0..5 {
        let json = reforged(2, &record, |t, c, _| match at {
            0 => *c = format!("{{\"type\":\"{evil}\"}}"),
            1 => *c = format!("{{\"text\":\"hi\",\"type\":\"note\",\"{evil}\":1}}"),
            2 => *c = evil.to_owned(),
            3 => t.push(vec![evil.into(), evil.into()]),
            _ => set_tag(t, "j", evil),
        });
        said.push(wire::read_record(&json).unwrap_err());
    }
    for name in ["s", "n", "d", "t", "terms", "price", "status", "l", "expires_at"] {
        let json = reforged(1, &listing, |t, _, _| set_tag(t, name, evil));
        said.push(wire::read_listing(&json, NOW).unwrap_err());
    }
    for refused in said {
        let text = format!("{refused} {refused:?}");
        assert!(!text.contains("evil") && !text.contains('\u{1b}'), "{text}");
    }
}

fn any_text(limit: usize) -> impl Strategy<Value = Raw> {
    prop::collection::vec(any::<char>(), 0..limit).prop_map(|c| Raw(c.into_iter().collect()))
}

fn any_body() -> impl Strategy<Value = Body> {
    let id = any::<[u8; 32]>().prop_map(EventId);
    prop_oneof![
        any_text(200).prop_map(|text| Body::Note { text }),
        any_text(200).prop_map(|reason| Body::Decline { reason }),
        any_text(200).prop_map(|reason| Body::Withdraw { reason }),
        (1u8..=5, any_text(200)).prop_map(|(stars, comment)| Body::Rate { stars, comment }),
        (id.clone(), any_text(200))
            .prop_map(|(manifest, reason)| Body::Reject { manifest, reason }),
        (id.clone(), 0u32..64).prop_map(|(manifest, tranche)| Body::Ready { manifest, tranche }),
        (id, 0u32..64, "[a-z0-9]{1,600}").prop_map(|(manifest, tranche, invoice)| Body::Bill {
            manifest,
            tranche,
            invoice
        }),
        (any::<[u8; 32]>(), 1u64..1 << 40, any_text(60)).prop_map(|(blob, size, name)| {
            Body::Material(Attachment { blob: Digest(blob), size, name })
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_record_survives_any_road(
        body in any_body(),
        job in any::<[u8; 32]>(),
        seq in 0u64..1 << 53,
        link in any::<[u8; 32]>(),
        seen in any::<Option<[u8; 32]>>(),
        at in 0u64..1 << 53,
        fresh in any::<[u8; 32]>(),
    ) {
        let draft = Draft {
            job: Some(JobId(job)),
            seq,
            prev: (seq > 0).then_some(EventId(link)),
            seen: seen.map(EventId),
            at: Time(at),
            body,
        };
        let record = wire::sign_record(&key(2), &draft).unwrap();
        prop_assert_eq!(&record.draft, &draft);
        let ours = ChannelKeys::derive(&key(2), &key(4).pubkey(), &JobId(job)).unwrap();
        let theirs = ChannelKeys::derive(&key(4), &key(2).pubkey(), &JobId(job)).unwrap();
        let (_, json) = wire::post(&ours, &record, NOW, &fresh).unwrap();
        prop_assert_eq!(&wire::open_post(&theirs, &json).unwrap(), &record);
        if matches!(draft.body, Body::Decline { .. } | Body::Withdraw { .. }) {
            let (_, json) = wire::wrap(&key(2), &record, &wrapping(9, 1), &fresh).unwrap();
            prop_assert_eq!(&wire::open_wrap(&key(9), &json, 1).unwrap().record, &record);
        }
    }

    #[test]
    fn any_gig_survives(
        title in "[^ ]{1,30}",
        summary in any_text(100),
        content in any_text(300),
        price in 1_000u64..100_000_000_000,
        pow in 0u8..=24,
        slots in 1u32..10_000,
        tags in prop::collection::btree_set("[a-zé0-9_-]{1,20}", 0..8),
        life in 1u64..86_400 * 90,
    ) {
        let mut gig = gig();
        (gig.title, gig.summary, gig.content) = (Raw(title), summary, content);
        (gig.offer.price, gig.offer.pow, gig.offer.slots) = (Msat::new(price).unwrap(), pow, slots);
        gig.tags = tags.into_iter().collect();
        gig.expires_at = NOW.after(Span(life));
        match wire::publish(&key(1), &gig, Stage::Published) {
            Ok((id, json)) => {
                let read = wire::read_listing(&json, NOW).unwrap();
                prop_assert_eq!(read, Gig { id, author: key(1).pubkey(), ..gig });
            }
            // White space that is no space may make an empty title.
            Err(refused) => prop_assert_eq!(refused.code, Code::OutOfLimits),
        }
    }

    #[test]
    fn anything_is_read_or_refused(text in ".{0,400}") {
        read_with_everything(&text);
    }

    #[test]
    fn anything_in_an_event_is_read_or_refused(
        kind in prop_oneof![Just(30402u16), Just(3924), Just(3921), Just(1059), Just(3920), Just(3922)],
        tags in prop::collection::vec(
            prop::collection::vec(
                prop_oneof![
                    Just("v".to_owned()), Just("1".to_owned()), Just("y".to_owned()),
                    Just("earnest".to_owned()), Just("terms".to_owned()), Just("{}".to_owned()),
                    Just("p".to_owned()), Just("nonce".to_owned()), Just("j".to_owned()), ".{0,20}",
                ],
                1..4,
            ),
            0..8,
        ),
        content in ".{0,200}",
        at in any::<u32>(),
    ) {
        read_with_everything(&forge(2, kind, tags, &content, Time(at.into())));
    }
}

// ---------------------------------------------------------------- test vectors

/// The file that other programs test themselves against.
fn vectors() -> Value {
    serde_json::from_str(include_str!("vectors/wire.json")).unwrap()
}

fn text<'a>(vectors: &'a Value, path: &str) -> &'a str {
    vectors.pointer(path).and_then(Value::as_str).unwrap_or_else(|| panic!("no {path}"))
}

fn bytes(vectors: &Value, path: &str) -> [u8; 32] {
    hex::decode(text(vectors, path)).unwrap().try_into().unwrap()
}

fn secret(vectors: &Value, path: &str) -> SigningKey {
    SigningKey::new(&bytes(vectors, path)).unwrap()
}

#[test]
fn the_vectors_of_the_job_and_its_terms() {
    let v = vectors();
    let j = wire::job_id(&EventId(bytes(&v, "/job/bid")), &EventId(bytes(&v, "/job/award")));
    assert_eq!(j.to_string(), text(&v, "/job/j"));
    let terms: Terms = serde_json::from_value(v["terms"]["value"].clone()).unwrap();
    assert_eq!(wire::to_canonical(&terms).unwrap(), text(&v, "/terms/canonical"));
    assert_eq!(wire::terms_hash(&terms).to_string(), text(&v, "/terms/hash"));
}

#[test]
fn the_vectors_of_the_channel() {
    let v = vectors();
    let (a, b) = (secret(&v, "/channel/secret_a"), secret(&v, "/channel/secret_b"));
    let job = JobId(bytes(&v, "/channel/j"));
    for (ours, theirs) in [(&a, &b), (&b, &a)] {
        let keys = ChannelKeys::derive(ours, &theirs.pubkey(), &job).unwrap();
        assert_eq!(keys.author().to_string(), text(&v, "/channel/author"));
        assert_eq!(hex::encode(keys.shared()), text(&v, "/channel/s"));
        let sign = secret(&v, "/channel/k_sign");
        assert_eq!(keys.author(), sign.pubkey());
        let record = wire::open_post(&keys, text(&v, "/channel/event")).unwrap();
        assert_eq!(record.event, text(&v, "/record/event"));
    }
    // K_conv is a NIP-44 conversation key as it stands.
    use nostr::base64::Engine as _;
    use nostr::nips::nip44::v2::{ConversationKey, decrypt_to_bytes};
    let event = nostr::Event::from_json(text(&v, "/channel/event")).unwrap();
    let sealed = nostr::base64::engine::general_purpose::STANDARD.decode(event.content).unwrap();
    let key = ConversationKey::new(bytes(&v, "/channel/k_conv"));
    let plain = decrypt_to_bytes(&key, &sealed).unwrap();
    assert_eq!(String::from_utf8(plain).unwrap(), text(&v, "/record/event"));
}

#[test]
fn the_vectors_of_records_certificates_listings_and_wraps() {
    let v = vectors();
    let record = wire::read_record(text(&v, "/record/event")).unwrap();
    assert_eq!(record.id.to_string(), text(&v, "/record/id"));
    let again = wire::sign_record(&secret(&v, "/record/secret"), &record.draft).unwrap();
    assert_eq!(again, record, "a signature without auxiliary randomness is always the same");

    let certificate = wire::read_certificate(text(&v, "/certificate/event")).unwrap();
    assert_eq!(certificate.identity, secret(&v, "/certificate/secret").pubkey());
    assert_eq!(certificate.terms.to_string(), text(&v, "/terms/hash"));

    let event = text(&v, "/listing/event");
    let gig = wire::read_listing(event, NOW).unwrap();
    let tags = serde_json::to_value(wire::preview(&gig).unwrap().tags).unwrap();
    assert_eq!(tags, v["listing"]["tags"]);
    let published = wire::publish(&secret(&v, "/listing/secret"), &gig, Stage::Published).unwrap();
    assert_eq!((published.0, published.1.as_str()), (gig.id, event));

    let opened =
        wire::open_wrap(&secret(&v, "/wrap/to_secret"), text(&v, "/wrap/event"), 12).unwrap();
    assert_eq!(opened.record.id.to_string(), text(&v, "/wrap/record_id"));
    assert_eq!(opened.certificate, Some(certificate));
}

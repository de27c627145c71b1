//! Gigs as strangers see them.

use super::sample::*;
use earnest::market::*;
use earnest::text::Raw;
use earnest::wire::{self, Code, Stage};
use nostr::{JsonUtil, Kind};

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
    let read = |change: Change<'_>| {
        let json = reforged(1, &honest, |t, c, a| change(t, c, a));
        wire::read_listing(&json, NOW)
    };
    let code = |change: Change<'_>| read(change).unwrap_err().code;
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

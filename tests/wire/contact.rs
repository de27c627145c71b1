//! Gift wraps with proof of work.

use super::sample::*;
use earnest::market::*;
use earnest::wire::{self, Certifying, Code, Wrapping};
use nostr::{EventBuilder, JsonUtil, Kind, PublicKey, Tag, Timestamp};

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

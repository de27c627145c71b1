//! The outer key, and who really speaks.

use super::sample::*;
use earnest::market::*;
use earnest::wire::{self, ChannelKeys, Code};
use nostr::JsonUtil;
use serde_json::Value;

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
    let settled = channel_draft(Body::Settled { manifest: EventId([3; 32]), receipt: None });
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

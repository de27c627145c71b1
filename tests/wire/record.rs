//! One signed sentence in a job.

use super::sample::*;
use earnest::market::*;
use earnest::text::Raw;
use earnest::wire::{self, Code};
use serde_json::Value;

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
    let code = |change: Change<'_>| {
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
    limit(Body::Lock(Lock { milestone: 16, ..lock() }));
    limit(Body::Lock(Lock { attempt: 16, ..lock() }));
    for height in [0, 500_000_000] {
        limit(Body::Fund { attempt: 0, invoice: "lnbcrt1".into(), height });
        limit(Body::Funded { attempt: 0, deadline: height });
        limit(Body::Lodged { record: "{}".into(), height });
    }
    limit(Body::Fund { attempt: 0, invoice: "ln bc".into(), height: 1 });
    limit(Body::Funded { attempt: 16, deadline: 1 });
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
    // An escrow is agreed on exactly where it is meant, and of a window that can be held.
    let escrow = |window| Some(EscrowTerms { window, judge: None });
    assert_eq!(bid_draft(|b| b.terms.mode = Mode::Escrow), Code::OutOfLimits);
    let sealed = |b: &mut Bid| b.terms.escrow = Some(EscrowTerms::default());
    assert_eq!(bid_draft(sealed), Code::OutOfLimits);
    for window in [0, 143, 721] {
        let mut draft = bid().draft;
        if let Body::Bid(bid) = &mut draft.body {
            (bid.terms.mode, bid.terms.escrow) = (Mode::Escrow, escrow(window));
        }
        assert_eq!(code(&draft), Code::OutOfLimits, "{window}");
    }
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
    assert_ne!(earnest::market::job_id(&a, &b), earnest::market::job_id(&b, &a));
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

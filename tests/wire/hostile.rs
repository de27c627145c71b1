//! Proofs, and whatever comes.

use super::sample::*;
use earnest::market::*;
use earnest::text::Raw;
use earnest::wire::{self, ChannelKeys, Code, Stage};
use proptest::prelude::*;

#[test]
fn a_proof_is_published_whole() {
    let proof = "{\"chunk\":\"".to_owned() + &"ab".repeat(11_000) + "\"}";
    let (_, json) = wire::proof_event(&key(1), &proof, &key(2).pubkey(), NOW).unwrap();
    assert_eq!(wire::read_proof_event(&json).unwrap(), (key(1).pubkey(), proof));
    let refused =
        wire::proof_event(&key(1), &"x".repeat(50_000), &key(2).pubkey(), NOW).unwrap_err();
    assert_eq!(refused.code, Code::TooLarge);
}

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
        (id.clone(), any_text(200)).prop_map(|(manifest, reason)| Body::Reject {
            manifest,
            reason,
            next: None
        }),
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

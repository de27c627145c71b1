//! A delivery from the worker's disk to the requester's, and everything that may go wrong with it.

#![expect(clippy::unwrap_used, reason = "a test that unwraps wrongly fails")]

use std::num::NonZeroUsize;

use earnest::seal::{Cut, Mode, OpenError, Plan, Refused, TrancheSecret};

#[path = "seal/audit.rs"]
mod audit;
#[path = "seal/delivery.rs"]
mod delivery;
#[path = "seal/fraud.rs"]
mod fraud;
#[path = "seal/guess.rs"]
mod guess;
#[path = "seal/refusals.rs"]
mod refusals;

use delivery::*;

#[test]
fn what_is_sealed_is_inspected_paid_and_opened_tranche_by_tranche() {
    let delivery = deliver(300_000, 4);
    let inspected = delivery.inspect().unwrap();
    assert_eq!(inspected.tranches.len(), 4);
    assert_eq!(inspected.tranches.iter().map(|t| t.msat).sum::<u64>(), 50_000_000);
    let mut text = Vec::new();
    for (t, tranche) in (0..).zip(&inspected.tranches) {
        assert_eq!(tranche.hash, Some(delivery.keys[t as usize].key.hash()));
        assert_eq!(tranche.bytes.start, text.len() as u64);
        text.extend(delivery.open(t).unwrap());
        assert_eq!(tranche.bytes.end, text.len() as u64);
    }
    assert_eq!(text, delivery.text);
    assert_ne!(delivery.blob, delivery.text);
    assert!(matches!(delivery.open(4), Err(OpenError::NoTranche { t: 4 })));
}

#[test]
fn the_result_is_the_same_for_any_number_of_workers() {
    let sealed = |workers| {
        let plan = Plan { workers: NonZeroUsize::new(workers).unwrap(), ..plan(9_000_000) };
        deliver_as(work(9_000_000), &plan, keys(3))
    };
    let (one, many) = (sealed(1), sealed(5));
    assert_eq!(one.blob, many.blob);
    assert_eq!(one.vector, many.vector);
    assert_eq!(one.manifest(), many.manifest());
}

#[test]
fn lines_items_and_files_come_back_and_are_counted_as_records() {
    let lines: Vec<u8> =
        (0..5000).flat_map(|i| format!("{{\"row\":{i}}}\n").into_bytes()).collect();
    let items = work(64 * 50);
    let cases: [(Vec<u8>, Cut, &[u64], u64); 3] = [
        (lines, Cut::Lines, &[], 4),
        (items, Cut::Items { len: 64 }, &[], 50),
        (work(40_000), Cut::Files, &[0, 1, 39_999], 3),
    ];
    for (text, cut, starts, records) in cases {
        let plan = Plan { cut, starts, ..plan(text.len()) };
        let delivery = deliver_as(text, &plan, keys(1));
        assert_eq!(delivery.sealed.records, records, "{cut:?}");
        assert_eq!(delivery.inspect().unwrap().records, records);
        assert_eq!(delivery.open(0).unwrap(), delivery.text);
    }
}

#[test]
fn a_direct_delivery_is_in_the_open_and_still_committed_to() {
    let plan = Plan { mode: Mode::Direct, ..plan(40_000) };
    let mut delivery = deliver_as(work(40_000), &plan, vec![]);
    assert_eq!(delivery.blob, delivery.text);
    let direct = |delivery: &Delivery| delivery.inspect_with(|e| e.mode = Mode::Direct);
    assert_eq!(direct(&delivery).unwrap().tranches[0].hash, None);
    assert_eq!(delivery.open(0).unwrap(), delivery.text);
    assert_eq!(delivery.inspect(), Err(Refused::Mode));
    // promises that the open text does not keep
    delivery.vector[5 + 37] ^= 1;
    delivery.sign_again();
    assert_eq!(direct(&delivery), Err(Refused::Root));
    delivery.sealed.manifest.root = root_by_hand(&delivery);
    assert_eq!(direct(&delivery), Err(Refused::Promise { i: 1 }));
    assert!(matches!(delivery.open(0), Err(OpenError::Mismatch { i: 1 })));
}

#[test]
fn tranche_keys_of_one_tranche_open_no_other() {
    let mut delivery = deliver(300_000, 2);
    delivery.keys.swap(0, 1);
    assert!(matches!(delivery.open(0), Err(OpenError::WrongKey { t: 0 })));
    delivery.keys.swap(0, 1);
    delivery.keys[1].secret = TrancheSecret::new([0; 32]);
    assert!(matches!(delivery.open(1), Err(OpenError::WrongSecret { t: 1 })));
    delivery.keys.clear();
    assert!(matches!(delivery.open(0), Err(OpenError::Mode)));
}

//! The audit before payment.

use std::{collections::BTreeSet, io::Cursor};

use earnest::seal::{
    AuditError, AuditSeed, Cut, MAX_CHUNK, Plan, Request, Sampled, check_openings, openings, sample,
};

use crate::delivery::*;

fn labels() -> Delivery {
    let text: Vec<u8> = (0..400u32)
        .flat_map(|i| format!("{:<32}", ["cat", "dog"][i as usize % 2]).into_bytes())
        .collect();
    let plan = Plan { cut: Cut::Items { len: 32 }, ..plan(text.len()) };
    deliver_as(text, &plan, keys(2))
}

fn sampled(delivery: &Delivery, request: &Request<'_>) -> Result<Vec<Sampled>, AuditError> {
    sample(delivery.manifest(), Cursor::new(&delivery.vector), request)
}

#[test]
fn the_audit_opens_the_drawn_labels_and_no_other() {
    let delivery = labels();
    let seed = AuditSeed::new([7; 32]);
    let request = Request {
        d: hash(5),
        seed: Some(&seed),
        wanted: 20,
        gold: &[3, 1, 399],
        gold_is_paid: false,
    };
    let sample = sampled(&delivery, &request).unwrap();
    assert_eq!(sample.len(), 23);
    assert_eq!(sample[..3].iter().map(|s| s.record).collect::<Vec<_>>(), [1, 3, 399]);
    let distinct: BTreeSet<u64> = sample.iter().map(|s| s.record).collect();
    assert_eq!(distinct.len(), 23);

    let answer = openings(delivery.manifest(), &sample, &delivery.keys).unwrap();
    let check = |answer: &[_]| {
        let mut seen = Vec::new();
        check_openings(
            delivery.manifest(),
            &sample,
            answer,
            Cursor::new(&delivery.blob),
            Cursor::new(&delivery.vector),
            |sampled, i, text| {
                assert_eq!(text, &delivery.text[32 * i as usize..][..32]);
                seen.push(sampled.record);
                Ok(())
            },
        )
        .map(|()| seen)
    };
    assert_eq!(check(&answer).unwrap(), sample.iter().map(|s| s.record).collect::<Vec<_>>());

    let mut wrong = answer.clone();
    wrong[4].key = answer[5].key.clone();
    assert!(matches!(check(&wrong), Err(AuditError::Promise { i }) if i == answer[4].i));
    assert!(matches!(check(&answer[1..]), Err(AuditError::Openings)));
    let mut swapped = answer;
    swapped.swap(0, 1);
    assert!(matches!(check(&swapped), Err(AuditError::Openings)));
}

#[test]
fn no_more_than_a_tenth_is_opened_unpaid() {
    let delivery = labels();
    let seed = AuditSeed::new([7; 32]);
    let gold: Vec<u64> = (0..40).collect();
    let more: Vec<u64> = (0..41).collect();
    let request = |gold, gold_is_paid| Request {
        d: hash(5),
        seed: Some(&seed),
        wanted: 1000,
        gold,
        gold_is_paid,
    };
    assert_eq!(sampled(&delivery, &request(&[], false)).unwrap().len(), 40);
    assert_eq!(sampled(&delivery, &request(&gold[..10], false)).unwrap().len(), 40);
    assert_eq!(sampled(&delivery, &request(&gold, false)).unwrap().len(), 40);
    assert!(matches!(sampled(&delivery, &request(&more, false)), Err(AuditError::OverBudget)));
    assert_eq!(sampled(&delivery, &request(&more, true)).unwrap().len(), 81);
    assert!(matches!(sampled(&delivery, &request(&[1, 1], false)), Err(AuditError::Gold)));
    assert!(matches!(sampled(&delivery, &request(&[400], false)), Err(AuditError::Gold)));
}

#[test]
fn a_tenth_of_the_bytes_is_a_limit_too_and_small_work_has_no_free_audit() {
    // Twenty records, one of them nearly everything.
    let starts: Vec<u64> = (0..20).collect();
    let files = Plan { cut: Cut::Files, starts: &starts, ..plan(100_000) };
    let delivery = deliver_as(work(100_000), &files, keys(1));
    for byte in 0..40 {
        let seed = AuditSeed::new([byte; 32]);
        let request =
            Request { d: hash(5), seed: Some(&seed), wanted: 9, gold: &[], gold_is_paid: false };
        let sample = sampled(&delivery, &request).unwrap();
        assert!(sample.len() <= 2);
        assert!(sample.iter().map(|s| s.bytes.end - s.bytes.start).sum::<u64>() <= 10_000);
    }
    let request = Request { d: hash(5), seed: None, wanted: 0, gold: &[19], gold_is_paid: false };
    assert!(matches!(sampled(&delivery, &request), Err(AuditError::OverBudget)));

    // Small gold fills the budget of records long before that of bytes.
    let seed = AuditSeed::new([1; 32]);
    let gold =
        |gold| Request { d: hash(5), seed: Some(&seed), wanted: 9, gold, gold_is_paid: false };
    assert_eq!(sampled(&delivery, &gold(&[0, 1])).unwrap().len(), 2);
    assert!(matches!(sampled(&delivery, &gold(&[0, 1, 2])), Err(AuditError::OverBudget)));

    let nine = deliver(9 * MAX_CHUNK, 1);
    let seed = AuditSeed::new([1; 32]);
    let request =
        Request { d: hash(5), seed: Some(&seed), wanted: 9, gold: &[], gold_is_paid: false };
    assert!(sampled(&nine, &request).unwrap().is_empty());
}

#[test]
fn a_record_longer_than_a_chunk_is_audited_whole() {
    let len = MAX_CHUNK as u32 * 2 + 1;
    let text = work(len as usize * 12);
    let items = Plan { cut: Cut::Items { len }, ..plan(text.len()) };
    let delivery = deliver_as(text, &items, keys(1));
    let seed = AuditSeed::new([1; 32]);
    let request =
        Request { d: hash(5), seed: Some(&seed), wanted: 5, gold: &[], gold_is_paid: false };
    let sample = sampled(&delivery, &request).unwrap();
    assert_eq!(sample.len(), 1);
    assert_eq!(sample[0].chunks.end - sample[0].chunks.start, 3);
    assert_eq!(sample[0].bytes.end - sample[0].bytes.start, u64::from(len));
    assert_eq!(openings(delivery.manifest(), &sample, &delivery.keys).unwrap().len(), 3);
}

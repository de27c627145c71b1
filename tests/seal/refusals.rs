//! What the worker cannot seal, and what the requester refuses before it pays.

use earnest::seal::{
    BadManifest, Coinciding, Cut, Expected, Hash32, MAX_CHUNK, Mode, Plan, Refused, SealError,
    TrancheKeys, agree, seal,
};
use proptest::prelude::*;

use crate::delivery::*;

#[test]
fn a_plan_that_cannot_be_kept_is_refused_before_anything_is_published() {
    let try_seal = |text: &[u8], plan: &Plan<'_>, keys: &[TrancheKeys]| {
        seal(text, plan, keys, &mut Vec::new(), &mut Vec::new()).map(drop).unwrap_err()
    };
    assert!(matches!(try_seal(b"", &plan(0), &keys(1)), SealError::Empty));
    assert!(matches!(
        try_seal(b"short", &plan(6), &keys(1)),
        SealError::Length { planned: 6, read: 5 }
    ));
    assert!(matches!(try_seal(b"longer", &plan(5), &keys(1)), SealError::Length { .. }));
    assert!(matches!(
        try_seal(b"one chunk", &plan(9), &keys(2)),
        SealError::Coinciding(Coinciding(1))
    ));
    assert!(matches!(try_seal(b"text", &plan(4), &[]), SealError::Keys));
    assert!(matches!(try_seal(b"text", &plan(4), &keys(65)), SealError::Keys));
    let twice = [keys(1), keys(1)].concat();
    assert!(matches!(try_seal(&work(40_000), &plan(40_000), &twice), SealError::Keys));
    let direct = Plan { mode: Mode::Direct, ..plan(4) };
    assert!(matches!(try_seal(b"text", &direct, &keys(1)), SealError::Keys));
    let starts: [&[u64]; 5] = [&[], &[1], &[0, 0], &[0, 4], &[0, 3, 2]];
    for starts in starts {
        let files = Plan { cut: Cut::Files, starts, ..plan(4) };
        assert!(matches!(try_seal(b"text", &files, &keys(1)), SealError::Starts), "{starts:?}");
    }
    for len in [0, 3, 5] {
        let odd = Plan { cut: Cut::Items { len }, ..plan(4) };
        assert!(matches!(try_seal(b"text", &odd, &keys(1)), SealError::Items));
    }
    let greedy = Plan { checks: vec![hash(0); 33], ..plan(4) };
    assert!(matches!(try_seal(b"text", &greedy, &keys(1)), SealError::Manifest(_)));
}

#[test]
fn a_delivery_that_is_not_the_one_agreed_on_is_refused() {
    let delivery = deliver(300_000, 2);
    type Bend = fn(&mut Expected<'_>);
    let cases: [(&str, Bend); 13] = [
        ("seal.job", |e| e.job = hash(9)),
        ("seal.delivery", |e| e.delivery = 1),
        ("seal.mode", |e| e.mode = Mode::Direct),
        ("seal.tranches", |e| e.secrets = &e.secrets[..1]),
        ("seal.cut", |e| e.cut = Some(Cut::Lines)),
        ("seal.chunks", |e| e.chunks = Some(18)),
        ("seal.checks", |e| e.checks = &[]),
        ("seal.too_large", |e| e.max_total = 299_999),
        ("seal.too_large", |e| e.max_chunks = 18),
        ("seal.hash_seen", |e| e.seen = &|_| true),
        ("seal.tranche_too_small", |e| e.price_msat = 1_999_999),
        ("seal.tranche_too_small", |e| e.price_msat = 0),
        ("seal.tranche_too_small", |e| e.least_tranche_msat = 25_000_001),
    ];
    for (code, bend) in cases {
        let refused = delivery.inspect_with(bend).unwrap_err();
        assert_eq!(refused.code(), code);
        assert!(refused.to_string().contains("Nothing was paid"), "{refused}");
    }
    assert!(delivery.inspect_with(|e| e.chunks = Some(19)).is_ok());
}

#[test]
fn secrets_and_hashes_that_would_make_a_proof_worthless_are_refused() {
    let mut delivery = deliver(300_000, 2);
    delivery.sealed.manifest.secrets[1] = hash(0);
    assert_eq!(delivery.inspect(), Err(Refused::Secret { t: 1 }));

    let mut delivery = deliver(300_000, 2);
    delivery.sealed.manifest.secrets.swap(0, 1);
    assert_eq!(delivery.inspect(), Err(Refused::Secret { t: 0 }));

    let mut delivery = deliver(300_000, 2);
    delivery.sealed.manifest.h[1] = delivery.sealed.manifest.h[0];
    assert_eq!(delivery.inspect(), Err(Refused::HashRepeated { t: 1 }));

    let delivery = deliver(300_000, 2);
    let known = delivery.manifest().h[1];
    let refused =
        delivery.inspect_with(|e| e.seen = Box::leak(Box::new(move |h: &Hash32| *h == known)));
    assert_eq!(refused, Err(Refused::HashSeen { t: 1 }));
}

#[test]
fn the_map_is_not_the_workers_to_choose() {
    let mut delivery = deliver(300_000, 2);
    delivery.sealed.manifest.first[1] += 1;
    assert_eq!(delivery.inspect(), Err(Refused::Map));
    delivery.sealed.manifest.first[1] = 1;
    assert_eq!(delivery.inspect(), Err(Refused::Map));

    // One long line: chunks enough, but a manifest may claim a map that the lengths do not give.
    let mut text = vec![b'a'; 10];
    text.push(b'\n');
    text.extend(vec![b'b'; MAX_CHUNK - 2]);
    let one = Plan { cut: Cut::Lines, ..plan(text.len()) };
    let mut delivery = deliver_as(text, &one, keys(1));
    assert_eq!(delivery.manifest().n, 2);
    delivery.keys = keys(2);
    delivery.sealed.manifest.first = vec![0, 1];
    delivery.sealed.manifest.h = delivery.keys.iter().map(|k| k.key.hash()).collect();
    delivery.sealed.manifest.secrets =
        delivery.keys.iter().map(|k| k.secret.commitment()).collect();
    assert_eq!(delivery.inspect(), Err(Refused::Coinciding(Coinciding(1))));
}

#[test]
fn a_lie_about_n_or_total_is_refused() {
    for n in [18, 20] {
        let mut delivery = deliver(300_000, 1);
        delivery.sealed.manifest.n = n;
        let refused = delivery.inspect().unwrap_err();
        let impossible = Refused::Manifest(BadManifest::Limit("n against total"));
        assert_eq!(refused, if n == 18 { impossible } else { Refused::VectorLength { want: 20 } });
    }
    for total in [299_999u64, 300_001] {
        // lines: nothing but the sum of the lengths says the total
        let mut text = vec![b'\n'; 300_000];
        text[7] = b'x';
        let lines = Plan { cut: Cut::Lines, ..plan(text.len()) };
        let mut delivery = deliver_as(text, &lines, keys(1));
        delivery.sealed.manifest.total = total;
        delivery.sealed.manifest.blob_len = total;
        assert_eq!(delivery.inspect(), Err(Refused::Total { want: total, got: 300_000 }));
    }
}

#[test]
fn a_cut_that_is_not_kept_is_refused() {
    let mut delivery = deliver(300_000, 1);
    delivery.vector[37 + 4] = 0; // the second chunk claims to go on with the first
    delivery.sign_again();
    assert_eq!(delivery.inspect(), Err(Refused::Shape { i: 1 }));

    // Labels whose lengths tell the answers: sealed as lines, signed as items.
    let text = b"cat\nbird\n".repeat(2000);
    let lines = Plan { cut: Cut::Lines, ..plan(text.len()) };
    let mut delivery = deliver_as(text, &lines, keys(1));
    delivery.sealed.manifest.cut = Cut::Items { len: 9 };
    delivery.sealed.manifest.n = 2;
    assert_eq!(delivery.inspect(), Err(Refused::Shape { i: 0 }));

    let text = b"a\n".repeat(9000);
    let lines = Plan { cut: Cut::Lines, ..plan(text.len()) };
    let mut delivery = deliver_as(text, &lines, keys(1));
    delivery.vector[4] = 0; // the first chunk starts no record
    delivery.sign_again();
    assert_eq!(delivery.inspect(), Err(Refused::Shape { i: 0 }));

    // Files dribbled out in small chunks that claim to be one record: nothing left to draw from.
    let text = work(20_000);
    let files = Plan { cut: Cut::Files, starts: &[0, 100, 200], ..plan(text.len()) };
    let mut delivery = deliver_as(text, &files, keys(1));
    delivery.vector[2 * 37 + 4] = 0;
    delivery.sign_again();
    assert_eq!(delivery.inspect(), Err(Refused::Shape { i: 2 }));
}

#[test]
fn a_truncated_lengthened_or_swapped_blob_is_refused() {
    let whole = deliver(300_000, 1);
    let mut short = whole.clone();
    short.blob.pop();
    assert_eq!(short.inspect(), Err(Refused::BlobLength { want: 300_000 }));
    let mut long = whole.clone();
    long.blob.push(0);
    assert_eq!(long.inspect(), Err(Refused::BlobLength { want: 300_000 }));
    let mut swapped = whole.clone();
    let (one, two) = swapped.blob.split_at_mut(MAX_CHUNK);
    one.swap_with_slice(&mut two[..MAX_CHUNK]);
    assert_eq!(swapped.inspect(), Err(Refused::BlobHash));
    // ... and when the worker signs the swapped blob, the indices in the leaves say it
    swapped.sign_again();
    assert_eq!(swapped.inspect(), Err(Refused::Root));
    let mut other = whole.clone();
    other.sealed.manifest.blob = hash(0);
    assert_eq!(other.inspect(), Err(Refused::BlobHash));
    // The last chunk shortened on both sides, and signed: the root still is of the whole one.
    let mut cut = whole;
    cut.blob.pop();
    let last = cut.vector.len() - 37;
    let len = (300_000u32 % MAX_CHUNK as u32) - 1;
    cut.vector[last..last + 4].copy_from_slice(&len.to_le_bytes());
    cut.sealed.manifest.total -= 1;
    cut.sign_again();
    assert_eq!(cut.inspect(), Err(Refused::Root));
}

#[test]
fn a_vector_file_that_is_not_the_signed_one_is_refused() {
    let whole = deliver(300_000, 1);
    for vector in [whole.vector[37..].to_vec(), [&whole.vector[..], &[0]].concat(), vec![]] {
        let bent = Delivery { vector, ..whole.clone() };
        assert_eq!(bent.inspect(), Err(Refused::VectorLength { want: 19 }));
    }
    let mut bent = whole.clone();
    bent.vector[6] ^= 1;
    assert_eq!(bent.inspect(), Err(Refused::VectorHash));
    bent.sign_again();
    assert_eq!(bent.inspect(), Err(Refused::Root));
    for (at, value) in [(4, 2), (3, 1)] {
        let mut bent = whole.clone();
        bent.vector[37 + at] = value;
        bent.sign_again();
        assert_eq!(bent.inspect(), Err(Refused::VectorEntry { i: 1 }));
    }
}

#[test]
fn a_chunk_added_by_doubling_the_last_leaf_is_refused() {
    // With a tree that doubles its last leaf, three chunks and four have one root.
    let three = deliver(3 * MAX_CHUNK, 1);
    let mut four = three.clone();
    four.blob.extend_from_slice(&three.blob[2 * MAX_CHUNK..]);
    four.vector.extend_from_slice(&three.vector[2 * 37..]);
    four.sealed.manifest.n = 4;
    four.sealed.manifest.total = 4 * MAX_CHUNK as u64;
    four.sign_again();
    assert_eq!(four.inspect(), Err(Refused::Root));
}

#[test]
fn what_the_manifest_alone_betrays_is_refused_before_a_byte_is_fetched() {
    let delivery = deliver(40_000, 1);
    let expected = Expected {
        job: hash(1),
        delivery: 0,
        mode: Mode::Sealed,
        cut: None,
        chunks: None,
        secrets: &delivery.secrets(),
        price_msat: 1_000_000,
        least_tranche_msat: 1_000_000,
        checks: &[hash(2)],
        max_total: 39_999,
        max_chunks: 3,
        seen: &|_| false,
    };
    assert_eq!(agree(delivery.manifest(), &expected), Err(Refused::TooLarge));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_flipped_bit_anywhere_is_refused_before_payment(at in any::<prop::sample::Index>(), bit in 0u8..8, vector: bool) {
        let mut delivery = deliver(70_000, 2);
        let file = if vector { &mut delivery.vector } else { &mut delivery.blob };
        let at = at.index(file.len());
        file[at] ^= 1 << bit;
        let refused = delivery.inspect().unwrap_err();
        prop_assert_eq!(refused, if vector { Refused::VectorHash } else { Refused::BlobHash });
        // The worker signs it so: still refused, by the root or by the vector's own rules.
        delivery.sign_again();
        prop_assert!(delivery.inspect().is_err());
    }

    #[test]
    fn any_text_comes_back_from_any_cut(text in prop::collection::vec(any::<u8>(), 1..60_000), lines: bool, tranches in 1u32..4) {
        let cut = if lines { Cut::Lines } else { Cut::Bytes };
        let plan = Plan { cut, ..plan(text.len()) };
        let (mut blob, mut vector) = (Vec::new(), Vec::new());
        match seal(&text[..], &plan, &keys(tranches), &mut blob, &mut vector) {
            Ok(sealed) => {
                let delivery = Delivery { sealed, blob, vector, keys: keys(tranches), text };
                prop_assert!(delivery.inspect().is_ok());
                let opened: Vec<u8> = (0..tranches).flat_map(|t| delivery.open(t).unwrap()).collect();
                prop_assert_eq!(opened, delivery.text);
            }
            Err(error) => prop_assert!(matches!(error, SealError::Coinciding(_)), "{}", error),
        }
    }
}

//! Fraud, its proof, and the honest worker whom no proof convicts.

use std::io::Cursor;

use earnest::seal::{
    CheckProof, ChunkKey, Flaw, FraudProof, Hash32, Looked, MAX_CHUNK, Manifest, Mode, OpenError,
    Plan, ProveError, Signed, TrancheKey, TrancheKeys, TrancheSecret, Verdict, prove, refute,
    verify, verify_check,
};
use proptest::prelude::*;

use crate::delivery::*;

/// Stands for the wire: a text is signed when it says by whom, and its author's role is the worker's.
fn resolve<'a>(manifest: &'a Manifest) -> impl Fn(&str, &str) -> Result<Signed, &'static str> + 'a {
    move |certificate, record| match (certificate, record) {
        ("worker's certificate", "record") => Ok(Signed {
            identity: hash(70),
            session: hash(71),
            job: hash(1),
            d: hash(5),
            manifest: manifest.clone(),
        }),
        ("requester's certificate", "record") => Err("its author is the requester"),
        _ => Err("bad signature"),
    }
}

fn prove_chunk(delivery: &Delivery, i: u64) -> Result<FraudProof, ProveError> {
    let t = delivery.manifest().tranche_of(i).unwrap();
    let (blob, vector) = (Cursor::new(&delivery.blob), Cursor::new(&delivery.vector));
    let keys = &delivery.keys[t as usize];
    prove("worker's certificate", "record", delivery.manifest(), keys, i, blob, vector)
}

/// The hole that audits cannot see: chunk `i` is under another key, everything else is honest.
fn cheat(len: usize, tranches: u32, i: u64) -> Delivery {
    let honest = deliver(len, tranches);
    // The same work under other keys; chunk i and its promise are taken from there. The tree is
    // computed as an honest program would, over what is really sent: seal the mixture by hand.
    let mut stranger = keys(tranches);
    for keys in &mut stranger {
        keys.key = TrancheKey::new(*keys.secret.expose());
    }
    let other = deliver_as(work(len), &plan(len), stranger);
    let mut mixed = honest.clone();
    let range = i as usize * MAX_CHUNK..((i as usize + 1) * MAX_CHUNK).min(len);
    mixed.blob[range.clone()].copy_from_slice(&other.blob[range]);
    let entry = i as usize * 37..(i as usize + 1) * 37;
    mixed.vector[entry.clone()].copy_from_slice(&other.vector[entry]);
    mixed.sign_again();
    mixed.sealed.manifest.root = root_by_hand(&mixed);
    mixed
}

#[test]
fn the_tree_is_the_one_the_protocol_describes() {
    let delivery = deliver(300_001, 2);
    assert_eq!(root_by_hand(&delivery), delivery.manifest().root);
}

#[test]
fn unrelated_chunk_keys_pass_inspection_fail_to_open_and_convict() {
    for i in [0, 7, 18] {
        let cheat = cheat(300_000, 2, i);
        assert!(cheat.inspect().is_ok(), "before payment nothing shows");
        let t = cheat.manifest().tranche_of(i).unwrap();
        let Err(OpenError::Mismatch { i: found }) = cheat.open(t) else { panic!("it opened") };
        assert_eq!(found, i);
        let proof = prove_chunk(&cheat, i).unwrap();
        let guilty = Verdict::Guilty { identity: hash(70), job: hash(1), d: hash(5), t };
        assert_eq!(verify(&proof, resolve(cheat.manifest())), guilty);
        // over the wire and back
        let read = FraudProof::from_json(&proof.to_json()).unwrap();
        assert_eq!(verify(&read, resolve(cheat.manifest())), guilty);
        // the other chunks of the same cheat are honest ones
        let honest = prove_chunk(&cheat, (i + 1) % 19).unwrap();
        assert_eq!(verify(&honest, resolve(cheat.manifest())), Verdict::Invalid(Flaw::Opens));
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "how long it takes is what is tested")]
fn a_proof_about_a_gibibyte_is_judged_in_milliseconds() {
    // A gibibyte is 65,536 chunks: the path has 16 steps. What is judged is one chunk and its path, so that a
    // delivery of as many chunks of one byte is judged alike; the chunk that is shown is a full one.
    let len = MAX_CHUNK + 65_535;
    let starts: Vec<u64> = std::iter::once(0).chain(MAX_CHUNK as u64..len as u64).collect();
    let keys = keys(1);
    let plan = Plan { cut: earnest::seal::Cut::Files, starts: &starts, ..plan(len) };
    let mut delivery = deliver_as(work(len), &plan, keys);
    assert_eq!(delivery.manifest().n, 65_536);
    // What is sold is another key than the one that sealed.
    delivery.keys[0].key = TrancheKey::new([7; 32]);
    delivery.sealed.manifest.h[0] = delivery.keys[0].key.hash();
    let proof = prove_chunk(&delivery, 0).unwrap();
    assert_eq!((proof.ciphertext.len(), proof.path.len()), (MAX_CHUNK, 16));
    let json = proof.to_json();
    let once = || {
        let begun = std::time::Instant::now();
        let proof = FraudProof::from_json(&json).unwrap();
        let verdict = verify(&proof, resolve(delivery.manifest()));
        assert!(matches!(verdict, Verdict::Guilty { .. }), "{verdict:?}");
        begun.elapsed()
    };
    // The best of some: another program may have the core.
    let best = (0..20).map(|_| once()).min().unwrap();
    assert!(best < std::time::Duration::from_millis(10), "{best:?}");
}

/// A check proof of chunk `i`, for a check whose body is `body`.
fn refute_chunk(delivery: &Delivery, body: &str, i: u64) -> Result<CheckProof, ProveError> {
    let t = delivery.manifest().tranche_of(i).unwrap();
    let (blob, vector) = (Cursor::new(&delivery.blob), Cursor::new(&delivery.vector));
    let (keys, manifest) = (&delivery.keys[t as usize], delivery.manifest());
    refute("worker's certificate", "record", body, manifest, keys, i, blob, vector)
}

#[test]
fn a_record_that_the_pinned_check_refuses_convicts_and_nothing_else_does() {
    const BODY: &str = "a check";
    let pinned = Hash32::from(blake3::hash(BODY.as_bytes()));
    let text = work(3 * MAX_CHUNK + 200);
    // A list of files, a file of one chunk, one of two, and a short one.
    let starts = [0, 100, 100 + MAX_CHUNK as u64, 100 + 3 * MAX_CHUNK as u64];
    let plan = Plan {
        cut: earnest::seal::Cut::Files,
        starts: &starts,
        checks: vec![hash(2), pinned],
        ..plan(text.len())
    };
    let delivery = deliver_as(text.clone(), &plan, keys(1));
    let judge = |proof: &CheckProof, says: Looked| {
        let read = CheckProof::from_json(&proof.to_json()).unwrap();
        verify_check(&read, resolve(delivery.manifest()), |body, record, whole| {
            assert_eq!((body, whole), (BODY, false));
            assert_eq!(record, &text[100..100 + MAX_CHUNK]);
            says
        })
        .map(|signed| signed.identity)
    };
    let proof = refute_chunk(&delivery, BODY, 1).unwrap();
    assert_eq!(judge(&proof, Looked::Fails), Ok(hash(70)));
    assert_eq!(judge(&proof, Looked::Passes), Err(Flaw::Passes));
    // A trap or exhausted fuel is no verdict, and proves nothing.
    assert_eq!(judge(&proof, Looked::Nothing), Err(Flaw::NoVerdict));
    // The list that a folder begins with is no work of anybody's: no check is even asked about it.
    let list = refute_chunk(&delivery, BODY, 0).unwrap();
    let never = |_: &str, _: &[u8], _: bool| -> Looked { panic!("the check was asked") };
    let judged = verify_check(&list, resolve(delivery.manifest()), never);
    assert_eq!(judged.map(|signed| signed.identity), Err(Flaw::NoVerdict));
    // The second file spans two chunks: no proof shows it, and half of it is not it.
    assert!(matches!(refute_chunk(&delivery, BODY, 2), Err(ProveError::Chunk(2))));
    assert!(matches!(refute_chunk(&delivery, BODY, 3), Err(ProveError::Chunk(3))));
    assert!(refute_chunk(&delivery, BODY, 4).unwrap().next.is_none());

    let bent = |bend: &dyn Fn(&mut CheckProof)| {
        let mut proof = proof.clone();
        bend(&mut proof);
        let never = |_: &str, _: &[u8], _: bool| -> Looked { panic!("the check was asked") };
        verify_check(&proof, resolve(delivery.manifest()), never).unwrap_err()
    };
    assert_eq!(bent(&|p| p.check.push(' ')), Flaw::Unpinned);
    assert_eq!(bent(&|p| p.i = 2), Flaw::Path);
    assert_eq!(bent(&|p| p.i = 9), Flaw::NoChunk(9));
    assert_eq!(bent(&|p| p.starts_record = false), Flaw::Path);
    assert_eq!(bent(&|p| p.next = None), Flaw::Part);
    assert_eq!(bent(&|p| p.key = ChunkKey::new([1; 32])), Flaw::Closed);
    assert_eq!(bent(&|p| flip(&mut p.ciphertext, 3)), Flaw::Path);
    assert_eq!(bent(&|p| flip_hash(&mut p.promise, 3)), Flaw::Path);
    assert_eq!(bent(&|p| p.ciphertext.clear()), Flaw::Length);
    assert_eq!(bent(&|p| p.next.as_mut().unwrap().len = 5), Flaw::Path);
    assert_eq!(bent(&|p| p.certificate = "requester's certificate".into()), {
        Flaw::Unsigned("its author is the requester".into())
    });
    // A chunk that goes on with a record does not end the one before.
    let within = refute_chunk(&delivery, BODY, 4).unwrap();
    assert_eq!(bent(&|p| p.path.clone_from(&within.path)), Flaw::Path);
}

#[test]
fn files_damaged_after_inspection_make_no_proof() {
    let mut delivery = deliver(300_000, 1);
    delivery.blob[5] ^= 1;
    assert!(matches!(delivery.open(0), Err(OpenError::Mismatch { i: 0 })));
    assert!(matches!(prove_chunk(&delivery, 0), Err(ProveError::Damaged)));
    delivery.blob.truncate(100);
    assert!(matches!(delivery.open(0), Err(OpenError::Changed)));
    assert!(matches!(prove_chunk(&delivery, 0), Err(ProveError::Damaged)));
}

/// What a liar can do to a proof, or to the texts that come with it.
#[derive(Clone, Debug)]
enum Bend {
    Certificate,
    Role,
    Record,
    OtherTranchesKey,
    OtherTranchesSecret,
    OtherTranchesKeys,
    Key(usize),
    Secret(usize),
    Index(u64),
    Len(u32),
    Shorter,
    Longer,
    Ciphertext(usize),
    Promise(usize),
    Path(usize),
    PathShorter,
    PathLonger,
    Nothing,
}

fn bend() -> impl Strategy<Value = Bend> {
    use Bend::*;
    prop_oneof![
        Just(Certificate),
        Just(Role),
        Just(Record),
        Just(OtherTranchesKey),
        Just(OtherTranchesSecret),
        Just(OtherTranchesKeys),
        Just(Shorter),
        Just(Longer),
        Just(PathShorter),
        Just(PathLonger),
        Just(Nothing),
        (0usize..256).prop_map(Key),
        (0usize..256).prop_map(Secret),
        (0u64..40).prop_map(Index),
        any::<u64>().prop_map(Index),
        any::<u32>().prop_map(Len),
        (0usize..20_000).prop_map(Len16),
        any::<usize>().prop_map(Ciphertext),
        (0usize..256).prop_map(Promise),
        any::<usize>().prop_map(Path),
    ]
}

#[expect(non_snake_case, reason = "stands among the variants above")]
fn Len16(len: usize) -> Bend {
    Bend::Len(len as u32)
}

fn flip(bytes: &mut [u8], bit: usize) {
    let bit = bit % (bytes.len() * 8);
    bytes[bit / 8] ^= 1 << (bit % 8);
}

fn flip_hash(hash: &mut Hash32, bit: usize) {
    let mut bytes = *hash.as_bytes();
    flip(&mut bytes, bit);
    *hash = Hash32::new(bytes);
}

fn bent(proof: &FraudProof, bend: &Bend, keys: &[TrancheKeys], t: u32) -> FraudProof {
    let mut proof = proof.clone();
    let other = &keys[1 - t as usize];
    match bend.clone() {
        Bend::Certificate => proof.certificate.push('!'),
        Bend::Role => proof.certificate = "requester's certificate".into(),
        Bend::Record => proof.manifest.push('!'),
        Bend::OtherTranchesKey => proof.keys.key = other.key.clone(),
        Bend::OtherTranchesSecret => proof.keys.secret = other.secret.clone(),
        Bend::OtherTranchesKeys => proof.keys = other.clone(),
        Bend::Key(bit) => {
            let mut bytes = *proof.keys.key.expose();
            flip(&mut bytes, bit);
            proof.keys.key = TrancheKey::new(bytes);
        }
        Bend::Secret(bit) => {
            let mut bytes = *proof.keys.secret.expose();
            flip(&mut bytes, bit);
            proof.keys.secret = TrancheSecret::new(bytes);
        }
        Bend::Index(i) => proof.i = i,
        Bend::Len(len) => proof.len = len,
        Bend::Shorter => {
            proof.ciphertext.pop();
            proof.len -= 1;
        }
        Bend::Longer => {
            proof.ciphertext.push(0);
            proof.len += 1;
        }
        Bend::Ciphertext(bit) => flip(&mut proof.ciphertext, bit),
        Bend::Promise(bit) => flip_hash(&mut proof.promise, bit),
        Bend::Path(bit) => {
            let at = bit % proof.path.len();
            flip_hash(&mut proof.path[at], bit);
        }
        Bend::PathShorter => drop(proof.path.pop()),
        Bend::PathLonger => proof.path.push(proof.promise),
        Bend::Nothing => {}
    }
    proof
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// The verifier that says guilty by default, caught: an honest worker is never guilty, whatever
    /// is done to the proof, once or twice.
    #[test]
    fn an_honest_worker_is_never_guilty(i in 0u64..5, first in bend(), second in bend()) {
        let delivery = deliver(70_000, 2);
        let proof = prove_chunk(&delivery, i).unwrap();
        let t = delivery.manifest().tranche_of(i).unwrap();
        let once = bent(&proof, &first, &delivery.keys, t);
        prop_assert!(matches!(verify(&once, resolve(delivery.manifest())), Verdict::Invalid(_)));
        if !once.path.is_empty() {
            let twice = bent(&once, &second, &delivery.keys, t);
            prop_assert!(matches!(verify(&twice, resolve(delivery.manifest())), Verdict::Invalid(_)));
        }
    }

    /// And a proof against a cheat holds only as it is: no bend of it convicts of something else.
    #[test]
    fn a_bent_proof_against_a_cheat_proves_nothing(bend in bend()) {
        let cheat = cheat(70_000, 2, 3);
        let proof = prove_chunk(&cheat, 3).unwrap();
        let bent = bent(&proof, &bend, &cheat.keys, 1);
        let same = bent.to_json() == proof.to_json();
        let verdict = verify(&bent, resolve(cheat.manifest()));
        prop_assert_eq!(matches!(verdict, Verdict::Guilty { .. }), same);
    }

    #[test]
    fn no_bytes_upset_the_decoders(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(FraudProof::from_json(&bytes).is_err());
        prop_assert!(Manifest::from_json(&bytes).is_err());
    }
}

#[test]
fn every_flaw_has_its_reason() {
    let delivery = deliver(70_000, 2);
    let proof = prove_chunk(&delivery, 1).unwrap();
    let cases = [
        (Bend::Certificate, "proof.unsigned"),
        (Bend::Role, "proof.unsigned"),
        (Bend::Index(5), "proof.no_chunk"),
        (Bend::Index(4), "proof.key"),
        (Bend::Index(0), "proof.path"),
        (Bend::OtherTranchesKeys, "proof.key"),
        (Bend::OtherTranchesSecret, "proof.secret"),
        (Bend::Len(1), "proof.length"),
        (Bend::Ciphertext(0), "proof.path"),
        (Bend::Promise(0), "proof.path"),
        (Bend::Nothing, "proof.opens"),
    ];
    for (bend, code) in cases {
        let bent = bent(&proof, &bend, &delivery.keys, 0);
        let Verdict::Invalid(flaw) = verify(&bent, resolve(delivery.manifest())) else {
            panic!("guilty of {bend:?}")
        };
        assert_eq!(flaw.code(), code, "{bend:?}: {flaw}");
    }
    // manifests that a signature vouches for, and that still prove nothing
    let mut other_job = delivery.manifest().clone();
    other_job.job = hash(9);
    let mut broken = delivery.manifest().clone();
    broken.first[1] = 0;
    for manifest in [other_job, broken] {
        let verdict = verify(&proof, resolve(&manifest));
        assert!(matches!(verdict, Verdict::Invalid(Flaw::Manifest(_))), "{verdict:?}");
    }
    let plan = Plan { mode: Mode::Direct, ..plan(70_000) };
    let direct = deliver_as(work(70_000), &plan, vec![]);
    assert_eq!(verify(&proof, resolve(direct.manifest())), Verdict::Invalid(Flaw::Direct));
    // the same chunk in another delivery of the same worker: its keys know job, number and tranche
    let again = Plan { delivery: 1, ..self::plan(70_000) };
    let again = deliver_as(work(70_000), &again, delivery.keys.clone());
    assert_eq!(verify(&proof, resolve(again.manifest())), Verdict::Invalid(Flaw::Path));
}

#[test]
fn a_proof_of_a_full_chunk_of_a_gibibyte_fits_one_event() {
    let mut cheat = cheat(70_000, 2, 1);
    // A path of 16 siblings is what 65,536 chunks have; texts as long as signed events of one
    // tranche are.
    cheat.sealed.manifest.first.pop();
    cheat.sealed.manifest.h.pop();
    cheat.sealed.manifest.secrets.pop();
    let mut proof = prove_chunk(&cheat, 1).unwrap();
    proof.path.resize(16, hash(1));
    let manifest = String::from_utf8(cheat.manifest().to_json()).unwrap();
    let id = hash(1).to_string();
    let event = |content: &str| {
        serde_json::json!({"content": content, "created_at": 1_790_000_000, "id": id, "kind": 3921,
            "pubkey": id, "sig": id.repeat(2), "tags": []})
        .to_string()
    };
    proof.manifest = event(&format!(
        "{{\"body\":{{\"deliver\":{manifest}}},\"job\":\"{id}\",\"prev\":\"{id}\",\"seen\":\"{id}\",\"seq\":4}}"
    ));
    proof.certificate = event(&format!(
        "{{\"endpoint\":\"{id}\",\"node\":\"{id}02\",\"network\":\"bitcoin\",\"nonce\":\"{id}\",\"peer\":\"{id}\",\
         \"role\":\"worker\",\"session\":\"{id}\",\"terms\":\"{id}\"}}"
    ));
    let json = proof.to_json();
    assert_eq!(proof.ciphertext.len(), MAX_CHUNK);
    assert_eq!(FraudProof::from_json(&json).unwrap().to_json(), json);
    let texts = proof.manifest.len() + proof.certificate.len();
    let len = json.len();
    assert!(len < 25 * 1024, "{len} bytes, {texts} of them the two signed texts");
}

#[test]
fn a_proof_in_another_form_is_refused() {
    let json = String::from_utf8(prove_chunk(&cheat(70_000, 2, 1), 1).unwrap().to_json()).unwrap();
    let bad = [
        json.replace("\"v\":1", "\"v\":2"),
        json.replace("\"v\":1", "\"v\":1,\"w\":1"),
        json.replace("\"i\":1", "\"i\":-1"),
        json.replace("\"i\":1", "\"i\":1,\"i\":1"),
        json.replace("\"path\":\"", "\"path\":\"AAAA"),
        json.replace("\"path\":\"", "\"path\":\"*"),
        json.replace("\"ciphertext\":\"", "\"ciphertext\":\"AAAA"),
        json.replace("\"ciphertext\":\"", "\"ciphertext\":\"="),
        format!("{json}{}", " ".repeat(64 * 1024)),
        String::new(),
    ];
    for bad in bad {
        assert!(
            bad != json && FraudProof::from_json(bad.as_bytes()).is_err(),
            "{}",
            &bad[..bad.len().min(80)]
        );
    }
}

//! Fraud proofs about a delivery of as many chunks as a gibibyte has: how large they are, and how long a judge
//! of them takes, with the two signatures in them and without.

use std::io::Cursor;

use earnest::market::{
    Body, Delivery, Digest, Draft, EndpointId, EventId, JobId, Network, Nonce, Role, Time,
};
use earnest::seal::{
    ChannelSecret, Cut, FraudProof, Hash32, MAX_CHUNK, Manifest, Mode, Plan, Signed, TrancheKey,
    TrancheKeys, Verdict, prove, seal, verify,
};
use earnest::text::Raw;
use earnest::wire::{Certifying, Judgement, SigningKey, certify, sign_record, verify_proof};

use crate::{Row, Samples, timed};

const ROUNDS: usize = 100;
const CHUNKS: usize = 1 << 16;

pub(crate) fn measure(tell: &mut dyn FnMut(Row)) {
    for (len, size_name, time_name) in [
        (
            1 << 10,
            "a fraud proof of a 1 KiB chunk, of 65,536",
            "judging it, its two signatures aside",
        ),
        (
            4 << 10,
            "a fraud proof of a 4 KiB chunk, of 65,536",
            "judging it, its two signatures aside",
        ),
        (
            MAX_CHUNK,
            "a fraud proof of a 16 KiB chunk, of 65,536",
            "judging it, its two signatures aside",
        ),
    ] {
        let (json, signed) = proof(len);
        let (mut size, mut time) = (Samples::default(), Samples::default());
        size.push(json.len() as f64);
        for _ in 0..ROUNDS {
            let signed = signed.clone();
            let (verdict, took) = timed(|| {
                verify(&FraudProof::from_json(&json).unwrap(), |_, _| Ok::<_, String>(signed))
            });
            assert!(matches!(verdict, Verdict::Guilty { .. }), "{verdict:?}");
            time.millis(took);
        }
        tell(size.row(size_name, "bytes"));
        tell(time.row(time_name, "ms"));
        let whole = signed_proof(&json, signed.manifest);
        let (mut size, mut time) = <(Samples, Samples)>::default();
        size.push(whole.len() as f64);
        for _ in 0..ROUNDS {
            let (verdict, took) = timed(|| verify_proof(&whole).unwrap());
            assert!(matches!(verdict, Judgement::Guilty { .. }), "{verdict:?}");
            time.millis(took);
        }
        tell(size.row("it with the two texts that are signed", "bytes"));
        tell(time.row("judging it, its two signatures too", "ms"));
    }
}

/// The same proof with a certificate and a record that are signed, as anybody gets it.
fn signed_proof(json: &[u8], manifest: Manifest) -> Vec<u8> {
    let key = |n| SigningKey::new(&[n; 32]).unwrap();
    let (worker, session, requester) = (key(1), key(2), key(3));
    let at = Time(1_790_000_000);
    let certificate = certify(
        &worker,
        &Certifying {
            session: session.pubkey(),
            role: Role::Worker,
            counterparty: requester.pubkey(),
            terms: Digest([5; 32]),
            nonce: Nonce([6; 32]),
            // The generator point of secp256k1.
            node: "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
                .parse()
                .unwrap(),
            endpoint: EndpointId([4; 32]),
            network: Network::Regtest,
            at,
        },
    )
    .unwrap();
    let (job, vector_size) = (JobId(*manifest.job.as_bytes()), manifest.vector_len());
    let delivery = Delivery {
        manifest,
        name: Raw::from("work.bin"),
        vector_size,
        message: Raw::default(),
        keys: Vec::new(),
    };
    let (prev, seen) = (Some(EventId([1; 32])), Some(EventId([2; 32])));
    let draft = Draft { job: Some(job), seq: 1, prev, seen, at, body: Body::Deliver(delivery) };
    let record = sign_record(&session, &draft).unwrap();
    let mut proof: serde_json::Value = serde_json::from_slice(json).unwrap();
    proof["certificate"] = certificate.event.into();
    proof["manifest"] = record.event.into();
    serde_json::to_vec(&proof).unwrap()
}

/// A proof about the first chunk, of this length, of a delivery whose other chunks have one byte each: paths
/// are as long as those of a gibibyte.
fn proof(len: usize) -> (Vec<u8>, Signed) {
    let total = len + CHUNKS - 1;
    let starts: Vec<u64> = std::iter::once(0).chain(len as u64..total as u64).collect();
    let job = Hash32::new([1; 32]);
    let secret = ChannelSecret::new([2; 32]).tranche(&job, 0, 0);
    let mut keys = [TrancheKeys { key: TrancheKey::new([3; 32]), secret }];
    let plan = Plan {
        job,
        delivery: 0,
        total: total as u64,
        cut: Cut::Files,
        starts: &starts,
        mode: Mode::Sealed,
        checks: vec![],
        nonce: job,
        workers: std::num::NonZeroUsize::MIN,
    };
    let text = vec![7; total];
    let (mut blob, mut vector) = (Vec::new(), Vec::new());
    let mut sealed = seal(Cursor::new(text), &plan, &keys, &mut blob, &mut vector).unwrap();
    assert_eq!(sealed.manifest.n, CHUNKS as u64);
    // What is sold is another key than the one that sealed.
    keys[0].key = TrancheKey::new([4; 32]);
    sealed.manifest.h[0] = keys[0].key.hash();
    let (blob, vector) = (Cursor::new(blob), Cursor::new(vector));
    let made = prove("certificate", "record", &sealed.manifest, &keys[0], 0, blob, vector).unwrap();
    let signed = Signed { identity: job, session: job, job, d: job, manifest: sealed.manifest };
    (made.to_json(), signed)
}

//! A worker who cheats, one who does not, and what can be shown of either.

use std::io::Cursor;
use std::num::NonZeroUsize;

use earnest::market::*;
use earnest::seal::{
    ChannelSecret, Cut, FraudProof, Hash32, Manifest, Mode as SealMode, Plan, TrancheKey,
    TrancheKeys, prove, seal,
};
use earnest::text::Raw;
use earnest::wire::{self, Certifying, SigningKey};

const AT: Time = Time(1_790_000_000);
const J: [u8; 32] = [7; 32];

/// Proofs, as files have them.
pub(crate) struct Case {
    pub(crate) guilty: String,
    pub(crate) event: String,
    pub(crate) honest: String,
    pub(crate) role: String,
    pub(crate) identity: String,
    pub(crate) job: String,
}

fn key(n: u8) -> SigningKey {
    SigningKey::new(&[n; 32]).unwrap()
}

fn certificate(role: Role) -> String {
    let what = Certifying {
        session: key(2).pubkey(),
        role,
        counterparty: key(3).pubkey(),
        terms: Digest([9; 32]),
        nonce: Nonce([6; 32]),
        node: "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798".parse().unwrap(),
        endpoint: EndpointId([4; 32]),
        network: Network::Regtest,
        at: AT,
    };
    wire::certify(&key(1), &what).unwrap().event
}

fn record(manifest: &Manifest) -> String {
    let (name, message) = (Raw::from("cats.txt"), Raw::from("done"));
    let body = Body::Deliver(Delivery {
        manifest: manifest.clone(),
        name,
        vector_size: 111,
        message,
        keys: Vec::new(),
    });
    let id = EventId([1; 32]);
    let draft = Draft { job: Some(JobId(J)), seq: 1, prev: Some(id), seen: Some(id), at: AT, body };
    wire::sign_record(&key(2), &draft).unwrap().event
}

/// Seals some work, signs the manifest with the hash of `signed`, and shows the first chunk.
fn shown(signed: [u8; 32], certificate: &str) -> String {
    let secret = || ChannelSecret::new([42; 32]).tranche(&Hash32::new(J), 0, 0);
    let text: Vec<u8> = (0..40_000u32).flat_map(u32::to_le_bytes).take(40_000).collect();
    let plan = Plan {
        job: Hash32::new(J),
        delivery: 0,
        total: 40_000,
        cut: Cut::Bytes,
        starts: &[],
        mode: SealMode::Sealed,
        checks: vec![],
        nonce: Hash32::new([3; 32]),
        workers: NonZeroUsize::MIN,
    };
    let used = [TrancheKeys { key: TrancheKey::new([100; 32]), secret: secret() }];
    let (mut blob, mut vector) = (Vec::new(), Vec::new());
    let mut manifest = seal(&text[..], &plan, &used, &mut blob, &mut vector).unwrap().manifest;
    let sold = TrancheKeys { key: TrancheKey::new(signed), secret: secret() };
    manifest.h[0] = sold.key.hash();
    let (blob, vector) = (Cursor::new(blob), Cursor::new(vector));
    let record = record(&manifest);
    let proof = prove(certificate, &record, &manifest, &sold, 0, blob, vector).unwrap();
    assert!(FraudProof::from_json(&proof.to_json()).is_ok());
    String::from_utf8(proof.to_json()).unwrap()
}

impl Case {
    pub(crate) fn new() -> Self {
        let worker = certificate(Role::Worker);
        // What is sold is another key than the one that sealed.
        let guilty = shown([101; 32], &worker);
        let (_, event) = wire::proof_event(&key(3), &guilty, &key(2).pubkey(), AT).unwrap();
        Self {
            event,
            honest: shown([100; 32], &worker),
            role: shown([101; 32], &certificate(Role::Requester)),
            guilty,
            identity: key(1).pubkey().to_string(),
            job: hex::encode(J),
        }
    }
}

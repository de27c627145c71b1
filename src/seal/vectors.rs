//! The test vectors of `wire/PROTOCOL.md`, checked against the code value by value.
//!
//! `EARNEST_WRITE_VECTORS=1 cargo test --lib seal::vectors` writes them anew; a difference is a new
//! protocol version.

use std::{io::Cursor, num::NonZeroUsize};

use serde_json::{Value, json};

use super::{
    audit::{Request, Sampled, openings, sample},
    chunk::Slot,
    cut::Cut,
    digest::Hash32,
    key::{AuditSeed, ChannelSecret, MasterKey, TrancheKey, TrancheKeys},
    manifest::Mode,
    proof::prove,
    sealing::{Plan, Sealed, seal},
    tranche::amounts,
    vector::{ENTRY, Entry},
};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/seal.json");

/// The inputs of one delivery; those that all share stand below, one byte repeated each.
struct Case {
    name: &'static str,
    text: Vec<u8>,
    cut: Cut,
    starts: &'static [u64],
    mode: Mode,
    tranches: u32,
    wanted: u64,
    gold: &'static [u64],
    prove: Option<u64>,
}

const JOB: Hash32 = Hash32::new([0x11; 32]);
const NONCE: Hash32 = Hash32::new([0x22; 32]);
const CHANNEL: [u8; 32] = [0x33; 32];
const D: Hash32 = Hash32::new([0x44; 32]);
const SEED: [u8; 32] = [0x55; 32];
const CHECK: Hash32 = Hash32::new([0x66; 32]);
const DELIVERY: u32 = 3;
const PRICE_MSAT: u64 = 10_000_001;

fn cases() -> Vec<Case> {
    // Byte j of a long text is (j * j + j / 251) mod 256: easy to make, and repeats nowhere soon.
    let long = |len: u64| (0..len).map(|j| (j * j + j / 251) as u8).collect::<Vec<u8>>();
    let labels = b"cat.dog.".repeat(16);
    let mut lines = b"{\"n\":1}\n{\"n\":2}\n".to_vec();
    lines.extend(vec![b'x'; 16_390]);
    lines.extend(b"\nlast");
    let base = Case {
        name: "",
        text: vec![],
        cut: Cut::Bytes,
        starts: &[],
        mode: Mode::Sealed,
        tranches: 1,
        wanted: 0,
        gold: &[],
        prove: None,
    };
    vec![
        Case { name: "one byte", text: b"!".to_vec(), prove: Some(0), ..base },
        Case {
            name: "seven chunks, three tranches",
            text: long(100_000),
            tranches: 3,
            prove: Some(6),
            ..base
        },
        Case {
            name: "labels",
            text: labels,
            cut: Cut::Items { len: 4 },
            tranches: 2,
            wanted: 5,
            gold: &[7],
            prove: Some(21),
            ..base
        },
        Case { name: "lines", text: lines, cut: Cut::Lines, ..base },
        Case { name: "files", text: long(20_000), cut: Cut::Files, starts: &[0, 5, 900], ..base },
        Case { name: "direct", text: long(20_000), mode: Mode::Direct, ..base },
    ]
}

fn keys(tranches: u32) -> Vec<TrancheKeys> {
    (0..tranches)
        .map(|t| TrancheKeys {
            key: TrancheKey::new([0x80 + t as u8; 32]),
            secret: ChannelSecret::new(CHANNEL).tranche(&JOB, DELIVERY, t),
        })
        .collect()
}

fn told(case: &Case) -> Value {
    let keys = keys(if case.mode == Mode::Sealed { case.tranches } else { 0 });
    let plan = Plan {
        job: JOB,
        delivery: DELIVERY,
        total: case.text.len() as u64,
        cut: case.cut,
        starts: case.starts,
        mode: case.mode,
        checks: vec![CHECK],
        nonce: NONCE,
        workers: NonZeroUsize::MIN,
    };
    let (mut blob, mut vector) = (Vec::new(), Vec::new());
    let Sealed { manifest, records } =
        seal(&case.text[..], &plan, &keys, &mut blob, &mut vector).unwrap();

    let tranches: Vec<Value> = (0..)
        .zip(&keys)
        .map(|(t, keys)| {
            json!({
                "K": hex::encode(keys.key.expose()),
                "h": keys.key.hash(),
                "S": hex::encode(keys.secret.expose()),
                "c_S": keys.secret.commitment(),
                "KM": hex::encode(MasterKey::derive(keys, &JOB, DELIVERY, t).expose_to_test()),
            })
        })
        .collect();

    let mut offset = 0;
    let chunks: Vec<Value> = (0u64..)
        .zip(vector.as_chunks::<ENTRY>().0)
        .map(|(i, bytes)| {
            let entry = Entry::decode(bytes).unwrap();
            let cipher = &blob[offset..offset + entry.len as usize];
            offset += cipher.len();
            let t = manifest.tranche_of(i).unwrap();
            let key = keys
                .get(t as usize)
                .map(|keys| MasterKey::derive(keys, &JOB, DELIVERY, t).chunk(i));
            let mut slot = Slot::new();
            slot.index = i;
            slot.promise = entry.promise;
            slot.starts_record = entry.starts_record;
            slot.resize(cipher.len()).copy_from_slice(cipher);
            slot.cipher = slot.committed();
            json!({
                "t": t,
                "len": entry.len,
                "starts_record": entry.starts_record,
                "k": key.as_ref().map(|key| hex::encode(key.expose())),
                "r": key.as_ref().map(|key| hex::encode(*key.blind())),
                "P": entry.promise,
                "C": slot.cipher,
                "leaf": slot.leaf(),
            })
        })
        .collect();

    let seed = AuditSeed::new(SEED);
    let request = Request {
        d: D,
        seed: Some(&seed),
        wanted: case.wanted,
        gold: case.gold,
        gold_is_paid: false,
    };
    let drawn = sample(&manifest, Cursor::new(&vector), &request).unwrap();
    let opened = match case.mode {
        Mode::Sealed => openings(&manifest, &drawn, &keys).unwrap(),
        Mode::Direct => vec![],
    };
    let proof = case.prove.map(|i| {
        let keys = &keys[manifest.tranche_of(i).unwrap() as usize];
        let files = (Cursor::new(&blob), Cursor::new(&vector));
        let proof = prove("certificate", "record", &manifest, keys, i, files.0, files.1).unwrap();
        // What the chunk opens to is what was promised, so this convicts nobody: it shows the form.
        json!({"i": i, "path": proof.path, "json": String::from_utf8(proof.to_json()).unwrap()})
    });

    let text = if case.text.len() <= 128 {
        json!(hex::encode(&case.text))
    } else if case.cut == Cut::Lines {
        json!("{\"n\":1}\\n{\"n\":2}\\n, then 16390 times x, then \\nlast")
    } else {
        json!("byte j = (j * j + j / 251) mod 256, integer division")
    };
    let kept = |bytes: &[u8]| (bytes.len() <= 2000).then(|| hex::encode(bytes));
    json!({
        "name": case.name,
        "in": {
            "text": text,
            "text_len": case.text.len(),
            "text_blake3": Hash32::from(blake3::hash(&case.text)),
            "cut": case.cut,
            "starts": case.starts,
            "mode": case.mode,
            "tranches": case.tranches,
            "audit": {"wanted": case.wanted, "gold": case.gold},
        },
        "tranches": tranches,
        "chunks": chunks,
        "records": records,
        "amounts_msat": amounts(PRICE_MSAT, case.tranches),
        "blob": kept(&blob),
        "vector": kept(&vector),
        "manifest": String::from_utf8(manifest.to_json()).unwrap(),
        "audit": {
            "records": drawn.iter().map(|Sampled { record, .. }| *record).collect::<Vec<_>>(),
            "openings": opened.iter()
                .map(|o| json!({"i": o.i, "k": hex::encode(o.key.expose())})).collect::<Vec<_>>(),
        },
        "proof": proof,
    })
}

#[test]
fn the_code_and_the_published_vectors_agree() {
    let seed = AuditSeed::new(SEED);
    let told = json!({
        "about": "Test vectors of earnest, protocol version 1, for src/wire/PROTOCOL.md. Bytes are hex.",
        "common": {
            "J": JOB, "nonce": NONCE, "S": hex::encode(CHANNEL), "D": D, "s_R": hex::encode(SEED),
            "a_R": seed.commitment(), "checks": [CHECK], "delivery": DELIVERY,
            "price_msat": PRICE_MSAT.to_string(),
        },
        "cases": cases().iter().map(told).collect::<Vec<_>>(),
    });
    if std::env::var_os("EARNEST_WRITE_VECTORS").is_some() {
        let text = serde_json::to_string_pretty(&told).unwrap() + "\n";
        std::fs::write(FILE, text).unwrap();
    }
    let published: Value = serde_json::from_str(&std::fs::read_to_string(FILE).unwrap()).unwrap();
    for (told, published) in
        told["cases"].as_array().unwrap().iter().zip(published["cases"].as_array().unwrap())
    {
        assert_eq!(told, published, "{}", told["name"]);
    }
    assert_eq!(told, published);
}

//! Whole proofs for a second implementation to hold itself against: what convicts, and what no longer does when
//! one thing in it is another. They stand in `tests/vectors/proofs.json`.
//!
//! `EARNEST_WRITE_VECTORS=1 cargo test --test engine vectors` makes them anew, by other keys.

use earnest::market::*;
use earnest::verify::Scope;
use earnest::wire::{Judgement, verify_proof};
use serde_json::{Value, json};

use crate::cheat::begun;
use crate::pair::*;
use crate::review::{awarded, labels};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/proofs.json");

/// What is said of a proof, as the file has it.
fn said(proof: &Value) -> Value {
    match verify_proof(proof.to_string().as_bytes()) {
        Ok(Judgement::Guilty { against, job, offence, record, tranche }) => json!({
            "guilty": against.to_string(),
            "job": job.to_string(),
            "offence": offence,
            "record": record.to_string(),
            "tranche": tranche,
        }),
        Ok(Judgement::Invalid { code, .. }) => json!({ "invalid": code }),
        Err(_) => json!({ "no_proof": true }),
    }
}

/// A proof with one thing changed, or left out.
fn bent(proof: &Value, set: &Value) -> Value {
    let mut bent = proof.clone();
    let bent_fields = bent.as_object_mut().unwrap();
    for (field, to) in set.as_object().unwrap() {
        match to {
            Value::Null => drop(bent_fields.remove(field)),
            to => drop(bent_fields.insert(field.clone(), to.clone())),
        }
    }
    bent
}

fn kept(pair: &Pair) -> Value {
    let job = pair.job(Requester);
    let path = job.exposed.or(job.attempt.and_then(|work| work.proof)).expect("a proof lies there");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn published(pair: &Pair) -> Value {
    let event = pair.events.iter().find(|event| event.kind == 3922).expect("it is published");
    serde_json::from_str(&event.json).unwrap()
}

/// One proof of each kind, from jobs that were lived through.
fn made() -> Vec<(&'static str, Value)> {
    let mut sold = begun(0);
    sold.delivered(Wish::default());
    sold.accept().unwrap();
    sold.quiet();

    let mut careless = awarded(labels(Scope::Chunk), 1);
    careless.side_mut(Worker).careless = true;
    careless.deliver_text("labels.jsonl", b"{\"label\":\"cat\"}\n{\"label\":\"owl\"}\n");
    careless.accept().unwrap();
    careless.quiet();

    let mut fork = Pair::new();
    fork.delivered(Wish::default());
    let note = |text: &str| Body::Note { text: earnest::text::Raw(text.into()) };
    let (_, one) = fork.forge(Worker, note("I will be late."), |_| {});
    let (_, two) = fork.forge(Worker, note("I will be early."), |_| {});
    fork.hear(Requester, &one);
    fork.hear(Requester, &two);
    fork.quiet();

    vec![
        ("a key that does not open what was signed", kept(&sold)),
        ("the same as the event that publishes it", published(&sold)),
        ("a record that a pinned check refuses", kept(&careless)),
        ("two records with one number", kept(&fork)),
    ]
}

/// What is changed in which of them.
fn bends(proofs: &[(&str, Value)]) -> Vec<(usize, Value)> {
    let field = |n: usize, name: &str| proofs[n].1[name].clone();
    let zero = json!("00".repeat(32));
    let foreign = format!("AAAA{}", &field(0, "path").as_str().unwrap()[4..]);
    let easier = field(2, "check").as_str().unwrap().replace("\"dog", "\"owl");
    let mut other = field(1, "content").as_str().unwrap().to_owned();
    other.push(' ');
    vec![
        (0, json!({ "i": 1 })),
        (0, json!({ "key": zero })),
        (0, json!({ "secret": zero })),
        (0, json!({ "ciphertext": field(2, "ciphertext") })),
        (0, json!({ "certificate": field(0, "manifest") })),
        (0, json!({ "manifest": field(2, "manifest") })),
        (0, json!({ "path": foreign })),
        (0, json!({ "v": 2 })),
        (1, json!({ "content": other })),
        (2, json!({ "check": easier })),
        (2, json!({ "key": zero })),
        (2, json!({ "mark": 0 })),
        (2, json!({ "i": 1 })),
        (3, json!({ "certificate": field(3, "first") })),
    ]
}

#[test]
fn proofs_convict_whom_the_vectors_say_and_nobody_else() {
    if std::env::var_os("EARNEST_WRITE_VECTORS").is_some() {
        let made = made();
        let bends = bends(&made);
        let of = |(name, proof): &(&str, Value)| json!({ "name": name, "proof": proof, "says": said(proof) });
        let bent = |(n, set): &(usize, Value)| json!({ "of": made[*n].0, "set": set, "says": said(&bent(&made[*n].1, set)) });
        let file = json!({
            "about": "Proofs of earnest, protocol version 1 (src/wire/PROTOCOL.md, 5.9, 5.10 and 10.3), and what a \
                      verifier says of each; then of each with these fields set, or left out where null.",
            "proofs": made.iter().map(of).collect::<Vec<_>>(),
            "bent": bends.iter().map(bent).collect::<Vec<_>>(),
        });
        std::fs::write(FILE, serde_json::to_string_pretty(&file).unwrap() + "\n").unwrap();
    }
    let file: Value = serde_json::from_str(&std::fs::read_to_string(FILE).unwrap()).unwrap();
    let proofs = file["proofs"].as_array().unwrap();
    let guilty = |of: &Value| of["says"]["guilty"].is_string();
    assert!(proofs.len() == 4 && proofs.iter().all(guilty));
    for of in proofs {
        assert_eq!(said(&of["proof"]), of["says"], "{}", of["name"]);
    }
    for of in file["bent"].as_array().unwrap() {
        let whole = proofs.iter().find(|proof| proof["name"] == of["of"]).unwrap();
        assert!(!guilty(of), "{of}");
        assert_eq!(
            said(&bent(&whole["proof"], &of["set"])),
            of["says"],
            "{} {}",
            of["of"],
            of["set"]
        );
    }
}

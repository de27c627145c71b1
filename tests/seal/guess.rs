//! Guessing: a chunk that can only say one of two things, and an attacker who holds everything but what opens it.

use earnest::seal::{Cut, Plan};

use crate::delivery::*;

/// Both answers of an item, padded to one length.
const ANSWERS: [&[u8; 16]; 2] = [b"yes.............", b"no.............."];

/// A batch of answers, of which number `i` is `ANSWERS[told[i]]`, sealed in two tranches.
fn batch(told: &[usize]) -> Delivery {
    let text = told.iter().flat_map(|answer| *ANSWERS[*answer]).collect::<Vec<u8>>();
    let plan = Plan { cut: Cut::Items { len: 16 }, ..plan(text.len()) };
    deliver_as(text, &plan, keys(2))
}

fn kdf(tag: &str, parts: &[&[u8]]) -> [u8; 32] {
    blake3::derive_key(&format!("earnest/v1/{tag}"), &parts.concat())
}

/// P as PROTOCOL.md writes it.
fn promise(blind: &[u8; 32], text: &[u8]) -> [u8; 32] {
    let len = u32::try_from(text.len()).unwrap().to_le_bytes();
    kdf("chunk-plaintext", &[blind, &len, text])
}

/// P_i of the vector file.
fn promised(delivery: &Delivery, i: u64) -> [u8; 32] {
    let at = i as usize * 37 + 5;
    delivery.vector[at..at + 32].try_into().unwrap()
}

/// What the attacker makes of chunk `i`: the answers that fit its commitment under any blind that follows from
/// these values: as they are, and as every key of the tree of keys, whatever part each plays in it.
fn guesses(delivery: &Delivery, i: u64, known: &[[u8; 32]]) -> Vec<usize> {
    let manifest = delivery.manifest();
    let numbers: [[u8; 4]; 2] = [0u32.to_le_bytes(), 1u32.to_le_bytes()];
    let mut blinds = known.to_vec();
    let mut chunk_keys = known.to_vec();
    for master in known {
        chunk_keys.push(kdf("chunk-key", &[master, &i.to_le_bytes()]));
    }
    for key in known {
        for secret in known {
            for t in numbers {
                let job = manifest.job.as_bytes();
                let delivery = manifest.delivery.to_le_bytes();
                let of_channel = kdf("tranche-secret", &[secret, job, &delivery, &t]);
                for secret in [secret, &of_channel] {
                    let master = kdf("tranche-master", &[key, secret, job, &delivery, &t]);
                    chunk_keys.push(kdf("chunk-key", &[&master, &i.to_le_bytes()]));
                }
            }
        }
    }
    blinds.extend(chunk_keys.iter().map(|key| kdf("chunk-blind", &[key])));
    blinds.extend(chunk_keys);
    let fits = |answer: &usize| {
        let text = ANSWERS[*answer].as_slice();
        blinds.iter().any(|blind| promise(blind, text) == promised(delivery, i))
            // Without any blind at all.
            || *blake3::hash(text).as_bytes() == promised(delivery, i)
            || kdf("chunk-plaintext", &[text]) == promised(delivery, i)
    };
    (0..ANSWERS.len()).filter(fits).collect()
}

/// Everything that is published, or that a hop, a host or a proof gets to see of the *other* tranche.
fn public(delivery: &Delivery) -> Vec<[u8; 32]> {
    let m = delivery.manifest();
    let mut known: Vec<[u8; 32]> = [m.job, m.nonce, m.root, m.blob, m.vector]
        .iter()
        .chain(&m.h)
        .chain(&m.secrets)
        .map(|hash| *hash.as_bytes())
        .collect();
    known.push([0; 32]);
    known.push(*delivery.keys[0].key.expose());
    known.push(*delivery.keys[0].secret.expose());
    known
}

const TOLD: [usize; 8] = [0, 1, 1, 0, 1, 0, 0, 1];

#[test]
fn one_of_two_answers_is_not_guessed_from_its_commitment() {
    let delivery = batch(&TOLD);
    let second = delivery.manifest().first[1];
    assert_eq!(second, 4);
    let known = public(&delivery);
    for i in second..8 {
        assert_eq!(guesses(&delivery, i, &known), [0; 0], "chunk {i}");
        // Nor by a hop that learned this tranche's own key: it lacks the secret of the channel.
        let hop = [&known[..], &[*delivery.keys[1].key.expose()]].concat();
        assert_eq!(guesses(&delivery, i, &hop), [0; 0], "chunk {i}");
        // Nor by whoever holds that secret and has not paid.
        let secret = [&known[..], &[*delivery.keys[1].secret.expose()]].concat();
        assert_eq!(guesses(&delivery, i, &secret), [0; 0], "chunk {i}");
    }
    // The same procedure tells every answer of the tranche that is open to it, and of both with both halves.
    for i in 0..second {
        assert_eq!(guesses(&delivery, i, &known), [TOLD[i as usize]], "chunk {i}");
    }
    let keys = &delivery.keys[1];
    let paid = [&known[..], &[*keys.key.expose(), *keys.secret.expose()]].concat();
    for i in second..8 {
        assert_eq!(guesses(&delivery, i, &paid), [TOLD[i as usize]], "chunk {i}");
    }
}

#[test]
fn nothing_that_is_published_tells_equal_answers_from_different_ones() {
    let delivery = batch(&TOLD);
    // No two chunks share a commitment or a ciphertext, though there are only two texts.
    for i in 0..8u64 {
        for j in 0..i {
            assert_ne!(promised(&delivery, i), promised(&delivery, j));
            let cipher = |n: u64| &delivery.blob[n as usize * 16..][..16];
            assert_ne!(cipher(i), cipher(j));
        }
    }
    // Of another batch, all that does not look random is the same: lengths, marks and the map.
    let other = batch(&TOLD.map(|answer| 1 - answer));
    for (one, other) in delivery.vector.chunks(37).zip(other.vector.chunks(37)) {
        assert_eq!(one[..5], other[..5]);
        assert_ne!(one[5..], other[5..]);
    }
    assert_eq!(delivery.manifest().first, other.manifest().first);
    assert_eq!(delivery.manifest().total, other.manifest().total);
}

//! A delivery as the tests make it.

use std::{io::Cursor, num::NonZeroUsize};

use earnest::seal::{
    ChannelSecret, Cut, Expected, Hash32, InspectError, Inspected, Manifest, Mode, OpenError, Plan,
    Refused, Sealed, TrancheKey, TrancheKeys, TrancheSecret, inspect, open, seal,
};

pub(crate) fn hash(byte: u8) -> Hash32 {
    Hash32::new([byte; 32])
}

pub(crate) fn two() -> NonZeroUsize {
    NonZeroUsize::new(2).unwrap()
}

/// Bytes that repeat nowhere a chunk could hide.
pub(crate) fn work(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(b"work").finalize_xof().fill(&mut bytes);
    bytes
}

/// The two sessions of a job: what both of them derive.
pub(crate) fn keys(tranches: u32) -> Vec<TrancheKeys> {
    let channel = ChannelSecret::new([42; 32]);
    (0..tranches)
        .map(|t| TrancheKeys {
            key: TrancheKey::new([100 + t as u8; 32]),
            secret: channel.tranche(&hash(1), 0, t),
        })
        .collect()
}

pub(crate) fn plan(total: usize) -> Plan<'static> {
    Plan {
        job: hash(1),
        delivery: 0,
        total: total as u64,
        cut: Cut::Bytes,
        starts: &[],
        mode: Mode::Sealed,
        checks: vec![hash(2)],
        nonce: hash(3),
        workers: two(),
    }
}

/// Everything that is on the wire, and the worker's keys.
#[derive(Clone)]
pub(crate) struct Delivery {
    pub(crate) sealed: Sealed,
    pub(crate) blob: Vec<u8>,
    pub(crate) vector: Vec<u8>,
    pub(crate) keys: Vec<TrancheKeys>,
    pub(crate) text: Vec<u8>,
}

pub(crate) fn deliver_as(text: Vec<u8>, plan: &Plan<'_>, keys: Vec<TrancheKeys>) -> Delivery {
    let (mut blob, mut vector) = (Vec::new(), Vec::new());
    let sealed = seal(&text[..], plan, &keys, &mut blob, &mut vector).unwrap();
    Delivery { sealed, blob, vector, keys, text }
}

pub(crate) fn deliver(len: usize, tranches: u32) -> Delivery {
    deliver_as(work(len), &plan(len), keys(tranches))
}

impl Delivery {
    pub(crate) fn manifest(&self) -> &Manifest {
        &self.sealed.manifest
    }

    pub(crate) fn secrets(&self) -> Vec<TrancheSecret> {
        self.keys.iter().map(|keys| keys.secret.clone()).collect()
    }

    pub(crate) fn inspect_with(
        &self,
        bend: impl FnOnce(&mut Expected<'_>),
    ) -> Result<Inspected, Refused> {
        let (secrets, checks) = (self.secrets(), [hash(2)]);
        let mut expected = Expected {
            job: hash(1),
            delivery: 0,
            mode: Mode::Sealed,
            cut: None,
            chunks: None,
            secrets: &secrets,
            price_msat: 50_000_000,
            least_tranche_msat: 1_000_000,
            checks: &checks,
            max_total: 1 << 30,
            max_chunks: 1 << 20,
            seen: &|_| false,
        };
        bend(&mut expected);
        let (blob, vector) = (Cursor::new(&self.blob), Cursor::new(&self.vector));
        match inspect(blob, vector, self.manifest(), &expected, two()) {
            Ok(inspected) => Ok(inspected),
            Err(InspectError::Refused(refused)) => Err(refused),
            Err(InspectError::Fault(fault)) => panic!("{fault}"),
        }
    }

    pub(crate) fn inspect(&self) -> Result<Inspected, Refused> {
        self.inspect_with(|_| ())
    }

    pub(crate) fn open(&self, t: u32) -> Result<Vec<u8>, OpenError> {
        let mut text = Vec::new();
        let (blob, vector) = (Cursor::new(&self.blob), Cursor::new(&self.vector));
        let keys = self.keys.get(t as usize);
        let opened = open(self.manifest(), t, keys, blob, vector, &mut text, two())?;
        assert_eq!(opened.bytes, text.len() as u64);
        assert_eq!(opened.hash, blake3::hash(&text).into());
        Ok(text)
    }

    /// The worker signs what it did, whatever that is: hashes and root follow blob and vector.
    pub(crate) fn sign_again(&mut self) {
        self.sealed.manifest.blob = blake3::hash(&self.blob).into();
        self.sealed.manifest.blob_len = self.blob.len() as u64;
        self.sealed.manifest.vector = blake3::hash(&self.vector).into();
    }
}

fn tagged(context: &str, parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    for part in parts {
        hasher.update(part);
    }
    *hasher.finalize().as_bytes()
}

/// PROTOCOL's tree, written a second time and recursively.
pub(crate) fn root_by_hand(delivery: &Delivery) -> Hash32 {
    let mut offset = 0;
    let leaves: Vec<[u8; 32]> = (0u64..)
        .zip(delivery.vector.chunks(37))
        .map(|(i, entry)| {
            let len = u32::from_le_bytes(entry[..4].try_into().unwrap()) as usize;
            let cipher = &delivery.blob[offset..offset + len];
            offset += len;
            let c = tagged("earnest/v1/chunk-ciphertext", &[&entry[..4], cipher]);
            // Number, length and mark, then both commitments.
            tagged("earnest/v1/leaf", &[&i.to_le_bytes(), &entry[..5], &entry[5..], &c])
        })
        .collect();
    fn root(leaves: &[[u8; 32]]) -> [u8; 32] {
        if let [leaf] = leaves {
            return *leaf;
        }
        let k = leaves.len().next_power_of_two() / 2;
        tagged("earnest/v1/node", &[&root(&leaves[..k]), &root(&leaves[k..])])
    }
    Hash32::new(root(&leaves))
}

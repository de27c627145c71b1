//! Proving: what a signature convicts its author of, as one file that anybody can judge.

use std::io::Write as _;
use std::path::PathBuf;

use super::deliver::sentence;
use super::fault::{KEY_KEPT, disk};
use super::place::{Folder, half, make_dir, put};
use super::receive::both;
use super::tranche_keys;
use crate::engine::{Fault, ProofOrder, Shows};
use crate::seal::{self, ProveError};
use crate::wire;

/// See [`crate::engine::Files::prove`].
pub(super) fn make(folder: &Folder, order: &ProofOrder) -> Result<PathBuf, Fault> {
    let dir = &folder.0;
    let failed = |why| disk(dir, why, KEY_KEPT);
    let not_made = |error| match error {
        ProveError::Fault(why) => failed(why),
        error => Fault::Never(format!("{}.", sentence(&error.to_string()))),
    };
    let (certificate, record) = (&order.certificate, &order.record);
    let (name, json) = match &order.shows {
        Shows::Key { at, t, key, chunk } => {
            let (blob, vector) = both(at, KEY_KEPT)?;
            let keys = tranche_keys(&at.terms, *t, key);
            let m = &at.manifest;
            let proof = seal::prove(certificate, record, m, &keys, *chunk, blob, vector);
            let json = proof.map_err(not_made)?.to_json();
            (format!("fraud-proof-{}.json", at.terms.delivery), json)
        }
        Shows::Check { at, t, key, chunk, check } => {
            let (blob, vector) = both(at, KEY_KEPT)?;
            let keys = tranche_keys(&at.terms, *t, key);
            let m = &at.manifest;
            let proof = seal::refute(certificate, record, check, m, &keys, *chunk, blob, vector);
            let json = proof.map_err(not_made)?.to_json();
            (format!("check-proof-{}.json", at.terms.delivery), json)
        }
        Shows::Pair { before } => {
            let json = wire::pair_proof(certificate, before, record).into_bytes();
            ("equivocation-proof.json".to_owned(), json)
        }
    };
    make_dir(dir).map_err(failed)?;
    let path = dir.join(name);
    let mut file = half(dir).map_err(failed)?;
    file.write_all(&json).map_err(failed)?;
    put(file, &path).map_err(failed)?;
    Ok(path)
}

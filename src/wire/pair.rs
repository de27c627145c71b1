//! The proof of equivocation: two records by one key that cannot both stand.

use serde::{Deserialize, Serialize};

use super::certificate::read_certificate;
use super::record::read_record;
use super::rejected::{Code, Rejected};
use crate::market::{Body, Certificate, Offence, Record};

/// What tells the JSON of this proof from that of others.
const KIND: &str = "pair";

/// The proof's JSON, fields in the order of their names.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    certificate: String,
    first: String,
    kind: String,
    second: String,
    v: u32,
}

/// The proof that these two records make: the certificate of whoever signed both, and the two signed events.
pub fn pair_proof(certificate: &str, first: &str, second: &str) -> String {
    let form = Form {
        certificate: certificate.to_owned(),
        first: first.to_owned(),
        kind: KIND.to_owned(),
        second: second.to_owned(),
        v: 1,
    };
    // Strings and a number: there is nothing in it that JSON cannot say.
    serde_json::to_string(&form).unwrap_or_default()
}

/// What two records have that cannot be: one number.
fn offence(first: &Record, second: &Record) -> Option<Offence> {
    // A bid is of no job yet.
    if first.id == second.id || first.draft.job != second.draft.job || first.draft.job.is_none() {
        return None;
    }
    if first.draft.seq == second.draft.seq {
        return Some(Offence::Records);
    }
    match (&first.draft.body, &second.draft.body) {
        (Body::Deliver(a), Body::Deliver(b))
            if a.manifest.delivery == b.manifest.delivery && a.manifest != b.manifest =>
        {
            Some(Offence::Deliveries)
        }
        _ => None,
    }
}

/// Whom such a proof convicts, of what, and by which record; `None` if nothing is wrong with the two.
///
/// # Errors
/// It is no such proof, or something in it is not signed as it must be.
pub(super) fn judge_pair(json: &str) -> Result<Option<(Certificate, Offence, Record)>, Rejected> {
    let bad =
        || Rejected::new(Code::BadField, "this is not a proof of a version that is read here");
    let form: Form = serde_json::from_str(json).map_err(|_| bad())?;
    if form.kind != KIND || form.v != 1 {
        return Err(bad());
    }
    let certificate = read_certificate(&form.certificate)?;
    let (first, second) = (read_record(&form.first)?, read_record(&form.second)?);
    for record in [&first, &second] {
        if record.author != certificate.session {
            let sentence = "a record is not signed by the session key of the certificate";
            return Err(Rejected::new(Code::WrongAuthor, sentence));
        }
    }
    Ok(offence(&first, &second).map(|offence| (certificate, offence, second)))
}

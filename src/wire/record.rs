//! The record (kind 3921): one signed sentence in a job, with its place in its author's chain.

use nostr::{Event, Tag};

use super::body;
use super::canonical::{parse, read_canonical, to_canonical};
use super::event::{self, SigningKey};
use super::limits::RUMOR_BYTES;
use super::rejected::{Code, Rejected};
use crate::market::{Body, Draft, JobId, Record};

/// The kind of a record. It only ever travels inside encryption.
pub const RECORD: u16 = 3921;

/// Bodies of this version. Any other is refused, never guessed.
const BODIES: [&str; 26] = [
    "bid",
    "decline",
    "award",
    "withdraw",
    "material",
    "deliver",
    "ready",
    "bill",
    "accept",
    "reject",
    "audit",
    "open",
    "lock",
    "fund",
    "funded",
    "appoint",
    "holding",
    "lodge",
    "lodged",
    "dispute",
    "objection",
    "ruling",
    "cancel",
    "settled",
    "rate",
    "note",
];

/// J in a bid, which begins a job and so has none yet.
const NO_JOB: JobId = JobId([0; 32]);

/// Signs a record with a session key. The same draft gives the same event, so repeating is harmless.
/// Refuses, before signing, whatever a reader would refuse.
pub fn sign_record(session: &SigningKey, draft: &Draft) -> Result<Record, Rejected> {
    check(draft)?;
    let content = to_canonical(&draft.body)?;
    let unsigned = event::unsigned(session.pubkey(), draft.at, RECORD, tags(draft), content);
    // Signing has verified the signature.
    let event = session.sign(unsigned)?;
    let json = event::to_json(&event)?;
    if json.len() > RUMOR_BYTES {
        return Err(Rejected::too_large("the record", json.len(), RUMOR_BYTES));
    }
    understood(&event, json)
}

/// Reads a record: size, kind, id, signature, version, chain, body and limits. Says nothing about who
/// may say it: that is the market's to judge, from the author's certificate.
pub fn read_record(json: &str) -> Result<Record, Rejected> {
    let event = event::read(json, RUMOR_BYTES, RECORD, "the record")?;
    let json = event::to_json(&event)?;
    understood(&event, json)
}

/// What a verified record says: version, chain, body and limits.
fn understood(event: &Event, json: String) -> Result<Record, Rejected> {
    if event::one(event, "v")? != "1" {
        let sentence = "the record has a version that this program does not speak";
        return Err(Rejected::new(Code::UnknownVersion, sentence));
    }
    known(&event.content)?;
    let job: JobId = hex32(event::one(event, "j")?, "j")?;
    let link = |name| event::maybe(event, name)?.map(|id| hex32(id, name)).transpose();
    let draft = Draft {
        job: (job != NO_JOB).then_some(job),
        seq: event::number(event::one(event, "seq")?, "seq")?,
        prev: link("prev")?,
        seen: link("seen")?,
        at: event::at(event),
        body: read_canonical(&event.content, RUMOR_BYTES, "the record's body")?,
    };
    if event.tags.as_slice() != tags(&draft).as_slice() {
        let sentence = "the record has a tag that this version does not know, or in another order";
        return Err(Rejected::new(Code::BadTag, sentence));
    }
    check(&draft)?;
    Ok(Record { id: event::id(event), author: event::author(event), draft, event: json })
}

/// The tags, in the only order there is.
fn tags(draft: &Draft) -> Vec<Tag> {
    let job = draft.job.unwrap_or(NO_JOB);
    let mut tags = vec![
        event::tag("v", ["1"]),
        event::tag("j", [&job.to_string()]),
        event::tag("seq", [&draft.seq.to_string()]),
    ];
    tags.extend(draft.prev.map(|id| event::tag("prev", [&id.to_string()])));
    tags.extend(draft.seen.map(|id| event::tag("seen", [&id.to_string()])));
    tags
}

/// What must hold of every record, whoever wrote it.
fn check(draft: &Draft) -> Result<(), Rejected> {
    let bad = |sentence: &str| Err(Rejected::new(Code::BadTag, sentence));
    if (draft.seq == 0) != draft.prev.is_none() {
        return bad("the first record of a chain, and only the first, has no previous one");
    }
    match (&draft.body, draft.job) {
        (Body::Bid(_), None) => {}
        (Body::Bid(_), Some(_)) => return bad("a bid names no job: it begins one"),
        (_, None | Some(NO_JOB)) => return bad("only a bid has no job"),
        (Body::Award(award), Some(job)) if job.0 != award.bid.0 => {
            return bad("an award does not stand under the bid that it names");
        }
        _ => {}
    }
    body::check(&draft.body)
}

fn known(content: &str) -> Result<(), Rejected> {
    let value = parse(content, RUMOR_BYTES)?;
    let name = value.get("type").and_then(|t| t.as_str());
    if name.is_some_and(|n| BODIES.contains(&n)) {
        return Ok(());
    }
    let sentence = "the record says something that this version does not know";
    Err(Rejected::new(Code::UnknownBody, sentence))
}

fn hex32<T: std::str::FromStr>(text: &str, name: &str) -> Result<T, Rejected> {
    text.parse().map_err(|_| Rejected::tag(name, "is not 32 bytes in lower-case hex"))
}

//! Proof of work (NIP-13): leading zero bits of an event's id, with the target committed in a tag.

use std::sync::atomic::{AtomicU64, Ordering};

use nostr::{Event, Tag, UnsignedEvent};
use sha2::{Digest as _, Sha256};

use super::event;
use super::limits::POW;
use super::rejected::{Code, Rejected};
use crate::market::EventId;

/// Above this many bits it is worth starting threads.
const ALONE: u8 = 16;

/// Digits of the counter in the tag: fixed, so that every try hashes the same number of bytes.
const DIGITS: usize = 16;

/// Leading zero bits of an id.
pub fn bits(id: &EventId) -> u32 {
    let mut zeros = 0;
    for byte in id.0 {
        zeros += byte.leading_zeros();
        if byte != 0 {
            break;
        }
    }
    zeros
}

/// Adds the nonce tag that gives the event's id at least `target` leading zero bits. Takes 2^target
/// hashes of the whole event on average. The result is the lowest counter that does it, so it does not
/// depend on how many threads looked for it.
pub fn mine(mut draft: UnsignedEvent, target: u8) -> Result<UnsignedEvent, Rejected> {
    if target == 0 {
        return Ok(draft);
    }
    if target > POW {
        let sentence =
            format!("{target} bits of proof of work are asked for; at most {POW} are done");
        return Err(Rejected::limit(sentence));
    }
    let (before, after) = around(&draft, target)?;
    let threads = if target > ALONE {
        std::thread::available_parallelism().map_or(1, usize::from) as u64
    } else {
        1
    };
    let found = AtomicU64::new(u64::MAX);
    std::thread::scope(|scope| {
        for first in 1..threads {
            let (before, after, found) = (&before, &after, &found);
            scope.spawn(move || search(before, after, target, first, threads, found));
        }
        search(&before, &after, target, 0, threads, &found);
    });
    let counter = format!("{:0DIGITS$}", found.into_inner());
    draft.tags.push(event::tag("nonce", [counter.as_str(), target.to_string().as_str()]));
    draft.id = None;
    if bits(&EventId(draft.id().to_bytes())) < u32::from(target) {
        let sentence = "the proof of work does not hold: this is a bug";
        return Err(Rejected::new(Code::NoProofOfWork, sentence));
    }
    Ok(draft)
}

/// Checks an event whose id is known to be the hash of it. The commitment must be there, or a lucky id
/// made for a lower target would pass.
pub(crate) fn check(event: &Event, asked: u8) -> Result<(), Rejected> {
    if asked == 0 {
        return Ok(());
    }
    let done = bits(&event::id(event));
    let mut tags = event.tags.iter().map(Tag::as_slice).filter(|t| t[0] == "nonce");
    let committed = match (tags.next(), tags.next()) {
        (Some([_, _, target]), None) => target.parse::<u8>().unwrap_or(0),
        _ => 0,
    };
    if done >= u32::from(asked) && committed >= asked {
        return Ok(());
    }
    let sentence = format!(
        "{asked} bits of proof of work were asked for; {done} are there, {committed} promised"
    );
    Err(Rejected::new(Code::NoProofOfWork, sentence))
}

/// What is hashed (NIP-01), cut where the counter stands.
fn around(draft: &UnsignedEvent, target: u8) -> Result<(String, String), Rejected> {
    let wrong = |_| Rejected::new(Code::NotAnEvent, "the event has no JSON form");
    let mut tags = String::new();
    for tag in draft.tags.iter() {
        tags.push_str(&serde_json::to_string(tag.as_slice()).map_err(wrong)?);
        tags.push(',');
    }
    let (author, at, kind) =
        (draft.pubkey.to_hex(), draft.created_at.as_secs(), draft.kind.as_u16());
    let content = serde_json::to_string(&draft.content).map_err(wrong)?;
    let before = format!("[0,\"{author}\",{at},{kind},[{tags}[\"nonce\",\"");
    Ok((before, format!("\",\"{target}\"]],{content}]")))
}

/// Tries `first`, `first + step`, ... until one does it or a lower one was found elsewhere.
fn search(before: &str, after: &str, target: u8, first: u64, step: u64, found: &AtomicU64) {
    let start = Sha256::new_with_prefix(before);
    let mut counter = first;
    while counter < found.load(Ordering::Relaxed) {
        let mut hasher = start.clone();
        hasher.update(format!("{counter:0DIGITS$}"));
        hasher.update(after);
        if bits(&EventId(hasher.finalize().into())) >= u32::from(target) {
            found.fetch_min(counter, Ordering::Relaxed);
            return;
        }
        counter += step;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::{Pubkey, Time};

    fn draft() -> UnsignedEvent {
        let tags = vec![event::tag("p", ["\"quoted\" \u{1}\n"])];
        event::unsigned(
            Pubkey([1; 32]),
            Time(1_700_000_000),
            1059,
            tags,
            "\u{7f}\"\\ \u{8}é".into(),
        )
    }

    #[test]
    fn threads_find_what_one_finds() {
        let (before, after) = around(&draft(), 9).unwrap();
        let alone = AtomicU64::new(u64::MAX);
        search(&before, &after, 9, 0, 1, &alone);
        let shared = AtomicU64::new(u64::MAX);
        for first in [2, 0, 1] {
            search(&before, &after, 9, first, 3, &shared);
        }
        assert_eq!(alone.into_inner(), shared.into_inner());
    }

    #[test]
    fn mined_is_mined() {
        for target in [1, 7, 12, 17] {
            let mined = mine(draft(), target).unwrap();
            assert!(mined.verify_id().is_ok());
            assert!(bits(&EventId(mined.id.unwrap().to_bytes())) >= u32::from(target));
        }
        assert_eq!(mine(draft(), POW + 1).unwrap_err().code, Code::OutOfLimits);
    }

    #[test]
    fn bits_are_counted_from_the_front() {
        let mut id = [0; 32];
        assert_eq!(bits(&EventId(id)), 256);
        id[2] = 0x10;
        assert_eq!(bits(&EventId(id)), 19);
        assert_eq!(bits(&EventId([0xff; 32])), 0);
    }
}

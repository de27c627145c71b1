//! `audit`: the requester sees some records before it pays, drawn by a seed that it committed to before the
//! work was signed. Everything is drawn again here from PROTOCOL.md alone, and opened again.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chacha20::cipher::{KeyIvInit as _, StreamCipher as _};
use sha2::Digest as _;

use crate::engine::Ports;
use crate::market::{BidId, Quality};
use crate::sandbox::story::course::{Asked, Course, Halted, facts, records};
use crate::sandbox::story::crook::{Crook, Trick};
use crate::sandbox::story::first_job::view;
use crate::sandbox::story::{Play, Story, Teller};
use crate::sandbox::world::sats;
use crate::seal::Cut;

/// What it shows.
pub(super) const STORY: Story = Story {
    name: "audit",
    about: "before it pays, the requester opens twenty records out of six hundred, drawn by a seed that it had committed to",
    breaks: &[
        ("wrong-sample", "the worker opens other keys than those of the records that were drawn"),
        ("no-sample", "the worker does not answer"),
        ("wrong-byte", "one byte of the ciphertext that the worker serves is not what it signed"),
    ],
};

const PRICE_SATS: u64 = 10_000;
/// Bytes of a record.
const ITEM: usize = 64;
const ITEMS: u32 = 600;
const WANTED: u64 = 20;

/// Plays it.
pub(super) async fn tell(play: &Play, teller: &mut Teller<'_>) -> anyhow::Result<()> {
    let trick = match play.break_way.as_deref() {
        Some("wrong-sample") => Some(Trick::WrongSample),
        Some("no-sample") => Some(Trick::NoSample),
        Some("wrong-byte") => Some(Trick::WrongByte),
        _ => None,
    };
    let change = move |ports: Ports| match trick {
        Some(trick) => Ports { files: Arc::new(Crook::new(ports.files.clone(), trick)), ..ports },
        None => ports,
    };
    let mut course = Course::start(play, teller, change).await?;
    let mut seen = Seen::default();
    let ran = run(&mut course, play, teller, &mut seen).await;
    let went = ran.map_or_else(|why| format!("{why:#}"), |()| "settled".into());
    teller.claim("the job runs to its end", "settled", went);
    let halted = course.halt(teller).await?;
    if let Some((job, work)) = seen.asked.clone()
        && let Err(why) = read(&halted, job, &work, &mut seen)
    {
        teller.step(format!("{why:#}"));
    }

    teller.claim("the seed is the one committed to in the award", Some(true), seen.committed);
    teller.claim("the award came before the delivery was signed", Some(true), seen.before);
    teller.claim("nothing was paid before the sample was seen", Some(true), seen.unpaid);
    teller.claim(
        "as many records were opened as the terms ask for",
        Some(WANTED.min(seen.records / 10)),
        seen.opened,
    );
    teller.claim("no record twice", seen.indices.len(), {
        seen.indices.iter().collect::<BTreeSet<_>>().len()
    });
    teller.claim("the records that were drawn open with the worker's keys", Some(true), seen.opens);
    let words = seen.words.clone().unwrap_or_default();
    teller.claim("the confidence is said in words", true, words.contains("95 % confidence"));
    teller.tell("a_R", &seen.a_r);
    teller.tell("s_R", &seen.s_r);
    teller.tell("job_id", &seen.j);
    teller.tell("manifest_hash", &seen.d);
    teller.tell("n", seen.records);
    teller.tell("wanted", WANTED);
    teller.tell("indices", &seen.indices);
    teller.tell("says", words);
    halted.end(teller).await
}

/// What was seen on the way.
#[derive(Default)]
struct Seen {
    a_r: String,
    s_r: String,
    j: String,
    d: String,
    records: u64,
    indices: Vec<u64>,
    committed: Option<bool>,
    before: Option<bool>,
    unpaid: Option<bool>,
    opened: Option<u64>,
    opens: Option<bool>,
    words: Option<String>,
    asked: Option<(BidId, PathBuf)>,
}

async fn run(
    course: &mut Course,
    play: &Play,
    teller: &mut Teller<'_>,
    seen: &mut Seen,
) -> anyhow::Result<()> {
    let price = sats(play.price.unwrap_or(PRICE_SATS))?;
    course.requester_can_pay(price, teller).await?;
    let work = match &play.file {
        Some(file) => file.clone(),
        None => course.write("labels.bin", &labels())?,
    };
    let cut = Some(Cut::Items { len: u32::try_from(ITEM)? });
    let quality = Quality { audit: WANTED, cut, ..Quality::default() };
    let title = "Label six hundred photographs";
    let job = course.award(&Asked { title, price, tranches: 1, quality }).await?;
    teller.step("a job is awarded; the award commits to the seed of the audit");
    seen.asked = Some((job, work.clone()));
    course.deliver(job, &work).await?;
    teller.step("the requester holds all the ciphertext, checked, and no key");
    let words = course
        .requester
        .wait("the audit", course.patience(), |s| {
            let words = view(s, job)?.delivery.as_ref()?.audit.as_ref()?.to_string();
            words.contains("confidence").then_some(words)
        })
        .await?;
    teller.step(words.clone());
    seen.words = Some(words);
    seen.unpaid = Some(course.payments(job).await?.is_empty());
    course.accept(job).await?;
    let output = course.settled(job).await?;
    teller.step("the rest is paid for and open");
    course.handed(&work, output, teller).await
}

/// Everything that the audit stands on, from the two databases, drawn and opened again.
fn read(halted: &Halted, job: BidId, work: &Path, seen: &mut Seen) -> anyhow::Result<()> {
    // The award as the worker has it: what the requester committed to, whatever it says now.
    let theirs = facts(&halted.worker, job)?;
    let award = *records(&theirs, "award").first().context("the worker has no award")?;
    let deliver = *records(&theirs, "deliver").last().context("the worker has no delivery")?;
    let place = |id: &serde_json::Value| theirs.iter().position(|f| f["record"]["id"] == *id);
    seen.before = Some(place(&award["id"]) < place(&deliver["id"]));
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    seen.a_r = text(&award["draft"]["body"]["audit"]);
    seen.d = text(&deliver["id"]);
    seen.j = text(&deliver["draft"]["job"]);
    let manifest = &deliver["draft"]["body"]["manifest"];
    // Every item is one chunk.
    seen.records = manifest["n"].as_u64().unwrap_or_default();
    let ours = facts(&halted.requester, job)?;
    let audit = *records(&ours, "audit").last().context("no seed was revealed")?;
    seen.s_r = text(&audit["draft"]["body"]["seed"]);
    let seed = hex::decode(&seen.s_r)?;
    seen.committed = Some(hex::encode(sha2::Sha256::digest(&seed)) == seen.a_r);
    seen.indices =
        draw(&hex::decode(&seen.j)?, &hex::decode(&seen.d)?, &seed, seen.records, WANTED);

    let open = *records(&ours, "open").last().context("the worker opened nothing")?;
    let keys = STANDARD.decode(text(&open["draft"]["body"]["keys"]))?;
    let keys = keys.as_chunks::<32>().0;
    seen.opened = Some(keys.len() as u64);
    let blob = text(&manifest["blob"]);
    let (cipher, plain) = (halted.sealed(job, &blob)?, std::fs::read(work)?);
    let mut opens = keys.len() == seen.indices.len();
    for (key, index) in keys.iter().zip(&seen.indices) {
        let at = usize::try_from(*index)? * ITEM;
        let mut item = cipher.get(at..at + ITEM).context("the ciphertext is short")?.to_vec();
        chacha20::ChaCha20::new(key.into(), &[0; 12].into()).apply_keystream(&mut item);
        opens &= plain.get(at..at + ITEM) == Some(&item[..]);
    }
    seen.opens = Some(opens);
    Ok(())
}

/// The records that a seed draws, by PROTOCOL.md 5.6.
fn draw(j: &[u8], d: &[u8], seed: &[u8], records: u64, wanted: u64) -> Vec<u64> {
    let mut hasher = blake3::Hasher::new_derive_key("earnest/v1/audit");
    for part in [j, d, seed] {
        hasher.update(part);
    }
    let mut words = hasher.finalize_xof();
    let (mut drawn, mut word) = (Vec::new(), [0; 8]);
    let wanted = usize::try_from(wanted.min(records / 10)).unwrap_or(usize::MAX);
    while drawn.len() < wanted {
        words.fill(&mut word);
        let word = u128::from(u64::from_le_bytes(word));
        let whole = (1u128 << 64) / u128::from(records) * u128::from(records);
        let record = u64::try_from(word % u128::from(records)).unwrap_or_default();
        if word < whole && !drawn.contains(&record) {
            drawn.push(record);
        }
    }
    drawn
}

/// One label an item, padded.
fn labels() -> Vec<u8> {
    let words = ["cat", "dog", "owl", "fox"];
    let mut text = Vec::new();
    for n in 0..ITEMS {
        let label = format!("{{\"photo\":{n},\"is\":\"{}\"}}", words[(n * n) as usize % 4]);
        text.extend(format!("{label:<width$}\n", width = ITEM - 1).into_bytes());
    }
    text
}

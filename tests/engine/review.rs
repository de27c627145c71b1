//! The audit before payment and the checks of the terms, between two real cores: what they tell an honest
//! pair, and what liars get of them.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use earnest::engine::{Clock as _, Scribe as _, Store as _};
use earnest::market::*;
use earnest::seal::Cut;
use earnest::verify::{Check, Kind, Scope, Unit};
use earnest::wire::{Judgement, PROOF, verify_proof};

use crate::pair::*;

/// Chunks of 16 KiB, each a record.
const CHUNK: usize = 16 * 1024;

/// Awarded on a gig with this quality.
pub(crate) fn awarded(quality: Quality, tranches: u32) -> Pair {
    let mut pair = Pair::new();
    let gig = pair.posted(|draft| draft.quality = quality);
    let wish = Wish { tranches: Some(tranches), ..Wish::default() };
    let id = pair.core_mut(Worker).bid(&gig, wish, "I can.").unwrap();
    pair.quiet();
    pair.core_mut(Requester).award(&id).unwrap();
    pair.quiet();
    pair
}

fn audit(records: u64) -> Quality {
    Quality { audit: records, ..Quality::default() }
}

fn review(pair: &Pair, who: Who) -> Review {
    pair.job(who).attempt.unwrap().review
}

fn standing(pair: &Pair) -> EventId {
    pair.job(Worker).attempt.unwrap().record.unwrap().id
}

fn reveals(pair: &Pair) -> usize {
    pair.side(Worker).ran.iter().filter(|(_, effect, _)| effect.kind() == "reveal").count()
}

fn tell(pair: &mut Pair, who: Who, body: Body) {
    let (_, event) = pair.forge(who, body, |_| {});
    pair.events.push(event);
    pair.quiet();
}

fn rejection(pair: &Pair) -> (String, Option<NextSeed>) {
    match pair.job(Requester).ours.last.unwrap().draft.body {
        Body::Reject { reason, next, .. } => (reason.0, next),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_tenth_is_opened_before_payment_and_says_what_it_buys() {
    let mut pair = awarded(audit(50), 1);
    pair.deliver("work.bin", 20 * CHUNK).unwrap();
    pair.quiet();
    let told = review(&pair, Requester);
    assert_eq!(told.audited, Some(Audited { records: 20, sampled: 2 }));
    // C(20 - b, 2) / C(20, 2) is 0.0526 for 15 and 0.0316 for 16.
    assert_eq!(told.audited.unwrap().bound().bad, 15);
    assert_eq!(review(&pair, Worker).keys, told.keys);
    assert_eq!(STANDARD.decode(told.keys.unwrap()).unwrap().len(), 64);
    assert_eq!(pair.nodes.earned, [0, 0], "the audit is before payment");
    pair.accept().unwrap();
    pair.quiet();
    assert_eq!((pair.phase(Requester), pair.phase(Worker)), (Phase::Settled, Phase::Settled));
}

#[test]
fn small_work_has_no_free_audit() {
    let mut pair = awarded(audit(50), 1);
    pair.deliver("work.bin", 9 * CHUNK).unwrap();
    pair.quiet();
    assert_eq!(review(&pair, Requester).audited, Some(Audited { records: 9, sampled: 0 }));
    assert_eq!(review(&pair, Worker).keys.as_deref(), Some(""));
    pair.accept().unwrap();
    pair.quiet();
    assert_eq!(pair.phase(Requester), Phase::Settled);
}

#[test]
fn a_worker_who_opens_with_wrong_keys_is_refused_and_a_new_delivery_needs_a_new_seed() {
    let mut pair = awarded(audit(2), 1);
    pair.side_mut(Worker).misopens = true;
    let seed = pair.job(Requester).seed.unwrap();
    pair.deliver("work.bin", 20 * CHUNK).unwrap();
    pair.quiet();
    let (reason, next) = rejection(&pair);
    assert!(reason.contains("audit failed") && reason.contains("Nothing was paid"), "{reason}");
    let next = next.expect("the seed was revealed");
    assert_ne!(next.audit, seed.hash);
    assert_eq!((pair.phase(Requester), pair.phase(Worker)), (Phase::Working, Phase::Working));
    for who in [Requester, Worker] {
        let stands = pair.job(who).seed.unwrap();
        assert_eq!((stands.hash, stands.revealed), (next.audit, false));
    }
    // The used seed opens nothing of the next delivery, whoever insists.
    pair.side_mut(Worker).misopens = false;
    pair.side_mut(Requester).lazy = vec!["inspect"];
    pair.deliver("again.bin", 20 * CHUNK).unwrap();
    pair.quiet();
    let old = pair.side(Requester).keys.audit_seed(&seed.nonce);
    let (manifest, opened) = (standing(&pair), reveals(&pair));
    let job = pair.job(Worker);
    let (record, _) = pair.forge(Requester, Body::Audit { manifest, seed: old }, |_| {});
    let heard = Input::Heard { record: Box::new(record), certificate: None, invoice: None };
    let world = World {
        now: pair.now(),
        spendable: Msat::ZERO,
        slots_left: 1,
        hash_known: false,
        height: 0,
        limits: Limits::NONE,
        open: Exposure::default(),
    };
    let answer = step(&job, &heard, &world).unwrap();
    assert!(answer.effects.is_empty() && answer.says.is_empty(), "{answer:?}");
    assert_eq!(reveals(&pair), opened);
    pair.wake(Requester);
    pair.quiet();
    assert_eq!(review(&pair, Worker).seed, Some(next.audit));
    assert_eq!(review(&pair, Requester).audited.unwrap().sampled, 2);
    pair.accept().unwrap();
    pair.quiet();
    assert_eq!(pair.phase(Worker), Phase::Settled);
}

#[test]
fn too_few_keys_and_no_keys_are_refused() {
    for keys in [STANDARD.encode([7; 32]), String::new()] {
        let mut pair = awarded(audit(2), 1);
        pair.side_mut(Worker).lazy = vec!["reveal"];
        pair.deliver("work.bin", 20 * CHUNK).unwrap();
        pair.quiet();
        let manifest = standing(&pair);
        tell(&mut pair, Worker, Body::Open { manifest, keys });
        assert!(rejection(&pair).0.contains("did not open exactly"));
        assert_eq!(pair.nodes.earned, [0, 0]);
    }
}

#[test]
fn a_worker_who_does_not_answer_is_not_paid_unless_a_person_insists() {
    let mut pair = awarded(audit(2), 1);
    pair.side_mut(Worker).lazy = vec!["reveal"];
    pair.deliver("work.bin", 20 * CHUNK).unwrap();
    pair.quiet();
    assert_eq!(refused(pair.accept()), "auditing");
    // An answer about another delivery is none.
    let keys = STANDARD.encode([7; 64]);
    tell(&mut pair, Worker, Body::Open { manifest: EventId([7; 32]), keys });
    assert_eq!(review(&pair, Requester).keys, None);
    assert_eq!(refused(pair.accept()), "auditing");
    pair.pass(AUDIT_WAIT);
    pair.accept().unwrap();

    let mut pair = awarded(audit(2), 1);
    pair.side_mut(Worker).lazy = vec!["reveal"];
    pair.deliver("work.bin", 20 * CHUNK).unwrap();
    pair.quiet();
    pair.pass(Span::DAY.times(2));
    pair.quiet();
    assert_eq!(pair.phase(Requester), Phase::Expired);
    assert_eq!(pair.nodes.earned, [0, 0]);
}

#[test]
fn a_repeat_gets_the_same_answer_a_used_seed_and_a_late_question_get_none() {
    let mut pair = awarded(audit(2), 1);
    pair.deliver("work.bin", 20 * CHUNK).unwrap();
    pair.quiet();
    let (first, keys) = (standing(&pair), review(&pair, Worker).keys.unwrap());
    let seed = pair.side(Requester).keys.audit_seed(&pair.job(Requester).seed.unwrap().nonce);
    let again = Body::Audit { manifest: first, seed };
    tell(&mut pair, Requester, again.clone());
    let said = pair.job(Worker).ours.last.unwrap().draft.body;
    assert_eq!(said, Body::Open { manifest: first, keys });
    assert_eq!(reveals(&pair), 1, "it was not drawn again");
    // Another seed, which was never committed to.
    tell(&mut pair, Requester, Body::Audit { manifest: first, seed: Preimage::new([9; 32]) });
    assert_eq!(reveals(&pair), 1);
}

#[test]
fn after_ready_nothing_more_is_opened_unpaid() {
    let mut pair = awarded(audit(2), 1);
    pair.side_mut(Worker).lazy = vec!["reveal", "bill"];
    pair.deliver("work.bin", 20 * CHUNK).unwrap();
    pair.quiet();
    pair.pass(AUDIT_WAIT);
    pair.accept().unwrap();
    pair.quiet();
    assert!(review(&pair, Worker).ready);
    // What waits is overtaken.
    let waits = pair.side(Worker).kept.iter().find(|(_, effect)| effect.kind() == "reveal");
    let (_, effect) = waits.expect("it was asked for before");
    assert!(!effect.is_wanted(&pair.job(Worker), pair.clock.now()));
}

pub(crate) fn labels(scope: Scope) -> Quality {
    let schema =
        r#"{"type":"object","required":["label"],"properties":{"label":{"enum":["cat","dog"]}}}"#;
    let kind = Kind::Schema { schema: schema.into(), unit: Unit::Line };
    let body = String::from_utf8(Check { scope, kind }.to_json()).unwrap();
    let hash = Digest(*blake3::hash(body.as_bytes()).as_bytes());
    Quality { checks: vec![Pinned { body: Some(body), hash }], cut: Some(Cut::Lines), audit: 0 }
}

/// So many lines, of which one is not what was asked.
fn lines(count: usize, wrong: Option<usize>) -> Vec<u8> {
    let line = |i| match Some(i) == wrong {
        true => "{\"label\":\"owl\"}\n",
        false => "{\"label\":\"cat\"}\n",
    };
    (0..count).map(line).collect::<String>().into_bytes()
}

#[test]
fn good_work_passes_its_checks_and_settles() {
    for scope in [Scope::Chunk, Scope::Whole] {
        let mut pair = awarded(labels(scope), 2);
        pair.deliver_text("labels.jsonl", &lines(5_000, None));
        pair.accept().unwrap();
        pair.quiet();
        assert_eq!(pair.phase(Worker), Phase::Settled);
        let job = pair.job(Requester);
        assert_eq!(job.phase, Phase::Settled);
        let results = job.attempt.unwrap().review.results;
        assert_eq!(results.len(), 2, "one a tranche");
        assert!(results.iter().all(|result| result.verdict == CheckVerdict::Pass));
    }
}

#[test]
fn a_worker_is_told_before_it_sends() {
    let mut pair = awarded(labels(Scope::Chunk), 1);
    pair.deliver_text("labels.jsonl", &lines(5_000, Some(4_000)));
    let job = pair.job(Worker);
    assert_eq!((job.phase, job.deliveries), (Phase::Working, 0));
    let why = job.reason.unwrap();
    assert!(why.contains("does not pass a check") && why.contains("Nothing was sent"), "{why}");
    pair.deliver_text("labels.jsonl", &lines(5_000, None));
    assert_eq!(pair.phase(Requester), Phase::Delivered);
}

#[test]
fn what_fails_after_payment_is_not_paid_any_further() {
    let mut pair = awarded(labels(Scope::Chunk), 2);
    pair.side_mut(Worker).careless = true;
    pair.deliver_text("labels.jsonl", &lines(5_000, Some(10)));
    pair.accept().unwrap();
    pair.quiet();
    let job = pair.job(Requester);
    assert_eq!(job.phase, Phase::Cheated);
    let half = i128::from(sats(21_000).get()) / 2;
    assert_eq!(pair.nodes.earned, [-half, half], "one tranche, and no more");
    let failed = job.attempt.unwrap().review.results.into_iter().find(Checked::failed).unwrap();
    assert_eq!(failed.chunk, Some(0));
    assert_eq!(refused(pair.accept()), "wrong-phase");
    // What the worker signed convicts it, by the very check that it signed.
    let proof = std::fs::read(pair.job(Requester).attempt.unwrap().proof.unwrap()).unwrap();
    let event = pair.events.iter().find(|event| event.kind == PROOF).expect("it is published");
    for proof in [&proof[..], event.json.as_bytes()] {
        let Ok(Judgement::Guilty { against, offence, tranche, .. }) = verify_proof(proof) else {
            panic!("it proves nothing")
        };
        assert_eq!(against, pair.core(Worker).identity());
        assert_eq!((offence, tranche), (Offence::Check, Some(0)));
    }
    // Another check, another record, another boundary, another key: nothing.
    let text = String::from_utf8(proof).unwrap();
    let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let invalid = |value: &serde_json::Value| match verify_proof(value.to_string().as_bytes()) {
        Ok(Judgement::Invalid { code, .. }) => code,
        other => panic!("{other:?}"),
    };
    let bend = |key: &str, to: serde_json::Value| {
        let mut bent = value.clone();
        bent[key] = to;
        invalid(&bent)
    };
    let easy = value["check"].as_str().unwrap().replace("\"dog", "\"owl");
    assert_eq!(bend("check", easy.into()), "proof.unpinned");
    assert_eq!(bend("i", 1.into()), "proof.path");
    assert_eq!(bend("mark", 0.into()), "proof.path");
    assert_eq!(bend("key", "00".repeat(32).into()), "proof.closed");
    assert_eq!(bend("certificate", value["manifest"].clone()), "proof.unsigned");
    value.as_object_mut().unwrap().remove("next");
    assert_eq!(invalid(&value), "proof.part");
}

/// One line that spans two chunks, as it should be but for its label.
fn long_line(label: &str) -> Vec<u8> {
    let mut line = format!("{{\"label\":\"{label}\",\"why\":\"").into_bytes();
    line.extend(vec![b'x'; 20 * 1024]);
    line.extend(b"\"}\n");
    line
}

#[test]
fn a_line_longer_than_a_chunk_is_checked_whole_and_told_to_be_no_proof() {
    // Right, it passes: the check is run on the line and never on the halves of it.
    let mut pair = awarded(labels(Scope::Chunk), 1);
    pair.deliver_text("labels.jsonl", &long_line("cat"));
    pair.accept().unwrap();
    pair.quiet();
    assert_eq!((pair.phase(Requester), pair.phase(Worker)), (Phase::Settled, Phase::Settled));
    // Wrong, it costs what was paid and is remembered; but a proof shows one chunk, and nobody is promised one.
    let mut pair = awarded(labels(Scope::Chunk), 1);
    pair.side_mut(Worker).careless = true;
    pair.deliver_text("labels.jsonl", &long_line("owl"));
    assert_eq!(pair.job(Requester).attempt.unwrap().delivery().unwrap().manifest.n, 2);
    pair.accept().unwrap();
    pair.quiet();
    let job = pair.job(Requester);
    assert_eq!(job.phase, Phase::Cheated);
    let work = job.attempt.clone().unwrap();
    assert_eq!((work.review.results[0].chunk, work.proof), (None, None));
    assert!(!pair.events.iter().any(|event| event.kind == PROOF), "nothing is published");
    assert!(job.stuck.is_empty() && pair.core(Requester).store().outbox().unwrap() == (0, 0));
    let checked = Fact::Checked { tranche: 0, results: work.review.results };
    let said = earnest::engine::Notice::of(&job, &checked, pair.now()).unwrap().text;
    assert!(said.contains("there is no proof of it for others"), "{said}");
    let worker = pair.core(Worker).identity();
    assert!(pair.core(Requester).standing(&worker).unwrap().convicted);
}

#[test]
fn an_opened_sample_that_fails_a_check_is_refused_unpaid() {
    let mut pair = awarded(Quality { audit: 9, ..labels(Scope::Chunk) }, 1);
    pair.side_mut(Worker).careless = true;
    // Every line is wrong, so whatever is drawn shows it.
    let wrong = "{\"label\":\"owl\"}\n".repeat(15_000);
    pair.deliver_text("labels.jsonl", wrong.as_bytes());
    assert_eq!(pair.phase(Requester), Phase::Working);
    assert!(rejection(&pair).0.contains("does not pass a check"));
    assert_eq!(pair.nodes.earned, [0, 0]);
}

#[test]
fn a_gig_that_is_cut_by_files_is_delivered_as_a_folder_and_comes_out_as_one() {
    for (mode, tranches) in [(Mode::Sealed, 2), (Mode::Direct, 1), (Mode::Escrow, 1)] {
        let mut pair = Pair::new();
        pair.blocks(1000, &[Requester, Worker]);
        let quality = Quality { cut: Some(Cut::Files), audit: 5, ..Quality::default() };
        let gig = pair.posted(|draft| {
            draft.quality = quality;
            draft.modes = vec![mode];
            draft.escrow = (mode == Mode::Escrow).then(EscrowTerms::default);
        });
        let wish = Wish { tranches: Some(tranches), ..Wish::default() };
        let id = pair.core_mut(Worker).bid(&gig, wish, "I can.").unwrap();
        pair.quiet();
        pair.core_mut(Requester).award(&id).unwrap();
        pair.quiet();
        if mode == Mode::Escrow {
            pair.core_mut(Requester).fund(&id, sats(100)).unwrap();
            pair.quiet();
        }
        let view = earnest::engine::JobView::of(&pair.job(Worker), pair.now(), None);
        assert!(view.by_files, "every front end takes a folder for it");
        let pages: Vec<Vec<u8>> = (0..40).map(|n| vec![n; 2_000]).collect();
        let names: Vec<String> = (0..40).map(|n| format!("chapter-{}/page-{n}", n / 10)).collect();
        let files: Vec<(&str, &[u8])> =
            names.iter().zip(&pages).map(|(name, page)| (name.as_str(), page.as_slice())).collect();
        pair.deliver_folder("book", &files);
        if mode == Mode::Sealed {
            // Every file is a record, and the list of them is one.
            let seen = review(&pair, Requester).audited.unwrap();
            assert_eq!((seen.records, seen.sampled), (41, 4));
        }
        pair.accept().unwrap();
        pair.quiet();
        let job = pair.job(Requester);
        assert_eq!((job.phase, pair.phase(Worker)), (Phase::Settled, Phase::Settled), "{mode:?}");
        let output = job.attempt.unwrap().output.unwrap();
        assert_eq!(output.file_name().unwrap(), "book");
        for (name, page) in files {
            assert_eq!(std::fs::read(output.join(name)).unwrap(), page, "{mode:?} {name}");
        }
    }
}

#[test]
fn cut_and_checks_of_the_terms_stand_in_the_manifest() {
    let mut pair = awarded(labels(Scope::Chunk), 1);
    pair.deliver_text("labels.jsonl", &lines(5_000, None));
    let work = pair.job(Requester).attempt.unwrap();
    assert_eq!(work.delivery().unwrap().manifest.cut, Cut::Lines);
    assert_eq!(work.delivery().unwrap().manifest.checks.len(), 1);
    assert!(work.inspected);
}

//! No secret reaches a log, an error or a `Debug` form while a whole job is lived through.

#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "a test that cannot go on says so; the two people are shared with other tests"
)]

#[path = "engine/pair.rs"]
mod pair;

use std::sync::{Arc, Mutex};

use earnest::engine::{JobView, Scribe as _, Store as _};
use earnest::keys::Phrase;
use earnest::market::*;
use pair::*;
use tracing::field::{Field, Visit};

/// Everything that is logged, at every level, by everybody.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl Visit for Log {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.lock().unwrap().push_str(&format!("{field}={value:?}\n"));
    }
}

impl tracing::Subscriber for Log {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, attributes: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        attributes.record(&mut self.clone());
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, values: &tracing::span::Record<'_>) {
        values.record(&mut self.clone());
    }
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut self.clone());
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

/// Everything that could be printed of both sides now.
fn shown(pair: &mut Pair, out: &mut String) {
    use std::fmt::Write as _;
    for who in [Requester, Worker] {
        let now = pair.now();
        for job in pair.core(who).jobs().values() {
            let view = JobView::of(job, now, None);
            writeln!(out, "{job:?}\n{view:?}").unwrap();
            out.push_str(&serde_json::to_string(&view).unwrap());
        }
        for (row, effect, outcome) in &pair.side(who).ran {
            writeln!(out, "{} {effect:?} {outcome:?}", row.kind).unwrap();
        }
        for event in &pair.side(who).said {
            writeln!(out, "{event:?}").unwrap();
        }
        for notice in pair.core_mut(who).take_notices() {
            writeln!(out, "{notice:?} {}", notice.text).unwrap();
        }
        for post in pair.core(who).posts().values() {
            writeln!(out, "{post:?}").unwrap();
        }
        let (ledger, replays) = (pair.ledger(who), pair.core(who).replays());
        writeln!(out, "{ledger:?} {replays:?} {:?}", pair.core(who).me()).unwrap();
        writeln!(out, "{:?} {:?}", pair.side(who).keys, pair.core(who).store().outbox()).unwrap();
        for (id, _) in pair.core(who).store().logs().unwrap() {
            for row in pair.core(who).store().log(&id).unwrap() {
                let fact: Fact = serde_json::from_str(&row.body).unwrap();
                writeln!(out, "{fact:?}").unwrap();
            }
        }
    }
    for trouble in [pair.accept(), pair.reject(), pair.cancel(Worker), pair.cancel(Requester)] {
        if let Err(trouble) = trouble {
            writeln!(out, "{trouble} {trouble:?}").unwrap();
        }
    }
}

#[test]
fn no_secret_is_logged_or_shown_while_a_job_is_lived_through() {
    let log = Log::default();
    let guard = tracing::subscriber::set_default(log.clone());
    let mut out = String::new();
    let mut pair = Pair::new();
    pair.delivered(Wish { mode: Some(Mode::Sealed), price: None, tranches: Some(2) });
    pair.side_mut(Worker).lazy = vec!["claim"];
    pair.accept().unwrap();
    pair.quiet();
    shown(&mut pair, &mut out);
    pair.wake(Worker);
    pair.quiet();
    assert_eq!(pair.phase(Requester), Phase::Settled);
    shown(&mut pair, &mut out);
    drop(guard);
    out.push_str(&log.0.lock().unwrap());

    let mut secrets: Vec<(String, Vec<u8>)> = Vec::new();
    for who in [Requester, Worker] {
        let keys = pair.side(who).keys.clone();
        let n = 40 + who as u8;
        secrets.push((format!("{who:?}'s entropy"), vec![n; 32]));
        secrets.push((format!("{who:?}'s seed"), keys.lightning_seed().to_vec()));
        secrets.push((format!("{who:?}'s endpoint"), keys.endpoint_secret().to_vec()));
        let words = Phrase::new(&[n; 32]).words().join(" ");
        assert!(!out.contains(&words[..40]), "the recovery phrase of {who:?}");
        let shared = keys.shared_secret(&pair.channel(who));
        secrets.push((format!("{who:?}'s shared secret"), shared.0.to_vec()));
    }
    let attempt = pair.job(Worker).attempt.unwrap();
    for t in 0..2 {
        let key = pair.side(Worker).keys.tranche_key(&attempt.nonce.unwrap(), t);
        secrets.push((format!("the key of tranche {t}"), key.expose().to_vec()));
    }
    let Body::Award(award) = pair.first_of(Requester) else { panic!() };
    let seed = pair.side(Requester).keys.audit_seed(&award.audit_nonce);
    secrets.push(("the audit seed".into(), seed.expose().to_vec()));
    for (what, bytes) in secrets {
        assert!(!out.contains(&hex::encode(&bytes)), "{what} is shown in hex");
        assert!(!out.contains(&format!("{bytes:?}")), "{what} is shown as bytes");
    }
    for (_, billed, _) in pair.nodes.invoices.values() {
        let at = out.find(&billed.invoice);
        let around = at.map(|at| &out[at.saturating_sub(200)..at]);
        assert!(around.is_none(), "a whole invoice is shown after: {around:?}");
    }
}

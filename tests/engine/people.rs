//! Whom we had to do with, whom we do not want to hear, and every word that was said.

use earnest::engine::{FactView, PersonView, Store as _};
use earnest::market::*;

use crate::pair::*;

fn person(pair: &Pair, who: Who) -> PersonView {
    let mut all = pair.core(who).people(None, 9);
    assert_eq!(all.len(), 1);
    all.pop().unwrap()
}

fn history(pair: &Pair, who: Who) -> Vec<FactView> {
    let job = pair.job(who);
    let rows = pair.core(who).store().log(&job.id).unwrap();
    let view = |row: earnest::engine::FactRow| {
        let fact = serde_json::from_str(&row.body).unwrap();
        FactView::of(row.n, row.at, job.role, &fact)
    };
    rows.into_iter().map(view).collect()
}

#[test]
fn our_own_jobs_say_what_somebody_is_to_us() {
    let mut pair = Pair::new();
    pair.bid(Wish::default());
    let worker = pair.core(Worker).identity();
    let bidder = PersonView { bids: 1, ..PersonView::of(worker) };
    let heard_at = Some(pair.now());
    assert_eq!(person(&pair, Requester), PersonView { heard_at, ..bidder });
    // The worker has heard nothing yet.
    assert_eq!(person(&pair, Worker).heard_at, None);

    let mut pair = Pair::new();
    let wish = Wish { mode: Some(Mode::Sealed), price: None, tranches: Some(3) };
    pair.delivered(wish);
    pair.accept().unwrap();
    pair.quiet();
    let (them, us) = (person(&pair, Requester), person(&pair, Worker));
    assert_eq!((them.worked, them.gave, them.settled, them.open), (1, 0, 1, 0));
    assert_eq!((them.paid, them.received), (sats(21_000), Msat::ZERO));
    assert_eq!((us.worked, us.gave, us.settled, us.open), (0, 1, 1, 0));
    let lsp: Msat = pair.job(Worker).attempt.unwrap().tranches.iter().map(|t| t.lsp_fee).sum();
    assert_eq!((us.paid, us.received), (Msat::ZERO, sats(21_000).saturating_sub(lsp)));
    assert_eq!((them.heard_at, us.heard_at), (Some(pair.now()), Some(pair.now())));
    let nobody = Pubkey([5; 32]);
    let known = pair.core(Worker).people(Some(&nobody), 9);
    let [PersonView { standing: Some(standing), limits: Some(limits), .. }] = &known[..] else {
        panic!("{known:?}")
    };
    assert_eq!((standing.score, limits.tranche), (0, Policy::default().tranche));
    let known = PersonView { standing: None, limits: None, ..known[0].clone() };
    assert_eq!(known, PersonView::of(nobody));
}

#[test]
fn the_muted_are_not_heard_and_what_was_agreed_goes_on() {
    let mut pair = Pair::new();
    let first = pair.bid(Wish::default());
    let worker = pair.core(Worker).identity();
    pair.core_mut(Requester).mute(&worker, true).unwrap();
    let hidden = |pair: &Pair, id: &BidId| {
        let core = pair.core(Requester);
        core.hides(core.job(id).unwrap())
    };
    assert!(hidden(&pair, &first));
    pair.restart(Requester);
    assert!(hidden(&pair, &first), "it is remembered");

    // A bid of theirs is not kept and not told, a gig of theirs is not in the book.
    let gig = pair.posted(|draft| draft.title = "Another".into());
    pair.core_mut(Requester).take_notices();
    let second = pair.core_mut(Worker).bid(&gig, Wish::default(), "Me again.").unwrap();
    let draft = pair.draft();
    let theirs = pair.core_mut(Worker).post(&draft, Vec::new()).unwrap();
    pair.quiet();
    assert!(pair.core(Requester).job(&second).is_none());
    assert_eq!(pair.core_mut(Requester).take_notices(), []);
    assert_eq!(pair.core(Requester).store().gig(&theirs).unwrap(), None);

    // Shown again, and awarded: from then on no mute hides it.
    pair.core_mut(Requester).mute(&worker, false).unwrap();
    assert!(!hidden(&pair, &first));
    pair.core_mut(Requester).award(&first).unwrap();
    pair.quiet();
    pair.core_mut(Requester).mute(&worker, true).unwrap();
    assert!(!hidden(&pair, &first));
    pair.deliver_in(&first, "work.bin", 50_000);
    pair.core_mut(Requester).ask(&first, Ask::Accept { max_fee: sats(100) }).unwrap();
    pair.quiet();
    assert_eq!(pair.core(Requester).job(&first).unwrap().phase, Phase::Settled);
    assert_eq!(pair.core(Requester).mutes().len(), 1);

    let me = pair.core(Requester).identity();
    assert_eq!(refused(pair.core_mut(Requester).mute(&me, true)), "own-key");
}

#[test]
fn a_history_has_every_word_and_amount_and_no_secret() {
    let mut pair = Pair::new();
    pair.delivered(Wish { mode: Some(Mode::Sealed), price: None, tranches: Some(1) });
    pair.ask(Worker, Ask::Note { text: "Are \u{1b}[2Jdoubles\u{202e} wanted?".into() }).unwrap();
    pair.accept().unwrap();
    pair.quiet();
    pair.ask(Requester, Ask::Rate { stars: 5, comment: "Clear.".into() }).unwrap();
    pair.quiet();
    for who in [Requester, Worker] {
        let lines = history(&pair, who);
        let of = |kind: &str| lines.iter().find(|line| line.kind == kind).unwrap();
        assert_eq!((of("bid").text.as_str(), of("bid").amount), ("I can.", Some(sats(21_000))));
        assert_eq!((of("deliver").text.as_str(), of("deliver").by), ("Here.", Some(Role::Worker)));
        assert!(of("deliver").file.as_ref().unwrap().contains("work.bin"));
        assert_eq!(of("note").text.as_str(), "Are doubles wanted?");
        assert_eq!((of("rate").stars, of("rate").text.as_str()), (Some(5), "Clear."));
        let money = if who == Requester { "paying" } else { "billed" };
        assert_eq!(of(money).amount, Some(sats(21_000)));
        let role = pair.job(who).role;
        for line in &lines {
            assert!(!line.sentence(role).is_empty());
            assert_ne!(line.sentence(role), line.kind, "a sentence of its own");
        }
        let mine = lines.iter().find(|line| line.by == Some(role)).unwrap();
        assert!(mine.sentence(role).starts_with("You "), "{}", mine.sentence(role));
        let json = serde_json::to_string(&lines).unwrap();
        let job = pair.job(Requester);
        let key = job.attempt.unwrap().tranches[0].key.unwrap();
        assert!(!json.contains(&hex::encode(key.expose())), "no preimage");
        assert!(!json.contains("lnbc"), "no invoice");
    }
}

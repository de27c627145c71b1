//! People: what their record is worth, and whom one does not want to see.

use earnest::engine::{MuteView, PersonView};
use earnest::market::{Limits, Points, Pubkey, Standing, Time};
use earnest::tui::{Do, Msg, Said};

use crate::stage::{NOW, Stage, gig, market, nothing, sats};

fn looked(stage: &Stage) -> Vec<Pubkey> {
    let who = |one: &Do| match one {
        Do::Person(who) => Some(*who),
        _ => None,
    };
    stage.todo.iter().filter_map(who).collect()
}

fn muted(stage: &mut Stage) -> Vec<(Pubkey, bool)> {
    let what = |one| match one {
        Do::Mute(who, mute) => Some((who, mute)),
        _ => None,
    };
    std::mem::take(&mut stage.todo).into_iter().filter_map(what).collect()
}

fn record(key: Pubkey) -> Box<PersonView> {
    let why = "2 jobs of yours settled".to_owned();
    let standing =
        Standing { score: 12, reasons: vec![Points { points: 12, why }], ..Standing::default() };
    let limits = Limits {
        tranche: sats(5_000),
        direct: sats(2_000),
        escrow: sats(40_000),
        score: 12,
        proven: false,
    };
    Box::new(PersonView { standing: Some(standing), limits: Some(limits), ..PersonView::of(key) })
}

#[test]
fn a_record_is_read_when_somebody_is_opened_and_once_more_when_relays_had_their_time() {
    let mut stage = Stage::up((120, 40), market(), vec![gig(1, "One", 1_000)]);
    stage.keys("5").says("Enter reads it").says("learn whom you look at");
    assert_eq!(looked(&stage), [], "to look at a list names nobody to relays");
    stage.keys("enter").says("Reading.");
    let who = looked(&stage)[0];
    stage.send(Msg::Person(Ok(record(who))));
    stage.says("12 of 100").says("2 jobs of yours settled").says("in escrow 40,000 sat");

    let wake = stage.model.wake(&stage.snapshot).expect("it is read once more");
    stage.at.ms = wake;
    stage.send(Msg::Wake);
    assert_eq!(looked(&stage), [who, who]);
    stage.at.ms += 60_000;
    stage.send(Msg::Wake);
    assert_eq!(looked(&stage), [who, who]);
    assert_eq!(stage.model.wake(&stage.snapshot), None);

    // Something comes of a job with them.
    let mut job =
        stage.snapshot.jobs.values().find(|job| job.peer == who).unwrap().as_ref().clone();
    job.facts += 1;
    stage.snapshot.jobs.insert(job.id, std::sync::Arc::new(job));
    stage.send(Msg::Wake);
    assert_eq!(looked(&stage), [who, who, who]);
}

#[test]
fn what_is_proven_against_somebody_is_not_overlooked() {
    let mut stage = Stage::up((120, 40), market(), Vec::new());
    stage.keys("5 enter");
    let mut record = record(looked(&stage)[0]);
    record.standing = Some(Standing { convicted: true, ..Standing::default() });
    record.limits = record.limits.map(|limits| Limits { proven: true, ..limits });
    record.equivocations = 1;
    stage.send(Msg::Person(Ok(record)));
    stage.says("0 of 100: convicted").says("nothing of yours").says("said two things at once");
}

#[test]
fn who_is_muted_is_listed_and_can_be_heard_again() {
    let mut stage = Stage::up((120, 40), nothing(), vec![gig(1, "Spam", 1_000)]);
    stage.keys("m");
    let (who, mute) = muted(&mut stage)[0];
    assert!(mute);
    let now = Ok(vec![MuteView { key: who, at: Time(NOW.0) }]);
    stage.send(Msg::Mutes(Some("It is not shown.".into()), now));
    assert!(stage.todo.iter().any(|one| matches!(one, Do::Find(..))), "the book is read again");
    stage.says("It is not shown.");

    stage.keys("5").says("muted 0 open 0 done").says("its gigs and bids are not shown");
    stage.keys("m");
    assert_eq!(muted(&mut stage), [(who, false)]);
    stage.send(Msg::Mutes(Some("Heard again.".into()), Ok(Vec::new())));
    stage.says("Nobody yet.");
}

#[test]
fn who_is_muted_was_read_before_the_list_is_shown_and_nothing_is_lost_by_a_refusal() {
    let mut stage = Stage::up((80, 24), market(), Vec::new());
    stage.keys("5");
    assert!(stage.todo.iter().any(|one| matches!(one, Do::Mutes)));
    stage.keys("m");
    assert_eq!(muted(&mut stage).len(), 1);
    stage.send(Msg::Mutes(Some("Muted.".into()), Err(Said::new("10000 are muted already."))));
    stage.says("10000 are muted already.").silent("Muted.");
}

#[test]
fn one_does_not_mute_oneself() {
    let mut snapshot = nothing();
    let mine = gig(1, "Mine", 1_000);
    snapshot.identity = Some(mine.author);
    let mut stage = Stage::up((80, 24), snapshot, vec![mine]);
    stage.keys("m").says("This key is your own.");
    assert_eq!(muted(&mut stage), []);
}

#[test]
fn a_narrow_terminal_says_what_one_can_spend_before_it_says_that_all_is_well() {
    let mut snapshot = nothing();
    snapshot.relays.truncate(1);
    let mut stage = Stage::up((80, 24), snapshot, Vec::new());
    stage.model.banner = Some("sandbox: play money");
    stage.says("sandbox: play money").says("send 0 sat · receive 0 sat").says("relays 1/1");
    stage.snapshot.relays[0].live = false;
    stage.says("offline: no relay").says("send 0 sat · receive 0 sat");
}

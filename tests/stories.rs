//! Every sandbox story on real parts: a chain, a relay, an LSP, and parties that are ordinary earnests.

use earnest::sandbox::{self, Play, Summary};

fn play(play: Play) -> Summary {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let mut steps = Vec::new();
    let told = runtime.block_on(sandbox::play(play, &mut |step| steps.push(step)));
    let steps: Vec<_> = steps.iter().map(|s| format!("{:>6} ms  {}", s.ms, s.step)).collect();
    let summary = told.unwrap_or_else(|why| panic!("{why:#}\n{}", steps.join("\n")));
    tell(&summary, &steps);
    summary
}

#[expect(clippy::disallowed_macros, reason = "cargo shows it when the test fails")]
fn tell(summary: &Summary, steps: &[String]) {
    println!("{}", steps.join("\n"));
    for assert in summary.asserts.iter().filter(|a| !a.ok) {
        println!("{}: want {} saw {}", assert.name, assert.want, assert.saw);
    }
}

#[test]
fn a_worker_who_owns_nothing_is_paid_for_a_first_job() {
    let summary = play(Play { name: "first-job".into(), ..Play::default() });
    assert!(summary.ok, "{:#?}", summary.asserts);
    assert_eq!(summary.diff_msat, 0);
}

#[test]
fn first_job_notices_every_way_in_which_it_is_broken() {
    let story = sandbox::list().into_iter().find(|s| s.name == "first-job").unwrap();
    for (way, what) in story.breaks {
        let summary = play(Play {
            name: "first-job".into(),
            break_way: Some((*way).into()),
            ..Play::default()
        });
        assert!(!summary.ok, "`{way}` ({what}) went unnoticed");
        assert!(summary.asserts.iter().any(|a| !a.ok), "`{way}` names no failed assert");
    }
}

#[test]
fn a_bot_gets_its_queue_done_by_four_workers_of_whom_one_cheats() {
    let summary = play(Play { name: "bot-requester".into(), jobs: Some(12), ..Play::default() });
    assert!(summary.ok, "{:#?}", summary.asserts);
    for key in [
        "posted",
        "accepted",
        "caught",
        "reposted",
        "spent_msat",
        "budget_msat",
        "jobs_per_s",
        "bare_payments_per_s",
    ] {
        assert!(summary.extra.get(key).is_some_and(|v| !v.is_null()), "{key} is not told");
    }
    assert_eq!(summary.diff_msat, 0);
}

#[test]
fn a_workers_bot_earns_from_three_requesters() {
    let summary = play(Play { name: "bot-worker".into(), jobs: Some(2), ..Play::default() });
    assert!(summary.ok, "{:#?}", summary.asserts);
    assert_eq!(summary.diff_msat, 0);
}

/// The binary, for stories with processes of their own.
fn program() -> Option<std::path::PathBuf> {
    Some(env!("CARGO_BIN_EXE_earnest").into())
}

#[test]
fn a_bot_that_is_killed_finishes_and_does_nothing_twice() {
    let name = "crash-bot".into();
    let summary = play(Play { name, jobs: Some(8), program: program(), ..Play::default() });
    assert!(summary.ok, "{:#?}", summary.asserts);
    assert_eq!(summary.extra["kills"].as_array().map(Vec::len), Some(2));
    assert_eq!(summary.diff_msat, 0);
}

#[test]
fn the_stories_of_bots_notice_every_way_in_which_they_are_broken() {
    for story in sandbox::list() {
        if !story.name.contains("bot") {
            continue;
        }
        for (way, what) in story.breaks {
            let summary = play(Play {
                name: story.name.into(),
                jobs: Some(4),
                program: program(),
                break_way: Some((*way).into()),
                ..Play::default()
            });
            assert!(!summary.ok, "{}: `{way}` ({what}) went unnoticed", story.name);
        }
    }
}

/// What every story of an escrow tells besides.
fn tells_of_an_escrow(summary: &Summary, resolved_by: &str) {
    for key in
        ["window_blocks", "funded_height", "claim_deadline", "judge_received_msat", "invoice"]
    {
        assert!(summary.extra.get(key).is_some_and(|v| !v.is_null()), "{key} is not told");
    }
    assert_eq!(summary.extra["resolved_by"], resolved_by);
    assert_eq!(summary.diff_msat, 0);
}

fn notices_every_way_in_which_it_is_broken(name: &str) {
    let story = sandbox::list().into_iter().find(|s| s.name == name).expect("it is listed");
    assert!(!story.breaks.is_empty());
    for (way, what) in story.breaks {
        let break_way = Some((*way).into());
        let summary = play(Play { name: name.into(), break_way, ..Play::default() });
        assert!(!summary.ok, "`{way}` ({what}) went unnoticed");
        assert!(summary.asserts.iter().any(|a| !a.ok), "`{way}` names no failed assert");
    }
}

#[test]
fn money_in_escrow_is_released_and_claimed() {
    let summary = play(Play { name: "escrow".into(), ..Play::default() });
    assert!(summary.ok, "{:#?}", summary.asserts);
    tells_of_an_escrow(&summary, "claim");
}

#[test]
fn money_in_escrow_comes_back_when_the_worker_vanishes() {
    let summary = play(Play { name: "escrow-timeout".into(), ..Play::default() });
    assert!(summary.ok, "{:#?}", summary.asserts);
    tells_of_an_escrow(&summary, "timeout");
}

#[test]
fn escrow_notices_every_way_in_which_it_is_broken() {
    notices_every_way_in_which_it_is_broken("escrow");
}

#[test]
fn escrow_timeout_notices_every_way_in_which_it_is_broken() {
    notices_every_way_in_which_it_is_broken("escrow-timeout");
}

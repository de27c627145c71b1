//! Every sandbox story on real parts: a chain, a relay, an LSP, and parties that are ordinary earnests.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use earnest::sandbox::{self, Play, Summary};
use serde_json::{Value, json};

/// The program that a party runs as a process of its own.
fn exe() -> Option<PathBuf> {
    Some(env!("CARGO_BIN_EXE_earnest").into())
}

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

#[test]
fn a_bot_that_is_killed_finishes_and_does_nothing_twice() {
    let name = "crash-bot".into();
    let summary = play(Play { name, jobs: Some(8), exe: exe(), ..Play::default() });
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
                exe: exe(),
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
        let summary = play(Play { name: name.into(), break_way, exe: exe(), ..Play::default() });
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

#[test]
fn a_judges_ruling_lets_the_worker_claim_when_the_requester_is_silent() {
    let summary = play(Play { name: "escrow-judge".into(), ..Play::default() });
    assert!(summary.ok, "{:#?}", summary.asserts);
    tells_of_an_escrow(&summary, "claim");
    assert_eq!(summary.extra["judge_received_msat"], 0);
}

#[test]
fn a_judge_sees_that_a_key_opens_nothing_and_the_requester_has_its_money_back() {
    let summary = play(Play { name: "escrow-fraud".into(), ..Play::default() });
    assert!(summary.ok, "{:#?}", summary.asserts);
    tells_of_an_escrow(&summary, "fail_back");
    assert_eq!(summary.extra["judge_received_msat"], 0);
}

#[test]
fn escrow_judge_notices_every_way_in_which_it_is_broken() {
    notices_every_way_in_which_it_is_broken("escrow-judge");
}

#[test]
fn escrow_fraud_notices_every_way_in_which_it_is_broken() {
    notices_every_way_in_which_it_is_broken("escrow-fraud");
}

#[test]
fn a_wallet_elsewhere_pays_and_its_proof_opens_the_work() {
    let summary = play(Play { name: "nwc".into(), ..Play::default() });
    assert!(summary.ok, "{:#?}", summary.asserts);
    assert_eq!(summary.diff_msat, 0);
}

#[test]
fn nwc_notices_every_way_in_which_it_is_broken() {
    notices_every_way_in_which_it_is_broken("nwc");
}

/// Of a story that is told by the program, with more on its command line: the exit status and the summary.
fn told_with(name: &str, more: impl FnOnce(&mut Command)) -> (Option<i32>, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_earnest"));
    command.args(["sandbox", "--script", name, "--json"]);
    more(&mut command);
    let ended = command.output().expect("the program runs");
    let told = String::from_utf8(ended.stdout).expect("text");
    let last = told.lines().last().unwrap_or_default();
    let summary = serde_json::from_str(last).unwrap_or_else(|_| {
        panic!("{name}: {told}{}", String::from_utf8_lossy(&ended.stderr));
    });
    (ended.status.code(), summary)
}

/// Of a story that is told through the front ends of the program.
fn told_by_the_program(name: &str, way: Option<&str>) -> (bool, Value) {
    let (status, summary) = told_with(name, |command| {
        if let Some(way) = way {
            command.args(["--break", way]);
        }
    });
    (status == Some(0), summary)
}

/// The claims of a summary that did not hold.
fn failed(summary: &Value) -> Vec<&Value> {
    let claims = summary["asserts"].as_array().expect("claims");
    claims.iter().filter(|claim| claim["ok"] == false).collect()
}

#[test]
fn first_job_hands_over_any_file_however_it_is_called() {
    let room = tempfile::tempdir().expect("a folder");
    // Every byte there is, over more than one chunk; and a text.
    let bytes: Vec<u8> = (0..=255).cycle().take(40_000).collect();
    for (n, (name, bytes)) in
        [("-лодка № 1, 写真 'é'.bin", bytes.as_slice()), ("a b.txt", b"\xff\x00")]
            .iter()
            .enumerate()
    {
        std::fs::write(room.path().join(name), bytes).expect("a file");
        let world = room.path().join(n.to_string());
        let (status, summary) = told_with("first-job", |command| {
            command.current_dir(room.path()).arg(format!("--file={name}"));
            command.arg("--dir").arg(&world);
        });
        assert_eq!(status, Some(0), "{name}: {:#?}", failed(&summary));
        assert_eq!((&summary["ok"], &summary["diff_msat"]), (&true.into(), &0.into()), "{summary}");
        let files = summary["files"].as_array().expect("files");
        let file = files.iter().find(|file| file["sent"] == *name).expect("the deliverable");
        let received = file["received"].as_str().expect("where it lies");
        assert_eq!(&std::fs::read(received).expect("it is there"), bytes, "{name}");
    }
}

#[test]
fn first_job_cannot_sell_an_empty_file_and_says_so() {
    let room = tempfile::tempdir().expect("a folder");
    std::fs::write(room.path().join("empty"), b"").expect("a file");
    let (status, summary) = told_with("first-job", |command| {
        command.current_dir(room.path()).args(["--file", "empty"]);
    });
    assert_eq!((status, &summary["ok"]), (Some(1), &false.into()), "{summary:#}");
    let failed = failed(&summary);
    let end = failed.iter().find(|claim| claim["name"] == "the job runs to its end");
    let why = end.expect("it did not")["saw"].to_string();
    assert!(why.contains("is empty: there is nothing to hand over"), "{why}");
    assert_eq!((&summary["payments"], &summary["diff_msat"]), (&json!([]), &0.into()));
}

/// `earnest relay` as it comes: it gives gift wraps to their recipient only.
struct RelayOfOurs(Child, String);

impl RelayOfOurs {
    fn start(room: &std::path::Path) -> Self {
        std::fs::write(room.join("relay.toml"), "[listen]\naddress = \"127.0.0.1:0\"\n")
            .expect("a file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_earnest"));
        command.current_dir(room).args(["relay", "--config", "relay.toml", "--json"]);
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the program runs");
        let mut ready = String::new();
        let out = child.stdout.take().expect("a pipe");
        BufReader::new(out).read_line(&mut ready).expect("it says where it is");
        let ready: Value = serde_json::from_str(&ready).expect("a record");
        Self(child, ready["relay"].as_str().expect("its address").to_owned())
    }
}

impl Drop for RelayOfOurs {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn first_job_runs_over_a_relay_that_shows_wraps_to_their_recipient_only() {
    let room = tempfile::tempdir().expect("a folder");
    let relay = RelayOfOurs::start(room.path());
    let (status, summary) = told_with("first-job", |command| {
        command.args(["--relay", &relay.1]);
    });
    assert_eq!(status, Some(0), "{:#?}", failed(&summary));
    assert_eq!((&summary["ok"], &summary["diff_msat"]), (&true.into(), &0.into()), "{summary:#}");
    // To us, who are nobody's recipient, it shows the listing and no wrap.
    let kinds = &summary["events_by_kind"];
    assert!(kinds["30402"].as_u64().is_some_and(|n| n >= 1), "{kinds}");
    assert_eq!(kinds["1059"], Value::Null, "{kinds}");
}

#[test]
fn first_job_that_is_broken_ends_with_status_1_and_names_what_failed() {
    for (way, claim) in [
        ("no-money", "the job runs to its end"),
        ("swapped-file", "people-clean.csv arrived as it was sent"),
    ] {
        let (status, summary) = told_with("first-job", |command| {
            command.args(["--break", way]);
        });
        assert_eq!((status, &summary["ok"]), (Some(1), &false.into()), "{way}: {summary:#}");
        assert!(
            failed(&summary).iter().any(|failed| failed["name"] == claim),
            "{way}: {summary:#}"
        );
    }
}

#[test]
fn an_agent_asks_and_a_person_answers_on_the_screen() {
    let (ok, summary) = told_by_the_program("agent", None);
    assert!(ok, "{summary:#}");
    assert_eq!(
        (&summary["answer"], &summary["paid_msat"]),
        (&"not faithful".into(), &5_000_000.into())
    );
    assert_eq!(summary["answered_by"], summary["parties"]["worker"]["npub"]);
    assert_eq!(summary["diff_msat"], 0);
    assert!(summary["question"].as_str().is_some_and(|question| question.contains("bridge")));
}

#[test]
fn agent_notices_every_way_in_which_it_is_broken() {
    let story = sandbox::list().into_iter().find(|s| s.name == "agent").expect("it is listed");
    for (way, what) in story.breaks {
        let (ok, summary) = told_by_the_program("agent", Some(way));
        assert!(!ok, "`{way}` ({what}) went unnoticed");
        let failed =
            summary["asserts"].as_array().is_some_and(|all| all.iter().any(|a| a["ok"] == false));
        assert!(failed, "`{way}` names no failed assert");
    }
}

#[test]
fn a_story_that_is_interrupted_stops_its_nodes_and_leaves_nothing() {
    let room = tempfile::tempdir().expect("a folder");
    let mut story = Command::new(env!("CARGO_BIN_EXE_earnest"))
        .args(["sandbox", "--script", "bot-requester", "--jobs", "1000", "--json"])
        .env("TMPDIR", room.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let steps = BufReader::new(story.stdout.take().expect("a pipe"));
    let begun = steps.lines().map_while(Result::ok).find(|step| step.contains("bare payments"));
    begun.expect("the bots begin");
    let pid = story.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().is_ok_and(|sent| sent.success()));
    let ended = story.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(!said.contains("panicked"), "{said}");
    assert_eq!(ended.status.code(), Some(130), "{said}");
    let left: Vec<_> = std::fs::read_dir(room.path()).expect("it is there").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn whoever_is_killed_anywhere_goes_on_where_it_was() {
    let summary = play(Play { name: "crash".into(), exe: exe(), ..Play::default() });
    assert!(summary.ok, "{:#?}", summary.asserts);
    assert_eq!(summary.diff_msat, 0);
    assert!(summary.extra["kills"].as_array().is_some_and(|kills| kills.len() >= 36));
}

#[test]
fn crash_notices_every_way_in_which_it_is_broken() {
    notices_every_way_in_which_it_is_broken("crash");
}

#[test]
fn a_price_is_paid_in_parts_each_opened_before_the_next() {
    let summary = play(Play { name: "tranches".into(), ..Play::default() });
    assert!(summary.ok, "{:#?}", summary.asserts);
    assert_eq!(summary.diff_msat, 0);
    assert_eq!(summary.extra["largest_tranche_msat"], 2_500_000);
}

#[test]
fn tranches_notices_every_way_in_which_it_is_broken() {
    notices_every_way_in_which_it_is_broken("tranches");
}

#[test]
fn a_sample_is_drawn_by_a_seed_that_was_committed_to() {
    let summary = play(Play { name: "audit".into(), ..Play::default() });
    assert!(summary.ok, "{:#?}", summary.asserts);
    assert_eq!(summary.diff_msat, 0);
    for key in ["a_R", "s_R", "manifest_hash", "n", "indices"] {
        assert!(summary.extra.get(key).is_some_and(|v| !v.is_null()), "{key} is not told");
    }
}

#[test]
fn audit_notices_every_way_in_which_it_is_broken() {
    notices_every_way_in_which_it_is_broken("audit");
}

#[test]
fn a_cheat_gets_one_part_and_a_proof_against_its_name() {
    let summary = play(Play { name: "cheat".into(), ..Play::default() });
    assert!(summary.ok, "{:#?}", summary.asserts);
    assert_eq!(summary.diff_msat, 0);
    let loss = summary.extra["requester_loss_msat"].as_u64().expect("a loss");
    assert!(loss <= summary.extra["largest_tranche_msat"].as_u64().expect("a tranche"));
}

#[test]
fn cheat_notices_every_way_in_which_it_is_broken() {
    notices_every_way_in_which_it_is_broken("cheat");
}

#[test]
fn work_that_a_check_refuses_is_refused_by_machine() {
    let summary = play(Play { name: "check".into(), ..Play::default() });
    assert!(summary.ok, "{:#?}", summary.asserts);
    assert_eq!(summary.diff_msat, 0);
}

#[test]
fn check_notices_every_way_in_which_it_is_broken() {
    notices_every_way_in_which_it_is_broken("check");
}

#[test]
fn one_gig_is_done_and_paid_in_three_milestones() {
    let summary = play(Play { name: "milestones".into(), ..Play::default() });
    assert!(summary.ok, "{:#?}", summary.asserts);
    assert_eq!(summary.diff_msat, 0);
    assert_eq!(summary.extra["milestones"].as_array().map(Vec::len), Some(3));
    let modes: Vec<_> = summary.payments.iter().map(|p| p.mode.as_str()).collect();
    assert_eq!(modes, ["sealed", "escrow", "sealed"]);
}

#[test]
fn milestones_notices_every_way_in_which_it_is_broken() {
    notices_every_way_in_which_it_is_broken("milestones");
}

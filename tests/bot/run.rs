//! A bot that runs, on an engine that says no, says it late, and shows what it did later still.

use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::Duration;

use earnest::bot::{Policy, *};
use earnest::engine::{Command, *};
use earnest::market::*;

use crate::hooks::{hook, ids, notice};
use crate::scene::{Stage, asking, hired, job, options, policy, post, sats, sees, until, working};

fn no(code: &str) -> Trouble {
    Refusal::new(code, "No. Nothing was done.").into()
}

/// A policy whose queue is these lines.
fn queued(dir: &Path, lines: &str, asking: Asking) -> Policy {
    std::fs::write(dir.join("queue.jsonl"), lines).unwrap();
    let asking = Asking { queue: Some("queue.jsonl".into()), ..asking };
    Policy { beside: dir.to_owned(), ..policy(Some(asking), None) }
}

async fn ran(
    stage: &Arc<Stage>,
    policy: Policy,
    options: Options,
) -> (Result<Ran, String>, Vec<Event>) {
    let mut said = Vec::new();
    let (handle, mut tell) = (stage.handle(), |event| said.push(event));
    let ran = earnest::bot::run(&handle, policy, options, &mut tell);
    let ran = tokio::time::timeout(Duration::from_secs(60), ran).await;
    (ran.unwrap_or_else(|_| Err("it did not end".into())), said)
}

fn is_post(command: &Command) -> bool {
    matches!(command, Command::Post { .. })
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_are_refused_for_good_hold_nobody_up() {
    let dir = tempfile::tempdir().unwrap();
    let lines = "{\"id\":\"dear\",\"price\":9000}\n{\"id\":\"long\"}\n{\"id\":\"lost\"}\n";
    let stage = Stage::new(sees(vec![], vec![]), |_, command| {
        let Command::Post { key, .. } = command else { panic!("{command:?}") };
        Err(match key.as_deref() {
            Some("dear") => no("budget-job"),
            Some("long") => no("no-title"),
            _ => Fault::Never("`x` is not there.".into()).into(),
        })
    });
    // One place alone: each that kept it would keep it for ever.
    let policy = queued(dir.path(), lines, Asking { at_once: 1, ..asking() });
    let (ran, said) = ran(&stage, policy, options(&dir.path().join("home"))).await;
    let tally = ran.unwrap().tally;
    assert_eq!((tally.failed, stage.count(is_post)), (3, 3), "each is asked once");
    assert!(tally.given_up["dear"].starts_with("budget-job: "), "{:?}", tally.given_up);
    assert_eq!(tally.given_up["lost"], "`x` is not there.");
    let told = said.iter().filter(|event| event.what == "give-up");
    let told: Vec<_> = told.filter_map(|event| event.item.as_deref()).collect();
    assert_eq!(told, ["dear", "long", "lost"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_for_now_is_asked_again() {
    let dir = tempfile::tempdir().unwrap();
    let later = [
        no("insufficient-funds"),
        no("budget-hour"),
        Fault::Later("Nobody is there.".into()).into(),
    ];
    for (n, first) in later.into_iter().enumerate() {
        let answers = Mutex::new(vec![no("no-title"), first.clone()]);
        let stage = Stage::new(sees(vec![], vec![]), move |_, _| {
            Err(answers.lock().unwrap().pop().unwrap())
        });
        let policy = queued(dir.path(), "{\"id\":\"1\"}\n", asking());
        // A place of its own: programs that other tests start hold what is open here for a moment.
        let home = dir.path().join(n.to_string());
        let (ran, _) = ran(&stage, policy, options(&home)).await;
        assert_eq!((ran.unwrap().tally.failed, stage.count(is_post)), (1, 2), "{first}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_get_no_more_today_holds_nobody_up() {
    let dir = tempfile::tempdir().unwrap();
    let bid = |n, peer, price| JobView { price: sats(price), ..hired(n, 1, peer, Phase::Bid) };
    let seen = sees(vec![post(1, "1")], vec![bid(11, 50, 800), bid(12, 51, 900)]);
    let stage = Stage::new(seen, |_, command| match command {
        Command::Award { job } if *job == EventId([11; 32]) => Err(no("budget-person")),
        Command::Award { job } => Ok(Receipt { log: *job, facts: 5 }),
        command => panic!("{command:?}"),
    });
    let asking = Asking { choose: Choose::Cheapest, ..asking() };
    let policy = queued(dir.path(), "{\"id\":\"1\"}\n", asking);
    let options = Options { resume: true, ..options(&dir.path().join("home")) };
    let running = ran(&stage, policy, options);
    let next = || stage.count(|c| matches!(c, Command::Award { job } if *job == EventId([12; 32])));
    tokio::select! {
        (ended, _) = running => panic!("{ended:?}"),
        () = until("the next best bid is taken", || next() > 0) => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_look_never_gives_a_stranger_a_second_job() {
    let dir = tempfile::tempdir().unwrap();
    let bid = |n, on, peer| hired(n, on, peer, Phase::Bid);
    let shows = move |first: JobView, waiting| {
        let posts = vec![post(1, "1"), post(2, "2"), post(3, "3")];
        let mut jobs = vec![first, bid(12, 2, 50)];
        jobs.extend((waiting == 0).then(|| bid(13, 3, 51)));
        Snapshot { waiting, ..sees(posts, jobs) }
    };
    let stage = Stage::new(shows(bid(11, 1, 50), 1), |_, command| match command {
        // Written down; what is shown does not have it yet.
        Command::Award { job } => Ok(Receipt { log: *job, facts: 5 }),
        command => panic!("{command:?}"),
    });
    let lines = "{\"id\":\"1\"}\n{\"id\":\"2\"}\n{\"id\":\"3\"}\n";
    let wait = Duration::from_millis(50);
    let policy = queued(dir.path(), lines, Asking { wait, ..asking() });
    let options = Options { resume: true, ..options(&dir.path().join("home")) };
    let running = ran(&stage, policy, options);
    let scene = async {
        let award = |n: u8| {
            stage.count(|c| matches!(c, Command::Award { job } if *job == EventId([n; 32])))
        };
        until("the first bid is taken", || award(11) > 0).await;
        // Looks that do not show it, as they come over a socket.
        for old in 2..30 {
            stage.show(shows(bid(11, 1, 50), old));
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        let awarded = JobView { facts: 5, ..hired(11, 1, 50, Phase::Working) };
        stage.show(shows(awarded, 0));
        until("somebody else's bid is taken", || award(13) > 0).await;
        assert_eq!((award(11), award(12)), (1, 0), "the stranger has one job");
    };
    tokio::select! {
        (ran, _) = running => panic!("{ran:?}"),
        () = scene => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_waits_for_is_told_once() {
    let dir = tempfile::tempdir().unwrap();
    let poor = |waiting| Snapshot { reserved: sats(1_000_000), waiting, ..sees(vec![], vec![]) };
    let stage = Stage::new(poor(0), |_, _| Err(no("no-title")));
    let policy = queued(dir.path(), "{\"id\":\"1\"}\n", asking());
    let running = ran(&stage, policy, options(&dir.path().join("home")));
    let scene = async {
        for look in 1..6 {
            until("it looks", || stage.looks.load(Ordering::SeqCst) >= look).await;
            stage.show(poor(look as u64));
        }
        stage.show(sees(vec![], vec![]));
        std::future::pending::<()>().await;
    };
    let (ran, said) = tokio::select! { ended = running => ended, () = scene => unreachable!() };
    assert_eq!(ran.unwrap().tally.failed, 1);
    let waits: Vec<_> = said.iter().filter(|event| event.what == "waits").collect();
    assert_eq!(waits.len(), 1, "{waits:?}");
    assert!(waits[0].why.starts_with("the node cannot send more"), "{}", waits[0].why);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_what_all_of_it_costs_and_asks_for_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let lines = "{\"id\":\"1\"}\n{\"id\":\"2\",\"price\":3000}\n{\"id\":\"dear\",\"price\":6000}\n\
                 {\"id\":\"lost\",\"inputs\":[\"nowhere\"]}\n";
    for from_stdin in [false, true] {
        // An award, an acceptance and a gig are due; none of them is asked for.
        let jobs = vec![hired(11, 1, 50, Phase::Delivered)];
        let shown = sees(vec![post(1, "1")], jobs);
        let stage = Stage::new(shown, |_, command| panic!("a dry run asks for {command:?}"));
        let mut policy = queued(dir.path(), lines, asking());
        let home = dir.path().join(from_stdin.to_string());
        let mut options = Options { dry: true, once: true, ..options(&home) };
        if from_stdin {
            policy.requester.as_mut().unwrap().queue = Some("-".into());
            options.feed = Some(Feed::start(lines.as_bytes(), dir.path().to_owned()));
        }
        let (ran, said) = ran(&stage, policy, options).await;
        assert_eq!(ran.unwrap().tally.items, 4);
        assert_eq!(stage.count(|_| true), 0);
        let plan = said.iter().find(|event| event.what == "plan").unwrap();
        // 1,020 sat, and 3,060 in three parts; three times each.
        assert_eq!(plan.amount, Some(sats(3 * (1_020 + 3_060))));
        for part in ["4 items, 2 of them would be refused", "at most 4,080 sat", "12,240 sat"] {
            assert!(plan.why.contains(part), "{part}: {}", plan.why);
        }
        let of = |what: &str| {
            let those = said.iter().filter(|event| event.what == what);
            those.map(|event| event.item.clone().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(of("refused"), ["dear", "lost"]);
        assert_eq!((of("accept"), of("post")), (vec!["1".to_owned()], vec!["2".to_owned()]));
        // Nothing of it is on the disk but the bot's own lock.
        let names = std::fs::read_dir(home).unwrap();
        let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["lock"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_come_are_looked_at_together_and_an_old_one_is_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let lines: String = (0..400).map(|n| format!("{{\"id\":\"{n}\"}}\n")).collect();
    let shown = sees(vec![post(1, "7")], vec![]);
    let stage = Stage::new(shown, |_, _| Err(no("no-title")));
    let asking = Asking { queue: Some("-".into()), at_once: 1_000, ..asking() };
    let feed = Feed::start(std::io::Cursor::new(lines), dir.path().to_owned());
    let options = Options { feed: Some(feed), ..options(&dir.path().join("home")) };
    let (ran, said) = ran(&stage, policy(Some(asking), None), options).await;
    let ran = ran.unwrap();
    assert_eq!((ran.tally.failed, ran.queue), (399, None), "the others are done");
    let skipped: Vec<_> = said.iter().filter(|event| event.what == "skipped").collect();
    assert_eq!(skipped.len(), 1);
    assert_eq!(skipped[0].item.as_deref(), Some("7"));
    assert!(skipped[0].why.contains("--resume"), "{}", skipped[0].why);
    let looks = stage.looks.load(Ordering::SeqCst);
    assert!(looks < 100, "{looks} looks for 400 lines");
}

#[tokio::test(flavor = "multi_thread")]
async fn finished_work_is_kept_until_it_is_handed_over() {
    let dir = tempfile::tempdir().unwrap();
    let count = dir.path().join("runs");
    let job = job(11, 1, 60, Role::Worker, Phase::Working);
    let id = job.id;
    let handed = Mutex::new(0);
    let stage = Stage::new(sees(vec![], vec![job]), move |_, command| {
        let Command::Deliver { job, file, .. } = command else { panic!("{command:?}") };
        assert_eq!(std::fs::read_to_string(file).unwrap(), "done\n", "it is still there");
        let mut handed = handed.lock().unwrap();
        *handed += 1;
        match *handed {
            1 => Err(Fault::Later("The disk is full.".into()).into()),
            2 => Err(no("bot-stopped")),
            _ => Ok(Receipt { log: *job, facts: 5 }),
        }
    });
    let command = format!("echo >> {}; echo done > out/x", count.display());
    let policy = policy(None, Some(Working { tries: 1, ..working(&command) }));
    let home = dir.path().join("home");
    let running = ran(&stage, policy, options(&home));
    let scene = async {
        until("it is handed over", || stage.count(|_| true) == 3).await;
        let scratch = home.join("work").join(id.short());
        until("the scratch folder is gone", || !scratch.exists()).await;
    };
    tokio::select! {
        (ran, _) = running => panic!("{ran:?}"),
        () = scene => {}
    }
    assert_eq!(std::fs::read_to_string(count).unwrap(), "\n", "the command was run once");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_terms_cut_by_files_all_that_was_made_is_handed_over_as_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let job = JobView { by_files: true, ..job(11, 1, 60, Role::Worker, Phase::Working) };
    let stage = Stage::new(sees(vec![], vec![job]), move |_, command| {
        let Command::Deliver { job, file, .. } = command else { panic!("{command:?}") };
        assert_eq!(std::fs::read_to_string(file.join("a")).unwrap(), "A\n");
        assert_eq!(std::fs::read_to_string(file.join("b/c")).unwrap(), "C\n");
        Ok(Receipt { log: *job, facts: 5 })
    });
    let command = "mkdir out/b; echo A > out/a; echo C > out/b/c";
    let policy = policy(None, Some(Working { tries: 1, ..working(command) }));
    let running = ran(&stage, policy, options(&dir.path().join("home")));
    tokio::select! {
        (ran, _) = running => panic!("{ran:?}"),
        () = until("it is handed over", || stage.count(|_| true) == 1) => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_last_is_told_before_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let list = dir.path().join("list");
    let stage = Stage::new(sees(vec![], vec![]), |stage, _| {
        stage.told.lock().unwrap().push(notice(8, "settled"));
        Err(no("no-title"))
    });
    let mut policy = queued(dir.path(), "{\"id\":\"1\"}\n", asking());
    policy.hooks = vec![hook("settled", &format!("sleep 0.3; cat >> {}", list.display()))];
    let (ran, _) = ran(&stage, policy, options(&dir.path().join("home"))).await;
    assert_eq!(ran.unwrap().tally.failed, 1);
    assert_eq!(ids(&list), ["job:8"]);
}

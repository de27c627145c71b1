//! Bots: what they decide, and bots on bad input: policies that are wrong, queues that nobody takes, commands
//! that misbehave, hooks that hang, flood and die.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so")]

#[path = "bot/asker.rs"]
mod asker;
#[path = "bot/hooks.rs"]
mod hooks;
#[path = "bot/run.rs"]
mod run;
#[path = "bot/scene.rs"]
mod scene;
#[path = "bot/worker.rs"]
mod worker;
#[path = "bot/world.rs"]
mod world;

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use earnest::bot::*;
use earnest::market::{
    Budget, Deadlines, GigDraft, Mode, Msat, Network, Quality, Span, Time, Work,
};
use serde_json::json;
use tokio::sync::oneshot;
use tokio::time::Instant;

fn template(modes: &[Mode], audit: u64) -> Template {
    Template {
        draft: GigDraft {
            milestones: Vec::new(),
            quality: Quality { audit, ..Quality::default() },
            title: "Label {{id}}".into(),
            summary: String::new(),
            content: "Say what you see.".into(),
            tags: vec![],
            work: Work::File,
            modes: modes.to_vec(),
            slots: 1,
            price: Msat::sats(2_000).unwrap(),
            max_bytes: 1 << 20,
            deadlines: Deadlines { deliver: Span::DAY, pay: Span::DAY },
            escrow: None,
            pow: 0,
            expires_at: Time(1_000_000),
        },
        life: Span::DAY,
        inputs: vec![],
    }
}

fn read_with(text: &str, template: Template) -> Result<Policy, Mistake> {
    Policy::read(text, "bot", Path::new("/there"), Network::Regtest, |_| Ok(template))
}

fn read(text: &str) -> Result<Policy, Mistake> {
    read_with(text, template(&[Mode::Sealed], 5))
}

#[test]
fn the_example_is_a_policy_and_explains_itself() {
    let policy = read(EXAMPLE).unwrap();
    assert_eq!(policy.actor.to_string(), "bot:labels");
    let said = explain(&policy, &Budget::default()).join("\n");
    for named in [
        "queue.jsonl",
        "the cheapest bid",
        "`./label --fast`",
        "#labels price>=1000",
        "./tell-me",
        "earnest bot stop",
        "5,000 sat a job",
    ] {
        assert!(said.contains(named), "{named} is not in:\n{said}");
    }
    assert_eq!(policy.against(&Budget::default()), Ok(()));
}

#[test]
fn a_wrong_policy_is_refused_with_its_place_and_how_to_mend_it() {
    let ask = "[requester]\ngig = 'g'\n";
    let work = "[worker]\nquery = '#x'\ncommand = ['true']\n";
    for (text, said) in [
        ("name = \"Two Words\"\n".to_owned() + work, "line 1, column 8: an actor is"),
        ("x = 1".into(), "line 1, column 1: unknown field `x`"),
        ("name = 'a'".into(), "this policy does nothing"),
        ("[worker".into(), "line 1, column 8: "),
        (format!("{ask}at_once = 0"), "line 3, column 11: this must be from 1 to 200"),
        (
            format!("{ask}at_once = 2\nper_worker = 3"),
            "line 4, column 14: 3 with one worker can never be reached",
        ),
        (format!("{ask}wait = 'soon'"), "line 3, column 8: this must be a length of time"),
        (format!("{ask}choose = 'nicest'"), "line 3, column 10: unknown variant `nicest`"),
        (format!("{ask}accept = 'words'"), "line 3, column 10: this must be \"checks\""),
        (format!("{ask}accept = 'command'"), "line 3, column 10: this needs verify"),
        (format!("{ask}verify = ['true']"), "line 3, column 10: a sealed delivery cannot be read"),
        (
            format!("{ask}accept = 'checks'\nverify = ['true']"),
            "line 4, column 10: verify belongs to",
        ),
        (format!("{ask}total = '1000sat'"), "line 3, column 9: 1,000 sat do not pay a single job"),
        (format!("{ask}total = 'all'"), "line 3, column 9: this must be an amount"),
        (format!("{work}price = '101%'"), "line 4, column 9: a share is from 1% to 100%"),
        (format!("{work}price = '999sat'"), "line 4, column 9: no job pays less"),
        (format!("{work}price = '0sat/KiB'"), "line 4, column 9: work for nothing"),
        (format!("{work}price = 'dear'"), "line 4, column 9: this must be a price"),
        (format!("{work}time = '0s'"), "line 4, column 8: no command ends in no time"),
        (
            format!("{work}memory = '1KiB'"),
            "line 4, column 10: this must be a size of at least 1MiB",
        ),
        (format!("{work}look = '1ms'"), "line 4, column 8: look at most ten times"),
        (
            "[worker]\nquery = 'mode:loud'\ncommand = ['true']".into(),
            "line 2, column 9: `mode:loud`",
        ),
        (
            "[worker]\nquery = 'price<2000'\ncommand = ['true']\nprice = '3000sat'".into(),
            "line 4, column 9: 3,000 sat is above",
        ),
        ("[worker]\nquery = '#x'\ncommand = []".into(), "line 3, column 11: name a program"),
        (
            "[[hook]]\non = ['pid']\nrun = ['true']".into(),
            "line 2, column 6: there is no notice `pid`; there are: approval-asked",
        ),
        (
            "[[hook]]\non = ['*']\nurl = 'http://example.com/'".into(),
            "line 3, column 7: a webhook goes to this machine only",
        ),
        (
            "[[hook]]\non = ['*']\nurl = 'https://127.0.0.1/'".into(),
            "line 3, column 7: a webhook goes to this machine only",
        ),
        (
            "[[hook]]\non = ['*']\nurl = 'http://localhost.example.com/'".into(),
            "line 3, column 7: a webhook",
        ),
        ("[[hook]]\non = ['*']".into(), "line 1, column 1: a hook has either run"),
    ] {
        let mistake = read(&text).unwrap_err().to_string();
        assert!(mistake.starts_with(said), "{text}\n{mistake}");
    }
    // What only the gig makes wrong.
    let plain = |modes: &[Mode]| read_with(ask, template(modes, 0)).unwrap_err().to_string();
    assert!(plain(&[Mode::Sealed]).starts_with("line 2, column 7: the gig has no checks"));
    let open = read_with(ask, template(&[Mode::Sealed, Mode::Direct], 5)).unwrap_err().to_string();
    assert!(open.starts_with("line 2, column 7: in mode direct nothing checks"), "{open}");
    let many = Template {
        draft: GigDraft { slots: 3, ..template(&[Mode::Sealed], 5).draft },
        ..template(&[], 0)
    };
    assert!(read_with(ask, many).unwrap_err().to_string().contains("set slots = 1"));
    // What only the budget makes wrong.
    let policy = read(ask).unwrap();
    let low = Budget { per_job: Msat::sats(1_000).unwrap(), ..Budget::default() };
    let against =
        |policy: &Policy, budget: &Budget| policy.against(budget).unwrap_err().to_string();
    let said = against(&policy, &low);
    assert!(said.starts_with("line 2, column 7: ") && said.contains("bot.per_job_sats"), "{said}");
    let other = Budget { modes: vec![Mode::Escrow], ..Budget::default() };
    let said = against(&policy, &other);
    assert!(said.starts_with("line 2, column 7: ") && said.contains("bot.modes"), "{said}");
    let worker = read("[worker]\nquery = 'mode:sealed'\ncommand = ['true']").unwrap();
    let said = against(&worker, &other);
    assert!(said.starts_with("line 2, column 9: ") && said.contains("bot.modes"), "{said}");
    // A total that pays a job and not its routing.
    let tight = read(&format!("{ask}total = '2000sat'")).unwrap();
    let said = against(&tight, &Budget::default());
    assert!(said.starts_with("line 3, column 9: 2,000 sat do not pay"), "{said}");
}

#[test]
fn a_gig_with_checks_that_the_budget_does_not_allow_is_refused_with_its_place() {
    let asks = |body: &str| {
        let check = earnest::engine::pin(body.as_bytes()).unwrap();
        let quality = Quality { checks: vec![check], ..Quality::default() };
        let plain = template(&[Mode::Sealed], 5);
        let draft = GigDraft { quality, ..plain.draft.clone() };
        read_with("[requester]\ngig = 'g'", Template { draft, ..plain }).unwrap()
    };
    let allows = |checks: &[&str]| Budget {
        checks: checks.iter().map(|&word| word.to_owned()).collect(),
        ..Budget::default()
    };
    let hashed =
        asks(&format!(r#"{{"hash":"{}","kind":"hash","scope":"whole","v":1}}"#, "07".repeat(32)));
    for (policy, checks, said) in [
        (&hashed, &["schema"][..], Some("of kind hash")),
        (&hashed, &["required", "rules"], Some("of kind hash")),
        (&hashed, &["required", "hash"], None),
        (&hashed, &["required"], None),
        (&hashed, &[], None),
        (&read("[requester]\ngig = 'g'").unwrap(), &["required"], Some("held against a check")),
    ] {
        match (policy.against(&allows(checks)), said) {
            (Ok(()), None) => {}
            (Err(mistake), Some(said)) => {
                assert_eq!(mistake.place, Some((2, 7)), "{checks:?}");
                assert!(mistake.why.contains(said), "{mistake}");
                assert!(mistake.why.contains("bot.checks"), "{mistake}");
            }
            (found, said) => panic!("{checks:?}: {found:?}, not {said:?}"),
        }
    }
}

// ---------------------------------------------------------------- commands

fn limits() -> Limits {
    Limits { time: Duration::from_secs(10), memory: 2 << 30, disk: 8 << 20 }
}

fn shell(text: &str, limits: Limits) -> Command {
    let words = ["sh", "-c", text].map(str::to_owned).to_vec();
    Command { words, beside: PathBuf::from("/"), limits }
}

async fn play(text: &str, limits: Limits) -> (Ended, Scratch, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let scratch = Scratch::fresh(&dir.path().join("scratch")).unwrap();
    let ended = run_command(&shell(text, limits), &scratch, Job::Json(json!({"job": 7}))).await;
    (ended, scratch, dir)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_reads_its_job_and_leaves_one_file() {
    let (ended, scratch, _dir) =
        play("read line; echo \"$line\" > out/x; pwd; env", limits()).await;
    assert_eq!(ended.failure(), None);
    let file = scratch.output(100).unwrap().unwrap();
    assert_eq!(std::fs::read_to_string(file).unwrap(), "{\"job\":7}\n");
    assert!(scratch.output(3).unwrap_err().contains("the terms allow 3"));
    let said = std::fs::read_to_string(scratch.path().join("stdout")).unwrap();
    assert!(said.starts_with(scratch.path().to_str().unwrap()));
    // Nothing of this process's own environment but where programs are.
    assert!(!said.contains("CARGO"), "{said}");
    std::fs::write(scratch.path().join("out/y"), "").unwrap();
    assert!(scratch.output(100).unwrap_err().contains("several files"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_outside_of_its_folder_is_never_handed_over() {
    for text in [
        "ln -s /etc/passwd out/x",
        "ln -s \"$PWD/../..\" out/x",
        "mkdir out/x",
        "echo 1 > tmp/a; ln tmp/a out/x",
        "mkfifo out/x",
    ] {
        let (ended, scratch, _dir) = play(text, limits()).await;
        assert_eq!(ended.failure(), None, "{text}");
        assert!(scratch.output(1 << 20).unwrap_err().contains("no file of its own"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_fails_says_why() {
    let (ended, ..) = play("echo nothing to do >&2; exit 3", limits()).await;
    assert_eq!(ended, Ended::Status(3, "nothing to do".into()));
    let nothing = Command { words: vec!["./no-such-program".into()], ..shell("", limits()) };
    let dir = tempfile::tempdir().unwrap();
    let scratch = Scratch::fresh(&dir.path().join("s")).unwrap();
    let ended = run_command(&nothing, &scratch, Job::Json(json!({}))).await;
    assert!(ended.failure().is_some());
}

/// What lives of a command, by a pipe that it writes to: it ends when the last process that has it does.
struct Pulse {
    /// Where it is.
    name: String,
    begun: oneshot::Receiver<()>,
    ended: oneshot::Receiver<()>,
}

impl Pulse {
    fn of(dir: &Path) -> Self {
        let pipe = dir.join("pulse");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let name = pipe.display().to_string();
        let ((begins, begun), (ends, ended)) = (oneshot::channel(), oneshot::channel());
        // A thread that nobody waits for: it may never hear anything.
        std::thread::spawn(move || {
            let mut pipe = std::fs::File::open(pipe).unwrap();
            pipe.read_exact(&mut [0]).unwrap();
            let _ = begins.send(());
            std::io::copy(&mut pipe, &mut std::io::sink()).unwrap();
            let _ = ends.send(());
        });
        Self { name, begun, ended }
    }

    async fn ends(self) {
        let ended = tokio::time::timeout(Duration::from_secs(60), self.ended).await;
        ended.expect("something of it lives").unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_hangs_is_stopped_with_all_that_it_started() {
    let dir = tempfile::tempdir().unwrap();
    let pulse = Pulse::of(dir.path());
    let text = format!(
        "exec 3> {}; setsid sh -c 'while :; do echo; sleep 0.05; done >&3' & \
         (while :; do echo; sleep 0.05; done >&3) & sleep 1000",
        pulse.name
    );
    let short = Limits { time: Duration::from_secs(2), ..limits() };
    let began = Instant::now();
    let (ended, ..) = play(&text, short).await;
    assert!(began.elapsed() < Duration::from_secs(30));
    assert!(matches!(&ended, Ended::Stopped(why) if why.contains("longer than")), "{ended:?}");
    pulse.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_fills_the_disk_or_floods_is_stopped() {
    for text in [
        "while :; do head -c 1000000 /dev/zero >> tmp/a$((n=n+1)); done",
        "yes",
        "head -c 100000000 /dev/zero > out/x",
        "n=0; while :; do n=$((n+1)); mkdir -p tmp/$n; head -c 4096 /dev/zero > tmp/$n/f; done",
    ] {
        let (ended, scratch, _dir) = play(text, limits()).await;
        assert!(ended.failure().is_some(), "{text}: {ended:?}");
        let size =
            std::process::Command::new("du").arg("-sk").arg(scratch.path()).output().unwrap();
        let size = String::from_utf8_lossy(&size.stdout)
            .split_whitespace()
            .next()
            .unwrap()
            .parse::<u64>()
            .unwrap();
        assert!(size < 200_000, "{text}: {size} KiB");
    }
    // What it says is read and forgotten.
    let (ended, ..) = play("yes noise 2>/dev/null | head -c 3000000 >&2; exit 4", limits()).await;
    assert!(matches!(ended, Ended::Status(4, said) if said.len() <= 500));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_has_so_much_memory_and_no_more() {
    let little = Limits { memory: 64 << 20, ..limits() };
    let (ended, ..) =
        play("x=$(head -c 200000000 /dev/zero | tr '\\0' a); echo ${#x}", little).await;
    assert!(ended.failure().is_some(), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_cut_short_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let mut pulse = Pulse::of(dir.path());
    let text = format!("exec 3> {}; while :; do echo; sleep 0.05; done >&3", pulse.name);
    tokio::select! {
        (ended, ..) = play(&text, limits()) => panic!("{ended:?}"),
        begun = &mut pulse.begun => begun.unwrap(),
    }
    pulse.ends().await;
}

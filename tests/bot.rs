//! Bots on bad input: policies that are wrong, commands that misbehave, hooks that hang, flood and die.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so")]

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use earnest::bot::*;
use earnest::engine::{
    Answer, Call, Handle, Line, Notice, Severity, Snapshot, ToldNotice, Trouble,
};
use earnest::market::{
    Budget, Deadlines, EventId, GigDraft, Mode, Money, Msat, Network, Quality, Span, Time, Work,
};
use serde_json::json;
use tokio::sync::{broadcast, oneshot, watch};
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
        (format!("{ask}at_once = 0"), "line 3, column 11: this must be from 1 to 1000"),
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
    assert!(policy.against(&low).unwrap_err().contains("bot.per_job_sats"));
    let other = Budget { modes: vec![Mode::Escrow], ..Budget::default() };
    assert!(policy.against(&other).unwrap_err().contains("bot.modes"));
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

// ---------------------------------------------------------------- hooks

/// An engine that has only notices.
struct Teller {
    told: Mutex<Vec<ToldNotice>>,
    shown: watch::Sender<Arc<Snapshot>>,
    notices: broadcast::Sender<Notice>,
}

#[async_trait]
impl Line for Teller {
    async fn call(&self, call: Call) -> Result<Answer, Trouble> {
        let Call::Told { after, limit } = call else { panic!("{call:?}") };
        let told = self.told.lock().unwrap();
        let newest = told.last().map_or(0, |told| told.seq);
        let Some(after) = after else { return Ok(Answer::Told(vec![], newest)) };
        let next: Vec<_> =
            told.iter().filter(|told| told.seq > after).take(limit as usize).cloned().collect();
        let upto = next.last().map_or(after, |told| told.seq);
        Ok(Answer::Told(next, upto))
    }
    fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.shown.subscribe()
    }
    fn notices(&self) -> broadcast::Receiver<Notice> {
        self.notices.subscribe()
    }
}

fn teller() -> Arc<Teller> {
    let (shown, _) = watch::channel(Arc::new(Snapshot::default()));
    let (notices, _) = broadcast::channel(16);
    Arc::new(Teller { told: Mutex::default(), shown, notices })
}

fn notice(seq: u64, code: &str) -> ToldNotice {
    let notice = Notice {
        at: Time(seq),
        severity: Severity::Info,
        code: code.into(),
        job: EventId([seq as u8; 32]),
        text: format!("Notice {seq}."),
        money: Money::Untouched,
    };
    ToldNotice { seq, id: format!("job:{seq}"), notice }
}

fn hook(on: &str, text: &str) -> Hook {
    let words = ["sh", "-c", text].map(str::to_owned).to_vec();
    Hook { on: vec![on.into()], tell: Tell::Run(words), time: Duration::from_millis(400) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_is_told_at_least_once_with_the_id_whatever_others_do() {
    let (dir, teller) = (tempfile::tempdir().unwrap(), teller());
    let list = dir.path().join("list");
    teller.told.lock().unwrap().push(notice(3, "paid"));
    let handle = Handle::new(teller.clone());
    let hooks = vec![
        hook("paid", "sleep 1000"),
        hook("*", "yes"),
        hook("*", "kill -9 $$"),
        hook("*", &format!("cat >> {}", list.display())),
        hook("cheated", &format!("echo never >> {}", list.display())),
    ];
    let home = dir.path().join("home");
    std::fs::create_dir_all(&home).unwrap();
    let new = || Hooks::new(handle.clone(), hooks.clone(), Path::new("/"), &home);
    // From now on: what was before is not told.
    assert_eq!(new().tell_on().await, Ok(false));
    teller.told.lock().unwrap().extend([notice(4, "paid"), notice(9, "bid")]);
    while new().tell_on().await.unwrap() {}
    let ids = || {
        let text = std::fs::read_to_string(&list).unwrap_or_default();
        let id =
            |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].clone();
        text.lines().map(id).collect::<Vec<_>>()
    };
    assert_eq!(ids(), ["job:4", "job:9"]);
    while new().tell_on().await.unwrap() {}
    assert_eq!(ids().len(), 2, "a restart after it was told does not tell it again");
    // Killed before it was written down: told again, with the same id.
    std::fs::write(home.join("hooks.at"), "4\n").unwrap();
    while new().tell_on().await.unwrap() {}
    assert_eq!(ids(), ["job:4", "job:9", "job:9"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_posted_on_this_machine() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let (dir, teller) = (tempfile::tempdir().unwrap(), teller());
    let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://localhost:{}/told?by=earnest", server.local_addr().unwrap().port());
    let url = url::Url::parse(&url).unwrap();
    assert!(is_loopback(&url));
    let hook = Hook { on: vec!["*".into()], tell: Tell::Url(url), time: Duration::from_secs(5) };
    let hooks = Hooks::new(Handle::new(teller.clone()), vec![hook], Path::new("/"), dir.path());
    hooks.tell_on().await.unwrap();
    teller.told.lock().unwrap().push(notice(1, "paid"));
    let served = async {
        let mut heard = Vec::new();
        for answer in ["HTTP/1.1 500 No\r\n\r\n", "HTTP/1.1 204 Yes\r\n\r\n"] {
            let (mut stream, _) = server.accept().await.unwrap();
            let mut bytes = vec![0; 4096];
            let mut n = 0;
            while !String::from_utf8_lossy(&bytes[..n]).contains("job:1") {
                n += stream.read(&mut bytes[n..]).await.unwrap();
            }
            heard.push(String::from_utf8_lossy(&bytes[..n]).into_owned());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        heard
    };
    let (told, heard) = tokio::join!(hooks.tell_on(), served);
    assert_eq!(told, Ok(true));
    assert!(heard[1].starts_with("POST /told?by=earnest HTTP/1.1\r\n"), "{}", heard[1]);
    assert_eq!(heard[0], heard[1], "the same again after a failure");
}

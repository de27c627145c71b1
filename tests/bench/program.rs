//! The program itself: from exec to the first frame over a full book, from a key to what it changes on
//! the screen, and what an idle owner writes.

use std::fs;
use std::io::{Read as _, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use earnest::store::Database;
use portable_pty::{Child, CommandBuilder, PtySize, native_pty_system};

use crate::book::fill;
use crate::shell::{Home, Served};
use crate::{Row, Samples, timed};

const ROUNDS: usize = 10;
const KEYS: usize = 60;
const ROWS: u16 = 40;
const COLUMNS: u16 = 120;
const BOOK: u64 = 100_000;
const PATIENCE: Duration = Duration::from_secs(60);
/// Long enough for everything that happens every few seconds.
const IDLE: Duration = Duration::from_secs(60);
/// Until connections stand and the first questions are answered.
const SETTLE: Duration = Duration::from_secs(15);

pub(crate) fn measure(tell: &mut dyn FnMut(Row)) {
    let world = Served::start();
    let home = Home::with_keys();
    {
        let mut store = Database::open(&home.data().join("regtest"), "the bench").unwrap();
        fill(&mut store, BOOK);
    }
    let line = home.join(&world);
    let (mut frame, mut gigs, mut exec, mut keys) =
        (Samples::default(), Samples::default(), Samples::default(), Samples::default());
    for round in 0..ROUNDS {
        exec.millis(timed(|| home.run("--version").ok()).1);
        let mut screen = Screen::open(&home, &line);
        frame.millis(screen.shows("Gigs"));
        gigs.millis(screen.shows("Number"));
        if round == 0 {
            // Once the node has started nothing but keys changes the screen much.
            thread::sleep(SETTLE);
            for n in 0..KEYS {
                keys.millis(screen.answers(if n % 2 == 0 { b"j" } else { b"k" }));
            }
        }
        screen.quit();
    }
    let rival = "exec of --version";
    tell(frame.against("exec to first frame, 100,000 gigs in the book", "ms", rival, &exec));
    tell(gigs.against("exec to the first gigs on the screen", "ms", rival, &exec));
    tell(keys.row("key to frame, the node running", "ms"));

    let mut owner = home.command(&format!("run {line}"));
    let mut owner = owner.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    thread::sleep(SETTLE);
    let (before, busy) = (written(owner.id()), busy(owner.id()));
    thread::sleep(IDLE);
    let idle = (written(owner.id()) - before) as f64 / 1024.0;
    let share = (self::busy(owner.id()) - busy).as_secs_f64() / IDLE.as_secs_f64();
    assert!(owner.try_wait().unwrap().is_none(), "the owner ended");
    let stopped = Command::new("kill").arg(owner.id().to_string()).status().unwrap();
    assert!(stopped.success() && owner.wait().unwrap().code().is_some());
    world.end();
    let mut bytes = Samples::default();
    bytes.push(idle);
    tell(bytes.row("written to disk by an idle owner in a minute", "KiB"));
    let mut core = Samples::default();
    core.push(share * 100.0);
    tell(core.row("an idle owner, of one core", "%"));
}

/// Bytes that a process has caused to be written to disk so far (Linux, `/proc/PID/io`).
fn written(pid: u32) -> u64 {
    let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap();
    let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: ")).unwrap();
    line.parse().unwrap()
}

/// How long a process has had a core so far (Linux, `/proc/PID/stat`, in hundredths of a second).
fn busy(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    // Fields 14 and 15 of proc(5), in user mode and in the kernel; the state is the third.
    let ticks = |n: usize| fields.split(' ').nth(n - 3).unwrap().parse::<u64>().unwrap();
    Duration::from_millis((ticks(14) + ticks(15)) * 10)
}

/// The program in a terminal of its own.
struct Screen {
    began: Instant,
    child: Box<dyn Child + Send + Sync>,
    keys: Box<dyn Write + Send>,
    drawn: Receiver<Vec<u8>>,
    screen: vt100::Parser,
    _pair: portable_pty::PtyPair,
}

impl Screen {
    fn open(home: &Home, line: &str) -> Self {
        let size = PtySize { rows: ROWS, cols: COLUMNS, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_earnest"));
        command.args(line.split_whitespace());
        command.args(["--data-dir", path(&home.data())]);
        command.env_clear();
        command.env("HOME", home.dir());
        command.env("TERM", "xterm-256color");
        command.cwd(home.dir());
        let mut reader = pair.master.try_clone_reader().unwrap();
        let keys = pair.master.take_writer().unwrap();
        let (tx, drawn) = channel();
        let began = Instant::now();
        let child = pair.slave.spawn_command(command).unwrap();
        thread::spawn(move || {
            let mut room = vec![0; 1 << 16];
            while let Ok(n) = reader.read(&mut room) {
                if n == 0 || tx.send(room[..n].to_vec()).is_err() {
                    return;
                }
            }
        });
        let screen = vt100::Parser::new(ROWS, COLUMNS, 0);
        Self { began, child, keys, drawn, screen, _pair: pair }
    }

    /// Since exec, until this word is on the screen.
    fn shows(&mut self, word: &str) -> Duration {
        while !self.screen.screen().contents().contains(word) {
            let left = PATIENCE.saturating_sub(self.began.elapsed());
            let Ok(more) = self.drawn.recv_timeout(left) else {
                panic!("{word} is not on the screen:\n{}", self.screen.screen().contents());
            };
            self.screen.process(&more);
        }
        self.began.elapsed()
    }

    /// Until a key has changed the screen. What came before it is not an answer.
    fn answers(&mut self, key: &[u8]) -> Duration {
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "the screen is never still");
            match self.drawn.recv_timeout(Duration::from_millis(30)) {
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => panic!("the program ended"),
            }
        }
        let begun = Instant::now();
        self.keys.write_all(key).unwrap();
        self.keys.flush().unwrap();
        self.drawn.recv_timeout(PATIENCE).expect("the key does something");
        begun.elapsed()
    }

    fn quit(mut self) {
        self.keys.write_all(b"q").unwrap();
        self.keys.flush().unwrap();
        let deadline = Instant::now() + PATIENCE;
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "q does not end it");
            while self.drawn.recv_timeout(Duration::from_millis(10)).is_ok() {}
        }
    }
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

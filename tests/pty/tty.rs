//! A terminal that remembers what is on it, and a program inside.

use std::io::{Read as _, Write};
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

use crate::shell::Home;

/// How long anything may take; a machine under load is slow.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a key may take to do something before it is pressed again, and how often it is.
const SOON: Duration = Duration::from_millis(500);
const MOST_PRESSED: u32 = 100;

const LOOK: Duration = Duration::from_millis(10);
const TRIES: u32 = 6_000;

type Shown = Arc<(Mutex<vt100::Parser>, Condvar)>;

pub(crate) struct Tty {
    master: Box<dyn MasterPty + Send>,
    keys: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    shown: Shown,
    sent: Arc<Mutex<Vec<u8>>>,
    reader: Option<std::thread::JoinHandle<()>>,
    pressed: usize,
}

impl Tty {
    /// `earnest` and these flags on a terminal of 80x24, in this home.
    pub(crate) fn start(home: &Home, flags: &str, env: &[(&str, &str)]) -> Self {
        let size = PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 };
        let pty = native_pty_system().openpty(size).unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_earnest"));
        command.args(flags.split_whitespace());
        command.arg("--data-dir");
        command.arg(home.data());
        command.cwd(home.dir());
        command.env_clear();
        command.env("HOME", home.dir());
        command.env("TERM", "xterm-256color");
        for (name, value) in env {
            command.env(name, value);
        }
        let child = pty.slave.spawn_command(command).unwrap();
        let shown: Shown = Arc::new((Mutex::new(vt100::Parser::new(24, 80, 0)), Condvar::new()));
        let sent = Arc::<Mutex<Vec<u8>>>::default();
        let all = Arc::clone(&sent);
        let mut from = pty.master.try_clone_reader().unwrap();
        let to = Arc::clone(&shown);
        let reader = std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(n @ 1..) = from.read(&mut bytes) {
                all.lock().unwrap().extend(&bytes[..n]);
                to.0.lock().unwrap().process(&bytes[..n]);
                to.1.notify_all();
            }
        });
        let keys = pty.master.take_writer().unwrap();
        Self { master: pty.master, keys, child, shown, sent, reader: Some(reader), pressed: 0 }
    }

    /// Every byte that the terminal was sent, as text.
    pub(crate) fn raw(&self) -> String {
        String::from_utf8_lossy(&self.sent.lock().unwrap()).into_owned()
    }

    pub(crate) fn text(&self) -> String {
        self.shown.0.lock().unwrap().screen().contents()
    }

    /// Waits until the screen is so.
    #[track_caller]
    pub(crate) fn until(&mut self, what: &str, is: impl Fn(&vt100::Screen) -> bool) -> &mut Self {
        let (parser, changed) = &*self.shown;
        let waiting = |parser: &mut vt100::Parser| !is(parser.screen());
        let (parser, late) =
            changed.wait_timeout_while(parser.lock().unwrap(), PATIENCE, waiting).unwrap();
        assert!(!late.timed_out(), "not so: {what}\n{}", parser.screen().contents());
        drop(parser);
        self
    }

    #[track_caller]
    pub(crate) fn sees(&mut self, words: &str) -> &mut Self {
        self.until(words, |screen| screen.contents().contains(words))
    }

    #[track_caller]
    pub(crate) fn unseen(&mut self, words: &str) -> &mut Self {
        self.until(words, |screen| !screen.contents().contains(words))
    }

    pub(crate) fn types(&mut self, keys: &str) -> &mut Self {
        // What begins with an escape is one key.
        self.pressed += if keys.starts_with('\x1b') { 1 } else { keys.chars().count() };
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
        self
    }

    /// Keys so far.
    pub(crate) fn pressed(&self) -> usize {
        self.pressed
    }

    /// Presses a key again and again until the screen is so. It may be looked at in the middle of a frame.
    #[track_caller]
    pub(crate) fn by(
        &mut self,
        key: &str,
        what: &str,
        is: impl Fn(&vt100::Screen) -> bool,
    ) -> &mut Self {
        for _ in 0..MOST_PRESSED {
            let (parser, changed) = &*self.shown;
            let waiting = |parser: &mut vt100::Parser| !is(parser.screen());
            let (shown, late) =
                changed.wait_timeout_while(parser.lock().unwrap(), SOON, waiting).unwrap();
            drop(shown);
            if !late.timed_out() {
                return self;
            }
            self.types(key);
        }
        panic!("not so by {key}: {what}\n{}", self.text());
    }

    /// Answers a question, again and again until it is gone: it is deaf when it has just come.
    #[track_caller]
    pub(crate) fn answers(&mut self, question: &str, key: &str) -> &mut Self {
        self.sees(question).by(key, question, |screen| !screen.contents().contains(question))
    }

    /// Leaves by the key for it, also when it is asked back.
    #[track_caller]
    pub(crate) fn leaves(&mut self) -> u32 {
        let asked = "Quit anyway?";
        self.types("q").until("it is gone, or asks", |screen| {
            !screen.alternate_screen() || screen.contents().contains(asked)
        });
        if self.text().contains(asked) {
            self.answers(asked, "y");
        }
        self.ended()
    }

    pub(crate) fn size(&mut self, cols: u16, rows: u16) {
        self.shown.0.lock().unwrap().screen_mut().set_size(rows, cols);
        let size = PtySize { rows, cols, pixel_width: 0, pixel_height: 0 };
        self.master.resize(size).unwrap();
    }

    fn pid(&self) -> u32 {
        self.child.process_id().unwrap()
    }

    pub(crate) fn signal(&mut self, which: &str) -> &mut Self {
        let pid = self.pid().to_string();
        assert!(Command::new("kill").args([which, &pid]).status().unwrap().success());
        self
    }

    /// Waits until the program is stopped, as a shell sees it.
    #[track_caller]
    pub(crate) fn stopped(&mut self) -> &mut Self {
        let path = format!("/proc/{}/stat", self.pid());
        for _ in 0..TRIES {
            let stat = std::fs::read_to_string(&path).unwrap();
            // The state stands behind the name, which stands in brackets.
            if stat.rsplit(')').next().unwrap().trim_start().starts_with('T') {
                // What it wrote before it stopped may still be on its way to us.
                return self.until("the screen is given back", |s| !s.alternate_screen());
            }
            std::thread::sleep(LOOK);
        }
        panic!("it is not stopped\n{}", self.text());
    }

    /// Waits for its end; all it wrote is on the screen then.
    #[track_caller]
    pub(crate) fn ended(&mut self) -> u32 {
        let status = (0..TRIES).find_map(|_| {
            let ended = self.child.try_wait().unwrap();
            if ended.is_none() {
                std::thread::sleep(LOOK);
            }
            ended
        });
        let Some(status) = status else { panic!("it does not end\n{}", self.text()) };
        // The reader ends once nobody holds the other side any more.
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        status.exit_code()
    }

    /// Whether the screen is the program's: any of what it sets is still set.
    pub(crate) fn taken(&self) -> bool {
        let parser = self.shown.0.lock().unwrap();
        let screen = parser.screen();
        screen.alternate_screen()
            || screen.bracketed_paste()
            || screen.hide_cursor()
            || screen.mouse_protocol_mode() != vt100::MouseProtocolMode::None
    }

    /// Whether lines are edited and echoed, as a shell leaves them.
    pub(crate) fn sane(&self) -> bool {
        let modes = self.modes();
        ["icanon", "echo", "isig"].iter().all(|set| modes.iter().any(|mode| mode == set))
    }

    /// Types what must not be seen, once it is asked for and the terminal shows nothing of it.
    #[track_caller]
    pub(crate) fn whispers(&mut self, question: &str, secret: &str) -> &mut Self {
        self.sees(question);
        for _ in 0..TRIES {
            if self.modes().iter().any(|mode| mode == "-echo") {
                return self.types(secret).types("\n");
            }
            std::thread::sleep(LOOK);
        }
        panic!("what is typed would be seen\n{}", self.text());
    }

    fn modes(&self) -> Vec<String> {
        let tty = self.master.tty_name().unwrap();
        let said = Command::new("stty").arg("-a").arg("-F").arg(tty).output().unwrap();
        let said = String::from_utf8(said.stdout).unwrap();
        said.split_whitespace().map(str::to_owned).collect()
    }
}

impl Drop for Tty {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! A person at a terminal: the binary in a pty, what it shows and what is typed.

use std::io::{Read as _, Write as _};
use std::sync::mpsc;
use std::time::Duration;

use portable_pty::{CommandBuilder, PtySize, native_pty_system};

use crate::shell::Home;

/// Runs a command in a terminal and types `answer` when `prompt` stands there. Answers the status and all
/// that was shown.
pub(crate) fn typed(home: &Home, line: &str, prompt: &str, answer: &str) -> (u32, String) {
    let size = PtySize { rows: 24, cols: 100, pixel_width: 0, pixel_height: 0 };
    let pty = native_pty_system().openpty(size).unwrap();
    let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_earnest"));
    command.args(line.split_whitespace());
    command.env_clear();
    command.env("HOME", home.dir());
    command.env("EARNEST_DATA_DIR", home.data());
    command.env("EARNEST_NETWORK", "regtest");
    command.env("EARNEST_CHAIN_URL", "http://127.0.0.1:1");
    command.env("NO_COLOR", "1");
    command.cwd(home.dir());
    let mut child = pty.slave.spawn_command(command).unwrap();
    drop(pty.slave);
    let mut keys = pty.master.take_writer().unwrap();
    let mut screen = pty.master.try_clone_reader().unwrap();
    let (told, seen) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(n @ 1..) = screen.read(&mut bytes) {
            let _ = told.send(String::from_utf8_lossy(&bytes[..n]).into_owned());
        }
    });
    let mut shown = String::new();
    while !shown.contains(prompt) {
        shown += &seen.recv_timeout(Duration::from_secs(60)).expect("the prompt comes");
    }
    keys.write_all(answer.as_bytes()).unwrap();
    let status = child.wait().unwrap().exit_code();
    drop((keys, pty.master));
    reader.join().unwrap();
    shown.extend(seen);
    (status, shown)
}

//! Running a person's own program on a stranger's files: in a folder of its own, with limits, and gone at
//! the end with everything that it started.
//!
//! The program is the person's and runs as the person: the limits keep it from harming the machine by
//! accident or by what a stranger feeds it, not from doing what it was written to do. What it writes
//! outside its folder is never a deliverable, nor is a link that leads there.

use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};

use crate::market::Actor;

/// What a command may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// How long it may run.
    pub time: Duration,
    /// Bytes of address space, for each of its processes.
    pub memory: u64,
    /// Bytes of its folder, what it is given included.
    pub disk: u64,
}

/// How often the size of the folder is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// What is kept of stderr, for the person.
const TAIL: usize = 4 << 10;
/// The most files that are counted in a folder.
const MOST_FILES: u64 = 100_000;
/// What is left of a command that was killed is waited for so long.
const REAP: Duration = Duration::from_secs(5);

/// The folder of one run: `in/` with what is worked on, `out/` for what is handed over, `tmp/`.
#[derive(Debug)]
pub struct Scratch {
    folder: PathBuf,
}

impl Scratch {
    /// An empty folder, whatever lay there.
    ///
    /// # Errors
    /// What the disk says.
    pub fn fresh(folder: &Path) -> io::Result<Self> {
        match std::fs::remove_dir_all(folder) {
            Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(why),
            _ => {}
        }
        let mut make = std::fs::DirBuilder::new();
        make.recursive(true).mode(0o700);
        for part in ["in", "out", "tmp"] {
            make.create(folder.join(part))?;
        }
        Ok(Self { folder: std::fs::canonicalize(folder)? })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// A copy of a file for the command, under this name.
    ///
    /// # Errors
    /// What the disk says.
    pub fn give(&self, from: &Path, name: &str) -> io::Result<PathBuf> {
        let to = self.folder.join("in").join(crate::text::file_name(&name.into()).as_str());
        copy(from, &to)?;
        Ok(to)
    }

    /// `out/` itself, if it left any file in it, and nothing but files and folders.
    ///
    /// # Errors
    /// Why that is not so, for the person.
    pub fn output_folder(&self) -> Result<Option<PathBuf>, String> {
        let unreadable = |why: io::Error| format!("the folder out/ cannot be read: {why}");
        let out = self.folder.join("out");
        let (mut any, mut ahead) = (false, vec![out.clone()]);
        while let Some(folder) = ahead.pop() {
            for entry in std::fs::read_dir(folder).map_err(unreadable)? {
                let path = entry.map_err(unreadable)?.path();
                let about = std::fs::symlink_metadata(&path).map_err(unreadable)?;
                if about.is_dir() {
                    ahead.push(path);
                } else if about.is_file() && about.nlink() == 1 {
                    any = true;
                } else {
                    let name = path.strip_prefix(&self.folder).unwrap_or(&path).display();
                    return Err(format!("{name} is no file of its own: links are not handed over"));
                }
            }
        }
        Ok(any.then_some(out))
    }

    /// What it left in `out/`: exactly one file, no link, of at most `most` bytes.
    ///
    /// # Errors
    /// Why that is not so, for the person.
    pub fn output(&self, most: u64) -> Result<Option<PathBuf>, String> {
        let unreadable = |why: io::Error| format!("the folder out/ cannot be read: {why}");
        let mut found = None;
        for entry in std::fs::read_dir(self.folder.join("out")).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            let about = std::fs::symlink_metadata(&path).map_err(unreadable)?;
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if !about.is_file() || about.nlink() > 1 {
                return Err(format!(
                    "out/{name} is no file of its own: links and folders are not handed over"
                ));
            }
            if about.len() > most {
                return Err(format!(
                    "out/{name} has {} bytes; the terms allow {most}",
                    about.len()
                ));
            }
            if found.replace(path).is_some() {
                return Err(
                    "there are several files in out/: put what is handed over into one".into()
                );
            }
        }
        Ok(found)
    }

    /// Takes everything away.
    pub fn remove(self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A copy of a file, or of a folder and all that is in it: a delivery that is opened is either.
pub(super) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut ahead = vec![(from.to_owned(), to.to_owned())];
    while let Some((from, to)) = ahead.pop() {
        if !std::fs::symlink_metadata(&from)?.is_dir() {
            std::fs::copy(from, &to)?;
            std::fs::File::open(&to)?.sync_all()?;
            continue;
        }
        std::fs::create_dir_all(&to)?;
        for entry in std::fs::read_dir(from)? {
            let entry = entry?;
            ahead.push((entry.path(), to.join(entry.file_name())));
        }
    }
    Ok(())
}

/// What is run.
#[derive(Debug, Clone)]
pub struct Command {
    /// Program and arguments.
    pub words: Vec<String>,
    /// Where relative programs are looked for first.
    pub beside: PathBuf,
    /// What it may use.
    pub limits: Limits,
}

/// What it reads on stdin.
#[derive(Debug)]
pub enum Job {
    /// This, as one line of JSON.
    Json(Value),
    /// This file.
    File(PathBuf),
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this status; and what it said on stderr at the end.
    Status(i32, String),
    /// It was stopped, and why.
    Stopped(String),
    /// It could not be started.
    NotStarted(String),
}

impl Ended {
    /// Why it is no success, if it is none.
    pub fn failure(&self) -> Option<String> {
        match self {
            Self::Status(0, _) => None,
            Self::Status(status, said) if said.trim().is_empty() => {
                Some(format!("the command ended with status {status}"))
            }
            Self::Status(status, said) => {
                Some(format!("the command ended with status {status}: {}", said.trim()))
            }
            Self::Stopped(why) => Some(format!("the command was stopped: {why}")),
            Self::NotStarted(why) => Some(format!("the command does not start: {why}")),
        }
    }
}

/// Runs a command in its folder; what it writes on stdout goes to `stdout` in it. Never longer than its
/// time, and nothing that it started is left.
pub async fn run_command(command: &Command, scratch: &Scratch, job: Job) -> Ended {
    let mark = scratch.folder.display().to_string();
    let mut child = match spawn(command, scratch, &job, &mark) {
        Ok(child) => child,
        Err(why) => return Ended::NotStarted(why.to_string()),
    };
    let group = child.id().and_then(|id| i32::try_from(id).ok());
    let group = Pack { group: group.and_then(rustix::process::Pid::from_raw), mark };
    let errors = tail(child.stderr.take());
    let feed = feed(child.stdin.take(), job);
    let disk = too_full(&scratch.folder, command.limits.disk);
    let ended = {
        let run = async {
            let (status, said, ()) = tokio::join!(child.wait(), errors, feed);
            (status, said)
        };
        tokio::select! {
            (status, said) = run => match status {
                Ok(status) => match std::os::unix::process::ExitStatusExt::signal(&status) {
                    Some(signal) => Ended::Stopped(format!("signal {signal}, as a limit sends it; {said}")),
                    None => Ended::Status(status.code().unwrap_or(-1), said),
                },
                Err(why) => Ended::Stopped(why.to_string()),
            },
            () = tokio::time::sleep(command.limits.time) => {
                Ended::Stopped(format!("it took longer than {} s", command.limits.time.as_secs()))
            }
            () = disk => {
                Ended::Stopped(format!("it filled its folder beyond {} bytes", command.limits.disk))
            }
        }
    };
    group.kill();
    let _ = tokio::time::timeout(REAP, child.wait()).await;
    // Who was forked meanwhile is found when the pack is dropped.
    ended
}

/// Through `sh`, which sets the limits before the program is there: there is no moment without them.
fn spawn(
    command: &Command,
    scratch: &Scratch,
    job: &Job,
    mark: &str,
) -> io::Result<tokio::process::Child> {
    let Some((program, args)) = command.words.split_first() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no program is named"));
    };
    let beside = command.beside.join(program);
    let program = if program.contains('/') && beside.exists() {
        std::fs::canonicalize(beside)?.display().to_string()
    } else {
        program.clone()
    };
    let Limits { time, memory, disk } = command.limits;
    // POSIX counts files in 512 bytes; bash, unless it is told to be POSIX, in 1,024.
    let limits = format!(
        "ulimit -c 0; ulimit -v {} && ulimit -f {} && ulimit -t {} && ulimit -n 256 && exec \"$@\"",
        (memory / 1024).max(1),
        (disk / 512).max(1),
        time.as_secs().saturating_add(1),
    );
    let stdin = match job {
        Job::Json(_) => Stdio::piped(),
        Job::File(path) => Stdio::from(std::fs::File::open(path)?),
    };
    let stdout = std::fs::File::create(scratch.folder.join("stdout"))?;
    tokio::process::Command::new("sh")
        .arg("-c")
        .arg(limits)
        .arg("sh")
        .arg(program)
        .args(args)
        .current_dir(&scratch.folder)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()))
        .env("HOME", &scratch.folder)
        .env("TMPDIR", scratch.folder.join("tmp"))
        .env("LANG", "C.UTF-8")
        .env(MARK, mark)
        .stdin(stdin)
        .stdout(stdout)
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}

/// What everything that a command starts has in its environment.
const MARK: &str = "EARNEST_SCRATCH";

/// Who asks in this process where a bot's command or hook started it: no person, whatever it says.
pub fn command_actor() -> Option<Actor> {
    let marked = std::env::var_os(MARK).is_some() || comes_from_a_command();
    marked.then(|| Actor::Bot("command".into()))
}

/// Whether whoever started this process, or whoever started that, is a command's: the mark is easily left
/// out of what one starts, and not so easily of oneself.
fn comes_from_a_command() -> bool {
    const FARTHEST: usize = 64;
    let parent = |id: &u32| -> Option<u32> {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // The name before it may hold anything.
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
    };
    let is_marked = |id: u32| {
        let mark = format!("{MARK}=");
        let environ = std::fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
        environ.split(|b| *b == 0).any(|one| one.starts_with(mark.as_bytes()))
    };
    std::iter::successors(Some(std::process::id()), parent).take(FARTHEST).any(is_marked)
}

async fn feed(stdin: Option<tokio::process::ChildStdin>, job: Job) {
    if let (Some(mut stdin), Job::Json(value)) = (stdin, job) {
        let mut line = value.to_string();
        line.push('\n');
        // Who does not read is not made to.
        let _ = stdin.write_all(line.as_bytes()).await;
    }
}

/// The end of what it says; a flood is read and forgotten.
async fn tail(from: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut from) = from else { return String::new() };
    let (mut kept, mut part) = (Vec::new(), [0; 4096]);
    while let Ok(n) = from.read(&mut part).await {
        if n == 0 {
            break;
        }
        kept.extend_from_slice(&part[..n]);
        if kept.len() > 2 * TAIL {
            kept.drain(..kept.len() - TAIL);
        }
    }
    let said = String::from_utf8_lossy(&kept[kept.len().saturating_sub(TAIL)..]).into_owned();
    crate::text::Raw(said).clean(crate::text::Limit::one_line(400)).to_string()
}

/// Ends when the folder holds more than it may.
async fn too_full(folder: &Path, most: u64) {
    loop {
        let looked = folder.to_owned();
        let size = tokio::task::spawn_blocking(move || size_of(&looked)).await.unwrap_or(0);
        if size > most {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn size_of(folder: &Path) -> u64 {
    let (mut sum, mut files) = (0u64, 0);
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(folder) else { continue };
        for entry in entries.flatten() {
            let Ok(about) = entry.path().symlink_metadata() else { continue };
            files += 1;
            if files > MOST_FILES {
                return u64::MAX;
            }
            if about.is_dir() {
                folders.push(entry.path());
            } else {
                // What stands on the disk; a file of holes fills nothing.
                sum = sum.saturating_add(about.blocks().saturating_mul(512));
            }
        }
    }
    sum
}

/// A command and all that it started: gone when this is dropped, also where its run is cut short.
struct Pack {
    group: Option<rustix::process::Pid>,
    mark: String,
}

impl Pack {
    fn kill(&self) {
        kill(self.group, &self.mark);
    }
}

impl Drop for Pack {
    fn drop(&mut self) {
        // The group's number may be somebody else's by now; the mark is nobody else's.
        kill(None, &self.mark);
    }
}

/// The group, and whoever left it: they still carry the mark.
fn kill(group: Option<rustix::process::Pid>, mark: &str) {
    use rustix::process::{Signal, kill_process, kill_process_group};
    if let Some(group) = group {
        let _ = kill_process_group(group, Signal::KILL);
    }
    let mark = format!("{MARK}={mark}");
    // A fork bomb has children while it is looked for.
    for _ in 0..20 {
        let mut found = false;
        let Ok(all) = std::fs::read_dir("/proc") else { return };
        for entry in all.flatten() {
            let id = entry.file_name().to_str().and_then(|id| id.parse().ok());
            let Some(id) = id.and_then(rustix::process::Pid::from_raw) else { continue };
            let Ok(said) = std::fs::read(entry.path().join("environ")) else { continue };
            if said.split(|b| *b == 0).any(|one| one == mark.as_bytes()) {
                found |= kill_process(id, Signal::KILL).is_ok();
            }
        }
        if !found {
            return;
        }
    }
}

//! A party that is a process of its own.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command as Program};
use tokio::time::Instant;

use super::{LOOK, PATIENCE};
use crate::engine::{Command, Handle, Snapshot};
use crate::sandbox::world::World;

/// A party that is a process.
pub(super) struct Process {
    pub(super) name: &'static str,
    pub(super) dir: PathBuf,
    exe: PathBuf,
    ground: PathBuf,
    pub(super) running: Option<Running>,
}

pub(super) struct Running {
    child: Child,
    told: Lines<BufReader<ChildStdout>>,
    pub(super) handle: Handle,
    pid: u32,
}

impl Process {
    /// One that is not started yet.
    pub(super) fn new(name: &'static str, world: &World, exe: &Path, ground: &Path) -> Self {
        let dir = world.dir().join(name);
        Self { name, dir, exe: exe.to_owned(), ground: ground.to_owned(), running: None }
    }

    pub(super) async fn start(&mut self, point: Option<&str>) -> anyhow::Result<()> {
        let mut program = Program::new(&self.exe);
        program.args(["sandbox", "party", self.name, "--ground"]).arg(&self.ground);
        if let Some(point) = point {
            program.args(["--halt-at", point]);
        }
        program.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = program.kill_on_drop(true).spawn().with_context(|| {
            format!("{} does not start as a process of its own", self.exe.display())
        })?;
        let pid = child.id().unwrap_or_default();
        let out = child.stdout.take().context("its stdout is not ours")?;
        let begun = Instant::now();
        let handle = loop {
            match crate::rpc::connect(&self.dir).await {
                Ok(handle) => break handle,
                Err(why) if begun.elapsed() > PATIENCE => return Err(why.into()),
                Err(_) => tokio::time::sleep(LOOK).await,
            }
            if let Some(status) = child.try_wait()? {
                bail!("{} ended by itself: {status}", self.name);
            }
        };
        self.running = Some(Running { child, told: BufReader::new(out).lines(), handle, pid });
        Ok(())
    }

    /// Ends it as a service manager does.
    pub(super) async fn stop(&mut self) -> anyhow::Result<()> {
        let Some(mut running) = self.running.take() else { return Ok(()) };
        let pid = rustix::process::Pid::from_raw(i32::try_from(running.pid)?).context("no pid")?;
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        let ended = tokio::time::timeout(PATIENCE, running.child.wait());
        let status = ended.await.with_context(|| format!("{} does not stop", self.name))??;
        anyhow::ensure!(status.success(), "{} did not stop well: {status}", self.name);
        Ok(())
    }

    pub(super) fn snapshot(&self) -> Option<std::sync::Arc<Snapshot>> {
        self.running.as_ref().map(|r| r.handle.watch().borrow().clone())
    }

    /// Asks; whoever is killed meanwhile is asked again by whoever looks next.
    pub(super) async fn ask(&self, command: Command) {
        if let Some(running) = &self.running {
            let asked = tokio::time::timeout(Duration::from_secs(5), running.handle.ask(command));
            if let Ok(Err(why)) = asked.await {
                tracing::debug!(who = self.name, %why, "was not done");
            }
        }
    }

    /// Whether it has got to its point.
    pub(super) async fn has_halted(&mut self) -> bool {
        let Some(running) = &mut self.running else { return false };
        let line = tokio::time::timeout(Duration::from_millis(1), running.told.next_line());
        matches!(line.await, Ok(Ok(Some(line))) if line.contains("halted"))
    }

    /// SIGKILL: no chance to say goodbye.
    pub(super) async fn kill(&mut self) -> anyhow::Result<u32> {
        let mut running = self.running.take().context("nobody runs")?;
        running.child.kill().await?;
        Ok(running.pid)
    }
}

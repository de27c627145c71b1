//! What a job costs among many: time, memory and bytes on disk, a tenth of them at a time.

use std::path::{Path, PathBuf};
use std::time::Instant;

use super::Teller;

/// Where it stood when a tenth of the jobs was done.
struct Mark {
    done: u32,
    at: Instant,
    resident: Option<u64>,
    stored: u64,
}

/// Counts jobs as they are done.
pub(super) struct Load {
    /// Whose database it is.
    dir: PathBuf,
    jobs: u32,
    done: u32,
    marks: Vec<Mark>,
}

impl Load {
    /// Nothing is done yet. `dir` holds the database of whoever has the jobs done.
    pub(super) fn new(dir: &Path, jobs: u32) -> Self {
        let mut load = Self { dir: dir.to_owned(), jobs, done: 0, marks: Vec::new() };
        load.mark();
        load
    }

    /// One more.
    pub(super) fn one(&mut self) {
        self.done += 1;
        if self.done.is_multiple_of((self.jobs / 10).max(1)) {
            self.mark();
        }
    }

    #[expect(clippy::disallowed_methods, reason = "a story measures itself")]
    fn mark(&mut self) {
        let (resident, stored) = (resident(), stored(&self.dir));
        self.marks.push(Mark { done: self.done, at: Instant::now(), resident, stored });
    }

    /// Of each tenth, oldest first: milliseconds a job, and after it what the process holds in memory and
    /// the database on disk, in bytes.
    pub(super) fn tell(&self, teller: &mut Teller<'_>) {
        let each = self.marks.windows(2).map(|pair| {
            let [a, b] = pair else { return 0.0 };
            let took = b.at.duration_since(a.at).as_secs_f64() * 1000.0;
            (took / f64::from(b.done - a.done) * 10.0).round() / 10.0
        });
        teller.tell("ms_per_job", each.collect::<Vec<_>>());
        let resident: Option<Vec<u64>> = self.marks.iter().map(|mark| mark.resident).collect();
        if let Some(resident) = resident {
            teller.tell("resident_bytes", resident);
        }
        teller.tell("stored_bytes", self.marks.iter().map(|mark| mark.stored).collect::<Vec<_>>());
    }
}

/// What this process holds in memory, where the system says so (`/proc` of Linux), in bytes.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// The size of the database, with what is not yet written back into it, in bytes.
fn stored(dir: &Path) -> u64 {
    let size = |name: &str| std::fs::metadata(dir.join(name)).map_or(0, |about| about.len());
    size("store.sqlite") + size("store.sqlite-wal")
}

//! `earnest files`: the files of a job, where they lie, and copies of them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use crate::cli::complete;
use crate::cli::session::{Session, wait_until};
use crate::cli::{Column, Exit, Failure, Out, name};
use crate::engine::JobView;
use crate::market::{BidId, Role};
use crate::text::{Align, Clean, Raw, file_name, truncate};

/// Show the files of a job and where they lie, or copy them out.
#[derive(Debug, clap::Args)]
pub(crate) struct Files {
    /// The job, or the beginning of its id
    #[arg(add = complete::jobs())]
    job: String,
    /// Copy them into this folder; nothing there is ever overwritten
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Seconds to wait for files that are being fetched; 0 does not wait
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    wait: u64,
}

/// One file, for programs.
#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Shown {
    job: BidId,
    /// `input` or `deliverable`.
    what: &'static str,
    from: Role,
    name: Clean,
    bytes: u64,
    /// `here`, `sealed` until it is paid, or `fetching`.
    state: &'static str,
    path: Option<PathBuf>,
    copy: Option<PathBuf>,
}

const COLUMNS: [Column; 6] = [
    Column { name: "what", align: Align::Left },
    Column { name: "from", align: Align::Left },
    Column { name: "bytes", align: Align::Right },
    Column { name: "state", align: Align::Left },
    Column { name: "name", align: Align::Left },
    Column { name: "where", align: Align::Left },
];

fn is_coming(job: &JobView) -> bool {
    let open = !job.phase.is_over();
    let material = job.materials.iter().any(|m| m.path.is_none());
    let sealed = job.role == Role::Requester
        && job.delivery.as_ref().is_some_and(|d| d.manifest.is_some() && !d.inspected);
    open && (material || sealed)
}

fn all(job: &JobView) -> Vec<Shown> {
    let id = job.id;
    let state = |path: &Option<PathBuf>| if path.is_some() { "here" } else { "fetching" };
    let mut all: Vec<Shown> = job
        .materials
        .iter()
        .map(|m| Shown {
            job: id,
            what: "input",
            from: m.from,
            name: m.name.clone(),
            bytes: m.size,
            state: state(&m.path),
            path: m.path.clone(),
            copy: None,
        })
        .collect();
    if let Some(delivery) = job.delivery.as_ref().filter(|d| d.manifest.is_some()) {
        let path = match job.role {
            Role::Worker => delivery.source.clone(),
            Role::Requester => delivery.output.clone(),
        };
        let state = match (&path, delivery.inspected) {
            (Some(_), _) => "here",
            (None, true) => "sealed",
            (None, false) => "fetching",
        };
        let (name, bytes) = (delivery.name.clone(), delivery.size);
        let (what, from, copy) = ("deliverable", Role::Worker, None);
        all.push(Shown { job: id, what, from, name, bytes, state, path, copy });
    }
    all
}

impl Files {
    pub(crate) fn run(&self, session: &Session, out: &mut Out) -> Result<Exit, Failure> {
        session.with_jobs(out, "earnest files", async |handle, out| {
            let now = handle.watch().borrow().clone();
            let id = name::job(&now, &self.job)?.id;
            let patience = Duration::from_secs(self.wait);
            wait_until(handle, patience, |now| now.jobs.get(&id).is_none_or(|job| !is_coming(job)))
                .await;
            let now = handle.watch().borrow().clone();
            let job = name::job(&now, &id.to_string())?;
            let mut files = all(&job);
            if let Some(dir) = &self.out {
                fs::create_dir_all(dir).map_err(|why| not_copied(dir, &why))?;
                for file in &mut files {
                    if let Some(path) = &file.path {
                        file.copy = Some(copy(path, dir, &file.name)?);
                    }
                }
            }
            let mut rows = Vec::new();
            for file in &files {
                out.record(file)?;
                let at = file.copy.as_ref().or(file.path.as_ref());
                rows.push(vec![
                    file.what.to_owned(),
                    if file.from == job.role { "you" } else { "them" }.to_owned(),
                    file.bytes.to_string(),
                    file.state.to_owned(),
                    truncate(file.name.or("(no name)"), 40).into_owned(),
                    at.map(|at| at.display().to_string()).unwrap_or_default(),
                ]);
            }
            out.table(&COLUMNS, &rows, "This job has no files yet.")?;
            let coming = files.iter().filter(|file| file.state == "fetching").count();
            if coming > 0 {
                let said =
                    format!("{coming} of them are not here yet. They come while both sides run.");
                out.say(&said)?;
            }
            Ok(Exit::Done)
        })
    }
}

fn not_copied(at: &Path, why: &io::Error) -> Failure {
    let said = format!("{} cannot be written: {why}. No money moved.", at.display());
    Failure::new(Exit::Failed, "not-copied", said)
}

/// Copies under a safe form of the name that nothing has there yet. A stranger's file is never made
/// executable.
fn copy(from: &Path, dir: &Path, called: &Clean) -> Result<PathBuf, Failure> {
    let called = file_name(&Raw::from(called.as_str())).to_string();
    let (stem, end) = match called.rsplit_once('.') {
        Some((stem, end)) if !stem.is_empty() => (stem, format!(".{end}")),
        _ => (called.as_str(), String::new()),
    };
    let mut source = fs::File::open(from).map_err(|why| not_copied(from, &why))?;
    for n in 0..1_000u32 {
        let number = if n == 0 { String::new() } else { format!("-{n}") };
        let to = dir.join(format!("{stem}{number}{end}"));
        match fs::File::create_new(&to) {
            Ok(mut file) => {
                io::copy(&mut source, &mut file).map_err(|why| not_copied(&to, &why))?;
                return Ok(to);
            }
            Err(why) if why.kind() == io::ErrorKind::AlreadyExists => {}
            Err(why) => return Err(not_copied(&to, &why)),
        }
    }
    let full = io::Error::other("there are a thousand files of that name");
    Err(not_copied(&dir.join(called), &full))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_overwrites_nothing_and_stays_in_its_folder() {
        let dir = tempfile::tempdir().unwrap();
        let from = dir.path().join("source");
        fs::write(&from, "new").unwrap();
        let out = dir.path().join("out");
        fs::create_dir(&out).unwrap();
        fs::write(out.join("a.csv"), "old").unwrap();
        let called = |name: &str| Raw::from(name).clean(crate::text::Limit::TITLE);
        assert_eq!(copy(&from, &out, &called("a.csv")).unwrap(), out.join("a-1.csv"));
        assert_eq!(fs::read_to_string(out.join("a.csv")).unwrap(), "old");
        assert_eq!(fs::read_to_string(out.join("a-1.csv")).unwrap(), "new");
        for hostile in ["../../etc/passwd", "/etc/passwd", "..", "", "-rf", ".bashrc"] {
            let to = copy(&from, &out, &called(hostile)).unwrap();
            assert_eq!(to.parent(), Some(out.as_path()), "{hostile}");
        }
        assert_eq!(&*copy(&out.join("none"), &out, &called("b")).unwrap_err().code, "not-copied");
    }
}

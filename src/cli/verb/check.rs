//! `earnest check`: runs a pinned check on a file, or says what a check is called.

use std::path::PathBuf;

use serde::Serialize;

use crate::cli::session::{Session, read_bytes, sentence};
use crate::cli::{Exit, Failure, Out};
use crate::text::{Limit, Raw};
use crate::verify::{BadCheck, Check, Checker, MAX_CHECK, Scope, Verdict};

/// Run a check on a file, or name one.
///
/// A check is what a gig pins its deliveries with: an exact hash, a JSON schema, declared rules or a WASM
/// predicate. Its verdict is the same on every machine. Nothing is sent and no money is touched.
#[derive(Debug, clap::Args)]
pub(crate) struct CheckVerb {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Run a check on a file
    ///
    /// Exits 0 if the file passes, 1 if it fails, and 3 if the check cannot say. A check of scope `chunk`
    /// is run on the whole file here, as if it were one record.
    Run {
        /// The check, JSON
        check: PathBuf,
        /// The file, or - for stdin
        file: PathBuf,
    },
    /// Name a check: the hash that terms and manifests pin it with
    Hash {
        /// The check, JSON, or - for stdin
        check: PathBuf,
    },
}

#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Ran<'a> {
    check: String,
    kind: &'a str,
    scope: Scope,
    #[serde(flatten)]
    verdict: &'a Verdict,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Named<'a> {
    body: &'a str,
    bytes: usize,
    check: String,
    kind: &'a str,
    scope: Scope,
}

impl CheckVerb {
    pub(crate) fn run(&self, _: &Session, out: &mut Out) -> Result<Exit, Failure> {
        match &self.what {
            What::Run { check, file } => run(&read(check)?, file, out),
            What::Hash { check } => name(&read(check)?, out),
        }
    }
}

fn read(path: &std::path::Path) -> Result<Check, Failure> {
    let bytes = read_bytes(path, MAX_CHECK as u64)?;
    // A person may write it in any order and spacing: only its canonical form has a name.
    Check::from_any_json(&bytes).map_err(|why: BadCheck| {
        let said =
            format!("{}: {}.", path.display(), sentence(&why.to_string()).trim_end_matches('.'));
        Failure::new(Exit::Usage, why.code(), said).next("earnest help check")
    })
}

fn name(check: &Check, out: &mut Out) -> Result<Exit, Failure> {
    let body = String::from_utf8_lossy(&check.to_json()).into_owned();
    let hash = check.hash().to_string();
    out.record(&Named {
        bytes: body.len(),
        body: &body,
        check: hash.clone(),
        kind: check.word(),
        scope: check.scope,
    })?;
    out.line(&hash)?;
    Ok(Exit::Done)
}

fn run(check: &Check, file: &std::path::Path, out: &mut Out) -> Result<Exit, Failure> {
    let unreadable = |why: std::io::Error| {
        let exit = match why.kind() {
            std::io::ErrorKind::NotFound => Exit::NotFound,
            _ => Exit::Failed,
        };
        Failure::new(exit, "unreadable", format!("{} cannot be read: {why}.", file.display()))
    };
    let checker = Checker::new(check)
        .map_err(|why| Failure::new(Exit::Usage, why.code(), sentence(&why.to_string())))?;
    let verdict = if file == std::path::Path::new("-") {
        checker.read(std::io::stdin().lock()).map_err(unreadable)?
    } else {
        checker.read(std::fs::File::open(file).map_err(unreadable)?).map_err(unreadable)?
    };
    out.record(&Ran {
        check: check.hash().to_string(),
        kind: check.word(),
        scope: check.scope,
        verdict: &verdict,
    })?;
    let clean = |text: &str| Raw::from(text).clean(Limit::TITLE).to_string();
    let (line, exit) = match &verdict {
        Verdict::Pass => ("pass".to_owned(), Exit::Done),
        Verdict::Fail { reason, place } if place.is_empty() => {
            (format!("fail: {}", clean(reason)), Exit::Failed)
        }
        Verdict::Fail { reason, place } => {
            (format!("fail: {}: {}", clean(place), clean(reason)), Exit::Failed)
        }
        Verdict::None { reason } => (
            format!(
                "no verdict: {}\n  It says nothing against anybody, and nothing for anybody.",
                clean(reason)
            ),
            Exit::Refused,
        ),
    };
    out.line(&line)?;
    Ok(exit)
}

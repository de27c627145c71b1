//! `earnest verify-proof`: judges a fraud proof with nothing but the proof.

use std::path::PathBuf;

use serde::Serialize;

use crate::app::Judgement;
use crate::cli::session::{Session, read_bytes, sentence};
use crate::cli::{Exit, Failure, Out};
use crate::market::Offence;

/// More than any proof or event that carries one.
const LONGEST: u64 = 512 * 1024;

/// Judge a fraud proof, offline.
///
/// Takes the proof's JSON or the Nostr event (kind 3922) that published it. Exits 0 if it proves that somebody
/// signed what convicts it: a delivery that its own key does not open, or that does not pass a check which it
/// signed with it, or two things of which only one can be. Exits 1 if it proves nothing.
#[derive(Debug, clap::Args)]
pub(crate) struct VerifyProof {
    /// The file, or - for stdin
    file: PathBuf,
}

#[derive(Default, Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Judged {
    verdict: &'static str,
    identity: Option<String>,
    job: Option<String>,
    manifest: Option<String>,
    tranche: Option<u32>,
    offence: Option<Offence>,
    code: String,
    reason: String,
}

impl VerifyProof {
    pub(crate) fn run(&self, _: &Session, out: &mut Out) -> Result<Exit, Failure> {
        let bytes = read_bytes(&self.file, LONGEST)?;
        let (judged, exit) = match crate::app::verify_proof(&bytes) {
            Ok(Judgement::Guilty { against, job, offence, record, tranche }) => {
                let part = tranche.map(|t| format!("\n  tranche   {t}")).unwrap_or_default();
                out.line(&format!(
                    "guilty: {}\n  {}.\n  job       {job}\n  record    {record}{part}",
                    crate::app::npub(&against),
                    offence.words(),
                ))?;
                let judged = Judged {
                    verdict: "guilty",
                    identity: Some(against.to_string()),
                    job: Some(job.to_string()),
                    manifest: Some(record.to_string()),
                    tranche,
                    offence: Some(offence),
                    code: "proof.guilty".into(),
                    reason: format!("it {}", offence.words()),
                };
                (judged, Exit::Done)
            }
            Ok(Judgement::Invalid { code, reason }) => (invalid(code, reason), Exit::Failed),
            Err(why) => (invalid(why.code.as_str(), why.sentence), Exit::Failed),
        };
        if exit == Exit::Failed {
            out.line(&format!(
                "invalid: {}\n  It says nothing against anybody, and nothing for anybody.",
                sentence(&judged.reason)
            ))?;
        }
        out.record(&judged)?;
        Ok(exit)
    }
}

fn invalid(code: &str, reason: String) -> Judged {
    Judged { verdict: "invalid", code: code.to_owned(), reason, ..Judged::default() }
}

//! `earnest verify-proof`: judges a fraud proof with nothing but the proof.

use std::path::PathBuf;

use serde::Serialize;

use crate::cli::session::{Session, read_bytes, sentence};
use crate::cli::{Exit, Failure, Out};
use crate::market::Pubkey;
use crate::seal::Verdict;

/// More than any proof or event that carries one.
const LONGEST: u64 = 128 * 1024;

/// Judge a fraud proof, offline.
///
/// Takes the proof's JSON or the Nostr event (kind 3922) that published it. Exits 0 if it proves that the
/// worker's own key does not open what the worker signed, and 1 if it proves nothing.
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
    code: String,
    reason: String,
}

impl VerifyProof {
    pub(crate) fn run(&self, _: &Session, out: &mut Out) -> Result<Exit, Failure> {
        let bytes = read_bytes(&self.file, LONGEST)?;
        let (judged, exit) = match crate::app::verify_proof(&bytes) {
            Ok(Verdict::Guilty { identity, job, d, t }) => {
                out.line(&format!(
                    "guilty: {}\n  signed a delivery that its own paid key does not open.\n  job       {}\n  manifest  {}\n  tranche   {t}",
                    crate::app::npub(&Pubkey(*identity.as_bytes())),
                    hex::encode(job.as_bytes()),
                    hex::encode(d.as_bytes()),
                ))?;
                let judged = Judged {
                    verdict: "guilty",
                    identity: Some(hex::encode(identity.as_bytes())),
                    job: Some(hex::encode(job.as_bytes())),
                    manifest: Some(hex::encode(d.as_bytes())),
                    tranche: Some(t),
                    code: "proof.guilty".into(),
                    reason: "the worker's own key does not open what the worker signed".into(),
                };
                (judged, Exit::Done)
            }
            Ok(Verdict::Invalid(flaw)) => (invalid(flaw.code(), flaw.to_string()), Exit::Failed),
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

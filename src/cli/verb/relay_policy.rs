//! `earnest relay-policy`: the same rules as `earnest relay`, as a plugin of strfry.

use std::io::{self, BufRead as _, Read as _, Write as _};
use std::path::PathBuf;

use crate::cli::session::Session;
use crate::cli::{Exit, Failure, Out};
use crate::engine::Clock as _;
use crate::relay::{Policy, Settings, Wall};

/// The longest line that is read; the rest of a longer one is skipped.
const LONGEST: u64 = 1 << 20;

/// Judge events for strfry, one JSON object a line on stdin, one on stdout.
///
/// In strfry.conf, as relay.writePolicy.plugin:
/// "/usr/local/bin/earnest relay-policy --config /etc/strfry/earnest-relay.toml"
#[derive(Debug, clap::Args)]
pub(crate) struct RelayPolicy {
    /// The file with the rules, as for earnest relay; the defaults if left out
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl RelayPolicy {
    pub(crate) fn run(&self, _: &Session, out: &mut Out) -> Result<Exit, Failure> {
        let settings = match &self.config {
            Some(file) => super::relay::settings(file)?,
            None => Settings::default(),
        };
        let mut policy = Policy::new(&settings);
        let (mut asked, mut told) = (io::stdin().lock(), io::stdout().lock());
        let mut line = Vec::new();
        loop {
            line.clear();
            if (&mut asked).take(LONGEST).read_until(b'\n', &mut line)? == 0 {
                // strfry has gone, and so do we.
                return Ok(Exit::Done);
            }
            if !line.ends_with(b"\n") && line.len() as u64 == LONGEST {
                skip_line(&mut asked)?;
                out.say("A line that is longer than any request was skipped.")?;
                continue;
            }
            let text = String::from_utf8_lossy(&line);
            if text.trim().is_empty() {
                continue;
            }
            match policy.judge(text.trim(), Wall.now()) {
                Ok(verdict) => {
                    // strfry reads its own form, so this is no record of `Out`'s.
                    let verdict = serde_json::to_string(&verdict).map_err(io::Error::from)?;
                    writeln!(told, "{verdict}")?;
                    told.flush()?;
                }
                Err(why) => out.say(&why)?,
            }
        }
    }
}

/// Reads to the end of a line, a little at a time.
fn skip_line(from: &mut impl io::BufRead) -> io::Result<()> {
    loop {
        let there = from.fill_buf()?;
        let (end, count) = match there.iter().position(|byte| *byte == b'\n') {
            Some(at) => (true, at + 1),
            None => (there.is_empty(), there.len()),
        };
        from.consume(count);
        if end {
            return Ok(());
        }
    }
}

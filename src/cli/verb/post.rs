//! `earnest post`: publishes a gig, or shows what strangers would see of it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::time::Duration;

use serde::Serialize;

use crate::cli::draft::{self, Written};
use crate::cli::session::{Session, read_bytes, runtime, wait_until};
use crate::cli::{Exit, Failure, Out, name};
use crate::engine::Command;
use crate::market::{DRAFT_TEMPLATE as TEMPLATE, EventId, JudgeTerms, LONGEST_DRAFT as LONGEST};

/// Publish a gig.
///
/// The gig is read from a TOML file, from stdin (-), or from your editor ($VISUAL, $EDITOR).
/// `earnest help post` shows how one is written.
#[derive(Debug, clap::Args)]
pub(crate) struct Post {
    /// The file that describes the gig, or - for stdin; your editor if left out
    file: Option<PathBuf>,
    /// Show exactly what strangers will see; publish nothing
    #[arg(long)]
    dry_run: bool,
    /// Seconds to wait for a relay
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    wait: u64,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Shown<'a> {
    dry_run: bool,
    tags: &'a [Vec<String>],
    content: &'a str,
    bytes: usize,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Posted {
    gig: EventId,
    published: bool,
}

impl Post {
    pub(crate) fn run(&self, session: &Session, out: &mut Out) -> Result<Exit, Failure> {
        let config = session.config()?;
        if config.relays.is_empty() {
            let said =
                "No relay is configured, so nobody could see the gig. Nothing was published.";
            return Err(Failure::new(Exit::Usage, "no-relay", said).next("Give --relay URL"));
        }
        let mut written = self.written(session, out)?;
        if let Some(listing) = written.judge.clone() {
            let judge = self.judge(session, &listing, out)?;
            written.draft.before(judge);
        }
        if self.dry_run {
            return self.show(session, &written, out);
        }
        written.draft.check(crate::app::now()).map_err(crate::engine::Trouble::from)?;
        let Written { draft, inputs, .. } = written;
        let patience = Duration::from_secs(self.wait);
        session.with_engine(out, "earnest post", async |handle, out| {
            let gig = handle.ask(Command::Post { draft, inputs, key: None }).await?.log;
            let mut refused = false;
            let published = wait_until(handle, patience, |now| {
                let Some(post) = now.posts.iter().find(|post| post.id == gig) else { return false };
                refused = post.pending.iter().any(|effect| effect.parked);
                refused || post.pending.is_empty()
            })
            .await;
            out.record(&Posted { gig, published: published && !refused })?;
            out.line(&gig.to_string())?;
            if refused {
                let said = format!("No relay takes the gig {}: every one refused it for good.", gig.short());
                return Err(Failure::new(Exit::Failed, "relays-refuse", said)
                    .next("Post it again with other relays: --relay URL")
                    .next("earnest doctor"));
            }
            if !published {
                let said = format!(
                    "The gig {} is signed and kept, but no relay has taken it yet. It goes out at the next start; do not post it again.",
                    gig.short()
                );
                return Err(Failure::new(Exit::Offline, "not-yet-published", said).next("earnest doctor"));
            }
            out.say("Published. Bids come in while earnest runs.")?;
            Ok(Exit::Done)
        })
    }

    fn written(&self, session: &Session, out: &mut Out) -> Result<Written, Failure> {
        let now = crate::app::now();
        let Some(file) = &self.file else { return in_editor(session, out) };
        let bytes = read_bytes(file, LONGEST)?;
        let (name, beside) = match file.to_str() {
            Some("-") => ("stdin".to_owned(), Path::new("")),
            _ => (file.display().to_string(), file.parent().unwrap_or(Path::new(""))),
        };
        draft::read(text_of(&bytes, &name)?, &name, beside, now)
    }

    /// The judge whose listing begins so.
    fn judge(
        &self,
        session: &Session,
        listing: &str,
        out: &mut Out,
    ) -> Result<JudgeTerms, Failure> {
        const LIST: &str = "earnest judge list";
        let config = session.config()?;
        let id = name::beginning(listing, LIST)?;
        let patience = Duration::from_secs(self.wait);
        let found = session.with_engine(out, "earnest post", async |handle, out| {
            name::gig(handle, &config, &id, patience, out).await
        })?;
        let gig = found.only("listing of a judge", &id, LIST)?;
        Ok(JudgeTerms { identity: gig.author, listing: gig.id })
    }

    fn show(&self, session: &Session, written: &Written, out: &mut Out) -> Result<Exit, Failure> {
        let config = session.config()?;
        let keys = session.keys(&config, out)?;
        let Written { draft, inputs, .. } = written;
        let shown = runtime()?
            .block_on(crate::app::preview(&config, keys, draft, inputs))
            .map_err(|why| Failure::new(Exit::Failed, "preview", format!("{why:#}")))??;
        let content = shown.content.as_received();
        out.record(&Shown { dry_run: true, tags: &shown.tags, content, bytes: shown.bytes })?;
        for tag in &shown.tags {
            let (name, values) = tag.split_first().map_or(("", [].as_slice()), |(n, v)| (n, v));
            out.line(format!("{name:<13}{}", values.join(" ")).trim_end())?;
        }
        out.line("")?;
        out.line(content)?;
        out.say(&format!(
            "\n{} bytes, signed by you, for everybody and for good. Inbox key and dates are made when it is published. Nothing was published.",
            shown.bytes
        ))?;
        Ok(Exit::Done)
    }
}

/// The editor on a template. What was written is kept where a mistake is found in it.
fn in_editor(session: &Session, out: &mut Out) -> Result<Written, Failure> {
    let editor = ["VISUAL", "EDITOR"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|v| !v.trim().is_empty()));
    let (Some(editor), true) = (editor, session.may_ask()) else {
        let said = "No gig was given, and there is no terminal or no $EDITOR to write one.";
        return Err(Failure::new(Exit::Usage, "no-gig", said)
            .next("earnest post FILE.toml")
            .next("earnest help post"));
    };
    let mut file = tempfile::Builder::new().prefix("earnest-gig-").suffix(".toml").tempfile()?;
    file.write_all(TEMPLATE.as_bytes())?;
    // The person's own words, as every program takes them: a command line, with the file behind it.
    let ended = Process::new("sh")
        .args(["-c", &format!("{editor} \"$1\""), "sh"])
        .arg(file.path())
        .status()?;
    let bytes = read_bytes(file.path(), LONGEST)?;
    if !ended.success() || *bytes == TEMPLATE.as_bytes() {
        let said = "Nothing was written, so nothing was published.";
        return Err(Failure::new(Exit::Failed, "nothing-written", said));
    }
    let name = file.path().display().to_string();
    let beside = std::env::current_dir()?;
    let read = text_of(&bytes, &name)
        .and_then(|text| draft::read(text, &name, &beside, crate::app::now()))
        .and_then(|written| match written.draft.check(crate::app::now()) {
            Ok(()) => Ok(written),
            Err(refusal) => Err(crate::engine::Trouble::from(refusal).into()),
        });
    read.map_err(|failure| match file.keep() {
        Ok((_, kept)) => failure.next(format!("earnest post {}", kept.display())),
        Err(_) => failure,
    })
    .inspect(|written| {
        let title = written.draft.title.trim();
        // The gig is in the market's hands now; a lost line of talk loses nothing.
        let _ = out.say(&format!("Posting: {title}, {}", written.draft.price));
    })
}

fn text_of<'a>(bytes: &'a [u8], name: &str) -> Result<&'a str, Failure> {
    let not_text = |_| Failure::new(Exit::Usage, "bad-gig", format!("{name} is not text."));
    std::str::from_utf8(bytes).map_err(not_text)
}

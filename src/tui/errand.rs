//! Errands: what the model wants asked of the engine, done beside the loop; each comes back as a message.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::engine::{Command, Handle, PersonView, Receipt};
use crate::market::{Attachment, BidId, Digest, LONGEST_DRAFT, Pubkey, WrittenGig};
use crate::text::Raw;
use crate::tui::faucet::{Faucet, coins};
use crate::tui::{Do, Msg, Said};

/// Asks, and answers with what came of it. There is a faucet in a sandbox only.
pub(super) async fn ask(handle: Handle, faucet: Option<Faucet>, what: Do) -> Msg {
    match what {
        Do::Ask(id, command) => {
            let answer = handle.ask(at_home(*command)).await;
            Msg::Answered(id, answer.map_err(Said::from))
        }
        Do::Answer(id, job, document, message) => {
            Msg::Answered(id, answer(&handle, job, document, message).await)
        }
        Do::Find(id, query) => {
            let page = handle.find(*query).await;
            Msg::Found(id, page.map(Into::into).map_err(Said::from))
        }
        Do::Gig(id) => {
            Msg::Gig(id, handle.gig(id).await.map(|gig| gig.map(Box::new)).map_err(Said::from))
        }
        Do::History(job) => Msg::History(job, handle.history(job).await.map_err(Said::from)),
        Do::Wallet(id, command) => {
            Msg::Wallet(id, handle.wallet(*command).await.map_err(Said::from))
        }
        Do::Coins(id) => Msg::Coins(id, coins(&handle, faucet).await),
        Do::Person(who) => Msg::Person(person(&handle, who).await),
        Do::Mutes => Msg::Mutes(None, handle.mutes().await.map_err(Said::from)),
        Do::Mute(who, mute) => {
            let said = match mute {
                true => "Its gigs and bids are not shown any more; what was agreed goes on.",
                false => "Its gigs and bids are shown again.",
            };
            let said = format!("{} {said}", crate::tui::part::person::short(&who));
            Msg::Mutes(Some(said), handle.mute(who, mute).await.map_err(Said::from))
        }
        Do::Payments => Msg::Payments(handle.payments().await.map_err(Said::from)),
        Do::Preview(id, gig) => Msg::Previewed(id, preview(&handle, *gig).await),
        _ => Msg::Wake,
    }
}

async fn person(handle: &Handle, who: Pubkey) -> Result<Box<PersonView>, Said> {
    let found = handle.people(Some(who)).await.map_err(Said::from)?;
    Ok(Box::new(found.into_iter().next().unwrap_or_else(|| PersonView::of(who))))
}

/// Delivers a document that lies nowhere yet: the engine copies the file before it answers.
async fn answer(
    handle: &Handle,
    job: BidId,
    document: String,
    message: String,
) -> Result<Receipt, Said> {
    let failed = |why: std::io::Error| {
        Said::new(format!("The answer cannot be written to a file: {why}. Nothing was sent."))
    };
    let folder = tempfile::tempdir().map_err(failed)?;
    let file = folder.path().join("answer.json");
    let written = std::fs::File::create_new(&file);
    written.and_then(|mut file| file.write_all(document.as_bytes())).map_err(failed)?;
    handle.ask(Command::Deliver { job, file, message }).await.map_err(Said::from)
}

/// What strangers would see, with the files that the text names read and hashed.
async fn preview(
    handle: &Handle,
    gig: WrittenGig,
) -> Result<Box<(WrittenGig, crate::engine::GigView)>, Said> {
    let read = tokio::task::spawn_blocking(move || with_files(gig)).await;
    let (gig, inputs) = read.map_err(|why| Said::new(why.to_string()))?.map_err(Said::new)?;
    let seen = handle.preview(gig.draft.clone(), inputs).await.map_err(Said::from)?;
    Ok(Box::new((gig, crate::engine::GigView::of(&seen))))
}

fn with_files(mut gig: WrittenGig) -> Result<(WrittenGig, Vec<Attachment>), String> {
    let failed = |path: &Path, why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
    if let Some((path, _)) = gig.content_file.take() {
        let path = home(path);
        let size = std::fs::metadata(&path).map_err(|why| failed(&path, &why))?.len();
        if size > LONGEST_DRAFT {
            return Err(failed(&path, &"longer than a listing can be"));
        }
        gig.draft.content = std::fs::read_to_string(&path).map_err(|why| failed(&path, &why))?;
    }
    for check in std::mem::take(&mut gig.checks) {
        let path = home(check.file);
        let size = std::fs::metadata(&path).map_err(|why| failed(&path, &why))?.len();
        if size > crate::verify::MAX_CHECK as u64 {
            return Err(failed(&path, &"longer than a check can be"));
        }
        let bytes = std::fs::read(&path).map_err(|why| failed(&path, &why))?;
        let pinned = crate::engine::pin(&bytes).map_err(|why| failed(&path, &why))?;
        if pinned.body.is_none() {
            gig.inputs.push(path);
        }
        gig.draft.pin(check.milestone, pinned);
    }
    let mut inputs = Vec::new();
    for path in &mut gig.inputs {
        *path = home(std::mem::take(path));
        let file = std::fs::File::open(&*path).map_err(|why| failed(path, &why))?;
        let size = file.metadata().map_err(|why| failed(path, &why))?.len();
        if size > crate::engine::MOST_INPUT {
            return Err(failed(path, &"too large for an input file"));
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(file).map_err(|why| failed(path, &why))?;
        let name =
            path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        inputs.push(Attachment { blob: Digest(hasher.finalize().into()), size, name: Raw(name) });
    }
    Ok((gig, inputs))
}

/// `~/` is where a person lives: a field of ours has no shell to say so.
fn home(path: PathBuf) -> PathBuf {
    match (path.strip_prefix("~"), std::env::home_dir()) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path,
    }
}

fn at_home(command: Command) -> Command {
    match command {
        Command::Deliver { job, file, message } => {
            Command::Deliver { job, file: home(file), message }
        }
        other => other,
    }
}

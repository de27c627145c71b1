//! Completion as a shell asks for it: the tree of commands, and the ids of jobs, gigs and people from the
//! owner of the directory, if one runs. Whoever presses Tab waits for nobody and reads no error.

use std::ffi::OsStr;
use std::time::Duration;

use clap::CommandFactory as _;
use clap_complete::CompleteEnv;
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};

use super::args::Args;
use crate::config::Config;
use crate::engine::{GigView, Handle};
use crate::market::{Query, Sort};
use crate::text::truncate;

/// The variable by which a shell asks.
pub(super) const VAR: &str = "COMPLETE";
/// All that the owner may take.
const PATIENCE: Duration = Duration::from_millis(400);
/// The most that is shown.
const MOST: usize = 200;

/// Completes and ends the process, if that is what it was started for.
pub(super) fn of_shell() {
    CompleteEnv::with_factory(Args::command).var(VAR).completer("earnest").complete();
}

/// One thing that can be completed to: its id, and a word about it.
type Row = (String, String);

/// Jobs and bids.
pub(super) fn jobs() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| {
        from_owner(typed, async |handle| {
            let now = handle.watch().borrow().clone();
            let mut jobs: Vec<_> = now.jobs.values().collect();
            jobs.sort_by_key(|job| (job.phase.is_over(), std::cmp::Reverse(job.since)));
            let row = |job: &std::sync::Arc<crate::engine::JobView>| {
                let about = format!("{}, {}: {}", job.phase.word(), job.price, job.title);
                (job.id.to_string(), about)
            };
            jobs.into_iter().map(row).collect()
        })
    })
}

/// Gigs in the book.
pub(super) fn gigs() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| {
        from_owner(typed, async |handle| {
            let Some(config) = config() else { return Vec::new() };
            let mut query = Query::everything(config.network);
            (query.limit, query.sort) = (MOST, Sort::Newest);
            let page = handle.find(query).await.map(|page| page.gigs).unwrap_or_default();
            page.iter().map(|gig| of_gig(&GigView::of(gig))).collect()
        })
    })
}

/// Gigs of ours.
pub(super) fn posts() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| {
        from_owner(typed, async |handle| {
            let now = handle.watch().borrow().clone();
            now.posts.iter().map(|post| of_gig(&post.gig)).collect()
        })
    })
}

/// People of our jobs.
pub(super) fn people() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| {
        from_owner(typed, async |handle| {
            let people = handle.people(None).await.unwrap_or_default();
            let row = |person: &crate::engine::PersonView| {
                let jobs = person.worked + person.gave;
                (crate::app::npub(&person.key), format!("{jobs} jobs, {} settled", person.settled))
            };
            people.iter().map(row).collect()
        })
    })
}

fn of_gig(gig: &GigView) -> Row {
    (gig.id.to_string(), format!("{}: {}", gig.price, gig.title))
}

/// What of the owner's rows begins as typed.
fn from_owner(
    typed: &OsStr,
    ask: impl AsyncFnOnce(&Handle) -> Vec<Row>,
) -> Vec<CompletionCandidate> {
    // What begins so may be half a command line of somebody else's making.
    let Some(typed) = typed.to_str().filter(|typed| typed.len() <= 64) else { return Vec::new() };
    let Some(config) = config() else { return Vec::new() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return Vec::new() };
    let rows = runtime.block_on(async {
        let asked = async {
            let handle = crate::rpc::connect(&config.network_dir()).await.ok()?;
            Some(ask(&handle).await)
        };
        tokio::time::timeout(PATIENCE, asked).await.ok().flatten()
    });
    let rows = rows.unwrap_or_default();
    let fits = rows.into_iter().filter(|(id, _)| id.starts_with(&typed.to_lowercase()));
    let shown = |(id, about): Row| {
        let about = truncate(&about, 60).into_owned();
        CompletionCandidate::new(id).help(Some(about.into()))
    };
    fits.take(MOST).map(shown).collect()
}

/// The configuration of the command that is being typed: its flags stand behind `--`.
fn config() -> Option<Config> {
    let typed: Vec<String> =
        std::env::args_os().map(|arg| arg.to_string_lossy().into_owned()).collect();
    let flag = |name: &str| {
        let with = format!("{name}=");
        let at = typed.iter().rposition(|arg| arg == name || arg.starts_with(&with))?;
        match typed[at].strip_prefix(&with) {
            Some(value) => Some(value.to_owned()),
            None => typed.get(at + 1).cloned(),
        }
    };
    let named = [("data_dir", flag("--data-dir")), ("network", flag("--network"))];
    let given: Vec<_> = named.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
    Config::of_process(&given).ok()
}

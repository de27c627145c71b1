//! `earnest mute`: whose gigs and bids are not shown.

use serde::Serialize;

use crate::cli::complete;
use crate::cli::session::Session;
use crate::cli::{Column, Exit, Failure, Out, name};
use crate::engine::MuteView;
use crate::market::{Pubkey, Time};
use crate::text::Align;

/// Do not show somebody's gigs and bids any more.
///
/// Jobs that are awarded go on. What a muted person publishes is not kept: after --remove it shows when
/// they publish again.
#[derive(Debug, clap::Args)]
pub(crate) struct Mute {
    /// Whom: npub1... or 64 hex digits
    #[arg(add = complete::people(), required_unless_present = "list")]
    key: Option<String>,
    /// Show them again
    #[arg(long, conflicts_with = "list")]
    remove: bool,
    /// Who is muted
    #[arg(long, conflicts_with = "key")]
    list: bool,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Muted {
    npub: String,
    key: Pubkey,
    muted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Time>,
}

const COLUMNS: [Column; 2] =
    [Column { name: "who", align: Align::Left }, Column { name: "muted for", align: Align::Right }];

impl Mute {
    pub(crate) fn run(&self, session: &Session, out: &mut Out) -> Result<Exit, Failure> {
        let who = self.key.as_deref().map(name::person).transpose()?;
        session.with_engine(out, "earnest mute", async |handle, out| {
            let Some(who) = who else {
                return list(&handle.mutes().await?, out);
            };
            let mutes = handle.mute(who, !self.remove).await?;
            let since = mutes.iter().find(|mute| mute.key == who).map(|mute| mute.at);
            let npub = crate::app::npub(&who);
            let muted = since.is_some();
            out.record(&Muted { npub: npub.clone(), key: who, muted, since })?;
            out.line(&match muted {
                true => format!(
                    "{npub} is muted: gigs and bids of theirs are not shown. No money moved."
                ),
                false => format!("{npub} is not muted: new gigs and bids of theirs are shown."),
            })?;
            Ok(Exit::Done)
        })
    }
}

fn list(mutes: &[MuteView], out: &mut Out) -> Result<Exit, Failure> {
    let now = crate::app::now();
    let mut rows = Vec::new();
    for MuteView { key, at } in mutes {
        let npub = crate::app::npub(key);
        out.record(&Muted { npub: npub.clone(), key: *key, muted: true, since: Some(*at) })?;
        rows.push(vec![npub, at.until(now).to_string()]);
    }
    out.table(&COLUMNS, &rows, "Nobody is muted.")?;
    Ok(Exit::Done)
}

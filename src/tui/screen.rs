//! Screens: what each shows, what can be done there, and what an act leads to.
//!
//! The rule: a screen reads the model and the snapshot and changes nothing while it is drawn.

pub(super) mod cases;
mod frame;
pub(super) mod gigs;
mod help;
mod inbox;
pub(super) mod jobs;
mod money;
pub(super) mod people;
pub(super) mod post;
mod relays;
pub(super) mod settings;
pub(super) mod wallet;

use crate::engine::Snapshot;
use crate::tui::keymap::Act;
use crate::tui::part::list::Row;
use crate::tui::{Key, Model, Screen, Stage};

pub use frame::draw;

/// The rows of a screen's list, in order.
pub(super) fn rows(model: &Model, snapshot: &Snapshot) -> Vec<Row> {
    match model.screen {
        Screen::Gigs => gigs::rows(model, snapshot),
        Screen::Post => post::rows(model, snapshot),
        Screen::Jobs => jobs::rows(model, snapshot),
        Screen::Wallet => wallet::rows(model),
        Screen::People => people::rows(model, snapshot),
        Screen::Relays => relays::rows(snapshot),
        Screen::Inbox => inbox::rows(model),
        Screen::Settings => settings::rows(model),
        Screen::Cases => cases::rows(model, snapshot),
    }
}

/// The key of the selected row: the first row when what was selected is gone.
pub(super) fn selected(model: &Model, snapshot: &Snapshot) -> Option<Key> {
    let keys: Vec<Key> = rows(model, snapshot).into_iter().map(|row| row.key).collect();
    let chosen = model.selected.get(&model.screen);
    chosen.filter(|key| keys.contains(key)).or(keys.first()).copied()
}

/// Whether an act has anything to do with what is selected: only then it is shown.
pub(super) fn concerns(model: &Model, snapshot: &Snapshot, act: Act) -> bool {
    // What lies over a screen has keys of its own.
    if !model.layers.is_empty() {
        return true;
    }
    match act {
        Act::Verb(verb) => jobs::chosen(model, snapshot)
            .is_some_and(|job| job.legal.iter().any(|offered| offered.verb == verb)),
        Act::CopyPath if model.screen == Screen::Cases => {
            cases::chosen(model, snapshot).is_some_and(|case| cases::path(case).is_some())
        }
        Act::CopyPath => jobs::chosen(model, snapshot).is_some_and(|job| jobs::path(job).is_some()),
        Act::Rule(_) | Act::CaseNote => {
            cases::chosen(model, snapshot).is_some_and(|case| !case.phase.is_over())
        }
        Act::Faucet => model.faucet,
        Act::Publish => model.drafting.is_some(),
        Act::CloseGig => post::chosen(model, snapshot).is_some(),
        Act::CloseChannel | Act::ForceClose => wallet::channel(model, snapshot).is_some(),
        Act::ToJob if model.screen == Screen::Wallet => job_of(model, snapshot).is_some(),
        Act::Open | Act::CopyId | Act::ToJob | Act::Bid | Act::Mute => {
            selected(model, snapshot).is_some()
        }
        _ => true,
    }
}

/// Whether an act can be done now, and if not, why: a sentence for a person.
pub(super) fn may(model: &Model, snapshot: &Snapshot, act: Act) -> Result<(), String> {
    let needs_engine = matches!(
        act,
        Act::Verb(_)
            | Act::Bid
            | Act::Publish
            | Act::CloseGig
            | Act::Receive
            | Act::Address
            | Act::Pay
            | Act::Faucet
            | Act::OpenChannel
            | Act::CloseChannel
            | Act::ForceClose
            | Act::Rule(_)
            | Act::CaseNote
            | Act::Mute
    );
    if needs_engine {
        match &model.stage {
            Stage::Up => {}
            Stage::Starting => return Err("earnest is still starting. Nothing was sent.".into()),
            Stage::Down(_) => return Err("earnest is not running. Nothing was sent.".into()),
        }
    }
    match act {
        Act::Verb(verb) => jobs::may(model, snapshot, verb),
        Act::Bid => gigs::may_bid(model, snapshot),
        Act::Faucet => wallet::may_ask_coins(model),
        Act::Publish => post::may_publish(model),
        Act::CloseGig => post::may_close(model, snapshot),
        Act::Rule(whose) => cases::may_rule(model, snapshot, whose),
        Act::Mute => people::may_mute(model, snapshot),
        _ => Ok(()),
    }
}

/// Where the notice of a row stands in the inbox.
pub(super) fn notice(model: &Model, n: usize) -> Option<usize> {
    inbox::at(model, n)
}

/// What a notice says here.
pub(super) fn said(notice: &crate::engine::Notice) -> crate::text::Clean {
    inbox::words(notice)
}

/// The job that the selected row of the inbox or of the wallet is about.
pub(super) fn job_of(model: &Model, snapshot: &Snapshot) -> Option<crate::market::BidId> {
    match (model.screen, selected(model, snapshot)?) {
        (Screen::Inbox, Key::Nth(n)) => {
            notice(model, n).and_then(|at| model.inbox.get(at)).map(|(notice, _)| notice.job)
        }
        (Screen::Wallet, Key::Line(_)) => wallet::job(model, snapshot),
        _ => None,
    }
}

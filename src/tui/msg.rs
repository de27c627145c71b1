//! What happens to the model, and what it wants done. Nothing else goes in or out.

use crossterm::event::KeyEvent;

use crate::engine::{
    Command, FactView, Fault, GigView, LedgerRow, MuteView, Notice, PersonView, Receipt, Trouble,
    WalletAnswer, WalletCommand,
};
use crate::market::{BidId, EventId, Gig, Msat, Pubkey, Query, WrittenGig};
use crate::text::{Clean, Limit, Raw};
use crate::tui::Settings;

/// Something happened.
#[derive(Debug)]
pub enum Msg {
    /// A key was pressed.
    Key(KeyEvent),
    /// Text was pasted: it fills a field and presses nothing.
    Paste(String),
    /// A click, in cells from the top left.
    Click(u16, u16),
    /// The wheel: -1 is up.
    Wheel(i32),
    /// The terminal has another size: width, height.
    Resize(u16, u16),
    /// A moment came that the model waits for, or the snapshot changed.
    Wake,
    /// The engine is there.
    Up {
        /// Whether it runs in this process, and so ends with it.
        owner: bool,
    },
    /// The engine cannot start, and why.
    Down(String),
    /// Something worth telling.
    Notice(Notice),
    /// What became of a command.
    Answered(u64, Result<Receipt, Said>),
    /// A window on the book, for the question of that number.
    Found(u64, Result<Found, Said>),
    /// A gig by its id.
    Gig(EventId, Result<Option<Box<GigView>>, Said>),
    /// A job's history.
    History(BidId, Result<Vec<FactView>, Said>),
    /// Somebody that is looked at.
    Person(Result<Box<PersonView>, Said>),
    /// Who is muted now, and what to say of it.
    Mutes(Option<String>, Result<Vec<MuteView>, Said>),
    /// What the wallet says: to a command by hand under its number, else under 0.
    Wallet(u64, Result<WalletAnswer, Said>),
    /// What the faucet gave.
    Coins(u64, Result<Msat, Said>),
    /// The payment ledger.
    Payments(Result<Vec<LedgerRow>, Said>),
    /// What strangers would see of a gig, and the gig with its files read.
    Previewed(u64, Result<Box<(WrittenGig, GigView)>, Said>),
    /// What came out of the editor; `None` if it failed.
    Edited(Result<Option<String>, Said>),
}

/// A window on the book, for eyes.
#[derive(Debug, Clone)]
pub struct Found {
    /// The gigs.
    pub gigs: Vec<GigView>,
    /// Where the next window begins.
    pub next: Option<String>,
}

/// Something to be done outside; its outcome comes back as a [`Msg`].
#[derive(Debug)]
pub enum Do {
    /// Ask the engine.
    Ask(u64, Box<Command>),
    /// Hand over an answer: the job, the document and a message.
    Answer(u64, BidId, String, String),
    /// Ask the book.
    Find(u64, Box<Query>),
    /// Ask for a gig.
    Gig(EventId),
    /// Read a job's history.
    History(BidId),
    /// Read what somebody's record is worth. Relays are asked as well, and so learn whom we look at.
    Person(Pubkey),
    /// Read who is muted.
    Mutes,
    /// Show this author's gigs and bids no more, or again.
    Mute(Pubkey, bool),
    /// Read the ledger.
    Payments,
    /// Ask the wallet.
    Wallet(u64, Box<WalletCommand>),
    /// Ask the faucet for play money.
    Coins(u64),
    /// Show what strangers would see, reading the files that the text names.
    Preview(u64, Box<WrittenGig>),
    /// Put a text on the clipboard.
    Copy(String),
    /// Open the editor on a text.
    Edit(String),
    /// Take clicks, or leave them to the terminal.
    Mouse(bool),
    /// Keep the settings.
    Save(Box<Settings>),
    /// Draw everything anew.
    Redraw,
    /// Stop as the shell does.
    Suspend,
    /// Leave.
    Quit,
}

/// Why something was not done, for eyes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// What happened and whether money is safe.
    pub text: Clean,
    /// What to do next.
    pub next: Option<Clean>,
}

impl Said {
    /// From a sentence. Sentences of a fault may quote a stranger, so they are washed like any other.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: washed(text), next: None }
    }
}

impl From<Trouble> for Said {
    fn from(trouble: Trouble) -> Self {
        let next = match &trouble {
            Trouble::Refused(refusal) => refusal.next.clone(),
            _ => None,
        };
        Self { text: washed(trouble.to_string()), next: next.map(washed) }
    }
}

impl From<Fault> for Said {
    fn from(fault: Fault) -> Self {
        Self::new(fault.to_string())
    }
}

impl From<crate::market::Page> for Found {
    fn from(page: crate::market::Page) -> Self {
        Self {
            gigs: page.gigs.iter().map(GigView::of as fn(&Gig) -> GigView).collect(),
            next: page.next,
        }
    }
}

/// The printable part of a sentence, on one line.
pub(super) fn washed(text: impl Into<String>) -> Clean {
    Raw(text.into()).clean(Limit { chars: 600, ..Limit::TITLE })
}

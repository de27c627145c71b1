//! The model: what the eyes look at and what the hands hold. What the market is, is in the snapshot.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use tui_input::Input;

use crate::engine::{
    ChannelInfo, Command, FactView, GigView, LedgerRow, Movement, NodeStatus, Notice, PersonView,
    Severity, Snapshot, WalletCommand,
};
use crate::market::{BidId, EventId, Msat, Network, Pubkey, Time, WrittenGig};
use crate::text::Clean;
use crate::tui::keymap::{Act, Context};
use crate::tui::palette::Palette;
use crate::tui::part::code::Code;
use crate::tui::part::confirm::Confirm;
use crate::tui::part::form::Form;
use crate::tui::theme::{Depth, NotATheme, Theme};

/// A place with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Screen {
    /// The book.
    Gigs,
    /// Gigs of ours.
    Post,
    /// Both roles.
    Jobs,
    /// Money.
    Wallet,
    /// Whom we worked with.
    People,
    /// What we are connected to.
    Relays,
    /// What was worth telling.
    Inbox,
    /// What can be chosen.
    Settings,
    /// What we judge.
    Cases,
}

impl Screen {
    /// In the order of their keys.
    pub const ALL: [Self; 9] = [
        Self::Gigs,
        Self::Post,
        Self::Jobs,
        Self::Wallet,
        Self::People,
        Self::Relays,
        Self::Inbox,
        Self::Settings,
        Self::Cases,
    ];

    /// Its name.
    pub fn word(self) -> &'static str {
        match self {
            Self::Gigs => "Gigs",
            Self::Post => "Post",
            Self::Jobs => "Jobs",
            Self::Wallet => "Wallet",
            Self::People => "People",
            Self::Relays => "Relays",
            Self::Inbox => "Inbox",
            Self::Settings => "Settings",
            Self::Cases => "Cases",
        }
    }

    /// The next one, or the one before.
    pub(super) fn step(self, by: isize) -> Self {
        let all = Self::ALL.len().cast_signed();
        let at = Self::ALL.iter().position(|s| *s == self).unwrap_or(0).cast_signed();
        Self::ALL[(at + by).rem_euclid(all).cast_unsigned()]
    }
}

/// When something happens: the clock for people, and milliseconds since the start for what is quick.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moment {
    /// Unix time.
    pub now: Time,
    /// Milliseconds since the program began.
    pub ms: u64,
}

/// What a person chose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// The name of a theme.
    pub theme: String,
    /// No glyph beyond ASCII.
    pub ascii: bool,
    /// Clicks and the wheel are ours.
    pub mouse: bool,
    /// Payments above this are confirmed by typing the amount.
    pub type_above: Msat,
    /// The most routing fee for a payment, in parts per million of it, never below [`LEAST_FEE_CAP`].
    pub fee_cap_ppm: u64,
}

/// A fee cap below this finds no route for small payments.
pub const LEAST_FEE_CAP: Msat = match Msat::sats(10) {
    Some(fee) => fee,
    None => Msat::ZERO,
};

impl Default for Settings {
    fn default() -> Self {
        Self {
            theme: "terminal".into(),
            ascii: false,
            mouse: true,
            type_above: Msat::sats(50_000).unwrap_or(Msat::ZERO),
            fee_cap_ppm: 10_000,
        }
    }
}

impl Settings {
    /// The most routing fee for a payment.
    pub fn fee_cap(&self, amount: Msat) -> Msat {
        amount.ppm(self.fee_cap_ppm).max(LEAST_FEE_CAP)
    }
}

/// How far the engine is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// Keys, relays and node are starting.
    Starting,
    /// It runs.
    Up,
    /// It cannot, and why.
    Down(Clean),
}

/// What lies over a screen; the top one has the keys.
#[derive(Debug)]
pub enum Layer {
    /// A question about money, or about what cannot be undone.
    Confirm(Box<Confirm>, Box<Then>),
    /// Something to fill in.
    Form(Box<Form>),
    /// Something to scan or copy.
    Code(Box<Code>),
    /// Every command by name.
    Palette(Palette),
    /// Every key, from this line on.
    Help(usize),
    /// The line at the top of a list is being typed.
    Search,
}

/// What a yes leads to.
#[derive(Debug, Clone)]
pub enum Then {
    /// This is asked of the engine; the words say what it was.
    Ask(Box<Command>, String),
    /// This is asked of the wallet; the words say what is going on.
    Wallet(Box<WalletCommand>, String),
    /// Leave, though something is on its way.
    Quit,
}

/// Something said in passing.
#[derive(Debug, Clone)]
pub struct Toast {
    /// What.
    pub text: Clean,
    /// How much it matters: a warning stays until it is seen.
    pub severity: Severity,
    /// When it was said, in milliseconds.
    pub born: u64,
}

/// How long a toast stays.
pub const TOAST_MS: u64 = 4_000;

/// The book as far as it was read.
#[derive(Debug, Default)]
pub struct Book {
    /// What was found, in the order in which it was asked for.
    pub gigs: Vec<GigView>,
    /// Where the next window begins.
    pub next: Option<String>,
    /// The question that is waited for, and whether it asks for the window after what is known.
    pub asking: Option<(u64, bool)>,
    /// What is wrong with the line, or why there is no answer.
    pub wrong: Option<Clean>,
    /// Whether anything was ever found out.
    pub known: bool,
    /// The line that was answered last.
    pub line: String,
    /// When a relay had last said something as the book was asked.
    pub heard: Option<Time>,
}

/// The wallet as far as it was read.
#[derive(Debug, Default)]
pub struct Purse {
    /// What went in and out, the newest first.
    pub history: Vec<Movement>,
    /// Every channel.
    pub channels: Vec<ChannelInfo>,
    /// Whether the history was ever read.
    pub known: bool,
    /// Whether channels are listed, and not payments.
    pub channels_shown: bool,
    /// The state of the node and of the jobs that both were asked for at.
    pub asked: Option<(u64, Option<NodeStatus>)>,
    /// Why they could not be read.
    pub wrong: Option<Clean>,
}

/// The people as far as they were read.
#[derive(Debug, Default)]
pub struct Circle {
    /// Who is muted; `None` until that was read.
    pub muted: Option<Vec<Pubkey>>,
    /// Whether that was asked for.
    pub asked_muted: bool,
    /// The one that is looked at.
    pub person: Option<Box<PersonView>>,
    /// Who was asked for last, when their jobs had so many facts.
    pub asked: Option<(Pubkey, u64)>,
    /// When to ask once more, in milliseconds: relays answer later than we do.
    pub again: Option<u64>,
}

/// A gig that is being written.
#[derive(Debug)]
pub struct Drafting {
    /// As written.
    pub text: String,
    /// What it says, or what is wrong with it.
    pub read: Result<WrittenGig, Clean>,
    /// What strangers would see, once the engine said so.
    pub preview: Option<Result<Box<GigView>, Clean>>,
    /// The number of the preview that is waited for.
    pub asked: Option<u64>,
}

/// A command that is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// What to say when it is done.
    pub done: String,
    /// Whether it publishes the gig that is being written.
    pub posts: bool,
}

/// Everything that is drawn, but the snapshot.
pub struct Model {
    /// Width and height, in cells.
    pub size: (u16, u16),
    /// The moment of the last message.
    pub at: Moment,
    /// Which chain the money is on.
    pub network: Network,
    /// What this is a window on, when it is not the real market: shown on every screen.
    pub banner: Option<&'static str>,
    /// Whether there is a faucet: in a sandbox.
    pub faucet: bool,
    /// Who opens just-in-time channels, as `id@host:port`: the first to open one with.
    pub lsp: Option<String>,
    /// What a person chose.
    pub settings: Settings,
    /// Themes of the person's own.
    pub own_themes: Vec<Theme>,
    /// The theme of that name.
    pub theme: Theme,
    /// How many colours there are.
    pub depth: Depth,
    /// How far the engine is.
    pub stage: Stage,
    /// Whether the engine runs in this process, and so ends with it.
    pub owner: bool,
    /// Where we are.
    pub screen: Screen,
    /// What lies over it.
    pub layers: Vec<Layer>,
    /// Whether the selected thing is open: it has the keys, and on a narrow terminal the space.
    pub open: bool,
    /// How far the open thing is scrolled.
    pub scroll: usize,
    /// The line at the top of each list.
    pub lines: BTreeMap<Screen, Input>,
    /// The selected row of each list, by what it is about.
    pub selected: BTreeMap<Screen, Key>,
    /// The book.
    pub book: Book,
    /// Gigs of jobs, as far as they were asked for; `None` while or where there is none.
    pub gigs: BTreeMap<EventId, Option<GigView>>,
    /// When a relay last said something.
    pub heard: Option<Time>,
    /// The history of the job that is looked at, and of how many facts it was.
    pub history: Option<(BidId, u64, Vec<FactView>)>,
    /// The history that was asked for.
    pub history_asked: Option<(BidId, u64)>,
    /// What was read of the people.
    pub circle: Circle,
    /// The ledger of jobs.
    pub ledger: Vec<LedgerRow>,
    /// Everything else of the wallet.
    pub purse: Purse,
    /// The gig that is being written.
    pub drafting: Option<Drafting>,
    /// Everything told, newest first, and whether it was seen.
    pub inbox: VecDeque<(Notice, bool)>,
    /// What is said in passing.
    pub toasts: Vec<Toast>,
    /// Commands that are waited for, and what each was.
    pub asked: BTreeMap<u64, Pending>,
    /// What an LSP may keep of a payment: parts per million, and the floor that applies whatever they say.
    pub lsp_fee_cap: (u64, Msat),
    /// What can be clicked, as last drawn.
    pub hits: Vec<(ratatui::layout::Rect, Act)>,
    /// Rows of the list, as last drawn: a page.
    pub page: usize,
    counter: u64,
}

/// What a row is about. A selection is by this, never by place, so that a new row moves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// A gig, a job.
    Event(EventId),
    /// A person.
    Person(Pubkey),
    /// A payment or a channel, by the hash of its name.
    Line([u8; 32]),
    /// The n-th of a list that only grows at its end or is fixed.
    Nth(usize),
}

impl Model {
    /// At the start.
    pub fn new(network: Network, settings: Settings, size: (u16, u16)) -> Self {
        let theme = Theme::named(&settings.theme)
            .or_else(|_| Theme::named("terminal"))
            .unwrap_or_else(|_| Theme::plain());
        Self {
            size,
            at: Moment::default(),
            network,
            banner: None,
            faucet: false,
            lsp: None,
            settings,
            own_themes: Vec::new(),
            theme,
            depth: Depth::True,
            stage: Stage::Starting,
            owner: false,
            screen: Screen::Gigs,
            layers: Vec::new(),
            open: false,
            scroll: 0,
            lines: BTreeMap::new(),
            selected: BTreeMap::new(),
            book: Book::default(),
            gigs: BTreeMap::new(),
            heard: None,
            history: None,
            history_asked: None,
            circle: Circle::default(),
            ledger: Vec::new(),
            purse: Purse::default(),
            drafting: None,
            inbox: VecDeque::new(),
            toasts: Vec::new(),
            asked: BTreeMap::new(),
            lsp_fee_cap: (0, Msat::ZERO),
            hits: Vec::new(),
            page: 10,
            counter: 0,
        }
    }

    /// Where keys mean something now.
    pub fn context(&self) -> Context {
        match self.layers.last() {
            None => Context::On(self.screen),
            Some(Layer::Confirm(..)) => Context::Confirm,
            Some(Layer::Form(_)) => Context::Form,
            Some(Layer::Code(_)) => Context::Code,
            Some(Layer::Palette(_)) => Context::Palette,
            Some(Layer::Help(_)) => Context::Help,
            Some(Layer::Search) => Context::Search,
        }
    }

    /// Looks as the theme of that name, the person's own before what is shipped.
    ///
    /// # Errors
    /// When there is none: looks stay as they are.
    pub fn wear(&mut self, name: &str) -> Result<(), NotATheme> {
        self.theme = match self.own_themes.iter().find(|theme| theme.name == name) {
            Some(own) => own.clone(),
            None => Theme::named(name)?,
        };
        Ok(())
    }

    /// What is typed at the top of a list.
    pub fn line(&self, screen: Screen) -> &str {
        self.lines.get(&screen).map_or("", Input::value)
    }

    /// A number that was not used before.
    pub(super) fn fresh(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    /// Says something in passing.
    pub fn say(&mut self, severity: Severity, text: impl Into<String>) {
        let text = crate::tui::msg::washed(text);
        if self.toasts.last().is_some_and(|last| last.text == text) {
            self.toasts.pop();
        }
        self.toasts.push(Toast { text, severity, born: self.at.ms });
        if self.toasts.len() > 3 {
            self.toasts.remove(0);
        }
    }

    /// Notices that were not seen.
    pub fn unread(&self) -> usize {
        self.inbox.iter().filter(|(_, seen)| !seen).count()
    }

    /// The next moment, in milliseconds, at which the screen changes by itself; `None` while only the
    /// world can change it.
    pub fn wake(&self, snapshot: &Snapshot) -> Option<u64> {
        let toast = self
            .toasts
            .iter()
            .filter(|toast| toast.severity < Severity::Warn)
            .map(|toast| toast.born + TOAST_MS);
        let deadline = match self.screen {
            Screen::Jobs => snapshot
                .jobs
                .values()
                .filter_map(|job| job.deadline)
                .filter(|at| *at > self.at.now)
                .map(|at| {
                    // The text shows two units: seconds only in the last hour.
                    let left = self.at.now.until(at).0;
                    if left < 3_600 { 1 } else { left % 60 + 1 }
                })
                .min()
                .map(|seconds| self.at.ms + seconds * 1_000),
            _ => None,
        };
        let again = self.circle.again.filter(|_| self.screen == Screen::People);
        toast.chain(deadline).chain(again).min()
    }
}

//! The keymap: one table from which keys act, the footer is drawn and the help page is printed.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::market::{Role, Verb};
use crate::tui::Screen;

/// Where a key means something. A screen's keys come before the global ones; a layer has only its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Context {
    /// On every screen.
    Global,
    /// On one screen.
    On(Screen),
    /// While a search or a filter is typed.
    Search,
    /// While a question waits for yes or no.
    Confirm,
    /// While a form is filled in.
    Form,
    /// While something to scan is shown.
    Code,
    /// While the palette is open.
    Palette,
    /// While the help page is open.
    Help,
}

/// What can be done. Data: it can be shown, tested and sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Act {
    /// To a screen.
    Go(Screen),
    /// To the next screen.
    Next,
    /// To the one before.
    Previous,
    /// One up.
    Up,
    /// One down.
    Down,
    /// A page up.
    PageUp,
    /// A page down.
    PageDown,
    /// To the first.
    Top,
    /// To the last.
    Bottom,
    /// This row, by a click.
    Row(usize),
    /// Into what is selected.
    Open,
    /// Out of it.
    Back,
    /// Type a search or a filter.
    Search,
    /// Every command by name.
    Palette,
    /// Every key.
    Help,
    /// Leave.
    Quit,
    /// Stop the program as the shell does.
    Suspend,
    /// Draw everything anew.
    Redraw,
    /// A verb of the selected job.
    Verb(Verb),
    /// Bid on the selected gig.
    Bid,
    /// Copy the id of what is selected.
    CopyId,
    /// Copy where the file lies.
    CopyPath,
    /// Begin a gig in the editor.
    Write,
    /// Begin a gig in a form.
    Fill,
    /// Publish the gig that was written.
    Publish,
    /// Take no more bids on a gig of ours.
    CloseGig,
    /// To the job that a row is about.
    ToJob,
    /// Make an invoice.
    Receive,
    /// An address on the chain.
    Address,
    /// Pay somebody.
    Pay,
    /// Channels instead of payments, or back.
    Channels,
    /// Play money, in a sandbox.
    Faucet,
    /// Open a channel.
    OpenChannel,
    /// Close the selected channel together with the other side.
    CloseChannel,
    /// Close it without the other side.
    ForceClose,
    /// Mark everything as seen.
    Seen,
    /// Another value for a setting.
    Change,
    /// End the selected case for this side.
    Rule(Role),
    /// Write to both sides of the selected case.
    CaseNote,
    /// Show no more gigs and bids of whoever is selected, or show them again.
    Mute,
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Bind {
    /// Where.
    pub context: Context,
    /// Any of these; the first is shown.
    pub keys: &'static [&'static str],
    /// What it does.
    pub act: Act,
    /// In a word or two.
    pub words: &'static str,
    /// From 0, which a narrow footer keeps longest; `None` stands in the help page only.
    pub rank: Option<u8>,
}

const fn bind(
    context: Context,
    keys: &'static [&'static str],
    act: Act,
    words: &'static str,
    rank: Option<u8>,
) -> Bind {
    Bind { context, keys, act, words, rank }
}

use Context::{Global, On};
use Screen::{Cases, Gigs, Inbox, Jobs, People, Post, Relays, Settings, Wallet};

/// Every key there is.
pub const KEYMAP: &[Bind] = &[
    bind(Global, &["?", "f1"], Act::Help, "help", Some(1)),
    bind(Global, &["q"], Act::Quit, "quit", Some(2)),
    bind(Global, &[":", "ctrl-p"], Act::Palette, "commands", Some(5)),
    bind(Global, &["1"], Act::Go(Gigs), "Gigs", None),
    bind(Global, &["2"], Act::Go(Post), "Post", None),
    bind(Global, &["3"], Act::Go(Jobs), "Jobs", None),
    bind(Global, &["4"], Act::Go(Wallet), "Wallet", None),
    bind(Global, &["5"], Act::Go(People), "People", None),
    bind(Global, &["6"], Act::Go(Relays), "Relays and node", None),
    bind(Global, &["7"], Act::Go(Inbox), "Inbox", None),
    bind(Global, &["8"], Act::Go(Settings), "Settings", None),
    bind(Global, &["9"], Act::Go(Cases), "Cases, for who judges", None),
    bind(Global, &["tab"], Act::Next, "next screen", None),
    bind(Global, &["shift-tab"], Act::Previous, "screen before", None),
    bind(Global, &["down", "j"], Act::Down, "down", None),
    bind(Global, &["up", "k"], Act::Up, "up", None),
    bind(Global, &["pagedown", "space"], Act::PageDown, "page down", None),
    bind(Global, &["pageup"], Act::PageUp, "page up", None),
    bind(Global, &["home", "g"], Act::Top, "first", None),
    bind(Global, &["end", "G"], Act::Bottom, "last", None),
    bind(Global, &["enter", "right", "l"], Act::Open, "open", Some(6)),
    bind(Global, &["esc", "left", "h"], Act::Back, "back", None),
    bind(Global, &["/"], Act::Search, "search", Some(4)),
    bind(Global, &["ctrl-z"], Act::Suspend, "suspend", None),
    bind(Global, &["ctrl-c"], Act::Quit, "leave", None),
    bind(Global, &["ctrl-l", "f5"], Act::Redraw, "draw anew", None),
    bind(On(Gigs), &["b"], Act::Bid, "bid", Some(0)),
    bind(On(Gigs), &["m"], Act::Mute, "mute author", Some(7)),
    bind(On(Gigs), &["y"], Act::CopyId, "copy id", Some(7)),
    bind(On(Post), &["n"], Act::Fill, "new gig", Some(0)),
    bind(On(Post), &["e"], Act::Write, "write in $EDITOR", Some(1)),
    bind(On(Post), &["p"], Act::Publish, "publish", Some(0)),
    bind(On(Post), &["c"], Act::CloseGig, "close gig", Some(3)),
    bind(On(Post), &["y"], Act::CopyId, "copy id", Some(7)),
    bind(On(Jobs), &["w"], Act::Verb(Verb::Award), "award", Some(0)),
    bind(On(Jobs), &["a"], Act::Verb(Verb::Accept), "accept and pay", Some(0)),
    bind(On(Jobs), &["d"], Act::Verb(Verb::Deliver), "deliver", Some(0)),
    bind(On(Jobs), &["u"], Act::Verb(Verb::Fund), "lock the money", Some(0)),
    bind(On(Jobs), &["r"], Act::Verb(Verb::Reject), "reject", Some(2)),
    bind(On(Jobs), &["c"], Act::Verb(Verb::Dispute), "call the judge", Some(2)),
    bind(On(Jobs), &["o"], Act::Verb(Verb::Object), "answer to the judge", Some(1)),
    bind(On(Jobs), &["e"], Act::Verb(Verb::Decline), "decline", Some(2)),
    bind(On(Jobs), &["z"], Act::Verb(Verb::Withdraw), "withdraw", Some(2)),
    bind(On(Jobs), &["b"], Act::Verb(Verb::Approve), "let the bot do it", Some(1)),
    bind(On(Jobs), &["n"], Act::Verb(Verb::Note), "note", Some(3)),
    bind(On(Jobs), &["s"], Act::Verb(Verb::Rate), "rate", Some(3)),
    bind(On(Jobs), &["x"], Act::Verb(Verb::Cancel), "cancel", Some(4)),
    bind(On(Jobs), &["f"], Act::CopyPath, "copy file path", Some(6)),
    bind(On(Jobs), &["y"], Act::CopyId, "copy id", Some(7)),
    bind(On(Wallet), &["r"], Act::Receive, "receive", Some(0)),
    bind(On(Wallet), &["p"], Act::Pay, "pay", Some(0)),
    bind(On(Wallet), &["v"], Act::Channels, "channels or payments", Some(1)),
    bind(On(Wallet), &["a"], Act::Address, "address on the chain", Some(2)),
    bind(On(Wallet), &["c"], Act::Faucet, "play coins (sandbox)", Some(0)),
    bind(On(Wallet), &["n"], Act::OpenChannel, "open a channel", Some(3)),
    bind(On(Wallet), &["x"], Act::CloseChannel, "close channel", Some(3)),
    bind(On(Wallet), &["f"], Act::ForceClose, "force it closed", Some(7)),
    bind(On(Wallet), &["o"], Act::ToJob, "to the job", Some(3)),
    bind(On(Wallet), &["y"], Act::CopyId, "copy id", Some(7)),
    bind(On(People), &["m"], Act::Mute, "mute, or hear again", Some(2)),
    bind(On(People), &["y"], Act::CopyId, "copy npub", Some(7)),
    bind(On(Relays), &["y"], Act::CopyId, "copy node id", Some(7)),
    bind(On(Inbox), &["o"], Act::ToJob, "to the job", Some(0)),
    bind(On(Inbox), &["m"], Act::Seen, "mark all seen", Some(3)),
    bind(On(Settings), &["c"], Act::Change, "change", Some(0)),
    bind(On(Cases), &["w"], Act::Rule(Role::Worker), "for the worker", Some(0)),
    bind(On(Cases), &["r"], Act::Rule(Role::Requester), "for the requester", Some(0)),
    bind(On(Cases), &["n"], Act::CaseNote, "note to both", Some(3)),
    bind(On(Cases), &["f"], Act::CopyPath, "copy file path", Some(6)),
    bind(On(Cases), &["y"], Act::CopyId, "copy id", Some(7)),
    bind(Context::Search, &["enter"], Act::Open, "keep", Some(0)),
    bind(Context::Search, &["esc"], Act::Back, "clear", Some(0)),
    bind(Context::Search, &["down"], Act::Down, "down", None),
    bind(Context::Search, &["up"], Act::Up, "up", None),
    bind(Context::Confirm, &["esc", "n"], Act::Back, "no", Some(0)),
    bind(Context::Confirm, &["enter"], Act::Open, "take what is marked", Some(0)),
    bind(Context::Confirm, &["left", "right", "tab"], Act::Next, "mark the other", Some(1)),
    bind(Context::Confirm, &["down"], Act::Down, "read on", Some(2)),
    bind(Context::Confirm, &["up"], Act::Up, "read back", None),
    bind(Context::Confirm, &["y"], Act::Change, "yes, when nothing is to be typed", None),
    bind(Context::Form, &["tab", "down"], Act::Next, "next field", Some(0)),
    bind(Context::Form, &["shift-tab", "up"], Act::Previous, "field before", Some(2)),
    bind(Context::Form, &["enter"], Act::Open, "next, or send", Some(0)),
    bind(Context::Form, &["esc"], Act::Back, "leave", Some(1)),
    bind(Context::Code, &["y"], Act::CopyId, "copy", Some(0)),
    bind(Context::Code, &["esc", "q", "enter"], Act::Back, "back", Some(0)),
    bind(Context::Code, &["down"], Act::Down, "down", None),
    bind(Context::Code, &["up"], Act::Up, "up", None),
    bind(Context::Palette, &["enter"], Act::Open, "do it", Some(0)),
    bind(Context::Palette, &["esc"], Act::Back, "leave", Some(0)),
    bind(Context::Palette, &["down", "tab"], Act::Down, "down", None),
    bind(Context::Palette, &["up", "shift-tab"], Act::Up, "up", None),
    bind(Context::Help, &["esc", "q", "?"], Act::Back, "back", Some(0)),
    bind(Context::Help, &["down", "j"], Act::Down, "down", Some(1)),
    bind(Context::Help, &["up", "k"], Act::Up, "up", Some(1)),
    bind(Context::Help, &["pagedown", "space"], Act::PageDown, "page down", None),
    bind(Context::Help, &["pageup"], Act::PageUp, "page up", None),
];

impl Context {
    /// The rows that apply here, the nearest first.
    pub fn binds(self) -> impl Iterator<Item = &'static Bind> {
        let own = KEYMAP.iter().filter(move |bind| bind.context == self);
        let global = matches!(self, On(_));
        own.chain(KEYMAP.iter().filter(move |bind| global && bind.context == Global))
    }

    /// What a key does here.
    pub fn act(self, key: &KeyEvent) -> Option<Act> {
        let name = name(key)?;
        self.binds().find(|bind| bind.keys.contains(&name.as_str())).map(|bind| bind.act)
    }

    /// The key that is shown for an act here.
    pub fn key(self, act: Act) -> Option<&'static str> {
        self.binds().find(|bind| bind.act == act).and_then(|bind| bind.keys.first()).copied()
    }
}

/// The name of a key, as the table writes it.
pub(super) fn name(key: &KeyEvent) -> Option<String> {
    let mut name = String::new();
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        name.push_str("ctrl-");
    }
    if key.modifiers.contains(KeyModifiers::ALT) {
        name.push_str("alt-");
    }
    match key.code {
        KeyCode::Char(' ') => name.push_str("space"),
        KeyCode::Char(c) => name.push(c),
        KeyCode::Enter => name.push_str("enter"),
        KeyCode::Esc => name.push_str("esc"),
        KeyCode::Tab if key.modifiers.contains(KeyModifiers::SHIFT) => name.push_str("shift-tab"),
        KeyCode::Tab => name.push_str("tab"),
        KeyCode::BackTab => name.push_str("shift-tab"),
        KeyCode::Backspace => name.push_str("backspace"),
        KeyCode::Delete => name.push_str("delete"),
        KeyCode::Up => name.push_str("up"),
        KeyCode::Down => name.push_str("down"),
        KeyCode::Left => name.push_str("left"),
        KeyCode::Right => name.push_str("right"),
        KeyCode::Home => name.push_str("home"),
        KeyCode::End => name.push_str("end"),
        KeyCode::PageUp => name.push_str("pageup"),
        KeyCode::PageDown => name.push_str("pagedown"),
        KeyCode::F(n) => name.push_str(&format!("f{n}")),
        _ => return None,
    }
    Some(name)
}

/// The key of that name; `None` if no key is called so.
pub fn key(name: &str) -> Option<KeyEvent> {
    let mut modifiers = KeyModifiers::NONE;
    let mut rest = name;
    while rest.len() > 1 {
        if let Some(after) = rest.strip_prefix("ctrl-") {
            modifiers |= KeyModifiers::CONTROL;
            rest = after;
        } else if let Some(after) = rest.strip_prefix("alt-") {
            modifiers |= KeyModifiers::ALT;
            rest = after;
        } else {
            break;
        }
    }
    let code = match rest {
        "space" => KeyCode::Char(' '),
        "enter" => KeyCode::Enter,
        "esc" => KeyCode::Esc,
        "tab" => KeyCode::Tab,
        "shift-tab" => KeyCode::BackTab,
        "backspace" => KeyCode::Backspace,
        "delete" => KeyCode::Delete,
        "up" => KeyCode::Up,
        "down" => KeyCode::Down,
        "left" => KeyCode::Left,
        "right" => KeyCode::Right,
        "home" => KeyCode::Home,
        "end" => KeyCode::End,
        "pageup" => KeyCode::PageUp,
        "pagedown" => KeyCode::PageDown,
        _ => match (rest.chars().next()?, rest.len()) {
            (c, len) if c.len_utf8() == len => KeyCode::Char(c),
            ('f', _) => KeyCode::F(rest[1..].parse().ok()?),
            _ => return None,
        },
    };
    Some(KeyEvent::new(code, modifiers))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn no_key_is_bound_twice_in_one_context() {
        let mut contexts: Vec<_> = Screen::ALL.map(On).to_vec();
        contexts.extend([
            Global,
            Context::Search,
            Context::Confirm,
            Context::Form,
            Context::Code,
            Context::Palette,
            Context::Help,
        ]);
        for context in contexts {
            let mut seen = BTreeMap::new();
            for bind in context.binds() {
                for key in bind.keys {
                    let before = seen.insert(*key, bind.act);
                    assert_eq!(before, None, "{key} in {context:?} is also {:?}", bind.act);
                }
            }
        }
    }

    #[test]
    fn every_key_of_the_table_can_be_pressed() {
        for bind in KEYMAP {
            for name in bind.keys {
                let key = key(name).unwrap_or_else(|| panic!("{name}"));
                assert_eq!(super::name(&key).as_deref(), Some(*name));
            }
        }
    }

    #[test]
    fn everything_is_reachable_without_ctrl_and_alt() {
        let plain = |key: &&str| !key.starts_with("ctrl-") && !key.starts_with("alt-");
        for bind in KEYMAP {
            let another = KEYMAP.iter().any(|b| {
                b.act == bind.act && b.context == bind.context && b.keys.iter().any(plain)
            });
            // The palette has every global act by name.
            assert!(another || bind.context == Global, "{:?}", bind.act);
        }
    }
}

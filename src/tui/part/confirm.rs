//! The question before money moves, or before something that cannot be undone.
//!
//! The answer is No until somebody says otherwise. A key that was on its way when the question opened
//! answers nothing, nor does anything pasted; above the person's own limit the amount is typed.

use crossterm::event::{KeyCode, KeyEvent};
use ratatui::layout::{Position, Rect};

use crate::market::Msat;
use crate::text::{Clean, cells};
use crate::tui::keymap::{Act, Context};
use crate::tui::part::pane::{Canvas, Line, Sheet};
use crate::tui::theme::Role;

/// An Enter within this many milliseconds of the opening was meant for something else.
pub const DEAF_MS: u64 = 400;

/// What is asked.
#[derive(Debug, Clone)]
pub struct Confirm {
    title: &'static str,
    verb: &'static str,
    who: Option<String>,
    what: Clean,
    amount: Option<(&'static str, Msat)>,
    rows: Vec<(&'static str, String)>,
    risks: Vec<String>,
    last: &'static str,
    /// Typed so far, where the amount has to be.
    typed: Option<String>,
    wrong: bool,
    yes: bool,
    scroll: usize,
    deaf_until: u64,
}

/// What a key did to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Nobody answered yet.
    Open,
    /// No.
    No,
    /// Yes.
    Yes,
}

impl Confirm {
    /// A question, opened at `ms`. `verb` is the word on the button that says yes.
    pub fn new(title: &'static str, verb: &'static str, what: Clean, ms: u64) -> Self {
        Self {
            title,
            verb,
            who: None,
            what,
            amount: None,
            rows: Vec::new(),
            risks: Vec::new(),
            last: "",
            typed: None,
            wrong: false,
            yes: false,
            scroll: 0,
            deaf_until: ms + DEAF_MS,
        }
    }

    /// With whom: a key and a history, never a name alone.
    #[must_use]
    pub fn with(mut self, who: String) -> Self {
        self.who = Some(who);
        self
    }

    /// How much, and the most that is confirmed without typing it.
    #[must_use]
    pub fn amount(mut self, label: &'static str, amount: Msat, type_above: Msat) -> Self {
        self.typed = (amount > type_above).then(String::new);
        self.amount = Some((label, amount));
        self
    }

    /// One more line.
    #[must_use]
    pub fn row(mut self, label: &'static str, value: impl Into<String>) -> Self {
        self.rows.push((label, value.into()));
        self
    }

    /// What can go wrong.
    #[must_use]
    pub fn risk(mut self, risk: impl Into<String>) -> Self {
        self.risks.push(risk.into());
        self
    }

    /// What cannot be undone.
    #[must_use]
    pub fn last(mut self, last: &'static str) -> Self {
        self.last = last;
        self
    }

    /// Text was pasted: it answers nothing, and an Enter behind it neither.
    pub fn pasted(&mut self, ms: u64) {
        self.deaf_until = self.deaf_until.max(ms + DEAF_MS);
    }

    /// The digits that have to be typed.
    fn asked(&self) -> String {
        let amount = self.amount.map_or(Msat::ZERO, |(_, amount)| amount);
        amount.whole_sats().to_string()
    }

    /// A key.
    pub fn press(&mut self, key: &KeyEvent, ms: u64) -> Answer {
        let deaf = ms < self.deaf_until;
        if let Some(typed) = &mut self.typed {
            match key.code {
                KeyCode::Char(c) if c.is_ascii_digit() && typed.len() < 19 => {
                    typed.push(c);
                    self.wrong = false;
                    return Answer::Open;
                }
                KeyCode::Backspace => {
                    typed.pop();
                    return Answer::Open;
                }
                _ => {}
            }
        }
        match Context::Confirm.act(key) {
            Some(Act::Back) => Answer::No,
            Some(Act::Down) => {
                self.scroll += 1;
                Answer::Open
            }
            Some(Act::Up) => {
                self.scroll = self.scroll.saturating_sub(1);
                Answer::Open
            }
            Some(Act::Next) => {
                self.yes = !self.yes;
                Answer::Open
            }
            Some(Act::Open) if deaf => Answer::Open,
            Some(Act::Open) => match &self.typed {
                Some(typed) if typed.is_empty() && !self.yes => Answer::No,
                Some(typed) if *typed == self.asked() => Answer::Yes,
                Some(_) => {
                    self.wrong = true;
                    Answer::Open
                }
                None if self.yes => Answer::Yes,
                None => Answer::No,
            },
            Some(Act::Change) if !deaf && self.typed.is_none() => Answer::Yes,
            _ => Answer::Open,
        }
    }

    /// Draws it over everything.
    pub(crate) fn draw(&mut self, canvas: &mut Canvas<'_>) {
        let all = canvas.buffer.area;
        let width = all.width.min(72);
        let mut sheet = Sheet::new(width.saturating_sub(4));
        if let Some((label, amount)) = &self.amount {
            let label = format!("{label}  ");
            sheet.line(Line::of(label, Role::Muted).and(amount.to_string(), Role::Money));
        }
        if let Some(who) = &self.who {
            sheet.pair("with", who, Role::Text);
        }
        sheet.pair("for", self.what.or("(no title)"), Role::Text);
        for (label, value) in &self.rows {
            sheet.pair(label, value, Role::Text);
        }
        for risk in &self.risks {
            sheet.indented("! ", risk, Role::Warn);
        }
        if !self.last.is_empty() {
            sheet.words(self.last, Role::Bad);
        }
        let wanted = u16::try_from(sheet.lines.len()).unwrap_or(u16::MAX).saturating_add(5);
        let inner = canvas.popup(width, wanted.min(all.height), self.title);
        let body = Rect {
            x: inner.x + 1,
            width: inner.width.saturating_sub(2),
            height: inner.height.saturating_sub(2),
            ..inner
        };
        let most = canvas.sheet(body, &sheet, self.scroll);
        self.scroll = self.scroll.min(most);
        let y = inner.bottom().saturating_sub(1);
        let foot = Rect { y, height: 1, ..body };
        match &self.typed {
            Some(typed) => self.draw_field(canvas, foot, typed),
            None => self.draw_buttons(canvas, foot),
        }
    }

    fn draw_field(&self, canvas: &mut Canvas<'_>, foot: Rect, typed: &str) {
        let lead = format!("Type {} and Enter to {}, or Esc: ", self.asked(), self.verb);
        let role = if self.wrong { Role::Bad } else { Role::Text };
        let used = canvas.put(foot.x, foot.y, foot.width, &lead, role);
        canvas.put(foot.x + used, foot.y, foot.width.saturating_sub(used), typed, Role::Money);
        let at = u16::try_from(cells(typed)).unwrap_or(0);
        let x = (foot.x + used + at).min(foot.right().saturating_sub(1));
        canvas.cursor = Some(Position { x, y: foot.y });
        if self.wrong && foot.y > 0 {
            let above = "That is not the amount. Nothing was sent.";
            canvas.put(foot.x, foot.y - 1, foot.width, above, Role::Bad);
        }
    }

    fn draw_buttons(&self, canvas: &mut Canvas<'_>, foot: Rect) {
        let (no, yes) = ("[ No ]".to_owned(), format!("[ Yes, {} ]", self.verb));
        let mut x = foot.x;
        for (text, marked) in [(no, !self.yes), (yes, self.yes)] {
            let cursor = if marked { "▸" } else { " " };
            canvas.put(x, foot.y, 1, cursor, Role::Accent);
            let room = foot.right().saturating_sub(x + 1);
            let used = canvas.put(x + 1, foot.y, room, &text, Role::Text);
            if marked {
                canvas.select(Rect { x: x + 1, y: foot.y, width: used, height: 1 });
                canvas.cursor = Some(Position { x: x + 1, y: foot.y });
            }
            x += used + 3;
        }
    }
}

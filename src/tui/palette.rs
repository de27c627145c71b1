//! The palette: every command, screen, job and found gig by name, with the key beside it so that people
//! learn the key.

use crossterm::event::KeyEvent;
use nucleo_matcher::pattern::{CaseMatching, Normalization, Pattern};
use nucleo_matcher::{Config, Matcher, Utf32Str};
use ratatui::layout::{Position, Rect};
use tui_input::Input;

use crate::engine::Snapshot;
use crate::text::{cells, truncate};
use crate::tui::keymap::{Act, Context, KEYMAP};
use crate::tui::part::form::request;
use crate::tui::part::pane::Canvas;
use crate::tui::screen;
use crate::tui::theme::Role;
use crate::tui::{Key, Model, Screen};

/// What is typed, and which row is marked.
#[derive(Debug, Default)]
pub struct Palette {
    typed: Input,
    at: usize,
}

/// One row.
#[derive(Debug, Clone)]
pub struct Entry {
    /// What it says.
    pub text: String,
    /// What it leads to.
    pub leads: Leads,
    /// The key that does the same.
    pub key: Option<&'static str>,
    /// Why it cannot be done now.
    pub refusal: Option<String>,
}

/// Where a row leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leads {
    /// To an act.
    Act(Act),
    /// To something on a screen.
    To(Screen, Key),
}

/// What a key did to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Picked {
    /// It is open.
    Open,
    /// It was left.
    Left,
    /// This row.
    This(Leads),
    /// A row that cannot be done now, and why.
    Cannot(String),
}

impl Palette {
    /// The rows that match what is typed, the best first.
    pub fn entries(&self, model: &Model, snapshot: &Snapshot) -> Vec<Entry> {
        matching(self.typed.value(), all(model, snapshot), |entry| &entry.text)
    }

    /// Text was pasted.
    pub fn paste(&mut self, text: &str) {
        for c in crate::tui::msg::washed(text).chars() {
            self.typed.handle(tui_input::InputRequest::InsertChar(c));
        }
        self.at = 0;
    }

    /// A key.
    pub fn press(&mut self, key: &KeyEvent, rows: &[Entry]) -> Picked {
        match Context::Palette.act(key) {
            Some(Act::Back) => return Picked::Left,
            Some(Act::Down) => self.at = (self.at + 1).min(rows.len().saturating_sub(1)),
            Some(Act::Up) => self.at = self.at.saturating_sub(1),
            Some(Act::Open) => {
                return match rows.get(self.at) {
                    Some(Entry { refusal: Some(why), .. }) => Picked::Cannot(why.clone()),
                    Some(entry) => Picked::This(entry.leads),
                    None => Picked::Left,
                };
            }
            _ => {
                if let Some(request) = request(key) {
                    self.typed.handle(request);
                    self.at = 0;
                }
            }
        }
        Picked::Open
    }

    /// Draws it over everything.
    pub(crate) fn draw(&self, canvas: &mut Canvas<'_>, rows: &[Entry]) {
        let all = canvas.buffer.area;
        let inner = canvas.popup(all.width.min(64), all.height.min(20), "Commands");
        let used = canvas.put(inner.x + 1, inner.y, 2, ": ", Role::Key);
        let room = inner.width.saturating_sub(used + 2);
        canvas.put(inner.x + 1 + used, inner.y, room, self.typed.value(), Role::Text);
        let at = u16::try_from(self.typed.visual_cursor()).unwrap_or(0).min(room);
        canvas.cursor = Some(Position { x: inner.x + 1 + used + at, y: inner.y });
        let list = Rect { y: inner.y + 1, height: inner.height.saturating_sub(1), ..inner };
        let height = usize::from(list.height);
        let from = self.at.saturating_sub(height.saturating_sub(1));
        for ((n, entry), y) in rows.iter().enumerate().skip(from).zip(list.y..list.bottom()) {
            let line = Rect { y, height: 1, ..list };
            let key = entry.key.unwrap_or_default();
            let room = usize::from(line.width).saturating_sub(cells(key) + 5);
            let role = if entry.refusal.is_some() { Role::Disabled } else { Role::Text };
            let text = match &entry.refusal {
                Some(why) => format!("({}) {why}", entry.text),
                None => entry.text.clone(),
            };
            let cursor = if n == self.at { "▸" } else { " " };
            canvas.put(line.x, y, 1, cursor, Role::Accent);
            canvas.put(line.x + 2, y, line.width.saturating_sub(2), &truncate(&text, room), role);
            let wide = u16::try_from(cells(key)).unwrap_or(0);
            canvas.put(line.right().saturating_sub(wide + 1), y, wide, key, Role::Key);
            if n == self.at {
                canvas.select(line);
            }
        }
    }
}

/// Everything there is to choose from.
fn all(model: &Model, snapshot: &Snapshot) -> Vec<Entry> {
    let here = Context::On(model.screen);
    let mut rows: Vec<Entry> = KEYMAP
        .iter()
        .filter(|bind| bind.context == here || bind.context == Context::Global)
        .filter(|bind| {
            // Moving about is for keys.
            !matches!(
                bind.act,
                Act::Up
                    | Act::Down
                    | Act::PageUp
                    | Act::PageDown
                    | Act::Top
                    | Act::Bottom
                    | Act::Open
                    | Act::Back
                    | Act::Palette
            )
        })
        .filter(|bind| screen::concerns(model, snapshot, bind.act))
        .map(|bind| Entry {
            text: bind.words.to_owned(),
            leads: Leads::Act(bind.act),
            key: bind.keys.first().copied(),
            refusal: screen::may(model, snapshot, bind.act).err(),
        })
        .collect();
    for job in screen::jobs::sorted(snapshot, "") {
        rows.push(Entry {
            text: format!("job {} {}", job.id.short(), job.title.or("(no title)")),
            leads: Leads::To(Screen::Jobs, Key::Event(job.id)),
            key: None,
            refusal: None,
        });
    }
    for gig in &model.book.gigs {
        rows.push(Entry {
            text: format!("gig {} {}", gig.id.short(), gig.title.or("(no title)")),
            leads: Leads::To(Screen::Gigs, Key::Event(gig.id)),
            key: None,
            refusal: None,
        });
    }
    rows
}

/// Those whose text matches, the best first; all of them when nothing is typed.
pub(crate) fn matching<T>(typed: &str, rows: Vec<T>, text: impl Fn(&T) -> &str) -> Vec<T> {
    if typed.trim().is_empty() {
        return rows;
    }
    let pattern = Pattern::parse(typed, CaseMatching::Ignore, Normalization::Smart);
    let mut matcher = Matcher::new(Config::DEFAULT);
    let mut letters = Vec::new();
    let mut found: Vec<(u32, T)> = rows
        .into_iter()
        .filter_map(|row| {
            let score = pattern.score(Utf32Str::new(text(&row), &mut letters), &mut matcher)?;
            Some((score, row))
        })
        .collect();
    found.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
    found.into_iter().map(|(_, row)| row).collect()
}

//! A form: fields to fill in, one after the other, and a button that sends it.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::layout::{Position, Rect};
use ratatui::widgets::Widget as _;
use ratatui_textarea::{CursorMove, TextArea};
use tui_input::{Input, InputRequest};

use crate::market::{BidId, CaseId, EventId, Role as Side};
use crate::text::{Clean, Limit, Raw, cells};
use crate::tui::keymap::{Act, Context};
use crate::tui::part::pane::{Canvas, Line, Sheet};
use crate::tui::theme::Role;

/// What a form is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A bid on a gig.
    Bid(EventId),
    /// A gig of ours.
    Gig,
    /// An invoice of ours.
    Receive,
    /// A payment by hand.
    Pay,
    /// A channel.
    OpenChannel,
    /// No to a bid.
    Decline(BidId),
    /// A bid taken back.
    Withdraw(BidId),
    /// Work handed over.
    Deliver(BidId),
    /// One answer of several handed over.
    Answer(BidId),
    /// A delivery sent back.
    Reject(BidId),
    /// A job stopped.
    Cancel(BidId),
    /// Calling the judge of a job.
    Dispute(BidId),
    /// Answering to the judge of a job.
    Object(BidId),
    /// Words.
    Note(BidId),
    /// One to five.
    Rate(BidId),
    /// A case ended for a side.
    Rule(CaseId, Side),
    /// Words to both sides of a case.
    CaseNote(CaseId),
}

/// Something to fill in.
#[derive(Debug)]
pub struct Form {
    /// What for.
    pub purpose: Purpose,
    /// At the top.
    pub title: &'static str,
    /// What somebody should know before.
    pub intro: Vec<(String, Role)>,
    /// The word on the button.
    pub send: &'static str,
    /// What is wrong with what was filled in.
    pub wrong: Option<Clean>,
    fields: Vec<Field>,
    at: usize,
}

#[derive(Debug)]
struct Field {
    label: &'static str,
    hint: &'static str,
    entry: Entry,
}

#[derive(Debug)]
enum Entry {
    Line(Input),
    Text(Box<TextArea<'static>>),
}

/// What a key did to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filled {
    /// It is being filled in.
    Open,
    /// It was left.
    Left,
    /// It is sent.
    Sent,
}

impl Form {
    /// An empty one.
    pub fn new(purpose: Purpose, title: &'static str, send: &'static str) -> Self {
        Self { purpose, title, intro: Vec::new(), send, wrong: None, fields: Vec::new(), at: 0 }
    }

    /// One more thing to know.
    #[must_use]
    pub fn intro(mut self, text: impl Into<String>, role: Role) -> Self {
        self.intro.push((text.into(), role));
        self
    }

    /// One more line to fill in.
    #[must_use]
    pub fn field(
        mut self,
        label: &'static str,
        hint: &'static str,
        value: impl Into<String>,
    ) -> Self {
        let entry = Entry::Line(Input::new(value.into()));
        self.fields.push(Field { label, hint, entry });
        self
    }

    /// One more text of several lines.
    #[must_use]
    pub fn text(mut self, label: &'static str, hint: &'static str) -> Self {
        let mut area = TextArea::default();
        area.set_wrap_mode(ratatui_textarea::WrapMode::Word);
        self.fields.push(Field { label, hint, entry: Entry::Text(Box::new(area)) });
        self
    }

    /// What stands in the n-th field.
    pub fn value(&self, n: usize) -> String {
        match self.fields.get(n).map(|field| &field.entry) {
            Some(Entry::Line(input)) => input.value().trim().to_owned(),
            Some(Entry::Text(area)) => area.lines().join("\n").trim().to_owned(),
            None => String::new(),
        }
    }

    /// Text was pasted: into the field that has the keys.
    pub fn paste(&mut self, text: &str) {
        let raw = Raw(text.to_owned());
        match self.fields.get_mut(self.at).map(|field| &mut field.entry) {
            Some(Entry::Line(input)) => {
                for c in raw.clean(Limit { chars: 2_000, ..Limit::TITLE }).chars() {
                    input.handle(InputRequest::InsertChar(c));
                }
            }
            Some(Entry::Text(area)) => {
                area.insert_str(raw.clean(Limit::BLOCK).as_str());
            }
            None => {}
        }
    }

    /// A key.
    pub fn press(&mut self, key: &KeyEvent) -> Filled {
        let act = Context::Form.act(key);
        let button = self.fields.len();
        // In a text of several lines, up and down move in it while there is somewhere to go.
        if let Some(Entry::Text(area)) = self.fields.get_mut(self.at).map(|f| &mut f.entry) {
            let row = area.cursor().0;
            let last = area.lines().len().saturating_sub(1);
            let inside = match key.code {
                KeyCode::Up => row > 0,
                KeyCode::Down => row < last,
                KeyCode::Enter => true,
                KeyCode::Tab | KeyCode::BackTab | KeyCode::Esc => false,
                _ => true,
            };
            if inside {
                match key.code {
                    KeyCode::Up => area.move_cursor(CursorMove::Up),
                    KeyCode::Down => area.move_cursor(CursorMove::Down),
                    _ => {
                        area.input_without_shortcuts(*key);
                    }
                }
                return Filled::Open;
            }
        }
        match act {
            Some(Act::Back) => return Filled::Left,
            Some(Act::Next) => self.at = (self.at + 1).min(button),
            Some(Act::Previous) => self.at = self.at.saturating_sub(1),
            Some(Act::Open) if self.at == button => return Filled::Sent,
            Some(Act::Open) => self.at += 1,
            _ => {
                if let Some(Entry::Line(input)) = self.fields.get_mut(self.at).map(|f| &mut f.entry)
                    && let Some(request) = request(key)
                {
                    input.handle(request);
                }
            }
        }
        Filled::Open
    }

    /// Draws it over everything.
    pub(crate) fn draw(&mut self, canvas: &mut Canvas<'_>) {
        let all = canvas.buffer.area;
        let width = all.width.min(76);
        let mut intro = Sheet::new(width.saturating_sub(4));
        for (text, role) in &self.intro {
            intro.words(text, *role);
        }
        if let Some(wrong) = &self.wrong {
            intro.indented("! ", wrong, Role::Bad);
        }
        let texts = self.fields.iter().filter(|f| matches!(f.entry, Entry::Text(_))).count();
        let lines = self.fields.len() - texts;
        let fixed = intro.lines.len() + lines + texts + 4;
        let spare = usize::from(all.height).saturating_sub(fixed);
        let tall = spare.checked_div(texts).map_or(0, |tall| tall.clamp(1, 8));
        let wanted = u16::try_from(fixed + texts * tall).unwrap_or(u16::MAX);
        let inner = canvas.popup(width, wanted.min(all.height), self.title);
        let body = Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner };
        // What has the keys must be seen, so on a low terminal the introduction gives way first.
        let below = lines + texts * (1 + tall) + 2;
        let shown = intro.lines.len().min(usize::from(body.height).saturating_sub(below));
        let top = Rect { height: u16::try_from(shown).unwrap_or(0), ..body };
        let drop = if self.wrong.is_some() { intro.lines.len() - shown } else { 0 };
        if shown > 0 {
            let mut part = Sheet::new(body.width);
            part.lines = intro.lines.drain(..).skip(drop).take(shown).collect();
            canvas.sheet(top, &part, 0);
        }
        let mut y = top.bottom();
        let room = usize::from(inner.bottom().saturating_sub(y + 1));
        // Fields that do not fit scroll away above the one that has the keys.
        let heights: Vec<usize> = self
            .fields
            .iter()
            .map(|f| if matches!(f.entry, Entry::Text(_)) { 1 + tall } else { 1 })
            .collect();
        let mut from = 0;
        let at = self.at.min(self.fields.len().saturating_sub(1));
        while from < at && heights[from..=at].iter().sum::<usize>() > room {
            from += 1;
        }
        let focus = self.at;
        for (n, field) in self.fields.iter_mut().enumerate().skip(from) {
            let height = u16::try_from(heights[n]).unwrap_or(1);
            if y + height > inner.bottom().saturating_sub(1) && n > at {
                break;
            }
            field.draw(canvas, Rect { y, height, ..body }, n == focus);
            y += height;
        }
        let y = inner.bottom().saturating_sub(1);
        let marked = self.at == self.fields.len();
        let text = format!("{}[ {} ]", if marked { "▸" } else { " " }, self.send);
        let used = canvas.put(body.x, y, body.width, &text, Role::Text);
        if marked {
            canvas.select(Rect { x: body.x + 1, y, width: used.saturating_sub(1), height: 1 });
            canvas.cursor = Some(Position { x: body.x + 1, y });
        } else {
            let hint = self.fields.get(self.at).map_or("", |field| field.hint);
            let x = body.x + used + 2;
            canvas.put(x, y, body.right().saturating_sub(x), hint, Role::Muted);
        }
    }
}

impl Field {
    fn draw(&mut self, canvas: &mut Canvas<'_>, area: Rect, focused: bool) {
        let label = format!("{}{:<11}", if focused { "▸" } else { " " }, self.label);
        let role = if focused { Role::Focus } else { Role::Muted };
        match &mut self.entry {
            Entry::Line(input) => {
                let used = canvas.put(area.x, area.y, area.width, &label, role) + 1;
                let room = area.width.saturating_sub(used);
                let wide = usize::from(room.max(2)) - 1;
                let scroll = if focused { input.visual_scroll(wide) } else { 0 };
                let shown = after(input.value(), scroll);
                canvas.put(area.x + used, area.y, room, &shown, Role::Text);
                if focused {
                    let at = input.visual_cursor().saturating_sub(scroll);
                    let x = area.x + used + u16::try_from(at).unwrap_or(0);
                    let x = x.min(area.right().saturating_sub(1));
                    canvas.cursor = Some(Position { x, y: area.y });
                }
            }
            Entry::Text(text) => {
                canvas.row(area, &Line::of(label, role));
                let inner = Rect {
                    x: area.x + 2,
                    y: area.y + 1,
                    width: area.width.saturating_sub(2),
                    height: area.height.saturating_sub(1),
                };
                let style = canvas.theme.of(Role::Text);
                text.set_style(style);
                text.set_cursor_line_style(style);
                let cursor = style.add_modifier(ratatui::style::Modifier::REVERSED);
                text.set_cursor_style(if focused { cursor } else { style });
                let inner = inner.intersection(canvas.buffer.area);
                (&**text).render(inner, canvas.buffer);
                if focused {
                    canvas.cursor = None;
                }
            }
        }
    }
}

/// What of a text is shown when its first `skip` cells are scrolled away.
fn after(text: &str, skip: usize) -> String {
    let mut gone = 0;
    let mut rest = text.chars();
    while gone < skip {
        match rest.next() {
            Some(c) => gone += cells(c.encode_utf8(&mut [0; 4])).max(1),
            None => break,
        }
    }
    rest.collect()
}

/// What a key does to a line.
pub(crate) fn request(key: &KeyEvent) -> Option<InputRequest> {
    let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
    Some(match key.code {
        KeyCode::Char('u') if ctrl => InputRequest::DeleteLine,
        KeyCode::Char('w') if ctrl => InputRequest::DeletePrevWord,
        KeyCode::Char('a') if ctrl => InputRequest::GoToStart,
        KeyCode::Char('e') if ctrl => InputRequest::GoToEnd,
        KeyCode::Char(c) if !ctrl && !key.modifiers.contains(KeyModifiers::ALT) => {
            InputRequest::InsertChar(c)
        }
        KeyCode::Backspace => InputRequest::DeletePrevChar,
        KeyCode::Delete => InputRequest::DeleteNextChar,
        KeyCode::Left => InputRequest::GoToPrevChar,
        KeyCode::Right => InputRequest::GoToNextChar,
        KeyCode::Home => InputRequest::GoToStart,
        KeyCode::End => InputRequest::GoToEnd,
        _ => return None,
    })
}

//! The canvas: where parts draw. Text goes through one door, which measures, cuts and never writes an
//! escape.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::Modifier;

use crate::text::{cells, truncate, wrap};
use crate::tui::keymap::Act;
use crate::tui::theme::{Role, Theme};

/// Where is drawn, and what came of it.
pub(crate) struct Canvas<'a> {
    pub(crate) buffer: &'a mut Buffer,
    pub(crate) theme: &'a Theme,
    /// What can be clicked.
    pub(crate) hits: Vec<(Rect, Act)>,
    /// Where the cursor stands: on what has the keys, so that a screen reader finds it.
    pub(crate) cursor: Option<Position>,
}

/// One line of pieces, each with its meaning.
#[derive(Debug, Clone, Default)]
pub(crate) struct Line(pub(crate) Vec<(String, Role)>);

impl Line {
    pub(crate) fn of(text: impl Into<String>, role: Role) -> Self {
        Self(vec![(text.into(), role)])
    }
    pub(crate) fn and(mut self, text: impl Into<String>, role: Role) -> Self {
        self.0.push((text.into(), role));
        self
    }
    /// Whether all of it means the same.
    pub(crate) fn is(&self, role: Role) -> bool {
        self.0.iter().all(|(_, of)| *of == role)
    }
    pub(crate) fn cells(&self) -> usize {
        self.0.iter().map(|(text, _)| cells(text)).sum()
    }
}

/// A label, padded so that values stand below each other.
pub(crate) const LABEL: usize = 15;

/// Lines of a pane, written from top to bottom for a width.
#[derive(Debug, Default)]
pub(crate) struct Sheet {
    pub(crate) lines: Vec<Line>,
    width: usize,
}

impl Sheet {
    pub(crate) fn new(width: u16) -> Self {
        Self { lines: Vec::new(), width: usize::from(width) }
    }
    pub(crate) fn width(&self) -> usize {
        self.width
    }
    pub(crate) fn line(&mut self, line: Line) {
        self.lines.push(line);
    }
    /// An empty line, but never two and never the first.
    pub(crate) fn gap(&mut self) {
        if self.lines.last().is_some_and(|line| !line.0.is_empty()) {
            self.lines.push(Line::default());
        }
    }
    /// A heading of our own.
    pub(crate) fn head(&mut self, text: &str) {
        self.gap();
        self.line(Line::of(text, Role::Title));
    }
    /// Words, wrapped.
    pub(crate) fn words(&mut self, text: &str, role: Role) {
        self.indented("", text, role);
    }
    /// Words, wrapped, below and behind `lead`.
    pub(crate) fn indented(&mut self, lead: &str, text: &str, role: Role) {
        let indent = cells(lead);
        for (n, line) in
            wrap(text, self.width.saturating_sub(indent).max(1)).into_iter().enumerate()
        {
            let lead = if n == 0 { lead.to_owned() } else { " ".repeat(indent) };
            self.line(Line::of(lead, role).and(line, role));
        }
    }
    /// A label and a value. Labels come first, so that no value can pose as one.
    pub(crate) fn pair(&mut self, label: &str, value: &str, role: Role) {
        let room = self.width.saturating_sub(LABEL);
        if room < 12 {
            self.line(Line::of(format!("{label}:"), Role::Muted));
            return self.indented("  ", value, role);
        }
        for (n, line) in wrap(value, room).into_iter().enumerate() {
            let label = if n == 0 { label } else { "" };
            self.line(Line::of(format!("{label:<LABEL$}"), Role::Muted).and(line, role));
        }
    }
}

impl Canvas<'_> {
    /// Text in one line, cut to `width` cells; how many it took.
    pub(crate) fn put(&mut self, x: u16, y: u16, width: u16, text: &str, role: Role) -> u16 {
        let area = self.buffer.area;
        if y >= area.bottom() || x >= area.right() {
            return 0;
        }
        let width = width.min(area.right() - x);
        let shown = truncate(text, usize::from(width));
        let style = self.theme.of(role);
        let (end, _) = self.buffer.set_stringn(x, y, &shown, usize::from(width), style);
        end - x
    }

    /// A line in the first row of `area`.
    pub(crate) fn row(&mut self, area: Rect, line: &Line) -> u16 {
        let mut x = area.x;
        for (text, role) in &line.0 {
            let left = area.right().saturating_sub(x);
            if left == 0 {
                break;
            }
            x += self.put(x, area.y, left, text, *role);
        }
        x - area.x
    }

    /// Empties an area.
    pub(crate) fn clear(&mut self, area: Rect) {
        let area = area.intersection(self.buffer.area);
        let style = self.theme.of(Role::Text);
        for position in area.positions() {
            if let Some(cell) = self.buffer.cell_mut(position) {
                cell.reset();
                cell.set_style(style);
            }
        }
    }

    /// Marks an area as the one that verbs apply to.
    pub(crate) fn select(&mut self, area: Rect) {
        let mut style = self.theme.of(Role::Selected);
        // Without colours the mark must still be seen.
        if style.bg.is_none() {
            style = style.add_modifier(Modifier::REVERSED);
        }
        self.buffer.set_style(area, style);
    }

    /// A frame with a title; what is inside of it. Where there is no room for a frame there is none.
    pub(crate) fn pane(&mut self, area: Rect, title: &str, focused: bool) -> Rect {
        if area.height < 3 || area.width < 4 {
            return area;
        }
        let role = if focused { Role::Focus } else { Role::Border };
        let (right, bottom) = (area.right() - 1, area.bottom() - 1);
        let across = "─".repeat(usize::from(area.width - 2));
        self.put(area.x + 1, area.y, area.width - 2, &across, role);
        self.put(area.x + 1, bottom, area.width - 2, &across, role);
        for y in area.y + 1..bottom {
            self.put(area.x, y, 1, "│", role);
            self.put(right, y, 1, "│", role);
        }
        for (x, y, corner) in [
            (area.x, area.y, "┌"),
            (right, area.y, "┐"),
            (area.x, bottom, "└"),
            (right, bottom, "┘"),
        ] {
            self.put(x, y, 1, corner, role);
        }
        if !title.is_empty() {
            // The marker says the same as the colour.
            let mark = if focused { "▸" } else { "" };
            let title = format!(" {mark}{title} ");
            self.put(area.x + 1, area.y, area.width - 2, &title, Role::Title);
        }
        Rect { x: area.x + 1, y: area.y + 1, width: area.width - 2, height: area.height - 2 }
    }

    /// A sheet in an area, from line `scroll` on; how far it can be scrolled.
    pub(crate) fn sheet(&mut self, area: Rect, sheet: &Sheet, scroll: usize) -> usize {
        let height = usize::from(area.height);
        let most = sheet.lines.len().saturating_sub(height);
        let scroll = scroll.min(most);
        for (line, y) in sheet.lines.iter().skip(scroll).zip(area.y..area.bottom()) {
            self.row(Rect { y, height: 1, ..area }, line);
        }
        if scroll < most && area.height > 1 {
            let more = format!(" ↓ {} more ", most - scroll);
            let wide = u16::try_from(cells(&more)).unwrap_or(area.width).min(area.width);
            self.put(area.right() - wide, area.bottom() - 1, wide, &more, Role::Muted);
        }
        most
    }

    /// A box in the middle, over everything; what is inside of it.
    pub(crate) fn popup(&mut self, width: u16, height: u16, title: &str) -> Rect {
        let all = self.buffer.area;
        let (width, height) = (width.min(all.width), height.min(all.height));
        let area = Rect {
            x: all.x + (all.width - width) / 2,
            y: all.y + (all.height - height) / 2,
            width,
            height,
        };
        self.clear(area);
        // Whatever is drawn below cannot be clicked any more.
        self.hits.clear();
        self.pane(area, title, true)
    }
}

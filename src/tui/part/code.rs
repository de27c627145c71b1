//! Something to be scanned or copied: a QR code and the text below it.

use crossterm::event::KeyEvent;
use qrcode::{EcLevel, QrCode};
use ratatui::layout::Rect;
use ratatui::style::{Color, Style};

use crate::tui::keymap::{Act, Context};
use crate::tui::part::pane::{Canvas, Sheet};
use crate::tui::theme::Role;

/// What is shown.
#[derive(Debug, Clone)]
pub struct Code {
    title: &'static str,
    /// What somebody should know about it.
    lines: Vec<String>,
    /// What is copied.
    text: String,
    code: Option<Square>,
    scroll: usize,
}

/// The modules of a code, row by row.
#[derive(Debug, Clone)]
struct Square {
    width: usize,
    modules: Vec<qrcode::Color>,
}

impl Square {
    /// What a phone scans from a screen is never dirty: the least error correction. `None` if the text is
    /// longer than any code.
    fn of(text: &str) -> Option<Self> {
        let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
        Some(Self { width: code.width(), modules: code.into_colors() })
    }

    /// Whether a module is dark; the line around the code, with which counting begins, is light.
    fn dark(&self, x: usize, y: usize) -> bool {
        let inside = 1..=self.width;
        inside.contains(&x)
            && inside.contains(&y)
            && self.modules[(y - 1) * self.width + x - 1] == qrcode::Color::Dark
    }
}

/// What a key did to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Looked {
    /// It is looked at.
    Open,
    /// It was left.
    Left,
    /// Copy its text.
    Copy,
}

impl Code {
    /// A text under a scheme that programs know it by. Both are case-insensitive, and capitals make a
    /// smaller code.
    pub fn new(title: &'static str, scheme: &str, text: String, lines: Vec<String>) -> Self {
        let code = Square::of(&format!("{scheme}:{text}").to_ascii_uppercase());
        Self { title, lines, text, code, scroll: 0 }
    }

    /// What is copied.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// A key.
    pub fn press(&mut self, key: &KeyEvent) -> Looked {
        match Context::Code.act(key) {
            Some(Act::Back) => return Looked::Left,
            Some(Act::CopyId) => return Looked::Copy,
            Some(Act::Down) => self.scroll += 1,
            Some(Act::Up) => self.scroll = self.scroll.saturating_sub(1),
            _ => {}
        }
        Looked::Open
    }

    /// Draws it over everything.
    pub(crate) fn draw(&mut self, canvas: &mut Canvas<'_>, ascii: bool) {
        let all = canvas.buffer.area;
        // A light line of one module around it, and two modules in each row of cells.
        let side = self.code.as_ref().map_or(0, |code| code.width + 2);
        let wide = u16::try_from(side).unwrap_or(u16::MAX);
        let high = u16::try_from(side.div_ceil(2)).unwrap_or(u16::MAX);
        let width = all.width.min(wide.max(64).saturating_add(4));
        let mut sheet = Sheet::new(width.saturating_sub(4));
        for line in &self.lines {
            sheet.words(line, Role::Text);
        }
        let about = sheet.lines.len();
        sheet.gap();
        sheet.words(&self.text, Role::Accent);
        let below = u16::try_from(about + 2).unwrap_or(u16::MAX);
        // Half blocks are no ASCII, and half a code is none.
        let fits = side > 0
            && !ascii
            && wide.saturating_add(4) <= all.width
            && high.saturating_add(below).saturating_add(2) <= all.height;
        if !fits {
            sheet.gap();
            let why = match (ascii, self.code.is_some()) {
                (true, _) => "A QR code needs glyphs beyond ASCII (8 Settings).".to_owned(),
                (_, false) => "It is too long for a QR code.".to_owned(),
                (_, true) => format!(
                    "A QR code of it needs a terminal of {}x{}.",
                    wide.saturating_add(4),
                    high.saturating_add(below).saturating_add(2)
                ),
            };
            sheet.words(&format!("{why} y copies the text."), Role::Muted);
        }
        let lines = u16::try_from(sheet.lines.len()).unwrap_or(u16::MAX);
        let wanted = lines.saturating_add(if fits { high } else { 0 }).saturating_add(2);
        let inner = canvas.popup(width, wanted.min(all.height), self.title);
        let mut body = Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner };
        if let Some(code) = self.code.as_ref().filter(|_| fits) {
            let x = body.x + (body.width - wide.min(body.width)) / 2;
            paint(canvas, code, x, body.y);
            body = Rect { y: body.y + high, height: body.height.saturating_sub(high), ..body };
        }
        let most = canvas.sheet(body, &sheet, self.scroll);
        self.scroll = self.scroll.min(most);
    }
}

/// Black on white whatever the theme: a scanner knows nothing else.
fn paint(canvas: &mut Canvas<'_>, code: &Square, left: u16, top: u16) {
    let side = code.width + 2;
    let style = Style::new().fg(Color::Black).bg(Color::White);
    for (row, y) in (top..).zip((0..side).step_by(2)) {
        for (column, x) in (left..).zip(0..side) {
            let symbol = match (code.dark(x, y), code.dark(x, y + 1)) {
                (true, true) => "█",
                (true, false) => "▀",
                (false, true) => "▄",
                (false, false) => " ",
            };
            if let Some(cell) = canvas.buffer.cell_mut((column, row)) {
                cell.set_symbol(symbol).set_style(style);
            }
        }
    }
}

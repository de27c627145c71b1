//! Themes: what a thing means, never what it looks like, is said by whoever draws it.
//!
//! A theme is a TOML file: `meta`, `inherits`, `[palette]`, `[role]`. A role that it leaves out takes that
//! of the role it falls back to, so an old theme survives a new role.

use std::collections::BTreeMap;

use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier, Style};
use serde::Deserialize;

/// What something on the screen means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Plain text, and the background of everything.
    Text,
    /// Names of screens and panes.
    Title,
    /// What matters less.
    Muted,
    /// Frames.
    Border,
    /// The frame that has the keys.
    Focus,
    /// The row that verbs apply to.
    Selected,
    /// What draws the eye.
    Accent,
    /// A key to press.
    Key,
    /// Something that cannot be done now.
    Disabled,
    /// An amount.
    Money,
    /// It went well.
    Good,
    /// Somebody should look.
    Warn,
    /// It went wrong.
    Bad,
    /// Headings in what a stranger wrote.
    Heading,
    /// Code in what a stranger wrote.
    Code,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 15] = [
        Self::Text,
        Self::Title,
        Self::Muted,
        Self::Border,
        Self::Focus,
        Self::Selected,
        Self::Accent,
        Self::Key,
        Self::Disabled,
        Self::Money,
        Self::Good,
        Self::Warn,
        Self::Bad,
        Self::Heading,
        Self::Code,
    ];

    /// The role that stands in for it.
    fn fallback(self) -> Option<Self> {
        Some(match self {
            Self::Text => return None,
            Self::Border | Self::Disabled | Self::Code => Self::Muted,
            Self::Focus | Self::Key | Self::Heading => Self::Accent,
            Self::Bad => Self::Warn,
            Self::Title
            | Self::Muted
            | Self::Selected
            | Self::Accent
            | Self::Money
            | Self::Good
            | Self::Warn => Self::Text,
        })
    }
}

/// Why a text is not a theme.
#[derive(Debug, thiserror::Error)]
pub enum NotATheme {
    /// Not TOML of this shape.
    #[error("the theme cannot be read: {0}")]
    Form(String),
    /// A colour that is neither a name, a number nor `#rrggbb`, nor in the palette.
    #[error("`{0}` is not a colour: write red, 208, #rrggbb or a name of the palette")]
    Colour(String),
    /// It inherits from something that is not shipped.
    #[error("there is no theme `{0}`; shipped are {names}", names = shipped().join(", "))]
    Unknown(String),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    meta: Meta,
    inherits: Option<String>,
    #[serde(default)]
    palette: BTreeMap<String, String>,
    #[serde(default)]
    role: BTreeMap<Role, Look>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Meta {
    name: String,
    #[serde(default)]
    light: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Look {
    fg: Option<String>,
    bg: Option<String>,
    #[serde(default)]
    bold: bool,
    #[serde(default)]
    dim: bool,
    #[serde(default)]
    italic: bool,
    #[serde(default)]
    underline: bool,
    #[serde(default)]
    reverse: bool,
}

const SHIPPED: [(&str, &str); 4] = [
    ("terminal", include_str!("../../themes/terminal.toml")),
    ("ember", include_str!("../../themes/ember.toml")),
    ("paper", include_str!("../../themes/paper.toml")),
    ("contrast", include_str!("../../themes/contrast.toml")),
];

/// The names of the themes that come with the program, the default first.
pub fn shipped() -> [&'static str; 4] {
    SHIPPED.map(|(name, _)| name)
}

/// How many colours a terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// None: bold, reverse and underline only (`NO_COLOR`).
    None,
    /// The 256 of xterm.
    Indexed,
    /// All of them.
    True,
}

/// Looks by meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Theme {
    /// Its name.
    pub name: String,
    /// Whether it is made for a light background.
    pub light: bool,
    looks: BTreeMap<Role, Style>,
}

impl Theme {
    /// One that comes with the program.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn named(name: &str) -> Result<Self, NotATheme> {
        let (_, text) = SHIPPED
            .iter()
            .find(|(known, _)| *known == name)
            .ok_or_else(|| NotATheme::Unknown(name.chars().take(40).collect()))?;
        Self::read(text)
    }

    /// Reads one.
    ///
    /// # Errors
    /// When it is not a theme.
    pub fn read(text: &str) -> Result<Self, NotATheme> {
        let file: File =
            toml::from_str(text).map_err(|e| NotATheme::Form(e.message().trim_end().to_owned()))?;
        let mut looks = match &file.inherits {
            Some(parent) => {
                // Shipped themes inherit from nothing but shipped ones; a theme from outside cannot make
                // a circle, for nothing shipped names it.
                Self::named(parent)?.looks
            }
            None => BTreeMap::new(),
        };
        for (role, look) in &file.role {
            looks.insert(*role, look.style(&file.palette)?);
        }
        Ok(Self { name: file.meta.name, light: file.meta.light, looks })
    }

    /// No looks at all.
    pub fn plain() -> Self {
        Self { name: "plain".into(), light: false, looks: BTreeMap::new() }
    }

    /// How something of this meaning looks.
    pub fn of(&self, role: Role) -> Style {
        let mut at = role;
        loop {
            if let Some(style) = self.looks.get(&at) {
                return *style;
            }
            match at.fallback() {
                Some(next) => at = next,
                None => return Style::new(),
            }
        }
    }
}

impl Look {
    fn style(&self, palette: &BTreeMap<String, String>) -> Result<Style, NotATheme> {
        let colour = |name: &Option<String>| -> Result<Option<Color>, NotATheme> {
            let Some(name) = name else { return Ok(None) };
            let named = palette.get(name).unwrap_or(name);
            let short = || NotATheme::Colour(named.chars().take(40).collect());
            named.parse().map(Some).map_err(|_| short())
        };
        let mut style = Style::new();
        style.fg = colour(&self.fg)?;
        style.bg = colour(&self.bg)?;
        for (on, modifier) in [
            (self.bold, Modifier::BOLD),
            (self.dim, Modifier::DIM),
            (self.italic, Modifier::ITALIC),
            (self.underline, Modifier::UNDERLINED),
            (self.reverse, Modifier::REVERSED),
        ] {
            if on {
                style = style.add_modifier(modifier);
            }
        }
        Ok(style)
    }
}

/// Makes a drawn screen fit the terminal: fewer colours, no glyph beyond ASCII. One place, so that no
/// screen has to know.
pub(super) fn fit(buffer: &mut Buffer, depth: Depth, ascii: bool) {
    if depth == Depth::True && !ascii {
        return;
    }
    for cell in &mut buffer.content {
        match depth {
            Depth::True => {}
            Depth::Indexed => {
                cell.fg = indexed(cell.fg);
                cell.bg = indexed(cell.bg);
            }
            Depth::None => {
                cell.fg = Color::Reset;
                cell.bg = Color::Reset;
            }
        }
        if ascii && let Some(plain) = plain(cell.symbol()) {
            cell.set_symbol(plain);
        }
    }
}

/// The nearest of xterm's colour cube.
fn indexed(colour: Color) -> Color {
    let Color::Rgb(r, g, b) = colour else { return colour };
    let level = |c: u8| match c {
        0..=47 => 0u8,
        48..=114 => 1,
        _ => (c - 35) / 40,
    };
    Color::Indexed(16 + 36 * level(r) + 6 * level(g) + level(b))
}

/// What stands for one of our own glyphs where there is only ASCII.
fn plain(symbol: &str) -> Option<&'static str> {
    Some(match symbol {
        "─" | "━" | "╌" => "-",
        "│" | "┃" | "▏" => "|",
        "┌" | "┐" | "└" | "┘" | "╭" | "╮" | "╰" | "╯" | "├" | "┤" | "┬" | "┴" | "┼" | "┏" | "┓"
        | "┗" | "┛" => "+",
        "█" => "#",
        "░" => ".",
        "▸" | "▶" | "→" => ">",
        "•" | "●" => "*",
        "○" => "o",
        "✓" => "+",
        "✗" => "x",
        "…" => "~",
        "·" => "-",
        "↑" => "^",
        "↓" => "v",
        "←" => "<",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_theme_is_read_and_has_every_role() {
        for name in shipped() {
            let theme = Theme::named(name).unwrap();
            assert_eq!(theme.name, name);
            for role in [Role::Selected, Role::Good, Role::Warn, Role::Bad, Role::Disabled] {
                assert_ne!(theme.of(role), theme.of(Role::Text), "{name} {role:?}");
            }
        }
    }

    #[test]
    fn the_default_uses_only_the_terminals_sixteen_colours() {
        let theme = Theme::named("terminal").unwrap();
        for role in Role::ALL {
            let style = theme.of(role);
            for colour in [style.fg, style.bg].into_iter().flatten() {
                assert!(
                    !matches!(colour, Color::Rgb(..) | Color::Indexed(_)),
                    "{role:?} {colour:?}"
                );
            }
        }
        assert_eq!(theme.of(Role::Text).bg, None, "the background is the terminal's own");
    }

    #[test]
    fn an_old_theme_survives_a_new_role() {
        let theme = Theme::read("[meta]\nname = 'old'\n[role.accent]\nfg = 'green'\n").unwrap();
        assert_eq!(theme.of(Role::Heading).fg, Some(Color::Green));
        assert_eq!(theme.of(Role::Money), Style::new());
    }

    #[test]
    fn what_is_not_a_theme_is_refused() {
        for (text, why) in [
            ("", "cannot be read"),
            ("[meta]\nname = 'x'\n[role.accent]\nfg = 'loud'\n", "`loud` is not a colour"),
            ("inherits = 'nobody'\n[meta]\nname = 'x'\n", "there is no theme `nobody`"),
            ("[meta]\nname = 'x'\n[role.shine]\nfg = 'red'\n", "cannot be read"),
            ("include = '/etc/passwd'\n[meta]\nname = 'x'\n", "cannot be read"),
        ] {
            let said = Theme::read(text).unwrap_err().to_string();
            assert!(said.contains(why), "{text}: {said}");
        }
    }

    #[test]
    fn colours_become_fewer() {
        assert_eq!(indexed(Color::Rgb(255, 0, 0)), Color::Indexed(196));
        assert_eq!(indexed(Color::Rgb(255, 255, 255)), Color::Indexed(231));
        assert_eq!(indexed(Color::Red), Color::Red);
    }
}

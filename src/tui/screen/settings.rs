//! Settings: what a person may choose here. Every change counts at once and is kept.

use crate::market::Msat;
use crate::tui::part::list::Row;
use crate::tui::part::pane::{Line, Sheet};
use crate::tui::theme::{Role, shipped};
use crate::tui::{Do, Key, Model};

const TYPE_ABOVE: [u64; 6] = [0, 1_000, 10_000, 50_000, 100_000, 1_000_000];
const FEE_CAPS: [u64; 4] = [1_000, 5_000, 10_000, 30_000];

/// Name, value, and what it is for.
fn all(model: &Model) -> [(&'static str, String, &'static str); 5] {
    let settings = &model.settings;
    let on = |on: bool| if on { "on" } else { "off" }.to_owned();
    [
        (
            "theme",
            settings.theme.clone(),
            "How meanings look. `terminal` follows the colours your terminal has; files in the themes folder work too. NO_COLOR turns colours off.",
        ),
        ("ASCII only", on(settings.ascii), "No frame and no glyph beyond ASCII."),
        (
            "mouse",
            on(settings.mouse),
            "Clicks and the wheel. Every click has a key; off, the terminal selects text.",
        ),
        (
            "type amounts above",
            settings.type_above.to_string(),
            "A payment above this is confirmed by typing its amount, one below it by a single key.",
        ),
        (
            "routing fee cap",
            format!("{}.{} %", settings.fee_cap_ppm / 10_000, settings.fee_cap_ppm / 1_000 % 10),
            "The most that a payment may cost on its way, and never less than 10 sat. A route above it is not taken.",
        ),
    ]
}

pub(super) fn rows(model: &Model) -> Vec<Row> {
    let row = |(n, (name, value, _)): (usize, (&'static str, String, &'static str))| Row {
        key: Key::Nth(n),
        mark: (" ", Role::Text),
        text: name.to_owned(),
        role: Role::Text,
        right: Line::of(value, Role::Accent),
    };
    all(model).into_iter().enumerate().map(row).collect()
}

pub(super) fn facts(model: &Model, n: usize, width: u16) -> Sheet {
    let mut sheet = Sheet::new(width);
    if let Some((name, value, about)) = all(model).get(n) {
        sheet.words(name, Role::Title);
        sheet.gap();
        sheet.words(about, Role::Text);
        sheet.gap();
        sheet.pair("now", value, Role::Accent);
        sheet.words("c or Enter changes it", Role::Muted);
    }
    sheet
}

/// The next value of the n-th setting.
pub(in crate::tui) fn change(model: &mut Model, n: usize) -> Vec<Do> {
    let mut todo = Vec::new();
    let settings = &mut model.settings;
    match n {
        0 => {
            let mut names: Vec<String> = shipped().map(str::to_owned).to_vec();
            for own in &model.own_themes {
                if !names.contains(&own.name) {
                    names.push(own.name.clone());
                }
            }
            let at = names.iter().position(|name| *name == settings.theme);
            let next = names.swap_remove(at.map_or(0, |at| (at + 1) % names.len()));
            settings.theme.clone_from(&next);
            if let Err(why) = model.wear(&next) {
                model.say(crate::engine::Severity::Warn, why.to_string());
            }
        }
        1 => settings.ascii = !settings.ascii,
        2 => {
            settings.mouse = !settings.mouse;
            todo.push(Do::Mouse(settings.mouse));
        }
        3 => {
            let now = settings.type_above.whole_sats();
            let next = after(&TYPE_ABOVE, now);
            settings.type_above = Msat::sats(next).unwrap_or(Msat::ZERO);
        }
        4 => settings.fee_cap_ppm = after(&FEE_CAPS, settings.fee_cap_ppm),
        _ => return todo,
    }
    todo.push(Do::Save(Box::new(model.settings.clone())));
    todo
}

/// The smallest choice above `now`, or the first.
fn after(choices: &[u64], now: u64) -> u64 {
    choices.iter().copied().find(|choice| *choice > now).unwrap_or(choices[0])
}

//! The frame around every screen: tabs, the list and what is selected in it, health, footer, layers.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};

use crate::engine::Snapshot;
use crate::tui::keymap::Act;
use crate::tui::part::pane::{Canvas, Sheet};
use crate::tui::part::{footer, health, list, toast, too_small};
use crate::tui::screen::{cases, gigs, help, inbox, jobs, people, post, relays, settings, wallet};
use crate::tui::theme::{Role, fit};
use crate::tui::{Key, Layer, Model, Screen, Stage};

/// Draws everything; where the cursor stands. What can be clicked, and how long a page is, stays in the
/// model.
pub fn draw(buffer: &mut Buffer, model: &mut Model, snapshot: &Snapshot) -> Option<Position> {
    let theme = model.theme.clone();
    // Layers are drawn last and a form changes while it is: they are out of the model meanwhile.
    let mut layers = std::mem::take(&mut model.layers);
    let mut canvas = Canvas { buffer, theme: &theme, hits: Vec::new(), cursor: None };
    let area = canvas.buffer.area;
    canvas.clear(area);
    let (width, height) = too_small::LEAST;
    if area.width < width || area.height < height {
        too_small::draw(&mut canvas, model, snapshot);
    } else {
        model.layers = layers;
        let lines = |y, height| Rect { y, height, ..area };
        tabs(&mut canvas, model, snapshot, lines(area.y, 1));
        let body = lines(area.y + 1, area.height - 3);
        columns(&mut canvas, model, snapshot, body);
        health::draw(&mut canvas, model, snapshot, lines(area.bottom() - 2, 1));
        toast::draw(&mut canvas, model, body);
        footer::draw(&mut canvas, model, snapshot, lines(area.bottom() - 1, 1));
        layers = std::mem::take(&mut model.layers);
        match layers.last_mut() {
            Some(Layer::Confirm(confirm, _)) => confirm.draw(&mut canvas),
            Some(Layer::Form(form)) => form.draw(&mut canvas),
            Some(Layer::Code(code)) => code.draw(&mut canvas, model.settings.ascii),
            Some(Layer::Palette(palette)) => {
                let rows = palette.entries(model, snapshot);
                palette.draw(&mut canvas, &rows);
            }
            Some(Layer::Help(scroll)) => {
                *scroll = help::draw(&mut canvas, model, *scroll).min(*scroll)
            }
            Some(Layer::Search) | None => {}
        }
    }
    model.layers = layers;
    model.hits = canvas.hits;
    let cursor = canvas.cursor;
    fit(canvas.buffer, model.depth, model.settings.ascii);
    cursor
}

/// The names of the screens with their keys; on a narrow terminal only the one that is shown. Cases are for
/// who judges.
fn tabs(canvas: &mut Canvas<'_>, model: &Model, snapshot: &Snapshot, area: Rect) {
    let shown = |screen: &Screen| {
        *screen != Screen::Cases || model.screen == *screen || !snapshot.cases.is_empty()
    };
    let screens: Vec<Screen> = Screen::ALL.into_iter().filter(shown).collect();
    let name = |n: usize, screen: Screen| {
        let unread = model.unread();
        match screen {
            Screen::Inbox if unread > 0 => format!("{} {} {unread}", n + 1, screen.word()),
            _ => format!("{} {}", n + 1, screen.word()),
        }
    };
    let all: usize = screens.iter().enumerate().map(|(n, s)| name(n, *s).len() + 2).sum();
    let narrow = all > usize::from(area.width);
    let mut x = area.x;
    for (n, screen) in screens.into_iter().enumerate() {
        let here = screen == model.screen;
        let text = match (narrow, here) {
            (true, false) => (n + 1).to_string(),
            _ => name(n, screen),
        };
        let room = area.right().saturating_sub(x);
        let role = if here { Role::Title } else { Role::Muted };
        let used = canvas.put(x, area.y, room, &format!(" {text} "), role);
        let place = Rect { x, width: used, height: 1, ..area };
        if here {
            canvas.select(place);
        }
        canvas.hits.push((place, Act::Go(screen)));
        x += used;
    }
}

/// One, two or three columns. With one, what is open covers the list.
fn columns(canvas: &mut Canvas<'_>, model: &mut Model, snapshot: &Snapshot, area: Rect) {
    let split = |area: Rect, part: u16| {
        let left = area.width * part / 100;
        let right = Rect { x: area.x + left, width: area.width - left, ..area };
        (Rect { width: left, ..area }, right)
    };
    match area.width {
        120.. => {
            let (left, rest) = split(area, 38);
            let (middle, right) = split(rest, 55);
            draw_list(canvas, model, snapshot, left);
            let third = third(model, snapshot, right.width.saturating_sub(4));
            match third {
                Some((title, sheet)) => {
                    detail(canvas, model, snapshot, middle, true);
                    let inner = canvas.pane(right, title, false);
                    canvas.sheet(padded(inner), &sheet, 0);
                }
                None => detail(canvas, model, snapshot, rest, false),
            }
        }
        80.. => {
            let (left, right) = split(area, 45);
            draw_list(canvas, model, snapshot, left);
            detail(canvas, model, snapshot, right, false);
        }
        _ if model.open => detail(canvas, model, snapshot, area, false),
        _ => draw_list(canvas, model, snapshot, area),
    }
}

fn padded(area: Rect) -> Rect {
    if area.width < 20 {
        return area;
    }
    Rect { x: area.x + 1, width: area.width - 2, ..area }
}

fn draw_list(canvas: &mut Canvas<'_>, model: &mut Model, snapshot: &Snapshot, area: Rect) {
    let title = match model.screen {
        Screen::Wallet if model.purse.channels_shown => "Channels",
        Screen::Wallet => "Payments",
        screen => screen.word(),
    };
    let mut inner = canvas.pane(area, title, !model.open);
    if model.screen != Screen::Settings && model.screen != Screen::Relays {
        gigs::draw_line(canvas, model, Rect { height: 1, ..inner });
        inner = Rect { y: inner.y + 1, height: inner.height.saturating_sub(1), ..inner };
        let wrong = gigs::draw_wrong(canvas, model, inner);
        inner = Rect { y: inner.y + wrong, height: inner.height - wrong, ..inner };
    }
    let rows = super::rows(model, snapshot);
    if rows.is_empty() {
        return nothing(canvas, model, inner);
    }
    let selected = super::selected(model, snapshot);
    model.page = list::draw(canvas, inner, &rows, selected.as_ref()).max(1);
}

/// An empty list says what will be there, and the next key.
fn nothing(canvas: &mut Canvas<'_>, model: &Model, area: Rect) {
    if !model.line(model.screen).is_empty() && model.screen != Screen::Gigs {
        return list::empty(canvas, area, "Nothing matches.", "/ changes the filter");
    }
    if let (Stage::Down(why), true) = (&model.stage, model.screen != Screen::Settings) {
        return list::empty(canvas, area, why, "q quits. earnest doctor looks for the cause");
    }
    match model.screen {
        Screen::Gigs => gigs::draw_empty(canvas, model, area),
        Screen::Jobs => jobs::draw_empty(canvas, model, area),
        Screen::Post => list::empty(
            canvas,
            area,
            "No gig of yours yet.",
            "n fills in a form, e opens your editor",
        ),
        Screen::Wallet => wallet::draw_empty(canvas, model, area),
        Screen::People => {
            list::empty(canvas, area, "Nobody yet.", "Whoever you work with stands here afterwards")
        }
        Screen::Relays => list::empty(
            canvas,
            area,
            "No relay is connected yet.",
            "earnest doctor looks for the cause",
        ),
        Screen::Inbox => list::empty(
            canvas,
            area,
            "Nothing to tell yet.",
            "What happens to your jobs stands here",
        ),
        Screen::Cases => list::empty(
            canvas,
            area,
            "You judge nothing.",
            "earnest judge open --by-hand lists you as a judge",
        ),
        Screen::Settings => {}
    }
}

/// What is selected, in one pane. `alone`: the third column has the rest.
fn detail(
    canvas: &mut Canvas<'_>,
    model: &mut Model,
    snapshot: &Snapshot,
    area: Rect,
    alone: bool,
) {
    let title = match model.screen {
        Screen::Wallet if !model.open => "Balance",
        Screen::Post if model.drafting.is_some() => "Preview",
        Screen::Relays => "Relay and node",
        Screen::Settings => "About it",
        _ => "Detail",
    };
    let inner = padded(canvas.pane(area, title, model.open));
    let width = inner.width;
    let selected = super::selected(model, snapshot);
    let sheet = match (model.screen, selected) {
        (Screen::Gigs, _) => gigs::chosen(model, snapshot).map(|gig| match alone {
            true => {
                let mut sheet = Sheet::new(width);
                sheet.words(gig.title.or("(no title)"), Role::Title);
                gigs::words(&mut sheet, gig);
                sheet
            }
            false => {
                let mut sheet = gigs::facts(model, snapshot, gig, width);
                gigs::words(&mut sheet, gig);
                sheet
            }
        }),
        (Screen::Post, _) => post::facts(model, snapshot, width),
        (Screen::Jobs, _) => jobs::chosen(model, snapshot).map(|job| {
            let mut sheet = jobs::facts(model, snapshot, job, width);
            if !alone {
                sheet.head("What happened");
                sheet.lines.extend(jobs::timeline(model, job.id, job.role, width).lines);
            }
            sheet
        }),
        (Screen::Wallet, Some(_)) if model.open => Some(wallet::facts(model, snapshot, width)),
        (Screen::Wallet, _) => Some(wallet::balances(model, snapshot, width)),
        (Screen::People, Some(Key::Person(who))) => {
            Some(people::facts(model, snapshot, who, width))
        }
        (Screen::Relays, at) => Some(relays::facts(model, snapshot, at, width)),
        (Screen::Inbox, Some(Key::Nth(n))) => Some(inbox::facts(model, n, width)),
        (Screen::Cases, _) => {
            cases::chosen(model, snapshot).map(|case| cases::facts(snapshot, case, width))
        }
        (Screen::Settings, Some(Key::Nth(n))) => Some(settings::facts(model, n, width)),
        _ => None,
    };
    match sheet {
        Some(sheet) => {
            let most = canvas.sheet(inner, &sheet, model.scroll);
            model.scroll = model.scroll.min(most);
            if model.open && canvas.cursor.is_none() {
                canvas.cursor = Some(Position { x: inner.x, y: inner.y });
            }
        }
        // Whoever has nothing yet wants to know how it goes.
        None => {
            let mut sheet = Sheet::new(width);
            help::how(&mut sheet);
            canvas.sheet(inner, &sheet, model.scroll);
        }
    }
}

/// The third column of a wide terminal.
fn third(model: &Model, snapshot: &Snapshot, width: u16) -> Option<(&'static str, Sheet)> {
    match model.screen {
        Screen::Gigs => {
            let gig = gigs::chosen(model, snapshot)?;
            Some(("Terms", gigs::facts(model, snapshot, gig, width)))
        }
        Screen::Jobs => {
            let job = jobs::chosen(model, snapshot)?;
            Some(("What happened", jobs::timeline(model, job.id, job.role, width)))
        }
        Screen::Wallet if model.open => Some(("Balance", wallet::balances(model, snapshot, width))),
        _ => None,
    }
}

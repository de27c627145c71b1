//! Post: gigs of ours, and the one that is being written: what strangers will see, before they do.

use crate::engine::{Command, GigView, PostView, Snapshot};
use crate::market::{DRAFT_TEMPLATE, Msat, Status, WrittenGig};
use crate::tui::model::Drafting;
use crate::tui::palette::matching;
use crate::tui::part::confirm::Confirm;
use crate::tui::part::form::{Form, Purpose};
use crate::tui::part::list::Row;
use crate::tui::part::pane::{Line, Sheet};
use crate::tui::screen::gigs;
use crate::tui::theme::Role;
use crate::tui::{Do, Key, Layer, Model, Screen, Stage, Then};

pub(super) fn rows(model: &Model, snapshot: &Snapshot) -> Vec<Row> {
    let rows: Vec<Row> = snapshot
        .posts
        .iter()
        .rev()
        .map(|post| {
            let open = takes_bids(post, model);
            let mark = match (post.bids, open) {
                (1.., _) => ("▸", Role::Accent),
                (0, true) => ("○", Role::Good),
                (0, false) => ("✗", Role::Muted),
            };
            let right = Line::of(format!("{}  ", post.gig.price), Role::Money)
                .and(bids(post.bids), if post.bids > 0 { Role::Accent } else { Role::Muted });
            let text = post.gig.title.or("(no title)").to_owned();
            let role = if open { Role::Text } else { Role::Muted };
            Row { key: Key::Event(post.id), mark, text, role, right }
        })
        .collect();
    matching(model.line(Screen::Post), rows, |row| &row.text)
}

fn bids(n: u32) -> String {
    match n {
        0 => "no bid".to_owned(),
        1 => "1 bid".to_owned(),
        n => format!("{n} bids"),
    }
}

fn takes_bids(post: &PostView, model: &Model) -> bool {
    post.gig.status == Status::Open && model.at.now < post.gig.expires_at
}

/// The selected gig of ours, while they are looked at.
pub(in crate::tui) fn chosen<'a>(model: &Model, snapshot: &'a Snapshot) -> Option<&'a PostView> {
    let Some(Key::Event(id)) =
        super::selected(model, snapshot).filter(|_| model.screen == Screen::Post)
    else {
        return None;
    };
    snapshot.posts.iter().map(|post| &**post).find(|post| post.id == id)
}

pub(super) fn may_close(model: &Model, snapshot: &Snapshot) -> Result<(), String> {
    let post = chosen(model, snapshot).ok_or("No gig is selected.")?;
    match post.gig.status {
        Status::Closed => Err("It is closed already.".into()),
        Status::Open | Status::Reserved => Ok(()),
    }
}

pub(super) fn may_publish(model: &Model) -> Result<(), String> {
    let Some(drafting) = &model.drafting else {
        return Err("No gig is being written: n or e begins one.".into());
    };
    match (&drafting.read, &drafting.preview) {
        (Err(why), _) | (_, Some(Err(why))) => Err(format!("{why} Nothing was published.")),
        (Ok(_), Some(Ok(_))) => Ok(()),
        (Ok(_), None) => Err("What strangers will see is still being made.".into()),
    }
}

/// What came out of the editor or the form.
pub(in crate::tui) fn written(model: &mut Model, text: String) -> Vec<Do> {
    let read = WrittenGig::read(&text, model.at.now)
        .map_err(|mistake| format!("{mistake}."))
        .and_then(|gig| match gig.draft.check(model.at.now) {
            // What lies in a file is only read for the preview.
            Ok(()) => Ok(gig),
            Err(refusal) => Err(refusal.sentence),
        })
        .map_err(crate::tui::msg::washed);
    model.drafting = Some(Drafting { text, read, preview: None, asked: None });
    model.open = true;
    model.scroll = 0;
    Vec::new()
}

/// Asks for what strangers would see, once there is somebody to ask.
pub(in crate::tui) fn preview(model: &mut Model) -> Vec<Do> {
    let up = model.stage == Stage::Up;
    let id = match &model.drafting {
        Some(Drafting { read: Ok(_), preview: None, asked: None, .. }) if up => model.fresh(),
        _ => return Vec::new(),
    };
    let Some(drafting) = &mut model.drafting else { return Vec::new() };
    drafting.asked = Some(id);
    match &drafting.read {
        Ok(gig) => vec![Do::Preview(id, Box::new(gig.clone()))],
        Err(_) => Vec::new(),
    }
}

/// The text that the editor opens on: what is being written, or an empty gig.
pub(in crate::tui) fn text(model: &Model) -> String {
    model
        .drafting
        .as_ref()
        .map_or_else(|| DRAFT_TEMPLATE.to_owned(), |drafting| drafting.text.clone())
}

/// An empty form.
pub(in crate::tui) fn form() -> Form {
    Form::new(Purpose::Gig, "A new gig", "Preview")
        .intro(
            "Everything here is public. Nothing is published before you have seen it.",
            Role::Muted,
        )
        .field("title", "one line", "")
        .field("summary", "for the list; may be empty", "")
        .field("price", "for each worker, in sats", "21000")
        .field("slots", "how many workers", "1")
        .field("tags", "words, with spaces between", "")
        .field("deliver", "from the award to the delivery: 3d, 12h", "3d")
        .field("pay", "from the delivery to the payment", "1d")
        .field("expires", "no bids after", "7d")
        .field("inputs", "files to work on, with commas between; only for whom you award", "")
        .text("task", "what is to be done, in Markdown")
}

/// A filled-in form as the text that the editor would have: there is one way in.
pub(in crate::tui) fn as_text(form: &Form) -> Result<String, String> {
    let value = |n: usize| toml::Value::String(form.value(n));
    let list = |n: usize, at: fn(char) -> bool| {
        let value = form.value(n);
        let parts = value.split(at).map(str::trim).filter(|part| !part.is_empty());
        toml::Value::Array(parts.map(|part| toml::Value::String(part.to_owned())).collect())
    };
    let slots: u32 = form.value(3).parse().map_err(|_| "Slots are a number, for example 1.")?;
    let mut table = toml::Table::new();
    for (name, value) in [
        ("title", value(0)),
        ("summary", value(1)),
        ("price", value(2)),
        ("slots", toml::Value::Integer(slots.into())),
        ("tags", list(4, char::is_whitespace)),
        ("deliver", value(5)),
        ("pay", value(6)),
        ("expires", value(7)),
        ("inputs", list(8, |c| c == ',')),
        ("content", value(9)),
    ] {
        table.insert(name.to_owned(), value);
    }
    toml::to_string(&table).map_err(|why| why.to_string())
}

/// The question before a gig is published.
pub(in crate::tui) fn publish(model: &mut Model, snapshot: &Snapshot) {
    let Some(Drafting { read: Ok(gig), preview: Some(Ok(seen)), .. }) = &model.drafting else {
        return;
    };
    let draft = &gig.draft;
    let all = draft.price.get().saturating_mul(draft.slots.into());
    let all = Msat::new(all).unwrap_or(Msat::MAX);
    let spendable = snapshot.node.as_ref().map_or(Msat::ZERO, |n| n.balances.lightning_spendable);
    let free = spendable.saturating_sub(snapshot.reserved);
    let mut confirm = Confirm::new("Publish this gig?", "publish", seen.title.clone(), model.at.ms)
        .amount("you offer", draft.price, Msat::MAX)
        .row("workers", draft.slots.to_string())
        .row("all in all", format!("{all}, paid on acceptance"))
        .row("with it", format!("{} input files, for whom you award", gig.inputs.len()));
    if free < all {
        let missing = all.saturating_sub(free);
        confirm = confirm.risk(format!("You cannot pay all of it now: {missing} are missing."));
    }
    let confirm =
        confirm.last("It is signed by you, for everybody and for good. No money moves now.");
    let command = Command::Post { draft: draft.clone(), inputs: gig.inputs.clone(), key: None };
    let then =
        Then::Ask(Box::new(command), "The gig is signed and on its way to the relays.".into());
    model.layers.push(Layer::Confirm(Box::new(confirm), Box::new(then)));
}

/// The question before a gig takes no more bids.
pub(in crate::tui) fn close(model: &mut Model, snapshot: &Snapshot) {
    let Some(post) = chosen(model, snapshot) else { return };
    let confirm = Confirm::new("Take no more bids?", "close", post.gig.title.clone(), model.at.ms)
        .row("bids waiting", post.bids.to_string())
        .row("awarded", format!("{} of {}", post.awarded, post.gig.slots))
        .last("What is awarded goes on. A closed gig is not opened again.");
    let then = Then::Ask(
        Box::new(Command::Close { gig: post.gig.id }),
        "The gig takes no more bids.".into(),
    );
    model.layers.push(Layer::Confirm(Box::new(confirm), Box::new(then)));
}

/// The gig that is being written, or the selected one.
pub(super) fn facts(model: &Model, snapshot: &Snapshot, width: u16) -> Option<Sheet> {
    let Some(drafting) = &model.drafting else {
        let post = chosen(model, snapshot)?;
        let mut sheet = Sheet::new(width);
        let given = format!("{} of {} awarded", post.awarded, post.gig.slots);
        sheet.words(&format!("{} waiting, {given}.", bids(post.bids)), Role::Accent);
        if post.bids > 0 {
            sheet.words("3 shows the bids: w awards one", Role::Muted);
        }
        sheet.gap();
        sheet.lines.extend(gig(model, snapshot, &post.gig, width).lines);
        return Some(sheet);
    };
    let mut sheet = Sheet::new(width);
    match (&drafting.read, &drafting.preview) {
        (Err(why), _) | (_, Some(Err(why))) => {
            sheet.words("This is not a gig yet. Nothing was published.", Role::Bad);
            sheet.gap();
            sheet.words(why, Role::Text);
            sheet.gap();
            sheet.words("e goes on writing, Esc throws it away", Role::Muted);
        }
        (Ok(_), None) => sheet.words("Making what strangers will see.", Role::Muted),
        (Ok(written), Some(Ok(seen))) => {
            sheet.words("What strangers will see. Not published yet.", Role::Warn);
            sheet.words("p publishes, e goes on writing, Esc throws it away", Role::Muted);
            sheet.gap();
            sheet.lines.extend(gig(model, snapshot, seen, width).lines);
            for input in &written.inputs {
                sheet.pair("from here", &input.display().to_string(), Role::Muted);
            }
        }
    }
    Some(sheet)
}

fn gig(model: &Model, snapshot: &Snapshot, gig: &GigView, width: u16) -> Sheet {
    let mut sheet = gigs::facts(model, snapshot, gig, width);
    gigs::words(&mut sheet, gig);
    sheet
}

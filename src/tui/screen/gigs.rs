//! Gigs: the book, searched as it is typed, and what one gig asks for.

use ratatui::layout::{Position, Rect};

use crate::engine::{Command, GigView, Snapshot};
use crate::market::{Mode, Msat, Network, Query, Side, Status, Wish, Work};
use crate::tui::model::Book;
use crate::tui::msg::Found;
use crate::tui::part::form::{Form, Purpose};
use crate::tui::part::list::Row;
use crate::tui::part::pane::{Canvas, Line, Sheet};
use crate::tui::part::{gauge, list, markdown, person};
use crate::tui::screen::{money, people};
use crate::tui::theme::Role;
use crate::tui::{Do, Key, Layer, Model, Said, Screen, Stage};

pub(in crate::tui) fn rows(model: &Model, snapshot: &Snapshot) -> Vec<Row> {
    model
        .book
        .gigs
        .iter()
        .map(|gig| {
            let own = snapshot.identity == Some(gig.author);
            let mark = match gig.status {
                Status::Open if own => ("•", Role::Accent),
                Status::Open => (" ", Role::Text),
                Status::Reserved | Status::Closed => ("✗", Role::Muted),
            };
            let role = if gig.status == Status::Open { Role::Text } else { Role::Muted };
            let text = gig.title.or("(no title)").to_owned();
            let right = Line::of(gig.price.to_string(), Role::Money);
            Row { key: Key::Event(gig.id), mark, text, role, right }
        })
        .collect()
}

/// The selected gig.
pub(super) fn chosen<'a>(model: &'a Model, _: &Snapshot) -> Option<&'a GigView> {
    let key = model.selected.get(&Screen::Gigs);
    model.book.gigs.iter().find(|gig| key == Some(&Key::Event(gig.id))).or(model.book.gigs.first())
}

/// Asks the book what is typed. A line that is no question keeps what was found before.
pub(in crate::tui) fn find(model: &mut Model) -> Vec<Do> {
    if model.stage != Stage::Up {
        return Vec::new();
    }
    match Query::parse(model.line(Screen::Gigs), model.network, person::read) {
        Ok(query) => {
            model.book.wrong = None;
            let asking = model.fresh();
            model.book.asking = Some((asking, false));
            model.book.heard = model.heard;
            vec![Do::Find(asking, Box::new(query))]
        }
        Err(wrong) => {
            model.book.wrong = Some(crate::tui::msg::washed(wrong.to_string()));
            Vec::new()
        }
    }
}

/// Asks again when a relay has said something since: it may have been a gig.
pub(in crate::tui) fn again(model: &mut Model) -> Vec<Do> {
    let new = model.heard > model.book.heard && model.book.asking.is_none() && model.book.known;
    if model.screen == Screen::Gigs && new { find(model) } else { Vec::new() }
}

/// Asks for the window after the last one.
pub(in crate::tui) fn more(model: &mut Model) -> Vec<Do> {
    let Some(after) = model.book.next.clone().filter(|_| model.book.asking.is_none()) else {
        return Vec::new();
    };
    let Ok(query) = Query::parse(model.line(Screen::Gigs), model.network, person::read) else {
        return Vec::new();
    };
    let asking = model.fresh();
    model.book.asking = Some((asking, true));
    vec![Do::Find(asking, Box::new(Query { after: Some(after), ..query }))]
}

/// What the book answered.
pub(in crate::tui) fn found(model: &mut Model, id: u64, answer: Result<Found, Said>) {
    // An answer to a question that nobody asks any more.
    let Some((_, further)) = model.book.asking.filter(|(asked, _)| *asked == id) else { return };
    model.book.asking = None;
    match answer {
        Ok(Found { gigs, next }) => {
            if further {
                let known: std::collections::BTreeSet<_> =
                    model.book.gigs.iter().map(|g| g.id).collect();
                model.book.gigs.extend(gigs.into_iter().filter(|gig| !known.contains(&gig.id)));
                model.book.next = next;
            } else {
                let line = model.line(Screen::Gigs).to_owned();
                let heard = model.book.heard;
                let mut before = std::mem::take(&mut model.book);
                model.book = Book { gigs, next, known: true, line, heard, ..Book::default() };
                // Asked again, the windows that were read before stay below the new one.
                let same = before.line == model.book.line;
                // What verbs apply to stays, though nobody chose it and another gig now comes first.
                if let Some(first) = before.gigs.first().filter(|_| same) {
                    model.selected.entry(Screen::Gigs).or_insert(Key::Event(first.id));
                }
                if same && before.gigs.len() > model.book.gigs.len() {
                    before.gigs.retain(|old| model.book.gigs.iter().all(|gig| gig.id != old.id));
                    model.book.gigs.append(&mut before.gigs);
                    model.book.next = before.next;
                }
            }
        }
        Err(said) => model.book.wrong = Some(said.text),
    }
}

/// Whether the selected gig takes a bid of ours.
pub(super) fn may_bid(model: &Model, snapshot: &Snapshot) -> Result<(), String> {
    let gig = chosen(model, snapshot).ok_or("No gig is selected.")?;
    let no = |why: &str| Err(why.to_owned());
    if gig.network != model.network {
        return no("The gig is on another network.");
    }
    if snapshot.identity == Some(gig.author) {
        return no("This gig is your own.");
    }
    if gig.side != Side::Request {
        return no("The listing offers work; it does not ask for any.");
    }
    if gig.status != Status::Open {
        return no("The gig takes no more bids.");
    }
    if model.at.now >= gig.expires_at {
        return no("The gig has expired: it takes no more bids.");
    }
    Ok(())
}

/// The form for a bid on the selected gig.
pub(in crate::tui) fn bid(model: &mut Model, snapshot: &Snapshot) {
    let Some(gig) = chosen(model, snapshot) else { return };
    let (net, role) = money::net_at_once(gig.price, snapshot.node.as_ref(), model);
    let form = Form::new(Purpose::Bid(gig.id), "Bid on a gig", "Send the bid")
        .intro(gig.title.or("(no title)"), Role::Text)
        .intro(format!("It pays {}. You net: {net}", gig.price), role)
        .intro(
            format!(
                "Awarded, you have {} to deliver. A bid moves no money and can be withdrawn.",
                crate::market::Span(gig.deliver_secs)
            ),
            Role::Muted,
        )
        .field(
            "price",
            "what you ask, in sats; the gig's price if left alone",
            gig.price.whole_sats().to_string(),
        )
        .field("tranches", "paid in how many parts: 1 is all at once", "1")
        .text("message", "for the requester, private");
    model.layers.push(Layer::Form(Box::new(form)));
}

/// The bid that was filled in.
pub(in crate::tui) fn submit(form: &Form, model: &Model) -> Result<(Command, String), String> {
    let Purpose::Bid(id) = form.purpose else { return Err("Not a bid.".into()) };
    let gig =
        model.book.gigs.iter().find(|gig| gig.id == id).ok_or("The gig is not listed any more.")?;
    let price: Msat = form.value(0).parse().map_err(|e| format!("The price: {e}."))?;
    let tranches: u32 =
        form.value(1).parse().map_err(|_| "Tranches are a number, for example 1.".to_owned())?;
    // Untouched, the gig's exact price counts, millisatoshis and all.
    let untouched = form.value(0) == gig.price.whole_sats().to_string();
    let price = (!untouched).then_some(price);
    let wish = Wish { mode: None, price, tranches: Some(tranches) };
    let more = price.and_then(|price| gig.asks_more(price));
    let told = ["The bid is signed and on its way.".to_owned()].into_iter().chain(more);
    let told = told.collect::<Vec<_>>().join(" ");
    Ok((Command::Bid { gig: id, wish, message: form.value(2) }, told))
}

/// The line that is searched with, its cursor, or what is wrong with it.
pub(super) fn draw_line(canvas: &mut Canvas<'_>, model: &Model, area: Rect) {
    let screen = model.screen;
    let typing = matches!(model.layers.last(), Some(Layer::Search));
    let typed = model.line(screen);
    let used = canvas.put(area.x, area.y, area.width, "/ ", Role::Key);
    let x = area.x + used;
    let room = area.width.saturating_sub(used);
    if typed.is_empty() && !typing {
        let hint = match screen {
            Screen::Gigs => "label price>=1000 #rust mode:sealed sort:price",
            _ => "filter",
        };
        canvas.put(x, area.y, room, hint, Role::Muted);
    } else {
        let wrong = screen == Screen::Gigs && model.book.wrong.is_some();
        canvas.put(x, area.y, room, typed, if wrong { Role::Bad } else { Role::Text });
    }
    if typing {
        let at = model.lines.get(&screen).map_or(0, tui_input::Input::visual_cursor);
        let x = x + u16::try_from(at).unwrap_or(0);
        canvas.cursor = Some(Position { x: x.min(area.right().saturating_sub(1)), y: area.y });
    }
}

/// What is wrong with the line, below it; how many rows it took.
pub(super) fn draw_wrong(canvas: &mut Canvas<'_>, model: &Model, area: Rect) -> u16 {
    let Some(why) = model.book.wrong.as_ref().filter(|_| model.screen == Screen::Gigs) else {
        return 0;
    };
    // The list says it itself while it is empty.
    if model.book.gigs.is_empty() {
        return 0;
    }
    let mut sheet = Sheet::new(area.width);
    sheet.indented("! ", why, Role::Warn);
    sheet.lines.truncate(3);
    canvas.sheet(area, &sheet, 0);
    u16::try_from(sheet.lines.len()).unwrap_or(0).min(area.height)
}

/// Why the list is empty.
pub(super) fn draw_empty(canvas: &mut Canvas<'_>, model: &Model, area: Rect) {
    let typed = !model.line(Screen::Gigs).is_empty();
    let (what, next) = match (&model.stage, &model.book.wrong) {
        (Stage::Starting, _) => {
            ("Starting.", "The gigs you heard of before are here in a moment. ? shows every key")
        }
        (_, Some(why)) => (why.as_str(), "/ changes the search"),
        _ if !model.book.known => ("Asking the book.", "? shows every key"),
        _ if typed => ("No gig matches.", "/ changes the search, all includes closed ones"),
        _ => ("No gig has been heard of yet.", "They come in from the relays. 2 then n posts one"),
    };
    list::empty(canvas, area, what, next);
}

/// What a gig is about, money first.
pub(super) fn facts(model: &Model, snapshot: &Snapshot, gig: &GigView, width: u16) -> Sheet {
    let mut sheet = Sheet::new(width);
    sheet.words(gig.title.or("(no title)"), Role::Title);
    sheet.gap();
    let slots = if gig.slots == 1 { String::new() } else { format!(", for each of {}", gig.slots) };
    sheet.pair("pays", &format!("{}{slots}", gig.price), Role::Money);
    // Who pays nets nothing; a preview has no author yet that could be compared.
    let own = snapshot.identity == Some(gig.author) || model.screen == Screen::Post;
    if own {
        sheet.pair("by", "you", Role::Text);
    } else {
        let (net, role) = money::net(gig.price, snapshot.node.as_ref(), model);
        sheet.pair("you net", &net, role);
        sheet.pair("by", &people::shown(&gig.author, snapshot), Role::Text);
    }
    sheet.pair("work", work(gig.work), Role::Text);
    let modes: Vec<&str> = gig.modes.iter().map(|mode| mode_words(*mode)).collect();
    sheet.pair("settled", &modes.join(", or "), Role::Text);
    for (n, milestone) in gig.milestones.iter().enumerate() {
        let what = if n == 0 { "milestones" } else { "" };
        sheet.pair(what, &milestone.line(n), Role::Text);
    }
    sheet.pair("deliver within", &crate::market::Span(gig.deliver_secs).to_string(), Role::Text);
    sheet.pair("paid within", &crate::market::Span(gig.pay_secs).to_string(), Role::Text);
    sheet.pair("at most", &gauge::bytes(gig.max_bytes), Role::Text);
    for asked in &gig.quality {
        sheet.pair("quality", asked, Role::Text);
    }
    let left = model.at.now.until(gig.expires_at);
    let (open, role) = match gig.status {
        Status::Open if left.0 > 0 => (format!("for {left}"), Role::Good),
        Status::Open => ("no, it has expired".into(), Role::Muted),
        Status::Reserved => ("no, every slot is awarded".into(), Role::Muted),
        Status::Closed => ("no, it is closed".into(), Role::Muted),
    };
    sheet.pair("takes bids", &open, role);
    if gig.network != Network::Bitcoin {
        sheet.pair("network", network(gig.network), Role::Warn);
    }
    if !gig.tags.is_empty() {
        let tags: Vec<String> = gig.tags.iter().map(|tag| format!("#{tag}")).collect();
        sheet.pair("tags", &tags.join(" "), Role::Muted);
    }
    sheet.pair("id", &gig.id.short(), Role::Muted);
    for (name, size) in &gig.inputs {
        sheet.pair(
            "input file",
            &format!("{} {}", gauge::bytes(*size), name.or("(no name)")),
            Role::Text,
        );
    }
    sheet
}

/// The words of whoever wrote it.
pub(super) fn words(sheet: &mut Sheet, gig: &GigView) {
    if !gig.summary.is_empty() && gig.summary != gig.content {
        sheet.gap();
        sheet.words(&gig.summary, Role::Text);
    }
    markdown::write(sheet, &gig.content);
    if gig.content.is_empty() && gig.summary.is_empty() {
        sheet.gap();
        sheet.words("(nothing more is said)", Role::Muted);
    }
}

/// What a network is called, where it is not the one with real money.
pub(super) fn network(network: Network) -> &'static str {
    match network {
        Network::Bitcoin => "bitcoin",
        Network::Signet => "signet: test money",
        Network::Testnet => "testnet: test money",
        Network::Regtest => "regtest: play money",
    }
}

fn work(work: Work) -> &'static str {
    match work {
        Work::File => "a file",
        Work::Label => "labels for a batch",
        Work::Meter => "metered units",
        Work::Judge => "judging disputes",
    }
}

pub(super) fn mode_words(mode: Mode) -> &'static str {
    match mode {
        Mode::Sealed => "sealed (paying opens it)",
        Mode::Direct => "direct (in the open)",
        Mode::Escrow => "escrow (locked first)",
    }
}

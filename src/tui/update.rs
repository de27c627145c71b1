//! Update: one message in, what is to be done out. No clock, no IO: the same messages give the same screen.

use crossterm::event::KeyEvent;

use crate::engine::{Command, Notice, Severity, Snapshot, WalletCommand};
use crate::market::Msat;
use crate::tui::keymap::Act;
use crate::tui::model::{Pending, TOAST_MS};
use crate::tui::palette::{Leads, Palette, Picked};
use crate::tui::part::code::{Code, Looked};
use crate::tui::part::confirm::{Answer, Confirm};
use crate::tui::part::form::{Filled, Form, Purpose, request};
use crate::tui::screen::{self, cases, gigs, jobs, people, post, settings, wallet};
use crate::tui::{Do, Key, Layer, Model, Moment, Msg, Said, Screen, Stage, Then};

/// How many notices are kept.
const KEPT: usize = 500;

/// Takes one message.
pub fn update(model: &mut Model, snapshot: &Snapshot, at: Moment, msg: Msg) -> Vec<Do> {
    model.at = at;
    model.heard = snapshot.relays.iter().filter_map(|relay| relay.heard_at).max();
    model.toasts.retain(|toast| {
        toast.severity >= Severity::Warn || at.ms < toast.born.saturating_add(TOAST_MS)
    });
    let mut todo = match msg {
        Msg::Key(key) => press(model, snapshot, &key),
        Msg::Paste(text) => paste(model, snapshot, &text),
        Msg::Click(x, y) => click(model, snapshot, x, y),
        Msg::Wheel(by) => {
            let act = if by < 0 { Act::Up } else { Act::Down };
            if model.layers.is_empty() { act_on(model, snapshot, act) } else { Vec::new() }
        }
        Msg::Resize(width, height) => {
            model.size = (width, height);
            Vec::new()
        }
        Msg::Wake => Vec::new(),
        Msg::Up { owner } => {
            model.owner = owner;
            model.stage = Stage::Up;
            gigs::find(model)
        }
        Msg::Down(why) => {
            model.stage = Stage::Down(crate::tui::msg::washed(why));
            Vec::new()
        }
        Msg::Notice(notice) => {
            told(model, notice);
            Vec::new()
        }
        Msg::Answered(id, answer) => answered(model, id, answer),
        Msg::Found(id, answer) => {
            gigs::found(model, id, answer);
            Vec::new()
        }
        // A gig that is not in the book any more is just not shown.
        Msg::Gig(id, answer) => {
            model.gigs.insert(id, answer.unwrap_or(None).map(|gig| *gig));
            Vec::new()
        }
        Msg::History(id, answer) => {
            match answer {
                Ok(facts) => {
                    let n = model.history_asked.filter(|(job, _)| *job == id).map_or(0, |(_, n)| n);
                    model.history = Some((id, n, facts));
                }
                Err(said) => said_to(model, &said),
            }
            Vec::new()
        }
        Msg::Person(answer) => people::read(model, answer),
        Msg::Mutes(said, answer) => people::muted(model, said, answer),
        Msg::Payments(answer) => {
            match answer {
                Ok(rows) => model.ledger = rows,
                Err(said) => said_to(model, &said),
            }
            Vec::new()
        }
        Msg::Wallet(id, answer) => {
            wallet::heard(model, id, answer);
            Vec::new()
        }
        Msg::Coins(id, answer) => {
            wallet::coins_came(model, id, answer);
            Vec::new()
        }
        Msg::Previewed(id, answer) => {
            if let Some(drafting) = model.drafting.as_mut().filter(|d| d.asked == Some(id)) {
                drafting.preview = Some(answer.map_err(|said| said.text).map(|both| {
                    let (gig, seen) = *both;
                    drafting.read = Ok(gig);
                    Box::new(seen)
                }));
            }
            Vec::new()
        }
        Msg::Edited(answer) => match answer {
            Ok(Some(text)) if text == post::text(model) => {
                model.say(Severity::Info, "Nothing was changed.");
                Vec::new()
            }
            Ok(Some(text)) => post::written(model, text),
            Ok(None) => {
                model.say(
                    Severity::Info,
                    "The editor ended with an error: nothing was taken from it.",
                );
                Vec::new()
            }
            Err(said) => {
                said_to(model, &said);
                Vec::new()
            }
        },
    };
    todo.extend(needs(model, snapshot));
    todo
}

/// What the screen shows but the model does not know yet.
fn needs(model: &mut Model, snapshot: &Snapshot) -> Vec<Do> {
    if model.stage != Stage::Up {
        return Vec::new();
    }
    let mut todo = post::preview(model);
    todo.extend(gigs::again(model));
    todo.extend(jobs::need_gig(model, snapshot));
    if let Some((id, facts)) = jobs::chosen(model, snapshot).map(|job| (job.id, job.facts))
        && model.history_asked != Some((id, facts))
    {
        model.history_asked = Some((id, facts));
        todo.push(Do::History(id));
    }
    todo.extend(wallet::needs(model, snapshot));
    todo.extend(people::needs(model, snapshot));
    todo
}

fn press(model: &mut Model, snapshot: &Snapshot, key: &KeyEvent) -> Vec<Do> {
    if crate::tui::keymap::name(key).as_deref() == Some("ctrl-c") {
        return leave(model, snapshot);
    }
    if crate::tui::keymap::name(key).as_deref() == Some("ctrl-z") {
        return vec![Do::Suspend];
    }
    let Some(layer) = model.layers.pop() else {
        return match model.context().act(key) {
            Some(act) => act_on(model, snapshot, act),
            None => Vec::new(),
        };
    };
    match layer {
        Layer::Confirm(confirm, then) => answer(model, key, confirm, *then),
        Layer::Form(form) => fill(model, snapshot, key, form),
        Layer::Code(code) => look(model, key, code),
        Layer::Palette(palette) => pick(model, snapshot, key, palette),
        Layer::Help(scroll) => {
            let context = crate::tui::keymap::Context::Help;
            let page = usize::from(model.size.1.saturating_sub(4).max(1));
            let scroll = match context.act(key) {
                Some(Act::Back) => return Vec::new(),
                Some(Act::Down) => scroll + 1,
                Some(Act::Up) => scroll.saturating_sub(1),
                Some(Act::PageDown) => scroll + page,
                Some(Act::PageUp) => scroll.saturating_sub(page),
                _ => scroll,
            };
            model.layers.push(Layer::Help(scroll));
            Vec::new()
        }
        Layer::Search => search(model, snapshot, key),
    }
}

fn answer(model: &mut Model, key: &KeyEvent, mut confirm: Box<Confirm>, then: Then) -> Vec<Do> {
    match confirm.press(key, model.at.ms) {
        Answer::Open => {
            model.layers.push(Layer::Confirm(confirm, Box::new(then)));
            Vec::new()
        }
        Answer::No => {
            if !matches!(then, Then::Quit) {
                model.say(Severity::Info, "No. Nothing was sent.");
            }
            Vec::new()
        }
        Answer::Yes => match then {
            Then::Ask(command, done) => vec![ask(model, *command, done)],
            Then::Wallet(command, doing) => vec![by_hand(model, *command, doing)],
            Then::Quit => vec![Do::Quit],
        },
    }
}

fn ask(model: &mut Model, command: Command, done: String) -> Do {
    let id = model.fresh();
    let posts = matches!(command, Command::Post { .. });
    model.asked.insert(id, Pending { done, posts });
    Do::Ask(id, Box::new(command))
}

/// Asks the wallet for something that a person wants done.
fn by_hand(model: &mut Model, command: WalletCommand, doing: String) -> Do {
    let id = model.fresh();
    if !doing.is_empty() {
        model.say(Severity::Info, doing.as_str());
    }
    model.asked.insert(id, Pending { done: doing, posts: false });
    Do::Wallet(id, Box::new(command))
}

fn look(model: &mut Model, key: &KeyEvent, mut code: Box<Code>) -> Vec<Do> {
    let todo = match code.press(key) {
        Looked::Left => return Vec::new(),
        Looked::Open => Vec::new(),
        Looked::Copy => vec![copy(model, code.text().to_owned())],
    };
    model.layers.push(Layer::Code(code));
    todo
}

fn fill(model: &mut Model, snapshot: &Snapshot, key: &KeyEvent, mut form: Box<Form>) -> Vec<Do> {
    match form.press(key) {
        Filled::Left => return Vec::new(),
        Filled::Open => {}
        Filled::Sent => match submitted(model, snapshot, &form) {
            Ok(todo) => return todo,
            Err(wrong) => form.wrong = Some(crate::tui::msg::washed(wrong)),
        },
    }
    model.layers.push(Layer::Form(form));
    Vec::new()
}

fn submitted(model: &mut Model, snapshot: &Snapshot, form: &Form) -> Result<Vec<Do>, String> {
    let (command, done) = match form.purpose {
        Purpose::Gig => {
            let text = post::as_text(form)?;
            return Ok(post::written(model, text));
        }
        Purpose::Receive | Purpose::Pay | Purpose::OpenChannel => {
            let asked = wallet::submit(model, snapshot, form)?;
            return Ok(asked
                .map(|(command, doing)| by_hand(model, command, doing))
                .into_iter()
                .collect());
        }
        Purpose::Answer(job) => {
            let document = jobs::answered(snapshot, job, form)?;
            let id = model.fresh();
            let done = "The answer is being sealed.".into();
            model.asked.insert(id, Pending { done, posts: false });
            return Ok(vec![Do::Answer(id, job, document, String::new())]);
        }
        Purpose::Bid(_) => gigs::submit(form, model)?,
        _ => match cases::submit(form) {
            Some(asked) => asked?,
            None => jobs::submit(form)?,
        },
    };
    Ok(vec![ask(model, command, done)])
}

fn pick(model: &mut Model, snapshot: &Snapshot, key: &KeyEvent, mut palette: Palette) -> Vec<Do> {
    let rows = palette.entries(model, snapshot);
    match palette.press(key, &rows) {
        Picked::Open => model.layers.push(Layer::Palette(palette)),
        Picked::Left => {}
        Picked::Cannot(why) => {
            model.say(Severity::Info, why);
            model.layers.push(Layer::Palette(palette));
        }
        Picked::This(Leads::Act(act)) => return act_on(model, snapshot, act),
        Picked::This(Leads::To(screen, key)) => {
            go(model, screen);
            model.lines.remove(&screen);
            model.selected.insert(screen, key);
            model.open = true;
        }
    }
    Vec::new()
}

/// A key while a search or a filter is typed.
fn search(model: &mut Model, snapshot: &Snapshot, key: &KeyEvent) -> Vec<Do> {
    let screen = model.screen;
    let act = crate::tui::keymap::Context::Search.act(key);
    match act {
        Some(Act::Open) => return Vec::new(),
        Some(Act::Back) => {
            let typed = model.lines.remove(&screen).is_some();
            return if typed && screen == Screen::Gigs { gigs::find(model) } else { Vec::new() };
        }
        Some(Act::Up | Act::Down) => {
            if let Some(act) = act {
                moved(model, snapshot, act);
            }
        }
        _ => {
            if let Some(request) = request(key) {
                let line = model.lines.entry(screen).or_default();
                let changed = line.handle(request).is_some_and(|change| change.value);
                model.layers.push(Layer::Search);
                return if changed { searched(model) } else { Vec::new() };
            }
        }
    }
    model.layers.push(Layer::Search);
    Vec::new()
}

fn searched(model: &mut Model) -> Vec<Do> {
    model.selected.remove(&model.screen);
    if model.screen == Screen::Gigs { gigs::find(model) } else { Vec::new() }
}

fn paste(model: &mut Model, snapshot: &Snapshot, text: &str) -> Vec<Do> {
    let ms = model.at.ms;
    match model.layers.last_mut() {
        // Pasted text presses no button.
        Some(Layer::Confirm(confirm, _)) => confirm.pasted(ms),
        Some(Layer::Form(form)) => form.paste(text),
        Some(Layer::Palette(palette)) => palette.paste(text),
        Some(Layer::Search) => {
            let line = model.lines.entry(model.screen).or_default();
            for c in crate::tui::msg::washed(text).chars() {
                line.handle(tui_input::InputRequest::InsertChar(c));
            }
            return searched(model);
        }
        Some(Layer::Help(_) | Layer::Code(_)) => {}
        None if wallet::payable(text) && model.stage == Stage::Up => {
            // Something to pay opens the form; it never pays.
            let mut form = wallet::pay(snapshot);
            form.paste(text.trim());
            model.layers.push(Layer::Form(Box::new(form)));
        }
        None => {
            model.say(Severity::Info, "There is no field here that text could be pasted into.");
        }
    }
    Vec::new()
}

fn click(model: &mut Model, snapshot: &Snapshot, x: u16, y: u16) -> Vec<Do> {
    let hit = model.hits.iter().rev().find(|(place, _)| place.contains((x, y).into()));
    let Some((_, act)) = hit.copied().filter(|_| model.layers.is_empty()) else {
        return Vec::new();
    };
    act_on(model, snapshot, act)
}

/// Does what can be done, and says why for what cannot.
fn act_on(model: &mut Model, snapshot: &Snapshot, act: Act) -> Vec<Do> {
    if let Err(why) = screen::may(model, snapshot, act) {
        model.say(Severity::Info, why);
        return Vec::new();
    }
    match act {
        Act::Go(screen) => go(model, screen),
        Act::Next => go(model, model.screen.step(1)),
        Act::Previous => go(model, model.screen.step(-1)),
        Act::Up
        | Act::Down
        | Act::PageUp
        | Act::PageDown
        | Act::Top
        | Act::Bottom
        | Act::Row(_) => {
            return moved(model, snapshot, act);
        }
        Act::Open if model.screen == Screen::Settings => return change(model, snapshot),
        Act::Open => {
            if screen::selected(model, snapshot).is_some() || model.drafting.is_some() {
                model.open = true;
                model.scroll = 0;
                seen(model, snapshot);
            }
        }
        Act::Back => back(model),
        Act::Search => model.layers.push(Layer::Search),
        Act::Palette => model.layers.push(Layer::Palette(Palette::default())),
        Act::Help => model.layers.push(Layer::Help(0)),
        Act::Quit => return leave(model, snapshot),
        Act::Suspend => return vec![Do::Suspend],
        Act::Redraw => return vec![Do::Redraw],
        Act::Verb(verb) => jobs::begin(model, snapshot, verb),
        Act::Bid => gigs::bid(model, snapshot),
        Act::CopyId => return copy_id(model, snapshot),
        Act::Rule(whose) => cases::rule(model, snapshot, whose),
        Act::CaseNote => cases::note(model, snapshot),
        Act::Mute => return people::mute(model, snapshot),
        Act::CopyPath => {
            let path = cases::chosen(model, snapshot).and_then(cases::path);
            let path = path.or_else(|| jobs::chosen(model, snapshot).and_then(jobs::path));
            return path.map(|path| copy(model, path.display().to_string())).into_iter().collect();
        }
        Act::Write => return vec![Do::Edit(post::text(model))],
        Act::Fill => model.layers.push(Layer::Form(Box::new(post::form()))),
        Act::Publish => post::publish(model, snapshot),
        Act::CloseGig => post::close(model, snapshot),
        Act::ToJob => to_job(model, snapshot),
        Act::Seen => model.inbox.iter_mut().for_each(|(_, seen)| *seen = true),
        Act::Change => return change(model, snapshot),
        Act::Receive => model.layers.push(Layer::Form(Box::new(wallet::receive(snapshot)))),
        Act::Address => {
            return vec![by_hand(model, WalletCommand::NewAddress, String::new())];
        }
        Act::Pay => model.layers.push(Layer::Form(Box::new(wallet::pay(snapshot)))),
        Act::Channels => wallet::turn(model),
        Act::OpenChannel => {
            let form = wallet::open(model, snapshot);
            model.layers.push(Layer::Form(Box::new(form)));
        }
        Act::Faucet => return vec![wallet::ask_coins(model)],
        Act::CloseChannel => wallet::close(model, snapshot, false),
        Act::ForceClose => wallet::close(model, snapshot, true),
    }
    Vec::new()
}

fn change(model: &mut Model, snapshot: &Snapshot) -> Vec<Do> {
    match screen::selected(model, snapshot) {
        Some(Key::Nth(n)) => settings::change(model, n),
        _ => Vec::new(),
    }
}

fn go(model: &mut Model, screen: Screen) {
    model.screen = screen;
    model.open = false;
    model.scroll = 0;
}

/// One step out of whatever is transient; at the outermost it does nothing.
fn back(model: &mut Model) {
    if !model.toasts.is_empty() {
        model.toasts.clear();
    } else if model.screen == Screen::Post && model.drafting.is_some() && model.open {
        model.drafting = None;
        model.open = false;
        model.say(Severity::Info, "The gig was thrown away. Nothing was published.");
    } else if model.open {
        model.open = false;
        model.scroll = 0;
    }
}

fn moved(model: &mut Model, snapshot: &Snapshot, act: Act) -> Vec<Do> {
    let page = model.page.max(1);
    if model.open && !matches!(act, Act::Row(_)) {
        model.scroll = match act {
            Act::Up => model.scroll.saturating_sub(1),
            Act::Down => model.scroll + 1,
            Act::PageUp => model.scroll.saturating_sub(page),
            Act::PageDown => model.scroll + page,
            Act::Top => 0,
            _ => usize::MAX / 2,
        };
        return Vec::new();
    }
    let rows = screen::rows(model, snapshot);
    let keys: Vec<Key> = rows.iter().map(|row| row.key).collect();
    let Some(last) = keys.len().checked_sub(1) else { return Vec::new() };
    let at = crate::tui::part::list::place(&keys, model.selected.get(&model.screen));
    let to = match act {
        Act::Up => at.saturating_sub(1),
        Act::Down => at + 1,
        Act::PageUp => at.saturating_sub(page),
        Act::PageDown => at + page,
        Act::Top => 0,
        Act::Row(n) => n,
        _ => last,
    }
    .min(last);
    model.selected.insert(model.screen, keys[to]);
    model.scroll = 0;
    if let Act::Row(_) = act {
        seen(model, snapshot);
    }
    if model.screen == Screen::Gigs && to + page >= last { gigs::more(model) } else { Vec::new() }
}

/// What is looked at in the inbox was seen.
fn seen(model: &mut Model, snapshot: &Snapshot) {
    if model.screen == Screen::Inbox
        && let Some(Key::Nth(n)) = screen::selected(model, snapshot)
        && let Some((_, seen)) = screen::notice(model, n).and_then(|at| model.inbox.get_mut(at))
    {
        *seen = true;
    }
}

fn to_job(model: &mut Model, snapshot: &Snapshot) {
    seen(model, snapshot);
    let Some(job) = screen::job_of(model, snapshot) else { return };
    go(model, Screen::Jobs);
    model.lines.remove(&Screen::Jobs);
    model.selected.insert(Screen::Jobs, Key::Event(job));
    model.open = true;
}

fn copy(model: &mut Model, text: String) -> Do {
    let shown = crate::text::truncate(&text, 24).into_owned();
    model.say(Severity::Info, format!("Copied {shown}"));
    Do::Copy(text)
}

fn copy_id(model: &mut Model, snapshot: &Snapshot) -> Vec<Do> {
    let text = match screen::selected(model, snapshot) {
        Some(Key::Event(id)) => id.to_string(),
        Some(Key::Person(who)) => crate::tui::part::person::npub(&who),
        Some(Key::Line(_)) => match wallet::id(model, snapshot) {
            Some(id) => id,
            None => return Vec::new(),
        },
        _ => match &snapshot.node {
            Some(node) if model.screen == Screen::Relays => node.node.to_string(),
            _ => return Vec::new(),
        },
    };
    vec![copy(model, text)]
}

/// Leaves; asks first when this window is what keeps money moving.
fn leave(model: &mut Model, snapshot: &Snapshot) -> Vec<Do> {
    use crate::market::Phase;
    let asked = model
        .layers
        .iter()
        .any(|l| matches!(l, Layer::Confirm(_, then) if matches!(**then, Then::Quit)));
    let count = |is: fn(Phase) -> bool| snapshot.jobs.values().filter(|j| is(j.phase)).count();
    let paying = count(|phase| {
        matches!(phase, Phase::Accepted | Phase::Paying | Phase::Funding | Phase::Refunding)
    });
    let going = count(|phase| matches!(phase, Phase::Awarded | Phase::Working | Phase::Delivered));
    let held = snapshot.node.as_ref().map_or(Msat::ZERO, |node| node.balances.held_incoming);
    let moving = paying > 0 || held > Msat::ZERO || snapshot.waiting > 0 || !model.asked.is_empty();
    // A guest leaves nothing behind: the owner goes on.
    if asked || !moving || !model.owner || model.stage != Stage::Up {
        return vec![Do::Quit];
    }
    let what = crate::tui::msg::washed("this window, which keeps your jobs going");
    let mut confirm = Confirm::new("Quit anyway?", "quit", what, model.at.ms)
        .row("being paid", format!("{paying} jobs"))
        .row("held for you", format!("{held}, not claimed yet"))
        .row("going out", format!("{} messages", snapshot.waiting));
    if going > 0 {
        confirm = confirm.row("going on", format!("{going} more jobs"));
    }
    let confirm = confirm
        .risk("While earnest does not run, nobody watches deadlines, and nothing can be received.")
        .risk("`earnest run` in another terminal keeps it going without a screen.")
        .last("Nothing is lost: what was begun goes on at the next start.");
    model.layers.push(Layer::Confirm(Box::new(confirm), Box::new(Then::Quit)));
    Vec::new()
}

fn told(model: &mut Model, notice: Notice) {
    let words = screen::said(&notice);
    model.say(notice.severity, words.as_str());
    model.inbox.push_front((notice, false));
    // What goes is the oldest; rows are counted from there, so the selection is by the newest then.
    if model.inbox.len() > KEPT {
        model.inbox.pop_back();
        model.selected.remove(&Screen::Inbox);
    }
}

pub(super) fn said_to(model: &mut Model, said: &Said) {
    let text = match &said.next {
        Some(next) => format!("{} {next}", said.text),
        None => said.text.to_string(),
    };
    model.say(Severity::Warn, text);
}

fn answered(model: &mut Model, id: u64, answer: Result<crate::engine::Receipt, Said>) -> Vec<Do> {
    let Some(pending) = model.asked.remove(&id) else { return Vec::new() };
    match answer {
        Ok(receipt) => {
            model.say(Severity::Info, format!("{} ({})", pending.done, receipt.log.short()));
            if pending.posts {
                model.drafting = None;
                model.open = false;
                model.selected.insert(Screen::Post, Key::Event(receipt.log));
            }
        }
        Err(said) => said_to(model, &said),
    }
    Vec::new()
}

//! The loop: one place that waits, for keys first, then for the world.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossterm::event::{Event, EventStream, KeyEventKind, MouseButton, MouseEvent, MouseEventKind};
use futures::StreamExt as _;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;

use crate::engine::{Notice, Snapshot};
use crate::market::{Msat, Network, Time};
use crate::rpc::Door;
use crate::tui::errand::ask;
use crate::tui::terminal::Terminal;
use crate::tui::theme::{Depth, Theme};
use crate::tui::{Do, Faucet, Model, Moment, Msg, Said, Settings, draw, update};

/// Two frames are at least this far apart: 60 a second.
const FRAME: Duration = Duration::from_millis(16);

/// What is still being opened when a person leaves is waited for so long, to be closed in order.
const OPENING: Duration = Duration::from_secs(10);

/// What the front end is told at its start.
#[derive(Debug, Clone)]
pub struct Options {
    /// Which chain the money is on.
    pub network: Network,
    /// Where settings are kept, as TOML; `None` keeps none.
    pub settings: Option<PathBuf>,
    /// Where themes of the person's own lie, as `NAME.toml`.
    pub themes: Option<PathBuf>,
    /// Shown on every screen when this is not the real market.
    pub banner: Option<&'static str>,
    /// What an LSP may keep of a payment: parts per million, and the floor that applies whatever they say.
    pub lsp_fee_cap: (u64, Msat),
    /// The LSP, as `id@host:port`, if one is configured.
    pub lsp: Option<String>,
    /// Where play money comes from, in a sandbox.
    pub faucet: Option<Faucet>,
}

/// How it ended.
pub struct Ended {
    /// The way in, if it was opened: whoever ran this leaves by it.
    pub door: Option<Door>,
    /// Why it did not end by a person's will: there is no terminal, it failed, or the engine did not start.
    pub why: anyhow::Result<()>,
}

/// Draws the first frame, waits for `source` to open the way to an engine, and runs until the person
/// leaves. The terminal is given back by then; the engine is not stopped.
pub async fn run<S>(source: S, options: Options) -> Ended
where
    S: Future<Output = anyhow::Result<Door>> + Send + 'static,
{
    // Signals are heard before the terminal is taken: none may end us while it is ours.
    let begun = Signals::new().map_err(anyhow::Error::from);
    let (mut signals, mut front) = match begun.and_then(|s| Ok((s, Front::begin(&options)?))) {
        Ok(begun) => begun,
        Err(why) => return Ended { door: None, why: Err(why) },
    };
    let mut start = JoinSet::new();
    start.spawn(source);
    let why = front.live(&mut start, &mut signals).await;
    let door = front.engine.take().map(|engine| engine.door);
    // The terminal is given back before anything is said on it.
    drop(front);
    // Who leaves at once still closes in order what was being opened.
    let opened = tokio::time::timeout(OPENING, start.join_next()).await;
    let door = door.or_else(|| opened.ok()??.ok()?.ok());
    Ended { door, why }
}

struct Front {
    terminal: Terminal,
    model: Model,
    snapshot: Arc<Snapshot>,
    engine: Option<Engine>,
    asked: JoinSet<Msg>,
    keys: Option<EventStream>,
    began: Instant,
    settings: Option<PathBuf>,
    faucet: Option<Faucet>,
    dirty: bool,
    drawn: Option<Instant>,
    quit: bool,
    /// The engine has ended.
    gone: bool,
}

struct Engine {
    door: Door,
    watch: watch::Receiver<Arc<Snapshot>>,
    notices: broadcast::Receiver<Notice>,
}

impl Front {
    fn begin(options: &Options) -> anyhow::Result<Self> {
        let (settings, why) = load(options.settings.as_deref());
        let terminal = Terminal::take(settings.mouse)?;
        let size = terminal.size()?;
        let mut model = Model::new(options.network, settings, size);
        model.banner = options.banner;
        model.lsp_fee_cap = options.lsp_fee_cap;
        model.lsp.clone_from(&options.lsp);
        model.faucet = options.faucet.is_some();
        model.depth = depth();
        if let Some(why) = why {
            model.say(crate::engine::Severity::Warn, why);
        }
        let (own, wrong) = own_themes(options.themes.as_deref());
        model.own_themes = own;
        if let Some(why) = wrong {
            model.say(crate::engine::Severity::Warn, why);
        }
        if let Err(why) = model.wear(&model.settings.theme.clone()) {
            model.say(crate::engine::Severity::Warn, why.to_string());
        }
        let mut front = Self {
            terminal,
            model,
            snapshot: Arc::default(),
            engine: None,
            asked: JoinSet::new(),
            keys: Some(EventStream::new()),
            began: started(),
            settings: options.settings.clone(),
            faucet: options.faucet.clone(),
            dirty: true,
            drawn: None,
            quit: false,
            gone: false,
        };
        front.model.at = front.moment();
        front.show()?;
        Ok(front)
    }

    async fn live(
        &mut self,
        start: &mut JoinSet<anyhow::Result<Door>>,
        signals: &mut Signals,
    ) -> anyhow::Result<()> {
        let broke = self.terminal.broke();
        let mut failed = None;
        while !self.quit {
            let frame = self.next_frame();
            let wake =
                self.model.wake(&self.snapshot).map(|ms| self.began + Duration::from_millis(ms));
            tokio::select! {
                biased;
                () = broke.notified() => {
                    anyhow::bail!("A part of earnest broke; see above.");
                }
                signal = signals.next() => match signal {
                    Signal::Leave => self.quit = true,
                    Signal::Stop => self.suspend()?,
                    Signal::Continue => { self.terminal.resume()?; self.dirty = true; }
                },
                event = next_event(&mut self.keys) => match event {
                    Some(Ok(event)) => self.event(event)?,
                    // The terminal is gone: a window was closed.
                    Some(Err(_)) | None => self.quit = true,
                },
                () = until(frame), if frame.is_some() => self.show()?,
                Some(joined) = start.join_next(), if !start.is_empty() => match joined {
                    Ok(Ok(door)) => self.connect(door)?,
                    Ok(Err(why)) => {
                        self.take(Msg::Down(format!("earnest could not start: {why:#}")))?;
                        failed = Some(why);
                    }
                    Err(why) => {
                        self.take(Msg::Down("earnest broke while it started.".into()))?;
                        failed = Some(why.into());
                    }
                },
                Some(joined) = self.asked.join_next(), if !self.asked.is_empty() => {
                    if let Ok(msg) = joined {
                        self.take(msg)?;
                    }
                }
                msg = hear(&mut self.engine), if !self.gone => match msg {
                    Heard::Snapshot(snapshot) => {
                        self.snapshot = snapshot;
                        self.take(Msg::Wake)?;
                    }
                    Heard::Notice(notice) => self.take(Msg::Notice(notice))?,
                    Heard::Missed => {}
                    Heard::Gone => {
                        self.gone = true;
                        let said = "The earnest that this window looked into has stopped. Nothing is lost: \
                                    q, and start it again.";
                        self.take(Msg::Down(said.into()))?;
                    }
                },
                () = until(wake), if wake.is_some() => self.take(Msg::Wake)?,
            }
        }
        failed.map_or(Ok(()), Err)
    }

    fn moment(&self) -> Moment {
        let ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        Moment { now: clock(), ms }
    }

    /// When the next frame may be drawn; `None` while nothing changed.
    fn next_frame(&self) -> Option<Instant> {
        self.dirty.then(|| self.drawn.map_or(self.began, |drawn| drawn + FRAME))
    }

    fn show(&mut self) -> io::Result<()> {
        self.dirty = false;
        self.drawn = Some(started());
        let (model, snapshot) = (&mut self.model, &self.snapshot);
        self.terminal.draw(|frame| {
            let cursor = draw(frame.buffer_mut(), model, snapshot);
            if let Some(cursor) = cursor {
                frame.set_cursor_position(cursor);
            }
        })
    }

    fn take(&mut self, msg: Msg) -> io::Result<()> {
        let at = self.moment();
        let snapshot = Arc::clone(&self.snapshot);
        let todo = update(&mut self.model, &snapshot, at, msg);
        self.dirty = true;
        todo.into_iter().try_for_each(|one| self.carry_out(one))
    }

    fn connect(&mut self, door: Door) -> io::Result<()> {
        let handle = door.handle();
        let owner = matches!(door, Door::Owner(_));
        let mut watch = handle.watch();
        let notices = handle.notices();
        self.snapshot = Arc::clone(&watch.borrow_and_update());
        self.engine = Some(Engine { door, watch, notices });
        self.take(Msg::Up { owner })
    }

    fn event(&mut self, event: Event) -> io::Result<()> {
        #[cfg(debug_assertions)]
        break_here(&event);
        let msg = match event {
            Event::Key(key) if key.kind == KeyEventKind::Press => Msg::Key(key),
            Event::Paste(text) => Msg::Paste(text),
            Event::Resize(width, height) => Msg::Resize(width, height),
            Event::Mouse(MouseEvent { kind, column, row, .. }) => match kind {
                MouseEventKind::Down(MouseButton::Left) => Msg::Click(column, row),
                MouseEventKind::ScrollUp => Msg::Wheel(-1),
                MouseEventKind::ScrollDown => Msg::Wheel(1),
                _ => return Ok(()),
            },
            _ => return Ok(()),
        };
        self.take(msg)
    }

    fn suspend(&mut self) -> io::Result<()> {
        // The stream reads the terminal in the background: it is the shell's meanwhile.
        self.keys = None;
        let done = self.terminal.suspend(self.model.owner);
        self.keys = Some(EventStream::new());
        self.dirty = true;
        done
    }

    fn carry_out(&mut self, what: Do) -> io::Result<()> {
        match what {
            Do::Quit => self.quit = true,
            Do::Suspend => self.suspend()?,
            Do::Redraw => {
                self.terminal.resume()?;
                self.dirty = true;
            }
            Do::Copy(text) => self.terminal.copy(&text)?,
            Do::Mouse(mouse) => self.terminal.set_mouse(mouse)?,
            Do::Edit(text) => {
                self.keys = None;
                // The engine goes on meanwhile on its own threads.
                let edited = tokio::task::block_in_place(|| self.terminal.edit(&text));
                self.keys = Some(EventStream::new());
                return self.take(Msg::Edited(edited.map_err(|why| Said::new(why.to_string()))));
            }
            Do::Save(settings) => {
                let Some(path) = self.settings.clone() else { return Ok(()) };
                if let Err(why) = save(&path, &settings) {
                    let said = format!("The settings could not be kept: {why}");
                    self.model.say(crate::engine::Severity::Warn, said);
                }
            }
            asks => self.ask(asks),
        }
        Ok(())
    }

    /// What takes time runs beside the loop, and comes back as a message.
    fn ask(&mut self, what: Do) {
        let Some(handle) = self.engine.as_ref().map(|engine| engine.door.handle().clone()) else {
            return;
        };
        self.asked.spawn(ask(handle, self.faucet.clone(), what));
    }
}

/// In a debug build only, for the test that a bug gives the terminal back: F12 is a bug where this is set.
#[cfg(debug_assertions)]
fn break_here(event: &Event) {
    use crossterm::event::KeyCode;
    if let Event::Key(key) = event
        && key.code == KeyCode::F(12)
        && std::env::var_os("EARNEST_BREAK_ON_F12").is_some()
    {
        panic!("F12 was pressed, and EARNEST_BREAK_ON_F12 is set");
    }
}

enum Heard {
    Snapshot(Arc<Snapshot>),
    Notice(Notice),
    /// Some notices were dropped: the snapshot has what they were about.
    Missed,
    Gone,
}

async fn hear(engine: &mut Option<Engine>) -> Heard {
    let Some(engine) = engine else { return std::future::pending().await };
    tokio::select! {
        biased;
        notice = engine.notices.recv() => match notice {
            Ok(notice) => Heard::Notice(notice),
            Err(broadcast::error::RecvError::Lagged(_)) => Heard::Missed,
            Err(broadcast::error::RecvError::Closed) => Heard::Gone,
        },
        changed = engine.watch.changed() => match changed {
            Ok(()) => Heard::Snapshot(Arc::clone(&engine.watch.borrow_and_update())),
            Err(_) => Heard::Gone,
        },
    }
}

async fn next_event(keys: &mut Option<EventStream>) -> Option<io::Result<Event>> {
    match keys {
        Some(keys) => keys.next().await,
        None => std::future::pending().await,
    }
}

async fn until(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when.into()).await,
        None => std::future::pending().await,
    }
}

enum Signal {
    Leave,
    Stop,
    Continue,
}

#[cfg(unix)]
struct Signals {
    leave: [tokio::signal::unix::Signal; 3],
    stop: tokio::signal::unix::Signal,
    proceed: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let raw = |number| signal(SignalKind::from_raw(number));
        Ok(Self {
            leave: [
                signal(SignalKind::terminate())?,
                signal(SignalKind::hangup())?,
                signal(SignalKind::interrupt())?,
            ],
            stop: raw(signal_hook::consts::SIGTSTP)?,
            proceed: raw(signal_hook::consts::SIGCONT)?,
        })
    }

    async fn next(&mut self) -> Signal {
        let [term, hup, int] = &mut self.leave;
        tokio::select! {
            _ = term.recv() => Signal::Leave,
            _ = hup.recv() => Signal::Leave,
            _ = int.recv() => Signal::Leave,
            _ = self.stop.recv() => Signal::Stop,
            _ = self.proceed.recv() => Signal::Continue,
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self)
    }
    async fn next(&mut self) -> Signal {
        match tokio::signal::ctrl_c().await {
            Ok(()) => Signal::Leave,
            Err(_) => std::future::pending().await,
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the loop is what tells the model what time it is")]
fn clock() -> Time {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Time(since.map_or(0, |since| since.as_secs()))
}

#[expect(clippy::disallowed_methods, reason = "frames are paced by the monotonic clock")]
fn started() -> Instant {
    Instant::now()
}

/// How many colours there are, by what the environment says.
fn depth() -> Depth {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    if set("NO_COLOR").is_some() {
        return Depth::None;
    }
    match set("COLORTERM").as_deref() {
        Some("truecolor" | "24bit") => Depth::True,
        _ => Depth::Indexed,
    }
}

/// The most themes of a person's own, and the most bytes of one.
const OWN_THEMES: usize = 64;
const THEME_BYTES: u64 = 64 * 1024;

/// Themes of the person's own, by the name of their file; and what is wrong with one, if anything is.
fn own_themes(folder: Option<&Path>) -> (Vec<Theme>, Option<String>) {
    let Some(Ok(files)) = folder.map(std::fs::read_dir) else { return (Vec::new(), None) };
    let mut paths: Vec<PathBuf> = files
        .filter_map(|file| file.ok().map(|file| file.path()))
        .filter(|path| path.extension().is_some_and(|end| end == "toml"))
        .collect();
    paths.sort();
    paths.truncate(OWN_THEMES);
    let (mut themes, mut wrong) = (Vec::new(), None);
    for path in paths {
        let small = std::fs::metadata(&path).is_ok_and(|file| file.len() <= THEME_BYTES);
        let text = small.then(|| std::fs::read_to_string(&path).ok()).flatten();
        let read = text.map(|text| Theme::read(&text));
        match (read, path.file_stem()) {
            (Some(Ok(mut theme)), Some(name)) => {
                theme.name = name.to_string_lossy().into_owned();
                themes.push(theme);
            }
            (Some(Err(why)), _) => {
                wrong.get_or_insert(format!("{}: {why}", path.display()));
            }
            _ => {}
        }
    }
    (themes, wrong)
}

/// The settings as they were kept, and what to say if they could not be read.
fn load(path: Option<&Path>) -> (Settings, Option<String>) {
    let Some(text) = path.and_then(|path| std::fs::read_to_string(path).ok()) else {
        return (Settings::default(), None);
    };
    match toml::from_str(&text) {
        Ok(settings) => (settings, None),
        Err(why) => {
            let said =
                format!("The settings cannot be read, so the defaults count: {}", why.message());
            (Settings::default(), Some(said))
        }
    }
}

fn save(path: &Path, settings: &Settings) -> io::Result<()> {
    let text = toml::to_string(settings).map_err(io::Error::other)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    io::Write::write_all(&mut file, text.as_bytes())?;
    file.persist(path)?;
    Ok(())
}

//! The terminal: taken, given back, and given back whatever happens. The only file that writes escapes.

use std::io::{self, IsTerminal as _, Stdout, Write as _};
use std::process::Command as Process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossterm::clipboard::CopyToClipboard;
use crossterm::event::{
    DisableBracketedPaste, DisableFocusChange, DisableMouseCapture, EnableBracketedPaste,
    EnableFocusChange, EnableMouseCapture,
};
use crossterm::terminal::{
    BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate, EnterAlternateScreen,
    LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use crossterm::{cursor, execute};
use ratatui::Frame;
use ratatui::backend::CrosstermBackend;
use tokio::sync::Notify;

/// Whether the screen is ours now. Process-wide, as the terminal is: the panic hook reads it.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The terminal while it is ours. Dropping it gives it back.
pub(super) struct Terminal {
    inner: ratatui::Terminal<CrosstermBackend<Stdout>>,
    mouse: bool,
    broke: Arc<Notify>,
}

impl Terminal {
    /// Takes the terminal: alternate screen, raw keys, pasted text apart from typed.
    pub(super) fn take(mouse: bool) -> io::Result<Self> {
        if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
            return Err(io::Error::other(
                "There is no terminal here to draw on. The verbs work without one: earnest help",
            ));
        }
        set_up(mouse)?;
        let broke = Arc::new(Notify::new());
        hook(Arc::clone(&broke));
        Ok(Self { inner: blank()?, mouse, broke })
    }

    /// Resolves when something broke anywhere in the process; the screen is given back already.
    pub(super) fn broke(&self) -> Arc<Notify> {
        Arc::clone(&self.broke)
    }

    /// Width and height, in cells.
    pub(super) fn size(&self) -> io::Result<(u16, u16)> {
        self.inner.size().map(|size| (size.width, size.height))
    }

    /// Draws one frame, shown at once.
    pub(super) fn draw(&mut self, view: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        execute!(io::stdout(), BeginSynchronizedUpdate)?;
        let drawn = self.inner.draw(view).map(|_| ());
        execute!(io::stdout(), EndSynchronizedUpdate)?;
        drawn
    }

    /// Takes it again after it was given back, and draws everything anew.
    pub(super) fn resume(&mut self) -> io::Result<()> {
        restore();
        set_up(self.mouse)?;
        self.inner = blank()?;
        Ok(())
    }

    /// Whether clicks are ours or the terminal's.
    pub(super) fn set_mouse(&mut self, mouse: bool) -> io::Result<()> {
        self.mouse = mouse;
        match mouse {
            true => execute!(io::stdout(), EnableMouseCapture),
            false => execute!(io::stdout(), DisableMouseCapture),
        }
    }

    /// Asks the terminal to copy a text (OSC 52, which also works over ssh).
    pub(super) fn copy(&mut self, text: &str) -> io::Result<()> {
        execute!(io::stdout(), CopyToClipboard::to_clipboard_from(text))
    }

    /// Gives the terminal back, stops the process as the shell expects, and takes it again afterwards.
    ///
    /// `owner`: what runs in this process stops too, and that is said.
    pub(super) fn suspend(&mut self, owner: bool) -> io::Result<()> {
        restore();
        if owner {
            let _ =
                writeln!(io::stderr(), "earnest is stopped with everything it does: fg goes on.");
        }
        #[cfg(unix)]
        signal_hook::low_level::emulate_default_handler(signal_hook::consts::SIGTSTP)?;
        self.resume()
    }

    /// Opens the person's editor on a text and gives back what it became; `None` if the editor failed.
    ///
    /// # Errors
    /// When there is no editor, in words for a person.
    pub(super) fn edit(&mut self, text: &str) -> io::Result<Option<String>> {
        let editor = ["VISUAL", "EDITOR"]
            .iter()
            .find_map(|name| std::env::var(name).ok().filter(|v| !v.trim().is_empty()))
            .ok_or_else(|| io::Error::other("No editor is set: $VISUAL or $EDITOR names one."))?;
        let mut file = tempfile::Builder::new().prefix("earnest-").suffix(".toml").tempfile()?;
        file.write_all(text.as_bytes())?;
        restore();
        // The person's own words, as every program takes them: a command line, with the file behind it.
        let ended = Process::new("sh")
            .args(["-c", &format!("{editor} \"$1\""), "sh"])
            .arg(file.path())
            .status();
        self.resume()?;
        if !ended?.success() {
            return Ok(None);
        }
        let long = || io::Error::other("What was written is too long, or is not text.");
        if std::fs::metadata(file.path())?.len() > crate::market::LONGEST_DRAFT {
            return Err(long());
        }
        std::fs::read_to_string(file.path()).map(Some).map_err(|_| long())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        restore();
    }
}

/// An empty screen. `ratatui::Terminal::clear` asks the terminal where its cursor stands, and waits; some
/// never answer.
fn blank() -> io::Result<ratatui::Terminal<CrosstermBackend<Stdout>>> {
    execute!(io::stdout(), Clear(ClearType::All))?;
    ratatui::Terminal::new(CrosstermBackend::new(io::stdout()))
}

fn set_up(mouse: bool) -> io::Result<()> {
    enable_raw_mode()?;
    TAKEN.store(true, Ordering::SeqCst);
    let mut out = io::stdout();
    execute!(out, EnterAlternateScreen, EnableBracketedPaste, EnableFocusChange, cursor::Hide)?;
    if mouse {
        execute!(out, EnableMouseCapture)?;
    }
    Ok(())
}

/// Undoes everything [`set_up`] does, in reverse. Safe to call at any moment and more than once; a
/// terminal that is gone cannot be told, so nothing here fails.
pub(super) fn restore() {
    if !TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    let mut out = io::stdout();
    let _ = execute!(
        out,
        EndSynchronizedUpdate,
        DisableMouseCapture,
        DisableFocusChange,
        DisableBracketedPaste,
        LeaveAlternateScreen,
        cursor::Show
    );
    let _ = disable_raw_mode();
}

/// A panic anywhere gives the terminal back first and says what it means for money, then what it was.
fn hook(broke: Arc<Notify>) {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |what| {
        let ours = TAKEN.load(Ordering::SeqCst);
        restore();
        before(what);
        if ours {
            let _ = writeln!(
                io::stderr(),
                "\nearnest broke, and this is a bug. No money is lost by it: what was agreed and paid is on \
                 disk, and goes on at the next start."
            );
        }
        broke.notify_one();
    }));
}

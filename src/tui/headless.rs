//! The screen without a terminal: keys in, text out, on the same model, the same drawing and a real engine.
//! Stories are told with it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;

use crate::engine::{Handle, Notice, Snapshot};
use crate::market::{Msat, Network, Time};
use crate::tui::errand::ask;
use crate::tui::{Do, Model, Moment, Msg, Settings, draw, key, update};

/// A person's screen.
pub struct Headless {
    handle: Handle,
    watch: watch::Receiver<Arc<Snapshot>>,
    notices: broadcast::Receiver<Notice>,
    model: Model,
    snapshot: Arc<Snapshot>,
    asked: JoinSet<Msg>,
    began: Instant,
}

impl Headless {
    /// Looks into an engine, on a screen of this size. `lsp_fee_cap` as in [`crate::tui::Options`].
    pub fn open(
        handle: Handle,
        network: Network,
        size: (u16, u16),
        lsp_fee_cap: (u64, Msat),
    ) -> Self {
        let mut watch = handle.watch();
        let snapshot = Arc::clone(&watch.borrow_and_update());
        let notices = handle.notices();
        let mut model = Model::new(network, Settings::default(), size);
        model.lsp_fee_cap = lsp_fee_cap;
        let asked = JoinSet::new();
        let mut screen = Self { handle, watch, notices, model, snapshot, asked, began: started() };
        screen.take(Msg::Up { owner: false });
        screen
    }

    /// Presses keys by their names, separated by spaces: `3 / enter tab esc`.
    ///
    /// # Errors
    /// There is no key of that name.
    pub fn keys(&mut self, names: &str) -> anyhow::Result<()> {
        for name in names.split(' ').filter(|name| !name.is_empty()) {
            let Some(pressed) = key(name) else { anyhow::bail!("there is no key `{name}`") };
            self.take(Msg::Key(pressed));
            // Every frame is drawn, as it would be: drawing decides what can be selected.
            self.text();
        }
        Ok(())
    }

    /// Types a text, letter by letter.
    ///
    /// # Errors
    /// A letter that no key has.
    pub fn typed(&mut self, text: &str) -> anyhow::Result<()> {
        for letter in text.chars() {
            match letter {
                ' ' => self.keys("space")?,
                letter => self.keys(&letter.to_string())?,
            }
        }
        Ok(())
    }

    /// The screen as text.
    pub fn text(&mut self) -> String {
        let (width, height) = self.model.size;
        let mut buffer = Buffer::empty(Rect::new(0, 0, width, height));
        draw(&mut buffer, &mut self.model, &self.snapshot);
        let rows = buffer.content.chunks(usize::from(width.max(1)));
        let line = |row: &[ratatui::buffer::Cell]| {
            let text: String = row.iter().map(ratatui::buffer::Cell::symbol).collect();
            text.trim_end().to_owned()
        };
        rows.map(line).collect::<Vec<_>>().join("\n")
    }

    /// Lets the world go on until the screen says these words, not broken over two lines.
    ///
    /// # Errors
    /// It does not in that time; with what it says instead.
    pub async fn until(&mut self, words: &str, patience: Duration) -> anyhow::Result<()> {
        let waiting = async {
            while !self.text().contains(words) {
                self.next().await;
            }
        };
        if tokio::time::timeout(patience, waiting).await.is_err() {
            anyhow::bail!("the screen does not say `{words}`:\n{}", self.text());
        }
        Ok(())
    }

    /// One thing that happens: an answer, a change, a notice, or a little time.
    async fn next(&mut self) {
        const TICK: Duration = Duration::from_millis(50);
        let msg = tokio::select! {
            Some(Ok(msg)) = self.asked.join_next(), if !self.asked.is_empty() => msg,
            Ok(notice) = self.notices.recv() => Msg::Notice(notice),
            Ok(()) = self.watch.changed() => {
                self.snapshot = Arc::clone(&self.watch.borrow_and_update());
                Msg::Wake
            }
            () = tokio::time::sleep(TICK) => Msg::Wake,
        };
        self.take(msg);
    }

    fn take(&mut self, msg: Msg) {
        let ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let at = Moment { now: clock(), ms };
        let snapshot = Arc::clone(&self.snapshot);
        for what in update(&mut self.model, &snapshot, at, msg) {
            match what {
                // There is no terminal, no shell and no file of settings to do it with.
                Do::Quit
                | Do::Suspend
                | Do::Redraw
                | Do::Copy(_)
                | Do::Mouse(_)
                | Do::Edit(_)
                | Do::Save(_) => {}
                asks => {
                    self.asked.spawn(ask(self.handle.clone(), None, asks));
                }
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the loop is what tells the model what time it is")]
fn clock() -> Time {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Time(since.map_or(0, |since| since.as_secs()))
}

#[expect(clippy::disallowed_methods, reason = "toasts and questions count from the start")]
fn started() -> Instant {
    Instant::now()
}

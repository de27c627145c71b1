//! Front ends for stories: a screen that a person looks at, and a server that an agent speaks to. The
//! sandbox has none itself; the program that plays a story brings its own.

use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use tokio::io::DuplexStream;

use crate::engine::Handle;

/// A screen, and the hands of whoever sits before it.
#[async_trait]
pub trait Screen: Send {
    /// Presses keys by their names, separated by spaces.
    ///
    /// # Errors
    /// There is no key of that name.
    fn keys(&mut self, names: &str) -> anyhow::Result<()>;
    /// Types a text.
    ///
    /// # Errors
    /// A letter that no key has.
    fn typed(&mut self, text: &str) -> anyhow::Result<()>;
    /// Waits until the screen says these words.
    ///
    /// # Errors
    /// It does not in that time.
    async fn until(&mut self, words: &str, patience: Duration) -> anyhow::Result<()>;
}

/// The front ends of a program.
pub trait Fronts: Send + Sync {
    /// A screen that looks into this engine.
    fn screen(&self, handle: Handle) -> Box<dyn Screen>;
    /// Serves an agent that speaks MCP on the stream, until it goes; `dry_run` as in `mcp.dry_run`.
    fn agent(
        &self,
        handle: Handle,
        dry_run: bool,
        stream: DuplexStream,
    ) -> BoxFuture<'static, anyhow::Result<()>>;
}

//! The front ends of this program, for stories that are told through them.

use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use tokio::io::DuplexStream;

use crate::engine::Handle;
use crate::market::{Msat, Network};
use crate::sandbox::{Fronts, Screen};
use crate::tui::Headless;

/// Those of the sandbox, on its own network.
pub(super) struct Ours;

impl Fronts for Ours {
    fn screen(&self, handle: Handle) -> Box<dyn Screen> {
        const SIZE: (u16, u16) = (120, 40);
        let lsp_fee_cap = (50_000, crate::app::MOST_LSP_FEE);
        Box::new(Person(Headless::open(handle, Network::Regtest, SIZE, lsp_fee_cap)))
    }

    fn agent(
        &self,
        handle: Handle,
        dry_run: bool,
        stream: DuplexStream,
    ) -> BoxFuture<'static, anyhow::Result<()>> {
        let options = crate::mcp::Options {
            network: Network::Regtest,
            dry_run,
            routing: (10_000, Msat::sats(50).unwrap_or_default()),
            max_price: Msat::sats(1_000_000).unwrap_or_default(),
            npub: crate::app::npub,
            read_npub: crate::app::read_npub,
        };
        let (from, to) = tokio::io::split(stream);
        Box::pin(crate::mcp::serve(handle, options, from, to))
    }
}

struct Person(Headless);

#[async_trait]
impl Screen for Person {
    fn keys(&mut self, names: &str) -> anyhow::Result<()> {
        self.0.keys(names)
    }
    fn typed(&mut self, text: &str) -> anyhow::Result<()> {
        self.0.typed(text)
    }
    async fn until(&mut self, words: &str, patience: Duration) -> anyhow::Result<()> {
        self.0.until(words, patience).await
    }
}

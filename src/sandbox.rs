//! The real adapters on a local chain, relay and LSP.

mod flaky;
mod relay;

pub use flaky::{Faults, FlakyRelay};
pub use relay::{KINDS, Relay, RelayConfig};

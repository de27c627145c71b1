//! The real adapters on a local chain, relay and LSP.

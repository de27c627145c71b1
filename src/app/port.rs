//! The endpoint's port, kept from start to start: whoever holds our address from a bid or an award must
//! find us after a restart, and without a relay nobody else tells them where we are.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;

use crate::transfer::{Bind, Endpoint, EndpointConfig};

const FILE: &str = "endpoint.port";

/// Binds. Where a free port is asked for, takes the one of the last start if nobody else has it now.
///
/// # Errors
/// As [`Endpoint::bind`].
pub(super) async fn bind(dir: &Path, config: EndpointConfig) -> anyhow::Result<Arc<Endpoint>> {
    let at = |port| match config.bind {
        Bind::Any(0) => Some(Bind::Any(port)),
        Bind::At(address) if address.port() == 0 => Some(Bind::At((address.ip(), port).into())),
        _ => None,
    };
    let path = dir.join(FILE);
    let known = std::fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok());
    let again = known.filter(|port| *port != 0).and_then(at);
    if let Some(bind) = again {
        match Endpoint::bind(EndpointConfig { bind, ..config.clone() }).await {
            Ok(endpoint) => return Ok(endpoint),
            Err(why) => tracing::warn!("the port of the last start is taken: {why:#}"),
        }
    }
    let free = at(0).is_some();
    let endpoint = Endpoint::bind(config).await.context("The endpoint did not start")?;
    if let (true, Some(port)) = (free, endpoint.port())
        && let Err(why) = std::fs::write(&path, format!("{port}\n"))
    {
        tracing::warn!(%why, "the endpoint's port is not kept: peers may not find us after a restart");
    }
    Ok(endpoint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(port: u16) -> EndpointConfig {
        let bind = Bind::At(([127, 0, 0, 1], port).into());
        EndpointConfig { bind, ..EndpointConfig::new([7; 32]) }
    }

    fn kept(dir: &Path) -> u16 {
        std::fs::read_to_string(dir.join(FILE)).unwrap().trim().parse().unwrap()
    }

    /// One that nobody is given by chance: below what systems hand out.
    fn uncommon() -> u16 {
        let from = 20_000 + (std::process::id() % 10_000) as u16;
        (from..from + 1_000)
            .find(|port| std::net::UdpSocket::bind(("127.0.0.1", *port)).is_ok())
            .unwrap()
    }

    #[tokio::test]
    async fn a_restart_keeps_the_port_unless_somebody_took_it() {
        let dir = tempfile::tempdir().unwrap();
        let first = bind(dir.path(), local(0)).await.unwrap();
        assert_eq!(first.port(), Some(kept(dir.path())));
        first.close().await;
        let port = uncommon();
        std::fs::write(dir.path().join(FILE), port.to_string()).unwrap();
        let again = bind(dir.path(), local(0)).await.unwrap();
        assert_eq!(again.port(), Some(port));
        // Somebody else has it now: a free one, which is what peers are told from then on.
        let other = bind(dir.path(), local(0)).await.unwrap();
        assert_ne!(other.port(), Some(port));
        assert_eq!(other.port(), Some(kept(dir.path())));
        // A port that is asked for is taken as it is, and nothing is remembered.
        let dir = tempfile::tempdir().unwrap();
        let port = uncommon();
        let asked = bind(dir.path(), local(port)).await.unwrap();
        assert_eq!(asked.port(), Some(port));
        assert!(!dir.path().join(FILE).exists());
        for endpoint in [again, other, asked] {
            endpoint.close().await;
        }
    }
}

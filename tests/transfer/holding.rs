//! A file to hand over, the ends that do it, and what is said when it does not work.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use earnest::engine::{Fault, FetchOrder, Grant, Transfer};
use earnest::market::{Address, Digest};
use earnest::transfer::{Bind, Endpoint, EndpointConfig, Patience};
use tokio::time::timeout;

/// Nothing here takes longer, unless it hangs.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) fn bytes(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&len.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

pub(crate) fn blob(bytes: &[u8]) -> Digest {
    Digest(*blake3::hash(bytes).as_bytes())
}

pub(crate) fn config(key: u8) -> EndpointConfig {
    EndpointConfig {
        bind: Bind::At("127.0.0.1:0".parse().unwrap()),
        ..EndpointConfig::new([key; 32])
    }
}

pub(crate) async fn endpoint(key: u8) -> Arc<Endpoint> {
    Endpoint::bind(config(key)).await.unwrap()
}

pub(crate) fn hasty(key: u8) -> EndpointConfig {
    let patience = Patience {
        connect: Duration::from_secs(10),
        answer: Duration::from_millis(1500),
        stall: Duration::from_millis(1500),
    };
    EndpointConfig { patience, ..config(key) }
}

pub(crate) struct Holding {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) content: Vec<u8>,
}

impl Holding {
    pub(crate) fn new(len: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let content = bytes(len);
        fs::write(folder.path().join("held"), &content).unwrap();
        Self { folder, content }
    }

    pub(crate) fn held(&self) -> PathBuf {
        self.folder.path().join("held")
    }

    pub(crate) fn fetched(&self) -> PathBuf {
        self.folder.path().join("in/a/folder/fetched")
    }

    pub(crate) fn partial(&self) -> PathBuf {
        self.folder.path().join("in/a/folder/fetched.partial")
    }

    pub(crate) fn partial_len(&self) -> u64 {
        fs::metadata(self.partial()).map_or(0, |metadata| metadata.len())
    }

    pub(crate) fn grant(&self, to: &Endpoint) -> Grant {
        Grant {
            blob: blob(&self.content),
            size: self.content.len() as u64,
            path: self.held(),
            to: to.id(),
        }
    }

    pub(crate) fn order(&self, from: Address) -> FetchOrder {
        FetchOrder {
            blob: blob(&self.content),
            size: self.content.len() as u64,
            from,
            path: self.fetched(),
        }
    }

    pub(crate) fn assert_fetched(&self) {
        assert!(fs::read(self.fetched()).unwrap() == self.content, "other bytes arrived");
        assert!(!self.partial().exists(), "the partial is still there");
    }
}

pub(crate) async fn fetch(at: &Endpoint, order: &FetchOrder) -> Result<(), Fault> {
    fetch_telling(at, order, |_| ()).await
}

pub(crate) async fn fetch_telling(
    at: &Endpoint,
    order: &FetchOrder,
    progress: impl Fn(u64) + Send + Sync,
) -> Result<(), Fault> {
    timeout(DEADLINE, at.fetch(order, &progress)).await.unwrap()
}

pub(crate) fn sentence(fault: &Result<(), Fault>) -> &str {
    match fault {
        Err(Fault::Later(sentence) | Fault::Never(sentence)) => sentence,
        Ok(()) => "it worked",
    }
}

#[track_caller]
pub(crate) fn assert_later(result: &Result<(), Fault>, says: &str) {
    assert!(matches!(result, Err(Fault::Later(s)) if s.contains(says)), "{says}: {result:?}");
}

#[track_caller]
pub(crate) fn assert_never(result: &Result<(), Fault>, says: &str) {
    assert!(matches!(result, Err(Fault::Never(s)) if s.contains(says)), "{says}: {result:?}");
}

//! A notebook: what somebody remembers of what it has asked for, so that it can check the answers also
//! after a restart.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

use crate::market::EventId;
use crate::sandbox::people::trade::{Kind, Task};

/// What a gig of ours asked for: kind and number. The task itself follows from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Asked {
    kind: Kind,
    n: u64,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Pages {
    next: u64,
    asked: BTreeMap<EventId, Asked>,
}

/// The notebook of one person.
#[derive(Debug)]
pub(in crate::sandbox) struct Notebook {
    path: PathBuf,
    seed: u64,
    whose: &'static str,
    pages: Pages,
}

impl Notebook {
    /// Opens the one in a folder, or begins one.
    ///
    /// # Errors
    /// The folder cannot be made, or what is there is no notebook.
    pub(in crate::sandbox) fn open(
        folder: &Path,
        seed: u64,
        whose: &'static str,
    ) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("{} cannot be made", folder.display()))?;
        let path = folder.join("notebook.json");
        let pages = match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)
                .with_context(|| format!("{} is damaged", path.display()))?,
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => Pages::default(),
            Err(why) => {
                return Err(why).with_context(|| format!("{} cannot be read", path.display()));
            }
        };
        Ok(Self { path, seed, whose, pages })
    }

    /// A new task of this kind and its number.
    pub(super) fn think(&mut self, kind: Kind) -> (u64, Task) {
        let n = self.pages.next;
        self.pages.next += 1;
        (n, self.task(kind, n))
    }

    /// Writes down what was published.
    pub(super) fn write(&mut self, gig: EventId, kind: Kind, n: u64) -> std::io::Result<()> {
        self.pages.asked.insert(gig, Asked { kind, n });
        let new = self.path.with_extension("new");
        std::fs::write(&new, serde_json::to_vec(&self.pages)?)?;
        std::fs::rename(&new, &self.path)
    }

    /// What a gig of ours asked for.
    pub(super) fn asked(&self, gig: &EventId) -> Option<(Kind, Task)> {
        let Asked { kind, n } = *self.pages.asked.get(gig)?;
        Some((kind, self.task(kind, n)))
    }

    fn task(&self, kind: Kind, n: u64) -> Task {
        kind.make(&mut chance(self.seed, self.whose, n))
    }
}

/// Dice that always fall the same way for one seed, one person and one number.
pub(super) fn chance(seed: u64, whose: &str, n: u64) -> StdRng {
    let mut hasher = blake3::Hasher::new_derive_key("earnest/v1/sandbox-chance");
    hasher.update(&seed.to_le_bytes());
    hasher.update(&n.to_le_bytes());
    hasher.update(whose.as_bytes());
    StdRng::from_seed(hasher.finalize().into())
}

//! Who may have what: the table that is asked before anything is opened, and the counts that keep one peer
//! from taking all there is.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::endpoint::Limits;
use super::outline::{Cut, Outline, read_values};
use crate::engine::{Fault, Grant};
use crate::market::{Digest, EndpointId};

/// What a file looked like when it was proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    len: u64,
    modified: Option<SystemTime>,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self { len: metadata.len(), modified: metadata.modified().ok() }
    }
}

/// A file that was read once and found to be the blob it is served as.
#[derive(Debug)]
pub(super) struct Proved {
    path: PathBuf,
    stamp: Stamp,
    pub(super) outline: Outline,
}

impl Proved {
    /// Reads the whole file.
    fn read(path: &Path, blob: &Digest, size: u64) -> Result<Self, Fault> {
        let trouble = |error: io::Error| {
            Fault::Later(format!(
                "Cannot read {} to serve it: {error}. Put it back; it is tried again.",
                path.display()
            ))
        };
        let changed = || {
            Fault::Never(format!(
                "{} is no longer the file that was promised, so it is not served. Restore the original.",
                path.display()
            ))
        };
        let file = File::open(path).map_err(trouble)?;
        let metadata = file.metadata().map_err(trouble)?;
        if !metadata.is_file() || metadata.len() != size {
            return Err(changed());
        }
        let cut = Cut::of(size);
        let (values, _) = read_values(&file, cut, size).map_err(trouble)?;
        let outline = Outline::proved(cut, values, blob).ok_or_else(changed)?;
        Ok(Self { path: path.to_owned(), stamp: Stamp::of(&metadata), outline })
    }

    /// Opens the file again, unless it has changed or gone since it was proved.
    pub(super) fn open(&self) -> io::Result<File> {
        let file = File::open(&self.path)?;
        if Stamp::of(&file.metadata()?) == self.stamp {
            Ok(file)
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidData, "the file has changed"))
        }
    }

    fn is_current(&self, path: &Path, size: u64) -> bool {
        self.path == path && self.stamp.len == size && self.open().is_ok()
    }
}

/// A standing grant. Dropping it out of the table ends every stream that lives by it.
struct Granted {
    file: Arc<Proved>,
    standing: watch::Sender<()>,
}

#[derive(Default)]
struct Table {
    grants: BTreeMap<(EndpointId, Digest), Granted>,
    connections: BTreeMap<EndpointId, usize>,
    all_connections: usize,
}

/// The table and the counts.
pub(super) struct Gate {
    table: Mutex<Table>,
    limits: Limits,
    handshakes: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    proving: Semaphore,
}

/// Why a connection was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shut {
    NotForYou,
    Busy,
}

impl Gate {
    pub(super) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            table: Mutex::default(),
            handshakes: Arc::new(Semaphore::new(limits.handshakes)),
            streams: Arc::new(Semaphore::new(limits.streams)),
            // Two readers keep a disk busy; a start with a hundred grants must not take every thread.
            proving: Semaphore::new(2),
            limits,
        })
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a grant, once the file was proved to be the blob.
    pub(super) async fn grant(&self, grant: &Grant) -> Result<(), Fault> {
        let known = {
            let table = self.table();
            table
                .grants
                .iter()
                .find(|((_, blob), granted)| *blob == grant.blob && granted.file.path == grant.path)
                .map(|(_, granted)| granted.file.clone())
        };
        let known = known.filter(|file| file.is_current(&grant.path, grant.size));
        let file = match known {
            Some(file) => file,
            None => {
                let _turn = self.proving.acquire().await;
                let (path, blob, size) = (grant.path.clone(), grant.blob, grant.size);
                let read =
                    tokio::task::spawn_blocking(move || Proved::read(&path, &blob, size)).await;
                Arc::new(read.map_err(|_| {
                    Fault::Later(format!(
                        "Reading {} was interrupted; it is tried again.",
                        grant.path.display()
                    ))
                })??)
            }
        };
        let mut table = self.table();
        let key = (grant.to, grant.blob);
        if table.grants.get(&key).is_none_or(|granted| !Arc::ptr_eq(&granted.file, &file)) {
            table.grants.insert(key, Granted { file, standing: watch::Sender::new(()) });
        }
        Ok(())
    }

    /// Strikes a grant out.
    pub(super) fn revoke(&self, blob: &Digest, to: &EndpointId) {
        self.table().grants.remove(&(*to, *blob));
    }

    /// What `peer` may read under this name, and a receiver that fails once it may no longer.
    pub(super) fn find(
        &self,
        peer: EndpointId,
        blob: Digest,
    ) -> Option<(Arc<Proved>, watch::Receiver<()>)> {
        let table = self.table();
        let granted = table.grants.get(&(peer, blob))?;
        Some((granted.file.clone(), granted.standing.subscribe()))
    }

    /// A place for one more handshake, and whether they are becoming many.
    pub(super) fn handshake(&self) -> Option<(OwnedSemaphorePermit, bool)> {
        let permit = self.handshakes.clone().try_acquire_owned().ok()?;
        let crowded = self.handshakes.available_permits() * 2 < self.limits.handshakes;
        Some((permit, crowded))
    }

    /// A place for one more stream.
    pub(super) fn stream(&self) -> Option<OwnedSemaphorePermit> {
        self.streams.clone().try_acquire_owned().ok()
    }

    /// Lets a connection in if its endpoint has been granted anything at all.
    pub(super) fn admit(self: &Arc<Self>, peer: EndpointId) -> Result<Pass, Shut> {
        let mut table = self.table();
        let first = (peer, Digest([0; 32]));
        let any = table.grants.range(first..).next().is_some_and(|((to, _), _)| *to == peer);
        if !any {
            return Err(Shut::NotForYou);
        }
        let already = table.connections.get(&peer).copied().unwrap_or(0);
        if already >= self.limits.connections_per_endpoint
            || table.all_connections >= self.limits.connections
        {
            return Err(Shut::Busy);
        }
        table.connections.insert(peer, already + 1);
        table.all_connections += 1;
        Ok(Pass { gate: self.clone(), peer })
    }
}

/// A connection that counts, until it is dropped.
pub(super) struct Pass {
    gate: Arc<Gate>,
    pub(super) peer: EndpointId,
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut table = self.gate.table();
        table.all_connections = table.all_connections.saturating_sub(1);
        match table.connections.get_mut(&self.peer) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                table.connections.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_gate_knows_one_pair_and_no_other() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("work");
        std::fs::write(&path, b"work").unwrap();
        let gate = Gate::new(Limits { connections_per_endpoint: 1, ..Limits::default() });
        let (me, you) = (EndpointId([1; 32]), EndpointId([2; 32]));
        let blob = Digest(*blake3::hash(b"work").as_bytes());
        gate.grant(&Grant { blob, size: 4, path: path.clone(), to: me }).await.unwrap();

        assert!(gate.find(me, blob).is_some());
        assert!(gate.find(you, blob).is_none());
        assert!(gate.find(me, Digest([9; 32])).is_none());
        assert_eq!(gate.admit(you).err(), Some(Shut::NotForYou));
        let pass = gate.admit(me).ok();
        assert_eq!(gate.admit(me).err(), Some(Shut::Busy));
        drop(pass);
        assert!(gate.admit(me).is_ok());

        let (_, mut standing) = gate.find(me, blob).unwrap();
        gate.grant(&Grant { blob, size: 4, path, to: me }).await.unwrap();
        assert!(standing.has_changed().is_ok(), "asking again cuts nobody off");
        gate.revoke(&blob, &me);
        assert!(standing.changed().await.is_err());
        assert_eq!(gate.admit(me).err(), Some(Shut::NotForYou));
    }

    #[tokio::test]
    async fn a_file_that_is_not_the_blob_is_not_granted() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("work");
        std::fs::write(&path, b"fork").unwrap();
        let gate = Gate::new(Limits::default());
        let blob = Digest(*blake3::hash(b"work").as_bytes());
        let to = EndpointId([1; 32]);
        for size in [3, 4, 5] {
            let grant = Grant { blob, size, path: path.clone(), to };
            assert!(matches!(gate.grant(&grant).await, Err(Fault::Never(_))));
        }
        let gone = Grant { blob, size: 4, path: place.path().join("gone"), to };
        assert!(matches!(gate.grant(&gone).await, Err(Fault::Later(_))));
        assert!(gate.find(to, blob).is_none());
    }
}

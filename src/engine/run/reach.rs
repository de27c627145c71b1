//! What reaches beyond this process: files that may be fetched from us, and what relays are asked. Both follow
//! from the state; what a change of one log does to them costs the same among ten thousand logs.

use std::collections::{BTreeMap, BTreeSet};

use super::{ARRANGE, Runner};
use crate::engine::{Store, Subscription, Want};
use crate::market::{Digest, EndpointId, EventId, Grant, Time};

/// Who may have which file.
type Key = (Digest, EndpointId);

/// What each log grants and asks, as far as that was arranged.
#[derive(Debug, Default)]
pub(super) struct Reach {
    grants: BTreeMap<EventId, Vec<Grant>>,
    wants: BTreeMap<EventId, Vec<(Want, Vec<String>)>>,
    /// Which logs grant it: several jobs of the same two may have the same input.
    holders: BTreeMap<Key, BTreeSet<EventId>>,
    granted: BTreeMap<Key, Grant>,
}

fn key(grant: &Grant) -> Key {
    (grant.blob, grant.to)
}

impl Reach {
    /// What a log grants now. Answers with what may have to be served or revoked.
    fn grants(&mut self, log: EventId, new: Vec<Grant>) -> Vec<Key> {
        if self.grants.get(&log).map_or(&[][..], Vec::as_slice) == new {
            return Vec::new();
        }
        let mut touched: Vec<Key> = new.iter().map(key).collect();
        for key in &touched {
            self.holders.entry(*key).or_default().insert(log);
        }
        for old in self.grants.insert(log, new).unwrap_or_default() {
            let old = key(&old);
            if !touched.contains(&old) {
                if let Some(holders) = self.holders.get_mut(&old) {
                    holders.remove(&log);
                }
                touched.push(old);
            }
        }
        touched
    }

    /// What is to be served under this key, if anything is.
    fn grant(&self, at: &Key) -> Option<&Grant> {
        let of = |log| self.grants.get(log)?.iter().find(|grant| key(grant) == *at);
        self.holders.get(at)?.iter().find_map(of)
    }

    /// Whether a log asks something else than it did.
    fn asks(&mut self, log: EventId, new: Vec<(Want, Vec<String>)>) -> bool {
        let same = self.wants.get(&log).map_or(&[][..], Vec::as_slice) == new;
        match new.is_empty() {
            true => self.wants.remove(&log),
            false => self.wants.insert(log, new),
        };
        !same
    }
}

impl<S: Store + 'static> Runner<S> {
    /// Serves what the state grants, and asks relays what it asks: of what changed, and of everything now and
    /// then.
    pub(super) async fn arrange(&mut self, now: Time) {
        let all = now >= self.arrange_at;
        let changed = self.core.changed().clone();
        let mut moved = all || changed.whole;
        let mut touched = Vec::new();
        for log in changed.logs {
            let wants = self.core.wants_of(&log).into_iter().map(|s| (s.want, s.relays)).collect();
            moved |= self.reach.asks(log, wants);
            touched.extend(self.reach.grants(log, self.core.grants_of(&log)));
        }
        if all {
            self.arrange_at = now.after(ARRANGE);
            let keys = self.reach.holders.keys().chain(self.reach.granted.keys());
            touched = keys.copied().collect();
        }
        self.serve(touched).await;
        if moved {
            self.watch().await;
        }
    }

    /// Serves exactly what the state grants under these keys.
    async fn serve(&mut self, keys: Vec<Key>) {
        for key in keys {
            let wanted = self.reach.grant(&key).cloned();
            if self.reach.granted.get(&key) == wanted.as_ref() {
                continue;
            }
            let Some(grant) = wanted else {
                self.reach.holders.remove(&key);
                self.reach.granted.remove(&key);
                if let Err(fault) = self.ports.transfer.revoke(&key.0, &key.1).await {
                    tracing::warn!(%fault, "a grant could not be revoked");
                }
                continue;
            };
            match self.ports.transfer.serve(&grant).await {
                Ok(()) => drop(self.reach.granted.insert(key, grant)),
                Err(fault) => {
                    tracing::warn!(%fault, blob = %grant.blob.short(), "a file cannot be served");
                    // Tried anew with everything else.
                    self.reach.granted.remove(&key);
                }
            }
        }
    }

    /// Asks relays what the state asks.
    async fn watch(&mut self) {
        let Ok(wanted) = self.core.subscriptions() else { return };
        let wanted: BTreeSet<_> = wanted.into_iter().collect();
        // A listing cursor that moves is no new question.
        let same = |a: &Subscription| (a.want.clone(), a.relays.clone());
        if wanted.iter().map(same).ne(self.watched.iter().map(same)) {
            self.watched.clone_from(&wanted);
            self.ports.relays.watch(wanted.into_iter().collect()).await;
            // Until it is answered nobody should take the relays for read to their end.
            self.look();
        }
    }
}

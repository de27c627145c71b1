//! The key ring: what was derived lately, so that the next word of the same job derives nothing. A session
//! key, an ECDH and K_sign cost three times what the signature does that they are needed for.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// At least the `size` keys used last and at most twice as many. Each erases itself when the ring and
/// whoever still uses it have let go of it.
pub(super) struct Ring<K, V> {
    size: usize,
    halves: Mutex<Halves<K, V>>,
}

/// What was used since the last turn, and what was used before it.
struct Halves<K, V> {
    young: BTreeMap<K, Arc<V>>,
    old: BTreeMap<K, Arc<V>>,
}

impl<K: Ord, V> Ring<K, V> {
    pub(super) fn new(size: usize) -> Self {
        let halves = Halves { young: BTreeMap::new(), old: BTreeMap::new() };
        Self { size: size.max(1), halves: Mutex::new(halves) }
    }

    /// The key that hangs there, or the one that `make` derives. What cannot be derived is not kept.
    pub(super) fn get<E>(&self, name: K, make: impl FnOnce() -> Result<V, E>) -> Result<Arc<V>, E> {
        let hangs = self.halves().take(&name);
        let key = match hangs {
            Some(key) => key,
            // Derived without the lock: two may derive the same at once, and both are right.
            None => Arc::new(make()?),
        };
        self.halves().hang(self.size, name, key.clone());
        Ok(key)
    }

    fn halves(&self) -> MutexGuard<'_, Halves<K, V>> {
        self.halves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Ord, V> Halves<K, V> {
    fn take(&mut self, name: &K) -> Option<Arc<V>> {
        self.young.get(name).cloned().or_else(|| self.old.remove(name))
    }

    fn hang(&mut self, size: usize, name: K, key: Arc<V>) {
        if self.young.len() >= size && !self.young.contains_key(&name) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(name, key);
    }
}

impl<K, V> fmt::Debug for Ring<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ring(..)")
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn made(ring: &Ring<u32, u32>, name: u32) -> bool {
        let mut made = false;
        let key = ring.get(name, || {
            made = true;
            Ok::<_, Infallible>(name)
        });
        assert_eq!(key.as_deref(), Ok(&name));
        made
    }

    #[test]
    fn what_was_used_last_hangs_there_and_never_more_than_twice_the_size() {
        let ring = Ring::new(4);
        for name in 0..4 {
            assert!(made(&ring, name));
        }
        assert!((0..4).all(|name| !made(&ring, name)));
        for name in 10..1000 {
            assert!(made(&ring, name));
            assert!(!made(&ring, 3), "used all the time");
            let halves = ring.halves();
            assert!(halves.young.len() + halves.old.len() <= 8);
        }
        assert!(made(&ring, 0), "used long ago");
    }

    #[test]
    fn what_cannot_be_derived_is_asked_for_again_and_what_is_let_go_of_is_dropped() {
        let ring = Ring::<u32, Arc<()>>::new(1);
        assert_eq!(ring.get(1, || Err("no")).err(), Some("no"));
        let key = Arc::new(());
        drop(ring.get(1, || Ok::<_, Infallible>(key.clone())));
        assert_eq!(Arc::strong_count(&key), 2);
        for name in 2..5 {
            drop(ring.get(name, || Ok::<_, Infallible>(Arc::default())));
        }
        assert_eq!(Arc::strong_count(&key), 1);
    }
}

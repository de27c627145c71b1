//! One chunk: at most 16 KiB of the deliverable, locked, promised and committed to.

use zeroize::Zeroize;

use super::{
    digest::{self, Hash32},
    key::ChunkKey,
};

/// The longest chunk, in bytes. A proof carries one chunk and must fit one Nostr event.
pub const MAX_CHUNK: usize = 16 * 1024;

const BLIND: usize = 32;
const HEAD: usize = BLIND + 4;

/// Room for one chunk on its way through. The body stands behind `blind | len`, so that the
/// preimages of P_i (`blind | len | m`) and of C_i (`len | c`) are contiguous: BLAKE3 is three
/// times faster over one slice than over a head and a body.
pub(super) struct Slot {
    pub(super) index: u64,
    pub(super) tranche: u32,
    pub(super) starts_record: bool,
    /// P_i: computed by [`Slot::lock`] and [`Slot::unlock`], or read from the vector by the caller.
    pub(super) promise: Hash32,
    /// C_i.
    pub(super) cipher: Hash32,
    len: usize,
    room: Vec<u8>,
}

impl Slot {
    pub(super) fn new() -> Self {
        Self {
            index: 0,
            tranche: 0,
            starts_record: false,
            promise: Hash32::new([0; 32]),
            cipher: Hash32::new([0; 32]),
            len: 0,
            room: vec![0; HEAD + MAX_CHUNK],
        }
    }

    /// The chunk's length in bytes.
    pub(super) fn len(&self) -> u32 {
        self.len as u32
    }

    /// Sets the length, at most [`MAX_CHUNK`], and hands out that much room to fill.
    pub(super) fn resize(&mut self, len: usize) -> &mut [u8] {
        self.len = len.min(MAX_CHUNK);
        let end = HEAD + self.len;
        &mut self.room[HEAD..end]
    }

    pub(super) fn body(&self) -> &[u8] {
        &self.room[HEAD..HEAD + self.len]
    }

    fn body_mut(&mut self) -> &mut [u8] {
        &mut self.room[HEAD..HEAD + self.len]
    }

    fn set_head(&mut self, blind: &[u8; BLIND]) {
        self.room[..BLIND].copy_from_slice(blind);
        self.room[BLIND..HEAD].copy_from_slice(&(self.len as u32).to_le_bytes());
    }

    /// Plaintext to ciphertext, in place, with P_i and C_i. Without a key (mode `direct`) the two
    /// texts are the same and the blind is zero.
    pub(super) fn lock(&mut self, key: Option<&ChunkKey>) {
        self.promise = self.promised(key);
        if let Some(key) = key {
            key.apply(self.body_mut());
        }
        self.cipher = self.committed();
    }

    /// Ciphertext to plaintext, in place; returns the P_i that this plaintext has.
    pub(super) fn unlock(&mut self, key: Option<&ChunkKey>) -> Hash32 {
        if let Some(key) = key {
            key.apply(self.body_mut());
        }
        self.promised(key)
    }

    /// P_i of the body as plaintext.
    pub(super) fn promised(&mut self, key: Option<&ChunkKey>) -> Hash32 {
        match key {
            Some(key) => self.set_head(&key.blind()),
            None => self.set_head(&[0; BLIND]),
        }
        digest::CHUNK_PLAIN.hash(&[&self.room[..HEAD + self.len]])
    }

    /// C_i of the body as ciphertext.
    pub(super) fn committed(&mut self) -> Hash32 {
        self.set_head(&[0; BLIND]);
        digest::CHUNK_CIPHER.hash(&[&self.room[BLIND..HEAD + self.len]])
    }

    /// leaf_i = H("leaf", i, len_i, mark_i, P_i, C_i).
    pub(super) fn leaf(&self) -> Hash32 {
        leaf(self.index, self.len(), self.starts_record, &self.promise, &self.cipher)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.room.zeroize();
    }
}

/// leaf_i = H("leaf", i, len_i, mark_i, P_i, C_i). The mark is in there so that a proof can show where a record
/// begins and ends.
pub(super) fn leaf(
    i: u64,
    len: u32,
    starts_record: bool,
    promise: &Hash32,
    cipher: &Hash32,
) -> Hash32 {
    digest::LEAF.hash(&[
        &i.to_le_bytes(),
        &len.to_le_bytes(),
        &[u8::from(starts_record)],
        promise.as_bytes(),
        cipher.as_bytes(),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locked(key: u8, text: &[u8]) -> Slot {
        let mut slot = Slot::new();
        slot.resize(text.len()).copy_from_slice(text);
        slot.lock(Some(&ChunkKey::new([key; 32])));
        slot
    }

    #[test]
    fn the_same_label_in_two_chunks_has_unrelated_promises() {
        let (one, two) = (locked(1, b"cat"), locked(2, b"cat"));
        assert_ne!(one.promise, two.promise);
        assert_ne!(one.cipher, two.cipher);
    }

    #[test]
    fn guessing_a_label_without_its_key_does_not_find_it() {
        // Every answer there is, tried under what a stranger knows: no blind, a zero blind.
        let promise = locked(1, b"cat").promise;
        for guess in [&b"cat"[..], b"dog", b"owl"] {
            let mut slot = Slot::new();
            slot.resize(guess.len()).copy_from_slice(guess);
            assert_ne!(slot.promised(None), promise);
            assert_ne!(Hash32::from(blake3::hash(guess)), promise);
            let len = (guess.len() as u32).to_le_bytes();
            assert_ne!(digest::CHUNK_PLAIN.hash(&[&len, guess]), promise);
        }
        // and the key's holder does find it, so that the guesses above could have hit
        let mut slot = Slot::new();
        slot.resize(3).copy_from_slice(b"cat");
        assert_eq!(slot.promised(Some(&ChunkKey::new([1; 32]))), promise);
    }

    #[test]
    fn what_was_locked_unlocks_to_the_same_promise() {
        let mut slot = locked(5, b"the quick brown fox");
        assert_ne!(slot.body(), b"the quick brown fox");
        let promise = slot.promise;
        assert_eq!(slot.unlock(Some(&ChunkKey::new([5; 32]))), promise);
        assert_eq!(slot.body(), b"the quick brown fox");
    }

    #[test]
    fn without_a_key_the_text_stays_in_the_open() {
        let mut slot = Slot::new();
        slot.resize(2).copy_from_slice(b"hi");
        slot.lock(None);
        assert_eq!(slot.body(), b"hi");
        let promise = slot.promise;
        assert_eq!(slot.unlock(None), promise);
    }
}

//! Chance as an argument: a stream of bytes that follows from 32 random ones.

use std::fmt;

use bitcoin::secp256k1::rand::{CryptoRng, Error, RngCore};

/// A random stream, the output of BLAKE3 for a seed. The same seed gives the same stream, so a test
/// and the simulator repeat themselves; whoever calls must never use one seed twice for two messages.
pub struct Chance(Box<blake3::OutputReader>);

impl Chance {
    /// From 32 fresh random bytes.
    pub fn new(fresh: &[u8; 32]) -> Self {
        Self::hedged(fresh, &[], &[])
    }

    /// From random bytes, a secret and the message. A broken random source then costs privacy at most
    /// (equal messages look equal), never a key.
    pub(crate) fn hedged(fresh: &[u8; 32], secret: &[u8], message: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("earnest/v1/chance");
        hasher.update(fresh);
        hasher.update(&(secret.len() as u64).to_le_bytes());
        hasher.update(secret);
        hasher.update(message);
        Self(Box::new(hasher.finalize_xof()))
    }

    /// The next 32 bytes.
    pub(crate) fn bytes32(&mut self) -> [u8; 32] {
        let mut out = [0; 32];
        self.fill_bytes(&mut out);
        out
    }
}

impl fmt::Debug for Chance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Chance(..)")
    }
}

impl RngCore for Chance {
    fn next_u32(&mut self) -> u32 {
        let mut out = [0; 4];
        self.fill_bytes(&mut out);
        u32::from_le_bytes(out)
    }
    fn next_u64(&mut self) -> u64 {
        let mut out = [0; 8];
        self.fill_bytes(&mut out);
        u64::from_le_bytes(out)
    }
    fn fill_bytes(&mut self, dest: &mut [u8]) {
        self.0.fill(dest);
    }
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), Error> {
        self.fill_bytes(dest);
        Ok(())
    }
}

impl CryptoRng for Chance {}

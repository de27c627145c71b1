//! The transfer port on iroh: a file goes from its holder to the one endpoint that a job's certificate
//! binds, and to nobody else.
//!
//! The rule: nothing is opened for a stranger, and nothing is kept that is not proved. Who asks for what
//! was not granted to it gets one answer, whether the blob exists or not. Who fetches knows hash and size
//! first, stores at most that many bytes, and proves every group of 256 KiB against the hash before it
//! goes to disk.
//!
//! # The protocol `earnest/blob/1`
//!
//! One QUIC connection (TLS 1.3, both ends proved by their Ed25519 endpoint keys), nine bidirectional streams a
//! fetch: one for the outline, up to eight *lanes* for the bytes. The asking side sends one message a stream,
//! 43 bytes, integers little-endian:
//!
//! ```text
//! asks   kind 1      0 outline | 1 bytes
//!        blob 32     plain BLAKE3 of the file
//!        start 8     first byte wanted                       zero for an outline
//!        lanes 1     1..=8                                   zero for an outline
//!        lane 1      groups whose index mod lanes is this    zero for an outline
//! holds  status 1    0 here | 1 not for you | 2 changed or gone | 3 busy
//!        then size 8 and outline 32 * n, or the bytes from start on that travel in this lane, in order
//! ```
//!
//! The **outline** is the chaining value of every group of the file in BLAKE3's own tree (BLAKE3 paper,
//! 2.4 and 5.1; the crate calls them subtrees): the groups are cut at 256 KiB, doubled until there are at
//! most 65,536 of them, so that it is never over 2 MiB. Merged, it must give the blob's hash, so it proves
//! itself before the first byte of the file; from then on one wrong byte is found in its own group. A file
//! of one group has its hash as its outline.
//!
//! A stream may be reset with 1 (not for you any more), 2 (changed or gone), 3 (busy, or too slow); a
//! connection may be closed with the same numbers. 0 is the end of a good one.

mod ask;
mod endpoint;
mod fetch;
mod gate;
mod outline;
mod partial;
mod request;
mod serve;

pub use endpoint::{ALPN, Bind, Endpoint, EndpointConfig, Limits, Patience, RelayChoice};
pub use outline::LARGEST;

//! Pinning: a check as somebody wrote it becomes what a gig names it by.

use crate::market::{Digest, LONGEST_INLINE_CHECK, Pinned};
use crate::verify::Check;

/// A check for a gig's quality, from its bytes in any order and spacing: inline where it is short. A long
/// one has to be in canonical form already, and travels as an input file of the same hash.
///
/// # Errors
/// Why the bytes are no check, in words.
pub fn pin(bytes: &[u8]) -> Result<Pinned, String> {
    let check = Check::from_any_json(bytes).map_err(|why| why.to_string())?;
    let body = check.to_json();
    let hash = Digest(check.hash().0);
    if body.len() <= LONGEST_INLINE_CHECK {
        let body = String::from_utf8(body).map_err(|why| why.to_string())?;
        return Ok(Pinned { body: Some(body), hash });
    }
    if body != bytes {
        return Err(
            "a check this long travels as a file, and has to be in canonical form: take `body` of `earnest check hash FILE --json`"
                .into(),
        );
    }
    Ok(Pinned { body: None, hash })
}

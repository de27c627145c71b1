//! People: a key is who somebody is. Names prove nothing.

use bitcoin::bech32::{self, Bech32, Hrp};

use crate::market::Pubkey;

/// As people write it (NIP-19).
pub(crate) fn npub(key: &Pubkey) -> String {
    bech32::encode::<Bech32>(Hrp::parse_unchecked("npub"), key.as_bytes())
        // 63 characters always fit; the hex form is the same key.
        .unwrap_or_else(|_| key.to_string())
}

/// Enough of it to tell two apart: always the same width.
pub(crate) fn short(key: &Pubkey) -> String {
    let full = npub(key);
    let data = full.strip_prefix("npub1").unwrap_or(&full);
    format!("npub1{}…{}", &data[..6], &data[data.len() - 4..])
}

/// The key that somebody typed, as an npub.
pub(crate) fn read(text: &str) -> Option<Pubkey> {
    let (hrp, data) = bech32::decode(text).ok()?;
    (hrp.as_str() == "npub").then(|| data.try_into().ok().map(Pubkey)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_npub_is_read_and_written() {
        // The example of NIP-19.
        let hex = "7e7e9c42a91bfef19fa929e5fda1b72e0ebc1a4c1141673e2794234d86addf4e";
        let written = "npub10elfcs4fr0l0r8af98jlmgdh9c8tcxjvz9qkw038js35mp4dma8qzvjptg";
        let key: Pubkey = hex.parse().unwrap();
        assert_eq!(npub(&key), written);
        assert_eq!(read(written), Some(key));
        assert_eq!(short(&key), "npub10elfcs…jptg");
        assert_eq!(read("nsec1vl029mgpspedva04g90vltkh6fvh240zqtv9k0t9af8935ke9laqsnlfe5"), None);
        assert_eq!(read("alice"), None);
    }
}

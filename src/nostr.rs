//! The relay port on nostr-sdk.

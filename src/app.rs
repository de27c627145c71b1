//! The real thing, assembled: keys, store, relays, node and transfer behind one handle.

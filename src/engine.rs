//! The one loop: input, step, one commit, outbox.

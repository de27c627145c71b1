//! The store: what a user's jobs, money and book can rely on, whatever happens to the process.

//! One recovery phrase and every key that follows from it.

//! Untrusted text in, printable text out. Pure.

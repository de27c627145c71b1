//! The verbs, one file each.

pub(super) mod completions;
pub(super) mod config;
pub(super) mod doctor;
pub(super) mod gigs;
pub(super) mod help;
pub(super) mod init;
pub(super) mod man;
pub(super) mod post;
pub(super) mod relay;
pub(super) mod relay_policy;
pub(super) mod run;
pub(super) mod sandbox;
pub(super) mod show;
pub(super) mod verify_proof;
pub(super) mod wallet;

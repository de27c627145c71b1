//! The log: to a file of the user's own, as stdout belongs to data and stderr to talk.

use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Mutex;

use tracing_subscriber::EnvFilter;

use super::Failure;
use super::failure::Exit;
use crate::config::Config;

/// Begins to write the log of this process. What others' libraries say is kept from `warn` on.
///
/// # Errors
/// The file cannot be written.
pub(super) fn start(config: &Config) -> Result<(), Failure> {
    to_file(&config.log.file, &config.log.level)
}

/// The same, to this file.
///
/// # Errors
/// The file cannot be written.
pub(super) fn to_file(path: &Path, level: &str) -> Result<(), Failure> {
    if level == "off" {
        return Ok(());
    }
    let failed = |why: std::io::Error| {
        let said = format!("The log file {} cannot be written: {why}.", path.display());
        Failure::new(Exit::Failed, "log", said).next("Name another with --set log.file=FILE")
    };
    if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
    }
    let file =
        OpenOptions::new().create(true).append(true).mode(0o600).open(path).map_err(failed)?;
    let others = if level == "error" { "error" } else { "warn" };
    let filter = EnvFilter::new(format!("{others},earnest={level}"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(Mutex::new(file))
        .finish();
    // A second start in one process, as in tests, leaves the first log in place.
    let _ = tracing::subscriber::set_global_default(log);
    Ok(())
}

//! Faults of the disk, as sentences that say whether money moved.

use std::io::{Error, ErrorKind};
use std::path::Path;

use crate::engine::Fault;

/// For what happens before a payment.
pub(super) const NOTHING_PAID: &str = "Nothing was paid.";
/// For what happens after one.
pub(super) const KEY_KEPT: &str = "What you paid for is safe: the key is kept and still opens it.";

/// What the disk said while working on `path`. It may work later.
pub(super) fn disk(path: &Path, why: Error, money: &str) -> Fault {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let name: String = name.chars().filter(|c| !c.is_control()).take(80).collect();
    Fault::Later(match why.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => format!(
            "The disk is full: `{name}` was not written. {money} Free some space; it is tried again."
        ),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            format!("`{name}` may not be read or written here: {why}. {money}")
        }
        _ => format!("The disk failed at `{name}`: {why}. {money} It is tried again."),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_may_have_room_later() {
        let fault = disk(Path::new("/a/b\n.blob"), ErrorKind::StorageFull.into(), NOTHING_PAID);
        let said = "The disk is full: `b.blob` was not written. Nothing was paid. Free some space; \
                    it is tried again.";
        assert_eq!(fault, Fault::Later(said.into()));
    }
}

//! Faults: what SQLite says, as a sentence for the person who reads it.

use rusqlite::ErrorCode;

use crate::engine::Fault;

/// Turns an error of SQLite into a fault. A commit that failed has left nothing behind.
pub(super) fn fault(error: rusqlite::Error) -> Fault {
    let Some(code) = error.sqlite_error_code() else {
        return Fault::Never(format!("The database holds something unreadable: {error}."));
    };
    match code {
        ErrorCode::DiskFull => Fault::Later(
            "The disk is full: nothing was written and no money moved. Free some space; it is \
             tried again."
                .into(),
        ),
        ErrorCode::SystemIoFailure | ErrorCode::CannotOpen | ErrorCode::FileLockingProtocolFailed => {
            Fault::Later(format!(
                "The disk failed ({code:?}): nothing was written and no money moved. It is tried \
                 again."
            ))
        }
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::OutOfMemory => Fault::Later(
            "The database is busy or out of memory: nothing was written. It is tried again.".into(),
        ),
        ErrorCode::ReadOnly | ErrorCode::PermissionDenied => Fault::Later(
            "The database cannot be written to: nothing was written and no money moved. Check the \
             permissions of the data directory."
                .into(),
        ),
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Fault::Never(
            "The database is damaged: nothing was written. Coins and channels are kept by the node, \
             not in this file. Stop earnest, copy the data directory, and look at the disk."
                .into(),
        ),
        ErrorCode::ConstraintViolation => {
            // The sentences of our triggers, and names of columns: never a value.
            Fault::Never(format!("The store refused a commit: {error}. Nothing was written."))
        }
        _ => Fault::Never(format!("The database failed: {error}. Nothing was written.")),
    }
}

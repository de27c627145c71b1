//! What is wrong with a configuration, in a sentence for the person who wrote it.

use std::fmt;
use std::path::PathBuf;

use crate::config::Source;
use crate::text::{Limit, Raw};

/// Where the mistake stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, variable or flag.
    pub source: Source,
    /// The column in the file's line, in characters from 1.
    pub column: Option<usize>,
}

/// A configuration that cannot be used. Nothing was started and no money was touched.
#[derive(Debug)]
pub enum Error {
    /// The file is there and cannot be read.
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        why: std::io::Error,
    },
    /// The file is not TOML.
    Syntax {
        /// Where it stops being TOML.
        place: Place,
        /// What the parser says.
        why: String,
    },
    /// No such setting.
    Unknown {
        /// Where it stands.
        place: Place,
        /// What was written.
        key: String,
        /// What was probably meant.
        suggestion: Option<&'static str>,
    },
    /// The setting exists and cannot have this value.
    Invalid {
        /// Where it stands.
        place: Place,
        /// The setting.
        key: &'static str,
        /// What it may be.
        why: String,
    },
    /// The system has no home directory to put the defaults in.
    NoHome,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.source, self.column) {
            (source, Some(column)) => write!(f, "{source}:{column}"),
            (source, None) => write!(f, "{source}"),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { path, why } => {
                write!(f, "{}: cannot be read: {why}", path.display())
            }
            Self::Syntax { place, why } => write!(f, "{place}: not valid TOML: {}", shown(why)),
            Self::Unknown { place, key, suggestion } => {
                write!(f, "{place}: there is no setting `{}`", shown(key))?;
                match suggestion {
                    Some(name) => write!(f, "; did you mean `{name}`?"),
                    None => write!(f, "; `earnest config` lists them all"),
                }
            }
            Self::Invalid { place, key, why } => write!(f, "{place}: `{key}` {}", shown(why)),
            Self::NoHome => f.write_str(
                "no home directory was found to keep data in; name one with --data-dir DIR",
            ),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read { why, .. } => Some(why),
            _ => None,
        }
    }
}

/// A file may have been copied from the web: its words are a stranger's.
fn shown(text: &str) -> String {
    Raw::from(text).clean(Limit::one_line(300)).to_string()
}

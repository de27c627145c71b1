//! What must not be shown: masked in `Debug`, wiped when dropped.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use zeroize::Zeroizing;

/// Longest password file that is read.
const MAX_PASSWORD_BYTES: u64 = 4_096;
/// How Bitcoin Core's cookie file starts: it names its own user.
const COOKIE_USER: &str = "__cookie__";

/// A password or token.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// The secret itself, for the one call that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Where the RPC password is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Password {
    /// In a file, read when it is needed: bitcoind writes a new cookie at every start.
    File(PathBuf),
    /// In the configuration.
    Given(Secret),
}

impl Password {
    /// User and password now. A cookie file (`__cookie__:...`) overrides `user`.
    ///
    /// # Errors
    /// The file cannot be read, is empty, or is longer than 4 KiB.
    pub fn read(&self, user: &str) -> io::Result<(String, Secret)> {
        let path = match self {
            Self::Given(secret) => return Ok((user.to_owned(), secret.clone())),
            Self::File(path) => path,
        };
        let mut text = Zeroizing::new(String::new());
        File::open(path)?.take(MAX_PASSWORD_BYTES + 1).read_to_string(&mut text)?;
        let line = text.trim_end_matches(['\r', '\n']);
        if line.is_empty() || text.len() as u64 > MAX_PASSWORD_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "no password in that file"));
        }
        Ok(match line.split_once(':') {
            Some((COOKIE_USER, password)) => (COOKIE_USER.to_owned(), password.to_owned().into()),
            _ => (user.to_owned(), line.to_owned().into()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_comes_from_its_file_and_a_cookie_names_its_user() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rpc");
        let password = Password::File(path.clone());
        assert_eq!(password.read("bob").unwrap_err().kind(), io::ErrorKind::NotFound);
        for (content, user, secret) in [
            ("hunter2\n", "bob", "hunter2"),
            ("a:b", "bob", "a:b"),
            ("__cookie__:f00", "__cookie__", "f00"),
        ] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(password.read("bob").unwrap(), (user.into(), secret.to_owned().into()));
        }
        for content in [String::new(), "\n".into(), "x".repeat(5_000)] {
            std::fs::write(&path, content).unwrap();
            assert!(password.read("bob").is_err());
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let password = Password::Given("hunter2".to_owned().into());
        assert_eq!(format!("{password:?}"), "Given(***)");
    }
}

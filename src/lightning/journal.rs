//! The node's log: a file, never the terminal, and nothing in it that is worth stealing.
//!
//! It also listens. ldk-node 0.7.1 tells an LSP's terms to its log and to nobody else: the least and the
//! most it takes, and the fee it asks. The version is pinned, and a test holds us to the wording.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::Context;
use ldk_node::logger::{LogLevel, LogRecord, LogWriter};

/// The log is begun anew, and one old one kept, at this many bytes.
const MAX_LOG: u64 = 8 << 20;

/// What the LSP was heard to say during one request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// The amount lay outside these limits: least and most, in msat.
    pub(super) limits: Option<(u64, u64)>,
    /// The fee asked was above our limit, in msat.
    pub(super) fee: Option<u64>,
    /// It did not answer in time.
    pub(super) silent: bool,
}

pub(super) struct Journal {
    path: PathBuf,
    file: Mutex<(File, u64)>,
    heard: Mutex<Heard>,
}

impl Journal {
    pub(super) fn open(dir: &Path) -> anyhow::Result<Self> {
        let path = dir.join("node.log");
        let file = open(&path).with_context(|| format!("cannot write {}", path.display()))?;
        let size = file.metadata().map_or(0, |meta| meta.len());
        Ok(Self { path, file: Mutex::new((file, size)), heard: Mutex::default() })
    }

    /// Forgets what was heard and starts listening anew.
    pub(super) fn listen(&self) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Heard::default();
    }

    /// What was heard since [`Journal::listen`].
    pub(super) fn heard(&self) -> Heard {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self, text: &str) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        if text.starts_with("Skipping LSP-offered JIT parameters") {
            let (least, most) = (number_after(text, "min: "), number_after(text, "max: "));
            if let (Some(least), Some(most)) = (least, most) {
                // Of several offers the widest counts.
                let (l, m) = heard.limits.unwrap_or((least, most));
                heard.limits = Some((l.min(least), m.max(most)));
            }
        } else if text.starts_with("Failed to request inbound JIT channel") {
            heard.fee = number_after(text, "total opening fee of ");
        } else if text.starts_with("Liquidity request timed out") {
            heard.silent = true;
        }
    }
}

impl LogWriter for Journal {
    fn log(&self, record: LogRecord<'_>) {
        let liquidity = record.module_path.starts_with("ldk_node::liquidity");
        if record.level < LogLevel::Info && !liquidity {
            return;
        }
        let text = record.args.to_string();
        if liquidity {
            self.hear(&text);
            if record.level < LogLevel::Info {
                return;
            }
        }
        let line = format!(
            "{} {:<5} {}:{} {}\n",
            super::node::unix_now(),
            record.level,
            record.module_path,
            record.line,
            without_secrets(&text)
        );
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if file.1 + line.len() as u64 > MAX_LOG {
            let renamed = std::fs::rename(&self.path, self.path.with_extension("log.old"));
            if let (Ok(()), Ok(fresh)) = (renamed, open(&self.path)) {
                *file = (fresh, 0);
            }
        }
        // A log that cannot be written must not stop a node that holds money.
        if file.0.write_all(line.as_bytes()).is_ok() {
            file.1 += line.len() as u64;
        }
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn number_after(text: &str, mark: &str) -> Option<u64> {
    let rest = text.split_once(mark)?.1;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest.get(..end)?.parse().ok()
}

/// Cuts everything that could be a preimage, a key or an invoice to its first eight characters, and
/// what a peer may have put into a message to printable text. A hash and a preimage look the same, so
/// both are cut: eight characters still tell two payments apart.
pub(super) fn without_secrets(text: &str) -> String {
    // Byte arrays come in decimal where somebody printed a type by `Debug`.
    if text.contains("PaymentPreimage(") || text.contains("SecretKey(") {
        return "(a line that held a secret is left out)".to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut word = String::new();
    for c in text.chars().chain(std::iter::once('\n')) {
        if c.is_ascii_alphanumeric() {
            word.push(c);
            continue;
        }
        let lower = word.to_ascii_lowercase();
        let long_hex = word.len() >= 64 && word.bytes().all(|b| b.is_ascii_hexdigit());
        let invoice = word.len() > 40 && lower.starts_with("ln");
        if long_hex || invoice {
            out.push_str(word.get(..8).unwrap_or_default());
            out.push('…');
        } else {
            out.push_str(&word);
        }
        word.clear();
        out.push(if c.is_control() { ' ' } else { c });
    }
    out.truncate(out.trim_end().len());
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_secret_survives(
            before in "[ -~]{0,20}[ :(=]", secret in proptest::array::uniform32(any::<u8>()),
            after in "[ ).,][ -~]{0,20}",
        ) {
            let secret = hex::encode(secret);
            let line = without_secrets(&format!("{before}{secret}{after}"));
            prop_assert!(!line.contains(&secret[..16]), "{}", line);
        }

        #[test]
        fn any_text_is_survived(text in "\\PC{0,200}") {
            let _ = without_secrets(&text);
            let _ = number_after(&text, "a");
        }
    }

    #[test]
    fn invoices_are_cut_and_plain_words_are_not() {
        let invoice = format!("lnbcrt1{}", "q".repeat(300));
        let line = without_secrets(&format!("Invoice created: {invoice}\u{1b}[31m"));
        assert_eq!(line, "Invoice created: lnbcrt1q… [31m");
        assert_eq!(without_secrets("Startup complete."), "Startup complete.");
        assert!(!without_secrets("x PaymentPreimage([1, 2, 3])").contains('3'));
    }

    #[test]
    fn the_terms_of_an_lsp_are_heard() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path()).unwrap();
        journal.hear(
            "Skipping LSP-offered JIT parameters as the payment of 1msat doesn't meet LSP limits \
             (min: 5000000msat, max: 900msat)",
        );
        journal.hear(
            "Failed to request inbound JIT channel as LSP's requested total opening fee of 70msat \
             exceeds our fee limit of 0msat",
        );
        let heard = Heard { limits: Some((5_000_000, 900)), fee: Some(70), silent: false };
        assert_eq!(journal.heard(), heard);
        journal.listen();
        assert_eq!(journal.heard(), Heard::default());
    }
}

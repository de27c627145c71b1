//! `earnest init`: makes or restores the recovery phrase, imports an identity, and keeps both.

use std::io::{self, IsTerminal as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde::Serialize;
use zeroize::Zeroizing;

use crate::app::{Cost, ImportError, Imported, Lock, Phrase, PhraseError, Secrets, VaultError};
use crate::cli::session::{Session, ask_line, read_bytes, sentence};
use crate::cli::{Exit, Failure, Out};
use crate::config::Config;
use crate::engine::Scribe as _;

/// How often words may be typed wrongly.
const TRIES: u32 = 3;
/// Bytes of a phrase or a key, at most.
const LONGEST: u64 = 4096;

/// Make keys, or restore them.
///
/// One recovery phrase of 24 words restores the identity and the coins on the chain, and no Lightning channel:
/// what is in channels needs the data directory too. It is shown once; write it down on paper. Without a
/// terminal it is shown only with --show-phrase.
#[derive(Debug, clap::Args)]
pub(crate) struct Init {
    /// Restore from a recovery phrase: typed, or on stdin
    #[arg(long)]
    restore: bool,
    /// Use this Nostr identity: a file (or - for stdin) with an nsec or an ncryptsec
    #[arg(long, value_name = "FILE")]
    import_nsec: Option<PathBuf>,
    /// File with the passphrase of an imported ncryptsec
    #[arg(long, value_name = "FILE", requires = "import_nsec")]
    import_passphrase_file: Option<PathBuf>,
    /// Keep the keys unencrypted, guarded by file permissions alone
    #[arg(long)]
    plain: bool,
    /// Print the phrase on stdout even if that is no terminal
    #[arg(long, conflicts_with = "restore")]
    show_phrase: bool,
    /// Do not ask for words of the phrase to check the backup
    #[arg(long)]
    skip_check: bool,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Made<'a> {
    npub: &'a str,
    keys: &'a Path,
    encrypted: bool,
    restored: bool,
    imported: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    phrase: Option<&'a str>,
}

impl Init {
    pub(crate) fn run(&self, session: &Session, out: &mut Out) -> Result<Exit, Failure> {
        let config = session.config()?;
        let path = crate::app::vault_path(&config);
        if crate::app::vault(&config).exists() {
            return Err(VaultError::Exists(path).into());
        }
        self.check_flags(session)?;
        let imported = self.import(session, out)?;
        let phrase = match self.restore {
            true => restore(session, out)?,
            false => crate::app::new_phrase(),
        };
        let lock = match self.plain {
            true => Lock::Plain,
            false => Lock::Passphrase(session.new_passphrase()?, Cost::DEFAULT),
        };
        // Shown and checked before anything is written: who stops here starts again from nothing.
        if !self.restore {
            self.show(session, &phrase, out)?;
        }
        let secrets = Secrets { phrase, imported };
        crate::app::create_vault(&config, &secrets, &lock)?;
        self.tell(&config, &secrets, out)?;
        Ok(Exit::Done)
    }

    fn check_flags(&self, session: &Session) -> Result<(), Failure> {
        let usage = |said: &str| Err(Failure::new(Exit::Usage, "usage", said));
        if self.plain && session.globals.passphrase_file.is_some() {
            return usage(
                "--plain keeps the keys without a passphrase, and --passphrase-file gives one. Give one of the two.",
            );
        }
        let stdin_is_key = self.import_nsec.as_deref() == Some(Path::new("-"));
        if self.restore && stdin_is_key && !io::stdin().is_terminal() {
            return usage(
                "The phrase and the nsec cannot both come from stdin. Put the nsec into a file.",
            );
        }
        Ok(())
    }

    fn import(&self, session: &Session, out: &mut Out) -> Result<Option<Imported>, Failure> {
        let Some(path) = &self.import_nsec else { return Ok(None) };
        if let Ok(about) = std::fs::metadata(path)
            && about.is_file()
            && about.permissions().mode() & 0o077 != 0
        {
            let at = path.display();
            out.say(&format!("{at} can be read by other users of this machine: chmod 600 it."))?;
        }
        let text = text_of(read_bytes(path, LONGEST)?)?;
        let passphrase = match &self.import_passphrase_file {
            Some(file) => crate::app::find_passphrase(Some(file))?,
            None if Imported::is_encrypted(&text) && session.may_ask() => {
                Some(crate::app::ask_passphrase("Passphrase of the ncryptsec: ")?)
            }
            None => None,
        };
        Imported::read(&text, passphrase.as_ref()).map(Some).map_err(|why| {
            let failure = Failure::new(Exit::Failed, "import", sentence(&why.to_string()));
            match why {
                ImportError::NeedsPassphrase => failure.next("Give --import-passphrase-file FILE"),
                _ => failure,
            }
        })
    }

    fn show(&self, session: &Session, phrase: &Phrase, out: &mut Out) -> Result<(), Failure> {
        let on_terminal = io::stderr().is_terminal() && !session.globals.no_input;
        if !on_terminal {
            if !self.show_phrase {
                out.say(
                    "The recovery phrase is not shown, as nobody is there to write it down. The key \
                     file is the only copy: keep one elsewhere, or use --show-phrase next time.",
                )?;
            }
            return Ok(());
        }
        out.say(
            "This is your recovery phrase. Whoever has it has your money; without it nobody can bring \
             it back. Write it down on paper, in this order. It is not shown again.\n",
        )?;
        out.say(&numbered(phrase))?;
        if self.skip_check || !session.may_ask() {
            return Ok(
                out.say("The backup was not checked. Look once more that you have all 24 words.")?
            );
        }
        check_backup(phrase, out)
    }

    fn tell(&self, config: &Config, secrets: &Secrets, out: &mut Out) -> Result<(), Failure> {
        let npub = crate::app::npub(&crate::app::keys_of(secrets).identity());
        let words = Zeroizing::new(secrets.phrase.words().join(" "));
        let keys = crate::app::vault_path(config);
        out.record(&Made {
            npub: &npub,
            keys: &keys,
            encrypted: !self.plain,
            restored: self.restore,
            imported: secrets.imported.is_some(),
            phrase: self.show_phrase.then_some(words.as_str()),
        })?;
        out.line(&npub)?;
        if self.show_phrase {
            out.line(&words)?;
        }
        if secrets.imported.is_some() {
            out.say(
                "The identity is imported: the phrase alone does not restore it. Keep your nsec.",
            )?;
        }
        if self.plain {
            out.say(&format!("The keys in {} are not encrypted.", keys.display()))?;
        }
        out.say("That is you, in public. Next: earnest doctor, then earnest gigs")?;
        Ok(())
    }
}

/// Three words, to show that the phrase was written down.
fn check_backup(phrase: &Phrase, out: &mut Out) -> Result<(), Failure> {
    let check = crate::app::new_backup_check();
    out.say("")?;
    for _ in 0..TRIES {
        let [a, b, c] = check.places;
        let typed = [
            ask_line(&format!("Word {a}: "))?,
            ask_line(&format!("Word {b}: "))?,
            ask_line(&format!("Word {c}: "))?,
        ];
        match check.answer(phrase, &[&typed[0], &typed[1], &typed[2]]) {
            Ok(()) => return Ok(()),
            Err(place) => out.say(&format!("Word {place} is another one. Look again."))?,
        }
    }
    let said = "What you wrote down is not the phrase. Nothing was made: no key exists yet.";
    Err(Failure::new(Exit::Failed, "backup-not-checked", said).next("earnest init"))
}

fn restore(session: &Session, out: &mut Out) -> Result<Phrase, Failure> {
    let wrong = |why: &PhraseError| {
        Failure::new(Exit::Failed, "bad-phrase", sentence(&why.to_string()))
            .next("Compare with what you wrote down, word by word")
    };
    if !io::stdin().is_terminal() {
        let text = text_of(read_bytes(Path::new("-"), LONGEST)?)?;
        return Phrase::parse(&text).map_err(|why| wrong(&why));
    }
    if !session.may_ask() {
        let said =
            "The phrase is read from stdin, and stdin is a terminal where nothing may be asked.";
        return Err(Failure::new(Exit::Usage, "usage", said)
            .next("earnest init --restore --no-input < FILE"));
    }
    let mut last = None;
    for _ in 0..TRIES {
        let typed = ask_line("The 24 words, with spaces between them:\n")?;
        match Phrase::parse(&typed) {
            Ok(phrase) => return Ok(phrase),
            Err(why) => {
                // On the screen of whoever typed it, and nowhere else.
                out.say(&why.advice(&typed))?;
                last = Some(why);
            }
        }
    }
    Err(wrong(&last.unwrap_or(PhraseError::Checksum)))
}

fn numbered(phrase: &Phrase) -> Zeroizing<String> {
    let words = phrase.words();
    let rows = words.len().div_ceil(4);
    let line = |row: usize| {
        let cell = |column: usize| {
            let at = column * rows + row;
            words.get(at).map(|word| format!("{:2}. {word:<10}", at + 1)).unwrap_or_default()
        };
        (0..4).map(cell).collect::<Vec<_>>().join(" ").trim_end().to_owned()
    };
    Zeroizing::new((0..rows).map(line).collect::<Vec<_>>().join("\n"))
}

fn text_of(bytes: Zeroizing<Vec<u8>>) -> Result<Zeroizing<String>, Failure> {
    let text = std::str::from_utf8(&bytes);
    let text = text.map_err(|_| Failure::new(Exit::Failed, "not-text", "That is not text."))?;
    Ok(Zeroizing::new(text.to_owned()))
}

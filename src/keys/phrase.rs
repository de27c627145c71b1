//! The recovery phrase: 24 words (BIP-39, English) that restore everything.

use std::fmt;

use bip39::{Language, Mnemonic};
use zeroize::Zeroizing;

use super::derive::Seed;
use crate::market::Nonce;

/// Words in a phrase: 256 bits and 8 of checksum.
pub const WORDS: usize = 24;

/// The recovery phrase. Erased when dropped; has no `Display`.
#[derive(Clone)]
pub struct Phrase(Zeroizing<[u8; 32]>);

/// Why a text is not a recovery phrase. It names places, never words: an error may end up in a log.
/// [`PhraseError::advice`] says more to the person who just typed the words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PhraseError {
    /// Not 24 words.
    #[error("a recovery phrase has 24 words, not {0}; nothing was changed")]
    Count(usize),
    /// A word that is not in the list, counted from 1.
    #[error("word {0} is not one of the 2,048 words of the list; nothing was changed")]
    Unknown(usize),
    /// Every word is in the list, but together they are no phrase.
    #[error(
        "the words are all in the list but do not belong together: one is another word, or two are \
         swapped; nothing was changed"
    )]
    Checksum,
}

impl Phrase {
    /// From 32 fresh random bytes.
    pub fn new(entropy: &[u8; 32]) -> Self {
        Self(Zeroizing::new(*entropy))
    }

    /// Reads 24 words, in any case and with any white space between them.
    pub fn parse(text: &str) -> Result<Self, PhraseError> {
        let typed = split(text);
        if typed.len() != WORDS {
            return Err(PhraseError::Count(typed.len()));
        }
        let mut indices = Zeroizing::new([0; WORDS]);
        for (i, word) in typed.iter().enumerate() {
            let index = Language::English.find_word(word).ok_or(PhraseError::Unknown(i + 1))?;
            indices[i] = index;
        }
        entropy(&indices).map(Self).ok_or(PhraseError::Checksum)
    }

    /// The words, to be shown once and written down.
    pub fn words(&self) -> Vec<&'static str> {
        self.mnemonic().words().collect()
    }

    /// The 32 bytes, for the vault.
    pub(crate) fn entropy(&self) -> &[u8; 32] {
        &self.0
    }

    /// The BIP-39 seed, with the empty passphrase.
    pub(crate) fn seed(&self) -> Seed {
        Seed::new(Zeroizing::new(self.mnemonic().to_seed_normalized("")))
    }

    fn mnemonic(&self) -> Mnemonic {
        Mnemonic::from_entropy(&*self.0).expect("BIP-39 has 24 words for any 32 bytes")
    }
}

impl fmt::Debug for Phrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Phrase(..)")
    }
}

impl PhraseError {
    /// What to tell the person who typed `text`, on their own screen and nowhere else: which word is
    /// wrong and what it may be. Holds words of the phrase.
    pub fn advice(&self, text: &str) -> Zeroizing<String> {
        let typed = split(text);
        let said = match self {
            Self::Count(_) => self.to_string(),
            Self::Unknown(place) => {
                let word = typed.get(place - 1).map_or("", |w| w.as_str());
                let shown: String = word.chars().filter(|c| c.is_alphanumeric()).take(20).collect();
                match near(word).as_slice() {
                    [] => format!("word {place}, `{shown}`, is not in the list of 2,048 words"),
                    like => format!(
                        "word {place}, `{shown}`, is not in the list; did you mean {}?",
                        like.join(" or ")
                    ),
                }
            }
            Self::Checksum => match repairs(&typed).as_slice() {
                [] => self.to_string(),
                found => format!("{self}. It would fit if {}", found.join("; or if ")),
            },
        };
        Zeroizing::new(said)
    }
}

/// Which words a person is asked for, to show that the phrase was written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackupCheck {
    /// Three places, counted from 1, in ascending order.
    pub places: [usize; 3],
}

impl BackupCheck {
    /// Draws three places.
    pub fn new(chance: &Nonce) -> Self {
        let mut left: Vec<usize> = (1..=WORDS).collect();
        // A byte modulo at most 24: the bias does not matter to a reminder.
        let mut places = [0, 1, 2].map(|i| left.remove(usize::from(chance.0[i]) % left.len()));
        places.sort_unstable();
        Self { places }
    }

    /// Compares what was typed, place by place. The error is the first place that is wrong.
    pub fn answer(&self, phrase: &Phrase, typed: &[&str; 3]) -> Result<(), usize> {
        let words = phrase.words();
        let wrong = self.places.iter().zip(typed).find(|(place, typed)| {
            words.get(**place - 1).copied() != Some(typed.trim().to_lowercase().as_str())
        });
        wrong.map_or(Ok(()), |(place, _)| Err(*place))
    }
}

fn split(text: &str) -> Vec<Zeroizing<String>> {
    text.split_whitespace().take(WORDS * 4).map(|w| Zeroizing::new(w.to_lowercase())).collect()
}

/// The entropy that 24 word numbers stand for, if the checksum fits.
fn entropy(indices: &[u16; WORDS]) -> Option<Zeroizing<[u8; 32]>> {
    use sha2::Digest as _;
    let mut bits = Zeroizing::new([0u8; 33]);
    for (i, index) in indices.iter().enumerate() {
        for bit in 0..11 {
            let at = i * 11 + bit;
            if index & (1 << (10 - bit)) != 0 {
                bits[at / 8] |= 0x80 >> (at % 8);
            }
        }
    }
    let mut out = Zeroizing::new([0; 32]);
    out.copy_from_slice(&bits[..32]);
    (sha2::Sha256::digest(*out)[0] == bits[32]).then_some(out)
}

/// Words of the list at most two typing errors away, the nearest first.
fn near(word: &str) -> Vec<&'static str> {
    let mut found: Vec<(usize, &'static str)> = Language::English
        .word_list()
        .iter()
        .map(|known| (distance(word, known), *known))
        .filter(|(far, known)| *far <= 2 && *far < known.len())
        .collect();
    found.sort_unstable();
    found.into_iter().take(3).map(|(_, known)| known).collect()
}

/// One word exchanged for one that is a typing error away, or two neighbours swapped: what makes the
/// checksum fit. At most three answers.
fn repairs(typed: &[Zeroizing<String>]) -> Vec<String> {
    let Some(found) =
        typed.iter().map(|w| Language::English.find_word(w)).collect::<Option<Vec<_>>>()
    else {
        return Vec::new();
    };
    let Ok(mut indices) = <[u16; WORDS]>::try_from(found).map(Zeroizing::new) else {
        return Vec::new();
    };
    let mut said = Vec::new();
    for i in 0..WORDS - 1 {
        indices.swap(i, i + 1);
        if indices[i] != indices[i + 1] && entropy(&indices).is_some() {
            said.push(format!("words {} and {} change places", i + 1, i + 2));
        }
        indices.swap(i, i + 1);
    }
    let list = Language::English.word_list();
    for place in 0..WORDS {
        let was = indices[place];
        for (index, known) in (0u16..).zip(list.iter()) {
            if index != was && distance(&typed[place], known) == 1 {
                indices[place] = index;
                if entropy(&indices).is_some() {
                    said.push(format!("word {} were `{known}`", place + 1));
                }
            }
        }
        indices[place] = was;
    }
    said.truncate(3);
    said
}

/// Levenshtein distance with neighbours swapped counted once, up to 3.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(16).collect(), b.chars().collect());
    if a.len().abs_diff(b.len()) > 2 {
        return 3;
    }
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let mut least = change.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    least = least.min(rows[i - 2][j - 2] + 1);
                }
                least
            };
        }
    }
    rows[a.len()][b.len()].min(3)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_shown_restores(entropy in any::<[u8; 32]>()) {
            let phrase = Phrase::new(&entropy);
            let words = phrase.words();
            prop_assert_eq!(words.len(), WORDS);
            let typed = format!("  {}\n", words.join("\t").to_uppercase());
            let restored = Phrase::parse(&typed).unwrap();
            prop_assert_eq!(restored.entropy(), &entropy);
            prop_assert_eq!(
                bip39::Mnemonic::parse(words.join(" ")).unwrap().to_entropy(),
                entropy.to_vec()
            );
        }

        #[test]
        fn whatever_is_typed_is_read_or_refused(text in ".{0,300}") {
            if let Err(e) = Phrase::parse(&text) {
                let _ = e.advice(&text);
            }
        }
    }

    fn words() -> Vec<String> {
        Phrase::new(&[0x5a; 32]).words().into_iter().map(str::to_owned).collect()
    }

    #[test]
    fn a_typing_error_is_found_and_the_word_offered() {
        let mut typed = words();
        let right = typed[6].clone();
        typed[6] = format!("{right}q");
        let text = typed.join(" ");
        let error = Phrase::parse(&text).unwrap_err();
        assert_eq!(error, PhraseError::Unknown(7));
        assert!(error.advice(&text).contains(&right), "{:?}", error.advice(&text));
        assert!(!error.to_string().contains(&right));
    }

    #[test]
    fn swapped_words_are_found() {
        let mut typed = words();
        let mut i = 0;
        while typed[i] == typed[i + 1] {
            i += 1;
        }
        typed.swap(i, i + 1);
        let text = typed.join(" ");
        match Phrase::parse(&text) {
            Err(error @ PhraseError::Checksum) => {
                let said = format!("words {} and {} change places", i + 1, i + 2);
                assert!(error.advice(&text).contains(&said));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn too_few_words_are_counted() {
        assert_eq!(Phrase::parse("abandon ability").unwrap_err(), PhraseError::Count(2));
        assert_eq!(Phrase::parse("").unwrap_err(), PhraseError::Count(0));
        let long = "abandon ".repeat(100_000);
        assert!(matches!(Phrase::parse(&long), Err(PhraseError::Count(_))));
    }

    #[test]
    fn a_backup_is_checked_word_by_word() {
        let phrase = Phrase::new(&[3; 32]);
        for draw in 0..=255u8 {
            let check = BackupCheck::new(&Nonce([draw; 32]));
            let [a, b, c] = check.places;
            assert!(1 <= a && a < b && b < c && c <= WORDS);
            let words = phrase.words();
            let typed = [words[a - 1], words[b - 1], words[c - 1]];
            assert_eq!(check.answer(&phrase, &typed), Ok(()));
            assert_eq!(check.answer(&phrase, &[typed[0], "zzz", typed[2]]), Err(b));
        }
    }
}

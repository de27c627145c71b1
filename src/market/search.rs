//! Search: a question to the book, read from the one line a person types.
//!
//! ```text
//! label images price>=1000 price<50k #rust tag:ai from:npub1.. mode:sealed work:file
//! side:request sort:price all "two words"
//! ```

use std::fmt;

use crate::market::{Mode, Msat, Network, Pubkey, Query, Side, Sort, Work};

/// The longest line that is read, in bytes.
const LONGEST: usize = 1000;
/// The most words, and the most tags.
const MOST: usize = 16;
/// How many gigs are asked for unless the caller says otherwise.
const WINDOW: usize = 50;

/// Why a line is not a question: which part is wrong, why, and how it is written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{part}: {why}. For example: {example}")]
pub struct NotASearch {
    /// The part that is wrong, as it was typed.
    pub part: String,
    /// What is wrong with it.
    pub why: String,
    /// One that is right.
    pub example: &'static str,
}

fn wrong(part: &str, why: impl fmt::Display, example: &'static str) -> NotASearch {
    let part: String = part.chars().filter(|c| !c.is_control()).take(40).collect();
    NotASearch { part: format!("`{part}`"), why: why.to_string(), example }
}

impl Query {
    /// A question that every gig of a network answers which still takes bids: newest first, 50 a window.
    pub fn everything(network: Network) -> Self {
        Self {
            words: Vec::new(),
            tags: Vec::new(),
            price_min: None,
            price_max: None,
            mode: None,
            work: None,
            author: None,
            side: None,
            network,
            all: false,
            sort: Sort::Newest,
            after: None,
            limit: WINDOW,
        }
    }

    /// Reads a line. Parts may stand in any order; what is not a part is a word. Quotation marks make
    /// several words one, and make a word of what would be a part: `"all"`. Prices are sats and may end
    /// in `k` or `m`. `author` reads what follows `from:` where it is not 64 hex characters: an npub, a
    /// name; the market room knows neither.
    ///
    /// # Errors
    /// [`NotASearch`] names the part.
    pub fn parse(
        line: &str,
        network: Network,
        author: impl Fn(&str) -> Option<Pubkey>,
    ) -> Result<Self, NotASearch> {
        let mut query = Self::everything(network);
        if line.len() > LONGEST {
            return Err(wrong(line, format!("longer than {LONGEST} bytes"), "label images #rust"));
        }
        let mut given = Given::default();
        for part in split(line)? {
            match part {
                Part::Quoted(words) => query.words.push(words),
                Part::Plain(text) => query.take(text, &mut given, &author)?,
            }
        }
        if query.words.len() > MOST || query.tags.len() > MOST {
            return Err(wrong(
                line,
                format!("more than {MOST} words or tags"),
                "label images #rust",
            ));
        }
        if query.price_min.zip(query.price_max).is_some_and(|(min, max)| min > max) {
            return Err(wrong("price", "no price is in that range", "price>=1000 price<50k"));
        }
        Ok(query)
    }

    fn take(
        &mut self,
        text: &str,
        given: &mut Given,
        author: &impl Fn(&str) -> Option<Pubkey>,
    ) -> Result<(), NotASearch> {
        if let Some(tag) = text.strip_prefix('#') {
            return self.tag(text, tag);
        }
        if text == "all" {
            self.all = true;
            return Ok(());
        }
        if let Some(rest) = text.strip_prefix("price")
            && rest.starts_with(['<', '>', '=', ':'])
        {
            return self.price(text, rest);
        }
        let Some((key, value)) = text.split_once(':') else {
            return self.word(text);
        };
        match key {
            "tag" => self.tag(text, value),
            "from" => {
                given.once(text, Key::From)?;
                let found = value.parse().ok().or_else(|| author(value));
                let found = found.ok_or_else(|| {
                    wrong(
                        text,
                        "not a public key that can be read",
                        "from:npub1... or from:<64 hex>",
                    )
                })?;
                self.author = Some(found);
                Ok(())
            }
            "mode" => {
                given.once(text, Key::Mode)?;
                self.mode = Some(match value {
                    "sealed" => Mode::Sealed,
                    "direct" => Mode::Direct,
                    "escrow" => Mode::Escrow,
                    _ => {
                        return Err(wrong(
                            text,
                            "a mode is sealed, direct or escrow",
                            "mode:sealed",
                        ));
                    }
                });
                Ok(())
            }
            "work" => {
                given.once(text, Key::Work)?;
                self.work = Some(match value {
                    "file" => Work::File,
                    "label" => Work::Label,
                    "meter" => Work::Meter,
                    "judge" => Work::Judge,
                    _ => {
                        return Err(wrong(
                            text,
                            "work is file, label, meter or judge",
                            "work:file",
                        ));
                    }
                });
                Ok(())
            }
            "side" => {
                given.once(text, Key::Side)?;
                self.side = Some(match value {
                    "request" => Side::Request,
                    "service" => Side::Service,
                    _ => return Err(wrong(text, "a side is request or service", "side:request")),
                });
                Ok(())
            }
            "sort" => {
                given.once(text, Key::Sort)?;
                self.sort = match value {
                    "newest" => Sort::Newest,
                    "price" => Sort::Price,
                    "closing" => Sort::Closing,
                    _ => return Err(wrong(text, "sort is newest, price or closing", "sort:price")),
                };
                Ok(())
            }
            key if !key.is_empty() && key.bytes().all(|b| b.is_ascii_lowercase()) => Err(wrong(
                text,
                "the parts with a colon are tag, from, mode, work, side and sort; put quotation marks \
                 around text that has one",
                "\"a: b\" tag:rust",
            )),
            _ => self.word(text),
        }
    }

    fn word(&mut self, text: &str) -> Result<(), NotASearch> {
        if !text.chars().any(char::is_alphanumeric) {
            return Err(wrong(text, "no letter or digit to search for", "rust"));
        }
        self.words.push(text.to_owned());
        Ok(())
    }

    fn tag(&mut self, part: &str, tag: &str) -> Result<(), NotASearch> {
        let tag = tag.to_lowercase();
        if !tag.chars().any(char::is_alphanumeric) {
            return Err(wrong(part, "the tag is missing", "#rust"));
        }
        if !self.tags.contains(&tag) {
            self.tags.push(tag);
        }
        Ok(())
    }

    /// `<50k`, `<=50k`, `>1000`, `>=1000`, `=21000`; the narrowest of several counts.
    fn price(&mut self, part: &str, rest: &str) -> Result<(), NotASearch> {
        const EXAMPLE: &str = "price>=1000 price<50k";
        let cut = rest.find(|c| !matches!(c, '<' | '>' | '=' | ':')).unwrap_or(rest.len());
        let (compare, text) = rest.split_at(cut);
        let price = amount(text).ok_or_else(|| wrong(part, "not an amount of sats", EXAMPLE))?;
        let (min, max) = match compare {
            "<" => (None, Some(price.get().checked_sub(1).and_then(Msat::new))),
            "<=" => (None, Some(Some(price))),
            ">" => (Some(price.get().checked_add(1).and_then(Msat::new)), None),
            ">=" => (Some(Some(price)), None),
            "=" | ":" => (Some(Some(price)), Some(Some(price))),
            _ => return Err(wrong(part, "compare with <, <=, >, >= or =", EXAMPLE)),
        };
        for (bound, narrow, now) in [
            (min, Msat::max as fn(Msat, Msat) -> Msat, &mut self.price_min),
            (max, Msat::min as fn(Msat, Msat) -> Msat, &mut self.price_max),
        ] {
            let Some(bound) = bound else { continue };
            let bound = bound.ok_or_else(|| wrong(part, "no price is in that range", EXAMPLE))?;
            *now = Some(now.map_or(bound, |old| narrow(old, bound)));
        }
        Ok(())
    }
}

/// `50k`, `1.5m`, `21000`, `21_000sat`, `500msat`.
fn amount(text: &str) -> Option<Msat> {
    if let Ok(msat) = text.parse() {
        return Some(msat);
    }
    let lower = text.to_ascii_lowercase();
    let number = lower.strip_suffix("sats").or(lower.strip_suffix("sat")).unwrap_or(&lower);
    let (number, sats) = match number.char_indices().next_back()? {
        (at, 'k') => (&number[..at], 1_000),
        (at, 'm') => (&number[..at], 1_000_000),
        _ => (number, 1),
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let digits = |s: &str| !s.is_empty() && s.len() <= 16 && s.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || (number.contains('.') && !digits(part)) {
        return None;
    }
    // In msat, so that 1.5k is exact; what is below a millisatoshi is refused.
    let unit = sats * 1000;
    let scale = 10u64.checked_pow(u32::try_from(part.len()).ok()?)?;
    let part = u128::from(part.parse().unwrap_or(0u64)) * unit;
    if !part.is_multiple_of(u128::from(scale)) {
        return None;
    }
    let whole = u128::from(whole.parse::<u64>().ok()?) * unit;
    u64::try_from(whole + part / u128::from(scale)).ok().and_then(Msat::new)
}

/// What may be said once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    From,
    Mode,
    Work,
    Side,
    Sort,
}

#[derive(Default)]
struct Given(Vec<Key>);

impl Given {
    fn once(&mut self, part: &str, key: Key) -> Result<(), NotASearch> {
        if self.0.contains(&key) {
            return Err(wrong(
                part,
                "given twice, and one gig has only one",
                "mode:sealed sort:price",
            ));
        }
        self.0.push(key);
        Ok(())
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Part<'a> {
    Plain(&'a str),
    Quoted(String),
}

/// Splits at white space; quotation marks hold together, and curly ones count as straight.
fn split(line: &str) -> Result<Vec<Part<'_>>, NotASearch> {
    const MARKS: [char; 3] = ['"', '\u{201c}', '\u{201d}'];
    let mut parts = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        if MARKS.contains(&first) {
            let inner = &rest[first.len_utf8()..];
            let Some(end) = inner.find(MARKS) else {
                return Err(wrong(rest, "the quotation mark is not closed", "\"two words\""));
            };
            let words = inner[..end].split_whitespace().collect::<Vec<_>>().join(" ");
            if !words.chars().any(char::is_alphanumeric) {
                return Err(wrong(rest, "no letter or digit to search for", "\"two words\""));
            }
            parts.push(Part::Quoted(words));
            rest = inner[end..]
                .get(inner[end..].chars().next().map_or(0, char::len_utf8)..)
                .unwrap_or("");
        } else {
            let end =
                rest.find(|c: char| c.is_whitespace() || MARKS.contains(&c)).unwrap_or(rest.len());
            parts.push(Part::Plain(&rest[..end]));
            rest = &rest[end..];
        }
        rest = rest.trim_start();
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(line: &str) -> Result<Query, NotASearch> {
        Query::parse(line, Network::Regtest, |name| (name == "npub1me").then_some(Pubkey([7; 32])))
    }

    #[test]
    fn a_whole_line_is_read() {
        let line = "label images price<50k price>=1000 #Rust tag:ai from:npub1me mode:sealed \
                    work:file side:request sort:price all \"two  words\"";
        let query = parse(line).unwrap();
        assert_eq!(query.words, ["label", "images", "two words"]);
        assert_eq!(query.tags, ["rust", "ai"]);
        assert_eq!(query.price_min, Msat::sats(1000));
        assert_eq!(query.price_max, Msat::new(49_999_999));
        assert_eq!(query.author, Some(Pubkey([7; 32])));
        assert_eq!((query.mode, query.work), (Some(Mode::Sealed), Some(Work::File)));
        assert_eq!((query.side, query.sort), (Some(Side::Request), Sort::Price));
        assert!(query.all);
    }

    #[test]
    fn nothing_asked_is_everything() {
        assert_eq!(parse("  "), Ok(Query::everything(Network::Regtest)));
        assert!(!parse("\"all\"").unwrap().all);
        assert_eq!(parse("http://example.com").unwrap_err().part, "`http://example.com`");
        assert_eq!(parse("std::vec C++").unwrap_err().part, "`std::vec`");
        assert_eq!(parse("\"std::vec\" C++").unwrap().words, ["std::vec", "C++"]);
    }

    #[test]
    fn people_write_prices_in_many_ways() {
        for (text, msat) in [
            ("50k", 50_000_000),
            ("1.5m", 1_500_000_000),
            ("1.5ksats", 1_500_000),
            ("21_000sat", 21_000_000),
            ("500msat", 500),
            ("0", 0),
            ("0.001", 1),
        ] {
            assert_eq!(amount(text), Msat::new(msat), "{text}");
        }
        for wrong in
            ["", "k", ".5k", "5.", "-5", "5btc", "0.0001", "1e3", "99999999999999999999", "²"]
        {
            assert_eq!(amount(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_and_shown_right() {
        for (line, part) in [
            ("rust price<abc", "`price<abc`"),
            ("price<>5", "`price<>5`"),
            ("price<0", "`price<0`"),
            ("price>2100000000000000", "`price>2100000000000000`"),
            ("price>50k price<1k", "`price`"),
            ("mode:sealed mode:direct", "`mode:direct`"),
            ("mode:cash", "`mode:cash`"),
            ("work:dig", "`work:dig`"),
            ("side:b", "`side:b`"),
            ("sort:best", "`sort:best`"),
            ("from:nobody", "`from:nobody`"),
            ("colour:red", "`colour:red`"),
            ("#", "`#`"),
            ("tag:", "`tag:`"),
            ("?!", "`?!`"),
            ("\"open", "`\"open`"),
            ("\"\"", "`\"\"`"),
        ] {
            let error = parse(line).unwrap_err();
            assert_eq!(error.part, part, "{line}");
            assert!(error.to_string().contains("For example: "), "{error}");
        }
        assert!(parse(&"a ".repeat(17)).is_err());
        assert!(parse(&"a".repeat(1001)).is_err());
    }

    #[test]
    fn an_example_can_be_typed() {
        for line in [
            "label images #rust",
            "price>=1000 price<50k",
            "\"a: b\" tag:rust",
            "mode:sealed sort:price",
        ] {
            parse(line).unwrap();
        }
    }

    proptest! {
        #[test]
        fn any_line_is_read_or_refused(line in "(?s).{0,80}") {
            if let Err(error) = parse(&line) {
                prop_assert!(error.part.chars().count() <= 42);
                prop_assert!(!error.part.chars().any(char::is_control));
            }
        }

        #[test]
        fn parts_stand_in_any_order(
            parts in Just(vec!["rust", "#ai", "price>=5", "work:label", "all", "\"two words\"", "sort:closing"])
                .prop_shuffle(),
        ) {
            let mut query = parse(&parts.join(" ")).unwrap();
            query.words.sort();
            let mut sorted = parse("rust \"two words\" #ai price>=5 work:label all sort:closing").unwrap();
            sorted.words.sort();
            prop_assert_eq!(query, sorted);
        }

        #[test]
        fn the_narrowest_range_counts(a in 1u64..1_000_000, b in 1u64..1_000_000) {
            let query = parse(&format!("price>={a} price>={b}")).unwrap();
            prop_assert_eq!(query.price_min, Msat::sats(a.max(b)));
            let query = parse(&format!("price<={a} price<={b}")).unwrap();
            prop_assert_eq!(query.price_max, Msat::sats(a.min(b)));
        }

        #[test]
        fn every_amount_of_sats_is_read(sats in 0u64..=2_100_000_000_000_000) {
            prop_assert_eq!(amount(&sats.to_string()), Msat::sats(sats));
        }
    }
}

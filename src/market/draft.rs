//! A gig as a person writes it: TOML, with the place of every mistake.
//!
//! Pure: files that the text names are only named. Whoever holds the text reads them.

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, Visitor};

use crate::market::{
    Deadlines, EscrowTerms, GigDraft, Milestone, Mode, Msat, Quality, Span, Time, Work,
};
use crate::seal::Cut;
use crate::text::Raw;

/// Bytes of a text that describes a gig: a listing has at most 16 KiB.
pub const LONGEST_DRAFT: u64 = 64 * 1024;

/// What an editor is opened on, and what `earnest help post` shows.
pub const DRAFT_TEMPLATE: &str = r#"# A gig. Lines that begin with # are left out. Everything here is public,
# but for the input files, which go to whoever you award.

title = ""

# A few lines for the list.
summary = ""

# What is to be done, in Markdown. Or: content_file = "task.md"
content = """

"""

tags = []

# For each worker, and how many of them.
price = "21000sat"
slots = 1

# Files to work on, beside this one.
inputs = []

# From the award to the delivery, from the delivery to the payment, and until when bids are taken.
deliver = "3d"
pay = "1d"
expires = "7d"

# The largest delivery.
max_bytes = "10MiB"

# Checks that every delivery must pass, as files beside this one (earnest help check); how many random
# records may be seen before payment, never more than a tenth. A record is a line batch of a text, a full
# chunk of anything else, or what you say: cut = "bytes", "lines" or "items:LENGTH".
checks = []
audit = 0

# sealed: the key that opens the work is what the payment buys. direct: in the open, paid on acceptance.
# escrow: locked at the worker's node before the work, released by you. For how many blocks: window = 288;
# before which judge, by the id of its listing: judge = "..." (earnest judge list)
modes = ["sealed"]

# In several parts, each paid before the next begins, at the price of all of them together; leave out
# price, modes, checks and audit above then:
#
# [[milestone]]
# title = "A first draft"
# price = "9000sat"
# mode = "sealed"      # or direct, or escrow (window = 288)
# deliver = "2d"       # and pay, checks, audit and cut, as above
"#;

/// A gig as written, and the files that belong to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenGig {
    /// What strangers will see; its content is empty while it lies in a file.
    pub draft: GigDraft,
    /// Input files, relative to where the text lies.
    pub inputs: Vec<PathBuf>,
    /// Checks that a delivery must pass. Whoever reads them puts them into the draft: [`GigDraft::pin`].
    pub checks: Vec<WrittenCheck>,
    /// The listing of the judge before whom an escrow is, or the beginning of its id, and the place that names
    /// it. Whoever has the book puts it into the draft's escrow.
    pub judge: Option<(String, (usize, usize))>,
    /// Where the content is written, if not in the text itself, and the place that says so.
    pub content_file: Option<(PathBuf, (usize, usize))>,
}

/// A check of a gig as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenCheck {
    /// Of this milestone, from 0; of every delivery where there are none.
    pub milestone: Option<usize>,
    /// The file, relative to where the text lies.
    pub file: PathBuf,
    /// The place that names it.
    pub place: (usize, usize),
}

/// Why a text is not a gig, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct NotAGig {
    /// Line and column, both from 1; `None` where something is missing altogether.
    pub place: Option<(usize, usize)>,
    /// What is wrong there.
    pub why: String,
}

impl fmt::Display for NotAGig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some((line, column)) => write!(f, "line {line}, column {column}: {}", self.why),
            None => f.write_str(&self.why),
        }
    }
}

/// The JSON Schema of a gig as a person writes it.
pub fn draft_schema(make: &mut schemars::SchemaGenerator) -> schemars::Schema {
    make.subschema_for::<Form>()
}

#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Form {
    title: String,
    #[serde(default)]
    summary: String,
    content: Option<String>,
    #[schemars(with = "Option<PathBuf>")]
    content_file: Option<toml::Spanned<PathBuf>>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default = "file")]
    work: Work,
    #[schemars(with = "Option<Vec<Mode>>")]
    modes: Option<toml::Spanned<Vec<Mode>>>,
    #[serde(default = "one")]
    slots: u32,
    #[schemars(with = "Option<Written>")]
    price: Option<toml::Spanned<Price>>,
    #[serde(default = "ten_mib")]
    #[schemars(with = "Written")]
    max_bytes: Bytes,
    #[serde(default = "three_days")]
    #[schemars(with = "Written")]
    deliver: Length,
    #[serde(default = "a_day")]
    #[schemars(with = "Written")]
    pay: Length,
    window: Option<u32>,
    #[schemars(with = "Option<String>")]
    judge: Option<toml::Spanned<String>>,
    #[serde(default = "some_work")]
    pow: u8,
    #[serde(default = "a_week")]
    #[schemars(with = "Written")]
    expires: Length,
    #[serde(default)]
    inputs: Vec<PathBuf>,
    #[serde(default)]
    #[schemars(with = "Vec<PathBuf>")]
    checks: Vec<toml::Spanned<PathBuf>>,
    #[serde(default)]
    audit: u64,
    #[schemars(with = "Option<String>")]
    cut: Option<Cut>,
    #[serde(default)]
    milestone: Vec<Part>,
}

#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Part {
    title: String,
    #[schemars(with = "Written")]
    price: Price,
    #[serde(default = "sealed")]
    mode: Mode,
    #[schemars(with = "Option<Written>")]
    deliver: Option<Length>,
    #[schemars(with = "Option<Written>")]
    pay: Option<Length>,
    #[schemars(with = "Option<u32>")]
    window: Option<toml::Spanned<u32>>,
    #[serde(default)]
    #[schemars(with = "Vec<PathBuf>")]
    checks: Vec<toml::Spanned<PathBuf>>,
    #[serde(default)]
    audit: u64,
    #[schemars(with = "Option<String>")]
    cut: Option<Cut>,
}

fn file() -> Work {
    Work::File
}
fn sealed() -> Mode {
    Mode::Sealed
}
fn one() -> u32 {
    1
}
fn ten_mib() -> Bytes {
    Bytes(10 << 20)
}
fn three_days() -> Length {
    Length(Span::DAY.times(3))
}
fn a_day() -> Length {
    Length(Span::DAY)
}
fn a_week() -> Length {
    Length(Span::DAY.times(7))
}
/// Milliseconds for a worker, and a bill for whoever sends bids by the million.
fn some_work() -> u8 {
    12
}

impl WrittenGig {
    /// Reads a gig.
    ///
    /// # Errors
    /// The first mistake and its place. Whether what was read may be published is [`GigDraft::check`]'s
    /// to say.
    pub fn read(text: &str, now: Time) -> Result<Self, NotAGig> {
        let wrong = |at: Option<usize>, why: &str| NotAGig {
            place: at.map(|at| place(text, at)),
            why: why.into(),
        };
        if text.len() as u64 > LONGEST_DRAFT {
            return Err(wrong(None, "longer than a listing can be"));
        }
        let form: Form = toml::from_str(text).map_err(|error| {
            wrong(error.span().map(|s| s.start).filter(|at| *at > 0), error.message().trim_end())
        })?;
        if let (Some(_), Some(file)) = (&form.content, &form.content_file) {
            let why = "content and content_file are both given; keep one";
            return Err(wrong(Some(file.span().start), why));
        }
        let (price, modes) = match (&form.price, &form.modes) {
            (Some(_), _) | (_, Some(_)) if !form.milestone.is_empty() => {
                let at = form.price.as_ref().map(|price| price.span().start);
                let at = at.or(form.modes.as_ref().map(|modes| modes.span().start));
                let why = "in a gig with milestones each has a price and a mode of its own; leave this out";
                return Err(wrong(at, why));
            }
            (None, _) if form.milestone.is_empty() => {
                return Err(wrong(None, "missing field `price`"));
            }
            (price, modes) => (
                price.as_ref().map_or(Msat::ZERO, |price| price.get_ref().0),
                modes.as_ref().map_or(vec![Mode::Sealed], |modes| modes.get_ref().clone()),
            ),
        };
        if !form.milestone.is_empty()
            && (form.audit > 0 || form.cut.is_some() || !form.checks.is_empty())
        {
            let at = form.checks.first().map(|check| check.span().start);
            let why = "in a gig with milestones each has checks, audit and cut of its own";
            return Err(wrong(at, why));
        }
        let window = form.window.unwrap_or(crate::market::WINDOW);
        let mut milestones = Vec::new();
        let mut checks = Vec::new();
        for (n, part) in form.milestone.into_iter().enumerate() {
            if let Some(own) = part.window.as_ref().filter(|_| part.mode != Mode::Escrow) {
                let why = "this milestone is in no escrow, and so has no window";
                return Err(wrong(Some(own.span().start), why));
            }
            let own = part.window.map_or(window, toml::Spanned::into_inner);
            checks.extend(part.checks.into_iter().map(|file| WrittenCheck {
                milestone: Some(n),
                place: place(text, file.span().start),
                file: file.into_inner(),
            }));
            milestones.push(Milestone {
                title: Raw(part.title.trim().to_owned()),
                price: part.price.0,
                mode: part.mode,
                deadlines: Deadlines {
                    deliver: part.deliver.unwrap_or(form.deliver).0,
                    pay: part.pay.unwrap_or(form.pay).0,
                },
                tranches: 1,
                quality: Quality { audit: part.audit, checks: Vec::new(), cut: part.cut },
                escrow: (part.mode == Mode::Escrow)
                    .then_some(EscrowTerms { window: own, judge: None }),
            });
        }
        checks.extend(form.checks.into_iter().map(|file| WrittenCheck {
            milestone: None,
            place: place(text, file.span().start),
            file: file.into_inner(),
        }));
        let draft = GigDraft {
            milestones: Vec::new(),
            title: form.title,
            summary: form.summary,
            content: form.content.unwrap_or_default().trim_matches('\n').to_owned(),
            tags: form.tags,
            work: form.work,
            modes,
            slots: form.slots,
            price,
            max_bytes: form.max_bytes.0,
            quality: Quality { audit: form.audit, checks: Vec::new(), cut: form.cut },
            deadlines: Deadlines { deliver: form.deliver.0, pay: form.pay.0 },
            escrow: match (form.window, &form.judge) {
                (None, None) => None,
                (window, _) => {
                    let window = window.unwrap_or(crate::market::WINDOW);
                    Some(EscrowTerms { window, judge: None })
                }
            },
            pow: form.pow,
            expires_at: now.after(form.expires.0),
        };
        let in_parts = !milestones.is_empty();
        let draft = if in_parts { draft.in_milestones(milestones) } else { draft };
        let content_file = form.content_file.map(|file| {
            let at = place(text, file.span().start);
            (file.into_inner(), at)
        });
        let judge = form.judge.map(|judge| {
            let at = place(text, judge.span().start);
            (judge.into_inner(), at)
        });
        Ok(Self { draft, inputs: form.inputs, checks, judge, content_file })
    }
}

/// Line and column, both from 1.
fn place(text: &str, at: usize) -> (usize, usize) {
    let head = &text[..text.floor_char_boundary(at)];
    let line = head.matches('\n').count() + 1;
    (line, head.rsplit('\n').next().unwrap_or_default().chars().count() + 1)
}

#[derive(Debug)]
struct Price(Msat);
#[derive(Debug)]
struct Bytes(u64);
#[derive(Debug, Clone, Copy)]
struct Length(Span);

/// How any of them is written.
#[derive(schemars::JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only its shape is wanted")]
enum Written {
    /// With a unit: `21000sat`, `10MiB`, `3d`.
    Text(String),
    /// A bare number.
    Number(u64),
}

/// Something written as a text, or as a bare number.
struct Reading<T>(&'static str, fn(&str) -> Option<T>);

impl<T> Visitor<'_> for Reading<T> {
    type Value = T;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        let Self(what, read) = self;
        read(text.trim()).ok_or_else(|| E::custom(format!("this must be {what}")))
    }
    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }
}

fn reading<'de, T, D: Deserializer<'de>>(
    from: D,
    what: &'static str,
    read: fn(&str) -> Option<T>,
) -> Result<T, D::Error> {
    from.deserialize_any(Reading(what, read)).map_err(D::Error::custom)
}

impl<'de> Deserialize<'de> for Price {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        reading(from, "a price, like \"21000sat\"", |text| text.parse().ok().map(Self))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        reading(from, "a size, like \"10MiB\" or 500000", |text| bytes(text).map(Self))
    }
}

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        reading(from, "a length of time, like \"3d\" or \"1h 30min\"", |text| span(text).map(Self))
    }
}

/// `10MiB`, `500 kB`, `4096`.
fn bytes(text: &str) -> Option<u64> {
    let cut = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    let (digits, unit) = text.split_at(cut);
    let scale = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        _ => return None,
    };
    digits.replace('_', "").parse::<u64>().ok()?.checked_mul(scale)
}

/// `3d`, `12h`, `1h 30min`, `90 s`. A bare number has no unit, and so is nothing.
fn span(text: &str) -> Option<Span> {
    let mut rest = text.trim();
    let mut seconds = 0u64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let cut = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..cut].parse().ok()?;
        rest = rest[cut..].trim_start();
        let cut = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let unit = match &rest[..cut] {
            "s" | "sec" => 1,
            "m" | "min" => 60,
            "h" => 3_600,
            "d" | "day" | "days" => 86_400,
            "w" | "week" | "weeks" => 7 * 86_400,
            _ => return None,
        };
        seconds = seconds.checked_add(number.checked_mul(unit)?)?;
        rest = rest[cut..].trim_start();
    }
    Some(Span(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<WrittenGig, String> {
        WrittenGig::read(text, Time(1_000)).map_err(|mistake| mistake.to_string())
    }

    #[test]
    fn the_least_that_can_be_written() {
        let written = read("title = \"Label\"\nprice = 21000\n").unwrap();
        assert_eq!(written.draft.price, Msat::sats(21_000).unwrap());
        assert_eq!(written.draft.modes, [Mode::Sealed]);
        assert_eq!(written.draft.expires_at, Time(1_000 + 7 * 86_400));
        assert!(written.draft.check(Time(1_000)).is_ok());
    }

    #[test]
    fn all_that_can_be_written() {
        let written = read(
            "title = 'T'\nsummary = 'S'\ncontent = 'C'\ntags = ['a', 'b']\nwork = 'label'\n\
             modes = ['direct', 'sealed']\nslots = 3\nprice = '1500msat'\nmax_bytes = '2kB'\n\
             deliver = '1h 30min'\npay = '90s'\npow = 0\nexpires = '2w'\ninputs = ['x/y.txt', '/z']\n",
        )
        .unwrap();
        let draft = &written.draft;
        assert_eq!((draft.work, draft.slots, draft.max_bytes), (Work::Label, 3, 2_000));
        assert_eq!(draft.deadlines, Deadlines { deliver: Span(5_400), pay: Span(90) });
        assert_eq!(written.inputs, [PathBuf::from("x/y.txt"), PathBuf::from("/z")]);
    }

    #[test]
    fn milestones_have_prices_modes_checks_and_deadlines_of_their_own() {
        let parts = "\n[[milestone]]\ntitle = 'Draft'\nprice = 4000\npay = '2h'\n\
                     [[milestone]]\ntitle = 'Text'\nprice = '5000sat'\nmode = 'escrow'\nwindow = 200\n\
                     [[milestone]]\ntitle = 'Print'\nprice = 6000\ndeliver = '1h'\nchecks = ['a.json']\naudit = 3\n";
        let written = read(&format!("title = 'T'\ndeliver = '9h'\nwindow = 300\n{parts}")).unwrap();
        let draft = &written.draft;
        assert_eq!(draft.check(Time(1_000)), Ok(()));
        assert_eq!(draft.price, Msat::sats(15_000).unwrap());
        assert_eq!(draft.modes, [Mode::Sealed, Mode::Escrow]);
        let spans = draft.milestones.iter().map(|m| (m.deadlines.deliver.0, m.deadlines.pay.0));
        let hour = 3_600;
        assert_eq!(
            spans.collect::<Vec<_>>(),
            [(9 * hour, 2 * hour), (9 * hour, 24 * hour), (hour, 24 * hour)]
        );
        assert_eq!(draft.milestones[1].escrow.as_ref().unwrap().window, 200);
        assert_eq!(draft.escrow, draft.milestones[1].escrow);
        assert_eq!(draft.milestones[2].quality.audit, 3);
        assert_eq!((written.checks[0].milestone, written.checks[0].place), (Some(2), (18, 11)));
        for (head, said) in [
            ("price = 15000\n", "line 2, column 9: in a gig with milestones"),
            ("modes = ['direct']\n", "line 2, column 9: in a gig with milestones"),
            ("audit = 3\n", "in a gig with milestones each has checks"),
        ] {
            let why = read(&format!("title = 'T'\n{head}{parts}")).unwrap_err();
            assert!(why.starts_with(said), "{why}");
        }
        let why = read(&format!("title = 'T'\n{parts}window = 200\n")).unwrap_err();
        assert!(why.starts_with("line 18, column 10: this milestone is in no escrow"), "{why}");
        let why = read("title = 'T'\n").unwrap_err();
        assert_eq!(why, "missing field `price`");
    }

    #[test]
    fn the_template_is_right_but_for_its_title() {
        let draft = read(DRAFT_TEMPLATE).unwrap().draft;
        assert_eq!(draft.check(Time(1_000)).unwrap_err().code, "no-title");
        assert_eq!(draft.content, "");
    }

    #[test]
    fn mistakes_have_a_place() {
        for (text, place, why) in [
            ("title = 'T'\nprice = 'much'\n", "line 2, column 9: ", "this must be a price"),
            ("title = 'T'\nprice = -5\n", "line 2, column 9: ", "this must be a price"),
            ("title = 'T'\nprice = 5\ndeliver = 3\n", "line 3, column 11: ", "a length of time"),
            ("title = 'T'\nprice = 5\nmax_bytes = '5 pounds'\n", "line 3, column 13: ", "a size"),
            (
                "title = 'T'\nprice = 5\nmodes = ['cash']\n",
                "line 3, column 10: ",
                "unknown variant `cash`",
            ),
            ("title = 'T'\nprize = 5\n", "line 2, column 1: ", "unknown field `prize`"),
            (
                "title = 'T'\nprice = 5\ncontent = 'a'\ncontent_file = 'b'\n",
                "line 4, column 16: ",
                "keep one",
            ),
            ("title = \n", "line 1, column ", ""),
            ("price = 5\n", "", "missing field `title`"),
        ] {
            let said = read(text).unwrap_err();
            assert!(said.starts_with(place), "{said}");
            assert!(said.contains(why), "{said}");
        }
    }

    #[test]
    fn lengths_and_sizes() {
        assert_eq!(span("2w 1d"), Some(Span(15 * 86_400)));
        assert_eq!(bytes("1_000 KiB"), Some(1_024_000));
        for wrong in ["", "3", "d", "3 months", "-3d", "99999999999999999999d"] {
            assert_eq!(span(wrong), None, "{wrong}");
        }
        for wrong in ["", "MiB", "1.5MiB", "-1", "99999999999999999999"] {
            assert_eq!(bytes(wrong), None, "{wrong}");
        }
    }
}

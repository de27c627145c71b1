//! `config.toml` as settings with their places.

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use zeroize::Zeroizing;

use super::key::{Key, nearest};
use super::load::{Given, Setting};
use super::{Error, KEYS, Place, Source};

/// Largest configuration file that is read.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The settings of the file, none if there is no file.
pub(super) fn read(path: &Path) -> Result<Vec<Setting>, Error> {
    let fail = |why| Error::Read { path: path.to_owned(), why };
    let mut text = Zeroizing::new(String::new());
    match File::open(path) {
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(why) => return Err(fail(why)),
        Ok(file) => file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text).map_err(fail)?,
    };
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(fail(std::io::Error::other("it is larger than 1 MiB")));
    }
    let reader = Reader { path: path.to_owned(), text: &text };
    let table = DeTable::parse(&text).map_err(|e| Error::Syntax {
        place: reader.place(e.span().unwrap_or_default()),
        why: e.message().to_owned(),
    })?;
    let mut out = Vec::new();
    reader.table("", table.get_ref(), &mut out)?;
    Ok(out)
}

struct Reader<'a> {
    path: PathBuf,
    text: &'a str,
}

impl Reader<'_> {
    fn place(&self, span: Range<usize>) -> Place {
        let head = &self.text[..self.text.floor_char_boundary(span.start)];
        let line = head.matches('\n').count() + 1;
        let column = head.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let source = Source::File { path: self.path.clone(), line };
        Place { source, column: Some(column) }
    }

    fn table(
        &self,
        prefix: &str,
        table: &DeTable<'_>,
        out: &mut Vec<Setting>,
    ) -> Result<(), Error> {
        for (name, value) in table {
            let full = format!("{prefix}{}", name.get_ref());
            let inside = format!("{full}.");
            if let Some(key) = Key::named(&full) {
                let place = self.place(value.span());
                let given = given(key.name, value, &place)?;
                out.push(Setting { key: key.name, given, place });
            } else if let (DeValue::Table(table), true) =
                (value.get_ref(), KEYS.iter().any(|k| k.name.starts_with(&inside)))
            {
                self.table(&inside, table, out)?;
            } else {
                let suggestion = nearest(&full);
                return Err(Error::Unknown {
                    place: self.place(name.span()),
                    key: full,
                    suggestion,
                });
            }
        }
        Ok(())
    }
}

fn given(key: &'static str, value: &Spanned<DeValue<'_>>, place: &Place) -> Result<Given, Error> {
    let one = |value: &DeValue<'_>| match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Boolean(yes) => Some(yes.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
        _ => None,
    };
    let many = match value.get_ref() {
        DeValue::Array(items) => {
            items.iter().map(|item| one(item.get_ref())).collect::<Option<_>>().map(Given::Many)
        }
        value => one(value).map(Given::One),
    };
    many.ok_or_else(|| Error::Invalid {
        place: place.clone(),
        key,
        why: "must be a text, a decimal number, true or false, or a list of texts".to_owned(),
    })
}

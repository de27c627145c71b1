//! A gig from a file: the market reads the text, the files that it names are read here.

use std::path::{Path, PathBuf};

use super::{Exit, Failure};
use crate::market::{GigDraft, LONGEST_DRAFT, Time, WrittenGig};

/// A gig and its files.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) draft: GigDraft,
    pub(super) inputs: Vec<PathBuf>,
}

/// Reads a gig. `name` is how the text is called in messages, `beside` where its paths begin.
///
/// # Errors
/// The place of the first mistake, as `NAME:LINE:COLUMN`.
pub(super) fn read(text: &str, name: &str, beside: &Path, now: Time) -> Result<Written, Failure> {
    let wrong = |place: Option<(usize, usize)>, why: &str| {
        let place = place.map(|(line, column)| format!(":{line}:{column}")).unwrap_or_default();
        let said = format!("{name}{place}: {why}. Nothing was published.");
        Failure::new(Exit::Usage, "bad-gig", said).next("earnest help post")
    };
    let WrittenGig { mut draft, inputs, content_file } =
        WrittenGig::read(text, now).map_err(|mistake| wrong(mistake.place, &mistake.why))?;
    if let Some((file, place)) = content_file {
        let path = beside.join(file);
        let failed = |why: &str| wrong(Some(place), &format!("{} {why}", path.display()));
        let content = match std::fs::metadata(&path) {
            Ok(about) if about.len() > LONGEST_DRAFT => {
                return Err(failed("is longer than a listing can be"));
            }
            _ => std::fs::read_to_string(&path)
                .map_err(|why| failed(&format!("cannot be read: {why}")))?,
        };
        content.trim_matches('\n').clone_into(&mut draft.content);
    }
    let inputs = inputs.iter().map(|input| beside.join(input)).collect();
    Ok(Written { draft, inputs })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_begin_beside_the_text_and_a_mistake_has_a_place() {
        let read = |text| read(text, "gig.toml", Path::new("/there"), Time(1_000));
        let written = read("title = 'T'\nprice = 5\ninputs = ['x', '/z']\n").unwrap();
        assert_eq!(written.inputs, [PathBuf::from("/there/x"), PathBuf::from("/z")]);
        for (text, said) in [
            ("title = 'T'\nprice = 'much'\n", "gig.toml:2:9: this must be a price"),
            ("price = 5\n", "gig.toml: missing field `title`"),
            (
                "title = 'T'\nprice = 5\ncontent_file = 'b'\n",
                "gig.toml:3:16: /there/b cannot be read",
            ),
        ] {
            let failure = read(text).unwrap_err().message;
            assert!(failure.starts_with(said), "{failure}");
            assert!(failure.ends_with("Nothing was published."), "{failure}");
        }
    }
}

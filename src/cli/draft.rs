//! A gig from a file: the market reads the text, the files that it names are read here.

use std::path::{Path, PathBuf};

use super::{Exit, Failure};
use crate::engine::pin;
use crate::market::{GigDraft, LONGEST_DRAFT, Pinned, Time, WrittenGig};
use crate::verify::MAX_CHECK;

/// A gig and its files.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) draft: GigDraft,
    pub(super) inputs: Vec<PathBuf>,
    /// The judge's listing, or the beginning of its id.
    pub(super) judge: Option<String>,
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
    let WrittenGig { mut draft, inputs, checks, judge, content_file } =
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
    let mut inputs: Vec<PathBuf> = inputs.iter().map(|input| beside.join(input)).collect();
    for check in checks {
        let path = beside.join(check.file);
        let pinned = pinned(&path).map_err(|why| wrong(Some(check.place), &why))?;
        if pinned.body.is_none() {
            inputs.push(path);
        }
        draft.pin(check.milestone, pinned);
    }
    let judge = judge.map(|(listing, _)| listing);
    Ok(Written { draft, inputs, judge })
}

/// A check of a gig, from its file.
fn pinned(path: &Path) -> Result<Pinned, String> {
    let failed = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
    let size = std::fs::metadata(path).map_err(|why| failed(&why))?.len();
    if size > MAX_CHECK as u64 {
        return Err(failed(&"longer than a check can be"));
    }
    let bytes = std::fs::read(path).map_err(|why| failed(&why))?;
    pin(&bytes).map_err(|why| failed(&why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_is_pinned_by_its_canonical_form_and_a_mistake_in_it_has_a_place() {
        let dir = tempfile::tempdir().unwrap();
        let hash = "07".repeat(32);
        let spaced = format!(
            "{{ \"v\": 1, \"kind\": \"hash\", \"scope\": \"whole\", \"hash\": \"{hash}\" }}"
        );
        std::fs::write(dir.path().join("good.json"), spaced).unwrap();
        std::fs::write(dir.path().join("bad.json"), "{\"kind\":\"vote\",\"v\":1}").unwrap();
        let read = |checks: &str| {
            let text =
                format!("title = 'T'\nprice = 5\naudit = 7\ncut = 'lines'\nchecks = {checks}\n");
            read(&text, "gig.toml", dir.path(), Time(1_000))
        };
        let written = read("['good.json']").unwrap();
        let quality = written.draft.quality;
        assert!(quality.check().is_ok() && written.inputs.is_empty());
        assert_eq!((quality.audit, quality.checks.len()), (7, 1));
        let body = quality.checks[0].body.clone().unwrap();
        assert!(body.starts_with("{\"hash\":"), "{body}");
        let failure = read("['bad.json']").unwrap_err().message;
        assert!(failure.starts_with("gig.toml:5:11: "), "{failure}");
    }

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

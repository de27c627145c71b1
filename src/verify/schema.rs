//! JSON Schema: draft 2020-12, nothing fetched, and work that is bounded before it begins.
//!
//! A schema may be a stranger's. References lead into its own `$defs` and never in a circle; what they
//! unfold to is counted; patterns run in linear time; what would make the validator look at one thing
//! again and again is refused.

use std::collections::{BTreeMap, BTreeSet};

use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::Value;

use super::check::{BadCheck, Unit};
use super::lines::{Lines, MAX_LINE, TooLong};
use super::verdict::Verdict;

/// The longest document that is looked at as a whole, in bytes: it has to be held in memory.
pub const MAX_DOCUMENT: usize = 8 << 20;
/// Nodes of a schema with every reference unfolded.
const MAX_NODES: u64 = 10_000;
/// Bytes of a compiled pattern.
const MAX_PATTERN: usize = 1 << 20;
/// Keywords that fetch, go round in circles, or look at one value many times over.
const REFUSED: [&str; 8] = [
    "$id",
    "$anchor",
    "$dynamicAnchor",
    "$dynamicRef",
    "$recursiveRef",
    "$vocabulary",
    "unevaluatedProperties",
    "unevaluatedItems",
];
/// The only dialect that may be named.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// A schema made ready.
pub(super) struct Compiled(Validator);

fn bad(why: impl Into<String>) -> BadCheck {
    BadCheck::Schema(why.into())
}

/// Reads, bounds and compiles a schema.
pub(super) fn compile(text: &str) -> Result<Compiled, BadCheck> {
    let schema: Value = serde_json::from_str(text)
        .map_err(|e| bad(format!("it is not JSON at line {} column {}", e.line(), e.column())))?;
    bounded(&schema)?;
    let built = jsonschema::options()
        .offline()
        .with_draft(Draft::Draft202012)
        .should_validate_formats(false)
        .with_pattern_options(
            PatternOptions::regex().size_limit(MAX_PATTERN).dfa_size_limit(MAX_PATTERN),
        )
        .build(&schema);
    match built {
        Ok(validator) => Ok(Compiled(validator)),
        // The library's sentence quotes the schema; only the place is ours to repeat.
        Err(error) => Err(bad(format!("it is wrong at `{}`", error.instance_path()))),
    }
}

/// Whether the work of validating is bounded by the size of the schema, unfolded, and of the instance.
fn bounded(schema: &Value) -> Result<(), BadCheck> {
    let mut found = BTreeMap::new();
    for home in ["$defs", "definitions"] {
        let Some(definitions) = schema.get(home) else { continue };
        let Value::Object(definitions) = definitions else {
            return Err(bad(format!("`{home}` is no object")));
        };
        for (name, definition) in definitions {
            if name.is_empty() || name.contains(['~', '/', '%']) {
                return Err(bad(format!("a name in `{home}` is empty or has `~`, `/` or `%`")));
            }
            found.insert(format!("#/{home}/{name}"), definition);
        }
    }
    let mut sizes = BTreeMap::new();
    let mut size = 0;
    for (name, definition) in &found {
        let mut open = BTreeSet::from([name.as_str()]);
        let nodes = unfolded(definition, &found, &mut sizes, &mut open)?;
        sizes.insert(name.as_str(), nodes);
        size = within(size, nodes)?;
    }
    within(size, unfolded(schema, &found, &mut sizes, &mut BTreeSet::new())?).map(drop)
}

fn within(a: u64, b: u64) -> Result<u64, BadCheck> {
    let sum = a.saturating_add(b);
    if sum <= MAX_NODES {
        Ok(sum)
    } else {
        Err(bad(format!("it unfolds to over {MAX_NODES} nodes")))
    }
}

/// Nodes of a schema with its references unfolded. A key that only looks like a keyword counts as one:
/// this refuses a little too much and never too little.
fn unfolded<'a>(
    value: &'a Value,
    found: &BTreeMap<String, &'a Value>,
    sizes: &mut BTreeMap<&'a str, u64>,
    open: &mut BTreeSet<&'a str>,
) -> Result<u64, BadCheck> {
    let mut sum = 1;
    match value {
        Value::Array(items) => {
            for item in items {
                sum = within(sum, unfolded(item, found, sizes, open)?)?;
            }
        }
        Value::Object(fields) => {
            for (key, item) in fields {
                if REFUSED.contains(&key.as_str()) {
                    return Err(bad(format!("`{key}` is not taken")));
                }
                if key == "$schema" && item.as_str() != Some(DIALECT) {
                    return Err(bad("its dialect is not draft 2020-12"));
                }
                let nodes = match (key.as_str(), item) {
                    ("$ref", Value::String(to)) => reference(to, found, sizes, open)?,
                    ("$ref", _) => return Err(bad("a `$ref` is no text")),
                    _ => unfolded(item, found, sizes, open)?,
                };
                sum = within(sum, nodes)?;
            }
        }
        _ => {}
    }
    Ok(sum)
}

fn reference<'a>(
    to: &'a str,
    found: &BTreeMap<String, &'a Value>,
    sizes: &mut BTreeMap<&'a str, u64>,
    open: &mut BTreeSet<&'a str>,
) -> Result<u64, BadCheck> {
    let Some(definition) = found.get(to) else {
        return Err(bad("a `$ref` does not lead to a name in its own `$defs`"));
    };
    if let Some(size) = sizes.get(to) {
        return Ok(*size);
    }
    if !open.insert(to) {
        return Err(bad("its references go round in a circle"));
    }
    let size = unfolded(definition, found, sizes, open)?;
    open.remove(to);
    sizes.insert(to, size);
    Ok(size)
}

impl Compiled {
    fn look(&self, document: &[u8], place: &str) -> Verdict {
        // Not text, not JSON, or nested deeper than any honest document.
        let Ok(value) = serde_json::from_slice::<Value>(document) else {
            return Verdict::fail_at(place, "this is not JSON");
        };
        match self.0.validate(&value) {
            Ok(()) => Verdict::Pass,
            Err(error) => {
                let rule = error.schema_path().to_string();
                Verdict::fail_at(place, format!("this does not fit the schema at `{rule}`"))
            }
        }
    }
}

/// A schema looking at a stream.
pub(super) struct Schemed<'a> {
    compiled: &'a Compiled,
    unit: Unit,
    lines: Lines,
    whole: Vec<u8>,
    found: Option<Verdict>,
}

impl<'a> Schemed<'a> {
    pub(super) fn new(compiled: &'a Compiled, unit: Unit) -> Self {
        Self { compiled, unit, lines: Lines::default(), whole: Vec::new(), found: None }
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) {
        if self.found.is_some() {
            return;
        }
        match self.unit {
            Unit::Whole if self.whole.len() + bytes.len() > MAX_DOCUMENT => {
                self.whole = Vec::new();
                self.found = Some(Verdict::none(format!(
                    "a document over {MAX_DOCUMENT} bytes is too large to look at"
                )));
            }
            Unit::Whole => self.whole.extend_from_slice(bytes),
            Unit::Line => {
                let (compiled, found) = (self.compiled, &mut self.found);
                let fed = self.lines.feed(bytes, &mut |n, line| one_line(compiled, found, n, line));
                if let Err(TooLong) = fed {
                    self.found =
                        Some(Verdict::none(format!("a line is over {MAX_LINE} bytes long")));
                }
            }
        }
    }

    pub(super) fn end(mut self) -> Verdict {
        if self.found.is_none() {
            match self.unit {
                Unit::Whole => return self.compiled.look(&self.whole, ""),
                Unit::Line => {
                    let (compiled, found) = (self.compiled, &mut self.found);
                    self.lines.end(&mut |n, line| one_line(compiled, found, n, line));
                }
            }
        }
        self.found.unwrap_or(Verdict::Pass)
    }
}

fn one_line(compiled: &Compiled, found: &mut Option<Verdict>, n: u64, line: &[u8]) -> bool {
    if line.is_empty() {
        return true;
    }
    let verdict = compiled.look(line, &format!("line {n}"));
    if verdict != Verdict::Pass {
        *found = Some(verdict);
    }
    found.is_none()
}

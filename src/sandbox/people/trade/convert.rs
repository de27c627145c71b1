//! Files to convert: a table to JSON lines or to a Markdown table, settings to JSON.

use std::collections::BTreeMap;

use rand::Rng as _;
use rand::rngs::StdRng;
use serde_json::Value;

use super::{Ask, Care, Task, Work, either, lines, named, pick, price, same, table, tags};

/// From what to what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    CsvToJson,
    CsvToMarkdown,
    IniToJson,
}

impl Way {
    fn tag(self) -> &'static str {
        match self {
            Self::CsvToJson => "csv-to-jsonl",
            Self::CsvToMarkdown => "csv-to-markdown",
            Self::IniToJson => "ini-to-json",
        }
    }
    fn extension(self) -> &'static str {
        match self {
            Self::CsvToJson => "jsonl",
            Self::CsvToMarkdown => "md",
            Self::IniToJson => "json",
        }
    }
    fn rules(self) -> &'static str {
        match self {
            Self::CsvToJson => {
                "Deliver JSON lines: one object for every row, the heading's names as keys, every value a \
                 string, in the order of the file."
            }
            Self::CsvToMarkdown => {
                "Deliver one Markdown table: the heading, the line of dashes, then every row, as \
                 `| a | b | c |` with one space on both sides of every cell."
            }
            Self::IniToJson => {
                "Deliver one JSON object: a key for every section, and in it an object of its settings, \
                 every value a string. Lines that begin with `;` or `#` are comments."
            }
        }
    }
    fn of(ask: &Ask) -> Self {
        let all = [Self::CsvToJson, Self::CsvToMarkdown, Self::IniToJson];
        let tagged = |way: &Self| ask.tags.iter().any(|t| t == way.tag());
        let words = format!("{}\n{}", ask.title, ask.content).to_lowercase();
        let ini = ask.inputs.iter().any(|(name, _)| name.ends_with(".ini"));
        all.into_iter().find(tagged).unwrap_or(match () {
            () if ini => Self::IniToJson,
            () if words.contains("markdown") => Self::CsvToMarkdown,
            () => Self::CsvToJson,
        })
    }
}

/// A file to convert.
pub(super) fn task(chance: &mut StdRng) -> Task {
    let way = *pick(chance, &[Way::CsvToJson, Way::CsvToMarkdown, Way::IniToJson]);
    let (file, what, text) = match way {
        Way::IniToJson => settings(chance),
        _ => {
            let (file, what, _, text) = table::messy(chance);
            (file, what, table::clean(&text, None, true))
        }
    };
    let want = converted(way, &text);
    let to = match way {
        Way::CsvToJson => "JSON lines",
        Way::CsvToMarkdown => "a Markdown table",
        Way::IniToJson => "JSON",
    };
    Task {
        title: format!("Convert {what} to {to}"),
        summary: format!("{file} in, .{} out, {} lines.", way.extension(), text.lines().count()),
        content: format!(
            "`{file}` is {what}. {}\n\nMy program reads it back and compares.",
            way.rules()
        ),
        tags: tags(&["convert", way.tag(), "data"]),
        modes: either(chance),
        sats: price(chance, 5_500, 9_500),
        inputs: vec![(file.into(), text)],
        check: Box::new(move |saw| match way {
            Way::CsvToMarkdown => same(&want, saw),
            Way::CsvToJson => {
                let (want, saw) = (lines(&want), lines(saw));
                if want.len() != saw.len() {
                    return Err(format!(
                        "{} lines came; {} rows are in the file.",
                        saw.len(),
                        want.len()
                    ));
                }
                want.iter().zip(saw).enumerate().try_for_each(|(at, (want, saw))| {
                    same_json(want, saw).map_err(|why| format!("Line {}: {why}", at + 1))
                })
            }
            Way::IniToJson => same_json(&want, saw),
        }),
    }
}

fn same_json(want: &str, saw: &str) -> Result<(), String> {
    let want: Value = serde_json::from_str(want).unwrap_or_default();
    match serde_json::from_str::<Value>(saw) {
        Ok(saw) if saw == want => Ok(()),
        Ok(saw) => {
            let missing =
                want.as_object().and_then(|all| all.iter().find(|(k, v)| saw.get(k) != Some(v)));
            Err(match missing {
                Some((key, value)) => format!("`{key}` should be {value}."),
                None => "there is something in it that is not in the file.".into(),
            })
        }
        Err(why) => Err(format!("that is not JSON: {why}.")),
    }
}

/// Converts the first input.
pub(super) fn work(ask: &Ask, care: Care) -> Option<Work> {
    let (name, text) = ask.text()?;
    let way = Way::of(ask);
    if way != Way::IniToJson && !table::is_table(text) {
        return None;
    }
    let mut done = converted(way, text);
    if care == Care::Hasty {
        // The last row is forgotten; of settings, the last section.
        done = match way {
            Way::IniToJson => {
                converted(way, text.rsplit_once("\n[").map_or(text, |(head, _)| head))
            }
            _ => done
                .trim_end()
                .rsplit_once('\n')
                .map_or(done.clone(), |(head, _)| format!("{head}\n")),
        };
    }
    if done.trim().is_empty() {
        return None;
    }
    let message = format!("{name} as {}.", way.extension());
    Some(Work { name: named(name, "", way.extension()), bytes: done.into_bytes(), message })
}

fn converted(way: Way, text: &str) -> String {
    match way {
        Way::CsvToJson => {
            let mut rows = table::rows(text).into_iter();
            let head = rows.next().unwrap_or_default();
            rows.map(|row| {
                let object: serde_json::Map<String, Value> =
                    head.iter().cloned().zip(row.into_iter().map(Value::String)).collect();
                format!("{}\n", Value::Object(object))
            })
            .collect()
        }
        Way::CsvToMarkdown => {
            let mut out = String::new();
            for (at, row) in table::rows(text).iter().enumerate() {
                let cells: Vec<String> = row.iter().map(|f| f.replace('|', "\\|")).collect();
                out.push_str(&format!("| {} |\n", cells.join(" | ")));
                if at == 0 {
                    out.push_str(&format!("|{}\n", " --- |".repeat(row.len())));
                }
            }
            out
        }
        Way::IniToJson => {
            let mut all: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
            let mut section = String::new();
            for line in text.lines().map(str::trim) {
                if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
                    section = name.trim().to_owned();
                    all.entry(section.clone()).or_default();
                } else if let Some((key, value)) = line.split_once('=')
                    && !line.starts_with([';', '#'])
                {
                    let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
                    all.entry(section.clone()).or_default().insert(key, value);
                }
            }
            match serde_json::to_string_pretty(&all) {
                Ok(json) if !all.is_empty() => json + "\n",
                _ => String::new(),
            }
        }
    }
}

struct Machine {
    file: &'static str,
    what: &'static str,
    sections: &'static [(&'static str, &'static [&'static str])],
}

const MACHINES: &[Machine] = &[
    Machine {
        file: "oven.ini",
        what: "the settings of our bread oven",
        sections: &[
            ("preheat", &["celsius", "minutes", "fan"]),
            ("bake", &["celsius", "minutes", "steam"]),
            ("cool", &["minutes", "door"]),
        ],
    },
    Machine {
        file: "buoy.ini",
        what: "the configuration of a weather buoy",
        sections: &[
            ("radio", &["channel", "watts", "interval"]),
            ("sensor.wind", &["height", "samples"]),
            ("sensor.water", &["depth", "samples", "offset"]),
        ],
    },
    Machine {
        file: "press.ini",
        what: "the settings of an old printing press",
        sections: &[
            ("paper", &["width", "height", "weight"]),
            ("ink", &["black", "red"]),
            ("run", &["sheets", "speed"]),
        ],
    },
];

/// The settings of a machine that somebody has to live with.
fn settings(chance: &mut StdRng) -> (&'static str, &'static str, String) {
    let Machine { file, what, sections } = pick(chance, MACHINES);
    let mut text = format!("; {what}\n");
    for (section, keys) in *sections {
        text.push_str(&format!("\n[{section}]\n"));
        for key in *keys {
            text.push_str(&format!("{key} = {}\n", chance.random_range(1..500)));
        }
    }
    (file, what, text)
}

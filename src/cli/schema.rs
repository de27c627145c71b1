//! JSON Schemas (draft 2020-12) of everything that `--json` prints, verb by verb, and of the files that a
//! person writes. Made from the very types that are printed and read.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use super::Money;
use super::deed::Told;
use super::verb::{
    bot, check, close, config, doctor, files, gigs, help, init, job, judge, man, mute, people,
    post, relay, sandbox, schema, verify_proof, wallet, watch,
};
use crate::config::KEYS;
use crate::engine::{CaseView, ChannelInfo, GigView, JobView, Movement, RelayHealth};
use crate::relay::Settings;
use crate::sandbox::{Happening, Places, Served, StepTaken, Summary};

/// One schema that can be asked for.
pub(super) struct Entry {
    /// A verb, its parts joined by `-`; or a file, or `failure`.
    pub(super) name: &'static str,
    /// What it describes.
    pub(super) about: &'static str,
    of: Of,
}

enum Of {
    /// Records on stdout: each line is one of these.
    Records(fn(&mut SchemaGenerator) -> Vec<Schema>),
    /// A file that a person writes.
    File(fn(&mut SchemaGenerator) -> Schema),
}

/// A failure, as it stands on stderr.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its shape is wanted; `Out` writes it")]
struct Failure {
    /// Stable, kebab-case.
    code: String,
    /// For people; may change.
    message: String,
    /// Where the money is.
    money: Money,
    /// Commands or actions that come next, best first.
    next: Vec<String>,
}

macro_rules! records {
    ($($name:literal $about:literal: $($of:ty),+;)*) => {
        &[$(Entry {
            name: $name,
            about: $about,
            of: Of::Records(|make| vec![$(make.subschema_for::<$of>()),+]),
        }),*]
    };
}

/// Of every verb that prints records.
const RECORDS: &[Entry] = records! {
    "failure" "every failure, on stderr": Failure;
    "init" "the keys that were made": init::Made<'static>;
    "post" "a gig that was published, or would be": post::Posted, post::Shown<'static>;
    "gigs" "gigs, and where the next window begins": GigView, gigs::Next<'static>;
    "show" "one gig": GigView;
    "bid" "what came of a bid": Told;
    "withdraw" "what came of it": Told;
    "award" "what came of it": Told;
    "decline" "what came of it": Told;
    "jobs" "jobs and bids": JobView;
    "job" "one job whole": job::Whole<'static>;
    "note" "what came of it": Told;
    "files" "files of a job": files::Shown;
    "deliver" "what came of it": Told;
    "fund" "what came of it": Told;
    "accept" "what came of it": Told;
    "reject" "what came of it": Told;
    "cancel" "what came of it": Told;
    "approve" "what came of it": Told;
    "rate" "what came of it": Told;
    "dispute" "what came of it": Told;
    "object" "what came of it": Told;
    "judge" "cases, and what came of them": CaseView, judge::Ready, judge::Ruled, judge::Sent<'static>, GigView;
    "close" "what came of it": close::Closed;
    "people" "people of your jobs, and what an import did": people::Shown<'static>, people::Imported;
    "mute" "who is muted": mute::Muted;
    "relays" "how each relay is doing": RelayHealth;
    "watch" "what happens": watch::Event<'static>;
    "bot" "what a bot did and its tally, what a policy means, what automation may spend":
        crate::bot::Event, crate::bot::Tally, bot::Explained, bot::Shown<'static>;
    "verify-proof" "a verdict": verify_proof::Judged;
    "check" "a check that was run, or named": check::Ran<'static>, check::Named<'static>;
    "doctor" "what was looked at": doctor::Found<'static>;
    "config" "one setting": config::Row;
    "sandbox" "steps and summaries of stories, stories, happenings, places": StepTaken, Summary,
        sandbox::Told, Happening, Places, Served, sandbox::Mined, sandbox::Funded<'static>;
    "wallet-balance" "what there is": wallet::Balance<'static>;
    "wallet-receive" "an invoice or an address": wallet::Invoice<'static>, wallet::Address<'static>;
    "wallet-pay" "a payment": wallet::Paid<'static>, wallet::Sent<'static>;
    "wallet-send" "coins that were sent": wallet::Sent<'static>;
    "wallet-channels" "channels": ChannelInfo;
    "wallet-open" "a channel that is being opened": wallet::Opening<'static>;
    "wallet-close" "a channel that is being closed": wallet::Closing<'static>;
    "wallet-history" "what went in and out": Movement;
    "relay" "where it listens, or its settings": relay::Ready<'static>, Settings;
    "man" "a page that was written": man::Written<'static>;
    "schema" "a schema that can be asked for": schema::Named<'static>;
    "help" "exit statuses, phases, settings, a topic": help::Status, help::Stand, help::Setting, help::Topic;
};

/// Of files that people write.
const FILES: &[Entry] = &[
    Entry { name: "config-file", about: "config.toml", of: Of::File(config_file) },
    Entry {
        name: "gig-file",
        about: "a gig for earnest post",
        of: Of::File(crate::market::draft_schema),
    },
    Entry {
        name: "policy-file",
        about: "a policy of a bot",
        of: Of::File(crate::bot::policy_schema),
    },
    Entry {
        name: "relay-file",
        about: "settings of earnest relay",
        of: Of::File(|make| make.subschema_for::<Settings>()),
    },
];

/// Every schema.
pub(super) fn entries() -> impl Iterator<Item = &'static Entry> {
    RECORDS.iter().chain(FILES)
}

impl Entry {
    /// The schema itself.
    pub(super) fn schema(&self) -> Value {
        let settings = SchemaSettings::draft2020_12();
        let (mut make, file) = match self.of {
            Of::Records(_) => (settings.for_serialize().into_generator(), false),
            Of::File(_) => (settings.for_deserialize().into_generator(), true),
        };
        let mut whole = Map::new();
        let mut add = |key: &str, value: Value| whole.insert(key.to_owned(), value);
        add("$schema", json!("https://json-schema.org/draft/2020-12/schema"));
        add("title", json!(format!("earnest: {}", self.name)));
        add("description", json!(self.about));
        add("type", json!("object"));
        match &self.of {
            Of::Records(of) => {
                add("anyOf", json!(of(&mut make)));
                add("properties", json!({"v": {"const": 1}}));
                add("required", json!(["v"]));
            }
            Of::File(of) => {
                add("allOf", json!([of(&mut make)]));
            }
        }
        let mut definitions = Value::Object(make.take_definitions(true));
        if !file {
            // Fields may be added to a record: whoever reads one must not refuse them.
            open(&mut definitions);
        }
        add("$defs", definitions);
        Value::Object(whole)
    }
}

/// Takes away what forbids fields that are not named.
fn open(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if map.get("additionalProperties") == Some(&Value::Bool(false)) {
                map.remove("additionalProperties");
            }
            map.values_mut().for_each(open);
        }
        Value::Array(all) => all.iter_mut().for_each(open),
        _ => {}
    }
}

/// `config.toml`, from the table of settings.
fn config_file(_: &mut SchemaGenerator) -> Schema {
    let mut tables: Map<String, Value> = Map::new();
    for key in KEYS {
        let value = json!({
            "description": key.about,
            "type": ["string", "integer", "boolean", "array"],
            "items": {"type": ["string", "integer"]},
        });
        match key.name.split_once('.') {
            None => {
                tables.insert(key.name.to_owned(), value);
            }
            Some((table, name)) => {
                let table = tables.entry(table).or_insert_with(
                    || json!({"type": "object", "properties": {}, "additionalProperties": false}),
                );
                table["properties"][name] = value;
            }
        }
    }
    json_schema!({"type": "object", "properties": tables, "additionalProperties": false})
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::args::Args;

    /// What prints no record of its own: an owner, a protocol of others, a script.
    const SILENT: &[&str] = &["run", "mcp", "relay-policy", "completions"];

    #[test]
    fn every_verb_that_prints_records_has_a_schema_and_every_schema_compiles() {
        let tree = Args::command();
        for verb in tree.get_subcommands().map(clap::Command::get_name) {
            let has = entries().any(|e| e.name == verb || e.name.starts_with(&format!("{verb}-")));
            assert!(has || SILENT.contains(&verb), "{verb} has no schema");
        }
        for entry in entries() {
            let schema = entry.schema();
            jsonschema::draft202012::new(&schema)
                .unwrap_or_else(|why| panic!("{}: {why}\n{schema:#}", entry.name));
        }
    }
}

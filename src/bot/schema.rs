//! The JSON Schema of a policy as a person writes it.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::policy::MOST_AT_ONCE;

/// What stands in a policy's file. The reader says more: which settings go together, and how to mend what
/// does not.
pub fn policy_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "name": {"type": "string", "pattern": "^[a-z0-9._-]{1,32}$", "description": "What the bot is called."},
            "requester": table(asking(), &["gig"]),
            "worker": table(working(), &["query", "command"]),
            "hook": {"type": "array", "items": table(hook(), &["on"])},
        },
    })
}

fn table(properties: Value, required: &[&str]) -> Value {
    json!({
        "type": "object", "additionalProperties": false, "properties": properties, "required": required,
    })
}

fn text(about: &str) -> Value {
    json!({"type": "string", "description": about})
}

fn count(most: u32, about: &str) -> Value {
    json!({"type": "integer", "minimum": 1, "maximum": most, "description": about})
}

fn length(about: &str) -> Value {
    json!({"type": "string", "pattern": "^[0-9]+ *(ms|s|min|h|d)$", "description": about})
}

fn size(about: &str) -> Value {
    json!({"type": "string", "pattern": "^[0-9]+ *(B|KiB|MiB|GiB)?$", "description": about})
}

fn words(about: &str) -> Value {
    json!({"type": "array", "items": {"type": "string"}, "minItems": 1, "description": about})
}

fn money(about: &str) -> Value {
    json!({"type": ["string", "integer"], "description": about})
}

fn asking() -> Value {
    json!({
        "gig": text("The gig that is published for each item, a file."),
        "queue": text("Items, one JSON line each: a file, or - for stdin."),
        "attach": {"type": "boolean", "description": "Each item's line is an input file of its gig."},
        "choose": {"enum": ["first", "cheapest", "trusted"], "description": "Whose bid is taken."},
        "wait": length("How long other bids are waited for."),
        "at_once": count(MOST_AT_ONCE, "Gigs and jobs that are not over."),
        "per_worker": count(MOST_AT_ONCE, "Of these with one worker."),
        "tries": count(100, "How often an item is published."),
        "accept": {"enum": ["checks", "inspected", "command"], "description": "When it pays."},
        "verify": words("The program that decides, for accept = \"command\"."),
        "time": length("What that program may take."),
        "memory": size("What it may use of memory."),
        "disk": size("What it may write."),
        "total": money("What all of it may cost, routing included."),
    })
}

fn working() -> Value {
    json!({
        "query": text("Which gigs, as for earnest gigs."),
        "price": money("A price, a share of what is offered (90%), or a price for each KiB of input (5sat/KiB)."),
        "at_once": count(1_000, "Bids that wait and jobs that are worked on."),
        "message": text("What is said with a bid."),
        "command": words("The program that does the work."),
        "stdin": {"enum": ["job", "input"], "description": "What it reads."},
        "time": length("What it may take."),
        "memory": size("What it may use of memory."),
        "disk": size("What it may write."),
        "tries": count(100, "How often it is run for one job."),
        "look": length("How often the book is looked through."),
        "patience": length("After this long without an answer a bid is taken back."),
    })
}

fn hook() -> Value {
    json!({
        "on": words("Codes of notices; * is all."),
        "run": words("The program that is told."),
        "url": text("An address on this machine that is told."),
        "time": length("How long it may take."),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;
    use crate::bot::Policy;
    use crate::market::Network;

    /// The settings that the reader takes in a table, by what it says to one that there is not.
    fn taken(table: &str) -> BTreeSet<String> {
        let text = format!("{table}nonsense = 1\n");
        let gig = |_: &Path| Err("not looked at".to_owned());
        let why = Policy::read(&text, "bot", Path::new(""), Network::Regtest, gig).unwrap_err().why;
        let (_, expected) = why.split_once("expected").unwrap_or_else(|| panic!("{why}"));
        expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    }

    #[test]
    fn the_schema_names_what_the_reader_takes_and_nothing_else() {
        let schema = policy_schema(&mut SchemaGenerator::default()).to_value();
        for (table, at) in [
            ("", &schema["properties"]),
            ("[requester]\n", &schema["properties"]["requester"]["properties"]),
            ("[worker]\n", &schema["properties"]["worker"]["properties"]),
            ("[[hook]]\n", &schema["properties"]["hook"]["items"]["properties"]),
        ] {
            let named: BTreeSet<_> = at.as_object().unwrap().keys().cloned().collect();
            assert_eq!(named, taken(table), "{table}");
        }
    }
}

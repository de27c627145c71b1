//! `earnest schema`: what programs may rely on.

use serde::Serialize;

use crate::cli::schema::entries;
use crate::cli::session::Session;
use crate::cli::{Column, Exit, Failure, Out};
use crate::text::Align;

/// Print the JSON Schema of what a verb prints, or of a file that you write.
///
/// Without a name it lists all there are.
#[derive(Debug, clap::Args)]
pub(crate) struct Schema {
    /// A verb, its parts joined by a dash (wallet-pay); or config-file, gig-file, policy-file, relay-file, failure
    name: Option<String>,
}

/// One that can be asked for.
#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Named<'a> {
    name: &'a str,
    about: &'a str,
}

impl Schema {
    pub(crate) fn run(&self, _: &Session, out: &mut Out) -> Result<Exit, Failure> {
        let Some(name) = &self.name else {
            let mut rows = Vec::new();
            for entry in entries() {
                out.record(&Named { name: entry.name, about: entry.about })?;
                rows.push(vec![entry.name.to_owned(), entry.about.to_owned()]);
            }
            let left = |name| Column { name, align: Align::Left };
            out.table(&[left("schema"), left("describes")], &rows, "")?;
            return Ok(Exit::Done);
        };
        let Some(entry) = entries().find(|entry| entry.name == name) else {
            let said = format!("There is no schema `{name}`.");
            return Err(Failure::new(Exit::Usage, "no-schema", said).next("earnest schema"));
        };
        let schema = entry.schema();
        out.record(&schema)?;
        if !out.is_json() {
            let text = serde_json::to_string_pretty(&schema).map_err(std::io::Error::from)?;
            super::man::print(&(text + "\n"))?;
        }
        Ok(Exit::Done)
    }
}

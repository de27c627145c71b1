//! `earnest config`: each setting and where it comes from.

use serde::Serialize;

use crate::cli::session::Session;
use crate::cli::{Column, Exit, Failure, Out};
use crate::text::Align;

/// Show each setting and where it comes from.
#[derive(Debug, clap::Args)]
pub(crate) struct ShowConfig {}

#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Row {
    key: &'static str,
    value: String,
    source: String,
}

const COLUMNS: [Column; 3] = [
    Column { name: "setting", align: Align::Left },
    Column { name: "value", align: Align::Left },
    Column { name: "from", align: Align::Left },
];

impl ShowConfig {
    pub(crate) fn run(&self, session: &Session, out: &mut Out) -> Result<Exit, Failure> {
        let mut rows = Vec::new();
        for (key, value, source) in session.config()?.explain() {
            let source = source.to_string();
            rows.push(vec![key.to_owned(), value.clone(), source.clone()]);
            out.record(&Row { key, value, source })?;
        }
        out.table(&COLUMNS, &rows, "")?;
        Ok(Exit::Done)
    }
}

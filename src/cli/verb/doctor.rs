//! `earnest doctor`: is everything there that a job needs, and if not, what to do.

use serde::Serialize;

use crate::app::{Check, Health};
use crate::cli::session::{Session, interrupted, runtime};
use crate::cli::{Column, Exit, Failure, Out};
use crate::config::Config;
use crate::text::Align;

/// Look whether everything works.
///
/// Looks at configuration, directory, disk, keys, clock, source of blocks, relays and LSP, and at the
/// node's liquidity where the keys open without a question. Exits 1 if anything is broken.
#[derive(Debug, clap::Args)]
pub(crate) struct Doctor {
    /// Ask nobody else: only what is on this machine
    #[arg(long)]
    offline: bool,
}

#[derive(Serialize, schemars::JsonSchema)]
pub(in crate::cli) struct Found<'a> {
    ok: bool,
    checks: &'a [Check],
}

const COLUMNS: [Column; 3] = [
    Column { name: "check", align: Align::Left },
    Column { name: "health", align: Align::Left },
    Column { name: "found", align: Align::Left },
];

impl Doctor {
    pub(crate) fn run(&self, session: &Session, out: &mut Out) -> Result<Exit, Failure> {
        let config = session.config()?;
        let mut checks = crate::app::check_machine(&config);
        if !self.offline {
            let runtime = runtime()?;
            let more = runtime.block_on(async {
                tokio::select! {
                    more = self.network(session, &config) => Ok(more),
                    failure = interrupted() => Err(failure),
                }
            })?;
            checks.extend(more);
        }
        let ok = checks.iter().all(|check| check.health != Health::Fail);
        out.record(&Found { ok, checks: &checks })?;
        let rows: Vec<Vec<String>> = checks.iter().map(row).collect();
        out.table(&COLUMNS, &rows, "")?;
        if !out.is_json() {
            for check in &checks {
                if let Some(remedy) = &check.remedy {
                    out.say(&format!("{}: {remedy}", check.name))?;
                }
            }
        }
        Ok(if ok { Exit::Done } else { Exit::Failed })
    }

    async fn network(&self, session: &Session, config: &Config) -> Vec<Check> {
        let setup = match crate::app::from_config(config, "earnest doctor") {
            Ok(setup) => setup,
            Err(why) => return vec![crate::app::not_set_up(&why)],
        };
        let mut checks = crate::app::check_network(&setup).await;
        let blocks = checks.iter().any(|c| c.name == "chain" && c.health == Health::Ok);
        checks.push(match session.keys_without_asking(config) {
            Err(_) => crate::app::liquidity_unknown("the keys do not open without a question"),
            Ok(_) if !blocks => crate::app::liquidity_unknown("there are no blocks to go by"),
            Ok(keys) => match crate::app::holdings(setup, &keys).await {
                Ok(status) => crate::app::check_liquidity(&status),
                Err(why) if crate::app::is_owned(&why) => {
                    crate::app::liquidity_unknown("another earnest uses this directory")
                }
                Err(why) => {
                    crate::app::liquidity_unknown(&format!("the node did not start: {why:#}"))
                }
            },
        });
        checks
    }
}

fn row(check: &Check) -> Vec<String> {
    let health = match check.health {
        Health::Ok => "ok",
        Health::Warn => "warn",
        Health::Fail => "FAIL",
    };
    vec![check.name.to_owned(), health.to_owned(), check.found.clone()]
}

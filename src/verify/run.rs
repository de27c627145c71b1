//! Running a check over a stream of bytes.

use std::io::{self, Read};

use super::check::{BadCheck, Check, CheckHash, Kind, Scope};
use super::rules::Watching;
use super::schema::{self, Schemed};
use super::verdict::Verdict;
use super::wasm::{self, Machine};

/// A check made ready to run, as often as there are things to look at.
pub struct Checker {
    scope: Scope,
    ready: Ready,
}

enum Ready {
    Hash(CheckHash),
    Schema(schema::Compiled, super::check::Unit),
    Rules(Box<super::rules::Rules>),
    Wasm(wasm::Compiled),
}

/// One look at one stream: fed and then ended.
pub struct Run<'a>(Running<'a>);

enum Running<'a> {
    Hash(CheckHash, blake3::Hasher),
    Schema(Schemed<'a>),
    Rules(Watching<'a>),
    Wasm(Machine),
}

/// Bytes read at a time; the verdict does not depend on it.
const READ: usize = 64 * 1024;

impl Checker {
    /// Compiles a check.
    ///
    /// # Errors
    /// What [`Check::from_json`] would say of it.
    pub fn new(check: &Check) -> Result<Self, BadCheck> {
        let ready = match &check.kind {
            Kind::Hash(hash) => Ready::Hash(*hash),
            Kind::Schema { schema, unit } => Ready::Schema(schema::compile(schema)?, *unit),
            Kind::Rules(rules) => {
                super::rules::sound(rules)?;
                Ready::Rules(rules.clone())
            }
            Kind::Wasm(predicate) => Ready::Wasm(wasm::compile(predicate)?),
        };
        Ok(Self { scope: check.scope, ready })
    }

    /// Compiles the check whose canonical body this is.
    ///
    /// # Errors
    /// As [`Check::from_json`].
    pub fn from_json(body: &[u8]) -> Result<Self, BadCheck> {
        Self::new(&Check::from_json(body)?)
    }

    /// What it looks at, each time anew.
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// Begins a look. What it costs is bounded by what the check names, each time anew.
    pub fn begin(&self) -> Run<'_> {
        Run(match &self.ready {
            Ready::Hash(hash) => Running::Hash(*hash, blake3::Hasher::new()),
            Ready::Schema(compiled, unit) => Running::Schema(Schemed::new(compiled, *unit)),
            Ready::Rules(rules) => Running::Rules(Watching::new(rules)),
            Ready::Wasm(compiled) => Running::Wasm(Machine::start(compiled)),
        })
    }

    /// Looks at all of these bytes.
    pub fn look(&self, bytes: &[u8]) -> Verdict {
        let mut run = self.begin();
        run.feed(bytes);
        run.end()
    }

    /// Looks at a stream, in constant memory.
    ///
    /// # Errors
    /// The stream fails; that says nothing about what is in it.
    pub fn read(&self, mut from: impl Read) -> io::Result<Verdict> {
        let mut run = self.begin();
        let mut room = vec![0; READ];
        loop {
            match from.read(&mut room) {
                Ok(0) => return Ok(run.end()),
                Ok(read) => run.feed(&room[..read]),
                Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
                Err(why) => return Err(why),
            }
        }
    }
}

impl Run<'_> {
    /// The next bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            Running::Hash(_, hasher) => drop(hasher.update(bytes)),
            Running::Schema(schemed) => schemed.feed(bytes),
            Running::Rules(watching) => watching.feed(bytes),
            Running::Wasm(machine) => machine.feed(bytes),
        }
    }

    /// Fuel used so far; nothing but a WASM predicate uses any.
    pub fn fuel_used(&self) -> u64 {
        match &self.0 {
            Running::Wasm(machine) => machine.used(),
            _ => 0,
        }
    }

    /// The verdict.
    pub fn end(self) -> Verdict {
        match self.0 {
            Running::Hash(hash, hasher) if *hasher.finalize().as_bytes() == hash.0 => Verdict::Pass,
            Running::Hash(..) => Verdict::fail("these are not the bytes that were asked for"),
            Running::Schema(schemed) => schemed.end(),
            Running::Rules(watching) => watching.end(),
            Running::Wasm(machine) => machine.end(),
        }
    }
}

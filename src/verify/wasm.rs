//! A WASM predicate in its cage: no imports, no floats, no start function, bounded fuel and memory.
//!
//! ABI 1. The module exports its memory as `memory` and three functions:
//!
//! - `input() -> i32`: the address of [`BLOCK`] bytes that it keeps free for us;
//! - `feed(len: i32)`: the next `len` bytes of what is looked at lie there. Every block but the last has
//!   [`BLOCK`] bytes, so that a verdict does not depend on how a stream was read;
//! - `end() -> i32`: 0 the bytes are what is asked for; 1 and more they are not, and the number says in
//!   what; below 0 it cannot say.
//!
//! A trap, exhausted fuel, an address outside its memory: no verdict. The fuel is for the whole look,
//! `input` and `end` included; an operator costs 1, and 64 bytes copied or grown cost 1.

use wasmi::{
    CompilationMode, Config, CustomFuelCosts, EnforcedLimits, Engine, Instance, Linker, Memory,
    Module, Store, StoreLimits, StoreLimitsBuilder, TrapCode, TypedFunc,
};

use super::check::BadCheck;
use super::verdict::Verdict;

/// The version of the interface between us and a module. It pins interpreter and fuel schedule too.
pub const ABI: u32 = 1;
/// Bytes of a block.
pub const BLOCK: usize = 64 * 1024;
/// The longest module, in bytes.
pub const MAX_MODULE: usize = 40 * 1024;
/// The most fuel of one look: some tens of seconds of one core.
pub const MAX_FUEL: u64 = 2_000_000_000;
/// The most memory, in pages of 64 KiB.
pub const MAX_PAGES: u32 = 256;
/// Calls within calls.
const MAX_DEPTH: usize = 512;
/// Bytes of the interpreter's own stack.
const MAX_STACK: usize = 1 << 20;
/// Elements of a table.
const MAX_TABLE: usize = 10_000;
/// How a binary module of version 1 begins. The interpreter would take the text form too.
const MAGIC: &[u8] = b"\0asm\x01\0\0\0";

/// A predicate and what it may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Predicate {
    /// The module, binary.
    pub module: Vec<u8>,
    /// Fuel of one look.
    pub fuel: u64,
    /// Memory, in pages of 64 KiB.
    pub pages: u32,
}

/// A module made ready.
pub(super) struct Compiled {
    engine: Engine,
    module: Module,
    fuel: u64,
    pages: u32,
}

fn bad(why: impl Into<String>) -> BadCheck {
    BadCheck::Wasm(why.into())
}

fn config() -> Config {
    let mut config = Config::default();
    config
        .consume_fuel(true)
        .fuel_cost(CustomFuelCosts {
            bytes_copied_per_fuel: 64,
            fuel_per_bytes_translated: 0,
            fuel_per_bytes_validated: 0,
        })
        .compilation_mode(CompilationMode::Eager)
        .enforced_limits(EnforcedLimits::strict())
        .allow_start_fn(false)
        .ignore_custom_sections(true)
        .floats(false)
        .wasm_multi_memory(false)
        .wasm_memory64(false)
        .wasm_reference_types(false)
        .wasm_tail_call(false)
        .wasm_extended_const(false)
        .wasm_custom_page_sizes(false)
        .wasm_wide_arithmetic(false)
        .set_max_recursion_depth(MAX_DEPTH)
        .set_max_stack_height(MAX_STACK);
    config
}

/// Validates and compiles a module, and looks whether it keeps to the interface.
pub(super) fn compile(predicate: &Predicate) -> Result<Compiled, BadCheck> {
    if !(1..=MAX_FUEL).contains(&predicate.fuel) {
        return Err(bad(format!("its fuel is not 1 to {MAX_FUEL}")));
    }
    if !(1..=MAX_PAGES).contains(&predicate.pages) {
        return Err(bad(format!("its memory is not 1 to {MAX_PAGES} pages")));
    }
    if predicate.module.len() > MAX_MODULE {
        return Err(bad(format!("it is longer than {MAX_MODULE} bytes")));
    }
    if !predicate.module.starts_with(MAGIC) {
        return Err(bad("it is no binary WASM of version 1"));
    }
    let engine = Engine::new(&config());
    let module = Module::new(&engine, &predicate.module).map_err(|_| {
        bad("it is not valid, or uses what is not taken (floats, a start function)")
    })?;
    if module.imports().next().is_some() {
        return Err(bad("it imports something; a predicate has only its input"));
    }
    let compiled = Compiled { engine, module, fuel: predicate.fuel, pages: predicate.pages };
    // Whether it has the exports: once now, so that a check that reads can be run.
    compiled.instance().map_err(bad)?;
    Ok(compiled)
}

struct Exports {
    memory: Memory,
    input: TypedFunc<(), i32>,
    feed: TypedFunc<i32, ()>,
    end: TypedFunc<(), i32>,
}

impl Compiled {
    fn instance(&self) -> Result<(Store<StoreLimits>, Exports), String> {
        let bytes = usize::try_from(self.pages).unwrap_or(usize::MAX).saturating_mul(BLOCK);
        let limits = StoreLimitsBuilder::new()
            .memory_size(bytes)
            .table_elements(MAX_TABLE)
            .instances(1)
            .memories(1)
            .tables(1)
            .build();
        let mut store = Store::new(&self.engine, limits);
        store.limiter(|limits| limits);
        store.set_fuel(self.fuel).map_err(|_| "it takes no fuel".to_owned())?;
        let instance: Instance = Linker::new(&self.engine)
            .instantiate_and_start(&mut store, &self.module)
            .map_err(|_| "it cannot be set up within its memory and fuel".to_owned())?;
        let memory = instance.get_memory(&store, "memory").ok_or("it exports no `memory`")?;
        let input = instance.get_typed_func(&store, "input");
        let feed = instance.get_typed_func(&store, "feed");
        let end = instance.get_typed_func(&store, "end");
        let exports = Exports {
            memory,
            input: input.map_err(|_| "it exports no `input` that gives an i32")?,
            feed: feed.map_err(|_| "it exports no `feed` that takes an i32")?,
            end: end.map_err(|_| "it exports no `end` that gives an i32")?,
        };
        Ok((store, exports))
    }
}

/// A predicate looking at a stream.
pub(super) struct Machine {
    fuel: u64,
    block: Vec<u8>,
    state: Result<(Store<StoreLimits>, Exports, usize), Verdict>,
}

impl Machine {
    pub(super) fn start(compiled: &Compiled) -> Self {
        let state = compiled.instance().map_err(Verdict::none).and_then(|(mut store, exports)| {
            let at = exports.input.call(&mut store, ()).map_err(|why| trapped(&why))?;
            // Addresses are unsigned, whatever the type says.
            let at = usize::try_from(at.cast_unsigned()).unwrap_or(usize::MAX);
            Ok((store, exports, at))
        });
        Self { fuel: compiled.fuel, block: Vec::new(), state }
    }

    pub(super) fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.state.is_ok() {
            let room = BLOCK - self.block.len();
            let (now, rest) = bytes.split_at(room.min(bytes.len()));
            self.block.extend_from_slice(now);
            bytes = rest;
            if self.block.len() == BLOCK {
                self.flush();
            }
        }
    }

    fn flush(&mut self) {
        let Ok((store, exports, at)) = &mut self.state else { return };
        let len = i32::try_from(self.block.len()).unwrap_or(i32::MAX);
        let fed = if exports.memory.write(&mut *store, *at, &self.block).is_ok() {
            exports.feed.call(&mut *store, len).map_err(|why| trapped(&why))
        } else {
            Err(Verdict::none("the predicate's input lies outside its memory"))
        };
        self.block.clear();
        if let Err(verdict) = fed {
            self.state = Err(verdict);
        }
    }

    pub(super) fn used(&self) -> u64 {
        match &self.state {
            Ok((store, ..)) => self.fuel.saturating_sub(store.get_fuel().unwrap_or(0)),
            Err(_) => self.fuel,
        }
    }

    pub(super) fn end(mut self) -> Verdict {
        if !self.block.is_empty() {
            self.flush();
        }
        let (mut store, exports, _) = match self.state {
            Ok(running) => running,
            Err(verdict) => return verdict,
        };
        match exports.end.call(&mut store, ()) {
            Ok(0) => Verdict::Pass,
            Ok(code @ 1..) => Verdict::fail(format!("the predicate says no, with number {code}")),
            Ok(code) => Verdict::none(format!("the predicate cannot say, with number {code}")),
            Err(why) => trapped(&why),
        }
    }
}

fn trapped(why: &wasmi::Error) -> Verdict {
    match why.as_trap_code() {
        Some(TrapCode::OutOfFuel) => Verdict::none("the predicate ran out of fuel"),
        Some(TrapCode::StackOverflow) => Verdict::none("the predicate called itself too deep"),
        _ => Verdict::none("the predicate trapped"),
    }
}

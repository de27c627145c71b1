//! The dependency rule of the house: who may use whom, read from the source itself.
//!
//! Every path that names another room (`use`, nested groups, inline `crate::`, `super::super::`) is an
//! edge, and an edge that is not in the table is refused. Pure rooms may not name a library that does
//! IO, and no file may outgrow its noun.

#[path = "rooms/edges.rs"]
mod edges;
#[path = "rooms/tokens.rs"]
mod tokens;

use std::fs;
use std::path::{Path, PathBuf};

use edges::{Found, find};
use tokens::tokens;

/// The lib as the binary and the doc tests name it.
const CRATE: &str = "earnest";
const MAX_LINES: usize = 600;

/// Room, and the rooms it may use: the drawing of `src/lib.rs`, spelled out.
const TABLE: &[(&str, &[&str])] = &[
    ("text", &[]),
    ("seal", &["text"]),
    ("verify", &["text"]),
    ("market", &["text", "seal"]),
    ("engine", &["text", "market", "seal", "verify"]),
    ("wire", &["text", "market", "seal", "verify"]),
    ("store", ADAPTER),
    ("files", &["text", "market", "seal", "verify", "engine", "wire"]),
    ("nostr", ADAPTER),
    ("lightning", ADAPTER),
    ("transfer", ADAPTER),
    ("keys", ADAPTER),
    ("relay", ADAPTER),
    ("config", &["text", "market"]),
    ("app", ASSEMBLY),
    ("sandbox", SANDBOX),
    ("sim", &["text", "market", "seal", "verify", "engine", "wire", "store", "files", "keys"]),
    ("rpc", &["text", "market", "seal", "verify", "engine", "wire"]),
    ("tui", FRONT),
    ("bot", &["text", "market", "engine"]),
    ("mcp", FRONT),
    ("cli", &["text", "market", "seal", "verify", "engine", "rpc", "config", "tui", "bot", "mcp"]),
    ("main", &["cli", "config"]),
    ("lib", &[]),
];
const ADAPTER: &[&str] = &["text", "market", "seal", "engine", "wire"];
const ASSEMBLY: &[&str] = &[
    "text",
    "market",
    "seal",
    "verify",
    "engine",
    "wire",
    "store",
    "files",
    "nostr",
    "lightning",
    "transfer",
    "keys",
    "config",
];
/// A party in the sandbox is the real assembly, so the sandbox stands on `app`; never the other way.
const SANDBOX: &[&str] = &[
    "text",
    "market",
    "seal",
    "verify",
    "engine",
    "wire",
    "store",
    "files",
    "nostr",
    "lightning",
    "transfer",
    "keys",
    "config",
    "app",
    "relay",
    "bot",
    "rpc",
];
const FRONT: &[&str] = &["text", "market", "seal", "verify", "engine", "rpc"];

/// Rooms that may call only what stands in the door of the other: `crate::app::X`, one segment deep.
const DOORS: &[(&str, &str)] =
    &[("cli", "app"), ("cli", "relay"), ("cli", "sandbox"), ("sandbox", "app"), ("rpc", "app")];

const PURE: &[&str] = &["text", "market", "seal", "verify"];
/// What a pure room may not name: the libraries that read a clock, a socket, a disk or a terminal.
const IMPURE: &[&str] = &[
    "tokio",
    "nostr",
    "nostr_sdk",
    "nostr_relay_pool",
    "nostr_lmdb",
    "ldk_node",
    "ratatui",
    "crossterm",
    "rusqlite",
    "iroh",
    "iroh_blobs",
    "axum",
];

/// Everything wrong with one file; `file` is its path below `src/`.
fn complaints(file: &str, source: &str) -> Vec<String> {
    let mut out = Vec::new();
    let lines = source.lines().count();
    if lines > MAX_LINES {
        out.push(format!("src/{file}:{lines}: a file is one noun, at most {MAX_LINES} lines"));
    }
    let module: Vec<String> = file
        .trim_end_matches(".rs")
        .split('/')
        .filter(|part| *part != "mod")
        .map(str::to_owned)
        .collect();
    let room = module[0].clone();
    let Some((_, allowed)) = TABLE.iter().find(|(name, _)| *name == room) else {
        out.push(format!("src/{file}:1: `{room}` is not a room; add it to the table in its place"));
        return out;
    };
    let root = room == "lib" || room == "main";
    let here = if root { Vec::new() } else { module };
    for (line, found) in find(&tokens(source), &here, CRATE) {
        let why = match found {
            Found::Path(path) => match refused(&room, allowed, &path) {
                Some(rule) => format!("{room} -> {} (`{}`): {rule}", path[0], path.join("::")),
                None => continue,
            },
            Found::Root(how) => {
                format!("{room} -> the whole crate (`{how}`): name the room that is meant")
            }
            Found::Extern(name) if PURE.contains(&&*room) && IMPURE.contains(&&*name) => {
                format!("{room} -> {name}: {room} is a pure room: no IO, clock or network in it")
            }
            // At the root a bare path leads into a room, and re-exporting would open a second door.
            Found::Extern(name) if room == "lib" && TABLE.iter().any(|(r, _)| *r == name) => {
                format!("lib -> {name}: lib declares the rooms and uses none")
            }
            Found::Extern(_) => continue,
            Found::Hidden(what) => format!("`{what}` brings in source that this test cannot place"),
        };
        out.push(format!("src/{file}:{line}: {why}"));
    }
    out
}

/// The rule that `path`, used from `room`, breaks.
fn refused(room: &str, allowed: &[&str], path: &[String]) -> Option<String> {
    let to = path[0].as_str();
    if to == room || allowed.contains(&to) {
        return None;
    }
    if DOORS.contains(&(room, to)) {
        // `app::run` is a door, `app::Opened::new` a type in it, `app::wiring::run` a back entrance.
        let typed = path.get(1).is_some_and(|s| s.starts_with(char::is_uppercase));
        let door = path.get(1).is_some_and(|s| s != "*") && (path.len() == 2 || typed);
        return (!door).then(|| format!("{room} calls the doors of {to} only: crate::{to}::X"));
    }
    if !TABLE.iter().any(|(name, _)| *name == to) {
        return Some(format!("`{to}` is not a room; nothing else lives at the root"));
    }
    Some(match allowed {
        [] => format!("{room} uses no other room"),
        some => format!("{room} may use {} and nothing else", some.join(", ")),
    })
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("src can be listed") {
        let path = entry.expect("src can be listed").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_room_keeps_to_the_rule() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    files.sort();
    assert!(files.len() > 10, "the source was not found");
    let mut wrong = Vec::new();
    for path in files {
        let file = path.strip_prefix(&src).unwrap().to_str().unwrap().replace('\\', "/");
        wrong.extend(complaints(&file, &fs::read_to_string(&path).unwrap()));
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn the_table_has_no_circle() {
    // Rooms can be put in an order in which each uses only earlier ones.
    let mut left: Vec<_> = TABLE.to_vec();
    let mut done: Vec<&str> = Vec::new();
    while !left.is_empty() {
        let before = left.len();
        left.retain(|(room, uses)| {
            let ready = uses.iter().all(|u| done.contains(u));
            if ready {
                done.push(room);
            }
            !ready
        });
        assert!(left.len() < before, "a circle among {left:?}");
    }
}

#[test]
fn a_wrong_edge_is_refused_however_it_is_written() {
    for (file, source, edge) in [
        ("text.rs", "use crate::market::Job;", "text -> market"),
        ("market/step.rs", "use crate::engine::Port;", "market -> engine"),
        ("seal.rs", "use crate::market;", "seal -> market"),
        ("market.rs", "use crate::verify::Check;", "market -> verify"),
        ("engine.rs", "use crate::store::Store;", "engine -> store"),
        ("engine/outbox.rs", "use crate::wire::Bytes;", "engine -> wire"),
        ("store.rs", "use crate::nostr::Pool;", "store -> nostr"),
        ("keys.rs", "use crate::config::Config;", "keys -> config"),
        ("nostr/pool.rs", "use crate::{text::Raw, keys::Phrase};", "nostr -> keys"),
        (
            "nostr.rs",
            "use crate::{engine::{ports, self}, wire,\n lightning::{a::b}};",
            ":2: nostr -> lightning",
        ),
        ("nostr.rs", "pub(crate) use ::earnest::store::Store as S;", "nostr -> store"),
        ("nostr.rs", "use crate::store as s;", "nostr -> store"),
        ("nostr.rs", "use crate::r#store::X;", "nostr -> store"),
        ("nostr.rs", "use crate :: /* so */ store\n :: X ;", "nostr -> store"),
        ("store.rs", "use super::nostr::Pool;", "store -> nostr"),
        ("store/migrate.rs", "use super::super::nostr::Pool;", "store -> nostr"),
        ("store/a/b.rs", "use self::super::super::super::keys;", "store -> keys"),
        ("store/mod.rs", "use super::nostr;", "store -> nostr"),
        ("store.rs", "mod tests { use super::super::sim::World; }", "store -> sim"),
        ("store.rs", "mod a { mod b { } fn f() { super::super::tui::draw() } }", "store -> tui"),
        ("store.rs", "fn f() -> crate::nostr::Pool { todo() }", "store -> nostr"),
        ("store.rs", "fn f(x: <crate::keys::K as T>::Out) {}", "store -> keys"),
        ("store.rs", "macro_rules! m { () => { $crate::app::run() } }", "store -> app"),
        ("store.rs", "fn f() { earnest::app::run() }", "store -> app"),
        ("store.rs", "use crate::*;", "the whole crate"),
        ("store.rs", "use crate as c;", "the whole crate"),
        ("store.rs", "use crate::{self as c};", "the whole crate"),
        ("store.rs", "use super::*;", "the whole crate"),
        ("store/a.rs", "use super::super as up;", "the whole crate"),
        ("store.rs", "use crate::Handle;", "`Handle` is not a room"),
        ("store.rs", "#[path = \"../nostr.rs\"] mod n;", "cannot place"),
        ("store.rs", "include!(\"nostr.rs\");", "cannot place"),
        ("lib.rs", "pub use store::Store;", "lib -> store"),
        ("lib.rs", "pub use crate::store::Store;", "lib -> store"),
        ("main.rs", "fn main() { earnest::store::open() }", "main -> store"),
        ("tui/screen/job.rs", "use crate::store::Store;", "tui -> store"),
        ("tui.rs", "use crate::cli::out;", "tui -> cli"),
        ("bot.rs", "use crate::app::run;", "bot -> app"),
        ("cli.rs", "use crate::nostr;", "cli -> nostr"),
        ("relay.rs", "use crate::nostr::Pool;", "relay -> nostr"),
        ("app.rs", "use crate::relay::Relay;", "app -> relay"),
        ("cli.rs", "use crate::relay::front::Front;", "the doors of relay only"),
        ("cli/verb/run.rs", "use crate::app::wiring::assemble;", "the doors of app only"),
        ("cli/verb/run.rs", "use crate::app::{run, wiring::assemble};", "the doors of app only"),
        ("cli/verb/run.rs", "use crate::sandbox;", "the doors of sandbox only"),
        ("cli/verb/run.rs", "use crate::sandbox::*;", "the doors of sandbox only"),
        ("sim.rs", "use crate::lightning::Node;", "sim -> lightning"),
        ("sim.rs", "use crate::sandbox::chain;", "sim -> sandbox"),
        ("app.rs", "use crate::sandbox::Relay;", "app -> sandbox"),
        ("sandbox.rs", "use crate::sim::World;", "sandbox -> sim"),
        ("files.rs", "use crate::store::Database;", "files -> store"),
        ("utils.rs", "", "`utils` is not a room"),
        ("config.rs", "use crate::engine;", "config -> engine"),
    ] {
        let said = complaints(file, source).join("\n");
        assert!(said.contains(edge) && said.starts_with("src/"), "{file}: {source}\n{said}");
    }
}

#[test]
fn a_pure_room_may_not_name_what_does_io() {
    for (file, source, name) in [
        ("market.rs", "use tokio::sync::mpsc;", "tokio"),
        ("market.rs", "use ::tokio::sync::mpsc;", "tokio"),
        ("market.rs", "use {serde::Serialize, nostr::Event};", "nostr"),
        ("market/job.rs", "fn f(e: nostr::Event) {}", "nostr"),
        ("market/job.rs", "fn f(e: ::nostr_sdk::Client) {}", "nostr_sdk"),
        ("seal.rs", "use ldk_node as node;", "ldk_node"),
        ("seal.rs", "extern crate rusqlite;", "rusqlite"),
        ("verify.rs", "#[tokio::test] fn f() {}", "tokio"),
        ("text.rs", "use ratatui;", "ratatui"),
        ("text/width.rs", "fn f() { let x = iroh::Endpoint::new(); }", "iroh"),
    ] {
        let said = complaints(file, source).join("\n");
        assert!(said.contains(&format!("-> {name}: ")), "{file}: {source}\n{said}");
    }
    assert!(complaints("nostr.rs", "use nostr_sdk::Client;").is_empty());
}

#[test]
fn what_is_allowed_and_what_only_looks_like_an_edge_passes() {
    for (file, source) in [
        ("market.rs", "use crate::text::Raw; use crate::{seal::Manifest, market::Job};"),
        ("market/step.rs", "use super::{job::Job, fact}; use super::super::text::Raw;"),
        ("market/job.rs", "mod tests { use super::*; use super::super::gig; }"),
        ("market.rs", "// use crate::store::X;\n/* crate::nostr /* crate::tui */ crate::app */"),
        ("market.rs", "//! See [`crate::store`].\n/// And [crate::nostr::Pool]\nfn f() {}"),
        ("market.rs", "const S: &str = \"use crate::store; \\\" crate::nostr::x\";"),
        ("market.rs", "const S: &str = r##\"crate::store::\"# tokio::\"##;"),
        ("market.rs", "const S: &[u8] = br\"tokio::x\\\"; const C: &std::ffi::CStr = c\"iroh::\";"),
        (
            "market.rs",
            "fn f<'a>(c: char) -> &'a str { if c == '\"' || c == '\\'' { \"tokio::\" } else { \"\" } }",
        ),
        ("market.rs", "fn f() { let nostr = 1; x.iroh.tokio(); y::nostr::z(); let _ = nostr; }"),
        ("market.rs", "pub(crate) fn f() {} pub(in crate::market) fn g() -> impl Sized + use<> {}"),
        ("store.rs", "use crate::engine::ports::Store; use crate::wire::limits;"),
        ("wire.rs", "use crate::{market, seal, text};"),
        ("sim.rs", "use crate::{store::Db, keys::Phrase, wire, engine};"),
        ("sandbox/world.rs", "use crate::app::App; use crate::files::JobFiles;"),
        ("cli/verb/run.rs", "use crate::app::run; use crate::sandbox::{Story, play};"),
        ("cli/verb/run.rs", "fn f() { crate::app::Opened::new(); crate::app::run::<u8>(); }"),
        ("cli.rs", "use crate::{config::Config, rpc, tui, bot, mcp, engine::Handle};"),
        ("main.rs", "fn main() { earnest::cli::main() }"),
        ("lib.rs", "pub mod app; pub mod text;"),
    ] {
        assert_eq!(complaints(file, source), [""; 0], "{file}: {source}");
    }
}

#[test]
fn a_file_that_outgrew_its_noun_is_refused() {
    let long = "//\n".repeat(MAX_LINES + 1);
    assert!(complaints("text.rs", &long)[0].starts_with("src/text.rs:601: "));
    assert!(complaints("text.rs", &long[3..]).is_empty());
}

#[test]
fn a_refusal_says_where_what_and_why() {
    assert_eq!(
        complaints("seal/key.rs", "\n\nuse crate::nostr::Pool;"),
        ["src/seal/key.rs:3: seal -> nostr (`nostr::Pool`): seal may use text and nothing else"]
    );
}

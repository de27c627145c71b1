//! Predicates that were made to hurt: none of them gets further than its cage, and each is over soon.

use std::time::{Duration, Instant};

use earnest::verify::{Check, Checker, Kind, MAX_MODULE, Predicate, Scope, Verdict};

use crate::{look, predicate, wasm};

/// A module whose `end` is this, and whose memory and more are these.
fn ending(end: &str, more: &str) -> String {
    format!(
        r#"(module (memory (export "memory") 2) {more}
           (func (export "input") (result i32) (i32.const 0))
           (func (export "feed") (param i32))
           (func (export "end") (result i32) {end}))"#
    )
}

#[expect(clippy::disallowed_methods, reason = "a test measures what it bounds")]
fn soon<T>(work: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let done = work();
    assert!(began.elapsed() < Duration::from_secs(60), "it took {:?}", began.elapsed());
    done
}

fn no_verdict(text: &str, fuel: u64) -> String {
    match soon(|| look(&predicate(text, fuel), b"work")) {
        Verdict::None { reason } => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_loop_without_end_ends_with_the_fuel() {
    let endless = ending("(loop (br 0)) (i32.const 0)", "");
    assert!(no_verdict(&endless, 20_000_000).contains("fuel"));
}

#[test]
fn recursion_without_end_is_no_verdict() {
    let deep =
        ending("(call $down)", "(func $down (result i32) (i32.add (call $down) (i32.const 1)))");
    assert!(no_verdict(&deep, 2_000_000_000).contains("deep"));
}

#[test]
fn memory_grows_to_its_limit_and_no_further() {
    let grow = ending(
        "(drop (memory.grow (i32.const 2)))
         (if (result i32) (i32.eq (memory.grow (i32.const 1)) (i32.const -1))
           (then (memory.size)) (else (i32.const -9)))",
        "",
    );
    // Two pages at first, four in all: two more are given, the fifth is not.
    let said = look(&predicate(&grow, 1_000_000), b"");
    assert!(matches!(said, Verdict::Fail { reason, .. } if reason.ends_with("number 4")));
    let greedy = ending("(i32.const 0)", "").replace("\"memory\") 2", "\"memory\") 5");
    assert!(Checker::new(&predicate(&greedy, 1_000_000)).is_err());
}

#[test]
fn traps_and_addresses_outside_are_no_verdict() {
    for end in
        ["unreachable", "(i32.div_u (i32.const 1) (i32.const 0))", "(i32.load (i32.const -4))"]
    {
        assert!(no_verdict(&ending(end, ""), 1_000_000).contains("trapped"), "{end}");
    }
    assert!(no_verdict(&ending("(i32.const -1)", ""), 1_000_000).contains("number -1"));
    let outside = ending("(i32.const 0)", "").replace("i32.const 0))\n", "i32.const -1))\n");
    assert!(no_verdict(&outside, 1_000_000).contains("outside"));
}

#[test]
fn what_could_reach_out_or_differ_is_refused() {
    let fine = ending("(i32.const 0)", "");
    assert!(Checker::new(&predicate(&fine, 1)).is_ok());
    for (why, text) in [
        (
            "an import",
            fine.replace("(module", "(module (import \"env\" \"now\" (func (result i64)))"),
        ),
        ("a start function", ending("(i32.const 0)", "(func $s) (start $s)")),
        ("floats", ending("(i32.trunc_sat_f64_s (f64.const nan))", "")),
        ("a float unused", ending("(i32.const 0)", "(func (result f32) (f32.const 0))")),
        ("two memories", ending("(i32.const 0)", "(memory 1)")),
        ("64-bit memory", fine.replace("\"memory\") 2", "\"memory\") i64 2")),
        ("no memory exported", fine.replace("\"memory\"", "\"mem\"")),
        ("no end", fine.replace("\"end\"", "\"fin\"")),
        ("another type", fine.replace("\"feed\") (param i32)", "\"feed\") (param i64)")),
    ] {
        assert!(Checker::new(&predicate(&text, 1_000_000)).is_err(), "{why}");
    }
}

#[test]
fn text_is_no_module_and_a_huge_one_is_refused_at_once() {
    let check = |module: Vec<u8>| Check {
        scope: Scope::Whole,
        kind: Kind::Wasm(Predicate { module, fuel: 1, pages: 1 }),
    };
    let text = ending("(i32.const 0)", "").into_bytes();
    assert!(Checker::new(&check(text)).is_err(), "the interpreter itself would take text");
    let mut huge = wasm(&ending("(i32.const 0)", ""));
    huge.resize(MAX_MODULE + 1, 0);
    assert!(soon(|| Checker::new(&check(huge))).is_err());
    // Many functions with many locals in few bytes.
    let locals = format!("(local {})", "i64 ".repeat(3000));
    let many = format!("(func {locals})").repeat(12);
    let module = wasm(&ending("(i32.const 0)", &many));
    soon(|| drop(Checker::new(&check(module))));
}

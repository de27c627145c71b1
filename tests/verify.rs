//! Checks: the same bytes, the same verdict; nothing that is fed to them breaks them or keeps them busy.

#![expect(clippy::unwrap_used, reason = "a test that unwraps wrongly fails")]

#[path = "verify/hostile.rs"]
mod hostile;

use earnest::verify::{
    BadCheck, Check, CheckHash, Checker, Column, Encoding, Format, Integers, Kind, Predicate,
    Range, Rules, Scope, Unit, Verdict, hash_of,
};
use proptest::prelude::*;

pub(crate) fn wasm(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

/// Says no, with the number of the first digit, where the input has one; counts on across blocks.
pub(crate) const NO_DIGITS: &str = r#"(module
  (memory (export "memory") 2)
  (global $found (mut i32) (i32.const 0))
  (func (export "input") (result i32) (i32.const 1024))
  (func (export "feed") (param $len i32) (local $i i32) (local $b i32)
    (block $done (loop $next
      (br_if $done (i32.ge_u (local.get $i) (local.get $len)))
      (local.set $b (i32.load8_u (i32.add (i32.const 1024) (local.get $i))))
      (if (i32.and (i32.ge_u (local.get $b) (i32.const 48)) (i32.le_u (local.get $b) (i32.const 57)))
        (then (global.set $found (i32.sub (local.get $b) (i32.const 47)))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br $next))))
  (func (export "end") (result i32) (global.get $found)))"#;

pub(crate) fn predicate(text: &str, fuel: u64) -> Check {
    let kind = Kind::Wasm(Predicate { module: wasm(text), fuel, pages: 4 });
    Check { scope: Scope::Chunk, kind }
}

fn schema(text: &str, unit: Unit) -> Check {
    Check { scope: Scope::Whole, kind: Kind::Schema { schema: text.into(), unit } }
}

fn rules(rules: Rules) -> Check {
    Check { scope: Scope::Whole, kind: Kind::Rules(Box::new(rules)) }
}

fn range(min: u64, max: u64) -> Option<Range> {
    Some(Range { min: Some(min), max: Some(max) })
}

pub(crate) fn look(check: &Check, bytes: &[u8]) -> Verdict {
    // By way of the body, as everybody does.
    let read = Check::from_json(&check.to_json()).unwrap();
    assert_eq!(read, *check);
    Checker::new(&read).unwrap().look(bytes)
}

fn place(verdict: Verdict) -> String {
    match verdict {
        Verdict::Fail { place, .. } => place,
        other => panic!("{other:?}"),
    }
}

fn samples() -> Vec<Check> {
    vec![
        Check { scope: Scope::Whole, kind: Kind::Hash(hash_of(b"work")) },
        schema(r#"{"type":"object","required":["label"]}"#, Unit::Line),
        schema(r#"{"type":"array","items":{"type":"integer"}}"#, Unit::Whole),
        rules(Rules {
            format: Some(Format::Csv),
            encoding: Some(Encoding::Utf8),
            rows: range(1, 4),
            columns: vec![Column {
                name: "id".into(),
                integer: Some(Integers { min: Some(0), max: None }),
                unique: true,
                ..Column::default()
            }],
            ..Rules::default()
        }),
        rules(Rules { format: Some(Format::Jsonl), rows: range(0, 9), ..Rules::default() }),
        rules(Rules { format: Some(Format::Image), width: range(1, 9), ..Rules::default() }),
        rules(Rules { encoding: Some(Encoding::Ascii), bytes: range(1, 99), ..Rules::default() }),
        predicate(NO_DIGITS, 1_000_000),
    ]
}

#[test]
fn a_check_has_one_spelling_and_is_named_by_it() {
    let check = Check { scope: Scope::Whole, kind: Kind::Hash(CheckHash([7; 32])) };
    let body = String::from_utf8(check.to_json()).unwrap();
    let hash = "07".repeat(32);
    assert_eq!(body, format!(r#"{{"hash":"{hash}","kind":"hash","scope":"whole","v":1}}"#));
    assert_eq!(check.hash().0, *blake3::hash(body.as_bytes()).as_bytes());
    for check in samples() {
        let body = check.to_json();
        assert_eq!(Check::from_json(&body), Ok(check.clone()));
        let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
        // serde_json's map is sorted, and sorted is what RFC 8785 asks for.
        assert_eq!(serde_json::to_vec(&value).unwrap(), body);
        let pretty = serde_json::to_vec_pretty(&value).unwrap();
        assert_eq!(Check::from_json(&pretty), Err(BadCheck::NotCanonical));
        assert_eq!(Check::from_any_json(&pretty), Ok(check));
    }
}

#[test]
fn what_is_not_known_is_refused_and_never_guessed() {
    let body = String::from_utf8(samples()[0].to_json()).unwrap();
    let code = |body: &str| Check::from_json(body.as_bytes()).unwrap_err().code();
    assert_eq!(code(&body.replace("\"v\":1", "\"v\":2")), "check.version");
    assert_eq!(code(&body.replace("\"kind\":\"hash\"", "\"kind\":\"vote\"")), "check.kind");
    assert_eq!(code(&body.replace("\"whole\"", "\"half\"")), "check.json");
    assert_eq!(code(&body.replace("\"v\":1", "\"unit\":\"line\",\"v\":1")), "check.fields");
    assert_eq!(code(&body.replace("\"v\":1", "\"v\":1,\"x\":1")), "check.json");
    assert_eq!(code(&" ".repeat(70_000)), "check.too-long");
    let wasm = String::from_utf8(predicate(NO_DIGITS, 9).to_json()).unwrap();
    assert_eq!(code(&wasm.replace("\"abi\":1", "\"abi\":2")), "check.wasm");
    for empty in [
        Rules::default(),
        Rules { rows: range(2, 1), format: Some(Format::Csv), ..Rules::default() },
        Rules { rows: range(1, 2), ..Rules::default() },
        Rules { width: range(1, 2), format: Some(Format::Lines), ..Rules::default() },
    ] {
        let body = rules(empty).to_json();
        assert_eq!(Check::from_json(&body).unwrap_err().code(), "check.rules");
    }
}

#[test]
fn exactly_these_bytes_or_not() {
    let check = &samples()[0];
    assert_eq!(look(check, b"work"), Verdict::Pass);
    assert!(look(check, b"Work").is_fail() && look(check, b"").is_fail());
}

#[test]
fn a_schema_looks_at_lines_or_at_the_whole() {
    let lines = schema(
        r##"{"$defs":{"l":{"enum":["cat","dog"]}},"type":"object","required":["label"],"properties":{"label":{"$ref":"#/$defs/l"}}}"##,
        Unit::Line,
    );
    assert_eq!(look(&lines, b"{\"label\":\"cat\"}\n\n{\"label\":\"dog\"}"), Verdict::Pass);
    assert_eq!(place(look(&lines, b"{\"label\":\"cat\"}\n{\"label\":\"owl\"}\n")), "line 2");
    assert_eq!(place(look(&lines, b"{\"label\":\"cat\"}\r\n{}")), "line 2");
    assert_eq!(place(look(&lines, b"cat")), "line 1");
    let whole = schema(r#"{"type":"array","items":{"type":"integer"}}"#, Unit::Whole);
    assert_eq!(look(&whole, b"[1,\n2]"), Verdict::Pass);
    assert!(look(&whole, b"[1,\"2\"]").is_fail() && look(&whole, b"").is_fail());
}

#[test]
fn a_schema_fetches_nothing_and_goes_round_in_no_circle() {
    let doubling = |n: u32| {
        let defs: Vec<String> = (0..n)
            .map(|i| {
                let next = format!("{{\"$ref\":\"#/$defs/d{}\"}}", i + 1);
                format!("\"d{i}\":{{\"allOf\":[{next},{next}]}}")
            })
            .collect();
        format!("{{\"$defs\":{{{},\"d{n}\":true}},\"$ref\":\"#/$defs/d0\"}}", defs.join(","))
    };
    assert!(Check::from_json(&schema(&doubling(4), Unit::Whole).to_json()).is_ok());
    for text in [
        r##"{"$ref":"https://example.com/s.json"}"##,
        r##"{"$ref":"file:///etc/passwd"}"##,
        r##"{"$ref":"#"}"##,
        r##"{"$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}}}"##,
        r##"{"$defs":{"a":{"items":{"$ref":"#/$defs/a"}}},"$ref":"#/$defs/a"}"##,
        r##"{"$id":"https://example.com/s"}"##,
        r##"{"$schema":"http://json-schema.org/draft-07/schema#"}"##,
        r##"{"unevaluatedProperties":false}"##,
        r##"{"type":"nothing"}"##,
        r##"{"pattern":"(a{1000}){1000}"}"##,
        r##"{"pattern":"(?=a)b"}"##,
        "not json",
        &doubling(30),
        &"[".repeat(40_000),
    ] {
        let refused = Check::from_json(&schema(text, Unit::Whole).to_json());
        assert_eq!(refused.unwrap_err().code(), "check.schema", "{text:.100}");
    }
}

#[test]
fn rules_count_rows_and_judge_fields() {
    let csv = rules(Rules {
        format: Some(Format::Csv),
        rows: range(2, 2),
        columns: vec![
            Column {
                name: "id".into(),
                integer: Some(Integers { min: Some(1), max: Some(9) }),
                unique: true,
                ..Column::default()
            },
            Column {
                name: "label".into(),
                oneof: vec!["cat".into(), "a \"big\" dog".into()],
                length: range(1, 20),
                ..Column::default()
            },
        ],
        ..Rules::default()
    });
    let good = b"label,id,note\r\ncat,1,\"x,\r\ny\"\r\n\r\n\"a \"\"big\"\" dog\",2,\r\n";
    assert_eq!(look(&csv, good), Verdict::Pass);
    for (text, at) in [
        ("label,id\ncat,1\ncat,1\n", "row 2"),
        ("label,id\ncat,10\ncat,1\n", "row 1"),
        ("label,id\ncat,1\ncat,02\n", "row 2"),
        ("label,id\nowl,1\ncat,2\n", "row 1"),
        ("label,id\ncat\n", "row 1"),
        ("label\ncat\n", "row 0"),
        ("", "row 0"),
        ("label,id\ncat,1\n", ""),
        ("label,id\nca\"t,1\n", "row 1"),
        ("label,id\n\"cat,1\n", "row 1"),
    ] {
        assert_eq!(place(look(&csv, text.as_bytes())), at, "{text}");
    }
    let jsonl = rules(Rules {
        format: Some(Format::Jsonl),
        columns: vec![Column { name: "n".into(), unique: true, ..Column::default() }],
        ..Rules::default()
    });
    assert_eq!(look(&jsonl, b"{\"n\":1}\n{\"n\":\"2\"}\n"), Verdict::Pass);
    assert_eq!(place(look(&jsonl, b"{\"n\":1}\n{\"n\":1}\n")), "line 2");
    assert_eq!(place(look(&jsonl, b"{\"n\":1}\n{}\n")), "line 2");
    assert_eq!(place(look(&jsonl, b"[1]\n")), "line 1");
    let utf8 = rules(Rules { encoding: Some(Encoding::Utf8), ..Rules::default() });
    assert_eq!(look(&utf8, "na\u{ef}ve \u{1f431}".as_bytes()), Verdict::Pass);
    assert_eq!(place(look(&utf8, b"ab\xff")), "byte 2");
    assert_eq!(place(look(&utf8, b"ab\xe2\x82")), "byte 2");
}

#[test]
fn a_predicate_sees_everything_in_blocks_of_its_own() {
    let check = predicate(NO_DIGITS, 200_000_000);
    let mut work = vec![b'x'; 200_000];
    assert_eq!(look(&check, &work), Verdict::Pass);
    work[150_000] = b'4';
    let checker = Checker::new(&check).unwrap();
    let whole = checker.look(&work);
    assert!(matches!(&whole, Verdict::Fail { reason, .. } if reason.ends_with("number 5")));
    let (mut used, mut verdicts) = (Vec::new(), Vec::new());
    for size in [1, 1000, 65_536, 65_537, 200_000] {
        let mut run = checker.begin();
        work.chunks(size).for_each(|piece| run.feed(piece));
        used.push(run.fuel_used());
        verdicts.push(run.end());
    }
    assert!(verdicts.iter().all(|verdict| *verdict == whole));
    assert!(used.iter().all(|fuel| *fuel == used[0]), "{used:?}");
}

#[test]
fn the_fuel_schedule_is_the_one_that_the_version_pins() {
    // A schedule that changes makes other verdicts of old checks: that needs another version.
    let checker = Checker::new(&predicate(NO_DIGITS, 20_000_000)).unwrap();
    let mut run = checker.begin();
    run.feed(&[b'x'; 65_536]);
    assert_eq!(run.fuel_used(), PINNED_FUEL);
}

/// What one block costs [`NO_DIGITS`].
const PINNED_FUEL: u64 = 1_507_354;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_looked_at_the_verdict_is_one_and_the_same(
        bytes in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..3000),
            "[\\[\\]{}\":,a-c0-9\\n\\r ]{0,300}".prop_map(String::into_bytes),
            "(id,[a-c]\n)([0-9\",\r\n]{0,60})".prop_map(String::into_bytes),
        ],
        cut in 1usize..700,
    ) {
        for check in samples() {
            let checker = Checker::new(&check).unwrap();
            let whole = checker.look(&bytes);
            let mut run = checker.begin();
            bytes.chunks(cut).for_each(|piece| run.feed(piece));
            prop_assert_eq!(run.end(), whole);
        }
    }

    #[test]
    fn whatever_comes_as_a_check_is_read_or_refused(
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
        which in 0usize..8, at in any::<usize>(), byte: u8,
    ) {
        let _ = Check::from_json(&bytes);
        let mut body = samples()[which].to_json();
        let at = at % body.len();
        body[at] = byte;
        if let Ok(check) = Check::from_json(&body) {
            let _ = Checker::new(&check).unwrap().look(b"id,a\n1,2\n");
        }
    }

    #[test]
    fn whatever_comes_as_a_module_is_compiled_or_refused(at in any::<usize>(), byte: u8, more in any::<usize>()) {
        let mut module = wasm(NO_DIGITS);
        let (at, more) = (at % module.len(), more % module.len());
        module[at] = byte;
        module[more] = module[more].wrapping_add(1);
        let check = Check {
            scope: Scope::Chunk,
            kind: Kind::Wasm(Predicate { module, fuel: 100_000, pages: 4 }),
        };
        if let Ok(checker) = Checker::new(&check) {
            prop_assert_eq!(checker.look(b"12ab"), checker.look(b"12ab"));
        }
    }
}

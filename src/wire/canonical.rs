//! Canonical JSON (RFC 8785) and a parser that refuses what has two readings.
//!
//! We sign and hash JSON, so a text must have one spelling and one meaning: keys sorted by UTF-16 code
//! units, no white space, integers below 2^53 and no fractions, no key twice.

use std::fmt::{self, Write as _};

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Number, Value};

use super::limits::{DEPTH, INTEGER};
use super::rejected::{Code, Rejected};

/// Writes a value as RFC 8785 has it. Refuses fractions and integers of 2^53 and above: they have no
/// business in this protocol (money is a decimal string).
pub fn canonical(value: &Value) -> Result<String, Rejected> {
    let mut out = String::new();
    write_value(value, &mut out, 0)?;
    Ok(out)
}

/// Writes anything that serde can serialise.
pub fn to_canonical<T: Serialize>(what: &T) -> Result<String, Rejected> {
    let value = serde_json::to_value(what)
        .map_err(|_| Rejected::new(Code::NotCanonical, "this has no JSON form"))?;
    canonical(&value)
}

/// Reads JSON of at most `limit` bytes. Refuses, before anything is built from it: too many bytes; and
/// while reading: a key twice, nesting beyond [`DEPTH`], fractions, exponents, integers of 2^53 and
/// above in size, anything after the value.
pub fn parse(text: &str, limit: usize) -> Result<Value, Rejected> {
    if text.len() > limit {
        return Err(Rejected::too_large("this JSON", text.len(), limit));
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = Strict { depth: 0 }.deserialize(&mut reader).and_then(|v| reader.end().map(|()| v));
    // serde's own message may quote the stranger; only where it stopped is ours to repeat.
    value.map_err(|e| {
        let at = format!("line {} column {}", e.line(), e.column());
        Rejected::new(Code::NotCanonical, format!("this is not JSON with one meaning, at {at}"))
    })
}

/// Reads a structure from JSON that is canonical byte for byte: what is read writes the same bytes
/// again, so an unknown field anywhere inside is refused whatever serde thinks of it.
pub(crate) fn read_canonical<T>(text: &str, limit: usize, what: &str) -> Result<T, Rejected>
where
    T: Serialize + DeserializeOwned,
{
    let value = parse(text, limit)?;
    if canonical(&value)? != text {
        let sentence = format!("{what} is not in canonical form (RFC 8785)");
        return Err(Rejected::new(Code::NotCanonical, sentence));
    }
    let bad = |why: &str| Rejected::new(Code::BadField, format!("{what} has {why}"));
    let read: T = serde_json::from_value(value)
        .map_err(|_| bad("a field that is missing, unknown or of a wrong form"))?;
    if to_canonical(&read)? != text {
        return Err(bad("a field that this version does not know"));
    }
    Ok(read)
}

fn write_value(value: &Value, out: &mut String, depth: usize) -> Result<(), Rejected> {
    if depth > DEPTH {
        let sentence = format!("JSON nested deeper than {DEPTH} levels");
        return Err(Rejected::new(Code::NotCanonical, sentence));
    }
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => write_number(number, out)?,
        Value::String(text) => write_string(text, out),
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_value(item, out, depth + 1)?;
            }
            out.push(']');
        }
        Value::Object(map) => {
            // Sorted here, whatever order the map keeps: a feature of serde_json must not change ids.
            let mut fields: Vec<(&String, &Value)> = map.iter().collect();
            fields.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            out.push('{');
            for (i, (key, item)) in fields.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_string(key, out);
                out.push(':');
                write_value(item, out, depth + 1)?;
            }
            out.push('}');
        }
    }
    Ok(())
}

fn write_number(number: &Number, out: &mut String) -> Result<(), Rejected> {
    let whole = number.as_i64().filter(|n| n.unsigned_abs() < INTEGER).ok_or_else(|| {
        Rejected::new(Code::NotCanonical, "a number that is not a whole number below 2^53")
    })?;
    out.push_str(&whole.to_string());
    Ok(())
}

fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{9}' => out.push_str("\\t"),
            '\u{a}' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\u{d}' => out.push_str("\\r"),
            c if c < '\u{20}' => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Builds a [`Value`] and refuses on the way.
#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
}

impl Strict {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth >= DEPTH {
            Err(E::custom("depth"))
        } else {
            Ok(Self { depth: self.depth + 1 })
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON with one meaning")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }
    fn visit_u64<E: serde::de::Error>(self, v: u64) -> Result<Value, E> {
        if v < INTEGER { Ok(Value::from(v)) } else { Err(E::custom("integer")) }
    }
    fn visit_i64<E: serde::de::Error>(self, v: i64) -> Result<Value, E> {
        if v.unsigned_abs() < INTEGER { Ok(Value::from(v)) } else { Err(E::custom("integer")) }
    }
    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(Value::String(v.to_owned()))
    }
    fn visit_string<E>(self, v: String) -> Result<Value, E> {
        Ok(Value::String(v))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(inner)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut map = Map::new();
        while let Some(key) = fields.next_key::<String>()? {
            if map.contains_key(&key) {
                return Err(A::Error::custom("key twice"));
            }
            let item = fields.next_value_seed(inner)?;
            map.insert(key, item);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            (-(INTEGER as i64) + 1..INTEGER as i64).prop_map(Value::from),
            any::<String>().prop_map(Value::String),
        ];
        leaf.prop_recursive(5, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
                prop::collection::btree_map(any::<String>(), inner, 0..6)
                    .prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_reads_the_same(value in value()) {
            let text = canonical(&value).unwrap();
            let read = parse(&text, usize::MAX).unwrap();
            prop_assert_eq!(&read, &value);
            prop_assert_eq!(canonical(&read).unwrap(), text);
        }

        #[test]
        fn whatever_comes_is_read_or_refused(text in ".{0,200}") {
            let _ = parse(&text, 1000);
        }

        #[test]
        fn near_json_is_read_or_refused(text in r#"[\[\]{}",:0-9eE.\-+tfn\\u ]{0,60}"#) {
            if let Ok(value) = parse(&text, 1000) {
                prop_assert!(canonical(&value).is_ok());
            }
        }
    }

    #[test]
    fn the_sorting_example_of_rfc_8785() {
        let text = "{\"\u{20ac}\":1,\"\\r\":2,\"\u{fb33}\":3,\"1\":4,\"\u{1f600}\":5,\"\u{80}\":6,\"\u{f6}\":7}";
        let written = canonical(&parse(text, 1000).unwrap()).unwrap();
        assert_eq!(
            written,
            "{\"\\r\":2,\"1\":4,\"\u{80}\":6,\"\u{f6}\":7,\"\u{20ac}\":1,\"\u{1f600}\":5,\"\u{fb33}\":3}"
        );
    }

    #[test]
    fn two_readings_are_refused() {
        for text in [
            "{\"a\":1,\"a\":1}",
            "{\"a\":1,\"\\u0061\":2}",
            "{\"x\":{\"a\":1,\"a\":2}}",
            "1.0",
            "1e3",
            "-0",
            "9007199254740992",
            "-9007199254740992",
            "18446744073709551616",
            "01",
            "NaN",
            "1 2",
            "\"\\ud800\"",
            "",
            "[1,]",
        ] {
            assert_eq!(parse(text, 1000).unwrap_err().code, Code::NotCanonical, "{text}");
        }
        assert_eq!(parse("9007199254740991", 100).unwrap(), Value::from(9_007_199_254_740_991u64));
    }

    #[test]
    fn depth_and_size_are_bounded() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(parse(&nested(DEPTH), 1000).is_ok());
        assert!(parse(&nested(DEPTH + 1), 1000).is_err());
        assert!(parse(&nested(50_000), 200_000).is_err());
        assert_eq!(parse("[1,2,3]", 6).unwrap_err().code, Code::TooLarge);
    }

    #[test]
    fn a_refusal_does_not_quote_the_stranger() {
        let said = parse("{\"a\": \u{202e}evil}", 100).unwrap_err().to_string();
        assert!(!said.contains("evil") && !said.contains('\u{202e}'), "{said}");
        #[derive(Debug, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct None {}
        let said = read_canonical::<None>("{\"evil\":1}", 100, "this").unwrap_err();
        assert!(!said.to_string().contains("evil"), "{said}");
    }
}

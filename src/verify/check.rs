//! A pinned check: what stands in its bytes, and nothing else.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use thiserror::Error;

use super::rules::{self, Rules};
use super::schema;
use super::wasm::{self, ABI, Predicate};

/// The version of everything in this room: forms, limits, interpreter, fuel schedule. Another is refused.
pub const VERSION: u32 = 1;
/// The longest body of a check, in bytes: a WASM module of [`wasm::MAX_MODULE`] in base64 fits.
pub const MAX_CHECK: usize = 64 * 1024;

/// The name of a check: plain BLAKE3 of its body, so that a body may travel as a file. 64 lowercase hex
/// digits in JSON.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CheckHash(pub [u8; 32]);

/// The name of the check that these bytes would be.
pub fn hash_of(body: &[u8]) -> CheckHash {
    CheckHash(*blake3::hash(body).as_bytes())
}

impl fmt::Display for CheckHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for CheckHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for CheckHash {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&hex::encode(self.0))
    }
}

impl<'de> Deserialize<'de> for CheckHash {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let mut bytes = [0; 32];
        let lower = !text.bytes().any(|b| b.is_ascii_uppercase());
        match hex::decode_to_slice(&text, &mut bytes) {
            Ok(()) if lower => Ok(Self(bytes)),
            _ => Err(D::Error::custom("expected 64 lowercase hex digits")),
        }
    }
}

/// What a check looks at, each time anew.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Every record that the delivery's cut makes, by itself: what an audit opens and a proof can show.
    Chunk,
    /// Every file of the delivery, by itself.
    File,
    /// The whole delivery.
    Whole,
}

/// Whether a schema describes the whole of the bytes or each line of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Each line is a document (JSON Lines); empty lines are none.
    Line,
    /// The bytes are one document.
    Whole,
}

/// What a check asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The bytes have exactly this plain BLAKE3.
    Hash(CheckHash),
    /// The bytes are JSON that fits a schema (draft 2020-12, local references only).
    Schema {
        /// The schema, as JSON text.
        schema: String,
        /// What it describes.
        unit: Unit,
    },
    /// Declared rules.
    Rules(Box<Rules>),
    /// A WASM module says.
    Wasm(Predicate),
}

/// One pinned check: canonical JSON of at most [`MAX_CHECK`] bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What it looks at.
    pub scope: Scope,
    /// What it asks.
    pub kind: Kind,
}

/// Why bytes are no check of this version.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadCheck {
    /// Over [`MAX_CHECK`].
    #[error("the check is longer than {MAX_CHECK} bytes")]
    TooLong,
    /// Not the JSON of a check.
    #[error("not a check: {0}")]
    Json(String),
    /// The right values in another spelling than the canonical one.
    #[error(
        "the check is not in canonical form: keys in order, no white space, no field it need not have"
    )]
    NotCanonical,
    /// Made for a program newer than this one, or for none.
    #[error("check version {0} is unknown here; a newer earnest may read it")]
    Version(u32),
    /// A kind that this version does not know.
    #[error("this kind of check is unknown here; a newer earnest may know it")]
    Kind,
    /// A field that the kind needs is missing, or one that it does not have is there.
    #[error("the check has not the fields of its kind")]
    Fields,
    /// Its schema cannot be used.
    #[error("the schema cannot be used: {0}")]
    Schema(String),
    /// Its rules contradict themselves or are none.
    #[error("the rules cannot be used: {0}")]
    Rules(String),
    /// Its module cannot be used.
    #[error("the WASM module cannot be used: {0}")]
    Wasm(String),
}

impl BadCheck {
    /// A name that never changes, for machines.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLong => "check.too-long",
            Self::Json(_) => "check.json",
            Self::NotCanonical => "check.not-canonical",
            Self::Version(_) => "check.version",
            Self::Kind => "check.kind",
            Self::Fields => "check.fields",
            Self::Schema(_) => "check.schema",
            Self::Rules(_) => "check.rules",
            Self::Wasm(_) => "check.wasm",
        }
    }
}

/// The JSON of every kind. Fields stand in the order of their names, so that what serde writes is
/// canonical (RFC 8785).
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    #[serde(skip_serializing_if = "Option::is_none")]
    abi: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fuel: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hash: Option<CheckHash>,
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    module: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pages: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rules: Option<Box<Rules>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<String>,
    scope: Scope,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<Unit>,
    v: u32,
}

impl Form {
    fn empty(kind: &str, scope: Scope) -> Self {
        Self {
            abi: None,
            fuel: None,
            hash: None,
            kind: kind.into(),
            module: None,
            pages: None,
            rules: None,
            schema: None,
            scope,
            unit: None,
            v: VERSION,
        }
    }
}

impl Check {
    /// Reads a canonical body, and nothing but that. Everything in it is looked at, so that a check that
    /// reads can be compiled and run.
    pub fn from_json(body: &[u8]) -> Result<Self, BadCheck> {
        let check = Self::read(body)?;
        if check.to_json() == body { Ok(check) } else { Err(BadCheck::NotCanonical) }
    }

    /// Reads a check as a person may write it, in any order and spacing: what [`Check::to_json`] then
    /// writes is the canonical body.
    pub fn from_any_json(body: &[u8]) -> Result<Self, BadCheck> {
        let check = Self::read(body)?;
        if check.to_json().len() > MAX_CHECK { Err(BadCheck::TooLong) } else { Ok(check) }
    }

    fn read(body: &[u8]) -> Result<Self, BadCheck> {
        /// What tells versions and kinds apart, whatever else stands there.
        #[derive(Deserialize)]
        struct Head {
            kind: String,
            v: u32,
        }
        if body.len() > MAX_CHECK {
            return Err(BadCheck::TooLong);
        }
        let json = |error: serde_json::Error| {
            BadCheck::Json(format!("line {} column {}", error.line(), error.column()))
        };
        let head: Head = serde_json::from_slice(body).map_err(json)?;
        if head.v != VERSION {
            return Err(BadCheck::Version(head.v));
        }
        if !["hash", "schema", "rules", "wasm"].contains(&head.kind.as_str()) {
            return Err(BadCheck::Kind);
        }
        let form: Form = serde_json::from_slice(body).map_err(json)?;
        let check = Self::of(form)?;
        match &check.kind {
            Kind::Hash(_) => {}
            Kind::Schema { schema, .. } => drop(schema::compile(schema)?),
            Kind::Rules(rules) => rules::sound(rules)?,
            Kind::Wasm(predicate) => drop(wasm::compile(predicate)?),
        }
        Ok(check)
    }

    fn of(form: Form) -> Result<Self, BadCheck> {
        let Form { abi, fuel, hash, kind, module, pages, rules, schema, scope, unit, v: _ } = form;
        let wasm = (abi, fuel, module, pages);
        let kind = match (kind.as_str(), hash, wasm, rules, schema, unit) {
            ("hash", Some(hash), (None, None, None, None), None, None, None) => Kind::Hash(hash),
            ("schema", None, (None, None, None, None), None, Some(schema), Some(unit)) => {
                Kind::Schema { schema, unit }
            }
            ("rules", None, (None, None, None, None), Some(rules), None, None) => {
                Kind::Rules(rules)
            }
            (
                "wasm",
                None,
                (Some(abi), Some(fuel), Some(module), Some(pages)),
                None,
                None,
                None,
            ) => {
                if abi != ABI {
                    return Err(BadCheck::Wasm("its ABI is unknown here".into()));
                }
                let not_base64 = |_| BadCheck::Wasm("the module is not base64".into());
                let module = STANDARD.decode(module).map_err(not_base64)?;
                Kind::Wasm(Predicate { module, fuel, pages })
            }
            _ => return Err(BadCheck::Fields),
        };
        Ok(Self { scope, kind })
    }

    /// The canonical body.
    pub fn to_json(&self) -> Vec<u8> {
        let mut form = Form::empty(self.word(), self.scope);
        match &self.kind {
            Kind::Hash(hash) => form.hash = Some(*hash),
            Kind::Schema { schema, unit } => {
                form.schema = Some(schema.clone());
                form.unit = Some(*unit);
            }
            Kind::Rules(rules) => form.rules = Some(rules.clone()),
            Kind::Wasm(predicate) => {
                form.abi = Some(ABI);
                form.fuel = Some(predicate.fuel);
                form.module = Some(STANDARD.encode(&predicate.module));
                form.pages = Some(predicate.pages);
            }
        }
        // Strings, numbers and lists of them: there is nothing in it that JSON cannot say.
        serde_json::to_vec(&form).unwrap_or_default()
    }

    /// Its name.
    pub fn hash(&self) -> CheckHash {
        hash_of(&self.to_json())
    }

    /// The kind, in one word.
    pub fn word(&self) -> &'static str {
        match self.kind {
            Kind::Hash(_) => "hash",
            Kind::Schema { .. } => "schema",
            Kind::Rules(_) => "rules",
            Kind::Wasm(_) => "wasm",
        }
    }
}

//! A question with answers to choose from: a check by which the delivery is one JSON object that names one
//! of them, and may say why.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::check::{BadCheck, Check, Kind, Scope, Unit};

/// The most answers to choose from.
pub const MOST_ANSWERS: usize = 32;
/// The longest answer, in bytes.
pub const LONGEST_ANSWER: usize = 200;
/// The longest reason, in characters.
const LONGEST_WHY: usize = 4_000;

/// Answers, in the order in which they are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choices(Vec<String>);

/// A delivery that answers.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    answer: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    why: String,
}

impl Choices {
    /// Two answers at least, all different, none blank.
    pub fn new(answers: Vec<String>) -> Option<Self> {
        let sound = |n: usize, answer: &String| {
            !answer.trim().is_empty()
                && answer.len() <= LONGEST_ANSWER
                && !answer.chars().any(char::is_control)
                && !answers[..n].contains(answer)
        };
        let all = answers.iter().enumerate().all(|(n, answer)| sound(n, answer));
        (all && (2..=MOST_ANSWERS).contains(&answers.len())).then_some(Self(answers))
    }

    /// The answers.
    pub fn answers(&self) -> &[String] {
        &self.0
    }

    /// The check that a delivery answers: a schema like any other, so that every worker's program runs it.
    ///
    /// # Errors
    /// Never for what [`Choices::new`] takes; the check says.
    pub fn check(&self) -> Result<Check, BadCheck> {
        let schema = json!({
            "additionalProperties": false,
            "properties": {
                "answer": {"enum": self.0},
                "why": {"maxLength": LONGEST_WHY, "type": "string"},
            },
            "required": ["answer"],
            "type": "object",
        });
        let kind = Kind::Schema { schema: schema.to_string(), unit: Unit::Whole };
        Check::from_any_json(&Check { scope: Scope::Whole, kind }.to_json())
    }

    /// The choices that a check leaves, if it is of this form: any schema of an object with the property
    /// `answer` as an `enum` of texts, and nothing required besides but `why`.
    pub fn of(body: &[u8]) -> Option<Self> {
        // It is asked of every job that is shown, and a schema takes long to read: most are no choice.
        if !body.windows(6).any(|word| word == b"answer") {
            return None;
        }
        let check = Check::from_json(body).ok()?;
        let Kind::Schema { schema, unit: Unit::Whole } = check.kind else { return None };
        let schema: Value = serde_json::from_str(&schema).ok()?;
        let required = schema["required"].as_array()?;
        if !required.iter().all(|name| name == "answer" || name == "why") {
            return None;
        }
        let answers = schema["properties"]["answer"]["enum"].as_array()?;
        let answers = answers.iter().map(|answer| answer.as_str().map(str::to_owned));
        Self::new(answers.collect::<Option<_>>()?)
    }

    /// The delivery that gives the n-th answer, from 0.
    pub fn document(&self, n: usize, why: &str) -> Option<String> {
        let why = why.chars().take(LONGEST_WHY).collect();
        let document = Document { answer: self.0.get(n)?.clone(), why };
        serde_json::to_string(&document).ok().map(|text| text + "\n")
    }

    /// Which answer a delivery gives, and why.
    pub fn read(&self, document: &[u8]) -> Option<(usize, String)> {
        let document: Document = serde_json::from_slice(document).ok()?;
        let n = self.0.iter().position(|answer| *answer == document.answer)?;
        Some((n, document.why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::{Checker, Verdict};

    fn choices() -> Choices {
        Choices::new(vec!["yes, it is right".into(), "no \"never\"".into()]).unwrap()
    }

    #[test]
    fn what_is_asked_is_read_from_the_check_alone() {
        let check = choices().check().unwrap();
        assert_eq!(Choices::of(&check.to_json()), Some(choices()));
        for (n, why) in [(0, ""), (1, "The third sentence\nis invented. \u{1f600}")] {
            let document = choices().document(n, why).unwrap();
            assert_eq!(choices().read(document.as_bytes()), Some((n, why.to_owned())));
            let checker = Checker::new(&check).unwrap();
            assert_eq!(checker.look(document.as_bytes()), Verdict::Pass, "{document}");
        }
        assert_eq!(choices().document(2, ""), None);
    }

    #[test]
    fn what_answers_nothing_is_no_answer_and_does_not_pass() {
        let checker = Checker::new(&choices().check().unwrap()).unwrap();
        for wrong in
            ["", "yes", "{}", "{\"answer\":\"maybe\"}", "{\"answer\":1}", "[]", "{\"answer\":"]
        {
            assert_eq!(choices().read(wrong.as_bytes()), None, "{wrong}");
            assert_ne!(checker.look(wrong.as_bytes()), Verdict::Pass, "{wrong}");
        }
    }

    #[test]
    fn one_answer_is_no_choice_and_a_blank_or_double_one_none() {
        for wrong in [&[][..], &["a"], &["a", " "], &["a", "a"], &["a", "b\n"]] {
            assert_eq!(Choices::new(wrong.iter().map(|a| (*a).to_owned()).collect()), None);
        }
        assert_eq!(Choices::new((0..33).map(|n| n.to_string()).collect()), None);
        let hash = format!(
            "{{\"hash\":\"{}\",\"kind\":\"hash\",\"scope\":\"whole\",\"v\":1}}",
            "07".repeat(32)
        );
        assert_eq!(Choices::of(hash.as_bytes()), None);
    }
}

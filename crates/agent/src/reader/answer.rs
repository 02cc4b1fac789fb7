//! The forms of answer that a reader may give: few possible values, counted in bits, so that whoever speaks through the
//! text that it reads can say next to nothing. Pure.

use serde::Deserialize;
use serde_json::{Value, json};

/// The most values of a choice, and of a set.
const MAX_VALUES: usize = 64;
const MAX_SET: usize = 24;
/// The most characters of one value.
const MAX_VALUE: usize = 200;
/// The most names in a list of which one is picked, and the most characters of one.
const MAX_NAMES: usize = 64;
const MAX_NAME: usize = 64;
/// The first and the last year of a date.
const YEARS: (i64, i64) = (1900, 2199);
/// How many days that is, rounded up.
const DAYS: u64 = 300 * 366;

/// What the parent wants to know. Every value in it comes from the parent.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum Form {
    /// Yes or no.
    Bool,
    /// One of these.
    Enum {
        /// At least one; all different.
        values: Vec<String>,
    },
    /// Those of these that apply.
    Set {
        /// At least one; all different.
        values: Vec<String>,
    },
    /// A whole number within bounds.
    Int {
        /// The least.
        min: i64,
        /// The greatest.
        max: i64,
    },
    /// A day.
    Date,
    /// One of the names that a tool lists, which the parent does not see.
    Name,
    /// A text that the parent does not see.
    Handle,
}

impl Form {
    /// Refuses a form that cannot be answered or counted; the text goes back to the model.
    pub(crate) fn check(&self) -> Result<(), String> {
        let values = |values: &[String], most: usize| {
            let distinct: std::collections::BTreeSet<&String> = values.iter().collect();
            if values.is_empty() || values.len() > most || distinct.len() != values.len() {
                return Err(format!("`values` must be 1 to {most} different texts"));
            }
            let is_long = values.iter().any(|value| value.chars().count() > MAX_VALUE);
            if is_long { Err(format!("a value has at most {MAX_VALUE} characters")) } else { Ok(()) }
        };
        match self {
            Self::Bool | Self::Date | Self::Name | Self::Handle => Ok(()),
            Self::Enum { values: given } => values(given, MAX_VALUES),
            Self::Set { values: given } => values(given, MAX_SET),
            Self::Int { min, max } if min > max => Err("`min` is greater than `max`".to_owned()),
            Self::Int { .. } => Ok(()),
        }
    }

    /// How much an answer can tell at most, in bits. That there is no answer, or none that fits, are two more outcomes.
    pub(crate) fn bits(&self) -> u32 {
        let outcomes = match self {
            Self::Handle => return 0,
            Self::Bool => 2,
            Self::Enum { values } => values.len() as u128,
            Self::Set { values } => 1_u128 << values.len().min(MAX_SET),
            Self::Int { min, max } => u128::from(max.abs_diff(*min)) + 1,
            Self::Date => u128::from(DAYS),
            Self::Name => MAX_NAMES as u128,
        };
        let outcomes = outcomes + 2;
        u128::BITS - (outcomes - 1).leading_zeros()
    }

    /// What the reader is told about the form of its answer.
    pub(crate) fn instruction(&self) -> String {
        let list = |values: &[String]| Value::from(values.to_vec()).to_string();
        let form = match self {
            Self::Bool => "true or false".to_owned(),
            Self::Enum { values } => format!("one of {}", list(values)),
            Self::Set { values } => format!("a list of those of {} that apply", list(values)),
            Self::Int { min, max } => format!("a whole number from {min} to {max}"),
            Self::Date => "a day as \"YYYY-MM-DD\"".to_owned(),
            Self::Name => return "Answer with one of the names, exactly as it stands in the text.".to_owned(),
            Self::Handle => return "Answer in plain text, with nothing but what was asked for.".to_owned(),
        };
        format!("Answer with JSON alone: {{\"answer\": X}}, where X is {form}, or null if the text does not say it.")
    }

    /// The value of an answer that fits; null where the text does not say it. None for anything else.
    pub(crate) fn value(&self, answer: &str) -> Option<Value> {
        let parsed: Answered = serde_json::from_str(unfenced(answer)).ok()?;
        let value = parsed.answer;
        if value.is_null() {
            return Some(value);
        }
        match self {
            Self::Name | Self::Handle => None,
            Self::Bool => value.as_bool().map(Value::from),
            Self::Enum { values } => values.iter().find(|known| value == known.as_str()).map(|known| json!(known)),
            Self::Set { values } => {
                let given = value.as_array()?;
                let fits = given.iter().all(|one| values.iter().any(|known| one == known.as_str()));
                // In the parent's order and once each: neither may tell anything.
                let chosen = values.iter().filter(|known| given.iter().any(|one| one == known.as_str()));
                fits.then(|| chosen.cloned().collect::<Vec<_>>().into())
            }
            Self::Int { min, max } => value.as_i64().filter(|number| (min..=max).contains(&number)).map(Value::from),
            Self::Date => value.as_str().and_then(date).map(Value::from),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answered {
    answer: Value,
}

/// The name in a list that an answer picks: a line of it, without the mark of an item, or what stands behind the list's
/// own heading on its first line. None for what is not in the list, and for a list that is too long to be told by few bits.
pub(super) fn picked(list: &str, answer: &str) -> Option<String> {
    let lines: Vec<&str> = list.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let item = |line: &str| line.strip_prefix("- ").unwrap_or(line).trim().to_owned();
    let headed = lines.first().and_then(|line| line.split_once(": ")).map(|(_, name)| name.trim().to_owned());
    let answer = answer.trim();
    let is_name = !answer.is_empty() && answer.chars().count() <= MAX_NAME && !answer.chars().any(char::is_control);
    let stands = lines.iter().map(|line| item(line)).chain(headed).any(|name| name == answer);
    (is_name && stands && lines.len() <= MAX_NAMES).then(|| answer.to_owned())
}

/// The answer without the fence that models like to put around JSON.
fn unfenced(answer: &str) -> &str {
    let text = answer.trim();
    let inner =
        text.strip_prefix("```json").or_else(|| text.strip_prefix("```")).and_then(|text| text.strip_suffix("```"));
    inner.unwrap_or(text).trim()
}

/// A day that exists, in its one form.
fn date(text: &str) -> Option<String> {
    let mut parts = text.split('-').map(|part| (part.len(), part.parse::<i64>()));
    let (Some((4, Ok(year))), Some((2, Ok(month))), Some((2, Ok(day))), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    let fits = (YEARS.0..=YEARS.1).contains(&year) && (1..=days).contains(&day);
    fits.then(|| format!("{year:04}-{month:02}-{day:02}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(value: Value) -> Form {
        serde_json::from_value(value).expect("the form is valid")
    }

    #[test]
    fn bits_are_counted_with_the_two_ways_of_not_answering() {
        for (value, bits) in [
            (json!({"type": "bool"}), 2),
            (json!({"type": "enum", "values": ["a", "b"]}), 2),
            (json!({"type": "enum", "values": ["a", "b", "c"]}), 3),
            (json!({"type": "set", "values": ["a", "b", "c"]}), 4),
            (json!({"type": "int", "min": 0, "max": 253}), 8),
            (json!({"type": "int", "min": i64::MIN, "max": i64::MAX}), 65),
            (json!({"type": "date"}), 17),
            (json!({"type": "name"}), 7),
            (json!({"type": "handle"}), 0),
        ] {
            assert_eq!(form(value.clone()).bits(), bits, "{value}");
        }
    }

    #[test]
    fn only_values_of_the_form_come_through() {
        let cases = [
            (json!({"type": "bool"}), r#"{"answer": true}"#, Some(json!(true))),
            (json!({"type": "bool"}), "```json\n{\"answer\": false}\n```", Some(json!(false))),
            (json!({"type": "bool"}), r#"{"answer": null}"#, Some(json!(null))),
            (json!({"type": "bool"}), "true", None),
            (json!({"type": "bool"}), r#"{"answer": "true"}"#, None),
            (json!({"type": "bool"}), r#"{"answer": true, "note": "send it to eve"}"#, None),
            (json!({"type": "bool"}), r#"Yes. {"answer": true}"#, None),
            (json!({"type": "enum", "values": ["a", "b"]}), r#"{"answer": "b"}"#, Some(json!("b"))),
            (json!({"type": "enum", "values": ["a", "b"]}), r#"{"answer": "B"}"#, None),
            (json!({"type": "set", "values": ["a", "b"]}), r#"{"answer": ["b", "a", "b"]}"#, Some(json!(["a", "b"]))),
            (json!({"type": "set", "values": ["a", "b"]}), r#"{"answer": ["c"]}"#, None),
            (json!({"type": "int", "min": 1, "max": 9}), r#"{"answer": 9}"#, Some(json!(9))),
            (json!({"type": "int", "min": 1, "max": 9}), r#"{"answer": 10}"#, None),
            (json!({"type": "int", "min": 1, "max": 9}), r#"{"answer": 1.5}"#, None),
            (json!({"type": "date"}), r#"{"answer": "2024-02-29"}"#, Some(json!("2024-02-29"))),
            (json!({"type": "date"}), r#"{"answer": "2023-02-29"}"#, None),
            (json!({"type": "date"}), r#"{"answer": "2024-2-29"}"#, None),
            (json!({"type": "date"}), r#"{"answer": "+024-02-29"}"#, Some(json!("0024-02-29")).filter(|_| false)),
            (json!({"type": "handle"}), r#"{"answer": "x"}"#, None),
        ];
        for (value, answer, expected) in cases {
            assert_eq!(form(value).value(answer), expected, "{answer}");
        }
    }

    #[test]
    fn only_a_name_of_the_list_is_picked() {
        let list = "Hotels: City Hub\nGood Night\n- random\n";
        for name in ["City Hub", "Good Night", " random\n"] {
            assert_eq!(picked(list, name), Some(name.trim().to_owned()), "{name}");
        }
        let long = "x".repeat(MAX_NAME + 1);
        for other in ["Good", "", "Hotels", "good night", "evil@example.com", "Good Night\nrandom", &long] {
            assert_eq!(picked(&format!("{list}{long}\n"), other), None, "{other}");
        }
        assert_eq!(picked(&"a\n".repeat(MAX_NAMES + 1), "a"), None);
    }

    #[test]
    fn forms_without_an_end_are_refused() {
        for value in [
            json!({"type": "enum", "values": []}),
            json!({"type": "enum", "values": ["a", "a"]}),
            json!({"type": "set", "values": (0..25).map(|n| n.to_string()).collect::<Vec<_>>()}),
            json!({"type": "int", "min": 2, "max": 1}),
        ] {
            assert!(form(value.clone()).check().is_err(), "{value}");
        }
        assert!(serde_json::from_value::<Form>(json!({"type": "text"})).is_err());
    }
}

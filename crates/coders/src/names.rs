//! Names that a program gives: of conversations, turns, messages, tools' uses, permissions. They are kept in mind, stored with a
//! job and repeated in answers, so they have a bound, and nothing in them acts.

use serde_json::Value;

/// The most bytes of a name.
pub(crate) const MAX_NAME: usize = 256;

/// Whether a name can be kept.
pub(crate) fn is_fit(name: &str) -> bool {
    name.len() <= MAX_NAME && !name.chars().any(char::is_control)
}

/// Why a line cannot be taken, if one of the names in it is none. `places` are JSON pointers to them; a `*` stands for each
/// part of a list. What is missing there is no name and does no harm.
pub(crate) fn unfit(line: &Value, places: &[&str]) -> Option<String> {
    places.iter().find_map(|place| at(line, place).map(|why| format!("it gave a name {why} ({place})")))
}

fn at(value: &Value, place: &str) -> Option<String> {
    let Some(rest) = place.strip_prefix('/') else { return wrong(value) };
    let (key, end) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if key == "*" {
        return value.as_array()?.iter().find_map(|part| at(part, end));
    }
    at(value.get(key)?, end)
}

fn wrong(name: &Value) -> Option<String> {
    match name {
        Value::String(name) if name.len() > MAX_NAME => Some(format!("of {} bytes", name.len())),
        Value::String(name) if !is_fit(name) => Some("with control characters".to_owned()),
        Value::Array(_) | Value::Object(_) => Some("that is no text".to_owned()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_found_where_they_lie() {
        let places = ["/id", "/parts/*/id", "/deep/er"];
        let long = "x".repeat(MAX_NAME + 1);
        for (line, why) in [
            (json!({"id": "a", "parts": [{"id": 7}, {}, 3], "deep": {"er": null}}), None),
            (json!({"id": "x".repeat(MAX_NAME), "else": long}), None),
            (json!({"parts": "x", "deep": [1]}), None),
            (json!({"id": long}), Some("it gave a name of 257 bytes (/id)")),
            (
                json!({"parts": [{"id": "a"}, {"id": "b\n"}]}),
                Some("it gave a name with control characters (/parts/*/id)"),
            ),
            (json!({"deep": {"er": {"a": 1}}}), Some("it gave a name that is no text (/deep/er)")),
        ] {
            assert_eq!(unfit(&line, &places).as_deref(), why, "{line}");
        }
    }
}

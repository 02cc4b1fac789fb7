//! The lines of the bridge, both ways.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;
use serde_json::{Value, json};

use super::events::Event;
use crate::supervisor::MAX_LINE;

/// How long a request may take that does not say.
const USUAL: u64 = 60;
/// The longest time that one may ask for: a turn may be answered only when it is over.
const LONGEST: u64 = 24 * 3600;

/// What a line wants.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Wanted {
    /// A request.
    Ask(Asked),
    /// The end of one.
    Cancel(String),
}

/// A request.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// By which its answer is told from others.
    pub id: String,
    /// Such as `GET`.
    pub method: String,
    /// With the query.
    pub path: String,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    #[serde(default)]
    pub body: Value,
    /// Whether the answer is a stream of events.
    #[serde(default)]
    pub stream: bool,
    /// When it is given up, in seconds.
    #[serde(default)]
    pub timeout_s: Option<u64>,
}

impl Asked {
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_s.unwrap_or(USUAL).clamp(1, LONGEST))
    }
}

/// Reads a line. The error is a line too.
pub(super) fn read(line: &str) -> Result<Wanted, String> {
    let broken = |id: &Value, why: String| json!({ "id": id, "error": why }).to_string();
    let value: Value =
        serde_json::from_str(line).map_err(|error| broken(&Value::Null, format!("the line is no JSON: {error}")))?;
    if let Some(Value::String(id)) = value.get("cancel") {
        return Ok(Wanted::Cancel(id.clone()));
    }
    let id = value.get("id").cloned().unwrap_or_default();
    let asked: Asked =
        serde_json::from_value(value).map_err(|error| broken(&id, format!("the line is no request: {error}")))?;
    Ok(Wanted::Ask(asked))
}

pub(super) fn failed(id: &str, why: &str) -> String {
    json!({ "id": id, "error": why }).to_string()
}

pub(super) fn answered(id: &str, status: u16, body: &[u8]) -> String {
    let line = json!({ "id": id, "status": status, "body": lenient(&String::from_utf8_lossy(body)) }).to_string();
    if line.len() > MAX_LINE { failed(id, "the answer is too large for a line") } else { line }
}

pub(super) fn opened(id: &str, status: u16) -> String {
    json!({ "id": id, "status": status }).to_string()
}

pub(super) fn closed(id: &str, why: &str) -> String {
    json!({ "id": id, "closed": why }).to_string()
}

pub(super) fn event(id: &str, event: &Event) -> String {
    let skipped = || json!({ "id": id, "skipped": "an event is too large for a line" }).to_string();
    let line = match event {
        Event::TooLarge => return skipped(),
        Event::Whole { name: None, data } => json!({ "id": id, "event": lenient(data) }),
        Event::Whole { name: Some(name), data } => json!({ "id": id, "event": lenient(data), "name": name }),
    };
    let line = line.to_string();
    if line.len() > MAX_LINE { skipped() } else { line }
}

/// JSON where it can be read as such, a text where not.
fn lenient(text: &str) -> Value {
    if text.trim().is_empty() {
        return Value::Null;
    }
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_or_answered_with_what_is_wrong() {
        let asked = read(r#"{"id":"7","method":"GET","path":"/x?y=1"}"#);
        assert!(matches!(asked, Ok(Wanted::Ask(Asked { stream: false, body: Value::Null, .. }))), "{asked:?}");
        assert_eq!(read(r#"{"cancel":"7"}"#), Ok(Wanted::Cancel("7".to_owned())));
        for (line, id) in [("nonsense", "null"), ("[]", "null"), (r#"{"id":"9","method":5}"#, "\"9\"")] {
            let error = read(line).err().unwrap_or_default();
            assert!(error.ends_with(&format!("\"id\":{id}}}")) || error.contains(&format!("\"id\":{id},")), "{error}");
        }
    }

    #[test]
    fn what_does_not_fit_a_line_says_so() {
        // Each of these bytes takes six in JSON.
        let bytes = vec![1_u8; MAX_LINE / 4];
        assert!(answered("1", 200, &bytes).contains("too large"));
        let data = String::from_utf8_lossy(&bytes).into_owned();
        assert!(event("1", &Event::Whole { name: None, data }).contains("skipped"));
        assert_eq!(answered("1", 204, b""), r#"{"body":null,"id":"1","status":204}"#);
        assert_eq!(answered("1", 500, b"oops"), r#"{"body":"oops","id":"1","status":500}"#);
    }
}

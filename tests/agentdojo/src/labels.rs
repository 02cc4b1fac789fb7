//! What the benchmark's tools are: the table of `labels.toml`, and the effect of one call by it.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context, Result};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use types::{Effect, Label, Sink};

/// By suite, then by tool.
pub type Table = BTreeMap<String, BTreeMap<String, Kind>>;

/// By suite, then by the number of a user task: the words by which its prompt hands the planning to what is read.
pub type Planless = BTreeMap<String, BTreeMap<String, String>>;

/// What a tool is.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kind {
    /// Where a call goes.
    pub sink: Sink,
    /// Where it goes when nobody is named.
    pub alone: Option<Sink>,
    /// The arguments that say who receives it.
    #[serde(default)]
    pub destinations: Vec<String>,
    /// The arguments that are sent.
    #[serde(default)]
    pub payload: Vec<String>,
    /// The owner's own, unseen by others, and to be taken back.
    #[serde(default)]
    pub reversible: bool,
    /// Gives a list of names and nothing else.
    #[serde(default)]
    pub directory: bool,
    /// The label of what comes back.
    pub result: ResultLabel,
    /// Why all this is so.
    #[expect(dead_code, reason = "written for who reads the table; demanded for every tool")]
    pub why: String,
}

/// Labels by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResultLabel {
    Clean,
    Owner,
    Foreign,
    Unknown,
}

impl ResultLabel {
    /// The label.
    pub fn label(self) -> Label {
        match self {
            Self::Clean => Label::CLEAN,
            Self::Owner => Label::OWNER,
            Self::Foreign => Label::FOREIGN,
            Self::Unknown => Label::UNKNOWN,
        }
    }
}

/// Reads the table.
pub fn read(directory: &Path) -> Result<Table> {
    parsed(directory, "labels.toml")
}

/// Reads which tasks cannot be planned.
pub fn read_planless(directory: &Path) -> Result<Planless> {
    parsed(directory, "plans.toml")
}

fn parsed<T: DeserializeOwned>(directory: &Path, name: &str) -> Result<T> {
    let path = directory.join(name);
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    toml::from_str(&text).with_context(|| format!("read {}", path.display()))
}

impl Kind {
    /// What a call with these arguments would do.
    pub fn effect(&self, tool: &str, input: &Value) -> Effect {
        let destinations: Vec<String> = self.destinations.iter().flat_map(|name| texts(&input[name])).collect();
        let sink = match self.alone {
            Some(alone) if destinations.is_empty() => alone,
            Some(_) | None => self.sink,
        };
        let payload: Vec<String> = self.payload.iter().flat_map(|name| texts(&input[name])).collect();
        Effect {
            sink,
            read_only: matches!(sink, Sink::Compute | Sink::Fetch),
            // With others involved it cannot be taken back, whatever the tool is without them.
            reversible: self.reversible && destinations.is_empty(),
            destinations,
            payload: (!payload.is_empty()).then(|| payload.join("\n")),
            summary: format!("{tool}: {input}"),
            count: 1,
        }
    }
}

/// The texts of an argument: itself, or the items of the list.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Null => Vec::new(),
        Value::String(text) => vec![text.clone()],
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => vec![value.to_string()],
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_with_participants_is_sent_and_one_without_is_a_reminder() {
        let table = read(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap_or_default();
        let event = &table["workspace"]["create_calendar_event"];
        let alone = event.effect("create_calendar_event", &json!({ "title": "Lunch" }));
        assert_eq!((alone.sink, alone.reversible), (Sink::Persist, true));
        let together = event.effect("create_calendar_event", &json!({ "title": "Lunch", "participants": ["a@b.c"] }));
        assert_eq!((together.sink, together.reversible), (Sink::Send, false));
        assert_eq!(together.destinations, ["a@b.c"]);
    }
}

//! Describing tools to a model in as few characters as possible: every request pays for them.

use serde_json::{Map, Value, json};
use types::{Effect, Sink, ToolSpec};

/// One argument: its name, its JSON schema, and whether it may be left out.
pub(crate) struct Field(pub &'static str, pub Value, pub Presence);

/// Whether an argument must be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    Required,
    Optional,
}

pub(crate) fn text() -> Value {
    json!({"type": "string"})
}

pub(crate) fn number() -> Value {
    json!({"type": "integer"})
}

pub(crate) fn flag() -> Value {
    json!({"type": "boolean"})
}

/// Puts a description together.
pub(crate) fn spec(name: &str, description: &str, fields: Vec<Field>) -> ToolSpec {
    let required: Vec<&str> =
        fields.iter().filter(|field| field.2 == Presence::Required).map(|field| field.0).collect();
    let mut schema = json!({"type": "object", "additionalProperties": false});
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    let properties: Map<String, Value> = fields.into_iter().map(|field| (field.0.to_owned(), field.1)).collect();
    schema["properties"] = Value::Object(properties);
    ToolSpec { name: name.to_owned(), description: description.to_owned(), input_schema: schema }
}

/// The effect of looking at something in the workspace or the store.
pub(crate) fn looking(summary: String) -> Effect {
    Effect {
        sink: Sink::Compute,
        read_only: true,
        destinations: Vec::new(),
        reversible: false,
        payload: None,
        summary,
        count: 1,
    }
}

/// The effect of changing one thing in the workspace.
pub(crate) fn changing(summary: String) -> Effect {
    Effect {
        sink: Sink::WorkspaceWrite,
        read_only: false,
        destinations: Vec::new(),
        reversible: false,
        payload: None,
        summary,
        count: 1,
    }
}

//! The part of JSON Schema that Gemini takes. Other keywords are left out, and some said otherwise: what comes out allows at least
//! what the schema allows, and calls are checked against the whole schema when they are made. Pure, and stable.

use serde_json::{Map, Value, json};

/// The deepest schema that is read; below, everything is allowed.
const MAX_DEPTH: usize = 64;
/// Keywords that are taken as they are. <https://ai.google.dev/api/generate-content#GenerationConfig>, `responseJsonSchema`.
const PLAIN: [&str; 11] = [
    "$id",
    "$anchor",
    "type",
    "title",
    "description",
    "required",
    "minItems",
    "maxItems",
    "minimum",
    "maximum",
    "propertyOrdering",
];
/// The forms of texts that are taken. <https://ai.google.dev/gemini-api/docs/structured-output>
const FORMATS: [&str; 3] = ["date-time", "date", "time"];

/// The schema in the keywords that Gemini takes.
pub(super) fn subset(schema: &Value) -> Value {
    at_depth(schema, 0)
}

fn at_depth(schema: &Value, depth: usize) -> Value {
    let mut out = Map::new();
    let (Some(fields), true) = (schema.as_object(), depth < MAX_DEPTH) else { return Value::Object(out) };
    let within = |schema: &Value| at_depth(schema, depth + 1);
    for (key, value) in fields {
        match key.as_str() {
            plain if PLAIN.contains(&plain) => put(&mut out, plain, value.clone()),
            "format" if value.as_str().is_some_and(|format| FORMATS.contains(&format)) => {
                put(&mut out, "format", value.clone());
            }
            "$ref" => put(&mut out, "$ref", reference(value)),
            "items" if value.is_object() => put(&mut out, "items", within(value)),
            "additionalProperties" if value.is_boolean() => put(&mut out, key, value.clone()),
            "additionalProperties" => put(&mut out, key, within(value)),
            "prefixItems" | "anyOf" | "oneOf" => put(&mut out, key, list(value, within)),
            "properties" | "$defs" => put(&mut out, key, table(value, within)),
            "definitions" => put(&mut out, "$defs", table(value, within)),
            "enum" if value.as_array().is_some_and(|values| values.iter().all(is_listable)) => {
                put(&mut out, "enum", value.clone());
            }
            "const" if is_listable(value) => put(&mut out, "enum", json!([value])),
            _ => {}
        }
    }
    bound(&mut out, fields, "exclusiveMinimum", "minimum", 1);
    bound(&mut out, fields, "exclusiveMaximum", "maximum", -1);
    if let Some([only]) = fields.get("allOf").and_then(Value::as_array).map(Vec::as_slice)
        && let Value::Object(inner) = within(only)
    {
        for (key, value) in inner {
            out.entry(key).or_insert(value);
        }
    }
    if out.contains_key("$ref") {
        out.retain(|key, _| key.starts_with('$'));
    }
    Value::Object(out)
}

fn put(out: &mut Map<String, Value>, key: &str, value: Value) {
    out.insert(key.to_owned(), value);
}

/// A place inside of the schema; older schemas keep theirs under another name.
fn reference(value: &Value) -> Value {
    match value.as_str().and_then(|text| text.strip_prefix("#/definitions/")) {
        Some(name) => json!(format!("#/$defs/{name}")),
        None => value.clone(),
    }
}

fn list(value: &Value, each: impl Fn(&Value) -> Value) -> Value {
    value.as_array().into_iter().flatten().map(each).collect()
}

fn table(value: &Value, each: impl Fn(&Value) -> Value) -> Value {
    let fields = value.as_object().into_iter().flatten();
    Value::Object(fields.map(|(name, schema)| (name.clone(), each(schema))).collect())
}

/// The values that a list of allowed ones may have.
fn is_listable(value: &Value) -> bool {
    value.is_string() || value.is_number()
}

/// A bound that excludes its number, as one that includes the next: exact for whole numbers, a little wider for others.
fn bound(out: &mut Map<String, Value>, fields: &Map<String, Value>, from: &str, to: &str, step: i64) {
    let Some(limit) = fields.get(from).filter(|limit| limit.is_number()) else { return };
    let whole = fields.get("type").is_some_and(|kind| kind == "integer");
    let next = limit.as_i64().filter(|_| whole).and_then(|limit| limit.checked_add(step));
    out.entry(to).or_insert_with(|| next.map_or_else(|| limit.clone(), |next| json!(next)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(given: Value, expected: Value) {
        assert_eq!(subset(&given), expected, "{given}");
        assert_eq!(subset(&expected), expected, "what is taken stays as it is");
    }

    #[test]
    fn what_is_taken_stays() {
        let whole = json!({
            "type": "object",
            "description": "d",
            "properties": {
                "default": {"type": ["string", "null"], "format": "date-time", "enum": ["a", "b"]},
                "list": {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 1, "maxItems": 3},
                "either": {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/node"}]},
                "map": {"type": "object", "additionalProperties": {"type": "number"}},
            },
            "$defs": {"node": {"type": "object", "additionalProperties": false, "properties": {}}},
            "required": ["list"],
        });
        check(whole.clone(), whole);
    }

    #[test]
    fn the_rest_is_left_out_or_said_otherwise() {
        check(json!({"$schema": "s", "type": "string", "pattern": "^a", "default": "a"}), json!({"type": "string"}));
        check(json!({"type": "string", "format": "uri", "minLength": 2}), json!({"type": "string"}));
        check(json!({"const": "a"}), json!({"enum": ["a"]}));
        check(json!({"enum": [true, null]}), json!({}));
        check(json!({"type": "integer", "exclusiveMinimum": 0}), json!({"type": "integer", "minimum": 1}));
        check(json!({"type": "integer", "exclusiveMaximum": 9}), json!({"type": "integer", "maximum": 8}));
        check(json!({"type": "number", "exclusiveMinimum": 0.5}), json!({"type": "number", "minimum": 0.5}));
        check(json!({"exclusiveMinimum": true, "minimum": 3}), json!({"minimum": 3}));
        check(
            json!({"properties": {"x": true, "pattern": {"pattern": "x"}}}),
            json!({"properties": {"x": {}, "pattern": {}}}),
        );
        check(json!({"$ref": "#/definitions/a", "title": "t"}), json!({"$ref": "#/$defs/a"}));
        check(json!({"definitions": {"a": {"not": {}}}}), json!({"$defs": {"a": {}}}));
        check(json!({"allOf": [{"$ref": "#/$defs/a"}], "title": "t"}), json!({"$ref": "#/$defs/a"}));
        check(json!({"allOf": [{"type": "string"}, {"minLength": 1}], "title": "t"}), json!({"title": "t"}));
        check(json!("nonsense"), json!({}));
    }

    #[test]
    fn depth_is_bounded() {
        let mut schema = json!({"type": "string"});
        for _ in 0..100 {
            schema = json!({"items": schema});
        }
        assert!(subset(&schema).to_string().len() < schema.to_string().len());
    }
}

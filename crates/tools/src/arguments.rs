//! Reading a model's arguments strictly. What does not fit is told to the model with the fields that there are.

use std::path::{Component, Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::Value;
use types::{InvalidInput, unseen::is_unseen};

/// Where the sandbox shows the workspace. Models tend to give whole paths.
const MOUNT: &str = "/workspace";

/// Parses `input` into `T`, which must deny unknown fields. `fields` lists them for the model, optional ones with `?`.
pub(crate) fn parse<T: DeserializeOwned>(input: &Value, fields: &str) -> Result<T, InvalidInput> {
    match input {
        Value::Object(_) => T::deserialize(input)
            .map_err(|error| InvalidInput(format!("the arguments do not fit: {error}; the fields are: {fields}"))),
        Value::String(_) => Err(InvalidInput(format!(
            "the arguments were not valid JSON, perhaps cut off or wrongly escaped; send one JSON object with the \
             fields: {fields}"
        ))),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
            Err(InvalidInput(format!("the arguments must be a JSON object with the fields: {fields}")))
        }
    }
}

/// A path relative to the workspace: whole paths under `/workspace` are shortened, others refused. `.` becomes the
/// empty path, which is the workspace itself. `..` stays and is resolved by the kernel, which keeps it inside.
pub(crate) fn workspace_path(text: &str) -> Result<PathBuf, InvalidInput> {
    let path = Path::new(text);
    let relative = match path.strip_prefix(MOUNT) {
        Ok(inside) => inside,
        Err(_) if path.is_absolute() => {
            return Err(InvalidInput(format!(
                "`{}` is outside the workspace; use a path relative to it or under {MOUNT}",
                one_line(text, 200)
            )));
        }
        Err(_) => path,
    };
    Ok(relative.components().filter(|part| *part != Component::CurDir).collect())
}

/// A path of a file, which the workspace itself is not.
pub(crate) fn file_path(text: &str) -> Result<PathBuf, InvalidInput> {
    let path = workspace_path(text)?;
    if path.as_os_str().is_empty() {
        return Err(InvalidInput("`path` must name a file in the workspace".to_owned()));
    }
    Ok(path)
}

/// Text on one line, control characters escaped, cut to `most` characters.
pub(crate) fn one_line(text: &str, most: usize) -> String {
    let mut out = String::new();
    for (index, character) in text.chars().enumerate() {
        if index == most {
            out.push('…');
            break;
        }
        // Characters that reorder text could make a summary read as another command than it is.
        if is_unseen(character) {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    out
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Example {
        path: String,
    }

    fn refusal(input: &Value) -> String {
        parse::<Example>(input, "path").unwrap_err().0
    }

    #[test]
    fn misfits_are_told_with_the_fields() {
        assert_eq!(parse::<Example>(&json!({"path": "a"}), "path").unwrap().path, "a");
        assert!(refusal(&json!({"path": "a", "mode": 1})).contains("unknown field `mode`"));
        assert!(refusal(&json!({})).contains("missing field `path`"));
        assert!(refusal(&json!({"path": 1})).contains("invalid type"));
        assert!(refusal(&json!("{\"path\": \"a")).contains("not valid JSON"));
        assert!(refusal(&json!(["a"])).contains("must be a JSON object"));
        for input in [json!({}), json!(1), json!("x"), json!({"x": 1})] {
            assert!(refusal(&input).ends_with("fields are: path") || refusal(&input).ends_with("fields: path"));
        }
    }

    #[test]
    fn paths_are_made_relative_to_the_workspace() {
        let check = |text: &str, path: &str| assert_eq!(workspace_path(text).unwrap(), Path::new(path), "{text}");
        check("src/main.rs", "src/main.rs");
        check("/workspace/src/main.rs", "src/main.rs");
        check("/workspace", "");
        check("/workspace/", "");
        check("./a/./b", "a/b");
        check(".", "");
        check("../x", "../x");
        for outside in ["/etc/passwd", "/workspaces/a", "/"] {
            assert!(workspace_path(outside).is_err(), "{outside}");
        }
        assert!(file_path(".").is_err());
    }

    #[test]
    fn summaries_stay_on_one_line_and_in_order() {
        assert_eq!(one_line("a\nb\u{1b}[0m\u{202e}c", 50), "a\\nb\\u{1b}[0m\\u{202e}c");
        assert_eq!(one_line("a\u{e0041}\u{ad}\u{61c}b", 50), "a\\u{e0041}\\u{ad}\\u{61c}b");
        assert_eq!(one_line("abcdef", 3), "abc…");
    }
}

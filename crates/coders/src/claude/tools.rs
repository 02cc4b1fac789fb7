//! Claude Code's tools in our words: what a use does, in a line and for our gate.

use serde_json::Value;

use crate::{
    Action, TAIL,
    border::MAX_PATH,
    text::{self, SUMMARY},
};

/// What kind of thing a tool does.
pub(super) fn action(tool: &str, input: &Value) -> Action {
    let text = |key: &str| input[key].as_str().unwrap_or_default().to_owned();
    match tool {
        "Bash" => Action::Command { script: text("command") },
        "Edit" | "Write" | "MultiEdit" => Action::Write { paths: vec![text("file_path")] },
        "NotebookEdit" => Action::Write { paths: vec![text("notebook_path")] },
        "Read" => Action::Read { paths: vec![text("file_path")] },
        "Glob" | "Grep" => Action::Read { paths: vec![input["path"].as_str().unwrap_or(".").to_owned()] },
        "WebFetch" => Action::Fetch { target: text("url") },
        "WebSearch" => Action::Fetch { target: text("query") },
        _ => Action::Other { arguments: input.to_string() },
    }
}

/// The file that a successful use has changed.
pub(super) fn changed(tool: &str, input: &Value) -> Option<String> {
    match action(tool, input) {
        Action::Write { paths } => {
            let path = paths.into_iter().next().filter(|path| !path.is_empty())?;
            Some(text::head(&path, MAX_PATH).to_owned())
        }
        Action::Command { .. } | Action::Read { .. } | Action::Fetch { .. } | Action::Other { .. } => None,
    }
}

/// A use in a line.
pub(super) fn summary(tool: &str, input: &Value) -> String {
    let said = match tool {
        "Glob" | "Grep" => input["pattern"].as_str().unwrap_or_default().to_owned(),
        "TaskCreate" => input["subject"].as_str().unwrap_or_default().to_owned(),
        "Agent" | "Task" | "Skill" => input["description"].as_str().unwrap_or_default().to_owned(),
        _ => match action(tool, input) {
            Action::Command { script } => script,
            Action::Write { paths } | Action::Read { paths } => paths.concat(),
            Action::Fetch { target } => target,
            Action::Other { arguments } => arguments,
        },
    };
    text::head(said.lines().next().unwrap_or_default(), SUMMARY).to_owned()
}

/// The end of a tool's result, which is a text or a list of blocks.
pub(super) fn tail(content: &Value) -> String {
    let text = match content {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => {
            let texts: Vec<&str> = blocks.iter().filter_map(|block| block["text"].as_str()).collect();
            texts.join("\n")
        }
        _ => String::new(),
    };
    text::end(&text, TAIL).to_owned()
}

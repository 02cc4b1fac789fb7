//! `edit`: an exact replacement in a file.

use std::{path::PathBuf, sync::Arc};

use policy::Grant;
use serde::Deserialize;
use serde_json::Value;
use types::{BoxFuture, Effect, InvalidInput, Tool, ToolContext, ToolOutput, ToolSpec};

use crate::{
    arguments::{file_path, one_line, parse},
    reach::{Reach, blocking},
    replace::{Occurrences, replace},
    spec::{Field, Presence::*, changing, flag, spec, text},
};

/// Larger files are left to exec.
const MAX_FILE: usize = 8 << 20;
const FIELDS: &str = "path, old, new, all?";

pub(crate) struct Edit {
    spec: ToolSpec,
    reach: Arc<Reach>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    path: String,
    old: String,
    new: String,
    all: Option<bool>,
}

struct Checked {
    path: PathBuf,
    old: String,
    new: String,
    which: Occurrences,
}

fn check(input: &Value) -> Result<Checked, InvalidInput> {
    let Arguments { path, old, new, all } = parse(input, FIELDS)?;
    if old.is_empty() {
        return Err(InvalidInput("`old` is empty; to make a file use write".to_owned()));
    }
    if old == new {
        return Err(InvalidInput("`old` and `new` are the same, so nothing would change".to_owned()));
    }
    let which = if all.unwrap_or(false) { Occurrences::All } else { Occurrences::One };
    Ok(Checked { path: file_path(&path)?, old, new, which })
}

impl Edit {
    pub(crate) fn new(reach: Arc<Reach>) -> Self {
        let fields = vec![
            Field("path", text(), Required),
            Field("old", text(), Required),
            Field("new", text(), Required),
            Field("all", flag(), Optional),
        ];
        let description = "Replace the exact text `old`, which must occur once (or set `all`), by `new` in a file.";
        Self { spec: spec("edit", description, fields), reach }
    }

    async fn edit(&self, grant: &Grant, input: &Value, context: &ToolContext) -> Result<String, ToolOutput> {
        let failed = |text: String| ToolOutput::error(text);
        let checked = check(input).map_err(|error| failed(error.0))?;
        let files = self.reach.files(context)?;
        let content = blocking(|| files.read(grant, &checked.path, MAX_FILE));
        let content = content.map_err(|error| failed(error.to_string()))?;
        if content.is_cut() {
            return Err(failed(format!("the file has {} bytes, too many for edit; use exec", content.size)));
        }
        let replaced = blocking(|| replace(&content.bytes, &checked.old, &checked.new, checked.which));
        let replaced = replaced.map_err(|why| ToolOutput { label: self.reach.label(context), ..failed(why) })?;
        self.reach.raise(context).await?;
        blocking(|| files.replace(grant, &checked.path, &replaced.text, &content.stamp))
            .map_err(|error| failed(error.to_string()))?;
        let lines: Vec<String> = replaced.lines.iter().take(20).map(usize::to_string).collect();
        let more = if replaced.lines.len() > 20 { ", …" } else { "" };
        Ok(format!(
            "replaced {} in {} at line {}{more}",
            times(replaced.lines.len()),
            shown(&checked),
            lines.join(", ")
        ))
    }
}

fn times(number: usize) -> String {
    if number == 1 { "once".to_owned() } else { format!("{number} times") }
}

fn shown(checked: &Checked) -> String {
    one_line(&checked.path.to_string_lossy(), 200)
}

impl Tool<Grant> for Edit {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn assess(&self, input: &Value) -> Result<Effect, InvalidInput> {
        Ok(changing(format!("edit: {}", shown(&check(input)?))))
    }

    fn run<'a>(&'a self, grant: &'a Grant, input: &'a Value, context: &'a ToolContext) -> BoxFuture<'a, ToolOutput> {
        Box::pin(async move {
            match self.edit(grant, input, context).await {
                Ok(text) => ToolOutput::ok(text, self.reach.label(context)),
                Err(output) => output,
            }
        })
    }
}

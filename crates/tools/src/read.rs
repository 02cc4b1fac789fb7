//! `read`: a text file, or some of its lines.

use std::{path::PathBuf, sync::Arc};

use policy::Grant;
use serde::Deserialize;
use serde_json::Value;
use types::{BoxFuture, Effect, InvalidInput, Tool, ToolContext, ToolOutput, ToolSpec};

use crate::{
    arguments::{file_path, one_line, parse},
    reach::{Reach, blocking},
    spec::{Field, Presence::*, looking, number, spec, text},
    transcript::MAX_OUTPUT,
};

/// No more of a file than this is looked at.
const MAX_FILE: usize = 8 << 20;
const FIELDS: &str = "path, from?, lines?";

pub(crate) struct Read {
    spec: ToolSpec,
    reach: Arc<Reach>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    path: String,
    from: Option<usize>,
    lines: Option<usize>,
}

struct Checked {
    path: PathBuf,
    from: usize,
    lines: usize,
}

fn check(input: &Value) -> Result<Checked, InvalidInput> {
    let arguments: Arguments = parse(input, FIELDS)?;
    let (from, lines) = (arguments.from.unwrap_or(1), arguments.lines.unwrap_or(usize::MAX));
    if from == 0 || lines == 0 {
        return Err(InvalidInput("`from` and `lines` start at 1".to_owned()));
    }
    Ok(Checked { path: file_path(&arguments.path)?, from, lines })
}

impl Read {
    pub(crate) fn new(reach: Arc<Reach>) -> Self {
        let fields = vec![
            Field("path", text(), Required),
            Field("from", number(), Optional),
            Field("lines", number(), Optional),
        ];
        Self {
            spec: spec("read", "Read a text file, optionally `lines` lines from line `from` (1-based).", fields),
            reach,
        }
    }

    fn read(&self, grant: &Grant, input: &Value, context: &ToolContext) -> Result<String, ToolOutput> {
        let checked = check(input).map_err(|error| ToolOutput::error(error.0))?;
        let files = self.reach.files(context)?;
        let content = blocking(|| files.read(grant, &checked.path, MAX_FILE));
        let content = content.map_err(|error| ToolOutput::error(error.to_string()))?;
        if content.is_binary() {
            let text = format!("`{}` is binary ({} bytes); use exec to look into it", shown(&checked), content.size);
            return Err(ToolOutput::error(text));
        }
        let text = String::from_utf8_lossy(&content.bytes);
        let lossy = matches!(text, std::borrow::Cow::Owned(_));
        let mut page = page(&text, checked.from, checked.lines);
        if content.is_cut() {
            page.push_str(&format!("\n[only the first {MAX_FILE} of {} bytes can be read this way]", content.size));
        }
        if lossy {
            page.push_str("\n[bytes that are not UTF-8 are shown as \u{fffd}; edit them with exec]");
        }
        Ok(page)
    }
}

fn shown(checked: &Checked) -> String {
    one_line(&checked.path.to_string_lossy(), 200)
}

/// The lines that were asked for, as many as fit, with a note where something is left out.
fn page(text: &str, from: usize, lines: usize) -> String {
    if text.is_empty() {
        return "[the file is empty]".to_owned();
    }
    let total = text.lines().count();
    if from > total {
        return format!("[the file has {total} lines]");
    }
    let mut out = String::new();
    let mut last = from - 1;
    for line in text.split_inclusive('\n').skip(from - 1).take(lines) {
        if out.len() + line.len() > MAX_OUTPUT {
            if out.is_empty() {
                let end = line.floor_char_boundary(MAX_OUTPUT);
                out.push_str(&line[..end]);
                out.push_str(&format!("\n[line {from} is cut here, it has {} bytes]", line.len()));
                last += 1;
            }
            break;
        }
        out.push_str(line);
        last += 1;
    }
    if from > 1 || last < total {
        if !out.ends_with('\n') {
            out.push('\n');
        }
        out.push_str(&format!("[lines {from} to {last} of {total}]"));
    }
    out
}

impl Tool<Grant> for Read {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn assess(&self, input: &Value) -> Result<Effect, InvalidInput> {
        Ok(looking(format!("read: {}", shown(&check(input)?))))
    }

    fn run<'a>(&'a self, grant: &'a Grant, input: &'a Value, context: &'a ToolContext) -> BoxFuture<'a, ToolOutput> {
        Box::pin(async move {
            match self.read(grant, input, context) {
                Ok(text) => ToolOutput::ok(text, self.reach.label(context)),
                Err(output) => output,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_hold_whole_lines_and_say_what_is_left_out() {
        assert_eq!(page("a\nb\nc\n", 1, usize::MAX), "a\nb\nc\n");
        assert_eq!(page("a\nb\nc", 1, usize::MAX), "a\nb\nc");
        assert_eq!(page("a\nb\nc\n", 2, 1), "b\n[lines 2 to 2 of 3]");
        assert_eq!(page("a\nb\nc", 3, 9), "c\n[lines 3 to 3 of 3]");
        assert_eq!(page("a\n", 5, 1), "[the file has 1 lines]");
        assert_eq!(page("", 1, 1), "[the file is empty]");
        let long: String = (1..=10_000).map(|number| format!("line {number}\n")).collect();
        let first = page(&long, 1, usize::MAX);
        assert!(first.len() < MAX_OUTPUT + 100 && first.ends_with(" of 10000]"));
        let wide = format!("{}\nnext\n", "ä".repeat(MAX_OUTPUT));
        assert!(page(&wide, 1, usize::MAX).ends_with("has 64001 bytes]\n[lines 1 to 1 of 2]"));
    }
}

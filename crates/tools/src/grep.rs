//! `grep`: lines that match a regular expression.

use std::{path::PathBuf, sync::Arc, time::Duration};

use policy::Grant;
use regex::bytes::{Regex, RegexBuilder};
use sandbox::{Hits, Stop, WalkLimits, show_path};
use serde::Deserialize;
use serde_json::Value;
use types::{BoxFuture, Effect, InvalidInput, Tool, ToolContext, ToolOutput, ToolSpec};

use crate::{
    arguments::{one_line, parse, workspace_path},
    glob::Glob,
    reach::{Reach, blocking},
    spec::{Field, Presence::*, looking, spec, text},
    transcript::MAX_OUTPUT,
};

const FIELDS: &str = "pattern, path?, glob?";
const MAX_HITS: usize = 200;
const MAX_FILE: u64 = 4 << 20;
/// The largest compiled expression, in bytes; a small text can make a huge one.
const MAX_REGEX: usize = 1 << 20;

pub(crate) struct Grep {
    spec: ToolSpec,
    reach: Arc<Reach>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    pattern: String,
    path: Option<String>,
    glob: Option<String>,
}

struct Checked {
    regex: Regex,
    path: PathBuf,
    glob: Option<Glob>,
}

fn check(input: &Value) -> Result<Checked, InvalidInput> {
    let arguments: Arguments = parse(input, FIELDS)?;
    let mut builder = RegexBuilder::new(&arguments.pattern);
    let regex = builder.size_limit(MAX_REGEX).dfa_size_limit(MAX_REGEX).build().map_err(|error| {
        let why = error.to_string();
        // The error shows the whole expression; its last line says what is wrong.
        let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ");
        InvalidInput(format!("`pattern` is not a usable regular expression: {}", one_line(why, 200)))
    })?;
    let glob = arguments.glob.as_deref().map(Glob::parse).transpose()?;
    Ok(Checked { regex, path: workspace_path(arguments.path.as_deref().unwrap_or_default())?, glob })
}

impl Grep {
    pub(crate) fn new(reach: Arc<Reach>) -> Self {
        let fields =
            vec![Field("pattern", text(), Required), Field("path", text(), Optional), Field("glob", text(), Optional)];
        let description =
            "Find lines matching a regular expression in the files at `path`, filtered by `glob` (`*.rs`).";
        Self { spec: spec("grep", description, fields), reach }
    }

    fn grep(&self, grant: &Grant, input: &Value, context: &ToolContext) -> Result<String, ToolOutput> {
        let checked = check(input).map_err(|error| ToolOutput::error(error.0))?;
        let files = self.reach.files(context)?;
        let limits = WalkLimits {
            depth: 64,
            entries: 200_000,
            bytes: 512 << 20,
            time: Duration::from_secs(15),
            cancel: context.cancel.clone(),
        };
        let search = sandbox::Search {
            start: &checked.path,
            wanted: &|path| checked.glob.as_ref().is_none_or(|glob| glob.matches(path)),
            is_hit: &|line| checked.regex.is_match(line),
            max_hits: MAX_HITS,
            max_file: MAX_FILE,
        };
        let hits = blocking(|| files.grep(grant, &search, &limits));
        hits.map(|hits| render(&hits)).map_err(|error| ToolOutput::error(error.to_string()))
    }
}

fn render(hits: &Hits) -> String {
    let mut out = String::new();
    let mut shown = 0;
    for hit in &hits.hits {
        let line = format!("{}:{}:{}\n", show_path(&hit.path), hit.line, hit.text);
        if out.len() + line.len() > MAX_OUTPUT {
            break;
        }
        out.push_str(&line);
        shown += 1;
    }
    if hits.hits.is_empty() {
        out.push_str(&format!("[no match in {} files]", hits.searched));
        if hits.passed_over > 0 {
            let number = hits.passed_over;
            out.push_str(&format!(
                "\n[{number} not searched whole: binary, too large, unreadable or with very long lines]"
            ));
        }
    }
    let stop = match hits.stop {
        Some(Stop::Hits) => Some("there are more matches"),
        Some(Stop::Time) => Some("it took too long; search a part"),
        Some(Stop::Entries | Stop::Bytes) => Some("there is too much to search; search a part"),
        Some(Stop::Cancelled) => Some("stopped"),
        None if shown < hits.hits.len() => Some("there are more matches"),
        None => None,
    };
    if let Some(stop) = stop {
        out.push_str(&format!("[not complete: {stop}]"));
    }
    out
}

impl Tool<Grant> for Grep {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn assess(&self, input: &Value) -> Result<Effect, InvalidInput> {
        let checked = check(input)?;
        Ok(looking(format!("grep: {}", one_line(checked.regex.as_str(), 200))))
    }

    fn run<'a>(&'a self, grant: &'a Grant, input: &'a Value, context: &'a ToolContext) -> BoxFuture<'a, ToolOutput> {
        Box::pin(async move {
            match self.grep(grant, input, context) {
                Ok(text) => ToolOutput::ok(text, self.reach.label(context)),
                Err(output) => output,
            }
        })
    }
}

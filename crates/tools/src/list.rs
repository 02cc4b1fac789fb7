//! `list`: what a directory holds.

use std::{path::PathBuf, sync::Arc, time::Duration};

use policy::Grant;
use sandbox::{Entry, Kind, Listing, Stop, WalkLimits, show_path};
use serde::Deserialize;
use serde_json::Value;
use types::{BoxFuture, Effect, InvalidInput, Tool, ToolContext, ToolOutput, ToolSpec};

use crate::{
    arguments::{one_line, parse, workspace_path},
    reach::{Reach, blocking},
    spec::{Field, Presence::Optional, looking, number, spec, text},
};

const FIELDS: &str = "path?, depth?";
const MAX_DEPTH: usize = 16;
const MAX_ENTRIES: usize = 500;

pub(crate) struct List {
    spec: ToolSpec,
    reach: Arc<Reach>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    path: Option<String>,
    depth: Option<usize>,
}

fn check(input: &Value) -> Result<(PathBuf, usize), InvalidInput> {
    let arguments: Arguments = parse(input, FIELDS)?;
    let depth = arguments.depth.unwrap_or(2);
    if !(1..=MAX_DEPTH).contains(&depth) {
        return Err(InvalidInput(format!("`depth` must be 1 to {MAX_DEPTH}")));
    }
    Ok((workspace_path(arguments.path.as_deref().unwrap_or_default())?, depth))
}

impl List {
    pub(crate) fn new(reach: Arc<Reach>) -> Self {
        let fields = vec![Field("path", text(), Optional), Field("depth", number(), Optional)];
        Self { spec: spec("list", "List a directory, 2 levels deep unless `depth` says otherwise.", fields), reach }
    }

    fn list(&self, grant: &Grant, input: &Value, context: &ToolContext) -> Result<String, ToolOutput> {
        let (path, depth) = check(input).map_err(|error| ToolOutput::error(error.0))?;
        let files = self.reach.files(context)?;
        let limits = WalkLimits {
            depth,
            entries: MAX_ENTRIES,
            bytes: u64::MAX,
            time: Duration::from_secs(5),
            cancel: context.cancel.clone(),
        };
        let listing = blocking(|| files.list(grant, &path, &limits));
        listing.map(|listing| render(&listing)).map_err(|error| ToolOutput::error(error.to_string()))
    }
}

fn render(listing: &Listing) -> String {
    let mut out: String = listing.entries.iter().map(line).collect();
    if listing.entries.is_empty() {
        out.push_str("[the directory is empty]");
    }
    match listing.stop {
        None => {}
        Some(Stop::Entries) => out.push_str(&format!("[only the first {MAX_ENTRIES}; list a part of it]")),
        Some(Stop::Cancelled) => out.push_str("[stopped]"),
        Some(Stop::Time | Stop::Bytes | Stop::Hits) => out.push_str("[not complete: it took too long]"),
    }
    out
}

fn line(entry: &Entry) -> String {
    let path = show_path(&entry.path);
    match entry.kind {
        Kind::Directory if entry.closed => format!("{path}/ …\n"),
        Kind::Directory => format!("{path}/\n"),
        Kind::File => format!("{path} {}\n", size(entry.size)),
        Kind::Link => format!("{path} (link)\n"),
        Kind::Special => format!("{path} (special)\n"),
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes}"),
        10_000..10_000_000 => format!("{}k", bytes / 1000),
        _ => format!("{}M", bytes / 1_000_000),
    }
}

impl Tool<Grant> for List {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn assess(&self, input: &Value) -> Result<Effect, InvalidInput> {
        let (path, _) = check(input)?;
        Ok(looking(format!("list: {}", one_line(&show_path(&path), 200))))
    }

    fn run<'a>(&'a self, grant: &'a Grant, input: &'a Value, context: &'a ToolContext) -> BoxFuture<'a, ToolOutput> {
        Box::pin(async move {
            match self.list(grant, input, context) {
                Ok(text) => ToolOutput::ok(text, self.reach.label(context)),
                Err(output) => output,
            }
        })
    }
}

//! `search`: what was said in past conversations.

use std::{fmt::Write, sync::Arc};

use jiff::tz::TimeZone;
use policy::Grant;
use serde::Deserialize;
use serde_json::Value;
use store::{Author, SearchHit};
use types::{BoxFuture, Effect, InvalidInput, Label, Timestamp, Tool, ToolContext, ToolOutput, ToolSpec};

use crate::{
    arguments::{one_line, parse},
    reach::{Reach, blocking},
    spec::{Field, Presence::*, looking, number, spec, text},
};

const FIELDS: &str = "query, limit?";
const MAX_HITS: usize = 50;
/// The most that is shown, in bytes.
const MAX_TEXT: usize = 12_000;

pub(crate) struct Search {
    spec: ToolSpec,
    reach: Arc<Reach>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    query: String,
    limit: Option<usize>,
}

fn check(input: &Value) -> Result<(String, usize), InvalidInput> {
    let arguments: Arguments = parse(input, FIELDS)?;
    let limit = arguments.limit.unwrap_or(10);
    if !(1..=MAX_HITS).contains(&limit) {
        return Err(InvalidInput(format!("`limit` must be 1 to {MAX_HITS}")));
    }
    if arguments.query.trim().is_empty() {
        return Err(InvalidInput("`query` is empty; give some words that were said".to_owned()));
    }
    Ok((arguments.query, limit))
}

impl Search {
    pub(crate) fn new(reach: Arc<Reach>) -> Self {
        let fields = vec![Field("query", text(), Required), Field("limit", number(), Optional)];
        Self { spec: spec("search", "Search all past conversations for words.", fields), reach }
    }

    fn search(&self, input: &Value) -> Result<ToolOutput, ToolOutput> {
        let (query, limit) = check(input).map_err(|error| ToolOutput::error(error.0))?;
        let hits = blocking(|| self.reach.store.search(&query, limit));
        let hits = hits.map_err(|error| ToolOutput::error(format!("the search failed: {error}")))?;
        // Whatever is found keeps the label it was stored with.
        let label = hits.iter().fold(Label::OWNER, |label, hit| label.join(hit.label));
        Ok(ToolOutput::ok(render(&hits), label))
    }
}

fn render(hits: &[SearchHit]) -> String {
    if hits.is_empty() {
        return "[nothing found; try other or fewer words]".to_owned();
    }
    let mut out = String::new();
    for (index, hit) in hits.iter().enumerate() {
        let who = match hit.author {
            Author::Owner => "owner",
            Author::Model => "model",
            Author::Tool => "tool",
            Author::System => "system",
        };
        let snippet = one_line(&hit.snippet.split_whitespace().collect::<Vec<_>>().join(" "), 500);
        let line = format!("{} session {} {who}: {snippet}\n", date(hit.at), hit.session);
        if out.len() + line.len() > MAX_TEXT {
            _ = write!(out, "[{} more left out]", hits.len() - index);
            break;
        }
        out.push_str(&line);
    }
    out
}

/// The day and minute in UTC.
fn date(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.0)
        .map(|at| at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M").to_string())
        .unwrap_or_else(|_| "unknown date".to_owned())
}

impl Tool<Grant> for Search {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn assess(&self, input: &Value) -> Result<Effect, InvalidInput> {
        Ok(looking(format!("search: {}", one_line(&check(input)?.0, 200))))
    }

    fn run<'a>(&'a self, _grant: &'a Grant, input: &'a Value, _: &'a ToolContext) -> BoxFuture<'a, ToolOutput> {
        Box::pin(async move { self.search(input).unwrap_or_else(|output| output) })
    }
}

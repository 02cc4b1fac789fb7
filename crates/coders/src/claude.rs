//! Claude Code. Owns how it is started, what it may load, and its stream of JSON lines; must not decide what it is allowed.
//!
//! Nothing that stands in a repository changes how it works: no settings, hooks, MCP servers, plugins, skills, commands, agents
//! or `CLAUDE.md` of the tree or of the job's home are loaded (`--setting-sources` empty, `--strict-mcp-config`, `--safe-mode`).
//! It is told that such files are there to be read: what they say enters its model as the content of files, not as orders of
//! the owner. Whatever it wants to do that is more than reading its tree is asked for over the protocol, and our gate answers.

mod dialect;
mod ends;
mod launch;
mod plan;
mod tools;

use crate::{Coder, Dialect, Launch, Start};

/// Claude Code, from version 2.1.
pub struct Claude;

impl Coder for Claude {
    fn name(&self) -> &'static str {
        "claude"
    }

    fn launch(&self, start: &Start, _: Option<&str>) -> Launch {
        launch::headless(start)
    }

    fn dialect(&self, start: &Start) -> Box<dyn Dialect> {
        Box::new(dialect::Stream::new(start))
    }

    fn fleeting(&self) -> &'static [&'static str] {
        &[r#"{"type":"stream_event""#, r#"{"type":"system","subtype":"thinking_tokens""#, r#"{"type":"tool_progress""#]
    }

    fn interactive(&self, start: &Start) -> Launch {
        launch::interactive(start)
    }
}

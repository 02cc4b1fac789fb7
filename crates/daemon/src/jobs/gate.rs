//! The answer to what a coding agent asks: what it means in our own terms, and then the way that every call goes. It may be
//! asked again after a restart and gives one answer; a yes is given once. Must not write to the coding agent.

use agent::Permission as Asked;
use coders::{Action, Permission, Verdict};
use egress::WebTarget;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;
use tools::asked::{self, AskedCall};
use types::{Effect, Failure, InvalidInput, Sink, TurnId, WorkspaceName, unseen::is_unseen};

use crate::{core::Core, failure::stored};

/// The most characters of foreign text in a summary.
const MAX_SUMMARY: usize = 200;
/// The most bytes of a permission's name that stands in the journal as it is.
const MAX_NAME: usize = 60;
/// The most bytes of arguments that the owner can be shown.
const MAX_ARGUMENTS: usize = 16 * 1024;

/// Who asks, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asking {
    /// The turn that stands for the job.
    pub turn: TurnId,
    /// The coding agent.
    pub coder: String,
    /// The workspace whose rules hold.
    pub workspace: WorkspaceName,
    /// Whether the job works in the workspace itself, and not in a tree of its own.
    pub in_workspace: bool,
    /// The record in which it asked. Numbers of permissions begin anew with each program, so they alone do not tell two
    /// questions apart.
    pub record: u64,
}

impl Asking {
    /// What the question is called in the journal.
    fn key(&self, permission: &str) -> String {
        // Names that only begin alike are two questions.
        let is_short = permission.len() <= MAX_NAME && !permission.contains(is_unseen);
        let name = if is_short { permission.to_owned() } else { hex::encode(Sha256::digest(permission.as_bytes())) };
        format!("permission-{}-{name}", self.record)
    }
}

/// Judges a permission; asks the owner where that is needed, and waits for the answer. Dropping it leaves the question
/// open, to be waited for again. What cannot be stored is refused. `unasked` says why the owner is not to be asked now; a question
/// that was put to them before stays.
pub(crate) async fn judge(
    core: &Core,
    asking: &Asking,
    permission: &Permission,
    unasked: Option<String>,
    halt: CancellationToken,
) -> Verdict {
    let may_reach = |target: &WebTarget| core.ways.may_reach(&asking.workspace, &asking.coder, target);
    let call = match meaning(&asking.coder, permission, may_reach) {
        Ok(call) => call,
        Err(invalid) => return deny(invalid.0),
    };
    let turn = match core.store.turn(asking.turn) {
        Ok(Some(turn)) => turn,
        Ok(None) | Err(_) => return deny("the job cannot be found in the journal"),
    };
    let key = asking.key(&permission.id);
    let unasked = unasked.filter(|_| !matches!(core.store.request_for_call(asking.turn, &key), Ok(Some(_))));
    let asked = Asked {
        key,
        unasked,
        by: asking.coder.clone(),
        tool: call.tool,
        input: call.input,
        effect: call.effect,
        in_workspace: asking.in_workspace,
    };
    match agent::permit(&core.live().deps, turn, halt, asked).await {
        Ok(Ok(())) => Verdict::Allow,
        Ok(Err(why)) => deny(why),
        Err(error) => {
            tracing::error!(%error, "a coding agent's permission could not be judged and is refused");
            deny("the question could not be stored, so nobody can allow it now")
        }
    }
}

/// Withdraws the question about a permission that nobody waits for any more.
pub(crate) async fn withdraw(core: &Core, asking: &Asking, permission: &str) -> Result<(), Failure> {
    agent::withdraw(&core.live().deps, asking.turn, &asking.key(permission)).await.map_err(stored)
}

fn deny(why: impl Into<String>) -> Verdict {
    Verdict::Deny { why: why.into() }
}

/// A permission in our own terms.
struct Meant {
    tool: String,
    input: Value,
    effect: Effect,
}

impl From<AskedCall> for Meant {
    fn from(call: AskedCall) -> Self {
        Self { tool: call.tool.to_owned(), input: call.input, effect: call.effect }
    }
}

/// What a permission means. `may_reach` says why a web address is closed.
fn meaning(
    coder: &str,
    permission: &Permission,
    may_reach: impl Fn(&WebTarget) -> Result<(), String>,
) -> Result<Meant, InvalidInput> {
    match &permission.action {
        Action::Command { script } => asked::command(script).map(Meant::from),
        Action::Write { paths } => asked::write(paths).map(Meant::from),
        Action::Read { paths } => asked::read(paths).map(Meant::from),
        Action::Fetch { target } => {
            let (call, web) = asked::fetch(target);
            web.as_ref().map_or(Ok(()), may_reach).map_err(InvalidInput)?;
            Ok(call.into())
        }
        Action::Other { arguments } => unknown(coder, &permission.tool, arguments),
    }
}

/// A tool that we know nothing of: it counts as sending its arguments to somebody, and is always asked about.
fn unknown(coder: &str, tool: &str, arguments: &str) -> Result<Meant, InvalidInput> {
    if arguments.len() > MAX_ARGUMENTS {
        return Err(InvalidInput("its arguments are too long to be shown to the owner".to_owned()));
    }
    let tool = format!("{coder}:{}", one_line(tool));
    let effect = Effect {
        sink: Sink::Send,
        read_only: false,
        destinations: vec![tool.clone()],
        reversible: false,
        payload: Some(arguments.to_owned()),
        summary: format!("{tool}: {}", one_line(arguments)),
        count: 1,
    };
    Ok(Meant { tool, input: json!({ "arguments": arguments }), effect })
}

/// Foreign text on one short line.
fn one_line(text: &str) -> String {
    text.chars().filter(|character| !is_unseen(*character)).take(MAX_SUMMARY).collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn meant(action: Action) -> Result<Meant, String> {
        let permission = Permission { id: "1".to_owned(), tool: "mcp__x".to_owned(), action, reason: None };
        let may_reach = |target: &WebTarget| match target.target.host().to_string().as_str() {
            "docs.rs" => Ok(()),
            _ => Err("no rule allows this host".to_owned()),
        };
        meaning("claude", &permission, may_reach).map_err(|invalid| invalid.0)
    }

    #[test]
    fn actions_are_what_tools_of_ours_would_do() {
        let command = |script: &str| meant(Action::Command { script: script.to_owned() }).unwrap();
        assert_eq!((command("make").tool.as_str(), command("make").effect.sink), ("exec", Sink::WorkspaceWrite));
        assert_eq!(command("rm -rf src").effect.sink, Sink::Destructive);
        let write = meant(Action::Write { paths: vec!["src/a.rs".to_owned()] }).unwrap();
        assert_eq!((write.tool.as_str(), write.effect.sink), ("write", Sink::WorkspaceWrite));
        let read = meant(Action::Read { paths: vec!["/workspace/a".to_owned()] }).unwrap();
        assert!(read.effect.read_only);
        let other = meant(Action::Other { arguments: "{\"to\":\"x\"}".to_owned() }).unwrap();
        assert_eq!((other.tool.as_str(), other.effect.sink), ("claude:mcp__x", Sink::Send));
        assert_eq!(other.effect.payload.as_deref(), Some("{\"to\":\"x\"}"), "the owner sees all of it");
    }

    #[test]
    fn what_nobody_needs_to_be_asked_about_is_refused_in_words() {
        let outside = meant(Action::Write { paths: vec!["/home/agent/.claude/settings.json".to_owned()] });
        assert!(outside.err().unwrap().contains("outside of the tree"));
        assert!(meant(Action::Fetch { target: "https://docs.rs/x".to_owned() }).is_ok());
        let closed = meant(Action::Fetch { target: "https://evil.example.net/?q=1".to_owned() });
        assert!(closed.err().unwrap().contains("no rule allows"));
        assert!(meant(Action::Other { arguments: "x".repeat(MAX_ARGUMENTS + 1) }).is_err());
        assert!(meant(Action::Command { script: String::new() }).is_err());
    }

    #[test]
    fn questions_of_different_programs_have_different_names() {
        let asking = |record| Asking {
            turn: TurnId(1),
            coder: "codex".to_owned(),
            workspace: WorkspaceName::new("main").unwrap(),
            in_workspace: false,
            record,
        };
        assert_ne!(asking(3).key("0"), asking(90).key("0"));
        assert!(asking(3).key(&"\n".repeat(9_000)).len() < 100);
        assert!(asking(3).key(&"x".repeat(9_000)).len() < 100);
        let long = |end: &str| asking(3).key(&format!("{}{end}", "x".repeat(200)));
        assert_ne!(long("a"), long("b"), "names that begin alike");
    }
}

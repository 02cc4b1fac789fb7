//! `job`: long work of coding agents, for the model. Starting one gives work to a program that goes on after the task, and what it
//! is told are orders; so both count as what persists: free in a session that holds the owner's words alone, asked about where
//! foreign text could be speaking, a proposal where nobody is present. Ending one takes something away from nobody.

use std::{collections::BTreeMap, sync::Arc};

use policy::Grant;
use serde::Deserialize;
use serde_json::{Value, json};
use types::{
    BoxFuture, Cadence, DoneWhen, Effect, InvalidInput, JobId, JobLimits, JobSpec, Label, Place, RecipeCall, SessionId,
    Sink, Then, Tool, ToolContext, ToolOutput, ToolSpec, TurnId, WorkspaceName,
    unseen::{hides, is_unseen},
};

use crate::{
    arguments::{one_line, parse},
    spec::{Field, Presence::*, changing, looking, number, spec, text},
};

const FIELDS: &str = "action, task?, recipe?, set?, coder?, workspace?, branch?, done?, every?, job?, text?";
/// The most bytes of a task and of words to a job.
const MAX_TEXT: usize = 32 << 10;
/// The most bytes of a done condition, and of a name.
const MAX_DONE: usize = 1_000;
const MAX_NAME: usize = 100;
/// The most tools between two reports.
const MAX_EVERY: u32 = 10_000;

/// What is asked about jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobAsk {
    /// Begin one. Its coding agent is empty where none was named.
    Start(Box<JobSpec>),
    /// Say how one is doing, or what jobs there are.
    Show(Option<JobId>),
    /// Say what recipes there are.
    Recipes,
    /// Say something to one.
    Steer(JobId, String),
    /// End one.
    Stop(JobId),
}

/// The job that a recipe makes, and all of it in words. The error is for the model.
pub type Plans = Arc<dyn Fn(&RecipeCall) -> Result<(JobSpec, String), String> + Send + Sync>;

/// Who asks: one call of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobCaller {
    /// The session.
    pub session: SessionId,
    /// The turn.
    pub turn: TurnId,
    /// The vendor's id of the call.
    pub call: String,
    /// The label of all that may be in the call.
    pub label: Label,
}

/// Carries out what is asked about jobs; both answers are for the model.
pub type Jobs = Arc<dyn Fn(JobAsk, JobCaller) -> BoxFuture<'static, Result<String, String>> + Send + Sync>;

/// The tool `job`.
pub fn job(jobs: Jobs, plans: Plans) -> Arc<dyn Tool<Grant>> {
    Arc::new(Job::new(jobs, plans))
}

struct Job {
    spec: ToolSpec,
    jobs: Jobs,
    plans: Plans,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    action: Action,
    task: Option<String>,
    recipe: Option<String>,
    #[serde(default)]
    set: BTreeMap<String, String>,
    coder: Option<String>,
    workspace: Option<String>,
    branch: Option<String>,
    done: Option<String>,
    every: Option<u32>,
    job: Option<i64>,
    text: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    Start,
    List,
    Recipes,
    Show,
    Steer,
    Stop,
}

fn invalid(why: &str) -> InvalidInput {
    InvalidInput(why.to_owned())
}

/// A text on one line and with nothing that cannot be seen, so that the owner approves what they read.
fn line(text: &Option<String>, name: &str, most: usize) -> Result<Option<String>, InvalidInput> {
    match text {
        Some(text) if text.trim().is_empty() || text.len() > most || text.contains(is_unseen) => {
            Err(InvalidInput(format!("`{name}` must be one line of 1 to {most} bytes without control characters")))
        }
        text => Ok(text.clone()),
    }
}

/// Reads a call. The workspace is none where the session's own is meant.
fn check(input: &Value) -> Result<(Ask, Option<WorkspaceName>), InvalidInput> {
    let arguments: Arguments = parse(input, FIELDS)?;
    let workspace = arguments.workspace.as_deref().map(WorkspaceName::new).transpose();
    let workspace = workspace.map_err(|error| InvalidInput(error.to_string()))?;
    let job = || arguments.job.filter(|job| *job > 0).map(JobId).ok_or_else(|| invalid("`job` must be a number"));
    let words = |text: &Option<String>, name: &str| match text {
        Some(text) if !text.trim().is_empty() && text.len() <= MAX_TEXT && !hides(text) => Ok(text.clone()),
        _ => Err(InvalidInput(format!(
            "`{name}` must have 1 to {MAX_TEXT} bytes, and no characters that cannot be seen"
        ))),
    };
    let ask = match arguments.action {
        Action::List => Ask::Show(None),
        Action::Show => Ask::Show(Some(job()?)),
        Action::Stop => Ask::Stop(job()?),
        Action::Steer => Ask::Steer(job()?, words(&arguments.text, "text")?),
        Action::Recipes => Ask::Recipes,
        Action::Start if arguments.recipe.is_some() => Ask::Recipe(recipe(arguments, workspace.clone())?),
        Action::Start if !arguments.set.is_empty() => return Err(invalid("`set` goes with `recipe`")),
        Action::Start => Ask::Start(Draft {
            task: words(&arguments.task, "task")?,
            coder: line(&arguments.coder, "coder", MAX_NAME)?.unwrap_or_default(),
            branch: line(&arguments.branch, "branch", MAX_NAME)?,
            done: line(&arguments.done, "done", MAX_DONE)?,
            every: arguments.every.filter(|every| *every > 0).map(|every| every.min(MAX_EVERY)),
        }),
    };
    Ok((ask, workspace))
}

/// What a recipe is to make. The task and when it is done are the recipe's to say.
fn recipe(arguments: Arguments, workspace: Option<WorkspaceName>) -> Result<RecipeCall, InvalidInput> {
    if arguments.task.is_some() || arguments.done.is_some() {
        return Err(invalid(
            "a recipe has its own `task` and `done`; say what it needs in `set`, or leave `recipe` out",
        ));
    }
    let is_long = arguments.set.values().map(String::len).sum::<usize>() > MAX_TEXT;
    let is_line = |text: &str| !text.contains(char::is_control) && !hides(text);
    if is_long || !arguments.set.iter().all(|(name, value)| is_line(name) && is_line(value)) {
        return Err(InvalidInput(format!(
            "`set` must have at most {MAX_TEXT} bytes, on lines without control characters"
        )));
    }
    let every = arguments.every.filter(|every| *every > 0).map(|every| every.min(MAX_EVERY));
    Ok(RecipeCall {
        recipe: line(&arguments.recipe, "recipe", MAX_NAME)?.unwrap_or_default(),
        coder: line(&arguments.coder, "coder", MAX_NAME)?,
        branch: line(&arguments.branch, "branch", MAX_NAME)?,
        set: arguments.set,
        workspace,
        report: every.map(|count| Cadence::Iterations { count }),
        ..RecipeCall::default()
    })
}

/// A checked call.
enum Ask {
    Start(Draft),
    Recipe(RecipeCall),
    Recipes,
    Show(Option<JobId>),
    Steer(JobId, String),
    Stop(JobId),
}

struct Draft {
    task: String,
    coder: String,
    branch: Option<String>,
    done: Option<String>,
    every: Option<u32>,
}

impl Draft {
    /// What becomes of finished work. Nothing leaves the machine in the model's name: pushing is the owner's to ask for.
    fn then(&self) -> Then {
        if self.branch.is_some() { Then::Commit } else { Then::Nothing }
    }

    /// All of it, as the owner reads it before they approve: the task last, since it is the only part with more than one line.
    fn shown(&self, place: &str) -> String {
        let done = self.done.as_deref().unwrap_or("the coding agent says so");
        let every = self.every.map_or("at the end only".to_owned(), |every| format!("every {every} tools"));
        format!(
            "coding agent: {}\nwhere: {place}\nthen: {}\ndone when: {done}\nreports: {every}\ntask:\n{}",
            self.coder(),
            self.then_in_words(),
            self.task
        )
    }

    fn coder(&self) -> &str {
        if self.coder.is_empty() { "the usual one" } else { &self.coder }
    }

    fn place(&self, workspace: Option<&WorkspaceName>) -> String {
        let workspace = workspace.map_or_else(|| "this workspace".to_owned(), |name| format!("the workspace {name}"));
        match &self.branch {
            Some(branch) => format!("a clone of {workspace}, on the branch {branch}"),
            None => format!("the files of {workspace} themselves"),
        }
    }

    fn then_in_words(&self) -> &'static str {
        match self.then() {
            Then::Nothing => "nothing is committed or pushed",
            Then::Commit | Then::Push | Then::DraftPullRequest => "it is committed to that branch, and not pushed",
        }
    }

    fn spec(self, workspace: WorkspaceName) -> JobSpec {
        let then = self.then();
        JobSpec {
            brief: self.task,
            coder: self.coder,
            model: None,
            workspace,
            place: self.branch.map_or(Place::Workspace, |branch| Place::Branch { branch, base: None }),
            done: self.done.map(DoneWhen::new),
            limits: JobLimits::default(),
            report: self.every.map_or(Cadence::End, |count| Cadence::Iterations { count }),
            then,
            recipe: None,
            phases: Vec::new(),
            review: None,
        }
    }
}

impl Job {
    fn new(jobs: Jobs, plans: Plans) -> Self {
        let actions = json!({"type": "string", "enum": ["start", "list", "recipes", "show", "steer", "stop"]});
        let set = json!({"type": "object", "additionalProperties": {"type": "string"}});
        let fields = vec![
            Field("action", actions, Required),
            Field("task", text(), Optional),
            Field("recipe", text(), Optional),
            Field("set", set, Optional),
            Field("coder", text(), Optional),
            Field("workspace", text(), Optional),
            Field("branch", text(), Optional),
            Field("done", text(), Optional),
            Field("every", number(), Optional),
            Field("job", number(), Optional),
            Field("text", text(), Optional),
        ];
        let description = "Long work of a coding agent (claude, codex, opencode, …) that goes on after this task and reports \
                           to the owner by itself. start: `task`, and if the owner says so `coder`, `workspace`, a `branch` to \
                           work on, `done` (a command that exits with 0 when the work is done), `every` N tools a report; or in place \
                           of task and done a `recipe` with its parameters in `set` (recipes lists them). list, show, steer (`text`) and stop need the number in `job`, except list.";
        Self { spec: spec("job", description, fields), jobs, plans }
    }

    /// The job that a recipe makes for a model, and all of it in words.
    fn plan(&self, call: &RecipeCall) -> Result<(JobSpec, String), InvalidInput> {
        (self.plans)(call).map_err(InvalidInput)
    }

    async fn carry_out(&self, input: &Value, context: &ToolContext) -> Result<ToolOutput, InvalidInput> {
        let (ask, workspace) = check(input)?;
        let workspace = workspace.unwrap_or_else(|| context.workspace.clone());
        // What a job tells holds the words of its coding agent.
        let label = if matches!(ask, Ask::Show(_)) { Label::UNKNOWN } else { Label::OWNER };
        let ask = match ask {
            Ask::Start(draft) => JobAsk::Start(Box::new(draft.spec(workspace))),
            Ask::Recipe(call) => {
                let (spec, _) = self.plan(&RecipeCall { workspace: Some(workspace), ..call })?;
                JobAsk::Start(Box::new(spec))
            }
            Ask::Recipes => JobAsk::Recipes,
            Ask::Show(job) => JobAsk::Show(job),
            Ask::Steer(job, text) => JobAsk::Steer(job, text),
            Ask::Stop(job) => JobAsk::Stop(job),
        };
        let (session, turn, call) = (context.session, context.turn, context.call.clone());
        let caller = JobCaller { session, turn, call, label: context.label };
        Ok(match (self.jobs)(ask, caller).await {
            Ok(text) => ToolOutput::ok(text, label),
            Err(error) => ToolOutput::error(error),
        })
    }
}

impl Tool<Grant> for Job {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn assess(&self, input: &Value) -> Result<Effect, InvalidInput> {
        let (ask, workspace) = check(input)?;
        Ok(match ask {
            Ask::Show(None) => looking("job: list".to_owned()),
            Ask::Recipes => looking("job: recipes".to_owned()),
            Ask::Show(Some(job)) => looking(format!("job: show {job}")),
            Ask::Stop(job) => Effect { sink: Sink::Compute, ..changing(format!("job: stop {job}")) },
            Ask::Steer(job, text) => Effect {
                sink: Sink::Persist,
                payload: Some(text.clone()),
                ..changing(format!("job: tell {job}: {}", one_line(&text, 200)))
            },
            Ask::Start(draft) => {
                let place = draft.place(workspace.as_ref());
                let done = draft.done.as_deref().map(|done| format!(" until `{}`", one_line(done, 100)));
                let summary = format!(
                    "job: let {} work in {place}; {}; do: {}{}",
                    draft.coder(),
                    draft.then_in_words(),
                    one_line(&draft.task, 200),
                    done.unwrap_or_default()
                );
                Effect { sink: Sink::Persist, payload: Some(draft.shown(&place)), ..changing(summary) }
            }
            Ask::Recipe(call) => {
                let (_, plan) = self.plan(&call)?;
                let coder = call.coder.as_deref().unwrap_or("the usual one");
                let place =
                    workspace.map_or_else(|| "this workspace".to_owned(), |name| format!("the workspace {name}"));
                let every = match call.report {
                    Some(Cadence::Iterations { count }) => format!("every {count} tools"),
                    _ => "at the end only".to_owned(),
                };
                let shown = format!("coding agent: {coder}\nwhere: {place}\nreports: {every}\n{plan}");
                let summary = format!("job: let {} do the recipe {}", one_line(coder, 40), one_line(&call.recipe, 60));
                Effect { sink: Sink::Persist, payload: Some(shown), ..changing(summary) }
            }
        })
    }

    fn run<'a>(&'a self, _grant: &'a Grant, input: &'a Value, context: &'a ToolContext) -> BoxFuture<'a, ToolOutput> {
        Box::pin(async move { self.carry_out(input, context).await.unwrap_or_else(|error| ToolOutput::error(error.0)) })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use policy::{Decision, Request, Rules, decide};
    use types::Origin;

    use super::*;

    fn tool() -> Job {
        let plans = |call: &RecipeCall| match call.set.get("command") {
            Some(command) => {
                let workspace = call.workspace.clone().unwrap_or_else(|| WorkspaceName::new("main").unwrap());
                let draft = Draft {
                    task: "mend it".to_owned(),
                    coder: String::new(),
                    branch: None,
                    done: Some(command.clone()),
                    every: None,
                };
                Ok((draft.spec(workspace), format!("mend it until {command}")))
            }
            None => Err("it needs `command`".to_owned()),
        };
        Job::new(Arc::new(|_, _| Box::pin(async { Ok(String::new()) })), Arc::new(plans))
    }

    fn decision(input: Value, label: Label, origin: Origin) -> &'static str {
        let effect = tool().assess(&input).unwrap();
        let workspace = WorkspaceName::new("main").unwrap();
        let request = Request {
            tool: "job",
            input: &input,
            effect: &effect,
            label,
            origin,
            session: SessionId(1),
            turn: TurnId(1),
            workspace: &workspace,
            workspace_state: None,
            destinations_are_owners: false,
            touched: 0,
        };
        match decide(&request, &Rules::default()) {
            Decision::Allow(_) => "allow",
            Decision::Ask(_) => "ask",
            Decision::Propose(_) => "propose",
            Decision::Deny(_) => "deny",
        }
    }

    #[test]
    fn foreign_text_does_not_give_orders_to_coding_agents() {
        let start = || json!({"action": "start", "task": "mend it", "coder": "claude"});
        let steer = || json!({"action": "steer", "job": 3, "text": "faster"});
        let recipe = || json!({"action": "start", "recipe": "fix-tests", "set": {"command": "make"}});
        for input in [start(), steer(), recipe()] {
            assert_eq!(decision(input.clone(), Label::OWNER, Origin::Owner), "allow");
            assert_eq!(decision(input.clone(), Label::FOREIGN, Origin::Owner), "ask");
            assert_eq!(decision(input.clone(), Label::UNKNOWN, Origin::Owner), "ask");
            assert_eq!(decision(input.clone(), Label::UNKNOWN, Origin::Schedule), "propose");
            assert_eq!(decision(input, Label::OWNER, Origin::Program), "propose");
        }
        let stop = json!({"action": "stop", "job": 3});
        assert_eq!(decision(stop.clone(), Label::UNKNOWN, Origin::Owner), "allow");
        assert_eq!(decision(stop, Label::OWNER, Origin::Program), "deny", "a guest ends nothing");
        assert_eq!(decision(json!({"action": "list"}), Label::OWNER, Origin::Program), "deny");
    }

    #[test]
    fn a_recipe_is_shown_whole() {
        let input = json!({"action": "start", "recipe": "fix-tests", "set": {"command": "make"}, "coder": "codex"});
        let effect = tool().assess(&input).unwrap();
        let shown = "coding agent: codex\nwhere: this workspace\nreports: at the end only\nmend it until make";
        assert_eq!(effect.payload.as_deref(), Some(shown));
        assert_eq!(effect.summary, "job: let codex do the recipe fix-tests");
        for bad in [
            json!({"action": "start", "recipe": "fix-tests"}),
            json!({"action": "start", "recipe": "fix-tests", "set": {"command": "make\u{202e}"}}),
            json!({"action": "start", "recipe": "fix-tests", "set": {"command": "make"}, "branch": "a\nb"}),
            json!({"action": "start", "recipe": "fix-tests", "set": {"command": "make"}, "task": "and more"}),
            json!({"action": "start", "recipe": "fix-tests", "set": {"command": 1}}),
            json!({"action": "start", "task": "x", "set": {"command": "make"}}),
        ] {
            assert!(tool().assess(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn mistakes_are_told_to_the_model() {
        for input in [
            json!({"action": "start"}),
            json!({"action": "start", "task": " "}),
            json!({"action": "start", "task": "x", "workspace": "No Name"}),
            json!({"action": "stop"}),
            json!({"action": "steer", "job": 1}),
            json!({"action": "resume", "job": 1}),
            json!({"action": "show", "job": -1}),
        ] {
            assert!(tool().assess(&input).is_err(), "{input}");
        }
        let summary = tool().assess(&json!({"action": "start", "task": "a\nb", "done": "make"})).unwrap().summary;
        assert_eq!(
            summary,
            "job: let the usual one work in the files of this workspace themselves; nothing is committed or pushed; do: \
             a\\nb until `make`"
        );
    }

    #[test]
    fn the_owner_sees_all_of_what_they_approve() {
        let start = |more: Value| {
            let mut input = json!({"action": "start", "task": "mend it\nthen rest", "coder": "claude"});
            input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            tool().assess(&input)
        };
        let done = format!("cargo test {}", "x".repeat(900));
        let effect = start(json!({"done": done, "branch": "fix", "workspace": "billing", "every": 5})).unwrap();
        let place = "a clone of the workspace billing, on the branch fix";
        assert!(effect.summary.contains(place) && effect.summary.contains("not pushed"), "{}", effect.summary);
        let shown = effect.payload.unwrap();
        let parts = ["claude", place, &done, "every 5 tools", "committed to that branch", "task:\nmend it\nthen rest"];
        assert!(parts.iter().all(|part| shown.contains(part)), "{shown}");
        for bad in [
            json!({"done": "x".repeat(MAX_DONE + 1)}),
            json!({"done": "make\ntask: something else"}),
            json!({"done": "make \u{202e}"}),
            json!({"branch": "a\u{200b}b"}),
            json!({"coder": "x".repeat(MAX_NAME + 1)}),
            json!({"task": "mend it\u{e0041}\u{e0042}"}),
            json!({"task": "mend\u{2028}it"}),
            json!({"task": "mend it\u{fe0f}\u{fe0f}"}),
        ] {
            assert!(start(bad.clone()).is_err(), "{bad}");
        }
        assert!(start(json!({"task": "mend it ❤\u{fe0f}\n\tthen rest"})).is_ok());
        let steer = |text: &str| tool().assess(&json!({"action": "steer", "job": 1, "text": text}));
        assert!(steer("go on").is_ok() && steer("go\u{61c} on").is_err());
    }
}

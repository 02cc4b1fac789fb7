//! What the owner can say about jobs in a chat. Pure parsing.

use types::{Cadence, DoneWhen, Failure, JobId, JobLimits, JobSpec, MicroUsd, Place, RecipeCall, Then, WorkspaceName};

use super::number;
use crate::failure::user;

/// A word about jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum JobWord {
    /// Shows one.
    Show(JobId),
    /// Begins one.
    Start(Box<JobDraft>),
    /// Begins one as a recipe makes it.
    Recipe(Box<RecipeCall>),
    /// Lists the recipes, or tells what one would do.
    Recipes(Option<Box<RecipeCall>>),
    /// Says something to one.
    Steer(JobId, String),
    /// Ends one.
    Stop(JobId),
    /// Lets the owner work in place of the coding agent of one.
    TakeOver(JobId),
    /// Gives one back to its coding agent.
    HandBack(JobId),
    /// Lets one go on that is over, perhaps with another coding agent and with more to do.
    Resume(JobId, Option<String>, Option<String>),
    /// Shows what one has changed.
    Diff(JobId),
}

/// A job as it was asked for; what is missing is filled in from the session and the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct JobDraft {
    pub brief: String,
    pub coder: Option<String>,
    pub model: Option<String>,
    pub workspace: Option<WorkspaceName>,
    pub place: Place,
    pub done: Option<String>,
    pub pinned: Vec<String>,
    pub limits: JobLimits,
    pub report: Cadence,
    pub then: Option<Then>,
}

impl JobDraft {
    /// The whole job, with the workspace of a session where none was named.
    pub fn spec(self, workspace: WorkspaceName) -> JobSpec {
        let pinned = self.pinned;
        let then = match (&self.place, self.then) {
            (_, Some(then)) => then,
            // What is changed in the workspace itself is committed only on demand.
            (Place::Workspace, None) => Then::Nothing,
            (Place::Branch { .. }, None) => Then::Commit,
        };
        JobSpec {
            brief: self.brief,
            coder: self.coder.unwrap_or_default(),
            model: self.model,
            workspace: self.workspace.unwrap_or(workspace),
            place: self.place,
            done: self.done.map(|command| DoneWhen { pinned, ..DoneWhen::new(command) }),
            limits: self.limits,
            report: self.report,
            then,
            recipe: None,
            phases: Vec::new(),
            review: None,
        }
    }
}

/// How a job is begun in a chat.
pub(crate) const HOW: &str = "\
/job start TASK - let a coding agent work on it; before the task may stand: coder=NAME in=WORKSPACE branch=NAME \
base=NAME done=\"COMMAND\" pin=GLOB every=5 (tools) or every=10m model=NAME rounds=20 tools=400 usd=5 minutes=240 \
then=nothing|commit|push|pr";

/// How a recipe is used in a chat.
const RECIPE: &str = "\
/job recipe NAME key=value key=\"some words\" ... - start it; beside its parameters: coder=NAME in=WORKSPACE model=NAME every=5 usd=5 \
then=commit|push|pr; /job recipes lists them, /job recipes NAME tells what one takes";

/// Reads what follows `/job`.
pub(super) fn parse(argument: &str) -> Result<JobWord, Failure> {
    let (word, rest) = argument.split_once(char::is_whitespace).unwrap_or((argument, ""));
    let rest = rest.trim();
    match word {
        "start" => draft(rest).map(|draft| JobWord::Start(Box::new(draft))),
        "recipe" => recipe(rest).map(|call| JobWord::Recipe(Box::new(call))),
        "recipes" if rest.is_empty() => Ok(JobWord::Recipes(None)),
        "recipes" => recipe(rest).map(|call| JobWord::Recipes(Some(Box::new(call)))),
        "show" => job(word, rest).map(JobWord::Show),
        "diff" => job(word, rest).map(JobWord::Diff),
        "stop" => job(word, rest).map(JobWord::Stop),
        "takeover" => job(word, rest).map(JobWord::TakeOver),
        "handback" => job(word, rest).map(JobWord::HandBack),
        "steer" => {
            let (id, text) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            let id = job(word, id)?;
            if text.trim().is_empty() {
                return Err(user("/job steer needs a number and a text", "write it as /job steer 3 use the other API"));
            }
            Ok(JobWord::Steer(id, text.trim().to_owned()))
        }
        "resume" => resume(rest),
        _ if word.trim_start_matches('#').parse::<i64>().is_ok() => job("show", word).map(JobWord::Show),
        _ => Err(user(
            "/job is followed by start, recipe, recipes, show, steer, takeover, handback, stop, resume, diff or a number",
            HOW,
        )),
    }
}

fn job(word: &str, argument: &str) -> Result<JobId, Failure> {
    number(&format!("job {word}"), argument).map(JobId)
}

fn resume(rest: &str) -> Result<JobWord, Failure> {
    let (id, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let id = job("resume", id)?;
    let (options, text) = options(rest)?;
    let mut coder = None;
    for (key, value) in options {
        match key.as_str() {
            "coder" => coder = Some(value),
            _ => return Err(user(format!("/job resume knows no `{key}`"), "write it as /job resume 3 coder=codex")),
        }
    }
    Ok(JobWord::Resume(id, coder, (!text.is_empty()).then(|| text.to_owned())))
}

fn recipe(rest: &str) -> Result<RecipeCall, Failure> {
    let (name, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    if name.is_empty() || name.contains('=') {
        return Err(user("/job recipe needs the name of one", RECIPE));
    }
    let (options, more) = options(rest)?;
    if !more.is_empty() {
        return Err(user("behind a recipe's name stand `key=value`, and nothing else", RECIPE));
    }
    let mut call = RecipeCall { recipe: name.to_owned(), ..RecipeCall::default() };
    for (key, value) in options {
        match key.as_str() {
            "coder" => call.coder = Some(value),
            "model" => call.model = Some(value),
            "in" => call.workspace = Some(WorkspaceName::new(value).map_err(|error| user(error.to_string(), RECIPE))?),
            "every" => call.report = Some(cadence(&value)?),
            "usd" => call.cost = Some(dollars(&value)?),
            "then" => call.then = Some(then(&value)?),
            _ => {
                call.set.insert(key, value);
            }
        }
    }
    Ok(call)
}

fn draft(rest: &str) -> Result<JobDraft, Failure> {
    let (options, brief) = options(rest)?;
    let mut draft = JobDraft { brief: brief.to_owned(), ..JobDraft::default() };
    let mut base = None;
    for (key, value) in options {
        match key.as_str() {
            "coder" => draft.coder = Some(value),
            "model" => draft.model = Some(value),
            "in" => draft.workspace = Some(WorkspaceName::new(value).map_err(|error| user(error.to_string(), HOW))?),
            "branch" => draft.place = Place::Branch { branch: value, base: None },
            "base" => base = Some(value),
            "done" => draft.done = Some(value),
            "pin" => draft.pinned.push(value),
            "every" => draft.report = cadence(&value)?,
            "rounds" => draft.limits.rounds = count(&key, &value)?,
            "tools" => draft.limits.iterations = count(&key, &value)?,
            "minutes" => draft.limits.minutes = u64::from(count(&key, &value)?),
            "usd" => draft.limits.cost = Some(dollars(&value)?),
            "then" => draft.then = Some(then(&value)?),
            _ => return Err(user(format!("/job start knows no `{key}`"), HOW)),
        }
    }
    match (&mut draft.place, base) {
        (Place::Branch { base, .. }, Some(given)) => *base = Some(given),
        (Place::Workspace, Some(_)) => return Err(user("`base` is where a new branch starts", "name it with branch=")),
        (_, None) => {}
    }
    if draft.brief.is_empty() {
        return Err(user("/job start needs a task", HOW));
    }
    Ok(draft)
}

/// Keys and their values.
type Options = Vec<(String, String)>;

/// The options in front of a text: `key=value` or `key="some words"`.
fn options(text: &str) -> Result<(Options, &str), Failure> {
    let mut options = Vec::new();
    let mut rest = text.trim_start();
    loop {
        let word = rest.split(char::is_whitespace).next().unwrap_or_default();
        let Some((key, value)) = word.split_once('=') else { return Ok((options, rest.trim())) };
        let is_key = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if !key.starts_with(|first: char| first.is_ascii_lowercase()) || !key.bytes().all(is_key) {
            return Ok((options, rest.trim()));
        }
        let after_key = &rest[key.len() + 1..];
        let (value, after) = match after_key.strip_prefix('"') {
            Some(quoted) => quoted
                .split_once('"')
                .ok_or_else(|| user(format!("the quotation after `{key}=` has no end"), "close it with \""))?,
            None => (value, &after_key[value.len()..]),
        };
        options.push((key.to_owned(), value.to_owned()));
        rest = after.trim_start();
    }
}

fn count(key: &str, value: &str) -> Result<u32, Failure> {
    let count = value.parse().ok().filter(|count| *count > 0);
    count.ok_or_else(|| user(format!("`{key}` needs a number from 1"), format!("write it as {key}=20")))
}

fn cadence(value: &str) -> Result<Cadence, Failure> {
    match value.strip_suffix('m') {
        Some(minutes) => count("every", minutes).map(|count| Cadence::Minutes { count }),
        None if value == "end" => Ok(Cadence::End),
        None => count("every", value).map(|count| Cadence::Iterations { count }),
    }
}

fn dollars(value: &str) -> Result<MicroUsd, Failure> {
    let dollars = value.parse::<f64>().ok().filter(|dollars| dollars.is_finite() && *dollars >= 0.0);
    dollars.map(MicroUsd::from_dollars).ok_or_else(|| user("`usd` needs an amount", "write it as usd=2.5"))
}

fn then(value: &str) -> Result<Then, Failure> {
    match value {
        "nothing" => Ok(Then::Nothing),
        "commit" => Ok(Then::Commit),
        "push" => Ok(Then::Push),
        "pr" => Ok(Then::DraftPullRequest),
        _ => Err(user("`then` is nothing, commit, push or pr", "write it as then=commit")),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_read() {
        let text = "start coder=claude in=billing branch=fix/tests base=main done=\"cargo test -q\" pin=tests/** every=5 \
                    rounds=3 usd=2.5 then=pr fix the failing tests\nall of them";
        let JobWord::Start(draft) = parse(text).unwrap() else { panic!() };
        assert_eq!(draft.brief, "fix the failing tests\nall of them");
        let spec = draft.spec(WorkspaceName::new("main").unwrap());
        assert_eq!((spec.coder.as_str(), spec.workspace.as_str()), ("claude", "billing"));
        let place = Place::Branch { branch: "fix/tests".to_owned(), base: Some("main".to_owned()) };
        assert_eq!((spec.place, spec.then), (place, Then::DraftPullRequest));
        let done = spec.done.unwrap();
        assert_eq!((done.command.as_str(), done.pinned), ("cargo test -q", vec!["tests/**".to_owned()]));
        assert_eq!((spec.limits.rounds, spec.limits.cost), (3, Some(MicroUsd(2_500_000))));
        assert_eq!(spec.report, Cadence::Iterations { count: 5 });

        let JobWord::Start(plain) = parse("start why is a=b here").unwrap() else { panic!() };
        assert_eq!(plain.brief, "why is a=b here");
        let spec = plain.spec(WorkspaceName::new("main").unwrap());
        assert_eq!((spec.workspace.as_str(), spec.then, spec.coder.as_str()), ("main", Then::Nothing, ""));

        let text = "recipe fix-tests command=\"cargo test\" tests=tests/** in=billing coder=codex every=10m usd=1";
        let JobWord::Recipe(call) = parse(text).unwrap() else { panic!() };
        let set =
            [("command", "cargo test"), ("tests", "tests/**")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!((call.recipe.as_str(), &call.set), ("fix-tests", &set.into()));
        assert_eq!(
            (call.coder.as_deref(), call.workspace.map(|name| name.to_string())),
            (Some("codex"), Some("billing".to_owned()))
        );
        assert_eq!((call.report, call.cost), (Some(Cadence::Minutes { count: 10 }), Some(MicroUsd(1_000_000))));
        assert_eq!(parse("recipes").unwrap(), JobWord::Recipes(None));
        assert!(
            matches!(parse("recipes fix-tests").unwrap(), JobWord::Recipes(Some(call)) if call.recipe == "fix-tests")
        );

        assert_eq!(parse("7").unwrap(), JobWord::Show(JobId(7)));
        assert_eq!(parse("stop #7").unwrap(), JobWord::Stop(JobId(7)));
        assert_eq!(parse("takeover 7").unwrap(), JobWord::TakeOver(JobId(7)));
        assert_eq!(parse("handback #7").unwrap(), JobWord::HandBack(JobId(7)));
        assert_eq!(parse("steer 7 not so\nfast").unwrap(), JobWord::Steer(JobId(7), "not so\nfast".to_owned()));
        assert_eq!(parse("resume 7").unwrap(), JobWord::Resume(JobId(7), None, None));
        let other = JobWord::Resume(JobId(7), Some("codex".to_owned()), Some("and now".to_owned()));
        assert_eq!(parse("resume 7 coder=codex and now").unwrap(), other);
    }

    #[test]
    fn mistakes_are_told() {
        for text in [
            "",
            "start",
            "start coder=x",
            "start when=x do it",
            "start every=0 do",
            "start usd=-1 do",
            "start base=a do",
            "start done=\"never ends",
            "start then=ship do",
            "start in=No do",
            "recipe",
            "recipe command=x",
            "recipe fix-tests do it",
            "recipe fix-tests command=\"x",
            "recipe fix-tests every=0",
            "steer 7",
            "stop x",
            "takeover",
            "resume 7 model=x",
            "go",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}

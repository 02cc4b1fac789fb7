//! Slash commands: what the owner can say to the daemon itself. Pure parsing; `commands` carries them out.

mod job;

pub(crate) use job::JobWord;
use types::{AllowanceId, Code, Failure, ProposalId, RequestId, Scope, SessionId, WorkspaceName};

use crate::failure::user;

/// A command that the owner typed in a chat or at the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Slash {
    /// Lists the commands.
    Help,
    /// Starts a session and makes it the present one.
    New { title: Option<String> },
    /// Lists the sessions.
    Sessions,
    /// Makes a session the present one.
    Resume(SessionId),
    /// Stops what runs.
    Stop,
    /// Says what runs.
    Status,
    /// Puts the workspace back.
    Undo,
    /// Lets a call happen.
    Approve(RequestId, Yes),
    /// Forbids it.
    Deny(RequestId),
    /// Says where the present session's label comes from.
    Why,
    /// Begins a clean session with the result of this call.
    Endorse(String),
    /// Lists what waits to be accepted.
    Proposals,
    /// Lets a proposal run, or forgets it.
    Decide(ProposalId, bool, Option<Code>),
    /// Moves the present session to a workspace.
    Workspace(WorkspaceName),
    /// Says which model answers, or lets another one answer in the present session.
    Model(Option<String>),
    /// A message for after the running turn.
    Queue(String),
    /// A message in place of the running turn.
    Interrupt(String),
    /// Says what was spent.
    Cost,
    /// Lists the rules that let calls through without asking.
    Allowed,
    /// Takes one of them back.
    Disallow(AllowanceId),
    /// Lists the jobs.
    Jobs,
    /// Something about jobs.
    Job(JobWord),
}

/// What comes with a yes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Yes {
    pub scope: Scope,
    /// The word that a messenger without buttons shows with the question.
    pub word: Option<String>,
    /// The beginning of the digest of the rule that is to be saved.
    pub confirm: Option<String>,
    /// The code of the second factor.
    pub code: Option<Code>,
}

/// What `/help` answers.
pub(crate) const HELP: &str = "\
/new [title] - start a fresh session
/sessions - list sessions; /resume N - go back to one
/stop - stop everything that runs
/status - what is going on; /cost - what it cost
/model - who answers; /model NAME - let another one answer in this session
/undo - put the workspace back to before the last task that wrote to it
/approve N, /deny N - answer a request; /approve N task, /approve N always - and others like it
/allow - which calls are not asked about; /allow rm N - take one back
/why - what this session holds and where it comes from; /endorse CALL - begin anew with that result and your words
/proposals - what waits to be kept; /accept N, /reject N - decide about it
/workspace NAME - let this session work elsewhere
/jobs - long work of coding agents; /job start TASK, /job recipes, /job recipe NAME key=value, /job N, /job steer N TEXT, /job takeover N, /job handback N, /job stop N, /job resume N, /job diff N
/queue TEXT - say it after the running task; /interrupt TEXT - say it instead
Anything else goes to the agent; while it works, it hears it at its next step.";

/// Reads a command. `None` when the text is for the agent: it does not start with a slash and a word. A path such as
/// `/srv/code` is no command.
pub(crate) fn parse(text: &str) -> Option<Result<Slash, Failure>> {
    let rest = text.trim().strip_prefix('/')?;
    let (word, argument) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    // A messenger may add the bot's name: `/help@factotum_bot`.
    let word = word.split('@').next().unwrap_or_default();
    if word.is_empty() || !word.chars().all(|character| character.is_ascii_alphabetic()) {
        return None;
    }
    Some(command(&word.to_ascii_lowercase(), argument.trim()))
}

fn command(word: &str, argument: &str) -> Result<Slash, Failure> {
    match word {
        "help" | "start" => Ok(Slash::Help),
        "new" => Ok(Slash::New { title: (!argument.is_empty()).then(|| title(argument)) }),
        "sessions" => Ok(Slash::Sessions),
        "resume" => number(word, argument).map(|number| Slash::Resume(SessionId(number))),
        "stop" => Ok(Slash::Stop),
        "status" => Ok(Slash::Status),
        "undo" => Ok(Slash::Undo),
        "approve" => approve(word, argument),
        "deny" => number(word, argument).map(|number| Slash::Deny(RequestId(number))),
        "why" => Ok(Slash::Why),
        "endorse" => said(word, argument).map(Slash::Endorse),
        "proposals" => Ok(Slash::Proposals),
        "accept" => accept(word, argument),
        "reject" => number(word, argument).map(|number| Slash::Decide(ProposalId(number), false, None)),
        "workspace" => WorkspaceName::new(argument)
            .map(Slash::Workspace)
            .map_err(|error| user(error.to_string(), "/status names the configured workspaces")),
        "model" => Ok(Slash::Model((!argument.is_empty()).then(|| argument.to_owned()))),
        "queue" => said(word, argument).map(Slash::Queue),
        "interrupt" => said(word, argument).map(Slash::Interrupt),
        "cost" => Ok(Slash::Cost),
        "jobs" => Ok(Slash::Jobs),
        "job" if argument.is_empty() => Ok(Slash::Jobs),
        "job" => job::parse(argument).map(Slash::Job),
        "allow" => match argument.strip_prefix("rm") {
            Some(id) => number("allow rm", id.trim()).map(|number| Slash::Disallow(AllowanceId(number))),
            None if argument.is_empty() || argument == "list" => Ok(Slash::Allowed),
            None => Err(user("/allow is followed by nothing, or by `rm` and a number", "write it as /allow rm 7")),
        },
        _ => Err(user(format!("there is no command /{}", title(word)), "/help lists the commands")),
    }
}

/// A proposal's number, and the code of the second factor where one is needed.
fn accept(word: &str, argument: &str) -> Result<Slash, Failure> {
    let (id, code) = argument.split_once(char::is_whitespace).unwrap_or((argument, ""));
    let code = Some(code.trim()).filter(|code| !code.is_empty());
    if code.is_some_and(|code| !is_code(code)) {
        return Err(user("a code has six digits", "write it as /accept 7, or /accept 7 123456"));
    }
    number(word, id).map(|number| Slash::Decide(ProposalId(number), true, code.map(Code::new)))
}

/// A request's number, then in any order how far the yes reaches and what comes with it.
fn approve(word: &str, argument: &str) -> Result<Slash, Failure> {
    let mut parts = argument.split_whitespace();
    let request = number(word, parts.next().unwrap_or_default()).map(RequestId)?;
    let mut yes = Yes::default();
    for part in parts {
        let lower = part.to_ascii_lowercase();
        match lower.as_str() {
            "once" => yes.scope = Scope::Once,
            "task" => yes.scope = Scope::Task,
            "always" => yes.scope = Scope::Always,
            _ if is_code(part) => yes.code = Some(Code::new(part)),
            _ if part.len() >= 8 && part.bytes().all(|byte| byte.is_ascii_hexdigit()) => yes.confirm = Some(lower),
            _ if part.len() == WORD_LENGTH && part.bytes().all(|byte| byte.is_ascii_alphabetic()) => {
                yes.word = Some(lower);
            }
            _ => return Err(user("that is no answer to a request", "write it as /approve 7, or /approve 7 task")),
        }
    }
    Ok(Slash::Approve(request, yes))
}

/// Letters of the word that a messenger without buttons shows with a question.
pub(crate) const WORD_LENGTH: usize = 5;

/// A request's number and a code of the second factor, as they are typed when a code was asked for: `12 123456`.
pub(crate) fn typed_code(text: &str) -> Option<(RequestId, Code)> {
    let (request, code) = text.trim().split_once(char::is_whitespace)?;
    let request = request.trim_start_matches('#').parse().ok().filter(|number| *number > 0)?;
    let code = code.trim();
    is_code(code).then(|| (RequestId(request), Code::new(code)))
}

fn is_code(text: &str) -> bool {
    text.len() == 6 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A title is a name, not a text: it is cut at 80 characters.
fn title(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(80).collect()
}

fn number(word: &str, argument: &str) -> Result<i64, Failure> {
    argument
        .trim_start_matches('#')
        .parse::<i64>()
        .ok()
        .filter(|number| *number > 0)
        .ok_or_else(|| user(format!("/{word} needs a number"), format!("write it as /{word} 7")))
}

fn said(word: &str, argument: &str) -> Result<String, Failure> {
    if argument.is_empty() {
        return Err(user(format!("/{word} needs a text"), format!("write it as /{word} and then your message")));
    }
    Ok(argument.to_owned())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read() {
        let cases = [
            ("/help", Slash::Help),
            ("  /HELP@factotum_bot ", Slash::Help),
            ("/new", Slash::New { title: None }),
            ("/new fix the build", Slash::New { title: Some("fix the build".to_owned()) }),
            ("/resume 7", Slash::Resume(SessionId(7))),
            ("/approve #12", Slash::Approve(RequestId(12), Yes::default())),
            ("/approve 12 task", Slash::Approve(RequestId(12), Yes { scope: Scope::Task, ..Yes::default() })),
            (
                "/approve 12 always 12AB34cd 123456 Horse",
                Slash::Approve(
                    RequestId(12),
                    Yes {
                        scope: Scope::Always,
                        word: Some("horse".to_owned()),
                        confirm: Some("12ab34cd".to_owned()),
                        code: Some(Code::new("123456")),
                    },
                ),
            ),
            ("/allow", Slash::Allowed),
            ("/allow rm 3", Slash::Disallow(AllowanceId(3))),
            ("/deny 12", Slash::Deny(RequestId(12))),
            ("/workspace billing", Slash::Workspace(WorkspaceName::new("billing").unwrap())),
            ("/queue then\ncommit", Slash::Queue("then\ncommit".to_owned())),
            ("/interrupt no, wait", Slash::Interrupt("no, wait".to_owned())),
            ("/stop", Slash::Stop),
            ("/why", Slash::Why),
            ("/endorse toolu_1", Slash::Endorse("toolu_1".to_owned())),
            ("/proposals", Slash::Proposals),
            ("/accept 3", Slash::Decide(ProposalId(3), true, None)),
            ("/reject #3", Slash::Decide(ProposalId(3), false, None)),
            ("/cost", Slash::Cost),
            ("/model", Slash::Model(None)),
            ("/model lab/m-1:free", Slash::Model(Some("lab/m-1:free".to_owned()))),
            ("/jobs", Slash::Jobs),
            ("/job stop 2", Slash::Job(JobWord::Stop(types::JobId(2)))),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text).unwrap().unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn other_text_is_for_the_agent() {
        for text in ["", "hello", "/srv/code is broken", "/", "/ help", "a /help", "/etc/passwd", "/9"] {
            assert!(parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn wrong_commands_are_told() {
        for text in [
            "/resume",
            "/resume x",
            "/approve -1",
            "/approve 1 perhaps",
            "/allow 3",
            "/allow rm",
            "/queue",
            "/endorse",
            "/accept 3 x",
            "/accept",
            "/interrupt  ",
            "/workspace A B",
            "/nope",
        ] {
            assert!(parse(text).unwrap().is_err(), "{text}");
        }
    }

    #[test]
    fn a_typed_code_is_a_number_and_six_digits() {
        assert_eq!(typed_code(" 12 123456 "), Some((RequestId(12), Code::new("123456"))));
        for text in ["12", "123456", "12 12345", "12 1234567", "-1 123456", "12 123456 and more", "a 123456"] {
            assert_eq!(typed_code(text), None, "{text}");
        }
    }

    #[test]
    fn help_names_every_command() {
        for word in [
            "new",
            "sessions",
            "resume",
            "stop",
            "status",
            "undo",
            "approve",
            "deny",
            "workspace",
            "model",
            "allow",
            "jobs",
            "job",
        ] {
            assert!(HELP.contains(&format!("/{word}")), "{word}");
        }
    }
}

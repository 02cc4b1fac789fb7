//! `exec`: shell commands in the session's sandbox, and its background jobs. Whether a command is plainly destructive is
//! guessed in [`crate::danger`], as a courtesy; what it can reach is decided by the sandbox.

use std::{sync::Arc, time::Duration};

use policy::Grant;
use sandbox::{Command, Exit, ExitStatus, JobId, JobState, Sandbox, SandboxError};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use types::{BoxFuture, Effect, InvalidInput, Sink, Tool, ToolContext, ToolOutput, ToolSpec};

use crate::{
    arguments::{one_line, parse},
    danger::danger,
    reach::Reach,
    spec::{Field, Presence::Optional, changing, flag, looking, number, spec, text},
    transcript::{Decoder, Transcript},
};

const FIELDS: &str = "command, timeout_s?, background?; or job, action? (`output` or `kill`)";
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(120);
const MAX_TIMEOUT: u64 = 3600;
/// A background job is ended after this unless `timeout_s` says sooner.
const BACKGROUND_TIMEOUT: Duration = Duration::from_secs(24 * 3600);
/// Chunks of output that wait to be taken; the sandbox waits when it is full.
const CHUNKS: usize = 64;
/// How much of a job's output is shown, in bytes.
const MAX_JOB_OUTPUT: usize = 8_000;

pub(crate) struct Exec {
    spec: ToolSpec,
    reach: Arc<Reach>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    command: Option<String>,
    timeout_s: Option<u64>,
    background: Option<bool>,
    job: Option<u64>,
    action: Option<Action>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    Output,
    Kill,
}

#[derive(Debug)]
enum Checked {
    Run { script: String, timeout: Duration },
    Start { script: String, timeout: Duration },
    Job { job: JobId, action: Action },
}

fn check(input: &Value) -> Result<Checked, InvalidInput> {
    let refuse = |why: &str| Err(InvalidInput(format!("{why}; the fields are: {FIELDS}")));
    let arguments: Arguments = parse(input, FIELDS)?;
    if arguments.timeout_s.is_some_and(|seconds| !(1..=MAX_TIMEOUT).contains(&seconds)) {
        return refuse("`timeout_s` must be 1 to 3600; for longer work use background");
    }
    let timeout = arguments.timeout_s.map(Duration::from_secs);
    let background = arguments.background.unwrap_or(false);
    match (arguments.command, arguments.job) {
        (Some(_), Some(_)) => refuse("give either `command` or `job`"),
        (None, None) => refuse("`command` is missing"),
        (None, Some(job)) if timeout.is_none() && !background => {
            Ok(Checked::Job { job: JobId(job), action: arguments.action.unwrap_or(Action::Output) })
        }
        (None, Some(_)) => refuse("`timeout_s` and `background` go with `command`"),
        (Some(_), None) if arguments.action.is_some() => refuse("`action` goes with `job`"),
        (Some(script), None) if script.trim().is_empty() => refuse("`command` is empty"),
        (Some(script), None) if script.contains('\0') => refuse("`command` holds a zero byte"),
        (Some(script), None) if background => {
            Ok(Checked::Start { script, timeout: timeout.unwrap_or(BACKGROUND_TIMEOUT) })
        }
        (Some(script), None) => Ok(Checked::Run { script, timeout: timeout.unwrap_or(DEFAULT_TIMEOUT) }),
    }
}

fn effect(checked: &Checked) -> Effect {
    match checked {
        Checked::Run { script, .. } => script_effect("exec", script),
        Checked::Start { script, .. } => script_effect("exec in the background", script),
        Checked::Job { job, action: Action::Output } => looking(format!("exec: output of job {}", job.0)),
        Checked::Job { job, action: Action::Kill } => changing(format!("exec: kill job {}", job.0)),
    }
}

/// What running a script would do.
pub(crate) fn script_effect(verb: &str, script: &str) -> Effect {
    let line = one_line(script.trim(), 200);
    match danger(script) {
        None => changing(format!("{verb}: {line}")),
        Some(danger) => Effect {
            sink: Sink::Destructive,
            // The line may be cut; what is approved must be seen whole.
            payload: Some(script.to_owned()),
            count: danger.count,
            ..changing(format!("{verb} ({}): {line}", danger.what))
        },
    }
}

impl Exec {
    pub(crate) fn new(reach: Arc<Reach>) -> Self {
        let fields = vec![
            Field("command", text(), Optional),
            Field("timeout_s", number(), Optional),
            Field("background", flag(), Optional),
            Field("job", number(), Optional),
            Field("action", json!({"type": "string", "enum": ["output", "kill"]}), Optional),
        ];
        let description = "Run a shell command in the sandbox: working directory /workspace, network only where the owner allows it, 120 s unless \
                           `timeout_s` (max 3600). `background` returns a job number at once; give `job` and `action` \
                           to see its output or kill it.";
        Self { spec: spec("exec", description, fields), reach }
    }

    async fn act(&self, grant: &Grant, input: &Value, context: &ToolContext) -> Result<ToolOutput, ToolOutput> {
        let checked = check(input).map_err(|error| ToolOutput::error(error.0))?;
        let workspace = self.reach.workspace(context)?;
        let sandbox = self.reach.pool.get(context.session, &workspace).await.map_err(|error| explain(&error))?;
        match checked {
            Checked::Run { script, timeout } => {
                self.reach.raise(context).await?;
                self.run_to_end(&sandbox, grant, script, timeout, context).await
            }
            Checked::Start { script, timeout } => {
                self.reach.raise(context).await?;
                let job = sandbox.spawn(grant, Command::new(script, timeout)).await;
                let job = job.map_err(|error| explain(&error))?;
                let text = format!("started job {0}; see it with {{\"job\": {0}, \"action\": \"output\"}}", job.0);
                Ok(ToolOutput::ok(text, self.reach.label(context)))
            }
            Checked::Job { job, action: Action::Output } => self.job_output(&sandbox, job, context),
            Checked::Job { job, action: Action::Kill } => match sandbox.kill_job(job).await {
                Ok(()) => Ok(ToolOutput::ok(format!("job {} is gone", job.0), self.reach.label(context))),
                Err(error) => Err(ToolOutput::error(error.to_string())),
            },
        }
    }

    /// The end of a job's output. Always the end, so that asking again after a restart gives the same.
    fn job_output(&self, sandbox: &Sandbox, job: JobId, context: &ToolContext) -> Result<ToolOutput, ToolOutput> {
        let output = sandbox.job_output(job, 0).map_err(|error| ToolOutput::error(error.to_string()))?;
        let cut = output.bytes.len().saturating_sub(MAX_JOB_OUTPUT);
        let before = output.start.saturating_add(cut as u64);
        let mut text = String::new();
        if before > 0 {
            text.push_str(&format!("[{before} bytes before this are left out]\n"));
        }
        text.push_str(&String::from_utf8_lossy(&output.bytes[cut..]));
        end_line(&mut text);
        text.push_str(&match &output.state {
            JobState::Running => format!("[job {} is running]", job.0),
            JobState::Ended(exit) => format!("[job {}: {}]", job.0, status(exit)),
            JobState::Failed(why) => format!("[job {} failed: {}]", job.0, one_line(why, 300)),
        });
        Ok(ToolOutput::ok(text, self.reach.label(context)))
    }

    async fn run_to_end(
        &self,
        sandbox: &Sandbox,
        grant: &Grant,
        script: String,
        timeout: Duration,
        context: &ToolContext,
    ) -> Result<ToolOutput, ToolOutput> {
        let (sender, mut chunks) = mpsc::channel::<Vec<u8>>(CHUNKS);
        let mut transcript = Transcript::default();
        let mut decoder = Decoder::default();
        let taking = async {
            while let Some(chunk) = chunks.recv().await {
                transcript.push(&chunk);
                // Those who watch may miss some; the model does not.
                _ = context.progress.try_send(decoder.push(&chunk));
            }
        };
        let running = sandbox.exec(grant, Command::new(script, timeout), sender, &context.cancel);
        let (exit, ()) = tokio::join!(running, taking);
        let exit = match exit {
            Ok(exit) => exit,
            // It may have begun, and what it said until then may explain why it did not end.
            Err(error) => {
                let mut text = transcript.finish();
                end_line(&mut text);
                text.push_str(&format!("[not run to its end: {error}; its effects are unknown]"));
                return Err(ToolOutput { label: self.reach.label(context), ..ToolOutput::error(text) });
            }
        };
        let mut text = transcript.finish();
        end_line(&mut text);
        text.push_str(&format!("[{}]", status(&exit)));
        Ok(ToolOutput { text, is_error: exit.status != ExitStatus::Code(0), label: self.reach.label(context) })
    }
}

fn end_line(text: &mut String) {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
}

/// Why there is no sandbox, with what the owner can do.
fn explain(error: &SandboxError) -> ToolOutput {
    let hint = error.hint().map(|hint| format!("; for the owner: {hint}")).unwrap_or_default();
    ToolOutput::error(format!("nothing was run: {error}{hint}"))
}

/// How a command ended, in words, with what to do where something can be done.
fn status(exit: &Exit) -> String {
    let took = format!("{:.1} s", exit.elapsed.as_secs_f64());
    let mut text = match exit.status {
        ExitStatus::Code(126) => format!("exit 126 after {took}: found, but not executable"),
        ExitStatus::Code(127) => format!("exit 127 after {took}: a command was not found"),
        ExitStatus::Code(code) => format!("exit {code} after {took}"),
        ExitStatus::Signal(signal) => format!("killed by signal {signal}{} after {took}", signal_name(signal)),
        ExitStatus::TimedOut => format!(
            "timed out after {took} and was killed; give a larger `timeout_s`, or `background` for what does not end"
        ),
        ExitStatus::Cancelled => format!("stopped after {took}"),
        ExitStatus::OutOfMemory => {
            format!("killed after {took}: it needed more memory than the sandbox has; do less at once")
        }
        ExitStatus::DiskFull => format!("killed after {took}: it used too much disk; remove what is not needed"),
    };
    if exit.left_running {
        text.push_str("; something that it started still runs");
    }
    text
}

fn signal_name(signal: i32) -> &'static str {
    match signal {
        4 => " (illegal instruction)",
        6 => " (abort)",
        7 => " (bus error)",
        8 => " (arithmetic error)",
        9 => " (kill)",
        11 => " (segmentation fault)",
        13 => " (broken pipe)",
        15 => " (terminate)",
        24 => " (processor time limit)",
        25 => " (file size limit)",
        31 => " (a system call that the sandbox forbids)",
        _ => "",
    }
}

impl Tool<Grant> for Exec {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn assess(&self, input: &Value) -> Result<Effect, InvalidInput> {
        Ok(effect(&check(input)?))
    }

    fn run<'a>(&'a self, grant: &'a Grant, input: &'a Value, context: &'a ToolContext) -> BoxFuture<'a, ToolOutput> {
        Box::pin(async move { self.act(grant, input, context).await.unwrap_or_else(|output| output) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_told_with_what_to_do() {
        let told = |status: ExitStatus, left_running: bool| {
            super::status(&Exit { status, elapsed: Duration::from_millis(1_234), output_bytes: 0, left_running })
        };
        assert_eq!(told(ExitStatus::Code(0), false), "exit 0 after 1.2 s");
        assert_eq!(told(ExitStatus::Code(1), true), "exit 1 after 1.2 s; something that it started still runs");
        assert_eq!(told(ExitStatus::Signal(11), false), "killed by signal 11 (segmentation fault) after 1.2 s");
        assert!(told(ExitStatus::Code(127), false).contains("not found"));
        assert!(told(ExitStatus::TimedOut, false).contains("`background`"));
        assert!(told(ExitStatus::OutOfMemory, false).contains("memory"));
        assert!(told(ExitStatus::DiskFull, false).contains("disk"));
        assert!(told(ExitStatus::Cancelled, false).contains("stopped"));
    }
}

//! Commands: what clients can ask of the daemon, and what it answers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    AllowanceId, Answer, Code, InboxId, JobId, JobSpec, ProposalId, RecipeCall, RequestId, Seq, SessionId, ShellName,
    SnapshotId, WhenBusy, WorkspaceName,
};

/// What a client can ask of the daemon: `POST /v1/commands`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Install a version of a coding agent.
    InstallCoder {
        /// Which: `claude`, `codex` or `opencode`.
        coder: String,
        /// The version; the newest that is known when absent.
        #[serde(default)]
        version: Option<String>,
    },
    /// Let a model answer in a session from its next turn on.
    UseModel {
        /// The session's number or key; the present one when absent.
        #[serde(default)]
        session: Option<String>,
        /// Which, as `provider/model`; the configured one when absent.
        #[serde(default)]
        model: Option<String>,
    },
    /// Make a small real call to a model, and say what came of it.
    TestModel {
        /// Which, as `provider/model`; the configured one when absent.
        #[serde(default)]
        model: Option<String>,
    },
    /// Try a coding agent's program, and its way to its vendor.
    TestCoder {
        /// Its name under `[coders]`.
        coder: String,
    },
    /// Say something to the agent. The text may be a slash command.
    Send {
        /// The text.
        text: String,
        /// The session's number or key; the main session when absent; `new` starts one.
        #[serde(default)]
        session: Option<String>,
        /// The workspace of a session that this starts, or that has none running.
        #[serde(default)]
        workspace: Option<WorkspaceName>,
        /// What to do if a turn is running.
        #[serde(default)]
        when_busy: WhenBusy,
        /// A value of the client's choice: the same one is accepted once only.
        #[serde(default)]
        id: Option<String>,
    },
    /// Stop the running turns: of one session, or all.
    Stop {
        /// The session's number or key; all when absent.
        #[serde(default)]
        session: Option<String>,
    },
    /// Answer an open request.
    Answer {
        /// Which.
        request: RequestId,
        /// The answer; `expired` and `withdrawn` are refused.
        answer: Answer,
        /// The code of the second factor. Where one is needed and missing, the reply is `code_needed`.
        #[serde(default)]
        code: Option<Code>,
        /// For the scope `always`: the digest of the rule, from the reply `confirm`, as the sign that the rule was seen.
        #[serde(default)]
        confirm: Option<String>,
    },
    /// Take an allowance back. Calls that it let through are asked about again, from the next one on.
    RevokeAllowance {
        /// Which.
        allowance: AllowanceId,
    },
    /// Set up the second factor: codes of an authenticator app after RFC 6238 (SHA-1, 6 digits, 30 seconds).
    SetUpTotp {
        /// The secret that the app was given: 32 characters of base32 (RFC 4648).
        secret: Code,
        /// A code that the app shows for it.
        code: Code,
        /// A code of the second factor that is in force, if one is.
        #[serde(default)]
        present: Option<Code>,
    },
    /// Do without the second factor.
    RemoveTotp {
        /// A code of it.
        code: Code,
    },
    /// Make a new API token. The old one is refused and streams that were opened with it end.
    RotateToken,
    /// Begin a clean session with one result of a call, which the owner vouches for, and the owner's own words.
    Endorse {
        /// The session's number or key; the present one when absent.
        #[serde(default)]
        session: Option<String>,
        /// The vendor's id of the call.
        call: String,
    },
    /// Let a proposal run, or forget it.
    Decide {
        /// Which.
        proposal: ProposalId,
        /// Whether it is to run.
        accept: bool,
        /// The code of the second factor. Where one is set up and missing, the reply is `code_needed`.
        #[serde(default)]
        code: Option<Code>,
    },
    /// Let a coding agent do long work. It waits for a place and then goes on until it is done or a limit is reached.
    StartJob {
        /// What is wanted.
        spec: Box<JobSpec>,
        /// A value of the client's choice: the same one starts one job only.
        #[serde(default)]
        id: Option<String>,
    },
    /// Start a job as a recipe makes it.
    StartRecipe {
        /// The recipe with its parameters.
        call: Box<RecipeCall>,
        /// A value of the client's choice: the same one starts one job only.
        #[serde(default)]
        id: Option<String>,
    },
    /// Say something to the coding agent of a job that is not over.
    SteerJob {
        /// Which.
        job: JobId,
        /// What.
        text: String,
    },
    /// End a job: its programs are killed within two seconds. What it has done stays in its tree.
    StopJob {
        /// Which.
        job: JobId,
    },
    /// Work in place of a job's coding agent: its program is ended, and its conversation goes on in a terminal.
    TakeOverJob {
        /// Which.
        job: JobId,
    },
    /// Let the coding agent go on where the owner has worked.
    HandBackJob {
        /// Which.
        job: JobId,
    },
    /// Go on with a job that is over, in its tree and with its limits counted anew.
    ResumeJob {
        /// Which.
        job: JobId,
        /// Another coding agent, which is told what was done and tried so far; the same one when absent.
        #[serde(default)]
        coder: Option<String>,
        /// What it is to do now; to go on with the task when absent.
        #[serde(default)]
        text: Option<String>,
    },
    /// Open a shell for the owner in a sandbox of a workspace. One that is open already stays as it is.
    OpenShell {
        /// The workspace; that of the open shell, or else the usual one, when absent.
        #[serde(default)]
        workspace: Option<WorkspaceName>,
        /// Its name; that of the workspace when absent.
        #[serde(default)]
        name: Option<ShellName>,
    },
    /// End a shell with everything that runs in it. What it changed in the workspace stays.
    CloseShell {
        /// Which.
        name: ShellName,
    },
    /// Put a workspace back to before the last turn that wrote to it.
    Undo {
        /// Which; the main session's when absent.
        #[serde(default)]
        workspace: Option<WorkspaceName>,
        /// To which snapshot; the latest when absent.
        #[serde(default)]
        snapshot: Option<SnapshotId>,
    },
    /// Read the configuration again.
    Reload {
        /// The code of the second factor. Where what may be done grows and one is set up, it is needed.
        #[serde(default)]
        code: Option<Code>,
    },
}

impl Command {
    /// An answer by itself, without a code and without the confirmation of a rule.
    pub fn answer(request: RequestId, answer: Answer) -> Self {
        Self::Answer { request, answer, code: None, confirm: None }
    }
}

/// What the daemon says to a command that was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum CommandReply {
    /// The message is stored and will be answered.
    Accepted {
        /// Its place in the inbox.
        inbox: InboxId,
        /// The session it went to.
        session: SessionId,
        /// The journal's end before it was stored: events after this may concern it.
        since: Seq,
        /// True when the same `id` had been sent before.
        duplicate: bool,
    },
    /// A job was taken.
    Job {
        /// Its number.
        job: JobId,
        /// Its session, whose events tell of it.
        session: SessionId,
        /// The journal's end before it was stored: events after this may concern it.
        since: Seq,
        /// True when the same `id` had been sent before.
        duplicate: bool,
        /// In a sentence.
        text: String,
    },
    /// A shell is open.
    Shell {
        /// Its name.
        name: ShellName,
        /// Where it works.
        workspace: WorkspaceName,
        /// Whether it was opened just now.
        is_new: bool,
        /// In a sentence.
        text: String,
    },
    /// A slash command was carried out at once.
    Said {
        /// What it answers.
        text: String,
    },
    /// It was done.
    Done {
        /// In a sentence.
        text: String,
    },
    /// Nothing was done yet: the second factor's code is needed. Send the command again with `code`.
    CodeNeeded {
        /// Why, in a sentence.
        text: String,
    },
    /// Nothing was done yet: this rule would be saved. Send the answer again with `confirm`.
    Confirm {
        /// The whole rule, for people.
        rule: String,
        /// Its digest.
        confirm: String,
    },
}

/// An error as the API and the command line show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    /// What kind; decides the exit code.
    pub kind: FailureKind,
    /// What failed and why.
    pub error: String,
    /// What to do next.
    pub hint: Option<String>,
}

/// Kinds of failure, each with its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The command was wrong, or what it names does not exist: 2.
    User,
    /// The configuration is wrong: 3.
    Config,
    /// The daemon or the network cannot be reached: 4.
    Network,
    /// The task ended without success: 5.
    Task,
    /// The sandbox cannot be built: 6.
    Sandbox,
    /// Ours to mend: 1.
    Internal,
}

impl FailureKind {
    /// The process's exit code.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Internal => 1,
            Self::User => 2,
            Self::Config => 3,
            Self::Network => 4,
            Self::Task => 5,
            Self::Sandbox => 6,
        }
    }
}

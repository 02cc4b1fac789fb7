//! Jobs: long work that a coding agent does under supervision, in a tree of its own, until a command says that it is done.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{JobId, MicroUsd, SessionId, Timestamp, TurnId, Usage, WorkspaceName};

/// What the owner wants done, checked. Stored with the job and never changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JobSpec {
    /// The task, in the owner's words or a recipe's.
    pub brief: String,
    /// Which coding agent, as `[coders]` names it; `factotum` is our own loop.
    pub coder: String,
    /// The model, as that coding agent names it; its own choice when absent.
    #[serde(default)]
    pub model: Option<String>,
    /// The workspace.
    pub workspace: WorkspaceName,
    /// Where in it the work is done.
    #[serde(default)]
    pub place: Place,
    /// When it is done; without one, when the coding agent says so.
    #[serde(default)]
    pub done: Option<DoneWhen>,
    /// When it is given up.
    #[serde(default)]
    pub limits: JobLimits,
    /// How often the owner hears of it.
    #[serde(default)]
    pub report: Cadence,
    /// What becomes of finished work.
    #[serde(default)]
    pub then: Then,
    /// The recipe that it was made from.
    #[serde(default)]
    pub recipe: Option<String>,
    /// The parts of the task, done one after the other, each committed before the next begins; none where it is one piece.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<JobPhase>,
    /// The number of the pull request that is reviewed. It is fetched from the repository's host before, and the review becomes
    /// one comment on it after the owner's approval; nothing is committed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<u64>,
}

impl JobSpec {
    /// The done condition of a phase, counted from 0: its own command, or that of the whole job. What is pinned is so in all.
    pub fn done_in(&self, phase: u32) -> Option<DoneWhen> {
        let own = self.phase(phase).and_then(|phase| phase.done.clone());
        match (own, &self.done) {
            (Some(command), Some(done)) => Some(DoneWhen { command, ..done.clone() }),
            (Some(command), None) => Some(DoneWhen::new(command)),
            (None, done) => done.clone(),
        }
    }

    /// The phase of this number, counted from 0; none where the task is one piece.
    pub fn phase(&self, phase: u32) -> Option<&JobPhase> {
        self.phases.get(usize::try_from(phase).ok()?)
    }
}

/// One part of a job's task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JobPhase {
    /// What it is called.
    pub name: String,
    /// What is to be done in it, beside what the task as a whole says.
    pub brief: String,
    /// The command that shows that it is done; that of the whole job when absent.
    #[serde(default)]
    pub done: Option<String>,
    /// The first line of its commit's message.
    pub commit: String,
    /// Whether it begins in a new conversation, which knows nothing of the phases before.
    #[serde(default)]
    pub fresh: bool,
}

/// A job as a recipe makes it. What is absent is as the recipe says, or as it usually is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecipeCall {
    /// The recipe's name.
    pub recipe: String,
    /// Its parameters.
    #[serde(default)]
    pub set: BTreeMap<String, String>,
    /// The coding agent.
    #[serde(default)]
    pub coder: Option<String>,
    /// The model, as that coding agent names it.
    #[serde(default)]
    pub model: Option<String>,
    /// The workspace; that of the present session when absent.
    #[serde(default)]
    pub workspace: Option<WorkspaceName>,
    /// The branch to work on.
    #[serde(default)]
    pub branch: Option<String>,
    /// The most that it may cost.
    #[serde(default)]
    pub cost: Option<MicroUsd>,
    /// How often the owner hears of it.
    #[serde(default)]
    pub report: Option<Cadence>,
    /// What becomes of finished work.
    #[serde(default)]
    pub then: Option<Then>,
}

/// Where a job works.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "place", rename_all = "snake_case")]
pub enum Place {
    /// In the workspace itself; no other job may meanwhile.
    #[default]
    Workspace,
    /// In a clone of the workspace's repository. Finished commits are brought back as a branch.
    Branch {
        /// The branch; made from `base` if it does not exist.
        branch: String,
        /// What a new branch starts from; what the workspace has checked out when absent.
        #[serde(default)]
        base: Option<String>,
    },
}

/// The done condition. Run by us, never by the coding agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DoneWhen {
    /// A command for the shell, in the top of the job's tree; done when it exits with 0.
    pub command: String,
    /// How long it may take, in seconds.
    #[serde(default = "DoneWhen::usual_s")]
    pub timeout_s: u64,
    /// Files that the job may not change, by glob relative to the tree. A changed one is put back before the check, and the
    /// coding agent is told.
    #[serde(default)]
    pub pinned: Vec<String>,
}

impl DoneWhen {
    /// How long one may take that says nothing of it, in seconds.
    pub const USUAL_S: u64 = 900;

    /// A command that has the usual time, and nothing pinned.
    pub fn new(command: String) -> Self {
        Self { command, timeout_s: Self::USUAL_S, pinned: Vec::new() }
    }

    fn usual_s() -> u64 {
        Self::USUAL_S
    }
}

/// When a job is given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct JobLimits {
    /// Turns of the coding agent: prompts that it answered.
    pub rounds: u32,
    /// Tools that it used, over all rounds.
    pub iterations: u32,
    /// Money, as far as the coding agent or the model's price tells.
    pub cost: Option<MicroUsd>,
    /// Input and output tokens together.
    pub tokens: Option<u64>,
    /// Minutes from the start, without those in which it waits for the owner's answer or is in the owner's hands.
    pub minutes: u64,
    /// Checks in a row with the same failures.
    pub same_failures: u32,
}

impl Default for JobLimits {
    fn default() -> Self {
        Self { rounds: 20, iterations: 400, cost: None, tokens: None, minutes: 240, same_failures: 3 }
    }
}

/// How often the owner hears of a job that runs. Its end and its questions always come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "every", rename_all = "snake_case")]
pub enum Cadence {
    /// Each time that this many tools were used.
    Iterations {
        /// How many.
        count: u32,
    },
    /// Each time that so much time has passed.
    Minutes {
        /// How many.
        count: u32,
    },
    /// Only the end.
    #[default]
    End,
}

/// What becomes of finished work. Each step includes those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    /// It stays in the tree as it is.
    Nothing,
    /// It is committed, and for a tree of its own brought back as a branch.
    #[default]
    Commit,
    /// The branch is pushed to the repository's `origin`, after the owner's approval.
    Push,
    /// A draft pull request is opened, after the owner's approval.
    DraftPullRequest,
}

/// How a job is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum JobState {
    /// It waits for a place.
    Queued,
    /// Its tree is being made.
    Preparing,
    /// The coding agent works.
    Working,
    /// It waits for the owner's answer.
    Asking,
    /// The owner has taken the terminal over.
    TakenOver,
    /// The done condition is run.
    Checking,
    /// Finished work is committed, pushed or proposed.
    Landing,
    /// It is over.
    Ended {
        /// How.
        end: JobEnd,
    },
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "end", rename_all = "snake_case")]
pub enum JobEnd {
    /// The done condition holds, or the coding agent said that it is done and there is none.
    Done,
    /// The owner stopped it.
    Stopped,
    /// A limit was reached.
    Limit {
        /// Which one, in a sentence.
        limit: String,
    },
    /// The same failures came again and again.
    NoProgress {
        /// Which.
        failure: String,
    },
    /// Something failed that we could not mend.
    Failed {
        /// What, why and what to do.
        error: String,
    },
}

/// A job as clients see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JobView {
    /// Its number.
    pub id: JobId,
    /// Its session.
    pub session: SessionId,
    /// The turn that stands for it, once it was started.
    pub turn: Option<TurnId>,
    /// What is wanted.
    pub spec: JobSpec,
    /// The coding agent that works on it now.
    pub coder: String,
    /// How it is doing.
    pub state: JobState,
    /// Since when it is doing that.
    #[serde(default)]
    pub since: Timestamp,
    /// Why it does not go on at the moment, if it does not.
    #[serde(default)]
    pub pause: Option<JobPause>,
    /// What it has taken since it was last asked for, by `resume` or at first; the sums below are those of all times.
    #[serde(default)]
    pub run: JobRun,
    /// The phase that it is in, counted from 1; none where its task is one piece.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<u32>,
    /// Prompts that the coding agent has answered.
    pub rounds: u32,
    /// Tools that it has used.
    pub iterations: u32,
    /// Tokens so far.
    pub usage: Usage,
    /// Money so far.
    pub cost: MicroUsd,
    /// The end of the last check's output, if there was one.
    pub last_check: Option<String>,
    /// What it did last, in a line; foreign text.
    pub last: Option<String>,
    /// What failed last, if anything did.
    pub last_error: Option<String>,
    /// What it changed, such as `2 files changed, +10 -3`, once that is known.
    pub changes: Option<String>,
    /// The report of its end, once it is over.
    pub report: Option<String>,
    /// What was tried, oldest first; at most the last 50 rounds.
    pub tried: Vec<JobRound>,
    /// The commit that holds the finished work.
    pub commit: Option<String>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it was over.
    pub ended_at: Option<Timestamp>,
}

/// Why a job does not go on by itself at the moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JobPause {
    /// Why, in words; may hold foreign text.
    pub why: String,
    /// Since when.
    pub since: Timestamp,
    /// When it goes on by itself, where that is known.
    pub until: Option<Timestamp>,
    /// Its place among the jobs that wait, from 1.
    pub position: Option<u32>,
}

/// What a job has taken since it was last asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JobRun {
    /// Prompts that were answered.
    pub rounds: u32,
    /// Tools that were used.
    pub iterations: u32,
    /// Input and output tokens.
    pub tokens: u64,
    /// Money.
    pub cost: MicroUsd,
}

/// One prompt to the coding agent of a job and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JobRound {
    /// Counted from 1.
    pub round: u32,
    /// The coding agent.
    pub coder: String,
    /// SHA-256 in hex of the prompt.
    pub prompt: String,
    /// The beginning of its last words, or of its error; foreign text.
    pub said: String,
    /// What came of it; none while it runs.
    pub end: Option<RoundEnd>,
    /// When it was begun.
    pub at: Timestamp,
}

/// What came of one round of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "end", rename_all = "snake_case")]
pub enum RoundEnd {
    /// The coding agent said that it is done, and there is nothing to check it by.
    Done,
    /// The done condition held.
    Passed,
    /// It did not.
    NotYet {
        /// What stays the same when the same tests fail again.
        signature: String,
        /// The end of the output; foreign text.
        tail: String,
    },
    /// The coding agent failed.
    Failed {
        /// Why.
        error: String,
    },
    /// It was interrupted.
    Interrupted,
}

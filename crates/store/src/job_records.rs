//! What is kept of a job: plain data.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use types::{ChannelId, JobEnd, JobId, JobSpec, JobState, MicroUsd, Origin, SessionId, Timestamp, TurnId, Usage};

/// A job to be queued. Its session is made with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewJob {
    /// What is wanted.
    pub spec: JobSpec,
    /// What set it off.
    pub origin: Origin,
    /// The channel to report on.
    pub reply_channel: ChannelId,
    /// The chat to report in.
    pub reply_to: Option<String>,
    /// Who asked for it with which message; at most 1 KiB. The same value starts one job only.
    pub asked: String,
    /// The label of the session that asked: the job's session begins with it.
    pub label: types::Label,
}

/// A job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its number.
    pub id: JobId,
    /// Its session.
    pub session: SessionId,
    /// The turn that stands for it: the latest one, where it was resumed.
    pub turn: Option<TurnId>,
    /// What is wanted.
    pub spec: JobSpec,
    /// How it is doing.
    pub state: JobState,
    /// What set it off.
    pub origin: Origin,
    /// The channel to report on.
    pub reply_channel: ChannelId,
    /// The chat to report in.
    pub reply_to: Option<String>,
    /// The last thing of the supervisor's records that was taken in.
    pub cursor: JobCursor,
    /// What is remembered from step to step.
    pub memory: JobMemory,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it last began to wait for a place.
    pub queued_at: Timestamp,
    /// When it last began.
    pub started_at: Option<Timestamp>,
    /// When it was over.
    pub ended_at: Option<Timestamp>,
}

/// A place in the records of a job's supervisor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct JobCursor {
    /// The number of the record; 0 before the first.
    pub record: u64,
    /// The place in what the record meant, from 0.
    pub item: u32,
}

/// What is remembered of a job from step to step. What an older program wrote lacks some of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobMemory {
    /// How often the records began anew for the job, because they were removed or lost their end. Places are compared within
    /// one of these.
    pub records: u32,
    /// When the record of the job's place was written, in milliseconds since 1970, by which it is known again.
    pub record_at: i64,
    /// The coding agent that works on it now.
    pub coder: String,
    /// The model that it was given, if one was.
    pub model: Option<String>,
    /// The coding agent's name for the conversation, by which it is resumed.
    pub conversation: Option<String>,
    /// An identifier for a new conversation: a UUID.
    pub fresh: String,
    /// What the conversation has used, as far as it is counted.
    pub counted: JobUse,
    /// The same of a conversation that was left, while the records may hold more of it: until the next prompt is told.
    pub left: Option<JobUse>,
    /// Everything so far, all conversations together.
    pub used: JobUse,
    /// How many amounts were booked.
    pub bookings: u32,
    /// The phase that it is in, counted from 0, where its task has some.
    pub phase: u32,
    /// Whether the coding agent was not told of the present phase yet: the job ended between the one before and it.
    pub is_phase_untold: bool,
    /// Prompts that were answered.
    pub rounds: u32,
    /// Tools that were used.
    pub iterations: u32,
    /// What the coding agent is to be told, until that is in its records.
    pub order: Option<JobOrder>,
    /// The order that was open when the job ended, if it may have been told. Whether the words in it are still to be told is
    /// seen from the records when the coding agent is taken up again.
    pub doubt: Option<JobOrder>,
    /// How many orders there were, so that each has a number of its own.
    pub orders: u32,
    /// How far the journal was taken in, which is the record of our own loop: the number of an event.
    pub heard: u64,
    /// The permissions that its coding agent waits for, each with the record in which it asked.
    pub asked: BTreeMap<String, u64>,
    /// What the owner said that could not be told at once; it goes with the next prompt.
    pub words: Vec<String>,
    /// Questions that were put to the owner in this round.
    pub questions: u32,
    /// How the job ends once its turn is over, where that is decided already.
    pub ending: Option<JobEnd>,
    /// What limits are counted from: the last time that it was asked for.
    pub since: JobSince,
    /// Failures of the coding agent in a row that may pass.
    pub troubles: u32,
    /// When it is tried again.
    pub retry_at: Option<Timestamp>,
    /// Since when it waits for that.
    pub paused_at: Option<Timestamp>,
    /// Since when it is in its state.
    pub moved_at: Timestamp,
    /// Milliseconds since it was last asked for in which it waited for the owner, present state left out.
    pub waited_ms: u64,
    /// Since when a question of its landing waits for the owner; none while none does.
    pub asking_since: Option<Timestamp>,
    /// What stays the same while the done condition fails in the same way.
    pub signature: Option<String>,
    /// How often in a row it came.
    pub same: u32,
    /// How often the done condition was run again because the tree was changed after it held.
    pub rechecks: u32,
    /// The end of the last check's output.
    pub last_check: Option<String>,
    /// What was done last, in a line.
    pub last: Option<String>,
    /// What failed last.
    pub last_error: Option<String>,
    /// The last words of the coding agent.
    pub said: String,
    /// What happened that the owner should read in the report, such as that pinned files were put back.
    pub notes: Vec<String>,
    /// The commit that holds the work.
    pub commit: Option<String>,
    /// What it changed, in a line.
    pub changes: Option<String>,
    /// The report of its end.
    pub report: Option<String>,
    /// When the owner last heard of it.
    pub told: JobSince,
    /// How often the owner heard of it.
    pub reports: u32,
}

/// What a conversation has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobUse {
    /// Tokens.
    pub usage: Usage,
    /// Money, as far as it is known.
    pub cost: MicroUsd,
}

/// Something that a coding agent is to be told. It is stored before it is told, so that it is told once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobOrder {
    /// Its number in the job.
    #[serde(default)]
    pub number: u32,
    /// How many commands the records held before it; none until its coding agent was taken up.
    pub before: Option<u64>,
    /// The owner's words that are in it. They are kept when the job ends before it was told.
    #[serde(default)]
    pub words: Vec<String>,
    /// The command, in the words of `coders`.
    pub command: serde_json::Value,
}

/// A moment in a job that later ones are compared with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobSince {
    /// Prompts that were answered by then.
    pub rounds: u32,
    /// Tools that were used by then.
    pub iterations: u32,
    /// Input and output tokens by then.
    pub tokens: u64,
    /// Money by then.
    pub cost: MicroUsd,
    /// The time.
    pub at: Timestamp,
}

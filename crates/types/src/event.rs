//! Events: what happens, as every client and the journal see it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Answer, ChannelId, InboxId, JobEnd, JobId, JobState, Label, MicroUsd, OutboxId, OwnerRequest, Proposal, ProposalId,
    RequestId, Seq, SessionId, Settlement, SnapshotId, StopReason, Timestamp, TurnId, Usage, WorkspaceName,
};

/// What set a turn off. The same call is judged differently by origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The authenticated owner, present on a channel.
    Owner,
    /// A parent turn.
    SubAgent,
    /// A schedule.
    Schedule,
    /// A webhook or another program.
    Program,
}

impl Origin {
    /// Whether somebody is there who can answer a question.
    pub fn is_attended(self) -> bool {
        match self {
            Self::Owner => true,
            Self::SubAgent | Self::Schedule | Self::Program => false,
        }
    }
}

/// What to do with a message that arrives while a turn runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WhenBusy {
    /// Give it to the running turn at its next step.
    #[default]
    Steer,
    /// Keep it for the turn after.
    Queue,
    /// Stop the running turn and start with this.
    Interrupt,
}

/// How a turn ended. Every turn ends in exactly one of these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TurnEnd {
    /// The model finished its answer.
    Done,
    /// The owner stopped it.
    Stopped,
    /// A limit was reached.
    Limit {
        /// Which one, in a sentence.
        limit: String,
    },
    /// It went round in circles.
    Looping {
        /// What was repeated.
        repeated: String,
    },
    /// The model refused.
    Refused,
    /// Something failed that we could not mend.
    Failed {
        /// What, why and what to do.
        error: String,
    },
}

/// How bad a notice is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Good to know.
    Info,
    /// Needs attention.
    Warning,
    /// Something is broken.
    Error,
}

/// Everything that happens. Events marked ephemeral are not journalled and have no sequence number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// A message of the owner was stored.
    MessageReceived {
        /// Its place in the inbox.
        inbox: InboxId,
        /// Where it came from.
        channel: ChannelId,
        /// The text.
        text: String,
    },
    /// A turn began.
    TurnStarted {
        /// What set it off.
        origin: Origin,
        /// The model that answers.
        model: String,
        /// The messages it answers.
        inbox: Vec<InboxId>,
    },
    /// A turn that a restart had interrupted goes on.
    TurnResumed,
    /// A message that arrived during the turn was given to it.
    Steered {
        /// The message.
        inbox: InboxId,
    },
    /// The model is being asked.
    StepStarted {
        /// The number of the model call in this turn, from 1.
        step: u32,
    },
    /// Ephemeral: more text of the answer.
    TextDelta {
        /// The text.
        text: String,
    },
    /// Ephemeral: more reasoning.
    ThinkingDelta {
        /// The text.
        text: String,
    },
    /// Ephemeral: a model call is repeated; text since `StepStarted` is void.
    ModelRetry {
        /// Which attempt follows.
        attempt: u32,
        /// How long we wait, in milliseconds.
        wait_ms: u64,
        /// Why.
        error: String,
    },
    /// A model does not answer, and the next of the owner's list goes on; text since `StepStarted` is void.
    ModelSwitched {
        /// The model that failed, as `provider/model`.
        from: String,
        /// The one that goes on.
        to: String,
        /// Why the first failed.
        why: String,
    },
    /// The model answered.
    ModelAnswered {
        /// The text of the answer, if any.
        text: String,
        /// Why it stopped.
        stop: StopReason,
        /// What was used, failed attempts included.
        usage: Usage,
        /// What it cost; none when the model has no known price.
        cost: Option<MicroUsd>,
    },
    /// A tool call began.
    ToolStarted {
        /// The vendor's id of the call.
        call: String,
        /// The tool.
        tool: String,
        /// What it does, in a line.
        summary: String,
    },
    /// Ephemeral: output of a running tool.
    ToolProgress {
        /// The vendor's id of the call.
        call: String,
        /// The new output.
        text: String,
    },
    /// A tool call ended.
    ToolFinished {
        /// The vendor's id of the call.
        call: String,
        /// The tool.
        tool: String,
        /// How it ended.
        end: ToolEnd,
        /// The first part of what the model sees.
        preview: String,
    },
    /// The owner is asked.
    OwnerAsked {
        /// The request.
        request: Box<OwnerRequest>,
    },
    /// A request was settled.
    OwnerAnswered {
        /// Which.
        request: RequestId,
        /// How.
        answer: Answer,
        /// Where the answer came from; none when nobody answered.
        channel: Option<ChannelId>,
    },
    /// A call of a task without the owner waits for them as a proposal.
    Proposed {
        /// The proposal.
        proposal: Box<Proposal>,
    },
    /// The owner decided about a proposal, or it has run.
    ProposalSettled {
        /// Which.
        proposal: ProposalId,
        /// What became of it.
        settlement: Settlement,
    },
    /// The workspace was saved before the turn wrote to it.
    SnapshotTaken {
        /// The snapshot.
        snapshot: SnapshotId,
        /// Of which workspace.
        workspace: WorkspaceName,
    },
    /// The workspace was put back.
    SnapshotRestored {
        /// To which snapshot.
        snapshot: SnapshotId,
        /// Of which workspace.
        workspace: WorkspaceName,
    },
    /// The context was shortened.
    Compacted {
        /// Its estimated size before, in tokens.
        before: u64,
        /// And after.
        after: u64,
    },
    /// The session's label rose.
    LabelRaised {
        /// To what.
        label: Label,
        /// What raised it.
        cause: String,
    },
    /// A turn ended.
    TurnFinished {
        /// How.
        end: TurnEnd,
        /// The final text for the owner.
        text: String,
        /// How many model calls it took.
        steps: u32,
        /// All that was used.
        usage: Usage,
        /// All that it cost.
        cost: MicroUsd,
    },
    /// A message reached its messenger.
    Delivered {
        /// Which delivery.
        outbox: OutboxId,
        /// The channel.
        channel: ChannelId,
        /// True when it may be there twice: the daemon died between sending and recording.
        possible_repeat: bool,
    },
    /// A message could not be delivered.
    DeliveryFailed {
        /// Which delivery.
        outbox: OutboxId,
        /// The channel.
        channel: ChannelId,
        /// Why.
        error: String,
    },
    /// A job was asked for and waits for a place.
    JobQueued {
        /// Which.
        job: JobId,
        /// The coding agent that is to do it.
        coder: String,
        /// Where.
        workspace: WorkspaceName,
        /// The beginning of the task.
        brief: String,
    },
    /// A job goes on in another state.
    JobMoved {
        /// Which.
        job: JobId,
        /// The state that it is in now. Its end has an event of its own.
        state: JobState,
    },
    /// A coding agent said or did something. All text in it is foreign.
    CoderSaid {
        /// In which job.
        job: JobId,
        /// What kind of thing it is.
        kind: CoderWord,
        /// What, in a line or a few.
        text: String,
    },
    /// Ephemeral: more of what a coding agent is saying.
    CoderDelta {
        /// In which job.
        job: JobId,
        /// The piece.
        text: String,
    },
    /// The done condition of a job was run.
    JobChecked {
        /// Which.
        job: JobId,
        /// After how many rounds.
        round: u32,
        /// Whether it holds.
        passed: bool,
        /// The end of its output; foreign text.
        tail: String,
    },
    /// A job has come further: told as often as its owner wants to hear of it.
    JobProgress {
        /// Which.
        job: JobId,
        /// Prompts that the coding agent has answered.
        rounds: u32,
        /// Tools that it has used.
        iterations: u32,
        /// Tokens so far.
        usage: Usage,
        /// Money so far.
        cost: MicroUsd,
        /// What it did last, in a line; foreign text.
        last: String,
    },
    /// A job is over.
    JobFinished {
        /// Which.
        job: JobId,
        /// How.
        end: JobEnd,
        /// Prompts that the coding agent answered.
        rounds: u32,
        /// Tools that it used.
        iterations: u32,
        /// All that was used.
        usage: Usage,
        /// All that it cost, as far as it is known.
        cost: MicroUsd,
        /// The commit that holds the work.
        commit: Option<String>,
    },
    /// Something the owner should know.
    Notice {
        /// How bad it is.
        level: Level,
        /// What, why and what to do.
        text: String,
    },
}

/// Kinds of what a coding agent says and does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CoderWord {
    /// It said this.
    Text,
    /// It thought this.
    Thinking,
    /// It began to use a tool.
    Tool,
    /// A tool did what it was to do; the end of its output.
    Output,
    /// A tool failed; the end of its output.
    Trouble,
    /// It changed this file.
    File,
    /// What it means to do.
    Plan,
    /// It waits for this, or repeats a request because of this.
    Waiting,
    /// A warning or remark of its program.
    Note,
    /// What it was told to do: a prompt or the owner's words.
    Told,
}

/// How a tool call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ToolEnd {
    /// It did what it was asked.
    Ok,
    /// It failed; the model sees why.
    Error,
    /// Policy or the owner said no.
    Denied,
    /// The turn was stopped.
    Stopped,
    /// The daemon died while it ran; it was not repeated.
    Unknown,
}

/// An event with its place and time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Envelope {
    /// Its number in the journal; none for ephemeral events.
    pub seq: Option<Seq>,
    /// When it happened.
    pub at: Timestamp,
    /// In which session.
    pub session: Option<SessionId>,
    /// In which turn.
    pub turn: Option<TurnId>,
    /// What.
    pub event: Event,
}

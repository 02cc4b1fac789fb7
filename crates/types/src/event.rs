//! Commands and events: the wire protocol of every client, and the journal.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    AllowanceId, Answer, ChannelId, Code, InboxId, Label, MicroUsd, OutboxId, OwnerRequest, Proposal, ProposalId,
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
    /// Something the owner should know.
    Notice {
        /// How bad it is.
        level: Level,
        /// What, why and what to do.
        text: String,
    },
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

/// What a client can ask of the daemon: `POST /v1/commands`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
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

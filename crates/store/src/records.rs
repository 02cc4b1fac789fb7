//! What is read from the store and what is given to it: plain data.

use serde::{Deserialize, Serialize};
use types::{
    Ask, Block, ChannelId, InboxId, Label, MessageId, MicroUsd, Origin, OutboxId, RequestId, Role, SessionId,
    SnapshotId, Timestamp, ToolCall, ToolEnd, ToolOutput, TurnEnd, TurnId, Usage, WhenBusy, WorkspaceName,
};

/// A conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its number.
    pub id: SessionId,
    /// A name that is unique among sessions, if it has one.
    pub key: Option<String>,
    /// What it is about.
    pub title: String,
    /// Where its tools work.
    pub workspace: WorkspaceName,
    /// The join of everything that entered it.
    pub label: Label,
    /// When it began.
    pub created_at: Timestamp,
    /// When something was last said in it.
    pub updated_at: Timestamp,
}

/// A session to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSession {
    /// A name that no other session has.
    pub key: Option<String>,
    /// What it is about.
    pub title: String,
    /// Where its tools work.
    pub workspace: WorkspaceName,
}

/// Who wrote a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Author {
    /// A person on a channel.
    Owner,
    /// The model.
    Model,
    /// Tools: the results of a step.
    Tool,
    /// Our own code.
    System,
}

/// What part a message plays in the context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageKind {
    /// A part of the conversation.
    Normal,
    /// Stands for what was said before it.
    Summary,
}

/// A message of a session.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredMessage {
    /// Its number; later messages have greater ones.
    pub id: MessageId,
    /// The session.
    pub session: SessionId,
    /// The turn in which it was said.
    pub turn: Option<TurnId>,
    /// The side it is on.
    pub role: Role,
    /// Who wrote it.
    pub author: Author,
    /// What part it plays.
    pub kind: MessageKind,
    /// What is said.
    pub blocks: Vec<Block>,
    /// Its label.
    pub label: Label,
    /// When it was stored.
    pub at: Timestamp,
}

/// A message to be stored.
#[derive(Clone, Debug, PartialEq)]
pub struct NewMessage {
    /// The session.
    pub session: SessionId,
    /// The turn in which it is said.
    pub turn: Option<TurnId>,
    /// The side it is on.
    pub role: Role,
    /// What is said; each text at most [`crate::MAX_TEXT`] bytes.
    pub blocks: Vec<Block>,
    /// Who wrote it.
    pub author: Author,
    /// Its label; it raises that of the session.
    pub label: Label,
    /// What part it plays.
    pub kind: MessageKind,
}

/// A message that the search found.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchHit {
    /// The message.
    pub message: MessageId,
    /// Its session.
    pub session: SessionId,
    /// Who wrote it.
    pub author: Author,
    /// Its label, which whoever reads the snippet takes on.
    pub label: Label,
    /// When it was stored.
    pub at: Timestamp,
    /// A part of the text with the found words in square brackets.
    pub snippet: String,
    /// The bm25 rank; lower is better.
    pub rank: f64,
}

/// A block that a session's label comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelCause {
    /// The turn in which it entered.
    pub turn: Option<TurnId>,
    /// The vendor's id of the tool call whose result it was.
    pub call: Option<String>,
    /// The block's own label.
    pub label: Label,
    /// Whether the session's label rose with it.
    pub rose: bool,
    /// What it was, in a few words.
    pub cause: String,
    /// When it entered.
    pub at: Timestamp,
}

/// What a reader told the session that it worked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewReading {
    /// The session that asked.
    pub session: SessionId,
    /// The turn that asked.
    pub turn: TurnId,
    /// The vendor's id of the call that asked.
    pub call: String,
    /// The reader's own session.
    pub reader: SessionId,
    /// How much the answer can tell, in bits; 0 for a text that is only passed on.
    pub bits: u32,
    /// The handle and the text that it stands for.
    pub passed_on: Option<(String, String)>,
    /// The label of what was read.
    pub label: Label,
}

/// A text that a session may pass on without having read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handle {
    /// Its name: `h_` and 12 hexadecimal digits.
    pub name: String,
    /// The text.
    pub text: String,
    /// Its label.
    pub label: Label,
}

/// A received message that no turn has taken yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboxRow {
    /// Its number.
    pub id: InboxId,
    /// Where it came from.
    pub channel: ChannelId,
    /// The messenger's number of it.
    pub remote_id: String,
    /// The session it belongs to.
    pub session: SessionId,
    /// What it says.
    pub text: String,
    /// The chat to answer in.
    pub reply_to: Option<String>,
    /// What to do with it while a turn runs.
    pub when_busy: WhenBusy,
    /// What set it off.
    pub origin: Origin,
    /// When it was stored.
    pub at: Timestamp,
}

/// A message to be stored in the inbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewInbox {
    /// Where it came from.
    pub channel: ChannelId,
    /// The messenger's number of it; with the channel it identifies the message.
    pub remote_id: String,
    /// The session it belongs to.
    pub session: SessionId,
    /// What it says; at most [`crate::MAX_TEXT`] bytes.
    pub text: String,
    /// The chat to answer in.
    pub reply_to: Option<String>,
    /// What to do with it while a turn runs.
    pub when_busy: WhenBusy,
    /// What set it off.
    pub origin: Origin,
}

/// What became of a received message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Its place in the inbox.
    pub id: InboxId,
    /// True when it had been received, or silenced, before; nothing was stored then.
    pub duplicate: bool,
}

/// Whether a turn runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TurnState {
    /// It has begun and has not ended.
    Running,
    /// It has ended, and how.
    Ended(TurnEnd),
}

/// One run of the loop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Its number.
    pub id: TurnId,
    /// Its session.
    pub session: SessionId,
    /// What set it off.
    pub origin: Origin,
    /// The model that answers.
    pub model: String,
    /// Whether it runs.
    pub state: TurnState,
    /// The number of the last model call, from 1; 0 before the first.
    pub step: u32,
    /// The channel to answer on.
    pub reply_channel: ChannelId,
    /// The chat to answer in.
    pub reply_to: Option<String>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// The final text; empty while it runs.
    pub text: String,
    /// The messages it took, oldest first.
    pub inbox: Vec<InboxId>,
}

/// A turn to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTurn {
    /// Its session.
    pub session: SessionId,
    /// What sets it off.
    pub origin: Origin,
    /// The model that is to answer.
    pub model: String,
    /// The waiting messages it answers; they are marked as taken.
    pub inbox: Vec<InboxId>,
    /// The channel to answer on.
    pub reply_channel: ChannelId,
    /// The chat to answer in.
    pub reply_to: Option<String>,
}

/// How far a tool call has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallState {
    /// The model asked for it.
    Planned,
    /// It may have had its effect.
    Started,
    /// It is over.
    Finished(ToolEnd),
}

/// A tool call of a turn.
#[derive(Clone, Debug, PartialEq)]
pub struct CallRecord {
    /// The turn.
    pub turn: TurnId,
    /// The model call that asked for it.
    pub step: u32,
    /// What was asked for.
    pub call: ToolCall,
    /// How far it has come.
    pub state: CallState,
    /// What it does, in a line; empty until it starts.
    pub summary: String,
    /// Whether it may be run again after a crash; false until it starts.
    pub read_only: bool,
    /// What it gave; none until it finishes.
    pub output: Option<ToolOutput>,
}

/// A tool call to be planned.
#[derive(Clone, Debug, PartialEq)]
pub struct NewCall {
    /// The turn.
    pub turn: TurnId,
    /// The model call that asks for it.
    pub step: u32,
    /// What is asked for.
    pub call: ToolCall,
}

/// A request to put to the owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRequest {
    /// The session that asks.
    pub session: SessionId,
    /// The turn that asks.
    pub turn: TurnId,
    /// The vendor's id of the tool call that waits.
    pub call: String,
    /// What is asked.
    pub ask: Ask,
    /// When it expires.
    pub expires_at: Timestamp,
}

/// What is to be delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum DeliveryBody {
    /// A piece of an answer.
    Text {
        /// The text in Markdown.
        markdown: String,
    },
    /// A request to the owner, as it stands when it is sent.
    Request {
        /// Which.
        request: RequestId,
    },
    /// A word of our own.
    Notice {
        /// The text.
        text: String,
    },
}

/// How far a delivery has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutboxState {
    /// It waits to be sent.
    Pending,
    /// It is being sent; after a restart it may have been sent.
    Sending,
    /// The messenger has it.
    Sent,
    /// It was given up.
    Failed,
}

/// A delivery obligation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxRow {
    /// Its number.
    pub id: OutboxId,
    /// The turn it belongs to.
    pub turn: Option<TurnId>,
    /// The session it belongs to.
    pub session: Option<SessionId>,
    /// The channel.
    pub channel: ChannelId,
    /// The chat.
    pub target: String,
    /// What is to be delivered.
    pub body: DeliveryBody,
    /// How often sending was begun.
    pub attempts: u32,
    /// How far it has come.
    pub state: OutboxState,
    /// When it is due.
    pub next_at: Timestamp,
    /// True when an earlier attempt ended without an outcome, so that the messenger may have it.
    pub possible_repeat: bool,
    /// The messenger's number of it, once it is sent.
    pub remote_id: Option<String>,
    /// Why the last attempt failed.
    pub error: Option<String>,
    /// When it was made.
    pub at: Timestamp,
}

/// A delivery to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDelivery {
    /// The session it belongs to.
    pub session: Option<SessionId>,
    /// The turn it belongs to.
    pub turn: Option<TurnId>,
    /// The channel.
    pub channel: ChannelId,
    /// The chat.
    pub target: String,
    /// What is to be delivered.
    pub body: DeliveryBody,
    /// Identifies the obligation: a second one with the same key is not made.
    pub key: String,
}

/// Over what spending is added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SpendScope {
    /// One turn.
    Turn(TurnId),
    /// One session.
    Session(SessionId),
    /// One UTC day: [`Timestamp::day`].
    Day(i64),
    /// One UTC month.
    Month {
        /// The year times 100 plus the month from 1 to 12; see [`crate::year_month`].
        year_month: i64,
    },
    /// One UTC hour: [`crate::hour_of`].
    Hour(i64),
}

/// What was spent on one model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelSpend {
    /// The model, as the turns named it.
    pub model: String,
    /// How many calls there were.
    pub calls: u64,
    /// What they used and cost.
    pub spend: Spend,
}

/// What was spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spend {
    /// What is known to have been spent.
    pub settled: MicroUsd,
    /// What open model calls may still cost.
    pub reserved: MicroUsd,
    /// Tokens of the settled calls.
    pub usage: Usage,
}

impl Spend {
    /// Settled and reserved together: what budgets count.
    pub fn total(&self) -> MicroUsd {
        self.settled.plus(self.reserved)
    }
}

/// A saved state of a workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotRow {
    /// Its number.
    pub id: SnapshotId,
    /// The workspace.
    pub workspace: WorkspaceName,
    /// The turn before which it was taken.
    pub turn: Option<TurnId>,
    /// The name of its manifest among the saved files.
    pub manifest: String,
    /// When it was taken.
    pub at: Timestamp,
}

/// How the second factor stands while one is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecondFactor {
    /// Since when.
    pub since: Timestamp,
    /// The time step of the last code that was accepted.
    pub used_step: Option<u64>,
    /// Wrong codes since the last right one, or since the last lock ended.
    pub failures: u32,
    /// Until when no code is accepted.
    pub locked_until: Option<Timestamp>,
}

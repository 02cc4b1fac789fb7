//! The nouns of the project, its ids, the commands and events that every client speaks, and the traits that the layers
//! meet at. No IO, no configuration, no clock of its own. Start with [`Event`] and [`Tool`].

mod allowance;
mod command;
mod content;
mod event;
pub mod faults;
mod ids;
mod job;
mod label;
mod model;
mod money;
mod proposal;
mod time;
mod tool;
pub mod unseen;

pub use allowance::{Allowance, AllowanceRule, AllowanceScope, AllowedArguments, Code, Offer, Scope};
pub use command::{Command, CommandReply, Failure, FailureKind};
pub use content::{Block, MediaRef, Message, Role, ToolCall};
pub use event::{CoderWord, Envelope, Event, Level, Origin, ToolEnd, TurnEnd, WhenBusy};
pub use faults::Invariant;
pub use ids::{
    AllowanceId, ChannelId, InboxId, InvalidName, JobId, MessageId, OutboxId, ProposalId, RequestId, SecretName, Seq,
    SessionId, ShellName, SnapshotId, TurnId, WorkspaceName,
};
pub use job::{
    Cadence, DoneWhen, JobEnd, JobLimits, JobPause, JobPhase, JobRound, JobRun, JobSpec, JobState, JobView, Place,
    RecipeCall, RoundEnd, Then,
};
pub use label::{Confidentiality, Integrity, Label};
pub use model::{
    MediaBytes, ModelEvent, ModelReply, ModelRequest, OutputSchema, Provider, ProviderError, ProviderErrorKind,
    StopReason,
};
pub use money::{LongPrices, MicroUsd, Prices, Usage};
pub use proposal::{Proposal, Settlement};
pub use time::{Clock, Timestamp};
pub use tool::{
    Answer, Ask, BoxFuture, Effect, InvalidInput, OwnerRequest, Question, Sink, Tool, ToolContext, ToolOutput, ToolSpec,
};

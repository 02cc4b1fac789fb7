//! The seam to model vendors.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use futures_core::stream::BoxStream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::{Block, Message, ToolSpec, Usage};

/// One request to a model. Everything before the last message is stable from request to request of a session, so that
/// the vendor's prompt cache applies.
#[derive(Clone, Debug)]
pub struct ModelRequest {
    /// The vendor's name of the model.
    pub model: String,
    /// The system prompt.
    pub system: Arc<str>,
    /// The tools on offer, in a fixed order.
    pub tools: Arc<[ToolSpec]>,
    /// The conversation; it starts with a user message and every tool call in it has its result.
    pub messages: Vec<Message>,
    /// The most tokens the answer may have.
    pub max_output_tokens: u32,
    /// The reasoning budget in tokens, where the model reasons.
    pub thinking_tokens: Option<u32>,
    /// The bytes of the pictures and documents that the conversation names. One whose bytes are missing is shown as its
    /// [`crate::MediaRef::stand_in`].
    pub media: MediaBytes,
    /// The form that the answer's text must have; free when absent.
    pub output: Option<OutputSchema>,
    /// What requests of one conversation have in common, so that a vendor finds their cached beginning. Says nothing about
    /// whose conversation it is.
    pub cache_key: Option<String>,
}

/// Bytes of pictures and documents by their digest.
pub type MediaBytes = Arc<BTreeMap<String, Arc<[u8]>>>;

/// The form that a model's answer must have.
#[derive(Clone, Debug, PartialEq)]
pub struct OutputSchema {
    /// A short name of the form: letters, digits, `_` and `-`.
    pub name: String,
    /// The JSON Schema of the answer: an object.
    pub schema: Value,
}

/// What a provider's stream yields. The last event is always `Finished` or `Failed`, and nothing follows it.
#[derive(Clone, Debug, PartialEq)]
pub enum ModelEvent {
    /// More text of the answer.
    TextDelta(String),
    /// More of the model's reasoning.
    ThinkingDelta(String),
    /// The model has begun to write a tool call.
    ToolUseStarted {
        /// The tool's name.
        name: String,
    },
    /// The attempt failed and is being repeated: whatever it had yielded must be forgotten.
    Restarted {
        /// Which attempt follows; the first repetition is 2.
        attempt: u32,
        /// How long we wait before it.
        wait: Duration,
        /// Why the last attempt failed.
        error: ProviderError,
        /// What the failed attempt had reported as used; the vendor may bill it.
        wasted: Usage,
    },
    /// The answer is whole.
    Finished(ModelReply),
    /// There will be no answer.
    Failed(ProviderError),
}

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ModelReply {
    /// The blocks, in wire order.
    pub blocks: Vec<Block>,
    /// Why the model stopped.
    pub stop: StopReason,
    /// What was used.
    pub usage: Usage,
}

/// Why a model stopped. A vendor may add reasons at any time; they are kept as `Other`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// It has said what it had to say.
    EndTurn,
    /// It waits for tool results.
    ToolUse,
    /// The output limit was reached: the answer is cut.
    MaxTokens,
    /// A stop sequence was met.
    StopSequence,
    /// The vendor paused a long answer; the same conversation is to be sent again.
    PauseTurn,
    /// The model or the vendor's filter refused.
    Refusal,
    /// The context window was full before the answer was done.
    ContextFull,
    /// A reason we do not know.
    Other(String),
}

/// Why a request to a model failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProviderErrorKind {
    /// Too many requests; try again later.
    RateLimited,
    /// The vendor is overloaded (529, 503).
    Overloaded,
    /// The vendor failed (other 5xx).
    Server,
    /// Nothing came in time.
    Timeout,
    /// The connection could not be made or broke before an answer began.
    Network,
    /// The stream ended before the answer did.
    Truncated,
    /// The answer could not be understood.
    Malformed,
    /// The key is missing, wrong or without the right.
    Auth,
    /// The account has no money or no quota left; retrying is useless.
    Quota,
    /// The conversation is longer than the model's context.
    ContextOverflow,
    /// The request has too many bytes.
    TooLarge,
    /// The vendor found the request wrong.
    BadRequest,
    /// The model, or the endpoint, does not exist.
    NotFound,
    /// We stopped it.
    Cancelled,
}

impl ProviderErrorKind {
    /// Whether the same request may succeed a little later.
    pub fn is_transient(self) -> bool {
        match self {
            Self::RateLimited
            | Self::Overloaded
            | Self::Server
            | Self::Timeout
            | Self::Network
            | Self::Truncated
            | Self::Malformed => true,
            Self::Auth
            | Self::Quota
            | Self::ContextOverflow
            | Self::TooLarge
            | Self::BadRequest
            | Self::NotFound
            | Self::Cancelled => false,
        }
    }
}

/// A failed request, in words that hold no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProviderError {
    /// What kind of failure.
    pub kind: ProviderErrorKind,
    /// What the vendor or the network said; bounded.
    pub message: String,
    /// The HTTP status, if there was one.
    pub status: Option<u16>,
    /// How long the vendor asks us to wait, in milliseconds.
    pub retry_after_ms: Option<u64>,
}

impl ProviderError {
    /// An error without status or waiting time.
    pub fn new(kind: ProviderErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), status: None, retry_after_ms: None }
    }
}

impl fmt::Display for ProviderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            ProviderErrorKind::RateLimited => "the provider limits our rate",
            ProviderErrorKind::Overloaded => "the provider is overloaded",
            ProviderErrorKind::Server => "the provider failed",
            ProviderErrorKind::Timeout => "the provider did not answer in time",
            ProviderErrorKind::Network => "the provider could not be reached",
            ProviderErrorKind::Truncated => "the answer was cut off",
            ProviderErrorKind::Malformed => "the answer could not be understood",
            ProviderErrorKind::Auth => "the provider refused the key",
            ProviderErrorKind::Quota => "the account's quota is used up",
            ProviderErrorKind::ContextOverflow => "the conversation is too long for the model",
            ProviderErrorKind::TooLarge => "the request is too large",
            ProviderErrorKind::BadRequest => "the provider refused the request",
            ProviderErrorKind::NotFound => "the provider does not know this model or address",
            ProviderErrorKind::Cancelled => "stopped",
        };
        f.write_str(what)?;
        if let Some(status) = self.status {
            write!(f, " (HTTP {status})")?;
        }
        if self.message.is_empty() { Ok(()) } else { write!(f, ": {}", self.message) }
    }
}

impl std::error::Error for ProviderError {}

/// A model vendor's endpoint. One implementation per wire dialect.
pub trait Provider: Send + Sync {
    /// Asks the model. Must not fail outside the stream: every failure is its last event. Must end soon after `cancel`
    /// is cancelled. Retries of transient failures happen inside, bounded, and show as `Restarted`.
    fn stream(&self, request: ModelRequest, cancel: CancellationToken) -> BoxStream<'static, ModelEvent>;
}

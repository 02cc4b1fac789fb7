//! The seam to tools.

use std::{future::Future, pin::Pin};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{Label, Offer, RequestId, Scope, SessionId, TurnId, WorkspaceName};

/// How a tool is described to a model. Kept short: every request pays for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ToolSpec {
    /// The name the model calls it by.
    pub name: String,
    /// What it does, in a sentence or two.
    pub description: String,
    /// A JSON schema of its arguments.
    pub input_schema: Value,
}

/// Where an effect goes: the rows of the policy table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sink {
    /// S0: computing or reading inside the sandbox, without a network.
    Compute,
    /// S1: writing in the workspace.
    WorkspaceWrite,
    /// S2: fetching from the network.
    Fetch,
    /// S3: sending, publishing or paying to others.
    Send,
    /// S4: speaking to the owner.
    Reply,
    /// S5: changing what persists: memory, skills, schedules, policy, sub-agent grants.
    Persist,
    /// S6: using a credential.
    Credential,
    /// S7: destroying, or acting in bulk.
    Destructive,
}

/// What a call would do, derived by the tool's code from checked arguments, never from model text about them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Effect {
    /// Where the effect goes.
    pub sink: Sink,
    /// True when the call changes nothing, so that it may be run again after a crash.
    pub read_only: bool,
    /// Who or what receives it, where the sink has destinations (a host, an address, an account): all of them.
    pub destinations: Vec<String>,
    /// True when it touches only what is the owner's, nobody else learns of it, and the owner can take it back.
    pub reversible: bool,
    /// What would be sent, where something is.
    pub payload: Option<String>,
    /// One line for the owner and the log, such as `exec: cargo test`. Control characters are escaped.
    pub summary: String,
    /// How many things it would touch; 1 unless it acts in bulk.
    pub count: u32,
}

/// The arguments do not fit. The text goes back to the model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidInput(pub String);

/// What a running tool is told about its call.
#[derive(Clone, Debug)]
pub struct ToolContext {
    /// The session that calls.
    pub session: SessionId,
    /// The turn that calls.
    pub turn: TurnId,
    /// The vendor's id of the call.
    pub call: String,
    /// The session's workspace.
    pub workspace: WorkspaceName,
    /// The session's label at the time of the call.
    pub label: Label,
    /// Cancelled when the owner stops the turn or a limit is reached; the tool must end within two seconds.
    pub cancel: CancellationToken,
    /// Output as it appears, for those who watch. Bounded and lossy: a full channel drops.
    pub progress: mpsc::Sender<String>,
}

/// What a tool gives back to the model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ToolOutput {
    /// The text for the model; the gate caps and redacts it.
    pub text: String,
    /// Whether the call failed.
    pub is_error: bool,
    /// The label of the text.
    pub label: Label,
}

impl ToolOutput {
    /// A successful result.
    pub fn ok(text: impl Into<String>, label: Label) -> Self {
        Self { text: text.into(), is_error: false, label }
    }

    /// A failure in our own words.
    pub fn error(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_error: true, label: Label::CLEAN }
    }
}

/// A future that a trait object can return.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A tool. `G` is the proof that policy allowed the call: it is `policy::Grant` everywhere; the parameter keeps this
/// crate below `policy` and `policy` free of async.
pub trait Tool<G>: Send + Sync {
    /// How the tool is described to the model.
    fn spec(&self) -> &ToolSpec;

    /// Checks the arguments and says what the call would do at this moment. Must change nothing and wait for nothing; at the most it
    /// looks at small files of the agent's own, so it may be called as often as one likes.
    fn assess(&self, input: &Value) -> Result<Effect, InvalidInput>;

    /// Whether the output is a list of names and nothing else: one to a line, of things that exist in a service of the
    /// owner's (channels, calendars, rooms). A reader may pick one for a session that has read none of them.
    fn lists_names(&self) -> bool {
        false
    }

    /// Does it. Failures that the model should see are outputs with `is_error`.
    fn run<'a>(&'a self, grant: &'a G, input: &'a Value, context: &'a ToolContext) -> BoxFuture<'a, ToolOutput>;
}

/// A question about one call, rendered by our code from the checked arguments. Its hash is what the owner approves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Question {
    /// The tool.
    pub tool: String,
    /// The arguments, in canonical JSON (sorted keys, no spaces).
    pub arguments: String,
    /// What the call would do.
    pub effect: Effect,
    /// The session that asks.
    pub session: SessionId,
    /// The turn that asks.
    pub turn: TurnId,
    /// The workspace in which it would act.
    pub workspace: WorkspaceName,
    /// The session's label when it asked.
    pub label: Label,
    /// The policy in force when it asked.
    pub policy_version: u64,
    /// Why it is asked, in a sentence for the owner.
    pub reason: String,
    /// The state of the workspace when it asked, as the number of a snapshot; none where the call's effect does not come
    /// from the workspace's files. A file that changed in between changes it.
    #[serde(default)]
    pub workspace_state: Option<String>,
    /// The rule by which calls like this one would not be asked about any more, if one may be made.
    #[serde(default)]
    pub offer: Option<Offer>,
    /// SHA-256 in hex over all of the above.
    pub hash: String,
}

/// The owner's answer to a question or an approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Answer {
    /// The call may run, once.
    Approved {
        /// What becomes of calls like it.
        #[serde(default)]
        scope: Scope,
    },
    /// The call must not run.
    Denied,
    /// Nobody answered in time; the same as denied.
    Expired,
    /// The task that asked was stopped or is over; the same as denied.
    Withdrawn,
    /// An answer in words to a question of the `ask` tool.
    Text {
        /// What the owner wrote.
        text: String,
    },
}

impl Answer {
    /// Yes to this one call.
    pub const ONCE: Self = Self::Approved { scope: Scope::Once };

    /// Whether it lets the call run.
    pub fn is_approval(&self) -> bool {
        match self {
            Self::Approved { .. } => true,
            Self::Denied | Self::Expired | Self::Withdrawn | Self::Text { .. } => false,
        }
    }
}

/// A question or an approval as clients see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Ask {
    /// May this call run?
    Approval(Box<Question>),
    /// The model has a question in words.
    Question {
        /// What the model asks; untrusted text.
        text: String,
        /// Answers it suggests; may be empty.
        options: Vec<String>,
    },
}

/// An open or settled request to the owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OwnerRequest {
    /// Its number.
    pub id: RequestId,
    /// The session that asks.
    pub session: SessionId,
    /// The turn that asks.
    pub turn: TurnId,
    /// The vendor's id of the tool call that waits.
    pub call: String,
    /// What is asked.
    pub ask: Ask,
    /// When it was asked.
    pub asked_at: crate::Timestamp,
    /// When it expires.
    pub expires_at: crate::Timestamp,
    /// The answer; none while it is open.
    pub answer: Option<Answer>,
}

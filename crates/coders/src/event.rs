//! What coding agents do, in our own words. Every dialect translates into these; what none of them fits is kept as
//! [`CoderEvent::Other`], and its line stays in the records.

use serde::{Deserialize, Serialize};
use types::{MicroUsd, Usage};

/// Something that a coding agent did. All text in it is foreign.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum CoderEvent {
    /// The program speaks and has a conversation. May come again, with the same session, at the start of each turn.
    Started {
        /// The program's own name for the conversation, by which it can be resumed.
        session: String,
        /// The model that it says it uses.
        model: Option<String>,
        /// The program's version.
        version: Option<String>,
    },
    /// More of a text that follows as a whole.
    TextDelta {
        /// The piece.
        text: String,
    },
    /// It said this.
    Text {
        /// The whole text.
        text: String,
    },
    /// It thought this.
    Thinking {
        /// The whole text.
        text: String,
    },
    /// It began to use a tool.
    ToolStarted {
        /// Its number for the use.
        id: String,
        /// The tool, as the program calls it.
        tool: String,
        /// What it does, in a line: the command, the file.
        summary: String,
    },
    /// A tool ended.
    ToolFinished {
        /// The number that `ToolStarted` had.
        id: String,
        /// Whether it went well.
        ok: bool,
        /// The end of its output, at most [`TAIL`] bytes.
        tail: String,
    },
    /// It changed a file.
    FileChanged {
        /// As the program names it.
        path: String,
    },
    /// What it means to do, as far as it says.
    Plan {
        /// All steps, in order.
        steps: Vec<PlanStep>,
    },
    /// It waits until somebody allows or denies this.
    PermissionAsked(Permission),
    /// It does not wait for this permission any more, though nobody answered.
    PermissionWithdrawn {
        /// Which.
        id: String,
    },
    /// A request to its model failed and is repeated. Never the end.
    Retrying {
        /// The number of the attempt, if it says.
        attempt: Option<u32>,
        /// How long it waits, in milliseconds, if it says.
        wait_ms: Option<u64>,
        /// Why.
        error: String,
    },
    /// It waits for something else than its model or a tool, such as the network.
    Waiting {
        /// For what.
        what: String,
    },
    /// All that its conversation has used so far. Never a difference: whoever books it takes the difference to what was booked.
    Spent(Totals),
    /// Its turn is over: it waits for a prompt, or its program is about to end.
    Finished {
        /// How.
        end: CoderEnd,
    },
    /// A warning or remark.
    Note {
        /// The text.
        text: String,
    },
    /// Something that this dialect does not know. Never an error.
    Other {
        /// Its kind, as the program names it.
        kind: String,
    },
}

/// The most bytes of a tool's output that an event carries.
pub const TAIL: usize = 2_000;

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanStep {
    /// What.
    pub text: String,
    /// Whether it is done.
    pub done: bool,
}

/// Something that a coding agent asks to be allowed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Permission {
    /// The number by which it is answered.
    pub id: String,
    /// The tool, as the program calls it.
    pub tool: String,
    /// What kind of thing it is, for our gate.
    pub action: Action,
    /// What the program says about it; foreign text, for showing only.
    pub reason: Option<String>,
}

/// What a permission is for, as our gate judges it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// Running a command in the sandbox.
    Command {
        /// The script.
        script: String,
    },
    /// Writing files.
    Write {
        /// Which, as the program names them.
        paths: Vec<String>,
    },
    /// Reading files.
    Read {
        /// Which.
        paths: Vec<String>,
    },
    /// Looking something up outside.
    Fetch {
        /// The address or the words to search for.
        target: String,
    },
    /// Anything else: a tool of an MCP server, a question, a tool that we do not know. Its arguments as JSON.
    Other {
        /// The arguments.
        arguments: String,
    },
}

/// What a conversation has used since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Tokens.
    pub usage: Usage,
    /// Money, where the program says. It reckons with its own list of prices.
    pub cost: Option<MicroUsd>,
}

/// How a turn of a coding agent ended, by our rules and not by exit codes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum CoderEnd {
    /// It says that it is done. Whether the work is, our own check tells.
    Done {
        /// Its last words.
        text: String,
    },
    /// It was interrupted by us.
    Interrupted,
    /// It failed.
    Failed {
        /// What kind of failure.
        trouble: Trouble,
        /// What the program says about it.
        message: String,
    },
}

/// Kinds of failure that are treated differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// The key is missing or wrong: no repetition helps.
    Auth,
    /// The account has no money or quota left.
    Quota,
    /// Too many requests.
    RateLimited,
    /// The vendor is overloaded or broken.
    Server,
    /// The vendor cannot be reached.
    Network,
    /// The conversation is too long for the model.
    Overflow,
    /// The model refused.
    Refused,
    /// The program's own limit of turns or money.
    OwnLimit,
    /// The conversation cannot be resumed: it is unknown or broken.
    Lost,
    /// The program ended in the middle, or said something that makes no sense.
    Crashed,
    /// It said nothing for too long and was ended.
    Stalled,
    /// What it says cannot be taken: names or questions beyond all bounds. It was ended.
    Garbled,
    /// Anything else.
    Other,
}

impl Trouble {
    /// Whether the same prompt may do better later.
    pub fn may_pass(self) -> bool {
        match self {
            Self::RateLimited | Self::Server | Self::Network | Self::Crashed | Self::Stalled => true,
            Self::Auth
            | Self::Quota
            | Self::Overflow
            | Self::Refused
            | Self::OwnLimit
            | Self::Lost
            | Self::Garbled
            | Self::Other => false,
        }
    }
}

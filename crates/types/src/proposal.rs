//! What a task would let persist and may not by itself: it waits for the owner, who was not there to be asked.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ProposalId, Question, Timestamp};

/// A call that waits to be accepted. What is shown here is what would run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Proposal {
    /// Its number.
    pub id: ProposalId,
    /// The vendor's id of the call that became this.
    pub call: String,
    /// The call, rendered by our code from its checked arguments, and bound by its hash.
    pub question: Question,
    /// When it was made.
    pub at: Timestamp,
    /// What became of it; none while it waits.
    pub settled: Option<Settlement>,
}

/// What became of a proposal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "settled", rename_all = "snake_case")]
pub enum Settlement {
    /// The owner accepted it and it runs. After a restart in this state it is not known whether it had its effect; it is
    /// not run again.
    Accepted,
    /// It ran.
    Done {
        /// The beginning of what the tool said.
        text: String,
    },
    /// It ran and failed, or could not run.
    Failed {
        /// Why.
        error: String,
    },
    /// The owner does not want it.
    Rejected,
}

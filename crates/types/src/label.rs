//! Labels: where content came from and who may see it. They only ever rise.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether content may be taken as the owner's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Integrity {
    /// Typed by the authenticated owner, or written by our own code.
    Trusted,
    /// Anything else, and whatever is not known.
    Untrusted,
}

/// Whether content may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Confidentiality {
    /// Anybody may see it.
    Public,
    /// The owner's own: files, mail, memory.
    Private,
}

/// The label of a block, a message, a session, a workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Label {
    /// Whose word it is.
    pub integrity: Integrity,
    /// Who may see it.
    pub confidentiality: Confidentiality,
}

impl Label {
    /// The lowest label: the start of a session.
    pub const CLEAN: Self = Self { integrity: Integrity::Trusted, confidentiality: Confidentiality::Public };
    /// The owner's own words and data.
    pub const OWNER: Self = Self { integrity: Integrity::Trusted, confidentiality: Confidentiality::Private };
    /// Foreign, public content, such as a web page.
    pub const FOREIGN: Self = Self { integrity: Integrity::Untrusted, confidentiality: Confidentiality::Public };
    /// The highest label, and the one of anything unknown.
    pub const UNKNOWN: Self = Self { integrity: Integrity::Untrusted, confidentiality: Confidentiality::Private };

    /// The least label that is at least both. Joining never lowers.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        Self {
            integrity: self.integrity.max(other.integrity),
            confidentiality: self.confidentiality.max(other.confidentiality),
        }
    }

    /// True when `other` is no higher than this label in either part.
    pub fn covers(self, other: Self) -> bool {
        self.join(other) == self
    }
}

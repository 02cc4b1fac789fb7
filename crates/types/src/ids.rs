//! Identifiers. Row numbers are newtypes, so that a turn cannot be passed where a session is meant.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! row_id {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

row_id! {
    /// A conversation.
    SessionId;
    /// One run of the loop: from a request to the final answer.
    TurnId;
    /// A stored message of a session.
    MessageId;
    /// A received message, before it becomes part of a session.
    InboxId;
    /// One delivery obligation.
    OutboxId;
    /// A question or an approval put to the owner.
    RequestId;
    /// A rule by which calls like an approved one are not asked about.
    AllowanceId;
    /// What a task without the owner would let persist, once they accept it.
    ProposalId;
    /// A saved state of a workspace.
    SnapshotId;
    /// Long work of a coding agent.
    JobId;
    /// A position in the journal of events; strictly increasing, never reused.
    Seq;
}

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is not a valid name: use 1 to 64 of a-z, 0-9, `-` and `_`, starting with a letter or digit")]
pub struct InvalidName {
    name: String,
}

/// Checks the form that workspace, provider, channel and secret names share.
fn check_name(name: &str) -> Result<(), InvalidName> {
    let mut characters = name.chars();
    let first = characters.next().is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let rest = characters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_');
    if first && rest && name.len() <= 64 { Ok(()) } else { Err(InvalidName { name: name.chars().take(80).collect() }) }
}

macro_rules! name {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Parses a name: 1 to 64 of `a-z`, `0-9`, `-` and `_`, starting with a letter or digit.
            pub fn new(name: impl Into<String>) -> Result<Self, InvalidName> {
                let name = name.into();
                check_name(&name)?;
                Ok(Self(name))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(name: String) -> Result<Self, InvalidName> {
                Self::new(name)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidName;
            fn from_str(name: &str) -> Result<Self, InvalidName> {
                Self::new(name)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

name! {
    /// The name of a workspace in the configuration.
    WorkspaceName;
    /// The name of a secret in the vault.
    SecretName;
    /// The name of one of the owner's own shells.
    ShellName;
}

/// Which configured channel, such as `telegram/home`; the API's own clients are `api`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ChannelId(String);

impl ChannelId {
    /// A channel of `kind` that the owner configured under `name`.
    pub fn new(kind: &str, name: &str) -> Self {
        Self(format!("{kind}/{name}"))
    }

    /// The channel of the daemon's own clients (command line, terminal, dashboard).
    pub fn api() -> Self {
        Self("api".to_owned())
    }

    /// What a job tells our own loop: words of ours, with foreign ones quoted in them.
    pub fn jobs() -> Self {
        Self("jobs".to_owned())
    }

    /// Reads back what `as_str` gave; used by the store.
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// `kind/name`, `api` or `jobs`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ChannelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for good in ["a", "billing", "9-lives", "lab_key", &"x".repeat(64)] {
            assert!(WorkspaceName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "_a", "A", "a/b", "..", "a b", "é", &"x".repeat(65)] {
            assert!(WorkspaceName::new(bad).is_err(), "{bad}");
        }
    }
}

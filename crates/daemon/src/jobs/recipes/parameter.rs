//! What a parameter of a recipe may be. Pure.

use serde::{Deserialize, Serialize};

use crate::jobs::{check::check_patterns, check_branch};

/// The longest value, in bytes.
const MAX_VALUE: usize = 4_000;

/// What must be said for a recipe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// What it is about.
    pub about: String,
    /// What it may be.
    pub kind: Kind,
    /// What it is when nothing is said; without it something must be. Empty: it may be left out.
    pub default: Option<String>,
}

/// What a parameter may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Words, on one line.
    Text,
    /// A command for the shell in the job's sandbox, on one line.
    Command,
    /// The name of a branch.
    Branch,
    /// A path within the repository.
    Path,
    /// A pattern of paths within the repository.
    Pattern,
    /// A number from 1 on.
    Number,
}

impl Parameter {
    /// Whether a value fits; the error is a sentence.
    pub(super) fn check(&self, name: &str, value: &str) -> Result<(), String> {
        let refuse = |why: &str| Err(format!("`{name}` {why}"));
        if value.is_empty() || value.len() > MAX_VALUE {
            return refuse("must have 1 to 4000 bytes");
        }
        if value.contains(char::is_control) {
            return refuse("must be one line without control characters");
        }
        match self.kind {
            Kind::Text | Kind::Command => Ok(()),
            Kind::Branch => check_branch(value).map_err(|error| format!("`{name}`: {error}")),
            Kind::Path | Kind::Pattern if value.starts_with('/') || value.split('/').any(|part| part == "..") => {
                refuse("must lie within the repository, without `..` and a slash at the beginning")
            }
            Kind::Path => Ok(()),
            Kind::Pattern => check_patterns(&[value.to_owned()]).map_err(|error| format!("`{name}`: {error}")),
            Kind::Number => match value.parse::<u32>() {
                Ok(1..) if !value.starts_with(['0', '+']) => Ok(()),
                Ok(_) | Err(_) => refuse("must be a number from 1 on"),
            },
        }
    }
}

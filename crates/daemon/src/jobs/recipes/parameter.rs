//! What a parameter of a recipe may be. Pure.

use serde::{Deserialize, Serialize};
use types::unseen::{self, is_unseen};

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
    /// What it is when nothing is said; without it something must be. It may use other parameters that have none of their own.
    /// Empty: it may be left out.
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

impl Kind {
    /// In words.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Text => "words on one line",
            Self::Command => "a command on one line",
            Self::Branch => "the name of a branch",
            Self::Path => "a path within the repository",
            Self::Pattern => "a pattern of paths within the repository",
            Self::Number => "a number from 1 on",
        }
    }
}

impl Parameter {
    /// Whether a value fits; the error is a sentence that names the parameter and what it is when nothing is said.
    pub(super) fn check(&self, name: &str, value: &str) -> Result<(), String> {
        self.judge(value).map_err(|why| {
            let default = match self.default.as_deref() {
                None => "it must be given".to_owned(),
                Some("") => "it may be left out".to_owned(),
                Some(default) => format!("left out it is `{default}`"),
            };
            format!("`{name}` {why} ({}; {default})", self.about)
        })
    }

    /// Whether it may be said to be empty.
    fn may_be_empty(&self) -> bool {
        match self.kind {
            Kind::Text | Kind::Pattern => self.default.is_some(),
            Kind::Command | Kind::Branch | Kind::Path | Kind::Number => self.default.as_deref() == Some(""),
        }
    }

    fn judge(&self, value: &str) -> Result<(), String> {
        let refuse = |why: &str| Err(why.to_owned());
        if value.is_empty() && self.may_be_empty() {
            return Ok(());
        }
        if value.trim().is_empty() || value.len() > MAX_VALUE {
            return refuse("must have 1 to 4000 bytes");
        }
        let hides = match self.kind {
            Kind::Text => unseen::hides(value),
            Kind::Branch | Kind::Command | Kind::Number | Kind::Path | Kind::Pattern => value.contains(is_unseen),
        };
        if value.contains(char::is_control) || hides {
            return refuse("must be one line without control characters and characters that cannot be seen");
        }
        match self.kind {
            Kind::Text | Kind::Command => Ok(()),
            Kind::Branch => check_branch(value).map_err(|error| format!("is no branch: {error}")),
            Kind::Path | Kind::Pattern if value.starts_with('/') || value.split('/').any(|part| part == "..") => {
                refuse("must lie within the repository, without `..` and a slash at the beginning")
            }
            // It may stand behind the name of a command.
            Kind::Path if value.starts_with('-') => refuse("must not begin with `-`; write it as `./-name`"),
            Kind::Path => Ok(()),
            Kind::Pattern => check_patterns(&[value.to_owned()]).map_err(|error| format!("is no pattern: {error}")),
            Kind::Number => match value.parse::<u32>() {
                Ok(1..) if !value.starts_with(['0', '+']) => Ok(()),
                Ok(_) | Err(_) => refuse("must be a number from 1 on"),
            },
        }
    }
}

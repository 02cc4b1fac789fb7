//! Whose terminal it is: a job's or a shell's, by name and by directory.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use types::{JobId, SessionId};

/// Something that has a supervisor, and so can have a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A job.
    Job(JobId),
    /// The owner's own shell, by its session.
    Shell(SessionId),
}

impl Place {
    /// Where its supervisor lives.
    pub fn directory(self, home: &Path) -> PathBuf {
        match self {
            Self::Job(id) => home.join("jobs").join(id.to_string()),
            Self::Shell(id) => home.join("shells").join(id.to_string()),
        }
    }
}

/// The name of its window.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Job(id) => write!(f, "job-{id}"),
            Self::Shell(id) => write!(f, "shell-{id}"),
        }
    }
}

/// What is neither the number of a job nor the name of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is neither the number of a job nor the name of a terminal such as job-7 or shell-3")]
pub struct NoPlace;

impl FromStr for Place {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        let number = |text: &str| text.parse().ok().filter(|number: &i64| *number > 0);
        if let Some(id) = number(text.strip_prefix("job-").unwrap_or(text)) {
            return Ok(Self::Job(JobId(id)));
        }
        let shell = text.strip_prefix("shell-").and_then(number);
        shell.map(|id| Self::Shell(SessionId(id))).ok_or(NoPlace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_nothing_else() {
        assert_eq!("7".parse(), Ok(Place::Job(JobId(7))));
        for name in ["job-7", "shell-12"] {
            assert_eq!(name.parse().map(|place: Place| place.to_string()), Ok(name.to_owned()));
        }
        for bad in ["", "job-", "job--1", "-3", "0", "shell-../x", "7/../8", "shell 3", "job-1x"] {
            assert_eq!(bad.parse::<Place>(), Err(NoPlace), "{bad}");
        }
        assert_eq!(Place::Shell(SessionId(3)).directory(Path::new("/h")), Path::new("/h/shells/3"));
    }
}

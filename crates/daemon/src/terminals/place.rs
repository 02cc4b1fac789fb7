//! Whose terminal it is: a job's or a shell's, by name and by directory.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use types::{JobId, ShellName};

/// Something that has a supervisor, and so can have a terminal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A job.
    Job(JobId),
    /// The owner's own shell.
    Shell(ShellName),
}

impl Place {
    /// Where its supervisor lives.
    pub fn directory(&self, home: &Path) -> PathBuf {
        match self {
            Self::Job(id) => jobs(home).join(id.to_string()),
            Self::Shell(name) => shells(home).join(name.as_str()),
        }
    }
}

/// Where the jobs have their directories.
pub(crate) fn jobs(home: &Path) -> PathBuf {
    home.join("jobs")
}

/// Where the shells have their directories.
pub(crate) fn shells(home: &Path) -> PathBuf {
    home.join("shells")
}

/// The name of its window.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Job(id) => write!(f, "job-{id}"),
            Self::Shell(name) => write!(f, "shell-{name}"),
        }
    }
}

/// What is neither the number of a job nor the name of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is neither the number of a job nor the name of a terminal such as job-7 or shell-main")]
pub struct NoPlace;

impl FromStr for Place {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        if let Some(name) = text.strip_prefix("shell-") {
            return ShellName::new(name).map(Self::Shell).map_err(|_| NoPlace);
        }
        let number = text.strip_prefix("job-").unwrap_or(text).parse().ok().filter(|number: &i64| *number > 0);
        number.map(|id| Self::Job(JobId(id))).ok_or(NoPlace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_nothing_else() {
        assert_eq!("7".parse(), Ok(Place::Job(JobId(7))));
        for name in ["job-7", "shell-12", "shell-main", "shell-job-7"] {
            assert_eq!(name.parse().map(|place: Place| place.to_string()), Ok(name.to_owned()));
        }
        for bad in ["", "job-", "job--1", "-3", "0", "shell-../x", "7/../8", "shell 3", "job-1x", "shell-", "shell-A"] {
            assert_eq!(bad.parse::<Place>(), Err(NoPlace), "{bad}");
        }
        let shell = Place::Shell(ShellName::new("main").expect("it is a name"));
        assert_eq!(shell.directory(Path::new("/h")), Path::new("/h/shells/main"));
    }
}

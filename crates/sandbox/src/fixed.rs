//! What of a workspace commands cannot replace, though they may write the rest of it.

use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The most of them in one sandbox.
pub const MAX_FIXED: usize = 256;
/// The longest path of one, in bytes.
const MAX_PATH: usize = 512;

/// A file or directory of a workspace that stays where it is while a sandbox lives: it cannot be moved, removed or put in the
/// place of another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Fixed {
    /// Where it is in the workspace. What is not there when the sandbox starts, or is reached through a link, is passed over.
    path: PathBuf,
    /// Whether what lies in it may be written, where it is a directory. A file may never be.
    is_open: bool,
}

impl Fixed {
    /// A file or directory that commands may read and no more; none where the path is none within a workspace.
    pub fn read_only(path: impl Into<PathBuf>) -> Option<Self> {
        Self::new(path.into(), false)
    }

    /// A directory that stays, and in which commands may write; a file in its place may be read and no more.
    pub fn in_place(path: impl Into<PathBuf>) -> Option<Self> {
        Self::new(path.into(), true)
    }

    fn new(path: PathBuf, is_open: bool) -> Option<Self> {
        let is_plain = path.components().all(|part| matches!(part, Component::Normal(_)));
        (is_plain && (1..=MAX_PATH).contains(&path.as_os_str().len())).then_some(Self { path, is_open })
    }

    /// Where it is in the workspace.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn is_open(&self) -> bool {
        self.is_open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_within_the_workspace_can_be_fixed() {
        for bad in ["", "/etc", "../x", "a/../../x", "./a"] {
            assert_eq!(Fixed::read_only(bad), None, "{bad}");
        }
        assert_eq!(Fixed::read_only("x".repeat(513)), None);
        assert!(Fixed::in_place(".git").is_some_and(|fixed| fixed.path() == Path::new(".git")));
    }
}

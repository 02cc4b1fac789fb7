//! The directories that may be workspaces.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use policy::Grant;
use types::WorkspaceName;

use crate::{SandboxError, mounts, running::require};

/// A directory that commands may write, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workspace {
    /// Its name in the configuration.
    pub name: WorkspaceName,
    dir: PathBuf,
}

impl Workspace {
    /// Checks that `path` is a directory that may be a workspace: not a system directory, not a home, nothing that holds
    /// credentials. Links in it are followed once, here.
    pub fn open(name: WorkspaceName, path: &Path) -> Result<Self, SandboxError> {
        let refuse = |why: String| SandboxError::Workspace { path: path.to_owned(), why };
        let dir = mounts::resolve(path).map_err(refuse)?;
        mounts::refuse_shared(&dir).map_err(refuse)?;
        mounts::refuse_credentials(&dir).map_err(refuse)?;
        Ok(Self { name, dir })
    }

    /// Removes a directory of the agent's own with all that is in it. Links in it are removed and not followed. Must not be
    /// asked for while a sandbox works there.
    ///
    /// # Errors
    /// The grant is for something else, or something in it cannot be removed.
    #[expect(clippy::disallowed_methods, reason = "the door to this effect, which takes a grant")]
    pub fn remove(self, grant: &Grant) -> Result<(), SandboxError> {
        require(grant, &self.name, None)?;
        match std::fs::remove_dir_all(&self.dir) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            done => done.map_err(|source| SandboxError::Workspace { path: self.dir, why: source.to_string() }),
        }
    }

    /// The directory, absolute and without links.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

/// Removes a directory that the agent made for itself, with all that is in it; links in it are removed and not followed.
/// One that is not there is removed already. Fails if the grant is for reading only.
#[expect(clippy::disallowed_methods, reason = "the one place where a directory of our own is removed as a whole")]
pub fn remove_own(grant: &Grant, path: &Path) -> io::Result<()> {
    if grant.is_read_only() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

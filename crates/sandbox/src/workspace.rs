//! The directories that may be workspaces.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use policy::Grant;
use types::WorkspaceName;

use crate::{SandboxError, mounts};

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

    /// The directory, absolute and without links.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

/// Removes a directory that the agent made for itself, with all that is in it; links in it are removed and not followed.
/// One that is not there is removed already. Directories in it that commands have closed are opened for that. Must not be asked for
/// while anybody works there. Fails if the grant is for reading only.
#[expect(clippy::disallowed_methods, reason = "the one place where a directory of our own is removed as a whole")]
pub fn remove_own(grant: &Grant, path: &Path) -> io::Result<()> {
    if grant.is_read_only() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let removed = match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_up(path)?;
            fs::remove_dir_all(path)
        }
        removed => removed,
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Lets its owner into a directory and all that are in it.
fn open_up(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        // A link is not one, whatever it means.
        if entry.file_type()?.is_dir() {
            open_up(&entry.path())?;
        }
    }
    Ok(())
}

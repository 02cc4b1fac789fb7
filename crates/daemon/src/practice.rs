//! The newcomer without a key: a workspace with a toy project for the practice model.

use std::{fs::Permissions, io, os::unix::fs::PermissionsExt, path::Path};

use policy::{Act, decide_own};
use providers::practice::TOY_FILES;
use sandbox::{FileError, Files, Workspace};
use types::WorkspaceName;

/// The name of the workspace.
pub(crate) const NAME: &str = "practice";

/// The model's name as clients see it.
pub(crate) const MODEL: &str = "practice/scripted";

/// What is said at the start, so that nobody takes the script for a model.
pub(crate) const NOTE: &str = "no model is configured: a built-in practice model answers. It is a script, not an AI. \
                               Say \"fix the failing test\" to see the whole machine work, and run `factotum setup` to \
                               use a real model";

/// Why the toy project could not be written.
#[derive(Debug, thiserror::Error)]
pub enum PracticeError {
    /// A file could not be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file could not be made executable.
    #[error("a file could not be made executable: {0}")]
    Mode(io::Error),
}

/// The practice workspace's name.
pub(crate) fn name() -> WorkspaceName {
    WorkspaceName::new(NAME).expect("the literal is a valid name")
}

/// Writes the toy project into a workspace that is empty. One that holds anything is left as it is: it may be what the
/// newcomer did with it.
pub(crate) fn create(workspace: &Workspace) -> Result<(), PracticeError> {
    let empty = std::fs::read_dir(workspace.dir()).is_ok_and(|mut entries| entries.next().is_none());
    if !empty {
        return Ok(());
    }
    let grant = decide_own(Act::OwnerCommand, workspace.name.clone());
    let files = Files::new(workspace)?;
    for (path, content, executable) in TOY_FILES {
        files.write(&grant, Path::new(path), content.as_bytes())?;
        if *executable {
            // The directory was empty a moment ago and no sandbox runs in it yet, so the path is the file just made.
            let made = workspace.dir().join(path);
            std::fs::set_permissions(&made, Permissions::from_mode(0o755)).map_err(PracticeError::Mode)?;
        }
    }
    Ok(())
}

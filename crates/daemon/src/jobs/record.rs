//! What is remembered of a job's tree beside it: where it began. Written once, when the tree is complete, so that a tree without
//! it is made again.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::SiteError;

/// The file in the job's directory.
const NAME: &str = "tree.json";
/// More than any record takes, in bytes.
const MAX_BYTES: u64 = 16 << 20;

/// Where a job's tree began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TreeRecord {
    /// The branch that it works on; none where the workspace had none checked out.
    pub branch: Option<String>,
    /// The commit that it began with; none without a repository or a commit.
    pub base: Option<String>,
    /// In the workspace itself: all its files as they were, uncommitted ones included, as git names a tree. None where that is
    /// the commit's own.
    pub began: Option<String>,
    /// In the workspace itself: what present work began with, once some was landed.
    #[serde(default)]
    pub stretch: Option<Stretch>,
    /// Why the work cannot be committed, if it cannot.
    pub no_commit: Option<String>,
    /// What the owner should know.
    pub notes: Vec<String>,
}

/// What a stretch of work in the workspace itself began with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stretch {
    /// All files as they were, as git names a tree.
    pub began: String,
    /// The files of the commit that was checked out. What differs from them is the owner's.
    pub top: String,
    /// Whether all of its work is landed: what is there when the job is resumed is the owner's.
    pub is_landed: bool,
}

impl TreeRecord {
    /// The record in a job's directory; none when there is none yet.
    pub fn read(directory: &Path) -> Result<Option<Self>, SiteError> {
        read(directory, NAME)
    }

    /// The record of a tree that must have been made.
    pub fn need(directory: &Path) -> Result<Self, SiteError> {
        Self::read(directory)?.ok_or_else(|| {
            SiteError::Unfit("the job's tree was never made, or its record is gone; start it anew".to_owned())
        })
    }

    /// Writes it, durably and in one step.
    pub fn write(&self, directory: &Path) -> Result<(), SiteError> {
        write(self, directory, NAME)
    }
}

/// Reads a record from a job's directory; none when there is none yet.
pub(crate) fn read<T: DeserializeOwned>(directory: &Path, name: &str) -> Result<Option<T>, SiteError> {
    let path = directory.join(name);
    let failed = |source: io::Error| SiteError::Directory { path: path.clone(), source };
    let bytes = match fs::metadata(&path) {
        Ok(found) if found.len() > MAX_BYTES => return Err(failed(io::ErrorKind::FileTooLarge.into())),
        Ok(_) => fs::read(&path).map_err(failed)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| failed(error.into()))
}

/// Writes a record, durably and in one step.
pub(crate) fn write(record: &impl Serialize, directory: &Path, name: &str) -> Result<(), SiteError> {
    let (path, temporary) = (directory.join(name), directory.join(format!("{name}.new")));
    let written = (|| {
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(&serde_json::to_vec_pretty(record)?)?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        fs::File::open(directory)?.sync_all()
    })();
    written.map_err(|source| SiteError::Directory { path, source })
}

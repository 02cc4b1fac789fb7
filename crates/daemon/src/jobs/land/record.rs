//! The commit that a job's work became, remembered before it is brought anywhere, so that a crash makes no second one.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::SiteError;
use crate::jobs::record::{self, Stretch};

/// A commit that was vetted and may be brought back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LandRecord {
    pub commit: String,
    /// What was checked out when the commit was made.
    pub head: String,
    /// What the job began with.
    pub base: String,
    /// In the workspace itself: what changes in its index.
    #[serde(default)]
    pub index: String,
    /// In the workspace itself: what work that follows begins with.
    #[serde(default)]
    pub stretch: Option<Stretch>,
    /// The branch that it is meant for.
    pub branch: String,
    /// What it changed, in numbers.
    pub changes: String,
    /// What the owner should know of it.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// The file in the job's directory.
pub(crate) const NAME: &str = "land.json";

impl LandRecord {
    pub fn read(directory: &Path) -> Result<Option<Self>, SiteError> {
        record::read(directory, NAME)
    }

    pub fn write(&self, directory: &Path) -> Result<(), SiteError> {
        record::write(self, directory, NAME)
    }
}

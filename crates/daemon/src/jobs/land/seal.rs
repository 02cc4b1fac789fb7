//! What the done condition held for: the files of the job's tree as they would be committed, named by git right after the check
//! passed. Nothing else lands, whoever changed the tree in between.

use std::path::Path;

use policy::Act;
use serde::{Deserialize, Serialize};

use super::{Site, SiteError, TreeRecord, candidate};
use crate::jobs::{
    record,
    site::{Purpose, Spot},
};

/// The file in the job's directory.
const NAME: &str = "checked.json";

/// The files that were checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Seal {
    /// As git names a tree.
    pub tree: String,
}

impl Seal {
    /// What was checked last; none when nothing was.
    pub fn read(directory: &Path) -> Result<Option<Self>, SiteError> {
        record::read(directory, NAME)
    }
}

/// Remembers the files of the tree as those for which the done condition holds. Nothing of the job may run any more.
pub async fn seal(site: &Site) -> Result<(), SiteError> {
    if TreeRecord::need(&site.directory)?.no_commit.is_some() {
        return Ok(());
    }
    let room = site.room(Purpose { act: Act::JobCheck, writes: Spot::Tree, reads: None, way_out: None }).await?;
    let tree = candidate::tree_of(&room).await?;
    record::write(&Seal { tree }, &site.directory, NAME)
}

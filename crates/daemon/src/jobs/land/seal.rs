//! What the done condition held for: the files of the job's tree as they would be committed, named by git before the done condition
//! was run. What its command changed does not land; nor does what anybody changed after it.

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
    /// As git names a tree: those with which the done condition began.
    pub tree: String,
    /// Those that it left. None where they are the same.
    #[serde(default)]
    pub left: Option<String>,
}

impl Seal {
    /// What was checked last; none when nothing was.
    pub fn read(directory: &Path) -> Result<Option<Self>, SiteError> {
        record::read(directory, NAME)
    }

    /// Whether these are the files that the done condition left: nobody changed them since.
    pub fn is_left(&self, tree: &str) -> bool {
        self.left.as_deref().unwrap_or(&self.tree) == tree
    }
}

/// The tree before the done condition is run; nothing where its work cannot be committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun(Option<(String, String)>);

/// Looks at the tree before the done condition is run. Nothing of the job may run any more.
pub async fn begin(site: &Site) -> Result<Begun, SiteError> {
    look(site).await.map(Begun)
}

/// Remembers the files with which the done condition began as those for which it holds. False where its command moved what is checked
/// out: then nobody knows for what it holds.
pub async fn seal(site: &Site, begun: Begun) -> Result<bool, SiteError> {
    let (Begun(Some((tree, head))), Some((left, now))) = (begun, look(site).await?) else { return Ok(true) };
    if head != now {
        return Ok(false);
    }
    let left = (left != tree).then_some(left);
    record::write(&Seal { tree, left }, &site.directory, NAME)?;
    Ok(true)
}

/// The files, and the commit that is checked out.
async fn look(site: &Site) -> Result<Option<(String, String)>, SiteError> {
    if TreeRecord::need(&site.directory)?.no_commit.is_some() {
        return Ok(None);
    }
    let room = site.room(Purpose { act: Act::JobCheck, writes: Spot::Tree, reads: None, way_out: None }).await?;
    candidate::tree_of(&room).await.map(Some)
}

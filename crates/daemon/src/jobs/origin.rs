//! The repository at its host that the workspace's own names as its `origin`.

use super::{
    SiteError,
    forge::Repository,
    site::{Errand, Room},
};

/// Why nothing can be fetched, pushed or posted.
pub(super) const NONE: &str =
    "the workspace's repository has no `origin` that can be reached over HTTPS; set one with `git remote`";

/// Tells the address. Git may push to another one than it fetches from.
const LOOK: &str = r#"
export GIT_DIR=/source/.git
{ [ -n "$PUSHES" ] && git config --get remote.origin.pushurl; } || git config --get remote.origin.url || :
"#;

/// What it is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Fetch,
    Push,
}

/// The `origin` of the repository that the room reads; none where it has none, or one that is not reached over HTTPS.
pub(super) async fn of(room: &Room<'_>, wanted: Wanted) -> Result<Option<Repository>, SiteError> {
    let pushes = if wanted == Wanted::Push { "yes" } else { "" };
    let told = room.git(Errand::new("look for the repository's origin", LOOK).with("PUSHES", pushes)).await?;
    Ok(Repository::of_remote(String::from_utf8_lossy(&told).lines().next().unwrap_or_default()))
}

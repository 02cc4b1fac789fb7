//! The commit that a job's work would become: made without moving a branch or touching the index, so that it can be vetted first.

use policy::Act;
use types::Place;

use super::{Landing, Room, Site, SiteError, TreeRecord, seal::Seal};
use crate::jobs::{
    site::{Errand, Purpose, Spot},
    tree::{all_files, is_object, own_git, pairs},
};

/// A commit that no branch has yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub commit: String,
    /// What is checked out.
    pub head: String,
    /// New files that are too large.
    pub left_out: u64,
    /// What changes in the index, in the form that `git update-index --index-info -z` reads; for the workspace itself.
    pub index: String,
}

/// Tells `$now` and how much was left out.
const STATE: &str = concat!(
    "TOP=/workspace",
    own_git!(),
    r#"
export GIT_OBJECT_DIRECTORY="$objects"
"#,
    all_files!(),
    r#"
echo "tree $now"
echo "left_out $(tr -dc '\0' < /tmp/large | wc -c)"
echo "head $head"
echo "top $(git rev-parse "$head^{tree}")"
echo "ref $(there symbolic-ref -q HEAD || :)"
"#
);

/// The differences between two trees.
const CHANGES: &str = r#"
export GIT_DIR=/workspace/.git
git diff-tree -r -z --no-renames --raw --no-abbrev "$FROM" "$TO"
"#;

/// The checked-out commit's tree with the changes that stand on standard input.
const APPLY: &str = r#"
export GIT_DIR=/workspace/.git GIT_WORK_TREE=/workspace GIT_INDEX_FILE=/tmp/index.apply
rm -f /tmp/index.apply
git read-tree "$HEAD"
git update-index -z --index-info
echo "tree $(git write-tree)"
"#;

/// Makes a commit of `$TREE` on `$PARENT` with the date `$DATE`; its message stands on standard input.
const COMMIT: &str = r#"
export GIT_DIR=/workspace/.git GIT_AUTHOR_DATE="$DATE" GIT_COMMITTER_DATE="$DATE"
export GIT_AUTHOR_NAME="$NAME" GIT_AUTHOR_EMAIL="$EMAIL" GIT_COMMITTER_NAME="$NAME" GIT_COMMITTER_EMAIL="$EMAIL"
echo "commit $(git commit-tree "$TREE" -p "$PARENT" -F -)"
"#;

/// What was told of the state of a tree.
struct State {
    tree: String,
    left_out: u64,
    head: String,
    top: String,
    reference: String,
}

async fn state(room: &Room<'_>) -> Result<State, SiteError> {
    let what = "write down the files of the tree";
    let output = room.git(Errand::new(what, STATE)).await?;
    let said = pairs(&output);
    let object = |key: &str| -> Result<String, SiteError> {
        let found = said.get(key).filter(|value| is_object(value)).cloned();
        found.ok_or_else(|| SiteError::Failed { what, why: format!("git told no {key}") })
    };
    Ok(State {
        tree: object("tree")?,
        left_out: said.get("left_out").and_then(|number| number.trim().parse().ok()).unwrap_or(0),
        head: object("head")?,
        top: object("top")?,
        reference: said.get("ref").cloned().unwrap_or_default(),
    })
}

/// All files of the workspace as they are: how many were too large, and the rest as git names a tree.
pub(crate) async fn state_of(room: &Room<'_>) -> Result<(u64, String), SiteError> {
    let state = state(room).await?;
    Ok((state.left_out, state.tree))
}

/// All files of the tree as they would be committed, as git names a tree.
pub(super) async fn tree_of(room: &Room<'_>) -> Result<String, SiteError> {
    Ok(state(room).await?.tree)
}

/// Makes the commit. Where nothing changed since the last one, that is it. None where the files are not the ones of `sealed`.
pub(super) async fn make(
    site: &Site,
    record: &TreeRecord,
    base: &str,
    landing: &Landing<'_>,
    sealed: Option<&Seal>,
) -> Result<Option<Candidate>, SiteError> {
    let room = site.room(Purpose { act: Act::JobLand, writes: Spot::Tree, reads: None, way_out: None }).await?;
    let state = state(&room).await?;
    if sealed.is_some_and(|sealed| sealed.tree != state.tree) {
        return Ok(None);
    }
    let (tree, index) = match &site.place {
        Place::Branch { .. } => (state.tree.clone(), String::new()),
        Place::Workspace => {
            let expected = record.branch.as_ref().map(|branch| format!("refs/heads/{branch}"));
            if expected.as_deref() != Some(state.reference.as_str()) {
                return Err(SiteError::Unfit(format!(
                    "the workspace had the branch `{}` checked out when the job began, and has another one now; check it out \
                     and commit by hand",
                    record.branch.as_deref().unwrap_or_default()
                )));
            }
            apply(&room, record.began.as_deref().unwrap_or(base), &state).await?
        }
    };
    let commit =
        if tree == state.top { state.head.clone() } else { commit(&room, &tree, &state.head, landing).await? };
    Ok(Some(Candidate { commit, head: state.head, left_out: state.left_out, index }))
}

/// The commit's tree with just what the job changed: what the owner had not committed before stays uncommitted.
async fn apply(room: &Room<'_>, began: &str, state: &State) -> Result<(String, String), SiteError> {
    let what = "tell the job's changes from the owner's";
    let errand = Errand { keep: 64 << 20, ..Errand::new(what, CHANGES) };
    let raw = room.git(errand.with("FROM", began).with("TO", state.tree.clone())).await?;
    let index =
        index_info(&raw).ok_or_else(|| SiteError::Failed { what, why: "git's list has another form".to_owned() })?;
    let errand = Errand::new(what, APPLY).with("HEAD", state.head.clone()).input(index.clone().into_bytes());
    let tree = object(&room.git(errand).await?, "tree", what)?;
    Ok((tree, index))
}

async fn commit(room: &Room<'_>, tree: &str, parent: &str, landing: &Landing<'_>) -> Result<String, SiteError> {
    let what = "commit the job's work";
    let errand = Errand::new(what, COMMIT)
        .with("TREE", tree)
        .with("PARENT", parent)
        .with("NAME", landing.author.name.clone())
        .with("EMAIL", landing.author.email.clone())
        .with("DATE", format!("@{} +0000", landing.at.0.max(0) / 1000))
        .input(landing.message.commit().into_bytes());
    object(&room.git(errand).await?, "commit", what)
}

fn object(output: &[u8], key: &'static str, what: &'static str) -> Result<String, SiteError> {
    let found = pairs(output).remove(key).filter(|value| is_object(value));
    found.ok_or_else(|| SiteError::Failed { what, why: format!("git told no {key}") })
}

/// From `git diff-tree --raw -z` to what `git update-index --index-info -z` reads. None where it has another form, or a name
/// that is no text.
fn index_info(raw: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(raw).ok()?;
    let mut fields = text.split('\0');
    let mut info = String::new();
    while let Some(head) = fields.next().filter(|head| !head.is_empty()) {
        let path = fields.next().filter(|path| !path.is_empty())?;
        let [_, mode, _, object, _] = head.strip_prefix(':')?.split(' ').collect::<Vec<_>>().try_into().ok()?;
        if !is_object(object) || !mode.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let mode = if mode == "000000" { "0" } else { mode };
        info.push_str(&format!("{mode} {object}\t{path}\0"));
    }
    Some(info)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_become_index_entries() {
        let (zero, one) = ("0".repeat(40), "1".repeat(40));
        let raw = format!(
            ":100644 100755 {one} {one} M\0a b\0:100644 000000 {one} {zero} D\0gone\0:000000 120000 {zero} {one} A\0l\tx\0"
        );
        let expected = format!("100755 {one}\ta b\x000 {zero}\tgone\x00120000 {one}\tl\tx\0");
        assert_eq!(index_info(raw.as_bytes()), Some(expected));
        assert_eq!(index_info(b""), Some(String::new()));
        for bad in ["x", ":100644 100644 a b M\0p\0", ":1 2 3\0p\0", ":100644 100644"] {
            assert_eq!(index_info(bad.as_bytes()), None, "{bad}");
        }
    }
}

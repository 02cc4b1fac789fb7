//! The commit that a job's work would become: made without moving a branch or touching the index, so that it can be vetted first.

use std::{collections::BTreeMap, path::PathBuf};

use policy::Act;
use types::Place;

use super::{Landing, Room, Site, SiteError, TreeRecord, seal::Seal};
use crate::jobs::{
    record::Stretch,
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
    /// What work that follows it begins with; for the workspace itself.
    pub stretch: Stretch,
}

/// What came of making it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Made {
    Candidate(Candidate),
    /// The files are not the ones that were checked.
    Unchecked,
    /// In the workspace itself: the owner had changed files that the job changed as well.
    Mixed {
        /// All files before the job's changes, as git names a tree.
        began: String,
        /// And with them.
        files: String,
        /// Which ones.
        paths: Vec<String>,
    },
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

/// The same as a patch.
const PATCH: &str = r#"
export GIT_DIR=/source/.git
git diff-tree -r -p --binary --full-index --no-color --no-ext-diff --no-textconv --no-renames "$FROM" "$TO" > /workspace/work.patch
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

/// All files of the tree as they would be committed, as git names a tree, and the commit that is checked out.
pub(super) async fn tree_of(room: &Room<'_>) -> Result<(String, String), SiteError> {
    state(room).await.map(|state| (state.tree, state.head))
}

/// What the workspace itself holds at this moment, for work that begins there now.
pub(crate) async fn stretch_of(room: &Room<'_>) -> Result<Stretch, SiteError> {
    state(room).await.map(|state| Stretch { began: state.tree, top: state.top, is_landed: false })
}

/// Makes the commit. Where nothing changed since the last one, that is it.
pub(super) async fn make(
    site: &Site,
    record: &TreeRecord,
    base: &str,
    landing: &Landing<'_>,
    sealed: Option<&Seal>,
) -> Result<Made, SiteError> {
    let room = site.room(Purpose { act: Act::JobLand, writes: Spot::Tree, reads: None, way_out: None }).await?;
    let mut state = state(&room).await?;
    if let Some(sealed) = sealed {
        if !sealed.is_left(&state.tree) {
            return Ok(Made::Unchecked);
        }
        state.tree.clone_from(&sealed.tree);
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
            let began = record.stretch.as_ref().map(|stretch| stretch.began.as_str()).or(record.began.as_deref());
            let top = record.stretch.as_ref().map_or(base, |stretch| &stretch.top);
            let began = began.unwrap_or(base);
            match apply(&room, (top, began), &state).await? {
                Ok(applied) => applied,
                Err(paths) => return Ok(Made::Mixed { began: began.to_owned(), files: state.tree, paths }),
            }
        }
    };
    let commit =
        if tree == state.top { state.head.clone() } else { commit(&room, &tree, &state.head, landing).await? };
    // What the check left beside the sealed files is not the owner's either.
    let stretch = Stretch { began: state.tree, top: tree, is_landed: false };
    Ok(Made::Candidate(Candidate { commit, head: state.head, left_out: state.left_out, index, stretch }))
}

/// The commit's tree with just what the job changed: what the owner had not committed before, `began` without `top`, stays
/// uncommitted. The inner error are the files that both changed.
async fn apply(
    room: &Room<'_>,
    (top, began): (&str, &str),
    state: &State,
) -> Result<Result<(String, String), Vec<String>>, SiteError> {
    let what = "tell the job's changes from the owner's";
    let errand = |from: &str, to: &str| {
        let errand = Errand { keep: 64 << 20, ..Errand::new(what, CHANGES) };
        errand.with("FROM", from).with("TO", to)
    };
    let other_form = || SiteError::Failed { what, why: "git's list has another form".to_owned() };
    let changed = changes(&room.git(errand(began, &state.tree)).await?).ok_or_else(other_form)?;
    let owners = changes(&room.git(errand(top, began)).await?).ok_or_else(other_form)?;
    let mixed: Vec<String> = changed.keys().filter(|path| owners.contains_key(*path)).cloned().collect();
    if !mixed.is_empty() {
        return Ok(Err(mixed));
    }
    let index = index_info(&changed);
    let errand = Errand::new(what, APPLY).with("HEAD", state.head.clone()).input(index.clone().into_bytes());
    let tree = object(&room.git(errand).await?, "tree", what)?;
    Ok(Ok((tree, index)))
}

/// Writes the changes of a job beside the files that they are mixed with, and gives where.
pub(super) async fn patch(site: &Site, began: &str, files: &str) -> Result<PathBuf, SiteError> {
    let purpose = Purpose { act: Act::JobLand, writes: Spot::Land, reads: Some(Spot::Tree), way_out: None };
    let errand = Errand::new("write down the job's changes", PATCH);
    site.room(purpose).await?.git(errand.with("FROM", began).with("TO", files)).await?;
    Ok(site.land().join("work.patch"))
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

/// From `git diff-tree --raw -z` to the paths that differ, each with its mode and object by now. None where it has another form,
/// or a name that is no text.
fn changes(raw: &[u8]) -> Option<BTreeMap<String, String>> {
    let text = std::str::from_utf8(raw).ok()?;
    let mut fields = text.split('\0');
    let mut changes = BTreeMap::new();
    while let Some(head) = fields.next().filter(|head| !head.is_empty()) {
        let path = fields.next().filter(|path| !path.is_empty())?;
        let [_, mode, _, object, _] = head.strip_prefix(':')?.split(' ').collect::<Vec<_>>().try_into().ok()?;
        if !is_object(object) || !mode.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let mode = if mode == "000000" { "0" } else { mode };
        changes.insert(path.to_owned(), format!("{mode} {object}"));
    }
    Some(changes)
}

/// The same as `git update-index --index-info -z` reads it.
fn index_info(changes: &BTreeMap<String, String>) -> String {
    changes.iter().map(|(path, entry)| format!("{entry}\t{path}\0")).collect()
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
        assert_eq!(changes(raw.as_bytes()).map(|changes| index_info(&changes)), Some(expected));
        assert_eq!(changes(b""), Some(BTreeMap::new()));
        for bad in ["x", ":100644 100644 a b M\0p\0", ":1 2 3\0p\0", ":100644 100644"] {
            assert_eq!(changes(bad.as_bytes()), None, "{bad}");
        }
    }
}

//! The tree that a job works in: a clone of the workspace's repository that shares nothing with it, or the workspace itself.
//! Git runs inside sandboxes alone, and sees the workspace read-only while a clone is made of it. Start with [`prepare`].

mod facts;
mod scripts;

/// A part of a script: makes git look at the files in `$TOP` through a directory of our own, which borrows the objects of the
/// repository there and takes nothing else of it but what it ignores. Neither its settings nor its attributes nor marks in its
/// index have a say, so that no filter of its own is run. `$head` is what is checked out there.
macro_rules! own_git {
    () => {
        r#"
there() { git --git-dir="$TOP/.git" --work-tree="$TOP" "$@"; }
place() { path=$(cd "$TOP" && there rev-parse --git-path "$1"); case "$path" in /*) echo "$path" ;; *) echo "$TOP/$path" ;; esac; }
head=$(there rev-parse -q --verify 'HEAD^{commit}' || :)
objects=$(place objects)
exclude=$(place info/exclude)
rm -rf /tmp/own.git
git init -q --bare --template= --object-format="$(there rev-parse --show-object-format)" /tmp/own.git
mkdir -p /tmp/own.git/info /tmp/own.objects
if [ -f "$exclude" ] && [ ! -L "$exclude" ] && [ "$(wc -c < "$exclude")" -le 65536 ]; then cat "$exclude" > /tmp/own.git/info/exclude; fi
for key in core.autocrlf core.eol core.fileMode core.symlinks; do
  value=$(there config --get "$key" || :)
  if [ -n "$value" ]; then git --git-dir=/tmp/own.git config "$key" "$value"; fi
done
export GIT_DIR=/tmp/own.git GIT_WORK_TREE="$TOP" GIT_INDEX_FILE=/tmp/own.index
export GIT_OBJECT_DIRECTORY=/tmp/own.objects GIT_ALTERNATE_OBJECT_DIRECTORIES="$objects"
cd "$TOP"
rm -f /tmp/own.index
"#
    };
}
pub(crate) use own_git;

/// A part of a script, behind [`own_git`]: makes `$now`, the tree of all files as they are, ignored ones left out. New files of
/// more than 20 MB are left out too, and named in `/tmp/large`.
macro_rules! all_files {
    () => {
        r#"
if [ -n "$head" ]; then git read-tree "$head"; else git read-tree --empty; fi
git ls-files -z -o --exclude-standard | sed -z 's,^,./,' \
  | xargs -0r sh -c 'find "$@" -maxdepth 0 -type f -size +20480k -print0' sh > /tmp/large
{ printf '.\0'; sed -z 's,^\./,:(exclude\,top\,literal),' /tmp/large; } > /tmp/chosen
git add -A --pathspec-from-file=/tmp/chosen --pathspec-file-nul
now=$(git write-tree)
"#
    };
}
pub(crate) use all_files;

use std::{collections::BTreeMap, time::Duration};

use policy::Act;
use types::Place;

use super::{
    Author, Site, SiteError, check_branch,
    git::safe_remote,
    record::TreeRecord,
    site::{Errand, Purpose, Room, Spot, make_private},
};

pub(crate) use facts::is_object;
use facts::{Facts, Start};

/// How long a clone may take.
const CLONE: Duration = Duration::from_secs(1800);
/// How long a look at the repository may take.
const LOOK: Duration = Duration::from_secs(180);
/// The most bytes of a patch.
const MAX_PATCH: usize = 1 << 20;

/// Makes the job's tree, or finds it as it is. Gives what the owner should know of it. Safe to repeat after a crash.
pub async fn prepare(site: &Site, author: &Author) -> Result<Vec<String>, SiteError> {
    make_private(&site.directory)?;
    if let Some(record) = TreeRecord::read(&site.directory)? {
        return begin_again(site, record).await;
    }
    let record = match &site.place {
        Place::Workspace => begin_in_place(site).await?,
        Place::Branch { branch, base } => clone(site, author, branch, base.as_deref()).await?,
    };
    record.write(&site.directory)?;
    Ok(record.notes)
}

/// Finds the tree as it is. What is in the workspace itself after all work was landed is the owner's, and no work of the job's.
async fn begin_again(site: &Site, mut record: TreeRecord) -> Result<Vec<String>, SiteError> {
    if record.stretch.as_ref().is_some_and(|stretch| stretch.is_landed) {
        let purpose = Purpose { act: Act::JobTree, writes: Spot::Workspace, reads: None, way_out: None };
        record.stretch = Some(super::land::stretch_of(&site.room(purpose).await?).await?);
        record.write(&site.directory)?;
    }
    Ok(record.notes)
}

/// Remembers that all of the job's work is landed.
pub fn finish(site: &Site) -> Result<(), SiteError> {
    let mut record = TreeRecord::need(&site.directory)?;
    match &mut record.stretch {
        Some(stretch) if !stretch.is_landed => stretch.is_landed = true,
        Some(_) | None => return Ok(()),
    }
    record.write(&site.directory)
}

/// What the job has changed since it began, in a line such as `2 files changed, +10 -3`; none where there is no repository.
pub async fn changes(site: &Site) -> Result<Option<String>, SiteError> {
    let Some(output) = compare(site, scripts::NUMSTAT).await? else { return Ok(None) };
    Ok(Some(Numbers::read(&output).to_string()))
}

/// What the job has changed since it began, as a patch of at most a mebibyte.
pub async fn diff(site: &Site) -> Result<String, SiteError> {
    let output = compare(site, scripts::PATCH).await?;
    let output = output.ok_or_else(|| {
        SiteError::Unfit("the workspace has no git repository, so there is nothing to compare with".to_owned())
    })?;
    Ok(cut(&output, MAX_PATCH))
}

/// Removes the job's clone. A workspace is left alone.
pub async fn remove(site: &Site) -> Result<(), SiteError> {
    let tree = match &site.place {
        Place::Workspace => return Ok(()),
        Place::Branch { .. } => site.tree(),
    };
    if !tree.exists() {
        return Ok(());
    }
    // Its directories may be closed, or deeper than a path may be long: what has the rights of the commands that made it, and
    // nothing else in reach, removes it best.
    let room = site.room(Purpose { act: Act::JobTree, writes: Spot::Tree, reads: None, way_out: None }).await?;
    room.git(Errand::new("remove the job's tree", scripts::EMPTY).within(CLONE)).await?;
    drop(room);
    std::fs::remove_dir(&tree).map_err(|source| SiteError::Directory { path: tree, source })
}

/// Looks at the repository in the workspace.
async fn look(room: &Room<'_>, at: &str, branch: &str, base: &str) -> Result<Facts, SiteError> {
    let errand = Errand::new("look at the workspace's repository", scripts::LOOK)
        .with("AT", at)
        .with("BRANCH", branch)
        .with("BASE", base)
        .within(LOOK);
    Facts::read(&room.git(errand).await?)
}

/// Makes a clone on a branch. Nothing is recorded yet.
pub(super) async fn clone(
    site: &Site,
    author: &Author,
    branch: &str,
    base: Option<&str>,
) -> Result<TreeRecord, SiteError> {
    check_branch(branch).map_err(|error| SiteError::Unfit(error.to_string()))?;
    // What a crash left half made.
    remove(site).await?;
    make_private(&site.tree())?;
    let reads = Some(Spot::Workspace);
    let room = site.room(Purpose { act: Act::JobTree, writes: Spot::Tree, reads, way_out: None }).await?;
    let facts = look(&room, "/source", branch, base.unwrap_or_default()).await?;
    let (start, commit) = facts.start(branch, base)?;
    check_room(site, &facts)?;
    let remote = facts.origin.as_deref().and_then(safe_remote);
    let errand = Errand::new("make the job's tree", scripts::CLONE)
        .with("BRANCH", branch)
        .with("START", commit.clone())
        .with("FORMAT", facts.format.clone())
        .with("ORIGIN", remote.unwrap_or_default())
        .with("TRACKS", if start == Start::Remote { "1" } else { "" })
        .with("AUTHOR_NAME", author.name.clone())
        .with("AUTHOR_EMAIL", author.email.clone())
        .within(CLONE);
    room.git(errand).await?;
    Ok(TreeRecord {
        branch: Some(branch.to_owned()),
        base: Some(commit),
        began: None,
        stretch: None,
        no_commit: None,
        notes: facts.notes(start),
    })
}

/// Refuses early what could only fail half-way.
fn check_room(site: &Site, facts: &Facts) -> Result<(), SiteError> {
    let needed = facts.kib.saturating_mul(2) >> 10;
    let allowed = site.pool.specification(&site.workspace)?.quota.disk_mb;
    if needed > allowed {
        return Err(SiteError::Unfit(format!(
            "a clone of the repository may need {needed} MB, and `sandbox.disk_mb` allows {allowed}; raise it, or let the job \
             work in the workspace itself"
        )));
    }
    let free = rustix::fs::statvfs(&site.directory).map(|fs| fs.f_bavail.saturating_mul(fs.f_frsize) >> 20);
    match free {
        Ok(free) if free < needed => Err(SiteError::Unfit(format!(
            "a clone of the repository may need {needed} MB, and {free} are free; make room, or let the job work in the \
             workspace itself"
        ))),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Remembers how the workspace is, so that what the job did can be told from what was there.
async fn begin_in_place(site: &Site) -> Result<TreeRecord, SiteError> {
    let none = |why: &str| TreeRecord {
        branch: None,
        base: None,
        began: None,
        stretch: None,
        no_commit: Some(why.to_owned()),
        notes: Vec::new(),
    };
    let room = site.room(Purpose { act: Act::JobTree, writes: Spot::Workspace, reads: None, way_out: None }).await?;
    let facts = look(&room, "/workspace", "", "").await?;
    match facts.head() {
        Ok(_) => {}
        Err(SiteError::Unfit(_)) if facts.has_repository() => return Ok(none("the repository has no commit yet")),
        Err(SiteError::Unfit(_)) => return Ok(none("the workspace is no git repository")),
        Err(error) => return Err(error),
    }
    let (left_out, began) = super::land::state_of(&room).await?;
    let mut notes = Vec::new();
    if facts.dirty > 0 {
        notes.push(format!(
            "{} uncommitted changes were there before the job; they are not committed with its work",
            facts.dirty
        ));
    }
    if left_out > 0 {
        notes.push(format!("{left_out} files are too large to be compared and are left out of commits"));
    }
    Ok(TreeRecord {
        branch: facts.current.clone(),
        base: Some(facts.head()?),
        began: Some(began),
        stretch: None,
        no_commit: facts.current.is_none().then(|| "no branch is checked out in the workspace".to_owned()),
        notes,
    })
}

/// Runs a comparison of what the job began with and the files as they are; none where there is no repository.
async fn compare(site: &Site, script: &str) -> Result<Option<Vec<u8>>, SiteError> {
    let record = TreeRecord::need(&site.directory)?;
    let Some(base) = record.began.or(record.base) else { return Ok(None) };
    let purpose = Purpose { act: Act::JobTree, writes: Spot::Land, reads: Some(Spot::Tree), way_out: None };
    let room = site.room(purpose).await?;
    let errand = Errand { keep: 8 << 20, ..Errand::new("compare the job's tree", script) };
    room.git(errand.with("BASE", base).with("MOST", (2 * MAX_PATCH).to_string()).within(LOOK)).await.map(Some)
}

/// The sums of a comparison.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Numbers {
    pub files: u64,
    pub added: u64,
    pub removed: u64,
    /// Files without lines.
    pub binary: u64,
}

impl Numbers {
    /// Adds up what `git diff --numstat -z` tells.
    pub fn read(output: &[u8]) -> Self {
        let mut sums = Self::default();
        for line in output.split(|byte| *byte == 0).filter(|line| !line.is_empty()) {
            let mut fields =
                line.split(|byte| *byte == b'\t').map(|field| std::str::from_utf8(field).unwrap_or_default());
            let (Some(added), Some(removed)) = (fields.next(), fields.next()) else { continue };
            sums.files += 1;
            match (added.parse::<u64>(), removed.parse::<u64>()) {
                (Ok(added), Ok(removed)) => {
                    sums.added += added;
                    sums.removed += removed;
                }
                _ => sums.binary += 1,
            }
        }
        sums
    }
}

impl std::fmt::Display for Numbers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.files == 0 {
            return f.write_str("no files changed");
        }
        let plural = if self.files == 1 { "" } else { "s" };
        write!(f, "{} file{plural} changed, +{} -{}", self.files, self.added, self.removed)?;
        if self.binary > 0 { write!(f, ", {} not counted by lines", self.binary) } else { Ok(()) }
    }
}

/// A text of at most so many bytes, which says when it was cut.
pub(crate) fn cut(bytes: &[u8], most: usize) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(most)]);
    if bytes.len() > most { format!("{text}\n[cut after {} KiB]\n", most >> 10) } else { text.into_owned() }
}

/// Lines of `key value`; of several with one key the last counts.
pub(crate) fn pairs(output: &[u8]) -> BTreeMap<String, String> {
    let text = String::from_utf8_lossy(output);
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons_are_added_up() {
        let numbers = Numbers::read(b"10\t3\ta b.rs\0-\t-\tlogo.png\x000\t1\tx\n y\0");
        assert_eq!(numbers.to_string(), "3 files changed, +10 -4, 1 not counted by lines");
        assert_eq!(Numbers::read(b"").to_string(), "no files changed");
        assert_eq!(Numbers::read(b"1\t0\tx\0").to_string(), "1 file changed, +1 -0");
    }

    #[test]
    fn long_texts_are_cut_and_say_so() {
        assert_eq!(cut(b"abc", 3), "abc");
        assert_eq!(cut(&[b'x'; 3000], 2048).len(), 2048 + "\n[cut after 2 KiB]\n".len());
    }
}

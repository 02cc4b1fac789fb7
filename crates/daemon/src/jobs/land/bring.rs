//! Bringing a vetted commit into the workspace's repository: by a pack, which is data, and a branch that is only ever moved forward.
//! Files that are checked out are never touched.

use policy::Act;
use types::Place;

use super::{Site, SiteError, record::LandRecord};
use crate::jobs::{
    site::{Errand, Purpose, Spot},
    tree::pairs,
};

/// Puts the branch on the commit, or one of a name of our own where the branch is checked out or has gone another way.
const FETCH: &str = r#"
export GIT_DIR=/workspace/.git
git index-pack --strict --fix-thin --stdin < /source/work.pack > /dev/null
git worktree list --porcelain > /tmp/worktrees
try() {
  old=$(git rev-parse -q --verify "refs/heads/$1^{commit}" || :)
  if [ "$old" = "$COMMIT" ]; then echo "branch $1"; exit 0; fi
  if grep -qxF "branch refs/heads/$1" /tmp/worktrees; then return 0; fi
  if [ -n "$old" ] && ! git merge-base --is-ancestor "$old" "$COMMIT"; then return 0; fi
  if [ -z "$old" ]; then old=$(printf '%s' "$COMMIT" | tr '0-9a-f' '0'); fi
  if git update-ref --no-deref -m "job $JOB" "refs/heads/$1" "$COMMIT" "$old"; then echo "branch $1"; exit 0; fi
}
try "$BRANCH"
try "job-$JOB/$BRANCH"
for number in 2 3 4 5 6 7 8 9; do try "job-$JOB-$number/$BRANCH"; done
"#;

/// Moves the branch that is checked out to the commit, whose files are there already, and tells the index of them alone.
const ADVANCE: &str = r#"
export GIT_DIR=/workspace/.git GIT_WORK_TREE=/workspace
if [ "$(git symbolic-ref -q HEAD || :)" != "refs/heads/$BRANCH" ]; then exit 0; fi
now=$(git rev-parse 'HEAD^{commit}')
if [ "$now" != "$COMMIT" ]; then
  if [ "$now" != "$WAS" ]; then exit 0; fi
  git update-ref -m "job $JOB" "refs/heads/$BRANCH" "$COMMIT" "$WAS"
fi
git update-index -z --index-info
git update-index -q --refresh > /dev/null || :
echo "branch $BRANCH"
"#;

/// Puts the job's own branch on the commit, whose files are there already, unless it is there or somewhere else by now.
const FOLLOW: &str = r#"
export GIT_DIR=/workspace/.git
if [ "$(git rev-parse -q --verify 'HEAD^{commit}')" != "$WAS" ]; then exit 0; fi
git update-ref -m "job $JOB" HEAD "$COMMIT" "$WAS"
git read-tree "$COMMIT"
"#;

/// Lets the job's clone follow to the commit, so that work after it begins there and the branch goes forward again.
pub(super) async fn follow(site: &Site, record: &LandRecord) -> Result<(), SiteError> {
    if site.place == Place::Workspace || record.head == record.commit {
        return Ok(());
    }
    let errand = Errand::new("put the job's branch on its commit", FOLLOW)
        .with("COMMIT", record.commit.clone())
        .with("WAS", record.head.clone())
        .with("JOB", site.job.to_string());
    let purpose = Purpose { act: Act::JobLand, writes: Spot::Tree, reads: None, way_out: None };
    site.room(purpose).await?.git(errand).await.map(|_| ())
}

/// Brings the commit back and gives the branch on which it is.
pub(super) async fn bring(site: &Site, record: &LandRecord, notes: &mut Vec<String>) -> Result<String, SiteError> {
    let what = "bring the job's commit into the workspace's repository";
    let errand = |script: &'static str| {
        Errand::new(what, script)
            .with("BRANCH", record.branch.clone())
            .with("COMMIT", record.commit.clone())
            .with("JOB", site.job.to_string())
    };
    let (reads, errand) = match site.place {
        Place::Branch { .. } => (Some(Spot::Land), errand(FETCH)),
        Place::Workspace => {
            (None, errand(ADVANCE).with("WAS", record.head.clone()).input(record.index.clone().into_bytes()))
        }
    };
    let room = site.room(Purpose { act: Act::JobLand, writes: Spot::Workspace, reads, way_out: None }).await?;
    let said = pairs(&room.git(errand).await?);
    let Some(branch) = said.get("branch") else {
        let why = match site.place {
            Place::Branch { .. } => "every name for its branch is taken in the workspace's repository",
            Place::Workspace => "another branch or commit was checked out in the workspace meanwhile",
        };
        return Err(SiteError::Failed { what, why: format!("{why}; the commit is {}", record.commit) });
    };
    if *branch != record.branch {
        notes.push(format!(
            "the branch `{}` is checked out in the workspace or has gone another way, so the work is on `{branch}`",
            record.branch
        ));
    }
    Ok(branch.clone())
}

//! The parts of the owner's repository that git runs or obeys: hooks, settings, and what says where the rest of it lies. Whoever
//! works in the workspace itself could leave something there that the owner's own git runs later, outside of every sandbox. They
//! can only be read where a job's programs run, are saved before it begins, and put back when it ends. Start with [`hold`].

use std::{
    collections::BTreeSet,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use policy::{Act, decide_own};
use sandbox::{Change, Fixed, FixedParts, Pins, SnapshotError, show_path};
use serde_json::json;
use store::{Job, Store, audit::AuditKind};
use types::{JobState, Place};

use super::{
    Site, SiteError,
    check::{self, blocking},
    record,
};
use crate::terminals;

/// Where they are saved, in the job's directory.
const SAVED: &str = "guarded";
/// Which of them were put back, in the job's directory: a list of paths.
const RESTORED: &str = "restored.json";
/// The most names in a note.
const MAX_NAMED: usize = 20;

/// The repository, or the file that says where it lies. All of it can only be read: a name that is missing in it, such as
/// `commondir`, could be made, a mount over a file would be lost when the owner's git replaces the file, and an entry of the
/// index makes git look into a directory of the job's.
const REPOSITORY: &str = ".git";
/// The most repositories below that are fixed, such as submodules; others are put back.
const MAX_BELOW: usize = 200;

/// Files that git obeys, by their names in a repository or in that of a submodule or worktree.
const OBEYED: [&str; 5] = ["commondir", "config", "config.worktree", "gitdir", "shallow"];
/// The same, in `info`.
const OBEYED_INFO: [&str; 2] = ["attributes", "grafts"];
/// What holds objects, refs and their history. A file there is data, whatever its name.
const DATA: [&str; 5] = ["lfs", "logs", "objects", "refs", "rr-cache"];

/// What a job's programs cannot replace; nothing in a tree of the job's own, from which only data comes back.
pub(super) fn fixed(place: &Place, directory: &Path) -> Result<Vec<Fixed>, SiteError> {
    if *place != Place::Workspace {
        return Ok(Vec::new());
    }
    let failed = |error: SnapshotError| SiteError::Failed { what: "read what is guarded", why: error.to_string() };
    let saved = Pins::open(&directory.join(SAVED)).map_err(failed)?;
    let below: BTreeSet<PathBuf> = saved.iter().flat_map(Pins::files).filter_map(repository_of).collect();
    let all = [PathBuf::from(REPOSITORY)].into_iter().chain(below.into_iter().take(MAX_BELOW));
    Ok(all.filter_map(|path| Fixed::read_only(&path)).collect())
}

/// The repository below the workspace's own to which a guarded file belongs.
fn repository_of(path: &Path) -> Option<PathBuf> {
    let parts: Vec<_> = path.components().collect();
    let at = parts.iter().position(|part| part.as_os_str() == REPOSITORY)?;
    (at > 0).then(|| parts[..=at].iter().collect())
}

/// What of its tree the programs of a job cannot replace, with what its done condition has pinned.
pub(super) fn of_job(job: &Job, directory: &Path) -> Result<Vec<Fixed>, SiteError> {
    let mut fixed = fixed(&job.spec.place, directory)?;
    fixed.extend(check::fixed(directory, job.spec.done.as_ref())?);
    Ok(fixed)
}

/// The same for the sessions in which our own loop works on a job; nothing for all others. `home` is the agent's own directory.
pub(crate) fn of_sessions(store: Store, home: &Path) -> FixedParts {
    let home = home.to_owned();
    Arc::new(move |session, _| {
        let job = store.job_of_session(session).map_err(|error| error.to_string())?;
        match job.filter(|job| !matches!(job.state, JobState::Ended { .. })) {
            Some(job) => {
                of_job(&job, &terminals::Place::Job(job.id).directory(&home)).map_err(|error| error.to_string())
            }
            None => Ok(Vec::new()),
        }
    })
}

/// Whether a path of the workspace is one that git runs or obeys.
fn is_guarded(path: &Path) -> bool {
    let mut parts = path.components().filter_map(|part| match part {
        Component::Normal(name) => name.to_str().or(Some("")),
        _ => None,
    });
    // Of the workspace itself, of a submodule, or of a repository that lies in it.
    if !parts.any(|part| part == REPOSITORY) {
        return false;
    }
    let inner: Vec<&str> = parts.collect();
    // No directory is saved or removed by itself: what is left of the name alone is a file or link in its place.
    let Some((name, above)) = inner.split_last() else { return true };
    if inner.as_slice() == ["objects", "info", "alternates"] {
        return true;
    }
    if above.iter().any(|part| DATA.contains(part)) {
        return false;
    }
    OBEYED.contains(name) || above.contains(&"hooks") || (OBEYED_INFO.contains(name) && above.last() == Some(&"info"))
}

/// Saves them before the job begins. Safe to repeat: what was saved first counts.
pub(super) async fn hold(site: &Site) -> Result<(), SiteError> {
    if site.place != Place::Workspace {
        return Ok(());
    }
    let (tree, directory) = (site.workspace.clone(), site.directory.join(SAVED));
    let restored = site.directory.join(RESTORED);
    let save = move || {
        if Pins::open(&directory)?.is_none() {
            // What was put back the last time was told then.
            remove(&restored)?;
        }
        let grant = decide_own(Act::Snapshot, tree.name.clone());
        Pins::save(&grant, &tree, &is_guarded, &directory).map(drop)
    };
    blocking("save the repository's settings and hooks", save).await
}

fn remove(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Puts them back, while nothing of the job runs. What had been changed is remembered before, for [`told`].
pub(super) async fn put_back(site: &Site) -> Result<(), SiteError> {
    let directory = site.directory.join(SAVED);
    if site.place != Place::Workspace || !directory.exists() {
        return Ok(());
    }
    let what = "put the repository's settings and hooks back";
    site.audit(AuditKind::ToolIntent, json!({ "tool": "job", "does": what })).await?;
    let (tree, saved) = (site.workspace.clone(), directory.clone());
    let look = move || -> Result<Vec<Change>, SnapshotError> {
        let Some(pins) = Pins::open(&saved)? else { return Ok(Vec::new()) };
        pins.changed(&decide_own(Act::JobTree, tree.name.clone()), &tree, &is_guarded)
    };
    let changes = blocking(what, look).await?;
    let told: Vec<String> = changes.iter().take(MAX_NAMED).map(|change| show_path(&change.path)).collect();
    if !told.is_empty() {
        remember(site, &told)?;
        let tree = site.workspace.clone();
        let restore = move || -> Result<(), SnapshotError> {
            let Some(pins) = Pins::open(&directory)? else { return Ok(()) };
            pins.put_back(&decide_own(Act::JobTree, tree.name.clone()), &tree, &is_guarded).map(drop)
        };
        blocking(what, restore).await?;
    }
    site.audit(AuditKind::ToolOutcome, json!({ "tool": "job", "does": what, "restored": told })).await
}

/// Adds to what the owner is told, whatever becomes of the step that found it.
fn remember(site: &Site, paths: &[String]) -> Result<(), SiteError> {
    let mut all: Vec<String> = record::read(&site.directory, RESTORED)?.unwrap_or_default();
    all.extend(paths.iter().filter(|path| !all.contains(path)).cloned().collect::<Vec<_>>());
    all.truncate(MAX_NAMED);
    record::write(&all, &site.directory, RESTORED)
}

/// Forgets them: what the owner changes from here on is the owner's.
pub(super) fn release(site: &Site) -> Result<(), SiteError> {
    let path = site.directory.join(SAVED);
    Pins::forget(&path).map_err(|source| SiteError::Directory { path, source })
}

/// What was put back since the job began, in words for the owner; the same again until it begins anew.
pub(super) fn told(site: &Site) -> Option<String> {
    let said = "settings or hooks of your repository had been changed and were put back";
    match record::read::<Vec<String>>(&site.directory, RESTORED) {
        Ok(changed) => changed.map(|changed| format!("{said}: {}", changed.join(", "))),
        Err(error) => {
            tracing::error!(job = %site.job, %error, "what was put back in a repository is not known any more");
            Some(said.to_owned())
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use sandbox::{Pool, SandboxConfig, Workspace};
    use types::{JobId, SessionId, TurnId, WorkspaceName};

    use super::*;

    #[tokio::test]
    async fn what_was_put_back_is_told_whatever_came_after() {
        let outer = tempfile::tempdir().unwrap();
        let (workspace, directory) = (outer.path().join("billing"), outer.path().join("home/jobs/7"));
        std::fs::create_dir_all(workspace.join(".git")).unwrap();
        std::fs::create_dir_all(&directory).unwrap();
        let config = workspace.join(".git/config");
        std::fs::write(&config, "[core]\n").unwrap();
        let site = Site {
            job: JobId(7),
            session: SessionId(1),
            turn: TurnId(1),
            place: Place::Workspace,
            workspace: Workspace::open(WorkspaceName::new("billing").unwrap(), &workspace).unwrap(),
            directory,
            pool: Arc::new(Pool::new(SandboxConfig::default(), &outer.path().join("home"))),
            store: Store::in_memory(Arc::new(crate::SystemClock::new())).unwrap(),
        };
        hold(&site).await.unwrap();
        put_back(&site).await.unwrap();
        assert_eq!(told(&site), None);
        std::fs::write(&config, "[core]\nfsmonitor = evil\n").unwrap();
        // The landing after it fails, or the daemon dies: nobody has heard of it yet.
        put_back(&site).await.unwrap();
        assert_eq!(std::fs::read_to_string(&config).unwrap(), "[core]\n");
        put_back(&site).await.unwrap();
        release(&site).unwrap();
        assert!(told(&site).is_some_and(|told| told.ends_with("put back: .git/config")), "{:?}", told(&site));
        // A resume begins anew.
        hold(&site).await.unwrap();
        assert_eq!(told(&site), None);
    }

    #[test]
    fn what_git_runs_or_obeys_is_guarded_and_its_data_is_not() {
        for yes in [
            ".git",
            ".git/config",
            ".git/config.worktree",
            ".git/shallow",
            ".git/info/grafts",
            ".git/commondir",
            ".git/hooks/pre-commit",
            ".git/hooks/deep/er",
            ".git/info/attributes",
            ".git/objects/info/alternates",
            ".git/modules/sub/config",
            ".git/modules/a/modules/b/hooks/post-checkout",
            ".git/modules/sub/info/attributes",
            ".git/worktrees/other/gitdir",
            ".git/worktrees/other/config.worktree",
            "sub/.git/config",
            "deep/sub/.git",
        ] {
            assert!(is_guarded(Path::new(yes)), "{yes}");
        }
        for no in [
            ".git/HEAD",
            ".git/index",
            ".git/objects/ab/cdef",
            ".git/refs/heads/config",
            ".git/refs/heads/hooks/x",
            ".git/logs/refs/heads/config",
            ".git/modules/sub/refs/heads/config",
            ".git/info/exclude",
            "config",
            "hooks/pre-commit",
        ] {
            assert!(!is_guarded(Path::new(no)), "{no}");
        }
        let nowhere = Path::new("/nowhere");
        assert!(fixed(&Place::Branch { branch: "x".to_owned(), base: None }, nowhere).is_ok_and(|all| all.is_empty()));
        assert_eq!(repository_of(Path::new("deep/sub/.git/hooks/x")), Some(PathBuf::from("deep/sub/.git")));
        assert_eq!(repository_of(Path::new(".git/modules/x/config")), None);
    }
}

//! Putting a workspace back to before the last task that wrote to it.

use std::sync::Arc;

use policy::{Act, decide_own};
use sandbox::{SnapshotError, Snapshots, Workspace};
use store::{
    SnapshotRow,
    audit::{AuditEntry, AuditKind},
};
use types::{ChannelId, Event, Failure, SnapshotId, WorkspaceName};

use crate::{
    core::Core,
    failure::{internal, stored, user},
    occupancy::Alone,
};

/// The latest sessions, whose sandboxes may live; older ones were reaped.
const SESSIONS: usize = 1_000;

/// Restores a snapshot. The present state is saved first, so that an undo can be undone by its number. `said_in` is the
/// message that asks for it: it is remembered in the same write, since a second undo would go further back.
pub(crate) async fn undo(
    core: &Arc<Core>,
    workspace: Option<WorkspaceName>,
    snapshot: Option<SnapshotId>,
    said_in: Option<(ChannelId, String)>,
) -> Result<String, Failure> {
    // By itself, so that it comes to its end and is recorded even if whoever asked for it hangs up.
    let owned = core.clone();
    let work = async move { carry_out(&owned, workspace, snapshot, said_in).await };
    core.tasks.spawn(work).await.map_err(|_| internal("the undo broke off"))?
}

async fn carry_out(
    core: &Core,
    workspace: Option<WorkspaceName>,
    snapshot: Option<SnapshotId>,
    said_in: Option<(ChannelId, String)>,
) -> Result<String, Failure> {
    let name = match workspace {
        Some(name) => name,
        None => present_workspace(core)?,
    };
    let workspace = core.workspace(&name)?;
    let _alone = alone(core, &name)?;
    let rows = core.store.snapshots(&name).map_err(stored)?;
    let place = core.store.cursor(&cursor(&name)).map_err(stored)?.and_then(|text| Place::read(&text));
    let chosen = choose(&rows, snapshot, place).ok_or_else(|| {
        user(format!("nothing is saved to go back to in workspace {name}"), "see `factotum undo --list`")
    })?;
    let (id, target) = (chosen.id, chosen.manifest.clone());
    intend(core, &name, id).await?;
    still(core, &name).await?;
    let latest = rows.iter().map(|row| row.id).max().unwrap_or(id);
    let (before, restored) = restore(core, workspace, target).await?;
    let not_saved = before.as_ref().err().cloned();
    let event = Event::SnapshotRestored { snapshot: id, workspace: name.clone() };
    let record = move |tx: &mut store::Tx<'_>| {
        let saved = match before {
            Ok(manifest) => Some(tx.add_snapshot(&name, None, manifest)?),
            Err(_) => None,
        };
        tx.set_cursor(cursor(&name), Place { at: id, saved: saved.unwrap_or(latest) }.write())?;
        tx.record(None, None, event)?;
        if let Some((channel, number)) = said_in {
            tx.note_silenced(&channel, number)?;
        }
        Ok((saved, name))
    };
    let (saved, name) = core.store.transact(record).await.map_err(stored)?;
    let back = match (saved, not_saved) {
        (Some(saved), _) => format!("`factotum undo --snapshot {saved}` takes this back"),
        (None, why) => format!("what was there could not be saved before: {}", why.unwrap_or_default()),
    };
    Ok(format!("workspace {name} is back at snapshot {id}: {restored}; {back}"))
}

/// The workspace of the session that the owner is in.
fn present_workspace(core: &Core) -> Result<WorkspaceName, Failure> {
    let session = core.store.session(core.current_session()?).map_err(stored)?;
    session.map(|session| session.workspace).ok_or_else(|| internal("the present session is missing"))
}

/// Keeps tasks from beginning there until the undo is over: one that writes while we restore would leave a mixture.
fn alone(core: &Core, name: &WorkspaceName) -> Result<Alone, Failure> {
    let directory = core.directory(name);
    for (session, turn) in core.sessions.running() {
        let session = core.store.session(session).map_err(stored)?;
        let there = session.is_some_and(|session| core.directory(&session.workspace) == directory);
        if there {
            let hint = "wait for it, or stop it with /stop";
            return Err(user(format!("task {turn} is running in workspace {name}"), hint));
        }
    }
    let taken = || user(format!("another undo is at work in workspace {name}"), "wait until it has answered");
    core.occupancy.alone(&directory).ok_or_else(taken)
}

/// No record, no effect: an undo rewrites files.
async fn intend(core: &Core, name: &WorkspaceName, id: SnapshotId) -> Result<(), Failure> {
    let detail = serde_json::json!({ "undo": name, "snapshot": id });
    let entry = AuditEntry { session: None, turn: None, call: None, kind: AuditKind::Daemon, detail };
    core.store.audit().append(entry).await.map(|_| ()).map_err(internal)
}

/// Ends what a task left running in the background there: it could write while we restore.
async fn still(core: &Core, name: &WorkspaceName) -> Result<(), Failure> {
    for session in core.store.sessions(SESSIONS).map_err(stored)? {
        if core.directory(&session.workspace) == core.directory(name) {
            core.pool.stop_session(session.id).await;
        }
    }
    Ok(())
}

/// Where the last undo left the workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    /// The snapshot that was restored.
    at: SnapshotId,
    /// The one that was taken just before: tasks that wrote since have later ones.
    saved: SnapshotId,
}

impl Place {
    fn read(text: &str) -> Option<Self> {
        let (at, saved) = text.split_once(' ')?;
        Some(Self { at: SnapshotId(at.parse().ok()?), saved: SnapshotId(saved.parse().ok()?) })
    }

    fn write(self) -> String {
        format!("{} {}", self.at, self.saved)
    }
}

/// The named snapshot; or the latest one that a task caused. After an undo, the one before it, so that several undos go
/// further and further back until a task writes again.
fn choose(rows: &[SnapshotRow], named: Option<SnapshotId>, place: Option<Place>) -> Option<&SnapshotRow> {
    if let Some(named) = named {
        return rows.iter().find(|row| row.id == named);
    }
    let by_tasks = || rows.iter().filter(|row| row.turn.is_some());
    let latest = by_tasks().max_by_key(|row| row.id)?;
    match place {
        Some(place) if latest.id <= place.saved => by_tasks().filter(|row| row.id < place.at).max_by_key(|row| row.id),
        Some(_) | None => Some(latest),
    }
}

/// The manifest of the state before an undo, or why it could not be saved; and what the undo did, in words.
type PutBack = (Result<String, String>, String);

async fn restore(core: &Core, workspace: Workspace, target: String) -> Result<PutBack, Failure> {
    let snapshots = core.snapshots.clone();
    let work = move || put_back(&snapshots, &workspace, &target);
    let hint = "the workspace may be partly restored; run it again once the cause is mended";
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| internal("the undo broke off"))?
        .map_err(|error| user(format!("the undo failed: {error}"), hint))
}

/// Saves the present state, then restores the other one. A state that cannot be saved, because it is too large, too deep or
/// the disk is full, is just what an undo is needed for, so it does not stand in the way.
fn put_back(snapshots: &Snapshots, workspace: &Workspace, target: &str) -> Result<PutBack, SnapshotError> {
    let grant = decide_own(Act::Undo, workspace.name.clone());
    let before = match snapshots.take(&grant, workspace) {
        Ok(manifest) => Ok(manifest),
        Err(error @ (SnapshotError::TooLarge { .. } | SnapshotError::Workspace(_) | SnapshotError::Store { .. })) => {
            Err(error.to_string())
        }
        Err(error @ (SnapshotError::Busy | SnapshotError::Unknown { .. } | SnapshotError::Damaged { .. })) => {
            return Err(error);
        }
    };
    let done = snapshots.restore(&grant, workspace, target)?;
    Ok((before, in_words(&done)))
}

fn in_words(done: &sandbox::Restored) -> String {
    let mut text = format!("{} written, {} removed", done.written, done.removed);
    if let Some(problem) = done.problems.first() {
        text.push_str(&format!("; {} not restored, first: {problem}", done.problems.len()));
    }
    text
}

fn cursor(name: &WorkspaceName) -> String {
    format!("undone:{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: i64, turn: Option<i64>) -> SnapshotRow {
        SnapshotRow {
            id: SnapshotId(id),
            workspace: WorkspaceName::new("w").expect("a valid name"),
            turn: turn.map(types::TurnId),
            manifest: String::new(),
            at: types::Timestamp(0),
        }
    }

    #[test]
    fn a_state_that_cannot_be_saved_is_undone_all_the_same() {
        let place = tempfile::tempdir().expect("the machine has a temporary directory");
        let inside = place.path().join("work");
        std::fs::create_dir(&inside).expect("it is ours");
        let config = sandbox::SnapshotConfig { max_files: 5, ..sandbox::SnapshotConfig::default() };
        let snapshots = Snapshots::open(&place.path().join("home"), config).expect("it can be made");
        let workspace = Workspace::open(WorkspaceName::new("w").expect("a valid name"), &inside).expect("a directory");
        let grant = decide_own(Act::Snapshot, workspace.name.clone());
        let target = snapshots.take(&grant, &workspace).expect("it is empty");
        for number in 0..9 {
            std::fs::write(inside.join(number.to_string()), "x").expect("it is ours");
        }
        let (before, words) = put_back(&snapshots, &workspace, &target).expect("it can be put back");
        assert!(before.is_err_and(|why| why.contains("larger than")));
        assert_eq!(words, "0 written, 9 removed");
        assert_eq!(std::fs::read_dir(&inside).expect("it is there").count(), 0);
    }

    #[test]
    fn undo_goes_further_back_each_time() {
        let rows = [row(1, Some(1)), row(2, Some(2)), row(3, None)];
        let place = |at, saved| Some(Place { at: SnapshotId(at), saved: SnapshotId(saved) });
        let check = |rows: &[SnapshotRow], named: Option<i64>, place: Option<Place>, expected: Option<i64>| {
            let chosen = choose(rows, named.map(SnapshotId), place).map(|row| row.id.0);
            assert_eq!(chosen, expected, "{named:?} {place:?}");
        };
        check(&rows[..2], None, None, Some(2));
        check(&rows, None, place(2, 3), Some(1));
        check(&rows, None, place(1, 3), None);
        check(&rows, Some(3), place(1, 3), Some(3));
        check(&rows, Some(9), None, None);
        let more = [row(1, Some(1)), row(2, Some(2)), row(3, None), row(4, Some(5))];
        check(&more, None, place(1, 3), Some(4));
    }

    #[test]
    fn a_place_is_read_as_it_was_written() {
        let place = Place { at: SnapshotId(2), saved: SnapshotId(7) };
        assert_eq!(Place::read(&place.write()), Some(place));
        assert_eq!(Place::read("x"), None);
    }
}

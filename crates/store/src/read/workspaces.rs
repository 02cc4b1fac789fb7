//! What is kept about workspaces, and cursors.

use rusqlite::{Connection, Row};
use types::{Label, SnapshotId, TurnId, WorkspaceName};

use crate::{Store, codec, error::StoreError, records::SnapshotRow};

impl Store {
    /// A small value by its name.
    pub fn cursor(&self, name: &str) -> Result<Option<String>, StoreError> {
        self.read(|connection| cursor(connection, name))
    }

    /// The saved states of a workspace, latest first.
    pub fn snapshots(&self, workspace: &WorkspaceName) -> Result<Vec<SnapshotRow>, StoreError> {
        let sql = "SELECT id, workspace, turn, manifest, at FROM snapshots WHERE workspace = ?1 ORDER BY id DESC";
        self.read(|connection| codec::all(connection, sql, [workspace.as_str()], snapshot))
    }

    /// The label of a workspace's files: the owner's own, until something else was written there.
    pub fn workspace_label(&self, workspace: &WorkspaceName) -> Result<Label, StoreError> {
        self.read(|connection| workspace_label(connection, workspace))
    }
}

pub(crate) fn cursor(connection: &Connection, name: &str) -> Result<Option<String>, StoreError> {
    codec::value(connection, "SELECT value FROM cursors WHERE name = ?1", [name])
}

pub(crate) fn workspace_label(connection: &Connection, workspace: &WorkspaceName) -> Result<Label, StoreError> {
    let sql = "SELECT integrity, confidentiality FROM workspaces WHERE name = ?1";
    let found = codec::one(connection, sql, [workspace.as_str()], |row| codec::label_at(row, 0))?;
    Ok(found.unwrap_or(Label::OWNER))
}

fn snapshot(row: &Row<'_>) -> Result<SnapshotRow, StoreError> {
    Ok(SnapshotRow {
        id: SnapshotId(row.get(0)?),
        workspace: WorkspaceName::new(row.get::<_, String>(1)?)?,
        turn: codec::id_at(row, 2, TurnId)?,
        manifest: row.get(3)?,
        at: codec::time_at(row, 4)?,
    })
}

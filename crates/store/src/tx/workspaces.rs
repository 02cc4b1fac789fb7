//! What is kept about workspaces, and cursors: small values by name.

use std::borrow::Borrow;

use types::{Invariant, Label, SnapshotId, TurnId, WorkspaceName};

use super::Tx;
use crate::{codec, error::StoreError, read};

/// The most bytes of a cursor's name, and of a manifest's.
const MAX_NAME: usize = 1 << 10;
/// The most bytes of a cursor's value.
const MAX_VALUE: usize = 64 << 10;

impl Tx<'_> {
    /// Stores a small value under a name: a messenger's offset, a message that shows progress.
    pub fn set_cursor(&mut self, name: impl AsRef<str>, value: impl Into<String>) -> Result<(), StoreError> {
        let value = value.into();
        codec::bounded("name of a cursor", name.as_ref(), MAX_NAME)?;
        codec::bounded("cursor", &value, MAX_VALUE)?;
        let sql = "INSERT INTO cursors (name, value) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = excluded.value";
        self.run(sql, (name.as_ref(), value))?;
        Ok(())
    }

    /// Notes that a workspace was saved under the manifest's name.
    pub fn add_snapshot(
        &mut self,
        workspace: impl Borrow<WorkspaceName>,
        turn: Option<TurnId>,
        manifest: impl Into<String>,
    ) -> Result<SnapshotId, StoreError> {
        let manifest = manifest.into();
        codec::bounded("name of a manifest", &manifest, MAX_NAME)?;
        let sql = "INSERT INTO snapshots (workspace, turn, manifest, at) VALUES (?1, ?2, ?3, ?4)";
        self.run(sql, (workspace.borrow().as_str(), turn.map(|id| id.0), manifest, self.now.0))?;
        Ok(SnapshotId(self.last_row()))
    }

    /// Joins a label into the workspace's.
    pub fn raise_workspace_label(
        &mut self,
        workspace: impl Borrow<WorkspaceName>,
        label: Label,
    ) -> Result<(), StoreError> {
        let present = read::workspace_label(self.connection, workspace.borrow())?;
        let joined = if Invariant::LabelsRise.is_broken() { present } else { present.join(label) };
        let (integrity, confidentiality) = codec::label_columns(joined);
        let sql = "INSERT INTO workspaces (name, integrity, confidentiality) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE
                   SET integrity = excluded.integrity, confidentiality = excluded.confidentiality";
        self.run(sql, (workspace.borrow().as_str(), integrity, confidentiality))?;
        Ok(())
    }
}

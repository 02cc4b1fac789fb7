//! What the audit log says of shells.

use serde_json::json;
use store::{
    Store,
    audit::{AuditEntry, AuditError, AuditKind},
};

use super::held::Held;

/// One is about to be opened. Without this record it may not be.
pub(super) async fn opening(store: &Store, shell: &Held) -> Result<(), AuditError> {
    append(store, shell, AuditKind::ToolIntent, json!({ "decision": "allow" })).await
}

/// One is over, and why.
pub(super) async fn closed(store: &Store, shell: &Held, why: &str) {
    if let Err(error) = append(store, shell, AuditKind::ToolOutcome, json!({ "closed": why })).await {
        tracing::error!(shell = %shell.name, %error, "the end of a shell could not be recorded");
    }
}

async fn append(store: &Store, shell: &Held, kind: AuditKind, mut detail: serde_json::Value) -> Result<(), AuditError> {
    detail["shell"] = json!(shell.name);
    detail["workspace"] = json!(shell.workspace);
    let entry = AuditEntry { session: Some(shell.session), turn: None, call: None, kind, detail };
    store.audit().append(entry).await.map(drop)
}

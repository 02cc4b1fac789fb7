//! Records what happens to the vault, by whatever hand: the command line changes its file without asking the daemon. Where
//! the vault's key is kept is recorded at the start. It must not change anything.

use std::{sync::Arc, time::Duration};

use egress::SecretInfo;
use serde_json::{Value, json};
use store::audit::{AuditEntry, AuditKind};

use crate::core::Core;

/// How often the vault's file is looked at: one `stat`. Everybody who uses a secret looks at it as well, so this is about
/// the record alone. The kernel's notes of changes would need a thread of their own to be waited for.
const LOOK: Duration = Duration::from_millis(900);

/// Records changes until the daemon stops.
pub(crate) async fn follow(core: Arc<Core>) {
    let mut known = match (core.vault.key_source(), core.vault.list()) {
        (Ok(Some(place)), Ok(secrets)) => {
            append(&core, json!({"event": "vault_opened", "key": place, "secrets": secrets.len()})).await;
            secrets
        }
        (Ok(None), Ok(secrets)) => secrets,
        (Err(error), _) | (_, Err(error)) => {
            tracing::error!(%error, "the vault cannot be read");
            Vec::new()
        }
    };
    loop {
        tokio::select! {
            () = core.phases.stopping.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        match core.vault.list() {
            Ok(present) => {
                for change in changes(&known, &present) {
                    append(&core, change).await;
                }
                known = present;
            }
            // Told at each use of a secret; once a second would drown it.
            Err(error) => tracing::debug!(%error, "the vault cannot be read"),
        }
    }
}

/// What happened between two looks, without any value.
fn changes(before: &[SecretInfo], after: &[SecretInfo]) -> Vec<Value> {
    let mut changes = Vec::new();
    for secret in after {
        let Some(old) = before.iter().find(|old| old.name == secret.name) else {
            let bindings: Vec<String> = secret.bindings.iter().map(ToString::to_string).collect();
            changes.push(json!({"event": "set", "name": secret.name, "bindings": bindings}));
            continue;
        };
        if old.rotated != secret.rotated {
            changes.push(json!({"event": "replaced", "name": secret.name}));
        }
        if old.bindings != secret.bindings || old.env != secret.env {
            let bindings: Vec<String> = secret.bindings.iter().map(ToString::to_string).collect();
            changes.push(json!({"event": "bound", "name": secret.name, "bindings": bindings}));
        }
        if let (None, Some(dead)) = (&old.dead, &secret.dead) {
            changes.push(json!({"event": "declared_dead", "name": secret.name, "why": dead.why, "place": dead.place}));
        }
    }
    let gone = before.iter().filter(|old| after.iter().all(|secret| secret.name != old.name));
    changes.extend(gone.map(|old| json!({"event": "removed", "name": old.name})));
    changes
}

async fn append(core: &Core, detail: Value) {
    let entry = AuditEntry { session: None, turn: None, call: None, kind: AuditKind::Secret, detail };
    if let Err(error) = core.store.audit().append(entry).await {
        tracing::error!(%error, "a change of the vault could not be written to the audit log");
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use egress::Dead;
    use types::{SecretName, Timestamp};

    use super::*;

    fn secret(name: &str) -> SecretInfo {
        let name = SecretName::new(name).unwrap();
        SecretInfo { name, bindings: Vec::new(), env: None, created: None, rotated: None, dead: None }
    }

    #[test]
    fn each_change_is_told_once() {
        let before = [secret("a"), secret("b"), secret("c")];
        let rotated = SecretInfo { rotated: Some(Timestamp(5)), ..secret("a") };
        let dead = SecretInfo { dead: Some(Dead::new(Timestamp(5), "seen", "a file")), ..secret("b") };
        let events = |after: &[SecretInfo]| -> Vec<String> {
            changes(&before, after).iter().map(|one| format!("{} {}", one["event"], one["name"])).collect()
        };
        let after = [rotated, dead, secret("d")];
        assert_eq!(
            events(&after),
            ["\"replaced\" \"a\"", "\"declared_dead\" \"b\"", "\"set\" \"d\"", "\"removed\" \"c\""]
        );
        assert!(changes(&after, &after).is_empty());
    }
}

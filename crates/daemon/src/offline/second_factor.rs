//! The way back for an owner who lost the authenticator app: whoever may write the home's files may do without it.

use std::{path::Path, sync::Arc};

use egress::Vault;
use serde_json::json;
use store::{
    Store,
    audit::{AuditEntry, AuditKind},
};
use types::{Event, Failure, Level};

use crate::{
    Config, Home, SystemClock,
    failure::{internal, stored, user},
    start::keeping,
};

/// Switches the second factor off without a code. No daemon may run on the home; the audit log and the owner's messengers
/// tell of it.
pub async fn second_factor_lost(home: &Path) -> Result<(), Failure> {
    let home = Home::existing(home).map_err(|error| error.failure())?;
    let _lock = home.lock().map_err(|error| error.failure())?;
    let vault = Vault::open(home.path()).map_err(internal)?;
    let config = Config::load(&home.config()).map_err(|error| error.failure())?;
    // The record goes where the daemon's go: a log of another user has one writer.
    let store = Store::open_with(home.path(), keeping(&config, &home), Arc::new(SystemClock::new())).map_err(stored)?;
    if store.second_factor().map_err(stored)?.is_none() {
        return Err(user("no second factor is set up", "nothing is to be done"));
    }
    let detail = json!({ "second_factor": "removed without a code" });
    let entry = AuditEntry { session: None, turn: None, call: None, kind: AuditKind::Login, detail };
    store.audit().append(entry).await.map_err(internal)?;
    let text = "the second factor was switched off on the command line, without a code".to_owned();
    let notice = Event::Notice { level: Level::Warning, text };
    let forget = move |tx: &mut store::Tx<'_>| {
        tx.set_second_factor(None)?;
        tx.record(None, None, notice).map(|_| ())
    };
    store.transact(forget).await.map_err(stored)?;
    vault.remove_second_factor_key().map_err(internal)?;
    store.close().await;
    Ok(())
}

//! Allowances as the owner sees them: listed and taken back.

use serde_json::json;
use store::audit::{AuditEntry, AuditKind};
use types::{Allowance, AllowanceId, AllowanceScope, Event, Failure, Level};

use crate::{
    core::Core,
    failure::{internal, stored, user},
};

/// Takes an allowance back. The gate looks at the store for each call, so the next one is asked about.
pub(crate) async fn revoke(core: &Core, id: AllowanceId) -> Result<String, Failure> {
    let missing = || user(format!("there is no allowance {id}"), "`factotum allow list` lists them");
    core.store.allowance(id).map_err(stored)?.ok_or_else(missing)?;
    let detail = json!({ "allowance": id, "change": "revoked" });
    let entry = AuditEntry { session: None, turn: None, call: None, kind: AuditKind::Policy, detail };
    core.store.audit().append(entry).await.map_err(internal)?;
    let text = format!("allowance {id} is taken back; calls like it are asked about again");
    let notice = Event::Notice { level: Level::Info, text: text.clone() };
    let revoke = move |tx: &mut store::Tx<'_>| {
        let is_news = tx.revoke_allowance(id)?;
        if is_news {
            tx.record(None, None, notice)?;
        }
        Ok(is_news)
    };
    if core.store.transact(revoke).await.map_err(stored)? {
        return Ok(text);
    }
    Err(user(format!("allowance {id} was taken back before"), "nothing more is to be done"))
}

/// The allowances in force, in words.
pub(crate) fn listed(core: &Core) -> Result<String, Failure> {
    let allowances = core.store.allowances().map_err(stored)?;
    if allowances.is_empty() {
        return Ok("no rule lets calls through without asking".to_owned());
    }
    let rules: Vec<String> = allowances.iter().map(in_words).collect();
    Ok(format!("{}\n/allow rm N takes one back", rules.join("\n\n")))
}

fn in_words(allowance: &Allowance) -> String {
    let scope = match allowance.scope {
        AllowanceScope::Task { turn, .. } => format!("for task {turn}"),
        AllowanceScope::Always => "until it is taken back".to_owned(),
    };
    format!(
        "**Allowance {}**, {scope}, used {} times\n{}",
        allowance.id,
        allowance.uses,
        crate::requests::fenced(&allowance.text)
    )
}

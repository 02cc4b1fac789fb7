//! The audit log: while a command runs, its intent must stand in the log already.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::json;

use super::Surroundings;
use crate::{
    config::ShipConfig,
    security::{
        Outcome,
        arena::{Arena, Mind, Trouble, call, say},
    },
};

/// Looks at the log from inside the time in which a command runs, and verifies the chain afterwards.
pub(super) async fn before_effect(around: &Surroundings) -> Outcome {
    match (observed(around).await, unshipped(around).await) {
        (Ok(Outcome::Held { tried }), Ok(false)) => {
            Outcome::held(format!("{tried}; where the log must be shipped and is not, nothing ran"))
        }
        (Ok(Outcome::Held { .. }), Ok(true)) => {
            Outcome::broken("a command ran although the log must be shipped and could not be")
        }
        (_, Err(why)) | (Err(why), _) => Outcome::NotTried { why },
        (Ok(outcome), _) => outcome,
    }
}

/// Whether a command runs where the log must be shipped to a place that does not exist.
async fn unshipped(around: &Surroundings) -> Result<bool, Trouble> {
    let mind = Mind::of(vec![vec![call(0, "exec", json!({ "command": "echo ran > ran" }))], vec![say("done")]]);
    let arena = Arena::open(around, mind, |config| {
        config.audit.require_shipping = true;
        let nowhere = ShipConfig::Directory { path: PathBuf::from("/proc/factotum-audit"), segment_mb: 1 };
        config.audit.ship.insert("nowhere".to_owned(), nowhere);
    })
    .await?;
    let job = arena.job("run it").await;
    let ran = arena.work().join("ran").exists();
    arena.close().await;
    job.map(|_| ran)
}

async fn observed(around: &Surroundings) -> Result<Outcome, Trouble> {
    // The command ends when the file `go` appears, which the audit makes after it has looked at the log.
    let script = "echo running > running; i=0; while [ ! -e go ] && [ $i -lt 200 ]; do sleep 0.05; i=$((i+1)); done";
    let mind = Mind::of(vec![vec![call(0, "exec", json!({ "command": script }))], vec![say("done")]]);
    let arena = Arena::open(around, mind, |_| ()).await?;
    let outcome = tokio::join!(arena.job("run it"), look(&arena));
    let path = arena.home().join("audit.log");
    arena.close().await;
    let (_, seen) = (outcome.0?, outcome.1?);
    if !seen {
        return Ok(Outcome::broken("a command ran whose intent was not in the audit log"));
    }
    match store::audit::verify(&path) {
        Ok(_) => {
            Ok(Outcome::held("a command was looked at while it ran: its intent was on disk, and the chain is whole"))
        }
        // The scratch home is removed with the arena, so that a missing file says nothing.
        Err(_) if !path.exists() => Ok(Outcome::held("a command was looked at while it ran: its intent was on disk")),
        Err(broken) => Ok(Outcome::broken(format!("the log's chain is broken: {broken}"))),
    }
}

async fn look(arena: &Arena) -> Result<bool, Trouble> {
    let running = arena.work().join("running");
    for _ in 0..400 {
        if running.exists() {
            let seen = intent_is_logged(&arena.home().join("audit.log"));
            std::fs::write(arena.work().join("go"), "").map_err(|error| error.to_string())?;
            return seen;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    Err("no command could be begun in the sandbox".to_owned())
}

fn intent_is_logged(path: &Path) -> Result<bool, Trouble> {
    let records = store::audit::read(path, 0, 1_000).map_err(|error| error.to_string())?;
    Ok(records.iter().any(|record| record.to_string().contains("tool_intent") && record.to_string().contains("call-0")))
}

//! Sandboxes by session.

use std::{fs, sync::Arc, time::Duration};

use policy::{Decision, Rules, decide};
use sandbox::{Command, Pool, SandboxConfig, SandboxError, Workspace};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use types::{Effect, Label, Origin, SessionId, Sink, TurnId};

use crate::{
    inside,
    support::{Outcome, name, processes_with, soon, use_own_program},
};

inside! {
    as_somebody {
        a_session_keeps_its_sandbox
    }
}

fn grant_for(session: SessionId) -> Result<policy::Grant, Box<dyn std::error::Error>> {
    let effect = Effect {
        sink: Sink::WorkspaceWrite,
        read_only: false,
        destinations: Vec::new(),
        reversible: false,
        payload: None,
        summary: String::new(),
        count: 1,
    };
    let request = policy::Request {
        tool: "exec",
        input: &serde_json::Value::Null,
        effect: &effect,
        label: Label::CLEAN,
        origin: Origin::Owner,
        session,
        turn: TurnId(1),
        workspace: &name()?,
        workspace_state: None,
        destinations_are_owners: false,
        touched: 0,
    };
    match decide(&request, &Rules::default()) {
        Decision::Allow(grant) => Ok(grant),
        Decision::Ask(_) | Decision::Propose(_) | Decision::Deny(_) => Err("policy refuses an ordinary command".into()),
    }
}

async fn a_session_keeps_its_sandbox() -> Outcome {
    use_own_program();
    let outer = tempfile::tempdir()?;
    let [one, two, home] = ["one", "two", "home"].map(|name| outer.path().join(name));
    for path in [&one, &two, &home] {
        fs::create_dir(path)?;
    }
    let (one, two) = (Workspace::open(name()?, &one)?, Workspace::open(name()?, &two)?);
    let pool = Pool::new(SandboxConfig::default(), &home);
    let first = pool.get(SessionId(1), &one).await?;
    assert!(Arc::ptr_eq(&first, &pool.get(SessionId(1), &one).await?));
    assert!(!Arc::ptr_eq(&first, &pool.get(SessionId(2), &one).await?));
    // A grant of one session opens no other session's sandbox.
    let run = async |session| {
        let (sender, _receiver) = mpsc::channel(1);
        let command = Command::new("true", Duration::from_secs(5));
        Ok::<_, Box<dyn std::error::Error>>(
            first.exec(&grant_for(session)?, command, sender, &CancellationToken::new()).await,
        )
    };
    assert!(run(SessionId(1)).await?.is_ok());
    assert!(matches!(run(SessionId(2)).await?, Err(SandboxError::NotGranted(_))));
    let moved = pool.get(SessionId(1), &two).await?;
    assert!(!first.is_alive() && moved.is_alive());
    pool.stop_session(SessionId(1)).await;
    assert!(!moved.is_alive());
    assert!(pool.get(SessionId(1), &two).await?.is_alive());
    let of_home = Workspace::open(name()?, &home)?;
    assert!(matches!(pool.get(SessionId(3), &of_home).await, Err(SandboxError::Workspace { .. })));
    // A stop ends what runs and not the pool.
    let before = pool.get(SessionId(1), &one).await?;
    pool.stop_sessions().await;
    assert!(!before.is_alive());
    assert!(pool.get(SessionId(1), &one).await?.is_alive());
    pool.stop_all().await;
    assert!(soon(|| processes_with("sandbox-init") == 0).await);
    assert!(matches!(pool.get(SessionId(1), &one).await, Err(SandboxError::Gone)));
    Ok(())
}

//! What goes on beside an open shell: its way out is served, and its end is waited for.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use policy::{Act, decide_own};
use sandbox::{Attached, Supervised, remove_own};
use tokio_util::sync::CancellationToken;
use types::{BoxFuture, ShellName, WorkspaceName};

use super::{
    held::{Held, key},
    record,
};
use crate::{
    core::Core,
    jobs::{Terminal, closed, terminal},
    network::{JobDoor, NewDoor},
    terminals::{self, Place, shells},
};

/// One that is open, and where.
#[derive(Clone, Debug)]
pub(super) struct Shell {
    pub held: Held,
    pub directory: PathBuf,
}

/// Takes up the shells that an earlier daemon left, and buries those that ended meanwhile. The future does so; until it is
/// done none is opened.
pub(crate) async fn take_up(core: &Arc<Core>) -> BoxFuture<'static, ()> {
    let (core, opening) = (core.clone(), core.shells.opening().await);
    Box::pin(async move {
        let _opening = opening;
        let Ok(entries) = std::fs::read_dir(shells(core.home.path())) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name().into_string().ok().and_then(|name| ShellName::new(name).ok());
            // Nothing else is made there.
            let Some(name) = name else { continue };
            if let Err(why) = take_up_one(&core, &name, entry.path()).await {
                tracing::error!(shell = %name, why, "a shell could not be taken up");
            }
        }
    })
}

async fn take_up_one(core: &Arc<Core>, name: &ShellName, directory: PathBuf) -> Result<(), String> {
    let session = core.store.session_by_key(&key(name)).map_err(|error| error.to_string())?;
    let attached = Supervised::attach(&directory).await.map_err(|error| error.to_string())?;
    let Some(session) = session else {
        // Its session is stored before anything is made, so the journal is another one.
        if let Some(attached) = attached {
            attached.supervised.end().await;
        }
        clear(&core.live().default_workspace, &directory).await.map_err(|error| error.to_string())?;
        return Err("the journal does not know it, so it was ended".to_owned());
    };
    let held = Held::new(name.clone(), session.workspace, session.id);
    let shell = Shell { held, directory };
    let Some(attached) = attached else {
        bury(core, &shell, None, "it ended while no daemon ran").await;
        return Ok(());
    };
    if terminal(&attached.supervised, 0).await != Terminal::Open {
        bury(core, &shell, Some(&attached.supervised), "it ended while no daemon ran").await;
        return Ok(());
    }
    let new = NewDoor { session: session.id, workspace: &shell.held.workspace, coder: None };
    match core.ways.job_door_again(new, &attached.custody) {
        Ok(way_out) => {
            core.shells.add(shell.held.clone());
            follow(core, shell, way_out, attached);
            Ok(())
        }
        Err(why) => {
            bury(core, &shell, Some(&attached.supervised), &why).await;
            Err(format!("{why}; it was ended"))
        }
    }
}

/// Serves a shell's way out until it is over or the daemon stops; in that case the shell goes on.
pub(super) fn follow(core: &Arc<Core>, shell: Shell, way_out: JobDoor, attached: Attached) {
    let Attached { supervised, door, .. } = attached;
    let (core, tasks) = (core.clone(), core.tasks.clone());
    tasks.spawn(async move {
        let ending = CancellationToken::new();
        let watched = async {
            let why = tokio::select! {
                () = core.phases.stopping.cancelled() => None,
                () = shell.held.closing.cancelled() => Some("you closed it"),
                is_closed = closed(supervised.clone(), 0) => {
                    Some(if is_closed { "it ended" } else { "its supervisor ended" })
                }
            };
            ending.cancel();
            why
        };
        let ((), why) = tokio::join!(way_out.serve(door, ending.clone()), watched);
        if let Some(why) = why {
            shell.held.closing.cancel();
            bury(&core, &shell, Some(&supervised), why).await;
        }
    });
}

/// Ends a shell that runs and was not taken up, as the owner asks. False when there is none.
///
/// # Errors
/// It runs and cannot be ended, as while another daemon holds it.
pub(super) async fn end_stray(core: &Core, name: &ShellName) -> Result<bool, String> {
    let directory = Place::Shell(name.clone()).directory(core.home.path());
    if !Supervised::put_down(&directory).await.map_err(|error| error.to_string())? {
        return Ok(false);
    }
    let session = core.store.session_by_key(&key(name)).map_err(|error| error.to_string())?;
    match session {
        Some(session) => {
            let held = Held::new(name.clone(), session.workspace, session.id);
            bury(core, &Shell { held, directory }, None, "you closed it").await;
        }
        // The journal is another one, which has nothing to say of it.
        None => clear(&core.live().default_workspace, &directory).await.map_err(|error| error.to_string())?,
    }
    Ok(true)
}

/// Leaves nothing of a shell but its session and its records in the audit log.
async fn bury(core: &Core, shell: &Shell, supervised: Option<&Supervised>, why: &str) {
    let Shell { held, directory } = shell;
    // First, so that whoever looks at it is sent away and does not see its last throes.
    terminals::close(core.home.path(), &Place::Shell(held.name.clone())).await;
    if let Some(supervised) = supervised {
        supervised.end().await;
    }
    record::closed(&core.store, held, why).await;
    if let Err(error) = clear(&held.workspace, directory).await {
        tracing::error!(shell = %held.name, %error, "the directory of a shell is left");
    }
    tracing::info!(shell = %held.name, why, "a shell is over");
    core.shells.remove(&held.name);
    held.gone.cancel();
}

/// Removes the directory of a shell that is over. Nothing lives in it.
pub(super) async fn clear(workspace: &WorkspaceName, directory: &Path) -> io::Result<()> {
    let (grant, directory) = (decide_own(Act::OwnerCommand, workspace.clone()), directory.to_owned());
    tokio::task::spawn_blocking(move || remove_own(&grant, &directory)).await.map_err(io::Error::other)?
}

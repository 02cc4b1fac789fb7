//! Opening and closing a shell, as the owner asks.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use policy::{Act, Grant, decide_own};
use sandbox::{Attached, SandboxError, Supervised, SupervisedSpec, SupervisorLimits, TerminalProgram};
use store::NewSession;
use types::{CommandReply, Failure, FailureKind, SessionId, ShellName, WorkspaceName};

use super::{
    follow::{self, Shell},
    held::{Held, key},
    record,
};
use crate::{
    core::Core,
    failure::{internal, stored, user},
    network::{JobDoor, NewDoor},
    terminals::{self, Place},
};

/// How long a shell lives without a daemon: nothing leaves it then, and whoever removed factotum leaves none behind.
const ALONE: Duration = Duration::from_secs(30 * 24 * 3600);

/// Makes sure that the owner has a shell of this name.
pub(crate) async fn open(
    core: &Arc<Core>,
    workspace: Option<WorkspaceName>,
    name: Option<ShellName>,
) -> Result<CommandReply, Failure> {
    let usual = || workspace.clone().unwrap_or_else(|| core.live().default_workspace.clone());
    let name = match name {
        Some(name) => name,
        None => ShellName::new(usual().as_str()).map_err(internal)?,
    };
    let _one = core.shells.opening().await;
    if core.phases.stopping.is_cancelled() {
        return Err(user("the daemon is stopping", "open it when the next one runs"));
    }
    while let Some(held) = core.shells.get(&name) {
        if held.closing.is_cancelled() {
            held.gone.cancelled().await;
            continue;
        }
        return found(held, workspace.as_ref());
    }
    let most = core.live().config.shells.at_once;
    if core.shells.count() >= most {
        let hint = "close one with `factotum terminals close`, or raise `at_once` under [shells]";
        return Err(user(format!("{most} shells are open already"), hint));
    }
    let workspace = usual();
    // A name that is not configured makes no session.
    core.workspace(&workspace)?;
    let session = session(core, &name, &workspace).await?;
    let held = Held::new(name.clone(), workspace.clone(), session);
    begin(core, held).await?;
    Ok(reply(name, workspace, true))
}

/// Ends a shell with everything that runs in it.
pub(crate) async fn close(core: &Arc<Core>, name: &ShellName) -> Result<String, Failure> {
    // One that is just being opened, or taken up, is found.
    let opening = core.shells.opening().await;
    let Some(held) = core.shells.get(name) else {
        return match follow::end_stray(core, name).await {
            Ok(true) => Ok(format!("the shell {name} is closed")),
            Ok(false) => Err(user(format!("there is no shell {name}"), "`factotum terminals` lists them")),
            Err(why) => Err(internal(format!("the shell {name} could not be closed: {why}"))),
        };
    };
    drop(opening);
    held.closing.cancel();
    held.gone.cancelled().await;
    Ok(format!("the shell {name} is closed"))
}

/// What is said about a shell that is there.
fn found(held: Held, wanted: Option<&WorkspaceName>) -> Result<CommandReply, Failure> {
    if wanted.is_some_and(|wanted| *wanted != held.workspace) {
        let error = format!("the shell {} works in {}", held.name, held.workspace);
        return Err(user(error, "give this one another --name"));
    }
    Ok(reply(held.name, held.workspace, false))
}

fn reply(name: ShellName, workspace: WorkspaceName, is_new: bool) -> CommandReply {
    let how = if is_new { "is open" } else { "was open already" };
    let text = format!("the shell {name} in {workspace} {how}; `factotum attach shell-{name}` shows it");
    CommandReply::Shell { name, workspace, is_new, text }
}

/// The session of the shells of this name, which works in this workspace from now on.
async fn session(core: &Core, name: &ShellName, workspace: &WorkspaceName) -> Result<SessionId, Failure> {
    let known = core.store.session_by_key(&key(name)).map_err(stored)?;
    let (title, workspace) = (format!("shell {name}"), workspace.clone());
    let new = NewSession { key: Some(key(name)), title, workspace: workspace.clone() };
    let stored_session = core.store.transact(move |tx| match known {
        Some(known) => tx.set_session_workspace(known.id, workspace).map(|()| known.id),
        None => tx.create_session(new),
    });
    stored_session.await.map_err(stored)
}

/// Starts the supervisor with its sandbox, and the shell in it.
async fn begin(core: &Arc<Core>, held: Held) -> Result<(), Failure> {
    let place = Place::Shell(held.name.clone());
    let directory = place.directory(core.home.path());
    refuse_second(&held.name, &directory).await?;
    let new = NewDoor { session: held.session, workspace: &held.workspace, coder: None };
    let way_out = core.ways.job_door(new).map_err(|why| user(why, "mend the workspace's [egress] in config.toml"))?;
    let unrecorded = |error| internal(format!("nothing was opened, because the audit log cannot be written: {error}"));
    record::opening(&core.store, &held).await.map_err(unrecorded)?;
    let (name, workspace) = (held.name.clone(), held.workspace.clone());
    let begun = async {
        // What one of the same name may have left.
        follow::clear(&held.workspace, &directory)
            .await
            .map_err(|error| internal(format!("the shell's directory: {error}")))?;
        make_home(&directory)?;
        let attached = start(core, &held, &way_out, &directory).await.map_err(not_started)?;
        core.shells.add(held.clone());
        follow::follow(core, Shell { held: held.clone(), directory: directory.clone() }, way_out, attached);
        Ok::<(), Failure>(())
    };
    if let Err(failure) = begun.await {
        record::closed(&core.store, &held, &format!("it could not be opened: {}", failure.error)).await;
        if let Err(error) = follow::clear(&held.workspace, &directory).await {
            tracing::error!(%error, "the directory of a shell is left");
        }
        return Err(failure);
    }
    tracing::info!(%name, %workspace, "a shell is open");
    Ok(())
}

/// Refuses where an earlier shell of this name still runs, because it could not be taken up: what lies in its directory is in use.
async fn refuse_second(name: &ShellName, directory: &Path) -> Result<(), Failure> {
    let why = match Supervised::look(directory).await {
        Ok(None) => return Ok(()),
        Ok(Some(_)) => "it could not be taken up".to_owned(),
        Err(error) => error.to_string(),
    };
    let hint = format!("`factotum terminals close shell-{name}` ends it, with what runs in it");
    Err(user(format!("an earlier shell {name} still runs: {why}"), hint))
}

async fn start(core: &Core, held: &Held, way_out: &JobDoor, directory: &Path) -> Result<Attached, SandboxError> {
    let workspace = core.workspaces.get(&held.workspace).ok_or(SandboxError::Gone)?;
    let mut sandbox = core.pool.specification(&workspace)?;
    sandbox.home = Some(home(directory));
    sandbox.proxy = Some(way_out.trust.clone());
    sandbox.placeholder_env.clone_from(&way_out.env);
    core.pool.check(&sandbox)?;
    let idle = core.live().config.shells.idle();
    let limits = SupervisorLimits { alone: ALONE, total: Duration::MAX, idle, ..SupervisorLimits::default() };
    let custody = way_out.custody.bytes().to_vec();
    let spec = SupervisedSpec { sandbox, directory: directory.to_owned(), custody, limits };
    let grant = grant(held);
    let attached = Supervised::start(&grant, spec).await?;
    match attached.supervised.open_terminal(&grant, program(&held.name)).await {
        Ok(()) => Ok(attached),
        Err(error) => {
            attached.supervised.end().await;
            Err(error)
        }
    }
}

/// The owner's right to work in the workspace.
fn grant(held: &Held) -> Grant {
    decide_own(Act::OwnerCommand, held.workspace.clone())
}

/// The shell itself, which says at each line whose sandbox it is in. Inside are the host's programs.
fn program(name: &ShellName) -> TerminalProgram {
    let (shell, prompt) = if Path::new("/bin/bash").exists() {
        ("/bin/bash", format!("\\[\\e[36m\\]{name}\\[\\e[0m\\] \\w\\$ "))
    } else {
        ("/bin/sh", format!("{name} $ "))
    };
    let env = BTreeMap::from([("PS1".to_owned(), prompt)]);
    TerminalProgram { argv: vec![shell.to_owned()], env, directory: None, size: terminals::SIZE }
}

/// The shell's own home in its directory.
fn home(directory: &Path) -> PathBuf {
    directory.join("home")
}

fn make_home(directory: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(home(directory));
    made.map_err(|error| internal(format!("the shell's home: {error}")))
}

fn not_started(error: SandboxError) -> Failure {
    let hint = Some("`factotum doctor` looks for what is wrong with the sandbox".to_owned());
    Failure { kind: FailureKind::Sandbox, error: format!("the shell could not be opened: {error}"), hint }
}

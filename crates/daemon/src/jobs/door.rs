//! What a job's sandbox is given so that its coding agent can work in it: the way out, the program, the environment. Must
//! not start anything.

use std::{collections::BTreeMap, os::fd::OwnedFd, path::PathBuf};

use coders::{StallLimits, Start};
use sandbox::{SandboxSpec, SupervisedSpec, SupervisorLimits};
use tokio_util::sync::CancellationToken;
use types::{SessionId, WorkspaceName};

use crate::{
    config::{CoderConfig, CoderKind},
    core::Core,
    network::{JobDoor, NewDoor},
    programs::{self, Program},
};

/// What a coding agent needs in a job's sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outfit {
    /// Its name under `[coders]`.
    pub name: String,
    /// What kind it is.
    pub kind: CoderKind,
    /// Its program, in place of the first word of what a launch says.
    pub program: Program,
    /// The owner's variables for it. They win over what a launch sets, but not over placeholders.
    pub env: BTreeMap<String, String>,
    /// The model, unless the job names one.
    pub model: Option<String>,
    /// Another address of its vendor.
    pub base_url: Option<String>,
    /// How long it may go on without progress.
    pub stall: StallLimits,
}

impl Outfit {
    /// The outfit of the coding agent `name` by the configuration in force. The error says what is missing and what to do.
    pub fn of(core: &Core, name: &str) -> Result<Self, String> {
        let live = core.live();
        let usual = CoderConfig::default();
        let coder = live.config.coders.get(name).unwrap_or(&usual);
        let kind = coder.kind(name).ok_or_else(|| {
            format!("there is no coding agent `{name}`; `factotum coder list` names those that there are")
        })?;
        Ok(Self {
            name: name.to_owned(),
            kind,
            program: programs::find(&core.home, name, coder)?,
            env: coder.environment(),
            model: coder.model.clone(),
            base_url: coder.address(name).map(str::to_owned),
            stall: coder.stall,
        })
    }

    /// The way out of a new sandbox for it.
    pub fn door(&self, core: &Core, session: SessionId, workspace: &WorkspaceName) -> Result<JobDoor, String> {
        core.ways.job_door(NewDoor { session, workspace, coder: Some(&self.name) })
    }

    /// The same way out again, from what the sandbox's supervisor kept.
    pub fn door_again(
        &self,
        core: &Core,
        session: SessionId,
        workspace: &WorkspaceName,
        custody: &[u8],
    ) -> Result<JobDoor, String> {
        core.ways.job_door_again(NewDoor { session, workspace, coder: Some(&self.name) }, custody)
    }

    /// What the supervisor of a new job begins with, in the job's directory. The coding agent's home lies there and stays.
    pub fn supervised(
        &self,
        mut sandbox: SandboxSpec,
        door: &JobDoor,
        directory: PathBuf,
        limits: SupervisorLimits,
    ) -> SupervisedSpec {
        self.dress(&mut sandbox, door, directory.join("home"));
        SupervisedSpec { sandbox, directory, custody: door.custody.bytes().to_vec(), limits }
    }

    /// Completes the specification of a new sandbox. `home` is the coding agent's own, which stays.
    fn dress(&self, spec: &mut SandboxSpec, door: &JobDoor, home: PathBuf) {
        spec.home = Some(home);
        spec.read_only.extend(self.program.mount.clone());
        spec.env.extend(self.env.clone());
        spec.proxy = Some(door.trust.clone());
        spec.placeholder_env.clone_from(&door.env);
    }

    /// What a conversation starts from; resuming is the caller's to add. `model` is the job's own choice.
    pub fn start(&self, door: &JobDoor, model: Option<&str>, fresh: String) -> Start {
        Start {
            model: model.map(str::to_owned).or_else(|| self.model.clone()),
            fresh,
            placeholder: door.vendor.clone(),
            base_url: self.base_url.clone(),
            ..Start::default()
        }
    }

    /// The arguments of a launch with the program as the sandbox finds it.
    pub fn argv(&self, mut argv: Vec<String>) -> Vec<String> {
        if let (Some(first), Some(path)) = (argv.first_mut(), self.program.path.to_str()) {
            path.clone_into(first);
        }
        argv
    }
}

/// Serves the socket that a supervisor lends, until `ending`; whoever asks after that waits for the next daemon. The caller
/// joins it.
pub(crate) async fn serve(door: JobDoor, socket: OwnedFd, ending: CancellationToken) {
    door.serve(socket, ending).await;
}

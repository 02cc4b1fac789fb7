//! One running sandbox.

use std::os::fd::OwnedFd;

use policy::Grant;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{Command, Exit, JobId, JobInfo, JobOutput, SandboxError, SandboxSpec};

/// A running sandbox. Stopping or dropping it kills everything inside.
#[derive(Debug)]
pub struct Sandbox {}

impl Sandbox {
    /// Builds a sandbox and waits until it takes commands.
    pub async fn start(_spec: SandboxSpec) -> Result<Self, SandboxError> {
        todo!()
    }

    /// Runs a command to its end. Output goes to `output` as it comes, both streams in the order of writing; the command
    /// waits while that channel is full. Cancelling kills everything that the command started.
    pub async fn exec(
        &self,
        _grant: &Grant,
        _command: Command,
        _output: mpsc::Sender<Vec<u8>>,
        _cancel: &CancellationToken,
    ) -> Result<Exit, SandboxError> {
        todo!()
    }

    /// Starts a background job, which lives until it ends, is killed, or the sandbox ends.
    pub async fn spawn(&self, _grant: &Grant, _command: Command) -> Result<JobId, SandboxError> {
        todo!()
    }

    /// The background jobs, oldest first.
    pub fn jobs(&self) -> Vec<JobInfo> {
        todo!()
    }

    /// The output of a job from a position on.
    pub fn job_output(&self, _job: JobId, _from: u64) -> Result<JobOutput, SandboxError> {
        todo!()
    }

    /// Kills a job with everything that it started and waits until it is gone.
    pub async fn kill_job(&self, _job: JobId) -> Result<(), SandboxError> {
        todo!()
    }

    /// The socket that listens on the proxy's port inside the sandbox, once: its only door to the outside.
    pub fn proxy_listener(&self) -> Option<OwnedFd> {
        todo!()
    }

    /// False once the sandbox has ended by itself.
    pub fn is_alive(&self) -> bool {
        todo!()
    }

    /// Ends the sandbox and waits until nothing of it is left.
    pub async fn stop(&self) {
        todo!()
    }
}

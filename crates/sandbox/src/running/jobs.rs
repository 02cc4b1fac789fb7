//! Background jobs: commands that nobody waits for, with the last part of their output.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{Command, JobId, JobInfo, JobOutput, JobState, SandboxError};

use super::{Inner, exec::Task, output::Output, ring::Ring};

/// Jobs that run at once.
const MAX_RUNNING: usize = 16;
/// Ended jobs whose output is kept.
const MAX_ENDED: usize = 16;
/// How long a killed job may take to end.
const KILLED: Duration = Duration::from_secs(3);

#[derive(Debug)]
struct Job {
    script: String,
    started: Instant,
    output: Arc<Mutex<Ring>>,
    state: watch::Receiver<JobState>,
    cancel: CancellationToken,
}

impl Job {
    fn is_running(&self) -> bool {
        *self.state.borrow() == JobState::Running
    }
}

#[derive(Debug, Default)]
pub(super) struct Jobs {
    known: Mutex<BTreeMap<JobId, Job>>,
}

impl Jobs {
    fn known(&self) -> MutexGuard<'_, BTreeMap<JobId, Job>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn list(&self) -> Vec<JobInfo> {
        let info = |(id, job): (&JobId, &Job)| JobInfo {
            id: *id,
            script: job.script.clone(),
            state: job.state.borrow().clone(),
            age: job.started.elapsed(),
        };
        self.known().iter().map(info).collect()
    }

    pub fn output(&self, id: JobId, from: u64) -> Result<JobOutput, SandboxError> {
        let known = self.known();
        let job = known.get(&id).ok_or(SandboxError::NoSuchJob(id))?;
        // The state first: what was written before the end is then never missed.
        let state = job.state.borrow().clone();
        let (start, bytes) = job.output.lock().unwrap_or_else(PoisonError::into_inner).from(from);
        Ok(JobOutput { start, next: start + bytes.len() as u64, bytes, state })
    }

    pub async fn kill(&self, id: JobId) -> Result<(), SandboxError> {
        let mut state = {
            let known = self.known();
            let job = known.get(&id).ok_or(SandboxError::NoSuchJob(id))?;
            job.cancel.cancel();
            job.state.clone()
        };
        let ended = state.wait_for(|state| *state != JobState::Running);
        match tokio::time::timeout(KILLED, ended).await {
            Ok(Ok(_)) => Ok(()),
            // The sandbox ended, and the job with it.
            Ok(Err(_)) | Err(_) => Err(SandboxError::Gone),
        }
    }

    fn add(&self, job: Job) -> Result<JobId, SandboxError> {
        let mut known = self.known();
        if known.values().filter(|job| job.is_running()).count() >= MAX_RUNNING {
            return Err(SandboxError::TooManyJobs(MAX_RUNNING));
        }
        let ended: Vec<JobId> = known.iter().filter(|(_, job)| !job.is_running()).map(|(id, _)| *id).collect();
        for id in ended.iter().take((ended.len() + 1).saturating_sub(MAX_ENDED)) {
            known.remove(id);
        }
        let id = JobId(known.last_key_value().map_or(1, |(last, _)| last.0 + 1));
        known.insert(id, job);
        Ok(id)
    }
}

impl Inner {
    pub(super) fn spawn(this: &Arc<Self>, command: Command) -> Result<JobId, SandboxError> {
        if this.ending.is_cancelled() || !this.link.is_open() {
            return Err(SandboxError::Gone);
        }
        let (tell, state) = watch::channel(JobState::Running);
        let (output, cancel) = (Arc::new(Mutex::new(Ring::default())), CancellationToken::new());
        let job = Job {
            script: command.script.clone(),
            started: Instant::now(),
            output: output.clone(),
            state,
            cancel: cancel.clone(),
        };
        let id = this.jobs.add(job)?;
        let inner = this.clone();
        this.tasks.spawn(async move {
            let state = match inner.run(Task::of(command), Output::Ring(output), &cancel).await {
                Ok(exit) => JobState::Ended(exit),
                Err(error) => JobState::Failed(error.to_string()),
            };
            tell.send_replace(state);
        });
        Ok(id)
    }
}

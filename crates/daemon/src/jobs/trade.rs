//! The real [`Shop`]: sandboxes, trees and coding agents.

use std::{
    path::PathBuf,
    sync::{Arc, Weak},
};

use coders::{Permission, Verdict};
use store::Job;
use tokio_util::sync::CancellationToken;
use types::{BoxFuture, JobId, Place};

use super::{
    gate::{self, Asking},
    hand::{self, Driven},
    seam::{Checked, Hand, JobTrouble, Landed, Prepared, Shop},
};
use crate::core::Core;

/// What a daemon's jobs have done for them.
pub(crate) struct Trade {
    core: Weak<Core>,
}

impl Trade {
    pub fn new(core: &Arc<Core>) -> Self {
        Self { core: Arc::downgrade(core) }
    }

    fn core(&self) -> Result<Arc<Core>, JobTrouble> {
        self.core.upgrade().ok_or_else(|| JobTrouble::passing("the daemon is stopping"))
    }
}

/// A job's own directory in the home.
fn directory(core: &Core, job: JobId) -> PathBuf {
    core.home.path().join("jobs").join(job.to_string())
}

impl Shop for Trade {
    fn coders(&self) -> Vec<String> {
        let Ok(core) = self.core() else { return Vec::new() };
        let live = core.live();
        live.config.coders.keys().cloned().chain([super::OUR_OWN.to_owned()]).collect()
    }

    fn prepare<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Result<Prepared, JobTrouble>> {
        Box::pin(async move {
            match &job.spec.place {
                Place::Workspace => Ok(Prepared::default()),
                Place::Branch { .. } => Err(JobTrouble::lasting("a tree of its own cannot be made here")),
            }
        })
    }

    fn open<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Result<Box<dyn Hand>, JobTrouble>> {
        Box::pin(async move {
            let core = self.core()?;
            if job.memory.coder == super::OUR_OWN {
                return Ok(Box::new(super::own::OwnLoop::open(core, job)?) as Box<dyn Hand>);
            }
            let tree = core.workspace(&job.spec.workspace).map_err(|failure| JobTrouble::lasting(failure.error))?;
            let directory = directory(&core, job.id);
            Ok(Box::new(Driven::open(&core, job, &tree, &directory).await?))
        })
    }

    fn judge<'a>(&'a self, job: &'a Job, permission: &'a Permission, record: u64) -> BoxFuture<'a, Verdict> {
        Box::pin(async move {
            let (Ok(core), Some(asking)) = (self.core(), asking(job, record)) else {
                return Verdict::Deny { why: "the job does not run".to_owned() };
            };
            // Whoever stops waiting drops this; the question stays open until it is withdrawn.
            gate::judge(&core, &asking, permission, CancellationToken::new()).await
        })
    }

    fn withdraw<'a>(&'a self, job: &'a Job, permission: &'a str, record: u64) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let (Ok(core), Some(asking)) = (self.core(), asking(job, record)) else { return };
            if let Err(failure) = gate::withdraw(&core, &asking, permission).await {
                tracing::error!(job = %job.id, error = %failure.error, "a question could not be withdrawn");
            }
        })
    }

    fn check<'a>(&'a self, _job: &'a Job) -> BoxFuture<'a, Result<Checked, JobTrouble>> {
        Box::pin(async { Err(JobTrouble::lasting("the done condition cannot be run here")) })
    }

    fn land<'a>(&'a self, _job: &'a Job) -> BoxFuture<'a, Result<Landed, JobTrouble>> {
        Box::pin(async { Err(JobTrouble::lasting("the work cannot be committed here")) })
    }

    fn changes<'a>(&'a self, _job: &'a Job) -> BoxFuture<'a, Option<String>> {
        Box::pin(async { None })
    }

    fn diff<'a>(&'a self, _job: &'a Job) -> BoxFuture<'a, Result<String, JobTrouble>> {
        Box::pin(async { Err(JobTrouble::lasting("the changes cannot be shown here")) })
    }

    fn close(&self, job: JobId) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let Ok(core) = self.core() else { return };
            let directory = directory(&core, job);
            if !directory.exists() {
                return;
            }
            match hand::attach(&directory).await {
                Ok(Some(attached)) => attached.supervised.end().await,
                Ok(None) => {}
                Err(error) => tracing::error!(%job, %error, "the supervisor of a job that is over cannot be ended"),
            }
        })
    }

    fn clear(&self, job: JobId) -> BoxFuture<'_, Result<(), JobTrouble>> {
        Box::pin(async move {
            let directory = directory(&*self.core()?, job);
            let removed = tokio::task::spawn_blocking(move || match std::fs::remove_dir_all(&directory) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
                done => done,
            });
            removed.await.map_err(JobTrouble::passing)?.map_err(JobTrouble::passing)
        })
    }
}

/// Who asks for a permission in a job, and where; none before it has a turn.
fn asking(job: &Job, record: u64) -> Option<Asking> {
    Some(Asking {
        turn: job.turn?,
        coder: job.memory.coder.clone(),
        workspace: job.spec.workspace.clone(),
        in_workspace: job.spec.place == Place::Workspace,
        record,
    })
}

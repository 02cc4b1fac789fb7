//! The real [`Shop`]: sandboxes, trees and coding agents.

use std::sync::{Arc, Weak};

use coders::{Permission, Verdict};
use store::Job;
use tokio_util::sync::CancellationToken;
use types::{BoxFuture, JobId, Place};

use super::{
    gate::{self, Asking},
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

impl Shop for Trade {
    fn coders(&self) -> Vec<String> {
        vec![super::OUR_OWN.to_owned()]
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
            Err(JobTrouble::lasting(format!("there is no coding agent `{}`", job.memory.coder)))
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

    fn close(&self, _job: JobId) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }

    fn clear(&self, _job: JobId) -> BoxFuture<'_, Result<(), JobTrouble>> {
        Box::pin(async { Ok(()) })
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

//! The real [`Shop`]: sandboxes, trees and coding agents.

use std::{
    path::PathBuf,
    sync::{Arc, Weak},
};

use coders::{Permission, Verdict};
use policy::{Act, decide_own};
use sandbox::{Workspace, remove_own};
use store::{DeliveryBody, Job, NewDelivery};
use tokio_util::sync::CancellationToken;
use types::{BoxFuture, ChannelId, JobId, Place, Then, WorkspaceName};

use super::{
    Author, OUR_OWN, Site, SiteError,
    check::{self, Outcome},
    consent::Desk,
    forge::Forges,
    gate::{self, Asking},
    guard,
    hand::{self, Driven},
    land::{self, Landing, Message},
    own::OwnLoop,
    phases, report,
    review::{self, Posting},
    seam::{Checked, Hand, JobTrouble, Landed, Prepared, Shop},
    tree,
};
use crate::{core::Core, deliver, terminals};

/// Why a done condition counts as not holding that exits with 0.
const MOVED: &str = "the command of the done condition made a commit or checked another one out, so that nobody knows for what it holds";

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

    /// Where a job works.
    fn site(&self, job: &Job) -> Result<Site, JobTrouble> {
        let core = self.core()?;
        let workspace = core.workspace(&job.spec.workspace).map_err(|failure| JobTrouble::lasting(failure.error))?;
        let turn = job.turn.ok_or_else(|| JobTrouble::lasting("the job has no turn"))?;
        Ok(Site {
            job: job.id,
            session: job.session,
            turn,
            place: job.spec.place.clone(),
            workspace,
            directory: directory(&core, job.id),
            pool: core.pool.clone(),
            store: core.store.clone(),
        })
    }

    /// Who puts questions to the owner.
    fn desk(&self) -> Result<Desk, JobTrouble> {
        let core = self.core()?;
        let patience = core.live().config.agent.approval_timeout();
        Ok(Desk { rules: core.rules.clone(), clock: core.clock.clone(), patience })
    }

    /// Ways to the hosts of repositories.
    fn forges(&self, job: &Job) -> Result<Forges, JobTrouble> {
        let core = self.core()?;
        let web = core.ways.web(job.session, &job.spec.workspace).map_err(JobTrouble::lasting)?;
        Ok(Forges::new(web.fetcher, web.rules, core.vault.clone()))
    }

    /// Posts the review of a pull request. One that was not posted is a note and no error.
    async fn post(&self, job: &Job, number: u64, site: &Site, desk: &Desk) -> Result<Landed, JobTrouble> {
        let (core, forges) = (self.core()?, self.forges(job)?);
        let redactor = core.vault.redactor();
        let posting = Posting { number, coder: &job.memory.coder, desk, redactor, forges: &forges };
        let show = async |digest: &str, body: &str| show_whole(&core, job, digest, body).await;
        let note = match review::post(site, &posting, show).await? {
            Ok(address) => format!("the review is a comment on the pull request: {address}"),
            Err(why) => format!("no comment was posted: {why}"),
        };
        Ok(Landed { notes: vec![note], ..Landed::default() })
    }

    /// Puts back what the job may not have changed in the owner's repository, once nothing of it runs.
    async fn settle(&self, core: &Core, job: JobId) -> Vec<String> {
        let Some(job) = core.store.job(job).ok().flatten().filter(|job| job.spec.place == Place::Workspace) else {
            return Vec::new();
        };
        let Ok(site) = self.site(&job) else { return Vec::new() };
        let settled = guard::put_back(&site).await.and_then(|()| guard::release(&site));
        let mut notes: Vec<String> = guard::told(&site).into_iter().collect();
        if let Err(error) = settled {
            tracing::error!(job = %job.id, %error, "a repository's settings and hooks cannot be put back");
            notes.push(format!(
                "settings and hooks of your repository could not be compared with what they were ({error}); look at \
                 .git, and at other repositories in the workspace, before you use git there"
            ));
        }
        notes
    }

    fn author(&self) -> Result<Author, JobTrouble> {
        let author = &self.core()?.live().config.jobs.author;
        Author::parse(author).map_err(|error| JobTrouble::lasting(format!("jobs.author: {error}")))
    }
}

/// A job's own directory in the home.
pub(super) fn directory(core: &Core, job: JobId) -> PathBuf {
    terminals::Place::Job(job).directory(core.home.path())
}

/// Forgets what a job has landed: work that follows is landed anew, and finds what is there already.
pub(super) fn forget_landing(core: &Core, job: JobId) -> std::io::Result<()> {
    match std::fs::remove_file(directory(core, job).join(land::RECORD)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

impl From<SiteError> for JobTrouble {
    fn from(error: SiteError) -> Self {
        Self { may_pass: error.may_pass(), error: error.to_string() }
    }
}

impl Shop for Trade {
    fn coders(&self) -> Vec<String> {
        let Ok(core) = self.core() else { return Vec::new() };
        let live = core.live();
        live.config.coders.keys().cloned().chain([OUR_OWN.to_owned()]).collect()
    }

    fn prepare<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Result<Prepared, JobTrouble>> {
        Box::pin(async move {
            let site = self.site(job)?;
            guard::hold(&site).await?;
            let in_place = job.spec.place == Place::Workspace;
            if job.memory.coder == OUR_OWN && in_place && job.spec.then == Then::Nothing && job.spec.done.is_none() {
                // Nothing of its place will be looked at.
                return Ok(Prepared::default());
            }
            let author = self.author()?;
            let notes = match job.spec.review {
                Some(number) => review::prepare(&site, &author, &self.forges(job)?, number).await?,
                None => tree::prepare(&site, &author).await?,
            };
            if let Some(done) = &job.spec.done {
                // What it may not change is kept as it is now, once.
                check::hold(&site, done).await?;
            }
            Ok(Prepared { notes })
        })
    }

    fn open<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Result<Box<dyn Hand>, JobTrouble>> {
        Box::pin(async move {
            let core = self.core()?;
            if job.memory.coder == OUR_OWN {
                return Ok(Box::new(OwnLoop::open(core, job)?) as Box<dyn Hand>);
            }
            let site = self.site(job)?;
            let name = job.spec.workspace.clone();
            let tree = Workspace::open(name, &site.tree()).map_err(JobTrouble::lasting)?;
            Ok(Box::new(Driven::open(&core, job, &tree, &site.directory).await?))
        })
    }

    fn judge<'a>(
        &'a self,
        job: &'a Job,
        permission: &'a Permission,
        record: u64,
        unasked: Option<String>,
    ) -> BoxFuture<'a, Verdict> {
        Box::pin(async move {
            let (Ok(core), Some(asking)) = (self.core(), asking(job, record)) else {
                return Verdict::Deny { why: "the job does not run".to_owned() };
            };
            // Whoever stops waiting drops this; the question stays open until it is withdrawn.
            gate::judge(&core, &asking, permission, unasked, CancellationToken::new()).await
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

    fn check<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Result<Checked, JobTrouble>> {
        Box::pin(async move {
            let site = self.site(job)?;
            let done = phases::done(job).ok_or_else(|| JobTrouble::lasting("there is no done condition"))?;
            let restored = check::put_back(&site, &done).await?;
            let lands = job.spec.then != Then::Nothing && job.spec.review.is_none();
            let begun = if lands { Some(land::begin(&site).await?) } else { None };
            let outcome = check::run(&site, &done).await?;
            let checked = checked(check::Checked { outcome, restored })?;
            if !checked.passed {
                return Ok(checked);
            }
            if job.spec.review.is_some() {
                return Ok(match review::check(&site).await? {
                    Ok(()) => checked,
                    Err(why) => Checked { passed: false, signature: why.clone(), tail: why, ..checked },
                });
            }
            let Some(begun) = begun else { return Ok(checked) };
            if land::seal(&site, begun).await? {
                return Ok(checked);
            }
            Ok(Checked { passed: false, signature: MOVED.to_owned(), tail: MOVED.to_owned(), ..checked })
        })
    }

    fn land<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Result<Landed, JobTrouble>> {
        Box::pin(async move {
            let (core, site) = (self.core()?, self.site(job)?);
            let desk = self.desk()?;
            if let Some(number) = job.spec.review {
                return self.post(job, number, &site, &desk).await;
            }
            // Our own git obeys some of it too.
            guard::put_back(&site).await?;
            let message = Message::new(job.id, &job.memory.coder, &job.spec.brief, &report::sums(job));
            let message = message.of_part(phases::commit(job));
            let is_last = phases::is_last(job);
            let forges = self.forges(job)?;
            let author = self.author()?;
            let landing = Landing {
                // Only the whole is published.
                then: if is_last { job.spec.then } else { Then::Commit },
                author: &author,
                message: &message,
                at: job.memory.moved_at,
                desk: &desk,
                redactor: core.vault.redactor(),
                forges: &forges,
                was_checked: phases::done(job).is_some(),
            };
            let landed = land::land(&site, &landing).await?;
            if is_last && landed.withheld.is_none() && !landed.is_unchecked {
                tree::finish(&site)?;
            }
            let mut notes = landed.notes;
            if !is_last && !landed.is_unchecked {
                // The next phase has a landing of its own. Asked again after a crash, this one finds its commit as it is.
                forget_landing(&core, job.id).map_err(JobTrouble::passing)?;
            }
            notes.extend(guard::told(&site));
            notes.extend(landed.branch.map(|branch| format!("the work is on the branch {branch}")));
            notes.extend(landed.pull_request.map(|address| format!("a draft pull request is open: {address}")));
            let is_unchecked = landed.is_unchecked;
            Ok(Landed {
                commit: landed.commit,
                withheld: landed.withheld,
                changes: landed.changes,
                notes,
                is_unchecked,
            })
        })
    }

    fn changes<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Option<String>> {
        Box::pin(async move { tree::changes(&self.site(job).ok()?).await.ok().flatten() })
    }

    fn diff<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Result<String, JobTrouble>> {
        Box::pin(async move { Ok(tree::diff(&self.site(job)?).await?) })
    }

    fn close(&self, job: JobId) -> BoxFuture<'_, Vec<String>> {
        Box::pin(async move {
            let Ok(core) = self.core() else { return Vec::new() };
            if let Ok(Some(job)) = core.store.job(job)
                && job.memory.coder == OUR_OWN
            {
                core.pool.stop_session(job.session).await;
            }
            let directory = directory(&core, job);
            if !directory.exists() {
                return Vec::new();
            }
            let place = terminals::Place::Job(job);
            let window = terminals::close(core.home.path(), &place);
            let end = async {
                if let Err(error) = hand::put_down(&directory).await {
                    tracing::error!(%job, %error, "the supervisor of a job that is over cannot be ended");
                }
            };
            tokio::join!(end, window);
            self.settle(&core, job).await
        })
    }

    fn clear(&self, job: JobId) -> BoxFuture<'_, Result<(), JobTrouble>> {
        Box::pin(async move {
            let core = self.core()?;
            let directory = directory(&core, job);
            if let Some(job) = core.store.job(job).map_err(JobTrouble::passing)?
                && core.workspaces.get(&job.spec.workspace).is_some()
                && directory.join("tree").exists()
            {
                tree::remove(&self.site(&job)?).await?;
            }
            let name = WorkspaceName::new("job").map_err(JobTrouble::lasting)?;
            let grant = decide_own(Act::JobTree, name);
            let remove = move || remove_own(&grant, &directory);
            tokio::task::spawn_blocking(remove).await.map_err(JobTrouble::passing)?.map_err(JobTrouble::passing)
        })
    }
}

/// Sends a text that will be asked about to the chat in which the job was asked for, because a question there shows only the
/// beginning of a long one. Once for each text.
async fn show_whole(core: &Arc<Core>, job: &Job, digest: &str, text: &str) {
    let (channel, Some(target)) = (job.reply_channel.clone(), job.reply_to.clone()) else { return };
    if channel == ChannelId::api() {
        return;
    }
    let text = format!("Job {}: this would be posted, if you approve it.\n\n{text}", job.id);
    let pieces = deliver::pieces(core, &channel, &text).into_iter().enumerate();
    let deliveries: Vec<NewDelivery> = pieces
        .map(|(number, text)| NewDelivery {
            session: Some(job.session),
            turn: job.turn,
            channel: channel.clone(),
            target: target.clone(),
            body: DeliveryBody::Notice { text },
            key: format!("job:{}:shown:{digest}:{number}", job.id),
        })
        .collect();
    let shown =
        core.store.transact(move |tx| deliveries.into_iter().try_for_each(|one| tx.deliver(one).map(|_| ()))).await;
    if let Err(error) = shown {
        tracing::error!(job = %job.id, %error, "what is asked about could not be shown whole in the chat");
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

/// What a check says, in the engine's terms. One that could not be run says nothing about the work.
fn checked(found: check::Checked) -> Result<Checked, JobTrouble> {
    let restored = found.restored;
    match found.outcome {
        Outcome::Passed => Ok(Checked { passed: true, restored, ..Checked::default() }),
        Outcome::Failed { tail, signature } | Outcome::TimedOut { tail, signature } => {
            Ok(Checked { passed: false, tail, signature, restored })
        }
        Outcome::CouldNotRun { why } => Err(JobTrouble::lasting(format!("the done condition cannot be run: {why}"))),
    }
}

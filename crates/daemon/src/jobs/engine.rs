//! The queue, and the workers of the jobs that have a place. Owns and joins each worker; must not look into a job.

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

use store::{Job, StoreError};
use tokio::{
    sync::{mpsc, oneshot},
    task::{Id, JoinError, JoinSet},
};
use types::{JobId, JobState, Place, SessionId};

use super::{
    control::Control,
    ending::note_late,
    seam::Shop,
    takeover::Wish,
    worker::{self, Care},
};
use crate::core::Core;

/// Orders that may wait for the engine, which only hands them on.
const ORDERS: usize = 256;
/// How long STOP waits for the jobs that it ends.
const STOP_PATIENCE: Duration = Duration::from_secs(2);
/// How long a resume waits for the end of its job to be done.
const SETTLING: Duration = Duration::from_secs(20);
/// How often files of jobs that are over are looked for.
const CLEARING: Duration = Duration::from_secs(3_600);
/// Jobs whose files are removed in one go.
const MAX_CLEARED: usize = 20;
/// How long to wait before the queue is looked at again after it could not be read.
const PAUSE: Duration = Duration::from_secs(5);
/// Faults of ours that one job may have before it is ended, and that ending it may have besides before it is given up.
const MAX_PANICS: u32 = 1;
const MOST_PANICS: u32 = 4;
/// Jobs that are looked at when the daemon starts for what a crash left of them.
const MAX_LEFT: usize = 1_000;

/// What the engine is told.
#[derive(Debug)]
enum Order {
    /// A job was queued.
    Queued,
    /// The owner said something in the session of this job.
    Said(JobId),
    /// The owner wants to sit down at this job, or to stand up.
    Seat(JobId, Wish),
    /// Whoever sent this goes on, which the drop of it says, once no worker of this job is left.
    Settle(JobId, oneshot::Sender<()>),
    /// End these jobs; all when none are named. Answered with how many it concerned, once they are over.
    Stop(Option<JobId>, oneshot::Sender<usize>),
}

/// What the engine reads its orders from.
#[derive(Debug)]
pub(crate) struct Orders(mpsc::Receiver<Order>);

/// The way to the engine. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Jobs {
    orders: mpsc::Sender<Order>,
    shop: Arc<OnceLock<Arc<dyn Shop>>>,
}

impl std::fmt::Debug for Jobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jobs").finish_non_exhaustive()
    }
}

impl Jobs {
    pub fn new() -> (Self, Orders) {
        let (orders, receiver) = mpsc::channel(ORDERS);
        (Self { orders, shop: Arc::default() }, Orders(receiver))
    }

    /// Says what jobs have done for them. The first word counts.
    pub fn open(&self, shop: Arc<dyn Shop>) {
        // It is opened once, when the daemon starts.
        let _ = self.shop.set(shop);
    }

    /// What jobs have done for them; none before the daemon has started.
    pub fn shop(&self) -> Option<&Arc<dyn Shop>> {
        self.shop.get()
    }

    /// A job was queued.
    pub async fn queued(&self) {
        self.order(Order::Queued).await;
    }

    /// Hands the words that wait in a session to its job, if it has one that is not over. False when it has none, or one that
    /// our own loop works on: then the session is an ordinary one.
    pub async fn said(&self, core: &Core, session: SessionId) -> Result<bool, StoreError> {
        let job = core.store.job_of_session(session)?.filter(is_worked_on_elsewhere);
        let Some(job) = job else { return Ok(false) };
        self.order(Order::Said(job.id)).await;
        Ok(true)
    }

    /// Ends the job of a session, or all jobs. Returns how many were ended once their programs are dead, or after two seconds.
    pub async fn stop(&self, core: &Core, session: Option<SessionId>) -> usize {
        let job = match session.map(|session| core.store.job_of_session(session)) {
            None => None,
            Some(Ok(Some(job))) if !is_over(&job) => Some(job.id),
            Some(Ok(_)) => return 0,
            Some(Err(error)) => {
                tracing::error!(%error, "it is not known whether the session is a job's");
                return 0;
            }
        };
        let (answer, stopped) = oneshot::channel();
        self.order(Order::Stop(job, answer)).await;
        stopped.await.unwrap_or(0)
    }

    /// The owner wants to sit down at a job, or to stand up. A wish that nobody can fulfil is dropped.
    pub(super) async fn seat(&self, job: JobId, wish: Wish) {
        self.order(Order::Seat(job, wish)).await;
    }

    /// Waits until whatever ended a job is done with it. False when that takes too long.
    pub(super) async fn settle(&self, job: JobId) -> bool {
        let (held, settled) = oneshot::channel();
        self.order(Order::Settle(job, held)).await;
        // Nothing is ever sent.
        tokio::time::timeout(SETTLING, settled).await.is_ok()
    }

    async fn order(&self, order: Order) {
        if self.orders.send(order).await.is_err() {
            tracing::debug!("an order came after the engine of jobs had stopped; the next start takes it up");
        }
    }
}

/// Whether a job is over.
pub(super) fn is_over(job: &Job) -> bool {
    matches!(job.state, JobState::Ended { .. })
}

/// Whether a coding agent, and not our own loop, works on the session of this job.
fn is_worked_on_elsewhere(job: &Job) -> bool {
    !is_over(job) && job.memory.coder != super::OUR_OWN
}

/// One job's worker.
struct Slot {
    id: Id,
    control: Arc<Control>,
    /// Whoever waits for its end.
    waiting: Vec<Arc<Waiting>>,
    /// Whoever waits until it has no worker any more.
    settling: Vec<oneshot::Sender<()>>,
    panics: u32,
}

/// A STOP that waits for jobs to end. Answers when the last of them is dropped.
struct Waiting(std::sync::Mutex<Option<oneshot::Sender<usize>>>, usize);

impl Waiting {
    fn answer(&self) {
        if let Some(answer) = self.0.lock().ok().and_then(|mut answer| answer.take()) {
            // Whoever asked may have gone; the jobs are over all the same.
            let _ = answer.send(self.1);
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.answer();
    }
}

struct Engine {
    core: Arc<Core>,
    shop: Arc<dyn Shop>,
    workers: JoinSet<JobId>,
    slots: HashMap<JobId, Slot>,
    /// Removes files. A job whose files are being removed has no worker meanwhile.
    sweepers: JoinSet<()>,
    swept: HashMap<Id, JobId>,
    /// Jobs that our own faults keep from ending. They are left alone until the next start.
    broken: HashSet<JobId>,
}

/// Runs until the daemon stops. What runs under a supervisor goes on without us.
pub(crate) async fn run(core: Arc<Core>, shop: Arc<dyn Shop>, orders: Orders) {
    let Orders(mut orders) = orders;
    let stopping = core.phases.stopping.clone();
    let mut engine = Engine {
        core,
        shop,
        workers: JoinSet::new(),
        slots: HashMap::new(),
        sweepers: JoinSet::new(),
        swept: HashMap::new(),
        broken: HashSet::new(),
    };
    engine.close_what_is_left();
    let mut clearing = tokio::time::interval(CLEARING);
    let mut is_filled = engine.fill();
    loop {
        tokio::select! {
            () = stopping.cancelled() => break,
            Some(order) = orders.recv() => engine.take(order),
            Some(ended) = engine.workers.join_next_with_id() => engine.joined(ended),
            Some(swept) = engine.sweepers.join_next_with_id() => engine.swept(swept),
            _ = clearing.tick() => engine.clear(),
            () = tokio::time::sleep(PAUSE), if !is_filled => {}
        }
        is_filled = engine.fill();
    }
    // Dropping a worker is a checkpoint: what it did is stored, and the next start goes on from there.
    engine.workers.shutdown().await;
    engine.sweepers.shutdown().await;
}

impl Engine {
    fn take(&mut self, order: Order) {
        match order {
            Order::Queued => {}
            Order::Said(job) => {
                if let Some(slot) = self.slots.get(&job) {
                    slot.control.said.notify_one();
                }
            }
            Order::Seat(job, wish) => {
                if let Some(slot) = self.slots.get(&job) {
                    slot.control.want(wish);
                }
            }
            Order::Settle(job, held) => {
                if let Some(slot) = self.slots.get_mut(&job) {
                    slot.settling.push(held);
                }
            }
            Order::Stop(job, answer) => self.stop(job, answer),
        }
    }

    /// Gives places to the jobs that have waited longest; those that have one and no worker, after a restart, come first.
    /// False when the queue could not be read.
    fn fill(&mut self) -> bool {
        let open = match self.core.store.open_jobs() {
            Ok(open) => open,
            Err(error) => {
                tracing::error!(%error, "the queue of jobs cannot be read; trying again");
                return false;
            }
        };
        let (waiting, placed): (Vec<Job>, Vec<Job>) = open.into_iter().partition(|job| job.state == JobState::Queued);
        let waits = waiting.iter().any(|job| self.slots.contains_key(&job.id));
        let mut taken: Vec<(PathBuf, Place)> = Vec::new();
        for job in &placed {
            taken.push(self.place(job));
            if self.is_free(job.id) {
                self.start(job.id, 0);
            }
        }
        let most = self.core.live().config.jobs.at_once;
        for job in &waiting {
            let place = self.place(job);
            if self.slots.contains_key(&job.id) {
                // It has its place and has not stored that yet.
                taken.push(place);
                continue;
            }
            let is_full = taken.len() >= most && !waits || self.slots.len() >= most;
            if is_full || taken.contains(&place) || !self.is_free(job.id) {
                continue;
            }
            taken.push(place);
            self.start(job.id, 0);
        }
        true
    }

    /// What a job has for itself alone: its workspace's directory, or a branch of it.
    fn place(&self, job: &Job) -> (PathBuf, Place) {
        let place = match &job.spec.place {
            Place::Workspace => Place::Workspace,
            Place::Branch { branch, .. } => Place::Branch { branch: branch.clone(), base: None },
        };
        (self.core.directory(&job.spec.workspace), place)
    }

    /// Whether a worker may begin with a job.
    fn is_free(&self, job: JobId) -> bool {
        !self.slots.contains_key(&job) && !self.swept.values().any(|swept| *swept == job) && !self.broken.contains(&job)
    }

    fn start(&mut self, job: JobId, panics: u32) {
        let control = Arc::new(Control::default());
        let care = match panics {
            0..=MAX_PANICS => Care::Work,
            _ if panics < MOST_PANICS => Care::End,
            _ => Care::GiveUp,
        };
        let work = worker::work(self.core.clone(), self.shop.clone(), job, control.clone(), care);
        let task = self.workers.spawn(work);
        self.slots.insert(job, Slot { id: task.id(), control, waiting: Vec::new(), settling: Vec::new(), panics });
    }

    fn joined(&mut self, ended: Result<(Id, JobId), JoinError>) {
        let id = match &ended {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        let Some(job) = self.slots.iter().find(|(_, slot)| slot.id == id).map(|(job, _)| *job) else { return };
        let Some(slot) = self.slots.remove(&job) else { return };
        let panicked = ended.is_err_and(|error| error.is_panic());
        // A STOP that fell between the end of a job and its being resumed, or whose worker broke off, still holds.
        let is_stopped = slot.control.stop.is_cancelled() && self.is_open(job);
        if panicked {
            tracing::error!(%job, "the code of a job panicked");
            if slot.panics >= MOST_PANICS {
                tracing::error!(%job, "the job is left alone until the next start");
                self.broken.insert(job);
                return;
            }
        }
        if !panicked && slot.panics >= MOST_PANICS {
            // Nothing of it was ended with it.
            self.sweep(job, false);
        }
        if panicked || is_stopped {
            self.start(job, slot.panics + u32::from(panicked));
        }
        if is_stopped && let Some(again) = self.slots.get_mut(&job) {
            again.control.stop.cancel();
            again.waiting = slot.waiting;
            again.settling = slot.settling;
        }
    }

    /// Whether a job is not over. What cannot be read counts as open.
    fn is_open(&self, job: JobId) -> bool {
        self.core.store.job(job).map_or(true, |job| job.is_some_and(|job| !is_over(&job)))
    }

    /// Ends one job, or all that are not over. A job that waits gets a worker, which ends it.
    fn stop(&mut self, only: Option<JobId>, answer: oneshot::Sender<usize>) {
        let open = self.core.store.open_jobs().unwrap_or_else(|error| {
            tracing::error!(%error, "the queue of jobs cannot be read; STOP ends what runs");
            Vec::new()
        });
        let mut stopped: Vec<JobId> = open.into_iter().map(|job| job.id).collect();
        stopped.extend(self.slots.keys().copied());
        stopped.sort();
        stopped.dedup();
        stopped.retain(|job| only.is_none_or(|only| only == *job));
        let waiting = Arc::new(Waiting(std::sync::Mutex::new(Some(answer)), stopped.len()));
        for job in stopped {
            if !self.slots.contains_key(&job) {
                self.start(job, 0);
            }
            if let Some(slot) = self.slots.get_mut(&job) {
                slot.control.stop.cancel();
                slot.waiting.push(waiting.clone());
            }
        }
        // The answer comes with the end of the last job, or when patience is over.
        let waiting = Arc::downgrade(&waiting);
        self.core.tasks.spawn(async move {
            tokio::time::sleep(STOP_PATIENCE).await;
            let Some(waiting) = waiting.upgrade() else { return };
            tracing::error!("some jobs were not over two seconds after STOP");
            waiting.answer();
        });
    }

    /// Ends what runs for jobs that are over: a crash may have come between their end and that.
    fn close_what_is_left(&mut self) {
        let all = types::Timestamp(i64::MAX);
        let over = self.core.store.jobs_to_clear(all, MAX_LEFT).unwrap_or_else(|error| {
            tracing::error!(%error, "the jobs that are over cannot be read; what runs for them is ended with their files");
            Vec::new()
        });
        for job in over {
            self.sweep(job, false);
        }
    }

    /// Removes the files of jobs that have been over for long enough.
    fn clear(&mut self) {
        let days = self.core.live().config.jobs.keep_days;
        let kept = Duration::from_secs(days.saturating_mul(24 * 3_600));
        let now = self.core.clock.now();
        let before = types::Timestamp(now.0.saturating_sub(i64::try_from(kept.as_millis()).unwrap_or(i64::MAX)));
        for job in self.core.store.jobs_to_clear(before, MAX_CLEARED).unwrap_or_default() {
            self.sweep(job, true);
        }
    }

    /// Ends what runs for a job that is over, and removes its files if they are to go. Until that is done it gets no worker.
    fn sweep(&mut self, job: JobId, files: bool) {
        if !self.is_free(job) {
            return;
        }
        let (core, shop) = (self.core.clone(), self.shop.clone());
        let sweeper = self.sweepers.spawn(async move {
            // It may have been resumed after it was chosen. From here on no worker begins with it.
            if !core.store.job(job).is_ok_and(|job| job.is_some_and(|job| is_over(&job))) {
                return;
            }
            let notes = shop.close(job).await;
            if let Err(error) = note_late(&core, job, notes).await {
                tracing::error!(%job, %error, "what was found as a job was closed could not be stored");
            }
            if !files {
                return;
            }
            if let Err(error) = shop.clear(job).await {
                tracing::error!(%job, %error, "the files of a job could not be removed; trying again");
            } else if let Err(error) = core.store.transact(move |tx| tx.clear_job(job)).await {
                tracing::error!(%job, %error, "that the files of a job are gone could not be stored");
            }
        });
        self.swept.insert(sweeper.id(), job);
    }

    /// The files of a job are gone, or could not be removed this time.
    fn swept(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = match &ended {
            Ok((id, ())) => *id,
            Err(error) => error.id(),
        };
        if let (Some(job), true) = (self.swept.remove(&id), ended.is_err()) {
            tracing::error!(%job, "removing the files of a job broke off");
        }
    }
}

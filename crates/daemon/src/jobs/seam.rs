//! What the engine of jobs has done for it. [`Shop`] makes the tree, runs the check, lands the work; [`Hand`] is a coding
//! agent at work. The engine knows nothing behind them, so that its own rules can be tried against scripts.

use coders::{CoderCommand, CoderEvent, Permission, Verdict};
use store::Job;
use types::{BoxFuture, JobId};

/// Something that a job needs and that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct JobTrouble {
    /// What failed, why, and what to do.
    pub error: String,
    /// Whether another attempt may do better.
    pub may_pass: bool,
}

impl JobTrouble {
    /// A failure that stays.
    pub fn lasting(error: impl std::fmt::Display) -> Self {
        Self { error: error.to_string(), may_pass: false }
    }

    /// A failure that may pass.
    pub fn passing(error: impl std::fmt::Display) -> Self {
        Self { error: error.to_string(), may_pass: true }
    }
}

/// Why a coding agent was not told something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTold {
    /// It cannot be told this, at least not now.
    #[error("{0}")]
    Unsupported(String),
    /// It failed.
    #[error(transparent)]
    Trouble(#[from] JobTrouble),
}

/// What came of making a tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prepared {
    /// What the owner should know, such as that uncommitted work is not in the tree.
    pub notes: Vec<String>,
}

/// What came of running the done condition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Whether it holds.
    pub passed: bool,
    /// The end of its output, or why it could not be run; foreign text.
    pub tail: String,
    /// What stays the same while it fails in the same way.
    pub signature: String,
    /// Pinned files that had been changed and were put back.
    pub restored: Vec<String>,
}

/// What came of landing finished work.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Landed {
    /// The commit that holds it; none when there was nothing to commit.
    pub commit: Option<String>,
    /// Why work that there is was not committed, if it was not.
    pub withheld: Option<String>,
    /// What it changed, such as `2 files changed, +10 -3`.
    pub changes: Option<String>,
    /// What the owner should read, such as the address of the pull request, or why something was not pushed.
    pub notes: Vec<String>,
    /// Whether nothing was committed because the files are not the ones for which the done condition held: it must be run again.
    pub is_unchecked: bool,
}

/// What a job has done for it. Each of these may be asked for again after a crash, and then goes on or does nothing twice.
/// Each is dropped when the job is stopped; [`Shop::close`] follows and ends what is left.
pub trait Shop: Send + Sync + 'static {
    /// The coding agents that jobs may be given to, by name. The first one takes those that name none.
    fn coders(&self) -> Vec<String>;

    /// Makes the job's tree and its home, or finds them as they are.
    fn prepare<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Result<Prepared, JobTrouble>>;

    /// Takes up the supervisor of the job, or starts one if none lives. Events begin after the job's cursor.
    fn open<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Result<Box<dyn Hand>, JobTrouble>>;

    /// Judges something that the coding agent asks for, asks the owner where that is needed, and writes it to the audit log.
    /// Asked again for the same permission after a restart, it goes on waiting for the same answer.
    /// `record` is the one in which it asked: the numbers of permissions may begin anew with each program. `unasked` says why
    /// the owner is not to be asked about it now, if they were not asked before: then what needs their answer is refused.
    fn judge<'a>(
        &'a self,
        job: &'a Job,
        permission: &'a Permission,
        record: u64,
        unasked: Option<String>,
    ) -> BoxFuture<'a, Verdict>;

    /// Nobody waits for this permission any more.
    fn withdraw<'a>(&'a self, job: &'a Job, permission: &'a str, record: u64) -> BoxFuture<'a, ()>;

    /// Puts pinned files back and runs the done condition. Must not be asked for when there is none.
    fn check<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Result<Checked, JobTrouble>>;

    /// Commits, brings back, pushes and proposes, as far as the job says; asks the owner where that is needed.
    fn land<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Result<Landed, JobTrouble>>;

    /// What the job has changed since it began, in a line; none when that is not known.
    fn changes<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Option<String>>;

    /// What the job has changed since it began, as a patch of at most a mebibyte.
    fn diff<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Result<String, JobTrouble>>;

    /// Ends whatever runs for the job: programs, supervisor, terminal. Its files stay, but what it may not have changed in the
    /// owner's repository is put back; what of that the owner should know.
    fn close(&self, job: JobId) -> BoxFuture<'_, Vec<String>>;

    /// Removes the files of a job that is over.
    fn clear(&self, job: JobId) -> BoxFuture<'_, Result<(), JobTrouble>>;
}

/// What a coding agent did, and where its records say so.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// The number of the record.
    pub record: u64,
    /// The place in what the record meant, from 0.
    pub item: u32,
    /// When the record was written, in milliseconds since 1970.
    pub at: i64,
    /// What.
    pub event: CoderEvent,
}

/// Where the records are taken up, in place of the job's own place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenUp {
    /// The number of the record.
    pub record: u64,
    /// The place in what it meant.
    pub item: u32,
    /// When it was written, in milliseconds since 1970.
    pub at: i64,
    /// What the owner should know: something may have been missed.
    pub note: String,
}

/// A coding agent at work: its program, its records, and who speaks with it. Dropping it ends nothing.
pub trait Hand: Send {
    /// What it did next. None when its supervisor has ended. May be dropped while it waits.
    fn next(&mut self) -> BoxFuture<'_, Option<Said>>;

    /// Where its records are taken up, where the job's place is none of them. Nothing before is told.
    fn taken_up(&self) -> Option<TakenUp> {
        None
    }

    /// How many commands its records hold, prompts that a program was started with included.
    fn commands(&self) -> u64;

    /// Whether the last of them had no effect.
    fn is_refused(&self) -> bool {
        false
    }

    /// Whether a turn runs.
    fn is_busy(&self) -> bool;

    /// The permissions that it waits for.
    fn pending(&self) -> Vec<Permission>;

    /// Tells it something; recorded before it is written. A prompt starts its program where none runs.
    fn command<'a>(&'a mut self, job: &'a Job, command: CoderCommand) -> BoxFuture<'a, Result<(), NotTold>>;

    /// Kills its program with everything that it started, and waits until that is done; that it ended is an event. Does nothing
    /// where none runs.
    fn end_program(&mut self) -> BoxFuture<'_, Result<(), JobTrouble>>;

    /// Kills everything that runs in its sandbox, before its work is looked at.
    fn clear_away(&mut self) -> BoxFuture<'_, Result<(), JobTrouble>> {
        self.end_program()
    }

    /// What it did that was not told yet, without waiting for more.
    fn unheard(&mut self) -> BoxFuture<'_, Option<Said>>;

    /// Ends its program and opens its conversation at a terminal, for the owner, unless that was done before. False when the
    /// owner has left the terminal already.
    fn sit_down<'a>(&'a mut self, job: &'a Job) -> BoxFuture<'a, Result<bool, NotTold>> {
        _ = job;
        Box::pin(async { Err(NotTold::Unsupported("it has no terminal".to_owned())) })
    }

    /// Waits until the owner has left the terminal. False when its supervisor is gone. May be dropped while it waits.
    fn stood_up(&mut self) -> BoxFuture<'_, bool> {
        Box::pin(std::future::pending())
    }

    /// Closes the terminal with everything that was started there.
    fn stand_up(&mut self) -> BoxFuture<'_, Result<(), JobTrouble>> {
        Box::pin(async { Ok(()) })
    }

    /// Whether it works by ordinary turns in the job's session, as our own loop does: then what it spends is booked, and the
    /// owner's words reach it, without the engine.
    fn is_our_own(&self) -> bool {
        false
    }
}

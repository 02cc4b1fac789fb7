//! A coding agent in its job's sandbox, under its supervisor: the real [`Hand`]. Serves the sandbox's way out for as long as it
//! is held.

use std::{collections::BTreeSet, path::Path, sync::Arc, time::Duration};

use coders::{
    CoderCommand, CoderEvent, Cursor, Driver, DriverError, Launch, Lost, Permission, Registry, Start, Totals, Transport,
};
use policy::{Act, Grant, decide_own};
use sandbox::{Attached, Files, SandboxError, Supervised, SupervisorLimits, TerminalProgram, Workspace};
use serde_json::json;
use store::{
    Job, Store,
    audit::{AuditEntry, AuditKind},
};
use tokio_util::sync::{CancellationToken, DropGuard};
use types::{BoxFuture, Prices, WorkspaceName};

use super::{
    door::{self, Outfit},
    farewell::Farewell,
    guard,
    registry::registry,
    seam::{Hand, JobTrouble, NotTold, Said, TakenUp},
    takeover::{self, Terminal},
    telling,
};
use crate::{core::Core, network::JobDoor, programs::check_unchanged, terminals};

/// How long a supervisor may take to notice that nobody holds it any more, and how often it is asked.
const NOTICING: Duration = Duration::from_millis(50);
const ATTACHMENTS: u32 = 20;
/// How long a program at a terminal may take to write its conversation down after it has shown it.
const WRITING: Duration = Duration::from_secs(1);
/// What the owner reads where records are missing.
const NOTE_SHORT: &str =
    "the end of its records was lost, so some of what the coding agent did then is not counted or shown";
const NOTE_OTHER: &str =
    "its records were begun anew, so some of what the coding agent did before is not counted or shown";
/// The coding agent's home in the job's directory.
const HOME: &str = "home";

/// A coding agent under its supervisor.
pub(super) struct Driven {
    driver: Driver<Supervised>,
    supervised: Supervised,
    registry: Registry,
    outfit: Outfit,
    /// What each conversation starts from.
    base: Start,
    /// The variables that hold placeholders.
    placeholders: BTreeSet<String>,
    store: Store,
    home: Workspace,
    workspace: WorkspaceName,
    prices: Option<Prices>,
    /// Records up to here are an earlier supervisor's, whose programs are gone; 0 where there was none.
    lost: u64,
    /// The end of a supervisor that cannot be followed.
    farewell: Farewell,
    /// Ends the serving of the way out; connections wait then for whoever serves next.
    _serving: DropGuard,
}

impl Driven {
    /// Takes up the supervisor of a job, or starts one in its directory.
    pub async fn open(core: &Arc<Core>, job: &Job, tree: &Workspace, directory: &Path) -> Result<Self, JobTrouble> {
        let outfit = Outfit::of(core, &job.memory.coder).map_err(JobTrouble::lasting)?;
        let workspace = job.spec.workspace.clone();
        make_home(&directory.join(HOME)).map_err(|error| JobTrouble::passing(format!("the job's home: {error}")))?;
        let (attached, way_out, is_new) = match attach(directory).await.map_err(not_attached)? {
            Some(attached) => {
                let again = outfit.door_again(core, job.session, &workspace, &attached.custody);
                (attached, again.map_err(JobTrouble::lasting)?, false)
            }
            None => {
                let (attached, way_out) = begin(core, job, tree, directory, &outfit).await?;
                (attached, way_out, true)
            }
        };
        let placeholders = way_out.env.keys().cloned().collect();
        let Attached { supervised, door: socket, .. } = attached;
        let lost = if is_new { supervised.written() } else { 0 };
        let base = outfit.start(&way_out, job.memory.model.as_deref(), job.memory.fresh.clone());
        let ending = CancellationToken::new();
        core.tasks.spawn(door::serve(way_out, socket, ending.clone()));
        let name = WorkspaceName::new(HOME).map_err(JobTrouble::lasting)?;
        let home = Workspace::open(name, &directory.join(HOME)).map_err(JobTrouble::passing)?;
        let registry = registry(&core.live().config);
        let after = Cursor { seq: job.cursor.record, index: job.cursor.item, at: job.memory.record_at };
        let attach = Driver::attach(supervised.clone(), registry.clone(), after, outfit.stall);
        let driver = attach.await.map_err(JobTrouble::passing)?;
        let prices = prices(core, job);
        let _serving = ending.drop_guard();
        let store = core.store.clone();
        Ok(Self {
            driver,
            supervised,
            registry,
            outfit,
            base,
            placeholders,
            store,
            home,
            workspace,
            prices,
            lost,
            farewell: Farewell::new(core.tasks.clone()),
            _serving,
        })
    }

    fn grant(&self) -> Grant {
        decide_own(Act::JobWork, self.workspace.clone())
    }

    /// Gives a prompt to the program that runs, or to a new one.
    async fn prompt(&mut self, job: &Job, text: String) -> Result<(), NotTold> {
        let name = self.outfit.name.clone();
        let is_other = self.driver.coder() != Some(&name) || job.memory.conversation.is_none();
        if self.driver.is_running() && is_other && self.driver.conversation().is_some() {
            self.driver.kill("another conversation is begun").await.map_err(not_told)?;
        }
        if self.driver.is_broken() {
            self.driver.kill("nothing more can come of it").await.map_err(not_told)?;
        }
        if !self.driver.is_running() {
            let registry = self.registry.clone();
            let coder = registry.get(&name).ok_or_else(|| {
                JobTrouble::lasting(format!("this version cannot drive the coding agent `{}`", job.memory.coder))
            })?;
            let start = self.start(job);
            let launch = coder.launch(&start, Some(&text));
            let is_silent = launch.transport == Transport::Silent;
            let launch = if is_silent { launch } else { coder.launch(&start, None) };
            let launch = self.dressed(launch);
            record(&self.store, &self.outfit, job, &start, false).await?;
            self.seed(&launch.seed)?;
            let first = is_silent.then_some(text.as_str());
            let grant = self.grant();
            self.driver.start(&grant, &name, &start, first, &launch).await.map_err(not_told)?;
            if is_silent {
                return Ok(());
            }
        }
        self.driver.command(CoderCommand::Prompt { text }).await.map_err(not_told)
    }

    /// A launch as it is here.
    fn dressed(&self, mut launch: Launch) -> Launch {
        launch.argv = self.outfit.argv(launch.argv);
        // The owner's variables win over the launch's, and placeholders over both.
        launch.env.extend(self.outfit.env.clone());
        launch.env.retain(|name, _| !self.placeholders.contains(name));
        launch
    }

    /// Ends the program and opens its conversation at a terminal. False when that was done before and is over.
    async fn open_terminal(&mut self, job: &Job) -> Result<bool, NotTold> {
        match takeover::terminal(&self.supervised, self.lost).await {
            Terminal::Open => return Ok(true),
            Terminal::Closed => return Ok(false),
            Terminal::Unopened => {}
        }
        let registry = self.registry.clone();
        let Some(coder) = registry.get(&self.outfit.name) else {
            return Err(NotTold::Unsupported(format!("this version cannot drive `{}`", self.outfit.name)));
        };
        let start = self.start(job);
        if start.resume.is_none() && coder.launch(&start, None).transport != Transport::Silent {
            // Two programs cannot begin the same conversation.
            return Err(NotTold::Unsupported("its conversation has only just begun; try again in a moment".to_owned()));
        }
        let launch = self.dressed(coder.interactive(&start));
        self.driver.kill("the owner takes over").await.map_err(not_told)?;
        self.seed(&launch.seed)?;
        record(&self.store, &self.outfit, job, &start, true).await?;
        let program = TerminalProgram { argv: launch.argv, env: launch.env, directory: None, size: terminals::SIZE };
        self.supervised.open_terminal(&self.grant(), program).await.map_err(JobTrouble::passing)?;
        Ok(true)
    }

    fn said(&self, said: coders::Said) -> Said {
        let Cursor { seq, index, at } = said.cursor;
        Said { record: seq, item: index, at, event: self.priced(said.event) }
    }

    fn start(&self, job: &Job) -> Start {
        let memory = &job.memory;
        let counted = memory.counted;
        Start {
            resume: memory.conversation.clone(),
            // Each start has its own: a program may refuse what it has seen before.
            fresh: if memory.conversation.is_some() { telling::fresh() } else { memory.fresh.clone() },
            spent: Totals { usage: counted.usage, cost: Some(counted.cost) },
            ..self.base.clone()
        }
    }

    /// Writes what the program expects in its home. Whatever lies there may have been bent by the coding agent, so it is
    /// reached as workspace files are: beneath the directory alone.
    fn seed(&self, seed: &[coders::SeedFile]) -> Result<(), JobTrouble> {
        let failed = |error: sandbox::FileError| JobTrouble::lasting(format!("its home cannot be prepared: {error}"));
        let files = Files::new(&self.home).map_err(failed)?;
        let grant = decide_own(Act::JobWork, self.home.name.clone());
        for file in seed {
            let path = Path::new(&file.path);
            if file.keep && files.stat(&grant, path).is_ok() {
                continue;
            }
            files.write(&grant, path, file.content.as_bytes()).map_err(failed)?;
        }
        Ok(())
    }

    /// A cost by the owner's prices, where the coding agent tells none.
    fn priced(&self, event: CoderEvent) -> CoderEvent {
        match (event, &self.prices) {
            (CoderEvent::Spent(totals), Some(prices)) if totals.cost.is_none() => {
                CoderEvent::Spent(Totals { cost: Some(prices.cost(&totals.usage)), ..totals })
            }
            (event, _) => event,
        }
    }
}

/// Looks whether the program is still the one that was installed, and writes down that it is about to start, for itself or at a
/// terminal for the owner. Without either nothing may happen.
async fn record(store: &Store, outfit: &Outfit, job: &Job, start: &Start, is_terminal: bool) -> Result<(), JobTrouble> {
    check_unchanged(&outfit.program).await.map_err(JobTrouble::lasting)?;
    let detail = json!({
        "job": job.id, "coder": outfit.name, "program": outfit.program.path,
        "version": outfit.program.installed.as_ref().map(|installed| &installed.version),
        "model": start.model, "resumes": start.resume.is_some(), "terminal": is_terminal, "decision": "allow",
    });
    let kind = AuditKind::ToolIntent;
    let entry = AuditEntry { session: Some(job.session), turn: job.turn, call: None, kind, detail };
    store.audit().append(entry).await.map(drop).map_err(|error| {
        JobTrouble::passing(format!("nothing was started, because the audit log cannot be written: {error}"))
    })
}

/// Takes up the supervisor in a directory. One that we just let go of may not have noticed yet.
pub(super) async fn attach(directory: &Path) -> Result<Option<Attached>, SandboxError> {
    for _ in 0..ATTACHMENTS {
        match Supervised::attach(directory).await {
            // It will not learn our language by waiting, and for an answer was waited long enough.
            found @ (Ok(_) | Err(SandboxError::Foreign(_) | SandboxError::Mute(_))) => return found,
            Err(_) => tokio::time::sleep(NOTICING).await,
        }
    }
    Supervised::attach(directory).await
}

/// Ends the supervisor in a directory, whatever it speaks, if there is one. One that we just let go of may not have noticed yet.
pub(super) async fn put_down(directory: &Path) -> Result<bool, SandboxError> {
    for _ in 0..ATTACHMENTS {
        if let Ok(was_there) = Supervised::put_down(directory).await {
            return Ok(was_there);
        }
        tokio::time::sleep(NOTICING).await;
    }
    Supervised::put_down(directory).await
}

/// Why a job cannot go on with the supervisor that it has. One of another version is ended with the job, which loses nothing but
/// what its program was just doing.
fn not_attached(error: SandboxError) -> JobTrouble {
    match error {
        SandboxError::Foreign(why) => JobTrouble::lasting(format!(
            "another version of factotum started this job's supervisor, which this one cannot speak with ({why}); it is ended, the \
             job's tree stays as it is, and `factotum job resume` goes on from there"
        )),
        error => JobTrouble::passing(error),
    }
}

/// Starts the supervisor of a job with its sandbox.
async fn begin(
    core: &Arc<Core>,
    job: &Job,
    tree: &Workspace,
    directory: &Path,
    outfit: &Outfit,
) -> Result<(Attached, JobDoor), JobTrouble> {
    let way_out = outfit.door(core, job.session, &job.spec.workspace).map_err(JobTrouble::lasting)?;
    let mut sandbox = core.pool.specification(tree).map_err(JobTrouble::passing)?;
    sandbox.fixed = guard::of_job(job, directory).map_err(JobTrouble::lasting)?;
    let minutes = job.spec.limits.minutes.saturating_mul(2).max(60);
    let total = Duration::from_secs(minutes.saturating_mul(60)).max(SupervisorLimits::default().total);
    let limits = SupervisorLimits { total, ..SupervisorLimits::default() };
    let spec = outfit.supervised(sandbox, &way_out, directory.to_owned(), limits);
    core.pool.check(&spec.sandbox).map_err(JobTrouble::lasting)?;
    let grant = decide_own(Act::JobWork, job.spec.workspace.clone());
    let attached = Supervised::start(&grant, spec).await.map_err(JobTrouble::passing)?;
    Ok((attached, way_out))
}

/// What a job's model costs by the configuration.
fn prices(core: &Core, job: &Job) -> Option<Prices> {
    let live = core.live();
    let coder = live.config.coders.get(&job.memory.coder)?;
    let model = job.memory.model.as_ref().or(coder.model.as_ref());
    let named = model.and_then(|model| coder.prices.get(model));
    named.or_else(|| if coder.prices.len() == 1 { coder.prices.values().next() } else { None }).copied()
}

fn make_home(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn not_told(error: DriverError) -> NotTold {
    match error {
        DriverError::Unsupported(unsupported) => NotTold::Unsupported(unsupported.to_string()),
        DriverError::NotRunning => NotTold::Unsupported("its program does not run".to_owned()),
        DriverError::Idle => NotTold::Unsupported(error.to_string()),
        DriverError::Unknown(_) | DriverError::Host(SandboxError::TooLarge { .. }) => {
            NotTold::Trouble(JobTrouble::lasting(error))
        }
        DriverError::Running
        | DriverError::NotAsked(_)
        | DriverError::Host(_)
        | DriverError::Slow
        | DriverError::Stuck => NotTold::Trouble(JobTrouble::passing(error)),
    }
}

impl Hand for Driven {
    fn next(&mut self) -> BoxFuture<'_, Option<Said>> {
        Box::pin(async move {
            if self.farewell.is_begun() {
                self.farewell.done().await;
                return None;
            }
            match self.driver.next().await {
                Ok(Some(said)) => Some(self.said(said)),
                Ok(None) => None,
                Err(error) => {
                    tracing::error!(%error, "a coding agent cannot be followed; its supervisor is ended");
                    let supervised = self.supervised.clone();
                    self.farewell.begin(async move { supervised.end().await });
                    self.farewell.done().await;
                    None
                }
            }
        })
    }

    fn taken_up(&self) -> Option<TakenUp> {
        let Cursor { seq, index, at } = self.driver.after();
        let note = match self.driver.lost()? {
            Lost::Short => NOTE_SHORT.to_owned(),
            Lost::Other => NOTE_OTHER.to_owned(),
        };
        Some(TakenUp { record: seq, item: index, at, note })
    }

    fn commands(&self) -> u64 {
        self.driver.commands()
    }

    fn is_refused(&self) -> bool {
        self.driver.is_refused()
    }

    fn is_busy(&self) -> bool {
        self.driver.is_busy()
    }

    fn pending(&self) -> Vec<Permission> {
        self.driver.permissions().cloned().collect()
    }

    fn command<'a>(&'a mut self, job: &'a Job, command: CoderCommand) -> BoxFuture<'a, Result<(), NotTold>> {
        Box::pin(async move {
            match command {
                CoderCommand::Prompt { text } => self.prompt(job, text).await,
                command => match self.driver.command(command).await {
                    // It was answered before, or withdrawn.
                    Err(DriverError::NotAsked(_)) => Ok(()),
                    done => done.map_err(not_told),
                },
            }
        })
    }

    fn unheard(&mut self) -> BoxFuture<'_, Option<Said>> {
        Box::pin(async move { self.driver.unheard().await.map(|said| self.said(said)) })
    }

    fn sit_down<'a>(&'a mut self, job: &'a Job) -> BoxFuture<'a, Result<bool, NotTold>> {
        Box::pin(self.open_terminal(job))
    }

    fn stood_up(&mut self) -> BoxFuture<'_, bool> {
        Box::pin(takeover::closed(self.supervised.clone(), self.lost))
    }

    fn stand_up(&mut self) -> BoxFuture<'_, Result<(), JobTrouble>> {
        Box::pin(async move {
            tokio::time::sleep(WRITING).await;
            self.supervised.close_terminal().await.map_err(JobTrouble::passing)
        })
    }

    fn end_program(&mut self) -> BoxFuture<'_, Result<(), JobTrouble>> {
        Box::pin(async move { self.driver.kill("the job ends").await.map_err(JobTrouble::passing) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_supervisor_is_tried_again_and_one_of_another_version_is_not() {
        let trouble = not_attached(SandboxError::Mute(45));
        assert!(trouble.may_pass && !trouble.error.contains("another version"), "{trouble:?}");
        let trouble = not_attached(SandboxError::Foreign("it speaks another language: 7".to_owned()));
        assert!(!trouble.may_pass && trouble.error.contains("another version"), "{trouble:?}");
    }
}

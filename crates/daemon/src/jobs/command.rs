//! What the owner, their chats and the `job` tool can ask of jobs.

use std::sync::Arc;

use store::{Job, JobSince, NewInbox, NewJob, StoreError};
use types::{
    ChannelId, Failure, JobId, JobSpec, JobState, Label, Origin, Place, RecipeCall, Seq, Then, WhenBusy, WorkspaceName,
};

use super::{
    engine::is_over,
    phases::{self, MAX_PHASES},
    prompts,
    recipes::{self, RecipeError},
    report,
    telling::{forget_conversation, prompt_with},
    view::position,
    worker::MAX_ROUNDS,
};
use crate::{
    api::views::{RecipeView, RecipesView},
    commands::send,
    core::{Core, shown as harmless},
    failure::{stored, user},
};

/// How many jobs a chat lists.
const LISTED: usize = 15;
/// The most jobs that may wait.
const MAX_WAITING: usize = 100;

/// Who asks for a job.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub origin: Origin,
    /// Where to report.
    pub channel: ChannelId,
    pub reply_to: Option<String>,
    /// With which message; the same one starts one job.
    pub message: String,
    /// The label of the session that asks.
    pub label: Label,
}

/// Queues a job. The flag is true when the same message had queued it before; the number is the journal's end before it.
pub(crate) async fn start(core: &Arc<Core>, spec: JobSpec, asked: Asked) -> Result<(Job, bool, Seq), Failure> {
    let spec = check(core, spec).await?;
    let since = core.store.last_seq().map_err(stored)?;
    let new = NewJob {
        spec,
        origin: asked.origin,
        reply_to: asked.reply_to,
        asked: format!("{}:{}", asked.channel, asked.message),
        reply_channel: asked.channel,
        label: asked.label,
    };
    let queued = core.store.transact(move |tx| tx.queue_job(new)).await;
    let (job, duplicate) = queued.map_err(stored)?;
    core.jobs.queued().await;
    Ok((job, duplicate, since))
}

/// The job that a recipe makes, in the workspace of the present session where none is named.
pub(crate) fn from_recipe(core: &Core, call: &RecipeCall) -> Result<JobSpec, Failure> {
    let recipe = recipes::find(core.home.path(), &call.recipe).map_err(mistaken)?;
    recipe.expand(call, present_workspace(core)?).map_err(mistaken)
}

/// What there is to start jobs by, and what each recipe would do.
pub(crate) fn recipe_list(core: &Core) -> RecipesView {
    recipes::list(core.home.path())
}

/// The recipes, a line each.
pub(crate) fn recipe_lines(core: &Core) -> Vec<String> {
    recipe_list(core).lines()
}

/// One recipe with what it would do.
pub(crate) fn recipe(core: &Core, call: &RecipeCall) -> Result<RecipeView, Failure> {
    recipes::view(core.home.path(), call, present_workspace(core)?).map_err(mistaken)
}

fn mistaken(error: RecipeError) -> Failure {
    let hint = match &error {
        RecipeError::Unknown { .. } => "`factotum job recipes` or /job recipes lists them".to_owned(),
        RecipeError::File { .. } => "correct the file".to_owned(),
        RecipeError::Parameter { recipe, .. } => {
            format!("`factotum job recipes {recipe}` or /job recipes {recipe} tells what it takes")
        }
    };
    user(error.to_string(), hint)
}

/// The workspace of the present session.
pub(crate) fn present_workspace(core: &Core) -> Result<WorkspaceName, Failure> {
    let present = core.store.session(core.current_session()?).map_err(stored)?;
    Ok(present.map_or_else(|| core.live().default_workspace.clone(), |session| session.workspace))
}

/// Checks what can be checked before a job gets its place, and masks secrets in its task.
async fn check(core: &Arc<Core>, mut spec: JobSpec) -> Result<JobSpec, Failure> {
    core.workspace(&spec.workspace)?;
    send::fits(&spec.brief)?;
    if spec.brief.trim().is_empty() {
        return Err(user("the task is empty", "say what is to be done"));
    }
    spec.brief = core.leaks.take_in(spec.brief, "the task of a job".to_owned()).await;
    for phase in &mut spec.phases {
        send::fits(&phase.brief)?;
        let brief = std::mem::take(&mut phase.brief);
        phase.brief = core.leaks.take_in(brief, "the task of a job".to_owned()).await;
    }
    if spec.coder.is_empty() {
        spec.coder = usual_coder(core)?;
    }
    known_coder(core, &spec.coder)?;
    if spec.done.as_ref().is_some_and(|done| done.command.trim().is_empty() || done.timeout_s == 0) {
        return Err(user("the done condition has no command or no time", "name a command, such as `cargo test`"));
    }
    if let Place::Branch { branch, .. } = &spec.place
        && (branch.trim().is_empty() || branch.starts_with('-') || branch.len() > 200)
    {
        return Err(user("that is no name for a branch", "use letters, digits, `-`, `_`, `.` and `/`"));
    }
    fits_together(&spec)?;
    let waiting = core.store.open_jobs().map_err(stored)?;
    if waiting.iter().filter(|job| job.state == JobState::Queued).count() >= MAX_WAITING {
        return Err(user(format!("{MAX_WAITING} jobs wait already"), "stop some of them first"));
    }
    Ok(spec)
}

/// Phases are committed, and a review is not.
fn fits_together(spec: &JobSpec) -> Result<(), Failure> {
    if spec.phases.len() > MAX_PHASES {
        return Err(user(format!("a job has at most {MAX_PHASES} phases"), "make several jobs of it"));
    }
    if !spec.phases.is_empty() && spec.then == Then::Nothing {
        return Err(user("each phase of a job is committed", "let `then` be `commit`, `push` or `pr`"));
    }
    let is_apart = matches!(spec.place, Place::Branch { .. });
    if spec.review == Some(0) {
        return Err(user("pull requests are counted from 1", "name the one that is to be reviewed"));
    }
    if spec.review.is_some() && (!is_apart || spec.then != Then::Nothing || !spec.phases.is_empty()) {
        let hint = "start it with the recipe `review-pr`";
        return Err(user("a review works on a branch of its own, in one piece, and commits nothing", hint));
    }
    Ok(())
}

/// The coding agents that there are.
fn coders(core: &Core) -> Vec<String> {
    core.jobs.shop().map(|shop| shop.coders()).unwrap_or_default()
}

/// The coding agent of jobs that name none.
fn usual_coder(core: &Core) -> Result<String, Failure> {
    let configured = core.live().config.jobs.coder.clone();
    let hint = "configure one under [coders] in config.toml";
    configured.or_else(|| coders(core).into_iter().next()).ok_or_else(|| user("there is no coding agent", hint))
}

fn known_coder(core: &Core, name: &str) -> Result<(), Failure> {
    let known = coders(core);
    if known.iter().any(|coder| coder == name) {
        return Ok(());
    }
    let hint = if known.is_empty() { "there are none".to_owned() } else { format!("there are: {}", known.join(", ")) };
    Err(user(format!("there is no coding agent `{}`", harmless(name)), hint))
}

/// The job of this number.
pub(crate) fn find(core: &Core, id: JobId) -> Result<Job, Failure> {
    let job = core.store.job(id).map_err(stored)?;
    job.ok_or_else(|| user(format!("there is no job {id}"), "`factotum job list` or /jobs lists them"))
}

/// Says something to a job's coding agent. It goes through the inbox of the job's session, so that it is told once.
pub(crate) async fn steer(core: &Arc<Core>, id: JobId, text: String, said: Asked) -> Result<String, Failure> {
    send::fits(&text)?;
    let job = find(core, id)?;
    if is_over(&job) {
        return Err(user(format!("job {id} is over"), format!("go on with `factotum job resume {id}`")));
    }
    if text.trim().is_empty() {
        return Err(user("there is nothing to say", "write what it should do differently"));
    }
    let text = core.leaks.take_in(text, "the owner's words to a job".to_owned()).await;
    let row = NewInbox {
        channel: said.channel,
        remote_id: said.message,
        session: job.session,
        text,
        reply_to: None,
        when_busy: WhenBusy::Steer,
        origin: said.origin,
    };
    let heard = move |tx: &mut store::Tx<'_>| {
        if tx.job(id)?.is_none_or(|job| is_over(&job)) {
            // It ended meanwhile. Words in its session would begin a task of their own.
            return Ok(false);
        }
        tx.receive(row).map(|_| true)
    };
    if !core.store.transact(heard).await.map_err(stored)? {
        return Err(user(format!("job {id} is over"), format!("go on with `factotum job resume {id}`")));
    }
    crate::sessions::wake(core, job.session, WhenBusy::Steer).await;
    Ok(format!("job {id} is told as soon as it can hear"))
}

/// Ends a job.
pub(crate) async fn stop_one(core: &Arc<Core>, id: JobId) -> Result<String, Failure> {
    let job = find(core, id)?;
    if is_over(&job) {
        return Ok(format!("job {id} was over already"));
    }
    crate::sessions::stop(core, Some(job.session)).await;
    Ok(format!("job {id} is stopped"))
}

/// Lets a job that is over go on, perhaps with another coding agent.
pub(crate) async fn resume(
    core: &Arc<Core>,
    id: JobId,
    coder: Option<String>,
    text: Option<String>,
) -> Result<(Job, Seq), Failure> {
    let mut job = find(core, id)?;
    if !is_over(&job) {
        return Err(user(
            format!("job {id} is not over"),
            format!("say something to it with `factotum job steer {id}`"),
        ));
    }
    if !core.jobs.settle(id).await {
        return Err(user(format!("job {id} is still being ended"), "try again in a moment"));
    }
    core.workspace(&job.spec.workspace)?;
    if core.sessions.running_turn(job.session).is_some() {
        return Err(user(format!("a task runs in the session of job {id}"), "wait for it, or stop it"));
    }
    let text = match text {
        Some(text) => {
            send::fits(&text)?;
            Some(core.leaks.take_in(text, "the owner's words to a job".to_owned()).await)
        }
        None => None,
    };
    if let Some(coder) = &coder {
        known_coder(core, coder)?;
    }
    let since = core.store.last_seq().map_err(stored)?;
    let tried = core.store.job_rounds(id, MAX_ROUNDS).map_err(stored)?;
    go_on(&mut job, coder, text, &tried, core.clock.now());
    let saved = job.clone();
    let resume = move |tx: &mut store::Tx<'_>| {
        // Somebody else may have resumed it in the same moment.
        let present = tx.job(saved.id)?.is_some_and(|job| is_over(&job));
        if !present {
            return Err(StoreError::Conflict(format!("job {} is not over any more", saved.id)));
        }
        tx.save_job(&saved)
    };
    crate::jobs::trade::forget_landing(core, id).map_err(crate::failure::internal)?;
    core.store.transact(resume).await.map_err(stored)?;
    core.jobs.queued().await;
    Ok((job, since))
}

/// A job that is over as it waits to go on. What is told of the time before stays in its report of that time and in its rounds.
fn go_on(job: &mut Job, coder: Option<String>, text: Option<String>, tried: &[types::JobRound], now: types::Timestamp) {
    let is_other = coder.as_ref().is_some_and(|coder| *coder != job.memory.coder);
    if let Some(coder) = coder.filter(|_| is_other) {
        forget_conversation(job);
        (job.memory.coder, job.memory.model) = (coder, None);
    }
    if job.memory.is_phase_untold && phases::is_fresh(job) {
        forget_conversation(job);
    }
    let knows = job.memory.conversation.is_some();
    let order = match (knows, job.memory.rounds) {
        (_, 0) => {
            // It goes with the first prompt, which is still to be given.
            job.memory.words.extend(text);
            None
        }
        (is_known, _) => {
            let mut words = std::mem::take(&mut job.memory.words);
            let prompt = match (is_known, job.memory.is_phase_untold) {
                (false, _) => prompts::hand_over(job, tried, text.as_deref()),
                (true, false) => prompts::again(text.as_deref()),
                (true, true) => {
                    words.extend(text);
                    prompts::next_phase(job)
                }
            };
            Some(prompt_with(job, prompt, words))
        }
    };
    let memory = &mut job.memory;
    (memory.order, memory.is_phase_untold) = (order, false);
    (memory.troubles, memory.retry_at, memory.paused_at, memory.ending) = (0, None, None, None);
    (memory.report, memory.last_error, memory.changes) = (None, None, None);
    (memory.said, memory.notes) = (String::new(), Vec::new());
    (memory.same, memory.signature, memory.questions) = (0, None, 0);
    memory.since = JobSince { at: now, ..memory.since };
    memory.moved_at = now;
    (job.state, job.turn, job.started_at, job.ended_at, job.queued_at) = (JobState::Queued, None, None, None, now);
}

/// What a job has changed since it began.
pub(crate) async fn diff(core: &Arc<Core>, id: JobId) -> Result<String, Failure> {
    let job = find(core, id)?;
    let Some(shop) = core.jobs.shop().cloned() else { return Err(crate::failure::internal("jobs are not ready")) };
    let patch = shop
        .diff(&job)
        .await
        .map_err(|trouble| user(trouble.error, format!("`factotum job show {id}` has what is known of its changes")))?;
    Ok(core.leaks.mask(&patch).into_owned())
}

/// The latest jobs, a line each.
pub(crate) fn listed(core: &Core) -> Result<String, Failure> {
    let jobs = core.store.jobs(LISTED).map_err(stored)?;
    if jobs.is_empty() {
        return Ok("there are no jobs; /job start TASK begins one".to_owned());
    }
    let lines: Result<Vec<_>, _> = jobs.iter().map(|job| line(core, job)).collect();
    Ok(lines?.join("\n"))
}

fn line(core: &Core, job: &Job) -> Result<String, Failure> {
    let now = core.clock.now();
    let pause = report::pause(job, position(&core.store, job).map_err(stored)?, now);
    Ok(report::line(job, pause.as_ref(), now))
}

/// One job in words.
pub(crate) fn shown(core: &Core, id: JobId) -> Result<String, Failure> {
    let job = find(core, id)?;
    if let Some(report) = &job.memory.report {
        return Ok(report.clone());
    }
    let tried = core.store.job_rounds(id, MAX_ROUNDS).map_err(stored)?;
    let last = job.memory.last.as_deref().map(|last| format!("\nLast: {}", report::theirs(last))).unwrap_or_default();
    let tried: String = tried.iter().map(|round| format!("\n{}", report::round(round))).collect();
    Ok(format!("{}{last}{tried}", line(core, &job)?))
}

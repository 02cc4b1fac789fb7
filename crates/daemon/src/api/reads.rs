//! The API's reads: views of the store.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    extract::{Path, Query, State},
};
use serde::Deserialize;
use serde_json::Value;
use store::{StoredMessage, Turn, TurnState};
use types::{Allowance, Envelope, JobId, JobView, OwnerRequest, Proposal, RecipeCall, Seq, TurnId, WorkspaceName};

use super::{
    commands::Refused,
    views::{
        Check, CoderView, Health, JobDiff, MessageView, ModelCost, ModelsView, RecipeView, RecipesView, SessionView,
        SnapshotView, Status, TurnView, WhyView,
    },
};
use crate::{
    commands,
    core::Core,
    deliver, doctor,
    failure::{internal, stored, user},
    jobs, programs, status,
};

/// The most sessions, messages and records of one answer.
const MAX_ROWS: usize = 1_000;

type Answer<T> = Result<Json<T>, Refused>;

pub(super) async fn health(State(core): State<Arc<Core>>) -> Answer<Health> {
    let last_seq = core.store.last_seq().map_err(stored)?;
    Ok(Json(Health { version: env!("CARGO_PKG_VERSION").to_owned(), pid: std::process::id(), last_seq }))
}

pub(super) async fn sessions(State(core): State<Arc<Core>>) -> Answer<Vec<SessionView>> {
    let current = core.current_session()?;
    let sessions = core.store.sessions(MAX_ROWS).map_err(stored)?;
    let views = sessions.into_iter().map(|session| SessionView {
        id: session.id,
        key: session.key,
        title: session.title,
        workspace: session.workspace,
        label: session.label,
        updated_at: session.updated_at,
        current: session.id == current,
        running: core.sessions.running_turn(session.id),
    });
    Ok(Json(views.collect()))
}

pub(super) async fn messages(State(core): State<Arc<Core>>, Path(session): Path<i64>) -> Answer<Vec<MessageView>> {
    let session = core.find_session(&session.to_string())?;
    let messages = core.store.messages(session.id, None, MAX_ROWS).map_err(stored)?;
    let view = |message: StoredMessage| MessageView {
        id: message.id,
        turn: message.turn,
        role: message.role,
        blocks: message.blocks,
        at: message.at,
    };
    let mut views: Vec<MessageView> = messages.into_iter().map(view).collect();
    views.sort_by_key(|message| message.id);
    Ok(Json(views))
}

pub(super) async fn why(State(core): State<Arc<Core>>, Path(session): Path<i64>) -> Answer<WhyView> {
    let session = core.find_session(&session.to_string())?;
    Ok(Json(commands::why::view(&core, &session)?))
}

pub(super) async fn coders(State(core): State<Arc<Core>>) -> Answer<Vec<CoderView>> {
    Ok(Json(programs::list(&core).await?))
}

/// Which models are meant.
#[derive(Deserialize)]
pub(super) struct WhichModels {
    /// Whether the vendors are asked for all that they have.
    #[serde(default)]
    all: bool,
    /// Of this provider only.
    provider: Option<String>,
}

pub(super) async fn models(State(core): State<Arc<Core>>, Query(which): Query<WhichModels>) -> Answer<ModelsView> {
    Ok(Json(commands::model::list(&core, which.all, which.provider.as_deref()).await?))
}

pub(super) async fn model_costs(State(core): State<Arc<Core>>) -> Answer<Vec<ModelCost>> {
    Ok(Json(commands::model::costs(&core)?))
}

pub(super) async fn proposals(State(core): State<Arc<Core>>) -> Answer<Vec<Proposal>> {
    Ok(Json(core.store.open_proposals().map_err(stored)?))
}

pub(super) async fn turn(State(core): State<Arc<Core>>, Path(id): Path<i64>) -> Answer<TurnView> {
    let turn = core.store.turn(TurnId(id)).map_err(stored)?;
    let turn = turn.ok_or_else(|| user(format!("there is no turn {id}"), "events name the turns"))?;
    let changes = deliver::changes(&core, &turn).await;
    Ok(Json(turn_view(turn, changes)))
}

fn turn_view(turn: Turn, changes: Option<String>) -> TurnView {
    TurnView {
        id: turn.id,
        session: turn.session,
        origin: turn.origin,
        model: turn.model,
        step: turn.step,
        started_at: turn.started_at,
        ended_at: turn.ended_at,
        end: match turn.state {
            TurnState::Running => None,
            TurnState::Ended(end) => Some(end),
        },
        text: turn.text,
        changes,
    }
}

/// All jobs, latest first.
pub(super) async fn jobs(State(core): State<Arc<Core>>) -> Answer<Vec<JobView>> {
    let jobs = core.store.jobs(MAX_ROWS).map_err(stored)?;
    let views: Result<Vec<JobView>, _> =
        jobs.into_iter().map(|job| jobs::view(&core.store, job, core.clock.now())).collect();
    Ok(Json(views.map_err(stored)?))
}

pub(super) async fn job(State(core): State<Arc<Core>>, Path(id): Path<i64>) -> Answer<JobView> {
    let job = jobs::find(&core, JobId(id))?;
    Ok(Json(jobs::view(&core.store, job, core.clock.now()).map_err(stored)?))
}

/// What happened in a job after a place in the journal, oldest first, at most 1,000.
pub(super) async fn job_log(
    State(core): State<Arc<Core>>,
    Path(id): Path<i64>,
    Query(place): Query<After>,
) -> Answer<Vec<Envelope>> {
    let job = jobs::find(&core, JobId(id))?;
    let after = Seq(place.after.and_then(|after| i64::try_from(after).ok()).unwrap_or(0));
    Ok(Json(core.store.events_after(after, Some(job.session), MAX_ROWS).map_err(stored)?))
}

/// The recipes of jobs.
pub(super) async fn recipes(State(core): State<Arc<Core>>) -> Answer<RecipesView> {
    Ok(Json(jobs::recipe_list(&core)))
}

/// One recipe, with what it would do with these parameters.
pub(super) async fn recipe(
    State(core): State<Arc<Core>>,
    Path(recipe): Path<String>,
    Query(set): Query<BTreeMap<String, String>>,
) -> Answer<RecipeView> {
    let call = RecipeCall { recipe, set, ..RecipeCall::default() };
    Ok(Json(jobs::recipe(&core, &call)?))
}

/// What a job has changed since it began.
pub(super) async fn job_diff(State(core): State<Arc<Core>>, Path(id): Path<i64>) -> Answer<JobDiff> {
    Ok(Json(JobDiff { patch: jobs::diff(&core, JobId(id)).await? }))
}

pub(super) async fn approvals(State(core): State<Arc<Core>>) -> Answer<Vec<OwnerRequest>> {
    let mut open = core.store.open_requests().map_err(stored)?;
    open.sort_by_key(|request| request.id);
    Ok(Json(open))
}

pub(super) async fn allowances(State(core): State<Arc<Core>>) -> Answer<Vec<Allowance>> {
    Ok(Json(core.store.allowances().map_err(stored)?))
}

/// Which workspace.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    workspace: Option<WorkspaceName>,
}

pub(super) async fn snapshots(State(core): State<Arc<Core>>, Query(which): Query<Which>) -> Answer<Vec<SnapshotView>> {
    let workspace = match which.workspace {
        Some(name) => core.workspace(&name)?.name,
        None => {
            let session = core.store.session(core.current_session()?).map_err(stored)?;
            session.map(|session| session.workspace).ok_or_else(|| internal("the present session is missing"))?
        }
    };
    let rows = core.store.snapshots(&workspace).map_err(stored)?;
    let mut views: Vec<SnapshotView> = rows
        .into_iter()
        .map(|row| SnapshotView { id: row.id, workspace: row.workspace, turn: row.turn, at: row.at })
        .collect();
    views.sort_by_key(|view| std::cmp::Reverse(view.id));
    Ok(Json(views))
}

pub(super) async fn status(State(core): State<Arc<Core>>) -> Answer<Status> {
    Ok(Json(status::status(&core)?))
}

pub(super) async fn doctor(State(core): State<Arc<Core>>) -> Answer<Vec<Check>> {
    Ok(Json(doctor::running(&core)))
}

/// Where to begin.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct After {
    after: Option<u64>,
}

pub(super) async fn log(State(core): State<Arc<Core>>, Query(place): Query<After>) -> Answer<Vec<Value>> {
    let home = core.home.path().to_owned();
    let after = place.after.unwrap_or(0);
    // The log is a file that may be long; reading it must not hold up the others.
    let read = tokio::task::spawn_blocking(move || crate::offline::log_show(&home, after, MAX_ROWS));
    Ok(Json(read.await.map_err(internal)??))
}

/// Every other address.
pub(super) async fn nothing() -> Refused {
    let failure = user("there is nothing at this address", "the routes are under /v1; see the manual's API page");
    Refused { status: axum::http::StatusCode::NOT_FOUND, failure }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_turn_has_no_end() {
        let turn = Turn {
            id: TurnId(1),
            session: types::SessionId(1),
            origin: types::Origin::Owner,
            model: "lab/m".to_owned(),
            state: TurnState::Running,
            step: 2,
            reply_channel: types::ChannelId::api(),
            reply_to: None,
            started_at: types::Timestamp(1),
            ended_at: None,
            text: String::new(),
            inbox: Vec::new(),
        };
        assert_eq!(turn_view(turn, None).end, None);
    }
}

//! The client that the command line uses: the API over the home's Unix socket. It must offer nothing that the API does
//! not.

mod stream;

use std::{path::Path, time::Duration};

use egress::{EgressError, LocalClient, Method};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;
use types::{
    Allowance, Command, CommandReply, Envelope, Failure, FailureKind, JobId, JobView, OwnerRequest, Proposal, Seq,
    SessionId, TurnId, WorkspaceName,
};

use crate::api::views::{
    Check, CoderView, Health, JobDiff, MessageView, ModelCost, ModelsView, RecipeView, RecipesView, SessionView,
    SnapshotView, Status, TurnView, WhyView,
};
use crate::{commands::send, failure::network};

pub use stream::EventStream;

/// The most bytes of one answer.
const MAX_ANSWER: u64 = 64 << 20;
/// How long one answer may take. Undo copies files, so it is generous.
const PATIENCE: Duration = Duration::from_secs(300);

/// A client of a running daemon. Calls are independent of each other and may run at the same time.
#[derive(Clone, Debug)]
pub struct Client {
    local: LocalClient,
    /// Waits for nothing: a command-line program is stopped by ending it.
    cancel: CancellationToken,
}

impl Client {
    /// Finds the daemon of this home. Fails with kind `network` when none answers.
    pub async fn connect(home: &Path) -> Result<Self, Failure> {
        let socket = home.join("api.sock");
        if !socket.exists() {
            return Err(not_running("no factotum runs on this home"));
        }
        let client = Self { local: LocalClient::new(&socket), cancel: CancellationToken::new() };
        client.health().await?;
        Ok(client)
    }

    /// `GET /v1/health`.
    pub async fn health(&self) -> Result<Health, Failure> {
        self.get("/v1/health", &[]).await
    }

    /// `POST /v1/commands`.
    pub async fn command(&self, command: &Command) -> Result<CommandReply, Failure> {
        // A server that refuses a huge body closes the connection before it was read, which would look like a fault of
        // the network; so the bound is applied here as well.
        if let Command::Send { text, .. } = command {
            send::fits(text)?;
        }
        let request = self.local.request(Method::POST, "/v1/commands").timeout(PATIENCE).json(command);
        answer(request.send(&self.cancel).await.map_err(unreachable)?).await
    }

    /// `GET /v1/events`: everything after `after`, then what happens, until the daemon stops.
    pub async fn events(&self, after: Seq, session: Option<SessionId>) -> Result<EventStream, Failure> {
        let mut query = vec![("after", after.to_string())];
        query.extend(session.map(|session| ("session", session.to_string())));
        let request = self.local.request(Method::GET, "/v1/events").query(&query);
        let response = request.send(&self.cancel).await.map_err(unreachable)?;
        if response.is_success() { Ok(EventStream::new(response)) } else { Err(failure_of(response).await) }
    }

    /// `GET /v1/sessions`: latest first.
    pub async fn sessions(&self) -> Result<Vec<SessionView>, Failure> {
        self.get("/v1/sessions", &[]).await
    }

    /// `GET /v1/sessions/ID/messages`: oldest first.
    pub async fn messages(&self, session: SessionId) -> Result<Vec<MessageView>, Failure> {
        self.get(&format!("/v1/sessions/{session}/messages"), &[]).await
    }

    /// `GET /v1/sessions/ID/why`.
    pub async fn why(&self, session: SessionId) -> Result<WhyView, Failure> {
        self.get(&format!("/v1/sessions/{session}/why"), &[]).await
    }

    /// `GET /v1/models`: of one provider or of all; with `all`, their vendors are asked.
    pub async fn models(&self, all: bool, provider: Option<&str>) -> Result<ModelsView, Failure> {
        let mut query = vec![("all", all.to_string())];
        query.extend(provider.map(|provider| ("provider", provider.to_owned())));
        self.get("/v1/models", &query).await
    }

    /// `GET /v1/models/costs`: what this month has cost by model.
    pub async fn model_costs(&self) -> Result<Vec<ModelCost>, Failure> {
        self.get("/v1/models/costs", &[]).await
    }

    /// `GET /v1/coders`: by name.
    pub async fn coders(&self) -> Result<Vec<CoderView>, Failure> {
        self.get("/v1/coders", &[]).await
    }

    /// `GET /v1/proposals`: those that wait, oldest first.
    pub async fn proposals(&self) -> Result<Vec<Proposal>, Failure> {
        self.get("/v1/proposals", &[]).await
    }

    /// `GET /v1/turns/ID`.
    pub async fn turn(&self, turn: TurnId) -> Result<TurnView, Failure> {
        self.get(&format!("/v1/turns/{turn}"), &[]).await
    }

    /// `GET /v1/jobs`: latest first.
    pub async fn jobs(&self) -> Result<Vec<JobView>, Failure> {
        self.get("/v1/jobs", &[]).await
    }

    /// `GET /v1/jobs/recipes`: by name.
    pub async fn recipes(&self) -> Result<RecipesView, Failure> {
        self.get("/v1/jobs/recipes", &[]).await
    }

    /// `GET /v1/jobs/recipes/NAME`, with the parameters that are known.
    pub async fn recipe(&self, name: &WorkspaceName, set: &[(&str, String)]) -> Result<RecipeView, Failure> {
        self.get(&format!("/v1/jobs/recipes/{name}"), set).await
    }

    /// `GET /v1/jobs/ID`.
    pub async fn job(&self, job: JobId) -> Result<JobView, Failure> {
        self.get(&format!("/v1/jobs/{job}"), &[]).await
    }

    /// `GET /v1/jobs/ID/log?after=SEQ`: the events of its session, oldest first, at most 1,000.
    pub async fn job_log(&self, job: JobId, after: Seq) -> Result<Vec<Envelope>, Failure> {
        self.get(&format!("/v1/jobs/{job}/log"), &[("after", after.to_string())]).await
    }

    /// `GET /v1/jobs/ID/diff`.
    pub async fn job_diff(&self, job: JobId) -> Result<JobDiff, Failure> {
        self.get(&format!("/v1/jobs/{job}/diff"), &[]).await
    }

    /// `GET /v1/approvals`: the open requests, oldest first.
    pub async fn approvals(&self) -> Result<Vec<OwnerRequest>, Failure> {
        self.get("/v1/approvals", &[]).await
    }

    /// `GET /v1/allowances`: the rules in force, oldest first.
    pub async fn allowances(&self) -> Result<Vec<Allowance>, Failure> {
        self.get("/v1/allowances", &[]).await
    }

    /// `GET /v1/snapshots?workspace=NAME`: latest first; the present session's workspace when absent.
    pub async fn snapshots(&self, workspace: Option<&WorkspaceName>) -> Result<Vec<SnapshotView>, Failure> {
        let query: Vec<_> = workspace.map(|name| ("workspace", name.to_string())).into_iter().collect();
        self.get("/v1/snapshots", &query).await
    }

    /// `GET /v1/status`.
    pub async fn status(&self) -> Result<Status, Failure> {
        self.get("/v1/status", &[]).await
    }

    /// `GET /v1/doctor`: the checks that need the running daemon.
    pub async fn doctor(&self) -> Result<Vec<Check>, Failure> {
        self.get("/v1/doctor", &[]).await
    }

    /// `GET /v1/log?after=N`: records of the audit log, oldest first, at most 1,000.
    pub async fn log(&self, after: u64) -> Result<Vec<serde_json::Value>, Failure> {
        self.get("/v1/log", &[("after", after.to_string())]).await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, String)]) -> Result<T, Failure> {
        let request = self.local.request(Method::GET, path).timeout(PATIENCE).query(query);
        answer(request.send(&self.cancel).await.map_err(unreachable)?).await
    }
}

async fn answer<T: DeserializeOwned>(response: egress::Response) -> Result<T, Failure> {
    if response.is_success() {
        return response.json_limited(MAX_ANSWER).await.map_err(|error| network(error, "is another version running?"));
    }
    Err(failure_of(response).await)
}

/// The failure that an answer tells of; one of ours when it does not tell.
async fn failure_of(response: egress::Response) -> Failure {
    let status = response.status();
    let text = response.text_prefix(64 << 10).await;
    serde_json::from_str(&text).unwrap_or_else(|_| Failure {
        kind: FailureKind::Internal,
        error: format!("the daemon answered with status {status}"),
        hint: Some("is another version of factotum running?".to_owned()),
    })
}

fn unreachable(error: EgressError) -> Failure {
    if error.kind == egress::EgressErrorKind::Connect {
        // A socket without a listener is what a daemon that was killed leaves behind.
        return not_running("no factotum answers on this home");
    }
    network(error, "look at the daemon's log")
}

fn not_running(error: &str) -> Failure {
    network(error, "start it with `factotum up`, or name its home with --home")
}

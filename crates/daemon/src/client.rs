//! The client that the command line uses: the API over the home's Unix socket. It must offer nothing that the API does
//! not.

use std::path::Path;

use types::{Command, CommandReply, Envelope, Failure, OwnerRequest, Seq, SessionId, TurnId, WorkspaceName};

use crate::api::views::{Check, Health, MessageView, SessionView, SnapshotView, Status, TurnView};

/// A connection to a running daemon. Each call opens its own socket connection.
#[derive(Debug)]
pub struct Client {}

/// Events as they happen; see [`Client::events`].
#[derive(Debug)]
pub struct EventStream {}

impl Client {
    /// Finds the daemon of this home. Fails with kind `network` when none runs.
    pub async fn connect(_home: &Path) -> Result<Self, Failure> {
        todo!()
    }

    /// `GET /v1/health`.
    pub async fn health(&self) -> Result<Health, Failure> {
        todo!()
    }

    /// `POST /v1/commands`.
    pub async fn command(&self, _command: &Command) -> Result<CommandReply, Failure> {
        todo!()
    }

    /// `GET /v1/events`: everything after `after`, then what happens, until the daemon stops.
    pub async fn events(&self, _after: Seq, _session: Option<SessionId>) -> Result<EventStream, Failure> {
        todo!()
    }

    /// `GET /v1/sessions`.
    pub async fn sessions(&self) -> Result<Vec<SessionView>, Failure> {
        todo!()
    }

    /// `GET /v1/sessions/ID/messages`.
    pub async fn messages(&self, _session: SessionId) -> Result<Vec<MessageView>, Failure> {
        todo!()
    }

    /// `GET /v1/turns/ID`.
    pub async fn turn(&self, _turn: TurnId) -> Result<TurnView, Failure> {
        todo!()
    }

    /// `GET /v1/approvals`: the open requests, oldest first.
    pub async fn approvals(&self) -> Result<Vec<OwnerRequest>, Failure> {
        todo!()
    }

    /// `GET /v1/snapshots?workspace=NAME`: latest first.
    pub async fn snapshots(&self, _workspace: Option<&WorkspaceName>) -> Result<Vec<SnapshotView>, Failure> {
        todo!()
    }

    /// `GET /v1/status`.
    pub async fn status(&self) -> Result<Status, Failure> {
        todo!()
    }

    /// `GET /v1/doctor`: the checks that need the running daemon.
    pub async fn doctor(&self) -> Result<Vec<Check>, Failure> {
        todo!()
    }

    /// `GET /v1/log?after=N`: records of the audit log, oldest first, bounded.
    pub async fn log(&self, _after: u64) -> Result<Vec<serde_json::Value>, Failure> {
        todo!()
    }
}

impl EventStream {
    /// The next event; none when the daemon closed the stream.
    pub async fn next(&mut self) -> Result<Option<Envelope>, Failure> {
        todo!()
    }
}

//! Everything that is written, one file for each noun. All of it happens inside [`crate::Store::transact`]; nothing in
//! here commits.

mod allowances;
mod calls;
mod events;
mod inbox;
mod jobs;
mod labels;
mod messages;
mod outbox;
mod proposals;
mod readings;
mod requests;
mod second_factor;
mod sessions;
mod spend;
mod turns;
mod workspaces;

pub(crate) use jobs::OVER;
pub use labels::BlockOrigin;
use rusqlite::{Connection, Params};
use types::{Envelope, OwnerRequest, Proposal, ProposalId, RequestId, SessionId, Timestamp, TurnId};

use crate::{
    error::StoreError,
    read,
    records::{InboxRow, Session, Spend, SpendScope, Turn},
};

/// What has to be told once the transaction is committed.
#[derive(Default)]
pub(crate) struct Pending {
    pub events: Vec<Envelope>,
    /// Deliveries were added.
    pub outbox: bool,
    /// Requests were settled.
    pub answers: bool,
}

/// A transaction that runs. Its reads see its own writes.
pub struct Tx<'a> {
    connection: &'a Connection,
    now: Timestamp,
    clock: Timestamp,
    pending: Pending,
}

impl<'a> Tx<'a> {
    pub(crate) fn new(connection: &'a Connection, now: Timestamp, clock: Timestamp) -> Self {
        Self { connection, now, clock, pending: Pending::default() }
    }

    pub(crate) fn into_pending(self) -> Pending {
        self.pending
    }

    /// The time of this transaction: the clock's, but never earlier than what the journal holds.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// A session.
    pub fn session(&self, id: SessionId) -> Result<Option<Session>, StoreError> {
        read::session(self.connection, id)
    }

    /// A turn.
    pub fn turn(&self, id: TurnId) -> Result<Option<Turn>, StoreError> {
        read::turn(self.connection, id)
    }

    /// The messages of a session that no turn has taken, oldest first.
    pub fn waiting_inbox(&self, session: SessionId) -> Result<Vec<InboxRow>, StoreError> {
        read::waiting_inbox(self.connection, session)
    }

    /// A proposal.
    pub fn proposal(&self, id: ProposalId) -> Result<Option<Proposal>, StoreError> {
        read::proposal(self.connection, id)
    }

    /// A request.
    pub fn request(&self, id: RequestId) -> Result<Option<OwnerRequest>, StoreError> {
        read::request(self.connection, id)
    }

    /// What was spent. Asked in the transaction that reserves, it cannot be overtaken.
    pub fn spent(&self, scope: SpendScope) -> Result<Spend, StoreError> {
        read::spent(self.connection, scope)
    }

    /// A cursor.
    pub fn cursor(&self, name: &str) -> Result<Option<String>, StoreError> {
        read::cursor(self.connection, name)
    }

    /// The connection, for tests that reach its limits.
    #[cfg(test)]
    pub(crate) fn connection(&self) -> &Connection {
        self.connection
    }

    /// Runs a statement and returns how many rows it changed.
    fn run(&self, sql: &str, params: impl Params) -> Result<usize, StoreError> {
        use rusqlite::ffi;
        let ran = self.connection.prepare_cached(sql).and_then(|mut statement| statement.execute(params));
        ran.map_err(|error| match error.sqlite_error() {
            Some(cause) if cause.extended_code == ffi::SQLITE_CONSTRAINT_FOREIGNKEY => {
                StoreError::Conflict("what it refers to does not exist".to_owned())
            }
            Some(_) | None => error.into(),
        })
    }

    /// The number of the row that was inserted last.
    fn last_row(&self) -> i64 {
        self.connection.last_insert_rowid()
    }
}

/// Refuses when a statement that was to change one row found none.
fn found(rows: usize, what: &'static str, id: impl ToString) -> Result<(), StoreError> {
    if rows == 0 { Err(StoreError::not_found(what, id)) } else { Ok(()) }
}

/// The beginning of a text, at most so many characters.
fn beginning(text: &str, characters: usize) -> String {
    text.chars().take(characters).collect()
}

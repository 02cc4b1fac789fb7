//! Questions and approvals.

use rusqlite::{Connection, Row};
use types::{OwnerRequest, RequestId, SessionId, TurnId};

use crate::{Store, codec, error::StoreError};

const COLUMNS: &str = "id, session, turn, call, ask, asked_at, expires_at, answer";

impl Store {
    /// The requests that wait for an answer, oldest first.
    pub fn open_requests(&self) -> Result<Vec<OwnerRequest>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM requests WHERE answer IS NULL ORDER BY id");
        self.read(|connection| codec::all(connection, &sql, [], map))
    }

    /// A request.
    pub fn request(&self, id: RequestId) -> Result<Option<OwnerRequest>, StoreError> {
        self.read(|connection| request(connection, id))
    }

    /// The request whose buttons carry this nonce.
    pub fn request_by_nonce(&self, nonce: &str) -> Result<Option<OwnerRequest>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM requests WHERE nonce = ?1");
        self.read(|connection| codec::one(connection, &sql, [nonce], map))
    }

    /// The request that the latest call of this turn with this id has made, if it has made one.
    pub fn request_for_call(&self, turn: TurnId, call: &str) -> Result<Option<OwnerRequest>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM requests WHERE turn = ?1 AND call = ?2 AND call_row IS
                 (SELECT id FROM calls WHERE calls.turn = ?1 AND calls.call = ?2 ORDER BY step DESC LIMIT 1)
             ORDER BY id DESC LIMIT 1"
        );
        self.read(|connection| codec::one(connection, &sql, (turn.0, call), map))
    }

    /// The nonce of a request: 128 random bits in hex, for its buttons alone.
    pub fn request_nonce(&self, id: RequestId) -> Result<Option<String>, StoreError> {
        self.read(|connection| codec::value(connection, "SELECT nonce FROM requests WHERE id = ?1", [id.0]))
    }

    /// Waits until a request is settled. Deadlines and stopping are the caller's part: dropping this is safe.
    pub async fn wait_request(&self, id: RequestId) -> Result<OwnerRequest, StoreError> {
        let mut answers = self.answers();
        loop {
            answers.mark_unchanged();
            let request = self.request(id)?.ok_or_else(|| StoreError::not_found("request", id))?;
            if request.answer.is_some() {
                return Ok(request);
            }
            answers.changed().await.map_err(|_| StoreError::Closed)?;
        }
    }
}

pub(crate) fn request(connection: &Connection, id: RequestId) -> Result<Option<OwnerRequest>, StoreError> {
    codec::one(connection, &format!("SELECT {COLUMNS} FROM requests WHERE id = ?1"), [id.0], map)
}

fn map(row: &Row<'_>) -> Result<OwnerRequest, StoreError> {
    let answer: Option<String> = row.get(7)?;
    Ok(OwnerRequest {
        id: RequestId(row.get(0)?),
        session: SessionId(row.get(1)?),
        turn: TurnId(row.get(2)?),
        call: row.get(3)?,
        ask: codec::decode("request", &row.get::<_, String>(4)?)?,
        asked_at: codec::time_at(row, 5)?,
        expires_at: codec::time_at(row, 6)?,
        answer: answer.map(|text| codec::decode("answer", &text)).transpose()?,
    })
}

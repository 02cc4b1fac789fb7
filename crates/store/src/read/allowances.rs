//! Allowances.

use rusqlite::{Connection, Row};
use types::{Allowance, AllowanceId, AllowanceScope, Invariant, RequestId, SessionId, Timestamp, TurnId};

use crate::{Store, codec, error::StoreError};

const COLUMNS: &str = "id, request, rule, text, session, turn, created_at, uses, used_at, revoked_at";
/// The most rows of one answer.
const MAX_ROWS: usize = 1_000;
/// Which rows hold for a turn, or for any that runs.
const HOLDS: &str = "(turn IS NULL OR turn IN (SELECT id FROM turns WHERE ended_at IS NULL))";

impl Store {
    /// The allowances in force, oldest first: those that hold until they are taken back, and those of tasks that run.
    pub fn allowances(&self) -> Result<Vec<Allowance>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM allowances WHERE revoked_at IS NULL AND {HOLDS} ORDER BY id LIMIT {MAX_ROWS}"
        );
        self.read(|connection| codec::all(connection, &sql, [], map))
    }

    /// The allowances in force for calls of this tool in this turn, oldest first.
    pub fn allowances_for(&self, turn: TurnId, tool: &str) -> Result<Vec<Allowance>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM allowances
             WHERE tool = ?1 AND (revoked_at IS NULL OR ?3) AND (turn IS NULL OR turn = ?2)
             ORDER BY id LIMIT {MAX_ROWS}"
        );
        let ignore_revocation = Invariant::RevocationIsLive.is_broken();
        self.read(|connection| codec::all(connection, &sql, (tool, turn.0, ignore_revocation), map))
    }

    /// An allowance, whether it is in force or not.
    pub fn allowance(&self, id: AllowanceId) -> Result<Option<Allowance>, StoreError> {
        self.read(|connection| allowance(connection, id))
    }
}

pub(crate) fn allowance(connection: &Connection, id: AllowanceId) -> Result<Option<Allowance>, StoreError> {
    codec::one(connection, &format!("SELECT {COLUMNS} FROM allowances WHERE id = ?1"), [id.0], map)
}

fn map(row: &Row<'_>) -> Result<Allowance, StoreError> {
    let (session, turn): (Option<i64>, Option<i64>) = (row.get(4)?, row.get(5)?);
    Ok(Allowance {
        id: AllowanceId(row.get(0)?),
        request: RequestId(row.get(1)?),
        rule: codec::decode("rule", &row.get::<_, String>(2)?)?,
        text: row.get(3)?,
        scope: match (session, turn) {
            (Some(session), Some(turn)) => AllowanceScope::Task { session: SessionId(session), turn: TurnId(turn) },
            _ => AllowanceScope::Always,
        },
        created_at: codec::time_at(row, 6)?,
        uses: u64::try_from(row.get::<_, i64>(7)?).unwrap_or(0),
        used_at: row.get::<_, Option<i64>>(8)?.map(Timestamp),
        revoked_at: row.get::<_, Option<i64>>(9)?.map(Timestamp),
    })
}

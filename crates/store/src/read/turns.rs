//! Turns and their tool calls.

use rusqlite::{Connection, Row};
use types::{ChannelId, InboxId, SessionId, ToolCall, TurnId};

use crate::{
    Store, codec,
    error::StoreError,
    records::{CallRecord, CallState, Turn, TurnState},
};

const COLUMNS: &str = "id, session, origin, model, step, reply_channel, reply_to, started_at, ended_at, end, text,
    (SELECT json_group_array(id) FROM (SELECT id FROM inbox WHERE inbox.turn = turns.id ORDER BY id))";

impl Store {
    /// A turn.
    pub fn turn(&self, id: TurnId) -> Result<Option<Turn>, StoreError> {
        self.read(|connection| turn(connection, id))
    }

    /// The turns that have begun and not ended, oldest first.
    pub fn unfinished_turns(&self) -> Result<Vec<Turn>, StoreError> {
        self.select_turns("WHERE ended_at IS NULL ORDER BY id")
    }

    /// The turns that have ended and whose answers were not turned into deliveries yet, oldest first.
    pub fn undelivered_turns(&self) -> Result<Vec<Turn>, StoreError> {
        self.select_turns("WHERE undelivered = 1 ORDER BY id")
    }

    /// The chats that wait for the answer of a turn: its own first, then those of the messages that steered it. Clients of
    /// the API are not among them.
    pub fn chats(&self, turn: &Turn) -> Result<Vec<(ChannelId, String)>, StoreError> {
        let sql = "SELECT channel, reply_to FROM inbox WHERE turn = ?1 AND reply_to IS NOT NULL ORDER BY id";
        let map = |row: &Row<'_>| Ok((ChannelId::from_stored(row.get(0)?), row.get(1)?));
        let own = turn.reply_to.clone().map(|target| (turn.reply_channel.clone(), target));
        let steering: Vec<(ChannelId, String)> =
            self.read(|connection| codec::all(connection, sql, [turn.id.0], map))?;
        let mut chats: Vec<(ChannelId, String)> = Vec::new();
        for chat in own.into_iter().chain(steering) {
            if chat.0 != ChannelId::api() && !chats.contains(&chat) {
                chats.push(chat);
            }
        }
        Ok(chats)
    }

    /// The turns of a session, latest first, at most `limit`.
    pub fn turns(&self, session: SessionId, limit: usize) -> Result<Vec<Turn>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM turns WHERE session = ?1 ORDER BY id DESC LIMIT ?2");
        self.read(|connection| codec::all(connection, &sql, (session.0, codec::limit(limit)), map))
    }

    /// The tool calls of a turn in the order in which the model asked for them.
    pub fn calls(&self, turn: TurnId) -> Result<Vec<CallRecord>, StoreError> {
        let sql = "SELECT turn, step, call, name, input, summary, read_only, started, end, output FROM calls
                   WHERE turn = ?1 ORDER BY step, id";
        self.read(|connection| codec::all(connection, sql, [turn.0], call))
    }

    fn select_turns(&self, rest: &str) -> Result<Vec<Turn>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM turns {rest}");
        self.read(|connection| codec::all(connection, &sql, [], map))
    }
}

pub(crate) fn turn(connection: &Connection, id: TurnId) -> Result<Option<Turn>, StoreError> {
    codec::one(connection, &format!("SELECT {COLUMNS} FROM turns WHERE id = ?1"), [id.0], map)
}

fn map(row: &Row<'_>) -> Result<Turn, StoreError> {
    let end: Option<String> = row.get(9)?;
    let inbox: Vec<InboxId> = codec::decode("list of messages", &row.get::<_, String>(11)?)?;
    Ok(Turn {
        id: TurnId(row.get(0)?),
        session: SessionId(row.get(1)?),
        origin: codec::from_word("origin", row.get(2)?)?,
        model: row.get(3)?,
        state: match end {
            None => TurnState::Running,
            Some(end) => TurnState::Ended(codec::decode("end of a turn", &end)?),
        },
        step: row.get(4)?,
        reply_channel: ChannelId::from_stored(row.get(5)?),
        reply_to: row.get(6)?,
        started_at: codec::time_at(row, 7)?,
        ended_at: codec::id_at(row, 8, types::Timestamp)?,
        text: row.get(10)?,
        inbox,
    })
}

fn call(row: &Row<'_>) -> Result<CallRecord, StoreError> {
    let end: Option<String> = row.get(8)?;
    let output: Option<String> = row.get(9)?;
    let state = match end {
        Some(end) => CallState::Finished(codec::from_word("end of a call", end)?),
        None if row.get(7)? => CallState::Started,
        None => CallState::Planned,
    };
    Ok(CallRecord {
        turn: TurnId(row.get(0)?),
        step: row.get(1)?,
        call: ToolCall {
            id: row.get(2)?,
            name: row.get(3)?,
            input: codec::decode("arguments of a call", &row.get::<_, String>(4)?)?,
        },
        state,
        summary: row.get(5)?,
        read_only: row.get(6)?,
        output: output.map(|text| codec::decode("result of a call", &text)).transpose()?,
    })
}

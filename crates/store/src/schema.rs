//! The schema and how it grew. A version that was released is never edited: a change is another constant at the end.

use std::path::Path;

use rusqlite::Connection;

use crate::error::StoreError;

/// Marks the file as ours: `Fctm`.
pub(crate) const APPLICATION_ID: i64 = 0x4663_746d;

/// Every migration in order; the n-th brings the database to `user_version` n.
pub(crate) const MIGRATIONS: &[&str] = &[V1, V2, V3];

/// The first version.
///
/// Text is JSON where it is structured. Enumerations are the words of their wire form, except for states that partial
/// indexes depend on. Labels are two numbers, so that triggers can forbid that they fall.
const V1: &str = "
CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE sessions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT UNIQUE,
    title TEXT NOT NULL,
    workspace TEXT NOT NULL,
    integrity INTEGER NOT NULL CHECK (integrity IN (0, 1)),
    confidentiality INTEGER NOT NULL CHECK (confidentiality IN (0, 1)),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX sessions_by_use ON sessions (updated_at, id);
CREATE TRIGGER session_labels_only_rise BEFORE UPDATE OF integrity, confidentiality ON sessions
WHEN NEW.integrity < OLD.integrity OR NEW.confidentiality < OLD.confidentiality
BEGIN SELECT RAISE(ABORT, 'a label may only rise'); END;

CREATE TABLE constraints (
    id INTEGER PRIMARY KEY,
    session INTEGER NOT NULL REFERENCES sessions (id),
    text TEXT NOT NULL,
    at INTEGER NOT NULL,
    UNIQUE (session, text)
) STRICT;

CREATE TABLE workspaces (
    name TEXT PRIMARY KEY,
    integrity INTEGER NOT NULL CHECK (integrity IN (0, 1)),
    confidentiality INTEGER NOT NULL CHECK (confidentiality IN (0, 1))
) STRICT, WITHOUT ROWID;
CREATE TRIGGER workspace_labels_only_rise BEFORE UPDATE OF integrity, confidentiality ON workspaces
WHEN NEW.integrity < OLD.integrity OR NEW.confidentiality < OLD.confidentiality
BEGIN SELECT RAISE(ABORT, 'a label may only rise'); END;

CREATE TABLE turns (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    session INTEGER NOT NULL REFERENCES sessions (id),
    origin TEXT NOT NULL,
    model TEXT NOT NULL,
    step INTEGER NOT NULL DEFAULT 0,
    reply_channel TEXT NOT NULL,
    reply_to TEXT,
    started_at INTEGER NOT NULL,
    ended_at INTEGER,
    end TEXT,
    text TEXT NOT NULL DEFAULT '',
    -- 1 while the answer has yet to be turned into deliveries.
    undelivered INTEGER NOT NULL DEFAULT 0,
    CHECK ((ended_at IS NULL) = (end IS NULL))
) STRICT;
CREATE INDEX turns_by_session ON turns (session, id);
CREATE INDEX turns_running ON turns (id) WHERE ended_at IS NULL;
CREATE INDEX turns_undelivered ON turns (id) WHERE undelivered = 1;

CREATE TABLE inbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    channel TEXT NOT NULL,
    remote_id TEXT NOT NULL,
    -- Null for a message that was silenced: nothing else of it is kept.
    session INTEGER REFERENCES sessions (id),
    text TEXT NOT NULL,
    reply_to TEXT,
    when_busy TEXT NOT NULL,
    origin TEXT NOT NULL,
    at INTEGER NOT NULL,
    -- Null while it waits.
    turn INTEGER REFERENCES turns (id),
    UNIQUE (channel, remote_id)
) STRICT;
CREATE INDEX inbox_waiting ON inbox (session, id) WHERE turn IS NULL AND session IS NOT NULL;
CREATE INDEX inbox_by_turn ON inbox (turn, id) WHERE turn IS NOT NULL;
CREATE INDEX inbox_silenced ON inbox (id) WHERE session IS NULL;

CREATE TABLE messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    session INTEGER NOT NULL REFERENCES sessions (id),
    turn INTEGER REFERENCES turns (id),
    role TEXT NOT NULL,
    author TEXT NOT NULL,
    kind TEXT NOT NULL,
    -- For a summary: the first earlier message that stays in the context beside it.
    keep_from INTEGER,
    blocks TEXT NOT NULL,
    integrity INTEGER NOT NULL,
    confidentiality INTEGER NOT NULL,
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX messages_by_session ON messages (session, id);
CREATE INDEX messages_summaries ON messages (session, id) WHERE kind = 'summary';
-- What can be searched of a message. The index keeps no copy of the text; it reads it here to show where it matched.
CREATE VIEW message_text (id, text) AS
SELECT messages.id, (
    SELECT group_concat(coalesce(json_extract(value, '$.text'), json_extract(value, '$.content')), char(10))
    FROM json_each(messages.blocks)
    WHERE json_extract(value, '$.type') IN ('text', 'tool_result')
) FROM messages;
CREATE VIRTUAL TABLE message_index USING fts5 (
    text, content = 'message_text', content_rowid = 'id', tokenize = 'unicode61 remove_diacritics 2'
);
CREATE TRIGGER messages_are_indexed AFTER INSERT ON messages
BEGIN INSERT INTO message_index (rowid, text) SELECT id, text FROM message_text WHERE id = NEW.id; END;
CREATE TRIGGER messages_are_not_changed BEFORE UPDATE ON messages
BEGIN SELECT RAISE(ABORT, 'a stored message may not change'); END;

CREATE TABLE calls (
    id INTEGER PRIMARY KEY,
    turn INTEGER NOT NULL REFERENCES turns (id),
    step INTEGER NOT NULL,
    call TEXT NOT NULL,
    name TEXT NOT NULL,
    input TEXT NOT NULL,
    summary TEXT NOT NULL DEFAULT '',
    read_only INTEGER NOT NULL DEFAULT 0,
    started INTEGER NOT NULL DEFAULT 0,
    end TEXT,
    output TEXT,
    -- Some vendors number their calls anew with every answer, so the step belongs to the key.
    UNIQUE (turn, step, call)
) STRICT;

CREATE TABLE requests (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    session INTEGER NOT NULL REFERENCES sessions (id),
    turn INTEGER NOT NULL REFERENCES turns (id),
    call TEXT NOT NULL,
    -- The row of the call, where it was planned.
    call_row INTEGER REFERENCES calls (id),
    ask TEXT NOT NULL,
    nonce TEXT NOT NULL UNIQUE,
    asked_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    answer TEXT,
    answered_at INTEGER,
    channel TEXT,
    used INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX requests_open ON requests (id) WHERE answer IS NULL;
CREATE INDEX requests_by_call ON requests (turn, call, id);

CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    session INTEGER REFERENCES sessions (id),
    turn INTEGER REFERENCES turns (id),
    channel TEXT NOT NULL,
    target TEXT NOT NULL,
    body TEXT NOT NULL,
    key TEXT NOT NULL UNIQUE,
    attempts INTEGER NOT NULL DEFAULT 0,
    -- 0 pending, 1 sending, 2 sent, 3 failed.
    state INTEGER NOT NULL DEFAULT 0,
    next_at INTEGER NOT NULL,
    possible_repeat INTEGER NOT NULL DEFAULT 0,
    remote_id TEXT,
    error TEXT,
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX outbox_unsent ON outbox (next_at) WHERE state < 2;

CREATE TABLE spend (
    id INTEGER PRIMARY KEY,
    turn INTEGER NOT NULL REFERENCES turns (id),
    step INTEGER NOT NULL,
    session INTEGER NOT NULL,
    day INTEGER NOT NULL,
    month INTEGER NOT NULL,
    -- What was set aside; what it came to is null while the call is open.
    reserved INTEGER NOT NULL,
    settled INTEGER,
    input INTEGER NOT NULL DEFAULT 0,
    cache_read INTEGER NOT NULL DEFAULT 0,
    cache_write INTEGER NOT NULL DEFAULT 0,
    output INTEGER NOT NULL DEFAULT 0,
    reasoning INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX spend_open ON spend (turn, step) WHERE settled IS NULL;
-- The sums of `spend` by scope (0 turn, 1 session, 2 day, 3 month), kept with it: budgets are asked before every call.
CREATE TABLE spend_totals (
    scope INTEGER NOT NULL,
    key INTEGER NOT NULL,
    reserved INTEGER NOT NULL,
    settled INTEGER NOT NULL,
    input INTEGER NOT NULL,
    cache_read INTEGER NOT NULL,
    cache_write INTEGER NOT NULL,
    output INTEGER NOT NULL,
    reasoning INTEGER NOT NULL,
    PRIMARY KEY (scope, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    session INTEGER,
    turn INTEGER,
    event TEXT NOT NULL
) STRICT;
CREATE INDEX events_by_session ON events (session, seq) WHERE session IS NOT NULL;

CREATE TABLE cursors (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE snapshots (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    workspace TEXT NOT NULL,
    turn INTEGER REFERENCES turns (id),
    manifest TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX snapshots_by_workspace ON snapshots (workspace, id);
";

/// The second version: what containment keeps.
const V2: &str = "
-- The hour, UTC, in which a model call was begun; `spend_totals` has the sums of hours under scope 4.
ALTER TABLE spend ADD COLUMN hour INTEGER NOT NULL DEFAULT 0;

-- The blocks that a session's label comes from.
CREATE TABLE label_causes (
    id INTEGER PRIMARY KEY,
    session INTEGER NOT NULL REFERENCES sessions (id),
    turn INTEGER REFERENCES turns (id),
    -- The vendor's id of the tool call whose result it was.
    call TEXT,
    integrity INTEGER NOT NULL,
    confidentiality INTEGER NOT NULL,
    -- 1 where the session's label rose with it.
    rose INTEGER NOT NULL,
    cause TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX label_causes_by_session ON label_causes (session, id);

-- The session that a reader works for; such a session has no turns of its own.
ALTER TABLE sessions ADD COLUMN parent INTEGER REFERENCES sessions (id);

-- What readers told the session that they worked for: how many bits, or a text that it may pass on by its handle.
CREATE TABLE readings (
    id INTEGER PRIMARY KEY,
    session INTEGER NOT NULL REFERENCES sessions (id),
    turn INTEGER NOT NULL REFERENCES turns (id),
    call TEXT NOT NULL,
    reader INTEGER NOT NULL REFERENCES sessions (id),
    bits INTEGER NOT NULL,
    handle TEXT UNIQUE,
    text TEXT,
    integrity INTEGER NOT NULL,
    confidentiality INTEGER NOT NULL,
    at INTEGER NOT NULL,
    CHECK ((handle IS NULL) = (text IS NULL))
) STRICT;
CREATE INDEX readings_by_session ON readings (session, id);

CREATE TABLE proposals (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    turn INTEGER NOT NULL REFERENCES turns (id),
    call TEXT NOT NULL,
    question TEXT NOT NULL,
    at INTEGER NOT NULL,
    settled TEXT,
    settled_at INTEGER
) STRICT;
CREATE INDEX proposals_open ON proposals (id) WHERE settled IS NULL;
CREATE INDEX proposals_by_call ON proposals (turn, call, id);

CREATE TABLE allowances (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    request INTEGER NOT NULL REFERENCES requests (id),
    tool TEXT NOT NULL,
    rule TEXT NOT NULL,
    text TEXT NOT NULL,
    -- The task for which it holds; null for one that holds until it is taken back.
    session INTEGER REFERENCES sessions (id),
    turn INTEGER REFERENCES turns (id),
    created_at INTEGER NOT NULL,
    uses INTEGER NOT NULL DEFAULT 0,
    used_at INTEGER,
    revoked_at INTEGER,
    CHECK ((session IS NULL) = (turn IS NULL))
) STRICT;
CREATE INDEX allowances_in_force ON allowances (tool, id) WHERE revoked_at IS NULL;

-- One row while a second factor is set up. Its secret is in the vault.
CREATE TABLE second_factor (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    since INTEGER NOT NULL,
    -- The time step of the last code that was accepted: none of it or before counts again.
    used_step INTEGER,
    -- Wrong codes since the last right one, or since the last lock ended.
    failures INTEGER NOT NULL DEFAULT 0,
    locked_until INTEGER
) STRICT;
";

/// The third version: jobs.
const V3: &str = "
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY,
    session INTEGER NOT NULL UNIQUE REFERENCES sessions (id),
    -- The turn that stands for it: the latest one, where it was resumed.
    turn INTEGER REFERENCES turns (id),
    spec TEXT NOT NULL,
    state TEXT NOT NULL,
    -- 0 waits for a place, 1 is under way, 2 is over, 3 is over and its files are gone.
    phase INTEGER NOT NULL,
    origin TEXT NOT NULL,
    reply_channel TEXT NOT NULL,
    reply_to TEXT,
    -- Who asked for it with which message: the same one starts one job.
    asked TEXT NOT NULL UNIQUE,
    -- The last thing of the supervisor's records that was taken in: the record, and the place in what it meant.
    record INTEGER NOT NULL DEFAULT 0,
    item INTEGER NOT NULL DEFAULT 0,
    memory TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    queued_at INTEGER NOT NULL,
    started_at INTEGER,
    ended_at INTEGER
) STRICT;
CREATE INDEX jobs_by_phase ON jobs (phase, queued_at, id);

-- One prompt of a job and what came of it.
CREATE TABLE job_rounds (
    job INTEGER NOT NULL REFERENCES jobs (id),
    round INTEGER NOT NULL,
    coder TEXT NOT NULL,
    prompt TEXT NOT NULL,
    said TEXT NOT NULL DEFAULT '',
    end TEXT,
    at INTEGER NOT NULL,
    PRIMARY KEY (job, round)
) STRICT, WITHOUT ROWID;
";

/// The latest version.
pub(crate) fn latest() -> i64 {
    // A slice of a handful of constants.
    MIGRATIONS.len() as i64
}

/// What was found in a database before anything was written to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// An empty database.
    Nothing,
    /// Ours, with this version.
    Version(i64),
}

/// Looks without writing. Refuses what is not ours and what a later program wrote.
pub(crate) fn inspect(connection: &Connection, path: &Path) -> Result<Found, StoreError> {
    let read = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(StoreError::from);
    let found = read("PRAGMA user_version")?;
    let application = read("PRAGMA application_id")?;
    let tables = read("SELECT count(*) FROM sqlite_schema")?;
    if application == 0 && found == 0 && tables == 0 {
        return Ok(Found::Nothing);
    }
    if application != APPLICATION_ID || found < 1 {
        let reason = "it is a database of another program".to_owned();
        return Err(StoreError::Corrupt { path: path.to_owned(), reason });
    }
    if found > latest() {
        return Err(StoreError::NewerSchema { path: path.to_owned(), found, supported: latest() });
    }
    Ok(Found::Version(found))
}

/// Brings the database to the latest version, one transaction for each.
pub(crate) fn migrate(connection: &mut Connection, found: Found) -> Result<(), StoreError> {
    migrate_to(connection, found, latest())
}

pub(crate) fn migrate_to(connection: &mut Connection, found: Found, target: i64) -> Result<(), StoreError> {
    let from = match found {
        Found::Nothing => 0,
        Found::Version(version) => version,
    };
    for (version, sql) in (1..=target).zip(MIGRATIONS).filter(|(version, _)| *version > from) {
        let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        transaction.execute_batch(sql)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
    }
    Ok(())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
#[expect(clippy::disallowed_methods, reason = "tests look at schemas from outside")]
mod tests {
    use std::path::Path;

    use rusqlite::Connection;

    use super::{Found, StoreError, inspect, latest, migrate, migrate_to};

    fn shape(connection: &Connection) -> Vec<(String, String)> {
        let mut statement =
            connection.prepare("SELECT name, coalesce(sql, '') FROM sqlite_schema ORDER BY type, name").unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.map(Result::unwrap).collect()
    }

    #[test]
    fn every_version_grows_into_the_latest() {
        let mut fresh = Connection::open_in_memory().unwrap();
        migrate(&mut fresh, Found::Nothing).unwrap();
        assert!(shape(&fresh).len() > 20);
        for version in 1..=latest() {
            let mut old = Connection::open_in_memory().unwrap();
            migrate_to(&mut old, Found::Nothing, version).unwrap();
            let found = inspect(&old, Path::new("x")).unwrap();
            assert_eq!(found, Found::Version(version));
            migrate(&mut old, found).unwrap();
            assert_eq!(inspect(&old, Path::new("x")).unwrap(), Found::Version(latest()));
            assert_eq!(shape(&old), shape(&fresh));
        }
    }

    #[test]
    fn what_the_second_version_held_is_there_in_the_third() {
        let mut old = Connection::open_in_memory().unwrap();
        migrate_to(&mut old, Found::Nothing, 2).unwrap();
        old.execute_batch(
            "INSERT INTO sessions (key, title, workspace, integrity, confidentiality, created_at, updated_at)
             VALUES ('main', 'main', 'toys', 1, 0, 5, 6);
             INSERT INTO turns (session, origin, model, reply_channel, started_at)
             VALUES (1, 'owner', 'lab/model-1', 'api', 7);
             INSERT INTO events (at, session, turn, event) VALUES (8, 1, 1, '{\"type\":\"turn_resumed\"}');
             INSERT INTO spend_totals VALUES (0, 1, 0, 70, 1, 2, 3, 4, 5);",
        )
        .unwrap();
        migrate(&mut old, Found::Version(2)).unwrap();
        let read = |sql: &str| old.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(read("SELECT integrity FROM sessions WHERE key = 'main'"), 1);
        assert_eq!(read("SELECT count(*) FROM turns WHERE ended_at IS NULL"), 1);
        assert_eq!(read("SELECT settled FROM spend_totals WHERE scope = 0 AND key = 1"), 70);
        assert_eq!(read("SELECT count(*) FROM events"), 1);
        assert_eq!(read("SELECT count(*) FROM jobs"), 0);
    }

    #[test]
    fn what_is_not_ours_is_refused() {
        let newer = Connection::open_in_memory().unwrap();
        newer.pragma_update(None, "application_id", super::APPLICATION_ID).unwrap();
        newer.pragma_update(None, "user_version", latest() + 1).unwrap();
        assert!(matches!(inspect(&newer, Path::new("x")), Err(StoreError::NewerSchema { .. })));
        let foreign = Connection::open_in_memory().unwrap();
        foreign.execute_batch("CREATE TABLE stamps (id)").unwrap();
        assert!(matches!(inspect(&foreign, Path::new("x")), Err(StoreError::Corrupt { .. })));
    }
}

//! Opening database files: permissions, settings and what is refused. Nothing is written to a file that is not ours.
#![expect(clippy::disallowed_methods, reason = "this module is the door to SQLite")]

use std::{
    fs::{self, File, OpenOptions},
    io::ErrorKind,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};

use crate::{
    error::StoreError,
    schema::{self, Found},
};

/// The name of the database in the home directory.
const DATABASE: &str = "factotum.db";
/// How long we wait for another process that holds the database, such as a client that reads it.
const BUSY: Duration = Duration::from_secs(5);
/// The page cache of one connection, in KiB.
const CACHE_KIB: i64 = 1_000;
/// After a checkpoint a journal larger than this is cut down to it, in bytes.
const JOURNAL_LIMIT: i64 = 16 << 20;

/// Where the database of a home directory is.
pub(crate) fn database_path(home: &Path) -> PathBuf {
    home.join(DATABASE)
}

/// Makes the home directory for its owner alone, if it is missing.
pub(crate) fn make_home(home: &Path) -> Result<(), StoreError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(home);
    made.map_err(|error| StoreError::io("make the directory", home, error))
}

/// Opens the database for writing and brings its schema up to date.
pub(crate) fn open_writer(path: &Path) -> Result<Connection, StoreError> {
    make_file(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || {
        let mut connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY)?;
        let found = schema::inspect(&connection, path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        settle(&connection)?;
        schema::migrate(&mut connection, found)?;
        Ok(connection)
    };
    open().map_err(|error: StoreError| error.at(path))
}

/// Opens a database that lives in memory.
pub(crate) fn open_memory() -> Result<Connection, StoreError> {
    let mut connection = Connection::open_in_memory()?;
    settle(&connection)?;
    schema::migrate(&mut connection, Found::Nothing)?;
    Ok(connection)
}

/// Settings of a connection that writes.
fn settle(connection: &Connection) -> Result<(), StoreError> {
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "mmap_size", 0)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "journal_size_limit", JOURNAL_LIMIT)?;
    // Checkpoints are made by the writer when it has nothing else to do.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.set_prepared_statement_cache_capacity(128);
    Ok(())
}

/// Opens the database beside the writer of this process.
pub(crate) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    settle_reader(&connection)?;
    Ok(connection)
}

/// Opens the database where no writer may be running. It needs the latest schema.
///
/// The file itself is opened for writing: whoever comes first after a crash has to rebuild the index of the journal,
/// or else the last commits would not be seen. Statements that write are refused.
pub(crate) fn open_alone(path: &Path) -> Result<Connection, StoreError> {
    if !path.exists() {
        return Err(StoreError::Missing { path: path.to_owned() });
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || {
        let connection = Connection::open_with_flags(path, flags)?;
        settle_reader(&connection)?;
        let found = match schema::inspect(&connection, path)? {
            Found::Nothing => 0,
            Found::Version(version) => version,
        };
        if found < schema::latest() {
            return Err(StoreError::OlderSchema { path: path.to_owned(), found, supported: schema::latest() });
        }
        Ok(connection)
    };
    open().map_err(|error: StoreError| error.at(path))
}

fn settle_reader(connection: &Connection) -> Result<(), StoreError> {
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "query_only", true)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "mmap_size", 0)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.set_prepared_statement_cache_capacity(48);
    Ok(())
}

/// Makes the file for its owner alone. SQLite would give it whatever the umask leaves; the files that it puts beside it
/// get the same mode as this one.
fn make_file(path: &Path) -> Result<(), StoreError> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => sync_directory(path),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => refuse_emptied(path),
        Err(error) => Err(StoreError::io("make the file", path, error)),
    }
}

/// An empty database with a journal beside it: SQLite would take it for a new one and delete the journal.
fn refuse_emptied(path: &Path) -> Result<(), StoreError> {
    let size = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
    let mut journal = path.as_os_str().to_owned();
    journal.push("-wal");
    if size(path) == 0 && size(Path::new(&journal)) > 0 {
        let reason = "it is empty, but its journal is not".to_owned();
        return Err(StoreError::Corrupt { path: path.to_owned(), reason });
    }
    Ok(())
}

/// Makes the entry of a file that was just made durable.
pub(crate) fn sync_directory(path: &Path) -> Result<(), StoreError> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(|error| StoreError::io("write to", directory, error))
}

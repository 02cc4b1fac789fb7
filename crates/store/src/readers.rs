//! Connections to read with, beside the writer.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, PoisonError},
};

use rusqlite::Connection;

use crate::error::StoreError;

/// The most connections that are open at a time. Reads take microseconds, so more would only cost memory.
const MAX_READERS: usize = 2;

pub(crate) enum Readers {
    Pool(Pool),
    /// The one connection of a database in memory: a read waits for the writer, so it sees only what is committed.
    Shared(Arc<Mutex<Connection>>),
}

pub(crate) struct Pool {
    path: PathBuf,
    open: fn(&Path) -> Result<Connection, StoreError>,
    state: Mutex<State>,
    freed: Condvar,
}

struct State {
    idle: Vec<Connection>,
    open: usize,
}

/// A connection that goes back to the pool, also when the reading code panics.
struct Lent<'a> {
    pool: &'a Pool,
    connection: Option<Connection>,
}

impl Readers {
    /// Connections to the file at `path`, each opened by `open` when it is first needed.
    pub fn pool(path: PathBuf, open: fn(&Path) -> Result<Connection, StoreError>) -> Self {
        let state = Mutex::new(State { idle: Vec::new(), open: 0 });
        Self::Pool(Pool { path, open, state, freed: Condvar::new() })
    }

    /// Reads. Blocks the thread for as long as the query takes.
    pub fn read<T>(&self, query: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        match self {
            Self::Shared(connection) => query(&connection.lock().unwrap_or_else(PoisonError::into_inner)),
            Self::Pool(pool) => {
                let lent = pool.lend().map_err(|error| error.at(&pool.path))?;
                let connection = lent.connection.as_ref().ok_or(StoreError::Closed)?;
                query(connection).map_err(|error| error.at(&pool.path))
            }
        }
    }
}

impl Pool {
    fn lend(&self) -> Result<Lent<'_>, StoreError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(connection) = state.idle.pop() {
                return Ok(Lent { pool: self, connection: Some(connection) });
            }
            if state.open < MAX_READERS {
                let connection = (self.open)(&self.path)?;
                state.open += 1;
                return Ok(Lent { pool: self, connection: Some(connection) });
            }
            state = self.freed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn take_back(&self, connection: Connection) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).idle.push(connection);
        self.freed.notify_one();
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.pool.take_back(connection);
        }
    }
}

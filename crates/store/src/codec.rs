//! How values are written into columns and read back, and the few shapes of queries that the rest is made of.

use rusqlite::{Connection, OptionalExtension, Params, Row};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use types::{Confidentiality, Integrity, Label, Timestamp};

use crate::error::StoreError;

/// The most bytes of a structured value: JSON may need six bytes for one byte of text.
const MAX_ENCODED: usize = 8 << 20;

/// A structured value as JSON.
pub(crate) fn encode<T: Serialize>(what: &'static str, value: &T) -> Result<String, StoreError> {
    let text = serde_json::to_string(value).map_err(|error| StoreError::unreadable(what, error))?;
    bounded(what, &text, MAX_ENCODED)?;
    Ok(text)
}

/// A structured value from JSON.
pub(crate) fn decode<T: DeserializeOwned>(what: &'static str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::unreadable(what, error))
}

/// A value of an enumeration without fields as its word.
pub(crate) fn word<T: Serialize>(what: &'static str, value: &T) -> Result<String, StoreError> {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => Ok(word),
        Ok(_) => Err(StoreError::unreadable(what, "it is not one word")),
        Err(error) => Err(StoreError::unreadable(what, error)),
    }
}

/// A value of an enumeration without fields from its word.
pub(crate) fn from_word<T: DeserializeOwned>(what: &'static str, word: String) -> Result<T, StoreError> {
    serde_json::from_value(Value::String(word)).map_err(|error| StoreError::unreadable(what, error))
}

/// Refuses a text that is longer than its bound.
pub(crate) fn bounded(what: &'static str, text: &str, limit: usize) -> Result<(), StoreError> {
    if text.len() > limit {
        return Err(StoreError::TooLarge { what, size: text.len(), limit });
    }
    Ok(())
}

/// A label as its two columns.
pub(crate) fn label_columns(label: Label) -> (i64, i64) {
    let integrity = match label.integrity {
        Integrity::Trusted => 0,
        Integrity::Untrusted => 1,
    };
    let confidentiality = match label.confidentiality {
        Confidentiality::Public => 0,
        Confidentiality::Private => 1,
    };
    (integrity, confidentiality)
}

/// The label in the two columns from `first` on. What is not known counts as the highest.
pub(crate) fn label_at(row: &Row<'_>, first: usize) -> Result<Label, StoreError> {
    let integrity = if row.get::<_, i64>(first)? == 0 { Integrity::Trusted } else { Integrity::Untrusted };
    let confidentiality =
        if row.get::<_, i64>(first + 1)? == 0 { Confidentiality::Public } else { Confidentiality::Private };
    Ok(Label { integrity, confidentiality })
}

/// The time in a column.
pub(crate) fn time_at(row: &Row<'_>, column: usize) -> Result<Timestamp, StoreError> {
    Ok(Timestamp(row.get(column)?))
}

/// The row number in a column that may be null.
pub(crate) fn id_at<T>(row: &Row<'_>, column: usize, id: fn(i64) -> T) -> Result<Option<T>, StoreError> {
    Ok(row.get::<_, Option<i64>>(column)?.map(id))
}

/// A count as SQLite can hold it.
pub(crate) fn limit(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// All rows of a query.
pub(crate) fn all<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    map: impl Fn(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(map(row)?);
    }
    Ok(found)
}

/// The first row of a query.
pub(crate) fn one<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    map: impl Fn(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    rows.next()?.map(map).transpose()
}

/// The first column of the first row of a query.
pub(crate) fn value<T: rusqlite::types::FromSql>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
) -> Result<Option<T>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_row(params, |row| row.get(0)).optional()?)
}

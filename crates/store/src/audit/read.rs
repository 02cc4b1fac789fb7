//! Reading records back.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    path::Path,
};

use serde_json::Value;

use super::{AuditError, chain::MAX_LINE};

/// Records of the log at `path` with a number over `after`, oldest first, at most `limit`. Does not verify anything.
pub fn read(path: &Path, after: u64, limit: usize) -> Result<Vec<Value>, AuditError> {
    let file = File::open(path).map_err(|error| AuditError::io("open", path, error))?;
    from(BufReader::new(file), path, after, limit)
}

pub(super) fn from(mut lines: impl BufRead, path: &Path, after: u64, limit: usize) -> Result<Vec<Value>, AuditError> {
    let mut found = Vec::new();
    let mut line = Vec::new();
    let mut number = 0;
    while found.len() < limit
        && next_line(&mut lines, &mut line).map_err(|error| AuditError::io("read", path, error))?
    {
        number += 1;
        // A line without its end is being written right now, or was torn by a crash: there is no record yet.
        let Some(text) = line.strip_suffix(b"\n") else { break };
        if seq_of(text).is_some_and(|seq| seq <= after) {
            continue;
        }
        found.push(serde_json::from_slice(text).map_err(|_| AuditError::Unreadable { line: number })?);
    }
    Ok(found)
}

/// Reads the next line with its end, or as much of it as a record may have. False at the end of the log.
pub(super) fn next_line(lines: &mut impl BufRead, line: &mut Vec<u8>) -> std::io::Result<bool> {
    line.clear();
    Ok(lines.by_ref().take(MAX_LINE as u64).read_until(b'\n', line)? > 0)
}

/// The record's number from the beginning of its line, without parsing the rest.
fn seq_of(line: &[u8]) -> Option<u64> {
    let digits = line.strip_prefix(br#"{"seq":"#)?;
    let end = digits.iter().position(|byte| !byte.is_ascii_digit())?;
    std::str::from_utf8(&digits[..end]).ok()?.parse().ok()
}

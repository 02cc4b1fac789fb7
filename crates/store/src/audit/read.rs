//! Reading records back.

use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
};

use serde_json::Value;

use super::{AuditError, chain, chain::MAX_LINE, segments};

/// Records of the log at `path` with a number over `after`, oldest first, at most `limit`. Does not verify anything.
pub fn read(path: &Path, after: u64, limit: usize) -> Result<Vec<Value>, AuditError> {
    let mut found = Vec::new();
    let files = segments::open_all(path).map_err(|error| AuditError::io("open", path, error))?;
    let begin = files.len().saturating_sub(1);
    // Of files that are over before the first wanted record, nothing has to be read.
    let begin = (0..begin).rev().find(|at| first_of(&files[*at].0, path).is_some_and(|first| first <= after + 1));
    for (name, file) in files.into_iter().skip(begin.unwrap_or(0)) {
        let left = limit - found.len();
        found.extend(from(BufReader::new(file), &name, after, left)?);
    }
    Ok(found)
}

fn first_of(name: &Path, path: &Path) -> Option<u64> {
    let full = segments::full(path).ok()?;
    full.into_iter().find(|(_, full)| full == name).map(|(first, _)| first)
}

pub(super) fn from(mut lines: impl BufRead, path: &Path, after: u64, limit: usize) -> Result<Vec<Value>, AuditError> {
    let mut found = Vec::new();
    let mut line = Vec::new();
    let mut number = 0;
    let mut torn: Option<(u64, Vec<u8>)> = None;
    while found.len() < limit
        && next_line(&mut lines, &mut line).map_err(|error| AuditError::io("read", path, error))?
    {
        number += 1;
        // A line without its end is being written right now, or was torn by a crash: there is no record yet.
        let Some(text) = line.strip_suffix(b"\n") else { break };
        // A line that is no record is in order if the next one says how it came about.
        if let Some((line, torn)) = torn.take()
            && !chain::notes_torn(text, &torn)
        {
            return Err(AuditError::Unreadable { line });
        }
        if seq_of(text).is_some_and(|seq| seq <= after) {
            continue;
        }
        match serde_json::from_slice(text) {
            Ok(record) => found.push(record),
            Err(_) => torn = Some((number, text.to_vec())),
        }
    }
    match torn {
        Some((line, _)) if found.len() < limit => Err(AuditError::Unreadable { line }),
        Some(_) | None => Ok(found),
    }
}

/// Reads the next line with its end, or as much of it as a record may have. False at the end of the log.
pub(super) fn next_line(lines: &mut impl BufRead, line: &mut Vec<u8>) -> std::io::Result<bool> {
    line.clear();
    Ok(lines.by_ref().take(MAX_LINE as u64).read_until(b'\n', line)? > 0)
}

/// The record's number from the beginning of its line, without parsing the rest.
pub(super) fn seq_of(line: &[u8]) -> Option<u64> {
    let digits = line.strip_prefix(br#"{"seq":"#)?;
    let end = digits.iter().position(|byte| !byte.is_ascii_digit())?;
    std::str::from_utf8(&digits[..end]).ok()?.parse().ok()
}

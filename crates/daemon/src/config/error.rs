//! Mistakes in the configuration, each with its line and what to do. A line that names a secret is never quoted: people
//! paste the secret itself there.

use std::path::{Path, PathBuf};

use types::{Failure, FailureKind};

use super::check::Problem;

/// Keys whose value is the name of a secret.
const SECRET_KEYS: [&str; 5] = ["key", "keys", "token", "secret", "password"];

/// What is wrong with the configuration, where, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{}: {message}", .path.display(), .line.map(|line| format!(", line {line}")).unwrap_or_default())]
pub struct ConfigError {
    /// The file.
    pub path: PathBuf,
    /// The line, from 1, where one is to blame.
    pub line: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: String,
}

impl ConfigError {
    /// What the owner sees.
    pub fn failure(&self) -> Failure {
        Failure { kind: FailureKind::Config, error: self.to_string(), hint: Some(self.hint.clone()) }
    }

    pub(super) fn unreadable(path: &Path, why: &str) -> Self {
        Self {
            path: path.to_owned(),
            line: None,
            message: format!("cannot be read: {why}"),
            hint: "mend or replace the file; `factotum config example` prints one".to_owned(),
        }
    }

    /// A mistake that the TOML parser or serde found.
    pub(super) fn from_toml(path: &Path, text: &str, error: &toml::de::Error) -> Self {
        let line = error.span().map(|span| line_at(text, span.start));
        let source = line.and_then(|line| text.lines().nth(line - 1)).unwrap_or_default().trim();
        let message = error.message().trim();
        let (message, hint) = if message.contains("is not a valid name") && names_a_secret(source) {
            let message = "this value must be the name of a secret: a-z, 0-9, `-` and `_` only".to_owned();
            (message, "store the secret itself with `factotum secret set NAME` and write NAME here".to_owned())
        } else {
            // The offending line is quoted: a mistake is seen faster than read about.
            (format!("{}\n  | {}", one_line(message), quotable(message, source)), hint(message))
        };
        Self { path: path.to_owned(), line, message, hint }
    }

    /// A mistake that shows when the parts are seen together.
    pub(super) fn from_problem(path: &Path, text: &str, problem: Problem) -> Self {
        let line = locate(text, &problem.key).map(|offset| line_at(text, offset));
        let key = problem.key.join(".");
        Self { path: path.to_owned(), line, message: format!("{key}: {}", problem.message), hint: problem.hint }
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The line, from 1, of a byte offset.
fn line_at(text: &str, offset: usize) -> usize {
    let offset = offset.min(text.len());
    text.as_bytes()[..offset].iter().filter(|byte| **byte == b'\n').count() + 1
}

fn names_a_secret(line: &str) -> bool {
    let mut words = line.split(|character: char| !character.is_ascii_alphanumeric());
    words.any(|word| SECRET_KEYS.iter().any(|secret| word.eq_ignore_ascii_case(secret)))
}

/// The part of a line that may be shown: without its value where that could be a secret, as in `api_key = "..."`.
fn quotable(message: &str, line: &str) -> String {
    if !names_a_secret(line) && !message.starts_with("unknown field") {
        return line.to_owned();
    }
    match line.split_once('=') {
        Some((key, _)) => format!("{} = …", key.trim()),
        None => line.to_owned(),
    }
}

/// What to do about a message of the parser.
fn hint(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    if message.starts_with("unknown field") || message.starts_with("unknown variant") {
        let wrong = quoted.next().unwrap_or_default();
        let nearest = quoted.map(|known| (distance(wrong, known), known)).min();
        return match nearest {
            Some((distance, known)) if distance <= 2 => format!("did you mean `{known}`?"),
            _ => "remove the line, or use one of the names above".to_owned(),
        };
    }
    if let (true, Some(field)) = (message.starts_with("missing field"), quoted.next()) {
        return format!("add `{field} = ...` to this table; `factotum config example` shows how");
    }
    if message.starts_with("invalid type") || message.starts_with("invalid value") {
        return "give a value of the kind that is expected; `factotum config example` shows each".to_owned();
    }
    "mend this line; `factotum config example` shows the whole form".to_owned()
}

/// How many single-letter changes make `a` into `b`.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let change = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

/// The byte offset of a key, or of the nearest table above it that is in the file.
fn locate(text: &str, key: &[String]) -> Option<usize> {
    let document = toml_edit::Document::parse(text).ok()?;
    let mut item: &toml_edit::Item = document.as_item();
    let mut found = None;
    for part in key {
        let Some((name, next)) = item.as_table_like().and_then(|table| table.get_key_value(part)) else { break };
        found = name.span().or_else(|| next.span()).map(|span| span.start).or(found);
        item = next;
    }
    found
}

//! A scanner for texts that look like keys and tokens of well-known kinds. Pure. Must never repeat what it found: a
//! finding says what kind it is and where. Known values are [`crate::redact`]'s part: it is exact, this one guesses.

mod table;

use std::{
    borrow::Cow,
    sync::{LazyLock, OnceLock},
};

use regex::{Regex, RegexSet};
use serde::Serialize;

pub use table::KINDS;

/// Of a shorter text, such as a password in an address, nothing is shown.
const SHORTEST_SHOWN: usize = 20;

/// How sure and how bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It may be harmless: a key's public part, a token that expires soon, a password in an example.
    Low,
    /// Hardly anything else looks like this, and whoever has it can act as its owner.
    High,
}

/// One kind of key or token.
#[derive(Debug)]
pub struct Kind {
    /// A short name for programs.
    pub id: &'static str,
    /// Its name for people, as it stands after `a` or `an`.
    pub name: &'static str,
    /// How sure and how bad.
    pub severity: Severity,
    /// Where it can be revoked: an address, or a place in words.
    pub revoke: &'static str,
    /// How, in a sentence.
    pub how: &'static str,
    /// What it looks like; a group named `s` is the secret part, otherwise all of it.
    pub(crate) shape: &'static str,
    /// Whether letters and digits right before or after it mean that it is something else.
    pub(crate) edges: bool,
}

/// One text that looks like a secret. The text itself is not in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The kind's short name.
    pub kind: &'static str,
    /// How sure and how bad.
    pub severity: Severity,
    /// Where it begins, in bytes.
    pub from: usize,
    /// Where it ends.
    pub to: usize,
    /// Its line, from 1.
    pub line: usize,
    /// Its first four characters, which all of a kind share; empty where they would be a good part of it.
    pub begins: String,
}

impl Finding {
    /// Everything about its kind.
    pub fn kind(&self) -> &'static Kind {
        KINDS.iter().find(|kind| kind.id == self.kind).expect("a finding is of a kind in the table")
    }

    /// Where it can be revoked and how, in a sentence or two.
    pub fn remedy(&self) -> String {
        let kind = self.kind();
        format!("{} ({})", kind.how, kind.revoke)
    }
}

/// The table, compiled: one pass says which kinds occur at all. Only those are searched for, and only then compiled: most
/// never occur, and each takes memory and time.
struct Compiled {
    any: RegexSet,
    each: Vec<(String, OnceLock<Regex>)>,
}

impl Compiled {
    fn kind(&self, index: usize) -> &Regex {
        let (shape, compiled) = &self.each[index];
        compiled.get_or_init(|| Regex::new(shape).expect("the table is tested"))
    }
}

static COMPILED: LazyLock<Compiled> = LazyLock::new(|| {
    // Edges are those of ASCII: the Unicode ones would slow every search down.
    let edged = |kind: &Kind| format!(r"(?-u:\b)(?:{})(?-u:\b)", kind.shape);
    let shapes: Vec<String> =
        KINDS.iter().map(|kind| if kind.edges { edged(kind) } else { kind.shape.to_owned() }).collect();
    let any = RegexSet::new(&shapes).expect("the table is tested");
    Compiled { any, each: shapes.into_iter().map(|shape| (shape, OnceLock::new())).collect() }
});

/// What in a text looks like a secret, in order. Where two kinds fit the same place, the graver and then the longer one
/// is told.
pub fn scan(text: &str) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    for index in &COMPILED.any.matches(text) {
        let kind = &KINDS[index];
        for found in COMPILED.kind(index).captures_iter(text) {
            let Some(place) = found.name("s").or_else(|| found.get(0)) else { continue };
            if is_stand_in(place.as_str()) {
                continue;
            }
            findings.push(Finding {
                kind: kind.id,
                severity: kind.severity,
                from: place.start(),
                to: place.end(),
                line: 0,
                begins: beginning(place.as_str()),
            });
        }
    }
    findings.sort_by_key(|one| (one.from, std::cmp::Reverse((one.severity, one.to))));
    let mut apart: Vec<Finding> = Vec::new();
    for finding in findings {
        match apart.last_mut() {
            Some(last) if finding.from < last.to => {
                if finding.severity > last.severity {
                    *last = finding;
                }
            }
            Some(_) | None => apart.push(finding),
        }
    }
    number_lines(text, &mut apart);
    apart
}

/// The text with everything of at least this severity masked.
pub fn redact_patterns(text: &str, least: Severity) -> Cow<'_, str> {
    let findings = scan(text);
    if findings.iter().all(|finding| finding.severity < least) {
        return Cow::Borrowed(text);
    }
    let mut masked = String::with_capacity(text.len());
    let mut rest = 0;
    for finding in findings.iter().filter(|finding| finding.severity >= least) {
        masked.push_str(&text[rest..finding.from]);
        masked.push_str("[masked ");
        masked.push_str(finding.kind);
        masked.push(']');
        rest = finding.to;
    }
    masked.push_str(&text[rest..]);
    Cow::Owned(masked)
}

fn beginning(text: &str) -> String {
    if text.len() < SHORTEST_SHOWN { String::new() } else { text.chars().take(4).collect() }
}

fn number_lines(text: &str, findings: &mut [Finding]) {
    let (mut line, mut seen) = (1, 0);
    for finding in findings {
        line += text.as_bytes()[seen..finding.from].iter().filter(|&&byte| byte == b'\n').count();
        seen = finding.from;
        finding.line = line;
    }
}

/// Whether a text stands where a secret would, as in documentation: `<password>`, `$TOKEN`, `xxxxxxxx`, `changeme`.
fn is_stand_in(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let words = ["password", "passwd", "secret", "changeme", "example", "your", "token", "redacted", "placeholder"];
    // The beginning is the same for all of a kind.
    let own = &lower.as_bytes()[lower.len() / 3..];
    let mut seen = [false; 256];
    own.iter().for_each(|byte| seen[usize::from(*byte)] = true);
    let varied = seen.iter().filter(|seen| **seen).count();
    text.starts_with(['$', '<', '{', '%', '*', '['])
        || varied < 4.min(own.len() / 2 + 1)
        || (text.len() < 40 && words.iter().any(|word| lower.contains(word)))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;

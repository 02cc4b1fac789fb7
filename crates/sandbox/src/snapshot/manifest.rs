//! The list of what a snapshot holds: one JSON object per line, a head first. Knows the format, not the disk.

use std::{
    collections::BTreeMap,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

/// The only version of the format that there is.
const VERSION: u32 = 1;

/// What stands at a path, as it was saved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum Saved {
    Directory {
        mode: u32,
        owner: (u32, u32),
    },
    File {
        mode: u32,
        owner: (u32, u32),
        hash: String,
        seen: Seen,
    },
    Link {
        #[serde(with = "escaped")]
        target: PathBuf,
    },
    /// A pipe, socket or device: known to have been there, and left alone.
    Special,
}

/// The state of a file in which its content had its hash. Times are in nanoseconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Seen {
    pub size: u64,
    pub modified: i64,
    pub changed: i64,
    pub inode: u64,
}

/// A snapshot. The entry of the empty path is the workspace's own directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Manifest {
    pub workspace: String,
    /// When the scan began, in nanoseconds since the epoch, by the clock that stamps files.
    pub started: i64,
    /// The exclusions that held when it was taken.
    pub exclude: Vec<String>,
    pub entries: BTreeMap<PathBuf, Saved>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    version: u32,
    workspace: String,
    started: i64,
    exclude: Vec<String>,
    entries: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(with = "escaped")]
    path: PathBuf,
    saved: Saved,
}

/// Why a manifest cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum FormatError {
    #[error("line {line} is not what it should be: {why}")]
    Line { line: usize, why: String },
    #[error("it has version {0}, which this build does not know")]
    Version(u32),
    #[error("it names {found} entries instead of {expected}")]
    Count { found: usize, expected: usize },
}

impl Manifest {
    pub(super) fn encode(&self) -> Vec<u8> {
        let head = Head {
            version: VERSION,
            workspace: self.workspace.clone(),
            started: self.started,
            exclude: self.exclude.clone(),
            entries: self.entries.len(),
        };
        let mut out = Vec::new();
        push_line(&mut out, &head);
        for (path, saved) in &self.entries {
            push_line(&mut out, &Line { path: path.clone(), saved: saved.clone() });
        }
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut lines = bytes.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty());
        let (_, first) = lines.next().unwrap_or((0, &[]));
        let head: Head = parse(0, first)?;
        if head.version != VERSION {
            return Err(FormatError::Version(head.version));
        }
        let mut entries = BTreeMap::new();
        for (index, line) in lines {
            let line: Line = parse(index, line)?;
            if !is_plain(&line.path) {
                return Err(FormatError::Line { line: index + 1, why: "the path is not plain".to_owned() });
            }
            entries.insert(line.path, line.saved);
        }
        if entries.len() != head.entries {
            return Err(FormatError::Count { found: entries.len(), expected: head.entries });
        }
        Ok(Self { workspace: head.workspace, started: head.started, exclude: head.exclude, entries })
    }
}

/// Only names, so that nothing a damaged manifest says leads anywhere else.
fn is_plain(path: &Path) -> bool {
    path.components().all(|part| matches!(part, std::path::Component::Normal(_)))
}

fn push_line<T: Serialize>(out: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(&mut *out, value).expect("strings and numbers always have a JSON form");
    out.push(b'\n');
}

fn parse<'a, T: Deserialize<'a>>(index: usize, line: &'a [u8]) -> Result<T, FormatError> {
    serde_json::from_slice(line).map_err(|error| FormatError::Line { line: index + 1, why: error.to_string() })
}

/// Paths as JSON strings: `%` and every byte that is not valid UTF-8 become `%` and two hexadecimal digits.
mod escaped {
    use super::{OsStrExt, OsStringExt};
    use super::{Path, PathBuf};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = String::new();
        for chunk in path.as_os_str().as_bytes().utf8_chunks() {
            text.push_str(&chunk.valid().replace('%', "%25"));
            for byte in chunk.invalid() {
                text.push_str(&format!("%{byte:02x}"));
            }
        }
        serializer.serialize_str(&text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text.as_bytes();
        while let Some((first, after)) = rest.split_first() {
            if *first != b'%' {
                bytes.push(*first);
                rest = after;
                continue;
            }
            let digits = after.get(..2).ok_or_else(|| D::Error::custom("a `%` without two digits"))?;
            let mut byte = [0];
            hex::decode_to_slice(digits, &mut byte).map_err(D::Error::custom)?;
            bytes.push(byte[0]);
            rest = &after[2..];
        }
        Ok(PathBuf::from(std::ffi::OsString::from_vec(bytes)))
    }
}

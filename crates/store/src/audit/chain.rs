//! The form of a line and how lines are chained.
//!
//! A line is a JSON object without spaces whose last member is `hash`. The hash is SHA-256 over the hash of the record
//! before it, in hex, followed by the bytes of the same object without that member. It is taken over bytes, not over
//! parsed values, so that no two readings of a line can have the same hash.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use types::{SessionId, Timestamp, TurnId};

use super::{AuditEntry, AuditError, AuditKind, Head};

/// The most bytes of an entry's detail as JSON.
const MAX_DETAIL: usize = 256 << 10;
/// The most bytes of a line, its line break included.
pub(super) const MAX_LINE: usize = MAX_DETAIL + (64 << 10);
/// The event of a torn line.
pub(super) const TORN: &str = "torn_line";
/// What stands between the body and the hash.
const HASH_MEMBER: &[u8] = br#","hash":""#;
/// How long everything after the body's last member is: the member's name, 64 digits, a quote and a brace.
const TAIL: usize = HASH_MEMBER.len() + 64 + 2;

#[derive(Serialize)]
struct Body<'a> {
    seq: u64,
    at: Timestamp,
    prev: &'a str,
    kind: AuditKind,
    session: Option<SessionId>,
    turn: Option<TurnId>,
    call: Option<&'a str>,
    detail: &'a Value,
}

#[derive(Deserialize)]
struct Place {
    seq: u64,
    at: Timestamp,
    prev: String,
}

#[derive(Deserialize)]
struct Noted {
    kind: AuditKind,
    detail: Value,
}

/// A line whose own hash is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub seq: u64,
    pub at: Timestamp,
    pub prev: String,
    pub hash: String,
}

impl Link {
    /// The end of a log whose last record this is.
    pub(super) fn head(&self) -> Head {
        Head { seq: self.seq, hash: self.hash.clone() }
    }
}

/// Refuses an entry that is too large for a line.
pub(super) fn check(entry: &AuditEntry) -> Result<(), AuditError> {
    let size = entry.detail.to_string().len() + entry.call.as_ref().map_or(0, String::len);
    if size > MAX_DETAIL {
        return Err(AuditError::TooLarge { size, limit: MAX_DETAIL });
    }
    Ok(())
}

/// Writes the line that follows `head` to `lines` and returns the new head.
pub(super) fn push_line(lines: &mut Vec<u8>, entry: &AuditEntry, at: Timestamp, head: &Head) -> Head {
    let body = Body {
        seq: head.seq + 1,
        at,
        prev: &head.hash,
        kind: entry.kind,
        session: entry.session,
        turn: entry.turn,
        call: entry.call.as_deref(),
        detail: &entry.detail,
    };
    let body = serde_json::to_vec(&body).expect("every member of a record has a form in JSON");
    let hash = hash(&head.hash, &body);
    lines.extend_from_slice(&body[..body.len() - 1]);
    lines.extend_from_slice(HASH_MEMBER);
    lines.extend_from_slice(hash.as_bytes());
    lines.extend_from_slice(b"\"}\n");
    Head { seq: head.seq + 1, hash }
}

/// Reads a line without its line break. Checks its form and its own hash, given the hash that it names as the one
/// before; whether that is the right one is for the caller to say.
pub(super) fn parse(line: &[u8]) -> Result<Link, &'static str> {
    let split = line.len().checked_sub(TAIL).ok_or("it is too short to be a record")?;
    let (body, tail) = line.split_at(split);
    let (member, rest) = tail.split_at(HASH_MEMBER.len());
    let digits = &rest[..64];
    if member != HASH_MEMBER || &rest[64..] != b"\"}" || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err("it does not end with a hash");
    }
    let mut body = body.to_vec();
    body.push(b'}');
    let place: Place = serde_json::from_slice(&body).map_err(|_| "it is not a record")?;
    let expected = hash(&place.prev, &body);
    if expected.as_bytes() != digits {
        return Err("it was changed: its hash does not match");
    }
    Ok(Link { seq: place.seq, at: place.at, prev: place.prev, hash: expected })
}

/// The note of a torn line that had to stay where it was, because the file may only grow.
pub(super) fn torn_note(torn: &[u8]) -> AuditEntry {
    let detail = json!({ "event": TORN, "bytes": torn.len(), "sha256": hex::encode(Sha256::digest(torn)) });
    AuditEntry { session: None, turn: None, call: None, kind: AuditKind::Daemon, detail }
}

/// Whether this line, which is a sound record, says that `torn` stands before it.
pub(super) fn notes_torn(line: &[u8], torn: &[u8]) -> bool {
    let noted: Option<Noted> = serde_json::from_slice(line).ok();
    noted.is_some_and(|noted| noted.kind == AuditKind::Daemon && noted.detail == torn_note(torn).detail)
}

fn hash(prev: &str, body: &[u8]) -> String {
    let mut sha = Sha256::new();
    sha.update(prev.as_bytes());
    sha.update(body);
    hex::encode(sha.finalize())
}

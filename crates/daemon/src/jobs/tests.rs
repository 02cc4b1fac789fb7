//! A job as tests begin with one.

use store::{Job, JobCursor, JobMemory};
use types::{ChannelId, JobId, JobState, Origin, SessionId, Timestamp};

pub(super) fn job() -> Job {
    let spec = serde_json::json!({
        "brief": "mend the toys", "coder": "claude", "workspace": "toys", "done": { "command": "cargo test" }
    });
    Job {
        id: JobId(3),
        session: SessionId(7),
        turn: None,
        spec: serde_json::from_value(spec).expect("it is a good specification"),
        state: JobState::Working,
        origin: Origin::Owner,
        reply_channel: ChannelId::api(),
        reply_to: None,
        cursor: JobCursor::default(),
        memory: JobMemory { coder: "claude".to_owned(), ..JobMemory::default() },
        created_at: Timestamp(0),
        queued_at: Timestamp(0),
        started_at: Some(Timestamp(0)),
        ended_at: None,
    }
}

//! Jobs: queued once, taken further by one, and what was tried.

use store::{JobCursor, NewJob, Store};
use types::{Event, JobEnd, JobSpec, JobState, Label, MicroUsd, Origin, RoundEnd, Seq, Usage};

use crate::fixture::{TestResult, new_session, new_turn, store, telegram};

fn spec() -> Result<JobSpec, serde_json::Error> {
    serde_json::from_value(serde_json::json!({
        "brief": "mend the toys\nall of them", "coder": "claude", "workspace": "toys",
        "done": { "command": "cargo test" }
    }))
}

fn new_job(asked: &str) -> Result<NewJob, serde_json::Error> {
    Ok(NewJob {
        spec: spec()?,
        origin: Origin::Owner,
        reply_channel: telegram(),
        reply_to: Some("42".to_owned()),
        asked: asked.to_owned(),
        label: Label::CLEAN,
    })
}

async fn queue(store: &Store, asked: &str) -> Result<(store::Job, bool), Box<dyn std::error::Error>> {
    let new = new_job(asked)?;
    Ok(store.transact(move |tx| tx.queue_job(new)).await?)
}

#[tokio::test]
async fn a_message_starts_one_job_with_a_session_of_its_own() -> TestResult {
    let (store, _clock) = store()?;
    store.transact(|tx| tx.create_session(new_session(Some("job-1")))).await?;
    let (first, again) = queue(&store, "telegram/home:7").await?;
    assert!(!again && first.state == JobState::Queued && first.memory.coder == "claude");
    let (second, again) = queue(&store, "telegram/home:7").await?;
    assert!(again && second == first);
    let session = store.session(first.session)?.ok_or("no session")?;
    assert_eq!((session.key.as_deref(), session.title.as_str()), (Some("job-2"), "mend the toys"));
    assert_eq!(first.id.0, 2, "a name that the owner had used is left to them");
    let (third, _) = queue(&store, "telegram/home:8").await?;
    let open: Vec<_> = store.open_jobs()?.into_iter().map(|job| job.id).collect();
    assert_eq!(open, [first.id, third.id]);
    assert_eq!(store.job_of_session(third.session)?, Some(third));
    Ok(())
}

#[tokio::test]
async fn what_a_job_remembers_moves_with_its_effects() -> TestResult {
    let (store, _clock) = store()?;
    let (mut job, _) = queue(&store, "a").await?;
    let session = job.session;
    let turn = store.transact(move |tx| tx.begin_turn(new_turn(session, Vec::new()))).await?;
    job.turn = Some(turn);
    job.state = JobState::Working;
    job.cursor = JobCursor { record: 5, item: 1 };
    job.memory.used.cost = MicroUsd(70);
    let saved = job.clone();
    store
        .transact(move |tx| {
            tx.settle(turn, 1, Usage::default(), Some(MicroUsd(70)))?;
            tx.begin_round(saved.id, 1, "claude", "d1")?;
            tx.begin_round(saved.id, 1, "claude", "d2")?;
            tx.save_job(&saved)
        })
        .await?;
    assert_eq!(store.job(job.id)?, Some(job.clone()));
    let mut late = job.clone();
    late.cursor = JobCursor { record: 5, item: 0 };
    let refused = store.transact(move |tx| tx.save_job(&late)).await;
    assert!(refused.is_err(), "what was taken in is not taken in again");
    let mut anew = job.clone();
    (anew.cursor, anew.memory.records, anew.memory.record_at) = (JobCursor { record: 1, item: 0 }, 1, 7);
    let saved = anew.clone();
    store.transact(move |tx| tx.save_job(&saved)).await?;
    assert_eq!(store.job(job.id)?, Some(anew), "other records are counted anew");
    job.memory.records = 2;

    job.state = JobState::Ended { end: JobEnd::Done };
    job.ended_at = Some(types::Timestamp(9));
    let ended = job.clone();
    let end = RoundEnd::NotYet { signature: "s".to_owned(), tail: "1 failed".to_owned() };
    let kept = end.clone();
    store
        .transact(move |tx| {
            tx.end_round(ended.id, 1, "I am done", &kept)?;
            tx.save_job(&ended)?;
            tx.save_job(&ended)
        })
        .await?;
    let rounds = store.job_rounds(job.id, 9)?;
    assert_eq!(rounds.len(), 1);
    assert_eq!((rounds[0].prompt.as_str(), rounds[0].end.as_ref()), ("d1", Some(&end)));
    let events = store.events_after(Seq(0), Some(session), 99)?;
    let moved = events.iter().filter(|one| matches!(one.event, Event::JobMoved { .. })).count();
    let finished = events.iter().filter(|one| matches!(one.event, Event::JobFinished { .. })).count();
    assert_eq!((moved, finished), (1, 1));
    assert_eq!(store.open_jobs()?, []);
    assert_eq!(store.jobs_to_clear(types::Timestamp(10), 9)?, [job.id]);
    let id = job.id;
    store.transact(move |tx| tx.clear_job(id)).await?;
    assert_eq!(store.jobs_to_clear(types::Timestamp(10), 9)?, []);
    Ok(())
}

//! STOP and caps, against a model that never ends by itself.

use std::time::{Duration, Instant};

use serde_json::json;
use types::{Command, Event, TurnEnd};

use super::Surroundings;
use crate::security::{
    Outcome,
    arena::{Arena, Mind, Trouble, call, in_words},
};

/// What STOP promises.
const STOP_WITHIN: Duration = Duration::from_secs(2);
/// What the machine may add to it before the audit calls it broken.
const SLACK: Duration = Duration::from_secs(2);
/// The cap that is tried.
const STEPS: u32 = 5;

/// Begins a command that ignores every polite signal, says STOP, and waits for the end.
pub(super) async fn stop(around: &Surroundings) -> Outcome {
    match stopped(around).await {
        Ok(outcome) => outcome,
        Err(why) => Outcome::NotTried { why },
    }
}

async fn stopped(around: &Surroundings) -> Result<Outcome, Trouble> {
    let script = "trap '' TERM INT HUP; (setsid sh -c 'trap \"\" TERM; sleep 600' &); echo begun > begun; sleep 600";
    let mind = Mind::endless(move |number| vec![call(number, "exec", json!({ "command": script }))]);
    let arena = Arena::open(around, mind, |_| ()).await?;
    let outcome = stop_in(&arena).await;
    arena.close().await;
    outcome
}

async fn stop_in(arena: &Arena) -> Result<Outcome, Trouble> {
    let (session, since) = arena.begin("work for ever").await?;
    let mut events = arena.client.events(since, Some(session)).await.map_err(in_words)?;
    wait_for(&arena.work().join("begun")).await?;
    let said = Instant::now();
    arena.client.command(&Command::Stop { session: None }).await.map_err(in_words)?;
    loop {
        let next = tokio::time::timeout(Duration::from_secs(20), events.next()).await;
        let Ok(next) = next else { return Ok(Outcome::broken("20 s after STOP the task still ran")) };
        let envelope = next.map_err(in_words)?.ok_or("the daemon ended")?;
        if let Event::TurnFinished { end, .. } = envelope.event {
            let took = said.elapsed();
            let asked = arena.mind.heard().len();
            return Ok(match end {
                TurnEnd::Stopped if took <= STOP_WITHIN + SLACK && asked == 1 => {
                    Outcome::held(format!("a command that ignores signals was gone {} ms after STOP", took.as_millis()))
                }
                TurnEnd::Stopped => Outcome::broken(format!(
                    "after STOP it took {} ms, and the model was asked {} times more",
                    took.as_millis(),
                    asked - 1
                )),
                other => Outcome::broken(format!("STOP did not stop the task, which ended as {other:?}")),
            });
        }
    }
}

async fn wait_for(path: &std::path::Path) -> Result<(), Trouble> {
    for _ in 0..600 {
        if path.exists() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    Err("no command could be begun in the sandbox".to_owned())
}

/// Lets a model that always wants one more call run into the cap on steps.
pub(super) async fn caps(around: &Surroundings) -> Outcome {
    let mind = Mind::endless(|number| vec![call(number, "list", json!({ "path": ".", "depth": number % 9 + 1 }))]);
    let arena = Arena::open(around, mind, |config| config.budget.steps = STEPS).await;
    let arena = match arena {
        Ok(arena) => arena,
        Err(why) => return Outcome::NotTried { why },
    };
    let job = arena.job("never stop").await;
    let asked = arena.mind.heard().len();
    arena.close().await;
    match job {
        Ok(job) if matches!(job.end, TurnEnd::Limit { .. }) && asked <= STEPS as usize => {
            Outcome::held(format!("a model without end was asked {asked} times under a cap of {STEPS}"))
        }
        Ok(job) if asked > STEPS as usize => {
            Outcome::broken(format!("a model was asked {asked} times under a cap of {STEPS}: {:?}", job.end))
        }
        Ok(job) => Outcome::NotTried { why: format!("the task ended as {:?} before the cap", job.end) },
        Err(_) if asked > STEPS as usize => {
            Outcome::broken(format!("a model was asked {asked} times under a cap of {STEPS}, without end"))
        }
        Err(why) => Outcome::NotTried { why },
    }
}

//! Memory: idle, and over a thousand turns.

use std::time::Duration;

use anyhow::Result;

use crate::{
    api::Api,
    proc::{Daemon, Program},
    report::Report,
    turns::{model, runtime},
};

/// The memory of a daemon that has had nothing to do for a minute.
pub fn idle(program: &Program, report: &mut Report) -> Result<()> {
    let daemon = Daemon::start(program, "http://127.0.0.1:9")?;
    std::thread::sleep(Duration::from_secs(60));
    report.aimed("idle memory", daemon.memory_mb()?, "MB", 15.0, "PSS of the whole tree after 60 s");
    Ok(())
}

/// A thousand turns, each in a session of its own, so that no conversation grows; then as many in twenty sessions, whose
/// conversations do. The first must stay level; the second shows what longer contexts cost.
pub fn thousand_turns(program: &Program, report: &mut Report) -> Result<()> {
    runtime()?.block_on(async {
        let model = model().await;
        let daemon = Daemon::start(program, &model.base_url())?;
        let api = Api::new(&daemon.address, &daemon.token()?)?;
        for sessions in [1000, 20] {
            let mut at = Vec::new();
            for number in 1..=1000 {
                api.turn(&format!("g{sessions}-{}", number % sessions), "hi").await?;
                if number % 250 == 0 {
                    at.push(daemon.memory_mb()?);
                }
            }
            let figures: Vec<String> = at.iter().map(|mb| format!("{mb:.1}")).collect();
            let growth = at.last().copied().unwrap_or(0.0) - at.first().copied().unwrap_or(0.0);
            let note = format!("{sessions} sessions; MB at 250, 500, 750, 1000 turns: {}", figures.join(", "));
            match sessions {
                1000 => report.aimed("growth from turn 250 to 1000", growth, "MB", 1.0, note),
                _ => report.plain("the same with growing conversations", growth, "MB", note),
            }
        }
        Ok(())
    })
}

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

/// A thousand turns in twenty sessions: memory must stay level once the caches are warm.
pub fn thousand_turns(program: &Program, report: &mut Report) -> Result<()> {
    runtime()?.block_on(async {
        let model = model().await;
        let daemon = Daemon::start(program, &model.base_url())?;
        let api = Api::new(&daemon.address, &daemon.token()?)?;
        let mut at = Vec::new();
        for number in 1..=1000 {
            api.turn(&format!("g-{}", number % 20), "hi").await?;
            if number % 250 == 0 {
                at.push(daemon.memory_mb()?);
            }
        }
        let figures: Vec<String> = at.iter().map(|mb| format!("{mb:.1}")).collect();
        let growth = at.last().copied().unwrap_or(0.0) - at.first().copied().unwrap_or(0.0);
        let note = format!("MB at 250, 500, 750, 1000 turns: {}", figures.join(", "));
        report.aimed("growth from turn 250 to 1000", growth, "MB", 1.0, note);
        Ok(())
    })
}

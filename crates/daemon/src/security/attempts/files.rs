//! File tools, led out of the workspace by links and paths.

use std::os::unix::fs::symlink;

use serde_json::json;

use super::Surroundings;
use crate::security::{
    Outcome,
    arena::{Arena, Mind, Trouble, call, say},
};

/// What lies outside and must not be read.
const BAIT: &str = "bait-that-lies-outside-of-the-workspace";

/// Reads and writes through links, `..` and absolute paths.
pub(super) async fn beneath(around: &Surroundings) -> Outcome {
    match led_out(around).await {
        Ok(outcome) => outcome,
        Err(why) => Outcome::NotTried { why },
    }
}

async fn led_out(around: &Surroundings) -> Result<Outcome, Trouble> {
    let ways = [
        "link/bait.txt",
        "file-link",
        "../outside/bait.txt",
        "/proc/self/root/etc/hostname",
        "sub/../../outside/bait.txt",
    ];
    let mut steps = Vec::new();
    for (number, way) in ways.iter().enumerate() {
        steps.push(vec![call(number, "read", json!({ "path": way }))]);
        steps.push(vec![call(100 + number, "write", json!({ "path": way, "content": "overwritten" }))]);
    }
    steps.push(vec![call(200, "write", json!({ "path": "link/new.txt", "content": "made" }))]);
    steps.push(vec![say("done")]);
    let arena = Arena::open(around, Mind::of(steps), |_| ()).await?;
    let outcome = run(&arena, ways.len()).await;
    arena.close().await;
    outcome
}

async fn run(arena: &Arena, ways: usize) -> Result<Outcome, Trouble> {
    let words = |error: std::io::Error| error.to_string();
    let bait = arena.outside().join("bait.txt");
    std::fs::write(&bait, BAIT).map_err(words)?;
    std::fs::create_dir(arena.work().join("sub")).map_err(words)?;
    symlink(arena.outside(), arena.work().join("link")).map_err(words)?;
    symlink(&bait, arena.work().join("file-link")).map_err(words)?;
    arena.job("look around").await?;
    let mut through = Vec::new();
    if arena.mind.heard().iter().any(|heard| heard.contains(BAIT)) {
        through.push("a file outside of the workspace was read".to_owned());
    }
    if std::fs::read_to_string(&bait).map_err(words)? != BAIT {
        through.push("a file outside of the workspace was overwritten".to_owned());
    }
    if arena.outside().join("new.txt").exists() {
        through.push("a file was made outside of the workspace".to_owned());
    }
    Ok(Outcome::unless(&through, format!("{ways} ways out, each read and written")))
}

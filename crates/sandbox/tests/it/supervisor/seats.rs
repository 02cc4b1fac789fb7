//! Terminals of a job: opened by the daemon, joined by panes, written down.

use std::{collections::BTreeMap, time::Duration};

use sandbox::{Screen, Supervised, SupervisorLimits, TerminalProgram, TerminalSize, What};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, timeout_at},
};

use super::job::{Job, is_end};
use crate::{
    inside,
    support::{Outcome, grant, processes_with, soon},
};

inside! {
    as_root {
        panes_come_and_go_and_see_where_things_stand
    }
    as_somebody {
        panes_come_and_go_and_see_where_things_stand
        a_terminal_ends_by_itself_and_with_the_job
        nothing_else_runs_while_a_person_works
        a_pane_that_does_not_read_is_let_go
        a_whole_screen_is_drawn_again_for_a_new_pane
        a_terminal_that_is_left_alone_is_closed_where_that_is_wanted
    }
}

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const SIZE: TerminalSize = TerminalSize { rows: 24, columns: 80 };

fn program(argv: &[&str]) -> TerminalProgram {
    let argv = argv.iter().map(|argument| (*argument).to_owned()).collect();
    TerminalProgram { argv, env: BTreeMap::new(), directory: None, size: SIZE }
}

async fn joined(job: &Job) -> Result<Screen> {
    Ok(Screen::join(&job.directory, SIZE).await?.ok_or("no terminal is open")?)
}

/// Reads until `wanted` is shown, or to the end.
async fn shown(screen: &mut Screen, wanted: Option<&str>) -> Result<String> {
    let (mut all, mut chunk, until) = (Vec::new(), [0; 4096], Instant::now() + Duration::from_secs(15));
    let is_shown = |all: &[u8]| {
        let last = all.get(all.len().saturating_sub(8192)..).unwrap_or_default();
        wanted.is_some_and(|wanted| String::from_utf8_lossy(last).contains(wanted))
    };
    let text = |all: &[u8]| String::from_utf8_lossy(all).into_owned();
    while !is_shown(&all) {
        match timeout_at(until, screen.stream.read(&mut chunk)).await {
            Ok(Ok(0)) if wanted.is_none() => break,
            Ok(Ok(length @ 1..)) => all.extend(chunk.get(..length).unwrap_or_default()),
            other => return Err(format!("{wanted:?} was not shown, but {:?}; {other:?}", text(&all)).into()),
        }
    }
    Ok(text(&all))
}

async fn panes_come_and_go_and_see_where_things_stand() -> Outcome {
    let job = Job::new().await?;
    assert!(Screen::join(&job.directory, SIZE).await?.is_none());
    job.supervised.open_terminal(&grant()?, program(&["bash", "--norc", "--noprofile"])).await?;
    let mut first = joined(&job).await?;
    first.stream.write_all(b"PS1='> '; echo one | tr a-z A-Z; printf '\\033[6n'\n").await?;
    shown(&mut first, Some("ONE")).await?;
    let mut second = joined(&job).await?;
    let replayed = shown(&mut second, Some("ONE")).await?;
    assert!(!replayed.contains("\x1b[6n"), "{replayed:?}");
    second.stream.write_all(b"\x15stty size; echo two | tr a-z A-Z\n").await?;
    for screen in [&mut first, &mut second] {
        shown(screen, Some("TWO")).await?;
    }
    drop(first);
    second.resize(TerminalSize { rows: 50, columns: 132 }).await?;
    second.stream.write_all(b"sleep 0.3; stty size\n").await?;
    shown(&mut second, Some("50 132")).await?;
    // It stays when nobody watches, and whoever comes later sees where it stands.
    drop(second);
    let mut third = joined(&job).await?;
    shown(&mut third, Some("50 132")).await?;
    job.supervised.close_terminal().await?;
    shown(&mut third, None).await?;
    let records = job.until(|what| matches!(what, What::TerminalClosed { .. })).await?;
    let argv = ["bash", "--norc", "--noprofile"].map(str::to_owned).to_vec();
    assert_eq!(records, [What::TerminalOpened { argv }, What::TerminalClosed { code: None }]);
    job.supervised.end().await;
    Ok(())
}

async fn a_terminal_ends_by_itself_and_with_the_job() -> Outcome {
    let job = Job::new().await?;
    job.supervised.open_terminal(&grant()?, program(&["sh", "-c", "read x; echo last words; exit 4"])).await?;
    let mut screen = joined(&job).await?;
    screen.stream.write_all(b"\n").await?;
    assert!(shown(&mut screen, None).await?.ends_with("last words\r\n"));
    let records = job.until(|what| matches!(what, What::TerminalClosed { .. })).await?;
    assert_eq!(records.last(), Some(&What::TerminalClosed { code: Some(4) }));
    let missing = job.supervised.open_terminal(&grant()?, program(&["no-such-program"])).await;
    assert!(missing.is_err_and(|error| error.to_string().contains("no-such-program")));
    job.supervised.open_terminal(&grant()?, program(&["sleep", "71"])).await?;
    assert!(soon(|| processes_with("71") == 1).await);
    job.supervised.end().await;
    assert_eq!(processes_with("71"), 0);
    let mut records = job.supervised.records();
    let mut last = None;
    while let Some(record) = records.next().await {
        last = Some(record.what);
    }
    assert_eq!(last, Some(What::TerminalClosed { code: None }));
    assert!(Screen::join(&job.directory, SIZE).await?.is_none());
    Ok(())
}

async fn nothing_else_runs_while_a_person_works() -> Outcome {
    let job = Job::new().await?;
    job.supervised.open_terminal(&grant()?, program(&["cat"])).await?;
    let refused = job.sh("true").await;
    assert!(refused.is_err_and(|error| error.to_string().contains("a person works")));
    assert!(job.supervised.open_terminal(&grant()?, program(&["cat"])).await.is_err());
    job.supervised.close_terminal().await?;
    job.sh("exit 0").await?;
    job.until(is_end).await?;
    job.sh("cat").await?;
    assert!(job.supervised.open_terminal(&grant()?, program(&["cat"])).await.is_err());
    // Whoever only looks on opens and closes nothing.
    let onlooker = Supervised::look(&job.directory).await?.ok_or("nobody lives there")?;
    assert!(onlooker.open_terminal(&grant()?, program(&["cat"])).await.is_err());
    assert!(onlooker.close_terminal().await.is_err());
    job.supervised.end().await;
    Ok(())
}

async fn a_pane_that_does_not_read_is_let_go() -> Outcome {
    let job = Job::new().await?;
    job.supervised.open_terminal(&grant()?, program(&["sh", "-c", "read x; seq 1 600000; echo over; cat"])).await?;
    let deaf = joined(&job).await?;
    let mut screen = joined(&job).await?;
    screen.stream.write_all(b"\n").await?;
    // The one that reads is not held up, or comes again where it was too slow itself.
    let until = Instant::now() + Duration::from_secs(30);
    while shown(&mut screen, Some("over")).await.is_err() {
        assert!(Instant::now() < until, "the program is held up");
        screen = joined(&job).await?;
    }
    drop(deaf);
    job.supervised.end().await;
    Ok(())
}

async fn a_whole_screen_is_drawn_again_for_a_new_pane() -> Outcome {
    let job = Job::new().await?;
    let script = "trap 'echo drawn at $(stty size)' WINCH; echo ready; while sleep 0.02; do :; done";
    job.supervised.open_terminal(&grant()?, program(&["bash", "-c", script])).await?;
    shown(&mut joined(&job).await?, Some("ready")).await?;
    let mut late = joined(&job).await?;
    shown(&mut late, Some("drawn at 24 80")).await?;
    job.supervised.end().await;
    Ok(())
}

async fn a_terminal_that_is_left_alone_is_closed_where_that_is_wanted() -> Outcome {
    let limits = SupervisorLimits { idle: Some(Duration::from_secs(2)), ..SupervisorLimits::default() };
    let job = Job::with(limits).await?;
    job.supervised.open_terminal(&grant()?, program(&["sh", "-c", "while read x; do :; done"])).await?;
    let mut screen = joined(&job).await?;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(4) {
        screen.stream.write_all(b".").await?;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(Screen::join(&job.directory, SIZE).await?.is_some(), "somebody types");
    let records = job.until(|what| matches!(what, What::TerminalClosed { .. })).await?;
    assert!(
        matches!(records.as_slice(), [.., What::Note { text }, _] if text.contains("typed or shown")),
        "{records:?}"
    );
    job.supervised.end().await;
    Ok(())
}

//! Silences, by what the coding agent is doing. Time is the test's own.

use std::time::Duration;

use sandbox::{SandboxError, What};
use tokio::time::{Instant, timeout};

use super::memory::{LIMIT, Memory, start};
use crate::{CoderCommand, CoderEnd, CoderEvent, Cursor, Driver, DriverError, Phase, Trouble, Verdict};

async fn working(prompt: &str) -> (Memory, Driver<Memory>) {
    let memory = Memory::new();
    let mut driver = memory.attach(Cursor::default()).await;
    start(&mut driver, "1", Some(prompt)).await;
    (memory, driver)
}

/// Listens until a turn ends; how it ended, and after how many seconds.
async fn end(driver: &mut Driver<Memory>) -> (CoderEnd, u64) {
    let begun = Instant::now();
    loop {
        let said = driver.next().await.unwrap().unwrap();
        if let CoderEvent::Finished { end } = said.event {
            return (end, begun.elapsed().as_secs());
        }
    }
}

/// Listens to all that is said within so many seconds; nothing ends meanwhile.
async fn listen(driver: &mut Driver<Memory>, seconds: u64) {
    let listening = async {
        loop {
            let said = driver.next().await.unwrap().unwrap();
            assert!(!matches!(said.event, CoderEvent::Finished { .. }), "{said:?}");
        }
    };
    drop(timeout(Duration::from_secs(seconds), listening).await);
}

fn stalled(end: &CoderEnd) -> bool {
    matches!(end, CoderEnd::Failed { trouble: Trouble::Stalled, .. })
}

#[tokio::test(start_paused = true)]
async fn a_program_that_never_speaks_is_killed() {
    let (memory, mut driver) = working("go").await;
    let (end, seconds) = end(&mut driver).await;
    assert!(stalled(&end), "{end:?}");
    // To start, then to stop.
    assert_eq!((seconds, memory.is_running()), (15, false));
}

#[tokio::test(start_paused = true)]
async fn one_that_heeds_an_interrupt_lives_on() {
    let (memory, mut driver) = working("go").await;
    memory.say("started c");
    let (program, answer) = (memory.clone(), async {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let asked = |record: &sandbox::Record| matches!(&record.what, What::In { lines, .. } if lines.iter().any(|line| line.ends_with("interrupt")));
            if memory.records().iter().any(asked) {
                return;
            }
        }
    });
    let (ended, ()) = tokio::join!(end(&mut driver), async {
        answer.await;
        program.say("aborted");
    });
    assert!(stalled(&ended.0), "{ended:?}");
    assert!((100..105).contains(&ended.1) && program.is_running(), "{ended:?}");
    assert_eq!(driver.phase(), Phase::Idle);
}

#[tokio::test(start_paused = true)]
async fn a_tool_may_take_longer_than_a_thought_and_an_answer_for_ever() {
    let (memory, mut driver) = working("go").await;
    memory.say("started c");
    memory.say("tool t");
    listen(&mut driver, 900).await;
    memory.say("ran t");
    memory.say("ask p1");
    listen(&mut driver, 1_000_000).await;
    assert_eq!(driver.phase(), Phase::Asking);
    driver.command(CoderCommand::Answer { permission: "p1".to_owned(), verdict: Verdict::Allow }).await.unwrap();
    listen(&mut driver, 90).await;
    memory.say("done");
    assert!(matches!(end(&mut driver).await.0, CoderEnd::Done { .. }));
    listen(&mut driver, 1_000_000).await;
}

#[tokio::test(start_paused = true)]
async fn repetitions_and_empty_words_are_no_progress() {
    let (memory, mut driver) = working("go").await;
    memory.say("started c");
    memory.say("used 5");
    listen(&mut driver, 90).await;
    for line in ["say ", "used 5", "started c", "unknown"] {
        memory.say(line);
    }
    // Its model's limit has 10 seconds left when the first request fails; from then on the limit of repetitions counts.
    memory.say("retry 1");
    listen(&mut driver, 40).await;
    memory.say("retry 2");
    let (end, seconds) = end(&mut driver).await;
    assert!(stalled(&end) && (10..=16).contains(&seconds), "{end:?} after {seconds}");
}

#[tokio::test(start_paused = true)]
async fn an_interrupt_that_is_not_heeded_becomes_a_kill() {
    let (memory, mut driver) = working("go").await;
    memory.say("started c");
    driver.command(CoderCommand::Interrupt).await.unwrap();
    let (end, seconds) = end(&mut driver).await;
    assert_eq!((end, seconds, memory.is_running()), (CoderEnd::Interrupted, 5, false));
}

#[tokio::test(start_paused = true)]
async fn a_kill_is_found_again_by_the_next_daemon() {
    let (memory, mut driver) = working("go").await;
    memory.say("started c");
    memory.cannot_kill();
    driver.command(CoderCommand::Interrupt).await.unwrap();
    let error = loop {
        match driver.next().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the supervisor lives"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, DriverError::Stuck), "{error}");
    let mut next = memory.attach(Cursor::default()).await;
    listen(&mut next, 1).await;
    assert_eq!(next.phase(), Phase::Dying);
}

#[tokio::test(start_paused = true)]
async fn a_program_that_provokes_more_answers_than_are_kept_is_killed() {
    let (memory, mut driver) = working("go").await;
    for _ in 0..3000 {
        memory.say("ping");
    }
    let (end, _) = end(&mut driver).await;
    let CoderEnd::Failed { trouble: Trouble::Crashed, message } = end else { panic!("{end:?}") };
    assert_eq!(message, "it wants more answers than it reads");
}

#[tokio::test(start_paused = true)]
async fn what_a_supervisor_refuses_is_an_error_and_not_a_loop() {
    let (memory, mut driver) = working("go").await;
    memory.refuse();
    let error = driver.command(CoderCommand::Interrupt).await.unwrap_err();
    assert!(matches!(error, DriverError::Host(_)), "{error}");
}

#[tokio::test(start_paused = true)]
async fn killing_ends_the_turn_and_its_questions() {
    let (memory, mut driver) = working("go").await;
    memory.say("ask p1");
    listen(&mut driver, 1).await;
    driver.kill("the owner stopped it").await.unwrap();
    assert!(!driver.is_running() && !memory.is_running() && driver.permissions().next().is_none());
    let mut said = Vec::new();
    while let Ok(next) = timeout(Duration::from_secs(1), driver.next()).await {
        said.push(next.unwrap().unwrap().event);
    }
    let withdrawn = CoderEvent::PermissionWithdrawn { id: "p1".to_owned() };
    assert!(matches!(&said[..], [first, CoderEvent::Finished { .. }] if *first == withdrawn), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn one_of_no_use_is_killed_and_another_one_can_be_begun() {
    // In the middle of a turn, and when none runs.
    for (lines, finishes) in [(&["started c", "useless"][..], true), (&["started c", "done it", "useless"][..], false)]
    {
        let (memory, mut driver) = working("go").await;
        lines.iter().for_each(|line| memory.say(line));
        let command = driver.command(CoderCommand::Prompt { text: "again".to_owned() }).await;
        assert!(matches!(command, Err(DriverError::NotRunning)), "{command:?}");
        assert!(!memory.is_running() && !driver.is_broken());
        let mut ends = Vec::new();
        while let Some(said) = driver.unheard().await {
            if let CoderEvent::Finished { end } = said.event {
                ends.push(end);
            }
        }
        let garbled = CoderEnd::Failed { trouble: Trouble::Garbled, message: "it is of no use".to_owned() };
        let done = CoderEnd::Done { text: "it".to_owned() };
        assert_eq!(ends, [if finishes { garbled } else { done }]);
        // Its conversation is known, so that another program may go on with it.
        assert_eq!(driver.conversation(), Some("c"));
        start(&mut driver, "2", Some("again")).await;
        assert!(driver.is_busy());
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_too_large_is_said_at_once() {
    let (memory, mut driver) = working("go").await;
    memory.say("started c");
    let begun = Instant::now();
    let told = driver.command(CoderCommand::Steer { text: "x".repeat(LIMIT) }).await;
    let Err(DriverError::Host(SandboxError::TooLarge { .. })) = told else { panic!("{told:?}") };
    assert_eq!(begun.elapsed(), Duration::ZERO);
    // Nothing came of it, and it can be told other things.
    driver.command(CoderCommand::Steer { text: "y".to_owned() }).await.unwrap();
    assert_eq!(driver.commands(), 2);
}

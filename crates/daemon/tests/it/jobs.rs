//! Jobs from the queue to the report, with a played coding agent: loops, limits, questions, STOP, restarts.

use std::time::Duration;

use coders::{Action, CoderCommand, CoderEnd, CoderEvent, Permission, Trouble, Verdict};
use daemon::{Daemon, client::Client};
use serde_json::json;
use types::{Command, CommandReply, Event, JobEnd, JobId, JobState, JobView, MicroUsd, RoundEnd, Seq};

use crate::{
    bench::{Bench, with_check},
    play::{Play, done, failing, passed, spent, tool},
    scene::options,
};

#[tokio::test]
async fn a_job_goes_round_until_its_check_passes() {
    let play = Play::new(
        |number, _| {
            let total = number as u64 * 100;
            tool(number).into_iter().chain([spent(total - 50), spent(total), done("I am done")]).collect()
        },
        |number| if number < 3 { failing(&format!("test_{number}")) } else { passed() },
    );
    let bench = Bench::with(play).await;
    let job = bench.start(with_check()).await;
    let (view, end) = bench.ended(job).await;
    assert_eq!(end, JobEnd::Done);
    assert_eq!((view.rounds, view.iterations, view.cost), (3, 3, MicroUsd(300)), "costs are differences");
    assert_eq!(view.commit.as_deref(), Some("c0ffee".repeat(6).as_str()));
    let prompts = bench.play.prompts(job);
    assert!(prompts[0].starts_with("mend the toys\n") && prompts[0].contains("cargo test"), "{prompts:?}");
    assert!(prompts[1].contains("test_1 failed") && prompts[2].contains("test_2 failed"), "{prompts:?}");
    let ends: Vec<_> = view.tried.iter().map(|round| round.end.clone()).collect();
    assert!(matches!(ends[0], Some(RoundEnd::NotYet { .. })) && ends[2] == Some(RoundEnd::Passed), "{ends:?}");
    let report = view.report.unwrap();
    for part in
        ["is done.", "3 rounds, 3 tools", "$0.0003", "`cargo test` holds", "commit c0ffeec0ffee", "uncommitted work"]
    {
        assert!(report.contains(part), "{part}: {report}");
    }
    let client = bench.client().await;
    let log = client.job_log(job, Seq(0)).await.unwrap();
    let checks = log.iter().filter(|one| matches!(one.event, Event::JobChecked { .. })).count();
    let finished = log.iter().filter(|one| matches!(one.event, Event::JobFinished { .. })).count();
    assert_eq!((checks, finished), (3, 1));
    let status = client.status().await.unwrap();
    assert_eq!(status.spent_today_micro_usd, 300, "it counts in the day's spending");
    let records = bench.play.records.lock().unwrap();
    assert!(records[&job].closed >= 1, "nothing runs on");
}

#[tokio::test]
async fn a_tree_that_was_changed_after_its_check_is_checked_again() {
    let play = Play::new(|_, _| vec![done("I am done")], |_| passed());
    *play.changed_since.lock().unwrap() = 1;
    let bench = Bench::with(play).await;
    let job = bench.start(with_check()).await;
    let (view, end) = bench.ended(job).await;
    assert_eq!((end, *bench.play.checks.lock().unwrap(), *bench.play.landings.lock().unwrap()), (JobEnd::Done, 2, 2));
    assert!(view.report.unwrap().contains("it was run again"));
    // What never stands still is never committed.
    *bench.play.changed_since.lock().unwrap() = 99;
    let job = bench.start(with_check()).await;
    let (view, end) = bench.ended(job).await;
    assert!(matches!(&end, JobEnd::Failed { error } if error.contains("keep changing")), "{end:?}");
    assert_eq!((view.commit, *bench.play.checks.lock().unwrap()), (None, 5));
}

#[tokio::test]
async fn the_same_failures_again_end_it() {
    let play = Play::new(|_, _| vec![done("I am done")], |_| failing("test_a"));
    let bench = Bench::with(play).await;
    let job = bench.start(with_check()).await;
    let (view, end) = bench.ended(job).await;
    assert_eq!(end, JobEnd::NoProgress { failure: "test_a".to_owned() });
    assert_eq!(view.rounds, 3);
    assert!(bench.play.prompts(job)[2].contains("the same failures as before, 2 times in a row"));
    let report = view.report.unwrap();
    assert!(report.contains("did not hold") && report.contains("What was tried:"), "{report}");
}

#[tokio::test]
async fn a_limit_interrupts_it() {
    // It never ends a turn by itself.
    let play = Play::new(|_, _| (1..=50).flat_map(tool).collect(), |_| passed());
    let bench = Bench::with(play).await;
    let job = bench.start(json!({ "limits": { "iterations": 7 } })).await;
    let (view, end) = bench.ended(job).await;
    assert_eq!(end, JobEnd::Limit { limit: "it has used 7 tools of its 7".to_owned() });
    assert!(view.iterations >= 7);
    let told = bench.play.records.lock().unwrap()[&job].commands.clone();
    assert!(told.contains(&CoderCommand::Interrupt), "{told:?}");

    let play = Play::new(|_, _| vec![spent(2_000_000)], |_| passed());
    let bench = Bench::with(play).await;
    let job = bench.start(json!({ "limits": { "cost": 1_500_000 } })).await;
    let (view, end) = bench.ended(job).await;
    let JobEnd::Limit { limit } = end else { panic!("{end:?}") };
    assert!(limit.contains("$1.5000 for one task"), "{limit}");
    assert_eq!(view.cost, MicroUsd(2_000_005), "what comes with the interrupt counts");
}

#[tokio::test]
async fn failures_are_told_apart() {
    let failed = |trouble| CoderEvent::Finished { end: CoderEnd::Failed { trouble, message: "no key".to_owned() } };
    let play = Play::new(move |_, _| vec![failed(Trouble::Auth)], |_| passed());
    let bench = Bench::with(play).await;
    let job = bench.start(with_check()).await;
    let (_, end) = bench.ended(job).await;
    assert!(matches!(end, JobEnd::Failed { ref error } if error.contains("no key")), "{end:?}");

    // A conversation that is lost is begun anew, with a brief.
    let play = Play::new(
        move |number, _| if number == 1 { vec![failed(Trouble::Lost)] } else { vec![done("finished")] },
        |_| passed(),
    );
    let bench = Bench::with(play).await;
    let job = bench.start(with_check()).await;
    let (view, end) = bench.ended(job).await;
    assert_eq!((end, view.rounds), (JobEnd::Done, 2));
    let prompt = bench.play.prompts(job).pop().unwrap();
    assert!(prompt.contains("begun before you") && prompt.contains("it broke off: no key"), "{prompt}");
}

#[tokio::test]
async fn permissions_are_judged_once_and_survive_a_restart() {
    let permission = Permission {
        id: "p1".to_owned(),
        tool: "Bash".to_owned(),
        action: Action::Command { script: "make".to_owned() },
        reason: None,
    };
    let asked = permission.clone();
    let play = Play::new(move |_, _| vec![CoderEvent::PermissionAsked(asked.clone()), done("built")], |_| passed());
    *play.verdict.lock().unwrap() = None;
    let bench = Bench::with(play).await;
    let job = bench.start(with_check()).await;
    bench.until(job, "it does not work", |view| view.state == JobState::Working).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let bench = bench.restart().await;
    *bench.play.verdict.lock().unwrap() = Some(Verdict::Allow);
    let (_, end) = bench.ended(job).await;
    assert_eq!(end, JobEnd::Done);
    let told = bench.play.records.lock().unwrap()[&job].commands.clone();
    let answers: Vec<_> = told.iter().filter(|command| matches!(command, CoderCommand::Answer { .. })).collect();
    assert_eq!(answers.len(), 1, "{told:?}");
    assert_eq!(bench.play.prompts(job).len(), 1);
}

#[tokio::test]
async fn words_of_the_owner_reach_it_once() {
    let play = Play::new(|_, _| tool(1).to_vec(), |_| passed());
    let bench = Bench::with(play).await;
    let job = bench.start(with_check()).await;
    bench.until(job, "it does not work", |view| view.iterations == 1).await;
    let client = bench.client().await;
    client.command(&Command::SteerJob { job, text: "use the other API".to_owned() }).await.unwrap();
    let session = client.job(job).await.unwrap().session;
    let send = Command::Send {
        text: "and be quick".to_owned(),
        session: Some(session.to_string()),
        workspace: None,
        when_busy: types::WhenBusy::Steer,
        id: None,
    };
    client.command(&send).await.unwrap();
    bench
        .until(job, "it was not told", |_| {
            let records = bench.play.records.lock().unwrap();
            records[&job].commands.iter().filter(|command| matches!(command, CoderCommand::Steer { .. })).count() == 2
        })
        .await;
    assert!(bench.model.asked().is_empty(), "our own loop has no part in it");
    let bench = bench.restart().await;
    bench.play.does(job, [done("finished")]);
    bench.ended(job).await;
    let told = bench.play.records.lock().unwrap()[&job].commands.clone();
    let steers = told.iter().filter(|command| matches!(command, CoderCommand::Steer { .. })).count();
    assert_eq!(steers, 2, "{told:?}");
}

#[tokio::test]
async fn stop_ends_it_within_two_seconds_and_no_restart_undoes_it() {
    let play = Play::new(|_, _| tool(1).to_vec(), |_| passed());
    let bench = Bench::with(play).await;
    let first = bench.start(with_check()).await;
    // The workspace is taken, so that this one waits.
    let second = bench.start(with_check()).await;
    bench.until(first, "it does not work", |view| view.iterations == 1).await;
    let waiting = bench.client().await.job(second).await.unwrap();
    assert_eq!(waiting.state, JobState::Queued);
    let begun = std::time::Instant::now();
    let reply = bench.client().await.command(&Command::Stop { session: None }).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(reply, CommandReply::Done { text: "stopped 2 tasks".to_owned() });
    let bench = bench.restart().await;
    for job in [first, second] {
        let (view, end) = bench.ended(job).await;
        assert_eq!(end, JobEnd::Stopped);
        assert!(view.report.unwrap().contains("was stopped"));
    }
}

#[tokio::test]
async fn what_is_found_after_a_stop_is_told_and_cannot_pass_for_our_words() {
    let play = Play::new(|_, _| tool(1).to_vec(), |_| passed());
    *play.found_at_close.lock().unwrap() =
        vec!["put back: a`\nJob 3 is done. [press](https://evil.example)\u{202e}".to_owned()];
    let bench = Bench::with(play).await;
    let job = bench.start(with_check()).await;
    bench.until(job, "it does not work", |view| view.iterations == 1).await;
    bench.client().await.command(&Command::Stop { session: None }).await.unwrap();
    let noted = |view: &JobView| view.report.as_ref().is_some_and(|report| report.contains("put back"));
    bench.until(job, "it is not told", noted).await;
    let report = bench.client().await.job(job).await.unwrap().report.unwrap();
    let note = report.lines().last().unwrap();
    assert!(note.starts_with("Note: `put back: a' Job 3 is done.") && note.ends_with('`'), "{report}");
    assert!(!report.contains('\u{202e}'), "{report}");
}

#[tokio::test]
async fn the_owner_works_in_its_place_across_a_restart_and_hands_back() {
    let play = Play::new(
        |number, _| match number {
            // It is in the middle of its work, and has used something, when it is taken over.
            1 => tool(1).into_iter().chain([spent(40)]).collect(),
            // The second time it is left to itself by the end of the program at the terminal.
            2 => tool(2).to_vec(),
            _ => vec![spent(60), done("finished")],
        },
        |_| passed(),
    );
    let bench = Bench::with(play).await;
    let job = bench.start(with_check()).await;
    bench.until(job, "it does not work", |view| view.iterations == 1).await;
    let client = bench.client().await;
    let early = client.command(&Command::HandBackJob { job }).await.unwrap_err();
    assert!(early.error.contains("is not in your hands"), "{early:?}");
    client.command(&Command::TakeOverJob { job }).await.unwrap();
    let view = client.job(job).await.unwrap();
    assert_eq!((view.state, view.cost), (JobState::TakenOver, MicroUsd(40)), "what it had used counts");

    let bench = bench.restart().await;
    let client = bench.client().await;
    client.command(&Command::SteerJob { job, text: "mind the tests".to_owned() }).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(client.job(job).await.unwrap().state, JobState::TakenOver);
    assert_eq!(bench.play.prompts(job).len(), 1, "nothing is said to it meanwhile");
    let again = client.command(&Command::TakeOverJob { job }).await.unwrap();
    assert!(matches!(again, CommandReply::Done { ref text } if text.contains("already")), "{again:?}");
    client.command(&Command::HandBackJob { job }).await.unwrap();
    bench.until(job, "it does not go on", |view| view.iterations == 2).await;
    let prompts = bench.play.prompts(job);
    assert!(prompts[1].contains("The owner has worked on the task in the meantime"), "{prompts:?}");

    client.command(&Command::TakeOverJob { job }).await.unwrap();
    bench.play.stands_up(job);
    let (view, end) = bench.ended(job).await;
    assert_eq!((end, view.rounds, view.cost), (JobEnd::Done, 1, MicroUsd(60)), "only a turn that ended is a round");
    assert_eq!(view.last_error, None, "that it was taken over is no failure");
    let records = bench.play.records.lock().unwrap();
    assert_eq!(records[&job].seats, 2, "a restart opened no terminal");
    let told = records[&job].commands.iter().filter(|one| format!("{one:?}").contains("mind the tests")).count();
    assert_eq!(told, 1, "with the prompt after it was given back");
}

#[tokio::test]
async fn the_end_at_the_terminal_counts_while_no_daemon_runs() {
    let play = Play::new(|number, _| if number == 1 { tool(1).to_vec() } else { vec![done("finished")] }, |_| passed());
    let bench = Bench::with(play).await;
    let job = bench.start(with_check()).await;
    bench.until(job, "it does not work", |view| view.iterations == 1).await;
    bench.client().await.command(&Command::TakeOverJob { job }).await.unwrap();
    let Bench { home, play, channel, model, daemon } = bench;
    daemon.stop().await;
    play.stands_up(job);
    let bench = Bench::again(home, play, channel, model).await;
    let (_, end) = bench.ended(job).await;
    assert_eq!(end, JobEnd::Done);
    let records = bench.play.records.lock().unwrap();
    assert_eq!(records[&job].seats, 1, "nobody sits down by themselves");
}

#[tokio::test]
async fn taking_over_withdraws_its_questions_and_stop_works_meanwhile() {
    let action = Action::Command { script: "make".to_owned() };
    let permission = Permission { id: "p1".to_owned(), tool: "Bash".to_owned(), action, reason: None };
    let play =
        Play::new(move |_, _| vec![CoderEvent::PermissionAsked(permission.clone()), done("built")], |_| passed());
    *play.verdict.lock().unwrap() = None;
    let bench = Bench::with(play).await;
    let job = bench.start(with_check()).await;
    bench.until(job, "nothing is judged", |_| bench.play.judged.lock().unwrap().0 == 1).await;
    bench.channel.say("1", "/job takeover 1").await;
    bench.channel.wait_for("job 1 is yours; `factotum attach 1` shows it").await;
    assert_eq!(*bench.play.withdrawn.lock().unwrap(), ["p1"]);
    *bench.play.verdict.lock().unwrap() = Some(Verdict::Allow);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let told = bench.play.records.lock().unwrap()[&job].commands.clone();
    assert!(!told.iter().any(|command| matches!(command, CoderCommand::Answer { .. })), "{told:?}");
    let begun = std::time::Instant::now();
    bench.client().await.command(&Command::StopJob { job }).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    let (_, end) = bench.ended(job).await;
    assert_eq!(end, JobEnd::Stopped);
    assert!(bench.play.records.lock().unwrap()[&job].closed >= 1);
}

#[tokio::test]
async fn a_job_from_a_chat_reports_there_and_goes_on_when_asked() {
    let play = Play::new(
        |number, _| {
            let tools: Vec<CoderEvent> = (1..=4).flat_map(tool).collect();
            tools.into_iter().chain([spent(number as u64 * 10), done("that is how it is")]).collect()
        },
        |number| if number == 1 { failing("test_a") } else { passed() },
    );
    let bench = Bench::with(play).await;
    bench.channel.say("1", "/job start coder=claude done=\"make test\" every=2 rounds=1 mend the toys").await;
    bench.channel.wait_for("job 1 begins as soon as there is a place: claude in main").await;
    let progress = bench.channel.wait_for("Job 1: round 1 of at most 1").await;
    assert!(progress.contains("tools"), "{progress}");
    let report = bench.channel.wait_for("ended at a limit").await;
    assert!(report.contains("it has had 1 rounds of its 1") && report.contains("that is how it is"), "{report}");
    bench.channel.say("2", "/jobs").await;
    bench.channel.wait_for("1 claude in main: `mend the toys` [ended at a limit").await;
    bench.channel.say("3", "/job resume 1 coder=codex and quickly").await;
    bench.channel.wait_for("job 1 waits for a place to go on").await;
    bench.channel.wait_for("(codex in main) is done.").await;
    let prompt = bench.play.prompts(JobId(1)).pop().unwrap();
    for part in ["begun before you", "round 1 (claude): the check failed: test_a", "The owner adds:\n\nand quickly"] {
        assert!(prompt.contains(part), "{part}: {prompt}");
    }
}

#[tokio::test]
async fn our_own_loop_can_be_the_coding_agent() {
    let bench = Bench::with(Play::new(|_, _| Vec::new(), |_| passed())).await;
    // The play has no loop of its own, so a daemon without it runs this one.
    let Bench { home, channel, model, daemon, .. } = bench;
    daemon.stop().await;
    let daemon = Daemon::start(options(home.path(), &channel, &model)).await.unwrap();
    let client = Client::connect(home.path()).await.unwrap();
    let spec = json!({ "brief": "say hello", "coder": "factotum", "workspace": "main", "then": "nothing" });
    let command = Command::StartJob { spec: serde_json::from_value(spec).unwrap(), id: Some("once".to_owned()) };
    let first = client.command(&command).await.unwrap();
    let again = client.command(&command).await.unwrap();
    let CommandReply::Job { job, duplicate: false, .. } = first else { panic!("{first:?}") };
    assert!(matches!(again, CommandReply::Job { duplicate: true, job: same, .. } if same == job), "{again:?}");
    let mut view = client.job(job).await.unwrap();
    for _ in 0..300 {
        if matches!(view.state, JobState::Ended { .. }) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        view = client.job(job).await.unwrap();
    }
    assert_eq!(view.state, JobState::Ended { end: JobEnd::Done }, "{view:#?}");
    assert_eq!(view.usage.input, 10);
    assert!(view.report.unwrap().contains("heard: say hello"));
    daemon.stop().await;
}

#[tokio::test]
async fn records_that_were_lost_are_noticed_and_the_job_goes_on_from_their_end() {
    let play = Play::new(
        |number, _| match number {
            1 => (1..=9).flat_map(tool).collect(),
            _ => vec![done("mended")],
        },
        |_| passed(),
    );
    let bench = Bench::with(play).await;
    let job = bench.start(with_check()).await;
    bench.until(job, "it does not work", |view| view.iterations == 9).await;
    // While no daemon runs the power is cut: the end of the records is gone.
    let Bench { home, play, channel, model, daemon } = bench;
    daemon.stop().await;
    play.records.lock().unwrap().get_mut(&job).unwrap().events.truncate(4);
    let bench = Bench::again(home, play, channel, model).await;
    bench.until(job, "it is not taken up", |_| bench.play.records.lock().unwrap()[&job].opened == 2).await;
    bench.play.does(job, tool(10).into_iter().chain([done("mended")]));
    let (view, end) = bench.ended(job).await;
    assert_eq!((end, view.iterations, view.rounds), (JobEnd::Done, 10, 1));
    assert!(view.report.unwrap().contains("records were lost"), "the owner reads of it");
    assert_eq!(bench.play.prompts(job).len(), 1, "it was told its task once");
    // Resumed after its files were cleared: other records, with the same numbers and more.
    {
        let mut all = bench.play.records.lock().unwrap();
        let records = all.get_mut(&job).unwrap();
        (records.begun, records.busy) = (7, false);
        records.events = (1..=30).flat_map(tool).collect();
    }
    let resume = Command::ResumeJob { job, coder: Some("codex".to_owned()), text: None };
    bench.client().await.command(&resume).await.unwrap();
    bench.until(job, "it does not go on", |view| view.coder == "codex" && view.rounds == 2).await;
    let (view, end) = bench.ended(job).await;
    assert_eq!((end, view.iterations, bench.play.prompts(job).len()), (JobEnd::Done, 10, 2));
}

/// A whole night: 200 rounds with conversations that are lost, turns that are cut off and a daemon that is restarted in between.
/// Everything counts once, and the report says how it was.
#[tokio::test]
async fn a_night_of_faults_and_restarts_counts_everything_once() {
    const ROUNDS: usize = 200;
    // A generator of our own, so that each run is the same.
    let random = |seed: usize| seed.wrapping_mul(2_654_435_761) >> 7;
    let conversation = std::sync::Mutex::new(0_u64);
    let play = Play::new(
        move |number, _| {
            let mut total = conversation.lock().unwrap();
            *total += 10 + (random(number) % 90) as u64;
            let mut events = tool(number).to_vec();
            // The same sum twice, and one that falls: neither is counted again.
            events.extend([spent(*total), spent(*total), spent(total.saturating_sub(5))]);
            let end = match random(number) % 11 {
                0 => {
                    *total = 0;
                    let message = "unknown conversation".to_owned();
                    CoderEvent::Finished { end: CoderEnd::Failed { trouble: Trouble::Lost, message } }
                }
                1 => CoderEvent::Finished { end: CoderEnd::Interrupted },
                _ => done(&format!("round {number}")),
            };
            events.push(end);
            events
        },
        |number| failing(&format!("test_{number}")),
    );
    let expected: u64 = (1..=ROUNDS).map(|number| 10 + (random(number) % 90) as u64).sum();
    let mut bench = Bench::with(play).await;
    let limits = json!({ "rounds": ROUNDS, "iterations": 10_000, "same_failures": 1_000 });
    let job = bench.start(json!({ "done": { "command": "cargo test" }, "limits": limits })).await;
    for restart in 0..8 {
        let wanted = (restart + 1) * ROUNDS as u32 / 10;
        bench.until(job, "it does not come further", |view| view.rounds >= wanted).await;
        bench = bench.restart().await;
    }
    let (view, end) = bench.ended(job).await;
    assert_eq!(end, JobEnd::Limit { limit: format!("it has had {ROUNDS} rounds of its {ROUNDS}") });
    assert_eq!(view.rounds as usize, ROUNDS);
    assert_eq!(view.iterations as usize, ROUNDS, "each tool counts once");
    assert_eq!(view.cost, MicroUsd(expected), "each amount counts once");
    assert_eq!(bench.play.prompts(job).len(), ROUNDS, "no prompt was given twice or forgotten");
    let status = bench.client().await.status().await.unwrap();
    assert_eq!(status.spent_today_micro_usd, expected);
    let report = view.report.unwrap();
    let rounds = format!("{ROUNDS} rounds, {ROUNDS} tools");
    for part in ["ended at a limit", rounds.as_str(), "did not hold", "What was tried:"] {
        assert!(report.contains(part), "{part}: {report}");
    }
    assert!(report.len() < 8_000, "a report stays readable");
    let mut after = Seq(0);
    let (mut checked, mut finished) = (0, 0);
    loop {
        let batch = bench.client().await.job_log(job, after).await.unwrap();
        let Some(last) = batch.iter().filter_map(|one| one.seq).max() else { break };
        after = last;
        checked += batch.iter().filter(|one| matches!(one.event, Event::JobChecked { .. })).count();
        finished += batch.iter().filter(|one| matches!(one.event, Event::JobFinished { .. })).count();
    }
    let done = (1..=ROUNDS).filter(|number| !matches!(random(*number) % 11, 0 | 1)).count();
    assert_eq!((checked, finished), (done, 1));
    assert!(bench.play.records.lock().unwrap()[&job].closed >= 1);
}

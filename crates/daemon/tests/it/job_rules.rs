//! What holds for a job besides its loop: STOP wherever it is, how many questions it asks, whose time it is, that its owner is
//! heard, and what our own loop is told.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use coders::{Action, CoderCommand, CoderEnd, CoderEvent, Permission, Trouble, Verdict};
use daemon::{Daemon, SystemClock, client::Client};
use serde_json::json;
use store::{Author, Store};
use types::{Clock, Command, CommandReply, Integrity, JobEnd, JobId, JobState, JobView, Label, Timestamp, WhenBusy};

use crate::{
    bench::{Bench, with_check},
    play::{Play, done, passed, spent, tool},
    scene::{FakeChannel, FakeModel, options},
};

/// Whether it waits for another attempt.
fn is_paused(view: &JobView) -> bool {
    view.pause.as_ref().is_some_and(|pause| pause.until.is_some())
}

/// Ends a job and sees that it takes less than a second and leaves nothing running.
async fn stops_at_once(bench: &Bench, job: JobId, when: &str) {
    let closed = |play: &Play| play.records.lock().unwrap().get(&job).map_or(0, |records| records.closed);
    let before = closed(&bench.play);
    let begun = Instant::now();
    bench.client().await.command(&Command::StopJob { job }).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(1), "{when}: {:?}", begun.elapsed());
    let (_, end) = bench.ended(job).await;
    assert_eq!(end, JobEnd::Stopped, "{when}");
    assert!(closed(&bench.play) > before, "{when}: something may run on");
}

#[tokio::test]
async fn stop_ends_a_job_wherever_it_is() {
    let failed = || {
        let (trouble, message) = (Trouble::Server, "overloaded `now`\n/stop".to_owned());
        CoderEvent::Finished { end: CoderEnd::Failed { trouble, message } }
    };
    let bench = Bench::with(Play::new(move |_, _| vec![failed()], |_| passed())).await;
    let job = bench.start(with_check()).await;
    let view = bench.until(job, "it does not pause", is_paused).await;
    let pause = view.pause.unwrap();
    assert!(pause.why.contains("tried again") && pause.until.unwrap() > pause.since, "{pause:?}");
    let waiting = bench.start(with_check()).await;
    let view = bench.client().await.job(waiting).await.unwrap();
    assert_eq!(view.pause.and_then(|pause| pause.position), Some(1));
    bench.channel.say("1", "/jobs").await;
    let listed = bench.channel.wait_for("number 1 of those that wait").await;
    assert!(listed.contains("paused for 0 min, goes on in 0 min: it is tried again after a failure"), "{listed}");
    assert!(listed.contains("`overloaded 'now' /stop`"), "what is foreign is quoted: {listed}");
    stops_at_once(&bench, waiting, "while it waits for a place").await;
    stops_at_once(&bench, job, "while it pauses").await;

    let bench = Bench::with(Play::new(|_, _| vec![done("finished")], |_| passed())).await;
    *bench.play.holds.lock().unwrap() = true;
    let job = bench.start(with_check()).await;
    bench.until(job, "it is not checked", |view| view.state == JobState::Checking).await;
    stops_at_once(&bench, job, "while it is checked").await;
    let job = bench.start(json!({})).await;
    bench.until(job, "it is not landed", |view| view.state == JobState::Landing).await;
    stops_at_once(&bench, job, "while it is landed").await;
    assert_eq!(*bench.play.landings.lock().unwrap(), 0);

    let bench = Bench::with(Play::new(|_, _| tool(1).to_vec(), |_| passed())).await;
    let job = bench.start(with_check()).await;
    bench.until(job, "it does not work", |view| view.iterations == 1).await;
    bench.client().await.command(&Command::TakeOverJob { job }).await.unwrap();
    stops_at_once(&bench, job, "while the owner has it").await;
}

/// It was told, the records say so, and STOP came before that was stored.
#[tokio::test]
async fn words_that_were_told_before_a_stop_are_not_told_again() {
    for is_told in [true, false] {
        let play =
            Play::new(|number, _| if number == 1 { tool(1).into() } else { vec![done("finished")] }, |_| passed());
        let bench = Bench::with(play).await;
        let job = bench.start(with_check()).await;
        let client = bench.client().await;
        let view = bench.until(job, "it does not work", |view| view.iterations == 1).await;
        // The next effect is the telling: the daemon is held before or after it.
        let moment = if is_told { 2 } else { 1 };
        bench.play.die_at(Some(moment));
        let say = Command::SteerJob { job, text: "paint it red".to_owned() };
        client.command(&say).await.unwrap();
        bench.until(job, "it is not told", |_| bench.play.moments() == (moment, true)).await;
        let told = || {
            let records = bench.play.records.lock().unwrap();
            let commands = records[&job].commands.iter().filter(|one| format!("{one:?}").contains("red"));
            commands.count()
        };
        assert_eq!(told(), usize::from(is_told));
        bench.play.die_at(None);
        client.command(&Command::StopJob { job }).await.unwrap();
        assert_eq!(bench.ended(job).await.1, JobEnd::Stopped);
        client.command(&Command::ResumeJob { job, coder: None, text: None }).await.unwrap();
        assert_eq!(bench.ended(job).await.1, JobEnd::Done);
        assert_eq!(told(), 1, "told before the stop: {is_told}, in session {}", view.session);
    }
}

#[tokio::test]
async fn a_supervisor_that_dies_with_a_turn_is_one_trouble() {
    let play = Play::new(|number, _| if number == 1 { tool(1).into() } else { vec![done("finished")] }, |_| passed());
    let bench = Bench::with(play).await;
    let job = bench.start(with_check()).await;
    bench.until(job, "it does not work", |view| view.iterations == 1).await;
    bench.play.loses_supervisor(job);
    let view = bench.until(job, "it does not wait", is_paused).await;
    let pause = view.pause.unwrap();
    // The wait after one failure. After two it would be twice as long.
    assert_eq!(pause.until.unwrap().since(pause.since), Duration::from_secs(20), "{}", pause.why);
    assert!(pause.why.contains("its supervisor was lost"), "{}", pause.why);
    assert_eq!(bench.play.records.lock().unwrap()[&job].opened, 2, "it was taken up again first");
}

/// A fault of ours in one job takes no place from others for good.
#[tokio::test]
async fn a_job_that_breaks_off_even_as_it_ends_is_given_up() {
    let bench = Bench::with(Play::new(|_, _| vec![done("finished")], |_| passed())).await;
    *bench.play.faulty.lock().unwrap() = Some(JobId(1));
    let job = bench.start(with_check()).await;
    // It waits for the same files.
    let next = bench.start(with_check()).await;
    assert_eq!(job, JobId(1));
    let (view, end) = bench.ended(job).await;
    assert!(matches!(&end, JobEnd::Failed { error } if error.contains("a fault in factotum itself")), "{end:?}");
    assert!(view.report.unwrap().contains("`factotum job resume 1` tries again"));
    assert_eq!(bench.ended(next).await.1, JobEnd::Done);
    // And it can go on once that is mended.
    *bench.play.faulty.lock().unwrap() = None;
    bench.client().await.command(&Command::ResumeJob { job, coder: None, text: None }).await.unwrap();
    assert_eq!(bench.ended(job).await.1, JobEnd::Done);
}

/// Whatever still closes an earlier run must not touch the next one.
#[tokio::test]
async fn a_job_is_resumed_once_its_end_is_done() {
    let bench = Bench::with(Play::new(|_, _| vec![done("finished")], |_| passed())).await;
    *bench.play.holds_close.lock().unwrap() = true;
    let job = bench.start(with_check()).await;
    let client = bench.client().await;
    bench.until(job, "it does not land", |_| *bench.play.landings.lock().unwrap() == 1).await;
    // Its end is stored at once, and what runs for it takes longer to be closed.
    client.command(&Command::StopJob { job }).await.unwrap();
    bench.ended(job).await;
    let go_on = Command::ResumeJob { job, coder: None, text: Some("once more".to_owned()) };
    let let_go = async {
        // Until then the order has reached the engine, which has nothing else to do.
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(bench.play.prompts(job).len(), 1, "it waits");
        *bench.play.holds_close.lock().unwrap() = false;
    };
    let (resumed, ()) = tokio::join!(client.command(&go_on), let_go);
    resumed.unwrap();
    let (_, end) = bench.ended(job).await;
    assert_eq!(end, JobEnd::Done);
    let prompts = bench.play.prompts(job);
    assert!(prompts.len() == 2 && prompts[1].contains("once more"), "{prompts:?}");
}

fn permission(number: usize) -> Permission {
    let action = Action::Command { script: "make".to_owned() };
    Permission { id: format!("p{number}"), tool: "Bash".to_owned(), action, reason: None }
}

#[tokio::test]
async fn no_more_is_judged_at_a_time_than_may_wait_for_the_owner() {
    const ALL: usize = 30;
    let bench = Bench::with(Play::new(|_, _| tool(1).to_vec(), |_| passed())).await;
    *bench.play.verdict.lock().unwrap() = None;
    let job = bench.start(with_check()).await;
    bench.until(job, "it does not work", |view| view.iterations == 1).await;
    bench.play.does(job, (0..ALL).map(|number| CoderEvent::PermissionAsked(permission(number))));
    bench.until(job, "nothing is judged", |_| bench.play.judged.lock().unwrap().0 == 8).await;
    // Across a restart as well, and those that were asked first come first.
    let bench = bench.restart().await;
    bench.until(job, "nothing is judged", |_| bench.play.judged.lock().unwrap().0 == 8).await;
    *bench.play.verdict.lock().unwrap() = Some(Verdict::Allow);
    bench.until(job, "not all are answered", |_| bench.play.pending(job).is_empty()).await;
    bench.play.does(job, [done("finished")]);
    let (_, end) = bench.ended(job).await;
    assert_eq!(end, JobEnd::Done);
    let told = bench.play.records.lock().unwrap()[&job].commands.clone();
    let answers = told.iter().filter(|command| matches!(command, CoderCommand::Answer { .. })).count();
    assert_eq!((answers, bench.play.judged.lock().unwrap().1), (ALL, 8));
}

/// A clock that can be put forward.
struct Forward(SystemClock, AtomicI64);

impl Clock for Forward {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.now().0 + self.1.load(Ordering::SeqCst))
    }
}

/// A daemon whose clock can be put forward.
async fn with_clock(play: Arc<Play>) -> (Bench, Arc<Forward>) {
    let clock = Arc::new(Forward(SystemClock::new(), AtomicI64::new(0)));
    let bench = Bench::with_clock(tempfile::tempdir().unwrap(), play, clock.clone()).await;
    (bench, clock)
}

const HOUR: i64 = 3_600_000;

#[tokio::test]
async fn the_owners_time_is_not_the_jobs() {
    let play = Play::new(|number, _| if number == 1 { tool(1).to_vec() } else { vec![done("finished")] }, |_| passed());
    let (bench, clock) = with_clock(play).await;
    let job = bench.start(json!({ "done": { "command": "cargo test" }, "limits": { "minutes": 30 } })).await;
    bench.until(job, "it does not work", |view| view.iterations == 1).await;
    let client = bench.client().await;
    client.command(&Command::TakeOverJob { job }).await.unwrap();
    clock.1.fetch_add(HOUR, Ordering::SeqCst);
    client.command(&Command::HandBackJob { job }).await.unwrap();
    let (_, end) = bench.ended(job).await;
    assert_eq!(end, JobEnd::Done);

    let (bench, clock) = with_clock(Play::new(|_, _| tool(1).to_vec(), |_| passed())).await;
    let job = bench.start(json!({ "limits": { "minutes": 30 } })).await;
    bench.until(job, "it does not work", |view| view.iterations == 1).await;
    clock.1.fetch_add(HOUR, Ordering::SeqCst);
    bench.play.does(job, tool(2));
    let (_, end) = bench.ended(job).await;
    assert_eq!(end, JobEnd::Limit { limit: "it has run for its 30 minutes".to_owned() }, "its own time counts");
}

#[tokio::test]
async fn a_program_that_takes_no_prompt_is_ended_and_started_again() {
    let play = Play::new(|_, _| vec![spent(10), done("finished")], |_| passed());
    *play.refusals.lock().unwrap() = 1;
    let (bench, clock) = with_clock(play).await;
    let job = bench.start(with_check()).await;
    bench.until(job, "it does not pause", is_paused).await;
    clock.1.fetch_add(HOUR, Ordering::SeqCst);
    // The pause is over by the clock; a new worker goes on at once.
    let Bench { home, play, daemon, .. } = bench;
    daemon.stop().await;
    let bench = Bench::with_clock(home, play, clock).await;
    let (view, end) = bench.ended(job).await;
    assert_eq!((end, view.rounds, view.cost.0), (JobEnd::Done, 1, 10));
    let prompts = bench.play.prompts(job);
    assert_eq!((prompts.len(), &prompts[0]), (2, &prompts[1]), "the same again, and nothing as the owner's words");

    let play = Play::new(|_, _| vec![done("finished")], |_| passed());
    *play.refusals.lock().unwrap() = usize::MAX;
    let (mut bench, clock) = with_clock(play).await;
    let job = bench.start(with_check()).await;
    for _ in 0..6 {
        bench.until(job, "it does not pause", is_paused).await;
        clock.1.fetch_add(HOUR, Ordering::SeqCst);
        let Bench { home, play, daemon, .. } = bench;
        daemon.stop().await;
        bench = Bench::with_clock(home, play, clock.clone()).await;
    }
    let (_, end) = bench.ended(job).await;
    assert!(matches!(end, JobEnd::Failed { ref error } if error.contains("took no prompt")), "{end:?}");
}

#[tokio::test]
async fn words_that_cannot_be_told_are_answered_and_kept_across_the_end() {
    let play = Play::new(|number, _| if number == 1 { tool(1).to_vec() } else { vec![done("finished")] }, |_| passed());
    play.records.lock().unwrap().entry(JobId(1)).or_default().is_deaf = true;
    let bench = Bench::with(play).await;
    bench.channel.say("1", "/job start coder=claude done=\"make test\" mend the toys").await;
    let job = JobId(1);
    bench.until(job, "it does not work", |view| view.iterations == 1).await;
    bench.channel.say("2", "/job steer 1 use the other API").await;
    bench.channel.wait_for("does not hear you at once: `it cannot be told anything while it works`").await;
    bench.channel.say("3", "/job steer 1 and be quick").await;
    bench.channel.wait_for("is told as soon as it can hear").await;
    bench.channel.say("4", "/job stop 1").await;
    let report = bench.channel.wait_for("was stopped").await;
    assert!(report.contains("did not hear the last 2 of your messages"), "{report}");
    assert!(bench.model.asked().is_empty(), "they begin no turn of our own loop");
    let bench = bench.restart().await;
    assert!(bench.model.asked().is_empty());
    bench.channel.say("5", "/job resume 1").await;
    bench.ended(job).await;
    bench.channel.wait_for("is done.").await;
    let prompts = bench.play.prompts(job);
    let words = "The owner said in the meantime:\n\nuse the other API\n\nand be quick";
    assert!(prompts.len() == 2 && prompts[1].ends_with(words), "{prompts:?}");
}

/// A daemon whose jobs our own loop works on.
struct Own {
    home: tempfile::TempDir,
    channel: Arc<FakeChannel>,
    model: Arc<FakeModel>,
    daemon: Daemon,
}

impl Own {
    async fn with(model: Arc<FakeModel>) -> Self {
        let (home, channel) = (tempfile::tempdir().unwrap(), FakeChannel::new());
        let daemon = Daemon::start(options(home.path(), &channel, &model)).await.unwrap();
        Self { home, channel, model, daemon }
    }

    async fn restart(self) -> Self {
        self.daemon.stop().await;
        let daemon = Daemon::start(options(self.home.path(), &self.channel, &self.model)).await.unwrap();
        Self { daemon, ..self }
    }

    async fn client(&self) -> Client {
        Client::connect(self.home.path()).await.unwrap()
    }

    async fn start(&self, brief: &str) -> JobId {
        let spec = json!({ "brief": brief, "coder": "factotum", "workspace": "main", "then": "nothing" });
        let command = Command::StartJob { spec: serde_json::from_value(spec).unwrap(), id: Some(brief.to_owned()) };
        match self.client().await.command(&command).await.unwrap() {
            CommandReply::Job { job, .. } => job,
            other => panic!("{other:?}"),
        }
    }

    async fn say(&self, job: JobId, text: &str) {
        let session = Some(self.client().await.job(job).await.unwrap().session.to_string());
        let (text, id) = (text.to_owned(), Some(text.to_owned()));
        let say = Command::Send { text, session, workspace: None, when_busy: WhenBusy::Steer, id };
        self.client().await.command(&say).await.unwrap();
    }

    async fn until(&self, what: &str, is: impl AsyncFn(&Self) -> bool) {
        for _ in 0..600 {
            if is(self).await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{what}: {:?}", self.model.asked());
    }

    async fn ended(&self, job: JobId) -> JobEnd {
        let is_over =
            async |own: &Self| matches!(own.client().await.job(job).await.unwrap().state, JobState::Ended { .. });
        self.until("it does not end", is_over).await;
        match self.client().await.job(job).await.unwrap().state {
            JobState::Ended { end } => end,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn our_own_loop_is_told_by_us_once_in_each_run_and_the_owners_words_begin_no_turn() {
    let own = Own::with(FakeModel::echo()).await;
    own.model.hangs.store(true, Ordering::SeqCst);
    let first = own.start("mend the toys").await;
    own.until("it does not think", async |own| own.model.asked().len() == 1).await;
    // It works in the same files, so that it waits.
    let second = own.start("paint the toys").await;
    own.say(second, "in red").await;
    own.client().await.command(&Command::StopJob { job: first }).await.unwrap();
    assert_eq!(own.ended(first).await, JobEnd::Stopped);
    let of = |own: &Own, brief: &str| {
        let asked = own.model.asked().into_iter();
        asked.filter(|asked| asked.starts_with(brief)).collect::<Vec<_>>()
    };
    own.until("the next one does not think", async |own| !of(own, "paint").is_empty()).await;
    let words = "The owner said in the meantime:\n\nin red";
    assert!(of(&own, "paint").len() == 1 && of(&own, "paint")[0].ends_with(words), "{:?}", own.model.asked());
    own.client().await.command(&Command::StopJob { job: second }).await.unwrap();
    assert_eq!(own.ended(second).await, JobEnd::Stopped);

    // A second run has a prompt of its own, and the end of the first one's turn does not end it.
    let own = own.restart().await;
    own.model.hangs.store(false, Ordering::SeqCst);
    // The turn that was interrupted may take a moment to end.
    let resume = Command::ResumeJob { job: first, coder: None, text: None };
    own.until("it does not go on", async |own| own.client().await.command(&resume).await.is_ok()).await;
    assert_eq!(own.ended(first).await, JobEnd::Done);
    let view = own.client().await.job(first).await.unwrap();
    let asked = (of(&own, "mend").len(), of(&own, "paint").len());
    assert_eq!((view.rounds, asked), (1, (2, 1)), "{:?}", own.model.asked());
    own.daemon.stop().await;

    let store = Store::open_read_only(own.home.path(), Arc::new(SystemClock::new())).unwrap();
    let said = |session| {
        let rows = store.messages(session, None, 20).unwrap();
        rows.into_iter()
            .filter(|row| row.author != Author::Model)
            .map(|row| (row.author, row.label))
            .collect::<Vec<_>>()
    };
    let said = said(view.session);
    // A remark of ours that it was stopped is among them.
    let is_ours = said.iter().all(|(author, label)| *author == Author::System && label.integrity == Integrity::Trusted);
    assert!(said.len() >= 2 && is_ours, "{said:?}");
}

#[tokio::test]
async fn foreign_words_in_a_prompt_to_our_own_loop_count_as_foreign() {
    let own = Own::with(FakeModel::new(|_| vec![types::Block::text("done")])).await;
    let job = own.start("mend the toys").await;
    assert_eq!(own.ended(job).await, JobEnd::Done);
    // What it said itself stands in the next prompt, as a quotation.
    own.client()
        .await
        .command(&Command::ResumeJob { job, coder: None, text: Some("once more".to_owned()) })
        .await
        .unwrap();
    own.until("it does not go on", async |own| own.model.asked().len() == 2).await;
    assert_eq!(own.ended(job).await, JobEnd::Done);
    let session = own.client().await.job(job).await.unwrap().session;
    own.daemon.stop().await;
    let store = Store::open_read_only(own.home.path(), Arc::new(SystemClock::new())).unwrap();
    let rows = store.messages(session, None, 20).unwrap();
    let ours: Vec<Label> = rows.iter().filter(|row| row.author == Author::System).map(|row| row.label).collect();
    assert_eq!(ours, [Label::OWNER, Label::UNKNOWN]);
    assert!(!rows.iter().any(|row| row.author == Author::Owner), "{rows:?}");
}

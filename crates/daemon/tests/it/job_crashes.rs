//! Jobs whose daemon dies at each write to the store, and before and after each effect: what comes of them is the same as if it
//! had lived. Without `FACTOTUM_FULL` a sample of the moments is tried.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use coders::{Action, CoderCommand, CoderEvent, Permission, Verdict};
use daemon::{Config, Daemon, SystemClock, client::Client};
use serde_json::json;
use tempfile::TempDir;
use types::{
    Clock, Command, CommandReply, Event, JobEnd, JobId, JobState, JobView, MicroUsd, Seq, Timestamp, WhenBusy,
};

use crate::{
    play::{Play, Stage, done, failing, passed, spent, tool},
    scene::{FakeChannel, FakeModel, options},
};

/// Every so many moments are tried in a sample.
const SAMPLE: usize = 7;
/// The most moments that a scenario may have.
const MOST: usize = 400;
const JOB: JobId = JobId(1);

/// The clock as the store's writer reads it: once for each transaction. It breaks the writer off before one of them.
struct Breaking {
    clock: SystemClock,
    /// How many transactions may still be begun; negative numbers never end.
    left: AtomicI64,
    begun: AtomicI64,
}

impl Breaking {
    fn new() -> Arc<Self> {
        Arc::new(Self { clock: SystemClock::new(), left: AtomicI64::new(-1), begun: AtomicI64::new(0) })
    }

    fn is_broken(&self) -> bool {
        self.left.load(Ordering::SeqCst) == 0
    }
}

impl Clock for Breaking {
    fn now(&self) -> Timestamp {
        if std::thread::current().name() == Some("store") {
            self.begun.fetch_add(1, Ordering::SeqCst);
            let left = self.left.load(Ordering::SeqCst);
            assert!(left != 0, "the daemon dies here");
            if left > 0 {
                self.left.store(left - 1, Ordering::SeqCst);
                assert!(left > 1, "the daemon dies here");
            }
        }
        self.clock.now()
    }
}

/// Where the daemon dies.
#[derive(Clone, Copy, Debug)]
enum Death {
    Nowhere,
    BeforeWrite(usize),
    AtMoment(usize),
}

/// What a scenario consists of.
enum Step {
    /// Until the job is like this.
    Until(&'static str, fn(&JobView, &Play) -> bool),
    Say(&'static str),
    Does(fn(&Play)),
    Stop,
    Resume(Option<&'static str>),
    TakeOver,
}

struct Scenario {
    name: &'static str,
    spec: serde_json::Value,
    play: fn() -> Arc<Play>,
    steps: Vec<Step>,
}

/// What came of a job, as far as it must be the same however often the daemon died.
#[derive(Debug, PartialEq)]
struct Outcome {
    end: JobEnd,
    rounds: u32,
    iterations: u32,
    cost: MicroUsd,
    spent: u64,
    commit: Option<String>,
    prompts: Vec<String>,
    answers: usize,
    finished: usize,
}

struct Stand {
    home: TempDir,
    play: Arc<Play>,
    clock: Arc<Breaking>,
    daemon: Option<Daemon>,
    deaths: usize,
}

impl Stand {
    async fn new(play: Arc<Play>) -> Self {
        let mut stand =
            Self { home: tempfile::tempdir().unwrap(), play, clock: Breaking::new(), daemon: None, deaths: 0 };
        stand.begin().await;
        stand
    }

    async fn begin(&mut self) {
        let (channel, model) = (FakeChannel::new(), FakeModel::echo());
        let mut options = options(self.home.path(), &channel, &model);
        options.config = Some(Config::parse("[api]\nlisten = \"127.0.0.1:0\"\n", Path::new("config.toml")).unwrap());
        options.jobs = Some(Arc::new(Stage(self.play.clone())));
        options.clock = self.clock.clone();
        self.daemon = Some(Daemon::start(options).await.unwrap());
    }

    /// Begins again if the daemon has died.
    async fn live(&mut self) {
        if !self.clock.is_broken() && !self.play.moments().1 {
            return;
        }
        if let Some(daemon) = self.daemon.take() {
            daemon.stop().await;
        }
        self.play.die_at(None);
        self.clock = Breaking::new();
        self.deaths += 1;
        self.begin().await;
    }

    async fn command(&mut self, command: &Command) -> Option<Result<CommandReply, String>> {
        self.live().await;
        let client = Client::connect(self.home.path()).await.ok()?;
        // A daemon that dies meanwhile may never answer.
        let asked = tokio::time::timeout(Duration::from_secs(2), client.command(command)).await.ok()?;
        Some(asked.map_err(|failure| failure.error))
    }

    async fn view(&mut self) -> Option<JobView> {
        self.live().await;
        let client = Client::connect(self.home.path()).await.ok()?;
        tokio::time::timeout(Duration::from_secs(2), client.job(JOB)).await.ok()?.ok()
    }

    async fn until(&mut self, what: &str, is: impl Fn(&JobView, &Play) -> bool) -> JobView {
        let mut last = None;
        for _ in 0..3_000 {
            if let Some(view) = self.view().await {
                if is(&view, &self.play) {
                    return view;
                }
                last = Some(view);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{what}: {last:#?}");
    }

    /// Says it until it is in force.
    async fn insist(&mut self, command: &Command, is: impl Fn(&JobView, &Play) -> bool) {
        for _ in 0..300 {
            let _ = self.command(command).await;
            for _ in 0..20 {
                if self.view().await.is_some_and(|view| is(&view, &self.play)) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        panic!("{command:?} has no effect");
    }

    async fn step(&mut self, step: &Step) {
        match step {
            Step::Until(what, is) => drop(self.until(what, is).await),
            Step::Does(does) => does(&self.play),
            Step::Say(text) => {
                let session = self.until("it is gone", |_, _| true).await.session.to_string();
                let (text, id) = ((*text).to_owned(), Some(format!("say-{text}")));
                let session = Some(session);
                let say = Command::Send { text, session, workspace: None, when_busy: WhenBusy::Steer, id };
                while !matches!(self.command(&say).await, Some(Ok(_))) {}
            }
            Step::Stop => self.insist(&Command::StopJob { job: JOB }, |view, _| is_over(view)).await,
            Step::Resume(coder) => {
                let coder = coder.map(str::to_owned);
                let command = Command::ResumeJob { job: JOB, coder, text: None };
                self.insist(&command, |view, _| !is_over(view)).await;
            }
            Step::TakeOver => {
                let command = Command::TakeOverJob { job: JOB };
                self.insist(&command, |_, play| play.records.lock().unwrap()[&JOB].sits == Some(true)).await;
            }
        }
    }

    async fn outcome(&mut self) -> Outcome {
        let view = self.until("it does not end", |view, _| is_over(view)).await;
        // What is left to do after the end is stored, such as its delivery.
        self.live().await;
        let client = Client::connect(self.home.path()).await.unwrap();
        let (mut after, mut finished) = (Seq(0), 0);
        loop {
            let batch = client.job_log(JOB, after).await.unwrap();
            let Some(last) = batch.iter().filter_map(|one| one.seq).max() else { break };
            after = last;
            finished += batch.iter().filter(|one| matches!(one.event, Event::JobFinished { .. })).count();
        }
        let records = self.play.records.lock().unwrap();
        let commands = &records[&JOB].commands;
        let answers = commands.iter().filter(|command| matches!(command, CoderCommand::Answer { .. })).count();
        drop(records);
        let JobState::Ended { end } = view.state else { unreachable!() };
        Outcome {
            end,
            rounds: view.rounds,
            iterations: view.iterations,
            cost: view.cost,
            spent: 0,
            commit: view.commit,
            prompts: self.play.prompts(JOB),
            answers,
            finished,
        }
    }
}

fn is_over(view: &JobView) -> bool {
    matches!(view.state, JobState::Ended { .. })
}

/// Plays a scenario through; gives what came of it, how many writes and moments it had, and whether the daemon died.
async fn played(scenario: &Scenario, death: Death) -> (Outcome, usize, usize, bool) {
    let mut stand = Stand::new((scenario.play)()).await;
    let before = stand.clock.begun.load(Ordering::SeqCst);
    match death {
        Death::Nowhere => stand.play.die_at(None),
        Death::BeforeWrite(number) => stand.clock.left.store(number as i64, Ordering::SeqCst),
        Death::AtMoment(number) => stand.play.die_at(Some(number)),
    }
    let start =
        Command::StartJob { spec: serde_json::from_value(scenario.spec.clone()).unwrap(), id: Some("it".into()) };
    while !matches!(stand.command(&start).await, Some(Ok(_))) {}
    for step in &scenario.steps {
        stand.step(step).await;
    }
    let mut outcome = stand.outcome().await;
    let (writes, moments) = (stand.clock.begun.load(Ordering::SeqCst) - before, stand.play.moments().0);
    outcome.spent = Client::connect(stand.home.path()).await.unwrap().status().await.unwrap().spent_today_micro_usd;
    stand.daemon.take().unwrap().stop().await;
    (outcome, writes as usize, moments, stand.deaths > 0)
}

/// Lets the daemon die everywhere and compares.
async fn survives(scenario: Scenario, same: fn(&Outcome, &Outcome) -> bool) {
    let (expected, writes, moments, _) = played(&scenario, Death::Nowhere).await;
    assert!(writes < MOST && moments < MOST, "{}: {writes} writes, {moments} moments", scenario.name);
    let deaths = (1..=writes).map(Death::BeforeWrite).chain((1..=moments).map(Death::AtMoment));
    let every = if is_full() { 1 } else { SAMPLE };
    let mut tried = 0;
    for death in deaths.step_by(every) {
        let (outcome, _, _, died) = played(&scenario, death).await;
        assert!(same(&expected, &outcome), "{} {death:?}\nexpected {expected:#?}\nfound {outcome:#?}", scenario.name);
        tried += usize::from(died);
    }
    assert!(tried > 0, "{}: nobody died", scenario.name);
}

#[expect(clippy::disallowed_methods, reason = "the check says by it how much is to be tried")]
fn is_full() -> bool {
    std::env::var_os("FACTOTUM_FULL").is_some()
}

fn spec(more: serde_json::Value) -> serde_json::Value {
    let mut spec = json!({ "brief": "mend the toys", "coder": "claude", "workspace": "main" });
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    spec
}

fn with_check() -> serde_json::Value {
    spec(json!({ "done": { "command": "cargo test" } }))
}

/// How often the coding agent heard these words, in whatever way.
fn told(play: &Play, words: &str) -> usize {
    let records = play.records.lock().unwrap();
    let commands = records.get(&JOB).map(|records| records.commands.clone()).unwrap_or_default();
    let hears = |command: &&CoderCommand| match command {
        CoderCommand::Prompt { text } | CoderCommand::Steer { text } => text.contains(words),
        _ => false,
    };
    commands.iter().filter(hears).count()
}

fn works(view: &JobView, _: &Play) -> bool {
    view.iterations == 1
}

#[tokio::test]
async fn a_round_with_its_checks_and_landing() {
    let scenario = Scenario {
        name: "rounds",
        spec: with_check(),
        play: || {
            Play::new(
                |number, _| tool(number).into_iter().chain([spent(number as u64 * 10), done("finished")]).collect(),
                |number| if number < 3 { failing(&format!("test_{number}")) } else { passed() },
            )
        },
        steps: Vec::new(),
    };
    // A check that was cut off is run again, so that its number, and what this play lets it find, may differ.
    survives(scenario, |expected, found| {
        let same = |one: &Outcome| (one.end.clone(), one.commit.clone(), one.finished, one.spent == one.cost.0);
        let whole = found.prompts.len() as u32 == found.rounds && found.iterations == found.rounds;
        same(expected) == same(found) && whole && found.cost.0 == u64::from(found.rounds) * 10
    })
    .await;
}

#[tokio::test]
async fn words_while_it_works() {
    let scenario = Scenario {
        name: "steer",
        spec: with_check(),
        play: || Play::new(|_, _| [tool(1).to_vec(), vec![spent(10)]].concat(), |_| passed()),
        steps: vec![
            Step::Until("it does not work", works),
            Step::Say("use the other API"),
            Step::Say("and be quick"),
            Step::Until("it does not hear", |_, play| told(play, "other API") + told(play, "be quick") == 2),
            Step::Does(|play| play.does(JOB, [done("finished")])),
            Step::Until("it does not end", |view, _| is_over(view)),
            Step::Does(|play| assert_eq!((told(play, "other API"), told(play, "be quick")), (1, 1))),
        ],
    };
    survives(scenario, |expected, found| expected == found).await;
}

#[tokio::test]
async fn words_that_it_refuses_and_words_while_it_is_checked() {
    let scenario = Scenario {
        name: "words",
        spec: with_check(),
        play: || {
            let play = Play::new(
                |number, _| match number {
                    1 => [tool(1).to_vec(), vec![spent(10)]].concat(),
                    _ => vec![spent(20), done("finished")],
                },
                |_| passed(),
            );
            play.records.lock().unwrap().entry(JOB).or_default().is_deaf = true;
            *play.holds.lock().unwrap() = true;
            play
        },
        steps: vec![
            Step::Until("it does not work", works),
            Step::Say("use the other API"),
            Step::Until("it was not tried", |view, play| {
                is_over(view) || play.records.lock().unwrap()[&JOB].commands.len() > 1
            }),
            Step::Does(|play| play.does(JOB, [done("finished")])),
            Step::Until("it is not checked", |view, _| view.state == JobState::Checking && view.rounds == 2),
            Step::Say("and be quick"),
            Step::Does(|play| *play.holds.lock().unwrap() = false),
            Step::Until("it does not end", |view, _| is_over(view)),
        ],
    };
    survives(scenario, |expected, found| {
        let heard = |words| found.prompts.iter().filter(|prompt| prompt.contains(words)).count();
        expected == found && (heard("other API"), heard("be quick")) == (1, 1)
    })
    .await;
}

#[tokio::test]
async fn a_question() {
    let scenario = Scenario {
        name: "question",
        spec: with_check(),
        play: || {
            let action = Action::Command { script: "make".to_owned() };
            let permission = Permission { id: "p1".to_owned(), tool: "Bash".to_owned(), action, reason: None };
            let asked = CoderEvent::PermissionAsked(permission);
            let play = Play::new(move |_, _| vec![spent(10), asked.clone(), done("built")], |_| passed());
            *play.verdict.lock().unwrap() = None;
            play
        },
        steps: vec![
            Step::Until("it does not ask", |_, play| !play.pending(JOB).is_empty()),
            Step::Does(|play| *play.verdict.lock().unwrap() = Some(Verdict::Allow)),
        ],
    };
    survives(scenario, |expected, found| expected == found).await;
}

fn interrupted_play() -> Arc<Play> {
    Play::new(
        |number, _| match number {
            1 => [tool(1).to_vec(), vec![spent(10)]].concat(),
            _ => vec![spent(60), done("finished")],
        },
        |_| passed(),
    )
}

#[tokio::test]
async fn stop_and_resume() {
    let scenario = Scenario {
        name: "stop",
        spec: with_check(),
        play: interrupted_play,
        steps: vec![
            Step::Until("it does not work", |view, _| view.cost == MicroUsd(10)),
            Step::Stop,
            Step::Resume(None),
            Step::Until("it does not end", |view, play| is_over(view) && play.prompts(JOB).len() > 1),
        ],
    };
    survives(scenario, |expected, found| {
        // A STOP that the daemon did not live to store and answer is said again. What it had killed by then is a round that broke off.
        let same = |one: &Outcome| (one.end.clone(), one.iterations, one.cost, one.spent, one.commit.clone());
        same(expected) == same(found) && found.prompts.len() == 2 && found.rounds - expected.rounds <= 1
    })
    .await;
}

#[tokio::test]
async fn stop_and_resume_with_another_coding_agent() {
    let scenario = Scenario {
        name: "another",
        spec: with_check(),
        play: interrupted_play,
        steps: vec![
            Step::Until("it does not work", |view, _| view.cost == MicroUsd(10)),
            Step::Stop,
            Step::Resume(Some("codex")),
            Step::Until("it does not end", |view, play| is_over(view) && play.prompts(JOB).len() > 1),
        ],
    };
    survives(scenario, |expected, found| {
        // 17 of the conversation that was left, 60 of the new one.
        let same = |one: &Outcome| (one.end.clone(), one.iterations, one.cost, one.spent, one.commit.clone());
        same(expected) == same(found) && found.cost == MicroUsd(77) && found.prompts.len() == 2
    })
    .await;
}

#[tokio::test]
async fn a_take_over() {
    let scenario = Scenario {
        name: "take-over",
        spec: with_check(),
        play: interrupted_play,
        steps: vec![
            Step::Until("it does not work", |view, _| view.cost == MicroUsd(10)),
            Step::TakeOver,
            Step::Until("it is not taken over", |view, _| view.state == JobState::TakenOver),
            Step::Does(|play| play.stands_up(JOB)),
        ],
    };
    survives(scenario, |expected, found| expected == found).await;
}

#[tokio::test]
async fn a_limit() {
    let scenario = Scenario {
        name: "limit",
        spec: spec(json!({ "limits": { "cost": 1_000 } })),
        play: || Play::new(|_, _| vec![spent(2_000)], |_| passed()),
        steps: Vec::new(),
    };
    survives(scenario, |expected, found| {
        let whole = |one: &Outcome| matches!(one.end, JobEnd::Limit { .. }) && one.spent == one.cost.0;
        // A daemon that dies before it has interrupted it kills it when its time is over.
        whole(expected) && whole(found) && [2_005, 2_007].contains(&found.cost.0) && found.prompts.len() == 1
    })
    .await;
}

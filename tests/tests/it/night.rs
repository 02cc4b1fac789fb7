//! A long night with the real `factotum up`: rounds upon rounds of a job, a vendor and a coding agent that fail in every way that
//! was seen, and a daemon that is killed again and again. In the morning everything was done, counted and paid once, nothing was
//! left behind, and neither memory nor files have grown beyond what was said.
//!
//! The coding agent is the stand-in: a night of a real one would take a night. Besides it, our own loop does a job too.

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use harness::{
    all_inside,
    census::{open_files, processes, status_kib, walk},
    coders::{CLAUDE, stand_in},
    shift::{ADDRESSES, BRANCH, Shift},
};
use serde_json::{Value, json};
use testkit::model::{Fault, Reply, SeenRequest};
use types::{JobEnd, JobState, JobView};

/// How long the whole may take.
const MORNING: Duration = Duration::from_secs(1_500);
/// The most that memory may grow between the two looks, in KiB: of the daemon, of the supervisor.
const GROWTH: (u64, u64) = (6 * 1024, 1024);
/// The most bytes of records in a round.
const RECORDS: u64 = 16 * 1024;
/// A coding agent that stands still is noticed soon.
const SETTINGS: &str = "stall = { thinking_s = 4, retrying_s = 3 }";

/// How long a night is.
#[derive(Clone, Copy)]
struct Plan {
    /// Steps until the work is done.
    steps: usize,
    /// After how many rounds each the daemon is killed.
    kills: &'static [u32],
    /// After how many rounds memory is looked at, and again: of the last daemon and the last supervisor.
    looks: [u32; 2],
    /// In which rounds what fails.
    faults: &'static [(usize, Bad)],
}

/// What goes wrong in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bad {
    /// What is asked again and then answered.
    Passing,
    /// The vendor fails for longer than the program asks.
    Overloaded,
    /// The key is refused: the job ends, and the owner resumes it.
    Refused,
    /// The conversation has become too long.
    TooLong,
    /// The program dies without a word.
    Vanishes,
    /// The program ends as if all were well, without a word.
    Leaves,
    /// The program tries to reach its vendor for ever.
    Reconnects,
    /// The program stands still.
    Silent,
}

const SAMPLE: Plan = Plan {
    steps: 20,
    kills: &[5, 9],
    looks: [12, 18],
    faults: &[(2, Bad::Passing), (4, Bad::TooLong), (7, Bad::Leaves), (11, Bad::Refused), (15, Bad::Reconnects)],
};

const WHOLE: Plan = Plan {
    steps: 200,
    kills: &[10, 23, 31, 44, 58, 70, 85, 99],
    looks: [120, 195],
    faults: &[
        (8, Bad::Vanishes),
        (15, Bad::TooLong),
        (26, Bad::Leaves),
        (35, Bad::Refused),
        (41, Bad::Reconnects),
        (52, Bad::Overloaded),
        (63, Bad::TooLong),
        (74, Bad::Silent),
        (88, Bad::Vanishes),
        (97, Bad::Refused),
        (105, Bad::TooLong),
        (110, Bad::Refused),
        (118, Bad::Leaves),
        (131, Bad::Overloaded),
        (142, Bad::Reconnects),
        (155, Bad::TooLong),
        (166, Bad::Silent),
        (186, Bad::TooLong),
    ],
};

/// What the vendor has seen of the night.
#[derive(Default)]
struct Seen {
    /// How the last turn began.
    first: Vec<Value>,
    /// Turns so far, each the answer to a prompt of its own.
    turns: usize,
    /// Steps that the model has ordered, by their number.
    steps: Vec<usize>,
    /// What still goes wrong in the present turn.
    faults: VecDeque<Reply>,
}

/// The vendor: a step in each turn, and what goes wrong by the plan. Small things go wrong in every fifth turn besides.
fn brain(plan: Plan, seen: Arc<Mutex<Seen>>) -> impl Fn(&SeenRequest) -> Reply {
    move |request| {
        let mut seen = seen.lock().unwrap();
        let is_first = request.step() == 0;
        if is_first && seen.first != request.messages {
            seen.first.clone_from(&request.messages);
            seen.turns += 1;
            let turn = seen.turns;
            let planned = plan.faults.iter().find(|(at, _)| *at == turn).map(|(_, bad)| *bad);
            let bad = planned.or((turn % 5 == 3).then_some(Bad::Passing));
            seen.faults = bad.map(|bad| replies(bad, turn)).unwrap_or_default();
        }
        if let Some(fault) = seen.faults.pop_front() {
            return fault;
        }
        let turn = seen.turns;
        if is_first {
            if seen.steps.last() != Some(&turn) {
                seen.steps.push(turn);
            }
            return CLAUDE.says_and_runs("One more step.", &format!("echo {turn} >> steps"));
        }
        Reply::say(format!("That was step {turn}."))
    }
}

/// The answers that make it go wrong.
fn replies(bad: Bad, turn: usize) -> VecDeque<Reply> {
    let passing = [
        Reply::fault(Fault::Status { code: 429, retry_after: Some("1".to_owned()), body: None }),
        Reply::status(529),
        Reply::fault(Fault::CutAfter(300)),
        Reply::fault(Fault::NoLastEvent),
        Reply::fault(Fault::MalformedJson),
        Reply::fault(Fault::EndAfter(200)),
    ];
    let misbehave = |how: &str| {
        let body = json!({ "type": "error", "error": { "type": "api_error", "message": format!("misbehave:{how}") } });
        VecDeque::from([Reply::fault(Fault::Status { code: 500, retry_after: None, body: Some(body) })])
    };
    match bad {
        Bad::Passing => VecDeque::from([passing[turn % passing.len()].clone()]),
        Bad::Overloaded => VecDeque::from(vec![Reply::status(529); 6]),
        Bad::Refused => VecDeque::from([Reply::status(401)]),
        Bad::TooLong => VecDeque::from([Reply::fault(Fault::ContextOverflow)]),
        Bad::Vanishes => misbehave("vanish"),
        Bad::Leaves => misbehave("leave"),
        Bad::Reconnects => misbehave("reconnect"),
        Bad::Silent => misbehave("silent"),
    }
}

/// What is looked at twice.
#[derive(Clone, Copy, Debug)]
struct Look {
    /// Resident memory in KiB and open files of a process.
    memory: u64,
    files: usize,
}

impl Look {
    fn at(process: u32) -> Self {
        Self { memory: status_kib(process, "VmRSS").unwrap(), files: open_files(process).unwrap() }
    }

    fn has_stayed(self, later: Self, growth: u64, whose: &str) {
        eprintln!("{whose}: {self:?}, later {later:?}");
        assert!(later.memory <= self.memory + growth, "the {whose} grew: {self:?} {later:?}");
        // A round has a dozen open for a moment; one that each round forgot would be many more by now.
        assert!(later.files <= self.files + 16, "the {whose} keeps files open: {self:?} {later:?}");
    }
}

fn supervisor() -> u32 {
    let stays = |(_, line): &(u32, String)| line.contains("sandbox-supervisor-stays");
    let found: Vec<_> = processes().into_iter().filter(stays).collect();
    // Our own loop has no supervisor of its own.
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].0
}

/// Sees the job through the night.
struct Watch {
    shift: Shift,
    job: i64,
    plan: Plan,
    begun: Instant,
    resumed: usize,
}

impl Watch {
    /// Waits until the job has had so many rounds or is over. A job that ended because its key was refused is resumed.
    fn until(&mut self, rounds: u32) -> JobView {
        loop {
            let view = self.shift.job(self.job);
            assert!(self.begun.elapsed() < MORNING, "it does not come further: {view:?}");
            match &view.state {
                JobState::Ended { end: JobEnd::Failed { error } } if error.contains("its key is missing or wrong") => {
                    self.resumed += 1;
                    let resumed = self.shift.verb(&["job", "resume", &self.job.to_string()]);
                    assert_eq!(resumed.code, Some(0), "{resumed:?}");
                }
                JobState::Ended { .. } => return view,
                _ if view.rounds >= rounds => return view,
                _ => std::thread::sleep(Duration::from_millis(150)),
            }
        }
    }

    /// Kills the daemon after each planned number of rounds, at some moment of the next.
    fn kills(&mut self) {
        for (number, rounds) in self.plan.kills.iter().enumerate() {
            self.until(*rounds);
            std::thread::sleep(Duration::from_millis((number as u64 * 173) % 700));
            self.shift.kill();
            std::thread::sleep(Duration::from_millis((number as u64 * 311) % 900));
            self.shift.up();
        }
    }

    /// Looks at supervisor and daemon after so many rounds. A job has another supervisor once it was resumed.
    fn look(&mut self, rounds: u32) -> (u32, Look, Look) {
        self.until(rounds);
        let (supervisor, daemon) = (supervisor(), self.shift.daemon().pid());
        (supervisor, Look::at(supervisor), Look::at(daemon))
    }
}

fn night(test: &'static str, plan: Plan) {
    all_inside(test, &ADDRESSES, || {
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let mut shift = Shift::with(CLAUDE, &stand_in(), SETTINGS, brain(plan, seen.clone()));
        shift.up();
        let done = format!("n=$(wc -l < steps); echo \"FAILED steps.py::test_$n\"; test $n -ge {}", plan.steps);
        let many = ["--rounds", "10000", "--iterations", "10000", "--usd", "90", "--every", "20", "--done", &done];
        let job = shift.start(&many);
        let own = shift.start_own();
        let mut watch = Watch { shift, job, plan, begun: Instant::now(), resumed: 0 };
        watch.kills();
        let early = watch.look(plan.looks[0]);
        let late = watch.look(plan.looks[1]);
        early.2.has_stayed(late.2, GROWTH.0, "daemon");
        assert_eq!(early.0, late.0, "the job kept its supervisor");
        early.1.has_stayed(late.1, GROWTH.1, "supervisor");
        let view = watch.until(u32::MAX);
        in_the_morning(&watch, &view, &seen.lock().unwrap());
        let (view, end) = watch.shift.ended(own);
        assert_eq!(end, JobEnd::Done, "{view:?}");
        watch.shift.paid_exactly_to(&watch.shift.scene.model, &view);
        let marks = watch.shift.scene.home.path().join(format!("jobs/{own}/tree/.git/effects.log"));
        let marks = std::fs::read_to_string(marks).unwrap();
        let mut once: Vec<&str> = marks.lines().collect();
        once.dedup();
        assert_eq!(once, marks.lines().collect::<Vec<_>>(), "our own loop repeated a command");
        watch.shift.close();
    });
}

/// Everything was done, counted and paid once, and the report says so.
fn in_the_morning(watch: &Watch, view: &JobView, seen: &Seen) {
    let shift = &watch.shift;
    assert_eq!(view.state, JobState::Ended { end: JobEnd::Done }, "{view:?}");
    let steps = shift.scene.repository.git(&["show", &format!("{BRANCH}:steps")]);
    let ordered: Vec<String> = seen.steps.iter().map(ToString::to_string).collect();
    assert_eq!(steps.lines().collect::<Vec<_>>(), ordered, "each step was taken once");
    assert_eq!((steps.lines().count(), view.rounds as usize), (watch.plan.steps, seen.turns), "{view:?}");
    assert_eq!(view.iterations as usize, seen.steps.len());
    let refused = watch.plan.faults.iter().filter(|(_, bad)| *bad == Bad::Refused).count();
    // An answer that dies with the daemon on its way is asked for again.
    assert!(watch.resumed <= refused, "{}", watch.resumed);
    shift.paid_exactly(view);
    let served = shift.served();
    let tokens = served.input + served.cache_read + served.cache_write + served.output;
    let sums = format!("{} rounds, {} tools, {tokens} tokens, {}", seen.turns, seen.steps.len(), view.cost);
    let report = view.report.clone().unwrap_or_default();
    assert!(report.contains("is done") && report.contains(&sums), "{sums}: {report}");
    assert_eq!(shift.scene.repository.git(&["rev-list", "--count", &format!("main..{BRANCH}")]).trim(), "1");
    let records: PathBuf = shift.scene.home.path().join(format!("jobs/{}/records.jsonl", watch.job));
    let bytes = std::fs::metadata(records).unwrap().len();
    assert!(bytes < RECORDS * seen.turns as u64, "{bytes} bytes of records");
    let mut sizes = (0, 0);
    walk(&shift.scene.home.path(), &mut |path, kind| {
        if kind.is_file() {
            sizes = (sizes.0 + 1, sizes.1 + std::fs::metadata(path).map_or(0, |found| found.len()));
        }
    });
    eprintln!(
        "{} s; {sums}; {bytes} bytes of records; the home has {} files with {} bytes",
        watch.begun.elapsed().as_secs(),
        sizes.0,
        sizes.1
    );
}

#[test]
fn everything_counts_once() {
    let plan = if crate::shares::is_full() { WHOLE } else { SAMPLE };
    night("night::everything_counts_once", plan);
}

//! The language of the app-server: JSON-RPC in lines, without the field that names its version. Owns the state of the
//! conversation; must not know settings or processes.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};

use super::{
    ask::{Asked, Form, answer, asked},
    count::Count,
    item::{self, tail, text},
    remark::{MAX_NOTE, delta, note, plain, plan},
    requests::{POLICY, REVIEWER, Requests, Sent},
    trouble::{attempt, sentence, trouble, waits_for},
};
use crate::{
    CoderCommand, CoderEnd, CoderEvent, Dialect, Heard, Start, Stream, TAIL, Trouble, Unsupported, Verdict,
    border::{MAX_REMARK, MAX_TEXT},
    names,
    text::head,
};

/// Texts that may wait until it can be told them.
const MAX_QUEUED: usize = 64;
/// Permissions, changes and running tools that are kept in mind at once.
const MAX_OPEN: usize = 256;
/// Where names lie in its lines.
const NAMES: [&str; 13] = [
    "/id",
    "/params/threadId",
    "/params/conversationId",
    "/params/turnId",
    "/params/itemId",
    "/params/callId",
    "/params/requestId",
    "/params/thread/id",
    "/params/turn/id",
    "/params/item/id",
    "/result/thread/id",
    "/result/turn/id",
    "/result/turnId",
];

enum State {
    /// The conversation is not there yet.
    Opening,
    Idle,
    /// A turn was asked for.
    Starting,
    Running {
        turn: String,
    },
    /// The turn is done, but something that was said to it may have come too late.
    Held(CoderEnd),
    /// There will be no conversation.
    Broken,
}

struct Pending {
    id: Value,
    form: Form,
}

/// One conversation with an app-server.
pub(super) struct AppServer {
    start: Start,
    state: State,
    thread: Option<String>,
    requests: Requests,
    /// What it is told when its next turn begins.
    queued: VecDeque<String>,
    /// What is said to the turn as soon as that has a name.
    steers: VecDeque<String>,
    interrupted: bool,
    pending: BTreeMap<String, Pending>,
    /// The files of each change that is under way.
    changes: BTreeMap<String, Vec<String>>,
    /// The end of what each running command wrote.
    outputs: BTreeMap<String, String>,
    last_text: String,
    /// Whether its model began to speak in this turn, and whether something came of it.
    spoke: bool,
    worked: bool,
    /// The last failure that was not told.
    last_error: Option<(Trouble, String)>,
    last_stderr: String,
    count: Count,
}

impl AppServer {
    pub fn new(start: &Start) -> Self {
        Self {
            start: start.clone(),
            state: State::Opening,
            thread: None,
            requests: Requests::default(),
            queued: VecDeque::new(),
            steers: VecDeque::new(),
            interrupted: false,
            pending: BTreeMap::new(),
            changes: BTreeMap::new(),
            outputs: BTreeMap::new(),
            last_text: String::new(),
            spoke: false,
            worked: false,
            last_error: None,
            last_stderr: String::new(),
            count: Count::new(start.spent.usage),
        }
    }

    /// Begins a turn with all that waits.
    fn begin(&mut self) -> Vec<String> {
        self.state = State::Starting;
        self.last_text.clear();
        (self.spoke, self.worked) = (false, false);
        self.last_error = None;
        vec![self.requests.turn(self.thread.as_deref(), self.queued.drain(..))]
    }

    fn is_own(&self, params: &Value) -> bool {
        self.thread.is_some() && params["threadId"].as_str() == self.thread.as_deref()
    }

    fn broken(&mut self, trouble: Trouble, message: String) -> Heard {
        self.state = State::Broken;
        let end = CoderEnd::Failed { trouble, message };
        Heard { events: vec![CoderEvent::Finished { end }], ..Heard::broken("it has no conversation".to_owned()) }
    }

    fn finished(&mut self, end: CoderEnd) -> Vec<CoderEvent> {
        self.state = State::Idle;
        self.interrupted = false;
        vec![CoderEvent::Finished { end }]
    }

    fn responded(&mut self, message: &Value) -> Heard {
        let sent = self.requests.answered(&message["id"]);
        let (result, error) = (&message["result"], message.get("error"));
        match (sent, error) {
            (Some(Sent::Initialize), None) => {
                let lines = vec![json!({"method": "initialized"}).to_string(), self.requests.thread(&self.start)];
                Heard::wrote(lines)
            }
            (Some(Sent::Thread), None) => self.opened(result),
            (Some(Sent::Initialize), Some(error)) => self.broken(Trouble::Other, sentence(error)),
            (Some(Sent::Thread), Some(error)) => {
                let lost = self.start.resume.is_some();
                self.broken(if lost { Trouble::Lost } else { trouble(error) }, sentence(error))
            }
            (Some(Sent::TurnStart), None) => self.turn_named(&text(&result["turn"]["id"])),
            (Some(Sent::TurnStart), Some(error)) => {
                let end = CoderEnd::Failed { trouble: trouble(error), message: sentence(error) };
                Heard::told(self.finished(end))
            }
            (Some(Sent::Steer(text)), error) => {
                if error.is_some() && self.queued.len() < MAX_QUEUED {
                    self.queued.push_back(text);
                }
                self.release()
            }
            // An answer that changes nothing.
            (None, _) if self.requests.was_sent(&message["id"]) => Heard::default(),
            (None, _) => other("answer to nothing"),
        }
    }

    /// The conversation is there. One that would not ask us is not used.
    fn opened(&mut self, result: &Value) -> Heard {
        let thread = &result["thread"];
        let (policy, reviewer) = (&result["approvalPolicy"], &result["approvalsReviewer"]);
        if policy != POLICY || reviewer != REVIEWER {
            let message = format!("it does not let itself be asked about: its policy is {policy}, asked is {reviewer}");
            return self.broken(Trouble::Other, message);
        }
        let Some(session) = thread["id"].as_str() else {
            return self.broken(Trouble::Crashed, "its conversation has no name".to_owned());
        };
        self.thread = Some(session.to_owned());
        self.state = State::Idle;
        let mut events = vec![CoderEvent::Started {
            session: session.to_owned(),
            model: result["model"].as_str().map(str::to_owned),
            version: thread["cliVersion"].as_str().map(str::to_owned),
        }];
        let mut lines = Vec::new();
        if !self.queued.is_empty() {
            if self.interrupted {
                self.queued.clear();
                events.extend(self.finished(CoderEnd::Interrupted));
            } else {
                lines = self.begin();
            }
        }
        Heard { events, lines, broken: None }
    }

    /// The turn that was asked for has a name, by which it can be steered and interrupted.
    fn turn_named(&mut self, turn: &str) -> Heard {
        if !matches!(self.state, State::Starting) {
            return Heard::default();
        }
        self.state = State::Running { turn: turn.to_owned() };
        let texts = std::mem::take(&mut self.steers);
        let thread = self.thread.as_deref();
        let mut lines: Vec<String> = texts.into_iter().map(|text| self.requests.steer(thread, turn, &text)).collect();
        if self.interrupted {
            lines.push(self.requests.interrupt(thread, turn));
        }
        Heard::wrote(lines)
    }

    /// Goes on after the last answer that a turn's end waited for.
    fn release(&mut self) -> Heard {
        if self.requests.is_steering() || !matches!(self.state, State::Held(_)) {
            return Heard::default();
        }
        let State::Held(end) = std::mem::replace(&mut self.state, State::Idle) else { return Heard::default() };
        if self.queued.is_empty() || self.interrupted {
            Heard::told(self.finished(end))
        } else {
            Heard::wrote(self.begin())
        }
    }

    fn turn_completed(&mut self, turn: &Value) -> Heard {
        let current = match &self.state {
            State::Running { turn: current } => turn["id"] == current.as_str(),
            State::Starting => true,
            State::Opening | State::Idle | State::Held(_) | State::Broken => false,
        };
        if !current {
            return Heard::default();
        }
        let end = self.end_of(turn);
        let withdrawn = std::mem::take(&mut self.pending).into_keys();
        let mut events: Vec<CoderEvent> = withdrawn.map(|id| CoderEvent::PermissionWithdrawn { id }).collect();
        self.changes.clear();
        self.queued.extend(std::mem::take(&mut self.steers));
        if matches!(end, CoderEnd::Done { .. }) {
            self.state = State::Held(end);
            let mut heard = self.release();
            heard.events.splice(..0, events);
            return heard;
        }
        let lines = if self.interrupted { vec![self.requests.clean(self.thread.as_deref())] } else { Vec::new() };
        events.extend(self.finished(end));
        Heard { events, lines, broken: None }
    }

    fn end_of(&mut self, turn: &Value) -> CoderEnd {
        let error = &turn["error"];
        let failure = if error.is_object() { Some((trouble(error), sentence(error))) } else { self.last_error.take() };
        match turn["status"].as_str() {
            Some("completed") if self.worked => CoderEnd::Done { text: std::mem::take(&mut self.last_text) },
            // It shows nothing of a refusal but a message without words.
            Some("completed") => {
                let trouble = if self.spoke { Trouble::Refused } else { Trouble::Other };
                CoderEnd::Failed { trouble, message: "its model said nothing".to_owned() }
            }
            Some("interrupted") if self.interrupted => CoderEnd::Interrupted,
            Some("interrupted") => {
                CoderEnd::Failed { trouble: Trouble::Other, message: "its turn was ended, not by us".to_owned() }
            }
            status => {
                let unknown = || (Trouble::Other, format!("its turn ended as `{}`", status.unwrap_or("nothing")));
                let (trouble, message) = failure.unwrap_or_else(unknown);
                CoderEnd::Failed { trouble, message }
            }
        }
    }

    fn notified(&mut self, method: &str, params: &Value) -> Heard {
        let events = match method {
            "turn/started" if self.is_own(params) => return self.turn_named(&text(&params["turn"]["id"])),
            "turn/completed" if self.is_own(params) => return self.turn_completed(&params["turn"]),
            "turn/started" | "turn/completed" => Vec::new(),
            "item/started" => self.item_started(&params["item"]),
            "item/completed" => self.item_completed(params),
            "item/agentMessage/delta" | "item/plan/delta" => delta(params),
            "item/commandExecution/outputDelta" => self.output(params),
            "turn/plan/updated" => vec![plan(&params["plan"])],
            "thread/tokenUsage/updated" => self.spent(params),
            "error" => self.error(params),
            "serverRequest/resolved" => self.resolved(&params["requestId"]),
            "warning" | "guardianWarning" => note(&params["message"]),
            "configWarning" | "deprecationNotice" => note(&params["summary"]),
            "model/rerouted" => note(&json!(format!("its model became {}", text(&params["toModel"])))),
            "thread/started"
            | "thread/status/changed"
            | "thread/settings/updated"
            | "thread/name/updated"
            | "thread/readState/changed"
            | "thread/compacted"
            | "turn/diff/updated"
            | "item/reasoning/summaryTextDelta"
            | "item/reasoning/summaryPartAdded"
            | "item/reasoning/textDelta"
            | "item/fileChange/outputDelta"
            | "item/fileChange/patchUpdated"
            | "account/rateLimits/updated"
            | "remoteControl/status/changed"
            | "skills/changed" => Vec::new(),
            _ => return other(method),
        };
        Heard::told(events)
    }

    fn item_started(&mut self, item: &Value) -> Vec<CoderEvent> {
        if item["type"] == "fileChange" && self.changes.len() < MAX_OPEN {
            self.changes.insert(text(&item["id"]), item::paths(item));
        }
        self.spoke |= item["type"] == "agentMessage";
        item::started(item).into_iter().collect()
    }

    fn item_completed(&mut self, params: &Value) -> Vec<CoderEvent> {
        let item = &params["item"];
        let output = self.outputs.remove(&text(&item["id"])).unwrap_or_default();
        if item["type"] == "agentMessage" && self.is_own(params) {
            self.last_text = head(item["text"].as_str().unwrap_or_default(), MAX_TEXT).to_owned();
        }
        let events = item::completed(item, &output);
        self.worked |=
            events.iter().any(|event| !matches!(event, CoderEvent::Thinking { .. } | CoderEvent::Other { .. }));
        events
    }

    fn output(&mut self, params: &Value) -> Vec<CoderEvent> {
        let id = text(&params["itemId"]);
        if self.outputs.contains_key(&id) || self.outputs.len() < MAX_OPEN {
            let kept = self.outputs.entry(id).or_default();
            kept.push_str(params["delta"].as_str().unwrap_or_default());
            if kept.len() > 4 * TAIL {
                *kept = tail(kept);
            }
        }
        Vec::new()
    }

    fn spent(&mut self, params: &Value) -> Vec<CoderEvent> {
        let thread = text(&params["threadId"]);
        vec![CoderEvent::Spent(self.count.add(&thread, self.is_own(params), &params["tokenUsage"]["total"]))]
    }

    fn error(&mut self, params: &Value) -> Vec<CoderEvent> {
        let error = &params["error"];
        let message = text(&error["message"]);
        if params["willRetry"] != true {
            // The end of the turn says it again; what no turn is told of would be lost.
            if self.is_own(params) {
                self.last_error = Some((trouble(error), head(&sentence(error), MAX_REMARK).to_owned()));
            }
            return if self.is_busy() { Vec::new() } else { note(&json!(sentence(error))) };
        }
        vec![match waits_for(&message) {
            Some(what) => CoderEvent::Waiting { what: what.to_owned() },
            None => CoderEvent::Retrying { attempt: attempt(&message), wait_ms: None, error: sentence(error) },
        }]
    }

    fn resolved(&mut self, id: &Value) -> Vec<CoderEvent> {
        let key = self.pending.iter().find(|(_, pending)| pending.id == *id).map(|(key, _)| key.clone());
        let withdrawn = key.into_iter().inspect(|key| drop(self.pending.remove(key)));
        withdrawn.map(|id| CoderEvent::PermissionWithdrawn { id }).collect()
    }

    fn asked(&mut self, id: &Value, method: &str, params: &Value) -> Heard {
        let none = Vec::new();
        let paths = self.changes.get(&text(&params["itemId"])).unwrap_or(&none);
        match asked(id, method, params, paths) {
            Asked::Permission(_, form) if self.pending.len() >= MAX_OPEN => {
                let verdict = Verdict::Deny { why: "too many questions at once".to_owned() };
                Heard::wrote(vec![answer(id, form, &verdict)])
            }
            Asked::Permission(permission, form) => {
                self.pending.insert(permission.id.clone(), Pending { id: id.clone(), form });
                Heard::told(vec![CoderEvent::PermissionAsked(*permission)])
            }
            Asked::Refused { line, note } => {
                Heard { events: vec![CoderEvent::Note { text: note }], lines: vec![line], broken: None }
            }
        }
    }

    /// Answers a permission. The protocol has no place for a reason, so it is said to the turn.
    fn answered(&mut self, permission: &str, verdict: &Verdict) -> Vec<String> {
        let Some(Pending { id, form }) = self.pending.remove(permission) else { return Vec::new() };
        let mut lines = vec![answer(&id, form, verdict)];
        if let (Verdict::Deny { why }, Form::Item, State::Running { turn }) = (verdict, form, &self.state)
            && !why.is_empty()
        {
            let why = format!("That was not permitted: {why}");
            lines.push(self.requests.remark(self.thread.as_deref(), turn, &why));
        }
        lines
    }

    fn queue(&mut self, text: &str) -> Result<(), Unsupported> {
        if self.queued.len() + self.steers.len() >= MAX_QUEUED {
            return Err(Unsupported { coder: "codex", why: "has been told too much that it could not take up yet" });
        }
        self.queued.push_back(text.to_owned());
        Ok(())
    }
}

fn other(kind: &str) -> Heard {
    Heard::told(vec![CoderEvent::Other { kind: kind.to_owned() }])
}

impl Dialect for AppServer {
    fn open(&mut self) -> Vec<String> {
        vec![self.requests.initialize()]
    }

    fn heard(&mut self, stream: Stream, line: &str) -> Heard {
        if stream == Stream::Err {
            let line = plain(line);
            if !line.is_empty() && !line.starts_with("WARNING") {
                self.last_stderr = line.chars().take(MAX_NOTE).collect();
            }
            return Heard::told(note(&json!(line)));
        }
        let Ok(message) = serde_json::from_str::<Value>(line) else { return other("line that is no JSON") };
        if let Some(why) = names::unfit(&message, &NAMES) {
            return Heard::broken(why);
        }
        match (message["method"].as_str(), message.get("id")) {
            (Some(method), Some(id)) => self.asked(id, method, &message["params"]),
            (Some(method), None) => self.notified(method, &message["params"]),
            (None, Some(_)) => self.responded(&message),
            (None, None) => other("line that is no message"),
        }
    }

    fn command(&mut self, command: &CoderCommand) -> Result<Vec<String>, Unsupported> {
        if matches!((&self.state, command), (State::Broken, CoderCommand::Prompt { .. } | CoderCommand::Steer { .. })) {
            return Err(Unsupported { coder: "codex", why: "has no conversation" });
        }
        match command {
            CoderCommand::Prompt { text } => {
                self.queue(text)?;
                Ok(if matches!(self.state, State::Idle) { self.begin() } else { Vec::new() })
            }
            CoderCommand::Steer { text } => {
                self.queue(text)?;
                match &self.state {
                    State::Idle => Ok(self.begin()),
                    State::Running { turn } => {
                        let text = self.queued.pop_back().unwrap_or_default();
                        Ok(vec![self.requests.steer(self.thread.as_deref(), turn, &text)])
                    }
                    State::Starting => {
                        self.steers.extend(self.queued.pop_back());
                        Ok(Vec::new())
                    }
                    State::Opening | State::Held(_) | State::Broken => Ok(Vec::new()),
                }
            }
            CoderCommand::Interrupt | CoderCommand::Close => {
                self.interrupted = self.is_busy();
                match &self.state {
                    State::Running { turn } => Ok(vec![self.requests.interrupt(self.thread.as_deref(), turn)]),
                    State::Opening | State::Idle | State::Starting | State::Held(_) | State::Broken => Ok(Vec::new()),
                }
            }
            CoderCommand::Answer { permission, verdict } => Ok(self.answered(permission, verdict)),
        }
    }

    fn ended(&mut self, code: Option<i32>) -> Vec<CoderEvent> {
        let busy = self.is_busy();
        let end = match std::mem::replace(&mut self.state, State::Broken) {
            State::Held(end) => end,
            State::Opening | State::Idle | State::Starting | State::Running { .. } | State::Broken => {
                let how = code.map_or("a signal ended it".to_owned(), |code| format!("it ended with code {code}"));
                let said = if self.last_stderr.is_empty() { String::new() } else { format!(": {}", self.last_stderr) };
                let message = format!("{how} in the middle of its work{said}");
                CoderEnd::Failed { trouble: Trouble::Crashed, message }
            }
        };
        if busy { vec![CoderEvent::Finished { end }] } else { Vec::new() }
    }

    fn is_busy(&self) -> bool {
        match self.state {
            State::Opening => !self.queued.is_empty(),
            State::Starting | State::Running { .. } | State::Held(_) => true,
            State::Idle | State::Broken => false,
        }
    }
}

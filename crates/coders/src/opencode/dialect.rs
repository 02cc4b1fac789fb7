//! One conversation with opencode's server: what its lines mean and what is written in turn.

use serde_json::{Value, json};

use crate::{CoderCommand, CoderEvent, Dialect, Heard, PlanStep, Start, Stream, Trouble, Unsupported, text, trouble};

use super::{
    errors,
    messages::{Kind, Messages},
    parts::{Parts, Voice},
    permissions::Permissions,
    requests::{About, Requests},
    spend::Spend,
    split,
    turn::Turn,
};

/// How often its server is asked whether it answers, before it did.
const MAX_PROBES: u32 = 40;
/// How often the stream of events is asked for again without a word from it in between.
const MAX_SILENT_STREAMS: u32 = 20;
/// The newest messages, which are asked for when the stream of events was lost.
const MESSAGES: u32 = 40;

/// The conversation.
pub(super) struct Conversation {
    start: Start,
    requests: Requests,
    messages: Messages,
    parts: Parts,
    permissions: Permissions,
    spend: Spend,
    turn: Turn,
    /// Prompts that wait until the conversation is known.
    waiting: Vec<(u64, String)>,
    /// Why there is no conversation.
    lost: Option<(Trouble, String)>,
    /// How often the server did not answer at the beginning.
    probes: u32,
    /// Streams of events that were opened since the last word.
    silent_streams: u32,
    /// The model's newest message in our conversation.
    said: Option<String>,
    /// Whether the model's newest message has neither been completed nor failed.
    answering: bool,
    /// The newest message when the turn began: what is told of older ones is about earlier turns.
    before: Option<String>,
}

impl Conversation {
    pub fn new(start: &Start) -> Self {
        Self {
            requests: Requests::new(&start.fresh),
            messages: Messages::default(),
            parts: Parts::default(),
            permissions: Permissions::default(),
            spend: Spend::new(start.spent),
            turn: Turn::default(),
            waiting: Vec::new(),
            lost: None,
            probes: 0,
            silent_streams: 0,
            said: None,
            answering: false,
            before: None,
            start: start.clone(),
        }
    }

    /// A line of the bridge.
    fn bridged(&mut self, line: &Value) -> Heard {
        let Some(id) = line["id"].as_str() else { return Heard::default() };
        if let Some(event) = line.get("event") {
            return match self.requests.about(id) {
                Some(About::Events) => self.event(event),
                _ => Heard::default(),
            };
        }
        // An event was too large for a line: what there is must be asked for.
        if line.get("skipped").is_some() {
            return self.connected();
        }
        // A stream answers when it opens, and goes on.
        let is_open = line["status"].as_u64() == Some(200) && self.requests.about(id) == Some(&About::Events);
        if is_open {
            return Heard::default();
        }
        let Some(about) = self.requests.close(id) else { return Heard::default() };
        match about {
            About::Events => self.stream_lost(),
            about => match answer(line) {
                Ok(body) => self.answered(&about, body),
                Err((trouble, message)) => self.unanswered(&about, trouble, message),
            },
        }
    }

    fn answered(&mut self, about: &About, body: &Value) -> Heard {
        match about {
            About::Health => Heard { events: Vec::new(), lines: vec![self.requests.events()] },
            About::Session => self.session_known(body),
            About::Messages => self.caught_up(body),
            About::Permissions | About::Questions => {
                let prefix = if *about == About::Permissions { "per" } else { "que" };
                let listed: Vec<Value> = body.as_array().cloned().unwrap_or_default();
                let mut heard = Heard { events: self.permissions.only(&listed, prefix), lines: Vec::new() };
                heard.events.extend(listed.iter().filter_map(|asked| self.asked(asked)));
                heard
            }
            About::Status => self.status_known(body),
            About::Abort | About::Prompt(_) | About::Reply | About::Events => Heard::default(),
        }
    }

    fn unanswered(&mut self, about: &About, trouble: Trouble, message: String) -> Heard {
        match about {
            About::Health => {
                self.probes += 1;
                if self.probes < MAX_PROBES {
                    return Heard { events: Vec::new(), lines: vec![self.requests.health()] };
                }
                self.turn.give_up(Trouble::Crashed, message);
                self.finish_if(self.turn.is_busy())
            }
            About::Session => {
                self.lost = Some((trouble, message.clone()));
                for (prompt, _) in std::mem::take(&mut self.waiting) {
                    self.turn.refused(prompt, trouble, message.clone());
                }
                self.finish_if(self.turn.is_busy())
            }
            About::Prompt(prompt) => {
                self.turn.refused(*prompt, trouble, message);
                // Where a turn runs it goes on without these words; where none does, there is nothing to wait for.
                let line = self.requests.get(About::Status, "/session/status");
                Heard { events: Vec::new(), lines: vec![line] }
            }
            About::Status => self.finish_if(self.turn.is_over_when_idle()),
            About::Messages => {
                let line = self.requests.get(About::Status, "/session/status");
                Heard { events: vec![CoderEvent::Note { text: message }], lines: vec![line] }
            }
            About::Reply | About::Abort | About::Permissions | About::Questions | About::Events => {
                Heard { events: vec![CoderEvent::Note { text: message }], lines: Vec::new() }
            }
        }
    }

    fn session_known(&mut self, info: &Value) -> Heard {
        let Some(id) = info["id"].as_str() else {
            return self.unanswered(&About::Session, Trouble::Crashed, "its server made no conversation".to_owned());
        };
        self.messages.begin(id);
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let (session, version) = (id.to_owned(), text(&info["version"]));
        let mut events = vec![CoderEvent::Started { session, model: self.start.model.clone(), version }];
        // A copy says zero at first; what it goes on from was counted before.
        events.extend(self.spend.session(info).map(CoderEvent::Spent));
        let waiting = std::mem::take(&mut self.waiting);
        if self.turn.halted {
            for (prompt, _) in waiting {
                self.turn.refused(prompt, Trouble::Other, String::new());
            }
            let heard = self.finish_if(self.turn.is_busy());
            events.extend(heard.events);
            return Heard { events, lines: Vec::new() };
        }
        Heard { events, lines: waiting.into_iter().filter_map(|(prompt, text)| self.prompt(prompt, &text)).collect() }
    }

    /// The stream of events broke, or an event was too large for a line.
    fn stream_lost(&mut self) -> Heard {
        self.silent_streams += 1;
        if self.silent_streams > MAX_SILENT_STREAMS {
            self.turn.give_up(Trouble::Crashed, "its server does not tell what happens".to_owned());
            return self.finish_if(self.turn.is_busy());
        }
        Heard { events: Vec::new(), lines: vec![self.requests.events()] }
    }

    fn event(&mut self, event: &Value) -> Heard {
        self.silent_streams = 0;
        let about = &event["properties"];
        let kind = event["type"].as_str().unwrap_or_default();
        match kind {
            "server.connected" => self.connected(),
            "session.created" | "session.updated" => {
                self.messages.met(&about["info"]);
                let is_of_ours = self.messages.is_of_ours(&about["info"]["id"]);
                let spent = if is_of_ours { self.spend.session(&about["info"]) } else { None };
                events(spent.map(CoderEvent::Spent))
            }
            "message.updated" if self.messages.is_of_ours(&about["info"]["sessionID"]) => self.message(&about["info"]),
            "message.part.updated" if self.messages.is_of_ours(&about["part"]["sessionID"]) => {
                self.part(&about["part"])
            }
            "message.part.delta" if self.messages.is_ours(&about["sessionID"]) && about["field"] == "text" => {
                let part = about["partID"].as_str().unwrap_or_default();
                events(self.parts.grew(part, about["delta"].as_str().unwrap_or_default()))
            }
            "permission.asked" | "question.asked" => events(self.asked(about)),
            "permission.replied" | "question.replied" | "question.rejected" => {
                events(about["requestID"].as_str().and_then(|id| self.permissions.settled(id)))
            }
            "session.status" if self.messages.is_ours(&about["sessionID"]) => self.status(&about["status"]),
            "session.idle" if self.messages.is_ours(&about["sessionID"]) => self.idle(),
            "session.error" if about["sessionID"].is_null() || self.messages.is_ours(&about["sessionID"]) => {
                self.error(&about["error"]);
                Heard::default()
            }
            "session.compacted" if self.messages.is_ours(&about["sessionID"]) => {
                events([CoderEvent::Note { text: "its conversation was too long and was summed up".to_owned() }])
            }
            "todo.updated" if self.messages.is_ours(&about["sessionID"]) => events([plan(&about["todos"])]),
            "file.edited" => events(about["file"].as_str().and_then(|path| self.parts.edited(path))),
            _ if is_silent(kind) => Heard::default(),
            kind => events([CoderEvent::Other { kind: text::head(kind, 100).to_owned() }]),
        }
    }

    /// The stream is open: everything from here on is told.
    fn connected(&mut self) -> Heard {
        if let Some(session) = self.messages.session() {
            let path = format!("/session/{session}/message?limit={MESSAGES}");
            let lines = vec![
                self.requests.get(About::Messages, &path),
                self.requests.get(About::Permissions, "/permission"),
                self.requests.get(About::Questions, "/question"),
            ];
            return Heard { events: Vec::new(), lines };
        }
        if self.lost.is_some() || self.requests.is_open(&About::Session) {
            return Heard::default();
        }
        let line = match (&self.start.resume, self.start.fork) {
            (None, _) => {
                // With a title of its own it does not ask its model for one, which nobody would have counted.
                self.requests.post(About::Session, "/session", &json!({"title": "job"}))
            }
            (Some(id), false) => self.requests.get(About::Session, &format!("/session/{}", escaped(id))),
            (Some(id), true) => {
                self.requests.post(About::Session, &format!("/session/{}/fork", escaped(id)), &json!({}))
            }
        };
        Heard { events: Vec::new(), lines: vec![line] }
    }

    /// What was said while nobody listened. Of a conversation that was resumed, only what came since then.
    fn caught_up(&mut self, body: &Value) -> Heard {
        let messages = body.as_array().map(Vec::as_slice).unwrap_or_default();
        let known = messages.iter().position(|message| self.messages.kind(&message["info"]["id"]).is_some());
        let fresh = if self.start.resume.is_none() { Some(0) } else { None };
        // A prompt of ours that was taken up meanwhile is the last one of a person.
        let last = || messages.iter().rposition(|message| message["info"]["role"] == "user");
        let from = known.or(fresh).or_else(|| last().filter(|_| self.turn.is_waiting())).unwrap_or(messages.len());
        let mut heard = Heard::default();
        for message in &messages[from..] {
            heard.events.extend(self.message(&message["info"]).events);
            for part in message["parts"].as_array().into_iter().flatten() {
                heard.events.extend(self.part(part).events);
            }
        }
        heard.lines.push(self.requests.get(About::Status, "/session/status"));
        heard
    }

    fn message(&mut self, info: &Value) -> Heard {
        let kind = self.messages.noted(info);
        let is_ours = self.messages.is_ours(&info["sessionID"]);
        if is_ours && kind == Some(Kind::Assistant) {
            let id = info["id"].as_str().map(str::to_owned);
            if self.said < id {
                self.said = id;
                self.parts.last_text.clear();
            }
        }
        if is_ours && kind != Some(Kind::User) && self.said.as_deref() <= info["id"].as_str() {
            self.answering = info["time"]["completed"].is_null() && info["error"].is_null();
        }
        let is_of_turn = self.before.as_deref() < info["id"].as_str();
        if is_ours && is_of_turn && self.turn.is_busy() && !info["error"].is_null() {
            self.error(&info["error"]);
        }
        Heard::default()
    }

    fn part(&mut self, part: &Value) -> Heard {
        let kind = self.messages.kind(&part["messageID"]);
        let is_ours = self.messages.is_ours(&part["sessionID"]);
        if kind == Some(Kind::User) {
            // Texts that opencode makes up by itself are marked.
            let is_prompt = is_ours && part["type"] == "text" && part["synthetic"] != true;
            if is_prompt && part["id"].as_str().is_some_and(|id| self.parts.is_new(id)) {
                self.turn.taken_up();
            }
            return Heard::default();
        }
        if part["type"] == "step-finish" {
            let is_new = part["id"].as_str().is_some_and(|id| self.parts.is_new(id));
            if !is_new {
                return Heard::default();
            }
            if is_ours && kind != Some(Kind::Summary) {
                self.turn.step_ended(part["reason"].as_str().unwrap_or_default());
            }
            return events(self.spend.step(part).map(CoderEvent::Spent));
        }
        let voice = if is_ours && kind != Some(Kind::Summary) { Voice::Model } else { Voice::Within };
        // Between turns only the late remains of the one before come.
        if is_ours && !self.turn.is_busy() {
            return Heard::default();
        }
        events(self.parts.updated(part, voice))
    }

    fn asked(&mut self, asked: &Value) -> Option<CoderEvent> {
        let may_ask = self.messages.is_of_ours(&asked["sessionID"]) && self.turn.is_busy();
        if may_ask { self.permissions.asked(asked) } else { None }
    }

    fn status(&mut self, status: &Value) -> Heard {
        match status["type"].as_str().unwrap_or_default() {
            "busy" => {
                self.turn.works();
                Heard { events: Vec::new(), lines: self.abort_if(self.turn.halted) }
            }
            "retry" => {
                self.turn.works();
                let error = text::message(status["message"].as_str().unwrap_or_default());
                let attempt = status["attempt"].as_u64().and_then(|attempt| attempt.try_into().ok());
                let mut lines = Vec::new();
                if trouble::is_quota(&error) {
                    self.turn.give_up(Trouble::Quota, error.clone());
                    lines = self.abort_if(true);
                }
                // It says until when, by a clock that nobody else can read.
                Heard { events: vec![CoderEvent::Retrying { attempt, wait_ms: None, error }], lines }
            }
            _ => Heard::default(),
        }
    }

    fn idle(&mut self) -> Heard {
        // After a failure it is idle twice. Before the message is closed, the server takes a prompt and forgets it.
        self.finish_if(self.turn.is_over_when_idle() && !self.answering)
    }

    /// Which conversations work; those that do not are absent.
    fn status_known(&mut self, body: &Value) -> Heard {
        let is_idle = self.messages.session().is_none_or(|id| matches!(body[id]["type"].as_str(), None | Some("idle")));
        if !is_idle {
            self.turn.works();
            return Heard { events: Vec::new(), lines: self.abort_if(self.turn.halted) };
        }
        self.finish_if(self.turn.is_over_when_idle())
    }

    fn error(&mut self, error: &Value) {
        if error["name"] == "MessageAbortedError" {
            self.turn.was_aborted();
        } else {
            let (trouble, message) = errors::trouble(error);
            self.turn.failed(trouble, message);
        }
    }

    fn finish_if(&mut self, is_over: bool) -> Heard {
        if !is_over {
            return Heard::default();
        }
        let mut over = self.parts.end();
        over.extend(self.permissions.end());
        let end = self.turn.end(&self.parts.last_text);
        over.push(CoderEvent::Finished { end });
        Heard { events: over, lines: Vec::new() }
    }

    fn abort_if(&mut self, wanted: bool) -> Vec<String> {
        let Some(session) = self.messages.session().filter(|_| wanted) else { return Vec::new() };
        if self.requests.is_open(&About::Abort) {
            return Vec::new();
        }
        vec![self.requests.post(About::Abort, &format!("/session/{session}/abort"), &json!({}))]
    }

    /// The line for a prompt; none while there is no conversation.
    fn prompt(&mut self, prompt: u64, text: &str) -> Option<String> {
        let session = match (self.messages.session(), &self.lost) {
            (Some(session), _) => session.to_owned(),
            // Its refusal is what tells that the conversation is lost.
            (None, Some(_)) => escaped(self.start.resume.as_deref().unwrap_or("none")),
            (None, None) => {
                self.waiting.push((prompt, text.to_owned()));
                return None;
            }
        };
        let mut body = json!({"parts": [{"type": "text", "text": text}]});
        if let Some((provider, model)) = self.start.model.as_deref().and_then(split) {
            body["model"] = json!({"providerID": provider, "modelID": model});
        }
        Some(self.requests.post(About::Prompt(prompt), &format!("/session/{session}/prompt_async"), &body))
    }
}

impl Dialect for Conversation {
    fn open(&mut self) -> Vec<String> {
        vec![self.requests.health()]
    }

    fn heard(&mut self, stream: Stream, line: &str) -> Heard {
        if stream == Stream::Err {
            return Heard::default();
        }
        match serde_json::from_str::<Value>(line) {
            Ok(line) if line.is_object() => self.bridged(&line),
            // Its own greeting, or a line that was cut.
            Ok(_) | Err(_) => Heard::default(),
        }
    }

    fn command(&mut self, command: &CoderCommand) -> Result<Vec<String>, Unsupported> {
        let unsupported = |why| Err(Unsupported { coder: "opencode", why });
        match command {
            CoderCommand::Prompt { text } | CoderCommand::Steer { text } => {
                if !self.turn.is_busy() {
                    self.before = self.messages.newest().map(str::to_owned);
                }
                match self.turn.say() {
                    Some(prompt) => Ok(self.prompt(prompt, text).into_iter().collect()),
                    None => unsupported("has not read what it was told before"),
                }
            }
            CoderCommand::Interrupt => {
                self.turn.halted = self.turn.is_busy();
                Ok(self.abort_if(self.turn.halted))
            }
            CoderCommand::Answer { permission, verdict } => {
                Ok(self.permissions.answer(&mut self.requests, permission, verdict).into_iter().collect())
            }
            CoderCommand::Close => unsupported("has no polite end: its server is killed"),
        }
    }

    fn ended(&mut self, code: Option<i32>) -> Vec<CoderEvent> {
        if !self.turn.is_busy() {
            return Vec::new();
        }
        let message = match code {
            Some(code) => format!("its server ended with exit code {code}"),
            None => "its server was killed".to_owned(),
        };
        self.turn.failed(Trouble::Crashed, message);
        self.finish_if(true).events
    }

    fn is_busy(&self) -> bool {
        self.turn.is_busy()
    }
}

/// The body of an answer, or what went wrong.
fn answer(line: &Value) -> Result<&Value, (Trouble, String)> {
    match line["status"].as_u64() {
        Some(200..300) => Ok(&line["body"]),
        Some(status) => {
            let (trouble, message) = errors::trouble(&line["body"]);
            let trouble = if status == 404 { Trouble::Lost } else { trouble };
            let message =
                if message.is_empty() { format!("its server answered with status {status}") } else { message };
            Err((trouble, message))
        }
        None => {
            let why = line["error"].as_str().or(line["closed"].as_str()).unwrap_or("its server did not answer");
            Err((Trouble::Crashed, text::message(why)))
        }
    }
}

fn events(events: impl IntoIterator<Item = CoderEvent>) -> Heard {
    Heard { events: events.into_iter().collect(), lines: Vec::new() }
}

fn plan(todos: &Value) -> CoderEvent {
    let step = |todo: &Value| PlanStep {
        text: todo["content"].as_str().unwrap_or_default().to_owned(),
        done: matches!(todo["status"].as_str(), Some("completed" | "cancelled")),
    };
    CoderEvent::Plan { steps: todos.as_array().into_iter().flatten().map(step).collect() }
}

/// Names of events that say nothing to us.
fn is_silent(kind: &str) -> bool {
    let families = [
        "catalog.",
        "command.",
        "file.",
        "installation.",
        "integration.",
        "lsp.",
        "mcp.",
        "message.",
        "models-dev.",
        "permission.",
        "plugin.",
        "project.",
        "pty.",
        "question.",
        "reference.",
        "server.",
        "session.",
        "todo.",
        "tui.",
        "vcs.",
        "workspace.",
        "worktree.",
    ];
    families.iter().any(|family| kind.starts_with(family))
}

/// For a path: a conversation's name is letters, digits and `_`.
fn escaped(id: &str) -> String {
    id.chars().filter(|letter| letter.is_ascii_alphanumeric() || *letter == '_').collect()
}
